"""Valid calls of neural.contrastive.pretrain."""

import torch

from neural.contrastive.images import Views
from neural.contrastive.pretrain import EncoderEnsemble
from tests.bad_inputs import Fresh


def _models():
    return EncoderEnsemble(2, generator=torch.Generator().manual_seed(0), width=8)


CALLS = {
    "EncoderEnsemble": {"models": 2, "generator": torch.Generator(), "pixels": 64, "width": 8},
    "ResNetEnsemble": {"models": 1, "seed": 1, "device": "cpu", "width": 4},
    "encode": {"models": Fresh(_models), "images": torch.rand(3, 64)},
    "pretrain": {
        "models": Fresh(_models), "images": torch.rand(8, 64), "loss": lambda z1, z2, step: ((z1 - z2) ** 2).mean((1, 2)),
        "views": Views(), "batch_size": 4, "steps": 2, "learning_rate": 0.1, "generator": torch.Generator(),
    },
}  # fmt: skip
ACCEPTED = {("ResNetEnsemble", "seed", "zero"): "a seed", ("pretrain", "steps", "zero"): "no training"}
TRUSTED = dict.fromkeys(
    ("EncoderEnsemble.forward", "ResNetEnsemble.forward"),
    "a model, as torch's own: the shapes that flow through it are torch's to check",
)
