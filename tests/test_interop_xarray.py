"""xarray's labelled arrays as trees: gradients with the labels of what they belong to."""

import re
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import losses, nn, optim, random, training, tree
from bpkit.errors import ArgumentError, ShapeError

xr = pytest.importorskip("xarray")


def heights():
    return xr.DataArray(
        np.asarray([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]]),
        dims=("time", "place"),
        coords={
            "time": np.asarray(["2026-01-01", "2026-01-02"], dtype="datetime64[ns]"),
            "place": ["a", "b", "c"],
            "wet": ("place", [0, 1, 0]),
            "year": 2026,
        },
        name="height",
        attrs={"units": "m", "range": [0.0, np.nan]},
    )


def weather():
    weight = xr.DataArray(np.asarray([0.2, 0.3, 0.5]), dims="place", coords={"place": ["a", "b", "c"]})
    found = xr.Dataset({"height": heights(), "weight": weight}, attrs={"source": "made up"})
    return found.assign_coords(depth=[1.0, 2.0])  # along a dimension that no variable has


def energy(x):
    """By labels: a row by its date, the others by name, and a product that aligns."""
    row = x["height"].sel(time="2026-01-02")
    return ((x["height"] * x["weight"]) ** 2).sum().data + (row**3).mean("place").data


def differences(loss, x, name):
    """Central differences by each element of a variable."""
    found = np.zeros(x[name].shape)
    for place in np.ndindex(found.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy(deep=True)
            moved[name].data[place] += sign * 1e-6
            ends.append(float(loss(moved)))
        found[place] = (ends[0] - ends[1]) / 2e-6
    return found


@pytest.mark.parametrize("transform", [bpkit.grad, lambda f: bpkit.jit(bpkit.grad(f))], ids=["plain", "jit"])
def test_the_gradient_of_a_dataset_is_one_with_its_labels(transform):
    x = weather()
    gradient = transform(energy)(x)
    assert isinstance(gradient, xr.Dataset)
    assert gradient.coords.to_dataset().identical(x.coords.to_dataset()) and gradient.attrs == x.attrs
    assert gradient.xindexes.keys() == x.xindexes.keys()
    for name in x:
        assert gradient[name].dims == x[name].dims and gradient[name].attrs == x[name].attrs
        np.testing.assert_allclose(gradient[name], differences(energy, x, name), rtol=1e-7, atol=1e-8)


def test_dataarrays_and_variables():
    x = heights()
    value, gradient = bpkit.value_and_grad(lambda x: (x.sel(place="b") ** 2).sum().data)(x)
    assert gradient.identical(x.copy(data=np.asarray([[0, 4.0, 0], [0, 1.0, 0]]))) and value == 4.25
    of_variable = bpkit.grad(lambda v: (v**2).sum().data)(x.variable)
    assert of_variable.identical(x.variable.copy(data=2 * x.data))
    t = x.copy(data=np.ones((2, 3)))
    assert bpkit.jvp(lambda x: x**2, (x,), (t,))[1].data.tolist() == (2 * x.data).tolist()
    assert tree.paths({"x": x, "all": weather()}) == [
        "['all']['height'].data",
        "['all']['weight'].data",
        "['x'].data",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_backend_that_xarray_can_hold(backend, xp, dtype):
    if backend.name == "torch":
        pytest.skip("xarray makes NumPy arrays of torch's tensors")
    x = xr.DataArray(xp.asarray([[1.0, 2.0], [3.0, 4.0]], dtype=getattr(xp, dtype)), dims=("a", "b"))
    gradient = bpkit.grad(lambda x: (x.isel(a=0) * x.isel(a=1)).sum().data)(x)
    assert backend.owns(type(gradient.data)) and gradient.dims == x.dims and gradient.dtype == x.dtype
    assert backend.to_host(gradient.data).tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_the_same_as_without_labels():
    x = weather()

    def plain(height, weight):
        return np.sum((height * weight) ** 2) + np.mean(height[1] ** 3)

    expected = bpkit.grad(plain, argnums=(0, 1))(x.height.data, x.weight.data)
    found = bpkit.grad(energy)(x)
    np.testing.assert_allclose(found.height, expected[0], rtol=1e-14)
    np.testing.assert_allclose(found.weight, expected[1], rtol=1e-14)
    tangent = tree.map(np.ones_like, x)
    product = bpkit.hvp(energy, (x,), (tangent,))
    ones = (np.ones((2, 3)), np.ones(3))
    other = bpkit.hvp(plain, (x.height.data, x.weight.data), ones)
    np.testing.assert_allclose(product.height, other[0], rtol=1e-13)


def test_integers_have_no_gradient():
    x = weather().assign(count=("place", [1, 2, 3]))
    with pytest.raises(ArgumentError, match=r"argument 0\['count'\]\.data is asked for a gradient.*int64"):
        bpkit.grad(energy)(x)
    counts = x[["count"]]
    gradient = bpkit.grad(lambda x, counts: (x.weight * counts["count"]).sum().data)(weather(), counts)
    assert gradient.weight.data.tolist() == [1.0, 2.0, 3.0] and not np.any(gradient.height)


def test_jit_looks_at_labels():
    runs = []

    @bpkit.jit
    def scaled(x):
        runs.append(1)
        return x * float(x.time[0].dt.day) * x.attrs.get("factor", 1)

    x = heights().drop_attrs()
    later = x.assign_coords(time=x.time + np.timedelta64(1, "D"))
    for _ in range(2):
        assert float(scaled(x)[0, 0]) == 1.0 and float(scaled(later)[0, 0]) == 2.0
        assert float(scaled(x.assign_attrs(factor=3))[0, 0]) == 3.0
    count = len(runs)
    scaled(heights().drop_attrs())  # equal labels, other objects
    assert len(runs) == count
    wet = x.wet.data
    before = tree.structure(x)
    wet[0] = 5
    assert tree.structure(x) != before
    out = scaled(x)
    out.wet.data[0] = 7  # what is written to a result is no label of the next
    assert scaled(x).wet.data[0] == 5


def test_structures():
    x = heights()
    same = tree.structure(x)
    assert tree.structure(heights()) == same and hash(tree.structure(heights())) == hash(same)
    for other in (
        x.rename("other"),
        x.rename(place="where"),
        x.drop_vars("wet"),
        x.assign_coords(wet=("place", [0.0, 1.0, 0.0])),
        x.assign_coords(place=["a", "b", "d"]),
        x.assign_attrs(units="km"),
        x.assign_attrs(range=[0, np.nan]),
        x.drop_indexes("place"),
    ):
        assert tree.structure(other) != same
    with pytest.raises(ValueError, match=r"[Mm]ismatch"):
        tree.map(lambda x, y: x + y, x, x.rename("other"))


def test_leaves_that_are_no_arrays():
    x = weather()
    held = tree.map(lambda leaf: str(leaf.shape), x)
    assert tree.leaves(held) == ["(2, 3)", "(3,)"]
    assert tree.structure(held) == tree.structure(x)
    trained, rest = nn.partition({"x": x, "n": np.arange(2)})
    assert nn.combine(trained, rest)["x"].identical(x)
    assert tree.match(tree.map(lambda leaf: None, x), tree.structure(x)) == [None, None]


def test_vmap_and_jacobian_name_new_dimensions():
    x = heights()
    rows = bpkit.vmap(lambda row: row - row.mean("place"))(x)
    assert rows.dims == ("dim_0", "place") and set(rows.coords) == {"place", "wet", "year"}
    np.testing.assert_allclose(rows, x - x.mean("place"))
    assert rows.place.identical(x.place.drop_vars("time", errors="ignore"))
    matrix = bpkit.jacobian(lambda x: (x**2).sum("place").data)(x)
    assert matrix.dims == ("dim_0", "time", "place") and "time" in matrix.coords
    np.testing.assert_allclose(matrix.isel(dim_0=1, time=1), 2 * x[1])
    square = xr.DataArray(np.ones((2, 2)), dims=("a", "b"))
    with pytest.raises(ShapeError, match=r"no labels in .*\('a', 'b'\).*in_axes=0"):
        bpkit.vmap(lambda x: x, in_axes=1)(square)
    of_examples = bpkit.vmap(bpkit.grad(lambda w, row: ((w * row) ** 2).sum().data), in_axes=(None, 0))
    assert of_examples(x[0], x.drop_vars("time")).shape == (2, 3)


def test_parameters_that_an_optimizer_and_fit_train(tmp_path):
    class Scale(nn.Module):
        factors: Any

        def __call__(self, x):
            return x * self.factors.data

    start = xr.DataArray(np.ones(3), dims="place", coords={"place": ["a", "b", "c"]})
    x = np.asarray(random.normal(random.key(0), (40, 3)), dtype=np.float64)
    y = x * np.asarray([1.0, -2.0, 0.5])
    settings = {"epochs": 40, "progress": False, "folder": tmp_path / "run"}
    fitted = training.fit(Scale(start), (x, y), losses.mean_squared_error, optim.adam(0.1), **settings)
    assert fitted.model.factors.sel(place="b") < -1.9
    again = training.load_model(tmp_path / "run", Scale(start))
    assert again.factors.identical(fitted.model.factors)


def test_what_is_refused():
    x = heights()
    pytest.importorskip("dask")
    with pytest.raises(ArgumentError, match=r"DataArray 'height' .* Dask array.*\.load\(\).*interop\.dask"):
        bpkit.grad(lambda x: x.sum().data)(x.chunk(place=2))
    with pytest.raises(ArgumentError, match=r"coordinate 'twice' .*have no gradient.*reset_coords"):
        bpkit.vjp(lambda x: x.assign_coords(twice=x.variable * 2), x)


def test_whatever_was_imported_first():
    """Containers from the first sight on: also where a leaf of another library was seen before."""
    program = """
import sys
import threading
import numpy as np
import bpkit
assert bpkit.tree.leaves([1, np.ones(1)]) and "xarray" not in sys.modules
assert "bpkit.interop.xarray" not in sys.modules
import xarray as xr
print(bpkit.grad(lambda x: (x ** 2).sum().data)(xr.DataArray([1.0, 2.0], dims="a")).data)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.stdout == "[2. 4.]\n", done.stderr


@pytest.mark.parametrize("scale", [[1.0, 2.0], np.ones(2), {"all": [[1.0]]}], ids=["list", "array", "nested"])
def test_jit_sees_what_is_written_into_an_attribute(scale):
    def scaled(x):
        found = x.attrs["scale"]
        return x.data * (found["all"][0][0] if isinstance(found, dict) else found[0])

    x = xr.DataArray(np.ones(2), dims="t", attrs={"scale": scale})
    of_coordinate = x.drop_attrs().assign_coords(t=("t", [0, 1], {"scale": scale}))
    of_dataset = xr.Dataset({"a": x.drop_attrs()}, attrs={"scale": scale})
    fs = [
        bpkit.jit(f)
        for f in (scaled, lambda x: scaled(x.t) + x.data, lambda d: scaled(d.a.assign_attrs(d.attrs)))
    ]
    before = [f(given) for f, given in zip(fs, (x, of_coordinate, of_dataset), strict=True)]
    if isinstance(scale, dict):
        scale["all"][0][0] = 7.0
    else:
        scale[0] = 7.0
    after = [f(given) for f, given in zip(fs, (x, of_coordinate, of_dataset), strict=True)]
    assert [found.tolist() for found in before] == [[1.0, 1.0], [1.0, 2.0], [1.0, 1.0]]
    assert [found.tolist() for found in after] == [[7.0, 7.0], [1.0, 8.0], [7.0, 7.0]]


def test_what_is_written_into_an_attribute_of_a_result_stays_there():
    double = bpkit.jit(lambda x: x.copy(data=2 * x.data))
    x = xr.DataArray(np.ones(2), dims="t", attrs={"scale": [1.0]})
    double(x).attrs["scale"][0] = 7.0
    assert double(x).attrs == {"scale": [1.0]} == x.attrs


def test_an_attribute_that_is_equal_to_itself_alone_is_recorded_once():
    class Projection:
        pass

    runs = []

    @bpkit.jit
    def double(x):
        runs.append(x)
        return 2 * x.data

    x = xr.DataArray(np.ones(2), dims="t", attrs={"projection": Projection(), "lock": threading.Lock()})
    assert [double(x).tolist() for _ in range(3)] == [[2.0, 2.0]] * 3 and len(runs) == 1


@pytest.mark.parametrize(
    "loss, text",
    [
        (lambda x: (x**2).sum(), r"it is the DataArray (?s:.*)return the array in it, result\.data"),
        (lambda x: (x.to_dataset(name="a") ** 2).sum(), r"return the array in it, result\['a'\]\.data"),
        (lambda x: bpkit.xp.exp(x).sum().data, r"got xarray.*x\.data, or a function of NumPy, numpy\.exp"),
    ],
    ids=["array", "dataset", "xp"],
)
def test_errors_say_where_the_array_is(loss, text):
    with pytest.raises(TypeError, match=rf"(?s).*{text}"):
        bpkit.grad(loss)(heights())


@pytest.mark.parametrize(
    "loss, name",
    [
        (lambda x: float((x**2).sum()), "__float__"),
        (lambda x: (x**2).sum().values, "values"),
        (lambda x: x.rolling(place=2).mean().sum().data, "Rolling"),
        (lambda x: x.drop_vars("place").differentiate("place").sum().data, "differentiate"),
        (lambda x: x.median().data, "median"),
    ],
    ids=["float", "values", "rolling", "differentiate", "median"],
)
def test_what_of_xarray_takes_no_traced_arrays_is_named(loss, name):
    with pytest.raises((TypeError, AttributeError)) as caught:
        bpkit.grad(loss)(heights())
    assert re.search(rf"in xarray's [^ ]*{name}[^ ]*, .*x\.data", caught.value.__notes__[0])


def test_an_error_that_is_xarrays_own_has_no_such_note():
    with pytest.raises(KeyError) as caught:
        bpkit.grad(lambda x: x.sel(place="nowhere").sum().data)(heights())
    assert not any("xarray's" in note for note in getattr(caught.value, "__notes__", ()))


def test_tangents_with_other_labels():
    x = heights()

    def square(x):
        return (x**2).sum().data

    with pytest.raises(ArgumentError, match=r"place=\['a' 'b' 'c'\].*they have .*place=\['a' 'b' 'd'\]"):
        bpkit.jvp(square, (x,), (x.assign_coords(place=["a", "b", "d"]),))
    with pytest.raises(ArgumentError, match=r"they have one that looks alike, but labels, attributes"):
        bpkit.jvp(square, (x,), (x.assign_attrs(units="km"),))
