"""The command ``python -m benchmarks``: every workload runs in small, and wrong peers are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WORKLOADS = ["W1", "W1E", *[f"W{i}" for i in range(2, 11)]]

OWN = """
from dataclasses import replace
from benchmarks.harness import Peer, Program
from benchmarks.w1_nielsen import WORKLOAD, plain

def other(case):
    program = plain(case)
    {change}

peers = [Peer("plain", "numpy", plain), Peer("another", "{library}", other)]
WORKLOAD = replace(WORKLOAD, own={{}}, peers=peers)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


def own(tmp_path: Path, change: str, library: str = "numpy") -> str:
    """A file of a workload in which one of two peers is changed."""
    path = tmp_path / "own.py"
    path.write_text(OWN.format(change=change, library=library), "utf-8")
    return str(path)


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_runs_in_small(name: str, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    done = run(name, "--quick", "--peers", "numpy", "--threads", "1", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text("utf-8"))
    machine, cases = found["machine"], found["workloads"][name]["cases"]
    assert machine["threads"] == 1
    assert "1 threads (OMP, BLAS)" in done.stdout
    assert f"numpy {machine['versions']['numpy']}" in done.stdout
    assert machine["cpu"] in done.stdout
    assert cases
    for case in cases.values():
        rows: dict[str, Any] = case["rows"]
        assert any(row.startswith("bpkit") for row in rows)
        assert len(rows) > 1
        for title, row in rows.items():
            assert row["fastest_s"] > 0, title
            assert row["fastest_s"] <= row["median_s"], title
            assert len(row["times_s"]) == 2, title
            assert title in done.stdout
        assert rows[case["first"]][f"{case['first']} takes times"] == 1


def test_peers_start_from_the_same_weights_and_agree_before_anything_is_timed(tmp_path: Path) -> None:
    wrong = "return program._replace(result={**program.result, 'w1': 1.01 * program.result['w1']})"
    path = tmp_path / "found.json"
    done = run(own(tmp_path, wrong), "--quick", "--json", str(path))
    assert done.returncode == 1
    assert "another: w1 differs by 1.0e-02 of its norm; 1e-03 is allowed. Nothing was timed." in done.stderr
    assert "plain" not in done.stdout
    assert not path.exists()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("{}", "another gives nothing to compare"),
        ("{'b0': program.result['w0']}", "another: b0 has the shape (20, 30)"),
        ("{'b0': 0 * program.result['b0']}", "another: b0 differs"),
        ("{'b0': float('nan') * program.result['b0']}", "another: b0 differs"),
    ],
)
def test_other_results_are_refused(result: str, said: str, tmp_path: Path) -> None:
    done = run(own(tmp_path, f"return program._replace(result={result})"), "--quick")
    assert done.returncode == 1
    assert said in done.stderr


def test_the_right_peer_is_timed(tmp_path: Path) -> None:
    done = run(own(tmp_path, "return program"), "--quick", "--json", "-")
    assert done.returncode == 0, done.stderr
    (workload,) = json.loads(done.stdout)["workloads"].values()
    assert list(workload["cases"]["step"]["rows"]) == ["plain", "another"]
    assert "another" in done.stderr  # the table


@pytest.mark.parametrize("first", ["plain", "another"])
def test_a_peer_that_fails_is_told_and_the_others_are_timed(first: str, tmp_path: Path) -> None:
    path = own(tmp_path, "raise OSError('no compiler')")
    if first == "another":
        Path(path).write_text(
            Path(path).read_text("utf-8").replace("peers=peers", "peers=peers[::-1]"), "utf-8"
        )
    done = run(path, "--quick")
    assert done.returncode == 1
    assert "OSError: no compiler" in done.stdout
    assert "failed: another" in done.stdout
    assert "│ plain" in done.stdout or "| plain" in done.stdout


def test_missing_libraries_are_left_out_with_what_to_install(tmp_path: Path) -> None:
    done = run(own(tmp_path, "return program", "no_such_library"), "--quick")
    assert done.returncode == 0, done.stderr
    assert "left out: another, not installed: pip install no_such_library" in done.stdout


def test_without_a_workload_they_are_listed() -> None:
    done = run()
    assert done.returncode == 0
    listed = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("W")}
    assert list(listed) == WORKLOADS
    assert "784-30-10" in listed["W1"]


def test_help_teaches_and_unknown_workloads_and_cases_are_named() -> None:
    text = run("--help").stdout
    assert "examples:" in text
    assert "--threads" in text
    assert "no workload 'W0'; there are W1, " in run("W0").stderr
    wrong = run("W7", "--case", "typo")
    assert wrong.returncode == 1 and not wrong.stdout
    assert "no case 'typo' in W7; there are 'scalar', " in wrong.stderr
