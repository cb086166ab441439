"""More images from the ones there are: shifts, flips and crops that leave the class as it is.

Images are arrays of shape ``(n, ..., height, width)``, such as ``(n, channels, height, width)``. All is
written in the namespace: it runs where the images are, and inside :func:`bpkit.jit`. What is random follows
from a key, so that a training that goes on later sees the same images: give each step its own, such as
``random.fold_in(key, step)``.
"""

import math
import operator
from typing import Any

import numpy as np

from bpkit import namespace as xp
from bpkit import random
from bpkit._protocol import RawArray
from bpkit.errors import ArgumentError, ShapeError
from bpkit.kinds import device_of, raw
from bpkit.random._keys import word_dtype
from bpkit.registry import backend_of

__all__ = ["horizontal_flip", "one_pixel_shifts", "random_crop"]


def one_pixel_shifts(
    images: RawArray, labels: RawArray, *, shape: tuple[int, int] | None = None
) -> tuple[RawArray, RawArray]:
    """Every image five times: as it is, and moved by one pixel up, down, left and right.

    What moves in at the edge is 0.

    Parameters
    ----------
    images : array, shape (n, ..., height, width)
        Or one row for each image, with `shape`.
    labels : array, shape (n, ...)
    shape : (height, width), optional
        Of an image whose pixels are in one row, as in :func:`bpkit.data.mnist`.

    Returns
    -------
    images, labels : array
        Five times as long; first come all images as they are. Of the shapes and dtypes given otherwise.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    References
    ----------
    M. Nielsen, Neural Networks and Deep Learning (2015), chapter 6: 50,000 digits become 250,000, and a
    network reads 99.37 per cent of the test correctly instead of 99.23.

    Examples
    --------
    >>> import numpy as np
    >>> images, labels = one_pixel_shifts(np.asarray([[[1, 2], [3, 4]]]), np.asarray([7]))
    >>> images.shape, labels
    ((5, 2, 2), array([7, 7, 7, 7, 7]))
    >>> images[1], images[4]
    (array([[3, 4], [0, 0]]), array([[0, 1], [0, 3]]))
    """
    given = tuple(images.shape)
    if shape is not None:
        if len(given) != 2 or given[1] != math.prod(shape):
            raise ShapeError(
                f"one_pixel_shifts: shape={tuple(shape)} needs images of shape (n, {math.prod(shape)}), "
                f"got {given}"
            )
        images = xp.reshape(images, (given[0], *shape))
    _check_images("one_pixel_shifts", images)
    if tuple(labels.shape[:1]) != given[:1]:
        raise ShapeError(
            f"one_pixel_shifts: {given[0]} images need as many labels, got labels of shape "
            f"{tuple(labels.shape)}"
        )
    height, width = images.shape[-2:]
    edges = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    padded = xp.pad(images, edges)
    moved = [padded[..., y : y + height, x : x + width] for y, x in ((1, 1), (2, 1), (0, 1), (1, 2), (1, 0))]
    return xp.reshape(xp.concat(moved), (5 * given[0], *given[1:])), xp.concat([labels] * 5)


def horizontal_flip(key: RawArray, images: RawArray, p: float = 0.5) -> RawArray:
    """Each image mirrored, left to right, with probability `p`.

    Parameters
    ----------
    key : key
        See :mod:`bpkit.random`.
    images : array, shape (n, ..., height, width)
    p : float
        In [0, 1].

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ShapeError
        If `images` has fewer than three axes.
    ArgumentError
        If `p` is no probability.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import random
    >>> horizontal_flip(random.key(3), np.asarray([[[1, 2]], [[3, 4]], [[5, 6]]]))[:, 0, :]
    array([[1, 2],
           [3, 4],
           [6, 5]])
    """
    _check_images("horizontal_flip", images)
    flipped = random.bernoulli(_beside(key, images), p, images.shape[:1])
    flipped = xp.reshape(flipped, (images.shape[0],) + (1,) * (images.ndim - 1))
    return xp.where(flipped, xp.flip(images, axis=-1), images)


def random_crop(
    key: RawArray, images: RawArray, *, padding: int = 0, size: tuple[int, int] | None = None
) -> RawArray:
    """A part of each image, at a random place of its own.

    With a padding of 1 and no size these are random shifts by up to one pixel.

    Parameters
    ----------
    key : key
        See :mod:`bpkit.random`.
    images : array, shape (n, ..., height, width)
    padding : int
        How many pixels of 0 are added on each side before.
    size : (height, width), optional
        Of the parts; None for that of the images.

    Returns
    -------
    array, shape (n, ..., *size), of the same dtype

    Raises
    ------
    ShapeError
        If `images` has fewer than three axes, or `size` is larger than the padded images.
    ArgumentError
        If `padding` is not an int of 0 or more.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016, section
    4.2, pads by 4 pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import random
    >>> random_crop(random.key(0), np.asarray([[[1, 2], [3, 4]]]), padding=1)
    array([[[0, 0],
            [2, 0]]])
    """
    _check_images("random_crop", images)
    try:
        edge = operator.index(padding)
    except TypeError:
        edge = -1
    if edge < 0:
        raise ArgumentError(f"random_crop: padding: expected an int of 0 or more, got {padding!r}")
    count, (height, width) = images.shape[0], size or tuple(images.shape[-2:])
    if edge:
        images = xp.pad(images, [(0, 0)] * (images.ndim - 2) + [(edge, edge)] * 2)
    free = (images.shape[-2] - height, images.shape[-1] - width)
    if min(free) < 0 or min(height, width) < 1:
        raise ShapeError(
            f"random_crop: size {(height, width)} does not fit into images of "
            f"{tuple(images.shape[-2:])} with the padding"
        )
    keys = xp.unstack(random.split(_beside(key, images), 2))
    for axis, length, room, own in zip((-2, -1), (height, width), free, keys, strict=True):
        start = random.randint(own, (count,), 0, room + 1)
        # Where the images are, which need not be where new arrays are made.
        library = backend_of(raw(start)).xp
        steps = library.arange(length, dtype=start.dtype, device=device_of(start))
        places = xp.expand_dims(start, axis=-1) + steps
        shape = [count] + [1] * (images.ndim - 1)
        shape[axis] = length
        images = xp.take_along_axis(images, xp.reshape(places, tuple(shape)), axis=axis)
    return images


def _check_images(name: str, images: RawArray) -> None:
    if len(images.shape) < 3:
        raise ShapeError(
            f"{name}: expected images of shape (n, ..., height, width), got {tuple(images.shape)}; reshape "
            f"rows of pixels first"
        )


def _beside(key: RawArray, images: RawArray) -> Any:
    """The key in the library of the images, which may still be on the host."""
    owner, library = backend_of(raw(key)), backend_of(raw(images))
    if owner is library:
        return key
    return library.from_host(owner.to_host(key).astype(np.dtype(word_dtype(library))), device_of(images))
