"""bpkit's functions as other libraries want them, one module for each of them."""
