"""Full Jacobians in one batch, beside one row or column after the other, in one run.

    python benchmarks/jacobian.py                                # NumPy
    python benchmarks/jacobian.py --backend numpy --backend torch --backend jax

A network of two layers with tanh, n numbers in and n out. ``jacrev`` and ``jacfwd`` take all rows or columns
at once; with ``chunk_size=1`` the same transforms take one after the other, and so does a loop of pullbacks
or of `jvp`, written by hand. The results are compared first. Then all are timed in turn, each at least 50 ms
long, and medians over the turns are reported.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from bpkit import jacfwd, jacrev, jvp, registry, vjp, xp
from bpkit.terminal import write_table


def programs(backend: Any, outputs: int) -> dict[str, Callable[[], Any]]:
    """Ways to the same Jacobian, by name."""
    rng = np.random.default_rng(0)
    first, second = (
        backend.from_host((rng.standard_normal((outputs, outputs)) / outputs**0.5).astype(np.float32))
        for _ in range(2)
    )
    x = backend.from_host(rng.standard_normal(outputs).astype(np.float32))
    basis = backend.from_host(np.eye(outputs, dtype=np.float32))

    def f(x: Any) -> Any:
        return xp.tanh(xp.matmul(second, xp.tanh(xp.matmul(first, x))))

    def rows() -> Any:
        _, pullback = vjp(f, x)
        return xp.stack([pullback(basis[i, ...])[0] for i in range(outputs)])

    def columns() -> Any:
        return xp.stack([jvp(f, (x,), (basis[i, ...],))[1] for i in range(outputs)], axis=1)

    return {
        "jacrev": lambda: jacrev(f)(x),
        "jacrev, chunk_size=1": lambda: jacrev(f, chunk_size=1)(x),
        "a loop of pullbacks": rows,
        "jacfwd": lambda: jacfwd(f)(x),
        "jacfwd, chunk_size=1": lambda: jacfwd(f, chunk_size=1)(x),
        "a loop of jvp": columns,
    }


def measure(name: str, outputs: int, turns: int, quiet: bool) -> dict[str, dict[str, Any]]:
    """Seconds of each way on a backend, and how many times as long as the batch it takes."""
    times: dict[str, list[float]] = {}
    with registry.use_backend(name) as (backend, _):
        ways = programs(backend, outputs)
        exact = backend.to_host(ways["jacrev"]())
        for way, run in ways.items():
            np.testing.assert_allclose(backend.to_host(run()), exact, atol=1e-5, err_msg=f"{way} on {name}")

        def seconds(run: Callable[[], Any], calls: int) -> float:
            started = time.perf_counter()
            for _ in range(calls):
                run()
            backend.synchronize()
            return (time.perf_counter() - started) / calls

        calls = {way: math.ceil(0.05 / seconds(run, 1)) for way, run in ways.items()}
        for _ in tqdm(range(turns), desc=name, leave=False, disable=quiet or None):
            for way, run in ways.items():
                times.setdefault(way, []).append(seconds(run, calls[way]))
    found = {}
    for way, taken in times.items():
        batch = times["jacrev" if "jacrev" in way or "pullback" in way else "jacfwd"]
        found[way] = {
            "seconds": statistics.median(taken),
            "seconds_spread": [min(taken), max(taken)],
            "ratio_to_batch": statistics.median([x / y for x, y in zip(taken, batch, strict=True)]),
        }
    return found


def main() -> None:
    """Measure and print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", action="append", help="may be given several times (default: numpy)")
    parser.add_argument("--outputs", type=int, default=100, help="numbers in and out (default: 100)")
    parser.add_argument("--turns", type=int, default=9, help="turns of each way (default: 9)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    found = {
        backend: measure(backend, options.outputs, options.turns, options.json)
        for backend in options.backend or ["numpy"]
    }
    if options.json:
        print(json.dumps(found))
        return
    table: list[tuple[str, list[str]] | None] = []
    for backend, rows in found.items():
        if table:
            table.append(None)
        for i, (way, row) in enumerate(rows.items()):
            low, high = row["seconds_spread"]
            cells = [
                "" if i else backend,
                way,
                f"{1e3 * row['seconds']:.2f}",
                f"{1e3 * low:.2f}–{1e3 * high:.2f}",
                f"{row['ratio_to_batch']:.1f}",
            ]
            table.append(("", cells))
    headings = ("", "", "ms", "spread", "of the batch's")
    write_table(sys.stdout, f"Jacobians, {options.outputs} numbers in and out", headings, table)


if __name__ == "__main__":
    main()
