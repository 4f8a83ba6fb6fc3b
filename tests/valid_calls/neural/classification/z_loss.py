"""Valid calls of neural.classification.z_loss."""

import torch

LOGITS = torch.tensor([[0.2, -1.0, 3.0], [1.0, 0.5, -0.5]])
TARGET = torch.tensor([2, 0])
COORDINATES = {
    "oc": torch.tensor([3.0, 1.0]),
    "q": torch.tensor([10.04, 1.5]),
    "s": torch.tensor([2.2, 1.0]),
    "classes": 3,
}
PARAMETERS = {"a": 0.5, "b": 2.0, "eps": 1e-12, "reduction": "mean"}

CALLS = {
    "z_loss": {"logits": LOGITS, "target": TARGET, **PARAMETERS},
    "ZLoss": PARAMETERS,
    "ZLoss.forward": {"logits": LOGITS, "target": TARGET},
    "log_taylor_softmax": {"logits": LOGITS},
    "log_spherical_softmax": {"logits": LOGITS, "eps": 1e-3},
    "spherical_mse": {"logits": LOGITS, "target": TARGET, "reduction": "mean"},
    "z_loss_of_coordinates": {**COORDINATES, "a": 0.5, "b": 2.0},
    "taylor_nll_of_coordinates": COORDINATES,
    "spherical_nll_of_coordinates": {**COORDINATES, "eps": 1e-3},
    "spherical_mse_of_coordinates": COORDINATES,
}
_ANY_SIGN = "b may have any sign: it is a standard score"
ACCEPTED = {(name, "b", "negative"): _ANY_SIGN for name in ("z_loss", "ZLoss", "z_loss_of_coordinates")}
