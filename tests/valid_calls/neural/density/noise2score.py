"""Valid calls of neural.density.noise2score."""

import torch
from torch import nn

from tests.bad_inputs import Fresh

_Y = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
_MODEL = Fresh(lambda: nn.Conv2d(1, 1, 3, padding=1))

CALLS = {
    "ARDAELoss": {"sa_max": 0.2, "sa_min": 0.1, "steps": 3, "reduction": "mean"},
    "ARDAELoss.forward": {"model": _MODEL, "y": _Y, "noise": _Y - 0.5},
    "Noise2Score": {"model": _MODEL},
    "Noise2Score.denoise": {"y": _Y, "noise": "gaussian", "param": 0.1},
    "ScoreCNN": {
        "channels": 1, "width": 4, "depth": 3, "slope": 0.1, "downscale": 2, "unit": 1.0,
        "generator": Fresh(torch.Generator),
    },
    "ScoreCNN.forward": {"y": _Y},
    "ar_dae_loss": {"model": _MODEL, "y": _Y, "sa": 0.1, "noise": _Y - 0.5, "reduction": "mean"},
    "estimate_noise_parameter": {
        "y": _Y, "model": _MODEL, "noise": "gaussian", "grid": [0.1, 0.2], "criterion": "tv",
    },
    "sure_gaussian": {"y": _Y, "f": _MODEL, "sigma": 0.1, "n_probe": 2, "generator": Fresh(torch.Generator)},
}  # fmt: skip
ACCEPTED = {}
