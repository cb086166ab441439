"""What the bridge to PyTorch keeps while PyTorch's modes, generators and writes are at work around it."""

import warnings

import numpy as np
import pytest

import bpkit
from bpkit import nn, random, xp
from bpkit.errors import ArgumentError, MixedBackendsError

torch = pytest.importorskip("torch")

from bpkit.interop.torch import from_torch, to_torch, to_torch_module  # noqa: E402


@pytest.fixture(params=[None, "numpy"])
def library(request):
    """Where a function of bpkit runs while PyTorch differentiates it."""
    return request.param


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


# Modes.


def test_derivatives_of_torch_s_functions_in_inference_mode():
    x, t = np.asarray([1.0, 2.0]), np.asarray([1.0, 0.5])
    sine = from_torch(torch.sin)
    model = from_torch(torch.nn.Linear(2, 1, dtype=torch.float64))
    expected = bpkit.grad(lambda m: xp.sum(m(torch.ones(1, 2, dtype=torch.float64))))(model)
    with torch.inference_mode():
        inside = torch.ones(1, 2, dtype=torch.float64)
        got = bpkit.grad(lambda m: xp.sum(m(inside)))(model)
        np.testing.assert_allclose(bpkit.grad(lambda x: xp.sum(sine(x)))(x), np.cos(x))
        np.testing.assert_allclose(bpkit.jvp(sine, (x,), (t,))[1], np.cos(x) * t)
        np.testing.assert_allclose(bpkit.hessian(lambda x: xp.sum(sine(x)))(x), np.diag(-np.sin(x)))
        np.testing.assert_allclose(bpkit.vmap(bpkit.grad(sine))(x), np.cos(x))
        assert torch.is_inference_mode_enabled()
    for name, slope in expected.weights.items():
        assert torch.equal(got.weights[name], slope) and bool((slope != 0).all())
    np.testing.assert_allclose(
        bpkit.grad(lambda x: xp.sum(sine(x)))(inside).numpy(), np.cos(1.0) + 0 * inside
    )


@pytest.mark.parametrize("backward_inside", [True, False])
def test_autocast_does_not_reach_in(library, backward_inside):
    x, w = torch.ones(2, 3, requires_grad=True), torch.full((3, 2), 0.5, requires_grad=True)
    before = torch.nn.Linear(3, 3)
    fun = to_torch(lambda x, w: xp.tanh(x @ w), backend=library)
    with torch.autocast("cpu", torch.bfloat16):
        half = before(x)
        assert half.dtype == torch.bfloat16
        y = fun(half, w)
        if backward_inside:
            y.sum().backward()
    if not backward_inside:
        y.sum().backward()
    got, w.grad = w.grad, None
    torch.tanh(half.detach().float() @ w).sum().backward()
    assert y.dtype == torch.float32
    torch.testing.assert_close(got, w.grad)
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())


def test_a_result_that_autocast_made_narrow_says_so():
    x = np.ones((2, 2), dtype="float32")
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ArgumentError, match=r"torch\.autocast is on"):
        from_torch(lambda x: x @ x)(x)


def test_torch_s_older_vmap_is_refused_with_the_newer_one_s_name():
    fun, x = to_torch(xp.sin), leaf(1.0, 2.0)
    with pytest.raises(ArgumentError, match=r"torch\.func\.jacrev"):
        torch.autograd.functional.jacobian(fun, x, vectorize=True)
    with pytest.raises(ArgumentError, match=r"is_grads_batched"):
        torch.autograd.grad(fun(x), x, torch.eye(2, dtype=torch.float64), is_grads_batched=True)
    rows = torch.func.jacrev(fun)(x.detach())
    torch.testing.assert_close(rows, torch.diag(torch.cos(x.detach())))


# Random numbers.


def test_a_function_that_is_run_again_draws_the_same_numbers(library):
    x = leaf(1.0, 2.0, 3.0)

    def fun(x):
        noise = torch.rand(3, dtype=torch.float64)
        return xp.sum(x**3 * (noise if library is None else noise.numpy()))

    torch.manual_seed(3)
    y = to_torch(fun, backend=library)(x)
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    after = torch.get_rng_state()
    (second,) = torch.autograd.grad(y, x, retain_graph=True)
    (curved,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(after, torch.get_rng_state())
    torch.manual_seed(3)
    noise = torch.rand(3, dtype=torch.float64)
    torch.testing.assert_close(first, 3 * x**2 * noise)
    assert torch.equal(first, second)
    torch.testing.assert_close(curved, (6 * x * noise).detach())


def test_a_module_draws_only_for_layers_that_do():
    one, two = random.split(random.key(0))
    still = to_torch_module(nn.Sequential(nn.Dense(2, 2, key=one), nn.tanh))
    x = torch.ones(3, 2, dtype=torch.float64)
    before = torch.get_rng_state()
    expected = still(x)
    assert torch.equal(before, torch.get_rng_state())
    state = dict(still.named_parameters())
    rows = torch.func.vmap(lambda x: torch.func.functional_call(still, state, (x[None],))[0])(x)
    torch.testing.assert_close(rows, expected)
    drawing = to_torch_module(nn.Sequential(nn.Dense(2, 2, key=two), nn.Dropout(0.5)))
    torch.manual_seed(0)
    first = drawing(x)
    assert not torch.equal(before, torch.get_rng_state())
    torch.manual_seed(0)
    assert torch.equal(first, drawing(x)) and not torch.equal(first, drawing(x))
    (once,) = torch.autograd.grad(first.sum(), drawing.get_parameter("layers.0.bias"), retain_graph=True)
    (again,) = torch.autograd.grad(first.sum(), drawing.get_parameter("layers.0.bias"))
    assert torch.equal(once, again)


def test_under_vmap_the_same_draw_for_all_must_be_asked_for():
    module = to_torch_module(nn.Dropout(0.5))
    rows = torch.ones(3, 64, dtype=torch.float64)
    for randomness in ("error", "different"):
        with pytest.raises(ArgumentError, match="the same for every example"):
            torch.func.vmap(module, randomness=randomness)(rows)
    same = torch.func.vmap(module, randomness="same")(rows)
    assert torch.equal(same[0], same[1]) and 0 < int((same[0] == 0).sum()) < 64


# Writes and constants.


def test_a_write_inside_is_seen_inside_only(library):
    def centred(x):
        x -= xp.mean(x)
        x[0] = 5.0
        return x * 2

    fun = to_torch(centred, backend=library)
    x = torch.tensor([1.0, 3.0])
    assert fun(x).tolist() == [10.0, 2.0] and x.tolist() == [1.0, 3.0]
    with torch.no_grad():
        kept = leaf(1.0, 3.0)
        assert fun(kept).tolist() == [10.0, 2.0] and kept.tolist() == [1.0, 3.0]
    assert torch.func.vmap(fun)(x.reshape(1, 2)).tolist() == [[10.0, 2.0]] and x.tolist() == [1.0, 3.0]


def test_a_function_of_torch_that_writes_has_a_copy():
    fun = from_torch(lambda x: x.mul_(2))
    x = np.asarray([1.0, 2.0])
    ways = (
        lambda: fun(x),
        lambda: bpkit.jit(fun)(x),
        lambda: bpkit.vmap(fun)(x),
        lambda: bpkit.jvp(fun, (x,), (x,))[1],
    )
    for way in ways:
        assert way().tolist() == [2.0, 4.0] and x.tolist() == [1.0, 2.0]
    assert bpkit.grad(lambda x: xp.sum(fun(x) ** 2))(x).tolist() == [8.0, 16.0] and x.tolist() == [1.0, 2.0]
    assert bpkit.hessian(lambda x: xp.sum(fun(x) ** 2))(x).tolist() == [[8.0, 0.0], [0.0, 8.0]]
    assert bpkit.vmap(bpkit.grad(fun))(x).tolist() == [2.0, 2.0] and x.tolist() == [1.0, 2.0]


def test_a_constant_of_another_library_is_one_error():
    fun = to_torch(lambda x: x * np.ones(2))
    for x in (torch.ones(2), torch.ones(2, requires_grad=True)):
        with pytest.raises(MixedBackendsError, match="two libraries"):
            fun(x)


# Errors.


def test_mistakes_have_advice_of_their_own():
    for transform in (to_torch, from_torch):
        with pytest.raises(ArgumentError, match="it is the int 3") as raised:
            transform(3)
        assert "Pass the function" not in str(raised.value)
    with pytest.raises(ArgumentError, match="argument 1 must be a tensor"):
        to_torch(lambda x, y: x)(torch.ones(2), np.ones(2))
    with pytest.raises(ArgumentError, match="keyword argument w must be a tensor"):
        to_torch(lambda x, w: x)(torch.ones(2), w=np.ones(2))
    model = from_torch(torch.nn.BatchNorm1d(2))
    with pytest.raises(ArgumentError, match=r"nn\.partition\(model\)"):
        bpkit.grad(lambda m: xp.sum(m(torch.ones(3, 2))))(model)


def test_compiling_a_training_module_warns_of_nothing():
    module = to_torch_module(nn.Sequential(nn.Dense(2, 1, key=random.key(0)), nn.tanh))
    compiled = torch.compile(module, backend="eager")
    x = torch.ones(3, 2, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=r".torch\.jit\.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor")
        torch.testing.assert_close(compiled(x), module(x))
