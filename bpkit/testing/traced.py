"""Namespaces in which every array is traced, for array-API test suites that know nothing of bpkit.

A suite that takes a namespace (array-api-tests of data-apis, the array-API tests of SciPy, scikit-learn and
array-api-extra) makes its arrays there and hands them to what it tests. If these arrays are traced, it meets
bpkit's array and functions as the code inside :func:`bpkit.grad` does.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

from bpkit import registry
from bpkit._protocol import Backend
from bpkit.array import Array
from bpkit.backward import ReverseTrace, gradients
from bpkit.forward import ForwardTrace
from bpkit.graph import Node
from bpkit.kinds import device_of, is_inexact
from bpkit.namespace.xp import CREATION, Namespace, namespace_of
from bpkit.rules.registry import Rule
from bpkit.trace import call

__all__ = ["traced_namespace"]

Mode = Literal["reverse", "forward", "constant"]


def traced_namespace(backend: str = "numpy", mode: Mode = "reverse") -> Namespace:
    """A namespace in which every array that is made is traced, outside any transform.

    Parameters
    ----------
    backend : str
        Whose arrays are traced, as :func:`bpkit.registry.get_backend` names it.
    mode : "reverse", "forward" or "constant"
        What watches the floating arrays that its creation functions make. "reverse": each is an input of one
        reverse-mode transform that never ends, and whatever is computed from it is carried back one step at
        once, so that the rule runs as well. "forward": each is an input of forward mode, with a tangent of
        ones. "constant": each is an array that depends on no input, as ``x.__array_namespace__().zeros(3)``
        makes it inside a transform; only these can be converted with ``numpy.asarray`` or exported.
        Arrays of integers and booleans depend on no input in any mode.

    Returns
    -------
    Namespace
        Has the standard's functions and the backend's dtypes. The same object for the same arguments.

    Raises
    ------
    BackendError
        If there is no such backend, or its library is missing.
    ValueError
        If `mode` is none of the three.

    Notes
    -----
    A graph lives as long as the arrays computed in it, so memory stays bounded in a long run.

    Examples
    --------
    >>> xp = traced_namespace("numpy")
    >>> xp.sin(xp.asarray([0.0]))
    Array(array([0.]), traced by grad, value_and_grad or vjp)

    How the suite of data-apis takes it:

    >>> import os
    >>> made = "import bpkit.testing; xp = bpkit.testing.traced_namespace()"
    >>> os.environ["ARRAY_API_TESTS_MODULE"] = f"exec('{made}')"  # doctest: +SKIP
    """
    found = registry.get_backend(backend)
    found.require()
    if mode == "constant":
        return namespace_of(found)
    if mode not in _TRACES:
        raise ValueError(f"traced_namespace: mode must be 'reverse', 'forward' or 'constant', got {mode!r}")
    return _watched(found, mode)


@functools.cache
def _watched(backend: Backend, mode: str) -> Namespace:
    return _Watched(backend, mode)


class _EndlessReverse(ReverseTrace):
    """Reverse mode whose function never returns; every step is carried back as soon as it is done."""

    __slots__ = ()

    def input(self, value: Any) -> Array:
        """Watch a value as an input, but not among the arguments, which live as long as the trace."""
        return Array(value, self, Node("input", value, []))

    def link(
        self, rule: Rule, links: list[Any], values: list[Any], out: Any, static: dict[str, Any]
    ) -> Node | None:
        """The node of `out`, once its cotangent has been carried back to the operands."""
        operands = _as_inputs(links, values)
        node = super().link(rule, operands, values, out, static)
        _carry_back([node], [out], operands, values)
        return super().link(rule, links, values, out, static)

    def links(
        self,
        rule: Rule,
        links: list[Any],
        values: list[Any],
        out: tuple[Any, ...],
        static: dict[str, Any],
    ) -> list[Any]:
        """The same for a function with several results."""
        operands = _as_inputs(links, values)
        nodes = super().links(rule, operands, values, out, static)
        _carry_back(nodes, list(out), operands, values)
        return super().links(rule, links, values, out, static)


def _as_inputs(links: list[Any], values: list[Any]) -> list[Node | None]:
    """Nodes without edges in the place of those of the operands: a graph of one step."""
    return [None if link is None else Node("input", x, []) for link, x in zip(links, values, strict=True)]


def _carry_back(
    nodes: list[Node | None], outs: list[Any], operands: list[Node | None], values: list[Any]
) -> None:
    """Carry cotangents of ones back by one step; what arrives must fit the operands."""
    seeds = [(node, _ones(out)) for node, out in zip(nodes, outs, strict=True) if node is not None]
    reached = [(node, x) for node, x in zip(operands, values, strict=True) if node is not None]
    inputs, primals = [node for node, _ in reached], [x for _, x in reached]
    for g, x in zip(gradients(seeds, inputs, primals, once=True), primals, strict=True):
        if g.shape != x.shape or g.dtype != x.dtype or device_of(g) != device_of(x):
            raise AssertionError(f"the cotangent of an operand {x!r} is {g!r}")


class _EndlessForward(ForwardTrace):
    """Forward mode whose function never returns."""

    __slots__ = ()

    def input(self, value: Any) -> Array:
        """Watch a value as an input, with a tangent of ones."""
        return Array(value, self, _ones(value))


_TRACES: dict[str, type[_EndlessReverse | _EndlessForward]] = {
    "reverse": _EndlessReverse,
    "forward": _EndlessForward,
}


def _ones(x: Any) -> Any:
    return call("ones_like", x, dtype=None, device=None)


class _Watched(Namespace):
    """A namespace that watches the floating arrays it makes as inputs."""

    def __init__(self, backend: Backend, mode: str) -> None:
        super().__init__(f"bpkit.testing.{mode}.{backend.name}", backend)
        self._mode = mode
        trace = _TRACES[mode]()
        trace.live = 1
        for chapter in (self, self.fft):
            for name in CREATION.intersection(vars(chapter)):
                setattr(chapter, name, _watching(trace, getattr(chapter, name)))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return traced_namespace, (self._library().name, self._mode)


def _watching(trace: _EndlessReverse | _EndlessForward, creation: Callable[..., Any]) -> Callable[..., Any]:
    """A creation function whose floating results are inputs of `trace`, unless they are so already."""

    @functools.wraps(creation)
    def watched(*args: Any, **kwargs: Any) -> Any:
        made = creation(*args, **kwargs)
        given = any(made is x for x in args)
        if given or made._link is not None or made._trace.level > trace.level or not is_inexact(made):
            return made
        return trace.input(made._value)

    return watched
