"""Valid calls of theory.online.regret_growth."""

import numpy as np

CALLS = {
    "regret_slope": {
        "episodes": np.array([100, 400]), "regret": np.array([[10.0, 20.0], [12.0, 24.0]]), "resamples": 20,
        "confidence": 0.9, "seed": 1,
    },
}  # fmt: skip
ACCEPTED = {
    ("regret_slope", "seed", "zero"): "a seed like others",
    ("regret_slope", "episodes", "huge"): "a long run",
}
