"""Hard negative mixing: geometry by hand, lean logits against mixtures held as vectors, gradients, degenerate cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from neural.contrastive.images import Views
from neural.contrastive.mochi import MoCHiLoss, mix_hard_negatives, mochi_logits, mochi_loss
from neural.contrastive.momentum import MemoryQueue, follow, pretrain_with_queue
from neural.contrastive.pretrain import EncoderEnsemble
from neural.ensemble import EnsembleLinear
from theory.contrastive import mochi as theory

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def _case(batch, dim, size, seed, dtype=torch.float64, device="cpu", stack=()):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, *stack, batch, dim, generator=generator, dtype=torch.float64)
    queue = F.normalize(torch.randn(*stack, size, dim, generator=generator, dtype=torch.float64), dim=-1)
    return tuple(x.to(device, dtype) for x in (query.requires_grad_(False), key, queue))


def _draws(device="cpu", seed=5):
    return torch.Generator(device).manual_seed(seed)


shapes = {
    "batch": st.integers(1, 7),
    "dim": st.integers(2, 12),
    "size": st.integers(6, 40),
    "seed": st.integers(0, 2**31),
}


@given(seed=st.integers(0, 2**31), dim=st.integers(2, 8), a=st.floats(0, 1), b=st.floats(0, 0.5))
def test_closed_forms_are_the_cosines_of_mixtures_made_by_hand(seed, dim, a, b):
    rng = np.random.default_rng(seed)
    q, u, v = (x / np.linalg.norm(x) for x in rng.standard_normal((3, dim)))
    h = a * u + (1 - a) * v
    expected = float(q @ h / np.linalg.norm(h))
    assert theory.mixed_similarity(q @ u, q @ v, u @ v, a) == pytest.approx(expected, abs=1e-9)
    h = b * q + (1 - b) * u
    expected = float(q @ h / np.linalg.norm(h))
    assert theory.query_mixed_similarity(q @ u, b) == pytest.approx(expected, abs=1e-9)


@given(theta=st.floats(0.01, math.pi - 0.01), b=st.floats(0, 0.5))
def test_a_query_mixture_lies_between_the_negative_and_half_of_its_angle(theta, b):
    mixed = math.acos(float(theory.query_mixed_similarity(math.cos(theta), b)))
    assert theta / 2 - 1e-9 <= mixed <= theta + 1e-9
    assert float(theory.query_mixed_similarity(math.cos(theta), 0.5)) == pytest.approx(math.cos(theta / 2), abs=1e-12)


@given(s=st.floats(0.01, 0.99), c=st.floats(-0.5, 0.99), a=st.floats(0.05, 0.95))
def test_equally_hard_parents_have_a_harder_child_by_at_most_the_limit(s, c, a):
    if c < 2 * s * s - 1:
        return  # no such vectors
    child = float(theory.mixed_similarity(s, s, c, a))
    assert s < child <= s * float(theory.hardening_limit(c)) * (1 + 1e-12)


def test_opposite_parents_cancel_to_a_mixture_of_cosine_zero():
    assert float(theory.mixed_similarity(0.6, -0.6, -1.0, 0.5)) == 0
    assert math.isinf(float(theory.hardening_limit(-1.0)))
    queue = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    query = torch.tensor([[1.0, 1.0]], requires_grad=True)
    logits = mochi_logits(query, query.detach(), queue, 2, 200, 0, 0.2, generator=_draws())
    (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), query)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(gradient).all()


def test_cosines_that_no_vectors_have_are_refused():
    with pytest.raises(ValueError, match="s_i, s_j and c"):
        theory.mixed_similarity(0.9, 0.9, -0.9, 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(**shapes, tau=st.floats(0.05, 2.0))
def test_lean_logits_are_the_products_with_the_mixtures(dtype, batch, dim, size, seed, tau):
    query, key, queue = _case(batch, dim, size, seed, dtype)
    mixtures = mix_hard_negatives(query, queue, 5, 8, 6, generator=_draws())
    assert mixtures.shape == (batch, 14, dim)
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    explicit = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T, torch.einsum("bd,bmd->bm", q, mixtures)], 1) / tau
    logits = mochi_logits(query, key, queue, 5, 8, 6, tau, generator=_draws())
    torch.testing.assert_close(logits, explicit, rtol=0, atol=20 * TOLERANCE[dtype] / tau)


@given(**shapes, tau=st.floats(0.05, 2.0))
def test_theory_and_neural_agree_and_mixtures_raise_the_loss(batch, dim, size, seed, tau):
    query, key, queue = _case(batch, dim, size, seed)
    logits = mochi_logits(query, key, queue, 5, 8, 6, tau, generator=_draws()).numpy() * tau
    parts = logits[:, 0], logits[:, 1 : 1 + size], logits[:, 1 + size :]
    losses = mochi_loss(query, key, queue, 5, 8, 6, tau, generator=_draws(), reduction="none").numpy()
    plain = mochi_loss(query, key, queue, 5, 0, 0, tau, reduction="none").numpy()
    np.testing.assert_allclose(losses, theory.mochi_loss(*parts, tau), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(losses - plain, theory.loss_increase(*parts, tau), rtol=1e-8, atol=1e-12)
    assert (losses >= plain).all()


def test_the_plain_loss_is_cross_entropy_against_the_queue():
    query, key, queue = _case(6, 8, 30, 0)
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(mochi_loss(query, key, queue, 5, 0, 0, 0.2), expected)


def test_every_query_mixes_its_own_hardest_and_pairs_are_of_two_different_ones(device):
    """With weights near 0 and two hardest, a mixture shows its parents; each query must show its own."""
    queue = torch.eye(12, device=device)
    query = torch.eye(12, device=device)[:4] + 0.5 * torch.eye(12, device=device)[4:8]
    mixtures = mix_hard_negatives(query, queue, 2, 50, 0, generator=_draws(device))
    for row in range(4):
        used = mixtures[row].abs().sum(0).nonzero().flatten().tolist()
        assert used == [row, row + 4]
    assert (mixtures.count_nonzero(dim=-1) == 2).all()


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_the_gradient_treats_mixtures_as_constants_and_leaves_the_queue_alone(chunk_size):
    query, key, queue = _case(5, 6, 20, 1)
    query.requires_grad_()
    queue.requires_grad_()
    loss = mochi_loss(query, key, queue, 5, 8, 6, 0.3, generator=_draws(), chunk_size=chunk_size)
    (gradient,) = torch.autograd.grad(loss, query, retain_graph=True)
    assert torch.autograd.grad(loss, queue, allow_unused=True) == (None,)
    mixtures = mix_hard_negatives(query, queue, 5, 8, 6, generator=_draws())
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    rows = torch.cat([queue.detach().expand(5, -1, -1), mixtures], 1)
    scores = torch.cat([(q * k).sum(1, keepdim=True), torch.einsum("bd,bmd->bm", q, rows)], 1) / 0.3
    (expected,) = torch.autograd.grad((scores.logsumexp(1) - scores[:, 0]).mean(), query)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_chunks_and_stacks_change_nothing(reduction):
    query, key, queue = _case(7, 6, 20, 2, stack=(3,))
    arguments = (5, 8, 6, 0.3)
    whole = mochi_loss(query, key, queue, *arguments, generator=_draws(), reduction=reduction)
    for chunk_size in (1, 3, 7, 50):
        chunked = mochi_loss(
            query, key, queue, *arguments, generator=_draws(), reduction=reduction, chunk_size=chunk_size
        )
        torch.testing.assert_close(chunked, whole)
    stacked = mochi_logits(query, key, queue, 5, 0, 0, 0.3)
    for model in range(3):
        torch.testing.assert_close(stacked[model], mochi_logits(query[model], key[model], queue[model], 5, 0, 0, 0.3))
    mixtures = mix_hard_negatives(query, queue, 3, 40, 40, generator=_draws())
    hardest = (F.normalize(query, dim=-1) @ queue.mT).topk(3, dim=-1).indices
    rows = torch.stack([queue[m][hardest[m]] for m in range(3)])
    q = F.normalize(query, dim=-1)[..., None, :]
    # Each mixture lies in the span of its own query and its own hardest rows.
    basis = torch.linalg.qr(torch.cat([q, rows], -2).mT).Q
    torch.testing.assert_close((mixtures @ basis) @ basis.mT, mixtures)


def test_ignored_rows_are_neither_negatives_nor_parents():
    query, key, queue = _case(4, 3, 12, 3)
    ignored = (F.normalize(query, dim=1) @ queue.T) > 0.2
    if (~ignored).sum(1).min() < 4:
        ignored[:, :4] = False
    logits = mochi_logits(query, key, queue, 4, 30, 10, 1.0, generator=_draws(), ignore_mask=ignored)
    assert (logits[:, 1:13][ignored] == -torch.inf).all()
    mixtures = mix_hard_negatives(query, queue, 4, 300, 0, generator=_draws(), ignore_mask=ignored)
    worst = torch.where(ignored, -torch.inf, F.normalize(query, dim=1) @ queue.T)
    for row in range(4):
        parents = queue[worst[row].topk(4).indices]
        away = torch.linalg.lstsq(parents.T, mixtures[row].T).solution
        torch.testing.assert_close(parents.T @ away, mixtures[row].T)


def test_mixed_precision_is_computed_in_full(device):
    query, key, queue = _case(6, 16, 40, 4, torch.float32, device)
    exact = mochi_loss(query, key, queue, 8, 16, 8, 0.05, generator=_draws(device))
    with torch.autocast(device, dtype=torch.bfloat16):
        inside = mochi_loss(query, key, queue, 8, 16, 8, 0.05, generator=_draws(device))
    torch.testing.assert_close(inside, exact)
    halves = mochi_loss(query.bfloat16(), key.bfloat16(), queue.bfloat16(), 8, 16, 8, 0.05, generator=_draws(device))
    torch.testing.assert_close(halves, exact, rtol=0.1, atol=0.3)


def test_a_zero_query_stays_finite():
    query, key, queue = _case(3, 5, 12, 5)
    query = (query * torch.tensor([[0.0], [1.0], [1.0]])).requires_grad_()
    (gradient,) = torch.autograd.grad(MoCHiLoss(4, 6, 3)(query, key, queue), query)
    assert torch.isfinite(gradient).all()
    assert (gradient[0] == 0).all()


def test_parents_are_drawn_without_favour():
    queue = torch.eye(6)
    mixtures = mix_hard_negatives(torch.ones(1, 6), queue, 6, 30_000, 0, generator=_draws())
    assert theory.class_parent_share(2, 6) == pytest.approx(2 / 30)
    both = ((mixtures[0, :, :2] > 0).sum(1) == 2).float().mean()
    assert float(both) == pytest.approx(2 / 30, abs=5 * math.sqrt(2 / 30 / 30_000))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"n_hard": 21}, "n_hard"), ({"n_hard": 1}, "n_hard"), ({"max_query_weight": 0.6}, "max_query_weight"),
        ({"temperature": 0.0}, "temperature"), ({"queue": torch.ones(20, 6)}, "queue"),
        ({"ignore_mask": torch.ones(4, 20, dtype=torch.bool)}, "ignore_mask"), ({"n_pairs": -1}, "n_pairs"),
        ({"query": torch.ones(0, 6)}, "query"), ({"key": torch.ones(3, 6)}, "key"),
    ],
)  # fmt: skip
def test_bad_input_is_named(unchecked, change, name):
    query, key, queue = _case(4, 6, 20, 6, torch.float32)
    arguments = {"query": query, "key": key, "queue": queue, "n_hard": 5, "n_pairs": 4, "n_query_mix": 2}
    with pytest.raises(ValueError, match=name):
        mochi_loss(**{**arguments, **change})


def test_the_queue_keeps_the_newest_keys_and_their_owners(device):
    queue = MemoryQueue(2, 5, 3, generator=_draws(device))
    pushed = [torch.randn(2, 2, 3, device=device) for _ in range(4)]
    for number, keys in enumerate(pushed):
        queue.push(keys, torch.tensor([2 * number, 2 * number + 1], device=device))
    assert sorted(queue.owners.tolist()) == [3, 4, 5, 6, 7]
    for number in (4, 5, 6, 7):
        (place,) = (queue.owners == number).nonzero().flatten().tolist()
        torch.testing.assert_close(queue.rows[:, place], F.normalize(pushed[number // 2][:, number % 2], dim=1))
    assert sorted(queue.owners[queue.newest(3)].tolist()) == [5, 6, 7]
    assert queue.newest(5).all()


def test_a_follower_moves_by_the_rest_of_the_momentum():
    leader, follower = (EnsembleLinear(2, 3, 4, torch.Generator().manual_seed(s)) for s in (0, 1))
    expected = 0.9 * follower.weight.detach() + 0.1 * leader.weight.detach()
    follow(follower, leader, 0.9)
    torch.testing.assert_close(follower.weight.detach(), expected)


def test_training_sees_every_image_once_a_pass_and_keys_of_earlier_steps_only():
    images = torch.rand(12, 64, generator=torch.Generator().manual_seed(0))
    models = EncoderEnsemble(2, generator=torch.Generator().manual_seed(0), width=8)
    before = [p.clone() for p in models.parameters()]
    seen: list[list[int]] = []

    def loss(q, k, queue, owners, step):
        earlier = [o for batch in seen for o in batch][-8:]
        assert sorted(o for o in queue.owners.tolist() if o >= 0) == sorted(earlier)
        seen.append(owners.tolist())
        return -(q * k).sum(-1).mean(-1)

    pretrain_with_queue(
        models, images, loss, views=Views(), batch_size=4, queue_size=8, steps=6, learning_rate=0.1,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert sorted(o for batch in seen[:3] for o in batch) == list(range(12))
    assert not models.training
    assert all((p != b).any() for p, b in zip(models.encoder.parameters(), before, strict=False))


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_hold_on_random_instances(bound):
    assert bound.check(20_000).holds
