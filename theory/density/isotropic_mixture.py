"""Mixtures of isotropic Gaussians: densities whose score, its derivatives and its blurred versions are known exactly.

    p(x) = Σ_k w_k N(x; m_k, s_k² I),      S = ∇ log p,      p * N(0, σ² I) is the mixture with s_k² + σ².

    bimodal = IsotropicMixture(np.array([[-1.2], [1.0]]), np.array([0.5, 0.4]), np.array([0.4, 0.6]))
    bimodal.score(x), bimodal.smoothed(0.1).score(x)

With the components' scores ``u_k = −(x − m_k)/s_k²``, their posterior probabilities γ_k and ``a_k = u_k − S``,

    S = Σ γ_k u_k,      ∂S = Σ γ_k (a_k a_kᵀ − I/s_k²),      ΔS = Σ γ_k a_k (|a_k|² − (d + 2)/s_k²).

All of them are computed from log-probabilities, so that they hold arbitrarily far from every mean.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, softmax

from theory.validation import finite_array, positive, probabilities, whole_number

__all__ = ["IsotropicMixture"]

_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class IsotropicMixture:
    """Means, standard deviations and weights of the components; points are rows.

    Raises ``ValueError`` for arrays that are empty, not finite or of lengths that differ, standard deviations that are
    not positive, and weights that are negative or do not sum to 1.

    >>> one = IsotropicMixture(np.zeros((1, 2)), np.array([2.0]), np.array([1.0]))
    >>> one.score(np.array([[4.0, -8.0]])).tolist()
    [[-1.0, 2.0]]
    """

    means: Float[np.ndarray, "components dim"]
    stds: Float[np.ndarray, " components"]
    weights: Float[np.ndarray, " components"]

    def __post_init__(self) -> None:
        means, stds = finite_array("means", self.means, 2), finite_array("stds", self.stds, 1)
        weights = probabilities("weights", self.weights, 1)
        if not len(means) == len(stds) == len(weights):
            raise ValueError(
                f"means, stds and weights must be equally many, got {len(means)}, {len(stds)} and {len(weights)}"
            )
        if stds.min() <= 0:
            raise ValueError(f"stds must be above 0, got {stds.min()}")
        for name, value in (("means", means), ("stds", stds), ("weights", weights)):
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.means.shape[1]

    def log_density(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, " points"]:
        """``log p``. This and the methods below raise ``ValueError`` for points that are not finite (points, dim)."""
        return np.asarray(logsumexp(self._log_joint(self._points(x)), axis=1))

    def score(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim"]:
        """``S = ∇ log p``."""
        shares, scores = self._parts(self._points(x))
        return np.einsum("nk,nkd->nd", shares, scores)

    def score_jacobian(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim dim"]:
        """``∂S``, the Hessian of ``log p``."""
        shares, about = self._about_score(x)
        spread = np.einsum("nk,nkd,nke->nde", shares, about, about)
        return spread - (shares / self.stds**2).sum(1)[:, None, None] * np.eye(self.dim)

    def score_laplacian(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim"]:
        """``ΔS``, the Laplacian of every component of the score; zero for a single Gaussian."""
        shares, about = self._about_score(x)
        excess = np.square(about).sum(2) - (self.dim + 2) / self.stds**2
        return np.einsum("nk,nk,nkd->nd", shares, excess, about)

    def smoothed(self, sigma: float) -> "IsotropicMixture":
        """The law of ``X + N(0, σ² I)``. Raises ``ValueError`` unless ``sigma > 0``."""
        return IsotropicMixture(self.means, np.hypot(self.stds, positive("sigma", sigma)), self.weights)

    def sample(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "count dim"]:
        """``count`` independent points. Raises ``ValueError`` unless ``count >= 1``."""
        chosen = rng.choice(len(self.weights), whole_number("count", count, 1), p=self.weights)
        return self.means[chosen] + self.stds[chosen, None] * rng.standard_normal((count, self.dim))

    def _points(self, x: np.ndarray) -> np.ndarray:
        points = finite_array("x", x, 2)
        if points.shape[1] != self.dim:
            raise ValueError(f"x must have {self.dim} columns, got {points.shape[1]}")
        return points

    def _log_joint(self, x: np.ndarray) -> np.ndarray:
        squared = np.square(x[:, None] - self.means).sum(2)
        with np.errstate(divide="ignore"):  # a component of weight 0 takes no part
            log_weights = np.log(self.weights)
        return log_weights - 0.5 * squared / self.stds**2 - self.dim * (np.log(self.stds) + 0.5 * _LOG_2PI)

    def _about_score(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A difference of two large moments would cancel far from the means: moments about S do not.
        shares, scores = self._parts(self._points(x))
        return shares, scores - np.einsum("nk,nkd->nd", shares, scores)[:, None]

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior probabilities (points, components) and the components' scores (points, components, dim)."""
        return softmax(self._log_joint(x), axis=1), (self.means - x[:, None]) / self.stds[:, None] ** 2
