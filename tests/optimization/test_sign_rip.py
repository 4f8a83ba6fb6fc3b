"""Sign-RIP: phi against quadrature and sampling, its bounds and proofs, deviations, and the search for the worst."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

from theory.certificates import certify_nonnegative
from theory.fuzz import check_bound
from theory.optimization import sign_rip as theory
from theory.optimization.matrix_measurements import make_robust_recovery_problem, sign_subgradient

EXAMPLES = settings(max_examples=25, deadline=None)
LAWS = {"gaussian": stats.norm(), "cauchy": stats.cauchy()}
CLEAN = np.sqrt(2 / np.pi)


def low_rank(seed, d, k, norm=1.0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((d, k))
    X = (factors * rng.choice([-1.0, 1.0], k)) @ factors.T
    return norm * X / np.linalg.norm(X)


# phi ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scale", [0.1, 3.0, 50.0])
def test_phi_is_the_mean_of_sign_times_gaussian(law, scale):
    """E Sign(a g − s) g = E g (2 F(a g) − 1) with F the distribution function of s: no exponential in sight."""
    F = LAWS[law].cdf
    for a in (0.2, 1.0, 7.0):
        noisy = integrate.quad(
            lambda g, a=a: g * (2 * F(a * g / scale) - 1) * stats.norm.pdf(g), -12, 12, points=[0], limit=400
        )[0]
        expected = 0.7 * CLEAN + 0.3 * noisy
        assert_allclose(theory.sign_rip_scale(a, 0.3, law, scale), expected, rtol=1e-7)


@settings(max_examples=8)
@given(st.sampled_from(sorted(LAWS)), st.floats(0.01, 50), st.floats(0, 1), st.floats(0.05, 20))
def test_closed_forms_are_the_quadrature_of_the_density(law, norm, p, scale):
    density = LAWS[law].pdf
    closed = theory.sign_rip_scale(norm, p, law, scale)
    assert_allclose(theory.sign_rip_scale(norm, p, lambda z: float(density(z)), scale), closed, rtol=1e-6)


@pytest.mark.parametrize(
    "law",
    [stats.laplace(), stats.expon(), stats.uniform(-1, 3), stats.norm(4, 0.3)],
    ids=["laplace", "exponential", "uniform", "shifted"],
)
def test_phi_of_any_density_is_the_expectation_of_the_exponential(law):
    for norm in (0.3, 6.0):
        expected = law.expect(lambda s, norm=norm: np.exp(-((2 * s) ** 2) / (2 * norm**2)))
        assert_allclose(
            theory.sign_rip_scale(norm, 0.4, lambda z: float(law.pdf(z)), 2.0),
            CLEAN * (0.6 + 0.4 * expected), rtol=1e-5,
        )  # fmt: skip


@pytest.mark.parametrize("outlier", ["normal", "cauchy", "constant"])
@pytest.mark.parametrize("p", [0.0, 0.4, 0.95])
def test_the_mean_subgradient_is_phi_times_the_direction(outlier, p):
    N, d = 200_000, 4
    problem = make_robust_recovery_problem(d, 2, N, p=p, scale=2.0, outlier=outlier, seed=5)
    X = low_rank(0, d, 2, norm=1.7)
    D = sign_subgradient(problem.A, problem.A @ X.ravel() - problem.s)
    law = {"normal": "gaussian"}.get(outlier, outlier) if p else "none"
    phi = theory.sign_rip_scale(1.7, p, law, 2.0)
    assert abs((D * X).sum() / 1.7 - phi) < 4 / np.sqrt(N)
    assert np.linalg.norm(D - phi * X / 1.7) < 1.5 * np.sqrt(d * (d + 1) / 2 / N)


def test_dense_gaussian_noise_and_the_limits():
    assert_allclose(theory.sign_rip_scale(2.0, 1.0, "gaussian", 3.0), CLEAN * 2 / np.sqrt(13), rtol=1e-12)
    for law in (*LAWS, "constant"):
        assert_allclose(theory.sign_rip_scale(1e9, 0.3, law, 1.0), CLEAN, rtol=1e-8)
        assert_allclose(theory.sign_rip_scale(1e-9, 0.3, law, 1.0), 0.7 * CLEAN, rtol=1e-8)
        assert theory.sign_rip_scale(1.0, 0.0, law, 1.0) == CLEAN
    assert_allclose(theory.sign_rip_scale(1e-300, 0.5, "cauchy", 1e300), 0.5 * CLEAN)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_and_are_attained(bound):
    report = bound.check(5000)
    assert report.holds, report
    assert report.worst_ratio > 0.999


def test_a_sharper_lower_bound_of_phi_is_found_out():
    bound = theory.BOUNDS[0]
    assert not check_bound(lambda **each: 1.001 * bound.lhs(**each), bound.rhs, bound.sampler, 20_000).holds


def test_what_the_bounds_rest_on_is_proved_and_a_stronger_statement_is_refuted():
    certificates = theory.certify_sign_rip_scale()
    assert all(certificate.proved and certificate.verify() for certificate in certificates)
    c = sympy.Symbol("c")
    too_strong = 1 / sympy.sqrt(1 + c**2) - sympy.exp(-(c**2) / 3)
    assert certify_nonnegative(too_strong, c, (0, 20)).proved is False


# norms and deviations ----------------------------------------------------------------------------


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 7))
def test_the_k_norm_is_the_best_inner_product_of_rank_k(seed, d, k):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((d, d))
    norm = theory.frobenius_k_norm(M, k)
    left, values, right = np.linalg.svd(M)
    best = (left[:, :k] * values[:k]) @ right[:k]
    assert_allclose((M * best).sum() / np.linalg.norm(best), norm, rtol=1e-10)
    rank = min(k, d)
    Y = rng.standard_normal((50, d, rank)) @ rng.standard_normal((50, rank, d))
    assert ((M * Y).sum((1, 2)) <= norm * np.linalg.norm(Y, axis=(1, 2)) * (1 + 1e-12)).all()
    assert np.linalg.norm(M, 2) <= norm * (1 + 1e-12)
    assert norm <= np.linalg.norm(M) * (1 + 1e-12)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 3), st.floats(1e-3, 1e3))
def test_without_noise_the_deviation_knows_no_scale_and_no_sign(seed, d, k, factor):
    A = np.random.default_rng(seed).standard_normal((30, d * d))
    X = low_rank(seed, d, 2)
    deviation = theory.sign_rip_deviation(A, np.zeros(30), X, k, 0.0)
    assert_allclose(theory.sign_rip_deviation(A, np.zeros(30), -factor * X, k, 0.0), deviation, rtol=1e-9)
    assert theory.sign_rip_deviation(A, np.zeros(30), X, k + 1, 0.0) >= deviation * (1 - 1e-12)


@EXAMPLES
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_the_deviation_bounds_the_mean_absolute_measurement(seed, d):
    """<D(X), X> is the mean of |<A_i, X>|, so that it is within delta of sqrt(2/pi) |X| for X of rank k."""
    A = np.random.default_rng(seed).standard_normal((25, d * d))
    X = low_rank(seed, d, 2)
    delta = theory.sign_rip_deviation(A, np.zeros(25), X, 2, 0.0)
    assert abs(np.abs(A @ X.ravel()).mean() - CLEAN) <= delta * CLEAN * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_deviation_is_what_its_definition_says(dtype):
    problem = make_robust_recovery_problem(6, 2, 200, p=0.4, scale=3.0, seed=2)
    X = low_rank(1, 6, 3, norm=0.8)
    D = sum(
        np.sign((A.reshape(6, 6) * X).sum() - s) * (A.reshape(6, 6) + A.reshape(6, 6).T) / 2
        for A, s in zip(problem.A, problem.s, strict=True)
    ) / 200  # fmt: skip
    phi = CLEAN * (0.6 + 0.4 / np.sqrt(1 + 9 / 0.64))
    singular = np.linalg.svd(D - phi * X / 0.8, compute_uv=False)
    expected = np.sqrt(singular[0] ** 2 + singular[1] ** 2) / phi
    ours = theory.sign_rip_deviation(problem.A.astype(dtype), problem.s, X, 2, 0.4, "gaussian", 3.0)
    assert_allclose(ours, expected, rtol=1e-5 if dtype == np.float32 else 1e-10)


def test_one_dimension_has_one_direction():
    A = np.array([[1.0], [-3.0]])
    assert_allclose(theory.sign_rip_deviation(A, np.zeros(2), np.array([[5.0]]), 1, 0.0), abs(2 - CLEAN) / CLEAN)


@pytest.mark.parametrize(("p", "noise"), [(0.0, "none"), (0.5, "gaussian")])
def test_the_search_evaluates_what_it_reports_and_beats_random_matrices(p, noise):
    rng = np.random.default_rng(3)
    A, s = rng.standard_normal((300, 64)), np.where(rng.random(300) < p, 10 * rng.standard_normal(300), 0.0)
    found = theory.sign_rip_search(A, s, 2, p, noise, 10.0, norm_X=0.6)
    assert_allclose(theory.sign_rip_deviation(A, s, found.X, 2, p, noise, 10.0), found.deviation, rtol=1e-10)
    assert_allclose(np.linalg.norm(found.X), 0.6)
    assert (np.abs(np.linalg.eigvalsh(found.X)) > 1e-10).sum() <= 2
    assert_allclose(found.X, found.X.T, atol=1e-14)
    at_random = [theory.sign_rip_deviation(A, s, low_rank(i, 8, 2, 0.6), 2, p, noise, 10.0) for i in range(40)]
    assert found.deviation > max(at_random)
    assert found.deviation >= 1.3 * found.random
    longer = theory.sign_rip_search(A, s, 2, p, noise, 10.0, norm_X=0.6, steps=60)
    assert longer.deviation >= found.deviation


def test_sampled_entries_have_no_sign_rip():
    rng = np.random.default_rng(0)
    A = np.zeros((20_000, 36))
    A[np.arange(20_000), rng.integers(0, 36, 20_000)] = 6
    X = low_rank(0, 6, 2)
    entries = theory.sign_rip_deviation(A, np.zeros(20_000), X, 2, 0.0)
    gaussian = theory.sign_rip_deviation(rng.standard_normal(A.shape), np.zeros(20_000), X, 2, 0.0)
    assert gaussian < 0.05 < 0.3 < entries


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.sign_rip_scale(0.0, 0.1, "gaussian"), "norm_X must be a finite number above 0"),
        (lambda: theory.sign_rip_scale(1.0, 0.1), "p must be 0 if noise is 'none'"),
        (lambda: theory.sign_rip_scale(1.0, 1.1, "gaussian"), "p must be a number in"),
        (lambda: theory.sign_rip_scale(1.0, 0.1, "laplace"), "noise must be one of"),
        (lambda: theory.sign_rip_scale(1.0, 0.1, lambda z: np.exp(-(z**2))), "noise must be a density"),
        (lambda: theory.sign_rip_deviation(np.ones((2, 4)), np.zeros(2), np.zeros((2, 2)), 1, 0.0), "X must not be zero"),
        (
            lambda: theory.sign_rip_deviation(np.ones((2, 4)), np.zeros(2), np.array([[0.0, 1.0], [0.0, 0.0]]), 1, 0.0),
            "X must be a symmetric",
        ),
        (lambda: theory.sign_rip_search(np.ones((2, 4)), np.zeros(2), 3, 0.0), "k must be at most d = 2"),
        (lambda: theory.sign_rip_search(np.ones((2, 4)), np.zeros(3), 1, 0.0), "s must have one entry for each of 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
