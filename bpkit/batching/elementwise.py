"""Functions of single elements, with broadcasting."""

from typing import Any

from bpkit.batching.registry import Operand, aligned, batching
from bpkit.rules.registry import elementwise_names
from bpkit.trace import call


@batching(*elementwise_names())
def _elementwise(name: str, size: int, *operands: Operand, **static: Any) -> Any:
    return call(name, *(aligned(operands) if len(operands) > 1 else (operands[0].value,)), **static)
