"""Valid calls of neural.contrastive.bad_pair_mining."""

import torch

from neural.contrastive.bad_pair_mining import DynamicBadPairMining, nt_xent_per_pair

_VIEWS = {
    "z1": torch.tensor([[1.0, 0.2], [0.3, -1.0], [0.5, 0.4]]),
    "z2": torch.tensor([[0.9, 0.1], [0.4, -1.1], [0.6, 0.2]]),
}
_LOSS = {"temperature": 0.2, "chunk_size": 2, "reduction": "none"}


def _mining() -> DynamicBadPairMining:
    """One whose losses are known beforehand, so that the index is its only argument."""
    return DynamicBadPairMining(lambda: torch.tensor([1.0, 2.0, 3.0]), 4, 1)


CALLS = {
    "nt_xent_per_pair": {**_VIEWS, **_LOSS},
    "NTXentPerPair": _LOSS,
    "NTXentPerPair.forward": _VIEWS,
    "PairMemory": {"n": 4, "ramp": True, "epochs": 3},
    "PairMemory.update": {"index": torch.tensor([2, 0]), "loss": torch.tensor([1.0, 2.0])},
    "mine_bad_pairs": {"m": torch.tensor([0.0, 3.0, 3.1, 2.9, 3.0]), "beta_np": 1.5, "beta_fp": 3.0},
    "gaussian_pair_weights": {
        "loss": torch.tensor([1.0, 3.0]), "mask": torch.tensor([True, False]), "mu": 3.0, "sigma": 1.0, "transform": "gauss",
    },
    "DynamicBadPairMining": {
        "criterion": nt_xent_per_pair, "n": 4, "warmup": 1, "beta_np": 2.0, "beta_fp": 3.0, "transform": "gauss",
        "epochs": 3,
    },
    "DynamicBadPairMining.forward": {"index": torch.tensor([2, 0, 1])},
}  # fmt: skip
ACCEPTED = {
    ("mine_bad_pairs", "m", "nan"): "a pair without history",
    ("gaussian_pair_weights", "mu", "negative"): "losses may be negative",
}
INSTANCES = {"DynamicBadPairMining": _mining}
