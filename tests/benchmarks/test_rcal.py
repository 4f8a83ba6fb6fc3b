"""Sampling of all class Gaussians at once against a loop over multivariate_normal."""

import numpy as np
import pytest

from simulations.costs import alternating_seconds
from theory.classification.representation_calibration import ClassStats, sample_gaussian_classes


# With more samples, drawing the normals, the same work on both sides, outweighs the factorisations.
@pytest.mark.parametrize("per_class", [20, 100])
def test_batched_sampling_is_faster_than_a_loop_for_a_hundred_classes(benchmark, per_class):
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((100, 16, 16))
    stats = ClassStats(rng.standard_normal((100, 16)), roots @ roots.swapaxes(1, 2), np.full(100, 50))

    def loop():
        drawn = np.random.default_rng(1)
        return [drawn.multivariate_normal(m, S, per_class) for m, S in zip(stats.mean, stats.cov, strict=True)]

    sides = {"ours": lambda: sample_gaussian_classes(stats, per_class, np.random.default_rng(1)), "loop": loop}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 40, "warmup": 3}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["loop"] / rounds["ours"]).median()
    print(f"\nloop over multivariate_normal / batched, 100 classes, {per_class} each: {ratio:.1f}", end="")
    assert ratio >= 5
