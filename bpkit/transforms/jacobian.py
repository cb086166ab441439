"""Full Jacobians: all rows by reverse mode or all columns by forward mode, in one batch."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn

from bpkit import tree
from bpkit.batching.registry import reshaped, transposed
from bpkit.derivative import owned
from bpkit.errors import ArgumentError, NotDifferentiableError
from bpkit.forward import ForwardTrace
from bpkit.kinds import is_complex, is_inexact, raw
from bpkit.registry import backend_of
from bpkit.trace import call
from bpkit.transforms.arguments import Problem, as_argnums, describe, positions_of, title, unwrap
from bpkit.transforms.basis import along_basis, check_chunk_size, count, split
from bpkit.transforms.products import pullback_of, push

__all__ = ["Argnums", "forward", "jacfwd", "jacobian", "jacobian_by", "jacrev", "reverse"]

Argnums = int | Sequence[int]


def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Make a function that returns the Jacobian of `fun`, row by row: by reverse mode.

    The right one where `fun` has fewer numbers out than in; :func:`jacobian` chooses.

    Parameters
    ----------
    fun : callable
        Returns a tree of floating arrays; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to; each may be a tree of floating arrays.
        What is passed by keyword is not differentiated.
    has_aux : bool
        Whether `fun` returns ``(out, aux)``.
    holomorphic : bool
        Whether `fun` is a holomorphic function of complex arguments, with complex results.
    chunk_size : int, optional
        How many rows are worked out at once: fewer take less memory and more time. None is all. With 1, one
        comes after the other without a batch, which functions that no batch can take need.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the Jacobian, or ``(jacobian, aux)`` with `has_aux`. It is the tree of
        the results, in which each array is replaced by the tree of the argument (a tuple of them for a tuple
        of `argnums`), in which each array is the derivative of that result by that argument: of shape
        ``out.shape + in.shape``, of the dtype of the argument, on its device.

    Raises
    ------
    ArgumentError
        If an argument asked for or a result has integers or no arrays, or complex numbers for which the
        Jacobian is not defined (see Notes).
    BatchingError
        If a function on the way cannot be run for a batch of rows.

    Notes
    -----
    Of a real result by a complex argument, a row is what :func:`bpkit.grad` gives:
    dL/dx - i dL/dy at x + iy. A complex result has no single such row, unless `fun` is holomorphic.

    References
    ----------
    A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed. (SIAM 2008), sections 3.2 and 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(jacrev(lambda x: xp.stack([x[0] * x[1], xp.sin(x[2])]))(np.asarray([2.0, 3.0, 0.0])))
    [[3. 2. 0.]
     [0. 0. 1.]]
    """
    return jacobian_by("jacrev", reverse, fun, argnums, has_aux, holomorphic, chunk_size)


def jacfwd(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Make a function that returns the Jacobian of `fun`, column by column: by forward mode.

    The right one where `fun` has fewer numbers in than out; :func:`jacobian` chooses. It keeps nothing of
    the run in memory.

    Parameters
    ----------
    fun : callable
        Returns a tree of floating arrays; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        As in :func:`jacrev`.
    has_aux : bool
        Whether `fun` returns ``(out, aux)``.
    holomorphic : bool
        Whether `fun` is a holomorphic function of complex arguments, with complex results.
    chunk_size : int, optional
        How many columns are worked out at once, as in :func:`jacrev`; `fun` runs once for each chunk.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the Jacobian, or ``(jacobian, aux)``: the tree of :func:`jacrev`, in
        which every array has the dtype of the result.

    Raises
    ------
    ArgumentError
        As in :func:`jacrev`; complex arguments need `holomorphic`, complex results of real ones do not.
    BatchingError
        If a function on the way cannot be run for a batch of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(jacfwd(lambda x: xp.stack([x, x**2, x**3]))(np.asarray(2.0)))
    [ 1.  4. 12.]
    """
    return jacobian_by("jacfwd", forward, fun, argnums, has_aux, holomorphic, chunk_size)


def jacobian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Make a function that returns the Jacobian of `fun`, by whichever mode takes fewer passes.

    It runs `fun` for reverse mode and counts the numbers in and out. With fewer in than out it goes forward
    instead, and so it does for complex results of real arguments, which only forward mode can take; but not
    where a function on the way has a rule for reverse mode only (:class:`bpkit.custom_vjp`).

    Parameters
    ----------
    fun : callable
        Returns a tree of floating arrays; with `has_aux`, a pair of that and any tree.
    argnums : int or sequence of int
        As in :func:`jacrev`.
    has_aux : bool
        Whether `fun` returns ``(out, aux)``.
    holomorphic : bool
        Whether `fun` is a holomorphic function of complex arguments, with complex results.
    chunk_size : int, optional
        How many rows or columns are worked out at once, as in :func:`jacrev`.

    Returns
    -------
    callable
        Takes what `fun` takes; returns the Jacobian, or ``(jacobian, aux)``: the tree of :func:`jacrev`, in
        which every array has the dtype to which those of result and argument promote.

    Raises
    ------
    ArgumentError
        As in :func:`jacrev`. Of a complex result by a complex argument the Jacobian is defined only for
        holomorphic functions.
    BatchingError
        If a function on the way cannot be run for a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> polar = lambda p: {"x": p["r"] * xp.cos(p["phi"]), "y": p["r"] * xp.sin(p["phi"])}
    >>> found = jacobian(polar)({"r": np.asarray(2.0), "phi": np.asarray(0.0)})
    >>> print(found["x"]["r"], found["x"]["phi"], found["y"]["r"], found["y"]["phi"])
    1.0 0.0 0.0 2.0
    """
    return jacobian_by("jacobian", _cheaper, fun, argnums, has_aux, holomorphic, chunk_size)


Blocks = list[list[Any]]
"""For every result, its derivative by every leaf of the problem."""

Mode = Callable[[Problem, bool, bool, int | None], tuple[Blocks, tree.Structure, Any]]
"""Takes a problem, `has_aux`, `holomorphic`, `chunk_size`; returns also the results' structure, and aux."""


def jacobian_by(
    transform: str,
    mode: Mode,
    fun: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
    chunk_size: int | None,
) -> Callable[..., Any]:
    """A transform that returns Jacobians, which errors call `transform`."""
    called = title(transform, fun)
    wanted, several = as_argnums(called, argnums)
    check_chunk_size(called, chunk_size)

    @wraps(fun, updated=())
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(called, wanted, len(args))
        problem = Problem.of(called, "argument {}", fun, positions, args, kwargs)
        blocks, arrangement, aux = mode(problem, has_aux, holomorphic, chunk_size)
        rows = []
        for row in blocks:
            # As with grad, the derivative of a number by a number is of the number's type.
            likes = [block if block.shape else leaf for block, leaf in zip(row, problem.leaves, strict=True)]
            trees = tree.unflatten(problem.structure, owned(row, likes, []))
            rows.append(trees if several else trees[0])
        found = tree.unflatten(arrangement, rows)
        return (found, aux) if has_aux else found

    return jacobian_of


def reverse(
    problem: Problem, has_aux: bool, holomorphic: bool, chunk_size: int | None
) -> tuple[Blocks, tree.Structure, Any]:
    """All rows, which are defined for real results, and for complex ones of holomorphic functions."""
    if holomorphic:
        _check_holomorphic(problem)
    out, pullback, aux = pullback_of(problem, has_aux)
    _check_results(problem, out, holomorphic)
    if not holomorphic:
        for i, x in enumerate(tree.leaves(out)):
            if is_complex(x):
                _refuse(problem, _result(out, i), x, "jacfwd gives it for complex results of real arguments")
    return _rows(problem, out, pullback, chunk_size), tree.structure(out), aux


def forward(
    problem: Problem, has_aux: bool, holomorphic: bool, chunk_size: int | None
) -> tuple[Blocks, tree.Structure, Any]:
    """All columns, which are defined for real arguments, and for complex ones of holomorphic functions."""
    if holomorphic:
        _check_holomorphic(problem)
    else:
        for i, x in enumerate(problem.leaves):
            if is_complex(x):
                _refuse(problem, problem.place(i), x, "jacrev gives it for real results of complex arguments")
    return _columns(problem, has_aux, holomorphic, chunk_size)


def _cheaper(
    problem: Problem, has_aux: bool, holomorphic: bool, chunk_size: int | None
) -> tuple[Blocks, tree.Structure, Any]:
    if holomorphic:
        _check_holomorphic(problem)
    out, pullback, aux = pullback_of(problem, has_aux)
    outputs, arrangement = tree.flatten(out)
    _check_results(problem, out, holomorphic)
    columns = count(problem.leaves) < count(outputs)
    if not holomorphic:
        complex_in = any(is_complex(x) for x in problem.leaves)
        for i, x in enumerate(outputs):
            if is_complex(x) and complex_in:
                _refuse(problem, _result(out, i), x, "it is defined where only one of the two is complex")
        columns = (columns and not complex_in) or any(is_complex(x) for x in outputs)
    blocks = None
    if columns:
        try:
            blocks, arrangement, aux = _columns(problem, has_aux, holomorphic, chunk_size)
        except NotDifferentiableError:  # in this mode: a rule of the user's may be for the other one
            if any(is_complex(x) for x in outputs):
                raise
    if blocks is None:
        blocks = _rows(problem, out, pullback, chunk_size)
    for row, x in zip(blocks, outputs, strict=True):
        for i, leaf in enumerate(problem.leaves):
            if x.dtype != leaf.dtype:
                dtype = backend_of(raw(x)).xp.result_type(x.dtype, leaf.dtype)
                row[i] = call("astype", row[i], dtype=dtype, copy=False, device=None)
    return blocks, arrangement, aux


def _rows(
    problem: Problem, out: Any, pullback: Callable[[Any], tuple[Any, ...]], chunk_size: int | None
) -> Blocks:
    outputs, arrangement = tree.flatten(out)

    def row(cotangents: list[Any]) -> list[Any]:
        return tree.leaves(pullback(tree.unflatten(arrangement, cotangents)))

    stacks = along_basis(problem.called, row, outputs, chunk_size)
    by_leaf = [split(stack, outputs) for stack in stacks]
    return [
        [
            reshaped(by_result[i], (*x.shape, *leaf.shape))
            for leaf, by_result in zip(problem.leaves, by_leaf, strict=True)
        ]
        for i, x in enumerate(outputs)
    ]


def _columns(
    problem: Problem, has_aux: bool, holomorphic: bool, chunk_size: int | None
) -> tuple[Blocks, tree.Structure, Any]:
    trace = ForwardTrace()
    arrangement, aux = problem.structure, None

    def column(directions: list[Any]) -> list[Any]:
        nonlocal trace, arrangement, aux
        trace = ForwardTrace()
        outputs, arrangement, moved, aux = push(trace, problem, directions, has_aux)
        _check_results(problem, tree.unflatten(arrangement, outputs), holomorphic)
        return moved

    stacks = along_basis(problem.called, column, problem.leaves, chunk_size)
    blocks = []
    for stack in stacks:
        shape = stack.shape[1:]
        parts = split(transposed(stack, (*range(1, len(stack.shape)), 0)), problem.leaves, axis=-1)
        blocks.append(
            [reshaped(x, (*shape, *leaf.shape)) for x, leaf in zip(parts, problem.leaves, strict=True)]
        )
    return blocks, arrangement, unwrap(problem.called, trace, aux)


# What a Jacobian is not defined for.


def _result(out: Any, i: int) -> str:
    """What an error calls result number `i`."""
    return f"the result{tree.paths(out)[i]}"


def _check_results(problem: Problem, out: Any, holomorphic: bool) -> None:
    for i, x in enumerate(tree.leaves(out)):
        if not is_inexact(x):
            raise ArgumentError(
                f"{problem.called}: {_result(out, i)} is {describe(x)}, which has no derivative. Return it "
                f"through has_aux=True"
            )
        if holomorphic and not is_complex(x):
            raise ArgumentError(
                f"{problem.called}: with holomorphic=True all results must be complex; {_result(out, i)} is "
                f"{describe(x)}. Leave holomorphic out: a real function of complex numbers is not holomorphic"
            )


def _check_holomorphic(problem: Problem) -> None:
    for i, x in enumerate(problem.leaves):
        if not is_complex(x):
            raise ArgumentError(
                f"{problem.called}: with holomorphic=True all arguments that are differentiated must be "
                f"complex; {problem.place(i)} is {describe(x)}. Convert it, xp.astype(x, xp.complex128), or "
                f"leave holomorphic out"
            )


def _refuse(problem: Problem, place: str, x: Any, where: str) -> NoReturn:
    raise ArgumentError(
        f"{problem.called}: {place} is {describe(x)}. Real and imaginary part may each have a derivative of "
        f"their own there, and one array cannot hold both. If the function is holomorphic, write "
        f"holomorphic=True; if not, take xp.real and xp.imag apart; {where}"
    )
