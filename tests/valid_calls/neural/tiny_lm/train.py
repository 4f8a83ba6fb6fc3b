"""Valid calls of neural.tiny_lm.train."""

import torch

from neural.tiny_lm.model import TinyGPT

IDS = torch.tensor([[0, 1, 4], [2, 3, 3]])
CALLS = {
    "train_lm": {
        "model": TinyGPT(5, 8, 1, 2, 6), "ids": IDS, "mask": torch.ones(2, 2, dtype=torch.bool), "steps": 2,
        "batch_size": 2, "lr": 0.01, "seed": 1, "warmup": 1,
    },
    "cosine_schedule": {"step": 3, "steps": 10, "warmup": 2},
    "ensemble_token_logps": {"logits": torch.linspace(-1, 1, 60).reshape(2, 2, 3, 5), "ids": IDS},
}  # fmt: skip
ACCEPTED = {
    ("train_lm", "seed", "zero"): "a seed",
    ("train_lm", "warmup", "zero"): "no warm-up",
    ("cosine_schedule", "step", "zero"): "the first",
    ("cosine_schedule", "warmup", "zero"): "no warm-up",
    (
        "ensemble_token_logps",
        "logits",
        "nan",
    ): "NaN logits give NaN log-probabilities, so that a training loop sees them",
    ("ensemble_token_logps", "logits", "infinite"): "a masked vocabulary has logits of −inf",
}
