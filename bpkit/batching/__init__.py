"""One run of a function for many examples: every function of the namespace takes a batch axis along."""

from bpkit.batching import convolution, elementwise, indexing, linalg, reductions, shapes
from bpkit.batching.registry import BATCHING
from bpkit.batching.trace import BatchTrace

__all__ = [
    "BATCHING",
    "BatchTrace",
    "convolution",
    "elementwise",
    "indexing",
    "linalg",
    "reductions",
    "shapes",
]
