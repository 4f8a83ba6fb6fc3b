"""Do the low-degree moments of a sample match those of a target law? Directly, or after the worst points are removed.

Labels and halfspaces play no part here. In ten dimensions there are 1000 moments of degree 1 … 4.

* Directly: every monomial of degree at most k against its mean under the standard Gaussian. Linear algebra, O(N d^k).
* By linear programming, for a target with an even density ``exp(−phi)``, ``gamma I <= hess phi <= beta I``. Its moments
  obey ``(2r − 1)!! / beta^r <= E<v, x>^{2r} <= (2r − 1)!! / gamma^r`` for unit v, odd ones vanish. Is there a law p
  with ``p_i <= 1 / ((1 − trim) N)`` on the sample, that is, are there ``trim N`` points without which the rest comes
  closest to that? With directions v in general position that span the polynomials, gamma = beta = 1 is moment
  matching.

    moment_matching_test(X, degree=4, tol=0.1).passed
    trimmed_moment_distance(X[:1000], degree=4, trim=0.02)

Source: moment matching as the global test of testable learning, Rubinfeld and Vasilyan (2023), Gollakota, Klivans and
Kothari (2023); Gollakota, Klivans, Stavropoulos and Vasilyan (2023) need it only locally or at low degree. The trimmed
linear program and its intervals (by contraction: Caffarelli, Hargé) are derived here.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog

from theory.learning.halfspace_surrogate import Points, checked_points
from theory.validation import at_least, in_range, positive, whole_number

__all__ = [
    "MomentMatching",
    "gaussian_moments",
    "moment_matching_test",
    "monomial_exponents",
    "trimmed_moment_distance",
]

Exponents = Int[np.ndarray, "monomials dim"]

_BLOCK = 2**16  # numbers


@dataclass(frozen=True)
class MomentMatching:
    """The largest deviation of a moment, the monomial's exponents, how many were compared, and what was allowed."""

    deviation: float
    exponents: tuple[int, ...]
    monomials: int
    tol: float

    @property
    def passed(self) -> bool:
        """No moment deviates by more than was allowed."""
        return self.deviation <= self.tol


def monomial_exponents(dim: int, degree: int) -> Exponents:
    """Exponents of all monomials of degree 1 … ``degree`` in ``dim`` variables, one row each.

    Raises ``ValueError`` for a dimension or degree below 1.

    >>> monomial_exponents(2, 2).tolist()
    [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    whole_number("dim", dim, 1)
    chosen = [
        np.bincount(variables, minlength=dim)
        for total in range(1, whole_number("degree", degree, 1) + 1)
        for variables in itertools.combinations_with_replacement(range(dim), total)
    ]
    return np.array(chosen, dtype=np.int64)


def gaussian_moments(exponents: Exponents) -> Float[np.ndarray, " monomials"]:
    """Means of monomials under the standard Gaussian: the product of ``(a − 1)!!`` for even exponents a, else 0.

    Raises ``ValueError`` for exponents that are not whole numbers of at least 0.

    >>> gaussian_moments(np.array([[4, 2], [1, 2]])).tolist()
    [3.0, 0.0]
    """
    a = np.asarray(exponents)
    if a.dtype.kind not in "iu" or a.ndim != 2 or a.size == 0 or a.min() < 0 or a.max() > 100:
        raise ValueError(f"exponents must be a matrix of whole numbers in 0 … 100, got {exponents!r:.60}")
    table = np.array([0.0 if n % 2 else _double_factorial(n - 1) for n in range(int(a.max()) + 1)])
    return table[a].prod(axis=1)


def moment_matching_test(X: Points, degree: int, tol: float) -> MomentMatching:
    """Compare all moments up to ``degree`` with the standard Gaussian's: passed if none is off by more than ``tol``.

    Raises ``ValueError`` for fewer than two columns, values that are not finite, a degree below 1 or a negative
    ``tol``.

    >>> moment_matching_test(np.random.default_rng(0).normal(size=(50_000, 2)), degree=4, tol=0.2).passed
    True
    >>> moment_matching_test(np.array([[1.0, 1.0], [-1.0, -1.0]]), degree=2, tol=0.2).exponents
    (1, 1)
    """
    X, tol = checked_points(X), at_least("tol", tol, 0.0)
    exponents = monomial_exponents(X.shape[1], degree)
    sums = np.zeros(len(exponents))
    rows = max(1, _BLOCK // len(exponents))
    for first in range(0, len(X), rows):
        sums += _monomials(X[first : first + rows], degree).sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        deviations = np.abs(sums / len(X) - gaussian_moments(exponents))
    deviations = np.where(np.isnan(deviations), np.inf, deviations)
    worst = int(deviations.argmax())
    return MomentMatching(float(deviations[worst]), tuple(map(int, exponents[worst])), len(exponents), tol)


def trimmed_moment_distance(
    X: Points, degree: int, trim: float, *, gamma: float = 1.0, beta: float = 1.0, seed: int = 0
) -> float:
    """How far the moments remain from the target's when the best share ``trim`` of the points is removed; 0 if nowhere.

    The least tau for which a law p on the points, ``p_i <= 1 / ((1 − trim) N)``, has all means of
    ``<v, x>^m / (m − 1)!!``, m even, in ``[beta^{−m/2} − tau, gamma^{−m/2} + tau]``, and of
    ``<v, x>^m / sqrt((2m − 1)!!)``, m odd, in ``[−tau, tau]``: divisors that a standard Gaussian calls for.
    m goes up to ``degree``, v over as many seeded random directions as there are monomials of that degree. A linear
    program in N + 1 variables; a few thousand points take seconds.

    Raises ``ValueError`` for a degree below 1, ``trim`` outside [0, 1), unless ``0 < gamma <= beta``, and for points as
    ``moment_matching_test``.

    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> X[:4] = 20.0
    >>> trimmed_moment_distance(X, 4, 0.0) > 100, trimmed_moment_distance(X, 4, 0.02) < 0.3
    (True, True)
    """
    X, degree = checked_points(X), whole_number("degree", degree, 1)
    if in_range("trim", trim, 0.0, 1.0) == 1:
        raise ValueError("trim must be below 1, got 1")
    if positive("gamma", gamma) > positive("beta", beta):
        raise ValueError(f"gamma must be at most beta, got {gamma} and {beta}")
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    rows, low, high = [], [], []
    for m in range(1, degree + 1):
        directions = rng.standard_normal((math.comb(X.shape[1] + m - 1, m), X.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        even = m % 2 == 0
        rows.append(
            (directions @ X.T) ** m / (_double_factorial(m - 1) if even else math.sqrt(_double_factorial(2 * m - 1)))
        )
        low += len(directions) * [beta ** (-m / 2) if even else 0.0]
        high += len(directions) * [gamma ** (-m / 2) if even else 0.0]
    return _least_violation(np.concatenate(rows), np.array(low), np.array(high), 1 / ((1 - trim) * len(X)))


def _least_violation(values: np.ndarray, low: np.ndarray, high: np.ndarray, largest: float) -> float:
    """``min tau: low − tau <= values p <= high + tau`` over laws p with entries of at most ``largest``."""
    count = values.shape[1]
    # Points are worth very different amounts; every row is divided by its largest so that the solver sees numbers
    # near 1.
    scale = np.maximum(np.abs(values).max(axis=1), 1.0)
    slack = (1 / scale)[:, None]
    matrix = np.block([[values / scale[:, None], -slack], [-values / scale[:, None], -slack]])
    right = np.concatenate([high / scale, -low / scale])
    total = np.append(np.ones(count), 0.0)[None]
    found = linprog(
        np.append(np.zeros(count), 1.0), A_ub=matrix, b_ub=right, A_eq=total, b_eq=[1.0],
        bounds=[(0, largest * (1 + 1e-12))] * count + [(0, None)], method="highs",
    )  # fmt: skip
    if found.status != 0:
        raise ValueError(f"X must allow the linear program to be solved, got {found.message}")
    return float(found.fun)


def _monomials(X: np.ndarray, degree: int) -> np.ndarray:
    """All monomials of degree 1 … ``degree`` in the order of ``monomial_exponents``, each from one of a degree less."""
    groups = [X[:, [i]] for i in range(X.shape[1])]
    columns = [X]
    for _ in range(degree - 1):
        # Those whose first variable is i: x_i times all of one degree less whose first variable is at least i.
        with np.errstate(over="ignore", invalid="ignore"):
            groups = [X[:, [i]] * np.concatenate(groups[i:], axis=1) for i in range(X.shape[1])]
        columns += groups
    return np.concatenate(columns, axis=1)


def _double_factorial(n: int) -> float:
    return float(math.prod(range(n, 0, -2)))
