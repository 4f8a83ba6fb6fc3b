"""Valid calls of theory.optimization.perceptron."""

import numpy as np

_Z = np.array([[1.0, 0.2], [-0.9, 1.0], [0.3, 0.4]])

CALLS = {
    "batch_perceptron": {"Z": _Z, "normalized": False, "tie": 0.5, "max_iter": 100, "record": "path"},
    "bound_batch_perceptron": {"n": 10, "R": 2.0, "mu": 0.5, "normalized": False},
    "classic_perceptron": {"Z": _Z, "max_iter": 100},
    "rational_batch_perceptron": {"rows": [[1, 0], [-1, 1]], "normalized": False, "max_iter": 100},
}
