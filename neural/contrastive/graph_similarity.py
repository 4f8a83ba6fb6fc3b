"""What contrastive losses of graphs are made of: the mass of a node's neighbours, and that of all nodes.

For N nodes with embeddings z_i and edges (i, j) of influence w_ij > 0,

    log_positive_mass    log sum_j w_ij e^{gamma cos_ij} over the edges of i    time O(E d), memory O(E + N d)
    log_pair_mass        log sum_j e^{gamma cos_ij} over all nodes j            time O(N² d), memory O(N²) or O(N chunk)

The cosine of a node with itself counts as 0, so that a self-loop weighs w_ii and the pair (i, i) weighs 1; with
``exclude_self`` both are left out. A zero row has cosine 0 with everything and gradient 0.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from neural.contrastive.similarity import unit_rows
from neural.validation import finite_contents, floating, in_range, indices, one_of, positive, whole_number

__all__ = ["log_pair_mass", "log_positive_mass", "scaled_cosines"]

_EDGES_AT_ONCE = 2**15


def log_positive_mass(
    z: Float[Tensor, "nodes dim"],
    edge_index: Int[Tensor, "2 edges"],
    edge_weight: Float[Tensor, " edges"],
    gamma: float = 1.0,
    method: Literal["sparse", "dense"] = "sparse",
    *,
    exclude_self: bool = False,
) -> Float[Tensor, " nodes"]:
    """``log sum_j w_ij e^{gamma cos_ij}`` over the edges of every node.

    Edge e goes from node ``edge_index[0, e]``, to whose mass it counts, to ``edge_index[1, e]``; repeated edges add up.
    ``"sparse"`` holds one number per edge and has exact first derivatives, no second ones; ``"dense"`` takes the
    cosines from one (nodes, nodes) product, which is faster where most pairs are edges. Weights carry no gradient.

    Raises ``ValueError`` for shapes that do not fit, ``gamma`` not above 0, an unknown ``method``, or (on CPU) elements
    that are not finite, edges out of range, weights below 0, and a node without an edge of positive weight
    (with ``exclude_self``, to another node); on other devices the mass of such a node is −inf.

    >>> log_positive_mass(torch.eye(2), torch.tensor([[0, 1], [0, 1]]), torch.tensor([1.0, 1.0])).tolist()
    [0.0, 0.0]
    """
    floating("z", z, 2)
    finite_contents("z", z)
    positive("gamma", gamma)
    one_of("method", method, ("sparse", "dense"))
    _check_edges(edge_index, edge_weight, len(z), exclude_self)
    sources, targets = edge_index.long()
    own = sources == targets
    u = unit_rows(z)
    weight = edge_weight.detach().to(u.dtype)
    if exclude_self:
        weight = torch.where(own, 0, weight)
    if method == "dense":
        weights = u.new_zeros(len(u), len(u)).index_put((sources, targets), weight, accumulate=True)
        return torch.logsumexp(scaled_cosines(u, gamma, 0.0) + weights.log(), dim=-1)
    cosines = torch.where(own, 0, _EdgeCosines.apply(u, sources, targets))
    return _segment_log_sum_exp(gamma * cosines + weight.log(), sources, len(u))


def log_pair_mass(
    z: Float[Tensor, "*stack nodes dim"],
    gamma: float = 1.0,
    *,
    chunk_size: int | None = None,
    exclude_self: bool = False,
) -> Float[Tensor, "*stack nodes"]:
    """``log sum_j e^{gamma cos_ij}`` over all nodes; leading axes stack independent graphs.

    Of a single graph, ``chunk_size`` rows of cosines can be held at a time, and computed once more in the backward
    pass: memory O(N (chunk_size + dim)), exact first derivatives, no second ones.

    Raises ``ValueError`` for rows that are not floating-point or (on CPU) not finite, ``gamma`` or ``chunk_size`` not
    above 0, a ``chunk_size`` for a stack, and a single node with ``exclude_self`` (it has no negatives).

    >>> log_pair_mass(torch.eye(2), exclude_self=True).tolist()
    [0.0, 0.0]
    """
    floating("z", z)
    if z.ndim < 2:
        raise ValueError(f"z must have shape (..., nodes, dim), got {tuple(z.shape)}")
    finite_contents("z", z)
    positive("gamma", gamma)
    if exclude_self and z.shape[-2] < 2:
        raise ValueError(f"z must have at least 2 nodes with exclude_self, got shape {tuple(z.shape)}")
    u, own = unit_rows(z), -torch.inf if exclude_self else 0.0
    if chunk_size is None:
        return torch.logsumexp(scaled_cosines(u, gamma, own), dim=-1)
    whole_number("chunk_size", chunk_size, 1)
    if z.ndim != 2:
        raise ValueError(f"chunk_size must be None for a stack of graphs, got {chunk_size} for shape {tuple(z.shape)}")
    return _ChunkedPairMass.apply(u, float(gamma), chunk_size, own)  # type: ignore[no-any-return]


def scaled_cosines(u: Float[Tensor, "*stack rows dim"], gamma: float, own: float) -> Float[Tensor, "*stack rows rows"]:
    """``gamma u u^T`` of unit rows with ``own`` on the diagonal, never in half precision.

    Raises ``ValueError`` for rows that are not floating-point or (on CPU) not finite, ``gamma`` not above 0, and an
    ``own`` that is not a number.
    """
    floating("u", u)
    finite_contents("u", u)
    positive("gamma", gamma)
    in_range("own", own, -torch.inf, torch.inf)
    with torch.autocast(u.device.type, enabled=False):
        similarities = (gamma * u) @ u.mT
    similarities.diagonal(dim1=-2, dim2=-1).fill_(own)
    return similarities


def _check_edges(edge_index: Tensor, edge_weight: Tensor, nodes: int, exclude_self: bool) -> None:
    indices("edge_index", edge_index)
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.shape[1] == 0:
        raise ValueError(f"edge_index must have shape (2, edges), got {tuple(edge_index.shape)}")
    floating("edge_weight", edge_weight)
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(f"edge_weight must have shape ({edge_index.shape[1]},), got {tuple(edge_weight.shape)}")
    if edge_weight.device.type != "cpu":
        return
    finite_contents("edge_weight", edge_weight)
    low, high = (int(end) for end in torch.aminmax(edge_index))
    if low < 0 or high >= nodes:
        raise ValueError(f"edge_index must be in 0 … {nodes - 1}, got {low} … {high}")
    if edge_weight.detach().amin() < 0:
        raise ValueError(f"edge_weight must be at least 0, got {edge_weight.min().item():g}")
    counted = edge_weight.detach() > 0
    if exclude_self:
        counted = counted & (edge_index[0] != edge_index[1])
    reached = torch.zeros(nodes, dtype=torch.bool)
    reached[edge_index[0, counted].long()] = True
    if not reached.all():
        node = int(reached.int().argmin())
        raise ValueError(f"edge_index must give every node an edge that counts, node {node} has none")


def _segment_log_sum_exp(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """``log sum e^value`` per segment; −inf for one without finite values."""
    detached = values.detach()
    peaks = detached.new_full((count,), -torch.inf).scatter_reduce(0, segments, detached, "amax")
    peaks = torch.where(peaks.isfinite(), peaks, 0)
    sums = values.new_zeros(count).index_add(0, segments, (values - peaks[segments]).exp())
    return sums.log() + peaks


class _EdgeCosines(torch.autograd.Function):
    """Inner products of the two ends of every edge, without keeping the gathered rows."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(u, sources, targets)
        products = u.new_empty(len(sources))
        for part in _parts(len(sources)):
            ends = u.index_select(0, sources[part]).mul_(u.index_select(0, targets[part]))
            torch.sum(ends, dim=-1, out=products[part])
        return products

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        u, sources, targets = ctx.saved_tensors
        (g,) = grad_outputs
        gradient = torch.zeros_like(u)
        for part in _parts(len(sources)):
            i, j, weight = sources[part], targets[part], g[part, None]
            gradient.index_add_(0, i, u.index_select(0, j).mul_(weight))
            gradient.index_add_(0, j, u.index_select(0, i).mul_(weight))
        return gradient, None, None


def _parts(length: int) -> Iterator[slice]:
    for start in range(0, length, _EDGES_AT_ONCE):
        yield slice(start, min(start + _EDGES_AT_ONCE, length))


class _ChunkedPairMass(torch.autograd.Function):
    """Log-mass of all pairs, a block of rows at a time.

    With ``P_ij = e^{gamma cos_ij}/mass_i`` off the diagonal and incoming gradients g, the gradient at u_i is
    ``gamma sum_j (g_i P_ij + g_j P_ji) u_j``; P_ji differs from P_ij by its mass alone, so that row i of the cosines
    is all that row i of the gradient needs.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, gamma: float, chunk_size: int, own: float) -> Tensor:
        mass = torch.cat([torch.logsumexp(s, dim=-1) for _, s in _row_blocks(u, gamma, chunk_size, own)])
        ctx.save_for_backward(u, mass)
        ctx.gamma, ctx.chunk_size = gamma, chunk_size
        return mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        u, mass = ctx.saved_tensors
        (g,) = grad_outputs
        gradient = torch.empty_like(u)
        # Without gradient the diagonal is as if it were not there, whatever its value.
        for rows, similarities in _row_blocks(u, ctx.gamma, ctx.chunk_size, -torch.inf):
            weights = (similarities - mass[rows, None]).exp_().mul_(g[rows, None])
            weights += similarities.sub_(mass).exp_().mul_(g)
            torch.mm(weights, u, out=gradient[rows])
        return gradient.mul_(ctx.gamma), None, None, None


def _row_blocks(u: Tensor, gamma: float, chunk_size: int, own: float) -> Iterator[tuple[slice, Tensor]]:
    with torch.autocast(u.device.type, enabled=False):
        for start in range(0, len(u), chunk_size):
            rows = slice(start, min(start + chunk_size, len(u)))
            similarities = (u[rows] @ u.T).mul_(gamma)
            similarities.diagonal(start).fill_(own)
            yield rows, similarities
