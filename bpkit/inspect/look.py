"""A look at a network: what the gradient says about it, as numbers that can be kept and compared."""

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpkit import tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.inspect.json_values import read, written
from bpkit.inspect.observe import Loss, Observation, at_home, observe
from bpkit.inspect.statistics import data_figures, layer_figures
from bpkit.inspect.targets import input_figures, output_figures, target_figures
from bpkit.terminal import write_table

__all__ = ["DataLook", "Histogram", "LayerLook", "Look", "OutputLook", "TargetLook", "look"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often numbers fall between two edges.

    Attributes
    ----------
    edges : tuple of float
        One more than counts.
    counts : tuple of int
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerLook:
    """One layer in a :class:`Look`. None stands for what the layer does not have, or what is not finite.

    Attributes
    ----------
    place, layer : str
        Where it stands in the model and what it is, as :func:`bpkit.nn.summary` names them.
    calls : int
        How many arrays it returned. 0: it was not called, but others used its parameters.
    units : int or None
        Neurons, channels of a convolution, features: the size of the axis of what it returns that has them.
    parameters : int
        How many numbers of its own are trained.
    frozen : int
        How many are not, inside :class:`bpkit.nn.Frozen`.
    output_mean, output_std : float or None
        Of all that it returned.
    not_finite : int
        How many of its outputs, errors, parameters and gradients are NaN or infinite.
    zeros : float or None
        The share of outputs that are 0.
    saturated : float or None
        For sigmoid, tanh and others with two limits: the share of outputs within 5 % of the distance between
        the limits from one of them.
    dead : float or None
        The share of units that return the same number for every example, at every place.
    twins : float or None
        The share of units that are not, but return what another unit does.
    error : float or None
        The norm of the book's error δ of an example: root of the mean of squares over the examples.
    weight_norm : float or None
        Norm of its parameters, trained and frozen, biases included.
    gradient_norm : float or None
        Norm of the derivative of the cost with respect to those that are trained.
    speed : float or None
        Norm of the derivative with respect to its biases: the book's speed of learning (chapter 5).
    update_norm : float or None
        How far a step moved its parameters; None in the first look.
    update_ratio : float or None
        That in parts of `weight_norm`.
    histogram : Histogram or None
        Of its outputs.
    """

    place: str
    layer: str
    calls: int
    units: int | None
    parameters: int
    frozen: int
    output_mean: float | None
    output_std: float | None
    not_finite: int
    zeros: float | None
    saturated: float | None
    dead: float | None
    twins: float | None
    error: float | None
    weight_norm: float | None
    gradient_norm: float | None
    speed: float | None
    update_norm: float | None
    update_ratio: float | None
    histogram: Histogram | None


@dataclass(frozen=True, slots=True)
class DataLook:
    """What a network was looked at with; None stands for what is not finite or not there.

    Attributes
    ----------
    features : int
        Numbers of an example.
    mean, std, lowest, highest : float or None
        Of all finite numbers.
    scales : (float, float, float) or None
        Smallest, median and largest standard deviation of a feature, of those that are not constant.
    constant : float
        The share of features that are the same in every example.
    not_finite : int
        How many numbers are NaN or infinite.
    classes : tuple of int or None
        How many examples each class has, where the targets are labels, or rows with one 1 and zeros.
    largest : float or None
        Root of the mean square of the feature that has the largest. None if no input is a floating number.
    largest_at : int or None
        Which feature that is.
    stuck : tuple of int
        Up to five features that are the same in every example, and neither the lowest nor the highest number
        of the others, as white paper is, nor 1, as a column for the bias is.
    stuck_values : tuple of float
        What they are.
    """

    features: int
    mean: float | None
    std: float | None
    lowest: float | None
    highest: float | None
    scales: tuple[float, float, float] | None
    constant: float
    not_finite: int
    classes: tuple[int, ...] | None
    largest: float | None
    largest_at: int | None
    stuck: tuple[int, ...]
    stuck_values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TargetLook:
    """The targets beside the inputs. Numbers that are not finite are left out.

    Attributes
    ----------
    not_finite : int
        How many numbers are NaN or infinite.
    mean, std : float
        The largest mean of a column, without its sign; the deviation of all columns together. Labels stand
        for rows with one 1 and zeros.
    lowest, highest : float
    alike : float or None
        For labels the share of examples that have the label of the example most like them, copies left out;
        for other targets the correlation with those of that example. None where there are too few examples.
    by_chance, noise : float
        What `alike` is where the targets have nothing to do with the inputs, and its standard deviation.
    in_order : float or None
        The same as `alike`, with the example that stands before.
    """

    not_finite: int
    mean: float
    std: float
    lowest: float
    highest: float
    alike: float | None
    by_chance: float
    noise: float
    in_order: float | None


@dataclass(frozen=True, slots=True)
class OutputLook:
    """The outputs beside the targets; None stands for what cannot be had.

    Attributes
    ----------
    chance : float or None
        The loss without looking at the input: the smallest of constant outputs, of those that were tried: the
        mean target, what softmax and sigmoid make that of, the mean output.
    nothing : float or None
        The loss of outputs of 0.
    perfect : float or None
        The loss of what is certain and right; of classes by logits of ±15.
    in_unit : float or None
        The loss of what is right, for classes, by outputs of 0 and 1.
    accuracy : float or None
        The share of right classes.
    answers : tuple of int or None
        How many examples were taken for each class.
    lowest, highest : float or None
    """

    chance: float | None
    nothing: float | None
    perfect: float | None
    in_unit: float | None
    accuracy: float | None
    answers: tuple[int, ...] | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """What :func:`look` returns.

    Attributes
    ----------
    epoch : int
        Finished epochs.
    step : int
        Steps of the epoch after those.
    loss : float or None
        None if it is not finite.
    examples : int
        How many were looked at.
    data : DataLook
    target : TargetLook or None
        None if the targets are not one array.
    output : OutputLook or None
        None if outputs or targets are not one array.
    layers : tuple of LayerLook
        In the order in which they were first called.
    """

    epoch: int
    step: int
    loss: float | None
    examples: int
    data: DataLook
    target: TargetLook | None
    output: OutputLook | None
    layers: tuple[LayerLook, ...]

    def to_json(self) -> dict[str, Any]:
        """Mappings, lists, strings and numbers."""
        values: dict[str, Any] = written(self)
        return values

    @classmethod
    def from_json(cls, values: Any) -> "Look":
        """The inverse of :meth:`to_json`, also of what JSON made of it.

        Raises
        ------
        DataError
            If something is missing, unknown, or of another kind; the message names it.
        """
        look: Look = read(cls, values, "look")
        return look

    def __str__(self) -> str:
        out = io.StringIO()
        headings = ("place", "layer", "output", "zero", "saturated", "dead", "error", "speed", "update")
        rows = [("", _cells(layer)) for layer in self.layers]
        title = f"epoch {self.epoch}, step {self.step}: loss {_short(self.loss)} on {self.examples} examples"
        write_table(out, title, headings, rows, right=headings[2:])
        return out.getvalue().rstrip("\n")


def look(
    model: Any,
    loss: Loss,
    x: Any,
    y: Any,
    *,
    key: RawArray | None = None,
    before: Any = None,
    steps: int = 1,
    epoch: int = 0,
    step: int = 0,
) -> Look:
    """Look at a network through a batch of examples.

    Parameters
    ----------
    model : Module
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch.
    x : array or tuple of arrays
        With an example in each row. Arrays of other libraries, devices and floating dtypes are converted to
        those of the model.
    y : array
    key : array, optional
        Calls the model as in training; see :func:`bpkit.inspect.observe`.
    before : Module, optional
        The same model some steps ago, to see how far its weights have moved.
    steps : int
        How many steps ago; the way is divided by it.
    epoch, step : int
        Where the training stands; written down.

    Returns
    -------
    Look

    Raises
    ------
    ArgumentError
        If `before` is another model, `steps` is not above 0, or `x` and `y` are no arrays with examples.
    ShapeError
        If `x` and `y` have different numbers of examples.

    Examples
    --------
    A unit that never speaks, and one that is saturated:

    >>> import numpy as np
    >>> from bpkit import losses, nn
    >>> layer = nn.Dense(2, 4, key=np.zeros(2, "uint32")).replace(
    ...     weight=np.asarray([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [1.0, 1.0]]),
    ...     bias=np.asarray([0.0, 0.0, 0.0, 8.0]),
    ... )
    >>> x, y = np.asarray([[1.0, 2.0], [3.0, 1.0]]), np.zeros((2, 4))
    >>> taken = look(nn.Sequential(layer, nn.relu), losses.quadratic, x, y)
    >>> taken.layers[1].dead, taken.layers[1].zeros
    (0.25, 0.25)
    >>> look(nn.Sequential(layer, nn.sigmoid), losses.quadratic, x, y).layers[1].saturated
    0.625
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ArgumentError(f"look(steps={steps!r}): expected a whole number above 0")
    if before is not None and tree.structure(before) != tree.structure(model):
        raise ArgumentError(
            "look: before: expected the same model as it was some steps ago, got one of another structure"
        )
    check_examples("look", x, y)
    with at_home(model) as place:
        x, y = place((x, y))
        seen = observe(model, loss, x, y, key=key)
        return look_at(seen, loss, model, x, y, before, steps, epoch, step)


def look_at(
    seen: Observation,
    loss: Loss,
    model: Any,
    x: Any,
    y: Any,
    before: Any,
    steps: int,
    epoch: int,
    step: int,
    known: Look | None = None,
) -> Look:
    """The numbers of an observation; `known` is an earlier look through the same examples."""
    examples = int(tree.leaves(x)[0].shape[0])
    layers = []
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is counted
        if known is None:
            data, target = look_at_data(x, y)
        else:
            data, target = known.data, known.target
        figures = output_figures(loss, seen.output, y)
        output = None if figures is None else OutputLook(**figures)
        for figures in layer_figures(seen, model, before, steps, examples):
            histogram = figures.pop("histogram")
            layers.append(LayerLook(**figures, histogram=histogram and Histogram(*histogram)))
    value = float(seen.loss)
    cost = value if math.isfinite(value) else None
    return Look(epoch, step, cost, examples, data, target, output, tuple(layers))


def look_at_data(x: Any, y: Any) -> tuple[DataLook, TargetLook | None]:
    """The numbers of examples, an example in each row."""
    figures = target_figures(x, y)
    data = DataLook(**data_figures(x, y), **input_figures(x))
    return data, None if figures is None else TargetLook(**figures)


def check_examples(caller: str, x: Any, y: Any) -> None:
    """Raise where `x` and `y` are no arrays with an example in each row, as many in each."""
    found = [tuple(getattr(leaf, "shape", ())) for leaf in tree.leaves((x, y))]
    if not tree.leaves(x) or not tree.leaves(y) or not all(shape and shape[0] for shape in found):
        raise ArgumentError(
            f"{caller}: x, y: expected arrays with an example in each row, got shapes "
            f"{', '.join(map(str, found)) or 'none'}; of one example pass x[:1], y[:1]"
        )
    if len({shape[0] for shape in found}) > 1:
        raise ShapeError(
            f"{caller}: x, y: expected as many rows in each, got shapes {', '.join(map(str, found))}"
        )


def _cells(layer: LayerLook) -> list[str]:
    return [
        layer.place,
        layer.layer,
        "" if layer.output_mean is None else f"{layer.output_mean:.3g} ± {_short(layer.output_std)}",
        _share(layer.zeros),
        _share(layer.saturated),
        _share(layer.dead),
        _short(layer.error),
        _short(layer.speed),
        _short(layer.update_ratio),
    ]


def _short(x: float | None) -> str:
    return "" if x is None else f"{x:.3g}"


def _share(x: float | None) -> str:
    return "" if x is None else f"{x:.0%}"
