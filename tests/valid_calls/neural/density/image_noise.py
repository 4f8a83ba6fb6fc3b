"""Valid calls of neural.density.image_noise."""

import torch
from torch import nn

from tests.bad_inputs import Fresh

_X = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
_MODEL = Fresh(lambda: nn.Conv2d(1, 1, 3, padding=1))

CALLS = {
    "ResidualDenoiser": {"network": _MODEL, "scale": 0.1},
    "ResidualDenoiser.forward": {"y": _X},
    "add_noise": {"x": _X, "noise": "gaussian", "param": 0.1, "rng": Fresh(torch.Generator)},
    "blind_spots": {"y": _X, "share": 0.2, "rng": Fresh(torch.Generator)},
    "noise2noise_loss": {"model": _MODEL, "y": _X, "other": _X + 1},
    "noise2void_loss": {"model": _MODEL, "y": _X, "rng": Fresh(torch.Generator), "share": 0.2},
    "photograph": {"name": "camera", "shrink": 2},
    "psnr": {"found": _X, "clean": _X + 0.1},
    "random_crops": {"images": [_X, _X + 1], "size": 4, "count": 2, "rng": Fresh(torch.Generator)},
}
ACCEPTED = {}
