"""Points at which derivatives go wrong, and what they are there."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import namespace as xp

__all__ = ["CURVATURES", "POINTS"]

Function = Callable[..., Any]
Point = tuple[str, Function, list[Any], list[Any]]
Curvature = tuple[str, Function, list[float], Any]

inf, nan = math.inf, math.nan


def _where_not_nan(name: str) -> Function:
    return lambda x: xp.where(xp.isnan(x), 0.0, getattr(xp, name)(x))


def _along_rows(name: str) -> Function:
    return lambda x: getattr(xp, name)(x, axis=1)


POINTS: list[Point] = [
    # Ties and kinks.
    ("max splits a tie", xp.max, [[1.0, 3.0, 3.0, 2.0]], [[0, 0.5, 0.5, 0]]),
    ("min splits a tie", xp.min, [[2.0, 2.0, 2.0]], [[1 / 3, 1 / 3, 1 / 3]]),
    (
        "max splits ties along an axis",
        lambda x: xp.max(x, axis=0),
        [[[1.0, 5.0], [1.0, 4.0]]],
        [[[0.5, 1], [0.5, 0]]],
    ),
    ("maximum splits a tie", xp.maximum, [[1.0, 2.0], [1.0, 3.0]], [[0.5, 0], [0.5, 1]]),
    ("minimum splits a tie", xp.minimum, [[1.0, 2.0], [1.0, 3.0]], [[0.5, 1], [0.5, 0]]),
    ("maximum with a scalar splits a tie", lambda x: xp.maximum(x, 0.0), [[0.0, 1.0]], [[0.5, 1]]),
    ("minimum of infinities is a tie", xp.minimum, [[inf], [inf]], [[0.5], [0.5]]),
    (
        "clip at scalar bounds",
        lambda x: xp.clip(x, -1.0, 1.0),
        [[-2.0, -1.0, 0.0, 1.0, 2.0]],
        [[0, 0.5, 1, 0.5, 0]],
    ),
    (
        "clip splits a tie with its bounds",
        xp.clip,
        [[1.0, 2.0], [1.0, 0.0], [3.0, 2.0]],
        [[0.5, 0.5], [0.5, 0], [0, 0.5]],
    ),
    ("clip where all are equal", xp.clip, [[1.0], [1.0], [1.0]], [[0.25], [0.25], [0.5]]),
    ("max of 0 and -0 is a tie", xp.max, [[0.0, -0.0]], [[0.5, 0.5]]),
    ("maximum of 0 and -0 is a tie", xp.maximum, [[0.0, -0.0], [-0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]),
    ("max of infinities is a tie", xp.max, [[inf, 1.0, inf]], [[0.5, 0, 0.5]]),
    ("min of nothing but -inf is a tie", xp.min, [[-inf, -inf]], [[0.5, 0.5]]),
    ("clip without a lower bound", lambda x: xp.clip(x, None, 1.0), [[0.0, 1.0, 2.0]], [[1, 0.5, 0]]),
    (
        "clip without an upper bound",
        xp.clip,
        [[0.0, 1.0], [1.0, 1.0]],
        [[0, 0.5], [1, 0.5]],
    ),
    ("clip without bounds", lambda x: xp.clip(x, None, None), [[0.0, 1.0]], [[1, 1]]),
    ("clip at infinite bounds", lambda x: xp.clip(x, -inf, inf), [[-inf, 0.0, inf]], [[0.5, 1, 0.5]]),
    (
        "median with ties",
        lambda x: (xp.sort(x)[1] + xp.sort(x)[2]) / 2,
        [[2.0, 1.0, 2.0, 3.0]],
        [[0.5, 0, 0.5, 0]],
    ),
    ("median of equal numbers", lambda x: xp.sort(x)[1], [[2.0, 2.0, 2.0]], [[0, 1, 0]]),
    (
        "sort downward with ties",
        lambda x: xp.sort(x, descending=True) * xp.asarray([1.0, 2.0, 3.0]),
        [[1.0, 1.0, 0.0]],
        [[1, 2, 3]],
    ),
    (
        "take_along_axis with repeated indices",
        lambda x: xp.take_along_axis(x, xp.asarray([2, 2, 0]), axis=0) ** 2,
        [[1.0, 2.0, 3.0]],
        [[2, 0, 12]],
    ),
    (
        "repeat by an array",
        lambda x: xp.repeat(x, xp.asarray([2, 0, 1])) ** 2,
        [[1.0, 2.0, 3.0]],
        [[4, 0, 6]],
    ),
    (
        "unique values of the first of several",
        lambda x: xp.unique_values(x) * xp.asarray([1.0, 2.0]),
        [[3.0, 1.0, 3.0]],
        [[2, 1, 0]],
    ),
    ("abs at 0", xp.abs, [[-1.0, 0.0, -0.0, 2.0]], [[-1, 0, 0, 1]]),
    ("sign", xp.sign, [[-1.0, 0.0, 2.0]], [[0, 0, 0]]),
    ("relu at 0", xp.relu, [[-1.0, 0.0, -0.0, 2.0]], [[0, 0, 0, 1]]),
    ("hypot at the origin", xp.hypot, [[0.0, 3.0, 0.0], [0.0, 4.0, 2.0]], [[0, 0.6, 0], [0, 0.8, 1]]),
    ("atan2 at the origin has none", xp.atan2, [[0.0, 0.0], [0.0, 2.0]], [[nan, 0.5], [nan, 0]]),
    ("sort with ties", lambda x: xp.sort(x) * 2.0, [[1.0, 0.0, 1.0]], [[2, 2, 2]]),
    ("std of equal numbers", xp.std, [[2.0, 2.0]], [[0, 0]]),
    ("std of one number", xp.std, [[2.0]], [[0]]),
    ("var of equal numbers", xp.var, [[2.0, 2.0]], [[0, 0]]),
    ("var of one number", xp.var, [[2.0]], [[0]]),
    ("copysign by the sign of zero", xp.copysign, [[3.0, -3.0], [-0.0, 0.0]], [[-1, -1], [0, 0]]),
    # Products with zeros.
    ("prod with one zero", xp.prod, [[2.0, 0.0, 3.0]], [[0, 6, 0]]),
    ("prod with two zeros", xp.prod, [[0.0, 0.0, 3.0]], [[0, 0, 0]]),
    (
        "prod with zeros along an axis",
        lambda x: xp.prod(x, axis=1),
        [[[0.0, 2.0], [0.0, 0.0]]],
        [[[2, 0], [0, 0]]],
    ),
    ("cumulative_prod with one zero", xp.cumulative_prod, [[2.0, 0.0, 3.0]], [[1, 8, 0]]),
    ("cumulative_prod with two zeros", xp.cumulative_prod, [[0.0, 2.0, 0.0, 3.0]], [[3, 0, 0, 0]]),
    (
        "cumulative_prod of zeros after the initial 1",
        lambda x: xp.cumulative_prod(x, include_initial=True),
        [[0.0, 0.0, 0.0]],
        [[1, 0, 0]],
    ),
    (
        "cumulative_prod before it overflows",
        lambda x: xp.cumulative_prod(x)[:1],
        [[1e200, 1e200, 1e200, nan]],
        [[1, 0, 0, 0]],
    ),
    ("cumulative_prod with infinity", xp.cumulative_prod, [[2.0, inf, 3.0]], [[inf, 8, inf]]),
    # Powers.
    ("square of 0", lambda x: x**2, [[0.0, -2.0]], [[0, -4]]),
    ("first power of 0", lambda x: x**1, [[0.0, -2.0]], [[1, 1]]),
    ("zeroth power of 0", lambda x: x**0, [[0.0, -2.0]], [[0, 0]]),
    ("negative power of 0", lambda x: x**-1.0, [[0.0, 2.0]], [[-inf, -0.25]]),
    ("root as a power of 0", lambda x: x**0.5, [[0.0, 4.0]], [[inf, 0.25]]),
    (
        "base 0 and exponents 0, 1, 2, -1",
        xp.pow,
        [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, -1.0]],
        [[0, 1, 0, -inf], [0, 0, 0, -inf]],
    ),
    (
        "base 0 or -0 and exponents 1/2 and 3/2",
        xp.pow,
        [[0.0, -0.0, 0.0], [0.5, 0.5, 1.5]],
        [[inf, inf, 0], [0, 0, 0]],
    ),
    ("root as a power of -0", lambda x: x**0.5, [[-0.0]], [[inf]]),
    ("negative base and whole exponents", xp.pow, [[-2.0, -2.0], [2.0, 3.0]], [[-4, 12], [nan, nan]]),
    ("0 to the power x", lambda x: 0.0**x, [[0.0, 2.0]], [[0, 0]]),
    # Infinite slopes.
    ("sqrt at 0", xp.sqrt, [[0.0, -0.0, 4.0]], [[inf, inf, 0.25]]),
    ("log at 0", xp.log, [[0.0, -0.0, 4.0]], [[inf, inf, 0.25]]),
    ("log2 and log10 at -0", lambda x: xp.log2(x) + xp.log10(x), [[-0.0]], [[inf]]),
    ("log1p at -1", xp.log1p, [[-1.0]], [[inf]]),
    ("atanh at 1 and -1", xp.atanh, [[1.0, -1.0]], [[inf, inf]]),
    ("asin at 1", xp.asin, [[1.0, -1.0, 0.0]], [[inf, inf, 1]]),
    ("acosh at 1", xp.acosh, [[1.0]], [[inf]]),
    ("reciprocal at 0", xp.reciprocal, [[0.0, -0.0, 2.0]], [[-inf, -inf, -0.25]]),
    ("quotients by 0 and -0", xp.divide, [[1.0, 1.0], [0.0, -0.0]], [[inf, -inf], [-inf, -inf]]),
    # At infinity.
    *[
        (f"{name} at infinity", getattr(xp, name), [[inf]], [[0]])
        for name in ("sqrt", "log", "log1p", "log2", "log10", "atan", "asinh", "acosh", "reciprocal")
    ],
    ("exp at -inf", lambda x: xp.exp(x) + xp.expm1(x), [[-inf]], [[0]]),
    ("product of infinity and 0", xp.multiply, [[inf, 0.0], [0.0, -inf]], [[0, -inf], [inf, 0]]),
    ("cumulative_sum with infinity", xp.cumulative_sum, [[inf, 1.0]], [[2, 1]]),
    ("remainder by infinity", xp.remainder, [[5.0], [inf]], [[1], [0]]),
    # Far out.
    (
        "logaddexp of the largest numbers",
        xp.logaddexp,
        [[1e308, -1e308], [1e308, 1e308]],
        [[0.5, 0], [0.5, 1]],
    ),
    ("logsumexp of the largest numbers", xp.logsumexp, [[1e308, 1e308, -1e308]], [[0.5, 0.5, 0]]),
    ("softmax of the largest numbers", lambda x: xp.softmax(x)[:1], [[1e308, -1e308]], [[0, 0]]),
    ("log_softmax of the largest numbers", lambda x: xp.log_softmax(x)[1:], [[1e308, -1e308]], [[-1, 1]]),
    (
        "roll by more than the length",
        lambda x: xp.roll(x, 7) * xp.asarray([1.0, 2.0, 3.0]),
        [[1.0, 2.0, 3.0]],
        [[2, 3, 1]],
    ),
    (
        "roll backward by far more than the length",
        lambda x: xp.roll(x, -(10**6), axis=0) * xp.asarray([1.0, 2.0, 3.0]),
        [[1.0, 2.0, 3.0]],
        [[3, 1, 2]],
    ),
    ("expit far out", xp.expit, [[-inf, -1000.0, 0.0, 1000.0, inf]], [[0, 0, 0.25, 0, 0]]),
    ("log_expit far out", xp.log_expit, [[-inf, -1000.0, 0.0, 1000.0, inf]], [[1, 1, 0.5, 0, 0]]),
    ("softplus far out", xp.softplus, [[-inf, -1000.0, 0.0, 1000.0, inf]], [[0, 0, 0.5, 1, 1]]),
    ("tanh far out", xp.tanh, [[-inf, -1000.0, 0.0, 1000.0, inf]], [[0, 0, 1, 0, 0]]),
    (
        "logaddexp far out",
        xp.logaddexp,
        [[1000.0, -1000.0, 0.0, 1000.0], [-1000.0, 1000.0, 1000.0, 1000.0]],
        [[1, 0, 0, 0.5], [0, 1, 1, 0.5]],
    ),
    (
        "logaddexp of infinities",
        xp.logaddexp,
        [[inf, -inf, inf, -inf, 0.0], [inf, -inf, -inf, 0.0, inf]],
        [[0.5, 0.5, 1, 0, 0], [0.5, 0.5, 0, 1, 1]],
    ),
    (
        "logsumexp far out",
        lambda x: xp.logsumexp(x, axis=1),
        [[[1000.0, 1000.0], [-1000.0, -1000.0], [1000.0, -1000.0], [0.0, -inf]]],
        [[[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]],
    ),
    (
        "logsumexp of infinities",
        lambda x: xp.logsumexp(x, axis=-1),
        [[[-inf, -inf], [inf, 0.0], [inf, inf], [-inf, inf]]],
        [[[0, 0], [1, 0], [0.5, 0.5], [0, 1]]],
    ),
    (
        "softmax far out",
        lambda x: xp.softmax(x, axis=1)[:, 0],
        [[[1000.0, -1000.0], [1000.0, 1000.0], [-1000.0, -1000.0], [-inf, 0.0]]],
        [[[0, 0], [0.25, -0.25], [0.25, -0.25], [0, 0]]],
    ),
    ("softmax of nothing but -inf", xp.softmax, [[-inf, -inf]], [[nan, nan]]),
    (
        "log_softmax far out",
        lambda x: xp.log_softmax(x, axis=1)[:, 0],
        [[[1000.0, -1000.0], [-1000.0, 1000.0], [1000.0, 1000.0], [0.0, -inf]]],
        [[[0, 0], [1, -1], [0.5, -0.5], [0, 0]]],
    ),
    ("log_softmax of nothing but -inf", xp.log_softmax, [[-inf, -inf]], [[nan, nan]]),
    ("logsumexp of a tie beside -inf", xp.logsumexp, [[-inf, 1.0, 1.0]], [[0, 0.5, 0.5]]),
    ("logsumexp of a tie of infinities", xp.logsumexp, [[inf, -inf, inf, inf]], [[1 / 3, 0, 1 / 3, 1 / 3]]),
    ("softmax of a tie", lambda x: xp.softmax(x)[:1], [[2.0, 2.0, 2.0]], [[2 / 9, -1 / 9, -1 / 9]]),
    ("softmax of a tie beside -inf", lambda x: xp.softmax(x)[1:2], [[-inf, 1.0, 1.0]], [[0, 0.25, -0.25]]),
    (
        "log_softmax of a tie beside -inf",
        lambda x: xp.log_softmax(x)[2:],
        [[-inf, 1.0, 1.0]],
        [[0, -0.5, 0.5]],
    ),
    # A zero cotangent annihilates an infinite or undefined slope.
    ("sqrt where positive", lambda x: xp.where(x > 0.0, xp.sqrt(x), 0.0), [[0.0, 4.0, -1.0]], [[0, 0.25, 0]]),
    (
        "x log x where positive",
        lambda x: xp.where(x > 0.0, x * xp.log(x), 0.0),
        [[0.0, 1.0, -1.0]],
        [[0, 1, 0]],
    ),
    (
        "exp where it does not overflow",
        lambda x: xp.where(x < 700.0, xp.exp(x), 0.0),
        [[0.0, 800.0, inf]],
        [[1, 0, 0]],
    ),
    (
        "sinh where it does not overflow",
        lambda x: xp.where(x < 700.0, xp.sinh(x), 0.0),
        [[0.0, 800.0]],
        [[1, 0]],
    ),
    (
        "quotient where the divisor is not 0",
        lambda x, y: xp.where(y == 0.0, 0.0, x / y),
        [[0.0, 1.0, 4.0], [0.0, 0.0, 2.0]],
        [[0, 0, 0.5], [0, 0, -1]],
    ),
    (
        "remainder where the divisor is not 0",
        lambda x, y: xp.where(y == 0.0, 0.0, xp.remainder(x, y)),
        [[5.0, 5.0], [0.0, 3.0]],
        [[0, 1], [0, -1]],
    ),
    (
        "cumulative_prod of rows with NaN left out",
        lambda x: xp.where(xp.isnan(x), 0.0, xp.cumulative_prod(x, axis=1)),
        [[[2.0, 3.0, nan]]],
        [[[4, 2, 0]]],
    ),
    ("quotient by the number 0, not taken", lambda x: xp.where(x > 0.0, x, x / 0.0), [[1.0]], [[1]]),
    ("square where finite", lambda x: xp.where(xp.isfinite(x), xp.square(x), 0.0), [[3.0, inf]], [[6, 0]]),
    ("sine where finite", lambda x: xp.where(xp.isfinite(x), xp.sin(x), 0.0), [[0.0, inf]], [[1, 0]]),
    ("tangent where finite", lambda x: xp.where(xp.isfinite(x), xp.tan(x), 0.0), [[0.0, -inf]], [[1, 0]]),
    ("power where positive", lambda x: xp.where(x > 0.0, x**-0.5, 0.0), [[0.0, 4.0]], [[0, -1 / 16]]),
    (
        "atan2 away from the origin",
        lambda x, y: xp.where(x > 0.0, xp.atan2(x, y), 0.0),
        [[0.0, 2.0], [0.0, 0.0]],
        [[0, 0], [0, -0.5]],
    ),
    (
        "hypot where finite",
        lambda x, y: xp.where(xp.isfinite(x), xp.hypot(x, y), 0.0),
        [[inf, 3.0], [1.0, 4.0]],
        [[0, 0.6], [0, 0.8]],
    ),
    *[
        (f"{name} where not NaN", _where_not_nan(name), [[nan, 0.0]], [[0, slope]])
        for name, slope in [
            *(("tanh", 1), ("expit", 0.25), ("exp", 1), ("sin", 1), ("atan", 1), ("softplus", 0.5)),
            *(("log_expit", 0.5), ("abs", 0), ("relu", 0), ("square", 0), ("expm1", 1), ("asinh", 1)),
        ]
    ],
    (
        "rows with NaN left out",
        lambda x: xp.where(xp.isnan(xp.sum(x, axis=1)), 0.0, xp.max(x, axis=1) + xp.prod(x, axis=1)),
        [[[nan, 1.0], [2.0, 3.0]]],
        [[[0, 0], [3, 3]]],
    ),
    (
        "variance of rows with NaN left out",
        lambda x: xp.where(xp.isnan(xp.sum(x, axis=1)), 0.0, xp.var(x, axis=1)),
        [[[nan, 1.0], [1.0, 3.0]]],
        [[[0, 0], [-1, 1]]],
    ),
    (
        "a zero factor after an infinite slope",
        lambda x: xp.sum(xp.sqrt(x)[1:]) + 0.0 * x[1],
        [[0.0, 4.0]],
        [[0, 0.25]],
    ),
    # NaN stays NaN.
    *[
        (f"{name} of NaN", getattr(xp, name), [[nan]], [[nan]])
        for name in (
            "exp",
            "log",
            "sin",
            "tanh",
            "sqrt",
            "expit",
            "log_expit",
            "softplus",
            "abs",
            "square",
            "atan",
        )
    ],
    ("product with NaN", xp.multiply, [[nan, 1.0], [2.0, nan]], [[2, nan], [nan, 1]]),
    (
        "max of a row with NaN",
        lambda x: xp.max(x, axis=1),
        [[[nan, 1.0], [2.0, 3.0]]],
        [[[nan, nan], [0, 1]]],
    ),
    ("maximum with NaN", xp.maximum, [[nan, 1.0], [0.0, nan]], [[nan, nan], [nan, nan]]),
    ("clip at NaN", xp.clip, [[1.0], [nan], [2.0]], [[nan], [nan], [nan]]),
    ("logaddexp with NaN", xp.logaddexp, [[nan], [1.0]], [[nan], [nan]]),
    ("logsumexp with NaN", xp.logsumexp, [[nan, 1.0]], [[nan, nan]]),
    ("a NaN after relu", lambda x: xp.relu(x) ** 2, [[nan, 3.0]], [[nan, 6]]),
    (
        "a NaN after maximum and clip",
        lambda x: xp.clip(xp.maximum(x, 1.0), 0.0, 2.0) ** 2,
        [[nan, 1.5]],
        [[nan, 3]],
    ),
    # Precise beside singular points.
    ("expm1 far below 0", xp.expm1, [[-30.0]], [[math.exp(-30)]]),
    ("asin beside 1", xp.asin, [[1 - 2.0**-40]], [[1 / math.sqrt(2.0**-40 * (2 - 2.0**-40))]]),
    ("acos beside 1", xp.acos, [[1 - 2.0**-40]], [[-1 / math.sqrt(2.0**-40 * (2 - 2.0**-40))]]),
    ("atanh beside 1", xp.atanh, [[1 - 2.0**-40]], [[1 / (2.0**-40 * (2 - 2.0**-40))]]),
    ("acosh beside 1", xp.acosh, [[1 + 2.0**-40]], [[1 / math.sqrt(2.0**-40 * (2 + 2.0**-40))]]),
    ("asinh far out", xp.asinh, [[1e200]], [[1e-200]]),
    ("hypot far out", xp.hypot, [[3e200, 3e-200], [4e200, 4e-200]], [[0.6, 0.6], [0.8, 0.8]]),
    (
        "atan2 far out",
        xp.atan2,
        [[3e200, 3e-200], [4e200, 4e-200]],
        [[1.6e-201, 1.6e199], [-1.2e-201, -1.2e199]],
    ),
    ("quotient far out", xp.divide, [[1e200], [1e200]], [[1e-200], [-1e-200]]),
    # The same array several times, picked several times, repeated by broadcasting, or not at all.
    ("several uses", lambda x: x * x * x + x - x / x, [[2.0, -3.0]], [[13, 28]]),
    (
        "take with repeated indices",
        lambda x: xp.take(x, xp.astype(xp.asarray([2, 0, 2, 2]), "int64")) ** 2,
        [[1.0, 5.0, 3.0]],
        [[2, 0, 18]],
    ),
    ("a broken sum of squares", lambda x: (x[0] + x[0]) * x[-1], [[1.0, 5.0]], [[10, 2]]),
    ("broadcast from length 1", lambda x, y: x * y, [[[2.0]], [[1.0, 2.0, 3.0]]], [[[6]], [[2, 2, 2]]]),
    ("broadcast from 0-d", lambda x, y: x * y, [2.0, [1.0, 2.0, 3.0]], [6, [2, 2, 2]]),
    (
        "where from length 1",
        lambda x, y: xp.where(x > 0.0, x, y),
        [[[1.0], [-1.0]], [[2.0, 3.0]]],
        [[[2], [0]], [[1, 1]]],
    ),
    (
        "maximum from length 1 splits ties",
        xp.maximum,
        [[1.0], [[1.0, 2.0], [0.0, 1.0]]],
        [[2], [[0.5, 1], [0, 0.5]]],
    ),
    ("power from length 1", xp.pow, [[2.0], [1.0, 3.0]], [[13], [2 * math.log(2), 8 * math.log(2)]]),
    ("clip from length 1", xp.clip, [[[0.0, 5.0]], [[1.0]], [[3.0], [4.0]]], [[[0, 0]], [[2]], [[1], [1]]]),
    ("broadcast to nothing", lambda x, y: x * y, [[2.0], np.zeros(0)], [[0], np.zeros(0)]),
    ("one that is not used", lambda x, y: x, [[1.0], [1.0, 2.0]], [[1], [0, 0]]),
    ("one that is stopped", lambda x, y: x * xp.stop_gradient(y), [[2.0], [3.0]], [[3], [0]]),
    ("none is used", xp.zeros_like, [[1.0]], [[0]]),
    (
        "through integers and back",
        lambda x: xp.astype(xp.astype(x, "int64"), "float64") * x,
        [[1.5, -2.5]],
        [[1, -2]],
    ),
    ("times a truth value", lambda x: x * xp.astype(x > 0.0, "float64"), [[1.5, -2.5]], [[1, 0]]),
    ("over an integer count", lambda x: xp.sum(x) / 3, [[1.0, 2.0, 4.0]], [[1 / 3, 1 / 3, 1 / 3]]),
    # Nothing.
    ("sum of nothing", xp.sum, [np.zeros((0, 3))], [np.zeros((0, 3))]),
    ("prod of nothing", xp.prod, [np.zeros((2, 0))], [np.zeros((2, 0))]),
    *[
        (f"{name} of nothing", getattr(xp, name), [np.zeros(0)], [np.zeros(0)])
        for name in ("sort", "cumulative_sum", "cumulative_prod", "diff", "unique_values", "exp")
    ],
    ("maximum of nothing", xp.maximum, [np.zeros(0), [1.0]], [np.zeros(0), [0]]),
    *[
        (f"{name} of no rows", _along_rows(name), [np.zeros((0, 2))], [np.zeros((0, 2))])
        for name in ("mean", "logsumexp", "softmax", "log_softmax", "cumulative_prod")
    ],
    ("max along nothing kept", lambda x: xp.max(x, axis=1), [np.zeros((0, 3))], [np.zeros((0, 3))]),
    ("concat with nothing", lambda x, y: xp.concat([x, y]) ** 2, [np.zeros(0), [3.0]], [np.zeros(0), [6]]),
    (
        "product of empty matrices",
        xp.matmul,
        [np.zeros((2, 0)), np.zeros((0, 3))],
        [np.zeros((2, 0)), np.zeros((0, 3))],
    ),
    ("a slice of nothing", lambda x: x[1:1] * 2.0, [[1.0, 2.0]], [[0, 0]]),
]
"""Name, function, where, and the gradient of the sum of its result by each argument."""

CURVATURES: list[Curvature] = [
    ("a zero cotangent still counts", lambda x: (xp.sqrt(x) - 1.0) ** 2, [1.0], [[0.5]]),
    ("a zero logarithm still counts", lambda x: xp.log(x) ** 2, [1.0], [[2]]),
    ("a zero factor still counts", lambda x: (x - 1.0) * xp.exp(x), [1.0], [[2 * math.e]]),
    ("a zero quotient still counts", lambda x: (x - 2.0) / x, [2.0], [[-0.5]]),
    (
        "a zero tangent of softmax",
        lambda x: xp.softmax(x)[0] ** 2,
        [0.0, 0.0],
        [[0.125, -0.125], [-0.125, 0.125]],
    ),
    ("prod with one zero", xp.prod, [2.0, 0.0, 3.0], [[0, 3, 0], [3, 0, 2], [0, 2, 0]]),
    ("prod with two zeros", xp.prod, [0.0, 0.0, 3.0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    ("prod with three zeros", xp.prod, [0.0, 0.0, 0.0], np.zeros((3, 3))),
    ("cumulative_prod with one zero", xp.cumulative_prod, [2.0, 0.0, 3.0], [[0, 4, 0], [4, 0, 2], [0, 2, 0]]),
    (
        "cumulative_prod with two zeros",
        xp.cumulative_prod,
        [0.0, 0.0, 3.0],
        [[0, 4, 0], [4, 0, 0], [0, 0, 0]],
    ),
    (
        "cumulative_prod with three zeros",
        xp.cumulative_prod,
        [0.0, 0.0, 0.0],
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
    ),
    ("hypot at the origin", lambda x: xp.hypot(x[0], x[1]), [0.0, 0.0], np.zeros((2, 2))),
    ("maximum of a tie", lambda x: xp.maximum(x[0], x[1]), [1.0, 1.0], np.zeros((2, 2))),
    ("clip at its bounds", lambda x: xp.clip(x, 0.0, 1.0), [0.0, 1.0], np.zeros((2, 2))),
    ("square at 0", lambda x: x**2, [0.0], [[2]]),
    ("square at 0 by array exponents", lambda x: x ** (2 * xp.ones_like(x)), [0.0], [[2]]),
    ("cube at 0", lambda x: x**3, [0.0], [[0]]),
    ("first power at 0", lambda x: x**1, [0.0], [[0]]),
    ("zeroth power at 0", lambda x: x**0, [0.0], [[0]]),
    ("by base and exponent 0", lambda x: x[0] ** x[1], [2.0, 0.0], [[0, 0.5], [0.5, math.log(2) ** 2]]),
    ("abs at 0", xp.abs, [0.0], [[0]]),
    ("relu at 0", xp.relu, [0.0, 1.0], np.zeros((2, 2))),
    ("sqrt where positive", lambda x: xp.where(x > 0.0, xp.sqrt(x), 0.0), [0.0, 4.0], [[0, 0], [0, -1 / 32]]),
    (
        "x log x where positive",
        lambda x: xp.where(x > 0.0, x * xp.log(x), 0.0),
        [0.0, 2.0],
        [[0, 0], [0, 0.5]],
    ),
    (
        "exp where it does not overflow",
        lambda x: xp.where(x < 700.0, xp.exp(x), 0.0),
        [0.0, 800.0],
        [[1, 0], [0, 0]],
    ),
    (
        "quotient where the divisor is not 0",
        lambda x: xp.where(x == 0.0, 0.0, 1.0 / x),
        [0.0, 2.0],
        [[0, 0], [0, 0.25]],
    ),
    ("tanh where not NaN", lambda x: xp.where(xp.isnan(x), 0.0, xp.tanh(x)), [nan, 0.0], np.zeros((2, 2))),
    ("max of a tie", xp.max, [1.0, 1.0], np.zeros((2, 2))),
    ("logsumexp far out", xp.logsumexp, [1000.0, 1000.0], [[0.25, -0.25], [-0.25, 0.25]]),
    ("log_softmax far out", lambda x: xp.log_softmax(x)[0], [1000.0, 1000.0], [[-0.25, 0.25], [0.25, -0.25]]),
    (
        "logsumexp of a tie beside -inf",
        xp.logsumexp,
        [1.0, -inf, 1.0],
        [[0.25, 0, -0.25], [0, 0, 0], [-0.25, 0, 0.25]],
    ),
    ("softmax of a tie beside -inf", lambda x: xp.softmax(x)[0], [1.0, -inf, 1.0], np.zeros((3, 3))),
    ("logaddexp of infinities", lambda x: xp.logaddexp(x[0], x[1]), [-inf, -inf], np.zeros((2, 2))),
    ("log_expit far out", xp.log_expit, [-1000.0, 1000.0], np.zeros((2, 2))),
    ("repeated indices", lambda x: xp.prod(xp.take(x, xp.asarray([0, 0, 1]))), [3.0, 5.0], [[10, 6], [6, 0]]),
]
"""Name, function, where, and the Hessian of the sum of its result."""
