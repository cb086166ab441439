"""A gradient over data four times larger than the memory that the process may have.

    python -m benchmarks.dask_memory

Softmax regression on examples that lie on disk, one file for each chunk. Each run is a process of its own
whose memory is limited (RLIMIT_DATA: whatever it allocates counts, and Linux refuses more). The first reads
all data at once, which must fail. The others take the gradient with `bpkit.interop.dask`, chunk by chunk, on
one of Dask's schedulers each; the workers that they start are under the same limit. Shown is the most memory
that the process had resident, and the largest of its workers. At the end the gradient of the first chunks in
memory, by `bpkit.value_and_grad`, must be what Dask says of those chunks, and all schedulers must agree on
all data. Needs Linux, Dask, and distributed for its cluster.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20
FEATURES, CLASSES = 256, 10
SCHEDULERS = ("threads", "processes", "distributed")
TIMES = 4
IN_MEMORY = 2
"""How many chunks are compared with a gradient in memory."""


def loss(params: Any, x: Any, labels: Any) -> Any:
    """Softmax regression with an L2 penalty."""
    from bpkit import losses, xp

    penalty = 1e-3 * xp.sum(params["w"] ** 2)
    return losses.softmax_cross_entropy(x @ params["w"] + params["b"], labels) + penalty


def parameters() -> dict[str, Any]:
    """Where the gradient is taken."""
    weights = np.random.default_rng(1).normal(scale=0.1, size=(FEATURES, CLASSES))
    return {"w": weights.astype(np.float32), "b": np.zeros(CLASSES, np.float32)}


def write(folder: Path, size_mib: int, chunk_mib: int) -> None:
    """Examples and labels as stacks of files, one for each chunk."""
    import dask.array as da

    rows = chunk_mib * MIB // (4 * FEATURES)
    count = rows * (size_mib // chunk_mib)
    random = da.random.default_rng(0)
    x = random.standard_normal((count, FEATURES), chunks=(rows, FEATURES), dtype="float32")
    da.to_npy_stack(str(folder / "x"), x)
    da.to_npy_stack(str(folder / "labels"), random.integers(0, CLASSES, count, chunks=rows))


def status(name: str) -> int:
    """What Linux says of this process, in KiB: VmData is what RLIMIT_DATA counts, VmHWM the most resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def run(way: str, folder: Path, limit_mib: int, room: bool) -> dict[str, Any]:
    """One way through the data under the limit; called in a process of its own."""
    import resource

    import dask
    import dask.array as da

    from bpkit import value_and_grad
    from bpkit.interop import dask as chunked

    def limit(bytes_: int) -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))

    if room:
        # BLAS gets memory for each thread that is new, and waits for ever where there is none.
        dask.config.set(pool=ThreadPoolExecutor(1))
    else:
        limit(limit_mib * MIB)
    # Read and not mapped: pages of a mapped file are resident, and no limit counts them.
    x = da.from_npy_stack(str(folder / "x"), mmap_mode=None)
    labels = da.from_npy_stack(str(folder / "labels"), mmap_mode=None)
    params, both = parameters(), chunked.value_and_grad(loss)
    some = x.blocks[:IN_MEMORY], labels.blocks[:IN_MEMORY]
    found: dict[str, Any] = {}
    if way != "at once":
        value, gradient = both(params, *some)
        in_memory = value_and_grad(loss)(params, *(array.compute() for array in some))
        found["off_some"] = _difference((value, gradient), in_memory)
        del in_memory
    if room:
        limit(status("VmData") * 1024 + limit_mib * MIB)
    start = time.perf_counter()
    try:
        if way == "at once":
            np.concatenate([np.load(folder / "x" / f"{i}.npy") for i in range(x.numblocks[0])])
        else:
            (value, gradient), workers = _on(way, lambda: both(params, x, labels), limit_mib)
            found["worker_mib"] = max(workers, default=0) / 1024
            found |= {"value": float(value), "w": gradient["w"].tolist(), "b": gradient["b"].tolist()}
    except MemoryError:
        found["failed"] = "MemoryError"
    found["seconds"] = time.perf_counter() - start
    found["peak_mib"] = status("VmHWM") / 1024
    return found


def _on(scheduler: str, call: Any, limit_mib: int) -> tuple[Any, list[int]]:
    """The result of a call on one of Dask's schedulers, and the most KiB resident in each worker process."""
    import dask

    if scheduler == "threads":
        with dask.config.set(scheduler=scheduler, num_workers=2):
            return call(), []
    if scheduler == "processes":
        with (
            ProcessPoolExecutor(2, get_context("spawn")) as pool,
            dask.config.set(scheduler=scheduler, pool=pool),
        ):
            # More questions than workers, so that hardly one is left out.
            return call(), list(pool.map(status, ["VmHWM"] * 50))
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=limit_mib * MIB
        ) as cluster,
        Client(cluster) as client,
    ):
        return call(), list(client.run(status, "VmHWM").values())


def _difference(one: Any, other: Any) -> float:
    """The largest difference of two values and gradients, as a part of the largest element."""
    pairs = [(one[0], other[0]), *[(one[1][name], other[1][name]) for name in ("w", "b")]]
    return max(float(np.max(np.abs(np.asarray(x, np.float64) - y)) / np.max(np.abs(y))) for x, y in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the data, run every way through them, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=512, help="MiB that a process may have (default: 512)")
    parser.add_argument("--chunk", type=int, default=16, help="MiB of a chunk (default: 16)")
    parser.add_argument("--schedulers", default=",".join(SCHEDULERS), help="some of them, with commas")
    parser.add_argument("--folder", type=Path, help="where the data are written (default: a temporary one)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="limits what comes on top of a warm process to 64 MiB, with data of 256 MiB: only for threads",
    )
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.limit, options.chunk = 64, 4
    if options.way:
        print(json.dumps(run(options.way, options.folder, options.limit, options.quick)))
        return 0
    schedulers = options.schedulers.split(",")
    if unknown := set(schedulers) - set(SCHEDULERS):
        parser.error(f"--schedulers: expected some of {', '.join(SCHEDULERS)}; got {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="dask_memory_") as name:
        return _compare(Path(name), schedulers, options)


def _compare(folder: Path, schedulers: Sequence[str], options: argparse.Namespace) -> int:
    size = TIMES * options.limit
    write(folder, size, options.chunk)
    more = "on top of a warm process " if options.quick else ""
    print(f"{size:,} MiB of float32 in chunks of {options.chunk} MiB; limit {options.limit} MiB {more}")
    command = [sys.executable, "-m", "benchmarks.dask_memory", "--folder", str(folder)]
    command += ["--quick"] if options.quick else ["--limit", str(options.limit)]
    results = {}
    for way in ("at once", *schedulers):
        done = subprocess.run([*command, "--way", way], stdout=subprocess.PIPE, text=True, check=True)
        results[way] = result = json.loads(done.stdout)
        if way == "at once":
            print(f"reading all at once: {result.get('failed', 'did not fail')}")
            continue
        if "failed" in result:
            print(f"{way}: {result['failed']}")
            continue
        workers = f", its largest worker {result['worker_mib']:.0f} MiB" if result["worker_mib"] else ""
        print(
            f"{way}: {result['seconds']:.1f} s, peak {result['peak_mib']:.0f} MiB{workers}; "
            f"the first {IN_MEMORY} chunks in memory differ by {result['off_some']:.1e}"
        )
    found = [results[way] for way in schedulers]
    if any("failed" in result for result in found) or "failed" not in results["at once"]:
        return 1
    trees = [(np.asarray(x["value"]), {name: np.asarray(x[name]) for name in ("w", "b")}) for x in found]
    off = max(_difference(x, trees[0]) for x in trees)
    print(f"schedulers differ by {off:.1e} over all data")
    return int(max(off, *(result["off_some"] for result in found)) > 1e-5)


if __name__ == "__main__":
    raise SystemExit(main())
