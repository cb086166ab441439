"""Rules by which a step becomes a cheaper one, or turns out to be what another value is already.

Most are exact to the last bit, signs of zeros included. Those that change the order in which constant factors
are multiplied, or multiply where a power or a sum stood, are right within rounding. None changes a dtype, or
makes or loses a NaN or an infinity, but for what overflows on the way to a finite result.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from bpkit.record import Slot, Step

__all__ = ["rewritten", "same_as"]

Made = Mapping[Slot, Step]
"""The steps that made the values so far."""

_UNCHANGED = frozenset(
    {"astype", "broadcast_to", "cotangent_as", "positive", "real", "reshape", "stop_gradient"}
)
_BINARY = frozenset({"add", "annihilating_product", "divide", "maximum", "minimum", "multiply", "subtract"})


def same_as(step: Step, made: Made) -> Slot | None:
    """The value that the result of a step is already, if there is one."""
    out, operands = step.outs[0], step.operands
    x = operands[0]
    if (
        step.name in _UNCHANGED
        and isinstance(x, Slot)
        and step.static.get("device") is None
        and _alike(x, out)
    ):
        return x
    if step.name in ("negative", "matrix_transpose"):
        (inner,) = _parts(x, step.name, made)[:1] or (None,)
        return inner if isinstance(inner, Slot) else None
    if step.name == "permute_dims":
        return x if isinstance(x, Slot) and _axes(step) == tuple(range(len(out.shape))) else None
    for number, neutral in _NEUTRAL.get(step.name, ()):
        other = operands[1 - number]
        if not isinstance(other, Slot) or not _alike(other, out) or _complex(out):
            continue
        if neutral(operands[number], _floating(out)):
            return other
    return None


def rewritten(step: Step, made: Made) -> Step | None:
    """A cheaper step with the same result, if there is one."""
    for rule in _RULES.get(step.name, ()):
        new = rule(step, made)
        if new is not None:
            name, operands, static = new
            return step._replace(name=name, operands=operands, static=static)
    return None


def _is(wanted: float) -> Callable[[Any, bool], bool]:
    return lambda x, floating: _is_number(x) and x == wanted


def _is_zero(sign: float) -> Callable[[Any, bool], bool]:
    """Whether a number is a zero of this sign; among integers there is only one."""
    return lambda x, floating: _is_number(x) and x == 0 and (not floating or math.copysign(1.0, x) == sign)


_NEUTRAL: dict[str, tuple[tuple[int, Callable[[Any, bool], bool]], ...]] = {
    # 0.0 + -0.0 is 0.0: only -0.0 changes nothing.
    "add": ((0, _is_zero(-1.0)), (1, _is_zero(-1.0))),
    "divide": ((1, _is(1)),),
    "multiply": ((0, _is(1)), (1, _is(1))),
    "pow": ((1, _is(1)),),
    "subtract": ((1, _is_zero(1.0)),),
}
"""For each function the places of operands, and when they change nothing."""

New = tuple[str, tuple[Any, ...], dict[str, Any]]
Rule = Callable[[Step, Made], New | None]


def _is_number(x: Any) -> bool:
    return type(x) in (int, float)


def _alike(x: Any, y: Any) -> bool:
    return (x.shape, x.dtype) == (y.shape, y.dtype)


def _floating(x: Slot) -> bool:
    return bool(x.backend.xp.isdtype(x.dtype, "real floating"))


def _complex(x: Slot) -> bool:
    # Products of complex numbers make NaNs of infinities.
    return bool(x.backend.xp.isdtype(x.dtype, "complex floating"))


def _axes(step: Step) -> tuple[int, ...]:
    count = len(step.outs[0].shape)
    return tuple([axis % count for axis in step.static["axes"]])


def _normal(number: float, like: Slot) -> bool:
    """Whether a dtype has this number with all its digits."""
    limits = like.backend.xp.finfo(like.dtype)
    return float(limits.smallest_normal) <= abs(number) <= float(limits.max)


def _parts(x: Any, name: str, made: Made) -> tuple[Any, ...]:
    """The operands of the function `name` that made a value; none if another made it."""
    step = made.get(x) if isinstance(x, Slot) else None
    return step.operands if step is not None and step.name == name and step.do is None else ()


def _number(step: Step, made: Made) -> New | None:
    """A constant that is the same everywhere becomes a number."""
    for i, x in enumerate(step.operands):
        other = step.operands[1 - i]
        if isinstance(x, Slot) or not hasattr(x, "shape") or not isinstance(other, Slot):
            continue
        if other.shape == step.outs[0].shape and x.dtype == other.dtype and _floating(other):
            first = float(x[(0,) * len(x.shape)]) if math.prod(x.shape) else math.nan
            # 0.0 is equal to -0.0.
            if first != 0 and math.isfinite(first) and bool(other.backend.xp.all(x == first)):
                new = (first, other) if i == 0 else (other, first)
                return step.name, new, step.static
    return None


def _factor(x: Any, made: Made) -> tuple[float, Slot] | None:
    """A value as a number times another value of its shape and dtype."""
    found: tuple[float, Any] | None = None
    if negated := _parts(x, "negative", made):
        found = (-1, negated[0])
    elif factors := _parts(x, "multiply", made):
        found = next(((a, b) for a, b in (factors, factors[::-1]) if _is_number(a)), None)
    elif parts := _parts(x, "divide", made):
        found = (1 / parts[1], parts[0]) if _is_number(parts[1]) and parts[1] else None
    return found if found is not None and isinstance(found[1], Slot) and _alike(found[1], x) else None


def _scaled(step: Step, made: Made) -> New | None:
    """A number times a number times a value: one product."""
    out = step.outs[0]
    for number, x in _numbers_first(step):
        factor = _factor(x, made)
        if factor is None or not _alike(x, out) or not _floating(out):
            continue
        product = number * factor[0]
        if _normal(product, out):
            return "multiply", (product, factor[1]), {}
    return None


def _numbers_first(step: Step) -> list[tuple[float, Any]]:
    """A product as a number and the other factor."""
    x, y = step.operands
    if step.name == "divide":
        return [(1 / y, x)] if _is_number(y) and y else []
    return [(a, b) for a, b in ((x, y), (y, x)) if _is_number(a) and isinstance(b, Slot)]


def _minus_one(step: Step, made: Made) -> New | None:
    for number, x in _numbers_first(step):
        if number == -1 and isinstance(x, Slot) and _alike(x, step.outs[0]) and _floating(x):
            return "negative", (x,), {}
    return None


def _by_power_of_two(step: Step, made: Made) -> New | None:
    """A division that a product does exactly."""
    x, y = step.operands
    if not _is_number(y) or y == 0 or not isinstance(x, Slot) or not _alike(x, step.outs[0]):
        return None
    exact = math.isfinite(y) and abs(math.frexp(y)[0]) == 0.5 and _floating(x) and _normal(1 / y, x)
    return ("multiply", (1 / y, x), {}) if exact else None


def _signs(step: Step, made: Made) -> New | None:
    """Sums and differences of what is negated."""
    x, y = step.operands
    (positive,) = _parts(y, "negative", made) or (None,)
    if positive is not None and _alike(positive, y):
        return "subtract" if step.name == "add" else "add", (x, positive), {}
    (positive,) = _parts(x, "negative", made) or (None,)
    if step.name == "add" and positive is not None and _alike(positive, x):
        return "subtract", (y, positive), {}
    return None


def _plain_product(step: Step, made: Made) -> New | None:
    """Nothing is annihilated where no factor is 0, or the derivative is finite."""
    factor, derivative = step.operands
    if _is_number(factor) and factor != 0:
        return "multiply", (factor, derivative), {}
    if hasattr(factor, "dtype") and not isinstance(factor, Slot):
        library = step.outs[0].backend.xp
        if bool(library.all(factor != 0)):
            return "multiply", (factor, derivative), {}
    if _finite(derivative, step.outs[0].backend.xp, made):
        return "multiply", (factor, derivative), {}
    return None


def _finite(x: Any, library: Any, made: Made) -> bool:
    """Whether a value is finite whatever the inputs are: made of truth values and finite constants."""
    if _is_number(x):
        return math.isfinite(x)
    if not library.isdtype(x.dtype, ("real floating", "complex floating")):
        return True
    if not isinstance(x, Slot):
        return bool(library.all(library.isfinite(x)))
    step = made.get(x)
    if step is None or step.do is not None:
        return False
    if step.name in ("astype", "broadcast_to", "cotangent_as", "reshape"):
        return _finite(step.operands[0], library, made)
    return step.name == "where" and all(_finite(y, library, made) for y in step.operands[1:])


def _squared(step: Step, made: Made) -> New | None:
    x, power = step.operands
    square = (
        _is_number(power)
        and power == 2
        and isinstance(x, Slot)
        and _alike(x, step.outs[0])
        and not _complex(x)
    )
    return ("multiply", (x, x), {}) if square else None


def _arranged(step: Step, made: Made) -> New | None:
    """What is arranged anew twice is arranged once."""
    x = step.operands[0]
    (base,) = _parts(x, step.name, made)[:1] or (None,)
    if not isinstance(base, Slot):
        return None
    if step.name == "permute_dims":
        first = _axes(made[x])
        return step.name, (base,), {"axes": tuple([first[axis] for axis in _axes(step)])}
    return step.name, (base,), step.static


_RULES: dict[str, tuple[Rule, ...]] = {
    "add": (_number, _signs),
    "annihilating_product": (_number, _plain_product),
    "broadcast_to": (_arranged,),
    "divide": (_number, _scaled, _by_power_of_two),
    "maximum": (_number,),
    "minimum": (_number,),
    "multiply": (_number, _scaled, _minus_one),
    "permute_dims": (_arranged,),
    "pow": (_squared,),
    "reshape": (_arranged,),
    "subtract": (_number, _signs),
}
