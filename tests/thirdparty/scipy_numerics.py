"""SciPy's integrals, derivatives, optimisation, linear algebra, interpolation, clusters and rotations."""

from typing import Any

import numpy as np
from scipy import constants, differentiate, integrate, interpolate, linalg, optimize
from scipy.cluster import hierarchy, vq
from scipy.optimize import elementwise
from scipy.spatial import distance
from scipy.spatial.transform import RigidTransform, Rotation, Slerp

from .call import MATRIX, MIXED, POSITIVE, RNG, UNIT, X, Y, call, stop

__all__ = ["CALLS", "STOPS"]

SORTED = np.sort(Y)
TURNS = RNG.normal(size=(2, 3)) * 0.7  # rotation vectors
QUATERNIONS = RNG.normal(size=(2, 4))
SCREWS = RNG.normal(size=(2, 6))
SQUARE = RNG.normal(size=(3, 3))
PLACES = np.arange(5.0)


def turned(r: Any) -> Any:
    """Rotations by rotation vectors."""
    return Rotation.from_rotvec(r)


CALLS = [
    call("constants.convert_temperature", lambda x: constants.convert_temperature(x, "C", "F"), X),
    call("constants.lambda2nu", constants.lambda2nu, X * 1e8),
    call("constants.nu2lambda", constants.nu2lambda, X * 1e8),
    call("integrate.trapezoid", integrate.trapezoid, X, SORTED),
    call("integrate.trapezoid along an axis", lambda y: integrate.trapezoid(y, dx=0.5, axis=0), MIXED),
    call(
        "integrate.cumulative_trapezoid",
        lambda y, x: integrate.cumulative_trapezoid(y, x, initial=0),
        X,
        SORTED,
    ),
    call("integrate.cumulative_simpson", lambda y: integrate.cumulative_simpson(y, dx=0.5), X),
    call(
        "integrate.cumulative_simpson at places", lambda y, x: integrate.cumulative_simpson(y, x=x), X, SORTED
    ),
    call("integrate.romb", integrate.romb, X),
    call(
        "integrate.tanhsinh",
        lambda a, b: integrate.tanhsinh(lambda t: t**3, a, b).integral,
        UNIT,
        X + 1,
        not_on="array_api_strict",
    ),
    call(
        "integrate.cubature", lambda a: integrate.cubature(lambda t: t[:, 0] ** 2, a * 0, a).estimate, [1.5]
    ),
    call(
        "integrate.fixed_quad",
        lambda a, b: integrate.fixed_quad(lambda t: t**2, a, b)[0],
        0.5,
        1.5,
        not_on="array_api_strict jax torch",
    ),
    call(
        "differentiate.derivative",
        lambda x: differentiate.derivative(lambda t: t**3, x).df,
        X,
        not_on="array_api_strict",
    ),
    call(
        "differentiate.jacobian",
        lambda x: differentiate.jacobian(lambda t: t**3, x).df,
        X[:3],
        not_on="array_api_strict",
    ),
    call(
        "differentiate.hessian",
        lambda x: differentiate.hessian(lambda t: t[0] ** 2 * t[1], x).ddf,
        X[:2],
        not_on="array_api_strict",
    ),
    call("optimize.rosen", optimize.rosen, X),
    call("optimize.rosen_der", optimize.rosen_der, X),
    call("optimize.rosen_hess", optimize.rosen_hess, X),
    call("optimize.rosen_hess_prod", optimize.rosen_hess_prod, X, Y),
    call(
        "elementwise.find_root",
        lambda a: elementwise.find_root(lambda t, c: t**3 - c, (a * 0, a + 1), args=(a,)).x,
        X,
        not_on="array_api_strict",
    ),
    call(
        "elementwise.bracket_root",
        lambda a: elementwise.bracket_root(lambda t, c: t**3 - c, a * 0.5, args=(a,)).bracket,
        X,
        not_on="array_api_strict torch",
    ),
    call("linalg.block_diag", linalg.block_diag, MIXED, MATRIX),
    call("linalg.fiedler", linalg.fiedler, X),
    call("linalg.orthogonal_procrustes", linalg.orthogonal_procrustes, SQUARE, MATRIX),
    call("cluster.vq.whiten", vq.whiten, MIXED),
    call("Rotation.from_quat", lambda q: Rotation.from_quat(q).as_matrix(), QUATERNIONS),
    call("Rotation.from_quat of one", lambda q: Rotation.from_quat(q).as_matrix(), QUATERNIONS[0]),
    call("Rotation.from_rotvec", lambda r: turned(r).as_quat(), TURNS),
    call("Rotation.from_euler", lambda r: Rotation.from_euler("xyz", r).as_rotvec(), TURNS),
    call("Rotation.as_euler", lambda r: turned(r).as_euler("zxz"), TURNS),
    call("Rotation.from_matrix", lambda r: Rotation.from_matrix(turned(r).as_matrix()).as_rotvec(), TURNS),
    call("Rotation.from_mrp", lambda r: Rotation.from_mrp(r).as_mrp(), TURNS),
    call("Rotation.apply", lambda r, v: turned(r).apply(v), TURNS, TURNS[::-1]),
    call(
        "Rotation product and inverse",
        lambda r, s: (turned(r) * turned(s).inv()).as_rotvec(),
        TURNS,
        TURNS[::-1] / 3,
    ),
    call("Rotation power", lambda r: (turned(r) ** 0.5).as_matrix(), TURNS),
    call("Rotation.magnitude", lambda r: turned(r).magnitude(), TURNS),
    call("Rotation.mean", lambda r: turned(r).mean().as_matrix(), TURNS),
    call("Rotation.align_vectors", lambda a, b: Rotation.align_vectors(a, b)[0].as_matrix(), SQUARE, MATRIX),
    call("Rotation.concatenate", lambda r: Rotation.concatenate([turned(r), turned(r)]).as_quat(), TURNS),
    call("Slerp", lambda r: Slerp([0, 1], turned(r))([0.3, 0.6]).as_matrix(), TURNS),
    call(
        "RigidTransform.apply",
        lambda t, r, v: RigidTransform.from_components(t, turned(r)).apply(v),
        TURNS,
        TURNS / 2,
        TURNS + 0.1,
    ),
    call("RigidTransform.from_exp_coords", lambda c: RigidTransform.from_exp_coords(c).as_matrix(), SCREWS),
    call(
        "RigidTransform.as_exp_coords",
        lambda c: RigidTransform.from_exp_coords(c).inv().as_exp_coords(),
        SCREWS,
    ),
    call("RigidTransform.as_dual_quat", lambda c: RigidTransform.from_exp_coords(c).as_dual_quat(), SCREWS),
]

STOPS = [
    stop("integrate.simpson", lambda y: integrate.simpson(y, dx=0.5), X, line="y = np.asarray(y)"),
    stop(
        "integrate.solve_ivp",
        lambda y: integrate.solve_ivp(lambda t, y: -y, (0, 1), y).y,
        X,
        line="y0 = np.asarray(y0)",
    ),
    stop(
        "optimize.minimize",
        lambda a: optimize.minimize(lambda t: ((t - 1) ** 2).sum(), a).x,
        X,
        line="x0 = np.atleast_1d(np.asarray(x0))",
    ),
    stop(
        "optimize.root", lambda a: optimize.root(lambda t: t - 1, a).x, X, line="x0 = asarray(x0).flatten()"
    ),
    *(
        stop(
            f"linalg.{name}",
            getattr(linalg, name),
            MATRIX @ MATRIX.T,
            line="a = asarray(a, dtype=dtype, order=order)",
        )
        for name in ("inv", "det", "norm", "cholesky", "eigh", "svdvals")
    ),
    stop("linalg.expm", linalg.expm, MATRIX, line="a = np.asarray(A)"),
    stop("linalg.toeplitz", linalg.toeplitz, X, line="n = vals.strides[0]", error=AttributeError),
    stop("cluster.vq.vq", lambda x, c: vq.vq(x, c)[1], MIXED, POSITIVE, line="c_obs = np.asarray(c_obs)"),
    stop(
        "cluster.hierarchy.linkage",
        hierarchy.linkage,
        MIXED,
        line="arg = cast(Array, np.asarray(arg))",
    ),
    stop("distance.cdist", distance.cdist, MIXED, POSITIVE, line="XA = np.asarray(XA)"),
    stop(
        "interpolate.BSpline",
        lambda t, c, x: interpolate.BSpline(t, c, 2)(x),
        [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0],
        X,
        UNIT,
        line="self._c = np.asarray(c)",
    ),
    stop(
        "interpolate.CubicSpline",
        lambda x, y: interpolate.CubicSpline(x, y)(y),
        PLACES,
        X,
        line="x, y = map(xp.asarray, (x, y))",
    ),
    stop(
        "interpolate.make_interp_spline",
        lambda x, y: interpolate.make_interp_spline(x, y)(y),
        PLACES,
        X,
        line="x = np.ascontiguousarray(x)",
    ),
    stop(
        "interpolate.RegularGridInterpolator",
        lambda p, q, v, x: interpolate.RegularGridInterpolator((p, q), v)(x),
        PLACES[:3],
        PLACES[:4],
        MIXED,
        UNIT[:2],
        line="p = np.asarray(p, dtype=float)",
    ),
    stop(
        "interpolate.interp1d",
        lambda y, x: interpolate.interp1d(PLACES, y)(x),
        X,
        UNIT,
        line="yi = np.asarray(yi)",
    ),
    stop(
        "interpolate.BarycentricInterpolator",
        lambda y, x: interpolate.BarycentricInterpolator(PLACES, y)(x),
        X,
        UNIT,
        line="yi = np.asarray(yi)",
    ),
    stop(
        "interpolate.RBFInterpolator",
        lambda y, d: interpolate.RBFInterpolator(y, d)(y + 0.1),
        RNG.normal(size=(6, 2)),
        RNG.normal(size=6),
        line="d = d.view(float)",
        error=AttributeError,
    ),
]
