"""scikit-learn with ``array_api_dispatch``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import (
    cluster,
    config_context,
    covariance,
    decomposition,
    kernel_ridge,
    linear_model,
    metrics,
    mixture,
    naive_bayes,
    neighbors,
    preprocessing,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics import pairwise
from sklearn.utils import extmath

from bpkit.errors import NotDifferentiableError

from . import call as plain
from .call import AB, AC, MATRIX, RNG, Call, Stop

__all__ = ["CALLS", "STOPS"]

CONSTANT = AB * [1, 0, 1] + [0, 2, 0]
NUMBERS, SEVERAL = RNG.normal(size=8), RNG.normal(size=(8, 2))
POSITIVE, TARGETS = np.abs(RNG.normal(size=(2, 8, 2))) + 0.2
WEIGHTS = RNG.uniform(0.1, 0.9, 8)
TWO = np.asarray([0, 1, 0, 1, 1, 0, 1, 0])
THREE = np.asarray([0, 1, 2, 1, 1, 0, 2, 0])
TORCH = "torch"


def dispatched(run: Callable[..., Any]) -> Callable[..., Any]:
    """The same with dispatch by namespace."""

    def inside(*arrays: Any) -> Any:
        with config_context(array_api_dispatch=True):
            return run(*arrays)

    return inside


def call(name: str, run: Callable[..., Any], *arguments: Any, **more: Any) -> Call:
    """A call with dispatch."""
    return plain.call(name, dispatched(run), *arguments, **more)


def stop(name: str, run: Callable[..., Any], *arguments: Any, **more: Any) -> Stop:
    """A call with dispatch that is stopped."""
    return plain.stop(name, dispatched(run), *arguments, **more)


def pca(x: Any, **settings: Any) -> Any:
    """A fitted principal component analysis."""
    return decomposition.PCA(2, **{"svd_solver": "full", "power_iteration_normalizer": "QR", **settings}).fit(
        x
    )


def mixed(x: Any, kind: str = "full") -> Any:
    """A mixture of two Gaussians after two steps of expectation and maximization."""
    start = {"init_params": "random", "random_state": 0}
    return mixture.GaussianMixture(2, covariance_type=kind, max_iter=3, tol=1e9, **start).fit(x)


def ridge(x: Any, y: Any, **weights: Any) -> Any:
    """A fitted ridge regression."""
    return linear_model.Ridge(0.7, solver="svd").fit(x, y, **weights)


def error(name: str) -> Call:
    """A regression error, one number for each output: a scalar one ends in ``float()``."""
    metric = getattr(metrics, name)
    return call(f"metrics.{name}", lambda y, z: metric(y, z, multioutput="raw_values"), POSITIVE, TARGETS)


def kernel(name: str, **settings: Any) -> Call:
    """A kernel or distance between all pairs of samples."""
    function = getattr(pairwise, name)
    label = " ".join([name, *settings])
    return call(f"pairwise.{label}", lambda x, y: function(x, y, **settings), AB, AC)


CALLS = [
    call("StandardScaler", lambda x: preprocessing.StandardScaler().fit_transform(x), AB),
    call(
        "StandardScaler weighted",
        lambda x, w: preprocessing.StandardScaler().fit(x, sample_weight=w).transform(x),
        AB,
        WEIGHTS,
    ),
    call(
        "StandardScaler back", lambda x, y: preprocessing.StandardScaler().fit(x).inverse_transform(y), AB, AC
    ),
    call("MinMaxScaler", lambda x: preprocessing.MinMaxScaler().fit_transform(x), AB),
    call(
        "MinMaxScaler clipped", lambda x, y: preprocessing.MinMaxScaler(clip=True).fit(x).transform(y), AB, AC
    ),
    call("MaxAbsScaler", lambda x: preprocessing.MaxAbsScaler().fit_transform(x), AB),
    *(
        call(f"Normalizer {norm}", lambda x, n=norm: preprocessing.Normalizer(norm=n).fit_transform(x), AB)
        for norm in ("l1", "l2", "max")
    ),
    call("normalize columns", lambda x: preprocessing.normalize(x, axis=0), AB),
    call("Binarizer", lambda x: x * preprocessing.Binarizer().fit_transform(x), AB),
    call("KernelCenterer", lambda x: preprocessing.KernelCenterer().fit_transform(x), MATRIX),
    call("PolynomialFeatures", lambda x: preprocessing.PolynomialFeatures(2).fit_transform(x), AB),
    call(
        "FunctionTransformer",
        lambda x: preprocessing.FunctionTransformer(lambda t: t**2).fit_transform(x),
        AB,
    ),
    *(
        call(f"PCA {solver}", lambda x, s=solver: pca(x, svd_solver=s, random_state=0).transform(x), AB)
        for solver in ("full", "covariance_eigh", "randomized")
    ),
    call("PCA whitened", lambda x: pca(x, whiten=True).transform(x), AB),
    call("PCA variances", lambda x: pca(x).explained_variance_ratio_, AB),
    call("PCA singular values", lambda x: pca(x).singular_values_, AB),
    call("PCA inverse_transform", lambda x: pca(x).inverse_transform(pca(x).transform(x)), AB),
    call("PCA covariance", lambda x: pca(x).get_covariance(), AB),
    call("PCA precision", lambda x: pca(x).get_precision(), AB),
    call("PCA score_samples", lambda x: pca(x).score_samples(x), AB),
    call("Ridge coefficients", lambda x, y: ridge(x, y).coef_, AB, NUMBERS),
    call("Ridge intercept", lambda x, y: ridge(x, y).intercept_, AB, NUMBERS),
    call("Ridge predict", lambda x, y, z: ridge(x, y).predict(z), AB, NUMBERS, AC),
    call("Ridge weighted", lambda x, y, w: ridge(x, y, sample_weight=w).coef_, AB, NUMBERS, WEIGHTS),
    call("Ridge with several outputs", lambda x, y: ridge(x, y).coef_, AB, SEVERAL),
    call("RidgeCV", lambda x, y: linear_model.RidgeCV([0.1, 1.0]).fit(x, y).coef_, AB, NUMBERS),
    call(
        "RidgeClassifier",
        lambda x, y: linear_model.RidgeClassifier(solver="svd").fit(x, y).decision_function(x),
        AB,
        TWO,
    ),
    call(
        "LinearDiscriminantAnalysis transform",
        lambda x, y: LinearDiscriminantAnalysis().fit(x, y).transform(x),
        AB,
        THREE,
    ),
    call(
        "LinearDiscriminantAnalysis predict_proba",
        lambda x, y: LinearDiscriminantAnalysis().fit(x, y).predict_proba(x),
        AB,
        THREE,
    ),
    call("GaussianNB", lambda x, y: naive_bayes.GaussianNB().fit(x, y).predict_proba(x), AB, TWO),
    *(
        call(f"GaussianMixture {kind}", lambda x, k=kind: mixed(x, k).means_, AB)
        for kind in ("full", "tied", "diag", "spherical")
    ),
    call("GaussianMixture score_samples", lambda x: mixed(x).score_samples(x), AB),
    call("GaussianMixture predict_proba", lambda x: mixed(x).predict_proba(x), AB),
    call("Nystroem", lambda x: Nystroem(n_components=3, random_state=0).fit_transform(x), AB),
    kernel("rbf_kernel", gamma=0.3),
    kernel("laplacian_kernel"),
    kernel("linear_kernel"),
    kernel("polynomial_kernel"),
    kernel("sigmoid_kernel"),
    kernel("cosine_similarity"),
    kernel("cosine_distances"),
    kernel("euclidean_distances"),
    kernel("euclidean_distances", squared=True),
    kernel("manhattan_distances"),
    kernel("pairwise_kernels", metric="rbf"),
    kernel("pairwise_distances", metric="euclidean"),
    call("pairwise.euclidean_distances of one", lambda x: pairwise.euclidean_distances(x, squared=True), AB),
    call("pairwise.chi2_kernel", pairwise.chi2_kernel, POSITIVE, TARGETS),
    call("pairwise.additive_chi2_kernel", pairwise.additive_chi2_kernel, POSITIVE, TARGETS),
    call("pairwise.paired_euclidean_distances", pairwise.paired_euclidean_distances, AB[:5], AC),
    call("pairwise.paired_cosine_distances", pairwise.paired_cosine_distances, AB[:5], AC),
    call("pairwise.paired_manhattan_distances", pairwise.paired_manhattan_distances, AB[:5], AC),
    error("mean_squared_error"),
    error("root_mean_squared_error"),
    error("mean_absolute_error"),
    error("mean_squared_log_error"),
    error("root_mean_squared_log_error"),
    error("mean_absolute_percentage_error"),
    error("r2_score"),
    error("explained_variance_score"),
    error("mean_pinball_loss"),
    error("d2_absolute_error_score"),
    call(
        "metrics.mean_squared_error weighted",
        lambda y, z, w: metrics.mean_squared_error(y, z, sample_weight=w, multioutput="raw_values"),
        POSITIVE,
        TARGETS,
        WEIGHTS,
    ),
    call(
        "metrics.roc thresholds",
        lambda y, p: metrics.roc_curve(y, p, drop_intermediate=False)[2][1:],
        TWO,
        WEIGHTS,
    ),
    call(
        "metrics.precision_recall thresholds",
        lambda y, p: metrics.precision_recall_curve(y, p)[2],
        TWO,
        WEIGHTS,
    ),
    call("extmath.softmax", lambda x: extmath.softmax(x, copy=True), AB),
    call(
        "extmath.randomized_svd",
        lambda x: extmath.randomized_svd(x, 2, power_iteration_normalizer="QR", random_state=0)[1],
        AB,
    ),
    call("extmath.row_norms", extmath.row_norms, AB),
    call("extmath.safe_sparse_dot", extmath.safe_sparse_dot, AB, MATRIX),
]

STOPS = [
    stop("scale", preprocessing.scale, AB, line="X = np.asarray(X)"),
    stop(
        "RobustScaler",
        lambda x: preprocessing.RobustScaler().fit_transform(x),
        AB,
        line="self.center_ = np.nanmedian(X, axis=0)",
        error=NotDifferentiableError,
    ),
    stop(
        "PowerTransformer",
        lambda x: preprocessing.PowerTransformer().fit_transform(x),
        AB,
        line="x = np.asarray(x)",
    ),
    stop(
        "SplineTransformer",
        lambda x: preprocessing.SplineTransformer().fit_transform(x),
        AB,
        line="x_min[feature_idx] = np.nanmin(x)",
    ),
    stop(
        "IncrementalPCA",
        lambda x: decomposition.IncrementalPCA(2).fit_transform(x),
        AB,
        line="a = toarray(a)",
    ),
    stop(
        "Ridge by Cholesky",
        lambda x, y: linear_model.Ridge(solver="cholesky").fit(x, y).coef_,
        AB,
        NUMBERS,
        line="raise ValueError(",
        error=ValueError,
    ),
    stop(
        "LinearRegression",
        lambda x, y: linear_model.LinearRegression().fit(x, y).coef_,
        AB,
        NUMBERS,
        line="a = asarray(a, dtype=dtype, order=order)",
    ),
    stop(
        "LogisticRegression",
        lambda x, y: linear_model.LogisticRegression().fit(x, y).coef_,
        AB,
        TWO,
        line="return numpy.asarray(array)",
    ),
    stop(
        "KernelRidge",
        lambda x, y: kernel_ridge.KernelRidge().fit(x, y).predict(x),
        AB,
        NUMBERS,
        line="K.flat[:: n_samples + 1] += alpha[0]",
        error=AttributeError,
    ),
    stop(
        "ledoit_wolf",
        lambda x: covariance.ledoit_wolf(x)[0],
        AB,
        line="shrunk_cov.flat[:: n_features + 1] += shrinkage * mu",
        error=AttributeError,
    ),
    stop("KMeans", lambda x: cluster.KMeans(2).fit(x).cluster_centers_, AB, line="centers[0] = X[center_id]"),
    stop(
        "NearestCentroid",
        lambda x, y: neighbors.NearestCentroid().fit(x, y).centroids_,
        AB,
        TWO,
        line="self.centroids_[cur_class] = X[center_mask].mean(axis=0)",
    ),
    stop(
        "metrics.median_absolute_error",
        lambda y, z: metrics.median_absolute_error(y, z, multioutput="raw_values"),
        POSITIVE,
        TARGETS,
        line="return numpy.asarray(array)",
    ),
    stop(
        "metrics.roc_curve",
        lambda y, p: metrics.roc_curve(y, p)[2][1:],
        TWO,
        WEIGHTS,
        line="xp.logical_or(xp.diff(fps, 2), xp.diff(tps, 2)),",
        error=TypeError,
    ),
    # The loss is then a Python float, and depends on nothing.
    stop(
        "metrics.mean_squared_error averaged",
        metrics.mean_squared_error,
        POSITIVE,
        TARGETS,
        line="return float(mean_squared_error)",
    ),
    stop(
        "metrics.mean_gamma_deviance",
        metrics.mean_gamma_deviance,
        NUMBERS**2,
        WEIGHTS,
        line="return float(_average(dev, weights=sample_weight, xp=xp))",
    ),
    stop(
        "metrics.max_error",
        metrics.max_error,
        NUMBERS,
        WEIGHTS,
        line="return float(xp.max(xp.abs(y_true - y_pred)))",
    ),
    stop(
        "metrics.log_loss",
        metrics.log_loss,
        TWO,
        WEIGHTS,
        line="return float(_average(loss, weights=sample_weight, normalize=normalize))",
    ),
    stop(
        "metrics.brier_score_loss", metrics.brier_score_loss, TWO, WEIGHTS, line="return float(brier_score)"
    ),
    stop("metrics.auc", metrics.auc, np.sort(NUMBERS), WEIGHTS, line="return float(area)"),
    stop(
        "metrics.davies_bouldin_score",
        metrics.davies_bouldin_score,
        AB,
        TWO,
        line="return float(_average(scores, xp=xp))",
    ),
    stop("metrics.calinski_harabasz_score", metrics.calinski_harabasz_score, AB, TWO, line="return float("),
]
