"""The factored output layer against softmax layers, and the drop-in loss against torch's cross-entropy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neural.classification.z_loss import z_loss
from simulations.classification.z_loss import training_steps
from simulations.costs import alternating_seconds

HIDDEN, BATCH, BLOCK = 128, 64, 100
MEDIANS: dict[int, dict[str, float]] = {}


@pytest.mark.parametrize("classes", [1_000, 10_000, 100_000, 1_000_000])
def test_training_step(benchmark, classes):
    """One step (loss, hidden gradient, new weights): medians of rounds in which the layers take turns."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(BATCH, HIDDEN, generator=generator)
    uniform = torch.rand(BATCH, generator=generator, dtype=torch.float64)
    target = ((classes + 1) ** uniform).long().clamp(1, classes) - 1
    sides = training_steps(h, target, classes, BLOCK, generator)
    rounds = 3 if classes > 100_000 else 7
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    seconds["factored"] /= BLOCK
    MEDIANS[classes] = seconds.median().to_dict()
    times = seconds.drop(columns="factored").div(seconds["factored"], axis=0).median()
    print(f"\nD = {classes:,}: factored {1e3 * MEDIANS[classes]['factored']:.2f} ms; ", end="")
    print(", ".join(f"{side} {ratio:.1f} times that" for side, ratio in times.items()), end="")
    if classes == 1_000_000:
        assert times["log-softmax"] >= 40


def test_the_factored_step_is_flat_in_the_number_of_classes(benchmark):
    """Over the sizes timed above."""
    if len(MEDIANS) < 4:
        pytest.skip("needs the timings of all sizes")
    sizes = sorted(MEDIANS)
    seconds = [MEDIANS[n]["factored"] for n in sizes]
    slope = benchmark.pedantic(np.polyfit, (np.log(sizes), np.log(seconds), 1), rounds=1)[0]
    print(f"\nexponent of the factored step in D: {slope:.3f}", end="")
    assert -0.1 <= slope <= 0.15


@pytest.mark.parametrize(("batch", "classes"), [(4096, 100), (256, 1000), (64, 100_000)])
def test_z_loss_costs_at_most_1_5_times_cross_entropy(benchmark, batch, classes):
    logits = torch.randn(batch, classes, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.randint(0, classes, (batch,), generator=torch.Generator().manual_seed(1))
    sides = {
        "ours": lambda: torch.autograd.grad(z_loss(logits, target), logits),
        "cross_entropy": lambda: torch.autograd.grad(F.cross_entropy(logits, target), logits),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 60, "warmup": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["ours"] / rounds["cross_entropy"]).median()
    print(f"\nz_loss / cross_entropy, {batch} x {classes:,}: {ratio:.2f}", end="")
    assert ratio <= 1.5
