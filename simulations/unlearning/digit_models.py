"""Classifiers of real handwritten digits, trained in lockstep: the models that unlearning is tried on.

``digit_split`` divides scikit-learn's 1797 digits into points to train on, to choose settings by and to test on;
``DigitClassifiers`` are perceptrons of one shape stacked along a leading axis, of which ``model(i)`` is a plain module;
``trained_on`` trains one per set of rows, ``without`` names the rows that a set leaves.

    split = digit_split(seed)
    models = trained_on(split.train, torch.arange(1200).expand(3, -1), seed)           # three models of all points
    kept = torch.stack([without(forgotten, 1200) for forgotten in sets])
    retrained = trained_on(split.train, kept, seed)                                     # one per forget set
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.unlearning.unlearning_methods import Data, unlearn

__all__ = ["DigitClassifiers", "DigitSplit", "Training", "digit_split", "rows_of", "trained_on", "without"]

CLASSES = 10


@dataclass(frozen=True)
class Training:
    """Hidden widths, and how a model is trained from scratch, with Adam."""

    hidden: tuple[int, ...] = (128, 64)
    epochs: int = 30
    learning_rate: float = 2e-3
    batch_size: int = 64


@dataclass(frozen=True)
class DigitSplit:
    """Pixels in [0, 1] and labels of disjoint parts."""

    train: Data
    validation: Data
    test: Data


def digit_split(seed: int, train: int = 1200, device: str = "cpu") -> DigitSplit:
    """``train`` digits to train on; half of the others to choose settings by, half to test on."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    X = torch.tensor(pixels, dtype=torch.float32)[order].to(device) / 16
    y = torch.tensor(labels)[order].to(device)
    half = train + (len(y) - train) // 2
    return DigitSplit((X[:train], y[:train]), (X[train:half], y[train:half]), (X[half:], y[half:]))


class DigitClassifiers(nn.Module):
    """Perceptrons (models, batch, inputs) → (models, batch, classes); each starts on its own."""

    def __init__(self, models: int, widths: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Affine(models, inputs, outputs, generator) for inputs, outputs in pairwise(widths))

    @classmethod
    def stacked_from(cls, models: Sequence[nn.Module]) -> DigitClassifiers:
        """The models that ``model`` took apart, together again."""
        each = [[layer for layer in model if isinstance(layer, nn.Linear)] for model in models]  # type: ignore[attr-defined]
        widths = [each[0][0].in_features, *(layer.out_features for layer in each[0])]
        device = each[0][0].weight.device
        stacked = cls(len(models), widths, torch.Generator(device))
        with torch.no_grad():
            for k, layer in enumerate(stacked.layers):
                layer.weight.copy_(torch.stack([one[k].weight.T for one in each]))  # type: ignore[union-attr]
                layer.bias.copy_(torch.stack([one[k].bias[None] for one in each]))  # type: ignore[union-attr]
        return stacked

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)

    def model(self, i: int) -> nn.Sequential:
        """The i-th as a plain module with weights of its own."""
        parts: list[nn.Module] = []
        for layer in self.layers:
            weight, bias = layer.weight[i].detach().T.clone(), layer.bias[i, 0].detach().clone()  # type: ignore[index]
            plain = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
            plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(bias)
            parts += [plain, nn.ReLU()]
        return nn.Sequential(*parts[:-1])


class _Affine(EnsembleLinear):
    def reset_parameters(self) -> None:
        """Weights and biases uniform in ±1/√inputs, those of each model on their own."""
        limit = self.weight.shape[1] ** -0.5
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                parameter.copy_(torch.empty(parameter.shape).uniform_(-limit, limit))


def rows_of(data: Data, rows: Tensor) -> Data:
    """The points of these rows: (models, count) rows give (models, count, …) points."""
    return data[0][rows], data[1][rows]


def without(rows: Tensor, count: int) -> Tensor:
    """The rows 0 … count − 1 that are not among these."""
    kept = torch.ones(count, dtype=torch.bool, device=rows.device)
    kept[rows] = False
    return kept.nonzero().flatten()


def trained_on(data: Data, rows: Tensor, seed: int, training: Training = Training()) -> DigitClassifiers:
    """A model from scratch for each set of rows (models, count), all in lockstep."""
    widths = (data[0].shape[1], *training.hidden, CLASSES)
    start = DigitClassifiers(len(rows), widths, torch.Generator(data[0].device))
    kept = rows_of(data, rows)
    first = kept[0][:, :1], kept[1][:, :1]
    trained = unlearn(
        "retrain", start, first, kept, epochs=training.epochs, learning_rate=training.learning_rate,
        batch_size=training.batch_size, seed=seed,
    )  # fmt: skip
    assert isinstance(trained, DigitClassifiers)
    return trained
