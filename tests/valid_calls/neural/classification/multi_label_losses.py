"""Valid calls of neural.classification.multi_label_losses."""

import torch

_LOGITS = torch.tensor([[0.5, -1.0], [2.0, 0.1], [-0.3, 1.2]])
_TARGETS = torch.tensor([[1, 0], [0, 1], [1, 1]])

CALLS = {
    "asymmetric_loss": {
        "logits": _LOGITS,
        "targets": _TARGETS,
        "gamma_pos": 0.5,
        "gamma_neg": 4.0,
        "clip": 0.05,
        "reduction": "sum",
        "eps": 1e-8,
    },
    "focal_multilabel_loss": {"logits": _LOGITS, "targets": _TARGETS, "gamma": 2.0, "reduction": "sum"},
    "distribution_balanced_loss": {
        "logits": _LOGITS,
        "targets": _TARGETS,
        "counts": torch.tensor([10, 3]),
        "samples": 100,
        "gamma": 2.0,
        "alpha": 0.1,
        "beta": 10.0,
        "mu": 0.2,
        "neg_scale": 2.0,
        "bias_scale": 0.05,
        "reduction": "sum",
    },
    "splc_loss": {
        "logits": _LOGITS,
        "targets": _TARGETS,
        "tau": 0.6,
        "margin": 1.0,
        "gamma": 2.0,
        "reduction": "sum",
    },
}
ACCEPTED = {("distribution_balanced_loss", "counts", "fractional"): "weighted counts"}
