"""EM for spherical mixtures, votes of clusters and exact errors, against brute force, scipy and scikit-learn."""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from theory.learning import spherical_mixture as theory

EXAMPLES = settings(max_examples=30)


def centres(seed, K=4, d=5, norm=4.0):
    directions = np.random.default_rng(seed).standard_normal((K, d))
    return norm * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_likelihood_is_that_of_scipy():
    means, rng = centres(0), np.random.default_rng(0)
    X, z = theory.sample_spherical_mixture(means, 200, rng)
    densities = np.stack([multivariate_normal(u, np.eye(5)).logpdf(X) for u in means], 1)
    assert_allclose(theory.mixture_log_likelihood(X, means), (logsumexp(densities, 1) - np.log(4)).mean(), atol=1e-12)
    assert_array_equal(theory.assign_clusters(X, means), densities.argmax(1))
    assert_allclose(np.bincount(z, minlength=4) / 200, 0.25, atol=0.12)
    far = np.array([[1e4, 0, 0, 0, 0], [0, 1e4, 0, 0, 0]])
    assert np.isfinite(theory.mixture_log_likelihood(far, means))


def test_fit_is_a_fixed_point_that_no_restart_and_no_truth_exceeds():
    means = centres(1)
    X, _ = theory.sample_spherical_mixture(means, 2000, np.random.default_rng(1))
    fit = theory.fit_gmm_spherical(X, 4, 5, np.random.default_rng(2), tolerance=1e-13)
    responsibilities = softmax(X @ fit.means.T - 0.5 * (fit.means**2).sum(1), axis=1)
    assert_allclose((responsibilities.T @ X) / responsibilities.sum(0)[:, None], fit.means, atol=1e-4)
    assert fit.log_likelihood >= fit.restart_log_likelihoods.max() - 1e-12
    assert fit.log_likelihood >= theory.mixture_log_likelihood(X, means)
    closest = np.linalg.norm(fit.means[:, None] - means, axis=2).min(axis=0)
    assert closest.max() < 0.25


def test_all_restarts_at_once_are_those_of_a_loop():
    X, _ = theory.sample_spherical_mixture(centres(2), 300, np.random.default_rng(3))
    fit = theory.fit_gmm_spherical(X, 4, 6, np.random.default_rng(4))
    # The same starts, one after the other and step by step.
    starts = theory._spread_starts(X, 4, 6, np.random.default_rng(4))
    for start, value in zip(starts, fit.restart_log_likelihoods, strict=True):
        means, last = start.copy(), -np.inf
        while True:
            now = theory.mixture_log_likelihood(X, means)
            assert now >= last - 1e-12
            if now - last < 1e-9:
                break
            last = now
            r = softmax(X @ means.T - 0.5 * (means**2).sum(1), axis=1)
            means = (r.T @ X) / r.sum(0)[:, None]
        assert_allclose(value, now, atol=1e-9)


def test_starts_are_spread_over_distinct_samples():
    X = np.repeat(np.eye(4) * 10, 25, axis=0)
    starts = theory._spread_starts(X, 4, 20, np.random.default_rng(0))
    assert all(len(np.unique(start, axis=0)) == 4 for start in starts)
    # Fewer distinct samples than centres: whatever is left, but finite.
    fit = theory.fit_gmm_spherical(np.zeros((5, 2)), 3, 2, np.random.default_rng(0))
    assert_allclose(fit.means, 0)


def test_one_cluster_is_the_mean():
    X = np.random.default_rng(0).standard_normal((50, 3))
    assert_allclose(theory.fit_gmm_spherical(X, 1, 2, np.random.default_rng(0)).means[0], X.mean(0), atol=1e-12)


def test_likelihood_is_at_least_that_of_the_centres_sklearn_finds():
    X, _ = theory.sample_spherical_mixture(centres(3), 800, np.random.default_rng(5))
    ours = theory.fit_gmm_spherical(X, 4, 10, np.random.default_rng(6)).log_likelihood
    mixture = GaussianMixture(4, covariance_type="spherical", n_init=10, random_state=0, tol=1e-6).fit(X)
    for means in (mixture.means_, KMeans(4, n_init=10, random_state=0).fit(X).cluster_centers_):
        assert ours >= theory.mixture_log_likelihood(X, means)
    # Free weights and variances are a larger family.
    assert mixture.score(X) >= ours - 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_vote_error_is_that_of_all_outcomes(n):
    weight, flip, total = 0.3, 0.2, 0.0
    # Each label is elsewhere, right or wrong.
    for outcome in product((0, 1, -1), repeat=n):
        probability = np.prod([{0: 1 - weight, 1: weight * (1 - flip), -1: weight * flip}[o] for o in outcome])
        total += probability * (0.5 if sum(outcome) == 0 else float(sum(outcome) < 0))
    assert_allclose(theory.vote_error(n, weight, flip), total, atol=1e-14)


@EXAMPLES
@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 0.5))
def test_votes_are_wrong_exponentially_rarely(n, weight, flip):
    error = theory.vote_error(n, weight, flip)
    assert 0 <= error <= np.exp(-n * weight * (1 - 2 * np.sqrt(flip * (1 - flip)))) + 1e-12
    assert error <= 0.5 + 1e-12
    assert theory.vote_error(n + 2, weight, flip) <= error + 1e-12


def test_mean_excess_of_votes_is_that_of_sampled_votes():
    K, n, rng = 4, 24, np.random.default_rng(0)
    labels = np.arange(K) % 2
    excess = []
    for _ in range(4000):
        z = rng.integers(0, K, n)
        y = np.where(rng.random(n) < 0.2, 1 - labels[z], labels[z])
        excess.append(0.6 * (theory.cluster_vote(z, y, K) != labels).mean())
    expected = theory.cluster_vote_excess(n, K, 0.2)
    assert abs(np.mean(excess) - expected) < 4 * np.std(excess) / np.sqrt(4000)


def test_votes_minimise_the_empirical_risk():
    rng = np.random.default_rng(0)
    for _ in range(20):
        clusters, y = rng.integers(0, 3, 11), rng.integers(0, 2, 11)
        votes = theory.cluster_vote(clusters, y, 4)
        risks = [(np.array(each)[clusters] != y).sum() for each in product((0, 1), repeat=4)]
        assert (votes[clusters] != y).sum() == min(risks)


def test_conditional_excess_is_that_of_labels():
    means, labels, rng = centres(5, norm=1.5), np.array([0, 1, 1, 0]), np.random.default_rng(0)
    X, z = theory.sample_spherical_mixture(means, 200_000, rng)
    y = np.where(rng.random(len(z)) < 0.1, 1 - labels[z], labels[z])
    q = softmax(X @ means.T - 0.5 * (means**2).sum(1), axis=1) @ labels
    best = (q > 0.5).astype(int)
    predicted = (X[:, 0] > 0).astype(int)
    excess = theory.mixture_excess_error(predicted, X, means, labels, 0.1)
    assert_allclose(excess, (predicted != y).mean() - (best != y).mean(), atol=0.006)
    assert theory.mixture_excess_error(best, X, means, labels, 0.1) == 0
    assert theory.mixture_excess_error(1 - best, X, means, labels, 0.5) == 0


def test_exact_excess_of_two_clusters_is_that_of_sampling():
    rng = np.random.default_rng(0)
    means = np.array([[-1.0, 0.5, 0.0], [1.0, 0.0, 0.3]])
    X, _ = theory.sample_spherical_mixture(means, 300_000, rng)
    for scale in (0.0, 0.3, 2.0):
        fitted = means + scale * rng.standard_normal(means.shape)
        sides = theory.assign_clusters(X, fitted)
        sampled = min(theory.mixture_excess_error(s, X, means, np.array([0, 1]), 0.1) for s in (sides, 1 - sides))
        assert_allclose(theory.two_component_excess(fitted, means, 0.1), sampled, atol=0.004)
        assert theory.two_component_excess(fitted, means, 0.1) == theory.two_component_excess(fitted[::-1], means, 0.1)
    shift = 1e6 * np.ones(3)
    near = means + 0.01
    assert_allclose(
        theory.two_component_excess(near + shift, means + shift, 0.1),
        theory.two_component_excess(near, means, 0.1),
        atol=1e-9,
    )


def test_excess_of_two_clusters_is_of_second_order():
    rng = np.random.default_rng(0)
    means, off = rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    excess = [theory.two_component_excess(means + step * off, means, 0.0) for step in (0.02, 0.01)]
    assert_allclose(excess[0] / excess[1], 4, rtol=0.05)


X5, Y5, M5, RNG = np.ones((5, 2)), np.array([0, 1, 0, 1, 1]), np.eye(2), np.random.default_rng(0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.fit_gmm_spherical, (X5, 0, 1, RNG), "K must be a whole number"),
    (theory.fit_gmm_spherical, (X5, 6, 1, RNG), "X must have at least K = 6 samples"),
    (theory.fit_gmm_spherical, (X5, 2, 0, RNG), "restarts must be a whole number"),
    (theory.fit_gmm_spherical, (X5, 2, 1, 0), "rng must be a numpy random Generator"),
    (theory.cluster_vote, (Y5, 2 * Y5, 2), "y must be in 0 … 1"),
    (theory.cluster_vote, (Y5, Y5[:2], 2), "y and clusters must have the same length, got 2 and 5"),
    (theory.cluster_vote, (Y5 + 1, Y5, 2), "clusters must be in 0 … 1"),
    (theory.vote_error, (3, 1.2, 0.1), "weight must be a number in [0, 1]"),
    (theory.cluster_vote_excess, (3, 2, 0.6), "flip must be a number in [0, 0.5]"),
    (theory.mixture_excess_error, (Y5, X5, M5, np.array([0, 2]), 0.1), "labels must be in 0 … 1"),
    (theory.mixture_excess_error, (Y5[:3], X5, M5, np.array([0, 1]), 0.1), "predicted must have 5 entries"),
    (theory.two_component_excess, (np.ones((2, 2)), M5, 0.1), "means_hat must be two different centres"),
    (theory.two_component_excess, (np.ones((3, 2)), M5, 0.1), "means_hat must have shape (2, 2)"),
    (theory.assign_clusters, (np.ones((4, 3)), M5), "X must have the 2 columns of means"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
