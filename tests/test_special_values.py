"""xp.special: values, dtypes, and what operands may be."""

import importlib
import inspect
import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.evaluate import _definitions as defined
from bpkit.namespace import special
from bpkit.registry import BUILTIN

scipy_special = pytest.importorskip("scipy.special")

only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)
on_the_host = pytest.mark.parametrize("backend", ["numpy", "array_api_strict"], indirect=True)
but_jax = pytest.mark.parametrize("backend", [name for name in BUILTIN if name != "jax"], indirect=True)
Values = np.ndarray[Any, Any]
inf, nan = math.inf, math.nan

# What SciPy gives other signatures.
REPEATED = {"expit", "expm1", "log1p", "log_expit", "log_softmax", "logsumexp", "softmax", "multigammaln"}
NAMES = [name for name in special.__all__ if name not in REPEATED]


# Values.

PLAIN = [0.001, 0.3, 0.5, 1.0, 1.5, 2.0, 3.25, 10.0, 40.0]
JAXS_OWN = [
    *("betainc", "boxcox", "boxcox1p", "entr", "erf", "erfc", "erfcx", "erfinv", "exp1", "expi", "expn"),
    *("gamma", "gammainc", "gammaincc", "gammaln", "gammasgn", "hyp1f1", "i0", "i0e", "i1", "i1e", "kl_div"),
    *("log_ndtr", "loggamma", "logit", "ndtr", "ndtri", "psi", "rel_entr", "spence", "xlog1py"),
    *("xlogy", "zeta"),
]
WHOLE_FIRST = ("expn", "pdtri", "polygamma", "yn")
# PyTorch's incomplete gamma functions have nine digits where a is above 20 and x near it (torch 2.13).
NINE_DIGITS = {("torch", name) for name in ("gammainc", "gammaincc", "pdtr", "pdtrc")}


def operands_of(name: str) -> list[Values]:
    """Positive numbers for every operand of a function, some outside its domain."""
    count = len(inspect.signature(getattr(special, name)).parameters)
    if name.startswith(("bdtr", "nbdtr")):
        return [np.asarray(x) for x in ([2.0, 0.0, 3.0], [5.0, 4.0, 7.0], [0.1, 0.5, 0.9])]
    grids = [PLAIN if count < 3 else [0.3, 1.0, 2.5, 10.0]] * count
    if name in WHOLE_FIRST:
        grids[0] = [0.0, 1.0, 2.0, 5.0]
    return [np.ravel(x) for x in np.meshgrid(*grids, indexing="ij")]


def scipys(name: str, operands: list[Values]) -> Any:
    counts = {"b": (1,), "n": (0, 1)}[name[0]] if name.startswith(("bdtr", "nbdtr")) else ()
    operands = [x.astype(np.int64) if i in counts else x for i, x in enumerate(operands)]
    return getattr(scipy_special, name)(*operands)


@but_jax
@pytest.mark.parametrize("name", NAMES)
def test_values_are_scipys(name: str, backend: Backend) -> None:
    operands = operands_of(name)
    with backend.quiet():
        found = getattr(special, name)(*[backend.from_host(x) for x in operands])
    close = partial(np.testing.assert_allclose, backend.to_host(found), scipys(name, operands), atol=1e-300)
    if (backend.name, name) in NINE_DIGITS:
        close(rtol=2e-9)
        with pytest.raises(AssertionError):
            close(rtol=1e-11)
    else:
        close(rtol=2e-12)


def by_definition(name: str, operands: list[Values], backend: Backend) -> Values:
    with backend.quiet():
        found = defined[f"special.{name}"](backend.xp, *[backend.from_host(x) for x in operands])
    return backend.to_host(found)


@on_the_host
@pytest.mark.parametrize("name", [name for name in NAMES if f"special.{name}" in defined])
def test_definitions_agree_with_scipy(name: str, backend: Backend) -> None:
    operands = operands_of(name)
    found = by_definition(name, operands, backend)
    np.testing.assert_allclose(found, scipys(name, operands), rtol=2e-12, atol=1e-300)


EVERYWHERE = [-3.0, -2.5, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5, 2.0, 7.0, 25.0, inf, nan]
# Name, and where SciPy's answer is not a definition's.
DOMAINS: list[tuple[str, Callable[..., Any]]] = [
    *[(name, lambda *operands: False) for name in ("kl_div", "rel_entr", "pseudo_huber", "huber")],
    *[(name, lambda *operands: False) for name in ("bdtr", "bdtri", "nbdtr", "nbdtrc")],
    *[(name, lambda *operands: False) for name in ("chdtr", "chdtrc", "gdtr", "gdtrc")],
    # It forgets k, or n, or ends its recursion with one sign too many; and at infinity limits differ.
    ("bdtrc", lambda k, n, p: n < 0),
    ("nbdtri", lambda k, n, p: n <= 0),
    *[(name, lambda k, m: np.isnan(k)) for name in ("pdtr", "pdtrc")],
    *[(name, lambda dfn, dfd, x: np.isinf(dfn) & np.isinf(dfd)) for name in ("fdtr", "fdtrc")],
    ("beta", lambda a, b: (a <= 0) & (b <= 0) | np.isnan(a + b)),
    ("betaln", lambda a, b: np.isnan(a + b)),
    ("poch", lambda z, m: np.isinf(z) | np.isinf(m) | np.isnan(z + m)),
    ("polygamma", lambda n, x: np.isinf(n)),
]


@on_the_host
@pytest.mark.parametrize("name, elsewhere", DOMAINS, ids=[name for name, _ in DOMAINS])
def test_definitions_have_scipys_domains(name: str, elsewhere: Callable[..., Any], backend: Backend) -> None:
    count = len(inspect.signature(getattr(special, name)).parameters)
    grids = [EVERYWHERE] * count
    if name.startswith(("bdtr", "nbdtr")):
        whole = [x for x in EVERYWHERE if x.is_integer()]
        grids = [whole if name.startswith("nbdtr") else EVERYWHERE, whole, EVERYWHERE]
    operands = [np.ravel(x) for x in np.meshgrid(*grids, indexing="ij")]
    with np.errstate(all="ignore"):
        expected, found = scipys(name, operands), by_definition(name, operands, backend)
        there = ~np.broadcast_to(elsewhere(*operands), found.shape)
    np.testing.assert_allclose(found[there], expected[there], rtol=2e-12, atol=1e-300)


def test_scipy_still_counts_in_32_bits() -> None:
    # So its own tests, which draw counts from all of int64, cannot be passed with counts in float64.
    for name, few in (("bdtri", (2.0, 5, 0.5)), ("nbdtri", (2, 3, 0.5)), ("pdtri", (2, 0.5))):
        function = getattr(scipy_special, name)
        many = [x + 2**32 if isinstance(x, int) else x for x in few]
        assert function(*many) == function(*few)


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
@pytest.mark.parametrize("name", [*JAXS_OWN, "beta", "betaln", "j0", "poch", "polygamma", "stdtr"])
def test_jaxs_values_are_scipys(name: str, backend: Backend) -> None:
    operands = operands_of(name)
    compiled = importlib.import_module("jax").jit(getattr(special, name))
    found = backend.to_host(compiled(*[backend.from_host(x) for x in operands]))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, scipys(name, operands), rtol=2e-12, atol=1e-14)


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_jaxs_betaln_is_still_wrong(backend: Backend) -> None:
    found = importlib.import_module("jax.scipy.special").betaln(0.3, 10.0)
    assert abs(found / scipy_special.betaln(0.3, 10.0) - 1) > 1e-8


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_jaxs_poch_is_still_nan_between_poles(backend: Backend) -> None:
    assert np.isnan(importlib.import_module("jax.scipy.special").poch(-3.0, 2.0))


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_torchs_bessel_functions_are_still_wrong(backend: Backend) -> None:
    x = np.asarray([5.01])
    for name in ("j0", "j1", "y0", "y1"):
        own = getattr(backend.module.special, f"bessel_{name}")(backend.from_host(x))  # type: ignore[attr-defined]
        assert abs(backend.to_host(own) - getattr(scipy_special, name)(x))[0] > 1e-8


# Name, operands, and what the function is there in closed form.
KNOWN: list[tuple[str, tuple[Any, ...], Any]] = [
    ("erf", (inf,), 1),
    ("erfc", (-inf,), 2),
    ("erfcx", (0.0,), 1),
    ("gamma", (0.5,), math.sqrt(math.pi)),
    ("gammaln", (5.0,), math.log(24)),
    ("rgamma", (-3.0,), 0),
    ("psi", (1.0,), -0.5772156649015329),
    ("polygamma", (1.0, 1.0), math.pi**2 / 6),
    ("zeta", (2.0,), math.pi**2 / 6),
    ("zeta", (2.0, 2.0), math.pi**2 / 6 - 1),
    ("beta", (2.0, 3.0), 1 / 12),
    ("poch", (2.0, 3.0), 24),
    ("poch", (-3.0, 2.0), 6),
    ("poch", (-3.0, 3.0), -6),
    ("poch", (-3.0, 3.5), 0),
    ("poch", (-3.0, 5.0), 0),
    ("poch", (-3.0, -1.0), -0.25),
    ("binom", (5.0, 2.0), 10),
    ("gammainc", (1.0, 0.5), -math.expm1(-0.5)),
    ("betainc", (1.0, 1.0, 0.25), 0.25),
    ("spence", (0.0,), math.pi**2 / 6),
    ("expn", (0.0, 2.0), math.exp(-2) / 2),
    ("ellipk", (0.0,), math.pi / 2),
    ("ellipe", (1.0,), 1),
    ("hyp1f1", (1.0, 2.0, 0.5), math.expm1(0.5) / 0.5),
    ("lpmv", (1.0, 2.0, 0.6), -3 * 0.6 * 0.8),
    ("stdtr", (1.0, 1.0), 0.75),
    ("chdtr", (2.0, 3.0), -math.expm1(-1.5)),
    ("bdtr", (1.0, 2.0, 0.5), 0.75),
    ("bdtr", (1.0, 2.0, 1.5), nan),
    ("bdtr", (2.0, 2.0, -0.5), nan),
    ("bdtrc", (-1.0, 2.0, 0.5), 1),
    ("nbdtr", (1.0, 2.0, -0.5), nan),
    ("nbdtr", (-1.0, 2.0, 0.5), nan),
    ("nbdtrc", (1.0, 0.0, 0.5), nan),
    ("nbdtri", (1.0, 2.0, 1.5), nan),
    ("pdtr", (-1.0, 2.0), nan),
    ("pdtri", (-1.0, 0.5), nan),
    ("chdtrc", (0.0, 3.0), 0),
    ("chdtrc", (0.0, 0.0), nan),
    ("chdtrc", (1.0, -1.0), nan),
    ("fdtr", (0.0, 1.0, 1.0), nan),
    ("fdtr", (1.0, 2.0, inf), 1),
    ("fdtrc", (1.0, 2.0, -1.0), nan),
    ("gdtr", (-1.0, 1.0, -1.0), nan),
    ("beta", (1.0, -1.0), -1),
    ("beta", (-2.5, 1.5), 0),
    ("betaln", (0.5, inf), -inf),
    ("kl_div", (1.0, inf), nan),
    ("poch", (1e10, 2.0), 1e10 * (1e10 + 1)),
    ("poch", (7.0, -20.0), inf),
    ("pdtr", (0.0, 2.0), math.exp(-2)),
    ("multigammaln", (3.0, 2), 0.5 * math.log(math.pi) + math.log(2) + math.lgamma(2.5)),
    ("radian", (1.0, 30.0, 0.0), math.pi / 120),
    ("xlogy", (0.0, 0.0), 0),
    ("xlogy", (0.0, nan), nan),
    ("xlog1py", (0.0, -1.0), 0),
    ("entr", (0.0,), 0),
    ("entr", (-1.0,), -inf),
    ("rel_entr", (0.0, 0.0), 0),
    ("rel_entr", (-1.0, 1.0), inf),
    ("kl_div", (0.0, 2.0), 2),
    ("huber", (-1.0, 1.0), inf),
    ("pseudo_huber", (0.0, 1.0), 0),
    ("exprel", (-inf,), 0),
    ("exprel", (inf,), inf),
    ("sinc", (0.0,), 1),
    ("cbrt", (-0.0,), -0.0),
    ("cbrt", (-inf,), -inf),
    ("logit", (0.0,), -inf),
    ("boxcox", (0.0, 2.0), -0.5),
    ("boxcox", (0.0, -2.0), -inf),
    ("inv_boxcox1p", (-3.5, 1e-300), math.expm1(-3.5)),
]


@pytest.mark.parametrize("name, operands, expected", KNOWN)
def test_known_values(name: str, operands: tuple[Any, ...], expected: float, backend: Backend) -> None:
    arrays = [
        x if name == "multigammaln" and i else backend.from_host(np.asarray([x]))
        for i, x in enumerate(operands)
    ]
    with backend.quiet():
        found = backend.to_host(getattr(special, name)(*arrays))
    np.testing.assert_allclose(found, [expected], rtol=1e-14 if name != "poch" else 1e-13, atol=1e-15)


# What operands may be.


def test_numbers_integers_and_arrays_mix(backend: Backend) -> None:
    x = backend.from_host(np.asarray([[1.0], [2.0]], dtype=np.float32))
    whole = backend.from_host(np.asarray([1, 2, 3]))
    assert special.xlogy(whole, x).shape == (2, 3)
    assert special.xlogy(2, x).dtype == special.xlogy(x, 2.5).dtype == x.dtype
    assert special.betainc(2, 3.0, special.expit(x)).dtype == x.dtype
    assert (
        special.gammaln(whole).dtype
        == backend.xp.__array_namespace_info__().default_dtypes()["real floating"]
    )
    np.testing.assert_allclose(backend.to_host(special.gamma(whole)), [1, 1, 2], rtol=1e-6)
    wide = special.xlogy(x, backend.from_host(np.asarray([2.0])))
    assert wide.dtype == backend.from_host(np.asarray([2.0])).dtype


def test_numpy_scalars_are_numbers_to_every_other_library(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.25, 0.5], dtype=np.float32))
    wide = backend.name == "numpy"  # whose own they are, with a dtype that counts
    for found in (special.xlogy(np.float64(2.0), x), special.xlogy(x, np.float64(2.0))):
        assert found.dtype == (np.float64 if wide else x.dtype)
    assert special.erf(np.float32(0.5)).dtype == np.float32


PROMOTED = ["int8", "uint8", "int16", "int32", "int64", "bool", "float32", "float64"]


BINOMIAL_WARNS = pytest.mark.filterwarnings("ignore:non-integer arg n is deprecated:DeprecationWarning")


@BINOMIAL_WARNS
@on_the_host
@pytest.mark.parametrize("name", NAMES)
def test_dtypes_that_differ_meet_in_scipys(name: str, backend: Backend) -> None:
    function, scipys = getattr(special, name), getattr(scipy_special, name)
    count = len(inspect.signature(function).parameters)
    mixed = [[dtype] * count for dtype in PROMOTED]
    mixed += [
        ["float32"] * k + [dtype] + ["float32"] * (count - k - 1)
        for dtype in PROMOTED
        for k in range(count)
        if count > 1
    ]
    for dtypes in mixed:
        operands = [np.ones(2, dtype=dtype) for dtype in dtypes]
        try:
            expected = scipys(*operands).dtype
        except TypeError:
            continue
        with backend.quiet():
            found = backend.to_host(function(*[backend.from_host(x) for x in operands])).dtype
        assert found == expected, dtypes


def dtype_of(function: Callable[..., Any], operands: list[Any], argnum: int) -> Any:
    """The dtype of a function's result when the operand with that number is traced."""

    def fun(x: Any) -> Any:
        return xp.sum(x), function(*operands[:argnum], x, *operands[argnum + 1 :])

    return bpkit.grad(fun, has_aux=True)(operands[argnum])[1].dtype


@only_numpy
@BINOMIAL_WARNS
@pytest.mark.parametrize("name", ["xlogy", "huber", "betainc", "bdtr", "expit"])
def test_scipys_own_functions_keep_their_dtypes(name: str, backend: Backend) -> None:
    function = inspect.unwrap(getattr(scipy_special, name))
    for dtypes in itertools.product(["float32", "float64", "int8", "int64", "number"], repeat=function.nin):
        operands = [0.5 if dtype == "number" else np.full(2, 1, dtype) for dtype in dtypes]
        for argnum, dtype in enumerate(dtypes):
            if dtype.startswith("float"):
                assert dtype_of(function, operands, argnum) == function(*operands).dtype, dtypes


@pytest.mark.parametrize("backend", ["torch", "jax"], indirect=True)
def test_integers_take_the_dtype_of_floating_arrays(backend: Backend) -> None:
    x = backend.from_host(np.asarray([1.0, 2.0], dtype=np.float32))
    assert special.xlogy(backend.from_host(np.asarray([1, 2])), x).dtype == x.dtype
    assert special.betainc(x, backend.from_host(np.asarray([1, 2])), x).dtype == x.dtype


def test_gradients_of_mixed_dtypes_have_their_operands(backend: Backend) -> None:
    whole = backend.from_host(np.asarray([1, 2]))
    x = backend.from_host(np.asarray([0.5, 2.0], dtype=np.float32))
    slope = bpkit.grad(lambda x: xp.sum(special.xlogy(whole, x)))(x)
    assert slope.dtype == x.dtype
    np.testing.assert_array_equal(backend.to_host(slope), [2, 1])


def test_numbers_alone_make_an_array_of_the_current_library(backend: Backend) -> None:
    found = special.beta(2, 3.0)
    assert backend.owns(type(found)) and found.shape == ()
    assert float(found) == pytest.approx(1 / 12, rel=1e-6)


@pytest.mark.parametrize("d", [0, -1, 1.5, None, "2"])
def test_the_dimension_of_multigammaln_is_a_positive_whole_number(d: Any) -> None:
    with pytest.raises(
        ValueError, match=r"special.multigammaln: expected a positive whole number as dimension d"
    ):
        special.multigammaln(np.asarray([3.0]), d)


def test_multigammaln_is_nan_where_its_integral_diverges(backend: Backend) -> None:
    found = special.multigammaln(backend.from_host(np.asarray([1.0, 1.5])), np.int64(3))
    assert np.isnan(backend.to_host(found)[0]) and np.isfinite(backend.to_host(found)[1])
