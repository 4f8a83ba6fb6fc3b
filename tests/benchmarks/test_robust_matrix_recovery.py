"""SubGM against a loop over measurements, against full storage, and against the convex programme."""

import numpy as np
import pytest

from simulations.costs import alternating_seconds
from theory.optimization.matrix_measurements import SymmetricMeasurements, make_robust_recovery_problem
from theory.optimization.robust_matrix_recovery import convex_recovery, spectral_start, subgm


def median_ratio(benchmark, sides, rounds):
    """Median over rounds of the second side's seconds over the first's."""
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    first, second = sides
    by_round = table.pivot(index="round", columns="side", values="seconds")
    return float((by_round[second] / by_round[first]).median())


def loop(A, y, U, steps, eta0=0.4, rho=0.985):
    """Sub-gradient steps as they are written: one measurement at a time."""
    d = len(U)
    for t in range(steps):
        X, D = U @ U.T, np.zeros((d, d))
        for a, value in zip(A, y, strict=True):
            matrix = a.reshape(d, d)
            D += np.sign(np.sum(matrix * X) - value) * (matrix + matrix.T) / 2
        D /= len(y)
        U = U - eta0 * rho**t / np.linalg.norm(D, 2) * (D @ U)
    return U


def test_steps_are_fifty_times_faster_than_a_loop_over_measurements(benchmark):
    problem = make_robust_recovery_problem(20, 3, 1800, p=0.1, seed=0)
    start = spectral_start(problem.A, problem.y, 20, alpha=1e-2)
    ours = subgm(problem.A, problem.y, 20, steps=50, init=start).U
    np.testing.assert_allclose(ours, loop(problem.A, problem.y, start, 50), atol=1e-10)
    sides = {
        "ours": lambda: subgm(problem.A, problem.y, 20, steps=50, init=start),
        "loop": lambda: loop(problem.A, problem.y, start, 50),
    }
    ratio = median_ratio(benchmark, sides, 5)
    print(f"\nloop over measurements / SubGM, 50 steps, m = 1800, d = 20: {ratio:.0f}", end="")
    assert ratio >= 50


@pytest.mark.parametrize("m", [1800, 7200])
def test_half_storage_is_faster_than_full_storage(benchmark, m):
    problem = make_robust_recovery_problem(20, 3, m, p=0.1, seed=0)
    A, y, X = problem.A, problem.y, np.eye(20)
    half = SymmetricMeasurements(A)
    sides = {
        "half": lambda: [half.sum_of(np.sign(half.rows_of(X) - y)) for _ in range(50)],
        "full": lambda: [((D := (np.sign(A @ X.ravel() - y) @ A).reshape(20, 20)) + D.T) / 2 for _ in range(50)],
    }
    np.testing.assert_allclose(sides["half"]()[0], sides["full"]()[0], atol=1e-9)
    ratio = median_ratio(benchmark, sides, 21)
    print(f"\nfull / half storage, sub-gradient, m = {m}, d = 20: {ratio:.2f}", end="")
    assert ratio >= 1.2


@pytest.mark.parametrize("solver", ["CLARABEL", "SCS"])
def test_subgm_is_a_hundred_times_faster_than_the_convex_programme_and_no_less_accurate(benchmark, solver):
    """The same measurements, rank unknown to either; alpha, eta0, rho and steps were chosen on other instances."""
    problems = [make_robust_recovery_problem(20, 3, 1800, p=0.1, seed=seed) for seed in range(3)]
    errors = {"SubGM": [], solver: []}

    def recover(method):
        for problem in problems:
            X = convex_recovery(problem.A, problem.y, solver=solver) if method == solver else _subgm(problem)
            errors[method].append(float(np.linalg.norm(X - problem.X)))

    sides = {method: (lambda method=method: recover(method)) for method in errors}
    ratio = median_ratio(benchmark, sides, 3)
    ours, theirs = (float(np.median(errors[method])) for method in errors)
    print(
        f"\n{solver} / SubGM, m = 1800, d = 20, 10 % outliers: {ratio:.0f}, errors {theirs:.1e} and {ours:.1e}", end=""
    )
    assert ours <= theirs
    assert ratio >= 100


def _subgm(problem):
    U = subgm(problem.A, problem.y, 20, alpha=1e-8, eta0=12.0, rho=0.8, steps=95).U
    return U @ U.T
