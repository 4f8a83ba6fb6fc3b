"""Valid calls of neural.tiny_lm.tokenizer."""

import torch

from neural.tiny_lm.tokenizer import CharTokenizer

CALLS = {
    "CharTokenizer": {"vocabulary": "abcdefghijklmnopqrstuvwxyz ", "unknown": "?"},
    "CharTokenizer.encode": {"text": "a cab"},
    "CharTokenizer.decode": {"ids": torch.tensor([0, 3, 1])},
}
ACCEPTED = {
    ("CharTokenizer.encode", "text", "unknown"): "any text",
    ("CharTokenizer.decode", "ids", "empty"): "no tokens, no text",
}
INSTANCES = {"CharTokenizer": lambda: CharTokenizer("abcdefghijklmnopqrstuvwxyz ", unknown="?")}
