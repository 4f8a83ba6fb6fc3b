"""Searching an unknown level: one call of the network for the whole grid, against one call for each of 50 levels.

Both sides still apply the formula and the criterion for every level, so that the ratio is less than 50; the larger the
network, the closer it comes.
"""

import torch

from neural.density.noise2score import Noise2Score, ScoreCNN, estimate_noise_parameter
from simulations.costs import alternating_seconds

GRID = [(5 + k) / 255 for k in range(1, 51)]


def _inputs():
    generator = torch.Generator().manual_seed(0)
    network = ScoreCNN(1, 48, 8, generator=generator)
    return network, torch.rand(1, 1, 64, 64, generator=generator)


def _variation(image):
    return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()


def test_a_search_of_the_level_costs_about_one_call_of_the_network(benchmark):
    network, y = _inputs()

    def ours():
        return estimate_noise_parameter(y, network, "gaussian", GRID)[1]

    def loop():
        denoiser = Noise2Score(network)
        return torch.stack([_variation(denoiser.denoise(y, "gaussian", sigma)) for sigma in GRID])

    def once():
        return Noise2Score(network).denoise(y, "gaussian", GRID[0])

    torch.testing.assert_close(ours(), loop())
    sides = {"ours": ours, "loop": loop, "once": once}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 15}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    saved, overhead = ((rounds[a] / rounds[b]).median() for a, b in (("loop", "ours"), ("ours", "once")))
    print(f"\nsearch over 50 levels: {saved:.0f} times faster, {overhead:.2f} times one denoising", end="")
    assert saved >= 20
