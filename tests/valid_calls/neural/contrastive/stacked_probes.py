"""Valid calls of neural.contrastive.stacked_probes."""

import torch

_LABELS = torch.tensor([0, 1, 0, 1])
_KNOWN = {
    "train": torch.tensor([[[1.0, 0.2], [0.1, 1.0], [1.0, 0.0], [0.3, 1.1]]]), "train_labels": _LABELS,
    "test": torch.tensor([[[1.0, 0.1], [0.2, 1.0]]]), "test_labels": torch.tensor([0, 1]),
}  # fmt: skip

CALLS = {
    "stacked_linear_probe_accuracy": {**_KNOWN, "per_class": 1, "seed": 0},
    "stacked_knn_accuracy": {**_KNOWN, "neighbours": 3},
}
ACCEPTED = {
    ("stacked_linear_probe_accuracy", "train_labels", "huge"): "a class may have any number",
    ("stacked_linear_probe_accuracy", "test_labels", "huge"): "a class that is not known counts as missed",
    ("stacked_linear_probe_accuracy", "seed", "zero"): "a seed",
    ("stacked_knn_accuracy", "train_labels", "huge"): "a class may have any number",
    ("stacked_knn_accuracy", "test_labels", "huge"): "a class that is not known counts as missed",
}
