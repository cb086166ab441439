"""Arrays that share memory, and what a write to one of them changes.

Arrays inside a transform are never written to: ``x[i] = v`` and ``x += v`` give the traced array a new value.
Where the library's own arrays would share memory, so that a write to one changes another, that one is given
its new value too: a view remembers the array it was taken from and how. A write goes up from the view to the
array at the root, by the inverse of how each view was taken, and from there down again to every view that is
still in use. Whether two arrays do share memory is asked of the library, so that a `reshape` that had to copy
is no view.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bpkit.errors import GradientCutError
from bpkit.kinds import raw
from bpkit.registry import backend_of
from bpkit.trace import Traced, call

__all__ = ["VIEWS", "View", "remember", "write"]


class View(NamedTuple):
    """How an array was taken from another: ``call(name, base, **static)``."""

    base: Traced
    name: str
    static: dict[str, Any]


Inverse = Callable[[Any, Any, dict[str, Any]], Any]


def _permuted_back(base: Any, value: Any, static: dict[str, Any]) -> Any:
    axes = static["axes"]
    inverse = sorted(range(len(axes)), key=lambda k: axes[k] % len(axes))
    return call("permute_dims", value, axes=tuple(inverse))


VIEWS: dict[str, Inverse | None] = {
    "astype": lambda base, value, static: value,
    "broadcast_to": None,
    "conj": lambda base, value, static: call("conj", value),
    # Over no axes these are the signal itself.
    "fft.fftn": None,
    "fft.ifftn": None,
    "flip": lambda base, value, static: call("flip", value, **static),
    "getitem": lambda base, value, static: call("setitem", base, value, **static),
    "imag": None,
    "matrix_transpose": lambda base, value, static: call("matrix_transpose", value),
    "permute_dims": _permuted_back,
    "positive": lambda base, value, static: value,
    "real": None,
    "reshape": lambda base, value, static: call("reshape", value, shape=base.shape, copy=None),
    "stop_gradient": None,
}
"""Functions whose result may share memory with their first operand.

Each with what the operand becomes when the result becomes `value`; None where that cannot be followed.
"""


def remember(view: Traced, base: Traced, name: str, static: dict[str, Any]) -> None:
    """Note that `view` is ``call(name, base, **static)``, one of :data:`VIEWS`, and may share its memory."""
    view._view = View(base, name, static)
    views = base._views
    if views is None:
        base._views = [weakref.ref(view)]
        return
    count = len(views)
    # Whenever the list has doubled, what is gone is let go: a constant cost for each view.
    if count >= 16 and not count & (count - 1):
        views[:] = [reference for reference in views if reference() is not None]
    views.append(weakref.ref(view))


def write(x: Traced, new: Traced, what: str) -> None:
    """Give `x` the value of `new`, and every array that shares memory with it the value it then has.

    Parameters
    ----------
    x : Traced
        Of a library whose arrays can be changed.
    new : Traced
        Of the shape and dtype of `x`.
    what : str
        The operation, for errors.

    Raises
    ------
    GradientCutError
        If `x` is a view of a kind that cannot be followed, or two arguments of the transform share memory.
    """
    root, path = x, []
    while root._view is not None and _share_memory(root, root._view.base):
        if VIEWS[root._view.name] is None:
            raise GradientCutError(
                f"{what}: x was made by {root._view.name} and shares memory with the array that it was made "
                f"from; this change cannot be followed to there. Copy x first: x = xp.asarray(x, copy=True)"
            )
        path.append(root._view)
        root = root._view.base
    if sum(_share_memory(root, other) for other in root._trace.entered) > 1:
        raise GradientCutError(
            f"{what}: x shares memory with another argument of the function, which would change too. Pass "
            f"copies, or copy x first: x = xp.asarray(x, copy=True)"
        )
    followers = list(_followers(root))
    for view in path:
        inverse = VIEWS[view.name]
        assert inverse is not None
        new = inverse(view.base, new, view.static)
    _become(root, new)
    # Views of views come after what they were taken from.
    for follower, view in followers:
        new = call(view.name, view.base, **view.static)
        follower._value, follower._trace, follower._link = new._value, new._trace, new._link


def _followers(base: Traced) -> Iterator[tuple[Traced, View]]:
    """Every array in use that shares memory with `base` as a view of it, or a view of a view."""
    for reference in base._views or ():
        follower = reference()
        if follower is not None and follower._view is not None and _share_memory(follower, base):
            yield follower, follower._view
            yield from _followers(follower)


def _share_memory(x: Any, y: Any) -> bool:
    x, y = raw(x), raw(y)
    return backend_of(x).shares_memory(x, y)


def _become(x: Traced, new: Traced) -> None:
    value = raw(new)
    # Into the memory layout of x, on which it depends what is a view; and NumPy's functions of 0-d arrays
    # return scalars, which cannot be written to again.
    if not hasattr(value, "__setitem__") or not backend_of(value).same_layout(raw(x), value):
        new = call("setitem", x, new, key=(...,))
    x._value, x._trace, x._link = new._value, new._trace, new._link
