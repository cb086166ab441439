"""The comparison of two runs of array-api-tests, on reports made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from conformance.compare import EXCEPTIONS, compare, exceptions_for, main, outcomes, summary

RAW = {"a": "passed", "b": "passed", "c": "failed", "d": "failed", "e": "skipped"}


def report(results: dict[str, str], message: str = "") -> dict[str, Any]:
    crash = {"crash": {"message": message}} if message else {}
    tests = [
        {"nodeid": test, "outcome": result, "setup": {}, "call": crash if result == "failed" else {}}
        for test, result in results.items()
    ]
    return {"collectors": [{"nodeid": "", "outcome": "passed"}], "tests": tests}


def compared(traced: dict[str, str], exceptions: set[str] | None = None) -> Any:
    return compare(outcomes(report(RAW)), outcomes(report(RAW | traced)), exceptions or set())


def test_the_same_outcomes() -> None:
    found = compared({})
    assert not found.worse
    assert not found.better
    assert not found.excepted


@pytest.mark.parametrize("result", ["failed", "error", "skipped", "xfailed"])
def test_what_the_raw_library_passes_must_pass(result: str) -> None:
    assert list(compared({"b": result}).worse) == ["b"]


def test_what_the_raw_library_fails_or_skips_may_fail() -> None:
    found = compared({"c": "passed", "e": "failed"})
    assert found.better == ["c"]
    assert list(found.worse) == ["e"]  # skipped raw, so nobody knows that the raw library fails it


def test_exceptions_may_fail_and_are_told_if_they_do_not() -> None:
    found = compared({"b": "failed"}, {"a", "b", "not here"})
    assert not found.worse
    assert found.excepted == ["b"]
    assert found.unused == ["a"]


def test_a_run_that_stopped_early_is_an_error() -> None:
    with pytest.raises(ValueError, match="no test ran"):
        outcomes({"tests": []})
    broken = report(RAW) | {"collectors": [{"nodeid": "test_x.py", "outcome": "failed"}]}
    with pytest.raises(ValueError, match=r"stopped early: test_x\.py"):
        outcomes(broken)


def test_runs_of_other_tests_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 are in one only, as new"):
        compared({"new": "passed"})


def test_the_summary_counts_and_names() -> None:
    traced = outcomes(report(RAW | {"b": "failed"}, "ValueError: no\nsecond line"))
    raw = outcomes(report(RAW))
    text = summary(raw, traced, compare(raw, traced, {"a"}))
    assert text.splitlines() == [
        "          passed  failed skipped",
        "raw            2       2       1",
        "traced         1       3       1",
        "0 fail as the exceptions say; 0 fail raw only",
        "an exception that did not fail: a",
        "FAILED b",
        "       ValueError: no",
        "1 fail that the raw library passes",
    ]


@pytest.mark.parametrize(
    ("listed", "code"), [("", 1), ("# why\n* b\n", 0), ("numpy b", 0), ("torch b", 1)], ids=repr
)
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str], listed: str, code: int) -> None:
    paths = [tmp_path / name for name in ("raw.json", "traced.json", "exceptions.txt")]
    paths[0].write_text(json.dumps(report(RAW)), "utf-8")
    paths[1].write_text(json.dumps(report(RAW | {"b": "failed"})), "utf-8")
    paths[2].write_text(listed, "utf-8")
    reports = [str(path) for path in paths[:2]]
    same = [reports[0], reports[0]]
    assert main(["numpy", *reports, *same, "--exceptions", str(paths[2])]) == code
    printed = capsys.readouterr().out
    assert printed.startswith("raw, traced\n")
    assert f"{code} fail that the raw library passes\nraw, raw\n" in printed
    with pytest.raises(SystemExit):
        main(["numpy", *reports, reports[0], "--exceptions", str(paths[2])])


def test_every_exception_has_a_reason_above_it() -> None:
    blocks = EXCEPTIONS.read_text("utf-8").strip().split("\n\n")
    assert len(blocks) > 1
    for block in blocks[1:]:
        lines = block.splitlines()
        assert lines[0].startswith("# ")
        assert exceptions_for("numpy", lines) | exceptions_for("jax", lines) | exceptions_for("torch", lines)
