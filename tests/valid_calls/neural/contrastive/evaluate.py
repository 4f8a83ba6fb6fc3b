"""Valid calls of neural.contrastive.evaluate."""

import torch

_Z1, _Z2 = torch.eye(6, 3) + 0.1, torch.eye(6, 3) + 0.2
_LABELS = torch.tensor([0, 1, 0, 1, 0, 1])
_PROBE = {"train": _Z1, "train_labels": _LABELS, "test": _Z2, "test_labels": _LABELS}

CALLS = {
    "alignment": {"z1": _Z1, "z2": _Z2},
    "knn_accuracy": {**_PROBE, "neighbours": 1},
    "linear_probe_accuracy": {**_PROBE, "per_class": 2, "seed": 0},
    "proxy_accuracy": {"z1": _Z1, "z2": _Z2},
    "tolerance": {"z": _Z1, "labels": _LABELS},
    "uniformity": {"z": _Z1},
}
ACCEPTED = {
    ("linear_probe_accuracy", "seed", "zero"): "a seed",
    ("tolerance", "labels", "huge"): "labels are names of classes",
} | {
    (probe, labels, "huge"): "labels are names of classes"
    for probe in ("knn_accuracy", "linear_probe_accuracy")
    for labels in ("train_labels", "test_labels")
}
