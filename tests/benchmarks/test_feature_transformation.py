"""What transforming features costs on top of MoCo's loss with its queue of 65,536."""

import torch
import torch.nn.functional as F

from neural.contrastive.feature_transformation import feature_transformation_loss
from simulations.costs import alternating_seconds


def test_transformations_cost_little_beside_the_loss(benchmark):
    query, key = torch.randn(256, 128, requires_grad=True), torch.randn(256, 128)
    queue = F.normalize(torch.randn(65_536, 128), dim=1)

    def call(on: bool):
        return lambda: torch.autograd.grad(
            feature_transformation_loss(query, key, queue, positives=on, negatives=on), query
        )

    sides = {"plain": call(False), "transformed": call(True)}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 15, "warmup": 2}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["transformed"] / rounds["plain"]).median()
    print(f"\ntransformed / plain loss, batch 256, queue 65,536 x 128: {ratio:.3f}", end="")
    assert ratio <= 1.05
