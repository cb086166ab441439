"""Methods that mean the same on the arrays of every library, and what the others have in common."""

import operator
from typing import Any, NoReturn

from bpkit import namespace as xp
from bpkit.errors import GradientCutError, NotDifferentiableError
from bpkit.kinds import is_complex, raw

__all__ = ["Shared", "converted", "lengths", "no_out", "refuse"]


def converted(x: Any, dtype: Any) -> Any:
    return x if dtype is None else xp.astype(x, dtype)


def lengths(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Lengths or axes given one by one or as one sequence."""
    given = args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args
    return tuple([operator.index(i) for i in given])


def no_out(method: str, out: Any) -> None:
    if out is not None:
        raise GradientCutError(
            f"x.{method}(out=...) of a traced value: an array cannot take up a value that is being "
            f"differentiated. Write y = x.{method}(...) without out="
        )


def refuse(call: str, instead: str) -> NoReturn:
    raise NotDifferentiableError(f"{call} of a traced value is not supported; write {instead}")


class Shared:
    """What means the same in both dialects."""

    def reshape(self: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if order != "C":
            refuse(f"x.reshape(order={order!r})", "the axes in their order with bpkit.xp.permute_dims")
        return xp.reshape(self, lengths(shape), copy=copy)

    def clone(self: Any) -> Any:
        return xp.astype(self, self.dtype, copy=True)

    def conj(self: Any) -> Any:
        return xp.conj(self) if is_complex(self) else self

    def real(self: Any) -> Any:
        return xp.real(self) if is_complex(self) else self

    def imag(self: Any) -> Any:
        if is_complex(self):
            return xp.imag(self)
        raw(self).imag  # noqa: B018  which some libraries refuse
        return xp.zeros_like(self)

    def item(self: Any, *args: Any) -> Any:
        value = self._number("x.item")
        self._note_cut("complex" if is_complex(self) else "float")
        return value.item(*args)

    def tolist(self: Any) -> Any:
        return self._constant("x.tolist()").tolist()

    def round(self: Any, decimals: int = 0, out: Any = None) -> Any:
        no_out("round", out)
        if decimals == 0:
            return xp.round(self)
        scale = 10.0 ** abs(decimals)
        return xp.round(self * scale) / scale if decimals > 0 else xp.round(self / scale) * scale

    def clip(self: Any, min: Any = None, max: Any = None, out: Any = None) -> Any:  # noqa: A002
        no_out("clip", out)
        return xp.clip(self, min, max)

    def dot(self: Any, b: Any, out: Any = None) -> Any:
        no_out("dot", out)
        ndim = getattr(b, "ndim", 0)
        if self.ndim == 0 or ndim == 0:
            return self * b
        return xp.matmul(self, b) if ndim <= 2 else xp.tensordot(self, b, axes=((-1,), (-2,)))

    def swapaxes(self: Any, axis1: int, axis2: int) -> Any:
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return xp.permute_dims(self, tuple(order))
