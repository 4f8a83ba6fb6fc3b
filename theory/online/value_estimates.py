"""Estimates of a linear value function from one trajectory: the standard one, and one that is never very negative.

In layer h the learner meets (s_h, a_h), then loses ``L = loss_h + … + loss_{H−1}`` in [0, H_h], ``H_h = H − h``. With
``x = phi(s, a)ᵀ Sd phi(s_h, a_h)`` and ``Sd = (gamma I + Sigma)⁻¹``, Sigma the mean of ``phi phiᵀ`` under the policy,

    standard           Q^(s, a) = x L                                                    as low as −H_h/gamma
    magnitude-reduced  Q~(s, a) = x L − H_h (x)₋ + m(s, a),      (x)₋ = min(x, 0)
                       m(s, a) = H_h E (x)₋                                              at least −H_h/sqrt(gamma)

The two have the same mean, whatever L depends on: the added terms have opposite means. ``x L − H_h (x)₋ >= 0``, so
``Q~ >= m``, and ``m >= −H_h E|x| >= −H_h sqrt(phiᵀ Sd Sigma Sd phi) >= −H_h |phi|_Sd >= −H_h/sqrt(gamma)``.

**Second moment.** It is not larger than the standard one's bound ``H_h² E x²``, which is at most ``H_h² |phi|²_Sd``
(4 H² |phi|² is what squaring the sum gives): with n = E|(x)₋| and some l in [0, 1] each value is ``H_h (|x| l − n)``,
and for every such l ``(|x| l − n)² <= x² − 2n(|x| − n)``, since the left is convex in l and both ends obey it (at
l = 0 the difference is ``(|x| − n)²``, at l = 1 it is n²). The mean of the right is ``E x² − 2 n E (x)₊ <= E x²``.

The inverse of gamma I + Sigma from samples is in ``theory.online.inverse_covariance``.

Source: Dai, Luo, Wei and Zimmert (2023), *Refined Regret for Adversarial MDPs with Linear Function Approximation*, for
the magnitude-reduced estimator; the second moment is derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.validation import finite_array, positive, probabilities, whole_number

__all__ = ["linear_q_estimate", "magnitude_reduced_estimate", "reduction_mean", "regularized_inverse"]

Features = Float[np.ndarray, "*batch pairs dim"]
Matrix = Float[np.ndarray, "*batch dim dim"]


def linear_q_estimate(
    phi: Features,
    inverse: Matrix,
    visited: Float[np.ndarray, "*batch dim"],
    tail_loss: Float[np.ndarray, "*batch"] | float,
) -> Float[np.ndarray, "*batch pairs"]:
    """``phi(s, a)ᵀ Sd phi(s_h, a_h) L`` for every pair (s, a), from the pair ``visited`` and the loss from there on.

    Its mean is ``phiᵀ Sd Sigma theta``, off the value ``phiᵀ theta`` by ``−gamma phiᵀ Sd theta``. Raises ``ValueError``
    for arrays that are not finite or do not fit, or a negative loss.

    >>> linear_q_estimate(np.eye(2), np.diag([2.0, 3.0]), np.array([0.5, 0.5]), 2.0).tolist()
    [2.0, 3.0]
    """
    x, tail_loss, _ = _similarities(phi, inverse, visited, tail_loss)
    return x * tail_loss[..., None]


def magnitude_reduced_estimate(
    phi: Features,
    inverse: Matrix,
    visited: Float[np.ndarray, "*batch dim"],
    tail_loss: Float[np.ndarray, "*batch"] | float,
    occupancy: Float[np.ndarray, "*batch pairs"],
    horizon: int,
) -> Float[np.ndarray, "*batch pairs"]:
    """``x L − H_h (x)₋ + m(s, a)`` with ``H_h = horizon``, the number of layers from this one on.

    ``occupancy`` is the chance of each pair in this layer, which m averages over. Raises ``ValueError`` as
    ``linear_q_estimate``, for a loss above the horizon, or an occupancy that is no distribution.

    >>> estimate = magnitude_reduced_estimate(
    ...     np.array([[1.0], [-1.0]]), np.array([[4.0]]), np.array([1.0]), 1.0, np.array([0.5, 0.5]), 1)
    >>> estimate.tolist()
    [2.0, -2.0]
    """
    x, tail_loss, features = _similarities(phi, inverse, visited, tail_loss)
    whole_number("horizon", horizon, 1)
    if tail_loss.max() > horizon * (1 + 1e-12):
        raise ValueError(f"tail_loss must be at most the horizon {horizon}, got {tail_loss.max()}")
    mean = reduction_mean(features, inverse, occupancy)
    return x * tail_loss[..., None] + horizon * (mean - np.minimum(x, 0.0))


def reduction_mean(
    phi: Features, inverse: Matrix, occupancy: Float[np.ndarray, "*batch pairs"]
) -> Float[np.ndarray, "*batch pairs"]:
    """``E (phi(s, a)ᵀ Sd phi(s', a'))₋`` over (s', a') from the occupancy: m for a horizon of 1, never above 0.

    Raises ``ValueError`` for arrays that are not finite or do not fit, or an occupancy that is no distribution.

    >>> reduction_mean(np.array([[1.0], [-1.0]]), np.array([[4.0]]), np.array([0.75, 0.25])).tolist()
    [-1.0, -3.0]
    """
    phi, inverse = _checked(phi, inverse)
    occupancy = probabilities("occupancy", occupancy)
    if occupancy.shape != phi.shape[:-1]:
        raise ValueError(f"occupancy must have shape {phi.shape[:-1]}, one entry per row of phi, got {occupancy.shape}")
    kernel = phi @ inverse @ np.swapaxes(phi, -1, -2)
    return (np.minimum(kernel, 0.0) @ occupancy[..., None])[..., 0]


def regularized_inverse(phi: Features, occupancy: Float[np.ndarray, "*batch pairs"], gamma: float) -> Matrix:
    """``(gamma I + sum_i w_i phi_i phi_iᵀ)⁻¹``, the exact Sd of known transitions.

    Raises ``ValueError`` for arrays that are not finite or do not fit, or a gamma not above 0.

    >>> regularized_inverse(np.eye(2), np.array([0.5, 0.5]), 0.5).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    phi, occupancy = finite_array("phi", phi), probabilities("occupancy", occupancy)
    if phi.ndim < 2 or occupancy.shape != phi.shape[:-1]:
        raise ValueError(f"occupancy must have one entry per row of phi, got {occupancy.shape} for {phi.shape}")
    covariance = np.swapaxes(phi, -1, -2) @ (occupancy[..., None] * phi)
    return np.linalg.inv(positive("gamma", gamma) * np.eye(phi.shape[-1]) + covariance)


def _similarities(
    phi: np.ndarray, inverse: np.ndarray, visited: np.ndarray, tail_loss: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x of every pair, the loss as an array, the features."""
    phi, inverse = _checked(phi, inverse)
    visited, tail_loss = finite_array("visited", visited), finite_array("tail_loss", tail_loss)
    if visited.shape != phi.shape[:-2] + phi.shape[-1:]:
        raise ValueError(f"visited must have shape {phi.shape[:-2] + phi.shape[-1:]}, got {visited.shape}")
    if tail_loss.shape not in ((), phi.shape[:-2]) or tail_loss.min() < 0:
        raise ValueError(f"tail_loss must be at least 0 and of shape {phi.shape[:-2]}, got {tail_loss!r:.60}")
    return (phi @ inverse @ visited[..., None])[..., 0], tail_loss, phi


def _checked(phi: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    phi, inverse = finite_array("phi", phi), finite_array("inverse", inverse)
    if phi.ndim < 2 or inverse.shape != (*phi.shape[:-2], phi.shape[-1], phi.shape[-1]):
        raise ValueError(f"inverse must be square with a row per feature of phi {phi.shape}, got {inverse.shape}")
    return phi, inverse


def random_estimates(rng: np.random.Generator, count: int, pairs: int = 6, dim: int = 3) -> dict[str, np.ndarray]:
    """Features in the unit ball, occupancies down to 10⁻⁶, gammas, and tail losses in [0, 1] for each visited pair."""
    direction = rng.normal(size=(count, pairs, dim))
    radius = rng.random((count, pairs, 1)) ** rng.choice([0.1, 1.0], (count, 1, 1))
    return {
        "phi": direction / np.linalg.norm(direction, axis=-1, keepdims=True) * radius,
        "weights": 10.0 ** -rng.uniform(0, 6, (count, pairs)),
        "gamma": 10.0 ** -rng.uniform(0, 4, count),
        "loss": np.round(rng.random((count, pairs))) if rng.random() < 0.5 else rng.random((count, pairs)),
    }


def _moments(
    phi: np.ndarray, weights: np.ndarray, gamma: np.ndarray, loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For the first pair, with a horizon of 1: estimates by visited pair, occupancy, (x)₋ mean, |phi|²_Sd."""
    w = weights / weights.sum(axis=1, keepdims=True)
    sigma = np.einsum("ni,nij,nik->njk", w, phi, phi)
    inverse = np.linalg.inv(gamma[:, None, None] * np.eye(phi.shape[-1]) + sigma)
    x = np.einsum("nj,njk,nik->ni", phi[:, 0], inverse, phi)
    mean = (w * np.minimum(x, 0)).sum(axis=1)
    estimate = x * loss - np.minimum(x, 0) + mean[:, None]
    return estimate, w, mean, np.einsum("nj,njk,nk->n", phi[:, 0], inverse, phi[:, 0])


def _second_moment(**sample: np.ndarray) -> np.ndarray:
    estimate, w, _, _ = _moments(**sample)
    return (w * estimate**2).sum(axis=1)


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "the magnitude-reduced estimate is at least −H |phi|_Sd", "magnitude-reduced estimator",
        lambda **sample: -_moments(**sample)[0].min(axis=1), lambda **sample: np.sqrt(_moments(**sample)[3]),
        random_estimates, "E|x| <= sqrt(E x²)",
    )  # fmt: skip
    yield Bound(
        "its second moment is at most H² |phi|²_Sd", "derived here",
        _second_moment, lambda **sample: _moments(**sample)[3], random_estimates, "convexity in the loss",
    )  # fmt: skip
    yield Bound(
        "|phi|_Sd is at most 1/sqrt(gamma)", "magnitude-reduced estimator",
        lambda **sample: np.sqrt(_moments(**sample)[3]), lambda **sample: sample["gamma"] ** -0.5, random_estimates,
    )  # fmt: skip


BOUNDS = list(_bounds())
