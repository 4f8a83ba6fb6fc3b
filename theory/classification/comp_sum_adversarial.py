"""Adversarially robust comp-sum losses on tables of scores: what an attack can do, and what it must cost.

A table holds the scores ``(perturbations, n)`` of one point under every perturbation of a finite set, the point itself
first. With ``D(x', y, k) = h(x', y) − h(x', k)`` and the ramp ``phi(u) = min(1, max(0, 1 − u/rho))``

    0-1        1 if some x' has min_{k≠y} D(x', y, k) <= 0
    margin     max_x' Phi_tau( sum_{k≠y} phi(D(x', y, k)) )
    smooth     Phi_tau( sum_{k≠y} exp(−D(x, y, k)/rho) ) + nu max_x' ‖D(x', y, ·) − D(x, y, ·)‖_2

For ``nu >= sqrt(n − 1)/rho`` the smooth loss is at least the margin loss: ``Phi_tau' <= 1``, phi is 1/rho-Lipschitz,
and ``phi(u) <= e^{−u/rho}``. And for every label distribution p, with ``Phi_tau(1) = (2^{1−tau} − 1)/(1 − tau)``,

    E_p[margin loss] − sum_k p_(k) Phi_tau(k − 1)  >=  Phi_tau(1) · ( E_p[0-1] − (1 − max p) ),

p_(1) >= p_(2) >= … Hence a bound on the robust 0-1 excess by the excess of the smooth loss *divided* by Phi_tau(1),
relative to the infimum of the margin loss, not of the smooth loss.

Source: Mao, Mohri and Zhong (2023), smooth adversarial comp-sum losses and their H-consistency bound; both
inequalities and the side of the constant are re-derived and checked here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from theory.classification.comp_sum_calibration import checked_beta
from theory.classification.comp_sum_risk import Values, checked_distribution, checked_tau, comp_sum_phi
from theory.fuzz import Bound
from theory.validation import at_least, finite_array, positive, whole_number

__all__ = [
    "adv_conditional_min",
    "adversarial_constant",
    "adversarial_margin_loss",
    "adversarial_witness",
    "adversarial_zero_one",
    "margin_ramp",
    "smooth_adversarial_loss",
]

Tables = Float[np.ndarray, "*batch perturbations classes"]
PerLabel = Float[np.ndarray, "*batch classes"]


def adversarial_zero_one(scores: Tables) -> PerLabel:
    """For every label y: 1.0 if some perturbation has another label with a score at least as large, else 0.0.

    Raises ``ValueError`` for tables without perturbations, with fewer than two classes, or not finite.
    """
    return (_least_margins(_checked_tables(scores)).min(axis=-2) <= 0).astype(float)


def adversarial_margin_loss(scores: Tables, tau: float, rho: float) -> PerLabel:
    """The margin loss of every label y, ``max_x' Phi_tau(sum_{k≠y} phi(D(x', y, k)))``.

    At most ``Phi_tau(n − 1)``. Raises ``ValueError`` as ``adversarial_zero_one``, for ``tau < 0`` or ``rho <= 0``.

    >>> adversarial_margin_loss(np.array([[2.0, 0.0], [0.5, 0.0]]), tau=0.0, rho=1.0).tolist()
    [0.5, 1.0]
    """
    tau, rho = checked_tau(tau), positive("rho", rho)
    # The sum over all k counts k = y as phi(0) = 1.
    wrong = np.asarray(margin_ramp(_margins(_checked_tables(scores)), rho)).sum(axis=-1) - 1
    return np.asarray(comp_sum_phi(np.maximum(wrong, 0.0).max(axis=-2), tau))


def smooth_adversarial_loss(scores: Tables, tau: float, rho: float, nu: float) -> PerLabel:
    """The smooth loss of every label y; the first perturbation is the point itself.

    Raises ``ValueError`` as ``adversarial_margin_loss``, and for ``nu`` negative or not finite.

    >>> smooth_adversarial_loss(np.zeros((1, 2)), tau=0.0, rho=1.0, nu=1.0).tolist()
    [1.0, 1.0]
    """
    tau, rho = checked_tau(tau), positive("rho", rho)
    h = _checked_tables(scores)
    nu = at_least("nu", nu, 0.0)
    with np.errstate(over="ignore"):
        wrong = np.exp(-_margins(h[..., 0, :]) / rho).sum(axis=-1) - 1
    if not np.isfinite(wrong).all():
        raise ValueError("scores must not differ by more than about 700 rho: exp(−D/rho) is infinite")
    moved = h - h[..., :1, :]
    distance = np.sqrt((_margins(moved) ** 2).sum(axis=-1)).max(axis=-2)
    return comp_sum_phi(np.maximum(wrong, 0.0), tau) + nu * distance


def adv_conditional_min(p: Float[np.ndarray, "*batch classes"], tau: float) -> Values:
    """``sum_k p_(k) Phi_tau(k − 1)``: the infimum of the expected margin loss, p sorted in falling order.

    Attained where H can order the labels at will with steps of at least rho on the whole ball; the same for every
    rho. Raises ``ValueError`` for rows that are not distributions or ``tau < 0``.

    >>> float(adv_conditional_min(np.array([0.2, 0.8]), tau=0.0))
    0.2
    """
    tau = checked_tau(tau)
    p = checked_distribution(p)
    costs = np.asarray(comp_sum_phi(np.arange(p.shape[-1], dtype=float), tau))
    return (-np.sort(-p, axis=-1) @ costs)[()]


def adversarial_constant(tau: float) -> float:
    """``Phi_tau(1)``, by which the surrogate excess is divided: 1 at tau = 0, log 2 at 1, 1/2 at 2.

    Raises ``ValueError`` for ``tau < 0``.
    """
    return float(comp_sum_phi(1.0, tau))


def adversarial_witness(
    beta: float, n: int, rho: float, perturbations: int = 1
) -> tuple[Float[np.ndarray, " classes"], Float[np.ndarray, "perturbations classes"]]:
    """A distribution and a constant table that attain the calibration inequality, with 0-1 regret ``beta``.

    ``p = ((1 − beta)/2, (1 + beta)/2, 0, …)``, and scores that rank label 0 first, 1 second, with steps of rho. Raises
    ``ValueError`` for beta outside [0, 1], ``n < 2``, ``rho <= 0`` or no perturbation.

    >>> p, table = adversarial_witness(0.5, n=3, rho=1.0)
    >>> p.tolist(), table.tolist()
    ([0.25, 0.75, 0.0], [[2.0, 1.0, 0.0]])
    """
    b = float(checked_beta(beta))
    n, count = whole_number("n", n, 2), whole_number("perturbations", perturbations, 1)
    p = np.zeros(n)
    p[:2] = (1 - b) / 2, (1 + b) / 2
    return p, np.tile(positive("rho", rho) * np.arange(n)[::-1], (count, 1))


def margin_ramp(u: Values, rho: float) -> Values:
    """``min(1, max(0, 1 − u/rho))``; raises ``ValueError`` for ``rho <= 0`` or values that are not finite."""
    return np.clip(1 - finite_array("u", u) / positive("rho", rho), 0.0, 1.0)[()]


def _margins(h: np.ndarray) -> np.ndarray:
    """``D[..., y, k] = h_y − h_k``."""
    return h[..., :, None] - h[..., None, :]


def _least_margins(h: np.ndarray) -> np.ndarray:
    """``min_{k≠y} D`` for every y, from the two largest scores."""
    two = np.sort(h, axis=-1)[..., -2:]
    rival = np.where(h == two[..., 1:], two[..., :1], two[..., 1:])
    return h - rival


def _checked_tables(scores: np.ndarray) -> np.ndarray:
    h = finite_array("scores", scores)
    if h.ndim < 2 or h.shape[-1] < 2:
        raise ValueError(f"scores must have shape (..., perturbations, classes >= 2), got {h.shape}")
    return h


def _sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Distributions over four labels and tables of three perturbations; a third of the tables are near the witness."""
    p = rng.gamma(10.0 ** rng.uniform(-2, 1, (count, 1)), size=(count, 4)) + 1e-300
    centre = rng.normal(size=(count, 1, 4)) * 10.0 ** rng.uniform(-1, 0.7, (count, 1, 1))
    moves = rng.normal(size=(count, 3, 4)) * 10.0 ** rng.uniform(-3, 0.3, (count, 1, 1))
    witness = -rng.uniform(1, 2, (count, 1, 1)) * np.arange(4)
    scores = np.where(rng.random((count, 1, 1)) < 1 / 3, witness, centre) + moves
    return {"p": p / p.sum(axis=1, keepdims=True), "scores": scores}


def _bounds() -> Iterator[Bound]:
    for tau in (0.0, 1.0, 2.0):
        yield Bound(
            f"smooth adversarial loss at least the margin loss, tau = {tau:g}", "smooth adversarial comp-sum losses",
            lambda p, scores, tau=tau: (p * adversarial_margin_loss(scores, tau, 1.0)).sum(axis=1),
            lambda p, scores, tau=tau: (p * smooth_adversarial_loss(scores, tau, 1.0, np.sqrt(3.0))).sum(axis=1),
            _sample,
        )  # fmt: skip
        yield Bound(
            f"robust 0-1 regret at most the margin loss's regret / Phi(1), tau = {tau:g}", "their H-consistency bound",
            lambda p, scores: (p * adversarial_zero_one(scores)).sum(axis=1) - (1 - p.max(axis=1)),
            lambda p, scores, tau=tau: (
                (p * adversarial_margin_loss(scores, tau, 1.0)).sum(axis=1) - adv_conditional_min(p, tau)
            ) / adversarial_constant(tau),
            _sample,
        )  # fmt: skip


BOUNDS = list(_bounds())
