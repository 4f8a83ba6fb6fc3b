"""Valid calls of theory.density.unnormalized_mle."""

import numpy as np

CALLS = {
    "gaussian_nce_hessian": {"R": 2.0, "s": 1.5},
    "nce_curvature": {"R": 2.0, "s": 1.5},
    "nce_curvature_bound": {"R": np.array([0.0, 2.0])},
    "importance_second_moment": {"theta": np.array([1.0, 2.0]), "s": np.array([1.5, 0.5])},
    "optimal_noise_scale": {"theta": np.array([1.0, 2.0])},
    "gd_iterations": {
        "objective": "nce", "R": 1.0, "eta": np.array([0.5, 1.0]), "tol": 0.1, "s": 1.0, "max_steps": 5, "radius": 9.0,
    },
}  # fmt: skip
ACCEPTED = {
    (name, "R", "negative"): "data may lie on either side of the noise"
    for name in ("gaussian_nce_hessian", "nce_curvature", "gd_iterations")
}
