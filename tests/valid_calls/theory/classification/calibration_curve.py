"""Valid calls of theory.classification.calibration_curve."""

import numpy as np

T = np.array([0.0, 0.5, 1.0])
CALLS = {
    "lower_convex_envelope": {"x": T, "y": np.array([0.0, 2.0, 2.0])},
    "running_minimum": {"y": np.array([0.0, 2.0, 1.0])},
    "local_exponent": {"t": T, "raw": T**2},
    "inverse_of_envelope": {"value": np.array([0.1, 0.4]), "t": T, "psi": T**2, "raw": T**2},
}
