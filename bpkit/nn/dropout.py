"""Dropout."""

from numbers import Real

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.nn import mode
from bpkit.nn.module import Module, static
from bpkit.nn.sizes import array_shape

__all__ = ["Dropout"]


class Dropout(Module):
    """Sets each number to zero with probability `rate` in training, and scales others by ``1 / (1 - rate)``.

    The mean of a number stays what it is, so that nothing is scaled where the model predicts: there the layer
    returns its input.

    Parameters
    ----------
    rate : float
        From 0 to below 1: the share that is dropped, rounded to a multiple of 2**-31. 0 drops nothing and
        needs no key.

    Attributes
    ----------
    rate : float

    Raises
    ------
    ArgumentError
        If the rate is no such number.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: a simple way to
    prevent neural networks from overfitting", JMLR 15 (2014); section 10 has the scaling in training.

    Examples
    --------
    >>> from bpkit import nn, random, xp
    >>> layer = Dropout(0.5)
    >>> layer(xp.ones(4))
    array([1., 1., 1., 1.])
    >>> nn.training_call(layer, xp.ones(4), key=random.key(0)).output
    array([0., 2., 0., 2.])
    """

    rate: float = static()

    def __init__(self, rate: float) -> None:
        if not isinstance(rate, Real) or isinstance(rate, bool) or not 0.0 <= rate < 1.0:
            raise ArgumentError(
                f"Dropout: rate must be a number from 0 to below 1, got {rate!r}; it is the share that is "
                f"dropped"
            )
        self.rate = float(rate)

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array of any shape, floating

        Returns
        -------
        array of `x`'s shape and dtype

        Raises
        ------
        ArgumentError
            If `x` is no array, or it is training and :func:`bpkit.nn.training_call` was given no key.
        """
        shape = array_shape(self, "x", x, "(...)")
        training = mode.current()
        if training is None or self.rate == 0.0:
            return x
        kept = random.bernoulli(training.key_for(self), 1.0 - self.rate, shape)
        return xp.multiply(x, xp.multiply(xp.astype(kept, x.dtype), 1.0 / (1.0 - self.rate)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rate:g})"
