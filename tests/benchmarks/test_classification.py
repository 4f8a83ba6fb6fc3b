"""Comp-sum losses against torch's cross-entropy, and the inverse transform against a root-finding loop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import brentq

from neural.classification.comp_sum import comp_sum
from simulations.costs import alternating_seconds
from theory.classification.comp_sum import gamma, transform


@pytest.mark.parametrize(("batch", "classes"), [(4096, 100), (256, 1000)])
@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_comp_sum_costs_at_most_1_3_times_cross_entropy(benchmark, batch, classes, tau):
    logits = torch.randn(batch, classes, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.randint(0, classes, (batch,), generator=torch.Generator().manual_seed(1))
    sides = {
        "ours": lambda: torch.autograd.grad(comp_sum(logits, target, tau), logits),
        "cross_entropy": lambda: torch.autograd.grad(F.cross_entropy(logits, target), logits),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 200, "warmup": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["ours"] / rounds["cross_entropy"]).median()
    print(f"\ncomp_sum / cross_entropy, tau = {tau}, {batch} x {classes}: {ratio:.2f}", end="")
    assert ratio <= 1.3


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_gamma_is_a_hundred_times_faster_than_a_root_finding_loop(benchmark, tau):
    largest = float(transform(1.0, tau, 10))
    values = np.random.default_rng(0).uniform(0, largest, 100_000)
    few = values[:200]

    def loop():
        return [brentq(lambda beta, t=t: float(transform(beta, tau, 10)) - t, 0.0, 1.0) for t in few]

    np.testing.assert_allclose(gamma(few, tau, 10), loop(), atol=1e-9)
    table = benchmark.pedantic(
        alternating_seconds, ({"ours": lambda: gamma(values, tau, 10), "loop": loop},), {"rounds": 3}, rounds=1
    )
    medians = table.groupby("side")["seconds"].median()
    ratio = medians["loop"] / len(few) * len(values) / medians["ours"]
    print(f"\nbrentq loop / gamma on {len(values):,} values, tau = {tau}: {ratio:.0f}", end="")
    assert ratio >= 100
