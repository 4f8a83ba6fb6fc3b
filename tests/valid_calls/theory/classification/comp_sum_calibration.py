"""Valid calls of theory.classification.comp_sum_calibration."""

import numpy as np

CALLS = {
    "calibration_function": {"beta": 0.5, "tau": 1.0, "n": 3},
    "pooled_regret": {"p": np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]), "predicted": np.array([1, 0]), "tau": 1.0},
    "tight_witness": {"beta": 0.5, "tau": 1.0, "n": 3, "depth": 60.0},
    "transform": {"beta": 0.5, "tau": 1.0, "n": 3},
}
