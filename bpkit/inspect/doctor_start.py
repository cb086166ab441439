"""What can be wrong with a network before its first step."""

from bpkit.inspect.doctor_record import Finding, Record, figures
from bpkit.inspect.look import LayerLook

__all__ = [
    "alike",
    "dead",
    "exploding",
    "makes_nan",
    "out_of_reach",
    "squashed_twice",
    "too_large",
    "vanishing",
]

MOST = 0.5
"""A share of units above which a layer is called by what they are: most of it."""

FOLDS = 1e3
"""Between the errors of the first and the last layer: in a hundred steps the one moves less than a tenth of a
step of the other. A sigmoid passes on a quarter at most, so that five in a row do it (S. Hochreiter, 1991; M.
Nielsen, chapter 5)."""

HOPELESS = 10.0
"""Times the loss of outputs of 0, at first. Outputs of size 1 beside targets of size 1 have twice that."""

FLOOR = 0.1
"""The part of the way from right answers to chance that stays out of reach, to be worth a word."""

RANGES = {
    "Lambda(sigmoid)": (0.0, 1.0),
    "Lambda(softmax)": (0.0, 1.0),
    "Lambda(tanh)": (-1.0, 1.0),
    "Lambda(relu)": (0.0, float("inf")),
    "Lambda(softplus)": (0.0, float("inf")),
}
"""Of the outputs of a network that ends with this layer."""


def _named(layer: LayerLook) -> str:
    return f"{layer.place or 'the model'} ({layer.layer})"


def makes_nan(record: Record) -> Finding | None:
    """A layer that makes NaN of numbers, without any step."""
    broken = [layer for layer in record.start.layers if layer.not_finite]
    if not record.untouched or not (broken or record.start.loss is None) or exploding(record):
        return None
    sides = [layer for layer in broken if layer.output_std is None]
    where = _named((sides or broken[::-1])[0]) if broken else "the loss"
    way = "in the forward pass" if sides or not broken else "in the backward pass"
    return Finding(
        "a function makes NaN",
        f"Before any step {where} has numbers that are NaN or infinite, {way}.",
        {"layers with such numbers": len(broken), "layers": len(record.start.layers)},
        "run the same call inside `with bpkit.debug_nans():`, which names the function and the number that "
        "it was given; look for sqrt, log and division at 0, and for exp of large numbers",
        True,
    )


def squashed_twice(record: Record) -> Finding | None:
    """Outputs between 0 and 1 for a loss that expects logits."""
    outputs = [look.output for look in record.looks if look.output is not None]
    first = outputs[0] if outputs else None
    if first is None or first.in_unit is None or first.perfect is None or record.chance is None:
        return None
    lowest = min((output.lowest for output in outputs if output.lowest is not None), default=-1.0)
    highest = max((output.highest for output in outputs if output.highest is not None), default=2.0)
    # Rounding may reach just beyond.
    inside = -1e-6 <= lowest < highest <= 1 + 1e-6
    lost = first.in_unit - first.perfect
    if not inside or lost < FLOOR * (record.chance - first.perfect):
        return None
    return Finding(
        "sigmoid or softmax twice",
        "The network ends in numbers between 0 and 1, and the loss takes logits and squashes them once more: "
        "not even right answers would make it small.",
        {
            "lowest output": lowest,
            "highest output": highest,
            "loss of right answers between 0 and 1": first.in_unit,
            "loss of right answers as logits": first.perfect,
            "loss by chance": record.chance,
        },
        "leave the last sigmoid or softmax out of the network and let the loss have the logits, or take a "
        "loss of probabilities, such as losses.quadratic",
        True,
    )


def out_of_reach(record: Record) -> Finding | None:
    """Targets that the last activation cannot return."""
    target, called = record.start.target, [layer for layer in record.start.layers if layer.calls]
    output = record.start.output
    if target is None or output is None or output.in_unit is not None or not called:
        return None
    low, high = RANGES.get(called[-1].layer, (-float("inf"), float("inf")))
    beyond = max(0.0, low - target.lowest) + max(0.0, target.highest - high)
    if beyond <= FLOOR * (target.highest - target.lowest):
        return None
    return Finding(
        "targets out of reach",
        f"The network ends in {_named(called[-1])}, whose outputs lie between {low:g} and {high:g}, and "
        f"targets lie between {target.lowest:.3g} and {target.highest:.3g}.",
        {"lowest target": target.lowest, "highest target": target.highest},
        "let the network end in a layer without activation, or scale the targets into its range",
        True,
    )


def alike(record: Record) -> Finding | None:
    """Units that do the same, because their weights began the same."""
    layers = record.weighted(record.start)[:-1]
    silent = [layer for layer in record.start.layers if (layer.dead or 0) > MOST]
    # A layer behind one that is silent is so too, whatever its weights are; one that is linear, and before
    # which all is well, for this reason only.
    linear = [layer for layer in silent[:1] if layer.layer.startswith(("Dense", "Conv"))]
    dull = [layer for layer in linear if layer in layers and record.start.data.constant < 1]
    twins = [layer for layer in layers if (layer.twins or 0) > MOST]
    if not (twins or (dull and record.untouched)):
        return None
    worst = (twins or dull)[0]
    return Finding(
        "units all alike",
        f"The units of {_named(worst)} "
        + (
            "all return the same: their weights began equal, get equal gradients and stay equal, so that "
            "the layer is worth one unit."
            if twins
            else "return the same for every example, because their weights are 0: nothing passes through."
        ),
        figures(
            {
                "share of units that are twins": worst.twins,
                "share of units that never vary": worst.dead,
                "norm of its weights": worst.weight_norm,
                "error of an example there": worst.error,
            }
        ),
        "draw the first weights at random: nn.init.glorot_uniform, or he_normal before relu; only biases may "
        "begin at 0",
        not record.useful,
    )


def exploding(record: Record) -> Finding | None:
    """Errors or outputs that grow from layer to layer."""
    layers = record.weighted(record.start)
    if not record.untouched or len(layers) < 2:
        return None
    errors = _ratio(layers[0].error, layers[-1].error)
    sizes = _ratio(layers[-1].output_std, layers[0].output_std)
    steepest = max(layers[:-1], key=lambda layer: _relative(layer) or 0.0)
    # A layer that is used once for each time has its error in its gradient only.
    steeper = _ratio(_relative(steepest), _relative(layers[-1]))
    overflow = record.start.loss is None and max(layer.output_std or 0.0 for layer in layers) > FOLDS**2
    if max(errors or 0.0, sizes or 0.0, steeper or 0.0) < FOLDS and not overflow:
        return None
    return Finding(
        "exploding gradients",
        "Each layer, or each time of a recurrent one, makes the error larger on its way back, so that the "
        "first weights get gradients out of all proportion.",
        figures(
            {
                "error of the first layer to that of the last": errors,
                "outputs of the last layer to those of the first": sizes,
                f"gradient to weights, {steepest.place} to the last layer": steeper,
                "norm of its gradient": steepest.gradient_norm,
            }
        ),
        "draw smaller first weights (nn.init.he_normal before relu, orthogonal for recurrent weights), clip "
        "the gradients (optim.clip_by_global_norm), or put normalisation between the layers",
        not record.useful,
    )


def too_large(record: Record) -> Finding | None:
    """First weights that saturate units or make outputs far from any target."""
    start = record.start
    if not record.untouched:
        return None
    called = [layer for layer in start.layers if layer.calls]
    # At the limits is where the last one should be.
    full = [layer for layer in record.plain(start) if (layer.saturated or 0) > MOST and layer != called[-1]]
    output = start.output
    # Where one class dominates chance is far below what outputs that say nothing cost.
    plain = max(output.chance or 0.0, output.nothing or 0.0) if output is not None else 0.0
    far = start.loss is not None and 0 < HOPELESS * plain < start.loss
    if not (full or far):
        return None
    worst = max(full, key=lambda layer: layer.saturated or 0.0) if full else None
    return Finding(
        "first weights too large",
        (
            f"Most units of {_named(worst)} are at a limit before the first step, where their slope is "
            "almost 0, so that they hardly learn."
            if worst
            else "Before any step the outputs are so large that the loss is many times that of outputs of 0."
        ),
        figures(
            {
                "share of outputs at a limit": None if worst is None else worst.saturated,
                "loss at first": start.loss,
                "loss of outputs of 0": None if output is None else output.nothing,
            }
        ),
        "draw first weights by the size of the layer: nn.init.glorot_uniform for sigmoid and tanh, he_normal "
        "for relu (the book's chapter 3: standard deviation 1/√n)",
        not record.useful,
    )


def dead(record: Record) -> Finding | None:
    """Rectifiers that are silent from the beginning."""
    # What is the same up to rounding, near no limit, is told by its error.
    layers = [
        layer
        for layer in record.plain(record.start)
        if (layer.dead or 0) > MOST and max(layer.zeros or 0.0, layer.saturated or 0.0) > MOST
    ]
    if not record.untouched or not layers or record.start.data.constant == 1:
        return None
    worst = max(layers, key=lambda layer: layer.dead or 0.0)
    return Finding(
        "dead units",
        f"Most units of {_named(worst)} return the same for every example before the first step, so no "
        "gradient reaches what is before them, and no step can wake them.",
        figures({"share of dead units": worst.dead, "share of outputs that are 0": worst.zeros}),
        "let biases begin at 0 and weights around 0 (nn.init.he_normal), or take an activation that always "
        "has a slope: nn.leaky_relu, nn.elu, nn.gelu",
        not record.useful,
    )


def vanishing(record: Record) -> Finding | None:
    """Errors that shrink from layer to layer."""
    layers = record.weighted(record.start)
    if len(layers) < 2 or not layers[0].error:
        return None
    errors = _ratio(layers[-1].error, layers[0].error)
    if errors is None or errors < FOLDS:
        return None
    return Finding(
        "vanishing gradients",
        "Each layer makes the error smaller on its way back, so that the first layers hardly learn.",
        figures(
            {
                "error of the last layer to that of the first": errors,
                "error of the first layer": layers[0].error,
                "error of the last layer": layers[-1].error,
                "layers with weights": len(layers),
                **{f"speed of {layer.place}": layer.speed for layer in layers},
            }
        ),
        "take relu in place of sigmoid, first weights by the size of the layer (nn.init.he_normal), "
        "normalisation between the layers, ways around them (nn.Residual), or fewer layers",
        not record.useful,
    )


def _ratio(upper: float | None, lower: float | None) -> float | None:
    return upper / lower if upper is not None and lower else None


def _relative(layer: LayerLook) -> float | None:
    """Gradient in parts of the weights."""
    return _ratio(layer.gradient_norm, layer.weight_norm)
