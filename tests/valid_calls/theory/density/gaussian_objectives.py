"""Valid calls of theory.density.gaussian_objectives."""

import numpy as np

_POINT = {"objective": "nce", "theta": np.array([0.5, 1.0]), "c": np.array([1.0, 1.2]), "R": 2.0, "s": 1.5}

CALLS = {
    "log_partition": {"theta": np.array([0.0, 1.0])},
    "objective_value": _POINT,
    "objective_gradient": _POINT,
}
ACCEPTED = {
    (name, "R", "negative"): "data may lie on either side of the noise"
    for name in ("objective_value", "objective_gradient")
}
