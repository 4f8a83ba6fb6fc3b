"""Valid calls of neural.contrastive.graph_clustering."""

import torch

from neural.contrastive.graph_clustering import PamCClustering

_X = {"x": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0], [0.0, -1.0]])}
_INFLUENCE = {"influence": torch.full((4, 4), 0.25)}

CALLS = {
    "PamCClustering": {
        "features": 2, "clusters": 2, "hidden": (4,), "dim": 2, "contrast": "pamc", "alpha": 1.0, "beta": 1.0,
        "gamma": 1.0, "seed": 0, "models": 1,
    },
    "PamCClustering.forward": _X,
    "PamCClustering.fit": {**_X, **_INFLUENCE, "pretrain_steps": 1, "epochs": 1, "learning_rate": 1e-3},
    "PamCClustering.pretrain": {**_X, "steps": 1, "learning_rate": 1e-3},
    "PamCClustering.initialise": {**_X, "restarts": 1},
    "PamCClustering.refine": {**_X, **_INFLUENCE, "epochs": 1, "learning_rate": 1e-3},
    "PamCClustering.losses": {**_X, **_INFLUENCE},
    "PamCClustering.predict": _X,
    "PamCClustering.select": {"chosen": [0, 0]},
}  # fmt: skip
INSTANCES = {"PamCClustering": lambda: PamCClustering(2, 2, hidden=(4,), dim=2)}
ACCEPTED = {
    ("PamCClustering", "seed", "zero"): "a seed",
    ("PamCClustering.fit", "pretrain_steps", "zero"): "no training is a case of its own",
    ("PamCClustering.fit", "epochs", "zero"): "no training is a case of its own",
    ("PamCClustering.pretrain", "steps", "zero"): "no training is a case of its own",
    ("PamCClustering.refine", "epochs", "zero"): "no training is a case of its own",
}
