"""Self-distillation and the loss gate: DINO's loss and gradient, the crossing of two Gaussians, and what a gate costs.

DINO averages cross-entropies of T teacher and V student crops over pairs of different crops a ≠ b, 2 V − 2 for T = 2:

    L = mean over pairs of H(P_a, S_b),   P_a = softmax((g_a − centre)/t_teacher),   S_b = softmax(y_b/t_student)
    dL/dy_b = sum over a ≠ b of (S_b − P_a) / (t_student · pairs)

A gate keeps the samples whose log loss lies below a threshold x. If log losses are a mixture of reliable ones,
``w1 N(m1, s1²)``, and unreliable ones, ``w2 N(m2, s2²)``, m1 < m2, then x errs on ``w1 (1 − Φ1(x)) + w2 Φ2(x)``.
Between the means the log ratio of the weighted densities,

    d(x) = log(w1 s2/(w2 s1)) − (x − m1)²/(2 s1²) + (x − m2)²/(2 s2²),   d'(x) = −(x − m1)/s1² − (m2 − x)/s2² < 0,

falls strictly, so that it has exactly one zero in (m1, m2) if it changes sign there and none otherwise; at that zero
the error is smallest among all thresholds between the means. Without a sign change the error is monotone: it is
smallest at m2 if the reliable density is the larger one throughout, and at m1 if it is the smaller one.

Source: Han, Chen and Qian (2023), *Self-Supervised Learning with Cluster-Aware-DINO for High-Performance Robust Speaker
Verification*, for the losses and the gate; gradient, uniqueness and optimality are derived here.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_softmax, ndtr

from theory.fuzz import Bound
from theory.validation import finite_array, positive, whole_number

__all__ = [
    "TwoGaussians",
    "dino_loss",
    "dino_loss_grad",
    "gate_error",
    "gate_quality",
    "gaussian_crossing",
    "log_density_ratio",
    "two_gaussian_em",
]

Taught = Float[np.ndarray, "teacher_crops batch outputs"]
Learnt = Float[np.ndarray, "student_crops batch outputs"]


class TwoGaussians(NamedTuple):
    """Weights, means and standard deviations of a mixture, the component with the smaller mean first."""

    w1: float
    m1: float
    s1: float
    w2: float
    m2: float
    s2: float


def dino_loss(
    teacher_out: Taught,
    student_out: Learnt,
    center: Float[np.ndarray, " outputs"],
    t_teacher: float = 0.04,
    t_student: float = 0.1,
) -> float:
    """Mean over the batch and over all pairs (teacher crop a, student crop b ≠ a) of the cross-entropy.

    Crops are numbered as they come: teacher crop a and student crop a are the same crop. Raises ``ValueError`` for
    arrays that do not fit, are empty or not finite, fewer than two outputs, temperatures not above 0, or if no pair of
    different crops exists.

    >>> crops = np.zeros((2, 1, 4))
    >>> round(dino_loss(crops, crops, np.zeros(4)), 4)  # log 4: both are uniform
    1.3863
    """
    p, log_s = _distributions(teacher_out, student_out, center, t_teacher, t_student)
    terms = [-(p[a] * log_s[b]).sum(-1).mean() for a, b in _pairs(len(p), len(log_s))]
    return float(np.mean(terms))


def dino_loss_grad(
    teacher_out: Taught,
    student_out: Learnt,
    center: Float[np.ndarray, " outputs"],
    t_teacher: float = 0.04,
    t_student: float = 0.1,
) -> Learnt:
    """Gradient of ``dino_loss`` with respect to ``student_out``: ``(S_b − P_a)/t_student`` for each pair, averaged.

    Arguments and errors as in ``dino_loss``. Source: derived; softmax minus target, over the temperature.
    """
    p, log_s = _distributions(teacher_out, student_out, center, t_teacher, t_student)
    pairs = _pairs(len(p), len(log_s))
    gradient = np.zeros_like(log_s)
    for a, b in pairs:
        gradient[b] += np.exp(log_s[b]) - p[a]
    return gradient / (t_student * len(pairs) * p.shape[1])


def gaussian_crossing(w1: float, m1: float, s1: float, w2: float, m2: float, s2: float) -> float:
    """Where ``w1 N(x; m1, s1²) = w2 N(x; m2, s2²)`` between the means; the larger mean if they do not cross there.

    The components may come in either order. In units u = (x − m1)/(m2 − m1) the log ratio of the densities is
    ``a u² + b u + e`` with b < 0; its root in (0, 1) is ``2 e/(−b + sqrt(b² − 4 a e))``, which has no cancellation and
    covers a = 0. The larger mean errs least, among thresholds between the means, if the first component dominates up to
    there; if the second dominates already at ``m1`` it errs most, but keeps what is reliable.

    Raises ``ValueError`` for means that are not finite, weights or deviations not finite and above 0.

    >>> gaussian_crossing(0.5, 0.0, 1.0, 0.5, 2.0, 1.0)
    1.0
    """
    w1, m1, s1, w2, m2, s2 = _components(w1, m1, s1, w2, m2, s2)
    if m1 > m2:
        w1, m1, s1, w2, m2, s2 = w2, m2, s2, w1, m1, s1
    return float(_crossings(*(np.asarray(each) for each in (w1, m1, s1, w2, m2, s2))))


def log_density_ratio(
    x: float | Float[np.ndarray, "..."], w1: float, m1: float, s1: float, w2: float, m2: float, s2: float
) -> Float[np.ndarray, "..."]:
    """``log(w1 N(x; m1, s1²)) − log(w2 N(x; m2, s2²))``, elementwise. Errors as in ``gaussian_crossing``.

    >>> float(log_density_ratio(1.0, 0.5, 0.0, 1.0, 0.5, 2.0, 1.0))
    0.0
    """
    points = finite_array("x", x)
    w1, m1, s1, w2, m2, s2 = _components(w1, m1, s1, w2, m2, s2)
    return _log_ratio(points, w1, m1, s1, w2, m2, s2)


def gate_error(
    x: float | Float[np.ndarray, "..."], w1: float, m1: float, s1: float, w2: float, m2: float, s2: float
) -> Float[np.ndarray, "..."]:
    """Share of samples that the gate x treats wrongly: ``w1 (1 − Φ1(x)) + w2 Φ2(x)``, elementwise.

    The first component holds the reliable samples. Errors as in ``gaussian_crossing``.

    >>> round(float(gate_error(1.0, 0.5, 0.0, 1.0, 0.5, 2.0, 1.0)), 4)
    0.1587
    """
    points = finite_array("x", x)
    w1, m1, s1, w2, m2, s2 = _components(w1, m1, s1, w2, m2, s2)
    return np.asarray(w1 * ndtr((m1 - points) / s1) + w2 * ndtr((points - m2) / s2))


def gate_quality(
    x: float | Float[np.ndarray, "..."], w1: float, m1: float, s1: float, w2: float, m2: float, s2: float
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Precision (reliable among kept) and recall (kept among reliable) of the gate x; precision 0 if nothing is kept.

    Errors as in ``gaussian_crossing``.
    """
    points = finite_array("x", x)
    w1, m1, s1, w2, m2, s2 = _components(w1, m1, s1, w2, m2, s2)
    recall, unreliable = ndtr((points - m1) / s1), w2 * ndtr((points - m2) / s2)
    kept = w1 * recall + unreliable
    return np.asarray(w1 * recall / np.where(kept > 0, kept, 1.0)), np.asarray(recall)


def two_gaussian_em(
    values: Float[np.ndarray, " samples"], *, tolerance: float = 1e-10, max_iterations: int = 10_000
) -> TwoGaussians:
    """Maximum-likelihood mixture of two Gaussians by expectation and maximisation, written as in a textbook.

    Starts from the halves below and above the mean. Stops when no parameter moves by more than ``tolerance``
    standard deviations of the sample. Variances are kept above 10⁻⁶ of the sample's.

    Raises ``ValueError`` for fewer than two different values, values that are not finite, or numbers out of range.
    """
    x = finite_array("values", values, 1)
    positive("tolerance", tolerance)
    whole_number("max_iterations", max_iterations, 1)
    if np.ptp(x) == 0:
        raise ValueError(f"values must not all be equal, got {len(x)} times {x[0]}")
    centre, scale = x.mean(), x.std()
    z = (x - centre) / scale
    share = (z > 0).astype(np.float64)
    parameters = np.zeros(6)
    for _ in range(max_iterations):
        weights = np.array([(1 - share).mean(), share.mean()])
        means = np.array([np.average(z, weights=1 - share), np.average(z, weights=share)])
        variances = [
            np.average((z - mean) ** 2, weights=part) for mean, part in zip(means, (1 - share, share), strict=True)
        ]
        deviations = np.sqrt(np.maximum(variances, 1e-6))
        before, parameters = parameters, np.concatenate([weights, means, deviations])
        if np.abs(parameters - before).max() <= tolerance:
            break
        share = expit(-_log_ratio(z, weights[0], means[0], deviations[0], weights[1], means[1], deviations[1]))
    fitted = [
        (float(w), float(centre + scale * m), float(scale * s))
        for w, m, s in parameters.reshape(3, 2).T
    ]  # fmt: skip
    first, second = sorted(fitted, key=lambda each: each[1])
    return TwoGaussians(*first, *second)


def _pairs(teachers: int, students: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(teachers) for b in range(students) if a != b]


def _distributions(
    teacher_out: Taught, student_out: Learnt, center: np.ndarray, t_teacher: float, t_student: float
) -> tuple[np.ndarray, np.ndarray]:
    teacher, student = finite_array("teacher_out", teacher_out, 3), finite_array("student_out", student_out, 3)
    middle = finite_array("center", center, 1)
    t_teacher, t_student = positive("t_teacher", t_teacher), positive("t_student", t_student)
    if teacher.shape[1:] != student.shape[1:]:
        raise ValueError(
            f"teacher_out and student_out must agree in batch and outputs, got {teacher.shape} and {student.shape}"
        )
    if teacher.shape[2] < 2 or middle.shape != teacher.shape[2:]:
        raise ValueError(f"center must have one element per output, of at least 2, got {middle.shape}")
    if not _pairs(len(teacher), len(student)):
        raise ValueError("student_out must hold a crop other than the teacher's only one, got 1 crop")
    return np.exp(log_softmax((teacher - middle) / t_teacher, axis=-1)), log_softmax(student / t_student, axis=-1)


def _components(
    w1: float, m1: float, s1: float, w2: float, m2: float, s2: float
) -> tuple[float, float, float, float, float, float]:
    first, second = (float(finite_array(name, value, 0)) for name, value in (("m1", m1), ("m2", m2)))
    return positive("w1", w1), first, positive("s1", s1), positive("w2", w2), second, positive("s2", s2)


def _crossings(
    w1: np.ndarray, m1: np.ndarray, s1: np.ndarray, w2: np.ndarray, m2: np.ndarray, s2: np.ndarray
) -> np.ndarray:
    """``gaussian_crossing`` of many mixtures with m1 ≤ m2."""
    odds, gap, narrow = np.log(w1) - np.log(w2) + np.log(s2) - np.log(s1), m2 - m1, np.minimum(s1, s2)
    # Divided by the largest coefficient there can be, so that neither narrow components nor close means overflow.
    largest = np.maximum(gap, narrow)
    near, far = (narrow / largest) ** 2, (gap / largest) ** 2
    k1, k2 = far * (narrow / s1) ** 2, far * (narrow / s2) ** 2
    e, at_second = odds * near + k2 / 2, odds * near - k1 / 2
    crosses = (e > 0) & (at_second < 0)
    root = 2 * e / np.where(crosses, k2 + np.sqrt(np.maximum(k2**2 - 2 * (k2 - k1) * e, 0)), 1)
    return np.where(crosses, m1 + gap * np.minimum(root, 1), m2)


def _log_ratio(x: np.ndarray, w1: float, m1: float, s1: float, w2: float, m2: float, s2: float) -> np.ndarray:
    odds = math.log(w1) - math.log(w2) + math.log(s2) - math.log(s1)
    return np.asarray(odds - 0.5 * ((x - m1) / s1) ** 2 + 0.5 * ((x - m2) / s2) ** 2)


def _sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {
        "share": rng.uniform(0.02, 0.98, count),
        "gap": 10 ** rng.uniform(-1.5, 1.2, count),
        "s1": 10 ** rng.uniform(-1, 1, count),
        "s2": 10 ** rng.uniform(-1, 1, count),
        "place": rng.uniform(0, 1, count),
    }


def _errors_at(at: np.ndarray, share: np.ndarray, gap: np.ndarray, s1: np.ndarray, s2: np.ndarray) -> np.ndarray:
    return share * ndtr(-at / s1) + (1 - share) * ndtr((at - gap) / s2)


def _crosses(share: np.ndarray, gap: np.ndarray, s1: np.ndarray, s2: np.ndarray) -> np.ndarray:
    odds = np.log(share / (1 - share)) + np.log(s2 / s1)
    return (odds + gap**2 / (2 * s2**2) > 0) & (odds - gap**2 / (2 * s1**2) < 0)


def _least(share: np.ndarray, gap: np.ndarray, s1: np.ndarray, s2: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Error of the crossing or, without one, of the better of the two means."""
    crossing = _errors_at(_crossings(share, np.zeros_like(gap), s1, 1 - share, gap, s2), share, gap, s1, s2)
    ends = np.minimum(_errors_at(np.zeros_like(gap), share, gap, s1, s2), _errors_at(gap, share, gap, s1, s2))
    return np.where(_crosses(share, gap, s1, s2), crossing, ends)


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "no threshold between the means errs less than the crossing, or without one than the better mean", "derived",
        _least, lambda share, gap, s1, s2, place: _errors_at(place * gap, share, gap, s1, s2), _sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
