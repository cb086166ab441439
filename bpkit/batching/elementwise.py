"""Functions of single elements, with broadcasting."""

from typing import Any

from bpkit.batching.registry import Operand, aligned, batching
from bpkit.rules.registry import elementwise_names
from bpkit.trace import call

_OTHERS = (
    *("abs", "annihilating_product", "astype", "conj", "cotangent_as", "imag", "real", "sign"),
    *("bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift"),
    *("bitwise_xor", "ceil", "equal", "floor", "floor_divide", "greater", "greater_equal", "isfinite"),
    *("isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor"),
    *("not_equal", "round", "signbit", "special.gammasgn", "stop_gradient", "trunc", "where"),
    *("empty_like", "full_like", "ones_like", "zeros_like"),
)
"""Element by element without a derivative, or with one of another kind."""


@batching(*elementwise_names(), *_OTHERS)
def _elementwise(name: str, size: int, *operands: Operand, **static: Any) -> Any:
    return call(name, *(aligned(operands) if len(operands) > 1 else (operands[0].value,)), **static)
