"""Valid calls of neural.contrastive.class_separability."""

import torch

_X = torch.tensor([[0.0, 0.1], [0.2, 1.0], [2.0, 0.0], [2.2, 1.1], [1.0, 0.7]])
_Y = torch.tensor([0, 0, 1, 1, 0])
_REFERENCE = {"reference": _X[:4] + 0.1, "reference_labels": _Y[:4]}
_SCORE = {"x": _X, "y": _Y, "k": 2, "n_neighbors": 3, **_REFERENCE, "chunk_size": 2}
_TRIPLET = {
    "queries": torch.tensor([[0.1, 0.2], [1.5, 1.0], [0.3, 0.4]]),
    "labels": torch.tensor([0, 1, 2]),
    "prototypes": torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0]]),
}

CALLS = {
    "proto_triplet_loss": {**_TRIPLET, "margin": 0.5, "reduction": "mean"},
    "icnn_score": _SCORE,
    "icnn_loss": {**_SCORE, "reduction": "mean"},
    "batch_hard_triplet_loss": {"embeddings": _X, "labels": _Y, "margin": 0.5, "reduction": "mean"},
    "ProtoTripletLoss": {"margin": 0.5, "reduction": "mean"},
    "ProtoTripletLoss.forward": _TRIPLET,
    "ICNNLoss": {"k": 2, "n_neighbors": 3, "chunk_size": 2, "reduction": "mean"},
    "ICNNLoss.forward": {"x": _X, "y": _Y, **_REFERENCE},
    "BatchHardTripletLoss": {"margin": 0.5, "reduction": "mean"},
    "BatchHardTripletLoss.forward": {"embeddings": _X, "labels": _Y},
}
ACCEPTED = {
    **{
        (name, labels, "huge"): "labels are names: a point whose class the reference lacks has strangers only"
        for name in ("icnn_score", "icnn_loss", "ICNNLoss.forward")
        for labels in ("y", "reference_labels")
    },
    **{
        (name, "labels", "huge"): "labels are names"
        for name in ("batch_hard_triplet_loss", "BatchHardTripletLoss.forward")
    },
}
