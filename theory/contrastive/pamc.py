"""Block contrast of a graph: meta-nodes in place of all pairs of nodes, and what that costs.

N nodes with unit embeddings z_i, influences Abar_ij between them, and a partition into K clusters with N_a members,
mean m_a and meta-node M_a = N_a m_a. With a node's cosine with itself set to 0, the all-pairs loss and its block form:

    full    mean_i [ −log sum_j Abar_ij e^{gamma cos_ij} + log sum_j e^{gamma cos_ij} ]
    PamC    mean_i [ −log sum_j Abar_ij e^{gamma cos_ij} ] + mean_a log sum_b e^{gamma cos(M_a, M_b)}

at O(N²) and O(K²) similarities in the second term. How far K² blocks stand for N² pairs:

    0 ≤ log sum_ij e^{gamma z_i·z_j} − log sum_ab N_a N_b e^{gamma m_a·m_b} ≤ min(2 gamma R, gamma² R²)

with the radius R = max_i ‖z_i − m_{c(i)}‖. The left side is Jensen's inequality in every block. On the right, a pair's
score leaves that of its block by z_i·(z_j − m_b) + (z_i − m_a)·m_b: two numbers of at most R, with means 0 over j and
over i. Their size gives 2 gamma R, Hoeffding's lemma for each gamma² R²/2. As gamma → 0 the gap over gamma² tends to
half the mean within-block variance of z_i·z_j. A linear score has no gap: z_i·z_j summed over a block is M_a·M_b.

PamC's own second term drops the sizes N_a and takes cosines of meta-nodes. ``weighting="size"`` keeps both right,
node by node: for every partition, PamC with sizes ≤ full loss ≤ PamC with sizes + 2 gamma R.

Source: Kulatilleke, Portmann and Chandra (2022), *Efficient block contrastive learning via parameter-free meta-node
approximation*: the losses and their cost. The bounds, limits and the form with sizes are derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from theory.fuzz import Bound
from theory.validation import class_labels, finite_array, one_of, positive, whole_number

__all__ = [
    "cluster_radius",
    "full_graph_contrastive_loss",
    "meta_node_gradient",
    "meta_nodes",
    "negative_proxy_gap",
    "pamc_loss",
    "proxy_bound",
    "within_block_variance",
]

Nodes = Float[np.ndarray, "nodes dim"]
Labels = Int[np.ndarray, " nodes"]
Influence = Float[np.ndarray, "nodes nodes"]


def meta_nodes(z: Nodes, labels: Labels, clusters: int | None = None) -> Float[np.ndarray, "clusters dim"]:
    """``M_a``, the sum of the embeddings of cluster a; 0 for an empty one.

    ``clusters`` defaults to the largest label plus 1. Raises ``ValueError`` for embeddings that are not finite rows,
    labels that are not one whole number in 0 … clusters − 1 per node, or more clusters than nodes without ``clusters``.

    >>> meta_nodes(np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 5.0]]), np.array([0, 0, 1])).tolist()
    [[3.0, 1.0], [0.0, 5.0]]
    """
    nodes = finite_array("z", z, 2)
    members = _members(labels, len(nodes), clusters)
    return members.T @ nodes


def full_graph_contrastive_loss(
    z: Nodes, influence: Influence, gamma: float = 1.0, exclude_self: bool = False
) -> Float[np.ndarray, " nodes"]:
    """All-pairs loss of every node, ``−log sum_j Abar_ij e^{gamma cos_ij} + log sum_j e^{gamma cos_ij}``.

    The cosine of a node with itself counts as 0, so that its terms are ``Abar_ii`` and 1; ``exclude_self`` leaves
    them out. Rows of ``z`` are normalised; a zero row has cosine 0 with all. Raises ``ValueError`` for embeddings that
    are not finite rows, an ``influence`` that is not (nodes, nodes) of at least 0 with a positive element in every row
    (off the diagonal with ``exclude_self``), or ``gamma`` not above 0.

    >>> full_graph_contrastive_loss(np.eye(2), np.eye(2)).round(4).tolist()
    [0.6931, 0.6931]
    """
    u, weights = _graph(z, influence, exclude_self)
    logits = _logits(u, positive("gamma", gamma), exclude_self)
    if exclude_self and len(u) < 2:
        raise ValueError(f"z must have at least 2 nodes with exclude_self (one has no negatives), got {len(u)}")
    return _log_mass(logits) - _log_mass(logits, weights)


def pamc_loss(
    z: Nodes,
    influence: Influence,
    labels: Labels,
    gamma: float = 1.0,
    weighting: str = "none",
    exclude_self: bool = False,
) -> Float[np.ndarray, " nodes"]:
    """PamC loss of every node: its own positive term, and the one negative term that all share.

        none    mean_a log sum_b e^{gamma cos(M_a, M_b)} over clusters that have members, cos(M_a, M_a) set to 0
        size    sum_a N_a/N log( sum_b W_ab/N_a e^{gamma s_ab} + 1 ),  W_ab pairs i ≠ j of mean cosine s_ab

    ``size`` is never above the mean of ``full_graph_contrastive_loss``, nor below it by more than ``proxy_bound``.
    ``exclude_self`` drops the diagonal's e^0 = 1 from both; where no pair is left (one cluster, ``none``) it is 0.
    Meta-nodes are sums of z under ``none``, of its normalised rows under ``size``.

    Raises ``ValueError`` as ``full_graph_contrastive_loss`` and ``meta_nodes``, and for an unknown ``weighting``.
    """
    u, weights = _graph(z, influence, exclude_self)
    positive("gamma", gamma)
    one_of("weighting", weighting, ("none", "size"))
    members = _members(labels, len(u), None)
    positives = _log_mass(_logits(u, gamma, exclude_self), weights)
    members = members[:, members.sum(0) > 0]
    if weighting == "none":
        term = _meta_node_term(members.T @ np.asarray(z, np.float64), gamma, exclude_self)
    else:
        if exclude_self and len(u) < 2:
            raise ValueError(f"z must have at least 2 nodes with exclude_self (one has no negatives), got {len(u)}")
        term = _size_weighted_term(u, members, gamma, exclude_self)
    return term - positives


def negative_proxy_gap(z: Nodes, labels: Labels, gamma: float, cosine: bool = False) -> float:
    """``log sum_ij e^{gamma z_i·z_j} − log sum_ab N_a N_b e^{gamma m_a·m_b}`` of the normalised rows of ``z``.

    Between 0 and ``proxy_bound``. With ``cosine`` the blocks are scored by the cosine of their meta-nodes instead of
    m_a·m_b, as in the authors' code; that is no longer a lower estimate. Raises ``ValueError`` as ``meta_nodes`` and
    for ``gamma`` not above 0.

    >>> negative_proxy_gap(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), np.array([0, 0, 1]), 3.0)
    0.0
    """
    u = _unit_rows(finite_array("z", z, 2))
    members = _members(labels, len(u), None)
    positive("gamma", gamma)
    gap = float(_gap(u, members, gamma, cosine=cosine))
    # Rounding may leave a difference of a few units in the last place where there is none.
    return 0.0 if abs(gap) < 1e-14 else gap


def proxy_bound(z: Nodes, labels: Labels, gamma: float, order: int = 1) -> float:
    """``2 gamma R`` (order 1) or ``gamma² R²`` (order 2), upper bounds of ``negative_proxy_gap``.

    The second is the smaller one while gamma R < 2. Raises ``ValueError`` as ``negative_proxy_gap`` and for another
    order.
    """
    whole_number("order", order, 1)
    if order > 2:
        raise ValueError(f"order must be 1 or 2, got {order}")
    radius = cluster_radius(z, labels)
    scale = positive("gamma", gamma) * radius
    return 2 * scale if order == 1 else scale**2


def cluster_radius(z: Nodes, labels: Labels) -> float:
    """``R = max_i ‖z_i − m_{c(i)}‖`` of the normalised rows. Raises ``ValueError`` as ``meta_nodes``."""
    u = _unit_rows(finite_array("z", z, 2))
    return float(_radius(u, _members(labels, len(u), None)))


def within_block_variance(z: Nodes, labels: Labels) -> float:
    """Variance of z_i·z_j within blocks, averaged over all pairs; half of it is the limit of the gap over gamma².

    Raises ``ValueError`` as ``meta_nodes``.
    """
    u = _unit_rows(finite_array("z", z, 2))
    members = _members(labels, len(u), None)
    means = _means(u, members)[0]
    own = members.argmax(1)
    deviations = u @ u.T - (means @ means.T)[own][:, own]
    return float((deviations**2).mean())


def meta_node_gradient(
    meta: Float[np.ndarray, "clusters dim"], gamma: float = 1.0, exclude_self: bool = False
) -> Float[np.ndarray, "clusters dim"]:
    """Gradient of ``mean_a log sum_b e^{gamma cos(M_a, M_b)}`` by M_a, which every member of a receives.

    With P the softmax over b in every row, the gradient by the unit vector of M_a is
    ``gamma/K sum_{b≠a} (P_ab + P_ba)`` times that of M_b; normalising projects it and divides it by ‖M_a‖. A meta-node
    of 0 has gradient 0. Raises ``ValueError`` for rows that are not finite or ``gamma`` not above 0.
    """
    rows = finite_array("meta", meta, 2)
    positive("gamma", gamma)
    unit = _unit_rows(rows)
    if exclude_self and len(unit) == 1:
        return np.zeros_like(unit)
    logits = _logits(unit, gamma, exclude_self)
    shares = np.exp(logits - _log_mass(logits)[:, None])
    np.fill_diagonal(shares, 0)
    by_unit = gamma / len(unit) * (shares + shares.T) @ unit
    tangent = by_unit - unit * (unit * by_unit).sum(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(tangent, norms, out=np.zeros_like(unit), where=norms > 0)


def _graph(z: Nodes, influence: Influence, exclude_self: bool) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = finite_array("z", z, 2), finite_array("influence", influence, 2)
    if weights.shape != (len(nodes), len(nodes)):
        raise ValueError(f"influence must have shape ({len(nodes)}, {len(nodes)}), got {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"influence must be at least 0, got {weights.min()}")
    if exclude_self:
        np.fill_diagonal(weights, 0)  # finite_array made a copy
    isolated = np.flatnonzero(weights.sum(1) == 0)
    if len(isolated):
        raise ValueError(f"influence must have a positive node in every row, row {isolated[0]} has none")
    return _unit_rows(nodes), weights


def _members(labels: Labels, nodes: int, clusters: int | None) -> np.ndarray:
    """One-hot rows."""
    if clusters is not None:
        whole_number("clusters", clusters, 1)
    checked = class_labels("labels", labels, clusters, nodes)
    count = int(checked.max()) + 1 if clusters is None else clusters
    if clusters is None and count > nodes:
        raise ValueError(f"labels must be below the number of nodes {nodes}, got {count - 1}")
    return np.eye(count)[checked]


def _unit_rows(z: np.ndarray) -> np.ndarray:
    # Squares of very small or very large elements would leave the range of the numbers.
    scale = np.abs(z).max(-1, keepdims=True)
    scaled = np.divide(z, scale, out=np.zeros_like(z), where=scale > 0)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return np.divide(scaled, norms, out=np.zeros_like(z), where=norms > 0)


def _logits(u: np.ndarray, gamma: float, exclude_self: bool) -> np.ndarray:
    logits = gamma * (u @ u.T)
    np.fill_diagonal(logits, -np.inf if exclude_self else 0.0)
    return logits


def _log_mass(logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """``log sum_j w_j e^logit_j`` of every row."""
    return np.asarray(logsumexp(logits, b=weights, axis=-1))


def _means(u: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cluster means (0 where empty) and sizes, over leading axes."""
    sizes = members.sum(-2)
    sums = np.swapaxes(members, -1, -2) @ u
    return np.divide(sums, sizes[..., None], out=np.zeros_like(sums), where=sizes[..., None] > 0), sizes


def _radius(u: np.ndarray, members: np.ndarray) -> np.ndarray:
    means, _ = _means(u, members)
    return np.asarray(np.linalg.norm(u - members @ means, axis=-1).max(-1))


def _gap(u: np.ndarray, members: np.ndarray, gamma: np.ndarray | float, *, cosine: bool) -> np.ndarray:
    """The gap over leading axes of u (..., N, d), members (..., N, K) and gamma (...)."""
    inverse_temperature = np.asarray(gamma)[..., None, None]
    means, sizes = _means(u, members)
    with np.errstate(divide="ignore"):
        log_sizes = np.log(sizes)
    centres = _unit_rows(means) if cosine else means
    blocks = inverse_temperature * (centres @ np.swapaxes(centres, -1, -2))
    blocks = blocks + log_sizes[..., :, None] + log_sizes[..., None, :]
    pairs = inverse_temperature * (u @ np.swapaxes(u, -1, -2))
    masses = [_log_mass(each.reshape(*each.shape[:-2], -1)) for each in (pairs, blocks)]
    return np.asarray(masses[0] - masses[1])


def _meta_node_term(meta: np.ndarray, gamma: float, exclude_self: bool) -> float:
    if exclude_self and len(meta) == 1:
        return 0.0
    return float(_log_mass(_logits(_unit_rows(meta), gamma, exclude_self)).mean())


def _size_weighted_term(u: np.ndarray, members: np.ndarray, gamma: float, exclude_self: bool) -> float:
    sizes, sums = members.sum(0), members.T @ u
    # Pairs of a node with itself are not pairs: N_a of them, of similarity ‖u_i‖², lie on the diagonal.
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    similarity = sums @ sums.T - np.diag(members.T @ (u * u).sum(1))
    mean = np.divide(similarity, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    weights = pairs / sizes[:, None]
    logits = gamma * mean
    if not exclude_self:
        weights = np.concatenate([weights, np.ones((len(sizes), 1))], axis=1)
        logits = np.concatenate([logits, np.zeros((len(sizes), 1))], axis=1)
    return float(sizes / sizes.sum() @ _log_mass(logits, weights))


def _sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Eight points in three dimensions around up to three centres, tight to scattered; gamma from .1 to 10."""
    labels = rng.integers(0, 3, (count, 8))
    centres = rng.standard_normal((count, 3, 3))
    spread = 10 ** rng.uniform(-2, 0.5, (count, 1, 1))
    z = np.take_along_axis(centres, labels[..., None], axis=1) + spread * rng.standard_normal((count, 8, 3))
    return {"z": z, "labels": labels, "gamma": 10 ** rng.uniform(-1, 1, count)}


def _sampled_gap(z: np.ndarray, labels: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    return _gap(_unit_rows(z), np.eye(3)[labels], gamma, cosine=False)


def _sampled_radius(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return _radius(_unit_rows(z), np.eye(3)[labels])


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "blocks never exceed all pairs", "derived (Jensen)",
        lambda z, labels, gamma: np.zeros(len(z)), _sampled_gap, _sampler,
    )  # fmt: skip
    yield Bound(
        "the gap is at most 2 gamma R", "derived",
        _sampled_gap, lambda z, labels, gamma: 2 * gamma * _sampled_radius(z, labels), _sampler,
    )  # fmt: skip
    yield Bound(
        "the gap is at most (gamma R)²", "derived (Hoeffding)",
        _sampled_gap, lambda z, labels, gamma: (gamma * _sampled_radius(z, labels)) ** 2, _sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
