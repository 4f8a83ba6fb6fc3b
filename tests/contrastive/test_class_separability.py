"""Class separability: the score and the losses against numpy, loops, torch and peers; gradients; episodes; bounds."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from neural.contrastive import class_separability as neural
from neural.contrastive import episodes as few_shot
from theory.contrastive import class_separability as theory
from theory.fuzz import check_bound

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
PARTS = ("score", "lambda_same", "lambda_diff", "gamma")
sets = {
    "samples": st.integers(4, 24),
    "dim": st.integers(1, 9),
    "ways": st.integers(2, 5),
    "seed": st.integers(0, 2**31),
}
neighbourhoods = {"k": st.integers(1, 8), "more": st.integers(0, 8)}


def _points(samples, dim, ways, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.arange(ways), torch.randint(ways, (max(samples - ways, 0),), generator=generator)])[:samples]
    centres = 2 * torch.randn(ways, dim, generator=generator, dtype=torch.float64)
    x = centres[y] + torch.randn(len(y), dim, generator=generator, dtype=torch.float64)
    return x.to(dtype).requires_grad_(), y


def _score_by_loops(x, y, k, inspected):
    """The score one neighbour at a time, in Python floats, as it is published but for constants."""
    n = len(x)
    k = min(k, n - 2)
    inspected = min(inspected, n - 1)
    same_means, strangers, pure = [], [], 0
    for i in range(n):
        order = sorted((math.dist(x[i], x[j]), j) for j in range(n) if j != i)[:inspected]
        stranger = min((d for d, j in order if y[j] != y[i]), default=math.inf)
        near = order[:k]
        relative = [0.0 if math.isinf(stranger) else d / stranger for d, _ in near]
        top = max(1.0, *relative)
        mine = [r / top for r, (_, j) in zip(relative, near, strict=True) if y[j] == y[i]]
        if mine:
            same_means.append(math.fsum(mine) / len(mine))
        strangers.append([d for d, j in near if y[j] != y[i]])
        pure += len(mine)
    farthest = max((d for each in strangers for d in each), default=0.0)
    others = [math.fsum(each) / len(each) / farthest for each in strangers if each]
    lambda_same = 1 - math.fsum(same_means) / len(same_means) if same_means else 0.0
    lambda_diff = math.fsum(others) / len(others) if others else 1.0
    return ((lambda_same + lambda_diff) / 2 + pure / (n * k)) / 2


@settings(max_examples=25)
@given(**sets, **neighbourhoods)
def test_the_score_is_its_definition_written_out(samples, dim, ways, seed, k, more):
    x, y = _points(samples, dim, ways, seed)
    expected = _score_by_loops(x.tolist(), y.tolist(), k, k + more)
    assert theory.icnn_score(x.detach().numpy(), y.numpy(), k, k + more) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=20)
@given(**sets, **neighbourhoods, chunk=st.integers(1, 30), lattice=st.booleans())
def test_theory_and_neural_agree_in_chunks_and_on_ties_too(dtype, samples, dim, ways, seed, k, more, chunk, lattice):
    x, y = _points(samples, dim, ways, seed, dtype)
    # On a grid squared distances are exact in both, so that rounding does not order neighbours differently.
    x = x.round() if lattice else (16 * x).round() / 16
    twin = theory.icnn_score(x.detach().double().numpy(), y.numpy(), k, k + more, return_parts=True)
    for size in (None, chunk):
        ours = neural.icnn_score(x, y, k, k + more, return_parts=True, chunk_size=size)
        for name in PARTS:
            assert getattr(ours, name).dtype == dtype
            assert getattr(ours, name).item() == pytest.approx(getattr(twin, name), abs=TOLERANCE[dtype])


@settings(max_examples=20)
@given(
    samples=st.integers(4, 24),
    dim=st.integers(1, 9),
    ways=st.integers(3, 6),
    seed=st.integers(0, 2**31),
    **neighbourhoods,
)
def test_neighbours_from_a_reference_are_scored_without_dropping_the_nearest(samples, dim, ways, seed, k, more):
    x, y = _points(max(samples, ways), dim, ways, seed)
    c, labels = few_shot.prototypes(x, y).detach(), torch.arange(ways)
    ours = neural.icnn_score(x, y, k, k + more, c, labels, return_parts=True)
    arguments = c.numpy(), labels.numpy()
    twin = theory.icnn_score(x.detach().numpy(), y.numpy(), k, k + more, *arguments, return_parts=True)
    for name in PARTS:
        assert getattr(ours, name).item() == pytest.approx(getattr(twin, name), abs=1e-10)
    nearest = theory.icnn_score(x.detach().numpy(), y.numpy(), 1, None, *arguments, return_parts=True).gamma
    own = torch.cdist(x, c).argmin(1) == y
    assert nearest == pytest.approx(own.double().mean().item())


def test_queries_on_their_prototypes_score_the_most_that_five_prototypes_allow():
    """Public code drops each query's own prototype as if it were the query."""
    c = 10 * torch.eye(5)
    labels = torch.arange(5)
    parts = neural.icnn_score(c, labels, 1, 5, c, labels, return_parts=True)
    assert [p.item() for p in parts] == [1.0, 1.0, 1.0, 1.0]
    dropped = neural.icnn_score(c, labels, 1, 4, c, labels, return_parts=True, drop_self=True)
    assert dropped.gamma.item() == 0


def test_a_reference_that_starts_with_the_points_is_the_episode_seen_by_them():
    x, y = _points(20, 3, 3, 4)
    first = neural.icnn_score(x[:8], y[:8], 3, 7, x, y, drop_self=True, return_parts=True)
    twin = theory.icnn_score(
        x[:8].detach().numpy(), y[:8].numpy(), 3, 7, x.detach().numpy(), y.numpy(), True, drop_self=True
    )
    assert first.score.item() == pytest.approx(twin.score, abs=1e-12)
    whole = neural.icnn_score(x, y, 3, 7, x, y, drop_self=True)
    assert whole.item() == pytest.approx(neural.icnn_score(x, y, 3, 7).item(), abs=1e-14)


@settings(max_examples=25)
@given(**sets, **neighbourhoods, scale=st.floats(1e-3, 1e3))
def test_the_score_is_a_share_and_does_not_change_with_position_direction_and_scale(
    samples, dim, ways, seed, k, more, scale
):
    x, y = _points(samples, dim, ways, seed)
    a, labels = x.detach().numpy(), y.numpy()
    rng = np.random.default_rng(seed)
    turned = a @ np.linalg.qr(rng.standard_normal((dim, dim)))[0] + rng.standard_normal(dim)
    score = theory.icnn_score(a, labels, k, k + more)
    gamma = theory.icnn_score(a, labels, k, k + more, return_parts=True).gamma
    assert gamma / 2 <= score <= (1 + gamma) / 2 <= 1
    assert score <= theory.icnn_ceiling(labels, k) + 1e-12
    # In one dimension mirrored neighbours can be at equal distances, which rounding then orders.
    if dim > 1:
        assert theory.icnn_score(turned, labels, k, k + more) == pytest.approx(score, abs=1e-7)
    assert theory.icnn_score(scale * a, labels, k, k + more) == pytest.approx(score, abs=1e-9)


def test_the_floor_is_attained_by_a_rectangle_and_the_ceiling_by_tight_pairs():
    for width in (1.5, 2.0, 7.0):
        corners = np.array([[0.0, 0.0], [0.0, 1.0], [width, 0.0], [width, 1.0]])
        score = theory.icnn_score(corners, np.array([0, 0, 1, 1]), k=1)
        assert score == pytest.approx(theory.icnn_floor(1.0, width), abs=1e-15)
    tight = np.array([[0.0, 0.0], [0.0, 1e-9], [1.0, 0.0], [1.0, 1e-9]])
    labels = np.array([0, 0, 1, 1])
    assert theory.icnn_score(tight, labels, 2, 3) == pytest.approx(theory.icnn_ceiling(labels, 2), abs=1e-8)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda bound: bound.name)
def test_bounds_hold_on_a_short_fuzz(bound):
    assert check_bound(bound.lhs, bound.rhs, bound.sampler, 20_000, rounds=5).holds


def test_contraction_can_lower_the_score():
    """A far class-mate draws a point of one class in between the other's: the last same-class neighbour is lost."""
    x, y = np.array([[0.0], [-1.0], [-1.0], [5.0]]), np.array([0, 0, 1, 1])
    means = np.array([[-0.5], [2.0]])[y]
    whole, quarter = (theory.icnn_score((1 - t) * x + t * means, y, 1, 3, return_parts=True) for t in (0, 0.25))
    assert (whole.gamma, quarter.gamma) == (0.25, 0.0)
    assert whole.score == pytest.approx(5 / 24)
    assert quarter.score == pytest.approx(0.075)


def test_the_original_score_by_hand():
    """Three points on a line: neighbours of 0 are at 1 (same class, scaled 0) and 3 (another, scaled 1)."""
    x, y = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([0, 0, 1, 1])
    parts = theory.original_icnn_score(x, y, k=2, return_parts=True)
    scaled = [[0, 1], [0, 1], [0, 1], [0, 1]]
    same = [[1, 0], [1, 0], [0, 0], [1, 0]]
    sums = np.array(
        [sum((1 - d) if s else d for d, s in zip(*row, strict=True)) for row in zip(scaled, same, strict=True)]
    )
    assert parts.lambda_same == pytest.approx(np.sqrt(sums / sums.max()).mean())
    assert parts.gamma == pytest.approx(np.sqrt(np.array([0.5, 0.5, 0, 0.5])).mean())
    assert parts.score == pytest.approx((parts.lambda_same + parts.gamma) / 2)
    assert 0 <= parts.omega <= 1


@settings(max_examples=20)
@given(**sets, k=st.integers(1, 6), p=st.floats(0.5, 4), r=st.floats(0.5, 4))
def test_the_original_score_is_a_share(samples, dim, ways, seed, k, p, r):
    x, y = _points(samples, dim, ways, seed)
    parts = theory.original_icnn_score(x.detach().numpy(), y.numpy(), k, p, 2.0, r, return_parts=True)
    assert min(parts.score, parts.gamma, parts.omega) >= 0
    assert max(parts.score, parts.gamma, parts.omega) <= 1


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), k=st.integers(1, 5), more=st.integers(0, 6))
def test_the_loss_gradient_is_that_of_finite_differences_of_the_numpy_score(seed, k, more):
    x, y = _points(9, 2, 3, seed)
    loss = neural.icnn_loss(x, y, k, k + more)
    (gradient,) = torch.autograd.grad(loss, x)
    a, labels, step = x.detach().numpy(), y.numpy(), 1e-6
    direction = np.random.default_rng(seed).standard_normal(a.shape)
    ends = [-math.log(max(theory.icnn_score(a + s * direction, labels, k, k + more), 1e-6)) for s in (-step, step)]
    middle = loss.item()
    # Across a change of neighbours the score jumps; there the two sides differ.
    if abs(ends[0] + ends[1] - 2 * middle) < 1e-9:
        assert (gradient.numpy() * direction).sum() == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-4)


def test_chunks_do_not_change_the_gradient():
    x, y = _points(17, 4, 3, 1)
    whole, chunked = (torch.autograd.grad(neural.icnn_loss(x, y, 4, 9, chunk_size=c), x)[0] for c in (None, 5))
    torch.testing.assert_close(whole, chunked, atol=1e-13, rtol=1e-10)


def test_purity_has_no_gradient_and_pure_neighbourhoods_without_strangers_none_at_all():
    y = torch.arange(3).repeat_interleave(5)
    x = (10 * torch.eye(3)[y] + 0.1 * torch.randn(15, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    parts = neural.icnn_score(x, y, 3, 4, return_parts=True)
    assert not parts.gamma.requires_grad
    assert torch.autograd.grad(neural.icnn_loss(x, y, 3, 4), x)[0].abs().max() == 0
    assert torch.autograd.grad(neural.icnn_loss(x, y, 3, 5), x)[0].abs().max() > 1e-4


@settings(max_examples=25)
@given(
    batch=st.integers(1, 20),
    ways=st.integers(2, 6),
    dim=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    margin=st.floats(0.05, 3),
)
def test_proto_triplet_is_torch_triplet_with_prototypes_and_its_gradient_is_the_closed_one(
    batch, ways, dim, seed, margin
):
    generator = torch.Generator().manual_seed(seed)
    q, c = (torch.randn(n, dim, generator=generator, dtype=torch.float64).requires_grad_() for n in (batch, ways))
    labels = torch.randint(ways, (batch,), generator=generator)
    ours = neural.proto_triplet_loss(q, labels, c, margin, reduction="none")
    arguments = q.detach().numpy(), labels.numpy(), c.detach().numpy(), margin
    np.testing.assert_allclose(ours.detach().numpy(), theory.proto_triplet_loss(*arguments), rtol=1e-10, atol=1e-12)
    distances = torch.linalg.vector_norm(q[:, None] - c, dim=-1).detach()
    negative = c[distances.scatter(1, labels[:, None], math.inf).argmin(1)]
    peer = torch.nn.TripletMarginLoss(margin, eps=1e-16, reduction="none")(q, c[labels], negative)
    torch.testing.assert_close(ours, peer, atol=1e-9, rtol=1e-9)
    for automatic, closed in zip(
        torch.autograd.grad(ours.sum(), (q, c)), theory.proto_triplet_gradient(*arguments), strict=True
    ):
        np.testing.assert_allclose(automatic.numpy(), closed, rtol=1e-8, atol=1e-9)


def test_a_support_sample_gets_its_share_of_its_prototypes_gradient():
    support = torch.tensor([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    q = torch.tensor([[0.6, 0.0]], dtype=torch.float64)
    c = few_shot.prototypes(support, labels)
    (gradient,) = torch.autograd.grad(neural.proto_triplet_loss(q, torch.tensor([0]), c), support)
    _, by_prototypes = theory.proto_triplet_gradient(q.numpy(), np.array([0]), c.detach().numpy())
    np.testing.assert_allclose(gradient.numpy(), by_prototypes[labels.numpy()] / 2, atol=1e-12)


@settings(max_examples=20)
@given(**sets, margin=st.floats(0.05, 5))
def test_batch_hard_triplet_is_the_peers(samples, dim, ways, seed, margin):
    package = pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning import distances, losses, miners, reducers

    assert package
    x, y = _points(samples, dim, ways, seed)
    distance = distances.LpDistance(normalize_embeddings=False)
    mined = miners.BatchHardMiner(distance=distance)(x, y)
    ours = neural.batch_hard_triplet_loss(x, y, margin)
    if len(mined[0]) == 0:
        assert ours.item() == 0
        return
    theirs = losses.TripletMarginLoss(margin, distance=distance, reducer=reducers.MeanReducer())(x, y, mined)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    one, other = (torch.autograd.grad(loss, x)[0] for loss in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_batch_hard_triplets_of_near_duplicates_far_from_the_origin_keep_their_distances():
    offsets = torch.tensor([[0.0, 0.0], [2.0**-12, 0.0], [0.0, 2.0**-11], [2.0**-10, 0.0]], dtype=torch.float64)
    x = (1000 + offsets).float()
    y = torch.tensor([0, 0, 1, 1])
    # Own farthest less nearest stranger, by hand, of points that float32 holds exactly.
    apart = torch.cdist(offsets, offsets)
    expected = torch.tensor(
        [apart[0, 1] - apart[0, 2], apart[0, 1] - apart[1, 2], apart[2, 3] - apart[0, 2], apart[2, 3] - apart[1, 3]]
    )
    for form in (x, x[None]):
        each = neural.batch_hard_triplet_loss(form, y, 1.0, reduction="none").flatten()
        torch.testing.assert_close(each, 1 + expected.float(), rtol=0, atol=2e-7)


@pytest.mark.parametrize("loss", ["icnn", "triplet", "proto"])
def test_stacked_problems_are_what_each_is_alone(loss):
    x = torch.stack([_points(12, 3, 3, seed)[0].detach() for seed in range(4)])
    y = _points(12, 3, 3, 0)[1]
    margins = torch.tensor([0.1, 0.5, 1.0, 2.0], dtype=torch.float64)

    def of(points, margin):
        if loss == "icnn":
            return neural.icnn_loss(points, y, 3, 5, reduction="none")
        if loss == "triplet":
            return neural.batch_hard_triplet_loss(points, y, margin, reduction="none")
        return neural.proto_triplet_loss(points, y, few_shot.prototypes(points, y), margin, reduction="none")

    alone = torch.stack([of(x[i], float(margins[i])) for i in range(4)])
    torch.testing.assert_close(of(x, margins), alone, atol=1e-12, rtol=1e-12)
    two = x.reshape(2, 2, 12, 3)
    torch.testing.assert_close(of(two, margins.reshape(2, 2)).flatten(0, 1), alone, atol=1e-12, rtol=1e-12)


def _all_losses(x, y):
    support = few_shot.prototypes(x, y)
    return [
        neural.icnn_loss(x, y, 3, 5), neural.icnn_loss(x, y, 3, 5, chunk_size=2),
        neural.icnn_loss(x, y, 3, None, support, torch.arange(len(support))),
        neural.batch_hard_triplet_loss(x, y), neural.proto_triplet_loss(x, y, support),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "x", [torch.zeros(9, 4), torch.ones(9, 4), torch.eye(3).repeat(3, 1), 1e-20 * torch.eye(9), 1e15 * torch.eye(9)]
)
def test_zeros_duplicates_and_extreme_scales_have_finite_losses_and_gradients(x, device):
    x, y = x.to(device).requires_grad_(), torch.arange(3, device=device).repeat_interleave(3)
    for loss in _all_losses(x, y):
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, x, retain_graph=True)[0]).all()


def test_duplicates_of_two_classes_are_strangers_at_distance_zero():
    """Public code takes the distance 0 for 'no stranger', and such an episode for pure."""
    x, y = torch.zeros(6, 2), torch.arange(2).repeat_interleave(3)
    parts = neural.icnn_score(x, y, 2, 5, return_parts=True)
    assert parts.lambda_diff == 0
    assert 0 < parts.gamma < 1
    assert neural.icnn_loss(x, y, 2, 5) <= -math.log(1e-6) + 1e-6


def test_one_shot_support_has_no_neighbours_of_its_class():
    parts = neural.icnn_score(torch.eye(5), torch.arange(5), return_parts=True)
    assert (parts.lambda_same, parts.gamma) == (0, 0)
    assert parts.score <= theory.icnn_ceiling(np.arange(5)) == 0.5


def test_autocast_and_half_precision_compute_in_float32():
    x, y = _points(20, 6, 4, 2, torch.float32)
    exact = _all_losses(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for a, b in zip(_all_losses(x, y), exact, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert neural.icnn_loss(x.bfloat16(), y).dtype == torch.float32
    assert few_shot.prototypes(x.bfloat16(), y).dtype == torch.float32


def test_float32_agrees_with_float64_for_near_duplicates_far_from_the_origin():
    """Distances of 1e-3 at 1e3 from the origin: through a matrix product no digit of them would be left."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3).repeat_interleave(4)
    x = (1000 + torch.randint(0, 8, (12, 4), generator=generator) * 2**-10 + 0.1 * torch.eye(4)[y]).float()
    single, double = (neural.icnn_score(a, y, 3, 4).item() for a in (x, x.double()))
    assert single == pytest.approx(double, abs=1e-5)


def test_reductions_and_modules_agree_with_the_functions():
    x, y = _points(12, 3, 3, 5)
    c = few_shot.prototypes(x, y)
    each = neural.proto_triplet_loss(x, y, c, 0.7, reduction="none")
    torch.testing.assert_close(neural.ProtoTripletLoss(0.7)(x, y, c), each.mean())
    torch.testing.assert_close(neural.ProtoTripletLoss(0.7, reduction="sum")(x, y, c), each.sum())
    stacked = torch.stack([x, 2 * x, x.square()])
    scores = neural.icnn_loss(stacked, y, 2, 6, reduction="none")
    torch.testing.assert_close(neural.ICNNLoss(2, 6)(stacked, y), scores.mean())
    torch.testing.assert_close(neural.ICNNLoss(2, 6, chunk_size=5, reduction="sum")(stacked, y), scores.sum())
    hard = neural.batch_hard_triplet_loss(x, y, 0.7, reduction="none")
    torch.testing.assert_close(neural.BatchHardTripletLoss(0.7)(x, y), hard.mean())


# episodes ---------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(4, 9), min_size=3, max_size=8), way=st.integers(2, 3), shot=st.integers(1, 2),
    query=st.integers(1, 2), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_episodes_hold_distinct_samples_of_distinct_classes(sizes, way, shot, query, seed):
    labels = torch.repeat_interleave(7 * torch.arange(len(sizes)), torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    drawn = few_shot.EpisodeSampler(labels, way, shot, query).draw(20, torch.Generator().manual_seed(seed))
    for e in range(20):
        rows = torch.cat([drawn.support[e], drawn.query[e]])
        assert len(rows.unique()) == way * (shot + query)
        assert len(drawn.classes[e].unique()) == way
        assert (labels[drawn.support[e]] == drawn.classes[e][drawn.support_labels]).all()
        assert (labels[drawn.query[e]] == drawn.classes[e][drawn.query_labels]).all()


def test_every_class_and_every_sample_is_drawn_equally_often():
    labels = torch.arange(6).repeat_interleave(torch.tensor([5, 6, 7, 8, 9, 10]))
    drawn = few_shot.EpisodeSampler(labels, 3, 2, 1).draw(20_000, torch.Generator().manual_seed(0))
    shares = drawn.classes.flatten().bincount() / 20_000
    np.testing.assert_allclose(shares, 0.5, atol=0.02)
    counts = torch.cat([drawn.support, drawn.query], 1).flatten().bincount() / 20_000
    np.testing.assert_allclose(counts, 0.5 * 3 / labels.bincount()[labels], atol=0.02)


def test_prototype_logits_are_negative_squared_distances_and_accuracy_is_the_nearest_prototypes(device):
    x, y = (a.to(device) for a in _points(40, 5, 4, 0))
    y = torch.arange(4, device=device).repeat_interleave(10)
    drawn = few_shot.EpisodeSampler(y, 3, 2, 4).draw(15, torch.Generator(device).manual_seed(0))
    stack = torch.stack([x, x**3]).detach()
    accuracy = few_shot.episode_accuracy(stack, drawn)
    for m in range(2):
        for e in range(15):
            support, query = stack[m, drawn.support[e]], stack[m, drawn.query[e]]
            c = torch.stack([support[drawn.support_labels == w].mean(0) for w in range(3)])
            logits = -(query[:, None] - c).square().sum(-1) / 3
            torch.testing.assert_close(
                few_shot.prototype_logits(query, few_shot.prototypes(support, drawn.support_labels), 3.0), logits
            )
            right = (logits.argmax(1) == drawn.query_labels).double().mean()
            assert accuracy[m, e].item() == pytest.approx(right.item())


def test_a_proto_net_learns_episodes():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(6).repeat_interleave(10)
    x = torch.cat([3 * torch.randn(60, 4, generator=generator), torch.randn(6, 2, generator=generator)[y]], 1)
    net = few_shot.ProtoNet(torch.nn.Linear(6, 3), temperature=1.0)
    optimiser = torch.optim.Adam(net.parameters(), 0.03)
    values = []
    for _ in range(60):
        episode = few_shot.sample_episode(x, y, 4, 3, 5, generator)
        logits = net(episode.support, episode.support_labels, episode.query)
        values.append(F.cross_entropy(logits, episode.query_labels))
        optimiser.zero_grad()
        values[-1].backward()
        optimiser.step()
    assert sum(values[-10:]) < 0.6 * sum(values[:10])


@pytest.mark.parametrize("kind", ["perceptron", "convolution"])
def test_models_of_an_ensemble_start_equal_and_are_independent(kind):
    generator = torch.Generator().manual_seed(0)
    net = (
        few_shot.PerceptronEnsemble(3, 64, width=8, dim=5, generator=generator)
        if kind == "perceptron"
        else few_shot.ConvolutionEnsemble(3, 8, channels=4, generator=generator)
    )
    x = torch.randn(7, 64, generator=generator)
    z = net(x.expand(3, 7, 64))
    torch.testing.assert_close(z[0], z[2])
    gradients = torch.autograd.grad(z[1].square().sum(), list(net.parameters()))
    for gradient in gradients:
        per_model = gradient.reshape(3, -1).abs().sum(1)
        assert per_model[0] == per_model[2] == 0
    assert sum(g.abs().sum() for g in gradients) > 0


def test_a_group_of_the_convolutions_is_a_convolutional_network():
    generator = torch.Generator().manual_seed(1)
    net = few_shot.ConvolutionEnsemble(2, 8, channels=3, generator=generator, blocks=2)
    x = torch.randn(5, 64, generator=generator)
    z = x.reshape(5, 1, 8, 8)
    for weight, inputs in zip(net.weights, (1, 3), strict=True):
        z = F.conv2d(z, weight[:3].reshape(3, inputs, 3, 3), padding=1)
        z = F.max_pool2d(F.batch_norm(z, None, None, training=True).relu(), 2)
    torch.testing.assert_close(net(torch.stack([x, 2 * x]))[0], z.flatten(1))


two = torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
pair = torch.tensor([0, 0, 1, 1])
BAD = [
    (neural.icnn_score, (two[:2], pair[1:3]), {}, "at least 2 neighbours"),
    (neural.icnn_score, (two, 0 * pair), {}, "at least 2 classes"),
    (neural.icnn_score, (two * math.nan, pair), {}, "x must be finite"),
    (neural.icnn_score, (two, pair), {"k": 0}, "k must be"),
    (neural.icnn_score, (two, pair), {"k": 2, "n_neighbors": 1}, "n_neighbors must be at least k"),
    (neural.icnn_score, (two, pair, 1, None, two), {}, "reference and reference_labels must be given together"),
    (neural.icnn_score, (two, pair, 1, None, two[:, :1], pair), {}, "x and reference must have"),
    (neural.icnn_score, (two, pair, 1, None, two[:3], pair[:3]), {"drop_self": True}, "must start with the 4 points"),
    (neural.icnn_loss, (two, pair), {"reduction": "median"}, "reduction must be"),
    (neural.proto_triplet_loss, (two, pair, two[:1]), {}, "at least 2 classes"),
    (neural.proto_triplet_loss, (two, pair + 2, two[:2]), {}, "labels must be in 0 … 1"),
    (neural.proto_triplet_loss, (two, pair, two[:2, :1]), {}, "same leading axes"),
    (neural.proto_triplet_loss, (two, pair, two[:2]), {"margin": 0.0}, "margin must be"),
    (
        neural.proto_triplet_loss,
        (two[None], pair, two[None, :2]),
        {"margin": torch.ones(2)},
        "margin must be a number or",
    ),
    (neural.proto_triplet_loss, (two[None], pair, two[None, :2]), {"margin": -torch.ones(1)}, "margin must be above 0"),
    (neural.batch_hard_triplet_loss, (two, 0 * pair), {}, "at least 2 classes"),
    (few_shot.EpisodeSampler, (pair, 3, 1, 1), {}, "at least way = 3 classes"),
    (few_shot.EpisodeSampler, (pair, 2, 2, 1), {}, "shot \\+ query = 3 samples"),
    (few_shot.prototypes, (two, 2 * pair), {}, "every class up to 2"),
    (few_shot.prototype_logits, (two, two[:2], torch.zeros(())), {}, "temperature must be above 0"),
    (theory.icnn_score, (two.numpy(), 0 * pair.numpy()), {}, "at least 2 classes"),
    (theory.icnn_score, (two.numpy(), pair.numpy(), 2, 1), {}, "n_neighbors must be at least k"),
    (theory.icnn_floor, (2.0, 1.0), {}, "separation must be above diameter"),
    (theory.proto_triplet_loss, (two.numpy(), pair.numpy(), two.numpy()[:1]), {}, "at least 2 rows"),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD)
def test_bad_input_is_named(function, arguments, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
