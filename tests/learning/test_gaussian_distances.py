"""Distances of Gaussians against quadrature, sampling and determinants."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import dblquad, quad
from scipy.stats import chi2, multivariate_normal, norm

from theory.learning.gaussian_distances import gaussian_hellinger2, gaussian_total_variation, total_variation_range

EXAMPLES = settings(max_examples=40)


def random_covariance(rng, d, batch=()):
    root = rng.standard_normal((*batch, d, d + 2))
    return root @ np.swapaxes(root, -1, -2) / (d + 2) + 0.05 * np.eye(d)


@pytest.mark.parametrize(("first", "second"), [(1.0, 4.0), (1.0, 1.3), (0.2, 7.0), (3.0, 3.0)])
def test_hellinger_and_total_variation_on_the_line_are_those_of_quadrature(first, second):
    p, q = norm(scale=np.sqrt(first)), norm(scale=np.sqrt(second))
    hellinger2 = quad(lambda x: 0.5 * (np.sqrt(p.pdf(x)) - np.sqrt(q.pdf(x))) ** 2, -40, 40, limit=400, points=[0])[0]
    assert_allclose(gaussian_hellinger2(np.array([[first]]), np.array([[second]])), hellinger2, atol=1e-9)
    # The densities cross where x² = log(b/a) a b/(b − a).
    crossing = np.log(second / first) * first * second / (second - first) if first != second else 1.0
    exact = abs(chi2.cdf(crossing / first, 1) - chi2.cdf(crossing / second, 1)) * (first != second)
    estimate = gaussian_total_variation(np.array([[first]]), np.array([[second]]), np.random.default_rng(0), 100_000)
    assert_allclose(estimate, exact, atol=0.006)


def test_hellinger_in_the_plane_is_that_of_quadrature_and_of_sampling():
    S1, S2 = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([[0.8, -0.4], [-0.4, 1.5]])
    p, q = multivariate_normal(cov=S1), multivariate_normal(cov=S2)
    affinity = dblquad(lambda y, x: np.sqrt(p.pdf([x, y]) * q.pdf([x, y])), -9, 9, -9, 9, epsabs=1e-8)[0]
    assert_allclose(gaussian_hellinger2(S1, S2), 1 - affinity, atol=1e-7)
    x = p.rvs(200_000, random_state=0)
    assert_allclose(gaussian_hellinger2(S1, S2), 1 - np.exp(0.5 * (q.logpdf(x) - p.logpdf(x))).mean(), atol=0.01)


def test_total_variation_in_the_plane_is_that_of_quadrature():
    S1, S2 = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([[0.8, -0.4], [-0.4, 1.5]])
    axis = np.linspace(-8, 8, 801)
    points = np.stack(np.meshgrid(axis, axis), -1)
    apart = np.abs(multivariate_normal(cov=S1).pdf(points) - multivariate_normal(cov=S2).pdf(points))
    estimate = gaussian_total_variation(S1, S2, np.random.default_rng(0), 100_000)
    assert_allclose(estimate, 0.5 * apart.sum() * (axis[1] - axis[0]) ** 2, atol=0.006)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_distances_obey_their_inequalities(seed, d):
    rng = np.random.default_rng(seed)
    S = random_covariance(rng, d, (3,))
    S[2] = S[0] + 10.0 ** rng.uniform(-8, 0) * S[1]
    h2 = gaussian_hellinger2(S, np.roll(S, 1, axis=0))
    assert ((h2 >= 0) & (h2 <= 1)).all()
    assert_allclose(h2, gaussian_hellinger2(np.roll(S, 1, axis=0), S), rtol=1e-6, atol=1e-15)
    a, b, c = np.sqrt(h2)
    assert max(a, b, c) <= a + b + c - max(a, b, c) + 1e-7
    low, high = total_variation_range(h2)
    estimate = gaussian_total_variation(S, np.roll(S, 1, axis=0), rng, 3000)
    assert (low <= estimate + 0.05).all()
    assert (estimate <= high + 0.05).all()
    assert (high <= np.sqrt(2 * h2) + 1e-15).all()


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_hellinger_is_that_of_determinants_and_unchanged_by_linear_maps(seed, d):
    rng = np.random.default_rng(seed)
    S1, S2 = random_covariance(rng, d, (2,))
    determinants = [np.linalg.det(S) for S in (S1, S2, (S1 + S2) / 2)]
    expected = 1 - (determinants[0] * determinants[1]) ** 0.25 / determinants[2] ** 0.5
    assert_allclose(gaussian_hellinger2(S1, S2), expected, atol=1e-12)
    A = rng.standard_normal((d, d)) + 3 * np.eye(d)
    assert_allclose(gaussian_hellinger2(A @ S1 @ A.T, A @ S2 @ A.T), expected, atol=1e-9)
    product = gaussian_hellinger2(np.kron(np.eye(2), S1), np.kron(np.eye(2), S2))
    assert_allclose(1 - product, (1 - expected) ** 2, atol=1e-10)


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-10])
def test_nearly_equal_laws_keep_their_digits(step):
    rng = np.random.default_rng(0)
    E = rng.standard_normal((4, 4))
    E = (E + E.T) / 2
    # To second order, H² = ‖step E‖²/16 at the identity.
    assert_allclose(
        gaussian_hellinger2(np.eye(4), np.eye(4) + step * E), step**2 * (E**2).sum() / 16, rtol=4 * step + 1e-5
    )


def test_hellinger_of_laws_far_apart_is_one_and_finite():
    assert_allclose(gaussian_hellinger2(1e-150 * np.eye(3), 1e150 * np.eye(3)), 1.0)
    assert gaussian_hellinger2(np.eye(2), np.eye(2)) == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (gaussian_hellinger2, (np.eye(2), np.eye(3)), "S2 must be of the size of S1"),
    (gaussian_hellinger2, (np.ones((2, 2)), np.eye(2)), "S1 must be positive definite"),
    (gaussian_hellinger2, (np.eye(2), -np.eye(2)), "S2 must be positive definite"),
    (gaussian_hellinger2, (np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2)), "S1 must be symmetric"),
    (gaussian_hellinger2, (np.ones(2), np.eye(2)), "S1 must have shape"),
    (gaussian_hellinger2, (np.eye(2) * np.nan, np.eye(2)), "S1 must be finite"),
    (gaussian_total_variation, (np.eye(2), np.eye(2), 0), "rng must be a numpy random Generator"),
    (gaussian_total_variation, (np.eye(2), np.eye(2), np.random.default_rng(0), 0), "draws must be a whole number"),
    (total_variation_range, (1.1,), "hellinger2 must be in [0, 1]"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)
