"""The quadrature likelihood and its gradient in closed form, against automatic differentiation and a loop over data.

The loop's rows are vectorised over 200 points themselves, so that it loses by calls alone: about 25 times, not the
hundred that one would hope for.
"""

import math

import torch

from neural.density.singular_likelihood import log_likelihood_quadrature
from simulations.costs import alternating_seconds

SAMPLES, POINTS, DIM, SIGMA = 300, 200, 2, 0.1


def _inputs():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(size, DIM, generator=generator) for size in (SAMPLES, POINTS))


def _ours():
    x, points = _inputs()
    points.requires_grad_()
    log_likelihood_quadrature(x, points, SIGMA).mean().backward()
    return points.grad


def _constant():
    return math.log(POINTS) + DIM * (math.log(SIGMA) + 0.5 * math.log(2 * math.pi))


def _autograd():
    x, points = _inputs()
    points.requires_grad_()
    squared = (x[:, None] - points).square().sum(-1)
    (torch.logsumexp(-squared / (2 * SIGMA**2), 1) - _constant()).mean().backward()
    return points.grad


def _loop():
    x, points = _inputs()
    points.requires_grad_()
    total = torch.zeros(())
    for row in x:
        squared = (row - points).square().sum(-1)
        total = total + torch.logsumexp(-squared / (2 * SIGMA**2), 0) - _constant()
    (total / SAMPLES).backward()
    return points.grad


def test_the_likelihood_takes_a_tenth_of_a_loop_over_data(benchmark):
    torch.testing.assert_close(_ours(), _autograd(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(_ours(), _loop(), rtol=1e-4, atol=1e-6)
    sides = {"ours": _ours, "autograd": _autograd, "loop": _loop}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 15}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratios = {side: (rounds[side] / rounds["ours"]).median() for side in ("autograd", "loop")}
    print(
        f"\nlikelihood and gradient, 300 x 200: autograd {ratios['autograd']:.1f}, loop {ratios['loop']:.0f} times",
        end="",
    )
    assert ratios["autograd"] >= 1.5
    assert ratios["loop"] >= 10
