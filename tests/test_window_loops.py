"""Windows in loops that Numba compiles: the same numbers as from NumPy's functions."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bpkit.backends import _window_loops, _windows
from bpkit.sliding import Windows

pytest.importorskip("numba")

CASES = {
    "pool": (Windows((1, 2), (2, 2), (2, 2), (1, 1)), (3, 4, 6, 5), 0, "f4"),
    "overlapping": (Windows((2, 3), (3, 2), (2, 1), (1, 1)), (2, 3, 8, 5, 4), 1, "f4"),
    "one axis": (Windows((1,), (3,), (2,), (2,)), (4, 11), 1, "f8"),
    "left out": (Windows((0, 1), (2, 2), (3, 2), (1, 2)), (9, 10, 3), 0, "f8"),
}
ARGUMENTS = {
    "windows": ("moving", "places", "at"),
    "add_windows": ("moving", "lengths", "at"),
    "max_pool": ("moving", "places"),
    "add_to_winners": ("moving",),
}


def slot(x: np.ndarray[Any, Any]) -> Any:
    return SimpleNamespace(shape=x.shape, dtype=x.dtype)


def same(name: str, operands: list[Any], **static: Any) -> Any:
    """What NumPy's function gives; the loop, whose memory has had something else in it, gives the same."""
    plain = getattr(_windows, name)
    arguments = [static[key] for key in ARGUMENTS[name]]
    with np.errstate(invalid="ignore"):
        wanted = plain(*operands, *arguments)
        given = {key: static[key] for key in ARGUMENTS[name]}
        loop = _window_loops.window_loop(name, [slot(x) for x in operands], given, slot(wanted), plain)
        assert loop is not plain
        for layout in ("C", "F"):
            out = np.full_like(wanted, 7, order="C")
            assert loop(*[np.asarray(x, order=layout) for x in operands], *arguments, out) is out
            np.testing.assert_array_equal(out, wanted)
        np.testing.assert_array_equal(loop(*operands, *arguments), wanted)  # a new array
    return wanted


@pytest.mark.parametrize("case", CASES)
def test_the_same_as_numpy(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_window_loops, "LEAST", 1)
    monkeypatch.setattr(_window_loops, "CHUNK", 40)  # several pieces
    moving, shape, at, dtype = CASES[case]
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, shape).astype(dtype)  # with ties
    x[rng.random(shape) < 0.05], x[rng.random(shape) < 0.05] = np.nan, np.inf
    lengths = tuple(shape[axis] for axis in moving.axes)
    places = tuple(
        (length - gap * (size - 1) - 1) // step + 1
        for length, size, step, gap in zip(lengths, *moving[1:], strict=True)
    )
    seen = same("windows", [x], moving=moving, places=places, at=at)
    same("add_windows", [seen], moving=moving, lengths=lengths, at=at)
    largest = same("max_pool", [x], moving=moving, places=places)
    updates = rng.integers(-9, 10, largest.shape).astype(dtype)  # whose sums are exact in any order
    same("add_to_winners", [updates, x, largest], moving=moving)


def test_what_is_left_to_numpy() -> None:
    def plain(*_: Any) -> None:
        """Never called."""

    def chosen(shape: tuple[int, ...], moving: Windows, dtype: str = "f4") -> Any:
        x = SimpleNamespace(shape=shape, dtype=np.dtype(dtype))
        return _window_loops.window_loop("max_pool", [x], {"moving": moving}, x, plain)

    two = Windows((1, 2), (2, 2), (2, 2), (1, 1))
    large = (20, 24, 24, 10)
    assert chosen(large, two) is not plain
    assert chosen((2, 24, 24, 2), two) is plain
    assert chosen(large, two, "i4") is plain
    assert chosen(large, two._replace(axes=(0, 2))) is plain
    assert chosen(large, two._replace(window=(5, 5))) is plain
    assert chosen(large, Windows((), (), (), ())) is plain


def test_where_numba_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(source: str, signature: str) -> Any:
        raise OSError("no compiler")

    monkeypatch.setattr(_window_loops, "compiled", fails)
    x, places = np.random.default_rng(0).normal(size=(20, 24, 24, 10)), (12, 12)
    moving = Windows((1, 2), (2, 2), (2, 2), (1, 1))
    wanted = _windows.max_pool(x, moving, places)
    static = {"moving": moving, "places": places}
    loop = _window_loops.window_loop("max_pool", [slot(x)], static, slot(wanted), _windows.max_pool)
    with pytest.warns(RuntimeWarning, match="could not compile a loop: OSError: no compiler"):
        loop(x, moving, places, np.empty_like(wanted))
    np.testing.assert_array_equal(loop(x, moving, places, np.empty_like(wanted)), wanted)
