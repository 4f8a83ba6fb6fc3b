"""Valid calls of theory.online.neural_bandit."""

import numpy as np

_LOSSES = {"losses": np.array([[0.2, 0.5, 0.9], [0.4, 0.1, 0.3]])}
_TRUE = {"true_losses": np.array([[0.3, 0.1, 0.9], [0.5, 0.2, 0.2]])}
_TWO = {"p": np.array([0.1, 0.5]), "q": np.array([0.2, 0.9])}
_PERTURBED = {"target": 0.5, "output": 0.2, "displacement": np.array([1.0, -2.0, 0.5]), "c_p": 0.1, "width": 16}

CALLS = {
    "inverse_gap_weighting": {**_LOSSES, "gamma": 20.0, "kind": "fast", "floor": 1e-6},
    "igw_bound": {**_LOSSES, **_TRUE, "gamma": 20.0, "kind": "fast", "floor": 1e-6},
    "square_igw_supremum": {**_LOSSES, "gamma": 20.0},
    "bernoulli_kl": _TWO,
    "triangular_discrimination": _TWO,
    "square_regret_bound": {"rounds": 100, "arms": 5, "regression_regret": 4.0, "gamma": 10.0},
    "first_order_regret_bound": {"best_loss": 10.0, "arms": 4, "regression_regret": 1.0, "gamma": 50.0},
    "perturbed_square_loss": _PERTURBED,
    "perturbed_loss_mean": {**_PERTURBED, "loss": "kl"},
    "relu_ntk": {"contexts": np.array([[1.0, 0.2], [0.3, -1.0]])},
    "ucb_complexity": {"gram": np.array([[1.0, 0.2], [0.2, 1.0]]), "losses": np.array([[1.0], [-1.0]])},
}
ACCEPTED = {
    **{
        (name, argument, "negative"): "any real number"
        for name in ("perturbed_square_loss", "perturbed_loss_mean")
        for argument in ("target", "output")
    },
}
