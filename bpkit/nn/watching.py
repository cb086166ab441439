"""A model called so that somebody sees what each of its modules returns, and may change it."""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from bpkit import tree
from bpkit._protocol import RawArray
from bpkit.nn.mode import outside, training_call
from bpkit.nn.module import Module, static
from bpkit.transforms.jit import without_jit

__all__ = ["layer_name", "modules", "watched_call"]

See = Callable[[str, Any, Any], Any]
"""``(place, module, output) -> output``, after each call of a module."""

_seeing: ContextVar[See] = ContextVar("_seeing")


def watched_call(model: Any, see: See, *args: Any, key: RawArray | None = None) -> Any:
    """Call a model, and show a function what each call of each of its modules returns.

    Functions made by `jit` inside the model run as they are, since a program of theirs would have been
    recorded without the function.

    Parameters
    ----------
    model : Module
        Or a tree of them that can be called. It is left as it is.
    see : callable
        ``(place, module, output) -> output``: what the caller of the module gets in its place.
    *args
        What the model takes.
    key : array, optional
        Calls it in training mode, with this key; see :func:`bpkit.nn.training_call`. Without one it predicts.

    Returns
    -------
    object
        The output of the model.
    """
    whole = _Watched(model, see)
    with without_jit():
        if key is not None:
            return training_call(whole, *args, key=key).output
        with outside():
            # Modules of its own, one for each place, as training_call makes them.
            return tree.map(lambda leaf: leaf, whole)(*args)


def modules(model: Any) -> Iterator[tuple[str, Any]]:
    """The model and the modules in it, each before those inside it, with the place where it stands."""
    yield "", model
    yield from _below(model, "")


def layer_name(module: Any) -> str:
    """What a module is: its text if that is short and not that of other modules."""
    written = repr(module)
    holds = any(isinstance(part, Module) for part in tree.parts(module)[1:])
    return type(module).__name__ if holds or "\n" in written or len(written) > 40 else written


def _below(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    for step, child in tree.children(part):
        if isinstance(child, Module):
            yield (path + step).removeprefix("."), child
        yield from _below(child, path + step)


class _Watched(Module):
    """A model, in instances that nobody else has, so that their class can be changed."""

    model: Any
    see: See = static()

    def __call__(self, *args: Any) -> Any:
        for place, module in modules(self.model):
            if isinstance(module, Module) and callable(module):
                cls: Any = type(module)
                module.__class__ = _seen(cls, place)
        token = _seeing.set(self.see)
        try:
            return self.model(*args)
        finally:
            _seeing.reset(token)


@cache
def _seen(cls: Any, place: str) -> Any:
    """A class like this one, the calls of which are shown. It knows the place, which copies then keep."""

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return _seeing.get()(place, self, cls.__call__(self, *args, **kwargs))

    return type(cls.__name__, (cls,), {"__call__": __call__})
