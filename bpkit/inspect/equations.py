"""The four equations of backpropagation, checked on a network of one's own."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bpkit import nn, registry, transforms, tree
from bpkit._messages import a_type
from bpkit._protocol import Capability
from bpkit.errors import ArgumentError
from bpkit.inspect.differences import Differences, Slopes
from bpkit.inspect.observe import Loss, at_home, observe, parameters_of
from bpkit.inspect.statistics import Host, on_host
from bpkit.nn.watching import layer_name
from bpkit.terminal import write_table

__all__ = ["Equation", "Equations", "equations"]

STATEMENTS = {
    "BP1": "δᴸ = ∇ₐC ⊙ σ'(zᴸ)",
    "BP2": "δˡ = (wˡ⁺¹)ᵀδˡ⁺¹ ⊙ σ'(zˡ)",
    "BP3": "∂C/∂b = δ",
    "BP4": "∂C/∂w = a δ",
}


@dataclass(frozen=True, slots=True)
class Equation:
    """One of the equations in one layer.

    Attributes
    ----------
    name : {"BP1", "BP2", "BP3", "BP4"}
    place, layer : str
        The :class:`bpkit.nn.Dense` whose δ or gradient is its left side.
    size : float
        The largest number of either side.
    difference : float
        The largest difference between the sides.
    allowed : float
        What rounding and finite differences can make of it.
    kinks : int
        How many numbers were left out, because a function has no derivative there.
    """

    name: str
    place: str
    layer: str
    size: float
    difference: float
    allowed: float
    kinks: int

    @property
    def holds(self) -> bool:
        """Whether the two sides are equal."""
        return self.difference <= self.allowed  # not where one is NaN


@dataclass(frozen=True, slots=True)
class Equations:
    """What :func:`equations` returns; printed it is a table.

    Attributes
    ----------
    rows : tuple of Equation
        From the last layer to the first.
    """

    rows: tuple[Equation, ...]

    @property
    def holds(self) -> bool:
        """Whether all of them do."""
        return all(row.holds for row in self.rows)

    def __str__(self) -> str:
        out = io.StringIO()
        headings = ["equation", "", "place", "layer", "largest", "difference", "holds"]
        kinks = ["kinks"] * any(row.kinks for row in self.rows)
        lines = [
            (
                "" if row.holds else "1;31",
                [
                    *(row.name, STATEMENTS[row.name], row.place, row.layer),
                    *(f"{row.size:.3g}", f"{row.difference:.1e}", "yes" if row.holds else "no"),
                    *[f"{row.kinks}" for _ in kinks],
                ],
            )
            for row in self.rows
        ]
        right = ("largest", "difference", "kinks")
        write_table(out, "The equations of backpropagation", [*headings, *kinks], lines, right=right)
        return out.getvalue().rstrip("\n")


def equations(model: Any, loss: Loss, x: Any, y: Any) -> Equations:
    """Check the four equations of backpropagation on a network.

    Both sides of each equation are computed, in ways that have nothing to do with each other:

    - the errors δ by :func:`bpkit.inspect.observe`, backwards through the whole network;
    - σ' and ∇ₐC, on the right of BP1 and BP2, by central differences, without any derivative;
    - ∂C/∂b and ∂C/∂w by :func:`bpkit.grad` with respect to the parameters.

    So an equation that does not hold names the layer with a wrong derivative: BP1 that of the cost or what
    follows the last Dense, BP2 what follows that Dense, or the next Dense by its input; BP3 and BP4 the Dense
    by its parameters.

    Parameters
    ----------
    model : Sequential
        Of :class:`bpkit.nn.Dense` and, between them, layers without parameters: activations, also such as
        softmax in which neurons depend on each other. What is inside :class:`bpkit.nn.Frozen` has no BP3
        and BP4. It predicts, and runs in float64 where its backend has it.
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch.
    x : array, shape (n, …)
        A few examples are enough: the cost is measured twice for each of their outputs.
    y : array

    Returns
    -------
    Equations

    Raises
    ------
    ArgumentError
        If the network has no Dense or other layers with parameters, is complex, or there are too many
        examples.

    Notes
    -----
    δ of an example belongs to its own cost, of which the cost of the batch is the mean. For BP3 and BP4 the
    right side is therefore the mean over the examples.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, equations BP1 to BP4.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import losses, nn, random
    >>> first, second = random.split(random.key(0))
    >>> model = nn.Sequential(nn.Dense(3, 4, key=first), nn.sigmoid, nn.Dense(4, 2, key=second), nn.sigmoid)
    >>> checked = equations(model, losses.quadratic, np.ones((5, 3)), np.zeros((5, 2)))
    >>> [(row.name, row.place, row.holds) for row in checked.rows]  # doctest: +NORMALIZE_WHITESPACE
    [('BP1', 'layers[2]', True), ('BP3', 'layers[2]', True), ('BP4', 'layers[2]', True),
     ('BP2', 'layers[0]', True), ('BP3', 'layers[0]', True), ('BP4', 'layers[0]', True)]
    """
    with at_home(model) as place:
        differences = Differences(Capability.FLOAT64 in registry.current().backend.capabilities)
        model, x, y = tree.map(differences.widened, (model, *place((x, y))))
        return Equations(tuple(_rows(model, loss, x, y, differences)))


def _rows(model: Any, loss: Loss, x: Any, y: Any, differences: Differences) -> Iterator[Equation]:
    layers = list(_flat(model, ""))
    at = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, nn.Dense)]
    if not at:
        raise ArgumentError("equations: model: expected a Sequential with an nn.Dense, got none in it")
    seen = observe(model, loss, x, y)
    trainable, rest = nn.partition(model)
    gradients = parameters_of(transforms.grad(lambda p: loss(nn.combine(p, rest)(x), y))(trainable))
    examples, v = int(x.shape[0]), None
    for start, end in reversed([*zip(at, [*at[1:], len(layers)], strict=True)]):
        place, dense = layers[start]
        z, after = seen[place].output, partial(_applied, layers[start + 1 : end])
        if z.ndim != 2:
            raise ArgumentError(
                f"equations: {dense!r} returned shape {tuple(z.shape)}; expected (examples, neurons): "
                f"flatten what comes before it"
            )
        # That of an example's own cost, of which C is the mean.
        delta = on_host(seen[place].error) * examples
        if v is None:
            name, v = "BP1", differences.of_cost(lambda output: loss(output, y), after(z))
        else:
            name = "BP2"
        right = differences.pulled(after, z, v)
        row = partial(_row, place, layer_name(dense))
        yield row(name, delta, right.values, differences.rtol, right.noise, right.bent)
        own = gradients.get(place, {})
        if "bias" in own:
            yield row("BP3", on_host(own["bias"]), np.mean(delta, axis=0), differences.exact)
        if "weight" in own:
            a = on_host(_applied(layers[:start], x))
            yield row("BP4", on_host(own["weight"]), delta.T @ a / examples, differences.exact)
        v = Slopes(delta @ on_host(dense.weight))


def _row(
    place: str,
    layer: str,
    name: str,
    left: Host,
    right: Host,
    rtol: float,
    noise: float = 0.0,
    bent: Any = False,
) -> Equation:
    kept = ~np.broadcast_to(bent, left.shape)
    size = float(np.max(np.maximum(np.abs(left), np.abs(right))[kept], initial=0))
    difference = float(np.max(np.abs(left - right)[kept], initial=0))
    return Equation(name, place, layer, size, difference, rtol * size + noise, int(np.sum(~kept)))


def _applied(layers: list[tuple[str, Any]], x: Any) -> Any:
    for _, layer in layers:
        x = layer(x)
    return x


def _flat(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The layers of a Sequential, and of those in it."""
    if isinstance(part, nn.Sequential):
        for i, layer in enumerate(part.layers):
            yield from _flat(layer, f"{path}.layers[{i}]")
    elif isinstance(part, nn.Frozen):
        yield from _flat(part.layer, f"{path}.layer")
    elif isinstance(part, nn.Dense) or (isinstance(part, nn.Module) and not parameters_of(part)):
        yield path.removeprefix("."), part
    else:
        what = layer_name(part) if isinstance(part, nn.Module) else a_type(type(part))
        raise ArgumentError(
            f"equations: model{path}: expected a Sequential of nn.Dense and layers without parameters, got "
            f"{what}. The derivatives of any network are compared with finite differences by "
            f"bpkit.check_grads(lambda model: loss(model(x), y), (model,))"
        )
