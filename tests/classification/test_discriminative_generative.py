"""Naive Bayes and logistic regression: estimates, the margin step, transforms for bounded scores, sample sizes."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import multivariate_normal, norm
from sklearn.naive_bayes import GaussianNB

from simulations.classification import discriminative_generative as simulation
from theory.classification import discriminative_generative as theory
from theory.classification.comp_sum import bounded_conditional_min, transform
from theory.classification.naive_bayes import GaussianNaiveBayes, NaiveBayesParameters, nb_margin_bound

EXAMPLES = settings(max_examples=20, deadline=None)
BETAS = np.linspace(0, 1, 101)


def training_sets(seed, seeds, m, n, K):
    """Several training sets, each with every class, and one test set."""
    rng = np.random.default_rng(seed)
    y = np.stack(
        [rng.permutation(np.append(np.arange(K).repeat(2), rng.integers(0, K, m - 2 * K))) for _ in range(seeds)]
    )
    means, scales = rng.normal(size=(K, n)), 10.0 ** rng.uniform(-1, 1, n)
    return (means[y] + rng.normal(size=(seeds, m, n))) * scales, y, rng.normal(size=(40, n)) * scales


# naive Bayes -------------------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 5), st.integers(1, 6))
def test_unpooled_naive_bayes_is_scikit_learns_for_every_seed_at_once(seed, seeds, K, n):
    X, y, test = training_sets(seed, seeds, 40, n, K)
    ours = GaussianNaiveBayes(var_smoothing=0.0, pooled=False).fit(X, y)
    for s in range(seeds):
        theirs = GaussianNB(var_smoothing=0.0).fit(X[s], y[s])
        assert_allclose(ours.parameters.means[s], theirs.theta_, rtol=1e-10, atol=1e-12)
        assert_allclose(ours.parameters.variances[s], theirs.var_, rtol=1e-9)
        assert_allclose(softmax(ours.decision_function(test)[s], axis=1), theirs.predict_proba(test), atol=1e-9)
        assert_array_equal(ours.predict(test)[s], theirs.predict(test))


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 6))
def test_pooled_naive_bayes_is_what_its_definition_says(seed, K, n):
    X, y, test = training_sets(seed, 1, 30, n, K)
    X, y = X[0], y[0]
    model = GaussianNaiveBayes(var_smoothing=0.25).fit(X, y)
    share = np.bincount(y) / len(y)
    means = np.array([X[y == k].mean(0) for k in range(K)])
    variances = sum(share[k] * (X[y == k].var(0) + 0.25) for k in range(K))
    assert_allclose(model.parameters.means, means, rtol=1e-10, atol=1e-12)
    assert_allclose(model.parameters.variances[0], variances, rtol=1e-10)
    scores = np.log(share) - 0.5 * ((test[:, None] - means) ** 2 / variances).sum(-1)
    assert_allclose(model.decision_function(test), scores, rtol=1e-9, atol=1e-9)
    densities = np.stack([norm(means[k], np.sqrt(variances)).logpdf(test).sum(1) for k in range(K)], 1) + np.log(share)
    assert_allclose(
        log_softmax(model.decision_function(test), axis=1),
        densities - logsumexp(densities, 1, keepdims=True),
        atol=1e-8,
    )
    assert_array_equal(model.predict(test), scores.argmax(1))


@EXAMPLES
@given(st.integers(0, 10**6), st.booleans(), st.lists(st.integers(1, 59), max_size=4))
def test_batches_in_any_split_give_the_same_estimates(seed, pooled, cuts):
    X, y, test = training_sets(seed, 3, 60, 4, 3)
    # Sorted by class: early batches lack some classes.
    order = np.argsort(y, axis=1, kind="stable")
    X, y = np.take_along_axis(X, order[..., None], 1), np.take_along_axis(y, order, 1)
    whole = GaussianNaiveBayes(pooled=pooled).fit(X, y)
    parts = GaussianNaiveBayes(pooled=pooled)
    for piece in np.split(np.arange(60), sorted(set(cuts))):
        parts.partial_fit(X[:, piece], y[:, piece], classes=3)
    for name in ("priors", "means", "variances"):
        assert_allclose(getattr(parts.parameters, name), getattr(whole.parameters, name), rtol=1e-9, atol=1e-12)
    assert_array_equal(parts.predict(test), whole.predict(test))


def test_blocks_of_many_rows_change_nothing():
    X, y, _ = training_sets(0, 3, 700, 300, 4)
    for pooled in (True, False):
        ours = GaussianNaiveBayes(0.0, pooled).fit(X, y).parameters
        for s in range(3):
            means = np.array([X[s][y[s] == k].mean(0) for k in range(4)])
            squares = (X[s] - means[y[s]]) ** 2
            expected = squares.mean(0, keepdims=True) if pooled else [squares[y[s] == k].mean(0) for k in range(4)]
            assert_allclose(ours.means[s], means, rtol=1e-10, atol=1e-12)
            assert_allclose(ours.variances[s], expected, rtol=1e-10)


def test_two_leading_axes_and_a_test_set_of_their_own():
    X, y, test = training_sets(1, 6, 20, 3, 2)
    model = GaussianNaiveBayes().fit(X.reshape(2, 3, 20, 3), y.reshape(2, 3, 20))
    assert model.predict(test).shape == (2, 3, 40)
    own = model.predict(X.reshape(2, 3, 20, 3))
    for s in range(6):
        alone = GaussianNaiveBayes().fit(X[s], y[s])
        assert_array_equal(model.predict(test)[s // 3, s % 3], alone.predict(test))
        assert_array_equal(own[s // 3, s % 3], alone.predict(X[s]))


def test_constant_features_and_single_points_stay_finite():
    X = np.array([[0.1, 7.0, 1.0], [0.1, 7.0, 2.0], [0.1, 9.0, 5.0], [0.1, 9.0, 6.0]])
    y = np.array([0, 0, 1, 1])
    for pooled in (True, False):
        model = GaussianNaiveBayes(pooled=pooled).fit(X, y)
        assert np.isfinite(model.decision_function(X + np.array([1.0, 0.5, 0.0]))).all()
        assert_array_equal(model.predict(X), y)
    alone = GaussianNaiveBayes().fit(np.array([[0.0], [2.0]]), np.array([0, 1]))
    assert_array_equal(alone.predict(np.array([[0.9], [1.1]])), [0, 1])
    with pytest.raises(ValueError, match="variances must be above 0"):
        GaussianNaiveBayes(var_smoothing=0.0).fit(X, y).predict(X)


def test_a_large_offset_and_single_precision_change_little():
    X, y, test = training_sets(2, 1, 50, 5, 3)
    for pooled in (True, False):
        plain, moved = (GaussianNaiveBayes(pooled=pooled).fit(X + shift, y) for shift in (0.0, 1e5))
        assert_allclose(moved.decision_function(test + 1e5), plain.decision_function(test), rtol=1e-6, atol=1e-6)
        assert_array_equal(moved.predict(test + 1e5), plain.predict(test))
    single = GaussianNaiveBayes(pooled=False).fit(X.astype(np.float32), y)
    assert_allclose(single.decision_function(test), plain.decision_function(test), rtol=1e-4, atol=1e-4)


def test_refitting_forgets_and_inputs_are_left_alone():
    X, y, test = training_sets(3, 1, 30, 2, 2)
    before = X.copy()
    model = GaussianNaiveBayes().fit(X + 5, y).fit(X, y)
    assert_array_equal(model.predict(test), GaussianNaiveBayes().fit(X, y).predict(test))
    assert_array_equal(X, before)


# the margin step ---------------------------------------------------------------------------------

model_arrays = st.tuples(
    st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 4), st.booleans(), st.booleans(), st.floats(0.01, 3)
)


@EXAMPLES
@given(model_arrays)
def test_a_disagreement_needs_a_small_margin(drawn):
    seed, K, n, pooled, pooled_hat, size = drawn
    rng = np.random.default_rng(seed)

    def model(pool, base=None):
        means = rng.normal(size=(K, n)) if base is None else base.means + size * rng.normal(size=(K, n))
        variances = 10.0 ** rng.uniform(-0.5, 0.5, (1 if pool else K, n))
        return NaiveBayesParameters(rng.dirichlet(np.full(K, 3.0)) * 0.9 + 0.1 / K, means, variances)

    true = model(pooled)
    estimated = model(pooled_hat, true)
    x = rng.normal(size=(200, n)) * 2
    bound = nb_margin_bound(x, estimated, true)
    assert bound.holds.all()
    assert (bound.spread <= bound.deviation * (1 + 1e-12)).all()
    scores, errors = true.discriminants(x), estimated.discriminants(x) - true.discriminants(x)
    assert_allclose(bound.margin, np.sort(scores)[:, -1] - np.sort(scores)[:, -2], atol=1e-9)
    assert_allclose(bound.deviation, 2 * np.abs(errors).max(1), rtol=1e-12)
    assert_array_equal(bound.disagrees, true.predict(x) != estimated.predict(x))
    # With two classes the step is an equivalence, the sign of the error given.
    if K == 2:
        wrong = np.where(scores[:, 0] >= scores[:, 1], errors[:, 1] - errors[:, 0], errors[:, 0] - errors[:, 1])
        assert_array_equal(bound.disagrees, bound.margin < wrong)


def test_the_factor_two_of_the_margin_step_is_needed():
    true = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.array([[1.0]]))
    estimated = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[-0.5], [1.5]]), np.array([[1.0]]))
    # Between the thresholds 0 and 1/2, at its right end: the errors are +x/2 and −x/2 but for constants.
    bound = nb_margin_bound(np.array([[0.4999]]), estimated, true)
    assert bound.disagrees.all()
    assert_allclose(bound.margin / bound.spread, 1.0, atol=1e-3)


# transforms --------------------------------------------------------------------------------------


def test_unbounded_transform_is_that_of_comp_sum_and_at_least_half_a_square():
    for K in (None, 2, 5):
        assert_allclose(theory.logistic_transform(BETAS, K), transform(BETAS, 1.0, 7), rtol=1e-14)
    assert (theory.logistic_transform(BETAS) >= BETAS**2 / 2).all()


def test_two_label_transform_is_its_closed_form():
    for B in (0.25, 1.0, 3.0):
        b, D = BETAS[1:-1], 2 * B
        low = ((1 + b) * np.log1p(b) + (1 - b) * np.log1p(-b)) / 2
        high = np.log(2) - (1 + b) / 2 * np.log1p(np.exp(-D)) - (1 - b) / 2 * np.log1p(np.exp(D))
        assert_allclose(theory.logistic_transform(b, 2, B), np.where(b <= np.tanh(D / 2), low, high), atol=1e-15)
        assert_allclose(theory.logistic_transform(1.0, 2, B), np.log(2) - np.log1p(np.exp(-D)))


def test_transform_of_three_and_more_labels_is_its_closed_form():
    for K in (3, 4, 10):
        for B in (0.1, 0.25, 1.0, 2.0):
            rest = (K - 2) * np.exp(-B)
            p0, p1 = (1 + BETAS) / 2, (1 - BETAS) / 2
            with np.errstate(divide="ignore"):
                s = np.clip(np.log(p1 / p0 * (np.exp(B) + rest)), -B, B)
            delta = np.log(2 * np.exp(B) + rest) - B - (np.log(np.exp(B) + np.exp(s) + rest) - p0 * B - p1 * s)
            limit = (K - 2) / (2 * np.exp(2 * B) + K - 2)
            assert_allclose(theory.uncalibrated_regret(K, B), limit, rtol=1e-14)
            assert_allclose(theory.logistic_transform(BETAS, K, B), np.where(limit >= BETAS, 0, delta), atol=1e-14)
            assert theory.logistic_transform(min(limit + 0.01, 1.0), K, B) > 0
            certain = np.log(2 * np.exp(B) + rest) - np.log(np.exp(B) + rest + np.exp(-B))
            assert_allclose(theory.logistic_transform(1.0, K, B), certain, atol=1e-14)


@EXAMPLES
@given(st.integers(2, 50), st.floats(0.01, 40), st.floats(1, 3))
def test_bounded_transforms_are_convex_grow_with_the_bound_and_tend_to_the_free_one(K, B, factor):
    values = np.asarray(theory.logistic_transform(BETAS, K, B))
    assert values[0] == 0
    assert (np.diff(values) >= -1e-14).all()
    assert (np.diff(values, 2) >= -1e-13).all()
    assert (values <= theory.logistic_transform(BETAS, K, factor * B) + 1e-13).all()
    assert (values <= theory.logistic_transform(BETAS) + 1e-13).all()
    assert_allclose(theory.logistic_transform(BETAS, K, 400.0), theory.logistic_transform(BETAS), atol=1e-13)
    assert theory.logistic_transform(0.3, K, 1e4) == pytest.approx(float(theory.logistic_transform(0.3)))


@EXAMPLES
@given(st.integers(2, 6), st.floats(0.02, 8), st.data())
def test_least_risk_in_the_box_is_what_bisection_finds(K, B, data):
    weights = data.draw(arrays(float, (4, K), elements=st.sampled_from([0.0, 1.0, 1e-9]) | st.floats(0, 1)))
    p = (weights + 1e-12 * np.arange(1, K + 1)) / (weights + 1e-12 * np.arange(1, K + 1)).sum(1, keepdims=True)
    z = np.clip(np.linspace(-1, 1, K), -B, B)
    expected = (p * -log_softmax(z)).sum(1) - bounded_conditional_min(p, 1.0, B)
    assert_allclose(theory.conditional_regret_logistic(p, z, B), expected, atol=1e-11)


@EXAMPLES
@given(st.integers(2, 5), st.sampled_from([0.1, 0.25, 1.0, 4.0, np.inf]), st.data())
def test_regret_is_at_least_the_transform(K, B, data):
    weights = data.draw(arrays(float, K, elements=st.floats(0, 1)).filter(lambda w: w.sum() > 0.1))
    reach = min(B, 20.0)
    z = data.draw(arrays(float, K, elements=st.sampled_from([-reach, 0.0, reach]) | st.floats(-reach, reach)))
    p = weights / weights.sum()
    gap = p.max() - p[z == z.max()].min()
    assert theory.conditional_regret_logistic(p, z, B) >= theory.logistic_transform(gap, K, B) - 1e-12


@pytest.mark.parametrize("B", [0.25, 1.0, np.inf])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_witness_and_search_meet_the_transform(K, B):
    betas = np.array([0.02, 0.1, 0.3, 0.7, 1.0])
    value = theory.logistic_transform(betas, K, B)
    p, z = theory.logistic_witness(betas, K, B)
    assert_allclose(p[:, 1] - p[:, 0], betas, atol=1e-15)
    assert (z.argmax(1) == 0).all()
    assert_allclose(theory.conditional_regret_logistic(p, z, B), value, atol=1e-14)
    assert_allclose(theory.calibration_numeric(betas, K, B), value, atol=1e-13)


def test_constrained_minimisation_over_scores_finds_no_less_than_the_transform():
    rng, K, B = np.random.default_rng(0), 3, 0.25
    for _ in range(6):
        p = -np.sort(-rng.dirichlet(np.ones(K)))

        def risk(z, p=p):
            return float(p @ -log_softmax(z))

        order = [{"type": "ineq", "fun": lambda z, k=k: z[1] - z[k]} for k in (0, 2)]
        found = minimize(
            risk, np.zeros(K), bounds=[(-B, B)] * K, constraints=order, method="SLSQP", options={"ftol": 1e-14}
        )
        free = minimize(
            risk, np.zeros(K), bounds=[(-B, B)] * K, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
        )
        assert found.fun - free.fun >= theory.logistic_transform(p[0] - p[1], K, B) - 1e-7


def test_two_label_formula_fails_for_three_bounded_labels():
    p, z = theory.logistic_witness(0.2, 3, 0.25)
    assert_allclose(theory.conditional_regret_logistic(p, z, 0.25), 0.0, atol=1e-15)
    assert theory.logistic_transform(0.2, 2, 0.25) > 0.01
    assert theory.logistic_transform(0.2, 3, 0.25) == 0


@EXAMPLES
@given(st.floats(0, 2))
def test_gamma_inverts_the_transform_below_the_explicit_bound(t):
    value = theory.logistic_gamma(t)
    assert value <= np.sqrt(2 * t) + 1e-15
    assert_allclose(theory.logistic_transform(value), min(t, np.log(2)), atol=1e-12)


def test_right_side_of_the_consistency_bound():
    assert_allclose(theory.h_consistency_rhs(0.02, 0.03, 0.1, lambda t: np.sqrt(2 * t)), np.sqrt(0.1) - 0.1)
    values = theory.h_consistency_rhs(np.array([0.0, 0.1]), 0.0, 0.0, theory.logistic_gamma)
    assert_allclose(values, [0.0, theory.logistic_gamma(0.1)])


def test_listed_bounds_hold_under_a_short_search():
    for bound in theory.BOUNDS:
        report = bound.check(1000)
        assert report.holds, bound.name
        assert report.worst_ratio > 0.5, bound.name


# sample sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "K", "eps"), [(20, 2, 0.4), (200, 3, 0.5)])
def test_parameters_are_within_eps_as_often_as_promised(n, K, eps):
    m = theory.nb_sample_bound(n, K, 0.6 / K, eps, 0.1)
    rng, priors = np.random.default_rng(0), np.full(K, (1 - 0.6 / K) / (K - 1))
    priors[0] = 0.6 / K
    failures = 0
    for _ in range(30):
        y = rng.choice(K, m, p=priors)
        found = GaussianNaiveBayes(0.0).fit(rng.standard_normal((m, n)), y).parameters
        off = (np.abs(found.means).max(), np.abs(found.variances - 1).max(), np.abs(found.priors - priors).max())
        failures += max(off) > eps
    assert failures <= 3


def test_sample_sizes_grow_with_log_n_and_with_n():
    sizes = np.array([theory.nb_sample_bound(10**k, 2, 0.5, 0.1, 0.05) for k in range(2, 8)])
    assert_allclose(np.diff(sizes, 2), 0, atol=2)
    n = np.array([10**3, 10**4, 10**5, 10**6])
    growth = np.diff(np.log([theory.lr_sample_bound(int(v), 3, 0.1) for v in n])) / np.diff(np.log(n))
    assert (growth <= 1).all()
    assert growth[-1] > 0.99
    assert_allclose(theory.lr_sample_bound(100, 3, 0.1) / theory.lr_sample_bound(100, 3, 0.2), 16, rtol=1e-6)


def test_ingredients_of_the_logistic_sample_size():
    rng, m, n, K = np.random.default_rng(0), 60, 10, 4
    x = rng.uniform(-1, 1, (m, n))
    signs = rng.choice([-1.0, 1.0], (400, m, K))
    # The supremum over ‖W‖_F <= 1 of the Rademacher sum is a norm.
    complexity = np.linalg.norm(np.einsum("rmk,mn->rkn", signs, x), axis=(1, 2)).mean() / m
    assert complexity <= np.sqrt(n * K / m)
    z = rng.normal(size=(500, K)) * 3
    gradients = softmax(z, axis=1) - np.eye(K)[0]
    assert np.linalg.norm(gradients, axis=1).max() <= np.sqrt(2)
    W = rng.normal(size=(500, K, n))
    W /= np.linalg.norm(W, axis=(1, 2), keepdims=True)
    losses = -log_softmax(np.einsum("wkn,mn->wmk", W, x), axis=-1)
    assert losses.max() <= np.log(K) + np.sqrt(2 * n)
    assert losses.min() >= 0


@pytest.mark.parametrize(("mode", "n", "K"), [
    ("constant_info", 2, 2), ("constant_info", 10, 2), ("constant_info", 9, 4), ("weak", 7, 2), ("weak", 11, 4),
    ("correlated", 10, 2), ("correlated", 8, 3),
])  # fmt: skip
def test_exact_errors_of_designs_agree_with_sampling(mode, n, K):
    design = theory.MixtureDesign(mode, n, K)
    X, y = design.sample(40_000, np.random.default_rng(1))
    loading = 0.9 * (np.arange(n) < n // 2) * (mode == "correlated")
    true = design.parameters
    covariance = np.diag(true.variances[0] - loading**2) + np.outer(loading, loading)
    for k in range(K):
        assert_allclose(X[y == k].mean(0), true.means[k], atol=5 * np.sqrt(true.variances.max() * K / 40_000))
    centred = X - true.means[y]
    assert_allclose(centred.T @ centred / len(X), covariance, atol=0.03 * true.variances.max())
    best = np.stack([multivariate_normal(mean, covariance).logpdf(X) for mean in true.means], 1).argmax(1)
    assert_allclose((best != y).mean(), design.bayes_error, atol=4 * np.sqrt(0.25 / 40_000))
    assert_allclose((true.predict(X) != y).mean(), design.naive_bayes_error, atol=4 * np.sqrt(0.25 / 40_000))
    assert design.naive_bayes_error >= design.bayes_error - 1e-12
    assert np.ptp(np.bincount(y)) <= 1


def test_independent_features_give_naive_bayes_the_bayes_error():
    design = theory.MixtureDesign("correlated", 20, 3, loading=0.0)
    assert_allclose(design.naive_bayes_error, design.bayes_error, rtol=1e-12)
    errors = [theory.MixtureDesign("weak", n, 3).bayes_error for n in (3, 50, 200)]
    assert_allclose(errors, errors[0], rtol=1e-10)
    assert_allclose(theory.MixtureDesign("weak", 10, 2).bayes_error, norm.cdf(-2.0), rtol=1e-9)


def test_mixtures_are_reproducible():
    first, second = (theory.gaussian_mixture(9, 4, 3, np.random.default_rng(5), "weak") for _ in range(2))
    assert_array_equal(first[0], second[0])
    assert_array_equal(first[1], second[1])


@EXAMPLES
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 15), st.integers(1, 4))
def test_first_size_that_reaches_the_target_whatever_the_stride(length, step, stride, repeats):
    grid = np.arange(1, length + 1) * step
    calls = []

    def model(m, repeat):
        calls.append((m, repeat))
        return 1.0 / m + 0.01 * repeat

    target = 1 / 50 + 0.01 * (repeats - 1) / 2
    expected = next((int(m) for m in grid if 1 / m <= 1 / 50), None)
    assert theory.samples_to_target(model, target + 1e-12, grid, repeats, stride=stride) == expected
    # A size far from the target costs one training.
    assert calls.count((1, 1)) == 0


# the simulation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("claims", "simulate", "quick", "replicates"), [
    (("C1",), simulation.simulate_framework, simulation.Framework(hypotheses=2000), 2),
    (("C2", "C2b"), simulation.simulate_transform, simulation.Transform(15_000, 2, (2,), (3,), (0.25,)), 5),
    (("C3",), simulation.simulate_margin, simulation.Margin(), 2),
    (("C4",), simulation.simulate_concentration, simulation.Concentration((100, 20_000)), 5),
    (("C6",), simulation.simulate_weak, simulation.Weak((30, 300), repeats=2, test=2000), 3),
    (("C8",), simulation.simulate_correlated, simulation.Correlated(samples=(4000,)), 5),
])  # fmt: skip
def test_controls_refute_what_computed_evidence_supports(claims, simulate, quick, replicates):
    table = pd.concat([simulate(quick, seed, "cpu").assign(replicate=seed) for seed in range(replicates)])
    for claim in simulation.CLAIMS:
        if claim.id in claims:
            verdict = claim.judge(table)
            assert verdict.outcome in ("supported", "inconclusive"), verdict
            if verdict.outcome == "supported":
                assert claim.judge(claim.control(table)).outcome == "refuted"


def test_settings_are_chosen_by_held_out_errors_alone():
    table = pd.DataFrame({
        "replicate": [0, 0, 1, 1] * 2, "data": "digits", "samples": 20, "method": ["logistic"] * 4 + ["naive Bayes"] * 4,
        "setting": [1.0, 30.0] * 2 + [1e-9, 1.0] * 2, "held_out": [0.3, 0.1, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2],
        "error": [0.0, 1.0, 0.0, 1.0, 0.5, 0.0, 0.5, 0.0],
    })  # fmt: skip
    assert simulation.chosen_settings(table, True)["setting"].tolist() == [30.0, 30.0, 1e-9, 1e-9]
    assert simulation.chosen_settings(table, False)["setting"].tolist() == [1.0, 1.0, 1e-9, 1e-9]


def test_sizes_outside_the_grid_decide_nothing():
    claim = next(c for c in simulation.CLAIMS if c.id == "C5")
    table = claim.example().assign(reached=False)
    assert claim.judge(table).outcome == "inconclusive"


# bad input ---------------------------------------------------------------------------------------

X4, Y4 = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
HALF, TWO, ONE = np.array([0.5, 0.5]), np.array([[0.0], [1.0]]), np.array([[1.0]])
GOOD = NaiveBayesParameters(HALF, TWO, ONE)
RNG = np.random.default_rng(0)
NAN = float("nan")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (GaussianNaiveBayes, (-1.0,), "var_smoothing must be a finite number of at least 0"),
    (GaussianNaiveBayes, (0.0, "yes"), "pooled must be True or False"),
    (GaussianNaiveBayes().fit, (X4, np.array([0, 1, 0])), "y must have the shape (4,) of X"),
    (GaussianNaiveBayes().fit, (X4, np.array([0, 1, 0, -1])), "y must be at least 0, got -1"),
    (GaussianNaiveBayes().fit, (X4, np.zeros(4, int)), "y must have at least 2 classes"),
    (GaussianNaiveBayes().fit, (X4, np.array([0.0, 1, 0, 1])), "y must hold whole numbers"),
    (GaussianNaiveBayes().fit, (X4, np.array([0, 1, 0, 5])), "y must have as many samples as classes"),
    (GaussianNaiveBayes().fit, (X4, np.array([0, 2, 0, 2])), "y must hold every class 0 … 2, got no sample of 1"),
    (GaussianNaiveBayes().fit, (np.stack([X4, X4]), np.stack([Y4, [0, 0, 0, 0]])), "of training set (1,)"),
    (GaussianNaiveBayes().fit, (X4 * NAN, Y4), "X must be finite"),
    (GaussianNaiveBayes().fit, (np.array([[np.inf, 0], [-np.inf, 0]]), Y4[:2]), "X must be finite"),
    (GaussianNaiveBayes().fit, (np.array([["a"]]), Y4[:1]), "X must hold real numbers"),
    (GaussianNaiveBayes().fit, (X4[0], Y4[:1]), "X must have shape (..., samples, features)"),
    (GaussianNaiveBayes().predict, (X4,), "parameters must be estimated first"),
    (GaussianNaiveBayes().fit(X4, Y4).predict, (X4[:, :1],), "X must have shape (..., samples, 2 features)"),
    (GaussianNaiveBayes().fit(X4, Y4).predict, (X4 * NAN,), "X must be finite"),
    (GaussianNaiveBayes().fit(np.stack([X4] * 2), np.stack([Y4] * 2)).predict, (np.stack([X4] * 3),), "X must have leading axes"),
    (GaussianNaiveBayes().fit(X4, Y4).partial_fit, (X4, Y4, 3), "classes must stay 2, got 3"),
    (GaussianNaiveBayes().fit(X4, Y4).partial_fit, (X4, np.array([0, 1, 2, 0])), "y must be in 0 … 1, got 2"),
    (GaussianNaiveBayes().fit(X4, Y4).partial_fit, (X4[:, :1], Y4), "X must have the leading axes and features"),
    (GaussianNaiveBayes().partial_fit, (X4, Y4, 1), "classes must be a whole number of at least 2"),
    (GaussianNaiveBayes().partial_fit(X4, Y4, 3).predict, (X4,), "the samples seen must hold every class"),
    (NaiveBayesParameters, (np.array([1.0, 0.0]), TWO, ONE), "priors must be above 0"),
    (NaiveBayesParameters, (np.array([0.5, 0.6]), TWO, ONE), "priors must hold distributions"),
    (NaiveBayesParameters, (HALF, TWO[:1], ONE), "means must have shape"),
    (NaiveBayesParameters, (HALF, TWO, ONE[0]), "variances must have shape"),
    (NaiveBayesParameters, (HALF, TWO, 0 * ONE), "variances must be above 0"),
    (nb_margin_bound, (TWO, GOOD, None), "params must be NaiveBayesParameters"),
    (nb_margin_bound, (TWO, NaiveBayesParameters(HALF, X4[:2], X4[1:2]), GOOD), "params_hat must have the classes and features"),
    (nb_margin_bound, (X4, GOOD, GOOD), "x must have shape"),
    (theory.logistic_transform, (1.1,), "beta must be in [0, 1]"),
    (theory.logistic_transform, (0.5, None, 1.0), "K must be given for bounded scores"),
    (theory.logistic_transform, (0.5, 1), "K must be a whole number of at least 2"),
    (theory.logistic_transform, (0.5, 2, 0.0), "B must be above 0"),
    (theory.logistic_transform, (0.5, 2, NAN), "B must be above 0"),
    (theory.uncalibrated_regret, (1, 1.0), "K must be a whole number"),
    (theory.logistic_gamma, (NAN,), "t must"),
    (theory.h_consistency_rhs, (-0.1, 0.0, 0.0, np.sqrt), "excess must not be negative"),
    (theory.h_consistency_rhs, (0.1, -1.0, 0.0, np.sqrt), "gap_surr must be"),
    (theory.h_consistency_rhs, (0.1, 0.0, NAN, np.sqrt), "gap_01 must be"),
    (theory.h_consistency_rhs, (0.1, 0.0, 0.0, 2.0), "gamma must be a function"),
    (theory.conditional_regret_logistic, (HALF, np.array([0.0, 2.0]), 1.0), "z must be within"),
    (theory.conditional_regret_logistic, (HALF, np.array([0.0, NAN]), 1.0), "z must be finite"),
    (theory.conditional_regret_logistic, (np.array([0.7, 0.7]), np.zeros(2)), "p must sum to 1"),
    (theory.calibration_numeric, (0.5, 3, -1.0), "B must be above 0"),
    (theory.logistic_witness, (0.5, 1, 1.0), "K must be a whole number"),
    (theory.nb_sample_bound, (0, 2, 0.5, 0.1, 0.1), "n must be a whole number"),
    (theory.nb_sample_bound, (5, 3, 0.5, 0.1, 0.1), "rho0 must be a number in"),
    (theory.nb_sample_bound, (5, 2, 0.5, 2.0, 0.1), "eps must be a number in"),
    (theory.nb_sample_bound, (5, 2, 0.5, 0.1, 0.0), "delta must be"),
    (theory.lr_sample_bound, (5, 2, 0.0), "eps must be"),
    (theory.MixtureDesign, ("hard", 5, 2), "mode must be one of 'constant_info'"),
    (theory.MixtureDesign, ("weak", 3, 4), "n must be a whole number of at least 4"),
    (theory.MixtureDesign, ("correlated", 5, 2, 4.0, 0.3, 1.0), "loading must be a number in"),
    (theory.gaussian_mixture, (1, 4, 2, RNG), "m must be a whole number of at least 2"),
    (theory.gaussian_mixture, (4, 4, 2, 0), "rng must be a numpy random Generator"),
    (theory.samples_to_target, (lambda m, r: 0.0, 0.1, np.array([3, 2]), 1), "grid must increase"),
    (theory.samples_to_target, (lambda m, r: 0.0, 0.1, np.array([1.5]), 1), "grid must be a non-empty vector"),
    (theory.samples_to_target, (lambda m, r: 0.0, -0.1, np.array([3]), 1), "target must be"),
    (theory.samples_to_target, (lambda m, r: 0.0, 0.1, np.array([3]), 0), "repeats must be"),
    (theory.samples_to_target, (lambda m, r: NAN, 0.1, np.array([3]), 1), "the error that model returns"),
    (theory.samples_to_target, (0.5, 0.1, np.array([3]), 1), "model must be a function"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
