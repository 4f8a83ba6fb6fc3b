"""Valid calls of neural.contrastive.verification."""

import torch

CALLS = {
    "cosine_trials": {"features": torch.eye(6, 3) + 0.1, "labels": torch.tensor([0, 1, 0, 1, 0, 1])},
    "equal_error_rate": {
        "scores": torch.tensor([0.2, 0.1, 0.9, 0.5]),
        "is_target": torch.tensor([False, True, True, False]),
    },
}
ACCEPTED = {("cosine_trials", "labels", "huge"): "labels are names of classes"}
