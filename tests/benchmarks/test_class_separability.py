"""The ICNN loss against the form that subtracts every pair of points, and batch-hard triplets against their peer."""

import pytest
import torch

from neural.contrastive.class_separability import icnn_loss
from simulations.costs import alternating_seconds, peak_bytes
from tests.benchmarks.separability_calls import icnn_pass, pair_vector_loss, triplet_pass

MODULE = "tests.benchmarks.separability_calls"
SIZE = {"samples": 400, "dim": 1600}


def test_both_forms_compute_the_same_loss():
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 4
    torch.testing.assert_close(pair_vector_loss(x, y), icnn_loss(x, y, 4, 10), atol=1e-6, rtol=1e-6)


def test_distances_take_a_fifth_of_the_time_and_a_tenth_of_the_memory_of_pair_vectors(benchmark):
    sides = {form: icnn_pass(**SIZE, form=form) for form in ("ours", "chunked", "pair vectors")}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {form: peak_bytes(MODULE, "icnn_pass", {**SIZE, "form": form}) for form in sides}
    for form in ("ours", "chunked"):
        print(
            f"\npair vectors / {form}, 400 points of 1600: time {(rounds['pair vectors'] / rounds[form]).median():.1f}, "
            f"peak memory {peaks['pair vectors'] / peaks[form]:.1f} of {peaks[form] / 2**20:.0f} MiB",
            end="",
        )
    assert (rounds["pair vectors"] / rounds["ours"]).median() >= 5
    assert peaks["pair vectors"] >= 10 * peaks["ours"]


def test_batch_hard_triplets_take_no_more_time_than_the_peers(benchmark):
    pytest.importorskip("pytorch_metric_learning")
    sides = {form: triplet_pass(400, 64, form) for form in ("ours", "peer")}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 9}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["ours"] / rounds["peer"]).median()
    print(f"\nbatch-hard triplet ours / pytorch_metric_learning, 400 x 64: time {ratio:.2f}", end="")
    assert ratio <= 1
