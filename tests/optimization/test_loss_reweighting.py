"""Weights from losses: shapes, limits and bounds; the adversary's dual; convergence; the torch twin in training loops."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.optimization import loss_reweighting as neural
from neural.optimization.loss_reweighting import AnnealedTemperature, ReweightedLoss, loss_weights, sequence_losses
from simulations import Replicate
from simulations.discovery import ROOT
from simulations.optimization import loss_reweighting as simulation
from simulations.optimization.redundant_text import SHUFFLED, Language, simulate_language
from theory.fuzz import check_bound
from theory.optimization import loss_reweighting as theory
from theory.optimization import loss_weights as weights_of_losses

EXAMPLES = settings(max_examples=40, deadline=None)
NAN, INF = float("nan"), float("inf")
REWEIGHTED = theory.STRATEGIES[1:]
batches = st.integers(1, 64).flatmap(lambda size: arrays(float, size, elements=st.floats(-50, 50)))
temperatures = st.floats(-1, 1).map(lambda power: 10.0**power)


# shapes and weights -------------------------------------------------------------------------------


def test_scores_have_the_shapes_of_the_paper():
    h = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    expected = {
        "uniform": [0, 0, 0, 0, 0],
        "linupper": [0, 0.5, 1, 1, 1],
        "quadratic": [0, 0.75, 1, 0.75, 0],
        "extremes": [1, 0.5, 0, 0.5, 1],
        "upper": [0, 0.25, 0.5, 0.75, 1],
    }
    for strategy, scores in expected.items():
        assert_allclose(theory.strategy_score(h, strategy), scores)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_delta_scales_all_scores_but_the_quadratic_one(delta):
    h = np.linspace(-1, 1, 9)
    for strategy in theory.STRATEGIES:
        factor = 1 if strategy == "quadratic" else delta
        assert_allclose(
            theory.strategy_score(delta * h, strategy, delta), factor * theory.strategy_score(h, strategy), atol=1e-15
        )


def test_weights_of_a_small_batch_by_hand():
    # h = (-1, 0, 1, 0.5): the mid-range is 2.
    losses = np.array([0.0, 2.0, 4.0, 3.0])
    by_hand = {
        "linupper": [0, 1, 1, 1],
        "quadratic": [0, 1, 0, 0.75],
        "extremes": [1, 0, 1, 0.5],
        "upper": [0, 0.5, 1, 0.75],
    }
    for strategy, scores in by_hand.items():
        e = [math.exp(s / 0.7) for s in scores]
        assert_allclose(theory.sample_weights(losses, strategy, 0.7), [x / sum(e) for x in e], rtol=1e-13)


@EXAMPLES
@given(batches, temperatures, st.sampled_from(REWEIGHTED), st.floats(-3, 3), st.floats(-50, 50), st.integers(0, 2**20))
def test_weights_are_a_distribution_that_affine_maps_keep_and_permutations_permute(losses, r, strategy, power, b, seed):
    losses = losses.round(3)
    w = theory.sample_weights(losses, strategy, r)
    assert w.min() >= 0
    assert_allclose(w.sum(), 1, rtol=1e-12)
    assert_allclose(theory.sample_weights(10.0**power * losses + b, strategy, r), w, atol=1e-7)
    order = np.random.default_rng(seed).permutation(len(losses))
    assert_allclose(theory.sample_weights(losses[order], strategy, r), w[order], atol=1e-14)


@EXAMPLES
@given(batches, temperatures, st.sampled_from(REWEIGHTED))
def test_weights_stay_within_their_bounds_and_a_factor_e_to_the_one_over_r(losses, r, strategy):
    w, M = theory.sample_weights(losses, strategy, r), len(losses)
    low, high = theory.weight_bounds(M, r)
    assert low * (1 - 1e-12) <= w.min()
    assert w.max() <= high * (1 + 1e-12)
    assert w.max() <= w.min() * math.exp(1 / r) * (1 + 1e-12)
    if M > 1:
        assert high < math.exp(1 / r) / M


@pytest.mark.parametrize("strategy", ["linupper", "upper"])
def test_one_outlier_attains_the_bounds(strategy):
    for M in (2, 7, 64):
        hard, easy = np.eye(M)[0], 1 - np.eye(M)[0]
        low, high = theory.weight_bounds(M, 0.8)
        assert_allclose(theory.sample_weights(hard, strategy, 0.8).max(), high, rtol=1e-13)
        assert_allclose(theory.sample_weights(easy, strategy, 0.8).min(), low, rtol=1e-13)


def test_one_outlier_of_any_size_leaves_the_others_nearly_equal():
    losses = np.append(np.linspace(0, 1, 9), 1e6)
    w = theory.sample_weights(losses, "linupper", 1.0)
    assert_allclose(w[:-1], w[0], rtol=1e-5)
    assert w[-1] <= math.e / 10


@pytest.mark.parametrize("strategy", theory.STRATEGIES)
def test_equal_losses_and_a_single_loss_have_equal_weights(strategy):
    for losses in (np.full(5, 3.7), np.array([2.0]), np.array([-1e300])):
        assert_allclose(theory.sample_weights(losses, strategy, 0.3), 1 / len(losses), rtol=1e-14)
        assert_allclose(loss_weights(torch.tensor(losses), strategy, 0.3), 1 / len(losses), rtol=1e-14)


def test_a_range_below_the_floor_shrinks_towards_the_middle():
    assert_allclose(theory.normalize_losses(np.array([1.0, 1.0 + 1e-8])), [-0.01, 0.01], rtol=1e-6)


def test_losses_at_the_ends_of_the_number_range_have_weights():
    for dtype in (torch.float32, torch.float64):
        top = torch.finfo(dtype).max
        w = loss_weights(torch.tensor([top, -top, 0.0], dtype=dtype), "upper", 0.5)
        e = torch.tensor([math.exp(2), 1.0, math.exp(1)], dtype=dtype)
        assert_allclose(w, e / e.sum(), rtol=1e-6)
    w = theory.sample_weights(np.array([1.7e308, -1.7e308, 0.0]), "upper", 0.5)
    assert_allclose(w, np.exp([2, 0, 1]) / np.exp([2, 0, 1]).sum(), rtol=1e-12)


@pytest.mark.parametrize("strategy", REWEIGHTED)
def test_large_r_is_uniform_and_small_r_shares_all_among_the_best_scores(strategy):
    losses = np.array([0.0, 4.0, 4.0, 1.0, 2.0])
    assert np.abs(theory.sample_weights(losses, strategy, 1e9) - 0.2).max() < 1e-9
    scores = theory.strategy_score(theory.normalize_losses(losses), strategy)
    best = scores == scores.max()
    assert_allclose(theory.sample_weights(losses, strategy, 1e-4), best / best.sum(), atol=1e-12)


def test_parts_of_a_batch_are_normalised_by_its_extremes():
    losses = np.array([0.3, 5.0, 1.0, 2.2])
    whole = theory.normalize_losses(losses)
    parts = [theory.normalize_losses(part, lo=0.3, hi=5.0) for part in (losses[:2], losses[2:])]
    assert_allclose(np.concatenate(parts), whole, rtol=1e-14)


def test_lockstep_weights_are_those_of_every_row():
    losses = np.random.default_rng(0).exponential(size=(5, 9))
    r = np.array([0.3, 1.0, 2.0, 0.5, 1.0])
    rows = theory.lockstep_weights(losses, theory.STRATEGIES, r)
    for k, strategy in enumerate(theory.STRATEGIES):
        assert_allclose(rows[k], theory.sample_weights(losses[k], strategy, r[k]), rtol=1e-13)


# the adversary ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["dual", "cvxpy"])
@pytest.mark.parametrize("r", [0.2, 1.0, 4.0])
def test_weights_are_what_a_solver_finds_for_the_adversary(solver, r):
    if solver == "cvxpy":
        pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for M in (1, 2, 9):
        losses = rng.normal(size=M)
        weights, value = theory.kl_dro_solution(losses, r, solver)
        e = np.exp(losses / r)
        assert_allclose(weights, e / e.sum(), atol=1e-4)
        assert_allclose(value, theory.kl_dro_value(losses, r), atol=1e-8)
        assert_allclose(value, r * np.log(e.mean()), atol=1e-8)


@EXAMPLES
@given(arrays(float, 6, elements=st.floats(-20, 20)), temperatures, st.integers(0, 2**20))
def test_no_weights_beat_the_value_which_lies_between_mean_and_maximum(losses, r, seed):
    w = np.random.default_rng(seed).dirichlet(np.full(6, 0.5), 200)
    divergence = (w * np.log(np.maximum(6 * w, 1e-300))).sum(1)
    value = theory.kl_dro_value(losses, r)
    assert (w @ losses - r * divergence <= value + 1e-9).all()
    assert losses.mean() - 1e-9 <= value <= losses.max() + 1e-9


def test_every_strategy_is_the_answer_to_its_scores_and_upper_to_the_losses():
    losses = np.random.default_rng(1).exponential(size=7)
    for strategy in theory.STRATEGIES:
        scores = theory.strategy_score(theory.normalize_losses(losses), strategy)
        found, _ = theory.kl_dro_solution(scores, 0.6, "dual")
        assert_allclose(theory.sample_weights(losses, strategy, 0.6), found, atol=1e-6)
    e = np.exp((losses - losses.max()) / (0.6 * np.ptp(losses)))
    assert_allclose(theory.sample_weights(losses, "upper", 0.6), e / e.sum(), rtol=1e-12)


# the cap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [1.5, 2.0, 3.0])
def test_cap_temperature_is_where_the_largest_weight_equals_the_cap(cap):
    for M in (4, 16, 1000):
        r = theory.cap_temperature(M, cap)
        assert_allclose(M * theory.weight_bounds(M, r)[1], cap, rtol=1e-12)
        assert r < 1 / math.log(cap)
    assert theory.cap_temperature(2, 2.0) == 0


def test_cap_is_broken_at_r_equal_to_one_and_kept_from_one_over_log_two():
    outlier = np.eye(64)[0]
    assert 64 * theory.sample_weights(outlier, "linupper", 1.0).max() > 2.6
    assert 64 * theory.sample_weights(outlier, "linupper", 1 / math.log(2)).max() <= 2


def test_cap_is_proved_from_one_over_log_two_and_refuted_below():
    pytest.importorskip("flint")
    assert theory.certify_cap().proved
    refuted = theory.certify_cap(Fraction(99, 100))
    assert refuted.proved is False


# convergence --------------------------------------------------------------------------------------


def consistent(seed=0, samples=30, dim=8):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, dim))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, X @ rng.normal(size=dim)


@pytest.mark.parametrize("strategy", theory.STRATEGIES)
@pytest.mark.parametrize("r", [0.3, 1.0])
def test_every_step_contracts_and_the_average_gap_is_within_both_bounds(strategy, r):
    X, y = consistent()
    for eta in (0.2, 0.5, 0.9):
        path = theory.reweighted_gd(X, y, strategy, r, eta, 200)
        squared = path["dist"] ** 2
        fall, weighted = -np.diff(squared), path["weighted"]
        assert (fall >= 2 * eta * weighted - 1e-12).all()
        assert (fall >= 2 * eta * (1 - eta) * weighted - 1e-12).all()
        plain, sharp = (f(squared[0], eta, 1.0, path["delta"]) for f in (theory.bound, theory.sharp_bound))
        assert path["loss"].mean() <= sharp <= plain


def test_bounds_are_what_they_say():
    deltas = np.array([0.1, 0.3])
    assert_allclose(theory.bound(3.0, 0.25, 2.0, deltas), 3 / (2 * 0.25 * 0.5 * 2) - 0.2)
    assert_allclose(theory.sharp_bound(3.0, 0.25, 2.0, deltas), 3 / (2 * 0.25 * 2) - 0.2)
    assert_allclose(theory.sharp_bound(3.0, 0.75, 2.0, deltas), 3 / (2 * 0.75 * 0.5 * 2) - 0.2)
    half = theory.bound(1.0, 0.5, 1.0, np.zeros(4)) / theory.sharp_bound(1.0, 0.5, 1.0, np.zeros(4))
    assert_allclose(half, 2.0)


@pytest.mark.parametrize("L", [1.0, 3.0])
def test_huber_attains_the_sharp_bound_in_every_step(L):
    D0_sq, eta, gaps = theory.tight_instance(6, L)
    x, values, squares = torch.tensor(6.0, dtype=torch.float64, requires_grad=True), [], [36.0]
    for _ in range(6):
        value = L * F.huber_loss(x, torch.zeros_like(x))
        (slope,) = torch.autograd.grad(value, x)
        values.append(value.item())
        x = (x - eta * slope).detach().requires_grad_()
        squares.append(x.item() ** 2)
    assert_allclose(gaps, values, rtol=1e-14)
    assert_allclose(-np.diff(squares), 2 * eta * gaps, rtol=1e-12)
    assert_allclose(gaps.mean(), theory.sharp_bound(D0_sq, eta, L, np.zeros(6)), rtol=1e-14)


@EXAMPLES
@given(arrays(float, 12, elements=st.floats(0, 10)), temperatures)
def test_weights_that_grow_with_the_loss_gain_and_those_that_fall_lose(gaps, r):
    for strategy in ("linupper", "upper"):
        assert theory.correlation_gain(theory.sample_weights(gaps, strategy, r), gaps) >= -1e-12
    easy_first = theory.sample_weights(-gaps, "upper", r)
    assert theory.correlation_gain(easy_first, gaps) <= 1e-12


@pytest.mark.parametrize("strategy", ["quadratic", "extremes"])
def test_other_shapes_gain_on_some_batches_and_lose_on_others(strategy):
    many_easy, many_hard = np.array([0.0, 0.1, 0.2, 0.3, 1.0]), np.array([0.0, 0.7, 0.8, 0.9, 1.0])
    gains = [
        theory.correlation_gain(theory.sample_weights(g, strategy), g) for g in (many_easy, many_hard, 1 - many_easy)
    ]
    assert min(gains) < 0 < max(gains)


def test_gain_is_m_times_the_covariance():
    rng = np.random.default_rng(3)
    w, g = rng.dirichlet(np.ones(10)), rng.exponential(size=10)
    assert_allclose(theory.correlation_gain(w, g), 10 * np.cov(w, g, bias=True)[0, 1], rtol=1e-12)


def test_bounds_of_the_package_hold_when_fuzzed():
    for bound in (*theory.BOUNDS, *weights_of_losses.BOUNDS):
        assert check_bound(bound.lhs, bound.rhs, bound.sampler, 1000, rounds=4).holds, bound.name


@pytest.mark.parametrize("strategy", theory.STRATEGIES)
def test_descent_is_what_a_torch_training_loop_with_the_module_does(strategy):
    X, y = consistent(2)
    path = theory.reweighted_gd(X, y, strategy, 0.5, 0.4, 15)
    theta = torch.zeros(X.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer, reweight = torch.optim.SGD([theta], lr=0.4), ReweightedLoss(strategy, r=0.5)
    for t in range(15):
        assert_allclose(path["theta"][t], theta.detach(), atol=1e-12)
        losses = (torch.tensor(X) @ theta - torch.tensor(y)) ** 2 / 2
        optimizer.zero_grad()
        loss = reweight(losses)
        assert_allclose([path["weighted"][t], path["loss"][t]], [loss.item(), losses.mean().item()], atol=1e-12)
        loss.backward()
        optimizer.step()


def test_lockstep_runs_are_the_runs_alone_on_the_same_batches():
    X, y = consistent(4)
    names, r, eta = np.array(["linupper", "extremes"]), np.array([0.5, 1.0]), np.array([0.3, 0.6])
    together = theory.lockstep_sgd(
        X, np.stack([y, y]), lambda losses, _: theory.lockstep_weights(losses, list(names), r), eta, 10, 7,
        np.random.default_rng(5),
    )  # fmt: skip
    for k in range(2):
        alone = theory.reweighted_gd(X, y, names[k], r[k], eta[k], 10, 7, np.random.default_rng(5))
        for name, values in alone.items():
            assert_allclose(together[name][:, k], values, atol=1e-13)


def test_weights_of_another_shape_are_refused(unchecked):
    X, y = consistent()
    with pytest.raises(ValueError, match=r"weighting .* shape \(1, 30\)"):
        theory.lockstep_sgd(X, y[None], lambda losses, _: losses[:, :3], np.array([0.5]), 2)


# the torch twin -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", theory.STRATEGIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_both_rooms_have_the_same_weights(strategy, dtype, tolerance, device):
    losses = np.random.default_rng(6).exponential(size=33)
    for r, delta in ((0.2, 1.0), (1.0, 1.0), (0.7, 2.5)):
        ours = loss_weights(torch.tensor(losses, dtype=dtype, device=device), strategy, r, delta)
        assert ours.dtype == dtype
        assert_allclose(ours.cpu(), theory.sample_weights(losses, strategy, r, delta), rtol=tolerance, atol=tolerance)


def test_half_precision_is_weighted_in_float32(device):
    losses = torch.rand(64, device=device).to(torch.bfloat16)
    w = loss_weights(losses, "linupper", 0.5)
    assert w.dtype == torch.float32
    assert_allclose(w.cpu(), theory.sample_weights(losses.double().cpu().numpy(), "linupper", 0.5), rtol=1e-5)
    assert abs(w.sum().item() - 1) < 1e-6


def test_weights_are_detached_and_leave_the_losses_alone():
    losses = torch.rand(8, requires_grad=True)
    before = losses.detach().clone()
    for strategy in theory.STRATEGIES:
        assert not loss_weights(losses, strategy).requires_grad
    assert torch.equal(losses.detach(), before)


@pytest.mark.parametrize("strategy", theory.STRATEGIES)
def test_gradient_is_the_weighted_sum_of_the_samples_gradients(strategy):
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 3).double()
    x, y = torch.randn(9, 5, dtype=torch.float64), torch.randint(0, 3, (9,))
    losses = F.cross_entropy(model(x), y, reduction="none")
    w = theory.sample_weights(losses.detach().numpy(), strategy, 0.6)
    passes = [torch.autograd.grad(loss, model.weight, retain_graph=True)[0] for loss in losses]
    by_hand = sum(float(each) * g for each, g in zip(w, passes, strict=True))
    (ours,) = torch.autograd.grad(ReweightedLoss(strategy, r=0.6)(losses), model.weight)
    assert_allclose(ours, by_hand, atol=1e-14)


def test_uniform_is_the_plain_mean():
    losses = torch.rand(7)
    assert_allclose(ReweightedLoss("uniform")(losses), losses.mean(), rtol=1e-6)


def test_burn_in_is_the_plain_mean_and_ends_by_count_or_by_the_step_given():
    losses = torch.tensor([0.0, 1.0, 5.0])
    weighted = ReweightedLoss("linupper", r=0.5)(losses)
    reweight = ReweightedLoss("linupper", r=0.5, burnin=2)
    values = [reweight(losses) for _ in range(4)]
    assert_allclose(values, [losses.mean()] * 2 + [weighted] * 2, rtol=1e-6)
    assert_allclose([reweight(losses, step=1), reweight(losses, step=2)], [losses.mean(), weighted], rtol=1e-6)


def test_evaluation_is_the_plain_mean_and_counts_nothing():
    losses = torch.tensor([0.0, 1.0, 5.0])
    reweight = ReweightedLoss("linupper", r=0.5, burnin=1).eval()
    assert_allclose([reweight(losses) for _ in range(3)], losses.mean(), rtol=1e-6)
    assert reweight.steps == 0


def test_steps_are_saved_with_the_state():
    reweight, restored = ReweightedLoss(burnin=3), ReweightedLoss(burnin=3)
    for _ in range(2):
        reweight(torch.rand(4))
    restored.load_state_dict(reweight.state_dict())
    assert restored.steps == 2


def test_schedule_sets_the_temperature_of_every_step():
    anneal = AnnealedTemperature(start=100.0, target=0.4, begin=2, end=6)
    reweight, losses = ReweightedLoss("upper", r_schedule=anneal), torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    for step in range(8):
        expected = theory.sample_weights(losses.numpy(), "upper", anneal(step)) @ losses.numpy()
        assert_allclose(reweight(losses), expected, rtol=1e-12)
    temperatures = [anneal(step) for step in range(8)]
    assert_allclose(temperatures[:3], 100)
    assert_allclose(temperatures[6:], 0.4)
    assert_allclose(np.diff(np.log(temperatures[2:7])), math.log(0.004) / 4)


def test_token_weighting_with_equal_weights_is_the_mean_over_all_tokens():
    lengths, losses = torch.tensor([2, 7, 3]), torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    mean = (lengths * losses).sum() / lengths.sum()
    assert_allclose(ReweightedLoss("uniform", token_weighted=True)(losses, lengths), mean, rtol=1e-12)
    w = theory.sample_weights(losses.numpy(), "linupper", 0.5)
    by_hand = 3 * (w * lengths.numpy() / 12 * losses.numpy()).sum()
    assert_allclose(ReweightedLoss("linupper", 0.5, token_weighted=True)(losses, lengths), by_hand, rtol=1e-12)
    assert_allclose(ReweightedLoss("linupper", token_weighted=True).eval()(losses, lengths), mean, rtol=1e-12)


RANKS = """
import sys
import torch, torch.distributed as dist
from neural.optimization.loss_reweighting import ReweightedLoss, loss_weights
rank, world, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
group = dist.group.WORLD
theta = torch.linspace(-1, 1, 3, dtype=torch.float64).requires_grad_()
X = torch.sin(torch.arange(24, dtype=torch.float64)).reshape(8, 3)
lengths = torch.arange(1, 9)
share = slice(rank * 8 // world, (rank + 1) * 8 // world)
found = {}
for tokens in (False, True):
    losses = ((X @ theta) ** 2)[share]
    found[f"weights"] = loss_weights(losses, "linupper", 0.5, group=group)
    loss = ReweightedLoss("linupper", 0.5, token_weighted=tokens, group=group)(losses, lengths[share])
    (gradient,) = torch.autograd.grad(loss, theta)
    dist.all_reduce(gradient)  # what data-parallel training does, with a division by the number of ranks
    found[f"gradient {tokens}"] = gradient / world
if rank == 1:  # alone, which would wait for ever if evaluation talked to the other
    found["evaluated"] = ReweightedLoss("linupper", 0.5, group=group).eval()(losses)
bad = losses.detach().clone()
if rank == 1: bad[0] = float("nan")
try:
    loss_weights(bad, group=group)
except ValueError as error:
    found["error"] = str(error)
from safetensors.torch import save_file
tensors = {name: value.detach().clone() for name, value in found.items() if name != "error"}
save_file(tensors, f"{out}/{rank}.safetensors", metadata={"error": found["error"]})
dist.destroy_process_group()
"""


def _tensors_and_error(path):
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()} | file.metadata()  # noqa: SIM118


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_ranks_train_as_one_and_refuse_together(tmp_path):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RANKS, str(rank), "2", str(tmp_path / "store"), str(tmp_path)],
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    found = [_tensors_and_error(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    theta = torch.linspace(-1, 1, 3, dtype=torch.float64).requires_grad_()
    X = torch.sin(torch.arange(24, dtype=torch.float64)).reshape(8, 3)
    losses = (X @ theta) ** 2
    assert_allclose(torch.cat([each["weights"] for each in found]), loss_weights(losses, "linupper", 0.5), rtol=1e-12)
    for tokens in (False, True):
        alone = ReweightedLoss("linupper", 0.5, token_weighted=tokens)(losses, torch.arange(1, 9))
        (gradient,) = torch.autograd.grad(alone, theta, retain_graph=True)
        for each in found:
            assert_allclose(each[f"gradient {tokens}"], gradient, rtol=1e-12)
    assert_allclose(found[1]["evaluated"].detach(), losses[4:].mean().detach(), rtol=1e-12)
    assert [each["error"] for each in found] == ["losses must be finite, got 1 of 8 NaN or infinite"] * 2


@pytest.mark.gpu
def test_bad_losses_on_cuda_make_every_weight_nan():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for bad in (NAN, INF, -INF):
        for strategy in theory.STRATEGIES:
            w = loss_weights(torch.tensor([1.0, bad, 2.0], device="cuda"), strategy)
            assert w.isnan().any()


def test_sequence_losses_are_the_mean_cross_entropies_of_the_shifted_targets(device):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 11, generator=generator, dtype=torch.float64).to(device)
    labels = torch.randint(0, 11, (4, 6), generator=generator).to(device)
    labels[0, 3:] = -100
    labels[1, :2] = -100
    losses, lengths = sequence_losses(logits, labels)
    assert lengths.tolist() == [2, 4, 5, 5]
    for k in range(4):
        expected = F.cross_entropy(logits[k, :-1], labels[k, 1:], ignore_index=-100)
        assert_allclose(losses[k].cpu(), expected.cpu(), rtol=1e-12)
    assert_allclose(sequence_losses(logits, labels, chunk=2)[0].cpu(), losses.cpu(), rtol=1e-12)


def test_token_weighted_sequence_losses_are_the_loss_of_a_hugging_face_model():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32)).eval()
    ids = torch.randint(0, 32, (3, 9))
    labels = ids.clone()
    labels[0, 5:] = -100
    out = model(input_ids=ids, labels=labels)
    losses, lengths = sequence_losses(out.logits, labels)
    ours = ReweightedLoss("uniform", token_weighted=True)(losses, lengths)
    assert_allclose(ours.item(), out.loss.item(), rtol=1e-5)


# bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (torch.tensor([1.0, NAN, INF]), "2 of 3"),
        (torch.tensor([1.0, -INF]), "1 of 2"),
        (torch.zeros(0), "losses"),
        (torch.zeros(2, 2), "vector"),
        (torch.tensor([1, 2]), "floating"),
        ([1.0, 2.0], "losses"),
    ],
)
def test_bad_losses_are_refused_with_their_number(unchecked, losses, message):
    with pytest.raises(ValueError, match=message):
        loss_weights(losses)
    with pytest.raises(ValueError, match=f"per_sample_losses.*{message}|{message}"):
        ReweightedLoss()(losses)


def test_finite_losses_whose_sum_overflows_are_accepted():
    assert torch.isfinite(loss_weights(torch.full((3,), 3e38))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loss_weights(torch.rand(3), "softmax"), "strategy"),
        (lambda: loss_weights(torch.rand(3), r=0.0), "r must"),
        (lambda: loss_weights(torch.rand(3), delta=-1.0), "delta"),
        (lambda: ReweightedLoss(burnin=-1), "burnin"),
        (lambda: ReweightedLoss(r_schedule=3.0), "r_schedule"),
        (lambda: ReweightedLoss(r_schedule=lambda step: -1.0)(torch.rand(3)), "r_schedule"),
        (lambda: ReweightedLoss(token_weighted=True)(torch.rand(3)), "lengths"),
        (lambda: ReweightedLoss()(torch.rand(3), torch.tensor([1, 2])), r"lengths must have shape \(3,\)"),
        (lambda: ReweightedLoss()(torch.rand(2), torch.tensor([0, 2])), "lengths must be at least 1"),
        (lambda: AnnealedTemperature(1.0, 1.0, 5, 5), "end"),
        (lambda: sequence_losses(torch.rand(1, 3, 4), torch.full((1, 3), -100)), "number 0 has none"),
        (lambda: sequence_losses(torch.rand(1, 3, 4), torch.tensor([[0, 4, 1]])), "vocabulary"),
        (lambda: sequence_losses(torch.rand(1, 3, 4), torch.tensor([[0, 1]])), "labels"),
        (lambda: theory.normalize_losses(np.array([1.0, 2.0]), lo=1.5), "lo"),
        (lambda: theory.normalize_losses(np.array([1.0, 2.0]), hi=1.5), "hi"),
        (lambda: theory.strategy_score(np.array([1.2]), "upper"), "delta"),
        (lambda: theory.sample_weights(np.array([[1.0, 2.0]])), "losses"),
        (lambda: theory.bound(1.0, 1.0, 1.0, np.zeros(2)), "eta"),
        (lambda: theory.bound(-1.0, 0.5, 1.0, np.zeros(2)), "D0_sq"),
        (lambda: theory.sharp_bound(1.0, 2.0, 1.0, np.zeros(2)), "eta"),
        (lambda: theory.correlation_gain(np.array([0.5, 0.6]), np.zeros(2)), "weights"),
        (lambda: theory.cap_temperature(4, 1.0), "cap"),
        (lambda: theory.reweighted_gd(np.eye(2), np.zeros(2), "upper", 1.0, 0.5, 3, batch=3), "batch"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()


# the experiments ----------------------------------------------------------------------------------


def test_every_strategy_has_as_many_settings():
    regression = simulation.simulate_regression(simulation.Regression(samples=200, steps=5), 0, "cpu")
    assert isinstance(regression, Replicate)
    assert regression.table.groupby(["noise", "strategy"]).size().nunique() == 1
    language = simulate_language(Language(steps=1, held_out=4, evaluations=1), 0, "cpu")
    assert language.table.groupby(["width", "strategy"]).size().nunique() == 1


def test_settings_are_chosen_by_the_mean_over_replicates_on_held_out_data():
    table = pd.DataFrame(
        [
            {"replicate": k, "width": 8, "strategy": s, "r": 1.0, "learning_rate": rate, "held_out": held[k], "test": -held[k]}
            for s in ("a", "b") for rate, held in ((0.1, (0.0, 3.0)), (0.2, (1.0, 1.0))) for k in range(2)
        ]
    )  # fmt: skip
    assert set(simulation.tuned(table, "held_out", ("width",))["learning_rate"]) == {0.2}


def test_shuffled_weights_are_linuppers_in_another_order():
    generator = torch.Generator().manual_seed(0)
    losses, order = torch.rand(16, generator=generator), torch.randperm(16, generator=generator)
    from simulations.optimization.redundant_text import _weights

    ours, shuffled = (_weights(losses, (name, 0.5, 0.1), False, order) for name in ("linupper", SHUFFLED))
    assert torch.equal(shuffled, ours[order])
    assert not torch.equal(shuffled, ours)


def test_the_docstrings_three_lines_train_a_model():
    from neural.tiny_lm.model import TinyGPT

    torch.manual_seed(0)
    model, ids = TinyGPT(11, 16, 1, 2, 8), torch.randint(0, 11, (6, 8))
    optimizer, labels = torch.optim.AdamW(model.parameters(), lr=1e-2), ids
    assert re.search("reweight = ReweightedLoss", neural.__doc__ or "")
    reweight = ReweightedLoss("linupper", r=1.0, burnin=5)
    course = []
    for _ in range(30):
        losses, _ = sequence_losses(model(ids), labels)
        optimizer.zero_grad()
        reweight(losses).backward()
        optimizer.step()
        course.append(losses.mean().item())
    assert course[-1] < 0.5 * course[0]
