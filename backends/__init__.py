"""The array libraries bpkit knows, one file each; :mod:`bpkit.registry` loads them by name on first use.

Nothing here is public: users name a backend (``bpkit.use_backend("torch:cuda")``, ``BPKIT_BACKEND=jax``) and
never import one. Importing a file of this folder must not import its library.
"""
