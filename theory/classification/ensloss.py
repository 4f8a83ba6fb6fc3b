"""EnsLoss: an ensemble of calibrated losses, drawn as random derivatives (theory of the sampler).

Stochastic gradients see a margin loss only through its derivative at the margins of the batch. So instead of a loss,
draw derivatives that *some* convex calibrated loss has there: negative numbers, not decreasing in the margin. For
margins m_1 … m_B and draws ``u_i``

    X_i = BC_lam^{−1}(u_i),      BC_lam^{−1}(u) = (1 + lam u)_+^{1/lam},  e^u at lam = 0
    g_(k) = −min(k-th largest X, clip) / max(m_(k), 1)^tail_power − floor        for the k-th smallest margin m_(k)

Why these are legitimate: any values below 0 that do not decrease are interpolated by the derivative of a convex,
calibrated loss that is bounded below (``interpolating_loss`` constructs it). What is *not* legitimate:

* unsorted draws: no convex loss has them;
* a jump at 0: calibration needs a derivative there, and a slope of −1 up to 0 and 0 beyond is the perceptron loss;
* the tail 1/z of the default ``tail_power = 1`` as that of one fixed loss: ``−log z`` is not bounded below, and its
  risk can fall forever while the error stays at 1/2 (``calibrated_derivatives.tail_loss``); 2 is safe, up to the floor.
  For a batch nothing is said beyond its largest margin, which is why the default does no harm there.

Mixtures of calibrated losses are calibrated (``mixture``): convexity and the slope at 0 add up. In the limit of large
batches ``g`` depends on a margin only through its rank (``limiting_derivative``) and the tail factor: the effective
loss scales itself with the model's scores.

    rng = np.random.default_rng(0)
    g = sample_calibrated_derivatives(margins, lam=0.0, rng=rng)        # gradient of the batch: mean(g_i y_i ∇f(x_i))

Source: Dai (2025), *EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification*.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from theory.classification.calibrated_derivatives import (
    MARGIN_LOSSES,
    MarginLoss,
    bounded_below,
    conditional_minimizer,
    is_calibrated,
    psi_closed_form,
    psi_transform,
)
from theory.fuzz import Bound
from theory.validation import at_least, finite_array, one_of, positive, same_shape, whole_number

__all__ = [
    "bounded_below",
    "calibrated_derivatives",
    "conditional_minimizer",
    "expected_derivatives",
    "interpolating_loss",
    "inverse_box_cox",
    "is_calibrated",
    "limiting_derivative",
    "mixture",
    "psi_transform",
    "sample_calibrated_derivatives",
]

Values = Float[np.ndarray, "..."] | float
Batch = Float[np.ndarray, " batch"]

_BASES = ("normal", "exponential")
# Below this, lam u underflows, and the exponential is exact to the last digit.
_EXPONENTIAL_BELOW = 1e-150


def inverse_box_cox(u: Values, lam: float) -> Values:
    """``(1 + lam u)_+^{1/lam}``, which is ``e^u`` at ``lam = 0``: a positive number for every real u.

    Where ``1 + lam u <= 0`` it is 0 for lam > 0 and infinite for lam < 0. Raises ``ValueError`` for u or ``lam`` that
    are not finite.

    >>> [float(inverse_box_cox(1.5, lam)) for lam in (1.0, -1.0)]
    [2.5, inf]
    """
    checked, power = finite_array("u", u), _finite("lam", lam)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if abs(power) < _EXPONENTIAL_BELOW:
            return np.exp(checked)[()]
        return np.exp(np.log1p(np.maximum(power * checked, -1.0)) / power)[()]


def calibrated_derivatives(
    margins: Batch, magnitudes: Batch, *, clip: float = 1.0, tail_power: float = 1.0, floor: float = 1e-6
) -> Batch:
    """The largest magnitude, cut at ``clip`` and made negative, for the smallest margin, and so on.

    Margins above 1 get theirs divided by ``margin^tail_power``; all lose ``floor``. The result does not decrease in the
    margin (ties: in the order given) and lies in ``[−clip − floor, −floor]``. Raises ``ValueError`` for margins that
    are not a finite vector, magnitudes that are negative, NaN (infinite ones are cut) or of another shape, ``clip``
    not above 0, ``tail_power`` or ``floor`` below 0.

    >>> calibrated_derivatives(np.array([2.0, -1.0, 0.5]), np.array([0.2, 3.0, 0.6]), floor=0.0).tolist()
    [-0.1, -1.0, -0.6]
    """
    m = finite_array("margins", margins, 1)
    cut = positive("clip", clip)
    raw = np.asarray(magnitudes)
    # What is infinite is cut, and nothing else about it matters.
    X = finite_array("magnitudes", np.where(raw == np.inf, cut, raw) if raw.dtype.kind == "f" else raw, 1)
    same_shape(("margins", "magnitudes"), (m, X))
    if X.min() < 0:
        raise ValueError(f"magnitudes must not be negative, got {X.min()}")
    p, lift = at_least("tail_power", tail_power, 0.0), at_least("floor", floor, 0.0)
    g = np.empty_like(m)
    g[np.argsort(m, kind="stable")] = -np.sort(np.minimum(X, cut))[::-1]
    return g * np.maximum(m, 1.0) ** -p - lift


def sample_calibrated_derivatives(
    margins: Batch,
    lam: float = 0.0,
    clip: float = 1.0,
    tail_power: float = 1.0,
    floor: float = 1e-6,
    base: str = "normal",
    rng: np.random.Generator | None = None,
) -> Batch:
    """Random derivatives of a convex calibrated loss at these margins.

    ``base`` is the distribution of ``u``: standard normal, or the logarithm of a standard exponential (so that
    magnitudes are exponential at ``lam = 0``). Without ``rng`` a fresh one is used. Raises ``ValueError`` as
    ``calibrated_derivatives``, for ``lam`` not finite, and for another ``base``.

    >>> g = sample_calibrated_derivatives(np.array([-2.0, 0.0, 3.0]), rng=np.random.default_rng(0))
    >>> bool((np.diff(g) >= 0).all() and (g < 0).all())
    True
    """
    m = finite_array("margins", margins, 1)
    one_of("base", base, _BASES)
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy Generator, got {rng!r:.60}")
    rng = np.random.default_rng() if rng is None else rng
    u = rng.standard_normal(len(m)) if base == "normal" else np.log(rng.exponential(size=len(m)))
    X = np.asarray(inverse_box_cox(u, lam))
    return calibrated_derivatives(m, X, clip=clip, tail_power=tail_power, floor=floor)


def expected_derivatives(batch_size: int, lam: float = 0.0, clip: float = 1.0, base: str = "normal") -> Batch:
    """``E g_(k)`` for k = 1 … B at margins up to 1, without the floor: the average loss that a batch of B sees.

        E g_(k) = −∫_0^clip P(Binomial(B, P(X > t)) >= k) dt

    Gauss-Legendre quadrature, good to about 1e-9. Raises ``ValueError`` for ``batch_size`` below 1, and ``lam``,
    ``clip`` and ``base`` as ``sample_calibrated_derivatives``.

    >>> expected_derivatives(32)[[0, 16, 24, 31]].round(3).tolist()
    [-1.0, -0.906, -0.502, -0.141]
    """
    size, power, cut = whole_number("batch_size", batch_size, 1), _finite("lam", lam), positive("clip", clip)
    one_of("base", base, _BASES)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    # Quadratic towards 0, where draws of exponentially small magnitude bend the tail.
    t = cut * ((nodes + 1) / 2) ** 2
    k = np.arange(1, size + 1)[:, None]
    return -(binom.sf(k - 1, size, _exceedance(t, power, base)) @ (weights * cut * (nodes + 1) / 2))


def limiting_derivative(rank: Values, lam: float = 0.0, clip: float = 1.0, base: str = "normal") -> Values:
    """What a margin of this rank (0 smallest, 1 largest) gets as the batch grows: the quantile of ``−min(X, clip)``.

    Raises ``ValueError`` for ranks outside [0, 1] and parameters as ``expected_derivatives``.

    >>> limiting_derivative(np.array([0.2, 0.75])).round(3).tolist()
    [-1.0, -0.509]
    """
    ranks = finite_array("rank", rank)
    if ranks.min() < 0 or ranks.max() > 1:
        raise ValueError(f"rank must be in [0, 1], got {ranks.min()} … {ranks.max()}")
    power, cut = _finite("lam", lam), positive("clip", clip)
    one_of("base", base, _BASES)
    inside = np.clip(ranks, 1e-300, 1 - 1e-16)
    u = -ndtri(inside) if base == "normal" else np.log(-np.log(inside))
    return -np.minimum(inverse_box_cox(u, power), cut)[()]


def mixture(losses: Sequence[MarginLoss], weights: Float[np.ndarray, " losses"]) -> MarginLoss:
    """``sum_k w_k phi_k``: calibrated if every part is, with ``psi <= sum_k w_k psi_k``.

    Convexity and a negative derivative at 0 survive addition. psi is ``phi(0) − inf C_eta``, and the infimum of a sum
    is at least the sum of infima. Raises ``ValueError`` unless there is one weight above 0 per loss.

    >>> both = mixture([MARGIN_LOSSES["hinge"], MARGIN_LOSSES["exp"]], np.array([0.5, 0.5]))
    >>> is_calibrated(both.derivative)
    True
    """
    w = finite_array("weights", weights, 1)
    if len(w) != len(losses) or w.min() <= 0:
        raise ValueError(f"weights must be one number above 0 for each of {len(losses)} losses, got {w.tolist()!r:.60}")
    return MarginLoss(
        lambda z: sum((wk * loss.value(z) for wk, loss in zip(w, losses, strict=True)), np.zeros_like(z)),
        lambda z: sum((wk * loss.derivative(z) for wk, loss in zip(w, losses, strict=True)), np.zeros_like(z)),
    )


def interpolating_loss(margins: Batch, derivatives: Batch) -> MarginLoss:
    """A convex, calibrated loss, bounded below, that has these derivatives at these margins.

    Its derivative is linear between margins, constant before the first, and falls like 1/z² after the last. Raises
    ``ValueError`` unless both are finite vectors of one length, derivatives are below 0 and do not decrease in the
    margin, and equal margins have equal derivatives.

    >>> loss = interpolating_loss(np.array([-1.0, 2.0]), np.array([-1.0, -0.5]))
    >>> float(loss.derivative(np.array(0.5))), is_calibrated(loss.derivative), bounded_below(loss.derivative)
    (-0.75, True, True)
    """
    m, g = finite_array("margins", margins, 1), finite_array("derivatives", derivatives, 1)
    same_shape(("margins", "derivatives"), (m, g))
    order = np.lexsort((g, m))
    m, g = m[order], g[order]
    if g.max() >= 0 or (np.diff(g) < 0).any():
        raise ValueError(f"derivatives must be below 0 and must not decrease in the margin, got {g.tolist()!r:.60}")
    if ((np.diff(m) == 0) & (np.diff(g) > 0)).any():
        raise ValueError("derivatives must agree at equal margins: a convex loss has a corner there otherwise")
    m, first = np.unique(m, return_index=True)
    g = g[first]
    fallen = np.concatenate([[0.0], np.cumsum(np.diff(m) * (g[1:] + g[:-1]) / 2)])

    def derivative(z: np.ndarray) -> np.ndarray:
        return np.asarray(np.interp(z, m, g) / (1 + np.maximum(z - m[-1], 0)) ** 2)

    def value(z: np.ndarray) -> np.ndarray:
        k = np.clip(np.searchsorted(m, z, side="right") - 1, 0, len(m) - 1)
        inside = np.minimum(z, m[-1]) - m[k]
        beyond = np.maximum(z - m[-1], 0)
        return np.asarray(fallen[k] + inside * (g[k] + np.interp(z, m, g)) / 2 + g[-1] * beyond / (1 + beyond))

    return MarginLoss(value, derivative)


def _exceedance(t: np.ndarray, lam: float, base: str) -> np.ndarray:
    """``P(X > t)``: X grows with u, so it is the probability that u is above the Box-Cox transform of t."""
    logs = np.log(t)
    with np.errstate(over="ignore"):
        level = logs if abs(lam) < _EXPONENTIAL_BELOW else np.expm1(lam * logs) / lam
        return ndtr(-level) if base == "normal" else np.exp(-np.exp(level))


def _finite(name: str, value: float) -> float:
    return float(finite_array(name, value, 0))


_PARTS = ("hinge", "bce", "exp", "squared")


def _gain_of_mixture(weights: np.ndarray, theta: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``phi(0) − C_eta(a)`` of the mixture: its supremum over scores a is psi."""
    eta = (1 + theta) / 2
    parts = [
        MARGIN_LOSSES[name].value(np.zeros(())) - eta * MARGIN_LOSSES[name].value(scores)
        - (1 - eta) * MARGIN_LOSSES[name].value(-scores)
        for name in _PARTS
    ]  # fmt: skip
    return (weights * np.stack(parts, axis=1)).sum(axis=1)


def _mixtures(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Weights, theta, and scores around the minimisers of the parts."""
    theta = rng.random(count)
    near = np.arctanh(np.minimum(theta, 1 - 1e-12)) * rng.choice([1.0, 2.0], count)
    scores = np.where(rng.random(count) < 0.5, near, rng.uniform(-3, 3, count))
    return {"weights": rng.dirichlet(np.full(len(_PARTS), 0.3), count), "theta": theta, "scores": scores}


BOUNDS = [
    Bound(
        "psi of a mixture at most the mixture of psi", "derived here",
        _gain_of_mixture,
        lambda weights, theta, scores: (
            weights * np.stack([np.asarray(psi_closed_form(name, theta)) for name in _PARTS], axis=1)
        ).sum(axis=1),
        _mixtures,
    )
]  # fmt: skip
