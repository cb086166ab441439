"""What the targets say beside the inputs and beside the outputs, whatever network has seen them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bpkit import registry, tree
from bpkit.inspect.statistics import Host, on_host
from bpkit.kinds import device_of

__all__ = ["input_figures", "output_figures", "target_figures"]

PAIRS = 1_000
"""Examples that are compared with each other, which takes the square of their number."""

SURE = 15.0
"""A logit of which neither sigmoid nor softmax in float32 can be told from certain: exp(-15) is 3e-7."""

MOST_STUCK = 5
"""Features that are named."""


def input_figures(x: Any) -> dict[str, Any]:
    """The fields of :class:`bpkit.inspect.DataLook` about single features."""
    rows = _features(x)
    figures: dict[str, Any] = {"largest": None, "largest_at": None, "stuck": (), "stuck_values": ()}
    if not rows.size:
        return figures
    scales = np.sqrt(np.mean(rows**2, axis=0))
    varied = np.ptp(rows, axis=0) > 0
    others = rows[:, varied]
    # White paper is the lowest or the highest number of other features, and a column for the bias is 1.
    usual = (float(others.min()), float(others.max()), 1.0) if others.size else ()
    constant = np.nonzero(~varied)[0] if len(rows) > 1 else np.zeros(0, int)
    stuck = [int(i) for i in constant if float(rows[0, i]) not in usual]
    return {
        "largest": float(scales.max()),
        "largest_at": int(scales.argmax()),
        "stuck": tuple(stuck[:MOST_STUCK]),
        "stuck_values": tuple(float(rows[0, i]) for i in stuck[:MOST_STUCK]),
    }


def target_figures(x: Any, y: Any) -> dict[str, Any] | None:
    """The fields of :class:`bpkit.inspect.TargetLook`; None where the targets are not one array."""
    targets = tree.leaves(y)
    if len(targets) != 1 or not len(host := on_host(targets[0])):
        return None
    goal, hot = _goal(host)
    rows = _features(x)
    every = max(1, len(rows) // PAIRS)
    alike, by_chance, noise = _alike(rows[::every], goal[::every], hot)
    return {
        "not_finite": int(host.size - np.count_nonzero(np.isfinite(host))),
        "mean": float(np.abs(goal.mean(axis=0)).max()),
        "std": float(np.sqrt(np.mean(goal.var(axis=0)))),
        "lowest": float(goal.min()),
        "highest": float(goal.max()),
        "alike": alike,
        "by_chance": by_chance,
        "noise": noise,
        "in_order": _agreement(goal[1:], goal[:-1], goal, hot) if len(goal) > 1 else None,
    }


def _features(x: Any) -> Host:
    """The numbers of an example in each row, of those that are finite; integers number words."""
    leaves = [on_host(leaf) for leaf in tree.leaves(x)]
    parts = [leaf.reshape(len(leaf), -1) for leaf in leaves if leaf.dtype.kind == "f"]
    rows = np.concatenate(parts, axis=1) if parts else np.zeros((len(leaves[0]), 0))
    found: Host = np.where(np.isfinite(rows), rows, 0).astype(np.float64)
    return found


def _goal(y: Host) -> tuple[Host, bool]:
    """Targets as rows, and whether they are classes: rows of which one number is 1 and the others are 0."""
    if y.dtype.kind in "iub" and y.ndim == 1:
        found, index = np.unique(y, return_inverse=True)
        if 2 * len(found) > len(y):  # a number of its own for each example is no class
            return y.astype(np.float64)[:, np.newaxis], False
        return (index[:, np.newaxis] == np.arange(len(found))).astype(np.float64), True
    rows = np.where(np.isfinite(y), y, 0).astype(np.float64).reshape(len(y), -1)
    if not np.all((rows == 0) | (rows == 1)):
        return rows, False
    hot = np.concatenate([1 - rows, rows], axis=1) if rows.shape[1] == 1 else rows
    return hot, bool(np.all(hot.sum(axis=1) == 1))


def _alike(x: Host, goal: Host, hot: bool) -> tuple[float | None, float, float]:
    n = len(x)
    if n < 20 or not x.shape[1]:
        return None, 0.0, 0.0
    deviations = x.std(axis=0)
    typical = np.median(deviations[deviations > 0]) if (deviations > 0).any() else 1.0
    # A pixel that is hardly ever black does not count more than the others.
    x = (x - x.mean(axis=0)) / np.maximum(deviations, typical)
    squares = np.sum(x**2, axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * (x @ x.T)
    # Copies of an example have its target, whatever that is; so has the example itself.
    distances[distances < 1e-9 * (1 + squares)] = np.inf
    by_chance = float(np.sum(goal.mean(axis=0) ** 2)) if hot else 0.0
    noise = math.sqrt(by_chance * (1 - by_chance) / n) if hot else 1 / math.sqrt(n)
    return _agreement(goal, goal[distances.argmin(axis=1)], goal, hot), by_chance, noise


def _agreement(first: Host, second: Host, goal: Host, hot: bool) -> float:
    """The share of equal classes; of other targets the correlation, by the mean square of differences."""
    if hot:
        return float(np.mean(np.sum(first * second, axis=1)))
    variance = float(np.sum(goal.var(axis=0)))
    return 1 - float(np.mean(np.sum((first - second) ** 2, axis=1))) / (2 * variance) if variance else 0.0


def output_figures(loss: Callable[[Any, Any], Any], output: Any, y: Any) -> dict[str, Any] | None:
    """The fields of :class:`bpkit.inspect.OutputLook`; None where outputs or targets are not one array."""
    leaves, targets = tree.leaves(output), tree.leaves(y)
    if len(leaves) != 1 or len(targets) != 1:
        return None
    host, truth = on_host(leaves[0]), on_host(targets[0])
    if not host.ndim or not host.size or host.dtype.kind != "f":
        return None
    backend, shape = registry.backend_of(leaves[0]), host.shape
    if host.ndim == 1 and truth.shape == shape:  # a number for each example is a row of one
        host, truth = host[:, np.newaxis], truth[:, np.newaxis]

    def cost(answer: Host) -> float | None:
        like = np.ascontiguousarray(np.broadcast_to(answer, host.shape)).astype(host.dtype).reshape(shape)
        with np.errstate(all="ignore"):
            try:
                found = float(loss(backend.from_host(like, device_of(leaves[0])), y))
            except Exception:  # noqa: BLE001
                # It has taken the network's own outputs before. These answers are made up, and a loss of the
                # user's may refuse them by any exception: then nothing is known about them.
                return None
        return found if math.isfinite(found) else None

    finite = host[np.isfinite(host)]
    figures: dict[str, Any] = dict.fromkeys(
        ("chance", "nothing", "perfect", "in_unit", "accuracy", "answers")
    )
    figures["lowest"], figures["highest"] = (
        (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    )
    goal, labelled = _beside(host, truth)
    if goal is None:
        return figures
    mean = goal.reshape(-1, goal.shape[-1]).mean(axis=0)
    constants = [mean, host.reshape(-1, host.shape[-1]).mean(axis=0)]
    if labelled:
        share = np.clip(mean, 1e-7, 1 - 1e-7)
        constants += [np.log(share), np.log(share / (1 - share))]
    costs = [value for constant in constants if (value := cost(constant)) is not None]
    figures["chance"] = min(costs, default=None)
    figures["nothing"] = cost(np.zeros(host.shape[-1]))
    figures["perfect"] = cost(SURE * (2 * goal - 1)) if labelled else cost(goal)
    if not labelled:
        return figures
    figures["in_unit"] = cost(goal)
    if finite.size == host.size:
        figures |= _answers(host, goal, figures["in_unit"], figures["perfect"])
    return figures


def _answers(output: Host, goal: Host, in_unit: float | None, perfect: float | None) -> dict[str, Any]:
    if output.shape[-1] > 1:
        largest, right = output.argmax(axis=-1), goal.argmax(axis=-1)
    else:
        # Where 1 costs no more than 15 the outputs are probabilities; a logit of 1 is not certain.
        unit = in_unit is not None and (perfect is None or in_unit <= perfect)
        largest, right = (output[..., 0] > (0.5 if unit else 0.0)) * 1, (goal[..., 0] > 0.5) * 1
    counts = np.bincount(largest.reshape(-1), minlength=max(2, output.shape[-1]))
    return {"accuracy": float(np.mean(largest == right)), "answers": tuple(counts.tolist())}


def _beside(output: Host, y: Host) -> tuple[Host | None, bool]:
    """The targets in the shape of the outputs, and whether they are 0 and 1; None if they cannot be had."""
    if y.dtype.kind in "iub" and output.shape[:-1] == y.shape and output.shape[-1] > 1:
        return (y[..., np.newaxis] == np.arange(output.shape[-1])).astype(np.float64), True
    if y.shape != output.shape:
        return None, False
    goal = np.where(np.isfinite(y), y, 0).astype(np.float64)
    return goal, bool(np.all((goal == 0) | (goal == 1)))
