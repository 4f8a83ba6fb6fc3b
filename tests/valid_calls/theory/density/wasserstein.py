"""Valid calls of theory.density.wasserstein."""

import numpy as np

_P, _Q = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.3, 0.6])

CALLS = {
    "hellinger_distance": {"p": _P, "q": _Q},
    "mean_gaussian_norm": {"dim": 2},
    "smoothed_wasserstein1_1d": {"atoms": np.array([0.0, 0.4, 1.0]), "weights": _P, "std": 0.3},
    "total_variation": {"p": _P, "q": _Q},
    "wasserstein1_1d": {
        "a": np.array([0.0, 0.4, 1.0]), "b": np.array([0.1, 0.4, 2.0]), "a_weights": _P, "b_weights": _Q,
    },
    "wasserstein1_assignment": {"a": np.eye(3), "b": np.eye(3) + 1},
    "wasserstein1_sieve_bound": {
        "hellinger": 0.1, "diameter": 1.0, "fitted_noise": 0.1, "added_noise": 0.1, "dim": 2,
    },
}  # fmt: skip
