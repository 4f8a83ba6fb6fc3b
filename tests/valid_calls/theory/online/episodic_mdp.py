"""Valid calls of theory.online.episodic_mdp."""

import numpy as np

_P = np.random.default_rng(0).dirichlet(np.ones(3), (2, 1, 3, 2))
_TABLE = np.random.default_rng(1).dirichlet(np.ones(2), (1, 3))

CALLS = {
    "LinearMDP": {"phi": np.random.default_rng(2).dirichlet(np.ones(2), (2, 3, 2)), "P": _P},
    "best_fixed_policy": {"P": _P[0], "loss_sum": _TABLE},
    "occupancy_measure": {"P": _P[0], "pi": _TABLE},
    "random_linear_mdp": {"n": 2, "H": 2, "S": 3, "A": 2, "d": 2, "concentration": 0.15, "seed": 3},
    "tabular_mdp": {"P": _P},
}
ACCEPTED = {("random_linear_mdp", "seed", "zero"): "a seed like others"}
