"""Real causal models of the transformers library, built from small configurations without a download."""

import pytest
import torch
from numpy.testing import assert_allclose

from neural.tiny_lm.logprobs import labels_to_mask, sequence_logps, token_logps
from neural.tiny_lm.sampling import sample
from neural.tiny_lm.train import train_lm

transformers = pytest.importorskip("transformers")


def gpt2(seed=0):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=64, n_positions=32, bos_token_id=0, eos_token_id=1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 64, (4, 12), generator=generator)
    labels = ids.clone()
    labels[:, :5] = -100
    labels[2, 9:] = -100
    return ids, labels


def test_our_log_probabilities_give_the_librarys_own_loss():
    model, (ids, labels) = gpt2(), batch()
    found = model(input_ids=ids, labels=labels)
    mask, _ = labels_to_mask(labels)
    ours = token_logps(found.logits, ids)
    assert_allclose(found.loss.item(), -ours[mask].mean().item(), rtol=1e-6)
    assert sequence_logps(ours, mask).shape == (4,)


def test_padding_on_the_left_changes_nothing_once_positions_are_counted():
    model, (ids, _) = gpt2().eval(), batch()
    padded = torch.cat([torch.zeros(4, 3, dtype=torch.long), ids], dim=1)
    attention = (torch.arange(15) >= 3).long().expand(4, -1)
    positions = (attention.cumsum(-1) - 1).clamp_min(0)
    with_padding = model(input_ids=padded, attention_mask=attention, position_ids=positions).logits
    assert_allclose(
        token_logps(with_padding, padded)[:, 3:].detach(), token_logps(model(input_ids=ids).logits, ids).detach(),
        atol=1e-5,
    )  # fmt: skip


def test_greedy_sampling_is_the_librarys():
    model = gpt2().eval()
    prompts = torch.randint(2, 64, (3, 6), generator=torch.Generator().manual_seed(1))
    theirs = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=5, min_new_tokens=5, do_sample=False,
        pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    assert torch.equal(sample(model, prompts, 5, temperature=0.0), theirs[:, 6:])


def test_it_trains_as_our_own_model_does():
    ids, labels = batch()
    history = train_lm(gpt2(), ids, labels_to_mask(labels)[0], steps=30, batch_size=4, lr=1e-2, warmup=3)
    assert history[-1] < 0.7 * history[0]


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_an_adapter_learns_and_without_it_the_model_is_its_own_reference():
    peft = pytest.importorskip("peft")
    model, (ids, labels) = gpt2(), batch()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    mask, _ = labels_to_mask(labels)
    with torch.no_grad():
        reference = token_logps(model(input_ids=ids).logits, ids)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True))
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(15):
        loss = -token_logps(adapted(input_ids=ids).logits, ids)[mask].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    with torch.no_grad(), adapted.disable_adapter():
        assert_allclose(token_logps(adapted(input_ids=ids).logits, ids), reference, atol=1e-6)
    for name, value in adapted.get_base_model().named_parameters():
        plain = name.replace("base_layer.", "")
        assert "lora" in name or torch.equal(value, before[plain]), name
