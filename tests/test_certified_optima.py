"""Bounds from dual points hold whatever the dual point is, and are tight if the solver was good."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from theory.certified_optima import (
    Enclosure,
    entropy_bounds,
    entropy_sup,
    lp_lower_bound,
    lp_upper_bound,
    sdp_upper_bound,
    unit_diagonal_lower_bound,
)

pytest.importorskip("flint")

ONE = np.ones(1)
NONE = np.zeros((0, 1))


def closed_form(z, lam) -> Fraction:
    """lam log mean exp(z / lam) to 60 digits, by mpmath."""
    with mpmath.workdps(60):
        scores = [mpmath.mpf(float(s)) for s in z]
        top, temperature = max(scores), mpmath.mpf(float(lam))
        mean = mpmath.fsum(mpmath.exp((s - top) / temperature) for s in scores) / len(scores)
        return Fraction(str(mpmath.nstr(top + temperature * mpmath.log(mean), 60)))


def random_programme(seed: int):
    """A feasible, bounded linear programme with a known interior point."""
    random = np.random.default_rng(seed)
    c, G, E = random.normal(size=5), random.normal(size=(4, 5)), random.normal(size=(2, 5))
    inside = random.random(5)
    return c, G, G @ inside + random.random(4) + 1e-9, E, E @ inside, np.full(5, 2.0), inside


def solved(c, G, h, E, f, upper):
    result = linprog(c, G, h, E, f, bounds=[(0, u) for u in upper], method="highs")
    return result.x, (-result.ineqlin.marginals, result.eqlin.marginals), result.fun


# --- linear ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_bounds_of_a_linear_programme_meet_at_the_optimum(seed):
    c, G, h, E, f, upper, _ = random_programme(seed)
    point, dual, value = solved(c, G, h, E, f, upper)
    lower = lp_lower_bound(c, G, h, E, f, dual, upper)
    higher = lp_upper_bound(c, G, h, E, f, point, upper)
    assert isinstance(lower, Fraction)
    assert lower <= higher
    assert float(higher - lower) < 1e-13
    assert float(lower) == pytest.approx(value, abs=1e-9)


@given(st.integers(0, 20), st.lists(st.floats(-50, 50), min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_every_dual_point_bounds_a_linear_programme(seed, numbers):
    c, G, h, E, f, upper, inside = random_programme(seed)
    dual = np.array(numbers[:4]), np.array(numbers[4:])
    bound = lp_lower_bound(c, G, h, E, f, dual, upper)
    # The point meets E x = f up to rounding only.
    assert float(bound) <= c @ inside + 1e-12 * (1 + abs(dual[1]).sum())
    assert float(bound) <= solved(c, G, h, E, f, upper)[2] + 1e-9


def test_the_lagrangian_is_minimised_over_the_box():
    """Brute force: the bound is the smallest value of L(x) at the corners of the box."""
    c, G, h, E, f, upper, _ = random_programme(3)
    lam, nu = np.array([0.5, 0.0, 2.0, 1.0]), np.array([-1.0, 3.0])
    corners = np.array(np.meshgrid(*[[0, u] for u in upper])).reshape(5, -1).T
    values = corners @ c + (corners @ G.T - h) @ lam - (corners @ E.T - f) @ nu
    assert float(lp_lower_bound(c, G, h, E, f, (lam, nu), upper)) == pytest.approx(values.min(), abs=1e-12)
    negative = np.where(lam == 0, -7.0, lam)
    assert lp_lower_bound(c, G, h, E, f, (negative, nu), upper) == lp_lower_bound(c, G, h, E, f, (lam, nu), upper)


def test_the_calibration_of_a_finite_score_set_is_certified_from_both_sides():
    """Logistic loss, scores {-3, -2.25, .., 3}^2 x {0}, n = 3, p_0 - p_1 >= .4, label 1 predicted."""
    levels = np.arange(-3, 3.01, 0.75)
    scores = np.array([(first, second, 0.0) for first in levels for second in levels])
    losses = np.log(np.exp(scores).sum(1))[:, None] - scores
    gaps, best = [], None
    predicted = [i for i, s in enumerate(scores) if s[1] == s.max()]
    for i in predicted:
        c = np.append(losses[i], -1.0)
        ordered = np.array([[-1.0, 1, 0, 0], [-1, 0, 1, 0], [-1, 1, 0, 0]])
        G = np.vstack([np.column_stack([-losses, np.ones(len(scores))]), ordered])
        h = np.append(np.zeros(len(scores)), [0, 0, -0.4])
        E, f, upper = np.array([[1.0, 1, 1, 0]]), np.ones(1), np.array([1.0, 1, 1, 10])
        point, dual, value = solved(c, G, h, E, f, upper)
        lower = lp_lower_bound(c, G, h, E, f, dual, upper)
        higher = lp_upper_bound(c, G, h, E, f, point, upper)
        assert lower <= higher
        gaps.append(max(float(higher - lower), abs(value - float(lower))))
        if best is None or higher < best[0]:
            best = higher, lower
    assert len(predicted) == 35
    assert max(gaps) < 1e-13
    assert best is not None
    assert float(best[0] - best[1]) < 1e-15
    assert float(best[0]) == pytest.approx(0.0726097306091887, abs=1e-15)
    # Bounded scores: below T_1(.4), the calibration function of unbounded ones.
    assert float(best[0]) < (1.4 * np.log(1.4) + 0.6 * np.log(0.6)) / 2


def test_a_point_that_cannot_be_repaired_is_refused():
    with pytest.raises(ValueError, match="point must be close to a feasible point"):
        lp_upper_bound(ONE, -np.ones((1, 1)), -ONE, NONE, np.zeros(0), np.array([0.5]), 5 * ONE)


# --- semidefinite ---------------------------------------------------------------------------------


def max_cut(size: int):
    """Unit-diagonal programme for the cycle: C = L/4."""
    adjacency = np.roll(np.eye(size), 1, 0) + np.roll(np.eye(size), -1, 0)
    constraints = np.array([np.diag(row) for row in np.eye(size)])
    return (2 * np.eye(size) - adjacency) / 4, constraints, np.ones(size)


def test_the_five_cycle_is_enclosed():
    C, A, ones = max_cut(5)
    exact = 5 * (5 + 5**0.5) / 8
    angles = np.arange(5) * 4 * np.pi / 5
    lower = unit_diagonal_lower_bound(C, np.column_stack([np.cos(angles), np.sin(angles)]))
    upper = sdp_upper_bound(C, A, ones, np.full(5, exact / 5), 5)
    with mpmath.workdps(40):
        optimum = Fraction(str(mpmath.nstr(5 * (5 + mpmath.sqrt(5)) / 8, 40)))
    assert lower <= optimum <= upper
    assert float(upper - lower) < 1e-13


@pytest.mark.parametrize(("solver", "options", "gap"), [("CLARABEL", {}, 1e-6), ("SCS", {"eps": 1e-9}, 1e-6)])
def test_solvers_are_certified_without_trusting_their_value_or_their_sign(solver, options, gap):
    cvxpy = pytest.importorskip("cvxpy")
    C, A, ones = max_cut(5)
    X = cvxpy.Variable((5, 5), PSD=True)
    constraint = cvxpy.diag(X) == 1
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.trace(C @ X)), [constraint])
    problem.solve(solver=solver, **options)
    dual = np.asarray(constraint.dual_value)
    upper = min(sdp_upper_bound(C, A, ones, sign * dual, 5) for sign in (1.0, -1.0))
    values, vectors = np.linalg.eigh(np.asarray(X.value))
    lower = unit_diagonal_lower_bound(C, vectors * np.sqrt(np.maximum(values, 0)))
    assert float(lower) - 1e-12 <= 5 * (5 + 5**0.5) / 8 <= float(upper) + 1e-12
    assert float(upper - lower) < gap


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_every_multiplier_bounds_a_semidefinite_programme(y, seed):
    """Random feasible X of unit diagonal, random C and y."""
    random = np.random.default_rng(seed)
    C = random.normal(size=(4, 4))
    C += C.T
    V = random.normal(size=(4, 3))
    constraints = np.array([np.diag(row) for row in np.eye(4)])
    upper = sdp_upper_bound(C, constraints, np.ones(4), np.array(y), 4)
    assert unit_diagonal_lower_bound(C, V) <= upper
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    assert float(unit_diagonal_lower_bound(C, V)) == pytest.approx((C * (V @ V.T)).sum(), abs=1e-12)


def test_the_shift_is_verified_and_not_taken_from_eigenvalues(monkeypatch):
    """max 2 X_01 over unit diagonals is 2; at y = 0 the slack has a zero pivot in a non-zero row."""
    C = np.array([[0.0, 1.0], [1.0, 0.0]])
    constraints = np.array([np.diag(row) for row in np.eye(2)])
    assert sdp_upper_bound(C, constraints, np.ones(2), np.zeros(2), 2) >= 2
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda matrix: np.zeros(len(matrix)))
    assert 2 <= sdp_upper_bound(C, constraints, np.ones(2), np.zeros(2), 2) <= 4


def test_a_general_trace_bound_and_general_constraints():
    """max <C, X>, tr X = 1: the largest eigenvalue, attained by the dual y = lambda_max."""
    C = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert sdp_upper_bound(C, np.eye(2)[None], ONE, 3 * ONE, 1) == 3
    assert 3 < sdp_upper_bound(C, np.eye(2)[None], ONE, 2.9 * ONE, 1) < 3.2
    assert sdp_upper_bound(C, np.eye(2)[None], ONE, 2.9 * ONE, Fraction(3)) > 3.2


# --- entropy --------------------------------------------------------------------------------------


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=100), st.sampled_from([0.01, 0.1, 1.0, 10.0, 1000.0]))
@settings(max_examples=60, deadline=None)
def test_the_entropy_enclosure_contains_the_closed_form(z, lam):
    scores = np.array(z)
    enclosure = entropy_sup(scores, lam)
    assert enclosure.lower <= closed_form(scores, lam) + Fraction(1, 10**50)
    assert enclosure.upper >= closed_form(scores, lam) - Fraction(1, 10**50)
    assert enclosure.lower <= enclosure.upper
    assert enclosure.gap < 1e-18
    assert sum(enclosure.p) == 1


@given(
    st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.floats(-20, 20),
    st.sampled_from([0.1, 1.0, 10.0]),
)
@settings(max_examples=60, deadline=None)
def test_every_law_and_every_number_bound_the_entropy_programme(z, p, nu, lam):
    weights = np.array(p)
    weights[0] = abs(weights[0]) + 0.01
    enclosure = entropy_bounds(np.array(z), lam, weights, nu)
    exact = closed_form(z, lam)
    assert enclosure.lower <= exact + Fraction(1, 10**50)
    assert exact - Fraction(1, 10**50) <= enclosure.upper


@pytest.mark.parametrize("classes", [2, 20])
def test_the_polished_points_beat_those_of_a_solver(classes):
    cvxpy = pytest.importorskip("cvxpy")
    z, lam = np.random.default_rng(classes).normal(size=classes), 0.5
    p = cvxpy.Variable(classes)
    total = cvxpy.sum(p) == 1
    kl = -cvxpy.sum(cvxpy.entr(p)) + np.log(classes)
    cvxpy.Problem(cvxpy.Maximize(z @ p - lam * kl), [total]).solve(solver="CLARABEL")
    duals = [float(np.asarray(total.dual_value)) * sign - shift for sign in (1, -1) for shift in (0.0, lam)]
    raw = min((entropy_bounds(z, lam, np.asarray(p.value), nu) for nu in duals), key=lambda e: e.gap)
    assert raw.lower <= closed_form(z, lam) <= raw.upper
    assert raw.gap < 1e-5
    polished = entropy_sup(z, lam)
    assert polished.gap < 1e-20
    assert raw.lower <= polished.upper
    assert polished.lower <= raw.upper


def test_extreme_temperatures_stay_enclosed():
    for z, lam in ((np.array([0.0, 1e6]), 1e-3), (np.array([3.0]), 2.0), (np.array([1e-300, 0.0]), 1e5)):
        enclosure = entropy_sup(z, lam)
        assert enclosure.lower <= closed_form(z, lam) + Fraction(1, 10**45)
        assert closed_form(z, lam) - Fraction(1, 10**45) <= enclosure.upper
        assert 0 <= enclosure.gap < 1e-9


def test_the_gap_is_the_difference_of_the_ends():
    assert Enclosure(Fraction(1, 4), Fraction(1, 2), (Fraction(1),), Fraction(0)).gap == 0.25


# --- inputs ---------------------------------------------------------------------------------------

LP = {"c": ONE, "G": -np.ones((1, 1)), "h": -ONE, "E": NONE, "f": np.zeros(0), "upper": 5 * ONE}
DUAL = (ONE, np.zeros(0))
EYE = np.eye(2)
SDP = {"C": EYE, "A": EYE[None], "b": ONE, "y": ONE, "trace_bound": 1}
ENTROPY = {"z": np.zeros(2), "lam": 1.0, "p": np.ones(2), "nu": 0.0}
BAD = [
    (lp_lower_bound, LP | {"dual": (np.ones(2), np.zeros(0))}, r"lam \(dual\[0\]\) must have shape \(1,\)"),
    (lp_lower_bound, LP | {"dual": (ONE, ONE)}, r"nu \(dual\[1\]\) must have shape \(0,\)"),
    (lp_lower_bound, LP | {"dual": (np.array([np.nan]), np.zeros(0))}, r"lam \(dual\[0\]\) must be finite"),
    (lp_lower_bound, LP | {"dual": DUAL, "G": np.ones((1, 2))}, "G must have shape"),
    (lp_lower_bound, LP | {"dual": DUAL, "upper": -ONE}, "upper must not be negative"),
    (lp_lower_bound, LP | {"dual": DUAL, "upper": np.array([np.inf])}, "upper must be finite"),
    (lp_lower_bound, LP | {"dual": DUAL, "c": np.zeros(0)}, "c must not be empty"),
    (lp_upper_bound, LP | {"point": np.ones(2)}, "point must have shape"),
    (sdp_upper_bound, SDP | {"C": np.array([[0.0, 1.0], [0.0, 0.0]])}, "C must be a symmetric"),
    (sdp_upper_bound, SDP | {"C": np.full((2, 2), np.nan)}, "C must be finite"),
    (sdp_upper_bound, SDP | {"C": np.zeros((0, 0)), "A": np.zeros((0, 0, 0))}, "C must be a symmetric"),
    (sdp_upper_bound, SDP | {"A": EYE}, "A must have shape"),
    (sdp_upper_bound, SDP | {"A": np.eye(3)[None]}, r"A\[0\] must have shape"),
    (sdp_upper_bound, SDP | {"y": np.ones(2)}, "y must have shape"),
    (sdp_upper_bound, SDP | {"trace_bound": -1}, "trace_bound must not be negative"),
    (sdp_upper_bound, SDP | {"trace_bound": float("inf")}, "trace_bound must be a finite"),
    (unit_diagonal_lower_bound, {"C": EYE, "factor": np.zeros((2, 1))}, "factor must have no zero row"),
    (unit_diagonal_lower_bound, {"C": EYE, "factor": np.ones((3, 1))}, "factor must have 2 rows"),
    (entropy_bounds, ENTROPY | {"lam": 0.0}, "lam must be"),
    (entropy_bounds, ENTROPY | {"lam": -1.0}, "lam must be"),
    (entropy_bounds, ENTROPY | {"p": np.ones(3)}, "p must have shape"),
    (entropy_bounds, ENTROPY | {"p": -np.ones(2)}, "p must have a positive entry"),
    (entropy_bounds, ENTROPY | {"nu": float("nan")}, "nu must be a finite"),
    (entropy_sup, {"z": np.zeros(0), "lam": 1.0}, "z must not be empty"),
    (entropy_sup, {"z": np.array([np.inf]), "lam": 1.0}, "z must be finite"),
    (entropy_sup, {"z": np.zeros(2), "lam": float("nan")}, "lam must be"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), BAD)
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(**arguments)
