"""The tridiagonal solution against a dense one, and the estimated Jacobian penalty against the exact one.

No package on PyPI offers the penalty on the whole reconstruction: the exact penalty is the peer.
"""

import numpy as np
import torch

from neural.density.regularized_autoencoder import DisplacementEnsemble, jacobian_penalty
from simulations.costs import alternating_seconds
from theory.density.regularized_autoencoder import optimal_rcae_1d

NODES, SIGMA, DIM = 2000, 0.2, 64


def _grid():
    grid = np.linspace(-6, 6, NODES)
    return grid, np.exp(-0.5 * grid**2) + np.exp(-0.5 * (grid - 2) ** 2)


def _dense():
    grid, p = _grid()
    step = grid[1] - grid[0]
    difference = np.diff(np.eye(NODES), axis=0)
    stiffness = difference.T @ (np.sqrt(p[:-1] * p[1:])[:, None] * difference) / step
    masses = p * np.gradient(grid)
    masses[[0, -1]] /= 2
    return np.linalg.solve(np.diag(masses) + SIGMA**2 * stiffness, masses * grid)


def _tridiagonal():
    return optimal_rcae_1d(*_grid(), SIGMA)


def _ratio(benchmark, sides: dict, rounds: int) -> float:
    slow, fast = sides
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds, "warmup": 2}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    return float((seconds[slow] / seconds[fast]).median())


def test_a_tridiagonal_system_takes_a_hundredth_of_a_dense_one(benchmark):
    np.testing.assert_allclose(_tridiagonal(), _dense(), atol=1e-6)
    ratio = _ratio(benchmark, {"dense": _dense, "tridiagonal": _tridiagonal}, 5)
    print(f"\n{NODES} nodes: dense / tridiagonal {ratio:.0f}", end="")
    assert ratio >= 100


def test_one_probe_is_a_quarter_of_the_dimension_faster_than_the_exact_penalty(benchmark):
    generator = torch.Generator().manual_seed(0)
    model = DisplacementEnsemble(1, DIM, SIGMA, generator, width=256)
    x = torch.randn(1, 128, DIM, generator=generator)
    parameters = list(model.parameters())

    def gradient(estimator):
        penalty = jacobian_penalty(model, x, estimator, generator=generator).sum()
        return torch.autograd.grad(penalty, parameters, allow_unused=True)

    sides = {"exact": lambda: gradient("exact"), "one probe": lambda: gradient("hutchinson")}
    ratio = _ratio(benchmark, sides, 9)
    print(f"\npenalty and gradient, {DIM} dimensions: exact / one probe {ratio:.0f}", end="")
    assert ratio >= DIM / 4
