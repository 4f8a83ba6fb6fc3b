"""Valid calls of theory.contrastive.near_pairs."""

import numpy as np

_UNITS = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
CALLS = {
    "unit_vectors": {"z": np.array([[3.0, 4.0], [0.0, 2.0]])},
    "near_pairs": {"units": _UNITS, "limit": 1.5},
    "nearest_pairs": {"units": _UNITS, "labels": np.array([0, 0, 1]), "ranks": np.array([1, 2])},
}
ACCEPTED = {("nearest_pairs", "labels", "huge"): "labels are only compared"}
