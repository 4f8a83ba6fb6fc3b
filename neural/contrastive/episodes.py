"""Few-shot episodes, prototypes and prototypical networks, batched over episodes and over models.

An episode has ``way`` classes, ``shot`` labelled samples of each (support) and ``query`` more of each to classify. A
prototypical network puts a query into the class whose prototype, the mean of its support embeddings, is nearest:

    c_w = mean of f(x) over the support of class w,        logits = −|f(x_q) − c_w|² / temperature

    sampler = EpisodeSampler(labels, way=5, shot=5, query=5)
    drawn = sampler.draw(200, generator)                     # rows of the data, for 200 episodes
    accuracy = episode_accuracy(embeddings, drawn)           # (models, 200) from (models, samples, dim)

Samples of an episode are sorted by class, and classes numbered from 0 as they were drawn: all episodes of a sampler
have the same labels, so that many are one tensor with another leading axis.

Source: Snell, Swersky and Zemel (2017), *Prototypical Networks for Few-shot Learning*.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.validation import class_indices, finite_contents, floating, positive, whole_number

__all__ = [
    "ConvolutionEnsemble",
    "DrawnEpisodes",
    "Episode",
    "EpisodeSampler",
    "PerceptronEnsemble",
    "ProtoNet",
    "episode_accuracy",
    "prototype_logits",
    "prototypes",
    "sample_episode",
]

Temperature = float | Float[Tensor, "..."]


@dataclass(frozen=True)
class Episode:
    """One task: rows of support and query with labels 0 … way − 1, and the classes that these were in the data."""

    support: Float[Tensor, "support ..."]
    support_labels: Int[Tensor, " support"]
    query: Float[Tensor, "query ..."]
    query_labels: Int[Tensor, " query"]
    classes: Int[Tensor, " way"]


@dataclass(frozen=True)
class DrawnEpisodes:
    """Rows of the data for many episodes; their labels are the same for all."""

    support: Int[Tensor, "episodes support"]
    query: Int[Tensor, "episodes query"]
    classes: Int[Tensor, "episodes way"]
    support_labels: Int[Tensor, " support"]
    query_labels: Int[Tensor, " query"]


class EpisodeSampler:
    """Draws episodes from labelled data: classes without replacement, then samples of each without replacement.

    Raises ``ValueError`` for labels that are not a vector of whole numbers of at least 0, numbers below 1 (``way``
    below 2), fewer classes than ``way``, or a class with fewer than ``shot + query`` samples.
    """

    def __init__(self, labels: Int[Tensor, " samples"], way: int, shot: int, query: int) -> None:
        for name, number, least in (("way", way, 2), ("shot", shot, 1), ("query", query, 1)):
            whole_number(name, number, least)
        sizes = _class_sizes("labels", labels, way, shot, query)
        self.classes, members = labels.unique(return_inverse=True)
        self.way, self.shot, self.query = way, shot, query
        # Row c holds the samples of class c, the end of it padding.
        self._absent = torch.arange(int(sizes.max()), device=labels.device) >= sizes[:, None]
        self._rows = torch.zeros_like(self._absent, dtype=torch.long)
        self._rows[~self._absent] = members.argsort(stable=True)
        place = torch.arange(way, device=labels.device)
        self.support_labels, self.query_labels = place.repeat_interleave(shot), place.repeat_interleave(query)

    def draw(self, episodes: int, generator: torch.Generator) -> DrawnEpisodes:
        """That many independent episodes."""
        whole_number("episodes", episodes, 1)
        device = self._rows.device
        classes = torch.rand(episodes, len(self.classes), generator=generator, device=device)
        chosen = classes.topk(self.way, dim=1).indices
        keys = torch.rand(episodes, self.way, self._rows.shape[1], generator=generator, device=device)
        places = keys.masked_fill_(self._absent[chosen], -1.0).topk(self.shot + self.query, dim=2).indices
        rows = self._rows[chosen[..., None], places]
        support, query = rows.split([self.shot, self.query], dim=2)
        return DrawnEpisodes(
            support.flatten(1), query.flatten(1), self.classes[chosen], self.support_labels, self.query_labels
        )


def sample_episode(
    X: Float[Tensor, "samples ..."],
    y: Int[Tensor, " samples"],
    way: int,
    shot: int,
    query: int,
    generator: torch.Generator,
) -> Episode:
    """One episode as rows of ``X``.

    Raises ``ValueError`` as ``EpisodeSampler``, and for ``X`` that is not floating-point or (on CPU) not finite.

    >>> made = sample_episode(torch.eye(8), torch.arange(8) // 2, 3, 1, 1, torch.Generator().manual_seed(0))
    >>> made.support.shape, made.query_labels.tolist()
    (torch.Size([3, 8]), [0, 1, 2])
    """
    floating("X", X)
    finite_contents("X", X)
    for name, number, least in (("way", way, 2), ("shot", shot, 1), ("query", query, 1)):
        whole_number(name, number, least)
    class_indices("y", y, len(X))
    _class_sizes("y", y, way, shot, query)
    drawn = EpisodeSampler(y, way, shot, query).draw(1, generator)
    rows = X[drawn.support[0]], X[drawn.query[0]]
    return Episode(rows[0], drawn.support_labels, rows[1], drawn.query_labels, drawn.classes[0])


def prototypes(
    support: Float[Tensor, "*stack support dim"], labels: Int[Tensor, " support"]
) -> Float[Tensor, "*stack ways dim"]:
    """Mean embedding of every class 0 … W − 1 = max(labels), in float32 at least.

    Raises ``ValueError`` for shapes that do not fit or (on CPU) elements that are not finite, negative labels, and a
    class below the largest without a sample.

    >>> prototypes(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1])).tolist()
    [[1.0], [5.0]]
    """
    _check_rows("support", support)
    class_indices("labels", labels, support.shape[-2])
    counts = _check_classes("labels", labels)
    ways = len(counts)
    support = support if support.dtype == torch.float64 else support.float()
    sums = support.new_zeros(*support.shape[:-2], ways, support.shape[-1]).index_add(-2, labels, support)
    return sums / counts[:, None]


def prototype_logits(
    queries: Float[Tensor, "*stack batch dim"],
    prototypes: Float[Tensor, "*stack ways dim"],
    temperature: Temperature = 1.0,
) -> Float[Tensor, "*stack batch ways"]:
    """``−|q − c_w|² / temperature``: a softmax over them is the prototypical network's class probability.

    ``temperature`` is a number or one per stacked problem. Raises ``ValueError`` for shapes that do not fit, a
    temperature not above 0, or (on CPU) elements that are not finite.

    >>> prototype_logits(torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]])).tolist()
    [[-1.0, -4.0]]
    """
    _check_rows("queries", queries)
    _check_rows("prototypes", prototypes)
    if prototypes.shape[:-2] != queries.shape[:-2] or prototypes.shape[-1] != queries.shape[-1]:
        raise ValueError(
            "queries and prototypes must have the same leading axes and dimensions, "
            f"got {tuple(queries.shape)} and {tuple(prototypes.shape)}"
        )
    if isinstance(temperature, Tensor):
        floating("temperature", temperature)
        finite_contents("temperature", temperature)
        if temperature.device.type == "cpu" and temperature.min() <= 0:
            raise ValueError(f"temperature must be above 0, got {float(temperature.min())}")
        temperature = temperature[..., None, None]
    else:
        positive("temperature", temperature)
    wide = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast(queries.device.type, enabled=False):
        distances = torch.cdist(queries.to(wide), prototypes.to(wide), compute_mode="donot_use_mm_for_euclid_dist")
        return -distances.square() / temperature


class ProtoNet(nn.Module):
    """A network that embeds, and classifies queries by the nearest prototype of a labelled support set.

    ``encoder`` maps (..., samples, features) to (..., samples, dim); ``temperature`` divides the squared distances.
    """

    def __init__(self, encoder: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        positive("temperature", temperature)
        self.encoder, self.temperature = encoder, temperature

    def forward(
        self,
        support: Float[Tensor, "*stack support features"],
        support_labels: Int[Tensor, " support"],
        query: Float[Tensor, "*stack query features"],
    ) -> Float[Tensor, "... query ways"]:
        """Logits of the queries over the support's classes 0 … W − 1."""
        _check_rows("support", support)
        _check_rows("query", query)
        class_indices("support_labels", support_labels, support.shape[-2])
        _check_classes("support_labels", support_labels)
        means = prototypes(self.encoder(support), support_labels)
        return prototype_logits(self.encoder(query), means, self.temperature)


def episode_accuracy(
    embeddings: Float[Tensor, "models samples dim"], episodes: DrawnEpisodes
) -> Float[Tensor, "models episodes"]:
    """Share of each episode's queries whose nearest prototype is their class's, for all models at once.

    Raises ``ValueError`` for embeddings of other axes, or (on CPU) not finite or with fewer rows than were drawn from.
    """
    floating("embeddings", embeddings, 3)
    finite_contents("embeddings", embeddings)
    if embeddings.device.type == "cpu":
        last = max(int(rows.max()) for rows in (episodes.support, episodes.query))
        if last >= embeddings.shape[1]:
            raise ValueError(f"embeddings must have a row {last}, which an episode holds, got {embeddings.shape[1]}")
    means = prototypes(embeddings[:, episodes.support], episodes.support_labels)
    predicted = prototype_logits(embeddings[:, episodes.query], means).argmax(-1)
    return (predicted == episodes.query_labels).to(embeddings.dtype).mean(-1)


class PerceptronEnsemble(nn.Module):
    """Perceptrons features–width–width–dim that all start equal; embeds (models, samples, features) in lockstep."""

    def __init__(
        self, models: int, features: int, *, width: int = 64, dim: int = 16, generator: torch.Generator
    ) -> None:
        super().__init__()
        for name, number in (("models", models), ("features", features), ("width", width), ("dim", dim)):
            whole_number(name, number, 1)
        self.models, self.features = models, features
        self.layers = nn.Sequential(
            EnsembleLinear(models, features, width, generator),
            nn.ReLU(),
            EnsembleLinear(models, width, width, generator),
            nn.ReLU(),
            EnsembleLinear(models, width, dim, generator),
        )

    def forward(self, x: Float[Tensor, "models samples features"]) -> Float[Tensor, "models samples dim"]:
        _check_stack(x, self.models, self.features)
        return self.layers(x)


class ConvolutionEnsemble(nn.Module):
    """Four blocks of convolution, normalisation over the batch, ReLU and pooling (Conv-4), one group per model.

    Images come as rows of ``side``² pixels; blocks halve the side while it is above 1. All models start equal.
    """

    def __init__(
        self, models: int, side: int, *, channels: int = 32, generator: torch.Generator, blocks: int = 4
    ) -> None:
        super().__init__()
        for name, number in (("models", models), ("side", side), ("channels", channels), ("blocks", blocks)):
            whole_number(name, number, 1)
        self.models, self.side = models, side
        self.weights = nn.ParameterList()
        self.scales, self.shifts = nn.ParameterList(), nn.ParameterList()
        device = generator.device
        for inputs in (1, *(channels,) * (blocks - 1)):
            limit = (9 * inputs) ** -0.5
            kernel = torch.empty(channels, inputs, 3, 3, device=device).uniform_(-limit, limit, generator=generator)
            self.weights.append(nn.Parameter(kernel.repeat(models, 1, 1, 1)))
            self.scales.append(nn.Parameter(torch.ones(models * channels, device=device)))
            self.shifts.append(nn.Parameter(torch.zeros(models * channels, device=device)))

    def forward(self, x: Float[Tensor, "models samples pixels"]) -> Float[Tensor, "models samples dim"]:
        _check_stack(x, self.models, self.side**2)
        z = x.transpose(0, 1).reshape(x.shape[1], self.models, self.side, self.side)
        for weight, scale, shift in zip(self.weights, self.scales, self.shifts, strict=True):
            z = F.conv2d(z, weight, padding=1, groups=self.models)
            # Statistics of the episode at hand, in evaluation too: classes to come have others than those seen.
            z = F.batch_norm(z, None, None, scale, shift, training=True).relu()
            z = F.max_pool2d(z, 2) if z.shape[-1] > 1 else z
        return z.reshape(x.shape[1], self.models, -1).transpose(0, 1)


def _class_sizes(name: str, labels: Tensor, way: int, shot: int, query: int) -> Tensor:
    """Number of samples of every class that there is; raises ``ValueError`` if no episode can be drawn."""
    class_indices(name, labels, len(labels) if isinstance(labels, Tensor) and labels.ndim else 0)
    if labels.numel() == 0:
        raise ValueError(f"{name} must not be empty")
    sizes = labels.unique(return_counts=True)[1]
    if len(sizes) < way:
        raise ValueError(f"{name} must hold at least way = {way} classes, got {len(sizes)}")
    if shot + query > int(sizes.min()):
        raise ValueError(
            f"{name} must hold at least shot + query = {shot + query} samples of every class, got {int(sizes.min())}"
        )
    return sizes


def _check_classes(name: str, labels: Tensor) -> Tensor:
    """Number of samples of every class 0 … max; raises ``ValueError`` (on CPU) if one has none."""
    counts = labels.bincount()
    if labels.device.type == "cpu" and counts.min() == 0:
        raise ValueError(f"{name} must hold every class up to {len(counts) - 1}, got none of {int(counts.argmin())}")
    return counts


def _check_stack(x: Tensor, models: int, features: int) -> None:
    floating("x", x, 3)
    if (x.shape[0], x.shape[2]) != (models, features):
        raise ValueError(f"x must have shape ({models}, samples, {features}), got {tuple(x.shape)}")
    finite_contents("x", x)


def _check_rows(name: str, x: Tensor) -> None:
    floating(name, x)
    if x.ndim < 2:
        raise ValueError(f"{name} must have shape (..., samples, features), got {tuple(x.shape)}")
    finite_contents(name, x)
