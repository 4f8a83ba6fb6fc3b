"""Valid calls of neural.classification.comp_sum."""

import torch

_CALL = {"logits": torch.tensor([[0.1, 0.5, 0.0], [0.2, 0.1, 0.3]]), "target": torch.tensor([0, 2])}

CALLS = {
    "comp_sum": {**_CALL, "tau": 1.0, "reduction": "mean"},
    "CompSumLoss": {"tau": 1.0, "reduction": "mean"},
    "CompSumLoss.forward": _CALL,
}
