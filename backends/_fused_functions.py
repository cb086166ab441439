"""Exponentials, logarithms, sines and the like for Numba's loops, as arithmetic that LLVM makes vectors of.

Numba has these functions from the C library, for one number at a time, which is several times as slow as
NumPy's. Here each is a reduction of the argument, a polynomial, and the way back, as in Muller, *Elementary
Functions* (3rd edition, 2016): chapters 11 (reduction in parts, after Cody and Waite) and 3 (minimax
polynomials). All of it is in float32 with fused multiplications and additions. The coefficients are minimax
in the relative error of the result; they were rounded to float32 from the lowest on, and those after it
fitted anew. Results are within 2.5 units in the last place of float32, zeros keep their signs, and NaN,
infinities, overflow and subnormal numbers are as the standard wants them; a test goes through all of it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

__all__ = ["FUNCTIONS", "VERSION", "can_fuse_multiply_and_add", "intrinsics"]

VERSION = 1
"""Of what the functions compute: compiled loops on disk are of one version."""

NEAR = 131072.0
"""Up to this absolute value sines and cosines are right. Three float32 have 72 bits of pi / 2."""

_MAGIC = 12582912.0
"""1.5 * 2**23: added to a float32 it leaves the nearest integer in the last bits."""
_LN2 = (0.6931471228599548, 5.769998878690785e-08)
_PI_2 = (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15)
_EXP = (
    *(0.4999999701976776, 0.1666654646396637, 0.04166744276881218),
    *(0.008366253226995468, 0.0013869957765564322),
)
"""exp(r) = 1 + r + r**2 times this polynomial of r."""
_LOG = (
    *(0.3333333134651184, -0.2500081956386566, 0.2000124156475067, -0.166234090924263),
    *(0.14201579988002777, -0.13159610331058502, 0.12762212753295898, -0.07636427879333496),
)
"""log(1 + m) = m - m**2 / 2 + m**3 times this one of m."""
_SIN = (-0.16666655242443085, 0.008332189172506332, -0.00019518288900144398)
"""sin(r) = r + r**3 times this one of r**2."""
_COS = (0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05)
"""cos(r) = 1 - r**2 / 2 + r**4 times this one of r**2."""


class _Writer:
    """LLVM's instructions for float32 and for its bits."""

    def __init__(self, builder: Any) -> None:
        from llvmlite import ir

        self._builder, self._ir = builder, ir
        self._float, self._int = ir.FloatType(), ir.IntType(32)

    def number(self, value: float) -> Any:
        return self._ir.Constant(self._float, float(np.float32(value)))

    def integer(self, value: int) -> Any:
        return self._ir.Constant(self._int, value & 0xFFFFFFFF)

    def _given(self, *operands: Any) -> list[Any]:
        return [self.number(x) if isinstance(x, float) else x for x in operands]

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self._builder.fma(*self._given(x, y, z))

    def add(self, x: Any, y: Any) -> Any:
        return self._builder.fadd(*self._given(x, y))

    def sub(self, x: Any, y: Any) -> Any:
        return self._builder.fsub(*self._given(x, y))

    def mul(self, x: Any, y: Any) -> Any:
        return self._builder.fmul(*self._given(x, y))

    def div(self, x: Any, y: Any) -> Any:
        return self._builder.fdiv(*self._given(x, y))

    def choose(self, x: Any, sign: str, y: Any, then: Any, otherwise: Any) -> Any:
        """`then` where the comparison is true, which it never is of a NaN."""
        condition = self._builder.fcmp_ordered(sign, *self._given(x, y))
        return self._builder.select(condition, *self._given(then, otherwise))

    def bits(self, x: Any) -> Any:
        return self._builder.bitcast(x, self._int)

    def of_bits(self, x: Any) -> Any:
        return self._builder.bitcast(x, self._float)

    def of_integer(self, x: Any) -> Any:
        return self._builder.sitofp(x, self._float)

    def plus(self, x: Any, value: int) -> Any:
        return self._builder.add(x, self.integer(value))

    def sum(self, x: Any, y: Any) -> Any:
        return self._builder.add(x, y)

    def difference(self, x: Any, y: Any) -> Any:
        return self._builder.sub(x, y)

    def both(self, x: Any, mask: int) -> Any:
        return self._builder.and_(x, self.integer(mask))

    def left(self, x: Any, count: int) -> Any:
        return self._builder.shl(x, self.integer(count))

    def half(self, x: Any) -> Any:
        return self._builder.ashr(x, self.integer(1))

    def where_odd(self, x: Any, then: Any, otherwise: Any) -> Any:
        odd = self._builder.icmp_signed("!=", self.both(x, 1), self.integer(0))
        return self._builder.select(odd, then, otherwise)

    def magnitude(self, x: Any) -> Any:
        return self.of_bits(self.both(self.bits(x), 0x7FFFFFFF))

    def turned(self, x: Any, signs: Any) -> Any:
        """`x` with its sign changed where the first bit of `signs` is set."""
        return self.of_bits(self._builder.xor(self.bits(x), self.both(signs, 0x80000000)))

    def polynomial(self, x: Any, coefficients: Sequence[float]) -> Any:
        found = self.number(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            found = self.fma(found, x, coefficient)
        return found

    def multiples(self, x: Any, of: Sequence[float]) -> tuple[Any, Any]:
        """The nearest multiple of a number, in the last bits of an integer, and what is left of `x`.

        The number is given in parts, all positive: so a zero keeps its sign.
        """
        shifted = self.fma(x, 1 / math.fsum(of), _MAGIC)
        count, rest = self.sub(shifted, _MAGIC), x
        for part in of:
            rest = self.fma(count, -part, rest)
        return self.bits(shifted), rest

    def power_of_two(self, exponent: Any) -> Any:
        """Of an exponent from -126 to 127, with anything in the bits before the last nine."""
        return self.of_bits(self.plus(self.left(exponent, 23), 0x3F800000))


def _exp(w: _Writer, x: Any) -> Any:
    x = w.choose(x, ">", 90.0, 90.0, x)
    x = w.choose(x, "<", -105.0, -105.0, x)
    bits, r = w.multiples(x, _LN2)
    found = w.add(w.fma(w.mul(r, r), w.polynomial(r, _EXP), r), 1.0)
    # In two factors, for a power of two may be out of range where the result is not.
    exponent = w.plus(bits, -0x4B400000)
    first = w.half(exponent)
    found = w.mul(found, w.power_of_two(first))
    return w.mul(found, w.power_of_two(w.difference(exponent, first)))


def _expm1(w: _Writer, x: Any) -> Any:
    x = w.choose(x, ">", 89.0, 89.0, x)
    x = w.choose(x, "<", -20.0, -20.0, x)
    bits, r = w.multiples(x, _LN2)
    inner = w.mul(r, w.fma(r, w.polynomial(r, _EXP), 1.0))
    half = w.power_of_two(w.plus(bits, -1))
    # Half of it, since 2**128 is out of range; the sum is written so that -0 is kept.
    found = w.fma(half, inner, w.mul(w.sub(0.5, half), -1.0))
    return w.add(found, found)


def _tanh(w: _Writer, x: Any) -> Any:
    # With t = expm1(2 |x|): t / (t + 2).
    a = w.magnitude(x)
    a = w.choose(a, ">", 10.0, 10.0, a)
    bits, r = w.multiples(w.add(a, a), _LN2)
    inner = w.fma(w.mul(r, r), w.polynomial(r, _EXP), r)
    power = w.power_of_two(bits)
    t = w.fma(power, inner, w.sub(power, 1.0))
    return w.turned(w.div(t, w.add(t, 2.0)), w.bits(x))


def _log_of_scaled(w: _Writer, m: Any, minus_exponent: Any) -> Any:
    """``log(1 + m)`` and the logarithm of a power of two, given its exponent in the place that it has."""
    square = w.mul(m, m)
    found = w.fma(square, w.fma(m, w.polynomial(m, _LOG), -0.5), m)
    count = w.of_integer(minus_exponent)
    for part in reversed(_LN2):
        found = w.fma(count, -part * 2.0**-23, found)
    return found


def _log1p(w: _Writer, x: Any) -> Any:
    # 1 + x = 2**e (1 + m), with 1 + m between the roots of 1/2 and 2.
    minus = w.both(w.difference(w.integer(0x3F3504F3 + 0x7FFFFF), w.bits(w.add(x, 1.0))), 0xFF800000)
    four = w.of_bits(w.plus(minus, 0x40800000))
    m = w.sub(w.of_bits(w.sum(w.bits(x), minus)), w.fma(four, -0.25, 1.0))
    found = w.choose(x, "<", math.inf, _log_of_scaled(w, m, minus), x)
    return w.choose(x, "<=", -1.0, w.choose(x, "==", -1.0, -math.inf, math.nan), found)


def _log(w: _Writer, x: Any) -> Any:
    small = float(np.finfo(np.float32).smallest_normal)
    scaled = w.choose(x, "<", small, w.mul(x, 2.0**23), x)
    minus = w.both(w.difference(w.integer(0x3F3504F3 + 0x7FFFFF), w.bits(scaled)), 0xFF800000)
    m = w.sub(w.of_bits(w.sum(w.bits(scaled), minus)), 1.0)
    found = w.choose(x, "<", math.inf, _log_of_scaled(w, m, minus), x)
    found = w.sub(found, w.choose(x, "<", small, 23 * math.log(2), 0.0))
    return w.choose(x, "<=", 0.0, w.choose(x, "==", 0.0, -math.inf, math.nan), found)


def _sine_from(quarter: int) -> Callable[[_Writer, Any], Any]:
    """The sine of x and so many quarters of a turn."""

    def function(w: _Writer, x: Any) -> Any:
        bits, r = w.multiples(x, _PI_2)
        z = w.mul(r, r)
        sine = w.mul(r, w.fma(z, w.polynomial(z, _SIN), 1.0))
        cosine = w.fma(z, w.fma(z, w.polynomial(z, _COS), -0.5), 1.0)
        quarters = w.plus(bits, quarter) if quarter else bits
        return w.turned(w.where_odd(quarters, cosine, sine), w.left(quarters, 30))

    return function


FUNCTIONS: Mapping[str, Callable[[_Writer, Any], Any]] = {
    "cos": _sine_from(1),
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sin": _sine_from(0),
    "tanh": _tanh,
}


@cache
def intrinsics() -> Mapping[str, Any]:
    """For compiled code: the functions, by their names with ``f4_`` before them, and ``farther``.

    ``farther(far, x)`` is not 0 if `far` is not, or if `x` is not :data:`NEAR`.
    """
    from numba import types
    from numba.extending import intrinsic

    def made(function: Callable[[_Writer, Any], Any]) -> Any:
        @intrinsic  # type: ignore[untyped-decorator]
        def of_one(context: Any, x: Any) -> Any:
            def instructions(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                # LLVM takes vectors of half that length where it is not told, for the sake of loops that wait
                # for memory. llvmlite writes all attributes out, but `add` takes only those that it knows.
                set.add(builder.function.attributes, '"prefer-vector-width"="512"')
                return function(_Writer(builder), *arguments)

            return types.float32(types.float32), instructions

        return of_one

    @intrinsic  # type: ignore[untyped-decorator]
    def farther(context: Any, far: Any, x: Any) -> Any:
        def instructions(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            so_far, one = arguments
            w = _Writer(builder)
            beyond = builder.fcmp_ordered(">", w.magnitude(one), w.number(NEAR))
            return builder.or_(so_far, builder.zext(beyond, so_far.type))

        return types.uint32(types.uint32, types.float32), instructions

    return {"farther": farther, **{f"f4_{name}": made(function) for name, function in FUNCTIONS.items()}}


@cache
def can_fuse_multiply_and_add() -> bool:
    """Whether the processor for which Numba compiles does both with one rounding, in one instruction."""
    from numba.core.registry import cpu_target

    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+fma," in f"{features}," or triple.startswith(("aarch64", "arm64"))
