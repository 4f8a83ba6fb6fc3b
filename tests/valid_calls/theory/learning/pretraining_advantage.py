"""Valid calls of theory.learning.pretraining_advantage."""

import numpy as np

from theory.learning.pretraining_advantage import ClusterPredictor, FactorModel, LinearPredictor

_X = np.array([[1.0, 0.5], [-0.2, 0.8], [0.4, -1.2], [2.0, 0.1]])
_Y = np.array([0.5, 0.1, 0.0, 1.0])
_LABELS = np.array([0, 1, 0, 1])
_B = np.array([[1.0], [0.3]])

INSTANCES = {
    "LinearPredictor": lambda: LinearPredictor(_B, np.array([0.4, 0.1])),
    "ClusterPredictor": lambda: ClusterPredictor(np.eye(2), np.array([0, 1])),
}
CALLS = {
    "ClusterPredictor.predict": {"X": _X},
    "ContrastivePairs": {"r": 1},
    "ContrastivePairs.head": {"parameters": _B.T, "X": _X, "y": _Y},
    "ContrastivePairs.pretrain": {"X_unlabeled": (_X, _X[::-1], _LABELS)},
    "FactorModel": {"r": 1},
    "FactorModel.head": {"parameters": _B, "X": _X, "y": _Y},
    "FactorModel.pretrain": {"X_unlabeled": _X},
    "LinearPredictor.predict": {"X": _X},
    "SphericalMixture": {"K": 2, "restarts": 1, "seed": 3},
    "SphericalMixture.head": {"parameters": np.eye(2), "X": _X, "y": _LABELS},
    "SphericalMixture.pretrain": {"X_unlabeled": _X},
    "predicted_excess": {"kind": "factor", "m": 1000.0, "n": 50.0, "d": 10, "r": 2},
    "predicted_supervised_excess": {"kind": "mixture", "n": 50.0, "d": 10, "r": 2},
    "pretrain_then_erm": {"model": FactorModel(1), "X_unlabeled": _X, "X": _X, "y": _Y},
    "supervised_baseline": {"X": _X, "y": _Y, "ridge": 0.1},
}
ACCEPTED = {
    ("SphericalMixture", "seed", "zero"): "a seed like any other",
    ("predicted_excess", "m", "infinite"): "unlimited unlabelled data",
    ("predicted_excess", "n", "infinite"): "unlimited labels",
    ("predicted_supervised_excess", "n", "infinite"): "unlimited labels",
}
TRUSTED = {"LatentModel": "a protocol: what it is given is checked by the models"}
