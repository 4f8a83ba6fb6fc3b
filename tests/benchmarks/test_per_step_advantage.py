"""Rollouts of all prefixes in batches against one prefix and one rollout at a time; both keep keys and values."""

import pytest
import torch

from neural.alignment.rollouts import mc_step_q
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from simulations.costs import alternating_seconds

ANSWERS, ROLLOUTS, ROUNDS = 12, 8, 3


@pytest.fixture
def ways():
    """Functions of the temperature that estimate the same values."""
    world = ChainArithmetic(5, 3)
    torch.manual_seed(0)
    model = TinyGPT(world.vocab_size, d_model=32, max_len=world.prompt_length + world.solution_length)
    prompts = world.problems(ANSWERS, torch.Generator().manual_seed(0))
    responses, ends = world.solve(prompts), torch.tensor([3, 6, 9])

    def batched(temperature=1.0, accepted=world.verify):
        continued = lambda ids, n: sample(model, ids, n, temperature)  # noqa: E731
        return mc_step_q(continued, prompts, responses, ends, accepted, ROLLOUTS)

    def one_by_one(temperature=1.0, accepted=world.verify):
        q = torch.zeros(ANSWERS, len(ends))
        for b in range(ANSWERS):
            for i, end in enumerate(ends.tolist()):
                for _ in range(ROLLOUTS):
                    prefix = torch.cat([prompts[b, None], responses[b, None, :end]], dim=1)
                    new = sample(model, prefix, world.solution_length - end, temperature)
                    whole = torch.cat([responses[b, None, :end], new], dim=1)
                    q[b, i] += accepted(prompts[b, None], whole).float().item() / ROLLOUTS
        return q

    return {"batched": batched, "one by one": one_by_one}


def test_both_ways_give_the_same_values(ways):
    even = lambda prompts, responses: responses.sum(1) % 2 == 0  # noqa: E731
    values = [way(temperature=0.0, accepted=even) for way in ways.values()]
    assert 0 < values[0].mean() < 1
    torch.testing.assert_close(*values)


def test_batched_rollouts_are_twenty_times_faster_than_one_by_one(benchmark, ways):
    table = benchmark.pedantic(alternating_seconds, (ways,), {"rounds": ROUNDS}, rounds=1)
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = (rounds["one by one"] / rounds["batched"]).median()
    print(f"\nrollouts one by one / batched, {ANSWERS} answers, 3 steps, {ROLLOUTS} rollouts: {ratio:.0f}", end="")
    assert ratio >= 20
