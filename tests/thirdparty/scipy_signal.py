"""``scipy.signal``, ``scipy.fft`` and ``scipy.ndimage``."""

from scipy import fft, ndimage, signal

from .call import MATRIX, MIXED, POSITIVE, RNG, SIGNED, UNIT, X, Y, call, stop

__all__ = ["CALLS", "STOPS"]

LONG = RNG.normal(size=24)
IMAGE = RNG.normal(size=(5, 6))
B, A = [0.2, 0.3, 0.1], [1.0, -0.4, 0.2]  # coefficients of a filter

CALLS = [
    call("signal.convolve by fft", lambda x, y: signal.convolve(x, y, "valid", method="fft"), LONG, X),
    call("signal.fftconvolve", signal.fftconvolve, X, Y),
    call("signal.fftconvolve of rows", lambda x, y: signal.fftconvolve(x, y, axes=1), MIXED, POSITIVE),
    call("signal.oaconvolve", signal.oaconvolve, LONG, X),
    call("signal.hilbert", signal.hilbert, X),
    call("signal.hilbert2", signal.hilbert2, IMAGE),
    call("signal.envelope", signal.envelope, LONG),
    call("signal.resample", lambda x: signal.resample(x, 7), LONG),
    call("signal.vectorstrength", signal.vectorstrength, X, 2.0),
    call("signal.freqz", lambda b, a: signal.freqz(b, a, worN=8)[1], B, A),
    call("signal.freqz_zpk", lambda z, p, k: signal.freqz_zpk(z, p, k, worN=8)[1], X, UNIT, 2.0),
    call("signal.bilinear_zpk", lambda z, p: signal.bilinear_zpk(z, p, 1.0, 2.0)[:2], B, -X),
    call("signal.lp2lp", lambda b, a: signal.lp2lp(b, a, 2.0), B, A),
    call("signal.lp2hp", lambda b, a: signal.lp2hp(b, a, 2.0), B, A),
    call("signal.lp2bp", lambda b, a: signal.lp2bp(b, a, 2.0), B, A),
    call("signal.lp2hp_zpk", lambda z, p: signal.lp2hp_zpk(z, p, 1.0, 2.0)[:2], B, -X),
    call("signal.normalize", signal.normalize, B, [2.0, 1.0, 3.0]),
    call("signal.abcd_normalize", lambda x: signal.abcd_normalize(x, x, x, x), MATRIX),
    call("signal.gauss_spline", lambda x: signal.gauss_spline(x, 3), X),
    *(
        call(f"fft.{name}", getattr(fft, name), X)
        for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fftshift", "ifftshift")
    ),
    *(
        call(f"fft.{name}", getattr(fft, name), IMAGE)
        for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
    ),
    *(call(f"fft.{name}", getattr(fft, name), IMAGE) for name in ("hfft2", "ihfft2", "hfftn", "ihfftn")),
    call("fft.fft with length and norm", lambda x: fft.fft(x, n=4, axis=0, norm="ortho"), IMAGE),
    call("fft.fht", lambda x: fft.fht(x, 0.1, 0.5), X),
    call("fft.ifht", lambda x: fft.ifht(x, 0.1, 0.5), X),
]

STOPS = [
    stop("signal.convolve", signal.convolve, X, Y, line="a_volume = np.asarray(volume)"),
    stop("signal.convolve2d", signal.convolve2d, IMAGE, MATRIX, line="in1 = np.asarray(in1)"),
    stop("signal.correlate2d", signal.correlate2d, IMAGE, MATRIX, line="in1 = np.asarray(in1)"),
    stop("signal.detrend", signal.detrend, LONG, line="data = np.asarray(data)"),
    stop("signal.resample_poly", lambda x: signal.resample_poly(x, 3, 2), LONG, line="x = np.asarray(x)"),
    stop("signal.lfilter", signal.lfilter, B, A, LONG, line="x = np.asarray(x)"),
    stop("signal.filtfilt", signal.filtfilt, B, A, LONG, line="b = np.atleast_1d(np.asarray(b))"),
    stop(
        "signal.savgol_filter",
        lambda x: signal.savgol_filter(x, 5, 2),
        LONG,
        line="input = np.asarray(input)",
    ),
    stop("signal.medfilt", lambda x: signal.medfilt(x, 3), SIGNED, line="input = np.asarray(input)"),
    stop(
        "signal.deconvolve",
        signal.deconvolve,
        LONG,
        X,
        line="result =_sigtools._linear_filter(b, a, x, axis)",
        error=ValueError,
    ),
    stop("signal.upfirdn", signal.upfirdn, X, LONG, line="x = np.asarray(x)"),
    stop("signal.czt", signal.czt, X, line="x = np.asarray(x)"),
    stop("signal.chirp", lambda t: signal.chirp(t, 1.0, 2.0, 3.0), X, line="t = asarray(t)"),
    stop("signal.welch", lambda x: signal.welch(x, nperseg=8)[1], LONG, line="x = np.asarray(x)"),
    stop("signal.stft", lambda x: signal.stft(x, nperseg=8)[2], LONG, line="x = np.asarray(x)"),
    stop(
        "signal.find_peaks",
        lambda x: x[signal.find_peaks(x)[0]],
        LONG,
        line="value = np.asarray(value, order='C', dtype=np.float64)",
    ),
    stop("fft.dct", fft.dct, X, line="x = np.asarray(x)"),
    stop("fft.dstn", fft.dstn, IMAGE, line="x = np.asarray(x)"),
    stop(
        "ndimage.gaussian_filter",
        lambda x: ndimage.gaussian_filter(x, 1.0),
        IMAGE,
        line="input = np.asarray(input)",
    ),
    stop("ndimage.convolve", ndimage.convolve, IMAGE, MATRIX, line="input = np.asarray(input)"),
    stop("ndimage.rotate", lambda x: ndimage.rotate(x, 30.0), IMAGE, line="input_arr = np.asarray(input)"),
    stop("ndimage.mean", ndimage.mean, IMAGE, line="input = np.asarray(input)"),
]
