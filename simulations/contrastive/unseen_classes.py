"""Classes that training never saw: data, few-shot training of many losses in lockstep, and evaluation.

``glyph_items`` makes images of random patterns that a nuisance of a few fixed directions drowns; a network has to learn
to ignore those directions, and can only learn it from other classes. ``digit_split`` holds four of scikit-learn's ten
digits back. An ``Arm`` is a loss with its settings; ``train_arms`` trains one network per arm, all from the same start
and on the same episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.contrastive.class_separability import (
    batch_hard_triplet_loss,
    icnn_loss,
    icnn_score,
    proto_triplet_loss,
)
from neural.contrastive.episodes import (
    ConvolutionEnsemble,
    EpisodeSampler,
    PerceptronEnsemble,
    episode_accuracy,
    prototype_logits,
    prototypes,
)

__all__ = [
    "ALL",
    "CE",
    "CE_ICNN",
    "CE_PT",
    "ICNN",
    "METHODS",
    "PT",
    "RAW",
    "SHUFFLED",
    "TRIPLET",
    "UNTRAINED",
    "Arm",
    "GlyphWorld",
    "Grid",
    "Stream",
    "best_settings",
    "digit_split",
    "evaluate",
    "make_arms",
    "make_encoder",
    "train_arms",
]

CE, PT, ICNN = "CE", "proto-triplet", "ICNN"
CE_PT, CE_ICNN, ALL = f"{CE} + {PT}", f"{CE} + {ICNN}", f"{CE} + {PT} + {ICNN}"
TRIPLET = "batch-hard triplet"
METHODS = (CE, PT, ICNN, CE_PT, CE_ICNN, ALL, TRIPLET)
"""The tuned baseline, the paper's losses, and the plain loss beside them."""
SHUFFLED, UNTRAINED, RAW = "CE, shuffled labels", "untrained", "raw pixels"
"""Where chance lies, and what pixels alone give."""

_PATTERN, _DIRECTIONS = 0.6, 12


# data -------------------------------------------------------------------------------------------


class GlyphWorld:
    """Random patterns as classes, and twelve directions of nuisance that all images share.

    An image is 0.6 times its class's pattern (a smooth field of mean 0 and deviation 1) plus white noise of deviation
    ``noise`` plus ``clutter`` times a standard normal amount of every direction, a random unit vector. Both grow with
    the side, as the norm of a pattern does; they are given for 8 pixels.
    """

    def __init__(self, classes: int, side: int, noise: float, generator: torch.Generator) -> None:
        self.side, self.noise, self.generator = side, noise, generator
        fields = torch.randn(classes, 1, 5, 5, generator=generator, device=generator.device)
        smooth = F.interpolate(fields, size=(side, side), mode="bicubic", align_corners=False).flatten(1)
        self.patterns = (smooth - smooth.mean(1, keepdim=True)) / smooth.std(1, keepdim=True)
        self.directions, self.others = self._random_directions(), self._random_directions()

    def items(self, classes: range, per_class: int, clutter: float, *, other: bool = False) -> tuple[Tensor, Tensor]:
        """Images of these classes and their labels, with nuisance of the usual or of the other directions."""
        labels = torch.arange(classes.start, classes.stop, device=self.patterns.device).repeat_interleave(per_class)
        amounts = self._normal(len(labels), _DIRECTIONS)
        nuisance = amounts @ (self.others if other else self.directions)
        noise = self._normal(len(labels), self.side**2)
        return _PATTERN * self.patterns[labels] + self.side / 8 * (clutter * nuisance + self.noise * noise), labels

    def _random_directions(self) -> Tensor:
        return F.normalize(self._normal(_DIRECTIONS, self.side**2), dim=1)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.generator.device)


def digit_split(seed: int, clutter: float, device: str) -> tuple[Tensor, Tensor, list[int], list[int]]:
    """Handwritten digits 8 x 8 (pixels standardised as a whole), labels, six digits to see and four to hold back.

    ``clutter`` times a normal amount of each of twelve random directions is added to every image, once and for all.
    """
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(10).tolist()
    images = torch.tensor((pixels - pixels.mean()) / pixels.std(), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(_DIRECTIONS, images.shape[1], generator=generator), dim=1)
    images = images + clutter * torch.randn(len(images), _DIRECTIONS, generator=generator) @ directions
    return images.to(device), torch.tensor(labels, device=device), order[:6], order[6:]


# losses and training ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """As many settings for every method: those of the baseline are temperatures of the squared distance.

    Neighbours are (k, number inspected), 0 for as many as a class has samples in an episode.
    """

    temperatures: tuple[float, ...]
    margins: tuple[float, ...]
    neighbours: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Arm:
    """A loss with its settings: the mean of the terms it is made of. ``stream`` says which data it is trained on."""

    method: str
    setting: str
    temperature: float = 1.0
    margin: float = 0.5
    k: int = 4
    inspected: int = 0
    stream: int = 0

    @property
    def terms(self) -> tuple[str, ...]:
        return (CE,) if self.method == SHUFFLED else tuple(self.method.split(" + "))


def make_arms(grid: Grid, stream: int = 0) -> list[Arm]:
    """Every method at every one of its settings; losses with cross-entropy and a margin vary the margin."""
    arms = [
        Arm(m, f"temperature {t:g}", temperature=t, stream=stream) for m in (CE, CE_ICNN) for t in grid.temperatures
    ]
    arms += [
        Arm(m, f"margin {margin:g}", margin=margin, stream=stream)
        for m in (PT, CE_PT, ALL, TRIPLET)
        for margin in grid.margins
    ]
    return arms + [
        Arm(ICNN, f"k {k}, {inspected or 'all'} inspected", k=k, inspected=inspected, stream=stream)
        for k, inspected in grid.neighbours
    ]


@dataclass(frozen=True)
class Stream:
    """Rows of the data, with labels, that episodes are drawn from."""

    rows: Tensor
    labels: Tensor


def make_encoder(
    network: str, models: int, features: int, width: int, generator: torch.Generator
) -> PerceptronEnsemble | ConvolutionEnsemble:
    """Networks that all start equal: ``perceptron`` or ``conv4``."""
    if network == "perceptron":
        return PerceptronEnsemble(models, features, width=width, generator=generator)
    return ConvolutionEnsemble(models, round(features**0.5), channels=width, generator=generator)


def train_arms(
    encoder: nn.Module,
    arms: Sequence[Arm],
    images: Tensor,
    streams: Sequence[Stream],
    *,
    way: int,
    shot: int,
    query: int,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
) -> None:
    """Adam on episodes: model m minimises the loss of arm m on episodes of its stream."""
    device = images.device
    drawn = []
    for stream in streams:
        episodes = EpisodeSampler(stream.labels, way, shot, query).draw(steps, generator)
        drawn.append(stream.rows[torch.cat([episodes.support, episodes.query], dim=1)])
    of_stream = torch.stack(drawn, dim=1)
    stream_of = torch.tensor([arm.stream for arm in arms], device=device)
    place = torch.arange(way, device=device)
    labels = torch.cat([place.repeat_interleave(shot), place.repeat_interleave(query)])
    loss = _StackedLosses(arms, labels, way * shot, shot + query, device)
    optimiser = torch.optim.Adam(encoder.parameters(), learning_rate, fused=True)
    for rows in of_stream:
        optimiser.zero_grad(set_to_none=True)
        loss(encoder(images[rows][stream_of])).backward()
        optimiser.step()


class _StackedLosses:
    """Sum of the losses of all arms from the embeddings of their episodes, support first."""

    def __init__(
        self, arms: Sequence[Arm], labels: Tensor, support: int, class_size: int, device: torch.device
    ) -> None:
        def of_terms(*terms: str) -> Tensor:
            return torch.tensor(
                [m for m, a in enumerate(arms) if set(terms) & set(a.terms)], device=device, dtype=torch.long
            )

        self.labels, self.support = labels, support
        shares = torch.tensor([1 / len(a.terms) for a in arms], device=device)
        temperatures = torch.tensor([a.temperature for a in arms], device=device)
        margins = torch.tensor([a.margin for a in arms], device=device)
        self.entropy, self.proto, self.triplet = of_terms(CE), of_terms(PT), of_terms(TRIPLET)
        self.temperature, self.entropy_share = temperatures[self.entropy], shares[self.entropy]
        self.proto_margin, self.proto_share = margins[self.proto], shares[self.proto]
        self.triplet_margin = margins[self.triplet]
        groups: dict[tuple[int, int], list[int]] = {}
        for m, arm in enumerate(arms):
            if ICNN in arm.terms:
                groups.setdefault((arm.k, arm.inspected or class_size), []).append(m)
        self.neighbours = {key: (torch.tensor(models, device=device), shares[models]) for key, models in groups.items()}

    def __call__(self, z: Tensor) -> Tensor:
        support, query = z[:, : self.support], z[:, self.support :]
        query_labels = self.labels[self.support :]
        means = prototypes(support, self.labels[: self.support])
        total = z.new_zeros(())
        if len(self.entropy):
            logits = prototype_logits(
                query.index_select(0, self.entropy), means.index_select(0, self.entropy), self.temperature
            )
            targets = query_labels.expand(len(self.entropy), -1)
            entropy = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            total = total + (self.entropy_share * entropy.reshape(targets.shape).mean(1)).sum()
        if len(self.proto):
            each = proto_triplet_loss(
                query.index_select(0, self.proto),
                query_labels,
                means.index_select(0, self.proto),
                self.proto_margin,
                reduction="none",
            )
            total = total + (self.proto_share * each.mean(1)).sum()
        if len(self.triplet):
            each = batch_hard_triplet_loss(
                z.index_select(0, self.triplet), self.labels, self.triplet_margin, reduction="none"
            )
            total = total + each.mean(1).sum()
        for (k, inspected), (models, shares) in self.neighbours.items():
            each = icnn_loss(z.index_select(0, models), self.labels, k, inspected, reduction="none")
            total = total + (shares * each).sum()
        return total


@torch.no_grad()
def evaluate(
    embeddings: Tensor,
    labels: Tensor,
    *,
    way: int,
    shot: int,
    query: int,
    episodes: int,
    generator: torch.Generator,
    scored: int = 0,
) -> dict[str, np.ndarray]:
    """Mean accuracy of each model over episodes, and the mean ICNN score of the first ``scored`` of them."""
    drawn = EpisodeSampler(labels, way, shot, query).draw(episodes, generator)
    found = {"accuracy": episode_accuracy(embeddings, drawn).mean(1).cpu().numpy()}
    if scored:
        rows = torch.cat([drawn.support, drawn.query], dim=1)[:scored]
        episode_labels = torch.cat([drawn.support_labels, drawn.query_labels])
        scores = icnn_score(embeddings[:, rows], episode_labels, 4, shot + query)
        found["score"] = scores.mean(1).cpu().numpy()  # type: ignore[union-attr]
    return found


def best_settings(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Rows at each method's best setting: that of highest held-out accuracy in a group of ``by``, a mean over the rest.

    Held-out classes are neither trained on nor those that ``accuracy`` is measured on.
    """
    tuned = table[table["method"].isin(METHODS)]
    groups = [*by, "method"]
    means = tuned.groupby([*groups, "setting"], sort=False)["held_out"].mean().fillna(-np.inf).reset_index()
    best = means.loc[means.groupby(groups, sort=False)["held_out"].idxmax(), [*groups, "setting"]]
    return tuned.merge(best, on=[*groups, "setting"])
