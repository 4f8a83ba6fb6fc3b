"""A step of NPO: cached reference log-probabilities against a call of the reference, one forward pass against two."""

import pytest
import torch

from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.tiny_lm.model import TinyGPT
from neural.unlearning.npo import UnlearningObjective
from simulations.costs import alternating_seconds

BATCH, LENGTH = 32, 13
ROUNDS = 15


def median_ratio(benchmark, sides, first, second):
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": ROUNDS, "warmup": 2}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    return (seconds[first] / seconds[second]).median()


@pytest.fixture
def setting():
    torch.manual_seed(0)
    model, reference = TinyGPT(170, d_model=64, n_layers=1), TinyGPT(170, d_model=64, n_layers=1).eval()
    generator = torch.Generator().manual_seed(1)
    forget, retain = (torch.randint(0, 170, (BATCH, LENGTH), generator=generator) for _ in range(2))
    mask = torch.arange(LENGTH - 1).expand(BATCH, -1) >= 5
    with torch.no_grad():
        cached = sequence_logps(token_logps(reference(forget), forget), mask)
    return model, reference, forget, retain, mask, cached


def stepper(setting, *, cache: bool, together: bool):
    model, reference, forget, retain, mask, cached = setting
    objective, parameters = UnlearningObjective("npo", "nll"), list(model.parameters())

    def step():
        ref_logps = cached
        if not cache:
            with torch.no_grad():
                ref_logps = sequence_logps(token_logps(reference(forget), forget), mask)
        if together:
            ids = torch.cat([forget, retain])
            lost, kept = token_logps(model(ids), ids).split(BATCH)
        else:
            lost, kept = token_logps(model(forget), forget), token_logps(model(retain), retain)
        loss = objective(lost, mask, ref_logps, retain_logps=kept, retain_mask=mask)
        return loss, torch.autograd.grad(loss, parameters)

    return step


def test_all_ways_give_the_same_step(setting):
    expected = stepper(setting, cache=False, together=False)()
    for cache, together in ((True, False), (True, True)):
        torch.testing.assert_close(stepper(setting, cache=cache, together=together)(), expected, rtol=1e-3, atol=1e-5)


def test_cached_reference_log_probabilities_save_a_forward_pass(benchmark, setting):
    sides = {name: stepper(setting, cache=name == "cached", together=True) for name in ("cached", "called")}
    ratio = median_ratio(benchmark, sides, "cached", "called")
    print(f"\nstep with cached reference log-probabilities / with a call of the reference: {ratio:.2f}", end="")
    assert ratio < 0.95


def test_one_forward_pass_of_both_batches_is_not_slower_than_two(benchmark, setting):
    sides = {name: stepper(setting, cache=True, together=name == "one") for name in ("one", "two")}
    ratio = median_ratio(benchmark, sides, "one", "two")
    print(f"\nstep with one forward pass of both batches / with two: {ratio:.2f}", end="")
    assert ratio < 1.05
