"""What can be wrong with the way a training goes."""

import itertools
import statistics

from bpkit.inspect.doctor_record import LOST, Finding, Record, figures
from bpkit.inspect.doctor_start import MOST, alike, dead
from bpkit.inspect.look import LayerLook, Look

__all__ = [
    "decay",
    "died",
    "frozen",
    "in_order",
    "one_class",
    "overfitting",
    "shared",
    "shuffled",
    "too_fast",
    "too_slow",
    "unexplained",
    "wrong_sign",
]

USUAL = 1e-3
"""Length of a step in parts of the weights: about what is called usual (A. Karpathy, CS231n notes, 2015)."""

FAST = 10 * USUAL
"""A hundred such steps in one direction are as long as the weights."""

SLOW = USUAL / 10
"""Ten thousand steps of this length, all in one direction, are as long as the weights."""

WORSE = 1.5
"""Times the loss at first. That of other batches differs by less."""

SURE = 3.0
"""Standard deviations that a share of examples may be from its mean by chance: one in 370."""

FAINT = 0.05
"""The largest deviation by which one can still see whether targets go with inputs: weak ties would be lost in
a larger one. That of a hundred examples of two classes."""

SHRUNK = 0.5
"""Of the norm of weights: learning makes them longer."""

MAJORITY = 0.8
"""Of examples: there the share of right answers looks good without anything learnt."""

NEVER = 0.1
"""A skill that cannot be told from none, on the few hundred examples that are validated."""


def frozen(record: Record) -> Finding | None:
    """A layer that does not move while others do."""
    later = [look for look in record.looks[1:] if look.loss is not None]
    moved: dict[str, float] = {}
    for look in later:
        for layer in look.layers:
            if layer.parameters and layer.update_norm is not None:
                moved[layer.place] = max(moved.get(layer.place, 0.0), layer.update_norm)
    layers = [layer for layer in record.last.layers if layer.parameters + layer.frozen]
    # Decay moves weights, too, that no gradient reaches.
    unreached = {
        layer.place
        for layer in layers
        if layer.parameters and not any(_gradient(look, layer.place) for look in [record.start, *later])
    }
    still = [
        layer
        for layer in layers
        if moved.get(layer.place) == 0.0 or (layer.place in unreached and len(unreached) < len(layers))
    ]
    meant = [layer for layer in layers if layer.frozen and not layer.parameters]
    if not any(moved.values()) or not (still or meant):
        return None
    # Where no error arrives because units are dead or alike, that is said already.
    cut = [layer for layer in still if not layer.gradient_norm]
    if still and len(cut) == len(still) and (alike(record) or dead(record) or _dead_at_end(record)):
        return None
    worst = (still or meant)[0]
    where = f"{worst.place or 'the model'} ({worst.layer})"
    words = (
        f"{where} does not "
        + ("learn" if moved.get(worst.place) else "move at all")
        + ", while other layers do: "
        + (
            "it has a gradient, which the optimizer does not use."
            if worst.gradient_norm
            else "no gradient reaches it."
        )
        if still
        else f"{where} is inside nn.Frozen and keeps its first weights."
    )
    return Finding(
        "frozen layer",
        words,
        figures(
            {
                "its largest step": moved.get(worst.place),
                "largest step of another layer": max(moved.values()),
                "norm of its gradient": worst.gradient_norm,
                "layers that do not learn": len(still or meant),
            }
        ),
        "look for stop_gradient, optim.frozen or a group of the optimizer with rate 0, and for arrays in "
        "fields made by nn.buffer; if it is meant, nn.Frozen says so",
        bool(still) or not record.works,
    )


def _gradient(look: Look, place: str) -> float | None:
    """The norm of the gradient of a layer in a look; NaN counts as one."""
    return next((layer.gradient_norm for layer in look.layers if layer.place == place), 0.0)


def in_order(record: Record) -> Finding | None:
    """Examples that come sorted, and are trained on in that order."""
    target, output = record.start.target, record.last.output
    if target is None or target.in_order is None or record.works or record.diverged:
        return None
    if record.shuffled or record.validated or target.in_order < (1 + target.by_chance) / 2:
        return None
    batches, after = record.history[-1].loss if record.history else None, record.last.loss
    # Before their steps shuffled batches cost no less than all examples after them.
    easy = batches is not None and after is not None and 0 <= WORSE * batches < after
    certain = record.shuffled is False or easy
    answers = output.answers if output is not None else None
    return Finding(
        "examples in order",
        "Examples come sorted by their targets, and each step unlearns what the ones before have taught: "
        "batches are easy, and all examples together are not."
        if certain
        else "The examples looked at are sorted by their targets. If the training does not shuffle, each "
        "step unlearns what the ones before have taught.",
        figures(
            {
                "agreement with the example before": target.in_order,
                "by chance": target.by_chance,
                "loss of the last epoch, batch by batch": batches,
                "loss of all examples after it": after,
                "share of the most frequent answer": max(answers) / sum(answers) if answers else None,
            }
        ),
        "let fit take them in a random order (shuffle=True), or shuffle a stream before it is read; where "
        "that is done, the reason is another one (diagnose(shuffled=True) leaves this out)",
        certain,
    )


def wrong_sign(record: Record) -> Finding | None:
    """A loss that is least where answers are wrong."""
    first, output, loss = record.start.output, record.last.output, record.last.loss
    if first is None or output is None or output.accuracy is None or loss is None or first.chance is None:
        return None
    right = min((cost for cost in (first.perfect, first.in_unit) if cost is not None), default=None)
    if right is None or output.accuracy > record.majority + NEVER:
        return None
    # Smoothed labels make right answers that are certain cost more than others, but bounded from below.
    if loss >= min(right, first.chance) - abs(first.chance - right):
        return None
    return Finding(
        "loss of the wrong sign",
        "The loss has fallen far below that of right answers, and the answers are not right: the smaller it "
        "is, the worse they are.",
        figures({**record.at_end(), "loss of right answers": right, "accuracy": output.accuracy}),
        "look at the sign of the loss: it must be least where answers are right; steps go down, so what "
        "shall grow, as a likelihood, needs a minus",
        True,
    )


def too_fast(record: Record) -> Finding | None:
    """A learning rate that is too high."""
    if len(record.looks) < 2 and not record.diverged:
        return None
    last, lowest = record.last.loss, record.lowest
    steps = [
        statistics.median(ratios)
        for look in record.looks[1:]
        if (ratios := [layer.update_ratio for layer in look.layers if layer.update_ratio is not None])
    ]
    longest, latest = max(steps, default=0.0), steps[-1] if steps else 0.0
    before = max(record.start.loss or 0.0, record.chance or 0.0)
    highest = max((look.loss for look in record.looks[1:] if look.loss is not None), default=0.0)
    thrown = before > 0 and highest > WORSE * before
    restless = last is not None and lowest is not None and last > LOST * lowest and latest > FAST
    # One step that silences most of a layer need not show in the loss, which is then that of chance.
    killed = _silenced(record) and longest > 10 * FAST
    if not (killed or (not record.works and (record.diverged or thrown or restless))):
        return None
    return Finding(
        "learning rate too high",
        (
            "The steps were so long that the loss grew until it was no longer finite."
            if record.diverged
            else "Steps at the beginning were so long that they silenced most units of a layer for good."
            if killed
            else "The steps are so long that they jump over what they look for: the weights are thrown far "
            "off, and the loss does not come down."
        ),
        figures(
            {
                **record.at_end(),
                "longest step in parts of the weights": longest,
                "last step in parts of the weights": latest,
                "highest loss on the way": highest,
                "largest share of dead units": max(
                    (layer.dead or 0.0 for layer in record.plain(record.last)), default=None
                ),
            }
        ),
        "try a tenth of the rate, or let training.find_learning_rate find one; a warm-up "
        "(optim.schedules) or clipping helps where only the first steps are too long",
        not record.works,
    )


def decay(record: Record) -> Finding | None:
    """Weights that are pulled to 0 faster than they learn."""
    before = {layer.place: layer for layer in record.weighted(record.start)}
    ratios = [
        layer.weight_norm / first
        for layer in record.weighted(record.last)
        if layer.parameters
        and layer.weight_norm is not None
        and layer.place in before
        and (first := before[layer.place].weight_norm)
    ]
    if record.works or not ratios or max(ratios) > SHRUNK:
        return None
    return Finding(
        "weight decay too strong",
        "The weights of all layers shrink: decay takes more from them in each step than the gradient gives.",
        {
            **record.at_end(),
            "weights at the end to those at first, the least": min(ratios),
            "the most": max(ratios),
        },
        "take a hundredth of the weight decay, or none, and raise it only if validation gains by it",
        True,
    )


def too_slow(record: Record) -> Finding | None:
    """A learning rate that is too low."""
    steps = [
        layer.update_ratio
        for look in record.looks[1:]
        for layer in look.layers
        if layer.update_ratio is not None and (layer.weight_norm or 0) > 0
    ]
    start, last = record.start.loss, record.last.loss
    # Without chance a loss that falls a little looks like one that falls enough.
    known = record.works and record.chance is not None
    if known or record.diverged or not steps or start is None or last is None:
        return None
    longest = max(steps)
    losses = [epoch.loss for epoch in record.history]
    falls = [before - after for before, after in itertools.pairwise(losses)]
    # A loss that falls evenly has nothing in its way but the length of the steps.
    evenly = len(falls) > 1 and min(falls) > 0 and falls[-1] > falls[0] / 10
    if not 0 < longest < (USUAL if evenly else SLOW):
        return None
    return Finding(
        "learning rate too low",
        "The steps are so short that the weights are almost where they began: the loss falls in each epoch, "
        "and is still far from where it could be.",
        {**record.at_end(), "longest step in parts of the weights": longest},
        "try ten times the rate, or let training.find_learning_rate find one",
        not record.works,
    )


def shuffled(record: Record) -> Finding | None:
    """Targets that have nothing to do with the inputs."""
    target = record.start.target
    if target is None or target.alike is None or not 0 < target.noise < FAINT:
        return None
    if abs(target.alike - target.by_chance) > SURE * target.noise:
        return None
    skills = [skill for loss in record.validation if (skill := record.skill(loss)) is not None]
    best = max(skills, default=None)
    accuracy = [epoch.metrics.get("validation_accuracy") for epoch in record.history]
    right = max((x for x in accuracy if x is not None), default=None)
    known = best is not None or right is not None
    classes = record.start.data.classes
    majority = max(classes) / sum(classes) if classes else 0.0
    useless = (best is None or best < NEVER) and (right is None or right < majority + NEVER)
    if known and not useless:
        return None
    return Finding(
        "labels shuffled",
        "Targets have nothing to do with inputs: examples that are alike have targets as different as any, "
        + (
            "and what is learnt is of no use for other examples."
            if known
            else "so what is learnt can only be learnt by heart."
        ),
        figures(
            {
                "agreement with the example most alike": target.alike,
                "by chance": target.by_chance,
                "loss at the end": record.last.loss,
                "loss by chance": record.chance,
                "lowest loss of validation": min(record.validation, default=None),
                "best accuracy of validation": right,
            }
        ),
        "compare some examples with their targets by eye; look where the two are read, sorted, filtered or "
        "shuffled apart from each other",
        known or not record.works,
    )


def one_class(record: Record) -> Finding | None:
    """A class so frequent that the network answers it always."""
    classes, output = record.start.data.classes, record.last.output
    if classes is None or output is None or output.answers is None or record.diverged:
        return None
    share, answers = max(classes) / sum(classes), max(output.answers) / sum(output.answers)
    if share < MAJORITY or share == 1 or answers < (1 + share) / 2 or record.works:
        return None
    return Finding(
        "one class dominates",
        f"Most examples are of class {classes.index(max(classes))}, and the network answers nearly always "
        f"with it: that is right often enough, without a look at the input.",
        figures(
            {
                "share of the most frequent class": share,
                "share of answers": answers,
                "accuracy": output.accuracy,
                "loss at the end": record.last.loss,
                "loss by chance": record.chance,
            }
        ),
        "weigh the examples of rare classes more (the weight of a loss) or take them more often, and measure "
        "metrics.f1 or recall in place of accuracy",
        True,
    )


def shared(record: Record) -> Finding | None:
    """Examples to validate that are in the training data."""
    # Collections are known to have one or two in a hundred.
    if record.shared is None or record.shared < 0.05:
        return None
    return Finding(
        "validation seen in training",
        "Examples to validate are also examples to train, so validation praises what was learnt by heart.",
        {"share of them": record.shared},
        "split before examples are repeated, augmented or cut into windows, and by writer, patient or day "
        "where several examples come from one",
        True,
    )


def overfitting(record: Record) -> Finding | None:
    """A network that learns its examples by heart."""
    if record.diverged or not record.by_heart:
        return None
    last, losses = record.history[-1].metrics, record.validation
    best, train, held = min(losses, default=None), last.get("train_accuracy"), last.get("validation_accuracy")
    return Finding(
        "overfitting",
        "The network knows the examples that it is trained on far better than others: it has learnt them by "
        "heart.",
        figures(
            {
                "loss in training": record.last.loss,
                "loss of validation": losses[-1] if losses else None,
                "its lowest": best,
                "loss by chance": record.chance,
                "accuracy in training": train,
                "accuracy of validation": held,
            }
        ),
        "stop early (patience=), take more or augmented examples (data.augment), dropout, weight decay, or a "
        "smaller network",
        True,
    )


def _silenced(record: Record) -> bool:
    """Whether most units of a layer are dead or at a limit at the end, and were not at first."""
    before = {layer.place: layer for layer in record.start.layers}

    def silent(layer: LayerLook) -> bool:
        return max(layer.dead or 0.0, layer.saturated or 0.0) > MOST

    return any(
        silent(layer) and layer.place in before and not silent(before[layer.place])
        for layer in record.plain(record.last)
    )


def _dead_at_end(record: Record) -> bool:
    return any((layer.dead or 0) > MOST for layer in record.plain(record.last))


def died(record: Record) -> Finding | None:
    """Units that have fallen silent on the way."""
    if record.diverged or not _dead_at_end(record) or len(record.looks) < 2 or dead(record):
        return None
    worst = max(record.plain(record.last), key=lambda layer: layer.dead or 0.0)
    return Finding(
        "units died in training",
        f"Most units of {worst.place} ({worst.layer}) return the same for every example, and did not at "
        "first.",
        figures({"share of dead units": worst.dead}),
        "take a lower learning rate, or an activation that always has a slope: nn.leaky_relu, nn.elu",
        not record.works,
    )


def unexplained(record: Record) -> Finding | None:
    """A network that has learnt nothing, for no reason that can be seen."""
    enough = len(record.looks) > 1 and (record.history or record.last.epoch)
    if record.diverged or not enough or record.learnt is None or record.learnt >= NEVER:
        return None
    return Finding(
        "nothing learnt",
        "The loss is hardly better than that of not looking at the input, and none of the usual reasons is "
        "to be seen.",
        record.at_end(),
        "train on ten examples only, which any network learns by heart; if it does, take a larger network or "
        "more epochs, unless the targets are mostly noise, of which no network learns more; if it does not, "
        "look at the model and the loss for a mistake",
        True,
    )
