"""Valid calls of neural.density.planar_densities."""

import torch

CALLS = {
    "planar_sample": {"name": "rings", "count": 3, "generator": torch.Generator()},
    "planar_log_density": {"name": "rings", "x": torch.ones(3, 2)},
}
