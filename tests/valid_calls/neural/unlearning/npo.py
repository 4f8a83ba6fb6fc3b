"""Valid calls of neural.unlearning.npo."""

import torch

LOGPS, REF_LOGPS = torch.tensor([-0.5, -2.0, -7.0]), torch.tensor([-0.4, -3.0, -1.0])
TOKENS = -torch.linspace(0.1, 2.0, 6).reshape(3, 2)
MASK = torch.tensor([[True, True], [True, False], [True, True]])
LOGITS = torch.linspace(-1, 1, 36).reshape(3, 3, 4)
CALLS = {
    "npo_loss": {"logps": LOGPS, "ref_logps": REF_LOGPS, "beta": 0.1, "reduction": "mean"},
    "npo_weight": {"logps": LOGPS, "ref_logps": REF_LOGPS, "beta": 0.1},
    "UnlearningObjective": {
        "forget": "dpo", "retain": "kl", "beta": 0.1, "coef_f": 1.0, "coef_r": 0.5, "per_token": True,
    },
    "UnlearningObjective.forward": {
        "token_logps": TOKENS, "mask": MASK, "ref_logps": REF_LOGPS, "refusal_logps": 1.5 * TOKENS, "refusal_mask": MASK,
        "ref_refusal_logps": LOGPS, "retain_mask": MASK, "retain_logits": LOGITS, "ref_retain_logits": LOGITS.flip(2),
    },
}  # fmt: skip
ACCEPTED = {}
