"""Valid calls of theory.optimization.robust_matrix_recovery."""

import numpy as np

from theory.optimization.matrix_measurements import make_robust_recovery_problem

_PROBLEM = make_robust_recovery_problem(3, 1, 40, p=0.1, seed=0)
_DATA = {"A": _PROBLEM.A, "y": _PROBLEM.y}
_DESCENT = {
    **_DATA, "rank": 2, "alpha": 1e-3, "steps": 4, "eta0": 0.2, "rho": 0.98, "schedule": "geometric", "X_true": _PROBLEM.X,
}  # fmt: skip

CALLS = {
    "convex_recovery": {**_DATA, "trace_weight": 0.01, "solver": "CLARABEL"},
    "escape_growth": {"eta0": 0.4, "rho": 0.98, "steps": 100},
    "gd_l2": {**_DESCENT, "init": "spectral"},
    "random_start": {"d": 5, "rank": 2, "alpha": 0.1, "seed": 1},
    "spectral_start": {**_DATA, "rank": 2, "alpha": 0.1},
    "subgm": {**_DESCENT, "init": np.full((3, 2), 0.01)},
}
ACCEPTED = {("random_start", "seed", "zero"): "a seed like any other"}
