"""Valid calls of theory.density.noise2score."""

import numpy as np

_Y = np.array([0.5, 1.0, 2.0])
_SCORE = np.array([0.1, -0.2, -0.4])
_PRIOR = np.array([2.0, 3.0])
_SHARES = np.array([0.4, 0.6])
_IMAGE = np.array([[0.5, 0.6], [0.7, 0.9]])

CALLS = {
    "ar_dae_minimum": {"sa": 0.3, "means": _PRIOR, "stds": _PRIOR + 1, "weights": _SHARES},
    "blind_criterion": {"denoised": _IMAGE, "y": _IMAGE + 0.1, "noise": "poisson"},
    "gamma_inverse_gamma": {"y": _Y, "shape": 3.0, "shapes": _PRIOR, "scales": _PRIOR + 1, "weights": _SHARES},
    "gaussian_gaussian": {"y": _Y, "sigma": 0.5, "means": _PRIOR, "stds": _PRIOR + 1, "weights": _SHARES},
    "poisson_gamma": {"z": _Y, "scale": 0.5, "shapes": _PRIOR, "rates": _PRIOR + 1, "weights": _SHARES},
    "robbins_poisson": {"z": np.array([0, 1]), "pmf": np.array([0.2, 0.3, 0.1])},
    "total_variation": {"image": _IMAGE},
    "tweedie_gamma": {"y": _Y, "score": _SCORE, "shape": 3.0},
    "tweedie_gaussian": {"y": _Y, "score": _SCORE, "sigma": 0.5},
    "tweedie_natural": {"score": _SCORE, "base_score": _Y, "dT": _Y + 1},
    "tweedie_poisson": {"y": _Y, "score": _SCORE, "scale": 0.5, "score_wrt": "counts", "form": "half"},
}
ACCEPTED = {}
