"""COMIC: the multi-focal loss against its usual form in time and memory, and average precision against a loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from neural.classification.comic import class_modifier, multi_focal_loss
from simulations.costs import alternating_seconds, peak_bytes
from theory.classification.comic import shot_map


def usual_multi_focal(logits, targets, weight):
    """Clamps and logarithms of both probabilities, sums of masked products, as it is usually written."""
    p = torch.sigmoid(logits)
    q = (1 - p + 0.05).clamp(max=1)
    loss = targets * torch.log(p.clamp(min=1e-8)) + (1 - targets) * torch.log(q.clamp(min=1e-8))
    with torch.no_grad():
        pt = p * targets + q * (1 - targets)
        focusing = torch.pow(1 - pt, (3 + weight) * (1 - targets))
    return -(loss * focusing * weight).sum()


def multi_label_pass(samples, classes, loss):
    """Forward and backward pass of the loss on random logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(samples, classes, generator=generator, requires_grad=True)
    targets = (torch.rand(samples, classes, generator=generator) < 0.1).float()
    weight = class_modifier(torch.arange(1, classes + 1))
    function = {"ours": multi_focal_loss, "usual": usual_multi_focal}[loss]
    return lambda: torch.autograd.grad(function(logits, targets, weight), logits)


@pytest.mark.parametrize(("samples", "classes"), [(1024, 80), (4096, 80), (4096, 1000)])
def test_the_loss_in_one_pass_is_half_again_as_fast_as_its_usual_form(benchmark, samples, classes):
    sides = {name: multi_label_pass(samples, classes, name) for name in ("ours", "usual")}
    torch.testing.assert_close(sides["ours"]()[0], sides["usual"]()[0], rtol=1e-4, atol=1e-5)
    rounds = 200 if samples * classes < 10**6 else 15
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds, "warmup": 2}, rounds=1)
    pairs = table.pivot(index="round", columns="side", values="seconds")
    ratio = (pairs["usual"] / pairs["ours"]).median()
    arguments = {"samples": samples, "classes": classes}
    peaks = [
        peak_bytes("tests.benchmarks.test_comic", "multi_label_pass", {**arguments, "loss": name})
        for name in ("ours", "usual")
    ]
    print(f"\nusual / ours, {samples} x {classes}: time {ratio:.2f}, memory {peaks[1] / max(peaks[0], 1):.2f}", end="")
    assert ratio >= 1.5
    if samples * classes > 10**6:
        assert peaks[0] < 0.75 * peaks[1]


def test_average_precision_of_all_classes_beats_a_loop_of_sklearn(benchmark):
    rng = np.random.default_rng(0)
    y, scores = rng.random((5000, 80)) < 0.1, rng.standard_normal((5000, 80))
    counts = rng.integers(1, 500, 80)

    def loop():
        return np.mean([average_precision_score(y[:, c], scores[:, c]) for c in range(80)])

    assert shot_map(y, scores, counts).total == pytest.approx(loop(), abs=1e-12)
    sides = {"ours": lambda: shot_map(y, scores, counts), "loop": loop}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 15}, rounds=1)
    pairs = table.pivot(index="round", columns="side", values="seconds")
    ratio = (pairs["loop"] / pairs["ours"]).median()
    print(f"\nsklearn loop / shot_map, 5000 x 80: {ratio:.1f}", end="")
    assert ratio > 1
