"""Runs functions of single examples on a whole batch of them."""

from typing import Any

from bpkit.array import Array
from bpkit.batching.registry import Operand, rule_of
from bpkit.kinds import is_mutable, raw, returns_scalars
from bpkit.registry import backend_of
from bpkit.trace import BATCHED, Trace, Traced, call, snapshot
from bpkit.views import VIEWS, remember

__all__ = ["BatchTrace"]


class Scalar(Array):
    """A value of which each example is one of NumPy's scalars: ``x += y`` makes a new one."""

    __slots__ = ()

    _is_scalar = True


_ARRAYS = {"broadcast_to", "fft.fftn", "fft.ifftn", "isin", "where"}
_ARRAYS |= {"empty_like", "full_like", "ones_like", "zeros_like", "index_add", "scatter_add", "setitem"}
"""Functions of NumPy that return arrays of no axes where others return scalars."""
_AS_THEY_ARE = {"astype", "imag", "permute_dims", "real", "reshape", "stop_gradient"}
"""Functions that return a scalar for a scalar, and an array of no axes for one."""


def _may_be_scalar(name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> bool:
    """Whether a result of no axes is a scalar, in a library that has any."""
    if name == "getitem":
        return ... not in static["key"]
    if name in _AS_THEY_ARE:
        return not is_mutable(operands[0])
    return name not in _ARRAYS


class BatchTrace(Trace):
    """Watches values that stand for one example of a batch.

    A batched value has its examples along a first axis one level down and does not show that axis; its link
    is :data:`bpkit.trace.BATCHED`. A value without a link is the same for every example.

    Attributes
    ----------
    size : int
        The number of examples.
    moved : list of Array
        The arguments whose examples do not lie along their first axis.
    """

    __slots__ = ("moved", "size")

    transform = "vmap"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.moved: list[Array] = []

    def takes_other_axis(self, x: Array) -> bool:
        """Whether `x` is an argument whose examples lie along another axis than the first."""
        return any(x is y for y in self.moved)

    def process(self, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """Run `name` on all examples at once, if they differ in an operand."""
        if not self.live:
            return self.afterwards(name, operands, static)
        own = [isinstance(x, Traced) and x._trace is self for x in operands]
        values = [x._value if mine else snapshot(x) for x, mine in zip(operands, own, strict=True)]
        batched = [mine and x._link is BATCHED for x, mine in zip(operands, own, strict=True)]
        if any(batched):
            link = BATCHED
            out = rule_of(name)(name, self.size, *map(Operand, values, batched), **static)
        else:
            link = None
            out = call(name, *values, **static)
        if isinstance(out, tuple):
            return tuple([self.watch(part, link) for part in out])
        result = self.watch(out, link, _may_be_scalar(name, operands, static))
        if name in VIEWS and isinstance(operands[0], Traced):
            remember(result, operands, name, static)
        return result

    def watch(self, value: Any, link: Any, may_be_scalar: bool = True) -> Array:
        """A value one level down as the function of one example sees it.

        Parameters
        ----------
        value : array
        link
            :data:`bpkit.trace.BATCHED` if its examples lie along the first axis.
        may_be_scalar : bool
            Whether examples of no axes are scalars, in a library that has any.
        """
        no_axes = link is BATCHED and len(value.shape) == 1
        scalar = may_be_scalar and no_axes and returns_scalars(backend_of(raw(value)))
        return (Scalar if scalar else Array)(value, self, link)
