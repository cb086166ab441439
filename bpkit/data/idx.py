"""Reading IDX, the file format of MNIST: a short header and an array of big-endian numbers.

The header is two zero bytes, a code for the number type, the count of dimensions, and each dimension as an
unsigned 32-bit number, most significant byte first; the array follows in row-major order, and nothing after
it. Source: Y. LeCun, C. Cortes and C. Burges, *The MNIST database of handwritten digits*, section "the IDX
file format", http://yann.lecun.com/exdb/mnist/.

A header is only a claim, so it is compared with the size of the file before any memory is asked for.
"""

import gzip
import hashlib
import io
import math
import os
import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpkit.errors import CorruptDataError, MissingDataError

__all__ = ["Header", "read_header", "read_idx", "read_idx_sha256"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 64  # the most that a NumPy array can have
GZIP_RATIO = 1032  # deflate cannot shrink anything further; https://www.zlib.net/zlib_tech.html
CHUNK_BYTES = 1 << 20


class Header(NamedTuple):
    """What an IDX file says it holds: the dtype (big-endian, as stored) and the shape of its array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes that follow the header; a Python integer, which cannot overflow."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name} of shape {self.shape}"


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, plain or gzipped.

    Which of the two it is shows in the file's first bytes; its name does not matter.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    array
        Shape and dtype as in the file (uint8, int8, int16, int32, float32 or float64), in the byte order of
        this machine; a new array.

    Raises
    ------
    CorruptDataError
        If the file is not IDX, is truncated, goes on after the array, is a damaged gzip file, or claims a
        size that it cannot have. No more memory is used than the file can fill.
    MissingDataError
        If the file does not exist, is not a regular file or cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "labels-idx1-ubyte")
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(path)
    array([5, 0, 4], dtype=uint8)
    >>> folder.cleanup()
    """
    return read_idx_sha256(path)[0]


def read_idx_sha256(path: str | os.PathLike[str]) -> tuple[NDArray[Any], str]:
    """Read as :func:`read_idx` does; also the SHA-256 of the decompressed file, in hexadecimal."""
    path = Path(path)
    with _open(path) as (stream, size, packed):
        start, header = _parse_header(stream, path)
        available = GZIP_RATIO * size if packed else size - len(start)
        if header.data_bytes > available:
            raise CorruptDataError(
                f"read_idx: {path} is truncated: its header promises {header}, {header.data_bytes} bytes, "
                + (
                    f"more than {size} bytes of gzip can hold"
                    if packed
                    else f"but only {available} bytes follow"
                )
            )
        digest = hashlib.sha256(start)
        data = np.empty(header.data_bytes, dtype=np.uint8)
        filled = 0
        while filled < data.size:
            count = stream.readinto(data.data[filled : filled + CHUNK_BYTES])
            if count == 0:
                raise CorruptDataError(
                    f"read_idx: {path} is truncated: its header promises {header}, {data.size} bytes, "
                    f"but only {filled} bytes follow"
                )
            digest.update(data.data[filled : filled + count])
            filled += count
        # One byte more: reaching the end is also what makes gzip compare its checksum.
        if stream.read(1):
            raise CorruptDataError(
                f"read_idx: {path} goes on after the {data.size} bytes of {header} that its header promises; "
                "it is not one IDX file"
            )
    array = data.view(header.dtype).reshape(header.shape)
    return array.astype(header.dtype.newbyteorder("="), copy=False), digest.hexdigest()


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read what an IDX file, plain or gzipped, says it holds, without reading the array.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Header
        Its dtype and shape.

    Raises
    ------
    CorruptDataError
        If the file does not begin as IDX does.
    MissingDataError
        If the file does not exist, is not a regular file or cannot be read.
    """
    path = Path(path)
    with _open(path) as (stream, _, _):
        return _parse_header(stream, path)[1]


@contextmanager
def _open(path: Path) -> Iterator[tuple[io.BufferedIOBase, int, bool]]:
    """Open for reading, through gzip where the content is; also the size on disk and whether it is gzip."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise MissingDataError(f"read_idx: {path} is {kind}; expected an IDX file, plain or gzipped")
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if packed else file, os.fstat(file.fileno()).st_size, packed
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptDataError(
            f"read_idx: {path} is a damaged gzip file ({error}); get a new copy of it"
        ) from error
    except MissingDataError:
        raise
    except FileNotFoundError as error:
        raise MissingDataError(f"read_idx: {path} does not exist") from error
    except OSError as error:
        raise MissingDataError(f"read_idx: {path} cannot be read: {error.strerror or error}") from error


def _parse_header(stream: io.BufferedIOBase, path: Path) -> tuple[bytes, Header]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise CorruptDataError(
            f"read_idx: {path} is truncated: {len(magic)} bytes, too few for the header of an IDX file"
        )
    code, dimensions = magic[2:]
    if magic[:2] != b"\0\0" or code not in DTYPES:
        raise CorruptDataError(
            f"read_idx: {path} is not an IDX file: it begins with {magic.hex(' ')}; expected 00 00, "
            f"a type code among {', '.join(f'{known:02x}' for known in DTYPES)}, and the number of dimensions"
        )
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise CorruptDataError(
            f"read_idx: {path} is not an IDX file: its header promises {dimensions} dimensions; "
            f"expected 1 to {MAX_DIMENSIONS}"
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise CorruptDataError(
            f"read_idx: {path} is truncated: its header promises {dimensions} dimensions and ends before them"
        )
    header = Header(np.dtype(DTYPES[code]), struct.unpack(f">{dimensions}I", sizes))
    # An empty array passes every comparison with the file's size, yet NumPy must be able to shape it.
    if math.prod(size for size in header.shape if size) * header.dtype.itemsize > sys.maxsize:
        raise CorruptDataError(
            f"read_idx: {path} is not a usable IDX file: its header promises {header}, "
            "more than a computer can address"
        )
    return magic + sizes, header
