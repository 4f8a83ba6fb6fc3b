"""Dynamic bad pair mining (DBPM): positive pairs with abnormal losses lose weight.

Noisy pairs (both views share an instance's noise) are aligned too easily, faulty ones (augmentation destroyed the
pattern) never. Every pair's mean loss so far, m_i, is compared with that of all others,

    noisy   m_i ≤ mu − beta_np sigma,         faulty   m_i ≥ mu + beta_fp sigma,
    loss    mean_i w_i L_i,                   w_i = exp(−(L_i − mu)²/(2 sigma²)) if flagged, else 1, held constant.

It has no parameters and wraps any loss that gives one value per pair:

    mining = DynamicBadPairMining(nt_xent_per_pair, n=len(series), warmup=10)
    for _ in range(epochs):
        mining.start_epoch()
        for index, view1, view2 in batches:
            mining(index, model(view1), model(view2)).backward()

Memory is O(n): sums and counts, no lists of losses. Mean and deviation cannot flag more than 1/(1 + beta²) of the
pairs on a side, and less where both sides are to be flagged; ``robust=True`` replaces them by the median and the scaled
median absolute deviation, which have no such limit below one half.

Source: Lan, Yan, Hong and Feng (2024), *Towards Enhancing Time Series Contrastive Learning: A Dynamic Bad Pair Mining
Approach*: memory, thresholds, the normal density as weight. The weight of height 1 and robust statistics are ours.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.contrastive.similarity import log_negative_mass, positive_similarity, unit_rows
from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    indices,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "BadPairs",
    "DynamicBadPairMining",
    "NTXentPerPair",
    "PairMemory",
    "gaussian_pair_weights",
    "mine_bad_pairs",
    "nt_xent_per_pair",
]

Transform = Literal["gauss", "pdf", "clipped_pdf"]
Embeddings = Float[Tensor, "*stack batch dim"]

_TRANSFORMS = ("gauss", "pdf", "clipped_pdf")
_MAD_TO_SIGMA = 1.4826022185056018  # 1 / the upper quartile of N(0, 1)
_ROUNDING = 1e-12  # of m, below which its spread is that of its own sums


def nt_xent_per_pair(
    z1: Embeddings,
    z2: Embeddings,
    temperature: float = 0.2,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "none",
    normalize: bool = True,
) -> Float[Tensor, "..."]:
    """NT-Xent of every pair: the mean of its two anchors' InfoNCE against the 2(N − 1) embeddings of other samples.

    Args:
        z1, z2: embeddings of the two views, row i of both from sample i; leading axes stack independent problems.
        temperature: divides the cosines.
        chunk_size: rows of the (2N, 2N) similarities held at once (without leading axes); memory is then linear in N.
        reduction: ``"none"`` for a loss per pair, ``"mean"`` (the usual NT-Xent) or ``"sum"`` over them.
        normalize: divide rows by their norm first; without it rows are taken to have norm 1.

    A zero row has cosine 0 with everything and gradient 0. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that differ or are not (..., N, d), N < 2 (no negatives), a ``temperature`` or
    ``chunk_size`` not above 0, chunks of stacked problems, an unknown word, or (on CPU) elements that are not finite.

    >>> nt_xent_per_pair(torch.eye(2), torch.eye(2), temperature=1.0)
    tensor([0.5514, 0.5514])
    """
    _check_views(z1, z2)
    _check_loss(temperature, chunk_size, reduction)
    if chunk_size is not None and z1.ndim > 2:
        raise ValueError(f"chunk_size must be None for stacked problems, got {chunk_size} with {z1.ndim} axes")
    u1, u2 = (unit_rows(z1), unit_rows(z2)) if normalize else (z1, z2)
    margins = positive_similarity(u1, u2, temperature)[..., None, :] - log_negative_mass(
        u1, u2, temperature, chunk_size
    )
    # softplus(−x) = −logsigmoid(x); F.softplus drops the exponential above 20
    return reduce(-F.logsigmoid(margins).mean(-2), reduction)


class NTXentPerPair(nn.Module):
    """``nt_xent_per_pair`` with its parameters: call it with the embeddings of two views."""

    def __init__(
        self, temperature: float = 0.2, *, chunk_size: int | None = None, reduction: Reduction = "none"
    ) -> None:
        super().__init__()
        _check_loss(temperature, chunk_size, reduction)
        self.temperature, self.chunk_size = temperature, chunk_size
        self.reduction: Reduction = reduction

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return nt_xent_per_pair(z1, z2, self.temperature, chunk_size=self.chunk_size, reduction=self.reduction)


class PairMemory(nn.Module):
    """Mean past loss of each of ``n`` pairs, from sums and counts.

    ``ramp`` weights a pair's v-th loss by v/epochs, as the authors' code does; ``epochs`` is then needed. ``stack``
    adds leading axes for networks that see the same batches. The sums are float64 and belong to ``state_dict``.
    Raises ``ValueError`` for numbers below 1, and a ``ramp`` without ``epochs``.

    >>> memory = PairMemory(3)
    >>> memory.update(torch.tensor([0, 2]), torch.tensor([1.0, 5.0]))
    >>> memory.update(torch.tensor([0]), torch.tensor([2.0]))
    >>> memory.behaviour()
    tensor([1.5000,    nan, 5.0000], dtype=torch.float64)
    """

    total: Tensor
    visits: Tensor

    def __init__(
        self, n: int, ramp: bool = False, *, epochs: int | None = None, stack: tuple[int, ...] = (),
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        whole_number("n", n, 1)
        if ramp and epochs is None:
            raise ValueError("epochs must be given with ramp=True: the ramp ends there")
        if epochs is not None:
            whole_number("epochs", epochs, 1)
        for size in stack:
            whole_number("stack", size, 1)
        self.n, self.ramp, self.epochs = n, ramp, epochs
        self.register_buffer("total", torch.zeros(*stack, n, dtype=torch.float64, device=device))
        self.register_buffer("visits", torch.zeros(n, dtype=torch.int64, device=device))

    @torch.no_grad()
    def update(self, index: Int[Tensor, " batch"], loss: Float[Tensor, "*stack batch"]) -> None:
        """Add the unweighted losses of a batch of different pairs.

        Raises ``ValueError`` for shapes that do not fit, or (on CPU) an index outside 0 … n − 1 or twice in the
        batch, or a loss that is not finite: one would stay in the mean for ever.
        """
        floating("loss", loss)
        if loss.shape[:-1] != self.total.shape[:-1]:
            raise ValueError(f"loss must have shape {(*self.total.shape[:-1], 'batch')}, got {tuple(loss.shape)}")
        _check_index(index, loss.shape[-1], self.n)
        finite_contents("loss", loss)
        self.visits[index] += 1
        added = loss.to(self.total.dtype)
        if self.ramp and self.epochs is not None:
            added = added * (self.visits[index].to(added.dtype) / self.epochs)
        self.total[..., index] += added

    def behaviour(self) -> Float[Tensor, "*stack pairs"]:
        """Mean loss of every pair, NaN for pairs not seen yet. Raises ``ValueError`` if none has been seen."""
        if not bool(self.visits.any()):
            raise ValueError("behaviour needs a history: no pair has been updated yet")
        return self.total / self.visits


class BadPairs(NamedTuple):
    """Flags of all pairs, and the statistics that drew the line."""

    noisy: Bool[Tensor, "*stack pairs"]
    faulty: Bool[Tensor, "*stack pairs"]
    mu: Float[Tensor, "*stack"]
    sigma: Float[Tensor, "*stack"]


def mine_bad_pairs(m: Float[Tensor, "*stack pairs"], beta_np: float, beta_fp: float, robust: bool = False) -> BadPairs:
    """Flag pairs whose mean loss is ``beta_np`` deviations below the average, or ``beta_fp`` above.

    ``mu, sigma`` are mean and population deviation of m, or with ``robust`` its median and 1.4826 times the median
    absolute deviation. Pairs without history (NaN) are left out and never flagged; where all are equal, none is.
    The authors' settings are 2 and 3.

    Raises ``ValueError`` for an ``m`` that is not floating-point or (on CPU) has infinite elements or no history at
    all, and for a ``beta`` not above 0.

    >>> flags = mine_bad_pairs(torch.tensor([0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.1]), 2.0, 3.0)
    >>> flags.noisy.tolist()
    [True, False, False, False, False, False, False]
    """
    floating("m", m)
    positive("beta_np", beta_np)
    positive("beta_fp", beta_fp)
    m = m.detach()
    seen = ~m.isnan()
    if m.device.type == "cpu" and (m.ndim == 0 or bool(m.isinf().any()) or not bool(seen.any(-1).all())):
        raise ValueError(f"m must be finite, or NaN for pairs without history, got shape {tuple(m.shape)}")
    if robust:
        mu = _median(m)
        sigma = _MAD_TO_SIGMA * _median((m - mu).abs())
    else:
        count = seen.sum(-1, keepdim=True)
        mu = m.nansum(-1, keepdim=True) / count
        sigma = ((m - mu).square().nansum(-1, keepdim=True) / count).sqrt()
    varied = sigma > _rounding(m.dtype) * mu.abs()
    noisy, faulty = (m <= mu - beta_np * sigma) & varied, (m >= mu + beta_fp * sigma) & varied
    sigma = torch.where(varied, sigma, 0.0)
    return BadPairs(noisy, faulty, mu.squeeze(-1), sigma.squeeze(-1))


@torch.no_grad()
def gaussian_pair_weights(
    loss: Float[Tensor, "*stack batch"],
    mask: Bool[Tensor, "*stack batch"],
    mu: float | Float[Tensor, "*stack"],
    sigma: float | Float[Tensor, "*stack"],
    transform: Transform = "gauss",
) -> Float[Tensor, "*stack batch"]:
    """Weights of pairs, without gradient: 1 where ``mask`` is false, a normal curve around ``mu`` where it is true.

    ``"gauss"`` is ``exp(−(L − mu)²/(2 sigma²))``, at most 1. ``"pdf"`` is the paper's density, which divides that by
    ``sigma sqrt(2 pi)``: for sigma < 0.399 it exceeds 1 near mu, and a flagged pair gains weight. ``"clipped_pdf"``
    is its minimum with 1. For sigma = 0 all weights are 1.

    Raises ``ValueError`` for shapes that differ, an unknown word, a number ``sigma`` below 0, or (on CPU) losses and
    statistics that are not finite.

    >>> gaussian_pair_weights(torch.tensor([1.0, 3.0]), torch.tensor([True, False]), mu=3.0, sigma=1.0)
    tensor([0.1353, 1.0000])
    """
    floating("loss", loss)
    finite_contents("loss", loss)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != loss.shape:
        got = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a boolean tensor of shape {tuple(loss.shape)}, got {got}")
    one_of("transform", transform, _TRANSFORMS)
    centre, spread = (_statistic(name, value, loss) for name, value in (("mu", mu), ("sigma", sigma)))
    if spread.device.type == "cpu" and bool((spread < 0).any()):
        raise ValueError(f"sigma must be at least 0, got {float(spread.min())}")
    varied = spread > 0
    log_weight = -0.5 * ((loss - centre) / torch.where(varied, spread, 1.0)).square()
    if transform != "gauss":
        log_weight = log_weight - torch.where(varied, spread * (2 * torch.pi) ** 0.5, 1.0).log()
    if transform == "clipped_pdf":
        log_weight = log_weight.clamp_max(0.0)
    return torch.where(mask & varied, log_weight, 0.0).exp().to(loss.dtype)


class DynamicBadPairMining(nn.Module):
    """Any loss per pair, weighted by what its pairs' past losses say of them.

    Args:
        criterion: called with the arguments after ``index``; returns the losses of the batch's pairs, shape (batch,).
        n: number of training pairs, those that ``index`` counts.
        warmup: epochs without weights.
        beta_np, beta_fp: deviations below and above the average from which pairs count as noisy and faulty.
        robust: use median and scaled median absolute deviation (``mine_bad_pairs``).
        transform: the weight of a flagged pair (``gaussian_pair_weights``).
        ramp, epochs: weight late losses more (``PairMemory``).

    ``start_epoch`` draws the line from the epochs before; until then and during the warm-up no pair is flagged.
    ``noisy, faulty, mu, sigma`` hold the present flags and statistics, and ``memory`` the losses. The mean is over all
    pairs, flagged or not, so that many flags also make the step smaller. All of it belongs to ``state_dict``.

    Raises ``ValueError`` for numbers out of range, an unknown word, or a ``criterion`` that cannot be called.

    >>> mining = DynamicBadPairMining(nt_xent_per_pair, n=4, warmup=1)
    >>> mining.start_epoch()
    >>> round(mining(torch.tensor([2, 0]), torch.eye(2), torch.eye(2)).item(), 4)
    0.0134
    """

    noisy: Tensor
    faulty: Tensor
    mu: Tensor
    sigma: Tensor
    epoch: Tensor

    def __init__(
        self,
        criterion: Callable[..., Tensor],
        n: int,
        warmup: int,
        *,
        beta_np: float = 2.0,
        beta_fp: float = 3.0,
        robust: bool = False,
        transform: Transform = "gauss",
        ramp: bool = False,
        epochs: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        if not callable(criterion):
            raise ValueError(f"criterion must be callable, got {type(criterion).__name__}")
        whole_number("warmup", warmup, 1)
        positive("beta_np", beta_np)
        positive("beta_fp", beta_fp)
        one_of("transform", transform, _TRANSFORMS)
        self.criterion, self.warmup = criterion, warmup
        self.beta_np, self.beta_fp, self.robust = beta_np, beta_fp, robust
        self.transform: Transform = transform
        self.memory = PairMemory(n, ramp, epochs=epochs, device=device)
        for name in ("noisy", "faulty"):
            self.register_buffer(name, torch.zeros(n, dtype=torch.bool, device=device))
        for name in ("mu", "sigma"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64, device=device))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def start_epoch(self) -> None:
        """Count an epoch, and after the warm-up flag pairs from all losses before it.

        Raises ``ValueError`` after a warm-up in which no pair was seen.
        """
        if int(self.epoch) >= self.warmup:
            flags = mine_bad_pairs(self.memory.behaviour(), self.beta_np, self.beta_fp, self.robust)
            self.noisy, self.faulty, self.mu, self.sigma = flags
        self.epoch += 1

    def forward(self, index: Int[Tensor, " batch"], *arguments: Any, **options: Any) -> Float[Tensor, ""]:
        """Mean of weighted losses; the unweighted ones go to the memory (in training mode only).

        Raises ``ValueError`` if the criterion does not return one loss per index, and as ``PairMemory.update``.
        """
        indices("index", index)
        losses = self.criterion(*arguments, **options)
        if not isinstance(losses, Tensor) or losses.shape != index.shape or index.ndim != 1:
            got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise ValueError(f"criterion must return a loss for each index, shape {tuple(index.shape)}, got {got}")
        _check_index(index, len(losses), self.memory.n)
        flagged = self.noisy[index] | self.faulty[index]
        weights = gaussian_pair_weights(losses, flagged, self.mu, self.sigma, self.transform)
        if self.training:
            self.memory.update(index, losses)
        return (weights * losses).mean()


def _median(m: Tensor) -> Tensor:
    """Median along the last axis without NaN, the mean of the middle two if their number is even; the axis is kept."""
    ordered = m.sort(-1).values  # NaN comes last
    count = (~m.isnan()).sum(-1, keepdim=True)
    low, high = ((count - 1) // 2).clamp_min(0), count // 2
    return (ordered.gather(-1, low) + ordered.gather(-1, high.clamp_max(m.shape[-1] - 1))) / 2


def _rounding(dtype: torch.dtype) -> float:
    return max(_ROUNDING, 8 * torch.finfo(dtype).eps)


def _statistic(name: str, value: float | Tensor, loss: Tensor) -> Tensor:
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        raise ValueError(f"{name} must be a number or a tensor of numbers, got {type(value).__name__}")
    tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    if not tensor.is_floating_point() or tensor.shape not in ((), loss.shape[:-1]):
        raise ValueError(
            f"{name} must be one number or one per stacked problem, shape {tuple(loss.shape[:-1])}, got {tensor.dtype} "
            f"of shape {tuple(tensor.shape)}"
        )
    finite_contents(name, tensor)
    return tensor.to(loss.device)[..., None]


def _check_index(index: Tensor, length: int, n: int) -> None:
    class_indices("index", index, length, n)
    if index.device.type == "cpu" and len(index.unique()) != length:
        raise ValueError("index must name different pairs, got one twice in a batch")


def _check_loss(temperature: float, chunk_size: int | None, reduction: str) -> None:
    positive("temperature", temperature)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)


def _check_views(z1: Tensor, z2: Tensor) -> None:
    floating("z1", z1)
    floating("z2", z2)
    if z1.ndim < 2 or z1.shape != z2.shape:
        raise ValueError(
            f"z1 and z2 must have one shape (..., batch, dim), got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    if z1.shape[-2] < 2:
        raise ValueError(f"z1 and z2 must have at least 2 rows (one sample has no negatives), got {z1.shape[-2]}")
    finite_contents("z1", z1)
    finite_contents("z2", z2)
