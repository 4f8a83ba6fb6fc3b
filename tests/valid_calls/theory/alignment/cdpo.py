"""Valid calls of theory.alignment.cdpo."""

import numpy as np

from theory.alignment.chain_mdp import ChainProblems, TabularChainPolicy

PROBLEMS = ChainProblems(np.array([[1, 2, 0], [2, 2, 1]]), np.array([[0, 1], [1, 0]]))
POS, NEG = np.array([[0.5, 0.25, 0.25]]), np.array([[0.2, 0.5, 0.3]])
CALLS = {
    "contrast": {"pos": POS, "neg": NEG, "beta": 1.0},
    "contrast_log_normaliser": {"pos": POS, "neg": NEG, "beta": 1.0},
    "gaussian_contrast_mean": {"mu_pos": 1.0, "mu_neg": 0.5, "beta": 1.0},
    "pass_at_k": {"n": 4, "c": 2, "k": 3},
    "cdpo_loss": {
        "ratio_w": np.array([[0.1, -0.2]]), "ratio_l": np.array([[0.3, 0.0]]), "scores_l": np.array([[0.2, 1.0]]),
        "gamma": 0.1, "form": "token", "scores_w": np.array([[1.0, 0.5]]), "label_smoothing": 0.1,
    },
    "critical_token": {"scores": np.array([0.5, 0.0, 0.01]), "later_threshold": 0.05, "none": 0.01},
    "no_success_level": {"n_rollouts": 64},
    "success_without_token": {"before": np.array([0.4]), "after": np.array([0.1]), "prob": np.array([0.5])},
    "chain_prefix_success": {
        "policy": TabularChainPolicy(np.zeros((2, 3, 3, 3))), "problems": PROBLEMS,
        "results": np.array([[0, 0], [1, 2]]),
    },
    "prefix_success": {
        "next_probs": lambda prefixes: np.full((len(prefixes), 3), 1 / 3), "prompts": np.array([[0], [1]]),
        "responses": np.array([[1, 0], [2, 2]]), "verify": lambda prompts, responses: responses.sum(1) == 2,
        "prune": 0.01, "max_rows": 4,
    },
}  # fmt: skip
ACCEPTED = {
    ("gaussian_contrast_mean", "mu_pos", "negative"): "a mean",
    ("gaussian_contrast_mean", "mu_neg", "negative"): "a mean",
    ("pass_at_k", "c", "zero"): "no sample was right",
    ("prefix_success", "prompts", "huge"): "which ids there are is the model's to know",
}
