"""Rollouts of all prefixes in batches against one by one, and what token weights cost beside DPO."""

import torch

from neural.alignment.cdpo import cdpo_loss, rollout_scores
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.logprobs import sequence_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.unlearning.losses import dpo_loss
from simulations.costs import alternating_seconds


def ratio(benchmark, slow, fast, rounds=5):
    """Median over rounds of how many times longer ``slow`` takes."""
    table = benchmark.pedantic(alternating_seconds, ({"slow": slow, "fast": fast},), {"rounds": rounds}, rounds=1)
    sides = table.pivot(index="round", columns="side", values="seconds")
    return (sides["slow"] / sides["fast"]).median()


def test_batched_rollouts_of_every_token_are_twenty_times_faster_than_one_by_one(benchmark):
    world = ChainArithmetic(5, 3)
    torch.manual_seed(0)
    model = TinyGPT(world.vocab_size, d_model=32, max_len=world.prompt_length + world.solution_length)
    texts, _ = world.texts(prompts := world.problems(2, torch.Generator().manual_seed(0)), world.solve(prompts))
    start, rollouts = world.prompt_length, 32

    def batched():
        return rollout_scores(lambda ids, n: sample(model, ids, n), texts, world.verify, rollouts, start)

    def one_by_one():
        scores = torch.zeros(len(texts), texts.shape[1] - start)
        for b, text in enumerate(texts):
            for t in range(scores.shape[1]):
                kept = text[None, : start + t + 1]
                for _ in range(rollouts):
                    left = texts.shape[1] - kept.shape[1]
                    whole = torch.cat([kept, sample(model, kept, left)], 1) if left else kept
                    scores[b, t] += world.verify(whole[:, :start], whole[:, start:]).item() / rollouts
        return scores

    found = ratio(benchmark, one_by_one, batched, rounds=3)
    print(f"\nrollouts one by one / batched, 2 answers of 12 tokens, 32 rollouts: {found:.0f}", end="")
    assert found >= 20


def test_token_weights_at_most_double_what_dpo_costs(benchmark):
    generator = torch.Generator().manual_seed(0)
    policy = [(-torch.rand(64, 1024, generator=generator)).requires_grad_() for _ in range(2)]
    reference = [-torch.rand(64, 1024, generator=generator) for _ in range(2)]
    masks = [torch.rand(64, 1024, generator=generator) < 0.8 for _ in range(2)]
    scores = torch.rand(64, 1024, generator=generator)

    def dpo():
        sums = [sequence_logps(parts[side], masks[side]) for parts in (policy, reference) for side in (0, 1)]
        return torch.autograd.grad(dpo_loss(*sums, beta=0.1, scale=0.1), policy)

    def weighted():
        return torch.autograd.grad(cdpo_loss(*policy, *reference, *masks, scores), policy)

    found = ratio(benchmark, weighted, dpo, rounds=31)
    print(f"\ncDPO / DPO from tokens, forward and backward, 64 pairs of 1024 tokens: {found:.2f}", end="")
    assert found <= 2
