"""Random programs of views and writes: the same values raw, traced and under vmap, and the same gradients."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from bpkit import grad, vjp, vmap, xp
from bpkit._protocol import Backend
from bpkit.registry import backend_of

PROGRAMS = 60
EXAMPLES = 3

# What a new name may be made of, by the number of axes of the old one, with its own; {k} is a random place.
MADE: dict[int, list[tuple[str, int]]] = {
    0: [
        *[
            ("{v} * 1.5", 0),
            ("abs({v})", 0),
            ("xp.reshape({v}, ())", 0),
            ("{v}[...]", 0),
            ("xp.positive({v})", 0),
        ],
        *[("xp.zeros_like({v})", 0), ("xp.asarray({v}, copy=True)", 0), ("xp.where({v} > 0, {v}, 0.5)", 0)],
        *[("xp.squeeze(xp.reshape({v}, (1,)), axis=0)", 0), ("xp.stack([{v}, {v} * 0.5, {v}])", 1)],
    ],
    1: [
        *[("{v}[{k}]", 0), ("{v}[{k}, ...]", 0), ("xp.sum({v})", 0), ("xp.max({v})", 0), ("{v}[:]", 1)],
        *[("{v}[::-1]", 1), ("xp.roll({v}, 1)", 1), ("xp.reshape({v}, (3, 1))[:, 0]", 1), ("xp.sin({v})", 1)],
        *[("xp.astype({v}, {v}.dtype, copy=False)", 1), ("xp.zeros_like({v})", 1), ("xp.flip({v})", 1)],
        *[("xp.squeeze({v}[None, :], axis=0)", 1), ("xp.stack([{v}, {v} * 0.5, {v}])", 2)],
        *[("xp.asarray({v}, copy=True)", 1), ("{v}[None, :] * {v}[:, None]", 2)],
    ],
    2: [
        *[
            ("{v}[{k}, {k}]", 0),
            ("{v}[{k}, ...]", 1),
            ("{v}[:, {k}]", 1),
            ("{v}[..., {k}]", 1),
            ("{v}.mT", 2),
        ],
        *[("xp.linalg.diagonal({v})", 1), ("xp.reshape({v}, (9,))[{k}:{k} + 6:2]", 1), ("{v} * 0.5", 2)],
        *[("{v}[::-1, :]", 2), ("xp.permute_dims({v}, (1, 0))", 2), ("{v}[None, ...][0, ...]", 2)],
    ],
}
KEYS = {
    1: ["0", "-1", "1:", "::2", "...", ":"],
    2: ["0, ...", ":, 1", "1, 2", "..., 0", "::2, :", "0, 1:", "..."],
}


def program(rng: random.Random) -> tuple[str, Callable[[Any, Any], list[Any]]]:
    """A function of a vector and a matrix, which it writes to; it returns all that it has names for."""
    names = [("x", 1), ("m", 2)]
    lines = []
    for i in range(rng.randint(4, 14)):
        name, n_axes = rng.choice(names)
        scalars = [other for other, axes in names if axes == 0] + ["0.25", "xp.sum(x)", "x[1]"]
        what = rng.random()
        if what < 0.45:
            how, axes = rng.choice(MADE[n_axes])
            lines.append(f"v{i} = " + how.replace("{v}", name).replace("{k}", str(rng.randint(0, 2))))
            names.append((f"v{i}", axes))
        elif what < 0.52:
            lines.append(f"v{i} = {name}")
            names.append((f"v{i}", n_axes))
        elif what < 0.7:
            other = rng.choice([other for other, axes in names if axes <= n_axes])
            lines.append(f"{name} {rng.choice(['+=', '-=', '*='])} {other} * 0.5")
        elif n_axes:
            other = rng.choice(scalars)
            lines.append(f"{name}[{rng.choice(KEYS[n_axes])}] {rng.choice(['=', '=', '+=', '*='])} {other}")
    lines.append(f"return [{', '.join(f'xp.asarray({name}, copy=True)' for name, _ in names)}]")
    source = "def run(x, m):\n    " + "\n    ".join(lines)
    found: dict[str, Any] = {}
    exec(source, {"xp": xp}, found)
    return source, found["run"]


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"], indirect=True)
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_raw_traced_and_batched(backend: Backend, seed: int) -> None:
    source, run = program(random.Random(seed))
    rng = np.random.default_rng(seed)
    draws = [rng.normal(size=(EXAMPLES, 3)), rng.normal(size=(EXAMPLES, 3, 3))]

    def arguments(i: Any = slice(None)) -> list[Any]:
        """New arrays, since a raw run writes to them."""
        return [backend.from_host(np.array(x[i])) for x in draws]

    def total(x: Any, m: Any) -> Any:
        return sum([xp.sum(xp.sin(y)) * (k + 1.0) for k, y in enumerate(run(x, m))])

    def check(found: Any, expected: Any) -> None:
        for x, y in zip(found, expected, strict=True):
            x, y = (
                np.stack([host(z) for z in part]) if isinstance(part, tuple) else host(part)
                for part in (x, y)
            )
            assert x.shape == y.shape and x.dtype == y.dtype, source
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11, err_msg=source)

    each = [vjp(run, *arguments(i))[0] for i in range(EXAMPLES)]
    # Some libraries' own arrays refuse some of it: slices with a negative step, writes to a diagonal.
    with suppress(ValueError, RuntimeError):
        check(run(*arguments(0)), each[0])
    check(vmap(run)(*arguments()), zip(*each, strict=True))
    gradient = grad(total, argnums=(0, 1))
    slopes = list(zip(*[gradient(*arguments(i)) for i in range(EXAMPLES)], strict=True))
    check(vmap(gradient)(*arguments()), slopes)
    # Over vmap, a gradient of the sum of all examples.
    check(grad(lambda x, m: xp.sum(vmap(total)(x, m)), argnums=(0, 1))(*arguments()), slopes)
