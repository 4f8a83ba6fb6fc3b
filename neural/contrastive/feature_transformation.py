"""Feature transformation: extrapolated positives and interpolated negatives, a few lines on top of MoCo.

For a query q, its key k (unit rows) and a queue Z,

    q' = l q + (1 − l) k,  k' = l k + (1 − l) q      l = 1 + Beta(alpha_pos, alpha_pos): a harder positive pair,
    z'_n = l z_n + (1 − l) z_pi(n)                   l ~ Beta(alpha_neg, alpha_neg), pi a random permutation,

and the loss is −log(e^{q'·k'/T} / (e^{q'·k'/T} + sum_n e^{q'·z'_n/T})). The key and the queue are constants, but k'
contains the live query: gradients flow through q' and k'.

    loss = FeatureTransformationLoss(temperature=0.2)
    loss(encoder(view1), key_encoder(view2), queue.rows[0]).backward()

The mixed queue is made a few rows at a time: there is never a second one.

Source: Zhu, Zhao, Liu, Sun and Chen (2021), *Improving Contrastive Learning by Visualizing Feature Transformation*.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural.contrastive.similarity import unit_rows
from neural.validation import Reduction, finite_contents, floating, indices, one_of, positive, reduce

__all__ = [
    "FeatureTransformationLoss",
    "extrapolate_positives",
    "feature_transformation_loss",
    "interpolate_negatives",
    "interpolated_scores",
    "score_statistics",
]

Per = Literal["batch", "sample", "dim"]
_ROWS_AT_ONCE = 4096
Rows = Float[Tensor, "*stack batch dim"]


def extrapolate_positives(
    q: Rows, k: Rows, lam: float | Float[Tensor, "..."], allow_interpolation: bool = False
) -> tuple[Rows, Rows]:
    """``(lam q + (1 − lam) k, lam k + (1 − lam) q)``; not normalised, gradients flow through both.

    ``lam`` is a number, or a tensor that broadcasts against the rows: (batch, 1) for one weight a sample, (batch, dim)
    for one a dimension. Raises ``ValueError`` for shapes that do not fit, elements that are not finite, or (numbers,
    and tensors on the CPU) weights below 1, unless ``allow_interpolation``, then below 0.

    >>> q, k = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> [x.tolist() for x in extrapolate_positives(q, k, 1.5)]
    [[[1.5, -0.5]], [[-0.5, 1.5]]]
    """
    _check_pair("q", q, "k", k)
    _check_weight(lam, 0.0 if allow_interpolation else 1.0, q)
    apart = q - k
    return k + lam * apart, q - lam * apart


def interpolate_negatives(
    queue: Float[Tensor, "*stack size dim"], lam: float | Float[Tensor, "..."], perm: Int[Tensor, " size"]
) -> Float[Tensor, "*stack size dim"]:
    """``lam z_n + (1 − lam) z_perm(n)`` for every row; the same permutation for all stacked queues.

    Raises ``ValueError`` for shapes that do not fit, elements that are not finite, or (on the CPU) weights outside
    [0, 1] or a ``perm`` that is not a permutation.

    >>> interpolate_negatives(torch.eye(2), 0.75, torch.tensor([1, 0])).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    _check_rows("queue", queue)
    _check_permutation(perm, queue.shape[-2])
    _check_weight(lam, 0.0, queue, 1.0)
    return torch.lerp(queue[..., perm, :], queue, _like(lam, queue))


def interpolated_scores(
    scores: Float[Tensor, "*stack batch size"], lam: float | Float[Tensor, "..."], perm: Int[Tensor, " size"]
) -> Float[Tensor, "*stack batch size"]:
    """Scores against ``interpolate_negatives``, from the scores against the queue: ``lam s_n + (1 − lam) s_perm(n)``.

    Scores of −inf (rows to leave out) stay −inf in both mixtures that they are part of. Errors as there, but for
    elements, which may be infinite.
    """
    floating("scores", scores)
    if scores.ndim < 2:
        raise ValueError(f"scores must have shape (..., batch, size), got {tuple(scores.shape)}")
    if scores.device.type == "cpu" and ((scores.isnan()) | (scores == torch.inf)).any():
        raise ValueError("scores must not have NaN or +inf")
    _check_permutation(perm, scores.shape[-1])
    _check_weight(lam, 0.0, scores, 1.0)
    absent = torch.isneginf(scores)
    finite = scores.masked_fill(absent, 0)
    mixed = torch.lerp(finite[..., perm], finite, _like(lam, scores))
    return mixed.masked_fill(absent | absent[..., perm], -torch.inf)


def feature_transformation_loss(
    query: Rows,
    key: Rows,
    queue: Float[Tensor, "*stack size dim"],
    temperature: float = 0.2,
    alpha_pos: float = 2.0,
    alpha_neg: float = 1.6,
    per: Per = "batch",
    positives: bool = True,
    negatives: bool = True,
    renormalize: bool = False,
    *,
    generator: torch.Generator | None = None,
    ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """InfoNCE of transformed features; MoCo's with neither ``positives`` nor ``negatives``.

    Args:
        query, key: embeddings of two views, normalised here; no gradient reaches the key.
        queue: negatives, rows of norm 1.
        per: weights drawn once per ``"batch"`` (and queue), per ``"sample"`` (and row of the queue), or per ``"dim"``
            of each.
        positives, negatives: which transformations are made.
        renormalize: divide transformed vectors by their norm; otherwise scores may leave [−1, 1].
        ignore_mask: rows of the queue that are not a query's negatives; mixtures that contain one are left out too.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for one loss per query.

    Raises ``ValueError`` for shapes that do not fit, a temperature or alpha not above 0, unknown words, or (on CPU)
    elements that are not finite, rows of the queue that are not unit vectors, or a query all of whose negatives, or
    mixtures of them, are ignored.
    """
    _check_loss(query, key, queue, temperature, alpha_pos, alpha_neg, per, ignore_mask)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    q, k = unit_rows(query), unit_rows(key).detach()
    rows = queue.detach().to(q.dtype)
    if positives:
        shape = {"batch": (), "sample": (*q.shape[:-1], 1), "dim": q.shape}[per]
        apart = (1 + _beta(alpha_pos, shape, q, generator)) * (q - k)
        q, k = k + apart, q - apart
        if renormalize:
            q, k = unit_rows(q), unit_rows(k)
    ignored = ignore_mask
    # Mixed precision would round the similarities, which the temperature then multiplies.
    with torch.autocast(q.device.type, enabled=False):
        if negatives:
            perm = torch.randperm(rows.shape[-2], generator=generator, device=rows.device)
            shape = {"batch": (), "sample": (rows.shape[-2], 1), "dim": rows.shape[-2:]}[per]
            lam = _beta(alpha_neg, shape, q, generator)
            scores = _MixedQueueScores.apply(q, rows, lam, perm, renormalize)
            ignored = None if ignored is None else ignored | ignored[..., perm]
        else:
            scores = q @ rows.mT
    if ignored is not None:
        scores = scores.masked_fill(ignored, -torch.inf)
    positive_score = (q * k).sum(-1) / temperature
    mass = (scores / temperature).logsumexp(-1)
    return reduce(torch.logaddexp(positive_score, mass) - positive_score, reduction)


class FeatureTransformationLoss(nn.Module):
    """``feature_transformation_loss`` with its parameters: call it with queries, keys and the rows of a queue."""

    def __init__(
        self,
        temperature: float = 0.2,
        alpha_pos: float = 2.0,
        alpha_neg: float = 1.6,
        per: Per = "batch",
        positives: bool = True,
        negatives: bool = True,
        renormalize: bool = False,
        generator: torch.Generator | None = None,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_parameters(temperature, alpha_pos, alpha_neg, per)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.temperature, self.alpha_pos, self.alpha_neg = temperature, alpha_pos, alpha_neg
        self.per: Per = per
        self.positives, self.negatives, self.renormalize = positives, negatives, renormalize
        self.generator = generator
        self.reduction: Reduction = reduction

    def forward(
        self,
        query: Rows,
        key: Rows,
        queue: Float[Tensor, "*stack size dim"],
        ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
    ) -> Float[Tensor, "..."]:
        return feature_transformation_loss(
            query, key, queue, self.temperature, self.alpha_pos, self.alpha_neg, self.per, self.positives,
            self.negatives, self.renormalize, generator=self.generator, ignore_mask=ignore_mask,
            reduction=self.reduction,
        )  # fmt: skip


def score_statistics(
    pos: Float[Tensor, "*stack batch"], neg: Float[Tensor, "*stack batch size"], temperature: float
) -> dict[str, Float[Tensor, "*stack"]]:
    """The five numbers to watch in training, means over the batch: no need to keep the scores themselves.

    ``negative_mean`` and ``negative_variance`` of each anchor's negatives, ``positive``, and the logarithms of the
    masses ``mean exp(s/T)``: ``log_negative_mass``, ``log_positive_mass``. Negatives of −inf are not counted.
    Raises ``ValueError`` for shapes that do not fit, a temperature not above 0, or (on CPU) NaN.
    """
    floating("pos", pos)
    floating("neg", neg)
    positive("temperature", temperature)
    if neg.ndim < 2 or neg.shape[:-1] != pos.shape:
        raise ValueError(
            "pos and neg must have shapes (..., batch) and (..., batch, size), "
            f"got {tuple(pos.shape)} and {tuple(neg.shape)}"
        )
    finite_contents("pos", pos)
    if neg.device.type == "cpu" and (neg.isnan() | (neg == torch.inf)).any():
        raise ValueError("neg must not have NaN or +inf")
    present = neg > -torch.inf
    count = present.sum(-1)
    mean = neg.masked_fill(~present, 0).sum(-1) / count
    variance = ((neg - mean[..., None]) ** 2).masked_fill(~present, 0).sum(-1) / count
    negative_mass = (neg / temperature).logsumexp(-1) - count.to(neg.dtype).log()
    return {
        "negative_mean": mean.mean(-1),
        "negative_variance": variance.mean(-1),
        "positive": pos.mean(-1),
        "log_negative_mass": negative_mass.logsumexp(-1) - _log_size(negative_mass),
        "log_positive_mass": (pos / temperature).logsumexp(-1) - _log_size(pos),
    }


def _log_size(values: Tensor) -> float:
    return float(torch.tensor(values.shape[-1], dtype=torch.float64).log())


def _beta(alpha: float, shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Beta(alpha, alpha) as a ratio of Gamma variables, which torch draws with a generator."""
    shapes = torch.full((2, *shape), alpha, dtype=torch.float64, device=like.device)
    # torch.distributions takes no generator.
    first, second = torch._standard_gamma(shapes, generator=generator)  # pyright: ignore[reportPrivateImportUsage]
    return (first / (first + second).clamp_min(1e-300)).to(like.dtype)


class _MixedQueueScores(torch.autograd.Function):
    """Scores against the mixed queue, which is made a few rows at a time, in the backward pass once more."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, rows: Tensor, lam: Tensor, perm: Tensor, renormalize: bool) -> Tensor:
        ctx.save_for_backward(rows, lam, perm)
        ctx.renormalize = renormalize
        scores = q.new_empty(*q.shape[:-1], rows.shape[-2])
        for part, mixed in _mixed_parts(rows, lam, perm, renormalize):
            scores[..., part] = q @ mixed.mT
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None, None]:
        (g,) = grad_outputs
        rows, lam, perm = ctx.saved_tensors
        parts = _mixed_parts(rows, lam, perm, ctx.renormalize)
        return torch.stack([g[..., part] @ mixed for part, mixed in parts]).sum(0), None, None, None, None


def _mixed_parts(rows: Tensor, lam: Tensor, perm: Tensor, renormalize: bool) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, rows.shape[-2], _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        weight = lam[part] if lam.ndim else lam
        mixed = torch.lerp(rows.index_select(-2, perm[part]), rows[..., part, :], weight)
        yield part, unit_rows(mixed) if renormalize else mixed


def _like(lam: float | Tensor, value: Tensor) -> Tensor:
    return torch.as_tensor(lam, dtype=value.dtype, device=value.device)


def _check_rows(name: str, rows: Tensor) -> None:
    floating(name, rows)
    if rows.ndim < 2:
        raise ValueError(f"{name} must have shape (..., rows, dim), got {tuple(rows.shape)}")
    finite_contents(name, rows)


def _check_pair(first: str, a: Tensor, second: str, b: Tensor) -> None:
    _check_rows(first, a)
    _check_rows(second, b)
    if a.shape != b.shape:
        raise ValueError(f"{first} and {second} must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}")


def _check_weight(lam: float | Tensor, low: float, rows: Tensor, high: float = float("inf")) -> None:
    if isinstance(lam, Tensor):
        floating("lam", lam)
        finite_contents("lam", lam)
        try:
            fits = torch.broadcast_shapes(lam.shape, rows.shape) == rows.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(f"lam must broadcast against shape {tuple(rows.shape)}, got {tuple(lam.shape)}")
        if lam.device.type != "cpu":
            return
        smallest, largest = (float(x) for x in lam.detach().aminmax())
    else:
        if isinstance(lam, bool) or not isinstance(lam, int | float):
            raise ValueError(f"lam must be a number or a tensor, got {lam!r}")
        smallest = largest = float(lam)
    if not (low <= smallest and largest <= high and largest < float("inf")):
        raise ValueError(f"lam must lie in [{low:g}, {high:g}] and be finite, got values from {smallest} to {largest}")


def _check_permutation(perm: Tensor, size: int) -> None:
    indices("perm", perm)
    if perm.shape != (size,):
        raise ValueError(f"perm must have {size} elements, one per row, got shape {tuple(perm.shape)}")
    if perm.device.type == "cpu" and not torch.equal(perm.sort().values, torch.arange(size)):
        raise ValueError(f"perm must be a permutation of 0 … {size - 1}")


def _check_parameters(temperature: float, alpha_pos: float, alpha_neg: float, per: str) -> None:
    positive("temperature", temperature)
    positive("alpha_pos", alpha_pos)
    positive("alpha_neg", alpha_neg)
    one_of("per", per, ("batch", "sample", "dim"))


def _check_loss(
    query: Tensor, key: Tensor, queue: Tensor, temperature: float, alpha_pos: float, alpha_neg: float, per: str,
    ignore_mask: Tensor | None,
) -> None:  # fmt: skip
    _check_parameters(temperature, alpha_pos, alpha_neg, per)
    _check_pair("query", query, "key", key)
    _check_rows("queue", queue)
    if query.shape[:-2] != queue.shape[:-2] or query.shape[-1] != queue.shape[-1]:
        raise ValueError(
            "query and queue must have the same leading axes and dimensions, "
            f"got {tuple(query.shape)} and {tuple(queue.shape)}"
        )
    if queue.device.type == "cpu" and ((queue.detach().float().square().sum(-1) - 1).abs() > 0.02).any():
        raise ValueError("queue must have rows of norm 1, as keys have that were normalised")
    if ignore_mask is None:
        return
    if not isinstance(ignore_mask, Tensor) or ignore_mask.dtype != torch.bool:
        raise ValueError(f"ignore_mask must be a tensor of bool, got {getattr(ignore_mask, 'dtype', ignore_mask)}")
    expected = (*query.shape[:-1], queue.shape[-2])
    if ignore_mask.shape != expected:
        raise ValueError(f"ignore_mask must have shape {tuple(expected)}, got {tuple(ignore_mask.shape)}")
    if ignore_mask.device.type == "cpu" and ignore_mask.all(-1).any():
        raise ValueError("ignore_mask must leave every query a negative")
