"""Cases of what moves, picks, repeats or converts elements."""

from typing import Any

import numpy as np

from bpkit import namespace
from bpkit._protocol import Capability
from bpkit.indexing import scatter_add
from bpkit.namespace.indexing import add_along_axis
from bpkit.namespace.manipulation import slices

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
Z = A((2, 3), "complex", "complex128")
PICKS = np.asarray([2, 0, 2])
ROWS, COLUMNS = np.asarray([1, 0, 1]), np.asarray([2, 2, 0])
MASK = np.asarray([[True, False, True], [False, False, True]])
COUNTS = np.asarray([2, 0, 1])
EMPTY = np.asarray([], dtype=np.int64)
MASKED, DYNAMIC = Capability.BOOLEAN_INDEXING, Capability.DATA_DEPENDENT_SHAPES

MANIPULATION = [
    case("reshape", A((2, 3)), (6,)),
    case("reshape", A((2, 3)), (-1, 2)),
    case("reshape", A((2, 3)), (3, 1, 2), copy=True),
    case("reshape", A((1, 1)), ()),
    case("reshape", A((0, 3)), (3, 0, 2)),
    case("reshape", Z, (6,)),
    case("permute_dims", A((2, 3, 2)), (2, 0, 1)),
    case("permute_dims", A((2, 3, 2)), (-1, 0, -2), library=False),
    case("permute_dims", A(()), ()),
    case("matrix_transpose", A((2, 3))),
    case("matrix_transpose", A((2, 3, 2))),
    case("matrix_transpose", A((2, 3)), call=lambda xp, x: x.T, label="x.T"),
    case("matrix_transpose", A((2, 3, 2)), call=lambda xp, x: x.mT, label="x.mT"),
    case("matrix_transpose", Z),
    case("moveaxis", A((2, 3, 2)), 0, -1),
    case("moveaxis", A((2, 3, 2)), (0, 1), (-1, 0)),
    case("expand_dims", A((2, 3)), axis=0),
    case("expand_dims", A((2, 3)), axis=-2),
    case("expand_dims", A((2, 3)), axis=(-1, 0, 2)),
    case("expand_dims", A(()), axis=()),
    case("squeeze", A((1, 3, 1)), axis=0),
    case("squeeze", A((1, 3, 1)), axis=(0, -1)),
    case("broadcast_to", A((3,)), (2, 3)),
    case("broadcast_to", A((2, 1)), (2, 2, 3)),
    case("broadcast_to", A(()), (2, 3)),
    case("broadcast_to", A((1,)), (0,)),
    case("broadcast_to", A((2, 3)), (2, 3)),
    case("broadcast_arrays", A((2, 1)), A((3,))),
    case("broadcast_arrays", A((2, 3)), A(()), np.ones((1, 3))),
    case("flip", A((2, 3))),
    case("flip", A((2, 3)), axis=0),
    case("flip", A((2, 3)), axis=(0, -1)),
    case("roll", A((2, 3)), 1),
    case("roll", A((2, 3)), -1, axis=1),
    case("roll", A((2, 3)), (1, 2), axis=(0, -1)),
    case("repeat", A((2, 3)), 2),
    case("repeat", A((2, 3)), 2, axis=0),
    case("repeat", A((2, 3)), 3, axis=-1),
    case("repeat", A((2, 3)), 0, axis=0),
    case("repeat", A((2, 3)), 1),
    *[case("repeat", A((2, 3)), COUNTS, axis=axis, needs=(DYNAMIC,), label="array") for axis in (1, -1)],
    case("repeat", A((3,)), COUNTS, needs=(DYNAMIC,)),
    case("repeat", A((3, 2)), np.asarray([2]), axis=-2, needs=(DYNAMIC,), label="array of one"),
    case("repeat", A((1, 3)), COUNTS, needs=(DYNAMIC,), label="flattened"),
    case("repeat", A((0, 3)), EMPTY, axis=0, needs=(DYNAMIC,), label="of nothing"),
    case("repeat", Z, COUNTS, axis=1, needs=(DYNAMIC,)),
    case("tile", A((2, 3)), (2, 1)),
    case("tile", A((3,)), (2, 2)),
    case("tile", A((3,)), (1, 1)),
    case("tile", A((2, 3)), (2,)),
    case("tril", A((3, 3))),
    case("tril", A((2, 3)), k=1),
    case("tril", A((2, 2, 3)), k=-1),
    case("triu", A((3, 3))),
    case("triu", A((2, 3)), k=-1),
    case("triu", Z, k=1),
    case("concat", A((2, 3)), A((1, 3)), call=lambda xp, *x: xp.concat(x), label="axis=0"),
    case(
        "concat", A((2, 1)), A((2, 2)), A((2, 0)), call=lambda xp, *x: xp.concat(x, axis=-1), label="axis=-1"
    ),
    case(
        "concat", A((2, 3)), A(()), call=lambda xp, *x: xp.concat(x, axis=None), label="flat", library=False
    ),
    case("concat", A((2,)), np.ones(1), A((1,)), call=lambda xp, *x: xp.concat(x), label="constant between"),
    case("concat", A((2,)), call=lambda xp, x: xp.concat([x, x]), label="twice the same"),
    case("concat", A((2,), dtype="float32"), A((1,)), call=lambda xp, *x: xp.concat(x), label="mixed dtypes"),
    case("concat", A((2, 3)), Z, call=lambda xp, *x: xp.concat(x, axis=1), label="real and complex"),
    case("stack", A((3,)), A((3,)), call=lambda xp, *x: xp.stack(x), label="axis=0"),
    case("stack", A((2, 3)), A((2, 3)), call=lambda xp, *x: xp.stack(x, axis=-1), label="axis=-1"),
    case("stack", A(()), A(()), call=lambda xp, *x: xp.stack(x), label="scalars"),
    case("slices", A((2, 3)), call=lambda xp, x: slices(x, 0), label="axis=0", library=False),
    case("slices", A((2, 3, 2)), call=lambda xp, x: slices(x, -2)[1:], label="some", library=False),
    case("slices", Z, call=lambda xp, x: slices(x, 1)[0], label="one of them", library=False),
    case("unstack", A((2, 3))),
    case("unstack", A((2, 3)), axis=-1),
    case("unstack", A((2, 3)), call=lambda xp, x: xp.unstack(x)[1], label="one of them"),
]

GRIDS = [
    case("meshgrid", A((3,)), A((2,))),
    case("meshgrid", A((3,)), A((2,)), indexing="ij"),
    case("meshgrid", A((3,))),
    case("meshgrid", A((2,)), np.ones(1), A((3,))),
    case("meshgrid", A((2,)), A((0,))),
    case("meshgrid", A((2,), "complex", "complex128"), A((3,), "complex", "complex128"), indexing="ij"),
    case("meshgrid", A((2,)), call=lambda xp, x: xp.meshgrid(x, x)[1], label="twice the same"),
    case("from_dlpack", A((3,)), call=lambda xp, x: xp.from_dlpack(x) * x, label="traced", library=False),
    case(
        "from_dlpack",
        A((3,)),
        call=lambda xp, x: xp.from_dlpack(x, copy=True) * 2.0,
        label="copied",
        library=False,
    ),
]

UNIQUE = [
    case("unique_values", A((3,), "distinct"), needs=(DYNAMIC,), library=False),
    case("unique_values", A((2, 2), "distinct"), needs=(DYNAMIC,), library=False),
    case("unique_values", A((0,)), needs=(DYNAMIC,), library=False),
    # The order of complex ones, which NumPy hashes, changes with their last bits.
    case(
        "unique_values",
        Z,
        call=lambda xp, z: xp.sum(xp.unique_values(z) ** 2),
        label="complex",
        needs=(DYNAMIC,),
        library=False,
        not_on=("torch",),
    ),
    *[
        case(
            name,
            A((2, 3), "distinct"),
            call=lambda xp, x, name=name: getattr(xp, name)(x).values,
            label="values",
            needs=(DYNAMIC,),
            library=False,
        )
        for name in ("unique_all", "unique_counts", "unique_inverse")
    ],
]

INDEXING = [
    case("take_along_axis", A((2, 3)), np.asarray([[2, 0], [1, 1]])),
    case("take_along_axis", A((2, 3)), np.asarray([[1, 0, 1]]), axis=0),
    case("take_along_axis", A((1, 3)), np.asarray([[2], [2]]), label="broadcast"),
    case("take_along_axis", A((2, 3, 2)), np.asarray([[[2, 0]], [[2, 2]]]), axis=-2),
    case("take_along_axis", A((3,)), PICKS),
    case("take_along_axis", A((2, 3)), np.zeros((2, 0), dtype=np.int64), label="nothing"),
    case(
        "take_along_axis",
        A((2, 3)),
        np.asarray([[2, 0], [1, 1]], dtype=np.int32),
        label="int32",
        not_on=("torch",),
    ),
    case("take_along_axis", Z, np.asarray([[2, 0], [1, 1]])),
    case(
        "take_along_axis",
        A((2, 3), "distinct"),
        call=lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=0), axis=0),
        label="at argsort",
    ),
    *[
        case(
            "add_along_axis",
            A((2, 2)),
            np.asarray([[2, 0], [1, 1]]),
            call=lambda xp, x, at, axis=axis, shape=shape: add_along_axis(x, at, shape, axis),
            label=f"axis={axis}",
            library=False,
        )
        for axis, shape in ((1, (2, 3)), (-2, (3, 2)))
    ],
    case("take", A((3,)), PICKS),
    case("take", A((2, 3)), PICKS, axis=1),
    case("take", A((3, 2)), np.asarray([-1, 0, -1]), axis=-2, not_on=("torch",)),
    case("take", A((2, 3)), EMPTY, axis=0),
    case("take", Z, PICKS, axis=-1),
]


def _item(
    x: Argument, key: Any, label: str, not_on: tuple[str, ...] = (), needs: tuple[Capability, ...] = ()
) -> Case:
    """``x[key]``; arrays in the key go with the arguments, to be moved to each library."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [part for part in parts if isinstance(part, np.ndarray)]

    def read(xp: Any, x: Any, *given: Any) -> Any:
        waiting = iter(given)
        filled = tuple([next(waiting) if isinstance(part, np.ndarray) else part for part in parts])
        return x[filled if isinstance(key, tuple) else filled[0]]

    return case("getitem", x, *arrays, call=read, label=label, not_on=not_on, needs=needs)


# array-api-strict wants an index for every axis, or an ellipsis.
EVERY_AXIS = ("array_api_strict",)

GETITEM = [
    _item(A((3,)), 1, "int"),
    _item(A((2, 3)), -1, "negative int", EVERY_AXIS),
    _item(A((2, 3)), (1, 2), "ints"),
    _item(A((2, 3)), (slice(None), 0), "a column"),
    _item(A((5,)), slice(1, 4, 2), "slice with a step"),
    _item(A((2, 3)), (..., slice(None, 2)), "ellipsis"),
    _item(A((2, 3)), (None, slice(0, 1), ..., None), "new axes"),
    _item(A((2, 3)), slice(2, 2), "nothing", EVERY_AXIS),
    _item(A((2, 3)), (), "everything", EVERY_AXIS),
    _item(A(()), (), "0-d"),
    _item(A((2, 3)), MASK, "mask", needs=(MASKED,)),
    _item(A((3,)), np.asarray([False, False, False]), "empty mask", needs=(MASKED,)),
    _item(A((2, 3)), MASK[0:1].repeat(2, 0), "mask of equal rows", needs=(MASKED,)),
    _item(A((3,)), PICKS, "repeated indices"),
    _item(A((2, 3)), (ROWS, COLUMNS), "pairs of indices"),
    _item(A((2, 3)), (ROWS, 1), "indices and int"),
    _item(Z, (ROWS, COLUMNS), "complex pairs"),
    case("getitem", A((2, 3)), call=lambda xp, x: x[x > 0.0] * 2.0, label="traced mask", needs=(MASKED,)),
    case("getitem", A((2, 3)), call=lambda xp, x: x[0, :] * x[1, :] + x[0, 1], label="several views"),
    case("getitem", A((2, 3)), call=lambda xp, x: list(x), label="iteration", not_on=EVERY_AXIS),
]

SCATTER = [
    case(
        "scatter_add",
        A((3,)),
        PICKS,
        call=lambda xp, x, at: scatter_add(x, at, (4,)),
        label="repeated indices",
        library=False,
    ),
    case(
        "scatter_add",
        A((2, 2)),
        call=lambda xp, x: scatter_add(x, (slice(None), slice(1, 3)), (2, 4)),
        label="slices",
        library=False,
    ),
]

CONVERSION = [
    case(
        "astype",
        A((3,)),
        call=lambda xp, x: xp.astype(x, namespace.dtype_of("float32", like=x)),
        label="narrower",
        library=False,
    ),
    case(
        "astype",
        A((3,), dtype="float32"),
        call=lambda xp, x: xp.astype(x, namespace.dtype_of("float64", like=x)),
        label="wider",
        library=False,
        needs=(Capability.FLOAT64,),
    ),
    case(
        "astype",
        A((3,)),
        call=lambda xp, x: xp.astype(x, namespace.dtype_of("complex128", like=x)) * (1 + 2j),
        label="complex",
        library=False,
        needs=(Capability.FLOAT64,),
    ),
    case(
        "asarray",
        A((2,)),
        call=lambda xp, x: xp.asarray([x[0], 2.0, x[1] * x[0]]),
        label="list",
        library=False,
    ),
    case("asarray", A((2,)), call=lambda xp, x: xp.asarray(x) * x, label="array", library=False),
    case("full", A(()), call=lambda xp, x: xp.full((2, 2), x), label="traced value", library=False),
    case(
        "full_like",
        A(()),
        A((3,)),
        call=lambda xp, x, y: xp.full_like(y, x) * y,
        label="traced value",
        library=False,
    ),
]

CASES: list[Case] = [*MANIPULATION, *INDEXING, *GETITEM, *SCATTER, *CONVERSION, *GRIDS, *UNIQUE]
