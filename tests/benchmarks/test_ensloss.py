"""EnsLoss against torch's binary cross-entropy: a training step, and the loss alone."""

import torch
from torch import nn

from neural.classification.ensloss import EnsLoss
from simulations.costs import alternating_seconds

BATCH, FEATURES, WIDTH = 128, 100, 1024


def labels() -> torch.Tensor:
    return torch.randint(0, 2, (BATCH,), generator=torch.Generator().manual_seed(0)).float()


def median_ratio(benchmark, sides, rounds: int) -> float:
    """Median over pairs of the first side's seconds by the second's, taken in turns."""
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds, "warmup": 20}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    first, second = sides
    return float((seconds[first] / seconds[second]).median())


def training_step(criterion):
    """A step of a perceptron of two hidden layers, of the width that the paper's code uses, with momentum."""
    torch.manual_seed(0)
    hidden = nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
    model = nn.Sequential(*hidden, nn.Linear(WIDTH, 1))
    optimiser = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    x, y = torch.randn(BATCH, FEATURES), labels()

    def step() -> None:
        optimiser.zero_grad()
        criterion(model(x).squeeze(1), y).backward()
        optimiser.step()

    return step


def test_a_training_step_costs_at_most_1_1_times_that_of_cross_entropy(benchmark):
    sides = {"EnsLoss": training_step(EnsLoss()), "bce": training_step(nn.BCEWithLogitsLoss())}
    ratio = median_ratio(benchmark, sides, rounds=200)
    print(f"\nstep with EnsLoss / with BCE, two hidden layers of {WIDTH}, batch {BATCH}: {ratio:.3f}", end="")
    assert ratio <= 1.1


def test_the_loss_alone_costs_at_most_2_5_times_cross_entropy(benchmark):
    logits, y = torch.randn(BATCH, requires_grad=True), labels()
    sides = {
        name: lambda criterion=criterion: torch.autograd.grad(criterion(logits, y), logits)
        for name, criterion in (("EnsLoss", EnsLoss()), ("bce", nn.BCEWithLogitsLoss()))
    }
    ratio = median_ratio(benchmark, sides, rounds=5000)
    print(f"\nEnsLoss / BCE, forward and backward, batch {BATCH}: {ratio:.2f}", end="")
    assert ratio <= 2.5
