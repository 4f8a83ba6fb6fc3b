"""Valid calls of neural.contrastive.graph_similarity."""

import torch

_Z = {"z": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]])}

CALLS = {
    "log_positive_mass": {
        **_Z,
        "edge_index": torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 2, 0]]),
        "edge_weight": torch.tensor([0.5, 0.5, 0.7, 0.3, 1.0]),
        "gamma": 1.0,
        "method": "sparse",
        "exclude_self": True,
    },
    "log_pair_mass": {**_Z, "gamma": 1.0, "chunk_size": 2, "exclude_self": True},
    "scaled_cosines": {"u": torch.tensor([[1.0, 0.0], [0.6, 0.8]]), "gamma": 1.0, "own": 0.0},
}
ACCEPTED = {
    ("scaled_cosines", "own", "infinite"): "a diagonal of −inf is left out of a log-sum-exp",
    ("scaled_cosines", "own", "negative"): "any number may stand for a row's similarity to itself",
}
