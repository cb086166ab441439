"""array-api-extra."""

from typing import Any

import array_api_compat
import array_api_extra as xpx
import numpy as np

from bpkit import xp

from .call import MIXED, POSITIVE, RNG, SIGNED, UNIT, X, Y, call, stop

__all__ = ["CALLS", "STOPS"]

INDICES = np.asarray([2, 0, 1])
MASK = MIXED > 0
HOLES = np.where(RNG.random((3, 4)) < 0.3, np.nan, MIXED)
ROW, PAIR = X[:4], Y[:2]


def space(x: Any) -> Any:
    """The namespace of an array."""
    return array_api_compat.array_namespace(x)


CALLS = [
    call("xpx.atleast_nd", lambda x: xpx.atleast_nd(x, ndim=3), X),
    call("xpx.cov", xpx.cov, MIXED),
    call("xpx.cov of columns", lambda x: xpx.cov(x, axis=0, correction=0), MIXED),
    call("xpx.cov weighted", lambda x, f, a: xpx.cov(x, fweights=f, aweights=a), MIXED, [1, 2, 1, 3], ROW),
    call("xpx.create_diagonal", lambda x: xpx.create_diagonal(x, offset=1), MIXED),
    call("xpx.kron", xpx.kron, MIXED, Y),
    call("xpx.nan_to_num", lambda x: xpx.nan_to_num(x, fill_value=0.5), MIXED),
    call("xpx.nunique", lambda x: xpx.nunique(x) * x, X, not_on="array_api_strict"),
    call("xpx.one_hot", lambda x, i: x @ xpx.one_hot(i, 4, dtype=x.dtype), MIXED[:, :3], INDICES),
    call("xpx.pad", lambda x: xpx.pad(x, (1, 2), constant_values=3.0), MIXED),
    call("xpx.setdiff1d", xpx.setdiff1d, X, [3.0, 4.0]),
    call("xpx.union1d", xpx.union1d, X, Y),
    call("xpx.isin", lambda x, y: xp.where(xpx.isin(x, y), x, x * 2), X, [3.0, 4.0]),
    call("xpx.sinc", xpx.sinc, SIGNED),
    call("xpx.angle", lambda x: xpx.angle(x + (1 + 2j)), SIGNED),
    call("xpx.deg2rad", xpx.deg2rad, SIGNED),
    call("xpx.rad2deg", xpx.rad2deg, SIGNED),
    call("xpx.at set", lambda x: xpx.at(x)[1].set(9.0), X),
    call("xpx.at set to an array", lambda x, y: xpx.at(x, slice(1, 3)).set(y), X, PAIR),
    call("xpx.at mask multiply", lambda x, m: xpx.at(x)[m].multiply(3.0), MIXED, MASK),
    call("xpx.at mask set, copied", lambda x, m: x * xpx.at(x)[m].set(3.0, copy=True), MIXED, MASK),
    call("xpx.at add", lambda x, y: xpx.at(x)[1, ...].add(y), MIXED, ROW),
    call("xpx.at max", lambda x: xpx.at(x)[0, :].max(0.3), MIXED),
    call("xpx.at power", lambda x: xpx.at(x)[0, :].power(2), MIXED),
    call("xpx.at divide", lambda x, y: xpx.at(x)[:, 0].divide(y), MIXED, X[:3]),
    call("xpx.apply_where", lambda x, m: xpx.apply_where(m, x, lambda t: t**2, lambda t: 3 * t), MIXED, MASK),
    call("xpx.apply_where filled", lambda x: xpx.apply_where(x > 0, x, xp.sqrt, fill_value=0.0), MIXED),
    call(
        "xpx.apply_where of two",
        lambda x, y: xpx.apply_where(x > 0, (x, y), lambda t, u: t * u, lambda t, u: t / u),
        MIXED,
        POSITIVE,
    ),
    call("xpx.isclose", lambda x, y: xp.where(xpx.isclose(x, y, atol=0.9), x, y), X, Y),
    call("xpx.partition", lambda x: xp.sum(xpx.partition(x, 2)[:2]), X),
    call("xpx.argpartition", lambda x: xp.sum(xp.take(x, xpx.argpartition(x, 2)[:2])), X),
    call("xpx.nanmean", lambda x: xpx.nanmean(xp.where(x < -1, xp.nan, x), axis=0), MIXED),
    call("xpx.nansum", lambda x: xpx.nansum(xp.where(x < -1, xp.nan, x), axis=1), MIXED),
    call("xpx.nanmax", lambda x: xpx.nanmax(xp.where(x > 1, xp.nan, x), axis=0), MIXED),
    call("xpx.nanmin", lambda x: xpx.nanmin(xp.where(x < -1, xp.nan, x), axis=0), MIXED),
    call("xpx.searchsorted", lambda x, y: xp.take(x, xpx.searchsorted(x, y)), np.sort(X), UNIT),
    call("xpx.tril_indices", lambda x: x[xpx.tril_indices(3, xp=space(x))], MIXED),
    call("xpx.triu_indices", lambda x: x[xpx.triu_indices(3, xp=space(x))], MIXED),
    call("xpx.diag_indices", lambda x: x[xpx.diag_indices(3, xp=space(x))], MIXED),
    call("xpx.unravel_index", lambda x, i: x[xpx.unravel_index(i, (3, 4))], MIXED, INDICES),
    call("xpx.lazy_apply", lambda x: xpx.lazy_apply(lambda t: t * 2, x), MIXED),
]

STOPS = [
    stop(
        "xpx.lazy_apply as NumPy",
        lambda x: xpx.lazy_apply(lambda t: t * 2, x, as_numpy=True),
        MIXED,
        line="arg = typing.cast(Array, np.asarray(arg))",
    ),
]
