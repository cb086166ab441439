"""What derivatives keep alive, for how long, and how deep a graph may be."""

import gc
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bpkit import checkpoint, custom_jvp, custom_vjp, grad, jvp, linearize, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend
from bpkit.graph import Node
from bpkit.kinds import raw
from bpkit.trace import Trace, Traced


@pytest.fixture
def counting() -> Iterator[None]:
    """Without the collector of cycles: counting references must do."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Watched:
    """A function of several steps, and how many of the arrays that it computed are alive."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Any]] = []

    def __call__(self, x: Any) -> Any:
        for _ in range(4):
            x = xp.tanh(x * x) + x[::1]
            x[0] = x[1] * 2.0
            self.seen.append(weakref.ref(raw(x)))
        return xp.sum(x)

    def alive(self) -> int:
        return sum(reference() is not None for reference in self.seen)


def custom_reverse(f: Callable[..., Any]) -> Callable[..., Any]:
    g = custom_vjp(f)
    g.defvjp(lambda x: vjp(f, x), lambda pullback, ct: pullback(ct))
    return g


def custom_forward(f: Callable[..., Any]) -> Callable[..., Any]:
    g = custom_jvp(f)
    g.defjvp(lambda primals, tangents: jvp(f, primals, tangents))
    return g


TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "vjp": lambda f: lambda x: vjp(f, x)[1](1.0),
    "jvp": lambda f: lambda x: jvp(f, (x,), (x,)),
    "linearize": lambda f: lambda x: linearize(f, x)[1](x),
    "vmap": lambda f: lambda x: vmap(f)(xp.stack([x, x])),
    "checkpoint": lambda f: grad(checkpoint(f)),
    "nested checkpoints": lambda f: grad(checkpoint(lambda x: checkpoint(f)(x) + checkpoint(f)(x * x))),
    "custom_vjp": lambda f: grad(custom_reverse(f)),
    "custom_jvp": lambda f: grad(custom_forward(f)),
    "grad of grad": lambda f: grad(lambda x: xp.sum(grad(f)(x) ** 2)),
    "grad of grad of checkpoint": lambda f: grad(lambda x: xp.sum(grad(checkpoint(f))(x) ** 2)),
    "jvp of grad": lambda f: lambda x: jvp(grad(f), (x,), (x,)),
    "grad of jvp": lambda f: grad(lambda x: jvp(f, (x,), (x,))[1]),
    "vmap of grad": lambda f: lambda x: vmap(grad(f))(xp.stack([x, x])),
    "grad of vmap": lambda f: grad(lambda x: xp.sum(vmap(f)(xp.stack([x, x])))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_array_outlives_its_transform(backend: Backend, counting: None, name: str) -> None:
    f = Watched()
    x = backend.from_host(np.asarray([0.5, -0.25, 0.125]).astype(np.float32))
    result = TRANSFORMS[name](f)(x)
    assert len(f.seen) >= 4
    assert f.alive() == 0
    del result


def living(*kinds: type) -> int:
    # By type: to ask some objects for their class is to wake them up.
    return sum(issubclass(type(x), kinds) for x in gc.get_objects())


def peak_of(function: Callable[..., Any], *args: Any) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        return function(*args), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_memory_is_as_before(counting: None, name: str) -> None:
    # All of it, also what only the engine has seen: NumPy reports its buffers to tracemalloc.
    x = np.linspace(-1.0, 1.0, 1 << 16)
    run = TRANSFORMS[name](Watched())
    run(x)
    before = living(Node, Trace, Traced)
    tracemalloc.start()
    try:
        run(x)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > 3 * x.nbytes
    assert now < 0.5 * x.nbytes
    assert living(Node, Trace, Traced) == before


def test_a_pullback_holds_what_it_needs_until_it_goes(backend: Backend, counting: None) -> None:
    f = Watched()
    x = backend.from_host(np.asarray([0.5, -0.25, 0.125]).astype(np.float32))
    out, pullback = vjp(f, x)
    assert f.alive() > 0
    pulled = [backend.to_host(pullback(out)[0]) for _ in range(3)]
    np.testing.assert_array_equal(pulled[0], pulled[1])
    np.testing.assert_array_equal(pulled[0], pulled[2])
    del out, pullback
    assert f.alive() == 0


@pytest.mark.parametrize("wrap", [lambda f: f, checkpoint], ids=["plain", "checkpoint"])
def test_a_pullback_called_many_times_takes_no_more_memory(counting: None, wrap: Callable[..., Any]) -> None:
    x = np.linspace(-1.0, 1.0, 1 << 14)
    _, pullback = vjp(wrap(Watched()), x)
    expected = pullback(1.0)[0]
    tracemalloc.start()
    try:
        for _ in range(20):
            np.testing.assert_array_equal(pullback(1.0)[0], expected)
        assert tracemalloc.get_traced_memory()[0] < 0.5 * x.nbytes
    finally:
        tracemalloc.stop()


class MineError(Exception):
    pass


@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_error_leaves_nothing_alive(backend: Backend, counting: None, name: str) -> None:
    f = Watched()

    def failing(x: Any) -> Any:
        f(x)
        raise MineError

    x = backend.from_host(np.asarray([0.5, -0.25, 0.125]).astype(np.float32))
    with pytest.raises(MineError) as caught:
        TRANSFORMS[name](failing)(x)
    assert len(f.seen) >= 4
    # The traceback holds the variables of the functions that it went through, as with any error.
    del caught
    assert f.alive() == 0


def test_an_error_on_the_way_back_leaves_nothing_alive(counting: None) -> None:
    f = Watched()
    calls = 0

    def failing(x: Any) -> Any:
        nonlocal calls
        calls += 1
        y = f(x)
        if len(f.seen) > 4:
            raise MineError
        return y

    with pytest.raises(MineError) as caught:
        grad(checkpoint(failing))(np.ones(3))
    assert len(f.seen) == 8
    del caught
    assert f.alive() == 0


def test_a_checkpoint_lets_go_segment_by_segment(counting: None) -> None:
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def segment(x: Any) -> Any:
        for _ in range(10):
            x = xp.tanh(x)
            seen.append(weakref.ref(raw(x)))
        alive.append(sum(reference() is not None for reference in seen))
        return x

    def loss(x: Any) -> Any:
        for _ in range(8):
            x = checkpoint(segment)(x)
        return xp.sum(x)

    grad(loss)(np.ones(3))
    assert len(alive) == 16
    # Forward: ten of the segment that runs and one for each before it; back: one less each time.
    assert alive[:8] == list(range(10, 18))
    assert all(count <= 10 + 8 - i for i, count in enumerate(alive[8:]))


def test_a_checkpoint_keeps_no_copy_of_raw_arrays_made_inside() -> None:
    x = np.linspace(-1.0, 1.0, 1 << 16)

    def segment(x: Any) -> Any:
        return xp.tanh(x * np.cos(np.arange(1.0, x.shape[0] + 1.0)))

    def loss(x: Any) -> Any:
        for _ in range(30):
            x = checkpoint(segment)(x)
        return xp.sum(x)

    grad(loss)(x)
    _, peak = peak_of(grad(loss), x)
    assert 30 < peak / x.nbytes < 42


# Deep graphs.

DEEP = """
import threading
import numpy as np
from bpkit import checkpoint, grad, jvp, linearize, vjp, xp

COUNT = 100_000

def chain(x):
    for _ in range(COUNT // 2):
        x = x * 1.00001 + 1e-9
    return x

def views(x):
    x = x[None]
    for _ in range(COUNT):
        x = x[:]
    return x[0]

def in_place(x):
    x = x[None] + 0.0
    for _ in range(COUNT // 2):
        x += 1e-9
        x *= 1.00001
    return x[0]

def segments(x):
    step = checkpoint(lambda x: x * 1.00001)
    for _ in range(COUNT // 10):
        x = step(x)
    return x

def differentiate(f):
    gradient = grad(f)(1.0)
    out, pullback = vjp(f, 1.0)
    assert pullback(1.0)[0] == gradient
    del pullback  # the whole graph at once

def forward(f):
    tangent = jvp(f, (1.0,), (1.0,))[1]
    assert linearize(f, 1.0)[1](1.0) == tangent

def fail(x):
    chain(x)
    raise ZeroDivisionError

def main():
    CALL
    try:
        grad(fail)(1.0)
    except ZeroDivisionError:
        print("done")

# A stack so small that the deallocation of a graph, too, must not recurse.
threading.stack_size(256 * 1024)
thread = threading.Thread(target=main)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    "call",
    [
        "differentiate(chain)",
        "forward(chain)",
        "differentiate(views)",
        "differentiate(in_place)",
        "differentiate(segments)",
    ],
)
def test_a_hundred_thousand_functions_in_a_row_on_a_small_stack(call: str) -> None:
    program = DEEP.replace("CALL", call)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


# A long loop of an ordinary differential equation.


STEPS, STEP_S = 5000, 1e-3


def advance(state: Any, stiffness: Any, steps: int) -> Any:
    """Quartic oscillators, symplectic Euler: positions and momenta after some steps."""
    q, p = state
    kick = STEP_S * stiffness
    for _ in range(steps):
        p = p - kick * (q * q * q)
        q = q + STEP_S * p
    return q, p


def final_energy(advance: Callable[..., Any], steps: int) -> Callable[..., Any]:
    """The energy after :data:`STEPS` steps, `steps` of them in one call of `advance`."""

    def loss(state: Any, stiffness: Any) -> Any:
        for _ in range(STEPS // steps):
            state = advance(state, stiffness, steps)
        q, p = state
        return xp.sum(p**2) / 2.0 + xp.sum(q**2)

    return loss


def test_five_thousand_steps_of_an_ode_in_a_tenth_of_the_memory() -> None:
    angle = np.arange(400.0)
    start, stiffness = (np.sin(angle), np.cos(angle**2)), np.asarray(0.7)
    plain, again = final_energy(advance, STEPS), final_energy(checkpoint(advance), 50)
    (expected, by_stiffness), plain_bytes = peak_of(grad(plain, (0, 1)), start, stiffness)
    (found, found_stiffness), bytes_again = peak_of(grad(again, (0, 1)), start, stiffness)
    assert bytes_again < plain_bytes / 10
    np.testing.assert_array_equal(found, expected)
    # Each segment sums its own part of this one first.
    np.testing.assert_allclose(found_stiffness, by_stiffness, rtol=1e-12)
    h, direction = 1e-6, np.cos(angle)

    def loss(s: float, t: float) -> Any:
        return plain((start[0] + s * direction, start[1] - s), stiffness + t)

    slope = (loss(h, 0.0) - loss(-h, 0.0)) / (2 * h)
    np.testing.assert_allclose(np.sum(found[0] * direction - found[1]), slope, rtol=1e-7)
    slope = (loss(0.0, h) - loss(0.0, -h)) / (2 * h)
    np.testing.assert_allclose(found_stiffness, slope, rtol=1e-7)
