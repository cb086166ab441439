"""Methods outside the standard: a traced array has those of its library's arrays, with their meaning."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jvp, stop_gradient, xp
from bpkit._protocol import Backend
from bpkit.array import Array
from bpkit.errors import GradientCutError, GradientCutWarning, NotDifferentiableError
from bpkit.kinds import raw
from bpkit.registry import backend_of

Function = Callable[[Any], Any]

X = np.asarray([[0.625, -1.25, 1.875], [1.75, 0.25, -0.6875]])

METHODS: dict[str, Function] = {
    "sum": lambda x: x.sum(),
    "sum axis": lambda x: x.sum(axis=0),
    "sum position": lambda x: x.sum(1),
    "sum keepdims": lambda x: x.sum(axis=(0, 1), keepdims=True),
    "sum dim": lambda x: x.sum(dim=-1, keepdim=True),
    "mean": lambda x: x.mean(),
    "mean axis": lambda x: x.mean(axis=1, keepdims=True),
    "prod": lambda x: x.prod(),
    "prod axis": lambda x: x.prod(axis=1),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "amax": lambda x: x.amax(dim=0),
    "amin": lambda x: x.amin(1, keepdim=True),
    "std": lambda x: x.std(),
    "std axis": lambda x: x.std(axis=1, correction=1),
    "std ddof": lambda x: x.std(axis=0, ddof=1),
    "var": lambda x: x.var(),
    "var keepdims": lambda x: x.var(axis=0, keepdims=True),
    "var position": lambda x: x.var(1),
    "any": lambda x: (x > 0).any(axis=0) * x,
    "all": lambda x: (x > -2).all() * x,
    "argmax": lambda x: x * x.argmax(),
    "argmin axis": lambda x: x * x.argmin(axis=1, keepdims=True),
    "reshape": lambda x: x.reshape(3, 2),
    "reshape tuple": lambda x: x.reshape((-1,)),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "flatten dims": lambda x: x.reshape(1, 2, 3, 1).flatten(1, 2),
    "transpose two": lambda x: x.transpose(0, 1),
    "transpose": lambda x: x.transpose(),
    "transpose tuple": lambda x: x.reshape(1, 2, 3).transpose((2, 0, 1)),
    "permute": lambda x: x.permute(1, 0),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: x.reshape(1, 2, 1, 3).squeeze(),
    "squeeze one": lambda x: x.reshape(1, 2, 1, 3).squeeze(2),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "dot": lambda x: x[0, ...].dot(x[1, ...]),
    "dot matrices": lambda x: x.dot(x.T),
    "conj": lambda x: x.conj(),
    "conjugate": lambda x: x.conjugate(),
    "real": lambda x: x.real,
    "real of complex": lambda x: (x * (1 + 2j)).real,
    "imag of complex": lambda x: (x * (1 + 2j)).imag,
    "imag": lambda x: x + x.imag,
    "copy": lambda x: x.copy() * x,
    "astype": lambda x: x.astype(x.dtype) * x.astype("float64"),
    "astype int": lambda x: x * x.astype(int),
    "clip": lambda x: x.clip(-1.0, 1.0),
    "clip min": lambda x: x.clip(min=0.0),
    "clamp": lambda x: x.clamp(max=0.3),
    "round": lambda x: x + x.round(),
    "round decimals": lambda x: x + (x / 3).round(decimals=1),
    "cumsum": lambda x: x.cumsum(axis=1),
    "cumsum all": lambda x: x.cumsum(),
    "cumprod": lambda x: x.cumprod(0),
    "diagonal": lambda x: x.diagonal(),
    "trace": lambda x: x.trace(),
    "nonzero": lambda x: x[(x > 0).nonzero()],
    "argsort": lambda x: x * x.argsort(),
    "astype named": lambda x: x * x.astype("int") + x.astype("f8") + x.astype(float),
    "T of a stack": lambda x: x.reshape(1, 2, 3).T,
    "T of a vector": lambda x: x.reshape(6).T,
    "sort": lambda x: [z := x * 1.0, z.sort(), z][2],
    "fill": lambda x: [z := x * 1.0, z[0].fill(2.0), z * x][2],
    "size": lambda x: x * x.size(0) * len(x.size()),
    "clone": lambda x: x.clone() * x,
    "view": lambda x: x.view(3, -1),
    "view as a vector": lambda x: x.view((6,)),
    "t": lambda x: x.t(),
    "to a dtype": lambda x: x.to((x * 1j).dtype).real,
    "to another's": lambda x: x.to(x),
    "to by name": lambda x: x.to(dtype=x.dtype, device=x.device, copy=True),
    "abs": lambda x: x.abs(),
    "exp": lambda x: x.exp() + x.sin().tanh() + x.neg(),
    "take": lambda x: x.take(np.asarray([0, 4, 4])),
    "take axis": lambda x: x.take(np.asarray([2, 0, 0]), axis=1),
    "repeat": lambda x: x.repeat(2, axis=0),
}
NUMPY_ONLY = ("take", "take axis", "sort", "T of a stack", "T of a vector")
"""What means something else, or nothing, in other libraries."""


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def answer(function: Function, x: Any) -> Any:
    """What a function returns on raw arrays, or what its library says against it."""
    try:
        return function(x)
    except (AttributeError, TypeError, RuntimeError, ValueError, IndexError) as error:
        return error


@pytest.mark.parametrize("name", METHODS)
def test_methods_mean_what_they_mean_on_raw_arrays(name: str, backend: Backend) -> None:
    function, x = METHODS[name], backend.from_host(X)
    if name in NUMPY_ONLY and backend.name != "numpy":
        pytest.skip("written for NumPy")
    expected = answer(function, x)
    if isinstance(expected, Exception):
        # What the library refuses may be more useful here, but an attribute that is missing is missing.
        if isinstance(expected, AttributeError):
            with pytest.raises(AttributeError, match="is not among them"):
                grad(lambda t: xp.sum(function(t)))(x)
        return
    weights = backend.from_host(np.cos(np.arange(host(expected).size)).reshape(tuple(expected.shape)))

    def loss(t: Any) -> Any:
        out = function(t)
        assert isinstance(out, Array) and (out.shape, out.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(np.asarray(stop_gradient(out)), host(expected), rtol=1e-14)
        return xp.sum(out * weights)

    gradient = grad(loss)(x)
    step = 2.0**-12
    for place in np.ndindex(*X.shape):
        h = np.zeros_like(X)
        h[place] = step
        ends = [xp.sum(function(backend.from_host(X + side)) * weights) for side in (h, -h)]
        slope = (float(host(ends[0])) - float(host(ends[1]))) / (2 * step)
        assert float(host(gradient)[place]) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("name", ["sum", "mean", "astype", "reshape", "real", "item"])
def test_what_the_library_lacks_is_lacking(name: str, backend: Backend) -> None:
    x = backend.from_host(X)

    def f(t: Any) -> Any:
        assert hasattr(t, name) == hasattr(x, name)
        return xp.sum(t)

    grad(f)(x)


def test_size_is_a_number_also_where_it_can_be_called(backend: Backend) -> None:
    def f(t: Any) -> Any:
        assert t.size == 6 and isinstance(t.size, int)
        return xp.sum(t * t.size / t.size)

    assert float(host(grad(f)(backend.from_host(X)))[0, 0]) == 1.0


def test_a_view_that_would_be_a_copy_is_refused_as_by_the_library(backend: Backend) -> None:
    if backend.name != "torch":
        pytest.skip("a method of torch")
    with pytest.raises(RuntimeError, match=r"view size is not compatible"):
        grad(lambda x: xp.sum(x.t().view(-1)))(backend.from_host(X))


def test_item_is_remembered_like_float() -> None:
    def f(x: Any) -> Any:
        assert x.item() == 3.0
        return x * x.item()

    place = rf"{__file__}:{f.__code__.co_firstlineno + 1}"
    with pytest.warns(GradientCutWarning, match=r"float\(\) of a value") as found:
        assert float(grad(f)(3.0)) == 3.0
    assert [w.filename for w in found] == [__file__] * 2 and place.endswith(str(found[0].lineno))
    assert float(grad(lambda x: x * stop_gradient(x).item() * (x > 2).item())(3.0)) == 3.0
    with pytest.warns(GradientCutWarning), pytest.raises(GradientCutError, match="does not depend"):
        grad(lambda x: np.asarray(x.sum().item()))(np.ones(2))


def test_lists_are_refused_unless_no_gradient_is_lost() -> None:
    with pytest.raises(GradientCutError, match=r"x\.tolist\(\) of a value traced by grad"):
        grad(lambda x: sum(x.tolist()))(np.ones(2))
    assert float(grad(lambda x, y: x * sum(y.tolist()))(1.0, np.asarray([1, 2]))) == 3.0


@pytest.mark.parametrize(
    ("library", "call", "text"),
    [
        ("torch", lambda x: x.max(dim=0), r"x\.max along an axis.*write x\.amax\(axis\) or bpkit\.xp\.max"),
        ("torch", lambda x: x.min(0), r"x\.min along an axis"),
        ("torch", lambda x: x.view(x.dtype), r"x\.view\(dtype\) .* write bpkit\.xp\.astype\(x, dtype\)"),
        ("torch", lambda x: x.to(x.dtype, True), r"x\.to with a flag by position .* the flag by its name"),
        ("torch", lambda x: x.std(True), r"x\.std\(a flag in the place of dim\)"),
        (
            "torch",
            lambda x: x.var(0, unbiased=False),
            r"x\.var\(unbiased\) .* write bpkit\.xp\.var\(x, \.\.\.\)",
        ),
        ("numpy", lambda x: x.reshape(3, 2, order="F"), r"x\.reshape\(order='F'\) .*permute_dims"),
    ],
)
def test_meanings_that_are_not_followed_are_refused_by_name(
    library: str, call: Function, text: str, backend: Backend
) -> None:
    if backend.name != library:
        pytest.skip(f"a method of {library}")
    with pytest.raises(NotDifferentiableError, match=text):
        grad(lambda x: xp.sum(call(x)))(backend.from_host(X))


def test_results_are_not_written_into_given_arrays() -> None:
    for call in (lambda x, out: x.sum(0, None, out), lambda x, out: x.clip(0, 1, out=out)):
        with pytest.raises(
            GradientCutError, match=r"numpy\.(sum|clip)\(\.\.\., out=\.\.\.\) with a value traced"
        ):
            grad(lambda x, call=call: xp.sum(call(x, np.zeros(3))))(X)


def test_kind_of_a_dtype_and_how_a_number_prints() -> None:
    def f(x: Any) -> Any:
        assert x.dtype.kind == "f" and x.astype(int).dtype.kind == "i"
        assert f"{x.sum():.4f}" == "2.5625"
        return x.sum()

    np.testing.assert_array_equal(grad(f)(X), np.ones_like(X))
    jvp(f, (X,), (X,))


def test_what_changes_a_flat_copy_changes_it_only() -> None:
    def f(x: Any) -> Any:
        flat = x.flatten()
        flat += 1.0
        view = x.ravel()
        view *= 2.0
        return xp.sum(x) + xp.sum(flat * flat)

    def value(x: Any) -> Any:
        x = x * 1.0
        return f(x)

    x = X * 1.0
    expected = 2.0 + 2.0 * (X + 1)
    np.testing.assert_allclose(grad(value)(X), expected)
    assert float(raw(value(x))) == float(np.sum(2 * X) + np.sum((X + 1) ** 2))
