"""Valid calls of neural.tiny_lm.sampling."""

import torch

from neural.tiny_lm.model import TinyGPT

CALLS = {
    "sample": {
        "model": TinyGPT(5, 8, 1, 2, 6), "prefix_ids": torch.tensor([[0, 1], [4, 2]]), "n_new": 2, "temperature": 0.5,
        "generator": None, "top_k": 2,
    },
    "until": {"ids": torch.tensor([[0, 1, 2], [2, 1, 0]]), "end": 2},
}  # fmt: skip
ACCEPTED = {
    ("until", "end", "zero"): "the first token of a vocabulary",
    ("until", "ids", "negative"): "padding",
    ("until", "ids", "huge"): "the vocabulary is not known here",
    ("until", "ids", "empty"): "no tokens before the end",
}
