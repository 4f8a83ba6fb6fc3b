"""Feature transformation: positives drawn apart, negatives mixed with each other, as algebra of scores.

Unit vectors q, k (a positive pair, s = <q, k>) and z_n (a queue of negatives, s_n = <q, z_n>).

    positive extrapolation    q' = l q + (1 − l) k,  k' = l k + (1 − l) q,     l = 1 + b,  b ~ Beta(alpha, alpha)
    negative interpolation    z'_n = l z_n + (1 − l) z_pi(n),                  l ~ Beta(alpha, alpha), pi a permutation

    <q', k'> = s − u (1 − s),   |q'|² = |k'|² = 1 + u (1 − s),   u = 2 l (l − 1) in [0, 4]:

the gap 1 − s is multiplied by 1 + u, and so is the part of the gradient that turns q towards k. With a weight m_c for
each dimension, ``<q', k'> = s − sum_c m_c (m_c − 1)(q_c − k_c)²``. Scores of mixed negatives are mixed scores,
``<q, z'_n> = l s_n + (1 − l) s_pi(n)``: their mean over the queue is that of s_n; their expected variance is smaller by
``E[l² + (1 − l)²] = 1 − alpha/(2 alpha + 1)``, exactly, since pi(n) is uniform and deviations of s_n and s_pi(n) have
mean product 0; and, the exponential being convex, the negatives' mass is smaller as well.

Source: Zhu, Zhao, Liu, Sun and Chen (2021), *Improving Contrastive Learning by Visualizing Feature Transformation*, for
both transformations; the algebra is derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from theory.fuzz import Bound
from theory.validation import finite_array, positive

__all__ = [
    "extrapolated_norm",
    "extrapolated_score",
    "extrapolated_score_by_dimension",
    "interpolation_variance_factor",
    "log_mean_mass",
    "mean_gap_multiplier",
    "renormalised_score",
]


def extrapolated_score(s: ArrayLike, lam: ArrayLike) -> Float[np.ndarray, "..."]:
    """``<q', k'> = s − 2 lam (lam − 1)(1 − s)``, elementwise: at most s, and at least ``5 s − 4`` for lam in [1, 2].

    ``lam`` in [0, 1) interpolates and raises the score. Raises ``ValueError`` for cosines outside [−1, 1], a negative
    ``lam``, shapes that do not broadcast, or values that are not finite.

    >>> float(extrapolated_score(0.5, 2.0))
    -1.5
    """
    score, weight = _checked(s, lam)
    return np.asarray(score - 2 * weight * (weight - 1) * (1 - score))


def extrapolated_norm(s: ArrayLike, lam: ArrayLike) -> Float[np.ndarray, "..."]:
    """``|q'| = |k'| = sqrt(1 + 2 lam (lam − 1)(1 − s))``, elementwise; at least 1 for ``lam >= 1``. Errors as above.

    >>> float(extrapolated_norm(1.0, 2.0))
    1.0
    """
    score, weight = _checked(s, lam)
    return np.asarray(np.sqrt(np.maximum(1 + 2 * weight * (weight - 1) * (1 - score), 0)))


def renormalised_score(s: ArrayLike, lam: ArrayLike) -> Float[np.ndarray, "..."]:
    """Cosine of q' and k', ``(s − u (1 − s)) / (1 + u (1 − s))`` with ``u = 2 lam (lam − 1)``, elementwise.

    Errors as ``extrapolated_score``. Opposite vectors mixed in equal parts vanish; their cosine is given as 0.

    >>> round(float(renormalised_score(0.5, 2.0)), 4)
    -0.5
    """
    norm = extrapolated_norm(s, lam)
    vanishes = norm == 0
    return np.asarray(np.where(vanishes, 0.0, extrapolated_score(s, lam)) / np.where(vanishes, 1.0, norm**2))


def extrapolated_score_by_dimension(
    q: Float[np.ndarray, "samples dim"], k: Float[np.ndarray, "samples dim"], lam: Float[np.ndarray, "samples dim"]
) -> Float[np.ndarray, " samples"]:
    """``<q', k'> = <q, k> − sum_c lam_c (lam_c − 1)(q_c − k_c)²`` for a weight of each dimension.

    Raises ``ValueError`` for shapes that differ, negative weights, or values that are not finite.
    """
    arrays = {name: finite_array(name, value, 2) for name, value in (("q", q), ("k", k), ("lam", lam))}
    for name, array in arrays.items():
        if array.shape != arrays["q"].shape:
            raise ValueError(f"{name} must have the shape of q, {arrays['q'].shape}, got {array.shape}")
    _at_least_zero("lam", arrays["lam"])
    apart = arrays["lam"] * (arrays["lam"] - 1) * (arrays["q"] - arrays["k"]) ** 2
    return (arrays["q"] * arrays["k"]).sum(1) - apart.sum(1)


def mean_gap_multiplier(alpha: float = 2.0) -> float:
    """``E[1 + 2 l (l − 1)] = 2 + (alpha + 1)/(2 alpha + 1)`` for l = 1 + Beta(alpha, alpha).

    Raises ``ValueError`` for ``alpha <= 0``. Source: moments of the Beta distribution.

    >>> round(mean_gap_multiplier(2.0), 12)
    2.6
    """
    alpha = positive("alpha", alpha)
    return 2 + (alpha + 1) / (2 * alpha + 1)


def interpolation_variance_factor(alpha: float = 1.6) -> float:
    """``E[l² + (1 − l)²] = 1 − alpha/(2 alpha + 1)`` for l ~ Beta(alpha, alpha): what remains of the scores' variance.

    Raises ``ValueError`` for ``alpha <= 0``.

    >>> round(interpolation_variance_factor(1.6), 4)
    0.619
    """
    alpha = positive("alpha", alpha)
    return 1 - alpha / (2 * alpha + 1)


def log_mean_mass(scores: Float[np.ndarray, "anchors negatives"], temperature: float) -> Float[np.ndarray, " anchors"]:
    """``log mean_n exp(s_n / temperature)``, the mass that interpolation cannot raise.

    Raises ``ValueError`` for scores that are empty or not finite, or ``temperature <= 0``.
    """
    scaled = finite_array("scores", scores, 2) / positive("temperature", temperature)
    return np.asarray(logsumexp(scaled, axis=1)) - np.log(scaled.shape[1])


def _checked(s: ArrayLike, lam: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    score, weight = finite_array("s", s), finite_array("lam", lam)
    if np.any(np.abs(score) > 1):
        raise ValueError(f"s must be cosines in [−1, 1], got values in [{score.min()}, {score.max()}]")
    _at_least_zero("lam", weight)
    try:
        np.broadcast_shapes(score.shape, weight.shape)
    except ValueError:
        raise ValueError(
            f"s and lam must broadcast against each other, got shapes {score.shape}, {weight.shape}"
        ) from None
    return score, weight


def _at_least_zero(name: str, weight: np.ndarray) -> None:
    if weight.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {weight.min()}")


def _pair_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"s": 1 - 2 * rng.beta(0.4, 0.4, count), "lam": 1 + rng.beta(0.5, 0.5, count)}


def _queue_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    scores = np.clip(rng.standard_normal((count, 6)) * rng.exponential(0.4, (count, 1)), -1, 1)
    return {
        "scores": scores,
        "order": rng.permuted(np.tile(np.arange(6), (count, 1)), axis=1).astype(np.float64),
        "lam": rng.uniform(0, 1, count),
        "temperature": 10 ** rng.uniform(-1.3, 0.3, count),
    }


def _mass(scores: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    return np.exp((scores - scores.max(1, keepdims=True)) / temperature[:, None]).mean(1)


def _mixed_mass(scores: np.ndarray, order: np.ndarray, lam: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    ranks = np.argsort(np.argsort(order, axis=1), axis=1)
    partners = np.take_along_axis(scores, ranks, 1)
    weight = np.clip(lam, 0, 1)[:, None]
    mixed = weight * scores + (1 - weight) * partners
    return np.exp((mixed - scores.max(1, keepdims=True)) / temperature[:, None]).mean(1)


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "extrapolation multiplies the gap by at most 5", "derived",
        lambda s, lam: 1 - extrapolated_score(np.clip(s, -1, 1), np.clip(lam, 1, 2)),
        lambda s, lam: 5 * (1 - np.clip(s, -1, 1)) + 1e-15, _pair_sampler,
    )  # fmt: skip
    yield Bound(
        "extrapolation never lowers the gap", "derived",
        lambda s, lam: 1 - np.clip(s, -1, 1),
        lambda s, lam: 1 - extrapolated_score(np.clip(s, -1, 1), np.clip(lam, 1, 2)) + 1e-15, _pair_sampler,
    )  # fmt: skip
    yield Bound(
        "interpolation never raises the negatives' mass", "derived (Jensen)",
        _mixed_mass, lambda scores, order, lam, temperature: _mass(scores, temperature), _queue_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
