"""What jit shows of a program: its cost, and its graph as text and as a picture."""

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import grad, jit, xp
from bpkit._protocol import Backend
from bpkit.compile import Cost
from bpkit.errors import DrawingError


def cost(f: Any, *args: Any) -> Cost:
    compiled = jit(f)
    compiled(*args)
    return compiled.cost


def ones(*shape: int, dtype: str = "float64") -> Any:
    return xp.ones(shape, dtype=getattr(xp, dtype))


def test_the_cost_of_products(backend: Backend) -> None:
    assert cost(xp.matmul, ones(3, 4), ones(4, 5)) == (2 * 3 * 4 * 5, 8 * (12 + 20 + 15), 0)
    assert cost(xp.matmul, ones(4), ones(4)).operations == 8
    assert cost(xp.matmul, ones(7, 3, 4), ones(4, 5)).operations == 7 * 120
    single = cost(xp.matmul, ones(3, 4, dtype="float32"), ones(4, 5, dtype="float32"))
    assert single == (120, 4 * 47, 0)


def test_the_cost_of_other_functions(backend: Backend) -> None:
    x = ones(4, 6)
    for f, operations, moved in [
        (xp.sin, 24, 2 * 24 * 8),
        (lambda x: x + xp.arange(6, dtype=xp.float64), 24, (24 + 6 + 24) * 8),
        (lambda x: x * 2.0 + 1.0, 48, 4 * 24 * 8),
        (lambda x: xp.sum(x, axis=0), 24, (24 + 6) * 8),
        (lambda x: x > 0.5, 24, 24 * 8 + 24),
        (lambda x: xp.astype(x, xp.float32), 0, 24 * 8 + 24 * 4),
        (lambda x: xp.reshape(x, (6, 4)), 0, 0),
        (lambda x: x.T[1:, :], 0, 0),
        (lambda x: xp.concat([x, x]), 0, (24 + 24 + 48) * 8),
        (lambda x: xp.where(x > 0, x, 0.0), 24, 24 * 9 + 24 * 17),
        (lambda x: 3.0, 0, 0),
    ]:
        found = cost(f, x)
        assert (found.operations, found.bytes_moved) == (operations, moved)
    assert cost(lambda n: n + n, xp.ones(5, dtype=xp.int32)) == (0, 5 * 4 * 3, 0)


def test_the_cost_of_decompositions() -> None:
    x = np.eye(6) + 1
    for f, operations in [
        (xp.linalg.cholesky, 6**3 / 3),
        (xp.linalg.inv, 2 * 6**3),
        (lambda x: xp.linalg.solve(x, np.ones((6, 2))), 2 * 6**3 / 3 + 2 * 6 * 6 * 2),
        (lambda x: xp.linalg.eigh(x)[0], 9 * 6**3),
        (lambda x: xp.linalg.qr(x[:, :3])[0], 4 * 6 * 9 - 4 * 27 / 3),
        (lambda x: xp.fft.fft(x + 0j), 36 + 5 * 36 * np.log2(6)),
        (lambda x: xp.fft.fftn(x + 0j), 36 + 5 * 36 * np.log2(36)),
    ]:
        assert cost(f, x).operations == round(operations)
    assert cost(xp.linalg.inv, np.stack([x, x])).operations == 2 * 2 * 6**3


def test_the_cost_of_a_gradient_is_of_the_order_of_the_function() -> None:
    w, x = np.ones((50, 40)), np.ones((8, 50))
    f = lambda w, x: xp.sum(xp.tanh(x @ w) ** 2)  # noqa: E731
    once, both = cost(f, w, x), cost(grad(f, (0, 1)), w, x)
    assert 2.9 < both.operations / once.operations < 3.2
    assert both.arena_bytes > 0


def test_how_a_cost_is_written() -> None:
    assert str(Cost(0, 999, 1000)) == "0 flop, 999 B moved, 1 kB held"
    assert str(Cost(123_456, 12_345_678, 5 * 10**9)) == "123.5 kflop, 12.35 MB moved, 5 GB held"


def graph() -> Any:
    f = jit(lambda p, *rest: (xp.sum(p['"w"'] * rest[0]), 2.5, np.ones(2)))
    f({'"w"': np.ones(3)}, np.ones(3))
    return f.graph


def test_a_graph_as_text() -> None:
    lines = str(graph()).split("\n")
    assert lines[:2] == ["v0: float64[3]  # p['\"w\"']", "v1: float64[3]  # rest[0]"]
    assert lines[2] == "v2: float64[3] = multiply(v0, v1)" and lines[-1].startswith("return v3, 2.5, <")
    assert repr(graph()) == str(graph())


def test_a_graph_in_the_language_of_graphviz(tmp_path: Path) -> None:
    drawn = graph()
    path = drawn.render(tmp_path / "program.dot")
    assert path.read_text() == drawn.source
    lines = drawn.source.split("\n")
    assert lines[0] == "digraph {" and lines[-2:] == ["}", ""]
    assert any('v0 [label="p[\'\\"w\\"\']\\nfloat64[3]"' in line for line in lines)
    edges = {line.strip() for line in lines if "->" in line}
    assert edges == {"v0 -> s0", "v1 -> s0", "s0 -> s1", "s1 -> r0"}
    assert any("result 1\\n2.5" in line for line in lines)
    assert any("result 2\\nfloat64[2]" in line for line in lines)


def test_what_is_missing_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDotError(RuntimeError):
        pass

    class Source:
        def __init__(self, source: str) -> None:
            pass

        def pipe(self, **_: str) -> bytes:
            raise NoDotError

    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(
        DrawingError, match=r"graph: the package graphviz, .* is missing; pip install graphviz\. "
    ):
        graph().render(tmp_path / "program.svg")
    without_dot: Any = types.ModuleType("graphviz")
    without_dot.Source, without_dot.ExecutableNotFound = Source, NoDotError
    monkeypatch.setitem(sys.modules, "graphviz", without_dot)
    with pytest.raises(DrawingError, match=r"the program dot, is not on the PATH; .*apt install graphviz"):
        graph().render(tmp_path / "program.svg")
    assert graph()._repr_svg_() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz: apt install graphviz")
def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    path = graph().render(tmp_path / "program.svg")
    assert "multiply" in path.read_text() and "<svg" in graph()._repr_svg_()
    with pytest.raises(ValueError, match="unknown format"):
        graph().render(tmp_path / "program.nonsense")
