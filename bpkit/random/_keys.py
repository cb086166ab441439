"""Keys: made from a seed, split, and turned into words by Threefry-2x32."""

import operator
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import Backend, Capability, RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import raw
from bpkit.registry import backend_of, current

__all__ = ["MASK", "Source", "fold_in", "integer", "key", "source", "split", "threefry_2x32"]

MASK = 0xFFFFFFFF
PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

# The second word of the counter is what the key is used for, so that no two uses see the same words.
DRAW, SPLIT, FOLD = 0, 1, 2


def threefry_2x32(key: RawArray, counter: RawArray, purpose: RawArray | int) -> tuple[RawArray, RawArray]:
    """Twenty rounds of Threefry on two 32-bit words [1]_.

    Parameters
    ----------
    key : array of shape (2,), uint32, or int64 of values below 2**32
    counter : array of shape (n,) of the same dtype
        The first word of each block.
    purpose : int below 2**31, or array of shape (n,) of the same dtype
        The second.

    Returns
    -------
    two arrays of shape (n,) and the same dtype

    References
    ----------
    .. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
       SC'11, 2011, https://doi.org/10.1145/2063384.2063405

    Examples
    --------
    >>> zeros = np.zeros(2, dtype=np.uint32)
    >>> x, y = threefry_2x32(zeros, zeros, 0)
    >>> f"{x[0]:08x} {y[0]:08x}"
    '6b200159 99ba4efe'
    """
    signed = key.dtype == xp.dtype_of("int64", like=key)

    def wrap(x: RawArray) -> RawArray:
        return x & MASK if signed else x

    # Slices rather than elements, because NumPy warns when an operation on two scalars wraps around.
    first, second = key[:1], key[1:]
    schedule = (first, second, first ^ second ^ PARITY)
    # A raw array on the left of an operator may refuse a traced one (array-api-strict does), so x, which is
    # traced as soon as anything is, stands there.
    x, y = wrap(xp.add(counter, first)), wrap(second + purpose)
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x = wrap(x + y)
            y = x ^ (wrap(y << rotation) | (y >> (32 - rotation)))
        x = wrap(x + schedule[(group + 1) % 3])
        y = wrap(y + (schedule[(group + 2) % 3] + (group + 1)))
    return x, y


class Source(NamedTuple):
    """A checked key, and where numbers are made from it.

    Attributes
    ----------
    key : array of shape (2,)
        The words, possibly traced.
    backend : Backend
        The library of the key.
    device : object
        The library's device object of the key.
    """

    key: RawArray
    backend: Backend
    device: Any

    def constant(self, values: np.ndarray[Any, Any]) -> RawArray:
        """The values as an array of the key's library, on its device."""
        return self.backend.from_host(values, self.device)

    def dtype(self, name: str) -> Any:
        """The dtype object of the key's library with this name."""
        return getattr(self.backend.xp, name)

    def dtype_name(self, dtype: Any, kind: str, allowed: tuple[str, ...], called: str) -> str:
        """The name of a dtype that a caller gave as None, a name or a dtype object.

        `kind` is what None stands for, in the words of the standard's ``default_dtypes``.
        """
        if dtype is None:
            dtype = self.backend.xp.__array_namespace_info__().default_dtypes(device=self.device)[kind]
        for name in allowed:
            if dtype == name or dtype == self.dtype(name):
                # Of this device: a library may have dtypes on one that it has not on another.
                here = self.backend.xp.__array_namespace_info__().dtypes(device=self.device)
                if name in here:
                    return name
                raise ArgumentError(
                    f"{called}: dtype: {self.backend.name} has no {name} as it is configured now, on "
                    f"{self.backend.device_of(raw(self.key))}; it has {', '.join(here)}"
                )
        raise ArgumentError(f"{called}: dtype: expected one of {', '.join(allowed)}, or None; got {dtype!r}")

    def blocks(self, n: int, purpose: int = DRAW) -> tuple[RawArray, RawArray]:
        """Two words for each of the counters from 0 to n - 1; shapes (n,)."""
        if n > MASK + 1:
            raise ShapeError(
                f"one draw from a key has at most 2**33 words of 32 bits, and this one needs {2 * n}; "
                "split the key and draw in parts"
            )
        counter = self.backend.xp.arange(n, dtype=self.key.dtype, device=self.device)
        return threefry_2x32(self.key, counter, purpose)

    def words(self, n: int) -> RawArray:
        """The first `n` words of the key, two from each block; shape (n,)."""
        n_blocks = (n + 1) // 2
        return xp.reshape(xp.stack(self.blocks(n_blocks), axis=-1), (2 * n_blocks,))[:n]


def source(key: Any, called: str) -> Source:
    """Check a key by its type, shape and dtype, and find its library and device."""
    try:
        backend = backend_of(raw(key))
    except TypeError:
        raise ArgumentError(
            f"{called}: key: expected an array of two words, got {key!r} of type {type(key).__name__}; "
            "make one with bpkit.random.key(seed)"
        ) from None
    words = word_dtype(backend)
    if key.dtype != getattr(backend.xp, words):
        raise ArgumentError(
            f"{called}: key: expected two words of dtype {words}, as {backend.name} has them, got an array "
            f"of shape {tuple(key.shape)} and dtype {key.dtype}; make one with bpkit.random.key(seed)"
        )
    if tuple(key.shape) != (2,):
        several = len(key.shape) > 1 and key.shape[-1] == 2
        advice = "take one of these keys: keys[0]" if several else "make one with bpkit.random.key(seed)"
        raise ShapeError(f"{called}: key: expected shape (2,), got {tuple(key.shape)}; {advice}")
    return Source(key, backend, backend.device(backend.device_of(raw(key))))


def word_dtype(backend: Backend) -> str:
    """The dtype of a key's words: int64, holding 32 bits, where the library cannot count in uint32."""
    return "uint32" if Capability.UINT32_ARITHMETIC in backend.capabilities else "int64"


def integer(value: Any, called: str, argument: str, stop: int) -> int:
    """A Python integer from 0 to stop - 1."""
    wanted = f"{called}: {argument}: expected an integer from 0 to {stop - 1}"
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentError(
            f"{wanted}, got {value!r} of type {type(value).__name__}; convert it with int(...)"
        ) from None
    if not 0 <= number < stop:
        raise ArgumentError(f"{wanted}, got {number}; choose one in that range")
    return number


def key(seed: SupportsIndex) -> RawArray:
    """A key from a seed, on the current backend and device.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1; a Python or NumPy integer.

    Returns
    -------
    array of shape (2,)
        The high and the low 32 bits of the seed; uint32, or int64 where the library cannot count in uint32
        (PyTorch).

    Raises
    ------
    ArgumentError
        If the seed is no integer in that range.

    Examples
    --------
    >>> from bpkit import random
    >>> random.key(2**32 + 7)
    array([1, 7], dtype=uint32)
    """
    number = integer(seed, "key", "seed", 2**64)
    backend, device = current()
    return backend.from_host(np.asarray([number >> 32, number & MASK], dtype=word_dtype(backend)), device)


def split(key: RawArray, num: SupportsIndex = 2) -> RawArray:
    """New keys from one, as unrelated to it and to each other as keys from different seeds.

    Parameters
    ----------
    key : key
        Splitting it again gives the same keys again.
    num : int
        How many, from 0 to 2**32 - 1.

    Returns
    -------
    array of shape (num, 2)
        A key in each row; ``bpkit.xp.unstack`` separates them on every library. The first rows do not depend
        on `num`.

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, or `num` no such number.

    Examples
    --------
    >>> from bpkit import random
    >>> weights, bias = random.split(random.key(0))
    >>> weights
    array([ 928981903, 3453687069], dtype=uint32)
    """
    found = source(key, "split")
    return xp.stack(found.blocks(integer(num, "split", "num", 2**32), SPLIT), axis=-1)


def fold_in(key: RawArray, data: SupportsIndex | RawArray) -> RawArray:
    """A new key from a key and a number, such as that of a step or a layer.

    Parameters
    ----------
    key : key
    data : int, or integer array of shape ()
        From 0 to 2**32 - 1. An array may be traced, and its range is not checked.

    Returns
    -------
    array of shape (2,)
        A key, unrelated to those that :func:`split` gives.

    Raises
    ------
    ArgumentError, ShapeError
        If `key` is no key, or `data` no such number.

    Examples
    --------
    >>> from bpkit import random
    >>> random.fold_in(random.key(0), 1000)
    array([2856413057, 1348068580], dtype=uint32)
    """
    found = source(key, "fold_in")
    number: Any = data
    if hasattr(number, "dtype") and not isinstance(number, np.generic):
        if tuple(number.shape) != () or not xp.isdtype(number.dtype, "integral"):
            raise ArgumentError(
                f"fold_in: data: expected an integer, got an array of shape {tuple(number.shape)} "
                f"and dtype {number.dtype}; fold in one integer at a time"
            )
        counter = xp.astype(xp.reshape(number, (1,)), found.key.dtype)
    else:
        counter = found.constant(
            np.asarray([integer(number, "fold_in", "data", 2**32)], dtype=word_dtype(found.backend))
        )
    return xp.concat(threefry_2x32(found.key, counter, FOLD))
