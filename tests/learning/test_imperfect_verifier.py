"""Resampling with an imperfect verifier: closed forms, ceilings, estimators, the authors' formula, the zoos."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from simulations.learning import imperfect_verifier as simulation
from simulations.learning import resampling_checks as checks
from simulations.learning.expression_mutants import BooleanTask, judged_mutants, truth_tables
from theory.fuzz import check_bound
from theory.learning import imperfect_verifier as theory
from theory.learning import verified_sampling

UNIT = st.floats(0, 1)
EXAMPLES = settings(max_examples=40)


@st.composite
def rates(draw):
    """Rates p and q of some tasks under verifiers of any kind, the corners included."""
    count = draw(st.integers(1, 5))
    r, s, c = (draw(arrays(np.float64, count, elements=UNIT | st.sampled_from([0.0, 1.0]))) for _ in range(3))
    p, q, _ = theory.accept_rates(r, s, c)
    return p, q


def enumerated(p: float, q: float, K: int) -> np.ndarray:
    """Chances of (correct, wrong, abstain), summed over all 3^K courses of K attempts."""
    total = np.zeros(3)
    for course in itertools.product(range(3), repeat=K):
        chance = math.prod((p, q, 1 - p - q)[step] for step in course)
        total[next((step for step in course if step < 2), 2)] += chance
    return total


@EXAMPLES
@given(UNIT, UNIT, UNIT)
def test_an_attempt_is_correctly_accepted_wrongly_accepted_or_rejected(r, s, c):
    p, q, beta = theory.accept_rates(r, s, c)
    assert_allclose(p + q + beta, 1, atol=1e-15)
    assert p == pytest.approx(c * r)
    assert q == pytest.approx((1 - s) * (1 - r))


def test_beta_keeps_its_digits_where_almost_everything_is_accepted():
    beta = theory.accept_rates(0.9, 1e-20)[2]
    assert beta == pytest.approx(1e-21, rel=1e-12)


@EXAMPLES
@given(rates(), st.integers(0, 6))
def test_outcomes_are_those_of_all_courses_of_attempts(pair, K):
    found = np.stack(theory.resampling_outcomes(*pair, K))
    expected = np.stack([enumerated(p, q, K) for p, q in zip(*pair, strict=True)], axis=1)
    assert_allclose(found, expected, atol=1e-12)
    assert_allclose(found.sum(axis=0), 1, atol=1e-15)


@EXAMPLES
@given(rates(), st.integers(0, 30))
def test_mean_number_of_attempts_counts_attempts_that_are_made(pair, K):
    beta = 1 - np.add(*pair)
    expected = sum(beta**k for k in range(K)) if K else 0 * beta
    assert_allclose(theory.expected_attempts(*pair, K), expected, atol=1e-12)


def test_outcomes_have_the_shape_of_tasks_by_attempts():
    p = np.full((2, 3), 0.2)
    assert theory.resampling_outcomes(p, p, np.arange(4))[0].shape == (2, 3, 4)
    assert np.shape(theory.resampling_outcomes(0.2, 0.1, 3)[0]) == ()


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [(0.0, 0.0, (0, 0, 1)), (1.0, 0.0, (1, 0, 0)), (0.0, 1.0, (0, 1, 0)), (0.25, 0.75, (0.25, 0.75, 0))],
)
def test_corners_give_no_nan(p, q, expected):
    """Never accepted, always correct, always wrong, accepted at once."""
    found = theory.resampling_outcomes(p, q, np.array([0, 1, 1000]))
    assert_allclose([x[1:] for x in found], np.repeat(np.array(expected)[:, None], 2, axis=1), atol=1e-15)
    assert [float(x[0]) for x in found] == [0, 0, 1]


def test_rare_acceptance_is_not_lost_to_rounding():
    correct, wrong, abstain = theory.resampling_outcomes(1e-18, 1e-18, 1000)
    assert correct == pytest.approx(1e-15)
    assert wrong == pytest.approx(1e-15)
    assert abstain == pytest.approx(1 - 2e-15, abs=2e-16)
    assert theory.resampling_outcomes(0.4, 0.2, 700)[2] == pytest.approx(0.4**700, rel=1e-10)


def test_simulated_attempts_agree_with_the_closed_form():
    p, q = np.array([0.87, 0.13, 0.02, 0.0, 0.3]), np.array([0.0325, 0.2175, 0.01, 0.0, 0.7])
    draws = 400_000
    for K in (0, 1, 5, 40):
        found = np.stack(theory.simulate_resampling(p, q, K, draws, np.random.default_rng(K)))
        expected = np.stack(theory.resampling_outcomes(p, q, K))
        error = np.sqrt(np.maximum(expected * (1 - expected), 0) / draws)
        assert (np.abs(found - expected) <= 4.5 * error + 1e-15).all()


@pytest.mark.parametrize("bound", [*verified_sampling.BOUNDS, *theory.BOUNDS], ids=lambda b: b.name)
def test_bounds_hold_and_are_approached(bound):
    report = bound.check(3000, seed=1)
    assert report.holds, report.witness
    assert report.worst_ratio > 0.999


def test_a_bound_without_concavity_is_refuted():
    """Jensen holds with one soundness only: with soundness of their own, tasks can beat their mean."""
    report = check_bound(
        lambda r, s: np.asarray(theory.precision(r, (1 - s) * (1 - r))).mean(axis=1),
        lambda r, s: np.asarray(theory.precision(r.mean(1), (1 - s.mean(1)) * (1 - r.mean(1)))),
        lambda rng, n: {"r": rng.random((n, 2)), "s": rng.random((n, 2))}, 2000,
    )  # fmt: skip
    assert not report.holds


@EXAMPLES
@given(rates())
def test_accuracy_rises_to_the_ceiling_which_is_one_only_without_false_positives(pair):
    p, q = pair
    accuracy = np.asarray(theory.resampling_outcomes(p, q, np.arange(200))[0]).mean(axis=0)
    ceiling = theory.accuracy_ceiling(p, q)
    assert (np.diff(accuracy) >= -1e-15).all()
    assert accuracy.max() <= ceiling + 1e-15
    assert (ceiling > 1 - 1e-15) == bool(np.all((p > 0) & (q <= 1e-15 * p)))


def test_a_perfect_verifier_lets_accuracy_reach_one_at_the_rate_of_the_hardest_task():
    r = np.array([0.9, 0.1, 0.01])
    p, q, beta = theory.accept_rates(r, 1.0)
    for K in (1, 10, 500):
        accuracy = np.mean(theory.resampling_outcomes(p, q, K)[0])
        assert 0 <= 1 - accuracy <= beta.max() ** K + 1e-15


def test_precision_is_the_derivative_and_concave_as_stated():
    import sympy

    r, s = sympy.symbols("r s")
    g = r / (r + (1 - s) * (1 - r))
    assert sympy.simplify(sympy.diff(g, r) - (1 - s) / (r + (1 - s) * (1 - r)) ** 2) == 0
    assert sympy.simplify(sympy.diff(g, r, 2) + 2 * s * (1 - s) / (r + (1 - s) * (1 - r)) ** 3) == 0
    cut, strong = sympy.symbols("x y")
    (solution,) = sympy.solve(sympy.Eq(g.subs(r, cut), strong), cut)
    assert sympy.simplify(solution - strong * (1 - s) / (1 - strong * s)) == 0
    value = theory.precision(*theory.accept_rates(0.3, 0.9)[:2])
    assert value == pytest.approx(float(g.subs({r: 0.3, s: 0.9})))


def test_inequalities_are_certified():
    pytest.importorskip("flint")
    proofs = theory.certified_statements()
    assert len(proofs) == 7
    for statement, certificate in proofs.items():
        assert certificate.proved, statement


@EXAMPLES
@given(st.floats(0, 0.999), st.floats(0, 0.999))
def test_the_weakest_model_that_can_catch_up_just_does(s, strong):
    cut = theory.minimum_weak_accuracy(s, strong)
    assert cut <= strong
    assert theory.precision(*theory.accept_rates(cut, s)[:2]) == pytest.approx(strong, abs=1e-12)


def test_catching_up_at_the_corners():
    assert theory.minimum_weak_accuracy(1.0, 1.0) == 0.0
    assert theory.minimum_weak_accuracy(0.5, 1.0) == 1.0
    assert theory.minimum_weak_accuracy(0.0, 0.7) == pytest.approx(0.7)


@EXAMPLES
@given(arrays(np.float64, st.integers(1, 6), elements=UNIT), st.floats(0, 0.99), st.floats(0.01, 0.99))
def test_no_mixture_of_tasks_below_the_cut_reaches_the_strong_model(r, s, strong):
    p, q, _ = theory.accept_rates(r, s)
    if theory.accuracy_ceiling(p, q) >= strong:
        assert r.mean() >= theory.minimum_weak_accuracy(s, strong) - 1e-12


def test_rates_are_estimated_by_row_means():
    correct = np.array([[True, True, False, False], [False, False, False, False]])
    accept = np.array([[True, False, True, False], [True, False, False, False]])
    found = theory.estimate_rates(correct, accept)
    assert_array_equal(found.r, [0.5, 0])
    assert_array_equal(found.p, [0.25, 0])
    assert_array_equal(found.q, [0.25, 0.25])
    assert found.soundness == pytest.approx(4 / 6)
    assert theory.estimate_rates(correct | True, accept).soundness == 1.0


def test_conditional_accuracy_bounds_the_tasks_without_an_accepted_sample():
    correct, accept = np.array([[True, False]] * 3), np.array([[True, True], [True, False], [False, False]])
    assert theory.conditional_accuracy(correct, accept) == pytest.approx(0.75)
    assert theory.conditional_accuracy(correct, accept, "worst") == pytest.approx(0.5)
    assert theory.conditional_accuracy(correct, accept, "best") == pytest.approx(2.5 / 3)


def test_conditional_accuracy_without_any_accepted_sample_is_refused_by_name():
    nothing = np.zeros((2, 3), dtype=bool)
    with pytest.raises(ValueError, match="accept"):
        theory.conditional_accuracy(nothing, nothing)
    assert theory.conditional_accuracy(nothing, nothing, "worst") == 0.0
    assert theory.conditional_accuracy(nothing, nothing, "best") == 1.0


def test_conditional_accuracy_estimates_the_ceiling():
    rng = np.random.default_rng(3)
    r, samples = rng.uniform(0.2, 0.9, 40), 20_000
    correct = rng.random((40, samples)) < r[:, None]
    accept = correct | (rng.random(correct.shape) < 0.2)
    p, q, _ = theory.accept_rates(r, 0.8)
    assert theory.conditional_accuracy(correct, accept) == pytest.approx(theory.accuracy_ceiling(p, q), abs=2e-3)


@pytest.mark.parametrize("K", [0, 1, 2, 3, 5])
def test_outcomes_without_replacement_are_those_of_all_orders(K):
    rng = np.random.default_rng(K)
    correct, accept = rng.random((4, 5)) < 0.5, rng.random((4, 5)) < 0.5
    accept[0], accept[1] = False, True
    expected = np.zeros((3, 4))
    orders = list(itertools.permutations(range(5)))
    for task, order in itertools.product(range(4), orders):
        first = next((i for i in order[:K] if accept[task, i]), None)
        expected[2 if first is None else int(not correct[task, first]), task] += 1 / len(orders)
    assert_allclose(np.stack(theory.permutation_outcomes(correct, accept, K)), expected, atol=1e-12)


@EXAMPLES
@given(st.integers(1, 60), st.data())
def test_a_perfect_verifier_without_replacement_is_pass_at_k(samples, data):
    right, K = data.draw(st.integers(0, samples)), data.draw(st.integers(0, samples))
    correct = (np.arange(samples) < right)[None]
    found = float(theory.permutation_outcomes(correct, correct, K)[0].item())
    exact = 1 - Fraction(math.comb(samples - right, K), math.comb(samples, K))
    assert found == pytest.approx(float(exact), abs=1e-11)


def test_more_draws_than_samples_are_refused(unchecked):
    with pytest.raises(ValueError, match="K must be at most"):
        theory.permutation_outcomes(np.ones((1, 3), dtype=bool), np.ones((1, 3), dtype=bool), 4)


def test_the_notebooks_formula_is_not_the_reward_of_its_own_model():
    p, q, w = checks.two_type_example()
    draws = 4_000_000
    right, wrong, _ = theory.simulate_resampling(p, q, 5, draws, np.random.default_rng(0))
    simulated, ours = w @ (right - wrong), theory.reward_curve(p, q, -1.0, 5, w)[-1]
    theirs = checks.notebook_reward(p, q, -1.0, 5, w)
    assert abs(simulated - ours) < 2e-3
    assert ours == pytest.approx(0.44498, abs=1e-5)
    assert theirs == pytest.approx(0.4249, abs=1e-4)
    assert abs(simulated - theirs) > 0.015


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.accept_rates(1.2, 0.5), "r"),
        (lambda: theory.accept_rates(0.5, -0.1), "soundness"),
        (lambda: theory.accept_rates(np.ones(2) / 2, np.ones(3) / 2), "soundness"),
        (lambda: theory.resampling_outcomes(0.7, 0.6, 3), "p"),
        (lambda: theory.resampling_outcomes(0.7, 0.2, -1), "K"),
        (lambda: theory.resampling_outcomes(0.7, 0.2, 1.5), "K"),
        (lambda: theory.resampling_outcomes(np.ones(2) / 3, np.ones(3) / 3, 1), "q"),
        (lambda: theory.accuracy_ceiling(np.ones(2) / 3, np.ones(2) / 3, np.array([0.7, 0.7])), "w"),
        (lambda: theory.accuracy_ceiling(np.ones(2) / 3, np.ones(2) / 3, np.ones(3) / 3), "w"),
        (lambda: theory.estimate_rates(np.ones((2, 2)), np.ones((2, 2), dtype=bool)), "correct"),
        (lambda: theory.simulate_resampling(np.ones(1), np.zeros(1), 1, 1, 0), "rng"),
    ],
)
def test_wrong_arguments_are_named(call, name, unchecked):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()


def test_gates_and_literals_are_those_of_their_truth_tables():
    inputs = np.arange(256)
    bits = np.array([(inputs >> k) & 1 for k in range(8)])
    for gate in range(16):
        table = truth_tables(np.array([[2, 13]]), np.array([[gate]]))[0]
        found = (table[inputs // 64] >> (inputs % 64).astype(np.uint64)) & np.uint64(1)
        a, b = bits[2], 1 - bits[5]
        assert_array_equal(found, (gate >> (2 * a + b)) & 1)


def test_a_deeper_formula_is_evaluated_from_its_leaves_upwards():
    leaves, gates = np.array([[0, 1, 2, 3]]), np.array([[6, 8, 14]])  # (x0 and x1) xor (x2 or x3)
    table = truth_tables(leaves, gates)[0]
    for i in range(256):
        x = [(i >> k) & 1 for k in range(4)]
        assert (int(table[i // 64]) >> (i % 64)) & 1 == (x[0] & x[1]) ^ (x[2] | x[3])


def test_a_correct_mutant_is_accepted_and_all_inputs_make_a_perfect_verifier():
    rng = np.random.default_rng(0)
    leaves, gates = rng.integers(0, 16, 4), np.array([6, 8, 14])
    few, every = (BooleanTask(leaves, gates, visible) for visible in (np.arange(3), np.arange(256)))
    correct, accept = judged_mutants(few, np.random.default_rng(1), np.array([0.0, 0.3]), 200)
    assert correct[0].all()
    assert (accept >= correct).all()
    assert accept[1].sum() > correct[1].sum()
    correct, accept = judged_mutants(every, np.random.default_rng(1), np.array([0.3]), 200)
    assert_array_equal(correct, accept)


def test_the_chance_that_tests_miss_an_error_is_hypergeometric():
    passing = simulation._passing(1, np.array([0, 8]))
    assert_allclose(passing[:, 0], 1)
    for row, size in ((0, 1), (511, 127)):
        assert passing[row, 1] == pytest.approx(math.comb(256 - size, 8) / math.comb(256, 8), rel=1e-9)


def test_models_below_the_strongest_are_counted_with_their_order():
    import pandas as pd

    rows = pd.DataFrame(
        {
            "replicate": 0,
            "model": range(5),
            "ceiling": [0.5, 0.9, 0.7, 0.95, 0.99],
            "accuracy": [0.1, 0.2, 0.4, 0.6, 0.8],
        }
    )
    counts = simulation.models_below(rows, "ceiling", "accuracy").iloc[0]
    assert counts["below"] == 2
    assert counts["inversions"] == 1
