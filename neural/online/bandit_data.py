"""Classification data turned into bandits: a label is the one arm without loss, and only the pulled arm's is told.

    data = bundled("wine")                                     # features, labels, arms
    features, labels = passes(data, rounds=1000, generator=generator)
    env = ClassificationBandit(features[None], labels[None], data.arms)

Sets: wine, breast_cancer, iris and digits of scikit-learn (digits8 is digits; ``digits4`` averages 2 x 2 pixels), and
``quad5``: normal features in 12 dimensions divided by their norm, label argmax_k (<w_k, x>)² over five random w_k.
Features are standardised and every vector is divided by its norm.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from sklearn import datasets
from torch import Tensor

from neural.validation import finite_contents, floating, indices, one_of, whole_number

__all__ = ["BUNDLED", "ClassificationBandit", "Environment", "LabelledContexts", "Round", "bundled", "passes", "quad5"]

BUNDLED = ("wine", "breast_cancer", "iris", "digits8", "digits4")


@dataclass(frozen=True)
class LabelledContexts:
    """Features of norm 1 and the label of each sample."""

    features: Tensor
    labels: Tensor
    arms: int

    def __getitem__(self, kept: Tensor | slice) -> "LabelledContexts":
        """Some of the samples."""
        return LabelledContexts(self.features[kept], self.labels[kept], self.arms)


class Round(NamedTuple):
    """What a round brings every model: contexts, the losses that its arms would pay, and their expectations."""

    contexts: Tensor
    losses: Tensor
    expected: Tensor


@runtime_checkable
class Environment(Protocol):
    """Rounds of a bandit for models in lockstep."""

    arms: int

    def round(self, t: int) -> Round:
        """Contexts, losses (models, arms) and their expectations of round t."""
        ...


class ClassificationBandit:
    """Rounds of labelled features: loss 0 for the label's arm, 1 for the others.

    ``features`` (streams, rounds, dim) and ``labels`` (streams, rounds) hold one or several streams; ``stream`` names
    the stream of every model (default: model k has stream k). Raises ``ValueError`` for shapes that do not fit, labels
    outside 0 … arms − 1 or streams that are not there.

    >>> env = ClassificationBandit(torch.ones(1, 4, 2), torch.tensor([[0, 1, 1, 0]]), arms=2)
    >>> env.round(1).losses.tolist()
    [[1.0, 0.0]]
    """

    def __init__(
        self,
        features: Float[Tensor, "streams rounds dim"],
        labels: Int[Tensor, "streams rounds"],
        arms: int,
        stream: Int[Tensor, " models"] | None = None,
    ) -> None:
        floating("features", features, 3)
        finite_contents("features", features)
        whole_number("arms", arms, 1)
        _labels(labels, features.shape[:2], arms)
        if stream is None:
            stream = torch.arange(len(features), device=features.device)
        indices("stream", stream)
        if stream.ndim != 1 or not len(stream):
            raise ValueError(f"stream must be a vector with one stream per model, got shape {tuple(stream.shape)}")
        if stream.device.type == "cpu" and not 0 <= int(stream.min()) <= int(stream.max()) < len(features):
            raise ValueError(f"stream must be in 0 … {len(features) - 1}, got {stream.tolist()}")
        self.arms, self.rounds = arms, features.shape[1]
        self._features, self._stream = features.transpose(0, 1).contiguous(), stream
        self._losses = 1 - torch.nn.functional.one_hot(labels.T, arms).to(features.dtype)

    def round(self, t: int) -> Round:
        """Round t. Raises ``ValueError`` beyond the last."""
        whole_number("t", t, 0)
        if t >= self.rounds:
            raise ValueError(f"t must be below {self.rounds}, the number of rounds, got {t}")
        losses = self._losses[t].index_select(0, self._stream)
        return Round(self._features[t].index_select(0, self._stream), losses, losses)


def bundled(name: str) -> LabelledContexts:
    """A set that comes with scikit-learn, by its name in ``BUNDLED``; raises ``ValueError`` for another.

    >>> bundled("wine").features.shape, bundled("wine").arms
    (torch.Size([178, 13]), 3)
    """
    one_of("name", name, BUNDLED)
    loaders = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris}
    x, y = loaders.get(name, datasets.load_digits)(return_X_y=True)
    features, labels = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.int64)
    if name == "digits4":
        features = features.view(-1, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    # Pixels that never change carry nothing and have no scale.
    centred = features - features.mean(0)
    scaled = centred / centred.std(0).clamp_min(1e-6)
    return LabelledContexts(torch.nn.functional.normalize(scaled, dim=1), labels, int(labels.max()) + 1)


def quad5(samples: int, *, generator: torch.Generator, dim: int = 12, arms: int = 5) -> LabelledContexts:
    """Labels that no linear function of the features tells apart: the largest of five squared projections.

    Raises ``ValueError`` for numbers below 1.

    >>> quad5(7, generator=torch.Generator().manual_seed(0)).features.shape
    torch.Size([7, 12])
    """
    for name, number in (("samples", samples), ("dim", dim), ("arms", arms)):
        whole_number(name, number, 1)
    device = generator.device
    directions = torch.randn(dim, arms, generator=generator, device=device)
    x = torch.nn.functional.normalize(torch.randn(samples, dim, generator=generator, device=device), dim=1)
    return LabelledContexts(x, (x @ directions).square().argmax(1), arms)


def passes(
    data: LabelledContexts, rounds: int, *, generator: torch.Generator, by_label: bool = False
) -> tuple[Float[Tensor, "rounds dim"], Int[Tensor, " rounds"]]:
    """``rounds`` samples: passes over the data, each in a new random order.

    ``by_label`` sorts the rounds by label, the order of an adversary who shows one class after the other. Raises
    ``ValueError`` for fewer than one round.

    >>> features, labels = passes(bundled("iris"), 200, generator=torch.Generator().manual_seed(0))
    >>> features.shape, labels[:150].bincount().tolist()
    (torch.Size([200, 4]), [50, 50, 50])
    """
    whole_number("rounds", rounds, 1)
    device, size = data.features.device, len(data.labels)
    orders = [torch.randperm(size, generator=generator, device=generator.device) for _ in range(-(-rounds // size))]
    order = torch.cat(orders)[:rounds].to(device)
    if by_label:
        order = order[torch.sort(data.labels[order], stable=True).indices]
    return data.features[order], data.labels[order]


def _labels(labels: Tensor, shape: torch.Size, arms: int) -> None:
    indices("labels", labels)
    if labels.shape != shape:
        raise ValueError(f"labels must have shape {tuple(shape)}, got {tuple(labels.shape)}")
    if labels.device.type == "cpu" and not 0 <= int(labels.min()) <= int(labels.max()) < arms:
        raise ValueError(f"labels must be in 0 … {arms - 1}, got {int(labels.min())} … {int(labels.max())}")
