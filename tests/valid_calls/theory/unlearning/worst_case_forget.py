"""Valid calls of theory.unlearning.worst_case_forget."""

import numpy as np

X, Y = np.array([[1.0, 0.2], [0.8, 0.0], [-1.0, 1.0], [0.0, -1.0]]), np.array([0, 0, 1, 2])
LOWER = {"steps": 3, "lr": 0.1, "forget_weight": 0.0}
CALLS = {
    "exhaustive_search": {"X": X, "y": Y, "m": 2, "theta0": np.full((2, 3), 0.1), **LOWER},
    "sign_unlearning": {"X": X, "y": Y, "w": np.array([[0.0, 1.0, 0.5, 0.0]]), "theta0": np.zeros((2, 3)), **LOWER},
    "softmax_losses": {"theta": np.zeros((2, 2, 3)), "X": X, "y": Y},
    "fixed_loss_weights": {"losses": np.array([0.1, 3.0, 0.2]), "m": 2.0, "gamma": 1e-4, "direction": "worst"},
}
ACCEPTED = {}
