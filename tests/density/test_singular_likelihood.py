"""Likelihood for singular laws: exact examples by other means, gradients, failures, and a fit that works."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import logsumexp, ndtr
from scipy.stats import multivariate_normal

from neural.density.singular_likelihood import (
    GeneratorEnsemble,
    SieveMLE,
    importance_weighted_bound,
    latent_grid,
    log_likelihood_quadrature,
    perturb,
)
from simulations.density.supports import LATENT_DIMENSION, SUPPORTS, embedded
from theory.density import singular_likelihood as theory
from theory.density.wasserstein import wasserstein1_assignment

ELEMENTS = ("wrong law", "wrong place")


def _clouds(seed, samples=7, points=5, dim=3, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, dim, generator=generator, dtype=torch.float64)
    centres = torch.randn(points, dim, generator=generator, dtype=torch.float64)
    return x.to(device, dtype), centres.to(device, dtype)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 6), log_sigma=st.floats(-6, 3))
def test_both_rooms_compute_the_mixture_s_log_density(seed, dim, log_sigma):
    x, centres = _clouds(seed, dim=dim)
    sigma = math.exp(log_sigma)
    squared = (x[:, None] - centres).square().sum(-1).numpy()
    expected = logsumexp(-squared / (2 * sigma**2), axis=1) - np.log(len(centres))
    expected -= dim * (log_sigma + 0.5 * np.log(2 * np.pi))
    scale = 1e-12 * (1 + np.abs(expected))
    assert (np.abs(theory.log_likelihood_quadrature(x.numpy(), centres.numpy(), sigma) - expected) <= 10 * scale).all()
    assert (np.abs(log_likelihood_quadrature(x, centres, sigma).numpy() - expected) <= 100 * scale).all()


def test_a_mixture_of_two_is_scipy_s():
    x, centres = _clouds(0, points=2)
    densities = [multivariate_normal(c, 0.25 * np.eye(3)).pdf(x.numpy()) for c in centres.numpy()]
    np.testing.assert_allclose(
        log_likelihood_quadrature(x, centres, 0.5), np.log(np.mean(densities, axis=0)), rtol=1e-12
    )


@pytest.mark.parametrize("dim", [2, 7])
def test_gradients_in_closed_form_are_those_of_differences(dim):
    x, centres = (torch.stack([a, 2 * a]) for a in _clouds(1, dim=dim))
    sigma = torch.tensor([0.7, 0.3], dtype=torch.float64)
    arguments = [a.requires_grad_() for a in (x, centres, sigma)]
    assert torch.autograd.gradcheck(log_likelihood_quadrature, arguments)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_precision_and_device(dtype, tolerance, device):
    x, centres = _clouds(2, samples=50, points=40, dim=2)
    exact = log_likelihood_quadrature(x, centres, 0.1)
    found = log_likelihood_quadrature(x.to(device, dtype), centres.to(device, dtype), 0.1)
    assert found.dtype == dtype
    assert ((found.cpu().double() - exact).abs() <= tolerance * (1 + exact.abs())).all()


def test_small_noise_in_float32_far_from_the_origin_cancels_nothing():
    x, centres = _clouds(3, dim=2)
    x, centres = (100 + 1e-3 * a for a in (x, centres))
    rounded = [a.float() for a in (x, centres)]
    exact = log_likelihood_quadrature(*(a.double() for a in rounded), 1e-3)
    torch.testing.assert_close(log_likelihood_quadrature(*rounded, 1e-3).double(), exact, rtol=1e-5, atol=1e-5)


def test_autocast_to_bf16_does_not_touch_the_likelihood(device):
    x, centres = _clouds(4, dtype=torch.float32, device=device)
    expected = log_likelihood_quadrature(x, centres, 0.2)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        torch.testing.assert_close(log_likelihood_quadrature(x, centres, 0.2), expected)
    assert log_likelihood_quadrature(x.bfloat16(), centres.bfloat16(), 0.2).dtype == torch.float32


@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.4])
@pytest.mark.parametrize("at", [-2.0, 0.0, 0.3, 1.0, 2.5])
def test_elements_have_their_densities(sigma, at):
    x1 = at * sigma if at <= 0 else (at if at <= 1 else 1 + at * sigma)
    x = np.array([[x1, 0.02]])

    def slice_of(power):
        near = np.cbrt if power == 3 else (lambda v: v)
        cuts = sorted({float(near(np.clip(x1 + k * sigma, 0, 1))) for k in (-9, -5, -2, -1, 0, 1, 2, 5, 9)})
        total = sum(
            quad(lambda z: math.exp(-0.5 * ((x1 - z**power) / sigma) ** 2), a, b, epsabs=0, epsrel=1e-12)[0]
            for a, b in zip([0.0, *cuts], [*cuts, 1.0], strict=True)
            if b > a
        )
        return math.log(total / (sigma * math.sqrt(2 * math.pi)))

    across = -0.5 * ((0.02 - np.array([0, 0.05])) / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
    for element, power, part in zip(ELEMENTS, (3, 1), across, strict=True):
        found = theory.two_element_log_density(x, sigma, 0.05, element)[0]
        assert found == pytest.approx(slice_of(power) + part, abs=1e-8)


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_limit_of_samples_is_the_mean_over_many(element):
    rng = np.random.default_rng(0)
    n = 20_000
    x = np.stack([rng.random(n), np.zeros(n)], axis=1) + 0.03 * rng.standard_normal((n, 2))
    values = theory.two_element_log_density(x, 0.04, 0.05, element)
    expected = theory.two_element_log_likelihood(0.04, 0.05, 0.03, element)
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(n)


def test_without_noise_the_right_place_wins_only_above_the_floor_of_the_sieve():
    assert theory.two_element_example(0.05, 0.0, sigma_min=0.06).chosen == "wrong place"
    assert theory.two_element_example(0.05, 0.0, sigma_min=0.03).chosen == "wrong law"


def test_the_divergence_is_that_of_quadrature():
    # The law of z^3 has density u^(-2/3)/3.
    value = quad(lambda u: -math.log(u ** (-2 / 3) / 3), 0, 1)[0]
    assert pytest.approx(value, abs=1e-8) == theory.TWO_ELEMENT_DIVERGENCE


def test_the_threshold_s_formula_is_the_limit_of_small_offsets():
    ratios = [theory.two_element_threshold(d, exact=True) / theory.two_element_threshold(d) for d in (0.04, 0.01)]
    excess = np.array(ratios) - 1
    # First order in the offset: boundary layers.
    assert excess[1] < 0.35 * excess[0]
    assert excess[-1] < 0.02


@given(beta=st.floats(0.1, 10), t=st.floats(0.1, 10))
def test_the_perturbation_balances_both_errors(beta, t):
    a = theory.optimal_perturbation_exponent(beta, t)
    assert theory.hellinger_exponent(beta, t, a) == pytest.approx(a, rel=1e-12)
    for other in (0.9 * a, 1.1 * a):
        assert min(other, theory.hellinger_exponent(beta, t, other)) < a
    # No rate of this kind reaches that of the samples themselves on a curve.
    assert a < 0.5


def test_noise_on_the_data_has_its_size_and_zero_changes_nothing(device):
    x = torch.zeros(2, 20_000, 3, device=device)
    rng = torch.Generator(device).manual_seed(0)
    noisy = perturb(x, torch.tensor([0.0, 0.5], device=device), rng)
    assert (noisy[0] == 0).all()
    assert float(noisy[1].std()) == pytest.approx(0.5, rel=0.02)
    assert torch.equal(perturb(x, 0.0, rng), x)


@given(points=st.integers(2, 300), latent=st.integers(1, 4))
def test_the_grid_is_the_largest_that_fits(points, latent):
    nodes = latent_grid(points, latent)
    side = round(len(nodes) ** (1 / latent))
    assert side**latent == len(nodes) <= points < (side + 1) ** latent
    assert ((nodes > 0) & (nodes < 1)).all()
    torch.testing.assert_close(nodes.mean(0), torch.full((latent,), 0.5))


def test_a_shifted_grid_integrates_without_bias():
    rng = torch.Generator().manual_seed(0)
    values = [latent_grid(4, 1, torch.rand(1, generator=rng)).square().mean() for _ in range(4000)]
    assert float(torch.stack(values).mean()) == pytest.approx(1 / 3, abs=0.002)


@pytest.mark.parametrize("sigma", ["fixed", "learned"])
def test_a_fit_finds_the_circle(sigma):
    data = SUPPORTS["circle"](torch.rand(150, 1, generator=torch.Generator().manual_seed(0)))
    truth = SUPPORTS["circle"](latent_grid(100, 1)).numpy()

    generator = GeneratorEnsemble(1, 1, 2, torch.Generator().manual_seed(1))
    estimate = SieveMLE(generator, 0.1, sigma, points=60, learning_rate=0.03)
    one = estimate.fit(data, 300, torch.Generator().manual_seed(2))
    samples = one.sample(100)
    assert wasserstein1_assignment(samples[0].numpy(), truth) < 0.35
    assert samples.shape == (1, 100, 2)
    assert one.sample(7, torch.Generator().manual_seed(0)).shape == (1, 7, 2)
    start = GeneratorEnsemble(1, 1, 2, torch.Generator().manual_seed(1))(latent_grid(100, 1)[None]).detach()
    assert wasserstein1_assignment(start[0].numpy(), truth) > 0.5
    if sigma == "learned":
        assert float(one.sigma) != 0.3
    else:
        assert float(one.sigma) == pytest.approx(0.1)


def test_models_in_lockstep_share_nothing():
    data = SUPPORTS["circle"](torch.rand(40, 1, generator=torch.Generator().manual_seed(0)))

    def fitted(sigmas):
        generator = GeneratorEnsemble(len(sigmas), 1, 2, torch.Generator().manual_seed(1))
        estimate = SieveMLE(generator, 0.0, torch.tensor(sigmas), points=20)
        return estimate.fit(data, 5, torch.Generator().manual_seed(2)).sample(10)

    torch.testing.assert_close(fitted([0.1, 0.3])[0], fitted([0.1, 5.0])[0])
    assert not torch.allclose(fitted([0.1, 0.3])[1], fitted([0.1, 5.0])[1])


def test_the_bound_is_the_log_density_where_the_posterior_is_known(device):
    # x = W z + noise with z ~ N(0, I): posterior and density are normal.
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    x = torch.randn(6, 3, generator=rng, dtype=torch.float64).to(device)
    sigma = 0.7
    # A diagonal q is the posterior only for orthogonal rows.
    matrix[1] -= matrix[0] * (matrix[1] @ matrix[0]) / (matrix[0] @ matrix[0])
    precision = torch.eye(2, dtype=torch.float64) + matrix @ matrix.T / sigma**2
    mean = torch.linalg.solve(precision, matrix @ x.cpu().T / sigma**2).T.contiguous().to(device)
    log_std = (-0.5 * precision.diagonal().log()).expand(6, -1).contiguous().to(device)
    covariance = (matrix.T @ matrix + sigma**2 * torch.eye(3, dtype=torch.float64)).numpy()
    expected = multivariate_normal(np.zeros(3), covariance).logpdf(x.cpu().numpy())

    class Linear(torch.nn.Module):
        def forward(self, z):
            return z @ matrix.to(z.device)

    for draws in (1, 5):
        generator = torch.Generator(device).manual_seed(1)
        bound = importance_weighted_bound(x, Linear(), mean, log_std, sigma, generator, draws)
        np.testing.assert_allclose(bound.cpu(), expected, rtol=1e-10)
    generator = torch.Generator(device).manual_seed(1)
    loose = importance_weighted_bound(x, Linear(), mean + 0.5, log_std, sigma, generator, 2000).mean()
    many = (each.repeat(300, 1) for each in (mean + 0.5, log_std))
    looser = importance_weighted_bound(x.repeat(300, 1), Linear(), *many, sigma, generator, 1)
    assert looser.mean() < loose <= expected.mean() + 0.02


def test_supports_are_traversed_whole():
    for name, support in SUPPORTS.items():
        points = support(latent_grid(400, LATENT_DIMENSION[name]))
        assert torch.isfinite(points).all()
        assert points.shape[1] == LATENT_DIMENSION[name] + 1
    circle = SUPPORTS["circle"](latent_grid(50, 1))
    wide = embedded(circle, 9, seed=0)
    torch.testing.assert_close(torch.cdist(wide, wide), torch.cdist(circle, circle), atol=1e-3, rtol=1e-3)


def test_bad_inputs_say_what_is_wrong(unchecked):
    x, centres = _clouds(0)
    with pytest.raises(ValueError, match="two points"):
        log_likelihood_quadrature(x, centres[:1], 0.1)
    with pytest.raises(ValueError, match="same models and dim"):
        log_likelihood_quadrature(x, centres[:, :2], 0.1)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        log_likelihood_quadrature(x, centres, 0.0)
    with pytest.raises(ValueError, match="same dim"):
        theory.log_likelihood_quadrature(x.numpy(), centres[:, :2].numpy(), 0.1)
    generator = GeneratorEnsemble(1, 1, 2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="perturb the data or give their noise"):
        SieveMLE(generator, 0.0)
    with pytest.raises(ValueError, match="perturbation"):
        SieveMLE(generator, -0.1)
    with pytest.raises(ValueError, match="sigma must be one of"):
        SieveMLE(generator, 0.1, "guessed")
    estimate = SieveMLE(generator, 0.1)
    with pytest.raises(ValueError, match="X must be"):
        estimate.fit(torch.zeros(2, 3, 2), 1, torch.Generator())
    with pytest.raises(ValueError, match="finite"):
        estimate.fit(torch.full((3, 2), torch.nan), 1, torch.Generator())
    with pytest.raises(ValueError, match="sigma_max must exceed"):
        theory.two_element_example(0.05, 0.6)


def test_the_second_element_is_a_difference_of_normal_distribution_functions():
    x = np.array([[0.3, 0.0]])
    expected = math.log(ndtr(0.3 / 0.1) - ndtr(-0.7 / 0.1)) - 0.5 * 0.25 - math.log(0.1 * math.sqrt(2 * math.pi))
    assert theory.two_element_log_density(x, 0.1, 0.05, "wrong place")[0] == pytest.approx(expected, rel=1e-12)
