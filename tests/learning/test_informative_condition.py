"""The informative condition: closed forms, the local value, the bound that is proved, and what breaks it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import eigh
from scipy.special import expit

from theory.fuzz import check_bound
from theory.learning import informative_condition as theory
from theory.learning.factor_model import random_loadings
from theory.learning.gaussian_distances import gaussian_hellinger2

EXAMPLES = settings(max_examples=40)


def loadings(seed, count=2, d=5, r=2, low=0.3, high=2.0):
    rng = np.random.default_rng(seed)
    return [random_loadings(d, rng.uniform(low, high, r), rng) for _ in range(count)], rng


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([1, 2]))
def test_closed_forms_are_those_of_the_covariances(seed, d, r):
    (B, C), _ = loadings(seed, d=d, r=r)
    joint = gaussian_hellinger2(theory.joint_covariance(B), theory.joint_covariance(C))
    assert_allclose(theory.joint_hellinger2(B, C), joint, atol=1e-11)
    marginal = gaussian_hellinger2(B @ B.T + np.eye(d), C @ C.T + np.eye(d))
    assert_allclose(theory.marginal_hellinger2(B, C), marginal, atol=1e-11)
    # Leaving z out cannot bring laws further apart.
    assert theory.marginal_hellinger2(B, C) <= theory.joint_hellinger2(B, C) + 1e-12
    ratio = theory.informative_ratio(B, C, rotate=False)
    assert_allclose(ratio, np.sqrt(joint / marginal), rtol=1e-6)
    # The step of the proof that leaves the rotation behind.
    assert theory.joint_hellinger2(B, C) <= -np.expm1(-((C - B) ** 2).sum() / 8) + 1e-14


def test_joint_distance_is_a_mean_over_z():
    (B, C), rng = loadings(0)
    z = rng.standard_normal((400_000, 2))
    assert_allclose(theory.joint_hellinger2(B, C), 1 - np.exp(-((z @ (C - B).T) ** 2).sum(1) / 8).mean(), atol=0.002)


@EXAMPLES
@given(st.integers(0, 10**6))
def test_procrustes_rotation_is_orthogonal_and_the_closest(seed):
    (B, C), rng = loadings(seed, r=3)
    rotation = theory.procrustes_rotation(B, C)
    assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    others = np.linalg.qr(rng.standard_normal((100, 3, 3)))[0]
    assert (np.linalg.norm(C @ others - B, axis=(1, 2)) >= np.linalg.norm(C @ rotation - B) - 1e-12).all()
    assert_allclose(theory.informative_ratio(B, C), theory.informative_ratio(B, C @ others[0]), rtol=1e-7)


def test_procrustes_is_nearly_the_best_rotation_for_the_distance_itself():
    angles = np.linspace(0, 2 * np.pi, 721)
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], -1).reshape(-1, 2, 2)
    turns = np.concatenate([turns, turns * [1, -1]])
    for seed in range(20):
        (B, C), _ = loadings(seed)
        best = theory.joint_hellinger2(np.broadcast_to(B, (len(turns), 5, 2)), C @ turns).min()
        found = theory.joint_hellinger2(B, C @ theory.procrustes_rotation(B, C))
        assert found <= 1.05 * best + 1e-4


@pytest.mark.parametrize(("d", "r"), [(1, 1), (3, 1), (3, 3), (6, 2), (5, 4)])
def test_local_ratio_is_the_largest_of_all_small_perturbations(d, r):
    for seed in range(5):
        (B,), _ = loadings(seed, 1, d, r)
        # Second-order forms of both squared distances in the entries of D, orthogonal to rotations of B.
        inverse = np.linalg.inv(B @ B.T + np.eye(d))
        basis = np.eye(d * r).reshape(-1, d, r)
        change = np.einsum("ia,kja->kij", B, basis)
        change += np.swapaxes(change, 1, 2)
        marginal = np.einsum("kij,jl,lmn,ni->km", change, inverse, np.moveaxis(change, 0, 1), inverse) / 16
        skew = [
            np.outer(np.eye(r)[i], np.eye(r)[j]) - np.outer(np.eye(r)[j], np.eye(r)[i])
            for i in range(r)
            for j in range(i)
        ]
        turned = np.array([(B @ each).ravel() for each in skew]).reshape(-1, d * r)
        _, sizes, right = np.linalg.svd(turned) if len(skew) else (0, np.empty(0), np.eye(d * r))
        free = right[len(sizes) :]
        largest = eigh(free @ free.T / 8, free @ marginal @ free.T, eigvals_only=True)[-1]
        assert_allclose(theory.local_informative_ratio(B), np.sqrt(largest), rtol=1e-8)


@EXAMPLES
@given(st.integers(0, 10**6))
def test_nearby_pairs_stay_below_the_local_ratio(seed):
    (B,), rng = loadings(seed, 1)
    ratio = theory.informative_ratio(np.broadcast_to(B, (50, 5, 2)), B + 1e-7 * rng.standard_normal((50, 5, 2)))
    assert (ratio <= theory.local_informative_ratio(B) * (1 + 1e-4)).all()


def test_bound_of_the_condition_holds_and_is_above_the_local_value():
    for bound in theory.BOUNDS:
        report = check_bound(bound.lhs, bound.rhs, bound.sampler, 3000, rounds=2)
        assert report.holds
        assert report.worst_ratio > 0.15
    for s_min, s_max in ((1.0, 1.0), (0.1, 1.0), (0.5, 3.0)):
        kappa = theory.informative_ratio_bound(s_min, s_max, 2)
        values = np.random.default_rng(0).uniform(s_min, s_max, (200, 2))
        B = values[:, None, :] * np.eye(6)[:, :2]
        assert (theory.local_informative_ratio(B) <= kappa).all()
    assert theory.informative_ratio_bound(0.01, 1.0, 2) > 9 * theory.informative_ratio_bound(0.1, 1.0, 2)


def test_condition_fails_without_rotation_and_for_loadings_that_vanish():
    (B,), rng = loadings(3, 1)
    turned = B @ np.linalg.qr(rng.standard_normal((2, 2)))[0]
    assert theory.informative_ratio(B, turned) == 0
    assert theory.informative_ratio(B, turned, rotate=False) == np.inf
    assert theory.local_informative_ratio(np.zeros((4, 2))) == np.inf
    assert theory.informative_ratio(B, B) == 0
    scales = np.array([1e-1, 1e-2, 1e-3])
    faint = scales[:, None, None] * np.eye(6)[:, :2]
    assert_allclose(theory.local_informative_ratio(faint) * scales, 1, rtol=0.01)


def test_contrastive_distance_is_the_mean_over_coins_and_blind_to_rotations():
    rng = np.random.default_rng(0)
    W, V = rng.standard_normal((2, 2, 5))
    X, Xp = rng.standard_normal((2, 300, 5))
    p, q = (expit(np.einsum("na,na->n", X @ w.T, Xp @ w.T)) for w in (W, V))
    expected = (1 - np.sqrt(p * q) - np.sqrt((1 - p) * (1 - q))).mean()
    assert_allclose(theory.contrastive_hellinger2(W, V, X, Xp), expected, atol=1e-12)
    rotation = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    assert theory.contrastive_hellinger2(W, rotation @ W, X, Xp) < 1e-28
    # z | x ~ N(W x, I): the same joint distance as that of the factor model.
    affinity = np.exp(-((rng.standard_normal((400_000, 5)) @ (V - W).T) ** 2).sum(1) / 8).mean()
    assert_allclose(theory.joint_hellinger2(W.T, V.T), 1 - affinity, atol=0.002)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.informative_ratio, (np.ones((2, 3)), np.ones((2, 3))), "B must have shape (..., d, r) with r <= d"),
    (theory.informative_ratio, (np.ones((3, 2)), np.ones((3, 1))), "B_hat must have the shape (3, 2) of B"),
    (theory.informative_ratio, (np.ones((3, 2)), np.full((3, 2), np.nan)), "B_hat must be finite"),
    (theory.informative_ratio_bound, (2.0, 1.0, 1), "s_max must be at least s_min = 2.0"),
    (theory.informative_ratio_bound, (0.0, 1.0, 1), "s_min must be"),
    (theory.contrastive_hellinger2, (np.ones((1, 2)), np.ones((1, 3)), np.ones((4, 2)), np.ones((4, 2))), "W_hat must have the 2 columns"),
    (theory.contrastive_hellinger2, (np.ones((1, 2)), np.ones((1, 2)), np.ones((4, 2)), np.ones((3, 2))), "X_prime must have the shape"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
