"""Log-probabilities of tokens and sequences: definitions, invariances, chunks, half precision, masks."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from neural.tiny_lm.logprobs import labels_to_mask, sequence_logps, token_logps

EXAMPLES = settings(max_examples=30, deadline=None)
logits = arrays("float64", (2, 4, 5), elements=st.floats(-30, 30)).map(torch.tensor)
NAN, INF = float("nan"), float("inf")


def example(dtype=torch.float64, seed=0, vocabulary=7, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(3, 6, vocabulary, generator=generator, dtype=torch.float64).to(dtype)
    return values.to(device), torch.randint(0, vocabulary, (3, 6), generator=generator).to(device)


@EXAMPLES
@given(logits)
def test_probabilities_of_all_tokens_sum_to_one_at_every_position(values):
    each = [token_logps(values, torch.full((2, 4), token)) for token in range(5)]
    assert_allclose(torch.stack(each).exp().sum(0), 1, rtol=1e-12)


@EXAMPLES
@given(
    logits, arrays("float64", (2, 4, 1), elements=st.floats(-20, 20)).map(torch.tensor), st.sampled_from([None, 1, 3])
)
def test_a_constant_added_at_a_position_changes_nothing(values, constant, chunk):
    ids = torch.arange(8).reshape(2, 4) % 5
    assert_allclose(token_logps(values + constant, ids, chunk), token_logps(values, ids, chunk), atol=1e-9)


def test_position_t_is_the_log_probability_of_the_next_token(device):
    values, ids = example(device=device)
    ours = token_logps(values, ids)
    for row in range(3):
        for t in range(5):
            expected = values[row, t, ids[row, t + 1]] - values[row, t].logsumexp(0)
            assert_allclose(ours[row, t].cpu(), expected.cpu(), rtol=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_chunks_change_neither_values_nor_gradients(chunk, dtype, device):
    values, ids = example(dtype, device=device)
    a, b = values.clone().requires_grad_(), values.clone().requires_grad_()
    plain, chunked = token_logps(a, ids), token_logps(b, ids, chunk)
    assert plain.dtype == chunked.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_allclose(chunked.detach().cpu(), plain.detach().cpu(), atol=1e-6)
    outside = torch.linspace(-1, 2, plain.numel(), device=device, dtype=plain.dtype).view_as(plain)
    (g,), (h,) = torch.autograd.grad(plain, a, outside), torch.autograd.grad(chunked, b, outside)
    assert g.dtype == h.dtype == dtype
    assert_allclose(h.double().cpu(), g.double().cpu(), atol=1e-2 if dtype == torch.bfloat16 else 1e-6)


def test_chunked_gradient_is_that_of_finite_differences():
    values, ids = example(vocabulary=4)
    assert torch.autograd.gradcheck(lambda v: token_logps(v, ids, 2), values.requires_grad_())


def test_half_precision_is_computed_in_float32(device):
    values, ids = example(torch.bfloat16, device=device)
    assert_allclose(token_logps(values, ids).cpu(), token_logps(values.float(), ids).cpu(), rtol=1e-6)


def test_nan_logits_give_nan_at_their_position_only():
    values, ids = example()
    values[1, 2, 0] = NAN
    for chunk in (None, 2):
        bad = token_logps(values, ids, chunk).isnan()
        assert bad[1, 2]
        assert bad.sum() == 1


def test_sequences_sum_or_average_their_masked_targets():
    values, mask = torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -1.0, -5.0]]), torch.tensor([[1, 0, 1], [0, 1, 0]]) == 1
    assert sequence_logps(values, mask).tolist() == [-5.0, -1.0]
    assert sequence_logps(values, mask.float(), average=True).tolist() == [-2.5, -1.0]


def test_a_row_without_targets_sums_to_zero_and_has_no_mean(unchecked):
    values, mask = torch.full((2, 3), -1.0), torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert sequence_logps(values, mask).tolist() == [-3.0, 0.0]
    with pytest.raises(ValueError, match=r"mask .* row 1 has none"):
        sequence_logps(values, mask, average=True)


def test_impossible_padding_does_not_spoil_the_sum():
    values = torch.tensor([[-1.0, -INF]], requires_grad=True)
    total = sequence_logps(values, torch.tensor([[1.0, 0.0]]))
    assert total.item() == -1
    (gradient,) = torch.autograd.grad(total.sum(), values)
    assert gradient.tolist() == [[1.0, 0.0]]


def test_labels_become_a_mask_of_targets_and_ids_that_can_be_looked_up():
    mask, ids = labels_to_mask(torch.tensor([[-100, -100, 3, 4, -100], [1, 2, 3, 4, 0]]))
    assert mask.tolist() == [[False, True, True, False], [True] * 4]
    assert ids.tolist() == [[0, 0, 3, 4, 0], [1, 2, 3, 4, 0]]


def test_together_they_are_the_loss_of_a_hugging_face_model():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=64)).eval()
    ids = torch.randint(0, 64, (3, 9))
    labels = ids.clone()
    labels[:, :3] = -100
    out = model(input_ids=ids, labels=labels)
    mask, safe = labels_to_mask(labels)
    total = -sequence_logps(token_logps(out.logits, safe), mask).sum() / mask.sum()
    assert_allclose(total.item(), out.loss.item(), rtol=1e-5)
    manual = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    assert_allclose(total.item(), manual.item(), rtol=1e-5)


def test_very_unlikely_tokens_keep_their_log_probability():
    values = torch.tensor([[[0.0, -1e4], [0.0, 0.0]]])
    for chunk in (None, 1):
        assert token_logps(values, torch.tensor([[0, 1]]), chunk).item() == -1e4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token_logps(torch.rand(2, 3), torch.zeros(2, 3).long()), "logits"),
        (lambda: token_logps(torch.rand(2, 3, 4), torch.zeros(2, 2).long()), r"input_ids .* \(2, 3\).* got \(2, 2\)"),
        (lambda: token_logps(torch.rand(2, 1, 4), torch.zeros(2, 1).long()), "at least 2 tokens"),
        (lambda: token_logps(torch.rand(2, 3, 4), torch.full((2, 3), 4)), "input_ids"),
        (lambda: token_logps(torch.rand(2, 3, 4), torch.zeros(2, 3).long(), 0), "chunk"),
        (lambda: sequence_logps(torch.rand(2, 3), torch.ones(2, 2)), r"mask .* \(2, 3\), got \(2, 2\)"),
        (lambda: sequence_logps(torch.rand(2, 3), torch.full((2, 3), NAN)), "mask"),
        (lambda: labels_to_mask(torch.zeros(3).long()), "labels"),
        (lambda: labels_to_mask(torch.full((1, 3), -1)), "labels .* -1"),
        (lambda: labels_to_mask(torch.zeros(1, 3).long(), 0.5), "ignore_index"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_uniform_logits_give_minus_the_log_of_the_vocabulary():
    assert_allclose(token_logps(torch.zeros(1, 4, 9), torch.zeros(1, 4).long()), -math.log(9), rtol=1e-6)
