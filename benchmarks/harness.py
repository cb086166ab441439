"""What all workloads share: what a program is, processes that take turns, the comparison, the clock.

Every library runs in a process of its own, since their thread pools disturb each other: an idle thread of
OpenBLAS goes on spinning for about 33 ms. The processes take turns, so that whatever else the machine does
meets all of them alike.
"""

import importlib
import importlib.util
import multiprocessing
import os
import random
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

INSTALL = {
    "autograd": "autograd",
    "jax": "jax",
    "mygrad": "mygrad",
    "numba": "numba",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""What to install for a library, by the module that it is imported as."""
PAUSE_S = 0.05  # until the threads of the process before have gone to sleep
SMALL = 1e-300


class Program(NamedTuple):
    """One way to do what a workload asks for, ready to run.

    Attributes
    ----------
    run : callable
        Does it once more.
    result : mapping of str to array, or None
        What the first run gave: gradients, to be compared by name. May be a part of what the reference has;
        None for what is no gradient, such as the matrix products alone.
    wait : callable
        Returns when all that was queued has run.
    factor : float
        What a run is to be multiplied by, if it does a part of the work.
    note : str
        To be shown with the time.
    aside : callable
        Seconds that went by so far in what is not to be counted.
    """

    run: Callable[[], Any]
    result: Mapping[str, np.ndarray] | None
    wait: Callable[[], Any] = lambda: None
    factor: float = 1.0
    note: str = ""
    aside: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True)
class Peer:
    """One row of a table.

    Attributes
    ----------
    name : str
    library : str
        The module that it needs, and what ``--peers`` calls it.
    make : callable
        Makes the program from the settings of a case.
    backend : str
        For bpkit: what ``use_backend`` is given.
    hidden : str
        A module that the process shall not find.
    cases : tuple of str
        The cases that it takes part in; all if empty.
    alone : bool
        Whether it shares its process with no other row.
    """

    name: str
    library: str
    make: Callable[[dict[str, Any]], Program]
    backend: str = ""
    hidden: str = ""
    cases: tuple[str, ...] = ()
    alone: bool = False

    @property
    def process(self) -> str:
        """Peers of the same share a process."""
        return f"{self.library} {self.backend} {self.hidden} {self.name if self.alone else ''}"


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes
    ----------
    title : str
    cases, quick : mapping
        Settings by name of the case; the second are small, for a look at whether all runs.
    reference : callable
        From the settings of a case to what every program's result is compared with, in float64.
    own : mapping
        ``{name: own}``; ``own(case, jit)`` makes a program of bpkit, on the backend in use. The name is put
        behind that of the row; empty where there is one program.
    peers : sequence of Peer
    goals : mapping
        ``{case: [(row, row of a peer, at most so many times its time)]}``.
    rtol : float
        How far a result may be from the reference, as the norm of the difference over the norm.
    work : callable or None
        Floating-point operations of a case, where GFLOP/s say more than seconds.
    alone : bool
        Whether each row has a process of its own, and not only each library: then what a process takes in
        memory belongs to one row.

    Notes
    -----
    The row ``"NAME: …"`` is also shown as a multiple of the row ``"NAME: loss"``, if there is one.
    """

    title: str
    cases: Mapping[str, dict[str, Any]]
    quick: Mapping[str, dict[str, Any]]
    reference: Callable[[dict[str, Any]], Mapping[str, np.ndarray]]
    own: Mapping[str, Callable[[dict[str, Any], bool], Program]]
    peers: Sequence[Peer]
    goals: Mapping[str, Sequence[tuple[str, str, float]]] = field(default_factory=dict)
    rtol: float = 1e-3
    work: Callable[[dict[str, Any]], float] | None = None
    alone: bool = False

    def rows(self, backends: Sequence[str], libraries: Sequence[str] | None) -> list[Peer]:
        """All peers, bpkit's own first."""
        kinds = []
        for backend in backends:
            name = "bpkit" if backend == "numpy" else f"bpkit on {backend}"
            kinds.append((f"{name}, jit", backend, True, ""))
            if backend == "numpy" and importlib.util.find_spec("numba"):
                kinds.append((f"{name}, jit, no Numba", backend, True, "numba"))
            kinds.append((f"{name}, eager", backend, False, ""))
        own = [
            Peer(name + of, "bpkit", partial(make, jit=jit), backend, hidden)
            for name, backend, jit, hidden in kinds
            for of, make in self.own.items()
        ]
        chosen = [peer for peer in self.peers if libraries is None or peer.library in ("bpkit", *libraries)]
        return [replace(peer, alone=self.alone) for peer in (*own, *chosen)]


class MismatchError(Exception):
    """A program does not compute what the others do."""


def load(name: str) -> Workload:
    """The workload of a module of this package, or of a file."""
    if not name.endswith(".py"):
        found: Workload = importlib.import_module(f"benchmarks.{name}").WORKLOAD
        return found
    spec = importlib.util.spec_from_file_location("benchmark_of_yours", name)
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_of_yours"] = module
    spec.loader.exec_module(module)
    return module.WORKLOAD  # type: ignore[no-any-return]


# In the process of a library.


def serve(pipe: Connection, name: str, backends: Sequence[str], hidden: str, case: dict[str, Any]) -> None:
    """Make programs and run them as the other side asks; ends when it hangs up."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[: case["threads"]]
        os.sched_setaffinity(0, cores)  # not every library has a setting for its threads
    makers = {peer.name: peer for peer in load(name).rows(backends, None)}
    if hidden:
        sys.modules[hidden] = None  # type: ignore[assignment]
    programs: dict[str, Program] = {}
    while True:
        try:
            row, calls = pipe.recv()
        except EOFError:
            return
        try:
            if calls is None:
                programs[row] = _made(makers[row], case)
                pipe.send((programs[row].result, programs[row].note))
            else:
                pipe.send(_seconds(programs[row], calls))
        except Exception:  # noqa: BLE001  told to the user by the other side
            pipe.send(traceback.format_exc())


def _made(peer: Peer, case: dict[str, Any]) -> Program:
    if not peer.backend:
        return peer.make(case)
    from bpkit import registry

    registry.use_backend(peer.backend)
    program = peer.make(case)
    return program._replace(wait=registry.current().backend.synchronize)


def _seconds(program: Program, calls: int) -> float:
    """Seconds of a call, after some that bring the caches back; where one call is long, the first counts."""
    run = program.run
    for _ in range((calls > 1) + calls // 5):
        run()
    program.wait()
    aside, started = program.aside(), time.perf_counter()
    for _ in range(calls):
        run()
    program.wait()
    counted = time.perf_counter() - started - (program.aside() - aside)
    return counted / calls * program.factor


# On the other side.


@contextmanager
def processes(
    name: str, backends: Sequence[str], rows: Sequence[Peer], case: dict[str, Any]
) -> Iterator[Any]:
    """A function that asks the process of a row for its program, or for seconds."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    started = []
    for peer in rows:
        if peer.process not in pipes:
            pipes[peer.process], theirs = context.Pipe()
            arguments = (theirs, name, backends, peer.hidden, case)
            started.append(context.Process(target=serve, args=arguments, daemon=True))
            started[-1].start()
            theirs.close()

    def ask(peer: Peer, calls: int | None) -> Any:
        pipes[peer.process].send((peer.name, calls))
        try:
            answer = pipes[peer.process].recv()
        except EOFError:
            answer = "its process ended, perhaps for want of memory"
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    try:
        yield ask
    finally:
        for pipe in pipes.values():
            pipe.close()
        for process in started:
            process.join(10)
            if process.is_alive():
                process.kill()


def compare(
    found: Mapping[str, np.ndarray] | None, expected: Mapping[str, np.ndarray], rtol: float, who: str
) -> None:
    """Refuse a program whose result is another.

    Raises
    ------
    MismatchError
        With the first array that differs.
    """
    if found is None:
        return
    if not found:
        raise MismatchError(f"{who} gives nothing to compare")
    for key, x in found.items():
        y = expected[key]
        if x.shape != y.shape:
            raise MismatchError(f"{who}: {key} has the shape {x.shape}, and must have {y.shape}")
        error = np.linalg.norm(np.subtract(x, y, dtype=np.float64)) / max(np.linalg.norm(y), SMALL)
        if not error <= rtol:
            raise MismatchError(f"{who}: {key} differs by {error:.1e} of its norm; {rtol:.0e} is allowed")


def measure(
    workload: Workload,
    name: str,
    backends: Sequence[str],
    rows: Sequence[Peer],
    case: dict[str, Any],
    progress: Callable[[str], Any],
) -> dict[str, dict[str, Any]]:
    """Times of every row, in seconds by turn; a row that failed has an error in their place.

    Raises
    ------
    MismatchError
        If a program computes something else than the reference; then nothing is timed.
    """
    expected = workload.reference(case)
    found: dict[str, dict[str, Any]] = {}
    with processes(name, backends, rows, case) as ask:
        ready = []
        for peer in rows:
            progress(peer.name)
            started = time.perf_counter()
            try:
                result, note = ask(peer, None)
            except RuntimeError as error:
                found[peer.name] = {"error": str(error).strip()}
                continue
            found[peer.name] = {"times_s": [], "ready_after_s": time.perf_counter() - started, "note": note}
            compare(result, expected, workload.rtol, peer.name)
            ready.append(peer)
        calls = {}
        for peer in ready:
            once = ask(peer, 1)
            once = min(once, ask(peer, 3)) if once < case["turn_s"] else once
            calls[peer.name] = max(1, round(case["turn_s"] / once))
        order, before = random.Random(0), ""
        for _ in range(case["turns"]):
            for peer in order.sample(ready, len(ready)):
                progress(peer.name)
                if peer.process != before:
                    time.sleep(PAUSE_S if case["threads"] > 1 else 0)
                    before = peer.process
                found[peer.name]["times_s"].append(ask(peer, calls[peer.name]))
    for row in found.values():
        if "times_s" in row:
            times = sorted(row["times_s"])
            row["fastest_s"], row["median_s"] = times[0], statistics.median(times)
            row["quartiles_s"] = [times[len(times) // 4], times[(3 * len(times) - 1) // 4]]
    return found


def ratio(found: Mapping[str, dict[str, Any]], row: str, other: str) -> float | None:
    """How many times as long as another row one takes: the median of the turns, side by side."""
    one, two = (found.get(name, {}).get("times_s") for name in (row, other))
    return statistics.median([x / y for x, y in zip(one, two, strict=True)]) if one and two else None
