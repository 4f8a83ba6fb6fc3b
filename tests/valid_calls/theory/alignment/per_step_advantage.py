"""Valid calls of theory.alignment.per_step_advantage."""

import numpy as np

PI = np.array([[0.5, 0.3, 0.2]])
A = np.array([[0.2, -0.2, -0.2]])
HALF = np.full((1, 3, 3), 0.5)
CURVE = np.array([[10.0, 0.1], [20.0, 0.4], [40.0, 0.8]])

CALLS = {
    "awr_policy": {"policy": PI, "A": A, "beta": 1.0},
    "rft_policy": {"policy": PI, "Q": np.array([[0.2, 0.5, 0.0]])},
    "population_dpo": {"pi_ref": PI, "A": A, "beta": 1.0, "pairs": PI, "labels": HALF, "reference": PI},
    "dpo_population_loss": {"policy": PI, "pi_ref": PI, "A": A, "beta": 1.0, "pairs": PI},
    "best_of_k_values": {"Q": np.array([0.2, 0.5]), "k": 3},
    "tree_values": {"policies": [np.full((1, 2), 0.5)], "rewards": np.array([1.0, 0.0])},
    "sample_efficiency": {"curve": CURVE, "target_acc": 0.4, "size": 10.0},
    "fitted_efficiency": {"curve": CURVE, "others": np.array([[10.0, 0.4], [20.0, 0.8]])},
}
ACCEPTED: dict[tuple[str, str, str], str] = {}
