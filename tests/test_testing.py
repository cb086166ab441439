"""bpkit.testing: namespaces in which everything is traced."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit._protocol import Backend
from bpkit.array import Array
from bpkit.backward import ReverseTrace
from bpkit.errors import GradientCutError, GradientCutWarning, UnknownBackendError
from bpkit.forward import ForwardTrace
from bpkit.kinds import raw
from bpkit.namespace.xp import CREATION, Namespace, namespace_of
from bpkit.rules.registry import RULES, elementwise
from bpkit.testing import traced_namespace
from bpkit.trace import call

MODES = ("reverse", "forward", "constant")

MAKERS: dict[str, Any] = {
    "arange": lambda xp: xp.arange(3.0),
    "asarray": lambda xp: xp.asarray([1.0, 2.0]),
    "empty": lambda xp: xp.empty(2),
    "empty_like": lambda xp: xp.empty_like(xp.ones(2)),
    "eye": lambda xp: xp.eye(2),
    "fftfreq": lambda xp: xp.fft.fftfreq(4),
    "from_dlpack": lambda xp: xp.from_dlpack(np.ones(2)),
    "full": lambda xp: xp.full(2, 3.0),
    "full_like": lambda xp: xp.full_like(xp.ones(2), 3.0),
    "linspace": lambda xp: xp.linspace(0.0, 1.0, 3),
    "ones": lambda xp: xp.ones(2),
    "ones_like": lambda xp: xp.ones_like(xp.ones(2)),
    "rfftfreq": lambda xp: xp.fft.rfftfreq(4),
    "zeros": lambda xp: xp.zeros(2),
    "zeros_like": lambda xp: xp.zeros_like(xp.ones(2)),
}


def test_every_creation_function_is_here() -> None:
    assert MAKERS.keys() == CREATION


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_is_traced(backend: Backend, mode: Any, name: str) -> None:
    made = MAKERS[name](traced_namespace(backend.name, mode))
    assert type(made) is Array
    assert backend.owns(type(raw(made)))
    assert (made._link is not None) == (mode != "constant")


@pytest.mark.parametrize(("mode", "trace"), [("reverse", ReverseTrace), ("forward", ForwardTrace)])
def test_the_engine_runs(mode: Any, trace: type) -> None:
    xp = traced_namespace("numpy", mode)
    x = xp.asarray([1.0, 2.0])
    y = xp.sin(x)
    assert isinstance(y._trace, trace)
    if mode == "forward":
        np.testing.assert_allclose(y._link, np.cos([1.0, 2.0]))
    else:
        assert [parent for parent, *_ in y._link.edges] == [x._link]
    x[0] = y[1]
    np.testing.assert_allclose(raw(x), [np.sin(2.0), 2.0])
    assert x._link is not None


@pytest.mark.parametrize("mode", MODES)
def test_integers_and_booleans_depend_on_no_input(mode: Any) -> None:
    xp = traced_namespace("numpy", mode)
    for x in (xp.asarray([1, 2]), xp.zeros(2, dtype=xp.bool), xp.arange(3)):
        assert type(x) is Array
        assert x._link is None
        assert np.asarray(x).shape == x.shape


@pytest.mark.parametrize("mode", MODES)
def test_asarray_of_its_own_array_is_that_array(mode: Any) -> None:
    xp = traced_namespace("numpy", mode)
    x = xp.ones(2)
    y = xp.sin(x)
    assert xp.asarray(x) is x
    assert xp.asarray(y) is y
    assert xp.from_dlpack(y, device=y.device, copy=False) is y
    z = xp.asarray(y, copy=True)
    assert (z._link is None) == (mode == "constant")
    if mode == "reverse":
        assert z._link.edges


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_inputs_refuse_silent_detachment(mode: Any) -> None:
    x = traced_namespace("numpy", mode).ones(2)
    with pytest.raises(GradientCutError, match=r"numpy\.asarray"):
        np.asarray(x)
    with pytest.raises(GradientCutError, match="DLPack"):
        np.from_dlpack(x)
    assert x.__dlpack_device__() == (1, 0)
    with pytest.warns(GradientCutWarning):
        float(x[0])


def test_constants_can_be_exported(backend: Backend) -> None:
    x = traced_namespace(backend.name, "constant").asarray([1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(x), [1.0, 2.0])
    np.testing.assert_array_equal(np.from_dlpack(x), [1.0, 2.0])
    np.testing.assert_array_equal(np.from_dlpack(x, copy=True), [1.0, 2.0])


def test_constants_are_those_of_an_array_s_own_namespace() -> None:
    xp = traced_namespace("array_api_strict", "constant")
    assert xp is namespace_of(bpkit.registry.get_backend("array_api_strict"))
    assert xp.ones(2).__array_namespace__() is xp


def test_a_rule_that_cannot_be_carried_back_is_found() -> None:
    xp = traced_namespace("numpy", "reverse")
    elementwise("test_testing.wrong", x=lambda x: xp.ones((7,)))
    bpkit.evaluate.definition("test_testing.wrong")(lambda xp, x: xp.sin(x))
    try:
        with pytest.raises(ValueError, match="shape"):
            call("test_testing.wrong", xp.ones(3))
        assert call("test_testing.wrong", traced_namespace("numpy", "constant").ones(3)).shape == (3,)
    finally:
        del RULES["test_testing.wrong"], bpkit.evaluate._definitions["test_testing.wrong"]


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_on_its_arrays(mode: Any) -> None:
    xp = traced_namespace("numpy", mode)
    found = bpkit.grad(lambda x: xp.sum(xp.sin(x) * xp.ones(2)))(xp.asarray([0.0, 1.0]))
    np.testing.assert_allclose(raw(found), np.cos([0.0, 1.0]))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_kept(mode: Any) -> None:
    xp = traced_namespace("numpy", mode)
    x = xp.ones(4)
    gone = [weakref.ref(x), weakref.ref(xp.sin(x) + 1)]
    trace = x._trace
    del x
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert trace.entered == []


@pytest.mark.parametrize("mode", MODES)
def test_one_namespace_for_one_backend_and_mode(mode: Any) -> None:
    xp = traced_namespace("numpy", mode)
    assert isinstance(xp, Namespace)
    assert traced_namespace("numpy", mode) is xp
    assert traced_namespace(mode=mode) is xp
    assert pickle.loads(pickle.dumps(xp)) is xp
    assert copy.deepcopy(xp) is xp
    assert xp.float32 == np.float32
    assert "numpy" in xp.__name__


def test_unknown_modes_and_backends() -> None:
    with pytest.raises(ValueError, match=r"mode must be 'reverse', 'forward' or 'constant', got 'backward'"):
        traced_namespace("numpy", "backward")
    with pytest.raises(UnknownBackendError, match="nampy"):
        traced_namespace("nampy")


def test_a_number_is_formatted_on_every_backend(backend: Backend) -> None:
    xp = traced_namespace(backend.name)
    found = [f"{xp.asarray(x):>8}" for x in (2.5, 3, True)]
    assert found == [f"{x:>8}" for x in (2.5, 3, True)]
    assert f"{xp.asarray(0.125):.2e} {xp.asarray(7):03d} {xp.asarray(1 + 2j):.1f}" == "1.25e-01 007 1.0+2.0j"
    assert f"{xp.asarray(2.5)}" == repr(xp.asarray(2.5))
    with pytest.raises(TypeError):
        format(xp.asarray([1.0, 2.0]), ".2e")


def test_the_traced_namespace_takes_the_place_of_array_api_strict() -> None:
    program = """if True:
        from conformance.in_place_of_strict import take_the_place
        take_the_place()
        import array_api_strict
        from array_api_strict import linalg
        x = array_api_strict.ones(2, device=array_api_strict.Device("device1"))
        assert x.__array_namespace__() is array_api_strict
        print(array_api_strict.__name__, type(x).__name__, x.device)
    """
    tests = str(Path(__file__).parent)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == "array_api_strict Array array_api_strict.Device('device1')\n"
