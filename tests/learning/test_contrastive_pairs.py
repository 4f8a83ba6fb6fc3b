"""Contrastive pairs: the fit is a stationary point near the truth, and risks are exact."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.special import expit

from theory.learning import contrastive_pairs as theory
from theory.learning.informative_condition import procrustes_rotation


def world(seed, m, d=6, r=2, scale=1.0):
    rng = np.random.default_rng(seed)
    W = scale * np.linalg.qr(rng.standard_normal((d, r)))[0].T
    return W, *theory.sample_contrastive_pairs(W, m, rng)


def test_side_information_has_the_stated_probability():
    W, X, Xp, s = world(0, 200_000)
    p = expit(np.einsum("ma,ma->m", X @ W.T, Xp @ W.T))
    for low in (0.1, 0.4, 0.7):
        rows = (p > low) & (p < low + 0.2)
        assert_allclose(s[rows].mean(), p[rows].mean(), atol=0.01)
    assert_allclose(X.T @ X / len(X), np.eye(6), atol=0.02)


def test_start_comes_from_the_covariance_of_pairs_that_belong_together():
    W, X, Xp, s = world(1, 400_000, scale=0.3)
    start = theory.contrastive_start(X, Xp, s, 2)
    assert_allclose(start.T @ start, W.T @ W, atol=0.04)


def test_fit_is_stationary_and_no_worse_than_start_and_truth():
    W, X, Xp, s = world(2, 3000)
    fitted = theory.fit_contrastive_pairs(X, Xp, s, 2)
    slope = approx_fprime(fitted.ravel(), lambda flat: theory.contrastive_log_loss(flat.reshape(2, 6), X, Xp, s), 1e-6)
    assert np.abs(slope).max() < 1e-4
    loss = theory.contrastive_log_loss(fitted, X, Xp, s)
    assert loss <= theory.contrastive_log_loss(W, X, Xp, s)
    assert loss <= theory.contrastive_log_loss(theory.contrastive_start(X, Xp, s, 2), X, Xp, s)
    for seed in range(3):
        other = np.random.default_rng(seed).standard_normal((2, 6))
        assert loss <= theory.contrastive_log_loss(other, X, Xp, s)


def test_fit_approaches_the_truth_up_to_a_rotation():
    errors = []
    for m in (2000, 32_000):
        W, X, Xp, s = world(3, m)
        fitted = theory.fit_contrastive_pairs(X, Xp, s, 2).T
        errors.append(np.linalg.norm(fitted @ procrustes_rotation(W.T, fitted) - W.T))
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.15


def test_loss_is_that_of_probabilities_and_stays_finite():
    W, X, Xp, s = world(4, 50)
    p = expit(np.einsum("ma,ma->m", X @ W.T, Xp @ W.T))
    assert_allclose(theory.contrastive_log_loss(W, X, Xp, s), -np.log(np.where(s == 1, p, 1 - p)).mean(), atol=1e-12)
    assert np.isfinite(theory.contrastive_log_loss(1e3 * W, X, Xp, s))
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((2, 2)))[0]
    assert_allclose(theory.contrastive_log_loss(rotation @ W, X, Xp, s), theory.contrastive_log_loss(W, X, Xp, s))


def test_pairs_of_one_kind_and_shuffled_ones_are_fitted_without_failing():
    _, X, Xp, s = world(5, 200)
    for side in (np.zeros_like(s), np.ones_like(s), s[::-1].copy()):
        assert np.isfinite(theory.fit_contrastive_pairs(X, Xp, side, 2)).all()


def test_excess_risk_is_that_of_a_sample():
    W, X, _, _ = world(6, 200_000)
    rng = np.random.default_rng(0)
    beta, a = rng.standard_normal(2), rng.standard_normal((2, 6))
    y = X @ W.T @ beta + 0.3 * rng.standard_normal(len(X))
    sampled = [((X @ each - y) ** 2).mean() - 0.09 for each in a]
    assert_allclose(theory.contrastive_excess_risk(a, W, beta), sampled, rtol=0.03)
    assert_allclose(theory.contrastive_excess_risk(W.T @ beta, W, beta), 0, atol=1e-28)


X4, S4 = np.ones((4, 2)), np.array([0, 1, 1, 0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.fit_contrastive_pairs, (X4, X4[:3], S4, 1), "Xp must have the shape (4, 2) of X"),
    (theory.fit_contrastive_pairs, (X4, X4, 2 * S4, 1), "s must be in 0 … 1"),
    (theory.fit_contrastive_pairs, (X4, X4, S4[:2], 1), "s must have 4 entries"),
    (theory.fit_contrastive_pairs, (X4, X4, S4, 3), "r must be at most the dimension 2"),
    (theory.contrastive_start, (X4, X4, S4, 0), "r must be a whole number"),
    (theory.sample_contrastive_pairs, (np.ones((3, 2)), 5, np.random.default_rng(0)), "W must have shape (r, d) with r <= d"),
    (theory.sample_contrastive_pairs, (np.eye(2), 5, 1), "rng must be a numpy random Generator"),
    (theory.contrastive_log_loss, (np.eye(3)[:1], X4, X4, S4), "X must have the 3 columns of W"),
    (theory.contrastive_excess_risk, (np.ones(3), np.eye(2), np.ones(2)), "a must have shape (..., 2)"),
    (theory.contrastive_excess_risk, (np.ones(2), np.eye(2), np.ones(1)), "beta must have the 2 entries"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
