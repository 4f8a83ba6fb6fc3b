"""Multi-label learning with a long tail and missing positives: weights, focal gradients, data, average precision.

Observed labels y are 1 for positives that somebody marked and 0 for negatives and for positives nobody did. With
class counts n_c, logits x, p = sigmoid(x), q = min(1 − p + m, 1) and omega_c = (1 − ln(n_c / max n))^e, the multi-focal
modifier is

    L = −Σ omega_c A [y ln p + (1 − y) ln q],      A = (1 − p)^γ₊ where y = 1,   (1 − q)^(γ₋ + omega_c) where y = 0

with A held constant, so that

    ∂L/∂x = omega_c A (−y (1 − p) + (1 − y) p (1 − p) / q · 1[q < 1]).

It vanishes in expectation where the observed posterior η has odds p A₋ / (q A₊): probabilities of asymmetric losses are
inflated, and a threshold on them means another posterior than it says (``posterior_at``).

    weight = class_modifier(counts)                   # 1 for the most frequent class, 1.41 for a thousandth of it
    X, truth, observed, counts = make_plt(2500, 20, 33.0, 0.4, rng)
    shot_map(truth, scores, counts).few               # mean average precision of the rare classes

Source: Zhang, Liu, Zeng, Ooi, Tang and Zhuang (2023), *Learning in Imperfect Environment: Multi-Label Classification
with Long-Tailed Distribution and Partial Labels*, the multi-focal modifier, written as in the authors' program;
gradient, stationary posterior and bounds are derived here.
"""

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, in_range, positive, whole_number

__all__ = [
    "PartialLongTail",
    "ShotMAP",
    "average_precision",
    "class_modifier",
    "long_tail_prior",
    "make_plt",
    "multi_focal",
    "multi_focal_gradient",
    "posterior_at",
    "shot_map",
]

Scores = Float[np.ndarray, "samples classes"]
Labels = Bool[np.ndarray, "samples classes"] | Int[np.ndarray, "samples classes"] | Float[np.ndarray, "samples classes"]
Counts = Int[np.ndarray, " classes"] | Float[np.ndarray, " classes"]
PerClass = Float[np.ndarray, " classes"]


def class_modifier(counts: Counts, exponent: float = 1 / 6) -> PerClass:
    """Class weights ``(1 − ln(n_c / max n))^exponent``: 1 for the most frequent class, slowly growing with rarity.

    ``exponent`` is 1/6 for the multi-grained version, 1/3 for the one with a co-occurrence prior. A class without
    positives counts as one with a single positive, with a warning.

    Raises ``ValueError`` for counts that are not a non-empty vector of finite numbers of at least 0, or a negative
    exponent.

    >>> class_modifier(np.array([1000, 100, 1])).round(3).tolist()
    [1.0, 1.22, 1.411]
    """
    n = _checked_counts(counts)
    if (n < 1).any():
        warnings.warn(f"{int((n < 1).sum())} classes without positives are weighted as if they had one", stacklevel=2)
        n = np.maximum(n, 1.0)
    return (1 - np.log(n / n.max())) ** at_least("exponent", exponent, 0)


def multi_focal(
    logits: Scores,
    targets: Labels,
    class_weight: PerClass | None = None,
    gamma_pos: float = 0.0,
    gamma_neg: float = 3.0,
    clip: float = 0.05,
) -> Scores:
    """The multi-focal modifier of every entry, without a floor under the logarithms.

    Without ``class_weight`` omega is off: weight 1 and exponent ``gamma_neg``, which is the asymmetric loss; with equal
    exponents and no clip the focal loss; with exponents 0 and no clip binary cross-entropy.

    Raises ``ValueError`` for logits that are not a finite matrix, targets that are not 0 or 1 in its shape, weights
    that are not positive or of another number of classes, negative exponents, or a clip outside [0, 1].

    >>> multi_focal(np.zeros((1, 2)), np.array([[1, 0]]), gamma_neg=0.0, clip=0.0).round(4).tolist()
    [[0.6931, 0.6931]]
    """
    return _loss(*_checked(logits, targets, class_weight, gamma_pos, gamma_neg, clip))


def multi_focal_gradient(
    logits: Scores,
    targets: Labels,
    class_weight: PerClass | None = None,
    gamma_pos: float = 0.0,
    gamma_neg: float = 3.0,
    clip: float = 0.05,
) -> Scores:
    """Derivative of ``multi_focal`` by the logits with the focusing factor held constant, as the method trains.

    Its magnitude is at most the class weight. Arguments and errors as in ``multi_focal``.

    >>> multi_focal_gradient(np.zeros((1, 2)), np.array([[1, 0]]), gamma_neg=1.0, clip=0.0).tolist()
    [[-0.5, 0.25]]
    """
    return _slope(*_checked(logits, targets, class_weight, gamma_pos, gamma_neg, clip))


def posterior_at(
    probability: float | Float[np.ndarray, "..."],
    gamma_pos: float = 0.0,
    gamma_neg: float = 3.0,
    clip: float = 0.05,
    omega: float | None = None,
) -> float | Float[np.ndarray, "..."]:
    """The observed posterior η = P(y = 1 | x) at which the expected gradient vanishes at this ``probability``.

    η/(1 − η) = p (1 − q)^γ / (q (1 − p)^γ₊) with γ = γ₋ (+ omega, where given). For binary cross-entropy η = p; for
    γ₋ = 3 + 1 a probability of 0.7 means η = 0.26: a recovering rule with a fixed threshold recovers far more than
    it would from calibrated probabilities. Up to p = ``clip`` it is 0: negatives there are ignored.

    Raises ``ValueError`` for probabilities outside (0, 1), negative exponents or omega, or a clip outside [0, 1].

    >>> round(posterior_at(0.3, gamma_neg=0.0, clip=0.0), 6)
    0.3
    >>> round(posterior_at(0.7, gamma_neg=3.0, omega=1.0), 2)
    0.26
    """
    p = finite_array("probability", probability)
    if p.min() <= 0 or p.max() >= 1:
        raise ValueError(f"probability must be in (0, 1), got {p.min():g} … {p.max():g}")
    gamma = at_least("gamma_neg", gamma_neg, 0) + (0.0 if omega is None else at_least("omega", omega, 0))
    q = np.minimum(1 - p + in_range("clip", clip, 0, 1), 1)
    with np.errstate(divide="ignore"):
        log_odds = np.log(p) + gamma * np.log1p(-q) if gamma else np.log(p)
    log_odds = np.where(q < 1, log_odds - np.log(q) - at_least("gamma_pos", gamma_pos, 0) * np.log1p(-p), -np.inf)
    eta = _sigmoid(log_odds)
    return float(eta) if np.ndim(probability) == 0 else eta


class PartialLongTail(NamedTuple):
    """A multi-label set: features, all labels, the labels that were marked, and how many of those each class has."""

    X: Float[np.ndarray, "samples features"]
    Y_true: Bool[np.ndarray, "samples classes"]
    Y_observed: Bool[np.ndarray, "samples classes"]
    counts: Int[np.ndarray, " classes"]


def long_tail_prior(classes: int, imbalance: float, *, head: float = 0.35, alpha: float = 6.0) -> PerClass:
    """Probabilities of the classes from ``head`` down to ``head/imbalance``, shaped like a Pareto density.

    ``head · (1 + δ c)^{−(alpha + 1)}`` for class c = 0 … classes − 1; alpha → ∞ is the geometric sequence. Reference
    long-tailed sets are drawn with alpha = 6.

    Raises ``ValueError`` for fewer than one class, ``imbalance`` below 1, ``head`` outside (0, 1] or alpha not above 0.

    >>> long_tail_prior(3, 16.0, head=0.4, alpha=1.0).round(3).tolist()
    [0.4, 0.064, 0.025]
    """
    whole_number("classes", classes, 1)
    at_least("imbalance", imbalance, 1)
    _probability("head", head)
    power = positive("alpha", alpha) + 1
    step = math.expm1(math.log(imbalance) / power) / max(classes - 1, 1)
    return head * (1 + step * np.arange(classes)) ** -power


def make_plt(
    n: int,
    C: int,
    imbalance: float,
    missing_rate: float,
    rng: np.random.Generator,
    *,
    head: float = 0.35,
    features: int = 40,
    noise: float = 0.6,
    means: Float[np.ndarray, "classes features"] | None = None,
) -> PartialLongTail:
    """Partially labelled long-tailed data: each sample is the sum of its classes' means plus Gaussian noise.

    Labels are independent with probabilities ``long_tail_prior(C, imbalance, head=head)``; every positive is hidden
    with probability ``missing_rate``. ``means`` (drawn from a standard normal without them) are what training and test
    set share.

    Raises ``ValueError`` for sizes below 1, ``imbalance`` below 1, ``missing_rate`` outside [0, 1], negative noise, or
    means of another shape.

    >>> data = make_plt(1000, 5, 10.0, 0.4, np.random.default_rng(0))
    >>> data.X.shape, bool((data.Y_observed <= data.Y_true).all())
    ((1000, 40), True)
    """
    whole_number("n", n, 1)
    whole_number("C", C, 1)
    whole_number("features", features, 1)
    prior = long_tail_prior(C, imbalance, head=head)
    in_range("missing_rate", missing_rate, 0, 1)
    at_least("noise", noise, 0)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy random Generator, got {rng!r:.60}")
    if means is None:
        means = rng.standard_normal((C, features))
    means = finite_array("means", means, 2)
    if len(means) != C:
        raise ValueError(f"means must have one row per class ({C}), got shape {means.shape}")
    truth = rng.random((n, C)) < prior
    observed = truth & (rng.random((n, C)) >= missing_rate)
    X = truth @ means + noise * rng.standard_normal((n, means.shape[1]))
    return PartialLongTail(X, truth, observed, observed.sum(0))


@dataclass(frozen=True)
class ShotMAP:
    """Mean average precision over all classes and over those with many, a medium number of and few positives."""

    total: float
    many: float
    medium: float
    few: float
    per_class: PerClass


def average_precision(y: Labels, scores: Scores) -> PerClass:
    """Area under the precision–recall steps of every class, tied scores taken together; NaN without positives.

    Σ over thresholds of (rise of recall) × precision, as scikit-learn's ``average_precision_score`` computes it, but
    for all classes with one sort: O(classes · samples · log samples).

    Raises ``ValueError`` for scores that are not a finite matrix or labels that are not 0 or 1 in its shape.

    >>> average_precision(np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.7]])).round(4).tolist()
    [0.8333]
    """
    s = finite_array("scores", scores, 2)
    truth = _checked_labels("y", y, "scores", s)
    order = np.argsort(-s, axis=0, kind="stable")
    ranked = np.take_along_axis(s, order, 0)
    hits = np.take_along_axis(truth, order, 0)
    rank = np.arange(len(s))[:, None]
    # A threshold takes a group of ties whole: precision is read off at the group's last place.
    is_last = np.ones_like(hits)
    is_last[:-1] = ranked[1:] != ranked[:-1]
    last = np.minimum.accumulate(np.where(is_last, rank, len(s))[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(hits, 0), last, 0) / (last + 1)
    positives = truth.sum(0)
    return np.where(positives > 0, (precision * hits).sum(0) / np.maximum(positives, 1), np.nan)


def shot_map(y: Labels, scores: Scores, counts: Counts, many: float = 100, few: float = 20) -> ShotMAP:
    """Mean average precision in total and by how many positives a class has in training.

    Classes with ``counts >= many`` are the many-shot, ``counts < few`` the few-shot ones. Classes without positives in
    ``y`` are left out of the means with a warning; a mean over no classes is NaN.

    Raises ``ValueError`` for errors of ``average_precision``, counts of another number of classes, or many < few.

    >>> shot = shot_map(np.eye(3, dtype=int), np.eye(3), np.array([200, 50, 5]))
    >>> shot.total, shot.many, shot.medium, shot.few
    (1.0, 1.0, 1.0, 1.0)
    """
    n = _checked_counts(counts)
    at_least("few", few, 0)
    at_least("many", many, few)
    values = average_precision(y, scores)
    if len(n) != len(values):
        raise ValueError(f"counts must have one entry per class ({len(values)}), got {len(n)}")
    if np.isnan(values).any():
        warnings.warn(f"{int(np.isnan(values).sum())} classes without positives are left out", stacklevel=2)
    groups = (np.ones_like(n, dtype=bool), n >= many, (n < many) & (n >= few), n < few)
    return ShotMAP(*(_mean(values[group]) for group in groups), per_class=values)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _checked(
    logits: Scores,
    targets: Labels,
    class_weight: PerClass | None,
    gamma_pos: float,
    gamma_neg: float,
    clip: float,
) -> tuple[np.ndarray, ...]:
    """Logits, labels, class weights, exponents of positives and negatives, clip: all as arrays that broadcast."""
    x = finite_array("logits", logits, 2)
    y = _checked_labels("targets", targets, "logits", x)
    positives = np.asarray(at_least("gamma_pos", gamma_pos, 0))
    negatives = np.asarray(at_least("gamma_neg", gamma_neg, 0))
    m = np.asarray(in_range("clip", clip, 0, 1))
    if class_weight is None:
        return x, y, np.ones(x.shape[1]), positives, negatives, m
    omega = finite_array("class_weight", class_weight, 1)
    if len(omega) != x.shape[1] or omega.min() <= 0:
        raise ValueError(f"class_weight must hold {x.shape[1]} numbers above 0, got {class_weight!r:.80}")
    return x, y, omega, positives, negatives + omega, m


def _loss(
    x: np.ndarray, y: np.ndarray, omega: np.ndarray, positives: np.ndarray, negatives: np.ndarray, clip: np.ndarray
) -> np.ndarray:
    focusing, q = _focusing(x, y, positives, negatives, clip)
    # Without a clip q may underflow where its logarithm does not.
    log_q = np.where(clip == 0, -np.logaddexp(0, x), np.log(np.maximum(q, np.finfo(np.float64).tiny)))
    return -omega * focusing * np.where(y, -np.logaddexp(0, -x), log_q)


def _slope(
    x: np.ndarray, y: np.ndarray, omega: np.ndarray, positives: np.ndarray, negatives: np.ndarray, clip: np.ndarray
) -> np.ndarray:
    focusing, q = _focusing(x, y, positives, negatives, clip)
    share = np.where(clip == 0, 1.0, _sigmoid(-x) / np.maximum(q, np.finfo(np.float64).tiny) * (q < 1))
    return omega * focusing * np.where(y, -_sigmoid(-x), _sigmoid(x) * share)


def _focusing(
    x: np.ndarray, y: np.ndarray, positives: np.ndarray, negatives: np.ndarray, clip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(1 − probability of the label)^exponent, and q; 1 − q is max(p − clip, 0) without cancellation."""
    focusing = np.where(y, _sigmoid(-x) ** positives, np.maximum(_sigmoid(x) - clip, 0.0) ** negatives)
    return focusing, np.minimum(_sigmoid(-x) + clip, 1.0)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def _checked_labels(name: str, value: object, like_name: str, like: np.ndarray) -> np.ndarray:
    array = finite_array(name, value)
    if array.shape != like.shape:
        raise ValueError(f"{name} must have the shape of {like_name}, {like.shape}, got {array.shape}")
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name} must be 0 or 1, got {array[~np.isin(array, (0.0, 1.0))][0]:g}")
    return array.astype(bool)


def _checked_counts(counts: object) -> np.ndarray:
    n = finite_array("counts", counts, 1)
    if n.min() < 0:
        raise ValueError(f"counts must be at least 0, got {n.min():g}")
    return n


def _probability(name: str, value: float) -> None:
    if in_range(name, value, 0, 1) == 0:
        raise ValueError(f"{name} must be in (0, 1], got {value!r}")


def _entries(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Single entries: logits from easy to hard, either label, any weight and exponents; a fifth without clip."""
    return {
        "x": rng.normal(size=count) * 10.0 ** rng.uniform(-1, 1.3, count),
        "y": rng.integers(0, 2, count),
        "omega": 10.0 ** rng.uniform(0, 0.3, count),
        "positives": rng.uniform(0, 5, count),
        "negatives": rng.uniform(0, 7, count),
        "clip": np.where(rng.random(count) < 0.2, 0.0, rng.uniform(0, 0.3, count)),
    }


BOUNDS = [
    Bound(
        "the gradient of an entry is at most its class weight",
        "derived from the gradient",
        lambda **entry: np.abs(_slope(**entry)),
        lambda omega, **entry: omega,
        _entries,
    ),
    Bound(
        "the multi-focal loss of an entry is at most its class weight times cross-entropy",
        "derived: the focusing factor is at most 1 and q at least 1 − p",
        _loss,
        lambda x, y, omega, **entry: omega * np.logaddexp(0, np.where(y, -x, x)),
        _entries,
    ),
]
