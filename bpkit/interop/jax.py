"""Functions and models of bpkit in JAX's programs, and JAX's functions in bpkit's.

Once it is imported, every model of bpkit, :class:`bpkit.nn.Module`, is a pytree of JAX.

Needs JAX: ``pip install jax``.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("bpkit.interop.jax needs JAX, which is not installed: pip install jax") from error

import numpy as np

from bpkit import tree
from bpkit._protocol import Backend
from bpkit.errors import ArgumentError
from bpkit.fields import splitter
from bpkit.interop.calls import Call
from bpkit.interop.crossing import carried
from bpkit.interop.foreign import Foreign, Native
from bpkit.interop.steps import Step
from bpkit.nn import Module
from bpkit.registry import get_backend, use_backend
from bpkit.trace import Traced
from bpkit.transforms.arguments import describe, title
from bpkit.transforms.functions import Leaves, apply

__all__ = ["from_jax", "to_jax"]

Specs = tuple[jax.ShapeDtypeStruct, ...]


def to_jax(fun: Callable[..., Any], *, backend: str | None = None, result: Any = None) -> Callable[..., Any]:
    """A function of bpkit as a function of JAX, with bpkit's derivative as its ``jax.custom_vjp``.

    Parameters
    ----------
    fun : callable
        Takes trees of arrays (and anything else, which has no derivative) and returns a tree of arrays.
    backend : str or None
        The library in which it runs. None for JAX itself: JAX traces through bpkit's functions, and compiles
        them with the rest of the program. With ``"numpy"``, ``"torch"`` or any other the compiled program
        calls back into Python, ``jax.pure_callback``, with arrays in the machine's memory.
    result : pytree of arrays or of ``jax.ShapeDtypeStruct``, or None
        Shapes and dtypes of the result, for another backend. None to find them by running `fun` on JAX's
        stand-ins; so it is needed where `fun` can only run in its own library.

    Returns
    -------
    callable
        Takes what `fun` takes, with JAX's or NumPy's arrays; to be used in ``jax.jit``, ``jax.grad``,
        ``jax.vmap``, ``jax.lax.scan`` and the others.

    Raises
    ------
    ArgumentError
        If an argument has no array, an array of another library is among them, or the result is no tree of
        arrays, or is not what `result` says.

    Notes
    -----
    Gradients of gradients are bpkit's too. As for every ``jax.custom_vjp``, forward mode (``jax.jvp``,
    ``jax.jacfwd`` and with it ``jax.hessian``) is refused by JAX: use ``jax.jacrev``. The way back runs `fun`
    again; inside ``jax.jit``, on JAX itself, XLA computes only once what both need. In another library
    ``jax.vmap`` calls it for one example after the other.

    References
    ----------
    R. Frostig, M. J. Johnson, C. Leary, "Compiling machine learning programs via high-level tracing", SysML
    2018.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from bpkit import xp
    >>> energy = to_jax(lambda x: xp.sum(xp.sin(x) ** 2))
    >>> print(jax.jit(jax.grad(energy))(jnp.asarray([0.0, 1.0])).round(3))
    [0.    0.909]
    """
    called = title("to_jax", fun, advice="")
    library = None if backend in (None, "jax") else get_backend(backend)
    specs = None if result is None else tree.map(_spec, result)

    @wraps(fun, updated=())
    def of_jax(*args: Any, **kwargs: Any) -> Any:
        return _call(called, fun, library, specs, args, kwargs)

    return of_jax


def from_jax(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX as a function of bpkit.

    Parameters
    ----------
    fun : callable
        Takes pytrees of JAX arrays (and anything else, which has no derivative) and returns one.

    Returns
    -------
    callable
        Takes trees of arrays of one library, whichever it is, and returns arrays of that library; JAX's lie
        in the same memory where DLPack can do that. bpkit's transforms differentiate it by ``jax.vjp`` and
        ``jax.jvp`` to any order, and batch it by ``jax.vmap``. In :func:`bpkit.jit` on JAX arrays it is
        compiled with the rest, elsewhere it is one opaque step.

    Raises
    ------
    ArgumentError
        If an argument has no array, a result is no array of JAX, or JAX has no such dtype: float64 and int64
        only while its x64 mode is on.
    MixedBackendsError
        If arrays of two libraries are among the arguments.

    Notes
    -----
    JAX dispatches one function after the other; pass ``jax.jit(fun)`` to have it compiled.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from bpkit import grad, xp
    >>> soft = from_jax(jax.nn.softplus)
    >>> print(grad(lambda x: xp.sum(soft(x)))(np.asarray([0.0, 1.0], dtype="float32")).round(3))
    [0.5   0.731]
    """
    called = title("from_jax", fun, advice="")

    @wraps(fun, updated=())
    def of_arrays(*args: Any, **kwargs: Any) -> Any:
        call = Call(called, fun, args, kwargs)
        if all(isinstance(x, jax.Array) for x in call.arrays):
            return fun(*args, **kwargs)

        def body(arrays: Leaves) -> Leaves:
            return call.run(arrays, jax.Array, "a JAX array")

        return call.result(apply(Foreign(_JaxNative(called, body)), call.arrays))

    return of_arrays


def _make_pytree(cls: type) -> None:
    """Tell JAX what bpkit knows of a class of models."""
    if not issubclass(cls, Module):
        return
    flatten, unflatten = splitter(cls)
    with suppress(ValueError):  # its author has registered it already
        jax.tree_util.register_pytree_node(cls, lambda model: flatten(model)[:2], unflatten)


tree.follow(_make_pytree)


def _call(
    called: str,
    fun: Callable[..., Any],
    library: Backend | None,
    result: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    call = Call(called, fun, args, kwargs)
    if any(isinstance(x, Traced) for x in call.arrays):  # in a transform of bpkit, which does it itself
        return fun(*args, **kwargs)
    for i, x in enumerate(call.arrays):
        if not isinstance(x, jax.Array | np.ndarray | np.generic):
            raise ArgumentError(
                f"{called}: {call.name(i)} must be an array of JAX or NumPy; it is {describe(x)} of "
                f"{type(x).__module__}"
            )
    arrays = [jnp.asarray(x) for x in call.arrays]
    step = Step(called, call.run)
    specs: Specs | None = None
    if library is not None:
        specs = _specs(step, arrays) if result is None else tuple(tree.leaves(result))
    try:
        outs = _applied(step, library, specs, arrays)
    except jax.errors.UnexpectedTracerError as error:
        raise ArgumentError(
            f"{called}: it uses a value that JAX differentiates or compiles and that is no argument of the "
            f"function. Pass it as an argument"
        ) from error
    return call.result(outs) if result is None else tree.unflatten(tree.structure(result), outs)


def _specs(step: Step, arrays: Leaves) -> Specs:
    """Shapes and dtypes of the results, found on JAX's stand-ins."""

    def run(*xs: Any) -> tuple[Any, ...]:
        with use_backend("jax"):
            return tuple(step.run(list(xs)))

    try:
        found: Specs = jax.eval_shape(run, *arrays)
    except Exception as error:
        raise ArgumentError(
            f"{step.called}: run on JAX's stand-ins to find the shapes of its result, it raised "
            f"{type(error).__name__}: {error}. If it can only run in its own library, say what it returns: "
            f"result=jax.ShapeDtypeStruct(shape, dtype), or a tree of them"
        ) from error
    return found


def _applied(step: Step, library: Backend | None, specs: Specs | None, arrays: Leaves) -> Sequence[Any]:
    """A step of JAX's arrays, with its derivatives as steps."""
    count = len(arrays)
    moving = [i for i, x in enumerate(arrays) if _is_inexact(x)]

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def run(*arrays: Any) -> tuple[Any, ...]:
        if library is not None:
            return _called_back(step, library, specs, arrays)
        with use_backend("jax"):
            return tuple(step.run(list(arrays)))

    def fwd(*arrays: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return run(*arrays), arrays

    def bwd(arrays: tuple[Any, ...], gs: tuple[Any, ...]) -> tuple[Any, ...]:
        reached = [i for i, g in enumerate(gs) if g.dtype != jax.dtypes.float0]
        found: list[Any] = [None] * count
        if moving and reached:
            shapes = tuple([_spec(arrays[i]) for i in moving])
            back = step.back(count, moving, reached)
            given = [*arrays, *[gs[i] for i in reached]]
            for i, g in zip(moving, _applied(back, library, shapes, given), strict=True):
                found[i] = g
        return tuple(found)

    run.defvjp(fwd, bwd)
    outs: Sequence[Any] = run(*arrays)
    return outs


def _called_back(step: Step, library: Backend, specs: Specs | None, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """A step that runs in another library, while the compiled program waits."""
    assert specs is not None

    def on_host(*given: Any) -> tuple[Any, ...]:
        inputs = [
            carried(step.called, f"array {i} of its arguments", jnp.asarray(x), library)
            for i, x in enumerate(given)
        ]
        with use_backend(library.name):
            outs = step.run(inputs)
        # By way of JAX's arrays, which share memory with those of the library, bfloat16 too.
        found = [carried(step.called, f"result {i}", x, get_backend("jax")) for i, x in enumerate(outs)]
        of_found = [(tuple(x.shape), str(x.dtype)) for x in found]
        expected = [(tuple(x.shape), str(x.dtype)) for x in specs]
        if of_found != expected:
            raise ArgumentError(
                f"{step.called}: its results have the shapes and dtypes {of_found}; expected were "
                f"{expected}, as the argument result says, or as they are on JAX"
            )
        return tuple(found)

    outs: tuple[Any, ...] = jax.pure_callback(on_host, specs, *arrays, vmap_method="sequential")
    return outs


class _JaxNative(Native):
    """A function of a list of JAX's arrays."""

    def __init__(self, called: str, evaluate: Callable[[Leaves], Leaves]) -> None:
        self.called = called
        self.evaluate = evaluate
        self._kept: list[tuple[list[int], list[Any], Callable[..., Any]]] = []

    @property
    def library(self) -> Backend:
        """JAX's."""
        return get_backend("jax")

    def run(self, arrays: Leaves) -> Leaves:
        """The results."""
        return self.evaluate(arrays)

    def recorded(self, arrays: Leaves, moving: Sequence[int]) -> Leaves:
        """By jax.vjp, whose way back is kept."""
        of_moving = self._of_moving(arrays, moving, lambda outs: outs)
        outs, pull = jax.vjp(of_moving, *[arrays[i] for i in moving])
        self._kept.append((list(moving), [_spec(x) for x in outs], pull))
        return list(outs)

    def back(self, count: int, moving: Sequence[int], reached: Sequence[int]) -> "_JaxNative":
        """By the way back that was kept, once; by another one, if it is asked for again or transformed."""

        def evaluate(arrays: Leaves) -> Leaves:
            leaves, gs = arrays[:count], dict(zip(reached, arrays[count:], strict=True))
            if self._kept and not any(isinstance(x, jax.core.Tracer) for x in arrays):
                kept, specs, pull = self._kept.pop()
                if kept == list(moving):
                    return list(pull(tuple([gs.get(i, _zero(spec)) for i, spec in enumerate(specs)])))
            of_moving = self._of_moving(leaves, moving, lambda outs: [outs[i] for i in reached])
            return list(jax.vjp(of_moving, *[leaves[i] for i in moving])[1](tuple(gs.values())))

        return _JaxNative(self.called, evaluate)

    def forward(self, count: int, moving: Sequence[int]) -> "_JaxNative":
        """By jax.jvp."""

        def evaluate(arrays: Leaves) -> Leaves:
            leaves = arrays[:count]
            of_moving = self._of_moving(leaves, moving, lambda outs: [x for x in outs if _is_inexact(x)])
            primals = tuple([leaves[i] for i in moving])
            return list(jax.jvp(of_moving, primals, tuple(arrays[count:]))[1])

        return _JaxNative(self.called, evaluate)

    def batched(self, which: Sequence[bool]) -> "_JaxNative":
        """By jax.vmap."""

        def evaluate(arrays: Leaves) -> Leaves:
            axes = tuple([0 if own else None for own in which])
            return list(jax.vmap(lambda *xs: tuple(self.run(list(xs))), in_axes=axes)(*arrays))

        return _JaxNative(self.called, evaluate)

    def _of_moving(
        self, leaves: Leaves, moving: Sequence[int], chosen: Callable[[Leaves], Leaves]
    ) -> Callable[..., tuple[Any, ...]]:
        """Some results as a function of some of the leaves."""

        def of_moving(*xs: Any) -> tuple[Any, ...]:
            given = list(leaves)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return tuple(chosen(self.run(given)))

        return of_moving


def _spec(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _zero(spec: jax.ShapeDtypeStruct) -> Any:
    """A cotangent of zeros for a result of that shape and dtype."""
    return jnp.zeros(spec.shape, spec.dtype) if _is_inexact(spec) else np.zeros(spec.shape, jax.dtypes.float0)


def _is_inexact(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))
