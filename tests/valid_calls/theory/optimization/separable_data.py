"""Valid calls of theory.optimization.separable_data."""

import numpy as np

_Z = np.array([[1.0, 0.2], [-0.9, 1.0], [0.3, 0.4]])

CALLS = {
    "hard_instance": {"n": 10, "phi": 0.5},
    "imbalanced_problems": {"rng": np.random.default_rng(0), "count": 2, "n": 10, "dim": 3},
    "margin": {"Z": _Z},
    "margin_interval": {"Z": _Z, "u": np.array([0.5, 1.0]), "alpha": np.array([0.2, 0.3, 0.5])},
    "margin_qp": {"Z": _Z},
    "radius": {"Z": _Z},
    "random_problems": {"rng": np.random.default_rng(0), "count": 2, "n": 10, "dim": 3, "ratio": 5.0},
    "separability": {"Z": _Z, "exact": True},
    "signed_data": {"features": np.array([[1.0, 2.0], [3.0, 4.0]]), "labels": np.array([1, -1]), "bias": True},
}
ACCEPTED = {("signed_data", "labels", "negative"): "−1 is one of the two labels"}
