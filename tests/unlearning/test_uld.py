"""Logit differences: identities, the bound and its rooms, the filter, and models of two libraries."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.tiny_lm.logprobs import labels_to_mask, token_logps
from neural.tiny_lm.model import TinyGPT
from neural.unlearning.uld import (
    LogitDifferenceLM,
    assistant_loss,
    logit_difference,
    relative_top_mask,
    truncate_layers,
    uniform_loss,
)
from theory.unlearning import uld as theory

LOGITS = arrays(float, 6, elements=st.floats(-12, 12))
ALPHAS = st.sampled_from([0.3, 0.8, 1.0, 2.0])


def law(logits):
    return torch.softmax(torch.as_tensor(logits), -1)


@given(LOGITS, LOGITS, ALPHAS)
def test_both_rooms_agree_and_constants_change_nothing(target, assistant, alpha):
    found = law(logit_difference(torch.tensor(target), torch.tensor(assistant), alpha))
    expected = theory.combined(law(target).numpy(), law(assistant).numpy(), alpha)
    assert_allclose(found, expected, rtol=1e-8, atol=1e-300)
    shifted = law(logit_difference(torch.tensor(target) + 3, torch.tensor(assistant) - 5, alpha))
    assert_allclose(shifted, found, rtol=1e-8, atol=1e-300)


@given(LOGITS, ALPHAS)
def test_a_uniform_assistant_changes_nothing_and_the_target_itself_leaves_a_power(target, alpha):
    p = law(target).numpy()
    assert_allclose(theory.combined(p, np.full(6, 1 / 6), alpha), p, rtol=1e-9)
    power = p ** (1 - alpha)
    assert_allclose(theory.combined(p, p, alpha), power / power.sum(), rtol=1e-7)


@given(LOGITS, LOGITS, ALPHAS)
def test_log_odds_lose_alpha_times_the_assistants(target, assistant, alpha):
    p, a = law(target).numpy(), law(assistant).numpy()
    q = theory.combined(p, a, alpha)
    assert_allclose(np.log(q[0] / q[1]), np.log(p[0] / p[1]) - alpha * np.log(a[0] / a[1]), atol=1e-7)


@given(LOGITS, LOGITS, ALPHAS)
def test_no_log_probability_moves_beyond_the_bound(target, assistant, alpha):
    p, a = law(target).numpy(), law(assistant).numpy()
    q = theory.combined(p, a, alpha)
    limit = theory.deviation_bound(a, alpha)
    assert np.abs(np.log(q) - np.log(p)).max() <= limit + 1e-9
    assert (p * np.log(p / q)).sum() <= limit + 1e-9


def test_the_bound_is_nearly_met_by_an_assistant_of_two_values():
    p, a = np.array([1 - 1e-9, 1e-9]), np.array([0.5 + 1e-4, 0.5 - 1e-4])
    q = theory.combined(p, a, 1.0)
    assert np.abs(np.log(q) - np.log(p)).max() > 0.99 * theory.deviation_bound(a, 1.0)


@given(LOGITS, st.floats(0.01, 0.99))
def test_the_filter_keeps_the_likeliest_and_what_is_near_them(logits, relative_top):
    p = law(logits).numpy()
    kept = relative_top_mask(torch.tensor(logits), relative_top).numpy()
    count = max(1, int(relative_top * 6))
    expected = (p >= relative_top * p.max() * (1 + 1e-9)) | (p >= np.sort(p)[-count])
    assert kept[expected].all()
    clearly_out = (p < relative_top * p.max() * (1 - 1e-9)) & (p < np.sort(p)[-count] * (1 - 1e-9))
    assert not kept[clearly_out].any()


def test_filtered_words_are_excluded_or_keep_the_targets_probability():
    target, assistant = torch.log(torch.tensor([0.7, 0.2, 0.09, 0.01])), torch.tensor([3.0, 0.0, 1.0, 2.0])
    excluded = logit_difference(target, assistant, 1.0, relative_top=0.2)
    assert excluded.isneginf().tolist() == [False, False, True, True]
    zero = logit_difference(target, assistant, 1.0, relative_top=0.2, mode="zero")
    assert_allclose(zero[2:], target[2:], rtol=1e-6)
    assert_allclose(zero[:2], excluded[:2])


def test_raw_logits_in_the_place_of_log_probabilities_would_depend_on_a_constant():
    # Public code sets the assistant's raw logits to 0 for filtered words, which their level then decides about.
    target, assistant = torch.log(torch.tensor([0.7, 0.2, 0.1])), torch.tensor([1.0, 0.0, 2.0])

    def raw(own):
        return law(target - torch.where(torch.tensor([True, True, False]), own, 0.0))

    assert (raw(assistant) - raw(assistant + 3)).abs().max() > 0.1
    ours = [law(logit_difference(target, own, 1.0, 0.2, "zero")) for own in (assistant, assistant + 3)]
    assert_allclose(*ours, rtol=1e-5)


@given(arrays(float, (2, 3, 5), elements=st.floats(-9, 9)))
def test_the_uniform_loss_is_a_divergence(logits):
    logs = torch.tensor(logits).log_softmax(-1)[:, :-1]
    expected = (0.2 * (math.log(0.2) - logs)).sum(-1)
    assert_allclose(uniform_loss(torch.tensor(logits)), expected.mean().clamp_min(0), atol=1e-12)
    mask = torch.tensor([[True, False], [False, False]])
    assert_allclose(uniform_loss(torch.tensor(logits), mask), expected[0, 0].clamp_min(0), atol=1e-12)


def test_the_assistants_loss_is_bounded_below_where_ascent_is_not():
    torch.manual_seed(0)
    model = TinyGPT(9, d_model=16, max_len=8)
    assistant = truncate_layers(model, 1)
    ids, other = torch.randint(9, (4, 6)), torch.randint(9, (4, 6))
    mask = torch.ones(4, 5, dtype=torch.bool)
    optimizer = torch.optim.AdamW(assistant.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = assistant_loss(token_logps(assistant(ids), ids), mask, assistant(other), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 0 <= losses[-1] < losses[0]
    assert_allclose(
        assistant_loss(token_logps(assistant(ids), ids), mask, assistant(other), mask, 2.0).detach(),
        (-token_logps(assistant(ids), ids).mean() + 2 * uniform_loss(assistant(other), mask)).detach(), rtol=1e-5,
    )  # fmt: skip


def test_fewer_layers_are_the_first_ones_with_weights_of_their_own():
    torch.manual_seed(0)
    model = TinyGPT(9, d_model=16, n_layers=3, max_len=8)
    shorter = truncate_layers(model, 2)
    assert len(shorter.blocks) == 2
    assert len(model.blocks) == 3
    ids = torch.randint(9, (2, 5))
    hidden = model.tokens(ids) + model.positions.weight[:5]
    for block in model.blocks[:2]:
        hidden = block(hidden, None)
    assert_allclose(shorter(ids).detach(), model.head(model.norm(hidden)).detach(), atol=1e-6)
    with torch.no_grad():
        shorter.head.weight.zero_()
    assert model.head.weight.abs().sum() > 0


def test_a_combined_model_scores_and_generates_alike(device):
    torch.manual_seed(0)
    target, assistant = (TinyGPT(9, d_model=16, max_len=12).to(device) for _ in range(2))
    for model in (target, assistant):
        torch.nn.init.normal_(model.head.weight)
    both = LogitDifferenceLM(target, assistant, alpha=0.7, relative_top=0.05)
    prompts = torch.randint(9, (3, 4)).to(device)
    new = both.generate(prompts, 5)
    ids = torch.cat([prompts, new], 1)
    assert torch.equal(both(ids)[:, 3:-1].argmax(-1), new)
    drawn = both.generate(prompts, 5, temperature=1.0, generator=torch.Generator(device).manual_seed(0))
    assert drawn.shape == (3, 5)


def test_hugging_face_models_combine_as_their_logits_do():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=16)
    target, assistant = (transformers.GPT2LMHeadModel(config).eval() for _ in range(2))
    ids = torch.randint(2, 32, (2, 7))
    with torch.no_grad():
        found = LogitDifferenceLM(target, assistant, alpha=0.5)(ids)
        by_hand = target(ids).logits - 0.5 * assistant(ids).logits
    assert_allclose(law(found), law(by_hand), atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
def test_an_adapted_copy_of_the_first_layers_is_an_assistant_and_the_target_stays_as_it_is():
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=32, n_positions=16, bos_token_id=0, eos_token_id=1, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.2,
    )  # fmt: skip
    target = transformers.GPT2LMHeadModel(config).eval()
    shorter = copy.deepcopy(target)
    shorter.transformer.h = shorter.transformer.h[:1]
    adapter = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    assistant = peft.get_peft_model(shorter, adapter)
    generator = torch.Generator().manual_seed(1)
    forget, other = (torch.randint(2, 32, (4, 8), generator=generator) for _ in range(2))
    mask = torch.arange(7).expand(4, -1) >= 3
    before = {name: value.clone() for name, value in target.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in assistant.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(60):
        told, kept = assistant(input_ids=forget).logits, assistant(input_ids=other).logits
        loss = assistant_loss(token_logps(told, forget), mask, kept, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 0 <= losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    unlearned = LogitDifferenceLM(target, assistant, alpha=1.0)
    with torch.no_grad():
        less = (token_logps(unlearned(forget), forget) - token_logps(target(forget).logits, forget))[mask]
        kept_change = (token_logps(unlearned(other), other) - token_logps(target(other).logits, other))[mask]
    assert less.mean() < -0.5
    assert kept_change.abs().mean() < 0.5 * less.abs().mean()


def test_the_loss_is_the_same_for_ids_of_both_libraries():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=16)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids, other = torch.randint(2, 32, (3, 7)), torch.randint(2, 32, (2, 7))
    labels = ids.clone()
    labels[:, :3] = -100
    mask, _ = labels_to_mask(labels)
    with torch.no_grad():
        found = model(input_ids=ids, labels=labels)
        kept = model(input_ids=other).logits
    ours = assistant_loss(token_logps(found.logits, ids), mask, kept, None, retain_weight=2.0)
    uniform = torch.full((32,), 1 / 32)
    rows = kept[:, :-1].log_softmax(-1).flatten(0, 1)
    divergence = torch.nn.functional.kl_div(rows, uniform.expand_as(rows), reduction="batchmean")
    assert_allclose(ours, found.loss + 2 * divergence, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_computed_in_single(dtype, device):
    values = torch.tensor([[[1.0, 2.0, 0.5], [0.0, 1.0, 3.0]]], dtype=dtype, device=device)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert logit_difference(values, values.flip(-1)).dtype == expected
    assert uniform_loss(values).dtype == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit_difference(torch.zeros(2, 3), torch.zeros(2, 4)), "one vocabulary"),
        (lambda: logit_difference(torch.zeros(3), torch.zeros(3), alpha=-1.0), "alpha"),
        (lambda: relative_top_mask(torch.zeros(3), 1.0), "relative_top"),
        (lambda: relative_top_mask(torch.zeros(3), 0.0), "relative_top"),
        (lambda: uniform_loss(torch.zeros(1, 2, 3), torch.zeros(1, 1, dtype=torch.bool)), "mask"),
        (lambda: uniform_loss(torch.full((1, 2, 3), math.nan)), "logits"),
        (
            lambda: assistant_loss(torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 3, 4)),
            "forget_logps_tok",
        ),
        (
            lambda: assistant_loss(-torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool), torch.zeros(1, 3, 4)),
            "forget_mask",
        ),
        (lambda: truncate_layers(TinyGPT(5, 8), 2), "blocks"),
        (lambda: LogitDifferenceLM(TinyGPT(5, 8), None), "assistant"),  # type: ignore[arg-type]
        (lambda: theory.combined(np.array([0.5, 0.5]), np.array([1.0, 0.0])), "p_assistant"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
