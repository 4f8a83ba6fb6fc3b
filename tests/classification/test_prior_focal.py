"""The prior-guided variant of the multi-focal loss: what it shares with that loss, and what the prior changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural.classification.comic import class_modifier, multi_focal_loss
from neural.classification.prior_focal import co_occurrence_matrix, label_prior, prior_focal_loss


def _problem(seed, batch=7, classes=5, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, generator=generator, dtype=dtype)
    targets = (torch.rand(batch, classes, generator=generator) < 0.4).long()
    weight = class_modifier(torch.tensor([100, 50, 20, 5, 1])).to(dtype)
    return (
        logits.to(device).requires_grad_(),
        targets.to(device),
        co_occurrence_matrix(targets).to(device, dtype),
        weight.to(device),
    )


@given(seed=st.integers(0, 1000), clip=st.sampled_from([0.0, 0.05]))
def test_without_a_prior_it_is_the_multi_focal_loss(seed, clip):
    logits, y, M, omega = _problem(seed)
    ours = prior_focal_loss(logits, y, 0 * M, omega, 1.0, 3.0, clip)
    theirs = multi_focal_loss(logits, y, omega, 1.0, 3.0, clip)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, other in zip(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 1000))
def test_without_relief_the_prior_moves_the_value_of_positives_and_no_gradient(seed):
    logits, y, M, omega = _problem(seed)
    ours = prior_focal_loss(logits, y, M, omega, relief=1.0, eps=0.0)
    theirs = multi_focal_loss(logits, y, omega, eps=0.0)
    shift = -(omega * torch.log1p(-label_prior(y, M)) * y).sum()
    torch.testing.assert_close(ours, theirs + shift, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits)[0], torch.autograd.grad(theirs, logits)[0], rtol=1e-9, atol=1e-12
    )


def test_related_negatives_are_ignored_up_to_a_fifth_and_others_only_up_to_the_clip():
    p = torch.tensor([0.04, 0.15, 0.21, 0.23], dtype=torch.float64)
    logits = torch.logit(p)[:, None].repeat(1, 3).requires_grad_()
    y = torch.tensor([[1, 0, 0]] * 4)
    M = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    loss = prior_focal_loss(logits, y, M, gamma_neg=0.0, reduction="none")
    assert (loss[:, 1] > 0).tolist() == [False, False, False, True]  # goes with class 0: 1 + .05 − 1/1.2 = .2167
    assert (loss[:, 2] > 0).tolist() == [False, True, True, True]
    gradient = torch.autograd.grad(loss.sum(), logits)[0]
    assert (gradient[:, 1] > 0).tolist() == [False, False, False, True]


def test_the_matrix_and_the_prior_are_what_a_loop_counts():
    y = np.random.default_rng(0).random((30, 4)) < 0.5
    M = co_occurrence_matrix(torch.tensor(y)).numpy()
    counts = np.array([[sum(row[k] and row[c] for row in y) for c in range(4)] for k in range(4)], float)
    np.testing.assert_allclose(M, counts / counts.sum(0), rtol=1e-6)
    a = label_prior(torch.tensor(y), torch.tensor(M)).numpy()
    for row, prior in zip(y, a, strict=True):
        mean = M[row].mean(0) if row.any() else np.zeros(4)
        np.testing.assert_allclose(prior, mean / max(mean.sum(), 1e-30), rtol=1e-5)


def test_a_class_and_a_sample_without_labels_stay_finite(device):
    y = torch.tensor([[0, 1, 0], [0, 0, 0]], device=device)
    M = co_occurrence_matrix(y)
    assert M[:, 0].tolist() == [0.0, 0.0, 0.0]
    logits = torch.tensor([[80.0, -80.0, 0.0], [1e4, -1e4, 3.0]], device=device, requires_grad=True)
    loss = prior_focal_loss(logits, y, M)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_single_and_double_precision_agree(device):
    double, y, M, omega = _problem(3, device=device)
    single = prior_focal_loss(double.detach().float(), y, M.float(), omega.float())
    torch.testing.assert_close(single.double(), prior_focal_loss(double, y, M, omega).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relief": 0.9}, "relief must be a finite number of at least 1"),
        ({"co_occurrence": torch.zeros(2, 3)}, "co_occurrence must have shape"),
        ({"co_occurrence": -torch.eye(3)}, "co_occurrence must be at least 0"),
        ({"class_weight": torch.ones(2)}, "class_weight must have one entry per class"),
        ({"targets": torch.full((2, 3), 2)}, "targets must be 0 or 1"),
        ({"reduction": "max"}, "reduction must be"),
    ],
)
def test_bad_input_is_named(change, message, unchecked):
    call = {"logits": torch.zeros(2, 3), "targets": torch.zeros(2, 3), "co_occurrence": torch.eye(3)}
    with pytest.raises(ValueError, match=message):
        prior_focal_loss(**{**call, **change})
