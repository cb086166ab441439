"""A minimal surface of 10,000 variables by SciPy's trust-ncg, with exact and with finite derivatives.

    python -m benchmarks.scipy_newton

A soap film hangs in a bent square frame: its heights at 100 × 100 points make its area least (problem MSA of
the MINPACK-2 collection, with another frame). SciPy gets gradient and Hessian products from
`bpkit.interop.scipy`. Finite differences of the same area in plain NumPy need n + 1 areas for a gradient, and
as many again for a product, which is the difference of two gradients. One such gradient is measured as a
whole. Their time to the end is extrapolated, and said so: this time for each gradient and each product that
the exact run asked for. Beside it Newton-CG takes its products from differences of exact gradients, measured.
All seconds are the fastest of the rounds; those of bpkit leave out compiling, which is shown apart.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-6
"""What is left of the norm of the gradient at the end; float64 hardly shows smaller decreases of the area."""


def frame(side: int) -> np.ndarray[Any, Any]:
    """Heights on the frame, and zero inside it."""
    ends = np.linspace(0.0, 1.0, side + 2)
    heights = np.zeros((side + 2, side + 2))
    heights[0], heights[-1] = np.sin(np.pi * ends), np.sin(2 * np.pi * ends) / 2
    heights[:, 0], heights[:, -1] = ends * (1 - ends), -ends * (1 - ends)
    return heights


def area_over(xp: Any, heights: np.ndarray[Any, Any]) -> Callable[[Any], Any]:
    """The area in cells, each of two triangles, as a function of the heights inside, on any namespace."""
    top, bottom, left, right = heights[:1], heights[-1:], heights[1:-1, :1], heights[1:-1, -1:]
    cells = heights.shape[0] - 1

    def area(inside: Any) -> Any:
        z = xp.concat([top, xp.concat([left, inside, right], axis=1), bottom], axis=0) * cells
        across, down = z[:, 1:] - z[:, :-1], z[1:, :] - z[:-1, :]
        upper = xp.sqrt(1 + across[:-1, :] ** 2 + down[:, :-1] ** 2)
        lower = xp.sqrt(1 + across[1:, :] ** 2 + down[:, 1:] ** 2)
        return xp.sum(upper + lower) / 2

    return area


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    out = run()
    return time.perf_counter() - start, out


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=100, help="points along a side (default: 100)")
    parser.add_argument("--rounds", type=int, default=3, help="how many runs of each (default: 3)")
    parser.add_argument("--quick", action="store_true", help="20 × 20 points once, to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.side, options.rounds = 20, 1

    from scipy.optimize import approx_fprime, minimize

    from bpkit import xp
    from bpkit.interop.scipy import objective

    heights = frame(options.side)
    film = objective(area_over(xp, heights), heights[1:-1, 1:-1])
    plain = area_over(np, heights)
    n = film.x0.size

    def first() -> None:
        for _ in range(2):
            film.fun(film.x0)
            film.hessp(film.x0, film.x0)

    compiling_s, _ = timed(first)
    goal = TOLERANCE * float(np.linalg.norm(film.fun(film.x0)[1]))

    def exact() -> Any:
        return minimize(
            film.fun,
            film.x0,
            jac=True,
            hessp=film.hessp,
            method="trust-ncg",
            options={"gtol": goal, "maxiter": 1000},
        )

    def of_gradients() -> Any:
        return minimize(
            film.fun, film.x0, jac=True, method="Newton-CG", options={"xtol": 1e-8, "maxiter": 1000}
        )

    def finite() -> Any:
        return approx_fprime(film.x0, lambda x: plain(x.reshape(options.side, options.side)))

    rounds = [(timed(exact), timed(of_gradients), timed(finite)) for _ in range(options.rounds)]
    exact_s, mixed_s, finite_s = (
        min(seconds for seconds, _ in column) for column in zip(*rounds, strict=True)
    )
    found, mixed, differences = (out for _, out in rounds[0])
    norm = float(np.linalg.norm(film.fun(found.x)[1]))
    if not found.success or norm > goal:
        print(
            f"trust-ncg did not converge: {found.message} The norm of the gradient is {norm:.1e}, "
            f"not {goal:.1e}"
        )
        return 1
    off = float(np.max(np.abs(differences - film.fun(film.x0)[1])))
    asked = found.njev + found.nhev
    rest = asked * finite_s
    print(f"{n:,} variables; area {film.fun(film.x0)[0]:.4f} at the start, in cells")
    print(f"exact products: {exact_s:.3f} s, area {found.fun:.4f}, norm of the gradient {norm:.1e},")
    print(
        f"  {found.nit} steps, {found.njev} gradients, {found.nhev} products; compiling {compiling_s:.3f} s"
    )
    print(f"products from exact gradients (Newton-CG): {mixed_s:.3f} s, area {mixed.fun:.4f},")
    print(f"  {mixed.njev} gradients")
    print(f"finite differences: {finite_s:.3f} s for one gradient (measured; off by at most {off:.1e}),")
    print(f"  {rest:.1f} s for {asked} (extrapolated), {rest / exact_s:,.0f} times the exact run")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
