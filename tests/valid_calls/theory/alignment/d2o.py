"""Valid calls of theory.alignment.d2o."""

import numpy as np

SELF, NEG = np.array([[0.1, -0.2], [0.3, 0.0]]), np.array([-1.0, 0.5])
CALLS = {
    "d2o_loss": {"self_ratio": SELF, "neg_ratio": NEG, "alpha": 0.1, "beta": 0.2},
    "pairwise_loss": {"self_ratio": SELF, "neg_ratio": NEG, "alpha": 0.1, "beta": 0.2},
    "jeffreys": {"p": np.array([0.2, 0.8]), "q": np.array([0.5, 0.5])},
    "d2o_interior_optimum": {"alpha": 0.1, "beta": 1.0, "p_minus": 0.2},
    "tabular_dispreference": {
        "ref": np.array([[0.2, 0.5, 0.3]]), "neg_dist": np.array([[1.0, 0.0, 0.0]]), "method": "d2o", "alpha": 0.1,
        "beta": 0.1, "K": 2, "step": 0.1, "T": 2, "seed": 1,
    },
}  # fmt: skip
ACCEPTED = {("tabular_dispreference", "seed", "zero"): "a seed"}
