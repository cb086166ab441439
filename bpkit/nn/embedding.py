"""A table of vectors that are looked up by their numbers."""

import itertools
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, DataError
from bpkit.indexing import places_of
from bpkit.kinds import Kind, kind_of, raw
from bpkit.nn.init import Initializer, standard_normal
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape, check_sizes
from bpkit.registry import backend_of

__all__ = ["Embedding", "noted_lookups"]

Lookups = list[tuple["Embedding", RawArray]]

_lookups: ContextVar[Lookups | None] = ContextVar("_lookups", default=None)


@contextmanager
def noted_lookups() -> Iterator[Lookups]:
    """The layers that are called inside the block, each with its ids, which may be out of range."""
    noted: Lookups = []
    token = _lookups.set(noted)
    try:
        yield noted
    finally:
        _lookups.reset(token)


class Embedding(Module):
    """One vector for each of a number of words, classes or other things: ``y = weight[ids]``.

    Parameters
    ----------
    num_embeddings : int
        How many vectors there are; ids run from 0 to ``num_embeddings - 1``.
    embedding_dim : int
        The length of each.
    key : array
        From :func:`bpkit.random.key` or :func:`bpkit.random.split`.
    padding_index : int or None
        An id that stands for nothing. Its vector starts as zeros and gets no gradient. -1 is the last id.
    init : callable
        ``(key, shape, dtype) -> array``, of :mod:`bpkit.nn.init` or your own.
    dtype : floating dtype or None
        Of the vectors; None for the default of the current backend.

    Attributes
    ----------
    weight : array, shape (num_embeddings, embedding_dim)
    num_embeddings, embedding_dim : int
    padding_index : int or None

    Raises
    ------
    ArgumentError
        If a size is not a positive int, or `padding_index` is no id.

    References
    ----------
    Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language model", JMLR 3, 2003,
    section 2.

    Examples
    --------
    >>> from bpkit import random, xp
    >>> layer = Embedding(1000, 16, key=random.key(0), padding_index=0)
    >>> layer
    Embedding(1000 → 16, padding_index=0)
    >>> layer(xp.asarray([[3, 5, 0], [7, 0, 0]])).shape
    (2, 3, 16)
    """

    weight: RawArray
    num_embeddings: int = static()
    embedding_dim: int = static()
    padding_index: int | None = static()

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        key: RawArray,
        padding_index: int | None = None,
        init: Initializer = standard_normal,
        dtype: Any = None,
    ) -> None:
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = int(num_embeddings), int(embedding_dim)
        self.padding_index = _place(padding_index, self.num_embeddings)
        self.weight = init(key, (self.num_embeddings, self.embedding_dim), dtype)
        if self.padding_index is not None:
            padding = xp.expand_dims(xp.arange(self.num_embeddings) == self.padding_index, -1)
            self.weight = xp.where(padding, 0.0, self.weight)

    def __call__(self, ids: RawArray) -> RawArray:
        """Look the vectors up.

        Parameters
        ----------
        ids : array of any shape, integer

        Returns
        -------
        array, shape (*ids.shape, embedding_dim)
            Of the weight's dtype.

        Raises
        ------
        ArgumentError
            If `ids` is no array of integers.
        DataError
            If an id is out of range. Arrays in the machine's memory are checked, and others are not, since
            that would mean to wait for them. A function of :func:`bpkit.jit` checks them in its first call
            at most: what it does later with an id out of range is the library's affair, which may take
            another vector. :func:`bpkit.training.fit` checks its data itself, and inside
            :func:`bpkit.debug_nans` every call does.
        """
        shape = array_shape(self, "ids", ids, "(...)")
        if kind_of(ids) is not Kind.INTEGER:
            raise ArgumentError(
                f"{self!r}: ids must be integers, got dtype {ids.dtype}; convert them with bpkit.xp.astype"
            )
        lookups = _lookups.get()
        if lookups is None:
            self._check(ids)
        else:
            lookups.append((self, ids))
            ids = xp.clip(xp.astype(ids, "int32"), 0, self.num_embeddings - 1)
        ids = places_of(ids)
        places = xp.reshape(ids, (-1,)) if len(shape) != 1 else ids
        rows = xp.take(self.weight, places, axis=0)
        if self.padding_index is not None:
            padding = xp.expand_dims(places == self.padding_index, -1)
            rows = xp.where(padding, xp.stop_gradient(rows), rows)
        return xp.reshape(rows, (*shape, self.embedding_dim)) if len(shape) != 1 else rows

    def _check(self, ids: RawArray) -> None:
        """Look for an id that is out of range, where that costs no waiting."""
        values = backend_of(raw(ids)).host_view(raw(ids))
        if values is None:
            return
        wrong = (values < 0) | (values >= self.num_embeddings)
        if np.any(wrong):
            index = next(i for i in itertools.product(*map(range, values.shape)) if wrong[i])
            # Under vmap there is one axis more.
            where = f"ids[{', '.join(map(str, index))}]" if index and values.shape == ids.shape else "ids"
            raise DataError(
                f"{self!r}: {where} is {int(values[index])}, but the ids of the vectors are 0 to "
                f"{self.num_embeddings - 1}"
            )

    def __repr__(self) -> str:
        padding = "" if self.padding_index is None else f", padding_index={self.padding_index}"
        return f"{type(self).__name__}({self.num_embeddings} → {self.embedding_dim}{padding})"


def _place(index: Any, count: int) -> int | None:
    """An id that may be counted from the end, counted from the start."""
    if index is None:
        return None
    try:
        place = operator.index(index)
    except TypeError:
        place = count
    if isinstance(index, bool) or not -count <= place < count:
        raise ArgumentError(
            f"Embedding: padding_index must be an int from {-count} to {count - 1}, or None; got {index!r}"
        )
    return place % count
