"""MNIST from a folder, from the cache and from a host, mostly in miniature; and the real one."""

import gzip
import hashlib
import importlib
import io
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bpkit.data import Dataset, mnist, read_idx
from bpkit.errors import CorruptDataError, MissingDataError

mnist_module = importlib.import_module("bpkit.data.mnist")  # the function has the module's name

Folder = dict[str, NDArray[np.uint8]]


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The contents of four small files, which mnist() then takes for the real ones; no folder is named."""
    random = np.random.default_rng(0)
    shapes = [(12, 5, 4), (12,), (6, 5, 4), (6,)]
    files, contents = [], {}
    for file, shape in zip(mnist_module.FILES, shapes, strict=True):
        array = random.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
        contents[file.name] = array
        files.append(file._replace(shape=shape, sha256=hashlib.sha256(idx_bytes(array)).hexdigest()))
    monkeypatch.setattr(mnist_module, "FILES", tuple(files))
    monkeypatch.setattr(mnist_module, "VALIDATION", 3)
    monkeypatch.setattr(mnist_module, "MIRRORS", ())
    monkeypatch.delenv("BPKIT_DATA", raising=False)
    return contents


@pytest.fixture
def folder(small: Folder, tmp_path: Path) -> Path:
    path = tmp_path / "mnist"
    path.mkdir()
    for name, array in small.items():
        (path / name).write_bytes(idx_bytes(array))
    return path


def pack(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def assert_is(data: Dataset, small: Folder) -> None:
    train_images, train_labels, test_images, test_labels = small.values()
    for part, images, labels in (
        (data.train, train_images[:9], train_labels[:9]),
        (data.validation, train_images[9:], train_labels[9:]),
        (data.test, test_images, test_labels),
    ):
        expected = (images.reshape(len(images), 20) / 255).astype(np.float32)
        np.testing.assert_allclose(part.images, expected, rtol=1e-7, atol=0)
        np.testing.assert_array_equal(part.labels, labels)
        assert part.images.max() <= 1
        assert not part.images.flags.writeable


@pytest.mark.parametrize("packed", [[], [0, 1, 2, 3], [1, 2]])
def test_mnist_reads_plain_and_gzipped_files(packed: list[int], folder: Path, small: Folder) -> None:
    for index in packed:
        pack(folder / list(small)[index])
    data = mnist(folder)
    assert (data.name, data.classes, data.features) == ("mnist", 10, 20)
    assert np.shares_memory(data.train.images.base, data.validation.images), "one array, sliced, not copied"
    assert_is(data, small)
    assert_is(mnist(str(folder)), small)


def test_mnist_prefers_the_plain_file(folder: Path, small: Folder) -> None:
    for name in small:
        (folder / f"{name}.gz").write_bytes(b"not read")
    assert_is(mnist(folder), small)


def test_mnist_reads_the_file_beside_a_folder_of_its_name(folder: Path, small: Folder) -> None:
    path = folder / "train-images-idx3-ubyte"
    pack(path)
    path.mkdir()
    assert_is(mnist(folder), small)
    path.with_name(f"{path.name}.gz").unlink()
    with pytest.raises(MissingDataError, match="train-images-idx3-ubyte is a folder"):
        mnist(folder)


def test_mnist_looks_where_bpkit_data_says_unless_root_is_given(
    folder: Path, small: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPKIT_DATA", str(folder))
    assert_is(mnist(), small)
    with pytest.raises(MissingDataError, match=r"there is no folder .*elsewhere \(root\)"):
        mnist(tmp_path / "elsewhere")
    monkeypatch.setenv("BPKIT_DATA", str(tmp_path / "gone"))
    assert_is(mnist(folder), small)
    with pytest.raises(MissingDataError, match=r"there is no folder .*gone \(BPKIT_DATA\)"):
        mnist()


def test_mnist_lists_what_a_named_folder_lacks_and_downloads_nothing(
    folder: Path, small: Folder, server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "t10k-images-idx3-ubyte").unlink()
    text = (
        rf"^mnist: 2 of 4 files are missing in {folder} \(root\), plain and as .gz: "
        r"train-labels-idx1-ubyte, t10k-images-idx3-ubyte; put .* bpkit train digits$"
    )
    with pytest.raises(MissingDataError, match=text):
        mnist(folder)
    monkeypatch.setenv("BPKIT_DATA", str(folder))
    with pytest.raises(MissingDataError, match=r"2 of 4 files are missing in .* \(BPKIT_DATA\)"):
        mnist()
    assert server.requests == []


def test_mnist_root_is_a_file_or_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match=r"train-images-idx3-ubyte \(root\) is not a folder"):
        mnist(folder / "train-images-idx3-ubyte")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mnist_module.os, "listdir", refuse)
    with pytest.raises(MissingDataError, match=r"the folder .* \(root\) cannot be read: Permission denied"):
        mnist(folder)


@pytest.mark.parametrize("other", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_mnist_says_which_files_look_swapped(other: str, folder: Path) -> None:
    first, second = folder / "train-images-idx3-ubyte", folder / other
    images, labels = first.read_bytes(), second.read_bytes()
    first.write_bytes(labels)
    second.write_bytes(images)
    text = (
        rf"train-images-idx3-ubyte holds uint8 of shape .*; train-images-idx3-ubyte holds uint8 of shape "
        rf"\(12, 5, 4\)\. It looks like {other}: are the files swapped\?"
    )
    with pytest.raises(CorruptDataError, match=text):
        mnist(folder)


def test_mnist_refuses_well_formed_files_that_are_not_its_own(folder: Path, small: Folder) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros((6, 5, 5), np.uint8)))
    with pytest.raises(CorruptDataError, match="It is not a file of MNIST"):
        mnist(folder)
    changed = small[path.name].copy()
    changed[3, 2, 1] ^= 1
    path.write_bytes(idx_bytes(changed))
    found = hashlib.sha256(idx_bytes(changed)).hexdigest()
    text = f"is a well-formed IDX file .* but not MNIST's t10k-images.* SHA-256 {found}, expected "
    with pytest.raises(
        CorruptDataError, match=text + hashlib.sha256(idx_bytes(small[path.name])).hexdigest()
    ):
        mnist(folder)


def test_mnist_refuses_a_truncated_file(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptDataError, match=r"is truncated: .* 240 bytes, but only 140 bytes follow"):
        mnist(folder)


class Server(ThreadingHTTPServer):
    """Serves ``answers`` by path; an answer is the body, a status, or a function of the request handler."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, int | bytes | Callable[[Handler], None]] = {}
        self.requests: list[str] = []
        self.released = threading.Event()

    def mirror(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        answer = self.server.answers.get(self.path, 404)
        if isinstance(answer, int):
            self.send_error(answer)
        elif isinstance(answer, bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        else:
            answer(self)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(small: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A host with the mirrors "first", which has nothing yet, and "good"; the cache is an empty folder."""
    pooch = pytest.importorskip("pooch")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        for name, array in small.items():
            running.answers[f"/good/{name}.gz"] = gzip.compress(idx_bytes(array))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
        monkeypatch.setattr(mnist_module, "MIRRORS", (running.mirror("first"), running.mirror("good")))
        monkeypatch.setattr(mnist_module, "TIMEOUT_S", 5)
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "bpkit" / "mnist"


def listing(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_mnist_downloads_once(
    server: Server,
    small: Folder,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BPKIT_DATA", "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(mnist_module, "MIRRORS", (server.mirror("good"),))
    assert_is(mnist(), small)
    assert server.requests == [f"/good/{name}.gz" for name in small]
    assert listing(cache) == sorted(f"{name}.gz" for name in small)
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == 4, "not a bar, which is for terminals"
    for line, name in zip(lines, small, strict=True):
        assert re.fullmatch(rf"{name}: (\d+)/\1 kB  [\d,]+ kB/s", line)
    assert shown.out == ""
    assert_is(mnist(), small)
    assert len(server.requests) == 4
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("length", [True, False], ids=["length", "no length"])
def test_mnist_shows_a_bar_for_each_file_on_a_terminal(
    length: bool, server: Server, small: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = small
    body = server.answers[f"/good/{first}.gz"]
    assert isinstance(body, bytes)

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.answers |= {f"/first/{first}.gz": answer, f"/first/{second}.gz": b"not an IDX file"}
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", Terminal())
    mnist()
    written = sys.stderr.getvalue()
    assert "\x1b" not in written
    assert max(map(len, re.split(r"[\r\n]", written))) < 80
    assert server.requests[:3] == [f"/first/{first}.gz", f"/first/{second}.gz", f"/good/{second}.gz"]
    kept = [line.rpartition("\r")[2].rstrip() for line in written.split("\n")]
    assert kept.pop() == ""
    for line, name in zip(kept, small, strict=True):
        assert re.fullmatch(rf"{name} ━{{16}} (\d+)/\1 kB  [\d,]+ kB/s", line), line


def test_mnist_downloads_only_what_the_cache_lacks(server: Server, small: Folder, cache: Path) -> None:
    cache.mkdir(parents=True)
    for name in list(small)[:3]:
        (cache / name).write_bytes(idx_bytes(small[name]))
    assert_is(mnist(), small)
    assert server.requests == ["/first/t10k-labels-idx1-ubyte.gz", "/good/t10k-labels-idx1-ubyte.gz"]


def stall(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"\x1f\x8b")
    handler.wfile.flush()
    handler.server.released.wait(60)


def cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"\x1f\x8b")


Answer = int | bytes | Callable[[Handler], None]
FAILURES: dict[str, tuple[Answer, str]] = {
    "missing": (404, "HTTP status 404"),
    "broken": (503, "HTTP status 503"),
    "login page": (b"<!DOCTYPE html><title>Sign in</title>", "is not an IDX file"),
    "truncated": (gzip.compress(idx_bytes(np.ones((12, 5, 4), np.uint8)))[:-3], "is a damaged gzip file"),
    "another data set": (gzip.compress(idx_bytes(np.zeros((12, 5, 4), np.uint8))), "not MNIST's"),
    "stalls": (stall, "the connection failed"),
    "breaks off": (cut, "the connection failed"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_mnist_goes_on_to_the_next_mirror_and_leaves_nothing_bad(
    failure: str, server: Server, small: Folder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_module, "TIMEOUT_S", 1.5)
    server.answers["/first/train-images-idx3-ubyte.gz"] = FAILURES[failure][0]
    assert_is(mnist(), small)
    assert listing(cache) == sorted(f"{name}.gz" for name in small)
    # The mirror that failed is not asked again.
    assert server.requests == ["/first/train-images-idx3-ubyte.gz"] + [f"/good/{name}.gz" for name in small]


@pytest.mark.parametrize("failure", FAILURES)
def test_mnist_says_why_no_mirror_helped(
    failure: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, reason = FAILURES[failure]
    monkeypatch.setattr(mnist_module, "TIMEOUT_S", 1.5)
    monkeypatch.setattr(mnist_module, "MIRRORS", (server.mirror("first"),))
    server.answers["/first/train-images-idx3-ubyte.gz"] = answer
    start = time.monotonic()
    with pytest.raises(
        MissingDataError, match=rf"Tried http://\S*/first/train-images-idx3-ubyte.gz \(.*{reason}"
    ):
        mnist()
    assert time.monotonic() - start < 15
    assert listing(cache) == []


def test_mnist_keeps_what_arrived_when_the_mirrors_run_out(
    server: Server, small: Folder, cache: Path
) -> None:
    *arrived, last = (f"{name}.gz" for name in small)
    del server.answers[f"/good/{last}"]
    with pytest.raises(MissingDataError, match=rf"/first/{arrived[0]} .*HTTP status 404.*/good/{last} .*404"):
        mnist()
    assert server.requests == [f"/first/{arrived[0]}", *(f"/good/{name}.gz" for name in small)]
    assert listing(cache) == sorted(arrived)


def test_mnist_offline_says_where_it_looked_and_what_to_do(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    monkeypatch.setattr(mnist_module, "MIRRORS", (closed, closed))
    with pytest.raises(MissingDataError) as caught:
        mnist()
    text = str(caught.value)
    looked = (
        f"Looked in {cache} (lacks train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte; neither root nor BPKIT_DATA names another folder)"
    )
    for part in (
        looked,
        f"{closed}train-images-idx3-ubyte.gz (the connection failed)",
        "mnist(root=...), --data or BPKIT_DATA",
        "bpkit train digits",
    ):
        assert part in text
    assert isinstance(caught.value, FileNotFoundError)
    assert "\n" not in text


def test_mnist_gives_up_on_a_host_that_never_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        monkeypatch.setattr(mnist_module, "MIRRORS", (f"http://127.0.0.1:{mute.getsockname()[1]}/",))
        monkeypatch.setattr(mnist_module, "TIMEOUT_S", 0.5)
        start = time.monotonic()
        with pytest.raises(MissingDataError, match=r"\(no answer within 0.5 s\)"):
            mnist()
        assert time.monotonic() - start < 8


def test_mnist_gives_up_on_a_name_that_is_never_resolved(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*args: object, **kwargs: object) -> list[object]:
        server.released.wait(10)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(mnist_module, "MIRRORS", ("http://mirror.invalid/",))
    monkeypatch.setattr(mnist_module, "TIMEOUT_S", 0.5)
    start = time.monotonic()
    with pytest.raises(MissingDataError, match=r"\(no answer within 0.5 s\)"):
        mnist()
    assert time.monotonic() - start < 8


def test_mnist_cache_that_cannot_be_written(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mnist_module.os, "replace", full)
        with pytest.raises(
            MissingDataError, match=rf"the cache {cache} cannot be used: No space left on device"
        ):
            mnist()
    assert listing(cache) == []
    cache.rmdir()
    cache.write_bytes(b"")
    with pytest.raises(MissingDataError, match=rf"the cache {cache} cannot be used: File exists"):
        mnist()


def test_mnist_interrupted_download_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def interrupt(file: object, path: Path) -> None:
        seen.append(listing(cache))
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist_module, "MIRRORS", (server.mirror("good"),))
    monkeypatch.setattr(mnist_module, "_load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mnist()
    # The final name appears only after verification.
    assert [name.rpartition(".")[2] for name in seen[0]] == ["part"]
    assert listing(cache) == []


def test_mnist_without_pooch(small: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingDataError, match="pip install pooch, or put train-images-idx3-ubyte, "):
        mnist()


def test_mnist_itself(mnist_root: Path) -> None:
    data = mnist(mnist_root)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [50_000, 10_000, 10_000]
    assert (data.name, data.classes, data.features) == ("mnist", 10, 784)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    files = [read_idx(mnist_module._find(mnist_root)[file.name]) for file in mnist_module.FILES]
    np.testing.assert_array_equal(np.rint(data.validation.images * 255), files[0][50_000:].reshape(-1, 784))
    np.testing.assert_array_equal(data.validation.labels, files[1][50_000:])
    np.testing.assert_array_equal(np.rint(data.test.images * 255), files[2].reshape(-1, 784))
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)
