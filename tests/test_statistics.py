"""The decision rules: what their intervals cover, and that each can say each thing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations import statistics
from simulations.contract import Verdict


@pytest.mark.parametrize("replicates", [5, 12])
def test_t_interval_covers_the_mean_of_normal_replicates_in_95_percent(replicates):
    rng = np.random.default_rng(1)
    hits = [(e := statistics.interval(row)).low <= 0.3 <= e.high for row in rng.normal(0.3, 2.0, (4000, replicates))]
    assert abs(np.mean(hits) - 0.95) < 0.012  # 3.5 standard errors


def test_bootstrap_interval_covers_the_mean_of_skewed_replicates():
    rng = np.random.default_rng(2)
    hits = [(e := statistics.interval(row)).low <= 1.0 <= e.high for row in rng.gamma(4.0, 0.25, (150, 30))]
    assert 0.87 <= np.mean(hits) <= 0.99


def test_chance_supports_a_false_trend_in_two_and_a_half_percent():
    rng = np.random.default_rng(3)
    supported = [statistics.trend(row, "x", above=0.0).outcome == "supported" for row in rng.normal(0, 1, (4000, 5))]
    assert abs(np.mean(supported) - statistics.CHANCE_OF_SUPPORT) < 0.009


def test_p_value_agrees_with_the_interval():
    rng = np.random.default_rng(4)
    for row in rng.normal(0.5, 1, (300, 6)):
        verdict = statistics.trend(row, "x", above=0.0)
        assert (verdict.p_value < statistics.CHANCE_OF_SUPPORT) == (verdict.outcome == "supported")


def test_p_value_is_that_of_the_t_test():
    from scipy import stats

    sample = [0.3, 0.9, -0.2, 0.4]
    assert statistics.trend(sample, "x", above=0.1).p_value == pytest.approx(
        stats.ttest_1samp(sample, 0.1, alternative="greater").pvalue, rel=1e-12
    )
    assert statistics.trend(sample, "x", below=0.1).p_value == pytest.approx(
        stats.ttest_1samp(sample, 0.1, alternative="less").pvalue, rel=1e-12
    )


@given(st.floats(-1e6, 1e6), st.integers(2, 40))
def test_no_variation_gives_a_point_never_nan(value, replicates):
    estimate = statistics.interval([value] * replicates)
    assert estimate.low == estimate.mean == estimate.high == pytest.approx(value)


def test_one_replicate_of_something_random_decides_nothing():
    assert statistics.trend([5.0], "x", above=0.0).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("values", "outcome"),
    [((1.0, 1.1, 1.2), "supported"), ((-1.0, -1.1, -1.2), "refuted"), ((-1, 0, 1), "inconclusive")],
)
def test_trend_says_each_thing(values, outcome):
    assert statistics.trend(values, "x", above=0.0).outcome == outcome
    mirrored = {"supported": "refuted", "refuted": "supported"}.get(outcome, outcome)
    assert statistics.trend(values, "x", below=0.0).outcome == mirrored


def test_equal_to_the_threshold_is_neither_above_nor_below():
    assert statistics.trend([2.0, 2.0], "x", above=2.0).outcome == "inconclusive"
    assert statistics.trend([2.0, 2.0], "x", below=2.0).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("values", "outcome"), [((1.0, 1.01), "supported"), ((3.0, 3.01), "refuted"), ((0.0, 2.4), "inconclusive")]
)
def test_within_says_each_thing(values, outcome):
    assert statistics.within(values, "x", low=0.5, high=1.5).outcome == outcome


def test_identity_is_refuted_by_one_error_and_by_nan():
    assert statistics.identity([1e-15, -1e-14], "x", tolerance=1e-12).outcome == "supported"
    assert statistics.identity([1e-15, -1e-11], "x", tolerance=1e-12).outcome == "refuted"
    assert statistics.identity([1e-15, np.nan], "x", tolerance=1e-12).outcome == "refuted"


def test_bound_needs_its_instances_and_a_witness_to_be_supported():
    assert statistics.bound(0.9, "x", instances=100, required=100, witness="here").outcome == "supported"
    assert statistics.bound(0.9, "x", instances=99, required=100, witness="here").outcome == "inconclusive"
    assert statistics.bound(0.9, "x", instances=100, required=100).outcome == "inconclusive"
    assert statistics.bound(1.001, "x", instances=1, required=100).outcome == "refuted"


def test_all_of_takes_the_worst_outcome_and_the_largest_p_value():
    good = statistics.trend([1.0, 1.1, 1.2], "good", above=0.0)
    better = statistics.trend([9.0, 9.1, 9.2], "better", above=0.0)
    open_ = statistics.trend([-1.0, 0.0, 1.0], "open", above=0.0)
    bad = statistics.trend([-1.0, -1.1, -1.2], "bad", above=0.0)
    assert statistics.all_of([better, good]).p_value == good.p_value
    assert statistics.all_of([good, open_]).outcome == "inconclusive"
    assert statistics.all_of([open_, bad, good]).outcome == "refuted"
    assert statistics.all_of([open_, bad, good]).measured == bad.measured


def test_paired_differences_are_taken_within_replicates():
    table = pd.DataFrame({"replicate": [0, 0, 1, 1], "m": ["a", "b", "b", "a"], "v": [3.0, 1.0, 10.0, 14.0]})
    assert statistics.paired(table, "v", "m", "a", "b").tolist() == [2.0, 4.0]
    with pytest.raises(ValueError, match="needs 'v' for m in"):
        statistics.paired(table.iloc[:3], "v", "m", "a", "b")


def test_log_log_slope_recovers_the_exponent_of_a_power_law():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    table = pd.concat([pd.DataFrame({"replicate": k, "x": x, "y": 3 * x ** (-1.5 - k)}) for k in range(2)])
    assert statistics.log_log_slopes(table, "x", "y") == pytest.approx([-1.5, -2.5], abs=1e-12)


def test_benjamini_hochberg_by_hand():
    # sorted p against level k/m: .01 <= .0125, .02 <= .025, .03 <= .0375, .2 > .05
    assert statistics.benjamini_hochberg([0.2, 0.01, 0.03, 0.02]) == [False, True, True, True]
    assert statistics.benjamini_hochberg([]) == []


def test_a_verdict_never_rests_on_nan():
    with pytest.raises(ValueError, match="must not rest on NaN"):
        Verdict("supported", np.nan, 0.0, 0.0, 0.0, "x")


@pytest.mark.parametrize("values", [[], [np.nan, 1.0], [np.inf, 1.0]])
def test_interval_refuses_what_is_not_finite(values):
    with pytest.raises(ValueError, match="finite numbers"):
        statistics.interval(values)
