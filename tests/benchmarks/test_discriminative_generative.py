"""Naive Bayes against scikit-learn's logistic regression, and all seeds at once against a loop of its GaussianNB."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from simulations.costs import alternating_seconds
from theory.classification.discriminative_generative import gaussian_mixture
from theory.classification.naive_bayes import GaussianNaiveBayes


def median_ratio(benchmark, sides, rounds):
    """Median over rounds of the second side's seconds over the first's."""
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds}, rounds=1)
    first, second = sides
    by_round = table.pivot(index="round", columns="side", values="seconds")
    return float((by_round[second] / by_round[first]).median())


@pytest.mark.parametrize("K", [3, 5])
def test_naive_bayes_is_twenty_times_faster_than_logistic_regression(benchmark, K):
    """On the paper's mixture; with two classes lbfgs needs only a dozen iterations there, and the ratio is about 3."""
    X, y = gaussian_mixture(5000, 400, K, np.random.default_rng(0))
    sides = {
        "naive Bayes": lambda: GaussianNaiveBayes().fit(X, y).predict(X),
        "logistic": lambda: LogisticRegression(max_iter=2000).fit(X, y).predict(X),
    }
    ratio = median_ratio(benchmark, sides, 3)
    print(f"\nlogistic / naive Bayes, fit and predict, m = 5000, n = 400, K = {K}: {ratio:.0f}", end="")
    assert ratio >= 20


@pytest.mark.parametrize("pooled", [True, False])
def test_all_seeds_at_once_are_faster_than_a_loop(benchmark, pooled):
    rng = np.random.default_rng(0)
    seeds, m, n, K = 50, 100, 30, 4
    y = np.stack([rng.permutation(np.arange(m) % K) for _ in range(seeds)])
    X = rng.normal(size=(K, n))[y] + rng.standard_normal((seeds, m, n))
    test = rng.standard_normal((500, n))
    sides = {
        "ours": lambda: GaussianNaiveBayes(pooled=pooled).fit(X, y).predict(test),
        "loop": lambda: [GaussianNB().fit(X[s], y[s]).predict(test) for s in range(seeds)],
    }
    ratio = median_ratio(benchmark, sides, 10)
    print(
        f"\nloop of GaussianNB / ours, {seeds} seeds, {'pooled' if pooled else 'per-class'} variances: {ratio:.0f}",
        end="",
    )
    assert ratio >= 5
