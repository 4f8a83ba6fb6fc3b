"""Valid calls of theory.online.adversarial_mdp."""

import numpy as np

from theory.online.episodic_mdp import random_linear_mdp

CALLS = {
    "learning_parameters": {
        "variant": "logbarrier", "K": 100, "H": 2, "A": 3, "d": 3, "c_eta": 4.0, "c_beta": 0.02, "c_gamma": 1.0,
    },
    "policy_optimization": {
        "env": random_linear_mdp(2, 2, 3, 3, 3, seed=0), "losses": np.full((2, 12, 2, 3), 0.5), "K": 10,
        "variant": "magreduced", "c_eta": 2.0, "c_beta": 0.05, "c_gamma": 1.0, "rng": np.random.default_rng(0),
        "trajectories": 5,
    },
}  # fmt: skip
