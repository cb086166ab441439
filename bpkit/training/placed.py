"""Data sets on the device that trains."""

from dataclasses import dataclass

import numpy as np

from bpkit import registry
from bpkit._protocol import RawArray
from bpkit.data import Dataset, Split
from bpkit.errors import BackendError, DataError

__all__ = ["PlacedDataset", "PlacedSplit", "place"]


@dataclass(frozen=True, slots=True)
class PlacedSplit:
    """A split of a data set on the device that trains.

    Attributes
    ----------
    images : array, shape (n, features), floating
    targets : array, shape (n, classes), the same dtype
        1 at the label, 0 elsewhere.
    labels : array of int32, shape (n,)
    """

    images: RawArray
    targets: RawArray
    labels: RawArray

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True)
class PlacedDataset:
    """A :class:`bpkit.data.Dataset` on the device that trains."""

    train: PlacedSplit
    validation: PlacedSplit
    test: PlacedSplit


def place(data: Dataset, dtype: str = "float32") -> PlacedDataset:
    """Copy a data set to the current backend and device.

    Parameters
    ----------
    data : Dataset
    dtype : {"float32", "float64"}
        Of images and targets.

    Returns
    -------
    PlacedDataset

    Raises
    ------
    BackendError
        If the current backend does not have the dtype.
    DataError
        If a split is empty.

    Examples
    --------
    >>> from bpkit.data import digits
    >>> place(digits()).train.targets.shape
    (1257, 10)
    """
    backend, device = registry.current()
    try:
        backend.from_host(np.zeros(1, dtype), device)
    except (TypeError, ValueError) as error:
        raise BackendError(f"training in {dtype} is not possible: {error}") from error

    def move(name: str, split: Split) -> PlacedSplit:
        if not len(split):
            raise DataError(
                f"data set {data.name!r}: {name} is empty; training needs images in all three splits"
            )
        one_hot = split.labels[:, np.newaxis] == np.arange(data.classes)
        return PlacedSplit(
            images=backend.from_host(split.images.astype(dtype), device),
            targets=backend.from_host(one_hot.astype(dtype), device),
            labels=backend.from_host(split.labels.astype(np.int32), device),
        )

    return PlacedDataset(
        move("train", data.train), move("validation", data.validation), move("test", data.test)
    )
