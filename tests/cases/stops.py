"""Functions through which no derivative flows, each with a call that depends on `x`."""

from collections.abc import Callable
from typing import Any

__all__ = ["STOPS"]


def _whole(xp: Any, x: Any) -> Any:
    return xp.astype(x * 3.0, "int64")


_UNARY = ("ceil", "floor", "round", "trunc", "isfinite", "isinf", "isnan", "signbit", "stop_gradient")
_LIKE = ("empty_like", "ones_like", "zeros_like")
_COMPARISONS = ("equal", "greater", "greater_equal", "less", "less_equal", "not_equal")
_LOGICAL = ("logical_and", "logical_or", "logical_xor")
_BITS = ("bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor")


def _plain(name: str) -> Callable[..., Any]:
    return lambda xp, x: getattr(xp, name)(x)


def _with_itself(name: str) -> Callable[..., Any]:
    return lambda xp, x: getattr(xp, name)(x, x[0] * x)


def _of_truths(name: str) -> Callable[..., Any]:
    return lambda xp, x: getattr(xp, name)(x > 0.0, x > 1.0)


def _of_integers(name: str) -> Callable[..., Any]:
    return lambda xp, x: getattr(xp, name)(_whole(xp, x), 1)


STOPS: dict[str, Callable[..., Any]] = {
    **{name: _plain(name) for name in (*_UNARY, *_LIKE, "argmax", "argmin", "argsort")},
    **{name: _with_itself(name) for name in (*_COMPARISONS, "floor_divide")},
    **{name: _of_truths(name) for name in _LOGICAL},
    **{name: _of_integers(name) for name in _BITS},
    "all": lambda xp, x: xp.all(x > 0.0, axis=0),
    "any": lambda xp, x: xp.any(x > 0.0, axis=0),
    "bitwise_invert": lambda xp, x: xp.bitwise_invert(_whole(xp, x)),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x, axis=0),
    "full_like": lambda xp, x: xp.full_like(x, 2.0),
    "isin": lambda xp, x: xp.isin(_whole(xp, x), 1),
    "logical_not": lambda xp, x: xp.logical_not(x > 0.0),
    "nonzero": lambda xp, x: xp.nonzero(x)[0],
    "one_hot": lambda xp, x: xp.one_hot(xp.astype(x > 0.0, "int64"), 3),
    "repeated_places": lambda xp, x: xp.repeat(_whole(xp, x) * 0, xp.abs(_whole(xp, x))),
    "special.gammasgn": lambda xp, x: xp.special.gammasgn(x),
    "searchsorted": lambda xp, x: xp.searchsorted(xp.sort(x), x),
    "unique_all": lambda xp, x: xp.unique_all(x).indices,
    "unique_counts": lambda xp, x: xp.unique_counts(x).counts,
    "unique_inverse": lambda xp, x: xp.unique_inverse(x).inverse_indices,
}
"""``STOPS[name](xp, x)`` for a floating `x` with one axis."""
