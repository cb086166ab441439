"""Layers made of layers: one after another, and with a way around."""

from collections.abc import Callable, Iterator
from typing import Any, overload

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.nn.activations import identity
from bpkit.nn.module import Module, layout, static

__all__ = ["Lambda", "Residual", "Sequential"]


class Lambda(Module):
    """A plain function as a layer without parameters.

    Parameters
    ----------
    function : callable
        ``function(x, **options) -> y``. It is a setting of the model: arrays that it closes over are
        constants, which get no gradient. Two models match only when they have the same function object, which
        those of ``lambda`` and :func:`functools.partial` never are.
    **options
        Further arguments of the function, such as the slope of a leaky rectifier; hashable. They match when
        they are equal.

    Raises
    ------
    ArgumentError
        If it is not callable, is a class, or is a method of a Module, whose arrays would get no gradient.

    Examples
    --------
    >>> from bpkit import xp
    >>> Lambda(xp.tanh)
    Lambda(tanh)
    >>> Lambda(xp.abs)(xp.asarray([-1.0]))
    array([1.])
    >>> from bpkit import nn
    >>> Lambda(nn.leaky_relu, negative_slope=0.2)
    Lambda(leaky_relu, negative_slope=0.2)
    """

    function: Callable[..., Any] = static()
    options: tuple[tuple[str, Any], ...] = static()

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        if not callable(function):
            raise ArgumentError(
                f"a layer must be a Module or a function, got {function!r} of type {type(function).__name__}"
            )
        if isinstance(function, type):
            name = function.__name__
            raise ArgumentError(
                f"a layer must be a Module or a function, got the class {name}; make one: {name}(...)"
            )
        if isinstance(getattr(function, "__self__", None), Module):
            raise ArgumentError(
                f"a layer cannot be the method {_name(function)} of a Module, because the arrays of that "
                f"Module would get no gradient; write a Module whose __call__ calls the method"
            )
        self.function = function
        self.options = tuple(sorted(options.items()))

    def __call__(self, x: RawArray) -> RawArray:
        """Return ``function(x, **options)``."""
        return self.function(x, **dict(self.options))

    def __repr__(self) -> str:
        parts = [_name(self.function), *(f"{name}={value!r}" for name, value in self.options)]
        return f"{type(self).__name__}({', '.join(parts)})"


class Sequential(Module):
    """Layers applied in order: ``Sequential(f, g)(x) = g(f(x))``.

    Parameters
    ----------
    *layers : Module or callable
        Each takes the output of the one before. A function that is not a Module becomes a :class:`Lambda`.
        A Module given twice is two layers that start equal, not one with tied weights; to tie them, write a
        Module that holds it once and calls it twice.

    Attributes
    ----------
    layers : tuple of Module

    Raises
    ------
    ArgumentError
        If a layer is neither a callable Module nor a function. An error inside a layer gets a note that says
        which layer it was.

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> first, second = random.split(random.key(0))
    >>> model = Sequential(nn.Dense(784, 30, key=first), nn.sigmoid, nn.Dense(30, 10, key=second), nn.sigmoid)
    >>> model
    Sequential(
      Dense(784 → 30),
      Lambda(sigmoid),
      Dense(30 → 10),
      Lambda(sigmoid),
    )
    >>> model(xp.zeros((5, 784))).shape
    (5, 10)
    >>> len(model), model[0]
    (4, Dense(784 → 30))
    """

    layers: tuple[Any, ...]

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for index, layer in enumerate(layers):
            if isinstance(layer, Module) and not callable(layer):
                raise ArgumentError(
                    f"layer {index} ({_label(layer)}) cannot be called; give {type(layer).__name__} a method "
                    f"__call__(self, x)"
                )
        self.layers = tuple(layer if isinstance(layer, Module) else Lambda(layer) for layer in layers)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply every layer in order.

        Parameters
        ----------
        x : array
            What the first layer takes.

        Returns
        -------
        array
            What the last layer returns; `x` itself if there is none.
        """
        for index, layer in enumerate(self.layers):
            try:
                x = layer(x)
            except Exception as error:
                error.add_note(f"in layer {index} ({_label(layer)}) of {type(self).__name__}")
                raise
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Any:
        """One layer, or for a slice a Sequential of the same layers."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        return layout(type(self).__name__, [repr(layer) for layer in self.layers], lines=len(self.layers) > 1)


class Residual(Module):
    """A layer with a way around it: ``y = shortcut(x) + layer(x)``.

    Parameters
    ----------
    layer : Module or callable
    shortcut : Module or callable
        What leads around, where the layer's output has another shape than `x`; else `x` itself.

    Attributes
    ----------
    layer, shortcut : Module

    Raises
    ------
    ArgumentError
        If one is neither a Module nor a function.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016, equations 1
    and 2.

    Examples
    --------
    >>> from bpkit import nn, xp
    >>> Residual(nn.relu)(xp.asarray([-1.0, 2.0]))
    array([-1.,  4.])
    """

    layer: Any
    shortcut: Any

    def __init__(self, layer: Callable[[Any], Any], shortcut: Callable[[Any], Any] = identity) -> None:
        self.layer = layer if isinstance(layer, Module) else Lambda(layer)
        self.shortcut = shortcut if isinstance(shortcut, Module) else Lambda(shortcut)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array
            What the layer takes.

        Returns
        -------
        array of the shape of the layer's output

        Raises
        ------
        ShapeError
            If the two ways lead to different shapes.
        """
        around, y = self.shortcut(x), self.layer(x)
        if tuple(around.shape) != tuple(y.shape):
            raise ShapeError(
                f"{type(self).__name__}: {_label(self.layer)} returned shape {tuple(y.shape)}, and "
                f"{_label(self.shortcut)} leads around it with shape {tuple(around.shape)}; they are added: "
                f"give a shortcut of the same shape, Residual(layer, shortcut=nn.Dense(...))"
            )
        return xp.add(around, y)

    def __repr__(self) -> str:
        parts = [repr(self.layer)]
        if not (isinstance(self.shortcut, Lambda) and self.shortcut.function is identity):
            parts.append(f"shortcut={self.shortcut!r}")
        return layout(type(self).__name__, parts)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _label(layer: Any) -> str:
    first, *rest = repr(layer).splitlines()
    return f"{first}…)" if rest else first
