"""A function of one example applied to a whole batch of them at once."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from bpkit import tree
from bpkit.array import Array
from bpkit.batching import BatchTrace
from bpkit.batching.registry import transposed
from bpkit.derivative import owned
from bpkit.errors import ArgumentError, BatchingError, ShapeError
from bpkit.kinds import raw
from bpkit.registry import common_backend
from bpkit.trace import BATCHED, call, snapshot
from bpkit.transforms.arguments import describe, is_array, link_of, title, unwrap, wrap_constants

__all__ = ["vmap"]


def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Make a function that applies `fun` to every example of a batch, in one run.

    The function is written for one example and does not see the batch. What it does, the library does for
    all examples at once, so it is as fast as code with a batch axis written by hand.

    Parameters
    ----------
    fun : callable
        Takes and returns trees of arrays.
    in_axes : int, None, or tree of them
        Along which axis of each array the examples lie; None for what is the same for every example. One
        for all arguments, or a tuple or list with one for each; that of an argument may be a tree, of which
        a part stands for all arrays below it. Arguments passed by keyword have their examples along axis 0.
    out_axes : int, None, or tree of them
        Along which axis of each result the examples shall lie; None for a result that is the same for all.

    Returns
    -------
    callable
        Takes the batches; returns the tree that `fun` returns, each array with the additional axis.

    Raises
    ------
    ArgumentError
        If `in_axes` or `out_axes` do not fit, or nothing is batched.
    ShapeError
        If an array lacks the axis, or batches have different lengths.
    BatchingError
        If `fun` branches on a value that differs between examples, or calls a function whose result would
        have another shape for each: ``nonzero``, the ``unique_`` functions, ``repeat`` with an array of
        repeats, ``x[mask]`` with such a mask.

    Notes
    -----
    A value written to inside `fun` stays a value of each example. Random numbers drawn inside are the same
    for every example; pass each a key of its own: ``vmap(fun)(xs, bpkit.random.split(key, n))``.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> print(vmap(lambda row: row @ row)(x))
    [ 5. 25. 61.]

    The gradient for each example by itself:

    >>> loss = lambda w, x: (w @ x) ** 2
    >>> print(vmap(grad(loss), in_axes=(None, 0))(np.asarray([1.0, 0.0]), x))
    [[ 2.  4.]
     [18. 24.]
     [50. 60.]]
    """
    called = title("vmap", fun)

    @wraps(fun, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        axes = _axes_of_arguments(called, in_axes, args, kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        size = _size(called, args, kwargs, leaves, axes)
        common_backend([raw(x) for x in leaves if is_array(x)], called)
        with BatchTrace(size) as trace:
            watched = [
                wrap_constants(trace, x) if axis is None else _example(trace, x, axis)
                for x, axis in zip(leaves, axes, strict=True)
            ]
            given, keywords = tree.unflatten(structure, watched)
            out = fun(*given, **keywords)
        results, arrangement = tree.flatten(out)
        places = _spread(called, "out_axes", out_axes, out)
        found = [
            _batch(called, f"the result{path}", trace, x, axis, leaves)
            for path, x, axis in zip(tree.paths(out), results, places, strict=True)
        ]
        arrays = [x for x in found if is_array(x)]
        own = iter(owned(arrays, arrays, leaves))
        return tree.unflatten(arrangement, [next(own) if is_array(x) else x for x in found])

    return batched


def _axes_of_arguments(
    called: str, in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[int | None]:
    """The axis of the examples in every leaf of the arguments."""
    each = in_axes if isinstance(in_axes, tuple | list) else [in_axes] * len(args)
    if len(each) != len(args):
        raise ArgumentError(
            f"{called}: in_axes has {len(each)} entries for {len(args)} positional arguments; give one for "
            f"each, or one int for all"
        )
    found = []
    for i, (axes, x) in enumerate(zip(each, args, strict=True)):
        found += _spread(called, f"in_axes[{i}]", axes, x)
    return found + [0] * len(tree.leaves(kwargs))


def _spread(called: str, what: str, axes: Any, x: Any) -> list[int | None]:
    """The axis for every leaf of a tree, from a tree of axes of which a part stands for all below it."""
    try:
        found = tree.broadcast_prefix(axes, x)
    except ValueError as error:
        raise ArgumentError(
            f"{called}: {what} must be an int, None or a tree of them like the value it is for; it is "
            f"{describe(axes)}: {error}"
        ) from None
    for axis in found:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ArgumentError(f"{called}: {what} must consist of ints and None; it has {describe(axis)}")
    return found


def _size(
    called: str, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any], axes: list[int | None]
) -> int:
    """The number of examples, in which all batched arguments agree."""
    names = [f"argument {i}{path}" for i, x in enumerate(args) for path in tree.paths(x)]
    names += [f"argument {path}" for path in tree.paths(kwargs)]
    sizes: dict[int, str] = {}
    for name, x, axis in zip(names, leaves, axes, strict=True):
        if axis is None:
            continue
        if not is_array(x):
            raise ArgumentError(
                f"{called}: {name} must be an array with its examples along axis {axis}; it is "
                f"{describe(x)}. Where all examples share it, pass it by position with in_axes=None for it"
            )
        n_axes = len(x.shape)
        if not -n_axes <= axis < n_axes:
            raise ShapeError(
                f"{called}: {name} has its examples along axis {axis}, and it is {describe(x)}, which has "
                f"no such axis"
            )
        sizes.setdefault(x.shape[axis], f"{name} has {x.shape[axis]} along axis {axis}")
    if not sizes:
        raise ArgumentError(
            f"{called}: nothing is batched: give an axis for at least one argument that has arrays"
        )
    if len(sizes) > 1:
        raise ShapeError(
            f"{called}: all batched arguments must have the same number of examples; "
            f"{', '.join(sizes.values())}"
        )
    return next(iter(sizes))


def _example(trace: BatchTrace, x: Any, axis: int) -> Array:
    """A batch as the user's function sees it: as one example."""
    trace.entered.append(x)
    n_axes = len(x.shape)
    axis %= n_axes
    order = (axis, *[i for i in range(n_axes) if i != axis])
    example = trace.watch(transposed(snapshot(x), order), BATCHED)
    if axis:
        trace.moved.append(example)
    return example


def _batch(called: str, what: str, trace: BatchTrace, x: Any, axis: int | None, inputs: list[Any]) -> Any:
    """A result with its examples along `axis`."""
    link = link_of(trace, x)
    value = unwrap(called, trace, x)
    if axis is None:
        if link is BATCHED:
            raise BatchingError(
                f"{called}: {what} differs between the examples, and out_axes for it is None; give the axis "
                f"along which they shall lie, or reduce the batch outside"
            )
        return value
    if not is_array(value):
        if not isinstance(value, bool | int | float | complex):
            raise ArgumentError(f"{called}: {what} must be an array; it is {describe(value)}")
        value = common_backend([raw(y) for y in inputs if is_array(y)]).xp.asarray(value)
    if link is not BATCHED:
        value = call("broadcast_to", value, shape=(trace.size, *value.shape))
        if isinstance(value, Array):
            value = call("astype", value, dtype=value.dtype, copy=True, device=None)
    n_axes = len(value.shape)
    if not -n_axes <= axis < n_axes:
        raise ShapeError(f"{called}: out_axes={axis} for {what}, which with its examples has {n_axes} axes")
    order = list(range(1, n_axes))
    order.insert(axis % n_axes, 0)
    value = transposed(value, tuple(order))
    # Each result can be written to without changing another, as if it had been put together of examples.
    return snapshot(value) if link is BATCHED else value
