"""Small images for contrastive experiments, and the views that augmentation makes of them.

``digits`` are scikit-learn's 1797 handwritten digits, 8 x 8; ``glyphs`` are generated patterns in as
many classes as wanted, for methods that need false negatives to be rare. ``Views`` turns a batch of images
into randomly transformed copies. The clutter it adds is a nuisance that a good representation must ignore:
without it the raw pixels already classify so well that no method can show a gain.

All randomness goes through explicit generators.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from neural.validation import at_least, finite_contents, floating, whole_number

__all__ = ["LabelledImages", "Views", "clutter", "digits", "glyphs"]

SIDE = 8
_CLUTTER_PATTERNS, _CLUTTER_SEED, _EVALUATION_SEED = 12, 123, 999


@dataclass(frozen=True)
class LabelledImages:
    """Images as rows of 64 pixels with their classes, split once into a part to train on and one to test on."""

    train: Float[Tensor, "train_samples pixels"]
    train_labels: Int[Tensor, " train_samples"]
    test: Float[Tensor, "test_samples pixels"]
    test_labels: Int[Tensor, " test_samples"]

    def to(self, device: str) -> "LabelledImages":
        """The same on another device."""
        return LabelledImages(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def digits(seed: int) -> LabelledImages:
    """Handwritten digits with pixels in [0, 1], split 70/30 by class with this seed.

    Raises ``ValueError`` for a seed that is not a whole number of at least 0.
    """
    whole_number("seed", seed, 0)
    pixels, labels = load_digits(return_X_y=True)
    return _split(torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels), seed)


def glyphs(
    classes: int = 100, per_class: int = 20, within: float = 0.6, *, seed: int = 7, split_seed: int = 0
) -> LabelledImages:
    """Generated patterns: a smooth random field per class plus ``within`` times a smoother one per image.

    Raises ``ValueError`` for fewer than two classes or images per class, a negative ``within`` or seed.
    """
    for name, number, least in (
        ("classes", classes, 2), ("per_class", per_class, 2), ("seed", seed, 0), ("split_seed", split_seed, 0),
    ):  # fmt: skip
        whole_number(name, number, least)
    at_least("within", within, 0)
    generator = torch.Generator().manual_seed(seed)
    patterns = F.interpolate(
        torch.randn(classes, 1, 5, 5, generator=generator), size=(SIDE, SIDE), mode="bicubic", align_corners=False
    ).flatten(1)
    patterns = (patterns - patterns.mean(1, keepdim=True)) / patterns.std(1, keepdim=True)
    variation = _smooth_fields(classes * per_class, generator)
    labels = torch.arange(classes).repeat_interleave(per_class)
    return _split(0.6 * patterns[labels] + within * variation, labels, split_seed)


def clutter(
    images: Float[Tensor, "batch pixels"], amplitude: float, generator: torch.Generator
) -> Float[Tensor, "batch pixels"]:
    """Images plus twelve fixed smooth patterns in random amounts of standard deviation ``amplitude``.

    Raises ``ValueError`` for images that are not floating-point rows of 64 pixels or (on CPU) not finite, and for a
    negative ``amplitude``.
    """
    _check_images(images)
    at_least("amplitude", amplitude, 0)
    patterns = _smooth_fields(_CLUTTER_PATTERNS, torch.Generator().manual_seed(_CLUTTER_SEED))
    patterns = F.normalize(patterns, dim=1).to(images.device, images.dtype)
    amounts = torch.randn(len(images), _CLUTTER_PATTERNS, generator=generator, device=images.device, dtype=images.dtype)
    return images + amplitude * (amounts @ patterns)


@dataclass(frozen=True)
class Views:
    """Random transformations of 8 x 8 images: what an encoder should not see.

    Rotation within ±0.35 rad, scale within 20 %, translation within ``shift`` pixels, a contrast factor within
    ``contrast`` of 1, Gaussian ``noise`` per pixel, an erased square of ``erase`` pixels a side, and clutter.
    Raises ``ValueError`` for a strength that is negative or not finite, and for an ``erase`` not in 0 … 8.
    """

    shift: float = 0.5
    noise: float = 0.05
    erase: int = 2
    contrast: float = 0.3
    clutter: float = 0.15

    def __post_init__(self) -> None:
        for name in ("shift", "noise", "contrast", "clutter"):
            at_least(name, getattr(self, name), 0)
        whole_number("erase", self.erase, 0)
        if self.erase > SIDE:
            raise ValueError(f"erase must be at most {SIDE} pixels, got {self.erase}")

    def __call__(
        self, images: Float[Tensor, "batch pixels"], generator: torch.Generator
    ) -> Float[Tensor, "batch pixels"]:
        """One random view of every image; raises ``ValueError`` as ``clutter``."""
        _check_images(images)
        count, device = len(images), images.device

        def uniform(low: float, high: float) -> Tensor:
            return torch.rand(count, generator=generator, device=device) * (high - low) + low

        angle, scale = uniform(-0.35, 0.35), uniform(0.8, 1.2)
        # affine_grid measures in half-widths: one pixel is 2/8.
        across, down = uniform(-self.shift, self.shift) * 2 / SIDE, uniform(-self.shift, self.shift) * 2 / SIDE
        rows = [scale * angle.cos(), -scale * angle.sin(), across, scale * angle.sin(), scale * angle.cos(), down]
        maps = torch.stack(rows, dim=1).reshape(count, 2, 3)
        grid = F.affine_grid(maps, [count, 1, SIDE, SIDE], align_corners=False)
        moved = F.grid_sample(images.reshape(count, 1, SIDE, SIDE), grid, align_corners=False).flatten(1)
        moved = moved * uniform(1 - self.contrast, 1 + self.contrast)[:, None]
        moved = moved + self.noise * torch.randn(moved.shape, generator=generator, device=device)
        if self.erase:
            moved = moved * self._kept(count, generator, device)
        return clutter(moved, self.clutter, generator)

    def evaluation_copies(self, images: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch pixels"]:
        """The images with clutter drawn once and for all: what representations are evaluated on."""
        _check_images(images)
        return clutter(images, self.clutter, torch.Generator(images.device).manual_seed(_EVALUATION_SEED))

    def _kept(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        corner = torch.randint(0, SIDE - self.erase + 1, (2, count, 1), generator=generator, device=device)
        pixel = torch.arange(SIDE, device=device)
        down, across = ((pixel >= c) & (pixel < c + self.erase) for c in corner)
        return (~(down[:, :, None] & across[:, None, :])).flatten(1).float()


def _check_images(images: Tensor) -> None:
    floating("images", images, 2)
    if images.shape[1] != SIDE * SIDE:
        raise ValueError(f"images must have {SIDE * SIDE} pixels, got shape {tuple(images.shape)}")
    finite_contents("images", images)


def _smooth_fields(count: int, generator: torch.Generator) -> Tensor:
    coarse = torch.randn(count, 1, 4, 4, generator=generator)
    return F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False).flatten(1)


def _split(images: Tensor, labels: Tensor, seed: int) -> LabelledImages:
    train, test = train_test_split(range(len(labels)), test_size=0.3, stratify=labels, random_state=seed)
    return LabelledImages(images[train], labels[train], images[test], labels[test])
