"""Valid calls of neural.tiny_lm.model."""

import torch

from neural.tiny_lm.model import TinyGPT, WithLogits

IDS = torch.tensor([[0, 1, 4], [2, 3, 3]])
CALLS = {
    "TinyGPT": {"vocab_size": 5, "d_model": 8, "n_layers": 1, "n_heads": 2, "max_len": 6, "tie": False},
    "TinyGPT.forward": {"ids": IDS, "caches": [{}], "pos0": 2},
    "WithLogits": {"model": TinyGPT(5, 8, 1, 2, 6)},
    "WithLogits.forward": {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])},
}
INSTANCES = {"WithLogits": lambda: WithLogits(TinyGPT(5, 8, 1, 2, 6))}
ACCEPTED = {("TinyGPT.forward", "pos0", "zero"): "the beginning"}
