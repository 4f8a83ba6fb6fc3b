"""Worst-case forget sets: the projection, the sign-based lower level, exhaustive search, every method of unlearning."""

import re
import warnings
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from neural.ensemble import EnsembleLinear
from neural.unlearning import unlearning_methods as methods
from neural.unlearning import worst_case_forget as neural
from simulations.unlearning import digit_forget_sets, digit_models
from simulations.unlearning import worst_case_forget as simulation
from theory.fuzz import check_bound
from theory.unlearning import simplex_projection
from theory.unlearning import worst_case_forget as theory

EXAMPLES = settings(max_examples=60, deadline=None)
vectors = st.integers(1, 40).flatmap(
    lambda size: st.one_of(
        arrays(float, size, elements=st.floats(-20, 20)),
        arrays(float, size, elements=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0])),
    )
)
shares = st.floats(0, 1)


# projection ---------------------------------------------------------------------------------------


def _root(v, m):
    """The weights from the definition: the piece of h that holds m, found by trying every breakpoint."""
    h = lambda mu: np.clip(v - mu, 0, 1).sum()  # noqa: E731
    breaks = np.unique(np.concatenate([v, v - 1]))
    for left, right in pairwise(breaks):
        if h(left) >= m >= h(right):
            part = 0.0 if h(left) == h(right) else (h(left) - m) / (h(left) - h(right))
            return np.clip(v - (left + part * (right - left)), 0, 1)
    return np.clip(v - (breaks[0] if m >= h(breaks[0]) else breaks[-1]), 0, 1)


@EXAMPLES
@given(vectors, shares)
def test_the_projection_is_feasible_optimal_and_the_same_by_three_routes(v, share):
    m = share * len(v)
    expected = _root(v, m)
    for method in ("sort", "bisection"):
        w = theory.project_capped_simplex(v, m, method)
        assert theory.kkt_violation(v, w, m) <= 1e-7
        np.testing.assert_allclose(w, expected, atol=1e-8)
        twin = neural.project_capped_simplex(torch.tensor(v), m, method)
        np.testing.assert_allclose(twin.numpy(), w, atol=1e-9)
    assert theory.project_capped_simplex(v, m, "sort").sum() == pytest.approx(m, abs=1e-12 * (1 + len(v)))


@EXAMPLES
@given(vectors, shares, st.floats(-100, 100))
def test_the_projection_repeats_itself_and_ignores_a_constant(v, share, constant):
    m = share * len(v)
    w = theory.project_capped_simplex(v, m, "sort")
    np.testing.assert_allclose(theory.project_capped_simplex(w, m, "sort"), w, atol=1e-12)
    np.testing.assert_allclose(theory.project_capped_simplex(v + constant, m, "sort"), w, atol=1e-12)


@EXAMPLES
@given(vectors, shares, st.integers(0, 2**31))
def test_no_feasible_point_is_nearer(v, share, seed):
    m = share * len(v)
    w = theory.project_capped_simplex(v, m, "sort")
    others = np.random.default_rng(seed).normal(size=(20, len(v))) * 3
    for z in others:
        z = theory.project_capped_simplex(z, m, "sort")
        assert ((w - v) ** 2).sum() <= ((z - v) ** 2).sum() + 1e-9


def test_the_projection_solves_the_quadratic_program():
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for size, m in ((5, 2.0), (30, 7.5), (200, 20.0)):
        v = rng.normal(size=size) * 2
        w = cvxpy.Variable(size)
        problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(w - v)), [w >= 0, w <= 1, cvxpy.sum(w) == m])
        problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        np.testing.assert_allclose(theory.project_capped_simplex(v, m, "sort"), w.value, atol=1e-6)


@pytest.mark.parametrize("m", [0, 3, 5])
def test_whole_sums_with_gaps_give_whole_weights(m):
    v = np.array([10.0, 8.0, 6.0, 4.0, 2.0])
    for method in ("sort", "bisection"):
        assert theory.project_capped_simplex(v, m, method).tolist() == [1.0] * m + [0.0] * (5 - m)


def test_large_numbers_and_ties_are_projected_exactly():
    w = theory.project_capped_simplex(np.full(100_000, 1e6), 12_345.0, "sort")
    np.testing.assert_allclose(w, 0.12345, atol=1e-9)
    v = np.random.default_rng(1).normal(size=100_000)
    assert theory.project_capped_simplex(v, 10_000, "sort").sum() == pytest.approx(10_000, abs=1e-8)
    assert abs(theory.project_capped_simplex(v, 10_000, "bisection").sum() - 10_000) < 1e-3


def test_wrong_points_violate_the_optimality_conditions():
    v, m = np.array([2.0, 0.5, 0.1, -1.0]), 1.5
    right = theory.project_capped_simplex(v, m)
    assert theory.kkt_violation(v, right, m) < 1e-8
    clipped = np.clip(v, 0, 1)
    for wrong in (clipped * m / clipped.sum(), np.full(4, m / 4), np.array([1.0, 0.5, 0.0, 0.1]), right + 0.01):
        assert theory.kkt_violation(v, wrong, m) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_torch_projection_keeps_dtype_and_device(dtype, device):
    v = torch.linspace(-2, 2, 50, dtype=dtype, device=device)
    for method in ("sort", "bisection"):
        w = neural.project_capped_simplex(v, 5.5, method)
        assert (w.dtype, w.device) == (dtype, v.device)
        expected = theory.project_capped_simplex(v.double().cpu().numpy(), 5.5, "sort")
        np.testing.assert_allclose(w.cpu().numpy(), expected, atol=1e-6 if dtype == torch.float32 else 1e-9)


def test_bounds_of_the_projection_hold():
    for bound in simplex_projection.BOUNDS:
        report = check_bound(bound.lhs, bound.rhs, bound.sampler, 5_000, rounds=8)
        assert report.holds, report
        assert report.worst_ratio > 0.99  # attained: no smaller constant would do


# upper level --------------------------------------------------------------------------------------


@EXAMPLES
@given(arrays(float, st.integers(3, 15), elements=st.floats(0, 5)), st.floats(0.05, 0.95), st.floats(1e-3, 1.0))
def test_upper_steps_at_fixed_losses_converge_to_the_closed_form(losses, share, gamma):
    m = share * len(losses)
    for direction, sign in (("worst", 1.0), ("easiest", -1.0)):
        w = np.full(len(losses), m / len(losses))
        for _ in range(40):  # each takes the distance to 0.4 of it
            w = theory.project_capped_simplex(w - (0.3 / gamma) * (sign * losses + 2 * gamma * w), m, "sort")
        np.testing.assert_allclose(theory.fixed_loss_weights(losses, m, gamma, direction), w, atol=1e-7)


def test_fixed_losses_choose_the_lowest_exactly_from_a_gap_of_two_gamma():
    for gap, whole in ((0.21, True), (0.19, False)):
        w = theory.fixed_loss_weights(np.array([0.1, 0.5, 0.5 + gap, 2.0]), 2, gamma=0.1)
        assert (set(w) == {0.0, 1.0}) == whole


# lower level and exhaustive search ----------------------------------------------------------------


def _problem(samples=9, dim=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.normal(size=(classes, dim))
    y = rng.integers(0, classes, samples)
    y[:classes] = np.arange(classes)
    return centres[y] + rng.normal(size=(samples, dim)), y, 0.3 * rng.normal(size=(dim, classes))


def _linear(theta0):
    model = nn.Linear(*theta0.shape, bias=False, dtype=torch.float64)
    model.weight = nn.Parameter(torch.tensor(theta0.T.copy()))
    return model


@pytest.mark.parametrize("forget_weight", [0.0, 0.7])
def test_the_lower_level_is_the_same_in_numpy_and_torch(forget_weight):
    X, y, theta0 = _problem()
    w = np.random.default_rng(1).uniform(size=(3, len(y)))
    ours = theory.sign_unlearning(X, y, w, theta0, 12, 0.03, forget_weight)
    for row, theta in zip(w, ours, strict=True):
        fitted = neural.sign_unlearn(
            _linear(theta0), torch.tensor(X), torch.tensor(y), torch.tensor(row), 12, 0.03, forget_weight=forget_weight
        )
        np.testing.assert_allclose(next(fitted.parameters()).detach().numpy().T, theta, atol=1e-12)


def test_exhaustive_search_is_the_definition_set_by_set():
    X, y, theta0 = _problem(samples=6)
    values, sets = theory.exhaustive_search(X, y, 2, 8, 0.05, theta0)
    assert [tuple(s) for s in sets] == list(combinations(range(6), 2))
    for value, chosen in zip(values, sets, strict=True):
        rest = [i for i in range(6) if i not in chosen]
        model = _linear(theta0)
        optimizer = neural.SignSGD(model.parameters(), 0.05)
        for _ in range(8):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.tensor(X[rest])), torch.tensor(y[rest])).backward()
            optimizer.step()
        left = F.cross_entropy(model(torch.tensor(X[chosen])), torch.tensor(y[chosen]), reduction="sum")
        assert float(left.detach()) == pytest.approx(value, rel=1e-9)


def test_the_solver_is_close_to_the_best_of_all_sets():
    gaps = []
    for seed in range(8):
        X, y, theta0 = _problem(samples=12, seed=seed)
        values, sets = theory.exhaustive_search(X, y, 3, 30, 0.03, theta0)
        found = neural.select_forget_set(_linear(theta0), torch.tensor(X), torch.tensor(y), 3, 30, 0.03, 8, 5.0)
        value = values[(sets == found.indices.numpy()).all(1)][0]
        gaps.append((value - values.min()) / (values.mean() - values.min()))
    assert np.mean(gaps) < 0.05


def test_the_sign_hides_the_weights_from_the_parameters_and_plain_descent_does_not():
    X, y, theta0 = _problem(samples=30, dim=8)
    w = np.full((2, 30), 0.3)
    w[:, 4] += [1e-7, -1e-7]
    first, second = theory.sign_unlearning(X, y, w, theta0, 20, 0.01)
    assert (first == second).all()
    moved = []
    for row in w:
        theta = torch.tensor(theta0, requires_grad=True)
        for _ in range(20):
            losses = F.cross_entropy(torch.tensor(X) @ theta, torch.tensor(y), reduction="none")
            (gradient,) = torch.autograd.grad(((1 - torch.tensor(row)) * losses).sum(), theta)
            theta = (theta - 0.01 * gradient).detach().requires_grad_()
        moved.append(theta.detach())
    assert (moved[0] != moved[1]).all()


# selection ----------------------------------------------------------------------------------------


def _network(seed=0, dtype=torch.float32):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)).to(dtype)


def _blobs(samples=60, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(samples) % 3
    X = 2 * F.one_hot(y, 4) + torch.randn(samples, 4, generator=generator)
    return X.to(device, dtype), y.to(device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worst_sets_are_fitted_better_after_unlearning_than_easiest_ones(dtype, device):
    (X, y), model = _blobs(dtype=dtype, device=device), _network(dtype=dtype).to(device)
    model = methods.unlearn("FT", model, (X, y), (X, y), epochs=20, learning_rate=1e-2, batch_size=8)
    before = [p.clone() for p in model.parameters()]
    losses = {}
    for direction in ("worst", "easiest"):
        found = neural.select_forget_set(model, X, y, 10, 20, 1e-3, 5, 5.0, direction=direction, batch_size=16)
        assert (len(found.indices), found.history.shape, found.w.dtype) == (10, (5,), dtype)
        assert float(found.w.sum()) == pytest.approx(10, abs=1e-4)
        losses[direction] = neural.example_scores(model, X, y, "loss")[found.indices].mean()
    assert losses["worst"] < 0.1 * losses["easiest"]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_selection_is_reproducible_and_tiny_outer_steps_stay_at_a_binary_start():
    (X, y), model = _blobs(), _network()
    call = {"m": 7, "inner_steps": 5, "inner_lr": 1e-3, "outer_steps": 3}
    first, second = (neural.select_forget_set(model, X, y, **call, outer_lr=5.0, batch_size=8) for _ in range(2))
    assert torch.equal(first.w, second.w)
    assert torch.equal(first.history, second.history)
    stuck = neural.select_forget_set(model, X, y, **call, outer_lr=1e-3, init="random", seed=3)
    start = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:7].sort().values
    assert torch.equal(stuck.indices, start)


def test_groups_are_chosen_whole_and_a_size_that_does_not_fit_warns():
    (X, y), model = _blobs(), _network()
    call = {"inner_steps": 3, "inner_lr": 1e-3, "outer_steps": 2, "outer_lr": 1.0, "groups": y}
    found = neural.select_forget_set(model, X, y, 20, **call)
    assert (len(torch.unique(y[found.indices])), len(found.indices)) == (1, 20)
    for group in range(3):
        assert len(torch.unique(found.w[y == group])) == 1
    with pytest.warns(UserWarning, match="do not add up to m = 33: 40 points"):
        assert len(neural.select_forget_set(model, X, y, 33, **call).indices) == 40


def test_scores_are_their_definitions():
    (X, y), model = _blobs(samples=9), _network()
    for i in range(9):
        loss = F.cross_entropy(model(X[i : i + 1]), y[i : i + 1])
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
        error = model(X[i : i + 1]).softmax(1)[0] - F.one_hot(y[i], 3)
        for name, expected in (("loss", loss), ("el2n", error.norm()), ("grad-norm", gradient.norm())):
            assert float(neural.example_scores(model, X, y, name)[i]) == pytest.approx(
                float(expected.detach()), rel=1e-4
            )


def test_losses_that_are_not_finite_are_refused():
    (X, y), model = _blobs(), _network()
    with pytest.raises(ValueError, match="inner_lr must keep all losses finite"):
        neural.select_forget_set(model, X, y, 5, 3, 1e30, 2, 1.0)
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="model must have finite losses"):
        neural.select_forget_set(model, X, y, 5, 3, 1e-3, 2, 1.0)


@pytest.mark.parametrize("m", [0, 60, 100])
def test_sets_of_no_or_all_points_are_refused(m):
    (X, y), model = _blobs(), _network()
    with pytest.raises(ValueError, match=r"\bm must"):
        neural.select_forget_set(model, X, y, m, 3, 1e-3, 2, 1.0)


# methods of unlearning ----------------------------------------------------------------------------


class _Stacked(EnsembleLinear):
    def reset_parameters(self):
        fresh = torch.empty_like(self.weight[:1]).uniform_(-0.3, 0.3)
        with torch.no_grad():
            self.weight.copy_(fresh.expand_as(self.weight))
            self.bias.zero_()


class _Plain(nn.Linear):
    """``nn.Linear`` that is made anew as ``_Stacked`` is."""

    def reset_parameters(self):
        with torch.no_grad():
            self.weight.copy_(self.weight.new_empty(self.in_features, self.out_features).uniform_(-0.3, 0.3).T)
            self.bias.zero_()


def _stack(models):
    generator = torch.Generator().manual_seed(0)
    stacked = nn.Sequential(_Stacked(2, 4, 12, generator), nn.ReLU(), _Stacked(2, 12, 3, generator))
    with torch.no_grad():
        for layer in (0, 2):
            stacked[layer].weight.copy_(torch.stack([m[layer].weight.T for m in models]))
            stacked[layer].bias.copy_(torch.stack([m[layer].bias[None] for m in models]))
    return stacked


def _plain_network(seed):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = nn.Sequential(_Plain(4, 12), nn.ReLU(), _Plain(12, 3))
        for p in model.parameters():
            nn.init.uniform_(p, -0.4, 0.4)
    return model


def _base(model, seed=0):
    X, y = _blobs(seed=seed)
    trained = methods.unlearn("FT", model, (X, y), (X, y), epochs=20, learning_rate=1e-2, batch_size=8)
    return trained, (X[:12], y[:12]), (X[12:], y[12:])


@pytest.mark.parametrize("method", methods.METHODS)
def test_an_ensemble_is_unlearned_as_its_models_would_be_alone(method):
    # Adam divides by the root of squared gradients, which makes rounding visible where they vanish: float64.
    models, forget, retain = zip(*(_base(_plain_network(k), k) for k in range(2)), strict=True)
    models = [m.double() for m in models]
    forget, retain = ([(x.double(), y) for x, y in data] for data in (forget, retain))
    stacked = _stack(models).double()
    together = [tuple(torch.stack(each) for each in zip(*data, strict=True)) for data in (forget, retain)]
    call = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 16, "seed": 5, "layers": 1, "ascent_epochs": 1}
    unlearned = methods.unlearn(method, stacked, *together, **call)
    for k in range(2):
        alone = methods.unlearn(method, models[k], forget[k], retain[k], **call)
        for layer in (0, 2):
            torch.testing.assert_close(unlearned[layer].weight[k].T, alone[layer].weight, atol=1e-9, rtol=1e-6)
            torch.testing.assert_close(unlearned[layer].bias[k, 0], alone[layer].bias, atol=1e-9, rtol=1e-6)


def _loss(model, data):
    return float(F.cross_entropy(model(data[0]), data[1]).detach())


@pytest.mark.parametrize("method", ["GA", "RL", "boundary-shrink", "boundary-expand", "SalUn", "SCRUB"])
def test_methods_that_act_on_forgotten_data_raise_their_loss(method):
    model, forget, retain = _base(_network())
    unlearned = methods.unlearn(method, model, forget, retain, epochs=5, learning_rate=1e-2, batch_size=16)
    assert _loss(unlearned, forget) > _loss(model, forget)


@pytest.mark.parametrize("method", ["FT", "CF-k", "EU-k", "retrain"])
def test_methods_that_only_see_retained_data_fit_them(method):
    model, forget, retain = _base(_network())
    unlearned = methods.unlearn(method, model, forget, retain, epochs=60, learning_rate=1e-2, batch_size=16)
    assert _loss(unlearned, retain) < 0.4


def test_last_layer_methods_leave_the_others_alone_and_differ_in_their_start():
    model, forget, retain = _base(_network())
    call = {"epochs": 1, "learning_rate": 1e-6, "layers": 1}
    eu, cf = (methods.unlearn(method, model, forget, retain, **call) for method in ("EU-k", "CF-k"))
    for each in (eu, cf):
        assert torch.equal(each[0].weight, model[0].weight)
    torch.testing.assert_close(cf[2].weight, model[2].weight, atol=1e-4, rtol=0)
    assert (eu[2].weight - model[2].weight).abs().max() > 0.1
    assert all(p.requires_grad for p in eu.parameters())


def test_saliency_moves_the_stated_share_of_parameters():
    model, forget, retain = _base(_network())
    unlearned = methods.unlearn("SalUn", model, forget, retain, epochs=1, learning_rate=1e-3, saliency=0.75)
    changed = [(a != b).sum() for a, b in zip(model.parameters(), unlearned.parameters(), strict=True)]
    total = sum(p.numel() for p in model.parameters())
    assert 0.15 * total <= sum(map(int, changed)) <= 0.25 * total + 1


def test_sparsity_shrinks_the_weights():
    model, forget, retain = _base(_network())
    sizes = [
        sum(
            float(p.detach().abs().sum())
            for p in methods.unlearn(
                "l1-sparse", model, forget, retain, learning_rate=1e-2, batch_size=8, l1=l1
            ).parameters()
        )
        for l1 in (0.0, 0.02)
    ]
    assert sizes[1] < 0.8 * sizes[0]
    zero, plain = (methods.unlearn(method, model, forget, retain, epochs=2, l1=0.0) for method in ("l1-sparse", "FT"))
    torch.testing.assert_close(zero[0].weight, plain[0].weight)


def test_boundary_shrink_relabels_with_another_class_only():
    model = nn.Linear(1, 2, bias=False)
    model.weight = nn.Parameter(torch.tensor([[-4.0], [4.0]]))
    data = torch.tensor([[2.0], [-2.0]]), torch.tensor([1, 0])
    unlearned = methods.unlearn("boundary-shrink", model, data, data, epochs=1, learning_rate=0.1)
    assert unlearned.weight[0] > -4
    assert unlearned.weight[1] < 4


def test_retraining_does_not_depend_on_the_model_or_the_forgotten_data():
    _, forget, retain = _base(_network())
    first = methods.unlearn("retrain", _network(1), forget, retain, epochs=2, seed=4)
    other = (torch.zeros_like(forget[0]), forget[1])
    second = methods.unlearn("retrain", _network(2), other, retain, epochs=2, seed=4)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


# metrics ------------------------------------------------------------------------------------------


def test_the_attacker_finds_members_that_look_like_members():
    generator = torch.Generator().manual_seed(0)

    class Confidence(nn.Module):
        """The input itself is the probability of class 1."""

        def forward(self, x):
            return torch.cat([(1 - x).log(), x.log()], 1)

    sure, unsure = (
        0.98 + 0.01 * torch.rand(50, 1, generator=generator),
        0.4 + 0.2 * torch.rand(50, 1, generator=generator),
    )
    ones = torch.ones(50, dtype=torch.long)
    model = Confidence()
    assert methods.svc_mia(model, (sure, ones), (sure, ones), (unsure, ones)) == 0
    assert methods.svc_mia(model, (unsure, ones), (sure, ones), (unsure, ones)) == 100
    metrics = methods.unlearning_metrics(model, (1 - sure, ones), (sure, ones), (unsure, ones))
    assert (metrics["UA"], metrics["RA"]) == (100, 100)
    assert 0 < metrics["TA"] < 100
    assert methods.average_gap(metrics, metrics) == 0


def test_bad_data_are_refused_by_name(unchecked):
    model, data = _network(), _blobs(samples=6)
    for wrong in ((data[0][:0], data[1][:0]), (data[0], data[1][:4]), (data[0], data[1] + 5), (data[0],), data[0]):
        with pytest.raises(ValueError, match="forget"):
            methods.unlearn("FT", model, wrong, data)
    with pytest.raises(ValueError, match="layers must be at most"):
        methods.unlearn("CF-k", model, data, data, layers=3)
    with pytest.raises(ValueError, match=re.escape("reset_parameters")):
        methods.unlearn("retrain", _Fixed(), data, data)


class _Fixed(nn.Module):
    """A layer of its own kind, without ``reset_parameters``."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3))

    def forward(self, x):
        return x @ self.weight


def test_groups_that_fit_do_not_warn():
    (X, y), model = _blobs(), _network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        neural.select_forget_set(model, X, y, 40, 2, 1e-3, 2, 1.0, groups=y)


# simulation ---------------------------------------------------------------------------------------


def test_stacked_digit_models_are_their_plain_modules():
    split = digit_models.digit_split(0, train=60)
    training = digit_models.Training(hidden=(8, 5), epochs=2)
    models = digit_models.trained_on(split.train, torch.arange(60).expand(3, -1), 1, training)
    again = digit_models.DigitClassifiers.stacked_from([models.model(k) for k in (2, 0)])
    x = split.test[0][:7]
    logits = models(x.expand(3, -1, -1))
    torch.testing.assert_close(again(x.expand(2, -1, -1)), logits[[2, 0]])
    torch.testing.assert_close(models.model(1)(x), logits[1])
    assert not torch.allclose(logits[0], logits[1])


def test_parts_of_the_digits_are_disjoint_and_complements_complete():
    split = digit_models.digit_split(3, train=1200)
    sizes = [len(part[1]) for part in (split.train, split.validation, split.test)]
    assert sizes == [1200, 298, 299]
    rows = torch.tensor([4, 0, 2])
    assert digit_models.without(rows, 6).tolist() == [1, 3, 5]
    assert torch.equal(digit_models.rows_of(split.train, rows)[1], split.train[1][rows])


def test_learning_rates_are_chosen_on_the_tuning_part_alone():
    rows = [
        {"replicate": k, "method": "RL", "set": "random", "part": part, "learning_rate": rate, "gap": gap}
        for k in range(3)
        for part, rate, gap in (("tuning", 0.1, 1.0), ("tuning", 0.2, 2.0), ("test", 0.1, 9.0), ("test", 0.2, 3.0))
    ]
    assert simulation._tuned_gap(pd.DataFrame(rows), "RL", "random", "random").tolist() == [9.0] * 3


def test_ranks_of_a_constant_agree_with_nothing():
    assert digit_forget_sets._ranks_agree(np.ones(4), np.arange(4.0)) == 0
    assert digit_forget_sets._ranks_agree(np.array([1.0, 5.0, 6.0]), np.arange(3.0)) == pytest.approx(1)


def test_unrolling_undoes_gradient_descent_up_to_second_order_in_its_rate():
    start, (x, y), (kept_x, kept_y) = _network().double(), *(_base(_network())[1:])
    x, kept_x, steps, errors = x.double(), kept_x.double(), 20, []
    everything = torch.cat([x, kept_x]), torch.cat([y, kept_y])
    count = len(everything[1])

    def descended(data, rate):
        model = methods.untrained(start, 3).train()
        for _ in range(steps):
            loss = F.cross_entropy(model(data[0]), data[1], reduction="sum") / count
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, g in zip(model.parameters(), gradients, strict=True):
                    p.sub_(rate * g)
        return model

    for rate in (2e-3, 1e-3):
        strength = rate * steps * len(y) / count
        unlearned = methods.unroll(descended(everything, rate), methods.untrained(start, 3), (x, y), strength)
        pairs = zip(unlearned.parameters(), descended((kept_x, kept_y), rate).parameters(), strict=True)
        errors.append(max(float((a - b).detach().abs().max()) for a, b in pairs))
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_an_untrained_model_is_where_retraining_starts():
    model, forget, retain = _base(_network())
    trained = methods.unlearn("retrain", model, forget, retain, epochs=1, learning_rate=1e-12, seed=4)
    for a, b in zip(trained.parameters(), methods.untrained(model, 4).parameters(), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(ValueError, match="start"):
        methods.unroll(model, nn.Linear(2, 2), forget, 0.1)
