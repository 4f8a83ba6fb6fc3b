"""Resampling with an imperfect verifier: a weak model's ceiling, and why more samples can make things worse.

"Sample until the unit tests pass" helps a weak model only up to a ceiling, the precision of what it gets accepted. Let
a task be solved with probability r, wrong answers be rejected with probability s (soundness), correct ones never. Then

    precision g(r) = r / (r + (1 − s)(1 − r)),       g' = (1 − s)/(r + (1 − s)(1 − r))² > 0,       g'' <= 0.

So a weaker model has a lower ceiling on the same tasks with the same verifier; no correlation has to be assumed. A
model of accuracy r reaches the single-sample accuracy r_strong by resampling only if

    r >= r_cut = r_strong (1 − s) / (1 − r_strong s),

which suffices if all tasks are alike and, g being concave, is necessary for any mixture of tasks with mean r (Jensen).

    accuracy_ceiling(p, q)                               # K = ∞                  (verified_sampling)
    optimal_attempts(p, q, V=-2.0)                       # 0, a number, or inf    (optimal_attempts)
    minimum_weak_accuracy(s=0.9, r_strong=0.8)           # r_cut
    for statement, proof in certified_statements().items(): ...

The authors' notebook multiplies the value of an attempt, already averaged over the posterior, by the posterior mean of
beta_i^{k−1} where the prior mean belongs. Its rewards are too low (0.4249 instead of 0.4450 for r = (.87, .13),
s = .75, weights (.58, .42), V = −1, K = 5). The sign of an attempt's value is unharmed, but its best K for small |V|
are where rising curves saturate in floating point: the optimum there is infinite.

Source: Stroebl, Kapoor and Narayanan (2024), *Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect
Verifiers*; inequalities derived and certified here.
"""

from collections.abc import Iterator

import numpy as np

from theory.certificates import Certificate, certify_monotone, certify_nonnegative
from theory.fuzz import Bound
from theory.learning.optimal_attempts import (
    optimal_attempts,
    posterior_after_rejections,
    reward_curve,
    reward_limit,
    two_type_optimum,
)
from theory.learning.verified_sampling import (
    SampleRates,
    accept_rates,
    accuracy_ceiling,
    conditional_accuracy,
    estimate_rates,
    expected_attempts,
    permutation_outcomes,
    precision,
    resampling_outcomes,
    simulate_resampling,
)
from theory.validation import in_range

__all__ = [
    "SampleRates",
    "accept_rates",
    "accuracy_ceiling",
    "certified_statements",
    "conditional_accuracy",
    "estimate_rates",
    "expected_attempts",
    "minimum_weak_accuracy",
    "optimal_attempts",
    "permutation_outcomes",
    "posterior_after_rejections",
    "precision",
    "resampling_outcomes",
    "reward_curve",
    "reward_limit",
    "simulate_resampling",
    "two_type_optimum",
]


def minimum_weak_accuracy(s: float, r_strong: float) -> float:
    """``r_cut = r_strong (1 − s)/(1 − r_strong s)``: below it no number of samples reaches ``r_strong``.

    For a verifier of soundness ``s`` on every task that rejects no correct answer. A perfect one gives 0, which stands
    for any accuracy above 0. Raises ``ValueError`` for arguments outside [0, 1].

    >>> round(minimum_weak_accuracy(s=0.75, r_strong=0.8), 12)
    0.5
    """
    return float(_r_cut(np.asarray(in_range("s", s, 0, 1)), np.asarray(in_range("r_strong", r_strong, 0, 1))))


def certified_statements() -> dict[str, Certificate]:
    """The scalar inequalities on which the statements above rest, each with a machine-checked proof.

    The variables are r in [0, 1] and the verifier's error e = 1 − s, in [2⁻²⁰, 1] where a formula has a pole at 0.
    Needs sympy and python-flint.

    >>> all(certificate.proved for certificate in certified_statements().values())
    True
    """
    import sympy

    r, e, b = sympy.symbols("r e b")
    unit, error = (0, 1), (sympy.Rational(1, 2**20), 1)
    accepted = r + e * (1 - r)
    both = {r: unit, e: error}
    slope = e / accepted**2  # e > 0 at r = 1, and larger before: the precision rises strictly
    return {
        "precision does not fall with r": certify_monotone(r / accepted, r, both),
        "precision is concave in r": certify_monotone(slope, r, both, increasing=False),
        "precision does not fall with soundness": certify_monotone(r / accepted, e, both, increasing=False),
        "precision is at least r": certify_nonnegative(r / accepted - r, (r, e), (unit, error)),
        # With p, q at least 0 and p + q = 1 − b: attempts add p b^K, and what is left to the ceiling is share · b^K.
        "accuracy is at most its ceiling": certify_nonnegative(r - r * (1 - b**3), (r, b), (unit, unit)),
        "r_cut does not exceed r_strong": certify_nonnegative(r * (1 - r * (1 - e)) - r * e, (r, e), (unit, unit)),
        # v = r − b (1 − s)(1 − r) with b = |V|: so that, with one soundness, v falls as beta = s (1 − r) rises.
        "the value of an attempt does not fall with r": certify_monotone(
            r - b * e * (1 - r), r, {r: unit, e: unit, b: (0, 1024)}
        ),
    }


def _r_cut(s: np.ndarray, r_strong: np.ndarray) -> np.ndarray:
    return np.where(s < 1, r_strong * (1 - s) / np.where(s < 1, 1 - r_strong * s, 1.0), 0.0)


def _instances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    spread = 10.0 ** rng.uniform(-2, 0.7, (count, 1))
    return {
        "r": 1 / (1 + np.exp(-rng.normal(size=(count, 1)) - spread * rng.normal(size=(count, 4)))),
        "s": np.where(rng.random(count) < 0.5, rng.random(count), 1 - 10.0 ** rng.uniform(-6, 0, count)),
    }


def _ceiling(r: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.asarray(precision(r, (1 - s[:, None]) * (1 - r))).mean(axis=1)


def _bounds() -> Iterator[Bound]:
    source = "ceiling of a weak model"
    yield Bound(
        "ceiling at most the precision at mean accuracy", source,
        _ceiling, lambda r, s: _ceiling(r.mean(axis=1, keepdims=True), s), _instances, "proved",
    )  # fmt: skip
    yield Bound(
        "accuracy at most its ceiling under a common verifier", source,
        lambda r, s: r.mean(axis=1), _ceiling, _instances, "proved",
    )  # fmt: skip
    yield Bound(
        "mean accuracy at least r_cut of the ceiling reached", source,
        lambda r, s: _r_cut(s, _ceiling(r, s)), lambda r, s: r.mean(axis=1), _instances, "proved",
    )  # fmt: skip


BOUNDS = list(_bounds())
