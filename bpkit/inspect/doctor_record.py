"""What the doctor reads off the looks at a training before it judges."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bpkit import tree
from bpkit.inspect.look import LayerLook, Look, look_at_data
from bpkit.inspect.statistics import Host, on_host
from bpkit.training.state import Epoch

__all__ = ["Finding", "Record", "figures", "shared_examples"]

LEARNT = 0.5
"""The part of the way from chance to right answers that a training must have behind it to be called one that
works. Half: a healthy one of the digits has more after its first epoch, one that fails never gets there."""

LOST = 2.0
"""By how much its loss may be above its lowest: as much as batches of 32 let it rise and fall, not more."""


GAP = 0.3
"""Between skills on what is trained on and what is validated. Half of it is not rare in healthy trainings."""

ROWS = 10_000
"""Examples that the data are judged by: a mean of so many is right to a hundredth of a deviation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor has found.

    Attributes
    ----------
    name : str
        Always the same for the same thing.
    words : str
        What is wrong, in a plain sentence.
    evidence : mapping of str to float
        The figures that it was told by.
    advice : str
        What to do next.
    grave : bool
        Whether it does harm in this training. What does none is worth knowing.
    """

    name: str
    words: str
    evidence: Mapping[str, float]
    advice: str
    grave: bool

    def to_json(self) -> dict[str, Any]:
        """A mapping of strings, numbers and another one."""
        return {**asdict(self), "evidence": dict(self.evidence)}


@dataclass(frozen=True, slots=True)
class Record:
    """Looks at one training, and what follows from them at once.

    Attributes
    ----------
    looks : tuple of Look
    history : tuple of Epoch
    shared : float or None
        The share of the examples to validate that are also examples to train.
    start : Look
        The first look.
    last : Look
        The last one with a finite loss; the first if there is none.
    untouched : bool
        Whether no step had been taken before the first look.
    diverged : bool
        Whether the last look has a loss or layers that are not finite.
    shuffled : bool or None
        Whether the training took its examples in a random order; None where nobody has said.
    chance, perfect : float or None
        The loss of the best constant output, and that of right answers.
    """

    looks: tuple[Look, ...]
    history: tuple[Epoch, ...]
    shared: float | None
    start: Look
    last: Look
    untouched: bool
    diverged: bool
    shuffled: bool | None
    chance: float | None
    perfect: float | None

    @classmethod
    def of(
        cls,
        looks: Sequence[Look],
        history: tuple[Epoch, ...],
        data: Any,
        validation: Any,
        shuffled: bool | None = None,
    ) -> "Record":
        """Sort the looks and read them; where the data are given, they stand for the examples looked at."""
        ordered = sorted(looks, key=lambda look: (look.epoch, look.step))
        shared = None
        if data is not None:
            seen, target = look_at_data(*tree.map(_thinned, tuple(data)))
            bad = [sum(_not_finite(leaf) for leaf in tree.leaves(part)) for part in data]
            seen, target = replace(seen, not_finite=bad[0]), target and replace(target, not_finite=bad[1])
            ordered[0] = replace(ordered[0], data=seen, target=target, examples=len(tree.leaves(data)[0]))
            if validation is not None:
                shared = shared_examples(tree.leaves(data[0]), tree.leaves(validation[0]))
        start, end = ordered[0], ordered[-1]
        finite = [look for look in ordered if look.loss is not None]
        outputs = [look.output for look in ordered if look.output is not None]
        chances = [output.chance for output in outputs if output.chance is not None]
        perfects = [output.perfect for output in outputs if output.perfect is not None]
        return cls(
            looks=tuple(ordered),
            history=history,
            shared=shared,
            start=start,
            last=finite[-1] if finite else start,
            untouched=not (start.epoch or start.step),
            diverged=end.loss is None or any(layer.not_finite for layer in end.layers),
            shuffled=shuffled,
            chance=min(chances, default=None),
            perfect=min(perfects, default=None),
        )

    def skill(self, loss: float | None) -> float | None:
        """How far a loss is on the way from chance (0) to right answers (1); worse than chance is below 0."""
        if loss is None or self.chance is None:
            return None
        perfect = self.perfect or 0.0
        return (self.chance - loss) / (self.chance - perfect) if self.chance > perfect else None

    def _gained(self, loss: float | None) -> float | None:
        """How far a loss is on the way from the first one to 0, or to the lowest: a skill without chance."""
        first, lowest = self.start.loss, self.lowest
        if self.diverged or first is None or lowest is None or loss is None or lowest >= first:
            return None
        return (first - loss) / (first - min(0.0, lowest))

    @property
    def learnt(self) -> float | None:
        """The skill at the end."""
        return None if self.diverged else self.skill(self.last.loss)

    @property
    def lowest(self) -> float | None:
        """The lowest loss of all looks."""
        return min((look.loss for look in self.looks if look.loss is not None), default=None)

    @property
    def fallen(self) -> bool:
        """Whether the loss ends below the first, with half or more of what it had gained at its lowest."""
        first, last, lowest = self.start.loss, self.last.loss, self.lowest
        if self.diverged or first is None or last is None or lowest is None:
            return False
        return last < first and first - last >= LEARNT * (first - lowest)

    @property
    def works(self) -> bool:
        """Whether it has learnt, and not lost it again; without chance, whether the loss has come down."""
        if self.chance is None:
            return self.fallen
        if self.learnt is None or self.last.loss is None or self.lowest is None:
            return False
        # Near 0 a loss may be doubled and mean nothing.
        near = self.lowest + 0.1 * (self.chance - (self.perfect or 0.0))
        return self.learnt >= LEARNT and self.last.loss <= max(LOST * self.lowest, near)

    @property
    def by_heart(self) -> bool:
        """Whether it is far better on what it is trained on than on what is validated."""
        last = self.history[-1].metrics if self.history else {}
        if losses := self.validation:
            learnt, validated = (
                (self._gained(self.last.loss), self._gained(losses[-1]))
                if self.chance is None
                else (self.learnt, self.skill(losses[-1]))
            )
            return (
                learnt is not None and validated is not None and learnt >= LEARNT and learnt - validated > GAP
            )
        train, held = last.get("train_accuracy"), last.get("validation_accuracy")
        return train is not None and held is not None and train - held > GAP / 2

    @property
    def useful(self) -> bool:
        """Whether it works, and on other examples too: then nothing that is present does harm."""
        return self.works and not self.by_heart

    @property
    def validated(self) -> bool:
        """Whether it is good on what is validated, whatever the examples looked at say."""
        accuracy = self.history[-1].metrics.get("validation_accuracy") if self.history else None
        if accuracy is not None and accuracy >= self.majority + LEARNT * (1 - self.majority):
            return True
        skill = self.skill(self.validation[-1]) if self.validation else None
        return skill is not None and skill >= LEARNT

    @property
    def majority(self) -> float:
        """The share of the most frequent class; 0 where there are none."""
        classes = self.start.data.classes
        return max(classes) / sum(classes) if classes else 0.0

    @property
    def validation(self) -> tuple[float, ...]:
        """The losses of validation, epoch by epoch."""
        found = [epoch.metrics.get("validation_loss") for epoch in self.history]
        return tuple(loss for loss in found if loss is not None and loss == loss)

    def weighted(self, look: Look) -> list[LayerLook]:
        """The layers that have parameters and were called, in the order of the calls."""
        return [layer for layer in look.layers if layer.calls and layer.parameters + layer.frozen]

    def plain(self, look: Look) -> list[LayerLook]:
        """The layers without parameters: activations and the like. Dropout makes zeros on purpose."""
        return [
            layer
            for layer in look.layers
            if layer.calls and not layer.parameters + layer.frozen and not layer.layer.startswith("Dropout")
        ]

    def at_end(self) -> dict[str, float]:
        """The losses that most findings are told by."""
        return figures(
            {
                "loss at first": self.start.loss,
                "loss at the end": self.last.loss,
                "loss by chance": self.chance,
            }
        )


def _thinned(leaf: Any) -> Any:
    """Rows from all over an array."""
    host = on_host(leaf)
    return host[:: max(1, len(host) // ROWS)]


def _not_finite(leaf: Any) -> int:
    host = on_host(leaf)
    return int(np.sum(~np.isfinite(host))) if host.dtype.kind in "fc" else 0


def figures(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are there."""
    return {what: float(value) for what, value in values.items() if value is not None}


def shared_examples(train: Sequence[Any], validation: Sequence[Any]) -> float:
    """The share of examples to validate that are also examples to train, less that of repeated ones there."""
    if len(train) != len(validation):
        return 0.0
    pairs = [_alike(on_host(a), on_host(b)) for a, b in zip(train, validation, strict=True)]

    def keys(parts: Sequence[Host]) -> list[bytes]:
        return [b"".join(part[i].tobytes() for part in parts) for i in range(len(parts[0]))]

    known, asked = keys([a for a, _ in pairs]), keys([b for _, b in pairs])
    seen = set(known)
    # Of examples with few different values many are equal by chance, in training itself too.
    by_chance = 1 - len(seen) / len(known)
    return max(0.0, sum(key in seen for key in asked) / len(asked) - by_chance)


def _alike(first: Host, second: Host) -> tuple[Host, Host]:
    """Two arrays in one dtype: of two floating ones the narrower, as the wider may not be rounded yet."""
    dtype = np.result_type(first.dtype, second.dtype)
    if first.dtype.kind == second.dtype.kind == "f":
        dtype = min(first.dtype, second.dtype, key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):
        return first.astype(dtype, copy=False), second.astype(dtype, copy=False)
