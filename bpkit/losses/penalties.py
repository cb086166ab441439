"""Penalties on large parameters, to be added to a loss."""

from collections.abc import Callable
from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.kinds import is_real
from bpkit.nn.partition import partition

__all__ = ["l1", "l2"]


def l1(params: Any, *, skip_biases: bool = False) -> RawArray:
    """Sum of the absolute values of all parameters.

    Its gradient is the sign of each parameter, 0 at 0: it shrinks all at the same speed and leaves few that
    are not 0.

    Parameters
    ----------
    params : tree of arrays
        A model, for instance; its buffers and what is frozen do not count.
    skip_biases : bool
        Whether to leave out arrays with fewer than two axes: biases, and the scales of normalisations.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ArgumentError
        If there is no floating array in the tree, or none with two axes where biases are skipped.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equation 95.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.l1({"weight": xp.asarray([[1.0, -2.0]]), "bias": xp.asarray([4.0])}, skip_biases=True)
    np.float64(3.0)
    """
    return _summed("l1", xp.abs, params, skip_biases)


def l2(params: Any, *, skip_biases: bool = False) -> RawArray:
    """Half the sum of the squares of all parameters.

    Its gradient is each parameter itself, so that a loss plus ``decay * l2(params)`` is what optimisers of
    plain gradients call a weight decay of ``decay``.

    Parameters
    ----------
    params : tree of arrays
        A model, for instance; its buffers and what is frozen do not count.
    skip_biases : bool
        Whether to leave out arrays with fewer than two axes: biases, and the scales of normalisations.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ArgumentError
        If there is no floating array in the tree, or none with two axes where biases are skipped.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, equation 87.

    Examples
    --------
    >>> from bpkit import losses, xp
    >>> losses.l2({"weight": xp.asarray([[1.0, -2.0]]), "bias": xp.asarray([4.0])})
    np.float64(10.5)
    """
    return 0.5 * _summed("l2", xp.square, params, skip_biases)


def _summed(name: str, function: Callable[[RawArray], RawArray], params: Any, skip_biases: bool) -> RawArray:
    chosen = [
        x for x in tree.leaves(partition(params).trainable) if is_real(x) and not (skip_biases and x.ndim < 2)
    ]
    if not chosen:
        what = "floating array with two or more axes" if skip_biases else "floating array"
        raise ArgumentError(f"{name}: there is no {what} in params; expected a model or a tree of arrays")
    total = xp.sum(function(chosen[0]))
    for x in chosen[1:]:
        total = total + xp.sum(function(x))
    return total
