"""The gate's mixture against scikit-learn's in time, and DINO and AAM-softmax against lightly and pytorch-metric-learning."""

import math

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from neural.contrastive.ca_dino import DINOLoss
from neural.contrastive.loss_gate import aam_softmax_logits, aam_softmax_loss, fit_gaussian_pair, gaussian_crossing
from simulations.costs import alternating_seconds
from tests.benchmarks.peers import lightly_losses

SAMPLES = 100_000


def _log_losses() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-2, 1.0, SAMPLES * 6 // 10), rng.normal(1.2, 0.8, SAMPLES * 4 // 10)])


def test_mixture_is_fitted_ten_times_faster_than_by_scikit_learn_with_the_same_gate(benchmark):
    """Against the largest tolerance at which the peer's gate is right to 10⁻³; scikit-learn's default is printed too."""
    values = _log_losses()
    tensor, column = torch.from_numpy(values), values[:, None]

    def peer(tolerance: float) -> float:
        fitted = GaussianMixture(2, tol=tolerance, max_iter=2000, random_state=0).fit(column)
        first, second = fitted.means_[:, 0].argsort()
        parts = [
            (fitted.weights_[k], fitted.means_[k, 0], fitted.covariances_[k, 0, 0] ** 0.5) for k in (first, second)
        ]
        return gaussian_crossing(*map(float, (*parts[0], *parts[1])))

    def ours() -> float:
        pair = fit_gaussian_pair(tensor)
        return gaussian_crossing(*(float(each[k]) for k in range(2) for each in pair))

    exact = peer(1e-12)
    tolerance = next(t for t in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9) if abs(peer(t) - exact) < 1e-3)
    sides = {"ours": ours, "same gate": lambda: peer(tolerance), "default": lambda: peer(1e-3)}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    faster, default = ((rounds[side] / rounds["ours"]).median() for side in ("same gate", "default"))
    print(
        f"\nscikit-learn / ours, {SAMPLES} log losses: time {faster:.1f} at tolerance {tolerance:g}, {default:.1f} at its "
        f"default; gates differ by {abs(ours() - exact):.1e} (default: {abs(peer(1e-3) - exact):.1e})",
        end="",
    )
    assert abs(ours() - exact) < 1e-3
    assert faster >= 10


def test_dino_loss_takes_no_longer_than_lightly_s(benchmark):
    pytest.importorskip("lightly")
    teacher, student = torch.randn(2, 128, 4096), torch.randn(8, 128, 4096, requires_grad=True)
    ours, theirs = DINOLoss(4096), lightly_losses().DINOLoss(4096)
    sides = {
        "ours": lambda: torch.autograd.grad(ours(list(teacher), list(student)), student),
        "lightly": lambda: torch.autograd.grad(theirs(list(teacher), list(student)), student),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 7}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["ours"] / rounds["lightly"]).median()
    print(f"\nDINO loss and gradient, ours / lightly, 2 and 8 crops, 128 x 4096: {ratio:.2f}", end="")
    assert ratio <= 1


def test_dino_loss_centre_and_gradient_are_lightly_s_over_several_steps():
    pytest.importorskip("lightly")
    generator = torch.Generator().manual_seed(0)
    ours, theirs = DINOLoss(16).double(), lightly_losses().DINOLoss(16).double()
    for _ in range(3):
        teacher = torch.randn(2, 5, 16, generator=generator, dtype=torch.float64)
        student = torch.randn(6, 5, 16, generator=generator, dtype=torch.float64, requires_grad=True)
        losses = [each(list(teacher), list(student)) for each in (ours, theirs)]
        torch.testing.assert_close(*losses, rtol=1e-6, atol=0)  # lightly keeps its temperature in float32
        gradients = [torch.autograd.grad(loss, student)[0] for loss in losses]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(ours.center, theirs.center.flatten())


def test_aam_softmax_is_arcface_of_pytorch_metric_learning():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(40, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(6, (40,), generator=generator)
    peer = losses.ArcFaceLoss(6, 8, margin=math.degrees(0.2), scale=16).double()
    cos = torch.nn.functional.normalize(embeddings, dim=1) @ torch.nn.functional.normalize(peer.W, dim=0)
    ours, theirs = aam_softmax_loss(cos, labels, 0.2, 16.0), peer(embeddings, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    gradients = [torch.autograd.grad(loss, embeddings, retain_graph=True)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
    assert aam_softmax_logits(cos, labels).shape == (40, 6)
