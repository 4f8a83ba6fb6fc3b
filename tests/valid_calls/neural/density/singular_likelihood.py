"""Valid calls of neural.density.singular_likelihood."""

import torch
from torch import nn

from neural.density.singular_likelihood import GeneratorEnsemble
from tests.bad_inputs import Fresh


def _generator() -> GeneratorEnsemble:
    return GeneratorEnsemble(1, 1, 2, torch.Generator().manual_seed(0))


_X = torch.eye(4, 2)

CALLS = {
    "GeneratorEnsemble": {
        "models": 1, "latent": 1, "outputs": 2, "generator": Fresh(torch.Generator), "width": 4, "spread": 6.0,
    },
    "GeneratorEnsemble.forward": {"z": torch.rand(1, 5, 1)},
    "SieveMLE": {
        "generator": Fresh(_generator), "perturbation": 0.1, "sigma": "fixed", "data_noise": 0.1, "points": 10,
        "learning_rate": 0.01,
    },
    "SieveMLE.fit": {"X": _X, "steps": 1, "rng": Fresh(torch.Generator)},
    "SieveMLE.sample": {"n": 3, "rng": Fresh(torch.Generator)},
    "importance_weighted_bound": {
        "x": _X, "generator": Fresh(lambda: nn.Linear(1, 2)), "mean": torch.zeros(4, 1), "log_std": torch.zeros(4, 1),
        "sigma": 0.3, "rng": Fresh(torch.Generator), "draws": 2,
    },
    "latent_grid": {"points": 9, "latent": 2, "shift": torch.tensor([0.1, 0.2])},
    "log_likelihood_quadrature": {"x": _X, "generator_points": _X + 1, "sigma": 0.5},
    "perturb": {"x": _X, "std": 0.1, "rng": Fresh(torch.Generator)},
}  # fmt: skip
