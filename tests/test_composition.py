"""Every transform composes with every other: all triples and random deeper chains, against PyTorch and JAX.

A chain such as ``("vmap", "grad", "jvp")`` stands for ``vmap(grad(jvp(f)))``, a function of one array. There
`grad` is that of the sum of the results, `jvp` gives the tangent in a fixed direction, `vmap` goes over the
first axis, `jit` and `checkpoint` change nothing, and `custom_vjp` states the derivative that it has anyway.
So the value of a chain is that of the same chain of another library's transforms.
"""

import importlib
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit._protocol import Backend
from bpkit.errors import NotDifferentiableError
from bpkit.registry import backend_of

# What PyTorch says when its own jvp is first used.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

Chain = tuple[str, ...]
TRANSFORMS = ("grad", "jvp", "vmap", "jit", "checkpoint", "custom_vjp")
EXAMPLES = 2


# The functions at the end of a chain, written for any library.


def scalar(lib: "Library", x: Any) -> Any:
    """From no axes to no axes."""
    y = lib.xp.sin(x) * lib.xp.exp(x / 3)
    z = lib.written(lib.xp.stack([x * x, y, x + y]), 0, y * y * x)
    return lib.xp.where(x > 0.2, lib.xp.sum(z * z[1]), z[0] - z[2])


def vector(lib: "Library", x: Any) -> Any:
    """From three elements to three."""
    h = lib.array([[0.5, -0.25, 0.75], [0.3, 0.6, -0.4], [-0.2, 0.1, 0.45]]) @ x
    y = lib.xp.where(h > 0.1, lib.xp.tanh(h) * x, h * h / 4)
    s = lib.xp.sum(x * y)
    return lib.written(y, 1, s * x[2] + y[0]) * lib.xp.cos(s) + x[0]


FUNCTIONS: dict[str, tuple[Callable[["Library", Any], Any], tuple[int, ...]]] = {
    "scalar": (scalar, ()),
    "vector": (vector, (3,)),
}


# The transforms of each library.


class Library:
    """bpkit's transforms; other libraries' are in the classes below."""

    xp: Any = bpkit.xp

    def array(self, values: Any) -> Any:
        return bpkit.xp.asarray(values, dtype=bpkit.xp.float64)

    def written(self, x: Any, place: int, value: Any) -> Any:
        """An array that nobody else has, with an element replaced."""
        try:
            x[place] = value
        except TypeError:  # JAX's own arrays, which do not change
            return x.at[place].set(value)
        return x

    def grad(self, f: Any) -> Any:
        return bpkit.grad(lambda x: bpkit.xp.sum(f(x)))

    def jvp(self, f: Any) -> Any:
        return lambda x: bpkit.jvp(f, (x,), (self.direction(x),))[1]

    def vmap(self, f: Any) -> Any:
        return bpkit.vmap(f)

    def jit(self, f: Any) -> Any:
        return bpkit.jit(f)

    def checkpoint(self, f: Any) -> Any:
        return bpkit.checkpoint(f)

    def custom_vjp(self, f: Any) -> Any:
        custom = bpkit.custom_vjp(f)
        custom.defvjp(lambda x: (f(x), x), lambda x, g: bpkit.vjp(f, x)[1](g))
        return custom

    def direction(self, x: Any) -> Any:
        return self.array(np.cos(np.arange(float(np.prod(x.shape)))).reshape(x.shape).tolist())

    def value(self, chain: Chain, name: str) -> Any:
        """What a chain gives at a fixed place; with jit, in the second call, which runs what was recorded."""
        fun, shape = FUNCTIONS[name]
        shape = (EXAMPLES,) * chain.count("vmap") + shape
        f: Any = lambda x: fun(self, x)  # noqa: E731
        for transform in reversed(chain):
            f = getattr(self, transform)(f)
        x = self.array(np.random.default_rng(len(shape)).uniform(-0.9, 1.1, shape).tolist())
        if "jit" in chain:
            f(x * 0.5)
        return f(x)


class Torch(Library):
    """torch.func, in which what changes no value has no name."""

    def __init__(self) -> None:
        self.xp = pytest.importorskip("torch")

    def array(self, values: Any) -> Any:
        return self.xp.asarray(values, dtype=self.xp.float64)

    def written(self, x: Any, place: int, value: Any) -> Any:
        # select_scatter has a wrong gradient over vmap, and x[place] = value no second one (PyTorch 2.13).
        return self.xp.cat([x[:place], value[None], x[place + 1 :]])

    def grad(self, f: Any) -> Any:
        return self.xp.func.grad(lambda x: self.xp.sum(f(x)))

    def jvp(self, f: Any) -> Any:
        return lambda x: self.xp.func.jvp(f, (x,), (self.direction(x),))[1]

    def vmap(self, f: Any) -> Any:
        return self.xp.func.vmap(f)

    def checkpoint(self, f: Any) -> Any:
        return f

    custom_vjp = jit = checkpoint


class Jax(Library):
    """JAX."""

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")
        self.xp = importlib.import_module("jax.numpy")

    def array(self, values: Any) -> Any:
        return self.xp.asarray(values, dtype=self.xp.float64)

    def written(self, x: Any, place: int, value: Any) -> Any:
        return x.at[place].set(value)

    def grad(self, f: Any) -> Any:
        return self.jax.grad(lambda x: self.xp.sum(f(x)))

    def jvp(self, f: Any) -> Any:
        return lambda x: self.jax.jvp(f, (x,), (self.direction(x),))[1]

    def vmap(self, f: Any) -> Any:
        return self.jax.vmap(f)

    def jit(self, f: Any) -> Any:
        return f  # it takes a compilation for each chain

    def checkpoint(self, f: Any) -> Any:
        return self.jax.checkpoint(f)

    def custom_vjp(self, f: Any) -> Any:
        custom = self.jax.custom_vjp(f)
        custom.defvjp(lambda x: (f(x), x), lambda x, g: self.jax.vjp(f, x)[1](g))
        return custom


@cache
def expected(library: type[Library], chain: Chain, name: str) -> Any:
    return np.asarray(library().value(chain, name))


def forward_meets_custom_vjp(chain: Chain, around: Chain = ()) -> bool:
    """Whether forward mode would have to differentiate a function whose rule is for reverse mode.

    Parameters
    ----------
    chain : tuple of str
    around : tuple of str
        The transforms around it that differentiate what it does, the innermost last.
    """
    if not chain:
        return False
    first, rest = chain[0], chain[1:]
    if first in ("grad", "jvp"):
        return forward_meets_custom_vjp(rest, (*around, first))
    if first != "custom_vjp" or not around:
        return forward_meets_custom_vjp(rest, around)
    if around[-1] == "jvp":
        return True
    # Reverse mode runs fwd, which is the function one level down, and bwd, which is its vjp there.
    return forward_meets_custom_vjp(rest, around[:-1]) or forward_meets_custom_vjp(rest, around)


def check(backend: Backend, chain: Chain, name: str) -> None:
    reference = Jax if backend.name == "jax" else Torch
    if forward_meets_custom_vjp(chain):
        with pytest.raises(
            NotDifferentiableError, match=r"custom_vjp of .*: forward mode \(jvp\) cannot use"
        ):
            Library().value(chain, name)
        if reference is Jax:
            # JAX's words depend on what is around.
            with pytest.raises(
                (TypeError, NotImplementedError), match=r"to a custom_vjp function|custom_lin"
            ):
                Jax().value(chain, name)
        return
    found = Library().value(chain, name)
    assert backend_of(found) is backend
    found, wanted = backend.to_host(found), expected(reference, chain, name)
    assert found.dtype == np.float64 and np.any(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.max(np.abs(wanted)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("inner", TRANSFORMS)
@pytest.mark.parametrize("middle", TRANSFORMS)
@pytest.mark.parametrize("outer", TRANSFORMS)
def test_three_transforms(backend: Backend, outer: str, middle: str, inner: str, name: str) -> None:
    chain = (outer, middle, inner)
    if backend.name == "jax" and name == "scalar" and "jit" in chain:
        pytest.skip("JAX compiles each of them, and the other function has all that this one has")
    check(backend, chain, name)


def deeper_chains() -> list[Chain]:
    rng = random.Random(0)
    return [tuple(rng.choices(TRANSFORMS, k=depth)) for depth in (4, 5) for _ in range(20)]


@pytest.mark.parametrize("chain", deeper_chains(), ids="-".join)
def test_four_and_five_transforms(backend: Backend, chain: Chain) -> None:
    check(backend, chain, "vector")
