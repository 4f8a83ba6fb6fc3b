"""Valid calls of theory.learning.tester_learner."""

import numpy as np

from theory.learning.localized_moments import StronglyLogConcave

_X = np.random.default_rng(0).normal(size=(40, 2))
_Y = np.where(_X[:, 0] < 0, -1, 1)

CALLS = {
    "TargetTesterLearner": {
        "eta": 0.1, "eps": 0.5, "delta": 0.05, "target": StronglyLogConcave(), "slack": 0.2, "opt_guess": 0.0, "starts": 1,
        "seed": 1,
    },
    "TesterLearner": {"eta": 0.1, "eps": 0.25, "delta": 0.05, "opt_guess": 0.0, "starts": 2, "seed": 1},
    "TesterLearner.fit": {"X": _X, "y": _Y},
    "predict_halfspace": {"w": np.array([1.0, 0.0]), "X": _X},
    "width_schedule": {"X": _X},
}  # fmt: skip
ACCEPTED = {("TesterLearner.fit", "y", "negative"): "−1 is a label"} | {
    (name, "seed", "zero"): "a seed may be 0" for name in ("TesterLearner", "TargetTesterLearner")
}
