"""assert_gradients: every claim about the derivatives of a function, for a test suite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError, GradientCheckError
from bpkit.kinds import device_of
from bpkit.registry import backend_of, use_backend
from bpkit.transforms import jit as compiled
from bpkit.transforms import jvp, vjp
from bpkit.transforms.arguments import describe, is_array, title
from bpkit.transforms.checking import GradientCheck, worst
from bpkit.transforms.checking.differences import Values, place
from bpkit.transforms.checking.level import ROUNDINGS

__all__ = ["assert_gradients"]


def assert_gradients(
    f: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    argnums: int | Sequence[int] | None = None,
    order: int = 2,
    modes: Sequence[str] = ("rev", "fwd"),
    jit: bool = False,
    backends: Sequence[str] = (),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Assert that the derivatives of a function are right.

    :func:`bpkit.check_grads` for tests: it passes the arguments as the function takes them, looks at second
    derivatives too, and compares other ways to run the function if it is asked to.

    Parameters
    ----------
    f : callable
        ``f(*args, **kwargs)`` returns a tree with at least one floating array, real or complex.
    *args : pytrees
        Its positional arguments. All floating arrays and Python floats in them are differentiated; integers,
        and whatever else they hold, are constants.
    kwargs : mapping, optional
        Its arguments by keyword. They are constants.
    argnums : int or sequence of int, optional
        Which of `args` are differentiated; the others are constants. Default: all.
    order : int
        The highest derivative; 1 is quicker.
    modes : sequence of "rev", "fwd"
        Which modes, and at higher orders all ways to nest them.
    jit : bool
        Whether the function, its gradient and its tangent are compiled as well, each on its own, and compared
        with the same uncompiled.
    backends : sequence of str
        Libraries on which to check again, as :func:`bpkit.use_backend` names them, after the library of
        `args`: each has to give the same results and passes the same checks. Their arrays are made of `args`.
    atol, rtol, eps : float, optional
        As in :func:`bpkit.check_grads`; `rtol`, here also what results may differ by.

    Raises
    ------
    GradientCheckError
        An AssertionError. It says which derivative is wrong in which element, what was found and what was
        expected, and on which library.
    ArgumentError
        If there is nothing to check, or an argument has the wrong kind.
    BackendError
        If one of `backends` cannot be used here.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> def gaussian(x, width, *, height=1.0):
    ...     return height * xp.exp(-((x / width) ** 2))
    >>> x = np.asarray([-0.5, 0.1, 2.0])
    >>> assert_gradients(gaussian, x, 1.5, kwargs={"height": 2.0}, jit=True, backends=["numpy"])

    A derivative that is wrong, as a rule of one's own may have it:

    >>> import bpkit
    >>> @bpkit.custom_jvp
    ... def cube(x):
    ...     return x**3
    >>> @cube.defjvp
    ... def cube_jvp(primals, tangents):
    ...     return primals[0] ** 3, 2 * primals[0] ** 2 * tangents[0]
    >>> assert_gradients(cube, x, order=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bpkit.errors.GradientCheckError: check_grads of cube: the derivative of the result, element (2,), by
    argument 0, element (2,) (mode fwd, order 1) is 8, and finite differences say 12 (relative error 0.33...
    """
    called = title("assert_gradients", f)
    if isinstance(backends, str):
        raise ArgumentError(f"{called}: backends must be a list of names; it is {describe(backends)}")
    given = dict(kwargs or {})
    settings = (order, modes, atol, rtol, eps, argnums)
    here = GradientCheck(_with_keywords(f, given), args, *settings)
    wanted = _check(called, here, modes, jit)
    for spec in backends:
        with use_backend(spec) as (backend, device):
            moved, keywords = (_moved(x, backend, device) for x in (args, given))
            try:
                there = GradientCheck(_with_keywords(f, keywords), moved, *settings)
                found = _check(called, there, modes, jit)
                _compare(called, here, here.results, found, wanted, "on the library of the arguments")
            except GradientCheckError as error:
                raise GradientCheckError(f"on {spec}: {error}") from None


def _with_keywords(f: Callable[..., Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
    if not kwargs:
        return f

    @wraps(f)
    def function(*args: Any) -> Any:
        return f(*args, **kwargs)

    return function


def _moved(x: Any, backend: Backend, device: Any) -> Any:
    """The same values as arrays of another library."""

    def moved(leaf: Any) -> Any:
        return backend.from_host(backend_of(leaf).to_host(leaf), device) if is_array(leaf) else leaf

    return tree.map(moved, x)


def _check(called: str, check: GradientCheck, modes: Sequence[str], jit: bool) -> list[Values]:
    """Check on one library; what the function returns there."""
    failed = worst(check.comparisons())
    if failed is not None:
        raise GradientCheckError(failed.sentence)
    variables, backend = check.variables, check.variables[0].backend
    xs = [x.array(x.row) for x in variables]
    with backend.quiet():
        outs = check.fun(*xs)
        values = [backend.to_host(y) for y in outs]
        if jit:
            for names, function, rows in _programs(check, modes, xs, outs, values):
                once = _host(backend, function(*rows))
                program = compiled(function)
                for _ in range(CALLS):
                    again = _host(backend, program(*rows))
                _compare(f"{called}, compiled", check, names, again, once, "uncompiled")
    return values


CALLS = 3
"""The first records, the second runs what was compiled, the third in memory that is there already."""


def _programs(
    check: GradientCheck, modes: Sequence[str], xs: list[Any], outs: list[Any], values: list[Values]
) -> Iterator[tuple[list[str], Callable[..., Any], tuple[Any, ...]]]:
    """What is compiled: names of its results, a function, its arguments."""
    fun, backend = check.fun, check.variables[0].backend
    yield check.results, fun, tuple(xs)
    rng = np.random.default_rng(0)

    def like(value: Values, device: Any) -> Any:
        parts = rng.uniform(0.5, 1.5, (2, *value.shape))
        drawn = parts[0] + 1j * parts[1] if value.dtype.kind == "c" else parts[0]
        return backend.from_host(np.asarray(drawn, dtype=value.dtype), device)

    if "rev" in modes:

        def gradient(xs: list[Any], cotangents: list[Any]) -> Any:
            return vjp(fun, *xs)[1](cotangents)

        cotangents = [like(y, device_of(out)) for y, out in zip(values, outs, strict=True)]
        yield [f"the gradient by {x.name}" for x in check.variables], gradient, (xs, cotangents)
    if "fwd" in modes:

        def tangent(xs: list[Any], tangents: list[Any]) -> Any:
            return jvp(fun, tuple(xs), tuple(tangents))[1]

        tangents = [like(x.value, x.device) for x in check.variables]
        yield [f"the tangent of {name}" for name in check.results], tangent, (xs, tangents)


def _host(backend: Backend, arrays: Sequence[Any]) -> list[Values]:
    return [backend.to_host(x) for x in arrays]


def _compare(
    called: str,
    check: GradientCheck,
    names: Sequence[str],
    found: Sequence[Values],
    wanted: Sequence[Values],
    otherwise: str,
) -> None:
    """Refuse numbers that are not the same but for rounding."""
    for name, x, y in zip(names, found, wanted, strict=True):
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            raise GradientCheckError(f"{called}: {name} is {describe(x)}, and {otherwise} {describe(y)}")
        size = float(np.max(np.abs(y), initial=0))
        allowed = check.rtol * np.abs(y) + ROUNDINGS * np.finfo(y.dtype).eps * size
        wrong = ~((np.abs(x - y) <= allowed) | ((x != x) & (y != y)) | (x == y))
        if wrong.any():
            k = int(np.argmax(np.where(wrong, np.abs(x - y), -1)))
            where = place(y.real, k)
            raise GradientCheckError(
                f"{called}: {name}{', ' + where if where else ''} is {x.reshape(-1)[k]:.10g}, and "
                f"{otherwise} {y.reshape(-1)[k]:.10g}; {int(wrong.sum())} of {wrong.size} elements differ "
                f"by more than rounding. Look for what the function reads besides its arguments, or pass a "
                f"larger rtol"
            )
