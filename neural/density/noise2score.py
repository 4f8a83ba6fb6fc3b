"""Noise2Score: one network learns the score of noisy images from noisy images alone; Tweedie's formula denoises.

Training never uses the family or the level of the noise. With u ~ N(0, I) and a small sa,

    L(θ) = E |sa R_θ(y + sa u) + u|²,        minimiser R = ∇ log p_sa,  p_sa = p ∗ N(0, sa² I)   (AR-DAE),

where sa falls during training and is 0 afterwards. Denoising is a closed form of the score for the noise at hand,

    Gaussian  x̂ = y + σ² R(y),     Poisson  x̂ = (y + ζ/2) exp(R(y/ζ)),     Gamma  x̂ = α y/((α − 1) − y R(y)),

the score of Poisson noise being that of the counts y/ζ. An unknown level is the one of a grid whose image has the
smallest total variation (with a likelihood term for Poisson and Gamma noise).

    loss = ARDAELoss(sa_max=0.1, sa_min=0.02, steps=300)        # call it once per step: loss(network, noisy)
    clean = Noise2Score(network).denoise(noisy, "gaussian", 25 / 255)
    sigma, curve = estimate_noise_parameter(noisy, network, "gaussian", [k / 255 for k in range(6, 56)])

Source: Kim and Ye (2021), NeurIPS; AR-DAE is of Lim et al. (2020), SURE of Stein (1981).
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural.density.image_noise import NoiseFamily
from neural.validation import Reduction, at_least, finite_contents, floating, one_of, positive, reduce, whole_number

__all__ = [
    "ARDAELoss",
    "Criterion",
    "Noise2Score",
    "ScoreCNN",
    "ar_dae_loss",
    "estimate_noise_parameter",
    "sure_gaussian",
]

Criterion = Literal["tv", "tv alone"]
"""The paper's criterion of the noise family, or total variation alone for every family."""

Images = Float[Tensor, "images channels height width"]
Network = Callable[[Tensor], Tensor]

_EXPONENT_LIMIT = 20.0
_LEAST_DENOMINATOR = 1e-3
_PIXELS_AT_ONCE = 2**19


def ar_dae_loss(
    model: Network,
    y: Float[Tensor, "batch *shape"],
    sa: float | Float[Tensor, " batch"],
    noise: Float[Tensor, "batch *shape"] | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """``(sa R(y + sa u) + u)²`` of every element; the optimal R is the score of the density blurred by sa.

    ``sa`` is one number or one per element of the batch, ``noise`` is u (drawn from the global generator if not
    given). The least possible mean is ``1 − sa² E|score|²`` per dimension, never 0. Raises ``ValueError`` for data that
    are empty, not floating-point or (on CPU) not finite, ``sa`` not above 0, noise or output of another shape, and
    another reduction.

    >>> ar_dae_loss(torch.zeros_like, torch.zeros(2, 3), 0.1, noise=torch.ones(2, 3)).item()
    1.0
    """
    floating("y", y)
    finite_contents("y", y)
    if y.ndim < 2:
        raise ValueError(f"y must be (batch, …), got shape {tuple(y.shape)}")
    scale = _per_image("sa", sa, y)
    if noise is None:
        noise = torch.randn_like(y)
    floating("noise", noise)
    finite_contents("noise", noise)
    if noise.shape != y.shape:
        raise ValueError(f"noise must have y's shape {tuple(y.shape)}, got {tuple(noise.shape)}")
    return reduce((scale * _score(model, y + scale * noise) + noise).square(), reduction)


class ARDAELoss(nn.Module):
    """``ar_dae_loss`` with sa falling linearly from ``sa_max`` in the first call to ``sa_min`` in call ``steps``.

    It stays at ``sa_min`` afterwards. The schedule counts calls in training mode, not epochs, and is part of the state
    dict. Raises ``ValueError`` unless ``sa_max >= sa_min > 0`` and ``steps >= 1``.
    """

    calls: Tensor

    def __init__(self, sa_max: float, sa_min: float, steps: int, reduction: Reduction = "mean") -> None:
        super().__init__()
        positive("sa_max", sa_max)
        positive("sa_min", sa_min)
        whole_number("steps", steps, 1)
        one_of("reduction", reduction, get_args(Reduction))
        if sa_min > sa_max:
            raise ValueError(f"sa_min must be at most sa_max, got {sa_min} above {sa_max}")
        self.sa_max, self.sa_min, self.steps = sa_max, sa_min, steps
        self.reduction: Reduction = reduction
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64, device="cpu"))

    @property
    def sa(self) -> float:
        """The level of the next call."""
        done = 1.0 if self.steps == 1 else min(1.0, int(self.calls) / (self.steps - 1))
        return self.sa_max + (self.sa_min - self.sa_max) * done

    def forward(
        self, model: Network, y: Float[Tensor, "batch *shape"], noise: Float[Tensor, "batch *shape"] | None = None
    ) -> Tensor:
        """The loss at the present level. Raises ``ValueError`` as ``ar_dae_loss`` does."""
        loss = ar_dae_loss(model, y, self.sa, noise, self.reduction)
        if self.training:
            self.calls += 1
        return loss


class ScoreCNN(nn.Module):
    """3 × 3 convolutions with LeakyReLU, as many channels out as in: a score, or the correction of a denoiser.

    ``downscale`` > 1 works on ``downscale²`` interleaved images of smaller size, which sees as much farther for as much
    less work; sides must then be multiples of it. ``unit`` is the scale of the data, 1 for images in [0, 1]: a score in
    other units is ``R(y/unit)/unit``, and counts need one to train well. Raises ``ValueError`` for whole numbers below
    1, a ``depth`` below 2, a negative ``slope`` and a ``unit`` that is not positive.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 20,
        depth: int = 4,
        slope: float = 0.1,
        *,
        downscale: int = 1,
        unit: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, number, least in (
            ("channels", channels, 1), ("width", width, 1), ("depth", depth, 2), ("downscale", downscale, 1),
        ):  # fmt: skip
            whole_number(name, number, least)
        at_least("slope", slope, 0)
        positive("unit", unit)
        self.channels, self.downscale, self.unit = channels, downscale, unit
        outer = channels * downscale**2
        sizes = [outer] + [width] * (depth - 1) + [outer]
        layers: list[nn.Module] = [nn.PixelUnshuffle(downscale)] if downscale > 1 else []
        for k in range(depth):
            layer = nn.Conv2d(sizes[k], sizes[k + 1], 3, padding=1)
            layer.bias = nn.Parameter(torch.zeros(sizes[k + 1]))
            nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu", generator=generator)
            layers += [layer, nn.LeakyReLU(slope)] if k < depth - 1 else [layer]
        self.layers = nn.Sequential(*layers, *([nn.PixelShuffle(downscale)] if downscale > 1 else []))

    def forward(self, y: Images) -> Images:
        """One value per pixel. Raises ``ValueError`` for other shapes than the network's and (on CPU) what is not
        finite."""
        floating("y", y, 4)
        finite_contents("y", y)
        if y.shape[1] != self.channels or y.shape[2] % self.downscale or y.shape[3] % self.downscale:
            raise ValueError(
                f"y must be (images, {self.channels}, height, width) with sides that are multiples of "
                f"{self.downscale}, got {tuple(y.shape)}"
            )
        return self.layers(y / self.unit) / self.unit if self.unit != 1 else self.layers(y)


class Noise2Score:
    """Tweedie's formulas around a network that estimates the score of noisy images."""

    def __init__(self, model: Network) -> None:
        if not callable(model):
            raise ValueError(f"model must be callable, got {type(model).__name__}")
        self.model = model

    @torch.no_grad()
    def denoise(self, y: Images, noise: NoiseFamily, param: float) -> Images:
        """``E[x | y]`` for Gaussian noise of std ``param``, the geometric posterior mean for Poisson noise
        ``y = param · counts``, the harmonic one for Gamma noise of shape ``param``.

        Exponents are limited to ±20 (Poisson), denominators to at least 1e-3 (Gamma, with a ``RuntimeWarning`` that
        says how many were below). Never clip y before. Raises ``ValueError`` for images that are empty, not
        floating-point, (on CPU) not finite or, for Poisson and Gamma noise, negative; another family; a ``param`` that
        is not positive, or not above 1 for Gamma noise; and a model that changes the shape.
        """
        _noisy(y, noise)
        _level("param", param, noise)
        denoised = _tweedie(y, _score(self.model, _seen(y, noise, param)), noise, param)
        if noise == "gamma" and y.device.type == "cpu":
            limited = int((denoised * _LEAST_DENOMINATOR >= param * y * (1 - 1e-6)).logical_and(y > 0).sum())
            if limited:
                text = f"{limited} of {y.numel()} denominators were limited to {_LEAST_DENOMINATOR:g}"
                warnings.warn(text, RuntimeWarning, stacklevel=2)
        return denoised


@torch.no_grad()
def estimate_noise_parameter(
    y: Images, model: Network, noise: NoiseFamily, grid: Sequence[float], criterion: Criterion = "tv"
) -> tuple[float, Float[Tensor, " grid"]]:
    """The level of the grid at which the denoised images have the smallest criterion, and the criterion on the grid.

        Gaussian  TV(x̂)
        Poisson   0.1 TV(max(x̂, 0)) + mean of x̂ − y log x̂ where x̂ > 0
        Gamma     TV(x̂) + mean log x̂ + mean y/x̂ + mean (y/x̂)²

    with TV the mean absolute difference of vertical neighbours plus that of horizontal ones. For Gaussian and Gamma
    noise the network does not see the level: it is called once for the whole grid. For Poisson noise, whose counts
    depend on it, the grid goes through the network in batches. ``"tv alone"`` is TV(x̂) for every family.

    Raises ``ValueError`` for images that ``Noise2Score.denoise`` refuses or with less than two rows or columns, a grid
    that is empty or has a level that is not positive (above 1 for Gamma), and another family or criterion.
    """
    _noisy(y, noise)
    if min(y.shape[2:]) < 2:
        raise ValueError(f"y must have at least 2 rows and columns, got {tuple(y.shape)}")
    if len(grid) == 0:
        raise ValueError("grid must hold at least one level, got none")
    for level in grid:
        _level("grid", level, noise)
    one_of("criterion", criterion, get_args(Criterion))
    family = noise if criterion == "tv" else "gaussian"
    together = max(1, _PIXELS_AT_ONCE // y.numel())
    score = None if noise == "poisson" else _score(model, y)
    values: list[Tensor] = []
    for start in range(0, len(grid), together):
        levels = torch.tensor(list(grid[start : start + together]), dtype=y.dtype, device=y.device)
        levels = levels[:, None, None, None, None]
        scores = score
        if scores is None:
            counts = y / levels
            scores = _score(model, counts.flatten(0, 1)).reshape(counts.shape)
        values.append(_criterion(_tweedie(y, scores, noise, levels), y, family))
    curve = torch.cat(values)
    return float(grid[int(curve.argmin())]), curve


def sure_gaussian(
    y: Images, f: Network, sigma: float, n_probe: int = 1, *, generator: torch.Generator | None = None
) -> Float[Tensor, " images"]:
    """Stein's unbiased estimate of every image's mean squared error, from the noisy image alone, per pixel:

        |f(y) − y|²/N − σ² + 2 σ² div f(y)/N,        div f = E bᵀ J_f b with random signs b  (Hutchinson).

    With ``f = y + σ² R`` it is ``σ² + σ⁴ (|R|² + 2 div R)/N``: score matching without noise added. Differentiable, so
    that it is also a loss. Raises ``ValueError`` for images that are empty, not floating-point or (on CPU) not finite,
    ``sigma`` not above 0, ``n_probe < 1`` and an f that changes the shape.

    >>> sure_gaussian(torch.zeros(1, 1, 4, 4), lambda y: 0.5 * y, 1.0).item()
    0.0
    """
    floating("y", y, 4)
    finite_contents("y", y)
    positive("sigma", sigma)
    whole_number("n_probe", n_probe, 1)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        at = y if y.requires_grad else y.detach().requires_grad_()
        value = f(at)
        if value.shape != y.shape or not value.requires_grad:
            raise ValueError(f"f must keep y's shape {tuple(y.shape)} and be differentiable, got {tuple(value.shape)}")
        divergence = torch.zeros(len(y), device=y.device, dtype=value.dtype)
        for _ in range(n_probe):
            signs = torch.randint(0, 2, y.shape, generator=generator, device=y.device).to(value.dtype) * 2 - 1
            (product,) = torch.autograd.grad(value, at, signs, create_graph=training, retain_graph=True)
            divergence = divergence + (signs * product).mean((1, 2, 3))
    estimate = (value - y).square().mean((1, 2, 3)) - sigma**2 + 2 * sigma**2 * divergence / n_probe
    return estimate if training else estimate.detach()


def _seen(y: Tensor, noise: NoiseFamily, param: float) -> Tensor:
    """What the network sees: counts for Poisson noise."""
    return y / param if noise == "poisson" else y


def _tweedie(y: Tensor, score: Tensor, noise: NoiseFamily, param: float | Tensor) -> Tensor:
    if noise == "gaussian":
        return y + param**2 * score
    if noise == "poisson":
        return (y + param / 2) * score.clamp(-_EXPONENT_LIMIT, _EXPONENT_LIMIT).exp()
    return param * y / ((param - 1) - y * score).clamp_min(_LEAST_DENOMINATOR)


def _criterion(denoised: Tensor, y: Tensor, noise: NoiseFamily) -> Tensor:
    """One value per level; ``denoised`` is (levels, images, channels, height, width)."""
    axes = (1, 2, 3, 4)
    if noise == "gaussian":
        return _total_variation(denoised)
    if noise == "poisson":
        above = denoised > 0
        # Where x̂ is not positive it does not count; 1 keeps its logarithm finite.
        safe = torch.where(above, denoised, 1)
        fit = ((safe - y * safe.log()) * above).sum(axes) / above.sum(axes).clamp_min(1)
        return 0.1 * _total_variation(denoised.clamp_min(0)) + fit
    # y = 0 gives x̂ = 0 and y/x̂ = 0/0: such pixels say nothing of the level.
    above = (y > 0).expand_as(denoised)
    safe = torch.where(above, denoised, 1)
    ratio = y / safe
    fit = ((safe.log() + ratio + ratio.square()) * above).sum(axes) / above.sum(axes).clamp_min(1)
    return _total_variation(denoised) + fit


def _total_variation(images: Tensor) -> Tensor:
    return images.diff(dim=3).abs().mean((1, 2, 3, 4)) + images.diff(dim=4).abs().mean((1, 2, 3, 4))


def _score(model: Network, y: Tensor) -> Tensor:
    score = model(y)
    if score.shape != y.shape:
        raise ValueError(f"model must keep the shape {tuple(y.shape)}, got {tuple(score.shape)}")
    return score


def _noisy(y: Tensor, noise: NoiseFamily) -> None:
    floating("y", y, 4)
    finite_contents("y", y)
    one_of("noise", noise, get_args(NoiseFamily))
    if noise != "gaussian" and y.device.type == "cpu" and bool((y < 0).any()):
        raise ValueError(f"y must be at least 0 for {noise} noise, got {float(y.min())}")


def _level(name: str, value: float, noise: NoiseFamily) -> None:
    positive(name, value)
    if noise == "gamma" and value <= 1:
        raise ValueError(f"{name} must be above 1 for Gamma noise, got {value!r}")


def _per_image(name: str, value: float | Tensor, y: Tensor) -> float | Tensor:
    if not isinstance(value, Tensor):
        positive(name, value)
        return value
    floating(name, value, 1)
    finite_contents(name, value)
    if len(value) != len(y) or (value.device.type == "cpu" and bool((value <= 0).any())):
        raise ValueError(f"{name} must be above 0, one for each of {len(y)}, got {value!r}")
    return value.reshape(-1, *(1,) * (y.ndim - 1))
