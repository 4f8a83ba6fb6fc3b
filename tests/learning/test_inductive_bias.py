"""Inductive bias: exact for Gaussian processes, estimated from errors, and measured on trained networks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from neural.learning.hypothesis_batches import hypothesis_errors
from neural.learning.inductive_bias import sample_trained_mlps
from simulations.learning import inductive_bias as simulation
from theory.fuzz import check_bound
from theory.learning import inductive_bias as theory
from theory.learning import quadratic_form_tails as tails

FEW = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 10**6)


def task(seed=0, dim=3, train=12, test=7, outputs=1):
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((train, dim)), rng.standard_normal((test, dim))
    return x, np.sin(x[:, :outputs]), z, np.sin(z[:, :outputs])


def test_posterior_is_scikit_learn_s():
    x, y, z, _ = task()
    mean, cov = theory.gp_posterior(x, y[:, 0], z, jitter=1e-6)
    peer = GaussianProcessRegressor(RBF(1.0), alpha=1e-6, optimizer=None).fit(x, y[:, 0])
    expected_mean, expected_cov = peer.predict(z, return_cov=True)
    assert_allclose(mean, expected_mean, atol=1e-8)
    assert_allclose(cov, expected_cov, atol=1e-8)


def test_error_law_is_that_of_drawn_hypotheses():
    x, y, z, y_test = task(outputs=2)
    mean, cov = theory.gp_posterior(x, y, z)
    w, b = theory.gp_error_law(mean, cov, y_test)
    drawn = mean + np.linalg.cholesky(cov) @ np.random.default_rng(0).standard_normal((50_000, 7, 2))
    e = ((drawn - y_test) ** 2).mean((1, 2))
    cumulants = tails.weighted_ncx2_cumulants(w, b)
    assert_allclose([e.mean(), e.var(), stats.kstat(e[:30_000], 3)], cumulants, rtol=0.1)
    eps = np.quantile(e, [0.01, 0.2])
    assert_allclose(np.exp(tails.weighted_ncx2_logcdf(eps, w, b, "imhof")), [0.01, 0.2], rtol=0.1)


def test_at_its_own_training_points_a_process_is_always_right():
    x, y, _, _ = task()
    w, b = theory.gp_error_law(*theory.gp_posterior(x, y, x), y)
    assert theory.weighted_ncx2_logcdf(1e-3, w, b) == pytest.approx(0.0, abs=1e-6)


@FEW
@given(seeds, st.sampled_from(["moments", "chi2", "mc"]))
def test_estimates_do_not_rise_with_eps_nor_depend_on_units(seed, method):
    e = np.random.default_rng(seed).noncentral_chisquare(6, 3, 50)
    values = [theory.inductive_bias(e, eps, method).value for eps in (1.0, 4.0, 9.0, 40.0)]
    assert all(a >= b for a, b in pairwise(values))
    scaled = theory.inductive_bias(1e-3 * e, 4e-3, method)
    assert_allclose(scaled.value, values[1], rtol=1e-6)
    assert scaled.ci[0] <= scaled.value <= scaled.ci[1] or method != "mc"


@pytest.mark.parametrize("method", ["moments", "ncx2_mle", "chi2"])
def test_intervals_hold_the_truth_when_the_family_is_right(method):
    e = 0.1 * np.random.default_rng(1).noncentral_chisquare(20, 0 if method == "chi2" else 8, 1500)
    eps = 0.4 * e.mean()
    truth = -tails.scaled_ncx2_logcdf(eps, 20.0, 0.0 if method == "chi2" else 8.0, 0.1)
    found = theory.inductive_bias(e, eps, method)
    assert found.ci[0] < truth < found.ci[1]
    assert found.ks < 0.04
    assert found.bits == pytest.approx(found.value / np.log(2))


def test_maximum_likelihood_is_at_least_as_likely_as_scipy_s_and_warns_of_few_errors():
    e = np.random.default_rng(2).noncentral_chisquare(8, 4, 1000)
    df, nc, scale = theory.inductive_bias(e, 3.0, "ncx2_mle").params
    peer = stats.ncx2.fit(e, floc=0)
    assert stats.ncx2.logpdf(e, df, nc, scale=scale).sum() >= stats.ncx2.logpdf(e, *peer).sum() - 0.05
    with pytest.warns(UserWarning, match="unstable"):
        theory.inductive_bias(e[:50], 3.0, "ncx2_mle")


def test_counting_gives_clopper_and_pearson_s_interval():
    e = np.arange(1.0, 101.0)
    found = theory.inductive_bias(e, 10.0, "mc")
    interval = stats.binomtest(10, 100).proportion_ci(method="exact")
    assert_allclose([found.value, *found.ci], -np.log([0.1, interval.high, interval.low]))
    nothing = theory.inductive_bias(e, 0.5, "mc")
    assert nothing.value == nothing.ci[1] == np.inf
    assert theory.inductive_bias(e, 100.0, "mc").value == 0.0


def test_errors_without_variation_are_a_point_mass():
    for method in ("moments", "chi2", "ncx2_mle"):
        assert theory.inductive_bias(np.full(20, 0.3), 0.4, method).value == 0.0
        assert theory.inductive_bias(np.full(20, 0.3), 0.2, method).value == np.inf


def test_the_authors_fallback_underestimates_deep_tails():
    e = 0.003 * np.random.default_rng(3).noncentral_chisquare(80, 10, 2000)
    ours, theirs = (theory.inductive_bias(e, 1e-15, fallback=f).value for f in ("series", "sankaran"))
    assert ours > 2 * theirs


def test_pooling_is_the_mean_of_probabilities_and_admits_what_it_cannot_know():
    p = np.array([0.2, 0.3, 0.1])
    assert_allclose(theory.pooled_inductive_bias(np.log(p)).value, -np.log(0.2))
    many = theory.pooled_inductive_bias(np.log(np.tile(p, 10)) - 500)
    assert 499 < many.ci[0] < many.value < many.ci[1]
    lonely = theory.pooled_inductive_bias(np.array([-10.0, -300.0, -300.0]))
    assert lonely.ci[0] == 0.0
    assert lonely.ci[1] <= lonely.value + np.log(40) + 1e-12
    assert theory.pooled_inductive_bias(np.array([-np.inf, -np.inf])).value == np.inf


@FEW
@given(st.integers(1, 5000), st.floats(0, 6), st.floats(0.05, 2.0))
def test_counting_fails_no_more_often_than_its_bound_says(n, information, eta):
    p = np.exp(-information)
    low, high = np.ceil(n * p * np.exp(-eta)), np.floor(n * p * np.exp(eta))
    inside = stats.binom.cdf(high, n, p) - stats.binom.cdf(low - 1, n, p)
    assert 1 - inside <= theory.counting_failure_bound(n, information, eta) + 1e-9


def test_samples_needed_are_the_fewest_that_the_bound_allows():
    n = int(theory.mc_samples_needed(3.0, 0.4, 0.1))
    assert theory.counting_failure_bound(n, 3.0, 0.4) <= 0.1 < theory.counting_failure_bound(n - 2, 3.0, 0.4)
    assert theory.mc_samples_needed(1000.0) == np.inf


def test_spread_with_unknown_scale_is_that_of_simulated_fits():
    df, n, eps = 20.0, 200, 6.0
    scale = np.random.default_rng(4).chisquare(df, (4000, n)).mean(1) / df
    values = -tails.scaled_ncx2_logcdf(eps, df, 0.0, scale)
    predicted = theory.scale_fit_sd(eps, df, 1.0, n)
    assert_allclose(values.std(), predicted, rtol=0.06)
    assert predicted < np.sqrt(df / (2 * n))


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_and_are_nearly_attained(bound):
    report = check_bound(bound.lhs, bound.rhs, bound.sampler, 4000, rounds=4)
    assert report.holds
    assert report.worst_ratio > 0.95


def test_the_exponent_of_counting_is_proved_to_exceed_a_sixth_of_the_square():
    sympy = pytest.importorskip("sympy")
    pytest.importorskip("flint")
    from theory.certificates import certify_nonnegative

    eta = sympy.Symbol("eta")
    assert certify_nonnegative(1 - (1 + eta) * sympy.exp(-eta) - eta**2 / 6, eta, (0, 1)).proved


# trained networks --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_fit_the_training_set_and_differ(dtype, device):
    x, y, z, y_test = (torch.tensor(a, dtype=dtype, device=device) for a in task(train=8))
    generator = torch.Generator(device).manual_seed(0)
    found = sample_trained_mlps(
        x,
        y,
        z,
        y_test,
        generator=generator,
        networks=3,
        width=32,
        depth=1,
        learning_rate=1e-2,
        steps=600,
        tolerance=1e-2,
    )
    assert found.fits.all()
    assert (found.train < 1e-2).all()
    assert (found.steps < 600).all()
    assert found.test.std() > 0
    assert found.test.dtype == dtype


def test_one_seed_gives_one_answer_and_too_few_steps_are_flagged():
    x, y, z, y_test = (torch.tensor(a) for a in task(train=6))

    def trained(count):
        return sample_trained_mlps(
            x,
            y,
            z,
            y_test,
            generator=torch.Generator().manual_seed(3),
            networks=count,
            width=4,
            depth=1,
            steps=25,
            tolerance=1e-9,
        )

    assert torch.equal(trained(3).test, trained(3).test)
    assert not trained(3).fits.any()


def test_one_network_follows_torch_s_adam():
    x, y, z, y_test = (torch.tensor(a) for a in task(train=6))
    found = sample_trained_mlps(
        x, y, z, y_test, generator=torch.Generator().manual_seed(5), networks=1, width=4, depth=1, activation="tanh",
        steps=30, learning_rate=0.02, tolerance=1e-9,
    )  # fmt: skip
    from neural.learning.inductive_bias import _Perceptrons

    start = _Perceptrons(1, 3, 4, 1, 1, "tanh", torch.Generator().manual_seed(5)).to(torch.float64)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).to(torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(start.layers, (net[0], net[2]), strict=True):
            theirs.weight.copy_(ours.weight[0].T)
            theirs.bias.copy_(ours.bias[0, 0])
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(30):
        optimiser.zero_grad()
        (net(x) - y).square().mean().backward()
        optimiser.step()
    assert_allclose(found.test.item(), (net(z) - y_test).square().mean().item(), rtol=1e-9)


def test_small_batches_and_bad_input(unchecked):
    x, y, z, y_test = (torch.tensor(a) for a in task(train=6))
    common = {"networks": 2, "width": 4, "steps": 3}
    found = sample_trained_mlps(x, y, z, y_test, generator=torch.Generator(), batch_size=2, **common)
    assert torch.isfinite(found.test).all()
    for arguments, name in (
        ((x, y[:3], z, y_test), "y_train"), ((x, y, z[:, :2], y_test), "x_test"), ((x, y, z, y_test.float()), "y_test"),
        ((x * torch.nan, y, z, y_test), "x_train"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            sample_trained_mlps(*arguments, generator=torch.Generator(), **common)
    for option, value in (("networks", 0), ("tolerance", 0.0), ("activation", "gelu"), ("batch_size", 0)):
        with pytest.raises(ValueError, match=option):
            sample_trained_mlps(x, y, z, y_test, generator=torch.Generator(), **{**common, option: value})


@pytest.mark.parametrize(
    "name", ["perceptron 16x1", "convolution, 4 channels", "attention, dimension 4", "forest, 4 trees of 3"]
)
def test_loop_and_batches_draw_from_one_law(name):
    architecture = simulation.SPEED_CLASSES[name]
    torch.manual_seed(0)
    with torch.no_grad():
        looped = torch.stack([simulation._one_by_one(*_speed_data(), architecture, "prior")[1] for _ in range(400)])
    x, y, z, y_test = _speed_data()
    batched = hypothesis_errors(
        x, y, z, y_test, architecture, 4000, generator=torch.Generator().manual_seed(1), condition="prior"
    ).test
    # Errors are skewed: their logarithms are compared.
    looped, batched = looped.log(), batched.log()
    assert abs(looped.mean() - batched.mean()) < 4 * (looped.std() / 20 + batched.std() / 60)


def _speed_data():
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(6, 16, generator=generator), torch.randn(8, 16, generator=generator)
    return x, x[:, :1].sin(), z, z[:, :1].sin()
