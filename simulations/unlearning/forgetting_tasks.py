"""Three things to forget (a class, random points, mislabelled points) and classifiers with an embedding to forget them.

A replicate has two parts, each with models of its own start, forget sets of its own and held-out images of its own: one
to choose settings by, one to judge. Models are stacked along a leading axis and trained in lockstep, those that forget
a class in one group, the others, whose forget sets have another size, in a second one.

    groups = forgetting_groups(Task(), seed, device)           # a Group per size: original, retrained, data, held-out
    for row in measured(group, unlearned, reference): ...      # accuracies, attacker, distance to retraining in points

Retraining without the forgotten points is what unlearning should come near, in each of: accuracy on remaining and on
forgotten training points (with the labels that were trained on), on held-out images (for a class: of the other classes
and of that class), and the success of an attacker who tells members from others by sorted softmax outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.contrastive.images import SIDE, glyphs
from neural.ensemble import EnsembleLinear
from neural.unlearning.unlearning_methods import Data, unlearn, untrained
from simulations.unlearning.digit_models import without
from simulations.unlearning.metrics import membership_auc

__all__ = [
    "CLASS",
    "METRICS",
    "NOISY",
    "PARTS",
    "RANDOM",
    "Group",
    "StackedClassifiers",
    "Task",
    "forgetting_groups",
    "logistic_regression",
    "measured",
    "outputs",
    "shard_outputs",
]

CLASS, RANDOM, NOISY = "one class", "random points", "mislabelled points"
PARTS = ("test", "tuning")
METRICS = ("train_r", "train_f", "test", "test_f", "attack")


@dataclass(frozen=True)
class Task:
    """Images, networks and how they are trained from scratch; ``share`` of the points is forgotten or mislabelled."""

    images: Literal["digits", "glyphs"] = "digits"
    network: Literal["perceptron", "convolutional"] = "perceptron"
    per_class: int = 70
    share: float = 0.2
    width: int = 48
    train_epochs: int = 45
    train_rate: float = 1e-2
    train_batch: int = 80


class StackedClassifiers(nn.Module):
    """Networks (models, batch, 64 pixels) → logits (models, batch, classes) in two parts, extractor and classifier."""

    def __init__(self, models: int, classes: int, task: Task, device: str) -> None:
        super().__init__()
        generator, width = torch.Generator(device), task.width
        if task.network == "perceptron":
            layers: list[nn.Module] = [_Affine(models, SIDE**2, 2 * width, generator), nn.ReLU()]
            layers += [_Affine(models, 2 * width, width, generator), nn.ReLU()]
        else:
            layers = [_Images(), _Convolution(models, 1, width // 4, device), nn.ReLU(), _Halved()]
            layers += [_Convolution(models, width // 4, width // 2, device), nn.ReLU(), _Halved(), nn.Flatten(2)]
            layers += [_Affine(models, width // 2 * (SIDE // 4) ** 2, width, generator), nn.ReLU()]
        self.extractor = nn.Sequential(*layers)
        self.classifier = _Affine(models, width, classes, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.extractor(x))

    def chosen(self, models: Sequence[int]) -> StackedClassifiers:
        """These models, with weights of their own."""
        rows = torch.tensor(list(models), device=self.classifier.weight.device)
        picked = copy.deepcopy(self)
        for parameter, source in zip(picked.parameters(), self.parameters(), strict=True):
            parameter.data = source.detach()[rows].clone()
        return picked


@dataclass(frozen=True)
class Group:
    """Models that forget as many points each, in lockstep; ``names`` are their (task, part), ``start`` the originals
    before training.

    ``forget``, ``retain``: data (models, samples, pixels) with the labels that the originals were trained on;
    ``held_out`` has the true ones. ``forgotten_class`` is −1 where none is forgotten as a whole.
    """

    names: list[tuple[str, str]]
    start: StackedClassifiers
    original: StackedClassifiers
    retrained: StackedClassifiers
    forget: Data
    retain: Data
    held_out: Data
    forgotten_class: list[int]

    def repeated(self, times: int) -> Group:
        """The same models and data ``times`` times over; retrained ones as they are."""
        forget, retain, held_out = (
            (x.repeat(times, 1, 1), y.repeat(times, 1)) for x, y in (self.forget, self.retain, self.held_out)
        )
        start, original = (each.chosen(list(range(len(self.names))) * times) for each in (self.start, self.original))
        return Group(
            self.names * times, start, original, self.retrained, forget, retain, held_out, self.forgotten_class * times
        )


def forgetting_groups(task: Task, seed: int, device: str) -> list[Group]:
    """The group that forgets a class and the one that forgets random or mislabelled points."""
    x, y, held_x, held_y, classes = _split(task, seed)
    rng, count = np.random.default_rng(seed), len(y)
    m = round(task.share * count)
    forgotten = rng.permutation(classes)[:2].tolist()
    rows = {(CLASS, part): np.flatnonzero(y.numpy() == c) for part, c in zip(PARTS, forgotten, strict=True)}
    rows |= {(kind, part): np.sort(rng.permutation(count)[:m]) for kind in (RANDOM, NOISY) for part in PARTS}
    labels = {name: y.clone() for name in rows}
    for part in PARTS:
        wrong = torch.tensor(rng.integers(1, classes, m))
        labels[NOISY, part][rows[NOISY, part]] = (y[rows[NOISY, part]] + wrong) % classes
    bases = [(RANDOM, part) for part in PARTS] + [(NOISY, part) for part in PARTS]
    everything = torch.arange(count).expand(len(bases), -1)
    originals = _trained(task, classes, x, [labels[b] for b in bases], everything, seed, device)
    starts = untrained(originals, seed)
    assert isinstance(starts, StackedClassifiers)
    groups = []
    for names in ([(CLASS, part) for part in PARTS], bases):
        kept = torch.stack([without(torch.tensor(rows[name]), count) for name in names])
        lost = torch.stack([torch.tensor(rows[name]) for name in names])
        own = torch.stack([labels[name] for name in names])
        base = [bases.index((NOISY if n[0] == NOISY else RANDOM, n[1])) for n in names]
        of_part = [held_x[name[1]] for name in names], [held_y[name[1]] for name in names]
        groups.append(
            Group(
                names=names,
                start=starts.chosen(base),
                original=originals.chosen(base),
                retrained=_trained(task, classes, x, list(own), kept, seed + 1, device),
                forget=(x[lost].to(device), own.gather(1, lost).to(device)),
                retain=(x[kept].to(device), own.gather(1, kept).to(device)),
                held_out=(torch.stack(of_part[0]).to(device), torch.stack(of_part[1]).to(device)),
                forgotten_class=[forgotten[PARTS.index(part)] if kind == CLASS else -1 for kind, part in names],
            )
        )
    return groups


@torch.no_grad()
def measured(
    group: Group,
    probabilities: tuple[Tensor, Tensor, Tensor],
    reference: list[dict[str, float]] | None = None,
    *,
    accuracies_only: bool = False,
) -> list[dict[str, float]]:
    """Metrics of every model of a group in percent, from class probabilities on what is kept, forgotten and held out.

    ``gap``: mean distance to those of ``reference``. ``test`` is accuracy on held-out images, for a forgotten class on
    those of the other classes, and ``test_f`` that on its own (NaN for other tasks, and then not part of the gap).
    The attacker costs more than all the rest: with ``accuracies_only`` there is neither attack nor gap.
    """
    correct = [
        (p.argmax(-1) == y).double().cpu().numpy() * 100
        for p, y in zip(probabilities, (group.retain[1], group.forget[1], group.held_out[1]), strict=True)
    ]
    found = []
    for k, c in enumerate(group.forgotten_class):
        inside = group.held_out[1][k].cpu().numpy() == c
        row = {
            "train_r": correct[0][k].mean(), "train_f": correct[1][k].mean(), "test": correct[2][k][~inside].mean(),
            "test_f": correct[2][k][inside].mean() if c >= 0 else np.nan,
        }  # fmt: skip
        if not accuracies_only:
            row["attack"] = _attack(*(p[k].double().cpu().numpy() for p in probabilities))
        if reference is not None and not accuracies_only:
            row["gap"] = float(np.nanmean([abs(row[name] - reference[k][name]) for name in METRICS]))
        found.append(row)
    return found


@torch.no_grad()
def outputs(group: Group, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Class probabilities on what is kept, forgotten and held out."""
    kept, lost, held = (model(data[0]).softmax(-1) for data in (group.retain, group.forget, group.held_out))
    return kept, lost, held


def shard_outputs(group: Group, task: Task, shards: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean class probabilities of models trained each on one of as many shards of what is kept (SISA).

    Source: Bourtoule et al. (2021), *Machine unlearning*; every shard is trained anew.
    """
    models, count = group.retain[1].shape
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).to(group.retain[1].device)
    parts = order[: count // shards * shards].view(shards, -1)
    x, y = (torch.cat([data[:, rows] for rows in parts]) for data in group.retain)
    classes = group.original.classifier.weight.shape[-1]
    trained = _fitted(task, classes, (x, y), seed)
    found = []
    with torch.no_grad():
        for data in (group.retain, group.forget, group.held_out):
            p = trained(data[0].repeat(shards, 1, 1)).softmax(-1)
            found.append(p.unflatten(0, (shards, models)).mean(0))
    return found[0], found[1], found[2]


def _attack(retain: np.ndarray, forget: np.ndarray, held_out: np.ndarray) -> float:
    """100 × AUC of forgotten points against held-out ones, by an attacker who learned on kept points and others.

    The attacker is a logistic regression on sorted log-probabilities, balanced between classes; half of the held-out
    points teach it, the other half are what forgotten ones are held against.
    """
    kept, lost, held = (np.sort(np.log(np.maximum(p, 1e-12)), axis=1) for p in (retain, forget, held_out))
    known, others = held[::2], held[1::2]
    members = kept[: len(known)]
    x = np.concatenate([members, known])
    centre, scale = x.mean(0), x.std(0) + 1e-12
    w = logistic_regression((x - centre) / scale, np.repeat([1.0, 0.0], [len(members), len(known)]))
    score = [(each - centre) / scale @ w[:-1] for each in (lost, others)]
    return 100 * membership_auc(score[0], score[1]).value


def logistic_regression(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights and offset that minimise ½||w||² + sum s_i log(1 + exp(∓ z_i)), both classes of equal total weight.

    Newton's method with halved steps: on a few hundred points a fraction of what a general solver needs.
    """
    rows, penalty = np.c_[x, np.ones(len(x))], np.r_[np.ones(x.shape[1]), 0.0]
    s = np.where(y == 1, len(y) / (2 * y.sum()), len(y) / (2 * (len(y) - y.sum())))

    def value(w: np.ndarray) -> float:
        z = rows @ w
        return float(0.5 * (penalty * w**2).sum() + (s * (np.logaddexp(0, z) - y * z)).sum())

    w = np.zeros(rows.shape[1])
    for _ in range(50):
        p = expit(rows @ w)
        gradient = rows.T @ (s * (p - y)) + penalty * w
        step = np.linalg.solve((rows.T * (s * p * (1 - p))) @ rows + np.diag(penalty + 1e-9), gradient)
        size, now = 1.0, value(w)
        while value(w - size * step) > now and size > 1e-6:
            size /= 2
        w = w - size * step
        if np.abs(step).max() < 1e-7:
            break
    return w


def _trained(
    task: Task, classes: int, x: Tensor, labels: list[Tensor], rows: Tensor, seed: int, device: str
) -> StackedClassifiers:
    """A model from scratch for each set of rows (models, count) and its labels."""
    return _fitted(task, classes, (x[rows].to(device), torch.stack(labels).gather(1, rows).to(device)), seed)


def _fitted(task: Task, classes: int, data: Data, seed: int) -> StackedClassifiers:
    start = StackedClassifiers(len(data[1]), classes, task, str(data[1].device))
    trained = unlearn(
        "retrain", start, data, data, epochs=task.train_epochs, learning_rate=task.train_rate,
        batch_size=task.train_batch, seed=seed,
    )  # fmt: skip
    assert isinstance(trained, StackedClassifiers)
    return trained


def _split(task: Task, seed: int) -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Tensor], int]:
    """Training images, as many of each class; the others in two halves, one for each part."""
    if task.images == "digits":
        pixels, targets = load_digits(return_X_y=True)
        x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(targets)
    else:
        drawn = glyphs(10, 2 * task.per_class, 1.0)
        x, y = torch.cat([drawn.train, drawn.test]), torch.cat([drawn.train_labels, drawn.test_labels])
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    x, y = x[order], y[order]
    number = F.one_hot(y).cumsum(0).gather(1, y[:, None])[:, 0]  # 1 for the first of its class, …
    train, rest = number <= task.per_class, number > task.per_class
    held = {part: rest.nonzero().flatten()[k::2][: int(rest.sum()) // 2] for k, part in enumerate(PARTS)}
    of_x, of_y = ({part: t[rows] for part, rows in held.items()} for t in (x, y))
    return x[train], y[train], of_x, of_y, int(y.max()) + 1


class _Affine(EnsembleLinear):
    def reset_parameters(self) -> None:
        """Weights and biases uniform in ±1/√inputs, those of each model on their own."""
        _drawn(self, self.weight.shape[1])


class _Convolution(nn.Module):
    """A 3 × 3 convolution per model, of images (models, batch, channels, height, width)."""

    def __init__(self, models: int, inputs: int, outputs: int, device: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(models, outputs, inputs, 3, 3, device=device))
        self.bias = nn.Parameter(torch.zeros(models, outputs, device=device))

    def reset_parameters(self) -> None:
        """Weights and biases uniform in ±1/√inputs, those of each model on their own."""
        _drawn(self, 9 * self.weight.shape[2])

    def forward(self, x: Tensor) -> Tensor:
        models = len(x)
        found = F.conv2d(
            x.transpose(0, 1).flatten(1, 2), self.weight.flatten(0, 1), self.bias.flatten(), padding=1, groups=models
        )
        return found.unflatten(1, (models, -1)).transpose(0, 1)


class _Images(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (1, SIDE, SIDE))


class _Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])


def _drawn(layer: nn.Module, inputs: int) -> None:
    limit = inputs**-0.5
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.copy_(torch.empty(parameter.shape).uniform_(-limit, limit))
