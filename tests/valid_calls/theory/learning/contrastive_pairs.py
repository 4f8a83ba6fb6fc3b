"""Valid calls of theory.learning.contrastive_pairs."""

import numpy as np

_W = np.array([[1.0, 0.2, -0.3]])
_X, _XP = np.random.default_rng(0).standard_normal((2, 8, 3))
_S = np.array([0, 1, 1, 0, 1, 0, 0, 1])

CALLS = {
    "contrastive_excess_risk": {"a": np.array([0.5, 0.1, 0.0]), "W": _W, "beta": np.array([0.8])},
    "contrastive_log_loss": {"W": _W, "X": _X, "Xp": _XP, "s": _S},
    "contrastive_start": {"X": _X, "Xp": _XP, "s": _S, "r": 1},
    "fit_contrastive_pairs": {"X": _X, "Xp": _XP, "s": _S, "r": 1},
    "sample_contrastive_pairs": {"W": _W, "m": 5, "rng": np.random.default_rng(0)},
}
