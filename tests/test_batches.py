"""Batches of arrays, of indexables and of streams; prefetching them to a device."""

import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import bpkit
from bpkit import data, random
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.registry import backend_of, current

X = np.arange(14.0).reshape(7, 2)
Y = np.arange(7)


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


class Items:
    """What a PyTorch data set is: a length and items by number."""

    def __init__(self, count: int = 7) -> None:
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.read.append(index)
        return X[index], int(Y[index])


class Pair(NamedTuple):
    x: Any
    y: Any


@pytest.mark.usefixtures("backend")
def test_arrays_in_order_stay_in_their_library() -> None:
    x, y = xp.asarray(X), xp.asarray(Y)
    found = list(data.batches({"x": x, "y": y}, 3))
    assert [b["x"].shape for b in found] == [(3, 2), (3, 2), (1, 2)]
    assert all(type(b["x"]) is type(x) for b in found)
    np.testing.assert_array_equal(np.concatenate([on_host(b["x"]) for b in found]), X)
    np.testing.assert_array_equal(np.concatenate([on_host(b["y"]) for b in found]), Y)
    assert [len(b) for b in data.batches(Y, 3, drop_last=True)] == [3, 3]


@pytest.mark.usefixtures("backend")
def test_shuffled_rows_stay_together_and_are_the_same_on_every_backend() -> None:
    with bpkit.use_backend("numpy"):
        reference = list(data.batches((X, Y), 3, key=random.key(4), epochs=2))
    found = list(data.batches((xp.asarray(X), xp.asarray(Y)), 3, key=random.key(4), epochs=2))
    for ours, theirs in zip(found, reference, strict=True):
        np.testing.assert_array_equal(on_host(ours[0]), theirs[0])
        np.testing.assert_array_equal(on_host(ours[1]), theirs[1])
        np.testing.assert_array_equal(theirs[0], X[theirs[1]])
    first, second = (np.concatenate([y for _, y in part]) for part in (reference[:3], reference[3:]))
    assert sorted(first) == sorted(second) == list(Y)
    assert list(first) != list(second)


def test_the_order_is_that_of_the_training_loop() -> None:
    from bpkit.data.batches import draw_order

    with bpkit.use_backend("numpy"):
        (batch,) = itertools.islice(data.batches(Y, 7, key=random.key(1), epochs=3, start=2), 1)
        np.testing.assert_array_equal(batch, draw_order(random.key(1), 2, 7))


SOURCES: dict[str, Any] = {
    "arrays": lambda: (X, Y),
    "items": Items,
    "list": lambda: [(X[i], Y[i]) for i in range(7)],
    "stream": type("Stream", (), {"__iter__": lambda self: iter(list(zip(X, Y, strict=True)))}),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [None, False])
def test_starting_at_a_step_gives_what_was_left(source: str, drop_last: bool, shuffle: bool | None) -> None:
    options = {"key": random.key(2), "drop_last": drop_last, "shuffle": shuffle, "epochs": 3}
    whole = list(data.batches(SOURCES[source](), 2, **options))
    assert len(whole) == (9 if drop_last else 12)
    assert data.count_batches(SOURCES[source](), 2, drop_last=drop_last) == (
        None if source == "stream" else len(whole) // 3
    )
    for start in (0, 1, 4, 8, len(whole), len(whole) + 5):
        rest = list(data.batches(SOURCES[source](), 2, start=start, **options))
        assert len(rest) == max(len(whole) - start, 0)
        for (x, y), (whole_x, whole_y) in zip(rest, whole[start:], strict=True):
            np.testing.assert_array_equal(x, whole_x)
            np.testing.assert_array_equal(y, whole_y)
    endless = data.batches(SOURCES[source](), 2, **options | {"epochs": None})
    assert sum(1 for _ in itertools.islice(endless, 100)) == 100


def test_a_late_start_reads_nothing_before_it() -> None:
    items = Items()
    next(data.batches(items, 2, start=2))
    assert items.read == [4, 5]


def test_all_sources_agree() -> None:
    expected = list(data.batches((X, Y), 3))
    for source in ("items", "list", "stream"):
        for (x, y), (expected_x, expected_y) in zip(
            data.batches(SOURCES[source](), 3), expected, strict=True
        ):
            np.testing.assert_array_equal(x, expected_x)
            np.testing.assert_array_equal(y, expected_y)
    shuffled = data.batches(Items(), 3, key=random.key(0))
    for (x, y), (_, expected_y) in zip(shuffled, data.batches((X, Y), 3, key=random.key(0)), strict=True):
        np.testing.assert_array_equal(y, expected_y)
        np.testing.assert_array_equal(x, X[y])


def test_torch_data_sets() -> None:
    torch = pytest.importorskip("torch")
    utils = torch.utils.data
    dataset = utils.TensorDataset(torch.tensor(X), torch.tensor(Y))
    for (x, y), (theirs_x, theirs_y) in zip(
        data.batches(dataset, 3), utils.DataLoader(dataset, 3), strict=True
    ):
        assert torch.equal(x, theirs_x)
        assert torch.equal(y, theirs_y)

    class Numbers(utils.IterableDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[int]:
            return iter(range(5))

    assert [list(b) for b in data.batches(Numbers(), 2)] == [[0, 1], [2, 3], [4]]
    loader = utils.DataLoader(dataset, 3)
    assert data.count_batches(loader, None) == 3
    assert [len(y) for _, y in data.batches(loader, None, epochs=2, start=1)] == [3, 1, 3, 3, 1]


def test_endless_streams_and_batches_that_are_ready() -> None:
    stream = data.batches(itertools.count(), 3, start=2)
    assert [list(next(stream)) for _ in range(2)] == [[6, 7, 8], [9, 10, 11]]
    ready = data.batches(iter([X, Y]), None)
    assert [b.shape for b in ready] == [(7, 2), (7,)]


def test_collate_keeps_the_structure() -> None:
    batch = data.collate([Pair({"a": 1, "b": (X[0],)}, True), Pair({"a": 2.5, "b": (X[1],)}, False)])
    assert isinstance(batch, Pair)
    np.testing.assert_array_equal(batch.x["a"], [1, 2.5])
    np.testing.assert_array_equal(batch.x["b"][0], X[:2])
    assert batch.y.dtype == bool
    assert data.collate([np.float32(1), np.float32(2)]).dtype == np.float32
    mine = data.batches([1, 2, 3], 2, collate=sum)
    assert list(mine) == [3, 3]


def test_what_cannot_be_a_batch_is_named() -> None:
    with pytest.raises(DataError, match=r"item 1 of the batch is .* all items must have one structure"):
        data.collate([(1, 2), (1, 2, 3)])
    with pytest.raises(ShapeError, match=r"item\[0\] has shape \(3,\) in item 1 of the batch and \(2,\) in"):
        data.collate([(np.zeros(2),), (np.zeros(3),)])
    with pytest.raises(ShapeError, match=r"same number of rows.*data\[0\]: \(7, 2\), data\[1\]: \(6,\)"):
        data.batches((X, Y[:6]))
    with pytest.raises(ShapeError, match=r"data: \(\)"):
        data.batches(np.asarray(3.0))


def test_empty_data() -> None:
    empty: Any
    for empty in (X[:0], (X[:0], Y[:0]), [], Items(0)):
        with pytest.raises(DataError, match="nothing in the data"):
            data.batches(empty)
    with pytest.raises(DataError, match="nothing in the data of type list_iterator"):
        next(data.batches(iter([])))
    with pytest.raises(DataError, match="no batch of 8 is whole, because the data have 7 examples"):
        data.batches(Y, 8, drop_last=True)
    with pytest.raises(DataError, match="no whole batch in the data of type range_iterator"):
        next(data.batches(iter(range(7)), 8, drop_last=True))


def test_a_stream_that_is_used_up_says_so() -> None:
    found = data.batches(iter(range(3)), 2, epochs=2)
    assert [len(next(found)) for _ in range(2)] == [2, 1]
    with pytest.raises(DataError, match="range_iterator is used up after its first pass and epochs=2"):
        next(found)


def test_wrong_settings() -> None:
    for name, value in [
        ("batch_size", 0),
        ("batch_size", 2.0),
        ("epochs", -1),
        ("start", -1),
        ("start", True),
    ]:
        with pytest.raises(ArgumentError, match=rf"batches: {name}: expected an int .* got {value}"):
            data.batches(Y, **{name: value})
    with pytest.raises(ArgumentError, match="shuffle=True needs a key"):
        data.batches(Y, shuffle=True)
    with pytest.raises(ArgumentError, match="shuffle=True, but a count has no length"):
        data.batches(itertools.count(), shuffle=True, key=random.key(0))
    for wrong in (3, "text", {"a": [1, 2]}):
        with pytest.raises(ArgumentError, match="batches: data: expected an array"):
            data.batches(wrong)


# Prefetching.


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "bpkit.data.prefetch"}


def test_prefetched_batches_are_on_the_current_backend(backend: Any) -> None:
    batches = data.batches((X, Y), 3)
    fetched = data.prefetch(batches, dtype="float32")
    found = list(fetched)
    assert [backend_of(x).name for x, _ in found] == [backend.name] * 3
    np.testing.assert_array_equal(np.concatenate([on_host(x) for x, _ in found]), X.astype(np.float32))
    assert on_host(found[0][0]).dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([on_host(y) for _, y in found]), Y)
    assert not threads()
    assert current().backend is backend


def test_prefetch_reads_no_further_than_its_size() -> None:
    source = Items(100)
    fetched = data.prefetch(data.batches(source, 1), 3)
    assert not threads()
    next(fetched)
    deadline = time.monotonic() + 10
    while len(source.read) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    # One is in use and still counts as ready: its place becomes free when the next is asked for.
    assert source.read == [0, 1, 2]
    fetched.close()
    assert not threads()


def test_prefetch_hands_over_exceptions_after_what_came_before() -> None:
    class BadFileError(Exception):
        pass

    def source() -> Iterator[Any]:
        yield Y
        raise BadFileError("page 3")

    fetched = data.prefetch(source(), 4)
    np.testing.assert_array_equal(next(fetched), Y)
    with pytest.raises(BadFileError, match="page 3") as caught:
        next(fetched)
    assert "source" in [entry.name for entry in caught.traceback]
    assert not threads()
    with pytest.raises(StopIteration):
        next(fetched)

    with pytest.raises(DataError, match=r"to_device: data\[0\] is an object"):
        list(data.prefetch([(object(),)]))
    assert not threads()


@pytest.mark.parametrize("how", ["close", "forget", "break"])
def test_prefetch_leaves_no_thread_and_closes_its_source(how: str) -> None:
    closed = []

    def source() -> Iterator[Any]:
        try:
            for number in itertools.count():
                yield np.asarray([number])
        finally:
            closed.append(threading.current_thread().name)

    fetched = data.prefetch(source())
    if how == "break":
        for batch in fetched:
            if batch[0] == 3:
                break
    else:
        next(fetched)
    if how == "close":
        fetched.close()
    del fetched
    gc.collect()
    assert not threads()
    assert closed == ["bpkit.data.prefetch"]


def test_prefetch_overlaps_reading_with_computing() -> None:
    started, wait = threading.Event(), threading.Event()

    def source() -> Iterator[Any]:
        yield Y
        started.set()
        assert wait.wait(10)
        yield Y

    fetched = data.prefetch(source())
    next(fetched)
    assert started.wait(10)  # the second is read while the first is in use
    wait.set()
    assert len(list(fetched)) == 1


def test_prefetch_refuses_what_is_none() -> None:
    with pytest.raises(ArgumentError, match="expected an iterable of batches, got an int"):
        data.prefetch(3)
    for size in (0, -1, 1.5, True, None):
        with pytest.raises(ArgumentError, match="size: expected an int of 1 or more"):
            data.prefetch([Y], size)


def test_to_device_casts_to_bfloat16_which_numpy_does_not_have(backend: Any) -> None:
    if not hasattr(backend.xp, "bfloat16"):
        pytest.skip(f"{backend.name} has no bfloat16")
    x, y = data.to_device((np.asarray([1.0, 0.1], "float32"), np.asarray([1, 2])), "bfloat16")
    assert x.dtype == backend.xp.bfloat16
    assert [float(x[0]), float(x[1])] == [1.0, 0.10009765625]
    assert backend.xp.isdtype(y.dtype, "integral")


def test_to_device_keeps_what_is_there(backend: Any) -> None:
    x = xp.asarray(X)
    moved = data.to_device({"x": x, "n": 3, "flag": True})
    assert moved["x"] is x
    assert backend_of(moved["n"]) is backend
    assert moved["n"].shape == ()
    with pytest.raises(DataError, match=r"data\['name'\] has dtype <U1; expected numbers"):
        data.to_device({"name": np.asarray(["a"])})


def test_jax_without_64_bits_gets_32() -> None:
    pytest.importorskip("jax")
    code = """if True:
        import numpy as np, bpkit
        from bpkit import data
        with bpkit.use_backend("jax"):
            x, y = data.to_device((np.ones(2), np.arange(2)))
            print(x.dtype, y.dtype)
            try:
                data.to_device({"y": np.asarray([2**40])})
            except bpkit.errors.DataError as error:
                print(error)
    """
    import os
    import subprocess

    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    dtypes, error = done.stdout.splitlines()
    assert dtypes == "float32 int32"
    assert error.startswith("to_device: data['y'] has integers that do not fit into int32, the widest")
