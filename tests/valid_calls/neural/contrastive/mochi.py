"""Valid calls of neural.contrastive.mochi."""

import torch

_ROWS = {
    "query": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]),
    "queue": torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.5, 1.0], [-1.0, 0.3], [0.2, -1.0]]), dim=1),
}
_KEY = {"key": torch.tensor([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8]])}
_MIXING = {"n_hard": 3, "n_pairs": 4, "n_query_mix": 2, "max_query_weight": 0.5}
_MASK = {"ignore_mask": torch.tensor([[True, False, False, False]] * 3)}
_LOSS = {**_MIXING, "temperature": 0.2, "chunk_size": 2, "reduction": "mean"}

CALLS = {
    "mix_hard_negatives": {**_ROWS, **_MIXING, **_MASK},
    "mochi_logits": {**_ROWS, **_KEY, **_MIXING, "temperature": 0.2, **_MASK},
    "mochi_loss": {**_ROWS, **_KEY, **_LOSS, **_MASK},
    "MoCHiLoss": _LOSS,
    "MoCHiLoss.forward": {**_ROWS, **_KEY, **_MASK},
}
ACCEPTED = {
    (name, count, "zero"): "no mixtures of this kind: without any it is the plain loss"
    for name in ("mix_hard_negatives", "mochi_logits", "mochi_loss", "MoCHiLoss")
    for count in ("n_pairs", "n_query_mix")
}
