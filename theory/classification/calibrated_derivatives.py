"""Which margin losses are consistent: calibration read off the derivative, the psi-transform, and the tail.

A margin loss phi is paid at ``z = y f(x)``, y = ±1; ``eta = P(y = 1 | x)``. Write ``g = phi'``. If

    g does not decrease (phi is convex),     g is continuous at 0 with g(0) < 0,

then phi is classification-calibrated: scores that minimise ``C_eta(a) = eta phi(a) + (1 − eta) phi(−a)`` have the sign
of ``2 eta − 1``; for convex phi the condition at 0 is also necessary. Excess risks then obey

    psi(R_01 − R*_01)  <=  R_phi − R*_phi,       psi(theta) = H^−(eta) − H(eta) at eta = (1 + theta)/2,

H the infimum of C_eta and H^− that over scores of the wrong sign. The right-hand side says something only if R*_phi is
finite, which for convex phi needs ``∫_1^∞ |g| < ∞`` unless g turns positive: a tail ``|g| ~ z^{−p}`` has to have p > 1.

    is_calibrated(MARGIN_LOSSES["hinge"].derivative)         # True
    is_calibrated(MARGIN_LOSSES["perceptron"].derivative)    # False: continuous at 0 it is not
    bounded_below(tail_loss(1.0).derivative)                 # False: 1/z is not enough

Sources: Bartlett, Jordan and McAuliffe (2006), *Convexity, Classification, and Risk Bounds*, for calibration and psi;
Dai (2025), *EnsLoss*, for the conditions on derivatives. Re-derived and checked here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, xlogy

from theory.fuzz import Bound
from theory.validation import finite_array, one_of, positive

__all__ = [
    "MARGIN_LOSSES",
    "MarginLoss",
    "bounded_below",
    "conditional_minimizer",
    "is_calibrated",
    "psi_closed_form",
    "psi_transform",
    "tail_integral",
    "tail_loss",
]

Values = Float[np.ndarray, "..."] | float
Function = Callable[[np.ndarray], np.ndarray]

_LARGEST_SCORE = 1e6


@dataclass(frozen=True)
class MarginLoss:
    """A margin loss and its derivative (at a kink: one between the two slopes), both elementwise on arrays."""

    value: Function
    derivative: Function


def tail_loss(tail_power: float) -> MarginLoss:
    """The hinge with slope ``−z^{−p}`` beyond z = 1: ``(z^{1−p} − 1)/(p − 1)`` there, ``−log z`` at p = 1.

    Convex and calibrated for every p > 0, bounded below only for p > 1. Raises ``ValueError`` unless
    ``tail_power`` is a finite number above 0. Source: the tails discussed in Dai (2025).

    >>> round(float(tail_loss(2.0).value(np.array(4.0))), 6)
    -0.75
    """
    p = positive("tail_power", tail_power)
    if p == 1:
        return _hinge_with_tail(lambda z: -np.log(z), lambda z: -1 / z)
    # expm1 keeps every digit as p tends to 1.
    return _hinge_with_tail(lambda z: np.expm1((1 - p) * np.log(z)) / (p - 1), lambda z: -(z**-p))


def is_calibrated(phi_prime: Function) -> bool:
    """Whether g is the derivative of a *convex* and classification-calibrated loss.

    g is looked at on a grid from −10⁴ to 10⁴ that is geometric towards 0: it must not decrease, must be negative at 0,
    and its jump from −h to h must shrink with h. False for the perceptron loss and for any other corner at 0, and for
    losses that are not convex; some of those, the focal loss for one, are calibrated by other arguments.

    Raises ``ValueError`` if ``phi_prime`` is not callable or gives NaN or another shape.

    >>> is_calibrated(lambda z: -np.exp(-z)), is_calibrated(lambda z: -(z < 0.0).astype(float))
    (True, False)
    """
    positive_half = np.geomspace(1e-9, 1e4, 1500)
    slopes = _evaluated("phi_prime", phi_prime, np.concatenate([-positive_half[::-1], [0.0], positive_half]))
    steps = slopes[1:] >= slopes[:-1] - 1e-12 * np.minimum(np.abs(slopes[1:]), 1e300)
    if not steps.all() or not slopes[len(positive_half)] < 0:
        return False
    near = _evaluated("phi_prime", phi_prime, np.array([-1e-12, -1e-15, 1e-15, 1e-12]))
    wide, narrow = near[3] - near[0], near[2] - near[1]
    return bool(narrow <= max(0.9 * wide, 8 * np.finfo(np.float64).eps * np.abs(near).max()) and near[2] < 0)


def bounded_below(phi_prime: Function) -> bool:
    """Whether a convex loss with this derivative has a finite infimum: ``∫_1^∞ |g| < ∞``, or g >= 0 somewhere.

    The tail is compared with ``z^{−p} (log z)^{−q}``: p and q are read off at e^50, e^100 and e^200, and the integral
    converges if p > 1, or p = 1 and q > 1. Rates with iterated logarithms, such as 1/(z log z (log log z)²), are beyond
    it. Raises ``ValueError`` as ``is_calibrated``.

    >>> bounded_below(lambda z: -1 / z**1.1), bounded_below(lambda z: -1 / z)
    (True, False)
    """
    t = np.array([50.0, 100.0, 200.0])
    slopes = _evaluated("phi_prime", phi_prime, np.exp(t))
    if slopes.max() >= 0:
        # Convex: phi does not fall any more. An underflow means a tail far below any borderline.
        return True
    # log|g| = c − p t − q log t
    _, p, q = np.linalg.solve(np.stack([np.ones(3), -t, -np.log(t)], axis=1), np.log(-slopes))
    return bool(p > 1 + 1e-6 or (abs(p - 1) <= 1e-6 and q > 1 + 1e-4))


def tail_integral(phi_prime: Function, upper: float) -> float:
    """``∫_1^upper |g(z)| dz``: how far the loss falls from z = 1 to ``upper`` if g is negative there.

    Gauss-Legendre quadrature in log z, 20 nodes on each of 200 panels. Raises ``ValueError`` as ``is_calibrated`` and
    unless ``upper`` is a finite number above 1.

    >>> round(tail_integral(lambda z: -1 / z, 1e8), 4)
    18.4207
    """
    if positive("upper", upper) <= 1:
        raise ValueError(f"upper must be a finite number above 1, got {upper!r}")
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(0.0, np.log(upper), 201)
    half = np.diff(edges)[:, None] / 2
    s = edges[:-1, None] + half * (nodes + 1)
    slopes = _evaluated("phi_prime", phi_prime, np.exp(s))
    return float((half * weights * np.abs(slopes) * np.exp(s)).sum())


def conditional_minimizer(phi: Function, eta: Values) -> Values:
    """``argmin_a eta phi(a) + (1 − eta) phi(−a)``: of several minimisers the one closest to 0.

    Scores up to 10⁶ are searched: a grid in arsinh a, then ever finer ones around the best. Comparing values, it gets a
    curved minimum to a few 1e-7. Raises ``ValueError``
    unless every ``eta`` is strictly between 0 and 1 (at the ends the infimum may be at infinity), or if ``phi`` is not
    callable or gives NaN or another shape.

    >>> float(np.round(conditional_minimizer(MARGIN_LOSSES["hinge"].value, 0.7), 6))
    1.0
    """
    checked = finite_array("eta", eta)
    if checked.min() <= 0 or checked.max() >= 1:
        raise ValueError(f"eta must be strictly between 0 and 1, got {checked.min()} … {checked.max()}")
    return _search(phi, checked.ravel(), -_LARGEST_SCORE, _LARGEST_SCORE)[0].reshape(checked.shape)[()]


def psi_transform(phi: Function, theta: Values) -> Values:
    """``psi(theta) = inf_{a <= 0} C_eta(a) − inf_a C_eta(a)`` at ``eta = (1 + theta)/2``, by search.

    For convex calibrated phi it is ``phi(0) − H(eta)``, convex, and positive for theta > 0; for the perceptron loss it
    is 0. For a phi that is not convex the transform of the theory is the convex hull of this function. A phi that is
    not bounded below gives no sensible number near theta = 1. Raises ``ValueError`` as ``conditional_minimizer``, and
    unless every ``theta`` is in [0, 1].

    >>> float(np.round(psi_transform(MARGIN_LOSSES["exp"].value, 0.6), 9))
    0.2
    """
    checked = _checked_theta(theta)
    eta = (1 + checked.ravel()) / 2
    wrong = _search(phi, eta, -_LARGEST_SCORE, 0.0)[1]
    best = _search(phi, eta, -_LARGEST_SCORE, _LARGEST_SCORE)[1]
    return np.where(checked.ravel() == 0, 0.0, np.maximum(wrong - best, 0.0)).reshape(checked.shape)[()]


def psi_closed_form(name: str, theta: Values) -> Values:
    """psi of ``"hinge"``, ``"exp"``, ``"squared"``, ``"bce"`` (in nats) or ``"perceptron"``.

        theta,    1 − sqrt(1 − theta²),    theta²,    ((1 + theta) log(1 + theta) + (1 − theta) log(1 − theta))/2,    0

    Raises ``ValueError`` for another name or a ``theta`` outside [0, 1]. Source: Bartlett et al. (2006), the examples.

    >>> float(psi_closed_form("squared", 0.5))
    0.25
    """
    one_of("name", name, _PSI)
    return _PSI[name](_checked_theta(theta))[()]


_PSI: dict[str, Function] = {
    "hinge": lambda t: t,
    # 1 − sqrt(1 − t²) without cancellation
    "exp": lambda t: t**2 / (1 + np.sqrt((1 - t) * (1 + t))),
    "squared": lambda t: t**2,
    "bce": lambda t: (xlogy(1 + t, 1 + t) + xlogy(1 - t, 1 - t)) / 2,
    "perceptron": np.zeros_like,
}


def _hinge_with_tail(tail: Function, slope: Function) -> MarginLoss:
    """``1 − z`` up to 1 and ``tail`` beyond, which is only evaluated there."""
    return MarginLoss(
        lambda z: np.where(z <= 1, 1 - z, tail(np.asarray(np.maximum(z, 1)))),
        lambda z: np.where(z <= 1, -1.0, slope(np.asarray(np.maximum(z, 1)))),
    )


_LOG_SHIFT = np.e - 1
MARGIN_LOSSES: dict[str, MarginLoss] = {
    "bce": MarginLoss(lambda z: np.logaddexp(0, -z), lambda z: -expit(-z)),
    "hinge": MarginLoss(lambda z: np.maximum(1 - z, 0), lambda z: -1.0 * (z < 1)),
    "exp": MarginLoss(lambda z: np.exp(-z), lambda z: -np.exp(-z)),
    "squared": MarginLoss(lambda z: (1 - z) ** 2, lambda z: 2 * (z - 1)),
    "focal": MarginLoss(
        lambda z: expit(-z) ** 2 * np.logaddexp(0, -z),
        lambda z: -(expit(-z) ** 2) * (2 * expit(z) * np.logaddexp(0, -z) + expit(-z)),
    ),
    "sqrt_hinge": tail_loss(0.5),
    "log_hinge": tail_loss(1.0),
    "inv_hinge": tail_loss(2.0),
    "exp_hinge": _hinge_with_tail(lambda z: np.expm1(1 - z), lambda z: -np.exp(1 - z)),
    "inv_log_hinge": _hinge_with_tail(
        lambda z: np.e / np.log(z + _LOG_SHIFT) - np.e,
        lambda z: -np.e / ((z + _LOG_SHIFT) * np.log(z + _LOG_SHIFT) ** 2),
    ),
    "perceptron": MarginLoss(lambda z: np.maximum(-z, 0), lambda z: -1.0 * (z < 0)),
    "corner": MarginLoss(lambda z: np.maximum(-z, -z / 2), lambda z: np.where(z < 0, -1.0, -0.5)),
    "official_sqrt_hinge": _hinge_with_tail(
        lambda z: -2 * np.sqrt(z - 1), lambda z: -1 / np.sqrt(np.maximum(z - 1, 1e-300))
    ),
    "official_exp_hinge": _hinge_with_tail(lambda z: -np.exp(1 - z), lambda z: np.exp(1 - z)),
}
"""Losses by name. ``corner`` has negative slopes everywhere and is not calibrated: its slope jumps at 0.

The tails ``sqrt_hinge`` … ``inv_log_hinge`` leave the hinge with slope −1, so that they are convex. The two of the
authors' code that do not are here as ``official_…``: a square root that starts infinitely steep, and an exponential
that falls to −1 at once and then grows.
"""


def _evaluated(name: str, function: Function, z: np.ndarray) -> np.ndarray:
    """``function(z)`` as float64; infinite values pass, NaN and other shapes do not."""
    if not callable(function):
        raise ValueError(f"{name} must be a function of an array, got {function!r:.60}")
    with np.errstate(all="ignore"):
        values = np.asarray(function(z), dtype=np.float64)
    if values.shape != z.shape or np.isnan(values).any():
        wrong = "NaN" if values.shape == z.shape else f"shape {values.shape} for {z.shape}"
        raise ValueError(f"{name} must give one real number per margin, got {wrong}")
    return values


def _checked_theta(theta: Values) -> np.ndarray:
    checked = finite_array("theta", theta)
    if checked.min() < 0 or checked.max() > 1:
        raise ValueError(f"theta must be in [0, 1], got {checked.min()} … {checked.max()}")
    return checked


def _search(phi: Function, eta: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimiser closest to 0 and minimum of ``C_eta`` over ``[low, high]``, one per eta."""
    left = np.full(len(eta), np.arcsinh(low))
    right = np.full(len(eta), np.arcsinh(high))
    score, least = np.zeros(len(eta)), np.zeros(len(eta))
    for points in (801, *[33] * 14):
        s = np.linspace(left, right, points, axis=1)
        # Exactly the ends and, where it lies inside, 0: kinks are there.
        s = np.where(np.abs(s) < 1e-14, 0.0, s)
        scores = np.clip(np.sinh(s), low, high)
        risk = _weighted(eta, _evaluated("phi", phi, scores)) + _weighted(1 - eta, _evaluated("phi", phi, -scores))
        least = risk.min(axis=1)
        ties = risk <= (least + 4 * np.finfo(np.float64).eps * (1 + np.abs(least)))[:, None]
        best = np.where(ties, np.abs(scores), np.inf).argmin(axis=1)
        rows = np.arange(len(eta))
        score = scores[rows, best]
        left, right = s[rows, np.maximum(best - 1, 0)], s[rows, np.minimum(best + 1, points - 1)]
    return score, least


def _weighted(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``weight · values`` with 0 · ∞ = 0: a label that never occurs costs nothing."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(weight[:, None] == 0, 0.0, weight[:, None] * values)


def _excess_zero_one(eta: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    wrong = (scores * (2 * eta - 1) <= 0) * np.abs(2 * eta - 1)
    return (weights * wrong).sum(axis=1)


def _excess_phi(name: str, eta: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    phi = MARGIN_LOSSES[name].value
    least = phi(np.zeros(())) - psi_closed_form(name, np.abs(2 * eta - 1))
    return (weights * (eta * phi(scores) + (1 - eta) * phi(-scores) - least)).sum(axis=1)


def _populations(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Five cells: probabilities of the label 1, scores, and weights; half of the scores are near 0."""
    near = rng.random((count, 5)) < 0.5
    weights = rng.gamma(10.0 ** rng.uniform(-1.5, 1, (count, 1)), size=(count, 5)) + 1e-300
    scores = np.where(near, 10.0 ** rng.uniform(-9, 0, (count, 5)), rng.uniform(0, 8, (count, 5)))
    return {
        "eta": rng.random((count, 5)),
        "scores": scores * rng.choice([-1.0, 1.0], (count, 5)),
        "weights": weights / weights.sum(axis=1, keepdims=True),
    }


BOUNDS = [
    Bound(
        f"psi of the 0-1 excess at most the {name} excess", "Bartlett et al. (2006), psi-transform bound",
        lambda eta, scores, weights, name=name: psi_closed_form(
            name, np.minimum(_excess_zero_one(eta, scores, weights), 1.0)
        ),
        lambda eta, scores, weights, name=name: _excess_phi(name, eta, scores, weights),
        _populations,
    )
    for name in ("hinge", "exp", "squared", "bce")
]  # fmt: skip
