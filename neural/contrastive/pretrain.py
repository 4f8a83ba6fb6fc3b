"""Contrastive pre-training of small encoders, several at once on the same views.

The networks of one run start equal and see the same images, views and order of batches, so that what
differs between them is the loss (or learning rate, or temperature) alone.

    models = EncoderEnsemble(3, generator=generator)
    pretrain(models, data.train, loss, views=Views(), batch_size=32, steps=300, learning_rate=0.05, generator=generator)
    features = encode(models, views.evaluation_copies(data.test))
"""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neural.contrastive.images import SIDE, Views
from neural.ensemble import EnsembleBatchNorm, EnsembleLinear, EnsembleSGD
from neural.models import SmallResNet
from neural.validation import finite_contents, floating, whole_number

__all__ = ["EncoderEnsemble", "ResNetEnsemble", "StackedLoss", "encode", "pretrain"]

StackedLoss = Callable[
    [Float[Tensor, "models batch dim"], Float[Tensor, "models batch dim"], int], Float[Tensor, " models"]
]
"""Losses of all models from their projections of the two views, and the number of the step."""

_VIEWS_AT_ONCE = 2**15


class EncoderEnsemble(nn.Module):
    """Perceptrons 64–256–256–64 with batch normalisation, and a projector to 32 dimensions.

    ``forward`` returns (features, projections); the loss acts on projections, evaluation on features.
    """

    def __init__(self, models: int, *, generator: torch.Generator, pixels: int = SIDE**2, width: int = 256) -> None:
        super().__init__()
        for name, number in (("models", models), ("pixels", pixels), ("width", width)):
            whole_number(name, number, 1)
        device = generator.device
        self.models = models
        self.encoder = nn.Sequential(
            EnsembleLinear(models, pixels, width, generator),
            EnsembleBatchNorm(models, width, device),
            nn.ReLU(),
            EnsembleLinear(models, width, width, generator),
            EnsembleBatchNorm(models, width, device),
            nn.ReLU(),
            EnsembleLinear(models, width, 64, generator),
        )
        self.projector = nn.Sequential(
            EnsembleBatchNorm(models, 64, device), nn.ReLU(), EnsembleLinear(models, 64, 32, generator)
        )

    def forward(
        self, x: Float[Tensor, "batch pixels"]
    ) -> tuple[Float[Tensor, "models batch features"], Float[Tensor, "models batch dim"]]:
        features = self.encoder(x.expand(self.models, *x.shape))
        return features, self.projector(features)


class ResNetEnsemble(nn.Module):
    """Small residual networks on images enlarged to 32 x 32, all starting equal; for GPUs."""

    def __init__(self, models: int, *, seed: int, device: str, width: int = 32) -> None:
        super().__init__()
        for name, number, least in (("models", models, 1), ("seed", seed, 0), ("width", width, 1)):
            whole_number(name, number, least)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder, projector = SmallResNet(1, width, 128), nn.Sequential(nn.ReLU(), nn.Linear(128, 64))
        self.encoders = nn.ModuleList(copy.deepcopy(encoder) for _ in range(models)).to(device)
        self.projectors = nn.ModuleList(copy.deepcopy(projector) for _ in range(models)).to(device)

    def forward(
        self, x: Float[Tensor, "batch pixels"]
    ) -> tuple[Float[Tensor, "models batch features"], Float[Tensor, "models batch dim"]]:
        enlarged = F.interpolate(x.reshape(-1, 1, SIDE, SIDE), size=(32, 32), mode="bilinear", align_corners=False)
        features = [encoder(enlarged) for encoder in self.encoders]
        projections = [projector(each) for projector, each in zip(self.projectors, features, strict=True)]
        return torch.stack(features), torch.stack(projections)


def pretrain(
    models: EncoderEnsemble | ResNetEnsemble,
    images: Float[Tensor, "samples pixels"],
    loss: StackedLoss,
    *,
    views: Views,
    batch_size: int,
    steps: int,
    learning_rate: float | Float[Tensor, " models"],
    generator: torch.Generator,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
) -> None:
    """Train all models in place for ``steps`` batches of two views each; leaves them in evaluation mode.

    ``loss(z1, z2, step)`` gives one loss per model from the projections. Batches go through random
    permutations of the images, so that no batch holds an image twice. Raises ``ValueError`` for a batch of
    fewer than two images or more than there are, for a rate per model where parameters are not stacked, for images that
    are not floating-point rows or (on CPU) not finite, and for numbers out of range.
    """
    floating("images", images, 2)
    finite_contents("images", images)
    whole_number("batch_size", batch_size, 2)
    whole_number("steps", steps, 0)
    if isinstance(learning_rate, Tensor) and not isinstance(models, EncoderEnsemble):
        raise ValueError(f"learning_rate must be one number for {type(models).__name__}, got a tensor")
    if not 2 <= batch_size <= len(images):
        raise ValueError(f"batch_size must be between 2 and the {len(images)} images, got {batch_size}")
    models.train()
    optimiser = EnsembleSGD(models.parameters(), learning_rate, momentum, weight_decay)
    for step, (first, second) in enumerate(_view_batches(images, views, batch_size, steps, generator)):
        _, projections = models(torch.cat([first, second]))
        z1, z2 = projections.split(batch_size, dim=1)
        optimiser.step(loss(z1, z2, step).sum())
    models.eval()


@torch.no_grad()
def encode(
    models: EncoderEnsemble | ResNetEnsemble, images: Float[Tensor, "samples pixels"]
) -> tuple[Float[Tensor, "models samples features"], Float[Tensor, "models samples dim"]]:
    """Features and unit projections of images by every model, in evaluation mode.

    Raises ``ValueError`` for images that are not floating-point rows or (on CPU) not finite.
    """
    floating("images", images, 2)
    finite_contents("images", images)
    models.eval()
    features, projections = models(images)
    return features, F.normalize(projections, dim=-1)


def _view_batches(
    images: Tensor, views: Views, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of views, many steps' worth made at once because making them is bound by the number of calls."""
    at_once = max(1, _VIEWS_AT_ONCE // batch_size)
    order = torch.empty(0, dtype=torch.long, device=images.device)
    for start in range(0, steps, at_once):
        count = min(at_once, steps - start)
        while len(order) < count * batch_size:
            permutation = torch.randperm(len(images), generator=generator, device=images.device)
            order = torch.cat([order, permutation[: len(images) // batch_size * batch_size]])
        chosen, order = order[: count * batch_size], order[count * batch_size :]
        first, second = views(images[chosen], generator), views(images[chosen], generator)
        yield from zip(first.split(batch_size), second.split(batch_size), strict=True)
