"""Valid calls of theory.certified_optima."""

import numpy as np

_LP = {
    "c": np.array([1.0, 0.5]), "G": np.array([[1.0, 1.0]]), "h": np.array([1.0]), "E": np.zeros((0, 2)), "f": np.zeros(0),
}  # fmt: skip

CALLS = {
    "lp_lower_bound": {**_LP, "dual": (np.zeros(1), np.zeros(0)), "upper": np.array([1.0, 1.0])},
    "lp_upper_bound": {**_LP, "point": np.zeros(2), "upper": np.array([1.0, 1.0])},
    "entropy_bounds": {"z": np.array([0.5, 0.0]), "lam": 1.0, "p": np.array([0.6, 0.4]), "nu": 0.3},
    "entropy_sup": {"z": np.array([0.5, 0.0]), "lam": 1.0},
    "sdp_upper_bound": {
        "C": np.eye(2), "A": np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]), "b": np.ones(2), "y": np.ones(2), "trace_bound": 2.0,
    },
    "unit_diagonal_lower_bound": {"C": np.eye(2), "factor": np.eye(2)},
}  # fmt: skip
ACCEPTED = {
    ("entropy_bounds", "nu", "negative"): "every nu gives a bound",
}
