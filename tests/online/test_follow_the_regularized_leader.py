"""Entropy and the log-barrier: against solvers, their bounds, the constants of the lemma, and where entropy fails."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import brentq
from scipy.special import softmax

from theory.fuzz import bound_ratio
from theory.online import follow_the_regularized_leader as ftrl

EXAMPLES = settings(max_examples=60, deadline=None)
scores = arrays(np.float64, st.integers(1, 8), elements=st.floats(-1e6, 1e6))


@EXAMPLES
@given(scores, st.floats(-6, 3))
def test_the_log_barrier_satisfies_its_optimality_conditions(x, exponent):
    x = x * 10.0**exponent
    p = ftrl.ftrl_log_barrier(x)
    assert_allclose(p.sum(), 1, rtol=1e-12)
    assert p.min() > 0
    # p_a (x_a + lambda) = 1 for one lambda, between 1 and A above the least x
    multiplier = 1 / p - (x - x.min())
    scale = 1 + np.abs(x - x.min()).max()
    assert np.ptp(multiplier) <= 1e-9 * scale
    assert 1 - 1e-9 * scale <= multiplier.min()
    assert multiplier[x.argmin()] <= len(x) + 1e-9


@EXAMPLES
@given(arrays(np.float64, st.integers(2, 6), elements=st.floats(0, 50)))
def test_the_log_barrier_is_what_bisection_finds(x):
    x = x - x.min()
    multiplier = brentq(lambda lam: (1 / (x + lam)).sum() - 1, 1 - 1e-12, len(x) + 1e-9, xtol=1e-14)
    assert_allclose(ftrl.ftrl_log_barrier(x), 1 / (x + multiplier), rtol=1e-9)


def test_the_log_barrier_is_what_a_convex_solver_finds():
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 10.0):
        x = scale * rng.normal(size=5)
        p = cvxpy.Variable(5)
        cvxpy.Problem(cvxpy.Minimize(p @ x - cvxpy.sum(cvxpy.log(p))), [cvxpy.sum(p) == 1]).solve(
            solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
        )
        assert_allclose(ftrl.ftrl_log_barrier(x), p.value, atol=1e-6)


@EXAMPLES
@given(scores)
def test_entropy_is_the_softmax(x):
    assert_allclose(ftrl.ftrl_entropy(x), softmax(-x), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("play", [ftrl.ftrl_entropy, ftrl.ftrl_log_barrier])
def test_plays_do_not_change_with_a_shift_and_split_evenly_among_equals(play):
    x = np.array([[0.3, -2.0, 5.0], [1.0, 1.0, 1.0]])
    assert_allclose(play(x + 7.0), play(x), rtol=1e-12)
    assert_allclose(play(x)[1], 1 / 3, rtol=1e-15)
    assert_allclose(play(np.array([4.0])), [1.0])
    assert_allclose(play(np.array([0.0, 1e300])), [1.0, 0.0], atol=1e-12)


def test_a_warm_start_from_either_side_leads_to_the_same_plays():
    x = np.random.default_rng(1).exponential(3.0, (50, 6))
    plays, multiplier = ftrl.log_barrier_plays(x)
    for start in (1.0, 6.0, 1e4, multiplier):
        assert_allclose(ftrl.log_barrier_plays(x, start)[0], plays, rtol=1e-12)


def test_plays_in_each_round_follow_from_the_losses_before_it():
    rng = np.random.default_rng(2)
    c = rng.normal(size=(4, 7, 3))
    eta = np.array([0.1, 0.5, 1.0, 2.0])
    for name, play in (("entropy", ftrl.ftrl_entropy), ("log_barrier", ftrl.ftrl_log_barrier)):
        p = ftrl.ftrl_plays(c, eta, name)
        for t in range(7):
            assert_allclose(p[:, t], play(eta[:, None] * c[:, :t].sum(axis=1)), rtol=1e-10)


# the lemma -------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 6), st.integers(1, 60))
def test_the_log_barrier_bound_holds_for_any_losses_with_the_constant_one_half(seed, actions, rounds):
    c, eta = ftrl.random_sequences(np.random.default_rng(seed), 50, rounds, actions)
    p = ftrl.ftrl_plays(c, eta, "log_barrier")
    ratio = bound_ratio(ftrl.comparator_regret(p, c), ftrl.log_barrier_bound(p, c, eta))
    assert ratio.max() <= 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 6), st.integers(1, 60))
def test_the_entropy_bound_holds_where_eta_c_is_at_least_minus_one(seed, actions, rounds):
    c, eta = ftrl.random_sequences(np.random.default_rng(seed), 50, rounds, actions, lowest=-1.0)
    assert (eta[:, None, None] * c).min() >= -1 - 1e-12
    p = ftrl.ftrl_plays(c, eta, "entropy")
    assert bound_ratio(ftrl.comparator_regret(p, c), ftrl.entropy_bound(p, c, eta)).max() <= 1 + 1e-9


def test_the_entropy_bound_fails_without_that_and_by_any_factor():
    c = ftrl.entropy_counterexample()
    p = ftrl.ftrl_plays(c, 1.0, "entropy")
    ours = ftrl.ftrl_plays(c, 1.0, "log_barrier")
    against_arm = (p * c).sum() - c.sum(axis=0).min()
    assert_allclose([against_arm, ftrl.entropy_bound(p, c, 1.0)], [5.896, 0.700], atol=1e-3)
    assert ftrl.comparator_regret(ours, c) < ftrl.log_barrier_bound(ours, c, 1.0) < 63.1
    ratios = []
    for size in (20, 200, 2000):
        c = ftrl.entropy_counterexample(100 * size, 0.01, 2.0 * size)
        p = ftrl.ftrl_plays(c, 1.0, "entropy")
        ratios.append(float(ftrl.comparator_regret(p, c) / ftrl.entropy_bound(p, c, 1.0)))
    assert_allclose(np.array(ratios) / [20, 200, 2000], 1 / 0.7, rtol=0.1)


def test_one_half_cannot_be_improved():
    """One step at a vertex: regret against a nearby point divided by what the bound allows for stability."""
    gains = []
    for p, w in ((0.5, -1e-3), (0.9, -1e-3), (0.999, -1e-5)):
        u = 1 / (1 + w)
        gains.append(((1 - u) * w - (u - 1 - math.log(u))) / (w**2 / (2 * p)))
    assert_allclose(gains, [0.5, 0.9, 0.999], rtol=2e-3)


def test_comparators_are_the_mixed_vertices():
    rng = np.random.default_rng(3)
    p, c = rng.dirichlet(np.ones(3), 8), rng.normal(size=(8, 3))
    regrets = [((p - ((1 - 1 / 8) * np.eye(3)[a] + 1 / 24)) * c).sum() for a in range(3)]
    assert_allclose(ftrl.comparator_regret(p, c), max(regrets))


def test_bounds_are_their_formulas():
    rng = np.random.default_rng(4)
    p, c = rng.dirichlet(np.ones(3), (2, 8)), rng.normal(size=(2, 8, 3))
    local = (p * c * c).sum(axis=(1, 2))
    assert_allclose(ftrl.log_barrier_bound(p, c, 0.3), 2 * math.log(8) / 0.3 + 0.15 * local)
    assert_allclose(ftrl.log_barrier_bound(p, c, 0.3, stability=2.0), 2 * math.log(8) / 0.3 + 0.6 * local)
    assert_allclose(ftrl.entropy_bound(p, c, 0.3), math.log(3) / 0.3 + 0.3 * local)


def test_the_penalty_of_the_comparator_is_what_the_proof_says():
    for T, A in ((2, 2), (10, 3), (60, 5)):
        y = np.full(A, 1 / (A * T))
        y[0] += 1 - 1 / T
        penalty = np.log(1 / y).sum() - A * math.log(A)
        assert_allclose(penalty, (A - 1) * math.log(T) - math.log(A - (A - 1) / T))
        assert penalty <= (A - 1) * math.log(T)


def test_the_scalar_steps_of_the_proof_are_certified():
    pytest.importorskip("sympy")
    pytest.importorskip("flint")
    for name, certificate in ftrl.certified_steps().items():
        assert certificate.proved, name


@pytest.mark.parametrize("bound", ftrl.BOUNDS, ids=lambda b: b.name)
def test_fuzzing_finds_no_violation(bound):
    report = bound.check(4000, seed=1)
    assert report.holds, report.witness
    assert report.worst_ratio > 0.1


def test_bad_arguments_are_named(unchecked):
    with pytest.raises(ValueError, match="x must be finite"):
        ftrl.ftrl_log_barrier(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="x must have shape"):
        ftrl.ftrl_entropy(np.array(1.0))
    with pytest.raises(ValueError, match="regularizer must be one of"):
        ftrl.ftrl_plays(np.zeros((2, 2)), 1.0, "tsallis")
    with pytest.raises(ValueError, match="eta must be above 0"):
        ftrl.log_barrier_bound(np.full((2, 2), 0.5), np.zeros((2, 2)), 0.0)
    with pytest.raises(ValueError, match="shapes must agree"):
        ftrl.entropy_bound(np.full((2, 2), 0.5), np.zeros((3, 2)), 1.0)
