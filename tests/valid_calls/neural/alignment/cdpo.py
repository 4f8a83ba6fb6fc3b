"""Valid calls of neural.alignment.cdpo."""

import torch

W, L = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]]), torch.tensor([[-2.0, -1.5], [-0.1, -4.0]])
MASK_W, MASK_L = torch.tensor([[True, True], [True, False]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
SCORES = torch.tensor([[0.2, 1.0], [0.0, 0.5]])
TEXTS = {
    "pol_w_tok": W, "pol_l_tok": L, "ref_w_tok": W - 0.1, "ref_l_tok": L - 0.3, "mask_w": MASK_W, "mask_l": MASK_L,
}  # fmt: skip
LOGITS = torch.tensor([[[0.1, 0.5, -1.0], [1.0, 0.0, 0.0]], [[0.3, 0.2, 0.1], [0.0, -1.0, 2.0]]])
CALLS = {
    "contrastive_estimation": {
        "pos_logits": LOGITS, "neg_logits": LOGITS.flip(0), "input_ids": torch.tensor([[0, 1], [2, 2]]), "beta": 1.0,
    },
    "token_dpo_weights": {"scores": SCORES, "mask": MASK_L, "side": "rejected"},
    "cdpo_loss": {
        **TEXTS, "scores_l": SCORES, "gamma": 0.1, "scores_w": SCORES.flip(0), "form": "token", "label_smoothing": 0.1,
        "nll_weight": 0.5, "reduction": "mean",
    },
    "rpo_loss": {**TEXTS, "gamma": 0.1, "alpha": 1.0, "reduction": "mean"},
    "tdpo_loss": {
        **TEXTS, "kl_w_tok": SCORES, "kl_l_tok": SCORES.flip(0), "gamma": 0.1, "alpha": 0.5, "reduction": "sum",
    },
    "token_forward_kl": {"logits": LOGITS, "ref_logits": LOGITS.flip(0)},
    "rollout_scores": {
        "sampler": lambda prefixes, n_new: torch.zeros(len(prefixes), n_new, dtype=torch.long),
        "prefixes": torch.tensor([[5, 0, 1, 0], [5, 1, 1, 0]]),
        "verifier": lambda prompts, answers: answers.sum(1) == 1, "n_rollouts": 3, "prompt_length": 1, "max_batch": 10,
    },
    "find_critical_token": {
        "scores": torch.tensor([[0.4, 0.0, 0.02], [0.5, 0.1, 0.0]]), "later_threshold": 0.05, "none": 0.01,
    },
    "pass_at_k": {"n": 4, "c": torch.tensor([0, 2, 4]), "k": 2},
}  # fmt: skip
ACCEPTED = {
    ("rollout_scores", "prefixes", "huge"): "which ids there are is the sampler's to know",
    ("pass_at_k", "c", "empty"): "elementwise: of no answers there are no chances",
}
