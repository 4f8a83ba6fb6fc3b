"""Valid calls of theory.unlearning.uld."""

import numpy as np

P = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
CALLS = {
    "combined": {"p_target": P, "p_assistant": P[::-1].copy(), "alpha": 0.8},
    "deviation_bound": {"p_assistant": P, "alpha": 0.8},
}
