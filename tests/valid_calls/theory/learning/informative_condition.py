"""Valid calls of theory.learning.informative_condition."""

import numpy as np

_B = np.array([[2.0, 0.1], [0.3, 1.0], [0.5, -0.4]])
_OTHER = np.array([[1.5, 0.3], [0.1, 1.2], [0.4, 0.2]])
_X, _X_PRIME = np.random.default_rng(0).standard_normal((2, 5, 3))

CALLS = {
    "contrastive_hellinger2": {"W": _B.T, "W_hat": _OTHER.T, "X": _X, "X_prime": _X_PRIME},
    "informative_ratio": {"B": _B, "B_hat": _OTHER, "rotate": True},
    "informative_ratio_bound": {"s_min": 0.5, "s_max": 2.0, "r": 2},
    "joint_covariance": {"B": _B},
    "joint_hellinger2": {"B": _B, "B_hat": _OTHER},
    "local_informative_ratio": {"B": _B},
    "marginal_hellinger2": {"B": _B, "B_hat": _OTHER},
    "procrustes_rotation": {"B": _B, "B_hat": _OTHER},
}
