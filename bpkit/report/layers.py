"""Which of the layers in a look are shown, and what is a usual step."""

from collections.abc import Sequence
from typing import TypeVar

from bpkit.inspect import LayerLook, Look

__all__ = ["UPDATES", "alike", "innermost", "name_of", "spread"]

Value = TypeVar("Value")

UPDATES = (3e-4, 3e-3)
"""Of a weight's size, what a step usually changes: about 1 in 1,000, as the notes of Stanford's course CS231n
have it (Neural Networks Part 3, "Ratio of weights:updates")."""


def alike(looks: Sequence[Look]) -> list[Look]:
    """Those at the same layers as the last: a model may have been changed before its training went on."""
    seen = [[(layer.place, layer.layer) for layer in look.layers] for look in looks]
    return [look for look, layers in zip(looks, seen, strict=True) if layers == seen[-1]]


def innermost(look: Look) -> list[int]:
    """The numbers of those layers that hold no others; the others return what these do."""
    places = [layer.place for layer in look.layers]
    return [
        i
        for i, place in enumerate(places)
        if len(places) == 1
        or (place and not any(other.startswith((f"{place}.", f"{place}[")) for other in places))
    ]


def name_of(layer: LayerLook) -> str:
    """Where it is and what it is."""
    return f"{layer.place} {layer.layer}".strip()


def spread(values: Sequence[Value], most: int) -> list[Value]:
    """Some of many, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
