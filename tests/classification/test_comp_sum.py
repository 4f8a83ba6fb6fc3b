"""Comp-sum losses: the family, its calibration, gaps and robust version; both implementations held together."""

import itertools
import math
import re

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax, softmax
from torch import nn

from neural.classification import adversarial as robust
from neural.classification.comp_sum import CompSumLoss, comp_sum
from theory.classification import comp_sum as theory
from theory.classification import comp_sum_adversarial as tables
from theory.classification.comp_sum import HConsistencyBound
from theory.classification.finite_linear_model import FiniteLinearModel
from theory.fuzz import check_bound

TAUS = (0.0, 0.3, 0.7, 1.0, 1.3, 1.7, 2.0, 2.5, 3.0)
BETAS = np.concatenate([np.logspace(-9, -2, 15), np.linspace(0.02, 1, 50)])
EXAMPLES = settings(max_examples=20, deadline=None)
FEW = settings(max_examples=8, deadline=None)
finite = st.floats(-20, 20)
taus = st.one_of(
    st.sampled_from(TAUS), st.floats(0, 4), st.floats(1.9, 2.0), st.just(2 - 2**-52), st.floats(1 - 1e-6, 1 + 1e-6)
)


def random_distributions(rng, count, n):
    """From nearly one-hot to nearly flat."""
    weights = rng.gamma(10.0 ** rng.uniform(-1.5, 1.5, (count, 1)), size=(count, n)) + 1e-300
    return weights / weights.sum(axis=1, keepdims=True)


# the family --------------------------------------------------------------------------------------


@EXAMPLES
@given(arrays(float, 4, elements=finite), st.integers(0, 3))
def test_members_of_the_family_are_the_known_losses(scores, y):
    s = softmax(scores)
    others = np.exp(np.delete(scores, y) - scores[y]).sum()
    for tau, expected in (
        (0.0, others), (1.0, -log_softmax(scores)[y]), (1.7, (1 - s[y] ** 0.7) / 0.7), (2.0, 1 - s[y]),
    ):  # fmt: skip
        assert_allclose(theory.comp_sum_loss(scores, y, tau), expected, rtol=1e-9, atol=1e-13)


@EXAMPLES
@given(arrays(float, 5, elements=finite), st.integers(0, 4), taus, st.floats(0, 3), st.floats(-100, 100))
def test_loss_is_shift_invariant_and_does_not_increase_in_tau(scores, y, tau, more, shift):
    loss = theory.comp_sum_loss(scores, y, tau)
    assert_allclose(theory.comp_sum_loss(scores + shift, y, tau), loss, rtol=1e-9, atol=1e-12)
    assert theory.comp_sum_loss(scores, y, tau + more) <= loss * (1 + 1e-12) + 1e-15
    assert 0 <= loss <= (np.inf if tau <= 1 else 1 / (tau - 1))


@EXAMPLES
@given(arrays(float, 3, elements=st.floats(-3, 3)), st.integers(0, 2))
def test_loss_is_continuous_at_cross_entropy(scores, y):
    middle = theory.comp_sum_loss(scores, y, 1.0)
    for step in (1e-4, 1e-9, 1e-13):
        for tau in (1 - step, 1 + step):
            # d l/d tau at 1 is −(log S)²/2
            assert abs(theory.comp_sum_loss(scores, y, tau) - middle) <= step * middle**2 + 1e-15


@EXAMPLES
@given(st.floats(0, 1e6), taus, st.floats(0, 100))
def test_phi_is_concave_lipschitz_and_composes_the_family(u, tau, step):
    low, middle, high = theory.comp_sum_phi(np.array([u, u + step / 2, u + step]), tau)
    assert high - low <= step * (1 + 1e-9) + 1e-9 * (1 + low)
    assert 2 * middle >= low + high - 1e-9 * (1 + high)
    scores = np.array([0.0, np.log(u + 1e-300)])
    assert_allclose(theory.comp_sum_loss(scores, 0, tau), low, rtol=1e-9, atol=1e-12)


def test_labels_broadcast_against_scores():
    scores = np.arange(6.0).reshape(2, 3)
    assert theory.comp_sum_loss(scores, np.array([[0], [1], [2], [0]]), 1.5).shape == (4, 2)


# conditional risk --------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0, 1.7, 2.0, 2.5])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_conditional_minimum_is_what_numerical_minimisation_finds(tau, n):
    rng = np.random.default_rng(n)
    for p in random_distributions(rng, 2, n):

        def risk(h, p=p):
            return float(p @ theory.comp_sum_loss(h, np.arange(n), tau))

        least = theory.conditional_min(p, tau)
        starts = [np.zeros(n)] if tau < 2 else [4.0 * np.eye(n)[y] for y in range(n)]
        found = min(minimize(risk, start, method="BFGS").fun for start in starts)
        assert least <= found + 1e-12
        assert_allclose(found, least, atol=2e-5, rtol=1e-6)


@EXAMPLES
@given(arrays(float, 4, elements=st.floats(0, 1)).filter(lambda w: w.sum() > 0.1), st.floats(0, 1.999))
def test_regret_vanishes_at_the_minimiser_also_with_zero_probabilities(weights, tau):
    p = weights / weights.sum()
    with np.errstate(divide="ignore"):
        scores = np.maximum(np.log(p) / (2 - tau), -700)
    regret = theory.conditional_regret(p, scores, tau)
    # In logarithms cut at −700 a label of probability e^{−700 (2 − tau)} is not at its optimum.
    assert abs(regret) <= 1e-9 + 2 * np.exp(-600 * (2 - tau)) / max(tau - 1, 1)


def test_conditional_minimum_near_the_seams_agrees_with_high_precision():
    p = np.array([0.45, 0.3, 0.25, 0.0])
    for tau in (0.0, 1 - 1e-9, 1 + 1e-12, 1.2, 1.9, 1.99999, 2 - 1e-12):
        with mpmath.workdps(40):
            t = mpmath.mpf(tau)
            total = sum(mpmath.mpf(float(q)) ** (1 / (2 - t)) for q in p if q > 0)
            expected = (total ** (2 - t) - 1) / (1 - t)
        assert_allclose(theory.conditional_min(p, tau), float(expected), rtol=1e-13)


def test_conditional_minimum_of_one_hot_labels_is_zero():
    assert_allclose([theory.conditional_min(np.eye(3), tau) for tau in TAUS], 0, atol=0)


# the transform and its inverse -------------------------------------------------------------------


def test_transform_agrees_with_high_precision_everywhere():
    for tau, beta, n in itertools.product(
        (0.0, 0.5, 1 - 1e-9, 1 + 1e-9, 1.5, 1.9, 1.999, 2 - 1e-9),
        (1e-9, 1e-4, 0.1, 0.49, 0.51, 0.9, 1 - 1e-9, 1.0), (2, 100),
    ):  # fmt: skip
        with mpmath.workdps(60):
            t, b = mpmath.mpf(tau), mpmath.mpf(beta)
            r = 1 / (2 - t)
            mean = (((1 + b) ** r + (1 - b) ** r) / 2) ** (2 - t)
            exact = (2 if tau < 1 else n) ** (1 - t) * (mean - 1) / (t - 1)
        assert_allclose(theory.transform(beta, tau, n), float(exact), rtol=1e-13)


def test_transform_has_its_closed_forms_and_limits():
    assert_allclose(theory.transform(BETAS[20:], 0.0, 3), 1 - np.sqrt(1 - BETAS[20:] ** 2), rtol=1e-10)
    assert_allclose(theory.transform(1.0, 1.0, 5), np.log(2))
    for tau in (0.2, 1.4):
        n = 7
        expected = ((2 if tau < 1 else n) ** (1 - tau)) * (2 ** (tau - 1) - 1) / (tau - 1)
        assert_allclose(theory.transform(1.0, tau, n), expected, rtol=1e-13)
    for n in (2, 9):
        for seam in (1.0, 2.0):
            below, at, above = (theory.transform(BETAS, tau, n) for tau in (seam - 1e-9, seam, seam + 1e-9))
            # Near tau = 2 the corner at 0 is rounded on a scale of 2 − tau.
            assert_allclose(below, at, rtol=1e-6, atol=1e-8)
            assert_allclose(above, at, rtol=1e-6)


@EXAMPLES
@given(taus, st.integers(2, 200))
def test_transform_is_convex_and_increasing_from_zero(tau, n):
    grid = np.linspace(0, 1, 401)
    values = theory.transform(grid, tau, n)
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert (np.diff(values, 2) >= -1e-14).all()


@EXAMPLES
@given(taus, st.integers(2, 1000))
def test_gamma_inverts_the_transform_and_is_one_above(tau, n):
    t = theory.transform(BETAS, tau, n)
    assert_allclose(theory.gamma(t, tau, n), BETAS, rtol=1e-11)
    top = theory.transform(1.0, tau, n)
    assert theory.gamma(0.0, tau, n) == 0
    assert theory.gamma(np.array([1.1 * top, 1e300, np.inf]), tau, n).tolist() == [1, 1, 1]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 1.9])
def test_gamma_is_the_root_that_bracketing_finds(tau):
    for t in np.random.default_rng(0).uniform(0, theory.transform(1.0, tau, 3), 20):
        root = brentq(lambda b, t=t: theory.transform(b, tau, 3) - t, 0, 1, xtol=1e-14)
        assert_allclose(theory.gamma(t, tau, 3), root, atol=1e-12)


@EXAMPLES
@given(taus, st.integers(2, 100))
def test_power_law_is_above_gamma(tau, n):
    t = theory.transform(BETAS, tau, n)
    assert (theory.gamma_upper(t, tau, n) >= BETAS * (1 - 1e-12)).all()


def test_power_law_is_sharp_at_zero_below_one_and_the_smaller_constant_is_not_a_majorant():
    for tau in (0.0, 0.5, 0.9):
        t = theory.transform(1e-6, tau, 3)
        assert_allclose(theory.gamma_upper(t, tau, 3) / 1e-6, 1, rtol=1e-6)
    grid = np.linspace(1e-3, 1, 1000)
    for tau, shortfall in ((1.5, -0.09), (1.9, -0.56)):
        t = theory.transform(grid, tau, 10)
        tempting = np.sqrt(2 * (2 - tau) * 10 ** (tau - 1) * t)
        assert_allclose(tempting[0] / grid[0], 1, rtol=1e-3)
        assert_allclose((tempting / grid - 1).min(), shortfall, atol=0.006)


# regret against the transform --------------------------------------------------------------------


@EXAMPLES
@given(st.integers(2, 6), taus, st.data())
def test_regret_is_at_least_the_transform_of_the_error_gap(n, tau, data):
    weights = data.draw(arrays(float, n, elements=st.floats(0, 1)).filter(lambda w: w.sum() > 0.1))
    scores = data.draw(arrays(float, n, elements=st.sampled_from([-9.0, -1.0, 0.0, 0.0, 1e-9, 1.0, 9.0]) | finite))
    assert HConsistencyBound(tau, n).check(weights / weights.sum(), scores).holds


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 1.95, 2.0, 3.0])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_two_hundred_thousand_random_regrets_respect_the_transform(tau, n):
    rng = np.random.default_rng(1)
    p = random_distributions(rng, 10_000, n)
    wide = rng.normal(size=(10_000, n)) * 10.0 ** rng.uniform(-3, 1, (10_000, 1))
    with np.errstate(divide="ignore"):
        near_optimal = np.maximum(np.log(p), -50) + 0.1 * rng.normal(size=p.shape)
    for scores in (wide, near_optimal, np.round(wide)):
        assert HConsistencyBound(tau, n).check(p, scores).holds.all()


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.3])
def test_search_for_a_counterexample_ends_at_the_transform(tau):
    n, rng = 3, np.random.default_rng(2)
    for start in rng.normal(size=(2, 2 * n)):

        def slack(z):
            # Label 0 is predicted: its score is the maximum.
            p, scores = softmax(z[:n]), np.append(np.abs(z[n + 1 :]).max() + 0.0, z[n + 1 :])
            return float(theory.conditional_regret(p, scores, tau) - theory.transform(p.max() - p[0], tau, n))

        assert minimize(slack, start, method="Nelder-Mead", options={"maxiter": 200}).fun >= -1e-12


@pytest.mark.parametrize(("tau", "n", "top"), [
    (0.0, 2, 1.0), (0.3, 3, 1.0), (0.7, 10, 1.0), (1.0, 3, 1.0), (1.0, 10, 1.0),
    (1.3, 2, 1.0), (1.9, 2, 1.0), (2.0, 2, 1.0), (2.0, 3, 0.5), (2.0, 5, 0.25),
])  # fmt: skip
def test_bound_is_attained_by_the_witness_where_it_is_tight(tau, n, top):
    beta = np.linspace(0.01, top, 30)
    p, scores = theory.tight_witness(beta, tau, n, depth=30.0)
    check = HConsistencyBound(tau, n).check(p, scores)
    assert_allclose(check.error_gap, beta, rtol=1e-13)
    assert_allclose(check.surrogate_regret, theory.transform(beta, tau, n), rtol=1e-8)
    # The lowest-index rule predicts the worse label without any help.
    assert (scores.argmax(axis=1) == 0).all()
    assert (p.argmax(axis=1) == 1).all()


@EXAMPLES
@given(taus, st.integers(2, 12), st.floats(1e-4, 1))
def test_witness_attains_the_calibration_function_for_every_tau(tau, n, beta):
    p, scores = theory.tight_witness(beta, tau, n)
    assert_allclose(p.sum(), 1, rtol=1e-12)
    assert_allclose(theory.error_gap(p, scores), beta, rtol=1e-9)
    least = theory.calibration_function(beta, tau, n)
    assert_allclose(theory.conditional_regret(p, scores, tau), least, rtol=1e-6, atol=1e-14)
    assert least >= theory.transform(beta, tau, n) * (1 - 1e-11)


def test_transform_is_loose_exactly_where_the_analysis_says():
    beta = np.array([0.05, 0.3, 0.7])
    for n, ratio in ((3, 1.2247), (5, 1.5811), (10, 2.2361)):
        assert_allclose(theory.calibration_function(beta, 1.5, n) / theory.transform(beta, 1.5, n), ratio, atol=1e-4)
    # "Replace n by 2" is no bound near tau = 2.
    assert_allclose(theory.calibration_function(0.5, 1.97, 3) / theory.transform(0.5, 1.97, 2), 0.689, atol=1e-3)
    assert_allclose(theory.calibration_function(0.05, 1.97, 10) / theory.transform(0.05, 1.97, 2), 0.3248, atol=1e-4)
    assert_allclose(
        theory.calibration_function(np.array([0.8, 1.0]), 2.0, 3) / theory.transform(np.array([0.8, 1.0]), 2.0, 3), 1.5
    )
    five = np.array([0.1, 0.3, 0.5, 0.8, 1.0])
    assert_allclose(theory.calibration_function(five, 3.0, 2) / theory.transform(five, 3.0, 2), [4, 4, 4, 3.25, 3])


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5, 1.9, 2.0, 2.6])
def test_pooled_regret_is_what_constrained_minimisation_finds(tau):
    rng, n = np.random.default_rng(3), 4
    for p in random_distributions(rng, 5, n) * 0.98 + 0.005:
        j = int(rng.integers(n))

        def risk(s, p=p):
            with np.errstate(divide="ignore"):
                return float(p @ (-np.log(s) if tau == 1 else (s ** (tau - 1) - 1) / (1 - tau)))

        # For tau >= 2 the minimum is at a vertex: uniform on a set that holds j.
        others = [k for k in range(n) if k != j]
        sets = [(j, *rest) for size in range(n) for rest in itertools.combinations(others, size)]
        corners = [np.isin(np.arange(n), labels) / len(labels) for labels in sets]
        found = min(map(risk, corners)) if tau > 1 else np.inf
        constraints = [
            {"type": "eq", "fun": lambda s: s.sum() - 1}, {"type": "ineq", "fun": lambda s, j=j: s[j] - s},
        ]  # fmt: skip
        inner = minimize(
            risk, np.full(n, 1 / n), jac=lambda s, p=p: -p * s ** (tau - 2), method="SLSQP",
            bounds=[(1e-6, 1)] * n, constraints=constraints, options={"ftol": 1e-13, "maxiter": 300},
        )  # fmt: skip
        found = min(found, inner.fun)
        assert_allclose(found - theory.conditional_min(p, tau), theory.pooled_regret(p, j, tau), atol=2e-6)


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("tau", [1.05, 1.5, 1.8, 1.97, 2.0, 2.4])
def test_no_distribution_has_a_smaller_regret_than_the_calibration_function(tau, n):
    rng = np.random.default_rng(4)
    for beta in (0.05, 0.3, 0.6, 0.9):
        least = theory.calibration_function(beta, tau, n)
        p = gapped_distributions(rng, beta, n, 2000)
        best = p[theory.pooled_regret(p, 0, tau).argmin()]
        # From the best at random, and from the witness itself.
        for start in (best, theory.tight_witness(beta, tau, n)[0]):
            for scale in 0.25 ** np.arange(1, 10):
                p = gapped_distributions(rng, beta, n, 200, start, scale)
                values = theory.pooled_regret(p, 0, tau)
                start = p[values.argmin()]
                assert values.min() >= least * (1 - 1e-9)


def gapped_distributions(rng, beta, n, count, start=None, scale=1.0):
    """Distributions with p_0 = max p − beta: at random, or ``start`` moved by a random step."""
    top = rng.uniform(max(beta, (1 + beta) / n), (1 + beta) / 2, count)
    others = rng.gamma(10.0 ** rng.uniform(-1.5, 1.5, (count, 1)), size=(count, n - 2)) + 1e-300
    if start is not None:
        top = start[1] + scale * (top - start[1])
        others = start[2:] / max(start[2:].sum(), 1e-300) * (1 - scale) + scale * others / others.sum(
            axis=1, keepdims=True
        )
    others *= (1 + beta - 2 * top)[:, None] / np.maximum(others.sum(axis=1, keepdims=True), 1e-300)
    p = np.column_stack([top - beta, top, others])
    p = p[(others <= top[:, None]).all(axis=1)]
    return np.vstack([p, p[:1] if start is None else start])


def test_uniform_scores_are_a_stationary_point_above_the_minimum_for_tau_above_two():
    p, tau = np.array([0.45, 0.55]), 3.0
    at_uniform = theory.conditional_regret(p, np.zeros(2), tau)
    assert_allclose(at_uniform, 0.15, atol=1e-12)
    assert_allclose(theory.calibration_function(0.1, tau, 2), 0.05, atol=1e-12)
    assert_allclose(theory.pooled_regret(p, 0, tau), 0.05, atol=1e-12)


@EXAMPLES
@given(st.sampled_from([1.5, 1.8, 1.95, 2.0, 2.5]), st.integers(2, 8))
def test_calibration_function_is_increasing_and_below_the_largest_regret(tau, n):
    values = theory.calibration_function(np.linspace(0, 1, 201), tau, n)
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert values[-1] <= 1 / (tau - 1) + 1e-12


def test_tied_scores_count_with_the_worst_tie_break():
    p, scores = np.array([0.5, 0.2, 0.3]), np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert_allclose(theory.error_gap(p, scores), [0.3, 0.2, 0.0], atol=1e-15)


def test_inflated_transform_is_refuted_by_the_witness():
    p, scores = theory.tight_witness(np.linspace(0.1, 1, 10), 1.0, 5)
    regret, least = theory.conditional_regret(p, scores, 1.0), theory.transform(theory.error_gap(p, scores), 1.0, 5)
    assert (regret >= least * (1 - 1e-12)).all()
    assert (regret < 1.001 * least).all()


def test_listed_bounds_hold_and_false_ones_are_found():
    for bound in (*theory.BOUNDS[::4], *tables.BOUNDS[2:4]):
        report = check_bound(bound.lhs, bound.rhs, bound.sampler, 2000, rounds=5)
        assert report.holds, bound.name
    bound = next(b for b in theory.BOUNDS if b.name.startswith("comp-sum regret at least T, tau = 1, n = 2"))
    assert not check_bound(lambda **s: 1.01 * bound.lhs(**s), bound.rhs, bound.sampler, 2000, rounds=5).holds


# bounded scores ----------------------------------------------------------------------------------


@FEW
@given(
    arrays(float, 3, elements=st.floats(0, 1)).filter(lambda w: w.sum() > 0.1),
    st.sampled_from(TAUS),
    st.floats(0.05, 3),
)
def test_bounded_minimum_is_what_a_box_constrained_search_finds(weights, tau, bound):
    p = weights / weights.sum()

    def risk(h):
        return float(p @ theory.comp_sum_loss(h, np.arange(3), tau))

    least = theory.bounded_conditional_min(p, tau, bound)
    corners = [np.array(c) for c in itertools.product((-bound, bound), repeat=3)]
    found = min(
        minimize(risk, start, bounds=[(-bound, bound)] * 3, method="L-BFGS-B").fun for start in (np.zeros(3), *corners)
    )
    assert_allclose(least, found, atol=1e-7)
    assert least >= theory.conditional_min(p, tau) - 1e-12


def test_bounded_minimum_tends_to_the_free_one():
    p = np.array([[0.6, 0.3, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    for tau in TAUS:
        assert_allclose(
            theory.bounded_conditional_min(p, tau, 60.0), theory.conditional_min(p, tau), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(("bound", "regret"), [(0.1, 0.095), (1.0, 0.566)])
def test_bounded_scores_violate_the_bound(bound, regret):
    p = np.array([1.0, 0.0])
    excess = theory.comp_sum_loss(np.zeros(2), 0, 1.0) - theory.bounded_conditional_min(p, 1.0, bound)
    assert_allclose(excess, np.log(2) - np.log1p(np.exp(-2 * bound)), rtol=1e-12)
    assert_allclose(excess, regret, atol=5e-4)
    assert excess < theory.transform(theory.error_gap(p, np.zeros(2)), 1.0, 2)


@pytest.mark.parametrize("score_bound", [0.1, 1.0])
def test_fuzzing_finds_the_violation_for_bounded_scores_and_none_for_the_theorem(score_bound):
    def sampler(limit):
        return lambda rng, count: {
            "p": rng.dirichlet([0.5, 0.5], count),
            "scores": rng.uniform(-limit, limit, (count, 2)),
        }

    def least(p, scores):
        return theory.transform(theory.error_gap(p, scores) * (1 - 1e-15), 1.0, 2)

    def bounded_regret(p, scores):
        risk = theory.conditional_regret(p, scores, 1.0) + theory.conditional_min(p, 1.0)
        return risk - theory.bounded_conditional_min(p, 1.0, score_bound)

    assert check_bound(
        least, lambda p, scores: theory.conditional_regret(p, scores, 1.0), sampler(8.0), 5000, rounds=5
    ).holds
    report = check_bound(least, bounded_regret, sampler(score_bound), 500, rounds=2)
    assert not report.holds
    p, scores = report.witness["p"][None], report.witness["scores"][None]
    assert bounded_regret(p, scores)[0] < least(p, scores)[0]


# finite populations and gaps ---------------------------------------------------------------------

MODEL = FiniteLinearModel(np.array([-1.0, -0.5, -0.1, 0.2, 0.7, 1.0]), classes=3)


def population(seed, noise=0.5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(3, noise), 6), rng.dirichlet(np.full(6, 5.0))


def test_label_sequences_are_exactly_what_hypotheses_predict():
    for sequence in MODEL.label_sequences:
        assert (MODEL.scores(*MODEL.realise(sequence)).argmax(axis=1) == sequence).all()
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(3000, 3))
    predicted = MODEL.scores(slopes, 0.5 * rng.normal(size=(3000, 3))).argmax(axis=-1)
    known = {tuple(sequence) for sequence in MODEL.label_sequences}
    assert len(known) == len(MODEL.label_sequences) == 93
    assert {tuple(row) for row in predicted} <= known


def test_best_risks_are_below_those_of_random_hypotheses():
    P, w = population(1)
    rng = np.random.default_rng(1)
    slopes, intercepts = 3 * rng.normal(size=(2, 5000, 3))
    assert MODEL.best_error(P, w) <= MODEL.error(P, w, slopes, intercepts).min() + 1e-12
    for tau in (0.0, 1.0, 2.0):
        best = MODEL.best_comp_sum_risk(P, w, tau)
        risks = MODEL.comp_sum_risk(P, w, tau, slopes, intercepts)
        assert best <= risks.min() + 1e-9
        assert best >= theory.conditional_min(P, tau) @ w


def test_best_risk_is_zero_for_separable_labels_and_at_most_the_error_for_mean_absolute_error():
    labels = np.array([0, 0, 2, 2, 1, 1])
    assert MODEL.best_comp_sum_risk(np.eye(3)[labels], np.full(6, 1 / 6), 0.5) == 0
    P, w = population(2)
    assert MODEL.best_comp_sum_risk(P, w, 2.0) <= MODEL.best_error(P, w) + 1e-12


@EXAMPLES
@given(st.integers(0, 50), taus, st.floats(-2, 2))
def test_bound_with_gaps_holds_in_a_restricted_hypothesis_set(seed, tau, log_scale):
    P, w = population(seed)
    rng = np.random.default_rng(seed)
    slopes, intercepts = np.exp(log_scale) * rng.normal(size=(2, 40, 3))
    best_error = MODEL.best_error(P, w)
    error_gap = best_error - (1 - P.max(axis=1)) @ w
    # R*_tau cancels: its gap adds what its excess subtracts, so any value will do here.
    best, risks = 0.123, MODEL.comp_sum_risk(P, w, tau, slopes, intercepts)
    gap = theory.minimizability_gap(best, P, w, tau)
    allowed = HConsistencyBound(tau, 3).excess_error(risks - best, gap, error_gap)
    assert (MODEL.error(P, w, slopes, intercepts) - best_error <= allowed + 1e-10).all()


def test_bound_without_gaps_fails_in_a_restricted_hypothesis_set():
    P, w = population(10, noise=0.1)

    def risk(z):
        return float(MODEL.comp_sum_risk(P, w, 1.0, z[:3], z[3:]))

    found = minimize(risk, np.zeros(6), method="BFGS")
    excess = found.fun - MODEL.best_comp_sum_risk(P, w, 1.0)
    error_excess = MODEL.error(P, w, found.x[:3], found.x[3:]) - MODEL.best_error(P, w)
    assert error_excess > 0.05
    assert HConsistencyBound(1.0, 3).excess_error(max(excess, 0.0)) < error_excess / 10


@pytest.mark.parametrize("seed", range(2))
def test_gap_is_at_most_its_bound_and_equal_to_it_for_the_sum_exponential(seed):
    P, w = population(seed)
    base = MODEL.best_comp_sum_risk(P, w, 0.0)
    for tau in (0.0, 0.5, 1.0, 1.5):
        gap = theory.minimizability_gap(MODEL.best_comp_sum_risk(P, w, tau), P, w, tau)
        limit = theory.gap_upper_bound(base, P, w, tau)
        assert -1e-9 <= gap <= limit + 1e-9
        if tau == 0:
            assert_allclose(gap, limit, rtol=1e-12)


@FEW
@given(st.lists(st.integers(0, 2), min_size=6, max_size=6), st.floats(0, 3), st.floats(0, 2))
def test_gap_bound_of_deterministic_labels_does_not_increase_in_tau(labels, tau, more):
    P, w = np.eye(3)[labels], np.full(6, 1 / 6)
    base = MODEL.best_comp_sum_risk(P, w, 0.0)
    low, high = (theory.gap_upper_bound(base, P, w, t) for t in (tau + more, tau))
    assert low <= high + 1e-12


def test_gap_bound_of_noisy_labels_may_increase_in_tau():
    found = [
        np.diff([theory.gap_upper_bound(MODEL.best_comp_sum_risk(P, w, 0.0), P, w, t) for t in (0.0, 1.0, 2.0)]).max()
        for P, w in map(population, range(6))
    ]
    assert max(found) > 0


# adversarial tables ------------------------------------------------------------------------------


def random_tables(rng, count, n, perturbations=4):
    centre = rng.normal(size=(count, 1, n)) * 10.0 ** rng.uniform(-1, 0.7, (count, 1, 1))
    moves = rng.normal(size=(count, perturbations, n)) * 10.0 ** rng.uniform(-2, 0.3, (count, 1, 1))
    moves[:, 0] = 0
    return centre + moves


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_smooth_loss_dominates_the_margin_loss(tau):
    rng = np.random.default_rng(5)
    for n, rho in ((2, 0.3), (3, 1.0), (5, 2.0)):
        h = random_tables(rng, 2000, n)
        margin = tables.adversarial_margin_loss(h, tau, rho)
        assert (tables.smooth_adversarial_loss(h, tau, rho, np.sqrt(n - 1) / rho) >= margin * (1 - 1e-12)).all()
        assert (margin <= theory.comp_sum_phi(n - 1.0, tau) * (1 + 1e-12)).all()


def test_a_smaller_weight_of_the_smooth_term_does_not_dominate():
    n, rho = 4, 1.0
    # Every rival gains rho at once, from a clean point with the margin rho: the case that needs sqrt(n − 1).
    h = np.array([[3 * rho, 0, 0, 0], [0.0, 0, 0, 0]])
    dominated = [
        tables.smooth_adversarial_loss(h, 0.0, rho, nu)[0] - tables.adversarial_margin_loss(h, 0.0, rho)[0]
        for nu in (np.sqrt(n - 1) / rho, 0.4 / rho)
    ]
    assert dominated[0] > 0 > dominated[1]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_adversarial_regret_is_at_least_the_constant_times_the_robust_error(tau):
    rng = np.random.default_rng(6)
    for n in (2, 3, 5):
        h, p = random_tables(rng, 2000, n), random_distributions(rng, 2000, n)
        regret = (p * tables.adversarial_margin_loss(h, tau, 0.7)).sum(1) - theory.adv_conditional_min(p, tau)
        error = (p * tables.adversarial_zero_one(h)).sum(1) - (1 - p.max(1))
        assert (regret >= tables.adversarial_constant(tau) * error - 1e-12).all()


@EXAMPLES
@given(st.floats(0.01, 1), taus, st.integers(2, 6))
def test_adversarial_witness_attains_the_constant_and_refutes_its_inverse(beta, tau, n):
    p, h = tables.adversarial_witness(beta, n, rho=0.5, perturbations=3)
    regret = p @ tables.adversarial_margin_loss(h, tau, 0.5) - theory.adv_conditional_min(p, tau)
    error = p @ tables.adversarial_zero_one(h) - (1 - p.max())
    constant = tables.adversarial_constant(tau)
    assert_allclose(error, beta, rtol=1e-12)
    assert_allclose(regret / constant, error, rtol=1e-9)
    if constant < 0.99:
        assert error > constant * regret


@EXAMPLES
@given(arrays(float, 4, elements=st.floats(0.01, 1)), taus)
def test_adversarial_minimum_is_the_best_of_all_orders(weights, tau):
    p = weights / weights.sum()
    costs = [
        p @ tables.adversarial_margin_loss(-2.0 * np.array(ranks, dtype=float)[None], tau, 1.0)
        for ranks in itertools.permutations(range(4))
    ]
    assert_allclose(min(costs), theory.adv_conditional_min(p, tau), rtol=1e-12)


def test_robust_error_counts_ties_and_single_bad_perturbations():
    h = np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert tables.adversarial_zero_one(h).tolist() == [1, 1, 1]
    assert tables.adversarial_zero_one(h[:1]).tolist() == [0, 1, 1]


# torch -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1 - 1e-9, 1.0, 1 + 1e-6, 1.5, 1.7, 2.0, 3.0])
def test_both_implementations_agree(tau, dtype, tolerance, device):
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(50, 7, generator=generator, dtype=torch.float64)).to(device, dtype)
    y = torch.randint(7, (50,), generator=generator).to(device)
    expected = theory.comp_sum_loss(logits.double().cpu().numpy(), y.cpu().numpy(), tau)
    loss = comp_sum(logits, y, tau, "none")
    assert loss.dtype == dtype
    assert loss.device.type == device
    assert_allclose(loss.cpu(), expected, rtol=tolerance * 10, atol=tolerance)
    assert_allclose(comp_sum(logits, y, tau).cpu(), expected.mean(), rtol=tolerance * 10)
    assert_allclose(comp_sum(logits, y, tau, "sum").cpu(), expected.sum(), rtol=tolerance * 10)


def test_torch_loss_is_cross_entropy_mean_absolute_error_and_generalised_cross_entropy():
    logits, y = (
        torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
        torch.arange(20) % 5,
    )
    s = logits.softmax(1)[torch.arange(20), y]
    assert_allclose(comp_sum(logits, y), F.cross_entropy(logits, y), rtol=1e-14)
    assert_allclose(comp_sum(logits, y, 2.0, "none"), 1 - s, rtol=1e-12)
    assert_allclose(comp_sum(logits, y, 1.7, "none"), (1 - s**0.7) / 0.7, rtol=1e-12)
    assert_allclose(comp_sum(logits, y, 0.0, "none"), 1 / s - 1, rtol=1e-12)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_gradient_is_that_of_cross_entropy_times_a_power(tau):
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    (gradient,) = torch.autograd.grad(comp_sum(logits, y, tau, "sum"), logits)
    s = logits.detach().softmax(1)
    own = s.gather(1, y[:, None])
    assert_allclose(gradient, own ** (tau - 1) * (s - F.one_hot(y, 4)), rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradcheck(lambda z: comp_sum(z, y, tau, "none"), logits)
    assert torch.autograd.gradgradcheck(lambda z: comp_sum(z, y, tau, "none"), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [0.0, 0.5, 0.9])
def test_hopeless_points_stay_finite_increasing_and_keep_their_gradient(tau, dtype):
    limit = float(np.log(torch.finfo(dtype).max) / 2 / (1 - tau))
    away = torch.tensor([0.5, 0.99, 1.01, 3.0, 20.0], dtype=dtype) * limit
    logits = torch.stack([torch.zeros_like(away), away], dim=1).requires_grad_()
    loss = comp_sum(logits, torch.zeros(5, dtype=torch.long), tau, "none")
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.isfinite(loss).all()
    assert (loss.diff() > 0).all()
    assert (gradient[:, 1] > 0).all()
    assert_allclose(gradient[2:, 1], gradient[4, 1], rtol=1e-4)
    # Below the limit nothing is changed.
    exact = torch.expm1((1 - tau) * away[:2].double()) / (1 - tau)
    assert_allclose(loss[:2].detach(), exact, rtol=1e-4 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_a_class_of_score_minus_infinity_is_out_and_other_scores_must_be_finite(tau):
    logits = torch.tensor([[0.0, 1.0, -math.inf], [0.0, 1.0, 2.0]])
    first, _ = comp_sum(logits, torch.tensor([0, 1]), tau, "none")
    assert_allclose(first, comp_sum(logits[:1, :2], torch.tensor([0]), tau), rtol=1e-6)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="logits"):
            comp_sum(torch.tensor([[0.0, bad]]), torch.tensor([0]), tau)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_positions_autocast_and_module_behave_like_cross_entropy(tau):
    generator = torch.Generator().manual_seed(3)
    logits, y = torch.randn(2, 3, 4, 5, generator=generator), torch.randint(3, (2, 4, 5), generator=generator)
    flat = comp_sum(logits.movedim(1, -1).reshape(-1, 3), y.reshape(-1), tau, "none")
    assert_allclose(comp_sum(logits, y, tau, "none").reshape(-1), flat, rtol=1e-6)
    loss = CompSumLoss(tau, "sum")
    assert_allclose(loss(logits, y), flat.sum(), rtol=1e-5)
    assert "tau" in repr(loss)
    layer = nn.Linear(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(torch.randn(8, 3, generator=generator))
        mixed = comp_sum(out, torch.arange(8) % 4, tau)
    assert mixed.dtype == F.cross_entropy(out.float(), torch.arange(8) % 4).dtype
    mixed.backward()
    assert torch.isfinite(layer.weight.grad).all()
    assert_allclose(mixed.detach(), comp_sum(out.detach().float(), torch.arange(8) % 4, tau), rtol=1e-5)


# adversarial training ----------------------------------------------------------------------------


def small_net(seed=0, features=2, classes=3, extra=()):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 16), *extra, nn.Tanh(), nn.Linear(16, classes)).double()


def points(count=12, features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, features, generator=generator, dtype=torch.float64)
    return x, torch.arange(count) % 3


def test_zero_radius_is_the_clean_loss():
    net, (x, y) = small_net(), points()
    for rho in (1.0, 2.5):
        assert_allclose(
            robust.smooth_adversarial_comp_sum(net, x, y, 0.0, 1.5, rho).detach(),
            comp_sum(net(x) / rho, y, 1.5).detach(), rtol=1e-14,
        )  # fmt: skip
    assert robust.robust_accuracy(net, x, y, 0.0) == float((net(x).argmax(1) == y).double().mean())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_stay_in_ball_and_box_and_start_at_random(norm):
    x, _ = points(40, 5)
    weights = torch.linspace(-1, 1, 5, dtype=torch.float64)
    for steps in (0, 1, 7):
        z = robust.projected_gradient_attack(lambda z: z @ weights, x, 0.2, steps=steps, norm=norm, box=(0.0, 1.0))
        moved = z - x
        size = moved.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(moved, dim=1)
        assert (size <= 0.2 + 1e-12).all()
        assert ((z >= 0) & (z <= 1)).all()
        assert (z @ weights >= x @ weights - 1e-12).all()
    seeded = [
        robust.projected_gradient_attack(
            lambda z: z @ weights, x, 0.2, steps=0, norm=norm, generator=torch.Generator().manual_seed(s)
        )
        for s in (1, 1, 2)
    ]
    assert torch.equal(seeded[0], seeded[1])
    assert not torch.equal(seeded[0], seeded[2])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attack_finds_the_maximum_of_a_linear_function(norm):
    x, weights = points(6, 4)[0], torch.tensor([1.0, -2.0, 0.5, 0.25], dtype=torch.float64)
    z = robust.projected_gradient_attack(lambda z: z @ weights, x, 0.3, steps=20, norm=norm, step_size=0.3)
    reach = weights.abs().sum() if norm == "linf" else torch.linalg.vector_norm(weights)
    assert_allclose((z - x) @ weights, float(0.3 * reach), rtol=1e-3)


def test_smooth_loss_of_a_linear_model_is_the_one_of_its_table():
    model, (x, y) = nn.Linear(2, 3).double(), points(30)
    corners = torch.tensor([[0.0, 0.0], *itertools.product((-0.1, 0.1), repeat=2)], dtype=torch.float64)
    # The displacement is convex in the perturbation, so that its maximum over the square is at a corner.
    table = model(x[:, None] + corners).detach().numpy()
    for tau, rho, nu in ((0.5, 1.0, 0.7), (1.0, 0.5, None), (2.0, 2.0, 3.0)):
        weight = np.sqrt(2) / rho if nu is None else nu
        expected = tables.smooth_adversarial_loss(table, tau, rho, weight)[np.arange(30), y.numpy()]
        # One ascent may end at a corner that is only locally best.
        smooth = np.max([
            robust.smooth_adversarial_comp_sum(
                model, x, y, 0.1, tau, rho, nu, steps=5, reduction="none", generator=torch.Generator().manual_seed(k)
            ).detach() for k in range(12)
        ], axis=0)  # fmt: skip
        assert_allclose(smooth, expected, rtol=1e-12)
        margin = tables.adversarial_margin_loss(table, tau, rho)[np.arange(30), y.numpy()]
        if nu is None:
            assert (expected >= margin - 1e-12).all()


def test_gradient_of_the_smooth_loss_flows_through_both_passes():
    net, (x, y) = small_net(), points()
    robust.smooth_adversarial_comp_sum(net, x, y, 0.1, generator=torch.Generator().manual_seed(0)).backward()
    with_term = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    robust.smooth_adversarial_comp_sum(net, x, y, 0.1, nu=0.0).backward()
    assert all(torch.isfinite(g).all() for g in with_term)
    assert any((g - p.grad).abs().max() > 1e-3 for g, p in zip(with_term, net.parameters(), strict=True))


def test_constant_models_have_a_finite_gradient():
    net, (x, y) = nn.Linear(2, 3).double(), points()
    nn.init.zeros_(net.weight)
    robust.smooth_adversarial_comp_sum(net, x, y, 0.1).backward()
    assert torch.isfinite(net.weight.grad).all()


@pytest.mark.parametrize("objective", [
    robust.smooth_adversarial_comp_sum, robust.trades_loss, robust.pgd_adversarial_loss,
])  # fmt: skip
def test_attacks_leave_modes_and_parameters_alone(objective):
    net, (x, y) = small_net(extra=(nn.BatchNorm1d(16), nn.Dropout(0.5))), points()
    net[2].eval()
    before = {k: v.clone() for k, v in net.state_dict().items() if "weight" in k}
    loss = objective(net, x, y, 0.1)
    assert loss.shape == ()
    # At most the clean and the final pass update the batch statistics, never the attack's.
    assert int(net[1].num_batches_tracked) <= 2
    assert net.training
    assert not net[2].training
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())
    assert all(p.grad is None for p in net.parameters())


def test_trades_without_weight_is_cross_entropy_and_its_divergence_is_positive():
    net, (x, y) = small_net(), points()
    clean = F.cross_entropy(net(x), y)
    assert_allclose(robust.trades_loss(net, x, y, 0.1, beta=0.0).detach(), clean.detach(), rtol=1e-12)
    assert robust.trades_loss(net, x, y, 0.1, beta=1.0) > clean
    assert robust.pgd_adversarial_loss(net, x, y, 0.1) > clean


@pytest.mark.parametrize("name", ["smooth", "trades", "pgd"])
def test_training_is_reproducible_and_makes_a_model_robust(name):
    generator = torch.Generator().manual_seed(5)
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    y = torch.arange(120) % 3
    x = centres[y] + 0.05 * torch.randn(120, 2, generator=generator)
    objective = {
        "smooth": lambda m, a, b, s, g: robust.smooth_adversarial_comp_sum(
            m, a, b, 0.2, nu=0.5 * s, steps=3, generator=g
        ),
        "trades": lambda m, a, b, s, g: robust.trades_loss(m, a, b, 0.2, beta=6 * s, steps=3, generator=g),
        "pgd": lambda m, a, b, s, g: robust.pgd_adversarial_loss(m, a, b, 0.2 * s, steps=3, generator=g),
    }[name]
    runs = []
    for _ in range(2):
        net = small_net(1).float()
        history = robust.AdversarialTrainer(net, objective, epochs=6, batch_size=20, warmup_epochs=2).fit(x, y)
        runs.append((history, net.state_dict()))
    assert runs[0][0] == runs[1][0]
    assert len(runs[0][0]) == 6
    assert all(torch.equal(v, runs[1][1][k]) for k, v in runs[0][1].items())
    untrained = robust.robust_accuracy(small_net(1).float(), x, y, 0.2, generator=torch.Generator().manual_seed(0))
    trained = robust.robust_accuracy(net, x, y, 0.2, generator=torch.Generator().manual_seed(0))
    assert trained > max(0.9, untrained)
    assert robust.robust_accuracy(net, x, y, 0.2) <= robust.robust_accuracy(net, x, y, 0.0)


# bad input ---------------------------------------------------------------------------------------

P3, H3, W6 = np.full(3, 1 / 3), np.zeros(3), np.full(6, 1 / 6)
P63 = np.full((6, 3), 1 / 3)
TABLE = np.zeros((2, 3))
NAN = float("nan")
LOGITS, TARGET = torch.zeros(2, 3), torch.tensor([0, 1])
IDENTITY = nn.Identity()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.comp_sum_loss, (H3, 3, 1.0), "y must be in 0 … 2, got 3"),
    (theory.comp_sum_loss, (H3, 0.5, 1.0), "y must hold whole numbers"),
    (theory.comp_sum_loss, (H3, 0, -0.1), "tau must be a finite number of at least 0, got -0.1"),
    (theory.comp_sum_loss, (np.array([0.0, NAN]), 0, 1.0), "scores must be finite"),
    (theory.comp_sum_loss, (np.zeros(1), 0, 1.0), "scores must have at least 2 classes"),
    (theory.comp_sum_loss, (np.zeros((2, 3)), np.zeros(3, int), 1.0), "scores and y must broadcast"),
    (theory.comp_sum_phi, (-1.0, 1.0), "u must not be negative"),
    (theory.conditional_min, (np.array([0.5, 0.6]), 1.0), "p must sum to 1"),
    (theory.conditional_min, (np.array([1.5, -0.5]), 1.0), "p must not be negative"),
    (theory.conditional_min, (np.array([1.0]), 1.0), "p must have at least 2 classes"),
    (theory.conditional_min, (P3, NAN), "tau must be"),
    (theory.conditional_regret, (P3, np.zeros(4), 1.0), "p and scores must have as many classes"),
    (theory.error_gap, (P3, np.full(3, np.inf)), "scores must be finite"),
    (theory.bounded_conditional_min, (P3, 1.0, 0.0), "score_bound must be a finite number above 0"),
    (theory.transform, (1.1, 1.0, 2), "beta must be in [0, 1]"),
    (theory.transform, (np.array([0.1, NAN]), 1.0, 2), "beta must be finite"),
    (theory.transform, (0.5, 1.0, 1), "n must be a whole number of at least 2, got 1"),
    (theory.calibration_function, (0.5, -1.0, 2), "tau must be"),
    (theory.tight_witness, (2.0, 1.0, 2), "beta must be in [0, 1]"),
    (theory.pooled_regret, (P3, 3, 1.0), "predicted must hold one label in 0 … 2"),
    (theory.gamma, (-1e-3, 1.0, 2), "t must not be negative, got -0.001"),
    (theory.gamma, (NAN, 1.0, 2), "t must hold numbers and no NaN"),
    (theory.gamma_upper, (0.1, 1.0, 0), "n must be a whole number"),
    (theory.minimizability_gap, (0.5, P63, np.full(5, 0.2), 1.0), "P and w must have shapes"),
    (theory.minimizability_gap, (0.5, P63, W6 * 2, 1.0), "w must be weights that sum to 1"),
    (theory.minimizability_gap, (NAN, P63, W6, 1.0), "R_star must be a finite number"),
    (theory.gap_upper_bound, (-0.5, P63, W6, 1.0), "R0_star must be a finite number of at least 0"),
    (HConsistencyBound, (-1.0, 3), "tau must be"),
    (HConsistencyBound, (1.0, 1), "n must be a whole number"),
    (HConsistencyBound(1.0, 2).check, (P3, H3), "p must have n = 2 classes"),
    (tables.adversarial_margin_loss, (TABLE, 1.0, 0.0), "rho must be a finite number above 0"),
    (tables.adversarial_zero_one, (np.zeros(3),), "scores must have shape"),
    (tables.smooth_adversarial_loss, (TABLE, 1.0, 1.0, -1.0), "nu must be a finite number of at least 0"),
    (tables.smooth_adversarial_loss, (1e4 * np.eye(2), 1.0, 1.0, 1.0), "scores must not differ by more"),
    (tables.adversarial_witness, (0.5, 3, 1.0, 0), "perturbations must be a whole number"),
    (FiniteLinearModel, (np.array([0.0, 0.0]), 3), "points must be strictly increasing"),
    (FiniteLinearModel, (np.array([0.0, 1.0]), 1), "classes must be a whole number"),
    (MODEL.realise, (np.array([0, 1, 0, 0, 0, 0]),), "sequence must be consecutive blocks"),
    (MODEL.best_error, (P63[:5], W6), "P and w must have shapes (6, 3)"),
    (comp_sum, (LOGITS, TARGET, -1.0), "tau must be a finite number of at least 0"),
    (comp_sum, (LOGITS, TARGET, NAN), "tau must be a finite number of at least 0"),
    (comp_sum, (LOGITS, torch.tensor([0, 3])), "target must be in 0 … 2, got 0 … 3"),
    (comp_sum, (LOGITS, torch.tensor([0, -100])), "target must be in 0 … 2"),
    (comp_sum, (LOGITS, torch.tensor([0.0, 1.0])), "target must be a tensor of class indices"),
    (comp_sum, (LOGITS, torch.tensor([0, 1, 2])), "target must have the shape of logits without classes"),
    (comp_sum, (LOGITS[:, :1], TARGET), "logits must have shape (batch, classes >= 2"),
    (comp_sum, (LOGITS[:0], TARGET[:0]), "logits must be a non-empty floating-point tensor"),
    (comp_sum, (LOGITS.long(), TARGET), "logits must be a non-empty floating-point tensor"),
    (comp_sum, (LOGITS, TARGET, 1.0, "average"), "reduction must be"),
    (CompSumLoss, (-1.0,), "tau must be"),
    (robust.smooth_adversarial_comp_sum, (IDENTITY, LOGITS, TARGET, -0.1), "eps must be"),
    (robust.smooth_adversarial_comp_sum, (IDENTITY, LOGITS, TARGET, 0.1, 1.0, 0.0), "rho must be"),
    (robust.smooth_adversarial_comp_sum, (IDENTITY, LOGITS, TARGET, 0.1, 1.0, 1.0, -1.0), "nu must be"),
    (robust.smooth_adversarial_comp_sum, (IDENTITY, LOGITS, TARGET, 0.1, 1.0, 1.0, 1.0, 5, "l1"), "norm must be"),
    (robust.trades_loss, (IDENTITY, LOGITS, TARGET, 0.1, -1.0), "beta must be"),
    (robust.pgd_adversarial_loss, (IDENTITY, LOGITS, TARGET, 0.1, -1), "steps must be a whole number"),
    (lambda: robust.projected_gradient_attack(torch.sum, LOGITS, 0.1, box=(1.0, 2.0)), (), "x must lie in box"),
    (lambda: robust.projected_gradient_attack(torch.sum, LOGITS, 0.1, box=(2.0, 1.0)), (), "box must be"),
    (lambda: robust.projected_gradient_attack(torch.sum, LOGITS, 0.1, step_size=0.0), (), "step_size must be"),
    (lambda: robust.AdversarialTrainer(small_net(), robust.trades_loss, epochs=0), (), "epochs must be"),
    (lambda: robust.AdversarialTrainer(small_net(), robust.trades_loss).fit(LOGITS, TARGET[:1]), (), "y must have shape"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
