"""Averages of the parameters over the steps, which often predict better than the last ones."""

from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit.kinds import is_complex
from bpkit.optim.made import remembered
from bpkit.optim.optimizer import (
    FROM_INIT,
    Optimizer,
    check_params,
    check_state,
    flag,
    leaves_like,
    no_steps,
    setting,
    share_of_mean,
)
from bpkit.optim.schedules.counting import steps_setting
from bpkit.optim.wrapping import check_optimizer, find_state

__all__ = ["AveragedState", "averaged", "averaged_params"]


class AveragedState(NamedTuple):
    """What :func:`averaged` remembers between steps.

    Attributes
    ----------
    count : array of int32, shape ()
        Steps done.
    average : tree
        The averaged parameters; :func:`averaged_params` finds them.
    inner : tree
        The state of the optimizer inside.
    """

    count: Any
    average: Any
    inner: Any


@remembered
def averaged(
    optimizer: Optimizer,
    decay: float | None = 0.999,
    *,
    bias_correction: bool = False,
    start: int = 0,
    every: int = 1,
) -> Optimizer:
    """Keep an average of the parameters beside them. The steps are those of `optimizer`.

    The average a goes to the parameters p by a share of the way, ``a = a + w * (p - a)``, where for the n-th
    parameters that are taken ::

        w = 1 if n == 1 else 1 - decay              exponential, from the first ones on
        w = (1 - decay) / (1 - decay ** n)          with bias_correction
        w = 1 / n                                   with decay=None, the plain mean

    Parameters
    ----------
    optimizer : Optimizer
        What takes the steps.
    decay : float or None
        How much of the average stays, from 0 to below 1; None for the plain mean (stochastic weight
        averaging).
    bias_correction : bool
        Whether the first parameters weigh no more than later ones: the average is then that of Adam's means,
        from zero on and divided by ``1 - decay ** n``.
    start : int
        After how many steps to begin; until the first are taken, the average follows the parameters.
    every : int
        Parameters are taken after ``start + every`` steps, ``start + 2 * every``, …; positive.

    Returns
    -------
    Optimizer
        With state :class:`AveragedState`, and the meaning of ``torch.optim.swa_utils.AveragedModel``.

    Raises
    ------
    ArgumentError
        If a setting is not as said.

    References
    ----------
    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on
    Control and Optimization 30 (1992).
    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.averaged(optim.sgd(1.0), decay=None)
    >>> x = xp.asarray([0.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(3):
    ...     x, state = optimizer.update(xp.asarray([-1.0]), state, x)
    >>> x, optim.averaged_params(state)
    (array([3.]), array([2.]))
    """
    check_optimizer("averaged", optimizer)
    stays = None if decay is None else setting("averaged", "decay", decay, below=1.0)
    corrected = flag("averaged", "bias_correction", bias_correction)
    wait = steps_setting("averaged", "start", start, least=0)
    pace = steps_setting("averaged", "every", every)

    def init(params: Any) -> AveragedState:
        check_params("averaged", params, linear=True)
        # A copy, since a compiled step may write over the parameters.
        copy = tree.map(lambda p: p * 1, params)
        return AveragedState(no_steps(params), copy, optimizer.init(params))

    def update(grads: Any, state: AveragedState, params: Any) -> tuple[Any, AveragedState]:
        check_state("averaged.update", state, AveragedState)
        params, inner = optimizer.update(grads, state.inner, params)
        leaves, structure = tree.flatten(params)
        means = leaves_like("averaged.update", "state.average", state.average, structure, FROM_INIT)
        count = state.count + 1
        weights: dict[Any, Any] = {}
        for i, (p, a) in enumerate(zip(leaves, means, strict=True)):
            if p.dtype not in weights:
                weights[p.dtype] = _weight(count - wait, p)
            means[i] = a + weights[p.dtype] * (p - a)
        return params, AveragedState(count, tree.unflatten(structure, means), inner)

    def _weight(count: Any, p: Any) -> Any:
        """The share of the way to the parameters after so many steps since the start."""
        dtype = xp.real(p).dtype if is_complex(p) else p.dtype
        n = xp.astype(xp.maximum(count // pace, 1), dtype)
        if stays is None:
            weight = 1.0 / n
        elif corrected:
            weight = (1.0 - stays) / share_of_mean(stays, n)
        else:
            weight = xp.where(n > 1.0, 1.0 - stays, xp.ones_like(n))
        if pace > 1:
            weight = weight * xp.astype(count % pace == 0, dtype)
        return xp.where(count < pace, xp.ones_like(n), weight)

    def observe(state: AveragedState, value: Any) -> AveragedState:
        return state._replace(inner=optimizer.observe(state.inner, value))

    return Optimizer(init, update, observe)


def averaged_params(state: Any) -> Any:
    """The averaged parameters that a state holds.

    Parameters
    ----------
    state : tree
        Of an optimizer with :func:`averaged` around or inside it.

    Returns
    -------
    tree
        Of the structure, shapes and dtypes of the parameters. It is part of the state, which the next step of
        a compiled training may write over.

    Raises
    ------
    ArgumentError
        If the state is of another optimizer.

    Examples
    --------
    >>> from bpkit import optim, xp
    >>> optimizer = optim.clip_by_norm(optim.averaged(optim.sgd(0.5)), 1.0)
    >>> optim.averaged_params(optimizer.init({"w": xp.asarray([1.0, 2.0])}))
    {'w': array([1., 2.])}
    """
    return find_state("averaged_params", state, AveragedState, "averaged").average
