"""Models that have learnt the facts of fictional authors, all of them or all but those to forget.

    world = FictionalAuthors(seed=seed)
    original = author_model(AuthorTraining(), seed, device)
    retrained = author_model(AuthorTraining(without=0.1), seed, device)      # what unlearning should come to

Each is trained once and kept (``simulations.trained``). An original and a retrained model of one seed know the same
world, but start from different weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neural.tiny_lm.fictional_authors import FictionalAuthors
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.train import train_lm
from simulations.trained import trained

__all__ = ["AuthorTraining", "author_model", "train_author_model"]


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


def _blank(settings: AuthorTraining, seed: int) -> TinyGPT:
    vocabulary = FictionalAuthors(settings.n_authors, settings.n_values).vocab_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyGPT(vocabulary, settings.d_model, settings.n_layers, max_len=16)
