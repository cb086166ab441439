"""check_grads: a function, its arguments and its derivatives of every order."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bpkit import tree
from bpkit._protocol import Capability
from bpkit.constants import constant_array
from bpkit.errors import ArgumentError, GradientCheckError, NotDifferentiableError
from bpkit.kinds import device_of, is_inexact, is_mutable
from bpkit.registry import common_backend, current
from bpkit.trace import Traced
from bpkit.transforms.arguments import as_argnums, describe, is_array, positions_of, title
from bpkit.transforms.checking.comparison import Comparison, worst
from bpkit.transforms.checking.differences import Values, Variable, named, place, precision
from bpkit.transforms.checking.level import Level, Settings
from bpkit.transforms.checking.search import Found, search

__all__ = ["GradientCheck", "check_grads"]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    argnums: int | Sequence[int] | None = None,
) -> None:
    """Check the derivatives of a function against finite differences.

    Parameters
    ----------
    f : callable
        Returns a tree with at least one floating array, real or complex; other leaves are not looked at.
    args : sequence of pytrees
        Its positional arguments. All floating arrays and Python floats in them are checked; integers, and
        whatever else they hold, are constants.
    order : int
        The highest derivative. At order 2 the derivatives of first order are functions to be checked, and so
        on: one for each way of nesting `modes`.
    modes : sequence of "fwd", "rev"
        Which modes: :func:`jvp`, :func:`vjp`.
    atol : float, optional
        The absolute error allowed. Default: what the rounding of `f` itself makes uncertain. A function that
        looks rounded more coarsely than its dtypes say is granted what one of float32 is, and no more.
    rtol : float, optional
        The error allowed, relative to the size of each element of a gradient or a tangent; along random
        directions of a large array, to the size of the gradient (its root mean square). Default: four times
        the square root of the precision of the coarsest dtype among arguments and results: 6e-8 for float64,
        1.4e-3 for float32.
    eps : float, optional
        The step of the differences. Default: 2**-10 (2**-5 in float32); where that disagrees, one by the size
        of the argument and two smaller ones are tried as well, and the surest counts.
    argnums : int or sequence of int, optional
        Which arguments are differentiated; the others are constants. Default: all.

    Raises
    ------
    GradientCheckError
        If a derivative disagrees or is not finite. It says of which order, mode and argument, in which
        element most, what was found, what differences say, and whether the function has a kink or a jump
        there.
    ArgumentError
        If there is nothing to check: no floating array among the arguments or in the result.

    Notes
    -----
    Differences are central and of fourth order. The function runs on its own library, in float64 where that
    has it and the function takes it, whatever the dtypes of the arguments; sums and quotients are NumPy's.

    The cost: for each floating array, each order k and each of the ``len(modes)**(k - 1)`` ways to get there,
    an array of up to 32 real numbers takes a difference for each, a larger one 4 in random directions. A
    difference takes 4 calls of the function and one `jvp`; up to 4 times that where it disagrees or where the
    derivative is next to nothing. Finding the worst element of a large array of n numbers takes
    ``2 * log2(n / 32) + 32`` differences more. `vjp` runs once, and the function twice at the point itself
    and once close by.

    At order 2 and above, cotangents and tangents depend on the arguments too, so that a rule which treats its
    cotangent as a constant is found out.

    References
    ----------
    B. Fornberg, "Generation of finite difference formulas on arbitrarily spaced grids", Mathematics of
    Computation 51 (1988), 699-706, for the formula. The signature is that of ``jax.test_util.check_grads``.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> check_grads(lambda x: xp.sin(x) / x, (np.asarray([0.5, 2.0]),), order=2)
    >>> check_grads(lambda x: xp.sum(xp.relu(x)), (np.asarray([1.0, 0.0]),))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bpkit.errors.GradientCheckError: check_grads of <lambda>: the derivative of the result by argument 0,
    element (1,) (mode fwd, order 1) is 0, and finite differences say 0.5 ... a kink or a jump there: ...
    """
    failed = worst(GradientCheck(f, args, order, modes, atol, rtol, eps, argnums).comparisons())
    if failed is not None:
        raise GradientCheckError(failed.sentence)


class GradientCheck:
    """All comparisons of one :func:`check_grads`, whose parameters it takes.

    Attributes
    ----------
    function : str
        The name of what is checked.
    total : int
        How many comparisons there are, if none fails.
    variables : list of Variable
        The floating arrays by which the function is differentiated.
    results : list of str
        What messages call the floating arrays that it returns.
    rtol : float
        The relative error allowed.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        order: int = 1,
        modes: Sequence[str] = ("fwd", "rev"),
        atol: float | None = None,
        rtol: float | None = None,
        eps: float | None = None,
        argnums: int | Sequence[int] | None = None,
    ) -> None:
        self._called = title("check_grads", f)
        self.function = self._called.removeprefix("check_grads of ")
        self._check_settings(args, order, modes, atol, rtol, eps)
        self._f, self._order, self._modes = f, order, tuple(dict.fromkeys(modes))
        self._leaves, self._structure = tree.flatten(tuple(args))
        self._variables = self._find_variables(args, self._positions(args, argnums))
        self._shapes: list[tuple[int, ...]] | None = None
        self.total = len(self._variables) * sum(len(self._modes) ** k for k in range(1, order + 1))
        self.variables = variables = list(self._variables.values())
        backend = variables[0].backend
        with backend.quiet():
            out = self._whole(*[x.array(x.row) for x in variables])
        results = {
            f"the result{path}": backend.to_host(y)
            for path, y in zip(tree.paths(out), tree.leaves(out), strict=True)
            if is_array(y) and is_inexact(y)
        }
        if not any(y.size for y in results.values()):
            raise ArgumentError(
                f"{self._called}: there is nothing to check, because the result has no floating array with "
                f"elements; it is {describe(out)}. Return the arrays that depend on the arguments"
            )
        self._check_finite({x.name: x.value for x in variables} | results)
        self._shapes = [y.shape for y in results.values()]
        values = list(results.values())
        own = precision([x.value for x in variables] + values)
        self.results = list(results)
        self.rtol = 4 * math.sqrt(own) if rtol is None else rtol
        wide, eps_of_differences = self._find_width(values, own)
        settings = Settings(
            self.function,
            variables,
            wide,
            eps_of_differences,
            own,
            max(float(np.max(np.abs(y), initial=0)) for y in values),
            self.rtol,
            atol,
            eps,
        )
        self._level = Level(settings, named(self.fun, self.function), 1, "", self.results, values)

    def comparisons(self) -> Iterator[Comparison]:
        """Compare, lowest order first; what is above an order that fails is left out."""
        try:
            yield from self._by_order()
        except NotDifferentiableError as error:
            if len(self._modes) > 1:
                error.add_note("check_grads with modes=('rev',) or ('fwd',) checks one mode alone")
            raise

    def _by_order(self) -> Iterator[Comparison]:
        levels = [self._level]
        for order in range(1, self._order + 1):
            failed = False
            for level in levels:
                for mode, x, found in search(level, self._modes):
                    comparison = self._comparison(level, mode, x, found)
                    failed = failed or not comparison.agrees
                    yield comparison
            if failed or order == self._order:
                return
            levels = [level.derivative(mode) for level in levels for mode in self._modes]

    def _comparison(self, level: Level, mode: str, x: Variable, found: Found) -> Comparison:
        size = max(found.size, abs(found.found), abs(found.expected))
        relative = math.isfinite(size) and size > 0
        return Comparison(
            self.function,
            level.order,
            f"{mode} of {level.nesting}" if level.nesting else mode,
            x.name,
            found.place,
            level.result(mode, found.result, found.k),
            found.found,
            found.expected,
            found.error / size if relative else found.error,
            found.allowed / size if relative else found.allowed,
            found.slopes,
            found.jump,
        )

    def _check_settings(
        self,
        args: Any,
        order: Any,
        modes: Any,
        atol: float | None,
        rtol: float | None,
        eps: float | None,
    ) -> None:
        if not isinstance(args, tuple | list):
            raise ArgumentError(
                f"{self._called}: args must be a tuple, one entry for each argument; it is {describe(args)}. "
                f"For one argument write (x,)"
            )
        if not isinstance(order, int) or order < 1:
            raise ArgumentError(
                f"{self._called}: order must be a whole number from 1; it is {describe(order)}"
            )
        if isinstance(modes, str) or not modes or not set(modes) <= {"fwd", "rev"}:
            raise ArgumentError(
                f"{self._called}: modes must be a tuple of 'fwd' and 'rev', or of one of them; "
                f"it is {describe(modes)}"
            )
        for name, value, least in (
            ("atol", atol, "not below 0"),
            ("rtol", rtol, "not below 0"),
            ("eps", eps, "above 0"),
        ):
            if value is not None and not (0 <= value < math.inf and (value > 0 or name != "eps")):
                raise ArgumentError(
                    f"{self._called}: {name} must be a finite number {least}; it is {value!r}"
                )

    def _positions(self, args: Sequence[Any], argnums: Any) -> Sequence[int]:
        """Which arguments are differentiated."""
        if argnums is None:
            return range(len(args))
        wanted, _ = as_argnums(self._called, argnums)
        return positions_of(self._called, wanted, len(args))

    def _find_variables(self, args: Sequence[Any], positions: Sequence[int]) -> dict[int, Variable]:
        """The floating arrays among the leaves, by position."""
        names = [f"argument {i}{path}" for i, x in enumerate(args) for path in tree.paths(x)]
        for name, leaf in zip(names, self._leaves, strict=True):
            if isinstance(leaf, Traced):
                raise ArgumentError(
                    f"{self._called}: {name} is being differentiated by another transform; call check_grads "
                    f"outside of it"
                )
        backend = common_backend([x for x in self._leaves if is_array(x)], self._called)
        chosen, device = current()
        wanted = [i in positions for i, x in enumerate(args) for _ in tree.leaves(x)]
        variables = {}
        for k, leaf in enumerate(self._leaves):
            if not wanted[k]:
                continue
            if isinstance(leaf, float | complex) and not is_array(leaf):
                leaf = backend.xp.asarray(leaf, device=device if backend is chosen else None)
            if is_array(leaf) and is_inexact(leaf) and 0 not in leaf.shape:
                variables[k] = Variable(names[k], backend.to_host(leaf), backend, device_of(leaf))
        if not variables:
            raise ArgumentError(
                f"{self._called}: there is nothing to check, because the arguments have no floating array "
                f"with elements; they are {', '.join(map(describe, args)) or 'none'}. Integers are "
                f"constants: convert them, xp.astype(x, xp.float64), or write 3.0 for 3"
            )
        return variables

    def _whole(self, *xs: Any) -> Any:
        """The function of the floating arrays alone."""
        traced = any(isinstance(x, Traced) for x in xs)
        leaves = [self._constant(leaf, traced) for leaf in self._leaves]
        for k, x in zip(self._variables, xs, strict=True):
            leaves[k] = x
        return self._f(*tree.unflatten(self._structure, leaves))

    def _constant(self, x: Any, traced: bool) -> Any:
        """A leaf that is not differentiated: a copy, which the function may write to."""
        if not is_array(x):
            return x
        backend = common_backend([x])
        copy = backend.from_host(backend.to_host(x), device_of(x)) if is_mutable(x) else x
        return constant_array(copy) if traced else copy

    def fun(self, *xs: Any) -> list[Any]:
        """The function of the variables alone: the floating arrays that it returns."""
        ys = [y for y in tree.leaves(self._whole(*xs)) if is_array(y) and is_inexact(y)]
        shapes = [tuple(y.shape) for y in ys]
        if self._shapes is not None and shapes != self._shapes:
            raise GradientCheckError(
                f"{self._called}: the result has floating arrays of shapes {self._shapes}, and close by, or "
                f"when it is differentiated, of {shapes}. A function whose shapes change has no derivative; "
                f"choose another point, or return arrays of fixed shapes"
            )
        return ys

    def _check_finite(self, arrays: dict[str, Values]) -> None:
        for name, x in arrays.items():
            bad = np.flatnonzero(~np.isfinite(x))
            if bad.size:
                where = place(x.real, int(bad[0]))
                raise GradientCheckError(
                    f"{self._called}: {name}{', ' + where if where else ''} is {x.reshape(-1)[bad[0]]} "
                    f"({bad.size} of {x.size} elements are not finite), and differences need finite numbers; "
                    f"choose another point"
                )

    def _find_width(self, values: list[Values], own: float) -> tuple[bool, float]:
        """Whether to take differences in float64, and how precise they are."""
        variables = list(self._variables.values())
        backend = variables[0].backend
        narrow = [x for x in variables if np.result_type(x.value, np.float64) != x.value.dtype]
        if not narrow or Capability.FLOAT64 not in backend.capabilities:
            return False, own
        try:
            with backend.quiet():
                found = [
                    backend.to_host(y) for y in self.fun(*[x.array(x.row, wide=True) for x in variables])
                ]
        except Exception:  # noqa: BLE001  whatever it has against another dtype, it runs in its own
            return False, own
        close = [
            np.allclose(x, y, rtol=0.0, atol=math.sqrt(own) * float(np.max(np.abs(y), initial=0)))
            for x, y in zip(found, values, strict=True)
        ]
        if not all(close):
            return False, own
        return True, precision([*found, *[np.zeros(0)]])
