"""Photographs for denoising, networks trained on them by every method, and classical denoisers, all tuned alike.

Photographs are grey and averaged over 2 × 2 pixels. Training photographs are cut into strips, of which every sixth is
kept for validation. Every noisy pixel exists once, except where Noise2Noise needs a second noisy image.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural.density.image_noise import (
    NoiseFamily,
    ResidualDenoiser,
    add_noise,
    noise2noise_loss,
    noise2void_loss,
    photograph,
    psnr,
    random_crops,
)
from neural.density.noise2score import ARDAELoss, Noise2Score, ScoreCNN, sure_gaussian

__all__ = [
    "CLASSICAL",
    "LEARNED",
    "Effort",
    "classical_denoiser",
    "denoised_by",
    "fit_network",
    "mean_psnr",
    "training_strips",
    "unseen_photographs",
]

LEARNED = ("noise2score", "noise2void", "sure", "noise2noise", "supervised")
"""Noise2Score, Noise2Void and SURE see one noisy image per scene, Noise2Noise two, supervised training a clean one."""

CLASSICAL = ("total variation", "non-local means")

_HELD_OUT = 6
_LEVELS_OF_SA: dict[str, tuple[float, float]] = {"gaussian": (0.1, 0.02), "poisson": (1.0, 0.5), "gamma": (0.1, 0.02)}


class Effort(Protocol):
    """What the trainer needs to know; a settings dataclass has it."""

    @property
    def photographs(self) -> tuple[str, ...]: ...
    @property
    def width(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def batch(self) -> int: ...


def training_strips(names: Sequence[str], size: int) -> tuple[Float[Tensor, "n 1 h w"], Float[Tensor, "m 1 k l"]]:
    """Clean strips, twice as wide as a crop of ``size``, to train on, and every sixth one to validate with."""
    photographs = [photograph(name) for name in names]
    rows = min(whole.shape[2] for whole in photographs)
    strips = [
        strip
        for whole in photographs
        for strip in whole[..., :rows, :].split(2 * size, 3)
        if strip.shape[3] == 2 * size
    ]
    held_out = [strip for k, strip in enumerate(strips) if k % _HELD_OUT == 2]
    return torch.cat([strip for k, strip in enumerate(strips) if k % _HELD_OUT != 2]), torch.cat(held_out)


def unseen_photographs(names: Sequence[str], side: int) -> Float[Tensor, "images 1 side side"]:
    """The centres of photographs that were not trained on."""
    centres = []
    for name in names:
        whole = photograph(name)
        top, left = (whole.shape[2] - side) // 2, (whole.shape[3] - side) // 2
        centres.append(whole[..., top : top + side, left : left + side])
    return torch.cat(centres)


def fit_network(
    method: str,
    clean: Float[Tensor, "n 1 h w"],
    noise: NoiseFamily,
    levels: Sequence[float],
    effort: Effort,
    *,
    rate: float,
    steps: int,
    seed: int,
    device: str,
) -> nn.Module:
    """A network trained by one of ``LEARNED``; strip k has the noise level ``levels[k % len(levels)]``.

    All methods of one seed share strips, noise, initial weights and Adam, whose rate falls linearly to 1e-5. The result
    of Noise2Score is a score, that of the others a denoiser.
    """
    noisy, again = (_noisy_strips(clean, noise, levels, seed + k, device) for k in (0, 1))
    unit = 1.0
    if noise == "poisson" and method == "noise2score":
        noisy = noisy / _column(levels, len(clean), device)
        # Counts have the size of 1/level; the network needs data of size one, whatever the levels are.
        unit = float(noisy.square().mean().sqrt())
    rng = torch.Generator(device).manual_seed(seed + 2)
    start = torch.Generator().manual_seed(seed)
    network = ScoreCNN(1, effort.width, effort.depth, unit=unit, generator=start).to(device)
    model = network if method == "noise2score" else ResidualDenoiser(network)
    loss_of = _loss(method, model, noise, levels, steps)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    second = {"noise2noise": again, "supervised": clean.to(device)}.get(method)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate + (1e-5 - rate) * step / max(1, steps - 1)
        crops = random_crops([noisy] if second is None else [noisy, second], effort.size, effort.batch, rng)
        optimiser.zero_grad(set_to_none=True)
        loss_of(crops, rng).backward()
        optimiser.step()
    return model.eval()


def denoised_by(method: str, model: nn.Module, y: Tensor, noise: NoiseFamily, param: float) -> Tensor:
    """What a trained network makes of noisy images."""
    if method == "noise2score":
        return Noise2Score(model).denoise(y, noise, param)
    with torch.no_grad():
        return model(y)


def classical_denoiser(method: str, y: Tensor, param: float, setting: float) -> Tensor:
    """scikit-image's Chambolle total variation of a weight, or non-local means of a strength in units of the level."""
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    images = y[:, 0].cpu().numpy().astype(np.float64)
    if method == "total variation":
        found = [denoise_tv_chambolle(image, weight=setting) for image in images]
    else:
        found = [
            denoise_nl_means(image, patch_size=5, patch_distance=6, h=setting * param, sigma=param, fast_mode=True)
            for image in images
        ]
    return torch.as_tensor(np.stack(found), dtype=y.dtype, device=y.device)[:, None]


def mean_psnr(found: Tensor, clean: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio in decibels."""
    return float(psnr(found, clean).mean())


def _noisy_strips(clean: Tensor, noise: NoiseFamily, levels: Sequence[float], seed: int, device: str) -> Tensor:
    rng = torch.Generator(device).manual_seed(seed)
    strips = [add_noise(strip[None], noise, levels[k % len(levels)], rng) for k, strip in enumerate(clean.to(device))]
    return torch.cat(strips)


def _column(levels: Sequence[float], strips: int, device: str) -> Tensor:
    repeated = [levels[k % len(levels)] for k in range(strips)]
    return torch.tensor(repeated, device=device)[:, None, None, None]


def _loss(
    method: str, model: nn.Module, noise: NoiseFamily, levels: Sequence[float], steps: int
) -> Callable[[list[Tensor], torch.Generator], Tensor]:
    if method == "noise2score":
        annealed: Any = ARDAELoss(*_LEVELS_OF_SA[noise], steps)
        return lambda crops, rng: annealed(
            model, crops[0], torch.randn(crops[0].shape, generator=rng, device=crops[0].device)
        )
    if method == "noise2void":
        return lambda crops, rng: noise2void_loss(model, crops[0], rng)
    if method == "sure":
        return lambda crops, rng: sure_gaussian(crops[0], model, levels[0], generator=rng).mean()
    return lambda crops, rng: noise2noise_loss(model, crops[0], crops[1])
