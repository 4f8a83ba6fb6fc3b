"""Importance-weighted auto-encoders of small images, several perturbations in lockstep."""

from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neural.density.singular_likelihood import importance_weighted_bound
from neural.ensemble import EnsembleLinear

__all__ = ["fit_importance_weighted"]


class Effort(Protocol):
    """What the trainer needs to know; a settings dataclass has it."""

    @property
    def latent(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def draws(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def evaluation(self) -> int: ...


def fit_importance_weighted(
    data: Float[Tensor, "samples pixels"],
    perturbations: Float[np.ndarray, " models"],
    noises: Float[np.ndarray, " models"],
    learned: Bool[np.ndarray, " models"],
    effort: Effort,
    seed: int,
) -> tuple[Float[np.ndarray, "models images pixels"], Float[np.ndarray, " models"]]:
    """Generated images, without noise, and the model noise of every model.

    All models start alike and see the same batches and the same random numbers, the noise on the data scaled by their
    perturbation. Model noise starts at ``noises`` and is learned where ``learned``.
    """
    rng = torch.Generator(data.device).manual_seed(seed)
    models = len(perturbations)
    encoder = _network(models, (data.shape[1], effort.width, effort.width, 2 * effort.latent), rng)
    generator = _network(models, (effort.latent, effort.width, effort.width, data.shape[1]), rng)
    levels = torch.as_tensor(perturbations, dtype=data.dtype, device=data.device)
    free = torch.as_tensor(learned, device=data.device)
    start = torch.as_tensor(noises, dtype=data.dtype, device=data.device).log()
    log_sigma = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([*encoder.parameters(), *generator.parameters(), log_sigma], lr=effort.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, effort.steps)
    # Data are perturbed once: the estimate is that of one perturbed sample.
    shocks = torch.randn(data.shape, generator=rng, device=data.device)
    for _ in range(effort.steps):
        chosen = torch.randint(len(data), (effort.batch,), generator=rng, device=data.device)
        x = data[chosen] + levels[:, None, None] * shocks[chosen]
        mean, log_std = encoder(x).chunk(2, -1)
        sigma = torch.where(free, log_sigma, start).exp()
        bound = importance_weighted_bound(x, generator, mean, log_std.clamp(-6, 3), sigma, rng, effort.draws)
        optimiser.zero_grad(set_to_none=True)
        (-bound.mean(-1).sum()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        z = torch.randn(effort.evaluation, effort.latent, generator=rng, device=data.device)
        images = generator(z.expand(models, -1, -1)).cpu().numpy()
        return images, torch.where(free, log_sigma, start).exp().cpu().numpy()


def _network(models: int, sizes: tuple[int, ...], rng: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [EnsembleLinear(models, a, b, rng), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
