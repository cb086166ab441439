"""Reading IDX: everything that is one comes back as it went in, and nothing else is let through."""

import gzip
import hashlib
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bpkit.data import idx, read_idx
from bpkit.errors import CorruptDataError, MissingDataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: NDArray[Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def idx_header(code: int, *shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


@given(array=arrays, packed=st.booleans())
def test_read_idx_round_trip(
    array: NDArray[Any], packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = idx_bytes(array)
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)
    assert idx.read_idx_sha256(path)[1] == hashlib.sha256(content).hexdigest()
    assert idx.read_header(path) == (array.dtype.newbyteorder(">"), array.shape)


@given(array=arrays, packed=st.booleans(), data=st.data())
def test_read_idx_refuses_every_truncation(
    array: NDArray[Any], packed: bool, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = gzip.compress(idx_bytes(array)) if packed else idx_bytes(array)
    path = tmp_path_factory.getbasetemp() / "truncated"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CorruptDataError, match=str(path)):
        read_idx(path)


@given(array=arrays, packed=st.booleans(), tail=st.binary(min_size=1, max_size=9))
def test_read_idx_refuses_a_tail(
    array: NDArray[Any], packed: bool, tail: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = idx_bytes(array) + tail
    path = tmp_path_factory.getbasetemp() / "tail"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(CorruptDataError, match="goes on after"):
        read_idx(path)


@given(array=arrays, data=st.data())
def test_read_idx_notices_damage_in_gzip(
    array: NDArray[Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(gzip.compress(idx_bytes(array)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        found = read_idx(path)
    except CorruptDataError:
        return
    np.testing.assert_array_equal(found, array)  # some bytes of gzip's header mean nothing


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", "is truncated: 0 bytes"),
        (b"<!DOCTYPE html>", "is not an IDX file: it begins with 3c 21 44 4f; expected 00 00"),
        (b"\0\0\x0a\x01\0\0\0\0", "is not an IDX file: it begins with 00 00 0a 01"),
        (b"\0\0\x08\0", "promises 0 dimensions; expected 1 to 64"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "promises 255 dimensions; expected 1 to 64"),
        (b"\0\0\x08\x03\0\0\0\1", "promises 3 dimensions and ends before them"),
        (idx_header(8, 5) + b"1234", r"promises uint8 of shape \(5,\), 5 bytes, but only 4 bytes follow"),
        (gzip.compress(idx_header(8, 5) + b"1234", mtime=0), r"5 bytes, but only 4 bytes follow"),
        (idx_header(8, 5) + b"123456", r"goes on after the 5 bytes of uint8 of shape \(5,\)"),
        (gzip.compress(idx_header(8, 5) + b"12345", mtime=0)[:-1], "is a damaged gzip file"),
        (gzip.compress(idx_header(8, 5) + b"12345", mtime=0) + b"junk", "is a damaged gzip file"),
        (idx_header(14, 0, *[2**32 - 1] * 3), "more than a computer can address"),
    ],
)
def test_read_idx_says_what_is_wrong(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match=text):
        read_idx(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1,), (60_000, 28, 28), (2**32 - 1,) * 64])
def test_read_idx_takes_no_memory_for_a_forged_header(
    shape: tuple[int, ...], packed: bool, tmp_path: Path
) -> None:
    content = idx_header(8, *shape) + bytes(99)
    path = tmp_path / "forged"
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_read_idx_does_not_unpack_a_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(idx_header(8, 10) + bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError, match="goes on after the 10 bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_read_idx_where_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match="none does not exist"):
        read_idx(tmp_path / "none")
    with pytest.raises(MissingDataError, match="is a folder; expected an IDX file"):
        read_idx(tmp_path)
    with pytest.raises(MissingDataError, match="is not a regular file"):
        read_idx(os.devnull)
    path = tmp_path / "locked"
    path.write_bytes(idx_header(8, 0))

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(idx, "open", refuse, raising=False)  # a real chmod does not stop root
    with pytest.raises(MissingDataError, match="locked cannot be read: Permission denied"):
        read_idx(path)
