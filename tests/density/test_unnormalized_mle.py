"""Unnormalised models: exact landscapes, the estimator's gradient, losses against peers, densities against quadrature."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special
from sklearn.metrics import roc_auc_score

from neural.density import energy_networks as energy
from neural.density import unnormalized_mle as neural
from neural.density.planar_densities import PlanarDensity, planar_log_density, planar_sample
from simulations import discovery
from simulations.density import gaussian_descent
from theory.density import gaussian_objectives as objectives
from theory.density import unnormalized_mle as theory

DENSITIES = PlanarDensity.__args__
OBJECTIVES = objectives.Objective.__args__
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
points = {"theta": st.floats(-6, 6), "c": st.floats(-8, 12), "R": st.floats(-5, 5), "s": st.floats(0.6, 6)}


def _log_normal(x, mean, scale):
    return -(((x - mean) / scale) ** 2) / 2 - math.log(scale) - math.log(2 * math.pi) / 2


def _by_quadrature(objective, theta, c, R, s):
    """Each objective by its definition: 20 Gauss–Legendre points in each of 4000 pieces of 26 deviations both ways."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    ends = np.linspace(-26, 26, 4001)
    t = ((ends[:-1] + ends[1:]) / 2)[:, None] + (ends[1] - ends[0]) / 2 * nodes
    weights = (ends[1] - ends[0]) / 2 * np.broadcast_to(weights, t.shape)
    log_normal = _log_normal(t, 0, 1)
    h_data, h_noise = (theta * x - x**2 / 2 - c - _log_normal(x, 0, s) for x in (R + t, s * t))
    if objective == "ence":
        parts = np.exp(log_normal - h_data / 2), np.exp(log_normal + h_noise / 2)
        return float(sum((weights * part).sum() for part in parts) / 2)
    parts = np.exp(log_normal) * np.logaddexp(0, -h_data), np.exp(log_normal) * np.logaddexp(0, h_noise)
    return float(sum((weights * part).sum() for part in parts))


@settings(max_examples=8)
@given(**points)
def test_nce_and_ence_are_their_definitions_integrated(theta, c, R, s):
    for objective in ("nce", "ence"):
        value = float(objectives.objective_value(objective, theta, c, R, s))
        assert value == pytest.approx(_by_quadrature(objective, theta, c, R, s), rel=1e-8, abs=1e-11)


@settings(max_examples=15)
@given(**points)
def test_gradients_are_derivatives_of_values(theta, c, R, s):
    step = 1e-4
    for objective in OBJECTIVES:

        def value(a, b, objective=objective):
            return float(objectives.objective_value(objective, a, b, R, s))

        gradient = objectives.objective_gradient(objective, theta, c, R, s)
        numeric = [
            (
                8 * (value(theta + a, c + b) - value(theta - a, c - b))
                - value(theta + 2 * a, c + 2 * b)
                + value(theta - 2 * a, c - 2 * b)
            )
            / (12 * step)
            for a, b in ((step, 0), (0, step))
        ]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8 * (1 + abs(value(theta, c))))


@pytest.mark.parametrize("objective", ["nce", "ence"])
@settings(max_examples=20)
@given(R=st.floats(-6, 6), s=st.floats(0.6, 6))
def test_the_truth_is_a_stationary_point_with_the_normaliser(objective, R, s):
    gradient = objectives.objective_gradient(objective, R, objectives.log_partition(R), R, s)
    np.testing.assert_allclose(gradient, 0, atol=1e-11)


@settings(max_examples=20)
@given(R=st.floats(-6, 6), theta=st.floats(-6, 6))
def test_mle_is_the_cross_entropy_of_gaussians(R, theta):
    cross_entropy = (1 + (theta - R) ** 2 + math.log(2 * math.pi)) / 2
    assert float(objectives.objective_value("mle", theta, 0.0, R)) == pytest.approx(cross_entropy, abs=1e-12)
    assert objectives.objective_gradient("mle", theta, 3.0, R).tolist() == [theta - R, 0.0]


@pytest.mark.parametrize("R", [0.0, 1.5, 4.0])
def test_smallest_values_are_divergences_of_data_and_noise(R):
    c = objectives.log_partition(R)
    assert float(objectives.objective_value("ence", R, c, R)) == pytest.approx(math.exp(-(R**2) / 8), rel=1e-12)
    x = np.linspace(-15, 20, 200_001)
    p, q = np.exp(_log_normal(x, R, 1)), np.exp(_log_normal(x, 0, 1))
    entropies = [integrate.trapezoid(-special.xlogy(d, d), x) for d in ((p + q) / 2, p, q)]
    jensen_shannon = entropies[0] - (entropies[1] + entropies[2]) / 2
    assert float(objectives.objective_value("nce", R, c, R)) == pytest.approx(
        2 * math.log(2) - 2 * jensen_shannon, abs=1e-9
    )


def test_a_landscape_is_computed_at_once_and_equals_its_points():
    theta, c = np.meshgrid(np.linspace(-9, 9, 7), np.linspace(-3, 12, 5))
    for objective in OBJECTIVES:
        whole = objectives.objective_value(objective, theta, c, 4.0, 2.0)
        single = [
            float(objectives.objective_value(objective, a, b, 4.0, 2.0))
            for a, b in zip(theta.flat, c.flat, strict=True)
        ]
        assert whole.shape == theta.shape
        np.testing.assert_allclose(whole.ravel(), single, rtol=1e-11)


def test_normalized_gradients_have_length_one_even_where_ence_overflows():
    gradient = objectives.objective_gradient("ence", np.array([200.0, 1.0]), 0.0, 4.0, normalized=True)
    np.testing.assert_allclose(np.hypot(*gradient.T), 1)
    plain = objectives.objective_gradient("ence", 1.0, 0.0, 4.0)
    np.testing.assert_allclose(gradient[1], plain / np.hypot(*plain), rtol=1e-12)


@settings(max_examples=10)
@given(R=st.floats(0, 9), s=st.floats(0.5, 6))
def test_the_hessian_is_the_second_derivative_of_the_objective(R, s):
    c, step = float(objectives.log_partition(R)), 1e-4
    shifts = np.array([[step, 0], [0, step]])
    numeric = [
        (
            objectives.objective_gradient("nce", R + a, c + b, R, s)
            - objectives.objective_gradient("nce", R - a, c - b, R, s)
        )
        / (2 * step)
        for a, b in shifts
    ]
    hessian = theory.gaussian_nce_hessian(R, s)
    np.testing.assert_allclose(hessian, numeric, rtol=1e-4, atol=1e-6 * np.abs(hessian).max() + 1e-12)


@pytest.mark.parametrize("R", [2.0, 16.0])
def test_curvatures_are_those_of_the_sech_integral(R):
    # Seen from R/2, p q/(p + q) is exp(−R²/8)/2 times phi(y) sech(R y/2), and det and trace do not cancel.
    moments = [
        2 * sum(
            integrate.quad(
                lambda y, n=n: y**n * math.exp(_log_normal(y, 0, 1)) / math.cosh(R * y / 2), a / R, b / R,
                epsabs=0, epsrel=1e-13,
            )[0]
            for a, b in pairwise(np.linspace(0, 80, 11))
        )
        for n in (0, 2)
    ]  # fmt: skip
    trace, determinant = moments[1] + (1 + R**2 / 4) * moments[0], moments[0] * moments[1]
    highest = (trace + math.sqrt(trace**2 - 4 * determinant)) / 2
    found, level = theory.nce_curvature(R), -(R**2) / 8 - math.log(2)
    assert found.log_smallest == pytest.approx(level + math.log(determinant / highest), abs=1e-10)
    assert found.log_largest == pytest.approx(level + math.log(highest), abs=1e-10)
    assert found.condition_number == pytest.approx(highest**2 / determinant, rel=1e-10)


@pytest.mark.parametrize(
    ("R", "smallest", "condition", "slope"),
    [(2, 0.0569, 9.2, 0.201), (4, 2.06e-3, 87.5, 0.285), (8, 3.5e-7, 2.42e3, 0.0767), (16, 5.4e-19, 1.18e5, 2.0e-4)],
)
def test_reference_values_of_the_landscape(R, smallest, condition, slope):
    found = theory.nce_curvature(float(R))
    assert math.exp(found.log_smallest) == pytest.approx(smallest, rel=0.02)
    assert found.condition_number == pytest.approx(condition, rel=0.01)
    half = objectives.objective_gradient("nce", R / 2, objectives.log_partition(R / 2), float(R))
    assert np.hypot(*half) == pytest.approx(slope, rel=0.02)


def test_the_condition_number_grows_like_the_sixth_power():
    ratios = [theory.nce_curvature(R).condition_number * 16 * math.pi**2 / R**6 for R in (20.0, 40.0, 70.0)]
    assert abs(ratios[2] - 1) < 0.01
    assert abs(ratios[2] - 1) < abs(ratios[1] - 1) < abs(ratios[0] - 1)
    centred = theory.nce_curvature(70.0).centred_condition_number
    assert centred == pytest.approx(70**2 / math.pi**2, rel=0.01)


@settings(max_examples=20)
@given(R=st.floats(-70, 70))
def test_the_curvature_bound_holds_is_attained_at_zero_and_sharp_far_away(R):
    found = theory.nce_curvature(R).log_smallest
    assert found <= math.log(float(theory.nce_curvature_bound(R))) + 1e-9
    assert math.exp(theory.nce_curvature(0.0).log_smallest) == pytest.approx(float(theory.nce_curvature_bound(0.0)))
    assert theory.nce_curvature(70.0).log_smallest == pytest.approx(
        math.log(float(theory.nce_curvature_bound(70.0))), abs=0.01
    )


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_survive_fuzzing(bound):
    report = bound.check(1_000)
    assert report.holds, report
    assert report.worst_ratio > 0.9


@settings(max_examples=15)
@given(theta=st.floats(-3, 3), s=st.floats(0.75, 6))
def test_the_second_moment_is_the_integral_of_squared_density_over_noise(theta, s):
    peak = 2 * theta / (2 - s**-2)
    width = 12 / math.sqrt(2 - s**-2)
    integral = integrate.quad(
        lambda x: math.exp(2 * _log_normal(x, theta, 1) - _log_normal(x, 0, s)),
        peak - width,
        peak + width,
        epsabs=0,
        epsrel=1e-11,
        limit=200,
    )[0]
    assert float(theory.importance_second_moment(theta, s)) == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize(
    ("theta", "s", "expected"), [(2, 2, 2.677), (4, 4, 4.815), (4, 2, 14.87), (4, 1, math.exp(16)), (0, 1, 1.0)]
)
def test_reference_values_of_the_second_moment(theta, s, expected):
    assert float(theory.importance_second_moment(float(theta), float(s))) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=20)
@given(s=st.floats(0.01, 0.7071))
def test_narrow_noise_has_an_infinite_second_moment(s):
    assert theory.importance_second_moment(1.0, s) == np.inf


def test_the_second_moment_is_what_weights_show():
    rng = np.random.default_rng(0)
    for theta, s in ((2.0, 2.0), (4.0, 4.0)):
        z = s * rng.standard_normal(400_000)
        w = np.exp(_log_normal(z, theta, 1) - _log_normal(z, 0, s))
        assert (w**2).mean() / w.mean() ** 2 == pytest.approx(
            float(theory.importance_second_moment(theta, s)), rel=0.02
        )


@settings(max_examples=20)
@given(theta=st.floats(-20, 20))
def test_no_scale_is_better_than_the_optimal_one(theta):
    best = float(theory.optimal_noise_scale(theta))
    at_best = float(theory.importance_second_moment(theta, best))
    for factor in (0.9, 0.999, 1.001, 1.1):
        assert at_best <= float(theory.importance_second_moment(theta, best * factor)) * (1 + 1e-12)


def test_iterations_of_gradient_descent():
    assert theory.gd_iterations("mle", 4.0, 0.5, max_steps=100) == 6  # 4/2^5 = 0.125, 4/2^6 < 0.1
    assert theory.gd_iterations("mle", 4.0, np.array([2.5, 1.0]), max_steps=100).tolist() == [np.inf, 1.0]
    assert theory.gd_iterations("nce", 0.05, 0.5, max_steps=100) == 0


def test_a_visit_is_no_arrival():
    gradient = objectives.objective_gradient("nce", 0.0, objectives.log_partition(0.0), 4.0)
    assert 2 * gradient[0] == pytest.approx(-4)  # one step of size 2 lands on theta = R
    assert theory.gd_iterations("nce", 4.0, 2.0, max_steps=200) == np.inf


def test_descent_is_the_plain_loop():
    theta, c = 0.0, float(objectives.log_partition(0.0))
    inside = []
    for _ in range(150):
        slope = objectives.objective_gradient("nce", theta, c, 2.0)
        theta, c = theta - slope[0], c - slope[1]
        inside.append(abs(theta - 2) <= 0.1)
    expected = len(inside) - next(i for i, near in enumerate(reversed(inside)) if not near) + 1
    assert theory.gd_iterations("nce", 2.0, 1.0, max_steps=150) == expected


# the estimator -------------------------------------------------------------------------------------

batches = {"seed": st.integers(0, 2**31), "data": st.integers(1, 20), "noise": st.integers(1, 20)}


def _gaussian(seed, data, noise, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    x, z = (torch.randn(n, generator=generator, dtype=torch.float64).to(device, dtype) for n in (data, noise))
    theta = torch.tensor(0.7, dtype=dtype, device=device, requires_grad=True)
    return x, z, theta, theta * x - x**2 / 2, theta * z + math.log(2 * math.pi) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=20)
@given(**batches, gamma=st.floats(0.01, 1))
def test_the_gradient_of_the_loss_is_the_ratio_with_the_tracked_normaliser(dtype, seed, data, noise, gamma):
    x, z, theta, log_p0, log_w = _gaussian(seed, data, noise, dtype)
    tracker = neural.LogPartitionTracker(gamma)
    tracker.update(torch.zeros(3, dtype=dtype))  # u = 1
    loss = neural.meco_loss(log_p0, log_w, tracker)
    weights = log_w.detach().double().exp()
    u = (1 - gamma) + gamma * weights.mean()
    expected = -x.double().mean() + (weights * z.double()).mean() / u
    torch.testing.assert_close(
        torch.autograd.grad(loss, theta)[0].double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype]
    )
    torch.testing.assert_close(loss.detach().double(), -log_p0.detach().double().mean() + u.log(), rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(**batches)
def test_gamma_one_is_the_plug_in_ratio(seed, data, noise):
    _, _, theta, log_p0, log_w = _gaussian(seed, data, noise)
    tracker = neural.LogPartitionTracker(1.0)
    tracker.update(torch.full((2,), 5.0, dtype=torch.float64))
    plain = torch.logsumexp(log_w, 0) - math.log(noise) - log_p0.mean()
    loss = neural.meco_loss(log_p0, log_w, tracker)
    torch.testing.assert_close(loss, plain, rtol=1e-12, atol=1e-12)
    (mine,) = torch.autograd.grad(loss, theta, retain_graph=True)
    for a, b in ((mine, torch.autograd.grad(plain, theta)[0]),):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@settings(max_examples=20)
@given(
    weights=st.lists(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3), min_size=1, max_size=6),
    gamma=st.floats(0.01, 1),
)
def test_the_tracker_is_the_moving_average_of_mean_weights(weights, gamma):
    tracker = neural.LogPartitionTracker(gamma)
    expected = float(np.mean(weights[0]))
    for number, batch in enumerate(weights):
        if number:
            expected = (1 - gamma) * expected + gamma * float(np.mean(batch))
        log_u = tracker.update(torch.tensor(batch, dtype=torch.float64).log())
    assert float(log_u.exp()) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), gamma=st.floats(0.01, 0.99))
def test_storm_is_its_recursion_and_never_below_its_floor(seed, gamma):
    generator = torch.Generator().manual_seed(seed)
    tracker, u = neural.LogPartitionTracker(gamma, "storm"), None
    for _ in range(6):
        now, before = torch.randn(2, 4, generator=generator, dtype=torch.float64) * 2
        log_u = tracker.update(now, before)
        mean_now, mean_before = float(now.exp().mean()), float(before.exp().mean())
        u = mean_now if u is None else max(mean_now + (1 - gamma) * (u - mean_before), gamma * mean_now)
        assert float(log_u.exp()) == pytest.approx(u, rel=1e-7)


def test_storm_is_exact_where_the_parameters_stand_still():
    tracker = neural.LogPartitionTracker(0.2, "storm")
    w = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [float(tracker.update(batch, batch).exp()) for batch in w]
    ema = neural.LogPartitionTracker(0.2)
    np.testing.assert_allclose(values, [float(ema.update(batch).exp()) for batch in w], rtol=1e-10)


def test_a_tracker_survives_saving():
    tracker = neural.LogPartitionTracker(0.3, shape=(2,))
    batch = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    tracker.update(batch)
    again = neural.LogPartitionTracker(0.3, shape=(2,))
    again.load_state_dict(tracker.state_dict())
    torch.testing.assert_close(again.update(2 * batch), tracker.update(2 * batch))


def test_models_of_an_ensemble_are_what_they_are_alone():
    generator = torch.Generator().manual_seed(0)
    log_p0, log_w = torch.randn(3, 4, generator=generator), torch.randn(3, 5, generator=generator)
    gamma = torch.tensor([0.1, 0.5, 1.0])
    together = neural.LogPartitionTracker(gamma, shape=(3,))
    alone = [neural.LogPartitionTracker(float(g)) for g in gamma]
    for factor in (1.0, 2.0, -1.0):
        losses = neural.meco_loss(log_p0, factor * log_w, together)
        each = [neural.meco_loss(a, factor * b, t) for a, b, t in zip(log_p0, log_w, alone, strict=True)]
        torch.testing.assert_close(losses, torch.stack(each))
    for loss in (neural.nce_loss, neural.ence_loss, neural.clipped_fraction):
        torch.testing.assert_close(
            loss(log_p0, log_w), torch.stack([loss(a, b) for a, b in zip(log_p0, log_w, strict=True)])
        )


def test_a_weight_beyond_the_limit_still_pulls_linearly():
    tracker = neural.LogPartitionTracker(0.1)
    tracker.update(torch.zeros(1, dtype=torch.float64))
    log_w = torch.tensor([40.0], dtype=torch.float64, requires_grad=True)
    u = 0.9 + 0.1 * math.exp(40.0)
    assert 40 - math.log(u) < 20  # the average catches up at once: no limit is met
    loss = neural.meco_loss(torch.zeros(1, dtype=torch.float64), log_w, tracker, max_exponent=1.0)
    (gradient,) = torch.autograd.grad(loss, log_w)
    assert float(gradient) == pytest.approx(math.e)  # exp(1), where exp(40)/u would be 10


def test_no_weight_at_all_is_refused_and_some_are_enough(unchecked):
    tracker = neural.LogPartitionTracker()
    with pytest.raises(ValueError, match="log_w"):
        tracker.update(torch.full((4,), -math.inf))
    assert float(tracker.update(torch.tensor([-math.inf, 0.0])).exp()) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="log_w_previous"):
        neural.LogPartitionTracker(0.1, "storm").update(torch.zeros(3))
    for gamma in (0.0, -0.1, 1.1, math.nan, torch.tensor([0.5, 0.0])):
        with pytest.raises(ValueError, match="gamma"):
            neural.LogPartitionTracker(gamma)


# losses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 30), nu=st.floats(0.1, 10))
def test_nce_is_binary_cross_entropy_of_data_against_noise(dtype, seed, n, nu):
    h = 3 * torch.randn(2, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    targets = torch.stack([torch.ones(n, dtype=dtype), torch.zeros(n, dtype=dtype)])
    weight = torch.tensor([[1.0], [nu]], dtype=dtype).expand(2, n)
    peer = torch.nn.functional.binary_cross_entropy_with_logits(h - math.log(nu), targets, weight, reduction="sum") / n
    torch.testing.assert_close(neural.nce_loss(h[0], h[1], nu), peer, rtol=1e-5, atol=1e-6)


def test_nce_and_ence_of_large_samples_are_the_exact_objectives():
    generator = torch.Generator().manual_seed(0)
    x, z = (
        1 + torch.randn(200_000, generator=generator, dtype=torch.float64),
        torch.randn(200_000, generator=generator, dtype=torch.float64),
    )
    theta, c = 0.6, 1.3
    h = [theta * v + math.log(2 * math.pi) / 2 - c for v in (x, z)]
    nce, ence = neural.nce_loss(h[0], h[1]), neural.ence_loss(h[0], h[1])
    assert float(nce) == pytest.approx(float(objectives.objective_value("nce", theta, c, 1.0)), abs=5e-3)
    assert float(ence) == pytest.approx(float(objectives.objective_value("ence", theta, c, 1.0)), abs=5e-3)


def test_nce_keeps_small_exponentials():
    h = torch.tensor([30.0], dtype=torch.float64)
    assert float(neural.nce_loss(h, -h)) == pytest.approx(2 * math.exp(-30), rel=1e-12)


def test_ence_goes_on_linearly_and_says_how_often():
    h = torch.tensor([-22.0, 0.0], dtype=torch.float64, requires_grad=True)
    loss = neural.ence_loss(h, h)
    (gradient,) = torch.autograd.grad(loss, h)
    assert float(loss.detach()) == pytest.approx((math.exp(10) * 2 + 1 + math.exp(-11) + 1) / 4)
    assert float(gradient[0]) == pytest.approx(-(math.exp(10) - math.exp(-11)) / 8)
    assert float(neural.clipped_fraction(h.detach(), h.detach())) == 0.25
    assert float(neural.clipped_fraction(-h.detach(), h.detach())) == 0.0


def test_normalized_steps_have_their_length_together_or_per_model():
    a, b = (torch.randn(3, 2, generator=torch.Generator().manual_seed(k)).requires_grad_() for k in (1, 2))
    for per_model in (False, True):
        for parameter in (a, b):
            parameter.grad = parameter.detach().clone()
        for gradient in (a.grad, b.grad):
            assert gradient is not None
            gradient[2] = 0.0
        before = [p.detach().clone() for p in (a, b)]
        neural.normalized_gradient_step([a, b], 0.1, per_model=per_model)
        moved = torch.cat([p.detach() - old for p, old in zip((a, b), before, strict=True)], dim=1)
        if per_model:
            torch.testing.assert_close(moved.norm(dim=1), torch.tensor([0.1, 0.1, 0.0]))
        else:
            assert float(moved.norm()) == pytest.approx(0.1, rel=1e-5)
        assert not moved[2].any()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), inside=st.integers(1, 30), outside=st.integers(1, 30))
def test_auroc_is_scikit_learns_with_ties(seed, inside, outside):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, inside).astype(float), rng.integers(-2, 4, outside).astype(float)
    expected = roc_auc_score(np.r_[np.ones(inside), np.zeros(outside)], np.r_[a, b])
    assert neural.ood_auroc(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, abs=1e-12)


# networks and densities ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", DENSITIES)
def test_a_planar_density_integrates_to_one_and_is_that_of_its_sampler(name):
    box = [(-5.5, 5.5), (-5.5, 5.5)]
    total = float(energy.log_partition_grid(lambda x: planar_log_density(name, x), box, 440))
    assert total == pytest.approx(0, abs=2e-3)
    x = planar_sample(name, 40_000, torch.Generator().manual_seed(0))
    assert float(x.abs().max()) < 5.5
    # Counts in cells against the density's integral over them.
    centres = torch.cartesian_prod(*[torch.arange(440) * 0.025 - 5.4875] * 2)
    mass = (planar_log_density(name, centres).exp() * 0.025**2).reshape(11, 40, 11, 40).sum((1, 3))
    cells = torch.floor(x + 5.5).long()
    counts = torch.bincount(cells[:, 0] * 11 + cells[:, 1], minlength=121).reshape(11, 11)
    error = (counts / len(x) - mass).abs()
    assert bool((error <= 5 * (mass / len(x)).sqrt() + 2e-3).all())


def test_grid_normalisers_are_exact_for_gaussians_of_every_dimension():
    for dims in (1, 2, 3):
        total = energy.log_partition_grid(
            lambda x: torch.stack([-x.square().sum(-1) / 2, -x.square().sum(-1) / 8]), [(-20, 20)] * dims, 60
        )
        np.testing.assert_allclose(total.numpy(), [dims * math.log(2 * math.pi * v) / 2 for v in (1, 4)], rtol=1e-5)


def test_noise_is_the_normal_law():
    noise = energy.GaussianNoise(torch.tensor([0.5, 3.0]), 2)
    x = noise.sample(4, torch.Generator().manual_seed(0))
    expected = [torch.distributions.Normal(0, s).log_prob(x[i]).sum(-1) for i, s in enumerate((0.5, 3.0))]
    torch.testing.assert_close(noise.log_prob(x), torch.stack(expected))
    single = energy.GaussianNoise(3.0, 2)
    torch.testing.assert_close(single.log_prob(x[1]), expected[1])
    assert single.sample(4, torch.Generator().manual_seed(0)).shape == (4, 2)


def test_adam_per_model_is_torchs_adam(device):
    start = 0.5 + torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(device)
    ours = torch.nn.Parameter(start.clone())
    theirs = [torch.nn.Parameter(start[i].clone()) for i in range(2)]
    rates = torch.tensor([0.1, 0.01], device=device)
    adam = energy.EnsembleAdam([ours], rates, clip_norm=1.0)
    peers = [torch.optim.Adam([p], float(r)) for p, r in zip(theirs, rates, strict=True)]
    for _ in range(5):
        adam.step((ours**4).sum())
        for parameter, peer in zip(theirs, peers, strict=True):
            peer.zero_grad()
            (parameter**4).sum().backward()
            torch.nn.utils.clip_grad_norm_([parameter], 1.0)
            peer.step()
    torch.testing.assert_close(ours.detach(), torch.stack([p.detach() for p in theirs]), rtol=1e-4, atol=1e-5)


def test_networks_see_shared_points_as_their_own():
    network = energy.EnergyEnsemble(2, 3, 4, torch.Generator().manual_seed(0), frequencies=5)
    with torch.no_grad():
        network.last.bias[1] += 1
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    together = network(x.expand(2, 6, 3))
    torch.testing.assert_close(network(x), together)
    torch.testing.assert_close(together[1] - together[0], torch.ones(6))


@pytest.mark.parametrize(
    ("method", "gamma"), [("meco", 0.1), ("storm", 0.5), ("plug-in", 0.1), ("nce", 0.1), ("ence", 0.1)]
)
def test_every_method_learns_a_shifted_gaussian_and_its_normaliser(method, gamma, device):
    generator = torch.Generator(device).manual_seed(0)
    data = 0.7 * torch.randn(4000, 1, generator=generator, device=device) + 1
    noise = energy.GaussianNoise(2.0, 1)
    network = energy.EnergyEnsemble(2, 1, 16, generator)
    fit = neural.fit_unnormalized(
        network, data, noise, method, steps=200, learning_rate=0.03, gamma=gamma, generator=generator
    )

    def log_p0(x):
        return network(x) + noise.log_prob(x)

    log_z = energy.log_partition_grid(log_p0, [(-10, 10)], 400, device=device)
    with torch.no_grad():
        nll = float((log_z - log_p0(data).mean(1))[0])
    assert fit.losses.shape == (200, 2)
    assert nll < math.log(0.7 * math.sqrt(2 * math.pi * math.e)) + 0.05
    torch.testing.assert_close(fit.log_partition, log_z, rtol=0, atol=0.3)


def test_methods_side_by_side_are_what_they_are_alone():
    data = planar_sample("rings", 200, torch.Generator().manual_seed(0))
    noise = energy.GaussianNoise(2.0, 2)
    methods = ["meco", "nce", "storm", "plug-in", "ence", "meco"]
    gammas = torch.tensor([0.1, 1.0, 0.5, 0.1, 1.0, 0.9])

    def train(words, gamma):
        network = energy.EnergyEnsemble(len(words), 2, 8, torch.Generator().manual_seed(1), frequencies=4)
        return neural.fit_unnormalized(
            network,
            data,
            noise,
            words,
            steps=6,
            batch_size=16,
            learning_rate=0.01,
            gamma=gamma,
            generator=torch.Generator().manual_seed(2),
        )

    together = train(methods, gammas)
    for number, method in enumerate(methods):
        alone = train([method], float(gammas[number]))
        torch.testing.assert_close(together.losses[:, number], alone.losses[:, 0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.log_partition[number], alone.log_partition[0], rtol=1e-4, atol=1e-5)


def test_gamma_of_a_fit_is_one_number_or_one_per_model(unchecked):
    generator = torch.Generator().manual_seed(0)
    network, noise = energy.EnergyEnsemble(2, 1, 4, generator), energy.GaussianNoise(1.0, 1)
    for gamma in (0.0, 1.1, torch.tensor([0.1]), torch.tensor([0.1, 0.0]), torch.tensor([0.1, math.nan])):
        with pytest.raises(ValueError, match="gamma"):
            neural.fit_unnormalized(network, torch.ones(3, 1), noise, steps=1, gamma=gamma, generator=generator)


@pytest.mark.parametrize(
    ("name", "change"),
    [("planar", {"gammas": (0.1,)}), ("planar", {"rates": (0.01,)}), ("outliers", {"scales": (1.0, 2.0)}),
     ("stochastic", {"gammas": (0.1,)}), ("stochastic", {"nce_rates": (0.01,)})],
)  # fmt: skip
def test_every_method_is_given_as_many_settings(name, change):
    experiment = discovery.load("density/unnormalized_mle").experiments[name]
    with pytest.raises(ValueError, match="as many settings"):
        experiment.simulate(dataclasses.replace(experiment.tiny, **change), 0, "cpu")


def test_stochastic_descent_takes_the_steps_of_the_losses():
    """The closed gradients of the simulation against autograd through the library's losses."""
    theta = torch.tensor([[0.4], [1.1]], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([[0.9], [0.2]], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([[2.0], [3.0]], dtype=torch.float64)
    x, z = torch.randn(2, 2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_q = [-((v / s) ** 2) / 2 - s.log() - math.log(2 * math.pi) / 2 for v in (x, z)]
    log_p0 = [theta * v - v**2 / 2 for v in (x, z)]
    h = [p - c - q for p, q in zip(log_p0, log_q, strict=True)]
    by_loss = torch.autograd.grad(neural.nce_loss(h[0], h[1]).sum(), (theta, c), retain_graph=True)
    ours = gaussian_descent._contrastive_direction(theta.detach(), c.detach(), x, z, s)
    for a, b in zip(ours, by_loss, strict=True):
        torch.testing.assert_close(a, -b)
    trackers = [neural.LogPartitionTracker(0.3, shape=(2,)) for _ in range(2)]
    loss = neural.meco_loss(log_p0[0], log_p0[1] - log_q[1], trackers[0]).sum()
    direction = gaussian_descent._tracked_direction(theta.detach(), x.mean(1, keepdim=True), z, s, trackers[1])
    torch.testing.assert_close(direction, -torch.autograd.grad(loss, theta)[0])


def test_every_claim_has_a_judge_that_can_say_each_thing():
    for claim in discovery.load("density/unnormalized_mle").claims:
        assert claim.judge(claim.example()).outcome == "supported", claim.id
        assert claim.judge(claim.control(claim.example())).outcome == "refuted", claim.id
