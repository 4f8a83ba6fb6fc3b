"""The Z-loss and the spherical family: classification losses that need three numbers of the scores, not all D.

A loss is *spherical* if it depends on the scores o of D classes only through their sum, their squared norm and the
target's score, ``s = sum_k o_k, q = ||o||^2, o_c``. The Z-loss does so through the target's standard score:

    L = softplus(a (b - z_c)) / a,        z_c = (o_c - mu) / sigma,        mu = s/D,        sigma^2 = q/D - mu^2

so that shifting or positively scaling o changes nothing. With r = -sigmoid(a (b - z_c)),

    dL/do_k = (r / sigma) (1[k = c] - 1/D - z_c z_k / D),      ||dL/do|| = (|r| / sigma) sqrt(1 - 1/D - z_c^2/D).

    loss = z_loss(scores, targets, a=0.1, b=b_for_topk(D, 10))
    rank_certificate(z_c, D)            # how many classes can score at least as high as one with standard score z_c

Source: de Brébisson and Vincent (2016), *The Z-loss: a shift and scale invariant classification loss belonging to
the Spherical Family*; the other members from de Brébisson and Vincent (2016), *An exploration of softmax alternatives
belonging to the spherical loss family*. Gradients, the rank certificate and the count of operations are derived here.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from theory.fuzz import Bound
from theory.validation import class_labels, finite_array, in_range, one_of, positive, same_shape, whole_number

__all__ = [
    "SPHERICAL_LOSSES",
    "b_for_topk",
    "break_even_classes",
    "dense_step_flops",
    "factored_step_flops",
    "rank_certificate",
    "rank_witness",
    "scores_gradient",
    "spherical_coordinates",
    "spherical_grad",
    "spherical_loss",
    "z_loss",
    "z_loss_grad",
    "z_loss_gradient_norm",
    "z_scores",
]

SphericalLoss = Literal["z", "mse", "log_spherical", "log_taylor"]
Scores = Float[np.ndarray, "samples classes"]
Targets = Int[np.ndarray, " samples"]
PerSample = Float[np.ndarray, " samples"]

SPHERICAL_LOSSES: tuple[SphericalLoss, ...] = ("z", "mse", "log_spherical", "log_taylor")
"""Members of the family: the Z-loss, squared error to the one-hot target, and two alternatives to softmax."""


def z_scores(scores: Scores) -> Scores:
    """Standard scores ``(o_k - mu) / sigma`` of every row, with the population deviation; 0 in a constant row.

    Two passes over deviations from the first class: no digit is lost where |mu| is far above sigma, a constant row is
    recognised exactly, and squares cannot overflow. Raises ``ValueError`` for fewer than two classes or scores that
    are not finite.

    >>> z_scores(np.array([[0.0, 0.0, 3.0], [0.1, 0.1, 0.1]])).round(3).tolist()
    [[-0.707, -0.707, 1.414], [0.0, 0.0, 0.0]]
    """
    return _standardised(_checked_scores(scores))[0]


def z_loss(scores: Scores, targets: Targets, a: float = 1.0, b: float = 0.0) -> PerSample:
    """``softplus(a (b - z_c)) / a`` for every sample: at least ``softplus(a (b - sqrt(D - 1))) / a``.

    A constant row has ``z_c = 0``. With two classes z_c is 1 or −1 whatever the scores, so that the loss is piecewise
    constant and useless for training. Raises ``ValueError`` for ``a <= 0``, b that is not finite, targets outside
    0 … D − 1, and as ``z_scores``.

    >>> z_loss(np.array([[0.0, 0.0, 3.0]]), np.array([2])).round(4).tolist()
    [0.2176]
    """
    checked, chosen = _checked_pair(scores, targets)
    z = _standardised(checked)[0]
    return _softplus_loss(z[np.arange(len(z)), chosen], *_checked_shape(a, b))


def z_loss_grad(scores: Scores, targets: Targets, a: float = 1.0, b: float = 0.0) -> Scores:
    """Gradient of every sample's ``z_loss`` in its scores, in closed form; 0 in a constant row.

    It sums to 0 (shifts) and is orthogonal to the scores (scale). Raises ``ValueError`` as ``z_loss``.
    """
    checked, chosen = _checked_pair(scores, targets)
    a, b = _checked_shape(a, b)
    z, sigma = _standardised(checked)
    rows, classes = np.arange(len(z)), z.shape[1]
    target_z = z[rows, chosen]
    direction = -1 / classes - target_z[:, None] * z / classes
    direction[rows, chosen] += 1
    weight = np.divide(-expit(a * (b - target_z)), sigma, out=np.zeros_like(sigma), where=sigma > 0)
    return weight[:, None] * direction


def z_loss_gradient_norm(scores: Scores, targets: Targets, a: float = 1.0, b: float = 0.0) -> PerSample:
    """``(|r| / sigma) sqrt(1 - 1/D - z_c^2/D)``: it grows like 1/sigma and vanishes as z_c tends to sqrt(D − 1).

    Raises ``ValueError`` as ``z_loss``.
    """
    checked, chosen = _checked_pair(scores, targets)
    a, b = _checked_shape(a, b)
    z, sigma = _standardised(checked)
    classes, target_z = z.shape[1], z[np.arange(len(z)), chosen]
    length = np.sqrt(np.maximum(1 - 1 / classes - target_z**2 / classes, 0))
    weight = np.divide(expit(a * (b - target_z)), sigma, out=np.zeros_like(sigma), where=sigma > 0)
    return weight * length


def spherical_coordinates(scores: Scores, targets: Targets) -> tuple[PerSample, PerSample, PerSample]:
    """``(s, q, o_c)``: the sum of a row, its squared norm, and the target's score. Errors as ``z_loss``.

    >>> [float(part[0]) for part in spherical_coordinates(np.array([[1.0, -2.0, 3.0]]), np.array([2]))]
    [2.0, 14.0, 3.0]
    """
    checked, chosen = _checked_pair(scores, targets)
    return checked.sum(axis=1), (checked**2).sum(axis=1), checked[np.arange(len(checked)), chosen]


def spherical_loss(
    s: PerSample, q: PerSample, oc: PerSample, classes: int,
    loss: SphericalLoss = "z", a: float = 1.0, b: float = 0.0, eps: float = 1e-3,
) -> PerSample:  # fmt: skip
    """A member of the family in spherical coordinates.

    ============== ==========================================================
    z              ``softplus(a (b - z_c)) / a``
    mse            ``q - 2 o_c + 1``, squared error to the one-hot target
    log_spherical  ``-log((o_c^2 + eps) / (q + D eps))``
    log_taylor     ``-log((1 + o_c + o_c^2/2) / (D + s + q/2))``
    ============== ==========================================================

    Raises ``ValueError`` for coordinates of different length, ones that no scores have (``q < o_c^2`` or a spread
    below 0 beyond rounding), fewer than two classes, an unknown loss, or parameters out of range.

    >>> spherical_loss(np.array([3.0]), np.array([9.0]), np.array([3.0]), 3, "mse").tolist()
    [4.0]
    """
    s, q, oc = _checked_coordinates(s, q, oc, classes)
    a, b, eps = *_checked_shape(a, b), positive("eps", eps)
    match one_of("loss", loss, SPHERICAL_LOSSES):
        case "mse":
            return q - 2 * oc + 1
        case "log_spherical":
            return np.log(q + classes * eps) - np.log(oc**2 + eps)
        case "log_taylor":
            return np.log(classes + s + q / 2) - np.log(1 + oc + oc**2 / 2)
    mean, sigma = _moments(s, q, classes)
    return _softplus_loss(np.divide(oc - mean, sigma, out=np.zeros_like(oc), where=sigma > 0), a, b)


def spherical_grad(
    s: PerSample, q: PerSample, oc: PerSample, classes: int,
    loss: SphericalLoss = "z", a: float = 1.0, b: float = 0.0, eps: float = 1e-3,
) -> tuple[PerSample, PerSample, PerSample]:  # fmt: skip
    """Partial derivatives ``(by s, by q, by o_c)`` of ``spherical_loss``, each with the other two held.

    With them ``dL/do = 2 o (by q) + 1 (by s) + e_c (by o_c)`` (``scores_gradient``). For the Z-loss, v = sigma^2:

        by o_c = r / sigma,      by q = -r z_c / (2 v D),      by s = (r / D) (mu z_c / v - 1 / sigma).

    Raises ``ValueError`` as ``spherical_loss``.
    """
    s, q, oc = _checked_coordinates(s, q, oc, classes)
    a, b, eps = *_checked_shape(a, b), positive("eps", eps)
    match one_of("loss", loss, SPHERICAL_LOSSES):
        case "mse":
            return np.zeros_like(s), np.ones_like(q), np.full_like(oc, -2.0)
        case "log_spherical":
            return np.zeros_like(s), 1 / (q + classes * eps), -2 * oc / (oc**2 + eps)
        case "log_taylor":
            total = classes + s + q / 2
            return 1 / total, 0.5 / total, -(1 + oc) / (1 + oc + oc**2 / 2)
    mean, sigma = _moments(s, q, classes)
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    z = (oc - mean) * inverse
    r = -expit(a * (b - z))
    return r / classes * (mean * z * inverse**2 - inverse), -r * z * inverse**2 / (2 * classes), r * inverse


def scores_gradient(scores: Scores, targets: Targets, by_s: PerSample, by_q: PerSample, by_oc: PerSample) -> Scores:
    """``2 o (by q) + 1 (by s) + e_c (by o_c)``: from partial derivatives to the gradient in all D scores.

    Raises ``ValueError`` as ``z_loss``, and for derivatives that are not one finite number per sample.
    """
    checked, chosen = _checked_pair(scores, targets)
    parts = [finite_array(n, v, 1) for n, v in (("by_s", by_s), ("by_q", by_q), ("by_oc", by_oc))]
    for name, part in zip(("by_s", "by_q", "by_oc"), parts, strict=True):
        if len(part) != len(checked):
            raise ValueError(f"{name} must have {len(checked)} entries, one per sample, got {len(part)}")
    gradient = 2 * checked * parts[1][:, None] + parts[0][:, None]
    gradient[np.arange(len(checked)), chosen] += parts[2]
    return gradient


def rank_certificate(z_c: float | Float[np.ndarray, "..."], D: int) -> int | Int[np.ndarray, "..."]:
    """The largest number of classes, target and ties included, that can score at least as high as the target.

    Cantelli's inequality for the D standard scores (mean 0, variance 1): ``#{k: z_k >= z_c} <= D / (1 + z_c^2)`` for
    z_c > 0. Nothing follows for z_c ≤ 0. A quotient within 1e-12 below a whole number counts as that number: rounding
    never makes the certificate claim too much. Raises ``ValueError`` for D < 2 or |z_c| above sqrt(D − 1), which no
    scores attain.

    >>> rank_certificate(13.5, 2000), rank_certificate(np.array([-1.0, 31.7]), 2000).tolist()
    (10, [2000, 1])
    """
    whole_number("D", D, 2)
    z = finite_array("z_c", z_c)
    if np.abs(z).max() > np.sqrt(D - 1) * (1 + 1e-9):
        raise ValueError(f"z_c must lie within ± sqrt(D - 1) = {np.sqrt(D - 1):.6g}, got {np.abs(z).max()}")
    most = np.where(z > 0, np.floor(D / (1 + z**2) * (1 + 1e-12)), D).astype(np.int64)
    most = np.clip(most, 1, D)
    return int(most) if most.ndim == 0 else most


def b_for_topk(D: int, k: int) -> float:
    """``sqrt(D / (k + 1) - 1)``: a target with a larger standard score is among the top k for certain.

    It is the least such threshold (``rank_witness``), which makes it the b to begin with when the top k matter.
    Raises ``ValueError`` unless 1 ≤ k < D.

    >>> [round(b_for_topk(2000, k), 1) for k in (1, 5, 10, 100)]
    [31.6, 18.2, 13.4, 4.3]
    """
    whole_number("D", D, 2)
    if whole_number("k", k, 1) >= D:
        raise ValueError(f"k must be below D = {D}, got {k}")
    return float(np.sqrt(D / (k + 1) - 1))


def rank_witness(D: int, k: int) -> Float[np.ndarray, " classes"]:
    """Scores on which the certificate is attained: k + 1 equal ones above D − k − 1 zeros.

    Each of the k + 1 has standard score ``b_for_topk(D, k)`` and the worst rank that this allows. Raises
    ``ValueError`` unless 1 ≤ k < D.
    """
    b_for_topk(D, k)
    return np.where(np.arange(D) <= k, 1.0, 0.0)


def factored_step_flops(d: int, batch: int) -> int:
    """Operations of one step of the factored output layer with one target per example: no D in it.

    ``2 (9 d^2 m + 6 d m^2 + m^3)`` for d hidden units and m examples, terms of lower order left out: nine products of
    a d × d matrix with the batch, six of the batch with itself, one m × m system.
    """
    d, m = whole_number("d", d, 1), whole_number("batch", batch, 1)
    return 2 * (9 * d * d * m + 6 * d * m * m + m**3)


def dense_step_flops(D: int, d: int, batch: int) -> int:
    """Operations of forward pass, backward pass and weight gradient of an explicit D × d layer: ``6 D d m``."""
    return 6 * whole_number("D", D, 2) * whole_number("d", d, 1) * whole_number("batch", batch, 1)


def break_even_classes(d: int, batch: int) -> float:
    """The number of classes from which the factored layer needs fewer operations: ``3 d + 2 m + m^2 / (3 d)``.

    >>> round(break_even_classes(128, 64))
    523
    """
    return factored_step_flops(d, batch) / (6 * d * batch)


def _checked_scores(scores: Scores) -> np.ndarray:
    checked = finite_array("scores", scores, 2)
    if checked.shape[1] < 2:
        raise ValueError(f"scores must have at least 2 classes, got shape {checked.shape}")
    return checked


def _checked_pair(scores: Scores, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    checked = _checked_scores(scores)
    return checked, class_labels("targets", targets, checked.shape[1], len(checked))


def _checked_shape(a: float, b: float) -> tuple[float, float]:
    return positive("a", a), in_range("b", b, -1e300, 1e300)


def _checked_coordinates(
    s: PerSample, q: PerSample, oc: PerSample, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    whole_number("classes", classes, 2)
    total, norm, target = finite_array("s", s, 1), finite_array("q", q, 1), finite_array("oc", oc, 1)
    same_shape(("s", "q", "oc"), (total, norm, target))
    # Of all scores with this sum and target, those whose others are equal have the smallest norm.
    least = target**2 + (total - target) ** 2 / (classes - 1)
    if (norm < least - 1e-9 * (1 + least)).any():
        raise ValueError(f"q must be at least o_c^2 + (s - o_c)^2/(classes - 1) = {least.max()}, got {norm.min()}")
    return total, norm, target


def _standardised(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard scores and deviations of all rows."""
    with np.errstate(over="ignore"):
        shifted = scores - scores[:, :1]
    largest = np.abs(shifted).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all():
        raise ValueError("scores must differ by finite numbers, got a difference that overflows")
    unit = np.divide(shifted, largest, out=np.zeros_like(shifted), where=largest > 0)
    unit -= unit.mean(axis=1, keepdims=True)
    sigma = np.sqrt((unit**2).mean(axis=1))
    z = np.divide(unit, sigma[:, None], out=np.zeros_like(unit), where=sigma[:, None] > 0)
    return z, sigma * largest[:, 0]


def _moments(s: np.ndarray, q: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation; a variance that rounding alone can explain counts as 0."""
    mean = s / classes
    variance = q / classes - mean**2
    rounding = 4 * np.finfo(np.float64).eps * q / classes
    return mean, np.sqrt(np.where(variance > rounding, variance, 0.0))


def _softplus_loss(z: np.ndarray, a: float, b: float) -> np.ndarray:
    return np.logaddexp(0.0, a * (b - z)) / a


def _sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Scores of 24 classes from flat to spiked; the target is class 0."""
    spread = rng.gamma(10.0 ** rng.uniform(-1.5, 1, (count, 1)), size=(count, 24))
    normal = rng.standard_normal((count, 24))
    scores = np.where(rng.random((count, 1)) < 0.5, spread, normal)
    scores[:, 0] += rng.exponential(2.0, count)
    return {
        "scores": scores,
        "a": 10 ** rng.uniform(-2, 1, count),
        "b": rng.uniform(-2, 10, count),
    }


def _target_z(scores: np.ndarray) -> np.ndarray:
    return _standardised(scores)[0][:, 0]


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "#{k: z_k >= z_c} is at most D / (1 + z_c^2) for z_c > 0", "derived (Cantelli)",
        lambda scores, a, b: (scores >= scores[:, :1]).sum(axis=1),
        lambda scores, a, b: scores.shape[1] / (1 + np.maximum(_target_z(scores), 0) ** 2), _sampler,
    )  # fmt: skip
    yield Bound(
        "|z_c| is at most sqrt(D − 1)", "derived",
        lambda scores, a, b: np.abs(_target_z(scores)),
        lambda scores, a, b: np.full(len(scores), np.sqrt(scores.shape[1] - 1)), _sampler,
    )  # fmt: skip
    yield Bound(
        "the Z-loss is at least softplus(a (b − sqrt(D − 1))) / a", "derived",
        lambda scores, a, b: np.logaddexp(0, a * (b - np.sqrt(scores.shape[1] - 1))) / a,
        lambda scores, a, b: np.logaddexp(0, a * (b - _target_z(scores))) / a, _sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
