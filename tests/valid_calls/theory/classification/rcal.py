"""Valid calls of theory.classification.rcal."""

import numpy as np

_ONE = {"mu0": np.array([0.0, 0.5]), "mu1": np.array([1.0, -0.5]), "S": np.array([[2.0, 0.5], [0.5, 1.0]])}
CALLS = {
    "excess_risk_bound": {**_ONE, "e0": np.array([0.1, 0.2]), "e1": np.array([-0.1, 0.2])},
    "gaussian_error": {**_ONE, "w": np.array([1.0, -1.0]), "b": 0.3},
    "lda_rule": _ONE,
    "polluted_moments": {
        "mu": np.array([0.0, 0.5]), "S": np.eye(2), "rho": 0.3, "mu_q": np.array([1.0, 2.0]), "S_q": 2.0 * np.eye(2),
    },
}  # fmt: skip
ACCEPTED = {("gaussian_error", "b", "negative"): "a threshold is any real number"}
