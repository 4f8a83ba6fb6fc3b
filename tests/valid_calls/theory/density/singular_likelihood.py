"""Valid calls of theory.density.singular_likelihood."""

import numpy as np

CALLS = {
    "hellinger_exponent": {"beta": 2.0, "t": 1.0, "a": 0.3},
    "log_likelihood_quadrature": {"x": np.eye(3), "generator_points": np.eye(3) + 1, "sigma": 0.5},
    "optimal_perturbation_exponent": {"beta": 2.0, "t": 1.0},
    "two_element_example": {"delta": 0.05, "noise": 0.1, "sigma_min": 1e-3, "sigma_max": 0.5},
    "two_element_log_density": {"x": np.eye(2), "sigma": 0.5, "delta": 0.05, "element": "wrong law"},
    "two_element_log_likelihood": {"sigma": 0.5, "delta": 0.05, "noise": 0.1, "element": "wrong law"},
    "two_element_threshold": {"delta": 0.05, "exact": False},
}
