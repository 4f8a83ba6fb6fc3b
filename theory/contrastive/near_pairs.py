"""Pairs of unit vectors that are near each other, found block by block.

Most questions about a retrieval threshold concern near pairs only: a tenth of all of them, say. Cosines are computed a
block of rows at a time and only pairs within the distance asked for are kept, so that n²/2 pairs never exist at once.

    for pairs in near_pairs(unit_vectors(embeddings), limit=0.8): ...
    pairs, distances = nearest_pairs(unit_vectors(embeddings), labels, ranks=np.array([100, 1000]))

Distances are Euclidean, ``sqrt(2 − 2 cosine)``: from 0 to 2, and of an absolute accuracy of 1e-8 where they are near 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from theory.validation import class_labels, finite_array, in_range

__all__ = ["NearPairs", "near_pairs", "nearest_pairs", "unit_vectors"]

Vectors = Float[np.ndarray, "items dim"]

_ROWS = 128
_SAMPLED_ROWS = 96


@dataclass(frozen=True)
class NearPairs:
    """Unordered pairs of items: their distances and the two items of each."""

    distances: Float[np.ndarray, " pairs"]
    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]


def unit_vectors(z: Vectors) -> Vectors:
    """Rows divided by their norm, in float64; a zero row stays zero (its distance to everything is sqrt 2).

    Raises ``ValueError`` for an array that is empty, not two-dimensional or not finite.

    >>> unit_vectors(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    checked = finite_array("z", z, 2)
    # Dividing by the largest entry first keeps squares of huge and tiny rows in range.
    largest = np.abs(checked).max(1, keepdims=True)
    scaled = np.divide(checked, largest, out=np.zeros_like(checked), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, norms, out=np.zeros_like(checked), where=norms > 0)


def near_pairs(units: Vectors, limit: float) -> Iterator[NearPairs]:
    """All unordered pairs of rows at most ``limit`` apart, in blocks; ``limit = 2`` gives every pair.

    ``units`` have norm 1 (or 0). Raises ``ValueError`` for an array that is empty, not two-dimensional or not finite,
    and for a limit outside [0, 2].

    >>> [pairs.distances.round(4).tolist() for pairs in near_pairs(np.eye(3), limit=2.0)]
    [[1.4142, 1.4142, 1.4142]]
    """
    checked, reach = finite_array("units", units, 2), in_range("limit", limit, 0.0, 2.0)
    return (_selected(pairs, pairs.distances <= reach) for pairs in _blocks(checked, reach))


def nearest_pairs(
    units: Vectors, labels: Int[np.ndarray, " items"], ranks: Int[np.ndarray, " ranks"]
) -> tuple[NearPairs, Float[np.ndarray, " ranks"]]:
    """The distances of the ``ranks``-th nearest pairs of different classes, and all pairs within the last of them.

    Ranks count from 1. Pairs of one class within that distance are among those returned. Raises ``ValueError``
    for units and labels that do not fit, and for ranks that are not ascending within 1 … pairs of different classes.

    >>> pairs, distances = nearest_pairs(np.eye(3), np.array([0, 0, 1]), np.array([1]))
    >>> distances.round(4).tolist(), len(pairs.distances)
    ([1.4142], 3)
    """
    checked = finite_array("units", units, 2)
    classes = class_labels("labels", labels, length=len(checked))
    sizes = np.unique(classes, return_counts=True)[1].astype(np.int64)
    negatives = int((len(classes) ** 2 - (sizes**2).sum()) // 2)
    places = class_labels("ranks", ranks) - 1
    if places[0] < 0 or places[-1] >= negatives or (np.diff(places) < 0).any():
        raise ValueError(f"ranks must ascend within the {negatives} pairs that labels tell apart, got {ranks!r:.60}")
    reach = _expected_distance(checked, classes, (places[-1] + 1) / negatives)
    while True:
        blocks = list(_blocks(checked, reach))
        pairs = _joined(blocks)
        apart = pairs.distances[classes[pairs.first] != classes[pairs.second]]
        if len(apart) > places[-1]:
            break
        reach = 2.0  # the sample was misleading
    distances = np.partition(apart, places)[places]
    return _selected(pairs, pairs.distances <= distances[-1]), distances


def _expected_distance(units: np.ndarray, classes: np.ndarray, share: float) -> float:
    """A distance that most likely reaches a little more than this share of the pairs of different classes."""
    if len(units) <= 4 * _SAMPLED_ROWS:
        return 2.0
    rows = np.linspace(0, len(units) - 1, _SAMPLED_ROWS).astype(np.int64)
    cosines = (units[rows] @ units.T)[classes[rows][:, None] != classes]
    kept = min(len(cosines) - 1, int(1.2 * share * len(cosines)) + 10)
    cosine = np.partition(cosines, len(cosines) - 1 - kept)[len(cosines) - 1 - kept]
    return float(np.sqrt(np.clip(2 - 2 * cosine, 0, 4)))


def _blocks(units: np.ndarray, limit: float) -> Iterator[NearPairs]:
    """Blocks of pairs with all that are within the limit, and a few beyond: distances decide, not cosines."""
    least = -np.inf if limit >= 2 else 1 - limit**2 / 2 - 1e-12
    for start in range(0, len(units), _ROWS):
        cosines = units[start : start + _ROWS] @ units[start:].T
        rows, columns = cosines.shape
        cosines[np.tri(rows, columns, dtype=bool)] = np.nan  # compares as false
        flat = np.flatnonzero(cosines >= least)
        first, second = np.divmod(flat, columns)
        pairs = NearPairs(_distance(cosines.reshape(-1)[flat]), first + start, second + start)
        yield pairs


def _distance(cosines: np.ndarray) -> np.ndarray:
    squared = 2 - 2 * cosines
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


def _joined(blocks: list[NearPairs]) -> NearPairs:
    return NearPairs(*(np.concatenate([getattr(b, name) for b in blocks]) for name in ("distances", "first", "second")))


def _selected(pairs: NearPairs, mask: np.ndarray) -> NearPairs:
    return NearPairs(pairs.distances[mask], pairs.first[mask], pairs.second[mask])
