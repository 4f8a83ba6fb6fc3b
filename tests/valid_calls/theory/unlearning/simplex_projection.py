"""Valid calls of theory.unlearning.simplex_projection."""

import numpy as np

V = np.array([0.9, 0.4, 0.1])
CALLS = {
    "project_capped_simplex": {"v": V, "m": 1.5, "method": "bisection", "tol": 1e-9},
    "kkt_violation": {"v": V, "w": np.array([1.0, 0.4, 0.1]), "m": 1.5},
}
