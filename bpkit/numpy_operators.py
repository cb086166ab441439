"""The operators of NumPy's arrays and scalars, which come to a traced operand as universal functions."""

from typing import Any

import numpy as np

__all__ = ["OPERATORS", "reflected"]

OPERATORS: dict[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.floor_divide: "floor_divide",
    np.remainder: "remainder",
    np.power: "pow",
    np.matmul: "matmul",
    np.bitwise_and: "bitwise_and",
    np.bitwise_or: "bitwise_or",
    np.bitwise_xor: "bitwise_xor",
    np.left_shift: "bitwise_left_shift",
    np.right_shift: "bitwise_right_shift",
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.less: "less",
    np.less_equal: "less_equal",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
}
"""What NumPy calls for an operator, and the namespace's name of it."""


def reflected(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The namespace's name of the operator in ``array + traced``; None if this is another call."""
    if kwargs or method != "__call__" or not isinstance(inputs[0], (np.ndarray, np.generic)):
        return None
    return OPERATORS.get(ufunc)
