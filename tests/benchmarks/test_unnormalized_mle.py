"""A step of MECO against one of NCE, and against maximum likelihood with twenty Langevin steps per update."""

import pytest
import torch

from neural.density.energy_networks import EnergyEnsemble, GaussianNoise
from neural.density.unnormalized_mle import LogPartitionTracker, meco_loss, nce_loss
from simulations.costs import alternating_seconds

LANGEVIN_STEPS = 20


@pytest.mark.parametrize("batch_size", [128, 1024])
def test_a_step_costs_what_nce_costs_and_a_tenth_of_langevin(benchmark, batch_size):
    generator = torch.Generator().manual_seed(0)
    network = EnergyEnsemble(1, 10, 128, generator)
    noise = GaussianNoise(1.5, 10)
    tracker = LogPartitionTracker(0.1, shape=(1,))
    x = torch.randn(1, batch_size, 10, generator=generator)
    parameters = list(network.parameters())

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        z = noise.sample(batch_size, generator)[None]
        f = network(torch.cat([x, z], dim=1))
        return f[:, :batch_size], f[:, batch_size:]

    def meco():
        return torch.autograd.grad(meco_loss(*both(), tracker).sum(), parameters)

    def nce():
        return torch.autograd.grad(nce_loss(*both()).sum(), parameters)

    def langevin():
        z = noise.sample(batch_size, generator)[None]
        for _ in range(LANGEVIN_STEPS):
            z = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad((network(z) + noise.log_prob(z)).sum(), z)
            z = z + 0.005 * slope + 0.1 * torch.randn(z.shape, generator=generator)
        return torch.autograd.grad(network(z.detach()).mean() - network(x).mean(), parameters)

    sides = {"meco": meco, "nce": nce, "langevin": langevin}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 25, "warmup": 3}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    over_nce = (rounds["meco"] / rounds["nce"]).median()
    langevin_over = (rounds["langevin"] / rounds["meco"]).median()
    print(f"\nbatch {batch_size}: MECO / NCE {over_nce:.2f}, Langevin / MECO {langevin_over:.1f}", end="")
    assert over_nce <= 1.5
    assert langevin_over >= 10
