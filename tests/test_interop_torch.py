"""Functions and models of bpkit in PyTorch, and PyTorch's in bpkit."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import bpkit
from bpkit import nn, optim, random, tree, xp
from bpkit.errors import ArgumentError, GradientCutError, MixedBackendsError

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from bpkit.interop.torch import from_torch, to_torch, to_torch_module  # noqa: E402

# What PyTorch itself does on the way: forward mode compiles with torch.jit.script, and a graph that breaks is
# asked for the gradients of its intermediate tensors.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:.torch\.jit\.:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning"),
]


@pytest.fixture(params=[None, "numpy"])
def library(request):
    """Where a function of bpkit runs while PyTorch differentiates it."""
    return request.param


@pytest.fixture(params=[None, "numpy", "jax"])
def any_library(request):
    """The same with JAX, which compiles each function for itself."""
    if request.param is not None:
        pytest.importorskip(request.param)
    return request.param


def tensor(*shape, seed=0, dtype=torch.float64, grad=True):
    values = np.random.default_rng(seed).normal(size=shape)
    return torch.asarray(values).to(dtype).requires_grad_(grad)


def mixed(x, tree):
    """Several results of several arguments in trees, one of integers, and one result that has no gradient."""
    w = tree["w"][0]
    return {
        "a": xp.sum(xp.sin(x) * w**2, axis=0),
        "b": (xp.exp(x[0, :]) * xp.take(w, tree["i"], axis=0),),
        "n": xp.argmax(x),
    }


def mixed_in_torch(x, tree):
    w = tree["w"][0]
    return {"a": (x.sin() * w**2).sum(0), "b": (x[0].exp() * w[tree["i"]],), "n": x.argmax()}


def curved(x):
    return xp.sum(xp.tanh(x) ** 3 * xp.roll(x, 1))


def curved_in_torch(x):
    return (torch.tanh(x) ** 3 * x.roll(1)).sum()


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


# bpkit's functions in PyTorch.


def test_gradients_are_torch_s_own(any_library):
    x, w = tensor(3, 2), tensor(3, 2, seed=1)
    rest = {"w": [w], "i": torch.asarray([1, 0, 1])}
    got, expected = to_torch(mixed, backend=any_library)(x, rest), mixed_in_torch(x, rest)
    assert list(got) == ["a", "b", "n"] and got["n"] == expected["n"] and not got["n"].requires_grad
    close(got["b"][0], expected["b"][0])
    for result in (lambda out: out["a"].sum(), lambda out: (out["a"] ** 2).sum() + out["b"][0].prod()):
        for mine, theirs in zip(
            torch.autograd.grad(result(got), (x, w), retain_graph=True),
            torch.autograd.grad(result(expected), (x, w), retain_graph=True),
            strict=True,
        ):
            close(mine, theirs)


def test_gradients_by_finite_differences_to_second_order(any_library):
    fun = to_torch(mixed, backend=any_library)

    def of_two(x, w):
        out = fun(x, {"w": [w], "i": torch.asarray([1, 0, 1])})
        return out["a"], out["b"][0]

    inputs = (tensor(3, 2), tensor(3, 2, seed=1))
    assert gradcheck(of_two, inputs, check_forward_ad=True)
    assert gradgradcheck(of_two, inputs)


def test_torch_func_and_their_compositions(library):
    fun, x = to_torch(curved, backend=library), tensor(4, grad=False)
    rows = torch.stack([x, 2 * x])
    func = torch.func
    for of in (
        lambda f: func.grad(f)(x),
        lambda f: func.hessian(f)(x),
        lambda f: func.jacrev(func.jacrev(f))(x),
        lambda f: func.jvp(f, (x,), (x,))[1],
        lambda f: func.vmap(func.grad(f))(rows),
        lambda f: func.vmap(f, in_dims=1)(rows.T),
        lambda f: func.grad(lambda rows: func.vmap(f)(rows).sum())(rows),
    ):
        close(of(fun), of(curved_in_torch))


def test_a_gradient_penalty_trains_through_the_gradient(library):
    x, w = tensor(4), tensor(4, seed=1)
    grads = []
    for fun in (to_torch(lambda x, w: curved(x * w), backend=library), lambda x, w: curved_in_torch(x * w)):
        (slope,) = torch.autograd.grad(fun(x, w), x, create_graph=True)
        grads.append(torch.autograd.grad((slope**2).sum(), (x, w)))
    for got, expected in zip(*grads, strict=True):
        close(got, expected)


def test_complex_gradients_follow_torch_s_convention(library):
    z = torch.complex(tensor(3, grad=False), tensor(3, seed=1, grad=False)).requires_grad_()
    fun = to_torch(lambda z: xp.sin(z) * z, backend=library)
    assert gradcheck(fun, (z,)) and gradgradcheck(fun, (z,))
    (got,) = torch.autograd.grad(fun(z.conj()).abs().sum(), z)
    (expected,) = torch.autograd.grad((z.conj().sin() * z.conj()).abs().sum(), z)
    close(got, expected)


def address(x):
    return x.unsafe_buffer_pointer() if hasattr(x, "unsafe_buffer_pointer") else np.asarray(x).ctypes.data


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_arrays_share_the_tensor_s_memory(library):
    pytest.importorskip(library)
    seen = []

    def fun(x):
        seen.append(address(bpkit.kinds.raw(x)))
        return xp.sin(x)

    x = tensor(64).detach().clone().requires_grad_()  # aligned as JAX needs it
    to_torch(fun, backend=library)(x).sum().backward()
    assert seen == [x.data_ptr()]
    close(x.grad, torch.cos(x.detach()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("library", [None, "jax"])
def test_dtypes_stay_what_they_are(library, dtype):
    if library is not None:
        pytest.importorskip(library)
    x = tensor(3, dtype=dtype)
    out = to_torch(lambda x: xp.sum(x * x), backend=library)(x)
    out.backward()
    assert out.dtype == x.grad.dtype == dtype and torch.equal(x.grad, (2 * x).detach())


def test_strided_and_odd_tensors(library):
    fun = to_torch(lambda x: xp.sin(x) * 2, backend=library)
    base = tensor(4, 6)
    for view in (base.T, base[::2, 1::3], base[0, 0], base[:0], base[:, :1].expand(4, 3)):
        got, expected = fun(view), view.sin() * 2
        close(got, expected)
        close(
            torch.autograd.grad(got.sum(), base, retain_graph=True)[0],
            torch.autograd.grad(expected.sum(), base, retain_graph=True)[0],
        )
    flags = to_torch(xp.logical_not, backend=library)(torch.asarray([True, False]))
    assert flags.dtype == torch.bool and flags.tolist() == [False, True]


def test_what_requires_no_gradient_gets_none(any_library):
    fun = to_torch(curved, backend=any_library)
    plain = tensor(3, grad=False)
    assert not fun(plain).requires_grad
    with torch.no_grad():
        assert not fun(tensor(3)).requires_grad
    with torch.inference_mode():
        close(fun(plain).clone(), curved_in_torch(plain))
    x, w = tensor(3), tensor(3, seed=1)
    out = to_torch(lambda x, w: (x * 2, w * 3), backend=any_library)(x, w)
    assert torch.autograd.grad(out[0].sum(), (x, w), allow_unused=True)[0].tolist() == [2.0] * 3


def test_new_arrays_are_tensors_or_of_the_library(library):
    close(
        to_torch(lambda x: x + xp.ones(3, dtype="float64"), backend=library)(tensor(3)),
        tensor(3) + 1,
    )


def test_backward_runs_in_another_thread(any_library):
    # There a thread knows nothing of the backend that was current.
    x = tensor(3)
    out = to_torch(lambda x: xp.sum(x * xp.arange(3.0, dtype="float64") ** 2), backend=any_library)(x)
    for _ in range(2):  # by what was kept, and by running it again
        thread = threading.Thread(target=lambda: out.backward(retain_graph=True))
        thread.start()
        thread.join()
    assert x.grad.tolist() == [0.0, 2.0, 8.0]


class Examples:
    def __len__(self):
        return 4

    def __getitem__(self, i):
        x = torch.full((2,), float(i), requires_grad=True)
        (g,) = torch.autograd.grad(to_torch(lambda x: xp.sum(x**3), backend="numpy")(x), x)
        return g


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # JAX, which no worker uses
def test_in_the_workers_of_a_data_loader():
    (batch,) = torch.utils.data.DataLoader(Examples(), batch_size=4, num_workers=1)
    assert batch[:, 0].tolist() == [0.0, 3.0, 12.0, 27.0]


def test_torch_compile_breaks_its_graph_and_is_right(library):
    fun = to_torch(curved, backend=library)
    x = tensor(4)
    compiled = torch.compile(lambda x: fun(2 * x) + 1, backend="eager")
    for _ in range(2):
        close(compiled(x), curved_in_torch(2 * x) + 1)
        close(*(torch.autograd.grad(f(x), x)[0] for f in (compiled, lambda x: curved_in_torch(2 * x))))


def test_writing_into_arguments_and_results(library):
    fun = to_torch(xp.exp, backend=library)
    x = tensor(3)
    y = x * 1
    out = fun(y)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    y = x * 1
    out = fun(y)
    out += 1  # of which the way back of exp may keep the values
    close(torch.autograd.grad(out.sum(), x)[0], x.exp())
    same = to_torch(lambda x: x, backend=library)(y)
    same += 1
    close(y, x)


def test_what_was_kept_is_let_go_with_the_result(library):
    gc.disable()  # a circle would hold it until the collector comes by
    try:
        out = to_torch(xp.exp, backend=library)(tensor(3))
        kept = weakref.ref(out.grad_fn.call)
        del out
        assert kept() is None
    finally:
        gc.enable()


def test_inside_a_transform_of_bpkit_it_is_the_function_itself():
    fun = to_torch(lambda x: xp.sum(x**3), backend="numpy")
    assert bpkit.grad(fun)(np.asarray([1.0, 2.0])).tolist() == [3.0, 12.0]


def test_a_captured_tensor_that_requires_gradients_is_refused():
    w = tensor(3)
    fun = to_torch(lambda x: x * w)
    with pytest.raises(GradientCutError, match="result 0 depends on a tensor that requires gradients"):
        fun(tensor(3))
    with pytest.raises(GradientCutError, match="result 0 depends on a tensor that requires gradients"):
        fun(tensor(3, grad=False))
    with torch.no_grad():
        close(fun(tensor(3)), tensor(3) * w)


def test_refusals_name_what_is_wrong():
    fun = to_torch(lambda x, y=0: x, backend="numpy")
    with pytest.raises(ArgumentError, match=r"to_torch of .*: it needs a tensor among its arguments"):
        fun(1.0)
    with pytest.raises(ArgumentError, match=r"keyword argument y must be a tensor.* of shape \(2,\)"):
        fun(tensor(2), y=np.ones(2))
    with pytest.raises(ArgumentError, match=r"tensor 0 is .*bfloat16.* numpy cannot take it over"):
        fun(tensor(2, dtype=torch.bfloat16))
    for grad in (False, True):
        with pytest.raises(ArgumentError, match=r"the result\['a'\] must be an array; it is the int 3"):
            to_torch(lambda x: {"a": 3})(tensor(2, grad=grad))
    with pytest.raises(ArgumentError, match="lie on cpu and meta"):
        fun(tensor(2), torch.empty(2, device="meta"))
    with pytest.raises(ZeroDivisionError):
        to_torch(lambda x: 1 // 0)(tensor(2))


# Models of bpkit in PyTorch.


def network():
    keys = random.split(random.key(0), 3)
    return nn.Sequential(
        nn.Dense(4, 8, key=keys[0]),
        nn.BatchNorm(8),
        nn.tanh,
        nn.Frozen(nn.Dense(8, 8, key=keys[1])),
        nn.Dense(8, 2, key=keys[2]),
    )


def batch():
    numbers = np.random.default_rng(0)
    return numbers.normal(size=(16, 4)), numbers.normal(size=(16, 2))


def loss(parameters, rest, x, y):
    out, model = nn.training_call(nn.combine(parameters, rest), x)
    return xp.mean((out - y) ** 2), nn.partition(model).rest


def trained_by_bpkit(model, steps=5):
    x, y = batch()
    parameters, rest = nn.partition(model)
    descent = optim.sgd(0.1)
    state = descent.init(parameters)
    for _ in range(steps):
        gradient, rest = bpkit.grad(loss, has_aux=True)(parameters, rest, x, y)
        parameters, state = descent.update(gradient, state, parameters)
    return nn.combine(parameters, rest)


def train_by_torch(module, steps=5):
    x, y = map(torch.asarray, batch())
    descent = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(steps):
        descent.zero_grad()
        ((module(x) - y) ** 2).mean().backward()
        descent.step()


def test_a_network_trained_in_torch_s_loop_has_the_weights_of_bpkit_s(any_library):
    model = network()
    module = to_torch_module(model, backend=any_library)
    train_by_torch(module)
    got, expected = module.to_bpkit(), trained_by_bpkit(model)
    assert tree.structure(got) == tree.structure(expected)
    for path, x, y in zip(tree.paths(got), tree.leaves(got), tree.leaves(expected), strict=True):
        assert isinstance(x, np.ndarray)
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=path)
    x, _ = batch()
    close(module.eval()(torch.asarray(x)), torch.asarray(expected(x)))


def test_names_state_and_copies_of_a_module():
    module = to_torch_module(network())
    assert [name for name, p in module.named_parameters() if p.requires_grad] == [
        *("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"),
        *("layers.4.weight", "layers.4.bias"),
    ]
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == [
        *("layers.3.layer.weight", "layers.3.layer.bias"),
    ]
    assert [name for name, _ in module.named_buffers()] == [
        *("layers.1.running_mean", "layers.1.running_var"),
    ]
    train_by_torch(module, 1)
    x = torch.asarray(batch()[0])
    expected = module.eval()(x)
    other = to_torch_module(network()).eval()
    assert not torch.allclose(other(x), expected)
    other.load_state_dict(module.state_dict())
    close(other(x), expected)
    close(copy.deepcopy(module)(x), expected)
    close(pickle.loads(pickle.dumps(module))(x), expected)
    gradient = torch.func.grad(lambda p: torch.func.functional_call(module, p, (x,)).sum())(
        dict(module.named_parameters())
    )
    assert gradient["layers.0.weight"].shape == (8, 4)
    assert module.float()(x.float()).dtype == torch.float32


def test_torch_s_seed_decides_what_layers_draw():
    module = to_torch_module(nn.Sequential(nn.Dropout(0.5)))
    x = torch.ones(1000)
    torch.manual_seed(0)
    first, second = module(x), module(x)
    torch.manual_seed(0)
    assert torch.equal(module(x), first) and not torch.equal(first, second)
    assert set(first.tolist()) == {0.0, 2.0} and torch.equal(module.eval()(x), x)


def test_a_model_that_is_none():
    with pytest.raises(ArgumentError, match="must be a model, a tree of arrays that can be called"):
        to_torch_module({"w": np.ones(2)})


# PyTorch's functions in bpkit.


def inner(x, y):
    return xp.tanh(x) ** 3 * y["s"], xp.argmax(x)


def inner_in_torch(x, y):
    return torch.tanh(x) ** 3 * y["s"], x.argmax()


def test_functions_of_torch_on_each_backend(backend, xp):
    fun = from_torch(inner_in_torch)
    x = xp.asarray([0.5, -1.0, 0.25], dtype=xp.float64)
    s = xp.asarray(1.5, dtype=xp.float64)
    host = backend.to_host

    def total(f):
        return lambda x, s: bpkit.xp.sum(f(x, {"s": s})[0] ** 2)

    def slope(f):
        return bpkit.grad(total(f), (0, 1))

    for of in (
        lambda f: bpkit.value_and_grad(total(f), (0, 1))(x, s),
        lambda f: bpkit.grad(lambda x, s: bpkit.xp.sum(slope(f)(x, s)[0] ** 2), (0, 1))(x, s),
        lambda f: bpkit.jvp(total(f), (x, s), (x, s)),
        lambda f: bpkit.vmap(bpkit.grad(total(f)), in_axes=(0, None))(xp.stack([x, 2 * x]), s),
    ):
        for got, expected in zip(tree.leaves(of(fun)), tree.leaves(of(inner)), strict=True):
            assert backend.owns(type(got)) and got.dtype == expected.dtype
            np.testing.assert_allclose(host(got), host(expected), rtol=1e-12, atol=1e-12)
    out, index = fun(x, {"s": s})
    assert backend.owns(type(out)) and int(index) == 0


def test_checked_by_finite_differences():
    fun = from_torch(lambda x: torch.linalg.solve(x @ x.T + torch.eye(2), x[0]))
    # torch.func.jvp inside another one is wrong here (torch 2.13).
    bpkit.check_grads(fun, (np.asarray([[0.5, 1.0], [-1.0, 2.0]]),), order=2)


def test_complex_arguments_follow_bpkit_s_convention():
    z = np.asarray([1 + 2j, 3 - 1j])
    for fun in (lambda f: f, lambda f: lambda z: bpkit.vjp(f, z)[1](z)[0]):
        got = bpkit.vjp(fun(from_torch(lambda z: torch.sin(z) * z)), z)[1](z)[0]
        expected = bpkit.vjp(fun(lambda z: xp.sin(z) * z), z)[1](z)[0]
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_one_step_of_a_compiled_program():
    fun = from_torch(lambda x: torch.tanh(x) ** 3)
    compiled = bpkit.jit(bpkit.value_and_grad(lambda x: xp.sum(fun(x) * x)))
    for x in (np.asarray([0.5, 1.0]), np.asarray([-1.0, 0.25])):
        value, gradient = compiled(x)
        expected = bpkit.value_and_grad(lambda x: xp.sum(xp.tanh(x) ** 3 * x))(x)
        np.testing.assert_allclose(value, expected[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)
    assert "from_torch_of" in compiled.source


def test_what_dlpack_refuses():
    fun = from_torch(lambda x: x + 1)
    fixed = np.arange(3.0)
    fixed.flags.writeable = False
    for x in (fixed, np.arange(3.0)[::-1], np.arange(6.0)[::2], np.float64(1.0), np.asarray(2.0)):
        np.testing.assert_array_equal(fun(x), x + 1)
        np.testing.assert_array_equal(bpkit.grad(lambda x: xp.sum(fun(x) ** 2))(x), 2 * x + 2)
    writable = bpkit.grad(lambda x: xp.sum(from_torch(torch.clone)(x)))(fixed)
    writable += 1


def test_a_second_run_draws_the_same_numbers():
    drop = from_torch(lambda x: torch.nn.functional.dropout(x, 0.5))
    before = torch.get_rng_state()
    x = np.ones(64)
    out, pullback = bpkit.vjp(drop, x)
    for _ in range(2):
        np.testing.assert_array_equal(pullback(np.ones(64))[0], out)
    assert not torch.equal(torch.get_rng_state(), before)
    assert not np.array_equal(drop(x), out)


def test_tensors_that_nobody_watches_stay_torch_s():
    x = tensor(3)
    fun = from_torch(torch.sin)
    close(torch.autograd.grad(fun(x).sum(), x)[0], x.cos())
    close(bpkit.grad(lambda x: xp.sum(fun(x)))(x.detach()), x.detach().cos())


def test_refusals_of_functions_of_torch():
    w, x = tensor(3), np.ones(3)
    with pytest.raises(GradientCutError, match=r"on a tensor of shape \(3,\) that requires gradients"):
        bpkit.grad(lambda x: xp.sum(from_torch(lambda x: x * w)(x)))(x)
    with pytest.raises(ArgumentError, match=r"the result\[1\] must be a tensor; it is the float 2.0"):
        from_torch(lambda x: (x, 2.0))(x)
    with pytest.raises(ArgumentError, match="needs an array among its arguments"):
        from_torch(torch.sin)(1.0)
    with pytest.raises(MixedBackendsError, match="arrays of two libraries"):
        from_torch(torch.add)(x, torch.ones(3))
    with pytest.raises(ZeroDivisionError):
        bpkit.grad(from_torch(lambda x: 1 // 0))(x)


# Models of PyTorch in bpkit.


def torch_network():
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    return torch.nn.Sequential(*layers).double()


def test_a_module_trained_by_bpkit_has_the_weights_of_torch_s_loop():
    module = torch_network()
    model = trained_by_bpkit(tree.map(lambda p: p.numpy(), from_torch(module)))
    train_by_torch(module)
    expected = module.state_dict()
    found = model.weights | {name: held.value for name, held in model.held.items()}
    assert found.keys() == expected.keys()
    for name, x in found.items():
        np.testing.assert_allclose(x, expected[name].numpy(), rtol=1e-12, atol=1e-12, err_msg=name)
    x, _ = batch()
    np.testing.assert_allclose(model(x), module.eval()(torch.asarray(x)).detach().numpy(), rtol=1e-12)


def test_there_and_back_again():
    x, _ = batch()
    around = to_torch_module(from_torch(torch_network())).eval()
    close(around(torch.asarray(x)), torch_network().eval()(torch.asarray(x)))
    assert "weights.0.bias" in around.state_dict()


def test_what_a_module_draws_depends_on_the_key():
    module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(64, 1)).double()
    model = tree.map(lambda p: p.numpy(), from_torch(module))
    x = np.ones((2, 64))

    def value(model, key):
        return xp.sum(nn.training_call(model, x, key=key).output ** 2)

    first, again, other = (bpkit.grad(value)(model, random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.weights["1.weight"], again.weights["1.weight"])
    assert not np.array_equal(first.weights["1.weight"], other.weights["1.weight"])
    compiled = bpkit.jit(bpkit.grad(value))
    for key, expected in ((random.key(1), other), (random.key(0), first)):
        np.testing.assert_allclose(
            compiled(model, key).weights["1.weight"], expected.weights["1.weight"], rtol=1e-12
        )
    module.requires_grad_(False)
    assert not from_torch(module).weights
