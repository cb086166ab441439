"""Second derivatives of a scalar function: all of them, the diagonal, products with a vector."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from bpkit import tree
from bpkit.batching.registry import reshaped
from bpkit.derivative import owned
from bpkit.errors import ArgumentError
from bpkit.forward import ForwardTrace
from bpkit.kinds import is_complex
from bpkit.rules.cotangents import annihilating_product
from bpkit.trace import call
from bpkit.transforms.arguments import Problem, as_argnums, describe, positions_of, title, unwrap
from bpkit.transforms.basis import along_basis, check_chunk_size, split
from bpkit.transforms.gradient import grad
from bpkit.transforms.jacobian import Argnums, forward, jacobian_by, reverse
from bpkit.transforms.products import product, push

__all__ = ["hessian", "hessian_diagonal", "hvp"]


def hessian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Make a function that returns the Hessian of `fun`: forward mode over reverse mode.

    Parameters
    ----------
    fun : callable
        Returns a loss, or a tree of real floating arrays; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to; each may be a tree of floating arrays.
    has_aux : bool
        Whether `fun` returns ``(out, aux)``.
    holomorphic : bool
        Whether `fun` is a holomorphic function of complex arguments, with complex results.
    chunk_size : int, optional
        How many columns are worked out at once: fewer take less memory and more time. None is all.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the Hessian, or ``(hessian, aux)``: a tree of trees like the arguments
        (below one like the results), in which each array is the second derivative by two arguments: of shape
        ``out.shape + in1.shape + in2.shape``.

    Raises
    ------
    ArgumentError
        As in :func:`bpkit.jacrev`; complex arguments need `holomorphic`.
    BatchingError
        If a function on the way cannot be run for a batch of columns.

    References
    ----------
    A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed. (SIAM 2008), section 5.4 on forward over
    reverse mode.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(hessian(lambda x: x[0] ** 2 * x[1])(np.asarray([3.0, 5.0])))
    [[10.  6.]
     [ 6.  0.]]
    """
    rows = jacobian_by("hessian", reverse, fun, argnums, has_aux, holomorphic, None)
    return jacobian_by("hessian", forward, rows, argnums, has_aux, holomorphic, chunk_size)


def hvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """The product of the Hessian of a loss with a vector, by forward mode over reverse mode.

    The Hessian itself is never formed: it takes the time and memory of a few gradients.

    Parameters
    ----------
    fun : callable
        Returns the loss, a 0-d array of a real floating dtype; with `has_aux`, a pair of that and any tree.
    primals : sequence of pytrees of floating arrays
        Its arguments.
    tangents : sequence of pytrees
        The vector: like `primals` in structure, shapes and dtypes.
    has_aux : bool

    Returns
    -------
    product : pytree of arrays
        How the gradient changes along the vector: for one argument a tree like it, for several a tuple with
        one tree for each.
    aux : pytree
        Only with `has_aux`; then the result is the pair ``(product, aux)``.

    Raises
    ------
    ArgumentError
        If a primal is no floating array, a tangent does not match its primal, or the loss is no real scalar.

    References
    ----------
    B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994), 147-160.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> x, v = np.asarray([3.0, 5.0]), np.asarray([1.0, -1.0])
    >>> print(hvp(lambda x: x[0] ** 2 * x[1], (x,), (v,)))
    [4. 6.]
    >>> print(*hvp(lambda x, y: x**2 * y, (3.0, 5.0), (1.0, -1.0)))
    4.0 6.0
    """
    called = title("hvp", fun)
    several = isinstance(primals, tuple | list) and len(primals) != 1
    gradient = grad(fun, tuple(range(len(primals))) if several else 0, has_aux)
    _, *found = product(called, gradient, primals, tangents, has_aux)
    return tuple(found) if has_aux else found[0]


def hessian_diagonal(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Make a function that returns the diagonal of the Hessian of a loss.

    It is read off the product of the Hessian with each vector of the basis, so that the Hessian is never in
    memory if `chunk_size` is small. The time is that of the Hessian.

    Parameters
    ----------
    fun : callable
        Returns the loss, a 0-d array of a real floating dtype; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to; each may be a tree of real arrays.
    has_aux : bool
        Whether `fun` returns ``(loss, aux)``.
    chunk_size : int, optional
        How many products are worked out at once: fewer take less memory and more time. None is all.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the diagonal, or ``(diagonal, aux)``: a tree like the argument, with
        the second derivative by each number in that number's place.

    Raises
    ------
    ArgumentError
        If an argument asked for has no real floating arrays, or the loss is no real scalar.
    BatchingError
        If a function on the way cannot be run for a batch of vectors.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(hessian_diagonal(lambda x: x[0] ** 2 * x[1] + x[1] ** 3)(np.asarray([3.0, 5.0])))
    [10. 30.]
    """
    called = title("hessian_diagonal", fun)
    wanted, several = as_argnums(called, argnums)
    check_chunk_size(called, chunk_size)

    @wraps(fun, updated=())
    def diagonal(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(called, wanted, len(args))
        gradient = grad(fun, positions, has_aux)
        problem = Problem.of(called, "argument {}", gradient, positions, args, kwargs)
        for i, x in enumerate(problem.leaves):
            if is_complex(x):
                raise ArgumentError(
                    f"{called}: {problem.place(i)} is {describe(x)}, and a second derivative by a complex "
                    f"number is no single number. Differentiate by its real and imaginary part, two arguments"
                )
        trace, aux = ForwardTrace(), None

        def element(directions: list[Any]) -> list[Any]:
            nonlocal trace, aux
            trace = ForwardTrace()
            _, _, moved, aux = push(trace, problem, directions, has_aux)
            return [
                call("sum", annihilating_product(e, t), axis=None, dtype=None, keepdims=False)
                for e, t in zip(directions, moved, strict=True)
            ]

        # A vector of the basis is zero in all leaves but one, so each leaf has sums of its own.
        sums = along_basis(called, element, problem.leaves, chunk_size)
        found = [
            reshaped(split(x, problem.leaves)[i], tuple(leaf.shape))
            for i, (x, leaf) in enumerate(zip(sums, problem.leaves, strict=True))
        ]
        trees = tree.unflatten(problem.structure, owned(found, problem.leaves, []))
        result = trees if several else trees[0]
        return (result, unwrap(called, trace, aux)) if has_aux else result

    return diagonal
