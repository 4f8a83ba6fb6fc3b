"""The decision rules: from measurements to a verdict.

A claim is *supported* if the whole 95 % interval of what was measured lies on its side of the
threshold, *refuted* if the whole interval lies on the other side, and *inconclusive* otherwise.

Intervals come from independent replicates: Student's t below 20 of them, the bias-corrected and
accelerated bootstrap from there on. Without variation the interval is a point; one replicate of
something random has no interval, so it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from simulations.contract import Outcome, Verdict

__all__ = [
    "CHANCE_OF_SUPPORT",
    "Interval",
    "all_of",
    "at_least",
    "at_most",
    "benjamini_hochberg",
    "bound",
    "identity",
    "interval",
    "log_log_slopes",
    "paired",
    "trend",
    "within",
]

CONFIDENCE = 0.95
CHANCE_OF_SUPPORT = (1 - CONFIDENCE) / 2  # a two-sided interval lies on one given side of the truth
_BOOTSTRAP_FROM = 20


@dataclass(frozen=True)
class Interval:
    """A mean over replicates with its two-sided 95 % confidence interval."""

    mean: float
    low: float
    high: float
    replicates: int


def interval(values: Iterable[float]) -> Interval:
    """Mean of independent replicates with a 95 % interval.

    Raises ``ValueError`` if there are no values or one is not finite.
    """
    sample = np.asarray(list(values), dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"values must be a non-empty sequence of finite numbers, got {sample!r}")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, -np.inf, np.inf, 1)
    if np.ptp(sample) <= 4 * np.finfo(np.float64).eps * np.abs(sample).max():
        return Interval(mean, mean, mean, sample.size)
    if sample.size < _BOOTSTRAP_FROM:
        half = stats.t.ppf(0.5 + CONFIDENCE / 2, sample.size - 1) * sample.std(ddof=1) / np.sqrt(sample.size)
        return Interval(mean, mean - half, mean + half, sample.size)
    resampled = stats.bootstrap(
        (sample,), np.mean, confidence_level=CONFIDENCE, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Interval(mean, float(resampled.low), float(resampled.high), sample.size)


def paired(table: pd.DataFrame, column: str, by: str, first: object, second: object) -> np.ndarray:
    """``column`` where ``by == first`` minus where ``by == second``, replicate by replicate.

    Several rows of a replicate and condition are averaged. Raises ``ValueError`` if a replicate
    lacks one of the two.
    """
    means = table.groupby(["replicate", by], sort=True)[column].mean().unstack(by)
    absent = [name for name in (first, second) if name not in means.columns or means[name].isna().any()]
    if absent:
        raise ValueError(f"every replicate needs {column!r} for {by} in {absent}")
    return (means[first] - means[second]).to_numpy(dtype=np.float64)


def log_log_slopes(table: pd.DataFrame, x: str, y: str) -> np.ndarray:
    """Least-squares slope of log y on log x within each replicate: the exponent of a power law."""
    slopes = [
        np.polyfit(np.log(rows[x].to_numpy(dtype=np.float64)), np.log(rows[y].to_numpy(dtype=np.float64)), 1)[0]
        for _, rows in table.groupby("replicate", sort=True)
    ]
    return np.asarray(slopes)


def trend(values: Iterable[float], compared: str, *, above: float | None = None, below: float | None = None) -> Verdict:
    """The claim that the mean of replicates (usually paired differences) is ``above`` or ``below`` a number."""
    if (above is None) == (below is None):
        raise ValueError("trend needs exactly one of above and below")
    sample = np.asarray(list(values), dtype=np.float64)
    estimate = interval(sample)
    threshold = float(above if above is not None else below)  # type: ignore[arg-type]
    outcome = _side(estimate.low, estimate.high, threshold, wants_more=above is not None)
    return Verdict(
        outcome,
        estimate.mean,
        threshold,
        estimate.low,
        estimate.high,
        compared,
        p_value=_p_value(sample, threshold, "greater" if above is not None else "less"),
        instances=estimate.replicates,
    )


def within(values: Iterable[float], compared: str, *, low: float, high: float) -> Verdict:
    """The claim that the mean lies in ``[low, high]``: refuted if the interval lies outside, supported if inside.

    The threshold reported is the nearer end of the range.
    """
    estimate = interval(values)
    if low <= estimate.low and estimate.high <= high:
        outcome: Outcome = "supported"
    else:
        outcome = "refuted" if estimate.high < low or estimate.low > high else "inconclusive"
    nearer = low if abs(estimate.mean - low) <= abs(estimate.mean - high) else high
    return Verdict(outcome, estimate.mean, nearer, estimate.low, estimate.high, compared, instances=estimate.replicates)


def identity(errors: Iterable[float], compared: str, *, tolerance: float, witness: str | None = None) -> Verdict:
    """The claim that two computations agree: the largest error stays within rounding.

    Raises ``ValueError`` without errors to judge; an error that is not finite refutes.
    """
    sample = np.abs(np.asarray(list(errors), dtype=np.float64))
    if sample.size == 0:
        raise ValueError("an identity needs at least one instance")
    worst = float(np.where(np.isfinite(sample), sample, np.inf).max())
    return Verdict(
        "supported" if worst <= tolerance else "refuted",
        worst,
        tolerance,
        worst,
        worst,
        compared,
        witness=witness,
        instances=sample.size,
    )


def bound(
    worst_ratio: float, compared: str, *, instances: int, required: int, tolerance: float = 1e-9, witness: str = ""
) -> Verdict:
    """The claim ``lhs <= rhs`` from the worst ratio lhs/rhs met.

    Refuted by a ratio beyond ``1 + tolerance``; supported only with the ``required`` number of
    instances, a finite ratio and a witness of it.
    """
    if worst_ratio > 1 + tolerance:
        outcome: Outcome = "refuted"
    else:
        outcome = "supported" if instances >= required and np.isfinite(worst_ratio) and witness else "inconclusive"
    return Verdict(
        outcome,
        float(worst_ratio),
        1 + tolerance,
        float(worst_ratio),
        float(worst_ratio),
        compared,
        witness=witness or None,
        instances=instances,
    )


def at_most(value: float, compared: str, *, threshold: float, instances: int | None = None) -> Verdict:
    """The claim that a number without randomness does not exceed a threshold."""
    outcome: Outcome = "supported" if value <= threshold else "refuted"
    return Verdict(outcome, float(value), threshold, float(value), float(value), compared, instances=instances)


def at_least(value: float, compared: str, *, threshold: float, instances: int | None = None) -> Verdict:
    """The claim that a number without randomness is not below a threshold."""
    outcome: Outcome = "supported" if value >= threshold else "refuted"
    return Verdict(outcome, float(value), threshold, float(value), float(value), compared, instances=instances)


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """A claim with several parts: refuted if one part is, supported if all are.

    The numbers are those of the part that decided: the first refuted, else the first inconclusive,
    else the part with the largest p-value (or the first). The sentence names every part.
    """
    if not verdicts:
        raise ValueError("all_of needs at least one verdict")
    order: list[Outcome] = ["refuted", "inconclusive", "supported"]
    decisive = min(verdicts, key=lambda v: (order.index(v.outcome), -(v.p_value or 0.0)))
    others = [f"{v.compared} = {v.measured:.3g}, {v.outcome}" for v in verdicts if v is not decisive]
    p_values = [v.p_value for v in verdicts if v.p_value is not None]
    return replace(decisive, compared="; also ".join([decisive.compared, *others]), p_value=max(p_values, default=None))


def benjamini_hochberg(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses survive at this false discovery rate (Benjamini and Hochberg 1995)."""
    if not p_values:
        return []
    return [bool(p <= level) for p in stats.false_discovery_control(p_values, method="bh")]


def _side(low: float, high: float, threshold: float, *, wants_more: bool) -> Outcome:
    if low > threshold:
        return "supported" if wants_more else "refuted"
    if high < threshold:
        return "refuted" if wants_more else "supported"
    return "inconclusive"


def _p_value(sample: np.ndarray, threshold: float, alternative: str) -> float:
    """One-sided p-value against the claim's opposite; a point decides with certainty or not at all."""
    if sample.size < 2:
        return 1.0
    difference = sample - threshold
    if np.ptp(sample) <= 4 * np.finfo(np.float64).eps * np.abs(sample).max():
        favourable = difference.mean() > 0 if alternative == "greater" else difference.mean() < 0
        return 0.0 if favourable else 1.0
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(sample.size))
    return float(stats.t.sf(t if alternative == "greater" else -t, sample.size - 1))
