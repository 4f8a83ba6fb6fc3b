"""Valid calls of neural.tiny_lm.tokenizer."""

import torch

from neural.tiny_lm.tokenizer import CharTokenizer

CALLS = {
    "CharTokenizer": {"vocabulary": "abcdefghijklmnopqrstuvwxyz ", "unknown": "?"},
    "CharTokenizer.encode": {"text": "a cab"},
    "CharTokenizer.decode": {"ids": torch.tensor([0, 3, 1])},
    "WordTokenizer": {"vocab": ["the", "sky", "is"]},
    "WordTokenizer.decode": {"ids": torch.tensor([0, 2, 1])},
}
TRUSTED = {
    "documentation_text": "a switch",
    "WordTokenizer.encode": "raises KeyError with the word, as test_tokenizer.py shows",
}
ACCEPTED = {
    ("CharTokenizer.encode", "text", "unknown"): "any text",
    ("CharTokenizer.decode", "ids", "empty"): "no tokens, no text",
    ("WordTokenizer.decode", "ids", "empty"): "no tokens, no text",
}
INSTANCES = {"CharTokenizer": lambda: CharTokenizer("abcdefghijklmnopqrstuvwxyz ", unknown="?")}
