"""Valid calls of neural.unlearning.worst_case_forget."""

import torch
from torch import nn

X, Y = torch.linspace(-1, 1, 12).reshape(6, 2), torch.tensor([0, 1, 0, 1, 2, 2])


def _model() -> nn.Module:
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.linspace(-0.5, 0.5, 6).reshape(3, 2))
        model.bias.zero_()
    return model


MODEL, V = _model(), torch.tensor([0.9, 0.4, 0.1])
CALLS = {
    "select_forget_set": {
        "model": MODEL, "X": X, "y": Y, "m": 2, "inner_steps": 2, "inner_lr": 0.01, "outer_steps": 2, "outer_lr": 1.0,
        "gamma": 1e-4, "direction": "worst", "groups": torch.tensor([0, 1, 0, 1, 2, 2]), "init": "uniform", "seed": 0,
        "batch_size": 3, "forget_weight": 0.0,
    },
    "sign_unlearn": {
        "model": MODEL, "X": X, "y": Y, "w": torch.full((6,), 0.5), "steps": 2, "lr": 0.01, "batch_size": 3,
        "forget_weight": 0.0, "seed": 0,
    },
    "SignSGD": {"params": [nn.Parameter(V)], "lr": 0.1},
    "SignSGD.step": {"closure": lambda: 0.0},
    "project_capped_simplex": {"v": V, "m": 1.5, "method": "bisection", "tol": 1e-9},
    "example_scores": {"model": MODEL, "X": X, "y": Y, "score": "grad-norm"},
}  # fmt: skip
ACCEPTED = {
    ("select_forget_set", "seed", "zero"): "the first seed",
    ("sign_unlearn", "seed", "zero"): "the first seed",
}
