"""Valid calls of neural.alignment.rollouts."""

import torch

CALLS = {
    "mc_step_q": {
        "sampler": lambda prefixes, n_new: torch.zeros(len(prefixes), n_new, dtype=torch.long),
        "prompts": torch.tensor([[1, 2], [3, 4]]),
        "responses": torch.tensor([[0, 1, 0], [1, 1, 0]]),
        "step_ends": torch.tensor([1, 3]),
        "verifier": lambda prompts, responses: responses.sum(1) == 1,
        "n_rollouts": 3,
        "best_of": 2,
        "max_batch": 100,
    }
}
ACCEPTED = {
    ("mc_step_q", "prompts", "huge"): "which ids there are is the sampler's to know",
    ("mc_step_q", "responses", "huge"): "which ids there are is the sampler's to know",
}
