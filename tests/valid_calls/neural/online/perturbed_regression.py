"""Valid calls of neural.online.perturbed_regression."""

import torch

from neural.online.bandit_networks import BlockNetwork, Chosen
from neural.online.perturbed_regression import PerturbedRegressor
from tests.bad_inputs import Fresh


def _net():
    return BlockNetwork(2, dim=3, arms=4, width=4, generator=torch.Generator().manual_seed(0))


_CONTEXTS = {"contexts": torch.rand(2, 3)}

CALLS = {
    "PerturbedRegressor": {
        "net": Fresh(_net), "c_p": 0.1, "n_perturb": 2, "loss": "kl", "expected": False, "learning_rate": 0.1,
        "radius": 5.0, "seed": 1,
    },
    "PerturbedRegressor.outputs": _CONTEXTS,
    "PerturbedRegressor.predict": _CONTEXTS,
    "PerturbedRegressor.losses": {"outputs": torch.rand(2, 4)},
    "PerturbedRegressor.update": {"x": Chosen(torch.rand(2, 3), torch.tensor([0, 3])), "y": torch.tensor([0.0, 1.0])},
}  # fmt: skip
INSTANCES = {"PerturbedRegressor": lambda: PerturbedRegressor(_net(), 0.1)}
ACCEPTED = {("PerturbedRegressor", "seed", "zero"): "the default seed"}
