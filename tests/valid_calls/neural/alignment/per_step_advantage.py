"""Valid calls of neural.alignment.per_step_advantage."""

import torch

W, L = torch.tensor([[-1.0, -0.5], [-0.2, -2.0]]), torch.tensor([[-1.0, -0.5, -0.1], [-0.2, -2.0, -3.0]])
ALL_W, ALL_L = torch.ones(2, 2), torch.ones(2, 3)

CALLS = {
    "step_advantages": {"q": torch.tensor([[0.5, 0.1], [0.2, 0.0]]), "v0": torch.tensor([0.5, 0.4])},
    "first_pit": {
        "q": torch.tensor([[0.5, 0.1]]), "adv": torch.tensor([[0.1, -0.4]]), "rule": "argmin_adv",
    },
    "prefix_mask": {"step_ends": torch.tensor([2, 4]), "pit": torch.tensor([0, 1, 1]), "T": 5},
    "per_step_dpo_loss": {
        "pol_w_tok": W, "pol_l_tok": L, "ref_w_tok": W, "ref_l_tok": L, "mask_w": ALL_W, "mask_l_prefix": ALL_L,
        "beta": 0.1, "reduction": "mean",
    },
    "advantage_weighted_nll": {
        "token_logps": W, "step_ids": torch.tensor([[0, 1], [0, 0]]), "adv": torch.tensor([[0.5, -0.5], [0.0, 0.1]]),
        "beta": 0.5, "clip": 10.0,
    },
    "preference_pairs": {"correct": torch.tensor([[True, False], [False, True]])},
}  # fmt: skip
ACCEPTED = {
    ("advantage_weighted_nll", "step_ids", "negative"): "−1 says that a token belongs to no step",
}
