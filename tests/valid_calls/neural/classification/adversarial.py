"""Valid calls of neural.classification.adversarial."""

import torch

from neural.classification.adversarial import pgd_adversarial_loss

_MODEL = torch.nn.Linear(4, 3)
_DATA = {"x": torch.full((2, 4), 0.5), "y": torch.tensor([0, 2])}
_ATTACK = {"eps": 0.1, "steps": 2, "norm": "linf", "step_size": 0.05}


def _objective(model, x, y, strength, generator):
    return pgd_adversarial_loss(model, x, y, 0.1 * strength, steps=1, generator=generator)


CALLS = {
    "AdversarialTrainer": {
        "model": _MODEL, "objective": _objective, "epochs": 1, "batch_size": 2, "learning_rate": 0.1, "momentum": 0.9,
        "weight_decay": 0.0,
    },
    "AdversarialTrainer.fit": _DATA,
    "pgd_adversarial_loss": {"model": _MODEL, **_DATA, **_ATTACK},
    "projected_gradient_attack": {"values": lambda x: x.sum(1), "x": _DATA["x"], **_ATTACK},
    "robust_accuracy": {"model": _MODEL, **_DATA, **_ATTACK},
    "smooth_adversarial_comp_sum": {"model": _MODEL, **_DATA, **_ATTACK, "tau": 1.0, "rho": 1.0, "nu": 1.0},
    "trades_loss": {"model": _MODEL, **_DATA, **_ATTACK, "beta": 6.0},
}  # fmt: skip
ACCEPTED = {
    (name, "steps", "zero"): "only the random start is tried"
    for name in (
        "pgd_adversarial_loss",
        "projected_gradient_attack",
        "robust_accuracy",
        "smooth_adversarial_comp_sum",
        "trades_loss",
    )
}
