"""Metrics of unlearning: against naive forms, at their limits, and an interval that covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from simulations.unlearning.metrics import (
    forget_quality,
    known_share,
    membership_auc,
    model_utility,
    rouge_l_recall,
    tpr_at_fpr,
    truth_ratio,
)

LOG_PROBS = st.floats(-20, 0)


def longest_common(first, second):
    """By definition, over all subsequences of the second."""
    best = 0
    for subset in range(2 ** len(second)):
        chosen = [second[i] for i in range(len(second)) if subset >> i & 1]
        rest = iter(first)
        if all(any(token == other for other in rest) for token in chosen):
            best = max(best, len(chosen))
    return best


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), min_size=1, max_size=7))
def test_rouge_is_the_longest_common_subsequence(made, reference):
    padded = np.array([(made + [-1] * 9)[:9]])
    wanted = np.array([(reference + [-1] * 9)[:9]])
    assert_allclose(rouge_l_recall(padded, wanted), longest_common(made, reference) / len(reference))


def test_rouge_of_many_rows_is_that_of_each():
    rng = np.random.default_rng(0)
    made, wanted = rng.integers(-1, 4, (50, 8)), rng.integers(0, 4, (50, 6))
    each = [rouge_l_recall(made[i : i + 1], wanted[i : i + 1])[0] for i in range(50)]
    assert_allclose(rouge_l_recall(made, wanted), each)
    with pytest.raises(ValueError, match="row 1 has none"):
        rouge_l_recall(np.array([[1], [1]]), np.array([[1], [-1]]))


@given(arrays(float, 4, elements=LOG_PROBS), arrays(float, (4, 5), elements=LOG_PROBS))
def test_truth_ratio_is_a_geometric_mean_against_the_right_answer(right, wrong):
    expected = np.exp(wrong).prod(-1) ** (1 / 5) / np.exp(right)
    assert_allclose(truth_ratio(right, wrong), expected, rtol=1e-9)
    assert_allclose(truth_ratio(right, np.repeat(right[:, None], 3, 1)), 1)


def test_forget_quality_is_one_for_the_same_and_falls_on_both_sides():
    ratios = np.random.default_rng(0).lognormal(size=20)
    assert forget_quality(ratios, ratios) == 1
    # Twenty against twenty, wholly apart: 2 / C(40, 20).
    assert_allclose(forget_quality(ratios / 1e9, ratios), 2 / 137846528820, rtol=1e-6)
    assert_allclose(forget_quality(ratios * 1e9, ratios), 2 / 137846528820, rtol=1e-6)
    with pytest.raises(ValueError, match="at least 8"):
        forget_quality(ratios[:7], ratios)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_utility_is_the_harmonic_mean_and_below_every_other(parts):
    found = model_utility({"retain": parts})
    assert_allclose(found, len(parts) / sum(1 / p for p in parts))
    assert min(parts) - 1e-12 <= found <= np.mean(parts) + 1e-12


def test_one_collapsed_component_takes_utility_to_zero():
    assert model_utility({"retain": (1.0, 0.0, 1.0), "world": (1.0, 1.0, 1.0)}) < 1e-11
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        model_utility({"retain": (1.2,)})


def test_known_share_ignores_how_wrong_one_is():
    assert known_share(np.array([0.0, 1.0, 50.0, 0.5])) == pytest.approx(1.5 / 4)


@given(
    arrays(float, st.integers(2, 12), elements=st.floats(-3, 3).map(lambda x: round(x, 1))),
    arrays(float, st.integers(2, 12), elements=st.floats(-3, 3).map(lambda x: round(x, 1))),
)
def test_areas_are_sklearns_and_lie_in_their_interval(members, others):
    area = membership_auc(members, others)
    labels = np.r_[np.ones(len(members)), np.zeros(len(others))]
    assert_allclose(area.value, roc_auc_score(labels, np.r_[members, others]))
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert area.low < area.high
    turned = membership_auc(others, members)
    assert_allclose([turned.value, turned.low, turned.high], [1 - area.value, 1 - area.high, 1 - area.low], atol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_intervals_of_areas_cover_the_truth(shift):
    from scipy.stats import norm

    rng, truth, covered = np.random.default_rng(7), norm.cdf(shift / np.sqrt(2)), 0
    for _ in range(600):
        area = membership_auc(rng.normal(shift, size=20), rng.normal(size=20))
        covered += area.low <= truth <= area.high
    assert 0.92 <= covered / 600 <= 0.985


@given(
    arrays(float, st.integers(2, 30), elements=st.integers(-9, 9).map(float)),
    arrays(float, st.integers(2, 30), elements=st.integers(-9, 9).map(float)),
    st.floats(0, 1),
)
def test_the_rate_at_a_false_alarm_rate_is_the_best_threshold_allowed(members, others, fpr):
    thresholds = np.r_[-np.inf, np.unique(np.r_[members, others])]
    best = max((members > t).mean() for t in thresholds if (others > t).mean() <= fpr + 1e-9 / len(others))
    everyone = 1.0 if fpr >= 1 else 0.0
    assert tpr_at_fpr(members, others, fpr) == pytest.approx(max(best, everyone))
