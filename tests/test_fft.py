"""The discrete Fourier transforms: NumPy's values in every library, the errors."""

import inspect
from typing import Any

import numpy as np
import pytest
from cases.fft import CASES

import bpkit
from bpkit import namespace, registry, xp
from bpkit._protocol import Backend
from bpkit.errors import ShapeError

WIDE_TO_NARROW = {"float64": "float32", "complex128": "complex64"}


@pytest.mark.parametrize("name", namespace.fft.__all__)
def test_docstring_has_an_example(name: str) -> None:
    assert f"xp.fft.{name}(" in (inspect.getdoc(getattr(xp.fft, name)) or "")


@pytest.mark.parametrize("narrow", [False, True], ids=["double", "single"])
@pytest.mark.parametrize("name", sorted({case.name for case in CASES}))
def test_values_and_dtypes_are_numpys(name: str, narrow: bool, backend: Backend) -> None:
    for case in CASES:
        if case.name != name or backend.name in case.not_on:
            continue
        (x,) = case.values()
        if narrow:
            x = x.astype(WIDE_TO_NARROW[x.dtype.name])
        # NumPy cannot shift along no axes.
        expected = np.asarray(case.fun(np, x) if x.ndim else x)
        found = backend.to_host(case.fun(xp, backend.from_host(x)))
        assert found.dtype == expected.dtype, case
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-5 if narrow else 1e-13, err_msg=repr(case)
        )


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_frequencies(name: str, n: int, backend: Backend) -> None:
    expected = getattr(np.fft, name)(n, d=0.25)
    found = getattr(xp.fft, name)(n, d=0.25, dtype="float64")
    assert backend.owns(type(found))
    assert found.dtype == xp.float64
    np.testing.assert_array_equal(backend.to_host(found), expected)
    narrow = getattr(xp.fft, name)(n, dtype=xp.float32, device=backend.device(None))
    assert narrow.dtype == xp.float32
    np.testing.assert_allclose(backend.to_host(narrow), getattr(np.fft, name)(n), rtol=1e-6)


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies_are_made_in_the_library_of_the_namespace(name: str, backend: Backend) -> None:
    def loss(x: Any) -> Any:
        frequencies = getattr(x.__array_namespace__().fft, name)(6, dtype=x.dtype)
        return xp.sum(x * frequencies[:3])

    x = backend.from_host(np.asarray([1.0, 2.0, 3.0]))
    with registry.use_backend("numpy"):
        gradient = bpkit.grad(loss)(x)
    np.testing.assert_allclose(backend.to_host(gradient), getattr(np.fft, name)(6)[:3], rtol=1e-15)


@pytest.mark.parametrize("name", ["irfft", "hfft"])
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_imaginary_parts_that_are_ignored_have_no_gradient(name: str, n: int) -> None:
    x = np.ones(n // 2 + 1) + 1j
    own_conjugates = [0, n // 2] if n % 2 == 0 else [0]

    def loss(x: Any) -> Any:
        y = getattr(xp.fft, name)(x, n=n)
        return xp.sum(y * xp.asarray(np.arange(1.0, n + 1)))

    gradient = bpkit.grad(loss)(x)
    assert np.all(gradient[own_conjugates].imag == 0)
    inside = np.delete(gradient, own_conjugates)
    assert np.all(inside.imag != 0)


def test_shifts_take_each_axis_once() -> None:
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(xp.fft.ifftshift(xp.fft.fftshift(x)), x)
    with pytest.raises(ValueError, match=r"repeated axis in `fft\.fftshift` argument"):
        xp.fft.fftshift(x, axes=(0, 0))


def test_errors_name_the_function_and_what_it_got() -> None:
    z = np.ones((2, 3)) + 0j
    with pytest.raises(IndexError, match=r"fft\.fft: axis 2 is out of bounds for array of dimension 2"):
        xp.fft.fft(z, axis=2)
    with pytest.raises(ShapeError, match=r"fft.irfft: a signal of length 0 along axis 1 of .*\(2, 1\)"):
        xp.fft.irfft(z[:, :1])
    with pytest.raises(ShapeError, match=r"fft.ifft: a signal of length -1 .*expected at least 1"):
        xp.fft.ifft(z, n=-1)
    with pytest.raises(ShapeError, match=r"fft.fftn: s=\(2,\) has 1 lengths for the 2 axes \(0, 1\)"):
        xp.fft.fftn(z, s=(2,), axes=(0, 1))
    with pytest.raises(ValueError, match=r"repeated axis in `fft\.rfftn` argument"):
        xp.fft.rfftn(z.real, axes=(0, -2))
    with pytest.raises(ShapeError, match=r"fft.irfftn: needs at least one axis"):
        xp.fft.irfftn(z, axes=())


def test_lengths_without_axes_belong_to_the_last_ones() -> None:
    z = np.arange(12.0).reshape(2, 2, 3) + 0j
    np.testing.assert_array_equal(xp.fft.fftn(z, s=(2, 4)), np.fft.fftn(z, s=(2, 4), axes=(1, 2)))
