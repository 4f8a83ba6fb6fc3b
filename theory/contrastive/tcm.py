"""Threshold consistency of an embedding: does one distance threshold suit all classes, and what TCM does about it.

Retrieval accepts a pair if it is at most a distance d apart, with one d for all classes. Class i then has

    sensitivity psi_i(d) = share of its pairs with distance <= d,
    specificity phi_i(d) = share of the pairs with exactly one item in it that are farther apart than d,
    utility U_i(d) = (1 + c²) phi_i psi_i / (c² phi_i + psi_i),

and the operating-point inconsistency score of T classes is the variance of U over classes, averaged over the
thresholds in the calibration range, between those where the pooled false accept rate is 1 % and 10 %:

    OPIS = 1/(T (d_max − d_min)) sum_i ∫ (U_i(d) − Ubar(d))² dd,      0 <= OPIS <= 1/4.

    score = opis(embeddings, labels)                  # 101 thresholds
    score = exact_opis(embeddings, labels)            # the integral: the curves are constant between pair distances
    worst = exact_opis(embeddings, labels, eps=0.1)   # mean over the worst tenth of the classes

TCM penalises positive cosines below ``margin_pos`` and negative ones above ``margin_neg``, each by the mean over those
that violate it. Where it is 0, every threshold between the margins serves all classes perfectly. The calibration range
does not lie there: it consists of distances of negative pairs. There sensitivities are 1, specificities still
differ, and for classes of one size OPIS is at most f(1 − f) < 0.09, with f the pooled false accept rate
(``separated_opis_bound``): zero loss does not make OPIS zero.

Source: Zhang, Xu, Tang, Fang, Wu, Tighe and Xing (2024), *Threshold-Consistent Margin Loss for Open-World Deep
Metric Learning*: the definitions of OPIS and of the loss. Which classes eps-OPIS ranks as worst (those with the
largest integral), the exact integral and the bounds are derived here.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from jaxtyping import Float, Int

from theory.contrastive.near_pairs import NearPairs, near_pairs, nearest_pairs, unit_vectors
from theory.fuzz import Bound
from theory.validation import at_least, class_labels, finite_array, in_range, positive, whole_number

__all__ = [
    "UtilityCurves",
    "calibration_range",
    "class_deviations",
    "epsilon_opis",
    "exact_opis",
    "histogram_opis",
    "opis",
    "separated_opis_bound",
    "tcm_pair_gradient",
    "threshold_consistent_margin_loss",
    "utility_curves",
]

Embeddings = Float[np.ndarray, "items dim"]
Labels = Int[np.ndarray, " items"]
FalseAcceptRates = tuple[float, float]


@dataclass(frozen=True)
class UtilityCurves:
    """Utilities of all classes with at least two items (rows, by ascending label) at a grid of thresholds."""

    classes: Int[np.ndarray, " classes"]
    thresholds: Float[np.ndarray, " thresholds"]
    utilities: Float[np.ndarray, "classes thresholds"]


def utility_curves(
    z: Embeddings, labels: Labels, thresholds: Float[np.ndarray, " thresholds"], c: float = 1.0, *, strict: bool = False
) -> Float[np.ndarray, "classes thresholds"]:
    """U_i(d) of every class with at least two items, by ascending label, at every threshold; 0 where both rates are 0.

    Rows of ``z`` are normalised; thresholds are distances in any order. A class of one item has no pairs: it is left
    out with a warning (an error if ``strict``), but its item stays a negative of the others.

    Raises ``ValueError`` for shapes that do not fit, elements that are not finite, fewer than two classes with two
    items, a negative threshold and ``c <= 0``. Source: the definition of the utility.

    >>> z = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 1.0]])
    >>> utility_curves(z, np.array([0, 0, 1, 1]), np.array([0.3, 0.72, 1.0])).round(3).tolist()
    [[1.0, 0.857, 0.667], [0.0, 0.0, 0.667]]
    """
    at = finite_array("thresholds", thresholds, 1)
    if at.min() < 0:
        raise ValueError(f"thresholds must be at least 0, got {at.min()}")
    positive("c", c)
    units, classes = unit_vectors(z), _classes(labels, len(z), strict)
    order = np.argsort(at)
    tallies = _Tallies(classes, len(at))
    for pairs in near_pairs(units, float(min(at.max(), 2.0))):
        tallies.add(pairs, np.searchsorted(at[order], pairs.distances))
    utilities = np.empty((len(classes.kept), len(at)))
    utilities[:, order] = _utility(*tallies.rates(), c)
    return utilities


def calibration_range(z: Embeddings, labels: Labels, far: FalseAcceptRates = (0.01, 0.1)) -> tuple[float, float]:
    """The smallest thresholds at which the pooled false accept rate reaches ``far[0]`` and ``far[1]``.

    They are distances of negative pairs: the ``ceil(far N)``-th smallest of all N. Raises ``ValueError`` as
    ``utility_curves``, for rates that do not ascend within (0, 1], and if both thresholds are equal. Source: the
    calibration range.

    >>> z = np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> [round(d, 4) for d in calibration_range(z, np.array([0, 0, 1, 1]), (0.5, 1.0))]
    [0.8944, 1.4142]
    """
    units, classes = unit_vectors(z), _Classes.of(class_labels("labels", labels, length=len(z)))
    _, low, high = _calibrated(units, classes, far)
    return low, high


@overload
def opis(
    z: Embeddings, labels: Labels, far: FalseAcceptRates = ..., n_thresholds: int = ..., c: float = ...,
    eps: float | None = ..., return_curves: Literal[False] = ..., *, strict: bool = ...,
) -> float: ...  # fmt: skip
@overload
def opis(
    z: Embeddings, labels: Labels, far: FalseAcceptRates = ..., n_thresholds: int = ..., c: float = ...,
    eps: float | None = ..., *, return_curves: Literal[True], strict: bool = ...,
) -> tuple[float, UtilityCurves]: ...  # fmt: skip
def opis(
    z: Embeddings,
    labels: Labels,
    far: FalseAcceptRates = (0.01, 0.1),
    n_thresholds: int = 101,
    c: float = 1.0,
    eps: float | None = None,
    return_curves: bool = False,
    *,
    strict: bool = False,
) -> float | tuple[float, UtilityCurves]:
    """OPIS, or eps-OPIS if ``eps`` is given, as the mean over equally spaced thresholds.

    Args:
        z, labels: embeddings (rows are normalised) and classes.
        far: pooled false accept rates that limit the calibration range; 1000 negative pairs or more make them sharp.
        n_thresholds: thresholds from one end of the range to the other, both included.
        c: weight of sensitivity in the utility.
        eps: average over this share of the classes, those that deviate most.
        return_curves: return (score, ``UtilityCurves``).
        strict: raise instead of warning where a class has one item.

    The counts at a threshold are exact; memory grows with the pairs within the range's upper end. Raises
    ``ValueError`` as ``utility_curves`` and ``calibration_range``, for fewer than two thresholds and for an ``eps``
    outside (0, 1].

    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(np.arange(6), 20)
    >>> z = np.eye(6)[labels] + 0.1 * (1 + labels[:, None]) * rng.standard_normal((120, 6))
    >>> round(opis(z, labels), 4), round(opis(z, labels, eps=0.1), 4)
    (0.049, 0.0961)
    """
    whole_number("n_thresholds", n_thresholds, 2)
    positive("c", c)
    units, classes = unit_vectors(z), _classes(labels, len(z), strict)
    pairs, low, high = _calibrated(units, classes, far)
    grid = np.linspace(low, high, n_thresholds)
    tallies = _Tallies(classes, n_thresholds)
    tallies.add(pairs, _places(grid, pairs.distances))
    utilities = _utility(*tallies.rates(), c)
    score = epsilon_opis(((utilities - utilities.mean(0)) ** 2).mean(1), 1.0 if eps is None else eps)
    return (score, UtilityCurves(classes.names[classes.kept], grid, utilities)) if return_curves else score


def exact_opis(
    z: Embeddings, labels: Labels, far: FalseAcceptRates = (0.01, 0.1), c: float = 1.0, eps: float | None = None,
    *, strict: bool = False,
) -> float:  # fmt: skip
    """OPIS or eps-OPIS with the integral over thresholds computed exactly. Arguments and errors as in ``opis``."""
    return epsilon_opis(class_deviations(z, labels, far, c, strict=strict), 1.0 if eps is None else eps)


def class_deviations(
    z: Embeddings, labels: Labels, far: FalseAcceptRates = (0.01, 0.1), c: float = 1.0, *, strict: bool = False
) -> Float[np.ndarray, " classes"]:
    """``∫ (U_i − Ubar)² dd / (d_max − d_min)`` of every class with at least two items: their mean is OPIS.

    A pair's distance changes the utility of one class or two, so that all curves together have as many steps as there
    are pairs in the range, and with V = U − 1 and the running integral P of Vbar

        ∫ (V_i − Vbar)² = sum over steps of class i of (length V_i² − 2 V_i (P(end) − P(start))) + ∫ Vbar².

    Two sorts suffice. Arguments and errors as in ``opis``.
    """
    positive("c", c)
    units, classes = unit_vectors(z), _classes(labels, len(z), strict)
    pairs, low, high = _calibrated(units, classes, far)
    steps = _steps(pairs, classes, low, high, c)
    ends = np.append(steps.start, high)[steps.following]
    # Vbar after each step in time, and its integral up to each step and to the end.
    in_time = np.empty_like(steps.rank)
    in_time[steps.rank] = np.arange(len(in_time))
    mean = np.cumsum(steps.change[in_time]) / len(classes.kept)
    lengths = np.diff(steps.start[in_time], append=high)
    running = np.append(0.0, np.cumsum(mean * lengths))
    passed = running[np.append(steps.rank, -1)]
    own = (ends - steps.start) * steps.value**2 - 2 * steps.value * (passed[steps.following] - passed[:-1])
    by_class = np.bincount(steps.owner, weights=own, minlength=len(classes.kept))
    return np.maximum(by_class + (mean**2) @ lengths, 0) / (high - low)


def epsilon_opis(deviations: Float[np.ndarray, " classes"], eps: float) -> float:
    """Mean of the largest ``ceil(eps T)`` of T class deviations: OPIS for ``eps = 1``, and never less.

    Raises ``ValueError`` for deviations that are not finite numbers of at least 0, and an ``eps`` outside (0, 1].

    >>> epsilon_opis(np.array([0.1, 0.3, 0.2]), 1 / 3), round(epsilon_opis(np.array([0.1, 0.3, 0.2]), 1.0), 4)
    (0.3, 0.2)
    """
    checked = finite_array("deviations", deviations, 1)
    if checked.min() < 0:
        raise ValueError(f"deviations must be at least 0, got {checked.min()}")
    if positive("eps", eps) > 1:
        raise ValueError(f"eps must be at most 1, got {eps}")
    return float(np.sort(checked)[-_ceil(eps * len(checked)) :].mean())


def histogram_opis(
    z: Embeddings, labels: Labels, far: FalseAcceptRates = (0.01, 0.1), bins: int = 2000, c: float = 1.0,
    eps: float | None = None, *, strict: bool = False,
) -> float:  # fmt: skip
    """OPIS or eps-OPIS from histograms of cosines: one pass, memory of ``classes x bins`` however many pairs there are.

    Both the ends of the calibration range and the curves between edges of bins are interpolated; the error shrinks
    with the bins. Arguments and errors as in ``opis``, and fewer than two bins. Source: derived here.
    """
    whole_number("bins", bins, 2)
    positive("c", c)
    low_rate, high_rate = _checked_rates(far)
    units, classes = unit_vectors(z), _classes(labels, len(z), strict)
    tallies = _Tallies(classes, bins)
    for pairs in near_pairs(units, 2.0):
        # 1 − cosine = distance²/2, from 0 to 2
        tallies.add(pairs, np.minimum((pairs.distances**2 * (bins / 4)).astype(np.int64), bins - 1))
    edges = np.sqrt(np.arange(bins + 1) * (4 / bins))
    pooled = np.append(0.0, tallies.pooled_false_accepts())
    rising = np.append(True, np.diff(pooled) > 0)
    low, high = np.interp([low_rate, high_rate], pooled[rising], edges[rising])
    _check_range(low, high)
    grid = np.linspace(low, high, 101)
    sensitivity, specificity = (
        np.stack([np.interp(grid, edges, np.append(first, rate)) for rate in rates])
        for first, rates in zip((0.0, 1.0), tallies.rates(), strict=True)
    )
    utilities = _utility(sensitivity, specificity, c)
    return epsilon_opis(((utilities - utilities.mean(0)) ** 2).mean(1), 1.0 if eps is None else eps)


def threshold_consistent_margin_loss(
    z: Embeddings,
    labels: Labels,
    margin_pos: float = 0.9,
    margin_neg: float = 0.5,
    weight_pos: float = 1.0,
    weight_neg: float = 1.0,
) -> float:
    """TCM of a batch: two means over hard pairs, weighted and added.

    They are the mean of ``margin_pos − s`` over positive cosines s <= ``margin_pos`` and that of ``s − margin_neg``
    over negative cosines s >= ``margin_neg``. A term without such pairs is 0.

    Raises ``ValueError`` for shapes that do not fit, elements that are not finite, margins outside [−1, 1] or not
    ``margin_neg < margin_pos``, and negative weights. Source: the definition of the loss.

    >>> z = np.array([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0]])
    >>> round(threshold_consistent_margin_loss(z, np.array([0, 0, 1])), 6)
    0.5
    """
    units = unit_vectors(z)
    classes = class_labels("labels", labels, length=len(units))
    first, second = np.triu_indices(len(units), 1)
    cosines, same = (units[first] * units[second]).sum(1), classes[first] == classes[second]
    _check_margins(margin_pos, margin_neg, weight_pos, weight_neg)
    low, high = cosines[same & (cosines <= margin_pos)], cosines[~same & (cosines >= margin_neg)]
    pulled = weight_pos * (margin_pos - low).mean() if len(low) else 0.0
    pushed = weight_neg * (high - margin_neg).mean() if len(high) else 0.0
    return float(pulled + pushed)


def tcm_pair_gradient(
    sim_pos: Float[np.ndarray, " positives"],
    sim_neg: Float[np.ndarray, " negatives"],
    margin_pos: float = 0.9,
    margin_neg: float = 0.5,
    weight_pos: float = 1.0,
    weight_neg: float = 1.0,
) -> tuple[Float[np.ndarray, " positives"], Float[np.ndarray, " negatives"]]:
    """Derivatives of TCM by the cosines: ``−weight_pos/n`` on each of n hard positives, ``weight_neg/m`` on each of m
    hard negatives, 0 elsewhere.

    Their sums are −weight_pos and weight_neg however many pairs are hard: the fewer, the harder each is pushed.
    Raises ``ValueError`` as ``threshold_consistent_margin_loss``.

    >>> [g.tolist() for g in tcm_pair_gradient(np.array([0.95, 0.5, 0.3]), np.array([0.6, -0.2]))]
    [[0.0, -0.5, -0.5], [1.0, 0.0]]
    """
    positives, negatives = finite_array("sim_pos", sim_pos, 1), finite_array("sim_neg", sim_neg, 1)
    _check_margins(margin_pos, margin_neg, weight_pos, weight_neg)
    low, high = positives <= margin_pos, negatives >= margin_neg
    # "+ 0.0" turns −0 into 0
    return -weight_pos * low / max(low.sum(), 1) + 0.0, weight_neg * high / max(high.sum(), 1)


def separated_opis_bound(far_high: float) -> float:
    """What OPIS stays below where all positive pairs are nearer than all negative ones and classes have one size.

    Sensitivities are then 1 on the calibration range and U_i = g(1 − FAR_i), with g concave from g(0) = 0 to g(1) = 1:
    U_i >= 1 − FAR_i. For classes of one size the FAR_i have the mean f, the pooled rate, so that Ubar >= 1 − f, and
    numbers in [0, 1] with mean m have a variance of at most m(1 − m). That is f(1 − f) for f <= 1/2, else 1/4.

    Raises ``ValueError`` for a rate outside [0, 1]. Source: derived here; the last step is Bhatia and Davis (2000).

    >>> round(separated_opis_bound(0.1), 4)
    0.09
    """
    rate = min(in_range("far_high", far_high, 0.0, 1.0), 0.5)
    return rate * (1 - rate)


@dataclass(frozen=True)
class _Classes:
    """Items by class: ``member`` numbers each item's class among all, ``kept`` those with two items or more."""

    names: np.ndarray
    member: np.ndarray
    sizes: np.ndarray
    kept: np.ndarray

    @staticmethod
    def of(labels: np.ndarray) -> "_Classes":
        names, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        return _Classes(names, member, sizes, np.flatnonzero(sizes >= 2))


def _classes(labels: Labels, items: int, strict: bool) -> _Classes:
    classes = _Classes.of(class_labels("labels", labels, length=items))
    single = len(classes.names) - len(classes.kept)
    if len(classes.kept) < 2:
        raise ValueError(f"labels must have at least 2 classes with 2 items each, got {len(classes.kept)}")
    if single and strict:
        raise ValueError(f"labels must give every class 2 items or more, got {single} classes with one")
    if single:
        warnings.warn(f"labels: {single} classes with one item have no pairs and are left out", stacklevel=3)
    return classes


class _Tallies:
    """Pairs by class and place, where place g holds pairs that threshold g is the first to accept."""

    def __init__(self, classes: _Classes, places: int) -> None:
        self.classes, self.places = classes, places
        self.positives, self.negatives = np.zeros((2, len(classes.names), places), dtype=np.int64)

    def add(self, pairs: NearPairs, place: np.ndarray) -> None:
        """Count pairs at their places; those at place ``places`` or beyond are accepted by no threshold."""
        accepted = place < self.places
        member = self.classes.member
        first, second, place = member[pairs.first[accepted]], member[pairs.second[accepted]], place[accepted]
        same = first == second
        self.positives += self._counts(first[same], place[same])
        for owner in (first[~same], second[~same]):
            self.negatives += self._counts(owner, place[~same])

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Sensitivity and specificity of the classes kept at every threshold."""
        kept, items = self.classes.kept, self.classes.sizes.sum()
        sizes = self.classes.sizes[kept, None]
        sensitivity = self.positives[kept].cumsum(1) / (sizes * (sizes - 1) // 2)
        return sensitivity, 1 - self.negatives[kept].cumsum(1) / (sizes * (items - sizes))

    def pooled_false_accepts(self) -> np.ndarray:
        """False accept rate of all negative pairs at every threshold."""
        return self.negatives.sum(0).cumsum() / (2 * _negative_pairs(self.classes))

    def _counts(self, owner: np.ndarray, place: np.ndarray) -> np.ndarray:
        shape = (len(self.classes.names), self.places)
        return np.bincount(owner * self.places + place, minlength=shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True)
class _Steps:
    """The stretches between a class's changes: V = U − 1 from ``start`` until ``following`` (−1: the range's end).

    ``rank`` is the stretch's place among all classes' by ``start``.
    """

    owner: np.ndarray
    start: np.ndarray
    rank: np.ndarray
    value: np.ndarray
    change: np.ndarray
    following: np.ndarray


def _steps(pairs: NearPairs, classes: _Classes, low: float, high: float, c: float) -> _Steps:
    """All classes' curves on the range, one entry per change, by class and then by distance."""
    first, second = classes.member[pairs.first], classes.member[pairs.second]
    same = first == second
    place = np.full(len(classes.names), -1)
    place[classes.kept] = np.arange(len(classes.kept))
    owner = place[np.concatenate([first, second[~same]])]
    distance = np.concatenate([pairs.distances, pairs.distances[~same]])
    is_positive = np.concatenate([same, np.zeros((~same).sum(), dtype=bool)])
    counted = (owner >= 0) & (distance < high)
    owner, is_positive = owner[counted], is_positive[counted]
    # Every class begins with a stretch of its own, before whatever has changed below the range.
    classes_kept = np.arange(len(classes.kept))
    owner = np.concatenate([classes_kept, owner])
    distance = np.concatenate([np.full(len(classes_kept), -np.inf), distance[counted]])
    counts = np.concatenate([np.zeros_like(classes_kept), np.where(is_positive, 1, -1)])
    order = np.argsort(distance)
    # A short integer type is sorted by radix.
    rank = np.argsort(owner[order].astype(np.min_scalar_type(len(classes_kept))), kind="stable")
    order = order[rank]
    owner, start, counts = owner[order], np.maximum(distance[order], low), counts[order]
    begins = np.searchsorted(owner, classes_kept)
    sizes = classes.sizes[classes.kept]
    sensitivity, accepts = (
        _cumulated(np.maximum(sign * counts, 0), owner, begins) / total[owner]
        for sign, total in ((1, sizes * (sizes - 1) // 2), (-1, sizes * (classes.sizes.sum() - sizes)))
    )
    value = _utility(sensitivity, 1 - accepts, c) - 1
    change = np.diff(value, prepend=0.0)
    change[begins] = value[begins]
    following = np.arange(1, len(owner) + 1)
    following[np.append(begins[1:], len(owner)) - 1] = -1
    return _Steps(owner, start, rank, value, change, following)


def _cumulated(counts: np.ndarray, owner: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Running sums that start anew with every owner; each owner's first count is 0."""
    running = np.cumsum(counts)
    return running - running[begins][owner]


def _calibrated(units: np.ndarray, classes: _Classes, far: FalseAcceptRates) -> tuple[NearPairs, float, float]:
    """All pairs up to the end of the calibration range, and its two ends."""
    rates = _checked_rates(far)
    negatives = _negative_pairs(classes)
    if negatives == 0:
        raise ValueError(f"labels must have at least 2 classes, got {len(classes.names)}")
    ranks = np.array([_ceil(rate * negatives) for rate in rates])
    pairs, (low, high) = nearest_pairs(units, classes.member, ranks)
    _check_range(low, high)
    return pairs, float(low), float(high)


def _checked_rates(far: FalseAcceptRates) -> tuple[float, float]:
    if not isinstance(far, tuple | list) or len(far) != 2:
        raise ValueError(f"far must be a pair of rates, got {far!r}")
    low, high = (in_range("far", rate, 0.0, 1.0) for rate in far)
    if not 0 < low < high:
        raise ValueError(f"far must ascend within (0, 1], got {far!r}")
    return low, high


def _check_range(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"z must have negative pairs at different distances between the rates, got {low} and {high}")


def _check_margins(margin_pos: float, margin_neg: float, weight_pos: float, weight_neg: float) -> None:
    in_range("margin_pos", margin_pos, -1.0, 1.0)
    in_range("margin_neg", margin_neg, -1.0, 1.0)
    if not margin_neg < margin_pos:
        raise ValueError(f"margin_neg must be below margin_pos, got {margin_neg} and {margin_pos}")
    at_least("weight_pos", weight_pos, 0.0)
    at_least("weight_neg", weight_neg, 0.0)


def _negative_pairs(classes: _Classes) -> int:
    return int((classes.sizes.sum() ** 2 - (classes.sizes**2).sum()) // 2)


def _utility(sensitivity: np.ndarray, specificity: np.ndarray, c: float | np.ndarray) -> np.ndarray:
    weighted = c**2 * specificity + sensitivity
    product = (1 + c**2) * sensitivity * specificity
    return np.divide(product, weighted, out=np.zeros_like(product), where=weighted > 0)


def _places(grid: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """``searchsorted`` in an equally spaced grid: arithmetic, and one correction for its rounding."""
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    place = np.clip(np.ceil((distances - grid[0]) / step), 0, len(grid) - 1).astype(np.int64)
    place -= (place > 0) & (distances <= grid[np.maximum(place - 1, 0)])
    return place + (distances > grid[place])


def _ceil(value: float) -> int:
    """The next whole number, where 3.0000000000000004 is a rounded 3; at least 1."""
    return max(1, math.ceil(round(value, 9)))


def _rate_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """False accept rates of eight classes, half of them extreme, scaled to a mean of at most one half; weights c."""
    rates = rng.random((count, 8)) ** np.where(rng.random((count, 1)) < 0.5, 1.0, 20.0)
    most = rng.uniform(0, 0.5, (count, 1))
    return {"rates": rates * np.minimum(1, most / rates.mean(1, keepdims=True)), "c": 10 ** rng.uniform(-1, 1, count)}


def _utilities_of_rates(rates: np.ndarray, c: np.ndarray) -> np.ndarray:
    return _utility(np.ones_like(rates), 1 - rates, c[:, None])


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "variance of separated classes' utilities at most f(1 − f)", "derived",
        lambda rates, c: _utilities_of_rates(rates, c).var(1),
        lambda rates, c: rates.mean(1) * (1 - rates.mean(1)), _rate_sampler,
    )  # fmt: skip
    yield Bound(
        "mean utility of separated classes at least 1 − f", "derived",
        lambda rates, c: 1 - rates.mean(1), lambda rates, c: _utilities_of_rates(rates, c).mean(1), _rate_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
