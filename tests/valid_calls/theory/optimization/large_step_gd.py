"""Valid calls of theory.optimization.large_step_gd."""

import numpy as np

_Z = np.array([[1.0, 0.2], [-0.9, 1.0], [0.3, 0.4]])
_START = np.array([0.5, -1.0])
_SIZES = {"n": 10, "R": 2.0, "mu": 0.5, "gamma": 10.0}

CALLS = {
    "bound_lr_gd": _SIZES,
    "bound_normalized": _SIZES,
    "hard_instance_iterations": {"n": 100, "phi": 0.5},
    "largest_weighted_margin": {"n": 10},
    "limit_deviation": {"Z": _Z, "gamma": 10.0, "T": 5},
    "limit_deviation_bound": {"R": 2.0, "delta": 0.5, "gamma": 60.0, "T": 5, "ties": False},
    "lr_gd": {"Z": _Z, "gamma": 10.0, "max_iter": 100, "theta0": _START, "record": "path"},
    "normalized_lr_gd": {"Z": _Z, "gamma": 10.0, "max_iter": 100, "theta0": _START, "record": "path"},
    "sharper_bound_lr_gd": _SIZES,
}
ACCEPTED = {
    (name, "gamma", "infinite"): "the limit, which is the batch perceptron"
    for name in ("bound_lr_gd", "bound_normalized", "sharper_bound_lr_gd")
}
