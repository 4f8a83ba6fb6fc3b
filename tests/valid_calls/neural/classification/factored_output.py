"""Valid calls of neural.classification.factored_output."""

import torch

from neural.classification.factored_output import FactoredOutputLayer
from neural.classification.z_loss import spherical_mse_of_coordinates

HIDDEN = torch.tensor([[0.2, -1.0, 3.0, 0.1], [1.0, 0.5, -0.5, 0.4]])
TARGET = torch.tensor([8, 0])

CALLS = {
    "FactoredOutputLayer": {"D": 9, "d": 4, "eta": 0.01, "stabilize_every": 5, "weight_decay": 0.1},
    "FactoredOutputLayer.from_weight": {
        "weight": torch.arange(36.0).reshape(9, 4) / 36,
        "eta": 0.01,
        "stabilize_every": 5,
        "weight_decay": 0.1,
    },
    "FactoredOutputLayer.forward": {"H": HIDDEN, "idx": TARGET},
    "FactoredOutputLayer.topk": {"H": HIDDEN, "k": 3},
    "factored_spherical_loss": {
        "h": HIDDEN,
        "target": TARGET,
        "loss_fn": spherical_mse_of_coordinates,
        "layer": FactoredOutputLayer(9, 4, 0.01),
        "reduction": "mean",
    },
}
ACCEPTED = {
    ("FactoredOutputLayer", "stabilize_every", "zero"): "never look at the singular values",
    ("FactoredOutputLayer.from_weight", "stabilize_every", "zero"): "never look at the singular values",
}
TRUSTED = {
    "FactoredOutputLayer.backward_update": "follows a forward, which this table cannot make: test_z_loss spoils it",
}
