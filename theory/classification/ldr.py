"""Label-distributionally robust losses: the worst re-weighting of the margins, and what the temperature does to it.

A label is uncertain. So score an example by the worst label distribution p, and pay for leaving the uniform one:

    psi_lam(f, y) = max_{p in simplex} sum_k p_k z_k − lam R(p),          z_k = f_k − f_y + margin 1[k ≠ y].

With ``R = KL(p, uniform)`` the maximum has a closed form, and its maximiser is a softmax:

    psi_lam = lam log( (1/K) sum_k exp(z_k / lam) ),      p* = softmax(z / lam),      ∂psi/∂f = p* − e_y.

lam = 1 without margin is cross-entropy less log K; lam → 0 is Crammer and Singer's hinge max_k z_k, from which psi
differs by at most lam log K; lam → ∞ is the mean of z, at a distance of at most (max z − min z)²/(8 lam).
With scores of fixed sum that mean is a symmetric loss, hence robust to label noise. The adaptive loss (ALDR) chooses
the temperature of every example by a second maximum, ``adaptive_temperature``: uniform predictions keep ``lam0``,
peaked ones get a smaller temperature.

    psi = ldr_kl(scores, labels, lam=10.0, margin=0.1, normalize="softplus")
    ldr_sup(z, lam=10.0)                                      # the same maximum, by a convex solver

What it means for consistency and label noise: ``top_k_consistency``.

Source: Zhu, Ying and Yang (2023), *Label Distributionally Robust Losses for Multi-class Classification: Consistency,
Robustness and Adaptivity*: the definitions of the LDR, LDR-KL and ALDR-KL losses; closed forms and rates re-derived.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog, minimize
from scipy.special import log_softmax, logsumexp, softmax

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, one_of, positive

__all__ = [
    "AdaptiveTemperature",
    "adaptive_objective",
    "adaptive_temperature",
    "kl_from_uniform",
    "ldr_closed_form",
    "ldr_kl",
    "ldr_limit",
    "ldr_sup",
    "margins",
    "normalized_scores",
    "one_step_temperature",
    "uniqueness_curvature",
    "worst_case_distribution",
]

Rows = Float[np.ndarray, "... classes"]
Values = Float[np.ndarray, "..."] | float
Labels = Int[np.ndarray, "..."] | int
Regularizer = Literal["kl", "euclidean", "none"]
Normalization = Literal["softplus", "l1"]

_REGULARIZERS = ("kl", "euclidean", "none")
_GRID = 400


def ldr_kl(
    scores: Rows,
    target: Labels,
    lam: float = 1.0,
    margin: float = 0.1,
    normalize: Normalization | None = None,
) -> Values:
    """``lam log mean_k exp(z_k / lam)`` for every example; ``scores (..., classes)`` and ``target`` broadcast.

    ``lam = inf`` is the linear loss ``mean z``; ``normalize`` as in ``normalized_scores``. Its gradient with respect to
    the (normalised) scores is ``worst_case_distribution − e_y``. Raises ``ValueError`` for scores that are not finite
    or have fewer than 2 classes, labels out of range, ``lam`` not above 0, a negative ``margin`` or an unknown
    ``normalize``.

    >>> scores = np.array([2.0, 0.0, 1.0])
    >>> cross_entropy = -np.log(np.exp(scores[0]) / np.exp(scores).sum())
    >>> bool(np.isclose(ldr_kl(scores, 0, lam=1.0, margin=0.0), cross_entropy - np.log(3)))
    True
    """
    if normalize is not None:
        scores = normalized_scores(scores, normalize)
    return ldr_closed_form(margins(scores, target, margin), lam)


def margins(scores: Rows, target: Labels, margin: float = 0.1) -> Rows:
    """``z_k = f_k − f_y + margin 1[k ≠ y]``; raises ``ValueError`` as ``ldr_kl``.

    >>> margins(np.array([1.0, 0.0, 3.0]), 0, margin=0.5).tolist()
    [0.0, -0.5, 2.5]
    """
    f, y = _scores("scores", scores), np.asarray(target)
    if y.dtype.kind not in "iu" or y.size == 0:
        raise ValueError(f"target must hold whole numbers, got {y.dtype} of shape {y.shape}")
    if y.min() < 0 or y.max() >= f.shape[-1]:
        raise ValueError(f"target must be in 0 … {f.shape[-1] - 1}, got {y.min()} … {y.max()}")
    c = at_least("margin", margin, 0)
    try:
        shape = np.broadcast_shapes(f.shape[:-1], y.shape)
    except ValueError:
        raise ValueError(f"target must broadcast against scores, got {y.shape} for {f.shape}") from None
    f, y = np.broadcast_to(f, (*shape, f.shape[-1])), np.broadcast_to(y, shape)
    own = np.take_along_axis(f, y[..., None], axis=-1)
    return f - own + c * (np.arange(f.shape[-1]) != y[..., None])


def normalized_scores(scores: Rows, normalize: Normalization = "softplus") -> Rows:
    """Scores on a set on which the linear limit is symmetric: ``"softplus"`` positive of mean 1, ``"l1"`` of l1 norm K.

    softplus: ``K softplus(s) / sum softplus(s)``; l1: ``K s / sum |s|``, in which a zero row stays zero. Only the first
    has a fixed sum; l1 has one for scores of one sign. Raises ``ValueError`` as ``ldr_kl``.

    >>> normalized_scores(np.array([0.0, 0.0, 0.0, -2000.0])).round(6).tolist()
    [1.333333, 1.333333, 1.333333, 0.0]
    """
    s = _scores("scores", scores)
    K = s.shape[-1]
    if one_of("normalize", normalize, ("softplus", "l1")) == "softplus":
        # log softplus(s) = s − e^s / 2 + … : where softplus underflows, s itself is exact
        log_softplus = np.where(s > -40, np.log(np.logaddexp(0, np.maximum(s, -40))), s)
        return K * softmax(log_softplus, axis=-1)
    norm = np.abs(s).sum(axis=-1, keepdims=True)
    return K * s / np.where(norm > 0, norm, 1.0)


def ldr_closed_form(z: Rows, lam: float = 1.0, regularizer: Regularizer = "kl") -> Values:
    """The maximum over label distributions, in closed form; shapes ``(..., classes)`` to ``(...)``.

    * ``"kl"``, ``R = sum p log(K p)``:  ``lam log mean exp(z / lam)``.
    * ``"euclidean"``, ``R = (K sum p² − 1) / 2``: p is the projection of ``z / (lam K)`` onto the simplex.
    * ``"none"``, R = 0: ``max z``, the hinge of Crammer and Singer.

    ``lam = inf`` is ``mean z``, the value at the uniform distribution. Raises ``ValueError`` for z that is not finite
    or has fewer than 2 classes, ``lam`` not above 0 or an unknown regularizer.

    >>> z = np.array([0.0, 1.0, -1.0])
    >>> [round(float(ldr_closed_form(z, 0.5, r)), 4) for r in ("kl", "euclidean", "none")]
    [0.5222, 0.5417, 1.0]
    """
    z, lam = _scores("z", z), _temperature("lam", lam)
    if one_of("regularizer", regularizer, _REGULARIZERS) == "none":
        return z.max(axis=-1)[()]
    if math.isinf(lam):
        return z.mean(axis=-1)[()]
    p = worst_case_distribution(z, lam, regularizer)
    if regularizer == "euclidean":
        return ((p * z).sum(axis=-1) - lam * _penalty(p, "euclidean"))[()]
    top = z.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        below = np.expm1((z - top) / lam).mean(axis=-1)
        # near 0 the logarithm of the mean would lose what log1p keeps, and the reverse near −1
        log_mean = np.where(below > -0.5, np.log1p(below), logsumexp((z - top) / lam, axis=-1) - np.log(z.shape[-1]))
    return (top[..., 0] + lam * log_mean)[()]


def worst_case_distribution(z: Rows, lam: float = 1.0, regularizer: Regularizer = "kl") -> Rows:
    """The label distribution p* at which ``ldr_closed_form`` is attained.

    softmax(z / lam) for ``"kl"``, the projection of ``z / (lam K)`` onto the simplex for ``"euclidean"``, uniform on
    the largest entries for ``"none"``. Raises ``ValueError`` as ``ldr_closed_form``.

    >>> worst_case_distribution(np.array([0.0, 3.0, 0.0]), 1.0, "euclidean").tolist()
    [0.0, 1.0, 0.0]
    """
    z, lam = _scores("z", z), _temperature("lam", lam)
    top = z.max(axis=-1, keepdims=True)
    if one_of("regularizer", regularizer, _REGULARIZERS) == "none":
        largest = z == top
        return largest / largest.sum(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        scaled = (z - top) / lam
    if regularizer == "kl":
        return softmax(scaled, axis=-1)
    # only entries within K of the largest can have mass, and clipping the others avoids overflow
    return _projected_to_simplex(np.maximum(scaled, -2.0 * z.shape[-1]) / z.shape[-1])


def ldr_sup(
    z: Rows,
    lam: float = 1.0,
    regularizer: Regularizer = "kl",
    solver: Literal["cvxpy", "numeric"] = "cvxpy",
) -> Values:
    """``max_{p in simplex} sum p z − lam R(p)`` as it is defined, solved anew for every instance.

    ``"cvxpy"`` hands it to an interior-point solver, ``"numeric"`` to scipy (sequential quadratic programming; linear
    programming for ``"none"``). Neither knows the closed form. Values are good to 1e-9 of the scale of z and lam.
    Raises ``ValueError`` as ``ldr_closed_form``, for ``lam = inf`` and for an unknown solver.

    >>> round(float(ldr_sup(np.array([0.0, 1.0, -1.0]), 0.5, solver="numeric")), 6)
    0.52216
    """
    z, lam = _scores("z", z), positive("lam", lam)
    one_of("regularizer", regularizer, _REGULARIZERS)
    solve = _cvxpy_maximum if one_of("solver", solver, ("cvxpy", "numeric")) == "cvxpy" else _scipy_maximum
    flat = z.reshape(-1, z.shape[-1])
    return solve(flat, lam, regularizer).reshape(z.shape[:-1])[()]


def ldr_limit(z: Rows, which: Literal["svm", "linear"]) -> Values:
    """The two ends of the temperature: ``"svm"`` is ``max z`` (lam → 0), ``"linear"`` is ``mean z`` (lam → ∞).

    Raises ``ValueError`` for z that is not finite or has fewer than 2 classes, or an unknown end.

    >>> ldr_limit(np.array([0.0, 3.0]), "svm"), ldr_limit(np.array([0.0, 3.0]), "linear")
    (np.float64(3.0), np.float64(1.5))
    """
    z = _scores("z", z)
    return (z.max(axis=-1) if one_of("which", which, ("svm", "linear")) == "svm" else z.mean(axis=-1))[()]


def kl_from_uniform(z: Rows, lam: Values) -> Values:
    """``KL(softmax(z / lam), uniform)``, in [0, log K]; minus the derivative of ``ldr_closed_form`` in lam.

    ``lam`` broadcasts against the leading axes of z. Raises ``ValueError`` for lam not above 0 or z as above.

    >>> bool(kl_from_uniform(np.array([1.0, 1.0, 1.0]), 0.3) == 0)
    True
    """
    z, t = _scores("z", z), finite_array("lam", lam)
    if t.min() <= 0:
        raise ValueError(f"lam must be above 0, got {t.min()}")
    _broadcast(z, t)
    return _kl(z, t)[()]


@dataclass(frozen=True)
class AdaptiveTemperature:
    """The maximiser ``lam`` of the ALDR objective, its ``value``, and how many local ``maxima`` the objective has."""

    lam: Float[np.ndarray, "..."]
    value: Float[np.ndarray, "..."]
    maxima: Int[np.ndarray, "..."]


def adaptive_objective(z: Rows, lam: Values, lam0: float = 10.0, alpha: float = 2.0) -> Values:
    """``lam log mean exp(z / lam) − (alpha log K / (2 lam0)) (lam − lam0)²``, the function that ALDR-KL maximises.

    ``alpha`` is in units in which the maximiser lies in ``[lam0 (1 − 1/alpha), lam0]``: the paper's strength is
    ``alpha log K / lam0``. ``lam`` broadcasts against the leading axes of z and may be 0. Raises ``ValueError`` for
    negative lam, ``lam0`` or ``alpha`` not above 0, or z as above.

    >>> float(adaptive_objective(np.array([0.0, 0.0]), 10.0, lam0=10.0))
    0.0
    """
    z, t = _scores("z", z), finite_array("lam", lam)
    strength = _strength(z, lam0, alpha)
    if t.min() < 0:
        raise ValueError(f"lam must be at least 0, got {t.min()}")
    _broadcast(z, t)
    return _objective(z, t, lam0, strength)[()]


def adaptive_temperature(z: Rows, lam0: float = 10.0, alpha: float = 2.0) -> AdaptiveTemperature:
    """The temperature of every example that ALDR-KL chooses: the global maximiser of ``adaptive_objective`` in lam ≥ 0.

    Stationary temperatures solve ``lam = lam0 (1 − KL(p_lam, uniform) / (alpha log K))``, so that they lie in
    ``[lam0 (1 − 1/alpha), lam0]``. All sign changes of the derivative on a fine grid are bisected and compared: the
    objective is concave only where ``alpha log K / lam0`` exceeds ``uniqueness_curvature``. Raises ``ValueError`` as
    ``adaptive_objective``.

    >>> float(adaptive_temperature(np.zeros(3), lam0=5.0).lam)
    5.0
    """
    z = _scores("z", z)
    strength = _strength(z, lam0, alpha)
    flat = z.reshape(-1, z.shape[-1])
    low = max(lam0 * (1 - 1 / alpha), 0.0)
    grid = low + (lam0 - low) * np.linspace(0, 1, _GRID + 1) ** 2
    grid = np.maximum(grid, lam0 * 1e-9)
    slopes = np.stack([-_kl(flat, t) - strength * (t - lam0) for t in grid])
    # + to − is a maximum; the right end counts as one where KL vanishes there
    slopes[-1] = np.minimum(slopes[-1], -1e-300)
    peak = (slopes[:-1] >= 0) & (slopes[1:] < 0)
    best_value, best = _objective(flat, np.full(len(flat), low), lam0, strength), np.full(len(flat), low)
    count = (slopes[0] < 0).astype(np.int64)
    for left in range(_GRID):
        rows = np.flatnonzero(peak[left])
        if rows.size:
            root = _bisected(flat[rows], grid[left], grid[left + 1], lam0, strength)
            value = _objective(flat[rows], root, lam0, strength)
            # at an equal value the interior maximum is meant
            better = value >= best_value[rows] - 1e-15
            best[rows], best_value[rows] = (
                np.where(better, root, best[rows]),
                np.where(better, value, best_value[rows]),
            )
            count[rows] += 1
    shape = z.shape[:-1]
    return AdaptiveTemperature(best.reshape(shape), best_value.reshape(shape), np.maximum(count, 1).reshape(shape))


def one_step_temperature(z: Rows, lam: Values, lam0: float = 10.0, alpha: float = 2.0) -> Values:
    """One step of the fixed-point iteration, ``lam0 (1 − KL(p_lam, uniform) / (alpha log K))``, not below 0.

    A contraction towards the adaptive temperature where ``alpha log K / lam0`` exceeds ``uniqueness_curvature``.
    Raises ``ValueError`` as ``adaptive_objective``, and for lam not above 0.

    >>> float(one_step_temperature(np.zeros(3), 0.5, lam0=5.0))
    5.0
    """
    z = _scores("z", z)
    return np.maximum(lam0 - kl_from_uniform(z, lam) / _strength(z, lam0, alpha), 0.0)


def uniqueness_curvature(z: Rows, low: float, high: float) -> Values:
    """``sup of Var_{p_lam}(z) / lam³`` over ``low ≤ lam ≤ high``: strengths above it make the objective concave there.

    It is minus the derivative of ``kl_from_uniform``. The supremum is over a grid of 400 temperatures, and not below
    the true one by more than the grid's step allows. Raises ``ValueError`` unless ``0 < low ≤ high``.

    >>> float(uniqueness_curvature(np.array([2.0, 2.0]), 1.0, 2.0))
    0.0
    """
    z = _scores("z", z)
    if positive("low", low) > positive("high", high):
        raise ValueError(f"low must not be above high, got {low!r} and {high!r}")
    worst = np.zeros(z.shape[:-1])
    for t in np.geomspace(low, high, _GRID):
        p = softmax(z / t, axis=-1)
        variance = (p * (z - (p * z).sum(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
        worst = np.maximum(worst, variance / t**3)
    return worst[()]


def _penalty(p: np.ndarray, regularizer: Regularizer) -> np.ndarray:
    K = p.shape[-1]
    if regularizer == "kl":
        return np.asarray((p * np.log(np.maximum(K * p, 1e-300))).sum(axis=-1))
    return np.asarray((K * (p**2).sum(axis=-1) - 1) / 2 if regularizer == "euclidean" else np.zeros(p.shape[:-1]))


def _projected_to_simplex(v: np.ndarray) -> np.ndarray:
    """The nearest distribution: subtract the threshold that leaves mass 1, and cut at 0."""
    falling = -np.sort(-v, axis=-1)
    excess = (np.cumsum(falling, axis=-1) - 1) / np.arange(1, v.shape[-1] + 1)
    kept = (falling > excess).sum(axis=-1, keepdims=True)
    return np.maximum(v - np.take_along_axis(excess, kept - 1, axis=-1), 0.0)


def _cvxpy_maximum(z: np.ndarray, lam: float, regularizer: Regularizer) -> np.ndarray:
    import cvxpy as cp

    K, scale = z.shape[1], float(lam + np.ptp(z, axis=1).max())
    p, row = cp.Variable(K), cp.Parameter(K)
    penalty = {
        "kl": lambda: math.log(K) - cp.sum(cp.entr(p)),
        "euclidean": lambda: (K * cp.sum_squares(p) - 1) / 2,
        "none": lambda: cp.Constant(0.0),
    }[regularizer]()
    problem = cp.Problem(cp.Maximize(row @ p - lam / scale * penalty), [cp.Zero(cp.sum(p) - 1), cp.NonNeg(p)])
    # At an interior maximum the value's error is the square of the solver's; at a boundary it is the solver's own.
    gap = 1e-9 if regularizer == "kl" else 1e-10
    values = np.empty(len(z))
    for number, each in enumerate(z):
        row.value = (each - each.max()) / scale
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=gap, tol_gap_rel=gap, tol_feas=gap)
        # a point of the simplex itself
        inside = np.maximum(np.asarray(p.value, dtype=np.float64), 0.0)
        found = inside / inside.sum()
        values[number] = found @ each - lam * _penalty(found, regularizer)
    return values


def _scipy_maximum(z: np.ndarray, lam: float, regularizer: Regularizer) -> np.ndarray:
    K = z.shape[1]
    simplex = {"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda p: np.ones(K)}
    values = np.empty(len(z))
    for number, row in enumerate(z):
        if regularizer == "none":
            values[number] = -linprog(-row, A_eq=np.ones((1, K)), b_eq=[1.0], bounds=(0, 1)).fun
            continue

        def negative(p: np.ndarray, row: np.ndarray, scale: float) -> tuple[float, np.ndarray]:
            slope = np.log(K * p) + 1 if regularizer == "kl" else K * p
            return float(lam * _penalty(p, regularizer) - p @ row) / scale, (lam * slope - row) / scale

        scale = lam + np.ptp(row)
        corner = np.where(row == row.max(), 1.0, 1e-3)
        # from the middle alone it sometimes stops early where the maximiser is near a corner
        found = [
            minimize(
                negative, start / start.sum(), (row, scale), jac=True, method="SLSQP", bounds=[(1e-14, 1)] * K,
                constraints=[simplex], options={"ftol": 1e-15, "maxiter": 500},
            ).fun
            for start in (np.ones(K), corner)
        ]  # fmt: skip
        values[number] = -scale * min(found)
    return values


def _kl(z: np.ndarray, lam: np.ndarray | float) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled = (z - z.max(axis=-1, keepdims=True)) / np.asarray(lam)[..., None]
    log_p = log_softmax(np.maximum(scaled, -1e300), axis=-1)
    return np.asarray(np.maximum((np.exp(log_p) * (log_p + np.log(z.shape[-1]))).sum(axis=-1), 0.0))


def _objective(z: np.ndarray, lam: np.ndarray, lam0: float, strength: float) -> np.ndarray:
    top = z.max(axis=-1)
    positive_lam = np.where(lam > 0, lam, 1.0)
    with np.errstate(over="ignore"):
        scaled = (z - top[..., None]) / positive_lam[..., None]
    value = top + np.where(lam > 0, lam, 0.0) * np.log(np.exp(scaled).mean(axis=-1))
    return np.asarray(value - strength / 2 * (lam - lam0) ** 2)


def _bisected(z: np.ndarray, left: float, right: float, lam0: float, strength: float) -> np.ndarray:
    low, high = np.full(len(z), left), np.full(len(z), right)
    for _ in range(60):
        middle = (low + high) / 2
        rising = -_kl(z, middle) - strength * (middle - lam0) >= 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return (low + high) / 2


def _strength(z: np.ndarray, lam0: float, alpha: float) -> float:
    return positive("alpha", alpha) * math.log(z.shape[-1]) / positive("lam0", lam0)


def _scores(name: str, value: object) -> np.ndarray:
    array = finite_array(name, value)
    if array.ndim == 0 or array.shape[-1] < 2:
        raise ValueError(f"{name} must have at least 2 classes along its last axis, got shape {array.shape}")
    return array


def _temperature(name: str, value: float) -> float:
    return math.inf if isinstance(value, float) and value == math.inf else positive(name, value)


def _broadcast(z: np.ndarray, lam: np.ndarray) -> None:
    try:
        np.broadcast_shapes(z.shape[:-1], lam.shape)
    except ValueError:
        raise ValueError(f"lam must broadcast against the leading axes of z, got {lam.shape} for {z.shape}") from None


def _sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Scores from flat to spread, two of them per instance, and temperatures over six decades."""
    f = rng.normal(size=(count, 5)) * 10.0 ** rng.uniform(-2, 1.5, (count, 1))
    return {
        "f": f,
        "g": f + rng.normal(size=(count, 5)) * 10.0 ** rng.uniform(-4, 1, (count, 1)),
        "log_lam": rng.uniform(-3, 3, count),
        "more": rng.uniform(0, 3, count),
        "margin": rng.uniform(0, 1, count) * (rng.random(count) < 0.7),
    }


def _psi(f: np.ndarray, log_lam: np.ndarray, margin: np.ndarray) -> np.ndarray:
    z = _z(f, margin)
    return _objective(z, 10.0**log_lam, 1.0, 0.0)


def _z(f: np.ndarray, margin: np.ndarray) -> np.ndarray:
    return f - f[:, :1] + margin[:, None] * (np.arange(f.shape[1]) > 0)


def _bounds() -> Iterator[Bound]:
    source = "LDR-KL loss; derived here"
    yield Bound(
        "LDR-KL at most lam log K below the hinge", source,
        lambda f, log_lam, margin, **_: _z(f, margin).max(1) - _psi(f, log_lam, margin),
        lambda f, log_lam, **_: 10.0**log_lam * np.log(f.shape[1]), _sampler,
    )  # fmt: skip
    yield Bound(
        "LDR-KL at most range²/(8 lam) above the mean", "Hoeffding's lemma",
        lambda f, log_lam, margin, **_: _psi(f, log_lam, margin) - _z(f, margin).mean(1),
        lambda f, log_lam, margin, **_: np.ptp(_z(f, margin), axis=1) ** 2 / (8 * 10.0**log_lam)
        + 1e-13 * (10.0**log_lam + np.ptp(f, axis=1)), _sampler,
    )  # fmt: skip
    yield Bound(
        "LDR-KL does not increase in lam", source,
        lambda f, log_lam, margin, more, **_: _psi(f, log_lam + more, margin),
        lambda f, log_lam, margin, more, **_: _psi(f, log_lam, margin)
        + 1e-13 * (10.0 ** (log_lam + more) + np.ptp(f, axis=1)), _sampler,
    )  # fmt: skip
    yield Bound(
        "LDR-KL moves by at most twice the change of the scores", source,
        lambda f, g, log_lam, margin, **_: np.abs(_psi(f, log_lam, margin) - _psi(g, log_lam, margin)),
        lambda f, g, log_lam, **_: 2 * np.abs(f - g).max(1) + 1e-13 * (10.0**log_lam + np.ptp(f, axis=1)), _sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
