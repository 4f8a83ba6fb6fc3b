"""How much surrogate regret a wrong decision costs: the transform T of comp-sum losses, and the exact J.

Let ``b = max p − p_j`` be the 0-1 regret of predicting j. Every p and every score vector that predicts j satisfies
``regret_tau >= J_tau(b) >= T_tau(b)``, where J is the infimum of the regret at the given b. With r = 1/(2 − tau) and
``A(b) = (((1 + b)^r + (1 − b)^r)/2)^{1/r}``

    T_tau(b) = 2^{1−tau} (1 − A(b)) / (1 − tau)                       0 <= tau < 1
               ((1 + b) log(1 + b) + (1 − b) log(1 − b)) / 2          tau = 1
               n^{1−tau} (A(b) − 1) / (tau − 1)                       1 < tau < 2
               n^{1−tau} b / (tau − 1)                                tau >= 2

J = T for tau <= 1, for two labels with tau <= 2, and at tau = 2 for b <= 1/(n − 1). Elsewhere T is loose.
There the worst scores are equal on m labels and −inf on the others, so that J minimises over m alone:

    J_tau(b) = min_m min { ‖p‖_r − m^{1−tau} : p on m labels, max p − p_j = b } / (tau − 1)        1 < tau < 2
    J_tau(b) = min_m ( a − min(m a − b, 1) m^{1−tau} ) / (tau − 1),   a = max(b, (1 + b)/n)        tau >= 2

The second is exact: for tau >= 2 the risk is concave in S, so its minimum over {S_j >= S_k} is at a vertex, which is
uniform on some m labels. That it is *not* at the stationary point S = 1/n is why local optimisers report too large
a J. In the first, every value is attained (``tight_witness``); that no other p does better is what a direct search
over (p, S) confirms, not a proof. For given p the inner infimum is exact (``pooled_regret``).

Source: Mao, Mohri and Zhong (2023), the H-consistency bound of comp-sum losses (T). J is derived here.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from theory.classification.comp_sum_risk import Values, checked_distribution, checked_tau, minimal_risk
from theory.validation import finite_array, positive, whole_number

__all__ = ["calibration_function", "pooled_regret", "tight_witness", "transform"]


def transform(beta: Values, tau: float, n: int) -> Values:
    """``T_tau(beta)``: the surrogate regret that a 0-1 regret of ``beta`` costs at least, with n labels.

    Convex and increasing from ``T(0) = 0``; relative errors are about 1e-15 down to the smallest beta, also for tau
    near 1 and 2. Raises ``ValueError`` for beta outside [0, 1], ``tau < 0`` or ``n < 2``.

    >>> round(float(transform(1.0, tau=1.0, n=10)), 6)
    0.693147
    """
    return transform_with_slope(checked_beta(beta), checked_tau(tau), whole_number("n", n, 2))[0][()]


def calibration_function(beta: Values, tau: float, n: int) -> Values:
    """``J_tau(beta)``: the infimum of the surrogate regret over all p and scores whose 0-1 regret is ``beta``.

    Where ``J = T`` this is ``transform``. Raises ``ValueError`` as ``transform``.

    >>> float(calibration_function(0.5, tau=2.0, n=3)) == float(transform(0.5, tau=2.0, n=3))
    True
    >>> round(float(calibration_function(0.3, tau=1.5, n=10) / transform(0.3, tau=1.5, n=10)), 6)
    2.236068
    """
    return _minimise_over_supports(checked_beta(beta), checked_tau(tau), whole_number("n", n, 2))[0][()]


def tight_witness(
    beta: Values, tau: float, n: int, *, depth: float = 60.0
) -> tuple[Float[np.ndarray, "*batch classes"], Float[np.ndarray, "*batch classes"]]:
    """Distributions and scores ``(..., n)`` whose regret tends to ``J_tau(beta)`` as ``depth`` grows.

    Where J = T these show that T is tight. Label 0 is predicted (ties go to the lowest index, so no perturbation is
    needed), label 1 is the most probable. Scores are 0 on the first m labels and ``−depth`` on the others.
    For tau <= 1: ``p = ((1 − beta)/2, (1 + beta)/2, 0, …)`` and m = 2. Raises ``ValueError`` as ``transform``.

    >>> p, scores = tight_witness(0.5, tau=1.0, n=3)
    >>> p.tolist(), scores.tolist()
    ([0.25, 0.75, 0.0], [0.0, 0.0, -60.0])
    """
    beta, tau = checked_beta(beta), checked_tau(tau)
    positive("depth", depth)
    _, support, top = _minimise_over_supports(beta, tau, whole_number("n", n, 2))
    index = np.arange(n)
    rest = (1 + beta - 2 * top)[..., None]
    if tau >= 2:
        # As much as possible on the labels that share the prediction: each up to the maximum, in turn.
        others = np.clip(rest - (index - 2) * top[..., None], 0, top[..., None])
    else:
        others = np.where(index < support[..., None], rest / np.maximum(support - 2, 1)[..., None], 0.0)
    p = np.where(index == 0, (top - beta)[..., None], np.where(index == 1, top[..., None], others))
    return np.maximum(p, 0.0), np.where(index < support[..., None], 0.0, -float(depth))


def pooled_regret(
    p: Float[np.ndarray, "*batch classes"], predicted: Int[np.ndarray, "*batch"] | int, tau: float
) -> Values:
    """The infimum of the surrogate regret at ``p`` over all scores that predict the label ``predicted``.

    Exact, in O(n log n). For tau < 2 the risk is convex in S, and the constraints ``S_j >= S_k`` pool j with the most
    probable other labels until no remaining one exceeds the pool's mean; the risk is then the unconstrained minimum
    at p with the pool replaced by its mean. For tau >= 2 it is concave, with the minimum at S uniform on j and the
    g − 1 most probable others. Raises ``ValueError`` as ``conditional_min``, and for a label out of range.

    >>> round(float(pooled_regret(np.array([0.7, 0.3]), 1, tau=1.0)), 6) == round(float(transform(0.4, 1.0, 2)), 6)
    True
    """
    tau = checked_tau(tau)
    p = checked_distribution(p)
    n = p.shape[-1]
    j = np.asarray(predicted)
    fits = np.issubdtype(j.dtype, np.integer) and j.size > 0 and j.min() >= 0 and j.max() < n
    if not fits or j.shape not in ((), p.shape[:-1]):
        raise ValueError(f"predicted must hold one label in 0 … {n - 1} per distribution, got {predicted!r}")
    j = np.broadcast_to(j, p.shape[:-1])[..., None]
    chosen = np.take_along_axis(p, j, axis=-1)
    others = -np.sort(-np.where(np.arange(n) == j, -1.0, p), axis=-1)[..., :-1]
    sizes = np.arange(1, n + 1)
    masses = np.concatenate([chosen, chosen + np.cumsum(others, axis=-1)], axis=-1)
    if tau >= 2:
        return ((p.max(axis=-1) - (masses * sizes ** (1 - tau)).max(axis=-1)) / (tau - 1))[()]
    following = np.concatenate([others, np.full_like(chosen, -1.0)], axis=-1)
    pooled = np.argmax(following <= masses / sizes, axis=-1)[..., None]
    mean = np.take_along_axis(masses / sizes, pooled, axis=-1)
    merged = np.concatenate([mean, np.where(sizes[:-1] <= pooled, mean, others)], axis=-1)
    return np.maximum(minimal_risk(merged, tau) - minimal_risk(p, tau), 0.0)[()]


def transform_with_slope(beta: np.ndarray, tau: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``T`` and its derivative at checked arguments.

    With ``e = r − 1`` and ``u = log(1 − b²)/2``, ``v = atanh b``, the mean of ``(1 ± b)^r`` is
    ``1 + expm1(e u) + e^{e u} (2 sinh²(e v/2) + b sinh(e v))``: its terms are of order b², with none of order b to
    cancel. Where e v > 1, b is not small, and the two powers are summed as they are, in logarithms if they are large.
    """
    if tau >= 2:
        slope = n ** (1 - tau) / (tau - 1)
        return np.asarray(slope * beta), np.full_like(beta, slope)
    scale = 2.0 ** (1 - tau) if tau < 1 else float(n) ** (1 - tau)
    excess = (tau - 1) / (2 - tau)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        upper, lower, v = np.log1p(beta), np.log1p(-beta), np.arctanh(beta)
        # Each of the two loses digits where the other keeps them.
        u = 0.5 * np.where(beta < 0.5, np.log1p(-(beta**2)), upper + lower)
        if tau == 1:
            return np.where(beta < 1, beta * v + u, np.log(2.0)), np.asarray(v)
        small = 2 * np.sinh(excess * v / 2) ** 2 + beta * np.sinh(excess * v)
        near_mean = np.log1p(np.expm1(excess * u) + np.exp(excess * u) * small)
        if excess <= 1:
            rarer = np.where(beta < 1, (1 - beta) * np.expm1(excess * lower), 0.0)
            far_mean = np.log1p(((1 + beta) * np.expm1(excess * upper) + rarer) / 2)
        else:
            far_mean = np.logaddexp((1 + excess) * upper, (1 + excess) * lower) - np.log(2.0)
        near = np.abs(excess) * v <= 1
        log_a = (2 - tau) * np.where(near, near_mean, far_mean)
        near_slope = np.exp(excess * (u - log_a)) * np.sinh(excess * v)
        # log(1 + b) − log A in closed form: their difference, times a large e, would be noise.
        excess_times_lead = (tau - 1) * (np.log(2.0) - np.log1p(np.exp(-2 * (1 + excess) * v)))
        far_slope = np.exp(excess_times_lead) * -np.expm1(-2 * excess * v) / 2
        slope = scale * np.where(near, near_slope, far_slope) / (tau - 1)
        return np.asarray(scale * np.expm1(log_a) / (tau - 1)), np.asarray(slope)


def checked_beta(beta: Values) -> np.ndarray:
    """``beta`` as a float64 array with values in [0, 1]."""
    beta = finite_array("beta", beta)
    if beta.min() < 0 or beta.max() > 1:
        raise ValueError(f"beta must be in [0, 1], got {beta.min()} … {beta.max()}")
    return beta


def _minimise_over_supports(beta: np.ndarray, tau: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(J, m, a)``: the infimum, the number of labels with equal top scores, and the largest probability."""
    if tau >= 2:
        top = np.asarray(np.maximum(beta, (1 + beta) / n))
        sizes, a, b = np.arange(1, n + 1), top[..., None], beta[..., None]
        # a − min(m a − b, 1) m^{1−tau}, with the terms of order 1 cancelled by hand in the first case.
        shared = a * (1 - sizes ** (2 - tau)) + b * sizes ** (1 - tau)
        values = np.where(sizes * b <= 1 + b, shared, a - sizes ** (1 - tau)) / (tau - 1)
        return np.asarray(values.min(axis=-1)), np.asarray(sizes[values.argmin(axis=-1)]), top
    value = transform_with_slope(beta, tau, 2)[0]
    support, top = np.full(beta.shape, 2), np.asarray((1 + beta) / 2)
    if tau <= 1:
        return value, support, top
    for m in range(3, n + 1):
        candidate, largest = _best_on_support(beta, tau, m)
        better = candidate < value
        value = np.where(better, candidate, value)
        support, top = np.where(better, m, support), np.where(better, largest, top)
    return value, support, top


def _best_on_support(beta: np.ndarray, tau: float, m: int) -> tuple[np.ndarray, np.ndarray]:
    """``min (‖p‖_r − m^{1−tau})/(tau − 1)`` over ``p = (a, a − b, c, …, c)`` on m >= 3 labels, and its a.

    Convex in a; stationary where ``c^{r−1}`` is the mean of ``a^{r−1}`` and ``(a − b)^{r−1}``, so c lies between
    them and a is the maximum.
    """
    excess = (tau - 1) / (2 - tau)
    low, high = beta, (1 + beta) / 2
    with np.errstate(divide="ignore"):
        for _ in range(60):
            a = (low + high) / 2
            c = (1 + beta - 2 * a) / (m - 2)
            mean = np.logaddexp(excess * np.log(a), excess * np.log(np.maximum(a - beta, 0.0))) - np.log(2.0)
            falling = mean < excess * np.log(c)
            low, high = np.where(falling, a, low), np.where(falling, high, a)
    log_ratio = (2 - tau) * _log_mean_power(high, beta, excess, m)
    return np.asarray(float(m) ** (1 - tau) * np.expm1(log_ratio) / (tau - 1)), high


def _log_mean_power(a: np.ndarray, beta: np.ndarray, excess: float, m: int) -> np.ndarray:
    """``log`` of the mean of ``(m p)^r`` over the m labels of ``p = (a, a − b, c, …, c)``, r = 1 + excess.

    With ``m p = 1 + x`` and x summing to 0, the mean of ``(1 + x)^r − 1 − r x`` has no term of first order to cancel.
    """
    x = np.stack([m * a - 1, m * (a - beta) - 1], axis=-1)
    x = np.maximum(np.concatenate([x, -x.sum(axis=-1, keepdims=True) / (m - 2)], axis=-1), -1.0)
    shares = np.array([1.0, 1.0, m - 2]) / m
    r = 1 + excess
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = np.log1p(x)
        direct = np.where(x > -1, (1 + x) * np.expm1(excess * logs), 0.0) - excess * x
        series = r * excess / 2 * x**2 * (1 + (r - 2) / 3 * x * (1 + (r - 3) / 4 * x * (1 + (r - 4) / 5 * x)))
        small = np.log1p((shares * np.where(r * np.abs(x) < 1e-3, series, direct)).sum(axis=-1))
        if excess <= 1:
            return np.asarray(small)
        return np.where(r * np.abs(x).max(axis=-1) <= 1, small, logsumexp(r * logs, b=shares, axis=-1))
