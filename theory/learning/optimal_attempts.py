"""How many attempts are worth making when a wrong answer costs more than none: the exact optimum, and when it exists.

A correct answer is worth 1, a wrong one V <= 0, none 0, an attempt costs C. With the rates p, q of
``verified_sampling`` and beta = 1 − p − q, the k-th attempt adds Delta_k to the reward:

    R(K) = sum_{k <= K} Delta_k,     Delta_k = sum_j w_j (p_j + V q_j − C) beta_j^{k−1},     K_opt = argmax R.

The survivors of many rejections are the hard tasks, on which an accepted answer is more likely wrong, so that Delta
may turn negative. With one type of task it cannot: K_opt is 0 or infinite. With two types, beta_1 < beta_2 and
v_1 > 0 > v_2 for v = p + V q − C,

    K_opt = 1 + floor( log(w_1 v_1 / (w_2 |v_2|)) / log(beta_2 / beta_1) )   if  w_1 v_1 > w_2 |v_2|,   else 0,

and one less where that quotient is a whole number above 0: the last attempt would add nothing. With any number of
tasks and one common soundness, v falls as beta rises, so that Delta changes sign once and the same holds.

    optimal_attempts(p, q, V=-2.0)         # an int, or math.inf
    reward_curve(p, q, V=-2.0, K_max=100)

Why the search ends and is exact. Sort by falling beta. Delta, up to a positive factor, is sum_i A_i t_i(y) with
t_i(y) = exp(−mu_i y), y the attempts to come and mu rising. By Abel's summation it is y times the Laplace transform of
the step function of the partial sums A_1 + … + A_i, hence has no more zeros in y > 0 than these change sign. None:
the sign is fixed for ever. One: there is one zero, which bisection brackets. More: attempts are passed one by one or
in runs over which monotone bounds fix the sign, until the largest beta dominates, which it does after finitely many.
Values of R are compared through their difference, scaled, so that saturation in floating point decides nothing.

Source: Stroebl, Kapoor and Narayanan (2024), *Inference Scaling fLaws*, the reward and the two-type model; optimum
and proof are derived here.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from theory.learning.verified_sampling import (
    Attempts,
    Tasks,
    checked_pair,
    checked_weights,
    expected_attempts,
)
from theory.validation import at_least, finite_array, whole_number

__all__ = [
    "optimal_attempts",
    "posterior_after_rejections",
    "reward_curve",
    "reward_limit",
    "two_type_optimum",
]

_EPS = np.finfo(np.float64).eps


def reward_curve(
    p: Tasks, q: Tasks, V: float, K_max: int, w: Tasks | None = None, cost: float = 0.0
) -> Float[np.ndarray, " attempts"]:
    """``R(0), …, R(K_max)``: the mean reward of at most K attempts, in units of the worth of a correct answer.

    Raises ``ValueError`` for rates or weights as ``accuracy_ceiling``, V or ``cost`` not finite, a negative cost,
    K_max below 0. Warns (``UserWarning``) if V is above 0: a wrong answer is then worth having.

    >>> p, q = np.array([0.87, 0.13]), np.array([0.0325, 0.2175])
    >>> reward_curve(p, q, -1.0, 2, w=np.array([0.58, 0.42])).round(4).tolist()
    [0.0, 0.449, 0.4724]
    """
    p, q, weights, v = _values(p, q, V, w, cost)
    attempts = np.arange(whole_number("K_max", K_max, 0) + 1)
    return (weights * v) @ np.asarray(expected_attempts(p, q, attempts))


def reward_limit(p: Tasks, q: Tasks, V: float, w: Tasks | None = None, cost: float = 0.0) -> float:
    """``R(∞) = sum_j w_j v_j/(p_j + q_j)``; −inf if a task on which nothing is accepted costs something.

    Errors as ``reward_curve``.

    >>> round(reward_limit(np.array([0.5]), np.array([0.25]), -1.0), 12)
    0.333333333333
    """
    p, q, weights, v = _values(p, q, V, w, cost)
    accepted = p + q
    endless = (accepted == 0) & (weights > 0) & (v != 0)
    if endless.any():
        return -math.inf
    return float((weights * v) @ (1 / np.where(accepted > 0, accepted, np.inf)))


def optimal_attempts(
    p: Tasks, q: Tasks, V: float, w: Tasks | None = None, K_max: int | None = None, cost: float = 0.0
) -> int | float:
    """The smallest K ≥ 0 that maximises the reward: 0 (do not use it), a number, or ``math.inf``.

    ``K_max`` restricts to K ≤ K_max. Values of v that are 0 within four units of rounding count as 0, betas as close
    as that as equal, and a Delta_k that rounding of its terms could explain as 0: such a tie goes to the smaller K.
    Errors as ``reward_curve``.

    >>> p, q, w = np.array([0.87, 0.13]), np.array([0.0325, 0.2175]), np.array([0.58, 0.42])
    >>> [optimal_attempts(p, q, V, w) for V in (-0.5, -0.7, -1.0, -2.0)]
    [inf, 3, 2, 1]
    """
    p, q, weights, v = _values(p, q, V, w, cost)
    limit = math.inf if K_max is None else whole_number("K_max", K_max, 0)
    series = _increments(p + q, weights * v)
    if series.amounts.size == 0:
        return 0
    best: int | float = 0
    for start, end in _rises(series, limit):
        candidate = min(end, limit)
        if start <= limit and series.sign_between(int(best), candidate) > 0:
            best = candidate
    return best


def two_type_optimum(p: Tasks, q: Tasks, V: float, w: Tasks | None = None, cost: float = 0.0) -> int | float:
    """``optimal_attempts`` of exactly two tasks, by the formula above instead of a search.

    Errors as ``reward_curve``, and for other than two tasks.

    >>> p, q, w = np.array([0.87, 0.13]), np.array([0.0325, 0.2175]), np.array([0.58, 0.42])
    >>> [two_type_optimum(p, q, V, w) for V in (-0.5, -0.7, -1.0, -2.0)]
    [inf, 3, 2, 1]
    """
    p, q, weights, v = _values(p, q, V, w, cost)
    if len(p) != 2:
        raise ValueError(f"p must hold two types of tasks, got {len(p)}")
    easy, hard = (0, 1) if p[0] + q[0] >= p[1] + q[1] else (1, 0)
    value = weights * v
    accepted = p + q
    gains, costs = value > 0, value < 0
    if accepted[easy] == accepted[hard] or not (gains.any() and costs.any()):
        total = float(value.sum())
        if total <= 0:
            return 0
        # What is accepted at once leaves nothing for a second attempt.
        return 1 if accepted[gains].min() >= 1 else math.inf
    if costs[easy]:
        # The reward falls first and rises for ever after.
        return math.inf if reward_limit(p, q, V, w, cost) > 0 else 0
    if value[easy] <= -value[hard]:
        return 0
    if accepted[easy] >= 1:
        return 1
    ratio = math.log(value[easy] / -value[hard]) / (math.log1p(-accepted[hard]) - math.log1p(-accepted[easy]))
    return math.ceil(ratio)


def posterior_after_rejections(
    p: Tasks, q: Tasks, rejections: Attempts, w: Tasks | None = None
) -> Float[np.ndarray, "tasks ..."]:
    """``b_j(m) = w_j beta_j^m / sum_l w_l beta_l^m``: which task it is likely to be after m rejections.

    Shape ``(tasks,) + rejections.shape``. Where no task can be rejected that often, the limit is on the tasks with the
    largest beta. Raises ``ValueError`` for rates and weights as ``accuracy_ceiling``, or rejections that are not whole
    numbers of at least 0.

    >>> posterior_after_rejections(np.array([0.5, 0.25]), np.array([0.0, 0.0]), np.array([0, 1])).round(2).tolist()
    [[0.5, 0.4], [0.5, 0.6]]
    """
    p, q = checked_pair(p, q, per_task=True)
    weights = checked_weights(w, len(p))
    m = np.asarray(rejections)
    if m.dtype.kind not in "iu" or m.size == 0 or m.min() < 0:
        raise ValueError(f"rejections must hold whole numbers of at least 0, got {rejections!r:.60}")
    column = (len(p),) + (1,) * m.ndim
    with np.errstate(divide="ignore", invalid="ignore"):
        log_beta = np.log1p(-np.minimum(p + q, 1.0))
        relative = np.where(weights > 0, log_beta, -np.inf)
        relative = np.where(relative == relative.max(), 0.0, relative - relative.max()).reshape(column)
        log_weights = np.log(weights).reshape(column) + np.where(m == 0, 0.0, m * relative)
    unnormalized = np.exp(log_weights - log_weights.max(axis=0))
    return unnormalized / unnormalized.sum(axis=0)


@dataclass(frozen=True)
class _Increments:
    """``Delta_k = sum_i amounts_i exp((k − 1) rates_i)`` with distinct, falling rates ≤ 0 and no amount 0."""

    rates: np.ndarray
    amounts: np.ndarray

    def terms(self, k: int) -> np.ndarray:
        """The terms of Delta_k, divided by their largest."""
        logs = np.log(np.abs(self.amounts)) + self._decay(k - 1)
        return np.sign(self.amounts) * np.exp(logs - logs.max())

    def sign(self, k: int) -> int:
        return _sign(self.terms(k))

    def variations(self, k: int) -> int:
        """How often the partial sums at k change sign: no fewer than Delta does after k."""
        sums, sizes = np.cumsum(self.terms(k)), np.cumsum(np.abs(self.terms(k)))
        clear = np.sign(sums[np.abs(sums) > 4 * _EPS * sizes])
        return int((clear[1:] != clear[:-1]).sum())

    def constant_sign(self, low: int, high: int) -> bool:
        """Whether the positive and the negative part, both falling, never meet between two numbers of attempts."""
        with np.errstate(over="ignore"):
            ends = [self.amounts * np.exp(self._decay(k - 1)) for k in (low, high)]
        (gain_low, loss_low), (gain_high, loss_high) = ((t[t > 0].sum(), -t[t < 0].sum()) for t in ends)
        return bool(gain_high > loss_low * (1 + 1e-12) or loss_high > gain_low * (1 + 1e-12))

    def sign_between(self, low: int, high: float) -> int:
        """The sign of R(high) − R(low), high > low, from terms divided by the largest beta^low."""
        more = high - low
        with np.errstate(invalid="ignore"):
            gained = np.where(self.rates < 0, np.expm1(more * self.rates) / np.expm1(self.rates), more)
        return _sign(self.amounts * np.exp(self._decay(low)) * gained)

    def _decay(self, power: int) -> np.ndarray:
        """Logarithm of (beta_i / beta_1)^power."""
        if power == 0:
            return np.zeros_like(self.rates)
        return power * np.where(self.rates == self.rates[0], 0.0, self.rates - self.rates[0])


def _values(
    p: Tasks, q: Tasks, V: float, w: Tasks | None, cost: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Checked rates and weights, and v = p + V q − C, 0 where only rounding tells it from 0."""
    p, q = checked_pair(p, q, per_task=True)
    weights = checked_weights(w, len(p))
    penalty, price = float(finite_array("V", V, 0)), at_least("cost", cost, 0.0)
    if penalty > 0:
        warnings.warn(f"V = {penalty} is above 0: a wrong answer is then worth having", UserWarning, stacklevel=3)
    v = p + penalty * q - price
    return p, q, weights, np.where(np.abs(v) <= 4 * _EPS * (p + np.abs(penalty) * q + price), 0.0, v)


def _increments(accepted: np.ndarray, amounts: np.ndarray) -> _Increments:
    """Group tasks whose beta agrees, add what they contribute, leave out groups that contribute nothing."""
    order = np.argsort(accepted, kind="stable")
    accepted, amounts = np.minimum(accepted[order], 1.0), amounts[order]
    first = np.concatenate([[True], np.diff(accepted) > 4 * _EPS * accepted[1:]])
    starts = np.flatnonzero(first)
    total, size = np.add.reduceat(amounts, starts), np.add.reduceat(np.abs(amounts), starts)
    kept = np.abs(total) > 4 * _EPS * size
    with np.errstate(divide="ignore"):
        rates = np.log1p(-accepted[starts][kept])
    return _Increments(rates, total[kept])


def _rises(series: _Increments, limit: float) -> list[tuple[int, float]]:
    """Maximal runs (first, last) of attempts with Delta_k > 0 that begin by ``limit``; the last may be infinite."""
    rises: list[tuple[int, float]] = []
    k, sign = 1, series.sign(1)
    while k <= limit:
        following, next_sign = _next_change(series, k, sign, limit)
        if sign > 0:
            rises.append((k, following - 1))
        if math.isinf(following):
            break
        k, sign = int(following), next_sign
    return rises


def _next_change(series: _Increments, k: int, sign: int, limit: float) -> tuple[float, int]:
    """The first attempt after k at which Delta has another sign, and that sign; infinity if there is none."""
    if np.isneginf(series.rates[0]):
        # Everything is accepted at once: all later increments are 0.
        return (k + 1, 0) if sign != 0 else (math.inf, 0)
    if k == 1 and np.isneginf(series.rates[-1]):
        later = _Increments(series.rates[:-1], series.amounts[:-1])
        return (2, later.sign(2)) if later.sign(2) != sign else _next_change(later, 2, sign, limit)
    step = 1
    while k <= limit:
        changes = series.variations(k)
        if changes == 0 and sign != 0:
            return math.inf, sign
        if changes == 1 and sign != 0:
            return _single_change(series, k, sign)
        while sign != 0 and step > 1 and not series.constant_sign(k, k + step):
            step //= 2
        k, step = k + step, 2 * step
        if series.sign(k) != sign:
            return k, series.sign(k)
    return math.inf, sign


def _single_change(series: _Increments, k: int, sign: int) -> tuple[float, int]:
    """Bisect for the one change of sign after k; an attempt that adds nothing counts as the change."""
    low, high = k, 2 * k
    while series.sign(high) == sign:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if series.sign(middle) == sign else (low, middle)
    return high, series.sign(high)


def _sign(terms: np.ndarray) -> int:
    total = float(np.sum(terms))
    return 0 if abs(total) <= 4 * _EPS * float(np.abs(terms).sum()) else int(np.sign(total))
