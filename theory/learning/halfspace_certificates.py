"""What a small gradient says about a halfspace, on any points: certificates without a distributional assumption.

Unit w, unit ``w* = cos(theta) w + sin(theta) v`` with v orthogonal to w; ``t = <w, x>``, z the coordinates of x
orthogonal to w, ``k = k_sigma(t)`` the kernel of ``halfspace_surrogate``, ``A_v = mean k |<v, z>|``, g the length of
the gradient of the localised ramp loss, all means over the points at hand.

* Massart noise, ``E[y | x] = (1 − 2 eta(x)) sign<w*, x>`` with ``eta(x) <= eta < 1/2``, g of the conditional means:

      |tan theta| ((1 − 2 eta) A_v − g)  <=  (2 − 2 eta) mean k|t|.

  For ``−<v, grad L> = mean k E[y|x] <v, z>``, and ``E[y|x] <v, z>`` is at least ``(1 − 2 eta)|<v, z>|`` but where w*
  and v disagree; there ``|<v, z>| <= |t| / |tan theta|``, and it is at least ``−|<v, z>|``. Four points attain it.
* Labels noisy in any way, w* errs on a share o of them, g of the labels themselves, ``m_p = mean k |<v, z>|^p``:

      |tan theta| (A_v − g − 2 c_v)  <=  2 mean k|t|,   c_v = min((o/sigma)^{1/2} m_2^{1/2}, (o/sigma)^{3/4} m_4^{1/4}),

  by Hölder's inequality on the points that w* gets wrong, whose k are at most 1/sigma.
* ``A_v >= m_2^{3/2} / m_4^{1/2}`` (Hölder), hence a bound for all v from eigenvalues of second and fourth moments.
* A halfspace w' within ``theta < pi/2`` of w, ``T = tan theta``, disagrees with w only where ``|t| <= T |<v, z>|``. In
  each slab of ``|t|`` that share is at most the slab's mass, or ``mean <v, z>² T²/t²``, or ``mean <v, z>⁴ T⁴/t⁴``.

    certificate = angle_certificate(w, X, y, sigma=0.1, eta=0.1, delta=0.05)      # w independent of y: split the sample
    disagreement_certificate(w, X, certificate.angle)                             # bounds the excess error of w

Source: Gollakota, Klivans, Stavropoulos and Vasilyan (2023), *An Efficient Tester-Learner for Halfspaces*, for the
architecture: stationarity, then moments in a strip and in slabs. Inequalities and constants are derived here.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from theory.learning.halfspace_surrogate import (
    Labels,
    Points,
    Vector,
    Weights,
    checked_direction,
    checked_problem,
    gradient,
    triangle_kernel,
)
from theory.validation import finite_array, in_range, positive

__all__ = [
    "AngleCertificate",
    "agnostic_angle_certificate",
    "angle_certificate",
    "disagreement_certificate",
    "fourth_moment_bound",
    "stationary_angle_bound",
]

_BLOCK = 8192
SLABS = np.geomspace(0.5, 60.0, 24)
"""Where slabs end, in units of the tangent."""


@dataclass(frozen=True)
class AngleCertificate:
    """An angle that w and w* (or −w and w*) cannot exceed, and what it is made of.

    ``angle`` is ``arctan(spread_factor · spread / (signal − gradient − noise))``, or pi/2 (nothing is certified) where
    the denominator is not above 0. ``mass = mean k``, ``spread = mean k|t|``; ``anticoncentration`` is the least
    ``A_v`` that second and fourth moments allow, ``signal`` that times ``1 − 2 eta``; ``gradient`` is the measured
    length, ``noise`` what label noise adds to it.
    """

    angle: float
    mass: float
    spread: float
    anticoncentration: float
    signal: float
    gradient: float
    noise: float

    @property
    def holds(self) -> bool:
        """Something is certified."""
        return self.angle < math.pi / 2

    @property
    def tangent(self) -> float:
        """``tan(angle)``, infinity if nothing is certified."""
        return math.tan(self.angle) if self.holds else math.inf


def angle_certificate(w: Vector, X: Points, y: Labels, sigma: float, eta: float, delta: float) -> AngleCertificate:
    """With probability at least ``1 − delta`` over the labels: w* is within ``angle`` of w or of −w.

    Holds for every fixed w* to which the labels are Massart with rate at most eta on these points, labels that are
    independent given the points, and a w that does not depend on them. The gradient in the one direction that matters,
    v, differs from its mean by at most ``noise = sqrt(2 p lambda_max(C) log(1/delta))``, ``C`` the sum of
    ``k_i² z_i z_iᵀ / N²``: a label that is wrong with probability at most eta is sub-Gaussian with proxy
    ``p = (2 − 4 eta) / log(1/eta − 1) <= 1`` (Kearns and Saul 1998). An empty strip certifies nothing.

    Raises ``ValueError`` for labels other than ±1, eta outside [0, 1/2), delta outside (0, 1), ``sigma <= 0``, w = 0,
    fewer than two columns, values that are not finite or shapes that disagree.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100_000, 2))
    >>> y = np.where(X[:, 0] < 0, -1, 1) * np.where(rng.random(100_000) < 0.1, -1, 1)
    >>> angle_certificate(np.array([1.0, 0.0]), X, y, sigma=0.1, eta=0.1, delta=0.05).angle < 0.2
    True
    """
    w, X, y, weights = checked_problem(w, X, y, None, signs=True)
    eta, delta = checked_rate(eta), checked_confidence(delta)
    strip = Strip.of(w, X, y * weights, weights, positive("sigma", sigma))
    return strip.certificate(1 - 2 * eta, strip.label_noise(eta, delta), 2 - 2 * eta)


def stationary_angle_bound(
    w: Vector, X: Points, means: Labels, sigma: float, eta: float, *, weights: Weights | None = None
) -> AngleCertificate:
    """As ``angle_certificate``, without chance: for conditional means ``E[y | x]`` that are known, on weighted points.

    ``weights`` (at least 0, summing to 1) make a distribution of finite support of the points. Arguments and errors as
    ``angle_certificate``; ``means`` must lie in [−1, 1].

    >>> X = np.array([[0.0, 1.0], [0.0, -1.0]])
    >>> stationary_angle_bound(np.array([1.0, 0.0]), X, np.array([1.0, 1.0]), 0.5, 0.0).angle
    0.0
    """
    w, X, means, weights = checked_problem(w, X, means, weights, labels="means")
    eta = checked_rate(eta)
    strip = Strip.of(w, X, means * weights, weights, positive("sigma", sigma))
    return strip.certificate(1 - 2 * eta, 0.0, 2 - 2 * eta)


def agnostic_angle_certificate(w: Vector, X: Points, y: Labels, sigma: float, opt_guess: float) -> AngleCertificate:
    """Every w* that errs on at most a share ``opt_guess`` of these labels is within ``angle`` of w or of −w.

    Exact on the sample, whoever chose the labels, and for a w that has seen them. Raises ``ValueError`` as
    ``angle_certificate``, and for ``opt_guess`` outside [0, 1].

    >>> X = np.random.default_rng(0).normal(size=(20_000, 2))
    >>> agnostic_angle_certificate(np.array([1.0, 0.0]), X, np.where(X[:, 0] < 0, -1, 1), 0.1, 0.0).angle < 0.2
    True
    """
    w, X, y, weights = checked_problem(w, X, y, None, signs=True)
    share = in_range("opt_guess", opt_guess, 0.0, 1.0) / positive("sigma", sigma)
    strip = Strip.of(w, X, y * weights, weights, sigma)
    return strip.certificate(1.0, 2 * strip.corruption(share), 2.0)


def disagreement_certificate(w: Vector, X: Points, theta: float, *, weights: Weights | None = None) -> float:
    """The largest share of points on which a halfspace within ``theta`` of w can disagree with it, bounded from above.

    ``sign(0) = 1``. At most 1, which is returned from ``theta = pi/2`` on; about 1.3 theta for a standard Gaussian,
    where the truth is ``theta/pi``. Slabs end at ``tan(theta)`` times 0.5 … 60; each counts with the least of its
    three bounds, and those of one kind are added as matrices before their largest eigenvalue is taken. Raises
    ``ValueError`` for theta outside [0, pi], w = 0, fewer than two columns, weights that are not a distribution,
    values that are not finite or shapes that disagree.

    >>> X = np.random.default_rng(0).normal(size=(50_000, 3))
    >>> 0.03 < disagreement_certificate(np.array([1.0, 0.0, 0.0]), X, theta=0.1) < 0.15
    True
    """
    w, X, weights = checked_direction(w, X, weights)
    theta = in_range("theta", theta, 0.0, math.pi)
    if theta >= math.pi / 2:
        return 1.0
    if theta == 0:
        return 0.0
    tangent = math.tan(theta)
    distance = np.abs(X @ w)
    # Eight bits are enough for a slab's number, and make the sort linear.
    slab = np.searchsorted(SLABS * tangent, distance, side="right").astype(np.int8)
    order = np.argsort(slab, kind="stable")
    ends = np.searchsorted(slab[order], np.arange(len(SLABS) + 2, dtype=np.int8))
    # Rows of the transpose are coordinates: each slab is a run of columns. Points in the first slab need no moments.
    Z = np.ascontiguousarray((X[order[ends[1] :]] @ _complement(w)).T)
    Z *= tangent / distance[order[ends[1] :]]
    masses, seconds, fourths = [], [], []
    for start, stop in itertools.pairwise(ends[1:]):
        if stop > start:
            inside = weights[order[start:stop]]
            second, fourth = _moments(Z[:, start - ends[1] : stop - ends[1]], inside)
            masses.append(float(inside.sum()))
            seconds.append(second)
            fourths.append(fourth)
    near = float(weights[order[: ends[1]]].sum())
    if not masses:
        return min(near, 1.0)
    mass, second, fourth = np.array(masses), np.stack(seconds), np.stack(fourths)
    by_second, by_fourth = np.linalg.eigvalsh(second)[:, -1], _fourth_sup(fourth, mass)
    least = np.argmin([mass, by_second, by_fourth], axis=0)
    total = near + mass[least == 0].sum()
    total += np.linalg.eigvalsh(second[least == 1].sum(axis=0))[-1]
    total += _fourth_sup(fourth[least == 2].sum(axis=0)[None], mass[least == 2].sum()[None])[0]
    return float(min(total, 1.0))


def fourth_moment_bound(Z: Float[np.ndarray, "samples dim"], weights: Weights) -> float:
    """An upper bound of ``sup_v sum_i weights_i <v, z_i>⁴`` over unit v, exact in one dimension.

    With s the entries of ``z zᵀ`` (off-diagonal ones times sqrt 2) and ``M = sum_i weights_i s_i s_iᵀ``, the sum is
    ``uᵀ M u`` at ``u = s(v)``, a unit vector for which ``uᵀ (I − J) u = 0``, J = s(I) s(I)ᵀ. So it is at most
    ``lambda_max(M + c (I − J))`` for every c: c = 0 is the naive bound, a factor (d + 1)/3 too large for a Gaussian;
    ``c = sum weights`` is exact for a standard Gaussian, and ``c = sum_i weights_i |z_i|⁴ / (d (d + 2))`` for every
    rotationally symmetric law. The least of the three.

    Raises ``ValueError`` for negative weights, values that are not finite or shapes that disagree.

    >>> Z = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> round(fourth_moment_bound(Z, np.array([0.5, 0.5])), 9)
    8.0
    """
    Z = finite_array("Z", Z, 2)
    weights = finite_array("weights", weights, 1)
    if weights.shape != Z.shape[:1] or weights.min() < 0:
        raise ValueError(f"weights must be {len(Z)} numbers of at least 0, got {weights!r:.60}")
    fourth = _moments(np.ascontiguousarray(Z.T), weights)[1]
    return float(_fourth_sup(fourth[None], weights.sum()[None])[0])


@dataclass(frozen=True)
class Strip:
    """What certificates need of the points near the hyperplane of w."""

    mass: float
    spread: float
    gradient: float
    smallest_second: float
    largest_second: float
    largest_fourth: float
    largest_label_variance: float

    @staticmethod
    def of(w: np.ndarray, X: np.ndarray, pull: np.ndarray, weights: np.ndarray, sigma: float) -> "Strip":
        """From checked arrays; ``pull`` is labels times weights."""
        t = X @ w
        felt = np.abs(t) < sigma
        t, k = t[felt], triangle_kernel(t[felt], sigma) * weights[felt] if felt.any() else np.empty(0)
        if not k.any():
            return Strip(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        Z = np.ascontiguousarray((X[felt] @ _complement(w)).T)
        second, fourth = _moments(Z, k)
        ends = np.linalg.eigvalsh(second)
        # Each label is worth weights · k, and deviates independently of the others.
        label_variance = (Z * k**2) @ Z.T
        return Strip(
            mass=float(k.sum()),
            spread=float(k @ np.abs(t)),
            gradient=float(np.linalg.norm(gradient(w, X[felt], pull[felt], sigma))),
            smallest_second=max(float(ends[0]), 0.0),
            largest_second=max(float(ends[-1]), 0.0),
            largest_fourth=float(_fourth_sup(fourth[None], k.sum()[None])[0]),
            largest_label_variance=max(float(np.linalg.eigvalsh(label_variance)[-1]), 0.0),
        )

    @property
    def anticoncentration(self) -> float:
        """The least ``A_v`` that the moments allow."""
        return self.smallest_second**1.5 / math.sqrt(self.largest_fourth) if self.largest_fourth > 0 else 0.0

    def label_noise(self, eta: float, delta: float) -> float:
        """How far label noise of rate eta moves the gradient in one direction, with probability ``1 − delta``."""
        return math.sqrt(-2 * math.log(delta) * _label_proxy(eta) * self.largest_label_variance)

    def corruption(self, share: float) -> float:
        """The most that points of weight ``share`` (of ``mean k``) add to ``mean k|<v, z>|``: Hölder in two ways."""
        return min(math.sqrt(share * self.largest_second), share**0.75 * self.largest_fourth**0.25)

    def certificate(self, correlation: float, noise: float, factor: float) -> AngleCertificate:
        """``|tan theta| <= factor · spread / (correlation · A − gradient − noise)``."""
        signal = correlation * self.anticoncentration
        left = signal - self.gradient - noise
        angle = math.atan(factor * self.spread / left) if left > 0 else math.pi / 2
        return AngleCertificate(angle, self.mass, self.spread, self.anticoncentration, signal, self.gradient, noise)


def checked_rate(eta: float) -> float:
    """``eta`` if it is in [0, 1/2)."""
    eta = in_range("eta", eta, 0.0, 0.5)
    if eta == 0.5:
        raise ValueError("eta must be below 0.5, got 0.5")
    return eta


def checked_noise(eta: float, opt_guess: float) -> float:
    """``eta`` of Massart noise, or 0 where a share ``opt_guess`` of the labels is an adversary's."""
    eta = checked_rate(eta)
    if in_range("opt_guess", opt_guess, 0.0, 1.0) > 0 and eta > 0:
        raise ValueError(f"eta and opt_guess must not both be above 0, got {eta} and {opt_guess}")
    return eta


def checked_confidence(delta: float) -> float:
    """``delta`` if it is in (0, 1)."""
    delta = in_range("delta", delta, 0.0, 1.0)
    if delta in (0.0, 1.0):
        raise ValueError(f"delta must be in (0, 1), got {delta}")
    return delta


def _label_proxy(eta: float) -> float:
    """The sub-Gaussian variance proxy of a label ±1 that is wrong with probability eta, which it grows with."""
    if eta == 0:
        return 0.0
    # log((1 − eta)/eta) = 2 artanh(1 − 2 eta)
    correlation = 1 - 2 * eta
    return correlation / math.atanh(correlation) if correlation > 1e-8 else 1.0


def _complement(w: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what is orthogonal to unit w: columns of a reflection that sends an axis to ±w."""
    sign = 1.0 if w[0] >= 0 else -1.0
    u = w.copy()
    u[0] += sign
    return (np.eye(len(w)) - np.outer(u, u) / (1 + abs(w[0])))[:, 1:]


def _moments(Z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``sum weights z zᵀ`` and ``sum weights s sᵀ`` of columns z, in blocks, so that pairs never fill the memory."""
    rows, columns, factor = _pairs(len(Z))
    second, fourth = np.zeros((len(Z),) * 2), np.zeros((len(rows),) * 2)
    for first in range(0, len(weights), _BLOCK):
        block = Z[:, first : first + _BLOCK]
        weighted = block * np.sqrt(weights[first : first + _BLOCK])
        second += weighted @ weighted.T
        pairs = weighted[rows]
        pairs *= block[columns]
        fourth += pairs @ pairs.T
    return second, fourth * np.outer(factor, factor)


def _fourth_sup(fourth: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """The bound of ``fourth_moment_bound`` from matrices M, stacked, and the sums of their weights."""
    count = fourth.shape[-1]
    dim = (math.isqrt(8 * count + 1) - 1) // 2
    rows, columns, _ = _pairs(dim)
    diagonal = (rows == columns).astype(np.float64)
    free = np.eye(count) - np.outer(diagonal, diagonal)
    symmetric = np.einsum("i,nij,j->n", diagonal, fourth, diagonal) / (dim * (dim + 2))
    shifts = np.stack([np.zeros_like(symmetric), mass, symmetric], axis=1)
    shifted = fourth[:, None] + shifts[..., None, None] * free
    return np.maximum(np.linalg.eigvalsh(shifted)[..., -1].min(axis=1), 0.0)


@cache
def _pairs(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the entries on and above the diagonal, and their factors in s."""
    rows, columns = np.triu_indices(dim)
    return rows, columns, np.where(rows == columns, 1.0, math.sqrt(2.0))
