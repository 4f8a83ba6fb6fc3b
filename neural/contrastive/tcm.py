"""Threshold-consistent margin loss (TCM): two absolute margins on the hard pairs of a batch, beside any metric loss.

With cosines s of all pairs of a batch, hard positives H⁺ = {s <= margin_pos} among pairs of one class and hard
negatives H⁻ = {s >= margin_neg} among pairs of two,

    TCM = weight_pos · mean over H⁺ of (margin_pos − s)  +  weight_neg · mean over H⁻ of (s − margin_neg).

An empty mean is 0. The means are over hard pairs, not over all: the push on the positives adds up to ``weight_pos``
and that on the negatives to ``weight_neg``, however few are hard. At 0, every threshold between the margins separates
all classes.

    loss = TCMLoss(lambda z, labels: supcon_loss(z, labels))(embeddings, labels)

Source: Zhang, Xu, Tang, Fang, Wu, Tighe and Xing (2024), *Threshold-Consistent Margin Loss for Open-World Deep
Metric Learning*.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural.contrastive.similarity import unit_rows
from neural.validation import (
    Reduction,
    at_least,
    class_indices,
    finite_contents,
    floating,
    in_range,
    one_of,
    whole_number,
)

__all__ = ["TCMLoss", "threshold_consistent_margin_loss"]

Embeddings = Float[Tensor, "*stack batch dim"]
References = Float[Tensor, "*stack references dim"]
PerProblem = float | Float[Tensor, "..."]
BaseLoss = Callable[[Tensor, Tensor], Tensor]


def threshold_consistent_margin_loss(
    z: Embeddings,
    labels: Int[Tensor, " batch"],
    margin_pos: PerProblem = 0.9,
    margin_neg: PerProblem = 0.5,
    weight_pos: PerProblem = 1.0,
    weight_neg: PerProblem = 1.0,
    reference: References | None = None,
    reference_labels: Int[Tensor, " references"] | None = None,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """TCM over the pairs of a batch, or of a batch with references (a memory, say).

    Args:
        z, labels: embeddings and their classes; leading axes stack problems that share the labels.
        margin_pos, margin_neg: cosines that positives should reach and negatives should not.
        weight_pos, weight_neg: weights of the two terms. These four may be tensors with one entry per stacked problem.
        reference, reference_labels: if given, pairs are those of a row of ``z`` with a row of ``reference``, all
            of them; a row of the batch must then not stand among the references. Else all pairs of different rows.
        chunk_size: rows of the cosines held at once; memory is then linear in the batch, first derivatives only.
        reduction: ``"mean"`` over hard pairs (the loss), ``"sum"`` over them, or ``"none"`` for the weighted penalty of
            every pair, (..., batch, references), which holds all pairs whatever ``chunk_size`` says.

    Without positives, negatives or pairs a term is 0 and has gradient 0; a pair at its margin counts as hard. A
    zero row has cosine 0 with everything and gradient 0. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that do not fit, margins outside [−1, 1] or not ``margin_neg < margin_pos``,
    negative weights, one of ``reference`` and ``reference_labels`` alone, a ``chunk_size`` below 1, an unknown
    reduction, or (on CPU) elements that are not finite and negative labels.

    >>> z = torch.tensor([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0]])
    >>> round(threshold_consistent_margin_loss(z, torch.tensor([0, 0, 1])).item(), 4)
    0.5
    """
    _check_embeddings(z, labels, reference, reference_labels)
    _check_parameters(margin_pos, margin_neg, weight_pos, weight_neg, chunk_size, reduction)
    margins = [_per_pair(margin, z) for margin in (margin_pos, margin_neg)]
    weights = [_per_pair(weight, z) for weight in (weight_pos, weight_neg)]
    u = unit_rows(z)
    others = None if reference is None else unit_rows(reference).to(u.dtype)
    other_labels = labels if reference_labels is None else reference_labels
    if chunk_size is not None and reduction != "none":
        return _ChunkedMargins.apply(u, others, labels, other_labels, margins, weights, chunk_size, reduction)  # type: ignore[no-any-return]
    # Mixed precision would round the cosines by more than many a margin is missed.
    with torch.autocast(u.device.type, enabled=False):
        cosines = u @ (u if others is None else others).mT
        low, high = _hard(cosines, _pairs(labels, other_labels, 0, others is None), margins)
        pulled = torch.where(low, margins[0] - cosines, 0.0)
        pushed = torch.where(high, cosines - margins[1], 0.0)
        if reduction == "none":
            return weights[0] * pulled + weights[1] * pushed
        terms = [
            weight * penalty.sum((-2, -1), True) for weight, penalty in zip(weights, (pulled, pushed), strict=True)
        ]
        counts = [hard.sum((-2, -1), keepdim=True).clamp(min=1) for hard in (low, high)]
        return _combined(terms, counts, reduction)


class TCMLoss(nn.Module):
    """A metric loss plus ``threshold_consistent_margin_loss``: call it with embeddings and labels.

    ``base_loss(z, labels)`` is any function or module that returns a loss (one per stacked problem); without it the
    module is TCM alone. References are for TCM only.
    """

    def __init__(
        self,
        base_loss: BaseLoss | None = None,
        margin_pos: float = 0.9,
        margin_neg: float = 0.5,
        weight_pos: float = 1.0,
        weight_neg: float = 1.0,
        *,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if base_loss is not None and not callable(base_loss):
            raise ValueError(f"base_loss must be None or a function of embeddings and labels, got {base_loss!r}")
        _check_parameters(margin_pos, margin_neg, weight_pos, weight_neg, chunk_size, reduction)
        one_of("reduction", reduction, ("mean", "sum") if base_loss is not None else ("mean", "sum", "none"))
        self.base_loss = base_loss
        self.margin_pos, self.margin_neg = margin_pos, margin_neg
        self.weight_pos, self.weight_neg = weight_pos, weight_neg
        self.chunk_size = chunk_size
        self.reduction: Reduction = reduction

    def forward(
        self,
        z: Embeddings,
        labels: Int[Tensor, " batch"],
        reference: References | None = None,
        reference_labels: Int[Tensor, " references"] | None = None,
    ) -> Float[Tensor, "..."]:
        margins = threshold_consistent_margin_loss(
            z, labels, self.margin_pos, self.margin_neg, self.weight_pos, self.weight_neg, reference, reference_labels,
            chunk_size=self.chunk_size, reduction=self.reduction,
        )  # fmt: skip
        return margins if self.base_loss is None else self.base_loss(z, labels) + margins


class _ChunkedMargins(torch.autograd.Function):
    """TCM, a block of rows at a time.

    By a cosine the derivative is a constant of each term, on hard pairs: the gradient at a row is the sum of its hard
    partners, which the forward pass collects, so that the backward pass computes no cosine again.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, others: Tensor | None, labels: Tensor, other_labels: Tensor,
        margins: list[Tensor], weights: list[Tensor], chunk_size: int, reduction: Reduction,
    ) -> Tensor:  # fmt: skip
        partners = u if others is None else others
        terms, counts = [[u.new_zeros(*u.shape[:-2], 1, 1) for _ in range(2)] for _ in range(2)]
        by_row = [torch.zeros_like(u) for _ in range(2)]
        by_partner = [torch.zeros_like(partners) for _ in range(2)]
        with torch.autocast(u.device.type, enabled=False):
            for start in range(0, u.shape[-2], chunk_size):
                rows = slice(start, start + chunk_size)
                cosines = u[..., rows, :] @ partners.mT
                hard = _hard(cosines, _pairs(labels[rows], other_labels, start, others is None), margins)
                for term, sign in enumerate((-1, 1)):
                    selected = hard[term].to(u.dtype)
                    counts[term] += selected.sum((-2, -1), keepdim=True)
                    terms[term] += (selected * (cosines - margins[term])).sum((-2, -1), keepdim=True) * sign
                    by_row[term][..., rows, :] = selected @ partners
                    by_partner[term] += selected.mT @ u[..., rows, :]
        terms = [weight * term for weight, term in zip(weights, terms, strict=True)]
        counts = [count.clamp(min=1) for count in counts]
        divisors = counts if reduction == "mean" else [torch.ones_like(count) for count in counts]
        factors = [sign * weight / d for sign, weight, d in zip((-1, 1), weights, divisors, strict=True)]
        rowwise = factors[0] * by_row[0] + factors[1] * by_row[1]
        partnerwise = factors[0] * by_partner[0] + factors[1] * by_partner[1]
        ctx.with_references = others is not None
        ctx.save_for_backward(*([rowwise, partnerwise] if others is not None else [rowwise + partnerwise]))
        return _combined(terms, counts, reduction)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0][..., None, None]
        gradients = [scale * saved for saved in ctx.saved_tensors]
        return (*gradients, *((None,) * (6 if ctx.with_references else 7)))


def _pairs(labels: Tensor, other_labels: Tensor, start: int, leave_out_itself: bool) -> tuple[Tensor, Tensor]:
    """Positive and negative pairs of some rows; row i of them is the batch's row ``start + i``."""
    same = labels[:, None] == other_labels
    negative = ~same
    if leave_out_itself:
        rows = torch.arange(len(labels), device=labels.device)
        same[rows, rows + start] = False
    return same, negative


def _hard(cosines: Tensor, pairs: tuple[Tensor, Tensor], margins: list[Tensor]) -> tuple[Tensor, Tensor]:
    return pairs[0] & (cosines <= margins[0]), pairs[1] & (cosines >= margins[1])


def _combined(terms: list[Tensor], counts: list[Tensor], reduction: Reduction) -> Tensor:
    if reduction == "mean":
        terms = [term / count for term, count in zip(terms, counts, strict=True)]
    return (terms[0] + terms[1])[..., 0, 0]


def _per_pair(value: PerProblem, z: Tensor) -> Tensor:
    """A number, or one per problem, in the shape of the problems' pairs."""
    dtype = z.dtype if z.dtype == torch.float64 else torch.float32
    given = torch.as_tensor(value, dtype=dtype, device=z.device)
    return given[..., None, None]


def _check_embeddings(z: Tensor, labels: Tensor, reference: Tensor | None, reference_labels: Tensor | None) -> None:
    _check_rows("z", z, "labels", labels)
    if (reference is None) != (reference_labels is None):
        raise ValueError(
            f"reference and reference_labels must be given together, got {reference!r:.40}, {reference_labels!r:.40}"
        )
    if reference is not None and reference_labels is not None:
        _check_rows("reference", reference, "reference_labels", reference_labels)
        if (*reference.shape[:-2], reference.shape[-1]) != (*z.shape[:-2], z.shape[-1]):
            raise ValueError(f"reference must fit z {tuple(z.shape)} but for its rows, got {tuple(reference.shape)}")


def _check_rows(name: str, rows: Tensor, labels_name: str, labels: Tensor) -> None:
    floating(name, rows)
    if rows.ndim < 2:
        raise ValueError(f"{name} must have shape (..., rows, dim), got {tuple(rows.shape)}")
    finite_contents(name, rows)
    class_indices(labels_name, labels, rows.shape[-2])


def _check_parameters(
    margin_pos: PerProblem, margin_neg: PerProblem, weight_pos: PerProblem, weight_neg: PerProblem,
    chunk_size: int | None, reduction: Reduction,
) -> None:  # fmt: skip
    one_of("reduction", reduction, ("mean", "sum", "none"))
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
    for name, value in (("margin_pos", margin_pos), ("margin_neg", margin_neg)):
        for end in _ends(name, value):
            in_range(name, end, -1, 1)
    for name, value in (("weight_pos", weight_pos), ("weight_neg", weight_neg)):
        for end in _ends(name, value):
            at_least(name, end, 0)
    wide = torch.as_tensor(margin_neg) >= torch.as_tensor(margin_pos)
    if wide.device.type == "cpu" and wide.any():
        raise ValueError(f"margin_neg must be below margin_pos, got {margin_neg} and {margin_pos}")


def _ends(name: str, value: PerProblem) -> list[float]:
    """The number itself, or the extremes of a CPU tensor."""
    if not isinstance(value, Tensor):
        return [value]
    floating(name, value)
    finite_contents(name, value)
    return [end.item() for end in torch.aminmax(value)] if value.device.type == "cpu" else []
