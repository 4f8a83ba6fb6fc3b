"""How much a language model still knows: answers, truth ratio, forget quality, utility, ROUGE-L, membership.

All take numbers, never models. ``simulations.unlearning.fact_scores`` computes what goes in for models of this project.

    R = truth_ratio(paraphrased, perturbed)              # mean token log-probabilities of right and wrong answers
    forget_quality(R_unlearned, R_retrained)             # p-value: above 0.05 the two cannot be told apart
    model_utility({"retain": (probability, rouge, truth), "world": (…)})
    membership_auc(scores_of_members, scores_of_others)  # area with a 95 % interval

Sources: Maini, Feng, Schwarzschild, Lipton and Kolter (2024), *TOFU: A task of fictitious unlearning for LLMs*, for
truth ratio, forget quality and utility (theirs takes the mean of probabilities where ours takes that of
log-probabilities, as their code does); Lin (2004), *ROUGE*; Newcombe (2006), *Confidence intervals for an effect size
measure based on the Mann–Whitney statistic, part 2*, method 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import ks_2samp, norm, rankdata

__all__ = [
    "Area",
    "forget_quality",
    "known_share",
    "membership_auc",
    "model_utility",
    "rouge_l_recall",
    "tpr_at_fpr",
    "truth_ratio",
]

_FLOOR = 1e-12


@dataclass(frozen=True)
class Area:
    """An area under a ROC curve with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


def truth_ratio(paraphrased: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
    """``R = exp(mean_k perturbed[:, k] − paraphrased)`` per fact, from mean token log-probabilities.

    R is the geometric mean over wrong answers of their probability against the right one's, each to the power 1 over
    its length: small for a model that knows, about 1 for one that guesses. ``paraphrased`` has shape (…, facts),
    ``perturbed`` (…, facts, answers ≥ 1). Raises ``ValueError`` for other shapes or a NaN.
    """
    right, wrong = np.asarray(paraphrased, dtype=np.float64), np.asarray(perturbed, dtype=np.float64)
    if wrong.ndim == 0 or wrong.shape[:-1] != right.shape or wrong.shape[-1] == 0 or right.size == 0:
        raise ValueError(f"perturbed must have shape {right.shape} and an axis of answers, got {wrong.shape}")
    if np.isnan(right).any() or np.isnan(wrong).any():
        raise ValueError("paraphrased and perturbed must not be NaN")
    return np.exp(wrong.mean(-1) - right)


def forget_quality(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """p-value of the two-sided Kolmogorov–Smirnov test between truth ratios of two models on the facts to forget.

    Above 0.05 the model cannot be told from one that was never shown the facts. It falls again for a model that knows
    *less* than that. Raises ``ValueError`` for fewer than 8 facts, where even separated samples pass for alike, and for
    a NaN.
    """
    first, second = np.asarray(unlearned, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    for name, values in (("unlearned", first), ("retrained", second)):
        if values.ndim != 1 or len(values) < 8 or np.isnan(values).any():
            raise ValueError(f"{name} must be a vector of at least 8 truth ratios without NaN, got {values!r:.60}")
    found: Any = ks_2samp(first, second, method="auto")
    return float(found.pvalue)


def known_share(ratio: np.ndarray) -> float:
    """``mean(max(0, 1 − R))``: how true a model is on facts that it should know. Raises ``ValueError`` if empty."""
    values = np.asarray(ratio, dtype=np.float64)
    if values.size == 0 or np.isnan(values).any():
        raise ValueError(f"ratio must hold at least one truth ratio and no NaN, got {values!r:.60}")
    return float(np.maximum(0.0, 1 - values).mean())


def model_utility(components: Mapping[str, Sequence[float]]) -> float:
    """Harmonic mean of all components (per set: probability, ROUGE-L, known share), each at least 1e-12.

    One that has collapsed takes the whole to 0. Raises ``ValueError`` for no components or one outside [0, 1].

    >>> round(model_utility({"retain": (1.0, 1.0, 0.5), "world": (1.0, 1.0, 0.5)}), 3)
    0.75
    """
    values = np.array([value for part in components.values() for value in part], dtype=np.float64)
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"components must hold at least one number in [0, 1] and nothing else, got {values}")
    return float(len(values) / (1 / np.maximum(values, _FLOOR)).sum())


def rouge_l_recall(generated: np.ndarray, reference: np.ndarray, padding: int = -1) -> np.ndarray:
    """Length of the longest common subsequence over the reference's length, for every row of token ids.

    ``generated`` (rows, n) and ``reference`` (rows, m) are padded with ``padding``, which matches nothing. A row
    without generated tokens has recall 0. Raises ``ValueError`` for other shapes or a row without a reference.

    >>> rouge_l_recall(np.array([[1, 2, 9, 3]]), np.array([[1, 3, -1]]))
    array([1.])
    """
    made, wanted = np.asarray(generated), np.asarray(reference)
    if made.ndim != 2 or wanted.ndim != 2 or len(made) != len(wanted) or len(made) == 0:
        raise ValueError(f"generated and reference must have as many rows, got {made.shape} and {wanted.shape}")
    lengths = (wanted != padding).sum(1)
    if (lengths == 0).any():
        raise ValueError(f"reference must have a token in every row, row {int(np.argmin(lengths))} has none")
    best = np.zeros((len(made), wanted.shape[1] + 1))
    for i in range(made.shape[1]):
        match = (made[:, i : i + 1] == wanted) & (made[:, i : i + 1] != padding)
        # longest[j] = max over j' ≤ j of what a match at j' gives: a running maximum does the inner loop.
        gained = np.maximum(best[:, 1:], best[:, :-1] + match)
        best[:, 1:] = np.maximum.accumulate(gained, axis=1)
    return best[:, -1] / lengths


def membership_auc(members: np.ndarray, others: np.ndarray) -> Area:
    """Chance that a member's score exceeds another's (ties count half), with a 95 % score interval.

    The interval assumes the variance of two exponential laws, takes it at the limit itself and so keeps a width where
    every member is above every other. Raises ``ValueError`` for fewer than two scores on a side, or a NaN.

    >>> membership_auc(np.array([0.9, 0.8, 0.4]), np.array([0.1, 0.5])).value
    0.8333333333333334
    """
    inside, outside = _scores("members", members), _scores("others", others)
    m, n = len(inside), len(outside)
    ranks = rankdata(np.r_[inside, outside])
    area = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))

    def excess(theta: float, wanted: float) -> float:
        spread = theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        return (area - theta) - wanted * np.sqrt(spread / (m * n))

    # At 0 and 1 the variance is 0, which solves the equation without meaning it: the search starts inside.
    z = float(norm.ppf(0.975))
    low = 0.0 if area == 0 else brentq(excess, 0, min(area, 1 - _FLOOR), args=(z,))
    high = 1.0 if area == 1 else brentq(excess, max(area, _FLOOR), 1, args=(-z,))
    return Area(area, float(low), float(high))  # type: ignore[arg-type]


def tpr_at_fpr(members: np.ndarray, others: np.ndarray, fpr: float = 0.05) -> float:
    """Largest share of members found by a threshold that calls at most ``fpr`` of the others members.

    Raises ``ValueError`` for fewer than two scores on a side, a NaN, or a rate outside [0, 1].

    >>> tpr_at_fpr(np.array([3.0, 1.0]), np.array([2.0, 0.0]), fpr=0.05)
    0.5
    """
    inside, outside = _scores("members", members), _scores("others", others)
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr must lie in [0, 1], got {fpr}")
    allowed = int(np.floor(fpr * len(outside) + 1e-9))
    # Above the next of the others, that is strictly: a tie with it would call it a member as well.
    limit = np.sort(outside)[::-1][allowed] if allowed < len(outside) else -np.inf
    return float((inside > limit).mean()) if np.isfinite(limit) else 1.0


def _scores(name: str, values: np.ndarray) -> np.ndarray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) < 2 or np.isnan(scores).any():
        raise ValueError(f"{name} must be a vector of at least two scores without NaN, got {scores!r:.60}")
    return scores
