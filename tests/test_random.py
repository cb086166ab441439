"""Random numbers: the published generator, the same bits everywhere, and what wrong arguments are told."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpkit
from bpkit import namespace as xp
from bpkit import random, registry
from bpkit._protocol import Backend, Capability
from bpkit.errors import ArgumentError, ShapeError
from bpkit.random import _keys

SEED = 2**40 + 5

# The test vectors that come with Random123, file kat_vectors: counter, key, result.
KNOWN_ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]

DRAWS: dict[str, Callable[[Any], Any]] = {
    "split": lambda key: random.split(key, 501),
    "fold_in": lambda key: random.fold_in(key, 2**32 - 1),
    "bits": lambda key: random.bits(key, 1001),
    "uniform float32": lambda key: random.uniform(key, (7, 143), "float32"),
    "uniform float64": lambda key: random.uniform(key, (7, 143), "float64"),
    "uniform bounds float32": lambda key: random.uniform(key, (7, 143), "float32", -0.1, 0.3),
    "uniform bounds float64": lambda key: random.uniform(key, (7, 143), "float64", -0.1, 0.3),
    "normal float32": lambda key: random.normal(key, (11, 9091), "float32"),
    "normal float64": lambda key: random.normal(key, (11, 9091), "float64"),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (1001,)),
    "randint": lambda key: random.randint(key, (1001,), -5, 1000, "int32"),
    "randint widest": lambda key: random.randint(key, (1001,), -(2**31), 0, "int32"),
    "permutation": lambda key: random.permutation(key, 4001),
}

# Computed once with NumPy: the first elements, and a hash of all of them.
GOLDEN = {
    "split": ("12e3f8d6 56857ec2 7cfe641c", "7151fd799bb15eb4"),
    "fold_in": ("ba8a0cc9 898132bb", "f552c6e31aa9b079"),
    "bits": ("322fdf59 986fbb97 c55d40a", "7d3cb29ccd636ca6"),
    "uniform float32": ("0x1.917ef80000000p-3 0x1.30df760000000p-1 0x1.8aba800000000p-5", "e351c7ddf7266fc5"),
    "uniform float64": ("0x1.917efa986fbb8p-3 0x1.8aba80c5042e0p-5 0x1.8d8f2704fed9bp-1", "8fc1ab9fd328abf6"),
    "uniform bounds float32": (
        "-0x1.619ce80000000p-6 0x1.1aff240000000p-3 -0x1.4aa7800000000p-4",
        "4556d3cc466cfa77",
    ),
    "uniform bounds float64": (
        "-0x1.619cde18340e8p-6 -0x1.4aa77fd898c3ap-4 0x1.af4b71a197c2bp-3",
        "0b17d71fb189d105",
    ),
    "normal float32": (
        "-0x1.c632ac0000000p+0 -0x1.5531540000000p-2 0x1.1f64900000000p+1",
        "6883b0755ddb833d",
    ),
    "normal float64": ("0x1.99591e6a13d6ep+0 -0x1.acfa7e64e2d12p-1 0x1.7da3b708ecb38p-1", "02635473e771fd32"),
    "bernoulli": ("1 0 1", "7ab8785e3774f253"),
    "randint": ("c0 2b 307", "8edb79a409a6605c"),
    "randint widest": ("-66e81054 -79d515fb -1c9c3635", "5df4b26c6da97a52"),
    "permutation": ("2 4a2 15e", "86c89d6874d6c070"),
}


WRONG: Any = 1.5
"""A value that type checkers would not let through."""


def host(x: Any) -> Any:
    return registry.backend_of(x).to_host(x)


def described(name: str, x: Any) -> tuple[str, str]:
    """The first three numbers in hexadecimal, and the start of a hash of all."""
    kind = {"bool": "u1", "uint32": "<i8", "int32": "<i8", "int64": "<i8"}.get(x.dtype.name, x.dtype.str)
    flat = x.ravel().astype(kind)
    first = " ".join(float(v).hex() if x.dtype.kind == "f" else f"{int(v):x}" for v in flat[:3])
    return first, hashlib.sha256(flat.tobytes()).hexdigest()[:16]


def words_of(values: Any) -> Any:
    """Words as an array of the current backend, in the dtype of its keys."""
    backend = registry.current().backend
    dtype = np.uint32 if Capability.UINT32_ARITHMETIC in backend.capabilities else np.int64
    return backend.from_host(np.asarray(values, dtype=dtype))


# The generator.


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(
    backend: Backend, counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
) -> None:
    first, second = (words_of([word]) for word in counter)
    x, y = _keys.threefry_2x32(words_of(key), first, second)
    assert (int(host(x)[0]), int(host(y)[0])) == expected


def test_threefry_agrees_with_jax() -> None:
    jax_random = pytest.importorskip("jax.extend.random", reason="JAX's Threefry is the second opinion")
    draw = np.random.default_rng(0)
    key = draw.integers(0, 2**32, 2, dtype=np.uint32)
    counter = draw.integers(0, 2**32, (2, 1000), dtype=np.uint32)
    x, y = _keys.threefry_2x32(key, counter[0], counter[1])
    np.testing.assert_array_equal(np.stack([x, y]), jax_random.threefry_2x32(key, counter))


# The same bits everywhere.


@pytest.mark.parametrize("draw", DRAWS)
def test_every_backend_draws_the_same_bits(backend: Backend, draw: str) -> None:
    if "float64" in draw and "float64" not in backend.dtypes():
        pytest.skip(f"{backend.name} has no float64")
    assert described(draw, host(DRAWS[draw](random.key(SEED)))) == GOLDEN[draw]


def test_jax_draws_the_same_bits_without_its_x64_mode() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False), registry.use_backend("jax"):
        key = random.key(SEED)
        for name, draw in DRAWS.items():
            if "float64" not in name:
                assert described(name, host(draw(key))) == GOLDEN[name]
        assert random.normal(key, (3,)).dtype == random.randint(key, 3, 0, 2).astype("float32").dtype
        with pytest.raises(ArgumentError, match="normal: dtype: jax has no float64 as it is configured now"):
            random.normal(key, (3,), "float64")


def test_integers_are_exact_and_normals_close_under_jit() -> None:
    jax = pytest.importorskip("jax")
    with registry.use_backend("jax"):
        key = random.key(SEED)
        for name in ("split", "bits", "uniform float32", "bernoulli", "randint", "permutation"):
            np.testing.assert_array_equal(jax.jit(DRAWS[name])(key), DRAWS[name](key))
        eager, fused = DRAWS["normal float32"](key), jax.jit(DRAWS["normal float32"])(key)
        np.testing.assert_array_max_ulp(np.asarray(fused), np.asarray(eager), maxulp=8)


def test_keys_can_be_mapped_over() -> None:
    jax = pytest.importorskip("jax")
    with registry.use_backend("jax"):
        keys = random.split(random.key(SEED), 3)
        rows = jax.vmap(lambda key: random.uniform(random.fold_in(key, 1), (5,)))(keys)
        for row, key in zip(rows, keys, strict=True):
            np.testing.assert_array_equal(row, random.uniform(random.fold_in(key, 1), (5,)))


def test_keys_can_be_arguments_of_differentiated_functions(backend: Backend) -> None:
    def loss(w: Any, key: Any) -> Any:
        noise, order, kept = xp.unstack(random.split(key, 3))
        x = w * random.normal(noise, (4,), "float32")
        return xp.sum(xp.where(random.bernoulli(kept, 0.5, (4,)), x[random.permutation(order, 4)], 0.0))

    key = random.key(SEED)
    w = backend.from_host(np.ones(4, dtype=np.float32))
    with registry.use_backend("numpy"):
        noise, order, kept = random.split(random.key(SEED), 3)
        expected = np.zeros(4, dtype=np.float32)
        expected[random.permutation(order, 4)] = random.bernoulli(kept, 0.5, (4,))
        expected *= random.normal(noise, (4,), "float32")
    np.testing.assert_array_equal(host(bpkit.grad(loss)(w, key)), expected)


def test_shorter_draws_are_beginnings_of_longer_ones() -> None:
    key = random.key(SEED)
    for draw in (random.bits, random.uniform, random.normal):
        np.testing.assert_array_equal(draw(key, 5), draw(key, (4, 3)).ravel()[:5])
    np.testing.assert_array_equal(random.split(key, 2), random.split(key, 5)[:2])


def test_default_dtypes_are_those_of_new_arrays(backend: Backend) -> None:
    key = random.key(SEED)
    float_dtype, int_dtype = xp.zeros(1).dtype, xp.arange(1).dtype
    assert random.normal(key, (2,)).dtype == random.uniform(key, (2,)).dtype == float_dtype
    assert random.randint(key, (2,), 0, 5).dtype == random.permutation(key, 2).dtype == int_dtype


def test_numbers_live_where_the_key_lives() -> None:
    with registry.use_backend("array_api_strict:device1") as (_, device):
        key = random.key(SEED)
    for x in (key, *(draw(key) for draw in DRAWS.values())):
        assert x.device == device


def test_a_dtype_that_the_device_of_the_key_lacks() -> None:
    with registry.use_backend("array_api_strict:no_float64"):
        key = random.key(SEED)
    for draw in (random.normal, random.uniform):
        with pytest.raises(ArgumentError, match=r"no float64 as it is configured now, on no_float64; it has"):
            draw(key, (2,), dtype="float64")


def test_the_key_decides_and_not_the_current_backend(backend: Backend) -> None:
    with registry.use_backend("numpy"):
        key = random.key(SEED)
    assert all(isinstance(draw(key), np.ndarray) for draw in DRAWS.values())


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), 1, 4, (3, 2), [3, 2], (np.int64(3),)])
def test_shapes(shape: Any) -> None:
    key = random.key(SEED)
    expected = np.empty(shape).shape
    for draw in (random.bits, random.uniform, random.normal):
        assert draw(key, shape).shape == expected
    assert random.bernoulli(key, 0.5, shape).shape == expected
    assert random.randint(key, shape, 0, 5).shape == expected


# Keys.


def test_a_key_is_the_seed() -> None:
    assert random.key(0).tolist() == [0, 0]
    assert random.key(np.int32(7)).tolist() == [0, 7]
    assert random.key(2**64 - 1).tolist() == [2**32 - 1, 2**32 - 1]
    assert random.key(SEED).tolist() == [2**8, 5]


def test_no_two_uses_of_a_key_see_the_same_words() -> None:
    key = random.key(SEED)
    folded = np.concatenate([random.fold_in(key, i) for i in range(1000)])
    seen = np.concatenate([random.bits(key, 2000), random.split(key, 1000).ravel(), folded])
    # Of 6000 words of 32 bits, 0.004 pairs are equal on average.
    assert len(np.unique(seen)) == 6000


def test_fold_in_takes_arrays() -> None:
    key = random.key(SEED)
    np.testing.assert_array_equal(random.fold_in(key, np.asarray(2**32 - 1)), random.fold_in(key, 2**32 - 1))
    np.testing.assert_array_equal(random.fold_in(key, np.uint8(3)), random.fold_in(key, 3))


def test_draws_of_split_and_neighbouring_keys_are_unrelated() -> None:
    n = 20_000
    parent = random.key(SEED)
    keys = [parent, *random.split(parent, 3), random.fold_in(parent, 0), random.key(SEED + 1)]
    drawn = np.stack([random.uniform(key, n) for key in keys])
    correlations = np.corrcoef(drawn)[np.triu_indices(len(keys), 1)]
    assert np.max(np.abs(correlations)) < 4 / math.sqrt(n)


# Errors.


def test_errors_about_keys() -> None:
    key = random.key(0)
    cases: list[tuple[Any, type[Exception], str]] = [
        (
            42,
            ArgumentError,
            r"normal: key: expected an array of two words, got 42 of type int; make one with bpkit",
        ),
        ([1, 2], ArgumentError, r"got \[1, 2\] of type list; make one with bpkit.random.key\(seed\)"),
        (
            np.zeros(2),
            ArgumentError,
            r"expected two words of dtype uint32, as numpy has them, .* dtype float64; make",
        ),
        (
            random.split(key, 3),
            ShapeError,
            r"expected shape \(2,\), got \(3, 2\); take one of these keys: keys\[0\]",
        ),
        (key[:1], ShapeError, r"expected shape \(2,\), got \(1,\); make one with bpkit.random.key\(seed\)"),
    ]
    for bad, error, message in cases:
        with pytest.raises(error, match=message):
            random.normal(bad, (3,))


@pytest.mark.parametrize(
    "draw, error, message",
    [
        (
            lambda k: random.key(WRONG),
            ArgumentError,
            r"key: seed: .* got 1.5 of type float; convert it with int",
        ),
        (
            lambda k: random.key(-1),
            ArgumentError,
            r"key: seed: expected an integer from 0 to 18446744073709551615, got",
        ),
        (lambda k: random.key(2**64), ArgumentError, r"got 18446744073709551616; choose one in that range"),
        (
            lambda k: random.split(k, -1),
            ArgumentError,
            r"split: num: expected an integer from 0 to .*, got -1",
        ),
        (
            lambda k: random.fold_in(k, 2**32),
            ArgumentError,
            r"fold_in: data: expected .* from 0 to 4294967295",
        ),
        (lambda k: random.fold_in(k, "step"), ArgumentError, r"fold_in: data: .* got 'step' of type str"),
        (
            lambda k: random.fold_in(k, np.ones(2)),
            ArgumentError,
            r"got an array of shape \(2,\) and dtype float64",
        ),
        (
            lambda k: random.bits(k, (3, -1)),
            ShapeError,
            r"bits: shape: expected lengths of 0 or more, got \(3, -1\)",
        ),
        (
            lambda k: random.normal(k, (WRONG,)),
            ArgumentError,
            r"normal: shape: .* for example normal\(key, \(3, 2\)\)",
        ),
        (
            lambda k: random.bits(k, 2**34),
            ShapeError,
            r"at most 2\*\*33 words .* split the key and draw in parts",
        ),
        (
            lambda k: random.normal(k, (), "int32"),
            ArgumentError,
            r"normal: dtype: expected one of float32, float64",
        ),
        (
            lambda k: random.uniform(k, (), np.int8),
            ArgumentError,
            r"uniform: dtype: expected .* got <class 'numpy.int8'>",
        ),
        (
            lambda k: random.uniform(k, (), None, 1, 1),
            ArgumentError,
            r"expected minval < maxval and .* minval=1 and",
        ),
        (
            lambda k: random.uniform(k, (), None, 0, math.inf),
            ArgumentError,
            r"finite distance in float64, .* maxval=inf",
        ),
        (
            lambda k: random.uniform(k, (), "float32", 1, 1 + 1e-9),
            ArgumentError,
            r"finite distance in float32",
        ),
        (
            lambda k: random.uniform(k, (), None, random.bits(k, 3)),
            ArgumentError,
            r"low \+ uniform\(key, shape\) \* \(high - low\)",
        ),
        (
            lambda k: random.bernoulli(k, 1.5),
            ArgumentError,
            r"p: expected a probability from 0 to 1, got 1.5; of a logit",
        ),
        (
            lambda k: random.bernoulli(k, -0.1),
            ArgumentError,
            r"p: expected a probability from 0 to 1, got -0.1",
        ),
        (
            lambda k: random.bernoulli(k, math.nan),
            ArgumentError,
            r"p: expected a probability from 0 to 1, got nan",
        ),
        (
            lambda k: random.bernoulli(k, np.arange(2)),
            ArgumentError,
            r"bernoulli: p: dtype: expected one of float32",
        ),
        (
            lambda k: random.randint(k, (), 3, 3),
            ArgumentError,
            r"randint: expected minval < maxval, .* minval=3 and",
        ),
        (lambda k: random.randint(k, (), 0, 2**32), ArgumentError, r"at most 2\*\*31 apart"),
        (lambda k: random.randint(k, (), 0, 257, "uint8"), ArgumentError, r"within uint8 \(0 to 255\), got"),
        (
            lambda k: random.randint(k, (), 0, WRONG),
            ArgumentError,
            r"randint: minval, maxval: expected integers, got 0 and",
        ),
        (
            lambda k: random.randint(k, (), 0, 2, "uint32"),
            ArgumentError,
            r"randint: dtype: expected one of int8, int16",
        ),
        (
            lambda k: random.permutation(k, -1),
            ArgumentError,
            r"permutation: x: expected an integer from 0 .* got -1",
        ),
        (
            lambda k: random.permutation(k, np.zeros(())),
            ShapeError,
            r"permutation: x: .* got one of shape \(\)",
        ),
    ],
)
def test_errors_about_the_other_arguments(
    draw: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw(random.key(0))
