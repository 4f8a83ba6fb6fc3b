"""Losses that ask for compact, separated classes: proto-triplet, ICNN, and the batch-hard triplet beside them.

    proto-triplet   mean_q max(0, d(q, c_y) − min_{w != y} d(q, c_w) + margin)       c_w: prototype of class w
    ICNN            −log score,   score = ((lambda_same + lambda_diff)/2 + gamma)/2 in [0, 1]

The score looks at each point's nearest neighbours: ``lambda_same`` is 1 minus the mean distance to those of the same
class, relative to the nearest *stranger* (neighbour of another class); ``lambda_diff`` the mean distance of strangers
relative to the farthest; ``gamma`` the purity. Which points are neighbours is held constant, so that gamma has no
gradient, and neither has a loss whose ``n_neighbors`` reach no stranger: look at as many as a class has points.

    loss = icnn_loss(torch.cat([support, query]), labels, n_neighbors=shot + queries)
    loss = proto_triplet_loss(query, query_labels, prototypes(support, support_labels))

Leading axes stack independent problems (episodes, models). Distances are Euclidean, without the usual small constant;
at distance 0 the gradient is 0. Half precision is computed in float32: under bf16 autocast the losses are those of
float32 to 1e-5. ``theory.contrastive.class_separability`` has the same score in numpy, and its bounds.

Source: Mendez-Ruiz et al. (2023), *SuSana Distancia is all you need*; Hermans, Beyer and Leibe (2017), *In Defense of
the Triplet Loss*, for batch-hard mining.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "BatchHardTripletLoss",
    "ICNNLoss",
    "ICNNParts",
    "ProtoTripletLoss",
    "batch_hard_triplet_loss",
    "icnn_loss",
    "icnn_score",
    "proto_triplet_loss",
]

Margin = float | Float[Tensor, "..."]
_LEAST_SCORE = 1e-6


def proto_triplet_loss(
    queries: Float[Tensor, "*stack batch dim"],
    labels: Int[Tensor, " batch"],
    prototypes: Float[Tensor, "*stack ways dim"],
    margin: Margin = 0.5,
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """Triplet loss whose positive is a query's own prototype and whose negative is the nearest wrong one.

    0 exactly where a query is ``margin`` closer to its own prototype than to any other. The gradient reaches queries
    and prototypes. ``margin`` is a number or one per stacked problem; ``reduction="none"`` gives (*stack, batch).

    Raises ``ValueError`` for fewer than two prototypes, shapes that do not fit, a margin not above 0, an unknown word,
    or (on CPU) labels without a prototype and elements that are not finite.

    >>> loss = proto_triplet_loss(torch.tensor([[0.9]]), torch.tensor([0]), torch.tensor([[0.0], [2.0]]))
    >>> round(loss.item(), 4)
    0.3
    """
    _check_points("queries", queries)
    _check_points("prototypes", prototypes)
    if prototypes.shape[:-2] != queries.shape[:-2] or prototypes.shape[-1] != queries.shape[-1]:
        raise ValueError(
            "queries and prototypes must have the same leading axes and dimensions, "
            f"got {tuple(queries.shape)} and {tuple(prototypes.shape)}"
        )
    ways = prototypes.shape[-2]
    if ways < 2:
        raise ValueError(f"prototypes must be of at least 2 classes, got shape {tuple(prototypes.shape)}")
    class_indices("labels", labels, queries.shape[-2], ways)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    margin = _per_point(margin, queries.shape[:-2])
    distances = _distances(queries, prototypes)
    is_own = torch.arange(ways, device=labels.device) == labels[:, None]
    own = torch.where(is_own, distances, 0.0).sum(-1)
    nearest_wrong = distances.masked_fill(is_own, torch.inf).min(-1).values
    return reduce((own - nearest_wrong + margin).relu(), reduction)


class ICNNParts(NamedTuple):
    """The score and what it is made of, one of each per stacked problem."""

    score: Float[Tensor, "*stack"]
    lambda_same: Float[Tensor, "*stack"]
    lambda_diff: Float[Tensor, "*stack"]
    gamma: Float[Tensor, "*stack"]


def icnn_score(
    x: Float[Tensor, "*stack samples dim"],
    y: Int[Tensor, " samples"],
    k: int = 4,
    n_neighbors: int | None = None,
    reference: Float[Tensor, "*stack candidates dim"] | None = None,
    reference_labels: Int[Tensor, " candidates"] | None = None,
    return_parts: bool = False,
    *,
    drop_self: bool | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, "..."] | ICNNParts:
    """Nearest-neighbour class purity and distance of each stacked set of points, in [0, 1]: 1 is perfect separation.

    Args:
        x, y: points, and labels that all stacked problems share.
        k: neighbours that are scored, at most one less than there are.
        n_neighbors: neighbours among which the nearest stranger is sought (default k + 1), at most all.
        reference, reference_labels: where neighbours come from, instead of the other points: support samples or
            prototypes, say.
        return_parts: return ``ICNNParts`` instead of the score.
        drop_self: point i is not its own neighbour; default: exactly where there is no reference. With a reference
            its first rows are then the points themselves.
        chunk_size: points compared with all candidates at once, and once more in the backward pass. The (samples,
            candidates) distances are then never whole; otherwise memory is quadratic, and linear in ``dim``.

    Equally near neighbours keep their order. Without strangers ``lambda_diff`` is 1, without same-class neighbours
    ``lambda_same`` is 0. Duplicates, of different classes too, have finite values and gradients.

    Raises ``ValueError`` for fewer than three points (or two of a reference), shapes that do not fit, ``k < 1``,
    ``n_neighbors < k``, one of ``reference`` and ``reference_labels`` alone, or (on CPU) fewer than two classes, labels
    below 0 and elements that are not finite. On CUDA a single class has the score 1.

    >>> corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> icnn_score(corners, torch.tensor([0, 0, 1, 1]), k=1).item()
    0.875
    """
    parts = _parts(x, y, k, n_neighbors, reference, reference_labels, drop_self, chunk_size)
    return parts if return_parts else parts.score


def icnn_loss(
    x: Float[Tensor, "*stack samples dim"],
    y: Int[Tensor, " samples"],
    k: int = 4,
    n_neighbors: int | None = None,
    reference: Float[Tensor, "*stack candidates dim"] | None = None,
    reference_labels: Int[Tensor, " candidates"] | None = None,
    *,
    drop_self: bool | None = None,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``−log`` of the ICNN score, at most 13.8: scores below 1e-6 count as 1e-6.

    The score belongs to a whole set, so that ``reduction`` runs over stacked sets. Arguments and errors as in
    ``icnn_score``.

    >>> corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> round(icnn_loss(corners, torch.tensor([0, 0, 1, 1]), k=1).item(), 4)
    0.1335
    """
    one_of("reduction", reduction, ("mean", "sum", "none"))
    score = _parts(x, y, k, n_neighbors, reference, reference_labels, drop_self, chunk_size).score
    return reduce(-score.clamp_min(_LEAST_SCORE).log(), reduction)


def batch_hard_triplet_loss(
    embeddings: Float[Tensor, "*stack samples dim"],
    labels: Int[Tensor, " samples"],
    margin: Margin = 0.5,
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``max(0, d(a, farthest of its class) − d(a, nearest of another) + margin)``: the plain loss to compare with.

    The mean is over anchors whose class has another sample; without any it is 0. ``reduction="none"`` gives
    (*stack, samples), 0 for the others. ``margin`` is a number or one per stacked problem.

    Raises ``ValueError`` for fewer than two samples, shapes that do not fit, a margin not above 0, an unknown word, or
    (on CPU) fewer than two classes, labels below 0 and elements that are not finite.

    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> round(batch_hard_triplet_loss(x, torch.tensor([0, 0, 1]), 1.5).item(), 4)
    0.25
    """
    _check_points("embeddings", embeddings)
    if embeddings.shape[-2] < 2:
        raise ValueError(f"embeddings must have at least 2 samples, got shape {tuple(embeddings.shape)}")
    _check_labels("labels", labels, embeddings.shape[-2])
    one_of("reduction", reduction, ("mean", "sum", "none"))
    margin = _per_point(margin, embeddings.shape[:-2])
    same = labels[:, None] == labels
    x = _as_computed(embeddings)
    # Only two distances per anchor have a gradient.
    with torch.no_grad():
        distances = _mutual_distances(x)
        positives = distances.masked_fill(~same, -torch.inf).argmax(-1)
        negatives = distances.masked_fill(same, torch.inf).argmin(-1)
    farthest, nearest = _distances_at(x, x, torch.stack([positives, negatives], dim=-1)).unbind(-1)
    has_positive = same.sum(-1) > 1
    losses = torch.where(has_positive, (farthest - nearest + margin).relu(), 0.0)
    if reduction != "mean":
        return reduce(losses, reduction)
    return (losses.sum(-1) / has_positive.sum().clamp_min(1)).mean()


class ProtoTripletLoss(nn.Module):
    """``proto_triplet_loss`` with its parameters: call it with queries, labels and prototypes."""

    def __init__(self, margin: float = 0.5, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        positive("margin", margin)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.margin = margin
        self.reduction: Reduction = reduction

    def forward(
        self,
        queries: Float[Tensor, "*stack batch dim"],
        labels: Int[Tensor, " batch"],
        prototypes: Float[Tensor, "*stack ways dim"],
    ) -> Float[Tensor, "..."]:
        return proto_triplet_loss(queries, labels, prototypes, self.margin, reduction=self.reduction)


class ICNNLoss(nn.Module):
    """``icnn_loss`` with its parameters: call it with points and labels, or with a reference as well."""

    def __init__(
        self,
        k: int = 4,
        n_neighbors: int | None = None,
        *,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_neighbours(k, n_neighbors)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        if chunk_size is not None:
            whole_number("chunk_size", chunk_size, 1)
        self.k, self.n_neighbors, self.chunk_size = k, n_neighbors, chunk_size
        self.reduction: Reduction = reduction

    def forward(
        self,
        x: Float[Tensor, "*stack samples dim"],
        y: Int[Tensor, " samples"],
        reference: Float[Tensor, "*stack candidates dim"] | None = None,
        reference_labels: Int[Tensor, " candidates"] | None = None,
    ) -> Float[Tensor, "..."]:
        return icnn_loss(
            x, y, self.k, self.n_neighbors, reference, reference_labels, chunk_size=self.chunk_size,
            reduction=self.reduction,
        )  # fmt: skip


class BatchHardTripletLoss(nn.Module):
    """``batch_hard_triplet_loss`` with its parameters: call it with embeddings and labels."""

    def __init__(self, margin: float = 0.5, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        positive("margin", margin)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.margin = margin
        self.reduction: Reduction = reduction

    def forward(
        self, embeddings: Float[Tensor, "*stack samples dim"], labels: Int[Tensor, " samples"]
    ) -> Float[Tensor, "..."]:
        return batch_hard_triplet_loss(embeddings, labels, self.margin, reduction=self.reduction)


class _Neighbours(NamedTuple):
    """Rows of the candidates: each point's nearest, and its nearest stranger if one was seen."""

    places: Int[Tensor, "*stack rows k+1"]
    alike: Bool[Tensor, "*stack rows k"]
    seen: Bool[Tensor, "*stack rows"]


def _parts(
    x: Tensor, y: Tensor, k: int, n_neighbors: int | None, reference: Tensor | None, reference_labels: Tensor | None,
    drop_self: bool | None, chunk_size: int | None,
) -> ICNNParts:  # fmt: skip
    drop, k, inspected = _check_score(x, y, k, n_neighbors, reference, reference_labels, drop_self)
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
    x = _as_computed(x)
    candidates = x if reference is None else _as_computed(reference).to(x.dtype)
    theirs = y if reference_labels is None else reference_labels
    samples = x.shape[-2]
    found, distances = [], []
    for start in range(0, samples, chunk_size or samples):
        part = slice(start, start + (chunk_size or samples))
        rows = _neighbours(x[..., part, :], y[part], candidates, theirs, k, inspected, start if drop else None)
        arguments = x[..., part, :], candidates, rows.places
        found.append(rows)
        distances.append(
            _distances_at(*arguments)
            if chunk_size is None
            else checkpoint(_distances_at, *arguments, use_reentrant=False, preserve_rng_state=False)
        )
    near, stranger = torch.cat(distances, dim=-2).split([k, 1], dim=-1)
    alike, seen = (torch.cat([getattr(rows, name) for rows in found], dim=x.ndim - 2) for name in ("alike", "seen"))
    return _scored(near, stranger, alike, seen[..., None])


def _scored(near: Tensor, stranger: Tensor, alike: Tensor, seen: Tensor) -> ICNNParts:
    scale = torch.maximum(stranger, near.amax(-1, keepdim=True))
    # Without a stranger in sight every neighbour is at relative distance 0; so it is among duplicates.
    known = seen & (scale > 0)
    relative = torch.where(known, near / torch.where(known, scale, 1.0), 0.0)
    mean_same, none_same = _mean_of_means(relative, alike)
    farthest = near.masked_fill(alike, 0.0).amax((-2, -1), keepdim=True)
    mean_other, none_other = _mean_of_means(near / torch.where(farthest > 0, farthest, 1.0), ~alike)
    lambda_same = torch.where(none_same, 0.0, 1 - mean_same)
    lambda_diff = torch.where(none_other, 1.0, mean_other)
    gamma = alike.to(near.dtype).mean((-2, -1))
    return ICNNParts(((lambda_same + lambda_diff) / 2 + gamma) / 2, lambda_same, lambda_diff, gamma)


def _mean_of_means(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over points of the mean over their chosen neighbours, of points that have any; and whether none has."""
    counts = chosen.sum(-1)
    means = torch.where(chosen, values, 0.0).sum(-1) / counts.clamp_min(1)
    points = (counts > 0).sum(-1)
    return means.sum(-1) / points.clamp_min(1), points == 0


@torch.no_grad()
def _neighbours(
    x: Tensor, y: Tensor, candidates: Tensor, theirs: Tensor, k: int, inspected: int, own: int | None
) -> _Neighbours:
    """The nearest candidates of each point; ``own`` is the first point's row among them, if they are to be left out."""
    distances = _distances(x, candidates)
    if own is not None:
        distances.diagonal(own, dim1=-2, dim2=-1).fill_(torch.inf)
    order = _nearest(distances, inspected)
    alike = theirs[order] == y[:, None]
    rank = torch.arange(inspected, device=order.device)
    first_stranger = rank.where(~alike, inspected - 1).amin(-1, keepdim=True)
    places = torch.cat([order[..., :k], order.gather(-1, first_stranger)], dim=-1)
    return _Neighbours(places, alike[..., :k], ~alike.all(-1))


def _nearest(distances: Tensor, count: int) -> Tensor:
    """Columns of the smallest distances in rising order, equal ones in the order of columns."""
    if distances.dtype != torch.float32:
        return distances.sort(dim=-1, stable=True).indices[..., :count]
    # Bits of floats of at least 0 are ordered as the floats are. With the column below them no two keys are equal, so
    # that the order does not depend on how the smallest are found, and finding a few is faster than sorting all.
    keys = (distances.view(torch.int32).long() << 32) + torch.arange(distances.shape[-1], device=distances.device)
    return keys.topk(count, dim=-1, largest=False).indices


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Through a matrix product, near duplicates would lose all digits of their distance.
    a, b = _as_computed(a), _as_computed(b)
    with torch.autocast(a.device.type, enabled=False):
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _mutual_distances(x: Tensor) -> Tensor:
    """``_distances(x, x)`` without gradient; of a single set every pair is computed once."""
    if x.ndim > 2:
        return _distances(x, x)
    above = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu_(1)
    with torch.autocast(x.device.type, enabled=False):
        half = x.new_zeros(above.shape).masked_scatter_(above, torch.pdist(x))
    return half + half.T


def _distances_at(x: Tensor, candidates: Tensor, places: Tensor) -> Tensor:
    """Distances from each point to the candidates at its places, (*stack, rows, places)."""
    size, dim = candidates.shape[-2:]
    problems = places.reshape(-1, *places.shape[-2:])
    offsets = size * torch.arange(len(problems), device=places.device)[:, None, None]
    chosen = candidates.reshape(-1, dim).index_select(0, (problems + offsets).flatten())
    return torch.linalg.vector_norm(x[..., None, :] - chosen.reshape(*places.shape, dim), dim=-1)


def _as_computed(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _per_point(margin: Margin, stack: torch.Size) -> Margin:
    if not isinstance(margin, Tensor):
        positive("margin", margin)
        return margin
    floating("margin", margin)
    if margin.ndim and margin.shape != stack:
        raise ValueError(f"margin must be a number or have shape {tuple(stack)}, got {tuple(margin.shape)}")
    finite_contents("margin", margin)
    if margin.device.type == "cpu" and margin.min() <= 0:
        raise ValueError(f"margin must be above 0, got {float(margin.min())}")
    return margin[..., None]


def _check_points(name: str, x: Tensor) -> None:
    floating(name, x)
    if x.ndim < 2:
        raise ValueError(f"{name} must have shape (..., rows, dim), got {tuple(x.shape)}")
    finite_contents(name, x)


def _check_labels(name: str, labels: Tensor, length: int) -> None:
    class_indices(name, labels, length)
    if labels.device.type == "cpu" and labels.min() == labels.max():
        raise ValueError(f"{name} must hold at least 2 classes, got only {int(labels[0])}")


def _check_neighbours(k: int, n_neighbors: int | None) -> None:
    whole_number("k", k, 1)
    if n_neighbors is not None:
        whole_number("n_neighbors", n_neighbors, 1)


def _check_score(
    x: Tensor, y: Tensor, k: int, n_neighbors: int | None, reference: Tensor | None, reference_labels: Tensor | None,
    drop_self: bool | None,
) -> tuple[bool, int, int]:  # fmt: skip
    """Whether points are left out of their own neighbours, and both numbers of neighbours, at most those there are."""
    _check_points("x", x)
    _check_neighbours(k, n_neighbors)
    if (reference is None) != (reference_labels is None):
        raise ValueError("reference and reference_labels must be given together")
    drop = reference is None if drop_self is None else drop_self
    if reference is None or reference_labels is None:
        _check_labels("y", y, x.shape[-2])
        rows, name = x.shape[-2], "x"
    else:
        class_indices("y", y, x.shape[-2])
        _check_points("reference", reference)
        if reference.shape[:-2] != x.shape[:-2] or reference.shape[-1] != x.shape[-1]:
            raise ValueError(
                "x and reference must have the same leading axes and dimensions, "
                f"got {tuple(x.shape)} and {tuple(reference.shape)}"
            )
        _check_labels("reference_labels", reference_labels, reference.shape[-2])
        rows, name = reference.shape[-2], "reference"
        if drop and rows < x.shape[-2]:
            raise ValueError(
                f"reference must start with the {x.shape[-2]} points where drop_self is set, got {rows} rows"
            )
    available = rows - drop
    if available < 2:
        raise ValueError(f"{name} must give every point at least 2 neighbours, got {rows} rows")
    k = min(k, available - 1)
    inspected = k + 1 if n_neighbors is None else min(n_neighbors, available)
    if inspected < k:
        raise ValueError(f"n_neighbors must be at least k = {k}, got {n_neighbors}")
    return drop, k, inspected
