"""Min-K% of a batch against a loop over texts and tokens."""

import math

import torch
from numpy.testing import assert_allclose

from neural.tiny_lm.logprobs import token_logps
from neural.unlearning.min_k_prob import min_k_prob
from simulations.costs import alternating_seconds


def whole_loop(logits, ids, k):
    """One text after the other, one token after the other, as a first script would have it."""
    scores = []
    for text in range(len(ids)):
        found = [
            torch.log_softmax(logits[text, place], dim=-1)[ids[text, place + 1]].item()
            for place in range(ids.shape[1] - 1)
        ]
        scores.append(least(found, k))
    return scores


def score_loop(log_probs, k):
    return [least([value.item() for value in row], k) for row in log_probs]


def least(found, k):
    found = sorted(found)[: max(1, math.floor(k * len(found)))]
    return sum(found) / len(found)


def test_a_batch_is_scored_much_faster_than_token_by_token(benchmark):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 256, 181, generator=generator)
    ids = torch.randint(181, (64, 256), generator=generator)
    log_probs = token_logps(logits, ids)
    scores = min_k_prob(log_probs, k=0.2)
    assert_allclose(scores, whole_loop(logits, ids, 0.2), rtol=1e-5)
    assert_allclose(scores, score_loop(log_probs, 0.2), rtol=1e-5)
    sides = {
        "whole loop": lambda: whole_loop(logits, ids, 0.2),
        "whole batch": lambda: min_k_prob(token_logps(logits, ids), k=0.2),
        "score loop": lambda: score_loop(log_probs, 0.2),
        "score batch": lambda: min_k_prob(log_probs, k=0.2),
    }
    table = benchmark.pedantic(alternating_seconds, (sides,), {"rounds": 5, "warmup": 1}, rounds=1)
    seconds = table.pivot(index="round", columns="side", values="seconds")
    whole = (seconds["whole loop"] / seconds["whole batch"]).median()
    score = (seconds["score loop"] / seconds["score batch"]).median()
    print(f"\nloop / batch, 64 texts of 256 tokens: scores {score:.0f}, with the softmax {whole:.0f}", end="")
    assert score >= 50
    assert whole >= 4  # both compute the same three million exponentials
