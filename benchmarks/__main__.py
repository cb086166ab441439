"""The command ``python -m benchmarks``."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import harness
from bpkit.terminal import write_table

WORKLOADS = {
    "W1": "w1_nielsen",
    "W1E": "w1_epoch",
    "W2": "w2_adam",
    "W3": "w3_products",
    "W4": "w4_elementwise",
    "W5": "w5_convolution",
    "W6": "w6_transformer",
    "W7": "w7_chain",
    "W8": "w8_cost",
    "W9": "w9_install",
    "W10": "w10_fit",
}
DISTRIBUTIONS = ("numpy", "scipy", "numba", *harness.INSTALL.values())
DESCRIPTION = """\
Time bpkit beside other libraries and beside NumPy code written by hand.

Every program of a workload starts from the same weights. What its first step computes is compared with the
reference, in float64, before anything is timed; a program that differs ends the run. Then the programs take
turns, each library in a process of its own, and each turn runs a program many times. Shown are the fastest
turn, the median of all turns and their quartiles, and how many times as long as each row the first one
takes: the median of the ratios within a turn, and the ratio of the fastest turns. On a machine that does
something else as well, only the second says something, since a busy machine can only make a turn longer.
Libraries that are not installed are left out, with a line that says what to install.
"""
EXAMPLES = """\
examples:
  python -m benchmarks                                  what there is
  python -m benchmarks W1 --peers numpy,jax,torch       one workload, some libraries
  python -m benchmarks all --json benchmarks.json       everything; takes long
  python -m benchmarks W2 --threads 1 --turns 40
  python -m benchmarks W1 --backend numpy --backend torch:cuda --peers torch
  python -m benchmarks own.py                           a file that defines WORKLOAD, as those here do
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write tables, and JSON where asked for; the exit status."""
    options = _parser().parse_args(arguments)
    if not options.workloads:
        for name, module in WORKLOADS.items():
            print(f"{name}  {harness.load(module).title}")
        print("\npython -m benchmarks W1 --quick runs one; --help says more")
        return 0
    names = list(WORKLOADS) if options.workloads == ["all"] else options.workloads
    wrong = [name for name in names if name not in WORKLOADS and not name.endswith(".py")]
    if wrong:
        sys.exit(f"no workload {wrong[0]!r}; there are {', '.join(WORKLOADS)}, all, or a file FILE.py")
    if unknown := set(options.peers or ()) - {"numpy", *harness.INSTALL}:
        sys.exit(f"no peer {unknown.pop()!r}; there are numpy, {', '.join(harness.INSTALL)}")
    threads = str(options.threads)
    # Before any library is loaded; the processes of the peers inherit it.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = threads
    workloads = {name: harness.load(WORKLOADS.get(name, name)) for name in names}
    cases = {name: w.quick if options.quick else w.cases for name, w in workloads.items()}
    known = list(dict.fromkeys(case for of_one in cases.values() for case in of_one))
    if unknown := set(options.case or ()) - set(known):
        sys.exit(f"no case {unknown.pop()!r} in {', '.join(names)}; there are {', '.join(map(repr, known))}")
    found: dict[str, Any] = {"machine": _machine(options.threads), "workloads": {}}
    shown = sys.stderr if options.json == "-" else sys.stdout
    print(_described(found["machine"]), file=shown)
    failed = False
    for name, workload in workloads.items():
        of_cases = found["workloads"][name] = {"title": workload.title, "cases": {}}
        for case, settings in cases[name].items():
            if options.case and case not in options.case:
                continue
            try:
                measured = _measure(workload, WORKLOADS.get(name, name), case, settings, options)
            except harness.MismatchError as error:
                sys.exit(f"{name}, {case}: {error}. Nothing was timed.")
            of_cases["cases"][case] = measured
            _show(shown, f"{name}, {case}: {workload.title}", measured)
            failed = failed or any("error" in row for row in measured["rows"].values())
            found["machine"]["load_at_end"] = os.getloadavg()
            if options.json not in (None, "-"):  # after each case: all of them take long
                Path(options.json).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.json == "-":
        print(json.dumps(found))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    several = "W1 to W10, all, or a file of your own; without one, a list of them"
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=several)
    peers = f"beside bpkit, with commas between them: numpy, {', '.join(harness.INSTALL)} (default: all)"
    parser.add_argument("--peers", metavar="NAMES", type=lambda names: names.split(","), help=peers)
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case; repeatable")
    backends = "where bpkit runs: numpy, jax, torch, torch:cuda ...; repeatable (default: numpy)"
    parser.add_argument("--backend", action="append", metavar="NAME", help=backends)
    threads = "of every library, and cores of every process (default: %(default)s)"
    parser.add_argument("--threads", type=int, default=2, metavar="N", help=threads)
    parser.add_argument("--turns", type=int, metavar="N", help="of each program (default: 25; quick: 2)")
    turn = "about how long a turn is (default: 0.05; quick: 0.001)"
    parser.add_argument("--turn-s", type=float, metavar="SECONDS", help=turn)
    quick = "small sizes, to see whether it runs; the times mean nothing"
    parser.add_argument("--quick", action="store_true", help=quick)
    to = "write what was measured to a file; - writes it to stdout, and the tables to stderr"
    parser.add_argument("--json", metavar="PATH", help=to)
    return parser


def _measure(
    workload: harness.Workload, module: str, name: str, settings: dict[str, Any], options: Any
) -> dict[str, Any]:
    """Rows, what was left out, and the goals, of one case."""
    backends = options.backend or ["numpy"]
    cuda = [spec.partition(":")[2] for spec in backends if spec.startswith("torch:")]
    case = {
        **settings,
        "threads": options.threads,
        "turns": options.turns or (2 if options.quick else 25),
        "turn_s": options.turn_s or (0.001 if options.quick else 0.05),
        "torch_device": cuda[0] if cuda else "cpu",
    }
    rows, skipped = [], {}
    for peer in workload.rows(backends, options.peers):
        if peer.cases and name not in peer.cases:
            continue
        if peer.library != "bpkit" and not util.find_spec(peer.library):
            wanted = harness.INSTALL.get(peer.library, peer.library)
            skipped[peer.name] = f"not installed: pip install {wanted}"
        else:
            rows.append(peer)
    total = len(rows) * (1 + case["turns"])
    with tqdm(total=total, leave=False, disable=None) as bar:

        def progress(row: str) -> None:
            bar.set_description(f"{name}, {row}", refresh=False)
            bar.update()

        found = harness.measure(workload, module, backends, rows, case, progress)
    if workload.work is not None:
        for row in found.values():
            if "times_s" in row:
                row["gflops_per_s"] = workload.work(case) / row["median_s"] / 1e9
    first = rows[0].name
    for title, row in found.items():
        row[f"{first} takes times"] = harness.ratio(found, first, title)
        if "times_s" in row and "times_s" in found[first]:
            row[f"{first} takes times, fastest"] = found[first]["fastest_s"] / row["fastest_s"]
        base, colon, _ = title.rpartition(": ")
        if colon:
            row["times its loss"] = harness.ratio(found, title, f"{base}: loss")
    goals = [
        {"row": row, "other": other, "at_most": limit, "is": harness.ratio(found, row, other)}
        for row, other, limit in workload.goals.get(name, ())
        if not options.quick
    ]
    return {"settings": case, "first": first, "rows": found, "skipped": skipped, "goals": goals}


def _show(stream: Any, title: str, measured: dict[str, Any]) -> None:
    rows = {name: row for name, row in measured["rows"].items() if "times_s" in row}
    typical = next((row["median_s"] for row in rows.values()), 0.0)
    unit, scale = ("µs", 1e6) if typical < 0.002 else ("ms", 1e3) if typical < 2 else ("s", 1.0)
    ratio = f"{measured['first']} takes times"
    extra = [key for key in ("gflops_per_s", "times its loss") if any(key in row for row in rows.values())]
    headings = ["", f"{unit}, fastest", "median", "quartiles", f"{measured['first']} ÷ it", "by fastest"]
    headings += [{"gflops_per_s": "GFLOP/s"}.get(key, key) for key in extra]
    notes = any(row["note"] for row in rows.values())

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.{max(0, 2 - len(str(int(value))) + (value < 100))}f}"

    table = []
    for name, row in rows.items():
        low, high = (number(scale * x) for x in row["quartiles_s"])
        cells = [name, number(scale * row["fastest_s"]), number(scale * row["median_s"]), f"{low}–{high}"]
        ratios = (row[ratio], row.get(f"{ratio}, fastest"))
        cells += ["" if found is None else f"{found:.2f}" for found in ratios]
        cells += [number(row.get(key)) for key in extra]
        table.append(("", [*cells, row["note"]] if notes else cells))
    write_table(stream, title, [*headings, ""] if notes else headings, table, headings[1:])
    for goal in measured["goals"]:
        if goal["is"] is not None:
            verdict = "reached" if goal["is"] <= goal["at_most"] else "missed"
            pair = f"{goal['row']} over {goal['other']}"
            print(f"{pair}: {goal['is']:.2f}, goal {goal['at_most']:.3g}, {verdict}", file=stream)
    for name, note in measured["skipped"].items():
        print(f"left out: {name}, {note}", file=stream)
    for name, row in measured["rows"].items():
        if "error" in row:
            print(f"failed: {name}\n{row['error']}", file=stream)
    print(file=stream)


def _machine(threads: int) -> dict[str, Any]:
    versions = {}
    for name in dict.fromkeys(DISTRIBUTIONS):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_at_start": os.getloadavg(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _described(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores; {machine['threads']} threads (OMP, BLAS); "
        f"load {machine['load_at_start'][0]:.1f}\nPython {machine['python']}, {versions}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
