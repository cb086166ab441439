"""Every function of the namespace and every derivative under vmap: equal to one example after the other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases import Argument, Case
from cases.check import assert_close, cotangents_for, tangents_for
from cases.selection import NAMES, cases_of, of

import bpkit
from bpkit import namespace, vmap
from bpkit._protocol import Backend
from bpkit.batching import BATCHING
from bpkit.errors import BatchingError
from bpkit.rules.registry import RULES

SIZE = 3
BY_VALUE = ("traced mask", "unique_all", "unique_counts", "unique_inverse", "unique_values")
"""Functions, and labels of cases, of which the result's shape depends on values."""
Function = Callable[..., list[Any]]


def test_every_function_has_a_batching_rule() -> None:
    assert set(BATCHING) == set(RULES)


class Batch:
    """A case with several examples of what is differentiated in it."""

    def __init__(self, case: Case, backend: Backend) -> None:
        rng = case.rng()
        draws = [[x.draw(rng) for _ in range(SIZE)] for x in case.arguments if isinstance(x, Argument)]
        self.backend = backend
        self.draws = draws
        self.batches = [backend.from_host(np.stack(examples)) for examples in draws]
        constants = [backend.from_host(x) if isinstance(x, np.ndarray) else x for x in case.arguments]

        def fun(*given: Any) -> list[Any]:
            values = iter(given)
            arguments = [
                next(values) if isinstance(x, Argument) else constant
                for x, constant in zip(case.arguments, constants, strict=True)
            ]
            out = case.fun(namespace, *arguments)
            return list(out) if isinstance(out, tuple | list) else [out]

        self.fun: Function = fun

    def example(self, i: int, in_axes: Sequence[int | None]) -> list[Any]:
        """The arguments of one example; of one that is not batched, always the first."""
        return [
            self.backend.from_host(examples[0 if axis is None else i])
            for examples, axis in zip(self.draws, in_axes, strict=True)
        ]

    def check(self, fun: Function, in_axes: Sequence[int | None], what: str) -> None:
        """Compare one run for all examples with a run for each."""
        given = [
            self.backend.from_host(examples[0]) if axis is None else batch
            for examples, batch, axis in zip(self.draws, self.batches, in_axes, strict=True)
        ]
        found = [self.backend.to_host(x) for x in vmap(fun, in_axes=tuple(in_axes))(*given)]
        one_by_one = [[self.backend.to_host(x) for x in fun(*self.example(i, in_axes))] for i in range(SIZE)]
        expected = [np.stack(parts) for parts in zip(*one_by_one, strict=True)]
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            assert x.dtype == y.dtype, f"{what}: dtype {x.dtype}, expected {y.dtype}"
            assert_close(x, y, 1e-12, what)


def _choices(n: int, backend: Backend) -> list[list[int | None]]:
    """Every argument batched; then each alone, but for JAX, which compiles each."""
    if backend.name == "jax":
        return [[0] * n]
    alone: list[list[int | None]] = [[0 if i == k else None for i in range(n)] for k in range(n)]
    return [[0] * n, *(alone if n > 1 else [])]


def _pulled(fun: Function, cotangents: list[Any]) -> Function:
    return lambda *xs: list(bpkit.vjp(fun, *xs)[1](cotangents))


def _pushed(fun: Function, tangents: list[Any]) -> Function:
    return lambda *xs: list(bpkit.jvp(fun, xs, tuple(tangents))[1])


def _directions(batch: Batch) -> tuple[list[Any], list[Any]]:
    """Cotangents and tangents for one example."""
    starts = [examples[0] for examples in batch.draws]
    out = bpkit.vjp(batch.fun, *map(batch.backend.from_host, starts))[0]
    outputs = [batch.backend.to_host(x) for x in out]
    cotangents, tangents = cotangents_for(outputs), tangents_for(starts)
    return [*map(batch.backend.from_host, cotangents)], [*map(batch.backend.from_host, tangents)]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_a_batch_is_the_function_of_each_example(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend, plainest=True):
        with of(case):
            batch = Batch(case, backend)
            if case.label in BY_VALUE or case.name in BY_VALUE:
                with pytest.raises(BatchingError, match=r"would differ between the examples|and so would"):
                    vmap(batch.fun)(*batch.batches)
                continue
            for in_axes in _choices(len(batch.draws), backend):
                # Inside a transform, as under vmap: some libraries refuse a call with raw arrays.
                batch.check(lambda *xs, fun=batch.fun: bpkit.vjp(fun, *xs)[0], in_axes, f"in_axes={in_axes}")


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_arguments_of_batches_of_different_levels(name: str, backend: Backend) -> None:
    """Each argument has its examples in the inner batch in turn, and all others in the outer one."""
    for case in cases_of(name, backend):
        if case.label in BY_VALUE or case.name in BY_VALUE:
            continue
        with of(case):
            batch = Batch(case, backend)
            n = len(batch.draws)
            for k in range(n if n > 1 else 0):
                outer = [None if i == k else 0 for i in range(n)]

                def inner(*xs: Any, k: int = k, batch: Batch = batch) -> list[Any]:
                    # In place of the first example of argument k, all of them.
                    given = [batch.batches[k] if i == k else x for i, x in enumerate(xs)]
                    in_axes = tuple([0 if i == k else None for i in range(len(xs))])
                    return list(vmap(lambda *ys: bpkit.vjp(batch.fun, *ys)[0], in_axes=in_axes)(*given))

                batch.check(inner, outer, f"inner batch of argument {k}")


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_for_each_example(name: str, backend: Backend) -> None:
    for case in cases_of(name, backend, plainest=True):
        if case.label in BY_VALUE or case.name in BY_VALUE:
            continue
        with of(case):
            batch = Batch(case, backend)
            cotangents, tangents = _directions(batch)
            for in_axes in _choices(len(batch.draws), backend):
                batch.check(_pulled(batch.fun, cotangents), in_axes, f"vjp, in_axes={in_axes}")
                batch.check(_pushed(batch.fun, tangents), in_axes, f"jvp, in_axes={in_axes}")
