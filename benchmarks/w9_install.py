"""W9: what `import` takes in a new process, and how large what is installed is, with all that it requires.

The limits that bpkit keeps are tested in ``tests/test_import.py`` and ``tests/test_package.py``, the second
in an environment that holds nothing else.
"""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

from benchmarks.harness import INSTALL, Peer, Program, Workload


def required(distribution: str, known: dict[str, metadata.Distribution]) -> None:
    """Add a distribution and what it requires here to those known."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    name = canonicalize_name(distribution)
    if name in known:
        return
    known[name] = metadata.distribution(name)
    for line in known[name].requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required(requirement.name, known)


def size_bytes(module: str, distribution: str) -> int:
    """What lies on the disk of a distribution and its requirements, without compiled Python."""
    known: dict[str, metadata.Distribution] = {}
    required(distribution, known)
    files = {Path(file.locate()) for found in known.values() for file in found.files or ()}
    # An editable installation lists no files.
    for folder in util.find_spec(module).submodule_search_locations:
        files |= set(Path(folder).rglob("*"))
        files |= {path for link in Path(folder).iterdir() if link.is_symlink() for path in link.rglob("*")}
    return sum(path.stat().st_size for path in files if path.is_file() and path.suffix != ".pyc")


def importing(module: str, distribution: str) -> Callable[[dict[str, Any]], Program]:
    """A new process that imports a module."""

    def make(case: dict[str, Any]) -> Program:
        command = [sys.executable, "-c", f"import {module}"]
        note = f"{size_bytes(module, distribution) / 1e6:,.0f} MB" if distribution else ""
        return Program(lambda: subprocess.run(command, check=True), None, note=note)

    return make


WORKLOAD = Workload(
    title="importing a library in a new process; size with all that it requires",
    cases={"import": {}},
    quick={"import": {}},
    reference=lambda case: {},
    own={},
    peers=[
        Peer("bpkit", "bpkit", importing("bpkit", "bpkit-backprop")),
        Peer("Python alone", "numpy", importing("sys", "")),
        Peer("NumPy", "numpy", importing("numpy", "numpy")),
        *[Peer(name, name, importing(name, distribution)) for name, distribution in INSTALL.items()],
    ],
)
