"""Valid calls of theory.learning.verified_sampling."""

import numpy as np

P, Q = np.array([0.5, 0.1, 0.0]), np.array([0.1, 0.2, 0.0])
W = np.array([0.2, 0.3, 0.5])
K = np.array([0, 5])
CORRECT = np.array([[True, False, True, False], [False, False, False, False]])
ACCEPT = np.array([[True, True, True, False], [False, False, False, False]])
CALLS = {
    "accept_rates": {"r": P, "soundness": np.array([0.5, 1.0, 0.0]), "completeness": 0.9},
    "resampling_outcomes": {"p": P, "q": Q, "K": K},
    "expected_attempts": {"p": P, "q": Q, "K": K},
    "precision": {"p": P, "q": Q},
    "accuracy_ceiling": {"p": P, "q": Q, "w": W},
    "estimate_rates": {"correct": CORRECT, "accept": ACCEPT},
    "conditional_accuracy": {"correct": CORRECT, "accept": ACCEPT, "missing": "worst"},
    "permutation_outcomes": {"correct": CORRECT, "accept": ACCEPT, "K": np.array([0, 1, 4])},
    "simulate_resampling": {"p": P, "q": Q, "K": 3, "n": 10, "rng": np.random.default_rng(0)},
    "checked_pair": {"p": P, "q": Q, "per_task": True},
    "checked_weights": {"w": W, "tasks": 3},
}
ACCEPTED = {
    ("resampling_outcomes", "K", "huge"): "many attempts",
    ("expected_attempts", "K", "huge"): "many attempts",
    ("simulate_resampling", "K", "zero"): "no attempt: always abstain",
}
