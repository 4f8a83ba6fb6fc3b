"""Valid calls of theory.classification.representation_calibration."""

import numpy as np

from theory.classification.representation_calibration import ClassStats

_RNG = np.random.default_rng(0)
_Z, _Y = _RNG.standard_normal((24, 2)), np.repeat([0, 1], [16, 8])
_STATS = ClassStats(np.array([[0.0, 0.0], [1.0, 1.0]]), np.stack([np.eye(2), 2 * np.eye(2)]), np.array([20, 5]))
CALLS = {
    "ClassStats": {"mean": _STATS.mean, "cov": _STATS.cov, "n": _STATS.n},
    "calibrate_tails": {"stats": _STATS, "q": 1, "tail": np.array([1]), "gamma": 0.5},
    "inliers": {"Z": _Z, "y": _Y, "method": "lof", "contamination": 0.2, "classes": 2},
    "mardia_test": {"Z": _Z},
    "robust_class_stats": {"Z": _Z, "y": _Y, "method": "median", "contamination": 0.2},
    "sample_gaussian_classes": {"stats": _STATS, "per_class": 3, "rng": np.random.default_rng(0)},
}
ACCEPTED = {("ClassStats", "n", "huge"): "a class may have any number of samples"}
