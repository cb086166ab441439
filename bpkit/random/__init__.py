"""Random numbers from keys: the same bits on every backend, device and machine.

A key is an array of two 32-bit words. It is never changed by drawing from it: the same key gives the same
numbers, so a program makes one key from a seed and splits it, once for everything that needs randomness.

The generator is Threefry-2x32 with 20 rounds, which turns a key and a counter into two words. Integers,
booleans and uniform numbers follow from those words by exact operations, and :func:`normal` by additions,
subtractions and multiplications alone, which IEEE-754 rounds in one way only. So the bits agree wherever a
library runs one operation at a time. A compiler that fuses operations (``jax.jit``) may contract a
multiplication and an addition into one rounding; the last bits of :func:`normal`, and of :func:`uniform`
between bounds other than 0 and 1, may then differ. Everything else is exact there too.

Shapes and dtypes are part of what is drawn: float32 and float64 numbers of one key are unrelated. Draws are
not cut off by the shape, though: the first m of n numbers are those of a draw of m.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
   SC'11, 2011, https://doi.org/10.1145/2063384.2063405
.. [2] JAX's design of keys: https://docs.jax.dev/en/latest/jep/263-prng.html

Examples
--------
>>> from bpkit import random
>>> weights, noise = random.split(random.key(0))
>>> random.randint(weights, (4,), 0, 10)
array([0, 3, 6, 2])
"""

from bpkit.random._draws import bernoulli, bits, permutation, randint, uniform
from bpkit.random._keys import fold_in, key, split
from bpkit.random._normal import normal

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "permutation", "randint", "split", "uniform"]
