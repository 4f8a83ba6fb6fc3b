"""Valid calls of neural.optimization.loss_reweighting."""

import torch

LOSSES = torch.tensor([0.4, 2.0, 1.1])
CALLS = {
    "loss_weights": {"losses": LOSSES, "strategy": "linupper", "r": 1.0, "delta": 1.0},
    "ReweightedLoss": {"strategy": "linupper", "r": 1.0, "burnin": 2, "token_weighted": True},
    "ReweightedLoss.forward": {"per_sample_losses": LOSSES, "lengths": torch.tensor([3, 1, 2]), "step": 5},
    "AnnealedTemperature": {"start": 10.0, "target": 1.0, "begin": 2, "end": 10},
    "sequence_losses": {
        "logits": torch.linspace(-1, 1, 24).reshape(2, 3, 4), "labels": torch.tensor([[0, 1, 2], [3, 3, -100]]), "ignore_index": -100, "chunk": 2,
    },
}  # fmt: skip
_STATE = "the state that torch hands back to a module is that which it was given"
TRUSTED = {"ReweightedLoss.set_extra_state": _STATE}
ACCEPTED = {
    ("ReweightedLoss", "burnin", "zero"): "no burn-in",
    ("ReweightedLoss.forward", "step", "zero"): "the first step",
    ("AnnealedTemperature", "begin", "zero"): "from the first step on",
    ("ReweightedLoss.forward", "lengths", "huge"): "a long sequence",
    ("sequence_losses", "logits", "nan"): "the losses are NaN then, which the weights refuse",
    ("sequence_losses", "logits", "infinite"): "the losses are not finite then, which the weights refuse",
}
