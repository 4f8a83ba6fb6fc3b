"""Block contrast of graphs: both implementations, the bounds of the block proxy, gradients, degenerate cases, training."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neural.contrastive import graphs, pamc
from neural.contrastive.graph_clustering import PamCClustering
from neural.contrastive.graph_similarity import log_pair_mass, log_positive_mass
from theory.contrastive import pamc as theory

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}
problems = {
    "nodes": st.integers(3, 24),
    "dim": st.integers(1, 9),
    "clusters": st.integers(1, 5),
    "seed": st.integers(0, 2**31),
}
gammas = st.floats(0.05, 20.0)


def _problem(nodes, dim, clusters, seed, dtype=torch.float64, device="cpu"):
    rng = np.random.default_rng(seed)
    clusters = min(clusters, nodes)
    labels = np.concatenate([np.arange(clusters), rng.integers(0, clusters, nodes - clusters)])
    z = torch.tensor(rng.standard_normal((nodes, dim)) + 0.3, dtype=dtype, device=device, requires_grad=True)
    weights = (
        np.eye(nodes) + (rng.random((nodes, nodes)) < 0.3) * rng.random((nodes, nodes)) + np.eye(nodes)[::-1] * 0.1
    )
    influence = torch.tensor(weights, dtype=dtype, device=device)
    index = influence.nonzero().T
    return z, influence, index, influence[index[0], index[1]], torch.tensor(labels, device=device)


def _losses_by_loops(z, influence, labels, gamma, exclude):
    """Both losses as they are defined, one exponential at a time, in Python floats."""
    rows = z.detach().cpu().double().tolist()

    def cosine(a, b):
        norms = math.hypot(*a) * math.hypot(*b)
        return math.fsum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0

    def term(vectors, i, j):
        return (0.0 if exclude else 1.0) if i == j else math.exp(gamma * cosine(vectors[i], vectors[j]))

    everyone = range(len(rows))
    pull = [-math.log(math.fsum(float(influence[i, j]) * term(rows, i, j) for j in everyone)) for i in everyone]
    push = [math.log(math.fsum(term(rows, i, j) for j in everyone)) for i in everyone]
    members = [[rows[i] for i in everyone if labels[i] == k] for k in range(int(labels.max()) + 1)]
    meta = [[math.fsum(column) for column in zip(*each, strict=True)] for each in members if each]
    blocks = [math.fsum(term(meta, a, b) for b in range(len(meta))) for a in range(len(meta))]
    shared = sum(math.log(b) for b in blocks) / len(blocks) if blocks[0] > 0 else 0.0
    return np.array(pull) + np.array(push), np.array(pull) + shared


@settings(max_examples=15, deadline=None)
@given(**problems, gamma=gammas, exclude=st.booleans())
def test_losses_are_the_definitions_written_out(nodes, dim, clusters, seed, gamma, exclude):
    z, influence, index, values, labels = _problem(nodes, dim, clusters, seed)
    influence = influence + 0.01
    index = influence.nonzero().T
    values = influence.flatten()
    full, block = _losses_by_loops(z, influence, labels, gamma, exclude)
    ours = pamc.pamc_loss(z, index, values, labels, gamma, exclude_self=exclude, reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), block, rtol=1e-9, atol=1e-9)
    ours = pamc.full_graph_contrastive_loss(z, influence, gamma, exclude_self=exclude, reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), full, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=15, deadline=None)
@given(**problems, gamma=gammas, exclude=st.booleans(), weighting=st.sampled_from(["none", "size"]))
def test_theory_and_neural_agree(dtype, nodes, dim, clusters, seed, gamma, exclude, weighting):
    z, influence, index, values, labels = _problem(nodes, dim, clusters, seed, dtype)
    if exclude:
        influence = influence + 0.01
        index, values = influence.nonzero().T, influence.flatten()
    a, matrix, c = z.detach().double().numpy(), influence.double().numpy(), labels.numpy()
    options = {"exclude_self": exclude, "reduction": "none"}
    tolerance = TOLERANCE[dtype] * max(1.0, gamma)
    if weighting == "none" and dtype == torch.float32:
        # Members that nearly cancel leave a direction that single precision cannot know.
        shortest = np.linalg.norm(theory.meta_nodes(a, c), axis=1).min() / np.abs(a).max() / nodes
        tolerance = max(tolerance, min(tolerance / shortest, 1e3))
    for ours, twin in (
        (pamc.pamc_loss(z, index, values, labels, gamma, weighting, **options),
         theory.pamc_loss(a, matrix, c, gamma, weighting, exclude)),
        (pamc.full_graph_contrastive_loss(z, influence, gamma, **options),
         theory.full_graph_contrastive_loss(a, matrix, gamma, exclude)),
    ):  # fmt: skip
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.detach().numpy(), twin, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        pamc.meta_nodes(z, labels).detach().numpy(), theory.meta_nodes(a, c), rtol=1e-4, atol=tolerance * nodes
    )


@settings(max_examples=15, deadline=None)
@given(**problems, gamma=gammas, chunk=st.integers(1, 30), exclude=st.booleans())
def test_neither_chunks_nor_the_form_of_positives_change_values_or_gradients(
    nodes, dim, clusters, seed, gamma, chunk, exclude
):
    z, influence, *_, labels = _problem(nodes, dim, clusters, seed)
    influence = influence + 0.01
    index, values = influence.nonzero().T, influence.flatten()
    options = {"exclude_self": exclude}
    pairs = [pamc.full_graph_contrastive_loss(z, influence, gamma, chunk_size=c, **options) for c in (None, chunk)]
    blocks = [pamc.pamc_loss(z, index, values, labels, gamma, positives=p, **options) for p in ("sparse", "dense")]
    for one, other in (pairs, blocks):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-9)
        torch.testing.assert_close(
            torch.autograd.grad(one, z)[0], torch.autograd.grad(other, z)[0], atol=1e-10, rtol=1e-8
        )


@pytest.mark.parametrize("weighting", ["none", "size"])
@pytest.mark.parametrize("exclude", [False, True])
def test_gradients_pass_gradcheck(weighting, exclude):
    z, influence, index, values, labels = _problem(7, 3, 3, 0)
    shares = torch.softmax(torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 1)
    for assignment in (labels, shares):
        assert torch.autograd.gradcheck(
            lambda a, q=assignment: pamc.pamc_loss(a, index, values, q, 2.0, weighting, exclude_self=exclude), (z,)
        )
    assert torch.autograd.gradcheck(
        lambda q: pamc.block_repulsion(z.detach(), torch.softmax(q, 1), 2.0, weighting, exclude_self=exclude),
        (shares.clone().requires_grad_(),),
    )
    assert torch.autograd.gradcheck(
        lambda a: pamc.full_graph_contrastive_loss(a, influence, 2.0, chunk_size=3, exclude_self=exclude), (z,)
    )


@settings(max_examples=15, deadline=None)
@given(**problems, gamma=st.floats(0.05, 10.0), exclude=st.booleans())
def test_every_node_of_a_cluster_gets_the_closed_gradient_of_its_meta_node(nodes, dim, clusters, seed, gamma, exclude):
    z, *_, labels = _problem(nodes, dim, clusters, seed)
    automatic = torch.autograd.grad(pamc.block_repulsion(z, labels, gamma, exclude_self=exclude).sum(), z)[0]
    meta = theory.meta_nodes(z.detach().numpy(), labels.numpy())
    closed = theory.meta_node_gradient(meta, gamma, exclude)
    scale = 1 + np.abs(closed).max()
    np.testing.assert_allclose(automatic.numpy() / scale, closed[labels.numpy()] / scale, rtol=0, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(**problems, gamma=gammas)
def test_one_hot_shares_are_labels_and_the_order_of_nodes_means_nothing(nodes, dim, clusters, seed, gamma):
    z, _, index, values, labels = _problem(nodes, dim, clusters, seed)
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))
    shares = F.one_hot(labels, clusters + 1).double()  # with an empty cluster
    for weighting in ("none", "size"):
        plain = pamc.pamc_loss(z, index, values, labels, gamma, weighting)
        torch.testing.assert_close(
            pamc.pamc_loss(z, index, values, shares, gamma, weighting), plain, atol=1e-9, rtol=1e-9
        )
        moved = pamc.pamc_loss(z[order], torch.argsort(order)[index], values, labels[order], gamma, weighting)
        torch.testing.assert_close(moved, plain, atol=1e-9, rtol=1e-9)


clustered = {
    "z": hnp.arrays(np.float64, (9, 3), elements=st.floats(-3, 3)),
    "labels": hnp.arrays(np.int64, 9, elements=st.integers(0, 3)),
    "gamma": st.floats(0.01, 20),
}


@settings(max_examples=50, deadline=None)
@given(**clustered)
def test_the_gap_is_between_zero_and_both_bounds(z, labels, gamma):
    gap = theory.negative_proxy_gap(z, labels, gamma)
    assert gap >= -1e-10
    for order in (1, 2):
        assert gap <= theory.proxy_bound(z, labels, gamma, order) * (1 + 1e-9) + 1e-10


@settings(max_examples=50, deadline=None)
@given(**clustered, exclude=st.booleans())
def test_the_loss_with_sizes_is_below_the_full_loss_by_at_most_the_bound(z, labels, gamma, exclude):
    z = z + np.where(np.abs(z).max(1, keepdims=True) == 0, 1.0, 0.0)  # unit rows, which the bound is about
    influence = np.ones((9, 9))
    full = theory.full_graph_contrastive_loss(z, influence, gamma, exclude).mean()
    sizes = theory.pamc_loss(z, influence, labels, gamma, "size", exclude).mean()
    assert -1e-9 <= full - sizes <= theory.proxy_bound(z, labels, gamma) + 1e-9


def test_the_constant_of_the_square_bound_cannot_be_below_one_half():
    """Two clusters that each vary towards the other: half of all blocks vary by 2 R², the others by nothing."""
    narrow = 1e-3
    z = np.array([[1.0, narrow], [1.0, -narrow], [narrow, 1.0], [-narrow, 1.0]])
    labels = np.array([0, 0, 1, 1])
    gap = theory.negative_proxy_gap(z, labels, 0.01)
    assert gap / theory.proxy_bound(z, labels, 0.01, 2) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("width", [0.05, 0.3])
def test_the_gap_tends_to_half_the_within_block_variance_times_gamma_squared(width):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    z = rng.standard_normal((4, 5))[labels] + width * rng.standard_normal((60, 5))
    limit = theory.within_block_variance(z, labels) / 2
    errors = [abs(theory.negative_proxy_gap(z, labels, g) / g**2 / limit - 1) for g in (0.1, 0.01)]
    assert errors[1] < 0.01
    assert errors[1] < 0.2 * errors[0]


def test_identical_members_leave_no_gap_and_cosines_over_estimate_spread_ones():
    labels = np.array([0, 0, 1, 1])
    same = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
    assert theory.negative_proxy_gap(same, labels, 5.0) == 0.0
    spread = np.array([[1.0, 0.8], [1.0, -0.8], [0.8, 1.0], [-0.8, 1.0]])
    assert (
        theory.negative_proxy_gap(spread, labels, 5.0, cosine=True) < 0 < theory.negative_proxy_gap(spread, labels, 5.0)
    )


@given(hnp.arrays(np.float64, (8, 3), elements=st.floats(-3, 3)), hnp.arrays(np.int64, 8, elements=st.integers(0, 2)))
def test_linear_scores_add_up_over_blocks(z, labels):
    meta = theory.meta_nodes(z, labels, clusters=3)
    for a in range(3):
        for b in range(3):
            assert (z[labels == a] @ z[labels == b].T).sum() == pytest.approx((meta @ meta.T)[a, b], abs=1e-10)


def test_empty_clusters_change_nothing():
    z, _, index, values, labels = _problem(12, 4, 3, 1)
    skipping = torch.tensor([0, 3, 5])[labels]
    for weighting in ("none", "size"):
        torch.testing.assert_close(
            pamc.pamc_loss(z, index, values, skipping, 2.0, weighting),
            pamc.pamc_loss(z, index, values, labels, 2.0, weighting),
        )
    assert (pamc.meta_nodes(z, skipping, clusters=7)[1] == 0).all()


@pytest.mark.parametrize("weighting", ["none", "size"])
@pytest.mark.parametrize("exclude", [False, True])
def test_zero_rows_cancelling_members_and_a_single_cluster_stay_finite(weighting, exclude):
    z = torch.zeros(4, 3, requires_grad=True)
    opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], requires_grad=True)
    ring = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    for rows in (z, opposed):
        for labels in (torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long), torch.arange(4)):
            loss = pamc.pamc_loss(rows, ring, torch.ones(4), labels, 3.0, weighting, exclude_self=exclude)
            assert torch.isfinite(loss)
            assert torch.isfinite(torch.autograd.grad(loss, rows)[0]).all()


def test_without_another_cluster_there_is_nothing_to_push_away_from():
    z, _, index, values, _ = _problem(5, 3, 1, 0)
    one = torch.zeros(5, dtype=torch.long)
    assert pamc.block_repulsion(z, one).item() == 0
    assert pamc.block_repulsion(z, one, exclude_self=True).item() == 0
    assert pamc.pamc_loss(z, index, values, one).item() == pytest.approx(
        -log_positive_mass(z, index, values).mean().item()
    )


@pytest.mark.parametrize("gamma", [1e-3, 1e3])
def test_extreme_temperatures_stay_finite_in_single_precision(gamma):
    z, influence, index, values, labels = _problem(16, 6, 4, 3, torch.float32)
    for loss in (
        pamc.pamc_loss(z, index, values, labels, gamma),
        pamc.pamc_loss(z, index, values, labels, gamma, "size"),
        pamc.full_graph_contrastive_loss(z, influence, gamma),
    ):
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, z)[0]).all()


def test_half_precision_and_autocast_compute_in_float32():
    z, influence, index, values, labels = _problem(16, 6, 4, 2, torch.float32)
    calls = [
        lambda a: pamc.pamc_loss(a, index, values, labels, 5.0),
        lambda a: pamc.pamc_loss(a, index, values, labels, 5.0, "size"),
        lambda a: pamc.pamc_loss(a, index, values, F.one_hot(labels).float(), 5.0, "size"),
        lambda a: pamc.full_graph_contrastive_loss(a, influence, 5.0),
        lambda a: pamc.full_graph_contrastive_loss(a, influence, 5.0, chunk_size=5),
    ]
    for call in calls:
        exact = call(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(call(z), exact, atol=1e-4, rtol=1e-5)
        assert call(z.bfloat16()).dtype == torch.float32


def test_reductions_and_modules_agree_with_the_functions(device):
    z, influence, index, values, labels = _problem(10, 4, 3, 4, torch.float32, device)
    each = pamc.pamc_loss(z, index, values, labels, 2.0, reduction="none")
    assert each.shape == (10,)
    torch.testing.assert_close(each.mean(), pamc.PamCLoss(2.0)(z, index, values, labels))
    torch.testing.assert_close(each.sum(), pamc.PamCLoss(2.0, reduction="sum")(z, index, values, labels))
    each = pamc.full_graph_contrastive_loss(z, influence, 2.0, reduction="none")
    torch.testing.assert_close(each.mean(), pamc.FullGraphContrastiveLoss(2.0)(z, influence))
    chunked = pamc.FullGraphContrastiveLoss(2.0, chunk_size=3, reduction="sum")
    torch.testing.assert_close(each.sum(), chunked(z, influence.to_sparse()))


def test_stacked_graphs_are_the_graphs_alone():
    z = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(log_pair_mass(z, 3.0), torch.stack([log_pair_mass(each, 3.0) for each in z]))
    torch.testing.assert_close(
        pamc.meta_node_repulsion(z, 3.0), torch.stack([pamc.meta_node_repulsion(each, 3.0) for each in z])
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 2**31))
def test_influence_is_the_sum_of_dense_powers(nodes, order, seed):
    edges = torch.tensor(np.random.default_rng(seed).integers(0, nodes, (2, 2 * nodes)))
    step = graphs.normalized_adjacency(edges, nodes)
    dense = step.to_dense()
    torch.testing.assert_close(dense.sum(1), torch.ones(nodes))
    powers = [torch.linalg.matrix_power(dense, k) for k in range(1, order + 1)]
    torch.testing.assert_close(graphs.influence_matrix(step, order).to_dense(), torch.stack(powers).sum(0))
    torch.testing.assert_close(graphs.influence_matrix(dense, order, cumulative=False).to_dense(), powers[-1])


def test_student_t_shares_and_their_targets_are_the_definitions():
    z, centres = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q = pamc.student_t_assignment(z, centres)
    kernel = 1 / (1 + ((z[:, None] - centres) ** 2).sum(-1))
    torch.testing.assert_close(q, kernel / kernel.sum(1, keepdim=True))
    sharpened = q**2 / q.sum(0)
    torch.testing.assert_close(pamc.target_distribution(q), sharpened / sharpened.sum(1, keepdim=True))
    z.requires_grad_()
    on_centre = pamc.student_t_assignment(z, z.detach())
    assert torch.isfinite(torch.autograd.grad(on_centre.log().sum(), z)[0]).all()


def test_real_networks_are_what_they_are_known_to_be():
    sizes = {
        "karate": (34, 78),
        "les_miserables": (77, 254),
        "davis_southern_women": (32, 89),
        "florentine_families": (15, 20),
    }
    for name, (nodes, edges) in sizes.items():
        graph = graphs.social_network(name)  # type: ignore[arg-type]
        assert (len(graph.labels), graph.edge_index.shape[1] // 2) == (nodes, edges)
        assert (graph.features == graph.features.T).all()
    digits = graphs.digit_graph(5, subset=torch.arange(100))
    assert digits.features.shape == (100, 64)
    assert digits.edge_index.unique(dim=1).shape == digits.edge_index.shape


def test_clustering_recovers_blocks_and_needs_no_stack_to_do_so():
    generator = torch.Generator().manual_seed(0)
    pair = [graphs.stochastic_block_model(90, 3, 0.3, 0.02, 8, 0.2, generator=generator) for _ in range(2)]
    x, influence = graphs.stack_graphs(pair, order=1)
    both = PamCClustering(8, 3, hidden=(16,), dim=4, models=2).fit(x, influence, pretrain_steps=60, epochs=20)
    alone = PamCClustering(8, 3, hidden=(16,), dim=4).fit(x[1], pair[1].influence(1), pretrain_steps=60, epochs=20)
    torch.testing.assert_close(both.predict(x)[1], alone.predict(x[1]))
    for labels, graph in zip(both.predict(x), pair, strict=True):
        counts = torch.zeros(3, 3).index_put((labels, graph.labels), torch.ones(90), accumulate=True)
        assert counts.amax(1).sum() >= 85


@pytest.mark.parametrize("contrast", ["pamc", "pamc_soft", "pamc_size", "full", "sampled", "none"])
def test_a_contrast_of_a_model_is_the_loss_of_its_name(contrast):
    generator = torch.Generator().manual_seed(1)
    graph = graphs.stochastic_block_model(40, 3, 0.3, 0.05, 6, 1.0, generator=generator)
    influence = graph.influence(2)
    model = PamCClustering(6, 3, hidden=(8,), dim=4, contrast=contrast, alpha=0.7, beta=0.0, gamma=2.0)
    model.initialise(graph.features)
    z, q = model(graph.features)
    index, values, hard = influence.indices(), influence.values(), q.argmax(1)
    expected = {
        "pamc": lambda: pamc.pamc_loss(z, index, values, hard, 2.0),
        "pamc_soft": lambda: pamc.pamc_loss(z, index, values, q, 2.0),
        "pamc_size": lambda: pamc.pamc_loss(z, index, values, hard, 2.0, "size"),
        "full": lambda: pamc.full_graph_contrastive_loss(z, influence, 2.0),
    }
    loss = model.losses(graph.features, influence)[0]
    if contrast in expected:
        torch.testing.assert_close(loss, 0.7 * expected[contrast]())
    elif contrast == "none":
        assert loss == 0
    else:
        assert torch.isfinite(loss)


def test_selected_models_are_copies_that_train_apart():
    x = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    model = PamCClustering(4, 2, hidden=(6,), dim=3, models=2).pretrain(x, steps=3).initialise(x)
    before = model.predict(x)
    chosen = model.select([1, 1])
    twice = torch.stack([x[1], x[1]])
    torch.testing.assert_close(chosen.predict(twice), before[[1, 1]])
    influence = torch.kron(torch.eye(2), torch.full((12, 12), 1 / 12))
    chosen.refine(twice, influence, epochs=3, learning_rate=torch.tensor([0.0, 0.1]))
    torch.testing.assert_close(model.predict(x), before)
    torch.testing.assert_close(chosen.centres[0], model.centres[1])
    assert not torch.allclose(chosen.centres[1], model.centres[1])


def test_the_optimiser_is_adam():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    ours = PamCClustering(3, 2, hidden=(4,), dim=2).double()
    theirs = PamCClustering(3, 2, hidden=(4,), dim=2).double()
    ours.pretrain(x.double(), steps=5, learning_rate=0.01)
    parameters = [*theirs.encoder.parameters(), *theirs.decoder.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    for step in range(1, 6):
        loss = (theirs.decoder(theirs.encoder(x.double()[None])) - x.double()).square().mean()
        for p, (m, v), g in zip(parameters, moments, torch.autograd.grad(loss, parameters), strict=True):
            m.copy_(0.9 * m + 0.1 * g)
            v.copy_(0.999 * v + 0.001 * g**2)
            p.data -= 0.01 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    torch.testing.assert_close(ours(x.double())[0], theirs(x.double())[0], atol=1e-6, rtol=1e-5)


three = torch.eye(3)
loops = torch.tensor([[0, 1, 2], [0, 1, 2]])
ones = torch.ones(3)
nought = torch.tensor([0, 1, 1])
BAD = [
    (pamc.pamc_loss, (three, loops, ones, nought, 0.0), {}, "gamma must be"),
    (pamc.pamc_loss, (three, loops + 1, ones, nought), {}, "edge_index must be in"),
    (pamc.pamc_loss, (three, loops[:, :2], ones[:2], nought), {}, "every node an edge"),
    (pamc.pamc_loss, (three, loops, ones, nought), {"exclude_self": True}, "every node an edge"),
    (pamc.pamc_loss, (three, loops, -ones, nought), {}, "edge_weight must be at least 0"),
    (pamc.pamc_loss, (three, loops, ones[:2], nought), {}, "edge_weight must have shape"),
    (pamc.pamc_loss, (three, loops, ones, nought + 2), {}, "assignment must be in"),
    (pamc.pamc_loss, (three, loops, ones, -three), {}, "assignment must hold shares"),
    (pamc.pamc_loss, (three * math.nan, loops, ones, nought), {}, "z must be finite"),
    (pamc.full_graph_contrastive_loss, (three, torch.eye(2)), {}, "Abar must be"),
    (pamc.full_graph_contrastive_loss, (three, -three), {}, "Abar must be at least 0"),
    (pamc.full_graph_contrastive_loss, (three, three), {"exclude_self": True}, "Abar must have a positive"),
    (pamc.full_graph_contrastive_loss, (three[:1], three[:1, :1]), {"exclude_self": True}, "at least 2 nodes"),
    (log_pair_mass, (three[None],), {"chunk_size": 2}, "chunk_size must be None"),
    (pamc.meta_nodes, (three, nought), {"clusters": 1}, "assignment must be in"),
    (graphs.social_network, ("dolphins",), {}, "name must be one of"),
    (graphs.influence_matrix, (three, 0), {}, "order must be"),
    (PamCClustering, (4, 1), {}, "clusters must be"),
    (PamCClustering, (4, 2), {"contrast": "other"}, "contrast must be"),
    (theory.pamc_loss, (np.eye(3), np.eye(3), np.array([0, 1, 1])), {"exclude_self": True}, "positive node in every row"),
    (theory.pamc_loss, (np.eye(3), np.eye(3), np.array([0, 1, 9])), {}, "labels must be below"),
    (theory.proxy_bound, (np.eye(3), np.array([0, 1, 1]), 1.0, 3), {}, "order must be"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
