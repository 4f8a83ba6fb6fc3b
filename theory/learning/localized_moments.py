"""Tests of a sample against a target law, made only where the learner's hyperplane lies; the promise comes first.

Targets: all laws with an even density ``exp(−phi)`` on R^d, ``gamma I <= hess phi <= beta I``; gamma = beta = 1 is the
standard Gaussian. For every unit w, with t, z, k as in ``halfspace_certificates``, whatever the dimension:

    t has density sqrt(gamma / 2 pi) … sqrt(beta / 2 pi) at 0, and less beyond: mean k|t| <= (sigma/3) mean k
    mean k <v, z>² >= mean k / beta                 (least variance given t, Cramér and Rao)
    mean k <v, z>⁴ <= 3 mean k / gamma²             (k is log-concave; Caffarelli's contraction)
    E[<v, z>² | t] <= 1/gamma + rho² t²,   E[<v, z>⁴ | t]^{1/4} <= 3^{1/4} gamma^{−1/2} + rho |t|,
                                                    rho = sqrt(beta/gamma) − 1

The last because ``d/dt E[<v, z> | t] = −Cov(<v, z>, phi_t | t)``, which Brascamp and Lieb bound by rho: given t,
``<v, z>`` has variance at most 1/gamma, and phi_t one of at most ``phi_tz (hess_zz phi)^{-1} phi_zt``, which is a
diagonal entry of hess phi less the inverse of that of its inverse: at most ``(sqrt beta − sqrt gamma)²`` (Kantorovich).

If a sample passes, up to a factor ``1 ± slack``, then the inequalities of ``halfspace_certificates`` bound w's error by
a number that is known before any data is seen: ``promised_excess``. For labels of which w* misses a share o, widths of
the order of o make that a multiple of o.

    target = StronglyLogConcave(gamma=1.0, beta=1.5)
    target.promised_excess(sigma=0.05, eta=0.1, slack=0.2)
    localized_moment_test(w, X, y, 0.05, 0.1, 0.05, target, slack=0.2).passed

Source: Gollakota, Klivans, Stavropoulos and Vasilyan (2023), *An Efficient Tester-Learner for Halfspaces*, for the
tests: mass and moments in a strip, second moments in slabs. Constants, and the class of targets, are derived here.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from theory.learning.halfspace_certificates import (
    SLABS,
    Strip,
    checked_confidence,
    checked_noise,
    disagreement_certificate,
)
from theory.learning.halfspace_surrogate import Labels, Points, Vector, checked_problem
from theory.validation import in_range, positive

__all__ = ["LocalizedMomentTest", "StronglyLogConcave", "localized_moment_test"]

_GRADIENT_SHARE = 0.5


@dataclass(frozen=True)
class StronglyLogConcave:
    """Even laws whose potential's Hessian lies between ``gamma`` and ``beta`` times the identity.

    Raises ``ValueError`` unless ``0 < gamma <= beta``.
    """

    gamma: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if positive("gamma", self.gamma) > positive("beta", self.beta):
            raise ValueError(f"gamma must be at most beta, got {self.gamma} and {self.beta}")

    def mass_range(self, sigma: float) -> tuple[float, float]:
        """Between which numbers ``E k_sigma(<w, x>)`` lies for every unit w. Raises ``ValueError`` for ``sigma <= 0``.

        >>> low, high = StronglyLogConcave().mass_range(0.01)
        >>> round(low, 4), round(high, 4)
        (0.3989, 0.3989)
        """
        sigma = positive("sigma", sigma)
        # The density at 0 is between sqrt(gamma/2 pi) and sqrt(beta/2 pi), and falls at most like N(0, 1/beta)'s.
        low = math.sqrt(self.gamma) * _gaussian_kernel_mass(sigma * math.sqrt(self.beta))
        high = math.sqrt(self.beta) * _gaussian_kernel_mass(sigma * math.sqrt(self.gamma))
        return low, high

    def anticoncentration(self, slack: float = 0.0) -> float:
        """What ``mean k |<v, z>| / mean k`` is at least, by second and fourth moments; ``slack`` is the share given up.

        Raises ``ValueError`` for a slack outside [0, 1).

        >>> round(StronglyLogConcave().anticoncentration(), 4)       # the truth for a Gaussian is 0.7979
        0.5774
        """
        return (1 - _checked_slack(slack)) * self.gamma / math.sqrt(3 * self.beta**3)

    def disagreement(self, theta: float) -> float:
        """What ``disagreement_certificate`` tends to at most. Raises ``ValueError`` for theta outside [0, pi].

        >>> 0.1 < StronglyLogConcave().disagreement(0.1) < 0.16
        True
        """
        theta = in_range("theta", theta, 0.0, math.pi)
        if theta == 0 or theta >= math.pi / 2:
            return 0.0 if theta == 0 else 1.0
        tangent = math.tan(theta)
        edges = SLABS * tangent
        rho, width, factor = (
            math.sqrt(self.beta / self.gamma) - 1,
            1 / math.sqrt(self.gamma),
            math.sqrt(self.beta / self.gamma),
        )
        tails = 2 * factor * ndtr(-edges / width)
        masses = tails - np.append(tails[1:], 0.0)
        by_second = tangent**2 * ((width / edges) ** 2 + rho**2)
        by_fourth = tangent**4 * (3**0.25 * width / edges + rho) ** 4
        farther = float(masses @ np.minimum(1.0, np.minimum(by_second, by_fourth)))
        return min(1.0, float(factor - tails[0]) + farther)

    def promised_angle(self, sigma: float, eta: float, slack: float, opt_guess: float = 0.0) -> float:
        """The angle between w and w* (or −w*) when the tests at width sigma pass; pi/2 is no promise.

        For Massart labels of rate eta, or for labels of which w* misses a share ``opt_guess``. Raises ``ValueError``
        for ``sigma <= 0``, eta outside [0, 1/2), a slack outside [0, 1), ``opt_guess`` outside [0, 1], or both above
        0.

        >>> near, far = (StronglyLogConcave().promised_angle(sigma, 0.0, 0.1, 1e-4) for sigma in (0.02, 0.04))
        >>> round(near, 3), round(far, 3)
        (0.097, 0.149)
        """
        eta, sigma = checked_noise(eta, opt_guess), positive("sigma", sigma)
        signal = self.anticoncentration(slack)
        left = (1 - _GRADIENT_SHARE) * (1 - 2 * eta) * signal
        left -= self._corruption(sigma, slack, opt_guess)
        return math.atan((2 - 2 * eta) * (1 + slack) * sigma / 3 / left) if left > 0 else math.pi / 2

    def promised_excess(self, sigma: float, eta: float, slack: float, opt_guess: float = 0.0) -> float:
        """By how much w's error exceeds that of the best halfspace, at most, when the tests at width sigma pass.

        Errors as ``promised_angle``.

        >>> StronglyLogConcave().promised_excess(sigma=0.01, eta=0.1, slack=0.1) < 0.07
        True
        """
        slack = _checked_slack(slack)
        return min(1.0, (1 + slack) * self.disagreement(self.promised_angle(sigma, eta, slack, opt_guess)))

    def _corruption(self, sigma: float, slack: float, opt_guess: float) -> float:
        """What an adversary with this share of labels can do to the gradient, over ``mean k``: Hölder, as certified."""
        share = opt_guess / (sigma * self.mass_range(sigma)[0])
        return 2 * (1 + slack) * min(math.sqrt(share / self.gamma), share**0.75 * (3 / self.gamma**2) ** 0.25)


@dataclass(frozen=True)
class LocalizedMomentTest:
    """Which of the tests a sample passed at one width.

    Every entry of ``ratios`` is what was measured over what the target and the slack allow: at most 1 passes.
    ``promised_angle`` and ``promised_excess`` hold if all do.
    """

    ratios: dict[str, float]
    promised_angle: float
    promised_excess: float

    @property
    def passed(self) -> bool:
        """All tests passed."""
        return max(self.ratios.values()) <= 1

    @property
    def worst(self) -> str:
        """The name of the test with the largest ratio."""
        return max(self.ratios, key=lambda name: self.ratios[name])


def localized_moment_test(
    w: Vector,
    X: Points,
    y: Labels,
    sigma: float,
    eta: float,
    delta: float,
    target: StronglyLogConcave,
    *,
    slack: float = 0.2,
    opt_guess: float = 0.0,
) -> LocalizedMomentTest:
    """Mass and moments in the strip of width sigma around w, gradient, disagreement by slabs, against ``target``.

    If all pass, then with probability at least ``1 − delta`` over Massart labels of rate at most eta (independent of
    w), the disagreement of w, or of −w, with w* is at most ``promised_excess`` on this sample, whatever law it came
    from. With ``opt_guess`` above 0 (and eta = 0) that is certain for every w* that misses at most this share of the
    labels. A large enough sample of a target law passes all but the gradient's test, which asks for a stationary w and
    enough points in the strip. Raises ``ValueError`` as ``angle_certificate`` and ``promised_angle``, and for a target
    of another type.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100_000, 2))
    >>> y = np.where(X[:, 0] < 0, -1, 1) * np.where(rng.random(100_000) < 0.1, -1, 1)
    >>> localized_moment_test(np.array([1.0, 0.0]), X, y, 0.1, 0.1, 0.05, StronglyLogConcave()).passed
    True
    """
    w, X, y, weights = checked_problem(w, X, y, None, signs=True)
    sigma, eta, delta = positive("sigma", sigma), checked_noise(eta, opt_guess), checked_confidence(delta)
    slack = _checked_slack(slack)
    if not isinstance(target, StronglyLogConcave):
        raise ValueError(f"target must be a StronglyLogConcave, got {target!r:.60}")
    angle = target.promised_angle(sigma, eta, slack, opt_guess)
    excess = target.promised_excess(sigma, eta, slack, opt_guess)
    strip = Strip.of(w, X, y * weights, weights, sigma)
    low, high = target.mass_range(sigma)
    spread = target.anticoncentration(slack)
    measured = {
        "mass at least": ((1 - slack) * low, strip.mass),
        "mass at most": (strip.mass, (1 + slack) * high),
        "distance": (strip.spread, (1 + slack) * sigma / 3 * strip.mass),
        "anti-concentration": (spread * strip.mass, strip.anticoncentration),
        "gradient": (
            strip.gradient + strip.label_noise(eta, delta),
            _GRADIENT_SHARE * (1 - 2 * eta) * spread * strip.mass,
        ),
        "disagreement": (disagreement_certificate(w, X, angle), excess),
    }
    if opt_guess > 0:
        allowed = target._corruption(sigma, slack, opt_guess) * strip.mass
        measured["corruption"] = (2 * strip.corruption(opt_guess / sigma), allowed)
    ratios = {name: value / bound if bound > 0 else math.inf for name, (value, bound) in measured.items()}
    return LocalizedMomentTest(ratios, angle, excess)


def _gaussian_kernel_mass(sigma: float) -> float:
    """``E k_sigma(G)`` for a standard Gaussian G."""
    if sigma < 1e-4:
        return 1 / math.sqrt(2 * math.pi)
    within = float(2 * ndtr(sigma) - 1)
    return (within + 2 * math.expm1(-(sigma**2) / 2) / (sigma * math.sqrt(2 * math.pi))) / sigma


def _checked_slack(slack: float) -> float:
    slack = in_range("slack", slack, 0.0, 1.0)
    if slack == 1:
        raise ValueError("slack must be below 1, got 1")
    return slack
