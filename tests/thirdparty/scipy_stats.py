"""``scipy.stats``: averages, moments and the statistics of tests."""

from typing import Any

import numpy as np
from scipy import stats

from .call import AB, AC, MIXED, POSITIVE, RNG, SIGNED, UNIT, X, Y, call, stop

__all__ = ["CALLS", "STOPS"]

LONG = np.sinh(RNG.permutation(24) / 8 - 1.4)
A, B = AB[:, 1], AC[:, 1]  # one sample of 8, one of 5


def both(result: Any) -> Any:
    """The statistic of a test and how probable it is."""
    return result.statistic, result.pvalue


def described(x: Any) -> Any:
    """The floating parts of a description."""
    found = stats.describe(x, axis=1)
    return *found.minmax, found.mean, found.variance, found.skewness, found.kurtosis


CALLS = [
    call("stats.gmean", lambda x: stats.gmean(x, axis=1), POSITIVE),
    call("stats.gmean weighted", lambda x, w: stats.gmean(x, weights=w), X, Y),
    call("stats.hmean", lambda x: stats.hmean(x, axis=0), POSITIVE),
    call("stats.hmean weighted", lambda x, w: stats.hmean(x, weights=w), X, Y),
    call("stats.pmean", lambda x: stats.pmean(x, 2.5, axis=1), POSITIVE),
    call("stats.pmean of power 0", lambda x: stats.pmean(x, 0), X),
    call("stats.zscore", lambda x: stats.zscore(x, axis=1, ddof=1), MIXED),
    call("stats.zmap", stats.zmap, X, Y),
    call("stats.gzscore", stats.gzscore, X),
    call("stats.gstd", lambda x: stats.gstd(x, axis=0), POSITIVE),
    call("stats.sem", lambda x: stats.sem(x, axis=0), MIXED),
    call("stats.variation", lambda x: stats.variation(x, axis=1), POSITIVE),
    call("stats.moment", lambda x: stats.moment(x, order=3, axis=1), MIXED),
    call("stats.moment of several orders", lambda x: stats.moment(x, order=[1, 2, 4], axis=0), MIXED),
    call("stats.skew", lambda x: stats.skew(x, axis=1), MIXED),
    call("stats.skew unbiased", lambda x: stats.skew(x, axis=1, bias=False), MIXED),
    call("stats.kurtosis", lambda x: stats.kurtosis(x, axis=1), MIXED),
    call("stats.kurtosis unbiased", lambda x: stats.kurtosis(x, bias=False, fisher=False), X),
    call("stats.kstat", lambda x: stats.kstat(x, 4), X),
    call("stats.kstatvar", lambda x: stats.kstatvar(x, 2), X),
    call("stats.lmoment", stats.lmoment, X),
    call("stats.describe", described, MIXED),
    call("stats.tmean", lambda x: stats.tmean(x, (0.3, 2.0)), X),
    call("stats.tvar", lambda x: stats.tvar(x, (0.3, 2.0)), X, other="jax torch"),
    call("stats.tstd", lambda x: stats.tstd(x, (0.3, 2.0)), X, other="jax torch"),
    call("stats.tsem", lambda x: stats.tsem(x, (0.3, 2.0)), X, other="jax torch"),
    call("stats.tmin", lambda x: stats.tmin(x, 0.3), X),
    call("stats.tmax", lambda x: stats.tmax(x, 2.0), X),
    call("stats.trim_mean", lambda x: stats.trim_mean(x, 0.2), X),
    call("stats.sigmaclip", lambda x: stats.sigmaclip(x, 1.2, 1.2).clipped, X),
    call("stats.iqr", lambda x: stats.iqr(x, axis=1), MIXED),
    call("stats.quantile", stats.quantile, X, [0.1, 0.4, 0.7]),
    call("stats.quantile weighted", lambda x: stats.quantile(x, 0.3, method="harrell-davis"), X),
    call("stats.median_abs_deviation", lambda x: stats.median_abs_deviation(x, axis=0), AC),
    call("stats.mode", lambda x: stats.mode(x).mode, X),
    call("stats.entropy", lambda p: stats.entropy(p, axis=1), POSITIVE),
    call("stats.entropy relative", lambda p, q: stats.entropy(p, q, base=2), X, Y),
    *(
        call(
            f"stats.differential_entropy {method}",
            lambda x, m=method: stats.differential_entropy(x, method=m),
            LONG,
        )
        for method in ("vasicek", "van es", "ebrahimi")
    ),
    call("stats.circmean", stats.circmean, X),
    call("stats.circvar", stats.circvar, X),
    call("stats.circstd", stats.circstd, X),
    call("stats.directional_stats", lambda x: stats.directional_stats(x).mean_direction, POSITIVE),
    call("stats.boxcox_llf", lambda x: stats.boxcox_llf(0.4, x), X),
    call("stats.yeojohnson_llf", lambda x: stats.yeojohnson_llf(0.4, x), SIGNED),
    call("stats.pearsonr", lambda x, y: both(stats.pearsonr(x, y)), X, Y),
    call("stats.pearsonr of rows", lambda x, y: stats.pearsonr(x, y, axis=1).statistic, MIXED, POSITIVE),
    call("stats.ttest_1samp", lambda x: both(stats.ttest_1samp(x, 0.3, axis=0)), AB),
    call(
        "stats.ttest_1samp interval",
        lambda x: tuple(stats.ttest_1samp(x, 0.3).confidence_interval()),
        AB,
        not_on="jax",
    ),
    call("stats.ttest_ind", lambda x, y: both(stats.ttest_ind(x, y)), AB, AC),
    call(
        "stats.ttest_ind of unequal variances",
        lambda x, y: stats.ttest_ind(x, y, equal_var=False).statistic,
        AB,
        AC,
    ),
    call("stats.ttest_rel", lambda x, y: both(stats.ttest_rel(x, y)), MIXED, POSITIVE),
    call("stats.f_oneway", lambda x, y: both(stats.f_oneway(x, y)), A, B),
    call("stats.alexandergovern", lambda x, y: both(stats.alexandergovern(x, y)), A, B),
    call("stats.bartlett", lambda x, y: both(stats.bartlett(x, y)), A, B),
    call("stats.levene", lambda x, y: both(stats.levene(x, y)), A, B),
    call("stats.epps_singleton_2samp", lambda x, y: stats.epps_singleton_2samp(x, y).statistic, A, B),
    call("stats.chisquare", lambda x: both(stats.chisquare(x)), X),
    call("stats.power_divergence", lambda x: both(stats.power_divergence(x, lambda_="log-likelihood")), X),
    call("stats.skewtest", lambda x: both(stats.skewtest(x)), LONG),
    call("stats.kurtosistest", lambda x: both(stats.kurtosistest(x)), LONG),
    call("stats.normaltest", lambda x: both(stats.normaltest(x)), LONG),
    call("stats.jarque_bera", lambda x: both(stats.jarque_bera(x)), LONG),
    *(
        call(
            f"stats.combine_pvalues {method}",
            lambda p, m=method: both(stats.combine_pvalues(p, method=m)),
            UNIT,
        )
        for method in ("fisher", "pearson", "mudholkar_george", "stouffer", "tippett")
    ),
    call("stats.false_discovery_control", stats.false_discovery_control, UNIT),
    call("stats.rankdata", lambda x: x * stats.rankdata(x), X),
]

STOPS = [
    stop("stats.linregress", lambda x, y: stats.linregress(x, y).slope, X, Y, line="x = np.asarray(x)"),
    stop("stats.expectile", lambda x: stats.expectile(x, 0.3), X, line="a = np.asarray(a)"),
    stop(
        "stats.theilslopes",
        lambda x, y: stats.theilslopes(x, y)[0],
        X,
        Y,
        line="y = np.array(y, dtype=float, copy=True).ravel()",
    ),
    stop("stats.norm.logpdf", stats.norm.logpdf, X, line="x, loc, scale = map(asarray, (x, loc, scale))"),
    stop(
        "stats.multivariate_normal.logpdf",
        stats.multivariate_normal.logpdf,
        X,
        line="x = np.asarray(x, dtype=float)",
    ),
    stop(
        "stats.gaussian_kde",
        lambda x: stats.gaussian_kde(x)(x),
        X,
        line="self.dataset = atleast_2d(asarray(dataset))",
    ),
    stop("stats.Normal", lambda x: stats.Normal().logpdf(x), X, line="x = np.asarray(x)"),
    stop("stats.boxcox", lambda x: stats.boxcox(x)[0], X, line="x = np.asarray(x)"),
]
