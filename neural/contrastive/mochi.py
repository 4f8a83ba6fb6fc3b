"""Hard negative mixing (MoCHi): harder negatives, synthesised from the hardest of a memory queue.

For a query q, its key k and a queue of unit rows, with the ``n_hard`` rows nearest to the query,

    n_pairs mixtures of two of them         h  = (a n_i + (1 − a) n_j) / |·|,   i ≠ j, a uniform in (0, 1)
    n_query_mix mixtures with the query     h' = (b q + (1 − b) n_j) / |·|,     b uniform in (0, max_query_weight)

join the negatives of the usual loss −log(e^{q·k/tau} / sum of e^{q·n/tau}). They are constants: the query is pushed off
them, and no gradient flows through the mixing.

    loss = MoCHiLoss(n_hard=1024, n_pairs=1024, n_query_mix=128, temperature=0.2)
    loss(encoder(view1), key_encoder(view2), queue.rows[0]).backward()

A cosine with a mixture needs three cosines and no vector, so that ``mochi_logits`` never holds the mixtures. Leading
axes stack independent problems, each with its own queue.

Source: Kalantidis, Sariyildiz, Pion, Weinzaepfel and Larlus (2020), *Hard Negative Mixing for Contrastive Learning*.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neural.contrastive.similarity import unit_rows
from neural.validation import Reduction, finite_contents, floating, one_of, positive, reduce, whole_number

__all__ = ["MoCHiLoss", "mix_hard_negatives", "mochi_logits", "mochi_loss"]

_ELEMENTS_AT_ONCE = 2**20


def mix_hard_negatives(
    query: Float[Tensor, "*stack batch dim"],
    queue: Float[Tensor, "*stack size dim"],
    n_hard: int,
    n_pairs: int,
    n_query_mix: int,
    max_query_weight: float = 0.5,
    generator: torch.Generator | None = None,
    ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
) -> Float[Tensor, "*stack batch mixtures dim"]:
    """The mixtures as unit vectors without gradient: ``n_pairs`` of two negatives, then ``n_query_mix`` with the query.

    Queries are normalised here; rows of the queue must have norm 1. ``ignore_mask`` marks rows that are not a
    query's negatives (its own image). Two opposite parents in equal parts give a zero vector.

    Raises ``ValueError`` for shapes that do not fit, ``n_hard`` beyond the queue (or, on the CPU, beyond the rows that
    are not ignored), ``n_hard < 2`` with pairs, ``max_query_weight`` outside (0, 0.5], or (on CPU) elements that are
    not finite or rows of the queue that are not unit vectors.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator ...>
    >>> mix_hard_negatives(torch.eye(2), torch.eye(2), n_hard=2, n_pairs=3, n_query_mix=1).shape
    torch.Size([2, 4, 2])
    """
    _check_mixing(n_hard, n_pairs, n_query_mix, max_query_weight)
    _check_rows(query, queue, n_hard, ignore_mask)
    with torch.no_grad():
        q, rows = unit_rows(query), _as_computed(queue)
        drawn = _draw(q, n_hard, n_pairs, n_query_mix, max_query_weight, generator)
        mixing = _mix(rows, _scores(q, rows, 1.0, ignore_mask), 1.0, n_hard, drawn)
        first, second, third = (_taken(rows, each) for each in (mixing.first, mixing.second, mixing.third))
        pairs = mixing.of_first[..., None] * first + mixing.of_second[..., None] * second
        own = mixing.of_query[..., None] * q[..., None, :] + mixing.of_third[..., None] * third
        return torch.cat([pairs, own], dim=-2)


def mochi_logits(
    query: Float[Tensor, "*stack batch dim"],
    key: Float[Tensor, "*stack batch dim"],
    queue: Float[Tensor, "*stack size dim"],
    n_hard: int,
    n_pairs: int,
    n_query_mix: int,
    temperature: float = 0.2,
    max_query_weight: float = 0.5,
    generator: torch.Generator | None = None,
    ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
) -> Float[Tensor, "*stack batch logits"]:
    """Logits ``[q·k, q·queue, q·h, q·h'] / temperature``, the positive first; ignored rows have −inf.

    Equal to the products with ``mix_hard_negatives`` of the same generator, but never holds a (batch, mixtures, dim)
    tensor. The gradient reaches the query and the key (give a key without one, as MoCo does).
    Arguments and errors as in ``mix_hard_negatives``; also ``temperature <= 0``.
    """
    _check_loss(query, key, queue, n_hard, n_pairs, n_query_mix, temperature, max_query_weight, ignore_mask)
    q, k, rows = unit_rows(query), unit_rows(key), _as_computed(queue)
    scores = _scores(q, rows, temperature, ignore_mask)
    drawn = _draw(q, n_hard, n_pairs, n_query_mix, max_query_weight, generator)
    mixing = _mix(rows, scores.detach(), temperature, n_hard, drawn)
    return torch.cat(_logits(q, k, scores, mixing, temperature), dim=-1)


def mochi_loss(
    query: Float[Tensor, "*stack batch dim"],
    key: Float[Tensor, "*stack batch dim"],
    queue: Float[Tensor, "*stack size dim"],
    n_hard: int = 1024,
    n_pairs: int = 1024,
    n_query_mix: int = 128,
    temperature: float = 0.2,
    max_query_weight: float = 0.5,
    *,
    generator: torch.Generator | None = None,
    ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """Cross-entropy of ``mochi_logits`` with the positive as target; without mixtures it is MoCo's InfoNCE.

    ``chunk_size`` queries at a time are computed, in the backward pass once more: memory is then linear in the queue
    instead of batch times queue. The defaults are the paper's (1024, 1024, 128) for a queue of 16,384.
    Arguments and errors as in ``mochi_logits``; ``reduction="none"`` gives a loss per query. Half precision is
    computed in float32.
    """
    _check_loss(query, key, queue, n_hard, n_pairs, n_query_mix, temperature, max_query_weight, ignore_mask)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
    rows, q, k = _as_computed(queue), unit_rows(query), unit_rows(key)
    drawn = _draw(q, n_hard, n_pairs, n_query_mix, max_query_weight, generator)

    def of_chunk(q: Tensor, k: Tensor, ignored: Tensor | None, drawn: _Drawn) -> Tensor:
        scores = _scores(q, rows, temperature, ignored)
        mixing = _mix(rows, scores.detach(), temperature, n_hard, drawn)
        logits = [each for each in _logits(q, k, scores, mixing, temperature) if each.shape[-1]]
        # One log-mass after the other: all logits side by side would be a second copy of the largest tensor.
        masses = torch.stack([each.logsumexp(-1) for each in logits], dim=-1)
        return masses.logsumexp(-1) - masses[..., 0]

    if chunk_size is None:
        return reduce(of_chunk(q, k, ignore_mask, drawn), reduction)
    losses = []
    for start in range(0, q.shape[-2], chunk_size):
        part = slice(start, start + chunk_size)
        ignored = None if ignore_mask is None else ignore_mask[..., part, :]
        chunk = _Drawn(*(each[..., part, :] for each in drawn))
        arguments = q[..., part, :], k[..., part, :], ignored, chunk
        losses.append(checkpoint(of_chunk, *arguments, use_reentrant=False, preserve_rng_state=False))
    return reduce(torch.cat(losses, dim=-1), reduction)


class MoCHiLoss(nn.Module):
    """``mochi_loss`` with its parameters: call it with queries, keys and the rows of a queue."""

    def __init__(
        self,
        n_hard: int = 1024,
        n_pairs: int = 1024,
        n_query_mix: int = 128,
        temperature: float = 0.2,
        max_query_weight: float = 0.5,
        *,
        generator: torch.Generator | None = None,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_mixing(n_hard, n_pairs, n_query_mix, max_query_weight)
        positive("temperature", temperature)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        if chunk_size is not None:
            whole_number("chunk_size", chunk_size, 1)
        self.n_hard, self.n_pairs, self.n_query_mix = n_hard, n_pairs, n_query_mix
        self.temperature, self.max_query_weight = temperature, max_query_weight
        self.generator, self.chunk_size = generator, chunk_size
        self.reduction: Reduction = reduction

    def forward(
        self,
        query: Float[Tensor, "*stack batch dim"],
        key: Float[Tensor, "*stack batch dim"],
        queue: Float[Tensor, "*stack size dim"],
        ignore_mask: Bool[Tensor, "*stack batch size"] | None = None,
    ) -> Float[Tensor, "..."]:
        return mochi_loss(
            query, key, queue, self.n_hard, self.n_pairs, self.n_query_mix, self.temperature, self.max_query_weight,
            generator=self.generator, ignore_mask=ignore_mask, chunk_size=self.chunk_size, reduction=self.reduction,
        )  # fmt: skip


class _Drawn(NamedTuple):
    """All that is random: parents as ranks among the hardest, and weights."""

    first: Int[Tensor, "*stack batch pairs"]
    second: Int[Tensor, "*stack batch pairs"]
    weight: Float[Tensor, "*stack batch pairs"]
    third: Int[Tensor, "*stack batch query_mixtures"]
    query_weight: Float[Tensor, "*stack batch query_mixtures"]


class _Mixing(NamedTuple):
    """Parents as rows of the queue, and the coefficients of query and parents, divided by the mixture's norm."""

    first: Int[Tensor, "*stack batch pairs"]
    second: Int[Tensor, "*stack batch pairs"]
    third: Int[Tensor, "*stack batch query_mixtures"]
    of_first: Float[Tensor, "*stack batch pairs"]
    of_second: Float[Tensor, "*stack batch pairs"]
    of_query: Float[Tensor, "*stack batch query_mixtures"]
    of_third: Float[Tensor, "*stack batch query_mixtures"]


def _as_computed(queue: Tensor) -> Tensor:
    return (queue if queue.dtype == torch.float64 else queue.float()).detach()


def _scores(q: Tensor, rows: Tensor, temperature: float, ignore_mask: Tensor | None) -> Tensor:
    # Mixed precision would round the similarities, which the temperature then multiplies.
    with torch.autocast(q.device.type, enabled=False):
        scores = (q / temperature) @ rows.to(q.dtype).mT
    return scores if ignore_mask is None else scores.masked_fill(ignore_mask, -torch.inf)


def _draw(
    like: Tensor, n_hard: int, n_pairs: int, n_query_mix: int, max_query_weight: float,
    generator: torch.Generator | None,
) -> _Drawn:  # fmt: skip
    def ranks(count: int, below: int) -> Tensor:
        return torch.randint(below, (*like.shape[:-1], count), generator=generator, device=like.device)

    def uniform(count: int) -> Tensor:
        return torch.rand(*like.shape[:-1], count, generator=generator, device=like.device, dtype=like.dtype)

    first, second = ranks(n_pairs, n_hard), ranks(n_pairs, max(n_hard - 1, 1))
    other = second + (second >= first)
    return _Drawn(first, other, uniform(n_pairs), ranks(n_query_mix, n_hard), uniform(n_query_mix) * max_query_weight)


@torch.no_grad()
def _mix(rows: Tensor, scores: Tensor, temperature: float, n_hard: int, drawn: _Drawn) -> _Mixing:
    any_mixture = drawn.first.shape[-1] + drawn.third.shape[-1] > 0
    hardest = scores.topk(n_hard if any_mixture else 0, dim=-1).indices
    first, second, third = (hardest.gather(-1, ranks) for ranks in (drawn.first, drawn.second, drawn.third))
    between = _parent_cosines(rows.to(scores.dtype), first, second)
    of_first, of_second = _over_norm(drawn.weight, between)
    of_query, of_third = _over_norm(drawn.query_weight, temperature * scores.gather(-1, third))
    return _Mixing(first, second, third, of_first, of_second, of_query, of_third)


def _over_norm(weight: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor]:
    """``(w, 1 − w) / |w u + (1 − w) v|`` from the cosine of u and v; zeros where the two cancel."""
    squared = 1 - 2 * weight * (1 - weight) * (1 - cosine)
    inverse = torch.where(squared > 0, squared.clamp_min(torch.finfo(squared.dtype).tiny).rsqrt(), 0.0)
    return weight * inverse, (1 - weight) * inverse


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at these places of each stacked queue: shape (*places.shape, dim)."""
    size, dim = rows.shape[-2:]
    problems = places.flatten(0, -3) if places.ndim > 2 else places[None]
    offsets = size * torch.arange(len(problems), device=rows.device)[:, None, None]
    return rows.reshape(-1, dim)[problems + offsets].reshape(*places.shape, dim)


def _parent_cosines(rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Cosines of pairs of rows, few queries at a time: gathered parents are what takes memory."""
    problems = max(1, first[..., :1, :1].numel())
    at_once = max(1, _ELEMENTS_AT_ONCE // max(1, problems * first.shape[-1] * rows.shape[-1]))
    with torch.autocast(rows.device.type, enabled=False):
        parts = [
            torch.linalg.vecdot(_taken(rows, u), _taken(rows, v))
            for u, v in zip(first.split(at_once, dim=-2), second.split(at_once, dim=-2), strict=True)
        ]
    return torch.cat(parts, dim=-2)


def _logits(q: Tensor, k: Tensor, scores: Tensor, mixing: _Mixing, temperature: float) -> list[Tensor]:
    """Logits of the positive, of the queue (``scores``), of pairs and of query mixtures."""
    itself = (q * q.detach()).sum(-1, keepdim=True) / temperature
    parents = torch.cat([mixing.first, mixing.second, mixing.third], dim=-1)
    s_first, s_second, s_third = scores.gather(-1, parents).split(
        [mixing.first.shape[-1], mixing.second.shape[-1], mixing.third.shape[-1]], dim=-1
    )
    return [
        (q * k).sum(-1, keepdim=True) / temperature,
        scores,
        mixing.of_first * s_first + mixing.of_second * s_second,
        mixing.of_query * itself + mixing.of_third * s_third,
    ]


def _check_mixing(n_hard: int, n_pairs: int, n_query_mix: int, max_query_weight: float) -> None:
    whole_number("n_hard", n_hard, 1)
    whole_number("n_pairs", n_pairs, 0)
    whole_number("n_query_mix", n_query_mix, 0)
    positive("max_query_weight", max_query_weight)
    if max_query_weight > 0.5:
        raise ValueError(f"max_query_weight must be in (0, 0.5], got {max_query_weight}")
    if n_pairs and n_hard < 2:
        raise ValueError(f"n_hard must be at least 2 to draw pairs, got {n_hard}")


def _check_loss(
    query: Tensor, key: Tensor, queue: Tensor, n_hard: int, n_pairs: int, n_query_mix: int, temperature: float,
    max_query_weight: float, ignore_mask: Tensor | None,
) -> None:  # fmt: skip
    _check_mixing(n_hard, n_pairs, n_query_mix, max_query_weight)
    positive("temperature", temperature)
    _check_rows(query, queue, n_hard if n_pairs + n_query_mix else 1, ignore_mask)
    floating("key", key)
    if key.shape != query.shape:
        raise ValueError(f"query and key must have one shape, got {tuple(query.shape)} and {tuple(key.shape)}")
    finite_contents("key", key)


def _check_rows(query: Tensor, queue: Tensor, n_hard: int, ignore_mask: Tensor | None) -> None:
    for name, tensor in (("query", query), ("queue", queue)):
        floating(name, tensor)
        if tensor.ndim < 2:
            raise ValueError(f"{name} must have shape (..., rows, dim), got {tuple(tensor.shape)}")
    if query.shape[:-2] != queue.shape[:-2] or query.shape[-1] != queue.shape[-1]:
        raise ValueError(
            "query and queue must have the same leading axes and dimensions, "
            f"got {tuple(query.shape)} and {tuple(queue.shape)}"
        )
    size = queue.shape[-2]
    if n_hard > size:
        raise ValueError(f"n_hard must be at most the {size} rows of the queue, got {n_hard}")
    finite_contents("query", query)
    finite_contents("queue", queue)
    if queue.device.type == "cpu" and ((queue.detach().float().square().sum(-1) - 1).abs() > 0.02).any():
        raise ValueError("queue must have rows of norm 1, as keys have that were normalised")
    if ignore_mask is None:
        return
    if not isinstance(ignore_mask, Tensor) or ignore_mask.dtype != torch.bool:
        raise ValueError(f"ignore_mask must be a tensor of bool, got {getattr(ignore_mask, 'dtype', ignore_mask)}")
    expected = (*query.shape[:-1], size)
    if ignore_mask.shape != expected:
        raise ValueError(f"ignore_mask must have shape {tuple(expected)}, got {tuple(ignore_mask.shape)}")
    if ignore_mask.device.type == "cpu" and (~ignore_mask).sum(-1).min() < n_hard:
        raise ValueError(f"ignore_mask must leave every query at least n_hard = {n_hard} negatives")
