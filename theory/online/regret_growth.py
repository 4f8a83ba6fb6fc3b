"""How fast regret grows: the exponent of a power law over numbers of episodes, with a bootstrap interval.

The exponent is the slope of log (mean regret) on log K. Problems (seeds) are resampled whole, the same ones at every
K, because a problem that is hard at one K is hard at all of them.

    regret_slope(episodes, regret)           # regret[i, j]: problem i, episodes[j]

Source: the percentile bootstrap over clusters (Efron 1979); its use here is ours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from theory.validation import finite_array, positive, whole_number

__all__ = ["RegretSlope", "regret_slope"]


@dataclass(frozen=True)
class RegretSlope:
    """Exponent with the ends of its interval, and the exponents of all resamples."""

    slope: float
    low: float
    high: float
    resampled: Float[np.ndarray, " resamples"]


def regret_slope(
    episodes: Int[np.ndarray, " lengths"],
    regret: Float[np.ndarray, "problems lengths"],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RegretSlope:
    """Least-squares slope of log mean regret on log ``episodes``, and its percentile interval over problems.

    Raises ``ValueError`` for fewer than two different lengths, lengths below 1, regret that is not finite, of another
    shape, or whose mean is not above 0 (also in a resample: it has no logarithm), and parameters out of range.

    >>> growth = regret_slope(np.array([100, 400]), np.array([[10.0, 20.0], [12.0, 24.0]]))
    >>> round(growth.slope, 12), round(growth.low, 12)
    (0.5, 0.5)
    """
    lengths, regret = _checked_lengths(episodes), finite_array("regret", regret, 2)
    if regret.shape[1] != len(lengths):
        raise ValueError(f"regret must have a column per entry of episodes, got {regret.shape} for {len(lengths)}")
    whole_number("resamples", resamples, 1)
    whole_number("seed", seed, 0)
    if not 0 < positive("confidence", confidence) < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")
    problems = len(regret)
    draws = np.random.default_rng(seed).integers(0, problems, (resamples, problems))
    means = np.concatenate([regret.mean(axis=0)[None], regret[draws].mean(axis=1)])
    if means.min() <= 0:
        raise ValueError(f"regret must have means above 0 to grow like a power, got a mean of {means.min():.3g}")
    centred = np.log(lengths) - np.log(lengths).mean()
    slopes = np.log(means) @ centred / np.square(centred).sum()
    low, high = np.quantile(slopes[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return RegretSlope(float(slopes[0]), float(low), float(high), slopes[1:])


def _checked_lengths(episodes: np.ndarray) -> np.ndarray:
    lengths = np.asarray(episodes)
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.size == 0 or lengths.min() < 1:
        raise ValueError(f"episodes must be a vector of whole numbers of at least 1, got {episodes!r:.60}")
    if len(np.unique(lengths)) < 2:
        raise ValueError(f"episodes must hold at least two different numbers, got {episodes!r:.60}")
    return lengths.astype(np.float64)
