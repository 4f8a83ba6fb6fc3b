"""Valid calls of neural.classification.ldr."""

import torch

LOGITS = torch.tensor([[0.2, 0.5, -1.0], [2.0, 0.3, 0.1], [0.4, -0.2, 0.1]])
TARGET = torch.tensor([0, 2, 1])
_SHARED = {"logits": LOGITS, "target": TARGET}
_ADAPTIVE = {"lam0": 3.0, "alpha": 2.0, "margin": 0.1, "normalize": "softplus"}
CALLS = {
    "ldr_kl": {**_SHARED, "lam": 2.0, "margin": 0.1, "normalize": "softplus", "reduction": "mean"},
    "aldr_kl": {**_SHARED, **_ADAPTIVE, "lam": torch.tensor([1.0, 2.0, 3.0]), "reduction": "mean"},
    "adaptive_temperature": {**_SHARED, **_ADAPTIVE, "lam": torch.tensor([1.0, 2.0, 3.0])},
    "normalize_scores": {"logits": LOGITS, "normalize": "l1"},
    "LDRKLLoss": {"lam": 2.0, "margin": 0.1, "normalize": "softplus", "reduction": "mean"},
    "LDRKLLoss.forward": _SHARED,
    "ALDRKLLoss": {"num_examples": 10, **_ADAPTIVE, "inner": "one_step", "reduction": "mean"},
    "ALDRKLLoss.forward": {**_SHARED, "index": torch.tensor([4, 0, 9])},
}
ACCEPTED = {
    ("ldr_kl", "lam", "infinite"): "the linear limit",
    ("LDRKLLoss", "lam", "infinite"): "the linear limit",
}
