"""The doctor: what is wrong with a training, in words, with the evidence."""

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.inspect import doctor_course, doctor_data, doctor_start
from bpkit.inspect.doctor_record import Finding, Record
from bpkit.inspect.look import Look
from bpkit.training.state import Epoch

__all__ = ["Diagnosis", "Finding", "diagnose"]

Rule = Callable[[Record], Finding | None]

CAUSES: tuple[Rule, ...] = (
    doctor_data.not_finite,
    doctor_data.only_one_class,
    doctor_data.constant_feature,
    doctor_data.inputs_not_scaled,
    doctor_data.targets_not_scaled,
    doctor_start.squashed_twice,
    doctor_start.out_of_reach,
    doctor_start.alike,
    doctor_course.wrong_sign,
    doctor_course.frozen,
    doctor_course.shared,
)
"""What is always asked for, since nothing else brings it about."""

EFFECTS: tuple[Rule, ...] = (
    doctor_start.exploding,
    doctor_start.makes_nan,
    doctor_start.dead,
    doctor_start.too_large,
    doctor_start.vanishing,
    doctor_course.too_slow,
    doctor_course.in_order,
    doctor_course.decay,
    doctor_course.too_fast,
    doctor_course.one_class,
    doctor_course.shuffled,
    doctor_course.overfitting,
    doctor_course.died,
    doctor_course.unexplained,
)
"""What is asked for until something is found that does harm: each can follow from what stands before it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What :func:`diagnose` returns.

    Attributes
    ----------
    findings : tuple of Finding
        Those that do harm first, and causes before what follows from them.
    unseen : str
        What could not be judged, since nothing was given to judge it by; empty where something was.
    """

    findings: tuple[Finding, ...]
    unseen: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that does harm."""
        return not any(finding.grave for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Mappings, lists, strings and numbers."""
        return {"healthy": self.healthy, "findings": [finding.to_json() for finding in self.findings]}

    def __str__(self) -> str:
        out = io.StringIO()
        if self.healthy:
            out.write("Healthy: nothing was found that does harm.\n")
        for number, finding in enumerate(self.findings, 1):
            kind = "" if finding.grave else " (does no harm here)"
            out.write(f"{number}. {finding.name}{kind}\n{_indented(finding.words)}\n")
            out.writelines(f"     {what}: {value:.3g}\n" for what, value in finding.evidence.items())
            out.write(_indented(f"What to do: {finding.advice}") + "\n")
        out.write(self.unseen)
        return out.getvalue().rstrip("\n")


_UNSEEN = (
    "Not looked at: any history (history=fitted.history) or data (data=, validation=), without which "
    "overfitting cannot be judged, nor shuffled labels for certain."
)


def _indented(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="   ", subsequent_indent="   ")


def diagnose(
    looks: Sequence[Look],
    history: Sequence[Epoch] = (),
    *,
    data: Any = None,
    validation: Any = None,
    shuffled: bool | None = None,
) -> Diagnosis:
    """Say what is wrong with a training.

    Parameters
    ----------
    looks : sequence of Look
        Of a :class:`Recorder`, of before the first step if possible; of one alone (:func:`look`) what is
        wrong from the beginning can be told.
    history : sequence of Epoch
        ``fitted.history``, or ``state.metrics``. What was measured on examples to validate is needed to tell
        overfitting and shuffled labels.
    data, validation : pair of arrays (x, y), optional
        All examples to train and to validate. Without `data` the examples of the looks stand for all, and
        with both those are found that are in both.
    shuffled : bool, optional
        Whether the training took its examples in a random order, as `fit` does with arrays; the order of
        those looked at does not tell. Left out, examples in order are blamed only where the losses of the
        batches show it, and else mentioned.

    Returns
    -------
    Diagnosis
        That of a training which diverged is made of the looks until then.

    Raises
    ------
    ArgumentError
        If there are no looks, `data` or `validation` has no examples, or `validation` comes without `data`.

    Notes
    -----
    What is judged is the loss on the examples that were looked at, between that of the best constant output
    and that of right answers. Whoever has more than half of the way behind, and has not lost it again, is
    called ill only for what does harm nevertheless. Where the two are not known, as of several outputs, it is
    enough that the loss has come down.

    Where each limit comes from is said beside it. ``docs/reproductions.md`` shows how often the doctor is
    right.

    Examples
    --------
    >>> from bpkit import inspect, losses, nn, optim, random, training
    >>> from bpkit.data import digits
    >>> train = digits().train
    >>> recorder = inspect.Recorder(losses.softmax_cross_entropy, train.images[:256], train.labels[:256])
    >>> first, second = random.split(random.key(0))
    >>> model = nn.Sequential(nn.Dense(64, 32, key=first), nn.tanh, nn.Dense(32, 10, key=second))
    >>> fitted = training.fit(
    ...     model,
    ...     (train.images, train.labels),
    ...     losses.softmax_cross_entropy,
    ...     optim.sgd(1e-5),
    ...     epochs=3,
    ...     callbacks=[recorder],
    ... )
    >>> diagnosis = inspect.diagnose(recorder.looks, fitted.history)
    >>> diagnosis.healthy, diagnosis.findings[0].name
    (False, 'learning rate too low')
    """
    looks = tuple(looks)
    if not looks or not all(isinstance(look, Look) for look in looks):
        raise ArgumentError(
            "diagnose: looks: expected looks at a network, as a Recorder has that was among the callbacks of "
            f"fit, got {'none' if not looks else type(looks[0]).__name__}"
        )
    if validation is not None and data is None:
        raise ArgumentError("diagnose: validation is compared with data; expected both, got no data")
    for name, pair in (("data", data), ("validation", validation)):
        if pair is not None and not ((leaves := tree.leaves(pair[0])) and len(leaves[0])):
            raise ArgumentError(f"diagnose: {name}: expected arrays (x, y) with examples, got no example")
    record = Record.of(looks, tuple(history), data, validation, shuffled)
    found = [finding for rule in CAUSES if (finding := rule(record)) is not None]
    for rule in EFFECTS:
        if not any(finding.grave for finding in found) and (finding := rule(record)) is not None:
            found.append(finding)
    return Diagnosis(
        tuple(sorted(found, key=lambda finding: not finding.grave)),
        "" if record.history or data is not None else _UNSEEN,
    )
