"""The analyser of score-vector losses: the table of known answers, the three traps, exact counterexamples."""

from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest
import sympy

from theory.classification.calibration_proofs import SubgradientProof, affine_pieces, prove_counterexample
from theory.classification.h_consistency import (
    analyse_margin_loss,
    analyse_multiclass_loss,
    bounded_ce_ambiguity,
    bounded_ce_calibration,
    certify_bounded_ce_tie,
    comp_sum_form,
    compare_with_known,
    constrained_form,
    max_form,
    multiclass_loss_table,
    one_vs_rest_form,
    small_beta_constant,
    sum_form,
    weston_watkins_dead_zone,
)

BETAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
KNOWN = {known.name: known for known in multiclass_loss_table(3)}
HINGE = sympy.Max(0, 1 - sympy.Symbol("z"))


def hinge(margin):
    return np.maximum(0, 1 - margin)


CROSS_ENTROPY = comp_sum_form(np.log1p)


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.delta is not None])
def test_known_calibration_functions_are_reproduced(name):
    known = KNOWN[name]
    analysis = analyse_multiclass_loss(known.loss, 3, betas=BETAS)
    assert analysis.compare(known.delta) < 7e-10
    assert analysis.calibrated is known.calibrated
    assert next(iter(compare_with_known(analysis).values())) < 7e-10
    assert (analysis.envelope <= analysis.raw).all()
    assert (analysis.monotone <= analysis.raw).all()


@pytest.mark.parametrize("name", ["constrained exponential", "constrained squared hinge", "sum of squared hinges"])
def test_constants_at_small_beta_depend_on_n_and_the_remembered_ones_are_refuted(name):
    measured = {"constrained exponential": 0.00375, "constrained squared hinge": 0.00749}
    remembered = {"constrained exponential": 0.1**2 / 2}.get(name, 0.1**2)
    analysis = analyse_multiclass_loss(KNOWN[name].loss, 3, betas=(0.001, 0.01, 0.1))
    assert analysis.raw[1] / 0.001**2 == pytest.approx(small_beta_constant(name, 3), rel=1e-3)
    assert analysis.raw[3] < remembered
    if name in measured:
        assert analysis.raw[3] == pytest.approx(measured[name], abs=1e-5)
    p, scores = analysis.witness(0.1)
    assert analysis.regret(p, scores) < remembered
    assert p.max() - p[1] == pytest.approx(0.1)
    two = analyse_multiclass_loss(KNOWN[name].loss, 2, betas=(0.01, 0.1))
    assert two.raw[1] / 0.01**2 == pytest.approx(small_beta_constant(name, 2), rel=1e-3)


def test_the_constant_of_a_sum_of_squared_hinges_at_four_labels_against_a_conic_solver():
    """Worst p of the closed form, both minima by an independent solver."""
    n, beta = 4, 0.01
    e = beta / (2 * (n + 2))
    p = np.array([(1 + beta) / 2 - (n - 2) * e / 2, (1 - beta) / 2 - (n - 2) * e / 2, e, e])
    values = []
    for constraints in (lambda s: [], lambda s: [s[1] >= s[k] for k in (0, 2, 3)]):
        s = cp.Variable(n)
        risk = sum(p[y] * sum(cp.square(cp.pos(1 - s[y] + s[k])) for k in range(n) if k != y) for y in range(n))
        problem = cp.Problem(cp.Minimize(risk), [s[0] == 0, *constraints(s)])
        problem.solve(solver=cp.CLARABEL)
        values.append(problem.value)
    found = analyse_multiclass_loss(KNOWN["sum of squared hinges"].loss, n, betas=(beta,))
    assert found.raw[1] <= values[1] - values[0] + 1e-7
    assert found.raw[1] / beta**2 == pytest.approx(small_beta_constant("sum of squared hinges", n), rel=0.02)


@pytest.mark.parametrize("name", ["cross-entropy", "one-versus-rest logistic", "Lee-Lin-Wahba", "MAE"])
def test_two_labels_agree_with_the_analysis_of_margins(name):
    loss = {known.name: known.loss for known in multiclass_loss_table(2)}[name]
    both = analyse_multiclass_loss(loss, 2, betas=(0.1, 0.5, 1.0))
    if name == "one-versus-rest logistic":
        margin = analyse_margin_loss(lambda z: 2 * np.logaddexp(0, -z), thetas=both.beta[1:])
    elif name == "Lee-Lin-Wahba":
        margin = analyse_margin_loss(lambda z: hinge(z / 2), thetas=both.beta[1:])
    else:
        phi = {"cross-entropy": lambda z: np.logaddexp(0, -z), "MAE": lambda z: 1 / (1 + np.exp(z))}[name]
        margin = analyse_margin_loss(phi, thetas=both.beta[1:])
    np.testing.assert_allclose(both.raw, margin.raw, atol=1e-9)


# The three traps


@pytest.mark.parametrize("bound", [0.25, 1.0])
def test_cross_entropy_with_bounded_scores_is_not_calibrated(bound):
    beta0 = bounded_ce_ambiguity(3, bound)
    betas = np.array([0.2, 0.9, 1.05, 1.5, 3.0]) * beta0
    analysis = analyse_multiclass_loss(CROSS_ENTROPY, 3, bound=bound, betas=betas)
    assert analysis.calibrated is False
    assert analysis.compare(lambda b: bounded_ce_calibration(b, 3, bound)) < 1e-13
    assert (analysis.raw[:3] < 1e-15).all()
    assert (analysis.raw[3:] > 0).all()
    found = analysis.counterexample
    assert abs(found.scores[0] - found.scores[1]) < 1e-6
    assert found.p[0] > found.p[1]


def test_four_labels_with_bounded_scores():
    analysis = analyse_multiclass_loss(CROSS_ENTROPY, 4, bound=0.5, betas=(0.2, 0.5, 1.0))
    assert analysis.compare(lambda b: bounded_ce_calibration(b, 4, 0.5)) < 1e-13


def test_the_tie_of_bounded_cross_entropy_is_certified_and_a_clearer_best_label_is_not():
    assert certify_bounded_ce_tie((Fraction(41, 100), Fraction(39, 100), Fraction(1, 5)), Fraction(1, 4)).proved
    assert not certify_bounded_ce_tie((Fraction(3, 5), Fraction(1, 5), Fraction(1, 5)), Fraction(1, 4)).proved
    thousand = (Fraction(1, 2), Fraction(1, 2) - Fraction(998, 4000), *[Fraction(1, 4000)] * 998)
    proof = certify_bounded_ce_tie(thousand, 1)
    assert proof.proved
    assert min(proof.slacks) > 0
    assert bounded_ce_ambiguity(1000, 1.0) == pytest.approx(0.985, abs=1e-3)
    assert bounded_ce_ambiguity(1000, 20.0) == pytest.approx(2e-15, rel=0.2)
    assert bounded_ce_ambiguity(3, 0.25) == pytest.approx(0.2327, abs=1e-4)
    with pytest.raises(ValueError, match="p must be a distribution"):
        certify_bounded_ce_tie((0.5, 0.5), 1.0)


def test_bounded_cross_entropy_with_two_labels_is_the_bounded_logistic_loss():
    margins = analyse_margin_loss(lambda z: np.logaddexp(0, -z), bound=1.2)
    assert margins.compare(lambda t: bounded_ce_calibration(t, 2, 0.6)) < 1e-14


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_the_dead_zone_of_weston_and_watkins_is_exact_for_every_n(n):
    """p_0 = 1/2, p_1 = 1/n: a tie minimises the risk, by subgradients in Fractions."""
    rest = (1 - Fraction(1, 2) - Fraction(1, n)) / (n - 2)
    p = (Fraction(1, 2), Fraction(1, n), *[rest] * (n - 2))
    proof = prove_counterexample(sum_form(HINGE).exact_terms(n), p, (0, 0, *[-1] * (n - 2)))
    assert isinstance(proof, SubgradientProof)
    assert proof.verify()
    assert proof.p == p
    assert float(p[0] - p[1]) == pytest.approx(weston_watkins_dead_zone(n))


def test_the_dead_zone_ends_where_it_should():
    analysis = analyse_multiclass_loss(sum_form(hinge), 3, betas=(0.16, 0.17, 0.2, 0.3, 0.4))
    np.testing.assert_allclose(analysis.raw[1:], [0, 0.004, 0.04, 0.16, 0.28], atol=1e-9)
    four = analyse_multiclass_loss(sum_form(hinge), 4, betas=(0.24, 0.26))
    assert four.raw[1] < 1e-9 < four.raw[2]


def test_the_hand_check_of_weston_and_watkins(capsys):
    proof = prove_counterexample(sum_form(HINGE).exact_terms(3), (1 / 2, 1 / 3, 1 / 6), (0, 0, -1))
    assert proof.p == (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))
    proof.explain()
    assert "label 1 is at the top" in capsys.readouterr().out


@pytest.mark.parametrize("form", [sum_form, max_form, one_vs_rest_form])
def test_hinges_that_are_not_calibrated_are_refuted_exactly(form):
    analysis = analyse_multiclass_loss(form(HINGE), 3, betas=(0.1, 0.4)).prove()
    assert analysis.proof.verify()
    found = analysis.counterexample
    scores = np.array(found.scores)
    assert found.regret == 0.0
    assert scores[analysis.proof.predicted] == scores.max()
    assert analysis.regret(np.array(found.p), scores) < 1e-9
    # A linear programme in floats finds no better scores.
    s, p = cp.Variable(3), found.p
    slopes = analysis.proof.terms
    risk = sum(
        p[y] * sum(cp.max(cp.hstack([np.array(a, float) @ s + float(b) for a, b in term])) for term in slopes[y])
        for y in range(3)
    )
    problem = cp.Problem(cp.Minimize(risk), [s <= 50, s >= -50])
    problem.solve(solver=cp.CLARABEL)
    assert problem.value >= float(np.dot(p, form(HINGE)(scores))) - 1e-6


def test_a_minimiser_that_is_none_has_no_proof():
    terms = max_form(HINGE).exact_terms(3)
    assert prove_counterexample(terms, (0.7, 0.2, 0.1), (0, 0, 0)) is None
    proof = prove_counterexample(terms, (0.4, 0.35, 0.25), (0, 0, 0))
    spoilt = SubgradientProof((Fraction(7, 10), Fraction(1, 5), Fraction(1, 10)), proof.scores, 1, proof.weights, terms)
    assert not spoilt.verify()


# Forms, symmetry, sizes


def test_forms_against_loops():
    rng = np.random.default_rng(0)
    s = rng.normal(size=(5, 4))

    def phi(z):
        return np.exp(-z) + z**2

    for row in s:
        centred = row - row.mean()
        for y in range(4):
            others = [k for k in range(4) if k != y]
            assert comp_sum_form(np.log1p)(row)[y] == pytest.approx(-row[y] + np.log(np.exp(row).sum()))
            assert sum_form(phi)(row)[y] == pytest.approx(sum(phi(row[y] - row[k]) for k in others))
            assert max_form(phi)(row)[y] == pytest.approx(max(phi(row[y] - row[k]) for k in others))
            assert constrained_form(phi)(row)[y] == pytest.approx(sum(phi(-centred[k]) for k in others))
            assert one_vs_rest_form(phi)(row)[y] == pytest.approx(phi(row[y]) + sum(phi(-row[k]) for k in others))
    z = sympy.Symbol("z")
    np.testing.assert_allclose(sum_form(sympy.exp(-z) + z**2)(s), sum_form(phi)(s))


@pytest.mark.parametrize("form", [sum_form, max_form, constrained_form, one_vs_rest_form])
def test_exact_terms_are_the_loss(form):
    loss, s = form(HINGE), np.random.default_rng(1).normal(size=4)
    exact = [
        sum(max(float(np.dot(np.array(a, float), s)) + float(b) for a, b in term) for term in label)
        for label in loss.exact_terms(4)
    ]
    np.testing.assert_allclose(loss(s), exact, atol=1e-12)
    assert form(sympy.exp(sympy.Symbol("z"))).exact_terms(3) is None
    assert affine_pieces(-sympy.Abs(sympy.Symbol("z"))) is None


def test_a_constraint_centres_the_scores():
    raw = lambda s: np.stack([sum(hinge(-s[..., k]) for k in range(3) if k != y) for y in range(3)], axis=-1)  # noqa: E731
    constrained = analyse_multiclass_loss(raw, 3, betas=(0.2, 0.6), constraint="sum-zero")
    same = analyse_multiclass_loss(constrained_form(hinge), 3, betas=(0.2, 0.6))
    np.testing.assert_allclose(constrained.raw, same.raw, atol=1e-9)


def test_a_constant_changes_nothing_and_a_function_of_the_scores_does():
    plain = analyse_multiclass_loss(CROSS_ENTROPY, 3, betas=(0.3,)).raw[1]
    assert analyse_multiclass_loss(lambda s: CROSS_ENTROPY(s) + 5, 3, betas=(0.3,)).raw[1] == pytest.approx(
        plain, abs=1e-12
    )
    penalised = analyse_multiclass_loss(
        lambda s: CROSS_ENTROPY(s) + (s**2).sum(axis=-1, keepdims=True), 3, betas=(0.3,)
    )
    assert abs(penalised.raw[1] - plain) > 1e-3


def test_a_loss_that_prefers_a_label_is_searched_in_every_order():
    """Unequal weights of the labels: uncalibrated only for one order of them."""
    weights = np.array([1.0, 1.0, 3.0])
    analysis = analyse_multiclass_loss(lambda s: weights * CROSS_ENTROPY(s), 3, betas=(0.1,))
    assert any("order of the labels" in note for note in analysis.notes)
    assert not analysis.symmetric
    assert analysis.calibrated is False
    p, scores = np.array(analysis.counterexample.p), np.array(analysis.counterexample.scores)
    assert p[scores.argmax()] < p.max() - 0.05
    assert analyse_multiclass_loss(lambda s: weights * CROSS_ENTROPY(s), 3, betas=(0.1,), symmetric=True).calibrated


@pytest.mark.parametrize("name", ["cross-entropy", "Lee-Lin-Wahba", "sum of squared hinges"])
def test_the_witness_attains_what_is_reported_and_refutes_one_percent_more(name):
    analysis = analyse_multiclass_loss(KNOWN[name].loss, 3, betas=(0.2, 0.6))
    for beta in (0.2, 0.35):
        p, scores = analysis.witness(beta)
        regret = analysis.regret(p, scores)
        expected = analysis.raw[1] if beta == 0.2 else KNOWN[name].delta(beta) if KNOWN[name].delta else regret
        assert regret == pytest.approx(float(expected), abs=1e-9)
        assert regret < 1.01 * float(expected)
        assert p.max() - p[1] == pytest.approx(beta)
        assert scores[1] >= scores.max() - 1e-12


def test_regrets_of_random_p_and_scores_are_never_below_the_calibration_function():
    rng = np.random.default_rng(2)
    for name in ("MAE", "Lee-Lin-Wahba", "one-versus-rest logistic"):
        known = KNOWN[name]
        analysis = analyse_multiclass_loss(known.loss, 3, betas=(0.5, 1.0))
        for _ in range(8):
            p, s = rng.dirichlet(np.ones(3)), rng.normal(size=3)
            gap = p.max() - p[s.argmax()]
            assert analysis.regret(p, s) >= float(known.delta(np.array(gap))) - 1e-9


def test_more_than_five_labels_are_searched_and_said_to_be():
    analysis = analyse_multiclass_loss(CROSS_ENTROPY, 6, betas=(0.3, 1.0))
    assert any("not exhaustive" in note for note in analysis.notes)
    assert analysis.compare(KNOWN["cross-entropy"].delta) < 1e-9


def test_a_loss_that_falls_without_end_has_no_transform():
    analysis = analyse_multiclass_loss(lambda s: -s, 3, betas=(0.5,))
    assert (analysis.status, analysis.calibrated) == ("unbounded below", None)
    with pytest.raises(ValueError, match="t has no inverse"):
        analysis.inverse(0.1)
    with pytest.raises(ValueError, match="counterexample to prove"):
        analysis.prove()


def test_the_inverse_and_the_sentence():
    analysis = analyse_multiclass_loss(KNOWN["Lee-Lin-Wahba"].loss, 3)
    assert analysis.inverse(0.3) == pytest.approx(0.3)
    assert analysis.inverse(9.0) == 1.0
    assert "calibrated, 3 labels" in analysis.sentence()
    svm = analyse_multiclass_loss(max_form(hinge), 3, betas=(0.1, 0.4))
    assert svm.inverse(0.0) == 0.4 or svm.inverse(0.0) == 1.0
    assert "not calibrated" in svm.sentence()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": 3}, "loss must be a callable"),
        ({"loss": lambda s: s[..., :1]}, "loss must return one value per label"),
        ({"loss": lambda s: s * 1j}, "loss must return real"),
        ({"loss": lambda s: s * np.nan}, "loss must not be NaN"),
        ({"classes": 1}, "classes must be"),
        ({"bound": -1.0}, "bound must be"),
        ({"betas": (0.5, 0.2)}, "betas must increase"),
        ({"betas": (0.0, 0.2)}, "betas must increase"),
        ({"constraint": "positive"}, "constraint must be"),
        ({"constraint": "sum-zero", "bound": 1.0}, "centred"),
        ({"symmetric": "maybe"}, "symmetric must be"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        analyse_multiclass_loss(**{"loss": CROSS_ENTROPY, "classes": 3, **arguments})
