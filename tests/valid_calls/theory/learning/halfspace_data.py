"""Valid calls of theory.learning.halfspace_data."""

import numpy as np

_RNG = np.random.default_rng(0)
_X, _W = np.random.default_rng(1).normal(size=(10, 2)), np.array([1.0, 0.5])
_SIZE = {"samples": 6, "dim": 2, "rng": _RNG}

CALLS = {
    "adversarial_labels": {"X": _X, "w_star": _W, "share": 0.2, "rng": _RNG, "pattern": "near"},
    "ball": _SIZE,
    "clusters": {**_SIZE, "count": 2, "spread": 0.1},
    "gaussian": _SIZE,
    "hypercube": _SIZE,
    "laplace": _SIZE,
    "line": {**_SIZE, "thickness": 0.01},
    "massart_labels": {"X": _X, "w_star": _W, "eta": 0.1, "rng": _RNG, "pattern": "boundary"},
    "strongly_log_concave": {**_SIZE, "excess": 0.5},
    "student_t": {**_SIZE, "degrees": 3.0},
}
