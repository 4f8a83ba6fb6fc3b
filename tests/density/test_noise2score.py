"""Noise2Score: Tweedie's formulas by other means, the AR-DAE loss, Stein's estimate, noise, baselines, blind search."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma, loggamma
from scipy.stats import gamma as gamma_law
from scipy.stats import invgamma, nbinom, norm
from torch import nn

from neural.density.image_noise import (
    ResidualDenoiser,
    add_noise,
    blind_spots,
    noise2noise_loss,
    noise2void_loss,
    photograph,
    psnr,
    random_crops,
)
from neural.density.noise2score import (
    ARDAELoss,
    Noise2Score,
    ScoreCNN,
    ar_dae_loss,
    estimate_noise_parameter,
    sure_gaussian,
)
from theory.density import noise2score as theory

seeds = st.integers(0, 10**6)
FAMILIES = ("gaussian", "poisson", "gamma")
LEVELS = {"gaussian": 0.1, "poisson": 0.05, "gamma": 20.0}


def _prior(seed, components=3):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(components))
    return np.exp(rng.uniform(-1, 2, components)), np.exp(rng.uniform(-1, 2, components)), weights


def _complex_step(log_density, y, step=1e-30):
    """The derivative of an analytic function, without the rounding of a difference."""
    return np.imag(log_density(y + 1j * step)) / step


def _log_sum(log_terms):
    top = log_terms.real.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(log_terms - top).sum(-1))


# Tweedie's formulas ------------------------------------------------------------------------------


@given(seed=seeds, sigma=st.floats(0.05, 3))
def test_gaussian_tweedie_is_the_posterior_mean_of_any_discrete_prior(seed, sigma):
    rng = np.random.default_rng(seed)
    atoms, weights, y = rng.normal(size=6), rng.dirichlet(np.ones(6)), rng.normal(size=4)

    def log_terms(v):
        return np.log(weights) - 0.5 * ((v[:, None] - atoms) / sigma) ** 2

    score = _complex_step(lambda v: _log_sum(log_terms(v)), y)
    shares = np.exp(log_terms(y) - _log_sum(log_terms(y))[:, None])
    np.testing.assert_allclose(theory.tweedie_gaussian(y, score, sigma), shares @ atoms, atol=1e-12)


@given(seed=seeds, scale=st.floats(0.02, 2))
def test_poisson_tweedie_is_the_geometric_mean_of_any_discrete_prior(seed, scale):
    rng = np.random.default_rng(seed)
    atoms, weights, z = np.exp(rng.normal(size=6)), rng.dirichlet(np.ones(6)), rng.uniform(0, 30, 4)

    def log_terms(v):
        return np.log(weights) + v[:, None] * np.log(atoms / scale) - atoms / scale - loggamma(v + 1)[:, None]

    score = _complex_step(lambda v: _log_sum(log_terms(v)), z)
    shares = np.exp(log_terms(z) - _log_sum(log_terms(z))[:, None])
    geometric = np.exp(shares @ np.log(atoms))
    for wrt, factor in (("counts", 1), ("intensity", 1 / scale)):
        found = theory.tweedie_poisson(scale * z, score * factor, scale, wrt, "digamma")
        np.testing.assert_allclose(found, geometric, rtol=1e-10)
    half = theory.tweedie_poisson(scale * z, score, scale)
    np.testing.assert_allclose(half / geometric, (z + 0.5) / np.exp(digamma(z + 1)), rtol=1e-10)


@given(seed=seeds, shape=st.floats(1.05, 150))
def test_gamma_tweedie_is_the_harmonic_mean_of_any_discrete_prior(seed, shape):
    rng = np.random.default_rng(seed)
    atoms, weights, y = np.exp(rng.normal(size=6)), rng.dirichlet(np.ones(6)), np.exp(rng.normal(size=4))

    def log_terms(v):
        return np.log(weights) - shape * np.log(atoms) + (shape - 1) * np.log(v[:, None]) - shape * v[:, None] / atoms

    score = _complex_step(lambda v: _log_sum(log_terms(v)), y)
    shares = np.exp(log_terms(y) - _log_sum(log_terms(y))[:, None])
    np.testing.assert_allclose(theory.tweedie_gamma(y, score, shape), 1 / (shares @ (1 / atoms)), rtol=1e-9)


def test_the_generic_formula_gives_all_three():
    rng = np.random.default_rng(0)
    y, score = np.exp(rng.normal(size=5)), 0.3 * rng.normal(size=5)
    one, sigma, scale, shape = np.ones(5), 0.7, 0.2, 9.0
    gaussian = theory.tweedie_natural(score, -y / sigma**2, one / sigma**2)
    np.testing.assert_allclose(gaussian, theory.tweedie_gaussian(y, score, sigma))
    # Counts z: T = z, natural parameter log(x/scale), base density 1/Γ(z + 1).
    log_x = theory.tweedie_natural(score, -digamma(y / scale + 1), one) + np.log(scale)
    np.testing.assert_allclose(np.exp(log_x), theory.tweedie_poisson(y, score, scale, form="digamma"))
    # T = y, natural parameter −α/x, base density y^(α − 1).
    rate = theory.tweedie_natural(score, (shape - 1) / y, one)
    np.testing.assert_allclose(-shape / rate, theory.tweedie_gamma(y, score, shape))


@given(seed=seeds, sigma=st.floats(0.05, 3))
def test_gaussian_pairs_agree_with_tweedie_and_quadrature(seed, sigma):
    means, stds, weights = _prior(seed)
    y = np.random.default_rng(seed).normal(0, 2, 3)
    found = theory.gaussian_gaussian(y, sigma, means, stds, weights)
    np.testing.assert_allclose(theory.tweedie_gaussian(y, found.score, sigma), found.arithmetic, atol=1e-9)
    density = (weights * norm.pdf(y[:, None], means, np.hypot(stds, sigma))).sum(1)
    np.testing.assert_allclose(np.exp(found.log_density), density, rtol=1e-10)


@given(seed=seeds, scale=st.floats(0.05, 3))
def test_poisson_pairs_agree_with_tweedie_robbins_and_negative_binomials(seed, scale):
    shapes, rates, weights = _prior(seed)
    z = np.arange(41)
    found = theory.poisson_gamma(z.astype(float), scale, shapes, rates, weights)
    pmf = (weights * nbinom.pmf(z[:, None], shapes, scale * rates / (1 + scale * rates))).sum(1)
    np.testing.assert_allclose(np.exp(found.log_density), pmf, rtol=1e-9)
    np.testing.assert_allclose(theory.tweedie_poisson(scale * z, found.score, scale, form="digamma"), found.geometric)
    np.testing.assert_allclose(scale * theory.robbins_poisson(z[:-1], pmf), found.arithmetic[:-1], rtol=1e-8)


@given(seed=seeds, shape=st.floats(1.5, 100))
def test_gamma_pairs_agree_with_tweedie(seed, shape):
    shapes, scales, weights = _prior(seed)
    y = np.exp(np.random.default_rng(seed).normal(size=4))
    found = theory.gamma_inverse_gamma(y, shape, shapes, scales, weights)
    np.testing.assert_allclose(theory.tweedie_gamma(y, found.score, shape), found.harmonic, rtol=1e-8)


@pytest.mark.parametrize("noise", ["poisson", "gamma"])
def test_densities_and_means_of_pairs_are_those_of_quadrature(noise):
    a, b, w = np.array([1.5, 6.0]), np.array([2.0, 9.0]), np.array([0.4, 0.6])
    if noise == "poisson":
        level, data, found = 0.3, 4.0, theory.poisson_gamma(np.array([4.0]), 0.3, a, b, w)

        def joint(x):
            likelihood = np.exp(data * np.log(x / level) - x / level - loggamma(data + 1).real)
            return likelihood * (w * gamma_law.pdf(x, a, scale=1 / b)).sum()
    else:
        level, data, found = 7.0, 1.3, theory.gamma_inverse_gamma(np.array([1.3]), 7.0, a, b, w)

        def joint(x):
            return gamma_law.pdf(data, level, scale=x / level) * (w * invgamma.pdf(x, a, scale=b)).sum()

    def mean(function):
        pieces = [(0.0, 1.0), (1.0, 4.0), (4.0, 40.0), (40.0, np.inf)]
        return sum(quad(lambda x: function(x) * joint(x), *piece, epsabs=0, epsrel=1e-10)[0] for piece in pieces)

    total = mean(lambda x: 1.0)
    assert found.log_density[0] == pytest.approx(math.log(total), abs=1e-8)
    assert found.arithmetic[0] == pytest.approx(mean(lambda x: x) / total, rel=1e-8)
    assert found.geometric[0] == pytest.approx(math.exp(mean(math.log) / total), rel=1e-8)
    assert found.harmonic[0] == pytest.approx(total / mean(lambda x: 1 / x), rel=1e-8)


@settings(max_examples=30)
@given(seed=seeds, level=st.floats(0.05, 3))
def test_scores_are_derivatives_of_log_densities(seed, level):
    first, second, weights = _prior(seed)
    y = np.exp(np.random.default_rng(seed).uniform(-1, 1.5, 3))
    h = 1e-5
    for pair, at in (
        (theory.gaussian_gaussian, level), (theory.poisson_gamma, level), (theory.gamma_inverse_gamma, 1 + level),
    ):  # fmt: skip
        up, down = (pair(y + s * h, at, first, second, weights).log_density for s in (1, -1))
        score = pair(y, at, first, second, weights).score
        np.testing.assert_allclose((up - down) / (2 * h), score, rtol=1e-5, atol=1e-5)


def test_the_three_means_coincide_for_a_prior_that_is_nearly_a_point():
    point = np.array([1e7])
    for found in (
        theory.poisson_gamma(np.array([3.0]), 0.1, 2 * point, point),
        theory.gamma_inverse_gamma(np.array([3.0]), 9.0, point, 2 * point),
    ):
        for mean in (found.arithmetic, found.geometric, found.harmonic):
            assert mean[0] == pytest.approx(2, rel=1e-5)


def test_a_vague_gamma_prior_puts_no_mass_on_the_harmonic_mean_at_zero_counts():
    found = theory.poisson_gamma(np.array([0.0, 2.0]), 1.0, np.array([0.5]), np.array([1.0]))
    assert found.harmonic[0] == 0
    assert found.harmonic[1] == pytest.approx(0.75)


def test_approximate_digamma_is_off_by_what_is_said():
    z = np.array([0.0, 1.0, 2.0, 5.0, 10.0])
    off = 1 - (z + 0.5) / np.exp(digamma(z + 1))
    np.testing.assert_allclose(off, [0.109, 0.017, 0.0065, 0.0014, 0.0004], atol=5e-4)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold(bound):
    report = bound.check(2_000)
    assert report.holds, report.witness


def test_limits_of_exponent_and_denominator():
    extreme = theory.tweedie_poisson(np.array([0.5]), np.array([1e6]), 1.0)
    assert extreme[0] == pytest.approx(math.exp(20))
    with pytest.warns(RuntimeWarning, match="1 of 2 denominators"):
        found = theory.tweedie_gamma(np.array([1.0, 1.0]), np.array([5.0, 0.0]), 3.0)
    np.testing.assert_allclose(found, [3000.0, 1.5])


def test_minimum_of_the_ar_dae_loss_is_that_of_the_exact_score():
    means, stds, weights, sa = np.array([-1.2, 1.0]), np.array([0.5, 0.4]), np.array([0.4, 0.6]), 0.3
    rng = np.random.default_rng(0)
    which = rng.choice(2, 400_000, p=weights)
    y, u = means[which] + stds[which] * rng.standard_normal(which.size), rng.standard_normal(which.size)
    score = theory.gaussian_gaussian(y + sa * u, sa, means, stds, weights).score
    loss = (sa * score + u) ** 2
    minimum = theory.ar_dae_minimum(sa, means, stds, weights)
    assert abs(loss.mean() - minimum) < 4 * loss.std() / np.sqrt(loss.size)
    for factor in (0.9, 1.1, -1.0):
        assert ((sa * factor * score + u) ** 2).mean() > loss.mean()


def test_theory_refuses_bad_input(unchecked):
    good = np.ones(3)
    with pytest.raises(ValueError, match="sigma"):
        theory.tweedie_gaussian(good, good, 0.0)
    with pytest.raises(ValueError, match="y must be at least 0"):
        theory.tweedie_poisson(-good, good, 1.0)
    with pytest.raises(ValueError, match="shape must be above 1"):
        theory.tweedie_gamma(good, good, 1.0)
    with pytest.raises(ValueError, match="score must be finite"):
        theory.tweedie_gamma(good, good * np.nan, 2.0)
    with pytest.raises(ValueError, match="score_wrt"):
        theory.tweedie_poisson(good, good, 1.0, "pixels")
    with pytest.raises(ValueError, match="pmf"):
        theory.robbins_poisson(np.array([0]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="weights"):
        theory.poisson_gamma(good, 1.0, np.ones(2), np.ones(2), np.array([0.5, 0.6]))


# The AR-DAE loss and the score network ------------------------------------------------------------


def _images(seed=0, number=2, side=8, channels=1, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(number, channels, side, side, generator=generator, dtype=torch.float64).to(device, dtype)


class Scaled(nn.Module):
    """The exact score of centred Gaussian data, or any multiple of it."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, y):
        return self.factor * y


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_loss_is_its_formula(dtype, tolerance, device):
    y, u = (_images(k, 3, dtype=dtype, device=device) for k in (0, 1))
    sa = torch.tensor([0.1, 0.2, 0.3], device=device, dtype=dtype)
    level = sa[:, None, None, None]
    expected = (level * (y + level * u).sin() + u).square()
    for reduction, value in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        found = ar_dae_loss(torch.sin, y, sa, u, reduction)
        torch.testing.assert_close(found, value, rtol=tolerance, atol=tolerance)
    assert ar_dae_loss(torch.sin, y, 0.1).isfinite()


def test_the_exact_score_has_the_least_loss_and_its_value():
    y, u = torch.randn(2, 200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sa = 0.5
    losses = {c: ar_dae_loss(Scaled(-c / (1 + sa**2)), y, sa, u).item() for c in (0.8, 1.0, 1.2, -1.0)}
    assert min(losses, key=losses.__getitem__) == 1.0
    minimum = theory.ar_dae_minimum(sa, np.zeros(1), np.ones(1))
    assert minimum == pytest.approx(1 - sa**2 / (1 + sa**2), abs=1e-10)
    assert losses[1.0] == pytest.approx(minimum, abs=0.02)


def test_the_schedule_falls_once_from_first_to_last_step_and_only_in_training():
    loss = ARDAELoss(0.1, 0.02, 5)
    y, seen = torch.zeros(2, 3), []
    for _ in range(7):
        seen.append(loss.sa)
        loss(torch.zeros_like, y)
    assert seen == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02, 0.02, 0.02])
    loss.eval()(torch.zeros_like, y)
    assert int(loss.calls) == 7
    fresh = ARDAELoss(0.1, 0.02, 5)
    fresh.load_state_dict(loss.state_dict())
    assert fresh.sa == pytest.approx(0.02)
    assert ARDAELoss(0.1, 0.02, 1).sa == pytest.approx(0.02)


@pytest.mark.parametrize("downscale", [1, 2])
def test_a_network_keeps_shapes_and_its_start_is_a_function_of_the_generator(downscale, device):
    nets = [ScoreCNN(3, 6, 3, downscale=downscale, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    y = _images(channels=3, device=device)
    first, second = (net.to(device)(y) for net in nets)
    assert first.shape == y.shape
    torch.testing.assert_close(first, second)


def test_training_learns_the_score_of_gaussian_pixels():
    generator = torch.Generator().manual_seed(0)
    net = ScoreCNN(1, 8, 2, generator=generator)
    optimiser, loss = torch.optim.Adam(net.parameters(), 0.02), ARDAELoss(0.5, 0.3, 150)
    for _ in range(150):
        y = 0.7 * torch.randn(4, 1, 16, 16, generator=generator)
        optimiser.zero_grad()
        loss(net, y, torch.randn(y.shape, generator=generator)).backward()
        optimiser.step()
    y = torch.randn(4, 1, 16, 16, generator=generator)
    exact = -y / (0.7**2 + 0.3**2)
    with torch.no_grad():
        assert (net(y) - exact).square().mean() < 0.05 * exact.square().mean()


# Denoising ---------------------------------------------------------------------------------------


@given(seed=seeds, noise=st.sampled_from(FAMILIES), level=st.floats(1.05, 30))
def test_both_rooms_denoise_alike(seed, noise, level):
    param = level if noise == "gamma" else level / 30
    y = 0.05 + _images(seed, 1, dtype=torch.float64)
    model = Scaled(-0.3)
    found = Noise2Score(model).denoise(y, noise, param)[0, 0].numpy()
    pixels = y[0, 0].numpy()
    expected = {
        "gaussian": lambda: theory.tweedie_gaussian(pixels, -0.3 * pixels, param),
        "poisson": lambda: theory.tweedie_poisson(pixels, -0.3 * pixels / param, param),
        "gamma": lambda: theory.tweedie_gamma(pixels, -0.3 * pixels, param),
    }[noise]()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    _, curve = estimate_noise_parameter(y, model, noise, [param])
    if noise != "gamma" or (pixels > 0).all():
        assert curve.item() == pytest.approx(theory.blind_criterion(expected, pixels, noise), rel=1e-9)
    _, alone = estimate_noise_parameter(y, model, noise, [param], "tv alone")
    assert alone.item() == pytest.approx(theory.total_variation(expected), rel=1e-9)


@pytest.mark.parametrize("noise", FAMILIES)
def test_exact_scores_denoise_to_exact_posterior_means(noise, device):
    y = 0.2 + _images(2, 1, dtype=torch.float64, device=device)
    a, b, level = np.array([3.0]), np.array([2.0]), LEVELS[noise]
    pixels = y.flatten().cpu().numpy()

    def score(v):
        pair = {"gaussian": theory.gaussian_gaussian, "poisson": theory.poisson_gamma}.get(
            noise, theory.gamma_inverse_gamma
        )
        values = pair(v.flatten().cpu().numpy(), level, a, b).score
        return torch.as_tensor(values.reshape(v.shape), device=v.device)

    found = Noise2Score(score).denoise(y, noise, level).flatten().cpu().numpy()
    if noise == "gaussian":
        np.testing.assert_allclose(found, theory.gaussian_gaussian(pixels, level, a, b).arithmetic, rtol=1e-10)
    elif noise == "gamma":
        np.testing.assert_allclose(found, theory.gamma_inverse_gamma(pixels, level, a, b).harmonic, rtol=1e-8)
    else:
        exact = theory.poisson_gamma(pixels / level, level, a, b).geometric
        # The 1/2 in place of the digamma function, which is least accurate at few counts.
        np.testing.assert_allclose(found, exact, rtol=0.002)


@pytest.mark.parametrize("noise", FAMILIES)
def test_the_search_is_a_loop_over_levels(noise, device):
    net = ScoreCNN(1, 4, 3, generator=torch.Generator().manual_seed(0)).to(device)
    y = 0.1 + _images(3, 2, device=device)
    grid = [LEVELS[noise] * factor for factor in (0.5, 0.8, 1.0, 1.5, 3.0)]
    found, curve = estimate_noise_parameter(y, net, noise, grid)
    one_by_one = torch.cat([estimate_noise_parameter(y, net, noise, [level])[1] for level in grid])
    torch.testing.assert_close(curve, one_by_one, rtol=1e-5, atol=1e-6)
    assert found == grid[int(curve.argmin())]


def test_the_network_is_called_once_for_a_grid_of_gaussian_or_gamma_levels():
    calls = []

    def model(y):
        calls.append(y.shape)
        return -y

    y = _images()
    for noise in ("gaussian", "gamma"):
        calls.clear()
        estimate_noise_parameter(y, model, noise, [1.5 + 0.1 * k for k in range(50)])
        assert calls == [y.shape]
    calls.clear()
    estimate_noise_parameter(y, model, "poisson", [0.1 + 0.1 * k for k in range(50)])
    assert calls == [(100, 1, 8, 8)]


def test_the_search_finds_the_level_of_white_noise_on_a_constant():
    y = 0.5 + 0.1 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    grid = [k / 100 for k in range(2, 21)]
    found, _ = estimate_noise_parameter(y, lambda v: (0.5 - v) / 0.1**2, "gaussian", grid)
    assert found == pytest.approx(0.1)


def test_black_pixels_and_extreme_scores_stay_finite(device):
    y = torch.zeros(1, 1, 4, 4, device=device)
    for noise in FAMILIES:
        for factor in (-1e6, 1e6):
            clean = Noise2Score(lambda v, f=factor: torch.full_like(v, f)).denoise(y, noise, LEVELS[noise])
            assert clean.isfinite().all()
            assert estimate_noise_parameter(y, torch.zeros_like, noise, [LEVELS[noise]])[1].isfinite().all()
    if device == "cpu":
        with pytest.warns(RuntimeWarning, match="16 of 16 denominators"):
            Noise2Score(lambda v: torch.full_like(v, 1e6)).denoise(y + 1, "gamma", 20.0)


# Stein's estimate --------------------------------------------------------------------------------


def test_the_divergence_of_a_linear_map_is_its_trace():
    matrix = torch.randn(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = _images(0, 2, side=4, dtype=torch.float64)

    def linear(v):
        return (v.flatten(1) @ matrix).reshape(v.shape)

    residual = (linear(y) - y).square().mean((1, 2, 3))
    exact = residual - 0.01 + 0.02 * matrix.trace() / 16
    probes = 1000
    spread = 0.02 * (matrix + matrix.T).triu(1).square().sum().sqrt() / 16 / math.sqrt(probes)
    found = sure_gaussian(y, linear, 0.1, probes, generator=torch.Generator().manual_seed(1))
    assert ((found - exact).abs() < 5 * spread).all()


@given(seed=seeds)
def test_a_diagonal_map_needs_one_probe_and_stein_is_score_matching(seed):
    y, sigma = _images(seed, dtype=torch.float64), 0.3

    def score(v):
        return torch.sin(3 * v)

    objective = (score(y).square() + 2 * 3 * torch.cos(3 * y)).mean((1, 2, 3))
    found = sure_gaussian(y, lambda v: v + sigma**2 * score(v), sigma)
    torch.testing.assert_close(found, sigma**2 + sigma**4 * objective)


def test_stein_s_estimate_is_unbiased_for_a_network():
    net = ScoreCNN(1, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    model = ResidualDenoiser(net)
    clean = _images(1, 1, 16, dtype=torch.float64).expand(400, -1, -1, -1)
    noisy = add_noise(clean, "gaussian", 0.2, torch.Generator().manual_seed(2))
    with torch.no_grad():
        off = sure_gaussian(noisy, model, 0.2) - (model(noisy) - clean).square().mean((1, 2, 3))
    assert abs(off.mean()) < 4 * off.std() / 20


def test_stein_s_estimate_has_the_gradient_of_the_formula():
    weight = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    y = _images(dtype=torch.float64)
    estimate = sure_gaussian(y, lambda v: weight * v**2, 0.3, generator=torch.Generator().manual_seed(0)).mean()
    (found,) = torch.autograd.grad(estimate, weight)
    expected = (2 * (weight * y**2 - y) * y**2 + 2 * 0.3**2 * 2 * y).mean()
    torch.testing.assert_close(found, expected.detach())


# Noise and baselines -----------------------------------------------------------------------------


@pytest.mark.parametrize("noise", FAMILIES)
def test_noise_has_mean_zero_and_its_variance(noise, device):
    x, level = torch.full((1, 1, 300, 300), 0.4, device=device, dtype=torch.float64), LEVELS[noise]
    y = add_noise(x, noise, level, torch.Generator(device).manual_seed(0))
    variance = {"gaussian": level**2, "poisson": level * 0.4, "gamma": 0.4**2 / level}[noise]
    assert y.mean().item() == pytest.approx(0.4, abs=4 * math.sqrt(variance) / 300)
    assert y.var().item() == pytest.approx(variance, rel=0.03)


def test_crops_of_images_that_belong_together_belong_together():
    image = torch.arange(2 * 12 * 10.0).reshape(2, 1, 12, 10)
    first, second = random_crops([image, -image], 4, 6, torch.Generator().manual_seed(0))
    assert first.shape == (6, 1, 4, 4)
    torch.testing.assert_close(first, -second)
    for crop in first:
        assert sorted(set((crop.max() - crop.flatten()).tolist()))[-1] == 33  # corners of a 4 x 4 square, rows of ten


@given(seed=seeds)
def test_blind_spots_hold_a_neighbour_and_nothing_else_changes(seed):
    y = torch.arange(64.0).reshape(1, 1, 8, 8)
    seen, mask = blind_spots(y, 0.3, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(seen[~mask], y[~mask])
    rows, columns = torch.div(seen, 8, rounding_mode="floor"), seen % 8
    away = [(a - b + 4) % 8 - 4 for a, b in ((rows, torch.div(y, 8, rounding_mode="floor")), (columns, y % 8))]
    distance = torch.maximum(away[0].abs(), away[1].abs())[mask]
    assert ((distance >= 1) & (distance <= 2)).all()


def test_noise2void_counts_blind_spots_alone():
    y = _images(0, 4, 16)
    rng = torch.Generator().manual_seed(0)
    seen, mask = blind_spots(y, 0.2, torch.Generator().manual_seed(0))
    expected = (0.5 * seen - y)[mask].square().mean()
    torch.testing.assert_close(noise2void_loss(Scaled(0.5), y, rng, 0.2), expected)
    assert noise2void_loss(Scaled(0.5), y[:1, :, :1, :1], torch.Generator().manual_seed(1), 1e-9) == 0


def test_noise2noise_has_the_minimiser_of_supervised_training():
    x = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, other = (add_noise(x, "gaussian", 0.5, torch.Generator().manual_seed(k)) for k in (1, 2))
    factors = [k / 100 for k in range(60, 100)]
    best = [min(factors, key=lambda c: noise2noise_loss(Scaled(c), y, t).item()) for t in (other, x)]
    assert best == pytest.approx([0.8, 0.8], abs=0.02)


def test_psnr_is_that_of_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio

    clean = photograph("camera")
    noisy = add_noise(clean, "gaussian", 0.1, torch.Generator().manual_seed(0))
    expected = peak_signal_noise_ratio(clean.numpy(), noisy.clamp(0, 1).numpy(), data_range=1)
    assert psnr(noisy, clean).item() == pytest.approx(expected, abs=1e-4)
    assert psnr(clean, clean).item() == math.inf


def test_photographs_are_grey_and_shrink():
    for name in ("china", "astronaut", "coins"):
        image = photograph(name)
        assert 0 <= image.min() < image.max() <= 1
        whole = photograph(name, 1)
        assert whole.shape[2] // 2 == image.shape[2]
    with pytest.raises(ValueError, match="name"):
        photograph("nobody")


def test_networks_refuse_bad_input(unchecked):
    y = _images()
    with pytest.raises(ValueError, match="sa must be"):
        ar_dae_loss(torch.zeros_like, y, 0.0)
    with pytest.raises(ValueError, match="sa_min must be at most sa_max"):
        ARDAELoss(0.1, 0.2, 3)
    with pytest.raises(ValueError, match="model must keep the shape"):
        Noise2Score(lambda v: v[:, :, 1:]).denoise(y, "gaussian", 0.1)
    with pytest.raises(ValueError, match="y must be at least 0"):
        Noise2Score(torch.zeros_like).denoise(-y, "poisson", 0.1)
    with pytest.raises(ValueError, match="grid"):
        estimate_noise_parameter(y, torch.zeros_like, "gamma", [0.5])
    with pytest.raises(ValueError, match="multiples of 2"):
        ScoreCNN(downscale=2)(y[..., 1:])
    with pytest.raises(ValueError, match="differentiable"):
        sure_gaussian(y, torch.zeros_like, 0.1)
