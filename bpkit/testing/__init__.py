"""What tests are written with: of functions, of backends, and of code that takes any array library.

- :func:`assert_gradients` checks the derivatives of a function of yours.
- ``bpkit.testing.contract`` holds the tests that every backend passes, one of yours as well; it needs pytest.
- :func:`traced_namespace` makes arrays that are traced, for array-API suites that know nothing of bpkit.

The fixture ``bpkit_backend`` and the option ``--bpkit-backend`` come with the package: pytest loads them
by itself, from the module ``pytest_bpkit``.
"""

from bpkit.testing.gradients import assert_gradients
from bpkit.testing.traced import traced_namespace

__all__ = ["assert_gradients", "traced_namespace"]
