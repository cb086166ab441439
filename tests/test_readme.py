"""The README says what happens."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bpkit.cli import main

README = Path(__file__).parent.parent / "README.md"


def test_the_ten_lines_print_what_the_readme_shows(tmp_path):
    program, shown = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", README.read_text(), re.DOTALL
    ).groups()
    script = tmp_path / "ten_lines.py"
    script.write_text(program)
    ran = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        env={"BPKIT_BACKEND": "numpy"},
    )
    assert ran.stderr == ""
    assert ran.stdout == shown


def test_the_same_lines_run_on_every_backend(backend):
    program = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    namespace: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), namespace)
    gradient = namespace["bpkit"].grad(namespace["loss"])(namespace["params"], namespace["x"])
    assert backend.owns(type(gradient["w"])) and backend.owns(type(gradient["b"]))
    assert abs(float(gradient["w"][0]) + 0.5738725) < 1e-6


def test_debug_nans_says_what_the_readme_shows(tmp_path):
    text = README.read_text().partition("This is `roots.py`")[2]
    program, shown = re.search(r"```py\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL).groups()
    (tmp_path / "roots.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "roots.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"BPKIT_BACKEND": "numpy"},
    )
    assert ran.returncode == 1
    assert ran.stderr.endswith("\n" + shown)


def test_links_to_files_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).stat().st_size > 100, link


def test_the_plain_numpy_program_prints_what_its_comment_says():
    program = re.search(r"```py\n(import numpy.*?)```", README.read_text(), re.DOTALL)[1]
    shown = re.search(r"\)  # (.*)", program)[1]
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (ran.stderr, ran.stdout) == ("", shown + "\n")


def test_the_wrong_derivative_is_found_as_the_readme_shows(tmp_path):
    program, command, shown = re.search(
        r"With this in `square.py`\n\n```py\n(.*?)```\n\n`\.venv/bin/bpkit (.*?)` .*?\n```\n(.*?)```",
        README.read_text(),
        re.DOTALL,
    ).groups()
    (tmp_path / "square.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "bpkit", *command.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"BPKIT_BACKEND": "numpy", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
    )
    assert ran.returncode == 1
    assert ran.stdout + ran.stderr == shown


def test_a_saved_network_is_read_as_the_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "1", "--hidden", "8", "--quiet"]) == 0
    (folder,) = Path("runs").iterdir()
    program = re.search(r"```py\n(from bpkit import training\n.*?)```", README.read_text(), re.DOTALL)[1]
    namespace: dict[str, Any] = {"image": np.zeros(64, dtype=np.float32)}
    exec(compile(program.replace("runs/NAME", str(folder)), "README.md", "exec"), namespace)
    assert namespace["logits"].shape == (10,)
    loaded = re.search(r"# (model = training.load_model.*)", program)[1].replace("runs/NAME", str(folder))
    exec(loaded, namespace)


def test_no_program_of_the_readme_is_left_out():
    # Ten lines, plain NumPy, roots.py, square.py and a saved network: one test each above.
    assert len(re.findall(r"^```py", README.read_text(), re.MULTILINE)) == 5
