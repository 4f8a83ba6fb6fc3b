"""Hard and plain contrastive losses: values against lightly and pytorch-metric-learning, time and memory of hard negatives."""

import pytest
import torch
import torch.nn.functional as F

from neural.contrastive.contrastive_temperature import contrastive_loss, hard_contrastive_loss, hard_simple_loss
from simulations.costs import alternating_seconds, peak_bytes
from tests.benchmarks.measured_calls import peer_loss, peer_pass

MODULE = "tests.benchmarks.test_contrastive_temperature"
PEERS = "tests.benchmarks.measured_calls"
SAMPLES, DIM = 2048, 128
PEER_SAMPLES = 4096


def temperature_pass(
    samples: int, dim: int, loss: str, hard_fraction: float | None = None, chunk_size: int | None = None
):
    """A call: forward and backward pass of a loss on two random views."""
    z1, z2 = (torch.randn(samples, dim, requires_grad=True) for _ in range(2))
    if loss == "naive":
        return lambda: torch.autograd.grad(_naive_hard(z1, z2, 0.1, hard_fraction or 1.0), (z1, z2))
    function = {"contrastive": hard_contrastive_loss, "simple": hard_simple_loss}[loss]
    return lambda: torch.autograd.grad(function(z1, z2, 0.1, hard_fraction, chunk_size=chunk_size), (z1, z2))


def _naive_hard(z1, z2, temperature: float, hard_fraction: float):
    """As it is usually written: negatives picked by a mask, sorted, and a quantile of them kept by another mask."""
    u = F.normalize(torch.cat([z1, z2]), dim=1)
    count, samples = len(u), len(z1)
    same = torch.eye(samples, dtype=torch.bool).repeat(2, 2)
    cosines = u @ u.T
    negatives = cosines[~same].reshape(count, -1)
    kept = max(1, round(hard_fraction * negatives.shape[1]))
    threshold = negatives.sort(dim=1, descending=True).values[:, kept - 1 : kept]
    exponentials = torch.exp(negatives / temperature) * (negatives >= threshold)
    positives = torch.exp(torch.cat([cosines.diagonal(samples), cosines.diagonal(-samples)]) / temperature)
    return -torch.log(positives / (positives + exponentials.sum(1))).mean()


@pytest.mark.parametrize("package", ["lightly", "pytorch_metric_learning"])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_values_and_gradients_are_those_of_the_peers(package, temperature):
    pytest.importorskip(package)
    generator = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(33, 16, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    theirs = peer_loss(package, "info_nce", temperature)(z1, z2)
    reference = torch.autograd.grad(theirs, (z1, z2))
    for options in ({}, {"hard_fraction": 1.0, "chunk_size": 8}):
        ours = hard_contrastive_loss(z1, z2, temperature, **options)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)  # peers add a small number to their norms
        for mine, other in zip(torch.autograd.grad(ours, (z1, z2)), reference, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-9)


def test_values_from_similarities_are_those_of_the_peers():
    pytest.importorskip("lightly")
    generator = torch.Generator().manual_seed(1)
    z1, z2 = torch.randn(2, 9, 5, dtype=torch.float64, generator=generator)
    u = F.normalize(torch.cat([z1, z2]), dim=1)
    others = ~torch.eye(9, dtype=torch.bool).repeat(2, 2)
    cosines = u @ u.T
    ours = contrastive_loss(
        torch.cat([cosines.diagonal(9), cosines.diagonal(-9)]), cosines[others].reshape(18, -1), 0.3
    )
    torch.testing.assert_close(ours, peer_loss("lightly", "info_nce", 0.3)(z1, z2), rtol=1e-6, atol=0)


def test_the_naive_form_has_the_same_value():
    z1, z2 = torch.randn(2, 20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(hard_contrastive_loss(z1, z2, 0.3, 0.4), _naive_hard(z1, z2, 0.3, 0.4))


@pytest.mark.parametrize(("loss", "chunk_size"), [("contrastive", None), ("contrastive", 256), ("simple", 256)])
def test_hard_pass(benchmark, loss, chunk_size):
    benchmark.group = f"hardest half, loss and gradient, {SAMPLES} x {DIM}"
    benchmark(temperature_pass(SAMPLES, DIM, loss, 0.5, chunk_size))


@pytest.mark.parametrize("hard_fraction", [0.1, 0.5])
def test_hard_negatives_against_the_naive_form(benchmark, hard_fraction):
    """Ratios of medians of paired alternating rounds; memory linear in the batch with chunks."""
    arguments = {"samples": SAMPLES, "dim": DIM, "hard_fraction": hard_fraction}
    options = {
        "ours": {"loss": "contrastive"}, "chunked": {"loss": "contrastive", "chunk_size": 256}, "naive": {"loss": "naive"},
    }  # fmt: skip
    sides = {side: temperature_pass(**arguments, **each) for side, each in options.items()}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    peaks = {side: peak_bytes(MODULE, "temperature_pass", {**arguments, **each}) for side, each in options.items()}
    for side in ("ours", "chunked"):
        ratio = (rounds[side] / rounds["naive"]).median()
        print(
            f"\nhard {hard_fraction:g} {side} / naive: time {ratio:.2f}, peak memory "
            f"{peaks[side] / peaks['naive']:.2f} of {peaks['naive'] / 2**20:.0f} MiB",
            end="",
        )
    assert (rounds["ours"] / rounds["naive"]).median() <= 1
    assert peaks["ours"] <= peaks["naive"]
    assert peaks["chunked"] <= peaks["naive"] / 4


def test_all_negatives_of_a_large_batch_take_less_time_and_half_the_memory_of_lightly(benchmark):
    pytest.importorskip("lightly")
    arguments = {"samples": PEER_SAMPLES, "dim": DIM}
    ours = {**arguments, "loss": "contrastive", "chunk_size": 512}
    theirs = {**arguments, "loss": "info_nce", "package": "lightly"}
    sides = {"ours": temperature_pass(**ours), "lightly": peer_pass(**theirs)}
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["ours"] / rounds["lightly"]).median()
    peaks = [peak_bytes(MODULE, "temperature_pass", ours), peak_bytes(PEERS, "peer_pass", theirs)]
    print(
        f"\nall negatives, ours / lightly, {PEER_SAMPLES} x {DIM}: time {ratio:.2f}, "
        f"peak memory {peaks[0] / peaks[1]:.2f} of {peaks[1] / 2**20:.0f} MiB",
        end="",
    )
    assert ratio <= 1
    assert peaks[0] <= peaks[1] / 2


def test_the_simple_loss_needs_no_similarities(benchmark):
    """Over all negatives it is linear in the batch: twice the samples take about twice the memory, not four times."""
    sizes = (4096, 8192)
    peaks = {n: peak_bytes(MODULE, "temperature_pass", {"samples": n, "dim": DIM, "loss": "simple"}) for n in sizes}
    benchmark(temperature_pass(4096, DIM, "simple"))
    print(f"\nsimple loss: peak {peaks[4096] / 2**20:.0f} MiB, twice the samples times {peaks[8192] / peaks[4096]:.1f}")
    assert peaks[8192] / peaks[4096] < 3
    assert peaks[8192] < 8192**2 * 4
