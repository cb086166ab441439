"""Files that are whole or absent, whatever happens while they are written."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpkit.errors import RunError

__all__ = ["TEMPORARY_SUFFIX", "locked", "remove", "sha256", "sync_folder", "write"]

TEMPORARY_SUFFIX = ".tmp"


def write(path: Path, content: bytes) -> None:
    """Replace a file by new content, or leave everything as it was.

    The content goes to a temporary file in the same folder, is flushed to the disk and renamed over `path`,
    so that no moment and no power cut shows half a file.

    Parameters
    ----------
    path : Path
    content : bytes

    Raises
    ------
    OSError
        What the operating system says; `path` is as before and the temporary file is gone.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write(folder / "state.json", b"{}")
    >>> [file.name for file in folder.iterdir()]
    ['state.json']
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        handle = _create(temporary)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _create(path: Path) -> int:
    """Open a new file for writing; what an earlier process left, or a link put in its place, is removed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        remove(path)
        return os.open(path, flags, 0o666)


def remove(path: Path) -> None:
    """Delete a file if it is there and can be deleted."""
    with suppress(OSError):
        os.unlink(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as lasting as its files; Windows does so by itself.

    Raises
    ------
    OSError
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from training in a run folder within a ``with`` block, where the system can.

    Raises
    ------
    RunError
        If another process is training in it.
    """
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):  # Windows; or no folder, and reading it says so
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{path} is being trained by another process; wait for it or stop it") from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
