"""Min-K%: as a sum over the least, as a conditional value at risk, and at its limits; detectors against brute force."""

import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from neural.tiny_lm.logprobs import token_logps
from neural.unlearning.min_k_prob import (
    MembershipDetector,
    lowercase_score,
    membership_report,
    min_k_plus_plus,
    min_k_prob,
    neighbour_score,
    perplexity_score,
    reference_score,
    zlib_score,
)

VALUES = st.floats(-30, 0)
ROWS = arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=VALUES)
SHARES = st.floats(0.01, 1)
SCORES = arrays(float, st.integers(2, 12), elements=st.integers(-4, 4).map(float))


def naive(row, k):
    chosen = sorted(row)[: max(1, math.floor(k * len(row) + 1e-9))]
    return sum(chosen) / len(chosen)


@st.composite
def masked(draw):
    values = draw(ROWS)
    mask = draw(arrays(bool, values.shape))
    mask[:, draw(st.integers(0, values.shape[1] - 1))] = True
    return values, mask


@given(masked(), SHARES)
def test_scores_are_the_mean_of_the_least_tokens(drawn, k):
    values, mask = drawn
    expected = [naive(row[kept], k) for row, kept in zip(values, mask, strict=True)]
    assert_allclose(min_k_prob(values, mask, k), expected)
    assert_allclose(min_k_prob(torch.tensor(values), torch.tensor(mask), k), expected)
    assert_allclose(perplexity_score(values, mask), [row[kept].mean() for row, kept in zip(values, mask, strict=True)])


@given(arrays(float, st.integers(1, 8), elements=VALUES), SHARES)
def test_it_is_a_linear_programme_over_bounded_weights(row, k):
    most = 1 / max(1, math.floor(k * len(row) + 1e-9))
    found = linprog(row, A_eq=np.ones((1, len(row))), b_eq=[1.0], bounds=(0, most))
    assert_allclose(min_k_prob(row[None], k=k).item(), found.fun, atol=1e-8)


@given(ROWS, SHARES, SHARES, st.randoms())
def test_it_grows_with_k_from_the_minimum_to_the_mean_whatever_the_order(values, first, second, random):
    small, large = sorted((first, second))
    assert (min_k_prob(values, k=small) <= min_k_prob(values, k=large) + 1e-9).all()
    assert_allclose(min_k_prob(values, k=1.0), values.mean(1))
    assert_allclose(min_k_prob(values, k=1e-6), values.min(1))
    order = list(range(values.shape[1]))
    random.shuffle(order)
    assert_allclose(min_k_prob(values[:, order], k=small), min_k_prob(values, k=small))


@given(ROWS, arrays(float, 12, elements=st.floats(-1, 0)), SHARES, st.floats(0.1, 5))
def test_it_is_concave_homogeneous_and_moves_no_more_than_a_token(values, change, k, scale):
    other = values + change[: values.shape[1]]
    middle = min_k_prob((values + other) / 2, k=k)
    assert (middle >= (min_k_prob(values, k=k) + min_k_prob(other, k=k)) / 2 - 1e-9).all()
    assert_allclose(min_k_prob(scale * values, k=k), scale * min_k_prob(values, k=k))
    moved = (min_k_prob(values, k=k) - min_k_prob(other, k=k)).abs()
    assert (moved <= np.abs(change[: values.shape[1]]).max() + 1e-9).all()


def test_rounding_costs_no_token():
    values = -torch.arange(1.0, 101.0)[None]
    assert min_k_prob(values, k=0.29).item() == -torch.arange(72.0, 101.0).mean().item()


def test_rounding_costs_no_token_of_a_masked_text():
    """In single precision k · N may come out below a whole number that it is."""
    values = -torch.arange(1.0, 1202.0)[None]
    mask = torch.ones(1, 1201, dtype=torch.bool)
    for k in (0.29, 0.07, 0.57, 0.83, 0.41):
        for targets in (100, 300, 700, 1200):
            mask[:] = torch.arange(1201) < targets
            least = round(k * targets)
            expected = -torch.arange(targets - least + 1.0, targets + 1.0).double().mean().item()
            assert_allclose(min_k_prob(values, mask, k).item(), expected, rtol=1e-5)


def test_scores_are_differentiable_with_a_mask_and_without():
    values = torch.tensor([[-1.0, -5.0, -2.0, -3.0]], requires_grad=True)
    for mask in (None, torch.ones(1, 4, dtype=torch.bool)):
        (gradient,) = torch.autograd.grad(min_k_prob(values, mask, 0.5).sum(), values)
        assert_allclose(gradient, [[0, 0.5, 0, 0.5]])


def test_a_short_text_has_one_least_token():
    assert min_k_prob(torch.tensor([[-3.0, -1.0]]), k=0.2).item() == -3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_min_k_plus_plus_standardises_by_the_models_own_next_token(dtype, device):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(4, 9, 13, generator=generator, dtype=torch.float64)).to(dtype).to(device)
    ids = torch.randint(13, (4, 9), generator=generator).to(device)
    logs = logits[:, :-1].double().log_softmax(-1)
    z = []
    for row in range(4):
        for place in range(8):
            p, value = logs[row, place].exp(), logs[row, place]
            mean = (p * value).sum()
            spread = ((p * value**2).sum() - mean**2).clamp_min(1e-6).sqrt()
            z.append((value[ids[row, place + 1]] - mean) / spread)
    expected = [naive([float(v) for v in z[8 * row : 8 * row + 8]], 0.4) for row in range(4)]
    assert_allclose(min_k_plus_plus(logits, ids, k=0.4).cpu(), expected, rtol=1e-6 if dtype == torch.float64 else 2e-4)


def test_a_certain_model_has_a_spread_of_nought_and_no_nan():
    logits = torch.zeros(1, 3, 4)
    logits[..., 0] = 1e4
    assert min_k_plus_plus(logits, torch.zeros(1, 3, dtype=torch.long)).item() == 0


def test_half_precision_is_computed_in_single(device):
    values = torch.tensor([[-1.0, -2.0, -4.0]], device=device)
    for dtype in (torch.float16, torch.bfloat16):
        assert min_k_prob(values.to(dtype), k=0.7).dtype == torch.float32
        assert min_k_prob(values.to(dtype), k=0.7).item() == -3


def test_baselines_are_their_definitions():
    nll, lower = np.array([2.0, 3.0]), np.array([3.0, 3.3])
    texts = ["abcabcabc", "hello"]
    sizes = [len(zlib.compress(text.encode())) for text in texts]
    assert_allclose(zlib_score(nll, texts), [-2 / sizes[0], -3 / sizes[1]])
    assert_allclose(lowercase_score(nll, lower), [1.5, 1.1])
    assert_allclose(reference_score(-nll, -lower), [1.0, 0.3])
    assert_allclose(neighbour_score(-nll, -np.array([[2.0, 4.0], [3.0, 5.0]])), [1.0, 1.0])


@given(SCORES, SCORES)
def test_reports_are_sklearns_area_and_the_best_threshold(members, others):
    labels = np.r_[np.ones(len(members)), np.zeros(len(others))]
    report = membership_report(members, others)
    assert_allclose(report.auc, roc_auc_score(labels, np.r_[members, others]))
    levels = np.r_[-np.inf, np.unique(np.r_[members, others])]
    best = max(balanced_accuracy_score(labels, np.r_[members, others] > level) for level in levels)
    assert_allclose(report.balanced_accuracy, best)
    allowed = [(members > level).mean() for level in levels if (others > level).mean() < 0.05]
    assert_allclose(report.tpr_at_5_percent, max(allowed))


@given(SCORES, SCORES)
def test_the_fitted_threshold_is_as_good_as_the_best(members, others):
    scores = np.r_[members, others]
    labels = np.r_[np.ones(len(members), bool), np.zeros(len(others), bool)]
    predicted = MembershipDetector().fit_threshold(scores, labels).predict(scores).numpy()
    assert_allclose(balanced_accuracy_score(labels, predicted), membership_report(members, others).balanced_accuracy)


def test_a_detector_needs_a_threshold_first():
    with pytest.raises(RuntimeError, match="fit_threshold"):
        MembershipDetector().predict(torch.tensor([1.0]))
    detector = MembershipDetector("perplexity")
    assert_allclose(detector.scores(torch.tensor([[-1.0, -3.0]])), [-2.0])


def test_scores_of_a_hugging_face_model_are_those_of_its_logits():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=16)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(2, 32, (3, 10))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    picked = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    expected = [naive(row.tolist(), 0.3) for row in picked]
    assert_allclose(min_k_prob(token_logps(logits, ids), k=0.3), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: min_k_prob(torch.tensor([[-1.0]]), k=0.0), "k must"),
        (lambda: min_k_prob(torch.tensor([[-1.0]]), k=1.1), "k must"),
        (lambda: min_k_prob(torch.tensor([[-1.0], [math.nan]])), "row 1"),
        (lambda: min_k_prob(torch.tensor([[-1.0], [0.5]])), "row 1"),
        (lambda: min_k_prob(torch.tensor([[-1.0], [-2.0]]), torch.tensor([[True], [False]])), "row 1"),
        (lambda: min_k_prob(torch.tensor([[-1.0]]), torch.tensor([[True, True]])), "mask"),
        (lambda: min_k_prob(torch.zeros(0, 3)), "token_logps"),
        (lambda: zlib_score(torch.tensor([1.0]), ["a", "b"]), "texts"),
        (lambda: lowercase_score(torch.tensor([0.0]), torch.tensor([1.0])), "nll must"),
        (lambda: reference_score(torch.tensor([-1.0]), torch.tensor([-1.0, -2.0])), "lp_ref"),
        (lambda: neighbour_score(torch.tensor([-1.0]), torch.zeros(1, 0)), "neighbours"),
        (lambda: membership_report(torch.tensor([math.nan]), torch.tensor([0.0])), "member_scores"),
        (lambda: MembershipDetector().fit_threshold(torch.ones(2), torch.tensor([True, True])), "labels"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
