"""The ICNN score: how well classes are separated, judged by every point's nearest neighbours.

For points ``x_i`` with labels ``y_i`` let ``D_i1 <= D_i2 <= ...`` be the distances to their nearest neighbours, of
which ``n_neighbors`` are looked at and the first ``k`` are scored, and ``s_i`` the distance to the nearest *stranger*
(neighbour of another class) among those looked at, infinite if there is none. The modified score is the mean of three
parts in [0, 1]:

    lambda_same   1 − mean_i mean_t D_it / max(s_i, D_ik)     over same-class neighbours: 1 = tight classes
    lambda_diff   mean_i mean_t D_it / max D                  over strangers: 1 = strangers are equally far (or none)
    gamma         mean_i (same-class neighbours of i) / k     purity

    score = ((lambda_same + lambda_diff)/2 + gamma)/2

It does not change when points are moved, turned, mirrored or scaled. ``gamma`` is piecewise constant, so that a loss
``−log score`` learns through the distances alone; and where every class is pure among ``n_neighbors`` it learns
nothing.

``D_it/max(s_i, D_ik)`` is ``(D_it/s_i)/max(1, max_t D_it/s_i)``, the published form, without its small constants:
exact, defined for duplicates of two classes (s_i = 0), and scale-free. Two cases have no neighbours to average over.
Without strangers ``lambda_diff`` is 1 as published; without same-class neighbours ``lambda_same`` is 0, because the
last of them to leave the neighbourhood is its farthest point and contributes 1 − 1 (public code has 1 there).

Source: Mendez-Ruiz et al. (2023), *SuSana Distancia is all you need*: the modified score, and the proto-triplet loss;
Garcia Ramirez et al. (2021), arXiv 2107.06992: the original score. The bounds are derived here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from theory.fuzz import Bound
from theory.validation import class_labels, finite_array, positive, whole_number

__all__ = [
    "ICNNParts",
    "icnn_ceiling",
    "icnn_floor",
    "icnn_score",
    "original_icnn_score",
    "proto_triplet_gradient",
    "proto_triplet_loss",
]

Points = Float[np.ndarray, "samples dim"]
Labels = Int[np.ndarray, " samples"]
Values = np.ndarray | np.float64  # numpy makes scalars of what has no axes left


@dataclass(frozen=True)
class ICNNParts:
    """A score with what it is made of; ``omega`` (homogeneity) belongs to the original score alone."""

    score: float
    lambda_same: float
    lambda_diff: float
    gamma: float
    omega: float | None = None


def icnn_score(
    x: Points,
    y: Labels,
    k: int = 4,
    n_neighbors: int | None = None,
    reference: Float[np.ndarray, "candidates dim"] | None = None,
    reference_labels: Int[np.ndarray, " candidates"] | None = None,
    return_parts: bool = False,
    *,
    drop_self: bool | None = None,
) -> float | ICNNParts:
    """The modified ICNN score of labelled points, in [0, 1]; 1 is perfect separation.

    Args:
        x, y: points and their labels, whole numbers of at least 0.
        k: neighbours that are scored, at most one less than there are.
        n_neighbors: neighbours among which the nearest stranger is sought (default k + 1), at most all.
        reference, reference_labels: where neighbours come from, instead of the other points.
        return_parts: return an ``ICNNParts`` instead of the score.
        drop_self: point i is not its own neighbour; default: exactly where there is no reference. With a reference
            its first rows are then the points themselves.

    Equally near neighbours keep their order. Raises ``ValueError`` for fewer than three points (or two of a reference),
    fewer than two classes, labels that do not fit, ``k < 1``, ``n_neighbors < k``, one of ``reference`` and
    ``reference_labels`` without the other, or elements that are not finite.

    >>> corners = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> icnn_score(corners, np.array([0, 0, 1, 1]), k=1)  # 1 − (1/2)/4
    0.875
    """
    distances, same, k, inspected = _checked(x, y, k, n_neighbors, reference, reference_labels, drop_self)
    score, lambda_same, lambda_diff, gamma = (float(part) for part in _parts(distances, same, k, inspected))
    return ICNNParts(score, lambda_same, lambda_diff, gamma) if return_parts else score


def original_icnn_score(
    x: Points, y: Labels, k: int = 5, p: float = 2.0, q: float = 2.0, r: float = 2.0, return_parts: bool = False
) -> float | ICNNParts:
    """The original score ``(lambda + gamma)/2``: lambda from distances scaled to [0, 1] point by point.

    With ``d_it`` the distances to the k nearest neighbours scaled to [0, 1], ``l_i`` the sum of ``1 − d_it`` over those
    of the same class and ``d_it`` over the others, lambda is the mean of ``(l_i / max l)^(1/p)`` and gamma that of
    purity^(1/r). The parts also have ``omega = (1 − var of same-class d − var of other d)^(1/q)``, which the score
    leaves out as public code does; ``lambda_same`` and ``lambda_diff`` both hold lambda. Equal distances scale to 0.

    Raises ``ValueError`` as ``icnn_score``, for ``p``, ``q`` or ``r`` not above 0. Source: Garcia Ramirez et al.
    (2021).

    >>> corners = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> original_icnn_score(corners, np.array([0, 0, 1, 1]), k=1)
    1.0
    """
    for name, power in (("p", p), ("q", q), ("r", r)):
        positive(name, power)
    distances, same, k, _ = _checked(x, y, k, None, None, None, None)
    near, alike = _nearest(distances, same, k)
    low, width = near[:, :1], np.ptp(near, axis=1, keepdims=True)
    scaled = (near - low) / np.where(width > 0, width, 1.0)
    sums = np.where(alike, 1 - scaled, scaled).sum(1)
    attraction = float(((sums / (sums.max() or 1.0)) ** (1 / p)).mean())
    gamma = float((alike.mean(1) ** (1 / r)).mean())
    # Both variances are those of numbers in [0, 1], at most 1/4.
    omega = float((1 - np.var(scaled * alike) - np.var(scaled * ~alike)) ** (1 / q))
    score = (attraction + gamma) / 2
    return ICNNParts(score, attraction, attraction, gamma, omega) if return_parts else score


def icnn_floor(diameter: float, separation: float) -> float:
    """The least score of separated classes: ``1 − diameter/(4 separation)``.

    Every class has at least k + 1 points, at most ``diameter`` apart, and points of different classes are at least
    ``separation > diameter`` apart. Then neighbourhoods are pure, and no same-class neighbour is farther than
    diameter/separation of the nearest stranger. Equality: a rectangle with the two classes on its short sides. With few
    ``n_neighbors`` the strangers are not seen and the score is 1. Raises ``ValueError`` unless
    0 < diameter < separation. Derived here.

    >>> icnn_floor(1.0, 2.0)
    0.875
    """
    positive("diameter", diameter)
    if not positive("separation", separation) > diameter:
        raise ValueError(f"separation must be above diameter = {diameter:g}, got {separation:g}")
    return 1 - diameter / (4 * separation)


def icnn_ceiling(y: Labels, k: int = 4) -> float:
    """The largest score that labels allow: ``(1 + mean_i min(k, n_i − 1)/k)/2`` with ``n_i`` the size of i's class.

    A point cannot have more same-class neighbours than its class has other points; with classes of one point the score
    stays below 1/2. Raises ``ValueError`` as ``icnn_score``. Derived here.

    >>> icnn_ceiling(np.array([0, 0, 1, 1]), k=2)
    0.75
    """
    labels = class_labels("y", y)
    _check_classes("y", labels)
    if len(labels) < 3:
        raise ValueError(f"y must have at least 3 labels, got {len(labels)}")
    k = min(whole_number("k", k, 1), len(labels) - 2)
    _, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    others = sizes[members] - 1
    return float((1 + np.minimum(others, k).mean() / k) / 2)


def proto_triplet_loss(
    queries: Float[np.ndarray, "batch dim"],
    labels: Int[np.ndarray, " batch"],
    prototypes: Float[np.ndarray, "ways dim"],
    margin: float = 0.5,
) -> Float[np.ndarray, " batch"]:
    """``max(0, d(q, c_y) − min_{w != y} d(q, c_w) + margin)`` for every query, d the Euclidean distance.

    It is 0 exactly where a query is ``margin`` closer to its own prototype than to any other. Raises ``ValueError`` for
    fewer than two prototypes, labels without one, shapes that do not fit, ``margin <= 0`` or elements that are not
    finite.

    >>> proto_triplet_loss(np.array([[0.0], [0.9]]), np.array([0, 0]), np.array([[0.0], [2.0]])).round(3).tolist()
    [0.0, 0.3]
    """
    own, wrong, _ = _to_prototypes(queries, labels, prototypes, margin)
    return np.maximum(own - wrong + margin, 0)


def proto_triplet_gradient(
    queries: Float[np.ndarray, "batch dim"],
    labels: Int[np.ndarray, " batch"],
    prototypes: Float[np.ndarray, "ways dim"],
    margin: float = 0.5,
) -> tuple[Float[np.ndarray, "batch dim"], Float[np.ndarray, "ways dim"]]:
    """Gradients of the sum of ``proto_triplet_loss`` by queries and by prototypes.

    With the unit vectors u⁺ and u⁻ from a query's own and from its nearest wrong prototype to the query, a query with a
    loss has gradient u⁺ − u⁻; its own prototype gets −u⁺ and the wrong one u⁻. A prototype passes its gradient on to
    its S support samples, 1/S to each. At distance 0 the unit vector is 0. Errors as in ``proto_triplet_loss``.
    """
    own, wrong, nearest = _to_prototypes(queries, labels, prototypes, margin)
    q, c = np.asarray(queries, np.float64), np.asarray(prototypes, np.float64)
    active = (own - wrong + margin > 0)[:, None]
    towards = [
        active * (q - c[place]) / np.where(distance > 0, distance, 1.0)[:, None]
        for place, distance in ((np.asarray(labels), own), (nearest, wrong))
    ]
    by_prototypes = np.zeros_like(c)
    np.add.at(by_prototypes, labels, -towards[0])
    np.add.at(by_prototypes, nearest, towards[1])
    return towards[0] - towards[1], by_prototypes


def _checked(
    x: Points, y: Labels, k: int, n_neighbors: int | None, reference: np.ndarray | None,
    reference_labels: np.ndarray | None, drop_self: bool | None,
) -> tuple[np.ndarray, np.ndarray, int, int]:  # fmt: skip
    """Distances to candidates (infinite to itself), whether labels are equal, and both numbers of neighbours."""
    points = finite_array("x", x, 2)
    labels = class_labels("y", y, length=len(points))
    if (reference is None) != (reference_labels is None):
        raise ValueError("reference and reference_labels must be given together")
    candidates, theirs, where = points, labels, "x"
    if reference is not None:
        candidates, where = finite_array("reference", reference, 2), "reference"
        theirs = class_labels("reference_labels", reference_labels, length=len(candidates))
        if candidates.shape[1] != points.shape[1]:
            raise ValueError(f"reference must have {points.shape[1]} columns as x, got shape {candidates.shape}")
    drop = reference is None if drop_self is None else drop_self
    if drop and len(candidates) < len(points):
        raise ValueError(
            f"reference must start with the {len(points)} points where drop_self is set, got {len(candidates)} rows"
        )
    available = len(candidates) - drop
    if available < 2:
        raise ValueError(f"{where} must give every point at least 2 neighbours, got shape {candidates.shape}")
    _check_classes("y" if reference is None else "reference_labels", theirs)
    k = min(whole_number("k", k, 1), available - 1)
    inspected = k + 1 if n_neighbors is None else min(whole_number("n_neighbors", n_neighbors, 1), available)
    if inspected < k:
        raise ValueError(f"n_neighbors must be at least k = {k}, got {n_neighbors}")
    distances = cdist(points, candidates)
    if drop:
        np.fill_diagonal(distances, np.inf)
    return distances, labels[:, None] == theirs, k, inspected


def _check_classes(name: str, labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} must hold at least 2 classes, got only {labels[0]}")


def _nearest(distances: np.ndarray, same: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(distances, axis=-1, kind="stable")[..., :count]
    return np.take_along_axis(distances, order, -1), np.take_along_axis(
        np.broadcast_to(same, distances.shape), order, -1
    )


def _parts(distances: np.ndarray, same: np.ndarray, k: int, inspected: int) -> tuple[Values, Values, Values, Values]:
    """Score, lambda_same, lambda_diff and gamma from distances (..., points, candidates)."""
    seen, alike = _nearest(distances, same, inspected)
    stranger = np.where(alike, np.inf, seen).min(-1, keepdims=True)
    near, alike = seen[..., :k], alike[..., :k]
    scale = np.maximum(stranger, near[..., -1:])
    relative = near / np.where(scale > 0, scale, 1.0)
    mean_same, none_same = _mean_of_means(relative, alike)
    farthest = np.where(alike, 0.0, near).max((-2, -1), keepdims=True)
    mean_other, none_other = _mean_of_means(near / np.where(farthest > 0, farthest, 1.0), ~alike)
    lambda_same = np.where(none_same, 0.0, 1 - mean_same)
    lambda_diff = np.where(none_other, 1.0, mean_other)
    gamma = alike.mean((-2, -1))
    return ((lambda_same + lambda_diff) / 2 + gamma) / 2, lambda_same, lambda_diff, gamma


def _mean_of_means(values: np.ndarray, chosen: np.ndarray) -> tuple[Values, np.ndarray]:
    """Mean over points of the mean over their chosen neighbours, of points that have any; and whether none has."""
    counts = chosen.sum(-1)
    means = np.where(chosen, values, 0.0).sum(-1) / np.maximum(counts, 1)
    points = (counts > 0).sum(-1)
    return means.sum(-1) / np.maximum(points, 1), np.asarray(points == 0)


def _to_prototypes(
    queries: np.ndarray, labels: np.ndarray, prototypes: np.ndarray, margin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the own prototype, to the nearest wrong one, and which that is."""
    q, c = finite_array("queries", queries, 2), finite_array("prototypes", prototypes, 2)
    positive("margin", margin)
    if len(c) < 2 or c.shape[1] != q.shape[1]:
        raise ValueError(f"prototypes must be at least 2 rows of {q.shape[1]} columns, got shape {c.shape}")
    own_label = class_labels("labels", labels, classes=len(c), length=len(q))
    distances = cdist(q, c)
    rows = np.arange(len(q))
    own = distances[rows, own_label]
    distances[rows, own_label] = np.inf
    nearest = distances.argmin(1)
    return own, distances[rows, nearest], nearest


# Two classes of three points in the plane, two scored neighbours of three: the smallest case with every part.
_FUZZ_LABELS = np.array([0, 0, 0, 1, 1, 1])
_FUZZ_SAME = _FUZZ_LABELS[:, None] == _FUZZ_LABELS
_FUZZ_K, _FUZZ_INSPECTED = 2, 3


def _pairwise(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    distances[:, np.arange(6), np.arange(6)] = np.inf
    return distances


def _fuzz_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Two clouds of three points, from far apart to on top of each other."""
    apart = np.exp(rng.uniform(-2, 3, (count, 1, 1))) * np.eye(2)[_FUZZ_LABELS]
    return {"points": rng.standard_normal((count, 6, 2)) + apart}


def _fuzz_score(points: np.ndarray, k: int = _FUZZ_K) -> np.ndarray:
    return np.asarray(_parts(_pairwise(points), _FUZZ_SAME, k, max(k, _FUZZ_INSPECTED))[0])


def _fuzz_floor(points: np.ndarray) -> np.ndarray:
    distances = _pairwise(points)
    finite = np.where(np.isfinite(distances), distances, 0.0)
    diameter = np.where(_FUZZ_SAME, finite, 0.0).max((1, 2))
    separation = np.where(_FUZZ_SAME, np.inf, distances).min((1, 2))
    return np.where(diameter < separation, 1 - diameter / (4 * separation), 0.0)


def _fuzz_purity(points: np.ndarray) -> np.ndarray:
    return np.asarray(_parts(_pairwise(points), _FUZZ_SAME, _FUZZ_K, _FUZZ_INSPECTED)[3])


def _bounds() -> Iterator[Bound]:
    yield Bound("the score is at most 1", "derived", _fuzz_score, lambda points: np.ones(len(points)), _fuzz_sampler)
    yield Bound(
        "the score is at least half of the purity", "derived", lambda points: _fuzz_purity(points) / 2, _fuzz_score,
        _fuzz_sampler,
    )  # fmt: skip
    yield Bound(
        "the score is at most half of 1 + purity", "derived", _fuzz_score,
        lambda points: (1 + _fuzz_purity(points)) / 2, _fuzz_sampler,
    )  # fmt: skip
    yield Bound(
        "separated classes score at least 1 − diameter/(4 separation)", "derived", _fuzz_floor, _fuzz_score,
        _fuzz_sampler,
    )  # fmt: skip
    yield Bound(
        "with k beyond the class the score is at most (1 + mean min(k, n − 1)/k)/2", "derived",
        lambda points: _fuzz_score(points, 4), lambda points: np.full(len(points), icnn_ceiling(_FUZZ_LABELS, 4)),
        _fuzz_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
