"""Tests against a target: what strongly log-concave laws obey, promises that hold, samples that pass and fail."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

from theory.learning.halfspace_data import gaussian, hypercube, strongly_log_concave
from theory.learning.halfspace_surrogate import triangle_kernel
from theory.learning.localized_moments import StronglyLogConcave, localized_moment_test

EXAMPLES = settings(max_examples=30, deadline=None)


def signs(w, X):
    return np.where(X @ w < 0, -1, 1)


def strip_of_gaussian(precision, sigma):
    """Mass, mean k|t|, mean k s² and mean k s⁴ of N(0, precision^{-1}) in the plane, by integration over t."""
    variance = 1 / (precision[0, 0] - precision[0, 1] ** 2 / precision[1, 1])
    slope, left = -precision[0, 1] / precision[1, 1], 1 / precision[1, 1]

    def integral(f):
        def integrand(t):
            density = math.exp(-(t**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            return f(t) * float(triangle_kernel(np.array([t]), sigma)[0]) * density

        return 2 * quad(integrand, 0, sigma)[0]

    fourth = integral(lambda t: (slope * t) ** 4 + 6 * (slope * t) ** 2 * left + 3 * left**2)
    return integral(lambda t: 1.0), integral(abs), integral(lambda t: (slope * t) ** 2 + left), fourth, slope, left


@EXAMPLES
@given(st.floats(0.3, 1.0), st.floats(1.0, 4.0), st.floats(0, math.pi), st.floats(0.01, 2.0))
def test_correlated_gaussians_of_the_class_obey_all_that_is_said_of_it(gamma, ratio, turn, sigma):
    beta = gamma * ratio
    target = StronglyLogConcave(gamma, beta)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    precision = rotation @ np.diag([gamma, beta]) @ rotation.T
    mass, spread, second, fourth, slope, left = strip_of_gaussian(precision, sigma)
    low, high = target.mass_range(sigma)
    assert low * (1 - 1e-9) <= mass <= high * (1 + 1e-9)
    assert spread <= sigma / 3 * mass * (1 + 1e-9)
    assert second >= mass / beta * (1 - 1e-9)
    assert fourth <= 3 * mass / gamma**2 * (1 + 1e-9)
    assert second**1.5 / math.sqrt(fourth) >= target.anticoncentration() * mass * (1 - 1e-9)
    assert abs(slope) <= math.sqrt(beta / gamma) - 1 + 1e-12  # E[s | t] = slope · t
    assert left <= 1 / gamma * (1 + 1e-9)


def test_the_standard_gaussian_is_the_narrowest_class():
    target = StronglyLogConcave()
    for sigma in (1e-6, 1e-4, 0.01, 0.5, 3.0):
        low, high = target.mass_range(sigma)
        exact = strip_of_gaussian(np.eye(2), sigma)[0]
        assert_allclose([low, high], exact, rtol=1e-6)
    assert_allclose(target.anticoncentration(), 1 / math.sqrt(3))
    wider = [StronglyLogConcave(1.0, beta) for beta in (1.0, 1.2, 2.0)]
    assert np.all(np.diff([t.promised_excess(0.01, 0.1, 0.1) for t in wider]) > 0)


def test_a_law_that_is_not_gaussian_obeys_its_class_and_is_sampled_right():
    rng = np.random.default_rng(0)
    X = strongly_log_concave(400_000, 2, rng, excess=1.0)
    normaliser, variance = (
        2 * quad(lambda x, p=p: x**p * math.exp(-(x**2) / 2) / math.cosh(x), 0, 30)[0] for p in (0, 2)
    )
    assert_allclose(X.var(), variance / normaliser, rtol=0.01)
    target, w = StronglyLogConcave(1.0, 2.0), np.array([0.6, 0.8])
    k, z = triangle_kernel(X @ w, 0.2), X @ np.array([-0.8, 0.6])
    low, high = target.mass_range(0.2)
    assert low < k.mean() < high
    assert (k * z**2).mean() > k.mean() / 2
    assert (k * z**4).mean() < 3 * k.mean()


def test_promises_grow_with_width_noise_slack_and_share_and_are_linear_in_small_widths():
    target = StronglyLogConcave()
    for changes in (
        [{"sigma": s} for s in (0.001, 0.01, 0.1)], [{"eta": e} for e in (0.0, 0.2, 0.4)],
        [{"slack": s} for s in (0.0, 0.1, 0.5)],
    ):  # fmt: skip
        common = {"sigma": 0.01, "eta": 0.1, "slack": 0.1}
        assert np.all(np.diff([target.promised_excess(**(common | change)) for change in changes]) > 0)
    shares = [target.promised_excess(0.05, 0.0, 0.1, opt_guess=o) for o in (0.0, 1e-5, 1e-4, 0.5)]
    assert np.all(np.diff(shares) > 0)
    assert shares[-1] == 1
    small = [target.promised_excess(s, 0.1, 0.1) for s in (1e-4, 2e-4)]
    assert_allclose(small[1] / small[0], 2, rtol=1e-3)


def test_an_adversarys_share_is_promised_a_multiple_of_itself():
    """With widths of the order of opt the promise is O(opt); the constant of the proof is in the hundreds."""
    target = StronglyLogConcave()
    best = [min(target.promised_excess(c * o, 0.0, 0.1, opt_guess=o) for c in np.geomspace(30, 3000, 200)) / o
            for o in (1e-5, 1e-4)]  # fmt: skip
    assert_allclose(best[1], best[0], rtol=0.03)
    assert 100 < best[0] < 2000


def test_gaussian_samples_pass_and_keep_the_promise():
    rng = np.random.default_rng(1)
    X, w_star = gaussian(150_000, 2, rng), np.array([0.8, 0.6])
    y = signs(w_star, X) * np.where(rng.random(len(X)) < 0.05, -1, 1)
    w = w_star + 0.001 * np.array([-0.6, 0.8])
    test = localized_moment_test(w, X, y, 0.05, 0.05, 0.05, StronglyLogConcave())
    assert test.passed
    assert (signs(w, X) != signs(w_star, X)).mean() < test.promised_excess < 0.4
    assert test.promised_excess == StronglyLogConcave().promised_excess(0.05, 0.05, 0.2)


def test_what_fails_is_named():
    rng = np.random.default_rng(0)
    X, w = gaussian(40_000, 2, rng), np.array([1.0, 0.0])
    labels = signs(w, X)

    def worst(points, y, **options):
        test = localized_moment_test(w, points, y, 0.1, 0.0, 0.05, StronglyLogConcave(), **options)
        return None if test.passed else test.worst

    assert worst(X, labels) is None
    assert worst(X * [5.0, 1.0], labels) == "mass at least"
    assert worst(X * [0.2, 1.0], labels) in ("mass at most", "gradient")
    assert worst(X * [1.0, 0.3], labels) == "anti-concentration"
    assert worst(X, signs(np.array([1.0, 0.3]), X)) == "gradient"
    assert worst(hypercube(1000, 2, rng), np.ones(1000)) is not None
    far = X.copy()
    far[:200, 1] = 1e3
    far[:200, 0] = 0.02
    assert worst(far, labels, opt_guess=1e-5) in ("corruption", "gradient", "anti-concentration")


def test_a_massart_rate_and_an_adversary_do_not_go_together(unchecked):
    with pytest.raises(ValueError, match="eta and opt_guess"):
        StronglyLogConcave().promised_angle(0.1, 0.1, 0.1, opt_guess=0.1)
    with pytest.raises(ValueError, match="gamma must be at most beta"):
        StronglyLogConcave(2.0, 1.0)
    with pytest.raises(ValueError, match="slack"):
        StronglyLogConcave().anticoncentration(1.0)
