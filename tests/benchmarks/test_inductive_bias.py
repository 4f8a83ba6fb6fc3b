"""Random networks in batches against one by one, per class; closed-form fits and tails against their peers."""

import numpy as np
import pytest
from scipy import stats

from simulations.costs import alternating_seconds
from simulations.learning.inductive_bias import SPEED_CLASSES, Speed, speed_sides
from theory.learning.quadratic_form_tails import ncx2_moment_fit, weighted_ncx2_logcdf

SIZES = Speed(batched=4096, looped=100)


def median_ratio(benchmark, sides, rounds: int) -> float:
    """Median over pairs of the first side's seconds by the second's, taken in turns."""
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds, "warmup": 1}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    first, second = sides
    return float((seconds[first] / seconds[second]).median())


@pytest.mark.parametrize("condition", ["prior", "interpolate"])
@pytest.mark.parametrize("space", SPEED_CLASSES)
def test_batches_evaluate_hypotheses_at_least_50_times_as_fast_as_a_loop(benchmark, space, condition):
    sides = speed_sides(SPEED_CLASSES[space], condition, SIZES, 0, "cpu")
    ratio = median_ratio(benchmark, {"loop": sides["loop"], "batched": sides["batched"]}, rounds=9)
    ratio *= SIZES.batched / SIZES.looped
    print(f"\n{space}, readout {condition}: hypotheses per second, batched / loop: {ratio:.0f}", end="")
    assert ratio >= 50


def test_moments_are_at_least_1000_times_as_fast_as_maximum_likelihood(benchmark):
    e = np.random.default_rng(0).noncentral_chisquare(10, 5, 2000)
    sides = {
        "likelihood": lambda: stats.ncx2.fit(e, floc=0),
        "moments": lambda: ncx2_moment_fit(e.mean(), e.var(ddof=1), stats.kstat(e, 3)),
    }
    ratio = median_ratio(benchmark, sides, rounds=3)
    print(f"\nncx2.fit / three moments, 2000 errors: {ratio:.0f}", end="")
    assert ratio >= 1000


def test_a_saddlepoint_tail_takes_less_than_a_millisecond(benchmark):
    w, b, eps = np.full(100, 0.01), np.zeros(100), np.linspace(0.1, 1.0, 100)
    table = benchmark.pedantic(
        alternating_seconds,
        ({"tail": lambda: weighted_ncx2_logcdf(eps, w, b)},),
        {"rounds": 20, "warmup": 2},
        rounds=1,
    )
    seconds = table["seconds"].median() / len(eps)
    print(f"\nsaddlepoint, 100 terms: {1e6 * seconds:.0f} microseconds per eps", end="")
    assert seconds < 1e-3
