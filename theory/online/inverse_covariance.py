"""The inverse of a regularised covariance from samples: directly, or by matrix geometric resampling.

Policy optimisation with linear function approximation needs ``(gamma I + Sigma)⁻¹``, ``Sigma = E phi phiᵀ``. Matrix
geometric resampling (MGR) sums a Neumann series of products of single-sample matrices,

    A_0 = I,   A_i = A_{i−1} (I − c (gamma I + phi_i phi_iᵀ)),   Sd^ = c (A_0 + … + A_N),   averaged over M repeats,

whose mean is ``(I − (I − c(gamma I + Sigma))^{N+1}) (gamma I + Sigma)⁻¹``: accuracy eps takes
``N >= (1/(c gamma)) ln(1/(eps gamma))`` samples, M times. The inverse of the sample covariance,

    Sd^ = (gamma I + (1/n) sum_i phi_i phi_iᵀ)⁻¹,

has ``|(gamma I + Sigma)^½ Sd^ (gamma I + Sigma)^½ − I|`` small from about d/gamma samples in all.

    regularized_inverse_covariance(samples, gamma)
    matrix_geometric_resampling(sampler, gamma, N, M)          # sampler(k): k fresh samples, one per row
    multiplicative_error(estimate, Sigma, gamma)

Source: Neu and Olkhovskaya (2020), *Efficient and Robust Algorithms for Adversarial Linear Contextual Bandits*, for
MGR; Dai, Luo, Wei and Zimmert (2023), *Refined Regret for Adversarial MDPs with Linear Function Approximation*, for
estimating the inverse directly; the mean with its remainder is derived here.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from theory.validation import finite_array, in_range, positive, whole_number

__all__ = [
    "matrix_geometric_resampling",
    "multiplicative_error",
    "regularized_inverse_covariance",
    "resampling_length",
    "resampling_mean",
]

Square = Float[np.ndarray, "*batch dim dim"]


def regularized_inverse_covariance(samples: Float[np.ndarray, "*batch samples dim"], gamma: float) -> Square:
    """``(gamma I + (1/n) sum_i phi_i phi_iᵀ)⁻¹``. Raises ``ValueError`` for samples that are empty or not finite or a
    gamma not above 0.

    >>> regularized_inverse_covariance(np.array([[1.0, 0.0], [0.0, 1.0]]), 0.5).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    samples = finite_array("samples", samples)
    if samples.ndim < 2:
        raise ValueError(f"samples must have shape (..., samples, dim), got {samples.shape}")
    covariance = np.swapaxes(samples, -1, -2) @ samples / samples.shape[-2]
    return np.linalg.inv(positive("gamma", gamma) * np.eye(samples.shape[-1]) + covariance)


def matrix_geometric_resampling(
    sampler: Callable[[int], Float[np.ndarray, "samples dim"]], gamma: float, N: int, M: int, c: float = 0.5
) -> Float[np.ndarray, "dim dim"]:
    """The average of M truncated series of N products each; draws N M samples, M at a time.

    Needs samples with ``|phi| <= 1`` and ``c (gamma + 1) <= 1``, so that every factor has norm at most 1. The result
    is in general not symmetric. Raises ``ValueError`` for a gamma or c not above 0 or too large, N or M below 1, or
    samples of the wrong shape, that are not finite, or longer than 1.

    >>> matrix_geometric_resampling(lambda k: np.ones((k, 1)), gamma=1.0, N=3, M=1).tolist()
    [[0.5]]
    """
    gamma, c = _checked_step(gamma, c)
    whole_number("N", N, 1)
    whole_number("M", M, 1)
    samples = _drawn(sampler, M)
    product = np.broadcast_to(np.eye(samples.shape[1]), (M, samples.shape[1], samples.shape[1]))
    total = product.copy()
    for i in range(N):
        if i:
            samples = _drawn(sampler, M)
        projected = (product @ samples[..., None]) * samples[:, None, :]
        product = (1 - c * gamma) * product - c * projected
        total += product
    return c * total.mean(axis=0)


def resampling_mean(Sigma: Square, gamma: float, N: int, c: float = 0.5) -> Square:
    """What MGR estimates: ``(I − (I − c(gamma I + Sigma))^{N+1}) (gamma I + Sigma)⁻¹``.

    Raises ``ValueError`` as ``matrix_geometric_resampling``, or for a Sigma that is not square.

    >>> resampling_mean(np.array([[1.0]]), gamma=1.0, N=5).tolist()
    [[0.5]]
    """
    gamma, c = _checked_step(gamma, c)
    regularized = gamma * np.eye(_square("Sigma", Sigma).shape[-1]) + Sigma
    whole_number("N", N, 1)
    left_over = np.linalg.matrix_power(np.eye(regularized.shape[-1]) - c * regularized, N + 1)
    return np.linalg.solve(regularized, np.eye(regularized.shape[-1]) - left_over)


def resampling_length(gamma: float, accuracy: float, c: float = 0.5) -> int:
    """``N = ceil(ln(1/(accuracy · gamma))/(c gamma))``: then the mean is within ``accuracy`` of the inverse.

    ``(1 − c gamma)^{N+1}/gamma <= accuracy``. Raises ``ValueError`` for a gamma or c not above 0 or too large, or an
    accuracy not in (0, 1).

    >>> resampling_length(0.1, 0.1)
    93
    """
    gamma, c = _checked_step(gamma, c)
    if not 0 < positive("accuracy", accuracy) < 1:
        raise ValueError(f"accuracy must be in (0, 1), got {accuracy!r}")
    return math.ceil(-math.log(accuracy * gamma) / (c * gamma))


def multiplicative_error(estimate: Square, Sigma: Square, gamma: float) -> Float[np.ndarray, "*batch"]:
    """``|(gamma I + Sigma)^½ Sd^ (gamma I + Sigma)^½ − I|`` in spectral norm: 0 for the exact inverse.

    Raises ``ValueError`` for matrices that are not square, not finite, or do not fit, or a gamma not above 0.

    >>> float(multiplicative_error(np.array([[1.0]]), np.array([[0.5]]), 0.5))
    0.0
    """
    estimate, Sigma = _square("estimate", estimate), _square("Sigma", Sigma)
    if estimate.shape[-1] != Sigma.shape[-1]:
        raise ValueError(f"estimate must have the size of Sigma {Sigma.shape}, got {estimate.shape}")
    values, vectors = np.linalg.eigh(Sigma)
    root = (vectors * np.sqrt(np.maximum(values, 0.0) + positive("gamma", gamma))[..., None, :]) @ np.swapaxes(
        vectors, -1, -2
    )
    return np.asarray(np.linalg.norm(root @ estimate @ root - np.eye(Sigma.shape[-1]), 2, axis=(-2, -1)))


def _checked_step(gamma: float, c: float) -> tuple[float, float]:
    gamma, c = positive("gamma", gamma), positive("c", c)
    in_range("gamma", gamma, 0.0, 1.0)
    if c * (1 + gamma) > 1:
        raise ValueError(f"c must be at most 1/(1 + gamma), got c = {c} with gamma = {gamma}")
    return gamma, c


def _square(name: str, value: np.ndarray) -> np.ndarray:
    array = finite_array(name, value)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"{name} must be square, got shape {array.shape}")
    return array


def _drawn(sampler: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    samples = finite_array("sampler(M)", sampler(count), 2)
    if len(samples) != count or np.square(samples).sum(axis=1).max() > 1 + 1e-9:
        raise ValueError(f"sampler must return {count} rows of norm at most 1, got shape {samples.shape}")
    return samples
