"""Distances between centred Gaussians: Hellinger exactly, total variation by Monte Carlo and between its bounds.

With densities p and q, and ``lambda_i`` the eigenvalues of ``S1^{-1} S2``,

    H²(p, q) = ½ ∫ (√p − √q)² = 1 − ∫ √(p q)          in [0, 1]
             = 1 − det(S1)^{1/4} det(S2)^{1/4} / det((S1 + S2)/2)^{1/2}
             = 1 − prod_i (1 + (lambda_i − 1)²/(4 lambda_i))^{−1/4}

    TV(p, q) = ½ ∫ |p − q|,         H² <= TV <= H √(2 − H²) <= √2 H.

The product form is exact for nearly equal matrices too: it is computed from S2 − S1, so that a distance of 1e-12 has as
many digits as one of 0.5, where the determinants would leave rounding alone.

    gaussian_hellinger2(S1, S2)                         # leading axes are independent pairs
    gaussian_total_variation(S1, S2, rng)
    total_variation_range(gaussian_hellinger2(S1, S2))

Source: standard; used as in Ge, Tang, Fan and Jin (2024), *On the Provable Advantage of Unsupervised Pretraining*,
whose informative condition is stated for total variation, and in a weak form for the Hellinger distance.
"""

import numpy as np
from jaxtyping import Float

from theory.validation import finite_array, whole_number

__all__ = ["gaussian_hellinger2", "gaussian_total_variation", "total_variation_range"]

Covariances = Float[np.ndarray, "*batch d d"]
# Leading axes need not be those of the first argument: they broadcast.
Others = Float[np.ndarray, "*others d d"]
Values = Float[np.ndarray, "..."] | float


def gaussian_hellinger2(S1: Covariances, S2: Others) -> Values:
    """Squared Hellinger distance of ``N(0, S1)`` and ``N(0, S2)``; leading axes broadcast.

    Raises ``ValueError`` for matrices that are not square, symmetric and positive definite, or of different sizes.

    >>> round(float(gaussian_hellinger2(np.eye(2), 4 * np.eye(2))), 6)
    0.2
    """
    S1, S2 = _checked_pair(S1, S2)
    apart = _relative_difference(S1, S2)
    near = np.abs(apart).max(axis=-1) < 0.5
    # 1 + (lambda − 1)²/(4 lambda), with an argument that stays above 0 where it is not used.
    small = np.where(near[..., None], apart, 0.0)
    log_affinity = np.where(
        near,
        -0.25 * np.log1p(small**2 / (4 * (1 + small))).sum(axis=-1),
        (_log_det(S1) + _log_det(S2)) / 4 - _log_det((S1 + S2) / 2) / 2,
    )
    return (-np.expm1(np.minimum(log_affinity, 0.0)))[()]


def gaussian_total_variation(S1: Covariances, S2: Others, rng: np.random.Generator, draws: int = 20_000) -> Values:
    """Monte Carlo estimate of the total variation distance of ``N(0, S1)`` and ``N(0, S2)``.

    ``TV = E |tanh(½ log(p/q))|`` under the equal mixture of both: a mean of values in [0, 1], which needs no rare
    events. All pairs share the same ``2 draws`` normal vectors, half of them mapped to either law; the standard error
    is at most ``½/√draws``. Raises ``ValueError`` as ``gaussian_hellinger2``, for ``draws < 1`` or no random Generator.

    >>> estimate = gaussian_total_variation(np.eye(1), 4 * np.eye(1), np.random.default_rng(0))
    >>> bool(abs(estimate - 0.3220) < 0.01)
    True
    """
    S1, S2 = _checked_pair(S1, S2)
    draws = whole_number("draws", draws, 1)
    relative = 1 + _relative_difference(S1, S2)
    squares = checked_generator(rng).standard_normal((2, draws, relative.shape[-1])) ** 2
    constant = 0.5 * np.log(relative).sum(axis=-1)[..., None]
    total = np.zeros(relative.shape[:-1])
    # log(p/q) at x = S1^{1/2} w, drawn from p, and at x = S2^{1/2} w, drawn from q.
    for w2, slope in zip(squares, (1 / relative - 1, 1 - relative), strict=True):
        total += np.abs(np.tanh(0.5 * (constant + 0.5 * slope @ w2.T))).mean(axis=-1)
    return (total / 2)[()]


def total_variation_range(hellinger2: Values) -> tuple[Values, Values]:
    """The sharpest bounds on the total variation that the Hellinger distance alone gives: ``(H², H √(2 − H²))``.

    Raises ``ValueError`` for values outside [0, 1].

    >>> low, high = total_variation_range(0.2)
    >>> float(low), round(float(high), 4)
    (0.2, 0.6)
    """
    h2 = finite_array("hellinger2", hellinger2)
    if h2.min() < 0 or h2.max() > 1:
        raise ValueError(f"hellinger2 must be in [0, 1], got {h2.min()} … {h2.max()}")
    return h2[()], np.sqrt(h2 * (2 - h2))[()]


def checked_covariance(name: str, value: object) -> np.ndarray:
    """``value`` as positive definite matrices ``(..., d, d)``, made exactly symmetric."""
    matrix = finite_array(name, value)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"{name} must have shape (..., d, d), got {matrix.shape}")
    scale = np.abs(matrix).max()
    if np.abs(matrix - np.swapaxes(matrix, -1, -2)).max() > 1e-9 * scale:
        raise ValueError(f"{name} must be symmetric, got {matrix.reshape(-1, *matrix.shape[-2:])[0]!r:.60}")
    symmetric = (matrix + np.swapaxes(matrix, -1, -2)) / 2
    least = float(np.linalg.eigvalsh(symmetric)[..., 0].min())
    if least <= 0:
        raise ValueError(f"{name} must be positive definite, got a least eigenvalue of {least:g}")
    return symmetric


def checked_generator(rng: object) -> np.random.Generator:
    """``rng`` if it is a numpy random Generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy random Generator, got {rng!r:.60}")
    return rng


def _checked_pair(S1: np.ndarray, S2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    S1, S2 = checked_covariance("S1", S1), checked_covariance("S2", S2)
    if S1.shape[-1] != S2.shape[-1]:
        raise ValueError(f"S2 must be of the size of S1, {S1.shape[-1]}, got {S2.shape[-1]}")
    return S1, S2


def _relative_difference(S1: np.ndarray, S2: np.ndarray) -> np.ndarray:
    """``lambda_i − 1`` for the eigenvalues of ``S1^{-1} S2``, above −1 up to rounding."""
    factor = np.linalg.cholesky(S1)
    half = np.linalg.solve(factor, S2 - S1)
    whole = np.linalg.solve(factor, np.swapaxes(half, -1, -2))
    tiny = np.finfo(np.float64).tiny
    return np.maximum(np.linalg.eigvalsh((whole + np.swapaxes(whole, -1, -2)) / 2), tiny - 1)


def _log_det(S: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.linalg.eigvalsh(S)).sum(axis=-1))
