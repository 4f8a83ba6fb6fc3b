"""The factor model: its likelihood, its exact risks, its sufficient statistics, and what scikit-learn says."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import ks_2samp, multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

from theory.learning import factor_model as theory

EXAMPLES = settings(max_examples=30)


def world(seed, d=6, r=2, low=0.5, high=2.0):
    rng = np.random.default_rng(seed)
    return theory.random_loadings(d, rng.uniform(low, high, r), rng), rng.standard_normal(r), rng


@EXAMPLES
@given(st.integers(0, 10**6))
def test_target_and_variance_are_those_of_the_joint_covariance(seed):
    B, beta, _ = world(seed)
    sigma = B @ B.T + np.eye(6)
    a = theory.factor_target(B, beta)
    assert_allclose(a, np.linalg.solve(sigma, B @ beta), atol=1e-12)
    # Schur complement of the covariance of (x, y).
    assert_allclose(theory.conditional_variance(B, beta, 0.7), beta @ beta + 0.49 - B @ beta @ a, atol=1e-12)
    assert_allclose(theory.factor_excess_risk(a, B, beta), 0, atol=1e-25)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((2, 2)))[0]
    assert_allclose(theory.factor_target(B @ rotation, rotation.T @ beta), a, atol=1e-12)
    X = np.random.default_rng(seed).standard_normal((4, 6))
    assert_allclose(theory.posterior_mean_features(X, B), X @ np.linalg.solve(sigma, B), atol=1e-12)
    assert_allclose(theory.posterior_mean_features(X, B) @ beta, X @ a, atol=1e-12)


def test_excess_risk_is_that_of_a_sample():
    B, beta, rng = world(1)
    X, Z, y = theory.sample_factor_model(B, beta, 400_000, 0.5, rng)
    assert_allclose(X.T @ X / len(X), B @ B.T + np.eye(6), atol=0.05)
    assert_allclose(X.T @ Z / len(X), B, atol=0.03)
    a = rng.standard_normal(6)
    risks = [((X @ each - y) ** 2).mean() for each in (a, theory.factor_target(B, beta))]
    assert_allclose(theory.factor_excess_risk(a, B, beta), risks[0] - risks[1], rtol=0.03)
    assert_allclose(theory.conditional_variance(B, beta, 0.5), risks[1], rtol=0.01)


@pytest.mark.parametrize("samples", [3, 5, 6, 40])
def test_second_moments_have_the_moments_of_the_wishart_law(samples):
    B, _, rng = world(2)
    sigma = B @ B.T + np.eye(6)
    S = theory.sample_second_moments(sigma, samples, 40_000, rng)
    assert_allclose(S.mean(axis=0), sigma, atol=5 * sigma.max() * np.sqrt(2 / samples / 40_000))
    diagonal = np.diag(sigma)
    variance = (sigma**2 + np.outer(diagonal, diagonal)) / samples
    assert_allclose(S.var(axis=0), variance, rtol=0.12)
    assert (np.linalg.matrix_rank(S[:50]) == min(6, samples)).all()


@pytest.mark.parametrize("samples", [4, 30])
def test_second_moments_have_the_eigenvalues_of_drawn_samples(samples):
    B, _, rng = world(3)
    sigma = B @ B.T + np.eye(6)
    S = theory.sample_second_moments(sigma, samples, 2000, rng)
    X = rng.standard_normal((2000, samples, 6)) @ np.linalg.cholesky(sigma).T
    drawn = np.swapaxes(X, 1, 2) @ X / samples
    for k in (0, 3, 5):
        values = [np.linalg.eigvalsh(each)[:, k] for each in (S, drawn)]
        if samples > 4 or k > 2:
            assert ks_2samp(*values).pvalue > 1e-3


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_fitted_loadings_have_the_largest_likelihood(seed, r):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 4)) * rng.uniform(0.3, 3, 4)
    S = X.T @ X / 40
    fitted = theory.fit_factor_model(X, r)
    best = theory.factor_log_likelihood(fitted, S)
    others = fitted + 10.0 ** rng.uniform(-4, 1, (200, 1, 1)) * rng.standard_normal((200, 4, r))
    assert (theory.factor_log_likelihood(others, S) <= best + 1e-12).all()
    expected = multivariate_normal(cov=fitted @ fitted.T + np.eye(4)).logpdf(X).mean()
    assert_allclose(best, expected, atol=1e-10)


def test_general_optimisation_finds_the_same_likelihood():
    B, _, rng = world(4)
    X = theory.sample_factor_model(B, np.ones(2), 100, 0.0, rng)[0]
    S = X.T @ X / 100
    found = minimize(
        lambda flat: -theory.factor_log_likelihood(flat.reshape(6, 2), S), rng.standard_normal(12), method="BFGS"
    )
    fitted = theory.fit_factor_model(X, 2)
    assert_allclose(-found.fun, theory.factor_log_likelihood(fitted, S), atol=1e-7)
    free = found.x.reshape(6, 2)
    assert_allclose(free @ free.T, fitted @ fitted.T, atol=1e-3)


def test_directions_below_the_noise_get_no_loading():
    S = np.diag([3.0, 0.5, 0.2])
    assert_allclose(theory.factor_loadings(S, 2), [[np.sqrt(2), 0], [0, 0], [0, 0]], atol=1e-12)
    stacked = theory.factor_loadings(np.stack([S, 2 * S]), 2)
    assert_allclose(stacked[1], theory.factor_loadings(2 * S, 2), atol=1e-12)


@pytest.mark.parametrize(("features", "n"), [(3, 12), (10, 30)])
def test_least_squares_excess_is_the_mean_over_samples(features, n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, n, features))
    y = 0.8 * rng.standard_normal((4000, n, 1))
    a = np.linalg.solve(np.swapaxes(X, 1, 2) @ X, np.swapaxes(X, 1, 2) @ y)[..., 0]
    excess = (a**2).sum(axis=1)
    exact = theory.least_squares_excess(0.64, features, n)
    assert abs(excess.mean() - exact) < 5 * excess.std() / np.sqrt(4000)


def test_pretraining_error_has_the_derived_first_order():
    d, m = 30, 40_000
    B, beta, rng = world(5, d, 3, 1.0, 2.0)
    sigma = B @ B.T + np.eye(d)
    loadings = theory.factor_loadings(theory.sample_second_moments(sigma, m, 400, rng), 3)
    projected = np.swapaxes(loadings, 1, 2)
    weights = np.linalg.solve(projected @ sigma @ loadings, (projected @ (B @ beta))[..., None])
    excess = theory.factor_excess_risk((loadings @ weights)[..., 0], B, beta)
    predicted = theory.factor_excess_prediction(B, beta, 0.5, m, np.inf)
    assert abs(excess.mean() - predicted) < 5 * excess.std() / 20
    assert abs(excess.mean() / predicted - 1) < 0.1
    # Both parts: n labels on top of the population excess.
    v, e = theory.conditional_variance(B, beta, 0.5), predicted
    assert_allclose(theory.factor_excess_prediction(B, beta, 0.5, m, 50), e + (v + e) * 3 / 46, rtol=1e-12)


def test_no_predictor_that_rests_on_the_fitted_features_beats_the_target():
    B, beta, rng = world(6)
    a = theory.factor_target(B, beta) + rng.standard_normal((50, 6)) * 10.0 ** rng.uniform(-9, 2, (50, 1))
    assert (theory.factor_excess_risk(a, B, beta) > 0).all()
    assert theory.factor_excess_risk(a, B, beta).shape == (50,)


# peers -------------------------------------------------------------------------------------------


def test_likelihood_is_at_least_that_of_sklearn_where_the_families_agree():
    B, beta, rng = world(7, 8, 2)
    X = 1.7 * theory.sample_factor_model(B, beta, 300, 0.0, rng)[0] + 5
    centred = X - X.mean(axis=0)
    S = centred.T @ centred / len(X)
    noise = theory.estimated_noise_variance(S, 2)
    scaled = theory.factor_loadings(S / noise, 2)
    ours = theory.factor_log_likelihood(scaled, S / noise) - 0.5 * 8 * np.log(noise)
    pca = PCA(2).fit(X)
    # PCA divides by m − 1, which costs likelihood; with its covariances rescaled it is the same model.
    assert pca.score(X) <= ours <= pca.score(X) + 0.01
    covariance = noise * (scaled @ scaled.T + np.eye(8))
    assert_allclose(covariance, pca.get_covariance() * 299 / 300, rtol=1e-9)
    # One noise variance per feature is a larger family.
    assert FactorAnalysis(2, tol=1e-6, max_iter=5000, svd_method="lapack").fit(X).score(X) >= ours - 1e-6


def test_known_noise_has_at_least_the_likelihood_of_any_loadings_of_pca():
    B, beta, rng = world(8, 8, 2)
    X = theory.sample_factor_model(B, beta, 300, 0.0, rng)[0]
    S = X.T @ X / 300
    pca = PCA(2).fit(X)
    loadings = pca.components_.T * np.sqrt(np.maximum(pca.explained_variance_ - pca.noise_variance_, 0))
    assert theory.factor_log_likelihood(loadings, S) <= theory.factor_log_likelihood(theory.fit_factor_model(X, 2), S)


# bad input ---------------------------------------------------------------------------------------

B2, BETA, RNG = np.eye(3)[:, :2], np.ones(2), np.random.default_rng(0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.fit_factor_model, (np.ones((4, 2)), 3), "r must be at most the dimension 2"),
    (theory.fit_factor_model, (np.ones((4, 2)), 0), "r must be a whole number"),
    (theory.factor_loadings, (np.diag([1.0, -1.0]), 1), "S must be positive semi-definite"),
    (theory.factor_loadings, (np.array([[1.0, 1.0], [0.0, 1.0]]), 1), "S must be symmetric"),
    (theory.estimated_noise_variance, (np.eye(2), 2), "r must be below the dimension 2"),
    (theory.factor_log_likelihood, (B2, np.eye(2)), "S must have the 3 rows of B"),
    (theory.sample_factor_model, (B2.T, BETA, 5, 0.1, RNG), "B must have shape (..., d, r) with r <= d"),
    (theory.sample_factor_model, (B2, np.ones(3), 5, 0.1, RNG), "beta must have the 2 entries"),
    (theory.sample_factor_model, (B2, BETA, 5, -0.1, RNG), "noise must be"),
    (theory.sample_second_moments, (np.eye(2), 0, 1, RNG), "samples must be a whole number"),
    (theory.sample_second_moments, (np.ones((2, 2)), 5, 1, RNG), "covariance must be positive definite"),
    (theory.posterior_mean_features, (np.ones((4, 2)), B2), "X must have the 3 columns"),
    (theory.factor_excess_risk, (np.ones(2), B2, BETA), "a must have shape"),
    (theory.factor_excess_prediction, (B2, BETA, 0.1, 0.0, 10.0), "m must be"),
    (theory.factor_excess_prediction, (B2, BETA, 0.1, 10.0, 3.0), "n must be above r + 1 = 3"),
    (theory.factor_excess_prediction, (0 * B2, BETA, 0.1, 10.0, 30.0), "B must have full column rank"),
    (theory.random_loadings, (2, np.ones(3), RNG), "singular_values must be at most d = 2"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
