"""tally: arrays that cannot change, and that count every number which is computed.

It stands for any array library that bpkit does not know. Its namespace has the functions of the array-API
standard; NumPy computes, and this file adds the class and the count.

>>> import tally
>>> x = tally.asarray([1.0, 2.0, 3.0])
>>> start = tally.counted()
>>> tally.exp(x) + 1.0
tally.Array([ 3.71828183,  8.3890561 , 21.08553692])
>>> tally.counted() - start
6
"""

import functools
import operator
import sys
from typing import Any

import array_api_compat.numpy as np

__version__ = "1.0"
_numbers = 0


def counted() -> int:
    """How many numbers all functions together have computed so far."""
    return _numbers


class Array:
    """An array of NumPy's values; there is no way to write to it."""

    __slots__ = ("_values",)

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    dtype = property(lambda self: self._values.dtype)
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    device = property(lambda self: "cpu")
    T = property(lambda self: Array(self._values.T))
    mT = property(lambda self: Array(self._values.mT))  # noqa: N815

    def __getitem__(self, key: Any) -> Any:
        return _wrapped(self._values[_plain(key)])

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return sys.modules[__name__]

    def __dlpack__(self, **options: Any) -> Any:
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._values.__dlpack_device__()

    def to_device(self, device: str, stream: Any = None) -> "Array":
        return Array(np.to_device(self._values, device, stream=stream))

    def __index__(self) -> int:
        return operator.index(self._values)

    def __repr__(self) -> str:
        return repr(self._values).replace("array", "tally.Array", 1)


def _plain(x: Any) -> Any:
    """What NumPy takes: its arrays for ours, within tuples and lists too."""
    if isinstance(x, Array):
        return x._values
    return type(x)(map(_plain, x)) if type(x) in (tuple, list) else x


def _wrapped(x: Any) -> Any:
    """Our arrays for NumPy's, within tuples and lists too."""
    global _numbers
    if isinstance(x, np.ndarray | np.generic):
        _numbers += x.size
        return Array(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(_wrapped, x))
    return type(x)(map(_wrapped, x)) if isinstance(x, tuple | list) else x


def _counting(function: Any) -> Any:
    """A function of NumPy's arrays as one of ours."""

    @functools.wraps(function)
    def counting(*args: Any, **kwargs: Any) -> Any:
        given = {name: _plain(x) for name, x in kwargs.items()}
        return _wrapped(function(*map(_plain, args), **given))

    return counting


def _method(apply: Any, reflected: bool = False) -> Any:
    """An operator of ours from Python's."""

    def method(*operands: Any) -> Any:
        if not all(isinstance(x, Array | int | float | complex) for x in operands):
            return NotImplemented
        return _wrapped(apply(*map(_plain, operands[::-1] if reflected else operands)))

    return method


for _name in ("abs", "eq", "ge", "gt", "invert", "le", "lt", "ne", "neg", "pos"):
    setattr(Array, f"__{_name}__", _method(getattr(operator, _name)))
for _name in ("add", "floordiv", "lshift", "matmul", "mod", "mul", "pow", "rshift", "sub", "truediv"):
    setattr(Array, f"__{_name}__", _method(getattr(operator, _name)))
    setattr(Array, f"__r{_name}__", _method(getattr(operator, _name), reflected=True))
for _name in ("and", "or", "xor"):
    setattr(Array, f"__{_name}__", _method(getattr(operator, f"__{_name}__")))
    setattr(Array, f"__r{_name}__", _method(getattr(operator, f"__{_name}__"), reflected=True))
for _kind in (bool, int, float, complex):
    setattr(Array, f"__{_kind.__name__}__", lambda self, kind=_kind: kind(self._values))


class _Chapter:
    """An extension of the standard: linalg, fft."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _counting(getattr(self._module, name))


linalg, fft = _Chapter(np.linalg), _Chapter(np.fft)


def __getattr__(name: str) -> Any:
    """Every other name of the standard: NumPy's function, counting, or its dtype or constant as it is."""
    found = getattr(np, name)
    return _counting(found) if callable(found) and not isinstance(found, type) else found
