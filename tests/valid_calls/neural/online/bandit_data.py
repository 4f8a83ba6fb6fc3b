"""Valid calls of neural.online.bandit_data."""

import torch

from neural.online.bandit_data import bundled

CALLS = {
    "ClassificationBandit": {
        "features": torch.rand(2, 3, 4), "labels": torch.tensor([[0, 1, 1], [1, 0, 1]]), "arms": 2,
        "stream": torch.tensor([0, 1]),
    },
    "ClassificationBandit.round": {"t": 1},
    "bundled": {"name": "wine"},
    "quad5": {"samples": 6, "generator": torch.Generator(), "dim": 4, "arms": 3},
    "passes": {"data": bundled("iris"), "rounds": 5, "generator": torch.Generator(), "by_label": True},
}  # fmt: skip
ACCEPTED = {
    ("ClassificationBandit.round", "t", "zero"): "the first round",
    ("ClassificationBandit", "stream", "one longer"): "several models may share a stream",
}
TRUSTED = {"Environment": "a protocol: what an environment must have"}
