"""H-consistency of cross-entropy and its relatives: what surrogate error says about 0-1 error, for the H in use.

Comp-sum losses ``l_tau`` (``comp_sum_risk``) contain the sum-exponential loss (tau = 0), cross-entropy (1),
generalised cross-entropy (1 < tau < 2) and the mean absolute error (2). For symmetric and complete hypothesis sets
H (scores of any label reach every real number), every distribution and every h in H,

    R_01(h) − R*_01(H)  <=  Gamma_tau( R_tau(h) − R*_tau(H) + M_tau(H) ) − M_01(H),      Gamma_tau = T_tau^{−1},

with the minimizability gap ``M_l(H) = R*_l(H) − E_x inf_{h in H} E[l(h, x, y) | x] >= 0`` of either loss. It follows
by Jensen from the pointwise ``regret_tau(p, h) >= T_tau(b)``, b the 0-1 regret, because T is convex.

    bound = HConsistencyBound(tau=1.0, n=10)
    bound.check(p, scores).holds              # pointwise, for any p and scores
    bound.excess_error(0.05)                  # 0-1 excess that a surrogate excess of 0.05 allows

Scores that are bounded (cosine logits, clipped weights) are not complete, and the bound fails for them
(``bounded_conditional_min``). Where T is tight and where it is loose: ``comp_sum_calibration``.

Source: Mao, Mohri and Zhong (2023), *Cross-Entropy Loss Functions: Theoretical Analysis and Applications*, the
H-consistency bounds of comp-sum losses and the analysis of their minimizability gaps; re-derived and checked here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import CubicHermiteSpline

from theory.classification.comp_sum_adversarial import adv_conditional_min
from theory.classification.comp_sum_calibration import (
    calibration_function,
    pooled_regret,
    tight_witness,
    transform,
    transform_with_slope,
)
from theory.classification.comp_sum_risk import (
    Distributions,
    Values,
    bounded_conditional_min,
    checked_distribution,
    checked_pair,
    checked_tau,
    comp_sum_loss,
    comp_sum_phi,
    conditional_min,
    conditional_regret,
    conditional_risk,
    error_gap,
    minimal_risk,
)
from theory.fuzz import Bound
from theory.validation import at_least, finite_array, whole_number

__all__ = [
    "HConsistencyBound",
    "PointwiseCheck",
    "adv_conditional_min",
    "bounded_conditional_min",
    "calibration_function",
    "comp_sum_loss",
    "comp_sum_phi",
    "conditional_min",
    "conditional_regret",
    "error_gap",
    "gamma",
    "gamma_upper",
    "gap_upper_bound",
    "minimizability_gap",
    "pooled_regret",
    "tight_witness",
    "transform",
]


@dataclass(frozen=True)
class PointwiseCheck:
    """Both sides of ``regret >= T(error gap)`` for every instance, and whether it holds up to rounding."""

    error_gap: Values
    surrogate_regret: Values
    least_regret: Values
    holds: Bool[np.ndarray, "..."] | np.bool_

    @property
    def slack(self) -> Values:
        """``surrogate_regret − T(error_gap)``."""
        return self.surrogate_regret - self.least_regret


@dataclass(frozen=True)
class HConsistencyBound:
    """The bound of ``l_tau`` with n labels, pointwise (``check``) and for risks (``excess_error``).

    Raises ``ValueError`` for ``tau < 0`` or ``n < 2``.

    >>> check = HConsistencyBound(tau=0.0, n=3).check(np.array([0.6, 0.4, 0.0]), np.array([0.0, 1.0, -9.0]))
    >>> round(float(check.error_gap), 6), bool(check.holds)
    (0.2, True)
    """

    tau: float
    n: int

    def __post_init__(self) -> None:
        checked_tau(self.tau)
        whole_number("n", self.n, 2)

    def check(self, p: Distributions, scores: Distributions) -> PointwiseCheck:
        """Hold ``regret_tau(p, scores) >= T_tau(error_gap)`` against instances ``(..., n)``.

        Ties count with the worst tie-break. A shortfall within 1e-12 · (1 + risk), or that an error of 1e-15 in the
        gap explains, counts as rounding. Raises ``ValueError`` for p that are not distributions, scores that are not
        finite, or another number of labels.
        """
        p, h = checked_pair(p, scores)
        if p.shape[-1] != self.n:
            raise ValueError(f"p must have n = {self.n} classes, got shape {p.shape}")
        risk = conditional_risk(p, h, float(self.tau))
        regret = risk - minimal_risk(p, float(self.tau))
        gap = error_gap(p, h)
        least = transform(gap, self.tau, self.n)
        # The gap is known to a few units of 1e-16, and for tau < 1 the slope of T is infinite at 1.
        rounding = least - transform(np.maximum(gap - 1e-15, 0.0), self.tau, self.n) + 1e-12 * (1 + risk)
        # An infinite risk, where l_tau overflows, satisfies any lower bound.
        return PointwiseCheck(gap, regret[()], least, (regret - least >= -rounding) | np.isposinf(risk))

    def excess_error(self, surrogate_excess: Values, surrogate_gap: Values = 0.0, zero_one_gap: Values = 0.0) -> Values:
        """The largest ``R_01(h) − R*_01(H)`` that ``R_tau(h) − R*_tau(H)`` and the two gaps allow.

        With both gaps left at 0 it is the bound for H = all measurable functions; for a restricted H that number is
        wrong. Raises ``ValueError`` for a surrogate excess plus gap below 0, a 0-1 gap below 0, or NaN.
        """
        excess = _numbers("surrogate_excess", surrogate_excess) + _numbers("surrogate_gap", surrogate_gap)
        excess = _checked_excess("surrogate_excess + surrogate_gap", excess)
        return gamma(excess, self.tau, self.n) - _checked_excess("zero_one_gap", zero_one_gap)


def gamma(t: Values, tau: float, n: int) -> Values:
    """``Gamma_tau(t)``: the inverse of ``transform`` on ``[0, T(1)]``, and 1 above.

    Safeguarded Newton on all values at once, from interpolation in a table of T: one or two steps for most. Raises
    ``ValueError`` for NaN, for t below −1e-12 (above it counts as rounding), ``tau < 0`` or ``n < 2``.

    >>> round(float(gamma(0.02, tau=0.0, n=3)), 6), float(gamma(5.0, tau=1.0, n=3))
    (0.198997, 1.0)
    """
    tau, n = checked_tau(tau), whole_number("n", n, 2)
    t = _checked_excess("t", t)
    largest = transform_with_slope(np.asarray(1.0), tau, n)[0]
    if tau >= 2:
        return (np.minimum(t, largest) / largest)[()]
    flat = t.ravel()
    beta = np.where(flat >= largest, 1.0, 0.0)
    active = np.flatnonzero((flat > 0) & (flat < largest))
    target = flat[active]
    guess = np.clip(_interpolated_inverse(target, tau, n), 0.0, 1.0)
    low, high = np.zeros_like(guess), np.ones_like(guess)
    # The bisection that guards Newton needs sixty rounds at most.
    for _ in range(60):
        value, slope = transform_with_slope(guess, tau, n)
        low, high = np.where(value < target, guess, low), np.where(value < target, high, guess)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = guess - (value - target) / slope
        inside = (step >= low) & (step <= high) & np.isfinite(slope)
        step = np.where(inside, step, (low + high) / 2)
        # A step this small leaves an error of its square, on the scale on which T bends.
        moving = (np.abs(step - guess) > 1e-8 * np.minimum(guess, 1 - guess)) & (value != target)
        beta[active] = np.where(value == target, guess, step)
        active, target, guess = active[moving], target[moving], step[moving]
        low, high = low[moving], high[moving]
        if active.size == 0:
            break
    return beta.reshape(t.shape)[()]


def gamma_upper(t: Values, tau: float, n: int) -> Values:
    """A power law above ``gamma``: the rate at which surrogate excess bounds 0-1 excess.

        sqrt(2^tau (2 − tau) t)  for tau < 1,   sqrt(2 n^{tau−1} t)  for 1 <= tau < 2,   (tau − 1) n^{tau−1} t  above.

    The first is sharp as t tends to 0. For 1 < tau < 2 the curvature at 0 would give the smaller
    ``sqrt(2 (2 − tau) n^{tau−1} t)``, which is *not* above ``gamma`` for larger t. Not cut at 1. Raises
    ``ValueError`` as ``gamma``.

    >>> float(gamma_upper(0.5, tau=1.0, n=7))
    1.0
    """
    tau, n = checked_tau(tau), whole_number("n", n, 2)
    return _majorant(_checked_excess("t", t), tau, n)[()]


def minimizability_gap(
    R_star: float,
    P: Float[np.ndarray, "points classes"],
    w: Float[np.ndarray, " points"],
    tau: float,
) -> float:
    """``M_tau(H) = R*_tau(H) − sum_x w_x inf_h sum_y P[x, y] l_tau`` of a finite population.

    ``R_star`` is the best risk in H, P the label distribution at each point, w the points' weights. Not negative for a
    true ``R_star``; an inexact one carries its error over. Raises ``ValueError`` for rows of P or a w that are not
    distributions, sizes that differ, ``tau < 0`` or ``R_star`` negative or not finite.

    >>> minimizability_gap(0.5, np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.5]), tau=2.0)
    0.5
    """
    return at_least("R_star", R_star, 0.0) - _mean_conditional_min(P, w, tau)


def gap_upper_bound(
    R0_star: float,
    P: Float[np.ndarray, "points classes"],
    w: Float[np.ndarray, " points"],
    tau: float,
) -> float:
    """``Phi_tau(R*_0(H)) − E_x inf <= ``: a bound on ``M_tau(H)`` from the best sum-exponential risk alone.

    By Jensen, since ``l_tau = Phi_tau(l_0)`` with Phi concave; equal to the gap at tau = 0. For deterministic labels it
    is ``Phi_tau(R*_0)``, which does not increase in tau; with noisy labels it may. Raises ``ValueError`` as
    ``minimizability_gap``, and for ``R0_star < 0``.
    """
    R0_star = at_least("R0_star", R0_star, 0.0)
    return float(comp_sum_phi(R0_star, tau) - _mean_conditional_min(P, w, tau))


def _mean_conditional_min(P: np.ndarray, w: np.ndarray, tau: float) -> float:
    tau = checked_tau(tau)
    P, w = checked_distribution(P, "P"), finite_array("w", w, 1)
    if P.ndim != 2 or P.shape[0] != len(w):
        raise ValueError(f"P and w must have shapes (points, classes) and (points,), got {P.shape} and {w.shape}")
    if w.min() < 0 or abs(w.sum() - 1) > 1e-6:
        raise ValueError(f"w must be weights that sum to 1, got a minimum of {w.min()} and a sum of {w.sum()}")
    return float(w @ minimal_risk(P, tau) / w.sum())


def _checked_excess(name: str, t: Values) -> np.ndarray:
    raw = _numbers(name, t)
    if raw.min() < -1e-12:
        raise ValueError(f"{name} must not be negative, got {raw.min()}")
    return np.asarray(np.maximum(raw, 0.0))


def _numbers(name: str, values: Values) -> np.ndarray:
    """Numbers that may be infinite, but not NaN."""
    raw = np.asarray(values)
    if raw.dtype.kind not in "fiu" or raw.size == 0 or np.isnan(raw).any():
        raise ValueError(f"{name} must hold numbers and no NaN, got {values!r:.60}")
    return np.asarray(raw, dtype=np.float64)


def _interpolated_inverse(t: np.ndarray, tau: float, n: int) -> np.ndarray:
    """``gamma`` to several digits, from a thousand values of T: cubic in ``sqrt(t)``, in which beta is smooth.

    Nodes crowd at 0, where T turns from a square to a line on a scale of 2 − tau, and at 1, where it may be infinitely
    steep.
    """
    tails = np.geomspace(1e-9, 0.5, 900), 1 - np.geomspace(0.5, 1e-6, 200)[1:]
    nodes = np.concatenate([[0.0], *tails, [1.0]])
    values, slopes = transform_with_slope(nodes, tau, n)
    roots = np.sqrt(values)
    with np.errstate(invalid="ignore"):
        derivatives = 2 * roots / slopes
    derivatives[0] = nodes[1] / roots[1]
    return CubicHermiteSpline(roots, nodes, derivatives)(np.sqrt(t))


def _majorant(t: np.ndarray, tau: float, n: int) -> np.ndarray:
    if tau >= 2:
        return np.asarray((tau - 1) * float(n) ** (tau - 1) * t)
    return np.asarray(np.sqrt((2**tau * (2 - tau) if tau < 1 else 2 * float(n) ** (tau - 1)) * t))


def _sampler(n: int) -> Callable[[np.random.Generator, int], dict[str, np.ndarray]]:
    """Distributions and scores: a half of them from sparse to flat at random, a half near the tight witness."""

    def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        weights = rng.gamma(10.0 ** rng.uniform(-2, 1, (count, 1)), size=(count, n)) + 1e-300
        scores = rng.normal(size=(count, n)) * 10.0 ** rng.uniform(-3, 1, (count, 1))
        beta = rng.random(count)
        near_p, near_scores = tight_witness(beta, 1.0, n, depth=12.0)
        near = (rng.random(count) < 0.5)[:, None]
        noise = 10.0 ** rng.uniform(-8, -1, (count, 1))
        p = np.where(near, near_p + noise * rng.random((count, n)), weights)
        return {
            "p": p / p.sum(axis=1, keepdims=True),
            "scores": np.where(near, near_scores + noise * rng.normal(size=(count, n)), scores),
        }

    return sample


def _bounds() -> Iterator[Bound]:
    for n in (2, 3, 10):
        for tau in (0.0, 1.0, 1.5, 2.0):
            yield Bound(
                f"comp-sum regret at least T, tau = {tau:g}, n = {n}", "H-consistency bound of comp-sum losses",
                lambda p, scores, tau=tau, n=n: np.asarray(transform(error_gap(p, scores), tau, n)),
                lambda p, scores, tau=tau: np.asarray(conditional_regret(p, scores, tau)), _sampler(n),
                _certificate_of_regret(tau, n),
            )  # fmt: skip
            yield Bound(
                f"Gamma at most its power law, tau = {tau:g}, n = {n}", "H-consistency bound of comp-sum losses",
                lambda t, tau=tau, n=n: np.asarray(gamma(t, tau, n)),
                lambda t, tau=tau, n=n: np.asarray(gamma_upper(t, tau, n)),
                lambda rng, count: {"t": 10.0 ** rng.uniform(-6, 0.5, count)},
                "identity" if tau == 2 else "proved for every n",
            )  # fmt: skip


def _certificate_of_regret(tau: float, n: int) -> str:
    """What ``theory.proved_inequalities`` proves of it."""
    if tau == 1:
        return "proved for every n"
    return "proved" if n == 2 and tau < 2 else ""


BOUNDS = list(_bounds())
