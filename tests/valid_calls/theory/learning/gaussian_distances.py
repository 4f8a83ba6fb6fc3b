"""Valid calls of theory.learning.gaussian_distances."""

import numpy as np

_S1, _S2 = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[1.0, -0.2], [-0.2, 1.5]])

CALLS = {
    "gaussian_hellinger2": {"S1": _S1, "S2": _S2},
    "gaussian_total_variation": {"S1": _S1, "S2": _S2, "rng": np.random.default_rng(0), "draws": 100},
    "total_variation_range": {"hellinger2": 0.3},
}
