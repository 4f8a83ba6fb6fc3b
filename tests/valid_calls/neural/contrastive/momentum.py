"""Valid calls of neural.contrastive.momentum."""

import torch
from torch import nn

from neural.contrastive.images import Views
from neural.contrastive.momentum import MemoryQueue
from neural.contrastive.pretrain import EncoderEnsemble
from tests.bad_inputs import Fresh


def _models():
    return EncoderEnsemble(2, generator=torch.Generator().manual_seed(0), width=8)


CALLS = {
    "MemoryQueue": {"models": 2, "size": 6, "dim": 3, "generator": torch.Generator()},
    "MemoryQueue.push": {"keys": torch.rand(2, 4, 3) + 0.1, "owners": torch.tensor([3, 1, 2, 0])},
    "MemoryQueue.newest": {"count": 4},
    "follow": {"follower": nn.Linear(2, 2), "leader": nn.Linear(2, 2), "momentum": 0.9},
    "pretrain_with_queue": {
        "models": Fresh(_models), "images": torch.rand(8, 64),
        "loss": lambda q, k, queue, owners, step: -(q * k).sum(-1).mean(-1), "views": Views(), "batch_size": 4,
        "queue_size": 8, "steps": 2, "learning_rate": 0.1, "generator": torch.Generator(), "encoder_momentum": 0.9,
        "momentum": 0.9, "weight_decay": 1e-4,
    },
}  # fmt: skip
INSTANCES = {"MemoryQueue": lambda: MemoryQueue(2, 6, 3, generator=torch.Generator())}
ACCEPTED = {
    ("MemoryQueue.push", "owners", "huge"): "any whole number names an image",
    ("MemoryQueue.push", "owners", "negative"): "−1 stands for no image",
    ("pretrain_with_queue", "steps", "zero"): "no training",
}
