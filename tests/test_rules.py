"""Every derivative: against finite differences, between modes, at second order, and against torch and JAX."""

import importlib
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from cases.check import (
    TOLERANCE,
    assert_close,
    check,
    cotangents_for,
    covector,
    finite_differences,
    first_order,
    gradient_of,
    host,
    problem,
    second_order,
    tangent_of,
)
from cases.selection import NAMES, cases_of, of

import bpkit
from bpkit._protocol import Backend, Capability
from bpkit.registry import BUILTIN

but_jax = [name for name in BUILTIN if name != "jax"]
only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


@pytest.mark.parametrize("name", NAMES)
def test_both_modes_agree_with_finite_differences(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend, plainest=True):
        with of(case):
            check(*problem(case, backend), backend, first_order(case), TOLERANCE["finite differences"])


@pytest.mark.parametrize("backend", but_jax, indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend):
        with of(case):
            check(*problem(case, backend, narrow=True), backend, first_order(case), TOLERANCE["float32"])


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_jax_traces_derivatives_in_float32_with_the_same_shapes_and_dtypes(
    name: str, backend: Backend
) -> None:
    for case in CASES:
        if case.name != name or "jax" in case.not_on:
            continue
        # JAX cannot know a length that depends on values.
        if case.label == "traced mask" or Capability.DATA_DEPENDENT_SHAPES in case.needs:
            continue
        with of(case):
            fun, primals = problem(case, backend, narrow=True)

            def both(*xs: Any, fun: Any = fun) -> Any:
                out, pullback = bpkit.vjp(fun, *xs)
                return pullback(list(out)), bpkit.jvp(fun, xs, xs)[1], out

            gradients, tangents, out = importlib.import_module("jax").eval_shape(both, *primals)
            for x, y in zip([*gradients, *tangents], [*primals, *out], strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype)


@pytest.mark.parametrize("name", NAMES)
def test_both_modes_over_reverse_agree_with_finite_differences(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend, plainest=True):
        with of(case):
            fun, primals = problem(case, backend)
            cotangents = [backend.from_host(ct) for ct in cotangents_for(first_order(case).outputs)]
            gradient = gradient_of(fun, cotangents)
            check(gradient, primals, backend, second_order(case), TOLERANCE["finite differences"])


@only_numpy
@pytest.mark.parametrize("name", NAMES)
def test_both_modes_over_forward_agree_with_finite_differences(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend):
        with of(case):
            fun, primals = problem(case, backend)
            tangent = tangent_of(fun)
            reference = finite_differences(tangent, primals)
            check(tangent, primals, backend, reference, TOLERANCE["finite differences"])


@only_numpy
@pytest.mark.parametrize("name", NAMES)
def test_arrays_that_cannot_be_written_are_enough(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend):
        with of(case):
            fun, primals = problem(case, backend)
            for x in primals:
                x.flags.writeable = False
            check(fun, primals, backend, first_order(case), TOLERANCE["finite differences"])
            gradients = bpkit.vjp(fun, *primals)[1](cotangents_for(first_order(case).outputs))
            assert all(g.flags.writeable for g in gradients if isinstance(g, np.ndarray))


# The other libraries' own derivatives.

TORCH_NAMES = {
    "expit": "torch.special.expit",
    "log_expit": "torch.nn.functional.logsigmoid",
    "relu": "torch.relu",
    "softplus": "torch.nn.functional.softplus",
}
JAX_NAMES = {
    "expit": "jax.nn.sigmoid",
    "log_expit": "jax.nn.log_sigmoid",
    "log_softmax": "jax.nn.log_softmax",
    "logsumexp": "jax.nn.logsumexp",
    "relu": "jax.nn.relu",
    "softmax": "jax.nn.softmax",
    "softplus": "jax.nn.softplus",
}


SPECIAL = {"jax": "jax.scipy.special", "torch": "torch.special"}


def _found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _torch_along(path: str) -> Callable[..., Any]:
    return lambda x, axis=-1: _found(path)(x, dim=axis)


def _torch_logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _found("torch.logsumexp")(x, tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)


def _special(backend: Backend) -> SimpleNamespace:
    """A library's special functions, which need not take Python numbers for arrays."""

    def called(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*xs: Any) -> Any:
            dtype = next(x.dtype for x in xs if hasattr(x, "dtype"))
            return function(*[backend.xp.asarray(x, dtype=dtype) if type(x) is float else x for x in xs])

        return run

    own = vars(importlib.import_module(SPECIAL[backend.name]))
    return SimpleNamespace(**{name: called(f) for name, f in own.items() if callable(f)})


def has(backend: Backend, name: str) -> bool:
    """Whether a library has a function of its own."""
    try:
        attrgetter(name)(library(backend))
    except AttributeError:
        return False
    return True


@cache
def library(backend: Backend) -> Any:
    """The library's own namespace with the functions that only bpkit gives a standard name."""
    if backend.name == "torch":
        extras: dict[str, Any] = {name: _found(path) for name, path in TORCH_NAMES.items()}
        extras |= {name: _torch_along(f"torch.{name}") for name in ("softmax", "log_softmax")}
        extras["logsumexp"] = _torch_logsumexp
    else:
        extras = {name: _found(path) for name, path in JAX_NAMES.items()}
    extras["special"] = _special(backend)
    return SimpleNamespace(**{**vars(backend.xp), **extras})


def own_gradients(case: Case, backend: Backend) -> list[Any]:
    """What the library's own reverse mode says, by JAX's convention for complex numbers."""
    fun, primals = problem(case, backend, xp=library(backend))
    cts = cotangents_for(first_order(case).outputs)
    if backend.name == "jax":
        jax = importlib.import_module("jax")
        pull = jax.jit(lambda cts, *primals: jax.vjp(fun, *primals)[1](cts))
        found = pull([backend.from_host(ct) for ct in cts], *primals)
        return [backend.to_host(g) for g in found]
    torch = importlib.import_module("torch")
    primals = [x.requires_grad_() for x in primals]
    out = fun(*primals)
    # PyTorch's gradient is dL/dx + i dL/dy.
    found = torch.autograd.grad(
        out,
        primals,
        [backend.from_host(np.conj(ct)) for ct in cts],
        allow_unused=True,
        materialize_grads=True,
    )
    return [np.conj(backend.to_host(g)) for g in found]


# By backend and case: what the library itself gets wrong, or refuses.
NOT_THERE = {
    ("jax", "acosh-(3):complex128"): "wrong sign in the left half plane: 1 / sqrt((x - 1) * (x + 1)) there",
    ("jax", "sign-(3):complex128"): "0, though the direction of a complex number turns with it",
    ("jax", "nextafter-(3) (3)"): "no derivative",
    ("jax", "special.boxcox-both"): "0 by lmbda = 0, though the transform varies there",
    ("jax", "special.boxcox1p-both"): "0 by lmbda = 0, though the transform varies there",
    ("jax", "special.expn-0.0"): "NaN: its rule has E_-1, which it does not know",
    ("jax", "special.i0-vector"): "1 at 0, where i0 is smallest",
    ("jax", "special.log_ndtr-vector"): "loses four digits at -30",
    ("jax", "special.spence-vector"): "NaN at 1",
    ("torch", "special.psi-vector"): "nine digits: its trigamma is an approximation",
    ("torch", "special.psi-0-d"): "nine digits: its trigamma is an approximation",
    ("torch", "special.digamma-vector"): "nine digits: its trigamma is an approximation",
    ("torch", "divide-integer array on the right"): "divides in float32",
    ("jax", "linalg.eig-33"): "refuses, since it cannot check the assumptions",
    ("jax", "linalg.eig-33 complex"): "refuses, since it cannot check the assumptions",
    ("torch", "linalg.det-2 by 2 of rank 1"): "0 at singular matrices",
    ("torch", "linalg.det-4 by 4 with diagonal [1, 2, 0, 4]"): "0 at singular matrices",
    ("torch", "remainder-1.7 (3)"): "no derivative",
    ("torch", "remainder-scalar . x"): "no derivative",
    ("torch", "where-complex and real"): "no derivative",
    ("torch", "broadcast_arrays-(23) () constant"): "no derivative where one of the results is a constant",
    ("torch", "meshgrid-(2) constant (3)"): "no derivative where one of the results is a constant",
    ("torch", "std-(23) axis=1 correction=0.5"): "no such correction",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["jax", "torch"], indirect=True)
def test_the_library_itself_agrees(name: str, backend: Backend) -> None:
    cases = [case for case in cases_of(name, backend) if case.library and has(backend, name)]
    if not cases:
        pytest.skip(f"{backend.name} has no {name}")
    for case in cases:
        with of(case):
            fun, primals = problem(case, backend)
            cts = [backend.from_host(ct) for ct in cotangents_for(first_order(case).outputs)]
            found = covector(host(bpkit.vjp(fun, *primals)[1](cts), backend))
            tolerance = TOLERANCE["float32" if "float32" in repr(case) else "float64"]
            if (backend.name, repr(case)) in NOT_THERE:
                with pytest.raises((AssertionError, NotImplementedError, RuntimeError)):
                    assert_close(found, covector(own_gradients(case, backend)), tolerance, "gradient")
            else:
                assert_close(found, covector(own_gradients(case, backend)), tolerance, "gradient")
