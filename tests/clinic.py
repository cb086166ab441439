"""Trainings that are broken on purpose, and healthy ones, for the doctor.

``python tests/clinic.py`` trains every body with every disease that it can have, and prints what was named
first. The limits of the doctor were chosen by the bodies of :func:`developed`; those of :func:`held_out`,
which are other data, sizes, activations, optimizers and seeds, were trained once the limits stood.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from clinic_bodies import (  # type: ignore[import-not-found]
    Body,
    Pair,
    clouds_of_points,
    friedman,
    of_digits,
    of_mnist,
    one_hot,
    products,
    reader,
    rectified,
    rings,
    sequences,
    waves,
)

import bpkit
from bpkit import losses, nn, optim, random
from bpkit import namespace as xp
from bpkit.terminal import write_table

# What can be wrong. Each takes a body and returns a sick one, or None where it cannot have the disease.


def _with_inputs(body: Body, f: Callable[[Any], Any]) -> Body:
    def changed(pair: Pair) -> Pair:
        return f(pair[0].copy()).astype(np.float32), pair[1]

    return replace(body, train=changed(body.train), validation=changed(body.validation))


def _with_targets(body: Body, f: Callable[[Any], Any]) -> Body | None:
    if body.labelled:
        return None
    (x, y), (vx, vy) = body.train, body.validation
    return replace(body, train=(x, f(y).astype(np.float32)), validation=(vx, f(vy).astype(np.float32)))


def _widest(x: Any) -> int:
    """A feature that says something."""
    return int(x.reshape(-1, x.shape[-1]).std(axis=0).argmax())


def _stuck(body: Body) -> Body:
    feature = _widest(body.train[0])

    def change(x: Any) -> Any:
        x[..., feature] = 60.0
        return x

    return _with_inputs(body, change)


def _scaled_feature(body: Body) -> Body:
    feature = _widest(body.train[0])

    def change(x: Any) -> Any:
        x[..., feature] *= 1000
        return x

    return _with_inputs(body, change)


def _shuffled(body: Body) -> Body:
    (x, y), (vx, vy) = body.train, body.validation
    g = body.generator
    return replace(body, train=(x, g.permutation(y)), validation=(vx, g.permutation(vy)))


def _with_nan(x: Any) -> Any:
    x[3, ..., x.shape[-1] // 2] = np.nan
    return x


def _rated(groups: Callable[[str, Any], str], body: Body) -> Body:
    def optimizer(rate: float) -> Any:
        return optim.groups({"all": body.optimizer(rate), "none": optim.frozen()}, groups)

    return replace(body, optimizer=optimizer)


def _cut(model: Any) -> Any:
    if len(model) < 3:
        return model
    return nn.Sequential(*model[:2], bpkit.stop_gradient, *model[2:])


def _times(init: Any, factor: float) -> Any:
    def draw(key: Any, shape: Any, dtype: Any = None) -> Any:
        return init(key, shape, dtype) * xp.asarray(factor, dtype=dtype)

    return draw


def _classes(y: Any) -> Any:
    return y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)


def _sorted(body: Body) -> Body | None:
    x, y = body.train
    if not body.labelled:
        return None
    order = np.argsort(_classes(y), kind="stable")
    return replace(body, train=(x[order], y[order]), shuffle=False)


def _decaying(body: Body) -> Body:
    return replace(body, optimizer=lambda rate: optim.sgd(0.05, weight_decay=1.0))


def _few(body: Body) -> Body:
    (x, y), g = body.train, body.generator
    y = y[:60]
    noisy = g.random(len(y)) < 0.3
    y = np.where(noisy.reshape(-1, *[1] * (y.ndim - 1)), g.permutation(y), y)
    return replace(body, train=(x[:60], y), epochs=20 * body.epochs, batch_size=16)


def _seldom(body: Body) -> Body | None:
    """One class in fifty examples is another one, and hard to tell."""
    if not body.labelled or body.outputs == 1:
        return None
    (x, y), g = body.train, body.generator
    x = x + g.normal(scale=1.5 * x.std(), size=x.shape).astype(np.float32)
    often, rare = np.nonzero(_classes(y) == 0)[0], g.permutation(np.nonzero(_classes(y))[0])
    kept = np.sort(np.concatenate([often, rare[: max(4, len(often) // 12)]]))
    return replace(body, train=(x[kept], y[kept]), epochs=max(2, body.epochs // 2))


def _leaking(body: Body) -> Body:
    return replace(body, validation=(body.train[0][:200], body.train[1][:200]))


def _ended(body: Body, activation: Any, labelled: bool) -> Body | None:
    if body.labelled != labelled or body.build is not None:
        return None
    return replace(body, last=(activation,))


def _only(activations: tuple[Any, ...], change: Callable[[Body], Body]) -> Callable[[Body], Body | None]:
    return lambda body: change(body) if body.build is None and body.activation in activations else None


def _steep(body: Body) -> Body | None:
    if body.build is not rectified:
        return None
    return replace(body, change=lambda m: m.replace(across=m.across.replace(weight=3 * m.across.weight)))


def _flat(change: Callable[[Body], Body]) -> Callable[[Body], Body | None]:
    return lambda body: change(body) if body.build is None else None


constant = nn.init.constant
LIMITED, SILENT = (nn.sigmoid, nn.tanh), (nn.relu,)
DISEASES: dict[str, tuple[str, Callable[[Body], Body | None]]] = {
    "learning rate × 100": ("learning rate too high", lambda b: replace(b, rate=100 * b.rate)),
    "learning rate / 1000": ("learning rate too low", lambda b: replace(b, rate=b.rate / 1000)),
    "biases of −10": (
        "dead units",
        _only(SILENT, lambda b: replace(b, bias_init=partial(constant, value=-10.0))),
    ),
    "sigmoid, 8 layers": (
        "vanishing gradients",
        _flat(
            lambda b: replace(
                b, hidden=(b.hidden[0],) * 8, activation=nn.sigmoid, init=nn.init.glorot_uniform
            )
        ),
    ),
    "weights × 0.1, 6 layers": (
        "vanishing gradients",
        _flat(lambda b: replace(b, hidden=(b.hidden[0],) * 6, init=_times(b.init, 0.1))),
    ),
    "weights × 10, 6 layers": (
        "exploding gradients",
        _only(SILENT, lambda b: replace(b, hidden=(b.hidden[0],) * 6, init=_times(b.init, 10.0))),
    ),
    "recurrent weights × 3": ("exploding gradients", _steep),
    "weights × 20": (
        "first weights too large",
        _only(LIMITED, lambda b: replace(b, init=_times(b.init, 20.0))),
    ),
    "targets shuffled": ("labels shuffled", _shuffled),
    "inputs × 255": ("inputs not scaled", lambda b: _with_inputs(b, lambda x: 255 * x)),
    "inputs + 100": ("inputs not scaled", lambda b: _with_inputs(b, lambda x: 100 + x)),
    "one feature × 1000": ("inputs not scaled", _scaled_feature),
    "a feature stuck at 60": ("constant feature", _stuck),
    "a first layer without steps": (
        "frozen layer",
        _flat(partial(_rated, lambda path, leaf: "none" if path.startswith(".layers[0]") else "all")),
    ),
    "a gradient that is stopped": ("frozen layer", _flat(lambda b: replace(b, change=_cut))),
    "NaN in an input": ("NaN in the data", lambda b: replace(_with_inputs(b, _with_nan), by_hand=True)),
    "weights of 0": ("units all alike", _flat(lambda b: replace(b, init=nn.init.zeros))),
    "equal weights": ("units all alike", _flat(lambda b: replace(b, init=partial(constant, value=0.1)))),
    "softmax before a loss of logits": (
        "sigmoid or softmax twice",
        lambda b: _ended(b, nn.softmax if b.outputs > 1 else nn.sigmoid, True),
    ),
    "relu at the end": ("targets out of reach", lambda b: _ended(b, nn.relu, False)),
    "sigmoid at the end": ("targets out of reach", lambda b: _ended(b, nn.sigmoid, False)),
    "sorted, not shuffled": ("examples in order", _sorted),
    "weight decay of 1": ("weight decay too strong", _decaying),
    "sixty examples": ("overfitting", _few),
    "one class in twelve": ("one class dominates", _seldom),
    "validated on training data": ("validation seen in training", _leaking),
    "targets × 1000": ("targets not scaled", lambda b: _with_targets(b, lambda y: 1000 * y)),
    "targets + 100": ("targets not scaled", lambda b: _with_targets(b, lambda y: y + 100)),
}


sgd = partial(optim.sgd, momentum=0.9)
softmax, squares = losses.softmax_cross_entropy, losses.mean_squared_error
DIGITS: dict[str, Any] = {"outputs": 10, "loss": softmax}
ONE: dict[str, Any] = {"outputs": 1, "loss": squares}


def _booklike(output: Any, target: Any) -> Any:
    return losses.quadratic(nn.sigmoid(output), target)


def developed() -> dict[str, Body]:
    """The bodies by which the limits were chosen."""
    d, f, w = of_digits(), friedman(1), waves(2)
    h, two = nn.init.he_normal, {**ONE, "outputs": 2}
    return {
        "digits, relu 48-24, Adam": Body(
            *d, (48, 24), nn.relu, **DIGITS, optimizer=optim.adam, rate=3e-3, epochs=5, seed=1
        ),
        "digits, tanh 32, momentum": Body(
            *d, (32,), nn.tanh, **DIGITS, optimizer=sgd, rate=0.05, epochs=5, seed=2
        ),
        "digits, sigmoid 30, SGD": Body(
            *one_hot(d),
            (30,),
            nn.sigmoid,
            10,
            losses.sigmoid_cross_entropy,
            optim.sgd,
            0.5,
            epochs=8,
            seed=3,
        ),
        "digits, relu 30-30-30, SGD": Body(
            *d, (30, 30, 30), nn.relu, **DIGITS, optimizer=optim.sgd, rate=0.03, epochs=8, seed=4, init=h
        ),
        "Friedman, relu 32-32, Adam": Body(
            *f, (32, 32), nn.relu, **ONE, optimizer=optim.adam, rate=0.01, epochs=10, seed=5, init=h
        ),
        "Friedman, tanh 24, SGD": Body(
            *f, (24,), nn.tanh, **ONE, optimizer=optim.sgd, rate=0.05, epochs=15, seed=6
        ),
        "sequences, 24": Body(
            *sequences(1),
            (24,),
            nn.tanh,
            **ONE,
            optimizer=optim.adam,
            rate=0.01,
            epochs=8,
            seed=7,
            build=reader,
        ),
        "digits, relu 64-64-32, momentum": Body(
            *d, (64, 64, 32), nn.relu, **DIGITS, optimizer=sgd, rate=0.02, epochs=5, seed=11, init=h
        ),
        "digits, tanh 40-40, Adam": Body(
            *d, (40, 40), nn.tanh, **DIGITS, optimizer=optim.adam, rate=2e-3, epochs=6, seed=12
        ),
        "digits, sigmoid 50, the book's cost": Body(
            *one_hot(d), (50,), nn.sigmoid, 10, _booklike, optim.sgd, 3.0, epochs=5, seed=13, batch_size=10
        ),
        "waves, tanh 32-32, Adam": Body(
            *w, (32, 32), nn.tanh, **two, optimizer=optim.adam, rate=0.01, epochs=12, seed=14
        ),
        "waves, relu 64, momentum": Body(
            *w, (64,), nn.relu, **two, optimizer=sgd, rate=0.02, epochs=12, seed=15, init=h
        ),
        "rings, relu 24-24, RMSprop": Body(
            *rings(3),
            (24, 24),
            nn.relu,
            1,
            losses.sigmoid_cross_entropy,
            optim.rmsprop,
            5e-3,
            epochs=12,
            seed=16,
            init=h,
        ),
        "sequences, rectified 20": Body(
            *sequences(4),
            (20,),
            nn.relu,
            **ONE,
            optimizer=optim.adam,
            rate=3e-3,
            epochs=8,
            seed=17,
            build=rectified,
        ),
    }


def held_out(folder: str | None = None) -> dict[str, Body]:
    """Others; with MNIST where its folder is named."""
    d, p, c = of_digits(), products(21), clouds_of_points(22)
    h = nn.init.he_normal
    bodies = {
        "digits, relu 100, NAdam": Body(
            *d, (100,), nn.relu, **DIGITS, optimizer=optim.nadam, rate=2e-3, epochs=5, seed=101, init=h
        ),
        "digits, elu 60-30, momentum": Body(
            *d, (60, 30), nn.elu, **DIGITS, optimizer=sgd, rate=0.02, epochs=6, seed=102
        ),
        "digits, sigmoid 40, Adam": Body(
            *d, (40,), nn.sigmoid, **DIGITS, optimizer=optim.adam, rate=0.01, epochs=6, seed=103
        ),
        "products, relu 48-48, AdamW": Body(
            *p, (48, 48), nn.relu, **ONE, optimizer=optim.adamw, rate=5e-3, epochs=20, seed=104, init=h
        ),
        "products, tanh 40, momentum": Body(
            *p, (40,), nn.tanh, **ONE, optimizer=sgd, rate=0.01, epochs=20, seed=105
        ),
        "clouds, tanh 16-16, RMSprop": Body(
            *c, (16, 16), nn.tanh, 4, softmax, optim.rmsprop, 3e-3, epochs=10, seed=106
        ),
        "sequences, rectified 28": Body(
            *sequences(23),
            (28,),
            nn.relu,
            **ONE,
            optimizer=sgd,
            rate=3e-3,
            epochs=10,
            seed=107,
            build=rectified,
        ),
    }
    if folder is not None:
        m = of_mnist(folder)
        bodies |= {
            "MNIST, relu 100, Adam": Body(
                *m, (100,), nn.relu, **DIGITS, optimizer=optim.adam, rate=1e-3, epochs=6, seed=18, init=h
            ),
            "MNIST, tanh 50-50-50, momentum": Body(
                *m, (50, 50, 50), nn.tanh, **DIGITS, optimizer=sgd, rate=0.02, epochs=5, seed=19
            ),
        }
    return bodies


def patients(bodies: dict[str, Body]) -> Iterator[tuple[str, str, Body]]:
    """Disease, body, and the body with the disease."""
    for disease, (_, change) in DISEASES.items():
        for name, body in bodies.items():
            if (sick := change(body)) is not None:
                yield disease, name, sick


def thirty() -> list[tuple[str, str, Body]]:
    """Every disease once, each in another body than the one before, and the first of them once more."""
    every = list(patients(held_out()))
    chosen: list[tuple[str, str, Body]] = []
    turns: Counter[str] = Counter()
    for round_ in range(2):
        for i, disease in enumerate(DISEASES):
            able = [patient for patient in every if patient[0] == disease]
            if len(able) > turns[disease] and len(chosen) < 30:
                chosen.append(able[(i + round_) % len(able)])
                turns[disease] += 1
    return chosen


def ten() -> dict[str, Body]:
    """Healthy bodies: those held out, and three of other kinds."""
    bodies = held_out()
    relu, elu, clouds = (bodies[name] for name in list(bodies)[:2] + list(bodies)[5:6])

    def normal(body: Body) -> Any:
        first, second = random.split(random.key(body.seed))
        hidden = nn.Dense(64, 32, key=first, dtype="float32")
        out = nn.Dense(32, 10, key=second, dtype="float32")
        return nn.Sequential(nn.BatchNorm(64, dtype="float32"), hidden, nn.tanh, nn.Dropout(0.2), out)

    def deep(body: Body) -> Any:
        keys = [random.fold_in(random.key(body.seed), i) for i in range(12)]
        blocks = [
            nn.Residual(
                nn.Sequential(
                    nn.tanh,
                    nn.Dense(24, 24, key=key, init=_times(nn.init.glorot_uniform, 0.3), dtype="float32"),
                )
            )
            for key in keys[2:]
        ]
        first = nn.Dense(64, 24, key=keys[0], dtype="float32")
        return nn.Sequential(first, *blocks, nn.Dense(24, 10, key=keys[1], dtype="float32"))

    raw = _with_inputs(relu, lambda x: 255 * x)
    (x, y), g = clouds.train, clouds.generator
    rare = np.nonzero((y == 0) | (g.random(len(y)) < 0.07))[0]
    return {
        **bodies,
        "digits from 0 to 255, BatchNorm, dropout": replace(raw, build=normal),
        "digits, 12 layers with ways around them": replace(elu, build=deep),
        "clouds, most of one class": replace(clouds, train=(x[rare], y[rare]), epochs=30),
    }


def main() -> None:
    """Print the table of docs/reproductions.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=("developed", "held-out"), default="held-out", help="which bodies")
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST, for two more bodies held out")
    options = parser.parse_args()
    bodies = developed() if options.set == "developed" else held_out(options.data)
    named: dict[str, Counter[str]] = {disease: Counter() for disease in ("healthy", *DISEASES)}
    others: list[str] = []
    everyone = [("healthy", name, body) for name, body in bodies.items()] + list(patients(bodies))
    for disease, name, body in everyone:
        diagnosis, skill = body.diagnosis()
        first = diagnosis.findings[0].name if diagnosis.findings else "healthy"
        named[disease][first] += 1
        if first != (DISEASES[disease][0] if disease in DISEASES else "healthy"):
            others.append(
                f"{name}, {disease}: {first} (skill {'none' if skill is None else format(skill, '.2f')})"
            )
    rows, right, count = [], 0, 0
    for disease, found in named.items():
        truth = DISEASES[disease][0] if disease in DISEASES else "healthy"
        wrong = ", ".join(f"{name} {n}" for name, n in found.items() if name != truth)
        rows.append(("", [disease, truth, f"{found[truth]} of {found.total()}", wrong]))
        if disease in DISEASES:
            right, count = right + found[truth], count + found.total()
    headings = ("what was broken", "its diagnosis", "named first", "otherwise")
    write_table(sys.stdout, f"{len(bodies)} bodies, {count} of them broken", headings, rows)
    sys.stdout.write(
        f"Right: {right} of {count} ({right / count:.1%})\n" + "".join(f"- {x}\n" for x in others)
    )


if __name__ == "__main__":
    main()
