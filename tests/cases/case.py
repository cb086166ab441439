"""What a case is: one function, where it is evaluated, and how it is called."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from bpkit._protocol import Capability
from bpkit.testing.functions import DOMAINS

__all__ = ["Argument", "Case", "case", "moving"]

Values = np.ndarray[Any, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Argument:
    """An array that is differentiated: drawn from a domain, or given."""

    shape: Shape
    domain: str = "real"
    dtype: str = "float64"
    values: Any = None

    def draw(self, rng: np.random.Generator) -> Values:
        """The values: multiples of 2**-16, so that float32 holds them and their neighbours exactly."""
        drawn = np.asarray(DOMAINS[self.domain](rng, self.shape) if self.values is None else self.values)
        return np.asarray(np.round(drawn * 2**16) / 2**16, dtype=self.dtype)


@dataclass(frozen=True, eq=False)
class Case:
    """One function, called in one way.

    Attributes
    ----------
    name : str
        The function whose derivative it tests: a name of the namespace, or one that only rules use.
    label : str
        What is special about it.
    fun : callable
        ``fun(xp, *arguments)``, where `xp` is bpkit's namespace or that of a library.
    arguments : tuple
        :class:`Argument` for what is differentiated; NumPy arrays, Python scalars and None are constants.
    library : bool
        Whether a library's own namespace understands the same call.
    not_on : tuple of str
        Backends whose library refuses the call.
    needs : tuple of Capability
        What the call itself asks of a library that some lack; a derivative may not ask for more.
    """

    name: str
    label: str
    fun: Callable[..., Any]
    arguments: tuple[Any, ...]
    library: bool = True
    not_on: tuple[str, ...] = ()
    needs: tuple[Capability, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name}-{self.label}"

    def rng(self) -> np.random.Generator:
        """Always the same numbers for the same case."""
        return np.random.default_rng(zlib.crc32(repr(self).encode()))

    def values(self) -> list[Any]:
        """All arguments, with NumPy arrays for those that are arrays."""
        rng = self.rng()
        return [x.draw(rng) if isinstance(x, Argument) else x for x in self.arguments]


def moving(case: Case) -> list[int]:
    """Positions of the arguments that are differentiated."""
    return [i for i, x in enumerate(case.arguments) if isinstance(x, Argument)]


def case(
    name: str,
    *arguments: Any,
    label: str = "",
    call: Callable[..., Any] | None = None,
    library: bool = True,
    not_on: tuple[str, ...] = (),
    needs: tuple[Capability, ...] = (),
    **static: Any,
) -> Case:
    """A case; `call` says how the function is called, if not as ``xp.name(*arguments, **static)``."""
    if static.get("dtype") in ("float64", "complex128"):
        needs = (*needs, Capability.FLOAT64)

    def plain(xp: Any, *values: Any) -> Any:
        return attrgetter(name)(xp)(*values, **static)

    shown = [label or _shown(x) for x in arguments] if not label else [label]
    shown += [f"{key}={value}" for key, value in static.items()]
    return Case(name, " ".join(shown), call or plain, arguments, library, not_on, needs)


def _shown(x: Any) -> str:
    if isinstance(x, Argument):
        return "".join(map(str, x.shape)).join("()") + ("" if x.dtype == "float64" else f":{x.dtype}")
    return "constant" if isinstance(x, np.ndarray) else repr(x)
