"""Losses with all their options: PyTorch's and optax's numbers, kinks, extremes, weights, refusals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, tree
from bpkit import namespace as xp
from bpkit.errors import ArgumentError, DataError, ShapeError
from bpkit.registry import backend_of

RNG = np.random.default_rng(7)
Z = RNG.normal(size=(5, 4)) * 2
Y = RNG.uniform(size=(5, 4))
P = RNG.dirichlet(np.ones(4), size=5)
LABELS = np.asarray([2, 0, 3, 1, 2])
SOME = np.asarray([2, -100, 3, 1, -100])
SIGNS = np.asarray([1.0, -1.0, -1.0, 1.0, 1.0])
W = np.asarray([0.5, 2.0, 0.0, 1.5, 3.0])
C = np.asarray([1.0, 0.25, 3.0, 2.0])
DEEP, DEEP_LABELS = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 4, size=(2, 3))


def on_host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def placed(options: dict[str, Any]) -> dict[str, Any]:
    return {k: xp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


def weighted(each: Any, weight: Any) -> Any:
    """The weighted mean of a tensor with a value for each example."""
    return (each * weight).sum() / weight.sum()


def smoothed(y: Any, part: float, share: float) -> Any:
    return y * (1 - part) + part * share


# Our loss, output, target, our options; the same of torch: (functional, z, y, options) -> scalar.
Case = tuple[Callable[..., Any], Any, Any, dict[str, Any], Callable[..., Any]]
CASES: dict[str, Case] = {
    "quadratic-weights": (
        *(losses.quadratic, Z, Y, {"sample_weight": W}),
        lambda f, z, y, o: weighted(f.mse_loss(z, y, reduction="none").sum(1) / 2, o["sample_weight"]),
    ),
    "squared": (losses.mean_squared_error, Z, Y, {}, lambda f, z, y, o: f.mse_loss(z, y)),
    "squared-vector": (losses.mean_squared_error, Z[0], Y[0], {}, lambda f, z, y, o: f.mse_loss(z, y)),
    "squared-weights": (
        *(losses.mean_squared_error, Z, Y, {"sample_weight": W}),
        lambda f, z, y, o: f.mse_loss(z, y, weight=o["sample_weight"][:, None].expand(5, 4)),
    ),
    "absolute": (losses.mean_absolute_error, Z, Y, {}, lambda f, z, y, o: f.l1_loss(z, y)),
    "absolute-weights": (
        *(losses.mean_absolute_error, Z, Y, {"sample_weight": W}),
        lambda f, z, y, o: weighted(f.l1_loss(z, y, reduction="none").mean(1), o["sample_weight"]),
    ),
    "absolute-elements": (
        *(losses.mean_absolute_error, Z, Y, {"sample_weight": Y > 0.4}),
        lambda f, z, y, o: weighted(f.l1_loss(z, y, reduction="none"), o["sample_weight"]),
    ),
    "huber": (losses.huber, Z, Y, {}, lambda f, z, y, o: f.huber_loss(z, y)),
    "huber-delta": (losses.huber, Z, Y, {"delta": 0.3}, lambda f, z, y, o: f.huber_loss(z, y, delta=0.3)),
    "huber-weights": (
        *(losses.huber, Z, Y, {"delta": 0.3, "sample_weight": W}),
        lambda f, z, y, o: weighted(
            f.huber_loss(z, y, delta=0.3, reduction="none").mean(1), o["sample_weight"]
        ),
    ),
    "sigmoid-smoothing": (
        *(losses.sigmoid_cross_entropy, Z, Y, {"label_smoothing": 0.2}),
        lambda f, z, y, o: f.binary_cross_entropy_with_logits(z, smoothed(y, 0.2, 0.5), reduction="sum") / 5,
    ),
    "sigmoid-everything": (
        *(losses.sigmoid_cross_entropy, Z, Y),
        {"label_smoothing": 0.1, "pos_weight": C, "sample_weight": W},
        lambda f, z, y, o: weighted(
            f.binary_cross_entropy_with_logits(
                z, smoothed(y, 0.1, 0.5), pos_weight=o["pos_weight"], reduction="none"
            ).sum(1),
            o["sample_weight"],
        ),
    ),
    "sigmoid-float": (
        *(losses.sigmoid_cross_entropy, Z, Y, {"pos_weight": 3.0}),
        lambda f, z, y, o: (
            f.binary_cross_entropy_with_logits(z, y, pos_weight=z.new_tensor(3.0), reduction="sum") / 5
        ),
    ),
    "softmax-class-weights": (
        *(losses.softmax_cross_entropy, Z, LABELS, {"class_weight": C}),
        lambda f, z, y, o: f.cross_entropy(z, y, weight=o["class_weight"]),
    ),
    "softmax-smoothing": (
        *(losses.softmax_cross_entropy, Z, LABELS, {"label_smoothing": 0.3}),
        lambda f, z, y, o: f.cross_entropy(z, y, label_smoothing=0.3),
    ),
    "softmax-ignored": (
        *(losses.softmax_cross_entropy, Z, SOME, {"ignore_index": -100}),
        lambda f, z, y, o: f.cross_entropy(z, y),
    ),
    "softmax-everything": (
        *(losses.softmax_cross_entropy, Z, LABELS),
        {"ignore_index": 2, "class_weight": C, "label_smoothing": 0.3},
        lambda f, z, y, o: f.cross_entropy(
            z, y, weight=o["class_weight"], ignore_index=2, label_smoothing=0.3
        ),
    ),
    "softmax-probabilities": (
        *(losses.softmax_cross_entropy, Z, P, {"label_smoothing": 0.3}),
        lambda f, z, y, o: f.cross_entropy(z, y, label_smoothing=0.3),
    ),
    "softmax-probabilities-class-weights": (
        *(losses.softmax_cross_entropy, Z, P, {"label_smoothing": 0.3, "class_weight": C}),
        lambda f, z, y, o: (
            f.cross_entropy(z, y, label_smoothing=0.3, weight=o["class_weight"], reduction="sum")
            / (y * o["class_weight"]).sum()
        ),
    ),
    "softmax-weights": (
        *(losses.softmax_cross_entropy, Z, LABELS, {"sample_weight": W}),
        lambda f, z, y, o: weighted(f.cross_entropy(z, y, reduction="none"), o["sample_weight"]),
    ),
    "softmax-channels-first": (
        *(losses.softmax_cross_entropy, DEEP.transpose(0, 2, 1), DEEP_LABELS, {"axis": 1, "class_weight": C}),
        lambda f, z, y, o: f.cross_entropy(z, y, weight=o["class_weight"]),
    ),
    "softmax-channels-first-probabilities": (
        *(losses.softmax_cross_entropy, DEEP, DEEP[::-1] ** 2, {"axis": 1, "label_smoothing": 0.1}),
        lambda f, z, y, o: f.cross_entropy(z, y, label_smoothing=0.1),
    ),
    "softmax-mask": (
        *(losses.softmax_cross_entropy, DEEP, DEEP_LABELS, {"sample_weight": DEEP_LABELS > 1}),
        lambda f, z, y, o: weighted(
            f.cross_entropy(z.movedim(-1, 1), y, reduction="none"), o["sample_weight"]
        ),
    ),
    "softmax-rows-and-classes": (
        *(losses.softmax_cross_entropy, DEEP, DEEP_LABELS),
        {"sample_weight": np.asarray([0.5, 2.0]), "class_weight": C},
        lambda f, z, y, o: (
            (
                f.cross_entropy(z.movedim(-1, 1), y, weight=o["class_weight"], reduction="none")
                * o["sample_weight"][:, None]
            ).sum()
            / (o["class_weight"][y] * o["sample_weight"][:, None]).sum()
        ),
    ),
    "kl": (
        *(losses.kl_divergence, np.log(P[::-1]), P, {}),
        lambda f, z, y, o: f.kl_div(z, y, reduction="batchmean"),
    ),
    "kl-log": (
        *(losses.kl_divergence, np.log(P[::-1]), np.log(P), {"log_target": True}),
        lambda f, z, y, o: f.kl_div(z, y, reduction="batchmean", log_target=True),
    ),
    "kl-weights": (
        *(losses.kl_divergence, np.log(P[::-1]), P, {"sample_weight": W}),
        lambda f, z, y, o: weighted(f.kl_div(z, y, reduction="none").sum(1), o["sample_weight"]),
    ),
    "hinge": (
        *(losses.hinge, Z[:, 0], SIGNS, {"margin": 0.7}),
        lambda f, z, y, o: (0.7 - z * y).clamp(min=0).mean(),
    ),
    "hinge-weights": (
        *(losses.hinge, Z[:, 0], SIGNS, {"sample_weight": W}),
        lambda f, z, y, o: weighted((1 - z * y).clamp(min=0), o["sample_weight"]),
    ),
    "margins": (losses.multiclass_hinge, Z, LABELS, {}, lambda f, z, y, o: f.multi_margin_loss(z, y)),
    "margins-squared": (
        *(losses.multiclass_hinge, Z, LABELS, {"squared": True, "margin": 1.7}),
        lambda f, z, y, o: f.multi_margin_loss(z, y, p=2, margin=1.7),
    ),
    "margins-weights": (
        *(losses.multiclass_hinge, Z, LABELS, {"sample_weight": W, "ignore_index": 1}),
        lambda f, z, y, o: weighted(
            f.multi_margin_loss(z, y, reduction="none"), o["sample_weight"] * (y != 1)
        ),
    ),
    "cosine": (losses.cosine, Z, Y, {}, lambda f, z, y, o: 1 - f.cosine_similarity(z, y).mean()),
    "cosine-embedding": (
        *(losses.cosine, Z, Y, {}),
        lambda f, z, y, o: f.cosine_embedding_loss(z, y, z.new_ones(5)),
    ),
    "cosine-weights": (
        *(losses.cosine, Z, Y, {"sample_weight": W, "eps": 0.1}),
        lambda f, z, y, o: weighted(1 - f.cosine_similarity(z, y, eps=0.1), o["sample_weight"]),
    ),
}


def ours(loss: Callable[..., Any], z: Any, y: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    def call(z: Any) -> Any:
        return loss(z, xp.asarray(y), **placed(options))

    value, gradient = bpkit.value_and_grad(call)(xp.asarray(z))
    assert value.shape == ()
    return on_host(value), on_host(gradient)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("backend")
def test_losses_and_gradients_equal_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    loss, z, y, options, reference = CASES[name]
    theirs = torch.tensor(z, requires_grad=True)
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    expected = reference(torch.nn.functional, theirs, torch.tensor(np.ascontiguousarray(y)), tensors)
    expected.backward()
    value, gradient = ours(loss, z, y, options)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("backend")
def test_compiled_losses_are_the_same_and_float32_stays(name: str) -> None:
    loss, z, y, options, _ = CASES[name]
    step = bpkit.jit(bpkit.value_and_grad(lambda z, y, options: loss(z, y, **settings | options)))
    settings = {k: v for k, v in options.items() if not isinstance(v, np.ndarray)}
    arrays = placed({k: v for k, v in options.items() if isinstance(v, np.ndarray)})
    value, gradient = ours(loss, z, y, options)
    for _ in range(2):
        compiled, slope = step(xp.asarray(z), xp.asarray(y), arrays)
        np.testing.assert_allclose(on_host(compiled), value, rtol=1e-14)
        np.testing.assert_allclose(on_host(slope), gradient, rtol=1e-12, atol=1e-15)
    narrow = y.astype(np.float32) if y.dtype == np.float64 else y
    single, slope = ours(loss, z.astype(np.float32), narrow, options)
    assert single.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(single, value, rtol=1e-5)


def test_losses_equal_optax() -> None:
    optax = pytest.importorskip("optax")
    # Without x64 JAX computes in float32, and warns of what it narrows.
    z, y, p, q, signs = (x.astype(np.float32) for x in (Z, Y, P, np.log(P[::-1]), SIGNS))
    pairs = [
        (losses.huber(z, y, delta=0.3), optax.huber_loss(z, y, delta=0.3)),
        (losses.cosine(z, y), optax.cosine_distance(z, y)),
        (losses.hinge(z[:, 0], signs), optax.hinge_loss(z[:, 0], signs)),
        (losses.kl_divergence(q, p), optax.kl_divergence(q, p)),
        (
            losses.softmax_cross_entropy(z, LABELS),
            optax.softmax_cross_entropy_with_integer_labels(z, LABELS),
        ),
        (
            losses.softmax_cross_entropy(z, LABELS, label_smoothing=0.3),
            optax.softmax_cross_entropy(z, optax.smooth_labels(np.eye(4, dtype=np.float32)[LABELS], 0.3)),
        ),
        (losses.sigmoid_cross_entropy(z, y) / 4, optax.sigmoid_binary_cross_entropy(z, y)),
    ]
    for value, expected in pairs:
        np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n in CASES if CASES[n][2].dtype == np.float64 and CASES[n][0] is not losses.hinge]
)
@pytest.mark.usefixtures("backend")
def test_targets_have_gradients_too(name: str) -> None:
    loss, z, y, options, _ = CASES[name]
    given = placed(options)
    bpkit.check_grads(lambda y: loss(xp.asarray(z), y, **given), (xp.asarray(np.ascontiguousarray(y)),))


@pytest.mark.usefixtures("backend")
def test_a_class_number_and_its_row_mean_the_same() -> None:
    for options in (
        {},
        {"class_weight": C},
        {"class_weight": C, "label_smoothing": 0.2, "sample_weight": W},
    ):
        number = ours(losses.softmax_cross_entropy, Z, LABELS, options)
        row = ours(losses.softmax_cross_entropy, Z, np.eye(4)[LABELS], options)
        np.testing.assert_allclose(number[0], row[0], rtol=1e-14)
        np.testing.assert_allclose(number[1], row[1], rtol=1e-13, atol=1e-16)


WEIGHTED = {
    "quadratic": (losses.quadratic, Z, Y),
    "mean_squared_error": (losses.mean_squared_error, Z, Y),
    "mean_absolute_error": (losses.mean_absolute_error, Z, Y),
    "huber": (losses.huber, Z, Y),
    "sigmoid_cross_entropy": (losses.sigmoid_cross_entropy, Z, Y),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, Z, LABELS),
    "softmax_cross_entropy-rows": (losses.softmax_cross_entropy, Z, P),
    "kl_divergence": (losses.kl_divergence, np.log(P[::-1]), P),
    "hinge": (losses.hinge, Z, np.sign(Y - 0.5)),
    "multiclass_hinge": (losses.multiclass_hinge, Z, LABELS),
    "cosine": (losses.cosine, Z, Y),
}


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.usefixtures("backend")
def test_examples_without_weight_may_be_anything(name: str) -> None:
    loss, z, y = WEIGHTED[name]
    keep = np.asarray([True, False, True, True, False])
    value, gradient = ours(loss, z[keep], y[keep], {})
    z, y = z.copy(), y.copy()
    z[~keep] = [[np.nan], [np.inf]]
    y[~keep] = 99 if y.dtype == np.int64 else np.nan
    for weight in (keep, keep.astype(np.float64), keep.astype(np.int64) * 3):
        masked, slope = ours(loss, z, y, {"sample_weight": weight})
        np.testing.assert_allclose(masked, value, rtol=1e-14)
        np.testing.assert_allclose(slope[keep], gradient, rtol=1e-13, atol=1e-16)
        np.testing.assert_array_equal(slope[~keep], 0)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.usefixtures("backend")
def test_equal_weights_change_nothing_and_none_at_all_give_zero(name: str) -> None:
    loss, z, y = WEIGHTED[name]
    value, gradient = ours(loss, z, y, {})
    same, slope = ours(loss, z, y, {"sample_weight": np.full(5, 0.3)})
    np.testing.assert_allclose(same, value, rtol=1e-14)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12, atol=1e-15)
    nothing, slope = ours(loss, z, y, {"sample_weight": np.zeros(5)})
    assert nothing == 0
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.usefixtures("backend")
def test_a_batch_of_ignored_labels_has_no_loss() -> None:
    for loss in (losses.softmax_cross_entropy, losses.multiclass_hinge):
        value, gradient = ours(loss, Z, np.full(5, -100), {"ignore_index": -100})
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
    # Nothing of this dtype can be -100.
    narrow = ours(losses.softmax_cross_entropy, Z, LABELS.astype(np.uint8), {"ignore_index": -100})
    assert narrow[0] == ours(losses.softmax_cross_entropy, Z, LABELS, {})[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.usefixtures("backend")
def test_saturated_logits(dtype: str) -> None:
    z = np.asarray([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype)
    options = {"label_smoothing": 0.0}
    value, gradient = ours(losses.softmax_cross_entropy, z, np.asarray([1, 0]), options)
    np.testing.assert_allclose(value, (2e4 + 2e4 + math.log(2)) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, -0.5, 0], [-0.5, 0.25, 0.25]], rtol=1e-6)
    target = np.asarray([[0.0, 1.0, 0.0], [0.0, 1.0, 0.5]], dtype)
    value, gradient = ours(losses.sigmoid_cross_entropy, z, target, {"pos_weight": 2.0})
    np.testing.assert_allclose(value, (1e4 + 2e4 + math.log(2) + 0 + 0 + 5e3) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, -1, 0.25], [0, 0, 0.25]], rtol=1e-6)
    value, gradient = ours(losses.huber, 1e30 * z, 0 * z, {})
    assert np.isfinite(value)
    np.testing.assert_allclose(6 * gradient, np.sign(z))


@pytest.mark.usefixtures("backend")
def test_impossible_classes() -> None:
    z = np.asarray([[0.5, -np.inf, 1.5], [-np.inf, -np.inf, 3.0]])
    value, gradient = ours(losses.softmax_cross_entropy, z, np.asarray([0, 2]), {})
    np.testing.assert_allclose(value, math.log1p(math.e) / 2, rtol=1e-14)
    share = 1 / (1 + math.e)
    np.testing.assert_allclose(gradient, [[(share - 1) / 2, 0, (1 - share) / 2], [0, 0, 0]], atol=1e-16)
    value, gradient = ours(losses.kl_divergence, np.asarray([[0.0, -np.inf]]), np.asarray([[1.0, 0.0]]), {})
    assert value == 0
    np.testing.assert_array_equal(gradient, [[-1, 0]])
    log_target = np.asarray([[0.0, -np.inf]])
    value, gradient = ours(losses.kl_divergence, log_target, log_target, {"log_target": True})
    assert value == 0
    np.testing.assert_array_equal(gradient, [[-1, 0]])


@pytest.mark.usefixtures("backend")
def test_short_vectors() -> None:
    # PyTorch's value; its gradient of a vector below eps is not that of this value.
    torch = pytest.importorskip("torch")
    expected = 1 - torch.nn.functional.cosine_similarity(torch.tensor(Z), torch.tensor(Y), eps=2.5).mean()
    np.testing.assert_allclose(ours(losses.cosine, Z, Y, {"eps": 2.5})[0], expected.item(), rtol=1e-13)
    bpkit.check_grads(lambda z: losses.cosine(z, xp.asarray(Y), eps=2.5), (xp.asarray(Z),))


@pytest.mark.usefixtures("backend")
def test_slopes_at_kinks() -> None:
    zero = np.zeros((1, 3))
    np.testing.assert_array_equal(ours(losses.mean_absolute_error, zero, zero, {})[1], 0)
    at = ours(losses.huber, np.asarray([2.0, -2.0]), np.zeros(2), {"delta": 2.0})
    np.testing.assert_array_equal(at[1], [1, -1])
    np.testing.assert_array_equal(ours(losses.hinge, np.ones(2), np.ones(2), {})[1], 0)
    at = ours(losses.multiclass_hinge, np.asarray([[1.0, 0.0]]), np.asarray([0]), {})
    np.testing.assert_array_equal(at[1], 0)
    value, gradient = ours(losses.cosine, zero, zero + 1, {})
    assert value == 1
    assert np.all(np.isfinite(gradient))


@pytest.mark.usefixtures("backend")
def test_penalties() -> None:
    params = {"w": xp.asarray([[1.0, -2.0, 0.0]]), "b": xp.asarray([4.0]), "n": xp.asarray([7])}
    for penalty, value, slope in (
        (losses.l1, 7.0, [[1, -1, 0]]),
        (losses.l2, 10.5, [[1, -2, 0]]),
    ):
        assert float(penalty(params)) == value
        floats = {"w": params["w"], "b": params["b"]}
        gradients = bpkit.grad(penalty)(floats)
        np.testing.assert_array_equal(on_host(gradients["w"]), slope)
        assert on_host(gradients["b"]) != 0
        without = bpkit.grad(lambda p: penalty(p, skip_biases=True))(floats)  # noqa: B023
        assert on_host(without["b"]) == 0
        single = tree.map(lambda x: xp.astype(x, "float32"), floats)
        assert on_host(penalty(single)).dtype == np.float32
    assert float(losses.l1(params, skip_biases=True)) == 3
    with pytest.raises(ArgumentError, match="l2: there is no floating array with two or more axes in params"):
        losses.l2({"b": params["b"]}, skip_biases=True)
    with pytest.raises(ArgumentError, match="l1: there is no floating array in params"):
        losses.l1({})


def test_penalties_leave_out_what_is_not_trained() -> None:
    class Scaled(nn.Module):
        weight: Any
        running: Any = nn.buffer()

    with bpkit.use_backend("numpy"):
        layer = Scaled(np.asarray([[3.0]]), np.asarray([[100.0]]))
        model = [layer, nn.Frozen(nn.Dense(2, 2, key=bpkit.random.key(0)))]
        assert losses.l1(model) == 3
        assert losses.l2(model) == 4.5
        gradient = bpkit.grad(losses.l2)(model)
    assert gradient[0].weight == 3
    assert gradient[0].running == 0


@pytest.mark.usefixtures("backend")
def test_targets_that_make_no_sense_are_named() -> None:
    y = Y.copy()
    y[3, 1] = 1.25
    with pytest.raises(
        DataError, match=r"sigmoid_cross_entropy: target\[3, 1\] is 1.25, but targets are prob"
    ):
        losses.sigmoid_cross_entropy(xp.asarray(Z), xp.asarray(y))
    with pytest.raises(DataError, match=r"hinge: target\[1\] is 0, but targets are 1 or -1; of 0 and 1 make"):
        losses.hinge(xp.asarray(Z[:2, 0]), xp.asarray([1, 0]))
    with pytest.raises(DataError, match=r"multiclass_hinge: target\[2\] is 4, but the 4 classes"):
        bpkit.grad(losses.multiclass_hinge)(xp.asarray(Z), xp.asarray(LABELS + (LABELS == 3)))
    with pytest.raises(DataError, match=r"softmax_cross_entropy: target\[1\] is -100, but the 4 classes"):
        losses.softmax_cross_entropy(xp.asarray(Z), xp.asarray(SOME), ignore_index=2)


def test_weights_and_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        ShapeError, match=r"huber: sample_weight has shape \(4,\); expected \(5,\), one .* \(5, 4\)"
    ):
        losses.huber(Z, Y, sample_weight=C)
    with pytest.raises(
        ShapeError, match=r"softmax_cross_entropy: sample_weight has shape \(\); expected \(5,\)"
    ):
        losses.softmax_cross_entropy(Z, LABELS, sample_weight=2.0)
    with pytest.raises(ShapeError, match=r"class_weight has shape \(5,\); expected \(4,\)"):
        losses.softmax_cross_entropy(Z, LABELS, class_weight=W)
    with pytest.raises(ArgumentError, match=r"ignore_index=-100 is for class numbers, and target has a row"):
        losses.softmax_cross_entropy(Z, P, ignore_index=-100)
    with pytest.raises(ShapeError, match=r"got \(5, 1\) and \(5,\); write target\[:, None\]"):
        losses.mean_squared_error(Z[:, :1], Y[:, 0])
    with pytest.raises(
        ShapeError, match=r"multiclass_hinge: got output of shape \(5, 4\) and target .* \(5, 4\)"
    ):
        losses.multiclass_hinge(Z, np.eye(4, dtype=int)[LABELS % 4][:, :4][:5])
    for loss, option, wrong in (
        (losses.huber, "delta", 0),
        (losses.hinge, "margin", -1.0),
        (losses.cosine, "eps", math.nan),
        (losses.softmax_cross_entropy, "label_smoothing", 1.0),
        (losses.sigmoid_cross_entropy, "label_smoothing", -0.1),
    ):
        y = P if loss is losses.softmax_cross_entropy else Y
        with pytest.raises(
            ArgumentError, match=rf"{loss.__name__}: {option}: expected a number .*, got {wrong}"
        ):
            loss(Z, y, **{option: wrong})
    for empty in (losses.mean_squared_error, losses.huber, losses.cosine):
        with pytest.raises(ShapeError, match="the batch is empty"):
            empty(Z[:0], Y[:0])
