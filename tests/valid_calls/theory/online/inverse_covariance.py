"""Valid calls of theory.online.inverse_covariance."""

import numpy as np

_SIGMA = np.diag([0.3, 0.2])

CALLS = {
    "matrix_geometric_resampling": {
        "sampler": lambda count: np.full((count, 2), 0.5), "gamma": 0.1, "N": 3, "M": 2, "c": 0.5,
    },
    "multiplicative_error": {"estimate": np.eye(2), "Sigma": _SIGMA, "gamma": 0.1},
    "regularized_inverse_covariance": {"samples": np.array([[0.5, 0.1], [0.2, 0.3]]), "gamma": 0.1},
    "resampling_length": {"gamma": 0.1, "accuracy": 0.1, "c": 0.5},
    "resampling_mean": {"Sigma": _SIGMA, "gamma": 0.1, "N": 3, "c": 0.5},
}  # fmt: skip
