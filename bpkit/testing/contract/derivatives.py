"""Derivatives on the library: beside finite differences, compiled, in batches, and in a whole training."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, optim, random, tree
from bpkit import namespace as xp
from bpkit._protocol import Backend, Capability
from bpkit.registry import use_backend
from bpkit.testing.contract.promise import Contract, expect, promised
from bpkit.testing.functions import BINARY, DOMAINS, UNARY
from bpkit.testing.gradients import assert_gradients

__all__ = ["Derivatives"]


def _scattered(x: Any) -> Any:
    y = xp.scatter_set(xp.zeros_like(x), (1, slice(None)), x[0, :] * 2.0)
    return xp.scatter_add(y, xp.asarray([0, 1, 0]), x[1, :] ** 2 * xp.ones((3, 1), dtype=x.dtype))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "matmul": (xp.matmul, ((2, 3), (3, 2))),
    "einsum": (lambda x, y: xp.einsum("ij,kj->ik", x, y), ((2, 3), (2, 3))),
    "sums": (lambda x: xp.sum(x, axis=0) * xp.mean(x) + xp.prod(x, axis=1)[0], ((2, 3),)),
    "extremes": (lambda x: xp.max(x, axis=1) - xp.min(x), ((2, 3),)),
    "variance": (lambda x: xp.var(x, axis=0) + xp.std(x), ((4, 3),)),
    "shapes": (lambda x: xp.permute_dims(xp.reshape(x, (3, 1, 2)), (2, 0, 1)) * 2.0, ((2, 3),)),
    "concat": (lambda x, y: xp.flip(xp.concat([x, y, x], axis=1)), ((2, 3), (2, 2))),
    "stack": (lambda x: xp.roll(xp.stack([x, x * x]), 1, axis=2), ((2, 3),)),
    "indexing": (lambda x: x[0, ::2] * x[1, 1:] + x[..., -1][:1], ((2, 3),)),
    "take": (lambda x: xp.take(x, xp.asarray([1, 0, 1]), axis=0) ** 2, ((2, 3),)),
    "scattering": (_scattered, ((2, 3),)),
    "where": (lambda x: xp.where(x > 0, xp.sin(x), x * x), ((2, 3),)),
    "sort": (lambda x: xp.sort(x, axis=1) * xp.asarray([1.0, 2.0, 3.0], dtype=x.dtype), ((2, 3),)),
    "softmax": (lambda x: xp.softmax(x, axis=-1) * xp.logsumexp(x, axis=-1, keepdims=True), ((2, 3),)),
    "cumulative": (lambda x: xp.cumulative_sum(x, axis=1), ((2, 3),)),
    "linalg": (lambda x, y: xp.linalg.solve(x + 4.0 * xp.eye(3, dtype=x.dtype), y), ((3, 3), (3,))),
}
"""Functions of floating arrays: what most models are made of, and the shapes of their arguments."""


class Derivatives(Contract):
    """grad, jvp, jit, vmap, random, nn."""

    @promised("xp")
    @pytest.mark.parametrize("name", [name for name, *_ in UNARY])
    def test_functions_of_one_array(self, backend: Backend, name: str) -> None:
        (domain,) = [domain for other, domain, _ in UNARY if other == name]
        assert_gradients(getattr(xp, name), *_arrays(backend, name, ((3,),), (domain,)), order=1)

    @promised("xp")
    @pytest.mark.parametrize("name", [name for name, *_ in BINARY])
    def test_functions_of_two_arrays(self, backend: Backend, name: str) -> None:
        (domains,) = [(one, two) for other, one, two, *_ in BINARY if other == name]
        assert_gradients(getattr(xp, name), *_arrays(backend, name, ((2, 1), (1, 3)), domains), order=1)

    @promised("xp", "compiled", "into", "fused", "index_add", "index_set")
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_programs(self, backend: Backend, name: str) -> None:
        _skip_what_it_lacks(backend, name)
        f, shapes = PROGRAMS[name]
        assert_gradients(f, *_arrays(backend, name, shapes), jit=True, order=1)

    @promised("xp")
    @pytest.mark.parametrize("name", ["matmul", "softmax", "indexing"])
    def test_second_derivatives(self, backend: Backend, name: str) -> None:
        f, shapes = PROGRAMS[name]
        assert_gradients(f, *_arrays(backend, name, shapes))

    @promised("xp", "index_add", "index_set")
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_a_batch_is_its_examples(self, backend: Backend, name: str) -> None:
        _skip_what_it_lacks(backend, name)
        f, shapes = PROGRAMS[name]
        args = _arrays(backend, name, tuple((2, *shape) for shape in shapes))

        def gradient(*xs: Any) -> Any:
            out, pull = bpkit.vjp(f, *xs)
            return out, pull(xp.ones_like(out))

        found = tree.leaves(bpkit.vmap(gradient)(*args))
        for i in range(2):
            wanted = tree.leaves(gradient(*[x[i, ...] for x in args]))
            for x, y in zip(found, wanted, strict=True):
                _close(backend, x[i, ...], y, f"example {i} of vmap beside that example alone")

    @promised("compiled", "added", "fused", "rounded", "on_stand_ins")
    def test_a_training_is_numpy_s(self, backend: Backend) -> None:
        found = _losses(compiled=True)
        with use_backend("numpy"):
            wanted = _losses(compiled=False)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, err_msg="losses of a compiled training")
        expect(found[-1] < found[0] / 2, "the loss goes from", found[0], "to", found[-1])

    @promised("Capability.UINT32_ARITHMETIC", "xp")
    def test_random_numbers_are_the_same_bits(self, backend: Backend) -> None:
        dtypes = [dtype for dtype in ("float32", "float64") if dtype in backend.dtypes()]

        def draws() -> list[Any]:
            first, second = xp.unstack(random.split(random.fold_in(random.key(7), 3)))
            wide = [
                make(first, (11, 91), dtype) for make in (random.uniform, random.normal) for dtype in dtypes
            ]
            return [
                *(first, random.bits(first, 101), *wide, random.permutation(second, 101)),
                *(random.randint(second, (101,), -5, 1000), random.bernoulli(second, 0.3, (101,))),
            ]

        found = draws()
        with use_backend("numpy"):
            wanted = draws()
        for x, y in zip(found, wanted, strict=True):
            expect(backend.owns(type(x)), "drawn was an array of another library:", type(x))
            np.testing.assert_array_equal(backend.to_host(x).astype(y.dtype), y)


def _arrays(
    backend: Backend, name: str, shapes: tuple[tuple[int, ...], ...], domains: tuple[str, ...] = ()
) -> list[Any]:
    """Arguments from their domains, always the same for the same function."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    dtype = "float64" if Capability.FLOAT64 in backend.capabilities else "float32"
    pairs = zip(domains or ("real",) * len(shapes), shapes, strict=True)
    return [backend.from_host(np.asarray(DOMAINS[domain](rng, shape), dtype)) for domain, shape in pairs]


def _skip_what_it_lacks(backend: Backend, name: str) -> None:
    if name == "linalg" and not hasattr(backend.xp, "linalg"):
        pytest.skip(f"{backend.name} has no linalg, an extension of the standard")


def _close(backend: Backend, x: Any, y: Any, said: str) -> None:
    expect(x.dtype == y.dtype, said, f"has the dtype {x.dtype}, and not {y.dtype}")
    a, b = backend.to_host(x), backend.to_host(y)
    precise = 100 * float(np.finfo(b.dtype).eps)
    np.testing.assert_allclose(a, b, rtol=precise, atol=precise * float(np.max(np.abs(b))), err_msg=said)


def _losses(compiled: bool) -> list[float]:
    """The losses of a small network that learns a wave."""
    first, second, points = xp.unstack(random.split(random.key(3), 3))
    model = nn.Sequential(
        nn.Dense(1, 16, key=first, dtype="float32"), xp.tanh, nn.Dense(16, 1, key=second, dtype="float32")
    )
    x = random.uniform(points, (32, 1), "float32", -2.0, 2.0)
    y = xp.sin(2.0 * x)
    optimizer = optim.adam(0.03)
    state = optimizer.init(model)

    def step(model: Any, state: Any) -> Any:
        loss, gradient = bpkit.value_and_grad(lambda model: losses.quadratic(model(x), y))(model)
        updated, state = optimizer.update(gradient, state, model)
        return loss, updated, state

    run = bpkit.jit(step, donate_argnums=(0, 1)) if compiled else step
    found = []
    for _ in range(60):
        loss, model, state = run(model, state)
        found.append(float(loss))
    return found
