"""Arrays that share memory, and what a write to one of them changes.

Arrays inside a transform are never written to: ``x[i] = v`` and ``x += v`` give the traced array a new value.
Where the library's own arrays would share memory, so that a write to one changes another, that one is given
its new value too: a view remembers the array it was taken from and how. A write goes up from the view to the
array at the root, by the inverse of how each view was taken, and from there down again to every view that is
still in use. Whether two arrays do share memory is asked of the library, so that a `reshape` that had to copy
is no view.
"""

import weakref
from collections.abc import Callable
from typing import Any

from bpkit.errors import GradientCutError
from bpkit.indexing import on_diagonal
from bpkit.kinds import elements_are_views, is_mutable, raw
from bpkit.registry import backend_of
from bpkit.trace import Traced, call, snapshot

__all__ = [
    "VIEWS",
    "View",
    "changes_another_argument",
    "family_of",
    "inverse_permutation",
    "remember",
    "replace",
    "share_memory",
    "write",
]


class View:
    """How an array was taken from another: ``call(name, base, *indices, **static)``."""

    __slots__ = ("_base", "indices", "name", "static")

    name: str
    indices: tuple[Any, ...]
    static: dict[str, Any]

    def __init__(self, base: Traced, name: str, indices: tuple[Any, ...], static: dict[str, Any]) -> None:
        # A write that cannot be followed to the base is refused; but not where nobody has it any more, nor
        # anything else that shares its memory.
        alone = name in _APART and base._view is None and not base._views
        self._base: Any = weakref.ref(base) if alone else base
        self.name, self.indices, self.static = name, indices, static

    @property
    def base(self) -> Any:
        """The other array, a Traced; None if it is gone, and nobody sees what is written to its memory."""
        return self._base() if type(self._base) is weakref.ref else self._base

    def hold(self) -> None:
        """Keep the other array, of which there is another view now."""
        self._base = self.base


Inverse = Callable[[Any, View], Any]


def inverse_permutation(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that undo ``permute_dims(x, axes)``."""
    return tuple(sorted(range(len(axes)), key=lambda k: axes[k] % len(axes)))


def _with_diagonal(value: Any, view: View) -> Any:
    base = view.base
    row, places = on_diagonal(base.shape, **view.static)
    new = call("setitem", call("reshape", base, shape=row, copy=None), value, key=places)
    return call("reshape", new, shape=base.shape, copy=None)


def _with_part(value: Any, view: View) -> Any:
    key, i, new = view.static["key"], 0, []
    # Some libraries take no None in a key that is written to: the axes that it made are taken off.
    for part in key:
        if part is None:
            new.append(i)
        if part is ...:
            i += len(value.shape) - sum(other is None or isinstance(other, slice) for other in key)
        elif part is None or isinstance(part, slice):
            i += 1
    if new:
        shape = tuple([n for i, n in enumerate(value.shape) if i not in new])
        value = call("reshape", value, shape=shape, copy=None)
        key = tuple([part for part in key if part is not None])
    return call("setitem", view.base, value, *view.indices, key=key)


VIEWS: dict[str, Inverse | None] = {
    "astype": lambda value, view: value,
    "broadcast_to": None,
    "conj": lambda value, view: call("conj", value),
    # Over no axes these are the signal itself.
    "fft.fftn": None,
    "fft.ifftn": None,
    "flip": lambda value, view: call("flip", value, **view.static),
    "getitem": _with_part,
    "imag": None,
    "linalg.diagonal": _with_diagonal,
    "matrix_transpose": lambda value, view: call("matrix_transpose", value),
    "permute_dims": lambda value, view: call(
        "permute_dims", value, axes=inverse_permutation(view.static["axes"])
    ),
    "positive": lambda value, view: value,
    "real": None,
    "reshape": lambda value, view: call("reshape", value, shape=view.base.shape, copy=None),
    "stop_gradient": None,
}
"""Functions whose result may share memory with their first operand.

Each with what the operand becomes when the result becomes `value`; None where that cannot be followed.
"""
_APART = frozenset({"fft.fftn", "fft.ifftn", "imag", "real", "stop_gradient"})
"""Those that cannot be followed, but for `broadcast_to`, whose result shares memory with itself."""
_SELDOM = frozenset({"astype", "conj", "fft.fftn", "fft.ifftn", "positive"})
"""Those whose result mostly is a copy, so that it is asked at once and the operand need not be kept."""


def remember(view: Any, operands: tuple[Any, ...], name: str, static: dict[str, Any]) -> None:
    """Note that `view` is ``call(name, *operands, **static)``, one of :data:`VIEWS`, and may be a view."""
    base, indices = operands[0], operands[1:]
    # Indexing by arrays copies; integers may be arrays of no axes.
    if any(index.shape for index in indices) or not is_mutable(base):
        return
    # Under vmap the elements of all examples may be a view of the batch where that of one is none.
    element = name == "getitem" and not view.shape and ... not in static["key"]
    if element and not elements_are_views(backend_of(raw(base))):
        return
    if name in _SELDOM and not share_memory(view, base):
        return
    view._view = View(base, name, tuple(map(snapshot, indices)), static)
    views = base._views
    if views is None:
        base._views = [weakref.ref(view)]
        return
    count = len(views)
    first = views[0]() if count == 1 else None
    if first is not None:
        first._view.hold()
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
    if not isinstance(new, Traced):
        x._trace.refuse(f"{what}: x")
    root, path = _root(x)
    for view in path:
        if VIEWS[view.name] is None:
            raise GradientCutError(
                f"{what}: x was made by {view.name} and shares memory with the array that it was made "
                f"from; this change cannot be followed to there. Copy x first: x = xp.asarray(x, copy=True)"
            )
    if sum(share_memory(root, other) for other in root._trace.entered) > 1:
        raise changes_another_argument(what)
    value: Any = x
    while isinstance(value, Traced):
        value._trace.written(root, what)
        value = value._value
    for view in path:
        inverse = VIEWS[view.name]
        assert inverse is not None
        new = inverse(new, view)
    if root._trace.lent:
        _write_to_memory(root, new, what)
    else:
        replace(root, new)


def changes_another_argument(what: str) -> GradientCutError:
    """The error of a write to an argument that shares memory with another one."""
    return GradientCutError(
        f"{what}: x shares memory with another argument of the function, which would change too. Pass "
        f"copies, or copy x first: x = xp.asarray(x, copy=True)"
    )


def _root(x: Traced) -> tuple[Traced, list[View]]:
    """The array in whose memory `x` is, and the steps from `x` to there."""
    root, path = x, []
    while root._view is not None:
        base = root._view.base
        if base is None or not share_memory(root, base):
            break
        path.append(root._view)
        root = base
    return root, path


def family_of(x: Traced) -> tuple[Traced, list[Traced]]:
    """The array in whose memory `x` is, and all others in use that are views of it."""
    root, _ = _root(x)
    return root, [follower for follower, _ in _followers(root)]


def _write_to_memory(x: Traced, new: Traced, what: str) -> None:
    """Change the memory of `x`, which a NumPy array outside shares."""
    value: Any = new
    while isinstance(value, Traced):
        if value._link is not None:
            raise GradientCutError(
                f"{what}: an array that numpy.asarray(x) or DLPack made of x is still in use. It shares the "
                f"memory of x and cannot take up a value traced by {value._trace.transform}. Let go of it "
                f"first (del), or make it a copy: numpy.array(x)"
            )
        value = value._value
    x._value[...] = value


def replace(root: Traced, new: Traced) -> None:
    """Give an array that is no view the value of `new`, and its views what they then are."""
    followers = _followers(root)
    _become(root, new)
    # Views of views come after what they were taken from.
    for follower, view in followers:
        new = call(view.name, view.base, *view.indices, **view.static)
        follower._value, follower._trace, follower._link = new._value, new._trace, new._link


def _followers(base: Traced) -> list[tuple[Traced, View]]:
    """Every array in use that shares memory with `base` as a view of it; views of views come later."""
    found: list[tuple[Traced, View]] = []
    bases = [base]
    while bases:
        base = bases.pop()
        for reference in base._views or ():
            follower = reference()
            if follower is not None and follower._view is not None and share_memory(follower, base):
                found.append((follower, follower._view))
                bases.append(follower)
    return found


def share_memory(x: Any, y: Any) -> bool:
    """Whether writing to one of two arrays, raw or traced, can change the other."""
    x, y = raw(x), raw(y)
    return backend_of(x).shares_memory(x, y)


def _layout(x: Any) -> Any:
    return backend_of(x).layout(x)


def _become(x: Traced, new: Traced) -> None:
    value = raw(new)
    # Into the memory layout of x, on which it depends what is a view; and NumPy's functions of 0-d arrays
    # return scalars, which cannot be written to again.
    if is_mutable(x) > is_mutable(new) or _layout(raw(x)) != _layout(value):
        new = call("setitem", x, new, key=(...,))
    x._value, x._trace, x._link = new._value, new._trace, new._link
