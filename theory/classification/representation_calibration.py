"""Recovering class Gaussians from noisy, long-tailed labels: the estimators of representation calibration (RCAL).

    stats = robust_class_stats(Z, y, "lof", contamination=0.4)     outliers dropped, then mean and covariance
    stats = calibrate_tails(stats)                                 rare classes borrow from similar frequent ones
    Z, y = sample_gaussian_classes(stats, 100, rng)                a balanced, cleaner training set

A rare class k with n_k samples in d dimensions takes its covariance from its q nearest frequent classes j,

    S'_k = n_k/(n_k + d) S_k + d/(n_k + d) sum_j w_j S_j,    w = softmax(−|mu_j − mu_k|² / their mean),

and, for gamma < 1, part of its mean: mu'_k = gamma mu_k + (1 − gamma) sum_j w_j mu_j. Where classes share a covariance
this shrinkage lowers the expected error: that of S_k is (tr(S)² + tr(S²))/(n_k − 1), which explodes as n_k falls below
d. Nothing here sees clean labels. ``mardia_test`` checks the assumption that a class is Gaussian.

Source: Zhang, Zhao, Yao, Yuan and Huang (2023), "When Noisy Labels Meet Long Tail Dilemmas: A Representation
Calibration Method": outliers by the local outlier factor, statistics of tail classes from head classes, samples from
the recovered Gaussians. The weights of the shrinkage, and trimming by distance to the median, are choices made here.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax
from scipy.stats import chi2, norm

from theory.validation import class_labels, finite_array, in_range, one_of, whole_number

__all__ = [
    "ClassStats",
    "MardiaTest",
    "RobustMethod",
    "calibrate_tails",
    "inliers",
    "mardia_test",
    "robust_class_stats",
    "sample_gaussian_classes",
]

RobustMethod = Literal["lof", "median", "mcd", "none"]
_METHODS = ("lof", "median", "mcd", "none")
_FEWEST_FOR_LOF = 9
_JITTERS = (0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)


@dataclass(frozen=True)
class ClassStats:
    """Mean and covariance of every class, and ``n``, the number of samples they rest on."""

    mean: Float[np.ndarray, "classes dim"]
    cov: Float[np.ndarray, "classes dim dim"]
    n: Int[np.ndarray, " classes"]

    def __post_init__(self) -> None:
        mean, cov, n = finite_array("mean", self.mean, 2), finite_array("cov", self.cov, 3), np.asarray(self.n)
        if cov.shape != (*mean.shape, mean.shape[1]):
            raise ValueError(f"cov must have shape {(*mean.shape, mean.shape[1])}, got {cov.shape}")
        if not np.allclose(cov, cov.swapaxes(1, 2), rtol=1e-9, atol=1e-12 * np.abs(cov).max()):
            raise ValueError(f"cov must hold symmetric matrices, got {self.cov!r:.60}")
        if n.dtype.kind not in "iu" or n.shape != mean.shape[:1] or n.min() < 0:
            raise ValueError(f"n must be {len(mean)} whole numbers of at least 0, got {self.n!r:.60}")


@dataclass(frozen=True)
class MardiaTest:
    """Mardia's multivariate skewness and kurtosis, with p-values of the hypothesis that samples are Gaussian."""

    skewness: float
    kurtosis: float
    skewness_p: float
    kurtosis_p: float


def robust_class_stats(
    Z: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    method: RobustMethod = "lof",
    contamination: float = 0.2,
    *,
    classes: int | None = None,
) -> ClassStats:
    """Mean and (unbiased) covariance of every class after outliers, as ``inliers`` finds them, are dropped.

    Dropping more than is polluted shrinks covariances; ``"mcd"`` alone corrects for that. A class with one sample
    gets the pooled covariance within classes, one without samples also the mean of all, with a warning.
    Another warning names classes whose mean, after dropping, nearly coincides with that of a more frequent class:
    there most labels are wrong, and robustness finds the wrong class.
    Without ``classes`` every label up to the largest must occur. Raises ``ValueError`` for features that are not finite
    (samples, dim), labels that do not fit, an unknown method or contamination outside [0, 0.5].

    >>> Z = np.array([[0.0], [1.0], [2.0], [30.0], [7.0], [9.0]])
    >>> stats = robust_class_stats(Z, np.array([0, 0, 0, 0, 1, 1]), "median", 0.25)
    >>> stats.mean.tolist(), stats.cov.tolist(), stats.n.tolist()
    ([[1.0], [8.0]], [[[1.0]], [[2.0]]], [3, 2])
    """
    Z, y, classes = _features_and_labels(Z, y, classes)
    one_of("method", method, _METHODS)
    in_range("contamination", contamination, 0.0, 0.5)
    if method == "mcd":
        means, covs, n = _minimum_covariance_determinant(Z, y, classes, contamination)
    else:
        kept = inliers(Z, y, method, contamination, classes=classes)
        means, covs, n = _moments(Z[kept], y[kept], classes)
    if (n == 0).any():
        warnings.warn(
            f"classes {np.flatnonzero(n == 0).tolist()} have no samples: they get the mean of all", stacklevel=2
        )
    _warn_of_wrong_majorities(means, covs, n)
    return ClassStats(means, covs, n)


def inliers(
    Z: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    method: Literal["lof", "median", "none"] = "lof",
    contamination: float = 0.2,
    *,
    classes: int | None = None,
) -> np.ndarray:
    """Which samples of every class are kept, as a boolean vector (samples,).

    ``"lof"`` drops the share ``contamination`` of a class with the largest local outlier factors (20 neighbours, fewer
    in smaller classes, nothing dropped below 9 samples); ``"median"`` drops those farthest from the coordinate-wise
    median; ``"none"`` keeps all. Raises ``ValueError`` as ``robust_class_stats`` does.

    Source: Breunig, Kriegel, Ng and Sander (2000), "LOF: Identifying Density-Based Local Outliers".
    """
    Z, y, classes = _features_and_labels(Z, y, classes)
    one_of("method", method, ("lof", "median", "none"))
    in_range("contamination", contamination, 0.0, 0.5)
    kept = np.ones(len(y), dtype=bool)
    if method == "none" or contamination == 0:
        return kept
    for k in range(classes):
        rows = np.flatnonzero(y == k)
        if len(rows) == 0 or (method == "lof" and len(rows) < _FEWEST_FOR_LOF):
            continue
        outlyingness = _distance_from_median(Z[rows]) if method == "median" else _local_outlier_factor(Z[rows])
        dropped = len(rows) - math.ceil((1 - contamination) * len(rows))
        kept[rows[np.argsort(-outlyingness, kind="stable")[:dropped]]] = False
    return kept


def calibrate_tails(
    stats: ClassStats, q: int = 3, tail: Int[np.ndarray, " tails"] | None = None, gamma: float = 1.0
) -> ClassStats:
    """Covariances (and, for ``gamma < 1``, means) of rare classes, shrunk towards their ``q`` nearest frequent classes.

    ``tail`` lists the rare classes; if not given, they are those with fewer samples than the median class. The others
    that have two samples or more are the heads. A covariance of fewer than two samples has no weight of its own.
    Raises ``ValueError`` for ``q`` below 1, ``gamma`` outside [0, 1], labels that do not fit or no heads left.

    >>> stats = ClassStats(np.array([[0.0], [1.0]]), np.array([[[4.0]], [[2.0]]]), np.array([50, 3]))
    >>> calibrate_tails(stats).cov.ravel().tolist()
    [4.0, 2.5]
    """
    whole_number("q", q, 1)
    in_range("gamma", gamma, 0.0, 1.0)
    classes, d = stats.mean.shape
    if tail is None:
        tails = np.flatnonzero(stats.n < np.median(stats.n))
    else:
        tails = np.unique(class_labels("tail", tail, classes))
    if len(tails) == 0:
        return stats
    heads = np.setdiff1d(np.flatnonzero(stats.n >= 2), tails)
    if len(heads) == 0:
        raise ValueError("tail must leave at least one class with two samples or more")
    distances = ((stats.mean[tails, None] - stats.mean[heads]) ** 2).sum(-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, : min(q, len(heads))]
    near = np.take_along_axis(distances, order, 1)
    typical = near.mean(1, keepdims=True)
    weights = softmax(-near / np.where(typical > 0, typical, 1.0), axis=1)
    n = stats.n[tails]
    own = np.where(n >= 2, n / (n + d), 0.0)[:, None, None]
    mean, cov = stats.mean.copy(), stats.cov.copy()
    mean[tails] = gamma * mean[tails] + (1 - gamma) * np.einsum("tq,tqd->td", weights, stats.mean[heads[order]])
    cov[tails] = own * cov[tails] + (1 - own) * np.einsum("tq,tqde->tde", weights, stats.cov[heads[order]])
    return ClassStats(mean, cov, stats.n)


def sample_gaussian_classes(
    stats: ClassStats, per_class: int | Int[np.ndarray, " classes"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "samples dim"], Int[np.ndarray, " samples"]]:
    """``per_class`` samples (a number, or one for each class) from every class' Gaussian, with their labels, by class.

    One batched Cholesky factorisation and one batched product for all classes. A covariance that is singular gets a
    jitter of 1e-10 times its mean variance (that of all classes, if its own is 0), ten times as much five times over
    at most; raises ``ValueError`` for one that still fails, and for negative numbers of samples or none at all.

    >>> stats = ClassStats(np.array([[0.0], [9.0]]), np.array([[[1.0]], [[1.0]]]), np.array([5, 5]))
    >>> Z, y = sample_gaussian_classes(stats, 2, np.random.default_rng(0))
    >>> Z.shape, y.tolist()
    ((4, 1), [0, 0, 1, 1])
    """
    classes, d = stats.mean.shape
    counts = np.asarray(per_class)
    if counts.dtype.kind not in "iu" or counts.shape not in ((), (classes,)) or counts.min() < 0 or counts.max() < 1:
        raise ValueError(f"per_class must be a whole number above 0 or {classes} of at least 0, got {per_class!r:.60}")
    counts = np.broadcast_to(counts, classes)
    factors = _cholesky_factors(stats.cov)
    samples = rng.standard_normal((classes, int(counts.max()), d)) @ factors.swapaxes(1, 2)
    samples += stats.mean[:, None]
    wanted = np.arange(counts.max()) < counts[:, None]
    # A selection copies every row: it is left out where it would select all.
    drawn = samples.reshape(-1, d) if wanted.all() else samples[wanted]
    return drawn, np.repeat(np.arange(classes), counts)


def mardia_test(Z: Float[np.ndarray, "samples dim"]) -> MardiaTest:
    """Mardia's test of multivariate normality, with his corrections for finite samples.

    With g_ij = (z_i − m)ᵀ S⁻¹ (z_j − m), S the maximum-likelihood covariance: skewness = mean over i, j of g_ij³ and
    kurtosis = mean of g_ii². Raises ``ValueError`` for features that are not finite (samples, dim), d + 1 samples or
    fewer, or a singular covariance.

    >>> Z = np.random.default_rng(0).standard_normal((200, 3))
    >>> result = mardia_test(Z)
    >>> result.skewness_p > 0.05, mardia_test(Z**3).skewness_p < 1e-6
    (True, True)

    Source: Mardia (1970), "Measures of multivariate skewness and kurtosis with applications", and (1974) for the
    finite-sample moments.
    """
    Z = finite_array("Z", Z, 2)
    n, d = Z.shape
    if n < d + 2:
        raise ValueError(f"Z must have at least dim + 2 = {d + 2} samples, got {n}")
    centred = Z - Z.mean(0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    if singular[-1] <= singular[0] * max(n, d) * np.finfo(np.float64).eps:
        raise ValueError("Z must have a covariance of full rank")
    # Whitened rows are sqrt(n) times those of the left factor.
    g = n * (left @ left.T)
    skewness, kurtosis = float((g**3).mean()), float((np.diag(g) ** 2).mean())
    correction = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))
    skewness_p = chi2.sf(n * correction * skewness / 6, d * (d + 1) * (d + 2) / 6)
    mean = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    kurtosis_p = 2 * norm.sf(abs(kurtosis - mean) / np.sqrt(variance))
    return MardiaTest(skewness, kurtosis, float(skewness_p), float(kurtosis_p))


def _features_and_labels(Z: object, y: object, classes: int | None) -> tuple[np.ndarray, np.ndarray, int]:
    if classes is not None:
        whole_number("classes", classes, 1)
    features = finite_array("Z", Z, 2)
    labels = class_labels("y", y, classes, len(features))
    if classes is None and len(np.unique(labels)) <= labels.max():
        raise ValueError(
            f"y must have a sample of every class up to its largest label, {labels.max()}: or give classes"
        )
    return features, labels, int(labels.max()) + 1 if classes is None else int(classes)


def _moments(Z: np.ndarray, y: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, covariances and counts, with the fallbacks for classes of one sample and of none."""
    d = Z.shape[1]
    n = np.bincount(y, minlength=classes)
    means, covs = np.tile(Z.mean(0), (classes, 1)), np.zeros((classes, d, d))
    for k in np.flatnonzero(n):
        rows = Z[y == k]
        means[k] = rows.mean(0)
        covs[k] = (rows - means[k]).T @ (rows - means[k]) / max(n[k] - 1, 1)
    if (n < 2).any():
        covs[n < 2] = np.einsum("k,kij->ij", np.maximum(n - 1, 0), covs) / max(np.maximum(n - 1, 0).sum(), 1)
    return means, covs, n


def _distance_from_median(Z: np.ndarray) -> np.ndarray:
    return ((Z - np.median(Z, axis=0)) ** 2).sum(1)


def _local_outlier_factor(Z: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import LocalOutlierFactor

    return -LocalOutlierFactor(n_neighbors=min(20, len(Z) - 1)).fit(Z).negative_outlier_factor_


def _minimum_covariance_determinant(
    Z: np.ndarray, y: np.ndarray, classes: int, contamination: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a class has fewer than 2 d + 2 samples the determinant says nothing, and the median decides."""
    from sklearn.covariance import MinCovDet

    d = Z.shape[1]
    kept = inliers(Z, y, "median", contamination, classes=classes)
    means, covs, n = _moments(Z[kept], y[kept], classes)
    for k in np.flatnonzero(np.bincount(y, minlength=classes) >= 2 * d + 2):
        rows = Z[y == k]
        support = max(1 - contamination, (len(rows) + d + 1) / (2 * len(rows)))
        estimate = MinCovDet(support_fraction=min(support, 1.0), random_state=0).fit(rows)
        means[k], covs[k], n[k] = estimate.location_, estimate.covariance_, estimate.support_.sum()
    return means, covs, n


def _warn_of_wrong_majorities(means: np.ndarray, covs: np.ndarray, n: np.ndarray) -> None:
    """Warn of means within half a standard deviation of a more frequent class', sampling error allowed for."""
    distances = ((means[:, None] - means) ** 2).sum(-1)
    variance = np.trace(covs, axis1=1, axis2=2)
    allowed = (variance[:, None] + variance) / 2 * (0.25 + 1 / np.maximum(n, 1))[:, None]
    wrong = np.flatnonzero((n > 0) & ((distances < allowed) & (n > n[:, None])).any(1))
    if len(wrong):
        warnings.warn(
            f"most labels of classes {wrong.tolist()} seem wrong: their means are another class'", stacklevel=3
        )


def _cholesky_factors(covs: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(covs)
    except np.linalg.LinAlgError:
        variances = np.trace(covs, axis1=1, axis2=2) / covs.shape[1]
        fallback = variances.max() if variances.max() > 0 else 1.0
        scales = np.where(variances > 0, variances, fallback)
        return np.stack([_jittered(k, cov, scale) for k, (cov, scale) in enumerate(zip(covs, scales, strict=True))])


def _jittered(k: int, cov: np.ndarray, scale: float) -> np.ndarray:
    for jitter in _JITTERS:
        try:
            return np.linalg.cholesky(cov + jitter * scale * np.eye(len(cov)))
        except np.linalg.LinAlgError:
            continue
    least = np.linalg.eigvalsh(cov)[0]
    raise ValueError(f"stats.cov of class {k} must be positive semi-definite, got a smallest eigenvalue of {least:g}")
