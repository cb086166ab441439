"""Functions and models of bpkit in PyTorch's programs, and PyTorch's in bpkit's.

Needs PyTorch: ``pip install torch``.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "bpkit.interop.torch needs PyTorch, which is not installed: pip install torch"
    ) from error

from bpkit.interop.torch.inward import from_torch
from bpkit.interop.torch.module import to_torch_module
from bpkit.interop.torch.outward import to_torch

__all__ = ["from_torch", "to_torch", "to_torch_module"]
