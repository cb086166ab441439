"""Facts: what the library can do is stated, and what is stated is so."""

from contextlib import nullcontext
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bpkit._protocol import Backend, Capability
from bpkit.testing.contract.promise import Contract, expect, promised, refused, sample

__all__ = ["Facts"]

INDEXING: dict[Capability, Any] = {
    Capability.BACKWARD_SLICES: (slice(None, None, -1), slice(3, 0, -2)),
    Capability.MIXED_INDEXING: (slice(None), np.asarray([2, 0, 2])),
    Capability.BOOLEAN_INDEXING: np.arange(12).reshape(3, 4) % 3 == 1,
}


class Facts(Contract):
    """The capabilities, one by one: those that are true work, and the others are refused."""

    @promised("capabilities")
    def test_capabilities_are_capabilities(self, backend: Backend) -> None:
        found = backend.capabilities
        expect(isinstance(found, frozenset) and found <= frozenset(Capability), "capabilities are", found)

    @promised("Capability.FLOAT64", "Capability.COMPLEX", "dtypes")
    @pytest.mark.parametrize(
        ("capability", "dtype"), [(Capability.FLOAT64, "float64"), (Capability.COMPLEX, "complex64")]
    )
    def test_dtypes_are_stated_rightly(self, backend: Backend, capability: Capability, dtype: str) -> None:
        stated, there = capability in backend.capabilities, dtype in backend.dtypes()
        expect(stated == there, f"the capability is {stated}, and that {dtype} is among the dtypes {there}")

    @promised("Capability.UINT32_ARITHMETIC")
    def test_uint32_arithmetic_is_stated_rightly(self, backend: Backend) -> None:
        xp = backend.xp
        host = np.asarray([1, 2**31, 2**32 - 1], np.uint32)

        def arithmetic() -> Any:
            x = backend.from_host(host)
            return xp.bitwise_xor(xp.bitwise_left_shift(xp.add(x, x), xp.ones_like(x)), x)

        if Capability.UINT32_ARITHMETIC in backend.capabilities:
            assert_array_equal(backend.to_host(arithmetic()), ((host + host) << np.uint32(1)) ^ host)
        else:
            with refused("arithmetic of uint32"):
                arithmetic()

    @promised("Capability.IN_PLACE")
    def test_in_place_operators_are_stated_rightly(self, backend: Backend) -> None:
        x = backend.from_host(np.zeros(3, np.float32))
        other = x
        x += 1.0
        assert_array_equal(backend.to_host(x), np.ones(3))
        changed = bool(backend.to_host(other)[0] == 1.0)
        stated = Capability.IN_PLACE in backend.capabilities
        expect(changed == stated, f"that `x += 1` changes x itself is {changed}, and the capability {stated}")

    @promised("Capability.BACKWARD_SLICES", "Capability.MIXED_INDEXING", "Capability.BOOLEAN_INDEXING")
    @pytest.mark.parametrize("capability", INDEXING, ids=lambda fact: fact.name.lower())
    def test_indexing_is_stated_rightly(self, backend: Backend, capability: Capability) -> None:
        host, key = sample((3, 4), "float32"), INDEXING[capability]
        x = backend.from_host(host)
        parts = key if isinstance(key, tuple) else (key,)
        moved = tuple(backend.from_host(part) if isinstance(part, np.ndarray) else part for part in parts)
        stated = capability in backend.capabilities
        with nullcontext() if stated else refused(capability.value):
            found = x[moved if isinstance(key, tuple) else moved[0]]
            assert_array_equal(backend.to_host(found), host[key])

    @promised("Capability.DATA_DEPENDENT_SHAPES")
    def test_shapes_that_depend_on_values_are_stated_rightly(self, backend: Backend) -> None:
        x = backend.from_host(np.asarray([1.0, -1.0, 2.0], np.float32))
        stated = Capability.DATA_DEPENDENT_SHAPES in backend.capabilities
        with nullcontext() if stated else refused("nonzero"):
            assert_array_equal(backend.to_host(backend.xp.nonzero(x > 0)[0]), [0, 2])

    @promised("Capability.UNIFORM_PROMOTION", "operator_dtype")
    def test_operators_promote_as_it_says(self, backend: Backend) -> None:
        xp, uniform = backend.xp, Capability.UNIFORM_PROMOTION in backend.capabilities
        dtypes = [name for name in ("int32", "float32", "float64", "complex64") if name in backend.dtypes()]
        for one, other in product(dtypes, dtypes):
            pair = backend.from_host(np.ones(2, one)), backend.from_host(np.ones((), other))
            for x, y in (pair, pair[::-1]):
                dtype = backend.operator_dtype(x, y)
                if uniform:
                    expect(dtype is None, f"operator_dtype of {x.dtype} and {y.dtype} is {dtype}")
                if dtype is None:
                    wanted = _dtype_of(lambda x=x, y=y: xp.add(x, y))
                else:
                    a, b = (z if z.shape else xp.astype(z, dtype) for z in (x, y))
                    wanted = _dtype_of(lambda a=a, b=b: xp.add(a, b))
                found = _dtype_of(lambda x=x, y=y: x + y)
                expect(
                    found == wanted, f"{x.dtype} + {y.dtype} is {found}, and {wanted} as operator_dtype says"
                )


def _dtype_of(run: Any) -> Any:
    """The dtype of a result; None where the library refuses, as the standard lets it."""
    try:
        return run().dtype
    except TypeError:
        return None
