"""Valid calls of neural.classification.word_prediction."""

import torch
import torch.nn.functional as F

from neural.classification.word_prediction import Windows, WordPredictor, documentation_corpus

CORPUS = documentation_corpus(30)
WINDOWS = Windows(torch.tensor([[1, 2], [0, 3], [4, 4]]), torch.tensor([5, 1, 2]))
MODEL = WordPredictor(30, 2, 3, 4)

CALLS = {
    "documentation_corpus": {"vocabulary": 30},
    "split_windows": {"corpus": CORPUS, "order": 3, "seed": 0, "held_out": 0.1, "limit": 50},
    "WordPredictor": {"classes": 30, "context": 2, "embedding": 3, "width": 4},
    "WordPredictor.hidden": {"contexts": WINDOWS.contexts},
    "WordPredictor.forward": {"contexts": WINDOWS.contexts},
    "fit": {
        "model": MODEL,
        "windows": WINDOWS,
        "loss": F.cross_entropy,
        "learning_rate": 0.01,
        "epochs": 1,
        "batch_size": 2,
        "seed": 0,
    },
    "ranks": {"scores": torch.tensor([[0.2, -1.0, 3.0], [1.0, 0.5, -0.5]]), "targets": torch.tensor([2, 0])},
    "topk_accuracy": {"model": MODEL, "windows": WINDOWS, "ks": (1, 5)},
}
ACCEPTED = {
    ("split_windows", "seed", "zero"): "any whole number from 0",
    ("fit", "seed", "zero"): "any whole number from 0",
}
TRUSTED = {"Windows.to": "a device, which torch checks"}
