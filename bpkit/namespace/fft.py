"""Discrete Fourier transforms.

Chapter "FFT Extension" of the standard:
https://data-apis.org/array-api/2025.12/extensions/fourier_transform_functions.html

Throughout, `n` is the length of the signal along the transformed axis; an operand that is longer than it has
to be is cut off at its end, a shorter one is filled up with zeros. `norm` says which direction divides by n:
``"backward"`` the inverse transforms (:func:`ifft`, :func:`irfft`, :func:`ihfft`), ``"forward"`` the others,
and with ``"ortho"`` both divide by ``sqrt(n)``. With several axes, `s` gives a length for each of `axes`;
without `axes` these are the last ``len(s)``, or all.

*Half a spectrum* is the first ``n // 2 + 1`` elements of one whose other elements are conjugates of these.
Its first element, and its last if n is even, are their own conjugates: functions that read half a spectrum
ignore their imaginary parts.

Derivatives are given for a cotangent g, which is cut off or filled up to the operand's length at the end;
`halved(g)` is g with all elements halved but those that are their own conjugates, and `doubled(g)` the same
with twice.
"""

from collections.abc import Sequence
from typing import Any, Literal

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from bpkit._protocol import RawArray
from bpkit.errors import ShapeError
from bpkit.namespace.creation import _place
from bpkit.namespace.dtypes import astype
from bpkit.namespace.manipulation import roll
from bpkit.namespace.operands import check_arrays
from bpkit.trace import call

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

Norm = Literal["backward", "ortho", "forward"]


def _along(name: str, x: RawArray, n: int | None, axis: int, *, from_half: bool = False) -> dict[str, Any]:
    """The axis, and the length of the signal, which the derivative needs written out."""
    check_arrays(name, x=x)
    axis = normalize_axis_index(axis, x.ndim, name)
    return {"n": _length(name, x, axis, n, from_half), "axis": axis}


def _along_several(
    name: str,
    x: RawArray,
    s: Sequence[int] | None,
    axes: Sequence[int] | None,
    *,
    to_half: bool = False,
    from_half: bool = False,
) -> dict[str, Any]:
    """The axes and the lengths of the signal; of a real one, there is half a spectrum along the last axis."""
    check_arrays(name, x=x)
    if axes is None:
        axes = range(0 if s is None else x.ndim - len(s), x.ndim)
    places = normalize_axis_tuple(axes, x.ndim, name)
    if not places and (to_half or from_half):
        raise ShapeError(f"{name}: needs at least one axis, got x of shape {tuple(x.shape)} and axes={axes}")
    lengths = [None] * len(places) if s is None else list(s)
    if len(lengths) != len(places):
        raise ShapeError(f"{name}: s={s} has {len(lengths)} lengths for the {len(places)} axes {places}")
    last = len(places) - 1
    known = tuple(
        _length(name, x, axis, n, from_half and i == last)
        for i, (axis, n) in enumerate(zip(places, lengths, strict=True))
    )
    return {"s": known, "axes": places}


def _length(name: str, x: RawArray, axis: int, n: int | None, from_half: bool) -> int:
    """The length of the signal along an axis."""
    if n is None:
        n = 2 * (x.shape[axis] - 1) if from_half else x.shape[axis]
    if n < 1:
        raise ShapeError(
            f"{name}: a signal of length {n} along axis {axis} of x with shape {tuple(x.shape)}; expected at "
            f"least 1, so pass the length"
        )
    return n


def fft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """Spectrum of a complex signal along one axis: ``y[k] = sum_j x[j] exp(-2j pi j k / n)``.

    Derivative: ``fft(g)`` with the same `norm`.

    Parameters
    ----------
    x : array of complex dtype, at least one axis
    n : int, optional
        Length of the signal and of its spectrum; None takes that of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of `x`'s dtype
        Shape of `x` with `n` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.fft(xp.asarray([1.0 + 0j, 0.0, 1.0, 0.0]))
    array([2.+0.j, 0.+0.j, 2.+0.j, 0.+0.j])
    """
    return call("fft.fft", x, **_along("fft.fft", x, n, axis), norm=norm)


def ifft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """Complex signal of a spectrum along one axis, the inverse of :func:`fft`.

    ``y[j] = sum_k x[k] exp(2j pi j k / n) / n``. Derivative: ``ifft(g)`` with the same `norm`.

    Parameters
    ----------
    x : array of complex dtype, at least one axis
    n : int, optional
        Length of the signal and of its spectrum; None takes that of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of `x`'s dtype
        Shape of `x` with `n` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.ifft(xp.asarray([2.0 + 0j, 0.0, 2.0, 0.0]))
    array([1.+0.j, 0.+0.j, 1.+0.j, 0.+0.j])
    """
    return call("fft.ifft", x, **_along("fft.ifft", x, n, axis), norm=norm)


def fftn(
    x: RawArray,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: Norm = "backward",
) -> RawArray:
    """Spectrum of a complex signal along several axes: :func:`fft` along one after the other.

    Derivative: ``fftn(g)`` over the same axes.

    Parameters
    ----------
    x : array of complex dtype
    s : sequence of int, optional
        Length of the signal along each axis; None takes those of `x`.
    axes : sequence of int, optional
        Different ones.
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of `x`'s dtype
        Shape of `x` with the lengths `s` along `axes`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ValueError
        If an axis is named twice.
    ShapeError
        If there are not as many lengths as axes, or the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.fftn(xp.asarray([[1.0 + 0j, 0.0], [0.0, 1.0]]))
    array([[2.+0.j, 0.+0.j],
           [0.+0.j, 2.+0.j]])
    """
    return call("fft.fftn", x, **_along_several("fft.fftn", x, s, axes), norm=norm)


def ifftn(
    x: RawArray,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: Norm = "backward",
) -> RawArray:
    """Complex signal of a spectrum along several axes, the inverse of :func:`fftn`.

    Derivative: ``ifftn(g)`` over the same axes.

    Parameters
    ----------
    x : array of complex dtype
    s : sequence of int, optional
        Length of the signal along each axis; None takes those of `x`.
    axes : sequence of int, optional
        Different ones.
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of `x`'s dtype
        Shape of `x` with the lengths `s` along `axes`.

    Raises
    ------
    IndexError, ValueError, ShapeError
        As :func:`fftn`.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.ifftn(xp.asarray([[2.0 + 0j, 0.0], [0.0, 2.0]]))
    array([[1.+0.j, 0.+0.j],
           [0.+0.j, 1.+0.j]])
    """
    return call("fft.ifftn", x, **_along_several("fft.ifftn", x, s, axes), norm=norm)


def rfft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """Half the spectrum of a real signal along one axis: what :func:`fft` begins with.

    Derivative: ``hfft(halved(g), n=n)`` with the same `norm`.

    Parameters
    ----------
    x : array of real floating-point dtype, at least one axis
    n : int, optional
        Length of the signal; None takes that of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the complex dtype of `x`'s precision
        Shape of `x` with ``n // 2 + 1`` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.rfft(xp.asarray([1.0, 0.0, 1.0, 0.0]))
    array([2.+0.j, 0.+0.j, 2.+0.j])
    """
    return call("fft.rfft", x, **_along("fft.rfft", x, n, axis), norm=norm)


def irfft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """Real signal of half a spectrum along one axis, the inverse of :func:`rfft`.

    Derivative: ``doubled(ihfft(g))`` with the same `norm`; real where the imaginary part is ignored.

    Parameters
    ----------
    x : array of complex dtype, at least one axis
    n : int, optional
        Length of the signal; None takes the even one, ``2 * (m - 1)`` for m elements of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the real dtype of `x`'s precision
        Shape of `x` with `n` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.irfft(xp.asarray([2.0 + 0j, 0.0, 2.0]))
    array([1., 0., 1., 0.])
    """
    return call("fft.irfft", x, **_along("fft.irfft", x, n, axis, from_half=True), norm=norm)


def rfftn(
    x: RawArray,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: Norm = "backward",
) -> RawArray:
    """Half the spectrum of a real signal: :func:`rfft` along the last of `axes`, :func:`fft` along others.

    Derivative: that of :func:`rfft` after ``fftn(g)`` over the other axes.

    Parameters
    ----------
    x : array of real floating-point dtype
    s : sequence of int, optional
        Length of the signal along each axis; None takes those of `x`.
    axes : sequence of int, optional
        Different ones, at least one.
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the complex dtype of `x`'s precision
        Shape of `x` with the lengths `s` along `axes`, but ``s[-1] // 2 + 1`` along the last of them.

    Raises
    ------
    IndexError, ValueError, ShapeError
        As :func:`fftn`.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.rfftn(xp.asarray([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    array([[1.+0.j, 1.+0.j],
           [1.+0.j, 1.+0.j]])
    """
    return call("fft.rfftn", x, **_along_several("fft.rfftn", x, s, axes, to_half=True), norm=norm)


def irfftn(
    x: RawArray,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: Norm = "backward",
) -> RawArray:
    """Real signal of half a spectrum along several axes, the inverse of :func:`rfftn`.

    Derivative: ``ifftn`` over the other axes of the derivative of :func:`irfft`.

    Parameters
    ----------
    x : array of complex dtype
    s : sequence of int, optional
        Length of the signal along each axis; None takes those of `x`, and the even one for the last.
    axes : sequence of int, optional
        Different ones, at least one.
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the real dtype of `x`'s precision
        Shape of `x` with the lengths `s` along `axes`.

    Raises
    ------
    IndexError, ValueError, ShapeError
        As :func:`fftn`.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.irfftn(xp.asarray([[1.0 + 0j, 1.0], [1.0, 1.0]]), s=(2, 3), axes=(0, 1))
    array([[1., 0., 0.],
           [0., 0., 0.]])
    """
    return call("fft.irfftn", x, **_along_several("fft.irfftn", x, s, axes, from_half=True), norm=norm)


def hfft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """Real spectrum of a signal along one axis of which `x` is the first half, and the rest conjugate to it.

    Derivative: ``doubled(rfft(g))`` with the same `norm`; real where the imaginary part is ignored.

    Parameters
    ----------
    x : array of complex dtype, at least one axis
    n : int, optional
        Length of signal and spectrum; None takes the even one, ``2 * (m - 1)`` for m elements of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the real dtype of `x`'s precision
        Shape of `x` with `n` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.hfft(xp.asarray([1.0 + 0j, 1.0, 0.0]))
    array([ 3.,  1., -1.,  1.])
    """
    return call("fft.hfft", x, **_along("fft.hfft", x, n, axis, from_half=True), norm=norm)


def ihfft(x: RawArray, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> RawArray:
    """First half of the signal of a real spectrum along one axis, the inverse of :func:`hfft`.

    Derivative: ``irfft(halved(g), n=n)`` with the same `norm`.

    Parameters
    ----------
    x : array of real floating-point dtype, at least one axis
    n : int, optional
        Length of signal and spectrum; None takes that of `x`.
    axis : int
    norm : {"backward", "ortho", "forward"}

    Returns
    -------
    array of the complex dtype of `x`'s precision
        Shape of `x` with ``n // 2 + 1`` elements along `axis`.

    Raises
    ------
    IndexError
        If `x` has no such axis.
    ShapeError
        If the signal has no elements.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.real(xp.fft.ihfft(xp.asarray([3.0, 1.0, -1.0, 1.0])))
    array([1., 1., 0.])
    """
    return call("fft.ihfft", x, **_along("fft.ihfft", x, n, axis), norm=norm)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> RawArray:
    """Frequencies of the elements of a spectrum, in cycles per unit of `d`.

    From 0 up to below ``1 / (2 d)``, then the negative ones, also in rising order.

    Parameters
    ----------
    n : int
        Length of the signal.
    d : float
        Distance between samples.
    dtype : dtype or str, optional
        None takes the library's default for floats.
    device : device or str, optional

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.fftfreq(5, d=0.1)
    array([ 0.,  2.,  4., -4., -2.])
    """
    backend, place = _place(dtype, device)
    return backend.xp.fft.fftfreq(n, d=d, **place)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> RawArray:
    """Frequencies of the elements of half a spectrum, in cycles per unit of `d`.

    Parameters
    ----------
    n : int
        Length of the signal.
    d : float
        Distance between samples.
    dtype : dtype or str, optional
        None takes the library's default for floats.
    device : device or str, optional

    Returns
    -------
    array of shape (n // 2 + 1,)

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.rfftfreq(5, d=0.1)
    array([0., 2., 4.])
    """
    backend, place = _place(dtype, device)
    return backend.xp.fft.rfftfreq(n, d=d, **place)


def fftshift(x: RawArray, /, *, axes: int | Sequence[int] | None = None) -> RawArray:
    """`x` with frequency 0 moved from the beginning of each axis to its middle.

    Derivative: ``ifftshift(g)``.

    Parameters
    ----------
    x : array of any shape and dtype
    axes : int or sequence of int, optional
        None moves it along all axes.

    Returns
    -------
    array of `x`'s shape and dtype

    Raises
    ------
    IndexError
        If `x` has no such axis.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.fftshift(xp.asarray([0, 1, 2, -2, -1]))
    array([-2, -1,  0,  1,  2])
    """
    check_arrays("fft.fftshift", x=x)
    places = normalize_axis_tuple(range(x.ndim) if axes is None else axes, x.ndim, "fft.fftshift")
    return _rolled(x, tuple(x.shape[axis] // 2 for axis in places), places)


def ifftshift(x: RawArray, /, *, axes: int | Sequence[int] | None = None) -> RawArray:
    """`x` with frequency 0 moved from the middle of each axis to its beginning: undoes :func:`fftshift`.

    Derivative: ``fftshift(g)``.

    Parameters
    ----------
    x : array of any shape and dtype
    axes : int or sequence of int, optional
        None moves it along all axes.

    Returns
    -------
    array of `x`'s shape and dtype

    Raises
    ------
    IndexError
        If `x` has no such axis.

    Examples
    --------
    >>> from bpkit import xp
    >>> xp.fft.ifftshift(xp.asarray([-2, -1, 0, 1, 2]))
    array([ 0,  1,  2, -2, -1])
    """
    check_arrays("fft.ifftshift", x=x)
    places = normalize_axis_tuple(range(x.ndim) if axes is None else axes, x.ndim, "fft.ifftshift")
    return _rolled(x, tuple(-(x.shape[axis] // 2) for axis in places), places)


def _rolled(x: RawArray, shift: tuple[int, ...], places: tuple[int, ...]) -> RawArray:
    # NumPy cannot roll along no axes.
    return roll(x, shift, axis=places) if places else astype(x, x.dtype)
