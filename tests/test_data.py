"""What a split and a data set accept, and the digits inside the package."""

import hashlib
import importlib
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike

from bpkit.data import Dataset, Split, digits
from bpkit.errors import CorruptDataError, DataError, MissingDataError, ShapeError

digits_module = importlib.import_module("bpkit.data.digits")  # the function has the module's name


@pytest.mark.parametrize(
    "pixel, label", [(np.float32, np.int64), (np.float64, np.uint8), (np.uint8, np.int32)]
)
def test_split_converts_copies_and_locks(pixel: DTypeLike, label: DTypeLike) -> None:
    images, labels = np.ones((3, 4), pixel), np.array([0, 1, 2], label)
    split = Split(images, labels)
    images[0, 0], labels[0] = 7, 7
    assert split.images.dtype == np.float32
    assert split.labels.dtype == np.int64
    assert split.images[0, 0] == 1
    assert split.labels[0] == 0
    assert len(split) == 3
    assert repr(split) == "Split(3 images, 4 features)"
    with pytest.raises(ValueError, match="read-only"):
        split.images[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 2
    with pytest.raises(AttributeError):
        split.labels = split.labels  # type: ignore[misc]


def test_split_keeps_an_array_that_nobody_can_write() -> None:
    images, labels = np.ones((3, 4), np.float32), np.zeros(3, np.int64)
    images.flags.writeable = labels.flags.writeable = False
    split = Split(images, labels)
    assert split.images is images
    assert split.labels is labels


def test_split_accepts_lists_and_no_images_at_all() -> None:
    assert len(Split([[0, 1], [1, 0]], [1, 0])) == 2
    assert len(Split(np.zeros((0, 4)), np.zeros(0, int))) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_split_names_the_first_pixel_that_is_not_finite(value: float) -> None:
    images = np.zeros((20, 5))
    images[17, 3] = images[18, 0] = value
    with pytest.raises(DataError, match=rf"^Split: images\[17, 3\] is {value}; every pixel must be finite"):
        Split(images, np.zeros(20, int))


def test_split_refuses_a_pixel_beyond_float32_by_its_own_value() -> None:
    with pytest.raises(DataError, match=r"images\[0, 1\] is 1e\+300; every pixel must be finite as float32"):
        Split([[0.0, 1e300]], [0])


@pytest.mark.parametrize(
    "images, labels, error, text",
    [
        (np.zeros((2, 8, 8)), [0, 1], ShapeError, r"images has shape \(2, 8, 8\); expected \(n, features\)"),
        (np.zeros((2, 8)), [0, 1, 2], ShapeError, r"labels has shape \(3,\); expected \(2,\)"),
        (np.zeros((2, 8)), [[0, 1]], ShapeError, r"labels has shape \(1, 2\); expected \(2,\)"),
        (np.zeros((2, 8)), [0.0, 1.0], DataError, "labels has dtype float64; expected integers"),
        (np.zeros((2, 8)), [True, False], DataError, "labels has dtype bool; expected integers"),
        (np.zeros((2, 8), complex), [0, 1], DataError, "images has dtype complex128; expected real numbers"),
        (np.zeros((2, 8), object), [0, 1], DataError, "images has dtype object; expected real numbers"),
        (np.zeros((2, 8)), [0, -1], DataError, r"labels\[1\] is -1; labels count from 0"),
        (np.zeros((1, 8)), np.array([2**63], np.uint64), DataError, r"labels\[0\] is 9223372036854775808;"),
    ],
)
def test_split_refuses(images: ArrayLike, labels: ArrayLike, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Split(images, labels)


def test_dataset_names_the_label_out_of_range() -> None:
    good, bad = Split(np.zeros((3, 4)), [0, 1, 9]), Split(np.zeros((3, 4)), [0, 10, 11])
    data = Dataset("d", train=good, validation=good, test=good, classes=10)
    assert data.features == 4
    with pytest.raises(DataError, match=r"^Dataset 'd': validation.labels\[1\] is 10, outside range\(10\)$"):
        Dataset("d", train=good, validation=bad, test=good, classes=10)


def test_dataset_refuses_splits_that_do_not_fit() -> None:
    good, narrow = Split(np.zeros((1, 4)), [0]), Split(np.zeros((1, 3)), [0])
    with pytest.raises(ShapeError, match=r"^Dataset 'd': test\.images has 3 features, train.images has 4"):
        Dataset("d", train=good, validation=good, test=narrow, classes=10)
    with pytest.raises(DataError, match=r"train is a tuple; expected train=Split\(images, labels\)"):
        Dataset("d", train=(1, 2), validation=good, test=good, classes=10)  # type: ignore[arg-type]


DIGITS_SHA256 = ["bdf5fede1b4bcfef", "a165a5c38ac2d964", "b81d005e5303ef2c"]  # train, validation, test


def test_digits_are_those_of_the_source() -> None:
    data = digits()
    parts = (data.train, data.validation, data.test)
    assert (data.name, data.classes, data.features) == ("digits", 10, 64)
    assert [len(part) for part in parts] == [1257, 180, 360]
    labels = np.concatenate([part.labels for part in parts])
    # The class sizes that the source's own description gives for optdigits.tes.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = np.concatenate([part.images for part in parts]) * 16
    assert pixels.min() == 0
    assert pixels.max() == 16
    assert np.array_equal(pixels, pixels.round())


def test_digits_split_every_image_once_and_every_class_evenly() -> None:
    data = digits()
    file = np.load(str(resources.files("bpkit.data") / "digits.npz"), allow_pickle=False)
    source = Counter(row.tobytes() + bytes([label]) for row, label in zip(*file.values(), strict=True))
    split = Counter[bytes]()
    for part, share in ((data.train, 0.7), (data.validation, 0.1), (data.test, 0.2)):
        for image, label in zip(part.images, part.labels, strict=True):
            split[(image * 16).astype(np.uint8).tobytes() + bytes([label])] += 1
        wanted = share * np.bincount(file["labels"])
        assert np.all(np.abs(np.bincount(part.labels) - wanted) < 2)
        assert np.count_nonzero(np.diff(part.labels) < 0) > len(part) / 3, "sorted by class, not shuffled"
    assert split == source


def test_digits_never_change() -> None:
    data = digits()
    found = [
        hashlib.sha256((part.images * 16).astype(np.uint8).tobytes() + part.labels.astype("u1").tobytes())
        for part in (data.train, data.validation, data.test)
    ]
    assert [digest.hexdigest()[:16] for digest in found] == DIGITS_SHA256


def test_digits_file_is_small_and_its_source_is_stated() -> None:
    folder = resources.files("bpkit.data")
    text = (folder / "digits.txt").read_text(encoding="utf-8")
    assert len((folder / "digits.npz").read_bytes()) < 60_000
    for fact in (digits_module.SHA256, "https://doi.org/10.24432/C50P49", "CC BY 4.0", "Alpaydin"):
        assert fact in text


def test_digits_file_damaged_or_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((resources.files("bpkit.data") / "digits.npz").read_bytes())
    content[20_000] ^= 1
    monkeypatch.setattr(digits_module.resources, "files", lambda package: tmp_path)
    with pytest.raises(MissingDataError, match=r"digits.npz cannot be read: No such file .* reinstall bpkit"):
        digits()
    (tmp_path / "digits.npz").write_bytes(content)
    with pytest.raises(CorruptDataError, match=f"is damaged.*expected {digits_module.SHA256}"):
        digits()


def test_data_imports_nothing_for_downloads() -> None:
    code = (
        "import sys, bpkit.data; bpkit.data.digits(); "
        "print([name for name in ('pooch', 'requests', 'tabulate', 'tqdm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
