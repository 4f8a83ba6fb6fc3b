"""Valid calls of neural.tiny_lm.ensemble."""

import torch

from neural.tiny_lm.model import TinyGPT

CALLS = {
    "TinyGPTEnsemble": {"model": TinyGPT(5, 8, 1, 2, 6), "models": 2},
    "TinyGPTEnsemble.stacked_from": {"models": [TinyGPT(5, 8, 1, 2, 6), TinyGPT(5, 8, 1, 2, 6)]},
    "TinyGPTEnsemble.model": {"number": 1},
    "TinyGPTEnsemble.forward": {"ids": torch.tensor([[0, 1, 4], [2, 3, 3]])},
    "EnsembleAdamW": {
        "parameters": [torch.nn.Parameter(torch.zeros(2, 3))], "learning_rates": torch.tensor([0.1, 0.2]), "betas": (0.9, 0.999), "eps": 1e-8,
        "weight_decay": 0.01, "clip_norm": 1.0,
    },
}  # fmt: skip
TRUSTED = {"EnsembleAdamW.step": "an optimiser, as torch's own: the loss that it differentiates is torch's to check"}
ACCEPTED = {("TinyGPTEnsemble.model", "number", "zero"): "the first"}
