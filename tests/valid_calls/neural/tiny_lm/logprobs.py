"""Valid calls of neural.tiny_lm.logprobs."""

import torch

CALLS = {
    "token_logps": {"logits": torch.linspace(-1, 1, 24).reshape(2, 3, 4), "input_ids": torch.tensor([[0, 1, 2], [3, 3, 0]]), "chunk": 1},
    "sequence_logps": {"token_logps": torch.tensor([[-1.0, -2.0], [-0.5, -3.0]]), "mask": torch.tensor([[1.0, 1.0], [0.0, 1.0]]), "average": True},
    "labels_to_mask": {"labels": torch.tensor([[-100, 1, 2], [3, 3, 0]]), "ignore_index": -100},
}  # fmt: skip
ACCEPTED = {
    ("token_logps", "logits", "nan"): "NaN logits give NaN log-probabilities, so that a training loop sees them",
    ("token_logps", "logits", "infinite"): "a masked vocabulary has logits of −inf",
    ("sequence_logps", "token_logps", "nan"): "as the logits were, so that a training loop sees them",
    ("sequence_logps", "token_logps", "infinite"): "an impossible token has log-probability −inf",
    ("labels_to_mask", "labels", "huge"): "the vocabulary is not known here",
}
