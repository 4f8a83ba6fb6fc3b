"""Linear measurements of a symmetric matrix, some of them grossly wrong, and what is linear about them.

    y_i = <A_i, X*> + s_i,      A_i in R^{d x d} with independent N(0, 1) entries,  X* of rank r, positive semi-definite

The noise s is ``outlier`` (0 with probability 1 − p, else any law), ``gaussian`` (every measurement, standard deviation
``scale``) or ``none``. Only the symmetric part ``(A_i + A_i')/2`` meets a symmetric matrix, so that a measurement is
d(d + 1)/2 numbers: the diagonal, and the sums ``a_jk + a_kj`` above it. With these as the rows of one matrix,
all measurements of X, and the combination ``sum_i w_i (A_i + A_i')/2`` of all matrices, are one product each.

    problem = make_robust_recovery_problem(20, 3, 1800, p=0.3, seed=0)      # A (1800, 400), y, X, s
    measurements = SymmetricMeasurements(problem.A)
    residual = measurements.measure(X) - problem.y
    measurements.combine(np.sign(residual)) / len(residual)                 # = sign_subgradient(problem.A, residual)

Arrays may be float32 or float64; results have the type of ``A``.

Source: the model of Ma and Fattahi (2022), *Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small
Initialization, Noisy Measurements, and Over-parameterization*.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from theory.validation import at_least, finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "Problem",
    "SymmetricMeasurements",
    "make_robust_recovery_problem",
    "sign_subgradient",
]

Corruption = Literal["outlier", "gaussian", "none"]
OutlierLaw = Literal["normal", "cauchy", "constant"]


@dataclass(frozen=True)
class Problem:
    """Measurement matrices (one flattened per row), measurements, the matrix to recover and the noise."""

    A: Float[np.ndarray, "measurements entries"]
    y: Float[np.ndarray, " measurements"]
    X: Float[np.ndarray, "dim dim"]
    s: Float[np.ndarray, " measurements"]


def make_robust_recovery_problem(
    d: int,
    r: int,
    m: int,
    *,
    corruption: Corruption = "outlier",
    p: float = 0.1,
    scale: float = 10.0,
    kappa: float = 1.0,
    outlier: OutlierLaw = "normal",
    seed: int,
) -> Problem:
    """A random instance: X* with eigenvalues from 1 down to 1/kappa in random directions, Gaussian measurements, noise.

    ``scale`` is the outliers' standard deviation, half-width at half-height (Cauchy) or value (constant), or the
    standard deviation of the Gaussian noise; ``p`` and ``outlier`` matter for outliers alone. For one seed, instances
    of other m, p, scale, law and kappa share the directions of X* and, as far as both have them, the matrices A_i.

    Raises ``ValueError`` for d, r or m below 1, r > d, p outside [0, 1), scale not above 0, kappa below 1 (or, with
    r = 1, other than 1), unknown words, or a negative seed.

    >>> problem = make_robust_recovery_problem(4, 2, 50, p=0.2, seed=0)
    >>> problem.A.shape, (np.linalg.eigvalsh(problem.X).round(6) + 0.0).tolist(), int((problem.s != 0).sum())
    ((50, 16), [0.0, 0.0, 1.0, 1.0], 9)
    """
    d, m = whole_number("d", d, 1), whole_number("m", m, 1)
    r = whole_number("r", r, 1)
    if r > d:
        raise ValueError(f"r must be at most d = {d}, got {r}")
    one_of("corruption", corruption, get_args(Corruption))
    one_of("outlier", outlier, get_args(OutlierLaw))
    p = in_range("p", p, 0.0, 1.0)
    if p == 1:
        raise ValueError("p must be below 1: without a clean measurement nothing need be recoverable, got 1")
    scale, kappa = positive("scale", scale), at_least("kappa", kappa, 1.0)
    if r == 1 and kappa != 1:
        raise ValueError(f"kappa must be 1 for a matrix of rank one, got {kappa}")
    # One stream each, so that no setting shifts the draws of another.
    directions, matrices, choice, noise = np.random.default_rng(whole_number("seed", seed, 0)).spawn(4)
    V = np.linalg.qr(directions.standard_normal((d, r)))[0]
    X = (V * np.geomspace(1.0, 1 / kappa, r)) @ V.T
    A = matrices.standard_normal((m, d * d))
    if corruption == "gaussian":
        s = scale * noise.standard_normal(m)
    elif corruption == "none":
        s = np.zeros(m)
    else:
        draws = {
            "normal": noise.standard_normal,
            "cauchy": noise.standard_cauchy,
            "constant": np.ones,
        }[outlier](m)
        s = np.where(choice.random(m) < p, scale * draws, 0.0)
    return Problem(A, A @ X.ravel() + s, X, s)


class SymmetricMeasurements:
    """All measurements of symmetric matrices as one matrix of m rows and d(d + 1)/2 columns.

    ``A`` holds one d x d matrix per row, flattened; it need not be symmetric. Raises ``ValueError`` if ``A`` is not
    a non-empty matrix of finite real numbers with a square number of columns.

    >>> operator = SymmetricMeasurements(np.array([[1.0, 2.0, 0.0, 3.0]]))
    >>> operator.measure(np.array([[1.0, 5.0], [5.0, 1.0]])).tolist(), operator.combine(np.array([2.0])).tolist()
    ([14.0], [[2.0, 2.0], [2.0, 6.0]])
    """

    def __init__(self, A: Float[np.ndarray, "measurements entries"]) -> None:
        A, self.dim = _checked_matrices(A)
        self.count, self.dtype = len(A), A.dtype
        upper = np.triu_indices(self.dim)
        # Flat positions of the triangle and of its mirror image, and for every entry its place in the triangle.
        self._flat, mirrored = (np.ravel_multi_index(pair, (self.dim, self.dim)) for pair in (upper, upper[::-1]))
        self._entry = np.empty((self.dim, self.dim), dtype=np.intp)
        self._entry[upper] = self._entry[upper[::-1]] = np.arange(len(self._flat))
        diagonal = self._flat == mirrored
        self._halved = np.where(diagonal, 1.0, 0.5).astype(A.dtype)
        # Sums a_jk + a_kj; a diagonal entry is not to be counted twice.
        self._rows = A.take(self._flat, axis=1)
        self._rows += A.take(mirrored, axis=1)
        self._rows[:, diagonal] /= 2

    def measure(self, X: Float[np.ndarray, "*batch dim dim"]) -> Float[np.ndarray, "*batch measurements"]:
        """``<A_i, X>`` for all i, of one symmetric matrix or several; of others only the upper triangle is read.

        Raises ``ValueError`` for another shape or entries that are not finite.
        """
        X = _real("X", X)
        if X.shape[-2:] != (self.dim, self.dim):
            raise ValueError(f"X must be {self.dim} x {self.dim}, got shape {X.shape}")
        return self.rows_of(X)

    def combine(self, weights: Float[np.ndarray, "*batch measurements"]) -> Float[np.ndarray, "*batch dim dim"]:
        """``sum_i weights_i (A_i + A_i')/2``, of one vector of weights or several.

        Raises ``ValueError`` for another number of weights or weights that are not finite.
        """
        weights = _real("weights", weights)
        if weights.shape[-1:] != (self.count,):
            raise ValueError(f"weights must be {self.count} numbers, one per measurement, got shape {weights.shape}")
        return self.sum_of(weights)

    def matrices(self) -> Float[np.ndarray, "measurements dim dim"]:
        """All ``(A_i + A_i')/2``."""
        return (self._rows * self._halved).take(self._entry, axis=1)

    def rows_of(self, X: np.ndarray) -> np.ndarray:
        """``measure`` without its checks."""
        return X.reshape(*X.shape[:-2], -1).take(self._flat, axis=-1).astype(self.dtype, copy=False) @ self._rows.T

    def sum_of(self, weights: np.ndarray) -> np.ndarray:
        """``combine`` without its checks."""
        return ((weights.astype(self.dtype, copy=False) @ self._rows) * self._halved).take(self._entry, axis=-1)


def sign_subgradient(
    A: Float[np.ndarray, "measurements entries"], residual: Float[np.ndarray, " measurements"]
) -> Float[np.ndarray, "dim dim"]:
    """``D = (1/m) sum_i Sign(residual_i) (A_i + A_i')/2``, with Sign(0) = 0.

    With ``residual_i = <A_i, U U'> − y_i``, ``2 D U`` is a sub-gradient of ``f(U) = mean |residual|``. Raises
    ``ValueError`` as ``SymmetricMeasurements`` does, or if there is not one finite residual per matrix.

    >>> sign_subgradient(np.array([[1.0, 2.0, 0.0, 3.0], [4.0, 0.0, 0.0, 0.0]]), np.array([-0.1, 7.0])).tolist()
    [[1.5, -0.5], [-0.5, -1.5]]
    """
    operator = SymmetricMeasurements(A)
    residual = finite_array("residual", residual, 1)
    if len(residual) != operator.count:
        raise ValueError(f"residual must have one entry for each of {operator.count} matrices, got {len(residual)}")
    return operator.sum_of(np.sign(residual)) / operator.count


def _checked_matrices(A: np.ndarray) -> tuple[np.ndarray, int]:
    A = _real("A", A)
    if A.ndim != 2 or isqrt(A.shape[1]) ** 2 != A.shape[1]:
        raise ValueError(f"A must have one flattened square matrix per row, got shape {A.shape}")
    return A, isqrt(A.shape[1])


def _real(name: str, value: object) -> np.ndarray:
    """A finite, non-empty real array, without a copy of what is float32 or float64 already."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64) or value.size == 0:
        return finite_array(name, value)
    return value if np.isfinite(value).all() else finite_array(name, value)
