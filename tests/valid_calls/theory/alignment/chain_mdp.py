"""Valid calls of theory.alignment.chain_mdp."""

import numpy as np

from theory.alignment.chain_mdp import ChainProblems, TabularChainPolicy, exact_values

PROBLEMS = ChainProblems(np.array([[1, 2, 0], [2, 2, 1]]), np.array([[0, 1], [1, 0]]))
POLICY = TabularChainPolicy(np.zeros((2, 3, 3, 3)))
RESULTS = np.array([[0, 0], [1, 2]])
UNIFORM = np.full((2, 2, 3, 3), 1 / 3)

CALLS = {
    "ChainProblems": {"digits": np.array([[1, 2, 0], [2, 2, 1]]), "operations": np.array([[0, 1], [1, 0]])},
    "ChainMDP": {"base": 3, "n_ops": 2},
    "ChainMDP.problems": {"n": 4, "rng": np.random.default_rng(0)},
    "ChainMDP.results": {"problems": PROBLEMS},
    "ChainMDP.verify": {"problems": PROBLEMS, "results": RESULTS},
    "ChainMDP.step_ok": {"problems": PROBLEMS, "results": RESULTS},
    "ChainMDP.first_wrong_step": {"problems": PROBLEMS, "results": RESULTS},
    "ChainMDP.counts": {"problems": PROBLEMS, "results": RESULTS, "weights": np.ones((2, 2))},
    "TabularChainPolicy": {"logits": np.zeros((2, 3, 3, 3))},
    "TabularChainPolicy.transitions": {"problems": PROBLEMS},
    "TabularChainPolicy.sample": {"problems": PROBLEMS, "samples": 2, "rng": np.random.default_rng(0)},
    "TabularChainPolicy.greedy": {"problems": PROBLEMS},
    "TabularChainPolicy.success": {"problems": PROBLEMS},
    "fit_sft": {"counts": np.ones((2, 3, 3, 3)), "kappa": 3.0},
    "exact_values": {"policy": UNIFORM, "problems": PROBLEMS},
    "exact_advantages": {"policy": UNIFORM, "problems": PROBLEMS},
    "step_values": {"values": exact_values(POLICY, PROBLEMS), "problems": PROBLEMS, "results": RESULTS},
    "expected_counts": {"policy": UNIFORM, "problems": PROBLEMS, "weights": np.ones((2, 2, 3, 3))},
}
ACCEPTED = {("ChainProblems", "digits", "huge"): "the base is the world's to know, which checks it"}
