"""Training: AdamW as torch has it, ensembles as the models alone, nothing that is not masked."""

import math

import pytest
import torch
from numpy.testing import assert_allclose

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT, WithLogits
from neural.tiny_lm.train import cosine_schedule, ensemble_token_logps, train_lm


def made(seed=0):
    torch.manual_seed(seed)
    return TinyGPT(9, d_model=16, max_len=8)


def texts(rows=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(9, (rows, 6), generator=generator)
    mask = torch.rand(rows, 5, generator=generator) < 0.6
    mask[:, -1] = True
    return ids, mask


def test_training_is_torchs_own_step_by_step():
    ids, mask = texts()
    trained, reference = made(), made()
    history = train_lm(trained, ids, mask, steps=7, batch_size=24, lr=0.01, warmup=3)
    optimizer = torch.optim.AdamW(reference.parameters(), weight_decay=0.01)
    for step in range(7):
        optimizer.param_groups[0]["lr"] = 0.01 * cosine_schedule(step, 7, 3)
        loss = -token_logps(reference(ids), ids)[mask].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert_allclose(history[step], loss.item(), rtol=2e-4)
    assert_allclose(trained(ids).detach(), reference(ids).detach(), atol=1e-3)


def test_an_ensemble_trains_each_model_as_if_it_were_alone(device):
    sets = [texts(seed=seed) for seed in range(3)]
    ids, mask = (torch.stack(part).to(device) for part in zip(*sets, strict=True))
    together = TinyGPTEnsemble.stacked_from([made(seed) for seed in range(3)]).to(device)
    history = train_lm(together, ids, mask, steps=12, batch_size=8, lr=0.01, seed=4)
    assert history.shape == (12, 3)
    for number in range(3):
        alone = made(number).to(device)
        assert_allclose(
            train_lm(alone, ids[number], mask[number], 12, 8, 0.01, seed=4).cpu(), history[:, number].cpu(), rtol=2e-3
        )
        apart = together.model(number)(ids[number])
        assert_allclose(apart.detach().cpu(), alone(ids[number]).detach().cpu(), atol=3e-3)


def test_the_same_seed_gives_the_same_losses_to_the_last_bit():
    first, second = (train_lm(made(), *texts(), steps=10, batch_size=8, lr=0.01, seed=2) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, train_lm(made(), *texts(), steps=10, batch_size=8, lr=0.01, seed=3))


def test_every_text_is_seen_before_one_is_seen_twice():
    seen = []

    class Watched(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = made()

        def forward(self, ids):
            seen.extend(ids[:, 0].tolist())
            return self.inner(ids)

    ids = torch.arange(9)[:, None].repeat(1, 6)
    train_lm(Watched(), ids, torch.ones(9, 5, dtype=torch.bool), steps=6, batch_size=3, lr=0.01)
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))


def test_what_is_not_masked_is_not_learnt():
    ids, mask = texts()
    mask[:] = False
    mask[:, 0] = True
    model = made()
    train_lm(model, ids[:, :2].repeat(1, 3), mask, steps=60, batch_size=24, lr=0.01)
    changed = ids.clone()
    changed[:, 2:] = (changed[:, 2:] + 1) % 9
    assert_allclose(model(changed)[:, 0].detach(), model(ids)[:, 0].detach(), atol=1e-6)


def test_a_model_with_hugging_faces_interface_trains_as_well():
    ids, mask = texts()

    class Renamed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = WithLogits(made())

        def forward(self, ids):
            return self.inner(input_ids=ids)

    assert torch.equal(train_lm(Renamed(), ids, mask, 5, 8, 0.01), train_lm(made(), ids, mask, 5, 8, 0.01))


def test_a_loss_that_is_not_finite_stops_training():
    model = made()
    with torch.no_grad():
        model.head.weight[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        train_lm(model, *texts(), steps=3, batch_size=8, lr=0.01)


def test_ensemble_log_probabilities_are_those_of_each_model():
    ids, _ = texts()
    models = [made(seed) for seed in range(3)]
    found = ensemble_token_logps(TinyGPTEnsemble.stacked_from(models)(ids), ids)
    assert_allclose(found.detach(), torch.stack([token_logps(m(ids), ids) for m in models]).detach(), atol=1e-6)


def test_models_of_different_sizes_cannot_be_stacked():
    with pytest.raises(ValueError, match="number 1"):
        TinyGPTEnsemble.stacked_from([made(), TinyGPT(9, d_model=20, max_len=8)])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("mask", torch.zeros(24, 5, dtype=torch.bool)),
        ("mask", torch.ones(24, 5)),
        ("mask", torch.ones(24, 6, dtype=torch.bool)),
        ("ids", torch.zeros(24, 1, dtype=torch.long)),
        ("steps", 0),
        ("lr", 0.0),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_trained_on_is_refused(argument, value):
    ids, mask = texts()
    call = {"model": made(), "ids": ids, "mask": mask, "steps": 2, "batch_size": 4, "lr": 0.01, argument: value}
    with pytest.raises(ValueError, match=argument):
        train_lm(**call)
