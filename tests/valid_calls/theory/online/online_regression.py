"""Valid calls of theory.online.online_regression."""

import numpy as np

_PROBLEM = {"features": np.array([[1.0, 0.2], [0.3, -1.0], [0.5, 0.5]]), "targets": np.array([1.0, 0.2, 0.4])}

CALLS = {
    "online_gradient_descent": {**_PROBLEM, "strength": 0.1, "radius": 2.0, "step_sizes": np.array([1.0, 0.5, 0.3])},
    "best_in_ball": {**_PROBLEM, "strength": 0.1, "radius": 2.0},
}
ACCEPTED = {}
