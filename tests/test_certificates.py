"""Certificates prove what is true, refute what is false, and never the other way round."""

import functools
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.ball_arithmetic import arb_module, ball, working_precision
from theory.box_proofs import BOX_RULES, prove_box
from theory.branch_and_bound import RULES, Limits, search
from theory.certificates import (
    Certificate,
    Inequality,
    certify_convex,
    certify_monotone,
    certify_nonnegative,
    certify_weighted_derivative,
    substitute_endpoint,
    vanishing_order,
    xlogx,
)
from theory.interval_expressions import BallExpression, BallFunction, ball_expression
from theory.proved_inequalities import comp_sum_regret, comp_sum_transform, statements
from theory.symbolic_signs import differentiate, sign_inside

sympy = pytest.importorskip("sympy")
pytest.importorskip("flint")

R = sympy.Rational
UNIT = (Fraction(0), Fraction(1))
b, t, x, y, m = sympy.symbols("b t x y m")
STATEMENTS = {statement.name: statement for statement in statements()}
PARABOLA = comp_sum_transform(1, 2, b) - b**2 / 2

# Boxes that the method needed when it was designed; a proof should not need more than twice as many.
DESIGNED_BOXES = {
    "majorant tau=0": 29,
    "majorant tau=1/2": 29,
    "majorant tau=1": 29,
    "majorant tau=3/2 n=2": 9,
    "majorant tau=3/2 n=3": 9,
    "majorant tau=3/2 n=10": 9,
    "convex tau=0": 5,
    "convex tau=1/2": 7,
    "convex tau=1": 1,
    "convex tau=3/2 n=10": 27,
    "T'' >= T''(0), tau in [0, 1]": 21,
    "T'' >= n^(1-tau), tau in [1, 5/4]": 19,
    "majorant, tau in [1, 19/10]": 9421,
    "T_1 >= 1/2 b^2": 29,
    "regret >= 1 T_1, two classes": 15,
    "regret >= T_tau, two classes, tau=0": 3,
    "regret >= T_tau, two classes, tau=1/2": 5,
    "regret >= T_tau, two classes, tau=1": 1,
    "regret >= T_tau, two classes, tau=3/2": 5,
    "regret >= T_1, any number of classes, bisection": 109,
    "regret >= T_1, any number of classes": 1,
    "psi <= max, K=2": 1,
    "psi <= max, K=3": 1,
    "psi <= max, K=2, unreduced": 215,
    "log cosh y <= y^2/2": 41,
}


@functools.cache
def certificate_of(name: str) -> Certificate:
    return STATEMENTS[name].certify()


@functools.cache
def mpmath_function(expression):
    arguments = sorted(expression.free_symbols, key=lambda symbol: symbol.name)
    extension = {"xlogx": lambda v: v * mpmath.log(v) if v else v}
    return arguments, sympy.lambdify(arguments, expression, [extension, "mpmath"])


def value_of(expression, point: dict, digits: int = 60) -> float:
    """Independent evaluation by mpmath."""
    arguments, function = mpmath_function(sympy.sympify(expression))
    exact = {symbol.name: sympy.Rational(number) for symbol, number in point.items()}
    with mpmath.workdps(digits):
        return float(function(*(mpmath.mpf(exact[a.name].p) / exact[a.name].q for a in arguments)))


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_has_its_outcome_and_verifies(name):
    certificate = certificate_of(name)
    assert certificate.proved is STATEMENTS[name].expected
    assert bool(certificate) is (certificate.proved is True)
    assert certificate.verify() is (certificate.proved is not None)
    assert (certificate.counterexample is not None) is (certificate.proved is False)
    assert bool(certificate.remaining) is (certificate.proved is None)
    assert sum(certificate.rules.values()) == len(certificate.partition) + (certificate.proved is False)
    if certificate.proved:
        assert certificate.worst_lower_bound >= 0
        assert certificate.boxes <= 2 * DESIGNED_BOXES.get(name, 50)


def test_all_statements_together_need_few_boxes():
    assert sum(certificate_of(name).boxes for name in STATEMENTS) < 2500


def test_zeros_that_proofs_use_are_zeros_to_60_digits_and_others_are_not():
    zeros = {zero for name in STATEMENTS for zero in certificate_of(name).zeros}
    assert len(zeros) > 20
    assert max(zero.residual(60) for zero in zeros) < 1e-60
    face = ball_expression(PARABOLA, (b,), (UNIT,)).zero_face({0: Fraction(0)}, 4)
    assert face.residual(60) == 0
    too_high = ball_expression(PARABOLA, (b,), (UNIT,)).zero_face({0: Fraction(0)}, 5)
    assert too_high.residual(60) == pytest.approx(2)


@pytest.mark.parametrize(
    ("constant", "at", "expected"),
    [(R("0.501"), R(1, 16), -2.6e-6), (R("0.5000001"), R(1, 1024), -2.0e-14)],
)
def test_violations_known_in_closed_form_have_the_known_size(constant, at, expected):
    f = comp_sum_transform(1, 2, b) - constant * b**2
    assert value_of(f, {b: at}) == pytest.approx(expected, rel=0.05)
    assert certify_nonnegative(f, b, (0, 1)).violation <= value_of(f, {b: at}) * 0.9


@pytest.mark.parametrize(("n", "expected"), [(2, -0.00985), (3, -0.00804), (10, -0.00441)])
def test_the_local_constant_fails_at_one_half_by_the_known_amount(n, expected):
    f = comp_sum_transform(R(3, 2), n, b) - b**2 / sympy.sqrt(n)
    assert value_of(f, {b: R(1, 2)}) == pytest.approx(expected, abs=5e-6)
    certificate = certify_nonnegative(f, b, (0, 1))
    assert certificate.violation <= value_of(f, {b: R(1, 2)})
    assert value_of(f, {b: certificate.counterexample[0]}) == pytest.approx(certificate.violation)


def test_search_by_bisection_alone_finds_the_violation_that_hunting_finds(monkeypatch):
    f = comp_sum_transform(1, 2, b) - R("0.501") * b**2
    monkeypatch.setattr("theory.branch_and_bound._hunt", lambda f, seed: None)
    certificate = certify_nonnegative(f, b, (0, 1))
    assert certificate.proved is False
    assert 0 < certificate.boxes < 50
    assert certificate.verify()


# --- the rules ---------------------------------------------------------------------------------


def test_a_zero_of_order_four_needs_the_zero_face_rule():
    without = certify_nonnegative(PARABOLA, b, (0, 1), rules=[r for r in RULES if r != "R4"], max_boxes=500)
    assert without.proved is None
    assert len(without.remaining) > 50
    assert without.worst_lower_bound < 0
    with_rule = certificate_of("T_1 >= 1/2 b^2")
    assert with_rule.rules["R4"] == 1
    assert with_rule.zeros[0].order == 4


def test_an_isolated_zero_needs_the_convex_corner_rule():
    f = x**2 - x * y + y**2 + x**3 * y**2
    assert certify_nonnegative(f, box={x: (0, 1), y: (0, 1)}).rules["R6"] == 1
    others = [rule for rule in RULES if rule != "R6"]
    assert certify_nonnegative(f, box={x: (0, 1), y: (0, 1)}, rules=others, max_boxes=300).proved is None


def test_the_convex_corner_rule_looks_into_the_box():
    """At the corner (1, 1) the inward directions are negative; an outward slope must not pass."""
    f = (1 - x) ** 2 - (1 - x) * (1 - y) + (1 - y) ** 2
    assert certify_nonnegative(f, (x, y), ((0, 1), (0, 1))).rules["R6"] == 1
    tilted = f - (1 - x) / 10
    assert certify_nonnegative(tilted, (x, y), ((0, 1), (0, 1))).proved is False
    proof = prove_box(ball_expression(tilted, (x, y), (UNIT, UNIT)), ((Fraction(1, 2), Fraction(1)),) * 2, ("R6",))
    assert proof is None


def test_a_sum_that_vanishes_at_one_corner_ends_in_the_exact_zero_rule():
    f = sympy.sinh(x) + y * sympy.exp(-x)
    corner = ((Fraction(0), Fraction(0)),) * 2
    with working_precision(64):
        proof = prove_box(ball_expression(f - sympy.tanh(x + y), (x, y), (UNIT, UNIT)), corner, ("R5",))
    assert proof is not None
    assert proof.rule == "R5"
    assert proof.zeros[0].residual() == 0


@given(
    st.tuples(*[st.integers(-8, 8)] * 6),
    st.tuples(st.fractions(0, 1), st.fractions(0, 1)),
    st.tuples(st.fractions(0, 1), st.fractions(0, 1)),
)
@settings(max_examples=20, deadline=None)
def test_a_ball_contains_every_value_on_its_box(coefficients, corner, size):
    f = _mixture(coefficients)
    box = tuple((low, low + (1 - low) * width) for low, width in zip(corner, size, strict=True))
    function = ball_expression(f, (x, y), (UNIT, UNIT))
    with working_precision(64):
        whole = function.value([ball(*side) for side in box])
        for weight in (Fraction(0), Fraction(2, 7), Fraction(1, 2), Fraction(1)):
            point = [low + (high - low) * weight for low, high in box]
            value = function.value([ball(c, c) for c in point])
            assert whole.overlaps(value)
            assert float(value.mid()) == pytest.approx(value_of(f, dict(zip((x, y), point, strict=True))), abs=1e-12)


def test_x_log_x_has_the_range_of_x_log_x():
    function = ball_expression(xlogx(x), (x,), ((Fraction(0), Fraction(2)),))
    for low, high in ((0, 1), (0, Fraction(1, 4)), (Fraction(1, 4), 2), (1, 2), (Fraction(1, 2), 1)):
        points = np.linspace(float(low), float(high), 1001)
        values = points * np.log(np.where(points > 0, points, 1))
        with working_precision(64):
            whole = function.value([ball(Fraction(low), Fraction(high))])
        assert float(whole.lower()) == pytest.approx(values.min(), abs=1e-6)
        assert float(whole.upper()) == pytest.approx(values.max(), abs=1e-6)


# --- soundness ---------------------------------------------------------------------------------


def _mixture(coefficients):
    terms = (x * y, sympy.exp(-x * y), sympy.log(1 + x + y**2), xlogx(x), sympy.sqrt(y) * x, sympy.tanh(x - 2 * y))
    return sum(R(c, 4) * term for c, term in zip(coefficients, terms, strict=True)) + (x - R(1, 3)) ** 2


def _shifted(f, margin: Fraction):
    """The formula plus a constant, so that its minimum on a 101 x 101 grid is ``margin``."""
    grid = np.linspace(0, 1, 101)
    values = ball_expression(f, (x, y), (UNIT, UNIT)).floats([axis.ravel() for axis in np.meshgrid(grid, grid)])
    return f - R(Fraction(float(values.min()))) + R(margin), float(values.min()) - float(margin)


@given(st.tuples(*[st.integers(-8, 8)] * 6), st.sampled_from([1, -1]), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_no_false_inequality_is_proved_and_no_true_one_refuted(coefficients, sign, size):
    """Random formulas, shifted so that their minimum on a grid is 10^-1 .. 10^-5 above or below 0."""
    f, shift = _shifted(_mixture(coefficients), sign * Fraction(1, 10**size))
    certificate = certify_nonnegative(f, (x, y), ((0, 1), (0, 1)), max_boxes=60)
    if sign < 0:
        assert certificate.proved is not True
    if certificate.proved is False:
        point = dict(zip((x, y), certificate.counterexample, strict=True))
        assert value_of(f, point, 30) < 0
        assert value_of(f, point, 30) == pytest.approx(certificate.violation, rel=1e-9)
    if certificate.proved:
        random = np.random.default_rng(0).random((2, 2000))
        function = ball_expression(_mixture(coefficients), (x, y), (UNIT, UNIT))
        assert function.floats(list(random)).min() >= shift


@pytest.mark.parametrize("seed", range(6))
def test_random_inequalities_with_a_margin_are_all_decided(seed):
    random = np.random.default_rng(seed)
    terms = (x * y, sympy.exp(-x * y), sympy.log(1 + x + y**2), (1 + y) ** R(3, 2) * x, sympy.tanh(x - 2 * y), x**2)
    f = sum(R(int(c), 4) * term for c, term in zip(random.integers(-8, 9, 6), terms, strict=True))
    for margin in (Fraction(1, 50), -Fraction(1, 50)):
        shifted, _ = _shifted(f, margin)
        assert certify_nonnegative(shifted, (x, y), ((0, 1), (0, 1))).proved is (margin > 0)


@pytest.mark.parametrize("name", ["T_1 >= 1/2 b^2", "majorant tau=3/2 n=3", "log cosh y <= y^2/2", "psi <= max, K=3"])
def test_adding_a_positive_constant_keeps_a_proof(name):
    f = certificate_of(name).function
    assert isinstance(f, BallExpression)
    for shift in (R(1, 10**6), R(1, 10), 3):
        shifted = ball_expression(f.expression + shift, f.variables, f.domain)
        assert search(shifted, Limits(), "shifted").proved is True


@pytest.mark.parametrize(
    ("f", "final"),
    [
        (PARABOLA, True),
        (comp_sum_transform(1, 2, b) - R("0.5000001") * b**2, False),
        (b**2 - b**3 + b**5 / 7, True),
        (sympy.expand(R(1, 10**4) + (b - R(1, 3)) ** 2), True),
        (sympy.expand((b - R(1, 3)) ** 2), None),
    ],
)
def test_a_larger_budget_decides_more_and_never_otherwise(f, final, monkeypatch):
    monkeypatch.setattr("theory.branch_and_bound._hunt", lambda f, seed: None)
    outcomes = [certify_nonnegative(f, b, (0, 1), max_boxes=k).proved for k in (1, 2, 3, 5, 10, 30, 100, 300)]
    decided = [outcome for outcome in outcomes if outcome is not None]
    assert decided == [final] * len(decided)
    assert outcomes == [None] * (len(outcomes) - len(decided)) + decided
    assert outcomes[-1] is final
    assert outcomes[0] is None


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (sympy.sqrt(b - R(1, 2)), "not real on half of the box"),
        (xlogx(b - R(1, 2)) + 1, "not real on half of the box"),
        (-1 / (b - R(1, 2)) - 2, "increasing on both sides of a pole"),
        (sympy.log(b), "a pole at the end"),
        (b * (b - R(1, 10**9)), "negative only within 1e-9 of the end"),
    ],
)
def test_what_is_false_or_undefined_somewhere_is_never_proved(f, why):
    function = ball_expression(f, (b,), (UNIT,))
    assert search(function, Limits(max_boxes=80), why).proved is not True
    # Without the hunt, only the soundness of the rules stands in the way.
    assert search(function, Limits(max_boxes=80, rules=BOX_RULES), why).proved is None


class Jump(BallFunction):
    """0 on [0, 1/2), -1 on (1/2, 1]: undefined at the jump, and with the formal derivative 0."""

    domain = (UNIT,)

    def value(self, balls):
        return arb_module().arb.nan() if balls[0].contains(0.5) else -arb_module().arb(int(balls[0] > 0.5))

    def floats(self, points):
        return np.zeros(len(points[0]))

    def partial(self, axis):
        return ball_expression(sympy.Integer(0), (b,), (UNIT,))

    def negated(self):
        raise AssertionError

    def vanishing_order(self, axis, end):
        return 5 if end == 0 else 0

    def vanishes_at(self, corner):
        return corner == (0,)

    def zero_face(self, fixed, order):
        return ball_expression(sympy.Integer(0), (b,), (UNIT,)).zero_face(fixed, order)


@pytest.mark.parametrize("rules", [BOX_RULES, ("R2",), ("R3", "R5"), ("R4", "R1")])
def test_derivatives_are_not_trusted_across_a_jump(rules):
    assert search(Jump(), Limits(max_boxes=100, max_depth=20, rules=rules), "jump").proved is None


def test_powers_may_touch_a_zero_base_that_algebra_shows_to_be_nonnegative():
    assert certify_nonnegative(sympy.sqrt(b - b**2) + b**2, b, (0, 1)).proved
    assert certify_nonnegative((1 - x * y) ** R(3, 2), (x, y), ((0, 1), (0, 1))).proved


# --- negative controls --------------------------------------------------------------------------


def test_dropping_a_term_is_noticed():
    tau, n = R(3, 2), 10
    assert certify_nonnegative(comp_sum_transform(tau, n, b) - b**2 / 2, b, (0, 1)).proved is False
    assert certify_nonnegative(comp_sum_transform(1, 2, b) - b**2 / R("1.99"), b, (0, 1)).proved is False
    assert (
        certify_nonnegative(comp_sum_regret(1, t, x) - xlogx(1 + t) / 2, (t, x), ((0, 1), (0, R(1, 2)))).proved is False
    )


def test_an_order_that_is_too_high_does_not_verify(monkeypatch):
    """With order 6 instead of 4 the sixth derivative is positive, so a proof appears; its zero is false."""
    f = BallExpression(PARABOLA, (b,), (UNIT,))
    monkeypatch.setattr(f, "vanishing_order", lambda axis, end: 6 if end == 0 else 0)
    certificate = search(f, Limits(), "wrong order")
    assert certificate.zeros[0].order == 6
    assert not certificate.verify()
    with pytest.raises(ValueError, match="must vanish to order 5"):
        certify_weighted_derivative(PARABOLA, b, 0, 1, (0, 1), order=5)


def test_a_partition_with_a_hole_or_an_overlap_does_not_verify():
    import dataclasses

    certificate = certificate_of("T_1 >= 1/2 b^2")
    assert not dataclasses.replace(certificate, partition=certificate.partition[1:]).verify()
    assert not dataclasses.replace(certificate, partition=certificate.partition + certificate.partition[:1]).verify()


# --- remedies ------------------------------------------------------------------------------------


def test_a_negative_derivative_does_not_refute_but_a_negative_value_does():
    hump = b * (1 - b)
    certificate = certify_weighted_derivative(hump, b, 0, 1, (0, 1))
    assert certificate.proved is None
    assert "may not be" in certificate.note
    assert certify_weighted_derivative(hump - b / 2, b, 0, 1, (0, 1)).proved is False
    assert certify_weighted_derivative(hump, b, 1, 1, (R(1, 2), 1)).proved


def test_a_weight_of_fractional_powers_cancels_a_pole():
    f = 1 - sympy.sqrt(1 - b) - b / 2
    certificate = certify_weighted_derivative(f, b, 0, sympy.sqrt(1 - b), (0, 1))
    assert certificate.proved
    assert certificate.verify()


def test_a_weight_may_be_any_formula_that_is_positive():
    assert certify_weighted_derivative(b**2, b, 0, 2 - sympy.exp(-b), (0, 1)).proved


@pytest.mark.parametrize("tau", [R(0), R(1, 2), R(1), R(3, 2), R(9, 5)])
def test_the_second_derivative_of_the_transform_has_its_closed_form(tau):
    """T'' = c/(2 - tau) M^-tau (1 - b^2)^(a - 2), c = 2^(1 - tau) or n^(1 - tau)."""
    n, a = 5, 1 / (2 - tau)
    mean = ((1 + b) ** a + (1 - b) ** a) / 2
    scale = 2 ** (1 - tau) if tau <= 1 else sympy.Integer(n) ** (1 - tau)
    closed = scale / (2 - tau) * mean ** (-tau) * (1 - b**2) ** (a - 2)
    second = differentiate(differentiate(comp_sum_transform(tau, n, b), b), b)
    for point in (R(1, 7), R(1, 2), R(9, 10)):
        assert value_of(second - closed, {b: point}) == pytest.approx(0, abs=1e-26)


def test_convexity_is_refuted_at_a_point_in_the_variables_of_the_function():
    f = sympy.sqrt(1 - b) * b
    certificate = certify_convex(f, b, (0, 1), substitution=(1, 2), weight=(1 - b) ** R(3, 2))
    assert certificate.proved is False
    (point,) = certificate.counterexample
    assert value_of(sympy.diff(f, b, 2), {b: point}) <= certificate.violation < 0
    assert certificate.verify()


def test_a_substitution_makes_bisection_end_where_algebra_does_not():
    f = (1 - b) ** R(3, 2) + sympy.exp(b)
    assert certify_convex(f, b, (0, 1), substitution=(1, 2), weight=sympy.sqrt(1 - b)).proved
    assert certify_monotone(-(b ** R(3, 2)) - sympy.sin(b), b, (0, 1), (0, 2), increasing=False).proved


def test_monotone_functions_are_told_from_others():
    assert certify_monotone(sympy.atanh(b) - b, b, (0, 1), weight=1 - b).proved
    assert certify_monotone(b - 2 * b**2, b, (0, 1)).proved is False
    assert certify_monotone(x * y - y, x, {x: (0, 1), y: (0, 2)}).proved
    assert certify_monotone(x * y - y, y, {x: (0, 1), y: (0, 2)}, increasing=False).proved


@pytest.mark.parametrize(
    ("tau", "order", "coefficient"),
    [(R(0), 4, 3), (R(1, 2), 4, 50 * sympy.sqrt(2) / 27), (R(1), 4, 2), (R(3, 2), 2, 1 / sympy.sqrt(3))],
)
def test_orders_of_the_zero_of_the_majorant(tau, order, coefficient):
    inverse = b**2 / (2**tau * (2 - tau)) if tau < 1 else b**2 / (2 * sympy.Integer(3) ** (tau - 1))
    found, value = vanishing_order(comp_sum_transform(tau, 3, b) - inverse, b, 0)
    assert found == order
    assert sympy.simplify(value - coefficient) == 0


def test_a_substitution_removes_a_fractional_power():
    f, u = substitute_endpoint(sympy.sqrt(1 - b) * (1 + b), b, 1, 2)
    assert sympy.expand(f - u * (2 - u**2)) == 0
    low, v = substitute_endpoint(sympy.cbrt(b - 2), b, 2, 3, width=-1)
    assert low == v


def test_the_pooled_regret_bounds_cross_entropy_for_any_number_of_classes():
    """KL(p || S) >= m T_1(b/m) >= T_1(b) on random laws, with equality of the first for S pooled."""
    random = np.random.default_rng(3)

    def transform(beta):
        return ((1 + beta) * np.log1p(beta) + (1 - beta) * np.log1p(-beta)) / 2

    for n in (2, 3, 7):
        p = -np.sort(-random.dirichlet(np.ones(n), 500), axis=1)
        beta, mass = p[:, 0] - p[:, 1], p[:, 0] + p[:, 1]
        pooled = p.copy()
        pooled[:, :2] = mass[:, None] / 2
        np.testing.assert_allclose((p * np.log(p / pooled)).sum(1), mass * transform(beta / mass), atol=1e-12)
        scores = random.dirichlet(np.ones(n), 500)
        scores[:, :2] = np.sort(scores[:, :2], axis=1)
        regret = (p * np.log(p / scores)).sum(1)
        assert (regret >= mass * transform(beta / mass) - 1e-12).all()
        assert (mass * transform(beta / mass) >= transform(beta) - 1e-12).all()


def test_the_mean_of_powers_has_its_hyperbolic_form():
    a = sympy.Symbol("a")
    powers = ((1 + b) ** a + (1 - b) ** a) / 2
    hyperbolic = (1 - b**2) ** (a / 2) * sympy.cosh(a * sympy.atanh(b))
    for point in ({a: R(3, 2), b: R(1, 3)}, {a: 7, b: R(9, 10)}):
        assert value_of(powers - hyperbolic, point) == pytest.approx(0, abs=1e-50)


# --- algebra -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (1 - x**2, 1),
        (x * y - 1, -1),
        ((x - R(1, 2)) ** 2 + R(1, 100), 1),
        (x - R(1, 2), None),
        (x - y, None),
        (1 - x + x * sympy.exp(y), 1),
        (sympy.exp(x) * (y - 1), -1),
        (sympy.sqrt(1 + x) - 2, None),
        (sympy.sqrt(x - R(1, 2)), None),
        ((x - R(1, 2)) ** y, None),
        ((x - R(1, 2)) ** 2, None),
        (sympy.log(1 + x), 1),
        (sympy.Integer(0), 0),
        ((1 - x * y) ** R(-3, 2), 1),
        (1 / (1 + x) - 1, -1),
        ((x - 1) ** 3, -1),
    ],
)
def test_signs_inside_a_box(f, expected):
    assert sign_inside(sympy.sympify(f), (x, y), (UNIT, UNIT)) == expected


@given(st.tuples(*[st.integers(-8, 8)] * 6))
@settings(max_examples=8, deadline=None)
def test_differentiate_agrees_with_sympy(coefficients):
    f = _mixture(coefficients) ** 3 + (2 + x) ** (1 + y)
    for variable in (x, y):
        difference = differentiate(f, variable) - sympy.diff(f, variable)
        assert value_of(difference, {x: R(2, 7), y: R(3, 5)}) == pytest.approx(0, abs=1e-40)


# --- inputs --------------------------------------------------------------------------------------


def test_the_ways_to_say_a_box_agree():
    f = x * (1 - y)
    for variables, box in [
        (None, {x: (0, 1), y: (0, 1)}),
        ((x, y), [(0, 1), (0, 1)]),
        ([x, y], ((R(0), 1.0), (Fraction(0), 1))),
    ]:
        assert certify_nonnegative(f, variables, box).boxes == certify_nonnegative(f, None, [(0, 1), (0, 1)]).boxes
    named = Inequality(PARABOLA, b, (0, 1), name="T_1 above its parabola", source="comp_sum")
    certificate = certify_nonnegative(named)
    assert certificate.proved
    assert "T_1 above its parabola" in certificate.statement


def test_a_callable_is_proved_and_refuted_through_its_power_series():
    def transform(scale):
        return lambda z: ((1 + z) * (1 + z).log() + (1 - z) * (1 - z).log()) / 2 - z * z * scale / 2

    certificate = certify_nonnegative(transform(1), box=(0, Fraction(1, 16)))
    assert certificate.proved
    assert certificate.rules == {"R4": 1}
    assert certificate.zeros[0].order == 4
    assert certificate.verify()
    assert certify_nonnegative(transform(1), box=(0, Fraction(1, 2))).proved
    refuted = certify_nonnegative(transform(Fraction(101, 100).__float__()), box=(0, Fraction(1, 2)))
    assert refuted.proved is False
    assert refuted.verify()


def test_a_certificate_explains_itself(capsys):
    certificate_of("T_1 >= 1/2 b^2").explain()
    printed = capsys.readouterr().out
    assert "proved" in printed
    assert "zero of order 4 at b = 0" in printed
    for rule in certificate_of("T_1 >= 1/2 b^2").rules:
        assert f"\n  {rule} " in printed
    certificate_of("T_1 >= 501/1000 b^2").explain()
    assert "verified" in capsys.readouterr().out
    certificate_of("Pinsker, bisection").explain()
    assert "boxes left" in capsys.readouterr().out


def test_the_precision_of_the_caller_is_left_alone():
    context = arb_module().ctx
    before = context.prec
    certify_nonnegative(PARABOLA, b, (0, 1), precision=80)
    assert context.prec == before


def test_the_seed_only_moves_the_hunt():
    first = certify_nonnegative(PARABOLA, b, (0, 1), seed=0)
    second = certify_nonnegative(PARABOLA, b, (0, 1), seed=9)
    assert (first.boxes, first.partition, first.zeros) == (second.boxes, second.partition, second.zeros)


def test_a_missing_package_is_named_when_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match="python-flint"):
        certify_nonnegative(PARABOLA + b**9, b, (0, 1))


a, c = sympy.symbols("a c")
BAD = [
    (certify_nonnegative, (b, b, (1, 0)), {}, "box must have low < high"),
    (certify_nonnegative, (b, b, (1, 1)), {}, "box must have low < high"),
    (certify_nonnegative, (b, b, (0, float("inf"))), {}, "box must be a finite rational number"),
    (certify_nonnegative, (b, b, (0, sympy.oo)), {}, "box must be a finite rational number"),
    (certify_nonnegative, (b, b, (0, sympy.sqrt(2))), {}, "box must be a finite rational number"),
    (certify_nonnegative, (b, b, (float("nan"), 1)), {}, "box must be a finite rational number"),
    (certify_nonnegative, (b, b), {}, "box must be given"),
    (certify_nonnegative, (b, b, 3), {}, "box must consist of"),
    (certify_nonnegative, (b, b, (0, 1, 2)), {}, "box must consist of"),
    (certify_nonnegative, (x + y, (x, y), [(0, 1)]), {}, "box must have 2 sides"),
    (certify_nonnegative, (x + y, (x, y), {x: (0, 1)}), {}, "box must have a .* pair for y"),
    (certify_nonnegative, (x + y, x, (0, 1)), {}, "variables must cover the symbols of f: y"),
    (certify_nonnegative, (a + b + c + x, None, [(0, 1)] * 4), {}, "variables must be one to three"),
    (certify_nonnegative, (b, ("b",), (0, 1)), {}, "variables must be one to three"),
    (certify_nonnegative, (sympy.Integer(1), None, (0, 1)), {}, "variables must be one to three"),
    (certify_nonnegative, (b, (b, sympy.Symbol("b", real=True)), [(0, 1)] * 2), {}, "variables must have different"),
    (certify_nonnegative, (b * 0.1, b, (0, 1)), {}, "f must have exact constants"),
    (certify_nonnegative, (b + sympy.oo * 1, b, (0, 1)), {}, "f must be finite"),
    (certify_nonnegative, ("b", b, (0, 1)), {}, "f must be a sympy expression"),
    (certify_nonnegative, (b > 0, b, (0, 1)), {}, "f must be a sympy expression"),
    (certify_nonnegative, (Inequality(b, b, (0, 1)), b, (0, 1)), {}, "must be left out for an Inequality"),
    (certify_nonnegative, (b, b, (0, 1)), {"max_boxes": 0}, "max_boxes must be a whole number"),
    (certify_nonnegative, (b, b, (0, 1)), {"max_depth": -1}, "max_depth must be a whole number"),
    (certify_nonnegative, (b, b, (0, 1)), {"precision": 3}, "precision must be a whole number"),
    (certify_nonnegative, (b, b, (0, 1)), {"rules": ["R9"]}, "rules must be among"),
    (certify_weighted_derivative, (b, b, R(1, 2), 1, (0, 1)), {}, "at must be an end"),
    (certify_weighted_derivative, (b + 1, b, 0, 1, (0, 1)), {}, "f must vanish to order 1"),
    (certify_weighted_derivative, (b, b, 0, b - R(1, 2), (0, 1)), {}, "weight must be positive"),
    (certify_weighted_derivative, (b, b, 0, -sympy.log(b - R(1, 2)), (0, 1)), {}, "weight must be positive"),
    (certify_weighted_derivative, (b, b, 0, 0.5 * b, (0, 1)), {}, "weight must have exact"),
    (certify_weighted_derivative, (b, b, 0, x, (0, 1)), {}, "symbols of weight: x"),
    (certify_weighted_derivative, (b, x, 0, 1, (0, 1)), {}, "variable must be one of b"),
    (certify_weighted_derivative, (b, b, 0, 1, (0, 1)), {"order": 0}, "order must be"),
    (certify_weighted_derivative, (-b / (2 * b - 1), b, 0, 1, (0, 1)), {}, "cannot be shown to be smooth"),
    (certify_convex, (b, b, (0, 1), (R(1, 2), 2)), {}, "substitution must start at an end"),
    (certify_convex, (b, b, (0, 1), (1, 0)), {}, "power must be a"),
    (substitute_endpoint, (b, b, 1, 0), {}, "power must be a"),
    (substitute_endpoint, (b, b, 1, 2), {"width": 0}, "width must not be zero"),
    (vanishing_order, (sympy.Integer(0) * b, b, 0), {}, "vanishes to order 20"),
    (vanishing_order, (sympy.log(b), b, 0), {}, "must be smooth"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "keywords", "message"), BAD)
def test_bad_input_is_named(function, arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **keywords)


@pytest.mark.parametrize(
    "f",
    [
        sympy.Abs(b),
        sympy.sqrt((b - R(1, 2)) ** 2),
        sympy.gamma(b + 1),
        sympy.Max(b, R(1, 2)),
        sympy.Piecewise((b, b > 0), (0, True)),
    ],
)
def test_an_unsupported_function_is_named(f):
    with pytest.raises(NotImplementedError, match=r"Abs|gamma|Max|Piecewise"):
        certify_nonnegative(f, b, (0, 1))
