"""Valid calls of theory.learning.factor_model."""

import numpy as np

_B = np.array([[2.0, 0.1], [0.3, 1.0], [0.5, -0.4]])
_BETA = np.array([1.0, -0.5])
_S = np.array([[4.0, 0.2, 0.1], [0.2, 2.0, 0.0], [0.1, 0.0, 0.7]])
_X = np.array([[1.0, 0.5, -0.3], [-0.2, 0.8, 1.1], [0.4, -1.2, 0.9], [2.0, 0.1, 0.3]])
_RNG = np.random.default_rng(0)

CALLS = {
    "conditional_variance": {"B": _B, "beta": _BETA, "noise": 0.5},
    "estimated_noise_variance": {"S": _S, "r": 1},
    "factor_excess_prediction": {"B": _B, "beta": _BETA, "noise": 0.5, "m": 1000.0, "n": 50.0},
    "factor_excess_risk": {"a": np.array([0.3, 0.2, 0.1]), "B": _B, "beta": _BETA},
    "factor_loadings": {"S": _S, "r": 2},
    "factor_log_likelihood": {"B": _B, "S": _S},
    "factor_target": {"B": _B, "beta": _BETA},
    "fit_factor_model": {"X": _X, "r": 2},
    "least_squares_excess": {"variance": 0.5, "features": 3, "n": 20},
    "posterior_mean_features": {"X": _X, "B": _B},
    "random_loadings": {"d": 4, "singular_values": np.array([2.0, 1.0]), "rng": _RNG},
    "sample_factor_model": {"B": _B, "beta": _BETA, "n": 5, "noise": 0.5, "rng": _RNG},
    "sample_second_moments": {"covariance": _S, "samples": 10, "replicates": 2, "rng": _RNG},
}
ACCEPTED = {
    ("factor_excess_prediction", "m", "infinite"): "unlimited unlabelled data",
    ("factor_excess_prediction", "n", "infinite"): "unlimited labels",
}
