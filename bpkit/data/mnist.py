"""MNIST: 70,000 handwritten digits of 28x28 pixels, read from a folder or downloaded once."""

import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bpkit.data.dataset import Dataset, Split
from bpkit.data.idx import Header, read_header, read_idx_sha256
from bpkit.errors import CorruptDataError, MissingDataError
from bpkit.terminal import Bar, is_live

__all__ = ["mnist"]


class _File(NamedTuple):
    name: str
    shape: tuple[int, ...]
    sha256: str  # of the decompressed file: hosts compress differently


FILES = (
    _File(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _File(
        "train-labels-idx1-ubyte",
        (60_000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _File(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _File(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
VALIDATION = 10_000  # the last images of the training file
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT_S = 6.0


def mnist(root: str | os.PathLike[str] | None = None) -> Dataset:
    """Load MNIST, verified by SHA-256.

    The four files are looked for in ``root``; without it, in the folder that the environment variable
    ``BPKIT_DATA`` names; without that, in the user's cache, where those that are missing are downloaded with
    a progress bar on standard error. A folder that you named is never completed by a download.

    Parameters
    ----------
    root : str or path, optional
        The folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
        and ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz``; where both are there the plain file
        is read.

    Returns
    -------
    Dataset
        ``name`` is ``"mnist"``, ``classes`` is 10, and ``images`` have shape (n, 784): the rows of a 28x28
        image, from 0 (white) to 1 (black) in steps of 1/255. 50,000 images to train, 10,000 to validate
        (the last of the training file, as in [2]_) and 10,000 to test, all in the order of the files.

    Raises
    ------
    MissingDataError
        If files are missing or unreadable in a named folder, or cannot be downloaded; also if the cache is
        needed and pooch is not installed. The message says where it looked and what to do.
    CorruptDataError
        If a file is damaged, swapped with another of the four, or not MNIST's.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
       recognition", *Proceedings of the IEEE* 86(11), 1998, https://doi.org/10.1109/5.726791.
    .. [2] M. Nielsen, *Neural Networks and Deep Learning*, 2015, chapter 1,
       http://neuralnetworksanddeeplearning.com/chap1.html.

    Examples
    --------
    >>> data = mnist()  # doctest: +SKIP
    >>> data.train  # doctest: +SKIP
    Split(50000 images, 784 features)
    >>> mnist("no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bpkit.errors.MissingDataError: mnist: there is no folder no-such-folder (root); ...
    """
    if root is not None:
        paths = _find_in_named(Path(root).expanduser(), "root")
    elif os.environ.get("BPKIT_DATA"):
        paths = _find_in_named(Path(os.environ["BPKIT_DATA"]).expanduser(), "BPKIT_DATA")
    else:
        paths = _find_in_cache()
    train_images, train_labels, test_images, test_labels = (_load(file, paths[file.name]) for file in FILES)
    images, labels = _scaled(train_images), _as_int64(train_labels)
    return Dataset(
        "mnist",
        train=Split(images[:-VALIDATION], labels[:-VALIDATION]),
        validation=Split(images[-VALIDATION:], labels[-VALIDATION:]),
        test=Split(_scaled(test_images), _as_int64(test_labels)),
        classes=10,
    )


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled = np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
    scaled.flags.writeable = False  # so that Split keeps slices of it instead of copying them
    return scaled


def _as_int64(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    wide = labels.astype(np.int64)
    wide.flags.writeable = False
    return wide


def _load(file: _File, path: Path) -> NDArray[np.uint8]:
    expected = Header(np.dtype(np.uint8), file.shape)
    found = read_header(path)
    if found != expected:
        twins = [other.name for other in FILES if found == Header(np.dtype(np.uint8), other.shape)]
        raise CorruptDataError(
            f"mnist: {path} holds {found}; {file.name} holds {expected}. "
            + (
                f"It looks like {twins[0]}: are the files swapped?"
                if twins
                else "It is not a file of MNIST; get the right one."
            )
        )
    array, sha256 = read_idx_sha256(path)
    if sha256 != file.sha256:
        raise CorruptDataError(
            f"mnist: {path} is a well-formed IDX file ({found}), but not MNIST's {file.name}: its contents "
            f"have SHA-256 {sha256}, expected {file.sha256}. Replace it with the original."
        )
    return array


def _find(folder: Path) -> dict[str, Path]:
    """Where those files are that the folder has; a plain one before a .gz, but any file before a folder."""
    names = set(os.listdir(folder))
    found = {}
    for file in FILES:
        candidates = [folder / name for name in (file.name, f"{file.name}.gz") if name in names]
        if candidates:
            found[file.name] = next((path for path in candidates if not path.is_dir()), candidates[0])
    return found


def _find_in_named(folder: Path, named_by: str) -> dict[str, Path]:
    try:
        found = _find(folder)
    except FileNotFoundError as error:
        raise MissingDataError(f"mnist: there is no folder {folder} ({named_by}); {_advice()}") from error
    except NotADirectoryError as error:
        raise MissingDataError(f"mnist: {folder} ({named_by}) is not a folder; {_advice()}") from error
    except OSError as error:
        raise MissingDataError(
            f"mnist: the folder {folder} ({named_by}) cannot be read: {error.strerror}; {_advice()}"
        ) from error
    missing = [file.name for file in FILES if file.name not in found]
    if missing:
        raise MissingDataError(
            f"mnist: {len(missing)} of 4 files are missing in {folder.absolute()} ({named_by}), plain and as "
            f".gz: {', '.join(missing)}; {_advice()}"
        )
    return found


def _find_in_cache() -> dict[str, Path]:
    try:
        import pooch
    except ImportError as error:
        raise MissingDataError(
            "mnist: no folder is named by root or BPKIT_DATA, and pooch, which downloads the files, is not "
            f"installed; pip install pooch, or {_advice()}"
        ) from error
    cache = Path(pooch.os_cache("bpkit")) / "mnist"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        found = _find(cache)
        missing = [file for file in FILES if file.name not in found]
        if missing:
            _download(missing, cache)
            found = _find(cache)
    except MissingDataError:
        raise
    except OSError as error:
        raise MissingDataError(
            f"mnist: the cache {cache} cannot be used: {error.strerror}; {_advice()}"
        ) from error
    return found


def _advice() -> str:
    names = ", ".join(file.name for file in FILES)
    return (
        f"put {names} (plain or .gz) into one folder and name it with mnist(root=...), --data or BPKIT_DATA, "
        "or train on the digits inside the package, which need no download: bpkit train digits"
    )


def _download(files: list[_File], cache: Path) -> None:
    """Download files into the cache from the first mirror that delivers; a failed one is not asked again."""
    from requests import RequestException

    mirrors, failures = list(MIRRORS), list[str]()
    for file in files:
        while mirrors:
            url = f"{mirrors[0]}{file.name}.gz"
            try:
                with _Progress(file.name) as progress:
                    _download_one(file, url, cache, progress)
                break
            except (RequestException, CorruptDataError) as error:
                failures.append(f"{url} ({_reason(error)})")
                del mirrors[0]
        else:
            raise MissingDataError(
                "mnist: the files are not on this machine and cannot be downloaded. "
                f"Looked in {cache} (lacks {', '.join(file.name for file in files)}; neither root nor "
                f"BPKIT_DATA names another folder). Tried {', '.join(failures)}. What to do: {_advice()}"
            )


def _download_one(file: _File, url: str, cache: Path, progress: "_Progress") -> None:
    """Download under a temporary name, verify, rename; nothing is left behind if any of it fails."""
    from pooch import HTTPDownloader

    downloader = HTTPDownloader(progressbar=progress, chunk_size=1 << 16, timeout=TIMEOUT_S)
    _await_answer(downloader, url)
    handle, name = tempfile.mkstemp(prefix=file.name, suffix=".part", dir=cache)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as output:
            downloader(url, output, None)
        progress.total = temporary.stat().st_size
        progress.update(progress.total)
        _load(file, temporary)
        os.replace(temporary, cache / f"{file.name}.gz")
    finally:
        temporary.unlink(missing_ok=True)


def _await_answer(downloader: Any, url: str) -> None:
    """Ask for the file's headers, giving up after TIMEOUT_S altogether.

    The timeout of requests holds for one address. A firewall that drops packets makes it wait for each of a
    host's many addresses in turn, and name resolution has no timeout at all.
    """
    from requests import ConnectTimeout, RequestException

    outcome = list[RequestException | None]()

    def ask() -> None:
        try:
            downloader(url, None, None, check_only=True)
            outcome.append(None)
        except RequestException as error:
            outcome.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT_S)
    error = outcome[0] if outcome else ConnectTimeout(f"no answer within {TIMEOUT_S:g} s")
    if error is not None:
        raise error


def _reason(error: Exception) -> str:
    """Say in a few words why a download failed; the texts of requests run over several lines."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, exceptions.Timeout):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, exceptions.ConnectionError | exceptions.ChunkedEncodingError):
        return "the connection failed"
    return str(error)


class _Progress:
    """A bar on a terminal, elsewhere a line once the file is there, in the terms in which pooch reports."""

    total = 0  # of bytes; 0 while it is not known

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar = Bar(sys.stderr) if is_live(sys.stderr) else None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._done = 0
        self._start = time.perf_counter()
        if self._bar is not None:
            self._exits.enter_context(self._bar)
            self._bar.show(self._name, 0, None, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the last state stand, unless another mirror is tried."""
        tried_again = kind is not None and issubclass(kind, Exception)
        if self._bar is not None and not tried_again:
            self._show(self._bar)
            self._bar.keep()
        elif kind is None and sys.stderr is not None:
            sys.stderr.write(f"{self._name}: {self._amount()}\n")
        self._exits.close()

    def update(self, count: int) -> None:
        """Pooch counts whole chunks, also the last, and in the end the total once more."""
        self._done += count
        if self.total:
            self._done = min(self._done, self.total)
        if self._bar is not None and self._bar.is_due():
            self._show(self._bar)

    def reset(self) -> None:
        """The count stays; update ends at the total."""

    def close(self) -> None:
        """The file has to be verified yet."""

    def _show(self, bar: Bar) -> None:
        bar.show(self._name, self._done, self.total or None, self._amount())

    def _amount(self) -> str:
        rate = self._done / (time.perf_counter() - self._start)
        total = f"/{self.total / 1e3:,.0f}" if self.total else ""
        return f"{self._done / 1e3:,.0f}{total} kB  {rate / 1e3:,.0f} kB/s"
