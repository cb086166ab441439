"""The 8x8 handwritten digits that come inside the package."""

import hashlib
import io
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from bpkit.data.dataset import Dataset, Split
from bpkit.errors import CorruptDataError, MissingDataError

__all__ = ["digits"]

FILE = "digits.npz"
SHA256 = "af104d81e7cd419be5f343d23c6ca2e4e4ff847b06636260802df8e903c6183f"
DARKEST = 16  # a pixel counts the black dots in a 4x4 block of the scanned 32x32 bitmap


def digits() -> Dataset:
    """Load the 1,797 digits of 8x8 pixels that are part of the package; needs no network.

    The split is fixed: 1,257 images to train, 180 to validate, 360 to test, each class spread over the three
    as evenly as whole numbers allow. Within a split the images are in a fixed random order. All 13 writers
    occur in every split, so the test accuracy is about known writers, as in most uses of this data.

    Returns
    -------
    Dataset
        ``name`` is ``"digits"``, ``classes`` is 10, and ``images`` have shape (n, 64): the rows of an 8x8
        image, from 0 (white) to 1 (black) in steps of 1/16.

    Raises
    ------
    CorruptDataError
        If the file is not the one that was released, by its SHA-256.
    MissingDataError
        If the file is not in the installed package.

    References
    ----------
    E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0; ``digits.txt`` beside the file says more.

    Examples
    --------
    >>> data = digits()
    >>> data.train, data.validation, data.test
    (Split(1257 images, 64 features), Split(180 images, 64 features), Split(360 images, 64 features))
    >>> image = data.test.images[0].reshape(8, 8)
    >>> for row in image:
    ...     print("".join(" .:#"[int(3.9 * pixel)] for pixel in row).rstrip())
      :##
     .#::#
      # .#
        ::
        #.
       :#
      :##:
      ##.##.
    """
    file = resources.files("bpkit.data").joinpath(FILE)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise MissingDataError(f"digits: {file} cannot be read: {error.strerror}; reinstall bpkit") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise CorruptDataError(
            f"digits: {file} is damaged: its SHA-256 is {found}, expected {SHA256}; reinstall bpkit"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    images = np.divide(images, DARKEST, dtype=np.float32)
    train, validation, test = (Split(images[rows], labels[rows]) for rows in _split(labels))
    return Dataset("digits", train=train, validation=validation, test=test, classes=10)


def _split(labels: NDArray[np.uint8]) -> list[NDArray[np.intp]]:
    """Shuffle, then deal the sorted classes out by tens: two to test, one to validate, seven to train."""
    # The legacy generator's stream never changes (NEP 19), whereas that of default_rng may.
    order = np.random.RandomState(0).permutation(len(labels))
    turn = np.empty(len(labels), dtype=np.intp)
    turn[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % 10
    turn = turn[order]
    return [order[turn > 2], order[turn == 2], order[turn < 2]]
