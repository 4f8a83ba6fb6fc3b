"""Sampling until an imperfect verifier accepts: what comes back, how often it is right, what more samples buy.

A task is attempted with probability r of a correct answer. The verifier accepts a correct answer with probability c
(completeness) and rejects a wrong one with probability s (soundness). One attempt is then

    correctly accepted  p = c r,      wrongly accepted  q = (1 − s)(1 − r),      rejected  beta = 1 − p − q.

Of at most K attempts the first accepted one is returned, and nothing if there is none:

    P(correct) = p/(p + q) (1 − beta^K),     P(wrong) = q/(p + q) (1 − beta^K),     P(abstain) = beta^K.

The precision p/(p + q) does not depend on K. Its mean over tasks is the ceiling of accuracy; it is 1 only if q = 0.

    p, q, beta = accept_rates(r, soundness=0.9)
    correct, wrong, abstain = resampling_outcomes(p, q, np.arange(100))
    accuracy_ceiling(p, q)                                    # K = ∞

From matrices (tasks × samples) of what was correct and what was accepted: ``estimate_rates``,
``conditional_accuracy``, and ``permutation_outcomes``, the same probabilities for samples drawn without replacement.

Source: Stroebl, Kapoor and Narayanan (2024), *Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect
Verifiers*: setting and estimators; the closed forms are derived here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln

from theory.fuzz import Bound
from theory.validation import finite_array, one_of, probabilities, same_shape, whole_number

__all__ = [
    "SampleRates",
    "accept_rates",
    "accuracy_ceiling",
    "checked_pair",
    "checked_weights",
    "conditional_accuracy",
    "estimate_rates",
    "expected_attempts",
    "permutation_outcomes",
    "precision",
    "resampling_outcomes",
    "simulate_resampling",
]

Values = Float[np.ndarray, "..."] | float
Attempts = Int[np.ndarray, "..."] | int
Tasks = Float[np.ndarray, " tasks"]
Samples = Bool[np.ndarray, "tasks samples"]


def accept_rates(r: Values, soundness: Values, completeness: Values = 1.0) -> tuple[Values, Values, Values]:
    """``(p, q, beta)``: the probabilities that an attempt is correctly accepted, wrongly accepted, rejected.

    ``r`` is the probability of a correct attempt; all three broadcast. ``beta = (1 − c) r + s (1 − r)`` is computed
    without cancellation. Raises ``ValueError`` for a value outside [0, 1] or shapes that do not broadcast.

    >>> p, q, beta = accept_rates(0.5, soundness=0.8)
    >>> round(float(p), 3), round(float(q), 3), round(float(beta), 3)
    (0.5, 0.1, 0.4)
    """
    R, s, c = (_rates(name, x) for name, x in (("r", r), ("soundness", soundness), ("completeness", completeness)))
    try:
        np.broadcast_shapes(R.shape, s.shape, c.shape)
    except ValueError:
        raise ValueError(
            f"r, soundness and completeness must broadcast, got shapes {R.shape}, {s.shape} and {c.shape}"
        ) from None
    return (c * R)[()], ((1 - s) * (1 - R))[()], ((1 - c) * R + s * (1 - R))[()]


def resampling_outcomes(p: Values, q: Values, K: Attempts) -> tuple[Values, Values, Values]:
    """``(correct, wrong, abstain)``: what at most K attempts return; shapes ``p.shape + K.shape``.

    With p + q = 0 nothing is ever accepted: (0, 0, 1). The three sum to 1. Raises ``ValueError`` for p or q outside
    [0, 1], p + q above 1, other shapes of the two, or K that is not a whole number of at least 0.

    >>> correct, wrong, abstain = resampling_outcomes(0.5, 0.1, np.array([0, 1, 2]))
    >>> correct.round(3).tolist(), abstain.round(3).tolist()
    ([0.0, 0.5, 0.7], [1.0, 0.4, 0.16])
    """
    p, q = checked_pair(p, q)
    attempts = _attempts(K)
    p, q = (x.reshape(x.shape + (1,) * attempts.ndim) for x in (p, q))
    log_abstain = _log_abstain(np.asarray(p + q), attempts)
    answered = 0.0 - np.expm1(log_abstain)  # not −0 for K = 0
    return (_share(p, q) * answered)[()], (_share(q, p) * answered)[()], np.exp(log_abstain)[()]


def expected_attempts(p: Values, q: Values, K: Attempts) -> Values:
    """``(1 − beta^K)/(1 − beta)``, the mean number of attempts made, K if nothing is ever accepted.

    Shapes and errors as ``resampling_outcomes``.

    >>> float(expected_attempts(0.3, 0.2, 2)), float(expected_attempts(0.0, 0.0, 7))
    (1.5, 7.0)
    """
    p, q = checked_pair(p, q)
    attempts = _attempts(K)
    accepted = np.asarray(p + q).reshape(p.shape + (1,) * attempts.ndim)
    made = -np.expm1(_log_abstain(accepted, attempts)) / np.where(accepted > 0, accepted, 1.0)
    return np.where(accepted > 0, made, attempts)[()]


def precision(p: Values, q: Values) -> Values:
    """``p/(p + q)``: how often an accepted answer is correct; 0 where nothing is accepted. Errors as above.

    >>> float(precision(0.3, 0.1))
    0.7499999999999999
    """
    return _share(*checked_pair(p, q))[()]


def accuracy_ceiling(p: Tasks, q: Tasks, w: Tasks | None = None) -> float:
    """``sum_j w_j p_j/(p_j + q_j)``, the accuracy of unlimited attempts; weights default to 1/tasks.

    A task on which nothing is accepted counts 0. Not below the accuracy of any finite K, and 1 only if every task has
    q = 0 < p. Raises ``ValueError`` for rates as ``resampling_outcomes`` or weights that are not a distribution.

    >>> accuracy_ceiling(np.array([0.5, 0.1]), np.array([0.0, 0.1]))
    0.75
    """
    p, q = checked_pair(p, q, per_task=True)
    return float(checked_weights(w, len(p)) @ _share(p, q))


@dataclass(frozen=True)
class SampleRates:
    """Per task: the fraction ``r`` of samples that are correct, ``p`` correct and accepted, ``q`` wrong and accepted.

    ``soundness`` is pooled over tasks: the fraction of wrong samples that are rejected (1 if none is wrong).
    """

    r: Tasks
    p: Tasks
    q: Tasks
    soundness: float


def estimate_rates(correct: Samples, accept: Samples) -> SampleRates:
    """Rates of every task from its samples; both matrices are boolean, tasks × samples.

    Raises ``ValueError`` unless both are boolean, not empty and of one shape.

    >>> rates = estimate_rates(np.array([[True, False, False, True]]), np.array([[True, True, False, True]]))
    >>> rates.r.tolist(), rates.p.tolist(), rates.q.tolist(), rates.soundness
    ([0.5], [0.5], [0.25], 0.5)
    """
    correct, accept = _matrices(correct, accept)
    wrong = ~correct
    fooled = float((wrong & accept).sum())
    soundness = 1 - fooled / wrong.sum() if wrong.any() else 1.0
    return SampleRates(correct.mean(1), (correct & accept).mean(1), (wrong & accept).mean(1), float(soundness))


def conditional_accuracy(
    correct: Samples, accept: Samples, missing: Literal["drop", "worst", "best"] = "drop"
) -> float:
    """Mean over tasks of the fraction of accepted samples that are correct: the estimate of ``accuracy_ceiling``.

    A task of which no sample is accepted is left out (``"drop"``), counts 0 (``"worst"``) or counts 1 (``"best"``).
    Raises ``ValueError`` as ``estimate_rates``, for an unknown ``missing``, and if all tasks would be left out.

    >>> correct, accept = np.array([[True, False], [True, False]]), np.array([[True, True], [False, False]])
    >>> [conditional_accuracy(correct, accept, how) for how in ("drop", "worst", "best")]
    [0.5, 0.25, 0.75]
    """
    correct, accept = _matrices(correct, accept)
    one_of("missing", missing, ("drop", "worst", "best"))
    accepted = accept.sum(1)
    some = accepted > 0
    share = (correct & accept).sum(1)[some] / accepted[some]
    if missing != "drop":
        share = np.concatenate([share, np.full((~some).sum(), float(missing == "best"))])
    if share.size == 0:
        raise ValueError("accept must accept a sample of at least one task if missing is 'drop', got none")
    return float(share.mean())


def permutation_outcomes(
    correct: Samples, accept: Samples, K: Attempts
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """``(correct, wrong, abstain)`` if the samples of a task are tried in random order, each at most once.

    With a of N accepted, none is among the first K with probability C(N − a, K)/C(N, K), which takes the place of
    beta^K: exactly what shuffling the samples estimates. A verifier that accepts just the correct samples makes
    ``correct`` the pass@k estimator. Shapes ``(tasks,) + K.shape``. Raises ``ValueError`` as ``estimate_rates``, and
    for K that is not a whole number from 0 to N.

    >>> correct = np.array([[True, False, False, False]])
    >>> float(permutation_outcomes(correct, correct, 2)[0].item())
    0.5
    """
    correct, accept = _matrices(correct, accept)
    N, attempts = correct.shape[1], _attempts(K)
    if attempts.max() > N:
        raise ValueError(f"K must be at most the number of samples, {N}, got {int(attempts.max())}")
    shape = (len(correct),) + (1,) * attempts.ndim
    accepted, right = accept.sum(1).reshape(shape), (correct & accept).sum(1).reshape(shape)
    left = N - accepted - attempts
    # C(N − a, K)/C(N, K) = (N − a)! (N − K)! / ((N − a − K)! N!)
    log_none = gammaln(N - accepted + 1) + gammaln(N - attempts + 1) - gammaln(np.maximum(left, 0) + 1) - gammaln(N + 1)
    abstain = np.where(left < 0, 0.0, np.where(accepted == 0, 1.0, np.exp(np.minimum(log_none, 0.0))))
    some = np.maximum(accepted, 1)
    return right / some * (1 - abstain), (accepted - right) / some * (1 - abstain), abstain


def simulate_resampling(p: Tasks, q: Tasks, K: int, n: int, rng: np.random.Generator) -> tuple[Tasks, Tasks, Tasks]:
    """Fractions ``(correct, wrong, abstain)`` of n runs per task, simulated attempt by attempt.

    Every attempt of every run still open is drawn from (p, q, beta); nothing of the closed form is used. Raises
    ``ValueError`` for rates as ``resampling_outcomes``, K below 0, n below 1, or an rng that is not a Generator.

    >>> correct, wrong, abstain = simulate_resampling(
    ...     np.array([1.0, 0.0]), np.array([0.0, 0.0]), 3, 10, np.random.default_rng(0))
    >>> correct.tolist(), abstain.tolist()
    ([1.0, 0.0], [0.0, 1.0])
    """
    p, q = checked_pair(p, q, per_task=True)
    K, n = whole_number("K", K, 0), whole_number("n", n, 1)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy Generator, got {rng!r:.60}")
    chances = np.stack([p, q, np.maximum(1 - p - q, 0.0)], axis=1)
    returned = np.zeros((len(p), 2), dtype=np.int64)
    remaining = np.full(len(p), n)
    for _ in range(K):
        attempt = rng.multinomial(remaining, chances / chances.sum(axis=1, keepdims=True))
        returned += attempt[:, :2]
        remaining = attempt[:, 2]
        if not remaining.any():
            break
    return returned[:, 0] / n, returned[:, 1] / n, remaining / n


def checked_pair(p: Values, q: Values, per_task: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """p and q as float64 arrays of one shape, with ``per_task`` as vectors.

    Raises ``ValueError`` unless both are in [0, 1] and p + q is at most 1.

    >>> [rate.tolist() for rate in checked_pair(0.25, 0.5)]
    [0.25, 0.5]
    """
    P, Q = (_rates(name, value, 1 if per_task else None) for name, value in (("p", p), ("q", q)))
    same_shape(("p", "q"), (P, Q))
    if (P + Q).max() > 1 + 1e-12:
        raise ValueError(f"p + q must be at most 1, got {(P + Q).max()}")
    # Rounding must not make an attempt more than certain to be accepted.
    return P, np.asarray(np.minimum(Q, 1 - P))


def checked_weights(w: Tasks | None, tasks: int) -> np.ndarray:
    """Weights of the tasks as a distribution, uniform if None; raises ``ValueError`` otherwise.

    >>> checked_weights(None, 2).tolist()
    [0.5, 0.5]
    """
    whole_number("tasks", tasks, 1)
    if w is None:
        return np.full(tasks, 1 / tasks)
    weights = probabilities("w", w, 1)
    if len(weights) != tasks:
        raise ValueError(f"w must have one weight per task, {tasks}, got {len(weights)}")
    return weights


def _rates(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    array = finite_array(name, value, dimensions)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{name} must be in [0, 1], got {array.min()} … {array.max()}")
    return array


def _attempts(K: object) -> np.ndarray:
    raw = np.asarray(K)
    if raw.dtype.kind not in "iu" or raw.size == 0 or raw.min() < 0:
        raise ValueError(f"K must hold whole numbers of at least 0, got {K!r:.60}")
    return raw


def _log_abstain(accepted: np.ndarray, attempts: np.ndarray) -> np.ndarray:
    """``K log(1 − accepted)`` without cancellation; 0 for K = 0, also where the first attempt is surely accepted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_abstain = attempts * np.log1p(-np.minimum(accepted, 1.0))
    return np.where(attempts == 0, 0.0, log_abstain)


def _share(part: np.ndarray, rest: np.ndarray) -> np.ndarray:
    total = part + rest
    return np.where(total > 0, part / np.where(total > 0, total, 1.0), 0.0)


def _matrices(correct: object, accept: object) -> tuple[np.ndarray, np.ndarray]:
    matrices = []
    for name, value in (("correct", correct), ("accept", accept)):
        raw = np.asarray(value)
        if raw.dtype != np.bool_ or raw.ndim != 2 or raw.size == 0:
            raise ValueError(f"{name} must be a boolean matrix, tasks × samples, got {raw.dtype} of shape {raw.shape}")
        matrices.append(raw)
    same_shape(("correct", "accept"), matrices)
    return matrices[0], matrices[1]


def _instances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Three tasks of every difficulty down to 10⁻⁶, verifiers from perfect to useless."""
    small = 10.0 ** rng.uniform(-6, 0, (count, 3))
    r = np.where(rng.random((count, 3)) < 0.5, small, rng.random((count, 3)))
    s = np.where(rng.random((count, 1)) < 0.3, rng.random((count, 1)), 1 - 10.0 ** rng.uniform(-6, 0, (count, 1)))
    return {"p": r, "q": (1 - s) * (1 - r), "K": rng.integers(0, 400, count)}


def _accuracy(p: np.ndarray, q: np.ndarray, K: np.ndarray) -> np.ndarray:
    return (_share(p, q) * -np.expm1(_log_abstain(p + q, K[:, None]))).mean(axis=1)


def _bounds() -> Iterator[Bound]:
    source = "first accepted of K attempts"
    yield Bound(
        "one attempt more never lowers accuracy", source,
        lambda p, q, K: _accuracy(p, q, K), lambda p, q, K: _accuracy(p, q, K + 1), _instances, "identity",
    )  # fmt: skip
    yield Bound(
        "accuracy at most its ceiling", source,
        lambda p, q, K: _accuracy(p, q, K), lambda p, q, K: _share(p, q).mean(axis=1), _instances, "identity",
    )  # fmt: skip
    yield Bound(
        "with a perfect verifier, 1 − accuracy at most the largest beta^K", source,
        lambda p, q, K: 1 - _accuracy(p, 0 * q, K), lambda p, q, K: np.exp(_log_abstain(p, K[:, None])).max(axis=1),
        _instances, "identity",
    )  # fmt: skip


BOUNDS = list(_bounds())
