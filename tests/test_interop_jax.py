"""Functions of bpkit in JAX, and JAX's in bpkit."""

import numpy as np
import pytest

import bpkit
from bpkit import nn, random, tree, xp
from bpkit.errors import ArgumentError, MixedBackendsError

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from bpkit.interop.jax import from_jax, to_jax  # noqa: E402


@pytest.fixture(autouse=True)
def wide():
    """Float64, also where no test of the session runs on JAX."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=[None, "numpy", "torch"])
def library(request):
    """Where a function of bpkit runs while JAX differentiates it."""
    if request.param is not None:
        pytest.importorskip(request.param)
    return request.param


def curved(x):
    return xp.sum(xp.tanh(x) ** 3 * xp.roll(x, 1))


def curved_in_jax(x):
    return jnp.sum(jnp.tanh(x) ** 3 * jnp.roll(x, 1))


def close(got, expected):
    for x, y in zip(tree.leaves(got), tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-12, atol=1e-12)


# bpkit's functions in JAX.


def test_jax_s_transforms_and_their_compositions(library):
    fun = to_jax(curved, backend=library)
    x = jnp.asarray([0.5, -1.0, 0.25])
    rows = jnp.stack([x, 2 * x])

    def scanned(f):
        def loop(x):
            return jax.lax.scan(lambda c, _: (0.9 * c + f(c), None), x, None, length=3)[0].sum()

        return loop

    for of in (
        lambda f: f(x),
        lambda f: jax.jit(jax.value_and_grad(f))(x),
        lambda f: jax.jit(jax.jacrev(jax.grad(f)))(x),
        lambda f: jax.jit(jax.vmap(jax.grad(f)))(rows),
        lambda f: jax.jit(jax.grad(lambda rows: jax.vmap(f)(rows).sum()))(rows),
        lambda f: jax.jit(jax.grad(scanned(f)))(x),
    ):
        close(of(fun), of(curved_in_jax))


def test_trees_integers_and_several_results(library):
    def fun(x, tree):
        w = tree["w"][0]
        return {"a": xp.sum(x * w**2, axis=0), "b": xp.take(x, tree["i"]), "n": tree["i"] + 1}

    x, w, i = jnp.asarray([0.5, -1.0, 0.25]), jnp.asarray(1.5), jnp.asarray([0, 0, 2])
    called = to_jax(fun, backend=library)
    out = jax.jit(called)(x, {"w": [w], "i": i})
    close(out, {"a": (x * w**2).sum(), "b": x[i], "n": i + 1})

    def total(x, w):
        out = called(x, {"w": [w], "i": i})
        return out["a"] + (out["b"] ** 2).sum()

    close(jax.jit(jax.grad(total, (0, 1)))(x, w), bpkit.grad(lambda x, w: _total(fun, x, w, i), (0, 1))(x, w))
    gradient = jax.jit(jax.grad(lambda x: called(x, {"w": [w], "i": i})["a"]))
    assert gradient(np.asarray(x)).tolist() == [2.25] * 3


def _total(fun, x, w, i):
    out = fun(x, {"w": [w], "i": i})
    return out["a"] + xp.sum(out["b"] ** 2)


def test_complex_gradients_follow_jax_s_convention(library):
    z = jnp.asarray([1 + 2j, 3 - 1j])
    fun = to_jax(lambda z: xp.sum(xp.abs(xp.sin(z) * z)), backend=library)
    close(jax.jit(jax.grad(fun))(z), jax.grad(lambda z: jnp.abs(jnp.sin(z) * z).sum())(z))


def test_the_derivative_is_bpkit_s_at_every_order():
    # JAX, left to trace through it, would differentiate what stop_gradient cuts off.
    def half(x):
        return x * bpkit.stop_gradient(x)

    assert jax.grad(to_jax(half))(3.0) == 3.0 == bpkit.grad(half)(3.0)
    assert jax.grad(jax.grad(to_jax(half)))(3.0) == 0.0 == bpkit.grad(bpkit.grad(half))(3.0)


def test_under_jit_nothing_is_computed_twice():
    w = jnp.ones((64, 64))
    got, expected = (
        jax.jit(jax.grad(loss)).lower(w).compile().cost_analysis()["flops"]
        for loss in (
            to_jax(lambda w: xp.sum(xp.tanh(xp.tanh(w @ w) @ w))),
            lambda w: jnp.sum(jnp.tanh(jnp.tanh(w @ w) @ w)),
        )
    )
    assert got <= 1.01 * expected


def test_new_arrays_are_of_the_library(library):
    fun = to_jax(lambda x: xp.sum(x * xp.arange(3.0, dtype="float64")), backend=library)
    assert jax.jit(jax.grad(fun))(jnp.ones(3)).tolist() == [0.0, 1.0, 2.0]


def test_large_arrays_go_over(library):
    # Where a callback asks JAX for the values of its arguments it can wait for itself.
    fun = to_jax(lambda x: xp.sum(x**2), backend=library)
    assert float(jax.jit(jax.grad(fun))(jnp.ones(500_000)).sum()) == 1_000_000.0


def test_a_function_that_runs_in_its_own_library_alone():
    def on_host(x):
        seen.append(type(bpkit.kinds.raw(x)))
        return np.sort(x) * np.asarray([1.0, 2.0, 3.0])

    seen: list[type] = []
    x = jnp.asarray([3.0, 1.0, 2.0])
    with pytest.raises(ArgumentError, match=r"(?s)run on JAX's stand-ins.*result=jax\.ShapeDtypeStruct"):
        to_jax(on_host, backend="numpy")(x)
    seen.clear()
    fun = to_jax(on_host, backend="numpy", result=jax.ShapeDtypeStruct((3,), x.dtype))
    assert jax.jit(fun)(x).tolist() == [1.0, 4.0, 9.0]
    assert jax.jit(jax.grad(lambda x: fun(x).sum()))(x).tolist() == [3.0, 1.0, 2.0]
    assert set(seen) == {np.ndarray}
    wrong = to_jax(on_host, backend="numpy", result=jax.ShapeDtypeStruct((2,), x.dtype))
    with pytest.raises(Exception, match=r"its results have the shapes and dtypes \[\(\(3,\), 'float64'\)\]"):
        jax.block_until_ready(wrong(x))


def test_dtypes_stay_what_they_are(library):
    for dtype in ("float32", "bfloat16", "float16"):
        x = jnp.asarray([0.5, -1.0], dtype=dtype)
        fun = to_jax(lambda x: xp.sum(x * x), backend=library)
        if library == "numpy" and dtype == "bfloat16":
            with pytest.raises(Exception, match="bfloat16"):
                jax.block_until_ready(jax.grad(fun)(x))
            continue
        value, gradient = jax.jit(jax.value_and_grad(fun))(x)
        assert value.dtype == gradient.dtype == x.dtype and gradient.tolist() == [1.0, -2.0]


def test_inside_a_transform_of_bpkit_it_is_the_function_itself():
    fun = to_jax(lambda x: xp.sum(x**3), backend="numpy")
    assert bpkit.grad(fun)(np.asarray([1.0, 2.0])).tolist() == [3.0, 12.0]


def test_refusals_name_what_is_wrong():
    fun = to_jax(lambda x, y=0: x)
    with pytest.raises(ArgumentError, match=r"to_jax of .*: it needs an array among its arguments"):
        fun(1.0)
    with pytest.raises(ArgumentError, match=r"the result\['a'\] must be an array; it is the int 3"):
        to_jax(lambda x: {"a": 3})(jnp.ones(2))
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="keyword argument y must be an array of JAX or NumPy"):
        fun(jnp.ones(2), y=torch.ones(2))
    with pytest.raises(ZeroDivisionError):
        jax.jit(to_jax(lambda x: 1 // 0))(jnp.ones(2))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(to_jax(curved), (jnp.ones(3),), (jnp.ones(3),))
    w = jnp.ones(2)
    for transform in (jax.grad, jax.jacrev):
        with pytest.raises(ArgumentError, match=r"no argument of the function.* Pass it as an argument"):
            transform(lambda w: to_jax(lambda x: xp.sum(x * w))(jnp.ones(2)))(w)


def test_a_network_trained_in_jax_s_loop_has_the_weights_of_bpkit_s(library):
    first, second = random.split(random.key(0))
    model = nn.Sequential(nn.Dense(4, 8, key=first), nn.tanh, nn.Dense(8, 2, key=second))
    numbers = np.random.default_rng(0)
    x, y = numbers.normal(size=(16, 4)), numbers.normal(size=(16, 2))
    leaves, structure = tree.flatten(model)

    def loss(leaves, x, y):
        return xp.mean((tree.unflatten(structure, leaves)(x) - y) ** 2)

    take = jax.jit(jax.grad(to_jax(loss, backend=library)))
    theirs = [jnp.asarray(w) for w in leaves]
    for _ in range(5):
        theirs = [w - 0.1 * g for w, g in zip(theirs, take(theirs, x, y), strict=True)]
        leaves = [w - 0.1 * g for w, g in zip(leaves, bpkit.grad(loss)(leaves, x, y), strict=True)]
    close(theirs, leaves)


def test_models_are_pytrees_of_jax(library):
    optax = pytest.importorskip("optax")

    class Scaled(nn.Module):  # after the import
        inner: nn.Sequential
        scale: object

        def __call__(self, x):
            return self.scale * self.inner(x)

    x = np.random.default_rng(0).normal(size=(16, 2))
    y = np.sum(x, axis=1, keepdims=True)
    layers = nn.Sequential(nn.Dense(2, 3, key=random.key(0)), nn.BatchNorm(3), nn.tanh)
    start = Scaled(nn.Sequential(layers, nn.Dense(3, 1, key=random.key(1))), np.ones(()))
    parameters, rest = nn.partition(start)

    def loss(parameters, rest, x, y):
        out, model = nn.training_call(nn.combine(parameters, rest), x)
        return xp.mean((out - y) ** 2), nn.partition(model).rest

    assert jax.tree.structure(parameters) == jax.tree.structure(jax.tree.map(jnp.zeros_like, parameters))
    take = jax.jit(jax.value_and_grad(to_jax(loss, backend=library), has_aux=True))
    rule = optax.sgd(0.1)
    state = rule.init(parameters)
    mine, mine_rest = parameters, rest
    ours = bpkit.value_and_grad(loss, has_aux=True)
    for _ in range(3):
        (_, rest), slopes = take(parameters, rest, x, y)
        assert isinstance(slopes, Scaled)
        updates, state = rule.update(slopes, state)
        parameters = optax.apply_updates(parameters, updates)
        (_, mine_rest), slopes = ours(mine, mine_rest, x, y)
        mine = tree.map(lambda p, g: p - 0.1 * g, mine, slopes)
    for got, expected in zip(tree.leaves((parameters, rest)), tree.leaves((mine, mine_rest)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


# JAX's functions in bpkit.


def inner(x, y):
    return xp.tanh(x) ** 3 * y["s"], xp.argmax(x)


def inner_in_jax(x, y):
    return jnp.tanh(x) ** 3 * y["s"], jnp.argmax(x)


def test_functions_of_jax_on_each_backend(backend, xp):
    fun = from_jax(jax.jit(inner_in_jax))
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
        lambda f: bpkit.jit(bpkit.grad(total(f)))(x, s),
    ):
        for got, expected in zip(tree.leaves(of(fun)), tree.leaves(of(inner)), strict=True):
            assert backend.owns(type(got)) and got.dtype == expected.dtype
            np.testing.assert_allclose(host(got), host(expected), rtol=1e-12, atol=1e-12)
    out, index = fun(x, {"s": s})
    assert backend.owns(type(out)) and int(index) == 0


def test_checked_by_finite_differences():
    fun = from_jax(jax.jit(lambda x: jnp.cumsum(jnp.tanh(x)) * x[0] ** 3))
    bpkit.check_grads(fun, (np.asarray([0.5, -1.0]),))


def test_every_cotangent_arrives_alone_and_together():
    fun = from_jax(lambda x: (x**2, jnp.argmax(x), x**3))
    x = np.asarray([1.0, 2.0])
    for weights in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)):

        def total(x, weights=weights):
            first, _, last = fun(x)
            parts = [w * xp.sum(part) for w, part in zip(weights, (first, last), strict=True) if w]
            return sum(parts)

        close(bpkit.grad(total)(x), weights[0] * 2 * x + weights[1] * 3 * x**2)


def test_what_dlpack_refuses():
    fun = from_jax(lambda x: x + 1)
    fixed = np.arange(3.0)
    fixed.flags.writeable = False
    for x in (fixed, np.arange(3.0)[::-1], np.arange(6.0)[::2], np.float64(1.0), np.asarray(2.0)):
        np.testing.assert_array_equal(fun(x), x + 1)
        np.testing.assert_array_equal(bpkit.grad(lambda x: xp.sum(fun(x) ** 2))(x), 2 * x + 2)
    assert from_jax(jnp.logical_not)(np.asarray([True, False])).tolist() == [False, True]
    out = fun(np.arange(3.0))
    out += 1  # and JAX's own arrays cannot be written to


def test_results_of_numpy_arrays_are_nobody_else_s():
    x = np.arange(1024.0)
    same = from_jax(lambda x: x)(x)
    same += 1
    assert x[0] == 0.0


def test_narrow_jax_refuses_to_round():
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ArgumentError, match="jax cannot take it over: backend 'jax' has no float64"):
        from_jax(jnp.sin)(np.ones(3))
    assert from_jax(jnp.sin)(np.ones(3, dtype="float32")).dtype == np.float32


def test_refusals_of_functions_of_jax():
    with pytest.raises(ArgumentError, match=r"the result\[1\] must be a JAX array; it is the float 2.0"):
        from_jax(lambda x: (x, 2.0))(np.ones(2))
    with pytest.raises(ArgumentError, match="needs an array among its arguments"):
        from_jax(jnp.sin)(1.0)
    torch = pytest.importorskip("torch")
    with pytest.raises(MixedBackendsError, match="arrays of two libraries"):
        from_jax(jnp.add)(np.ones(3), torch.ones(3))


def test_from_torch_through_bpkit_to_jax():
    torch = pytest.importorskip("torch")
    from bpkit.interop.torch import from_torch, to_torch

    smooth = to_jax(from_torch(torch.nn.functional.softplus), backend="torch", result=jnp.zeros(3))
    x = jnp.asarray([0.5, -1.0, 0.25])
    close(jax.jit(jax.grad(lambda x: smooth(x).sum()))(x), jax.nn.sigmoid(x))
    back = to_torch(from_jax(jax.nn.softplus), backend="jax")
    y = torch.asarray(np.array(x)).requires_grad_()
    (gradient,) = torch.autograd.grad(back(y).sum(), y, create_graph=True)
    close(gradient.detach().numpy(), jax.nn.sigmoid(x))
    (curvature,) = torch.autograd.grad(gradient.sum(), y)
    close(curvature.numpy(), jax.nn.sigmoid(x) * jax.nn.sigmoid(-x))


def test_a_function_of_torch_cannot_be_compiled_by_jax():
    torch = pytest.importorskip("torch")
    from bpkit.interop.torch import from_torch

    fun = from_torch(torch.sin)
    for compiled in (bpkit.jit, jax.jit):
        with pytest.raises((ArgumentError, TypeError), match=r"stand-in without values|argument 'input'"):
            compiled(lambda x: fun(x) * 2)(jnp.ones(3))
