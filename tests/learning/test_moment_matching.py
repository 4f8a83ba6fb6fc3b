"""Moments of a sample against a target's: all monomials, Gaussian means, and the trimmed linear program."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from theory.learning.halfspace_data import gaussian, hypercube, strongly_log_concave
from theory.learning.moment_matching import (
    gaussian_moments,
    moment_matching_test,
    monomial_exponents,
    trimmed_moment_distance,
)


@pytest.mark.parametrize(("dim", "degree"), [(1, 3), (2, 4), (5, 3)])
def test_every_monomial_comes_once(dim, degree):
    exponents = [tuple(e) for e in monomial_exponents(dim, degree).tolist()]
    every = [e for e in itertools.product(range(degree + 1), repeat=dim) if 1 <= sum(e) <= degree]
    assert sorted(exponents) == sorted(every)
    assert len(exponents) == math.comb(dim + degree, degree) - 1


@given(st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_gaussian_moments_are_those_of_quadrature(dim, degree):
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    one = [weights @ nodes**a / math.sqrt(2 * math.pi) for a in range(degree + 1)]
    for e, moment in zip(
        monomial_exponents(dim, degree), gaussian_moments(monomial_exponents(dim, degree)), strict=True
    ):
        assert_allclose(moment, np.prod([one[a] for a in e]), atol=1e-9)


@given(arrays(float, (7, 3), elements=st.floats(-3, 3)), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_largest_deviation_is_the_one_found_monomial_by_monomial(X, degree):
    exponents = monomial_exponents(3, degree)
    plain = [abs(np.prod(X**e, axis=1).mean() - gaussian_moments(e[None])[0]) for e in exponents]
    found = moment_matching_test(X, degree, 0.1)
    assert_allclose(found.deviation, max(plain), rtol=1e-9, atol=1e-12)
    assert_allclose(plain[exponents.tolist().index(list(found.exponents))], max(plain), rtol=1e-9, atol=1e-12)
    assert found.passed == (found.deviation <= 0.1)


def test_values_whose_powers_overflow_fail_the_test():
    assert not moment_matching_test(np.full((2, 2), 1e200), 4, 1.0).passed


def test_trimming_removes_outliers_and_nothing_else():
    rng = np.random.default_rng(0)
    X = gaussian(800, 2, rng)
    clean = trimmed_moment_distance(X, 4, 0.0)
    X[:16] = [5.0, -5.0]
    distances = [trimmed_moment_distance(X, 4, trim) for trim in (0.0, 0.01, 0.02, 0.05)]
    assert np.all(np.diff(distances) < 0)
    assert distances[0] > 10 * clean
    assert distances[-1] < 2 * clean + 0.05
    assert trimmed_moment_distance(hypercube(800, 2, rng), 4, 0.05) > 0.3


def test_without_trimming_the_program_is_the_plain_largest_deviation():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2)) * 1.3
    directions = np.random.default_rng(0)
    worst = 0.0
    for m in (1, 2, 3):
        v = directions.standard_normal((m + 1, 2))
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        moments = ((v @ X.T) ** m).mean(axis=1)
        divisor = math.prod(range(m - 1, 0, -2)) if m % 2 == 0 else math.sqrt(math.prod(range(2 * m - 1, 0, -2)))
        worst = max(worst, np.abs(moments / divisor - (m % 2 == 0)).max())
    assert_allclose(trimmed_moment_distance(X, 3, 0.0), worst, rtol=1e-6)


def test_a_class_of_targets_allows_what_the_gaussian_does_not():
    X = strongly_log_concave(1500, 2, np.random.default_rng(0), excess=1.0)
    narrow, wide = (trimmed_moment_distance(X, 4, 0.0, beta=beta) for beta in (1.0, 2.0))
    assert narrow > 0.3
    assert wide < 0.15


def test_a_symmetric_design_has_distance_zero_at_low_degree():
    angles = np.arange(8) * np.pi / 4
    X = math.sqrt(2) * np.column_stack([np.cos(angles), np.sin(angles)])
    assert trimmed_moment_distance(X, 3, 0.0) < 1e-9
    assert moment_matching_test(X, 3, 1e-9).passed


@pytest.mark.parametrize(
    ("change", "name"),
    [({"trim": 1.0}, "trim"), ({"gamma": 2.0}, "gamma"), ({"degree": 0}, "degree"), ({"X": np.ones((3, 1))}, "X")],
)
def test_bad_arguments_are_named(change, name, unchecked):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        trimmed_moment_distance(**{"X": np.eye(2), "degree": 2, "trim": 0.1, **change})
