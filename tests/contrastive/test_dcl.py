"""Decoupled contrastive learning: identities, the two implementations against each other, gradients, degenerate cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from neural.contrastive import dcl
from theory.contrastive import dcl as theory

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def _views(samples, dim, seed, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, samples, dim, generator=generator, dtype=torch.float64) + 0.5
    return z1.to(device, dtype).requires_grad_(), z2.to(device, dtype).requires_grad_()


def _info_nce_by_loops(z1, z2, tau):
    """Equation 2 literally, one pair at a time, in Python floats."""
    u = F.normalize(torch.cat([z1, z2]).detach().double(), dim=1).tolist()
    n = len(z1)
    losses = [[0.0] * n, [0.0] * n]
    for i in range(2 * n):

        def cosine(j, i=i):
            return math.fsum(a * b for a, b in zip(u[i], u[j], strict=True))

        positive = math.exp(cosine((i + n) % (2 * n)) / tau)
        negatives = math.fsum(math.exp(cosine(j) / tau) for j in range(2 * n) if j % n != i % n)
        losses[i // n][i % n] = -math.log(positive / (positive + negatives))
    return np.array(losses)


views = {"samples": st.integers(2, 24), "dim": st.integers(1, 20), "seed": st.integers(0, 2**31)}
temperatures = st.floats(0.03, 2.0)


@settings(max_examples=30, deadline=None)
@given(**views, tau=temperatures)
def test_losses_are_the_equations_written_out(samples, dim, seed, tau):
    z1, z2 = _views(samples, dim, seed)
    expected = _info_nce_by_loops(z1, z2, tau)
    loss = dcl.info_nce_loss(z1, z2, tau, reduction="none").detach().numpy()
    np.testing.assert_allclose(loss, expected, rtol=1e-9, atol=1e-12)
    decoupled = dcl.dcl_loss(z1, z2, tau, reduction="none").detach().numpy()
    np.testing.assert_allclose(np.logaddexp(0, decoupled), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=30, deadline=None)
@given(**views, tau=temperatures, sigma=st.floats(0.2, 3.0))
def test_theory_and_neural_agree(dtype, samples, dim, seed, tau, sigma):
    z1, z2 = _views(samples, dim, seed, dtype)
    a, b = z1.detach().double().numpy(), z2.detach().double().numpy()
    tolerance = TOLERANCE[dtype] / tau
    for ours, twin in (
        (dcl.info_nce_loss(z1, z2, tau, reduction="none"), theory.info_nce_loss(a, b, tau)),
        (dcl.dcl_loss(z1, z2, tau, reduction="none"), theory.dcl_loss(a, b, tau)),
        (dcl.npc_multiplier(z1, z2, tau), theory.npc_multiplier(a, b, tau)),
        (dcl.mvmf_weights(z1, z2, sigma), theory.mvmf_weights(a, b, sigma)),
        (dcl.dclw_loss(z1, z2, tau, sigma, reduction="none"), theory.dclw_loss(a, b, tau, sigma)),
    ):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.detach().numpy(), twin, rtol=tolerance, atol=tolerance)


@settings(max_examples=30, deadline=None)
@given(**views, tau=temperatures)
def test_info_nce_gradient_is_the_coupling_times_the_dcl_gradient_for_every_anchor(samples, dim, seed, tau):
    z1, z2 = _views(samples, dim, seed)
    anchor = seed % samples
    nce, decoupled = (f(z1, z2, tau, reduction="none")[0, anchor] for f in (dcl.info_nce_loss, dcl.dcl_loss))
    q = dcl.npc_multiplier(z1, z2, tau)[0, anchor].detach()
    for a, b in zip(
        torch.autograd.grad(nce, (z1, z2), retain_graph=True), torch.autograd.grad(decoupled, (z1, z2)), strict=True
    ):
        torch.testing.assert_close(a, q * b, atol=1e-12, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(**views, tau=temperatures)
def test_closed_gradients_are_those_of_autograd(samples, dim, seed, tau):
    z1, z2 = _views(samples, dim, seed)
    weights = np.random.default_rng(seed).standard_normal((2, samples))
    for loss, closed in ((dcl.dcl_loss, theory.dcl_grad), (dcl.info_nce_loss, theory.info_nce_grad)):
        automatic = torch.autograd.grad((loss(z1, z2, tau, reduction="none") * torch.tensor(weights)).sum(), (z1, z2))
        for a, c in zip(automatic, closed(z1.detach().numpy(), z2.detach().numpy(), tau, weights), strict=True):
            np.testing.assert_allclose(a.numpy(), c, rtol=1e-8, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(**views, tau=temperatures, chunk=st.integers(1, 60))
def test_chunks_change_neither_values_nor_gradients(samples, dim, seed, tau, chunk):
    z1, z2 = _views(samples, dim, seed)
    results = []
    for size in (None, chunk):
        loss = dcl.info_nce_loss(z1, z2, tau, decoupled=True, weight="mvmf", chunk_size=size)
        results.append((loss.detach(), *torch.autograd.grad(loss, (z1, z2))))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked, atol=1e-11, rtol=1e-9)


def test_chunked_gradient_passes_gradcheck():
    z1, z2 = _views(5, 3, 0)
    assert torch.autograd.gradcheck(lambda a, b: dcl.dcl_loss(a, b, 0.3, chunk_size=4), (z1, z2))


def test_weights_have_mean_one_and_may_be_negative():
    z1 = torch.eye(8, dtype=torch.float64)
    z2 = torch.cat([z1[:1], -z1[1:]])
    weights = dcl.mvmf_weights(z1, z2, 0.5)
    assert weights.mean().item() == pytest.approx(1, abs=1e-12)
    assert weights[0] < 0 < weights[1]


def test_weighted_loss_is_dcl_where_positives_are_equally_similar():
    z1 = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(dcl.dclw_loss(z1, 3 * z1), dcl.dcl_loss(z1, 3 * z1), atol=1e-12, rtol=0)


def test_weights_carry_no_gradient():
    z1, z2 = _views(6, 4, 3)
    loss = dcl.dclw_loss(z1, z2)
    expected = (
        dcl.dcl_loss(z1, z2) + ((1 - dcl.mvmf_weights(z1, z2).detach()) * F.cosine_similarity(z1, z2) / 0.1).mean()
    )
    torch.testing.assert_close(
        torch.autograd.grad(loss, z1)[0], torch.autograd.grad(expected, z1)[0], atol=1e-10, rtol=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(**views, tau=temperatures)
def test_the_range_holds(samples, dim, seed, tau):
    z1, z2 = (z.detach().numpy() for z in _views(samples, dim, seed))
    low, high = theory.dcl_loss_range(samples, tau)
    assert (theory.dcl_loss(z1, z2, tau) >= low - 1e-9).all()
    assert (theory.dcl_loss(z1, z2, tau) <= high + 1e-9).all()
    smallest, largest = theory.npc_multiplier_range(samples, tau)
    assert smallest <= theory.npc_multiplier(z1, z2, tau).min() * (1 + 1e-9)
    assert theory.npc_multiplier(z1, z2, tau).max() <= largest * (1 + 1e-9)


def test_the_range_is_attained_by_two_samples():
    z = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert theory.dcl_loss(z, z, 0.4).min() == pytest.approx(theory.dcl_loss_range(2, 0.4)[0], abs=1e-12)
    same, turned = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[-1.0, 0.0], [1.0, 0.0]])
    assert theory.dcl_loss(same, turned, 0.4).max() == pytest.approx(theory.dcl_loss_range(2, 0.4)[1], abs=1e-12)


def test_coupling_grows_with_nested_batches_and_tends_to_one():
    z1, z2 = _views(512, 16, 0)
    nested = torch.stack([dcl.npc_multiplier(z1[:n], z2[:n], 0.5)[:, :2] for n in (2, 4, 16, 64, 512)])
    assert (nested.diff(dim=0) > 0).all()
    assert nested[-1].min() > 0.95


@given(st.floats(-1, 1), st.floats(0.05, 2.0), st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_similarity_gradients_sum_to_zero_and_the_coupling_falls_with_the_positive(cosine, tau, negatives):
    by_positive, by_negative, q = theory.similarity_gradients(
        np.array([cosine, cosine - 0.1]), np.array([negatives] * 2), tau
    )
    assert by_positive[0] + by_negative[0].sum() == pytest.approx(0, abs=1e-9)
    assert q[0] <= q[1]


@pytest.mark.parametrize("loss", [dcl.info_nce_loss, dcl.dcl_loss, dcl.dclw_loss])
@pytest.mark.parametrize("chunk", [None, 3])
def test_zero_and_duplicate_rows_have_finite_losses_and_gradients(loss, chunk):
    z1, z2 = torch.zeros(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    gradients = torch.autograd.grad(loss(z1, z2, chunk_size=chunk), (z1, z2))
    assert all(torch.isfinite(g).all() for g in gradients)
    assert (gradients[0] == 0).all()


@pytest.mark.parametrize("tau", [1e-3, 1e3])
def test_extreme_temperatures_stay_finite(tau):
    z1, z2 = _views(16, 8, 1, torch.float32)
    for loss in (dcl.info_nce_loss, dcl.dcl_loss, dcl.dclw_loss):
        value = loss(z1, z2, tau)
        assert torch.isfinite(value)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, (z1, z2)))


def test_a_small_loss_is_exact_where_torch_softplus_is_not():
    """Losses of 25 and more: softplus with torch's default threshold drops e^−25."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    expected = np.logaddexp(0, theory.dcl_loss(z.numpy(), -z.numpy(), 0.08))
    loss = dcl.info_nce_loss(z, -z, 0.08, reduction="none").numpy()
    assert loss.max() > 25
    np.testing.assert_allclose(loss, expected, rtol=1e-15)


def test_half_precision_and_autocast_compute_in_float32():
    z1, z2 = _views(16, 8, 2, torch.float32)
    exact = dcl.dcl_loss(z1, z2, 0.05)
    for chunk in (None, 8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(dcl.dcl_loss(z1, z2, 0.05, chunk_size=chunk), exact, atol=1e-4, rtol=1e-5)
    assert dcl.dcl_loss(z1.bfloat16(), z2.bfloat16(), 0.05).dtype == torch.float32


def test_reductions_and_modules_agree_with_the_functions(device):
    z1, z2 = _views(6, 4, 4, torch.float32, device)
    for function, module in (
        (dcl.info_nce_loss, dcl.InfoNCELoss), (dcl.dcl_loss, dcl.DCLLoss), (dcl.dclw_loss, dcl.DCLWLoss),
    ):  # fmt: skip
        each = function(z1, z2, 0.2, reduction="none")
        assert each.shape == (2, 6)
        torch.testing.assert_close(each.mean(), function(z1, z2, 0.2))
        torch.testing.assert_close(each.sum(), function(z1, z2, 0.2, reduction="sum"))
        torch.testing.assert_close(module(0.2)(z1, z2), function(z1, z2, 0.2))
        torch.testing.assert_close(module(0.2, chunk_size=5, reduction="sum")(z1, z2), each.sum())


def test_rows_are_taken_as_they_are_without_normalisation():
    z1, z2 = _views(6, 4, 5)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    torch.testing.assert_close(dcl.info_nce_loss(u1, u2, normalize=False), dcl.info_nce_loss(z1, z2))
    assert not torch.allclose(dcl.info_nce_loss(z1, z2, normalize=False), dcl.info_nce_loss(z1, z2))


def test_nt_xent_value_of_a_public_implementation():
    """With orthogonal samples and equal views: log(1 + 2(N − 1) e^(−1/tau)), by hand."""
    z = torch.eye(5, dtype=torch.float64)
    assert dcl.info_nce_loss(z, z, 0.5).item() == pytest.approx(math.log1p(8 * math.exp(-2)), rel=1e-14)


def test_the_full_experiment_on_residual_networks_runs():
    from simulations.contrastive.dcl import Digits, simulate_digits

    table = simulate_digits(Digits(batch_sizes=(8,), steps=2, width=2, network="resnet", last_steps=1), 1, "cpu")
    assert set(table["method"]) == {"InfoNCE", "DCL", "DCLW", "untrained", "shuffled labels"}
    assert table["uniformity"].notna().all()


two = torch.ones(2, 3)
BAD_NEURAL = [
    (dcl.info_nce_loss, (two, torch.ones(3, 3)), {}, "one shape"),
    (dcl.info_nce_loss, (torch.ones(3), torch.ones(3)), {}, "one shape"),
    (dcl.info_nce_loss, (two[:1], two[:1]), {}, "at least 2 rows"),
    (dcl.info_nce_loss, (two[:0], two[:0]), {}, "non-empty"),
    (dcl.info_nce_loss, (two.long(), two.long()), {}, "floating-point"),
    (dcl.info_nce_loss, (two * math.nan, two), {}, "z1 must be finite"),
    (dcl.info_nce_loss, (two, two / 0), {}, "z2 must be finite"),
    (dcl.info_nce_loss, (two, two), {"temperature": 0.0}, "temperature must be"),
    (dcl.info_nce_loss, (two, two), {"temperature": math.nan}, "temperature must be"),
    (dcl.info_nce_loss, (two, two), {"reduction": "median"}, "reduction must be"),
    (dcl.info_nce_loss, (two, two), {"weight": "mvmf"}, "decoupled=True"),
    (dcl.info_nce_loss, (two, two), {"weight": "other", "decoupled": True}, "weight must be"),
    (dcl.info_nce_loss, (two, two), {"chunk_size": 0}, "chunk_size must be"),
    (dcl.dcl_loss, (two, two), {"temperature": -1.0}, "temperature must be"),
    (dcl.dclw_loss, (two, two), {"sigma": 0.0}, "sigma must be"),
    (dcl.mvmf_weights, (two, two), {"sigma": math.inf}, "sigma must be"),
    (dcl.npc_multiplier, (two, two), {"temperature": 0.0}, "temperature must be"),
    (dcl.InfoNCELoss, (0.0,), {}, "temperature must be"),
    (dcl.DCLLoss, (-1.0,), {}, "temperature must be"),
    (dcl.DCLWLoss, (0.1, 0.0), {}, "sigma must be"),
]
pair = np.ones((2, 3))
BAD_THEORY = [
    (theory.dcl_loss, (pair, np.ones((3, 3))), {}, "shapes must agree"),
    (theory.dcl_loss, (pair[:1], pair[:1]), {}, "at least 2 samples"),
    (theory.dcl_loss, (pair[:0], pair[:0]), {}, "must not be empty"),
    (theory.dcl_loss, (pair[0], pair[0]), {}, "must have 2 axes"),
    (theory.dcl_loss, (pair * math.nan, pair), {}, "z1 must be finite"),
    (theory.dcl_loss, (pair, pair), {"temperature": 0.0}, "temperature must be"),
    (theory.info_nce_loss, (pair, pair * math.inf), {}, "z2 must be finite"),
    (theory.npc_multiplier, (pair, pair), {"temperature": -1.0}, "temperature must be"),
    (theory.dclw_loss, (pair, pair), {"sigma": 0.0}, "sigma must be"),
    (theory.mvmf_weights, (pair, pair), {"sigma": -1.0}, "sigma must be"),
    (theory.dcl_grad, (pair, pair), {"anchor_weights": np.ones((2, 3))}, "anchor_weights must have shape"),
    (theory.info_nce_grad, (pair, pair), {"temperature": 0.0}, "temperature must be"),
    (theory.similarity_gradients, (np.ones(2), np.ones((3, 2))), {}, "as many anchors"),
    (theory.dcl_loss_range, (1, 0.1), {}, "samples must be"),
    (theory.npc_multiplier_range, (4, 0.0), {}, "temperature must be"),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD_NEURAL + BAD_THEORY)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
