"""Training mode: one call of a model in which layers draw, look at the batch and renew their buffers.

The mode is a context variable that holds a value which never changes: a draw or an update puts another one in
its place. So nothing outlives the call, threads do not see each other's mode, and the second run of
:func:`bpkit.checkpoint` starts from where the first one started.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from bpkit import namespace as xp
from bpkit import random, tree
from bpkit._protocol import RawArray
from bpkit.batching.trace import BatchTrace
from bpkit.errors import ArgumentError, BatchingError, ShapeError
from bpkit.fields import parts_of
from bpkit.nn.module import Module
from bpkit.trace import BATCHED, Traced, running
from bpkit.transforms.jit import without_jit

__all__ = ["Mode", "Trained", "current", "outside", "training_call"]

Layer = TypeVar("Layer", bound=Module)


@dataclass(frozen=True, slots=True)
class _State:
    """How far the call of a :class:`Mode` has come.

    Attributes
    ----------
    mode : Mode
    drawn : int
        The number of keys that layers have asked for.
    changed : dict
        For the id of each layer with new buffers the layer and these.
    """

    mode: "Mode"
    drawn: int
    changed: dict[int, tuple[Module, dict[str, RawArray]]]


_state: ContextVar[_State | None] = ContextVar("_state", default=None)


class Trained(NamedTuple):
    """What :func:`training_call` returns.

    Attributes
    ----------
    output
        What the model returned.
    model
        The model with new buffers; its other arrays are those that it had.
    """

    output: Any
    model: Any


class Mode:
    """The training mode of one call, which a layer gets from :func:`current`.

    Examples
    --------
    A layer that counts its calls in training:

    >>> from bpkit import nn, xp
    >>> class Counter(nn.Module):
    ...     calls: object = nn.buffer()
    ...
    ...     def __call__(self, x):
    ...         mode = nn.mode.current()
    ...         if mode is not None:
    ...             mode.update(self, calls=mode.latest(self).calls + 1)
    ...         return x
    >>> counter = Counter(xp.asarray(0))
    >>> x, counter = nn.training_call(counter, 2.0)
    >>> int(counter.calls), counter(x), int(counter.calls)
    (1, 2.0, 1)
    """

    __slots__ = ("_key", "_level")

    def __init__(self, key: RawArray | Callable[[], RawArray] | None) -> None:
        self._key = key
        self._level = max([trace.level for trace in running()], default=0)
        """That of the innermost transform around the call."""

    def key_for(self, layer: Module) -> RawArray:
        """A key to draw with, another one each time.

        It is the key of the call, folded with the number of keys that layers have asked for so far.

        Parameters
        ----------
        layer : Module
            The layer that draws, for errors.

        Returns
        -------
        array of shape (2,)
            A key of :mod:`bpkit.random`.

        Raises
        ------
        ArgumentError
            If the call was given no key, or has ended.
        BatchingError
            If vmap runs inside the call: every example would get the same numbers.
        """
        state = self._running(layer)
        if self._key is None:
            raise ArgumentError(
                f"{layer!r} draws random numbers in training, and training_call was given no key; pass one, "
                f"another in each step: nn.training_call(model, x, key=key)"
            )
        _state.set(replace(state, drawn=state.drawn + 1))
        if callable(self._key):
            self._key = self._key()
        return random.fold_in(self._key, state.drawn)

    def latest(self, layer: Layer) -> Layer:
        """The layer with the buffers that it has by now: new ones, if it was called before in this call.

        Parameters
        ----------
        layer : Module

        Raises
        ------
        ArgumentError, BatchingError
            As :meth:`key_for`.
        """
        _, buffers = self._running(layer).changed.get(id(layer), (layer, {}))
        return layer.replace(**buffers) if buffers else layer

    def update(self, layer: Module, **buffers: RawArray) -> None:
        """Set buffers of a layer, in the model that :func:`training_call` returns.

        No gradient flows through them.

        Parameters
        ----------
        layer : Module
            One that is part of the model.
        **buffers : array
            New values by the names of fields made by :func:`bpkit.nn.buffer`; each of the shape and the dtype
            of the old one.

        Raises
        ------
        ArgumentError
            If a name is not that of a buffer, or the dtype differs.
        ShapeError
            If the shape differs.
        """
        state = self._running(layer)
        for name, value in buffers.items():
            _check(layer, name, value)
        new = {name: self._settled(xp.stop_gradient(value)) for name, value in buffers.items()}
        _, before = state.changed.get(id(layer), (layer, {}))
        _state.set(replace(state, changed=state.changed | {id(layer): (layer, before | new)}))

    def _running(self, layer: Module) -> _State:
        state = _state.get()
        if state is None or state.mode is not self:
            raise ArgumentError(
                f"{layer!r} used a Mode after the training_call that it belongs to; ask nn.mode.current() "
                f"for it in each call of the layer"
            )
        if any(trace.level > self._level and isinstance(trace, BatchTrace) for trace in running()):
            raise BatchingError(
                f"{layer!r} was called by vmap inside training_call, and in training it depends on the "
                f"whole batch or on a key, which vmap would not show it; call it on the whole batch, or put "
                f"vmap around training_call and give each example a key"
            )
        return state

    def _settled(self, x: Any) -> Any:
        """A buffer without the transforms that began inside the call: for them it is a constant."""
        while isinstance(x, Traced) and not 0 < x._trace.level <= self._level and x._link is not BATCHED:
            x = x._value
        return x


def current() -> Mode | None:
    """The training mode, if a :func:`training_call` is running in this thread and no frozen part of it.

    Returns
    -------
    Mode or None
        None where the model predicts.

    Examples
    --------
    >>> current() is None
    True
    """
    state = _state.get()
    return None if state is None else state.mode


class outside:  # noqa: N801 - a context manager that is used as a function is
    """A context in which layers predict, also inside a :func:`training_call`.

    Examples
    --------
    >>> with outside():
    ...     print(current())
    None
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _state.set(None)

    def __exit__(self, *_: object) -> None:
        _state.reset(self._token)


def training_call(
    model: Any, *args: Any, key: RawArray | Callable[[], RawArray] | None = None, **kwargs: Any
) -> Trained:
    """Call a model in training mode.

    It is the same call as ``model(*args)``, which predicts. But layers such as :class:`bpkit.nn.Dropout` draw
    random numbers, :class:`bpkit.nn.BatchNorm` looks at the batch, and what the layers learn from it besides
    gradients, their buffers, is in the model that is returned. What is inside :class:`bpkit.nn.Frozen`
    predicts.

    Parameters
    ----------
    model : Module
        Or a tree of them that can be called.
    *args, **kwargs
        What the model takes.
    key : array, callable or None
        A key of :mod:`bpkit.random` for the layers that draw: each draw gets another key that is made of it,
        in the order of the calls. None is enough where none draws. A function that makes the key is called at
        the first draw, if there is one.

    Returns
    -------
    Trained
        The output, and the model with new buffers.

    Raises
    ------
    ArgumentError
        If a layer draws and there is no key, or a layer with new buffers is not part of the model.
    BatchingError
        If a layer that draws or has buffers is called by vmap inside of it.

    Notes
    -----
    It works inside transforms; then return the model beside the loss, as the last example does. A gradient
    does not flow through buffers. A function made by :func:`bpkit.jit` that is called inside runs as it is:
    put jit around the whole step. In a checkpointed part the second run draws what the first one drew.

    A layer is a place in the model, not an object: a Module that is held in one place and called twice sees
    in the second call what the first one left, and one that is held in two places is two layers.

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> model = nn.Sequential(nn.Dense(3, 2, key=random.key(0)), nn.tanh)
    >>> output, model = training_call(model, xp.zeros((4, 3)), key=random.key(1))
    >>> output.shape
    (4, 2)

    A loss whose gradient is taken, with the new model beside it:

    >>> import bpkit
    >>> from bpkit import losses
    >>> def loss(parameters, rest, x, y, key):
    ...     output, model = training_call(nn.combine(parameters, rest), x, key=key)
    ...     return losses.quadratic(output, y), nn.partition(model).rest
    >>> parameters, rest = nn.partition(model)
    >>> take = bpkit.value_and_grad(loss, has_aux=True)
    >>> (value, rest), gradient = take(parameters, rest, xp.ones((4, 3)), xp.ones((4, 2)), random.key(2))
    >>> gradient.layers[0].weight.shape
    (2, 3)
    """
    # Instances of its own, one for each place, in which the new buffers can be set.
    model = tree.map(lambda leaf: leaf, model)
    token = _state.set(_State(Mode(key), 0, {}))
    try:
        with without_jit():
            output = model(*args, **kwargs)
        state = _state.get()
    finally:
        _state.reset(token)
    assert state is not None
    if state.changed:
        places = {id(part) for part in tree.parts(model)}
        for layer, buffers in state.changed.values():
            if id(layer) not in places:
                raise ArgumentError(
                    f"training_call: {layer!r} has new buffers, but it is not part of the model that was "
                    f"called, so they would be lost; declare it as a field of the model, and call the "
                    f"layer itself and not a copy of it"
                )
            vars(layer).update(buffers)
    return Trained(output, model)


def _check(layer: Module, name: str, value: Any) -> None:
    """Refuse what cannot stand in the place of a buffer."""
    cls: Any = type(layer)
    if name not in parts_of(cls).buffers:
        raise ArgumentError(
            f"{layer!r} has no buffer {name!r}; declare it in the class: `{name}: Any = bpkit.nn.buffer()`"
        )
    old = getattr(layer, name)
    if tuple(value.shape) != tuple(old.shape):
        raise ShapeError(
            f"{layer!r}: the new {name} has shape {tuple(value.shape)}, the old {tuple(old.shape)}; a "
            f"buffer keeps its shape"
        )
    if value.dtype != old.dtype:
        raise ArgumentError(
            f"{layer!r}: the new {name} has dtype {value.dtype}, the old {old.dtype}; a buffer keeps its "
            f"dtype: xp.astype(value, layer.{name}.dtype)"
        )
