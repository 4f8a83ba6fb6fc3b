"""OPIS against a loop over classes and thresholds; TCM and its base losses against pytorch-metric-learning."""

import numpy as np
import pytest
import torch

from neural.contrastive import metric_losses as bases
from neural.contrastive.tcm import threshold_consistent_margin_loss
from simulations.costs import alternating_seconds
from theory.contrastive import tcm as theory

ITEMS, CLASSES, DIM, THRESHOLDS = 4000, 200, 32, 101


def _items():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), ITEMS // CLASSES)
    widths = rng.uniform(0.3, 0.8, CLASSES)
    z = rng.standard_normal((CLASSES, DIM))[labels] + widths[labels, None] * rng.standard_normal((ITEMS, DIM))
    return z, labels


def _opis_by_loops(z, labels):
    """All distances, then rates class by class and threshold by threshold."""
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    distance = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))
    negatives = distance[labels[:, None] != labels]
    low, high = np.quantile(negatives, [0.01, 0.1], method="inverted_cdf")
    curves = []
    for name in np.unique(labels):
        mine = labels == name
        within = distance[np.ix_(mine, mine)][~np.eye(mine.sum(), dtype=bool)]
        across = distance[np.ix_(mine, ~mine)]
        row = []
        for d in np.linspace(low, high, THRESHOLDS):
            psi, phi = (within <= d).mean(), (across > d).mean()
            row.append(2 * phi * psi / (phi + psi) if phi + psi else 0.0)
        curves.append(row)
    return ((np.array(curves) - np.mean(curves, axis=0)) ** 2).mean()


def test_opis_takes_a_twentieth_of_a_loop_over_classes_and_thresholds(benchmark):
    z, labels = _items()
    assert theory.opis(z, labels) == pytest.approx(_opis_by_loops(z, labels), rel=1e-3)
    sides = {
        "ours": lambda: theory.opis(z, labels), "exact": lambda: theory.exact_opis(z, labels),
        "histogram": lambda: theory.histogram_opis(z, labels), "loops": lambda: _opis_by_loops(z, labels),
    }  # fmt: skip
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 7}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratios = {side: (rounds["loops"] / rounds[side]).median() for side in ("ours", "exact", "histogram")}
    print(
        f"\nOPIS of {ITEMS} items in {CLASSES} classes, {THRESHOLDS} thresholds: a loop takes {ratios['ours']:.1f} times "
        f"as long, {ratios['exact']:.1f} times the exact integral, {ratios['histogram']:.1f} times the histogram",
        end="",
    )
    assert ratios["ours"] >= 20


def _peer_losses():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(8).repeat_interleave(4)
    z = torch.randn(8, 16, dtype=torch.float64, generator=generator)[labels]
    z = (z + 0.8 * torch.randn(32, 16, dtype=torch.float64, generator=generator)).requires_grad_()
    proxies = torch.randn(8, 16, dtype=torch.float64, generator=generator)
    anchor, arc = losses.ProxyAnchorLoss(8, 16, margin=0.1, alpha=32), losses.ArcFaceLoss(8, 16, margin=28.6, scale=16)
    soft = losses.NormalizedSoftmaxLoss(8, 16, temperature=0.2)
    anchor.proxies.data, arc.W.data, soft.W.data = proxies.clone(), proxies.T.clone(), proxies.T.clone()
    pairs = {
        "TCM": (threshold_consistent_margin_loss, losses.ThresholdConsistentMarginLoss()),
        "TCM, other margins": (
            lambda z, y: threshold_consistent_margin_loss(z, y, 0.7, 0.2, 20.0, 3.0, chunk_size=5),
            losses.ThresholdConsistentMarginLoss(20.0, 3.0, 0.7, 0.2),
        ),
        "SupCon": (lambda z, y: bases.supcon_loss(z, y, 0.1), losses.SupConLoss(0.1)),
        "ProxyAnchor": (lambda z, y: bases.proxy_anchor_loss(z, y, proxies), anchor),
        "ArcFace": (lambda z, y: bases.arcface_loss(z, y, proxies, np.radians(28.6).item(), 16.0), arc),
        "cosine softmax": (lambda z, y: bases.cosine_softmax_loss(z, y, proxies, 0.2), soft),
    }
    return z, labels, pairs


@pytest.mark.parametrize("name", ["TCM", "TCM, other margins", "SupCon", "ProxyAnchor", "ArcFace", "cosine softmax"])
def test_values_and_gradients_are_those_of_the_peer(name):
    z, labels, pairs = _peer_losses()
    ours, theirs = (loss(z, labels) for loss in pairs[name])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    mine, other = (torch.autograd.grad(loss, z)[0] for loss in (ours, theirs))
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-9)


def test_a_batch_of_1024_takes_less_time_than_the_peer(benchmark):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    labels = torch.arange(256).repeat_interleave(4)
    z = torch.randn(1024, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    peer = losses.ThresholdConsistentMarginLoss()
    sides = {
        "ours": lambda: torch.autograd.grad(threshold_consistent_margin_loss(z, labels), z),
        "chunked": lambda: torch.autograd.grad(threshold_consistent_margin_loss(z, labels, chunk_size=128), z),
        "peer": lambda: torch.autograd.grad(peer(z, labels), z),
    }
    rounds = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1).pivot(
        index="round", columns="side", values="seconds"
    )
    ratios = {side: (rounds[side] / rounds["peer"]).median() for side in ("ours", "chunked")}
    print(f"\nTCM / peer, 1024 x 64: time {ratios['ours']:.3f}, in chunks {ratios['chunked']:.3f}", end="")
    assert ratios["ours"] <= 1
