"""What arrays say, as numbers: in NumPy's float64, on the host."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import nn, registry, tree
from bpkit.inspect.observe import Observation, ObservedLayer, parameters_of
from bpkit.kinds import is_real
from bpkit.nn.watching import modules

__all__ = ["data_figures", "layer_figures"]

Host = np.ndarray[Any, Any]

BINS = 30
"""Of a histogram."""

NEAR = 0.05
"""How near to a limit is saturated, in parts of the distance between the two."""

LIMITS = {
    nn.sigmoid: (0.0, 1.0),
    nn.hardsigmoid: (0.0, 1.0),
    nn.tanh: (-1.0, 1.0),
    nn.hardtanh: (-1.0, 1.0),
    nn.softsign: (-1.0, 1.0),
}
"""Of the activations that have a lower and an upper one, between which they rise."""

MOST_CLASSES = 10_000
"""Integers above it are no labels."""

_CHANNELS_FIRST = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def layer_figures(
    seen: Observation, model: Any, before: Any, steps: int, examples: int
) -> Iterator[dict[str, Any]]:
    """The fields of :class:`bpkit.inspect.LayerLook` for each layer; a histogram as a pair."""
    found = dict(modules(model))
    parameters = parameters_of(model)
    past = {} if before is None else parameters_of(before)
    axis, dims = -1, 0
    for layer in seen.layers:
        own = {name: on_host(x) for name, x in parameters.get(layer.place, {}).items()}
        outputs = [on_host(x) for x in layer.outputs]
        # Channels stay where a convolution put them, until something returns another number of axes.
        if outputs and isinstance(found[layer.place], _CHANNELS_FIRST):
            axis, dims = 1, outputs[0].ndim
        elif outputs and outputs[0].ndim != dims:
            axis, dims = (1, 4) if outputs[0].ndim == 4 else (-1, outputs[0].ndim)
        weights = _norm(own.values())
        moved = {name: x - on_host(past[layer.place][name]) for name, x in own.items() if layer.place in past}
        update = _norm(moved.values()) if own and moved else None
        update = None if update is None else update / steps
        errors = [on_host(x) for x in layer.errors]
        gradients = {name: on_host(x) for name, x in layer.gradients.items()}
        error = _norm(errors) if errors else None
        yield {
            "place": layer.place,
            "layer": layer.layer,
            "calls": len(outputs),
            "parameters": sum(x.size for x in gradients.values()),
            "frozen": sum(x.size for name, x in own.items() if name not in gradients),
            **_output_figures(found[layer.place], outputs, axis),
            "not_finite": sum(
                _not_finite(x) for x in [*outputs, *errors, *own.values(), *gradients.values()]
            ),
            # C is a mean, so the δ of an example is its row times the number of examples.
            "error": None if error is None else _finite(error * math.sqrt(examples)),
            "weight_norm": weights if own else None,
            "gradient_norm": _norm(gradients.values()) if gradients else None,
            "speed": _speed(layer),
            "update_norm": update,
            "update_ratio": update / weights if update is not None and weights else None,
        }


def _output_figures(module: Any, outputs: list[Host], axis: int) -> dict[str, Any]:
    names = ("units", "output_mean", "output_std", "zeros", "saturated", "dead", "twins", "histogram")
    if not outputs or not sum(x.size for x in outputs):
        return dict.fromkeys(names)
    flat = np.concatenate([np.abs(x).ravel() if x.dtype.kind == "c" else x.ravel() for x in outputs])
    flat = flat.astype(np.float64)
    finite = flat[np.isfinite(flat)]
    function = module.function if isinstance(module, nn.Lambda) else None
    saturated = None
    if function in LIMITS:
        low, high = LIMITS[function]
        near = NEAR * (high - low)
        saturated = float(np.mean((flat < low + near) | (flat > high - near)))
    first = outputs[0]
    units = first.shape[axis] if first.ndim else 1
    # One row for each number that a unit has returned.
    rows = [np.moveaxis(x, axis, -1).reshape(-1, units) for x in outputs if x.ndim and x.shape[axis] == units]
    histogram = None
    if finite.size:
        low, high = float(np.min(finite)), float(np.max(finite))
        # Numbers that differ in their last bits only have no 30 edges between them.
        size = max(abs(low), abs(high))
        margin = 0.0 if high - low > 1e-9 * size else max(0.5, 1e-6 * size)
        counts, edges = np.histogram(finite, BINS, (low - margin, high + margin))
        histogram = tuple(edges.tolist()), tuple(counts.tolist())
    return {
        "units": units,
        "output_mean": _finite(np.mean(flat)),
        "output_std": _finite(np.std(flat)),
        "zeros": float(np.mean(flat == 0)),
        "saturated": saturated,
        "dead": _constant(np.concatenate(rows)) if rows else None,
        "twins": _twins(np.concatenate(rows)) if rows else None,
        "histogram": histogram,
    }


def _speed(layer: ObservedLayer) -> float | None:
    biases = [on_host(x) for name, x in layer.gradients.items() if "bias" in name.rpartition(".")[2]]
    return _norm(biases) if biases else None


def data_figures(x: Any, y: Any) -> dict[str, Any]:
    """The fields of :class:`bpkit.inspect.DataLook`."""
    rows = np.concatenate([_rows(on_host(leaf)) for leaf in tree.leaves(x)], axis=1)
    finite = rows[np.isfinite(rows)]
    stds = np.std(rows, axis=0)
    stds = stds[np.isfinite(stds) & (stds > 0)]
    return {
        "features": rows.shape[1],
        "mean": float(np.mean(finite)) if finite.size else None,
        "std": float(np.std(finite)) if finite.size else None,
        "lowest": float(np.min(finite)) if finite.size else None,
        "highest": float(np.max(finite)) if finite.size else None,
        "scales": tuple(float(f(stds)) for f in (np.min, np.median, np.max)) if stds.size else None,
        "constant": _constant(rows) or 0.0,
        "not_finite": _not_finite(rows),
        "classes": _classes(y),
    }


def _rows(x: Host) -> Host:
    return np.reshape(x, (x.shape[0], -1)).astype(np.float64)


def _classes(y: Any) -> tuple[int, ...] | None:
    targets = tree.leaves(y)
    if len(targets) != 1:
        return None
    target = on_host(targets[0])
    if target.ndim == 2 and target.shape[1] > 1:
        if not (np.all((target == 0) | (target == 1)) and np.all(np.sum(target, axis=1) == 1)):
            return None
        return tuple([int(count) for count in np.sum(target, axis=0)])
    if target.ndim != 1 or target.dtype.kind not in "iu" or not target.size:
        return None
    if np.min(target) < 0 or np.max(target) > MOST_CLASSES:
        return None
    return tuple([int(count) for count in np.bincount(target.astype(np.int64))])


def _constant(rows: Host) -> float | None:
    """The share of columns in which all numbers are the same; None where one row cannot tell."""
    return float(np.mean(np.all(rows == rows[:1], axis=0))) if len(rows) > 1 and rows.shape[1] else None


def _twins(rows: Host) -> float | None:
    """The share of columns that vary and are the same as another one."""
    if len(rows) < 2 or not rows.shape[1]:
        return None
    varied = rows[:, np.any(rows != rows[:1], axis=0)].astype(np.float64)
    # Of equal columns sums are equal, up to their rounding; those of others hardly ever.
    with np.errstate(invalid="ignore"):
        sums = np.sort(np.cos(np.arange(len(rows))) @ varied)
        near = np.diff(sums) <= 1e-6 * np.max(np.abs(sums), initial=0)
    alike = np.append(near, False) | np.append(False, near)
    return float(np.sum(alike) / rows.shape[1])


def _norm(arrays: Any) -> float | None:
    """The norm of several arrays taken together; None if it is not finite."""
    return _finite(math.sqrt(sum(float(np.sum(np.square(np.abs(x), dtype=np.float64))) for x in arrays)))


def _finite(x: Any) -> float | None:
    return float(x) if math.isfinite(x) else None


def _not_finite(x: Host) -> int:
    return int(x.size - np.count_nonzero(np.isfinite(x)))


def on_host(x: Any) -> Host:
    """An array of any library as NumPy has it; floats of 16 bits as float32, since it has no bfloat16."""
    library = registry.backend_of(x).xp
    if is_real(x) and x.dtype not in (library.float32, library.float64):
        x = xp.astype(x, "float32")
    host: Host = np.asarray(registry.backend_of(x).to_host(x))
    return host
