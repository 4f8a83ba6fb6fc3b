"""Valid calls of theory.learning.localized_moments."""

import numpy as np

from theory.learning.localized_moments import StronglyLogConcave

_X = np.random.default_rng(0).normal(size=(40, 2))
_PROMISE = {"sigma": 0.1, "eta": 0.0, "slack": 0.1, "opt_guess": 0.001}

CALLS = {
    "StronglyLogConcave": {"gamma": 1.0, "beta": 2.0},
    "StronglyLogConcave.anticoncentration": {"slack": 0.1},
    "StronglyLogConcave.disagreement": {"theta": 0.2},
    "StronglyLogConcave.mass_range": {"sigma": 0.1},
    "StronglyLogConcave.promised_angle": _PROMISE,
    "StronglyLogConcave.promised_excess": _PROMISE,
    "localized_moment_test": {
        "w": np.array([1.0, 0.1]), "X": _X, "y": np.where(_X[:, 0] < 0, -1, 1), "sigma": 0.3, "eta": 0.1, "delta": 0.05,
        "target": StronglyLogConcave(), "slack": 0.2, "opt_guess": 0.0,
    },
}  # fmt: skip
ACCEPTED = {("localized_moment_test", "y", "negative"): "−1 is a label"}
