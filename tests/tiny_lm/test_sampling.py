"""Sampling: what a cache continues is what the whole text would, greedy is the limit of cold, nothing else is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.model import TinyGPT, WithLogits
from neural.tiny_lm.sampling import sample, until


def made(seed=0, head=1.0):
    torch.manual_seed(seed)
    model = TinyGPT(7, d_model=16, n_layers=2, max_len=16)
    torch.nn.init.normal_(model.head.weight, std=head)
    return model


def prompts(rows=6, length=4):
    return torch.randint(7, (rows, length), generator=torch.Generator().manual_seed(3))


def test_a_cache_continues_as_the_whole_text_does(device):
    model = made().to(device)
    with_cache = sample(model, prompts().to(device), 8, temperature=0.0)
    without = sample(WithLogits(model), prompts().to(device), 8, temperature=0.0)
    assert with_cache.shape == (6, 8)
    assert torch.equal(with_cache, without)


def test_the_same_seed_draws_the_same_with_and_without_a_cache():
    model = made()
    drawn = [
        sample(m, prompts(), 8, temperature=0.7, generator=torch.Generator().manual_seed(1))
        for m in (model, WithLogits(model))
    ]
    assert torch.equal(*drawn)


def test_an_ensemble_continues_with_each_of_its_models():
    models = [made(seed) for seed in range(3)]
    together = sample(TinyGPTEnsemble.stacked_from(models), prompts(), 8, temperature=0.0)
    assert torch.equal(together, torch.stack([sample(m, prompts(), 8, temperature=0.0) for m in models]))
    own = torch.stack([prompts() + 0, (prompts() + 1) % 7, (prompts() + 2) % 7])
    apart = torch.stack([sample(m, p, 5, temperature=0.0) for m, p in zip(models, own, strict=True)])
    assert torch.equal(sample(TinyGPTEnsemble.stacked_from(models), own, 5, temperature=0.0), apart)


def test_draws_have_the_frequencies_of_the_softmax():
    model, rows = made(head=0.3), 20_000
    prompt = prompts(1)
    for temperature in (0.5, 1.0, 2.0):
        drawn = sample(model, prompt.expand(rows, -1), 1, temperature, torch.Generator().manual_seed(0))[:, 0]
        expected = torch.softmax(model(prompt)[0, -1] / temperature, -1).detach().numpy()
        seen = np.bincount(drawn.numpy(), minlength=7) / rows
        assert np.abs(seen - expected).max() < 5 * np.sqrt(0.25 / rows)


def test_top_k_draws_among_the_likeliest_only():
    model, prompt = made(head=0.3), prompts(1)
    likeliest = set(model(prompt)[0, -1].topk(2).indices.tolist())
    drawn = sample(model, prompt.expand(500, -1), 1, 1.0, torch.Generator().manual_seed(0), top_k=2)
    assert set(drawn.flatten().tolist()) == likeliest
    one = sample(model, prompts(), 5, 1.0, torch.Generator().manual_seed(0), top_k=1)
    assert torch.equal(one, sample(model, prompts(), 5, temperature=0.0))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_until_is_what_comes_before_the_end(row):
    kept = torch.tensor(row)[until(torch.tensor(row), end=2)].tolist()
    assert kept == (row[: row.index(2)] if 2 in row else row)


@pytest.mark.parametrize("bad", [{"prefix_ids": torch.zeros(2, 0, dtype=torch.long)}, {"n_new": 0}, {"n_new": 14}])
def test_what_cannot_be_continued_is_refused(bad):
    with pytest.raises(ValueError, match=r"prefix_ids|n_new|ids must"):
        sample(**{"model": made(), "prefix_ids": prompts(), "n_new": 3, **bad})
