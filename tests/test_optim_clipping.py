"""Clipping gradients, and the norm by which that is done."""

import math

import numpy as np
import pytest
from test_optim_wrappers import SGD, Training, close, on_host  # type: ignore[import-not-found]

import bpkit
from bpkit import namespace as xp
from bpkit import optim, tree
from bpkit.errors import ArgumentError, NonFiniteError, RecordingError


@pytest.mark.parametrize(
    ("max_norm", "norm_type", "jit"),
    [
        (0.3, 2.0, False),
        (0.3, 2.0, True),
        (0.3, 1.0, False),
        (0.3, 3.5, True),
        (0.3, math.inf, False),
        (5.0, 2.0, False),
        (0.0, 2.0, False),
    ],
)
@pytest.mark.usefixtures("backend")
def test_clip_by_norm_is_that_of_torch(max_norm: float, norm_type: float, jit: bool) -> None:
    training = Training()
    torch = training.torch
    reference = torch.optim.SGD(training.theirs, lr=0.2, momentum=0.9)
    norms = []

    def clip() -> None:
        norms.append(float(torch.nn.utils.clip_grad_norm_(training.theirs, max_norm, norm_type)))

    optimizer = optim.clip_by_norm(optim.sgd(0.2, momentum=0.9), max_norm, norm_type)
    state = training.run(optimizer, reference, clip, jit)
    np.testing.assert_allclose(float(optim.gradient_norm(state)), norms[-1], rtol=1e-12)
    if max_norm == 0.3:
        assert max(norms) > max_norm


@pytest.mark.usefixtures("backend")
def test_clip_by_value_is_that_of_torch() -> None:
    training = Training()
    torch = training.torch
    reference = torch.optim.Adam(training.theirs, lr=0.01)
    training.run(
        optim.clip_by_value(optim.adam(0.01), 0.05),
        reference,
        lambda: torch.nn.utils.clip_grad_value_(training.theirs, 0.05),
    )


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.usefixtures("backend")
def test_global_norm(norm_type: float) -> None:
    values = {"w": xp.asarray([[3.0, -4.0]]), "b": xp.asarray(12.0), "none": None, "empty": xp.zeros((0, 2))}
    norm = optim.global_norm(values, norm_type)
    assert norm.shape == ()
    np.testing.assert_allclose(float(norm), np.linalg.norm([3.0, 4.0, 12.0], norm_type), rtol=1e-6)
    assert float(optim.global_norm({}, norm_type)) == 0.0
    plane = xp.asarray(np.asarray([3.0 + 4.0j, 0.0]))
    assert float(optim.global_norm([plane], norm_type)) == pytest.approx(5.0, rel=1e-14)


@pytest.mark.usefixtures("backend")
def test_a_norm_can_be_differentiated() -> None:
    x = xp.asarray([3.0, -4.0, 5.0])
    bpkit.check_grads(lambda x: optim.global_norm({"x": x, "y": x[:1]}, 3.0), (x,))


def test_a_norm_of_half_precision_does_not_overflow() -> None:
    norm = optim.global_norm([np.full(4, 300.0, np.float16), np.full(1, 1.0, np.float16)])
    assert norm.dtype == np.float32
    np.testing.assert_allclose(norm, math.sqrt(4 * 300.0**2 + 1), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.usefixtures("backend")
def test_a_norm_that_is_not_finite_is_as_in_torch(bad: float) -> None:
    torch = pytest.importorskip("torch")
    grads = {"v": xp.asarray([1.0, 2.0]), "w": xp.asarray([bad, 1.0])}
    params = {"v": xp.asarray([1.0, 2.0]), "w": xp.asarray([1.0, 2.0])}
    theirs = [torch.nn.Parameter(torch.tensor(on_host(p))) for p in tree.leaves(params)]
    for p, g in zip(theirs, tree.leaves(grads), strict=True):
        p.grad = torch.tensor(on_host(g))
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    torch.optim.SGD(theirs, lr=1.0).step()
    optimizer = optim.clip_by_norm(optim.sgd(1.0), 1.0)
    new, state = optimizer.update(grads, optimizer.init(params), params)
    for ours, p in zip(tree.leaves(new), theirs, strict=True):
        close(ours, p)
    np.testing.assert_equal(float(optim.gradient_norm(state)), bad)


@pytest.mark.usefixtures("backend")
def test_a_norm_that_is_not_finite_is_named() -> None:
    optimizer = optim.clip_by_norm(optim.sgd(1.0), 1.0, error_if_nonfinite=True)
    params = {"v": xp.asarray([1.0, 2.0]), "w": xp.asarray([1.0, 2.0])}
    state = optimizer.init(params)
    fine, _ = optimizer.update(params, state, params)
    assert float(fine["v"][0]) < 1.0
    for bad in (math.nan, math.inf, -math.inf):
        grads = {**params, "w": xp.asarray([1.0, bad])}
        with pytest.raises(NonFiniteError, match=rf"is {abs(bad)}, since grads\['w'\] is not finite; try"):
            optimizer.update(grads, state, params)
    with pytest.raises(RecordingError) as caught:
        bpkit.jit(optimizer.update)(params, state, params)
    assert "gradient_norm(state) after the step" in "".join(caught.value.__notes__)


def test_a_norm_that_overflows_is_named() -> None:
    optimizer = optim.clip_by_norm(optim.sgd(1.0), 1.0, error_if_nonfinite=True)
    x = np.full(3, 1e30, np.float32)
    with (
        np.errstate(over="ignore"),
        pytest.raises(NonFiniteError, match=r"though each number is finite: they are too large for float32"),
    ):
        optimizer.update(x, optimizer.init(x), x)


def test_numbers_that_have_no_order_are_not_clipped() -> None:
    with pytest.raises(
        ArgumentError, match=r"^clip_by_value\.init: params\['z'\] has dtype complex128; clip_by"
    ):
        optim.clip_by_value(SGD, 1.0).init({"z": np.ones(2, np.complex128)})
