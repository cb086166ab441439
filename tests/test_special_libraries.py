"""Where the values of xp.special come from, and SciPy as a caller of it."""

import importlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit._protocol import Backend
from bpkit.errors import NoSuchFunctionError
from bpkit.namespace import special

scipy_special = pytest.importorskip("scipy.special")


# Where values come from.

WITHOUT_SCIPY = """
import sys
sys.modules["scipy"] = None
import bpkit
from bpkit import xp
x = xp.asarray([0.5])
print(bpkit.grad(lambda x: xp.sum(xp.special.xlogy(x, x) + xp.special.huber(1.0, x)))(x))
try:
    xp.special.betainc(1.0, 2.0, x)
except bpkit.errors.BackendNotInstalledError as error:
    print(error)
"""


def python(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_scipy_definitions_work_and_the_rest_says_what_to_install() -> None:
    slope, message = python(WITHOUT_SCIPY).splitlines()
    assert float(slope.strip("[]")) == pytest.approx(math.log(0.5) + 1 + 0.5)
    assert message == (
        "special.betainc takes its values from SciPy, which is not installed in this environment; "
        "install it: pip install scipy"
    )


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_torchs_own_autograd_is_not_cut_silently(backend: Backend) -> None:
    x = backend.from_host(np.asarray([0.5])).requires_grad_()
    with pytest.raises(
        NoSuchFunctionError, match=r"special.betainc: torch has none, so its own autograd cannot"
    ):
        special.betainc(1.0, 2.0, x)
    special.erf(x).sum().backward()
    assert float(x.grad[0]) == pytest.approx(2 / math.sqrt(math.pi) * math.exp(-0.25))


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_tensors_off_the_machines_memory_are_refused_where_torch_has_no_function(backend: Backend) -> None:
    x = importlib.import_module("torch").ones(2, device="meta")
    message = (
        r"special.ellipk: torch has none for tensors on meta, and SciPy's works in the machine's memory "
        r'only. Compute it there: bpkit.registry.get_backend\("torch"\).to_host\(x\) gives x as a NumPy array'
    )
    with pytest.raises(NoSuchFunctionError, match=message):
        special.ellipk(x)
    assert special.betaln(x, x).shape == (2,)


def test_cupy_refuses_by_name_what_it_does_not_have() -> None:
    backend = importlib.import_module("bpkit.backends.cupy_backend").CupyBackend()
    with pytest.raises(NoSuchFunctionError, match=r"special.hyp1f1: cupy has none, and SciPy's works in"):
        backend.special_on_host("hyp1f1")


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_scipys_functions_run_inside_jaxs_jit(backend: Backend) -> None:
    jax = importlib.import_module("jax")
    x = backend.from_host(np.asarray([0.5, 1.5]))
    slope = bpkit.grad(lambda x: xp.sum(special.j0(x)))
    np.testing.assert_array_equal(jax.jit(slope)(x), slope(x))
    np.testing.assert_array_equal(jax.vmap(special.j0)(x), special.j0(x))


# SciPy as the caller.

FROM_SCIPY = """
import inspect
import numpy as np
import scipy.special
import bpkit
from bpkit import xp
from scipy.special._support_alternative_backends import __all__ as names

same = []
for name in sorted(set(names) - {"zetac"}):
    own, scipys = getattr(xp.special, name), getattr(scipy.special, name)
    count = 2 if name == "zeta" else len(inspect.signature(own).parameters)
    before = [2.0, 5.0] if name.startswith(("bdtr", "nbdtr")) else [1.0, 2.0][: count - 1]
    x = np.asarray([2.5] if name == "multigammaln" else [0.5, 0.625])
    slopes = []
    for f in (own, scipys):
        fun = (lambda x: f(x, 2)) if name == "multigammaln" else (lambda x: f(*before, x))
        slopes.append(bpkit.grad(lambda x: xp.sum(fun(x)))(x))
    np.testing.assert_array_equal(*slopes, err_msg=name)
    same.append(name)
print(len(same))
"""


def test_scipy_finds_every_function_it_looks_up_and_its_gradient() -> None:
    assert int(python(FROM_SCIPY, SCIPY_ARRAY_API="1")) >= 91
