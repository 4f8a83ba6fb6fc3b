"""An ensemble is exactly the networks it holds, trained one by one with torch's own layers and optimiser."""

import pytest
import torch
from torch import nn

from neural.ensemble import EnsembleBatchNorm, EnsembleLinear, EnsembleSGD


def _member(ensemble: nn.Sequential, index: int) -> nn.Sequential:
    """One model of an ensemble as ordinary layers."""
    layers: list[nn.Module] = []
    for layer in ensemble:
        if isinstance(layer, EnsembleLinear):
            linear = nn.Linear(*layer.weight.shape[1:], dtype=layer.weight.dtype)
            linear.weight.data, linear.bias.data = layer.weight[index].T.clone(), layer.bias[index, 0].clone()
            layers.append(linear)
        elif isinstance(layer, EnsembleBatchNorm):
            layers.append(nn.BatchNorm1d(layer.weight.shape[-1], dtype=layer.weight.dtype))
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def _ensemble(models: int, device: str = "cpu") -> nn.Sequential:
    generator = torch.Generator(device).manual_seed(0)
    parts = (
        EnsembleLinear(models, 5, 7, generator),
        EnsembleBatchNorm(models, 7, torch.device(device)),
        nn.ReLU(),
        EnsembleLinear(models, 7, 3, generator),
    )
    return nn.Sequential(*parts).double()


def test_training_in_lockstep_equals_training_alone():
    ensemble, rates = _ensemble(3), torch.tensor([0.1, 0.3, 0.01], dtype=torch.float64)
    members = [_member(ensemble, k) for k in range(3)]
    ours = EnsembleSGD(ensemble.parameters(), rates, momentum=0.9, weight_decay=1e-3, clip_norm=0.05)
    theirs = [
        torch.optim.SGD(member.parameters(), float(rate), momentum=0.9, weight_decay=1e-3)
        for member, rate in zip(members, rates, strict=True)
    ]
    generator = torch.Generator().manual_seed(1)
    for _ in range(10):
        x = torch.randn(8, 5, generator=generator, dtype=torch.float64)
        ours.step((ensemble(x.expand(3, 8, 5)) ** 2).mean((1, 2)).sum())
        for member, optimiser in zip(members, theirs, strict=True):
            optimiser.zero_grad()
            (member(x) ** 2).mean().backward()
            nn.utils.clip_grad_norm_(member.parameters(), 0.05)
            optimiser.step()
    ensemble.eval()
    for k, member in enumerate(members):
        # clip_grad_norm_ adds 1e-6 to the norm it divides by
        torch.testing.assert_close(ensemble(x.expand(3, 8, 5))[k], member.eval()(x), atol=1e-5, rtol=1e-4)


def test_models_start_equal_and_one_rate_serves_all(device):
    ensemble = _ensemble(2, device)
    x = torch.ones(2, 4, 5, dtype=torch.float64, device=device)
    assert torch.equal(ensemble(x)[0], ensemble(x)[1])
    EnsembleSGD(ensemble.parameters(), 0.1).step(ensemble(x).pow(2).sum())
    assert torch.equal(ensemble(x)[0], ensemble(x)[1])


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_of_one_or_two_stays_finite(batch):
    ensemble = _ensemble(2)
    assert torch.isfinite(ensemble(torch.randn(2, batch, 5, dtype=torch.float64))).all()
    assert all(torch.isfinite(buffer).all() for buffer in ensemble.buffers())
