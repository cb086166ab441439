"""Functions whose derivative the user writes: a rule for reverse mode, or one for both modes."""

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any

from bpkit import tree
from bpkit.errors import ArgumentError
from bpkit.transforms.arguments import describe, title
from bpkit.transforms.custom_calls import Call, JvpCall, Rule, VjpCall
from bpkit.transforms.functions import apply

__all__ = ["custom_jvp", "custom_vjp"]


class _Custom:
    """A function together with the rule of its derivative."""

    _transform: str
    _advice: str
    _call: type[Call]

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        called = title(self._transform, fun)
        update_wrapper(self, fun, updated=())
        argnums = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        if not all(isinstance(i, int) and i >= 0 for i in argnums) or len(set(argnums)) < len(argnums):
            raise ArgumentError(
                f"{called}: nondiff_argnums must be positions of arguments, different ints from 0 on; "
                f"it is {describe(nondiff_argnums)}"
            )
        self._rule = Rule(called, fun, tuple(sorted(argnums)), ())
        try:
            self._signature: inspect.Signature | None = inspect.signature(fun)
        except (TypeError, ValueError):  # some builtins have none
            self._signature = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._rule.functions:
            raise ArgumentError(
                f"{self._rule.called}: it has no rule yet. Before the first call, {self._advice}"
            )
        call = self._call(self._rule, self._by_position(args, kwargs))
        outs = apply(call, call.leaves)
        return tree.unflatten(call.result, outs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def _by_position(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments, defaults too, by position, as the rules take them."""
        if self._signature is None:
            if kwargs:
                raise ArgumentError(
                    f"{self._rule.called}: Python cannot read its signature. Pass all arguments by position, "
                    f"{', '.join(kwargs)} too"
                )
            return args
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        refused = ", ".join(name for name in bound.kwargs if name in kwargs)
        if refused:
            raise ArgumentError(
                f"{self._rule.called}: {refused} can be passed by keyword only, and rules take all arguments "
                f"by position. Define the function without * or ** before that name"
            )
        return bound.args


class custom_vjp(_Custom):  # noqa: N801 - used as a decorator, under JAX's name
    """Give a function a derivative of your own for reverse mode.

    Parameters
    ----------
    fun : callable
        Takes trees of arrays (other leaves have no derivative) and returns a tree of arrays. It may compute
        them in any way, outside bpkit too: under `grad` its code is not looked at.
    nondiff_argnums : int or sequence of int
        Positions of arguments that have no gradient: functions, options. A traced array cannot be passed
        there.

    Methods
    -------
    defvjp(fwd, bwd)
        State the rule. ``fwd`` takes what `fun` takes and returns ``(out, residuals)``: the result of `fun`
        and a tree of whatever the way back needs. ``bwd(*nondiff, residuals, g)`` takes the arguments of
        `nondiff_argnums`, the residuals and the cotangent of the result, a tree like it (zeros where nothing
        depends on a result). It returns a tuple with one cotangent for each other argument of `fun`, each
        of that argument's structure, shapes and dtypes; None in it is zero.

    Raises
    ------
    ArgumentError
        On a call without a rule, if an argument can be passed by keyword only, if `fun` or ``fwd`` returns
        what is no array, or if the cotangents from ``bwd`` do not fit the arguments.
    GradientCutError
        If the result depends on a traced value that is no argument: its gradient would be lost.
    NotDifferentiableError
        In forward mode (`jvp`), which such a rule says nothing about; use :class:`custom_jvp`.

    Notes
    -----
    Arguments passed by keyword, and defaults, reach ``fwd`` by position. A gradient of the gradient
    differentiates the code of ``fwd`` and ``bwd``.

    References
    ----------
    A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008, section 3.2: the reverse mode.

    Examples
    --------
    The identity, whose gradient is clipped:

    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> @custom_vjp
    ... def clipped(x, limit):
    ...     return x
    >>> clipped.defvjp(lambda x, limit: (x, limit), lambda limit, g: (xp.clip(g, -limit, limit), None))
    >>> grad(lambda x: xp.sum(clipped(x, 1.0) ** 2))(np.asarray([0.25, 3.0]))
    array([0.5, 1. ])
    """

    _transform = "custom_vjp"
    _advice = "call f.defvjp(fwd, bwd)"
    _call = VjpCall

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """State the rule, as said in the description of the class."""
        for what, function in (("fwd", fwd), ("bwd", bwd)):
            if not callable(function):
                raise ArgumentError(
                    f"{self._rule.called}: {what} must be a function; it is {describe(function)}"
                )
        self._rule = self._rule._replace(functions=(fwd, bwd))


class custom_jvp(_Custom):  # noqa: N801 - used as a decorator, under JAX's name
    """Give a function a derivative of your own, by a rule for forward mode that serves both modes.

    Parameters
    ----------
    fun : callable
        Takes trees of arrays (other leaves have no derivative) and returns a tree of arrays.
    nondiff_argnums : int or sequence of int
        Positions of arguments that have no derivative: functions, options. A traced array cannot be passed
        there.

    Methods
    -------
    defjvp(rule)
        State the rule: ``rule(*nondiff, primals, tangents)`` takes the arguments of `nondiff_argnums`, a
        tuple of the other arguments, and a tuple of their tangents, alike in structure, shapes and dtypes
        (zeros for those that do not move). It returns ``(out, tangent)``: the result of `fun`, and its
        tangent, a tree like it, linear in the tangents; None in it is zero. Can be used as a decorator.
    defjvps(*rules)
        State one rule for each argument, ``rule(t, out, *primals)``: what its tangent `t` adds to the tangent
        of the result `out`. None is for an argument that adds nothing.

    Raises
    ------
    ArgumentError
        On a call without a rule, if an argument can be passed by keyword only, if `fun` returns what is no
        array, if the tangent does not fit the result, or in reverse mode if the rule is found to be no linear
        function of the tangents.
    GradientCutError
        If the result depends on a traced value that is no argument: its derivative would be lost.

    Notes
    -----
    Reverse mode runs the rule once, and carries cotangents back through what is linear in the tangents.
    Linear means that the tangents' sum makes the results' sum, and a multiple the same multiple:
    ``cos(x) * t`` is linear, ``t**2``, ``cos(x) * t + 1`` and ``abs(t)`` are not. Where cotangents are plain
    numbers, or those of one :func:`bpkit.vmap`, the rule runs once more when they arrive, at other tangents,
    and two sums are compared that are the same for a linear rule; where they differ, it runs again, and what
    is not linear is refused. Forward mode looks at nothing.
    Higher derivatives differentiate the code of the rule. Arguments passed by keyword, and defaults, reach
    the rule by position.

    References
    ----------
    A. Radul, A. Paszke, R. Frostig, M. Johnson, D. Maclaurin, "You only linearize once: tangents transpose to
    gradients", POPL 2023.

    Examples
    --------
    ``log(1 + exp(x))``, whose derivative does not overflow:

    >>> import numpy as np
    >>> from bpkit import grad, jvp, xp
    >>> @custom_jvp
    ... def softplus(x):
    ...     return xp.log1p(xp.exp(-xp.abs(x))) + xp.maximum(x, 0.0)
    >>> @softplus.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return softplus(x), t / (1 + xp.exp(-x))
    >>> print(grad(softplus)(0.0), grad(grad(softplus))(0.0))
    0.5 0.25

    One argument after the other:

    >>> @custom_jvp
    ... def product(x, y):
    ...     return x * y
    >>> product.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: t * x)
    >>> print(*grad(product, (0, 1))(2.0, 3.0))
    3.0 2.0
    """

    _transform = "custom_jvp"
    _advice = "decorate its rule with f.defjvp, or call f.defjvps(*rules)"
    _call = JvpCall

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """State the rule, as said in the description of the class."""
        if not callable(rule):
            raise ArgumentError(f"{self._rule.called}: the rule must be a function; it is {describe(rule)}")
        whole = lambda nondiff, primals, tangents, moving: rule(*nondiff, primals, tangents)  # noqa: E731
        self._rule = self._rule._replace(functions=(whole,))
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """State one rule for each argument, as said in the description of the class."""
        if self._rule.argnums:
            raise ArgumentError(
                f"{self._rule.called}: defjvps is not for functions with nondiff_argnums; use defjvp"
            )
        if not all(rule is None or callable(rule) for rule in rules):
            raise ArgumentError(
                f"{self._rule.called}: defjvps takes functions and None; it got {describe(rules)}"
            )

        def whole(nondiff: Any, primals: Any, tangents: Any, moving: list[bool]) -> tuple[Any, Any]:
            if len(rules) != len(primals):
                raise ArgumentError(
                    f"{self._rule.called}: defjvps got {len(rules)} rules, and the call has {len(primals)} "
                    f"arguments; give one for each, None where an argument adds nothing"
                )
            out = self(*primals)
            parts = [
                rule(t, out, *primals)
                for rule, t, moves in zip(rules, tangents, moving, strict=True)
                if rule is not None and moves
            ]
            return out, tree.map(lambda *each: sum(each[1:], each[0]), *parts) if parts else None

        self._rule = self._rule._replace(functions=(whole,))
