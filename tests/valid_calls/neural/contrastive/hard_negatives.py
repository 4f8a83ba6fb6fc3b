"""Valid calls of neural.contrastive.hard_negatives."""

import torch

_UNIT = {"u1": torch.eye(3), "u2": torch.eye(3)}

CALLS = {
    "hard_log_mass": {**_UNIT, "temperature": 0.1, "top_k": 2, "chunk_size": 2},
    "hard_mean": {**_UNIT, "top_k": 2, "chunk_size": 2},
}
