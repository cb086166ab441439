"""Data: sets of handwritten digits, batches of any data, prefetching and augmentation.

:func:`digits` is inside the package, :func:`mnist` is read from a folder or downloaded once. Both return a
:class:`Dataset` of three :class:`Split`, as NumPy arrays on the host. :func:`batches` goes through these or
any other data, and :func:`prefetch` moves batches to the device while the one before is computed with;
:mod:`bpkit.data.augment` makes more images of those there are.
"""

from bpkit.data import augment
from bpkit.data.batches import batches, collate, count_batches, draw_order
from bpkit.data.dataset import Dataset, Split
from bpkit.data.digits import digits
from bpkit.data.idx import read_idx
from bpkit.data.mnist import mnist
from bpkit.data.prefetch import prefetch, to_device

__all__ = [
    "Dataset",
    "Split",
    "augment",
    "batches",
    "collate",
    "count_batches",
    "digits",
    "draw_order",
    "mnist",
    "prefetch",
    "read_idx",
    "to_device",
]
