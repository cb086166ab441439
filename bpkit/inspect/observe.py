"""The output and the error of every layer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bpkit import namespace as xp
from bpkit import nn, registry, transforms, tree
from bpkit._protocol import RawArray
from bpkit.data.prefetch import to_device
from bpkit.errors import ArgumentError
from bpkit.fields import parts_of
from bpkit.kinds import device_of, is_inexact
from bpkit.nn.module import Module, static
from bpkit.nn.watching import layer_name, modules, watched_call
from bpkit.trace import running
from bpkit.transforms.arguments import is_array

__all__ = ["Observation", "ObservedLayer", "at_home", "inputs_of", "observe", "parameters_of"]

Loss = Callable[[Any, Any], RawArray]


class ObservedLayer(Module):
    """What one layer did with a batch, and what the cost says about it.

    Attributes
    ----------
    place : str
        Where it stands in the model, as :func:`bpkit.nn.summary` names it.
    layer : str
        What it is.
    outputs : tuple of array
        The floating arrays that it returned, call after call. Empty if it was not called, but others used its
        parameters.
    errors : tuple of array
        The derivative of the cost with respect to each of them.
    gradients : dict of str to array
        The derivative with respect to each of its own parameters, by name. Those of a module inside it that
        is a layer itself belong to that one.
    """

    place: str = static()
    layer: str = static()
    outputs: tuple[RawArray, ...]
    errors: tuple[RawArray, ...]
    gradients: dict[str, RawArray]

    @property
    def output(self) -> RawArray:
        """The only one of `outputs`.

        Raises
        ------
        ArgumentError
            If there are none or several.
        """
        return self._only("outputs")

    @property
    def error(self) -> RawArray:
        """The only one of `errors`; raises what `output` raises."""
        return self._only("errors")

    def _only(self, name: str) -> RawArray:
        found: tuple[RawArray, ...] = getattr(self, name)
        if len(found) != 1:
            raise ArgumentError(
                f"{self.layer} at {self.place or 'the top'} returned {len(found)} arrays in this call of the "
                f"model, so it has no single one; they are in .{name}"
            )
        return found[0]


class Observation(Module):
    """What :func:`observe` returns.

    Attributes
    ----------
    loss : array, shape ()
    output : tree of arrays
        What the model returned.
    layers : tuple of ObservedLayer
        In the order in which they were first called.
    """

    loss: RawArray
    output: Any
    layers: tuple[ObservedLayer, ...]

    def __getitem__(self, place: str) -> ObservedLayer:
        """The layer at a place.

        Raises
        ------
        ArgumentError
            If there is none.
        """
        for layer in self.layers:
            if layer.place == place:
                return layer
        places = ", ".join(repr(layer.place) for layer in self.layers)
        raise ArgumentError(f"no layer was observed at {place!r}; those that were: {places or 'none'}")


def observe(model: Any, loss: Loss, x: Any, y: Any, *, key: RawArray | None = None) -> Observation:
    """Run a model on a batch and look at every layer: what it returned, and its error.

    The error of a layer is the derivative of the cost with respect to what the layer returned. For a
    :class:`bpkit.nn.Dense` that is the weighted input z of the neurons behind it, so its error is the book's
    δ, of the mean over the batch: δ of one example is the row times the number of examples.

    Parameters
    ----------
    model : Module
        Any, also one that calls a layer several times.
    loss : callable
        ``(output, target) -> scalar``, the mean over the batch.
    x : array or tuple of arrays
        What the model takes; of a tuple each part is an input.
    y : array
        What the loss compares the output with.
    key : array, optional
        Calls the model as in training, with this key: dropout draws, and the gradient is that of a step.
        Without one the model predicts.

    Returns
    -------
    Observation

    Raises
    ------
    ArgumentError
        If the loss is no scalar.

    Notes
    -----
    To the output of each layer an array of zeros is added, and the cost is differentiated with respect to all
    of them and all parameters at once, which takes one backward pass. The function is pure: ``jit(observe)``
    compiles it.

    A module that returns just what one inside it has returned, as a Sequential, is no layer of its own,
    unless it holds parameters itself. The outputs of layers called inside a transform that begins within the
    model, such as `vmap`, cannot be seen from outside it.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, equation 29.

    Examples
    --------
    >>> from bpkit import losses, nn, random, xp
    >>> first, second = random.split(random.key(0))
    >>> model = nn.Sequential(nn.Dense(3, 4, key=first), nn.sigmoid, nn.Dense(4, 2, key=second))
    >>> seen = observe(model, losses.quadratic, xp.ones((5, 3)), xp.zeros((5, 2)))
    >>> for layer in seen.layers:
    ...     print(layer.place, layer.layer, layer.error.shape)
    layers[0] Dense(3 → 4) (5, 4)
    layers[1] Lambda(sigmoid) (5, 4)
    layers[2] Dense(4 → 2) (5, 2)
    >>> sorted(seen["layers[0]"].gradients)
    ['bias', 'weight']

    The third of the book's equations: the derivative by a bias is the error.

    >>> error, gradient = seen["layers[0]"].error, seen["layers[0]"].gradients["bias"]
    >>> bool(xp.all(xp.abs(xp.sum(error, axis=0) - gradient) < 1e-12))
    True
    """
    inputs = inputs_of(x)
    trainable, rest = nn.partition(model)
    calls = _calls(model, inputs, key)
    zeros = [[_zeros_like(leaf) for leaf in leaves] for _, leaves in calls]

    def cost(trainable: Any, probes: Any) -> Any:
        watch = _Watch(probes)
        output = watched_call(nn.combine(trainable, rest), watch, *inputs, key=key)
        value = loss(output, y)
        if tuple(getattr(value, "shape", (1,))) != ():
            raise ArgumentError(
                f"observe: loss: expected a function (output, target) -> scalar, got "
                f"{getattr(value, 'shape', type(value).__name__)}; take the mean with bpkit.xp.mean(...)"
            )
        return value, (output, [leaves for _, leaves in watch.calls])

    take = transforms.value_and_grad(cost, argnums=(0, 1), has_aux=True)
    (value, (output, outputs)), (gradient, errors) = take(trainable, zeros)
    return Observation(
        value, output, _layers(model, gradient, [place for place, _ in calls], outputs, errors)
    )


@contextmanager
def at_home(model: Any) -> Iterator[Any]:
    """The backend and device of a model, with a function that puts data there in its dtype."""
    arrays = [leaf for leaf in tree.leaves(nn.partition(model).trainable) if is_array(leaf)]
    if not arrays:
        yield lambda data: data
        return
    backend = registry.backend_of(arrays[0])
    dtype = str(arrays[0].dtype).rpartition(".")[2]
    with registry.use_backend(f"{backend.name}:{backend.device_of(arrays[0])}"):
        yield lambda data: to_device(data, dtype)


def inputs_of(x: Any) -> tuple[Any, ...]:
    """What a model is called with: of a tuple each part is an input."""
    return x if isinstance(x, tuple) else (x,)


_number: ContextVar[int] = ContextVar("_number")
"""How many calls a watch has seen. A context variable, so that the second run of a checkpoint counts anew."""


class _Watch:
    """Notes what layers return, and adds a probe to each array of it.

    Attributes
    ----------
    calls : list of (place, list of array)
    """

    def __init__(self, probes: list[list[Any]] | None = None) -> None:
        self.calls: list[tuple[str, list[Any]]] = []
        self._probes = probes
        self._level = _level()
        self._returned: dict[int, Any] = {}
        _number.set(0)

    def __call__(self, place: str, module: Any, output: Any) -> Any:
        if _level() > self._level:
            return output
        leaves, structure = tree.flatten(output)
        places = [i for i, leaf in enumerate(leaves) if is_array(leaf) and is_inexact(leaf)]
        if not places or all(id(leaves[i]) in self._returned for i in places):
            return output
        number = _number.get()
        _number.set(number + 1)
        if self._probes is not None:
            for i, probe in zip(places, self._probes[number], strict=True):
                leaves[i] = xp.add(leaves[i], probe)
        kept = [leaves[i] for i in places]
        self.calls.append((place, kept))
        self._returned |= {id(leaf): leaf for leaf in kept}
        return tree.unflatten(structure, leaves)


def _level() -> int:
    """That of the innermost transform that runs."""
    return max([trace.level for trace in running()], default=0)


def _calls(model: Any, inputs: tuple[Any, ...], key: RawArray | None) -> list[tuple[str, list[Any]]]:
    watch = _Watch()
    watched_call(model, watch, *inputs, key=key)
    return watch.calls


def _zeros_like(x: Any) -> Any:
    return xp.zeros(x.shape, dtype=x.dtype, device=device_of(x))


def _layers(
    model: Any, gradient: Any, places: list[str], outputs: list[Any], errors: list[Any]
) -> tuple[ObservedLayer, ...]:
    gradients = parameters_of(gradient)
    found = dict(modules(model))
    order = [*dict.fromkeys(places), *[place for place in gradients if place not in places]]
    return tuple(
        ObservedLayer(
            place,
            layer_name(found[place]),
            tuple([x for at, xs in zip(places, outputs, strict=True) if at == place for x in xs]),
            tuple([x for at, xs in zip(places, errors, strict=True) if at == place for x in xs]),
            gradients.get(place, {}),
        )
        for place in order
    )


def parameters_of(model: Any) -> dict[str, dict[str, Any]]:
    """The floating arrays of each layer that are no buffers, by place and name.

    They belong to the innermost module around them that can be called, or to the model itself.
    """
    found: dict[str, dict[str, Any]] = {}

    def go(part: Any, place: str, name: str, path: str) -> None:
        if isinstance(part, Module) and callable(part):
            place, name = path.removeprefix("."), ""
        if is_array(part) and is_inexact(part):
            found.setdefault(place, {})[name.removeprefix(".")] = part
        cls: Any = type(part)
        buffers = parts_of(cls).buffers if tree.is_dataclass(cls) else ()
        for step, child in tree.children(part):
            if step[1:] not in buffers:
                go(child, place, name + step, path + step)

    go(model, "", "", "")
    return found
