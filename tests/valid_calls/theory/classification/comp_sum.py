"""Valid calls of theory.classification.comp_sum."""

import numpy as np

_P, _W = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]), np.array([0.4, 0.6])

CALLS = {
    "HConsistencyBound": {"tau": 1.0, "n": 3},
    "HConsistencyBound.check": {"p": np.array([0.5, 0.3, 0.2]), "scores": np.array([0.1, 0.5, 0.0])},
    "HConsistencyBound.excess_error": {"surrogate_excess": 0.1, "surrogate_gap": 0.0, "zero_one_gap": 0.0},
    "gamma": {"t": 0.1, "tau": 1.0, "n": 3},
    "gamma_upper": {"t": 0.1, "tau": 1.0, "n": 3},
    "gap_upper_bound": {"R0_star": 0.7, "P": _P, "w": _W, "tau": 1.0},
    "minimizability_gap": {"R_star": 0.9, "P": _P, "w": _W, "tau": 1.0},
}
ACCEPTED = {
    (
        "HConsistencyBound.excess_error",
        "surrogate_excess",
        "infinite",
    ): "an infinite excess still bounds the error by 1",
    ("HConsistencyBound.excess_error", "surrogate_gap", "infinite"): "an infinite gap still bounds the error by 1",
    ("HConsistencyBound.excess_error", "zero_one_gap", "infinite"): "minus infinity: nothing is claimed",
    ("gamma", "t", "infinite"): "an infinite excess still bounds the error by 1",
    ("gamma_upper", "t", "infinite"): "an infinite excess has an infinite bound",
}
