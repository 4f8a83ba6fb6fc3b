"""Logit differences at a real vocabulary: the filter by a partial sort, the combination in the domain of logarithms."""

import math

import pytest
import torch

from neural.unlearning.uld import logit_difference, relative_top_mask
from simulations.costs import alternating_seconds

ROWS, VOCABULARY, ROUNDS = 64, 32_000, 15


def median_ratio(benchmark, sides, first, second):
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": ROUNDS, "warmup": 2}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    return (seconds[first] / seconds[second]).median()


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(ROWS, VOCABULARY, generator=generator) for _ in range(2)]


def sorted_mask(logits, relative_top):
    values = logits.log_softmax(-1)
    highest = values.sort(dim=-1, descending=True).values
    k = max(1, int(relative_top * values.shape[-1]))
    threshold = torch.minimum(highest[..., k - 1 : k], highest[..., :1] + math.log(relative_top))
    return values >= threshold


def in_probabilities(target, assistant, alpha):
    both = target.softmax(-1) / assistant.softmax(-1) ** alpha
    return (both / both.sum(-1, keepdim=True)).log()


@pytest.mark.parametrize("relative_top", [1e-2, 1e-1])
def test_the_filter_is_five_times_faster_than_one_that_sorts(benchmark, logits, relative_top):
    assert torch.equal(relative_top_mask(logits[0], relative_top), sorted_mask(logits[0], relative_top))
    sides = {
        "sort": lambda: sorted_mask(logits[0], relative_top),
        "topk": lambda: relative_top_mask(logits[0], relative_top),
    }
    ratio = median_ratio(benchmark, sides, "sort", "topk")
    print(f"\nfilter with a full sort / with the likeliest {relative_top:.0%} at V = {VOCABULARY}: {ratio:.1f}", end="")
    assert ratio >= 5


def test_combining_logarithms_is_not_slower_than_combining_probabilities(benchmark, logits):
    target, assistant = logits
    torch.testing.assert_close(
        logit_difference(target, assistant, 0.8).log_softmax(-1), in_probabilities(target, assistant, 0.8),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip
    sides = {
        "logarithms": lambda: logit_difference(target, assistant, 0.8),
        "probabilities": lambda: in_probabilities(target, assistant, 0.8),
    }
    ratio = median_ratio(benchmark, sides, "logarithms", "probabilities")
    print(f"\ncombination of log-probabilities / of probabilities: {ratio:.2f}", end="")
    assert ratio < 1.05
