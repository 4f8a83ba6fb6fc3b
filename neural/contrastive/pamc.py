"""PamC: contrast a graph's nodes with K meta-nodes, one per cluster, in place of all N other nodes.

For embeddings z_i, edges (i, j) of influence w_ij and a partition of the nodes, with M_a the sum of z over cluster a:

    full    mean_i [ −log sum_j w_ij e^{gamma cos_ij} + log sum_j e^{gamma cos_ij} ]                    O((E + N²) d)
    PamC    mean_i [ −log sum_j w_ij e^{gamma cos_ij} ] + mean_a log sum_b e^{gamma cos(M_a, M_b)}    O((E + N + K²) d)

The cosine of a node, or meta-node, with itself counts as 0. ``gamma`` is an inverse temperature. The gradient of the
second term reaches every node of a cluster as one and the same vector, that of its meta-node.

    loss = pamc_loss(encoder(x), edge_index, edge_weight, assignment, gamma=1.0)

The parts of both can be used alone: ``graph_similarity.log_positive_mass`` and ``log_pair_mass``, and here
``meta_node_repulsion``. Assignments come from the Student-t kernel of deep embedded clustering.

Source: Kulatilleke, Portmann and Chandra (2022), *Efficient block contrastive learning via parameter-free meta-node
approximation*; the Student-t assignment and its target are those of Xie, Girshick and Farhadi (2016). The form with
sizes is derived in ``theory/contrastive/pamc.py``: it is never above the full loss.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.contrastive.graph_similarity import log_pair_mass, log_positive_mass, scaled_cosines
from neural.contrastive.similarity import unit_rows
from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "FullGraphContrastiveLoss",
    "PamCLoss",
    "block_repulsion",
    "full_graph_contrastive_loss",
    "meta_node_repulsion",
    "meta_nodes",
    "pamc_loss",
    "student_t_assignment",
    "target_distribution",
]

Nodes = Float[Tensor, "nodes dim"]
Edges = Int[Tensor, "2 edges"]
Assignment = Int[Tensor, " nodes"] | Float[Tensor, "nodes clusters"]
Weighting = Literal["none", "size"]


def pamc_loss(
    z: Nodes,
    edge_index: Edges,
    edge_weight: Float[Tensor, " edges"],
    assignment: Assignment,
    gamma: float = 1.0,
    weighting: Weighting = "none",
    positives: Literal["sparse", "dense"] = "sparse",
    *,
    exclude_self: bool = False,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """Block contrastive loss of a graph.

    Args:
        z: embeddings of the nodes.
        edge_index, edge_weight: influences w_ij > 0 of ``influence_matrix``; edge e goes from node ``edge_index[0, e]``
            (whose loss it enters) to ``edge_index[1, e]``. Repeated edges add up.
        assignment: a cluster per node (whole numbers), or shares of clusters per node (rows that sum to 1).
        gamma: multiplies the cosines.
        weighting: ``"none"`` is PamC. ``"size"`` counts the pairs of every two blocks and scores them by their mean
            cosine; with a cluster per node that is a lower bound of ``full_graph_contrastive_loss``.
        positives: ``"dense"`` takes the cosines of edges from one (nodes, nodes) product, which is faster where most
            pairs are edges.
        exclude_self: leave the diagonal, of cosine 0, out of both terms.
        reduction: ``"none"`` gives every node its own first term and the second, which all share.

    Empty clusters are left out. With one cluster and ``exclude_self`` there is no pair of meta-nodes: the second term
    is 0. Meta-nodes are sums of z, under ``"size"`` of its normalised rows. A zero row has cosine 0 with all and
    gradient 0 from the first term. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that do not fit, ``gamma`` not above 0, an unknown word, a single node with
    ``exclude_self``, or (on CPU) elements that are not finite, edges or clusters out of range (clusters number at most
    as many as nodes), weights or shares below 0, and nodes without an edge that counts; on other devices those have
    an infinite loss.

    >>> z, loops = torch.eye(2), torch.tensor([[0, 1], [0, 1]])
    >>> round(pamc_loss(z, loops, torch.ones(2), torch.tensor([0, 1])).item(), 4)
    0.6931
    """
    one_of("weighting", weighting, ("none", "size"))
    one_of("positives", positives, ("sparse", "dense"))
    attraction = log_positive_mass(z, edge_index, edge_weight, gamma, positives, exclude_self=exclude_self)
    repulsion = block_repulsion(z, assignment, gamma, weighting, exclude_self=exclude_self)
    return reduce(repulsion - attraction, reduction)


def block_repulsion(
    z: Nodes,
    assignment: Assignment,
    gamma: float = 1.0,
    weighting: Weighting = "none",
    *,
    exclude_self: bool = False,
) -> Float[Tensor, ""]:
    """The second term of ``pamc_loss``, for K clusters in O((N + K²) d) (shares: O(N K (d + K))).

    Arguments and errors as in ``pamc_loss``.

    >>> round(block_repulsion(torch.eye(2), torch.tensor([0, 1])).item(), 4)
    0.6931
    """
    floating("z", z, 2)
    finite_contents("z", z)
    positive("gamma", gamma)
    one_of("weighting", weighting, ("none", "size"))
    members = _checked_assignment(assignment, len(z))
    if weighting == "none":
        return _repulsion(*_block_sums(z, members), gamma, exclude_self)
    if exclude_self:
        _several_nodes(z)
    return _size_weighted_repulsion(unit_rows(z), members, gamma, exclude_self)


def full_graph_contrastive_loss(
    z: Nodes,
    Abar: Float[Tensor, "nodes nodes"],
    gamma: float = 1.0,
    *,
    chunk_size: int | None = None,
    exclude_self: bool = False,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """All-pairs loss ``−log sum_j Abar_ij e^{gamma cos_ij} + log sum_j e^{gamma cos_ij}``, averaged over nodes.

    ``Abar`` is dense or sparse; its zeros cost nothing. ``chunk_size`` rows of the (nodes, nodes) cosines are held at
    once: memory is then linear in the nodes, time still quadratic. Other arguments, zero rows and errors as in
    ``pamc_loss``.

    >>> round(full_graph_contrastive_loss(torch.eye(2), torch.eye(2)).item(), 4)
    0.6931
    """
    edge_index, edge_weight = _edges_of(Abar, z, exclude_self)
    attraction = log_positive_mass(z, edge_index, edge_weight, gamma, exclude_self=exclude_self)
    return reduce(log_pair_mass(z, gamma, chunk_size=chunk_size, exclude_self=exclude_self) - attraction, reduction)


def meta_nodes(z: Nodes, assignment: Assignment, *, clusters: int | None = None) -> Float[Tensor, "clusters dim"]:
    """``M_a``, the sum of the embeddings of cluster a (or its weighted sum ``Q^T z``); 0 for an empty cluster.

    ``clusters`` defaults to the largest label plus 1 (finding it waits for a GPU) or the columns of the shares.
    Half precision is computed in float32. Raises ``ValueError`` as ``pamc_loss``, and for ``clusters`` that do not fit.

    >>> meta_nodes(torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 5.0]]), torch.tensor([0, 0, 1])).tolist()
    [[3.0, 1.0], [0.0, 5.0]]
    """
    floating("z", z, 2)
    finite_contents("z", z)
    if clusters is not None:
        whole_number("clusters", clusters, 1)
    members = _checked_assignment(assignment, len(z), clusters)
    return _block_sums(z, members, clusters)[0]


def meta_node_repulsion(
    meta: Float[Tensor, "*stack clusters dim"], gamma: float = 1.0, *, exclude_self: bool = False
) -> Float[Tensor, "*stack"]:
    """``mean_a log sum_b e^{gamma cos(M_a, M_b)}`` with ``cos(M_a, M_a)`` set to 0; leading axes stack problems.

    A meta-node of 0 (an empty cluster, or members that cancel) is left out. With ``exclude_self`` and one meta-node the
    value is 0. Raises ``ValueError`` for rows that are not floating-point or (on CPU) not finite, or ``gamma`` not
    above 0.
    """
    _check_stack("meta", meta)
    positive("gamma", gamma)
    return _repulsion(meta, (meta.detach() != 0).any(-1), gamma, exclude_self)


def student_t_assignment(
    z: Float[Tensor, "*stack nodes dim"], centres: Float[Tensor, "*stack clusters dim"]
) -> Float[Tensor, "*stack nodes clusters"]:
    """Shares ``q_ik ∝ 1/(1 + ‖z_i − mu_k‖²)``, rows summing to 1.

    Raises ``ValueError`` for tensors that are not floating-point, whose shapes do not fit, or (on CPU) are not finite.
    Source: Xie, Girshick and Farhadi (2016), one degree of freedom.

    >>> student_t_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]])).numpy().round(4).tolist()
    [[0.666700005531311, 0.33329999446868896]]
    """
    _check_stack("z", z)
    _check_stack("centres", centres)
    if z.shape[:-2] != centres.shape[:-2] or z.shape[-1] != centres.shape[-1]:
        raise ValueError(
            f"z and centres must have the same stack and dim, got {tuple(z.shape)} and {tuple(centres.shape)}"
        )
    z, centres = _full(z), _full(centres)
    # Squares of differences, not the difference of squares, which cancels near a centre.
    squares = torch.cdist(z, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel = 1 / (1 + squares)
    return kernel / kernel.sum(-1, keepdim=True)


def target_distribution(q: Float[Tensor, "*stack nodes clusters"]) -> Float[Tensor, "*stack nodes clusters"]:
    """Sharpened shares ``p_ik ∝ q_ik² / sum_i q_ik`` that clustering aims at, without gradient.

    A cluster without share gets none. Raises ``ValueError`` for shares that are not floating-point or (on CPU) not
    finite or negative, or rows without any. Source: Xie, Girshick and Farhadi (2016).

    >>> target_distribution(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).numpy().round(4).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    _check_stack("q", q)
    _check_shares("q", q)
    q = _full(q.detach())
    sharpened = q.square() / q.sum(-2, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    return sharpened / sharpened.sum(-1, keepdim=True)


class PamCLoss(nn.Module):
    """``pamc_loss`` with its parameters: call it with embeddings, edges and an assignment."""

    def __init__(
        self,
        gamma: float = 1.0,
        weighting: Weighting = "none",
        positives: Literal["sparse", "dense"] = "sparse",
        *,
        exclude_self: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        positive("gamma", gamma)
        one_of("weighting", weighting, ("none", "size"))
        one_of("positives", positives, ("sparse", "dense"))
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.gamma, self.exclude_self = gamma, exclude_self
        self.weighting: Weighting = weighting
        self.positives: Literal["sparse", "dense"] = positives
        self.reduction: Reduction = reduction

    def forward(
        self, z: Nodes, edge_index: Edges, edge_weight: Float[Tensor, " edges"], assignment: Assignment
    ) -> Float[Tensor, "..."]:
        return pamc_loss(
            z, edge_index, edge_weight, assignment, self.gamma, self.weighting, self.positives,
            exclude_self=self.exclude_self, reduction=self.reduction,
        )  # fmt: skip


class FullGraphContrastiveLoss(nn.Module):
    """``full_graph_contrastive_loss`` with its parameters: call it with embeddings and an influence matrix."""

    def __init__(
        self,
        gamma: float = 1.0,
        *,
        chunk_size: int | None = None,
        exclude_self: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        positive("gamma", gamma)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        if chunk_size is not None:
            whole_number("chunk_size", chunk_size, 1)
        self.gamma, self.chunk_size, self.exclude_self = gamma, chunk_size, exclude_self
        self.reduction: Reduction = reduction

    def forward(self, z: Nodes, Abar: Float[Tensor, "nodes nodes"]) -> Float[Tensor, "..."]:
        return full_graph_contrastive_loss(
            z, Abar, self.gamma, chunk_size=self.chunk_size, exclude_self=self.exclude_self, reduction=self.reduction
        )


def _full(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _check_stack(name: str, z: Tensor) -> None:
    floating(name, z)
    if z.ndim < 2:
        raise ValueError(f"{name} must have shape (..., rows, dim), got {tuple(z.shape)}")
    finite_contents(name, z)


def _several_nodes(z: Tensor) -> None:
    floating("z", z, 2)
    if len(z) < 2:
        raise ValueError(f"z must have at least 2 nodes with exclude_self (one has no negatives), got {len(z)}")


def _check_shares(name: str, q: Tensor) -> None:
    finite_contents(name, q)
    if q.device.type == "cpu" and (q.detach().amin() < 0 or q.detach().sum(-1).amin() <= 0):
        raise ValueError(f"{name} must hold shares of at least 0, some in every row, got a least of {q.min().item():g}")


def _checked_assignment(assignment: Tensor, nodes: int, clusters: int | None = None) -> Tensor:
    """Whole-number labels (nodes,) or shares (nodes, clusters) in float32 at least."""
    if isinstance(assignment, Tensor) and assignment.is_floating_point():
        floating("assignment", assignment)
        if assignment.ndim != 2 or len(assignment) != nodes or clusters not in (None, assignment.shape[1]):
            expected = f"({nodes}, {'clusters' if clusters is None else clusters})"
            raise ValueError(f"assignment must have shape {expected}, got {tuple(assignment.shape)}")
        _check_shares("assignment", assignment)
        return _full(assignment)
    try:
        class_indices("assignment", assignment, nodes, nodes if clusters is None else clusters)
    except ValueError as error:
        raise ValueError(f"{error} (or shares of shape ({nodes}, clusters))") from None
    return assignment.long()


def _edges_of(Abar: Tensor, z: Tensor, exclude_self: bool) -> tuple[Tensor, Tensor]:
    floating("z", z, 2)
    if exclude_self:
        _several_nodes(z)
    if not isinstance(Abar, Tensor) or not Abar.is_floating_point() or Abar.shape != (len(z), len(z)):
        got = f"{Abar.dtype} of shape {tuple(Abar.shape)}" if isinstance(Abar, Tensor) else type(Abar).__name__
        raise ValueError(f"Abar must be a floating-point tensor of shape ({len(z)}, {len(z)}), got {got}")
    entries = Abar.detach().to_sparse_coo().coalesce()
    edge_index, edge_weight = entries.indices(), entries.values()
    if Abar.device.type == "cpu":
        finite_contents("Abar", edge_weight)
        counted = edge_weight > 0
        if len(counted) and edge_weight.amin() < 0:
            raise ValueError(f"Abar must be at least 0, got {edge_weight.min().item():g}")
        if exclude_self:
            counted = counted & (edge_index[0] != edge_index[1])
        if len(edge_index[0, counted].unique()) < len(z):
            raise ValueError("Abar must have a positive element in every row, off the diagonal with exclude_self")
    return edge_index, edge_weight


def _block_sums(z: Tensor, members: Tensor, clusters: int | None = None) -> tuple[Tensor, Tensor]:
    """Meta-nodes, and which clusters have members."""
    z = _full(z)
    if members.is_floating_point():
        with torch.autocast(z.device.type, enabled=False):
            return members.to(z.dtype).mT @ z, members.detach().sum(0) > 0
    count = int(members.max()) + 1 if clusters is None else clusters
    sums = z.new_zeros(count, z.shape[1]).index_add(0, members, z)
    sizes = z.new_zeros(count).index_add(0, members, z.new_ones(len(z)))
    return sums, sizes > 0


def _repulsion(meta: Tensor, present: Tensor, gamma: float, exclude_self: bool) -> Tensor:
    """Mean over present clusters of the log-mass of the present others (and of 1 for itself)."""
    u = unit_rows(meta)
    similarities = scaled_cosines(u, gamma, -torch.inf if exclude_self else 0.0)
    # A row without a finite element would have a gradient of 0/0: where nothing is left, an idle 0 is.
    counted = present[..., None, :] & present[..., :, None]
    if exclude_self:
        counted = counted & ~torch.eye(u.shape[-2], dtype=torch.bool, device=u.device)
    some = counted.any(-1)
    logits = torch.where(counted, similarities, -torch.inf)
    logits = torch.where(some[..., None], logits, 0.0)
    mass = torch.where(some, torch.logsumexp(logits, dim=-1), 0.0)
    return mass.sum(-1) / present.sum(-1).clamp_min(1)


def _size_weighted_repulsion(u: Tensor, members: Tensor, gamma: float, exclude_self: bool) -> Tensor:
    """``sum_a N_a/N log(sum_b W_ab/N_a e^{gamma s_ab} + 1)``: pairs i ≠ j of two blocks and their mean cosine."""
    sums, present = _block_sums(u, members)
    sizes, self_pairs, self_cosines = _self_pairs(u, members, len(sums))
    pairs = sizes[:, None] * sizes - self_pairs
    with torch.autocast(u.device.type, enabled=False):
        similarity = sums @ sums.mT - self_cosines
    counted = pairs > 1e-6 * sizes.sum()  # shares that are one-hot leave rounding on the diagonal of single members
    means = similarity / torch.where(counted, pairs, 1)
    safe_sizes = torch.where(present, sizes, 1)
    logits = torch.where(
        counted, gamma * means + torch.where(counted, pairs / safe_sizes[:, None], 1).log(), -torch.inf
    )
    if not exclude_self:
        logits = torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1)
    some = logits.isfinite().any(-1) & present
    mass = torch.logsumexp(torch.where(some[:, None], logits, 0.0), dim=-1)
    return (torch.where(some, mass, 0.0) * sizes).sum() / sizes.sum()


def _self_pairs(u: Tensor, members: Tensor, clusters: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sizes, and per pair of blocks how much a node shares with itself: its count and its cosine."""
    own = (u * u).sum(-1)
    if members.is_floating_point():
        shares = members.to(u.dtype)
        with torch.autocast(u.device.type, enabled=False):
            return shares.sum(0), shares.mT @ shares, shares.mT @ (shares * own[:, None])
    sizes = u.new_zeros(clusters).index_add(0, members, torch.ones_like(own))
    return sizes, sizes.diag(), u.new_zeros(clusters).index_add(0, members, own).diag()
