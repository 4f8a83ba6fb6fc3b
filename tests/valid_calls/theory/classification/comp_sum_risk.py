"""Valid calls of theory.classification.comp_sum_risk."""

import numpy as np

_P, _SCORES = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 0.0])

CALLS = {
    "bounded_conditional_min": {"p": _P, "tau": 1.0, "score_bound": 1.0},
    "comp_sum_loss": {"scores": np.stack([_SCORES, -_SCORES]), "y": np.array([0, 2]), "tau": 1.0},
    "comp_sum_phi": {"u": 0.5, "tau": 1.0},
    "conditional_min": {"p": _P, "tau": 1.0},
    "conditional_regret": {"p": _P, "scores": _SCORES, "tau": 1.0},
    "error_gap": {"p": _P, "scores": _SCORES},
}
