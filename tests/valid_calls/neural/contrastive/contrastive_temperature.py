"""Valid calls of neural.contrastive.contrastive_temperature."""

import torch

_NEGATIVES = {"sim_neg": torch.tensor([[0.1, 0.4, -0.2], [0.6, 0.0, 0.3]])}
_SIMILARITIES = {"sim_pos": torch.tensor([0.9, 0.5]), **_NEGATIVES}
_VIEWS = {
    "z1": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), "z2": torch.tensor([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8]]),
}  # fmt: skip
_OPTIONS = {"chunk_size": 2, "reduction": "mean"}

CALLS = {
    "contrastive_loss": {**_SIMILARITIES, "temperature": 0.1, "hard_fraction": 0.5, "reduction": "mean"},
    "simple_contrastive_loss": {**_SIMILARITIES, "weight": 1.0, "top_k": 2, "reduction": "mean"},
    "relative_penalties": {**_NEGATIVES, "temperature": 0.1, "top_k": 2},
    "penalty_entropy": {**_NEGATIVES, "temperature": 0.1, "hard_fraction": 0.5},
    "hard_contrastive_loss": {**_VIEWS, "temperature": 0.1, "hard_fraction": 0.5, **_OPTIONS},
    "hard_simple_loss": {**_VIEWS, "weight": 1.0, "top_k": 2, **_OPTIONS},
    "HardContrastiveLoss": {"temperature": 0.1, "hard_fraction": 0.5, **_OPTIONS},
    "HardContrastiveLoss.forward": _VIEWS,
    "HardSimpleLoss": {"weight": 1.0, "top_k": 2, **_OPTIONS},
    "HardSimpleLoss.forward": _VIEWS,
    "uniformity": {"z": _VIEWS["z1"], "t": 2.0},
    "tolerance": {"z": _VIEWS["z1"], "labels": torch.tensor([0, 1, 1])},
}
ACCEPTED = {("tolerance", "labels", "huge"): "a class may have any number"}
