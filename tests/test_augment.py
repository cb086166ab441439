"""Augmentation: shifts, flips and crops are what loops over images give, and the same everywhere."""

from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import random
from bpkit.data import augment
from bpkit.errors import ArgumentError, ShapeError
from bpkit.registry import backend_of, use_backend

RNG = np.random.default_rng(4)
IMAGES = RNG.uniform(size=(40, 3, 6, 5)).astype(np.float32)


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


@pytest.mark.usefixtures("backend")
def test_one_pixel_shifts() -> None:
    flat, labels = IMAGES[:, 0].reshape(40, 30), np.arange(40)
    for images, options in ((IMAGES, {}), (flat, {"shape": (6, 5)})):
        found, numbers = augment.one_pixel_shifts(xp.asarray(images), xp.asarray(labels), **options)
        np.testing.assert_array_equal(on_host(numbers), np.tile(labels, 5))
        square = images.reshape(40, -1, 6, 5)
        expected = np.zeros((5, *square.shape), np.float32)
        expected[0] = square
        expected[1, :, :, :-1] = square[:, :, 1:]
        expected[2, :, :, 1:] = square[:, :, :-1]
        expected[3, ..., :-1] = square[..., 1:]
        expected[4, ..., 1:] = square[..., :-1]
        assert on_host(found).dtype == np.float32
        np.testing.assert_array_equal(on_host(found), expected.reshape(-1, *images.shape[1:]))


@pytest.mark.usefixtures("backend")
def test_flips() -> None:
    found = on_host(augment.horizontal_flip(random.key(3), xp.asarray(IMAGES)))
    flipped = [not np.array_equal(x, y) for x, y in zip(found, IMAGES, strict=True)]
    assert 8 <= sum(flipped) <= 32  # 20 expected; outside is one chance in 6,000
    for x, y, turned in zip(found, IMAGES, flipped, strict=True):
        np.testing.assert_array_equal(x, y[..., ::-1] if turned else y)
    with use_backend("numpy"):
        np.testing.assert_array_equal(found, augment.horizontal_flip(random.key(3), IMAGES))
    np.testing.assert_array_equal(
        on_host(augment.horizontal_flip(random.key(3), xp.asarray(IMAGES), p=1.0)), IMAGES[..., ::-1]
    )


@pytest.mark.parametrize(("padding", "size"), [(1, None), (2, (6, 7)), (0, (4, 5)), (0, None)])
@pytest.mark.usefixtures("backend")
def test_crops(padding: int, size: tuple[int, int] | None) -> None:
    def crop(key: Any, images: Any) -> Any:
        return augment.random_crop(key, images, padding=padding, size=size)

    found = on_host(crop(random.key(3), xp.asarray(IMAGES)))
    height, width = size or (6, 5)
    assert found.shape == (40, 3, height, width)
    assert found.dtype == np.float32
    padded = np.pad(IMAGES, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(-2, -1))
    places = []
    for image, own in zip(found, windows, strict=True):
        (place,) = np.argwhere(np.all(own == image[:, None, None], axis=(0, 3, 4)))
        places.append(tuple(place))
    # Every place is as likely as every other; all are seen in each direction.
    for axis in (0, 1):
        assert {place[axis] for place in places} == set(range(windows.shape[2 + axis]))
    with use_backend("numpy"):
        np.testing.assert_array_equal(found, crop(random.key(3), IMAGES))
    compiled = bpkit.jit(crop)
    for seed in (3, 3, 4):
        np.testing.assert_array_equal(
            on_host(compiled(random.key(seed), xp.asarray(IMAGES))),
            on_host(crop(random.key(seed), xp.asarray(IMAGES))),
        )


@pytest.mark.usefixtures("backend")
def test_images_that_are_still_on_the_host() -> None:
    found = augment.random_crop(random.key(3), IMAGES, padding=1)
    assert isinstance(found, np.ndarray)
    with use_backend("numpy"):
        np.testing.assert_array_equal(found, augment.random_crop(random.key(3), IMAGES, padding=1))


def test_what_does_not_fit_is_refused() -> None:
    key, labels = random.key(0), np.arange(40)
    with pytest.raises(ShapeError, match=r"random_crop: expected images of shape .*, got \(40, 30\)"):
        augment.random_crop(key, IMAGES[:, 0].reshape(40, 30))
    with pytest.raises(ShapeError, match=r"random_crop: size \(9, 5\) does not fit into images of \(8, 7\)"):
        augment.random_crop(key, IMAGES, padding=1, size=(9, 5))
    with pytest.raises(ArgumentError, match="padding: expected an int of 0 or more, got -1"):
        augment.random_crop(key, IMAGES, padding=-1)
    with pytest.raises(ArgumentError, match="p: expected a probability"):
        augment.horizontal_flip(key, IMAGES, p=2)
    with pytest.raises(ShapeError, match=r"shape=\(5, 5\) needs images of shape \(n, 25\), got \(40, 30\)"):
        augment.one_pixel_shifts(IMAGES[:, 0].reshape(40, 30), labels, shape=(5, 5))
    with pytest.raises(ShapeError, match=r"40 images need as many labels, got labels of shape \(39,\)"):
        augment.one_pixel_shifts(IMAGES, labels[1:])
