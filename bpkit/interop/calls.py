"""A call with trees of arrays as a function of the list of these arrays."""

from collections.abc import Callable
from typing import Any

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.transforms.arguments import describe, is_array
from bpkit.transforms.functions import Leaves

__all__ = ["Call"]


class Call:
    """A call of a function, whose arrays can be exchanged for others.

    Parameters
    ----------
    called : str
        For errors.
    fun : callable
    args, kwargs
        What it is called with; trees.
    what : str
        What an array is called: ``"an array"``, ``"a tensor"``.

    Attributes
    ----------
    arrays : list
        Those among the arguments.

    Raises
    ------
    ArgumentError
        If there is none.
    """

    def __init__(
        self,
        called: str,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str = "an array",
    ) -> None:
        self._called = called
        self._fun = fun
        self._given = args, kwargs
        self._leaves, self._structure = tree.flatten(self._given)
        self._places = [i for i, x in enumerate(self._leaves) if is_array(x)]
        self._of_result: tree.Structure | None = None
        self.arrays: Leaves = [self._leaves[i] for i in self._places]
        if not self._places:
            raise ArgumentError(f"{called}: it needs {what} among its arguments; there is none")

    def name(self, i: int) -> str:
        """What an error calls the array number `i`: ``argument 0.weight``, ``keyword argument x``."""
        args, kwargs = self._given
        names = [f"argument {path[1:].replace(']', '', 1)}" for path in tree.paths(args)]
        names += [f"keyword argument {path[2:].replace(chr(39) + ']', '', 1)}" for path in tree.paths(kwargs)]
        return names[self._places[i]]

    def run(self, arrays: Leaves, wanted: type = object, what: str = "an array") -> Leaves:
        """The arrays of the result, with others for those of the arguments.

        Raises
        ------
        ArgumentError
            If one is no array, or not of the type that is wanted; `what` says which.
        """
        leaves = list(self._leaves)
        for i, x in zip(self._places, arrays, strict=True):
            leaves[i] = x
        args, kwargs = tree.unflatten(self._structure, leaves)
        out = self._fun(*args, **kwargs)
        outs, self._of_result = tree.flatten(out)
        for i, x in enumerate(outs):
            if not is_array(x) or not isinstance(x, wanted):
                path = tree.paths(out)[i]
                raise ArgumentError(f"{self._called}: the result{path} must be {what}; it is {describe(x)}")
        return outs

    def result(self, outs: Any) -> Any:
        """These arrays as the tree that the latest run returned."""
        assert self._of_result is not None
        return tree.unflatten(self._of_result, outs)
