"""Compare two runs of array-api-tests: a library's own namespace, and bpkit's traced one over it.

Both are reports of pytest-json-report. It fails if a test fails on the traced arrays that the raw library
passes, unless the file of exceptions names it. Started by ``nox -s "conformance(numpy)"``, or by hand::

    python tests/conformance/compare.py numpy raw.json traced.json
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXCEPTIONS = Path(__file__).with_name("exceptions.txt")


@dataclass(frozen=True)
class Outcome:
    """How one test ended.

    Attributes
    ----------
    result : str
        "passed", "failed", "error", "skipped", "xfailed" or "xpassed", as pytest calls it.
    message : str
        The first line of what went wrong; empty if nothing did.
    """

    result: str
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether it counts against the library."""
        return self.result in ("failed", "error")


Outcomes = dict[str, Outcome]
"""Of every test of a run, by its id."""


def outcomes(report: dict[str, Any]) -> Outcomes:
    """How every test of a JSON report ended.

    Raises
    ------
    ValueError
        If pytest stopped before it had run its tests.
    """
    broken = [place["nodeid"] for place in report.get("collectors", []) if place["outcome"] == "failed"]
    if broken or not report.get("tests"):
        raise ValueError(f"the run stopped early: {', '.join(broken) or 'no test ran'}")
    return {test["nodeid"]: Outcome(test["outcome"], _message(test)) for test in report["tests"]}


def _message(test: dict[str, Any]) -> str:
    for phase in ("setup", "call", "teardown"):
        crash = test.get(phase, {}).get("crash")
        if crash:
            return str(crash["message"]).partition("\n")[0]
    return ""


def exceptions_for(backend: str, lines: Iterable[str]) -> set[str]:
    """The tests that may fail on a backend.

    Parameters
    ----------
    backend : str
    lines : iterable of str
        ``name test-id``, or ``* test-id`` for all backends; the lines above that begin with # say why.

    Examples
    --------
    >>> sorted(exceptions_for("jax", ["# refused", "* a.py::test_a", "jax a.py::test_b[x y]", "torch c"]))
    ['a.py::test_a', 'a.py::test_b[x y]']
    """
    entries = [line.strip().split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    return {test for name, test in entries if name in ("*", backend)}


@dataclass(frozen=True)
class Comparison:
    """What differs between a raw and a traced run.

    Attributes
    ----------
    worse : dict of str to Outcome
        Do not pass traced but raw, and are no exceptions.
    excepted : list of str
        The same, and are exceptions.
    better : list of str
        Fail raw and do not fail traced.
    unused : list of str
        Exceptions that did not fail.
    """

    worse: Outcomes
    excepted: list[str]
    better: list[str]
    unused: list[str]


def compare(raw: Outcomes, traced: Outcomes, exceptions: set[str]) -> Comparison:
    """Which tests end otherwise on traced arrays.

    Raises
    ------
    ValueError
        If the two runs are not of the same tests.
    """
    if raw.keys() != traced.keys():
        apart = sorted(raw.keys() ^ traced.keys())
        raise ValueError(f"the runs are not of the same tests: {len(apart)} are in one only, as {apart[0]}")
    # What is passed raw and skipped traced has not been passed.
    worse = [
        test
        for test, outcome in traced.items()
        if (outcome.failed and not raw[test].failed)
        or (outcome.result != "passed" and raw[test].result == "passed")
    ]
    return Comparison(
        worse={test: traced[test] for test in worse if test not in exceptions},
        excepted=[test for test in worse if test in exceptions],
        better=[test for test, outcome in raw.items() if outcome.failed and not traced[test].failed],
        unused=sorted(test for test in exceptions & traced.keys() if not traced[test].failed),
    )


def summary(raw: Outcomes, traced: Outcomes, found: Comparison) -> str:
    """The comparison for people: counts, then every test that has to be looked at."""
    lines = [f"{'':8}{'passed':>8}{'failed':>8}{'skipped':>8}"]
    for name, run in (("raw", raw), ("traced", traced)):
        counts = Counter("failed" if x.failed else x.result for x in run.values())
        lines.append(f"{name:8}" + "".join(f"{counts[key]:8}" for key in ("passed", "failed", "skipped")))
    lines.append(f"{len(found.excepted)} fail as the exceptions say; {len(found.better)} fail raw only")
    lines += [f"an exception that did not fail: {test}" for test in found.unused]
    lines += [f"FAILED {test}\n       {outcome.message}" for test, outcome in found.worse.items()]
    lines.append(f"{len(found.worse)} fail that the raw library passes")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Read pairs of reports, print a comparison of each; 1 if traced arrays fail where raw ones do not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("backend", help="whose exceptions hold, such as numpy")
    parser.add_argument("reports", type=Path, nargs="+", help="raw and traced in turn")
    parser.add_argument("--exceptions", type=Path, default=EXCEPTIONS)
    given = parser.parse_args(arguments)
    if len(given.reports) % 2:
        parser.error("reports come in pairs: raw, traced")
    exceptions = exceptions_for(given.backend, given.exceptions.read_text("utf-8").splitlines())
    code = 0
    for pair in zip(given.reports[::2], given.reports[1::2], strict=True):
        raw, traced = (outcomes(json.loads(path.read_text("utf-8"))) for path in pair)
        found = compare(raw, traced, exceptions)
        sys.stdout.write(f"{pair[0].stem}, {pair[1].stem}\n{summary(raw, traced, found)}\n")
        code = 1 if found.worse else code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
