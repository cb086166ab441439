"""What a backend is: the facts about one array library that the standard cannot state.

A backend states facts and never makes policy. Derivative rules, layers, shape checks and training know no
backend; they use the array-API namespace :attr:`Backend.xp` through :func:`bpkit.trace.call`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

__all__ = ["DTYPES", "Backend", "Capability", "Into", "RawArray"]

RawArray = Any
"""An array of whatever library; the array-API standard has no static type for it yet."""

DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
"""Names of the standard's dtypes."""


class Capability(Enum):
    """A fact about a library that decides whether a part of bpkit can run on it."""

    FLOAT64 = "float64"
    """Has 64-bit floats (JAX has them only when its x64 mode is on)."""
    COMPLEX = "complex"
    """Has complex dtypes."""
    UINT32_ARITHMETIC = "uint32 arithmetic"
    """Adds, shifts and xors uint32 arrays, wrapping at 2**32."""
    IN_PLACE = "in-place operators"
    """``x += y`` changes the array itself, also for those who hold it under another name."""
    BACKWARD_SLICES = "backward slices"
    """Takes slices with a negative step, ``x[::-1]``."""
    UNIFORM_PROMOTION = "uniform promotion"
    """Operators promote dtypes as the functions of the same names do, see :meth:`Backend.operator_dtype`."""
    MIXED_INDEXING = "integer arrays beside slices"
    """Takes arrays of integers beside slices in a key, ``x[:, i]``."""
    BOOLEAN_INDEXING = "boolean indexing"
    """Selects with a boolean mask, so that shapes depend on values."""
    DATA_DEPENDENT_SHAPES = "data-dependent shapes"
    """Has the functions whose result's shape depends on values, such as ``nonzero``."""


class Into(NamedTuple):
    """``function(*first, *operands, *before, out, *after)`` writes a result into `out`.

    Attributes
    ----------
    function : callable
    first, before, after : tuple
        What it takes besides.
    keyword : str
        The name by which it takes `out`, if not by position.
    elementwise : bool
        `out` may be an operand of its shape, and numbers among the operands may be arrays without axes.
    over : int or None
        The one operand that `out` may be where it is not elementwise.
    packed : bool
        `out` must lie in memory without gaps, row by row.
    makes : bool
        It takes None as `out`, and returns a new array then.
    """

    function: Callable[..., Any]
    first: tuple[Any, ...] = ()
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    keyword: str = ""
    elementwise: bool = False
    over: int | None = None
    packed: bool = False
    makes: bool = False


@runtime_checkable
class Backend(Protocol):
    """One array library, as bpkit sees it.

    Attributes
    ----------
    name : str
        The name users type, for instance ``"torch"``.
    distribution : str
        What pip installs to get the library, for instance ``"torch"``.
    """

    name: str
    distribution: str

    def __hash__(self) -> int:
        """There is one object per backend, and tables are kept by it."""

    @property
    def xp(self) -> Any:
        """The library's array-API namespace, imported on first use."""

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Functions that replace the namespace's own, where that differs from the standard or is slower.

        They follow the engine's call convention: operands positional, the rest by keyword. One that has a
        true attribute ``declines`` may return NotImplemented, and the function is done as if it had none.
        """

    def special(self, name: str) -> Callable[..., Any] | None:
        """The library's own special function of this name in SciPy, for arrays of one floating dtype.

        None if it has none, or one that is not SciPy's.
        """

    def special_on_host(self, name: str) -> Callable[..., Any]:
        """SciPy's function of that name, on arrays of this library that lie in the machine's memory.

        Raises
        ------
        BackendNotInstalledError
            If SciPy is missing.
        NoSuchFunctionError
            If this library's arrays never lie there; or, when it is called, if these do not.
        """

    def special_dtype(self, name: str, operands: tuple[Any, ...]) -> Any:
        """The dtype in which SciPy's function of that name computes arrays of this library.

        None where all that counts is the dtypes of the floating ones, or else the library's default.
        """

    @property
    def version(self) -> str:
        """The installed version of the library."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the library can do as it is configured now."""

    def require(self) -> None:
        """Check that the library can be used here, without importing it where that is possible.

        Raises
        ------
        BackendNotInstalledError
            If the library is missing; the message says what to install.
        DeviceNotFoundError
            If the library is installed but can do nothing without a device it does not see.
        """

    def owns(self, cls: type) -> bool:
        """Whether `cls` is an array type of this library; must not import anything.

        Raises
        ------
        TypeError
            If it is one, but of a kind that does not follow the standard (``numpy.matrix``); the message
            says what to use instead.
        """

    def devices(self) -> tuple[str, ...]:
        """Names of the devices usable here, the default one first."""

    def device(self, name: str | None) -> Any:
        """The library's own device object for a name (None: the default).

        Raises
        ------
        DeviceNotFoundError
            If the library has no such device here; the message lists those it has.
        """

    def device_of(self, x: RawArray) -> str:
        """The name of the device that holds `x`, one of :meth:`devices`."""

    def dtypes(self) -> tuple[str, ...]:
        """Names of the standard's dtypes that the library has here."""

    def from_host(self, x: np.ndarray[Any, Any], device: Any = None) -> RawArray:
        """Copy a NumPy array to a device, keeping its dtype; `device` is an object from :meth:`device`.

        Raises
        ------
        TypeError
            If the library has no such dtype here; precision is never lost silently.
        """

    def to_host(self, x: RawArray) -> np.ndarray[Any, Any]:
        """Copy an array to a writable NumPy array, keeping its dtype."""

    def host_view(self, x: RawArray) -> np.ndarray[Any, Any] | None:
        """A NumPy array in the memory of `x`; None where NumPy cannot have one that shares changes."""

    def is_view(self, x: RawArray) -> bool:
        """Whether writing to `x` can change another array, because it shares memory with one."""

    def shares_memory(self, x: RawArray, y: RawArray) -> bool:
        """Whether writing to `x` can change `y`; both of this library. Sure of views."""

    def exposed(self, arrays: Sequence[RawArray], positions: Sequence[int]) -> Sequence[int]:
        """Those of the positions at which a write would change more than that array.

        That is a view, or lies in memory in which another of the arrays lies too.
        """

    def same_values(self, x: RawArray, y: RawArray) -> bool:
        """Whether two arrays of the same shape and dtype are equal everywhere; False where both are NaN."""

    def layout(self, x: RawArray) -> Hashable:
        """Equal for arrays of one shape and dtype if what is a view of one would be a view of the other."""

    def operator_dtype(self, x: RawArray, y: RawArray) -> Any:
        """The dtype to which an operator first converts the one of `x` and `y` that has no axes.

        The other one has axes; one of the two may be a NumPy scalar. None where operators promote as the
        standard's functions do.
        """

    def quiet(self) -> AbstractContextManager[Any]:
        """A context without floating-point warnings, for derivatives, whose infinities are answers."""

    def index_add(self, x: RawArray, key: Any, updates: RawArray) -> RawArray:
        """A copy of `x` with `updates` added at ``x[key]``; repeated indices accumulate."""

    def index_set(self, x: RawArray, key: Any, value: Any) -> RawArray:
        """A copy of `x`, laid out in memory as `x` is, with ``x[key] = value`` done to it."""

    def into(self, name: str, operands: tuple[Any, ...], static: Mapping[str, Any], out: Any) -> Into | None:
        """How a function is written into memory that is there already; None if the library does not do that.

        `static` are its settings. What is no number among the operands has a shape and a dtype, and so has
        `out`, the result.
        """

    def added(
        self, alpha: float, shapes: tuple[tuple[int, ...], ...], turned: tuple[bool, ...], dtype: Any
    ) -> Into | None:
        """How ``c + alpha * a @ b``, or ``c + alpha * sum(x, axis=0)``, is written into memory in one.

        `shapes` are those of c, which broadcasts to the result, and of a and b, or of x. The function takes c
        and the transposes of these matrices, each from memory where it lies row by row; but a matrix of which
        `turned` says that it is itself a transpose as it is. Everything has the same dtype. None where a
        product and a sum apart are as fast.
        """

    def on_stand_ins(self, run: Callable[..., None], arrays: Sequence[RawArray]) -> bool:
        """Call a function with stand-ins for arrays, which have their shapes and dtypes and no values.

        False, and nothing is called, if the library has none. What the function does to other arrays is done.
        """

    def fused(self, program: Any) -> Into | None:
        """How a program of element-wise functions is run in one pass over the elements.

        None if the library has no such way, or if it would take longer. The program is a
        :class:`bpkit.record.Program`; every step has one result, whose shape is the same for all but sums
        and means of all elements, which no other step uses. The function takes the inputs and then memory
        for the outputs, any of which may lie in any input of its shape, and several threads may call it.
        """

    def rounded(self, name: str, x: Any, out: Any) -> Into | None:
        """A faster way to write a function of these few elements, if its results may round otherwise.

        `x` is the operand; None where there is none, or it is not faster.
        """

    def compiled(
        self, program: Callable[..., Any], donated: tuple[int, ...], inputs: Sequence[Any]
    ) -> Callable[..., Any]:
        """A straight-line function of arrays as the library's own compiler makes it, if it has one.

        `donated` are positions of parameters into whose memory results may be written; `inputs` have the
        shape and dtype of each. Raises what is wrong with the function now, and not when it is called.
        """

    def synchronize(self) -> None:
        """Wait until everything queued on this library's devices has run."""
