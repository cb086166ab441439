"""L-BFGS: the direction of Newton's method, from the last moves and how they bent the gradient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bpkit import namespace as xp
from bpkit import tree
from bpkit._messages import a_type
from bpkit.errors import ArgumentError
from bpkit.optim.line_search import Point, strong_wolfe
from bpkit.optim.made import Made, remembered
from bpkit.optim.optimizer import FROM_INIT, check_params, check_state, gradients, no_steps, setting
from bpkit.transforms.flat import Flat

__all__ = ["Bend", "LBFGSState", "Minimizer", "lbfgs"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Minimizer(Made):
    """Two pure functions over trees of arrays, as an :class:`Optimizer` is, but for functions without chance.

    An update computes the function as often as it needs to. So it must be the same function all the time,
    and not the loss of another mini-batch in each step, and the update takes the function itself.

    Attributes
    ----------
    init : callable
        ``init(params) -> state``.
    update : callable
        ``update(value_and_grad, state, params) -> (params, state)``: some iterations. The first argument is a
        function ``params -> (value, grads)``, as :func:`bpkit.value_and_grad` makes them. What is to be done
        next depends on values: compile that function, ``bpkit.jit(bpkit.value_and_grad(loss))``, and not the
        update.
    """

    init: Callable[[Any], Any]
    update: Callable[[Callable[[Any], tuple[Any, Any]], Any, Any], tuple[Any, Any]]


class Bend(NamedTuple):
    """A move, and how the gradient changed by it, which says how the function is bent.

    Attributes
    ----------
    move, change : array, shape (n,)
        Of all parameters, one after another, and of the gradient.
    product : array, shape ()
        Of the two.
    """

    move: Any
    change: Any
    product: Any


class LBFGSState(NamedTuple):
    """What :func:`lbfgs` remembers between steps.

    Attributes
    ----------
    count, evaluations : array of int32, shape ()
        Iterations done, and how often the function was computed.
    value : array, shape ()
        Of the function where the last update began; NaN before the first.
    gradient, move : array, shape (n,)
        The gradient where the last iteration began, and how far it went, for all parameters, one after
        another.
    bends : tuple of Bend
        The last ones, at most `history_size`, the latest at the end.
    """

    count: Any
    evaluations: Any
    value: Any
    gradient: Any
    move: Any
    bends: tuple[Bend, ...]


@remembered
def lbfgs(
    learning_rate: float = 1.0,
    max_iter: int = 20,
    max_eval: int | None = None,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
    history_size: int = 100,
    line_search_fn: str | None = None,
) -> Minimizer:
    """L-BFGS, with the meaning of ``torch.optim.LBFGS``.

    With gradient g, an update goes up to `max_iter` times in the direction ``d = -H @ g``. H stands for the
    inverse of the Hessian, and is never made: it begins as ``s @ y / (y @ y)``, and each of the last moves s,
    which changed the gradient by y, replaces it by ``(I - r * outer(s, y)) @ H @ (I - r * outer(y, s)) +
    r * outer(s, s)`` with ``r = 1 / (s @ y)``. A move along which the function is not bent upwards is not
    remembered.

    Parameters
    ----------
    learning_rate : float
        The length of a move over that of d, finite, positive; where a line search begins. The very first
        move changes all parameters together by no more.
    max_iter : int
        Iterations in an update, at least 1.
    max_eval : int, optional
        It ends when it has computed the function this often, and a line search goes on for one more at
        most; without it, 1.25 times `max_iter`.
    tolerance_grad : float
        It ends where no number of the gradient is larger.
    tolerance_change : float
        It ends when no parameter changed by more, or the value by less.
    history_size : int
        How many moves are remembered, at least 1: two arrays of the size of the parameters each.
    line_search_fn : {None, "strong_wolfe"}
        How far a move goes: always `learning_rate`, or to where the strong Wolfe conditions hold. Without it
        the function may grow.

    Returns
    -------
    Minimizer
        With state :class:`LBFGSState`.

    Raises
    ------
    ArgumentError
        If a setting is not such a number; by `init`, if a parameter is not an array of real floating dtype,
        or if there is none; by `update`, if `value_and_grad` is not a function or returns anything but the
        value and gradients of the structure of the parameters, or if the state is of other parameters.
    ShapeError
        By `update`, if a gradient has another shape than its parameter.

    References
    ----------
    J. Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35 (1980).
    D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
    Programming 45 (1989).

    Examples
    --------
    >>> import bpkit
    >>> from bpkit import optim, xp
    >>> def rosenbrock(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> minimizer = optim.lbfgs(line_search_fn="strong_wolfe", max_iter=50)
    >>> x = xp.asarray([-1.0, 1.5])
    >>> x, state = minimizer.update(bpkit.value_and_grad(rosenbrock), minimizer.init(x), x)
    >>> x.round(3), int(state.count)
    (array([1., 1.]), 37)
    """
    rate = setting("lbfgs", "learning_rate", learning_rate)
    if rate == 0.0:
        raise ArgumentError("lbfgs(learning_rate=0): learning_rate must be positive")
    flat_enough = setting("lbfgs", "tolerance_grad", tolerance_grad)
    short_enough = setting("lbfgs", "tolerance_change", tolerance_change)
    _check_count("max_iter", max_iter)
    _check_count("history_size", history_size)
    most = max_iter * 5 // 4 if max_eval is None else max_eval
    _check_count("max_eval", most)
    if line_search_fn not in (None, "strong_wolfe"):
        raise ArgumentError(
            f"lbfgs(line_search_fn={line_search_fn!r}): line_search_fn must be None or 'strong_wolfe'"
        )

    def init(params: Any) -> LBFGSState:
        check_params("lbfgs", params)
        none = no_steps(params)
        zeros = xp.zeros_like(Flat(*tree.flatten(params)).ravel("lbfgs.init needs", params))
        return LBFGSState(none, none, xp.sum(zeros) + xp.nan, zeros, zeros, ())

    def update(value_and_grad: Any, state: LBFGSState, params: Any) -> tuple[Any, LBFGSState]:
        check_state("lbfgs.update", state, LBFGSState)
        line = _Line(value_and_grad, params)
        x, move, bends = line.start, state.move, state.bends
        if x.shape != move.shape:
            raise ArgumentError(
                f"lbfgs.update: params have {x.shape[0]} numbers, but the state is of {move.shape[0]}; "
                f"{FROM_INIT}"
            )
        value, g = line.at(x)
        first, before = value, state.gradient
        count = int(state.count)
        for left in reversed(range(max_iter if _largest(g) > flat_enough else 0)):
            count += 1
            bends = _remembered(bends, move, g - before, history_size) if count > 1 else bends
            d = _direction(bends, g)
            before, slope = g, float(xp.vecdot(g, d))
            if slope > -short_enough:
                move = xp.zeros_like(d)
                break
            t = rate if count > 1 else rate * min(1.0, 1.0 / float(xp.sum(xp.abs(g))))
            old = value
            if line_search_fn:
                here = Point(0.0, value, g, slope)
                trials = most - line.evaluations
                t, value, g, _ = strong_wolfe(line.along(x, d), here, t, _largest(d), trials)
            move = t * d
            x = x + move
            if not left:
                break
            if not line_search_fn:
                value, g = line.at(x)
            if (
                line.evaluations >= most
                or _largest(g) <= flat_enough
                or _largest(move) <= short_enough
                or abs(value - old) < short_enough
            ):
                break
        return line.unravel(x), LBFGSState(
            state.count + (count - int(state.count)),
            state.evaluations + line.evaluations,
            xp.zeros_like(state.value) + first,
            before,
            move,
            bends,
        )

    return Minimizer(init, update)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"lbfgs({name}={value!r}): {name} must be an integer, at least 1")


class _Line:
    """The function, of all parameters one after another."""

    def __init__(self, value_and_grad: Any, params: Any) -> None:
        self.value_and_grad = value_and_grad
        self.params = params
        self.leaves, self.structure = tree.flatten(params)
        # A model can be called, and so can its gradient.
        if not callable(value_and_grad) or type(value_and_grad) is type(params):
            raise ArgumentError(
                f"lbfgs.update: value_and_grad is {a_type(type(value_and_grad))}; it must be the function "
                f"that is to become small, with its gradient: bpkit.value_and_grad(loss)"
            )
        self.flat = Flat(self.leaves, self.structure)
        self.start = self.flat.ravel("lbfgs.update needs", params)
        self.unravel = self.flat.unravel
        self.evaluations = 0

    def at(self, x: Any) -> tuple[float, Any]:
        """Value and gradient."""
        found = self.value_and_grad(self.unravel(x))
        self.evaluations += 1
        if not isinstance(found, tuple | list) or len(found) != 2 or getattr(found[0], "shape", None) != ():
            raise ArgumentError(
                "lbfgs.update: value_and_grad must return the value, an array of shape (), and the "
                "gradients, as bpkit.value_and_grad(loss) does"
            )
        value, grads = found
        slopes = gradients("lbfgs", grads, self.params, self.leaves, self.structure)
        return float(value), self.flat.ravel("lbfgs.update needs", tree.unflatten(self.structure, slopes))

    def along(self, x: Any, d: Any) -> Callable[[float], Point]:
        """What is to be known of the line from `x` on in the direction `d`."""

        def at(t: float) -> Point:
            value, g = self.at(x + t * d)
            return Point(t, value, g, float(xp.vecdot(g, d)))

        return at


def _largest(x: Any) -> float:
    return float(xp.max(xp.abs(x)))


def _remembered(bends: tuple[Bend, ...], move: Any, change: Any, size: int) -> tuple[Bend, ...]:
    product = xp.vecdot(move, change)
    return (*bends, Bend(move, change, product))[-size:] if float(product) > 1e-10 else bends


def _direction(bends: Sequence[Bend], g: Any) -> Any:
    """``-H @ g``, by Nocedal's two loops."""
    d, shares = -g, []
    for s, y, product in reversed(bends):
        shares.append(xp.vecdot(s, d) / product)
        d = d - shares[-1] * y
    if bends:
        d = d * (bends[-1].product / xp.vecdot(bends[-1].change, bends[-1].change))
    for s, y, product in bends:
        d = d + (shares.pop() - xp.vecdot(y, d) / product) * s
    return d
