"""The array libraries that bpkit can run on, one file each; only the registry imports them."""
