"""SAFE-ALIGN against the formula by hand: subsets, thresholds, gradient factors, bounds, and a Hugging Face model."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.alignment.flagged_vocabulary import FlaggedVocabulary
from neural.alignment.red_instruct import SafeAlignObjective, per_sample_nll, safe_align_loss, unlikelihood_loss
from neural.tiny_lm.logprobs import labels_to_mask, token_logps
from neural.tiny_lm.model import TinyGPT
from neural.unlearning.npo import npo_loss

NLLS = arrays(float, st.integers(1, 8), elements=st.floats(0, 12))
WEIGHTS = st.floats(0, 3)
BOUNDS = ("partition", "clamp", "none", "npo")


def by_hand(blue, red, lambda1, lambda2, tau):
    below, above = [r for r in red if r <= tau], [r for r in red if r > tau]
    loss = sum(blue) / len(blue)
    loss -= lambda1 * sum(below) / len(below) if below else 0
    return loss - (lambda2 * sum(above) / len(above) if above else 0)


def gradient(red, **arguments):
    values = torch.tensor(red, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(
        safe_align_loss(torch.tensor([2.0], dtype=torch.float64), values, **arguments), values
    )
    return found


@given(NLLS, NLLS, WEIGHTS, WEIGHTS, st.floats(0, 6))
def test_the_partition_is_the_formula_by_hand(blue, red, lambda1, lambda2, tau):
    found = safe_align_loss(torch.tensor(blue), torch.tensor(red), lambda1, lambda2, tau)
    assert_allclose(found, by_hand(blue.tolist(), red.tolist(), lambda1, lambda2, tau), atol=1e-10)


@given(NLLS, NLLS, st.sampled_from(BOUNDS))
def test_without_weights_or_red_texts_it_is_the_mean_nll_of_blue_ones(blue, red, bound):
    told = torch.tensor(blue), torch.tensor(red)
    assert_allclose(safe_align_loss(*told, 0.0, 0.0, bound=bound, ref_red_nll=told[1]), blue.mean(), atol=1e-12)
    assert_allclose(safe_align_loss(told[0], told[1][:0], bound=bound), blue.mean(), atol=1e-12)


@given(NLLS, NLLS, WEIGHTS)
def test_with_an_infinite_threshold_or_equal_weights_of_one_text_it_is_gradient_ascent(blue, red, weight):
    told = torch.tensor(blue), torch.tensor(red)
    expected = blue.mean() - weight * red.mean()
    assert_allclose(safe_align_loss(*told, weight, 0.3, math.inf), expected, atol=1e-10)
    assert_allclose(safe_align_loss(*told, weight, 0.3, bound="none"), expected, atol=1e-10)
    assert_allclose(safe_align_loss(*told, weight, bound="clamp", nll_max=13.0), expected, atol=1e-10)
    one = told[0], told[1][:1]
    assert_allclose(safe_align_loss(*one, weight, weight), blue.mean() - weight * red[0], atol=1e-10)


def test_gradient_factors_are_those_of_the_subsets_and_a_tie_is_strong():
    found = gradient([0.5, 1.0, 1.0 + 1e-9, 4.0, 7.0], lambda1=1.5, lambda2=0.3, threshold=1.0)
    assert_allclose(found, [-0.75, -0.75, -0.1, -0.1, -0.1])
    assert_allclose(gradient([0.5, 4.0], lambda1=1.5, bound="clamp"), [-0.75, 0.0])
    assert_allclose(gradient([0.5, 40.0], lambda1=1.5, bound="none"), [-0.75, -0.75])
    reference = torch.tensor([1.0, 2.0], dtype=torch.float64)
    expected = [-1.5 / 2 * 2 / (1 + math.exp(-2.0 * (r - x))) for r, x in zip([1.0, 2.0], [0.5, 4.0], strict=True)]
    assert_allclose(gradient([0.5, 4.0], lambda1=1.5, bound="npo", beta=2.0, ref_red_nll=reference), expected)


def test_the_value_jumps_up_at_the_threshold_while_the_slope_only_weakens():
    blue = torch.tensor([0.0], dtype=torch.float64)
    below, above = (safe_align_loss(blue, torch.tensor([x], dtype=torch.float64)) for x in (1.0, 1.0 + 1e-12))
    assert_allclose(above - below, (1 - 0.1) * 1.0, atol=1e-9)


@given(NLLS, st.floats(0.1, 4), st.floats(0.5, 5))
def test_clamp_npo_and_unlikelihood_are_bounded_and_the_others_are_not(red, beta, nll_max):
    blue, values = torch.zeros(1, dtype=torch.float64), torch.tensor(red)
    assert safe_align_loss(blue, values, bound="clamp", nll_max=nll_max) >= -nll_max - 1e-12
    assert safe_align_loss(blue, values, bound="npo", beta=beta, ref_red_nll=torch.zeros_like(values)) >= 0
    far = torch.full((1,), 1e4, dtype=torch.float64)
    assert safe_align_loss(blue, far, bound="clamp", nll_max=nll_max) >= -nll_max - 1e-12
    assert safe_align_loss(blue, far) == -1e3
    assert safe_align_loss(blue, far, bound="none") == -1e4
    logps = -values[None]
    assert unlikelihood_loss(logps, torch.ones_like(logps)) >= 0


@given(NLLS, NLLS, st.floats(0.1, 4))
def test_npo_is_npo_of_length_normalised_log_probabilities(red, reference, beta):
    size = min(len(red), len(reference))
    values, start = torch.tensor(red[:size]), torch.tensor(reference[:size])
    found = safe_align_loss(torch.zeros(1, dtype=torch.float64), values, bound="npo", beta=beta, ref_red_nll=start)
    assert_allclose(found, npo_loss(-values, -start, beta=beta), rtol=1e-12)


@given(arrays(float, (3, 5), elements=st.floats(-40, -1e-6)), arrays(bool, (3, 5)))
def test_nll_and_unlikelihood_are_means_over_the_targets_of_each_row(logps, mask):
    mask[:, 2] = True
    told = torch.tensor(logps), torch.tensor(mask)
    assert_allclose(per_sample_nll(*told), [-row[kept].mean() for row, kept in zip(logps, mask, strict=True)])
    assert_allclose(per_sample_nll(told[0], told[1].double()), per_sample_nll(*told))
    expected = [-np.log(-np.expm1(row[kept])).mean() for row, kept in zip(logps, mask, strict=True)]
    assert_allclose(unlikelihood_loss(*told, reduction="none"), expected, rtol=1e-10, atol=1e-14)
    assert_allclose(unlikelihood_loss(*told), np.mean(expected), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_certain_or_impossible_token_leaves_unlikelihood_and_its_gradient_finite(dtype):
    logps = torch.tensor([[0.0, -200.0, -1e-3, -math.log(2)]], dtype=dtype, requires_grad=True)
    loss = unlikelihood_loss(logps, torch.ones(1, 4, dtype=torch.bool))
    (found,) = torch.autograd.grad(loss, logps)
    assert loss.isfinite()
    assert found.isfinite().all()
    assert_allclose(found[0, 3].item(), 0.25, rtol=1e-5)  # p / (1 − p), over four targets
    assert_allclose(found[0, 2].item(), 0.25 / math.expm1(1e-3), rtol=1e-3)


def test_what_the_mask_hides_may_be_infinite_and_gets_no_gradient():
    logps = torch.tensor([[-1.0, -math.inf], [-2.0, -3.0]], requires_grad=True)
    mask = torch.tensor([[True, False], [True, True]])
    loss = SafeAlignObjective()(logps, mask, torch.tensor([False, True]))
    assert_allclose(loss.item(), 1.0 - 0.1 * 2.5)
    (found,) = torch.autograd.grad(loss, logps)
    assert_allclose(found, [[-1.0, 0.0], [0.05, 0.05]])


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logps = -3 * torch.rand(6, 4, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]] * 3)
    return logps.to(dtype), mask, torch.tensor([False, True, True, False, False, True])


@pytest.mark.parametrize("bound", [*BOUNDS, "unlikelihood"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_objective_splits_a_mixed_batch(bound, dtype, device):
    logps, mask, red = (part.to(device) for part in batch(dtype))
    reference = torch.linspace(0.5, 1.5, 6, dtype=dtype, device=device)
    objective = SafeAlignObjective(0.7, 0.2, 1.2, bound, 1.4, beta=1.5)
    found = objective(logps, mask, red, reference if bound == "npo" else None)
    nll = per_sample_nll(logps, mask)
    if bound == "unlikelihood":
        expected = nll[~red].mean() + 0.7 * unlikelihood_loss(logps[red], mask[red])
    else:
        expected = safe_align_loss(
            nll[~red], nll[red], 0.7, 0.2, 1.2, bound, 1.4, beta=1.5,
            ref_red_nll=reference[red] if bound == "npo" else None,
        )  # fmt: skip
    assert found.dtype == dtype
    assert_allclose(found.cpu(), expected.cpu(), rtol=1e-6)
    assert_allclose(objective(logps, mask, torch.zeros_like(red), reference).cpu(), nll.mean().cpu(), rtol=1e-6)


@pytest.mark.parametrize("bound", [*BOUNDS, "unlikelihood"])
def test_its_gradient_is_that_of_finite_differences(bound):
    logps, mask, red = batch()
    objective = SafeAlignObjective(0.7, 0.2, 1.2, bound, 2.9, beta=1.5)
    reference = torch.linspace(0.5, 1.5, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: objective(x, mask, red, reference), logps.requires_grad_())


def test_half_precision_is_computed_in_single():
    logps, mask, red = batch(torch.bfloat16)
    assert SafeAlignObjective()(logps, mask, red).dtype == torch.float32
    assert_allclose(SafeAlignObjective()(logps, mask, red), SafeAlignObjective()(logps.double(), mask, red), rtol=1e-5)


def test_the_reference_is_a_constant():
    reference = torch.tensor([1.0, 2.0], requires_grad=True)
    red = torch.tensor([0.5, 0.5], requires_grad=True)
    safe_align_loss(torch.tensor([1.0]), red, bound="npo", ref_red_nll=reference).backward()
    assert reference.grad is None
    assert red.grad is not None


def test_red_texts_alone_are_refused_unless_allowed_and_then_warned_of():
    red = torch.tensor([0.5])
    with pytest.raises(ValueError, match="blue_nll"):
        safe_align_loss(red[:0], red)
    with pytest.warns(UserWarning, match="destroys"):
        assert safe_align_loss(red[:0], red, allow_red_only=True).item() == -0.5
    with pytest.raises(ValueError, match="blue_nll"):
        safe_align_loss(red[:0], red[:0], allow_red_only=True)
    logps, mask, _ = batch()
    with pytest.raises(ValueError, match="is_red"):
        SafeAlignObjective()(logps, mask, torch.ones(6, dtype=torch.bool))
    with pytest.warns(UserWarning, match="destroys"):
        found = SafeAlignObjective(bound="none", allow_red_only=True)(logps, mask, torch.ones(6, dtype=torch.bool))
    assert_allclose(found, -per_sample_nll(logps, mask).mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SafeAlignObjective(allow_red_only=True)(logps, mask, torch.zeros(6, dtype=torch.bool))


def test_a_hugging_face_model_gives_the_loss_of_its_logits():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    world = FlaggedVocabulary()
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=16, vocab_size=world.vocab_size, n_positions=16, bos_token_id=1, eos_token_id=2
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    blue, red = world.texts("refusal", (0,), (0, 1)), world.texts("flagged", (0,), (0, 1))
    labels = torch.cat([blue.ids, red.ids])
    labels = labels.masked_fill(torch.arange(labels.shape[1]) < world.prompt_length, -100)
    ids = torch.cat([blue.ids, red.ids])
    is_red = torch.arange(len(ids)) >= len(blue.ids)
    mask, _ = labels_to_mask(labels)
    found = SafeAlignObjective(threshold=4.27)(token_logps(model(input_ids=ids).logits, ids), mask, is_red)
    own = [model(input_ids=ids[k : k + 1], labels=labels[k : k + 1]).loss.item() for k in range(len(ids))]
    assert_allclose(found.item(), by_hand(own[:20], own[20:], 1.0, 0.1, 4.27), rtol=1e-5)
    assert 0 < sum(loss <= 4.27 for loss in own[20:]) < 20


def test_one_pass_through_a_model_trains_towards_blue_and_away_from_red():
    torch.manual_seed(0)
    world = FlaggedVocabulary(n_topics=2, n_tokens=4)
    model = TinyGPT(world.vocab_size, 16, max_len=9)
    blue, red = world.texts("refusal", (0,)), world.texts("flagged", (0,))
    ids, mask = torch.cat([blue.ids, red.ids]), torch.cat([blue.mask, red.mask])
    is_red = torch.arange(len(ids)) >= len(blue.ids)
    objective, optimizer = SafeAlignObjective(), torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = per_sample_nll(token_logps(model(ids), ids), mask)
    for _ in range(20):
        optimizer.zero_grad()
        objective(token_logps(model(ids), ids), mask, is_red).backward()
        optimizer.step()
    after = per_sample_nll(token_logps(model(ids), ids), mask)
    assert after[~is_red].mean() < before[~is_red].mean() / 2
    assert after[is_red].mean() > before[is_red].mean()


LOGPS, MASK = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]]), torch.ones(2, 2, dtype=torch.bool)
RED = torch.tensor([False, True])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: per_sample_nll(LOGPS, torch.tensor([[True, True], [False, False]])), "mask .* row 1"),
        (lambda: per_sample_nll(LOGPS, MASK[:, :1]), "mask must be"),
        (lambda: per_sample_nll(LOGPS, MASK[:1]), "mask must be"),
        (lambda: per_sample_nll(-LOGPS, MASK), "token_logps"),
        (lambda: per_sample_nll(LOGPS * math.nan, MASK), "token_logps"),
        (lambda: per_sample_nll(LOGPS, -MASK.float()), "mask"),
        (lambda: unlikelihood_loss(-LOGPS, MASK), "token_logps"),
        (lambda: unlikelihood_loss(LOGPS, ~MASK), "mask"),
        (lambda: safe_align_loss(-torch.ones(2), torch.ones(2)), "blue_nll"),
        (lambda: safe_align_loss(torch.ones(2), -torch.ones(2)), "red_nll"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), -1.0), "lambda1"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), 1.0, -0.1), "lambda2"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), threshold=-1.0), "threshold"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), bound="tight"), "bound"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), bound="npo"), "ref_red_nll must be given"),
        (lambda: safe_align_loss(torch.ones(2), torch.ones(2), bound="npo", ref_red_nll=torch.ones(3)), "ref_red_nll"),
        (lambda: SafeAlignObjective(bound="npo")(LOGPS, MASK, RED), "ref_nll must be given"),
        (lambda: SafeAlignObjective(bound="npo")(LOGPS, MASK, RED, torch.ones(1)), "ref_nll"),
        (lambda: SafeAlignObjective()(LOGPS, MASK, RED[:1]), "is_red"),
        (lambda: SafeAlignObjective()(LOGPS, MASK, RED.long()), "is_red"),
        (lambda: SafeAlignObjective()(LOGPS[:1], MASK, RED), "mask"),
        (lambda: SafeAlignObjective(nll_max=0.0), "nll_max"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
