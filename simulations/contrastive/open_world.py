"""Open-world retrieval: embeddings trained on some classes, judged among others, many losses in lockstep.

A ``World`` has items of classes to train on, of held-out classes or items to choose settings on, and of unseen
classes to test on. An ``Arm`` is a loss with its settings. ``train_arms`` trains one network per arm from one start on
the same batches of equally many items of several classes; ``evaluate_arms`` measures recall at 1 and the consistency of
one threshold over classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.contrastive.episodes import ConvolutionEnsemble
from neural.contrastive.images import SIDE, Views, clutter, digits, glyphs
from neural.contrastive.metric_losses import (
    arcface_loss,
    cosine_softmax_loss,
    proxy_anchor_loss,
    smooth_ap_loss,
    supcon_loss,
)
from neural.contrastive.retrieval import recall_at_k
from neural.contrastive.similarity import unit_rows
from neural.contrastive.tcm import threshold_consistent_margin_loss
from neural.ensemble import EnsembleLinear
from theory.contrastive import tcm as theory

__all__ = [
    "ALL_PAIRS",
    "BASE",
    "BASES",
    "PLAIN_SETTINGS",
    "SHUFFLED",
    "TCM",
    "Arm",
    "World",
    "digit_world",
    "evaluate_arms",
    "glyph_world",
    "train_arms",
    "vector_world",
]

BASE, TCM, ALL_PAIRS, SHUFFLED = "base", "TCM", "all pairs", "shuffled labels"
SOFTMAX, SUPCON, PROXY_ANCHOR, ARCFACE, SMOOTH_AP = "cosine softmax", "SupCon", "ProxyAnchor", "ArcFace", "Smooth-AP"
BASES = (SOFTMAX, SUPCON, PROXY_ANCHOR, ARCFACE, SMOOTH_AP)
PLAIN_SETTINGS = {SOFTMAX: 0.1, SUPCON: 0.1, PROXY_ANCHOR: 0.1, ARCFACE: 0.5, SMOOTH_AP: 0.01}
"""Temperature of the first two and the last, margin of the others: what they have where nothing else is said."""

_FIXED_MAPS, _LATENT, _FEATURES, _NUISANCES, _DIM = 123, 32, 48, 10, 32


@dataclass(frozen=True)
class Arm:
    """A base loss with its setting, and what is added to it: nothing, TCM, TCM on all pairs, or shuffled labels."""

    base: str
    setting: float
    method: str = BASE
    weight: float = 0.0
    margin_pos: float = 0.9
    margin_neg: float = 0.5


@dataclass(frozen=True)
class World:
    """Items and classes in three parts, how test items are disturbed further, and how a batch is augmented."""

    train: Tensor
    train_labels: Tensor
    validation: Tensor
    validation_labels: Tensor
    test: Tensor
    test_labels: Tensor
    shifted: Tensor
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None


def vector_world(
    spreads: tuple[float, float], nuisance: float, classes: tuple[int, int, int], per_class: int,
    generator: torch.Generator,
) -> World:  # fmt: skip
    """Gaussian classes of different widths, seen through a fixed nonlinear map and disturbed in fixed directions.

    ``classes`` to train on, to choose settings on and to test on. Shifted items have twice the nuisance.
    """
    device = generator.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    fixed = torch.Generator().manual_seed(_FIXED_MAPS)
    mixing = (torch.randn(_LATENT, _FEATURES, generator=fixed) / math.sqrt(_LATENT)).to(device)
    directions = torch.randn(_NUISANCES, _FEATURES, generator=fixed).to(device)
    total = sum(classes)
    labels = torch.arange(total, device=device).repeat_interleave(per_class)
    low, high = spreads
    spread = low + (high - low) * torch.rand(total, 1, generator=generator, device=device)
    latent = normal(total, _LATENT)[labels] + spread[labels] * normal(len(labels), _LATENT)
    clean, disturbed = torch.tanh(latent @ mixing), nuisance * normal(len(labels), _NUISANCES) @ directions
    parts = [
        (labels >= start) & (labels < start + count) for start, count in zip(_starts(classes), classes, strict=True)
    ]
    x = clean + disturbed
    return World(
        *(each for part in parts for each in (x[part], labels[part] - labels[part].min())),
        shifted=(x + math.sqrt(3) * nuisance * normal(len(labels), _NUISANCES) @ directions)[parts[2]],
    )


def glyph_world(classes: tuple[int, int, int], amplitude: float, seed: int, device: str) -> World:
    """Generated 8 x 8 patterns, 20 images of each class, with clutter drawn anew in training. Parts share no class."""
    drawn = glyphs(sum(classes), 20, seed=seed, split_seed=0)
    images, labels = torch.cat([drawn.train, drawn.test]), torch.cat([drawn.train_labels, drawn.test_labels])
    parts = [
        (labels >= start) & (labels < start + count) for start, count in zip(_starts(classes), classes, strict=True)
    ]
    pieces = [(images[part], labels[part] - labels[part].min()) for part in parts]
    return _image_world(pieces, amplitude, seed, device)


def digit_world(seen: int, amplitude: float, seed: int, device: str) -> World:
    """Handwritten digits: ``seen`` random classes to train on, the other classes to test on.

    Five unseen classes leave none to spare, so settings are chosen on held-out images of the seen ones.
    """
    split = digits(seed)
    pixels, targets = load_digits(return_X_y=True)
    order = torch.tensor(np.random.default_rng(seed).permutation(10))
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, order[torch.tensor(targets)]
    train_labels, held_labels = order[split.train_labels], order[split.test_labels]
    pieces = [
        (split.train[train_labels < seen], train_labels[train_labels < seen]),
        (split.test[held_labels < seen], held_labels[held_labels < seen]),
        (images[labels >= seen], labels[labels >= seen] - seen),
    ]
    return _image_world(pieces, amplitude, seed, device)


def train_arms(
    arms: Sequence[Arm], world: World, *, steps: int, width: int, network: str, generator: torch.Generator,
    classes_per_batch: int = 16, batch_size: int = 64, learning_rate: float = 2e-3,
) -> nn.Module:  # fmt: skip
    """One network per arm, all from one start and on the same batches; those of shuffled labels see permuted items."""
    device = world.train.device
    features = world.train.shape[1]
    if network == "perceptron":
        models: nn.Module = nn.Sequential(
            EnsembleLinear(len(arms), features, width, generator), nn.ReLU(),
            EnsembleLinear(len(arms), width, _DIM, generator),
        )  # fmt: skip
    else:
        models = ConvolutionEnsemble(len(arms), SIDE, channels=_DIM, generator=generator).to(device)
    classes = int(world.train_labels.max()) + 1
    proxies = nn.Parameter(torch.randn(classes, _DIM, generator=generator, device=device).repeat(len(arms), 1, 1))
    # Adam works element by element, so that stacked networks do not see each other.
    optimiser = torch.optim.Adam([*models.parameters(), proxies], learning_rate, fused=True)
    permuted = torch.randperm(len(world.train), generator=generator, device=device)
    shuffled = torch.tensor([arm.method == SHUFFLED for arm in arms], device=device)[:, None, None]
    loss = _loss(arms, device)
    rows = _balanced_rows(world.train_labels, steps, min(classes_per_batch, classes), batch_size, generator)
    augment = world.augment or (lambda x, _: x)
    for chosen in rows:
        x = augment(world.train[chosen], generator)
        if shuffled.any():
            x = torch.where(shuffled, augment(world.train[permuted[chosen]], generator), x)
        z = models(x.expand(len(arms), *x.shape[-2:]))
        optimiser.zero_grad(set_to_none=True)
        loss(z, world.train_labels[chosen], proxies).sum().backward()
        optimiser.step()
    return models


@torch.no_grad()
def evaluate_arms(
    models: nn.Module, arms: Sequence[Arm], world: World, parts: Sequence[str]
) -> tuple[list[dict[str, object]], list[np.ndarray]]:
    """A row per arm and part: recall at 1, OPIS and eps-OPIS; and the arms' embeddings of the test items."""
    rows: list[dict[str, object]] = []
    tested: list[np.ndarray] = []
    items = {
        "validation": (world.validation, world.validation_labels),
        "unseen": (world.test, world.test_labels),
        "shifted": (world.shifted, world.test_labels),
    }
    for part in parts:
        x, labels = items[part]
        z = models(x.expand(len(arms), *x.shape))
        recalls = recall_at_k(z, labels, 1, chunk=512).tolist()
        embeddings, numbers = z.double().cpu().numpy(), labels.cpu().numpy()
        for arm, recall, each in zip(arms, recalls, embeddings, strict=True):
            if part == "validation" and arm.method not in (BASE, TCM):
                continue  # nothing is chosen for these
            deviations = theory.class_deviations(each, numbers)
            rows.append(
                {"base": arm.base, "setting": arm.setting, "method": arm.method, "weight": arm.weight,
                 "margin_pos": arm.margin_pos, "margin_neg": arm.margin_neg, "part": part, "recall": recall,
                 "opis": theory.epsilon_opis(deviations, 1.0), "eps_opis": theory.epsilon_opis(deviations, 0.1)}
            )  # fmt: skip
        if part == "unseen":
            tested = list(embeddings)
    return rows, tested


def _loss(arms: Sequence[Arm], device: torch.device) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """One loss per arm: the base losses in groups, then what is added to some."""

    def values(name: str, of: Sequence[Arm]) -> Tensor:
        return torch.tensor([getattr(arm, name) for arm in of], device=device)

    groups = [[k for k, arm in enumerate(arms) if arm.base == base] for base in BASES]
    members = [(base, g, values("setting", [arms[k] for k in g])) for base, g in zip(BASES, groups, strict=True) if g]
    order = torch.tensor([k for _, g, _ in members for k in g], device=device).argsort()
    places = [torch.tensor(g, device=device) for _, g, _ in members]
    with_tcm, with_all = ([k for k, arm in enumerate(arms) if arm.method == method] for method in (TCM, ALL_PAIRS))
    margins = [values(name, [arms[k] for k in with_tcm]) for name in ("margin_pos", "margin_neg", "weight", "weight")]
    weights = values("weight", [arms[k] for k in with_all])

    def loss(z: Tensor, labels: Tensor, proxies: Tensor) -> Tensor:
        parts = [
            _base_loss(base, z[at], labels, proxies[at], setting)
            for (base, _, setting), at in zip(members, places, strict=True)
        ]
        total = torch.cat(parts)[order]
        if with_tcm:
            total[with_tcm] += threshold_consistent_margin_loss(z[with_tcm], labels, *margins)
        if with_all:
            total[with_all] += weights * _all_pairs_penalty(z[with_all], labels)
        return total

    return loss


def _base_loss(base: str, z: Tensor, labels: Tensor, proxies: Tensor, setting: Tensor) -> Tensor:
    if base == SOFTMAX:
        return cosine_softmax_loss(z, labels, proxies, setting)
    if base == SUPCON:
        return supcon_loss(z, labels, setting)
    if base == PROXY_ANCHOR:
        return proxy_anchor_loss(z, labels, proxies, setting)
    if base == ARCFACE:
        return arcface_loss(z, labels, proxies, setting)
    return smooth_ap_loss(z, labels, setting)


def _all_pairs_penalty(z: Tensor, labels: Tensor) -> Tensor:
    """TCM without its hard pairs: mean negative cosine minus mean positive cosine, up to a constant."""
    cosines = (u := unit_rows(z)) @ u.mT
    positive = (labels[:, None] == labels).float()
    itself = torch.eye(len(labels), device=z.device)
    negatives = (cosines * (1 - positive)).sum((-2, -1)) / (1 - positive).sum().clamp(min=1)
    return negatives - (cosines * (positive - itself)).sum((-2, -1)) / (positive - itself).sum().clamp(min=1)


def _balanced_rows(
    labels: Tensor, steps: int, classes_per_batch: int, batch_size: int, generator: torch.Generator
) -> Tensor:
    """Rows of every batch: random classes, and equally many random items of each, without repetition."""
    per_class = batch_size // classes_per_batch
    by_class = [torch.nonzero(labels == c)[:, 0] for c in range(int(labels.max()) + 1)]
    batches = []
    for _ in range(steps):
        chosen = torch.randperm(len(by_class), generator=generator, device=labels.device)[:classes_per_batch]
        items = [
            by_class[c][torch.randperm(len(by_class[c]), generator=generator, device=labels.device)[:per_class]]
            for c in chosen.tolist()
        ]
        batches.append(torch.cat(items))
    return torch.stack(batches)


def _image_world(pieces: Sequence[tuple[Tensor, Tensor]], amplitude: float, seed: int, device: str) -> World:
    views = Views(shift=0.3, noise=0.05, erase=0, contrast=0.2, clutter=amplitude)
    fixed = torch.Generator().manual_seed(seed)
    copies = [clutter(images, amplitude, fixed) for images, _ in pieces]
    shifted = clutter(pieces[2][0], 2 * amplitude, fixed)
    fields = [pieces[0][0], pieces[0][1], copies[1], pieces[1][1], copies[2], pieces[2][1], shifted]
    return World(*(field.to(device) for field in fields), augment=views)


def _starts(classes: tuple[int, int, int]) -> tuple[int, int, int]:
    return 0, classes[0], classes[0] + classes[1]
