"""What can be wrong with the examples."""

import math

from bpkit.inspect.doctor_record import Finding, Record, figures

__all__ = ["constant_feature", "inputs_not_scaled", "not_finite", "only_one_class", "targets_not_scaled"]

SCALE = 10.0
"""Initialisers are made for inputs of mean square 1 (LeCun et al., Efficient BackProp, 1998, section 4.3).
The longest stable step goes down with the square of the inputs: where they are ten times as large it is a
hundredth, shorter than any usual rate makes it."""

SPREAD = 100.0
"""Between deviations of features. The condition number is its square: with steps that the largest feature
allows the others need ten thousand times as many."""

_SCALE_ADVICE = (
    "subtract from each feature its mean over the training data and divide by its standard deviation, and do "
    "the same with the same numbers to what is validated and predicted; leave out features that are "
    "constant, or keep them as they are, since their deviation is 0; or begin with nn.BatchNorm"
)


def not_finite(record: Record) -> Finding | None:
    """NaN or infinity in the data."""
    data, target = record.start.data, record.start.target
    inputs, targets = data.not_finite, 0 if target is None else target.not_finite
    if not inputs + targets:
        return None
    return Finding(
        "NaN in the data",
        "Numbers among the examples are NaN or infinite, and one of them makes the loss and all weights NaN.",
        {"such inputs": inputs, "such targets": targets, "examples": record.start.examples},
        "mend or drop these examples: fit(nan='raise') names the first one and fit(nan='skip') leaves them "
        "out; a division by a deviation of 0 is a common source",
        True,
    )


def constant_feature(record: Record) -> Finding | None:
    """A feature that says nothing."""
    data = record.start.data
    if not data.stuck:
        return None
    place, value = max(zip(data.stuck, data.stuck_values, strict=True), key=lambda pair: abs(pair[1]))
    typical = data.scales[1] if data.scales is not None else 0.0
    everything = data.constant == 1
    # Longer than all others together: it, and not what they say, decides how long a step may be.
    long = value**2 > data.features * (1 - data.constant) * typical**2
    words = (
        "All inputs are the same in every example, so the network cannot tell examples apart."
        if everything
        else f"Feature {place} is {value:.6g} in every example, so it says nothing"
        + (
            ", and it is larger than all others together: it works as a second bias whose steps are too long."
            if long
            else "."
        )
    )
    return Finding(
        "constant feature",
        words,
        {"feature": place, "its value": value, "share of features that are constant": data.constant},
        "find out why it does not vary (a dead sensor, a wrong column, a missing value that was filled in); "
        "leave it out, or subtract its mean",
        everything or (long and not record.useful),
    )


def only_one_class(record: Record) -> Finding | None:
    """Labels that are all the same."""
    classes = record.start.data.classes
    if classes is None or max(classes) < sum(classes) or sum(classes) < 2:
        return None
    accuracy = record.history[-1].metrics.get("validation_accuracy") if record.history else None
    return Finding(
        "only one class",
        f"All examples that were looked at are of class {classes.index(max(classes))}: there is nothing to "
        "tell apart, and nothing else about the training can be judged by them.",
        {"examples": sum(classes)},
        "look where the labels are read; if the training has other classes, give the Recorder examples from "
        "all over it, or diagnose all with data=",
        # What is right on most of what is validated, and not on all, has learnt of other classes.
        accuracy is None or not 0.5 <= accuracy < 1,
    )


def inputs_not_scaled(record: Record) -> Finding | None:
    """Inputs far from mean 0 and deviation 1."""
    data = record.start.data
    if data.largest is None or data.scales is None or data.largest_at in data.stuck:
        return None
    smallest, typical, widest = data.scales
    large, small, uneven = data.largest > SCALE, data.largest < 1 / SCALE, widest > SPREAD * typical
    first = next((layer.layer for layer in record.start.layers if layer.calls), "")
    if "Norm" in first or not (large or small or uneven):
        return None
    limited = any(layer.saturated is not None for layer in record.start.layers)
    how = (
        f"Inputs are as large as {data.largest:.3g} (feature {data.largest_at}), and weights are drawn for "
        "inputs of about 1: the first layer is driven "
        + ("to its limits" if limited else "far from where it was meant to begin")
        + ", and steps that suit the others are too long for it."
        if large
        else f"No input is larger than about {data.largest:.2g}, and weights are drawn for inputs of about "
        "1: the network hardly sees them."
        if small
        else "Some inputs vary a hundred times as much as others, so that no step is right for both."
    )
    return Finding(
        "inputs not scaled",
        how,
        figures(
            {
                "largest root mean square of a feature": data.largest,
                "smallest deviation of a feature": smallest,
                "median deviation": typical,
                "largest deviation": widest,
                "mean": data.mean,
            }
        ),
        _SCALE_ADVICE,
        not record.useful,
    )


def targets_not_scaled(record: Record) -> Finding | None:
    """Targets of a regression far from mean 0 and deviation 1."""
    target, output = record.start.target, record.start.output
    if (
        target is None
        or output is None
        or output.in_unit is not None
        or record.start.data.classes is not None
    ):
        return None
    size = math.hypot(target.mean, target.std)
    if not (size > SCALE or 0 < size < 1 / SCALE):
        return None
    return Finding(
        "targets not scaled",
        f"Targets are of the size {size:.3g}, and the first outputs of a network are of about 1: "
        + (
            "errors and gradients are as large, and the usual steps too long or, with steps of a fixed "
            "length, too short."
            if size > SCALE
            else "errors and gradients are as small, and a loss that seems low says nothing."
        ),
        figures(
            {
                "mean of the targets": target.mean,
                "their deviation": target.std,
                "loss at first": record.start.loss,
                "loss at the end": record.last.loss,
            }
        ),
        "train on (y - mean) / deviation, of the training data, and undo it in what is predicted",
        not record.useful,
    )
