"""Valid calls of theory.classification.line_refinement."""

import numpy as np

NODES = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
CALLS = {
    "refined_minima": {
        "evaluate": lambda rows, trial: abs(trial - 2.3), "x": NODES, "f": abs(NODES - 2.3), "tolerance": 1e-12,
        "rounds": 40,
    },
}  # fmt: skip
ACCEPTED = {("refined_minima", "f", "infinite"): "an infinite value at an outer node is not the minimum"}
