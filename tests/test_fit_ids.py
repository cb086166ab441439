"""fit: an id for which an Embedding has no vector is named before a compiled step takes another vector."""

from typing import Any

import numpy as np
import pytest
from test_fit import run  # type: ignore[import-not-found]

import bpkit
from bpkit import losses, nn, random, xp
from bpkit._protocol import Backend
from bpkit.errors import DataError

RNG = np.random.default_rng(0)
WORDS = RNG.integers(1, 8, size=(50, 4))
TAGS = RNG.integers(0, 3, size=(50, 1)).astype(np.uint8)
Y = RNG.integers(0, 3, size=50)


class Reader(nn.Module):
    """Words counted from 1, looked up one example at a time, and a tag from a smaller table."""

    words: nn.Embedding
    tags: nn.Embedding
    out: nn.Dense

    def __init__(self) -> None:
        keys = xp.unstack(random.split(random.key(0), 3))
        self.words = nn.Embedding(7, 3, key=keys[0])
        self.tags = nn.Embedding(3, 3, key=keys[1])
        self.out = nn.Dense(3, 3, key=keys[2])

    def __call__(self, words: Any, tags: Any) -> Any:
        read = bpkit.vmap(lambda row: xp.mean(self.words(row - 1), axis=0))(words)
        return self.out(read + self.tags(tags)[:, 0, :])


@pytest.mark.parametrize(
    ("row", "place", "value", "said"),
    [
        (3, 0, 99, r"the id 98, but those of Embedding\(7 → 3\) are 0 to 6"),
        (49, 0, 0, r"the id -1, but those of Embedding\(7 → 3\) are 0 to 6"),
        (20, 1, 3, r"the id 3, but those of Embedding\(3 → 3\) are 0 to 2"),
    ],
)
def test_an_example_with_an_id_out_of_range(
    backend: Backend, row: int, place: int, value: int, said: str
) -> None:
    x = WORDS.copy(), TAGS.copy()
    x[place][row, -1] = value
    with pytest.raises(DataError, match=rf"^data: example {row} has {said}"):
        run(Reader(), (x, Y))


def test_it_is_named_wherever_it_is_read() -> None:
    x = WORDS.copy(), TAGS.copy()
    x[0][32, 1] = 8
    said = r"the id 7, but those of Embedding\(7 → 3\) are 0 to 6"
    with pytest.raises(DataError, match=rf"^validation: example 32 has {said}"):
        run(Reader(), ((WORDS, TAGS), Y), validation=(x, Y))
    batches = [((x[0][i : i + 10], x[1][i : i + 10]), Y[i : i + 10]) for i in range(0, 50, 10)]
    with pytest.raises(DataError, match=rf"^batch 3 of epoch 1: example 2 has {said}"):
        run(Reader(), batches, batch_size=None, shuffle=False)


def test_without_jit_the_layer_looks_itself() -> None:
    words = WORDS.copy()
    words[7, 2] = 9
    with pytest.raises(DataError, match=r"Embedding\(7 → 3\): ids .*is 8, but"):
        run(Reader(), ((words, TAGS), Y), jit=False)


def test_an_image_of_integers_is_no_id() -> None:
    """A model without an Embedding is asked nothing."""
    asked: list[int] = []

    class Net(nn.Module):
        out: nn.Dense

        def __call__(self, x: Any) -> Any:
            asked.append(len(x))
            return self.out(xp.astype(x, "float64"))

    data = (WORDS, np.zeros((50, 3)))
    run(Net(nn.Dense(4, 3, key=random.key(0))), data, losses.mean_squared_error, epochs=1, batch_size=32)
    assert asked == [32, 18]  # the programs of the two sizes of a step
