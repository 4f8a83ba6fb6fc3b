"""Valid calls of neural.classification.prior_focal."""

import torch

_Y = torch.tensor([[1, 0, 1], [0, 1, 1]])
_M = torch.full((3, 3), 1 / 3)

CALLS = {
    "co_occurrence_matrix": {"targets": _Y},
    "label_prior": {"targets": _Y, "co_occurrence": _M},
    "prior_focal_loss": {
        "logits": torch.tensor([[0.5, -1.0, 0.1], [0.2, 0.3, -0.4]]),
        "targets": _Y,
        "co_occurrence": _M,
        "class_weight": torch.tensor([1.0, 1.2, 1.4]),
        "gamma_pos": 0.5,
        "gamma_neg": 3.0,
        "clip": 0.05,
        "relief": 1.2,
        "reduction": "sum",
        "eps": 1e-8,
    },
}
