"""The best number of attempts: exact against rational arithmetic, at ties and corners, and far beyond saturation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from theory.learning.imperfect_verifier import accept_rates
from theory.learning.optimal_attempts import (
    optimal_attempts,
    posterior_after_rejections,
    reward_curve,
    reward_limit,
    two_type_optimum,
)

P, Q, W = np.array([0.87, 0.13]), np.array([0.0325, 0.2175]), np.array([0.58, 0.42])
EXAMPLES = settings(max_examples=40)


@st.composite
def rational_tasks(draw):
    """Up to five tasks with rates that are fractions, so that rewards can be compared exactly."""
    scale = draw(st.sampled_from([2, 4, 10, 20]))
    tasks = []
    for _ in range(draw(st.integers(1, 5))):
        p = draw(st.integers(0, scale))
        tasks.append((Fraction(p, scale), Fraction(draw(st.integers(0, scale - p)), scale)))
    return tasks, -Fraction(draw(st.integers(0, 32)), 8), Fraction(draw(st.sampled_from([0, 0, 1, 3])), 40)


def exact_optimum(tasks, V, cost, horizon=100):
    """Argmax of the reward up to a horizon in rational arithmetic, the smallest of several, infinity if R(∞) is above."""
    values, betas = [p + V * q - cost for p, q in tasks], [1 - p - q for p, q in tasks]
    rewards, powers = [Fraction(0)], [Fraction(1)] * len(tasks)
    for _ in range(horizon):
        rewards.append(rewards[-1] + sum(v * b for v, b in zip(values, powers, strict=True)))
        powers = [b * x for b, x in zip(betas, powers, strict=True)]
    best = max(range(horizon + 1), key=lambda K: (rewards[K], -K))
    if any(b == 1 and v != 0 for v, b in zip(values, betas, strict=True)):
        return best
    limit = sum((v / (1 - b) for v, b in zip(values, betas, strict=True) if b < 1), Fraction(0))
    return math.inf if limit > rewards[best] else best


@given(rational_tasks())
def test_optimum_is_that_of_rational_arithmetic_ties_included(instance):
    tasks, V, cost = instance
    p, q = (np.array([float(task[k]) for task in tasks]) for k in (0, 1))
    expected = exact_optimum(tasks, V, cost)
    found = optimal_attempts(p, q, float(V), cost=float(cost))
    assert found == expected or (math.isfinite(found) and found > 100)


@EXAMPLES
@given(rational_tasks())
def test_reward_curve_adds_up_its_increments(instance):
    tasks, V, cost = instance
    p, q = (np.array([float(task[k]) for task in tasks]) for k in (0, 1))
    expected = [Fraction(0)]
    for k in range(30):
        step = sum((p + V * q - cost) * (1 - p - q) ** k for p, q in tasks) / len(tasks)
        expected.append(expected[-1] + step)
    assert_allclose(reward_curve(p, q, float(V), 30, cost=float(cost)), [float(x) for x in expected], atol=1e-12)


def test_the_authors_example():
    curves = {V: reward_curve(P, Q, V, 15, W) for V in (-0.7, -1.0, -2.0)}
    for V, (K, best) in {-0.7: (3, 0.5246), -1.0: (2, 0.4724), -2.0: (1, 0.3388)}.items():
        assert optimal_attempts(P, Q, V, W) == two_type_optimum(P, Q, V, W) == int(curves[V].argmax()) == K
        assert curves[V].max() == pytest.approx(best, abs=5e-5)


def test_cheap_wrong_answers_are_worth_unlimited_attempts_though_the_curve_saturates():
    """The notebook's 626, 83 and 46 are where a rising curve stops rising in floating point."""
    edge = 0.13 / 0.2175
    for V in (-0.1, -0.3, -0.5, -edge + 1e-9):
        assert optimal_attempts(P, Q, V, W) == two_type_optimum(P, Q, V, W) == math.inf
    for V in (-edge - 1e-9, -0.65):
        assert math.isfinite(optimal_attempts(P, Q, V, W))
    # The hard type is then worth nothing, and the easy one something for ever.
    assert optimal_attempts(P, Q, -edge, W) == math.inf


def test_an_optimum_far_beyond_saturation_is_found():
    """The increments at the optimum are 2^(−346,000): every curve in floating point is flat there."""
    p, q, w = np.array([0.50001, 0.005]), np.array([0.0, 0.495]), np.array([1.0, 1e-3]) / 1.001
    value_hard = 0.005 - 0.495
    exact = 1 + math.floor(math.log(p[0] / (1e-3 * -value_hard)) / (math.log1p(-0.5) - math.log1p(-p[0])))
    assert exact > 100_000
    assert optimal_attempts(p, q, -1.0, w) == pytest.approx(exact, rel=1e-9)
    assert two_type_optimum(p, q, -1.0, w) == pytest.approx(exact, rel=1e-9)


@settings(max_examples=80)
@given(st.data())
def test_two_types_agree_with_the_search_and_with_the_signs_of_increments(data):
    unit = st.floats(0.001, 0.999)
    r = np.sort([data.draw(unit), data.draw(unit)])[::-1]
    p, q, beta = accept_rates(r, data.draw(unit))
    V, w = -data.draw(st.floats(0.05, 20)), data.draw(unit)
    w = np.array([w, 1 - w])
    v = p + V * q
    assume(abs(r[0] - r[1]) > 1e-6 and np.abs(v).min() > 1e-9)
    found = two_type_optimum(p, q, V, w)
    assert found == optimal_attempts(p, q, V, w)
    if v[0] > 0 > v[1]:
        k = np.arange(1, 2001)
        lead = np.log(w[0] * v[0] / (-w[1] * v[1])) + (k - 1) * np.log(beta[0] / beta[1])
        assume(np.abs(lead).min() > 1e-9)
        assert found == (lead > 0).sum() or found > 2000
    else:
        assert found == (math.inf if v[1] > 0 else 0)


def test_a_tie_goes_to_the_smaller_number():
    """Betas 1/4 and 1/2, values 1/2 and −1/4: increments 1/4, 0, −1/16, … with the second attempt worth nothing."""
    p, q = np.array([0.5, 0.125]), np.array([0.25, 0.375])
    values = p - q
    assert values.tolist() == [0.25, -0.25]
    w = np.array([2, 1]) / 3
    assert reward_curve(p, q, -1.0, 2, w)[1] == pytest.approx(reward_curve(p, q, -1.0, 2, w)[2])
    assert optimal_attempts(p, q, -1.0, w) == two_type_optimum(p, q, -1.0, w) == 1
    even = np.array([0.5, 0.5])
    assert optimal_attempts(p, q, -1.0, even) == two_type_optimum(p, q, -1.0, even) == 0


def test_hard_tasks_with_the_value_make_the_reward_fall_before_it_rises():
    """Easy tasks are accepted wrongly, hard ones rightly: 0 or infinity, by the limit."""
    p, q = np.array([0.0, 0.01]), np.array([0.5, 0.0])
    for w, expected in (([0.1, 0.9], math.inf), ([0.9, 0.1], 0)):
        assert optimal_attempts(p, q, -1.0, np.array(w)) == two_type_optimum(p, q, -1.0, np.array(w)) == expected
    assert reward_curve(p, q, -1.0, 3, np.array([0.5, 0.5]))[1] < 0


def test_several_changes_of_sign_are_all_looked_at():
    """Values +, −, + by rising beta: a local maximum after which the reward falls and rises again."""
    p, q = np.array([0.9, 0.0, 0.02]), np.array([0.0, 0.3, 0.0])
    few, many = np.array([0.5, 0.45, 0.05]), np.array([0.5, 0.3, 0.2])
    # v/(p + q) = 1, −1, 1: the limit is .1 against .5 · .9 − .45 · .3 + … after one attempt, and .4 against more.
    assert optimal_attempts(p, q, -1.0, few) == 1
    curve = reward_curve(p, q, -1.0, 5000, few)
    assert curve.argmax() == 1
    assert curve[10] < curve[1] > curve[-1] > curve[10]
    costly = np.array([0.1, 0.2, 0.7])
    assert optimal_attempts(p, q, -1.0, costly) == math.inf
    assert optimal_attempts(p, q, -1.0, costly, K_max=2) == int(reward_curve(p, q, -1.0, 2, costly).argmax())
    assert reward_limit(p, q, -1.0, many) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("p", "q", "V", "expected"),
    [
        ([0.0], [0.0], -1.0, 0), ([1.0], [0.0], -1.0, 1), ([0.6], [0.4], -1.0, 1), ([0.4], [0.6], -1.0, 0),
        ([0.3], [0.2], -1.0, math.inf), ([0.2], [0.3], -1.0, 0), ([0.2], [0.2], -1.0, 0), ([0.0, 1.0], [0.0, 0.0], -9.0, 1),
        ([1.0, 0.1], [0.0, 0.4], -1.0, 1), ([0.5, 0.0], [0.0, 0.0], -1.0, math.inf), ([0.0, 0.0], [1.0, 0.3], -0.0, 0),
    ],
)  # fmt: skip
def test_corners(p, q, V, expected):
    """Never accepted, accepted at once, one type, a tie at 0, easy tasks over after one attempt."""
    assert optimal_attempts(np.array(p), np.array(q), V) == expected
    if len(p) == 2:
        assert two_type_optimum(np.array(p), np.array(q), V) == expected


def test_a_price_per_attempt_ends_what_would_go_on_for_ever():
    p, q = np.array([0.5, 0.0]), np.array([0.0, 0.0])
    assert optimal_attempts(p, q, -1.0) == math.inf
    # Increments (.5 − .1) .5^k / 2 − .1/2: positive while .5^(k − 1) > 1/4.
    assert optimal_attempts(p, q, -1.0, cost=0.1) == two_type_optimum(p, q, -1.0, cost=0.1) == 2
    assert reward_limit(p, q, -1.0, cost=0.1) == -math.inf
    assert optimal_attempts(p, q, -1.0, cost=0.6) == 0


@EXAMPLES
@given(st.integers(0, 2**32 - 1))
def test_dearer_wrong_answers_never_allow_more_attempts(seed):
    rng = np.random.default_rng(seed)
    tasks = int(rng.integers(1, 30))
    p, q, _ = accept_rates(rng.random(tasks), rng.random(tasks))
    best = [optimal_attempts(p, q, -V) for V in np.geomspace(0.01, 50, 15)]
    assert best == sorted(best, reverse=True)
    assert (np.diff(reward_curve(p, q, 0.0, 60)) >= -1e-14).all()


@EXAMPLES
@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.05, 20), st.integers(1, 8))
def test_equal_tasks_have_no_finite_interior_optimum(r, s, V, tasks):
    p, q, _ = accept_rates(np.full(tasks, r), s)
    assert optimal_attempts(p, q, -V, np.random.default_rng(0).dirichlet(np.ones(tasks))) in (0, math.inf)


def test_one_soundness_makes_the_curve_unimodal():
    rng = np.random.default_rng(5)
    for _ in range(50):
        p, q, beta = accept_rates(rng.random(20), rng.random())
        steps = np.sign(beta ** np.arange(30)[:, None] @ (p - rng.uniform(0.2, 5) * q))
        assert (np.diff(steps) <= 0).all()


@EXAMPLES
@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_a_limit_gives_the_best_of_what_it_allows(seed, K_max):
    rng = np.random.default_rng(seed)
    p, q, _ = accept_rates(rng.random(4), rng.random(4))
    V = -float(rng.uniform(0.1, 5))
    curve = reward_curve(p, q, V, K_max)
    found = optimal_attempts(p, q, V, K_max=K_max)
    assert found <= K_max
    assert curve[int(found)] >= curve.max() - 1e-15


def test_survivors_of_rejections_are_the_hard_tasks():
    belief = posterior_after_rejections(P, Q, np.arange(20), W)
    assert_allclose(belief.sum(axis=0), 1)
    assert_allclose(belief[:, 0], W)
    assert (np.diff(belief[1]) > 0).all()
    expected = W * (1 - P - Q) ** 3
    assert_allclose(belief[:, 3], expected / expected.sum())
    # and so an accepted answer is ever more likely wrong
    wrong = (belief * Q[:, None]).sum(axis=0) / (belief * (P + Q)[:, None]).sum(axis=0)
    assert (np.diff(wrong) > 0).all()


def test_beliefs_after_more_rejections_than_floats_can_hold():
    belief = posterior_after_rejections(np.array([0.5, 0.4, 1.0]), np.zeros(3), np.array([10**6]))
    assert_allclose(belief[:, 0], [0, 1, 0], atol=1e-300)
    assert_allclose(posterior_after_rejections(np.ones(2), np.zeros(2), 3), [0.5, 0.5])


def test_a_reward_for_wrong_answers_warns():
    with pytest.warns(UserWarning, match="V"):
        reward_curve(P, Q, 0.5, 3, W)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: reward_curve(P, Q, math.nan, 3), "V"),
        (lambda: reward_curve(P, Q, -1.0, -1), "K_max"),
        (lambda: reward_curve(P, Q, -1.0, 3, cost=-1.0), "cost"),
        (lambda: optimal_attempts(P, 1.5 * P, -1.0), "q"),
        (lambda: optimal_attempts(P, Q, -1.0, np.array([1.0])), "w"),
        (lambda: two_type_optimum(np.ones(3) / 3, np.ones(3) / 3, -1.0), "p"),
    ],
)
def test_wrong_arguments_are_named(call, name, unchecked):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()
