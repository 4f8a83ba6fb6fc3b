"""Models that have learnt the facts of fictional authors, all of them or all but those to forget.

    world = FictionalAuthors(seed=seed)
    original = author_model(AuthorTraining(), seed, device)
    retrained = author_model(AuthorTraining(without=0.1), seed, device)      # what unlearning should come to
    models = author_models(AuthorTraining(), (0.1, 0.5), seed, device)       # None, 0.1 and 0.5, trained in lockstep

Each is trained once and kept (``simulations.trained``). An original and a retrained model of one seed know the same
world, but start from different weights. Models that are trained in lockstep are others than those trained alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import FictionalAuthors
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.train import cosine_schedule, train_lm
from simulations.trained import trained

__all__ = [
    "AuthorTraining",
    "AuthorTrainings",
    "author_model",
    "author_models",
    "train_author_model",
    "train_author_models",
]

_NO_TARGET = -100


@dataclass(frozen=True)
class AuthorTraining:
    """Sizes of world, model and training; ``without`` is the fraction of authors that is never shown."""

    without: float | None = None
    n_authors: int = 50
    n_values: int = 16
    d_model: int = 64
    n_layers: int = 1
    steps: int = 250
    batch_size: int = 48
    lr: float = 1e-2


def author_model(settings: AuthorTraining, seed: int, device: str) -> TinyGPT:
    """The trained model, from the cache if it is there."""
    model = _blank(settings, seed).to(device)
    model.load_state_dict(trained(train_author_model, settings, seed, device))
    return model


def train_author_model(settings: AuthorTraining, seed: int, device: str) -> dict[str, Tensor]:
    """Weights after training from scratch."""
    world = FictionalAuthors(settings.n_authors, settings.n_values, seed)
    texts = world.training_set(settings.without).to(device)
    own = 2 * seed + (settings.without is not None)
    model = _blank(settings, own).to(device)
    train_lm(model, texts.ids, texts.mask, settings.steps, settings.batch_size, settings.lr, seed=own)
    return model.state_dict()


@dataclass(frozen=True)
class AuthorTrainings:
    """One training for the original model and for those that are never shown each of these fractions."""

    training: AuthorTraining
    fractions: tuple[float, ...]


def author_models(
    training: AuthorTraining, fractions: tuple[float, ...], seed: int, device: str
) -> dict[float | None, TinyGPT]:
    """The original model (None) and one without each fraction, from the cache if they are there."""
    settings = AuthorTrainings(training, fractions)
    together = TinyGPTEnsemble(_blank(training, seed), 1 + len(fractions)).to(device)
    together.load_state_dict(trained(train_author_models, settings, seed, device))
    return {without: together.model(number) for number, without in enumerate((None, *fractions))}


def train_author_models(settings: AuthorTrainings, seed: int, device: str) -> dict[str, Tensor]:
    """Weights of the ensemble after training from scratch; every model sees its own texts in an order of its own."""
    training = settings.training
    world = FictionalAuthors(training.n_authors, training.n_values, seed)
    texts = [world.training_set(without).to(device) for without in (None, *settings.fractions)]
    together = TinyGPTEnsemble.stacked_from([_blank(training, 2 * seed + (k > 0)) for k in range(len(texts))])
    together = together.to(device)
    rates = torch.full((len(texts),), training.lr, device=device)
    optimizer = EnsembleAdamW(together.parameters(), rates, clip_norm=1e30)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.empty(0, dtype=torch.long) for _ in texts]
    for step in range(training.steps):
        ids, targets = [], []
        for number, own in enumerate(texts):
            while len(orders[number]) < training.batch_size:
                orders[number] = torch.cat([orders[number], torch.randperm(len(own.ids), generator=generator)])
            rows = orders[number][: training.batch_size].to(device)
            orders[number] = orders[number][training.batch_size :]
            ids.append(own.ids[rows])
            targets.append(own.ids[rows, 1:].masked_fill(~own.mask[rows], _NO_TARGET))
        # The last position has no target: cheaper than to copy all logits but those.
        wanted = F.pad(torch.stack(targets), (0, 1), value=_NO_TARGET)
        logits = together(torch.stack(ids)).flatten(0, 2)
        each = F.cross_entropy(logits, wanted.flatten(), ignore_index=_NO_TARGET, reduction="none")
        counts = (wanted != _NO_TARGET).sum((1, 2))
        optimizer.step((each.view(len(texts), -1).sum(1) / counts).sum(), scale=cosine_schedule(step, training.steps))
    return together.state_dict()


def _blank(settings: AuthorTraining, seed: int) -> TinyGPT:
    vocabulary = FictionalAuthors(settings.n_authors, settings.n_values).vocab_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyGPT(vocabulary, settings.d_model, settings.n_layers, max_len=16)
