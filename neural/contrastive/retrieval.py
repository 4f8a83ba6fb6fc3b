"""Retrieval among unseen classes: every item asks for the others of its class, and the ranking by cosine is scored.

Each item is a query in turn and never answers itself. Queries without another item of their class have nothing to find
and do not count. All functions take representations of several models at once along leading axes, visit ``chunk``
queries at a time (memory O(chunk · items) per model; all at once if ``None``) and raise ``ValueError`` for features
that are not floating-point, have no items or (on CPU) are not finite, labels of another number or negative, whole
numbers out of range and labels without two of a kind.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["mean_average_precision_at_r", "r_precision", "recall_at_k"]

Features = Float[Tensor, "*stack items dim"]
Labels = Int[Tensor, " items"]


def recall_at_k(features: Features, labels: Labels, k: int = 1, *, chunk: int | None = None) -> Float[Tensor, "*stack"]:
    """Share of queries with one of their class among the ``k`` nearest others.

    The field's "recall@k" (Jégou et al., 2011; Song et al., 2016); at ``k = 1`` also precision at 1. ``k`` may exceed
    the number of other items.

    >>> z = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
    >>> recall_at_k(z, torch.tensor([0, 0, 1, 1]), 1), recall_at_k(z, torch.tensor([0, 0, 1, 1]), 2)
    (tensor(0.7500), tensor(0.7500))
    """
    whole_number("k", k, 1)
    others = _check(features, labels, chunk)
    found = [matches.any(-1) for matches, _ in _ranked(features, labels, min(k, len(labels) - 1), chunk)]
    return _mean_over_queries(torch.cat(found, -1).to(_accumulator(features)), others)


def r_precision(features: Features, labels: Labels, *, chunk: int | None = None) -> Float[Tensor, "*stack"]:
    """Share of the ``R`` nearest others that are of the query's class, where ``R`` are all that there are of it.

    Averaged over queries. Source: Musgrave, Belongie and Lim (2020).
    """
    others = _check(features, labels, chunk)
    shares = []
    for matches, rows in _ranked(features, labels, int(others.max()), chunk):
        asked = torch.arange(matches.shape[-1], device=matches.device) < others[rows, None]
        shares.append((matches & asked).sum(-1).to(_accumulator(features)) / others[rows].clamp(min=1))
    return _mean_over_queries(torch.cat(shares, -1), others)


def mean_average_precision_at_r(
    features: Features, labels: Labels, *, chunk: int | None = None
) -> Float[Tensor, "*stack"]:
    """MAP@R: mean over queries of

        1/R · sum over ranks i ≤ R of [i-th is of the query's class] · (share of the first i that are),

    with ``R`` others of the query's class. Unlike ``r_precision`` it rewards early hits; at most ``r_precision``.
    Source: Musgrave, Belongie and Lim (2020).
    """
    others = _check(features, labels, chunk)
    precisions = []
    for matches, rows in _ranked(features, labels, int(others.max()), chunk):
        ranks = torch.arange(1, matches.shape[-1] + 1, device=matches.device)
        hits = (matches & (ranks <= others[rows, None])).to(_accumulator(features))
        precisions.append((hits * hits.cumsum(-1) / ranks).sum(-1) / others[rows].clamp(min=1))
    return _mean_over_queries(torch.cat(precisions, -1), others)


def _ranked(
    features: Tensor, labels: Tensor, depth: int, chunk: int | None
) -> Iterator[tuple[Bool[Tensor, "*stack rows depth"], slice]]:
    """Whether the nearest others of some queries share their class, nearest first, and which queries these are."""
    unit = F.normalize(features, dim=-1)
    items = features.shape[-2]
    for start in range(0, items, chunk or items):
        rows = slice(start, start + (chunk or items))
        cosines = unit[..., rows, :] @ unit.mT
        cosines.diagonal(start, -2, -1).fill_(-torch.inf)
        nearest = cosines.topk(depth, dim=-1).indices
        yield labels[nearest] == labels[rows, None], rows


def _mean_over_queries(values: Tensor, others: Tensor) -> Tensor:
    return values[..., others > 0].mean(-1)


def _accumulator(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _check(features: Tensor, labels: Tensor, chunk: int | None) -> Int[Tensor, " items"]:
    """Number of other items of each item's class, after the checks."""
    floating("features", features)
    finite_contents("features", features)
    if features.ndim < 2:
        raise ValueError(f"features must be (…, items, dim), got shape {tuple(features.shape)}")
    class_indices("labels", labels, features.shape[-2])
    if chunk is not None:
        whole_number("chunk", chunk, 1)
    _, members, sizes = labels.unique(return_inverse=True, return_counts=True)
    others = sizes[members] - 1
    if not bool((others > 0).any()):
        raise ValueError("labels must have two items of at least one class, got all different")
    return others
