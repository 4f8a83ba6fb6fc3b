"""Regularized auto-encoders: optima against quadrature and dense solutions, expansions, losses, samplers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity

from neural.density import regularized_autoencoder as neural
from simulations.density.known_scores import BIMODAL, KNOWN_SCORES, TRIMODAL, random_mixture
from theory.density import regularized_autoencoder as theory
from theory.density import score_sampling
from theory.density.isotropic_mixture import IsotropicMixture


def _density(mixture):
    return lambda x: np.exp(mixture.log_density(x))


def _numerical_jacobian(function, x, step=1e-5):
    """Central differences: (points, outputs, dim)."""
    columns = [(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(x.shape[1])]
    return np.stack(columns, axis=-1)


# mixtures ---------------------------------------------------------------------------------------


def test_a_mixture_s_density_is_scipy_s():
    x = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    parts = [
        w * multivariate_normal(m, s**2 * np.eye(2)).pdf(x)
        for m, s, w in zip(TRIMODAL.means, TRIMODAL.stds, TRIMODAL.weights, strict=True)
    ]
    np.testing.assert_allclose(TRIMODAL.log_density(x), np.log(np.sum(parts, axis=0)), rtol=1e-12)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 3))
def test_derivatives_of_the_score_are_those_of_differences(seed, dim):
    rng = np.random.default_rng(seed)
    mixture, x = random_mixture(dim, rng), rng.uniform(-2.5, 2.5, (4, dim))
    slope = _numerical_jacobian(lambda z: mixture.log_density(z)[:, None], x)[:, 0]
    np.testing.assert_allclose(mixture.score(x), slope, atol=1e-6 * (1 + np.abs(slope).max()))
    jacobian = _numerical_jacobian(mixture.score, x)
    np.testing.assert_allclose(mixture.score_jacobian(x), jacobian, atol=1e-5 * (1 + np.abs(jacobian).max()))
    # ΔS is the divergence of the Jacobian, taken column by column.
    second = _numerical_jacobian(lambda z: mixture.score_jacobian(z).reshape(len(z), -1), x)
    laplacian = np.einsum("nijj->ni", second.reshape(len(x), dim, dim, dim))
    np.testing.assert_allclose(mixture.score_laplacian(x), laplacian, atol=1e-4 * (1 + np.abs(laplacian).max()))


def test_a_blurred_mixture_is_the_convolution():
    def integrand(e):
        return math.exp(BIMODAL.log_density(np.array([[0.3 - e]]))[0] - e**2 / (2 * 0.04)) / math.sqrt(0.08 * math.pi)

    found = BIMODAL.smoothed(0.2).log_density(np.array([[0.3]]))[0]
    assert found == pytest.approx(math.log(quad(integrand, -2, 2, epsabs=1e-13)[0]), abs=1e-10)


def test_scores_stay_exact_far_from_all_means():
    x = np.array([[1e6, -1e6]])
    one = IsotropicMixture(np.zeros((2, 2)), np.array([0.1, 0.1]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(one.score(x), -x / 0.01, rtol=1e-12)
    assert np.isfinite(TRIMODAL.score_laplacian(x)).all()


def test_samples_have_the_mixture_s_moments():
    x = TRIMODAL.sample(40_000, np.random.default_rng(0))
    np.testing.assert_allclose(x.mean(0), TRIMODAL.weights @ TRIMODAL.means, atol=0.02)
    # E S = 0 and E S xᵀ = −I for any density.
    score = TRIMODAL.score(x)
    np.testing.assert_allclose(score.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(score.T @ x / len(x), -np.eye(2), atol=0.08)


def test_known_scores_lie_where_they_are_sampled_from():
    for mixture in KNOWN_SCORES.values():
        assert np.abs(mixture.means).max() < 2
        assert mixture.weights.sum() == pytest.approx(1)


# optima -----------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), sigma=st.floats(0.05, 0.6), dim=st.integers(1, 2))
@settings(max_examples=40)
def test_the_best_denoiser_is_displaced_along_the_blurred_score(seed, sigma, dim):
    rng = np.random.default_rng(seed)
    mixture, x = random_mixture(dim, rng), rng.uniform(-3, 3, (3, dim))
    exact = x + sigma**2 * mixture.smoothed(sigma).score(x)
    np.testing.assert_allclose(theory.optimal_dae(_density(mixture), x, sigma), exact, atol=1e-9)


def test_the_best_denoiser_on_nodes_holds_far_outside_them():
    grid = np.linspace(-6, 6, 2001)
    x = np.array([[-1.0], [0.2], [6.0]])
    exact = x + 0.2**2 * BIMODAL.smoothed(0.2).score(x)
    np.testing.assert_allclose(theory.optimal_dae((grid, _density(BIMODAL)(grid[:, None])), x, 0.2), exact, atol=1e-8)
    nodes = np.stack(np.meshgrid(*[np.linspace(-4, 4, 201)] * 2), axis=-1).reshape(-1, 2)
    x = np.array([[0.1, 0.3], [-1.0, 0.5]])
    exact = x + 0.2**2 * TRIMODAL.smoothed(0.2).score(x)
    np.testing.assert_allclose(theory.optimal_dae((nodes, _density(TRIMODAL)(nodes)), x, 0.2), exact, atol=1e-10)


def test_the_quadrature_follows_the_posterior_to_where_it_lies():
    x = np.array([[12.0]])
    found = theory.optimal_dae(lambda z: np.exp(-0.5 * np.square(z / 0.4).sum(1)), x, 0.4)
    np.testing.assert_allclose(found, x / 2, rtol=1e-12)


@given(seed=st.integers(0, 10**6), sigma=st.floats(0.05, 1.0))
@settings(max_examples=25)
def test_the_contractive_optimum_is_the_dense_minimiser(seed, sigma):
    rng = np.random.default_rng(seed)
    grid = np.sort(rng.uniform(-3, 3, 80)) + 0.02 * np.arange(80)
    p = _density(random_mixture(1, rng))(grid[:, None]) + 1e-3
    steps = np.diff(grid)
    cells = 0.5 * (np.append(steps, 0) + np.insert(steps, 0, 0))
    difference = np.diff(np.eye(80), axis=0)
    stiffness = difference.T @ np.diag(np.sqrt(p[:-1] * p[1:]) / steps) @ difference
    dense = np.linalg.solve(np.diag(cells * p) + sigma**2 * stiffness, cells * p * grid)
    np.testing.assert_allclose(theory.optimal_rcae_1d(grid, p, sigma), dense, atol=1e-8)


def test_the_contractive_optimum_satisfies_the_euler_lagrange_equation():
    grid, sigma = np.linspace(-5, 5, 10_001), 0.3
    r = theory.optimal_rcae_1d(grid, _density(BIMODAL)(grid[:, None]), sigma)
    slope = np.gradient(r, grid)
    right = sigma**2 * (np.gradient(slope, grid) + slope * BIMODAL.score(grid[:, None])[:, 0])
    core = np.abs(grid) < 3
    np.testing.assert_allclose((r - grid)[core], right[core], atol=1e-4)


def test_the_contractive_optimum_survives_densities_that_underflow():
    grid = np.linspace(-60, 60, 24_001)  # spacing 0.005
    r = theory.optimal_rcae_1d(grid, np.exp(-0.5 * grid**2), 0.5)
    assert np.isfinite(r).all()
    core = np.abs(grid) < 5
    np.testing.assert_allclose(r[core], grid[core] / 1.25, atol=2 * 0.005**2)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 5), sigma=st.floats(0.05, 3))
def test_for_a_gaussian_both_losses_are_minimal_at_the_shrinkage(seed, dim, sigma):
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((dim, dim))
    covariance, mean = factor @ factor.T, rng.standard_normal(dim)
    r = theory.gaussian_reconstruction(mean, covariance, sigma)
    # Gradients of E|A(x + e) + b − x|² and E|Ax + b − x|² + σ²|A|²: for linear maps one and the same.
    gradient = r.matrix @ (covariance + sigma**2 * np.eye(dim)) - covariance
    assert np.abs(gradient).max() <= 1e-10 * (1 + np.abs(covariance).max())
    np.testing.assert_allclose(r(mean[None])[0], mean, atol=1e-10)
    expected = mean + np.linalg.solve(covariance + sigma**2 * np.eye(dim), covariance).T @ np.ones(dim)
    np.testing.assert_allclose(r(mean[None] + 1)[0], expected, atol=1e-8)


def test_a_singular_gaussian_is_projected_onto_its_support():
    r = theory.gaussian_reconstruction(np.zeros(2), np.diag([1.0, 0.0]), 1.0)
    np.testing.assert_allclose(r(np.array([[2.0, 5.0]])), [[1.0, 0.0]])


@pytest.mark.parametrize("form", ["denoising", "contractive"])
def test_the_expansion_leaves_an_error_of_sixth_order(form):
    errors = []
    for sigma in (0.04, 0.02):
        grid = np.linspace(-5, 5, 40_001)
        core = (grid > -2.2) & (grid < 1.8)
        x = grid[core][:, None]
        exact = x + sigma**2 * BIMODAL.smoothed(sigma).score(x)
        if form == "contractive":
            exact = theory.optimal_rcae_1d(grid, _density(BIMODAL)(grid[:, None]), sigma)[core, None]
        expanded = theory.reconstruction_expansion(BIMODAL, x, sigma, form)
        errors.append(np.sqrt(np.mean((exact - expanded) ** 2)))
    assert math.log2(errors[0] / errors[1]) > 5


def test_the_optima_agree_at_fourth_order_only_where_the_score_is_linear():
    x = np.linspace(-2, 2, 9)[:, None]
    one = IsotropicMixture(np.array([[0.5]]), np.array([0.7]), np.array([1.0]))
    both = [theory.reconstruction_expansion(one, x, 0.3, form) for form in ("denoising", "contractive")]
    np.testing.assert_allclose(both[0], both[1], atol=1e-14)
    both = [theory.reconstruction_expansion(BIMODAL, x, 0.3, form) for form in ("denoising", "contractive")]
    assert np.abs(both[0] - both[1]).max() > 1e-3


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_the_gap_of_the_losses_is_their_difference(sigma):
    grid = np.linspace(-5, 5, 2001)
    p = _density(BIMODAL)(grid[:, None])
    found = theory.loss_gap_1d(grid, p, lambda x: np.sin(x) - x, lambda x: np.cos(x) - 1, lambda x: -np.sin(x), sigma)
    noise, shares = np.polynomial.hermite_e.hermegauss(60)
    weights = p / p.sum()
    denoising = weights @ (np.square(np.sin(grid[:, None] + sigma * noise) - grid[:, None]) @ shares / shares.sum())
    contractive = weights @ (np.square(np.sin(grid) - grid) + sigma**2 * np.square(np.cos(grid)))
    assert found.denoising == pytest.approx(denoising, rel=1e-10)
    assert found.contractive == pytest.approx(contractive, rel=1e-10)
    assert found.gap == pytest.approx(denoising - contractive, rel=1e-8)
    # The Laplacian term explains it to the next order.
    assert abs(found.gap - found.laplacian_term) < 3 * sigma**4


def test_no_reconstruction_beats_the_denoising_optimum():
    grid, sigma = np.linspace(-5, 5, 2001), 0.3
    p, blurred = _density(BIMODAL)(grid[:, None]), BIMODAL.smoothed(sigma)

    def loss(change):
        return theory.loss_gap_1d(
            grid, p, lambda x: sigma**2 * blurred.score(x[:, None])[:, 0] + change * np.sin(2 * x),
            np.zeros_like, np.zeros_like, sigma,
        ).denoising  # fmt: skip

    # The denoising loss does not use the derivatives: they only split it.
    fisher = np.trapezoid(np.exp(blurred.log_density(grid[:, None])) * blurred.score(grid[:, None])[:, 0] ** 2, grid)
    assert loss(0.0) == pytest.approx(sigma**2 - sigma**4 * fisher, rel=1e-6)
    assert loss(0.0) < min(loss(0.02), loss(-0.02))


def test_the_best_denoiser_of_a_sample_follows_its_kernel_density_estimate():
    # Equal masses at the data: blurred by σ they are the kernel estimate with that bandwidth.
    rng = np.random.default_rng(0)
    data, x, sigma = TRIMODAL.sample(200, rng), rng.uniform(-1, 1, (5, 2)), 0.3
    estimate = KernelDensity(bandwidth=sigma).fit(data)
    slope = _numerical_jacobian(lambda z: estimate.score_samples(z)[:, None], x)[:, 0]
    found = theory.optimal_dae((data, np.ones(200)), x, sigma)
    np.testing.assert_allclose((found - x) / sigma**2, slope, atol=1e-6)


# sampling ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), sigma=st.floats(0.01, 1.0))
def test_both_rooms_integrate_the_same_differences(seed, sigma):
    rng = np.random.default_rng(seed)
    x0, x1 = rng.standard_normal((2, 5, 3))

    def field(x):
        return np.sin(x) if isinstance(x, np.ndarray) else torch.sin(x)

    expected = score_sampling.log_density_difference(field, x0, x1, sigma)
    found = neural.log_density_difference(field, torch.as_tensor(x0), torch.as_tensor(x1), sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 / sigma**2)


def test_differences_of_an_exact_denoiser_are_those_of_the_blurred_log_density():
    rng = np.random.default_rng(0)
    x0, x1 = TRIMODAL.sample(30, rng), TRIMODAL.sample(30, rng)
    blurred = TRIMODAL.smoothed(0.2)
    found = score_sampling.log_density_difference(lambda x: x + 0.04 * blurred.score(x), x0, x1, 0.2, 400)
    np.testing.assert_allclose(found, blurred.log_density(x1) - blurred.log_density(x0), atol=1e-3)


def test_a_midpoint_rule_is_exact_for_a_gaussian():
    r = theory.gaussian_reconstruction(np.array([0.3, -0.1]), np.diag([1.0, 0.25]), 0.5)
    x0, x1 = np.random.default_rng(0).standard_normal((2, 6, 2))
    law = multivariate_normal([0.3, -0.1], np.diag([1.25, 0.5]))
    np.testing.assert_allclose(
        score_sampling.log_density_difference(r, x0, x1, 0.5, 1), law.logpdf(x1) - law.logpdf(x0), rtol=1e-10
    )


def test_loops_measure_rotation_by_its_area():
    # Around a unit square the field (−y, x) sums to twice the area.
    square = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    total, sides = score_sampling.loop_integral(lambda x: x + 0.01 * x @ turn, square, 0.1)
    np.testing.assert_allclose(total, [2.0], atol=1e-10)
    np.testing.assert_allclose(sides.sum(1), total)


def test_chains_of_both_rooms_reach_the_law_they_were_given():
    exact = BIMODAL.smoothed(0.1)
    starts = np.random.default_rng(0).uniform(-2, 2, (1500, 1))
    ours, acceptance = score_sampling.approximate_mh(
        lambda x: x + 0.01 * exact.score(x), starts, 0.1, 1.0, 80, np.random.default_rng(1)
    )

    def field(x):
        return x + 0.01 * torch.as_tensor(exact.score(x[0].numpy()))[None]

    theirs, share = neural.approximate_mh(
        field, torch.as_tensor(starts)[None], 0.1, 1.0, 80, torch.Generator().manual_seed(2)
    )
    truth = np.sort(exact.sample(200_000, np.random.default_rng(3))[:, 0])
    for found in (ours[:, 0], theirs[0, :, 0].numpy()):
        # Kolmogorov–Smirnov distance of 1500 draws: above 0.05 once in a thousand.
        ranks = np.searchsorted(truth, np.sort(found)) / len(truth)
        assert np.abs(ranks - np.arange(1, 1501) / 1500).max() < 0.055
    assert float(share[0]) == pytest.approx(acceptance, abs=0.02)


def test_a_chain_that_is_sure_moves_only_uphill():
    x0 = torch.zeros(1, 50, 1, dtype=torch.float64) + 3
    found, _ = neural.approximate_mh(lambda x: x * 0.99, x0, 1e-3, 0.5, 40, torch.Generator().manual_seed(0))
    assert (found.abs() <= 3).all()
    assert found.abs().mean() < 0.5


def test_iterated_reconstruction_climbs_and_corruption_decides_the_law():
    r = lambda x: x / 1.01  # noqa: E731
    rng = torch.Generator().manual_seed(0)
    x0 = torch.randn(4000, 1, generator=rng, dtype=torch.float64)
    assert neural.reconstruction_chain(r, x0, 0.0, 1000).abs().max() < 1e-3
    # x ← (x + τ e)/(1 + σ²): variance τ²/((1 + σ²)² − 1), about 1/2 for τ = σ and 1 for τ = √2 σ.
    for corruption, variance in ((0.1, 0.4975), (0.1 * 2**0.5, 0.995)):
        found = neural.reconstruction_chain(r, x0, corruption, 400, rng)
        assert float(found.var()) == pytest.approx(variance, rel=0.1)


def test_stationary_points_are_three_modes_three_saddles_and_a_minimum():
    starts = np.random.default_rng(0).uniform(-2, 2, (400, 2))
    found = score_sampling.stationary_points(TRIMODAL.score, starts, TRIMODAL.score_jacobian)
    assert np.abs(TRIMODAL.score(found)).max() < 1e-6
    rising = (np.linalg.eigvalsh(TRIMODAL.score_jacobian(found)) > 0).sum(1)
    assert sorted(rising) == [0, 0, 0, 1, 1, 1, 2]
    without = score_sampling.stationary_points(TRIMODAL.score, starts[:200])
    assert 6 <= len(without) <= 7


# networks ---------------------------------------------------------------------------------------


def _model(dim=2, models=2, sigma=0.3, dtype=torch.float64, device="cpu"):
    generator = torch.Generator(device).manual_seed(0)
    made = neural.DisplacementEnsemble(models, dim, sigma, generator, width=8).to(dtype)
    with torch.no_grad():
        for k, parameter in enumerate(made.parameters()):
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=generator.manual_seed(k), dtype=dtype, device=device
            )
    return made


def _x(shape=(2, 6, 2), dtype=torch.float64, device="cpu"):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device, dtype)


def test_the_denoising_loss_is_its_definition():
    model, x, noise = _model(), _x(), _x((2, 6, 2)).flip(1)
    expected = (model(x + 0.3 * noise) - x).square().sum(-1).mean(-1)
    torch.testing.assert_close(neural.dae_loss(model, x, 0.3, noise), expected)
    drawn = neural.dae_loss(model, x, 0.3, generator=torch.Generator().manual_seed(5))
    same = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    torch.testing.assert_close(drawn, neural.dae_loss(model, x, 0.3, same))


def test_one_sigma_per_model_is_each_model_s_own():
    model, x, noise = _model(), _x(), _x()
    sigmas = torch.tensor([0.1, 0.5], dtype=torch.float64)
    for loss in (
        lambda s: neural.dae_loss(model, x, s, noise),
        lambda s: neural.contractive_reconstruction_loss(model, x, s),
    ):
        both = loss(sigmas)
        for k, sigma in enumerate((0.1, 0.5)):
            torch.testing.assert_close(both[k], loss(sigma)[k])


def test_the_exact_penalty_is_the_jacobian_s(device):
    model, x = _model(dim=3, device=device), _x((2, 5, 3), device=device)
    whole = torch.autograd.functional.jacobian(model, x)
    blocks = torch.stack([torch.stack([whole[m, b, :, m, b] for b in range(5)]) for m in range(2)])
    expected = blocks.square().sum((-1, -2)).mean(-1)
    torch.testing.assert_close(neural.jacobian_penalty(model, x), expected)
    loss = neural.contractive_reconstruction_loss(model, x, 0.3)
    torch.testing.assert_close(loss, (model(x) - x).square().sum(-1).mean(-1) + 0.09 * expected)
    hessian = neural.hessian_from_autoencoder(model, x, 0.3)
    torch.testing.assert_close(hessian, (blocks - torch.eye(3, dtype=x.dtype, device=device)) / 0.09)


def test_the_estimated_penalty_has_the_exact_mean():
    model, x = _model(dim=3), _x((2, 5, 3))
    exact = neural.jacobian_penalty(model, x)
    estimate = neural.jacobian_penalty(model, x, "hutchinson", probes=1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(estimate, exact, rtol=0.05, atol=0)


@pytest.mark.parametrize("estimator", ["exact", "hutchinson"])
def test_the_penalty_can_be_trained_on_and_evaluated_without_gradients(estimator):
    model, x = _model(), _x()

    def loss():
        return neural.contractive_reconstruction_loss(
            model, x, 0.3, estimator, generator=torch.Generator().manual_seed(0)
        ).sum()

    weight = model.layers[0].weight
    gradient = torch.autograd.grad(loss(), weight)[0][0, 0, 0]
    with torch.no_grad():
        plain = loss()
        assert not plain.requires_grad
        weight[0, 0, 0] += 1e-6
        higher = loss()
        weight[0, 0, 0] -= 2e-6
        lower = loss()
    assert float((higher - lower) / 2e-6) == pytest.approx(float(gradient), rel=1e-5)


def test_a_constant_reconstruction_has_no_penalty():
    x = _x()
    torch.testing.assert_close(
        neural.contractive_reconstruction_loss(lambda z: torch.zeros_like(z), x, 0.3), x.square().sum(-1).mean(-1)
    )


def test_the_contractive_loss_is_score_matching_with_a_penalty():
    # r = x + σ² g: (L_C − σ² d)/σ⁴ = E |g|² + 2 tr ∂g + σ² |∂g|²_F, twice implicit score matching and a penalty.
    sigma = 0.3
    model, x = _model(sigma=sigma), _x()
    score = neural.ScoreFromAutoencoder(model, sigma)
    jacobian = neural.hessian_from_autoencoder(model, x, sigma)
    trace = jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)
    expected = score(x).square().sum(-1) + 2 * trace + sigma**2 * jacobian.square().sum((-1, -2))
    found = (neural.contractive_reconstruction_loss(model, x, sigma) - 2 * sigma**2) / sigma**4
    torch.testing.assert_close(found, expected.mean(-1))


def test_losses_are_minimal_at_the_optima_of_theory():
    # On a large sample of a Gaussian both losses grow away from the shrinkage.
    covariance = np.array([[1.0, 0.4], [0.4, 0.5]])
    r = theory.gaussian_reconstruction(np.zeros(2), covariance, 0.5)
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.multivariate_normal(np.zeros(2), covariance, 40_000))
    noise = torch.as_tensor(rng.standard_normal((40_000, 2)))

    def linear(change):
        matrix = torch.as_tensor(r.matrix + change)
        return lambda z: z @ matrix.T

    for loss in (
        lambda f: neural.dae_loss(f, x, 0.5, noise),
        lambda f: neural.contractive_reconstruction_loss(f, x, 0.5),
    ):
        least = float(loss(linear(0)).detach())
        for change in (np.array([[0.1, 0], [0, 0]]), np.array([[0, -0.1], [0, 0]]), np.array([[0, 0], [0, -0.1]])):
            assert least < float(loss(linear(change)).detach())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_precision_and_device(dtype, tolerance, device):
    x = _x((1, 7, 2))
    shrink = theory.gaussian_reconstruction(np.zeros(2), np.diag([1.0, 0.5]), 0.2)
    matrix = torch.as_tensor(shrink.matrix).to(device, dtype)
    moved = x.to(device, dtype)

    class Linear(torch.nn.Module):
        def forward(self, z):
            return z @ matrix.T

    score = neural.ScoreFromAutoencoder(Linear(), 0.2)(moved)
    assert score.dtype == dtype
    exact = -x / torch.tensor([1.04, 0.54], dtype=torch.float64)
    torch.testing.assert_close(score.cpu().double(), exact, rtol=tolerance, atol=tolerance)
    hessian = neural.hessian_from_autoencoder(Linear(), moved, 0.2)
    torch.testing.assert_close(
        hessian[0, 0].cpu().double(), torch.diag(exact[0, 0] / x[0, 0]), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("loss", ["denoising", "contractive"])
def test_a_short_training_finds_the_score_of_a_gaussian(loss, device):
    x = 0.5 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)).to(device)
    generator = torch.Generator(device).manual_seed(1)
    model = neural.DisplacementEnsemble(1, 1, 0.2, generator, width=16)

    def objective(batch, rng):
        if loss == "denoising":
            return neural.dae_loss(model, batch, 0.2, generator=rng)
        return neural.contractive_reconstruction_loss(model, batch, 0.2)

    neural.fit_reconstruction(model, x, objective, 200, generator, learning_rate=0.02)
    at = torch.tensor([[[-0.5], [0.5]]], device=device)
    found = neural.ScoreFromAutoencoder(model, 0.2)(at).flatten().tolist()
    assert found == pytest.approx([0.5 / 0.29, -0.5 / 0.29], abs=0.4)


def test_a_plain_autoencoder_has_a_bounded_code():
    model = neural.AutoencoderEnsemble(2, 3, torch.Generator().manual_seed(0), width=8)
    x = _x((2, 4, 3), torch.float32)
    assert model.encode(x).shape == (2, 4, 8)
    assert model.encode(100 * x).abs().max() <= 1
    assert model(x).shape == x.shape


def test_models_in_lockstep_share_nothing():
    x = _x((50, 2), torch.float32)

    def trained(sigmas):
        model = neural.DisplacementEnsemble(2, 2, sigmas, torch.Generator().manual_seed(0), width=4)
        neural.fit_reconstruction(
            model, x, lambda b, rng: neural.dae_loss(model, b, sigmas, generator=rng), 5,
            torch.Generator().manual_seed(1), models=2, batch_size=8,
        )  # fmt: skip
        return model.layers[0].weight.detach()

    first, second = (trained(torch.tensor([0.1, other])) for other in (0.2, 0.7))
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1])


# bad inputs -------------------------------------------------------------------------------------


def test_bad_inputs_say_what_is_wrong(unchecked):
    x, grid = np.zeros((3, 1)), np.linspace(-1, 1, 5)
    with pytest.raises(ValueError, match="sigma must be"):
        theory.optimal_dae(_density(BIMODAL), x, 0.0)
    with pytest.raises(ValueError, match="three columns"):
        theory.optimal_dae(_density(BIMODAL), np.zeros((2, 4)), 0.1)
    with pytest.raises(ValueError, match="p must be above 0"):
        theory.optimal_dae(lambda z: np.zeros(len(z)), x, 0.1)
    with pytest.raises(ValueError, match="one value per point"):
        theory.optimal_dae(lambda z: np.ones((len(z), 1)), x, 0.1)
    with pytest.raises(ValueError, match="at least 0"):
        theory.optimal_dae(lambda z: np.full(len(z), -1.0), x, 0.1)
    with pytest.raises(ValueError, match="density or a pair"):
        theory.optimal_dae("p", x, 0.1)
    with pytest.raises(ValueError, match="columns"):
        theory.optimal_dae((grid, np.ones(5)), np.zeros((2, 2)), 0.1)
    with pytest.raises(ValueError, match="increasing"):
        theory.optimal_rcae_1d(grid[::-1], np.ones(5), 0.1)
    with pytest.raises(ValueError, match="not all 0"):
        theory.optimal_rcae_1d(grid, np.zeros(5), 0.1)
    with pytest.raises(ValueError, match="symmetric"):
        theory.gaussian_reconstruction(np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), 0.1)
    with pytest.raises(ValueError, match="semi-definite"):
        theory.gaussian_reconstruction(np.zeros(1), -np.eye(1), 0.1)
    with pytest.raises(ValueError, match="displacement must return"):
        theory.loss_gap_1d(grid, np.ones(5), lambda z: z[:2], np.zeros_like, np.zeros_like, 0.1)
    with pytest.raises(ValueError, match="slope must be a function"):
        theory.loss_gap_1d(grid, np.ones(5), np.zeros_like, 1.0, np.zeros_like, 0.1)
    with pytest.raises(ValueError, match="reconstruct must return the shape"):
        score_sampling.log_density_difference(lambda z: z[:1], x, x, 0.1)
    with pytest.raises(ValueError, match="finite values"):
        score_sampling.log_density_difference(lambda z: z * np.nan, x, x, 0.1)
    with pytest.raises(ValueError, match="rng"):
        score_sampling.approximate_mh(lambda z: z, x, 0.1, 0.1, 1, None)
    with pytest.raises(ValueError, match="three corners"):
        score_sampling.loop_integral(lambda z: z, np.zeros((1, 2, 2)), 0.1)
    with pytest.raises(ValueError, match="equally many"):
        IsotropicMixture(np.zeros((2, 1)), np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="columns"):
        TRIMODAL.score(np.zeros((2, 3)))


def test_bad_tensors_say_what_is_wrong(unchecked):
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="sigma must be"):
        neural.dae_loss(lambda z: z, x, -1.0)
    with pytest.raises(ValueError, match="sigma must be a number or of shape"):
        neural.dae_loss(lambda z: z, x, torch.tensor([0.1, 0.2]))
    with pytest.raises(ValueError, match="noise must have the shape"):
        neural.dae_loss(lambda z: z, x, 0.1, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="model must return the shape"):
        neural.dae_loss(lambda z: z[:, :1], x, 0.1)
    with pytest.raises(ValueError, match="model must return the shape"):
        neural.contractive_reconstruction_loss(lambda z: z[:, :1], x, 0.1)
    with pytest.raises(ValueError, match="estimator must be one of"):
        neural.contractive_reconstruction_loss(lambda z: z, x, 0.1, "guess")
    with pytest.raises(ValueError, match="map every point"):
        neural.jacobian_penalty(lambda z: z.sum(), x)
    with pytest.raises(ValueError, match="finite"):
        neural.dae_loss(lambda z: z, x * torch.nan, 0.1)
    with pytest.raises(ValueError, match="shape of x0"):
        neural.log_density_difference(lambda z: z, x, torch.zeros(3, 2), 0.1)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        neural.ScoreFromAutoencoder(torch.nn.Identity(), torch.tensor([0.1, 0.0]))
    with pytest.raises(ValueError, match="leading axes"):
        neural.ScoreFromAutoencoder(torch.nn.Identity(), torch.tensor([0.1, 0.2]))(x)
    with pytest.raises(ValueError, match="x must be"):
        neural.AutoencoderEnsemble(1, 2, torch.Generator())(torch.zeros(1, 4, 3))
    with pytest.raises(ValueError, match=r"x must be \(…, batch, dim\)"):
        neural.dae_loss(lambda z: z, torch.zeros(3), 0.1)
