"""Losses for noisy labels: definitions, symmetry, limits and gradients."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from neural.classification import robust_losses as losses

EVERYONE = [getattr(losses, name) for name in losses.__all__]
BOUNDED = [
    f
    for f in EVERYONE
    if f not in (losses.crammer_singer_loss, losses.weston_watkins_loss, losses.symmetric_cross_entropy)
]
LOGITS = 2 * torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TARGET = torch.arange(40) % 5
SHARES = LOGITS.softmax(1)
OWN = SHARES[torch.arange(40), TARGET]
LABEL = F.one_hot(TARGET, 5).double()


def entropy(p):
    return -torch.special.xlogy(p, p).sum(1)


def test_every_loss_is_its_definition():
    log = SHARES.log()
    normalised = log[torch.arange(40), TARGET] / log.sum(1)
    mixed = 0.3 * LABEL + 0.7 * SHARES
    gaps = LOGITS - LOGITS[torch.arange(40), TARGET][:, None] + 1.0
    others = gaps.masked_fill(LABEL.bool(), 0.0).clamp(min=0)
    expected = {
        losses.crammer_singer_loss: others.amax(1),
        losses.weston_watkins_loss: others.sum(1),
        losses.mean_absolute_error: (SHARES - LABEL).abs().sum(1) / 2,
        losses.mean_squared_error: (SHARES - LABEL).square().sum(1),
        losses.generalized_cross_entropy: (1 - OWN**0.7) / 0.7,
        losses.truncated_generalized_cross_entropy: (1 - OWN.clamp(min=0.5) ** 0.7) / 0.7,
        losses.symmetric_cross_entropy: -0.5 * OWN.log() + 0.5 * 4 * (1 - OWN),
        losses.normalized_cross_entropy: normalised,
        losses.nce_rce_loss: normalised + 4 * (1 - OWN),
        losses.nce_agce_loss: normalised + (4**1.5 - (3 + OWN) ** 1.5) / 1.5,
        losses.nce_aul_loss: normalised + ((6 - OWN) ** 1.5 - 5**1.5) / 1.5,
        losses.robust_log_loss: np.log(11) - (0.1 + OWN).log()
        + ((0.1 + SHARES).log().sum(1) - (0.1 + OWN).log()) / 4,
    }  # fmt: skip
    for function, values in expected.items():
        assert_allclose(function(LOGITS, TARGET, reduction="none"), values, rtol=1e-10, atol=1e-12)
    divergence = (entropy(mixed) - 0.7 * entropy(SHARES)) / (-0.7 * np.log(0.7))
    assert_allclose(losses.jensen_shannon_loss(LOGITS, TARGET, 0.3, "none"), divergence, rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "constant"),
    [(losses.mean_absolute_error, 4.0), (losses.normalized_cross_entropy, 1.0), (losses.robust_log_loss, 5 * np.log(11)),
     (losses.nce_rce_loss, 17.0)],
)  # fmt: skip
def test_symmetric_losses_sum_to_a_constant_over_labels(loss, constant):
    total = sum(loss(LOGITS, torch.full((40,), y), reduction="none") for y in range(5))
    assert_allclose(total, constant, rtol=1e-10)


@pytest.mark.parametrize("loss", [F.cross_entropy, losses.generalized_cross_entropy, losses.mean_squared_error])
def test_others_do_not(loss):
    total = sum(loss(LOGITS, torch.full((40,), y), reduction="none") for y in range(5))
    assert float(total.max() - total.min()) > 0.1


def test_hinges_agree_with_torch_and_scikit_learn():
    from sklearn.metrics import hinge_loss

    ours = losses.weston_watkins_loss(LOGITS, TARGET) / 5
    assert_allclose(ours, F.multi_margin_loss(LOGITS, TARGET), rtol=1e-12)
    peer = hinge_loss(TARGET.numpy(), LOGITS.numpy(), labels=list(range(5)))
    assert_allclose(losses.crammer_singer_loss(LOGITS, TARGET), peer, rtol=1e-12)


def test_families_reach_cross_entropy_and_the_mean_absolute_error():
    entropies = F.cross_entropy(LOGITS, TARGET, reduction="none")
    absolute = losses.mean_absolute_error(LOGITS, TARGET, "none")
    assert_allclose(losses.generalized_cross_entropy(LOGITS, TARGET, 1e-9, "none"), entropies, rtol=1e-6)
    assert_allclose(losses.generalized_cross_entropy(LOGITS, TARGET, 1.0, "none"), absolute, rtol=1e-10)
    assert_allclose(losses.truncated_generalized_cross_entropy(LOGITS, TARGET, 1.0, 0.0, "none"), absolute, rtol=1e-10)
    assert_allclose(losses.symmetric_cross_entropy(LOGITS, TARGET, 0.0, reduction="none"), entropies, rtol=1e-12)
    assert_allclose(losses.jensen_shannon_loss(LOGITS, TARGET, 1e-6, "none"), entropies, rtol=1e-3)
    # (H(w e + (1−w) s) − (1−w) H(s)) / (−(1−w) log(1−w)) tends to 1 − s_y, slowly: like 1/log(1−w)
    near, nearer = (
        (losses.jensen_shannon_loss(LOGITS, TARGET, 1 - eps, "none") - absolute).abs().max() for eps in (1e-3, 1e-12)
    )
    assert nearer < near / 3


@pytest.mark.parametrize("loss", EVERYONE)
def test_gradients_are_right_and_finite_for_extreme_scores(loss):
    logits = LOGITS[:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, TARGET[:6], reduction="none"), logits)
    for scale in (0.0, 1e-3, 30.0, 1e4):
        wide = (scale * LOGITS.float()).requires_grad_()
        value = loss(wide, TARGET)
        (gradient,) = torch.autograd.grad(value, wide)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", EVERYONE)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_reductions_dtypes_and_devices(loss, dtype, tolerance, device):
    each = loss(LOGITS.to(device, dtype), TARGET.to(device), reduction="none")
    assert each.shape == (40,)
    assert each.dtype == dtype
    assert each.device.type == device
    assert_allclose(each.cpu(), loss(LOGITS, TARGET, reduction="none"), rtol=10 * tolerance, atol=tolerance)
    assert_allclose(loss(LOGITS, TARGET), loss(LOGITS, TARGET, reduction="none").mean(), rtol=1e-12)
    assert_allclose(loss(LOGITS, TARGET, reduction="sum"), loss(LOGITS, TARGET, reduction="none").sum(), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(-100, 100), st.data())
def test_losses_are_not_negative_and_do_not_feel_a_shift(scores, shift, data):
    logits = torch.tensor([scores], dtype=torch.float64)
    y = torch.tensor([data.draw(st.integers(0, len(scores) - 1))])
    for loss in EVERYONE:
        value = loss(logits, y).item()
        assert value >= -1e-12
        assert_allclose(loss(logits + shift, y).item(), value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("loss", BOUNDED)
def test_a_confident_right_answer_costs_nothing_and_a_wrong_one_a_bounded_amount(loss):
    confident = 60.0 * torch.eye(3, dtype=torch.float64)
    assert_allclose(loss(confident, torch.arange(3)), 0, atol=1e-6)
    assert loss(1e3 * confident, (torch.arange(3) + 1) % 3) < 20


def test_truncated_examples_have_no_gradient():
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    loss = losses.truncated_generalized_cross_entropy(logits, torch.tensor([0, 0]), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0].abs().max() == 0
    assert gradient[1].abs().max() > 0


SHORT, LABELS = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("loss", EVERYONE)
def test_every_loss_names_bad_scores_and_labels(loss):
    for arguments, message in (
        ((SHORT, torch.tensor([0, 3])), "target must be in 0 … 2, got 0 … 3"),
        ((SHORT, torch.tensor([0.0, 1.0])), "target must be a tensor of class indices"),
        ((SHORT, torch.tensor([0])), "target must have shape (2,)"),
        ((SHORT[:, :1], LABELS), "logits must have at least 2 classes"),
        ((SHORT[:0], LABELS[:0]), "logits must be a non-empty floating-point tensor"),
        ((torch.full((2, 3), float("nan")), LABELS), "logits must be finite"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            loss(*arguments)
    with pytest.raises(ValueError, match="reduction must be"):
        loss(SHORT, LABELS, reduction="average")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("loss", "parameters", "message"), [
    (losses.crammer_singer_loss, {"margin": -1.0}, "margin must be"),
    (losses.generalized_cross_entropy, {"q": 0.0}, "q must be"),
    (losses.generalized_cross_entropy, {"q": 1.5}, "q must be"),
    (losses.truncated_generalized_cross_entropy, {"k": 1.0}, "k must be below 1"),
    (losses.symmetric_cross_entropy, {"balance": 2.0}, "balance must be"),
    (losses.symmetric_cross_entropy, {"log_zero": 4.0}, "log_zero must be a finite number below 0"),
    (losses.jensen_shannon_loss, {"weight": 1.0}, "weight must be strictly between 0 and 1"),
    (losses.robust_log_loss, {"a": 0.0}, "a must be a finite number above 0"),
    (losses.nce_rce_loss, {"alpha": -1.0}, "alpha must be"),
    (losses.nce_rce_loss, {"log_zero": 0.0}, "log_zero must be"),
    (losses.nce_agce_loss, {"q": 0.0}, "q must be"),
    (losses.nce_aul_loss, {"a": 1.0}, "a must be above 1"),
])  # fmt: skip
def test_parameters_out_of_range_are_named(loss, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        loss(SHORT, LABELS, **parameters)
