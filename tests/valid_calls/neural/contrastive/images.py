"""Valid calls of neural.contrastive.images."""

import torch

CALLS = {
    "Views": {"shift": 0.5, "noise": 0.05, "erase": 2, "contrast": 0.3, "clutter": 0.15},
    "Views.evaluation_copies": {"images": torch.rand(3, 64)},
    "clutter": {"images": torch.rand(3, 64), "amplitude": 0.1, "generator": torch.Generator()},
    "digits": {"seed": 1},
    "glyphs": {"classes": 3, "per_class": 4, "within": 0.6, "seed": 7, "split_seed": 1},
}
ACCEPTED = {
    ("digits", "seed", "zero"): "a seed",
    ("glyphs", "seed", "zero"): "a seed",
    ("glyphs", "split_seed", "zero"): "a seed",
    ("Views", "erase", "zero"): "nothing is erased",
}
TRUSTED = {"LabelledImages.to": "a device, which torch checks"}
