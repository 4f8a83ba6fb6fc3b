"""Photographs, the three families of noise on them, and the denoisers that Noise2Score is compared with.

    Gaussian  y = x + σ N(0, I)          Poisson  y = ζ · Poisson(x/ζ)          Gamma  y = x · Gamma(α, scale 1/α)

Images are (images, channels, height, width) with x in [0, 1]; noisy values are never clipped, which would change the
family. ``photograph`` loads what ships with scikit-image and scikit-learn. Noise2Noise regresses one noisy image on
another of the same scene, Noise2Void a pixel on its surroundings; training on Stein's estimate is ``sure_gaussian`` in
``neural.density.noise2score``.

Source: Lehtinen et al. (2018) for Noise2Noise, Krull, Buchholz and Jug (2019) for Noise2Void.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neural.validation import finite_contents, floating, in_range, one_of, positive, whole_number

__all__ = [
    "NoiseFamily",
    "ResidualDenoiser",
    "add_noise",
    "blind_spots",
    "noise2noise_loss",
    "noise2void_loss",
    "photograph",
    "psnr",
    "random_crops",
]

NoiseFamily = Literal["gaussian", "poisson", "gamma"]
"""Additive Gaussian noise (level σ), scaled Poisson counts (ζ), multiplicative Gamma noise of mean one (α)."""

Images = Float[Tensor, "images channels height width"]

_SAMPLE_IMAGES = ("china", "flower")
_NEIGHBOURS = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)]


def photograph(name: str, shrink: int = 2) -> Float[Tensor, "1 1 height width"]:
    """A grey photograph in [0, 1], averaged over ``shrink × shrink`` pixels, which removes the camera's own noise.

    "china" and "flower" of scikit-learn, or any image of ``skimage.data`` that ships with scikit-image. Colours are
    weighted 0.2125, 0.7154, 0.0721. Raises ``ValueError`` for a name of neither and ``shrink < 1``.

    >>> photograph("camera").shape
    torch.Size([1, 1, 256, 256])
    """
    import skimage.data
    from sklearn.datasets import load_sample_image

    whole_number("shrink", shrink, 1)
    if name in _SAMPLE_IMAGES:
        raw = load_sample_image(f"{name}.jpg")
    elif isinstance(name, str) and callable(getattr(skimage.data, name, None)):
        raw = getattr(skimage.data, name)()
    else:
        raise ValueError(f"name must be one of {_SAMPLE_IMAGES} or an image of skimage.data, got {name!r}")
    pixels = np.asarray(raw, dtype=np.float64) / 255
    if pixels.ndim == 3:
        pixels = pixels[..., :3] @ np.array([0.2125, 0.7154, 0.0721])
    rows, columns = (side // shrink for side in pixels.shape)
    blocks = pixels[: rows * shrink, : columns * shrink].reshape(rows, shrink, columns, shrink)
    return torch.as_tensor(blocks.mean((1, 3)), dtype=torch.float32)[None, None]


def add_noise(x: Images, noise: NoiseFamily, param: float, rng: torch.Generator) -> Images:
    """Noisy images: ``param`` is σ for Gaussian, ζ for Poisson and the shape α for Gamma noise.

    Raises ``ValueError`` for images that are empty, not floating-point or (on CPU) not finite or, for Poisson and
    Gamma noise, negative; for another family and a ``param`` that is not positive.
    """
    _images("x", x)
    one_of("noise", noise, get_args(NoiseFamily))
    positive("param", param)
    if noise == "gaussian":
        return x + param * torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
    if x.device.type == "cpu" and bool((x < 0).any()):
        raise ValueError(f"x must be at least 0 for {noise} noise, got {float(x.min())}")
    if noise == "poisson":
        return param * torch.poisson(x / param, generator=rng)
    # torch.distributions.Gamma takes no generator.
    return x * torch._standard_gamma(torch.full_like(x, param), generator=rng) / param  # type: ignore[reportPrivateImportUsage]


def random_crops(
    images: list[Images], size: int, count: int, rng: torch.Generator
) -> list[Float[Tensor, "crops channels size size"]]:
    """The same ``count`` random squares of images that belong together (clean, noisy), flipped and turned alike.

    Every crop has its own place; all crops of one call are mirrored and turned together. Raises ``ValueError`` for
    images of different sizes, and a ``size`` or ``count`` below 1 or above what the images hold.
    """
    whole_number("size", size, 1)
    whole_number("count", count, 1)
    if not images:
        raise ValueError("images must hold at least one tensor, got none")
    for image in images:
        _images("images", image)
    first = images[0]
    if any(image.shape != first.shape for image in images):
        raise ValueError(f"images must agree in shape, got {[tuple(image.shape) for image in images]}")
    number, _, height, width = first.shape
    if size > min(height, width):
        raise ValueError(f"size must be at most {min(height, width)}, got {size}")
    device = first.device
    which = torch.randint(number, (count, 1, 1), generator=rng, device=device)
    top = torch.randint(height - size + 1, (count, 1, 1), generator=rng, device=device)
    left = torch.randint(width - size + 1, (count, 1, 1), generator=rng, device=device)
    steps = torch.arange(size, device=device)
    rows, columns = top + steps[:, None], left + steps
    quarter, mirror = (int(k) for k in torch.randint(4, (2,), generator=rng, device=device))
    crops = []
    for image in images:
        crop = image.movedim(1, -1)[which, rows, columns].movedim(-1, 1)
        crop = torch.rot90(crop, quarter, (2, 3))
        crops.append((crop.flip(3) if mirror % 2 else crop).contiguous())
    return crops


def psnr(found: Images, clean: Images) -> Float[Tensor, " images"]:
    """``10 log₁₀ (1/MSE)`` in decibels per image, after clipping ``found`` to [0, 1]; the peak is 1.

    Infinite where the two are equal. Raises ``ValueError`` for images that are empty, not floating-point, (on CPU) not
    finite or of different shapes.

    >>> psnr(torch.full((1, 1, 2, 2), 0.6), torch.full((1, 1, 2, 2), 0.5)).round(decimals=4).tolist()
    [20.0]
    """
    _images("found", found)
    _images("clean", clean)
    _same_shape("found", found, "clean", clean)
    return -10 * (found.clamp(0, 1) - clean).square().mean((1, 2, 3)).log10()


class ResidualDenoiser(nn.Module):
    """``f(y) = y + scale · network(y)``: the network predicts minus the noise, in units of ``scale``.

    Raises ``ValueError`` for a ``scale`` that is not positive.
    """

    def __init__(self, network: nn.Module, scale: float = 0.1) -> None:
        super().__init__()
        positive("scale", scale)
        self.network, self.scale = network, scale

    def forward(self, y: Images) -> Images:
        """The denoised images. Raises ``ValueError`` for images that are empty, not floating-point or not finite."""
        _images("y", y)
        return y + self.scale * self.network(y)


def noise2noise_loss(model: Callable[[Tensor], Tensor], y: Images, other: Images) -> Float[Tensor, ""]:
    """``mean (f(y) − y')²`` for two independent noisy images of one scene; with a clean ``other`` it is supervised.

    Its minimiser is E[x | y], because ``E[y' | y] = E[x | y]`` for noise of mean zero. Raises ``ValueError`` for images
    that are empty, not floating-point, (on CPU) not finite or of different shapes.
    """
    _images("y", y)
    _images("other", other)
    _same_shape("y", y, "other", other)
    return (model(y) - other).square().mean()


def blind_spots(y: Images, share: float, rng: torch.Generator) -> tuple[Images, Bool[Tensor, "images 1 height width"]]:
    """Images with a share of their pixels replaced by one of the 24 pixels around them, and where that was done.

    Neighbours wrap around the edges. Raises ``ValueError`` for images that are empty, not floating-point or (on CPU)
    not finite, and unless ``0 < share < 1``.
    """
    _images("y", y)
    in_range("share", share, 0, 1)
    if share in (0, 1):
        raise ValueError(f"share must be above 0 and below 1, got {share!r}")
    number, _, height, width = y.shape
    mask = torch.rand((number, 1, height, width), generator=rng, device=y.device) < share
    image, row, column = mask[:, 0].nonzero(as_tuple=True)
    offsets = torch.tensor(_NEIGHBOURS, device=y.device)
    away = offsets[torch.randint(len(offsets), row.shape, generator=rng, device=y.device)]
    replaced = y.clone()
    replaced[image, :, row, column] = y[image, :, (row + away[:, 0]) % height, (column + away[:, 1]) % width]
    return replaced, mask


def noise2void_loss(
    model: Callable[[Tensor], Tensor], y: Images, rng: torch.Generator, share: float = 0.1
) -> Float[Tensor, ""]:
    """``mean (f(y with blind spots) − y)²`` over the blind spots alone: a pixel from its surroundings.

    Raises ``ValueError`` as ``blind_spots`` does. Without any blind spot the loss is 0.
    """
    seen, mask = blind_spots(y, share, rng)
    squared = (model(seen) - y).square() * mask
    return squared.sum() / (mask.sum() * y.shape[1]).clamp_min(1)


def _images(name: str, value: Tensor) -> None:
    floating(name, value, 4)
    finite_contents(name, value)


def _same_shape(first: str, a: Tensor, second: str, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{first} and {second} must agree in shape, got {tuple(a.shape)} and {tuple(b.shape)}")
