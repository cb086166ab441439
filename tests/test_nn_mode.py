"""Training mode: keys and buffers of one call, inside transforms, containers, threads and errors."""

import functools
import threading
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import nn, random, tree
from bpkit.array import Array
from bpkit.errors import ArgumentError, BatchingError, NonFiniteError, ShapeError
from bpkit.registry import backend_of, use_backend


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


class Noise(nn.Module):
    """In training adds noise, and keeps the sum of what it saw and the number of calls."""

    scale: Any
    seen: Any = nn.buffer()
    calls: Any = nn.buffer()

    def __init__(self, size: int = 3) -> None:
        self.scale = xp.ones((size,), dtype="float64")
        self.seen = xp.zeros((size,), dtype="float64")
        self.calls = xp.zeros((1,), dtype="int32")

    def __call__(self, x: Any) -> Any:
        mode = nn.mode.current()
        if mode is None:
            return xp.multiply(x, self.scale)
        last = mode.latest(self)
        noisy = xp.add(x, random.uniform(mode.key_for(self), x.shape, x.dtype))
        y = xp.multiply(noisy, self.scale)
        mode.update(self, seen=xp.add(last.seen, xp.sum(y, axis=0)), calls=last.calls + 1)
        return y


class Twice(nn.Module):
    """One layer, held once and called twice."""

    layer: Any

    def __call__(self, x: Any) -> Any:
        return self.layer(self.layer(x))


class Nested(nn.Module):
    parts: Any

    def __call__(self, x: Any) -> Any:
        for layers in self.parts.values():
            for layer in layers:
                x = layer(x)
        return x


def batch(shape: tuple[int, ...] = (4, 3)) -> Any:
    return xp.asarray(np.random.default_rng(0).normal(size=shape))


def arrays(x: Any) -> list[Any]:
    return [on_host(leaf) for leaf in tree.leaves(x)]


def assert_same(x: Any, y: Any) -> None:
    assert tree.structure(x) == tree.structure(y)
    for one, other in zip(arrays(x), arrays(y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("backend")
def test_a_model_predicts_unless_it_is_told_to_train() -> None:
    model, x = Noise(), batch()
    np.testing.assert_array_equal(on_host(model(x)), on_host(x))
    y, trained = nn.training_call(model, x, key=random.key(1))
    assert (on_host(y) > on_host(x)).all()
    np.testing.assert_allclose(on_host(trained.seen), on_host(y).sum(axis=0), rtol=1e-14)
    assert on_host(trained.calls) == [1]
    assert on_host(model.calls) == [0]
    assert type(trained) is Noise
    assert trained.scale is model.scale
    assert nn.mode.current() is None


def test_keys_follow_the_order_of_the_calls() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(Noise(), Twice(Noise()))
        x, key = batch(), random.key(5)
        y = nn.training_call(model, x, key=key).output
    for count in range(3):
        x = x + random.uniform(random.fold_in(key, count), (4, 3), "float64")
    np.testing.assert_array_equal(y, x)


@pytest.mark.usefixtures("backend")
def test_a_layer_called_twice_sees_what_the_first_call_left() -> None:
    model = nn.training_call(Twice(Noise()), batch(), key=random.key(0)).model
    assert on_host(model.layer.calls) == [2]
    with use_backend("numpy"):
        x, key = batch(), random.key(0)
        first = x + random.uniform(random.fold_in(key, 0), (4, 3), "float64")
        second = first + random.uniform(random.fold_in(key, 1), (4, 3), "float64")
    np.testing.assert_allclose(
        on_host(model.layer.seen), first.sum(axis=0) + second.sum(axis=0), rtol=1e-13, atol=1e-14
    )


@pytest.mark.usefixtures("backend")
def test_buffers_are_found_in_containers() -> None:
    model = Nested({"a": [Noise(), nn.tanh], "b": (Noise(), nn.Sequential(Twice(Noise())))})
    trained = nn.training_call(model, batch(), key=random.key(0)).model
    calls = [on_host(trained.parts["a"][0].calls), on_host(trained.parts["b"][0].calls)]
    assert calls == [[1], [1]]
    assert on_host(trained.parts["b"][1][0].layer.calls) == [2]
    assert trained.parts["a"][1] is nn.tanh
    assert [on_host(x.calls) for x in tree.parts(model) if isinstance(x, Noise)] == [[0]] * 3


def test_a_module_in_two_places_is_two_layers_with_and_without_a_transform() -> None:
    with use_backend("numpy"):
        shared = Noise()
        model, x, key = nn.Sequential(shared, shared), batch(), random.key(3)
        eager = nn.training_call(model, x, key=key).model

        def loss(trainable: Any, rest: Any) -> Any:
            y, new = nn.training_call(nn.combine(trainable, rest), x, key=key)
            return xp.sum(y), new

        traced = bpkit.value_and_grad(loss, has_aux=True)(*nn.partition(model))[0][1]
    assert [int(layer.calls[0]) for layer in eager] == [1, 1]
    assert_same(eager, traced)


@pytest.mark.usefixtures("backend")
def test_the_model_comes_out_of_grad_and_jit_as_aux() -> None:
    model = nn.Sequential(Noise(), nn.tanh, Twice(Noise()))
    x, key = batch(), random.key(2)

    def loss(trainable: Any, rest: Any, x: Any, key: Any) -> Any:
        y, new = nn.training_call(nn.combine(trainable, rest), x, key=key)
        return xp.sum(xp.square(y)), nn.partition(new).rest

    take = bpkit.value_and_grad(loss, has_aux=True)
    trainable, rest = nn.partition(model)
    y, new = nn.training_call(model, x, key=key)
    (value, new_rest), gradient = take(trainable, rest, x, key)
    np.testing.assert_allclose(float(value), float(xp.sum(xp.square(y))), rtol=1e-13)
    assert_same(new_rest, nn.partition(new).rest)
    for leaf in tree.leaves((new_rest, gradient)):
        assert not isinstance(leaf, Array)
    # Buffers are constants: only what is trained has a gradient.
    assert len(tree.leaves(gradient)) == 2
    compiled, rests = bpkit.jit(take), (rest, rest)
    for step in range(3):
        eager = take(trainable, rests[0], x, random.key(step))
        recorded = compiled(trainable, rests[1], x, random.key(step))
        assert_same(recorded, eager)
        rests = (eager[0][1], recorded[0][1])
    assert on_host(rests[0].layers[2].layer.calls) == [6]


@pytest.mark.usefixtures("backend")
def test_no_gradient_flows_through_buffers() -> None:
    def loss(scale: Any) -> Any:
        model = nn.training_call(Noise().replace(scale=scale), batch(), key=random.key(0)).model
        return xp.sum(model.seen) + xp.sum(scale)

    np.testing.assert_array_equal(on_host(bpkit.grad(loss)(xp.ones((3,), dtype="float64"))), np.ones(3))


@pytest.mark.parametrize("how", ["argument", "closure", "nested"])
@pytest.mark.usefixtures("backend")
def test_a_checkpoint_draws_the_same_in_its_second_run(how: str) -> None:
    ways: dict[str, Any] = {
        "argument": lambda layer, x: bpkit.checkpoint(layer)(x),
        "closure": lambda layer, x: bpkit.checkpoint(lambda x: xp.tanh(layer(x)))(x),
        "nested": lambda layer, x: bpkit.checkpoint(lambda x: xp.tanh(bpkit.checkpoint(layer)(x)))(x),
    }

    class Once(nn.Module):
        layer: Any
        way: Any = nn.static()

        def __call__(self, x: Any) -> Any:
            return self.way(self.layer, x)

    def run(way: Any) -> Any:
        trainable, rest = nn.partition(nn.Sequential(Noise(), Twice(Once(Noise(), way)), xp.sin, Noise()))

        def loss(trainable: Any, key: Any) -> Any:
            y, new = nn.training_call(nn.combine(trainable, rest), batch(), key=key)
            return xp.sum(xp.square(y)), tree.leaves(nn.partition(new).rest)

        (value, buffers), gradient = bpkit.value_and_grad(loss, has_aux=True)(trainable, random.key(4))
        return value, buffers, tree.leaves(gradient)

    plain: Any = (lambda layer, x: layer(x)) if how == "argument" else lambda layer, x: xp.tanh(layer(x))
    assert_same(run(ways[how]), run(plain))


def test_a_function_that_was_compiled_before_trains_too() -> None:
    with use_backend("numpy"):
        layer = Noise()
        compiled = bpkit.jit(lambda layer, x: layer(x))

        class Model(nn.Module):
            layer: Any

            def __call__(self, x: Any) -> Any:
                return compiled(self.layer, x)

        x = batch()
        model = Model(layer)
        np.testing.assert_array_equal(model(x), x)
        for seed in (0, 1):
            y, new = nn.training_call(model, x, key=random.key(seed))
            expected = x + random.uniform(random.fold_in(random.key(seed), 0), x.shape, "float64")
            np.testing.assert_array_equal(y, expected)
            assert new.layer.calls == [1]
        np.testing.assert_array_equal(model(x), x)


@pytest.mark.usefixtures("backend")
def test_a_gradient_inside_the_model_leaves_plain_buffers() -> None:
    class Force(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return bpkit.grad(lambda x: xp.sum(xp.square(self.layer(x))))(x)

    x = batch()
    y, model = nn.training_call(Force(Noise()), x, key=random.key(0))
    assert type(y) is type(x)
    assert type(model.layer.seen) is type(x)
    np.testing.assert_allclose(on_host(model.layer.seen), on_host(y).sum(axis=0) / 2, rtol=1e-13)
    tangent = bpkit.jvp(lambda x: nn.training_call(Force(Noise()), x, key=random.key(0))[0], (x,), (x,))[1]
    np.testing.assert_allclose(on_host(tangent), 2 * on_host(x), rtol=1e-13)


@pytest.mark.usefixtures("backend")
def test_vmap_goes_around_a_training_call_and_not_inside() -> None:
    model, x = Noise(), batch()
    keys = random.split(random.key(0), 4)

    def one(x: Any, key: Any) -> Any:
        return nn.training_call(model, x[None, :], key=key)

    y, new = bpkit.vmap(one)(x, keys)
    for i, key in enumerate(xp.unstack(keys)):
        expected, expected_model = one(x[i, :], key)
        np.testing.assert_allclose(on_host(y)[i], on_host(expected), rtol=1e-14)
        np.testing.assert_allclose(on_host(new.seen)[i], on_host(expected_model.seen), rtol=1e-14)

    class Each(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            return bpkit.vmap(self.layer)(x)

    np.testing.assert_array_equal(on_host(Each(model)(x)), on_host(x))
    with pytest.raises(BatchingError, match=r"Noise.* was called by vmap inside training_call"):
        nn.training_call(Each(model), x, key=random.key(0))


def test_frozen_layers_predict() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(nn.Frozen(Noise()), Noise())
        x = batch()
        y, new = nn.training_call(model, x, key=random.key(0))
        np.testing.assert_array_equal(y, x + random.uniform(random.fold_in(random.key(0), 0), (4, 3)))
        assert new[0].layer.calls == [0]
        assert new[1].calls == [1]
    assert repr(nn.Frozen(nn.tanh)) == "Frozen(Lambda(tanh))"
    with pytest.raises(ArgumentError, match="a layer must be a Module or a function, got 3"):
        nn.Frozen(3)


def test_an_error_leaves_no_mode_behind() -> None:
    class Broken(nn.Module):
        trains: bool = nn.static()

        def __call__(self, x: Any) -> Any:
            assert (nn.mode.current() is not None) is self.trains
            raise RuntimeError("broken")

    class Survives(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            mode = nn.mode.current()
            with pytest.raises(RuntimeError, match="broken"):
                self.layer(x)
            assert nn.mode.current() is mode
            with pytest.raises(RuntimeError, match="broken"):
                nn.training_call(Broken(True), x)
            assert nn.mode.current() is mode
            return x

    for model in (Broken(True), nn.Frozen(Broken(False))):
        with pytest.raises(RuntimeError, match="broken"):
            nn.training_call(model, np.ones(3))
        assert nn.mode.current() is None
        nn.training_call(Survives(model), np.ones(3))
        assert nn.mode.current() is None


def test_an_inner_training_call_has_its_own_mode() -> None:
    class Inner(nn.Module):
        layer: Any
        counted: Any = nn.buffer()

        def __call__(self, x: Any) -> Any:
            y, layer = nn.training_call(self.layer, x, key=random.key(9))
            mode = nn.mode.current()
            assert mode is not None
            mode.update(self, counted=layer.calls)
            return y + random.uniform(mode.key_for(self), x.shape, x.dtype)

    with use_backend("numpy"):
        x = batch()
        y, model = nn.training_call(Inner(Noise(), xp.zeros(1, dtype="int32")), x, key=random.key(1))
        first = random.uniform(random.fold_in(random.key(9), 0), (4, 3), "float64")
        second = random.uniform(random.fold_in(random.key(1), 0), (4, 3), "float64")
        np.testing.assert_array_equal(y, x + first + second)
        assert (model.counted, model.layer.calls) == ([1], [0])


def test_threads_do_not_see_each_others_mode() -> None:
    started, seen = threading.Event(), threading.Event()
    found: list[Any] = []

    class Waits(nn.Module):
        layer: Any

        def __call__(self, x: Any) -> Any:
            started.set()
            assert seen.wait(10)
            return self.layer(x)

    def train(model: Any, x: Any, key: Any) -> None:
        with use_backend("numpy"):
            found.append(nn.training_call(model, x, key=key))

    with use_backend("numpy"):
        model, x, key = Waits(Noise()), batch(), random.key(0)
        thread = threading.Thread(target=train, args=(model, x, key))
        thread.start()
        assert started.wait(10)
        assert nn.mode.current() is None
        np.testing.assert_array_equal(model.layer(x), x)
        seen.set()
        thread.join()
        here = nn.training_call(Waits(Noise()), x, key=key)
    np.testing.assert_array_equal(found[0].output, here.output)
    assert found[0].model.layer.calls == [1]


def test_a_draw_needs_a_key() -> None:
    assert nn.training_call(nn.Sequential(nn.tanh), 0.0 * np.ones(1)).output == [0.0]
    with use_backend("numpy"), pytest.raises(ArgumentError, match=r"Noise\(.*training_call was given no key"):
        nn.training_call(Noise(), batch())


def test_buffers_that_would_be_lost_are_refused() -> None:
    with use_backend("numpy"):
        other = Noise()

        class Model(nn.Module):
            def __call__(self, x: Any) -> Any:
                return other(x)

        with pytest.raises(
            ArgumentError, match=r"Noise\(.* has new buffers, but it is not part of the model"
        ):
            nn.training_call(Model(), batch(), key=random.key(0))


def test_new_buffers_are_like_the_old_ones() -> None:
    class Sets(nn.Module):
        count: Any = nn.buffer()
        name: str = nn.static(default="new")
        value: Any = None

        def __call__(self, x: Any) -> Any:
            mode = nn.mode.current()
            assert mode is not None
            mode.update(self, **{self.name: self.value})
            return x

    with use_backend("numpy"):
        zero = xp.zeros((2,), dtype="float64")
        with pytest.raises(ArgumentError, match=r"has no buffer 'value'; declare it in the class"):
            nn.training_call(Sets(zero, "value", zero), zero)
        with pytest.raises(ShapeError, match=r"the new count has shape \(3,\), the old \(2,\)"):
            nn.training_call(Sets(zero, "count", xp.zeros((3,))), zero)
        with pytest.raises(ArgumentError, match=r"the new count has dtype float32, the old float64"):
            nn.training_call(Sets(zero, "count", xp.zeros((2,), dtype="float32")), zero)


def test_a_mode_ends_with_its_call() -> None:
    kept: list[Any] = []

    class Keeps(nn.Module):
        def __call__(self, x: Any) -> Any:
            kept.append(nn.mode.current())
            return x

    model = Keeps()
    nn.training_call(model, 1.0)
    with pytest.raises(ArgumentError, match=r"Keeps\(\) used a Mode after the training_call"):
        kept[0].key_for(model)
    with pytest.raises(ArgumentError, match="used a Mode after the training_call"):
        nn.training_call(lambda x: kept[0].latest(model), 1.0)


# What is trained.


@pytest.mark.usefixtures("backend")
def test_partition_tells_parameters_from_the_rest() -> None:
    class Model(nn.Module):
        weight: Any
        count: Any
        rate: float
        parts: Any
        state: Any = nn.buffer()

    one = xp.ones((2,), dtype="float32")
    count = xp.ones((2,), dtype="int32")
    model = Model(one, count, 0.5, {"a": [nn.Frozen(Noise()), Noise()], "b": None}, {"x": [one, Noise()]})
    trainable, rest = nn.partition(model)
    assert tree.paths(trainable) == [".weight", ".parts['a'][1].scale"]
    assert tree.paths(rest) == [
        ".count",
        ".rate",
        ".parts['a'][0].layer.scale",
        ".parts['a'][0].layer.seen",
        ".parts['a'][0].layer.calls",
        ".parts['a'][1].seen",
        ".parts['a'][1].calls",
        ".state['x'][0]",
        ".state['x'][1].scale",
        ".state['x'][1].seen",
        ".state['x'][1].calls",
    ]
    for whole in (nn.combine(trainable, rest), nn.combine(rest, trainable)):
        assert tree.structure(whole) == tree.structure(model)
        for x, y in zip(tree.leaves(whole), tree.leaves(model), strict=True):
            assert x is y
    assert nn.partition(nn.Frozen(model)).trainable.layer.weight is None


@pytest.mark.usefixtures("backend")
def test_partition_works_on_what_is_traced() -> None:
    model = nn.Sequential(Noise(), nn.Frozen(Noise()))

    def loss(model: Any) -> Any:
        trainable, rest = nn.partition(model)
        assert tree.paths(trainable) == [".layers[0].scale"]
        return xp.sum(nn.combine(trainable, rest)(xp.ones((2, 3), dtype="float64")))

    floating = tree.map(lambda x: xp.astype(x, "float64"), model)
    gradient = bpkit.grad(loss)(floating)
    np.testing.assert_array_equal(on_host(gradient[0].scale), np.full(3, 2.0))
    np.testing.assert_array_equal(on_host(gradient[1].layer.scale), np.full(3, 2.0))


def test_an_optimizer_sees_what_is_trained_only() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(nn.Frozen(Noise()), Noise())
        trainable, rest = nn.partition(model)
        optimizer = bpkit.optim.adam(0.1)
        gradient = bpkit.grad(lambda t: xp.sum(nn.combine(t, rest)(xp.ones((2, 3)))))(trainable)
        trainable, _ = optimizer.update(gradient, optimizer.init(trainable), trainable)
        new = nn.combine(trainable, rest)
    assert new[0].layer.scale is model[0].layer.scale
    np.testing.assert_allclose(new[1].scale, np.full(3, 0.9), rtol=1e-6)


def test_combine_takes_two_parts_of_one_model() -> None:
    with use_backend("numpy"):
        trainable, _ = nn.partition(Noise())
        with pytest.raises(ArgumentError, match=r"combine: .* both have something in tree\.scale"):
            nn.combine(trainable, Noise())
        with pytest.raises(ArgumentError, match=r"combine: trainable and rest must be the two parts of one"):
            nn.combine(trainable, nn.partition(nn.Sequential(Noise())).rest)


# Whole trainings.


def curve(steps: int) -> tuple[list[float], Any]:
    """The losses of a training with dropout and normalisation, and what the model predicts after it."""
    first, second, draws = xp.unstack(random.split(random.key(0), 3))
    model = nn.Sequential(
        nn.Dense(6, 16, key=first, dtype="float64"),
        nn.BatchNorm(16, dtype="float64"),
        nn.tanh,
        nn.Dropout(0.3),
        nn.Residual(nn.LayerNorm(16, dtype="float64")),
        nn.Dense(16, 3, key=second, dtype="float64"),
    )
    optimizer = bpkit.optim.adam(0.01)

    def loss(trainable: Any, rest: Any, x: Any, y: Any, key: Any) -> Any:
        output, model = nn.training_call(nn.combine(trainable, rest), x, key=key)
        return bpkit.losses.softmax_cross_entropy(output, y), nn.partition(model).rest

    @bpkit.jit
    def step(trainable: Any, rest: Any, state: Any, x: Any, y: Any, key: Any) -> Any:
        take = bpkit.value_and_grad(loss, has_aux=True)
        (value, rest), gradient = take(trainable, rest, x, y, key)
        trainable, state = optimizer.update(gradient, state, trainable)
        return trainable, rest, state, value

    rng = np.random.default_rng(0)
    images = rng.normal(size=(80, 6))
    labels = np.argmax(images @ rng.normal(size=(6, 3)), axis=1)
    trainable, rest = nn.partition(model)
    state, values = optimizer.init(trainable), []
    for i in range(steps):
        rows = slice(20 * (i % 4), 20 * (i % 4) + 20)
        trainable, rest, state, value = step(
            trainable,
            rest,
            state,
            xp.asarray(images[rows]),
            xp.asarray(labels[rows]),
            random.fold_in(draws, i),
        )
        values.append(float(value))
    return values, on_host(nn.combine(trainable, rest)(xp.asarray(images)))


@functools.cache
def curve_on_numpy() -> tuple[list[float], Any]:
    with use_backend("numpy"):
        return curve(100)


@pytest.mark.usefixtures("backend")
def test_the_same_losses_with_dropout_and_batch_norm_on_every_backend() -> None:
    values, predicted = curve(100)
    expected, expected_prediction = curve_on_numpy()
    assert expected[-1] < 0.7 * expected[0]
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    # The bias before a batch norm has no gradient but rounding, of which Adam makes steps; what the model
    # predicts sees it until the running mean has caught up.
    np.testing.assert_allclose(predicted, expected_prediction, atol=1e-7)


def test_debug_nans_names_a_layer_inside_a_training_call() -> None:
    with use_backend("numpy"):
        model = nn.Sequential(nn.Residual(nn.Sequential(nn.Dropout(0.5), xp.log)))
        with pytest.raises(NonFiniteError) as caught, bpkit.debug_nans():
            nn.training_call(model, np.ones((2, 3)), key=random.key(0))
    assert caught.value.layer == "model.layers[0].layer.layers[1] (Lambda(log))"
