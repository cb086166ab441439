"""The plots of a report and what is written beside them."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bpkit.inspect import LayerLook, Look
from bpkit.report.layers import UPDATES, innermost, name_of, spread
from bpkit.report.plots import FAR, Line, draw_histogram, draw_lines
from bpkit.training.state import Epoch

__all__ = [
    "Plot",
    "Section",
    "Table",
    "histograms",
    "layer_table",
    "layers_over_time",
    "places",
    "progress",
    "share",
    "short",
]

MOST_LINES = 12
MOST_ROWS = 60
_COLOURS = ("--one", "--two", "--three", "--four", "--five")
_SHADES = 10


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows.

    Attributes
    ----------
    caption : str
    headings : sequence of str
    rows : sequence of sequences of str
    words : int
        How many columns, from the left, are no numbers.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 0


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its words; `key` has name and colour of each line."""

    title: str
    text: str
    svg: str
    key: Sequence[tuple[str, str]] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Plots under one heading."""

    title: str
    text: str
    plots: Sequence[Plot]
    small: bool = False


def short(x: float | None) -> str:
    """A number for people, and a dash for none."""
    if x is None or not math.isfinite(x):
        return "–"
    if 999.5 <= abs(x) < 1e9:
        return f"{x:,.0f}".replace("-", "−")
    return re.sub(r"e([+-])0*", r"e\1", f"{x:.3g}").replace("e+", "e").replace("-", "−")


def share(x: float | None) -> str:
    """A share in per cent."""
    return "–" if x is None or not math.isfinite(x) else f"{x:.1%}".replace("%", " %")


def progress(history: Sequence[Epoch], looks: Sequence[Look]) -> Section:
    """The curves of loss, accuracy, and whatever else was measured; before the first epoch of looks."""
    if not history:
        x_label, x = places(looks, None)
        line = Line("loss", x, [look.loss for look in looks], _COLOURS[0])
        text = f"The cost of the {looks[0].examples:,} examples that were looked at."
        at = [_when(look) for look in looks]
        plot = _plot([line], "Loss", text, x_label, "loss", False, None, at, _broken(looks))
        return Section("How it learns", "", [plot])
    names = list(dict.fromkeys(name for epoch in history for name in epoch.metrics))
    losses = ["loss", *(name for name in names if name.endswith("_loss"))]
    accuracies = [name for name in names if name.endswith("accuracy")]
    rest = [name for name in names if name not in (*losses, *accuracies)]
    text = (
        "What training makes small: the mean over the examples of an epoch, each taken before the step that "
        "it contributed to."
    )
    if looks and looks[-1].loss is None and looks[-1].epoch == len(history):
        # The epoch in which it diverged has no end.
        text += f" It diverged: after {_when(looks[-1])} the loss was no longer finite."
        plots = [_of_history([*history, Epoch(len(history) + 1, math.nan, {}, 0, 0)], losses, "Loss", text)]
    else:
        plots = [_of_history(history, losses, "Loss", text)]
    if accuracies:
        plots.append(
            _of_history(
                history,
                accuracies,
                "Accuracy",
                "The share of examples whose class is right. Training far above validation: the network "
                "learns the examples by heart.",
                percent=True,
            )
        )
    plots += [_of_history(history, [name], _spoken(name), "Measured after each epoch.") for name in rest]
    return Section("How it learns", "", plots)


def layers_over_time(looks: Sequence[Look], steps: int | None) -> Section:
    """Error, speed, update ratio, saturated and dead shares of each layer; `steps` are those of an epoch."""
    first = looks[0]
    text = (
        f"Always through the same {first.examples:,} examples."
        if len({look.examples for look in looks}) == 1
        else "Through a batch of examples."
    )
    plots = []
    for title, words, label, read, kind in _SIGNS:
        found = [i for i in innermost(first) if _suits(first.layers[i], kind)]
        found = [i for i in found if any(read(look.layers[i]) is not None for look in looks)]
        layers = [i for i in found if any(read(look.layers[i]) for look in looks)] if kind == "any" else found
        if found and not layers:
            text += f" {title}: none, in no layer and no look."
        elif len(layers) < len(found):
            words += " Layers that never had any are left out."
        if layers:
            plots.append(_of_layers(looks, steps, layers, title, words, label, read, kind))
    return Section("What the gradient says about the layers", text, plots)


def histograms(looks: Sequence[Look]) -> Section:
    """What each layer returns, at the end and at the beginning."""
    first, last = looks[0], looks[-1]
    layers = [i for i in innermost(last) if last.layers[i].histogram]
    plots = []
    for i in spread(layers, MOST_LINES):
        layer, before = last.layers[i], first.layers[i].histogram
        histogram = layer.histogram
        if histogram is None:
            continue
        mean, std = short(layer.output_mean), short(layer.output_std)
        svg = draw_histogram(
            histogram.edges,
            histogram.counts,
            (before.edges, before.counts) if before is not None and len(looks) > 1 else None,
            words=f"Histogram of what {name_of(layer)} returns: mean {mean}, standard deviation {std}",
            colour=_shade(i, len(last.layers)),
        )
        plots.append(Plot(name_of(layer), f"mean {mean}, standard deviation {std}", svg))
    text = "How often a layer returns which number. "
    text += "Filled: in the last look; outlined: in the first." if len(looks) > 1 else ""
    return Section("What the layers return", text + _thinned(len(layers)), plots, small=True)


def layer_table(look: Look) -> Table:
    """All layers as they were in the last look."""
    headings = (
        *("place", "layer", "units", "parameters", "output", "zero", "saturated", "dead", "error"),
        *("speed", "gradient", "weight", "update/weight"),
    )
    rows = [
        (
            layer.place or "(all)",
            layer.layer,
            "–" if layer.units is None else f"{layer.units:,}",
            f"{layer.parameters + layer.frozen:,}{' frozen' if layer.frozen else ''}",
            "–" if layer.output_mean is None else f"{short(layer.output_mean)} ± {short(layer.output_std)}",
            share(layer.zeros),
            share(layer.saturated),
            share(layer.dead),
            *map(short, (layer.error, layer.speed, layer.gradient_norm, layer.weight_norm)),
            short(layer.update_ratio),
        )
        for layer in look.layers
    ]
    return Table(f"Seen after {_when(look)}; a dash: there is no such number", headings, rows, words=2)


def _of_history(
    history: Sequence[Epoch], names: Sequence[str], title: str, text: str, percent: bool = False
) -> Plot:
    x = [float(epoch.epoch) for epoch in history]
    lines = [
        Line(_spoken(name), x, [_value(epoch, name) for epoch in history], _COLOURS[i % len(_COLOURS)])
        for i, name in enumerate(names)
    ]
    at = [f"epoch {epoch.epoch}" for epoch in history]
    return _plot(lines, title, text, "epoch", title.lower(), percent, None, at, [False] * len(at))


def _value(epoch: Epoch, name: str) -> float | None:
    return epoch.loss if name == "loss" else epoch.metrics.get(name)


def _spoken(name: str) -> str:
    return name.replace("_", " ")


Read = Callable[[LayerLook], float | None]

# What is plotted of each layer: title, words, the axis, the number, and which layers have it.
_SIGNS: tuple[tuple[str, str, str, Read, str], ...] = (
    (
        "Error of each layer",
        "The book's δ, dC/d(output): how strongly the cost reacts to what a layer returns. Powers of ten "
        "between the last layer and the first: the gradient vanishes or explodes on its way back.",
        "error (norm)",
        lambda layer: layer.error,
        "learns",
    ),
    (
        "Speed of learning",
        "The norm of dC/db of a layer's biases, as in chapter 5 of Nielsen's book. In deep networks of "
        "sigmoids the first layers are the slowest.",
        "‖dC/db‖",
        lambda layer: layer.speed,
        "learns",
    ),
    (
        "Update-to-weight ratio",
        "How far one step moves the weights of a layer, in parts of their norm. By a rule of thumb about "
        "0.001 (the tinted band): far above, steps are too long; far below, the layer hardly learns.",
        "update / weight",
        lambda layer: layer.update_ratio,
        "learns",
    ),
    (
        "Saturated outputs",
        "The share of outputs within 5 % of a limit of sigmoid or tanh, where the slope is near 0 and "
        "learning is slow.",
        "saturated",
        lambda layer: layer.saturated,
        "any",
    ),
    (
        "Dead units",
        "The share of units that return the same for every example: they say nothing, and behind a ReLU "
        "they never learn again.",
        "dead",
        lambda layer: layer.dead,
        "any",
    ),
)


def _of_layers(
    looks: Sequence[Look],
    steps: int | None,
    layers: Sequence[int],
    title: str,
    words: str,
    label: str,
    read: Read,
    kind: str,
) -> Plot:
    x_label, x = places(looks, steps)
    chosen = spread(layers, MOST_LINES)
    count = len(layers)
    lines = [
        Line(
            name_of(looks[0].layers[i]),
            x,
            [read(look.layers[i]) for look in looks],
            _shade(layers.index(i), count),
        )
        for i in chosen
    ]
    at = [_when(look) for look in looks]
    band = UPDATES if title.startswith("Update") else None
    percent = kind == "any"
    return _plot(lines, title, words + _thinned(count), x_label, label, percent, band, at, _broken(looks))


def _broken(looks: Sequence[Look]) -> list[bool]:
    """At which looks the network had diverged, so that a number that is missing was not finite."""
    return [look.loss is None for look in looks]


def _plot(
    lines: Sequence[Line],
    title: str,
    text: str,
    x_label: str,
    y_label: str,
    percent: bool,
    band: tuple[float, float] | None,
    at: Sequence[str],
    broken: Sequence[bool],
) -> Plot:
    lines = [replace(line, lost=_lost(line.y, broken)) for line in lines]
    if count := sum(len(line.lost) for line in lines):
        text += f" A cross at the upper edge: not finite, or too large to be drawn ({count} in all)."
    known = [y for line in lines for y in line.y if y is not None and abs(y) < FAR]
    positive = [y for y in known if y > 0]
    log = not percent and bool(positive) and (band is not None or max(positive) > 20 * min(positive))
    zeros = len(known) - len(positive)
    if log and zeros:
        text += f" {zeros} values that are not above 0 have no place on this scale of powers of ten."
    show = share if percent else short
    words = f"{title}: " + "; ".join(
        f"{line.name} from {show(_first(line.y))} to {show(_first(line.y[::-1]))}" for line in lines
    )
    svg = draw_lines(
        lines,
        words=words,
        x_label=x_label,
        y_label=y_label,
        log=log,
        share=percent,
        band=band if log else None,
    )
    rows = [(at[i], *(show(line.y[i]) for line in lines)) for i in spread(range(len(at)), MOST_ROWS)]
    table = Table(title, ("after", *(line.name for line in lines)), rows, words=1)
    key = (
        [(line.name, line.colour) for line in lines] if len(lines) > 1 else [(lines[0].name, lines[0].colour)]
    )
    return Plot(title, text, svg, key, table)


def _lost(values: Sequence[float | None], broken: Sequence[bool]) -> list[int]:
    """Which values are not finite or too large to be drawn; None is one where the network had diverged."""
    return [
        i
        for i, y in enumerate(values)
        if (broken[i] if y is None else not abs(y) < FAR)  # NaN is not below
    ]


def places(looks: Sequence[Look], steps: int | None) -> tuple[str, list[float]]:
    """Where looks are on an axis, and what it counts: epochs, or in the first one steps."""
    if not any(look.epoch for look in looks):
        return "step", [float(look.step) for look in looks]
    last = max(look.step for look in looks) + 1
    whole = max(last, 2 * last if steps is None else steps)
    return "epoch", [look.epoch + look.step / whole for look in looks]


def _when(look: Look) -> str:
    if not look.step:
        return f"epoch {look.epoch}" if look.epoch else "start"
    return f"step {look.step:,} of epoch {look.epoch + 1}"


def _first(values: Sequence[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _suits(layer: LayerLook, kind: str) -> bool:
    return kind == "any" or bool(layer.parameters or layer.frozen)


def _shade(number: int, count: int) -> str:
    """A colour for a layer's depth, from the first to the last."""
    return f"--layer-{round(number / max(1, count - 1) * (_SHADES - 1))}"


def _thinned(count: int) -> str:
    return f" {MOST_LINES} of {count} layers, evenly spread." if count > MOST_LINES else ""
