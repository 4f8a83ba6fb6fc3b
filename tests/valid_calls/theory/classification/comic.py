"""Valid calls of theory.classification.comic."""

import numpy as np

_LOGITS = np.array([[0.5, -1.0], [2.0, 0.1], [-0.3, 1.2]])
_TARGETS = np.array([[1, 0], [0, 1], [1, 1]])
_LOSS = {
    "logits": _LOGITS,
    "targets": _TARGETS,
    "class_weight": np.array([1.0, 1.3]),
    "gamma_pos": 0.5,
    "gamma_neg": 3.0,
    "clip": 0.05,
}

CALLS = {
    "class_modifier": {"counts": np.array([10, 3, 1]), "exponent": 0.2},
    "multi_focal": _LOSS,
    "multi_focal_gradient": _LOSS,
    "posterior_at": {
        "probability": np.array([0.2, 0.7]),
        "gamma_pos": 0.5,
        "gamma_neg": 3.0,
        "clip": 0.05,
        "omega": 1.2,
    },
    "long_tail_prior": {"classes": 5, "imbalance": 10.0, "head": 0.35, "alpha": 6.0},
    "make_plt": {
        "n": 20,
        "C": 2,
        "imbalance": 5.0,
        "missing_rate": 0.4,
        "rng": np.random.default_rng(0),
        "head": 0.35,
        "features": 3,
        "noise": 0.6,
        "means": np.array([[0.1, 0.2, 0.3], [1.0, 0.0, -1.0]]),
    },
    "average_precision": {"y": 1.0 * _TARGETS, "scores": _LOGITS},
    "shot_map": {"y": 1.0 * _TARGETS, "scores": _LOGITS, "counts": np.array([120, 7]), "many": 100.0, "few": 20.0},
}
ACCEPTED = {
    ("class_modifier", "counts", "fractional"): "weighted counts",
    ("class_modifier", "counts", "huge"): "a frequent class",
    ("shot_map", "counts", "fractional"): "weighted counts",
    ("shot_map", "counts", "huge"): "a frequent class",
}
