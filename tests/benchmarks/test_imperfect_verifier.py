"""The exact form of an accuracy curve against the shuffling that it replaces."""

import numpy as np

from simulations.costs import alternating_seconds
from simulations.learning.resampling_checks import shuffled_accuracy
from theory.learning.imperfect_verifier import optimal_attempts, permutation_outcomes, reward_curve


def test_closed_form_is_a_hundred_times_faster_than_shuffling(benchmark):
    rng = np.random.default_rng(0)
    correct = rng.random((150, 200)) < rng.random((150, 1))
    accept = correct | (rng.random(correct.shape) < 0.15)
    attempts = np.arange(1, 201)
    exact, shuffled = permutation_outcomes(correct, accept, attempts)[0].mean(axis=0), []
    sides = {
        "closed form": lambda: permutation_outcomes(correct, accept, attempts)[0].mean(axis=0),
        "shuffling": lambda: shuffled.append(shuffled_accuracy(correct, accept, attempts, 1000, rng)),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    np.testing.assert_allclose(np.mean(shuffled, axis=0), exact, atol=2e-3)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["shuffling"] / rounds["closed form"]).median()
    print(f"\nshuffling 1000 times / closed form, 150 tasks of 200 samples, all K: {ratio:.0f}", end="")
    assert ratio >= 100


def test_the_exact_optimum_costs_less_than_the_curve_it_does_not_need(benchmark):
    rng = np.random.default_rng(0)
    r = rng.random(150)
    p, q = r, 0.2 * (1 - r)
    sides = {
        "search": lambda: optimal_attempts(p, q, -2.0),
        "curve": lambda: int(reward_curve(p, q, -2.0, 2000).argmax()),
    }
    assert sides["search"]() == sides["curve"]()
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 50, "warmup": 3}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["curve"] / rounds["search"]).median()
    print(f"\ncurve of 2000 attempts / exact search, 150 tasks: {ratio:.1f}", end="")
    assert ratio >= 1
