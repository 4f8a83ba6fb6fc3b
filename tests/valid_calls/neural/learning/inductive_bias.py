"""Valid calls of neural.learning.inductive_bias."""

import torch


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


CALLS = {
    "sample_trained_mlps": {
        "x_train": _drawn(5, 3), "y_train": _drawn(5, 1), "x_test": _drawn(4, 3), "y_test": _drawn(4, 1),
        "generator": torch.Generator(), "networks": 2, "width": 4, "depth": 1, "activation": "tanh",
        "learning_rate": 0.01, "steps": 2, "batch_size": 3, "tolerance": 0.1,
    },
}  # fmt: skip
