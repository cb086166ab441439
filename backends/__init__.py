"""The array libraries bpkit knows, one file each; :mod:`bpkit.registry` loads them by name on first use.

Users name a backend (``bpkit.use_backend("torch:cuda")``, ``BPKIT_BACKEND=jax``) and never import one. Who
writes a backend imports from here what one is made of: the protocol, and a class that has most of it already.
Importing a file of this folder must not import its library.
"""

from bpkit._protocol import DTYPES, Backend, Capability, Into

from ._common import ALL_CAPABILITIES, LibraryBackend, host_copy

__all__ = ["ALL_CAPABILITIES", "DTYPES", "Backend", "Capability", "Into", "LibraryBackend", "host_copy"]
