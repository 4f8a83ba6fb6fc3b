"""Tails of weighted sums of noncentral chi-squares: four methods against each other, closed forms and bounds."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from theory.fuzz import check_bound
from theory.learning import quadratic_form_tails as tails

FEW = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 10**6)


def law(rng, terms, spread=1.0):
    w = np.exp(spread * rng.standard_normal(terms))
    return w / w.sum(), 2 * rng.random() * rng.standard_normal(terms)


@FEW
@given(seeds, st.integers(1, 30))
def test_cumulants_are_derivatives_of_the_generating_function(seed, terms):
    w, b = law(np.random.default_rng(seed), terms)
    # A circle around 0 in the complex plane: Cauchy's formula for the Taylor coefficients.
    radius = 0.2 / w.max()
    z = radius * np.exp(2j * np.pi * np.arange(64) / 64)[:, None]
    K = (-0.5 * np.log(1 - 2 * w * z) + w * b**2 * z / (1 - 2 * w * z)).sum(1)
    coefficients = np.fft.fft(K).real / 64 / radius ** np.arange(64)
    expected = coefficients[1:5] * [1, 2, 6, 24]
    assert_allclose(tails.weighted_ncx2_cumulants(w, b, 4), expected, rtol=1e-8, atol=1e-12)


@FEW
@given(seeds, st.integers(1, 60), st.floats(1e-5, 3.0))
def test_inversion_of_equal_weights_is_the_noncentral_chi_square(seed, terms, fraction):
    rng = np.random.default_rng(seed)
    b = 1.5 * rng.standard_normal(terms)
    eps, nc = fraction * (terms + b @ b), float(b @ b)
    found = tails.weighted_ncx2_logcdf(eps, np.ones(terms), b, "imhof")
    assert_allclose(found, tails.scaled_ncx2_logcdf(eps, float(terms), nc, 1.0), rtol=1e-9, atol=1e-9)


@FEW
@given(seeds, st.integers(5, 60), st.floats(0.02, 2.0))
def test_saddlepoint_sampling_and_enclosure_agree_with_inversion(seed, terms, fraction):
    rng = np.random.default_rng(seed)
    w, b = law(rng, terms, 0.7)
    eps = fraction * tails.weighted_ncx2_cumulants(w, b)[0]
    exact, saddle, tilted = (
        -tails.weighted_ncx2_logcdf(eps, w, b, m, draws=4000) for m in ("imhof", "saddlepoint", "mc")
    )
    assert abs(saddle - exact) < 0.06
    assert abs(tilted - exact) < 0.4
    assert tails.chernoff_lower_bound(eps, w, b) <= exact + 1e-9
    assert exact <= tails.tilted_upper_bound(eps, w, b) + 1e-9


def test_counting_agrees_where_there_is_something_to_count():
    rng = np.random.default_rng(0)
    w, b = law(rng, 8)
    e = ((rng.standard_normal((200_000, 8)) + b) ** 2) @ w
    eps = np.quantile(e, [0.02, 0.3, 0.7, 0.99])
    for method in ("imhof", "saddlepoint"):
        shares = np.exp(tails.weighted_ncx2_logcdf(eps, w, b, method))
        assert_allclose(shares, [0.02, 0.3, 0.7, 0.99], rtol=0.05)


def test_probabilities_are_monotone_and_smooth_across_the_mean():
    w, b = law(np.random.default_rng(1), 12)
    mean = tails.weighted_ncx2_cumulants(w, b)[0]
    eps = mean * (1 + np.array([-1e-3, -1e-6, -1e-10, 0.0, 1e-10, 1e-6, 1e-3]))
    for method in ("imhof", "saddlepoint"):
        values = tails.weighted_ncx2_logcdf(eps, w, b, method)
        assert (np.diff(values) > -1e-7).all()
        assert np.ptp(values) < 5e-3


def test_a_null_direction_is_a_deterministic_shift():
    rng = np.random.default_rng(2)
    w, b = law(rng, 10)
    shift, eps = 0.05, 0.3 * tails.weighted_ncx2_cumulants(w, b)[0] + 0.05
    lifted = np.append(w, 1e-13), np.append(b, np.sqrt(shift / 1e-13))
    assert_allclose(tails.weighted_ncx2_logcdf(eps, *lifted), tails.weighted_ncx2_logcdf(eps - shift, w, b), atol=1e-3)
    assert tails.weighted_ncx2_logcdf(0.9 * shift, *lifted) < -1e8


def test_deep_tails_are_exact_and_sankaran_s_are_not():
    for df, nc, scale, eps, true, fallback in (
        (50.0, 5.0, 0.003, 1e-4, 162.9, 92.1),
        (80.0, 10.0, 0.003, 1e-9, 739.6, 173.7),
    ):
        assert_allclose(-tails.scaled_ncx2_logcdf(eps, df, nc, scale), true, atol=0.05)
        assert_allclose(-tails.sankaran_logcdf(eps, df, nc, scale), fallback, atol=0.05)


@FEW
@given(st.floats(0.3, 60), st.floats(0, 30), st.floats(1e-4, 2.0))
def test_scaled_family_agrees_with_arbitrary_precision(df, nc, fraction):
    y = fraction * (df + nc)
    with mpmath.workdps(25):
        total = mpmath.nsum(
            lambda j: mpmath.exp(-nc / 2) * mpmath.mpf(nc / 2) ** int(j) / mpmath.factorial(int(j))
            * mpmath.gammainc(df / 2 + int(j), 0, y / 2, regularized=True),
            [0, 120], method="d",
        )  # fmt: skip
        expected = float(mpmath.log(total))
    assert_allclose(tails.scaled_ncx2_logcdf(y, df, nc, 1.0), expected, rtol=1e-8, atol=1e-9)


@FEW
@given(st.floats(0.5, 50), st.floats(0.0, 50), st.floats(0.01, 10))
def test_moment_fit_returns_what_made_the_moments(df, nc, scale):
    k1, k2, k3 = scale * (df + nc), 2 * scale**2 * (df + 2 * nc), 8 * scale**3 * (df + 3 * nc)
    found = tails.ncx2_moment_fit(k1, k2, k3)
    mean, variance = found[2] * (found[0] + found[1]), 2 * found[2] ** 2 * (found[0] + 2 * found[1])
    assert_allclose([mean, variance], [k1, k2], rtol=1e-6)
    # At nc = 0 the two roots meet, and rounding moves the parameters by its root.
    assert_allclose(found[2] * 8 * found[2] ** 2 * (found[0] + 3 * found[1]), k3, rtol=1e-4)


def test_skewer_sums_than_the_family_has_fall_back_on_two_moments():
    w = np.array([1.0, 0.1, 0.1])
    k = tails.weighted_ncx2_cumulants(w, np.zeros(3))
    assert k[0] * k[2] > 2 * k[1] ** 2
    df, nc, scale = tails.ncx2_moment_fit(*k)
    assert nc == 0
    assert_allclose([scale * df, 2 * scale**2 * df], k[:2])


def test_one_wide_term_is_where_the_saddlepoint_errs():
    eps = 1e-6
    exact = -tails.weighted_ncx2_logcdf(eps, np.ones(1), np.zeros(1), "imhof")
    assert_allclose(exact, -stats.chi2.logcdf(eps, 1), rtol=1e-9)
    assert 0.05 < exact + tails.weighted_ncx2_logcdf(eps, np.ones(1), np.zeros(1)) < 0.2


@pytest.mark.parametrize("bound", tails.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_and_are_nearly_attained(bound):
    report = check_bound(bound.lhs, bound.rhs, bound.sampler, 4000, rounds=4)
    assert report.holds
    assert report.worst_ratio > 0.9


def test_batches_broadcast():
    rng = np.random.default_rng(3)
    w, b = np.abs(rng.standard_normal((2, 3, 1, 6))) + 0.1
    eps = np.array([0.5, 2.0])
    for method in ("saddlepoint", "imhof", "mc"):
        together = tails.weighted_ncx2_logcdf(eps, w, b, method)
        assert together.shape == (3, 2)
        one = tails.weighted_ncx2_logcdf(2.0, w[1, 0], b[1, 0], method)
        assert_allclose(together[1, 1], one, atol=0.1 if method == "mc" else 1e-10)


def test_bad_input_is_named(unchecked):
    w, b = np.ones(3), np.zeros(3)
    for arguments, name in (
        ((0.0, w, b), "eps"), ((1.0, np.append(w[:2], 0.0), b), "w"), ((1.0, w, b[:2]), "b"),
        ((1.0, w, b, "exact"), "method"), ((np.ones((2, 2)), np.ones((3, 4)), np.ones((3, 4))), "eps"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            tails.weighted_ncx2_logcdf(*arguments)
