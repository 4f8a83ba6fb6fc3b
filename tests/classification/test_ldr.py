"""LDR losses: closed forms, limits, adaptive temperatures, ranking, symmetry and noise; both implementations agree."""

import itertools
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import linprog, minimize
from torch import nn

from neural.classification import ldr as neural
from neural.classification.ldr import ALDRKLLoss, LDRKLLoss
from simulations.classification.noisy_digits import FIFTEEN, HYPERPARAMETERS, coverage, equal_grid, tuned
from theory.classification import ldr as theory
from theory.classification import top_k_consistency as top_k

EXAMPLES = settings(max_examples=25, deadline=None)
finite = st.floats(-30, 30)
temperatures = st.floats(-6, 6).map(lambda power: 10.0**power)
NAN, INF = float("nan"), float("inf")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# closed forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("regularizer", ["kl", "euclidean", "none"])
@pytest.mark.parametrize("lam", [0.02, 0.4, 1.0, 7.0])
def test_closed_forms_are_what_a_convex_solver_finds(regularizer, lam):
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for classes in (2, 3, 8):
        z = theory.margins(2 * rng.normal(size=(3, classes)), rng.integers(0, classes, 3), 0.1)
        assert_allclose(theory.ldr_sup(z, lam, regularizer), theory.ldr_closed_form(z, lam, regularizer), atol=1e-8)


@pytest.mark.parametrize("regularizer", ["kl", "euclidean", "none"])
def test_numeric_solver_agrees_too(regularizer):
    z = 2 * np.random.default_rng(1).normal(size=(4, 5))
    for lam in (0.3, 2.0):
        solved = theory.ldr_sup(z, lam, regularizer, "numeric")
        assert_allclose(solved, theory.ldr_closed_form(z, lam, regularizer), atol=1e-8)


@EXAMPLES
@given(arrays(float, 5, elements=finite), temperatures, st.sampled_from(["kl", "euclidean"]), st.integers(0, 2**20))
def test_no_label_distribution_beats_the_closed_form(z, lam, regularizer, seed):
    p = np.random.default_rng(seed).dirichlet(np.full(5, 0.3), 200)
    penalty = (p * np.log(np.maximum(5 * p, 1e-300))).sum(1) if regularizer == "kl" else (5 * (p**2).sum(1) - 1) / 2
    best = theory.ldr_closed_form(z, lam, regularizer)
    assert (p @ z - lam * penalty <= best + 1e-9 * (1 + lam + np.abs(z).max())).all()
    worst = theory.worst_case_distribution(z, lam, regularizer)
    assert_allclose(worst.sum(), 1, rtol=1e-12)
    assert worst.min() >= 0


def test_weston_watkins_is_the_supremum_over_a_box_instead_of_the_simplex():
    from neural.classification.robust_losses import weston_watkins_loss

    scores = np.random.default_rng(2).normal(size=(5, 4))
    z = theory.margins(scores, np.arange(5) % 4, 1.0)
    box = [-linprog(-row, bounds=(0, 1)).fun for row in z]
    ours = weston_watkins_loss(torch.tensor(scores), torch.arange(5) % 4, reduction="none")
    assert_allclose(ours, box, atol=1e-9)


@EXAMPLES
@given(arrays(float, (3, 4), elements=finite), temperatures)
def test_without_margin_it_is_cross_entropy_less_log_k(scores, lam):
    y = np.array([0, 1, 3])
    entropy = F.cross_entropy(torch.tensor(scores / lam), torch.tensor(y), reduction="none").numpy()
    tolerance = 1e-12 * (1 + lam + np.abs(scores).max())
    assert_allclose(theory.ldr_kl(scores, y, lam, 0.0), lam * (entropy - np.log(4)), rtol=1e-9, atol=tolerance)


@EXAMPLES
@given(arrays(float, 6, elements=finite), temperatures, st.floats(1, 100))
def test_limits_are_reached_within_their_bounds_and_the_loss_falls_with_temperature(z, lam, factor):
    psi = theory.ldr_closed_form(z, lam)
    rounding = 1e-12 * (1 + np.abs(z).max())
    assert 0 <= theory.ldr_limit(z, "svm") - psi + rounding <= lam * np.log(6) + 2 * rounding
    assert -rounding <= psi - theory.ldr_limit(z, "linear") <= np.ptp(z) ** 2 / (8 * lam) + rounding
    assert theory.ldr_closed_form(z, lam * factor) <= psi + rounding
    assert theory.ldr_closed_form(z, INF) == theory.ldr_limit(z, "linear")


def test_limit_rates_are_attained():
    half = np.array([1.0, -1.0])
    assert_allclose((theory.ldr_closed_form(half, 1e4) - 0.0) / (4 / (8 * 1e4)), 1, rtol=1e-6)
    assert_allclose((1 - theory.ldr_closed_form(half, 1e-2)) / (1e-2 * np.log(2)), 1, rtol=1e-9)


def test_gradient_is_the_worst_distribution_less_the_label():
    rng, step = np.random.default_rng(3), 1e-6
    f = rng.normal(size=4)
    for lam in (0.2, 1.0, 30.0):
        numeric = [
            (theory.ldr_kl(f + step * e, 2, lam) - theory.ldr_kl(f - step * e, 2, lam)) / (2 * step) for e in np.eye(4)
        ]
        p = theory.worst_case_distribution(theory.margins(f, 2), lam)
        assert_allclose(numeric, p - np.eye(4)[2], atol=1e-8)


def test_every_listed_bound_holds():
    for bound in (*theory.BOUNDS, *top_k.BOUNDS):
        assert bound.check(2000).holds, bound.name


@EXAMPLES
@given(arrays(float, 5, elements=st.floats(-1e3, 1e3)), st.floats(0.1, 10))
def test_normalised_scores_have_their_sums(scores, scale):
    softplus = theory.normalized_scores(scores, "softplus")
    assert_allclose(softplus.sum(), 5, rtol=1e-12)
    assert softplus.min() >= 0
    l1 = theory.normalized_scores(scale * scores, "l1")
    assert_allclose(np.abs(l1).sum(), 5 if scores.any() else 0, rtol=1e-9)
    assert_allclose(l1, theory.normalized_scores(scores, "l1"), rtol=1e-9, atol=1e-300)


# adaptive temperature ----------------------------------------------------------------------------


@EXAMPLES
@given(arrays(float, 4, elements=st.floats(-10, 10)), st.sampled_from([1.0, 1.01, 2.0, 10.0]), st.floats(0.1, 20))
def test_adaptive_temperature_is_the_best_of_a_fine_grid_and_in_its_interval(z, alpha, lam0):
    chosen = theory.adaptive_temperature(z, lam0, alpha)
    grid = np.linspace(1e-6, lam0, 2001)
    values = theory.adaptive_objective(np.broadcast_to(z, (2001, 4)), grid, lam0, alpha)
    assert chosen.value >= values.max() - 1e-9 * (1 + lam0 + np.abs(z).max())
    assert lam0 * (1 - 1 / alpha) - 1e-9 <= chosen.lam <= lam0 + 1e-9


def test_uniform_predictions_keep_the_temperature_and_peaked_ones_lower_it():
    assert theory.adaptive_temperature(np.zeros(5), 3.0).lam == 3.0
    peaked = theory.adaptive_temperature(np.array([0.0, 100.0, 0.0]), 3.0).lam
    assert_allclose(peaked, 1.5, rtol=1e-6)
    assert_allclose(neural.adaptive_temperature(torch.tensor([[0.0, 100.0, 0.0]]), torch.tensor([0]), 3.0), 1.5)


def test_derivatives_of_loss_and_divergence_in_the_temperature():
    z, step = np.random.default_rng(4).normal(size=(20, 6)), 1e-5
    for lam in (0.3, 1.0, 5.0):
        slope = (theory.ldr_closed_form(z, lam + step) - theory.ldr_closed_form(z, lam - step)) / (2 * step)
        assert_allclose(slope, -theory.kl_from_uniform(z, lam), atol=1e-8)
        p = theory.worst_case_distribution(z, lam)
        variance = (p * z**2).sum(1) - (p * z).sum(1) ** 2
        change = (theory.kl_from_uniform(z, lam + step) - theory.kl_from_uniform(z, lam - step)) / (2 * step)
        assert_allclose(change, -variance / lam**3, rtol=1e-6)
        assert (theory.uniqueness_curvature(z, lam / 2, 2 * lam) >= variance / lam**3 * 0.97).all()


def test_objective_can_have_two_maxima_and_the_solver_finds_the_higher():
    z = 3 * np.random.default_rng(5).normal(size=(100, 5))
    chosen = theory.adaptive_temperature(z, 1.0, 1.01)
    several = chosen.maxima > 1
    assert several.any()
    labels = torch.zeros(several.sum(), dtype=torch.long)
    ours = neural.adaptive_temperature(torch.tensor(z[several]), labels, 1.0, 1.01, margin=0.0)
    assert_allclose(ours, chosen.lam[several], atol=1e-7)
    value = neural.aldr_kl(torch.tensor(z[several]), labels, 1.0, 1.01, 0.0, reduction="none")
    assert_allclose(value.numpy() + z[several, 0], chosen.value[several], atol=1e-10)


def test_one_step_iteration_contracts_to_the_maximiser():
    z, lam = np.random.default_rng(6).normal(size=(30, 4)), np.full(30, 1.0)
    assert (2 * np.log(4) > theory.uniqueness_curvature(z, 0.5, 1.0)).all()
    for _ in range(300):
        lam = theory.one_step_temperature(z, lam, 1.0, 2.0)
    assert_allclose(lam, theory.adaptive_temperature(z, 1.0, 2.0).lam, atol=1e-10)


# ranking -----------------------------------------------------------------------------------------


def rank_by_definition(f, q, k):
    """Literally: no label outside may sit among the k largest scores, ties counted against it."""
    falling_q, falling_f = sorted(q, reverse=True), sorted(f, reverse=True)
    return all(
        (q[i] <= falling_q[k] or f[i] > falling_f[k]) and (q[i] >= falling_q[k - 1] or f[i] < falling_f[k - 1])
        for i in range(len(q))
    )


@EXAMPLES
@given(st.integers(2, 5), st.data())
def test_top_k_preservation_is_its_definition_and_follows_from_order(n, data):
    levels = st.sampled_from([0.0, 1.0, 2.0, 3.0])
    q = np.array(data.draw(st.lists(levels, min_size=n, max_size=n).filter(lambda w: sum(w) > 0)))
    f = np.array(data.draw(st.lists(levels, min_size=n, max_size=n)))
    for k in range(1, n):
        assert top_k.is_topk_preserving(f, q / q.sum(), k) == rank_by_definition(f, list(q / q.sum()), k)
        assert top_k.is_topk_preserving(q, q / q.sum(), k)
        with np.errstate(divide="ignore"):
            assert top_k.is_topk_preserving(np.log(q), q / q.sum(), k)


@EXAMPLES
@given(st.integers(2, 6), st.floats(-2, 1.3), st.floats(0, 2), st.integers(0, 2**20))
def test_minimiser_of_ldr_has_no_gradient_keeps_order_and_is_not_beaten(n, log_lam, margin, seed):
    rng, lam = np.random.default_rng(seed), 10.0**log_lam
    q = rng.dirichlet(np.ones(n))
    f = top_k.ldr_kl_minimizer(q, lam, margin)
    p = theory.worst_case_distribution(theory.margins(f[None], np.arange(n), margin), lam)
    assert_allclose(q @ p, q, atol=1e-10)
    order = np.argsort(-q)
    assert (np.diff(f[order]) < 0).all()
    risk = q @ top_k.ldr_kl_losses(f, lam, margin)
    nearby = f + lam * rng.normal(size=(50, n)) * 10.0 ** rng.uniform(-3, 1, (50, 1))
    assert (top_k.ldr_kl_losses(nearby, lam, margin) @ q >= risk - 1e-12 * (1 + lam)).all()


def test_minimiser_is_what_descent_finds_and_gaps_shrink_with_the_temperature():
    q = np.array([0.4, 0.35, 0.25])
    gaps = []
    for lam, expected in ((1.0, 0.197), (0.3, 0.107), (0.1, 0.041), (0.05, 0.020)):
        f = top_k.ldr_kl_minimizer(q, lam, 1.0)
        gaps.append(f[0] - f[1])
        assert_allclose(gaps[-1], expected, atol=6e-4)
    found = top_k.population_minimizer(q, lambda f: top_k.ldr_kl_losses(f, 1.0, 1.0), starts=1)
    exact = top_k.ldr_kl_minimizer(q, 1.0, 1.0)
    assert_allclose(found, exact - exact.mean(), atol=1e-5)
    assert_allclose(top_k.ldr_kl_minimizer(q, 2.0, 0.0), 2 * np.log(q), rtol=1e-12)


def test_minimiser_at_the_edges():
    assert top_k.ldr_kl_minimizer(np.array([1.0, 0.0]), 0.01, 1.0).tolist() == [0.0, -INF]
    # a vanishing temperature: the hinge's minimiser, one margin ahead, since a majority label exists
    assert_allclose(top_k.ldr_kl_minimizer(np.array([0.8, 0.2]), 1e-5, 1.0), [0.0, -1.0], atol=1e-3)
    tied = top_k.ldr_kl_minimizer(np.array([0.3, 0.3, 0.4]), 1.0, 0.5)
    assert tied[0] == tied[1] < tied[2]
    # a margin so small that the shares' common factor would overflow: the minimiser is log q
    q = np.array([0.2, 0.5, 0.3])
    assert_allclose(top_k.ldr_kl_minimizer(q, 1.0, 1e-311), np.log(q), rtol=1e-12)


def test_hinge_ranks_nothing_without_a_majority():
    q = np.array([0.4, 0.35, 0.25])
    f = top_k.crammer_singer_minimizer(q)
    assert f.tolist() == [0, 0, 0]
    risk = [q @ np.array([theory.margins(g, y, 1.0).max() for y in range(3)]) for g in (f, np.eye(3)[0])]
    assert_allclose(risk, [1.0, 1.2])
    assert not any(top_k.is_topk_preserving(f, q, k) for k in (1, 2))
    majority = top_k.crammer_singer_minimizer(np.array([0.6, 0.3, 0.1]))
    assert majority.argmax() == 0


# symmetry ----------------------------------------------------------------------------------------


def test_minimisers_on_the_simplex_are_corners_and_rank_only_the_top():
    for q in np.random.default_rng(7).dirichlet(np.ones(4), 10):
        corner = top_k.simplex_minimizer(q, 4.0)
        assert_allclose(corner, 4 * np.eye(4)[q.argmax()], atol=1e-12)
        assert [bool(top_k.is_topk_preserving(corner, q, k)) for k in (1, 2, 3)] == [True, False, False]


@EXAMPLES
@given(st.integers(3, 6), st.integers(0, 2**20))
def test_a_symmetric_loss_can_be_top_k_calibrated_for_every_k(n, seed):
    rng = np.random.default_rng(seed)
    q, f = rng.dirichlet(np.ones(n)), rng.normal(size=(500, n)) * 10.0 ** rng.uniform(-5, 5, (500, 1))
    losses = top_k.spherical_symmetric_loss(f)
    assert_allclose(losses.sum(1), n, rtol=1e-12)
    assert losses.min() >= 0
    assert losses.max() <= 2
    assert (q @ top_k.spherical_symmetric_loss(q - 1 / n) <= losses @ q + 1e-12).all()
    assert all(top_k.is_topk_preserving(q - 1 / n, q, k) for k in range(1, n))


def test_constant_scores_have_spherical_loss_one():
    assert top_k.spherical_symmetric_loss(np.full((2, 3), 0.1)).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_symmetry_defect_falls_like_the_inverse_temperature():
    f = theory.normalized_scores(3 * np.random.default_rng(8).normal(size=(300, 5)))
    defects = [top_k.symmetry_defect(lambda s, lam=lam: top_k.ldr_kl_losses(s, lam), f) for lam in (10.0, 100.0, 1e3)]
    assert_allclose(np.diff(np.log10(defects)), -1, atol=0.15)
    for lam, defect in zip((10.0, 100.0, 1e3), defects, strict=True):
        assert defect <= top_k.symmetry_defect_bound(5, lam)
    assert top_k.symmetry_defect(lambda s: top_k.ldr_kl_losses(s, INF), f) < 1e-12


@EXAMPLES
@given(st.integers(2, 6), st.floats(0, 0.45), st.floats(0.5, 50), st.integers(0, 2**20))
def test_noisy_minimisers_are_nearly_clean_minimisers(n, share, lam, seed):
    rng, eps = np.random.default_rng(seed), share * 2 * (1 - 1 / n)
    q = rng.dirichlet(np.full(n, 0.3), 3)
    losses = top_k.ldr_kl_losses(theory.normalized_scores(3 * rng.normal(size=(30, 3, n))), lam)
    noisy = top_k.noisy_distribution(q, eps)
    assert_allclose(noisy.sum(1), 1, rtol=1e-12)
    clean_risk, noisy_risk = (np.einsum("hpk,pk->h", losses, each) / 3 for each in (q, noisy))
    delta = np.ptp(losses.sum(-1)) / 2
    excess = clean_risk[noisy_risk.argmin()] - clean_risk.min()
    assert excess <= top_k.noise_excess_bound(eps, delta, n) + 1e-12


# torch -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("normalize", [None, "softplus", "l1"])
def test_both_implementations_agree_at_every_temperature(normalize, dtype, tolerance, device):
    for scale, lam in itertools.product((0.01, 1.0, 300.0), (1e-300, 1e-3, 1.0, 10.0, 1e4, 1e12, 1e300, INF)):
        logits = (scale * torch.randn(40, 7, generator=generator(), dtype=torch.float64)).to(device, dtype)
        y = torch.randint(7, (40,), generator=generator()).to(device)
        expected = theory.ldr_kl(logits.double().cpu().numpy(), y.cpu().numpy(), lam, 0.1, normalize)
        loss = neural.ldr_kl(logits, y, lam, 0.1, normalize, "none")
        assert loss.dtype == dtype
        assert loss.device.type == device
        assert_allclose(loss.cpu(), expected, atol=tolerance * (1 + np.abs(expected).max()), rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lam", [1e-30, 1e-6, 0.3, 1.0, 10.0, 1e6, 1e30, INF])
def test_loss_and_gradient_are_finite_and_gradients_sum_to_zero(lam, dtype):
    for scale, normalize in itertools.product((0.0, 1.0, 1e4), (None, "softplus", "l1")):
        logits = (scale * torch.randn(8, 5, generator=generator(), dtype=dtype)).requires_grad_()
        loss = neural.ldr_kl(logits, torch.arange(8) % 5, lam, normalize=normalize, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        if normalize is None:
            assert_allclose(gradient.sum(1), 0, atol=1e-5)
            assert float(gradient.abs().sum(1).max()) <= 2 + 1e-5


@pytest.mark.parametrize("lam", [0.1, 1.0, 30.0, INF])
@pytest.mark.parametrize("normalize", [None, "softplus"])
def test_first_and_second_derivatives_are_right(lam, normalize):
    logits = torch.randn(2, 3, generator=generator(), dtype=torch.float64).requires_grad_()

    def loss(z):
        return neural.ldr_kl(z, torch.tensor([2, 0]), lam, 0.1, normalize, "none")

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


def test_very_negative_scores_are_normalised_like_their_exponentials():
    logits = torch.tensor([[-1000.0, -1001.0, -1002.0], [1000.0, 0.0, -1000.0]], requires_grad=True)
    scores = neural.normalize_scores(logits)
    assert_allclose(scores[0].detach(), 3 * torch.softmax(logits[0], 0).detach(), rtol=1e-5)
    assert torch.isfinite(torch.autograd.grad(scores.square().sum(), logits)[0]).all()
    assert neural.normalize_scores(torch.zeros(1, 3), "l1").tolist() == [[0, 0, 0]]


def test_modules_are_their_functions_and_work_under_autocast():
    logits, y = torch.randn(6, 4, generator=generator()), torch.arange(6) % 4
    module = LDRKLLoss(10.0, 0.2, "softplus", "sum")
    assert_allclose(module(logits, y), neural.ldr_kl(logits, y, 10.0, 0.2, "softplus", "sum"))
    assert "lam=10.0" in repr(module)
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LDRKLLoss(10.0, normalize="softplus")(layer(logits), y)
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("inner", ["one_step", "solve"])
def test_adaptive_module_keeps_a_temperature_per_example(inner):
    logits, y = 3 * torch.randn(4, 5, generator=generator(), dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    index = torch.tensor([7, 2, 0, 5])
    module = ALDRKLLoss(9, lam0=1.0, inner=inner, reduction="none")
    loss = module(logits, y, index)
    start = torch.ones(4, dtype=torch.float64) if inner == "one_step" else None
    lam = neural.adaptive_temperature(logits, y, 1.0, lam=start)
    assert_allclose(module.lam[index], lam, rtol=1e-6)
    assert (module.lam[[1, 3, 4, 6, 8]] == 1).all()
    assert_allclose(loss, neural.aldr_kl(logits, y, 1.0, lam=lam, reduction="none"), rtol=1e-6)
    module.eval()
    before = module.lam.clone()
    assert_allclose(module(logits, y, index), loss, rtol=1e-5)
    assert torch.equal(module.lam, before)
    assert "lam" in module.state_dict()
    assert "alpha=2.0" in repr(module)


def test_one_step_follows_the_theory_and_repeats_to_the_maximiser():
    scores, y = np.random.default_rng(9).normal(size=(6, 4)), np.arange(6) % 4
    z = theory.margins(scores, y, 0.1)
    lam = np.full(6, 2.0)
    module = ALDRKLLoss(6, lam0=2.0).double()
    for step in range(200):
        module(torch.tensor(scores), torch.tensor(y), torch.arange(6))
        lam = theory.one_step_temperature(z, lam, 2.0, 2.0)
        if step < 3:
            assert_allclose(module.lam, lam, rtol=1e-12)
    assert_allclose(module.lam, theory.adaptive_temperature(z, 2.0, 2.0).lam, atol=1e-9)


def test_gradient_at_a_solved_temperature_needs_none_through_it():
    scores, y, step = np.random.default_rng(10).normal(size=(1, 4)), torch.tensor([1]), 1e-5

    def value(s):
        return neural.aldr_kl(torch.tensor(s), y, 1.0).item()

    logits = torch.tensor(scores, requires_grad=True)
    (gradient,) = torch.autograd.grad(neural.aldr_kl(logits, y, 1.0), logits)
    numeric = [(value(scores + step * e) - value(scores - step * e)) / (2 * step) for e in np.eye(4)]
    assert_allclose(gradient[0], numeric, atol=1e-6)


def test_small_strength_warns():
    with pytest.warns(UserWarning, match="alpha below 1"):
        ALDRKLLoss(3, alpha=0.5)


# the study ---------------------------------------------------------------------------------------


def test_every_loss_gets_as_many_settings():
    for values in (1, 3):
        runs = equal_grid(FIFTEEN, values, (0.1, 0.3, 1.0), conditions=2)
        counts = {loss: len({(r.value, r.rate) for r in runs if r.loss == loss}) for loss in FIFTEEN}
        assert set(counts.values()) == {3 * values}
    assert len(FIFTEEN) == 15
    assert all(len(numbers) in (0, 1, 3) for numbers in HYPERPARAMETERS.values())


def test_settings_are_chosen_by_the_mean_over_replicates():
    import pandas as pd

    rows = [(0, 0.1, 0.9, 1.0), (0, 0.3, 0.8, 0.0), (1, 0.1, 0.5, 1.0), (1, 0.3, 0.8, 0.0)]
    table = pd.DataFrame(rows, columns=["replicate", "learning_rate", "held_out", "top1"])
    table = table.assign(noise="clean", loss="MAE", value=0.0)
    assert tuned(table)["learning_rate"].tolist() == [0.3, 0.3]


def test_coverage_is_the_mass_of_the_k_best_labels():
    scores = torch.tensor([[[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]])
    shares = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    assert_allclose(coverage(scores, shares, 1), [0.35])
    assert_allclose(coverage(scores, shares, 2), [0.65])


# bad input ---------------------------------------------------------------------------------------

Z = np.array([[0.0, 1.0, -1.0]])
LOGITS, TARGET = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments", "message"), [
    (theory.ldr_kl, (Z, 3), "target must be in 0 … 2, got 3"),
    (theory.ldr_kl, (Z, np.array([0, 1])[:, None, None].repeat(2, 2)[..., :0]), "target must hold whole numbers"),
    (theory.ldr_kl, (np.zeros((2, 3)), np.zeros(5, int)), "target must broadcast against scores"),
    (theory.ldr_kl, (Z, 0, 0.0), "lam must be a finite number above 0, got 0.0"),
    (theory.ldr_kl, (Z, 0, NAN), "lam must be"),
    (theory.ldr_kl, (Z, 0, 1.0, -0.1), "margin must be a finite number of at least 0"),
    (theory.ldr_kl, (Z, 0, 1.0, 0.1, "l2"), "normalize must be one of"),
    (theory.ldr_kl, (np.array([[NAN, 0.0]]), 0), "scores must be finite"),
    (theory.ldr_kl, (np.array([[1.0]]), 0), "scores must have at least 2 classes"),
    (theory.ldr_sup, (Z, INF), "lam must be a finite number above 0"),
    (theory.ldr_sup, (Z, 1.0, "tv"), "regularizer must be one of"),
    (theory.ldr_sup, (Z, 1.0, "kl", "magic"), "solver must be one of"),
    (theory.ldr_limit, (Z, "middle"), "which must be one of"),
    (theory.kl_from_uniform, (Z, -1.0), "lam must be above 0"),
    (theory.adaptive_temperature, (Z, 0.0), "lam0 must be"),
    (theory.adaptive_temperature, (Z, 1.0, 0.0), "alpha must be"),
    (theory.adaptive_objective, (np.zeros((2, 3)), np.ones(3)), "lam must broadcast"),
    (theory.uniqueness_curvature, (Z, 2.0, 1.0), "low must not be above high"),
    (top_k.is_topk_preserving, (np.zeros(3), np.full(3, 1 / 3), 3), "k must be a whole number in 1 … 2, got 3"),
    (top_k.is_topk_preserving, (np.zeros(2), np.full(3, 1 / 3), 1), "f must hold real numbers and have the shape of q"),
    (top_k.ldr_kl_minimizer, (np.array([0.5, 0.6]),), "q must hold distributions"),
    (top_k.population_minimizer, (np.array([0.5, 0.5]), lambda f: 1.0), "loss must map scores"),
    (top_k.noise_excess_bound, (0.8, 0.1, 4), "eps must be below 1 − 1/classes = 0.75, got 0.8"),
    (top_k.noise_excess_bound, (0.1, 0.1, 1), "classes must be a whole number of at least 2"),
    (neural.ldr_kl, (LOGITS, torch.tensor([0, 3])), "target must be in 0 … 2, got 0 … 3"),
    (neural.ldr_kl, (LOGITS, TARGET, -1.0), "lam must be a finite number above 0, got -1.0"),
    (neural.ldr_kl, (LOGITS, TARGET, 1.0, -1.0), "margin must be"),
    (neural.ldr_kl, (LOGITS[:, :1], TARGET), "logits must have at least 2 classes"),
    (neural.ldr_kl, (torch.full((2, 3), NAN), TARGET), "logits must be finite"),
    (neural.ldr_kl, (LOGITS, TARGET, 1.0, 0.1, None, "average"), "reduction must be"),
    (neural.aldr_kl, (LOGITS, TARGET, 1.0, 2.0, 0.1, None, torch.ones(3)), "lam must have shape (2,)"),
    (neural.aldr_kl, (LOGITS, TARGET, 1.0, 2.0, 0.1, None, torch.zeros(2)), "lam must be finite and above 0"),
    (ALDRKLLoss, (0,), "num_examples must be a whole number of at least 1"),
    (ALDRKLLoss, (3, 1.0, 2.0, 0.1, None, "twice"), "inner must be one of"),
    (ALDRKLLoss(3), (LOGITS, TARGET, torch.tensor([0, 3])), "index must be in 0 … 2, got 0 … 3"),
    (LDRKLLoss, (0.0,), "lam must be"),
])  # fmt: skip
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments)


def test_minimum_of_the_convex_risk_is_unique_up_to_a_shift():
    q, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(11)
    ends = [
        minimize(lambda f: float(q @ top_k.ldr_kl_losses(f, 0.5, 1.0)), rng.normal(size=3) * 2, method="BFGS").x
        for _ in range(3)
    ]
    exact = top_k.ldr_kl_minimizer(q, 0.5, 1.0)
    for end in ends:
        assert_allclose(end - end.mean(), exact - exact.mean(), atol=1e-4)
