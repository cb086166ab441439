"""The gradient of a scalar function, by one pass forward and one pass back."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from bpkit import tree
from bpkit.backward import ReverseTrace, gradients
from bpkit.errors import ArgumentError
from bpkit.trace import call
from bpkit.transforms.arguments import (
    as_argnums,
    as_inputs,
    check_cuts,
    describe,
    is_array,
    is_real_scalar,
    link_of,
    positions_of,
    run,
    split_aux,
    title,
    unwrap,
)

__all__ = ["grad", "stop_gradient", "value_and_grad"]


def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Make a function that returns the value of `fun` and its gradient.

    Parameters
    ----------
    fun : callable
        Returns a 0-d array of a real floating dtype: the loss; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to; each may be a tree of floating arrays.
    has_aux : bool
        Whether `fun` returns ``(loss, aux)``.

    Returns
    -------
    callable
        Takes what `fun` takes; returns ``(value, gradient)``, or ``((value, aux), gradient)``. A gradient
        has the structure of its argument and each array the shape, dtype, device and library of the one it
        belongs to; with a tuple of `argnums` it is a tuple of such gradients.

    Raises
    ------
    ArgumentError
        If an argument asked for has integers or no arrays, or the loss is not a real scalar.
    GradientCutError
        If the loss lost its dependence on the inputs through a conversion to a Python float.

    References
    ----------
    D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), 533-536.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> value, gradient = value_and_grad(lambda x: xp.sum(x**2))(np.asarray([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    """
    called = title("grad", fun)
    wanted, several = as_argnums(called, argnums)

    @wraps(fun, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(called, wanted, len(args))
        leaves, structure = as_inputs(called, "argument {}", positions, args, (args, kwargs))
        with ReverseTrace() as trace:
            watched = [trace.input(leaf) for leaf in leaves]
            inputs = [leaf._link for leaf in watched]
            out = run(trace, fun, positions, tree.unflatten(structure, watched), args, kwargs)
        loss, aux = split_aux(called, out) if has_aux else (out, None)
        check_cuts(called, trace, [loss])
        value = _check_loss(called, unwrap(called, trace, loss))
        aux = unwrap(called, trace, aux) if has_aux else None
        node = link_of(trace, loss)
        seeds = [] if node is None else [(node, call("ones_like", value, dtype=None, device=None))]
        found = tree.unflatten(structure, gradients(seeds, inputs, leaves, once=True))
        return (value, aux) if has_aux else value, found if several else found[0]

    return value_and_gradient


def grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Make a function that returns the gradient of `fun`.

    Parameters
    ----------
    fun : callable
        Returns the loss, a 0-d array of a real floating dtype; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to; each may be a tree of floating arrays
        (a dict, a list, a model). What is passed by keyword is not differentiated.
    has_aux : bool
        Whether `fun` returns ``(loss, aux)``.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the gradient, or ``(gradient, aux)`` with `has_aux`. Errors and source
        are those of :func:`value_and_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(grad(lambda w, x: xp.sum(xp.tanh(w * x)))(np.asarray([0.0, 1.0]), 2.0))
    [2.         0.14130165]

    Gradients of gradients, and of any argument:

    >>> print(grad(grad(lambda x: x**3))(2.0))
    12.0
    >>> print(*grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0))
    3.0 2.0
    """
    both = value_and_grad(fun, argnums, has_aux)

    @wraps(fun, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def stop_gradient(x: Any) -> Any:
    """The same values, through which no derivative flows.

    Parameters
    ----------
    x : pytree
        Arrays, traced or not; other leaves are returned unchanged.

    Examples
    --------
    >>> print(grad(lambda x: x * stop_gradient(x))(3.0))
    3.0
    """
    return tree.map(lambda leaf: call("stop_gradient", leaf) if is_array(leaf) else leaf, x)


def _check_loss(called: str, value: Any) -> Any:
    if isinstance(value, float) or is_real_scalar(value):
        return value
    if isinstance(value, tuple):
        advice = "return the loss alone, or use has_aux=True and return (loss, aux)"
    elif value is None:
        advice = "end the function with return and an array computed from the arguments"
    elif not is_array(value):
        inner = [
            (path, x) for path, x in zip(tree.paths(value), tree.leaves(value), strict=True) if is_array(x)
        ]
        one = inner[0][0] if len(inner) == 1 and inner[0][1].shape == () else ""
        advice = (
            f"return the array in it, result{one}" if one else "return an array computed from the arguments"
        )
    elif value.shape != ():
        advice = "reduce it to one number with xp.sum or xp.mean, or use vjp"
    else:
        advice = "take xp.real, xp.imag or xp.abs of a complex loss, and use a floating dtype"
    raise ArgumentError(
        f"{called}: the result must be a real floating scalar; it is {describe(value)}. To fix it, {advice}"
    )
