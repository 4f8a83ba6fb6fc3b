"""Valid calls of theory.optimization.separation."""

import numpy as np

_Z = np.array([[1.0, 0.2], [-0.9, 1.0], [0.3, 0.4]])

CALLS = {
    "checked_samples": {"Z": _Z},
    "logistic_loss": {"Z": _Z, "theta": np.array([0.5, 1.0])},
    "perceptron_loss": {"Z": _Z, "theta": np.array([0.5, 1.0])},
    "separate": {
        "Z": _Z, "weight": lambda m: 1 / (1 + np.exp(m)), "scale": 0.5, "factor": 0.5, "max_iter": 100,
        "start": np.array([0.5, -1.0]), "record": "path",
    },
}  # fmt: skip
