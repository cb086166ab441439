"""What a data set is: three splits of checked, read-only NumPy arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bpkit._messages import a_type
from bpkit.errors import DataError, ShapeError

__all__ = ["Dataset", "Split"]


@dataclass(frozen=True, init=False, eq=False, repr=False, slots=True)
class Split:
    """Images and their labels, in the same order.

    Both arrays are read-only. An array that already has the right dtype and is read-only is kept; anything
    else is copied, so later changes to the caller's array are not seen here.

    Parameters
    ----------
    images : array of real numbers, shape (n, features)
        One row per image; kept as float32. Finite; in [0, 1] for the data sets of this package.
    labels : array of integers, shape (n,)
        The class of each image, counted from 0; kept as int64.

    Raises
    ------
    ShapeError
        If the shapes are not (n, features) and (n,).
    DataError
        If an array has the wrong kind of dtype, a pixel is not finite or a label is negative; the message
        names the first bad place and its value.

    Examples
    --------
    >>> import numpy as np
    >>> Split(np.zeros((3, 64)), [0, 1, 2])
    Split(3 images, 64 features)
    >>> Split([[0.0, float("nan")]], [0])
    Traceback (most recent call last):
        ...
    bpkit.errors.DataError: Split: images[0, 1] is nan; every pixel must be finite as float32
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __init__(self, images: ArrayLike, labels: ArrayLike) -> None:
        given_images, given_labels = np.asarray(images), np.asarray(labels)
        if given_images.ndim != 2:
            raise ShapeError(
                f"Split: images has shape {given_images.shape}; expected (n, features), one row per image, "
                "such as images.reshape(n, -1) gives"
            )
        if given_labels.shape != given_images.shape[:1]:
            raise ShapeError(
                f"Split: labels has shape {given_labels.shape}; expected {given_images.shape[:1]}, "
                f"one label for each row of images {given_images.shape}"
            )
        if given_images.dtype.kind not in "biuf":
            raise DataError(f"Split: images has dtype {given_images.dtype}; expected real numbers")
        if given_labels.dtype.kind not in "iu":
            raise DataError(f"Split: labels has dtype {given_labels.dtype}; expected integers")
        pixels, classes = _frozen(given_images, np.float32), _frozen(given_labels, np.int64)
        # The extremes of an array with a NaN are NaN, and two numbers are quicker to test than all.
        if pixels.size and not (np.isfinite(pixels.min()) and np.isfinite(pixels.max())):
            row, column = np.argwhere(~np.isfinite(pixels))[0]
            raise DataError(
                f"Split: images[{row}, {column}] is {given_images[row, column]}; "
                "every pixel must be finite as float32"
            )
        if classes.size and classes.min() < 0:
            row = np.argmax(classes < 0)
            raise DataError(f"Split: labels[{row}] is {given_labels[row]}; labels count from 0, as int64")
        object.__setattr__(self, "images", pixels)
        object.__setattr__(self, "labels", classes)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self)} images, {self.images.shape[1]} features)"


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Images to learn from, to tune by and to test with.

    Parameters
    ----------
    name : str
        What it is called on the command line and in a run folder.
    train, validation, test : Split
        All with the same number of features.
    classes : int
        How many classes there are; labels lie in ``range(classes)``.

    Raises
    ------
    ShapeError
        If the splits have different numbers of features.
    DataError
        If a split is not a :class:`Split` or has a label outside ``range(classes)``; the message names the
        first bad place and its value.

    Examples
    --------
    >>> import numpy as np
    >>> split = Split(np.zeros((3, 64)), [0, 1, 12])
    >>> Dataset("tiny", train=split, validation=split, test=split, classes=10)
    Traceback (most recent call last):
        ...
    bpkit.errors.DataError: Dataset 'tiny': train.labels[2] is 12, outside range(10)
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            split = getattr(self, part)
            if not isinstance(split, Split):
                raise DataError(
                    f"Dataset {self.name!r}: {part} is {a_type(type(split))}; "
                    f"expected {part}=Split(images, labels)"
                )
            if split.images.shape[1] != self.features:
                raise ShapeError(
                    f"Dataset {self.name!r}: {part}.images has {split.images.shape[1]} features, "
                    f"train.images has {self.features}"
                )
            outside = split.labels >= self.classes
            if outside.any():
                row = np.argmax(outside)
                raise DataError(
                    f"Dataset {self.name!r}: {part}.labels[{row}] is {split.labels[row]}, "
                    f"outside range({self.classes})"
                )

    @property
    def features(self) -> int:
        """Numbers per image: the width of a network's input."""
        return int(self.train.images.shape[1])


def _frozen(given: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    kept = given.dtype == dtype and given.flags.c_contiguous and not given.flags.writeable
    if kept:
        return given
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which the caller reports
        copy = np.array(given, dtype=dtype, order="C")
    copy.flags.writeable = False
    return copy
