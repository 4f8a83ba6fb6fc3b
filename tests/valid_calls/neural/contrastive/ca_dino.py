"""Valid calls of neural.contrastive.ca_dino."""

import torch
from torch import nn

_GENERATOR = torch.Generator()
_CROPS = {
    "teacher_out": torch.linspace(-1, 1, 16).reshape(2, 2, 4),
    "student_out": torch.linspace(1, -2, 24).reshape(3, 2, 4),
}
_CENTER = {"center": torch.tensor([0.1, 0.0, -0.1, 0.2])}
_TEMPERATURES = {"t_teacher": 0.04, "t_student": 0.1}

CALLS = {
    "dino_loss": {**_CROPS, **_CENTER, **_TEMPERATURES, "reduction": "mean"},
    "updated_center": {**_CENTER, "teacher_out": _CROPS["teacher_out"], "momentum": 0.9},
    "DINOLoss": {"outputs": 4, **_TEMPERATURES, "center_momentum": 0.9, "reduction": "mean"},
    "DINOLoss.forward": {name: list(crops) for name, crops in _CROPS.items()} | {"t_teacher": 0.05},
    "DINOHead": {"inputs": 3, "outputs": 4, "hidden": 5, "bottleneck": 2},
    "ema_update": {"teacher": nn.Linear(2, 2), "student": nn.Linear(2, 2), "m": 0.99},
    "ClusterAwareSampler": {"labels": torch.tensor([0, 1, 0, 2])},
    "ClusterAwareSampler.draw": {"anchors": torch.tensor([0, 2, 3]), "crops": 3, "generator": _GENERATOR},
    "ensemble_encoder": {"models": 2, "inputs": 3, "width": 4, "dim": 2, "generator": _GENERATOR},
    "EnsembleDINO": {
        "models": 2, "inputs": 3, "outputs": 4, "generator": _GENERATOR, "width": 4, "dim": 2, "bottleneck": 2,
    },
}  # fmt: skip
ACCEPTED = {("ClusterAwareSampler", "labels", "huge"): "any whole number names a cluster"}
TRUSTED = dict.fromkeys(
    ("DINOHead.forward", "EnsembleDINO.embed", "EnsembleDINO.forward"),
    "a model, as torch's own: the shapes that flow through it are torch's to check",
)
