"""Batch normalisation."""

import math
from typing import Any

from bpkit import namespace as xp
from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.nn import mode
from bpkit.nn.module import Module, buffer, static
from bpkit.nn.normalization import along, real_shape, setting
from bpkit.nn.sizes import check_sizes, expect

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    """Each channel normalised over the batch: ``y = (x - mean) / sqrt(var + eps) * weight + bias``.

    In training, mean and variance are those of the batch, over all axes but axis 1. Running averages of them
    are kept in buffers, and used where the model predicts::

        running = (1 - momentum) * running + momentum * batch

    where the variance of the batch is the unbiased one, as in PyTorch.

    Parameters
    ----------
    num_features : int
        The number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of the new batch in the running averages, from 0 to 1. None for the plain average of all
        batches.
    affine : bool
        Whether there are `weight` and `bias`.
    track_running_stats : bool
        Without, the layer normalises with the batch where it predicts too.
    dtype : floating dtype or None
        Of the parameters and buffers; None for the default of the current backend.

    Attributes
    ----------
    weight, bias : array, shape (num_features,), or None
        Ones and zeros at first; None if not `affine`.
    running_mean, running_var : array, shape (num_features,), or None
        Buffers, zeros and ones at first; None if not `track_running_stats`.
    num_batches_tracked : int32 array, shape (), or None
        A buffer, the number of batches; kept only if `momentum` is None.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", ICML 2015, algorithm 1.

    Examples
    --------
    >>> from bpkit import nn, xp
    >>> layer = BatchNorm(2)
    >>> x = xp.asarray([[0.0, 1.0], [2.0, 5.0]])
    >>> y, layer = nn.training_call(layer, x)
    >>> xp.round(y)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean, layer.running_var
    (array([0.1, 0.3]), array([1.1, 1.7]))
    """

    weight: RawArray | None
    bias: RawArray | None
    running_mean: RawArray | None = buffer()
    running_var: RawArray | None = buffer()
    num_batches_tracked: RawArray | None = buffer()
    num_features: int = static()
    eps: float = static()
    momentum: float | None = static()

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ) -> None:
        check_sizes("BatchNorm", num_features=num_features)
        if momentum is not None:
            momentum = setting("BatchNorm", "momentum", momentum, 1.0)
        shape = (int(num_features),)
        self.weight = xp.ones(shape, dtype=dtype) if affine else None
        self.bias = xp.zeros(shape, dtype=dtype) if affine else None
        self.running_mean = xp.zeros(shape, dtype=dtype) if track_running_stats else None
        self.running_var = xp.ones(shape, dtype=dtype) if track_running_stats else None
        counts = track_running_stats and momentum is None
        self.num_batches_tracked = xp.zeros((), dtype="int32") if counts else None
        self.num_features = int(num_features)
        self.eps = setting("BatchNorm", "eps", eps)
        self.momentum = momentum

    def __call__(self, x: RawArray) -> RawArray:
        """Apply the layer.

        Parameters
        ----------
        x : array, shape (n, num_features) or (n, num_features, *any), real floating

        Returns
        -------
        array of `x`'s shape

        Raises
        ------
        ArgumentError
            If `x` is not such an array.
        ShapeError
            If axis 1 of `x` has another length; or if there are less than two numbers in a channel, where the
            batch is what is normalised with.
        """
        shape = real_shape(self, x, f"(n, {self.num_features}, ...)")
        fits = len(shape) > 1 and shape[1] == self.num_features
        expect(fits, self, "x", shape, f"(n, {self.num_features}, ...)")
        training = mode.current()
        var: Any = self.running_var
        if training is None and var is not None:
            y = xp.subtract(x, along(1, shape, self.running_mean))
        else:
            n = math.prod(shape) // self.num_features
            if n < 2:
                raise ShapeError(
                    f"{self!r}: x of shape {shape} has {n} number{'s' * (n != 1)} in each channel, and the "
                    f"variance of a batch needs two; train with a larger batch (leave a last one of a "
                    f"single example out: drop_last=True), or normalise each example with LayerNorm or "
                    f"GroupNorm"
                )
            axes = tuple([axis for axis in range(len(shape)) if axis != 1])
            mean = xp.mean(x, axis=axes, keepdims=True)
            y = xp.subtract(x, mean)
            var = xp.mean(xp.square(y), axis=axes)
            if training is not None and self.running_var is not None:
                self._track(training, xp.reshape(mean, (self.num_features,)), var, n)
        scale = 1.0 / xp.sqrt(var + self.eps)
        if self.weight is not None:
            scale = xp.multiply(scale, self.weight)
        y = xp.multiply(y, along(1, shape, scale))
        return y if self.bias is None else xp.add(y, along(1, shape, self.bias))

    def _track(self, training: mode.Mode, mean: RawArray, var: RawArray, n: int) -> None:
        """Put a batch of `n` numbers in each channel into the running averages."""
        last: Any = training.latest(self)
        share: Any = self.momentum
        changed = {}
        if last.num_batches_tracked is not None:
            changed["num_batches_tracked"] = count = last.num_batches_tracked + 1
            share = 1.0 / xp.astype(count, last.running_mean.dtype)
        for name, new in (("running_mean", mean), ("running_var", xp.multiply(var, n / (n - 1)))):
            old = getattr(last, name)
            new = xp.astype(xp.stop_gradient(new), old.dtype, copy=False)
            changed[name] = xp.add(xp.multiply(old, 1.0 - share), xp.multiply(new, share))
        training.update(self, **changed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_features})"
