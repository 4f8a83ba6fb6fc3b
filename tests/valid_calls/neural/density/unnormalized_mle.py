"""Valid calls of neural.density.unnormalized_mle."""

import torch

from neural.density.energy_networks import EnergyEnsemble, GaussianNoise
from neural.density.unnormalized_mle import LogPartitionTracker
from tests.bad_inputs import Fresh

_H = {"h_data": torch.tensor([0.1, -0.2]), "h_noise": torch.tensor([0.3, -1.0, 2.0])}


def _with_gradient() -> list[torch.Tensor]:
    parameter = torch.ones(2, requires_grad=True)
    parameter.square().sum().backward()
    return [parameter]


CALLS = {
    "LogPartitionTracker": {"gamma": 0.5, "mode": "storm", "shape": (2,)},
    "LogPartitionTracker.update": {"log_w": torch.zeros(2, 3), "log_w_previous": torch.zeros(2, 3)},
    "meco_loss": {
        "log_p0_data": torch.tensor([0.1, 0.2]), "log_w_noise": torch.tensor([0.1, 0.3, -0.2]),
        "tracker": Fresh(lambda: LogPartitionTracker(0.5, "storm")), "log_w_previous": torch.tensor([0.1, 0.2, -0.2]),
        "max_exponent": 20.0,
    },
    "nce_loss": {**_H, "nu": 2.0},
    "ence_loss": {**_H, "max_exponent": 10.0},
    "clipped_fraction": {**_H, "max_exponent": 10.0},
    "normalized_gradient_step": {"params": Fresh(_with_gradient), "lr": 0.1},
    "fit_unnormalized": {
        "model": Fresh(lambda: EnergyEnsemble(2, 2, 3, torch.Generator())), "data": torch.ones(5, 2),
        "noise": GaussianNoise(1.0, 2), "method": "meco", "steps": 2, "batch_size": 3,
        "learning_rate": torch.tensor([0.1, 0.2]), "gamma": 0.5, "generator": torch.Generator(),
    },
    "ood_auroc": {"score_in": torch.tensor([1.0, 2.0]), "score_out": torch.tensor([0.5, 3.0, 1.0])},
}  # fmt: skip
