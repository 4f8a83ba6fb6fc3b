"""Logistic regression by gradient descent with any step size: the perceptron in disguise, and a faster relative.

For separable samples z_i = y_i a_i, i = 1 … n, with R = max |z_i| and margin mu, and s(m) = 1/(1 + e^m),

    LR+GD     theta <- theta + gamma (1/n) sum_i s(m_i) z_i,                 m_i = <z_i, theta>,  theta_0 = 0,
    NLR+GD    theta <- theta + gamma sum_i s(m_i) z_i / sum_i s(m_i)

separate all samples with *every* gamma > 0. In units of gamma the weights tend to 1[m < 0] + 1[m = 0]/2 as gamma grows:
LR+GD becomes the batch perceptron, and its loss, gamma times the perceptron's loss, says nothing of progress.

    lr_gd(Z, gamma=np.geomspace(1e-2, 1e8, 11), max_iter=10**5).iterations      # all step sizes at once
    bound_lr_gd(n, R, mu, gamma), bound_normalized(n, R, mu, gamma)             # how many are enough
    limit_deviation(Z, gammas, T)                                               # how far from the perceptron

**Why any step works.** Let T be the first step at which all margins are above 0 and v_t the direction of step t. While
a sample is not separated its weight is at least 1/2. All of this for t < T:

1. ``<v_t, u> >= mu k_t`` and ``|v_t| <= R k_t``, with k_t the mean weight (LR+GD; 1/(2n) <= k_t <= 1) or 1 (NLR+GD).
2. ``<v_t, theta_t> <= b_n k_t``, b_n the largest mean of margins weighted by s when one of them is not above 0. For
   b >= 0 ``sum s_i (m_i − b) <= −b/2 + (n−1) W(e^{−1−b})``: the first term is s(m)(m − b) at m = 0, the largest for
   m <= 0; the other is the maximum of s(m)(m − b), at ``m − b = 1 + e^{−m}``. It vanishes at
   ``b_n = (2n−2)/(2n−1) · W((2n−1)/e)``, W Lambert's function; b_n is attained, and ``b_n <= W(2(n−1)/e) <= log n``.
3. Hence ``(gamma mu K)² <= <theta_T, u>² <= |theta_T|² <= sum (2 gamma <v_t, theta_t> + gamma² |v_t|²) <=
   2 gamma b_n K + gamma² R² K`` with K = sum k_t, and ``K <= R²/mu² + 2 b_n/(gamma mu²)``. For NLR+GD K = T, for
   LR+GD T <= 2 n K.

With ``sum s_i m_i / n <= c_0 = max m s(m) = W(1/e)`` instead of step 2 LR+GD has 8 c_0 n²/(gamma mu²) where step 2 has
4 n b_n/(gamma mu²), which is always less. That the factor n is real: ``hard_instance_iterations``.

Source: Tyurin (2024), *From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step
Sizes*, for both methods, the limit, and that LR+GD is suboptimal; the constants and proofs are derived here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import lambertw

from theory.fuzz import Bound
from theory.optimization.perceptron import (
    batch_perceptron,
    bound_batch_perceptron,
    classic_perceptron,
    squared_ratio,
)
from theory.optimization.separable_data import checked_angle, hard_instance, margin
from theory.optimization.separation import (
    Numbers,
    Record,
    SeparationResult,
    checked_samples,
    logistic_loss,
    logistic_weight,
    perceptron_loss,
    separate,
)
from theory.validation import at_least, finite_array, positive, whole_number

__all__ = [
    "LimitDeviation",
    "SeparationResult",
    "batch_perceptron",
    "bound_batch_perceptron",
    "bound_lr_gd",
    "bound_normalized",
    "classic_perceptron",
    "hard_instance",
    "hard_instance_iterations",
    "largest_weighted_margin",
    "limit_deviation",
    "limit_deviation_bound",
    "logistic_loss",
    "lr_gd",
    "margin",
    "normalized_lr_gd",
    "perceptron_loss",
    "sharper_bound_lr_gd",
]

LARGEST_PRODUCT = float(lambertw(1 / math.e).real)
"""``c_0 = max_m m/(1 + e^m) = W(1/e)``: at the maximum ``m = 1 + e^{−m}``, where the value is ``e^{−m}``."""


@dataclass(frozen=True)
class LimitDeviation:
    """How far gradient descent is from the batch perceptron, for every step size.

    ``deviation`` is ``max_{t <= T} |theta_t/gamma − theta^_t|``. ``delta`` is the least margin ``|<z_i, theta^_t>|``
    that is not 0, over ``1 <= t < T``, and ``ties`` counts the steps at which a margin is exactly 0.
    """

    deviation: Float[np.ndarray, "..."] | np.floating
    delta: float
    ties: int


def lr_gd(
    Z: Float[np.ndarray, "*problems samples dim"],
    gamma: Numbers,
    max_iter: int,
    theta0: Float[np.ndarray, "..."] | None = None,
    *,
    record: Record = "losses",
) -> SeparationResult:
    """Gradient descent on ``(1/n) sum log(1 + exp(−<z_i, theta>))`` until every margin is above 0.

    ``gamma`` broadcasts against the leading axes of ``Z``: a vector of step sizes for one problem, or shape
    ``(step sizes)`` beside problems of shape ``(seeds, 1, samples, dim)``. The bounds hold for ``theta0 = 0``, the
    default. Raises ``ValueError`` for samples that are empty or not finite, a gamma not above 0 or not finite, or
    ``max_iter < 1``; warns where ``max_iter`` updates do not separate the samples.

    >>> Z = np.array([[1.0, 0.2], [-0.9, 1.0]])
    >>> lr_gd(Z, np.array([0.1, 10.0, 1e8]), max_iter=1000).iterations.tolist()
    [1, 1, 1]
    """
    Z = checked_samples(Z)
    step = _step(gamma, Z.shape[-2])
    return separate(
        Z, logistic_weight, scale=step, factor=step, max_iter=max_iter, start=_start(theta0, step), record=record
    )


def normalized_lr_gd(
    Z: Float[np.ndarray, "*problems samples dim"],
    gamma: Numbers,
    max_iter: int,
    theta0: Float[np.ndarray, "..."] | None = None,
    *,
    record: Record = "losses",
) -> SeparationResult:
    """Gradient descent with the gradient divided by the mean of the weights s(m_i); otherwise as ``lr_gd``.

    The divisor is at least 1/(2n) while a sample is not separated. Raises ``ValueError`` as ``lr_gd``.

    >>> Z = hard_instance(1000, 0.3)
    >>> lr_gd(Z, 1e6, 1000).iterations, normalized_lr_gd(Z, 1e6, 1000).iterations
    (np.int64(478), np.int64(2))
    """
    step = _step(gamma)
    return separate(
        Z, logistic_weight, scale=step, factor=step, max_iter=max_iter, start=_start(theta0, step), normalized=True,
        record=record,
    )  # fmt: skip


def bound_lr_gd(n: int, R: float, mu: float, gamma: float) -> float:
    """``T <= 2 n R²/mu² + 8 c_0 n²/(gamma mu²)`` for LR+GD from 0, ``c_0 = W(1/e) = 0.278``.

    gamma enters through 1/gamma alone; an infinite one is the batch perceptron. Raises ``ValueError`` for n < 1, R, mu
    or gamma not above 0, or mu > R.

    >>> round(bound_lr_gd(10, R=1.0, mu=0.5, gamma=100.0), 3)
    88.911
    """
    inverse = _inverse_step(gamma)
    return 2 * whole_number("n", n, 1) * squared_ratio(R, mu) + 8 * LARGEST_PRODUCT * n**2 * inverse / mu**2


def sharper_bound_lr_gd(n: int, R: float, mu: float, gamma: float) -> float:
    """``T <= 2 n (R²/mu² + 2 b_n/(gamma mu²))``: 2n times ``bound_normalized``, and never above ``bound_lr_gd``.

    Almost linear in n for every gamma. Raises ``ValueError`` as ``bound_lr_gd``.

    >>> round(sharper_bound_lr_gd(10, R=1.0, mu=0.5, gamma=100.0), 3)
    82.309
    """
    return 2 * n * bound_normalized(n, R, mu, gamma)


def bound_normalized(n: int, R: float, mu: float, gamma: float) -> float:
    """``T <= R²/mu² + 2 b_n/(gamma mu²)`` for NLR+GD from 0, with ``b_n`` the ``largest_weighted_margin``.

    At most ``2 R²/mu²`` once ``gamma >= 2 log(n)/R²``. Raises ``ValueError`` as ``bound_lr_gd``.

    >>> round(bound_normalized(10, R=1.0, mu=0.5, gamma=100.0), 3)
    4.115
    """
    inverse = _inverse_step(gamma)
    return squared_ratio(R, mu) + 2 * largest_weighted_margin(n) * inverse / mu**2


def largest_weighted_margin(n: int) -> float:
    """``b_n = max sum s(m_i) m_i / sum s(m_i)`` over n margins of which one is not above 0.

    ``(2n−2)/(2n−1) · W((2n−1)/e)``, at one margin of 0 and n − 1 equal ones; ``<= W(2(n−1)/e) <= log n``. Raises
    ``ValueError`` for n < 1.

    >>> [round(largest_weighted_margin(n), 3) for n in (1, 2, 10, 1000)]
    [0.0, 0.402, 1.443, 4.99]
    """
    n = whole_number("n", n, 1)
    return (2 * n - 2) / (2 * n - 1) * float(lambertw((2 * n - 1) / math.e).real)


def hard_instance_iterations(n: int, phi: float) -> int:
    """Iterations of the batch perceptron on ``hard_instance(n, phi)``: ``2 + floor(((n−1) cos phi − 1)/2)``.

    In units of 1/n, the first step leaves the margin of the last sample at ``(1 − (n−1) cos phi)/2``. Then that sample
    alone is wrong, each step adds 1 to its margin, and takes cos phi of the others'. This needs the others to stay
    above 0, ``(n − 1 − cos phi)/2 > (T − 1) cos phi``, which is so if ``(n−1) sin² phi > 2 cos phi``. A margin that
    becomes exactly 0 on the way costs one more step, with half the weight, as the formula says. Raises ``ValueError``
    for n < 2, phi outside (0, pi/2), or where the others do not stay above 0.

    >>> [hard_instance_iterations(n, 0.3) for n in (10, 100, 1000, 4000)]
    [5, 48, 478, 1911]
    """
    n, c = whole_number("n", n, 2), math.cos(checked_angle(phi))
    iterations = 2 + math.floor(((n - 1) * c - 1) / 2)
    if (n - 1 - c) / 2 <= (iterations - 1) * c:
        raise ValueError(f"n and phi must leave the many samples on their side, got n = {n}, phi = {phi}")
    return iterations


def limit_deviation(Z: Float[np.ndarray, "samples dim"], gamma: Numbers, T: int) -> LimitDeviation:
    """``max_{t <= T} |theta_t/gamma − theta^_t|`` of LR+GD and the batch perceptron; neither stops when it separates.

    It tends to 0 as gamma grows, like ``exp(−gamma delta)`` without ties and like ``gamma^ties exp(−gamma delta)`` with
    them: the weight 1/2 is what a margin that vanishes faster than 1/gamma has in the limit. Iteration counts follow
    only where no margin of 0 is the least one: otherwise LR+GD may stop earlier, for every gamma. Raises
    ``ValueError`` for samples that are not a finite matrix, a gamma not above 0, or T < 1.

    >>> ties = limit_deviation(np.array([[1.0, 0.0], [-1.0, 1.0]]), np.array([10.0, 100.0]), T=4)
    >>> ties.delta, ties.ties, bool(ties.deviation[1] < 1e-8)
    (0.25, 3, True)
    """
    Z, T = checked_samples(Z), whole_number("T", T, 1)
    if Z.ndim != 2:
        raise ValueError(f"Z must have shape (samples, dim), got {Z.shape}")
    n = len(Z)
    step = _step(gamma, n)
    descent = separate(Z, logistic_weight, scale=step, factor=np.ones_like(step), max_iter=T, record="path", stop=False)
    limit = separate(
        Z, lambda m: (m < 0) + 0.5 * (m == 0), scale=1.0, factor=1.0, max_iter=T, record="path", stop=False
    )
    assert descent.path is not None
    assert limit.path is not None
    margins = np.abs(limit.path[1:T] @ Z.T) / n
    deviation = np.linalg.norm(descent.path - limit.path, axis=-1).max(axis=-1) / n
    delta = float(margins[margins > 0].min()) if (margins > 0).any() else math.inf
    return LimitDeviation(deviation[()], delta, int((margins == 0).any(axis=1).sum()))


def limit_deviation_bound(R: float, delta: float, gamma: float, T: int, ties: bool = False) -> float:
    """An upper bound of ``limit_deviation`` from R and delta alone: the last of d_1 = 0, d_2, … d_T, with

        d_{t+1} = d_t + R exp(−gamma (delta − R d_t))   [with ties: + gamma R² d_t/4, since |s(m) − 1/2| <= |m|/4],

    as long as ``R d_t < delta``, else infinity. The first step is the same for all gamma. Raises ``ValueError`` for R,
    delta or gamma not above 0 or T < 1.

    >>> limit_deviation_bound(R=2.0, delta=0.5, gamma=60.0, T=20) < 1e-11
    True
    """
    for name, value in (("R", R), ("delta", delta), ("gamma", gamma)):
        positive(name, value)
    deviation = 0.0
    for _ in range(1, whole_number("T", T, 1)):
        if R * deviation >= delta:
            return math.inf
        growth = gamma * R**2 * deviation / 4 if ties else 0.0
        deviation += R * math.exp(-gamma * (delta - R * deviation)) + growth
    return deviation


def _step(gamma: Numbers, samples: int = 1) -> np.ndarray:
    array = finite_array("gamma", gamma)
    if array.min() <= 0:
        raise ValueError(f"gamma must be above 0, got {array.min()}")
    return np.asarray(array / samples)


def _start(theta0: np.ndarray | None, step: np.ndarray) -> np.ndarray | None:
    if theta0 is None:
        return None
    theta0 = finite_array("theta0", theta0)
    if theta0.ndim == 0:
        raise ValueError(f"theta0 must have shape (..., dim), got {theta0!r}")
    return theta0 / step[..., None]


def _inverse_step(gamma: float) -> float:
    return 0.0 if gamma == math.inf else 1 / at_least("gamma", positive("gamma", gamma), 0.0)


def _margin_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Margins on all scales, one of them not above 0, many near the largest weighted mean's witness."""
    n = 6
    free = rng.normal(size=(count, n)) * 10.0 ** rng.uniform(-2, 3, (count, 1))
    witness = np.full((count, n), _WITNESS[n]) + rng.normal(size=(count, n)) * 10.0 ** rng.uniform(-6, 0, (count, 1))
    margins = np.where(rng.random((count, 1)) < 0.5, free, witness)
    margins[:, 0] = -(10.0 ** rng.uniform(-9, 3, count)) * (rng.random(count) < 0.7)
    return {"margins": margins}


_WITNESS = {n: largest_weighted_margin(n) + (2 * n - 1) / (2 * n - 2) * 1.0 for n in (6,)}


def _losses(margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    below = np.maximum(-margins, 0.0)
    return (below + np.log1p(np.exp(-np.abs(margins)))).mean(axis=1), below.mean(axis=1)


def _bounds() -> Iterator[Bound]:
    source = "derived here; certificates in the paper's tests"
    yield Bound(
        "m/(1 + e^m) is at most W(1/e)", source,
        lambda margins: (margins * logistic_weight(margins)).max(axis=1),
        lambda margins: np.full(len(margins), LARGEST_PRODUCT), _margin_sampler,
        "convexity; certified on both sides of W(1/e)",
    )  # fmt: skip
    yield Bound(
        "the weighted mean of margins is at most b_n while one is not above 0", source,
        lambda margins: (margins * logistic_weight(margins)).sum(axis=1) / logistic_weight(margins).sum(axis=1),
        lambda margins: np.full(len(margins), largest_weighted_margin(margins.shape[1])), _margin_sampler,
        "e^v >= 1 + v",
    )  # fmt: skip
    yield Bound(
        "the logistic loss is at most log 2 above the perceptron's", source,
        lambda margins: _losses(margins)[0], lambda margins: math.log(2) + _losses(margins)[1], _margin_sampler,
    )  # fmt: skip
    yield Bound(
        "the logistic loss is at least the perceptron's, and that the worst sample's n-th part", source,
        lambda margins: np.maximum(_losses(margins)[1], np.maximum(-margins, 0).max(axis=1) / margins.shape[1]),
        lambda margins: _losses(margins)[0], _margin_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
