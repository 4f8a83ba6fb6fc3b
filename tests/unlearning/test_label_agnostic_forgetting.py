"""Label-agnostic forgetting: closed forms and bounds of its losses, the VAEs, the method, and the tasks it is tried on."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.integrate import quad
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from neural.ensemble import EnsembleLinear
from neural.unlearning import label_agnostic_forgetting as neural
from simulations.unlearning import forgetting_tasks
from simulations.unlearning import label_agnostic_forgetting as simulation
from theory.fuzz import check_bound
from theory.unlearning import label_agnostic_forgetting as theory

EXAMPLES = settings(max_examples=60, deadline=None)
errors = arrays(float, st.integers(1, 12), elements=st.floats(0, 1e6))
distances = arrays(float, st.integers(1, 12), elements=st.floats(0, 2))
temperatures = st.floats(0.05, 50)
DTYPES = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


def _random(*shape, seed=0, dtype=torch.float64, device="cpu"):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device, dtype)


# closed forms -------------------------------------------------------------------------------------


@EXAMPLES
@given(errors)
def test_phi_rises_from_one_and_stays_below_e_by_what_is_stated(u):
    values = theory.phi(u)
    assert ((values >= 1) & (values < math.e)).all()
    assert (np.diff(theory.phi(np.sort(u))) >= 0).all()
    low, high = theory.saturation_bounds(u)
    assert (low <= math.e - values + 1e-14).all()
    assert (math.e - values <= high + 1e-14).all()


@EXAMPLES
@given(arrays(float, 5, elements=st.floats(1e-3, 1e3)))
def test_derivatives_are_those_of_finite_differences(u):
    h = 1e-5 * u
    slope = (theory.phi(u + h) - theory.phi(u - h)) / (2 * h)
    assert_allclose(theory.phi_derivative(u), slope, rtol=1e-5, atol=1e-9)
    r, g = np.sqrt(u), 1e-5 * np.sqrt(u)
    pull = (theory.phi((r + g) ** 2) - theory.phi((r - g) ** 2)) / (2 * g)
    assert_allclose(theory.residual_pull(u), pull, rtol=1e-5, atol=1e-8)


def test_phi_pulls_most_at_a_squared_error_of_one_over_root_three():
    u = np.linspace(1e-4, 5, 200_001)
    pull = theory.residual_pull(u)
    assert u[pull.argmax()] == pytest.approx(3**-0.5, abs=5e-5)
    assert pull.max() == pytest.approx(theory.LARGEST_PULL, abs=1e-9)
    # 1e4 away from its VAE a point is pushed a million times less.
    assert theory.residual_pull(np.array([1e4]))[0] < 1e-5


def test_phi_and_its_saturation_are_proved():
    pytest.importorskip("flint")
    assert [each.proved for each in theory.certify_saturation()] == [True] * 4


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold_and_are_nearly_attained(bound):
    report = check_bound(bound.lhs, bound.rhs, bound.sampler, 20_000, rounds=15)
    assert report.holds, report
    assert report.worst_ratio > 0.95


@EXAMPLES
@given(errors, errors)
def test_the_extractor_loss_lies_strictly_between_its_bounds(u_r, u_f):
    low, high = theory.unlearning_bounds(len(u_r), len(u_f))
    assert low < theory.unlearning_loss(u_r, u_f) < high


@EXAMPLES
@given(distances, distances, temperatures)
def test_the_alignment_loss_lies_between_its_bounds_and_its_weights_are_its_slope(c, k, temperature):
    loss = theory.alignment_loss(c, k, temperature)
    low, high = theory.alignment_bounds(c, k, temperature)
    assert low - 1e-9 * (1 + abs(low)) <= loss <= high + 1e-9 * (1 + abs(high))
    weights = theory.alignment_weights(k, temperature, len(c))
    assert weights.sum() == pytest.approx(len(c) / temperature, rel=1e-9)
    moved = torch.tensor(k, requires_grad=True)
    (-len(c) * torch.logsumexp(moved / temperature, 0)).backward()
    assert_allclose(weights, -moved.grad.numpy(), rtol=1e-9, atol=1e-12)


@EXAMPLES
@given(distances, distances, st.floats(0.5, 50))
def test_the_alignment_loss_is_a_sum_of_log_ratios(c, k, temperature):
    naive = sum(math.log(math.exp(ci) / sum(math.exp(kj / temperature) for kj in k)) for ci in c)
    assert theory.alignment_loss(c, k, temperature) == pytest.approx(naive, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (1.3, 0.4), (-2.0, 1.0 + 1e-9), (0.5, 3.0)])
def test_the_divergence_is_its_integral(mu, sigma):
    def integrand(x):
        log_p = -0.5 * ((x - mu) / sigma) ** 2 - math.log(sigma)
        return math.exp(log_p) / math.sqrt(2 * math.pi) * (log_p + 0.5 * x**2)

    value, _ = quad(integrand, mu - 12 * sigma, mu + 12 * sigma, limit=200)
    assert theory.gaussian_kl(np.array([[mu]]), np.array([[sigma]]))[0] == pytest.approx(value, abs=1e-9)


def test_the_divergence_loses_nothing_near_its_minimum():
    sigma = np.array([[1 + 1e-7]])
    assert theory.gaussian_kl(np.zeros((1, 1)), sigma)[0] == pytest.approx(1e-14, rel=1e-6)


# losses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_losses_are_the_closed_forms(dtype, tolerance, device):
    e_r, t_r, e_f, t_f = (_random(n, 6, seed=n, dtype=dtype, device=device) for n in (7, 8, 5, 9))
    t_r, t_f = t_r[:7], t_f[:5]
    arrays_of = [t.double().cpu().numpy() for t in (e_r, t_r, e_f, t_f)]
    squares = [((a - b) ** 2).sum(1) for a, b in (arrays_of[:2], arrays_of[2:])]
    found = neural.extractor_unlearning_loss(e_r, t_r, e_f, t_f)
    assert (found.dtype, found.shape) == (dtype, ())
    assert_allclose(float(found), theory.unlearning_loss(*squares), rtol=10 * tolerance)
    assert_allclose(
        float(neural.bounded_reconstruction_penalty(t_r, e_r)), theory.phi(squares[0]).sum(), rtol=10 * tolerance
    )
    c, k = theory.cosine_distance(*arrays_of[:2]), theory.cosine_distance(*arrays_of[2:])
    found = neural.representation_alignment_loss(e_r, t_r, e_f, t_f, 5.0)
    assert_allclose(float(found), theory.alignment_loss(c, k, 5.0), rtol=10 * tolerance)
    mu, sigma = e_r[:, :2], t_r[:, :2].exp()
    kl = theory.gaussian_kl(mu.double().cpu().numpy(), sigma.double().cpu().numpy()).mean()
    expected = squares[0].mean() + 0.1 * kl
    assert_allclose(float(neural.vae_loss(e_r, t_r, mu, sigma, 0.1)), expected, rtol=10 * tolerance)


def test_losses_ignore_the_order_within_batches_and_stack_over_models():
    e_r, t_r, e_f, t_f = (_random(3, n, 6, seed=s) for s, n in enumerate((7, 7, 5, 5)))
    order_r, order_f = torch.randperm(7), torch.randperm(5)
    call = neural.representation_alignment_loss
    together = call(e_r, t_r, e_f, t_f, 2.0)
    assert together.shape == (3,)
    mixed = call(e_r[:, order_r], t_r[:, order_r], e_f[:, order_f], t_f[:, order_f], 2.0)
    torch.testing.assert_close(mixed, together)
    torch.testing.assert_close(call(e_r[1], t_r[1], e_f[1], t_f[1], 2.0), together[1])
    stacked = neural.extractor_unlearning_loss(e_r, t_r, e_f, t_f)
    torch.testing.assert_close(neural.extractor_unlearning_loss(e_r[2], t_r[2], e_f[2], t_f[2]), stacked[2])


def test_targets_get_no_gradient_and_at_the_teacher_there_is_none_at_all():
    e_r, e_f = (_random(6, 8, seed=s).requires_grad_() for s in (1, 2))
    t_r, t_f = (e.detach().clone().requires_grad_() for e in (e_r, e_f))
    neural.representation_alignment_loss(e_r, t_r, e_f, t_f, 5.0).backward()
    assert t_r.grad is None
    assert t_f.grad is None
    for e in (e_r, e_f):
        assert float(e.grad.abs().max()) < 1e-14
    away = (e_f.detach() + 0.1 * _random(6, 8, seed=3)).requires_grad_()
    neural.representation_alignment_loss(e_r, t_r, away, t_f, 5.0).backward()
    assert float(away.grad.abs().max()) > 1e-3


def test_a_zero_embedding_is_at_distance_one_with_a_finite_gradient():
    zero = torch.zeros(1, 4, requires_grad=True)
    other = torch.ones(1, 4)
    loss = neural.representation_alignment_loss(zero, other, other, other, 1.0)
    assert float(loss.detach()) == pytest.approx(1.0)
    loss.backward()
    assert bool(zero.grad.isfinite().all())
    assert theory.cosine_distance(np.zeros((1, 4)), np.ones((1, 4))).tolist() == [1.0]


def test_a_huge_reconstruction_error_saturates_without_overflow():
    e = torch.zeros(1, 2, requires_grad=True)
    loss = neural.bounded_reconstruction_penalty(e + 1e25, e)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.e, rel=1e-6)


# autoencoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_autoencoder_learns_its_data_and_not_others(dtype, device):
    e = F.relu(_random(200, 3, seed=1, dtype=dtype, device=device) @ _random(3, 10, seed=2, dtype=dtype, device=device))
    vae = neural.RepresentationVAE(10, latent=4, hidden=(32, 16)).to(device, dtype)
    before = float((vae(e).recon - e).square().sum(-1).mean().detach())
    vae.fit(e, epochs=30, learning_rate=1e-2)
    after, elsewhere = (float((vae(x).recon - x).square().sum(-1).mean().detach()) for x in (e, -e))
    assert after < 0.2 * before
    assert elsewhere > 5 * after
    assert vae(e).recon.dtype == dtype


def test_stacked_autoencoders_are_each_alone_and_repeat_themselves():
    e = _random(2, 40, 6, dtype=torch.float32)
    together = neural.RepresentationVAE(6, 2, (8,), models=2, seed=3).fit(e, epochs=3, seed=4)
    for k in range(2):
        alone = neural.RepresentationVAE(6, 2, (8,), seed=3).fit(e[k], epochs=3, seed=4)
        for a, b in zip(alone.parameters(), together.parameters(), strict=True):
            torch.testing.assert_close(a[0], b[k], atol=1e-6, rtol=1e-5)


def test_a_sigmoid_output_stays_inside_the_unit_interval():
    vae = neural.RepresentationVAE(5, 2, (4,), sigmoid_output=True)
    recon = vae(_random(9, 5, dtype=torch.float32)).recon
    assert bool(((recon > 0) & (recon < 1)).all())


# method -------------------------------------------------------------------------------------------


def _blobs(samples=150, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(samples) % 3
    x = 2.5 * F.one_hot(y, 6) + torch.randn(samples, 6, generator=generator)
    return x.to(dtype), y


def _classifier(seed=0, dtype=torch.float32, epochs=60):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        extractor = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU())
        model = nn.Sequential(extractor, nn.Linear(12, 3)).to(dtype)
    x, y = _blobs(dtype=dtype)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.requires_grad_(True)


QUICK = {"latent": 4, "hidden": (32,), "vae_epochs": 8, "vae_learning_rate": 5e-3}
RATES = {"unlearning_rate": 4e-3, "alignment_rate": 8e-3, "temperature": 5.0}


def _fitted(model, x_f, x_r, **changes):
    laf = neural.LAF(model, model[0], model[1], **{**QUICK, **RATES, "passes": 40, **changes})
    return laf.fit(x_f, x_r)


def _accuracy(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(-1) == y).double().mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_is_forgotten_without_labels_and_the_others_stay(dtype, device):
    model, (x, y) = _classifier(dtype=dtype).to(device), (t.to(device) for t in _blobs(dtype=dtype))
    before = [p.detach().clone() for p in model.parameters()]
    lost = y == 2
    laf = _fitted(model, x[lost], x[~lost])
    assert _accuracy(model, x[lost], y[lost]) > 0.9
    assert _accuracy(laf.model, x[lost], y[lost]) < 0.3
    assert _accuracy(laf.model, x[~lost], y[~lost]) > 0.9
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(laf.classifier.weight, model[1].weight)
    assert laf.model[0] is laf.extractor
    assert len(laf.history) == 40


def test_neither_the_original_nor_the_autoencoders_get_a_gradient():
    model, (x, y) = _classifier(), _blobs()
    laf = neural.LAF(model, model[0], model[1], **{**QUICK, "vae_epochs": 1}, **RATES, passes=3)
    vaes = laf.fit_vaes(x[y == 2], x[y != 2])
    before = [p.clone() for vae in vaes for p in vae.parameters()]
    for parameter in model.parameters():
        parameter.grad = None
    laf.fit(x[y == 2], x[y != 2], vaes)
    after = [p for vae in vaes for p in vae.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in (*after, *model.parameters(), *laf.classifier.parameters()))


def test_one_seed_gives_one_model_and_a_fit_starts_from_the_original():
    model, (x, y) = _classifier(), _blobs()
    first, second, other = (
        _fitted(model, x[y == 2], x[y != 2], passes=3, seed=seed, vae_epochs=1) for seed in (1, 1, 2)
    )
    again = first.fit(x[y == 2], x[y != 2])
    for a, b, c in zip(*(laf.model.parameters() for laf in (first, second, again)), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert a is c
    assert not all(
        torch.equal(a, d) for a, d in zip(first.extractor.parameters(), other.extractor.parameters(), strict=True)
    )


def test_a_rate_of_zero_leaves_its_step_out_for_all_models_or_for_one():
    model, (x, y) = _classifier(dtype=torch.float64), _blobs(dtype=torch.float64)
    alone = _fitted(model, x[y == 2], x[y != 2], unlearning_rate=0.0, passes=2, vae_epochs=1)
    assert all(math.isnan(losses.extractor) and math.isfinite(losses.alignment) for losses in alone.history)
    still = _fitted(model, x[y == 2], x[y != 2], unlearning_rate=0.0, alignment_rate=0.0, passes=2, vae_epochs=1)
    assert all(torch.equal(a, b) for a, b in zip(still.model.parameters(), model.parameters(), strict=True))
    stack = EnsembleLinear(2, 6, 4, torch.Generator().manual_seed(0))
    both = nn.Sequential(stack, EnsembleLinear(2, 4, 3, torch.Generator().manual_seed(1)))
    rates = {"unlearning_rate": torch.tensor([0.0, 1e-3]), "alignment_rate": torch.tensor([0.0, 1e-3])}
    sets = [x[rows].float().expand(2, -1, -1) for rows in (y == 2, y != 2)]
    laf = neural.LAF(both, both[0], both[1], **{**QUICK, "vae_epochs": 1}, **rates, passes=2).fit(*sets)
    assert torch.equal(laf.extractor.weight[0], stack.weight[0])
    assert not torch.equal(laf.extractor.weight[1], stack.weight[1])


def test_adam_leaves_the_saddle_of_the_alignment_loss_by_rounding_alone():
    model, (x, y) = _classifier(dtype=torch.float64), _blobs(dtype=torch.float64)
    alone = _fitted(model, x[y == 2], x[y != 2], unlearning_rate=0.0, passes=10, vae_epochs=1)
    moved = [
        float((a - b).detach().abs().max()) for a, b in zip(alone.model.parameters(), model.parameters(), strict=True)
    ]
    assert max(moved) > 1e-3


class _Stack(nn.Module):
    """Copies of one extractor and classifier as an ensemble."""

    def __init__(self, models):
        super().__init__()
        self.extractor, self.classifier = _Each([m[0] for m in models]), _Each([m[1] for m in models])

    def forward(self, x):
        return self.classifier(self.extractor(x))


class _Each(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return torch.stack([part(each) for part, each in zip(self.parts, x, strict=True)])


def test_an_ensemble_is_unlearned_as_its_models_would_be_alone():
    models = [_classifier(seed, torch.float64) for seed in (0, 1)]
    x, y = _blobs(dtype=torch.float64)
    sets = [(x[y == c], x[y != c]) for c in (2, 0)]
    stack = _Stack(models)
    x_f, x_r = (torch.stack(each) for each in zip(*sets, strict=True))
    call = {**QUICK, **RATES, "passes": 4, "vae_epochs": 2}
    together = neural.LAF(stack, stack.extractor, stack.classifier, **call).fit(x_f, x_r)
    few = torch.stack([x[:9], x[9:18]]), torch.stack([y[:9], y[9:18]])
    together.repair(*few, epochs=2)
    assert together.history[0].extractor.shape == (2,)
    for k in range(2):
        alone = neural.LAF(models[k], models[k][0], models[k][1], **call).fit(*sets[k])
        alone.repair(few[0][k], few[1][k], epochs=2)
        for a, b in (
            *zip(alone.extractor.parameters(), together.extractor.parts[k].parameters(), strict=True),
            *zip(alone.classifier.parameters(), together.classifier.parts[k].parameters(), strict=True),
        ):
            torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-6)


def test_repair_moves_the_classifier_alone_and_fits_its_labels():
    model, (x, y) = _classifier(), _blobs()
    laf = _fitted(model, x[y == 2], x[y != 2], passes=10, vae_epochs=2)
    few = torch.nonzero(y != 2).flatten()[:12]
    extractor = [p.detach().clone() for p in laf.extractor.parameters()]
    loss = float(F.cross_entropy(laf.model(x[few]), y[few]).detach())
    laf.repair(x[few], y[few], epochs=20, learning_rate=1e-2)
    assert float(F.cross_entropy(laf.model(x[few]), y[few]).detach()) < loss
    assert all(torch.equal(a, b) for a, b in zip(extractor, laf.extractor.parameters(), strict=True))


def test_batch_normalisation_keeps_its_statistics():
    model = nn.Sequential(
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)), nn.Linear(8, 3)
    )
    x, y = _blobs()
    laf = _fitted(model.train(), x[y == 2], x[y != 2], passes=2, vae_epochs=1)
    assert torch.equal(laf.model[0][1].running_mean, model[0][1].running_mean)
    assert laf.model.training


def test_a_pass_ends_with_the_shorter_side():
    model, (x, _) = _classifier(), _blobs()
    laf = _fitted(model, x, x[:10], passes=1, batch_size=4, vae_epochs=1)
    assert math.isfinite(laf.history[0].extractor)


# the bad teacher ----------------------------------------------------------------------------------


def test_a_bad_teacher_unteaches_what_is_forgotten_only():
    model, (x, y) = _classifier(), _blobs()
    student = neural.distil_bad_teacher(model, x[y == 2], x[y != 2], epochs=12, learning_rate=2e-2, batch_size=16)
    assert float(F.cross_entropy(student(x[y == 2]), y[y == 2]).detach()) > 0.5
    assert _accuracy(student, x[y != 2], y[y != 2]) > 0.9
    again = neural.distil_bad_teacher(model, x[y == 2], x[y != 2], epochs=12, learning_rate=2e-2, batch_size=16)
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), again.parameters(), strict=True))


# refusals -----------------------------------------------------------------------------------------


def test_empty_batches_widths_and_temperatures_are_refused_by_name(unchecked):
    e, wide = torch.zeros(3, 4), torch.zeros(3, 5)
    loss = neural.representation_alignment_loss
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match="temperature"):
            loss(e, e, e, e, temperature)
    with pytest.raises(ValueError, match="e_f must have the models and the width of e_r"):
        loss(e, e, wide, wide, 1.0)
    with pytest.raises(ValueError, match="e_f must have the models and the width"):
        neural.extractor_unlearning_loss(e, e, wide, wide)
    with pytest.raises(ValueError, match="must be a non-empty"):
        loss(e[:0], e[:0], e, e, 1.0)
    with pytest.raises(ValueError, match="must be a non-empty"):
        loss(e, e, e[:0], e[:0], 1.0)
    model, (x, _) = _classifier(epochs=1), _blobs()
    laf = neural.LAF(model, model[0], model[1], **QUICK)
    for name, sets in (("x_forget", (x[:0], x)), ("x_remain", (x, x[:0])), ("x_forget", (x[:, :3], x))):
        with pytest.raises(ValueError, match=name):
            laf.fit(*sets)


def test_parts_rates_and_labels_that_do_not_fit_are_refused(unchecked):
    model, (x, y) = _classifier(epochs=1), _blobs()
    with pytest.raises(ValueError, match="extractor must be a part of model"):
        neural.LAF(model, nn.Linear(6, 12), model[1])
    with pytest.raises(ValueError, match="unlearning_rate"):
        neural.LAF(model, model[0], model[1], unlearning_rate=torch.tensor([1e-3, -1.0]))
    laf = neural.LAF(model, model[0], model[1], **QUICK)
    with pytest.raises(ValueError, match="y must have shape"):
        laf.repair(x, y[:3])
    with pytest.raises(ValueError, match="y must be in 0"):
        laf.repair(x, y + 1)
    with pytest.raises(ValueError, match="reset_parameters"):
        neural.distil_bad_teacher(_Own(), x, x)


class _Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 3))

    def forward(self, x):
        return x @ self.weight


# simulation ---------------------------------------------------------------------------------------

SMALL = forgetting_tasks.Task(per_class=12, width=16, train_epochs=2)


@pytest.mark.parametrize("network", ["perceptron", "convolutional"])
def test_stacked_networks_are_each_alone_and_their_parts_make_the_whole(network, device):
    task = replace(SMALL, network=network)
    models = forgetting_tasks.StackedClassifiers(3, 10, task, device)
    for layer in models.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    x = torch.rand(3, 7, 64).to(device)
    logits = models(x)
    torch.testing.assert_close(models.classifier(models.extractor(x)), logits)
    torch.testing.assert_close(models.chosen([2, 0])(x[[2, 0]]), logits[[2, 0]], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(models(x[:1].expand(3, -1, -1))[0], logits[1])


def test_forget_sets_are_whole_classes_or_shares_and_wrong_labels_are_wrong():
    first, second = forgetting_tasks.forgetting_groups(SMALL, 3, "cpu")
    for k, c in enumerate(first.forgotten_class):
        assert first.forget[1][k].tolist() == [c] * 12
        assert c not in first.retain[1][k]
    assert second.forget[1].shape == (4, 24)
    assert second.retain[1].shape == (4, 96)
    pixels, labels = load_digits(return_X_y=True)
    truth = {row.tobytes(): y for row, y in zip((pixels / 16).astype(np.float32), labels, strict=True)}
    for k, (kind, _) in enumerate(second.names):
        true = torch.tensor([truth[x.numpy().tobytes()] for x in second.forget[0][k]])
        assert bool((true == second.forget[1][k]).all()) == (kind == forgetting_tasks.RANDOM)
        assert bool((true == second.forget[1][k]).any()) != (kind == forgetting_tasks.NOISY)
    seen = {x.numpy().tobytes() for data in (second.forget, second.retain) for x in data[0][0]}
    assert len(seen) == 120
    assert not seen & {x.numpy().tobytes() for x in second.held_out[0][0]}
    parts = [{x.numpy().tobytes() for x in second.held_out[0][k]} for k in (0, 1)]
    assert not parts[0] & parts[1]


def test_a_retrained_model_is_at_no_distance_from_itself_and_shards_are_probabilities():
    group = forgetting_tasks.forgetting_groups(SMALL, 1, "cpu")[0]
    probabilities = forgetting_tasks.outputs(group, group.retrained)
    reference = forgetting_tasks.measured(group, probabilities)
    assert [row["gap"] for row in forgetting_tasks.measured(group, probabilities, reference)] == [0, 0]
    shards = forgetting_tasks.shard_outputs(group, SMALL, 2, seed=0)
    for p, expected in zip(shards, probabilities, strict=True):
        assert p.shape == expected.shape
        torch.testing.assert_close(p.sum(-1), torch.ones(p.shape[:-1]))


def test_the_attacker_knows_members_that_look_like_members():
    rng = np.random.default_rng(0)

    def outputs(count, sure):
        top = sure + 0.02 * rng.random(count)
        return np.stack([top, *[(1 - top) / 9] * 9], axis=1)

    kept, held = outputs(80, 0.95), outputs(80, 0.5)
    assert forgetting_tasks._attack(kept, outputs(60, 0.95), held) == 100
    assert 35 < forgetting_tasks._attack(kept, outputs(60, 0.5), held) < 65


@pytest.mark.parametrize(("members", "shift"), [(80, 0.5), (30, 8.0)])
def test_the_attacker_is_the_library_s_logistic_regression(members, shift):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(110, 4)), np.repeat([1.0, 0.0], [members, 110 - members])
    x[:members] += shift
    fitted = LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=10_000).fit(x, y)
    w = forgetting_tasks.logistic_regression(x, y)
    assert_allclose(w, [*fitted.coef_[0], fitted.intercept_[0]], atol=1e-4)


def test_settings_are_chosen_on_the_tuning_part_after_the_last_pass():
    rows = [
        {"replicate": k, "task": "t", "part": part, "method": "m", "setting": s, "passes": p, "gap": gap, "test": 10 * s}
        for k in range(3)
        for part, s, p, gap in (
            ("tuning", 1.0, 1.0, 9.0), ("tuning", 1.0, 2.0, 1.0), ("tuning", 2.0, 1.0, 0.0), ("tuning", 2.0, 2.0, 2.0),
            ("test", 1.0, 2.0, 9.0), ("test", 2.0, 2.0, 0.0),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    assert simulation.chosen_setting(table, "t", "m") == 1.0
    assert simulation.tuned(table, "t", "m", "test").tolist() == [10.0] * 3
