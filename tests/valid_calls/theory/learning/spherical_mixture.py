"""Valid calls of theory.learning.spherical_mixture."""

import numpy as np

_MEANS = np.array([[-2.0, 0.0], [2.0, 0.5]])
_X = np.array([[-2.5, 0.3], [-1.5, -0.6], [1.8, 0.9], [2.4, -0.2], [2.2, 0.7]])
_Y = np.array([0, 0, 1, 1, 1])
_RNG = np.random.default_rng(0)

CALLS = {
    "assign_clusters": {"X": _X, "means": _MEANS},
    "cluster_vote": {"clusters": np.array([0, 0, 1, 1, 1]), "y": _Y, "K": 2},
    "cluster_vote_excess": {"n": 20, "K": 4, "flip": 0.1},
    "fit_gmm_spherical": {"X": _X, "K": 2, "restarts": 2, "rng": _RNG, "tolerance": 1e-6, "max_iterations": 50},
    "mixture_excess_error": {
        "predicted": _Y, "X": _X, "means": _MEANS, "labels": np.array([0, 1]), "flip": 0.1,
    },
    "mixture_log_likelihood": {"X": _X, "means": _MEANS},
    "sample_spherical_mixture": {"means": _MEANS, "n": 5, "rng": _RNG},
    "two_component_excess": {"means_hat": np.array([[-1.8, 0.1], [2.1, 0.4]]), "means": _MEANS, "flip": 0.1},
    "vote_error": {"n": 20, "weight": 0.25, "flip": 0.1},
}  # fmt: skip
