"""Bad pair mining: losses per pair, memory, flags, weights, the linear model, capacity, series and injected pairs."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from neural.contrastive import bad_pair_mining as mining
from neural.contrastive import time_series
from neural.contrastive.dcl import info_nce_loss
from neural.contrastive.japanese_vowels import japanese_vowels, resampled
from theory.contrastive import bad_pair_mining as theory
from theory.contrastive.dcl import info_nce_loss as theory_info_nce

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def _views(samples, dim, seed, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64) + 0.5
    return z1.to(device, dtype).requires_grad_(), z2.to(device, dtype).requires_grad_()


def _by_loops(z1, z2, tau):
    """The mean of both anchors' −log(e^p / (e^p + sum of the negatives)), one pair at a time."""
    u = torch.nn.functional.normalize(torch.cat([z1, z2]).detach().double(), dim=1).tolist()
    n = len(z1)
    losses = [0.0] * n
    for i in range(2 * n):

        def score(j, i=i):
            return math.exp(math.fsum(a * b for a, b in zip(u[i], u[j], strict=True)) / tau)

        positive = score((i + n) % (2 * n))
        losses[i % n] -= math.log(positive / math.fsum(score(j) for j in range(2 * n) if j != i)) / 2
    return np.array(losses)


views = {"samples": st.integers(2, 20), "dim": st.integers(1, 16), "seed": st.integers(0, 2**31)}
temperatures = st.floats(0.03, 2.0)


@settings(max_examples=25, deadline=None)
@given(**views, tau=temperatures)
def test_the_loss_per_pair_is_its_definition_written_out(samples, dim, seed, tau):
    z1, z2 = _views(samples, dim, seed)
    each = mining.nt_xent_per_pair(z1, z2, tau).detach().numpy()
    np.testing.assert_allclose(each, _by_loops(z1, z2, tau), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=25, deadline=None)
@given(**views, tau=temperatures)
def test_losses_per_pair_are_theorys_and_average_to_nt_xent(dtype, samples, dim, seed, tau):
    z1, z2 = _views(samples, dim, seed, dtype)
    each = mining.nt_xent_per_pair(z1, z2, tau)
    assert each.dtype == dtype
    twin = theory_info_nce(z1.detach().double().numpy(), z2.detach().double().numpy(), tau).mean(0)
    tolerance = TOLERANCE[dtype] / tau
    np.testing.assert_allclose(each.detach().numpy(), twin, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        mining.nt_xent_per_pair(z1, z2, tau, reduction="mean"), info_nce_loss(z1, z2, tau), rtol=1e-5, atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(**views, tau=temperatures, chunk=st.integers(1, 50))
def test_chunks_change_neither_losses_nor_gradients(samples, dim, seed, tau, chunk):
    z1, z2 = _views(samples, dim, seed)
    weights = torch.linspace(-1, 2, samples, dtype=torch.float64)
    results = []
    for size in (None, chunk):
        each = mining.nt_xent_per_pair(z1, z2, tau, chunk_size=size)
        results.append((each.detach(), *torch.autograd.grad((weights * each).sum(), (z1, z2))))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked, atol=1e-11, rtol=1e-9)


def test_stacked_problems_are_the_problems_one_by_one():
    z = [_views(6, 4, seed) for seed in range(3)]
    stacked = mining.nt_xent_per_pair(torch.stack([a for a, _ in z]), torch.stack([b for _, b in z]), 0.3)
    for row, (a, b) in zip(stacked, z, strict=True):
        torch.testing.assert_close(row, mining.nt_xent_per_pair(a, b, 0.3))


def test_half_precision_and_autocast_compute_in_float32():
    z1, z2 = _views(16, 8, 2, torch.float32)
    exact = mining.nt_xent_per_pair(z1, z2, 0.05)
    for chunk in (None, 8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(
                mining.nt_xent_per_pair(z1, z2, 0.05, chunk_size=chunk), exact, atol=1e-4, rtol=1e-5
            )
    assert mining.nt_xent_per_pair(z1.bfloat16(), z2.bfloat16(), 0.05).dtype == torch.float32


@pytest.mark.parametrize("chunk", [None, 3])
def test_zero_rows_have_finite_losses_and_no_gradient(chunk):
    z1, z2 = torch.zeros(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    gradients = torch.autograd.grad(mining.nt_xent_per_pair(z1, z2, chunk_size=chunk).sum(), (z1, z2))
    assert all(torch.isfinite(g).all() for g in gradients)
    assert (gradients[0] == 0).all()


def test_reductions_and_the_module_agree_with_the_function(device):
    z1, z2 = _views(6, 4, 4, torch.float32, device)
    each = mining.nt_xent_per_pair(z1, z2, 0.3)
    torch.testing.assert_close(each.mean(), mining.nt_xent_per_pair(z1, z2, 0.3, reduction="mean"))
    torch.testing.assert_close(each.sum(), mining.NTXentPerPair(0.3, chunk_size=5, reduction="sum")(z1, z2))
    torch.testing.assert_close(each, mining.NTXentPerPair(0.3)(z1, z2))


@pytest.mark.parametrize("package", ["lightly", "pytorch_metric_learning"])
def test_the_mean_is_the_peers_nt_xent(package):
    pytest.importorskip(package)
    from tests.benchmarks.measured_calls import peer_loss

    z1, z2 = _views(33, 16, 0)
    ours, theirs = (
        mining.nt_xent_per_pair(z1, z2, 0.1, chunk_size=8, reduction="mean"),
        peer_loss(package, "info_nce")(z1, z2),
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)  # peers add a small number to their norms
    for mine, other in zip(torch.autograd.grad(ours, (z1, z2)), torch.autograd.grad(theirs, (z1, z2)), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-9)


# memory -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), pairs=st.integers(2, 30), epochs=st.integers(1, 8), ramp=st.booleans())
def test_sums_and_counts_remember_what_lists_of_losses_do(seed, pairs, epochs, ramp):
    rng = np.random.default_rng(seed)
    memory, lists = mining.PairMemory(pairs, ramp, epochs=epochs), [[] for _ in range(pairs)]
    for _ in range(epochs):
        order = rng.permutation(pairs)[: rng.integers(1, pairs + 1)]
        for part in np.array_split(order, 2):
            if len(part) == 0:
                continue
            losses = rng.exponential(3.0, len(part))
            memory.update(torch.tensor(part), torch.tensor(losses))
            for i, loss in zip(part, losses, strict=True):
                lists[i].append(loss)
    factor = [[(1 + e) / epochs if ramp else 1.0 for e in range(len(each))] for each in lists]
    expected = [np.mean(np.multiply(f, each)) if each else np.nan for f, each in zip(factor, lists, strict=True)]
    np.testing.assert_allclose(memory.behaviour().numpy(), expected, rtol=1e-12)


def test_a_ramp_scales_a_constant_loss_as_predicted():
    memory = mining.PairMemory(1, ramp=True, epochs=80)
    for _ in range(50):
        memory.update(torch.tensor([0]), torch.tensor([2.0]))
    assert memory.behaviour().item() == pytest.approx(2 * theory.ramp_scale(50, 80), rel=1e-12)


def test_a_stacked_memory_keeps_one_row_per_network():
    memory, index = mining.PairMemory(5, stack=(2,)), torch.tensor([3, 1])
    memory.update(index, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    torch.testing.assert_close(
        memory.behaviour()[:, index], torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    )
    assert memory.behaviour()[:, [0, 2, 4]].isnan().all()


def test_memory_needs_a_history():
    with pytest.raises(ValueError, match="history"):
        mining.PairMemory(3).behaviour()


def test_memory_carries_no_gradient():
    memory, loss = mining.PairMemory(2), torch.ones(2, requires_grad=True)
    memory.update(torch.tensor([0, 1]), 2 * loss)
    assert not memory.behaviour().requires_grad


# flags ------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-5, 5, width=32) | st.just(math.nan), min_size=1, max_size=30).filter(lambda m: not all(map(math.isnan, m))),
    st.floats(0.3, 3), st.floats(0.3, 3), st.booleans(),
)  # fmt: skip
def test_flags_are_thresholds_around_numpys_statistics(values, low, high, robust):
    m = np.array(values)
    flags = mining.mine_bad_pairs(torch.tensor(m), low, high, robust)
    mu = np.nanmedian(m) if robust else np.nanmean(m)
    sigma = np.nanmedian(np.abs(m - mu)) / 0.6744897501960817 if robust else np.nanstd(m)
    assert flags.mu.item() == pytest.approx(mu, abs=1e-12)
    assert flags.sigma.item() == pytest.approx(sigma, rel=1e-9, abs=1e-9)
    if sigma < 1e-6:
        return
    for name, distance in (("noisy", (mu - low * sigma) - m), ("faulty", m - (mu + high * sigma))):
        flagged = getattr(flags, name).numpy()
        clear = ~(np.abs(distance) < 1e-9) & ~np.isnan(m)
        np.testing.assert_array_equal(flagged[clear], (distance >= 0)[clear])
        assert not flagged[np.isnan(m)].any()


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.7])
def test_equal_losses_flag_nobody_and_leave_weights_at_one(robust, dtype, value):
    m = torch.full((37,), value, dtype=dtype)
    flags = mining.mine_bad_pairs(m, 0.5, 0.5, robust)
    assert not flags.noisy.any()
    assert not flags.faulty.any()
    weights = mining.gaussian_pair_weights(m, torch.ones(37, dtype=torch.bool), flags.mu, flags.sigma)
    assert (weights == 1).all()


def test_rows_of_stacked_losses_are_flagged_each_by_themselves():
    m = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor(
        [[1.0], [2.0], [9.0]]
    )
    for robust in (False, True):
        together = mining.mine_bad_pairs(m, 1.0, 1.5, robust)
        for row, alone in enumerate(mining.mine_bad_pairs(each, 1.0, 1.5, robust) for each in m):
            for whole, part in zip(together, alone, strict=True):
                torch.testing.assert_close(whole[row], part)


def test_median_statistics_find_noisy_pairs_that_faulty_ones_hide():
    generator = torch.Generator().manual_seed(0)
    m = torch.cat([torch.full((60,), 3.0), torch.full((30,), 2.0), torch.full((10,), 7.0)])
    m = m + 0.1 * torch.randn(100, generator=generator)
    by_mean, by_median = (mining.mine_bad_pairs(m, 1.5, 1.5, robust) for robust in (False, True))
    assert not by_mean.noisy.any()
    assert by_median.noisy[60:90].float().mean() > 0.9
    assert by_median.faulty[90:].all()


# weights ----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 4), st.floats(-3, 3), st.integers(0, 2**31))
def test_weights_lie_in_the_unit_interval_and_are_one_off_the_flags(sigma, mu, seed):
    generator = torch.Generator().manual_seed(seed)
    loss = mu + 3 * sigma * torch.randn(40, generator=generator, dtype=torch.float64)
    mask = torch.rand(40, generator=generator) < 0.5
    density = torch.exp(-((loss - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    expected = {"gauss": density * sigma * math.sqrt(2 * math.pi), "pdf": density, "clipped_pdf": density.clamp_max(1)}
    for transform, values in expected.items():
        weights = mining.gaussian_pair_weights(loss, mask, mu, sigma, transform)
        torch.testing.assert_close(weights, torch.where(mask, values, 1.0), rtol=1e-9, atol=1e-300)
        if transform != "pdf":
            assert weights.min() >= 0
            assert weights.max() <= 1


def test_the_density_exceeds_one_just_where_predicted():
    radius = theory.pdf_excess_radius(0.1)
    loss = 2 + torch.tensor([0.0, radius - 1e-6, radius + 1e-6], dtype=torch.float64)
    weights = mining.gaussian_pair_weights(loss, torch.ones(3, dtype=torch.bool), 2.0, 0.1, "pdf")
    assert weights[0].item() == pytest.approx(3.98942280401, rel=1e-10)
    assert (weights > 1).tolist() == [True, True, False]
    assert theory.pdf_excess_radius(1 / math.sqrt(2 * math.pi)) == pytest.approx(0, abs=1e-6)


# the wrapper ------------------------------------------------------------------------------------


def test_mining_is_memory_flags_and_weights_step_by_step():
    generator = torch.Generator().manual_seed(0)
    losses = 3 + torch.randn(6, 20, generator=generator).double()
    losses[:, :2] -= 4
    wrapped = mining.DynamicBadPairMining(lambda x: x, 20, 2, beta_np=1.5, beta_fp=2.0)
    history: list[torch.Tensor] = []
    for epoch in range(6):
        wrapped.start_epoch()
        flags = None if epoch < 2 else mining.mine_bad_pairs(torch.stack(history).mean(0), 1.5, 2.0)
        for index in torch.randperm(20, generator=generator).split(5):
            expected = losses[epoch, index]
            if flags is not None:
                mask = (flags.noisy | flags.faulty)[index]
                expected = expected * mining.gaussian_pair_weights(expected, mask, flags.mu, flags.sigma)
            torch.testing.assert_close(wrapped(index, losses[epoch, index]), expected.mean())
        history.append(losses[epoch])
    assert wrapped.noisy[:2].all()
    torch.testing.assert_close(wrapped.memory.behaviour(), torch.stack(history).mean(0))


def test_weights_are_constants_of_the_gradient_and_scale_it():
    base = torch.tensor([0.0] + [3.0, 3.1, 2.9, 3.0] * 4, dtype=torch.float64, requires_grad=True)
    wrapped = mining.DynamicBadPairMining(lambda x: x, 17, 1, beta_np=2.0, beta_fp=2.0)
    for _ in range(2):
        wrapped.start_epoch()
        loss = wrapped(torch.arange(17), base)
    (gradient,) = torch.autograd.grad(loss, base)
    weights = mining.gaussian_pair_weights(base, wrapped.noisy | wrapped.faulty, wrapped.mu, wrapped.sigma)
    torch.testing.assert_close(gradient, weights / 17)
    assert gradient[0] < 1e-3 / 17


def test_state_survives_saving_and_evaluation_is_not_remembered():
    wrapped = mining.DynamicBadPairMining(lambda x: x, 8, 1)
    losses = torch.tensor([0.0] + [3.0] * 6 + [9.0])
    for _ in range(2):
        wrapped.start_epoch()
        wrapped(torch.arange(8), losses)
    kept = save(wrapped.state_dict())
    restored = mining.DynamicBadPairMining(lambda x: x, 8, 1)
    restored.load_state_dict(load(kept))
    torch.testing.assert_close(restored(torch.arange(8), losses), wrapped(torch.arange(8), losses))
    before = copy.deepcopy(wrapped.memory.total)
    wrapped.eval()
    wrapped(torch.arange(8), losses)
    torch.testing.assert_close(wrapped.memory.total, before)


def test_a_warm_up_without_losses_is_named():
    wrapped = mining.DynamicBadPairMining(lambda x: x, 4, 1)
    wrapped.start_epoch()
    with pytest.raises(ValueError, match="history"):
        wrapped.start_epoch()


def test_mining_runs_on_the_device(device):
    wrapped = mining.DynamicBadPairMining(mining.nt_xent_per_pair, 8, 1, robust=True, device=device)
    z1, z2 = _views(8, 4, 0, torch.float32, device)
    for _ in range(3):
        wrapped.start_epoch()
        wrapped(torch.arange(8, device=device), z1, z2).backward()
    assert torch.isfinite(z1.grad).all()


# theory -----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 4), st.floats(0.05, math.pi / 2), st.floats(0, 1))
def test_the_missed_share_is_that_of_the_exact_moments(eta, rho, nu, angle, weight):
    signal = np.eye(6)[:, :2]
    noise = math.cos(angle) * signal + math.sin(angle) * np.eye(6)[:, 2:4]
    a, b = 1 - eta + weight * eta * rho**2, weight * eta * nu**2
    covariance = a * signal @ signal.T + b * noise @ noise.T
    values = np.linalg.eigvalsh(covariance)
    if values[-2] - values[-3] < 1e-6:
        return  # a tie: any basis is right
    found = theory.aligned_subspace(covariance, 2)
    expected = theory.signal_loss(eta, rho, nu, angle=angle, noisy_weight=weight)
    assert theory.subspace_loss(found, signal) == pytest.approx(float(expected), abs=1e-6)


@given(st.floats(0, 1), st.floats(0.05, 4), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.9))
def test_at_the_threshold_signal_and_noise_are_equally_strong(rho, nu, recall, weight, alarms):
    eta = theory.noisy_alignment_threshold(rho, nu, recall=recall, weight=weight, false_alarms=alarms)
    s, t = 1 - recall * (1 - weight), 1 - alarms * (1 - weight)
    if not 0 < eta < 1 - 1e-9:
        assert s * nu**2 <= s * rho**2 + 1e-9
        return
    assert (1 - eta) * t + eta * s * rho**2 == pytest.approx(eta * s * nu**2, rel=1e-9)


def test_the_threshold_is_the_sharp_step_and_not_the_scaled_one():
    eta = theory.noisy_alignment_threshold(0.3, 1.5)
    assert eta == pytest.approx(1 / (1.5**2 + 1 - 0.3**2))
    moved = theory.noisy_alignment_threshold(0.3, 1.5, recall=0.5)
    scaled = eta / 0.5
    between = (moved + scaled) / 2
    assert theory.signal_loss(np.array([0.99 * moved, between]), 0.3, 1.5, noisy_weight=0.5).tolist() == [0.0, 1.0]
    views = theory.linear_views(20_000, between, 0.3, 1.5, rng=np.random.default_rng(0))
    kept = np.where(views.noisy & (np.arange(20_000) % 2 == 0), 0.0, 1.0)
    found = theory.aligned_subspace(theory.cross_view_covariance(views.first, views.second, kept), 3)
    assert theory.subspace_loss(found, views.signal) > 0.95


def test_a_tie_is_one_half_and_overlap_softens_the_step():
    assert theory.signal_loss(1.0, 1.0, 1.0) == 0.5
    soft = theory.signal_loss(np.linspace(0, 1, 50), 0.3, 2.0, angle=1.0)
    assert (np.diff(soft) > 0).all()
    assert np.abs(np.diff(soft)).max() < 0.2


def test_augmentation_noise_averages_out_and_shared_noise_does_not():
    views = theory.linear_views(200_000, 0.2, 0.3, 2.0, dim=8, subspace=2, rng=np.random.default_rng(1))
    covariance = theory.cross_view_covariance(views.first, views.second)
    expected = (0.8 + 0.2 * 0.09) * views.signal @ views.signal.T + 0.2 * 4 * views.noise @ views.noise.T
    np.testing.assert_allclose(covariance, expected, atol=0.02)
    np.testing.assert_allclose(views.signal.T @ views.noise, 0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 0.4), st.floats(0.01, 0.4), st.floats(1, 3), st.floats(1, 3))
def test_three_values_attain_the_load(p, q, low, high):
    load = float(theory.flag_load(p, q, low, high))
    counts = np.round(np.array([p, q, 1 - p - q]) * 10_000).astype(int)
    p, q = counts[0] / counts.sum(), counts[1] / counts.sum()
    values = np.repeat([-low, high, (p * low - q * high) / (1 - p - q)], counts)
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.var() == pytest.approx(float(theory.flag_load(p, q, low, high)), rel=1e-9)
    flags = mining.mine_bad_pairs(torch.tensor(values), low * (1 - 1e-9), high * (1 - 1e-9))
    if load < 0.99:
        assert int(flags.noisy.sum()) >= counts[0]
        assert int(flags.faulty.sum()) >= counts[1]
    elif load > 1.01:
        assert int(flags.noisy.sum()) + int(flags.faulty.sum()) < counts[0] + counts[1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=40), st.floats(1, 3), st.floats(1, 3))
def test_no_losses_flag_more_pairs_than_the_capacity(values, low, high):
    flags = mining.mine_bad_pairs(torch.tensor(values, dtype=torch.float64), low, high)
    p, q = float(flags.noisy.double().mean()), float(flags.faulty.double().mean())
    assert p <= theory.flag_capacity(low) * (1 + 1e-9)
    assert q <= theory.flag_capacity(high) * (1 + 1e-9)
    if p + q < 1:
        assert theory.flag_load(p, q, low, high) <= 1 + 1e-9


def test_the_authors_thresholds_cannot_flag_a_tenth_and_more():
    assert theory.flag_capacity(3.0) == pytest.approx(0.1)
    assert theory.flag_load(0.15, 0.05, 2.0, 3.0) > 1
    assert theory.flag_load(0.3, 0.1, 1.5, 1.5) > 1


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold(bound):
    assert bound.check(20_000).holds


# series -----------------------------------------------------------------------------------------


def test_carriers_have_their_frequency_and_modulation():
    series, labels = time_series.carriers(300, noise=0.0, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(series[:, 0]).abs()
    assert (spectrum.argmax(1) == torch.tensor([3, 5, 8])[labels % 3]).all()
    envelope = series[:, 0].abs().unflatten(1, (8, 8)).amax(2)
    steadiness = envelope.std(1) / envelope.mean(1)
    assert steadiness[labels < 3].max() < steadiness[labels >= 3].min()
    assert set(labels.tolist()) == set(range(6))


def test_heartbeats_differ_by_class_and_are_finite():
    series, labels = time_series.heartbeats(400, noise=0.0, generator=torch.Generator().manual_seed(0))
    assert series.shape == (400, 2, 256)
    assert torch.isfinite(series).all()
    assert set(labels.tolist()) == set(range(6))
    depth = series[:, 0].amin(1)
    assert depth[labels == 4].mean() < depth[labels == 0].mean() - 0.1


def test_augmentations_keep_what_they_promise():
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(50, 3, 20, generator=generator)
    for changed in (
        time_series.permute_segments(series, 8, generator), time_series.shift_circularly(series, 1.0, generator),
    ):  # fmt: skip
        torch.testing.assert_close(changed.sort(-1).values, series.sort(-1).values)
        # Channels move together: the multiset of columns stays.
        keys = torch.tensor([1.0, 10.0, 100.0])[:, None]
        torch.testing.assert_close((changed * keys).sum(1).sort(-1).values, (series * keys).sum(1).sort(-1).values)
        assert not torch.equal(changed, series)
    factors = time_series.scale_channels(series, 0.2, generator) / series
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    assert float(factors[..., 0].std()) == pytest.approx(0.2, abs=0.05)
    assert float((time_series.jitter(series, 0.5, generator) - series).std()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(time_series.permute_segments(series, 1, generator), series)
    assert torch.equal(time_series.SeriesViews(0, 0, 0, 1)(series, generator), series)


def test_segments_are_cut_and_joined_whole():
    series = torch.arange(12.0).repeat(200, 1, 1)
    changed = time_series.permute_segments(series, 4, torch.Generator().manual_seed(0))
    breaks = (changed.diff(dim=-1) != 1).sum(-1)
    assert breaks.max() == 3
    assert breaks.min() == 0


@pytest.mark.parametrize("source", ["generated", "real"])
@pytest.mark.parametrize("fault", ["noise", "mismatch"])
def test_injected_pairs_are_what_the_truth_says(source, fault):
    generator = torch.Generator().manual_seed(0)
    if source == "generated":
        series = time_series.carriers(200, generator=generator)[0]
    else:
        vowels = japanese_vowels()
        series = resampled(vowels.series, vowels.lengths, 24)[:200]
        series = (series - series.mean((0, 2), keepdim=True)) / series.std((0, 2), keepdim=True)
    pairs = time_series.inject_bad_pairs(series, 0.3, 0.1, fault=fault, generator=generator)
    assert int(pairs.noisy.sum()) == 60
    assert int(pairs.faulty.sum()) == 20
    assert not (pairs.noisy & pairs.faulty).any()
    assert torch.equal(pairs.series[~pairs.noisy], series[~pairs.noisy])
    shared = pairs.series[pairs.noisy] - 0.3 * series[pairs.noisy]
    assert float(shared.std()) == pytest.approx(1.5, abs=0.1)
    first, second = pairs.views(torch.arange(200), time_series.SeriesViews(0, 0, 0, 1), generator)
    same = (first == second).flatten(1).all(1)
    assert torch.equal(same, ~pairs.faulty)


def test_encoders_of_an_ensemble_are_the_networks_alone_and_read_shapes():
    series = torch.randn(5, 2, 17, generator=torch.Generator().manual_seed(0))
    made = time_series.SeriesEncoderEnsemble(
        3, 2, generator=torch.Generator().manual_seed(1), widths=(4, 6), kernel=3, blocks=1
    )
    features, projections = made(series)
    assert features.shape == (3, 5, 6)
    assert projections.shape == (3, 5, 32)
    torch.testing.assert_close(features[0], features[2])
    alone = time_series.SeriesEncoderEnsemble(
        1, 2, generator=torch.Generator().manual_seed(1), widths=(4, 6), kernel=3, blocks=1
    )
    torch.testing.assert_close(alone(series)[1][0], projections[1])
    (loss_of_one,) = torch.autograd.grad(projections[1].square().sum(), made.encoder[0].weight)
    assert loss_of_one[1].abs().sum() > 0
    assert (loss_of_one[[0, 2]] == 0).all()


def test_a_full_condition_of_heartbeats_without_bad_pairs_runs():
    from simulations.contrastive.bad_pair_mining import Series, simulate_series

    tiny = Series(
        conditions=("heartbeats, share 0", "heartbeats, share 0.4"), samples=30, held_out=30, learning_rates=(0.01,),
        learning_rate=0.01, epochs=3, warmup=1, batch_size=12, widths=(4,), blocks=1, last_epochs=2,
    )  # fmt: skip
    table = simulate_series(tiny, 1, "cpu").table
    assert set(table["method"]) == {"plain", "mining", "oracle"}
    assert table.loc[table["faulty"] > 0, "auroc_faulty"].notna().all()


two = torch.ones(2, 3)
some = torch.ones(3, 1, 8)
g = torch.Generator()
BAD = [
    (mining.nt_xent_per_pair, (two, torch.ones(3, 3)), {}, "one shape"),
    (mining.nt_xent_per_pair, (two[:1], two[:1]), {}, "at least 2 rows"),
    (mining.nt_xent_per_pair, (two * math.nan, two), {}, "z1 must be finite"),
    (mining.nt_xent_per_pair, (two, two), {"temperature": 0.0}, "temperature must be"),
    (mining.nt_xent_per_pair, (two, two), {"reduction": "median"}, "reduction must be"),
    (mining.nt_xent_per_pair, (two[None], two[None]), {"chunk_size": 2}, "chunk_size must be None"),
    (mining.PairMemory, (0,), {}, "n must be"),
    (mining.PairMemory, (3, True), {}, "epochs must be given"),
    (mining.PairMemory(3).update, (torch.tensor([3]), torch.ones(1)), {}, "index must be in 0 … 2"),
    (mining.PairMemory(3).update, (torch.tensor([1, 1]), torch.ones(2)), {}, "one twice"),
    (mining.PairMemory(3).update, (torch.tensor([1]), torch.tensor([math.nan])), {}, "loss must be finite"),
    (mining.mine_bad_pairs, (torch.ones(3), 0.0, 1.0), {}, "beta_np must be"),
    (mining.mine_bad_pairs, (torch.ones(3), 1.0, -1.0), {}, "beta_fp must be"),
    (mining.mine_bad_pairs, (torch.full((3,), math.nan), 1.0, 1.0), {}, "m must be"),
    (mining.gaussian_pair_weights, (torch.ones(2), torch.ones(2), 0.0, 1.0), {}, "mask must be"),
    (mining.gaussian_pair_weights, (torch.ones(2), torch.ones(2).bool(), 0.0, -1.0), {}, "sigma must be"),
    (mining.gaussian_pair_weights, (torch.ones(2), torch.ones(2).bool(), 0.0, 1.0, "other"), {}, "transform must be"),
    (mining.DynamicBadPairMining, ("loss", 3, 1), {}, "criterion must be"),
    (mining.DynamicBadPairMining, (mining.nt_xent_per_pair, 3, 0), {}, "warmup must be"),
    (mining.DynamicBadPairMining(lambda: torch.ones(3), 3, 1), (torch.arange(2),), {}, "criterion must return"),
    (time_series.inject_bad_pairs, (some, 0.7, 0.5), {"generator": g}, "faulty must be"),
    (time_series.inject_bad_pairs, (some[:1], 0.1, 0.1), {"generator": g}, "at least 2"),
    (time_series.permute_segments, (some, 9, g), {}, "most must be at most"),
    (time_series.shift_circularly, (some, 1.5, g), {}, "largest must be"),
    (time_series.SeriesEncoderEnsemble, (1, 1), {"generator": g, "kernel": 4}, "kernel must be odd"),
    (theory.noisy_alignment_threshold, (1.5, 1.0), {}, "rho must be"),
    (theory.flag_load, (0.6, 0.5, 2.0, 2.0), {}, "sum to less than 1"),
    (theory.flag_load, (0.1, 0.1, 0.5, 1.0), {}, "product of at least 1"),
    (theory.aligned_subspace, (np.array([[1.0, 2.0], [0.0, 1.0]]), 1), {}, "symmetric"),
    (theory.subspace_loss, (np.ones((2, 1)), np.eye(2)), {}, "orthonormal"),
    (theory.ramp_scale, (9, 8), {}, "visits must be at most"),
    (theory.linear_views, (5, 0.1, 0.3, 1.0), {"dim": 5, "rng": np.random.default_rng(0)}, "dim must be"),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
