"""Reweighting against a training step and M backward passes; log-probabilities in chunks against the plain form."""

import pytest
import torch

from neural.optimization.loss_reweighting import ReweightedLoss, loss_weights, sequence_losses
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from simulations.costs import alternating_seconds, peak_bytes


def median_of_rounds(benchmark, sides, rounds, ratio):
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": rounds, "warmup": 2}, rounds=1)
    return ratio(table.pivot(index="round", columns="side", values="seconds")).median()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TinyGPT(vocab_size=64, d_model=64, n_layers=2, max_len=64)


@pytest.mark.parametrize("batch", [32, 256])
def test_reweighting_costs_less_than_one_percent_of_a_training_step(benchmark, model, batch):
    ids = torch.randint(0, 64, (batch, 64), generator=torch.Generator().manual_seed(1))
    optimizer, reweight = torch.optim.AdamW(model.parameters()), ReweightedLoss("linupper", r=1.0)
    losses = sequence_losses(model(ids), ids)[0].detach().requires_grad_()

    def step():
        optimizer.zero_grad()
        sequence_losses(model(ids), ids)[0].mean().backward()
        optimizer.step()

    def repeated(loss):
        return lambda: [torch.autograd.grad(loss(losses), losses) for _ in range(100)]

    sides = {"step": step, "reweighted": repeated(reweight), "mean": repeated(torch.mean)}
    share = median_of_rounds(benchmark, sides, 9, lambda s: (s["reweighted"] - s["mean"]) / 100 / s["step"])
    print(f"\nreweighting / training step of a tiny transformer, batch of {batch}: {100 * share:.2f} %", end="")
    assert share < 0.01


@pytest.mark.parametrize("batch", [8, 32])
def test_one_weighted_pass_is_about_m_times_faster_than_m_passes(benchmark, model, batch):
    ids = torch.randint(0, 64, (batch, 64), generator=torch.Generator().manual_seed(1))
    parameters, reweight = list(model.parameters()), ReweightedLoss("linupper", r=1.0)

    def one_pass():
        return torch.autograd.grad(reweight(sequence_losses(model(ids), ids)[0]), parameters)

    def passes():
        losses = sequence_losses(model(ids), ids)[0]
        total = [torch.zeros_like(p) for p in parameters]
        for weight, loss in zip(loss_weights(losses), losses, strict=True):
            for t, g in zip(total, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True):
                t.add_(weight * g)
        return total

    for ours, naive in zip(one_pass(), passes(), strict=True):
        torch.testing.assert_close(ours, naive, rtol=1e-3, atol=1e-6)
    ratio = median_of_rounds(benchmark, {"one": one_pass, "M": passes}, 5, lambda s: s["M"] / s["one"])
    print(f"\nM backward passes / one, M = {batch}: {ratio:.1f}", end="")
    assert ratio >= batch / 2


def log_probability_pass(chunk: int | None):
    """Forward and backward pass of token log-probabilities; ``None`` is log-softmax and gather."""
    logits = torch.randn(8, 256, 8000, requires_grad=True)
    ids = torch.randint(0, 8000, (8, 256))
    return lambda: torch.autograd.grad(token_logps(logits, ids, chunk).sum(), logits)


def test_chunks_need_at_most_two_thirds_of_the_memory(benchmark):
    def peaks():
        return [
            peak_bytes("tests.benchmarks.test_loss_reweighting", "log_probability_pass", {"chunk": chunk})
            for chunk in (None, 16)
        ]

    plain, chunked = benchmark.pedantic(peaks, rounds=1)
    print(f"\npeak memory, log-softmax and gather / chunks: {plain / chunked:.2f}", end="")
    assert plain / chunked >= 1.5
