"""Other people's code, as it is, under ``bpkit.grad``: SciPy, scikit-learn, array-api-extra, einops, xarray.

The calls are the tables of :mod:`thirdparty`. Each runs on raw arrays and on traced ones: the results are the
same in value, dtype and shape, and the gradient is that of finite differences on NumPy and, where the library
can differentiate the call itself, that of PyTorch or JAX.
"""

import linecache
import os
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jvp, namespace, value_and_grad
from bpkit._protocol import Backend
from bpkit.errors import GradientCutWarning, NotDifferentiableError
from bpkit.registry import get_backend, use_backend

# Foreign code silences NumPy's warnings where it sees NumPy's own namespace.
quietly = np.errstate(all="ignore")

for library in ("scipy", "sklearn", "array_api_extra", "einops", "xarray"):
    pytest.importorskip(library)

from thirdparty import (  # noqa: E402  when the libraries are here
    einops_calls,
    extra,
    scikit_learn,
    scipy_numerics,
    scipy_signal,
    scipy_special,
    scipy_stats,
    xarray_calls,
)
from thirdparty.call import AB, Call, Stop, X, Y  # noqa: E402

TABLES = {
    "scipy": (scipy_special, scipy_stats, scipy_signal, scipy_numerics),
    "scikit-learn": (scikit_learn,),
    "array-api-extra": (extra,),
    "einops": (einops_calls,),
    "xarray": (xarray_calls,),
}
CALLS: list[Call] = [call for tables in TABLES.values() for table in tables for call in table.CALLS]
STOPS: list[Stop] = [
    stop for tables in TABLES.values() for table in tables for stop in getattr(table, "STOPS", ())
]
LIBRARIES = ("numpy", "array_api_strict", "torch", "jax")
# On JAX, which compiles every step of a call, only these run; scikit-learn does not know JAX.
ON_JAX = (
    "special.erf",
    "special.betaln",
    "special.gammaincinv",
    "special.logsumexp of rows",
    "stats.zscore",
    "stats.entropy",
    "stats.pearsonr",
    "stats.quantile",
    "stats.skew",
    "signal.fftconvolve",
    "signal.freqz",
    "fft.fft",
    "fft.irfft2",
    "integrate.trapezoid",
    "optimize.rosen",
    "linalg.block_diag",
    "Rotation.from_rotvec",
    "Rotation.apply",
    "xpx.cov",
    "xpx.at add",
    "xpx.at mask set, copied",
    "xpx.apply_where",
    "xpx.nanmean",
    "einops.rearrange",
    "einops.reduce by max",
    "einops.pack",
    "einops.einsum",
    "einops.array_api reduce by mean",
    "xarray.arithmetic by name",
    "xarray.where",
    "xarray.isel",
    "xarray.concat",
)
# What a library says to a call that its arrays are not made for.
REFUSALS = (
    AttributeError,
    DeprecationWarning,
    ImportError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def pairs(runs: bool) -> list[Any]:
    """Libraries and calls that run on them, or that do not."""
    return [
        pytest.param(library, call, id=f"{library}-{call.name}")
        for library in LIBRARIES
        for call in CALLS
        if (library not in call.not_on) == runs and library not in call.refused_on
        if library != "jax" or call.name in ON_JAX
    ]


def placed(call: Call | Stop, backend: Backend) -> list[Any]:
    """The arguments as the library's own arrays, new ones each time: some calls write to them."""
    return [backend.from_host(x, None) for x in call.arguments]


def parts(out: Any) -> list[Any]:
    """The arrays of a result."""
    return [part for x in out for part in parts(x)] if isinstance(out, tuple | list) else [out]


def weighted(part: Any, phase: float, backend: Backend) -> Any:
    """A number that depends on every element."""
    size = int(np.prod(part.shape))
    weights = np.cos(np.arange(size) * 1.7 + phase).reshape(part.shape)
    return namespace.sum(part * namespace.astype(backend.from_host(weights, None), part.dtype))


def loss_of(run: Callable[..., Any], backend: Backend) -> Callable[..., Any]:
    """A loss that depends on every floating element of a result, and the result itself."""

    def loss(*arrays: Any) -> Any:
        found = parts(run(*arrays))
        total: Any = 0.0
        for i, part in enumerate(found):
            for phase, real in ((i, namespace.real), (i + 0.5, namespace.imag)):
                if namespace.isdtype(part.dtype, "complex floating"):
                    total = total + weighted(real(part), phase, backend)
            if namespace.isdtype(part.dtype, "real floating"):
                total = total + weighted(part, i, backend)
        return total, found

    return loss


def host(arrays: Sequence[Any], backend: Backend) -> list[Any]:
    return [np.asarray(backend.to_host(x)) for x in arrays]


@cache
def differences(call: Call) -> list[Any]:
    """The gradient by central differences of fourth order, on NumPy."""
    backend = get_backend("numpy")
    loss = loss_of(call.run, backend)

    def moved(k: int, place: Any, step: float) -> float:
        arrays = placed(call, backend)
        arrays[k][place] += step
        return float(loss(*arrays)[0])

    found = []
    with use_backend("numpy"):
        for k in call.moving():
            found.append(np.zeros(call.arguments[k].shape))
            for place in np.ndindex(*found[-1].shape):
                near, far = (moved(k, place, h) - moved(k, place, -h) for h in (2**-10, 2**-9))
                found[-1][place] = (8 * near - far) / (12 * 2**-10)
    return found


def own_gradient(call: Call, backend: Backend) -> list[Any] | None:
    """What the library's own differentiation of the raw run says; None if it cannot."""
    loss, arrays, moving = loss_of(call.run, backend), placed(call, backend), call.moving()
    try:
        if backend.name == "torch":
            import torch

            for i in moving:
                arrays[i].requires_grad_(True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of copies that keep the gradient
                found = torch.autograd.grad(loss(*arrays)[0], [arrays[i] for i in moving])
        elif backend.name == "jax":
            import jax

            found = jax.grad(lambda *arrays: loss(*arrays)[0], argnums=moving)(*arrays)
        else:
            return None
    except REFUSALS:
        return None
    return host(found, backend)


def assert_close(found: Sequence[Any], expected: Sequence[Any], tolerance: float, what: str) -> None:
    for x, y in zip(found, expected, strict=True):
        scale = max(1.0, float(np.max(np.abs(y), initial=0)))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale, err_msg=what)


@quietly
@pytest.mark.parametrize("backend, call", pairs(runs=True), indirect=["backend"])
def test_the_gradient_of_foreign_code(backend: Backend, call: Call) -> None:
    loss = loss_of(call.run, backend)
    _, results = loss(*placed(call, backend))
    (_, traced), gradients = value_and_grad(loss, call.moving(), has_aux=True)(*placed(call, backend))
    for x, y in zip(traced, results, strict=True):
        assert (type(x), x.dtype, x.shape) == (type(y), y.dtype, y.shape) or np.isscalar(x) or np.isscalar(y)
    assert_close(host(traced, backend), host(results, backend), 1e-10, "the results of the raw run")
    for i, gradient in zip(call.moving(), gradients, strict=True):
        assert backend.owns(type(gradient)) and gradient.shape == call.arguments[i].shape
    assert_close(host(gradients, backend), differences(call), 1e-7, "finite differences")
    own = own_gradient(call, backend)
    if own is not None:
        same = all(
            np.allclose(x, y, rtol=1e-9, atol=1e-9)
            for x, y in zip(host(gradients, backend), own, strict=True)
        )
        assert same == (backend.name not in call.other_gradient), own


@quietly
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_forward_mode_agrees(call: Call) -> None:
    backend = get_backend("numpy")
    loss, moving = loss_of(call.run, backend), call.moving()

    def of_moving(*primals: Any) -> Any:
        # What is not differentiated is no primal, and has to be of the same namespace.
        space = primals[0].__array_namespace__()
        arrays = [space.asarray(x, copy=True) for x in call.arguments]
        for i, x in zip(moving, primals, strict=True):
            arrays[i] = x
        return loss(*arrays)[0]

    def primals() -> tuple[Any, ...]:
        return tuple([np.array(call.arguments[i]) for i in moving])

    directions = tuple([np.cos(np.arange(x.size) + 1.0).reshape(x.shape) for x in primals()])
    _, tangent = jvp(of_moving, primals(), directions)
    gradients = grad(of_moving, tuple(range(len(moving))))(*primals())
    terms = [np.sum(g * d) for g, d in zip(gradients, directions, strict=True)]
    size = sum(np.sum(np.abs(g * d)) for g, d in zip(gradients, directions, strict=True))
    assert abs(float(tangent) - sum(terms)) <= 1e-10 * max(1.0, size)


@pytest.mark.parametrize("backend, call", pairs(runs=False), indirect=["backend"])
def test_what_is_left_out_does_not_run_on_raw_arrays(backend: Backend, call: Call) -> None:
    with pytest.raises(REFUSALS):
        loss_of(call.run, backend)(*placed(call, backend))


@quietly
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_what_would_cut_the_gradient_is_refused(stop: Stop) -> None:
    backend = get_backend(stop.library)

    def run(*arrays: Any) -> Any:
        out = parts(stop.run(*arrays))[0]
        return out if isinstance(out, float) else namespace.sum(out)

    run(*placed(stop, backend))
    moving = tuple([i for i, x in enumerate(stop.arguments) if x.dtype.kind == "f"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientCutWarning)
        with pytest.raises(stop.error) as refusal:
            grad(run, moving)(*placed(stop, backend))
    lines = [
        (frame.line or "").partition("  #")[0].strip()
        for frame in traceback.extract_tb(refusal.value.__traceback__)
    ]
    for path, number in re.findall(r"float\(\) at [^\n]*, in (\S+):(\d+)", str(refusal.value)):
        lines.append(linecache.getline(path, int(number)).strip())
    assert stop.line in lines, "\n".join(lines)


def test_at_least_120_calls_run_on_numpy_and_on_torch() -> None:
    names = {call.name for call in CALLS}
    assert len(names) == len(CALLS) and names.issuperset(ON_JAX)
    for library in ("numpy", "torch"):
        assert sum(library not in call.not_on for call in CALLS) >= 200


@quietly
@pytest.mark.parametrize("backend", ["numpy", "torch"], indirect=True)
def test_standard_scaler_of_a_constant_column(backend: Backend) -> None:
    from sklearn import config_context
    from sklearn.preprocessing import StandardScaler

    weights = np.cos(np.arange(24.0)).reshape(8, 3)

    def loss(x: Any) -> Any:
        with config_context(array_api_dispatch=True):
            return namespace.sum(StandardScaler().fit_transform(x) * backend.from_host(weights, None))

    x = AB * [1, 0, 1] + [0, 2, 0]
    # Its scale is taken for 1, not for the 0 that it is.
    found = backend.to_host(grad(loss)(backend.from_host(x, None)))
    np.testing.assert_allclose(found[:, 1], weights[:, 1] - weights[:, 1].mean(), atol=1e-12)
    assert np.all(np.isfinite(found))


def test_a_part_that_leaves_through_a_float_is_warned_of() -> None:
    from scipy import stats

    with pytest.warns(GradientCutWarning, match=r"float\(\) of a value") as caught:
        grad(stats.boxcox_llf)(0.4, X)
    (warning,) = caught
    assert "_morestats.py" in str(warning.message) and os.path.samefile(warning.filename, __file__)


def test_a_derivative_that_has_no_closed_form_is_refused_on_the_way_back() -> None:
    from scipy import stats

    # The degrees of freedom of Welch's test depend on the samples.
    with pytest.raises(NotDifferentiableError, match=r"special\.stdtr has no closed-form .* argument df"):
        grad(lambda x, y: stats.ttest_ind(x, y, equal_var=False).pvalue)(X, Y)


def test_scipy_takes_raw_arrays_beside_traced_ones_for_another_library() -> None:
    from scipy import stats

    # Of what is passed to the transformed function every array is traced; Y is not passed.
    with pytest.raises(TypeError, match="Multiple namespaces for array inputs"):
        grad(lambda x: stats.pearsonr(x, Y).statistic)(X)
    assert grad(lambda x, y: stats.pearsonr(x, y).statistic)(X, Y).shape == X.shape
    assert grad(lambda x: stats.pearsonr(x, x.__array_namespace__().asarray(Y)).statistic)(X).shape == X.shape


def test_scipy_takes_traced_tensors_for_those_of_a_library_that_it_does_not_know() -> None:
    torch = pytest.importorskip("torch")
    from scipy import signal

    # Asked for torch's default dtype, SciPy goes by the name of the namespace; for others it is float64.
    cutoff = torch.asarray(0.4, dtype=torch.float64)
    found: list[Any] = []

    def loss(x: Any) -> Any:
        found.append(signal.firwin(5, x))
        return namespace.sum(found[0])

    grad(loss)(cutoff)
    assert (signal.firwin(5, cutoff).dtype, found[0].dtype) == (torch.float32, torch.float64)


def test_einops_may_be_imported_after_bpkit() -> None:
    program = (
        "import numpy, bpkit; from bpkit import xp; import einops; "
        "f = lambda x: xp.sum(einops.rearrange(x, 'a b -> b a') ** 2); "
        "print(bpkit.grad(f)(numpy.ones((1, 2))).tolist())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[[2.0, 2.0]]\n"
