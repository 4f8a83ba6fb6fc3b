"""TCM and OPIS: the definitions written out, two implementations, chunks, peers, bounds, invariances, degenerate cases."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neural.contrastive import metric_losses as bases
from neural.contrastive import tcm
from theory.contrastive import near_pairs
from theory.contrastive import tcm as theory

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def _batch(rows, dim, classes, seed, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=generator)
    z = torch.randn(classes, dim, generator=generator, dtype=torch.float64)[labels]
    z = z + 0.7 * torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    return z.to(device, dtype).requires_grad_(), labels.to(device)


def _classes(classes, per_class, dim, seed, spread=0.6):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    widths = rng.uniform(0.2, 1.0, classes) * spread
    z = rng.standard_normal((classes, dim))[labels] + widths[labels, None] * rng.standard_normal((len(labels), dim))
    return z, labels


def _curves_by_loops(z, labels, thresholds, c=1.0):
    """The definition, one class and one threshold at a time."""
    u = near_pairs.unit_vectors(z)
    distance = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))
    curves = []
    for name in [n for n in np.unique(labels) if (labels == n).sum() > 1]:
        mine = labels == name
        positives = distance[np.ix_(mine, mine)][np.triu_indices(mine.sum(), 1)]
        negatives = distance[np.ix_(mine, ~mine)]
        row = []
        for d in thresholds:
            psi, phi = (positives <= d).mean(), (negatives > d).mean()
            row.append((1 + c**2) * phi * psi / (c**2 * phi + psi) if psi + phi else 0.0)
        curves.append(row)
    return np.array(curves)


def _deviations_by_loops(z, labels, low, high, c=1.0):
    """The integral between all breakpoints, where every curve is constant."""
    u = near_pairs.unit_vectors(z)
    distance = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))[np.triu_indices(len(z), 1)]
    ends = np.unique(np.concatenate([[low], distance[(distance > low) & (distance < high)], [high]]))
    curves = _curves_by_loops(z, labels, (ends[1:] + ends[:-1]) / 2, c)
    return (curves - curves.mean(0)) ** 2 @ np.diff(ends) / (high - low)


def _loss_by_loops(z, labels, margins, memory=None, memory_labels=None):
    rows, own = z.detach().double().tolist(), memory is None
    others = rows if own else memory.detach().double().tolist()
    other_labels = labels if own else memory_labels
    total, terms = 0.0, ([], [])
    for i, a in enumerate(rows):
        for j, b in enumerate(others):
            if own and i == j:
                continue
            s = math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
            if labels[i] == other_labels[j] and s <= margins[0]:
                terms[0].append(margins[0] - s)
            if labels[i] != other_labels[j] and s >= margins[1]:
                terms[1].append(s - margins[1])
    for weight, term in zip(margins[2:], terms, strict=True):
        total += weight * sum(term) / max(len(term), 1)
    return total


batches = {
    "rows": st.integers(2, 14),
    "dim": st.integers(2, 8),
    "classes": st.integers(1, 4),
    "seed": st.integers(0, 2**31),
}
margins = st.tuples(st.floats(0.2, 0.99), st.floats(-0.9, 0.19), st.floats(0, 20), st.floats(0, 20))


@settings(max_examples=40, deadline=None)
@given(**batches, parameters=margins, chunk=st.integers(1, 16))
def test_the_loss_is_its_definition_whole_and_in_chunks(rows, dim, classes, seed, parameters, chunk):
    z, labels = _batch(rows, dim, classes, seed)
    expected = _loss_by_loops(z, labels, parameters)
    results = []
    for size in (None, chunk):
        loss = tcm.threshold_consistent_margin_loss(z, labels, *parameters, chunk_size=size)
        assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-10)
        results.append(torch.autograd.grad(loss, z)[0])
    torch.testing.assert_close(results[0], results[1], atol=1e-11, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(**batches, parameters=margins, chunk=st.integers(1, 16))
def test_references_are_the_partners_and_get_gradients(rows, dim, classes, seed, parameters, chunk):
    z, labels = _batch(rows, dim, classes, seed)
    memory, memory_labels = _batch(rows + 3, dim, classes, seed + 1)
    results = []
    for size in (None, chunk):
        loss = tcm.threshold_consistent_margin_loss(z, labels, *parameters, memory, memory_labels, chunk_size=size)
        assert loss.item() == pytest.approx(_loss_by_loops(z, labels, parameters, memory, memory_labels), abs=1e-10)
        results.append(torch.autograd.grad(loss, (z, memory)))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=30, deadline=None)
@given(**batches, seed_of_margins=st.integers(0, 2**31))
def test_theory_and_neural_agree(dtype, rows, dim, classes, seed, seed_of_margins):
    z, labels = _batch(rows, dim, classes, seed, dtype)
    low, high = np.sort(np.random.default_rng(seed_of_margins).uniform(-0.9, 0.99, 2)).tolist()
    # A cosine within rounding of a margin may count as hard for one and not for the other.
    cosines = torch.nn.functional.cosine_similarity(z[:, None].double(), z[None].double(), dim=-1)
    if min((cosines - m).abs().min() for m in (low, high)) < 1e-5:
        return
    ours = tcm.threshold_consistent_margin_loss(z, labels, high, low)
    assert ours.dtype == dtype
    twin = theory.threshold_consistent_margin_loss(z.detach().double().numpy(), labels.numpy(), high, low)
    assert ours.item() == pytest.approx(twin, abs=TOLERANCE[dtype])


def test_the_push_does_not_depend_on_how_many_pairs_are_hard():
    cosines = torch.tensor([[1.0, 0.2, 0.8], [0.2, 1.0, 0.7], [0.8, 0.7, 1.0]], dtype=torch.float64)
    z = torch.linalg.cholesky(cosines)
    for labels, total in (([0, 0, 1], (-3.0, 5.0)), ([0, 1, 2], (0.0, 5.0)), ([0, 0, 0], (-3.0, 0.0))):
        y = torch.tensor(labels)
        upper = torch.triu_indices(3, 3, 1)
        same = (y[upper[0]] == y[upper[1]]).numpy()
        values = cosines[upper[0], upper[1]].numpy()
        by_positive, by_negative = theory.tcm_pair_gradient(
            *(part if len(part) else np.array([outside]) for part, outside in ((values[same], 1.0), (values[~same], -1.0))),
            0.9, 0.5, 3.0, 5.0,
        )  # fmt: skip
        assert (by_positive.sum(), by_negative.sum()) == pytest.approx(total)
        # Scaling a row does not change cosines, so that the gradient has no part along it.
        leaf = z.clone().requires_grad_()
        loss = tcm.threshold_consistent_margin_loss(leaf, y, 0.9, 0.5, 3.0, 5.0)
        gradient = torch.autograd.grad(loss, leaf)[0]
        torch.testing.assert_close((gradient * z).sum(1), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_gradients_pass_gradcheck():
    z, labels = _batch(6, 3, 2, 0)
    memory, memory_labels = _batch(5, 3, 2, 1)
    for chunk in (None, 4):
        assert torch.autograd.gradcheck(
            lambda a, b, c=chunk: tcm.threshold_consistent_margin_loss(
                a, labels, 0.95, 0.1, 2.0, 3.0, b, memory_labels, chunk_size=c
            ),
            (z, memory),
        )


def test_reductions_modules_and_stacks_agree(device):
    z, labels = _batch(7, 4, 3, 4, torch.float32, device)
    other, _ = _batch(7, 4, 3, 5, torch.float32, device)
    loss = tcm.threshold_consistent_margin_loss
    each = loss(z, labels, reduction="none")
    assert each.shape == (7, 7)
    assert (each.diagonal() == 0).all()
    torch.testing.assert_close(each.sum(), loss(z, labels, reduction="sum"))
    torch.testing.assert_close(each.sum(), loss(z, labels, reduction="sum", chunk_size=3))
    torch.testing.assert_close(tcm.TCMLoss(weight_pos=2.0)(z, labels), loss(z, labels, weight_pos=2.0))
    with_base = tcm.TCMLoss(bases.supcon_loss, chunk_size=2)(z, labels)
    torch.testing.assert_close(with_base, bases.supcon_loss(z, labels) + loss(z, labels))
    stacked = torch.stack([z, other])
    weights, highs = torch.tensor([1.0, 5.0], device=device), torch.tensor([0.9, 0.7], device=device)
    for chunk in (None, 3):
        together = loss(stacked, labels, highs, 0.3, weights, weights, chunk_size=chunk)
        alone = [
            loss(x, labels, float(h), 0.3, float(w), float(w)) for x, h, w in zip(stacked, highs, weights, strict=True)
        ]
        torch.testing.assert_close(together, torch.stack(alone))


@pytest.mark.parametrize("chunk", [None, 2])
def test_degenerate_batches_have_a_finite_loss_and_gradient(chunk):
    for z, labels in (
        (torch.zeros(4, 3), [0, 0, 1, 1]), (torch.ones(4, 3), [0, 0, 1, 1]), (torch.ones(4, 3), [2, 2, 2, 2]),
        (torch.ones(4, 3), [0, 1, 2, 3]), (torch.ones(1, 3), [0]), (torch.eye(3), [0, 1, 2]),
        (1e30 * torch.eye(3), [0, 1, 1]),
    ):  # fmt: skip
        leaf = z.clone().requires_grad_()
        loss = tcm.threshold_consistent_margin_loss(leaf, torch.tensor(labels), chunk_size=chunk)
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, leaf)[0]).all()
    assert tcm.threshold_consistent_margin_loss(torch.eye(3), torch.arange(3)) == 0
    # A zero row has cosine 0 with its partner: 0.9 away from where it should be.
    assert tcm.threshold_consistent_margin_loss(torch.zeros(2, 3), torch.tensor([0, 0])).item() == pytest.approx(0.9)


def test_a_pair_at_its_margin_counts_and_costs_nothing():
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    # Positives at .6 and 0: with the margin at .6 the mean is over both.
    assert tcm.threshold_consistent_margin_loss(
        z[[0, 1, 2]], torch.tensor([0, 0, 0]), 0.6, 0.5
    ).item() == pytest.approx(0.6 / 2)


def test_half_precision_and_autocast_compute_in_float32():
    z, labels = _batch(32, 16, 4, 2, torch.float32)
    exact = tcm.threshold_consistent_margin_loss(z, labels)
    for chunk in (None, 8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(tcm.threshold_consistent_margin_loss(z, labels, chunk_size=chunk), exact)
    half = tcm.threshold_consistent_margin_loss(z.bfloat16(), labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=0.02, rtol=0.02)  # bfloat16 keeps 8 bits of each coordinate


# base losses --------------------------------------------------------------------------------------


def _base_losses(proxies):
    return {
        "cosine softmax": lambda z, y, p=proxies: bases.cosine_softmax_loss(z, y, p, 0.2),
        "ArcFace": lambda z, y, p=proxies: bases.arcface_loss(z, y, p, 0.5, 16.0),
        "ProxyAnchor": lambda z, y, p=proxies: bases.proxy_anchor_loss(z, y, p),
        "SupCon": lambda z, y: bases.supcon_loss(z, y, 0.2),
        "Smooth-AP": lambda z, y: bases.smooth_ap_loss(z, y, 0.1),
    }


def _by_loops(name, z, labels, proxies):
    u, p = near_pairs.unit_vectors(z), near_pairs.unit_vectors(proxies)
    s, t, n = u @ u.T, u @ p.T, len(z)
    if name in ("cosine softmax", "ArcFace"):
        losses = []
        for i in range(n):
            logits = t[i] / 0.2 if name == "cosine softmax" else 16 * t[i]
            if name == "ArcFace":
                angle = math.acos(t[i, labels[i]])
                turned = math.cos(angle + 0.5) if angle + 0.5 <= math.pi else math.cos(angle) - 0.5 * math.sin(0.5)
                logits[labels[i]] = 16 * turned
            losses.append(np.logaddexp.reduce(logits) - logits[labels[i]])
        return np.mean(losses)
    if name == "ProxyAnchor":
        pulled = [np.log1p(np.exp(-32 * (t[labels == c, c] - 0.1)).sum()) for c in np.unique(labels)]
        pushed = [np.log1p(np.exp(32 * (t[labels != c, c] + 0.1)).sum()) for c in range(len(p))]
        return np.mean(pulled) + np.mean(pushed)
    losses = []
    for i in range(n):
        others = [k for k in range(n) if k != i]
        positives = [k for k in others if labels[k] == labels[i]]
        if not positives:
            continue
        if name == "SupCon":
            mass = np.logaddexp.reduce([s[i, k] / 0.2 for k in others])
            losses.append(mass - np.mean([s[i, j] / 0.2 for j in positives]))
        else:
            precision = []
            for j in positives:
                ahead = {k: 1 / (1 + math.exp(-(s[i, k] - s[i, j]) / 0.1)) for k in others if k != j}
                precision.append((1 + sum(ahead[k] for k in positives if k != j)) / (1 + sum(ahead.values())))
            losses.append(1 - np.mean(precision))
    return np.mean(losses) if losses else 0.0


@pytest.mark.parametrize("name", ["cosine softmax", "ArcFace", "ProxyAnchor", "SupCon", "Smooth-AP"])
@settings(max_examples=15, deadline=None)
@given(**batches)
def test_base_losses_are_their_definitions_alone_and_in_a_stack(name, rows, dim, classes, seed):
    z, labels = _batch(rows, dim, classes, seed)
    proxies = torch.randn(classes + 1, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    value = _base_losses(proxies)[name](z, labels)
    expected = _by_loops(name, z.detach().numpy(), labels.numpy(), proxies.numpy())
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-10)
    pair = torch.stack([z.detach(), z.detach() + 1.0])
    stacked = _base_losses(torch.stack([proxies, proxies]))[name](pair, labels)
    assert stacked[0].item() == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", ["cosine softmax", "ArcFace", "ProxyAnchor", "SupCon", "Smooth-AP"])
def test_base_losses_are_finite_on_degenerate_batches(name):
    for z in (torch.zeros(4, 3), torch.ones(4, 3)):
        for labels in ([0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3]):
            leaf, proxies = z.clone().requires_grad_(), torch.ones(4, 3, requires_grad=True)
            loss = _base_losses(proxies)[name](leaf, torch.tensor(labels))
            assert torch.isfinite(loss)
            gradients = torch.autograd.grad(loss, (leaf, proxies), allow_unused=True)
            assert all(g is None or torch.isfinite(g).all() for g in gradients)


def test_base_losses_pass_gradcheck_and_reduce_over_anchors():
    z, labels = _batch(6, 3, 3, 7)
    proxies = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for loss in _base_losses(proxies).values():
        assert torch.autograd.gradcheck(lambda a, f=loss: f(a, labels), (z,))
    for function, arguments in (
        (bases.cosine_softmax_loss, (z, labels, proxies)), (bases.arcface_loss, (z, labels, proxies)),
        (bases.supcon_loss, (z, labels)), (bases.smooth_ap_loss, (z, labels)),
    ):  # fmt: skip
        each = function(*arguments, reduction="none")
        assert each.shape == (6,)
        torch.testing.assert_close(each.sum(), function(*arguments, reduction="sum"))


# OPIS ---------------------------------------------------------------------------------------------

worlds = {
    "classes": st.integers(2, 6),
    "per_class": st.integers(2, 7),
    "dim": st.integers(2, 6),
    "seed": st.integers(0, 2**31),
}


@settings(max_examples=40, deadline=None)
@given(**worlds, c=st.sampled_from([0.5, 1.0, 2.0]))
def test_curves_range_and_integral_are_their_definitions(classes, per_class, dim, seed, c):
    z, labels = _classes(classes, per_class, dim, seed)
    thresholds = np.random.default_rng(seed).uniform(0, 2.2, 9)
    np.testing.assert_allclose(
        theory.utility_curves(z, labels, thresholds, c), _curves_by_loops(z, labels, thresholds, c), atol=1e-12
    )
    far = (0.05, 0.4)
    try:
        low, high = theory.calibration_range(z, labels, far)
    except ValueError:
        assert classes * (classes - 1) // 2 * per_class**2 <= 25
        return
    u = near_pairs.unit_vectors(z)
    negatives = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))[labels[:, None] != labels]
    for d, rate in ((low, far[0]), (high, far[1])):
        assert (negatives <= d + 1e-9).mean() >= rate - 1e-12
        assert (negatives <= d - 1e-9).mean() < rate
    deviations = theory.class_deviations(z, labels, far, c)
    np.testing.assert_allclose(deviations, _deviations_by_loops(z, labels, low, high, c), atol=1e-9)
    assert theory.exact_opis(z, labels, far, c) == pytest.approx(deviations.mean())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), bits=st.sampled_from([4, 16]), count=st.integers(4, 7))
def test_ties_are_counted_exactly(seed, bits, count):
    """Signs in 4 or 16 dimensions: cosines are multiples of 1/4 or 1/16, without rounding, and most pairs are ties."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), 4)
    z = rng.choice([-1.0, 1.0], (len(labels), bits))
    far = (0.02, 0.9)
    low, high = theory.calibration_range(z, labels, far)
    score, curves = theory.opis(z, labels, far, n_thresholds=7, return_curves=True)
    assert (curves.thresholds[0], curves.thresholds[-1]) == (low, high)
    expected = _curves_by_loops(z, labels, curves.thresholds)
    np.testing.assert_allclose(curves.utilities, expected, atol=1e-12)
    assert score == pytest.approx(((expected - expected.mean(0)) ** 2).mean())


@settings(max_examples=25, deadline=None)
@given(**worlds)
def test_opis_is_bounded_invariant_and_never_above_its_worst_classes(classes, per_class, dim, seed):
    z, labels = _classes(classes + 2, per_class + 2, dim, seed)
    rng = np.random.default_rng(seed)
    score = theory.exact_opis(z, labels)
    assert 0 <= score <= 0.25 + 1e-12
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    names, order = rng.permutation(100)[: classes + 2], rng.permutation(len(z))
    # Distances near 0 have an absolute accuracy of 1e-8 only.
    assert theory.exact_opis((z * rng.uniform(0.1, 9, (len(z), 1))) @ rotation, labels) == pytest.approx(
        score, abs=1e-6
    )
    assert theory.exact_opis(z[order], names[labels[order]]) == pytest.approx(score, abs=1e-6)
    shares = [theory.exact_opis(z, labels, eps=eps) for eps in (0.01, 0.1, 0.34, 0.5, 0.9, 1.0)]
    assert (np.diff(shares) <= 1e-12).all()
    assert shares[-1] == pytest.approx(score)


def test_a_quarter_is_attained_by_perfect_and_useless_classes():
    rng = np.random.default_rng(0)
    perfect, useless = np.repeat(np.eye(42)[:40], 2, axis=0), np.tile(np.eye(42)[40:], (40, 1))
    jitter = 1e-3 * rng.standard_normal((80, 42))
    z = np.concatenate([perfect, useless + jitter])
    assert theory.exact_opis(z, np.repeat(np.arange(80), 2)) == pytest.approx(0.25, abs=1e-12)


def test_classes_with_equal_pairs_are_consistent():
    first = np.random.default_rng(1).standard_normal((9, 12)) + 3 * np.eye(12)[0]
    z = np.concatenate([np.roll(first, k, axis=1) for k in range(12)])
    assert theory.exact_opis(z, np.repeat(np.arange(12), 9)) < 1e-12


def test_the_grid_and_the_histogram_tend_to_the_integral():
    z, labels = _classes(30, 20, 16, 3)
    exact = theory.exact_opis(z, labels)
    by_grid = [abs(theory.opis(z, labels, n_thresholds=n) / exact - 1) for n in (11, 101, 1001)]
    assert by_grid[2] < by_grid[1] < by_grid[0] < 0.3
    assert by_grid[2] < 2e-3
    for eps in (None, 0.1):
        fine = theory.histogram_opis(z, labels, bins=20_000, eps=eps)
        assert fine == pytest.approx(theory.opis(z, labels, eps=eps), rel=5e-3)
    assert theory.histogram_opis(z, labels) == pytest.approx(exact, rel=0.05)


def test_many_items_give_what_few_at_a_time_give():
    """Large enough for the sampled bracket of the calibration range, and for several blocks of rows."""
    z, labels = _classes(25, 17, 8, 5)
    u = near_pairs.unit_vectors(z)
    upper = np.triu_indices(len(z), 1)
    distance, apart = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))[upper], labels[upper[0]] != labels[upper[1]]
    negatives = np.sort(distance[apart])
    pairs, found = near_pairs.nearest_pairs(u, labels, np.array([1, 500, 9_000]))
    np.testing.assert_allclose(found, negatives[[0, 499, 8_999]], atol=1e-12)
    assert len(pairs.distances) == (distance <= negatives[8_999] + 1e-12).sum()
    low, high = theory.calibration_range(z, labels, (0.01, 0.02))
    np.testing.assert_allclose(
        theory.class_deviations(z, labels, (0.01, 0.02)), _deviations_by_loops(z, labels, low, high), atol=1e-10
    )


def test_a_misleading_sample_does_not_change_the_range():
    """The rows that are sampled are far from everything; all near pairs are among the others."""
    rng = np.random.default_rng(0)
    sampled = np.linspace(0, 599, 96).astype(int)
    z = rng.standard_normal((600, 3)) * 0.01 + np.eye(3)[0]
    z[sampled] = -np.eye(3)[1] + 0.01 * rng.standard_normal((96, 3))
    labels = np.arange(600) % 2
    u = near_pairs.unit_vectors(z)
    distance = np.sqrt(np.maximum(2 - 2 * u @ u.T, 0))[labels[:, None] != labels]
    low, high = theory.calibration_range(z, labels)
    assert (distance <= high + 1e-9).mean() >= 0.1 > (distance <= high - 1e-9).mean()
    assert low < high


def test_zero_tcm_makes_thresholds_between_the_margins_perfect_but_opis_positive():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(20), 10)
    centres = np.eye(20) + 0.3 * (np.arange(20) < 6)[:, None] * (np.arange(20) < 6)
    z = centres[labels] + 0.02 * rng.standard_normal((200, 20))
    u = near_pairs.unit_vectors(z)
    same = labels[:, None] == labels
    low, high = (u @ u.T)[same].min(), (u @ u.T)[~same].max()
    assert theory.threshold_consistent_margin_loss(z, labels, low - 1e-6, high + 1e-6) == 0
    between = np.sqrt(2 - 2 * np.linspace(high + 1e-6, low - 1e-6, 5))
    assert (theory.utility_curves(z, labels, between) == 1).all()
    first, _ = theory.calibration_range(z, labels)
    assert first > between.max()
    assert 1e-4 < theory.exact_opis(z, labels) <= theory.separated_opis_bound(0.1)


def test_opis_ignores_a_class_of_one_item_but_keeps_it_as_a_negative():
    z, labels = _classes(6, 8, 5, 0)
    labels[-7:] = labels[0]  # the last class keeps one item
    with pytest.warns(UserWarning, match="one item"):
        curves = theory.utility_curves(z, labels, np.array([0.5, 1.0]))
    np.testing.assert_allclose(curves, _curves_by_loops(z, labels, [0.5, 1.0]), atol=1e-12)
    with pytest.raises(ValueError, match="2 items or more"):
        theory.opis(z, labels, strict=True)
    low, high = theory.calibration_range(z, labels)
    with pytest.warns(UserWarning, match="one item"):
        deviations = theory.class_deviations(z, labels)
    np.testing.assert_allclose(deviations, _deviations_by_loops(z, labels, low, high), atol=1e-10)


@pytest.mark.parametrize("bound", theory.BOUNDS, ids=lambda b: b.name)
def test_bounds_survive_fuzzing(bound):
    assert bound.check(20_000).holds


def test_the_variance_bound_of_separated_classes_is_nearly_attained():
    rates = np.zeros((1, 8))
    rates[0, 0] = 1.0
    assert theory._utilities_of_rates(rates, np.ones(1)).var() == pytest.approx(1 / 8 * 7 / 8)


two, pair = torch.ones(2, 3), np.ones((2, 3))
y, labels_of_pair = torch.tensor([0, 1]), np.array([0, 1])
BAD = [
    (tcm.threshold_consistent_margin_loss, (two, torch.tensor([0])), {}, "labels must have shape"),
    (tcm.threshold_consistent_margin_loss, (two[0], y), {}, "z must have shape"),
    (tcm.threshold_consistent_margin_loss, (two * math.nan, y), {}, "z must be finite"),
    (tcm.threshold_consistent_margin_loss, (two, y, 0.5, 0.5), {}, "margin_neg must be below margin_pos"),
    (tcm.threshold_consistent_margin_loss, (two, y, 1.5), {}, "margin_pos must be"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"weight_pos": -1.0}, "weight_pos must be"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"weight_neg": torch.tensor([-1.0])}, "weight_neg must be"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"reference": two}, "given together"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"reference": two[:, :2], "reference_labels": y}, "must fit z"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"chunk_size": 0}, "chunk_size must be"),
    (tcm.threshold_consistent_margin_loss, (two, y), {"reduction": "median"}, "reduction must be"),
    (tcm.TCMLoss, (3,), {}, "base_loss must be"),
    (tcm.TCMLoss, (bases.supcon_loss,), {"reduction": "none"}, "reduction must be"),
    (bases.cosine_softmax_loss, (two, y, two[:1]), {}, "labels must be in 0"),
    (bases.cosine_softmax_loss, (two, y, two[:, :2]), {}, "proxies must fit"),
    (bases.arcface_loss, (two, y, two, 4.0), {}, "margin must be at most"),
    (bases.supcon_loss, (two[:1], y[:1]), {}, "at least 2 rows"),
    (bases.smooth_ap_loss, (two, y, 0.0), {}, "temperature must be"),
    (theory.opis, (pair, labels_of_pair), {}, "at least 2 classes with 2 items"),
    (theory.opis, (np.tile(pair, (2, 1)), np.array([0, 0, 1, 1])), {}, "different distances"),
    (theory.opis, (pair, labels_of_pair, (0.1, 0.01)), {}, "labels|far"),
    (theory.calibration_range, (pair, np.array([0, 0])), {}, "at least 2 classes"),
    (theory.calibration_range, (np.eye(3), np.array([0, 0, 1]), (0.5, 0.2)), {}, "far must ascend"),
    (theory.utility_curves, (np.eye(4), np.array([0, 0, 1, 1]), np.array([-0.1])), {}, "thresholds must be"),
    (theory.epsilon_opis, (np.array([0.1]), 1.5), {}, "eps must be"),
    (theory.threshold_consistent_margin_loss, (pair, labels_of_pair, 0.4, 0.5), {}, "margin_neg must be below"),
    (near_pairs.nearest_pairs, (pair, labels_of_pair, np.array([2])), {}, "ranks must ascend"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)


def test_the_full_experiment_with_convolutions_runs():
    from simulations.contrastive.open_world import BASES
    from simulations.contrastive.tcm import Retrieval, simulate_retrieval

    settings_ = Retrieval(
        worlds=("digits",), tuned=("digits",), bases=BASES[1:2], others=(), weights=(1.0,), steps=1, network="convolution",
        softmax_settings=(0.1,), margin_settings=(0.1,), ranking_settings=(0.01,), shifted=True,
    )  # fmt: skip
    table = simulate_retrieval(settings_, 1, "cpu").table
    assert set(table["part"]) == {"unseen", "validation", "shifted"}
    assert table[["recall", "opis", "eps_opis"]].notna().all(axis=None)
