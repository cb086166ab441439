"""Functions that are no operators of ONNX, or not for every array, by others that are."""

from math import inf
from typing import Any

from bpkit.evaluate import Definition, definitions
from bpkit.interop.onnx.functions import FUNCTIONS
from bpkit.interop.onnx.recording import dtype_name
from bpkit.kinds import is_real
from bpkit.sliding import Ints, Sliding

__all__ = ["meaning"]


def meaning(name: str, x: Any, static: dict[str, Any]) -> Definition | None:
    """By which functions a function is exported; None if it is exported as itself, or not at all."""
    if name in _WINDOWED:
        return None if _is_operator(name, x, static) else _WINDOWED[name]
    return None if name in FUNCTIONS else definitions.get(name, _COMPOSED.get(name))


def _is_operator(name: str, x: Any, static: dict[str, Any]) -> bool:
    """Whether a function of a sliding window is one operator of ONNX Runtime for this array."""
    if name in ("conv", "conv_transpose"):
        # It has no kernels for these in float64: microsoft/onnxruntime, docs/OperatorKernels.md.
        return dtype_name(x.dtype) == "float32"
    axes = static["moving"].axes
    return is_real(x) and tuple(axes) == tuple(range(2, len(x.shape))) and len(axes) in (1, 2, 3)


def _vector_norm(xp: Any, x: Any, *, ord: float, **settings: Any) -> Any:  # noqa: A002 - the standard's name
    sizes = xp.abs(x)
    if ord == inf:
        return xp.max(sizes, **settings)
    if ord == -inf:
        return xp.min(sizes, **settings)
    if ord == 0:
        return xp.astype(xp.count_nonzero(sizes, **settings), sizes.dtype)
    if ord == 1:
        return xp.sum(sizes, **settings)
    if ord == 2:
        return xp.sqrt(xp.sum(sizes * sizes, **settings))
    return xp.sum(sizes**ord, **settings) ** (1.0 / ord)


def _conv_transpose(xp: Any, y: Any, weight: Any, *, sliding: Sliding, lengths: Ints) -> Any:
    """The transpose as a convolution: of `y` with zeros between its elements, by the weight turned round."""
    _, channels, *places = y.shape
    for axis, step in enumerate(sliding.stride, 2):
        if step > 1:
            # Zeros behind every element, but not behind the last one.
            apart = xp.pad(
                xp.expand_dims(y, axis + 1),
                ((0, 0),) * (axis + 1) + ((0, step - 1),) + ((0, 0),) * (y.ndim - axis - 1),
            )
            y = xp.reshape(apart, (*y.shape[:axis], y.shape[axis] * step, *y.shape[axis + 1 :]))
            y = y[(*(slice(None),) * axis, slice(0, (places[axis - 2] - 1) * step + 1), ...)]
    window = weight.shape[2:]
    reach = [gap * (size - 1) for gap, size in zip(sliding.dilation, window, strict=True)]
    widths = []
    for far, before, length, have in zip(reach, sliding.before, lengths, y.shape[2:], strict=True):
        widths.append((far - before, length + before - have))
    # What is cut off at an end is a padding below 0.
    cut = tuple(
        [
            slice(max(0, -first), have - max(0, -last))
            for (first, last), have in zip(widths, y.shape[2:], strict=True)
        ]
    )
    y = xp.pad(
        y[(slice(None), slice(None), *cut)], ((0, 0), (0, 0), *[(max(0, a), max(0, b)) for a, b in widths])
    )
    parts = xp.reshape(weight, (sliding.groups, channels // sliding.groups, *weight.shape[1:]))
    order = (0, 2, 1, *range(3, parts.ndim))
    turned = xp.flip(xp.permute_dims(parts, order), axis=tuple(range(3, parts.ndim)))
    turned = xp.reshape(turned, (sliding.groups * weight.shape[1], channels // sliding.groups, *window))
    return xp.conv(y, turned, dilation=sliding.dilation, groups=sliding.groups)


def _isin(xp: Any, x1: Any, x2: Any, *, invert: bool) -> Any:
    found = xp.any(xp.expand_dims(x1, -1) == xp.reshape(x2, (-1,)), axis=-1)
    return xp.logical_not(found) if invert else found


_COMPOSED: dict[str, Definition] = {"isin": _isin, "linalg.vector_norm": _vector_norm}
_WINDOWED: dict[str, Definition] = {
    "conv": definitions["conv"],
    "conv_transpose": _conv_transpose,
    "max_pool": definitions["max_pool"],
}
