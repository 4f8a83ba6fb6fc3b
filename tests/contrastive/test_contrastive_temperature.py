"""The contrastive temperature: gradients, penalties, both limits, hard negatives, uniformity and tolerance, bad input."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from neural.contrastive import contrastive_temperature as neural
from neural.contrastive import evaluate, hard_negatives, stacked_probes
from neural.contrastive.dcl import info_nce_loss
from theory.contrastive import contrastive_temperature as theory

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def _similarities(anchors, negatives, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, anchors), rng.uniform(-1, 1, (anchors, negatives))


def _views(samples, dim, seed, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64) + 0.5
    return z1.to(device, dtype).requires_grad_(), z2.to(device, dtype).requires_grad_()


def _loss_by_loops(s_positive, s_negative, tau, kept):
    """The definition, one exponential at a time, over the largest negatives by sorting."""
    losses = []
    for p, row in zip(s_positive.tolist(), s_negative.tolist(), strict=True):
        mass = math.fsum(math.exp(s / tau) for s in sorted(row, reverse=True)[:kept])
        losses.append(-math.log(math.exp(p / tau) / (math.exp(p / tau) + mass)))
    return np.array(losses)


def _similarities_of_views(z1, z2):
    """Cosines of every anchor with its positive and with each negative, pair by pair."""
    u = F.normalize(torch.cat([z1, z2]).double(), dim=1).detach()
    n = len(z1)
    others = [[j for j in range(2 * n) if j % n != i % n] for i in range(2 * n)]
    positives = torch.stack([u[i] @ u[(i + n) % (2 * n)] for i in range(2 * n)])
    return positives, torch.stack([u[row] @ u[i] for i, row in enumerate(others)])


sets = {"anchors": st.integers(1, 6), "negatives": st.integers(1, 20), "seed": st.integers(0, 2**31)}
views = {"samples": st.integers(2, 16), "dim": st.integers(2, 12), "seed": st.integers(0, 2**31)}
temperatures = st.floats(0.03, 20.0)
fractions = st.one_of(st.none(), st.floats(0.01, 1.0))


@settings(max_examples=25)
@given(**sets, tau=temperatures, fraction=fractions)
def test_the_loss_is_its_definition(anchors, negatives, seed, tau, fraction):
    s_positive, s_negative = _similarities(anchors, negatives, seed)
    kept = negatives if fraction is None else max(1, round(fraction * negatives))
    expected = _loss_by_loops(s_positive, s_negative, tau, kept)
    np.testing.assert_allclose(
        theory.contrastive_loss(s_positive, s_negative, tau, fraction), expected, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        theory.contrastive_loss(s_positive, s_negative, tau, top_k=kept), expected, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=20)
@given(**sets, tau=temperatures, fraction=fractions, weight=st.floats(0.1, 3.0))
def test_theory_and_neural_agree(dtype, anchors, negatives, seed, tau, fraction, weight):
    arrays = [np.asarray(torch.tensor(s).to(dtype).double()) for s in _similarities(anchors, negatives, seed)]
    s_positive, s_negative = (torch.tensor(s).to(dtype) for s in arrays)
    tolerance = TOLERANCE[dtype] * max(1.0, 1 / tau)
    for ours, twin in (
        (
            neural.contrastive_loss(s_positive, s_negative, tau, fraction, reduction="none"),
            theory.contrastive_loss(*arrays, tau, fraction),
        ),
        (
            neural.simple_contrastive_loss(s_positive, s_negative, weight, fraction, reduction="none"),
            theory.simple_contrastive_loss(*arrays, weight, fraction),
        ),
        (
            neural.relative_penalties(s_negative, tau, fraction),
            theory.relative_penalties(arrays[1], tau, fraction),
        ),
        (neural.penalty_entropy(s_negative, tau, fraction), theory.penalty_entropy(arrays[1], tau, fraction)),
    ):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.numpy(), twin, rtol=tolerance, atol=tolerance)


@settings(max_examples=25)
@given(**sets, tau=st.floats(0.05, 20.0), fraction=fractions)
def test_closed_gradients_are_those_of_autograd_and_sum_to_zero(anchors, negatives, seed, tau, fraction):
    s_positive, s_negative = _similarities(anchors, negatives, seed)
    a, b = torch.tensor(s_positive, requires_grad=True), torch.tensor(s_negative, requires_grad=True)
    automatic = torch.autograd.grad(neural.contrastive_loss(a, b, tau, fraction, reduction="sum"), (a, b))
    by_positive, by_negative = theory.contrastive_loss_grad(s_positive, s_negative, tau, fraction)
    np.testing.assert_allclose(automatic[0].numpy(), by_positive, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(automatic[1].numpy(), by_negative, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(by_negative.sum(1), -by_positive, rtol=1e-10, atol=1e-14)
    penalties = theory.relative_penalties(s_negative, tau, fraction)
    np.testing.assert_allclose(penalties * -by_positive[:, None], by_negative, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(penalties.sum(1), 1, rtol=1e-12)


def test_the_gradient_of_an_easy_positive_keeps_its_relative_accuracy():
    """With a gap of 40 temperatures the gradient is e^−40 (1 + O(e^−40)), which 1 − P⁺ computed as such would lose."""
    by_positive, by_negative = theory.contrastive_loss_grad(np.array([1.0]), np.array([[-1.0]]), 0.05)
    assert by_positive[0] == pytest.approx(-20 * math.exp(-40), rel=1e-12)
    assert by_negative[0, 0] == pytest.approx(20 * math.exp(-40), rel=1e-12)


@settings(max_examples=25)
@given(**sets, fraction=fractions)
def test_entropy_does_not_fall_with_the_temperature_and_lies_between_its_limits(anchors, negatives, seed, fraction):
    _, s_negative = _similarities(anchors, negatives, seed)
    grid = np.geomspace(1e-3, 1e3, 25)
    entropies = np.array([theory.penalty_entropy(s_negative, tau, fraction) for tau in grid])
    assert np.diff(entropies, axis=0).min() >= -1e-12
    kept = negatives if fraction is None else max(1, round(fraction * negatives))
    assert entropies.max() <= math.log(kept) + 1e-12
    np.testing.assert_allclose(entropies[-1], math.log(kept), atol=1e-5)
    assert entropies[0].min() >= -1e-12


def test_entropy_at_tiny_temperatures_counts_the_nearest():
    s_negative = np.array([[0.9, 0.9, 0.9, 0.1], [0.5, 0.4, 0.3, 0.2]])
    np.testing.assert_allclose(theory.penalty_entropy(s_negative, 1e-4), [math.log(3), 0], atol=1e-12)
    assert torch.isfinite(neural.penalty_entropy(torch.tensor(s_negative, dtype=torch.float32), 1e-4)).all()


@settings(max_examples=25)
@given(**sets, tau=st.floats(0.1, 5.0), fraction=fractions)
def test_entropy_slope_is_the_central_difference(anchors, negatives, seed, tau, fraction):
    _, s_negative = _similarities(anchors, negatives, seed)
    step = 1e-5 / tau
    low, high = (theory.penalty_entropy(s_negative, 1 / (1 / tau + sign * step), fraction) for sign in (-1, 1))
    slope = theory.penalty_entropy_slope(s_negative, tau, fraction)
    np.testing.assert_allclose((high - low) / (2 * step), slope, rtol=1e-6, atol=1e-7)
    assert slope.max() <= 0


def test_entropy_slope_by_symbols():
    sympy = pytest.importorskip("sympy")
    b, *s = sympy.symbols("b s1 s2 s3", real=True)
    shares = [sympy.exp(b * each) / sum(sympy.exp(b * x) for x in s) for each in s]
    entropy = -sum(r * sympy.log(r) for r in shares)
    values = {b: sympy.Rational(7, 3), s[0]: sympy.Rational(1, 2), s[1]: -sympy.Rational(1, 5), s[2]: 0}
    exact = float(sympy.diff(entropy, b).subs(values))
    assert theory.penalty_entropy_slope(np.array([[0.5, -0.2, 0.0]]), 3 / 7)[0] == pytest.approx(exact, rel=1e-12)


@settings(max_examples=25)
@given(**sets, tau=st.floats(1e-6, 2.0))
def test_the_small_temperature_limit_is_within_its_bound(anchors, negatives, seed, tau):
    s_positive, s_negative = _similarities(anchors, negatives, seed)
    excess = tau * theory.contrastive_loss(s_positive, s_negative, tau)
    excess -= theory.small_temperature_limit(s_positive, s_negative)
    assert excess.min() >= -1e-12
    assert excess.max() <= theory.small_temperature_error_bound(negatives, tau) + 1e-12


def test_the_small_temperature_bound_is_attained_at_equal_similarities():
    loss = theory.contrastive_loss(np.array([0.3]), np.full((1, 9), 0.3), 0.2)[0]
    assert 0.2 * loss == pytest.approx(theory.small_temperature_error_bound(9, 0.2), rel=1e-12)


@settings(max_examples=25)
@given(**sets, tau=st.floats(0.5, 1e3))
def test_the_large_temperature_expansions_are_within_their_bounds(anchors, negatives, seed, tau):
    s_positive, s_negative = _similarities(anchors, negatives, seed)
    loss = theory.contrastive_loss(s_positive, s_negative, tau)
    for order in (1, 2):
        gap = loss - theory.large_temperature_expansion(s_positive, s_negative, tau, order)
        bound = theory.large_temperature_error_bound(s_positive, s_negative, tau, order)
        assert (np.abs(gap) <= bound + 1e-13).all()
    assert (loss - theory.large_temperature_expansion(s_positive, s_negative, tau) >= -1e-13).all()


def test_the_second_order_term_is_half_the_variance_and_the_rest_falls_with_the_cube():
    s_positive, s_negative = _similarities(5, 12, 0)
    taus = np.geomspace(10, 100, 6)
    gaps = {
        order: [
            np.abs(
                theory.contrastive_loss(s_positive, s_negative, tau)
                - theory.large_temperature_expansion(s_positive, s_negative, tau, order)
            ).max()
            for tau in taus
        ]
        for order in (1, 2)
    }
    for order in (1, 2):
        slope = np.polyfit(np.log(taus), np.log(gaps[order]), 1)[0]
        assert slope == pytest.approx(-order - 1, abs=0.05)
    variance = np.column_stack([s_positive, s_negative]).var(1)
    residual = theory.contrastive_loss(s_positive, s_negative, 1e3)
    residual -= theory.large_temperature_expansion(s_positive, s_negative, 1e3)
    np.testing.assert_allclose(residual * 1e6, variance / 2, rtol=0.01)


@settings(max_examples=20)
@given(**sets)
def test_the_first_order_expansion_is_the_simple_loss_up_to_scale_and_constant(anchors, negatives, seed):
    s_positive, s_negative = _similarities(anchors, negatives, seed)
    expansion = theory.large_temperature_expansion(s_positive, s_negative, 7.0)
    simple = theory.simple_contrastive_loss(s_positive, s_negative)
    np.testing.assert_allclose(
        expansion, math.log(negatives + 1) + negatives / (negatives + 1) / 7 * simple, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold_under_fuzzing_and_are_not_idle(bound):
    report = bound.check(5000)
    assert report.holds, report
    assert report.worst_ratio > 0.9


@settings(max_examples=20)
@given(**views, tau=st.floats(0.05, 5.0), fraction=fractions)
def test_two_views_give_the_loss_of_their_similarities(samples, dim, seed, tau, fraction):
    z1, z2 = _views(samples, dim, seed)
    s_positive, s_negative = _similarities_of_views(z1, z2)
    for ours, by_pairs in (
        (
            neural.hard_contrastive_loss(z1, z2, tau, fraction, reduction="none"),
            neural.contrastive_loss(s_positive, s_negative, tau, fraction, reduction="none"),
        ),
        (
            neural.hard_simple_loss(z1, z2, 0.7, fraction, reduction="none"),
            neural.simple_contrastive_loss(s_positive, s_negative, 0.7, fraction, reduction="none"),
        ),
    ):
        assert ours.shape == (2, samples)
        torch.testing.assert_close(ours.flatten(), by_pairs, atol=1e-10, rtol=1e-9)


@settings(max_examples=20)
@given(**views, tau=st.floats(0.05, 5.0), chunk=st.integers(1, 40), fraction=fractions)
def test_chunks_change_neither_values_nor_gradients(samples, dim, seed, tau, chunk, fraction):
    z1, z2 = _views(samples, dim, seed)
    for loss, parameter in ((neural.hard_contrastive_loss, tau), (neural.hard_simple_loss, tau)):
        results = []
        for size in (None, chunk):
            value = loss(z1, z2, parameter, fraction, chunk_size=size)
            results.append((value.detach(), *torch.autograd.grad(value, (z1, z2))))
        for whole, chunked in zip(*results, strict=True):
            torch.testing.assert_close(whole, chunked, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("loss", [neural.hard_contrastive_loss, neural.hard_simple_loss])
@pytest.mark.parametrize("chunk", [None, 4])
def test_gradients_pass_gradcheck(loss, chunk):
    z1, z2 = _views(5, 3, 0)
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, 0.3, 0.5, chunk_size=chunk), (z1, z2))


def test_all_negatives_give_info_nce():
    z1, z2 = _views(9, 5, 1)
    expected = info_nce_loss(z1, z2, 0.2)
    for options in ({}, {"hard_fraction": 1.0}, {"top_k": 16}, {"chunk_size": 5}):
        torch.testing.assert_close(neural.hard_contrastive_loss(z1, z2, 0.2, **options), expected)


def test_hard_negatives_lower_the_loss_and_concentrate_the_penalties_at_any_temperature():
    s_positive, s_negative = _similarities(4, 40, 3)
    losses = [theory.contrastive_loss(s_positive, s_negative, 1.0, top_k=k) for k in (1, 4, 20, 40)]
    assert (np.diff(losses, axis=0) > 0).all()
    for tau in (0.1, 1.0, 100.0):
        assert (theory.penalty_entropy(s_negative, tau, 0.1) <= math.log(4) + 1e-12).all()
        kept = theory.relative_penalties(s_negative, tau, 0.1) > 0
        assert (kept.sum(1) == 4).all()
        assert (s_negative[kept].reshape(4, 4).min(1) >= np.sort(s_negative, axis=1)[:, -4]).all()


def test_stacked_problems_are_those_alone():
    generator = torch.Generator().manual_seed(0)
    u1, u2 = F.normalize(torch.randn(2, 3, 7, 4, generator=generator, dtype=torch.float64), dim=-1)
    taus = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    for kept in (5, 12):
        together = hard_negatives.hard_log_mass(u1, u2, taus, kept)
        means = hard_negatives.hard_mean(u1, u2, kept)
        for k in range(3):
            alone = hard_negatives.hard_log_mass(u1[k], u2[k], float(taus[k]), kept)
            torch.testing.assert_close(together[k], alone)
            torch.testing.assert_close(means[k], hard_negatives.hard_mean(u1[k], u2[k], kept))


@pytest.mark.parametrize("loss", [neural.hard_contrastive_loss, neural.hard_simple_loss])
@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("fraction", [None, 0.5])
def test_zero_and_duplicate_rows_have_finite_losses_and_gradients(loss, chunk, fraction):
    z1, z2 = torch.zeros(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    gradients = torch.autograd.grad(loss(z1, z2, 0.1, fraction, chunk_size=chunk), (z1, z2))
    assert all(torch.isfinite(g).all() for g in gradients)
    assert (gradients[0] == 0).all()


@pytest.mark.parametrize("tau", [1e-4, 1e4])
@pytest.mark.parametrize("fraction", [None, 0.5])
def test_extreme_temperatures_stay_finite(tau, fraction, device):
    z1, z2 = _views(16, 8, 1, torch.float32, device)
    value = neural.hard_contrastive_loss(z1, z2, tau, fraction)
    assert torch.isfinite(value)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, (z1, z2)))


def test_a_loss_of_the_size_of_its_exponential_is_exact():
    """Where the positive is hard by 25 temperatures the loss is 25 + e^−25, which torch's softplus rounds away."""
    loss = neural.contrastive_loss(
        torch.tensor([0.0], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64), 0.04
    )
    assert loss.item() == math.log1p(math.exp(25))


def test_half_precision_and_autocast_compute_in_float32():
    z1, z2 = _views(16, 8, 2, torch.float32)
    s_positive, s_negative = _similarities_of_views(z1, z2)
    for loss in (neural.hard_contrastive_loss, neural.hard_simple_loss):
        for fraction in (None, 0.5):
            for chunk in (None, 8):
                exact = loss(z1, z2, 0.05, fraction, chunk_size=chunk)
                gradients = torch.autograd.grad(exact, (z1, z2))
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    value = loss(z1, z2, 0.05, fraction, chunk_size=chunk)
                torch.testing.assert_close(value, exact, atol=1e-5, rtol=1e-5)
                for mixed, full in zip(torch.autograd.grad(value, (z1, z2)), gradients, strict=True):
                    torch.testing.assert_close(mixed, full, atol=1e-5, rtol=1e-4)
        assert loss(z1.bfloat16(), z2.bfloat16(), 0.05).dtype == torch.float32
    halves = (s_positive.bfloat16(), s_negative.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = neural.contrastive_loss(*halves, 0.05, 0.5)
    torch.testing.assert_close(
        mixed, neural.contrastive_loss(*(s.float() for s in halves), 0.05, 0.5), atol=1e-5, rtol=1e-5
    )


def test_reductions_and_modules_agree_with_the_functions(device):
    z1, z2 = _views(6, 4, 4, torch.float32, device)
    for function, module in (
        (neural.hard_contrastive_loss, neural.HardContrastiveLoss), (neural.hard_simple_loss, neural.HardSimpleLoss),
    ):  # fmt: skip
        for options in ({}, {"hard_fraction": 0.4}, {"top_k": 3}):
            each = function(z1, z2, 0.2, **options, reduction="none")
            torch.testing.assert_close(each.mean(), function(z1, z2, 0.2, **options))
            torch.testing.assert_close(each.sum(), function(z1, z2, 0.2, **options, reduction="sum"))
            torch.testing.assert_close(module(0.2, **options)(z1, z2), each.mean())
            torch.testing.assert_close(module(0.2, **options, chunk_size=5, reduction="sum")(z1, z2), each.sum())


def test_a_step_along_the_loss_lowers_it():
    z1, z2 = _views(12, 6, 7)
    for loss in (neural.HardContrastiveLoss(0.5, 0.5), neural.HardSimpleLoss(1.0, 0.5)):
        before = loss(z1, z2)
        g1, g2 = torch.autograd.grad(before, (z1, z2))
        assert loss(z1 - 0.05 * g1, z2 - 0.05 * g2) < before


@settings(max_examples=20)
@given(
    samples=st.integers(2, 30), dim=st.integers(1, 6), classes=st.integers(1, 5), t=st.floats(0.1, 5.0),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_uniformity_and_tolerance_agree_between_rooms_and_with_pairs(samples, dim, classes, t, seed):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((samples, dim)) + 0.3
    labels = rng.integers(0, classes, samples)
    labels[1] = labels[0]
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(samples) for j in range(samples) if i != j]
    even = math.log(np.mean([math.exp(-t * ((u[i] - u[j]) ** 2).sum()) for i, j in pairs]))
    near = np.mean([u[i] @ u[j] for i, j in pairs if labels[i] == labels[j]])
    assert theory.uniformity(z, t) == pytest.approx(even, abs=1e-10)
    assert theory.tolerance(z, labels) == pytest.approx(near, abs=1e-12)
    assert neural.uniformity(torch.tensor(z), t).item() == pytest.approx(even, abs=1e-10)
    assert neural.tolerance(torch.tensor(z), torch.tensor(labels)).item() == pytest.approx(near, abs=1e-10)


def test_uniformity_and_tolerance_of_stacks_are_those_of_the_harness(device):
    z = F.normalize(torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0)), dim=-1).to(device)
    labels = (torch.arange(20) % 4).to(device)
    torch.testing.assert_close(neural.uniformity(z), evaluate.uniformity(z))
    torch.testing.assert_close(neural.tolerance(z, labels), evaluate.tolerance(z, labels))


def test_tolerance_of_one_class_is_the_mean_cosine_and_shuffled_labels_come_near_it():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    z = np.eye(4)[labels] + 0.3 * rng.standard_normal((400, 4))
    overall = theory.tolerance(z, np.zeros(400, dtype=int))
    assert theory.tolerance(z, labels) > overall + 0.5
    assert theory.tolerance(z, rng.permutation(labels)) == pytest.approx(overall, abs=0.02)


def test_zero_rows_have_cosine_zero_and_distance_one():
    z = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert theory.tolerance(z, np.zeros(2, dtype=int)) == 0
    assert theory.uniformity(z) == pytest.approx(-2)
    assert neural.uniformity(torch.tensor(z)).item() == pytest.approx(-2)
    assert neural.tolerance(torch.tensor(z), torch.zeros(2, dtype=torch.long)).item() == 0


@pytest.mark.parametrize("per_class", [None, 3])
def test_stacked_probes_are_those_of_single_models(per_class):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 5
    z = F.one_hot(labels, 5).float() @ torch.randn(3, 5, 8, generator=generator) + torch.randn(
        3, 300, 8, generator=generator
    )
    train, test = z[:, :200], z[:, 200:]
    for seed in range(3):
        together = stacked_probes.stacked_linear_probe_accuracy(
            train, labels[:200], test, labels[200:], per_class, seed
        )
        nearest = stacked_probes.stacked_knn_accuracy(train, labels[:200], test, labels[200:])
        for k in range(3):
            alone = evaluate.linear_probe_accuracy(train[k], labels[:200], test[k], labels[200:], per_class, seed)
            assert together[k].item() == pytest.approx(alone, abs=1e-6)
            knn = evaluate.knn_accuracy(train[k], labels[:200], test[k], labels[200:])
            assert nearest[k].item() == pytest.approx(knn, abs=1e-6)


def test_the_full_settings_run_on_both_datasets():
    from dataclasses import replace

    from simulations.contrastive.contrastive_temperature import EXPERIMENTS, simulate_representations

    full = next(e for e in EXPERIMENTS if e.name == "representations").full
    small = replace(
        full, temperatures=(0.5,), tuned_temperatures=(0.5,), hard_fractions=(0.1, 0.5), hard_temperatures=(1.0,),
        simple_rates=(0.1,), batch_size=8, steps=1, width=8, label_draws=1, validation_splits=1,
    )  # fmt: skip
    table = simulate_representations(small, 1, "cpu").table
    assert set(table["data"]) == {"digits", "glyphs"}
    assert table.drop(columns=["temperature", "hard_fraction", "learning_rate"]).notna().all(axis=None)


p2, n23 = torch.zeros(2), torch.zeros(2, 3)
two = torch.ones(2, 3)
BAD_NEURAL = [
    (neural.contrastive_loss, (p2, n23, 0.0), {}, "temperature must be"),
    (neural.contrastive_loss, (p2, n23, math.nan), {}, "temperature must be"),
    (neural.contrastive_loss, (p2, n23[:, :0], 0.1), {}, "sim_neg must have at least one negative"),
    (neural.contrastive_loss, (p2[:0], n23[:0], 0.1), {}, "sim_pos must be a non-empty"),
    (neural.contrastive_loss, (torch.zeros(3), n23, 0.1), {}, "as many anchors"),
    (neural.contrastive_loss, (p2, p2, 0.1), {}, "sim_neg must have 2 axes"),
    (neural.contrastive_loss, (p2 * math.nan, n23, 0.1), {}, "sim_pos must be finite"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"hard_fraction": 0.0}, "hard_fraction must be"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"hard_fraction": 1.5}, "hard_fraction must be"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"top_k": 4}, "top_k must be at most the 3"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"top_k": 0}, "top_k must be"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"top_k": 1, "hard_fraction": 0.5}, "exclude each other"),
    (neural.contrastive_loss, (p2, n23, 0.1), {"reduction": "median"}, "reduction must be"),
    (neural.simple_contrastive_loss, (p2, n23), {"weight": 0.0}, "weight must be"),
    (neural.relative_penalties, (n23[:, :0], 0.1), {}, "sim_neg must have at least one negative"),
    (neural.penalty_entropy, (n23, -1.0), {}, "temperature must be"),
    (neural.hard_contrastive_loss, (two, torch.ones(3, 3)), {}, "one shape"),
    (neural.hard_contrastive_loss, (two[:1], two[:1]), {}, "at least 2 rows"),
    (neural.hard_contrastive_loss, (two, two), {"chunk_size": 0}, "chunk_size must be"),
    (neural.hard_contrastive_loss, (two, two), {"top_k": 3}, "top_k must be at most the 2"),
    (neural.hard_simple_loss, (two, two), {"weight": -1.0}, "weight must be"),
    (neural.HardContrastiveLoss, (0.0,), {}, "temperature must be"),
    (neural.HardContrastiveLoss, (0.1, 2.0), {}, "hard_fraction must be"),
    (neural.HardSimpleLoss, (0.0,), {}, "weight must be"),
    (neural.uniformity, (two[:1],), {}, "samples >= 2"),
    (neural.uniformity, (two,), {"t": 0.0}, "t must be"),
    (neural.tolerance, (two, torch.tensor([0, 1])), {}, "labels must have two samples of one class"),
    (neural.tolerance, (two, torch.tensor([0])), {}, "labels must have shape"),
    (hard_negatives.hard_log_mass, (two[None], two[None], 0.1, 1, 2), {}, "chunk_size must be None"),
    (hard_negatives.hard_mean, (two, two, 5), {}, "top_k must be at most"),
]
tp, tn = np.zeros(2), np.zeros((2, 3))
BAD_THEORY = [
    (theory.contrastive_loss, (tp, tn, 0.0), {}, "temperature must be"),
    (theory.contrastive_loss, (tp, tn[:, :0], 0.1), {}, "sim_neg must have at least one negative"),
    (theory.contrastive_loss, (np.zeros(3), tn, 0.1), {}, "as many anchors"),
    (theory.contrastive_loss, (tp, tn * math.nan, 0.1), {}, "sim_neg must be finite"),
    (theory.contrastive_loss, (tp, tn, 0.1), {"hard_fraction": 0.0}, "hard_fraction must be"),
    (theory.contrastive_loss, (tp, tn, 0.1), {"hard_fraction": 1.1}, "hard_fraction must be"),
    (theory.contrastive_loss, (tp, tn, 0.1), {"hard_fraction": 0.5, "top_k": 1}, "exclude each other"),
    (theory.simple_contrastive_loss, (tp, tn), {"weight": 0.0}, "weight must be"),
    (theory.relative_penalties, (tn, 0.1), {"top_k": 4}, "top_k must be at most the 3"),
    (theory.penalty_entropy_slope, (tn, math.inf), {}, "temperature must be"),
    (theory.large_temperature_expansion, (tp, tn, 1.0), {"order": 3}, "order must be 1 or 2"),
    (theory.large_temperature_error_bound, (tp, tn, 1.0), {"order": 0}, "order must be"),
    (theory.small_temperature_error_bound, (0, 1.0), {}, "negatives must be"),
    (theory.uniformity, (tn[:1],), {}, "z must have at least 2 samples"),
    (theory.uniformity, (tn,), {"t": -1.0}, "t must be"),
    (theory.tolerance, (tn, np.array([0, 1])), {}, "labels must have two samples of one class"),
    (theory.tolerance, (tn, np.array([0, 1, 1])), {}, "labels must have 2 entries"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD_NEURAL + BAD_THEORY)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
