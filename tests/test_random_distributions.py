"""Random numbers: how each is made from the words of a key, and the distributions they claim.

The keys are fixed, so each of these tests passes always or never.
"""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bpkit import random, registry
from bpkit._protocol import Backend
from bpkit.random import _draws, _keys, _normal

SEED = 2**40 + 5


def host(x: Any) -> Any:
    return registry.backend_of(x).to_host(x)


def test_bits_are_even() -> None:
    words = random.bits(random.key(SEED), 100_000)
    ones = (words[:, None] >> np.arange(32, dtype=np.uint32) & 1).sum(axis=0, dtype=np.int64)
    assert np.max(np.abs(ones - 50_000)) < 4 * math.sqrt(25_000)
    for shift in (0, 8, 16, 24):
        counts = np.bincount(words >> shift & 255, minlength=256)
        assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("dtype, n_bits", [("float32", 24), ("float64", 53)])
def test_uniform_numbers_are_the_high_bits_of_the_words(dtype: str, n_bits: int) -> None:
    key = random.key(SEED)
    x = random.uniform(key, 100_000, dtype)
    if dtype == "float32":
        whole = [int(word) >> 8 for word in random.bits(key, 1000)]
    else:
        pairs = random.bits(key, (1000, 2)).tolist()
        whole = [(high >> 5 << 26) + (low >> 6) for high, low in pairs]
    assert [math.ldexp(k, -n_bits) for k in whole] == x[:1000].tolist()
    assert x.min() >= 0
    assert x.max() < 1
    assert stats.kstest(x.astype(np.float64), "uniform").pvalue > 0.001


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "low, high", [(-0.1, 0.3), (5, 6), (-1e30, 1e30), (1.0, 1.0 + 2.0**-22), (-3.0, -3.0 + 1e-6)]
)
def test_uniform_stays_between_its_bounds(dtype: str, low: float, high: float) -> None:
    x = random.uniform(random.key(SEED), 100_000, dtype, low, high)
    kind = np.dtype(dtype).type
    assert x.dtype == dtype
    assert kind(low) <= x.min()
    assert x.max() < kind(high)


def test_uniform_fills_the_space_between_its_bounds() -> None:
    x = random.uniform(random.key(SEED), 100_000, minval=-2, maxval=3)
    assert stats.kstest(x, "uniform", args=(-2, 5)).pvalue > 0.001


def test_bernoulli_compares_bits() -> None:
    key = random.key(SEED)
    words = random.bits(key, 10_000)
    for p in (0.0, 1e-9, 0.3, 0.5, 1 - 1e-9, 1.0, np.float32(0.25)):
        expected = (words >> 1).astype(np.int64) < round(float(p) * 2**31)
        np.testing.assert_array_equal(random.bernoulli(key, p, 10_000), expected)
    assert not random.bernoulli(key, 0, 10_000).any()
    assert random.bernoulli(key, 1, 10_000).all()
    assert abs(random.bernoulli(key, 0.3, 100_000).mean() - 0.3) < 4 * math.sqrt(0.21 / 100_000)


def test_bernoulli_takes_an_array_of_probabilities(backend: Backend) -> None:
    p = backend.from_host(np.asarray([0.0, 0.25, 0.75, 1.0], dtype=np.float32))
    key = random.key(SEED)
    assert random.bernoulli(key, p).shape == (4,)
    frequencies = host(random.bernoulli(key, p, (10_000, 4))).mean(axis=0)
    np.testing.assert_allclose(frequencies, [0.0, 0.25, 0.75, 1.0], rtol=0, atol=0.02)
    assert frequencies[0] == 0
    assert frequencies[3] == 1


@pytest.mark.parametrize("low, high", [(0, 1), (-5, 1000), (0, 2**31), (-(2**31), 0), (7, 7 + 3**19)])
def test_randint_is_the_high_part_of_a_product(low: int, high: int) -> None:
    key = random.key(SEED)
    pairs = random.bits(key, (1000, 2)).tolist()
    expected = [low + ((first << 32 | second) * (high - low) >> 64) for first, second in pairs]
    assert random.randint(key, (1000,), low, high).tolist() == expected


def test_product_of_words_carries() -> None:
    edge = np.asarray([0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFF0000, 0xFFFFFFFF])
    for factor in (1, 0xFFFF, 0x10001, 2**31 - 1, 2**31):
        exact = [divmod(int(x) * factor, 2**32) for x in edge]
        for dtype in (np.uint32, np.int64):
            high, low = _draws._product(edge.astype(dtype), factor)
            assert list(zip(high.tolist(), low.tolist(), strict=True)) == exact


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16"])
def test_randint_in_every_dtype(backend: Backend, dtype: str) -> None:
    if dtype not in backend.dtypes():
        pytest.skip(f"{backend.name} has no {dtype}")
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -300), min(limits.max + 1, 300)
    x = host(random.randint(random.key(SEED), 5000, low, high, dtype))
    assert x.dtype == dtype
    assert (x.min(), x.max()) == (low, high - 1)
    with registry.use_backend("numpy"):
        np.testing.assert_array_equal(x, random.randint(random.key(SEED), 5000, low, high))


def test_randint_is_even() -> None:
    counts = np.bincount(random.randint(random.key(SEED), 100_000, 0, 60), minlength=60)
    assert stats.chisquare(counts).pvalue > 0.001


def test_permutation_reorders() -> None:
    key = random.key(SEED)
    for n in (0, 1, 2, 1000, 3000):
        assert sorted(random.permutation(key, n).tolist()) == list(range(n))
    rows = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    np.testing.assert_array_equal(random.permutation(key, rows), rows[random.permutation(key, 6)])


def test_every_order_is_as_likely() -> None:
    orders = [tuple(random.permutation(key, 4).tolist()) for key in random.split(random.key(SEED), 4800)]
    counts = np.unique(np.asarray(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.001


def test_permutation_sorts_again_where_words_may_be_equal() -> None:
    key = random.key(SEED)
    one = np.argsort(random.bits(key, 1625), stable=True)
    np.testing.assert_array_equal(random.permutation(key, 1625), one)
    first, second = random.bits(key, (2, 1626))
    two = np.argsort(first, stable=True)[np.argsort(second, stable=True)]
    np.testing.assert_array_equal(random.permutation(key, 1626), two)


# Normal numbers.


def box_muller(u: Any, v: Any, n_bits: int) -> Any:
    """The normal numbers of two arrays of uniform ones, with NumPy's functions in float64."""
    v = v.astype(np.float64)
    quadrant = np.floor(4 * v)
    angle = (4 * v - quadrant + (2.0 ** (1 - n_bits) - 0.5)) * (np.pi / 2)
    sine, cosine = np.sin(angle), np.where(quadrant < 2, 1, -1) * np.cos(angle)
    swapped = quadrant % 2 == 1
    x, y = np.where(swapped, sine, cosine), np.where(swapped, cosine, sine)
    return radius(u, n_bits)[:, None] * np.stack([x, y], axis=-1)


def radius(u: Any, n_bits: int) -> Any:
    """The distance from the origin: sqrt(-2 log p), where p is u or 1.5 - u and half a unit more or less."""
    v = np.where(u < 0.5, u, u - 0.5).astype(np.float64) + 2.0 ** -(n_bits + 1)
    return np.sqrt(-2 * np.where(u < 0.5, np.log(v), np.log1p(-v)))


@pytest.mark.parametrize("dtype, n_bits", [("float32", 24), ("float64", 53)])
def test_normal_numbers_are_accurate(dtype: str, n_bits: int) -> None:
    key = random.key(SEED)
    u = random.uniform(key, (200_000, 2), dtype)
    exact = box_muller(u[:, 0], u[:, 1], n_bits)
    # For float64 the reference itself is off by a few units.
    ulp = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
    error = np.abs(random.normal(key, (200_000, 2), dtype).astype(np.float64) - exact) / ulp
    assert error.max() < (5 if dtype == "float32" else 7)


@pytest.mark.parametrize("dtype, n_bits, tail", [("float32", 24, 5.88), ("float64", 53, 8.65)])
def test_radius_and_circle_at_their_ends(backend: Backend, dtype: str, n_bits: int, tail: float) -> None:
    if dtype not in backend.dtypes():
        pytest.skip(f"{backend.name} has no {dtype}")
    last = 2.0**-n_bits
    near = [k * 2.0**-8 + j * last for k in range(256) for j in (0, 1, 2)]
    small = [2.0**-k for k in range(2, n_bits + 1)]
    u = np.asarray([*near, *small, *(0.5 + x for x in small), 0.5 - last, 1 - last], dtype=dtype)
    device_u = backend.from_host(u)
    r = host(_normal._radius(_keys.source(random.key(0), "normal"), device_u, dtype)).astype(np.float64)
    np.testing.assert_allclose(r, radius(u, n_bits), rtol=2 * float(np.finfo(dtype).eps), atol=0)
    assert r.min() > 0
    assert r.max() > tail
    x, y = (host(part).astype(np.float64) for part in _normal._circle(device_u, dtype))
    np.testing.assert_allclose(x * x + y * y, 1, rtol=4 * float(np.finfo(dtype).eps), atol=0)
    # Each quarter of the numbers covers a quarter of the circle: right, top, left, bottom.
    for quarter, (horizontal, sign) in enumerate([(True, 1), (False, 1), (True, -1), (False, -1)]):
        here = np.floor(u * 4) == quarter
        assert np.all(sign * (x if horizontal else y)[here] > 0.7)
        assert np.all(np.abs(y if horizontal else x)[here] < 0.7072)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_method_is_symmetric(dtype: str) -> None:
    # The angle's last bit mirrors the sine, its first bit the cosine.
    n_bits = 24 if dtype == "float32" else 53
    v = random.randint(random.key(SEED), 1000, 0, 2**22).astype(dtype) * 2.0**-n_bits
    x, y = _normal._circle(v, dtype)
    mirrored_x, mirrored_y = _normal._circle((0.25 - 2.0**-n_bits) - v, dtype)
    np.testing.assert_array_equal(mirrored_x, x)
    np.testing.assert_array_equal(mirrored_y, -y)
    opposite_x, opposite_y = _normal._circle(v + 0.5, dtype)
    np.testing.assert_array_equal(opposite_x, -x)
    np.testing.assert_array_equal(opposite_y, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_normal(dtype: str) -> None:
    n = 1_000_000
    z = random.normal(random.key(SEED), n, dtype).astype(np.float64)
    assert np.isfinite(z).all()
    assert (z != 0).all()
    # Four standard errors of the first four moments.
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(z**power) - moment) < 4 * math.sqrt(variance / n)
    assert stats.kstest(z, "norm").pvalue > 0.001
    beyond = np.count_nonzero(np.abs(z) > 4)
    assert abs(beyond - 63.3) < 4 * math.sqrt(63.3)
    # The two coordinates of a point, their sum, and neighbours.
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 4 / math.sqrt(n / 2)
    assert stats.kstest((z[::2] + z[1::2]) / math.sqrt(2), "norm").pvalue > 0.001
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 4 / math.sqrt(n)
