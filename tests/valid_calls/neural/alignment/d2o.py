"""Valid calls of neural.alignment.d2o."""

import torch

ARGUMENTS = {
    "pol_self": torch.tensor([[-1.0, -2.0], [-3.0, -0.5]]), "ref_self": torch.tensor([[-1.5, -2.0], [-2.0, -1.0]]),
    "pol_neg": torch.tensor([-4.0, -1.0]), "ref_neg": torch.tensor([-3.0, -2.0]), "alpha": 0.1, "beta": 0.2,
    "mask": torch.tensor([[True, False], [True, True]]),
}  # fmt: skip
CALLS = {"d2o_loss": {**ARGUMENTS, "reduction": "mean"}, "d2o_margin": ARGUMENTS}
