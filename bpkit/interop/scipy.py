"""Functions of pytrees as SciPy's solvers want them: of a float64 vector, with exact derivatives.

SciPy sees NumPy's vectors of float64 alone. The function sees its own tree: arrays of its library, dtypes and
devices. Data that SciPy hands on with ``args=`` reach the function, and the derivatives, as they are.

Only the operators need SciPy itself: ``pip install scipy``.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

from bpkit import namespace as xp
from bpkit import transforms, tree
from bpkit.errors import ArgumentError, RecordingError
from bpkit.interop._vectors import Variables, Vector, host
from bpkit.kinds import is_real
from bpkit.transforms.arguments import describe, is_array, title

__all__ = ["Objective", "Residuals", "hessian_operator", "jacobian_operator", "objective", "residuals"]


class Objective(NamedTuple):
    """What ``scipy.optimize.minimize`` wants of a loss with n variables; made by :func:`objective`.

    Attributes
    ----------
    x0 : numpy.ndarray of float64, (n,)
        The example as a vector.
    fun : callable
        ``fun(x, *args)`` returns value and gradient, a float and a float64 vector: for ``jac=True``.
    hessp : callable
        ``hessp(x, p, *args)`` returns the product of the Hessian at x with p.
    tree : callable
        ``tree(x)`` returns a vector as a tree like the example.
    """

    x0: Vector
    fun: Callable[..., tuple[float, Vector]]
    hessp: Callable[..., Vector]
    tree: Callable[[Any], Any]


class Residuals(NamedTuple):
    """What ``scipy.optimize.least_squares`` and ``root`` want; made by :func:`residuals`.

    Attributes
    ----------
    x0 : numpy.ndarray of float64, (n,)
        The example as a vector.
    fun : callable
        ``fun(x, *args)`` returns the m residuals as a float64 vector.
    jac : callable
        ``jac(x, *args)`` returns their Jacobian, a float64 matrix of shape (m, n).
    operator : callable
        ``operator(x, *args)`` returns it as a ``scipy.sparse.linalg.LinearOperator``, never formed.
    tree : callable
        ``tree(x)`` returns a vector as a tree like the example.
    """

    x0: Vector
    fun: Callable[..., Vector]
    jac: Callable[..., Vector]
    operator: Callable[..., Any]
    tree: Callable[[Any], Any]


def objective(fun: Callable[..., Any], x0: Any, *, jit: bool = True) -> Objective:
    """A loss of a tree with gradient and Hessian products, for ``scipy.optimize.minimize``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the loss, a 0-d array of a real floating dtype, for a tree like `x0`.
    x0 : pytree of real floating arrays
        An example, which is also where SciPy may start. It decides library, device, shapes and dtypes.
    jit : bool
        Whether the functions are compiled by :func:`bpkit.jit`; say False if `fun` branches on values.

    Returns
    -------
    Objective

    Raises
    ------
    ArgumentError
        If a leaf of `x0` is no real floating array; in a call, if the loss is no real scalar or the vector
        has another length.

    Notes
    -----
    In float32 the gradient is not exact to the tolerances that SciPy takes for float64: give it wider ones.

    References
    ----------
    J. Nocedal, S. J. Wright, *Numerical Optimization*, 2nd ed. (Springer 2006), chapter 7 on Newton methods
    that need only products with the Hessian.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> def valley(point):
    ...     return (1 - point["x"]) ** 2 + 100 * (point["y"] - point["x"] ** 2) ** 2
    >>> loss = objective(valley, {"x": -1.0, "y": 2.0})
    >>> found = minimize(loss.fun, loss.x0, jac=True, hessp=loss.hessp, method="trust-ncg")
    >>> {name: round(float(value), 3) for name, value in loss.tree(found.x).items()}
    {'x': 1.0, 'y': 1.0}
    """
    called = title("objective", fun)
    variables = Variables(called, x0)
    inner = variables.taking_a_vector(fun)
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = partial(_made, called, jit)

    @wraps(fun, updated=())
    def flat(vector: Any, *args: Any) -> Any:
        out = inner(vector, *args)
        if is_array(out) and out.shape != ():
            raise ArgumentError(
                f"{called}: the result must be one number; it is {describe(out)}. Reduce it with xp.sum or "
                f"xp.mean, or, for least_squares and root, use residuals"
            )
        return out

    both = compiled(transforms.value_and_grad(flat))

    @compiled
    def product(vector: Any, p: Any, *args: Any) -> Any:
        @wraps(fun, updated=())
        def at(vector: Any) -> Any:
            return flat(vector, *args)

        return transforms.hvp(at, (vector,), (p,))

    def value_and_gradient(x: Any, *args: Any) -> tuple[float, Vector]:
        value, gradient = both(variables.array("x", x), *args)
        return float(value), host(gradient)

    def hessp(x: Any, p: Any, *args: Any) -> Vector:
        return host(product(variables.array("x", x), variables.array("p", p), *args))

    return Objective(variables.x0, value_and_gradient, hessp, variables.tree)


def residuals(fun: Callable[..., Any], x0: Any, *, jit: bool = True) -> Residuals:
    """Residuals of a tree with their Jacobian, for ``scipy.optimize.least_squares`` and ``root``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the residuals, a tree of real floating arrays, for a tree like `x0`. For
        ``root`` there must be as many as there are variables.
    x0 : pytree of real floating arrays
        An example, which is also where SciPy may start. It decides library, device, shapes and dtypes.
    jit : bool
        Whether the functions are compiled by :func:`bpkit.jit`; say False if `fun` branches on values.

    Returns
    -------
    Residuals

    Raises
    ------
    ArgumentError
        If a leaf of `x0` is no real floating array; in a call, if that is so of a residual, or the vector
        has another length.
    ImportError
        If an operator is asked for and SciPy is not installed.

    References
    ----------
    J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM
    Transactions on Mathematical Software 7 (1981), 17-41.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> from scipy.optimize import least_squares, root
    >>> t = np.asarray([0.0, 1.0, 2.0])
    >>> def misses(line, y):
    ...     return line["slope"] * t + line["start"] - y
    >>> fit = residuals(misses, {"slope": 0.0, "start": 0.0})
    >>> found = least_squares(fit.fun, fit.x0, jac=fit.jac, args=(np.asarray([1.0, 3.0, 5.0]),))
    >>> {name: round(float(value), 6) for name, value in fit.tree(found.x).items()}
    {'slope': 2.0, 'start': 1.0}
    >>> circle = residuals(lambda x: [x[0] ** 2 + x[1] ** 2 - 2, x[0] - x[1]], np.asarray([3.0, 1.0]))
    >>> print(root(circle.fun, circle.x0, jac=circle.jac).x.round(6))
    [1. 1.]
    """
    called = title("residuals", fun)
    variables = Variables(called, x0)
    inner = variables.taking_a_vector(fun)
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = partial(_made, called, jit)

    @wraps(fun, updated=())
    def flat(vector: Any, *args: Any) -> Any:
        return _joined(called, inner(vector, *args))

    values, matrix = compiled(flat), compiled(transforms.jacobian(flat))

    @compiled
    def forward(vector: Any, t: Any, *args: Any) -> Any:
        return transforms.jvp(lambda v: flat(v, *args), (vector,), (t,))[1]

    @compiled
    def back(vector: Any, g: Any, *args: Any) -> Any:
        out, pullback = transforms.vjp(lambda v: flat(v, *args), vector)
        return pullback(xp.astype(g, out.dtype))[0]

    def vector_of(x: Any, *args: Any) -> Vector:
        return host(values(variables.array("x", x), *args))

    def jacobian(x: Any, *args: Any) -> Vector:
        return host(matrix(variables.array("x", x), *args))

    def operator(x: Any, *args: Any) -> Any:
        vector = variables.array("x", x)
        count = vector_of(x, *args).size
        return _linear_operator(
            called,
            (count, variables.x0.size),
            lambda t: host(forward(vector, variables.array("v", t.reshape(-1)), *args)),
            lambda g: host(back(vector, variables.array("v", g.reshape(-1), count), *args)),
        )

    return Residuals(variables.x0, vector_of, jacobian, operator, variables.tree)


def jacobian_operator(fun: Callable[..., Any], x: Any, *args: Any, jit: bool = True) -> Any:
    """The Jacobian of a function as SciPy's LinearOperator, by :func:`bpkit.jvp` and :func:`bpkit.vjp`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a tree of real floating arrays, of m elements together.
    x : pytree of real floating arrays
        Where, of n elements together.
    *args : pytrees
        What else `fun` takes; not differentiated by.
    jit : bool
        Whether the products are compiled by :func:`bpkit.jit`.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Of shape (m, n) and dtype float64; its ``matvec`` is a `jvp`, its ``rmatvec`` a `vjp`.

    Raises
    ------
    ArgumentError
        As :func:`residuals`.
    ImportError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> slope = jacobian_operator(lambda x: xp.cumulative_sum(x**2), np.asarray([1.0, 2.0]))
    >>> print(slope @ np.asarray([1.0, 1.0]), slope.T @ np.asarray([1.0, 1.0]))
    [2. 6.] [4. 4.]
    """
    problem = residuals(fun, x, jit=jit)
    return problem.operator(problem.x0, *args)


def hessian_operator(fun: Callable[..., Any], x: Any, *args: Any, jit: bool = True) -> Any:
    """The Hessian of a loss as SciPy's LinearOperator, by :func:`bpkit.hvp`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a 0-d array of a real floating dtype.
    x : pytree of real floating arrays
        Where, of n elements together.
    *args : pytrees
        What else `fun` takes; not differentiated by.
    jit : bool
        Whether the product is compiled by :func:`bpkit.jit`.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Of shape (n, n) and dtype float64; it is its own transpose.

    Raises
    ------
    ArgumentError
        As :func:`objective`.
    ImportError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from bpkit import xp
    >>> print(hessian_operator(lambda x: xp.sum(x**3), np.asarray([1.0, 2.0])) @ np.asarray([1.0, 1.0]))
    [ 6. 12.]
    """
    problem = objective(fun, x, jit=jit)

    def product(p: Any) -> Vector:
        return problem.hessp(problem.x0, p.reshape(-1), *args)

    return _linear_operator(title("hessian_operator", fun), (problem.x0.size,) * 2, product, product)


def _joined(called: str, out: Any) -> Any:
    """All residuals as one vector."""
    leaves = tree.leaves(out)
    for path, leaf in zip(tree.paths(out), leaves, strict=True):
        if not is_array(leaf) or not is_real(leaf):
            raise ArgumentError(
                f"{called}: the result{path} must be a real floating array; it is {describe(leaf)}"
            )
    if not leaves:
        raise ArgumentError(f"{called}: the result must hold residuals; it is {describe(out)}")
    parts = [xp.reshape(leaf, (-1,)) for leaf in leaves]
    return parts[0] if len(parts) == 1 else xp.concat(parts)


def _made(called: str, jit: bool, fun: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled, if it shall be."""
    if not jit:
        return fun
    compiled = transforms.jit(fun)

    def run(*args: Any) -> Any:
        try:
            return compiled(*args)
        except RecordingError as error:
            error.add_note(f"{called}: with jit=False it runs as it is, and may branch on values")
            raise

    return run


def _linear_operator(
    called: str, shape: tuple[int, int], matvec: Callable[[Any], Vector], rmatvec: Callable[[Any], Vector]
) -> Any:
    try:
        from scipy.sparse.linalg import LinearOperator
    except ImportError as error:
        raise ImportError(
            f"{called}: a LinearOperator needs SciPy, which is not installed: pip install scipy"
        ) from error
    return LinearOperator(shape, matvec=matvec, rmatvec=rmatvec, dtype=np.float64)
