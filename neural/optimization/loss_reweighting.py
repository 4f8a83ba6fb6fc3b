"""Weights for the samples of a batch from their current losses: three lines in any training loop.

    reweight = ReweightedLoss("linupper", r=1.0, burnin=1000)          # once
    losses, _ = sequence_losses(model(ids), labels)                    # one loss per sample; any other will do
    reweight(losses).backward()                                        # instead of losses.mean().backward()

Losses are normalised to h in [−1, 1] over the batch, turned into a score, and the weights are softmax(score / r):

    linupper   min(h + 1, 1)      easy samples count less, everything above the mid-range counts the same
    quadratic  1 − h²             medium losses count most
    extremes   |h|                both ends count most
    upper      (h + 1) / 2        the larger the loss, the more it counts (KL-regularised robust optimisation)
    uniform    0                  the plain mean

Weights carry no gradient: the step goes along ``sum_i w_i grad l_i``. They sum to 1, so that learning rates keep their
meaning, but the value of a weighted loss does not: compare models on plain means, which is what a ``ReweightedLoss``
returns in evaluation mode.

Source: Sow, Woisetschläger, Bulusu, Wang, Jacobsen and Liang (2025), *Dynamic Loss-Based Sample Reweighting for
Improved Large Language Model Pretraining*; the factors of the distributed and token-weighted forms, and ``upper``, as
in the authors' published trainer. Theory, with bounds of the weights: ``theory.optimization.loss_weights``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch import distributed as dist

from neural.tiny_lm.logprobs import labels_to_mask, sequence_logps, token_logps
from neural.validation import at_least, floating, indices, one_of, positive, whole_number

__all__ = ["AnnealedTemperature", "ReweightedLoss", "loss_weights", "sequence_losses"]

Strategy = Literal["uniform", "linupper", "quadratic", "extremes", "upper"]
Losses = Float[Tensor, " batch"]

_STRATEGIES: tuple[Strategy, ...] = ("uniform", "linupper", "quadratic", "extremes", "upper")
_LEAST_RANGE = 1e-6


def loss_weights(
    losses: Losses, strategy: Strategy = "linupper", r: float = 1.0, delta: float = 1.0, group: Any = None
) -> Losses:
    """``softmax(s(h) / r)`` of the losses of a batch, detached.

    Args:
        losses: one loss per sample.
        strategy: which score s.
        r: temperature; large is uniform.
        delta: scale of h, which lies in [−delta, delta].
        group: a ``torch.distributed`` process group over which the batch is spread. One all-gather makes the weights
            those of the whole batch; every rank gets its own, so that they sum to 1 over all ranks. All ranks need as
            many samples.

    Computed in float32, or float64 for float64 losses. Equal losses, and a single one, have equal weights. Raises
    ``ValueError`` for losses that are not a non-empty vector of floats, an unknown strategy, r or delta not above 0,
    and for losses that are NaN or infinite, naming their number: on CPU, of any rank. On CUDA the weights are then NaN.

    >>> loss_weights(torch.tensor([0.0, 0.0, 1.0]), r=0.5)
    tensor([0.1065, 0.1065, 0.7870])
    """
    _check_losses("losses", losses)
    _check_strategy(strategy, r)
    positive("delta", delta)
    everyone, rank = _gathered(losses, group)
    _check_finite(everyone)
    weights = _weights(everyone, strategy, r, delta)
    return weights[rank * len(losses) : (rank + 1) * len(losses)]


class ReweightedLoss(nn.Module):
    """``sum_i w_i l_i`` of a batch of losses, w as in ``loss_weights``: instead of their mean.

    Args:
        strategy: as in ``loss_weights``.
        r: temperature.
        burnin: for that many steps the plain mean is used; losses say little at the start.
        r_schedule: temperature of every step, instead of r: any function of the step, for example an
            ``AnnealedTemperature``.
        token_weighted: samples count with their numbers of tokens as well, ``M sum_i w_i (n_i / sum_j n_j) l_i``: for
            equal weights the mean over all tokens of the batch.
        group: process group over which the batch is spread. Each rank's loss is then its share times the number of
            ranks, because data-parallel training averages gradients over ranks.

    Steps are counted by calls in training mode and saved with the module's state; where several calls make one step
    (accumulation), pass ``step``. In evaluation mode the result is the plain mean of the samples given, nothing is
    counted and no rank waits for another. Raises ``ValueError`` as ``loss_weights``, and for ``burnin`` below 0.

    >>> ReweightedLoss("linupper", r=0.5)(torch.tensor([0.0, 0.0, 1.0]))
    tensor(0.7870)
    """

    def __init__(
        self,
        strategy: Strategy = "linupper",
        r: float = 1.0,
        burnin: int = 0,
        r_schedule: Callable[[int], float] | None = None,
        token_weighted: bool = False,
        group: Any = None,
    ) -> None:
        super().__init__()
        _check_strategy(strategy, r)
        whole_number("burnin", burnin, 0)
        if r_schedule is not None and not callable(r_schedule):
            raise ValueError(f"r_schedule must be a function of the step, got {r_schedule!r}")
        self.strategy: Strategy = strategy
        self.r, self.burnin, self.r_schedule = r, burnin, r_schedule
        self.token_weighted, self.group = token_weighted, group
        self.steps = 0

    def forward(
        self, per_sample_losses: Losses, lengths: Int[Tensor, " batch"] | None = None, step: int | None = None
    ) -> Float[Tensor, ""]:
        """The weighted loss. ``lengths``: numbers of tokens, needed if token-weighted. ``step``: 0 for the first."""
        _check_losses("per_sample_losses", per_sample_losses)
        if step is not None:
            whole_number("step", step, 0)
        # Evaluation may well be the business of one rank, which then must not wait for the others.
        group = self.group if self.training else None
        factors = self._factors(per_sample_losses, lengths, group)
        if not self.training:
            weights = self._weights(per_sample_losses, "uniform", 1.0, group)
        else:
            now = self.steps if step is None else step
            strategy: Strategy = "uniform" if now < self.burnin else self.strategy
            weights = self._weights(per_sample_losses, strategy, self._temperature(now), group)
            self.steps = now + 1
        return (per_sample_losses * (weights if factors is None else weights * factors)).sum()

    def _weights(self, losses: Tensor, strategy: Strategy, r: float, group: Any) -> Tensor:
        try:
            return loss_weights(losses, strategy, r, group=group)
        except ValueError as error:
            # The argument has another name here.
            raise ValueError(str(error).replace("losses must", "per_sample_losses must")) from None

    def _temperature(self, step: int) -> float:
        if self.r_schedule is None:
            return self.r
        r = self.r_schedule(step)
        positive("r_schedule's value", r)
        return r

    def _factors(self, losses: Tensor, lengths: Tensor | None, group: Any) -> Tensor | float | None:
        """What weights are multiplied with: the number of ranks, and under token weighting ``M n_i / sum_j n_j``."""
        ranks = _ranks(group)
        if lengths is not None:
            indices("lengths", lengths)
            if lengths.shape != losses.shape:
                raise ValueError(f"lengths must have shape {tuple(losses.shape)}, got {tuple(lengths.shape)}")
            if lengths.device.type == "cpu" and int(lengths.min()) < 1:
                raise ValueError(f"lengths must be at least 1, got {int(lengths.min())}")
        if not self.token_weighted:
            return None if ranks == 1 else float(ranks)
        if lengths is None:
            raise ValueError("lengths must be given to weight by tokens, got None")
        counts = lengths.to(losses.dtype if losses.dtype == torch.float64 else torch.float32)
        everyone, _ = _gathered(counts, group)
        return ranks * len(everyone) * counts / everyone.sum()

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.steps = state["steps"]

    def extra_repr(self) -> str:
        return f"{self.strategy!r}, r={self.r}, burnin={self.burnin}, token_weighted={self.token_weighted}"


@dataclass(frozen=True)
class AnnealedTemperature:
    """r falls from ``start`` to ``target`` between the steps ``begin`` and ``end``, by the same factor every step.

    A large r is close to equal weights: a burn-in without an edge. Raises ``ValueError`` for temperatures not above 0,
    or steps that are not whole numbers with 0 ≤ begin < end.

    >>> anneal = AnnealedTemperature(start=100.0, target=1.0, begin=10, end=20)
    >>> [round(anneal(step), 6) for step in (0, 15, 1000)]
    [100.0, 10.0, 1.0]
    """

    start: float
    target: float
    begin: int
    end: int

    def __post_init__(self) -> None:
        positive("start", self.start)
        positive("target", self.target)
        whole_number("begin", self.begin, 0)
        whole_number("end", self.end, 1)
        if self.end <= self.begin:
            raise ValueError(f"end must be after begin = {self.begin}, got {self.end}")

    def __call__(self, step: int) -> float:
        at_least("step", step, 0)
        passed = min(max((step - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return math.exp((1 - passed) * math.log(self.start) + passed * math.log(self.target))


def sequence_losses(
    logits: Float[Tensor, "batch tokens vocabulary"],
    labels: Int[Tensor, "batch tokens"],
    ignore_index: int = -100,
    chunk: int | None = None,
) -> tuple[Losses, Int[Tensor, " batch"]]:
    """Mean cross-entropy over the targets of every sequence, and their number.

    logits[:, t] predict labels[:, t + 1]: the shift is done here, as Hugging Face models do it. Labels equal to
    ``ignore_index`` are no targets. ``chunk`` saves memory (``token_logps``). Raises ``ValueError`` for shapes or
    dtypes that do not fit, and on CPU for a sequence without targets or labels outside the vocabulary.

    >>> losses, lengths = sequence_losses(torch.zeros(1, 3, 4), torch.tensor([[0, 1, -100]]))
    >>> losses.exp(), lengths
    (tensor([4.]), tensor([1]))
    """
    floating("logits", logits, 3)
    indices("labels", labels)
    if labels.shape != logits.shape[:2]:
        raise ValueError(f"labels must have shape {tuple(logits.shape[:2])}, as logits, got {tuple(labels.shape)}")
    mask, ids = labels_to_mask(labels, ignore_index)
    lengths = mask.sum(dim=1)
    if labels.device.type == "cpu":
        if int(ids.max()) >= logits.shape[2]:
            raise ValueError(f"labels must be below the vocabulary's {logits.shape[2]}, got {int(ids.max())}")
        if int(lengths.min()) == 0:
            raise ValueError(f"labels must have a target in every sequence, number {int(lengths.argmin())} has none")
    return -sequence_logps(token_logps(logits, ids, chunk), mask, average=True), lengths


def _check_losses(name: str, losses: Tensor) -> None:
    if isinstance(losses, Tensor) and losses.ndim != 1:
        raise ValueError(f"{name} must be a vector, one loss per sample, got shape {tuple(losses.shape)}")
    floating(name, losses, 1)


def _check_strategy(strategy: str, r: float) -> None:
    one_of("strategy", strategy, _STRATEGIES)
    positive("r", r)


def _check_finite(losses: Tensor) -> None:
    if losses.device.type == "cpu" and not math.isfinite(float(losses.sum())):
        wrong = int((~torch.isfinite(losses)).sum())
        if wrong:
            raise ValueError(f"losses must be finite, got {wrong} of {len(losses)} NaN or infinite")


def _ranks(group: Any) -> int:
    return 1 if group is None else dist.get_world_size(group)


@torch.no_grad()
def _gathered(values: Tensor, group: Any) -> tuple[Tensor, int]:
    """The values of all ranks, at least in float32, and this rank's place among them."""
    own = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    if group is None:
        return own, 0
    everyone = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(everyone, own.contiguous(), group=group)
    return torch.cat(everyone), dist.get_rank(group)


def _weights(losses: Tensor, strategy: Strategy, r: float, delta: float) -> Tensor:
    if strategy == "uniform":
        # A NaN stays visible where contents are not checked.
        return losses.mul(0.0).add_(1 / len(losses))
    # Halves, because the range of finite numbers may be infinite.
    low, high = torch.aminmax(losses * 0.5)
    h = (losses - (low + high)).div_((high - low).clamp_min_(_LEAST_RANGE / 2)).clamp_(-1.0, 1.0)
    if delta != 1:
        h.mul_(delta)
    if strategy == "linupper":
        score = h.add_(delta).clamp_max_(delta)
    elif strategy == "quadratic":
        score = 1 - (h / delta).square_()
    elif strategy == "extremes":
        score = h.abs_()
    else:
        score = h.add_(delta).mul_(0.5)
    return torch.softmax(score.div_(r), dim=0)
