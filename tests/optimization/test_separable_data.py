"""Separable data: margins by two solvers, separability with a proof, instances that are hard, bad input."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from theory.optimization import separable_data as theory

EXAMPLES = settings(max_examples=15, deadline=None)
QUARTER = math.pi / 2


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 6), st.floats(1.5, 50))
def test_two_solvers_and_a_support_vector_machine_agree_on_the_margin(seed, n, dim, ratio):
    pytest.importorskip("cvxpy")
    Z = theory.random_problems(np.random.default_rng(seed), 1, n, dim, ratio)[0]
    (mu, u), (mu_qp, u_qp) = theory.margin(Z), theory.margin_qp(Z)
    assert_allclose(mu, mu_qp, rtol=1e-6)
    assert_allclose(u, u_qp, atol=1e-3)
    assert_allclose([np.linalg.norm(u), (Z @ u).min()], [1, mu], rtol=1e-12)
    # Through the origin, as is the machine's with every sample and its mirror image.
    svc = SVC(kernel="linear", C=1e10, tol=1e-9).fit(np.concatenate([Z, -Z]), np.repeat([1, -1], n))
    assert_allclose(1 / np.linalg.norm(svc.coef_), mu, rtol=1e-3)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 20))
def test_no_direction_beats_the_margin(seed, n):
    Z = theory.random_problems(np.random.default_rng(seed), 1, n, 2, 10.0)[0]
    angles = np.linspace(0, 2 * np.pi, 20_001)
    best = (Z @ np.stack([np.cos(angles), np.sin(angles)])).min(axis=0).max()
    mu = theory.margin(Z)[0]
    assert best <= mu * (1 + 1e-12)
    assert best >= mu - float(theory.radius(Z)) * 2e-4


@EXAMPLES
@given(st.integers(0, 10**6))
def test_any_direction_and_any_weights_enclose_the_margin(seed):
    rng = np.random.default_rng(seed)
    Z = theory.random_problems(rng, 1, 8, 3, 10.0)[0]
    low, high = theory.margin_interval(Z, rng.normal(size=3), rng.dirichlet(np.ones(8)))
    assert low <= theory.margin(Z)[0] * (1 + 1e-9)
    assert high >= theory.margin(Z)[0]


@pytest.mark.parametrize("n", [2, 3, 50])
@pytest.mark.parametrize("phi", [0.05, 0.5, 1.5])
def test_hard_instance_has_margin_sin_of_half_the_angle(n, phi):
    Z = theory.hard_instance(n, phi)
    assert_allclose(theory.margin(Z)[0], math.sin(phi / 2), rtol=1e-9)
    assert_allclose(theory.radius(Z), 1)
    angles = np.linspace(0, math.pi, 100_001)
    assert_allclose(np.minimum(np.cos(angles), np.cos(math.pi - phi - angles)).max(), math.sin(phi / 2), atol=1e-4)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 3))
def test_separability_comes_with_a_proof(seed, n, dim):
    Z = np.random.default_rng(seed).integers(-2, 3, (n, dim)).astype(float)
    found = theory.separability(Z)
    assert found.exact
    assert (found.u is None) != (found.alpha is None)
    if found.separable:
        rows = [[Fraction(x) for x in row] for row in Z.tolist()]
        u = [Fraction(float(x)) for x in found.u]
        assert all(sum(a * b for a, b in zip(row, u, strict=True)) > 0 for row in rows)
        assert theory.margin(Z)[0] > 0
    else:
        assert found.alpha.min() >= 0
        assert_allclose([found.alpha.sum(), np.abs(found.alpha @ Z).max() + 1], 1, atol=1e-12)
        with pytest.raises(ValueError, match="Z must be separable"):
            theory.margin(Z)


def test_one_species_of_iris_is_separable_and_the_others_are_not():
    flowers, species = load_iris(return_X_y=True)
    outcomes = [theory.separability(theory.signed_data(flowers, np.where(species == k, 1, -1))) for k in range(3)]
    assert [each.separable for each in outcomes] == [True, False, False]
    assert all(each.exact for each in outcomes)


def test_two_samples_of_opposite_labels_are_not_separable():
    Z = theory.signed_data(np.array([[0.3, 0.7], [0.3, 0.7]]), np.array([1, -1]))
    found = theory.separability(Z)
    assert_allclose(found.alpha, [0.5, 0.5])
    assert not theory.separability(Z, exact=False).separable
    for solver in (theory.margin, theory.margin_qp):
        with pytest.raises(ValueError, match="Z must"):
            solver(Z)


def test_a_zero_vector_is_not_separable():
    for Z in (np.zeros((1, 2)), np.array([[1.0, 0.0], [0.0, 0.0]])):
        assert not theory.separability(Z).separable
        with pytest.raises(ValueError, match="Z must be separable"):
            theory.margin(Z)


def test_scaling_samples_changes_neither_separability_nor_the_ratio():
    Z = theory.random_problems(np.random.default_rng(3), 1, 20, 4, 10.0)[0]
    mu, R = theory.margin(Z)[0], float(theory.radius(Z))
    for scale in (1e-8, 1e8):
        assert theory.separability(scale * Z).separable
        assert_allclose(float(theory.radius(scale * Z)) / theory.margin(scale * Z)[0], R / mu, rtol=1e-9)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(2, 5), st.floats(1.5, 40))
def test_random_problems_have_the_margin_that_was_asked_for(seed, n, dim, ratio):
    for Z in theory.random_problems(np.random.default_rng(seed), 3, n, dim, ratio):
        assert float(theory.radius(Z)) / theory.margin(Z)[0] <= ratio + 1


def test_imbalanced_problems_are_separable_and_seeded():
    first, second = (theory.imbalanced_problems(np.random.default_rng(5), 3, 40, 3) for _ in range(2))
    assert_array_equal(first, second)
    assert_allclose(np.linalg.norm(first, axis=2), 1)
    assert all(theory.separability(Z).separable for Z in first)
    assert (first[:, -1, 0] < -0.8).all()


Z2, NAN = np.array([[1.0, 0.2], [-0.9, 1.0]]), float("nan")
RNG = np.random.default_rng(0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.signed_data, (Z2, np.array([0, 1])), "labels must be −1 or 1, got 0"),
    (theory.signed_data, (Z2, np.array([1, 2])), "labels must be −1 or 1, got 2"),
    (theory.signed_data, (Z2, np.array([1])), "labels must have 2 entries, got 1"),
    (theory.signed_data, (Z2 * NAN, np.array([1, -1])), "features must be finite"),
    (theory.signed_data, (np.zeros((0, 2)), np.zeros(0)), "features must not be empty"),
    (theory.margin, (Z2[None],), "Z must have shape (samples, dim)"),
    (theory.margin, (np.array([[1.0], [-1.0]]),), "Z must be separable"),
    (theory.margin_qp, (np.array([[1.0], [-2.0]]),), "Z must be separable"),
    (theory.margin_interval, (Z2, np.zeros(2), np.ones(2)), "u must be a vector"),
    (theory.margin_interval, (Z2, np.ones(2), -np.ones(2)), "alpha must be 2 numbers"),
    (theory.separability, (Z2[0],), "Z must have shape"),
    (theory.hard_instance, (1, 0.5), "n must be a whole number of at least 2"),
    (theory.hard_instance, (5, QUARTER), "phi must be a number in (0, pi/2)"),
    (theory.hard_instance, (5, 0.0), "phi must be"),
    (theory.random_problems, (0, 1, 2, 2, 5.0), "rng must be a numpy random Generator"),
    (theory.random_problems, (RNG, 1, 2, 1, 5.0), "dim must be a whole number of at least 2"),
    (theory.random_problems, (RNG, 1, 2, 2, 0.0), "ratio must be"),
    (theory.imbalanced_problems, (RNG, 1, 1, 2), "n must be a whole number of at least 2"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
