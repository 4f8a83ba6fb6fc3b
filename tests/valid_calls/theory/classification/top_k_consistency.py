"""Valid calls of theory.classification.top_k_consistency."""

import numpy as np

from theory.classification.top_k_consistency import spherical_symmetric_loss

Q = np.array([0.5, 0.3, 0.2])
ROWS = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
F = np.array([[1.0, 0.5, -1.0], [0.0, 0.2, 2.0]])
CALLS = {
    "is_topk_preserving": {"f": F, "q": ROWS, "k": 2},
    "ldr_kl_losses": {"scores": F, "lam": 2.0, "margin": 0.1},
    "ldr_kl_minimizer": {"q": ROWS, "lam": 2.0, "margin": 0.1},
    "crammer_singer_minimizer": {"q": Q, "margin": 1.0},
    "simplex_minimizer": {"q": Q, "total": 3.0},
    "population_minimizer": {"q": Q, "loss": spherical_symmetric_loss, "starts": 1, "seed": 0},
    "spherical_symmetric_loss": {"scores": F},
    "symmetry_defect": {"loss": spherical_symmetric_loss, "f": F},
    "symmetry_defect_bound": {"classes": 4, "lam": 8.0, "margin": 0.1},
    "noisy_distribution": {"q": ROWS, "eps": 0.3},
    "noise_excess_bound": {"eps": 0.3, "delta": 0.1, "classes": 4},
}
ACCEPTED = {
    ("ldr_kl_losses", "lam", "infinite"): "the linear limit",
    ("population_minimizer", "seed", "zero"): "a seed",
}
