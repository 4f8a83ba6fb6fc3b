"""DCL in time and memory: whole, in chunks, and as it is usually written."""

import pytest

from simulations.costs import alternating_seconds, peak_bytes
from tests.benchmarks.measured_calls import contrastive_pass

SAMPLES, DIM = 2048, 128


@pytest.mark.parametrize(("loss", "chunk_size"), [("dcl", None), ("dcl", 256), ("info_nce", None), ("naive", None)])
def test_contrastive_pass(benchmark, loss, chunk_size):
    benchmark.group = f"contrastive loss and gradient, {SAMPLES} x {DIM}"
    benchmark.extra_info["peak_mib"] = (
        peak_bytes(
            "tests.benchmarks.measured_calls", "contrastive_pass",
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
        side: peak_bytes("tests.benchmarks.measured_calls", "contrastive_pass", {**arguments, **options})
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
