"""Code written as plain NumPy, ``numpy.sin(x)`` and ``numpy.linalg.solve(a, x)``, on traced values.

NumPy hands its functions to an operand that has ``__array_ufunc__`` and ``__array_function__``
(https://numpy.org/neps/nep-0013-ufunc-overrides.html, https://numpy.org/neps/nep-0018-array-function-protocol.html).
:class:`bpkit.array.Array` passes them on to here, and here each becomes functions of :mod:`bpkit.namespace`,
thus the same derivative rules. What is not mapped is refused by name. This is a layer above the namespace, so
the array loads it on first use.
"""

from bpkit.numpy_protocol import (  # noqa: F401  these fill the table of functions
    algebra,
    creation,
    fourier,
    manipulation,
    reductions,
    searching,
    sequences,
)
from bpkit.numpy_protocol.dispatch import FUNCTIONS, apply_function
from bpkit.numpy_protocol.ufuncs import UFUNCS, apply_ufunc

__all__ = ["FUNCTIONS", "UFUNCS", "apply_function", "apply_ufunc"]
