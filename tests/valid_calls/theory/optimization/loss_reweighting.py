"""Valid calls of theory.optimization.loss_reweighting."""

import numpy as np

X = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
CALLS = {
    "correlation_gain": {"weights": np.array([0.2, 0.5, 0.3]), "gaps": np.array([0.1, 2.0, 1.0])},
    "bound": {"D0_sq": 2.0, "eta": 0.5, "L": 1.0, "deltas": np.array([0.1, 0.2])},
    "sharp_bound": {"D0_sq": 2.0, "eta": 0.5, "L": 1.0, "deltas": np.array([0.1, 0.2])},
    "tight_instance": {"T": 4, "L": 1.0},
    "reweighted_gd": {
        "X": X, "y": np.array([1.0, 2.0, 0.5]), "strategy": "linupper", "r": 1.0, "eta": 0.5, "T": 3, "batch": 2, "rng": np.random.default_rng(0),
    },
    "lockstep_sgd": {
        "X": X, "y": np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 1.0]]), "weighting": lambda losses, rng: np.full(losses.shape, 1 / losses.shape[1]),
        "eta": np.array([0.5, 0.2]), "T": 3, "batch": 2, "rng": np.random.default_rng(0),
    },
}  # fmt: skip
