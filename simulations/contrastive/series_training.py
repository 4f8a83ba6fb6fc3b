"""Training series encoders on pairs of which some are bad: by plain contrastive learning, mining, and an oracle.

All encoders of a task start equal and see the same views and batches. They are one network per learning rate until the
warm-up ends, because nothing distinguishes the methods before; from there on each method weights its pairs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neural.contrastive.bad_pair_mining import (
    BadPairs,
    PairMemory,
    gaussian_pair_weights,
    mine_bad_pairs,
    nt_xent_per_pair,
)
from neural.contrastive.time_series import PairedSeries, SeriesEncoderEnsemble, SeriesViews
from neural.tiny_lm.ensemble import EnsembleAdamW

__all__ = ["METHODS", "MINING", "ORACLE", "PLAIN", "TrainedEncoders", "Training", "gradient_shares", "train"]

PLAIN, MINING, ORACLE = "plain", "mining", "oracle"
METHODS: tuple[str, ...] = (PLAIN, MINING, ORACLE)


@dataclass(frozen=True)
class Training:
    """How encoders are trained, and from where mining flags pairs (deviations below and above the average)."""

    learning_rates: tuple[float, ...]
    epochs: int
    warmup: int
    batch_size: int
    temperature: float
    thresholds: tuple[float, float]
    widths: tuple[int, ...]
    kernel: int
    stride: int
    blocks: int = 0


@dataclass(frozen=True)
class TrainedEncoders:
    """Networks in the order rates × methods, the loss of every pair in every epoch (NaN: not seen), and final flags."""

    models: SeriesEncoderEnsemble
    rates: list[float]
    methods: list[str]
    history: Tensor  # (epochs, models, pairs)
    memory: PairMemory
    untrained: Tensor  # losses of the pairs before the first step
    flags: BadPairs


def train(
    pairs: PairedSeries, views: SeriesViews, settings: Training, rates: tuple[float, ...], generator: torch.Generator
) -> TrainedEncoders:
    """Train all methods at these learning rates."""
    samples, device = len(pairs.series), generator.device
    models = _encoders(pairs, settings, len(rates), generator)
    untrained = _epoch_losses(models, pairs, views, settings, generator)[0]
    optimiser = _optimiser(models, rates)
    memory = PairMemory(samples, stack=(len(rates),), device=device)
    history = torch.full((settings.epochs, len(rates) * len(METHODS), samples), torch.nan, device=device)
    methods: list[str] = [PLAIN] * len(rates)
    flags = _no_flags(len(rates), samples, device)
    for epoch in range(settings.epochs):
        if epoch == settings.warmup:
            models, optimiser, memory = _branched(models, optimiser, memory, pairs, settings, rates, generator)
            methods = list(METHODS) * len(rates)
        if epoch >= settings.warmup:
            flags = _mine(memory.behaviour(), methods, pairs, settings)
        for index in _batches(samples, settings.batch_size, generator):
            losses = _losses(models, pairs, views, settings.temperature, index, generator)
            weights = _weights(losses.detach(), flags, methods, index)
            memory.update(index, losses.detach())
            seen = losses.detach()
            history[epoch][:, index] = seen.repeat_interleave(history.shape[1] // len(seen), 0)
            optimiser.step((weights * losses).mean(-1).sum())
    models.eval()
    branched = [rate for rate in rates for _ in METHODS]
    return TrainedEncoders(models, branched, methods, history, memory, untrained, flags)


def gradient_shares(
    trained: TrainedEncoders, pairs: PairedSeries, views: SeriesViews, settings: Training, generator: torch.Generator
) -> np.ndarray:
    """Share of the faulty pairs in the norms of all pairs' gradients, over their share of pairs, for every model.

    The gradient of each pair's loss by all projections of one batch: what reaches the network because of this pair. The
    batch has faulty pairs in their share, at least one.
    """
    models, size = trained.models, settings.batch_size
    order = torch.randperm(len(pairs.series), generator=generator, device=generator.device)
    spoilt, others = order[pairs.faulty[order]], order[~pairs.faulty[order]]
    count = max(1, round(size * len(spoilt) / len(order)))
    index = torch.cat([spoilt[:count], others[: size - count]])
    with torch.no_grad():
        models.train()
        frozen = copy.deepcopy(models)
        models.eval()
        _, projections = frozen(torch.cat(pairs.views(index, views, generator)))
    projections = F.normalize(projections, dim=-1).requires_grad_()
    z1, z2 = projections.split(len(index), dim=1)
    losses = nt_xent_per_pair(z1, z2, settings.temperature)
    norms = [
        torch.autograd.grad(each.sum(), projections, retain_graph=True)[0].flatten(1).norm(dim=1)
        for each in losses.unbind(1)
    ]
    spent, faulty = torch.stack(norms, 1).double(), pairs.faulty[index].double()
    return ((spent * faulty).sum(1) / spent.sum(1) / faulty.mean()).cpu().numpy()


def _encoders(
    pairs: PairedSeries, settings: Training, models: int, generator: torch.Generator
) -> SeriesEncoderEnsemble:
    return SeriesEncoderEnsemble(
        models, pairs.series.shape[1], generator=generator, widths=settings.widths, kernel=settings.kernel,
        stride=settings.stride, blocks=settings.blocks,
    )  # fmt: skip


def _optimiser(models: SeriesEncoderEnsemble, rates: tuple[float, ...]) -> EnsembleAdamW:
    parameters = list(models.parameters())
    each = torch.tensor(rates, device=parameters[0].device)
    return EnsembleAdamW(parameters, each, weight_decay=0.0, clip_norm=1e9)


def _branched(
    models: SeriesEncoderEnsemble, optimiser: EnsembleAdamW, memory: PairMemory, pairs: PairedSeries,
    settings: Training, rates: tuple[float, ...], generator: torch.Generator,
) -> tuple[SeriesEncoderEnsemble, EnsembleAdamW, PairMemory]:  # fmt: skip
    """Every network once per method: parameters, running statistics, the optimiser's state and the memory."""
    count = len(METHODS)
    # Its own random start is overwritten at once and must not move the generator of views and batches.
    wide = _encoders(pairs, settings, count * len(rates), torch.Generator(generator.device))
    wide.load_state_dict({name: value.repeat_interleave(count, 0) for name, value in models.state_dict().items()})
    wide.train()
    after = _optimiser(wide, tuple(rate for rate in rates for _ in METHODS))
    after.first, after.second = (
        [moment.repeat_interleave(count, 0) for moment in moments] for moments in (optimiser.first, optimiser.second)
    )
    after.steps = optimiser.steps
    remembered = PairMemory(memory.n, stack=(count * len(rates),), device=generator.device)
    remembered.total, remembered.visits = memory.total.repeat_interleave(count, 0), memory.visits.clone()
    return wide, after, remembered


def _mine(m: Tensor, methods: list[str], pairs: PairedSeries, settings: Training) -> BadPairs:
    """Flags of every network by its own method; the oracle's are the truth."""
    flags = _no_flags(len(m), m.shape[-1], m.device)
    rows = torch.tensor([name == MINING for name in methods], device=m.device)
    for whole, part in zip(flags, mine_bad_pairs(m[rows], *settings.thresholds), strict=True):
        whole[rows] = part
    oracle = torch.tensor([name == ORACLE for name in methods], device=m.device)
    flags.noisy[oracle], flags.faulty[oracle] = pairs.noisy, pairs.faulty
    return flags


def _no_flags(models: int, samples: int, device: torch.device) -> BadPairs:
    none = torch.zeros(models, samples, dtype=torch.bool, device=device)
    zero = torch.zeros(models, dtype=torch.float64, device=device)
    return BadPairs(none, none.clone(), zero, zero.clone())


def _weights(losses: Tensor, flags: BadPairs, methods: list[str], index: Tensor) -> Tensor:
    flagged = (flags.noisy | flags.faulty)[:, index]
    weights = gaussian_pair_weights(losses, flagged, flags.mu, flags.sigma)
    oracle = torch.tensor([name == ORACLE for name in methods], device=losses.device)
    return torch.where(oracle[:, None] & flagged, 0.0, weights)


def _losses(
    models: SeriesEncoderEnsemble, pairs: PairedSeries, views: SeriesViews, temperature: float, index: Tensor,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    _, projections = models(torch.cat(pairs.views(index, views, generator)))
    z1, z2 = projections.split(len(index), dim=1)
    return nt_xent_per_pair(z1, z2, temperature)


@torch.no_grad()
def _epoch_losses(
    models: SeriesEncoderEnsemble, pairs: PairedSeries, views: SeriesViews, settings: Training,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Losses of every pair that an epoch's batches reach, without a step and without a trace in running statistics."""
    frozen = copy.deepcopy(models).train()
    losses = torch.full((models.models, len(pairs.series)), torch.nan, device=generator.device)
    for index in _batches(len(pairs.series), settings.batch_size, generator):
        losses[:, index] = _losses(frozen, pairs, views, settings.temperature, index, generator)
    return losses


def _batches(samples: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Batches of one size in random order; what is left over waits for another epoch."""
    order = torch.randperm(samples, generator=generator, device=generator.device)
    return list(order[: samples // size * size].split(size))
