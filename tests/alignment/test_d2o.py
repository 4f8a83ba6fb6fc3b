"""D2O: gradient as the paper has it, DPO and NPO as its limits, Jensen's gap, and where descent ends."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from neural.alignment.d2o import d2o_loss, d2o_margin
from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.unlearning.losses import dpo_loss
from neural.unlearning.npo import npo_loss
from theory.alignment import d2o as theory

LOGPS = st.floats(-40, 0)
WEIGHTS = st.floats(0.01, 3)
BATCHES = st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        *(arrays(float, shape, elements=LOGPS) for _ in range(2)),
        *(arrays(float, shape[:1], elements=LOGPS) for _ in range(2)),
    )
)


def tensors(batch, dtype=torch.float64):
    return [torch.tensor(part, dtype=dtype) for part in batch]


@given(BATCHES, WEIGHTS, WEIGHTS)
def test_both_rooms_agree(batch, alpha, beta):
    pol_self, ref_self, pol_neg, ref_neg = batch
    expected = theory.d2o_loss(pol_self - ref_self, pol_neg - ref_neg, alpha, beta)
    assert_allclose(d2o_loss(*tensors(batch), alpha, beta, reduction="none"), expected, rtol=1e-12)


@given(BATCHES, WEIGHTS, WEIGHTS)
def test_the_gradient_is_the_papers(batch, alpha, beta):
    pol_self, ref_self, pol_neg, ref_neg = tensors(batch)
    pol_self.requires_grad_()
    pol_neg.requires_grad_()
    ref_self.requires_grad_()
    d2o_loss(pol_self, ref_self, pol_neg, ref_neg, alpha, beta).backward()
    weight = torch.sigmoid(-d2o_margin(pol_self, ref_self, pol_neg, ref_neg, alpha, beta)).detach() / len(pol_neg)
    assert_allclose(pol_self.grad, -(weight * beta / pol_self.shape[1])[:, None].expand_as(pol_self), atol=1e-14)
    assert_allclose(pol_neg.grad, alpha * weight, atol=1e-14)
    assert ref_self.grad is None


@given(BATCHES, WEIGHTS)
def test_one_self_sample_makes_it_dpo_and_no_anchor_npo(batch, alpha):
    pol_self, ref_self, pol_neg, ref_neg = tensors(batch)
    one = d2o_loss(pol_self[:, :1], ref_self[:, :1], pol_neg, ref_neg, alpha, alpha)
    pairs = dpo_loss(pol_self[:, 0], pol_neg, ref_self[:, 0], ref_neg, beta=alpha, scale=alpha)
    assert_allclose(one, pairs, rtol=1e-9)
    alone = d2o_loss(pol_self, ref_self, pol_neg, ref_neg, alpha, beta=0.0)
    assert_allclose(alone, alpha / 2 * npo_loss(pol_neg, ref_neg, beta=alpha), rtol=1e-9)


@given(BATCHES, WEIGHTS, WEIGHTS)
def test_it_is_at_most_the_mean_of_pairs_and_equal_where_all_agree(batch, alpha, beta):
    pol_self, ref_self, pol_neg, ref_neg = batch
    own, negative = pol_self - ref_self, pol_neg - ref_neg
    distributional = theory.d2o_loss(own, negative, alpha, beta)
    assert (distributional <= theory.pairwise_loss(own, negative, alpha, beta) + 1e-12).all()
    same = np.repeat(own[:, :1], own.shape[1], axis=1)
    assert_allclose(theory.pairwise_loss(same, negative, alpha, beta), theory.d2o_loss(same, negative, alpha, beta))


def test_the_gap_to_pairs_is_strict_where_samples_differ():
    own, negative = np.array([[3.0, -3.0]]), np.array([1.0])
    assert theory.pairwise_loss(own, negative, 1.0, 1.0) > theory.d2o_loss(own, negative, 1.0, 1.0) + 0.5


@given(BATCHES, st.data())
def test_masked_samples_do_not_count(batch, data):
    pol_self, ref_self, pol_neg, ref_neg = tensors(batch)
    mask = torch.tensor(data.draw(arrays(bool, tuple(pol_self.shape))))
    mask[:, 0] = True
    found = d2o_loss(pol_self, ref_self, pol_neg, ref_neg, mask=mask, reduction="none")
    for row in range(len(mask)):
        kept = mask[row]
        alone = d2o_loss(
            pol_self[row : row + 1, kept], ref_self[row : row + 1, kept], pol_neg[row : row + 1], ref_neg[row : row + 1]
        )
        assert_allclose(found[row], alone)


@given(st.floats(0.05, 0.9), st.floats(0.01, 2), st.floats(0.01, 3))
def test_the_interior_optimum_is_the_minimum_along_the_best_path(p, alpha, beta):
    def bracket(q):
        return (alpha - beta * p) * math.log(p / q) + beta * (1 - p) * math.log((1 - q) / (1 - p))

    optimum = theory.d2o_interior_optimum(alpha, beta, p)
    if optimum > 1e-4:
        found = minimize_scalar(
            lambda q: -bracket(q), bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-12}
        )
        assert_allclose(found.x, optimum, atol=1e-5)
    elif optimum == 0:
        values = [bracket(q) for q in np.geomspace(1e-9, p, 60)]
        assert (np.diff(values) < 1e-12).all()


@pytest.mark.parametrize("beta", [0.3, 0.6, 1.0])
def test_descent_ends_at_the_interior_optimum_and_keeps_proportions(beta):
    ref, negative = np.array([[0.2, 0.5, 0.2, 0.1]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    run = theory.tabular_dispreference(ref, negative, "d2o", alpha=0.1, beta=beta, step=0.5, T=5000)
    assert_allclose(run.q[-1, 0], theory.d2o_interior_optimum(0.1, beta, 0.2), atol=1e-3)
    if beta > 0.5:
        assert run.kl_good[-1, 0] < 1e-6


@pytest.mark.parametrize(("method", "samples"), [("d2o", None), ("dpo", None), ("npo", None), ("ga", None)])
def test_descent_follows_the_gradient_of_its_loss(method, samples):
    rng = np.random.default_rng(0)
    ref = rng.dirichlet(np.ones(5), 2)
    negative = np.zeros((2, 5))
    negative[:, :2] = (0.3, 0.7)
    alpha, beta, step = 0.7, 0.4, 0.01
    first = theory.tabular_dispreference(ref, negative, method, alpha, beta, samples, step, T=30)
    second = theory.tabular_dispreference(ref, negative, method, alpha, beta, samples, step, T=31)
    logits = torch.tensor(np.log(first.policy), requires_grad=True)
    ratio = logits.log_softmax(1) - torch.tensor(np.log(ref))
    law, anchor = torch.tensor(negative), torch.tensor(ref)
    if method == "ga":
        loss = (law * ratio).sum()
    elif method == "npo":
        loss = 2 / alpha * (law * torch.nn.functional.softplus(alpha * ratio)).sum()
    elif method == "d2o":
        mean = (anchor * ratio).sum(1, keepdim=True)
        loss = 2 / alpha * (law * torch.nn.functional.softplus(alpha * ratio - beta * mean)).sum()
    else:
        pairs = torch.nn.functional.softplus(alpha * ratio[:, None, :] - beta * ratio[:, :, None])
        loss = 2 / alpha * (anchor[:, :, None] * law[:, None, :] * pairs).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    moved = (logits - step * gradient).softmax(1)
    assert_allclose(second.policy, moved.detach(), rtol=1e-9)


def test_many_self_samples_are_their_law():
    ref, negative = np.full((1, 4), 0.25), np.array([[0.5, 0.5, 0.0, 0.0]])
    exact = theory.tabular_dispreference(ref, negative, "d2o", T=100)
    drawn = theory.tabular_dispreference(ref, negative, "d2o", K=10**6, T=100)
    assert_allclose(drawn.q, exact.q, rtol=1e-2)
    again = theory.tabular_dispreference(ref, negative, "d2o", K=3, T=20, seed=4)
    assert_allclose(again.q, theory.tabular_dispreference(ref, negative, "d2o", K=3, T=20, seed=4).q)


@given(arrays(float, 4, elements=st.floats(0.01, 1)), arrays(float, 4, elements=st.floats(0.01, 1)))
def test_jeffreys_is_symmetric_and_nought_for_equals(p, q):
    p, q = p / p.sum(), q / q.sum()
    assert_allclose(theory.jeffreys(p, q), theory.jeffreys(q, p))
    assert_allclose(theory.jeffreys(p, q), ((p - q) * np.log(p / q)).sum(), atol=1e-12)
    assert theory.jeffreys(p, p) == 0


def test_an_answer_that_one_side_excludes_is_infinitely_far():
    assert theory.jeffreys(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precisions_agree_on_every_device(dtype, device):
    generator = torch.Generator().manual_seed(0)
    parts = [-10 * torch.rand(5, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    parts += [-10 * torch.rand(5, generator=generator, dtype=torch.float64) for _ in range(2)]
    expected = d2o_loss(*parts)
    found = d2o_loss(*(part.to(dtype).to(device) for part in parts))
    assert found.dtype == dtype
    assert_allclose(found.cpu(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12)
    halves = d2o_loss(*(part.to(torch.bfloat16).to(device) for part in parts))
    assert halves.dtype == torch.float32


def test_a_hugging_face_model_gives_the_same_loss_by_hand():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=16)
    model, reference = (transformers.GPT2LMHeadModel(config).eval() for _ in range(2))
    own, negative = torch.randint(2, 32, (2 * 3, 8)), torch.randint(2, 32, (2, 8))
    mask = torch.arange(7) >= 2

    def sums(network, ids):
        return sequence_logps(token_logps(network(input_ids=ids).logits, ids), mask.expand(len(ids), -1))

    def by_hand(network, ids):
        logs = network(input_ids=ids).logits.log_softmax(-1)
        return torch.stack([sum(logs[row, t, ids[row, t + 1]] for t in range(2, 7)) for row in range(len(ids))])

    with torch.no_grad():
        ours = d2o_loss(
            sums(model, own).view(2, 3),
            sums(reference, own).view(2, 3),
            sums(model, negative),
            sums(reference, negative),
        )
        ratio = (by_hand(model, own) - by_hand(reference, own)).view(2, 3).mean(1)
        other = by_hand(model, negative) - by_hand(reference, negative)
        assert_allclose(ours, torch.nn.functional.softplus(0.1 * other - 0.1 * ratio).mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pol_self": torch.zeros(2, 0)}, "pol_self"),
        ({"mask": torch.tensor([[True, True], [False, False]])}, "row 1"),
        ({"mask": torch.ones(2, 3, dtype=torch.bool)}, "mask"),
        ({"alpha": -0.1}, "alpha"),
        ({"pol_neg": torch.tensor([-1.0, 0.5])}, "pol_neg"),
        ({"pol_neg": torch.tensor([-1.0]), "ref_neg": torch.tensor([-1.0])}, "pol_neg"),
        ({"ref_self": torch.tensor([[-1.0, -2.0]])}, "ref_self"),
        ({"ref_neg": None}, "ref_neg"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, change, message):
    good = {
        "pol_self": torch.full((2, 2), -1.0), "ref_self": torch.full((2, 2), -1.0), "pol_neg": torch.full((2,), -1.0),
        "ref_neg": torch.full((2,), -1.0),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        d2o_loss(**{**good, **change})


def test_a_table_needs_an_answer_beside_its_negatives():
    with pytest.raises(ValueError, match="neg_dist must leave"):
        theory.tabular_dispreference(np.full((1, 2), 0.5), np.full((1, 2), 0.5), "d2o")
