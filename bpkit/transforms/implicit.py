"""Derivatives of what an equation defines, whatever found the solution."""

from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit.batching.registry import Operand, in_front
from bpkit.errors import ArgumentError, GradientCutError
from bpkit.kinds import device_of, is_inexact, raw
from bpkit.registry import backend_of
from bpkit.trace import Trace, Traced, outside_transforms
from bpkit.transforms.arguments import as_inputs, describe, is_array, title
from bpkit.transforms.flat import Flat
from bpkit.transforms.functions import BatchedBothWays, Function, Leaves, Pull, apply, traces
from bpkit.transforms.gradient import stop_gradient
from bpkit.transforms.linearize import linearize
from bpkit.transforms.products import jvp, vjp
from bpkit.transforms.vmap import vmap

__all__ = ["implicit_root"]

LinearSolve = Callable[[Callable[[Any], Any], Any], Any]


def implicit_root(
    residual: Callable[..., Any],
    initial: Any,
    solver: Callable[[Callable[[Any], Any], Any], Any],
    *args: Any,
    linear_solve: LinearSolve | None = None,
) -> Any:
    """Solve ``residual(x, *args) = 0`` for x with any solver, and differentiate the solution by `args`.

    How the solver works does not matter: it is not differentiated. The solution x* moves with the arguments
    so that the residual r stays zero, which gives its derivative by one linear system at the solution::

        dr/dx dx* + dr/da da = 0        dx* = -(dr/dx)^-1 (dr/da) da

    This is exact for an exact solution, in both modes, at any order, and takes memory for one evaluation of
    the residual instead of for every step of the solver.

    Parameters
    ----------
    residual : callable
        ``residual(x, *args)`` returns a tree like x, in structure and shapes, written in bpkit's functions.
        Whatever it needs a derivative by must be in `args`.
    initial : array or pytree of floating arrays
        Where the solver starts. It decides structure, shapes and dtypes of x. No derivative flows to it.
    solver : callable
        ``solver(f, initial)`` returns x, where ``f(x) = residual(x, *args)``. It gets the library's own
        arrays, never traced ones, so it may leave bpkit, branch on values and convert to float. It may also
        give `f` NumPy's arrays, whatever the library: `f` then answers in those; and return them.
    *args : pytrees
        What x depends on. Other leaves than floating arrays have no derivative.
    linear_solve : callable, optional
        ``linear_solve(matvec, b)`` returns v with ``matvec(v) = b``, for vectors of all elements of x (leaf
        after leaf, of a complex leaf the real parts first), on arrays as `solver` gets them. `matvec` is
        multiplication by dr/dx, or by its transpose in reverse mode. By default dr/dx is formed and
        ``xp.linalg.solve`` is called.

    Returns
    -------
    array or pytree
        x, like `initial`.

    Raises
    ------
    ArgumentError
        If `initial` is not of floating arrays, or residual or solver return another tree.
    GradientCutError
        If the residual depends on a traced value that is not in `args`.

    Notes
    -----
    Under `vmap` the solver runs for one example after the other; the derivatives are batched. Where dr/dx is
    singular, the solution has no derivative and the linear solve fails or returns infinities.

    References
    ----------
    A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008, chapter 15.
    M. Blondel and others, "Efficient and modular implicit differentiation", NeurIPS 2022.

    Examples
    --------
    The square root, by Newton's method in a plain loop:

    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> def newton(f, x):
    ...     while abs(f(x)) > 1e-12:
    ...         x = x - f(x) / grad(f)(x)
    ...     return x
    >>> root = lambda a: implicit_root(lambda x, a: x * x - a, 1.0, newton, a)
    >>> print(root(9.0), round(float(grad(root)(9.0)), 12))
    3.0 0.166666666667

    A fixed point ``x = g(x, a)`` is a root of ``x - g(x, a)``, and the minimum of a function a root of its
    gradient:

    >>> loss = lambda x, a: xp.sum((x - a) ** 2) + xp.sum(x**2)
    >>> def minimum(a):
    ...     return implicit_root(grad(loss), 0.0 * a, lambda f, x: x - f(x) / 4, a)
    >>> grad(lambda a: xp.sum(minimum(a)))(np.asarray([1.0, 5.0]))
    array([0.5, 0.5])
    """
    called = title("implicit_root", residual)
    for what, function in (("solver", solver), ("linear_solve", linear_solve)):
        if not callable(function) and (what == "solver" or function is not None):
            raise ArgumentError(f"{called}: {what} must be a function; it is {describe(function)}")
    leaves, structure = _initial(called, initial, args)
    flat = Flat(leaves, structure)
    parameters, arrangement = tree.flatten(args)

    def flat_residual(x: Any, *parameters: Any) -> Any:
        out = residual(flat.unravel(x), *tree.unflatten(arrangement, parameters))
        return flat.ravel(f"{called}: the residual must return", out)

    def find(start: Any, *parameters: Any) -> Any:
        f = _outward(called, flat, lambda x: residual(x, *tree.unflatten(arrangement, parameters)))
        x, _ = flat.taken(_untraced(f"{called}: the solver", solver(f, flat.unravel(start)), set()))
        return flat.ravel(f"{called}: the solver must return", x)

    root = _Root(called, find, flat_residual, linear_solve)
    start = flat.ravel(called, stop_gradient(tree.unflatten(structure, leaves)))
    return flat.unravel(apply(root, [start, *parameters])[0])


def _initial(called: str, initial: Any, args: tuple[Any, ...]) -> tuple[list[Any], tree.Structure]:
    """The arrays where the solver starts; a Python float has the dtype of the arguments."""
    leaves = tree.leaves(initial)
    for path, x in zip(tree.paths(initial), leaves, strict=True):
        if not (is_array(x) and is_inexact(x)) and not isinstance(x, float | complex):
            raise ArgumentError(
                f"{called}: initial{path} must be a floating array, which decides the shape and dtype of x; "
                f"it is {describe(x)}"
            )
    arrays, structure = as_inputs(called, "initial", (0,), (initial,), (initial, args))
    floating = [x for x in tree.leaves((initial, args)) if is_array(x) and is_inexact(x)]
    if floating:
        dtype = xp.finfo(xp.result_type(*floating)).dtype
        plain = [isinstance(x, float) and not is_array(x) for x in leaves]
        arrays = [xp.astype(x, dtype) if number else x for x, number in zip(arrays, plain, strict=True)]
    return arrays, structure.children()[0]


def _outward(called: str, flat: Flat, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of trees like x for code outside, which may pass it NumPy's arrays."""

    def f(x: Any) -> Any:
        x, host = flat.taken(x)
        among = traces(tree.leaves(x))
        out = _untraced(f"{called}: the residual", function(x), among)
        if among:
            return out
        return tree.map(lambda leaf: backend_of(leaf).to_host(leaf), out) if host else out

    return f


def _untraced(called: str, x: Any, among: set[Trace]) -> Any:
    """A tree of arrays that no trace watches, but for those in `among`.

    Raises
    ------
    GradientCutError
        If an array depends on what another trace follows.
    """
    for leaf in tree.leaves(x):
        part = leaf
        while isinstance(part, Traced):
            if part._link is not None and part._trace not in among:
                raise GradientCutError(
                    f"{called} uses a value traced by {part._trace.transform} that is not among its "
                    f"arguments, so that its derivative would be lost. Pass it: implicit_root(residual, "
                    f"initial, solver, value), with residual(x, value)"
                )
            part = part._value
    return x if among else tree.map(raw, x)


class _Root(Function):
    """The root of a residual, as a function of where to start and of parameters.

    Parameters
    ----------
    name : str
    find : callable
        ``find(start, *parameters)`` finds it, on raw arrays.
    residual : callable
        ``residual(x, *parameters)``; x and the result are vectors.
    linear_solve : callable or None
    """

    def __init__(
        self,
        name: str,
        find: Callable[..., Any],
        residual: Callable[..., Any],
        linear_solve: LinearSolve | None,
    ) -> None:
        self.name = name
        self.find = find
        self.residual = residual
        self.linear_solve = linear_solve

    def run(self, leaves: Leaves) -> Leaves:
        """What the solver finds."""
        with outside_transforms():
            return [self.find(*map(raw, leaves))]

    def batched(self, size: int, which: list[bool]) -> Function:
        """The roots for many examples."""
        return _Roots(self, size, which)

    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """The root, and how it moves."""
        (x,) = apply(self, leaves)
        moving = [i for i, t in enumerate(tangents) if i and t is not None]
        if not moving:
            return [x], [None]
        residual = self.of(leaves, moving)
        _, moved = jvp(
            lambda *values: residual(x, *values), [leaves[i] for i in moving], [tangents[i] for i in moving]
        )
        return [x], [self.solve(x, leaves, -moved, transposed=False)]

    def backward(self, leaves: Leaves, moving: list[bool]) -> tuple[Leaves, Leaves, Pull]:
        """The root, and the way back from it by the transposed linear system."""
        (x,) = apply(self, leaves)
        places = [i for i, moves in enumerate(moving) if i and moves]

        def pull(saved: Leaves, gs: Leaves) -> Leaves:
            x, *leaves = saved
            weights = self.solve(x, leaves, -gs[0], transposed=True)
            residual = self.of(leaves, places)
            _, pullback = vjp(lambda *values: residual(x, *values), *[leaves[i] for i in places])
            found = dict(zip(places, pullback(weights), strict=True))
            return [found.get(i) for i in range(len(leaves))]

        return [x], [x, *leaves], pull

    def of(self, leaves: Leaves, moving: list[int]) -> Callable[..., Any]:
        """The residual as a function of x and of the leaves that move."""

        def residual(x: Any, *values: Any) -> Any:
            known = dict(zip(moving, values, strict=True))
            return self.residual(x, *[known.get(i, leaf) for i, leaf in enumerate(leaves) if i])

        return residual

    def solve(self, x: Any, leaves: Leaves, b: Any, *, transposed: bool) -> Any:
        """What the Jacobian by x, or its transpose, maps to `b`."""
        parameters = leaves[1:]
        if self.linear_solve is None:
            _, pullback = vjp(lambda x: self.residual(x, *parameters), x)
            eye = backend_of(raw(x)).xp.eye(x.shape[0], dtype=x.dtype, device=device_of(x))
            jacobian = vmap(lambda row: pullback(row)[0])(eye)
            return xp.linalg.solve(xp.matrix_transpose(jacobian) if transposed else jacobian, b)
        system = _Root(self.name, self.solve_outside(transposed), self.system(transposed), self.linear_solve)
        return apply(system, [xp.zeros_like(b), b, x, *parameters])[0]

    def map(self, transposed: bool, x: Any, *parameters: Any) -> Callable[[Any], Any]:
        """Multiplication by the Jacobian by x, or by its transpose."""
        residual = lambda x: self.residual(x, *parameters)  # noqa: E731
        if transposed:
            _, pullback = vjp(residual, x)
            return lambda v: pullback(v)[0]
        _, pushforward = linearize(residual, x)
        return pushforward  # type: ignore[no-any-return]

    def system(self, transposed: bool) -> Callable[..., Any]:
        """The residual of a linear system, whose solution is a root like any other."""
        return lambda v, b, x, *parameters: self.map(transposed, x, *parameters)(v) - b

    def solve_outside(self, transposed: bool) -> Callable[..., Any]:
        """How the solution of a linear system is found."""

        def find(start: Any, b: Any, x: Any, *parameters: Any) -> Any:
            assert self.linear_solve is not None
            flat = Flat(*tree.flatten(b))
            matvec = _outward(self.name, flat, self.map(transposed, x, *parameters))
            v, _ = flat.taken(_untraced(f"{self.name}: linear_solve", self.linear_solve(matvec, b), set()))
            return flat.ravel(f"{self.name}: linear_solve must return", v)

        return find


class _Roots(BatchedBothWays):
    """The roots of many examples, one found after the other: a solver need not be able to do more."""

    def run(self, leaves: Leaves) -> Leaves:
        """What the solver finds, for every example."""
        if not self.size:
            return [in_front(0, Operand(leaves[0], self.which[0]))]
        found = []
        for i in range(self.size):
            one = [x[i, ...] if batched else x for x, batched in zip(leaves, self.which, strict=True)]
            found += self.function.run(one)
        return [xp.stack(found)]
