"""Comp-sum losses and what they cost at one point: conditional risk, its infimum, and regrets.

Scores ``h`` over n labels, ``S = softmax(h)``, label distribution ``p`` at the point. For ``tau >= 0``

    Phi_tau(u) = ((1 + u)^{1−tau} − 1) / (1 − tau),        Phi_1(u) = log(1 + u)
    l_tau(h, y) = Phi_tau( sum_{k≠y} exp(h_k − h_y) ) = (S_y^{tau−1} − 1) / (1 − tau),    l_1 = −log S_y

tau = 0 is the sum-exponential loss, 1 cross-entropy, 1 + q generalised cross-entropy, 2 the mean
absolute error 1 − S_y. With ``r = 1/(2 − tau)`` and scores free to take any value,

    inf_h sum_y p_y l_tau(h, y) = (‖p‖_r − 1) / (1 − tau)     for tau < 2 (entropy at tau = 1), at S_y ∝ p_y^r,
                                  (1 − max p) / (tau − 1)     for tau >= 2, approached at one-hot S.

Source: Mao, Mohri and Zhong (2023), *Cross-Entropy Loss Functions: Theoretical Analysis and
Applications*; the infima are re-derived, the one for bounded scores is derived here.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr, log_softmax, logsumexp

from theory.validation import at_least, finite_array, positive

__all__ = [
    "bounded_conditional_min",
    "comp_sum_loss",
    "comp_sum_phi",
    "conditional_min",
    "conditional_regret",
    "error_gap",
]

Distributions = Float[np.ndarray, "*#batch classes"]
Values = Float[np.ndarray, "..."] | float


def comp_sum_loss(scores: Distributions, y: Int[np.ndarray, "*#batch"] | int, tau: float) -> Values:
    """``l_tau(h, y)`` of every instance; scores ``(..., n)`` and labels ``(...)`` broadcast.

    In [0, inf) for ``tau <= 1`` and [0, 1/(tau − 1)] above; unchanged by a shift of all scores, and
    non-increasing in tau. For ``tau < 1`` it grows like ``S_y^{tau−1}`` and may overflow to infinity.
    Raises ``ValueError`` for ``tau < 0``, fewer than two labels, labels outside ``0 … n − 1``, or
    scores that are not finite.

    >>> comp_sum_loss(np.array([0.0, 0.0]), 1, tau=2.0)
    np.float64(0.5)
    """
    tau = checked_tau(tau)
    h = checked_scores(scores)
    labels = np.asarray(y)
    if not np.issubdtype(labels.dtype, np.integer) or labels.size == 0:
        raise ValueError(f"y must hold whole numbers, got {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= h.shape[-1]:
        raise ValueError(f"y must be in 0 … {h.shape[-1] - 1}, got {labels.min()} … {labels.max()}")
    try:
        batch = np.broadcast_shapes(h.shape[:-1], labels.shape)
    except ValueError:
        raise ValueError(f"scores and y must broadcast, got shapes {h.shape} and {labels.shape}") from None
    log_s = np.broadcast_to(log_softmax(h, axis=-1), (*batch, h.shape[-1]))
    chosen = np.take_along_axis(log_s, np.broadcast_to(labels, batch)[..., None], axis=-1)[..., 0]
    return _loss_of_log_probability(chosen, tau)[()]


def comp_sum_phi(u: Values, tau: float) -> Values:
    """``Phi_tau(u)``: concave, increasing, ``Phi(0) = 0``, ``Phi' <= 1``; ``l_tau = Phi_tau(l_0)``.

    Raises ``ValueError`` for ``tau < 0``, or ``u`` negative or not finite.

    >>> round(float(comp_sum_phi(1.0, tau=1.0)), 4)
    0.6931
    """
    tau = checked_tau(tau)
    u = finite_array("u", u)
    if u.min() < 0:
        raise ValueError(f"u must not be negative, got {u.min()}")
    return _loss_of_log_probability(-np.log1p(u), tau)[()]


def conditional_min(p: Float[np.ndarray, "*batch classes"], tau: float) -> Values:
    """The infimum over all scores of ``sum_y p_y l_tau(h, y)``, for distributions ``(..., n)``.

    Holds for hypothesis sets that are symmetric and complete (every score reaches every real number).
    Raises ``ValueError`` for ``tau < 0`` or rows that are not distributions over n >= 2 labels (sums
    are accepted within 1e-6 and normalised).

    >>> conditional_min(np.array([0.5, 0.5, 0.0]), tau=2.0)
    np.float64(0.5)
    """
    tau = checked_tau(tau)
    return minimal_risk(checked_distribution(p), tau)[()]


def conditional_regret(p: Distributions, scores: Distributions, tau: float) -> Values:
    """``sum_y p_y l_tau(h, y) − inf``, the surrogate's regret at one point; p and scores broadcast.

    A label of probability 0 costs nothing, however small its S. Absolute rounding is about 1e-16 times
    the risk. Raises ``ValueError`` as ``conditional_min`` and ``comp_sum_loss``.

    >>> round(float(conditional_regret(np.array([1.0, 0.0]), np.zeros(2), tau=1.0)), 4)
    0.6931
    """
    tau = checked_tau(tau)
    p, h = checked_pair(p, scores)
    return (conditional_risk(p, h, tau) - minimal_risk(p, tau))[()]


def error_gap(p: Distributions, scores: Distributions) -> Values:
    """``max p − p_j``, the 0-1 regret of predicting the label j with the largest score.

    Tied scores count with the least probable of the tied labels: what holds for this gap holds for every
    way of breaking ties. Raises ``ValueError`` as ``conditional_regret``.

    >>> error_gap(np.array([0.25, 0.75]), np.zeros(2))
    np.float64(0.5)
    """
    p, h = checked_pair(p, scores)
    top = h == h.max(axis=-1, keepdims=True)
    return (p.max(axis=-1) - np.where(top, p, np.inf).min(axis=-1))[()]


def bounded_conditional_min(p: Float[np.ndarray, "*batch classes"], tau: float, score_bound: float) -> Values:
    """The infimum of the conditional risk over scores in ``[−B, B]^n``: cosine logits, clipped weights.

    Such scores are not complete, so the consistency bound does not apply to them: at ``p = (1, 0)`` and
    h = 0 the regret is ``log 2 − log(1 + e^{−2B})`` for tau = 1, below ``T_1(1) = log 2``.

    For tau < 2 the optimum is ``h = clip(r log p − mu, −B, B)``; the derivative in mu has the sign of
    ``(sum_k exp clip(r log p_k, mu ± B))^{2−tau} − sum_y p_y S_y^{tau−1}``, which changes once, from
    − to +. For tau >= 2 the risk is concave in S and the most probable g labels have +B, the others −B.

    Raises ``ValueError`` as ``conditional_min``, and for ``score_bound <= 0``.

    >>> round(float(bounded_conditional_min(np.array([1.0, 0.0]), 1.0, 0.5) - np.log1p(np.exp(-1.0))), 12)
    0.0
    """
    tau = checked_tau(tau)
    p = checked_distribution(p)
    bound = positive("score_bound", score_bound)
    if tau >= 2:
        falling = -np.sort(-p, axis=-1)
        n = p.shape[-1]
        vertices = np.where(np.tri(n, dtype=bool), bound, -bound)
        return conditional_risk(falling[..., None, :], vertices, tau).min(axis=-1)[()]
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    log_power = log_p / (2 - tau)
    finite = np.isfinite(log_power)
    low = np.where(finite, log_power, np.inf).min(axis=-1) - bound
    high = log_power.max(axis=-1) + bound
    for _ in range(100):
        mu = (low + high) / 2
        clipped = np.clip(log_power - mu[..., None], -bound, bound)
        log_s = log_softmax(clipped, axis=-1)
        log_normaliser = (2 - tau) * (mu + logsumexp(clipped, axis=-1))
        rising = log_normaliser > logsumexp(log_p + (tau - 1) * log_s, axis=-1)
        low, high = np.where(rising, low, mu), np.where(rising, mu, high)
    return conditional_risk(p, np.clip(log_power - high[..., None], -bound, bound), tau)[()]


def conditional_risk(p: np.ndarray, h: np.ndarray, tau: float) -> np.ndarray:
    """``sum_y p_y l_tau(h, y)`` of checked arrays, with ``0 · inf = 0``."""
    losses = _loss_of_log_probability(log_softmax(h, axis=-1), tau)
    costs = np.multiply(p, losses, out=np.zeros(np.broadcast_shapes(p.shape, h.shape)), where=p > 0)
    return np.asarray(costs.sum(axis=-1))


def minimal_risk(p: np.ndarray, tau: float) -> np.ndarray:
    """``conditional_min`` of checked arrays."""
    if tau == 1:
        return np.asarray(entr(p).sum(axis=-1))
    if tau >= 2:
        return np.asarray((1 - p.max(axis=-1)) / (tau - 1))
    return np.asarray(np.expm1(_log_norm(p, tau)) / (1 - tau))


def checked_tau(tau: float) -> float:
    """``tau`` if it is a finite number of at least 0."""
    return at_least("tau", tau, 0.0)


def checked_distribution(p: np.ndarray, name: str = "p") -> np.ndarray:
    """``p`` as float64 with rows that sum to 1; rows off by more than 1e-6 are refused."""
    p = finite_array(name, p)
    if p.ndim == 0 or p.shape[-1] < 2:
        raise ValueError(f"{name} must have at least 2 classes along its last axis, got shape {p.shape}")
    if p.min() < 0:
        raise ValueError(f"{name} must not be negative, got {p.min()}")
    sums = p.sum(axis=-1, keepdims=True)
    worst = sums.flat[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > 1e-6:
        raise ValueError(f"{name} must sum to 1 along its last axis, got a sum of {worst}")
    return p / sums


def checked_scores(scores: np.ndarray) -> np.ndarray:
    """``scores`` as float64 with at least two classes along the last axis."""
    h = finite_array("scores", scores)
    if h.ndim == 0 or h.shape[-1] < 2:
        raise ValueError(f"scores must have at least 2 classes along their last axis, got shape {h.shape}")
    return h


def checked_pair(p: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distributions and scores over the same labels, with batches that broadcast."""
    p, h = checked_distribution(p), checked_scores(scores)
    try:
        if p.shape[-1] != h.shape[-1]:
            raise ValueError
        np.broadcast_shapes(p.shape, h.shape)
    except ValueError:
        raise ValueError(
            f"p and scores must have as many classes and broadcast, got shapes {p.shape} and {h.shape}"
        ) from None
    return p, h


def _loss_of_log_probability(log_s: np.ndarray | np.floating, tau: float) -> np.ndarray:
    """``l_tau`` as a function of ``log S_y``; expm1 keeps every digit as tau tends to 1."""
    if tau == 1:
        return np.asarray(-log_s)
    with np.errstate(over="ignore"):
        return np.asarray(np.expm1((tau - 1) * log_s) / (1 - tau))


def _log_norm(p: np.ndarray, tau: float) -> Values:
    """``log ‖p‖_r``, r = 1/(2 − tau), of distributions; exact to rounding for tau near 1 and near 2."""
    excess = (tau - 1) / (2 - tau)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = np.log(p)
        if excess > 1:
            return (2 - tau) * logsumexp((1 + excess) * log_p, axis=-1)
        # sum p^r = 1 + sum p (p^{r−1} − 1): no cancellation as r tends to 1.
        return (2 - tau) * np.log1p(np.where(p > 0, p * np.expm1(excess * log_p), 0.0).sum(axis=-1))
