"""Valid calls of neural.contrastive.retrieval."""

import torch

_ITEMS = {"features": torch.eye(6, 3) + 0.1, "labels": torch.tensor([0, 1, 0, 1, 0, 1]), "chunk": 2}

CALLS = {
    "mean_average_precision_at_r": _ITEMS,
    "r_precision": _ITEMS,
    "recall_at_k": {**_ITEMS, "k": 2},
}
ACCEPTED = {(name, "labels", "huge"): "labels are names of classes" for name in CALLS}
