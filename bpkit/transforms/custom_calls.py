"""One call of a function whose derivative the user writes: what its rule gets and must return."""

from collections.abc import Callable
from typing import Any, NamedTuple

from bpkit import tree
from bpkit.constants import constant_array
from bpkit.errors import ArgumentError, GradientCutError, NotDifferentiableError
from bpkit.kinds import is_inexact, raw
from bpkit.registry import common_backend
from bpkit.trace import Traced
from bpkit.transforms.arguments import check_tangent, describe, is_array, zeros_like
from bpkit.transforms.functions import BatchedBothWays, Function, Leaves, Pull, check_closure, traces, zeros

__all__ = ["Call", "JvpCall", "Rule", "VjpCall"]


class Rule(NamedTuple):
    """A function and its derivative.

    Attributes
    ----------
    called : str
        For errors and for the graph.
    fun : callable
    argnums : tuple of int
        Positions of arguments that have no derivative, in order.
    functions : tuple of callables
        What states the derivative.
    """

    called: str
    fun: Callable[..., Any]
    argnums: tuple[int, ...]
    functions: tuple[Callable[..., Any], ...]


class Call(Function):
    """One call of a function with a rule.

    Attributes
    ----------
    leaves : list
        Of the arguments that are not in nondiff_argnums.
    structure : Structure
        Of the tuple of these arguments.
    result : Structure
        Of what the function returned; known once it has run.
    """

    result: tree.Structure

    def __init__(self, rule: Rule, args: tuple[Any, ...]) -> None:
        self.rule = rule
        self.name = rule.called
        if rule.argnums and rule.argnums[-1] >= len(args):
            raise ArgumentError(
                f"{self.name}: nondiff_argnums has {rule.argnums[-1]}, and the call has {len(args)} arguments"
            )
        self.still = [tree.map(self._still, args[i]) for i in rule.argnums]
        moving = tuple([x for i, x in enumerate(args) if i not in rule.argnums])
        self.leaves, self.structure = tree.flatten(moving)

    def _still(self, x: Any) -> Any:
        """An argument in nondiff_argnums, which reaches the rules as it is."""
        if not isinstance(x, Traced):
            return x
        while isinstance(x, Traced):
            if x._link is not None:
                raise GradientCutError(
                    f"{self.name}: a value traced by {x._trace.transform} is passed in a position of "
                    f"nondiff_argnums, where its derivative would be lost. Take that position out of "
                    f"nondiff_argnums, and state in the rule what its derivative is, if only zero"
                )
            x = x._value
        return constant_array(x)

    def arguments(self, leaves: Leaves) -> list[Any]:
        """All arguments of the function."""
        args = list(tree.unflatten(self.structure, leaves))
        for i, x in zip(self.rule.argnums, self.still, strict=True):
            args.insert(i, x)
        return args

    def arrays(self, what: str, out: Any, leaves: Leaves) -> Leaves:
        """The arrays of a result that code of the user made of `leaves`."""
        among = traces(leaves)
        found, self.result = tree.flatten(out)
        for i, x in enumerate(found):
            if not is_array(x):
                raise ArgumentError(
                    f"{self.name}: {what}{tree.paths(out)[i]} must be an array; it is {describe(x)}"
                )
        return [check_closure(self.name, x, among) for x in found]

    def run(self, leaves: Leaves) -> Leaves:
        """The function itself."""
        among = traces(leaves)
        found, self.result = tree.flatten(self.rule.fun(*self.arguments(leaves)))
        return [check_closure(self.name, x, among) for x in found]

    def pair(self, what: str, returned: Any, parts: str) -> tuple[Any, Any]:
        """What a rule returned, which must be a pair."""
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise ArgumentError(
                f"{self.name}: {what} must return a pair, ({parts}); it returned {describe(returned)}"
            )
        return returned[0], returned[1]


class VjpCall(Call):
    """A call of a function with a rule for reverse mode, ``(fwd, bwd)``."""

    def batched(self, size: int, which: list[bool]) -> Function:
        """The same for many examples."""
        return BatchedBothWays(self, size, which)

    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """Refused: the rule is for the other mode."""
        raise NotDifferentiableError(
            f"{self.name}: forward mode (jvp) cannot use its rule, which is for reverse mode. Write the rule "
            f"with bpkit.custom_jvp, which serves both modes. Where its own fwd or bwd calls it, call "
            f"f.__wrapped__ there, whose code is then differentiated"
        )

    def backward(self, leaves: Leaves, moving: list[bool]) -> tuple[Leaves, Leaves, Pull]:
        """The results of fwd, and bwd."""
        returned = self.rule.functions[0](*self.arguments(leaves))
        out, residuals = self.pair("fwd", returned, "out, residuals")
        outs = self.arrays("the result of fwd", out, leaves)
        among = traces(leaves)
        kept, arrangement = tree.flatten(residuals)
        saved = [check_closure(self.name, x, among) for x in kept]
        of_outs = [(x.shape, x.dtype) for x in outs]
        of_leaves = [(x.shape, x.dtype) if moves else None for x, moves in zip(leaves, moving, strict=True)]

        def pull(saved: Leaves, gs: Leaves) -> Leaves:
            like = next(g for g in gs if g is not None)
            filled = [
                constant_array(zeros(*of, like)) if g is None else g
                for g, of in zip(gs, of_outs, strict=True)
            ]
            g = tree.unflatten(self.result, filled)
            found = self.rule.functions[1](*self.still, tree.unflatten(arrangement, saved), g)
            return [
                None if g is None or of is None else self.cotangent(i, g, *of, like)
                for i, (g, of) in enumerate(zip(self.cotangents(found), of_leaves, strict=True))
            ]

        return outs, saved, pull

    def cotangents(self, found: Any) -> Leaves:
        """The leaves of what bwd returned, None where one is zero."""
        count = len(self.structure.children())
        if not isinstance(found, tuple | list) or len(found) != count:
            raise ArgumentError(
                f"{self.name}: bwd must return a tuple of {count}, a cotangent for each argument that is not "
                f"in nondiff_argnums, as in return (g,); it returned {describe(found)}"
            )
        try:
            return tree.match(tuple(found), self.structure)
        except ValueError:
            raise ArgumentError(
                f"{self.name}: bwd must return cotangents of the structure of the arguments, "
                f"{self.structure}, with None for zero; it returned {tree.structure(tuple(found))}"
            ) from None

    def cotangent(self, i: int, g: Any, shape: Any, dtype: Any, like: Any) -> Any:
        """A cotangent from bwd, checked against its argument."""
        if is_array(g):
            common_backend([raw(like), raw(g)], f"{self.name}, bwd")
            if g.shape == shape and g.dtype == dtype:
                return g
        elif isinstance(g, int | float) and shape == ():
            return zeros(shape, dtype, like) + g
        path = tree.paths(tree.unflatten(self.structure, range(len(self.leaves))))[i]
        raise ArgumentError(
            f"{self.name}: bwd's result{path} must be an array of shape {tuple(shape)} and dtype {dtype}, as "
            f"its argument is, or None for zero; it is {describe(g)}"
        )


class JvpCall(Call):
    """A call of a function with a rule for forward mode, ``(rule,)``."""

    def forward(self, leaves: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """What the rule says."""
        primals = tree.unflatten(self.structure, leaves)
        filled = [_tangent(x) if t is None else t for x, t in zip(leaves, tangents, strict=True)]
        moves = tree.unflatten(self.structure, [t is not None for t in tangents])
        moving = [any(tree.leaves(each)) for each in moves]
        returned = self.rule.functions[0](self.still, primals, tree.unflatten(self.structure, filled), moving)
        out, tangent = self.pair("the rule", returned, "out, tangent")
        given = [*leaves, *tangents]
        outs = self.arrays("the result of the rule", out, given)
        try:
            found = tree.match(tangent, self.result)
        except ValueError:
            raise ArgumentError(
                f"{self.name}: the rule must return a tangent of the structure of the result, {self.result}, "
                f"with None for zero; it returned {tree.structure(tangent)}"
            ) from None
        paths = tree.paths(out)
        among = traces(given)
        return outs, [
            None
            if t is None or not is_inexact(x)
            else check_closure(self.name, check_tangent(self.name, f"the rule's tangent{path}", t, x), among)
            for x, t, path in zip(outs, found, paths, strict=True)
        ]


def _tangent(x: Any) -> Any:
    """The tangent of a leaf that does not move; None if it is nothing that could."""
    if is_array(x):
        return zeros_like(x)
    return 0.0 if isinstance(x, int | float | complex) else None
