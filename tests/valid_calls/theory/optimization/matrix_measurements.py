"""Valid calls of theory.optimization.matrix_measurements."""

import numpy as np

_A = np.random.default_rng(0).standard_normal((12, 9))

CALLS = {
    "make_robust_recovery_problem": {
        "d": 4, "r": 2, "m": 10, "corruption": "outlier", "p": 0.2, "scale": 3.0, "kappa": 2.0, "outlier": "cauchy",
        "seed": 1,
    },
    "SymmetricMeasurements": {"A": _A},
    "SymmetricMeasurements.measure": {"X": np.eye(3)},
    "SymmetricMeasurements.combine": {"weights": np.ones(12)},
    "sign_subgradient": {"A": _A, "residual": np.linspace(-1, 1, 12)},
}  # fmt: skip
ACCEPTED = {("make_robust_recovery_problem", "seed", "zero"): "a seed like any other"}
TRUSTED = dict.fromkeys(
    ("SymmetricMeasurements.rows_of", "SymmetricMeasurements.sum_of"),
    "what measure and combine do, for loops that have checked once",
)
