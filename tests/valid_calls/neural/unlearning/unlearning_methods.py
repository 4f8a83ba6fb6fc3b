"""Valid calls of neural.unlearning.unlearning_methods."""

import torch
from torch import nn

torch.manual_seed(0)
MODEL = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
START = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
FORGET = torch.linspace(-1, 1, 6).reshape(3, 2), torch.tensor([0, 1, 2])
RETAIN = torch.linspace(-2, 1, 8).reshape(4, 2), torch.tensor([2, 1, 1, 0])
METRICS = {"UA": 5.0, "MIA": 10.0, "RA": 100.0, "TA": 95.0}
CALLS = {
    "unlearn": {
        "method": "SCRUB", "model": MODEL, "forget": FORGET, "retain": RETAIN, "epochs": 1, "learning_rate": 1e-3,
        "batch_size": 2, "seed": 1, "l1": 1e-3, "temperature": 4.0, "gamma": 0.99, "alpha": 1e-3, "ascent_epochs": 1,
        "perturbation": 0.1, "layers": 1, "saliency": 0.5,
    },
    "unroll": {"model": MODEL, "start": START, "forget": FORGET, "strength": 0.5},
    "untrained": {"model": MODEL, "seed": 0},
    "unlearning_metrics": {"model": MODEL, "forget": FORGET, "retain": RETAIN, "test": RETAIN, "seed": 0},
    "average_gap": {"metrics": METRICS, "retrained": METRICS},
    "svc_mia": {"model": MODEL, "forget": FORGET, "retain": RETAIN, "test": RETAIN, "seed": 0},
}  # fmt: skip
ACCEPTED = {
    ("unlearn", "seed", "zero"): "the first seed",
    ("unlearn", "ascent_epochs", "zero"): "no ascent: fine-tuning near the teacher",
    ("untrained", "seed", "zero"): "the first seed",
    ("unlearning_metrics", "seed", "zero"): "the first seed",
    ("svc_mia", "seed", "zero"): "the first seed",
}
