"""The contrastive loss by temperature, over all negatives or the hardest, and its simple counterpart.

For an anchor with a positive at cosine s⁺ and negatives at s_j, of which the k most similar are kept (all by default),

    contrastive   log(1 + sum_j exp((s_j − s⁺)/temperature))
    simple        −s⁺ + weight · mean_j s_j

The first pushes negative j away in proportion to ``relative_penalties``, softmax_j(s/temperature): a small temperature
pushes the nearest alone, whatever their class, a large one all alike. The second is its limit for large temperatures.
Keeping the hardest negatives concentrates the push at any temperature; a share below that of the anchor's own
class among the negatives leaves nothing but its classmates to be pushed.

    loss = HardContrastiveLoss(temperature=1.0, hard_fraction=0.5)(projections_of_view_1, projections_of_view_2)

Functions of ``sim_pos, sim_neg`` take cosines as they come, from a batch or a memory; those of two views take a
batch's embeddings: every anchor has the 2(N − 1) embeddings of other samples for negatives. ``uniformity`` and
``tolerance`` measure what the temperature trades.

Source: Wang and Liu (2021), *Understanding the Behaviour of Contrastive Loss*.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.contrastive.hard_negatives import hard_log_mass, hard_mean
from neural.contrastive.similarity import positive_similarity, unit_rows
from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    in_range,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "HardContrastiveLoss",
    "HardSimpleLoss",
    "contrastive_loss",
    "hard_contrastive_loss",
    "hard_simple_loss",
    "penalty_entropy",
    "relative_penalties",
    "simple_contrastive_loss",
    "tolerance",
    "uniformity",
]

Positives = Float[Tensor, " batch"]
Negatives = Float[Tensor, "batch negatives"]
Embeddings = Float[Tensor, "batch dim"]


def contrastive_loss(
    sim_pos: Positives,
    sim_neg: Negatives,
    temperature: float,
    hard_fraction: float | None = None,
    top_k: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``log(1 + sum_j exp((s_j − s⁺)/temperature))`` per anchor, from its cosines.

    Args:
        sim_pos, sim_neg: cosine of every anchor with its positive and with each of its negatives.
        temperature: divides the cosines.
        hard_fraction: keep the ``max(1, round(hard_fraction * negatives))`` most similar negatives of an anchor.
        top_k: keep that many instead.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for shape (batch,).

    Which of several equal negatives is kept changes no value. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that do not fit, no anchors or no negatives, a ``temperature`` not above 0, a
    ``hard_fraction`` outside (0, 1], a ``top_k`` outside 1 … negatives, both of them, an unknown reduction, or
    (on CPU) elements that are not finite.

    >>> round(contrastive_loss(torch.tensor([1.0]), torch.tensor([[1.0, 0.0]]), temperature=1.0).item(), 4)
    0.862
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    positive("temperature", temperature)
    kept = _hardest(s_negative, _number_kept(s_negative.shape[1], hard_fraction, top_k))
    losses = torch.logsumexp(kept / temperature, dim=1) - s_positive / temperature
    # softplus(x) = −logsigmoid(−x); F.softplus drops the exponential above 20, an error of 2e-9
    return reduce(-F.logsigmoid(-losses), reduction)


def simple_contrastive_loss(
    sim_pos: Positives,
    sim_neg: Negatives,
    weight: float = 1.0,
    hard_fraction: float | None = None,
    top_k: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``−s⁺ + weight · mean_j s_j`` per anchor, from its cosines: all kept negatives are pushed alike.

    Arguments and errors as in ``contrastive_loss``; also a ``weight`` not above 0.

    >>> simple_contrastive_loss(torch.tensor([1.0]), torch.tensor([[0.5, 0.0]])).item()
    -0.75
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    positive("weight", weight)
    kept = _hardest(s_negative, _number_kept(s_negative.shape[1], hard_fraction, top_k))
    return reduce(weight * kept.mean(1) - s_positive, reduction)


def relative_penalties(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None = None, top_k: int | None = None
) -> Negatives:
    """``softmax_j(s/temperature)``, the share of an anchor's repulsion that each negative gets; 0 if it is left out.

    Rows sum to 1. Of equal negatives at the edge only as many as fit are kept. Errors as in ``contrastive_loss``.

    >>> relative_penalties(torch.tensor([[1.0, 0.0]]), temperature=0.5).numpy().round(4).tolist()
    [[0.8808000087738037, 0.11919999867677689]]
    """
    return torch.softmax(_scaled(sim_neg, temperature, hard_fraction, top_k), dim=1)


def penalty_entropy(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None = None, top_k: int | None = None
) -> Positives:
    """Entropy in nats of every anchor's relative penalties; it does not fall as the temperature grows.

    Errors as in ``contrastive_loss``.
    """
    shares = torch.softmax(_scaled(sim_neg, temperature, hard_fraction, top_k), dim=1)
    return torch.special.entr(shares).sum(1)


def hard_contrastive_loss(
    z1: Embeddings,
    z2: Embeddings,
    temperature: float = 0.1,
    hard_fraction: float | None = None,
    top_k: int | None = None,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``contrastive_loss`` of both views of a batch, each anchor against the other samples' embeddings.

    Args:
        z1, z2: embeddings of the two views, row i of both from sample i; rows are normalised.
        temperature: divides the cosines.
        hard_fraction, top_k: as in ``contrastive_loss``, of an anchor's 2(N − 1) negatives. All by default: InfoNCE.
        chunk_size: rows of the (2N, 2N) similarities held at once; memory is then linear in N.
        reduction: ``"mean"`` over the 2N anchors, ``"sum"``, or ``"none"`` for shape (2, N).

    A zero row has cosine 0 with everything and gradient 0. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that differ or are not (N, d), N < 2 (no negatives), a ``temperature`` or
    ``chunk_size`` not above 0, ``hard_fraction`` and ``top_k`` as in ``contrastive_loss``, an unknown reduction, or
    (on CPU) elements that are not finite.

    >>> z = torch.eye(2)
    >>> round(hard_contrastive_loss(z, z, temperature=1.0).item(), 4)
    0.5514
    """
    u1, u2, kept = _checked_views(z1, z2, hard_fraction, top_k, chunk_size)
    positive("temperature", temperature)
    mass = hard_log_mass(u1, u2, temperature, kept, chunk_size)
    return reduce(-F.logsigmoid(positive_similarity(u1, u2, temperature) - mass), reduction)


def hard_simple_loss(
    z1: Embeddings,
    z2: Embeddings,
    weight: float = 1.0,
    hard_fraction: float | None = None,
    top_k: int | None = None,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``simple_contrastive_loss`` of both views of a batch; over all negatives its memory is linear in N anyway.

    Arguments and errors as in ``hard_contrastive_loss``; also a ``weight`` not above 0.

    >>> z = torch.eye(2)
    >>> hard_simple_loss(z, z).item()
    -1.0
    """
    u1, u2, kept = _checked_views(z1, z2, hard_fraction, top_k, chunk_size)
    positive("weight", weight)
    return reduce(weight * hard_mean(u1, u2, kept, chunk_size) - positive_similarity(u1, u2, 1.0), reduction)


class HardContrastiveLoss(nn.Module):
    """``hard_contrastive_loss`` with its parameters: call it with the embeddings of two views."""

    def __init__(
        self,
        temperature: float = 0.1,
        hard_fraction: float | None = None,
        top_k: int | None = None,
        *,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        positive("temperature", temperature)
        _check_parameters(hard_fraction, top_k, chunk_size, reduction)
        self.temperature, self.hard_fraction, self.top_k = temperature, hard_fraction, top_k
        self.chunk_size = chunk_size
        self.reduction: Reduction = reduction

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return hard_contrastive_loss(
            z1, z2, self.temperature, self.hard_fraction, self.top_k,
            chunk_size=self.chunk_size, reduction=self.reduction,
        )  # fmt: skip


class HardSimpleLoss(nn.Module):
    """``hard_simple_loss`` with its parameters: call it with the embeddings of two views."""

    def __init__(
        self,
        weight: float = 1.0,
        hard_fraction: float | None = None,
        top_k: int | None = None,
        *,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        positive("weight", weight)
        _check_parameters(hard_fraction, top_k, chunk_size, reduction)
        self.weight, self.hard_fraction, self.top_k = weight, hard_fraction, top_k
        self.chunk_size = chunk_size
        self.reduction: Reduction = reduction

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return hard_simple_loss(
            z1, z2, self.weight, self.hard_fraction, self.top_k, chunk_size=self.chunk_size, reduction=self.reduction
        )


def uniformity(z: Float[Tensor, "*stack samples dim"], t: float = 2.0) -> Float[Tensor, "*stack"]:
    """``log mean exp(−t |u_i − u_j|²)`` over pairs i ≠ j of the rows over their norms; lower is more uniform.

    A zero row stays zero. Raises ``ValueError`` for fewer than two samples, ``t`` not above 0, or (on CPU) elements
    that are not finite. Source: Wang and Isola (2020), as used by Wang and Liu (2021).

    >>> round(uniformity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).item(), 4)
    -8.0
    """
    _check_samples(z)
    positive("t", t)
    u = unit_rows(z)
    squares = (u * u).sum(-1)
    exponents = -t * (squares[..., :, None] + squares[..., None, :] - 2 * u @ u.mT)
    exponents.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    pairs = torch.tensor(float(z.shape[-2] * (z.shape[-2] - 1)), dtype=u.dtype)
    return exponents.flatten(-2).logsumexp(-1) - pairs.log().item()


def tolerance(z: Float[Tensor, "*stack samples dim"], labels: Int[Tensor, " samples"]) -> Float[Tensor, "*stack"]:
    """Mean cosine over pairs of different samples of one class, in memory linear in the samples.

    The sum over a class's ordered pairs is ``|sum u|² − sum |u|²``. A zero row has cosine 0 with everything. Raises
    ``ValueError`` for fewer than two samples, labels that are not as many whole numbers of at least 0, or (on CPU)
    elements that are not finite and classes of one sample only; on other devices the latter give NaN.
    Source: Wang and Liu (2021).

    >>> tolerance(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])).item()
    1.0
    """
    _check_samples(z)
    class_indices("labels", labels, z.shape[-2])
    u = unit_rows(z)
    classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
    if labels.device.type == "cpu" and len(classes) == len(labels):
        raise ValueError(f"labels must have two samples of one class, got {len(classes)} classes of one")
    sums = u.new_zeros(*u.shape[:-2], len(classes), u.shape[-1]).index_add(-2, members, u)
    return (sums.square().sum((-2, -1)) - u.square().sum((-2, -1))) / (counts * (counts - 1)).sum()


def _full(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _similarities(sim_pos: Tensor, sim_neg: Tensor) -> tuple[Tensor, Tensor]:
    floating("sim_pos", sim_pos, 1)
    s_negative = _negatives(sim_neg)
    if len(sim_pos) != len(s_negative):
        raise ValueError(f"sim_pos and sim_neg must have as many anchors, got {len(sim_pos)} and {len(s_negative)}")
    finite_contents("sim_pos", sim_pos)
    return _full(sim_pos), s_negative


def _negatives(sim_neg: Tensor) -> Tensor:
    if isinstance(sim_neg, Tensor) and sim_neg.ndim == 2 and len(sim_neg) and sim_neg.shape[1] == 0:
        raise ValueError(f"sim_neg must have at least one negative per anchor, got shape {tuple(sim_neg.shape)}")
    floating("sim_neg", sim_neg, 2)
    finite_contents("sim_neg", sim_neg)
    return _full(sim_neg)


def _check_parameters(
    hard_fraction: float | None, top_k: int | None, chunk_size: int | None, reduction: Reduction
) -> None:
    one_of("reduction", reduction, ("mean", "sum", "none"))
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
    if hard_fraction is not None and top_k is not None:
        raise ValueError(f"hard_fraction and top_k exclude each other, got {hard_fraction!r} and {top_k!r}")
    if hard_fraction is not None:
        positive("hard_fraction", hard_fraction)
        in_range("hard_fraction", hard_fraction, 0, 1)
    if top_k is not None:
        whole_number("top_k", top_k, 1)


def _number_kept(negatives: int, hard_fraction: float | None, top_k: int | None) -> int:
    _check_parameters(hard_fraction, top_k, None, "mean")
    if hard_fraction is not None:
        return max(1, round(hard_fraction * negatives))
    if top_k is not None and top_k > negatives:
        raise ValueError(f"top_k must be at most the {negatives} negatives, got {top_k}")
    return negatives if top_k is None else top_k


def _hardest(s_negative: Tensor, kept: int) -> Tensor:
    return s_negative if kept == s_negative.shape[-1] else s_negative.topk(kept, dim=-1, sorted=False).values


def _scaled(sim_neg: Tensor, temperature: float, hard_fraction: float | None, top_k: int | None) -> Tensor:
    """Cosines over the temperature, −inf where a negative is left out."""
    s_negative = _negatives(sim_neg)
    positive("temperature", temperature)
    kept = _number_kept(s_negative.shape[1], hard_fraction, top_k)
    scaled = s_negative / temperature
    if kept == s_negative.shape[1]:
        return scaled
    values, places = scaled.topk(kept, dim=1, sorted=False)
    return torch.full_like(scaled, -torch.inf).scatter(1, places, values)


def _checked_views(
    z1: Tensor, z2: Tensor, hard_fraction: float | None, top_k: int | None, chunk_size: int | None
) -> tuple[Tensor, Tensor, int]:
    floating("z1", z1)
    floating("z2", z2)
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise ValueError(f"z1 and z2 must have one shape (batch, dim), got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if len(z1) < 2:
        raise ValueError(f"z1 and z2 must have at least 2 rows (one sample has no negatives), got {len(z1)}")
    _check_parameters(hard_fraction, top_k, chunk_size, "mean")
    finite_contents("z1", z1)
    finite_contents("z2", z2)
    return unit_rows(z1), unit_rows(z2), _number_kept(2 * len(z1) - 2, hard_fraction, top_k)


def _check_samples(z: Tensor) -> None:
    floating("z", z)
    if z.ndim < 2 or z.shape[-2] < 2:
        raise ValueError(f"z must have shape (..., samples >= 2, dim), got {tuple(z.shape)}")
    finite_contents("z", z)
