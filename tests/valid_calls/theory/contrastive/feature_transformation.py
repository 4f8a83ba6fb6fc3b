"""Valid calls of theory.contrastive.feature_transformation."""

import numpy as np

_PAIR = {"s": np.array([0.5, 0.1]), "lam": np.array([1.5, 1.2])}
_ROWS = {
    "q": np.array([[1.0, 0.2], [0.1, 1.0]]), "k": np.array([[0.9, 0.1], [0.2, 1.1]]), "lam": np.array([[1.5, 1.2], [1.0, 2.0]]),
}  # fmt: skip

CALLS = {
    "extrapolated_score": _PAIR,
    "extrapolated_norm": _PAIR,
    "renormalised_score": _PAIR,
    "extrapolated_score_by_dimension": _ROWS,
    "mean_gap_multiplier": {"alpha": 2.0},
    "interpolation_variance_factor": {"alpha": 1.6},
    "log_mean_mass": {"scores": np.array([[0.1, 0.5], [0.2, -0.4]]), "temperature": 0.2},
}
ACCEPTED = {
    (name, argument, "extra dimension"): "elementwise"
    for name in ("extrapolated_score", "extrapolated_norm", "renormalised_score")
    for argument in ("s", "lam")
}
