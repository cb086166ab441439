"""What ``import bpkit`` loads, and what it costs."""

import os
import subprocess
import sys

LIMIT_MS = 100
RUNS = 9

ALLOWED = {"bpkit", "numpy", "optree", "typing_extensions"}
"""Top-level packages that ``import bpkit`` may load; NumPy's and optree's own dependencies included."""

LOADED = """
import sys
before = set(sys.modules)
import numpy, bpkit
print(*sorted(set(sys.modules) - before))
"""

COST = """
import time
import numpy
start = time.thread_time()
import bpkit
print(time.thread_time() - start)
"""


def python(script: str) -> str:
    # Compiled once and kept, as Python does unless it is told not to.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_no_array_library_but_numpy_and_nothing_heavy() -> None:
    modules = python(LOADED).split()
    assert "bpkit" in modules
    foreign = {
        name
        for name in modules
        if (top := name.partition(".")[0]) not in ALLOWED | sys.stdlib_module_names
        and not top.startswith("__editable__")
    }
    assert not foreign


def test_import_costs_little_over_numpy() -> None:
    # The importing thread's processor time (BLAS's own threads spin for a while after NumPy starts them), and
    # the best of several runs: whatever else the machine does can only add to it.
    cost_ms = 1e3 * min(float(python(COST)) for _ in range(RUNS))
    assert cost_ms <= LIMIT_MS, f"{cost_ms:.0f} ms"


ON_FIRST_USE = """
import sys
import bpkit
assert not {"bpkit.data", "bpkit.transforms.checking", "importlib.metadata"} & set(sys.modules)
assert {"check_grads", "data"} <= set(dir(bpkit))
bpkit.check_grads(lambda x: x, (1.0,))
print(bpkit.data.digits().name)
from bpkit import data
assert data is bpkit.data
try:
    bpkit.date
except AttributeError as error:
    print(error)
"""


def test_data_and_the_list_of_packages_are_loaded_on_first_use() -> None:
    assert python(ON_FIRST_USE).splitlines() == ["digits", "module 'bpkit' has no attribute 'date'"]
