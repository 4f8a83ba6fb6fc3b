"""All step sizes and seeds at once against a loop; iterations per second; the classic perceptron against scikit-learn."""

import numpy as np
from sklearn.linear_model import Perceptron

from simulations.costs import alternating_seconds
from simulations.engine import single_thread
from simulations.optimization.large_step_gd import _digit_pair
from theory.optimization.large_step_gd import classic_perceptron, lr_gd
from theory.optimization.perceptron import batch_perceptron
from theory.optimization.separable_data import random_problems


def median_ratio(benchmark, sides, rounds):
    """Median over rounds of the second side's seconds over the first's, on one thread."""
    with single_thread():
        table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    first, second = sides
    by_round = table.pivot(index="round", columns="side", values="seconds")
    return float((by_round[second] / by_round[first]).median())


def naive_lr_gd(Z, gamma, max_iter):
    """Gradient descent as one writes it: one problem, one step size."""
    theta, losses = np.zeros(Z.shape[1]), []
    for step in range(max_iter + 1):
        m = Z @ theta
        losses.append(np.logaddexp(0, -m).mean())
        if (m > 0).all():
            return step, theta, losses
        theta = theta + gamma / len(Z) * (Z.T @ (1 / (1 + np.exp(np.minimum(m, 700)))))
    return max_iter, theta, losses


def test_step_sizes_and_seeds_at_once_are_three_times_faster_than_a_loop(benchmark):
    rng = np.random.default_rng(0)
    Z = np.stack([random_problems(rng, 1, 40, 10, 20.0)[0] for _ in range(20)])
    gammas = np.geomspace(1, 1e6, 13)
    together = lr_gd(Z[:, None], gammas, 10_000).iterations
    alone = [[naive_lr_gd(each, gamma, 10_000)[0] for gamma in gammas] for each in Z]
    np.testing.assert_array_equal(together, alone)
    sides = {
        "at once": lambda: lr_gd(Z[:, None], gammas, 10_000),
        "loop": lambda: [naive_lr_gd(each, gamma, 10_000) for each in Z for gamma in gammas],
    }
    ratio = median_ratio(benchmark, sides, 11)
    print(f"\nnaive loop / at once, 20 problems of 40 x 10 and 13 step sizes: {ratio:.1f}", end="")
    assert ratio >= 3


def test_step_sizes_on_one_problem_are_faster_than_a_loop(benchmark):
    Z = _digit_pair(3, 8)
    gammas = np.geomspace(1, 1e6, 13)
    sides = {
        "at once": lambda: lr_gd(Z, gammas, 10_000),
        "loop": lambda: [naive_lr_gd(Z, gamma, 10_000) for gamma in gammas],
    }
    ratio = median_ratio(benchmark, sides, 11)
    print(f"\nnaive loop / at once, digits 3 and 8, 13 step sizes: {ratio:.1f}", end="")
    assert ratio >= 1


def test_ten_thousand_samples_take_five_hundred_iterations_per_second(benchmark):
    # Half of the samples are contradicted, so that no iteration is the last.
    half = np.random.default_rng(0).normal(size=(5000, 100))
    Z = np.concatenate([half, -half])
    run = _without_warnings(lambda: lr_gd(Z, 10.0, 300, record="nothing"))
    with single_thread():
        table = benchmark.pedantic(alternating_seconds, ({"run": run},), {"rounds": 7}, rounds=1)
    rate = 300 / float(table["seconds"].median())
    print(f"\niterations per second, 10,000 x 100, one step size: {rate:.0f}", end="")
    assert rate >= 500


def test_classic_perceptron_makes_the_updates_of_scikit_learns_and_is_timed_beside_it(benchmark):
    """Its compiled loop looks at one sample at a time; ours computes every margin after each update, in numpy."""
    Z = random_problems(np.random.default_rng(4), 1, 400, 20, 10.0)[0]
    y = np.where(np.arange(len(Z)) % 2, 1, -1)
    epochs = next(k for k in range(1, 100) if (Z @ _peer(k, Z, y).coef_[0] > 0).all())
    np.testing.assert_allclose(_peer(epochs, Z, y).coef_[0], classic_perceptron(Z).theta, rtol=1e-9)
    sides = {"ours": lambda: classic_perceptron(Z), "scikit-learn": lambda: _peer(epochs, Z, y)}
    ratio = median_ratio(benchmark, sides, 21)
    updates, batch = classic_perceptron(Z).iterations, batch_perceptron(Z).iterations
    print(
        f"\nscikit-learn's Perceptron ({epochs} epochs) / classic_perceptron ({updates} updates), 400 x 20: {ratio:.2f}; "
        f"the batch perceptron takes {batch} iterations",
        end="",
    )


def _peer(epochs, Z, y):
    return Perceptron(fit_intercept=False, shuffle=False, tol=None, max_iter=epochs).fit(Z * y[:, None], y)


def _without_warnings(run):
    def quiet():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return run()

    return quiet
