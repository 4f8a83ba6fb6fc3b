"""Valid calls of neural.classification.robust_losses."""

import torch

_SHARED = {
    "logits": torch.tensor([[0.2, 0.5, -1.0], [2.0, 0.3, 0.1], [0.4, -0.2, 0.1]]),
    "target": torch.tensor([0, 2, 1]),
    "reduction": "mean",
}
CALLS = {
    "crammer_singer_loss": {**_SHARED, "margin": 1.0},
    "weston_watkins_loss": {**_SHARED, "margin": 1.0},
    "mean_absolute_error": _SHARED,
    "mean_squared_error": _SHARED,
    "generalized_cross_entropy": {**_SHARED, "q": 0.7},
    "truncated_generalized_cross_entropy": {**_SHARED, "q": 0.7, "k": 0.5},
    "symmetric_cross_entropy": {**_SHARED, "balance": 0.5, "log_zero": -4.0},
    "jensen_shannon_loss": {**_SHARED, "weight": 0.5},
    "robust_log_loss": {**_SHARED, "a": 0.1},
    "normalized_cross_entropy": _SHARED,
    "nce_rce_loss": {**_SHARED, "alpha": 1.0, "beta": 1.0, "log_zero": -4.0},
    "nce_agce_loss": {**_SHARED, "alpha": 1.0, "beta": 1.0, "a": 3.0, "q": 1.5},
    "nce_aul_loss": {**_SHARED, "alpha": 1.0, "beta": 1.0, "a": 6.0, "q": 1.5},
}
ACCEPTED = {
    ("symmetric_cross_entropy", "log_zero", "negative"): "it stands for log 0",
    ("nce_rce_loss", "log_zero", "negative"): "it stands for log 0",
}
