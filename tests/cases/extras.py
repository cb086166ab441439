"""Cases of what networks need and the standard lacks."""

from typing import Any

import numpy as np

from bpkit._protocol import Capability

from .case import Argument, Case, case

__all__ = ["CASES"]

A = Argument
Z = A((2, 3), "complex", "complex128")

PADDING = [
    case(
        "pad",
        A((3,)),
        A(()),
        label="a number",
        call=lambda xp, x, v: xp.pad(x, (2, 1), constant_values=v),
        library=False,
    ),
    case("pad", A((2, 3)), 1, library=False),
    case("pad", A((2, 3)), ((0, 2), (1, 0)), library=False),
    case("pad", A((2, 3)), ((0, 0), (2, 1)), constant_values=2.5, library=False),
    case("pad", A((2, 3)), {-1: (1, 2)}, library=False),
    case("pad", A((2, 1, 2)), ((1, 1),), library=False),
    case("pad", A(()), 2, library=False),
    case("pad", A((0, 2)), (1, 0), library=False),
    case("pad", Z, (0, 1), library=False),
    case("pad", A((2, 3)), 0, library=False),
    case(
        "pad",
        Z,
        A(()),
        label="a real number",
        call=lambda xp, z, v: xp.pad(z, 1, constant_values=v),
        library=False,
    ),
    case(
        "pad",
        A((2, 2)),
        A(()),
        label="corners",
        call=lambda xp, x, v: xp.pad(x, 1, constant_values=v),
        library=False,
    ),
    *[
        case("pad", A(shape), width, mode=mode, library=False)
        for mode in ("edge", "reflect", "symmetric", "wrap")
        for shape, width in (
            ((3,), (1, 2)),
            ((2, 3), ((3, 0), (1, 7))),
            ((1,), 2),
            ((0, 2), ((0, 0), (1, 1))),
        )
    ],
    case("pad", Z, 1, mode="reflect", library=False),
]

SUMS_OF_PRODUCTS = [
    case("einsum", "ij,jk->ik", A((2, 3)), A((3, 4))),
    case("einsum", "ij,jk", A((2, 3)), A((3, 4))),
    case("einsum", "ba", A((2, 3))),
    case("einsum", "i->", A((3,))),
    case("einsum", "ijk->kj", A((2, 3, 2))),
    case("einsum", "ii", A((3, 3))),
    case("einsum", "iji->ij", A((3, 2, 3))),
    case("einsum", "iii->i", A((2, 2, 2))),
    case("einsum", "aab,b->a", A((2, 2, 3)), A((3,))),
    case("einsum", "i,i", A((3,)), A((3,))),
    case("einsum", "i,i->i", A((3,)), A((3,))),
    case("einsum", "i,j->ji", A((2,)), A((3,))),
    case("einsum", "ij,k->i", A((2, 3)), A((2,))),
    case("einsum", "bij,bjk->bik", A((2, 2, 3)), A((2, 3, 2))),
    case("einsum", "bi,bi->b", A((3, 2)), A((3, 2))),
    case("einsum", "bijc,cjd->bdi", A((2, 3, 2, 2)), A((2, 2, 3))),
    case("einsum", "...ij,...jk->...ik", A((2, 1, 2, 3)), A((2, 3, 2))),
    case("einsum", "...ij,...j", A((2, 2, 3)), A((3,))),
    case("einsum", "i...,...i->...", A((3, 2)), A((2, 3))),
    case("einsum", "...,...->...", A((2, 3)), A((3,))),
    case("einsum", "ij,jk,kl->il", A((2, 3)), A((3, 2)), A((2, 4))),
    case("einsum", "ab,ab,ab,b->a", A((2, 3)), A((2, 3)), A((2, 3)), A((3,))),
    case("einsum", "i,j,k->kji", A((2,)), A((3,)), A((2,))),
    case("einsum", "ij,ij->ij", A((1, 3)), A((2, 1)), library=False),
    case("einsum", "ij,j->i", A((2, 0)), A((0,))),
    case("einsum", "ii->i", A((0, 0))),
    case("einsum", ",->", A(()), A(())),
    case("einsum", "ij,kj->ik", Z, Z),
    case("einsum", "ij,j->i", Z, A((3,)), not_on=("torch",)),
    case("einsum", "ij,jk->ik", A((2, 3)), np.ones((3, 2))),
    case("einsum", A((2, 2)), call=lambda xp, x: xp.einsum("ij,jk,ki", x, x, x), label="cube"),
]

MASK = np.asarray([[True, False, True], [False, False, True]])
PICKS = np.asarray([2, 0, 2])
ROWS, COLUMNS = np.asarray([1, 0, 1]), np.asarray([2, 0, 2])
NOT_STRICT = ("array_api_strict",)
"""Which takes no integer arrays as the key of an assignment."""


def _written(name: str, x: Argument, key: Any, updates: Any, label: str, *not_on: str) -> Case:
    """A copy with updates at `key`; arrays in the key go with the arguments, to be moved to each library."""
    parts = key if isinstance(key, tuple) else (key,)
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    function = {"index_add": "scatter_add"}.get(name, name)

    def changed(xp: Any, x: Any, updates: Any, *given: Any) -> Any:
        waiting = iter(given)
        filled = tuple([next(waiting) if isinstance(part, np.ndarray) else part for part in parts])
        return getattr(xp, function)(x, filled if isinstance(key, tuple) else filled[0], updates)

    needs = (Capability.BOOLEAN_INDEXING,) if any(part.dtype == bool for part in arrays) else ()
    return case(
        name, x, updates, *arrays, call=changed, label=label, library=False, not_on=not_on, needs=needs
    )


SCATTERING = [
    _written("index_add", A((3,)), PICKS, A((3,)), "repeated indices"),
    _written("index_add", A((2, 3)), (ROWS, COLUMNS), A((3,)), "repeated pairs"),
    _written("index_add", A((2, 3)), (slice(None), slice(1, 3)), A((2, 1)), "slices"),
    _written("index_add", A((2, 3)), (0, ...), A(()), "row and one number"),
    _written("index_add", A((2, 3)), MASK, A((3,)), "mask", "jax"),
    _written("index_add", A((3,)), PICKS, 2.5, "Python number"),
    _written("index_add", A((3,)), PICKS, np.ones(3), "constant updates"),
    _written("index_add", A((2,)), 0, A((), dtype="float32"), "narrower updates"),
    _written("index_add", Z, (ROWS, COLUMNS), A((3,)), "complex and real"),
    _written("index_add", A(()), (), A(()), "0-d"),
    _written("index_add", A((0, 2)), (slice(0, 0), 1), A((0,)), "nothing"),
    _written("scatter_set", A((3,)), PICKS[:2], A((2,)), "indices", *NOT_STRICT),
    _written("scatter_set", A((3,)), PICKS, A((3,)), "repeated indices", "jax", "torch", *NOT_STRICT),
    _written("scatter_set", A((2, 3)), (slice(None), slice(1, 3)), A((2, 1)), "slices"),
    _written("scatter_set", A((2, 3)), (0, ...), 2.5, "Python number"),
    _written("scatter_set", Z, (1, slice(0, 2)), A((2,)), "complex and real", *NOT_STRICT),
]

CASES: list[Case] = [*PADDING, *SUMS_OF_PRODUCTS, *SCATTERING]
