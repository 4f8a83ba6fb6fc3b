"""Valid calls of neural.unlearning.losses."""

import torch

LOGPS, REF_LOGPS = torch.tensor([-0.5, -2.0, -7.0]), torch.tensor([-0.4, -3.0, -1.0])
TOKENS = -torch.linspace(0.1, 2.0, 6).reshape(3, 2)
MASK = torch.tensor([[True, True], [True, False], [True, True]])
LOGITS = torch.linspace(-1, 1, 36).reshape(3, 3, 4)
IDS = torch.tensor([[0, 1, 3], [2, 2, 0], [3, 1, 1]])
CALLS = {
    "ga_loss": {"logps": TOKENS, "mask": MASK.float(), "per_token": False},
    "wga_loss": {"token_logps": TOKENS, "mask": MASK, "beta": 1.0},
    "simnpo_loss": {"logps": LOGPS, "lengths": torch.tensor([2, 3, 1]), "beta": 4.5, "delta": 0.1, "reduction": "mean"},
    "kto_loss": {"logps": LOGPS, "ref_logps": REF_LOGPS, "kl": 0.2, "beta": 0.1, "reduction": "mean"},
    "dpo_loss": {
        "pol_w": LOGPS, "pol_l": REF_LOGPS, "ref_w": 2 * LOGPS, "ref_l": 2 * REF_LOGPS, "beta": 0.1, "scale": 2.0,
        "reduction": "mean",
    },
    "idk_loss": {"token_logps": TOKENS, "mask": MASK},
    "undial_loss": {"logits": LOGITS, "ref_logits": LOGITS.flip(2), "input_ids": IDS, "mask": MASK, "beta": 10.0},
    "nll_retain_loss": {"token_logps": TOKENS, "mask": MASK},
    "kl_retain_loss": {"logits": LOGITS, "ref_logits": LOGITS.flip(2), "mask": MASK},
}  # fmt: skip
ACCEPTED = {
    ("simnpo_loss", "delta", "negative"): "a margin on the other side",
    ("simnpo_loss", "lengths", "huge"): "a long sequence",
}
