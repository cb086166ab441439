"""What errors of other code say when it was given a traced value."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import xp

# Other code that is given a traced value.


def noted(run: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        run()
    (note,) = [note for note in caught.value.__notes__ if "JAX has removed" not in note]
    return note


@pytest.mark.parametrize("transform", [bpkit.vmap, bpkit.jit])
def test_elements_of_plain_arrays_under_vmap_and_jit(transform: Callable[..., Any]) -> None:
    def fill(x: Any) -> Any:
        y = np.zeros(3)
        y[0] = x[0] * 2.0
        return y

    note = noted(lambda: transform(fill)(np.ones((2, 3))), ValueError)
    assert re.match(
        r"float\(\) of a value that (differs between the examples of vmap|depends on the arg)", note
    )
    assert "make that array with bpkit.xp.zeros(...) or numpy.zeros_like(x)" in note
    assert "test_errors_of_others.py" in note and "y[0] = x[0] * 2.0" in note

    def right(x: Any) -> Any:
        y = xp.zeros(3)
        y[0] = x[0] * 2.0
        return y

    x = np.ones((2, 3))[:, 0] if transform is bpkit.jit else np.ones((2, 3))
    assert np.sum(transform(right)(x)) in (2.0, 4.0)


@pytest.mark.parametrize(
    "function",
    [
        lambda jax, x: jax.numpy.sin(x),
        lambda jax, x: jax.numpy.sum(x),
        lambda jax, x: jax.numpy.where(x > 0, x, 0.0),
        lambda jax, x: jax.nn.relu(x),
        lambda jax, x: jax.lax.sin(x),
    ],
)
def test_functions_of_jax_are_answered_with_those_of_bpkit(function: Callable[..., Any]) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones(3)
    for run in (
        lambda: bpkit.grad(lambda x: xp.sum(function(jax, x)))(x),
        lambda: bpkit.vmap(bpkit.grad(lambda x: xp.sum(function(jax, x))))(x[None, :]),
    ):
        note = noted(run, TypeError)
        assert "a value that is traced by bpkit was passed to a function that takes arrays of its own" in note
        assert "Write it with the functions of bpkit.xp (or x.__array_namespace__())" in note
        assert "test_errors_of_others.py" in note


_SCIPY = """
import os, sys
sys.path.insert(0, {path!r})
import numpy as np
import scipy.linalg, scipy.special, scipy.stats
from scipy.spatial import distance
import bpkit
from bpkit import grad, xp
x = np.asarray([0.3, 0.5, 0.7])
for f in (
    lambda x: scipy.stats.norm.logpdf(x),
    lambda x: distance.cdist(x[None, :], x[None, :]),
    lambda x: scipy.linalg.solve(np.eye(3), x),
    lambda x: scipy.special.logsumexp(x),
    lambda x: scipy.special.jv(1.0, x),
):
    try:
        print("right", grad(lambda x: xp.sum(f(x)))(x))
    except TypeError as error:
        print(" ".join([*map(str, error.args), *getattr(error, "__notes__", [])]))
"""


@pytest.mark.parametrize("switch", ["", "1"])
def test_scipy_says_what_to_set_and_what_has_no_path(switch: str) -> None:
    pytest.importorskip("scipy")
    environment = {**os.environ, "SCIPY_ARRAY_API": switch}
    code = _SCIPY.format(path=str(Path(bpkit.__file__).parents[1]))
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    *refused, logsumexp, bessel = found.stdout.splitlines()
    names = ("scipy.stats.rv_continuous.logpdf", "scipy.spatial.distance.cdist", "scipy.linalg.solve")
    for name, text in zip(names, refused, strict=True):
        assert f"in {name}" in text
        assert ("SCIPY_ARRAY_API=1 was set before it was imported" in text) is not bool(switch)
        assert "no array-API path" in text and "with the functions of bpkit.xp" in text
    if switch:
        assert logsumexp.startswith("right [")
    else:
        assert "in scipy.special.logsumexp: SciPy works with" in logsumexp
    assert bessel.startswith("scipy.special.jv of a value traced by grad")
    assert "the function itself, which is compiled code, would lose the gradient" in bessel


@pytest.mark.parametrize(
    "f",
    [
        lambda w: [[1.0, 2.0]] @ w,
        lambda w: w @ [[1.0], [2.0]],
        lambda w: xp.matmul(w, 3.0),
        lambda w: 2.0 @ w,
    ],
)
def test_a_product_with_what_is_no_array_keeps_its_own_error(f: Any) -> None:
    for transform in (bpkit.grad(lambda w: xp.sum(f(w))), bpkit.jit(f)):
        with pytest.raises((TypeError, ValueError), match=r"expected an array|matmul: Input operand"):
            transform(np.ones((2, 1)))
