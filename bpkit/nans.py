"""The first value that is not finite: which function made it, from what, in which layer, on which line.

While :func:`debug_nans` is on, :func:`bpkit.trace.call` hands every call to a :class:`Watch`, which looks at
the result, at the tangents that hang on it and, in the backward pass, at every cotangent. What a rule
computes on the way (a derivative that is infinite where the cotangent is zero) is nobody's value, and is not
looked at.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from bpkit._messages import described, user_frame
from bpkit.errors import NonFiniteError
from bpkit.evaluate import evaluate
from bpkit.forward import ForwardTrace
from bpkit.graph import Node
from bpkit.provenance import Bare, Made, bare, place_of, remember
from bpkit.registry import backend_of
from bpkit.trace import Trace, Traced, watcher, watches

__all__ = ["Watch", "debug_nans"]


@contextmanager
def debug_nans(enable: bool = True, infinities: bool = True) -> Iterator[None]:
    """While the block runs, the first value that is not finite raises, and the error says where it was made.

    Looked at are the results of bpkit's functions, tangents, cotangents, and the arguments that transforms
    differentiate by. The checks cost several times what small functions cost; outside the block nothing is
    checked.

    Parameters
    ----------
    enable : bool
        False turns the checks off in the block, inside another one.
    infinities : bool
        Whether an infinity counts that a function made of finite operands. It does unless you say otherwise:
        in training it is the overflow itself, and the NaN comes some functions later, where it tells less.
        Infinities that are passed in (a mask of ``-inf``) and what functions make of them are let through.
        Where a pole is meant, as in ``xp.where(x > 0, xp.log(x), 0.0)``, pass False.

    Raises
    ------
    NonFiniteError
        Inside the block. Says what made the value and in which pass (forward, backward or tangent), the
        shapes and dtypes of the operands, their elements at that place, the layer if a
        :class:`bpkit.nn.Module` was running, and the line that called the function in the forward pass.

    Notes
    -----
    Holds for the current thread (:mod:`contextvars`); can be nested, and decorate a function. The operands of
    the forward pass are kept until the backward pass is done. Inside ``jax.jit``, where there are no values
    yet, nothing is looked at.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import grad, xp
    >>> try:
    ...     with debug_nans():
    ...         grad(lambda x: xp.sum(xp.sqrt(x)))(np.asarray([1.0, 0.0]))
    ... except FloatingPointError as error:
    ...     print(error)
    backward pass: the derivative of sqrt made inf at index (1,): sqrt(0.0), cotangent 1.0
      in sqrt(float64[2])
      If infinities are meant, debug_nans(infinities=False) looks for NaN only
      at <doctest bpkit.nans.debug_nans[2]>:3: grad(lambda x: xp.sum(xp.sqrt(x)))(np.asarray([1.0, 0.0]))
    """
    before = watcher.get()
    watches.append(None)
    watcher.set(Watch(infinities) if enable else None)
    try:
        yield
    finally:
        watcher.set(before)
        watches.pop()


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the values of one thread.

    Attributes
    ----------
    infinities : bool
    inside : Made or None
        The call, or the derivative of one, that is at work: what it calls itself is not looked at.
    frame : frame or None
        The user's frame that it works for. If another one is innermost, it runs code of the user's (a rule of
        theirs, a checkpoint for the second time), which is looked at.
    """

    infinities: bool
    inside: Made | None = None
    frame: FrameType | None = None

    def run(self, trace: Trace | None, name: str, operands: tuple[Any, ...], static: dict[str, Any]) -> Any:
        """A call, of which `trace` is the innermost trace among the operands."""

        def go() -> Any:
            return (
                evaluate(name, operands, static) if trace is None else trace.process(name, operands, static)
            )

        caller = sys._getframe(2)
        frame = user_frame(caller)
        values = tuple(map(bare, operands))
        inside = self.inside
        if inside is not None and frame is self.frame:
            during = inside.during or ("" if inside.name == name else f"called by {inside.name}")
            made = Made(name, values, static, inside.place, during)
            out = go()
        else:
            made = Made(name, values, static, place_of(caller))
            out = self.within(made, frame, go)
            for part in out if isinstance(out, tuple) else (out,):
                self.check_result(bare(part), made)
                self.check_tangents(part, made, operands)
        for part in out if isinstance(out, tuple) else (out,):
            remember(part, made)
        return out

    def within(self, made: Made, frame: FrameType | None, work: Callable[[], Any]) -> Any:
        """Do something whose own calls are not looked at."""
        watcher.set(Watch(self.infinities, made, frame))
        first = next((x.value for x in made.operands if hasattr(x.value, "shape")), None)
        try:
            if first is None:
                return work()
            # The library's warnings would say the same with less.
            with backend_of(first).quiet():
                return work()
        finally:
            watcher.set(self)

    def walk(self, work: Callable[[], Any]) -> Any:
        """A whole backward pass: sums of cotangents are looked at when they are complete."""
        caller = sys._getframe(1)
        made = Made("the backward pass", (), {}, place_of(caller), "in the backward pass")
        return self.within(made, user_frame(caller), work)

    def mapped(self, called: str, work: Callable[[], list[Any]]) -> list[Any]:
        """The tangents that a recorded map gives; refused if one is not finite."""
        caller = sys._getframe(1)
        made = Made(called, (), {}, place_of(caller))
        found: list[Any] = self.within(made, user_frame(caller), work)
        for tangent in map(bare, found):
            wrong = self.wrong(tangent)
            if wrong is not None:
                index = _first(wrong)
                value = tangent.element(index, tangent)
                text = (
                    f"tangent: {called}: the map made {value}{tangent.at(index)}. bpkit.jvp in the same "
                    f"direction finds the function that did"
                )
                _refuse(text, called, "tangent", value, index[len(tangent.batches) :], None)
        return found

    # What is looked at.

    def wrong(self, x: Bare) -> Any:
        """Where a value has what is looked for, on the host; None if it has none."""
        finite = x.where("isfinite")
        if finite is None or finite.all():
            return None
        found = ~finite if self.infinities else x.where("isnan")
        return found if found.any() else None

    def check_result(self, result: Bare, made: Made) -> None:
        """Refuse a result with NaN, or with an infinity where no operand has one."""
        wrong = None if made.name in _MADE_TO_ORDER else self.wrong(result)
        if wrong is None:
            return
        nan = result.where("isnan")
        given = wrong & nan & _among("isnan", made, result)
        new = wrong & ~(given if not self.infinities else given | ~nan & _among("isinf", made, result))
        if not (new | given).any():
            return
        phase = "forward" if new.any() else "input"
        index = _first(new if new.any() else given)
        value = result.element(index, result)
        elements = ", ".join(made.elements(index, result))
        shown = f": {made.name}({elements})" if elements else ""
        if phase == "forward":
            text = f"forward pass: {made.name} made {value}{result.at(index)}{shown}"
        else:
            text = (
                f"{made.name} was given {value}{result.at(index)}{shown}. No function made it while "
                f"debug_nans was on: it was in the data, or was made before"
            )
        _refuse(text, made.name, phase, value, index[len(result.batches) :], made)

    def check_tangents(self, out: Any, made: Made, operands: tuple[Any, ...]) -> None:
        """Refuse a tangent of a result, of whatever order, that is not finite."""
        while isinstance(out, Traced):
            link = out._link
            if link is not None and isinstance(out._trace, ForwardTrace):
                tangent = bare(link)
                wrong = self.wrong(tangent)
                if wrong is not None:
                    of = [x._link for x in operands if isinstance(x, Traced) and x._trace is out._trace]
                    was_given = any(t is not None and self.wrong(bare(t)) is not None for t in of)
                    index = _first(wrong)
                    value = tangent.element(index, tangent)
                    elements = ", ".join(made.elements(index, tangent))
                    text = (
                        f"tangent: the derivative of {made.name} {'was given' if was_given else 'made'} "
                        f"{value}{tangent.at(index)}{f': {made.name}({elements})' if elements else ''}"
                        f"{'. It came in with the tangents' if was_given else ''}"
                    )
                    phase = "input" if was_given else "tangent"
                    _refuse(text, made.name, phase, value, index[len(tangent.batches) :], made)
                self.check_tangents(link, made, ())
            out = out._value

    def arrived(self, node: Node, g: Any) -> None:
        """Refuse the whole cotangent of a value if it is not finite, though no derivative has made it so."""
        for part in g if isinstance(g, tuple) else (g,):
            cotangent = bare(part)
            wrong = self.wrong(cotangent)
            if wrong is not None:
                index = _first(wrong)
                value = cotangent.element(index, cotangent)
                text = (
                    f"backward pass: the cotangent of the result of {node.name} is {value}"
                    f"{cotangent.at(index)}. It was passed in so, or is a sum of finite ones"
                )
                index = index[len(cotangent.batches) :]
                _refuse(text, node.name, "backward", value, index, getattr(node, "made", None))

    def pulled(self, node: Node, g: Any, pull: Callable[..., Any], saved: tuple[Any, ...]) -> Any:
        """``pull(g, *saved)``, a step of the backward pass; refused if it is not finite."""
        made: Made | None = getattr(node, "made", None)
        known = made or Made(node.name, (), {}, place_of(None))
        at_work = Made(node.name, (), {}, known.place, f"in the derivative of {known.name}")
        try:
            found = self.within(at_work, self.frame, lambda: pull(g, *saved))
        except Exception as error:
            if made is not None and not isinstance(error, NonFiniteError):
                error.add_note(f"in the backward pass of {made}\n  at {made.place.line}")
            raise
        for part in found if isinstance(found, tuple) else (found,):
            result = bare(part)
            wrong = self.wrong(result)
            if wrong is None:
                continue
            index = _first(wrong)
            value = result.element(index, result)
            text = f"backward pass: the derivative of {node.name} made {value}{result.at(index)}"
            if made is not None and not isinstance(g, tuple) and tuple(g.shape) == result.shape:
                elements = ", ".join(made.elements(index, result))
                if elements:
                    text += f": {made.name}({elements}), cotangent {bare(g).element(index, result)}"
            _refuse(text, node.name, "backward", value, index[len(result.batches) :], made)
        return found

    def inputs(self, called: str, name: Callable[[int], str], leaves: list[Any]) -> None:
        """Refuse arguments that are not finite before the function has run."""
        for i, leaf in enumerate(leaves):
            x = bare(leaf)
            wrong = self.wrong(x)
            if wrong is not None:
                index = _first(wrong)
                value = x.element(index, x)
                what = f"{called}: {name(i)}, {described(leaf)}"
                text = f"{what}, is {value}{x.at(index)} before the function runs"
                _refuse(text, called, "input", value, index[len(x.batches) :], None)


_MADE_TO_ORDER = frozenset({"empty_like", "full_like"})
"""Functions that make what they are asked for, or what was in memory."""


def _among(test: str, made: Made, result: Bare) -> Any:
    """Where in a result an operand has such values; everywhere, if it cannot be said of places."""
    found = np.zeros(result.value.shape, dtype=bool)
    for x in (*made.operands, *[Bare(value, ()) for value in made.static.values()]):
        if isinstance(x.value, float | complex):
            found = found | getattr(np, test)(x.value)
        elif (there := x.where(test)) is not None and there.any():
            found = found | (x.lined_up(there, result) if made.elementwise else np.True_)
    return found


def _first(found: Any) -> tuple[int, ...]:
    return tuple([int(i) for i in np.unravel_index(int(np.argmax(found)), found.shape)])


def _refuse(
    text: str, function: str, phase: str, value: str, index: tuple[int, ...], made: Made | None
) -> NoReturn:
    """Raise the error, with where the value was made."""
    layer = ""
    if made is not None:
        layer = made.place.layer
        text += f"\n  in {made}"
        text += f"\n  layer {layer}" if layer else ""
    elif phase == "backward":
        text += "\n  The forward line is not known: it ran without debug_nans, or by a custom rule"
    if "inf" in value:
        text += "\n  If infinities are meant, debug_nans(infinities=False) looks for NaN only"
    error = NonFiniteError(text)
    error.function, error.phase, error.value, error.index, error.layer = function, phase, value, index, layer
    if made is not None:
        error.line = made.place.line
    raise error
