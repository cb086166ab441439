"""Data sets of handwritten digits, as NumPy arrays on the host.

:func:`digits` is inside the package, :func:`mnist` is read from a folder or downloaded once. Both return a
:class:`Dataset` of three :class:`Split`. The training loop moves the batches to the backend it runs on.
"""

from bpkit.data.dataset import Dataset, Split
from bpkit.data.digits import digits
from bpkit.data.idx import read_idx
from bpkit.data.mnist import mnist

__all__ = ["Dataset", "Split", "digits", "mnist", "read_idx"]
