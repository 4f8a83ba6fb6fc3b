"""Valid calls of theory.unlearning.label_agnostic_forgetting."""

import numpy as np

U, E = np.array([0.1, 3.0]), np.array([[1.0, -0.5], [0.2, 0.3]])
C, K = np.array([0.1, 0.0, 0.4]), np.array([0.5, 1.5])
CALLS = {
    "phi": {"u": U},
    "phi_derivative": {"u": U},
    "residual_pull": {"u": U},
    "saturation_bounds": {"u": U},
    "unlearning_loss": {"u_r": U, "u_f": np.array([0.2])},
    "unlearning_bounds": {"remaining": 3, "forgotten": 2},
    "cosine_distance": {"e": E, "t": E[::-1].copy()},
    "alignment_loss": {"c": C, "k": K, "temperature": 5.0},
    "alignment_weights": {"k": K, "temperature": 5.0, "remaining": 3},
    "alignment_bounds": {"c": C, "k": K, "temperature": 5.0},
    "gaussian_kl": {"mu": E, "sigma": np.array([[1.0, 0.5], [2.0, 0.1]])},
}
ACCEPTED = {}
