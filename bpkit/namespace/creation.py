"""Making arrays.

Chapter "Creation Functions" of the standard:
https://data-apis.org/array-api/2025.12/API_specification/creation_functions.html

Functions without an array argument use the backend and device chosen with :class:`bpkit.use_backend` or
``BPKIT_BACKEND``; the others use those of their argument. Throughout, `dtype` is a dtype object of that
library or one of the standard's names, and `device` a device object of that library or one of the names that
``bpkit backends`` lists; None takes the library's default dtype and the chosen device.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bpkit import registry
from bpkit._protocol import Backend, RawArray
from bpkit.array import Array
from bpkit.namespace.dtypes import astype, backend_for, dtype_for, name_of, named_dtype, result_type
from bpkit.namespace.manipulation import broadcast_to, stack
from bpkit.trace import call

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]

Shape = int | tuple[int, ...]


def _place(dtype: Any, device: Any) -> tuple[Backend, dict[str, Any]]:
    """Where to make a new array: the chosen backend, with dtype and device as its functions take them."""
    backend, chosen = registry.current()
    if isinstance(dtype, str):
        dtype = named_dtype(backend, dtype)
    if device is None:
        device = chosen
    elif isinstance(device, str):
        device = backend.device(device)
    return backend, {"dtype": dtype, "device": device}


def _like(x: RawArray, dtype: Any, device: Any) -> dict[str, Any]:
    """dtype and device as the library of `x` takes them."""
    if isinstance(device, str):
        device = backend_for(x).device(device)
    return {"dtype": dtype_for(x, dtype), "device": device}


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> RawArray:
    """Evenly spaced numbers from `start` to before `stop`.

    Parameters
    ----------
    start, stop : int or float
        With one of them only, that is where to stop, and the numbers start at 0.
    step : int or float
        Distance; may be negative, not 0.
    dtype : dtype or str, optional
        None takes the default dtype for integers if all numbers are, else that for floats.
    device : device or str, optional

    Returns
    -------
    one-dimensional array

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.arange(1, 10, 3)
    array([1, 4, 7])
    """
    backend, place = _place(dtype, device)
    return backend.xp.arange(start, stop, step, **place)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> RawArray:
    """An array of the chosen library.

    Parameters
    ----------
    obj : array, Python number, or nested sequence of them
        An array of another library is moved to the chosen one, through the host's memory. A traced array
        stays with its own; a sequence that holds traced arrays is stacked, and its plain numbers join them.
    dtype : dtype or str, optional
        None keeps an array's dtype and takes the library's default for Python numbers.
    device : device or str, optional
        None leaves an array of the chosen library where it is.
    copy : bool, optional
        True copies always, False never; None copies if it has to.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If `copy` is False and a copy is needed.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.asarray([[1, 2], [3, 4]], dtype="float32")
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    if isinstance(obj, Array):
        return _converted(obj, **_like(obj, dtype, device), copy=copy)
    if isinstance(obj, list | tuple):
        traced = next((x for x in _members(obj) if isinstance(x, Array)), None)
        if traced is not None:
            place = _like(traced, dtype, device)
            common = result_type(*_members(obj)) if dtype is None else place["dtype"]
            stacked = _stacked(obj, common, traced)
            return stacked if device is None else astype(stacked, common, device=place["device"])
    backend, place = _place(dtype, device)
    owner = _owner(obj)
    if owner is None:
        return backend.xp.asarray(obj, **place, copy=copy)
    if owner is backend:
        return backend.xp.asarray(obj, **(place | ({"device": None} if device is None else {})), copy=copy)
    if copy is False:
        raise ValueError(
            f"asarray: copy=False, but an array of {owner.name} has to be copied to become one of "
            f"{backend.name}; leave copy out, or choose the array's library with bpkit.use_backend"
        )
    host = owner.to_host(obj)
    if dtype is not None:
        host = host.astype(name_of(backend, dtype), copy=False)
    return backend.from_host(host, place["device"])


def _converted(x: Array, dtype: Any, device: Any, copy: bool | None) -> RawArray:
    """A traced array as asarray returns it: itself, unless something has to change."""
    wanted = x.dtype if dtype is None else dtype
    if wanted == x.dtype and (device is None or device == x.device) and not copy:
        return x
    if copy is False:
        raise ValueError(
            f"asarray: copy=False, but {x!r} has to be copied to become {wanted}; leave copy out"
        )
    return astype(x, wanted, device=device)


def _owner(obj: Any) -> Backend | None:
    """The backend of an array; None for whatever the library's own asarray can take."""
    if isinstance(obj, list | tuple):
        return None
    try:
        return registry.by_type[type(obj)]
    except TypeError:
        if isinstance(obj, np.ndarray):
            raise
        return None


def _members(obj: Any) -> Iterator[Any]:
    """What a nested sequence holds, without the nesting."""
    for item in obj:
        if isinstance(item, list | tuple):
            yield from _members(item)
        else:
            yield item


def _stacked(obj: Any, dtype: Any, like: Array) -> RawArray:
    """A nested sequence that holds traced arrays as one array of their library."""
    if isinstance(obj, list | tuple):
        return stack([_stacked(item, dtype, like) for item in obj])
    if isinstance(obj, Array) or hasattr(obj, "shape"):
        return astype(obj, dtype, copy=False)
    return backend_for(like).xp.asarray(obj, dtype=dtype, device=getattr(like, "device", None))


def empty(shape: Shape, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array with whatever was in memory.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype or str, optional
    device : device or str, optional

    Returns
    -------
    array of shape `shape`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.empty((2, 3)).shape
    (2, 3)
    """
    backend, place = _place(dtype, device)
    return backend.xp.empty(shape, **place)


def empty_like(x: RawArray, /, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of `x`'s shape with whatever was in memory.

    Parameters
    ----------
    x : array of any shape and dtype
    dtype : dtype or str, optional
        None takes that of `x`.
    device : device or str, optional
        None takes that of `x`.

    Returns
    -------
    array of `x`'s shape and library; a constant

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.empty_like(xp.asarray([1, 2, 3])).shape
    (3,)
    """
    return call("empty_like", x, **_like(x, dtype, device))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> RawArray:
    """Ones on one diagonal and zeros elsewhere.

    Parameters
    ----------
    n_rows, n_cols : int
        Without `n_cols` the matrix is square.
    k : int
        Which diagonal: positive above the main one, negative below.
    dtype : dtype or str, optional
    device : device or str, optional

    Returns
    -------
    array of shape (n_rows, n_cols)

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.eye(2, 3, k=1)
    array([[0., 1., 0.],
           [0., 0., 1.]])
    """
    backend, place = _place(dtype, device)
    return backend.xp.eye(n_rows, n_cols, k=k, **place)


def full(shape: Shape, fill_value: complex, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array with the same number everywhere.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : Python number or array of no axes
        An array, traced or not, keeps its library and gradient.
    dtype : dtype or str, optional
        None takes the library's default for the kind of `fill_value`.
    device : device or str, optional

    Returns
    -------
    array of shape `shape`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.full(3, 7.0)
    array([7., 7., 7.])
    """
    if isinstance(fill_value, Array):
        return _filled(fill_value, shape, dtype, device)
    backend, place = _place(dtype, device)
    return backend.xp.full(shape, fill_value, **place)


def _filled(value: RawArray, shape: Shape, dtype: Any, device: Any) -> RawArray:
    repeated = broadcast_to(value, (shape,) if isinstance(shape, int) else shape)
    return astype(repeated, value.dtype if dtype is None else dtype, device=device)


def full_like(x: RawArray, /, fill_value: complex, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of `x`'s shape with the same number everywhere.

    Parameters
    ----------
    x : array of any shape and dtype
    fill_value : Python number or array of no axes
        A traced array keeps its gradient.
    dtype : dtype or str, optional
        None takes that of `x`.
    device : device or str, optional
        None takes that of `x`.

    Returns
    -------
    array of `x`'s shape and library

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.full_like(xp.asarray([1, 2]), 9)
    array([9, 9])
    """
    if isinstance(fill_value, Array):
        return _filled(fill_value, x.shape, x.dtype if dtype is None else dtype, device)
    return call("full_like", x, fill_value=fill_value, **_like(x, dtype, device))


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> RawArray:
    """Evenly spaced numbers over an interval.

    Parameters
    ----------
    start, stop : Python number
    num : int
        How many.
    dtype : dtype or str, optional
        Floating-point or complex.
    device : device or str, optional
    endpoint : bool
        Whether `stop` is the last of them.

    Returns
    -------
    array of shape (num,)

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.linspace(0.0, 1.0, 3)
    array([0. , 0.5, 1. ])
    """
    backend, place = _place(dtype, device)
    return backend.xp.linspace(start, stop, num, endpoint=endpoint, **place)


def ones(shape: Shape, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of ones.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype or str, optional
    device : device or str, optional

    Returns
    -------
    array of shape `shape`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.ones(2)
    array([1., 1.])
    """
    backend, place = _place(dtype, device)
    return backend.xp.ones(shape, **place)


def ones_like(x: RawArray, /, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of ones, of `x`'s shape.

    Parameters
    ----------
    x : array of any shape and dtype
    dtype : dtype or str, optional
        None takes that of `x`.
    device : device or str, optional
        None takes that of `x`.

    Returns
    -------
    array of `x`'s shape and library; a constant

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.ones_like(xp.asarray([5, 6]))
    array([1, 1])
    """
    return call("ones_like", x, **_like(x, dtype, device))


def tril(x: RawArray, /, *, k: int = 0) -> RawArray:
    """Matrix, or stack of matrices, with zeros above one diagonal.

    Parameters
    ----------
    x : array of shape (..., n, m) and any dtype
    k : int
        Which diagonal is the last to stay.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.tril(xp.asarray([[1, 2], [3, 4]]))
    array([[1, 0],
           [3, 4]])
    """
    return call("tril", x, k=k)


def triu(x: RawArray, /, *, k: int = 0) -> RawArray:
    """Matrix, or stack of matrices, with zeros below one diagonal.

    Parameters
    ----------
    x : array of shape (..., n, m) and any dtype
    k : int
        Which diagonal is the first to stay.

    Returns
    -------
    array of `x`'s shape and dtype

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.triu(xp.asarray([[1, 2], [3, 4]]))
    array([[1, 2],
           [0, 4]])
    """
    return call("triu", x, k=k)


def zeros(shape: Shape, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of zeros.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype or str, optional
    device : device or str, optional

    Returns
    -------
    array of shape `shape`

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.zeros((2, 2), dtype="int8")
    array([[0, 0],
           [0, 0]], dtype=int8)
    """
    backend, place = _place(dtype, device)
    return backend.xp.zeros(shape, **place)


def zeros_like(x: RawArray, /, *, dtype: Any = None, device: Any = None) -> RawArray:
    """A new array of zeros, of `x`'s shape.

    Parameters
    ----------
    x : array of any shape and dtype
    dtype : dtype or str, optional
        None takes that of `x`.
    device : device or str, optional
        None takes that of `x`.

    Returns
    -------
    array of `x`'s shape and library; a constant

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.zeros_like(xp.asarray([5, 6]))
    array([0, 0])
    """
    return call("zeros_like", x, **_like(x, dtype, device))
