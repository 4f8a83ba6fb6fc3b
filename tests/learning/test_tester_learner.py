"""The tester-learner end to end: what it accepts is true, what it rejects says why, nothing about it is arbitrary."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.learning import tester_learner as simulation
from theory.learning import halfspace_data as data
from theory.learning import tester_learner as theory
from theory.learning.localized_moments import StronglyLogConcave
from theory.learning.tester_learner import TargetTesterLearner, predict_halfspace, width_schedule


def excess(w, X, w_star, rates):
    return float(((1 - 2 * rates) * (predict_halfspace(w, X) != predict_halfspace(w_star, X))).mean())


@pytest.mark.parametrize("pattern", data.MASSART_PATTERNS)
@pytest.mark.parametrize("marginal", [data.gaussian, data.ball, data.laplace, data.student_t, data.line, data.clusters])
def test_every_bound_of_a_run_holds(marginal, pattern):
    rng = np.random.default_rng([len(pattern), len(marginal.__name__)])
    X, w_star = marginal(6000, 2, rng), np.array([0.6, -0.8])
    y, rates = data.massart_labels(X, w_star, 0.05, rng, pattern=pattern)
    outcome = theory.TesterLearner(0.05, 1.0, 1e-3).fit(X, y)
    for candidate in outcome.candidates:
        tested = outcome.tested
        assert excess(candidate.w, X[tested], w_star, rates[tested]) <= candidate.excess + 1e-12
        if candidate.excess < 1:
            assert math.acos(min(candidate.w @ w_star, 1.0)) <= candidate.angle + 1e-9


def test_gaussian_points_are_accepted_with_a_bound_that_holds_for_the_law():
    rng = np.random.default_rng(0)
    X, w_star = data.gaussian(80_000, 3, rng), np.array([1.0, 2.0, -2.0]) / 3
    y, _ = data.massart_labels(X, w_star, 0.05, rng)
    outcome = theory.TesterLearner(0.05, 0.25, 0.05).fit(X, y)
    assert outcome.accepted
    assert outcome.excess < 0.25
    assert outcome.excess < outcome.population_excess < outcome.excess + 0.02
    assert outcome.w @ w_star > 0.999
    fresh = data.gaussian(100_000, 3, rng)
    assert excess(outcome.w, fresh, w_star, np.full(100_000, 0.05)) < outcome.population_excess
    assert outcome.error == (predict_halfspace(outcome.w, X[outcome.tested]) != y[outcome.tested]).mean()
    assert min(c.excess for c in outcome.candidates) == outcome.excess


@pytest.mark.parametrize("marginal", [data.hypercube, data.line, data.clusters])
def test_hostile_points_are_rejected_with_a_reason(marginal):
    rng = np.random.default_rng(0)
    X, w_star = marginal(20_000, 3, rng), np.array([1.0, 2.0, -2.0])
    y, _ = data.massart_labels(X, w_star, 0.1, rng)
    outcome = theory.TesterLearner(0.1, 0.25, 0.05).fit(X, y)
    assert not outcome.accepted
    assert outcome.excess > 0.25
    assert len(outcome.reason) > 10


@given(st.integers(0, 10_000), st.floats(0.0, 0.03))
@settings(max_examples=10, deadline=None)
def test_an_adversary_never_breaks_an_accepted_bound(seed, share):
    """Exact on the sample: against the best halfspace in the plane, found by a sweep over angles."""
    rng = np.random.default_rng(seed)
    X, pattern = data.gaussian(2000, 2, rng), data.ADVERSARIAL_PATTERNS[seed % 3]
    y = data.adversarial_labels(X, rng.standard_normal(2), share, rng, pattern=pattern)
    best = simulation._least_error(X, y)
    outcome = theory.TesterLearner(0.0, 1.0, 0.05, opt_guess=max(share, 1e-9)).fit(X, y)
    assert best <= share + 1e-12
    for candidate in outcome.candidates:
        assert candidate.error - best <= candidate.excess + 1e-12
    assert len(outcome.tested) == 2000  # nothing is random, so nothing is set aside


@pytest.mark.parametrize("seed", range(6))
def test_the_sweep_finds_the_least_error_that_brute_force_finds(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(-3, 4, (12, 2)).astype(float) + 0.01 * rng.standard_normal((12, 2)), rng.choice([-1, 1], 12)
    angles = np.linspace(0, 2 * np.pi, 200_000, endpoint=False)
    every = np.column_stack([np.cos(angles), np.sin(angles)])
    brute = ((X @ every.T < 0) != (y < 0)[:, None]).mean(axis=0).min()
    assert simulation._least_error(X, y) == pytest.approx(brute, abs=1e-12)


def test_the_sign_is_chosen_and_not_certified_where_both_err_alike():
    rng = np.random.default_rng(0)
    X = data.gaussian(40_000, 2, rng)
    y, _ = data.massart_labels(X, np.array([1.0, 0.0]), 0.02, rng)
    for labels, sign in ((y, 1), (-y, -1)):
        outcome = theory.TesterLearner(0.02, 0.3, 0.05).fit(X, labels)
        assert outcome.accepted
        assert sign * outcome.w[0] > 0.99
    # Labels without information: whatever the gradient, no direction errs clearly less than its opposite.
    coin = theory.TesterLearner(0.49, 1.0, 0.05).fit(X, rng.choice([-1, 1], len(X)))
    assert all(candidate.excess == 1 for candidate in coin.candidates)


@pytest.mark.parametrize("declared", [{"eta": 0.0}, {"eta": 0.02}, {"eta": 0.0, "opt_guess": 0.001}])
def test_labels_noisier_than_declared_are_rejected(declared):
    rng = np.random.default_rng(0)
    X = data.gaussian(20_000, 2, rng)
    y, _ = data.massart_labels(X, np.array([1.0, 0.0]), 0.3, rng)
    outcome = theory.TesterLearner(**declared, eps=0.25, delta=0.05).fit(X, y)
    assert not outcome.accepted
    assert any("wrong than were declared" in candidate.reason for candidate in outcome.candidates)


def test_target_tests_accept_their_class_promise_in_advance_and_reject_others():
    rng = np.random.default_rng(2)
    target = StronglyLogConcave(1.0, 1.25)
    for marginal, expected in ((data.gaussian, True), (data.hypercube, False)):
        X = marginal(120_000, 2, rng)
        y, _ = data.massart_labels(X, np.array([0.6, 0.8]), 0.02, rng)
        outcome = TargetTesterLearner(0.02, 0.5, 0.05, target).fit(X, y)
        assert outcome.accepted == expected
        if expected:
            assert outcome.excess == target.promised_excess(outcome.sigma, 0.02, 0.2)
        else:
            assert "test failed" in outcome.candidates[-1].reason


def test_target_tests_take_an_adversarys_share():
    rng = np.random.default_rng(0)
    X, w_star = data.gaussian(60_000, 2, rng), np.array([0.6, 0.8])
    y = data.adversarial_labels(X, w_star, 5e-5, rng)
    outcome = TargetTesterLearner(0.0, 0.5, 0.05, StronglyLogConcave(), opt_guess=5e-5).fit(X, y)
    assert outcome.accepted
    assert outcome.error <= 5e-5 + outcome.excess


def test_runs_are_reproducible_and_starts_add_candidates():
    rng = np.random.default_rng(0)
    X = data.gaussian(3000, 2, rng)
    y, _ = data.massart_labels(X, np.array([1.0, 0.0]), 0.1, rng)
    one, same, other = (theory.TesterLearner(0.1, 0.5, 0.05, seed=s).fit(X, y) for s in (0, 0, 1))
    assert [c.excess for c in one.candidates] == [c.excess for c in same.candidates]
    assert not np.array_equal(one.tested, other.tested)
    more = theory.TesterLearner(0.1, 0.5, 0.05, starts=3).fit(X, y)
    assert len(more.candidates) == 3 * len(one.candidates)


@pytest.mark.parametrize(
    "X", [np.zeros((20, 2)), np.ones((20, 3)), np.tile([[1.0, 2.0]], (20, 1)), np.eye(2)[[0, 1, 0, 1]]]
)
@pytest.mark.parametrize("eta", [0.0, 0.2])
def test_degenerate_points_are_rejected_not_crashed_on(X, eta):
    for y in (np.ones(len(X)), np.tile([1, -1], len(X) // 2)):
        outcome = theory.TesterLearner(eta, 0.1, 0.05).fit(X, y)
        assert not outcome.accepted or excess(outcome.w, X, outcome.w, np.zeros(len(X))) == 0


def test_widths_follow_the_scale_of_the_points():
    X = np.random.default_rng(0).normal(size=(10_000, 3))
    widths = width_schedule(X)
    np.testing.assert_allclose(np.diff(np.log2(widths)), -1)
    np.testing.assert_allclose(width_schedule(50 * X), 50 * np.array(widths), rtol=1e-12)
    assert len(width_schedule(X[:4])) == 1


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.TesterLearner(0.5, 0.1, 0.1), "eta"), (lambda: theory.TesterLearner(0.1, 0.0, 0.1), "eps"),
        (lambda: theory.TesterLearner(0.1, 0.1, 1.0), "delta"), (lambda: theory.TesterLearner(0.1, 0.1, 0.1, starts=0), "starts"),
        (lambda: theory.TesterLearner(0.1, 0.1, 0.1, opt_guess=0.1), "opt_guess"),
        (lambda: theory.TesterLearner(0.1, 0.1, 0.1).fit(np.eye(2)[[0, 1, 0]], np.ones(3)), "X"),
        (lambda: theory.TesterLearner(0.1, 0.1, 0.1).fit(np.ones((5, 1)), np.ones(5)), "X"),
        (lambda: theory.TesterLearner(0.1, 0.1, 0.1).fit(np.ones((4, 2)), np.array([0, 1, 1, 1])), "y"),
        (lambda: TargetTesterLearner(0.1, 0.1, 0.1, "Gaussian"), "target"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, name, unchecked):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()
