"""What shares memory with what: a write to an argument or a result changes what it changes on raw arrays.

Every function of NumPy that takes one array, and every method, is called with arrays of several memory
layouts, since on these it depends what is a view. Then the array is written to, and the result is compared
with that of the same steps on raw arrays; and the other way round.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from cases.numpy_functions import CASES, A, Q, T, V, Z

from bpkit import grad, stop_gradient, vjp, xp
from bpkit.array import Array
from bpkit.errors import BackendError, GradientCutError
from bpkit.kinds import is_inexact, raw
from bpkit.numpy_protocol import FUNCTIONS, UFUNCS
from bpkit.numpy_protocol.methods import METHODS
from bpkit.registry import backend_of, get_backend

Function = Callable[[Any], Any]

INPUTS = {
    "V": V,
    "A": A,
    "Q": Q,
    "T": T,
    "Z": Z,
    "one": V[:3].reshape(1, 3, 1),
    "I": np.arange(12).reshape(3, 4),
}

LAYOUTS: dict[str, Function] = {
    "rows first": lambda x: x * 1,
    "columns first": lambda x: xp.permute_dims(
        xp.reshape(x * 1, x.shape[::-1]), tuple(reversed(range(len(x.shape))))
    ),
    "spread": lambda x: xp.stack([x, x], axis=-1)[..., 0],
    "backwards": lambda x: (x * 1)[..., ::-1],
}

EXCEPTIONS = {
    "np.empty_like": "what is in the result is left open",
    "broadcast_arrays": "one result is the constant of the case, which would be changed for all others",
    "np.median(Z)": "complex numbers are not ranked",
}


def parts(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple | list) else [out]


def named(method: str, *args: Any) -> Function:
    """A method with these arguments."""
    return lambda y: getattr(y, method)(*args)


def flat_copy(order: str) -> Function:
    """The elements of a copy in one order, which are a view of it only if it has rows first."""
    return lambda y: [flat := y.copy(order), flat.ravel()]


OPTIONS: dict[str, tuple[Function, Any]] = {
    "meshgrid of two": (lambda y: np.meshgrid(y, y), V),
    "meshgrid sparse": (lambda y: np.meshgrid(y, y, sparse=True), V),
    "meshgrid of views": (lambda y: np.meshgrid(y, y, sparse=True, copy=False), V),
    "meshgrid of broadcast views": (lambda y: np.meshgrid(y, y, copy=False), V),
    "concatenate one": (lambda y: np.concatenate([y]), A),
    "block of one": (lambda y: np.block([y]), A),
    "block of a block": (lambda y: np.block([[y]]), V),
    "nan_to_num in place": (lambda y: np.nan_to_num(y, copy=False), A),
    "nan_to_num in place of integers": (lambda y: np.nan_to_num(y, copy=False), INPUTS["I"]),
    "nan_to_num in place of complex": (lambda y: np.nan_to_num(y, copy=False), Z),
    "astype without a copy": (lambda y: np.astype(y, y.dtype, copy=False), A),
    "einsum diagonal": (lambda y: np.einsum("ii->i", y), Q),
    "einsum diagonal of a part": (lambda y: np.einsum("ii->i", y[:, :3]), A),
    "einsum diagonal, same dtype": (lambda y: np.einsum("ii->i", y, dtype=np.float64), Q),
    "einsum transposed": (lambda y: np.einsum("ij->ji", y), A),
    "einsum unchanged": (lambda y: np.einsum("ij->ij", y), A),
    "einsum of two": (lambda y: np.einsum("ij,->ij", y, 1.0), A),
    "first power": (lambda y: np.linalg.matrix_power(y, 1), Q),
    "second power": (lambda y: np.linalg.matrix_power(y, 2), Q),
    "zeroth power": (lambda y: np.linalg.matrix_power(y, 0), Q),
    "diagonal of a part": (lambda y: np.diagonal(y[:, 1:], 1), A),
    "diagonal of a stack": (np.linalg.diagonal, T),
    "eigenvalues": (np.linalg.eigvals, Q),
    **{f"ravel {o}": (partial(np.ravel, order=o), A) for o in ("C", "F", "A")},
    "ravel of a row": (lambda y: np.ravel(y[::2]), V),
    "ravel of a copy": (lambda y: [copy := np.copy(y), np.ravel(copy)], A),
    "ravel of a copy F": (lambda y: [copy := np.copy(y, "F"), np.ravel(copy), np.ravel(copy, "F")], A),
    "reshape": (lambda y: np.reshape(y, (4, 3)), A),
    "reshape to a vector": (lambda y: np.reshape(y, -1), A),
    "full_like with NaN": (lambda y: np.full_like(y, np.nan), A),
    "full_like with an element": (lambda y: np.full_like(y, y[0, 0]), A),
    "zeros_like of a shape": (lambda y: np.zeros_like(y, shape=(2, 2)), A),
    "elements of a vector": (lambda y: np.unstack(y, axis=0), V),
    "unstack": (lambda y: np.unstack(y, axis=1), A),
    "first of a split": (lambda y: np.split(y, 2, axis=1), A),
    "variance of one": (np.cov, V),
    "array methods": (lambda y: [y.mT, y.T, y[0], y[:, 1:]], A),
}

SHARED_METHODS: dict[str, Function] = {
    "reshape": lambda y: y.reshape(3, 2),
    "reshape to a vector": lambda y: y.reshape(-1),
    "ravel": lambda y: y.ravel(),
    "flatten": lambda y: y.flatten(),
    "squeeze": lambda y: y[:1, ...].squeeze(0),
    "squeeze nothing": lambda y: y.squeeze(),
    "swapaxes": lambda y: y.swapaxes(0, 1),
    "T": lambda y: y.T,
    "mT": lambda y: y.mT,
    "conj": lambda y: y.conj(),
    "real": lambda y: y.real,
    "sum": lambda y: y.sum(1),
    "max": lambda y: y.max(),
    "clip": lambda y: y.clip(-9.0, 9.0),
    "round": lambda y: y.round(),
    "cumsum": lambda y: y.cumsum(0),
    "unpacked": list,
    "elements": lambda y: list(y[0, ...]),
    "first power": lambda y: xp.linalg.matrix_power(y[:, :2], 1),
    "unstack": lambda y: xp.unstack(y, axis=1),
    "diagonal": lambda y: xp.linalg.diagonal(y[:, 1:]),
    "meshgrid": lambda y: xp.meshgrid(y[0, ...], y[1, ...]),
    "negative first": lambda y: xp.flip(y, axis=0),
}

OWN_METHODS: dict[str, dict[str, Function]] = {
    "numpy": {
        **{name: named(name) for name in METHODS},
        **{f"flatten {order}": named("flatten", order) for order in ("C", "F", "A")},
        **{f"ravel {order}": named("ravel", order) for order in ("C", "F", "A")},
        **{f"ravel of a copy {order}": flat_copy(order) for order in ("C", "F", "A", "K")},
        "astype with rows first": lambda y: [z := y.astype(np.float32, "C"), z.ravel()],
        "astype with columns first": lambda y: [z := y.astype(np.float32, "F"), z.ravel()],
        "astype as it is": lambda y: [z := y.astype(np.float32), z.ravel()],
        "compress": lambda y: y.compress([True, False], axis=0),
        "dot": lambda y: y.dot(y.T),
        "repeat": lambda y: y.repeat(2),
        "searchsorted": lambda y: y[0].searchsorted(0.5),
        "swapaxes": lambda y: y.swapaxes(0, 1),
        "astype without a copy": lambda y: y.astype(float, copy=False),
        "astype": lambda y: y.astype("f8"),
        "transpose": lambda y: y.transpose(),
        "T of a vector": lambda y: y[0].T,
        "transpose with axes": lambda y: y.transpose(1, 0),
        "take": lambda y: y.take([0, 1], axis=1),
        "sort": lambda y: [y.sort(), y][1],
        "sort along the first": lambda y: [y.sort(0), y][1],
        "fill": lambda y: [y[0].fill(3.0), y][1],
    },
    "torch": {
        "clone": lambda y: y.clone(),
        "view": lambda y: y.view(6),
        "view as pairs": lambda y: y.view(3, 2),
        "t": lambda y: y.t(),
        "t of a vector": lambda y: y[0].t(),
        "to its own dtype": lambda y: y.to(y.dtype),
        "to a copy": lambda y: y.to(y.dtype, copy=True),
        "to another's": lambda y: y.to(y),
        "abs": lambda y: y.abs(),
        "exp": lambda y: y.exp(),
        "flatten some": lambda y: y.flatten(0, 1),
        "permute": lambda y: y.permute(1, 0),
        "transpose": lambda y: y.transpose(0, 1),
        "unsqueeze": lambda y: y.unsqueeze(1),
        "clamp": lambda y: y.clamp(-9.0, 9.0),
    },
}


def run(function: Function, x: Any, layout: str, place: int | None) -> list[Any]:
    """The array and the results as they are after a write to one of them; None is the array."""
    y = LAYOUTS[layout](x)
    results = parts(function(y))
    written = y if place is None else results[place]
    written[...] = xp.logical_not(written) if "bool" in str(written.dtype) else written + 1
    return [host(z) for z in (y, *results)]


def host(x: Any) -> Any:
    x = raw(stop_gradient(x)) if isinstance(x, Array) else x
    return backend_of(x).to_host(x) if hasattr(x, "shape") else np.asarray(x)


def traced(function: Function, x: Any, layout: str, place: int | None) -> list[Any]:
    found: list[Any] = []

    def f(t: Any) -> Any:
        found.extend(run(function, t, layout, place))
        return xp.sum(t * 1)

    if is_inexact(x):
        vjp(f, x)
    else:
        grad(lambda number, t: [f(t), number][1])(1.0, x)
    return found


def equal(a: Any, b: Any) -> bool:
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-12, equal_nan=True))


def check(function: Function, x: Any, layouts: list[str]) -> None:
    """The traced run is that of the raw arrays, or a write is refused."""
    compared, different = 0, []
    for layout in layouts:
        try:
            count = len(parts(function(LAYOUTS[layout](x))))
        except (TypeError, ValueError, IndexError, RuntimeError, np.linalg.LinAlgError):
            continue  # not an argument of this function
        for place in (None, *range(min(count, 3))):
            try:
                expected = run(function, x, layout, place)
            except (AttributeError, TypeError, ValueError, RuntimeError):
                continue  # a result that the library does not let us write to
            compared += 1
            try:
                found = traced(function, x, layout, place)
            except GradientCutError as error:
                assert "Copy x first" in str(error) or "copy x first" in str(error)
                continue
            same = len(found) == len(expected) and all(map(equal, found, expected))
            if not same:
                different.append(
                    (layout, "the argument is written" if place is None else f"result {place} is")
                )
    assert compared > 0 and different == []


def functions() -> Iterator[tuple[str, Function, Any]]:
    for name, (function, x) in (CASES | OPTIONS).items():
        yield name, function, x
    unary: list[tuple[Function, str]] = [(ufunc, ufunc.__name__) for ufunc in UFUNCS if ufunc.nin == 1]
    for original, name in [*((f, entry.name) for f, entry in FUNCTIONS.items()), *unary]:
        for letter, x in INPUTS.items():
            yield f"np.{name}({letter})", original, x


def takes(function: Function, x: Any) -> bool:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = parts(function(x))
    # An attribute that is missing is a function that this NumPy does not have yet.
    except (AttributeError, TypeError, ValueError, IndexError, np.linalg.LinAlgError):
        return False
    return not any(isinstance(part, type | np.dtype) for part in found)


TABLE = {
    name: (function, x)
    for name, function, x in functions()
    if name not in EXCEPTIONS and name.partition("(")[0] not in EXCEPTIONS and takes(function, x)
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Functions are called outside their domains, and writes to broadcast results warn."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", TABLE)
def test_functions_of_numpy_share_memory_as_on_raw_arrays(name: str) -> None:
    function, x = TABLE[name]
    check(function, x.copy(), list(LAYOUTS))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(
    "name", dict.fromkeys([*SHARED_METHODS, *OWN_METHODS["numpy"], *OWN_METHODS["torch"]])
)
def test_methods_share_memory_as_on_raw_arrays(name: str, library: str) -> None:
    function = OWN_METHODS[library].get(name) or SHARED_METHODS.get(name)
    if function is None:
        pytest.skip(f"not a method of {library}'s arrays")
    try:
        backend = get_backend(library)
    except BackendError as error:
        pytest.skip(str(error))
    layouts = [layout for layout in LAYOUTS if layout != "backwards" or library == "numpy"]
    check(function, backend.from_host(A[:2, :3].copy()), layouts)
