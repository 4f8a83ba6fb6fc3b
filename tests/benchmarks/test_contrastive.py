"""DCL and NT-Xent in time and memory: whole, in chunks, as usually written, and by lightly and pytorch-metric-learning."""

import pytest
import torch

from neural.contrastive.dcl import dcl_loss, info_nce_loss
from simulations.costs import alternating_seconds, peak_bytes
from tests.benchmarks.measured_calls import contrastive_pass, peer_loss, peer_pass

MODULE = "tests.benchmarks.measured_calls"
SAMPLES, DIM = 2048, 128
PEER_SAMPLES, PEER_DIM = 4096, 128


@pytest.mark.parametrize(("loss", "chunk_size"), [("dcl", None), ("dcl", 256), ("info_nce", None), ("naive", None)])
def test_contrastive_pass(benchmark, loss, chunk_size):
    benchmark.group = f"contrastive loss and gradient, {SAMPLES} x {DIM}"
    benchmark.extra_info["peak_mib"] = (
        peak_bytes(
            MODULE, "contrastive_pass",
            {"samples": SAMPLES, "dim": DIM, "loss": loss, "chunk_size": chunk_size},
        )
        / 2**20
    )  # fmt: skip
    benchmark(contrastive_pass(SAMPLES, DIM, loss, chunk_size))


def test_chunked_dcl_against_the_naive_form(benchmark):
    """Ratios of medians of alternating runs."""
    sides = {
        "ours": contrastive_pass(SAMPLES, DIM, "dcl"),
        "chunked": contrastive_pass(SAMPLES, DIM, "dcl", 256),
        "naive": contrastive_pass(SAMPLES, DIM, "naive"),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 7}, rounds=1)
    medians = table.groupby("side")["seconds"].median()
    arguments = {"samples": SAMPLES, "dim": DIM}
    peaks = {
        side: peak_bytes(MODULE, "contrastive_pass", {**arguments, **options})
        for side, options in {
            "ours": {"loss": "dcl"}, "chunked": {"loss": "dcl", "chunk_size": 256}, "naive": {"loss": "naive"},
        }.items()
    }  # fmt: skip
    for side in ("ours", "chunked"):
        print(
            f"\n{side} / naive: time {medians[side] / medians['naive']:.2f}, peak memory {peaks[side] / peaks['naive']:.2f}",
            end="",
        )
    assert medians["ours"] < medians["naive"]
    assert peaks["chunked"] < peaks["naive"] / 4


@pytest.mark.parametrize(
    ("loss", "package"),
    [("info_nce", "lightly"), ("info_nce", "pytorch_metric_learning"), ("dcl", "lightly")],
)
def test_values_and_gradients_are_those_of_the_peers(loss, package):
    pytest.importorskip(package)
    generator = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(33, 16, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    ours = {"info_nce": info_nce_loss, "dcl": dcl_loss}[loss](z1, z2, 0.1, chunk_size=8)
    theirs = peer_loss(package, loss)(z1, z2)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)  # peers add a small number to their norms
    for mine, other in zip(torch.autograd.grad(ours, (z1, z2)), torch.autograd.grad(theirs, (z1, z2)), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("loss", ["info_nce", "dcl"])
def test_a_large_batch_takes_less_time_and_half_the_memory_of_lightly(benchmark, loss):
    pytest.importorskip("lightly")
    arguments = {"samples": PEER_SAMPLES, "dim": PEER_DIM, "loss": loss}
    sides = {
        "ours": contrastive_pass(**arguments, chunk_size=512),
        "whole": contrastive_pass(**arguments),
        "lightly": peer_pass(**arguments, package="lightly"),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {
        "ours": peak_bytes(MODULE, "contrastive_pass", {**arguments, "chunk_size": 512}),
        "whole": peak_bytes(MODULE, "contrastive_pass", arguments),
        "lightly": peak_bytes(MODULE, "peer_pass", {**arguments, "package": "lightly"}),
    }
    for side in ("ours", "whole"):
        ratio = (rounds[side] / rounds["lightly"]).median()
        print(
            f"\n{loss} {side} / lightly, {PEER_SAMPLES} x {PEER_DIM}: time {ratio:.2f}, "
            f"peak memory {peaks[side] / peaks['lightly']:.2f} of {peaks['lightly'] / 2**20:.0f} MiB",
            end="",
        )
    assert (rounds["ours"] / rounds["lightly"]).median() <= 1
    assert peaks["ours"] <= peaks["lightly"] / 2


def test_pytorch_metric_learning_needs_a_cube_of_pairs(benchmark):
    """It pairs every positive with every negative: 512 GiB at 4096 samples, so that 256 are compared."""
    package = "pytorch_metric_learning"
    pytest.importorskip(package)
    arguments = {"samples": 256, "dim": PEER_DIM, "loss": "info_nce"}
    sides = {"ours": contrastive_pass(**arguments), "peer": peer_pass(**arguments, package=package)}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 3}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ours = peak_bytes(MODULE, "contrastive_pass", arguments)
    peaks = {n: peak_bytes(MODULE, "peer_pass", {**arguments, "samples": n, "package": package}) for n in (128, 256)}
    ratio = (rounds["ours"] / rounds["peer"]).median()
    print(
        f"\ninfo_nce ours / {package}, 256 x {PEER_DIM}: time {ratio:.4f}, peak memory {ours / peaks[256]:.3f} of "
        f"{peaks[256] / 2**20:.0f} MiB, which twice the samples multiply by {peaks[256] / peaks[128]:.1f}",
        end="",
    )
    assert ratio <= 1
    assert ours <= peaks[256] / 2
    assert peaks[256] / peaks[128] > 6
