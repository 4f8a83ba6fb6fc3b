"""Representation calibration (RCAL): what wrong labels do to a class' Gaussian, and what that costs a classifier.

A class N(mu, S) whose label is carried by a share rho of samples from elsewhere (mean mu_q, covariance S_q) has

    mean        mu + rho (mu_q − mu)
    covariance  (1 − rho) S + rho S_q + rho (1 − rho) (mu_q − mu)(mu_q − mu)ᵀ

however many samples there are: pollution is a bias. Linear discriminant analysis pays for wrong means at second
order. With two classes N(mu_k, S), equally frequent, Delta their Mahalanobis distance, and e_k the errors of the means,

    excess risk ≤ |e_1 − e_0|² / (2 sqrt(2 pi) Delta) + phi(1) |e_0 + e_1|² / 8      (|·| Mahalanobis norms),

if |e_1 − e_0| ≤ Delta. The estimators that undo pollution are in ``theory.classification.representation_calibration``.

    w, b = lda_rule(mu0 + e0, mu1 + e1, S)
    gaussian_error(mu0, mu1, S, w, b) - gaussian_error(mu0, mu1, S, *lda_rule(mu0, mu1, S))

Source: Zhang, Zhao, Yao, Yuan and Huang (2023), "When Noisy Labels Meet Long Tail Dilemmas: A Representation
Calibration Method", for the Gaussian model; the moments, the error and its bound are derived here.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from theory.fuzz import Bound
from theory.validation import finite_array, in_range

__all__ = ["BOUNDS", "excess_risk_bound", "gaussian_error", "lda_rule", "polluted_moments"]

Vectors = Float[np.ndarray, "*batch dim"]
Matrices = Float[np.ndarray, "*batch dim dim"]
_DENSITY_AT_0 = 1 / np.sqrt(2 * np.pi)
_STEEPEST_DENSITY = _DENSITY_AT_0 * np.exp(-0.5)


def polluted_moments(
    mu: Float[np.ndarray, " dim"],
    S: Float[np.ndarray, "dim dim"],
    rho: float,
    mu_q: Float[np.ndarray, " dim"],
    S_q: Float[np.ndarray, "dim dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
    """Mean and covariance of the mixture that takes a sample from (mu_q, S_q) with probability ``rho``.

    They hold for any two distributions with these moments. Raises ``ValueError`` for shapes that do not agree,
    covariances that are not symmetric and positive semi-definite, or ``rho`` outside [0, 1].

    >>> mean, covariance = polluted_moments(np.zeros(1), np.eye(1), 0.3, np.full(1, 3.0), np.eye(1))
    >>> mean.round(2).tolist(), covariance.round(2).tolist()
    ([0.9], [[2.89]])
    """
    mu, mu_q = finite_array("mu", mu, 1), finite_array("mu_q", mu_q, 1)
    _same_trailing_shape("mu_q", mu_q, "mu", mu)
    S, S_q = _covariance("S", S, mu), _covariance("S_q", S_q, mu)
    rho = in_range("rho", rho, 0.0, 1.0)
    shift = mu_q - mu
    return mu + rho * shift, (1 - rho) * S + rho * S_q + rho * (1 - rho) * np.outer(shift, shift)


def lda_rule(
    mu0: Vectors, mu1: Vectors, S: Matrices
) -> tuple[Float[np.ndarray, "*batch dim"], float | Float[np.ndarray, "..."]]:
    """Weights ``w = S⁻¹ (mu1 − mu0)`` and threshold ``b = −w·(mu0 + mu1)/2``: class 1 where ``w·x + b > 0``.

    Optimal for equally frequent N(mu0, S) and N(mu1, S). Leading axes stack problems. Raises ``ValueError`` for
    shapes that do not agree or a covariance that is not symmetric and positive definite.

    >>> w, b = lda_rule(np.array([0.0, 0.0]), np.array([2.0, 0.0]), np.eye(2))
    >>> w.tolist(), float(b)
    ([2.0, 0.0], -2.0)
    """
    mu0, mu1, S = _two_classes(mu0, mu1, S, definite=True)
    w = np.linalg.solve(S, (mu1 - mu0)[..., None])[..., 0]
    return w, -0.5 * (w * (mu0 + mu1)).sum(-1)


def gaussian_error(
    mu0: Vectors, mu1: Vectors, S: Matrices, w: Vectors, b: float | Float[np.ndarray, "..."]
) -> float | Float[np.ndarray, "..."]:
    """Probability that ``w·x + b > 0`` is wrong on equally frequent classes N(mu0, S) and N(mu1, S).

        error = [Phi((w·mu0 + b)/s) + Phi(−(w·mu1 + b)/s)] / 2,    s² = wᵀ S w;   at best Phi(−Delta/2)

    With s = 0 scores are constant within a class, and a score of exactly 0 goes to class 0. Leading axes stack
    problems. Raises ``ValueError`` for shapes that do not agree or a covariance that is not symmetric and
    positive semi-definite.

    >>> mu0, mu1 = np.array([-1.0, 0.0]), np.array([1.0, 0.0])
    >>> round(float(gaussian_error(mu0, mu1, np.eye(2), *lda_rule(mu0, mu1, np.eye(2)))), 4)
    0.1587
    """
    mu0, mu1, S = _two_classes(mu0, mu1, S, definite=False)
    w, b = finite_array("w", w), finite_array("b", b)
    if w.shape != mu0.shape:
        raise ValueError(f"w must have shape {mu0.shape}, got {w.shape}")
    if b.shape not in ((), mu0.shape[:-1]):
        raise ValueError(f"b must be a number or have shape {mu0.shape[:-1]}, got {b.shape}")
    spread = np.sqrt(np.maximum(np.einsum("...i,...ij,...j->...", w, S, w), 0.0))
    score0, score1 = (w * mu0).sum(-1) + b, (w * mu1).sum(-1) + b
    scale = np.where(spread > 0, spread, 1.0)
    false1 = np.where(spread > 0, ndtr(score0 / scale), score0 > 0)
    false0 = np.where(spread > 0, ndtr(-score1 / scale), score1 <= 0)
    return 0.5 * (false1 + false0)


def excess_risk_bound(
    mu0: Vectors, mu1: Vectors, S: Matrices, e0: Vectors, e1: Vectors
) -> float | Float[np.ndarray, "..."]:
    """A bound on what mean errors ``e0, e1`` cost ``lda_rule(mu0 + e0, mu1 + e1, S)`` beyond the least error.

        A phi(0) Delta/2 + phi(1) |(e0 + e1)/2|² / 2,    A = |e1 − e0|²/Delta² if that is at most 1, else 2

    In whitened coordinates the rule is given by its angle t to the true direction and the shift s of its threshold;
    its risk is the mean of Phi(−a ± s) at a = (Delta/2) cos t. Phi(−x) has slope at most phi(0) and curvature at
    most phi(1) in size, 1 − cos t ≤ sin² t ≤ A, and |s| ≤ |(e0 + e1)/2|. Leading axes stack problems. Raises
    ``ValueError`` for shapes that do not agree or a covariance that is not symmetric and positive definite.

    >>> e = np.array([0.0, 0.1])
    >>> round(float(excess_risk_bound(np.zeros(2), np.array([2.0, 0.0]), np.eye(2), -e, e)), 5)
    0.00399
    """
    mu0, mu1, S = _two_classes(mu0, mu1, S, definite=True)
    e0, e1 = finite_array("e0", e0), finite_array("e1", e1)
    for name, e in (("e0", e0), ("e1", e1)):
        if e.shape != mu0.shape:
            raise ValueError(f"{name} must have shape {mu0.shape}, got {e.shape}")
    apart, turned, shifted = (_mahalanobis_squared(S, v) for v in (mu1 - mu0, e1 - e0, (e0 + e1) / 2))
    small = turned <= apart
    one_minus_cosine = np.where(small, turned / np.where(apart > 0, apart, 1.0), 2.0)
    return one_minus_cosine * _DENSITY_AT_0 * np.sqrt(apart) / 2 + _STEEPEST_DENSITY * shifted / 2


def _excess_risk(mu0: np.ndarray, mu1: np.ndarray, S: np.ndarray, e0: np.ndarray, e1: np.ndarray) -> np.ndarray:
    best = ndtr(-0.5 * np.sqrt(_mahalanobis_squared(S, mu1 - mu0)))
    return np.asarray(gaussian_error(mu0, mu1, S, *lda_rule(mu0 + e0, mu1 + e1, S))) - best


def _sample_problems(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Two classes in three dimensions with errors of all sizes; covariances with eigenvalues of 0.1 and more."""
    root = rng.standard_normal((count, 3, 3)) * 10.0 ** rng.uniform(-1, 0.5, (count, 1, 1))
    means = rng.standard_normal((2, count, 3)) * 10.0 ** rng.uniform(-1.5, 1, (2, count, 1))
    errors = rng.standard_normal((2, count, 3)) * 10.0 ** rng.uniform(-2, 1, (2, count, 1))
    return {
        "mu0": means[0], "mu1": means[1], "S": root @ root.swapaxes(1, 2) + 0.1 * np.eye(3),
        "e0": errors[0], "e1": errors[1],
    }  # fmt: skip


BOUNDS = [
    Bound(
        "errors of the means cost LDA at most their squares",
        "derived here",
        lhs=_excess_risk,
        rhs=excess_risk_bound,
        sampler=_sample_problems,
    )
]


def _mahalanobis_squared(S: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum((v * np.linalg.solve(S, v[..., None])[..., 0]).sum(-1), 0.0))


def _two_classes(mu0: object, mu1: object, S: object, *, definite: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = finite_array("mu0", mu0), finite_array("mu1", mu1)
    if first.ndim == 0:
        raise ValueError(f"mu0 must be a vector or a stack of vectors, got {mu0!r:.60}")
    _same_trailing_shape("mu1", second, "mu0", first)
    return first, second, _covariance("S", S, first, definite=definite)


def _same_trailing_shape(name: str, value: np.ndarray, other: str, reference: np.ndarray) -> None:
    if value.shape != reference.shape:
        raise ValueError(f"{name} must have the shape of {other}, {reference.shape}, got {value.shape}")


def _covariance(name: str, value: object, mean: np.ndarray, *, definite: bool = False) -> np.ndarray:
    S = finite_array(name, value)
    if S.shape != (*mean.shape, mean.shape[-1]):
        raise ValueError(f"{name} must have shape {(*mean.shape, mean.shape[-1])}, got {S.shape}")
    if not np.allclose(S, S.swapaxes(-1, -2), rtol=1e-9, atol=1e-12 * np.abs(S).max()):
        raise ValueError(f"{name} must be symmetric, got {value!r:.60}")
    eigenvalues = np.linalg.eigvalsh(S)
    # Rounding leaves a singular matrix with eigenvalues of either sign, of this size.
    rounding = len(mean.shape) * S.shape[-1] * np.finfo(np.float64).eps * np.abs(eigenvalues).max(-1)
    least = eigenvalues.min(-1)
    if (least <= rounding).any() if definite else (least < -10 * rounding).any():
        word = "definite" if definite else "semi-definite"
        raise ValueError(f"{name} must be positive {word}, got a smallest eigenvalue of {least.min():g}")
    return S
