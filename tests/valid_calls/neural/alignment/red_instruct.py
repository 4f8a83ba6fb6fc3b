"""Valid calls of neural.alignment.red_instruct."""

import torch

LOGPS = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -0.1, -2.0]])
MASK = torch.tensor([[True, True, False], [True, True, True]])
CALLS = {
    "safe_align_loss": {
        "blue_nll": torch.tensor([0.5, 1.0]), "red_nll": torch.tensor([0.2, 3.0, 1.0]), "lambda1": 1.0, "lambda2": 0.1,
        "threshold": 1.0, "bound": "npo", "nll_max": 3.0, "beta": 0.5, "ref_red_nll": torch.tensor([0.1, 0.2, 0.3]),
    },
    "per_sample_nll": {"token_logps": LOGPS, "mask": MASK.float()},
    "unlikelihood_loss": {"token_logps": LOGPS, "mask": MASK, "reduction": "mean"},
    "SafeAlignObjective": {
        "lambda1": 1.0, "lambda2": 0.1, "threshold": 1.0, "bound": "npo", "nll_max": 3.0, "beta": 0.5,
    },
    "SafeAlignObjective.forward": {
        "token_logps": LOGPS, "mask": MASK, "is_red": torch.tensor([False, True]), "ref_nll": torch.tensor([0.1, 0.2]),
    },
}  # fmt: skip
ACCEPTED = {
    ("safe_align_loss", "threshold", "infinite"): "gradient ascent on all red texts",
    ("SafeAlignObjective", "threshold", "infinite"): "gradient ascent on all red texts",
}
