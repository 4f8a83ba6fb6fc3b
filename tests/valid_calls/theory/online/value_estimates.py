"""Valid calls of theory.online.value_estimates."""

import numpy as np

_PHI = np.array([[0.6, 0.2], [-0.3, 0.5], [0.1, -0.4]])
_W = np.array([0.5, 0.3, 0.2])
_VISIT = {"phi": _PHI, "inverse": np.diag([2.0, 3.0]), "visited": _PHI[1], "tail_loss": 0.5}

CALLS = {
    "linear_q_estimate": _VISIT,
    "magnitude_reduced_estimate": {**_VISIT, "occupancy": _W, "horizon": 2},
    "reduction_mean": {"phi": _PHI, "inverse": np.diag([2.0, 3.0]), "occupancy": _W},
    "regularized_inverse": {"phi": _PHI, "occupancy": _W, "gamma": 0.1},
}
