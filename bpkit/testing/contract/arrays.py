"""Arrays: where they come from and go to, on which devices, and who shares memory with whom."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bpkit._protocol import DTYPES, Backend, Capability
from bpkit.errors import DeviceNotFoundError
from bpkit.registry import backend_of, use_backend
from bpkit.testing.contract.promise import Contract, Values, expect, promised, sample

__all__ = ["Arrays"]

SHAPES = [(), (0,), (3,), (2, 3)]
BASE = np.arange(6, dtype=np.float32).reshape(2, 3)
AWKWARD = {
    "reversed": BASE[::-1, ::2],
    "transposed": BASE.T,
    "broadcast and read-only": np.broadcast_to(BASE[0], (4, 3)),
    "big-endian": BASE.astype(">f4"),
}


class Arrays(Contract):
    """Round trips, devices, views."""

    @promised("name", "require", "version")
    def test_it_says_who_it_is(self, backend: Backend) -> None:
        expect(bool(backend.name) and ":" not in backend.name, "a name without a device:", repr(backend.name))
        expect(
            isinstance(backend.version, str) and bool(backend.version), "version is", repr(backend.version)
        )
        backend.require()
        expect(isinstance(backend, Backend), "it lacks a member of the protocol")
        expect({backend: 1}[backend] == 1, "it is not hashable")

    @promised("owns")
    def test_it_owns_its_arrays_and_nothing_else(self, backend: Backend) -> None:
        x = backend.from_host(BASE)
        expect(backend.owns(type(x)), "owns() is false of", type(x))
        expect(backend_of(x) is backend, "the registry finds another owner of", type(x))
        for cls in (int, float, complex, bool, str, list, tuple, dict, type(None), object):
            expect(not backend.owns(cls), "owns() is true of", cls)
        if backend.name != "numpy":
            expect(not backend.owns(np.ndarray), "owns() is true of numpy.ndarray")

    @promised("dtypes", "from_host", "to_host")
    @pytest.mark.parametrize("shape", SHAPES)
    def test_every_dtype_makes_the_round_trip(self, backend: Backend, shape: tuple[int, ...]) -> None:
        dtypes = backend.dtypes()
        missing = {"bool", "int32", "float32"} - set(dtypes)
        expect(not missing, "bpkit cannot do without the dtypes", missing)
        expect(set(dtypes) <= set(DTYPES), "dtypes that are not the standard's:", set(dtypes) - set(DTYPES))
        for dtype in dtypes:
            host = sample(shape, dtype)
            x = backend.from_host(host)
            expect(backend_of(x) is backend, "from_host made an array of another library:", type(x))
            expect(x.dtype == getattr(backend.xp, dtype), f"from_host made {x.dtype} of {dtype}")
            expect(tuple(x.shape) == shape, f"from_host made the shape {x.shape} of {shape}")
            back = backend.to_host(x)
            expect(type(back) is np.ndarray, "to_host made a", type(back))
            expect(back.dtype == host.dtype, f"to_host made {back.dtype} of {dtype}")
            expect(back.flags.writeable, f"to_host made an array of {dtype} that cannot be written to")
            assert_array_equal(back, host, strict=True)

    @promised("from_host", "to_host")
    @pytest.mark.parametrize("host", AWKWARD.values(), ids=list(AWKWARD))
    def test_awkward_arrays_make_the_round_trip(self, backend: Backend, host: Values) -> None:
        back = backend.to_host(backend.from_host(host))
        assert_array_equal(back, host)
        expect(back.dtype == np.float32, "it came back as", back.dtype)

    @promised("from_host")
    def test_from_host_takes_numpy_scalars(self, backend: Backend) -> None:
        x = backend.from_host(np.float32(2.5))  # type: ignore[arg-type]
        expect(tuple(x.shape) == (), "the shape is", x.shape)
        expect(backend.to_host(x) == 2.5, "the value is", backend.to_host(x))

    @promised("from_host", "to_host")
    def test_from_host_and_to_host_share_no_memory(self, backend: Backend) -> None:
        host = np.ones(64, np.float32)
        x = backend.from_host(host)
        host[:] = 7.0
        back = backend.to_host(x)
        assert_array_equal(back, np.ones(64), "after the NumPy array that it was made of has changed")
        back[:] = 7.0
        assert_array_equal(backend.to_host(x), np.ones(64), "after what to_host returned has changed")

    @promised("from_host", "dtypes")
    def test_a_dtype_that_the_library_lacks_is_refused(self, backend: Backend) -> None:
        for dtype in set(DTYPES) - set(backend.dtypes()) - {"uint16", "uint32", "uint64"}:
            with pytest.raises(TypeError):
                backend.from_host(np.ones(2, dtype))

    @promised("devices", "device", "device_of", "from_host")
    def test_every_device_makes_the_round_trip(self, backend: Backend) -> None:
        for name in backend.devices():
            device = backend.device(name)
            x = backend.from_host(np.ones(3, np.float32), device)
            expect(backend.device_of(x) == name, f"device_of is {backend.device_of(x)!r}, and not {name!r}")
            assert_array_equal(backend.to_host(x), np.ones(3))
            zeros = backend.xp.zeros((2,), device=device)
            expect(backend.device_of(zeros) == name, "xp.zeros is on", backend.device_of(zeros))
            expect(backend.device_of(backend.from_host(BASE, zeros.device)) == name, "x.device is no device")

    @promised("devices", "device")
    def test_new_arrays_are_on_the_default_device(self, backend: Backend) -> None:
        default = backend.devices()[0]
        arrays = {
            "from_host(x)": backend.from_host(np.ones(2, np.float32)),
            "xp.zeros(2)": backend.xp.zeros((2,)),
            "xp.zeros(2, device=device(None))": backend.xp.zeros((2,), device=backend.device(None)),
        }
        for how, x in arrays.items():
            expect(backend.device_of(x) == default, how, "is on", backend.device_of(x), "and not on", default)

    @promised("device")
    @pytest.mark.parametrize("name", ["", "quantum", "cpu:99", "cuda:99", "99"])
    def test_a_device_that_is_not_there(self, backend: Backend, name: str) -> None:
        with pytest.raises(DeviceNotFoundError) as caught:
            use_backend(f"{backend.name}:{name}")
        here = ", ".join(repr(device) for device in backend.devices())
        text = f"backend {backend.name!r} has no device {name!r} here; it has {here}"
        expect(str(caught.value) == f"use_backend('{backend.name}:{name}'): {text}", "it says:", caught.value)

    @promised("synchronize")
    def test_synchronize_returns_when_the_work_is_done(self, backend: Backend) -> None:
        x = backend.from_host(np.ones((32, 32), np.float32))
        product = backend.xp.matmul(x, x)
        backend.synchronize()
        assert_array_equal(backend.to_host(product), np.full((32, 32), 32.0))

    @promised("host_view")
    def test_a_view_from_numpy_is_the_same_memory(self, backend: Backend) -> None:
        x = backend.from_host(BASE)
        view = backend.host_view(x)
        if view is None:
            return
        assert_array_equal(view, BASE, strict=True)
        if Capability.IN_PLACE in backend.capabilities and view.flags.writeable:
            view[0, 0] = 9.0
            expect(backend.to_host(x)[0, 0] == 9.0, "what was written to the view is not in the array")

    @promised("is_view")
    def test_views_are_told_from_arrays_of_their_own(self, backend: Backend) -> None:
        x = backend.xp.zeros((2, 3))
        expect(not backend.is_view(x), "is_view is true of a new array")
        mutable = Capability.IN_PLACE in backend.capabilities
        expect(backend.is_view(x[0, ...]) == mutable, f"is_view of x[0, ...] is not {mutable}")

    @promised("exposed", "shares_memory")
    def test_which_arrays_a_write_would_not_change_alone(self, backend: Backend) -> None:
        if Capability.IN_PLACE not in backend.capabilities:
            pytest.skip("the library's arrays cannot change")
        memory, other, third = (backend.xp.zeros(6) for _ in range(3))
        view, part = memory[1:5], memory[4:]
        expect(backend.shares_memory(memory, view), "shares_memory is false of an array and its view")
        expect(not backend.shares_memory(memory, other), "shares_memory is true of two arrays")
        cases: list[tuple[list[Any], list[int]]] = [
            ([memory, other, third], []),
            ([memory, view, other], [0, 1]),
            ([memory, other, other], [1, 2]),
            ([other, view, part], [1, 2]),
            ([other, third, view, view[1:]], [2, 3]),
            ([memory, other[1:], third[2:]], [1, 2]),
        ]
        for arrays, exposed in cases:
            every = range(len(arrays))
            found = list(backend.exposed(arrays, every))
            expect(found == exposed, f"exposed is {found}, and not {exposed}")
            for i in every:
                found = list(backend.exposed(arrays, (i,)))
                expect(found == [i] * (i in exposed), f"exposed of position {i} alone is {found}")

    @promised("same_values", "layout")
    def test_equal_arrays_are_the_same(self, backend: Backend) -> None:
        x, y, z = (backend.from_host(np.asarray(v, np.float32)) for v in ([1, 2], [1, 2], [1, 3]))
        expect(backend.same_values(x, y), "same_values is false of equal arrays")
        expect(not backend.same_values(x, z), "same_values is true of different arrays")
        nan = backend.from_host(np.asarray([np.nan], np.float32))
        expect(not backend.same_values(nan, nan), "same_values is true of NaN")
        expect(backend.layout(x) == backend.layout(y), "two arrays that are made alike differ in layout")
        hash(backend.layout(x))

    @promised("quiet")
    def test_quiet_ends(self, backend: Backend) -> None:
        with np.errstate(divide="raise", over="warn", call=print):
            before = np.geterr(), np.geterrcall()
            for _ in range(2):
                with backend.quiet(), backend.quiet():
                    backend.xp.log(backend.xp.zeros(2))
                expect((np.geterr(), np.geterrcall()) == before, "NumPy's settings are not as they were")
            with pytest.raises(KeyError), backend.quiet():
                raise KeyError
            expect((np.geterr(), np.geterrcall()) == before, "they are not after an exception")

    @promised("quiet")
    @pytest.mark.filterwarnings("error")
    def test_quiet_silences_floating_point_warnings(self, backend: Backend) -> None:
        x = backend.from_host(np.zeros(2, np.float32))
        with backend.quiet():
            y = backend.xp.divide(x, x)
        expect(bool(np.isnan(backend.to_host(y)).all()), "0/0 is", backend.to_host(y))
