"""Linearly separable data: whether it is, with which margin, and instances that are hard.

Samples a_i with labels y_i = ±1 become rows z_i = y_i (a_i, 1). They are separable if some u has <z_i, u> > 0 for all
i; if not, by Gordan's theorem, some weights alpha >= 0 that are not all 0 have sum_i alpha_i z_i = 0. The margin is
the distance of the origin from the convex hull of the rows,

    mu = max_{|u| = 1} min_i <z_i, u> = min_{alpha in simplex} |sum_i alpha_i z_i|,

so that any u bounds it from below and any alpha from above.

    Z = signed_data(images, labels)
    separability(Z).separable           # by linear programming, confirmed in rational arithmetic
    mu, u = margin(Z)                   # by non-negative least squares; margin_qp solves the quadratic programme

Sources: Gordan (1873); Lawson and Hanson (1974), least-distance programming; the hard instance: derived here, for the
lower bound that Tyurin (2024) states for gradient descent on the logistic loss.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linprog, nnls

from theory.optimization.separation import checked_samples
from theory.validation import finite_array, positive, whole_number

__all__ = [
    "Separability",
    "hard_instance",
    "imbalanced_problems",
    "margin",
    "margin_interval",
    "margin_qp",
    "radius",
    "random_problems",
    "separability",
    "signed_data",
]

_LARGEST_GAP = 1e-6


@dataclass(frozen=True)
class Separability:
    """Whether samples are separable, and the proof of it.

    ``u`` has only positive margins, or ``alpha`` is a convex combination of samples that is 0; the other is None.
    ``exact`` says that this holds in rational arithmetic, the floats of Z taken as they are; the alpha that was
    verified is the rational solution on the same support.
    """

    separable: bool
    u: Float[np.ndarray, " dim"] | None
    alpha: Float[np.ndarray, " samples"] | None
    exact: bool


def signed_data(
    features: Float[np.ndarray, "samples features"] | Int[np.ndarray, "samples features"],
    labels: Int[np.ndarray, " samples"] | Float[np.ndarray, " samples"] | Bool[np.ndarray, " samples"],
    bias: bool = True,
) -> Float[np.ndarray, "samples dim"]:
    """Rows ``y_i (a_i, 1)``; without ``bias`` ``y_i a_i``. Labels must be −1 and 1.

    The column of ones changes both R and mu. Raises ``ValueError`` for features that are not a finite matrix or
    labels other than ±1.

    >>> signed_data(np.array([[2.0], [3.0]]), np.array([1, -1])).tolist()
    [[2.0, 1.0], [-3.0, -1.0]]
    """
    features, labels = finite_array("features", features, 2), finite_array("labels", labels, 1)
    if len(labels) != len(features):
        raise ValueError(f"labels must have {len(features)} entries, got {len(labels)}")
    if not np.isin(labels, (-1.0, 1.0)).all():
        raise ValueError(f"labels must be −1 or 1, got {labels[~np.isin(labels, (-1.0, 1.0))][0]:g}")
    if bias:
        features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    return labels[:, None] * features


def radius(Z: Float[np.ndarray, "*problems samples dim"]) -> Float[np.ndarray, "*problems"] | np.floating:
    """``R = max_i |z_i|`` of every problem. Raises ``ValueError`` for samples that are empty or not finite.

    >>> float(radius(np.array([[3.0, 4.0], [1.0, 0.0]])))
    5.0
    """
    return np.linalg.norm(checked_samples(Z), axis=-1).max(axis=-1)[()]


def margin(Z: Float[np.ndarray, "samples dim"]) -> tuple[float, Float[np.ndarray, " dim"]]:
    """The largest margin ``mu`` and its direction u, ``|u| = 1``.

    Least |w| with ``Z w >= 1`` by non-negative least squares: if alpha minimises ``|Z'alpha|² + (sum alpha − 1)²``, w
    is a multiple of ``Z'alpha``. The number returned is min <z_i, u>, a true lower bound; it is at most 1e-6 (relative)
    below the upper bound that alpha gives. Raises ``ValueError`` for samples that are not a finite matrix, that are
    not separable, or with a margin so small that the two bounds do not meet.

    >>> mu, u = margin(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> round(mu, 6), u.round(6).tolist()
    (0.707107, [0.707107, 0.707107])
    """
    Z = _problem(Z)
    R = float(radius(Z))
    if R == 0:
        raise ValueError("Z must be separable, got only zero vectors")
    matrix = np.vstack([Z.T / R, np.ones(len(Z))])
    alpha, _ = nnls(matrix, np.append(np.zeros(Z.shape[1]), 1.0), maxiter=50 * sum(Z.shape))
    return _certified(Z, Z.T @ alpha, alpha)


def margin_qp(Z: Float[np.ndarray, "samples dim"]) -> tuple[float, Float[np.ndarray, " dim"]]:
    """``margin`` by the hard-margin programme ``min |w|² subject to Z w >= 1`` and a convex solver (cvxpy).

    Its point and its multipliers are held against each other as in ``margin``. Raises ``ValueError`` as ``margin``.

    >>> round(margin_qp(np.array([[1.0, 0.0], [0.0, 1.0]]))[0], 6)
    0.707107
    """
    import cvxpy as cp

    Z = _problem(Z)
    R = float(radius(Z))
    if R == 0:
        raise ValueError("Z must be separable, got only zero vectors")
    w = cp.Variable(Z.shape[1])
    kept = cp.NonNeg(Z @ w / R - 1)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(w)), [kept])
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    if w.value is None or kept.dual_value is None or problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise ValueError(f"Z must be separable, but the solver's answer is {problem.status}")
    return _certified(Z, np.asarray(w.value), np.asarray(kept.dual_value))


def margin_interval(
    Z: Float[np.ndarray, "samples dim"], u: Float[np.ndarray, " dim"], alpha: Float[np.ndarray, " samples"]
) -> tuple[float, float]:
    """Bounds of the margin from any direction and any weights: ``min_i <z_i, u>/|u| <= mu <= |Z'alpha| / sum alpha``.

    Raises ``ValueError`` for arrays that are not finite or do not fit, u = 0, or weights that are negative or all 0.

    >>> margin_interval(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 4.0]), np.array([1.0, 0.0]))
    (0.6, 1.0)
    """
    Z, u, alpha = _problem(Z), finite_array("u", u, 1), finite_array("alpha", alpha, 1)
    if len(u) != Z.shape[1] or not u.any():
        raise ValueError(f"u must be a vector of {Z.shape[1]} numbers that are not all 0, got {u!r:.60}")
    if len(alpha) != len(Z) or alpha.min() < 0 or not alpha.any():
        raise ValueError(f"alpha must be {len(Z)} numbers of at least 0 that are not all 0, got {alpha!r:.60}")
    return float((Z @ u).min() / np.linalg.norm(u)), float(np.linalg.norm(Z.T @ alpha) / alpha.sum())


def separability(Z: Float[np.ndarray, "samples dim"], exact: bool = True) -> Separability:
    """Decide by linear programming, and confirm the answer's proof in rational arithmetic if ``exact``.

    ``max t`` over ``Z u >= t`` and ``|u_k| <= 1`` is positive for separable samples, and its multipliers are a convex
    combination that is 0 for others. Raises ``ValueError`` for samples that are not a finite matrix, and
    ``RuntimeError`` if the solver's answer cannot be confirmed either way.

    >>> separability(np.array([[1.0], [-2.0]])).alpha.round(6).tolist()
    [0.666667, 0.333333]
    """
    Z = _problem(Z)
    n, dim = Z.shape
    scale = np.abs(Z).max(axis=1, keepdims=True)
    scale[scale == 0] = 1.0
    rows = np.hstack([-Z / scale, np.ones((n, 1))])
    solution = linprog(
        np.append(np.zeros(dim), -1.0), rows, np.zeros(n), bounds=[(-1, 1)] * dim + [(None, 1)], method="highs"
    )
    u = solution.x[:dim]
    if (Z @ u).min() > 0 and (not exact or _positive_margins(Z, u)):
        return Separability(True, u, None, exact)
    alpha = -solution.ineqlin.marginals / scale[:, 0]
    alpha = np.where(alpha > 1e-12 * alpha.max(), alpha, 0.0)
    alpha /= alpha.sum()
    left = np.linalg.norm(Z.T @ alpha)
    confirmed = _vanishing_combination(Z[alpha > 0]) if exact else left <= 1e-9 * np.linalg.norm(np.abs(Z).T @ alpha)
    if not confirmed:
        raise RuntimeError(f"neither separability nor its opposite can be confirmed: |Z'alpha| = {left:.1e}")
    return Separability(False, None, alpha, exact)


def hard_instance(n: int, phi: float) -> Float[np.ndarray, "samples dim"]:
    """``n − 1`` samples (1, 0) and one at (−cos phi, sin phi): ``R = 1`` and ``mu = sin(phi/2)``, whatever n.

    The many pull the first step to their side, and the one can pull back by 1/n per step only. Raises ``ValueError``
    for ``n < 2`` or phi outside (0, pi/2).

    >>> hard_instance(3, np.pi / 3).round(3).tolist()
    [[1.0, 0.0], [1.0, 0.0], [-0.5, 0.866]]
    """
    whole_number("n", n, 2)
    phi = checked_angle(phi)
    Z = np.zeros((n, 2))
    Z[:, 0], Z[-1] = 1.0, (-math.cos(phi), math.sin(phi))
    return Z


def random_problems(
    rng: np.random.Generator, count: int, n: int, dim: int, ratio: float
) -> Float[np.ndarray, "count samples dim"]:
    """Separable problems with ``R/mu <= ratio + 1``, whose mean is a poor direction.

    Gaussian samples in two clusters of unequal size, at opposite sides along a random direction v; their components
    along u, orthogonal to v, are shrunk by up to 100 and moved until all are at least ``max |z|/ratio``. Needs
    ``dim >= 2``. Raises ``ValueError`` for other sizes below 1 or a ``ratio`` not above 0.

    >>> Z = random_problems(np.random.default_rng(0), 2, n=30, dim=3, ratio=20.0)
    >>> Z.shape, all(radius(each) / margin(each)[0] < 21 for each in Z)
    ((2, 30, 3), True)
    """
    rng = _generator(rng)
    for name, value, least in (("count", count, 1), ("n", n, 1), ("dim", dim, 2)):
        whole_number(name, value, least)
    positive("ratio", ratio)
    axes = np.linalg.qr(rng.normal(size=(count, dim, 2)))[0]
    u, v = axes[:, None, :, 0], axes[:, None, :, 1]
    share = 10.0 ** rng.uniform(-2, -0.3, (count, 1))
    side = np.where(rng.random((count, n)) < share, -1.0, 1.0)[..., None]
    Z = rng.normal(size=(count, n, dim)) + side * v * rng.uniform(0, 4, (count, 1, 1))
    along = (Z * u).sum(axis=2, keepdims=True)
    least = np.linalg.norm(Z, axis=2).max(axis=1)[:, None, None] / ratio
    return Z + u * (np.abs(along) * 10.0 ** rng.uniform(-2, 0, (count, 1, 1)) + least - along)


def imbalanced_problems(
    rng: np.random.Generator, count: int, n: int, dim: int
) -> Float[np.ndarray, "count samples dim"]:
    """``n − 1`` easy samples around one direction, and a hard one almost opposite to them.

    Easy: ``e_1 + 0.1·noise``; hard: at an angle between 0.8 pi and 0.95 pi to e_1, in a random plane; all of norm 1.
    A draw that is not separable is drawn again. Raises ``ValueError`` for sizes below 1, or ``dim < 2``.

    >>> imbalanced_problems(np.random.default_rng(0), 2, n=30, dim=3).shape
    (2, 30, 3)
    """
    rng = _generator(rng)
    whole_number("count", count, 1)
    whole_number("n", n, 2)
    whole_number("dim", dim, 2)
    drawn: list[np.ndarray] = []
    while len(drawn) < count:
        Z = 0.1 * rng.normal(size=(n, dim))
        Z[:-1, 0] += 1
        away = rng.normal(size=dim - 1)
        angle = np.pi * rng.uniform(0.8, 0.95)
        Z[-1] = np.append(math.cos(angle), math.sin(angle) * away / np.linalg.norm(away))
        Z /= np.linalg.norm(Z, axis=1, keepdims=True)
        if separability(Z, exact=False).separable:
            drawn.append(Z)
    return np.stack(drawn)


def checked_angle(phi: float) -> float:
    """``phi`` if it is in (0, pi/2)."""
    if not positive("phi", phi) < math.pi / 2:
        raise ValueError(f"phi must be a number in (0, pi/2), got {phi!r}")
    return float(phi)


def _generator(rng: np.random.Generator) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy random Generator, got {rng!r:.60}")
    return rng


def _problem(Z: np.ndarray) -> np.ndarray:
    Z = checked_samples(Z)
    if Z.ndim != 2:
        raise ValueError(f"Z must have shape (samples, dim), got {Z.shape}")
    return Z


def _certified(Z: np.ndarray, w: np.ndarray, alpha: np.ndarray) -> tuple[float, np.ndarray]:
    alpha = np.maximum(alpha, 0.0)
    if not (np.isfinite(w).all() and w.any() and alpha.any()):
        raise ValueError("Z must be separable, got samples whose convex hull contains the origin")
    low, high = margin_interval(Z, w, alpha)
    if low <= 0:
        raise ValueError(f"Z must be separable, but its best margin is {low:.3g} <= 0")
    if high - low > _LARGEST_GAP * high:
        raise ValueError(f"Z must have a margin that floats resolve, got one between {low:.9g} and {high:.9g}")
    return low, w / np.linalg.norm(w)


def _positive_margins(Z: np.ndarray, u: np.ndarray) -> bool:
    """Whether all <z_i, u> > 0, floats taken as the rationals that they are."""
    rational = [Fraction(float(x)) for x in u]
    return all(sum(Fraction(float(a)) * b for a, b in zip(row, rational, strict=True)) > 0 for row in Z)


def _vanishing_combination(rows: np.ndarray) -> bool:
    """Whether positive rational weights give ``sum alpha_i z_i = 0``: the rows' only linear relation has one sign."""
    system = [[Fraction(float(x)) for x in row] for row in rows]
    relation = _only_relation(system)
    return relation is not None and (all(x > 0 for x in relation) or all(x < 0 for x in relation))


def _only_relation(system: list[list[Fraction]]) -> list[Fraction] | None:
    """The solution of ``sum_i alpha_i row_i = 0`` with the last weight 1, if the relations are one-dimensional."""
    unknowns, equations = len(system), [list(column) for column in zip(*system, strict=True)]
    pivots: list[int] = []
    for unknown in range(unknowns):
        top = len(pivots)
        found = next((r for r in range(top, len(equations)) if equations[r][unknown] != 0), None)
        if found is None:
            continue
        equations[top], equations[found] = equations[found], equations[top]
        head = [x / equations[top][unknown] for x in equations[top]]
        equations[top] = head
        for r, row in enumerate(equations):
            if r != top and row[unknown] != 0:
                equations[r] = [a - row[unknown] * b for a, b in zip(row, head, strict=True)]
        pivots.append(unknown)
    free = [unknown for unknown in range(unknowns) if unknown not in pivots]
    if len(free) != 1:
        return None
    solution = [Fraction(0)] * unknowns
    solution[free[0]] = Fraction(1)
    for row, pivot in zip(equations, pivots, strict=False):
        solution[pivot] = -row[free[0]]
    return solution
