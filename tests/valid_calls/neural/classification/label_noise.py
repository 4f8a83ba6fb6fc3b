"""Valid calls of neural.classification.label_noise."""

import numpy as np

_CALL = {"y": np.array([0, 1, 2, 2]), "rate": 0.5, "rng": np.random.default_rng(0)}
CALLS = {
    "exponential_counts": {"n_max": 100, "classes": 5, "ratio": 10.0},
    "inject_joint_noise": {**_CALL, "classes": 4},
    "inject_pair_noise": {**_CALL, "classes": 4},
    "inject_symmetric_noise": {**_CALL, "classes": 4, "including_own": True},
}
