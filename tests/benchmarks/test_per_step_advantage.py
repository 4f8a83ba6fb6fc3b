"""Rollouts of all prefixes in batches against one prefix and one rollout at a time."""

import torch

from neural.alignment.rollouts import mc_step_q
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from simulations.costs import alternating_seconds


def test_batched_rollouts_are_twenty_times_faster_than_one_by_one(benchmark):
    world = ChainArithmetic(5, 3)
    torch.manual_seed(0)
    model = TinyGPT(world.vocab_size, d_model=32, max_len=world.prompt_length + world.solution_length)
    prompts = world.problems(12, torch.Generator().manual_seed(0))
    responses = world.solve(prompts)
    ends, rollouts = torch.tensor([3, 6, 9]), 8

    def batched():
        return mc_step_q(lambda ids, n: sample(model, ids, n), prompts, responses, ends, world.verify, rollouts)

    def one_by_one():
        q = torch.zeros(len(prompts), len(ends))
        for b in range(len(prompts)):
            for i, end in enumerate(ends.tolist()):
                for _ in range(rollouts):
                    prefix = torch.cat([prompts[b, None], responses[b, None, :end]], dim=1)
                    new = sample(model, prefix, world.solution_length - end)
                    whole = torch.cat([responses[b, None, :end], new], dim=1)
                    q[b, i] += world.verify(prompts[b, None], whole).float().item() / rollouts
        return q

    table = benchmark.pedantic(
        alternating_seconds, ({"batched": batched, "one by one": one_by_one},), {"rounds": 5}, rounds=1
    )
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["one by one"] / rounds["batched"]).median()
    print(f"\nrollouts one by one / batched, 12 answers, 3 steps, 8 rollouts: {ratio:.0f}", end="")
    assert ratio >= 20
