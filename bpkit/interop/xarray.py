"""xarray's labelled arrays as trees: data are leaves; names, coordinates and attributes are structure.

A function of a ``DataArray``, a ``Dataset`` or a ``Variable`` is differentiated as it is: inside, the user
sees one over traced arrays, with its labels; outside, gradients are labelled as what they belong to. This
holds as soon as bpkit meets such an object, whatever was imported: left alone, the arrays in it would be
overlooked, as those in a dataclass. So nobody has to import this module, which is where the rules stand:

- The data of each variable are one leaf. Coordinates are never differentiated.
- Two trees have one structure if names, dimensions, attributes, and coordinates with their values and dtypes
  are equal. ``encoding`` is left out.
- Where a leaf has more axes than the variable has dimensions, as of ``vmap`` and ``jacobian``, the new ones
  come first and are called ``dim_0``, ``dim_1``, … as xarray does. Where it has fewer, as in ``vmap``, the
  first dimensions are those that are gone. A coordinate that no longer fits is left out.

Needs xarray: ``pip install xarray``.
"""

try:
    import xarray as xr
except ImportError as error:
    raise ImportError(
        "bpkit.interop.xarray needs xarray, which is not installed: pip install xarray"
    ) from error

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import optree

from bpkit import tree
from bpkit.errors import ArgumentError, ShapeError
from bpkit.trace import BATCHED, Traced

__all__ = ["CONTAINERS"]

CONTAINERS = (xr.DataArray, xr.Dataset, xr.Variable)
"""The classes whose instances are trees; a class derived from one of them is a leaf."""


class _Held:
    """A leaf that is no array, such as None, in the place of an array of this shape."""

    def __init__(self, leaf: Any, shape: tuple[int, ...]) -> None:
        self.leaf, self.shape, self.ndim, self.dtype = leaf, shape, len(shape), np.dtype(object)

    def __array_namespace__(self, **_: Any) -> Any:
        raise TypeError("there is no array here")  # what xarray asks for is that the method exists


class _DataEntry(optree.GetAttrEntry):
    """How the array of a variable is reached, without asking xarray to convert it."""

    def __call__(self, obj: Any) -> Any:
        return _leaf_of(obj)


class _VariableEntry(optree.MappingEntry):  # type: ignore[type-arg]
    """How a variable of a data set is reached."""

    def __call__(self, obj: Any) -> Any:
        return obj.variables[self.entry]


def _leaf_of(x: Any) -> Any:
    data = x.variable._data if isinstance(x, xr.DataArray) else x._data
    if isinstance(data, _Held):
        return data.leaf
    data = x.data  # reads what is still in a file
    if hasattr(data, "__dask_graph__"):
        raise ArgumentError(
            f"the data of {_named(x)} are a Dask array, which is not in memory: load them, x.load(), or go "
            f"chunk by chunk with bpkit.interop.dask.value_and_grad(loss)(params, x.data)"
        )
    return data


def _named(x: Any) -> str:
    name = getattr(x, "name", None)
    return f"the {type(x).__name__} {'' if name is None else f'{name!r} '}with dimensions {x.dims}"


class _Frame:
    """What a variable is besides its data: dimensions, attributes and its shape, which is not compared."""

    def __init__(self, variable: Any) -> None:
        self.dims: tuple[Any, ...] = variable.dims
        self.shape: tuple[int, ...] = variable.shape
        self.attrs = _kept(variable.attrs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Frame):
            return NotImplemented
        return self.dims == other.dims and _same(self.attrs, other.attrs)

    def __hash__(self) -> int:
        return hash(self.dims)

    def __repr__(self) -> str:
        return f"{self.dims}"

    def around(self, leaf: Any) -> Any:
        """The variable with this in the place of its data."""
        if isinstance(leaf, np.generic):
            leaf = np.asarray(leaf)
        if not _is_array(leaf):
            return xr.Variable(self.dims, _Held(leaf, self.shape), _kept(self.attrs))
        more = len(leaf.shape) - len(self.dims)
        if more > 0:
            dims = (*_unused(self.dims, more), *self.dims)
            fits = tuple(leaf.shape[more:]) == self.shape
        else:
            dims = self.dims[-more:]
            fits = not more or tuple(leaf.shape) == self.shape[-more:]
            # Of two axes of one length only vmap knows which is gone.
            fits = fits and not (_is_example(leaf) and leaf._trace.takes_other_axis(leaf))
        if not fits:
            raise ShapeError(
                f"an array of shape {tuple(leaf.shape)} has no labels in a variable with dimensions "
                f"{self.dims} and shape {self.shape}: vmap takes examples from the first dimension, "
                f"in_axes=0, and puts them there, out_axes=0; transpose before, or hand over x.data"
            )
        return xr.Variable(dims, leaf, _kept(self.attrs))


def _is_example(leaf: Any) -> bool:
    return isinstance(leaf, Traced) and leaf._link is BATCHED


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _unused(dims: tuple[Any, ...], count: int) -> list[str]:
    """Names of new dimensions, as xarray gives them."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if f"dim_{number}" not in dims:
            found.append(f"dim_{number}")
        number += 1
    return found


class _Labels:
    """Coordinates, name and attributes of a container; equal where a compiled program serves both."""

    def __init__(self, x: Any) -> None:
        own = {}
        for name, variable in x.coords.variables.items():
            if isinstance(variable._data, Traced):
                raise ArgumentError(
                    f"the coordinate {name!r} of {_named(x)} holds values that depend on what is "
                    f"differentiated, and coordinates have no gradient; make it a data variable, "
                    f"x.reset_coords({name!r})"
                )
            # An index cannot change; any other array can, and then this would no longer be what it was.
            own[name] = _copied(variable)
        self._indexes = dict(x.xindexes)
        self._coords: dict[Any, Any] = own
        self.name = getattr(x, "name", None)
        self.attrs = _kept(x.attrs) if isinstance(x, xr.Dataset) else {}
        # Two data sets with variables of other names are other containers.
        self.variables = tuple(x.data_vars) if isinstance(x, xr.Dataset) else ()
        self._sizes = dict(x.sizes)
        data = [x.variables[name] for name in self.variables] if isinstance(x, xr.Dataset) else [x.variable]
        self._of_data = {dim for variable in data for dim in variable.dims}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Labels):
            return NotImplemented
        return (
            (self.name, self.variables) == (other.name, other.variables)
            and _same(self.attrs, other.attrs)
            and self._coords.keys() == other._coords.keys()
            and self._indexes.keys() == other._indexes.keys()
            and all(_same_coordinate(x, other._coords[name]) for name, x in self._coords.items())
            and all(type(x) is type(other._indexes[name]) for name, x in self._indexes.items())
        )

    def __hash__(self) -> int:
        return hash((self.name, self.variables, frozenset(self._coords)))

    def __repr__(self) -> str:
        shown = [
            f"{name}={np.array2string(x.values, threshold=6, edgeitems=2)}"
            if isinstance(x, xr.IndexVariable)
            else str(name)
            for name, x in self._coords.items()
        ]
        return f"{self.name if self.name is not None else ''}({', '.join(shown)})"

    def fitting(self, variables: Iterable[Any]) -> Any:
        """The coordinates that fit these variables."""
        sizes = {dim: size for dim, size in self._sizes.items() if dim not in self._of_data}
        for variable in variables:
            sizes |= variable.sizes
        kept = {
            name: x
            for name, x in self._coords.items()
            if all(sizes.get(dim) == size for dim, size in zip(x.dims, x.shape, strict=True))
        }
        indexes = {name: x for name, x in self._indexes.items() if name in kept}
        return xr.Coordinates({name: _copied(x) for name, x in kept.items()}, indexes=indexes)


def _copied(variable: Any) -> Any:
    found = variable.copy(deep=False)
    if not isinstance(variable, xr.IndexVariable):
        found = found.copy(data=deepcopy(variable._data))
    found.attrs = _kept(variable.attrs)
    return found


def _kept(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes as they are now, whatever is written into their lists and arrays later."""
    return {name: _kept_value(x) for name, x in attrs.items()}


def _kept_value(x: Any) -> Any:
    if isinstance(x, str | int | float | Traced):
        return x
    if type(x) is dict:
        return _kept(x)
    if type(x) in (list, tuple):
        return type(x)(map(_kept_value, x))
    try:
        found = deepcopy(x)
    except Exception:  # noqa: BLE001 - a lock or a file, which is compared with itself
        return x
    # What is equal to itself alone would make each call a new one.
    return found if _same_value(x, found) else x


def _same(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether attributes are equal; 1, 1.0 and True are not."""
    return list(one) == list(other) and all(_same_value(x, other[name]) for name, x in one.items())


def _same_value(x: Any, y: Any) -> bool:
    if type(x) is not type(y):
        return False
    if isinstance(x, Mapping):
        return _same(x, y)
    if isinstance(x, list | tuple):
        return len(x) == len(y) and all(map(_same_value, x, y))
    if _is_array(x):
        return bool(
            x.dtype == y.dtype
            and x.shape == y.shape
            and xr.Variable(_axes(x), x).equals(xr.Variable(_axes(y), y))
        )
    return bool(x is y or x == y or (x != x and y != y))


def _axes(x: Any) -> tuple[str, ...]:
    return tuple(f"dim_{i}" for i in range(len(x.shape)))


def _same_coordinate(x: Any, y: Any) -> bool:
    return bool(type(x) is type(y) and x.dtype == y.dtype and x.equals(y) and _same(x.attrs, y.attrs))


def _flatten_variable(x: Any) -> tuple[list[Any], _Frame, tuple[str]]:
    return [_leaf_of(x)], _Frame(x), ("data",)


def _unflatten_variable(frame: _Frame, children: Iterable[Any]) -> Any:
    (leaf,) = children
    return frame.around(leaf)


def _flatten_array(x: Any) -> tuple[list[Any], tuple[_Frame, _Labels], tuple[str]]:
    return [_leaf_of(x)], (_Frame(x.variable), _Labels(x)), ("data",)


def _unflatten_array(static: tuple[_Frame, _Labels], children: Iterable[Any]) -> Any:
    frame, labels = static
    (leaf,) = children
    variable = frame.around(leaf)
    return xr.DataArray(variable, coords=labels.fitting([variable]), name=labels.name)


def _flatten_dataset(x: Any) -> tuple[list[Any], _Labels, tuple[Any, ...]]:
    labels = _Labels(x)
    return [x.variables[name] for name in labels.variables], labels, labels.variables


def _unflatten_dataset(labels: _Labels, children: Iterable[Any]) -> Any:
    variables = [x if isinstance(x, xr.Variable) else xr.Variable((), _Held(x, ())) for x in children]
    named = dict(zip(labels.variables, variables, strict=True))
    return xr.Dataset(named, coords=labels.fitting(variables), attrs=_kept(labels.attrs))


tree.register(xr.Variable, _flatten_variable, _unflatten_variable, _DataEntry)
tree.register(xr.DataArray, _flatten_array, _unflatten_array, _DataEntry)
tree.register(xr.Dataset, _flatten_dataset, _unflatten_dataset, _VariableEntry)
