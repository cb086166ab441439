"""vmap: axes, trees, nesting, writes, what it composes with, and what it refuses."""

import importlib
from typing import Any, NamedTuple

import numpy as np
import pytest

from bpkit import grad, jvp, nn, random, stop_gradient, tree, value_and_grad, vjp, vmap, xp
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, BatchingError, LeakedArrayError, MixedBackendsError, ShapeError
from bpkit.registry import backend_of


def host(x: Any) -> Any:
    return backend_of(x).to_host(x)


def arrays(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [xp.asarray(rng.normal(size=shape).tolist(), dtype=xp.float64) for shape in shapes]


only_numpy = pytest.mark.parametrize("backend", ["numpy"], indirect=True)


# Axes.


@pytest.mark.parametrize("in_axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out_axis", [0, 1, -1, -2])
def test_the_examples_lie_where_the_axes_say(backend: Backend, in_axis: int, out_axis: int) -> None:
    (x,) = arrays((2, 3, 4))
    found = vmap(lambda y: y * 2, in_axes=in_axis, out_axes=out_axis)(x)
    expected = np.moveaxis(np.moveaxis(host(x), in_axis, 0) * 2, 0, out_axis)
    np.testing.assert_array_equal(host(found), expected)
    assert type(found) is type(x)


def test_axes_for_each_argument_and_for_parts_of_it(backend: Backend) -> None:
    w, b, x = arrays((4, 3), (4, 5), (3, 5))

    def layer(p: Any, x: Any, scale: float) -> Any:
        return {"y": p["w"] @ x + p["b"], "n": (xp.sum(x), scale * p["w"])}

    found = vmap(layer, in_axes=({"w": None, "b": 1}, -1, None), out_axes={"y": 1, "n": (0, None)})(
        {"w": w, "b": b}, x, 2.0
    )
    np.testing.assert_allclose(host(found["y"]), host(w) @ host(x) + host(b), rtol=1e-14)
    np.testing.assert_allclose(host(found["n"][0]), host(x).sum(0), rtol=1e-14)
    np.testing.assert_array_equal(host(found["n"][1]), 2 * host(w))
    # A list in place of a tuple, and keyword arguments along axis 0.
    again = vmap(lambda b, *, x: xp.sum(b) * x, in_axes=[1])(b, x=xp.matrix_transpose(x))
    np.testing.assert_allclose(host(again), host(b).sum(0)[:, None] * host(x).T, rtol=1e-14)


class Pair(NamedTuple):
    first: Any
    second: Any


def test_any_tree_of_arrays(backend: Backend) -> None:
    x, y = arrays((3, 2), (3,))
    model = nn.Dense(2, 2, key=random.key(0), dtype="float64")
    found = vmap(lambda p: Pair([p.first * 2, None], {"s": p.second + 1}))(Pair(x, y))
    assert type(found) is Pair and found.first[1] is None
    np.testing.assert_array_equal(host(found.second["s"]), host(y) + 1)
    out = vmap(model)(x)
    np.testing.assert_allclose(host(out), host(model(x)), rtol=1e-14)


def test_a_result_that_is_the_same_for_all_is_repeated(backend: Backend) -> None:
    (x,) = arrays((3, 2))
    ones = xp.ones(2, dtype=xp.float64)
    a, b, c = vmap(lambda row: (ones, 2.0, xp.zeros_like(row)))(x)
    assert (a.shape, b.shape, c.shape) == ((3, 2), (3,), (3, 2))
    np.testing.assert_array_equal(host(a), np.ones((3, 2)))
    once, number = vmap(lambda row: (ones, 3.0), out_axes=None)(x)
    assert once.shape == (2,) and number == 3.0


def test_results_belong_to_the_caller(backend: Backend) -> None:
    (x,) = arrays((3, 2))
    before = host(x).copy()
    found = vmap(lambda row: row)(x)
    again, same = vmap(lambda row: (row, row), out_axes=(0, 1))(x)
    if Capability.IN_PLACE in backend.capabilities:
        found += 1
        again += 2
        same += 3
    np.testing.assert_array_equal(host(x), before)


def test_no_examples(backend: Backend) -> None:
    x = xp.zeros((0, 3), dtype=xp.float64)
    assert vmap(lambda row: xp.sum(xp.sin(row)))(x).shape == (0,)
    assert vmap(grad(lambda row: xp.sum(xp.sin(row) @ row)))(x).shape == (0, 3)
    assert vmap(lambda row: xp.reshape(row[None, :], (-1, 1)))(x).shape == (0, 3, 1)


# Nesting and composition.


def test_nested(backend: Backend) -> None:
    x, y = arrays((3, 2), (4, 2))
    found = vmap(vmap(xp.linalg.vecdot, in_axes=(None, 0)), in_axes=(0, None))(x, y)
    np.testing.assert_allclose(host(found), host(x) @ host(y).T, rtol=1e-14)
    (z,) = arrays((2, 3, 4))
    turned = vmap(vmap(lambda v: v, in_axes=1, out_axes=1), in_axes=1, out_axes=2)(z)
    np.testing.assert_array_equal(host(turned), np.moveaxis(host(z), 1, 2))


def loss(w: Any, x: Any) -> Any:
    hidden = xp.tanh(w["w"] @ x + w["b"])
    return xp.sum(xp.square(hidden)) + xp.max(x) * xp.logsumexp(hidden)


def test_gradients_for_each_example(backend: Backend) -> None:
    w, b, x = arrays((4, 3), (4,), (5, 3))
    parameters = {"w": w, "b": b}
    values, gradients = vmap(value_and_grad(loss), in_axes=(None, 0))(parameters, x)
    for i in range(5):
        value, gradient = value_and_grad(loss)(parameters, x[i, ...])
        np.testing.assert_allclose(host(values)[i], host(value), rtol=1e-13)
        for name in ("w", "b"):
            np.testing.assert_allclose(host(gradients[name])[i], host(gradient[name]), rtol=1e-12, atol=1e-14)


def test_under_grad_and_over_it(backend: Backend) -> None:
    w, b, x = arrays((4, 3), (4,), (5, 3))

    def total(p: Any, x: Any) -> Any:
        return xp.sum(vmap(loss, in_axes=(None, 0))(p, x))

    def by_loop(p: Any, x: Any) -> Any:
        return sum(loss(p, x[i, ...]) for i in range(5))

    for argnum in (0, 1):
        found = tree.leaves(grad(total, argnum)({"w": w, "b": b}, x))
        expected = tree.leaves(grad(by_loop, argnum)({"w": w, "b": b}, x))
        for f, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(host(f), host(e), rtol=1e-12, atol=1e-14)
    # And once more around all of it.
    second = grad(lambda x: xp.sum(vmap(grad(loss, 1), in_axes=(None, 0))({"w": w, "b": b}, x) ** 2))(x)
    again = grad(lambda x: sum(xp.sum(grad(loss, 1)({"w": w, "b": b}, x[i, ...]) ** 2) for i in range(5)))(x)
    np.testing.assert_allclose(host(second), host(again), rtol=1e-11, atol=1e-13)


def test_a_pullback_and_a_tangent_under_vmap(backend: Backend) -> None:
    w, x = arrays((4, 3), (3,))
    out, pullback = vjp(lambda x: xp.sin(xp.matmul(w, x)), x)
    rows = vmap(pullback)(xp.eye(4, dtype=xp.float64))[0]
    columns = vmap(lambda t: jvp(lambda x: xp.sin(xp.matmul(w, x)), (x,), (t,))[1], out_axes=1)(
        xp.eye(3, dtype=xp.float64)
    )
    expected = np.cos(host(w) @ host(x))[:, None] * host(w)
    np.testing.assert_allclose(host(rows), expected, rtol=1e-14)
    np.testing.assert_allclose(host(columns), expected, rtol=1e-14)
    assert out.shape == (4,)


def test_forward_mode_over_vmap(backend: Backend) -> None:
    x, t = arrays((5, 3), (5, 3))
    found = jvp(vmap(lambda row: xp.prod(row) * row), (x,), (t,))[1]
    expected = [host(jvp(lambda row: xp.prod(row) * row, (x[i, ...],), (t[i, ...],))[1]) for i in range(5)]
    np.testing.assert_allclose(host(found), np.stack(expected), rtol=1e-13)


def test_stop_gradient_inside(backend: Backend) -> None:
    (x,) = arrays((4,))
    found = vmap(grad(lambda y: y * stop_gradient(y)))(x)
    np.testing.assert_array_equal(host(found), host(x))


@pytest.mark.parametrize("backend", ["torch", "jax"], indirect=True)
def test_equal_to_what_the_library_has(backend: Backend) -> None:
    """The same function with the library's own vmap and grad."""
    w, x = arrays((4, 3), (5, 3))

    def f(w: Any, x: Any, lib: Any) -> Any:
        return lib.sum(lib.tanh(w @ x) ** 2) * lib.exp(x[0]) + lib.sum(x[1:])

    if backend.name == "torch":
        torch = importlib.import_module("torch")
        theirs = torch.func.vmap(torch.func.grad(lambda w, x: f(w, x, torch)), in_dims=(None, 0))(w, x)
        nested = torch.func.vmap(torch.func.jacrev(torch.func.grad(lambda x: f(w, x, torch))))(x)
    else:
        jax = importlib.import_module("jax")
        theirs = jax.vmap(jax.grad(lambda w, x: f(w, x, jax.numpy)), in_axes=(None, 0))(w, x)
        nested = jax.vmap(jax.hessian(lambda x: f(w, x, jax.numpy)))(x)
    np.testing.assert_allclose(
        host(vmap(grad(lambda w, x: f(w, x, xp)), in_axes=(None, 0))(w, x)), host(theirs), rtol=1e-12
    )

    def hessian(x: Any) -> Any:
        _, pullback = vjp(grad(lambda x: f(w, x, xp)), x)
        return vmap(pullback)(xp.eye(3, dtype=xp.float64))[0]

    np.testing.assert_allclose(host(vmap(hessian)(x)), host(nested), rtol=1e-12, atol=1e-14)


# Writes.


def test_a_write_stays_in_the_example(backend: Backend) -> None:
    (x,) = arrays((3, 4))
    before = host(x).copy()

    def f(row: Any) -> Any:
        found = xp.zeros(5, dtype=row.dtype)
        found[1:] = row
        found[0] = xp.sum(row)
        found[row[0] * xp.ones(5, dtype=row.dtype) > 0] = -1.0
        row[0] = 7.0
        view = found[2:4]
        view *= 2.0
        return found + row[0]

    expected = []
    for row in before.copy():
        found = np.zeros(5)
        found[1:] = row
        found[0] = row.sum()
        found[row[0] * np.ones(5) > 0] = -1.0
        if Capability.IN_PLACE in backend.capabilities:
            found[2:4] *= 2.0
        expected.append(found + 7.0)
    np.testing.assert_allclose(host(vmap(f)(x)), np.stack(expected), rtol=1e-14)
    np.testing.assert_array_equal(host(x), before)


def swapped(x: Any) -> Any:
    first = x[0]
    x[0] = x[1]
    x[1] = first
    return x * 1.0


def sums_so_far(x: Any) -> Any:
    total, seen = xp.sum(x), []
    for _ in range(3):
        seen.append(total * 1.0)
        old = total
        total += x[1]
        seen.append(old - total)
    return xp.stack(seen)


def elements_kept(x: Any) -> Any:
    total = xp.sum(x, keepdims=True)
    one = total[0]
    vector = xp.reshape(x[2], (1,))
    repeated = xp.broadcast_to(x[1], (2,))
    total += 1.0
    vector += 1.0
    x[1] = 0.0
    x[2] *= 2.0
    return xp.concat([one * total, vector, repeated, x])


def arrays_of_no_axes(x: Any) -> Any:
    made = xp.zeros((), dtype=x.dtype)
    other = made
    made += x[0]
    made[...] = made * 2.0
    seen = xp.where(x[0] > 0, x[0], x[1])
    again = seen
    again += 1.0
    whole = x[0, ...]
    whole += 3.0
    return xp.stack([other, made, seen, again, x[0]])


def mask_of_all(x: Any) -> Any:
    mask = xp.asarray([True, False, True, False])
    x[mask] = x[:2] * 2.0
    x[x < 0] = 7.0
    return x


def lines_of_a_matrix(x: Any) -> Any:
    table = xp.zeros((2, 4), dtype=x.dtype)
    line = table[1, ...]
    table[0, ...] = x
    line += x[::-1] if line.shape else x
    turned = xp.matrix_transpose(table)
    turned[0, ...] = -1.0
    return xp.stack([table[0, ...], table[1, ...], line])


IN_PLACE = [swapped, sums_so_far, elements_kept, arrays_of_no_axes, mask_of_all, lines_of_a_matrix]


@pytest.mark.parametrize("fun", IN_PLACE)
def test_writes_and_names_are_those_of_a_loop_over_the_examples(backend: Backend, fun: Any) -> None:
    """What shares memory, and what `x += y` changes for other names, differs between the libraries."""
    (x,) = arrays((3, 4))
    before = host(x).copy()

    def slope(row: Any) -> Any:
        return grad(lambda r: xp.sum(fun(r) ** 3))(row)

    for f in (fun, slope):
        # In a transform, since the arrays of some libraries cannot change.
        expected = [host(vjp(f, xp.asarray(x[i, ...], copy=True))[0]) for i in range(3)]
        np.testing.assert_allclose(host(vmap(f)(x)), np.stack(expected), rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(host(x), before)
        twice = vmap(lambda row, f=f: vmap(f)(xp.stack([row, row * 2.0])))(x)
        np.testing.assert_allclose(host(twice)[:, 0], np.stack(expected), rtol=1e-13, atol=1e-15)


@only_numpy
def test_an_example_of_no_axes_is_a_number(backend: Backend) -> None:
    def f(x: Any) -> Any:
        old = x
        x += 1.0
        return old * x

    x = np.asarray([1.0, 2.0])
    np.testing.assert_array_equal(vmap(f)(x), [f(1.0), f(2.0)])
    np.testing.assert_array_equal(vmap(grad(f))(x), [3.0, 5.0])


def test_results_of_vmap_inside_a_transform_are_arrays_of_their_own(backend: Backend) -> None:
    (x,) = arrays((3, 4))

    def by_loop(f: Any) -> Any:
        def run(x: Any) -> Any:
            rows = [f(x[i, ...]) for i in range(3)]
            return tuple([xp.stack(list(parts)) for parts in zip(*rows, strict=True)])

        return run

    def energy(run: Any, f: Any) -> Any:
        def total(x: Any) -> Any:
            y = xp.sin(x)
            a, b, c = run(f(y))(y)
            a[0, ...] = 7.0
            b[1, ...] = x[0, ...]
            c[2, ...] = x[1, ...]
            return xp.sum(a * b * y) + xp.sum(c**3 * a)

        return total

    for f in (
        lambda y: lambda row: (row, row, xp.ones(4, dtype=row.dtype)),
        lambda y: lambda row: (row[::-1], xp.reshape(row, (4,)), y[0, ...]),
    ):
        found, expected = grad(energy(vmap, f))(x), grad(energy(by_loop, f))(x)
        np.testing.assert_allclose(host(found), host(expected), rtol=1e-13, atol=1e-15)


def test_indices_that_differ_between_examples(backend: Backend) -> None:
    (table,) = arrays((6, 4))
    places = xp.asarray([[0, 5], [3, 3], [-1, 2]])
    labels = xp.asarray([1, 0, 3])
    found = vmap(lambda i: xp.take(table, i, axis=0))(places)
    np.testing.assert_array_equal(host(found), host(table)[host(places)])
    gradient = grad(lambda t: xp.sum(vmap(lambda i: xp.take(t, i, axis=0) ** 2)(places)))(table)
    expected = np.zeros((6, 4))
    np.add.at(expected, host(places), 2 * host(table)[host(places)])
    np.testing.assert_allclose(host(gradient), expected, rtol=1e-14)
    picked = vmap(lambda row, label: row[label])(table[:3, ...], labels)
    np.testing.assert_array_equal(host(picked), host(table)[[0, 1, 2], [1, 0, 3]])


KEYS: list[Any] = [
    lambda i: (i,),
    lambda i: (slice(None), i),
    lambda i: (slice(1, None), i, slice(None, None, 2)),
    lambda i: (..., i),
    lambda i: (0, i),
    lambda i: (i, 1),
    lambda i: (i, slice(None), i),
    lambda i: (0, slice(None), i),
    lambda i: (None, slice(None), i),
    lambda i: (i, i[:, None]),
    lambda i: (slice(None), i, i),
    lambda i: ([0, 1], i),
    lambda i: (i, np.asarray([[0], [1]])),
    lambda i: (slice(None), -1, i),
]


@only_numpy
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
def test_keys_with_arrays(backend: Backend, key: Any, in_axes: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 3, 4, 5) if in_axes[0] == 0 else (3, 4, 5))
    i = rng.integers(-2, 3, size=(3, 2) if in_axes[1] == 0 else (2,))
    examples = [(x[k] if in_axes[0] == 0 else x, i[k] if in_axes[1] == 0 else i) for k in range(3)]
    found = vmap(lambda x, i: x[key(i)], in_axes=in_axes)(x, i)
    np.testing.assert_array_equal(found, np.stack([x[key(i)] for x, i in examples]))

    def written(x: Any, i: Any) -> Any:
        x = xp.asarray(x, copy=True)
        x[key(i)] = x[key(i)] * 2 + 1
        return x

    expected = []
    for one, place in examples:
        one = one.copy()
        one[key(place)] = one[key(place)] * 2 + 1
        expected.append(one)
    np.testing.assert_array_equal(vmap(written, in_axes=in_axes)(x, i), np.stack(expected))

    def energy(x: Any, i: Any) -> Any:
        return xp.sum(x[key(i)] ** 3)

    gradients = vmap(grad(energy), in_axes=in_axes)(x, i)
    np.testing.assert_allclose(gradients, np.stack([grad(energy)(x, i) for x, i in examples]), rtol=1e-13)


# Values that differ between examples.


@pytest.mark.parametrize(
    ("fun", "what"),
    [
        (lambda x: x if x > 0 else -x, "bool"),
        (lambda x: x * int(x), "int"),
        (lambda x: x * float(x), "float"),
        (lambda x: x * complex(x), "complex"),
        (lambda x: [1, 2, 3][xp.astype(x, xp.int64)] * x, "operator.index"),
        (grad(lambda y: y * y if y > 0 else y), "bool"),
        (lambda x: f"{x:.2f}", "format"),
    ],
)
def test_branches_on_an_example_are_refused(backend: Backend, fun: Any, what: str) -> None:
    (x,) = arrays((3,))
    with pytest.raises(
        BatchingError, match=rf"^{what}\(\) of a value that differs .*xp\.where\(condition, x, y\)"
    ):
        vmap(fun)(x)
    # What is the same for all examples has a value.
    assert vmap(lambda y: y * 2 if xp.sum(x) < 100 else y)(x).shape == (3,)


def test_values_that_leave(backend: Backend) -> None:
    (x,) = arrays((3,))
    with pytest.raises(BatchingError, match=r"numpy\.asarray\(x\) of a value that differs"):
        vmap(np.asarray)(x)
    if hasattr(x, "item"):
        with pytest.raises(BatchingError, match=r"x\.item\(\) of a value that differs"):
            vmap(lambda y: y.item())(x)
    with pytest.raises(BatchingError, match=r"xp\.take\(plain, x, axis=0\) for plain\[x\]"):
        vmap(lambda y: y * [1.0, 2.0][xp.astype(y, xp.int64)])(x)
    shown: list[str] = []
    vmap(lambda y: shown.append(repr(y)) or y)(x)  # type: ignore[func-returns-value]
    assert shown[0].endswith(", 3 examples traced by vmap)")
    kept: list[Any] = []
    vmap(lambda y: kept.append(y) or y)(x)  # type: ignore[func-returns-value]
    with pytest.raises(LeakedArrayError, match=r"was traced by vmap, which has ended"):
        kept[0] * 2


def test_shapes_that_would_differ_are_refused(backend: Backend) -> None:
    if Capability.DATA_DEPENDENT_SHAPES not in backend.capabilities:
        pytest.skip("the library has none of these functions")
    (x,) = arrays((3, 4))
    for fun, what in (
        (xp.unique_values, "unique_all"),
        (lambda r: xp.nonzero(r)[0], "nonzero"),
        (lambda r: r[r > 0], r"x\[mask\]"),
        (lambda r: xp.repeat(r, xp.astype(r > 0, xp.int64)), "repeat with an array of repeats"),
    ):
        with pytest.raises(BatchingError, match=f"vmap: {what}: .* would"):
            vmap(fun)(x)


def test_arguments_that_do_not_fit(backend: Backend) -> None:
    x, y = arrays((3, 2), (4,))

    def first(x: Any, y: Any = None) -> Any:
        return x

    wrong: list[tuple[str, type[Exception], Any]] = [
        (
            r"argument 0 has 3 along axis 0, argument 1\['a'\] has 4 along axis 0",
            ShapeError,
            lambda: vmap(first)(x, {"a": y}),
        ),
        (
            r"argument 1 has its examples along axis 1, and it is an array of shape \(4,\)",
            ShapeError,
            lambda: vmap(first, (0, 1))(x, y),
        ),
        ("in_axes has 1 entries for 2 positional arguments", ArgumentError, lambda: vmap(first, (0,))(x, y)),
        ("nothing is batched", ArgumentError, lambda: vmap(first, None)(x)),
        (
            r"argument 0 must be an array with its examples along axis 0; it is the float 2\.0\. .*in_axes",
            ArgumentError,
            lambda: vmap(first)(2.0),
        ),
        (
            r"in_axes\[0\] must be an int, None or a tree of them",
            ArgumentError,
            lambda: vmap(first, ({"b": 0},))({"a": x}),
        ),
        (
            r"in_axes\[0\] must consist of ints and None; it has the float 0\.0",
            ArgumentError,
            lambda: vmap(first, 0.0)(x),
        ),
        ("the result must be an array; it is the str 'a'", ArgumentError, lambda: vmap(lambda x: "a")(x)),
        (
            "the result differs between the examples, and out_axes for it is None",
            BatchingError,
            lambda: vmap(first, out_axes=None)(x),
        ),
        (
            "out_axes=3 for the result, which with its examples has 2 axes",
            ShapeError,
            lambda: vmap(first, out_axes=3)(x),
        ),
        ("the first argument must be a function", ArgumentError, lambda: vmap(3)),  # type: ignore[arg-type]
    ]
    for message, error, run in wrong:
        with pytest.raises(error, match=f"vmap.*: .*{message}"):
            run()
    other = importlib.import_module("array_api_strict" if backend.name == "numpy" else "numpy")
    with pytest.raises(MixedBackendsError):
        vmap(lambda x, y: x)(x, other.ones(3))


def test_a_key_for_each_example(backend: Backend) -> None:
    keys = random.split(random.key(0), 4)
    found = vmap(lambda key: random.normal(key, (3,)))(keys)
    expected = [host(random.normal(keys[i, ...], (3,))) for i in range(4)]
    np.testing.assert_array_equal(host(found), np.stack(expected))


@only_numpy
def test_functions_of_numpy_that_decide_are_refused(backend: Backend) -> None:
    for decide in (np.allclose, np.array_equal, np.array_equiv):
        with pytest.raises(BatchingError, match=rf"^numpy\.{decide.__name__}\(\) of a value that differs"):
            vmap(lambda row, decide=decide: row if decide(row, 1.0) else -row)(np.ones((3, 2)))


@only_numpy
def test_numpy_functions_make_arrays_of_an_example(backend: Backend) -> None:
    (x,) = arrays((3, 4))
    places = np.asarray([-1.0, 0.0, 1.0])

    def f(row: Any) -> Any:
        made = np.zeros_like(row)
        made[1:] = row[:3]
        full = np.full_like(row, 2.0) + np.ones_like(row) + np.full_like(row, row[0])
        return made, full, np.zeros_like(row, shape=2), np.interp(row, places, places**2)

    found = vmap(f)(x)
    expected = zip(*[f(row) for row in x], strict=True)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, np.stack(b), rtol=1e-14)


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
def test_view_is_of_an_example(backend: Backend) -> None:
    (x,) = arrays((3, 4))
    np.testing.assert_array_equal(host(vmap(lambda row: row.view(2, -1) * 1.0)(x)), host(x).reshape(3, 2, 2))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        vmap(lambda row: xp.matrix_transpose(row.view(2, 2)).view(4))(x)
