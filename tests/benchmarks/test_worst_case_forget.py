"""The projection by sorting against a quadratic program and against bisection, and against scipy's root finder."""

import cvxpy
import numpy as np
import pytest
from scipy.optimize import brentq

from simulations.costs import alternating_seconds
from theory.unlearning.simplex_projection import project_capped_simplex


def median_of_rounds(benchmark, sides, rounds, ratio):
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    return ratio(table.pivot(index="round", columns="side", values="seconds")).median()


def quadratic_program(v, m):
    w = cvxpy.Variable(len(v))
    constraints = [w >= 0, w <= 1, cvxpy.sum(w) == m]
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(w - v)), constraints).solve(solver=cvxpy.CLARABEL)
    return np.asarray(w.value)


@pytest.mark.parametrize(("size", "gate"), [(1_000, 20), (100_000, 100)])
def test_sorting_is_a_hundred_times_faster_than_a_quadratic_program(benchmark, size, gate):
    v = np.random.default_rng(0).normal(size=size)
    sides = {
        "sort": lambda: project_capped_simplex(v, 0.1 * size, "sort"),
        "program": lambda: quadratic_program(v, 0.1 * size),
    }
    np.testing.assert_allclose(sides["sort"](), sides["program"](), atol=1e-3)
    ratio = median_of_rounds(benchmark, sides, 3, lambda s: s["program"] / s["sort"])
    print(f"\nquadratic program / sorting, N = {size:,}: {ratio:.0f}", end="")
    assert ratio >= gate


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_bisection_and_sorting_are_not_slower_than_a_root_finder_by_much(benchmark, size):
    v = np.random.default_rng(0).normal(size=size)
    m = 0.1 * size

    def root():
        mu = brentq(lambda mu: np.clip(v - mu, 0, 1).sum() - m, v.min() - 1, v.max(), xtol=1e-9)
        return np.clip(v - mu, 0, 1)

    sides = {
        "sort": lambda: project_capped_simplex(v, m, "sort"),
        "bisection": lambda: project_capped_simplex(v, m, "bisection"),
        "root": root,
    }
    ratios = median_of_rounds(benchmark, sides, 15, lambda s: s[["sort", "bisection"]].div(s["root"], axis=0))
    print(
        f"\nover scipy's root finder, N = {size:,}: sort {ratios['sort']:.2f}, bisection {ratios['bisection']:.2f}",
        end="",
    )
    assert ratios["sort"] < 5
    assert ratios["bisection"] < 10
