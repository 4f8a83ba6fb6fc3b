"""Valid calls of neural.density.energy_networks."""

import torch

CALLS = {
    "EnergyEnsemble": {
        "models": 2, "inputs": 3, "width": 4, "generator": torch.Generator(), "hidden": 2, "frequencies": 3,
        "bandwidth": 2.0,
    },
    "EnergyEnsemble.forward": {"x": torch.zeros(5, 3)},
    "GaussianNoise": {"scale": torch.tensor([1.0, 2.0]), "dim": 3},
    "GaussianNoise.sample": {"count": 4, "generator": torch.Generator()},
    "GaussianNoise.log_prob": {"x": torch.zeros(2, 5, 3)},
    "EnsembleAdam": {
        "parameters": [torch.nn.Parameter(torch.zeros(2, 3))], "learning_rate": torch.tensor([0.1, 0.2]),
        "clip_norm": 1.0,
    },
    "log_partition_grid": {"model": lambda x: -x.square().sum(-1), "box": [(-3, 3), (-3, 3)], "n": 5},
}  # fmt: skip
ACCEPTED = {
    ("EnergyEnsemble", "frequencies", "zero"): "the points themselves",
}
TRUSTED = {"EnsembleAdam.step": "an optimiser's step, as torch's own"}
