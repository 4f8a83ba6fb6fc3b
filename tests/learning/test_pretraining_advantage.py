"""The two-phase pipelines, their baselines, and the evidence that the simulation gives."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from simulations.contract import Replicate
from simulations.learning import factor_pretraining, latent_pretraining
from simulations.learning import pretraining_advantage as simulation
from theory.learning import factor_model, spherical_mixture
from theory.learning import pretraining_advantage as theory
from theory.learning.contrastive_pairs import contrastive_excess_risk, sample_contrastive_pairs


def test_factor_pipeline_is_least_squares_on_the_posterior_mean_and_beats_it_on_x():
    rng = np.random.default_rng(0)
    B, beta = factor_model.random_loadings(30, np.array([2.0, 1.5]), rng), np.array([1.0, -1.0])
    unlabelled = theory.sample_factor_model(B, beta, 5000, 0.5, rng)[0]
    X, _, y = theory.sample_factor_model(B, beta, 60, 0.5, rng)
    fit = theory.pretrain_then_erm(theory.FactorModel(2), unlabelled, X, y)
    B_hat = theory.fit_factor_model(unlabelled, 2)
    features = theory.posterior_mean_features(X, B_hat)
    weights = np.linalg.lstsq(features, y)[0]
    assert_allclose(fit.predict(X), features @ weights, atol=1e-10)
    assert_allclose(fit.parameters, B_hat)
    turned = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    assert_allclose(theory.FactorModel(2).head(B_hat @ turned, X, y).coefficients, fit.coefficients, atol=1e-10)
    ours = theory.factor_excess_risk(fit.coefficients, B, beta)
    assert 0 < 5 * ours < theory.factor_excess_risk(theory.supervised_baseline(X, y), B, beta)


def test_mixture_pipeline_votes_in_the_clusters_of_em():
    rng = np.random.default_rng(0)
    means = 5 * np.eye(6)[:4]
    unlabelled, _ = spherical_mixture.sample_spherical_mixture(means, 2000, rng)
    X, z = spherical_mixture.sample_spherical_mixture(means, 60, rng)
    model = theory.SphericalMixture(4, restarts=5)
    fit = theory.pretrain_then_erm(model, unlabelled, X, z % 2)
    assert_array_equal(fit.predict(X), z % 2)
    again = theory.pretrain_then_erm(model, unlabelled, X, z % 2)
    assert_array_equal(fit.parameters, again.parameters)
    assert not np.array_equal(model.pretrain(unlabelled), theory.SphericalMixture(4, 5, seed=1).pretrain(unlabelled))


def test_contrastive_pipeline_beats_least_squares_on_x():
    rng = np.random.default_rng(0)
    W, beta = np.linalg.qr(rng.standard_normal((10, 2)))[0].T, np.array([1.0, 0.5])
    X = rng.standard_normal((40, 10))
    y = X @ W.T @ beta + 0.5 * rng.standard_normal(40)
    fit = theory.pretrain_then_erm(theory.ContrastivePairs(2), sample_contrastive_pairs(W, 10_000, rng), X, y)
    assert_allclose(fit.coefficients, fit.parameters.T @ np.linalg.lstsq(X @ fit.parameters.T, y)[0])
    excess = contrastive_excess_risk(np.stack([fit.coefficients, theory.supervised_baseline(X, y)]), W, beta)
    assert 3 * excess[0] < excess[1]


def test_a_model_of_ones_own_needs_two_methods():
    @dataclass(frozen=True)
    class Mean:
        def pretrain(self, X_unlabeled):
            return X_unlabeled.mean(axis=0)

        def head(self, parameters, X, y):
            return theory.LinearPredictor(parameters[None], parameters * y.mean())

    fit = theory.pretrain_then_erm(Mean(), np.ones((3, 2)), np.ones((2, 2)), np.array([1.0, 3.0]))
    assert_allclose(fit.predict(np.eye(2)), 2.0)


@pytest.mark.parametrize("ridge", [1e-6, 0.1, 10.0])
def test_ridge_is_that_of_sklearn(ridge):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 6)), rng.standard_normal(20)
    expected = Ridge(alpha=20 * ridge, fit_intercept=False).fit(X, y).coef_
    assert_allclose(theory.supervised_baseline(X, y, ridge), expected, atol=1e-9)
    assert_allclose(theory.supervised_baseline(X, y), np.linalg.solve(X.T @ X, X.T @ y), atol=1e-10)


def test_too_few_labels_give_the_solution_of_least_norm_and_a_warning():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 6)), rng.standard_normal(3)
    with pytest.warns(UserWarning, match="3 samples for 6 coefficients"):
        a = theory.supervised_baseline(X, y)
    assert_allclose(a, np.linalg.pinv(X) @ y, atol=1e-10)
    assert_allclose(theory.supervised_baseline(X, y, 1e-10), a, atol=1e-6)
    with pytest.warns(UserWarning, match="3 samples for 4 coefficients"):
        fit = theory.FactorModel(4).head(rng.standard_normal((6, 4)), X, y)
    assert_allclose(fit.predict(X), y, atol=1e-9)


def test_predicted_orders():
    for kind, large, small, whole in (("factor", 60, 3, 20), ("mixture", 60, 3, 60), ("contrastive", 60, 3, 20)):
        assert_allclose(theory.predicted_excess(kind, 7.0, 5.0, 20, 3), np.sqrt(large / 7) + np.sqrt(small / 5))
        assert_allclose(theory.predicted_supervised_excess(kind, 5.0, 20, 3), np.sqrt(whole / 5))
    assert theory.predicted_excess("factor", np.inf, np.inf, 20, 3) == 0
    assert theory.predicted_excess("mixture", 1.0, 1.0, 2, 3) > 0


# the simulation ----------------------------------------------------------------------------------


def tabulated(simulate, settings, replicates):
    results = [simulate(settings, seed, "cpu") for seed in range(replicates)]
    tables = [each.table if isinstance(each, Replicate) else each for each in results]
    return pd.concat([table.assign(replicate=k) for k, table in enumerate(tables)], ignore_index=True)


@pytest.mark.parametrize(("claims", "simulate", "quick", "replicates"), [
    (("C1", "C4", "C4b", "C5", "C5b", "C5c"), simulation.simulate_advantage, simulation.Advantage(draws=20), 4),
    (("C2", "C2b", "C2c", "C3"), simulation.simulate_rates, simulation.Rates(d=30, dimensions=(20, 80), draws=20), 5),
    (("C6", "C6b", "C6c"), simulation.simulate_condition, simulation.Condition(2000, tv_pairs=20, tv_draws=1000), 3),
    (("C9", "C9b"), simulation.simulate_failure, simulation.Failure(draws=10), 5),
    (("C7c",), simulation.simulate_mixture_rates, simulation.MixtureRates(unlabelled=(500, 4000), draws=5), 5),
    (("C8", "C9c"), simulation.simulate_contrastive, simulation.Contrastive(unlabelled=(2000, 16_000)), 3),
    (("C10", "C10b"), simulation.simulate_digits, simulation.Digits((50, 200)), 5),
])  # fmt: skip
def test_controls_refute_what_computed_evidence_supports(claims, simulate, quick, replicates):
    table = tabulated(simulate, quick, replicates)
    judged = 0
    for claim in simulation.CLAIMS:
        if claim.id in claims:
            verdict = claim.judge(table)
            if verdict.outcome == "supported":
                assert claim.judge(claim.control(table)).outcome == "refuted", claim.id
                judged += 1
    assert judged


def test_ridge_from_second_moments_is_cross_validation_on_samples():
    rng = np.random.default_rng(0)
    X, d = rng.standard_normal((5, 2, 12, 4)), 4
    y = X @ np.array([1.0, -0.5, 0.2, 0.0]) + rng.standard_normal((5, 2, 12))
    joint = np.concatenate([X, y[..., None]], axis=-1)
    labelled = factor_pretraining._Labelled(np.swapaxes(joint, 2, 3) @ joint / 12)
    penalties = np.array([0.0, 0.01, 0.1, 1.0, 10.0])
    a, chosen = factor_pretraining._tuned_ridge(labelled, penalties)
    for draw in range(2):
        losses = np.zeros(len(penalties))
        for fold in range(5):
            train = [k for k in range(5) if k != fold]
            rows, targets = X[train, draw].reshape(-1, d), y[train, draw].ravel()
            for k, penalty in enumerate(penalties):
                fitted = theory.supervised_baseline(rows, targets, float(penalty))
                losses[k] += ((X[fold, draw] @ fitted - y[fold, draw]) ** 2).sum()
        assert chosen[draw] == penalties[losses.argmin()]
        whole = theory.supervised_baseline(X[:, draw].reshape(-1, d), y[:, draw].ravel(), float(chosen[draw]))
        assert_allclose(a[draw], whole, atol=1e-9)


def test_votes_of_neighbours_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    X, y, points = rng.standard_normal((30, 3)), rng.integers(0, 2, 30), rng.standard_normal((50, 3))
    votes = latent_pretraining._nearest_votes(X, y, (1, 5, 9, 41), points)
    for k, vote in zip((1, 5, 9), votes, strict=False):
        assert_array_equal(vote, KNeighborsClassifier(k).fit(X, y).predict(points))
    assert_array_equal(votes[3], int(y.mean() > 0.5))


def test_penalties_are_chosen_by_held_out_errors_alone():
    table = pd.DataFrame({
        "replicate": [0, 0, 1, 1], "n": 20, "method": "pretrain", "penalty": [0.1, 1.0] * 2,
        "held_out": [0.3, 0.1, 0.1, 0.2], "error": [0.0, 1.0, 0.0, 1.0],
    })  # fmt: skip
    assert simulation.chosen_penalties(table)["penalty"].tolist() == [1.0, 1.0]


def test_moments_of_labelled_data_are_those_of_drawn_samples():
    rng = np.random.default_rng(0)
    B, beta = factor_model.random_loadings(4, np.array([2.0, 1.0]), rng), np.array([1.0, 2.0])
    X, _, y = factor_model.sample_factor_model(B, beta, 400_000, 0.5, rng)
    joint = np.concatenate([X, y[:, None]], axis=1)
    assert_allclose(joint.T @ joint / len(X), factor_pretraining._joint_moments(B, beta, 0.5), atol=0.08)


# bad input ---------------------------------------------------------------------------------------

X4, Y4, MODEL = np.ones((4, 2)), np.array([0.0, 1.0, 0.5, 2.0]), theory.FactorModel(1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.FactorModel, (0,), "r must be a whole number of at least 1"),
    (theory.SphericalMixture, (0,), "K must be a whole number of at least 1"),
    (theory.SphericalMixture, (2, 0), "restarts must be a whole number"),
    (theory.ContrastivePairs, (1.5,), "r must be a whole number"),
    (theory.pretrain_then_erm, ("pca", X4, X4, Y4), "model must have the methods pretrain and head"),
    (theory.pretrain_then_erm, (theory.FactorModel(3), X4, X4, Y4), "r must be at most the dimension 2"),
    (theory.pretrain_then_erm, (MODEL, X4, X4[:, :1], Y4), "X must have the 2 columns that were pretrained on"),
    (theory.pretrain_then_erm, (MODEL, X4, X4, Y4[:3]), "y must have the 4 entries"),
    (theory.pretrain_then_erm, (theory.SphericalMixture(2), X4, X4, np.array([0, 1, 2, 0])), "y must be in 0 … 1"),
    (theory.pretrain_then_erm, (theory.SphericalMixture(5), X4, X4, np.array([0, 1, 1, 0])), "X_unlabeled must have at least K = 5"),
    (theory.pretrain_then_erm, (theory.ContrastivePairs(1), X4, X4, Y4), "X_unlabeled must be the tuple (X, Xp, s)"),
    (theory.supervised_baseline, (X4, Y4, -1.0), "ridge must be"),
    (theory.supervised_baseline, (X4 * np.nan, Y4), "X must be finite"),
    (theory.predicted_excess, ("ica", 1.0, 1.0, 2, 1), "kind must be one of 'factor'"),
    (theory.predicted_excess, ("factor", 1.0, 1.0, 2, 3), "r must be at most d = 2"),
    (theory.predicted_excess, ("factor", 0.0, 1.0, 2, 1), "m must be"),
    (theory.predicted_supervised_excess, ("factor", -1.0, 2, 1), "n must be"),
    (theory.LinearPredictor(X4, np.ones(2)).predict, (np.ones((3, 3)),), "X must have 2 columns"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
