"""Weights of the samples of a batch from their losses: strategies, their dual form and how large a weight can get.

A batch has losses l_1 … l_M. Weights are a softmax, with temperature r, of a score of the normalised losses

    h_i = delta (2 l_i − l_max − l_min) / (l_max − l_min)  in [−delta, delta],       w = softmax(s(h) / r)

    uniform     s = 0                        every sample counts the same
    linupper    s = min(h + delta, delta)    easy samples count less, all above the mid-range count the same
    upper       s = (h + delta) / 2          the larger the loss, the more it counts
    quadratic   s = 1 − h²/delta²            samples of medium loss count most
    extremes    s = |h|                      the easiest and the hardest count most

w is the best response of an adversary that pays r for every nat of divergence from equal weights,

    softmax(s / r) = argmax_{w in simplex} sum_i w_i s_i − r KL(w, uniform),       of value r log mean_i exp(s_i / r),

so ``upper`` is KL-regularised distributionally robust optimisation at a temperature proportional to the range of the
losses, and the others are its answers to transformed losses. With delta = 1 scores lie in [0, 1]: no weight exceeds
another by more than a factor e^{1/r}, and from r = 1/log 2 on none exceeds twice its fair share 1/M.

    sample_weights(losses, "linupper", r=1.0)

Source: Sow, Woisetschläger, Bulusu, Wang, Jacobsen and Liang (2025), *Dynamic Loss-Based Sample Reweighting for
Improved Large Language Model Pretraining*, for the strategies (and the authors' published trainer for ``upper`` and the
floor 1e-6 of the range). Ranges of weights and the threshold 1/log 2 are derived here.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from theory.certificates import Certificate, certify_nonnegative
from theory.fuzz import Bound
from theory.validation import finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "STRATEGIES",
    "cap_temperature",
    "certify_cap",
    "kl_dro_solution",
    "kl_dro_value",
    "lockstep_weights",
    "normalize_losses",
    "sample_weights",
    "strategy_score",
    "weight_bounds",
]

Strategy = Literal["uniform", "linupper", "quadratic", "extremes", "upper"]
Losses = Float[np.ndarray, " samples"]

STRATEGIES: tuple[Strategy, ...] = ("uniform", "linupper", "quadratic", "extremes", "upper")


def normalize_losses(
    losses: Losses, delta: float = 1.0, eps: float = 1e-6, lo: float | None = None, hi: float | None = None
) -> Losses:
    """``h = delta (2 l − hi − lo) / max(hi − lo, eps)``, from −delta at the least loss to delta at the largest.

    ``lo`` and ``hi`` are the extremes of the whole batch where ``losses`` are only a part of it (a device's share); by
    default the extremes of ``losses``. Below a range of ``eps`` the result shrinks towards 0, and equal losses give 0.
    Raises ``ValueError`` for losses that are not a vector of finite numbers, for ``delta`` or ``eps`` not above 0, or
    for losses outside ``[lo, hi]``.

    >>> normalize_losses(np.array([1.0, 2.0, 5.0])).tolist()
    [-1.0, -0.5, 1.0]
    """
    f = finite_array("losses", losses, 1)
    delta, eps = positive("delta", delta), positive("eps", eps)
    low = float(f.min()) if lo is None else _number("lo", lo)
    high = float(f.max()) if hi is None else _number("hi", hi)
    if f.min() < low:
        raise ValueError(f"lo must be at most the least of the losses, {f.min()}, got {low}")
    if f.max() > high:
        raise ValueError(f"hi must be at least the largest of the losses, {f.max()}, got {high}")
    return delta * _normalized(f, low, high, eps)


def strategy_score(h: Losses, strategy: Strategy, delta: float = 1.0) -> Losses:
    """The score s(h) of each normalised loss; with ``delta = 1`` all scores lie in [0, 1].

    Raises ``ValueError`` for h outside [−delta, delta] (by more than rounding), ``delta`` not above 0, or an unknown
    strategy.

    >>> strategy_score(np.array([-1.0, 0.0, 0.5]), "linupper").tolist()
    [0.0, 1.0, 1.0]
    """
    h, delta = finite_array("h", h, 1), positive("delta", delta)
    one_of("strategy", strategy, STRATEGIES)
    if np.abs(h).max() > delta * (1 + 1e-9):
        raise ValueError(f"h must lie in [-delta, delta] = [{-delta:g}, {delta:g}], got {h[np.abs(h).argmax()]}")
    return _score(h, strategy, delta)


def sample_weights(
    losses: Losses,
    strategy: Strategy = "linupper",
    r: float = 1.0,
    delta: float = 1.0,
    lo: float | None = None,
    hi: float | None = None,
) -> Losses:
    """The weights ``softmax(s(h) / r)`` of a batch: positive up to underflow, of sum 1.

    r → ∞ gives equal weights, r → 0 shares all weight among the samples of the largest score. Weights do not change
    under l → a l + b with a > 0. Equal losses, and a single one, have equal weights under every strategy. Raises
    ``ValueError`` as ``normalize_losses`` and ``strategy_score``, and for r not above 0.

    >>> sample_weights(np.array([0.0, 0.0, 1.0]), "linupper", r=0.5).round(4).tolist()
    [0.1065, 0.1065, 0.787]
    """
    r = positive("r", r)
    return _softmax(strategy_score(normalize_losses(losses, delta, lo=lo, hi=hi), strategy, delta) / r)


def lockstep_weights(
    losses: Float[np.ndarray, "models samples"], strategies: Sequence[Strategy], r: Float[np.ndarray, " models"]
) -> Float[np.ndarray, "models samples"]:
    """``sample_weights`` of many models at once: a batch of losses, a strategy and a temperature for each.

    Raises ``ValueError`` as ``sample_weights``, and where the numbers of models differ.
    """
    f, r = finite_array("losses", losses, 2), finite_array("r", r, 1)
    for strategy in strategies:
        one_of("strategies", strategy, STRATEGIES)
    if not len(f) == len(strategies) == len(r):
        numbers = f"{len(f)}, {len(strategies)}, {len(r)}"
        raise ValueError(f"losses, strategies and r must be of as many models, got {numbers}")
    if r.min() <= 0:
        raise ValueError(f"r must be above 0, got {r.min()}")
    return weights_of_rows(f, np.asarray(strategies), r)


def weights_of_rows(losses: np.ndarray, strategies: np.ndarray, r: np.ndarray) -> np.ndarray:
    """``lockstep_weights`` without its checks, for the inside of loops."""
    h = _normalized(losses, losses.min(axis=1, keepdims=True), losses.max(axis=1, keepdims=True), 1e-6)
    scores = np.empty_like(h)
    for strategy in STRATEGIES:
        rows = strategies == strategy
        if rows.any():
            scores[rows] = _score(h[rows], strategy, 1.0)
    return _softmax(scores / r[:, None])


def kl_dro_value(losses: Losses, r: float) -> float:
    """``max_w w·l − r KL(w, uniform) = r log mean exp(l / r)``: between the mean (r → ∞) and the maximum (r → 0).

    Raises ``ValueError`` for losses that are not a vector of finite numbers or r not above 0.

    >>> round(kl_dro_value(np.array([0.0, 1.0]), 1.0), 6)
    0.620115
    """
    f, r = finite_array("losses", losses, 1), positive("r", r)
    top = f.max()
    return float(top + r * np.log(np.exp((f - top) / r).mean()))


def kl_dro_solution(losses: Losses, r: float, solver: Literal["cvxpy", "dual"] = "cvxpy") -> tuple[Losses, float]:
    """Weights and value of the same problem, without its closed form.

    ``"cvxpy"`` maximises over the simplex. ``"dual"`` minimises over the multiplier nu of ``sum w = 1``, in one
    dimension, ``nu + r mean exp((l − nu)/r − 1)``; its weights are ``exp((l − nu)/r − 1) / M``. Raises ``ValueError``
    as ``kl_dro_value`` and for an unknown solver.

    >>> weights, value = kl_dro_solution(np.array([0.0, 1.0]), 1.0, "dual")
    >>> weights.round(4).tolist(), round(value, 6)
    ([0.2689, 0.7311], 0.620115)
    """
    f, r = finite_array("losses", losses, 1), positive("r", r)
    one_of("solver", solver, ("cvxpy", "dual"))
    if solver == "dual":
        return _dual_solution(f, r)
    import cvxpy as cp

    w = cp.Variable(len(f))
    # The divergence from equal weights is log M less the entropy.
    gain = f @ w + r * (cp.sum(cp.entr(w)) - math.log(len(f)))
    problem = cp.Problem(cp.Maximize(gain), [cp.NonNeg(w), cp.Zero(cp.sum(w) - 1)])
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    assert w.value is not None
    return np.asarray(w.value), float(np.asarray(problem.value))


def weight_bounds(M: int, r: float) -> tuple[float, float]:
    """The least and the largest weight that a batch of M samples can have, for scores in [0, 1].

        1 / (1 + (M − 1) e^{1/r})  ≤  w  ≤  1 / (1 + (M − 1) e^{−1/r})  <  e^{1/r} / M     (M > 1)

    ``linupper`` and ``upper`` attain both: one sample easier (harder) than all others, which are equal. Raises
    ``ValueError`` for M below 1 or r not above 0.

    >>> [round(end, 4) for end in weight_bounds(3, 0.5)]
    [0.0634, 0.787]
    """
    M, r = whole_number("M", M, 1), positive("r", r)
    # e^{1/r} overflows for small r: the lower end is written with e^{−1/r} as well.
    q = math.exp(-1 / r)
    return q / (q + M - 1), 1 / (1 + (M - 1) * q)


def cap_temperature(M: int, cap: float = 2.0) -> float:
    """The least r from which no weight of any batch of M samples exceeds ``cap / M``, for scores in [0, 1].

    Solving ``1 / (1 + (M − 1) e^{−1/r}) = cap / M`` gives ``1 / log(cap (M − 1) / (M − cap))``, which grows with M to
    ``1 / log(cap)``: 1.4427 for the cap 2. A cap of M or more holds at every r, which is 0. Raises ``ValueError`` for M
    below 1 or a cap not above 1.

    >>> round(cap_temperature(8), 4), round(cap_temperature(10**9), 4), cap_temperature(2)
    (1.1802, 1.4427, 0.0)
    """
    M = whole_number("M", M, 1)
    if positive("cap", cap) <= 1:
        raise ValueError(f"cap must be above 1, the share of equal weights, got {cap!r}")
    return 0.0 if cap >= M else 1 / math.log(cap * (M - 1) / (M - cap))


def certify_cap(fraction: Fraction | float = 1.0) -> Certificate:
    """Prove, or refute, that ``w ≤ 2/M`` for every M and every ``r ≥ fraction / log 2``, in ball arithmetic.

    With u = 1/M in [0, 1] and 1/r = t log(2) / fraction, t in [0, 1], the largest weight is
    ``(1/M) / (u + (1 − u) e^{−1/r})``, so that the statement is ``2 (u + (1 − u) 2^{−t/fraction}) ≥ 1``. It is proved
    for ``fraction = 1``, and refuted by a verified counter-example for a fraction below. Raises ``ValueError`` for a
    fraction outside 0.1 … 10.

    >>> certify_cap().proved, certify_cap(Fraction(9, 10)).proved
    (True, False)
    """
    import sympy

    in_range("fraction", positive("fraction", fraction), 0.1, 10)
    exact = Fraction(fraction)
    u, t = sympy.symbols("u t", nonnegative=True)
    halving = sympy.exp(-t * sympy.log(2) / sympy.Rational(exact.numerator, exact.denominator))
    return certify_nonnegative(2 * (u + (1 - u) * halving) - 1, (u, t), ((0, 1), (0, 1)))


def _number(name: str, value: float) -> float:
    return float(finite_array(name, value, 0))


def _normalized(losses: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, eps: float) -> np.ndarray:
    # Halves, because the range of finite numbers may be infinite.
    low, high, half_losses = np.asarray(low) / 2, np.asarray(high) / 2, losses / 2
    h = ((half_losses - low) + (half_losses - high)) / np.maximum(high - low, eps / 2)
    return np.clip(h, -1.0, 1.0)


def _score(h: np.ndarray, strategy: str, delta: float) -> np.ndarray:
    if strategy == "linupper":
        return np.minimum(h + delta, delta)
    if strategy == "quadratic":
        return 1 - (h / delta) ** 2
    if strategy == "extremes":
        return np.abs(h)
    if strategy == "upper":
        return 0.5 * h + 0.5 * delta
    return np.zeros_like(h)


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _dual_solution(f: np.ndarray, r: float) -> tuple[np.ndarray, float]:
    # At the minimum weights sum to 1: nu + r lies between the extremes of the losses.
    found: Any = minimize_scalar(
        lambda nu: nu + r * np.exp((f - nu) / r - 1).mean(), bounds=(f.min() - 2 * r, f.max()), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    return np.exp((f - found.x) / r - 1) / len(f), float(found.fun)


def _batches(size: int):
    """Losses of batches of one size: anything, two values only, and one outlier; temperatures from 0.1 to 10."""

    def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        kind = rng.integers(0, 3, (count, 1))
        spread = rng.exponential(size=(count, size)) ** rng.uniform(0.2, 3, (count, 1))
        two = (rng.random((count, size)) < rng.random((count, 1))).astype(np.float64)
        outlier = np.where(np.arange(size) == 0, 1.0, 1e-3 * rng.random((count, size)))
        losses = np.where(kind == 0, spread, np.where(kind == 1, two, outlier))
        return {"losses": losses, "r": 10.0 ** rng.uniform(-1, 1, count)}

    return sample


def _largest(strategy: str, least_r: float):
    """The largest weight of every instance, at its temperature or ``least_r``, if that is higher."""

    def largest(losses: np.ndarray, r: np.ndarray) -> np.ndarray:
        return weights_of_rows(losses, np.repeat(strategy, len(losses)), np.maximum(r, least_r)).max(axis=1)

    return largest


def _bounds():
    for size in (3, 16):
        for strategy in STRATEGIES[1:]:
            yield Bound(
                f"largest weight of {strategy} at most its bound, M = {size}", "range of the weights, derived here",
                _largest(strategy, 0.0), lambda losses, r: 1 / (1 + (losses.shape[1] - 1) * np.exp(-1 / r)),
                _batches(size),
            )  # fmt: skip
            yield Bound(
                f"no weight of {strategy} above 2/M from r = 1/log 2 on, M = {size}",
                "range of the weights, derived here", _largest(strategy, 1 / math.log(2)),
                lambda losses, r: np.full(len(losses), 2 / losses.shape[1]), _batches(size), "proved for every M",
            )  # fmt: skip


BOUNDS = list(_bounds())
