"""Valid calls of theory.unlearning.npo."""

import numpy as np

LOGPS = np.array([-0.5, -2.0, -7.0])
REF_LOGPS = np.array([-0.4, -3.0, -1.0])
X = np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]])
MARGINS, NORMS, TIMES = np.array([0.5, -1.0]), np.array([2.0, 1.0]), np.array([0.0, 10.0, 1e4])
CALLS = {
    "npo_loss": {"logps": LOGPS, "ref_logps": REF_LOGPS, "beta": 0.1},
    "npo_weight": {"logps": LOGPS, "ref_logps": REF_LOGPS, "beta": 0.1},
    "small_beta_remainder": {"logps": LOGPS, "ref_logps": REF_LOGPS, "beta": 0.1},
    "ga_npo_trajectory": {"X": X, "y": np.array([1, 0]), "theta0": np.array([0.1, -0.2, 0.0]), "eta": 1.0, "steps": 3, "beta": 0.5},
    "lockstep_trajectories": {
        "X": X, "y": np.array([1, 0]), "theta0": np.array([0.1, -0.2, 0.0]), "eta": 1.0, "steps": 3, "betas": np.array([0.0, 0.5]),
    },
    "ga_rate": {"n": 4, "eta": 0.5, "r": 2.0},
    "npo_log_slope": {"n": 4, "beta": 0.5},
    "ga_bounds": {"margins": MARGINS, "norms": NORMS, "eta": 0.5, "times": TIMES},
    "npo_bounds": {"margins": MARGINS, "norms": NORMS, "eta": 0.5, "beta": 0.5, "times": TIMES},
    "certify_steps": {"b": 1.0},
}  # fmt: skip
ACCEPTED = {}
