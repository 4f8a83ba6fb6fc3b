"""Valid calls of neural.classification.comic."""

import torch

_LOGITS = torch.tensor([[0.5, -1.0], [2.0, 0.1], [-0.3, 1.2]])
_TARGETS = torch.tensor([[1, 0], [0, 1], [1, 1]])
_WEIGHT = torch.tensor([1.0, 1.3])

CALLS = {
    "class_modifier": {"counts": torch.tensor([10, 3, 1]), "exponent": 0.2},
    "multi_focal_loss": {
        "logits": _LOGITS,
        "targets": _TARGETS,
        "class_weight": _WEIGHT,
        "gamma_pos": 0.5,
        "gamma_neg": 3.0,
        "clip": 0.05,
        "reduction": "sum",
        "eps": 1e-8,
    },
    "MultiFocalLoss": {
        "counts": torch.tensor([10, 3]),
        "exponent": 0.2,
        "gamma_pos": 0.5,
        "gamma_neg": 4.0,
        "clip": 0.05,
        "reduction": "sum",
        "eps": 1e-8,
    },
    "MultiFocalLoss.forward": {"logits": _LOGITS, "targets": _TARGETS},
    "recover_labels": {"logits": _LOGITS, "targets": _TARGETS, "tau": 0.7, "margin": 1.0},
    "LabelCorrector": {
        "counts": torch.tensor([10, 3]),
        "tau": 0.7,
        "margin": 1.0,
        "exponent": 0.2,
        "gamma_pos": 0.5,
        "gamma_neg": 3.0,
        "clip": 0.05,
    },
    "LabelCorrector.forward": {"logits": _LOGITS, "targets": _TARGETS},
    "head_tail_weights": {"loss_head": torch.tensor([1.0, 2.0]), "loss_tail": torch.tensor([3.0, 0.5]), "gamma": 2.0},
    "head_tail_balance_loss": {
        "head_logits": _LOGITS,
        "tail_logits": _LOGITS.flip(0),
        "balanced_logits": _LOGITS.flip(1),
        "targets": _TARGETS,
        "class_weight": _WEIGHT,
        "gamma": 2.0,
        "gamma_pos": 0.5,
        "gamma_neg": 3.0,
        "clip": 0.05,
    },
    "causal_norm_logits": {
        "features": torch.ones(3, 4),
        "weight": torch.ones(2, 4),
        "heads": 2,
        "tau": 16.0,
        "gamma": 0.03,
        "direction": torch.ones(4),
        "alpha": 1.0,
    },
    "CausalNormClassifier": {
        "in_features": 4,
        "num_classes": 2,
        "heads": 2,
        "tau": 16.0,
        "gamma": 0.03,
        "alpha": 0.5,
        "momentum": 0.9,
    },
    "CausalNormClassifier.forward": {"features": torch.ones(3, 4)},
    "multi_label_targets": {"logits": _LOGITS, "targets": _TARGETS},
}
ACCEPTED = {
    ("class_modifier", "counts", "huge"): "a frequent class",
    ("class_modifier", "counts", "fractional"): "weighted counts",
    ("MultiFocalLoss", "counts", "huge"): "a frequent class",
    ("MultiFocalLoss", "counts", "fractional"): "weighted counts",
    ("LabelCorrector", "counts", "huge"): "a frequent class",
    ("LabelCorrector", "counts", "fractional"): "weighted counts",
}
