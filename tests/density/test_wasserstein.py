"""Wasserstein distances and their bounds, held against scipy, linear programming and quadrature."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from scipy.stats import wasserstein_distance

from theory.density.wasserstein import (
    BOUNDS,
    hellinger_distance,
    mean_gaussian_norm,
    smoothed_wasserstein1_1d,
    total_variation,
    wasserstein1_1d,
    wasserstein1_assignment,
    wasserstein1_sieve_bound,
)

SEEDS = st.integers(0, 10**6)


def test_the_assignment_is_the_linear_program_s():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 6, 3))
    costs = cdist(a, b)
    sums = np.concatenate([np.kron(np.eye(6), np.ones(6)), np.kron(np.ones(6), np.eye(6))])
    best = linprog(costs.ravel(), A_eq=sums, b_eq=np.full(12, 1 / 6)).fun
    assert wasserstein1_assignment(a, b) == pytest.approx(best, rel=1e-9)
    assert wasserstein1_assignment(a, a[::-1]) == 0


@given(seed=SEEDS, atoms=st.integers(1, 6), others=st.integers(1, 6))
def test_on_a_line_it_is_scipy_s(seed, atoms, others):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal(atoms).round(1), rng.standard_normal(others).round(1)
    p, q = rng.dirichlet(np.ones(atoms)), rng.dirichlet(np.ones(others))
    assert wasserstein1_1d(a, b, p, q) == pytest.approx(wasserstein_distance(a, b, p, q), abs=1e-12)
    assert wasserstein1_1d(a, b) == pytest.approx(wasserstein_distance(a, b), abs=1e-12)
    batch = wasserstein1_1d(np.stack([a, a + 1]), np.stack([b, b]))
    assert batch[0] == pytest.approx(wasserstein_distance(a, b), abs=1e-12)


@given(seed=SEEDS, atoms=st.integers(1, 5), std=st.floats(0.02, 3))
def test_smoothing_is_integrated_to_machine_precision(seed, atoms, std):
    rng = np.random.default_rng(seed)
    a, p = np.sort(rng.random(atoms)), rng.dirichlet(np.ones(atoms))

    def gap(x):
        return abs((p * (x >= a)).sum() - (p * ndtr((x - a) / std)).sum())

    ends = np.concatenate([[a[0] - 9 * std], a, [a[-1] + 9 * std]])
    expected = sum(quad(gap, low, high, limit=200)[0] for low, high in pairwise(ends) if high > low)
    found = float(smoothed_wasserstein1_1d(a, p, std))
    assert found == pytest.approx(expected, abs=1e-7)
    assert found <= std * mean_gaussian_norm(1) * (1 + 1e-12)


def test_a_point_attains_the_bound_in_any_dimension():
    assert smoothed_wasserstein1_1d(np.array([3.0]), np.array([1.0]), 0.2) == pytest.approx(0.2 * mean_gaussian_norm(1))
    rng = np.random.default_rng(0)
    for dim in (1, 2, 30):
        norms = np.linalg.norm(rng.standard_normal((40_000, dim)), axis=1)
        assert mean_gaussian_norm(dim) == pytest.approx(norms.mean(), abs=4 * norms.std() / 200)
        assert mean_gaussian_norm(dim) < np.sqrt(dim)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold(bound):
    report = bound.check(1_000, seed=1)
    assert report.holds
    assert report.worst_ratio > 0.5


@settings(max_examples=30)
@given(seed=SEEDS)
def test_singular_laws_are_as_close_as_their_smoothed_forms_allow_in_the_plane(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 4, 2))
    s, t = rng.uniform(0.1, 1, 2)
    low, high = -6.0, 7.0
    axis = np.linspace(low, high, 131)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    p, q = (
        np.exp(-0.5 * cdist(grid, c, "sqeuclidean") / v**2).mean(1) / (2 * np.pi * v**2) for c, v in ((a, s), (b, t))
    )
    affinity = min(1.0, float(np.sqrt(p * q).sum() * (axis[1] - axis[0]) ** 2))
    bound = wasserstein1_sieve_bound(np.sqrt(1 - affinity), np.sqrt(2), s, t, 2)
    assert wasserstein1_assignment(a, b) <= bound + 1e-9


def test_the_sieve_s_bound_fails_without_the_noise_s_share():
    # Two points one apart, smoothed so much that their laws can hardly be told apart.
    hellinger = np.sqrt(1 - np.exp(-1 / (8 * 5.0**2)))
    assert wasserstein1_sieve_bound(hellinger, 1.0, 5.0, 5.0, 1) > 1
    assert wasserstein1_sieve_bound(hellinger, 1.0, 0.0, 0.0, 1) < 1


def test_distances_between_distributions():
    p, q = np.array([0.2, 0.8, 0.0]), np.array([0.2, 0.0, 0.8])
    assert total_variation(p, q) == pytest.approx(0.8)
    assert hellinger_distance(p, q) == pytest.approx(np.sqrt(0.8))
    assert total_variation(p, p) == hellinger_distance(p, p) == 0


def test_bad_inputs_say_what_is_wrong(unchecked):
    with pytest.raises(ValueError, match="shapes must agree, got a"):
        wasserstein1_assignment(np.zeros((2, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="same batch"):
        wasserstein1_1d(np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="std must be above 0"):
        smoothed_wasserstein1_1d(np.zeros(1), np.ones(1), 0.0)
