"""Naive Bayes or logistic regression: what the logistic loss says about errors, and how many samples either needs.

Logistic regression minimises a surrogate, naive Bayes estimates a model. The bridge from logistic risk to 0-1 risk is
a multiclass H-consistency bound: if the conditional regrets satisfy ``Psi(dC_01) <= dC_log`` with Psi convex and
``Psi(0) = 0`` (or ``dC_01 <= Gamma(dC_log)`` with Gamma concave), then by Jensen, for every h in H,

    Psi( R_01(h) − R*_01 + M_01 ) <= R_log(h) − R*_log + M_log,          M = R* − E_x inf_h: minimizability gaps.

With scores in [−B, B], K labels and natural logarithms, the largest Psi is, with ``r = (K − 2) e^{−2B}``,

    Psi(b) = log(2 + r) − log(1 + r + e^u) + (1 − b)/2 · u,
    u      = log((1 − b)/(1 + b)) + log(1 + r), clipped to [−2B, 0].

Without a bound (r = 0) that is ``((1 + b) log(1 + b) + (1 − b) log(1 − b))/2 >= b²/2`` for every K, hence the explicit

    R_01(h) − R*_01  <=  sqrt( 2 [R_log(h) − R*_log + M_log] ) − M_01.

With bounded scores and K >= 3 it is 0 up to ``b = (K − 2)/(2 e^{2B} + K − 2)``: two labels that are both likely enough
are both scored B, and their tie may be broken wrongly. The formula for two labels must not be used there.

    logistic_transform(0.3, K=3, B=1.0)                     # Psi; calibration_numeric finds it by search
    h_consistency_rhs(0.02, gap_surr=0.01, gap_01=0.0, gamma=logistic_gamma)
    nb_sample_bound(n=1000, K=2, rho0=0.5, eps=0.1, delta=0.05), lr_sample_bound(n=1000, K=2, eps=0.1)

Sample sizes: all parameters of naive Bayes are within eps after ``O(log(nK/delta)/(rho0 eps²))`` samples. That is also
enough for its error if the margin grows linearly in n (every feature carries its share); with a total information
that stays constant while n grows it needs O(n) as well (``MixtureDesign``, mode "weak"). The guarantee for
logistic regression is O(n/eps⁴), an upper bound.

Source: Zheng, Wu, Bao, Cao, Li and Zhu (2023), *Revisiting Discriminative vs. Generative Classifiers: Theory and
Implications*; unbounded logistic transform as in Mao, Mohri and Zhong (2023). The bounded transform for K >= 3 and
the constants of the sample sizes are derived here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import quad
from scipy.special import ndtr

from theory.classification.comp_sum import gamma
from theory.classification.comp_sum_calibration import checked_beta, pooled_regret, tight_witness, transform
from theory.classification.comp_sum_risk import (
    Distributions,
    Values,
    checked_pair,
    conditional_risk,
    error_gap,
    minimal_risk,
)
from theory.classification.naive_bayes import GaussianNaiveBayes, NaiveBayesParameters, nb_margin_bound
from theory.fuzz import Bound
from theory.validation import at_least, finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "GaussianNaiveBayes",
    "MixtureDesign",
    "calibration_numeric",
    "conditional_regret_logistic",
    "gaussian_mixture",
    "h_consistency_rhs",
    "logistic_gamma",
    "logistic_transform",
    "logistic_witness",
    "lr_sample_bound",
    "nb_margin_bound",
    "nb_sample_bound",
    "regret_sampler",
    "samples_to_target",
    "uncalibrated_regret",
]

Mode = Literal["constant_info", "weak", "correlated"]


def logistic_transform(beta: Values, K: int | None = None, B: float = np.inf) -> Values:
    """``Psi(beta)``: the logistic regret that a 0-1 regret of ``beta`` costs at least, with scores in ``[−B, B]^K``.

    Exact and convex; for ``B = inf`` it is the same for all K, which may be left out. For linear scores with
    ``‖w‖ <= W`` and ``|bias| <= B0``, take ``B = inf_x W‖x‖ + B0``: Psi grows with B. Raises ``ValueError`` for beta
    outside [0, 1], K < 2, B not above 0, or a bounded B without K.

    >>> round(float(logistic_transform(1.0)), 6), float(logistic_transform(0.2, K=3, B=0.25))
    (0.693147, 0.0)
    """
    beta, B = checked_beta(beta), _checked_score_bound(B)
    if K is None:
        if np.isfinite(B):
            raise ValueError(f"K must be given for bounded scores: the transform depends on it (B = {B:g})")
        return transform(beta, 1.0, 2)
    K = whole_number("K", K, 2)
    if np.isinf(B):
        return transform(beta, 1.0, K)
    r = (K - 2) * np.exp(-2 * B)
    with np.errstate(divide="ignore"):
        u = np.clip(np.log1p(-beta) - np.log1p(beta) + np.log1p(r), -2 * B, 0.0)
    clipped = np.log(2 + r) - np.log(1 + r + np.exp(u)) + (1 - beta) / 2 * u
    # With two labels and room for the optimum, the closed form has no cancellation.
    free = (K == 2) & (beta <= np.tanh(B))
    return np.where(free, transform(beta, 1.0, 2), np.maximum(np.where(u < 0, clipped, 0.0), 0.0))[()]


def uncalibrated_regret(K: int, B: float) -> float:
    """``(K − 2)/(2 e^{2B} + K − 2)``: up to this 0-1 regret, the logistic loss on ``[−B, B]^K`` may see no regret.

    For p = ((1 + b)/2, (1 − b)/2, 0, …) with b at most this, both likely labels are best scored B. Raises
    ``ValueError`` for K < 2 or B not above 0.

    >>> round(uncalibrated_regret(3, 0.25), 4), round(uncalibrated_regret(1000, 1.0), 3), uncalibrated_regret(2, 1.0)
    (0.2327, 0.985, 0.0)
    """
    K, B = whole_number("K", K, 2), _checked_score_bound(B)
    # Multiplied through by e^{−2B}, which cannot overflow.
    r = (K - 2) * np.exp(-2 * B)
    return float(r / (2 + r))


def logistic_gamma(t: Values) -> Values:
    """``Gamma(t)``, the inverse of the unbounded ``logistic_transform``: at most ``sqrt(2 t)``, and 1 from log 2 on.

    Raises ``ValueError`` for NaN, other than real numbers, or t below −1e-12, which counts as rounding.

    >>> round(float(logistic_gamma(0.02)), 6), float(logistic_gamma(0.7))
    (0.19933, 1.0)
    """
    return gamma(t, 1.0, 2)


def h_consistency_rhs(excess: Values, gap_surr: float, gap_01: float, gamma: Callable[[Values], Values]) -> Values:
    """``Gamma(R_phi(h) − R*_phi + M_phi) − M_01``: the largest excess 0-1 error that a surrogate excess allows.

    ``gamma`` is any concave, increasing function with ``dC_01 <= gamma(dC_phi)`` pointwise; ``logistic_gamma`` for the
    logistic loss and unbounded scores. Raises ``ValueError`` for an excess or a gap that is negative or not finite.

    >>> round(float(h_consistency_rhs(0.01, 0.01, 0.05, logistic_gamma)), 6)
    0.14933
    """
    excess = finite_array("excess", excess)
    if excess.min() < 0:
        raise ValueError(f"excess must not be negative, got {excess.min()}")
    if not callable(gamma):
        raise ValueError(f"gamma must be a function, got {gamma!r:.60}")
    gap_surr, gap_01 = at_least("gap_surr", gap_surr, 0.0), at_least("gap_01", gap_01, 0.0)
    return (np.asarray(gamma(excess + gap_surr)) - gap_01)[()]


def conditional_regret_logistic(p: Distributions, z: Distributions, B: float = np.inf) -> Values:
    """``sum_y p_y (−log softmax(z)_y)`` less its infimum over ``[−B, B]^K``; p and z ``(..., K)`` broadcast.

    Raises ``ValueError`` for rows of p that are no distributions, scores outside the box, or B not above 0.

    >>> round(float(conditional_regret_logistic(np.array([1.0, 0.0]), np.zeros(2), B=0.5)), 6)
    0.379885
    """
    p, z = _named_pair(p, z)
    B = _checked_score_bound(B)
    if np.abs(z).max() > B:
        raise ValueError(f"z must be within [−{B:g}, {B:g}], got {np.abs(z).max()} in absolute value")
    return (conditional_risk(p, z, 1.0) - _least_risk(p, B))[()]


def logistic_witness(
    beta: Values, K: int, B: float = np.inf
) -> tuple[Float[np.ndarray, "*batch classes"], Float[np.ndarray, "*batch classes"]]:
    """Distributions and scores whose regret is ``logistic_transform(beta, K, B)``; label 0 is predicted.

    ``p = ((1 − beta)/2, (1 + beta)/2, 0, …)`` and two tied scores of B above the others at −B; without a bound the
    others are at −60 below. Raises ``ValueError`` as ``logistic_transform``.

    >>> p, z = logistic_witness(0.2, 3, 0.25)
    >>> p.round(6).tolist(), z.tolist(), round(float(conditional_regret_logistic(p, z, 0.25)), 12)
    ([0.4, 0.6, 0.0], [0.25, 0.25, -0.25], 0.0)
    """
    beta, K, B = checked_beta(beta), whole_number("K", K, 2), _checked_score_bound(B)
    p, scores = tight_witness(beta, 1.0, K)
    return p, scores if np.isinf(B) else np.where(np.arange(K) < 2, B, -B) * np.ones_like(p)


def calibration_numeric(beta: Values, K: int, B: float) -> Values:
    """``logistic_transform`` by search: the least regret over distributions with 0-1 regret ``beta`` and scores.

    For given p the infimum over scores is exact: label 1, which is predicted, shares its score with the labels that
    pooling adjacent violators merges it with. Over p it is a seeded random search that closes in on its best, so the
    result is above the truth, not below. Raises ``ValueError`` for beta outside [0, 1], K < 2 or B not above 0.

    >>> round(float(calibration_numeric(0.6, 3, 0.25) / logistic_transform(0.6, 3, 0.25)), 6)
    1.0
    """
    beta, K, B = checked_beta(beta), whole_number("K", K, 2), _checked_score_bound(B)
    return np.array([_search(float(b), K, B) for b in beta.ravel()]).reshape(beta.shape)[()]


def regret_sampler(K: int, B: float = np.inf) -> Callable[[np.random.Generator, int], dict[str, np.ndarray]]:
    """Sampler of distributions ``p`` and scores ``z`` in the box for ``theory.fuzz``, a half of them near the witness.

    Without a bound, scores stay within 12. Raises ``ValueError`` for K < 2 or B not above 0.

    >>> sample = regret_sampler(3, 0.25)(np.random.default_rng(0), 100)
    >>> sample["p"].shape, bool(np.abs(sample["z"]).max() <= 0.25)
    ((100, 3), True)
    """
    K, B = whole_number("K", K, 2), _checked_score_bound(B)

    def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        reach = min(B, 12.0)
        weights = rng.gamma(10.0 ** rng.uniform(-2, 1, (count, 1)), size=(count, K)) + 1e-300
        scores = np.clip(reach * rng.normal(size=(count, K)) * 10.0 ** rng.uniform(-2, 0.5, (count, 1)), -reach, reach)
        near_p, near_scores = logistic_witness(rng.random(count), K, reach)
        noise = 10.0 ** rng.uniform(-8, -1, (count, 1))
        near = rng.random((count, 1)) < 0.5
        p = np.where(near, near_p + noise * rng.random((count, K)), weights)
        scores = np.where(near, near_scores + reach * noise * rng.normal(size=(count, K)), scores)
        return {"p": p / p.sum(axis=1, keepdims=True), "z": np.clip(scores, -reach, reach)}

    return sample


def nb_sample_bound(n: int, K: int, rho0: float, eps: float, delta: float) -> int:
    """Samples after which every parameter of naive Bayes is within ``eps``, with probability ``1 − delta``.

    For Gaussian features, priors of at least ``rho0``, and means and pooled variances in units of the largest standard
    deviation: ``|mu^ − mu| <= eps``, ``|v^ − v| <= eps`` and ``|pi^ − pi| <= eps`` for all n features and K classes at
    once if m is at least each of

        8 log(4K/delta)/rho0,  log(8K/delta)/(2 eps²),  4 log(8nK/delta)/(rho0 eps²),  16 log(8n/delta)/eps²,  2K/eps:

    Chernoff for the counts of classes (at least half of m rho0), Hoeffding for the priors, Gaussian tails and a union
    over nK means (where log n comes from), and Laurent and Massart (2000) for the chi-square of m − K degrees that
    ``m v^/v`` is. Raises ``ValueError`` for n < 1, K < 2, rho0 not in (0, 1/K], or eps or delta not in (0, 1].

    >>> [nb_sample_bound(n, 2, 0.5, 0.1, 0.05) for n in (10, 100, 1000)]
    [11805, 15489, 19173]
    """
    n, K = whole_number("n", n, 1), whole_number("K", K, 2)
    rho0 = in_range("rho0", positive("rho0", rho0), 0.0, 1 / K)
    eps, delta = (in_range(name, positive(name, v), 0.0, 1.0) for name, v in (("eps", eps), ("delta", delta)))
    return int(
        np.ceil(
            max(
                8 * np.log(4 * K / delta) / rho0,
                np.log(8 * K / delta) / (2 * eps**2),
                4 * np.log(8 * n * K / delta) / (rho0 * eps**2),
                16 * np.log(8 * n / delta) / eps**2,
                2 * K / eps,
            )
        )
    )


def lr_sample_bound(n: int, K: int, eps: float, *, norm: float = 1.0, radius: float = 1.0, delta: float = 0.05) -> int:
    """Samples after which the empirical logistic minimiser has an excess 0-1 error of at most ``eps``, gaps aside.

    Linear scores with a Frobenius norm of at most ``norm``, features within ``radius``, so ``‖x‖ <= radius sqrt(n)``.
    Uniform convergence (the loss is sqrt(2)-Lipschitz in the scores; vector contraction of Maurer, 2016; McDiarmid)
    bounds the logistic excess, with probability ``1 − delta``, by

        ( 4 norm radius sqrt(nK) + (log K + sqrt(2 n) norm radius) sqrt(2 log(2/delta)) ) / sqrt(m),

    and ``sqrt(2t) <= eps`` asks for ``t <= eps²/2``: ``O(n/eps⁴)``. An upper bound; the growth that is met may be less.
    Raises ``ValueError`` for n < 1, K < 2, eps or delta not in (0, 1], or a norm or radius not above 0.

    >>> lr_sample_bound(4000, 2, 0.1) / lr_sample_bound(1000, 2, 0.1) > 3.9
    True
    """
    n, K = whole_number("n", n, 1), whole_number("K", K, 2)
    eps, delta = (in_range(name, positive(name, v), 0.0, 1.0) for name, v in (("eps", eps), ("delta", delta)))
    reach = positive("norm", norm) * positive("radius", radius) * np.sqrt(n)
    deviation = 4 * reach * np.sqrt(K) + (np.log(K) + np.sqrt(2) * reach) * np.sqrt(2 * np.log(2 / delta))
    return int(np.ceil((2 * deviation / eps**2) ** 2))


@dataclass(frozen=True)
class MixtureDesign:
    """Gaussian classes with equal priors and a common covariance, whose best errors are known exactly.

    * ``constant_info``: the simulation of the paper. All features of class k have mean −1 (k = 0) or 2^{k−1}; the first
      ⌊n/2⌋ have variance n, the others 1. Each of the latter carries its share, so the margin grows linearly in n.
    * ``weak``: unit variances; class k is shifted in every K-th feature, so that any two means are ``separation`` apart
      whatever n is. The information of a feature vanishes like 1/n.
    * ``correlated``: all features of class k have mean ``shift (2k/(K − 1) − 1)`` and variance 1; the first ⌊n/2⌋ share
      a latent variable with loading ``loading``, which naive Bayes takes for independent evidence.

    Raises ``ValueError`` for another mode, n < 2, K < 2, ``weak`` with n < K, or parameters out of range.

    >>> design = MixtureDesign("correlated", 40, 2)
    >>> round(design.bayes_error, 4), round(design.naive_bayes_error, 4)
    (0.0534, 0.2264)
    """

    mode: Mode
    n: int
    K: int
    separation: float = 4.0
    shift: float = 0.35
    loading: float = 0.9

    def __post_init__(self) -> None:
        one_of("mode", self.mode, get_args(Mode))
        whole_number("K", self.K, 2)
        whole_number("n", self.n, self.K if self.mode == "weak" else 2)
        positive("separation", self.separation)
        positive("shift", self.shift)
        in_range("loading", self.loading, 0.0, 0.999)

    def sample(
        self, m: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "samples features"], Int[np.ndarray, " samples"]]:
        """m samples in random order, as evenly from all classes as m allows. Raises ``ValueError`` for m < K."""
        m = whole_number("m", m, self.K)
        if not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng must be a numpy random Generator, got {type(rng).__name__}")
        y = rng.permutation(np.arange(m) % self.K)
        loading = self._loadings
        X = rng.standard_normal((m, self.n))
        X *= np.sqrt(self._variances - loading**2)
        X += self._means[y]
        if loading.any():
            X += rng.standard_normal((m, 1)) * loading
        return X, y

    @property
    def parameters(self) -> NaiveBayesParameters:
        """Priors, means and marginal variances: what naive Bayes converges to."""
        return NaiveBayesParameters(np.full(self.K, 1 / self.K), self._means, self._variances[None])

    @property
    def bayes_error(self) -> float:
        """The least error of any rule."""
        if self.mode == "weak":
            return self._orthogonal_error()
        # With means along one direction, Σ^{−1} of it is all that matters (Sherman and Morrison).
        noise, loading = self._variances - self._loadings**2, self._loadings
        shared = (loading / noise).sum() ** 2 / (1 + (loading**2 / noise).sum())
        return self._error_along(np.sqrt((1 / noise).sum() - shared))

    @property
    def naive_bayes_error(self) -> float:
        """The error of naive Bayes that knows all its parameters."""
        if self.mode == "weak":
            return self._orthogonal_error()
        weights = 1 / self._variances
        noise = (weights**2 * (self._variances - self._loadings**2)).sum() + (weights @ self._loadings) ** 2
        return self._error_along(weights.sum() / np.sqrt(noise))

    @property
    def _means(self) -> np.ndarray:
        if self.mode == "weak":
            own = np.arange(self.n) % self.K == np.arange(self.K)[:, None]
            return own * self.separation / np.sqrt(2 * own.sum(axis=1, keepdims=True))
        return np.outer(self._levels, np.ones(self.n))

    @property
    def _levels(self) -> np.ndarray:
        """Coordinates of the means along the vector of ones."""
        if self.mode == "constant_info":
            return np.concatenate([[-1.0], 2.0 ** np.arange(self.K - 1)])
        return self.shift * np.linspace(-1, 1, self.K)

    @property
    def _variances(self) -> np.ndarray:
        wide = (np.arange(self.n) < self.n // 2) & (self.mode == "constant_info")
        return np.where(wide, float(self.n), 1.0)

    @property
    def _loadings(self) -> np.ndarray:
        return self.loading * ((np.arange(self.n) < self.n // 2) & (self.mode == "correlated"))

    def _error_along(self, scale: float) -> float:
        """Error of thresholds half-way between the levels, for a projection in which one unit is ``scale`` noises."""
        return float(2 * ndtr(-np.diff(self._levels) * scale / 2).sum() / self.K)

    def _orthogonal_error(self) -> float:
        """K orthogonal means of norm ``separation/√2``: the right score must exceed K − 1 independent others."""
        ahead = self.separation / np.sqrt(2)
        correct = quad(lambda z: np.exp(-(z**2) / 2) * ndtr(z + ahead) ** (self.K - 1), -12, 12, epsabs=1e-13)[0]
        return float(1 - correct / np.sqrt(2 * np.pi))


def gaussian_mixture(
    m: int, n: int, K: int, rng: np.random.Generator, mode: Mode = "constant_info"
) -> tuple[Float[np.ndarray, "samples features"], Int[np.ndarray, " samples"]]:
    """m samples of a ``MixtureDesign``: ``(features, labels)``. Raises ``ValueError`` as that does, and for m < K.

    >>> X, y = gaussian_mixture(10, 4, 3, np.random.default_rng(0))
    >>> X.shape, np.bincount(y).tolist()
    ((10, 4), [4, 3, 3])
    """
    return MixtureDesign(mode, n, K).sample(m, rng)


def samples_to_target(
    model: Callable[[int, int], float],
    target: float,
    grid: Int[np.ndarray, " sizes"],
    repeats: int,
    *,
    stride: int = 1,
) -> int | None:
    """The first size in ``grid`` at which the mean error over ``repeats`` draws is at most ``target``, or ``None``.

    ``model(m, repeat)`` trains on draw number ``repeat`` of m samples and returns its test error, at least 0. A size is
    left as soon as its mean cannot come down to the target, which changes nothing but the time. With a ``stride``,
    every stride-th size is tried first, then those just before the first that reaches the target: the same answer if
    the mean error falls along the grid. Raises ``ValueError`` for a grid that is not increasing or starts below 1,
    a target that is negative or not finite, repeats or stride < 1, or a model that returns no number of at least 0.

    >>> samples_to_target(lambda m, repeat: 1 / m, 0.1, np.array([4, 8, 16, 32]), repeats=3)
    16
    """
    sizes = np.asarray(grid)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or sizes.size == 0:
        raise ValueError(f"grid must be a non-empty vector of whole numbers, got {sizes.dtype} of {sizes.shape}")
    if sizes[0] < 1 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"grid must increase from at least 1, got {sizes.tolist()!r:.60}")
    if not callable(model):
        raise ValueError(f"model must be a function of (m, repeat), got {model!r:.60}")
    total = at_least("target", target, 0.0) * whole_number("repeats", repeats, 1)
    stride = whole_number("stride", stride, 1)

    def reaches(m: int) -> bool:
        errors = 0.0
        for repeat in range(repeats):
            errors += at_least("the error that model returns", model(m, repeat), 0.0)
            if errors > total:
                return False
        return True

    ends = sorted({*range(stride - 1, sizes.size, stride), sizes.size - 1})
    reached = next((end for end in ends if reaches(int(sizes[end]))), None)
    if reached is None:
        return None
    between = range(max(reached - stride + 1, ends[ends.index(reached) - 1] + 1 if reached > ends[0] else 0), reached)
    return int(next((sizes[k] for k in between if reaches(int(sizes[k]))), sizes[reached]))


def _checked_score_bound(B: float) -> float:
    if np.ndim(B) == 0 and isinstance(B, float | int | np.number) and not isinstance(B, bool) and np.inf == B:
        return np.inf
    try:
        return positive("B", B)
    except ValueError:
        raise ValueError(f"B must be above 0 (infinity: no bound), got {B!r:.60}") from None


def _named_pair(p: Distributions, z: Distributions) -> tuple[np.ndarray, np.ndarray]:
    return checked_pair(p, finite_array("z", z))


def _least_risk(p: np.ndarray, B: float) -> np.ndarray:
    """Infimum of the conditional logistic risk over the box, exactly and without iteration.

    With ``y = exp(z − B)`` and ``Z = sum y`` the optimum is ``y_k = clip(p_k Z, e^{−2B}, 1)``. So Z is a root of
    ``sum_k clip(p_k Z, e^{−2B}, 1) − Z``, which falls and is linear between 2K known points.
    ``comp_sum.bounded_conditional_min`` finds it for every tau, by bisection.
    """
    if np.isinf(B):
        return minimal_risk(p, 1.0)
    K, lowest = p.shape[-1], np.exp(-2 * B)
    with np.errstate(divide="ignore", over="ignore"):
        bends = np.concatenate(
            [1 / p, lowest / p, np.full_like(p[..., :1], K), np.full_like(p[..., :1], K * lowest)], -1
        )
    bends = np.sort(np.clip(bends, K * lowest, K), axis=-1)
    excess = np.clip(p[..., None, :] * bends[..., None], lowest, 1).sum(axis=-1) - bends
    left = np.maximum((excess >= 0).sum(axis=-1, keepdims=True) - 1, 0)
    right = np.minimum(left + 1, bends.shape[-1] - 1)
    (a, b), (above, below) = ([np.take_along_axis(v, i, -1) for i in (left, right)] for v in (bends, excess))
    with np.errstate(invalid="ignore", divide="ignore"):
        Z = a + np.where(above > below, (b - a) * np.clip(above / (above - below), 0, 1), 0.0)
    costs = np.log(Z) - np.log(np.clip(p * Z, lowest, 1))
    return np.asarray((p * costs).sum(axis=-1))


_CANDIDATES = 300


def _search(beta: float, K: int, B: float) -> float:
    """Least regret met over p = (a, a − beta, rest): at random, then ever closer to the best."""
    rng = np.random.default_rng(0)
    low, high = max(beta, (1 + beta) / K), (1 + beta) / 2
    centre, rest, best, step = np.full(1, 0.5), np.full((1, max(K - 2, 1)), 1 / max(K - 2, 1)), np.inf, 1.0
    for _ in range(1 if K == 2 else 8):
        # The ends of the range of a are tried in every round.
        place = np.clip(centre + step * (rng.random(_CANDIDATES) - 0.5) * 2, 0, 1)
        place[:2] = 0.0, 1.0
        shares = rng.dirichlet(np.full(max(K - 2, 1), 0.3), _CANDIDATES)
        shares = rest + step * (shares - rest)
        values = _pooled_box_regret(_distribution(low + (high - low) * place, beta, shares, K), B)
        winner = int(values.argmin())
        if values[winner] < best:
            best, centre, rest = float(values[winner]), place[winner], shares[winner]
        step /= 3
    return best


def _distribution(a: np.ndarray, beta: float, shares: np.ndarray, K: int) -> np.ndarray:
    """``(a, a − beta, rest)`` with the rest divided by ``shares``, moved towards equal ones until none is above a."""
    if K == 2:
        return np.stack([a, 1 - a], axis=-1)
    total = np.maximum(1 + beta - 2 * a, 0.0)[:, None]
    level = 1 / (K - 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = (a[:, None] / total - level) / (shares.max(axis=1, keepdims=True) - level)
    kept = np.clip(np.nan_to_num(room, nan=1.0, posinf=1.0), 0, 1)
    p = np.concatenate([a[:, None], np.maximum(a - beta, 0.0)[:, None], total * (level + kept * (shares - level))], 1)
    return p / p.sum(axis=1, keepdims=True)


def _pooled_box_regret(p: np.ndarray, B: float) -> np.ndarray:
    """The least regret of scores in the box that predict label 1, for every row of p."""
    if np.isinf(B):
        return np.asarray(pooled_regret(p, 1, 1.0))
    order = np.argsort(-np.delete(p, 1, axis=1), axis=1)
    others = np.take_along_axis(np.delete(p, 1, axis=1), order, axis=1)
    means = np.cumsum(np.concatenate([p[:, 1:2], others], axis=1), axis=1) / np.arange(1, p.shape[1] + 1)
    following = np.concatenate([others, np.full((len(p), 1), -1.0)], axis=1)
    pooled = np.argmax(following <= means, axis=1)[:, None]
    mean = np.take_along_axis(means, pooled, axis=1)
    merged = np.concatenate([mean, np.where(np.arange(1, p.shape[1]) <= pooled, mean, others)], axis=1)
    merged /= merged.sum(axis=1, keepdims=True)
    return np.maximum(_least_risk(merged, B) - _least_risk(p, B), 0.0)


def _parameter_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Points and two models each, of three classes and two features, close to each other or not."""
    apart = 10.0 ** rng.uniform(-3, 0, count)
    means, spread = rng.normal(size=(count, 3, 2)), 10.0 ** rng.uniform(-0.3, 0.3, (count, 1, 2))
    priors = rng.dirichlet(np.full(3, 3.0), (2, count)) + 0.02
    priors /= priors.sum(axis=-1, keepdims=True)
    share = apart[:, None]
    return {
        "x": rng.normal(size=(count, 1, 2)),
        "priors": priors[0], "means": means, "variances": spread,
        "priors_hat": priors[0] + share * (priors[1] - priors[0]),
        "means_hat": means + share[..., None] * rng.normal(size=(count, 3, 2)),
        "variances_hat": spread * np.exp(0.5 * share[..., None] * rng.normal(size=(count, 1, 2))),
    }  # fmt: skip


def _margin_sides(x: np.ndarray, **arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, estimated = (
        NaiveBayesParameters(*(arrays[name + hat] for name in ("priors", "means", "variances"))) for hat in ("", "_hat")
    )
    bound = nb_margin_bound(x, estimated, true)
    return np.where(bound.disagrees, bound.margin, 0.0)[:, 0], bound.spread[:, 0]


def _bounds() -> Iterator[Bound]:
    for K, B in ((2, np.inf), (5, np.inf), (2, 1.0), (3, 0.25)):
        yield Bound(
            f"logistic regret at least Psi, K = {K}, B = {B:g}", "multiclass H-consistency of the logistic loss",
            lambda p, z, K=K, B=B: np.asarray(logistic_transform(error_gap(p, z), K, B)),
            lambda p, z, B=B: np.asarray(conditional_regret_logistic(p, z, B)), regret_sampler(K, B),
        )  # fmt: skip
    yield Bound(
        "margin of a disagreement at most the spread of the errors", "margin step of naive Bayes",
        lambda **sample: _margin_sides(**sample)[0], lambda **sample: _margin_sides(**sample)[1], _parameter_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
