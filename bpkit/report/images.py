"""What a network reads in test images, and what dC/dx says about them."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import nn, registry
from bpkit.inspect import sensitivity
from bpkit.report.sections import share, short
from bpkit.training import PlacedSplit, Settings, build_cost

__all__ = ["Cell", "Images", "Pair", "Row", "examine"]

MISTAKES = 12
AT_A_TIME = 10_000

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """An image beside its sensitivity, both as ``data:`` addresses.

    Attributes
    ----------
    image, map : str
    label : int
    largest : str
        The end of the scale of `map`.
    words : str
        What it is and what the network reads.
    outputs : str
        What the network returns for these.
    """

    image: str
    map: str
    label: int
    largest: str
    words: str
    outputs: str


@dataclass(frozen=True, slots=True)
class Cell:
    """How many images of a class were read as another, and which part of the class that is."""

    count: int
    part: float


@dataclass(frozen=True, slots=True)
class Row:
    """A class in the confusion matrix."""

    label: int
    cells: Sequence[Cell]
    found: str


@dataclass(frozen=True, slots=True)
class Images:
    """What :func:`examine` has found."""

    text: str
    examples: Sequence[Pair]
    mistakes_text: str
    mistakes: Sequence[Pair]
    confusion_text: str
    classes: Sequence[int]
    confusion: Sequence[Row]


def examine(model: Any, settings: Settings, split: PlacedSplit) -> Images:
    """Read the images of a split, and ask the gradient about some of them.

    Parameters
    ----------
    model : Module
        From images to logits.
    settings : Settings
        Its cost, and what it was trained on.
    split : PlacedSplit
        On the current backend and device, as the model.

    Returns
    -------
    Images
    """
    read = nn.softmax if settings.cost == "softmax" else nn.sigmoid
    outputs = np.concatenate(
        [
            _host(read(model(split.images[start : min(start + AT_A_TIME, len(split)), ...])))
            for start in range(0, len(split), AT_A_TIME)
        ]
    )
    labels, answers = _host(split.labels), np.argmax(outputs, axis=1)
    classes = outputs.shape[1]
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (labels, answers), 1)
    firsts = [int(np.argmax(labels == label)) for label in range(classes) if label in labels]
    wrong = np.flatnonzero(answers != labels)
    # NaN, of a network that has diverged, counts as 0.
    margin = np.nan_to_num(outputs[wrong, answers[wrong]] - outputs[wrong, labels[wrong]])
    worst = wrong[np.argsort(-margin, kind="stable")][:MISTAKES].tolist()
    right = int(np.trace(counts))
    return Images(
        text=(
            "The first test image of each class, and beside it dC/dx, the derivative of its cost with "
            "respect to each pixel: orange where more ink would raise the cost, purple where it would "
            "lower it. Each map has a scale of its own; the number is its end."
        ),
        examples=_pairs(model, settings, split, firsts, outputs),
        mistakes_text=(
            f"{len(wrong):,} of {len(labels):,} test images are read wrongly. These are the ones where the "
            "wrong answer is furthest ahead of the right one."
        ),
        mistakes=_pairs(model, settings, split, worst, outputs),
        confusion_text=(
            f"Of {len(labels):,} test images {right:,} are read right. "
            "The stronger the colour, the larger the part of a row."
        ),
        classes=range(classes),
        confusion=[_row(i, counts[i]) for i in range(classes)],
    )


def _row(label: int, counts: Array) -> Row:
    total = int(counts.sum())
    cells = [Cell(int(count), int(count) / max(1, total)) for count in counts]
    return Row(label, cells, share(cells[label].part if total else None))


def _pairs(
    model: Any, settings: Settings, split: PlacedSplit, chosen: Sequence[int], outputs: Array
) -> list[Pair]:
    if not chosen:
        return []
    backend, device = registry.current()
    where = backend.from_host(np.asarray(chosen, np.int32), device)
    x, y = (xp.take(part, where, axis=0) for part in (split.images, split.targets))
    maps = _host(sensitivity(model, build_cost(settings), x, y))
    images, labels = _host(x), np.argmax(_host(y), axis=1)
    side = math.isqrt(images.shape[1])
    found = []
    for image, slope, label, output in zip(images, maps, labels, outputs[chosen], strict=True):
        answer = int(np.argmax(output))
        said = [answer] if answer == label else [answer, int(label)]
        end = float(np.max(np.abs(slope), initial=0.0))
        end = end if math.isfinite(end) else 0.0
        found.append(
            Pair(
                image=_picture(1 - image.reshape(side, side), "gray", 0.0, 1.0),
                map=_picture(slope.reshape(side, side), "PuOr_r", -end or -1.0, end or 1.0),
                label=int(label),
                largest=short(end),
                words=f"{label}, read as {answer}",
                outputs=", ".join(f"{each}: {share(float(output[each]))}" for each in said),
            )
        )
    return found


def _picture(pixels: Array, colours: str, low: float, high: float) -> str:
    """Numbers as a PNG in a ``data:`` address."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, pixels, vmin=low, vmax=high, cmap=colours, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _host(x: Any) -> Array:
    return np.asarray(registry.backend_of(x).to_host(x))
