"""Weights from elsewhere and for elsewhere: PyTorch's state dicts, and safetensors files of them.

Layers of bpkit compute what PyTorch's layers of the same names compute, and their weights have the same
shapes. Only the names differ, and this module knows both. Nothing that a file says is run: of PyTorch's own
files only the tensors are read.
"""

from bpkit.interop.weights.moving import load, save, to_state_dict

__all__ = ["load", "save", "to_state_dict"]
