"""Valid calls of theory.contrastive.class_separability."""

import numpy as np

_X = np.array([[0.0, 0.1], [0.2, 1.0], [2.0, 0.0], [2.2, 1.1], [1.0, 0.7]])
_Y = np.array([0, 0, 1, 1, 0])
_REFERENCE = {"reference": _X[:4] + 0.1, "reference_labels": _Y[:4]}
_TRIPLET = {
    "queries": np.array([[0.1, 0.2], [1.5, 1.0], [0.3, 0.4]]),
    "labels": np.array([0, 1, 2]),
    "prototypes": np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0]]),
    "margin": 0.5,
}

CALLS = {
    "icnn_score": {"x": _X, "y": _Y, "k": 2, "n_neighbors": 3, **_REFERENCE},
    "original_icnn_score": {"x": _X, "y": _Y, "k": 3, "p": 2.0, "q": 2.0, "r": 2.0},
    "icnn_floor": {"diameter": 1.0, "separation": 2.0},
    "icnn_ceiling": {"y": _Y, "k": 2},
    "proto_triplet_loss": _TRIPLET,
    "proto_triplet_gradient": _TRIPLET,
}
ACCEPTED = {
    ("icnn_score", "y", "huge"): "labels are names: a point whose class the reference lacks has strangers only",
    ("icnn_score", "y", "one class"): "the reference has others",
    ("icnn_score", "reference_labels", "huge"): "labels are names",
    ("original_icnn_score", "y", "huge"): "labels are names",
    ("icnn_ceiling", "y", "huge"): "labels are names",
}
