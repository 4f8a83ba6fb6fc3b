"""Valid calls of neural.classification.rcal."""

import torch
from torch import nn

from neural.classification.rcal import ClassStats
from neural.contrastive.images import Views
from neural.ensemble import EnsembleLinear
from tests.bad_inputs import Fresh


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _stack(inputs: int, outputs: int) -> Fresh:
    return Fresh(lambda: EnsembleLinear(2, inputs, outputs, torch.Generator().manual_seed(0)))


_Z, _Y = _drawn(24, 2), torch.arange(24) // 16
_STATS = ClassStats(torch.eye(2), torch.stack([torch.eye(2), 2 * torch.eye(2)]), torch.tensor([20, 5]))
CALLS = {
    "ClassStats": {"mean": _STATS.mean, "cov": _STATS.cov, "n": _STATS.n},
    "RCAL": {
        "encoder": Fresh(lambda: nn.Linear(2, 3)), "head": Fresh(lambda: nn.Linear(3, 2)), "beta": 1.0, "mixup": 1.0,
        "classes": 2, "method": "median", "contamination": 0.2, "neighbours": 1, "per_class": 5, "sample_share": 0.5,
        "steps": 2, "batch_size": 4, "learning_rate": 0.05, "seed": 1,
    },
    "RCAL.fit": {"X": _Z, "y_noisy": _Y},
    "RCAL.predict": {"X": _Z},
    "calibrate_tails": {"stats": _STATS, "q": 1, "tail": torch.tensor([1])},
    "fine_tune": {
        "encoder": _stack(2, 3), "head": _stack(3, 2), "x": _Z, "y": torch.stack([_Y, 1 - _Y]), "models": 2,
        "generator": torch.Generator(), "reference": _drawn(2, 24, 3), "samples": _drawn(2, 10, 3),
        "sample_labels": torch.arange(20).reshape(2, 10) % 2, "beta": 1.0, "mixup": torch.tensor([0.5, 1.0]),
        "sample_share": 0.5, "steps": 2, "batch_size": 4, "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-4,
        "clip_norm": 5.0,
    },
    "individual_calibration_loss": {"z": _drawn(4, 3), "z_ref": _drawn(4, 3), "reduction": "sum"},
    "pretrain_encoder": {
        "encoder": _stack(64, 6), "x": _drawn(8, 64), "features": 6, "views": Views(clutter=0.0, erase=0),
        "generator": torch.Generator(), "models": 2, "projections": 4, "temperature": 0.2, "batch_size": 4, "steps": 2,
        "learning_rate": 0.1,
    },
    "robust_class_stats": {"z": _Z, "y": _Y, "method": "lof", "contamination": 0.2, "classes": 2},
    "sample_gaussian_classes": {"stats": _STATS, "per_class": 3, "generator": torch.Generator()},
}  # fmt: skip
ACCEPTED = {
    ("ClassStats", "n", "huge"): "a class may have any number of samples",
    ("RCAL", "seed", "zero"): "0 is a seed",
}
