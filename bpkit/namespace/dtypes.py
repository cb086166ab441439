"""Dtypes: conversion, promotion, limits.

Chapter "Data Type Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/data_type_functions.html

Wherever bpkit takes a dtype it also takes the standard's name of one, such as ``"float32"``, which means the
same on every library.
"""

from typing import Any

import numpy as np

from bpkit import registry
from bpkit._protocol import Backend, RawArray
from bpkit.evaluate import definition
from bpkit.kinds import raw
from bpkit.trace import call

__all__ = [
    "astype",
    "backend_for",
    "can_cast",
    "dtype_for",
    "dtype_of",
    "finfo",
    "iinfo",
    "isdtype",
    "name_of",
    "named_dtype",
    "result_type",
]

NAMES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "complex64", "complex128"),
)
"""The standard's dtypes."""


def backend_for(x: RawArray) -> Backend:
    """The backend of an array, traced or not."""
    return registry.backend_of(raw(x))


def named_dtype(backend: Backend, name: str) -> Any:
    """The dtype object that a library has for one of the standard's names.

    Raises
    ------
    ValueError
        If there is no such name, or the library lacks the dtype.
    """
    if name not in NAMES or not hasattr(backend.xp, name):
        there = ", ".join(repr(known) for known in NAMES if hasattr(backend.xp, known))
        raise ValueError(f"dtype {name!r} is not one that {backend.name} has: {there}")
    return getattr(backend.xp, name)


def name_of(backend: Backend, dtype: Any) -> str:
    """The standard's name of a dtype object of a library, or of its name.

    Raises
    ------
    ValueError
        If it is not one of the standard's.
    """
    if isinstance(dtype, str):
        dtype = named_dtype(backend, dtype)
    for name in NAMES:
        if getattr(backend.xp, name, None) == dtype:
            return name
    raise ValueError(f"dtype {dtype!r} of {backend.name} is none of the standard's: {', '.join(NAMES)}")


def dtype_for(x: RawArray, dtype: Any) -> Any:
    """`dtype` as the library of `x` writes it, where it is given by name."""
    return named_dtype(backend_for(x), dtype) if isinstance(dtype, str) else dtype


def dtype_of(name: str, *, like: RawArray) -> Any:
    """The dtype object of this name in an array's library.

    Parameters
    ----------
    name : str
        One of the standard's names, such as ``"float32"``.
    like : array
        Its library is asked.

    Returns
    -------
    dtype

    Raises
    ------
    ValueError
        If there is no such name, or the library lacks the dtype.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.astype(xp.asarray([1, 2]), xp.dtype_of("float32", like=xp.asarray(0)))
    array([1., 2.], dtype=float32)
    """
    return dtype_for(like, name)


_dtype_owners: dict[type, Backend] = {}


def _dtype_backend(dtype: Any) -> Backend:
    """The backend to which a dtype object belongs."""
    # Libraries that build on NumPy share its dtype objects, and NumPy can say all there is about them.
    if isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        return registry.get_backend("numpy")
    return _dtype_owners.get(type(dtype)) or _find_dtype_backend(dtype)


def _find_dtype_backend(dtype: Any) -> Backend:
    seen = (owner for owner in registry.by_type.values() if owner is not None)
    known = dict.fromkeys([registry.current().backend, *seen])
    for backend in known:
        if type(dtype) is type(backend.xp.float32) is not type:
            return _dtype_owners.setdefault(type(dtype), backend)
    raise TypeError(
        f"expected a dtype of {' or '.join(backend.name for backend in known)}, the libraries in use, got "
        f"{dtype!r} of type {type(dtype).__name__}; choose its library with bpkit.use_backend(...)"
    )


def _is_array(x: Any) -> bool:
    # NumPy's and JAX's scalar types, which serve as dtypes, have the attributes of arrays too.
    return hasattr(x, "dtype") and not isinstance(x, type)


def _backend_of_any(*arrays_and_dtypes: Any) -> Backend:
    """The backend of the first array, else of the first dtype object, else the current one."""
    for x in arrays_and_dtypes:
        if _is_array(x):
            return registry.backend_of(x)
    for x in arrays_and_dtypes:
        if not isinstance(x, str | bool | int | float | complex):
            return _dtype_backend(x)
    return registry.current().backend


def astype(x: RawArray, dtype: Any, /, *, copy: bool = True, device: Any = None) -> RawArray:
    """`x` in another dtype.

    Derivative: the cotangent in `x`'s dtype; none through integers and booleans.

    Parameters
    ----------
    x : array of any shape and dtype
    dtype : dtype or str
    copy : bool
        False returns `x` itself where it has the dtype already.
    device : device, optional
        Where the result lives; None leaves it where `x` is.

    Returns
    -------
    array of `x`'s shape

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.astype(xp.asarray([1, 2]), "float32")
    array([1., 2.], dtype=float32)
    """
    return call("astype", x, dtype=dtype_for(x, dtype), copy=copy, device=device)


@definition("astype")
def _astype(xp: Any, x: RawArray, *, dtype: Any, copy: bool, device: Any) -> RawArray:
    if device is None:
        return xp.astype(x, dtype, copy=copy)
    # Another device takes a copy; array-api-strict would return x itself.
    return xp.astype(x, dtype, copy=copy or device != x.device, device=device)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether the standard's promotion rules lead from one dtype to another.

    Parameters
    ----------
    from_ : dtype, str or array
    to : dtype or str

    Returns
    -------
    bool

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.can_cast(xp.int8, xp.int16), xp.can_cast(xp.float64, xp.float32)
    (True, False)
    """
    from_, to = raw(from_), raw(to)
    backend = _backend_of_any(from_, to)
    source, target = (
        named_dtype(backend, x) if isinstance(x, str) else x.dtype if _is_array(x) else x for x in (from_, to)
    )
    return bool(backend.xp.can_cast(source, target))


def finfo(type: Any, /) -> Any:
    """Limits of a floating-point dtype.

    Parameters
    ----------
    type : dtype, str or array
        Floating-point or complex.

    Returns
    -------
    object with ``bits eps max min smallest_normal dtype``

    Examples
    --------
    >>> from bpkit import xp
    >>> float(xp.finfo(xp.float32).eps)
    1.1920928955078125e-07
    """
    return _limits("finfo", type)


def iinfo(type: Any, /) -> Any:
    """Limits of an integer dtype.

    Parameters
    ----------
    type : dtype, str or array
        Integer.

    Returns
    -------
    object with ``bits max min dtype``

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.iinfo(xp.int8).max
    127
    """
    return _limits("iinfo", type)


def _limits(name: str, x: Any) -> Any:
    x = raw(x)
    backend = _backend_of_any(x)
    if isinstance(x, str):
        x = named_dtype(backend, x)
    elif _is_array(x):
        x = x.dtype
    return getattr(backend.xp, name)(x)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype or str
    kind : dtype, str, or tuple of them
        A dtype, or ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
        ``"real floating"``, ``"complex floating"``, ``"numeric"``; of a tuple one has to fit.

    Returns
    -------
    bool

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.isdtype(xp.float32, "real floating")
    True
    """
    backend = _backend_of_any(dtype)
    if isinstance(dtype, str):
        dtype = named_dtype(backend, dtype)
    return bool(backend.xp.isdtype(dtype, kind))


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype to which operands promote together.

    Parameters
    ----------
    *arrays_and_dtypes : array, dtype, str or Python number
        At least one; a Python number takes the dtype of the others.

    Returns
    -------
    dtype

    Raises
    ------
    TypeError
        If the standard defines no promotion and the library has none (the exception is the library's).

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.result_type(xp.float32, xp.asarray([1.0]))
    dtype('float64')
    """
    operands = [raw(x) for x in arrays_and_dtypes]
    backend = _backend_of_any(*operands)
    return backend.xp.result_type(*(named_dtype(backend, x) if isinstance(x, str) else x for x in operands))
