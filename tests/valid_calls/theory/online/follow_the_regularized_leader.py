"""Valid calls of theory.online.follow_the_regularized_leader."""

import numpy as np

_C = np.array([[0.5, -1.0], [0.2, 3.0]])
_P = np.array([[0.5, 0.5], [0.25, 0.75]])

CALLS = {
    "comparator_regret": {"p": _P, "c": _C},
    "entropy_bound": {"p": _P, "c": _C, "eta": 0.1},
    "entropy_counterexample": {"rounds": 10, "loss": 0.01, "surprise": 19.0},
    "ftrl_entropy": {"x": _C},
    "ftrl_log_barrier": {"x": _C},
    "ftrl_plays": {"c": _C, "eta": 0.1, "regularizer": "entropy"},
    "log_barrier_bound": {"p": _P, "c": _C, "eta": 0.1, "stability": 0.5},
}
