"""TinyGPT: causal, cached as it is uncached, of the size it says; ensembles are the models alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.model import TinyGPT, WithLogits


def made(seed=0, **sizes):
    torch.manual_seed(seed)
    return TinyGPT(**{"vocab_size": 13, "d_model": 16, "n_layers": 2, "n_heads": 4, "max_len": 12, **sizes})


def tokens(batch=3, length=9, seed=1):
    return torch.randint(0, 13, (batch, length), generator=torch.Generator().manual_seed(seed))


def test_a_token_changes_logits_from_its_place_on_only(device):
    model, ids = made().to(device), tokens().to(device)
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 13
    before, after = model(ids), model(changed)
    assert before.shape == (3, 9, 13)
    assert_allclose(after[:, :5].detach().cpu(), before[:, :5].detach().cpu(), atol=1e-6)
    assert ((after - before)[:, 5:].abs().amax(dim=(0, 2)) > 1e-4).all()


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 1, 4], [5, 4], [9], [2, 3, 1, 3]])
def test_caches_give_the_logits_of_one_pass(pieces, device):
    model, ids = made().to(device), tokens().to(device)
    caches = [{} for _ in model.blocks]
    position, parts = 0, []
    for piece in pieces:
        parts.append(model(ids[:, position : position + piece], caches, pos0=position))
        position += piece
    assert_allclose(torch.cat(parts, 1).detach().cpu(), model(ids).detach().cpu(), atol=1e-5)
    assert caches[0]["k"].shape == (3, 4, 9, 4)


def test_a_later_start_is_another_position():
    model, ids = made(), tokens(length=3)
    assert not torch.allclose(model(ids), model(ids, pos0=4), atol=1e-3)


def test_sizes_are_those_of_a_transformer_without_a_bias_in_its_head():
    V, d, L, T = 13, 16, 2, 12
    block = 4 * d + 3 * d * d + 3 * d + d * d + d + 8 * d * d + 4 * d + d
    assert sum(p.numel() for p in made().parameters()) == 2 * V * d + T * d + L * block + 2 * d
    assert 70_000 < sum(p.numel() for p in TinyGPT(170).parameters()) < 80_000


def test_initial_values_have_the_scales_of_the_documentation():
    model = made(vocab_size=500, d_model=64, max_len=64)
    for weight, scale in (
        (model.tokens.weight, 0.5), (model.positions.weight, 0.1), (model.head.weight, 0.02),
        (model.blocks[0].up.weight, 64**-0.5), (model.blocks[0].down.weight, 256**-0.5),
    ):  # fmt: skip
        assert abs(weight.std().item() / scale - 1) < 0.05
    assert_allclose(model(torch.zeros(1, 2).long()).softmax(-1).detach(), 1 / 500, rtol=1)


def test_tied_weights_are_one_tensor():
    model = made(tie=True)
    assert model.tokens.weight is model.head.weight
    assert abs(model.head.weight.std().item() / 0.02 - 1) < 0.3
    assert model(tokens()).isfinite().all()


def test_the_same_seed_gives_the_same_model():
    assert torch.equal(made()(tokens()), made()(tokens()))
    assert not torch.equal(made()(tokens()), made(1)(tokens()))


def test_a_wrapped_model_is_called_as_hugging_face_models_are():
    model, ids = made(), tokens()
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    out = WithLogits(model)(input_ids=ids, attention_mask=mask)
    assert torch.equal(out.logits, model(ids))
    other = torch.where(mask.bool(), ids, 0)
    assert_allclose(WithLogits(model)(other, mask).logits[0, :6].detach(), out.logits[0, :6].detach(), atol=1e-6)


def test_ensembles_are_the_model_alone(device):
    model, ids = made().to(device), tokens().to(device)
    together = TinyGPTEnsemble(model, 3)
    logits = together(ids)
    assert logits.shape == (3, 3, 9, 13)
    for each in logits:
        assert_allclose(each.detach().cpu(), model(ids).detach().cpu(), atol=1e-5)


def test_ensembles_train_as_each_model_alone_with_torchs_adamw():
    rates = (1e-3, 3e-2)
    model = made().double()
    together = TinyGPTEnsemble(model, 2)
    optimizer = EnsembleAdamW(together.parameters(), torch.tensor(rates, dtype=torch.float64), clip_norm=0.3)
    alone = [copy.deepcopy(model) for _ in rates]
    optimizers = [
        torch.optim.AdamW(m.parameters(), lr=rate, weight_decay=0.01) for m, rate in zip(alone, rates, strict=True)
    ]
    for step in range(4):
        ids, scale = tokens(seed=step), 0.5 if step == 2 else 1.0
        logits = together(ids)[:, :, :-1]
        targets = ids[:, 1:].expand(logits.shape[:-1])
        optimizer.step(
            F.cross_entropy(logits.flatten(0, 2), targets.reshape(-1), reduction="none").view(2, -1).mean(1).sum(),
            scale,
        )
        for m, o, rate in zip(alone, optimizers, rates, strict=True):
            o.param_groups[0]["lr"] = rate * scale
            o.zero_grad()
            F.cross_entropy(m(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
            torch.nn.utils.clip_grad_norm_(m.parameters(), 0.3)
            o.step()
    for number, m in enumerate(alone):
        assert_allclose(together(tokens())[number].detach(), m(tokens()).detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: made(n_heads=3), "n_heads"),
        (lambda: made(vocab_size=1), "vocab_size"),
        (lambda: made()(torch.zeros(2, 13).long()), "ids .* max_len"),
        (lambda: made()(torch.zeros(2, 5).long(), pos0=9), "ids .* pos0 = 9"),
        (lambda: made()(torch.full((1, 2), 13)), "ids"),
        (lambda: made()(torch.zeros(4).long()), "ids"),
        (lambda: made()(torch.rand(1, 2)), "ids"),
        (lambda: made()(tokens(), caches=[{}]), "caches"),
        (lambda: WithLogits(made())(tokens(), torch.zeros(2, 2).long()), "attention_mask"),
        (lambda: WithLogits(made())(tokens(2, 2), torch.tensor([[0, 1], [1, 1]])), "right"),
        (lambda: TinyGPTEnsemble(made(tie=True), 2), "model"),
        (lambda: TinyGPTEnsemble(made(), 0), "models"),
        (lambda: EnsembleAdamW([], torch.tensor([0.0])), "learning_rates"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
