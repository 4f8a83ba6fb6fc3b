"""Inductive bias: how many nats beyond the training data a learner must bring along to generalise.

Draw a hypothesis h at random from a space, conditioned on fitting the training set. A learner that reliably ends up
among those with test error at most eps has picked them out of the rest, at the price of

    I(eps) = −log P[ e(h) ≤ eps ]     nats (divide by log 2 for bits).

For Gaussian processes, and for networks with random hidden layers and a Gaussian readout, the test error of an
interpolating hypothesis is a weighted sum of noncentral chi-squares, and I is exact (``quadratic_form_tails``):

    mean, cov = gp_posterior(X_tr, y_tr, X_te, rbf_kernel)
    weights, offsets = gp_error_law(mean, cov, y_te)
    -weighted_ncx2_logcdf(eps, weights, offsets)

For any other space there are samples e_1 … e_N; a scaled noncentral chi-square is fitted and its tail extrapolated:

    inductive_bias(errors, eps)        # value, 95 % interval over hypotheses, parameters, Kolmogorov-Smirnov distance

Errors of the estimate (all derived here):

    direct counting   P(|log P^ − log P| > eta) ≤ 2 exp(−N P (1 − (1 + eta) e^{−eta})): N must grow like e^I
    fitted family     sd(I^) = (eps f(eps)/F(eps)) sqrt(2/(kN)) ≤ sqrt(k/(2N)) for s chi2(k), k known: free of I
    wrong family      a bias that no N removes; Gaussian processes with unequal eigenvalues are not in the family

Source: Boopathy, Yue, Hwang, Iyer and Fiete (2024), "Towards Exact Computation of Inductive Bias", for the definition
and the fitted family; the exact law, the intervals and the bounds are derived here.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import gammainc

from theory.fuzz import Bound
from theory.learning.quadratic_form_tails import (
    chernoff_lower_bound,
    ncx2_moment_fit,
    sankaran_logcdf,
    scaled_ncx2_logcdf,
    weighted_ncx2_logcdf,
)
from theory.validation import finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "BOUNDS",
    "EstimateMethod",
    "Fallback",
    "InductiveBias",
    "chernoff_lower_bound",
    "counting_failure_bound",
    "gp_error_law",
    "gp_posterior",
    "inductive_bias",
    "mc_samples_needed",
    "ncx2_moment_fit",
    "pooled_inductive_bias",
    "rbf_kernel",
    "scale_fit_sd",
    "weighted_ncx2_logcdf",
]

EstimateMethod = Literal["moments", "ncx2_mle", "chi2", "mc"]
Fallback = Literal["series", "sankaran"]
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
_METHODS = ("moments", "ncx2_mle", "chi2", "mc")
_FEWEST_FOR_MLE = 1000
_FEWEST_EFFECTIVE = 10
_FLOOR = 1e-12


@dataclass(frozen=True)
class InductiveBias:
    """``value`` nats with a 95 % interval ``ci`` over hypotheses, and what was fitted.

    ``params`` are degrees of freedom, noncentrality and scale (none for counting); ``ks`` is the largest distance
    between the fitted and the empirical distribution function, a check of the family (0 for counting). The interval
    knows nothing of a wrong family.
    """

    value: float
    ci: tuple[float, float]
    params: tuple[float, ...]
    method: EstimateMethod
    ks: float = 0.0

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.value / math.log(2)


def inductive_bias(
    errors: Float[np.ndarray, " hypotheses"],
    eps: float,
    method: EstimateMethod = "moments",
    fallback: Fallback = "series",
    *,
    resamples: int = 200,
    seed: int = 0,
) -> InductiveBias:
    """−log P(e ≤ eps) from test errors of random hypotheses that fit the training set.

    ``"moments"`` matches three cumulants of a scaled noncentral chi-square, ``"chi2"`` two of a central one,
    ``"ncx2_mle"`` maximises the likelihood (it warns below 1000 errors, where three parameters are too many), and
    ``"mc"`` counts. Intervals are quantiles of ``resamples`` bootstrap resamples; the delta method with the observed
    information for ``"ncx2_mle"``; Clopper and Pearson's for counting. ``fallback`` says what a tail that underflows
    becomes: an exact sum in logarithms, or Sankaran's approximation, as in the authors' code.

    Errors without any variation are a point mass: 0 where they are at most eps, infinity elsewhere. Raises
    ``ValueError`` for eps not above 0, errors that are empty, negative or not finite, and unknown words.

    >>> errors = np.random.default_rng(0).chisquare(20, 1000) / 20
    >>> estimate = inductive_bias(errors, 0.3, method="chi2")
    >>> estimate.ci[0] < -scaled_ncx2_logcdf(0.3, 20.0, 0.0, 0.05) < estimate.ci[1]
    np.True_
    """
    e, eps = _checked_errors(errors), positive("eps", eps)
    one_of("method", method, _METHODS)
    one_of("fallback", fallback, ("series", "sankaran"))
    whole_number("resamples", resamples, 2)
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    if method == "mc":
        return _by_counting(e, eps)
    if np.ptp(e) <= 1e-12 * e.max():
        value = 0.0 if e.mean() <= eps else math.inf
        return InductiveBias(value, (value, value), (), method)
    if method == "ncx2_mle":
        return _by_likelihood(e, eps, fallback)
    fit = _fit_moments if method == "moments" else _fit_chi2
    params = fit(e)
    value = float(-_logcdf(eps, params, fallback))
    resampled = e[rng.integers(0, len(e), (resamples, len(e)))]
    varied = resampled[np.ptp(resampled, axis=1) > 1e-12 * e.max()]
    values = -np.asarray(_logcdf(eps, fit(varied), fallback)) if len(varied) else np.array([value])
    low, high = np.quantile(values, (0.025, 0.975))
    parameters = tuple(float(p) for p in params)
    return InductiveBias(value, (float(low), float(high)), parameters, method, _ks(e, parameters))


def pooled_inductive_bias(log_probabilities: Float[np.ndarray, " networks"]) -> InductiveBias:
    """−log of the mean of P_1 … P_N, from the logarithms: I of a mixture whose components' tails are known.

    The P of networks with random hidden layers and a Gaussian readout are exact, so that no test error has to be
    drawn. ``params`` holds the effective number of networks, (sum P)²/sum P². From 10 on the interval is the delta
    method's; below, a few networks carry the mean and rarer ones may carry more, so that nothing is known from below:
    the interval starts at 0. Its upper end is at most value + log 40, by Markov's inequality. Raises ``ValueError`` for
    fewer than two logarithms, or one above 0 or NaN (−inf is a P of 0).

    >>> round(pooled_inductive_bias(np.log([0.1, 0.3])).value, 4)
    1.6094
    """
    raw = np.asarray(log_probabilities)
    if raw.dtype.kind not in "fiu" or raw.ndim != 1 or len(raw) < 2:
        raise ValueError(f"log_probabilities must be a vector of at least 2 numbers, got {raw.dtype} {raw.shape}")
    if np.isnan(raw).any() or (raw > 1e-9).any():
        raise ValueError(f"log_probabilities must be at most 0 and not NaN, got {raw.max()}")
    top = raw.max()
    if np.isneginf(top):
        return InductiveBias(math.inf, (0.0, math.inf), (0.0,), "mc")
    shares = np.exp(raw - top)
    value = float(max(-top - np.log(shares.mean()), 0.0))
    half = 1.96 * float(shares.std(ddof=1) / shares.mean() / math.sqrt(len(shares)))
    effective = float(shares.sum() ** 2 / (shares**2).sum())
    low = max(value - half, 0.0) if effective >= _FEWEST_EFFECTIVE else 0.0
    return InductiveBias(value, (low, value + min(half, math.log(40))), (effective,), "mc")


def rbf_kernel(
    X: Float[np.ndarray, "n dim"], Z: Float[np.ndarray, "m dim"], length_scale: float = 1.0
) -> Float[np.ndarray, "n m"]:
    """``exp(−|x − z|² / (2 length_scale²))`` for all pairs.

    Raises ``ValueError`` for arrays that are empty, not finite or of other widths, or a length scale not above 0.

    >>> rbf_kernel(np.zeros((1, 2)), np.array([[1.0, 1.0]])).round(4).tolist()
    [[0.3679]]
    """
    X, Z = finite_array("X", X, 2), finite_array("Z", Z, 2)
    if X.shape[1] != Z.shape[1]:
        raise ValueError(f"X and Z must have as many columns, got shapes {X.shape} and {Z.shape}")
    scale = positive("length_scale", length_scale)
    squared = (X**2).sum(1)[:, None] + (Z**2).sum(1) - 2 * X @ Z.T
    return np.exp(-np.maximum(squared, 0.0) / (2 * scale**2))


def gp_posterior(
    X_tr: Float[np.ndarray, "train dim"],
    y_tr: Float[np.ndarray, "train ..."],
    X_te: Float[np.ndarray, "test dim"],
    kernel: Kernel = rbf_kernel,
    *,
    jitter: float = 1e-6,
) -> tuple[Float[np.ndarray, "test ..."], Float[np.ndarray, "test test"]]:
    """Mean and covariance at ``X_te`` of a Gaussian process that passes through the training set.

        mean = K_*ᵀ K⁻¹ y,    cov = K_** − K_*ᵀ K⁻¹ K_*,    K = kernel(X_tr, X_tr) + jitter · mean diagonal · 1

    ``y_tr`` may have a column per output; outputs are independent and share the covariance. Raises ``ValueError`` for
    shapes that do not agree, a kernel that is not symmetric, positive semi-definite and finite on the training set
    beyond the jitter, or a jitter not above 0.

    >>> mean, cov = gp_posterior(np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)))
    >>> mean.round(4).tolist(), cov.round(4).tolist()
    ([1.0], [[0.0]])
    """
    X, Z, y = finite_array("X_tr", X_tr, 2), finite_array("X_te", X_te, 2), finite_array("y_tr", y_tr)
    if X.shape[1] != Z.shape[1]:
        raise ValueError(f"X_te must have {X.shape[1]} columns as X_tr has, got shape {Z.shape}")
    if y.ndim not in (1, 2) or len(y) != len(X):
        raise ValueError(f"y_tr must have {len(X)} rows and at most 2 axes, got shape {y.shape}")
    jitter = positive("jitter", jitter)
    K, cross, prior = (finite_array("kernel", kernel(a, b), 2) for a, b in ((X, X), (X, Z), (Z, Z)))
    K = K + jitter * max(K.diagonal().mean(), 1e-300) * np.eye(len(K))
    try:
        factor = cho_factor(K, lower=True)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"kernel must be positive semi-definite, got eigenvalue {np.linalg.eigvalsh(K)[0]:g}"
        ) from None
    cov = prior - cross.T @ cho_solve(factor, cross)
    return cross.T @ cho_solve(factor, y), (cov + cov.T) / 2


def gp_error_law(
    mean: Float[np.ndarray, "test ..."], cov: Float[np.ndarray, "test test"], y_te: Float[np.ndarray, "test ..."]
) -> tuple[Float[np.ndarray, " terms"], Float[np.ndarray, " terms"]]:
    """Weights and offsets of the mean squared test error of N(mean, cov) per output: ``e = sum_i w_i (N_i + b_i)²``.

    With ``cov = U diag(lam) Uᵀ``: w_i = lam_i/(test · outputs), b_i = (Uᵀ (mean − y_te))_i / sqrt(lam_i). Eigenvalues
    below 1e-12 of the largest (and of 1e-12 itself) are lifted to that floor: such directions contribute their
    squared residual and next to no variance, so that e below it costs a great many nats. Raises ``ValueError`` for
    shapes that do not agree or a covariance that is not symmetric and positive semi-definite up to 1e-6.

    >>> weights, offsets = gp_error_law(np.array([1.0, 0.0]), np.diag([4.0, 1.0]), np.zeros(2))
    >>> weights.tolist(), np.abs(offsets).tolist()
    ([0.5, 2.0], [0.0, 0.5])
    """
    mean, cov, y = finite_array("mean", mean), finite_array("cov", cov, 2), finite_array("y_te", y_te)
    if mean.ndim not in (1, 2) or mean.shape != y.shape:
        raise ValueError(f"mean and y_te must have one shape of at most 2 axes, got {mean.shape} and {y.shape}")
    if cov.shape != (len(mean), len(mean)):
        raise ValueError(f"cov must have shape {(len(mean), len(mean))}, got {cov.shape}")
    if not np.allclose(cov, cov.T, rtol=1e-9, atol=1e-9 * max(np.abs(cov).max(), 1e-300)):
        raise ValueError(f"cov must be symmetric, got a difference of {np.abs(cov - cov.T).max():g}")
    eigenvalues, directions = np.linalg.eigh(cov)
    if eigenvalues[0] < -1e-6 * max(abs(eigenvalues[-1]), 1.0):
        raise ValueError(f"cov must be positive semi-definite, got an eigenvalue of {eigenvalues[0]:g}")
    lam = np.maximum(eigenvalues, _FLOOR * max(eigenvalues[-1], _FLOOR))
    residual = directions.T @ (mean - y).reshape(len(mean), -1)
    weights = np.repeat(lam[:, None], residual.shape[1], axis=1) / residual.size
    return weights.ravel(), (residual / np.sqrt(lam)[:, None]).ravel()


def counting_failure_bound(N: int, I: float, eta: float) -> float:  # noqa: E741
    """A bound on P(|log P^ − log P| > eta) for the share P^ of N hypotheses below eps, where P = e^{−I}.

    Chernoff's bounds for a binomial count with mean N P, left and right, are exp(−N P h(∓eta)) with
    ``h(−eta) = 1 − (1 + eta) e^{−eta}``, the smaller of the two exponents: hence 2 exp(−N P h(−eta)), and
    h(−eta) ≥ (1 − 2/e) eta² for eta ≤ 1. Raises ``ValueError`` for N below 1, negative I or eta not above 0.

    >>> round(counting_failure_bound(10_000, 4.0, 0.5), 4)
    0.0
    >>> counting_failure_bound(10, 4.0, 0.5)
    1.0
    """
    whole_number("N", N, 1)
    exponent = N * math.exp(-_information(I)) * _poisson_exponent(positive("eta", eta))
    return min(1.0, 2 * math.exp(-exponent))


def mc_samples_needed(I: float, eta: float = 0.1, delta: float = 0.05) -> float:  # noqa: E741
    """Hypotheses with which counting is within ``eta`` nats with probability ``1 − delta``: log(2/delta) e^I / h(−eta).

    A whole number as a float, as it soon exceeds any integer type. Raises ``ValueError`` for negative I, eta not above
    0, or delta outside (0, 1).

    >>> mc_samples_needed(10.0, 0.5, 0.05)
    900770.0
    """
    delta = in_range("delta", delta, 0.0, 1.0)
    if not 0 < delta < 1:
        raise ValueError(f"delta must be between 0 and 1, got {delta!r}")
    exponent = math.log(2 / delta) / _poisson_exponent(positive("eta", eta))
    log_needed = math.log(exponent) + _information(I)
    return float(math.ceil(math.exp(log_needed))) if log_needed < 700 else math.inf


def scale_fit_sd(eps: float, df: float, scale: float, N: int) -> float:
    """Standard deviation of I^ where only the scale of ``scale · chi2(df)`` is fitted, to first order in 1/sqrt(N).

    The mean error determines the scale with relative variance 2/(df N), and dI/dlog scale = eps f(eps)/F(eps), which
    lies in (0, df/2): so that the result is at most sqrt(df/(2N)), however large I is. Raises ``ValueError`` for
    numbers that are not positive.

    >>> bool(scale_fit_sd(0.3, 20.0, 0.05, 1000) < np.sqrt(20 / 2000))
    True
    """
    eps, df, scale = positive("eps", eps), positive("df", df), positive("scale", scale)
    return _elasticity(np.asarray(df), np.asarray(eps / scale)).item() * math.sqrt(2 / (df * whole_number("N", N, 1)))


def _by_counting(e: np.ndarray, eps: float) -> InductiveBias:
    hits, n = int((e <= eps).sum()), len(e)
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    value = -math.log(hits / n) if hits else math.inf
    return InductiveBias(abs(value), (abs(math.log(high)), -math.log(low) if low else math.inf), (), "mc")


def _by_likelihood(e: np.ndarray, eps: float, fallback: Fallback) -> InductiveBias:
    """Maximum likelihood in log-parameters from the moments' answer, and the delta method."""
    if len(e) < _FEWEST_FOR_MLE:
        warnings.warn(
            f"three parameters from {len(e)} errors: maximum likelihood is unstable below {_FEWEST_FOR_MLE}",
            stacklevel=3,
        )
    if e.min() <= 0:
        raise ValueError("errors must be above 0 for maximum likelihood, got 0")
    df, nc, _ = (float(p) for p in _fit_moments(e))

    def loss(theta: np.ndarray) -> float:
        k, lam, s = np.exp(theta)
        with np.errstate(all="ignore"):
            value = -(stats.ncx2.logpdf(e / s, k, lam) - theta[2]).mean()
        return float(value) if np.isfinite(value) else 1e10

    start = np.log([df, max(nc, 0.05 * df), e.mean() / (df + max(nc, 0.05 * df))])
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000}).x

    def value_at(theta: np.ndarray) -> float:
        return float(-_logcdf(eps, tuple(np.exp(theta)), fallback))

    step = 1e-3 * np.eye(3)
    gradient = np.array([(value_at(best + h) - value_at(best - h)) / 2e-3 for h in step])
    hessian = np.array(
        [
            [(loss(best + g + h) - loss(best + g - h) - loss(best - g + h) + loss(best - g - h)) / 4e-6 for h in step]
            for g in step
        ]
    )
    value = value_at(best)
    half = 1.96 * math.sqrt(max(gradient @ np.linalg.pinv(len(e) * hessian, rcond=1e-8) @ gradient, 0.0))
    params = tuple(float(p) for p in np.exp(best))
    return InductiveBias(value, (max(value - half, 0.0), value + half), params, "ncx2_mle", _ks(e, params))


def _fit_moments(e: np.ndarray) -> tuple:
    """Along the last axis; unbiased cumulants (k-statistics)."""
    n = e.shape[-1]
    mean = e.mean(-1, keepdims=True)
    second, third = ((e - mean) ** 2).sum(-1), ((e - mean) ** 3).sum(-1)
    k3 = third * n / ((n - 1) * (n - 2)) if n > 2 else 0.0 * third
    return ncx2_moment_fit(mean[..., 0], second / (n - 1), k3)


def _fit_chi2(e: np.ndarray) -> tuple:
    mean, variance = e.mean(-1), e.var(-1, ddof=1)
    return 2 * mean**2 / variance, np.zeros_like(mean), variance / (2 * mean)


def _logcdf(eps: float, params: tuple, fallback: Fallback) -> np.ndarray | float:
    df, nc, scale = (np.asarray(p) for p in params)
    if fallback == "series":
        return scaled_ncx2_logcdf(eps, df, nc, scale)
    with np.errstate(divide="ignore"):
        plain = stats.ncx2.logcdf(eps / scale, df, np.maximum(nc, 1e-300))
    return np.where(np.isneginf(plain), sankaran_logcdf(eps, df, nc, scale), plain)


def _ks(e: np.ndarray, params: tuple[float, ...]) -> float:
    df, nc, scale = params
    return float(stats.kstest(e / scale, lambda x: stats.ncx2.cdf(x, df, max(nc, 1e-300))).statistic)


def _checked_errors(errors: object) -> np.ndarray:
    e = finite_array("errors", errors, 1)
    if e.min() < 0:
        raise ValueError(f"errors must not be negative, got {e.min()}")
    return e


def _information(I: float) -> float:  # noqa: E741
    value = in_range("I", I, 0.0, math.inf)
    if not math.isfinite(value):
        raise ValueError(f"I must be finite, got {I!r}")
    return value


def _poisson_exponent(eta: float) -> float:
    """1 − (1 + eta) e^{−eta} without cancellation for small eta."""
    return float(gammainc(2.0, eta))


def _elasticity(df: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y f(y)/F(y) of a central chi-square."""
    return np.asarray(np.exp(stats.chi2.logpdf(y, df) + np.log(y) - scaled_ncx2_logcdf(y, df, 0.0, 1.0)))


def _sample_gamma(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"df": 10.0 ** rng.uniform(-0.5, 2, count), "fraction": 10.0 ** rng.uniform(-6, 0.5, count)}


BOUNDS = [
    Bound(
        "a fitted scale moves I by at most half the degrees of freedom per e-fold",
        "derived here",
        lhs=lambda df, fraction: _elasticity(df, fraction * df),
        rhs=lambda df, fraction: df / 2,
        sampler=_sample_gamma,
    ),
    Bound(
        "the exponent of counting is at least (1 - 2/e) eta^2",
        "derived here",
        lhs=lambda eta: (1 - 2 / np.e) * eta**2,
        rhs=lambda eta: gammainc(2.0, eta),
        sampler=lambda rng, count: {"eta": rng.uniform(0, 1, count)},
    ),
]
