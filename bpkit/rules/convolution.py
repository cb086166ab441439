"""Derivatives of convolutions, of the windows that they are made of, and of pooling: linear, nearly all.

``conv``, ``conv_transpose`` and ``conv_kernel`` are the derivatives of one sum of products by one of its
three factors (see :mod:`bpkit.namespace.convolution`), so that the derivatives of each are the two others.
"""

from typing import Any

from bpkit.namespace.windows import add_windows, windows
from bpkit.rules.registry import custom, linear
from bpkit.sliding import Ints, Sliding, Windows
from bpkit.trace import call


def _image(y: Any, weight: Any, shape: Ints, sliding: Sliding) -> Any:
    return call("conv_transpose", y, weight, sliding=sliding, lengths=tuple(shape[2:]))


def _weight(x: Any, y: Any, shape: Ints, sliding: Sliding) -> Any:
    return call("conv_kernel", x, y, sliding=sliding, window=tuple(shape[2:]))


def _result(x: Any, weight: Any, shape: Ints, sliding: Sliding) -> Any:
    return call("conv", x, weight, sliding=sliding, places=tuple(shape[2:]))


linear(
    "conv",
    x=lambda g, weight, x_shape, sliding: _image(g, weight, x_shape, sliding),
    weight=lambda g, x, weight_shape, sliding: _weight(x, g, weight_shape, sliding),
)
linear(
    "conv_transpose",
    y=lambda g, weight, y_shape, sliding: _result(g, weight, y_shape, sliding),
    weight=lambda g, y, weight_shape, sliding: _weight(g, y, weight_shape, sliding),
)
linear(
    "conv_kernel",
    x=lambda g, y, x_shape, sliding: _image(y, g, x_shape, sliding),
    y=lambda g, x, y_shape, sliding: _result(x, g, y_shape, sliding),
)


def _all_added(g: Any, x_shape: Ints, moving: Windows, at: int) -> Any:
    return add_windows(g, moving, tuple([x_shape[axis] for axis in moving.axes]), at)


def _all_seen(g: Any, x_shape: Ints, moving: Windows, at: int) -> Any:
    behind = (*x_shape[:at], *x_shape[at + len(moving.window) :])
    return windows(g, moving, tuple([behind[axis] for axis in moving.axes]), at)


linear("windows", x=_all_added)
linear("add_windows", x=_all_seen)

# The largest element of a window. Which one that is stays so under a small change of x, and what goes out
# from it or comes to it is linear.


def _to_winners(g: Any, x: Any, y: Any, moving: Windows) -> Any:
    return call("add_to_winners", g, x, y, moving=moving)


def _of_winners(t: Any, x: Any, y: Any, moving: Windows) -> Any:
    return call("winners", t, x, y, moving=moving)


custom(
    "max_pool",
    x=lambda g, x, out, moving: _to_winners(g, x, out, moving),
    jvp=lambda t, x, out, moving: _of_winners(t, x, out, moving),
)
linear("winners", "t", "x", "y", t=_to_winners)
linear("add_to_winners", "updates", "x", "y", updates=_of_winners)
