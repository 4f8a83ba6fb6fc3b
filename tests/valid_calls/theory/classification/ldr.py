"""Valid calls of theory.classification.ldr."""

import numpy as np

Z = np.array([[0.0, 0.5, -1.0], [2.0, 0.0, 0.1]])
CALLS = {
    "ldr_kl": {"scores": Z, "target": np.array([0, 2]), "lam": 2.0, "margin": 0.1, "normalize": "softplus"},
    "margins": {"scores": Z, "target": np.array([0, 2]), "margin": 0.1},
    "normalized_scores": {"scores": Z, "normalize": "l1"},
    "ldr_closed_form": {"z": Z, "lam": 2.0, "regularizer": "kl"},
    "worst_case_distribution": {"z": Z, "lam": 2.0, "regularizer": "kl"},
    "ldr_sup": {"z": Z, "lam": 2.0, "regularizer": "kl", "solver": "numeric"},
    "ldr_limit": {"z": Z, "which": "svm"},
    "kl_from_uniform": {"z": Z, "lam": 2.0},
    "adaptive_objective": {"z": Z, "lam": 2.0, "lam0": 3.0, "alpha": 2.0},
    "adaptive_temperature": {"z": Z, "lam0": 3.0, "alpha": 2.0},
    "one_step_temperature": {"z": Z, "lam": 2.0, "lam0": 3.0, "alpha": 2.0},
    "uniqueness_curvature": {"z": Z, "low": 1.0, "high": 3.0},
}
ACCEPTED = {
    ("ldr_kl", "lam", "infinite"): "the linear limit",
    ("ldr_closed_form", "lam", "infinite"): "the linear limit",
    ("worst_case_distribution", "lam", "infinite"): "the linear limit",
}
