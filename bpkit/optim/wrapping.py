"""What optimisers that are made of others share."""

from typing import Any

from bpkit import namespace as xp
from bpkit import tree
from bpkit._messages import a_type
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError
from bpkit.optim.optimizer import Optimizer

__all__ = ["check_optimizer", "chosen", "find_state"]


def check_optimizer(called: str, optimizer: Any) -> None:
    """Refuse what is no optimizer.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"{called}: expected an Optimizer, for instance bpkit.optim.adam(1e-3), got "
            f"{a_type(type(optimizer))}"
        )


def chosen(condition: RawArray, new: Any, old: Any) -> Any:
    """One of two trees of the same structure, without a branch, so that it can be compiled.

    Parameters
    ----------
    condition : array of bool, shape ()
    new, old : tree of arrays
    """
    return tree.map(lambda x, y: _plain(xp.where(condition, x, y)), new, old)


def _plain(x: RawArray) -> RawArray:
    # NumPy's `where` returns an array where its other functions return scalars. A state whose types change
    # from step to step would be compiled twice.
    return xp.positive(x) if x.shape == () else x


def find_state(called: str, state: Any, wanted: type, made_by: str) -> Any:
    """The state of one class among those of optimizers around and inside it, the outermost first.

    Raises
    ------
    ArgumentError
        If there is none. Those of :func:`bpkit.optim.groups` hold several and are not looked into.
    """
    inside = state
    while not isinstance(inside, wanted):
        inside = getattr(inside, "inner", None)
        if inside is None:
            raise ArgumentError(
                f"{called}: a state of the class {type(state).__name__} holds no {wanted.__name__}; make the "
                f"optimizer with {made_by}. Those in a GroupsState are asked one by one: state.inner[label]"
            )
    return inside
