"""Contrast over blocks of a graph's nodes against contrast over all pairs: time and peak memory at 8000 nodes."""

import pytest

from simulations.contrastive.graph_loss_costs import loss_pass, peak_allocation, training_epoch
from simulations.costs import alternating_seconds, peak_bytes

MODULE = "simulations.contrastive.graph_loss_costs"
SHAPE = {"nodes": 8000, "degree": 8, "clusters": 10, "dim": 10, "device": "cpu"}
LOSS = {**SHAPE, "chunk_size": 256}
TRAINING = {**SHAPE, "features": 64, "hidden": [128, 128]}


@pytest.mark.parametrize(
    ("function", "arguments", "faster", "smaller"),
    [("loss_pass", LOSS, 20, 50), ("training_epoch", TRAINING, 3, 5)],
    ids=["loss", "training"],
)
def test_blocks_take_a_fraction_of_the_time_and_memory_of_all_pairs(benchmark, function, arguments, faster, smaller):
    make = {"loss_pass": loss_pass, "training_epoch": training_epoch}[function]
    sides = {loss: make(loss=loss, **arguments) for loss in ("block", "pairs")}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {loss: peak_bytes(MODULE, function, {"loss": loss, **arguments}) for loss in sides}
    tensors = {loss: peak_allocation(call) for loss, call in sides.items()}
    time = (rounds["pairs"] / rounds["block"]).median()
    print(
        f"\n{function}, all pairs / blocks, 8000 nodes: time {time:.1f}, "
        f"resident peak {peaks['pairs'] / peaks['block']:.1f} of {peaks['block'] / 2**20:.1f} MiB, "
        f"tensors {tensors['pairs'] / tensors['block']:.1f} of {tensors['block'] / 2**20:.1f} MiB",
        end="",
    )
    assert time >= faster
    assert peaks["pairs"] >= smaller * peaks["block"]
    assert tensors["pairs"] >= smaller * tensors["block"]


def test_blocks_are_faster_than_pairs_in_chunks_whose_memory_is_linear_too(benchmark):
    sides = {loss: loss_pass(loss=loss, **LOSS) for loss in ("block", "pairs in chunks")}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {loss: peak_bytes(MODULE, "loss_pass", {"loss": loss, **LOSS}) for loss in sides}
    time = (rounds["pairs in chunks"] / rounds["block"]).median()
    print(
        f"\nall pairs in chunks of 256 / blocks, 8000 nodes: time {time:.1f}, "
        f"peak memory {peaks['pairs in chunks'] / peaks['block']:.1f}",
        end="",
    )
    assert time >= 3
