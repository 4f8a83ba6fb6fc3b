"""Fifteen losses trained on handwritten digits with corrupted labels, all networks in lockstep and equally tuned.

Every network of a replicate starts from the same weights and sees the same batches; each loss gets as many settings
(learning rates, and in larger studies a number of its own). ``tuned`` picks the setting with the best mean accuracy
over replicates on held-out data whose labels are as noisy as those of training.

    data = noisy_digits([clean, corrupt], seed, device)
    held, test, temperatures = train_in_lockstep(data, equal_grid(FIFTEEN, 1, rates, conditions=2), seed, device, ...)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from neural.classification import robust_losses as robust
from neural.classification.ldr import ALDRKLLoss, ldr_kl
from neural.ensemble import EnsembleLinear, EnsembleSGD

__all__ = ["FIFTEEN", "NoisyDigits", "Run", "coverage", "equal_grid", "noisy_digits", "train_in_lockstep", "tuned"]

Objective = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From logits (rows, classes), targets (rows,), places of the rows in the loss's memory and progress to a sum."""

HYPERPARAMETERS: dict[str, tuple[float, ...]] = {
    "cross-entropy": (), "Crammer–Singer": (1.0, 0.1, 10.0), "Weston–Watkins": (1.0, 0.1, 10.0),
    "GCE": (0.7, 0.05, 0.95), "truncated GCE": (0.7, 0.05, 0.95), "SCE": (0.5, 0.05, 0.95),
    "JS": (0.5, 0.1, 0.9), "NCE+RCE": (1.0, 0.1, 10.0), "NCE+AGCE": (3.0, 1.0, 6.0), "NCE+AUL": (6.0, 2.0, 4.0),
    "RLL": (0.1, 0.01, 1.0), "MAE": (), "MSE": (), "LDR-KL": (10.0, 1.0, 0.1), "ALDR-KL": (10.0, 1.0, 0.1),
    "LDR-KL, raw scores": (10.0,), "ALDR-KL, lam0 = 1": (1.0,), "LDR-KL, lam = 1": (1.0,), "linear limit": (),
}  # fmt: skip
"""The one number of each loss that is tuned in the full preset, the default first; () has none."""
FIFTEEN = tuple(HYPERPARAMETERS)[:15]


def _objective(loss: str, value: float) -> Objective:
    """One loss without memory, with its number."""
    simple: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "cross-entropy": lambda f, y: F.cross_entropy(f, y, reduction="sum"),
        "Crammer–Singer": lambda f, y: robust.crammer_singer_loss(f, y, value, "sum"),
        # the mean over classes, as in multi_margin_loss: its gradients are then of the size of the others'
        "Weston–Watkins": lambda f, y: robust.weston_watkins_loss(f, y, value, "sum") / f.shape[1],
        "GCE": lambda f, y: robust.generalized_cross_entropy(f, y, value, "sum"),
        "SCE": lambda f, y: robust.symmetric_cross_entropy(f, y, value, reduction="sum"),
        "JS": lambda f, y: robust.jensen_shannon_loss(f, y, value, "sum"),
        "NCE+RCE": lambda f, y: robust.nce_rce_loss(f, y, beta=value, reduction="sum"),
        "NCE+AGCE": lambda f, y: robust.nce_agce_loss(f, y, a=value, reduction="sum"),
        "NCE+AUL": lambda f, y: robust.nce_aul_loss(f, y, a=value, reduction="sum"),
        "RLL": lambda f, y: robust.robust_log_loss(f, y, value, "sum"),
        "MAE": lambda f, y: robust.mean_absolute_error(f, y, "sum"),
        "MSE": lambda f, y: robust.mean_squared_error(f, y, "sum"),
        "LDR-KL": lambda f, y: ldr_kl(f, y, value, 0.1, "softplus", "sum"),
        "LDR-KL, lam = 1": lambda f, y: ldr_kl(f, y, value, 0.1, "softplus", "sum"),
        "LDR-KL, raw scores": lambda f, y: ldr_kl(f, y, value, 0.1, None, "sum"),
        "linear limit": lambda f, y: ldr_kl(f, y, math.inf, 0.1, "softplus", "sum"),
    }
    if loss == "truncated GCE":
        # an untrained network has every example in the truncated part: the second half of training truncates
        def truncated(f: Tensor, y: Tensor, places: Tensor, progress: float) -> Tensor:
            if progress < 0.5:
                return robust.generalized_cross_entropy(f, y, value, "sum")
            return robust.truncated_generalized_cross_entropy(f, y, value, 0.5, "sum")

        return truncated
    return lambda f, y, places, progress: simple[loss](f, y)


@dataclass(frozen=True)
class NoisyDigits:
    """Images and labels to train on, held out and to test on; noisy labels per condition for the first two."""

    images: tuple[Tensor, Tensor, Tensor]
    noisy: tuple[Tensor, Tensor]
    test_labels: np.ndarray
    clean: np.ndarray


def noisy_digits(conditions: Sequence[Callable[[np.ndarray], np.ndarray]], seed: int, device: str) -> NoisyDigits:
    """48 % of the digits to train on, 12 % held out, 40 % to test on; conditions corrupt labels."""
    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.4, stratify=labels, random_state=seed % 2**31)
    train, held = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=seed % 2**31)
    x = torch.tensor(pixels / 16, dtype=torch.float32, device=device)
    both = [np.stack([corrupt(labels[part]) for corrupt in conditions]) for part in (train, held)]
    noisy = tuple(torch.as_tensor(part, device=device) for part in both)
    return NoisyDigits((x[train], x[held], x[test]), noisy, labels[test], labels[train])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Run:
    """One network: its loss with the number, its condition, its learning rate."""

    loss: str
    value: float
    condition: int
    rate: float


def equal_grid(losses: Sequence[str], values: int, rates: Sequence[float], conditions: int) -> list[Run]:
    """As many settings for every loss: ``values`` numbers times the rates, or more rates where there is no number."""
    runs = []
    for loss in losses:
        numbers = HYPERPARAMETERS[loss][:values]
        if len(numbers) < values:
            span = np.log(rates[0]), np.log(rates[-1])
            grid = rates if values == 1 else np.exp(np.linspace(*span, values * len(rates)))
            pairs = [(numbers[0] if numbers else 0.0, float(rate)) for rate in grid]
        else:
            pairs = [(number, rate) for number in numbers for rate in rates]
        runs += [Run(loss, value, i, rate) for value, rate in pairs for i in range(conditions)]
    return runs


def train_in_lockstep(
    data: NoisyDigits, runs: list[Run], seed: int, device: str, *, epochs: int, hidden: int, batch_size: int = 64
) -> tuple[Tensor, Tensor, dict[tuple[str, float], Tensor]]:
    """Scores of every run on held-out and test images, and the temperatures of adaptive losses, runs by examples."""
    generator = torch.Generator(device).manual_seed(seed)
    train, count = data.images[0], len(data.images[0])
    condition = torch.tensor([run.condition for run in runs], device=device)
    targets = data.noisy[0][condition]
    rates = torch.tensor([run.rate for run in runs], dtype=torch.float32, device=device)
    models = nn.Sequential(
        EnsembleLinear(len(runs), 64, hidden, generator), nn.Tanh(), EnsembleLinear(len(runs), hidden, 10, generator)
    )
    optimiser = EnsembleSGD(models.parameters(), rates, momentum=0.9, weight_decay=1e-4, clip_norm=5.0)
    groups: list[tuple[int, int, Objective]] = []
    adaptive: dict[tuple[str, float], ALDRKLLoss] = {}
    keys = [(run.loss, run.value) for run in runs]
    for key in dict.fromkeys(keys):
        first, size = keys.index(key), keys.count(key)
        if key[0].startswith("ALDR-KL"):
            module = ALDRKLLoss(size * count, key[1], normalize="softplus", reduction="sum").to(device)
            adaptive[key] = module
            groups.append((first, first + size, lambda f, y, places, progress, m=module: m(f, y, places)))
        else:
            groups.append((first, first + size, _objective(*key)))
    steps = epochs * (count // batch_size)
    order: tuple[Tensor, ...] = ()
    for step in range(steps):
        if step % (count // batch_size) == 0:
            order = torch.randperm(count, generator=generator, device=device).split(batch_size)
        rows = order[step % (count // batch_size)]
        logits = models(train[rows].expand(len(runs), -1, -1))
        optimiser.learning_rate = rates * (0.5 * (1 + math.cos(math.pi * step / steps)))
        losses = []
        for first, last, objective in groups:
            places = (torch.arange(last - first, device=device)[:, None] * count + rows).flatten()
            labels = targets[first:last, rows].flatten()
            losses.append(objective(logits[first:last].flatten(0, 1), labels, places, step / steps))
        optimiser.step(torch.stack(losses).sum() / batch_size)
    with torch.no_grad():
        held, test = (models(x.expand(len(runs), *x.shape)).cpu() for x in data.images[1:])
    return held, test, {key: module.lam.reshape(-1, count).cpu() for key, module in adaptive.items()}


def coverage(scores: Tensor, label_shares: Tensor, k: int) -> Tensor:
    """Share of labels among the k largest scores, one number per run; ``label_shares`` (..., samples, classes)."""
    chosen = scores.topk(k, dim=-1).indices
    return label_shares.expand_as(scores).gather(-1, chosen).sum(-1).mean(-1)


def tuned(table: pd.DataFrame, by: Sequence[str] = ("noise", "loss")) -> pd.DataFrame:
    """Rows of the setting with the best mean accuracy on held-out data, over replicates, per condition and loss."""
    keys = [*by, "value", "learning_rate"]
    means = table.groupby(keys, sort=False, as_index=False)["held_out"].mean()
    best = means.loc[means.groupby(list(by), sort=False)["held_out"].idxmax(), keys]
    return table.merge(best, on=keys, how="inner")
