"""Losses of Dask arrays: value, gradient and Hessian products chunk by chunk, on Dask's own scheduler.

A chunk is one task, which computes what the chunk says with a compiled function; tasks that take the mean of
a few at a time follow. So the data need never be in memory as a whole, and the same code runs in threads, in
processes and on a cluster. Parameters are trees of arrays, as everywhere in bpkit; data are Dask arrays.

Needs Dask: ``pip install "dask[array]"``.
"""

try:
    import dask
    import dask.array as da
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph
    from dask.optimization import cull
except ImportError as error:
    raise ImportError(
        'bpkit.interop.dask needs Dask, which is not installed: pip install "dask[array]"'
    ) from error

import math
import operator
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bpkit import tree
from bpkit.errors import ArgumentError, DataError
from bpkit.interop._aligned import ADVICE_UNKNOWN, aligned
from bpkit.interop._chunks import Literal, Merge, OfChunk, Result, Unread, given_to_all
from bpkit.interop._vectors import Variables
from bpkit.interop.scipy import Objective
from bpkit.trace import Traced
from bpkit.transforms.arguments import as_inputs, describe, title

__all__ = ["Batches", "batches", "hvp", "objective", "value_and_grad"]

MERGED = 8
"""How many results one task takes the mean of: so many gradients may be in its memory."""


def value_and_grad(
    loss: Callable[..., Any], *, reduction: str = "mean", jit: bool = True, compute: bool = True
) -> Callable[..., Any]:
    """Make a function that returns the value and the gradient of a loss over Dask arrays.

    Parameters
    ----------
    loss : callable
        ``loss(params, *chunks, **kwargs)`` returns the loss of some examples, a 0-d array of a real floating
        dtype. It gets arrays as any other function does: chunks, with as many rows each as there are
        examples.
    reduction : {"mean", "sum"}
        What `loss` does to its examples, and so how the chunks are put together: ``"mean"`` weights each by
        its number of examples, ``"sum"`` adds. A penalty on the parameters is counted once by ``"mean"`` and
        once for each chunk by ``"sum"``.
    jit : bool
        Whether a chunk's function is compiled by :func:`bpkit.jit`, once in each process for each shape of
        chunks. Say False if `loss` branches on values, or if hardly two chunks have one length.
    compute : bool
        Whether the function waits for the result. If not, it returns a ``dask.delayed.Delayed`` of it.

    Returns
    -------
    callable
        ``(params, *arrays, **kwargs)`` returns ``(value, gradient)``, as :func:`bpkit.value_and_grad` does;
        the gradient is like `params` in structure, shapes, dtypes, library and device. The arrays are Dask
        arrays with the examples along their first axis; they are chunked along that axis as the first of them
        is, and not along others. Keyword arguments reach `loss` as they are. `params` may be a Delayed.

    Raises
    ------
    ArgumentError
        If there is no Dask array, or another argument is none; if a leaf of `params` is no floating array;
        if it is called inside `grad`, `jit` or another transform; what
        :func:`bpkit.value_and_grad` raises, with the number of the chunk as a note.
    ShapeError
        If arrays have different numbers of examples.
    DataError
        If there is no example at all.

    Notes
    -----
    Chunks of NumPy arrays are moved to the library and device of `params`; chunks of another library (CuPy)
    stay, and then `params` must be of it. Empty chunks are left out. Where chunk sizes are unknown, each
    chunk is checked when it is there.

    References
    ----------
    M. Rocklin, "Dask: parallel computation with blocked algorithms and task scheduling", Proceedings of the
    14th Python in Science Conference (2015), 126-132.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from bpkit import xp
    >>> def loss(params, x, y):
    ...     return xp.mean((x @ params["w"] - y) ** 2)
    >>> x = da.from_array(np.arange(12.0).reshape(6, 2), chunks=(4, 2))
    >>> value, gradient = value_and_grad(loss)({"w": np.zeros(2)}, x, da.ones(6, chunks=4))
    >>> print(value, gradient)
    1.0 {'w': array([-10., -12.])}
    """
    chunked = _Chunked("value_and_grad", loss, reduction, jit)

    def value_and_gradient(params: Any, *arrays: Any, **kwargs: Any) -> Any:
        found = chunked((params,), arrays, kwargs)
        return found.compute() if compute else found

    return value_and_gradient


def hvp(
    loss: Callable[..., Any], *, reduction: str = "mean", jit: bool = True, compute: bool = True
) -> Callable[..., Any]:
    """Make a function that returns the product of the Hessian of a loss over Dask arrays with a vector.

    Parameters
    ----------
    loss, reduction, jit, compute
        As for :func:`value_and_grad`.

    Returns
    -------
    callable
        ``(params, tangent, *arrays, **kwargs)`` returns the product, like `params`; the tangent is such a
        tree too.

    Raises
    ------
    ArgumentError, ShapeError, DataError
        As :func:`value_and_grad`.

    References
    ----------
    B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994), 147-160.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from bpkit import xp
    >>> product = hvp(lambda w, x: xp.mean((x @ w) ** 4))
    >>> print(product(np.ones(2), np.asarray([1.0, 0.0]), da.ones((6, 2), chunks=2)))
    [48. 48.]
    """
    chunked = _Chunked("hvp", loss, reduction, jit)

    def product(params: Any, tangent: Any, *arrays: Any, **kwargs: Any) -> Any:
        found = chunked((params, tangent), arrays, kwargs)
        return found.compute() if compute else found

    return product


def objective(
    loss: Callable[..., Any], x0: Any, *arrays: Any, reduction: str = "mean", jit: bool = True
) -> Objective:
    """A loss over Dask arrays with gradient and Hessian products, for ``scipy.optimize.minimize``.

    Parameters
    ----------
    loss : callable
        ``loss(x, *chunks)``, as for :func:`value_and_grad`.
    x0 : pytree of real floating arrays
        Where SciPy may start.
    *arrays : dask.array.Array
        The data.
    reduction, jit
        As for :func:`value_and_grad`.

    Returns
    -------
    bpkit.interop.scipy.Objective

    Raises
    ------
    ArgumentError
        If a leaf of `x0` is no real floating array.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from bpkit import xp
    >>> from scipy.optimize import minimize
    >>> x = da.from_array(np.arange(12.0).reshape(6, 2) % 5, chunks=(4, 2))
    >>> fit = objective(lambda w, x, y: xp.mean((x @ w - y) ** 2), np.zeros(2), x, x @ np.asarray([1.0, 2.0]))
    >>> print(minimize(fit.fun, fit.x0, jac=True, hessp=fit.hessp, method="Newton-CG").x.round(6))
    [1. 2.]
    """
    variables = Variables(title("objective", loss), x0)
    both = value_and_grad(loss, reduction=reduction, jit=jit)
    product = hvp(loss, reduction=reduction, jit=jit)

    def value_and_gradient(x: Any) -> tuple[float, Any]:
        value, gradient = both(variables.tree(x), *arrays)
        return float(value), variables.vector(gradient)

    def hessp(x: Any, p: Any) -> Any:
        return variables.vector(product(variables.tree(x), variables.tree(p), *arrays))

    return Objective(variables.x0, value_and_gradient, hessp, variables.tree)


def batches(*arrays: Any, batch_size: int | None = None) -> "Batches":
    """Batches of Dask arrays, each computed when it is asked for: data for :func:`bpkit.training.fit`.

    Parameters
    ----------
    *arrays : dask.array.Array
        With the examples along their first axis: for ``fit`` two, what the model takes and its target.
    batch_size : int, optional
        Examples in a batch. Default: a batch is a chunk of the first array.

    Returns
    -------
    Batches
        A sequence of whole batches, so `fit` must be told ``batch_size=None``. Each epoch takes them in
        another random order; examples stay in theirs. Chunks should be about as large as batches: where a
        chunk is computed, as opposed to read, it is computed anew for each batch in it.

    Raises
    ------
    ArgumentError
        If an argument is no Dask array, or `batch_size` no whole number above 0.
    ShapeError
        If arrays have different numbers of examples.
    DataError
        If there is no example.

    Examples
    --------
    >>> import dask.array as da
    >>> pairs = batches(da.ones((10, 2), chunks=4), da.arange(10, chunks=4))
    >>> len(pairs), pairs[2][1]
    (3, array([8, 9]))
    """
    found = aligned("batches", arrays)
    if batch_size is not None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(f"batches: batch_size: expected an int of 1 or more, got {batch_size!r}")
        if math.isnan(found[0].shape[0]):
            raise ArgumentError(f"batches: batch_size needs chunks of known sizes; {ADVICE_UNKNOWN}")
        found = aligned("batches", [x.rechunk({0: batch_size}) for x in found])
    return Batches(tuple(found))


class Batches(Sequence[Any]):
    """What :func:`batches` returns."""

    def __init__(self, arrays: tuple[Any, ...]) -> None:
        self._arrays = arrays
        self.batch_size = max(arrays[0].chunks[0], default=0)
        """Examples of the largest batch: what has such a number is no source of single examples."""
        # A length of nan is unknown, and not 0.
        self._places = [i for i, length in enumerate(arrays[0].chunks[0]) if length != 0]
        if not self._places:
            raise DataError("batches: there is no example in the arrays: their length is 0")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: Any) -> Any:
        """The batch of this number: a tuple with an array of each."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        place = self._places[operator.index(number)]
        return dask.compute(*[x.blocks[place] for x in self._arrays])


class _Reading(NamedTuple):
    """The tasks that make the blocks of one chunk, and whether no other chunk needs one of them."""

    tasks: dict[Any, Any]
    alone: bool


def _reading(arrays: Sequence[Any], blocks: Iterable[list[Any]]) -> list[_Reading]:
    """What makes the blocks of each chunk.

    Where it is the chunk's alone, it becomes a part of its task: no block waits in memory for its turn,
    nor goes from one process to another.
    """
    graph = {key: task for x in arrays for key, task in dict(x.dask).items()}
    found = [cull(graph, keys)[0] for keys in blocks]
    uses = Counter(key for tasks in found for key in tasks)
    return [_Reading(tasks, all(uses[key] == 1 for key in tasks)) for tasks in found]


def _is_on_a_cluster(arrays: Sequence[Any]) -> bool:
    """Whether chunks are in the memory of workers already, as ``client.persist`` leaves them."""
    cluster = sys.modules.get("distributed")
    return cluster is not None and any(cluster.futures_of(x) for x in arrays)


class _Chunked:
    """A function of chunks, and how its results are put together, as a graph of Dask."""

    def __init__(self, transform: str, loss: Callable[..., Any], reduction: str, jit: bool) -> None:
        self._called = title(transform, loss)
        if reduction not in ("mean", "sum"):
            raise ArgumentError(
                f'{self._called}: reduction must be "mean" or "sum"; it is {describe(reduction)}'
            )
        self._of_chunk = OfChunk(self._called, loss, transform, jit, uuid.uuid4().hex)
        self._merge = Merge(reduction == "mean")
        # What the dashboard and the progress bar call the tasks: words without underscores are kept whole.
        words = "".join([c if c.isalnum() else "-" for c in getattr(loss, "__name__", type(loss).__name__)])
        self._name = f"{words.strip('-')}-{'gradient' if transform == 'value_and_grad' else 'hvp'}"

    def __call__(self, inputs: tuple[Any, ...], arrays: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        for name, x in kwargs.items():
            if any(isinstance(leaf, da.Array) for leaf in tree.leaves(x)):
                raise ArgumentError(
                    f"{self._called}: {name} is a keyword argument, which each chunk gets as a whole, and "
                    f"must not be a Dask array; pass data by position, and what is no data as "
                    f"{name}.compute()"
                )
        if any(isinstance(leaf, Traced) for leaf in tree.leaves((inputs, kwargs))):
            raise ArgumentError(
                f"{self._called}: the parameters are traced, so this is inside grad, jit or another "
                f"transform, which Dask's tasks do not see. Call it outside, it returns the derivative "
                f"itself, and compile what comes after it"
            )
        for name, x in zip(("params", "tangent"), inputs, strict=False):
            if isinstance(x, da.Array):
                raise ArgumentError(f"{self._called}: {name} must be arrays in memory; it is a Dask array")
            if not isinstance(x, Delayed):
                as_inputs(self._called, name, (0,), (x,), x)
        found: Sequence[Any] = aligned(self._called, arrays)
        held = _is_on_a_cluster(found)
        if not held:
            found = dask.optimize(*found)
        token = uuid.uuid4().hex
        given, merged = f"{self._name}-parameters-{token}", f"{self._name}-merge-{token}"
        chunk = f"{self._name}-{token}"
        delayed = [x for x in inputs if isinstance(x, Delayed)]
        keys = [x.key if isinstance(x, Delayed) else Literal(x) for x in inputs]
        tasks: dict[Any, Any] = {given: (given_to_all, keys, Literal(kwargs))}
        blocks = {
            (chunk, i): [(x.name, i, *[0] * (x.ndim - 1)) for x in found]
            for i, length in enumerate(found[0].chunks[0])
            if length != 0
        }
        level: list[Any] = list(blocks)
        reading = [None] * len(blocks) if held else _reading(found, blocks.values())
        for (key, of_blocks), own in zip(blocks.items(), reading, strict=True):
            if own is None:
                tasks[key] = (self._of_chunk, key[1], given, *of_blocks)
            elif own.alone:
                tasks[key] = (self._of_chunk, key[1], given, Unread(own.tasks, of_blocks))
            else:
                tasks |= own.tasks
                tasks[key] = (self._of_chunk, key[1], given, *of_blocks)
        height = 0
        while len(level) > 1:
            groups = [level[i : i + MERGED] for i in range(0, len(level), MERGED)]
            level = [(merged, height, i) for i in range(len(groups))]
            tasks.update({key: (self._merge, group) for key, group in zip(level, groups, strict=True)})
            height += 1
        result = f"{self._name}-result-{token}"
        tasks[result] = (Result(self._called), level)
        graph = HighLevelGraph.from_collections(
            result, tasks, dependencies=[*found, *delayed] if held else delayed
        )
        return Delayed(result, graph)
