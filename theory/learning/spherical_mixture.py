"""Mixtures of K spherical Gaussians with equal weights: EM for all restarts at once, votes of clusters, exact risks.

    z uniform on 1 … K,   x | z ~ N(u_z, I_d),   y = label_z, flipped with probability ``flip``.

EM keeps the covariance at I and the weights at 1/K, so that with ``a_k = <x, u_k> − ½‖u_k‖²`` the responsibilities are
softmax(a) and the mean log-likelihood is ``mean( logsumexp(a) − ½‖x‖² ) − log K − d/2 log 2 pi``. All restarts share
one matrix product per step: ``means @ X^T`` (restarts·K x samples), then responsibilities @ X. Restarts that no longer
move take no further part.

Downstream, a cluster predicts the majority of its labels. With clusters as good as known, its mean excess error has a
closed form that falls exponentially in n/K (``vote_error``). What the estimated centres add is a second-order
term: a boundary that is off by delta costs O(delta²), so the excess falls as 1/m and not as its root. For K = 2 it is
exact (``two_component_excess``); otherwise ``mixture_excess_error`` takes the mean over given x of the exact
conditional excess, which is never negative and has no noise from labels.

    fit = fit_gmm_spherical(X, K=8, restarts=10, rng=rng)
    votes = cluster_vote(assign_clusters(X_labelled, fit.means), y, K=8)

Source: Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining* (the model, one of its
three examples); starts as in Arthur and Vassilvitskii (2007). The exact risks are derived here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betainc, gammaln, ndtr, xlog1py, xlogy

from theory.learning.gaussian_distances import checked_generator
from theory.validation import class_labels, finite_array, in_range, positive, whole_number

__all__ = [
    "SphericalMixtureFit",
    "assign_clusters",
    "cluster_vote",
    "cluster_vote_excess",
    "fit_gmm_spherical",
    "mixture_excess_error",
    "mixture_log_likelihood",
    "sample_spherical_mixture",
    "two_component_excess",
    "vote_error",
]

Samples = Float[np.ndarray, "samples d"]
Means = Float[np.ndarray, "K d"]


@dataclass(frozen=True)
class SphericalMixtureFit:
    """The restart with the largest likelihood: its centres, mean log-likelihood (nats per sample) and iterations.

    ``restart_log_likelihoods`` are those of all restarts: what a single start would have risked.
    """

    means: Means
    log_likelihood: float
    iterations: int
    restart_log_likelihoods: Float[np.ndarray, " restarts"]


def sample_spherical_mixture(
    means: Means, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    """``n`` independent (x, z), as arrays X and z in 0 … K − 1.

    Raises ``ValueError`` for means that are no finite matrix, n < 1 or no random Generator.

    >>> X, z = sample_spherical_mixture(np.array([[-9.0], [9.0]]), 100, np.random.default_rng(0))
    >>> bool(((X[:, 0] > 0) == z).all())
    True
    """
    means, n, rng = finite_array("means", means, 2), whole_number("n", n, 1), checked_generator(rng)
    z = rng.integers(0, len(means), n)
    return means[z] + rng.standard_normal((n, means.shape[1])), z


def fit_gmm_spherical(
    X: Samples,
    K: int,
    restarts: int,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 1000,
) -> SphericalMixtureFit:
    """Maximum likelihood centres by EM from ``restarts`` k-means++ starts; unit covariances, equal weights.

    A restart stops when its mean log-likelihood grows by less than ``tolerance``. Raises ``ValueError`` for K < 1,
    fewer samples than K, restarts or max_iterations < 1, or a tolerance not above 0.

    >>> X, _ = sample_spherical_mixture(np.array([[-4.0], [4.0]]), 1000, np.random.default_rng(0))
    >>> np.sort(fit_gmm_spherical(X, 2, 3, np.random.default_rng(1)).means.ravel()).round(0).tolist()
    [-4.0, 4.0]
    """
    X = finite_array("X", X, 2)
    K, restarts = whole_number("K", K, 1), whole_number("restarts", restarts, 1)
    if len(X) < K:
        raise ValueError(f"X must have at least K = {K} samples, got {len(X)}")
    tolerance, max_iterations = positive("tolerance", tolerance), whole_number("max_iterations", max_iterations, 1)
    means = _spread_starts(X, K, restarts, checked_generator(rng))
    constant = _likelihood_constant(X, K)
    values, steps = np.full(restarts, -np.inf), np.zeros(restarts, np.int64)
    active = np.arange(restarts)
    for _ in range(max_iterations):
        responsibilities, mean_log_sum = _responsibilities(X, means[active])
        grown = mean_log_sum + constant - values[active]
        values[active] = mean_log_sum + constant
        steps[active] += 1
        moving = grown >= tolerance
        if not moving.any():
            break
        active = active[moving]
        weights = (responsibilities if moving.all() else responsibilities[moving]).reshape(-1, len(X))
        totals = weights.sum(axis=1)
        # A centre that lost every sample stays where it is.
        fresh = (weights @ X) / np.maximum(totals, np.finfo(np.float64).tiny)[:, None]
        kept = (totals > 0).reshape(len(active), K, 1)
        means[active] = np.where(kept, fresh.reshape(len(active), K, -1), means[active])
    best = int(values.argmax())
    return SphericalMixtureFit(means[best], mixture_log_likelihood(X, means[best]), int(steps[best]), values)


def mixture_log_likelihood(X: Samples, means: Means) -> float:
    """Mean log-density in nats per sample, for equal weights and unit covariances.

    Raises ``ValueError`` for shapes that do not fit.

    >>> round(mixture_log_likelihood(np.zeros((1, 1)), np.zeros((2, 1))), 6)
    -0.918939
    """
    X, means = _checked_samples("X", X, means)
    return float(_responsibilities(X, means[None])[1][0] + _likelihood_constant(X, len(means)))


def assign_clusters(X: Samples, means: Means) -> Int[np.ndarray, " samples"]:
    """The closest centre of every sample, the first one among ties.

    Raises ``ValueError`` for shapes that do not fit.

    >>> assign_clusters(np.array([[0.2], [0.9]]), np.array([[0.0], [1.0]])).tolist()
    [0, 1]
    """
    X, means = _checked_samples("X", X, means)
    return (X @ means.T - 0.5 * (means**2).sum(axis=1)).argmax(axis=1)


def cluster_vote(
    clusters: Int[np.ndarray, " samples"], y: Int[np.ndarray, " samples"], K: int
) -> Int[np.ndarray, " K"]:
    """The majority of the binary labels in each cluster: empirical risk minimisation over maps from clusters to labels.

    Ties and empty clusters, where either label is a minimiser, take 0. Raises ``ValueError`` for labels other than 0
    and 1, clusters outside 0 … K − 1, or lengths that differ.

    >>> cluster_vote(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 0]), 3).tolist()
    [1, 0, 0]
    """
    K = whole_number("K", K, 1)
    clusters = class_labels("clusters", clusters, K)
    y = class_labels("y", y, 2)
    if len(y) != len(clusters):
        raise ValueError(f"y and clusters must have the same length, got {len(y)} and {len(clusters)}")
    return (np.bincount(clusters, weights=2.0 * y - 1, minlength=K) > 0).astype(np.int64)


def vote_error(n: int, weight: float, flip: float) -> float:
    """Probability that the vote of a cluster is wrong, of which a share ``weight`` of n labelled samples is part.

    It has ``N ~ Bin(n, weight)`` labels, of which ``Bin(N, flip)`` are not the majority's; a tie, or N = 0, is wrong
    with probability a half. At most exp(−n weight (1 − 2 √(flip (1 − flip)))) (Chernoff): exponential in n, where the
    guarantee has √(K/n). Raises ``ValueError`` for n < 1, weight outside [0, 1], or flip outside [0, ½].

    >>> round(vote_error(40, 0.125, 0.1), 4), round(vote_error(2, 1.0, 0.1), 12)
    (0.0252, 0.1)
    """
    n, weight, flip = whole_number("n", n, 1), in_range("weight", weight, 0.0, 1.0), in_range("flip", flip, 0.0, 0.5)
    sizes = np.arange(n + 1)
    half = sizes // 2
    # P(Bin(N, flip) > N/2) as an incomplete beta function; no label, no majority.
    majority = np.append(0.0, betainc(half[1:] + 1, sizes[1:] - half[1:], flip))
    ties = np.where(sizes % 2 == 0, 0.5 * _binomial_pmf(half, sizes, flip), 0.0)
    return float(_binomial_pmf(sizes, np.full(n + 1, n), weight) @ (majority + ties))


def cluster_vote_excess(n: int, K: int, flip: float) -> float:
    """Mean excess error of votes in K equal clusters that are known: ``(1 − 2 flip) vote_error(n, 1/K, flip)``.

    Raises ``ValueError`` for n or K < 1, or flip outside [0, ½].

    >>> round(cluster_vote_excess(40, 8, 0.1), 4), round(cluster_vote_excess(1, 1, 0.1), 4)
    (0.0201, 0.08)
    """
    return (1 - 2 * in_range("flip", flip, 0.0, 0.5)) * vote_error(n, 1 / whole_number("K", K, 1), flip)


def mixture_excess_error(
    predicted: Int[np.ndarray, " samples"],
    X: Samples,
    means: Means,
    labels: Int[np.ndarray, " K"],
    flip: float,
) -> float:
    """Mean over X of the exact conditional excess 0-1 error, ``(1 − 2 flip) |2q − 1|`` where a prediction is wrong.

    ``q(x)`` is the posterior probability of clusters labelled 1. For X from the mixture it estimates the excess error
    without noise from z and y, and is never negative. Raises ``ValueError`` for labels or predictions other than 0 and
    1, shapes that do not fit, or flip outside [0, ½].

    >>> centres = np.array([[-1.0], [1.0]])
    >>> mixture_excess_error(np.array([1]), np.array([[2.0]]), centres, np.array([0, 1]), 0.1)
    0.0
    """
    X, means = _checked_samples("X", X, means)
    predicted, labels = class_labels("predicted", predicted, 2, len(X)), class_labels("labels", labels, 2, len(means))
    flip = in_range("flip", flip, 0.0, 0.5)
    margin = (2.0 * labels - 1) @ _responsibilities(X, means[None])[0][0]
    return float((1 - 2 * flip) * np.mean(np.where((margin > 0) == (predicted == 1), 0.0, np.abs(margin))))


def two_component_excess(means_hat: Float[np.ndarray, "2 d"], means: Float[np.ndarray, "2 d"], flip: float) -> float:
    """Exact excess 0-1 error of the boundary between two estimated centres, sides labelled as well as can be.

    With ``w = u^_1 − u^_0`` and ``b = ½ (‖u^_1‖² − ‖u^_0‖²)``, component k is on side 1 with probability
    ``Phi((<w, u_k> − b)/‖w‖)``; the least error is ``Phi(−‖u_1 − u_0‖/2)``. Raises ``ValueError`` for other than two
    centres, equal ones, or flip outside [0, ½].

    >>> centres = np.array([[-1.0, 0.0], [1.0, 0.0]])
    >>> two_component_excess(centres[::-1], centres, 0.1)
    0.0
    """
    means_hat, means = (finite_array(name, v, 2) for name, v in (("means_hat", means_hat), ("means", means)))
    for name, centres in (("means", means), ("means_hat", means_hat)):
        if centres.shape != (2, means.shape[1]):
            raise ValueError(f"{name} must have shape (2, {means.shape[1]}), got {centres.shape}")
        if (centres[0] == centres[1]).all():
            raise ValueError(f"{name} must be two different centres, got {centres!r:.60}")
    flip = in_range("flip", flip, 0.0, 0.5)
    w = means_hat[1] - means_hat[0]
    # Relative to the midpoint: the difference of squared norms would cancel for centres far from 0.
    score = (means - means_hat.mean(axis=0)) @ w / np.linalg.norm(w)
    error = min((ndtr(score[0]) + ndtr(-score[1])) / 2, (ndtr(-score[0]) + ndtr(score[1])) / 2)
    return float((1 - 2 * flip) * max(error - ndtr(-0.5 * np.linalg.norm(means[1] - means[0])), 0.0))


def _binomial_pmf(k: np.ndarray, n: np.ndarray, p: float) -> np.ndarray:
    """Through logarithms: scipy's overflows for p as small as 1e-306."""
    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(log_choose + xlogy(k, p) + xlog1py(n - k, -p))


def _responsibilities(X: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities (restarts, K, samples) and, per restart, the mean of logsumexp.

    Samples come last, so that sums over clusters run along contiguous memory.
    """
    restarts, K, d = means.shape
    stacked = means.reshape(-1, d)
    scores = stacked @ X.T
    scores -= 0.5 * (stacked**2).sum(axis=1)[:, None]
    scores = scores.reshape(restarts, K, len(X))
    top = scores.max(axis=1, keepdims=True)
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=1, keepdims=True)
    scores /= total
    return scores, (top + np.log(total))[:, 0].mean(axis=1)


def _likelihood_constant(X: np.ndarray, K: int) -> float:
    return -0.5 * float((X**2).sum(axis=1).mean()) - np.log(K) - 0.5 * X.shape[1] * np.log(2 * np.pi)


def _spread_starts(X: np.ndarray, K: int, restarts: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ for all restarts at once: each further centre is drawn with probability proportional to D²."""
    squared = (X**2).sum(axis=1)[:, None]
    chosen = rng.integers(0, len(X), restarts)
    means = np.empty((restarts, K, X.shape[1]))
    closest = np.full((len(X), restarts), np.inf)
    for k in range(K):
        means[:, k] = X[chosen]
        distance = squared - 2 * X @ means[:, k].T + (means[:, k] ** 2).sum(axis=1)
        closest = np.minimum(closest, np.maximum(distance, 0.0))
        closest[chosen, np.arange(restarts)] = 0.0
        cumulated = np.cumsum(closest, axis=0)
        draw = rng.random(restarts) * cumulated[-1]
        chosen = np.minimum((cumulated <= draw).sum(axis=0), len(X) - 1)
    return means


def _checked_samples(name: str, X: object, means: object) -> tuple[np.ndarray, np.ndarray]:
    samples, centres = finite_array(name, X, 2), finite_array("means", means, 2)
    if samples.shape[1] != centres.shape[1]:
        raise ValueError(f"{name} must have the {centres.shape[1]} columns of means, got shape {samples.shape}")
    return samples, centres
