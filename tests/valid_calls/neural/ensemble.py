"""Valid calls of neural.ensemble."""

import torch

CALLS = {
    "EnsembleBatchNorm": {"models": 2, "features": 3, "device": torch.device("cpu"), "momentum": 0.1, "eps": 1e-5},
    "EnsembleLinear": {"models": 2, "inputs": 3, "outputs": 4, "generator": torch.Generator()},
    "EnsembleSGD": {
        "parameters": [torch.nn.Parameter(torch.zeros(2, 3))], "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "clip_norm": 1.0,
    },
}  # fmt: skip
TRUSTED = dict.fromkeys(
    ("EnsembleBatchNorm.forward", "EnsembleLinear.forward", "EnsembleSGD.step"),
    "a layer or optimiser, as torch's own: the shapes that flow through it are torch's to check",
)
