"""A learner of halfspaces that says when not to believe it.

Guarantees for learning a halfspace from noisy labels assume that the points are Gaussian, say; nobody checks. A
*tester-learner* returns a halfspace with a bound on its excess error, or refuses. *Sound*: whenever it accepts, the
bound holds, whatever law the points came from. *Complete*: points of the target law are accepted, with high
probability.

1. Split the sample (labels of the second half must not have been seen; not needed where labels are not random).
2. Descend on the localised ramp loss, from wide strips to narrow ones (``halfspace_surrogate``): a direction per width.
3. On the second half, bound the angle to the best halfspace from the gradient and moments in the strip, and the
   disagreement at this angle slab by slab (``halfspace_certificates``); decide between w and −w by their errors.
4. Keep the direction with the smallest bound; accept if it is at most eps.

``TesterLearner`` takes the moments as they are: its bound is that of this sample, and it needs no target.
``TargetTesterLearner`` compares them with a strongly log-concave target (``localized_moments``); its promise
comes first.

    outcome = TesterLearner(eta=0.1, eps=0.25, delta=0.05).fit(X, y)       # Massart labels of rate 0.1
    outcome = TesterLearner(0.0, 0.25, 0.05, opt_guess=1e-3).fit(X, y)     # an adversary has a share of 0.001
    if outcome.accepted:
        outcome.w, outcome.excess                # errs at most `excess` more than the best halfspace
    else:
        outcome.reason

Polynomial time: O(N d⁴) for the fourth moments, O(N d²) for the rest, times the number of widths, O(log N).

Source: Gollakota, Klivans, Stavropoulos and Vasilyan (2023), *An Efficient Tester-Learner for Halfspaces*: the
architecture. The paper leaves constants open; inequalities, constants and schedules here are derived in the modules
named above.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from theory.learning.halfspace_certificates import (
    AngleCertificate,
    agnostic_angle_certificate,
    angle_certificate,
    checked_confidence,
    checked_noise,
    disagreement_certificate,
    fourth_moment_bound,
)
from theory.learning.halfspace_data import (
    adversarial_labels,
    ball,
    clusters,
    gaussian,
    hypercube,
    laplace,
    line,
    massart_labels,
    strongly_log_concave,
    student_t,
)
from theory.learning.halfspace_surrogate import (
    Labels,
    Points,
    Vector,
    checked_direction,
    checked_labels,
    checked_points,
    localized_sgd,
    point_scale,
    ramp_grad,
    ramp_loss,
)
from theory.learning.localized_moments import StronglyLogConcave, localized_moment_test
from theory.learning.moment_matching import moment_matching_test
from theory.validation import in_range, whole_number

__all__ = [
    "Accepted",
    "AngleCertificate",
    "Candidate",
    "Rejected",
    "StronglyLogConcave",
    "TargetTesterLearner",
    "TesterLearner",
    "adversarial_labels",
    "agnostic_angle_certificate",
    "angle_certificate",
    "ball",
    "clusters",
    "disagreement_certificate",
    "fourth_moment_bound",
    "gaussian",
    "hypercube",
    "laplace",
    "line",
    "localized_sgd",
    "massart_labels",
    "moment_matching_test",
    "predict_halfspace",
    "ramp_grad",
    "ramp_loss",
    "strongly_log_concave",
    "student_t",
    "width_schedule",
]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One direction: the width it was found with, its error on the test points, and what is known of it.

    ``angle`` to the best halfspace and ``excess`` error are upper bounds (pi/2 and 1 if nothing is known, for the
    ``reason``).
    """

    w: Float[np.ndarray, " dim"]
    sigma: float
    error: float
    angle: float
    excess: float
    reason: str


@dataclass(frozen=True, eq=False)
class Accepted:
    """``w`` errs at most ``excess`` more than the best halfspace on the points tested.

    That compares expected errors given the points, if labels are random (Massart), with probability ``1 − delta``;
    then it errs at most ``population_excess`` more on the law that the points came from, with the same probability. It
    compares errors on the sample, with certainty, if they are an adversary's; ``population_excess`` is then 1 (nothing
    is claimed). ``error`` is w's on the points tested (rows ``tested`` of X), ``angle`` bounds its angle to the best
    halfspace; all candidates are kept, every bound of theirs holds at once.
    """

    w: Float[np.ndarray, " dim"]
    excess: float
    population_excess: float
    angle: float
    sigma: float
    error: float
    candidates: tuple[Candidate, ...]
    tested: Int[np.ndarray, " tested"]
    accepted = True


@dataclass(frozen=True, eq=False)
class Rejected:
    """No direction's bound is at most eps: ``excess`` is the smallest, ``reason`` what stood in the way there."""

    excess: float
    reason: str
    candidates: tuple[Candidate, ...]
    tested: Int[np.ndarray, " tested"]
    accepted = False


class TesterLearner:
    """Learns a halfspace and certifies it by the sample's own moments; accepts if its excess error is at most ``eps``.

    Labels are Massart with rate at most ``eta``, or (``eta = 0``) the best halfspace misses at most a share
    ``opt_guess`` of the sample. Under Massart noise the sample is split and ``delta`` bounds the probability that an
    accepted bound is wrong; without, nothing is random. ``starts`` descents begin at the mean of y x and at random.

    Raises ``ValueError`` for eta outside [0, 1/2), eps outside (0, 1], delta outside (0, 1), ``opt_guess`` outside [0,
    1] or above 0 together with eta, fewer than one start and a negative seed.

    >>> rng = np.random.default_rng(0)
    >>> X = gaussian(60_000, 2, rng)
    >>> y, _ = massart_labels(X, np.array([1.0, 1.0]), 0.1, rng)
    >>> outcome = TesterLearner(eta=0.1, eps=0.25, delta=0.05).fit(X, y)
    >>> outcome.accepted, outcome.excess < 0.25
    (True, True)
    """

    # "Tester" is the field's word; pytest would take it for a test.
    __test__ = False

    def __init__(
        self, eta: float, eps: float, delta: float, *, opt_guess: float = 0.0, starts: int = 1, seed: int = 0
    ) -> None:
        self.eta = checked_noise(eta, opt_guess)
        self.opt_guess = float(opt_guess)
        self.eps = in_range("eps", eps, 0.0, 1.0)
        if self.eps == 0:
            raise ValueError("eps must be above 0, got 0")
        self.delta = checked_confidence(delta)
        self.starts = whole_number("starts", starts, 1)
        self.seed = whole_number("seed", seed, 0)

    def fit(self, X: Points, y: Labels) -> Accepted | Rejected:
        """Learn from points (N, d) and labels ±1.

        Raises ``ValueError`` for fewer than four points or two columns, labels other than ±1 and values that are not
        finite.
        """
        return _fit(self, X, y, self._excess)

    def _excess(
        self, w: np.ndarray, X: np.ndarray, y: np.ndarray, sigma: float, delta: float
    ) -> tuple[float, float, str]:
        """Bounds of angle and excess of w, up to its sign, and what is lacking."""
        if self.opt_guess > 0:
            certificate = agnostic_angle_certificate(w, X, y, sigma, self.opt_guess)
        else:
            certificate = angle_certificate(w, X, y, sigma, self.eta, delta)
        if not certificate.holds:
            if certificate.signal == 0:
                return math.pi / 2, 1.0, "points do not spread along the hyperplane"
            return math.pi / 2, 1.0, "gradient and noise exceed what the strip's moments allow"
        return certificate.angle, disagreement_certificate(w, X, certificate.angle), ""


class TargetTesterLearner(TesterLearner):
    """As ``TesterLearner``, but promises in advance: tests moments against ``target``, up to a factor ``1 ± slack``.

    The bound of a direction that passes is ``target.promised_excess(sigma, eta, slack, opt_guess)``, a number that
    does not depend on the data. Sound for every law, complete for all laws of the target class at once. Raises
    ``ValueError`` as ``TesterLearner``, for a target of another type and a slack outside [0, 1).

    >>> TargetTesterLearner(0.1, 0.25, 0.05, StronglyLogConcave()).fit(np.ones((100, 2)), np.ones(100)).accepted
    False
    """

    def __init__(
        self,
        eta: float,
        eps: float,
        delta: float,
        target: StronglyLogConcave,
        *,
        slack: float = 0.2,
        opt_guess: float = 0.0,
        starts: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(eta, eps, delta, opt_guess=opt_guess, starts=starts, seed=seed)
        if not isinstance(target, StronglyLogConcave):
            raise ValueError(f"target must be a StronglyLogConcave, got {target!r:.60}")
        self.target = target
        target.anticoncentration(slack)
        self.slack = slack

    def _excess(
        self, w: np.ndarray, X: np.ndarray, y: np.ndarray, sigma: float, delta: float
    ) -> tuple[float, float, str]:
        if self.target.promised_excess(sigma, self.eta, self.slack, self.opt_guess) > self.eps:
            return math.pi / 2, 1.0, "strip too wide for a promise of eps"
        test = localized_moment_test(
            w, X, y, sigma, self.eta, delta, self.target, slack=self.slack, opt_guess=self.opt_guess
        )
        if not test.passed:
            return math.pi / 2, 1.0, f"test failed: {test.worst}"
        return test.promised_angle, test.promised_excess, ""


def predict_halfspace(w: Vector, X: Points) -> Int[np.ndarray, " samples"]:
    """``sign<w, x>`` with ``sign(0) = 1``.

    Raises ``ValueError`` for w = 0, values that are not finite and shapes that disagree.

    >>> predict_halfspace(np.array([1.0, -1.0]), np.array([[1.0, 1.0], [0.0, 1.0]])).tolist()
    [1, -1]
    """
    w, X, _ = checked_direction(w, X)
    return np.where(X @ w < 0, -1, 1)


def width_schedule(X: Points) -> list[float]:
    """Widths from 0.8 coordinates (``median |x| / sqrt d``) down by halves, while the strip has about 50 d points.

    Raises ``ValueError`` for fewer than two columns and values that are not finite.

    >>> len(width_schedule(np.random.default_rng(0).normal(size=(10_000, 2))))
    6
    """
    X = checked_points(X)
    count = int(math.log2(max(len(X) / (100 * X.shape[1]), 1.0))) + 1
    return [0.8 * point_scale(X) * 0.5**i for i in range(count)]


def _fit(
    learner: TesterLearner, X: Points, y: Labels, bounds: Callable[..., tuple[float, float, str]]
) -> Accepted | Rejected:
    X = checked_points(X)
    if len(X) < 4:
        raise ValueError(f"X must have at least 4 rows, got {len(X)}")
    y = checked_labels(y, len(X), signs=True)
    rng = np.random.default_rng(learner.seed)
    train = test = np.arange(len(X))
    if learner.eta > 0:
        order = rng.permutation(len(X))
        train, test = order[: len(X) // 2], order[len(X) // 2 :]
    (fit_X, fit_y), (test_X, test_y) = ((X[rows], y[rows]) for rows in (train, test))
    sigmas = width_schedule(fit_X)
    initial = [None, *rng.standard_normal((learner.starts - 1, X.shape[1]))]
    # Each bound gets its part of delta: half for the angle, a quarter each for the sign and for the population.
    part = learner.delta / (len(initial) * len(sigmas))
    chance = math.sqrt(math.log(8 / part) / (2 * len(test))) if learner.eta > 0 else 0.0
    candidates = []
    for start in initial:
        path = localized_sgd(fit_X, fit_y, sigmas, start=start, seed=learner.seed)
        for w, sigma in zip(path, sigmas, strict=True):
            angle, excess, reason = bounds(w, test_X, test_y, sigma, part / 2)
            candidates.append(_with_sign(learner, w, test_X, test_y, sigma, angle, excess, reason, chance))
    best = min(candidates, key=lambda each: each.excess)
    if best.excess > learner.eps:
        reason = best.reason or "too many points where halfspaces within this angle can disagree"
        return Rejected(best.excess, reason, tuple(candidates), test)
    population = min(best.excess + chance, 1.0) if learner.eta > 0 else 1.0
    return Accepted(best.w, best.excess, population, best.angle, best.sigma, best.error, tuple(candidates), test)


def _with_sign(
    learner: TesterLearner,
    w: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    sigma: float,
    angle: float,
    excess: float,
    reason: str,
    chance: float,
) -> Candidate:
    """w or −w, whichever errs less; bounds hold for it if it errs too little for the other to be the right one.

    If −w were within the angle of w*, it would err at most ``err(w*) + excess``, and w at least 1 less that, but for
    points on the hyperplane, where both predict 1. If w errs more than ``noise + excess``, labels are not as declared.
    """
    margin = X @ w
    errors = [float(((sign * margin < 0) != (y < 0)).mean()) for sign in (1, -1)]
    sign, error = (1, errors[0]) if errors[0] <= errors[1] else (-1, errors[1])
    ties, noise = float((margin == 0).mean()), max(learner.eta, learner.opt_guess)
    if not reason and error + chance >= 1 - ties - noise - excess:
        reason = "w and −w err too much alike"
    elif not reason and error - chance > noise + excess:
        reason = "more labels are wrong than were declared"
    if reason:
        angle, excess = math.pi / 2, 1.0
    return Candidate(sign * w, sigma, error, angle, excess, reason)
