"""Valid calls of theory.learning.halfspace_bounds."""

import numpy as np

_ETA, _TANGENT = np.array([0.1, 0.2]), np.array([0.5, 2.0])

CALLS = {
    "massart_angle_sides": {
        "points": np.random.default_rng(0).normal(size=(2, 5, 3)), "rates": np.full((2, 5), 0.05), "eta": _ETA,
        "tangent": _TANGENT, "with_gradient": True,
    },
    "massart_witness": {"eta": _ETA, "tangent": _TANGENT},
}  # fmt: skip
