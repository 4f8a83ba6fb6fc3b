"""Valid calls of theory.classification.finite_linear_model."""

import numpy as np

_P, _W = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]), np.array([0.4, 0.6])
_LINES = np.array([0.1, 0.5, 0.0]), np.array([0.2, 0.1, 0.3])

CALLS = {
    "FiniteLinearModel": {"points": np.array([-1.0, 1.0]), "classes": 3},
    "FiniteLinearModel.realise": {"sequence": np.array([0, 1])},
    "FiniteLinearModel.scores": {"slopes": _LINES[0], "intercepts": _LINES[1]},
    "FiniteLinearModel.error": {"P": _P, "w": _W, "slopes": _LINES[0], "intercepts": _LINES[1]},
    "FiniteLinearModel.comp_sum_risk": {"P": _P, "w": _W, "tau": 1.0, "slopes": _LINES[0], "intercepts": _LINES[1]},
    "FiniteLinearModel.best_error": {"P": _P, "w": _W},
    "FiniteLinearModel.best_comp_sum_risk": {"P": _P, "w": _W, "tau": 1.0},
}
