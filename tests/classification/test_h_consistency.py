"""The analyser of margin losses: known answers, properties, proofs, and every way in which such a search can fail."""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.classification.calibration_curve import inverse_of_envelope, lower_convex_envelope, running_minimum
from theory.classification.h_consistency import (
    BOUNDS,
    Counterexample,
    analyse_margin_loss,
    certify_transform,
    compare_with_known,
    linear_score_bound,
    margin_loss_table,
    one_hidden_layer_score_bound,
)
from theory.classification.line_refinement import refined_minima
from theory.classification.margin_analysis import margin_grid

INF = float("inf")
KNOWN = {known.name: known for known in margin_loss_table()}
CLOSED = [
    (name, bound) for name, known in KNOWN.items() for bound in (INF, 0.25, 0.8, 3.0) if known.bounded or bound == INF
]
CONVEX = ("hinge", "logistic", "exponential", "squared hinge", "squared", "absolute")
z = sympy.Symbol("z")


def bump(m):
    return (2 - np.tanh(m)) / (1 + m**2)


@pytest.mark.parametrize(("name", "bound"), CLOSED)
def test_known_transforms_are_reproduced_at_every_bound(name, bound):
    known = KNOWN[name]
    analysis = analyse_margin_loss(known.loss, bound=bound)
    if known.calibrated is None and bound == INF:
        assert (analysis.status, analysis.calibrated) == ("unbounded below", None)
        assert np.isnan(analysis.raw).all()
        with pytest.raises(ValueError, match="unbounded below"):
            analysis.inverse(0.1)
        return
    assert analysis.compare(lambda t: known.transform(t, bound)) < 2e-12
    assert analysis.calibrated is (known.calibrated if bound == INF or name == "perceptron" else True)


@pytest.mark.parametrize("name", KNOWN)
def test_an_expression_and_a_callable_have_one_answer(name):
    callable_, expression = (analyse_margin_loss(f, thetas=31) for f in (KNOWN[name].loss, KNOWN[name].expression()))
    assert callable_.status == expression.status
    np.testing.assert_allclose(callable_.raw, expression.raw, atol=1e-14)


@pytest.mark.parametrize("name", ["hinge", "logistic", "sigmoid", "Savage", "squared", "GCE, q = 2"])
def test_the_hull_of_the_risk_curve_gives_the_same_for_many_thetas(name):
    many = analyse_margin_loss(KNOWN[name].loss, thetas=4001)
    assert many.compare(KNOWN[name].transform) < 2e-12


def test_the_transform_by_brute_force_on_a_fine_grid():
    """A second method without refinement, on a loss of which nobody knows a closed form."""

    def loss(m):
        return np.exp(-m) + 0.3 * np.sin(3 * m) / (1 + m**2)

    analysis = analyse_margin_loss(loss, thetas=np.linspace(0, 1, 21)[1:-1])
    grid = np.concatenate([np.linspace(-12, 12, 200_001), [0.0]])
    for theta, raw in zip(analysis.theta[1:-1], analysis.raw[1:-1], strict=True):
        risk = (1 + theta) / 2 * loss(grid) + (1 - theta) / 2 * loss(-grid)
        assert raw == pytest.approx(risk[grid <= 0].min() - risk.min(), abs=2e-8)


@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(0.3, 3), st.sampled_from(CONVEX))
@settings(max_examples=15, deadline=None)
def test_scaling_and_shifting_the_loss_scales_the_transform(a, b, c, name):
    loss = KNOWN[name].loss
    plain = analyse_margin_loss(loss, thetas=21).raw
    np.testing.assert_allclose(analyse_margin_loss(lambda m: a * loss(m) + b, thetas=21).raw, a * plain, atol=1e-12)
    np.testing.assert_allclose(analyse_margin_loss(lambda m: loss(c * m), thetas=21).raw, plain, atol=1e-12)
    inside = analyse_margin_loss(lambda m: loss(c * m), thetas=21, bound=0.7).raw
    np.testing.assert_allclose(inside, analyse_margin_loss(loss, thetas=21, bound=0.7 * c).raw, atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_an_envelope_is_the_largest_convex_function_below(values, seed):
    y = np.array(values)
    x = np.cumsum(np.random.default_rng(seed).uniform(0.1, 1, len(y)))
    envelope = lower_convex_envelope(x, y)
    assert (envelope <= y).all()
    assert (np.diff(np.diff(envelope) / np.diff(x)) >= -1e-9).all()
    # No point can be raised: it is on a chord of points of the curve, or of the curve itself.
    brute = [
        min(
            [y[k]]
            + [
                y[i] + (y[j] - y[i]) * (x[k] - x[i]) / (x[j] - x[i])
                for i in range(k)
                for j in range(k + 1, len(x))
            ]
        )
        for k in range(len(x))
    ]  # fmt: skip
    np.testing.assert_allclose(envelope, brute, atol=1e-9)
    assert (running_minimum(y) <= y).all()


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name].calibrated])
def test_psi_is_convex_below_the_raw_transform_and_inverted_exactly(name):
    analysis = analyse_margin_loss(KNOWN[name].loss, thetas=41)
    assert analysis.raw[0] == 0
    assert (analysis.raw >= 0).all()
    assert (analysis.envelope <= analysis.raw).all()
    assert (np.diff(analysis.envelope, 2) >= -1e-12).all()
    assert (analysis.envelope <= analysis.monotone + 1e-15).all()
    theta = np.array([0.013, 0.3, 0.777, 1.0])
    if name != "GCE, q = 2":
        np.testing.assert_allclose(analysis.inverse(analysis.transform(theta)), theta, atol=1e-9)
    assert analysis.inverse(analysis.raw[-1] + 1) == 1.0
    expected = 1.0 if name in ("hinge", "absolute", "sigmoid", "rho-margin, rho = 2", "GCE, q = 2") else 2.0
    assert analysis.local_exponent == pytest.approx(expected, abs=0.01)


def test_a_transform_that_is_not_convex_has_a_chord_for_an_envelope():
    analysis = analyse_margin_loss(KNOWN["GCE, q = 2"].loss)
    assert analysis.envelope.max() < analysis.raw.max() + 1e-15
    np.testing.assert_allclose(analysis.envelope, 3 * analysis.theta / 8, atol=1e-12)
    assert analysis.inverse(0.15) == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["hinge", "logistic", "squared hinge", "sigmoid", "Savage", "exponential"])
def test_a_smaller_bound_on_scores_never_helps(name):
    raws = [analyse_margin_loss(KNOWN[name].loss, thetas=31, bound=B).raw for B in (0.1, 0.5, 2.0, 8.0, INF)]
    for smaller, larger in itertools.pairwise(raws):
        assert (smaller <= larger + 1e-14).all()
    assert raws[0][15] < raws[-1][15]


def test_with_the_bump_a_larger_bound_makes_it_worse():
    """Where the wrong infimum is not at the tie, psi_B need not grow with B."""
    ends = [analyse_margin_loss(bump, thetas=11, bound=B).raw[-1] for B in (1.0, 3.0, 10.0, 100.0)]
    assert ends == sorted(ends, reverse=True)
    np.testing.assert_allclose(ends, [0.76, 0.2, 0.02, 0.0002], rtol=0.02)


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_a_mixture_of_calibrated_convex_losses_is_calibrated_with_at_most_the_mean_transform(weight):
    first, second = KNOWN["hinge"].loss, KNOWN["squared"].loss
    mixed = analyse_margin_loss(lambda m: weight * first(m) + (1 - weight) * second(m), thetas=31)
    theta = mixed.theta
    assert mixed.calibrated
    # H is concave in the loss: the minimum of a sum is at least the sum of the minima.
    assert (mixed.raw <= weight * theta + (1 - weight) * theta**2 + 1e-14).all()
    assert (mixed.raw[1:] > 0).all()


@pytest.mark.parametrize("name", ["logistic", "hinge", "sigmoid", "GCE, q = 2"])
@pytest.mark.parametrize("theta", [0.1, 0.55, 1.0])
def test_the_witness_attains_the_transform_and_refutes_one_percent_more(name, theta):
    analysis = analyse_margin_loss(KNOWN[name].loss, thetas=21)
    p, scores = analysis.witness(theta)
    assert p.sum() == pytest.approx(1)
    assert scores[0] <= scores[1]
    regret = analysis.regret(theta, scores[0] - scores[1])
    assert regret == pytest.approx(KNOWN[name].transform(theta), abs=1e-9)
    assert regret < 1.01 * KNOWN[name].transform(theta)


def test_bounds_on_random_linear_hypotheses_hold_with_the_bounded_transform_and_fail_without():
    """H = {w x + b: |w| <= 1, |b| <= .3} in one dimension with a point at x = 0, where scores reach .3 only."""
    rng = np.random.default_rng(0)
    reach = linear_score_bound(1.0, 0.3)
    known, broken = KNOWN["squared hinge"], 0
    bounded = analyse_margin_loss(known.loss, bound=reach)
    for _ in range(300):
        x, eta = np.array([0.0, *rng.normal(size=2)]), rng.random(3)
        mass = rng.dirichlet(np.full(3, 0.3))
        # Near ties, where a wrong decision is cheap.
        w, b = 0.1 * rng.uniform(-1, 1), 0.1 * rng.uniform(-0.3, 0.3)
        theta, scores, reaches = np.abs(2 * eta - 1), w * x + b, np.abs(x) + 0.3
        right = np.sign(2 * eta - 1)
        # With the gaps added, both sides are means of pointwise regrets over the scores that H reaches at x.
        excess = mass @ np.where(scores * right <= 0, theta, 0)
        risk = (1 + theta) / 2 * known.loss(scores * right) + (1 - theta) / 2 * known.loss(-scores * right)
        least = known.loss(np.zeros(1)) - [known.transform(t, B) for t, B in zip(theta, reaches, strict=True)]
        regret = mass @ (risk - least)
        assert np.interp(excess, bounded.theta, bounded.envelope) <= regret + 1e-4
        broken += bool(known.transform(excess) > regret + 1e-9)
    assert broken > 10
    assert one_hidden_layer_score_bound(2.0, 1.0, 0.3) == 2 * reach


def test_every_closed_form_is_compared():
    errors = compare_with_known(analyse_margin_loss(KNOWN["logistic"].loss))
    assert next(iter(errors)) == "logistic"
    assert errors["logistic"] < 1e-12
    assert errors["hinge"] > 0.1
    assert len(errors) == 21
    scaled = compare_with_known(analyse_margin_loss(lambda m: 1.01 * KNOWN["logistic"].loss(m)))
    assert min(scaled.values()) > 1e-3
    bounded = compare_with_known(analyse_margin_loss(KNOWN["exponential"].loss, bound=0.8))
    assert next(iter(bounded)) == "exponential"


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
def test_regrets_of_wrong_margins_are_never_below_the_bounded_transform(bound):
    report = bound.check(300)
    assert report.holds, report
    assert report.worst_ratio > 0.5


# Negative controls


@pytest.mark.parametrize(
    "loss",
    [KNOWN["perceptron"].loss, KNOWN["kinked hinge"].loss, bump, lambda m: np.maximum(0, 1 + m), np.zeros_like],
    ids=["perceptron", "kinked", "bump", "mutated hinge", "zero"],
)
def test_losses_that_are_not_calibrated_have_a_counterexample_that_can_be_checked(loss):
    analysis = analyse_margin_loss(loss)
    assert analysis.calibrated is False
    found = analysis.counterexample
    assert isinstance(found, Counterexample)
    eta, margin = found.p[0], found.scores[0] - found.scores[1]
    assert eta > 0.5
    assert margin <= 0
    values = loss(np.array([margin, -margin]))
    everywhere = np.concatenate([-margin_grid(), margin_grid()])
    best = (eta * loss(everywhere) + (1 - eta) * loss(-everywhere)).min()
    assert eta * values[0] + (1 - eta) * values[1] - best <= 1e-9
    assert "not calibrated" in analysis.sentence()


def test_the_kinked_hinge_is_wrong_up_to_two_thirds():
    analysis = analyse_margin_loss(KNOWN["kinked hinge"].loss)
    assert analysis.raw[analysis.theta <= 1 / 3].max() < 1e-15
    assert analysis.raw[analysis.theta > 0.34].min() > 0
    assert analysis.monotone[60] == analysis.raw[60] == 0


# Failure modes


def test_an_infimum_at_infinity_is_noted_and_harmless():
    analysis = analyse_margin_loss(KNOWN["logistic"].loss)
    assert any("infinity" in note for note in analyse_margin_loss(KNOWN["sigmoid"].loss).notes)
    assert analysis.raw[-1] == pytest.approx(np.log(2), abs=1e-15)
    slow = analyse_margin_loss(lambda m: np.where(m > 0, 1 / (1 + np.abs(m)), 1 - m))
    assert slow.raw[-1] == pytest.approx(1, abs=1e-11)


def test_an_infimum_at_both_infinities_is_no_minimiser_and_seen_by_the_horizons():
    analysis = analyse_margin_loss(bump)
    assert analysis.status == "counterexample"
    assert any("horizons" in note for note in analysis.notes)
    bounded = analyse_margin_loss(bump, bound=10.0)
    assert bounded.calibrated
    assert bounded.raw[-1] == pytest.approx(0.0198, abs=1e-3)


def test_a_transform_that_falls_more_slowly_than_any_horizon_shows_is_undecided():
    analysis = analyse_margin_loss(lambda m: (2 - np.tanh(m)) / (1 + np.log1p(m**2)))
    assert (analysis.status, analysis.calibrated) == ("undecided", None)
    assert "undecided" in analysis.sentence()


@pytest.mark.parametrize(
    "loss", [lambda m: -m, lambda m: np.where(m > 0, -np.log1p(np.abs(m)), -m)], ids=["linear", "log tail"]
)
def test_a_loss_that_is_unbounded_below_is_reported_as_such(loss):
    analysis = analyse_margin_loss(loss)
    assert (analysis.status, analysis.calibrated) == ("unbounded below", None)
    assert "unbounded below" in analysis.sentence()
    assert analyse_margin_loss(loss, bound=1.0).calibrated


def test_several_local_minima_are_all_refined():
    def loss(m):
        return np.logaddexp(0, -m) + 0.2 * np.cos(4 * m) * np.exp(-np.abs(m) / 4)

    analysis = analyse_margin_loss(loss, thetas=21)
    grid = np.linspace(-30, 30, 600_001)
    risk = np.array([(1 + t) / 2 * loss(grid) + (1 - t) / 2 * loss(-grid) for t in analysis.theta])
    expected = risk[:, grid <= 1e-9].min(axis=1) - risk.min(axis=1)
    np.testing.assert_allclose(analysis.raw[1:], expected[1:], atol=1e-8)


def test_a_dip_as_narrow_as_the_grid_is_noted():
    node = margin_grid()[151]

    def loss(m):
        return np.logaddexp(0, -m) - 0.5 * np.exp(-(((m - node) / 0.002) ** 2))

    assert any("narrow" in note for note in analyse_margin_loss(loss).notes)
    assert not any("narrow" in note for note in analyse_margin_loss(KNOWN["logistic"].loss).notes)


def test_kinks_between_nodes_are_found_exactly():
    analysis = analyse_margin_loss(lambda m: np.maximum(0, 1 - m / 0.9173) + np.maximum(0, m - 1.377))
    assert analysis.compare(lambda t: t) < 1e-12


def test_ties_count_as_wrong():
    flat = analyse_margin_loss(lambda m: np.where(m > 0, np.maximum(0, 1 - m), 1.0))
    assert flat.calibrated
    step = analyse_margin_loss(lambda m: np.where(m >= 0, 0.0, 1.0))
    assert step.calibrated is False
    assert step.counterexample.scores == (0.0, 0.0)


def test_overflow_counts_as_an_infinite_loss_not_as_a_fault():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        naive = analyse_margin_loss(lambda m: np.log(1 + np.exp(-m)))
        quotient = analyse_margin_loss(lambda m: np.log1p(np.exp(-m)) * np.exp(m) / np.exp(m))
    assert naive.compare(KNOWN["logistic"].transform) < 1e-9
    assert quotient.calibrated


def test_a_quadratic_transform_is_not_taken_for_zero_at_small_theta():
    thetas = np.array([1e-4, 1e-3, 1e-2])
    analysis = analyse_margin_loss(KNOWN["Savage"].loss, thetas=thetas)
    assert analysis.calibrated
    np.testing.assert_allclose(analysis.raw[1:4], thetas**2 / 4, rtol=1e-6)


# Proofs


@pytest.mark.parametrize(
    ("name", "bound", "route"),
    [
        ("hinge", INF, "P1"), ("logistic", INF, "P1"), ("exponential", INF, "P1"), ("squared hinge", INF, "P1"),
        ("modified Huber", INF, "P1"), ("absolute", INF, "P1"), ("Savage", INF, "P2"), ("tangent", INF, "P2"),
        ("GCE, q = 1/2", INF, "P2"), ("rho-margin, rho = 2", INF, "P2"), ("sigmoid", 1.0, "P2"), ("linear", 1.0, "P1"),
    ],
)  # fmt: skip
def test_calibrated_losses_are_proved_over_the_whole_domain(name, bound, route):
    analysis = analyse_margin_loss(KNOWN[name].expression(), bound=bound, thetas=11).prove()
    assert analysis.status == "proved"
    assert analysis.calibrated
    assert analysis.proof.route.startswith(route)
    assert analysis.proof.verify()
    assert analysis.proof.steps


@pytest.mark.parametrize(
    "expression", [sympy.Max(0, -z), sympy.Max(0, 1 - z, 1 - 2 * z), sympy.Max(0, 1 + z), z**2], ids=str
)
def test_losses_that_are_not_calibrated_are_refuted_by_their_slopes_at_zero(expression):
    analysis = analyse_margin_loss(expression, thetas=21).prove()
    assert analysis.status == "counterexample"
    assert analysis.proof.calibrated is False
    eta, margin = analysis.counterexample.p[0], analysis.counterexample.scores[0]
    risk = sympy.lambdify(z, eta * expression + (1 - eta) * expression.subs(z, -z))
    assert margin <= 0
    assert eta > 0.5
    assert risk(margin) <= min(risk(m) for m in np.linspace(-5, 5, 2001)) + 1e-9


def test_the_bump_is_proved_to_have_no_minimiser(capsys):
    proof = analyse_margin_loss((2 - sympy.tanh(z)) / (1 + z**2), thetas=11).prove().proof
    assert proof.calibrated is False
    assert proof.route.startswith("P3")
    assert proof.verify()
    proof.explain()
    assert "tends to 0 at both infinities" in capsys.readouterr().out


def test_what_is_unbounded_below_or_out_of_reach_stays_undecided():
    for expression, why in ((-z, "unbounded below"), (2 - sympy.sin(3 * z), "certified")):
        proof = analyse_margin_loss(expression, thetas=11).prove().proof
        assert proof.calibrated is None
        assert why in proof.reason
        assert not proof.verify()
    with pytest.raises(ValueError, match="sympy expression for a proof"):
        analyse_margin_loss(bump, thetas=11).prove()


def test_a_transform_is_certified_on_the_square_and_a_larger_one_refused():
    theta = sympy.Symbol("theta")
    savage, sigmoid = 1 / (1 + sympy.exp(z)) ** 2, 1 / (1 + sympy.exp(z))
    assert certify_transform(savage, theta**2 / 4, theta).proved is True
    assert certify_transform(savage, theta**2 * Fraction(26, 100), theta).proved is False
    assert certify_transform(sigmoid, theta / 2, sympy.Integer(1)).proved is True
    assert certify_transform(sigmoid, theta * sympy.Rational(51, 100), sympy.Integer(1)).proved is False


# Bad input


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phi": 3}, "phi must be a callable"),
        ({"phi": lambda m: m[:2]}, "phi must return the shape"),
        ({"phi": lambda m: m * 1j}, "phi must return real"),
        ({"phi": lambda m: np.where(np.abs(m) < 2, np.nan, m)}, "phi must not be NaN"),
        ({"phi": bump, "bound": 0.0}, "bound must be"),
        ({"phi": bump, "bound": float("nan")}, "bound must be"),
        ({"phi": bump, "thetas": np.array([0.5, 0.2])}, "thetas must increase"),
        ({"phi": bump, "thetas": np.array([0.5, 1.2])}, "thetas must increase"),
        ({"phi": bump, "thetas": 1}, "thetas must be"),
        ({"phi": z * sympy.Symbol("y")}, "variable must be given"),
        ({"phi": z * sympy.Symbol("y"), "variable": z}, "variable must be the only symbol"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        analyse_margin_loss(**arguments)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_of_results_are_named():
    analysis = analyse_margin_loss(KNOWN["hinge"].loss, thetas=5)
    with pytest.raises(ValueError, match="t must not be negative"):
        analysis.inverse(-0.1)
    with pytest.raises(ValueError, match="theta must be"):
        analysis.witness(1.5)
    with pytest.raises(ValueError, match="theta must be"):
        KNOWN["hinge"].transform(1.5)
    with pytest.raises(ValueError, match="no closed form"):
        KNOWN["bump"].transform(0.5, 1.0)
    with pytest.raises(ValueError, match="B0 must be"):
        linear_score_bound(1.0, 0.0)
    with pytest.raises(ValueError, match="x must hold"):
        refined_minima(lambda rows, t: t, np.array([[1.0, 0, 0, 0, 0]]), np.zeros((1, 5)), 1e-12)


def test_an_inverse_without_an_exact_transform_is_a_chord():
    grid = np.array([0.0, 0.5, 1.0])
    assert inverse_of_envelope(0.125, grid, grid**2, grid**2) == pytest.approx(0.25)
