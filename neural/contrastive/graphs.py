"""Graphs with features for contrastive clustering, and the influence of nodes on one another.

``stochastic_block_model`` generates graphs whose classes show in edges and features; ``digit_graph`` is the graph of
nearest neighbours among scikit-learn's handwritten digits, which is how image and text collections become graphs;
``social_network`` gives small real networks that ship with networkx. ``influence_matrix`` adds up the powers of a
row-normalised adjacency: who reaches whom within r steps.

    graph = stochastic_block_model(600, 5, generator=generator)
    influence = influence_matrix(normalized_adjacency(graph.edge_index, len(graph.features)), order=2)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph
from torch import Tensor

from neural.validation import at_least, finite_contents, floating, in_range, indices, one_of, whole_number

__all__ = [
    "Graph",
    "Network",
    "digit_graph",
    "influence_matrix",
    "neighbour_graph",
    "normalized_adjacency",
    "social_network",
    "stack_graphs",
    "stochastic_block_model",
]

Network = Literal["karate", "les_miserables", "davis_southern_women", "florentine_families"]
Edges = Int[Tensor, "2 edges"]


@dataclass(frozen=True)
class Graph:
    """Nodes with features and classes; undirected edges in both directions, without self-loops."""

    features: Float[Tensor, "nodes features"]
    edge_index: Edges
    labels: Int[Tensor, " nodes"]

    def influence(self, order: int = 2, cumulative: bool = True) -> Float[Tensor, "nodes nodes"]:
        """``influence_matrix`` of the normalised adjacency, sparse. Raises ``ValueError`` as ``influence_matrix``."""
        return influence_matrix(normalized_adjacency(self.edge_index, len(self.features)), order, cumulative)

    def with_shuffled_edges(self, generator: torch.Generator) -> "Graph":
        """The same nodes, edges between renamed ones: a graph that knows nothing of features or classes."""
        renamed = torch.randperm(len(self.labels), generator=generator, device=generator.device)
        return replace(self, edge_index=renamed.to(self.edge_index.device)[self.edge_index])

    def to(self, device: str) -> "Graph":
        """The same on another device."""
        return Graph(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def stochastic_block_model(
    nodes: int = 600,
    clusters: int = 5,
    p_in: float = 0.03,
    p_out: float = 0.006,
    features: int = 64,
    noise: float = 2.5,
    *,
    generator: torch.Generator,
) -> Graph:
    """A graph of equally likely classes: edges with probability ``p_in`` within a class and ``p_out`` between classes.

    Features are a standard normal mean per class plus ``noise`` times standard normal noise. Raises ``ValueError`` for
    fewer than two nodes or classes, no features, probabilities outside [0, 1] or a negative ``noise``.
    """
    for name, number, least in (("nodes", nodes, 2), ("clusters", clusters, 2), ("features", features, 1)):
        whole_number(name, number, least)
    in_range("p_in", p_in, 0, 1)
    in_range("p_out", p_out, 0, 1)
    at_least("noise", noise, 0)
    device = generator.device
    labels = torch.arange(nodes, device=device) % clusters
    same = labels[:, None] == labels
    drawn = torch.rand(nodes, nodes, generator=generator, device=device)
    upper = torch.triu(drawn < torch.where(same, p_in, p_out), diagonal=1).nonzero().T
    means = torch.randn(clusters, features, generator=generator, device=device)
    x = means[labels] + noise * torch.randn(nodes, features, generator=generator, device=device)
    return Graph(x, torch.cat([upper, upper.flip(0)], dim=1), labels)


def digit_graph(neighbours: int = 5, *, subset: Int[Tensor, " nodes"] | None = None) -> Graph:
    """Handwritten digits (pixels in [0, 1]) and the graph of their nearest neighbours, made from the features alone.

    ``subset`` picks images by number, all 1797 by default. Raises ``ValueError`` for numbers of images out of range,
    and a number of neighbours that is below 1 or not below the number of images.
    """
    pixels, classes = load_digits(return_X_y=True)
    chosen = torch.arange(len(pixels)) if subset is None else subset
    indices("subset", chosen)
    if chosen.ndim != 1 or len(chosen) == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= len(pixels):
        raise ValueError(
            f"subset must hold numbers of images in 0 … {len(pixels) - 1}, got shape {tuple(chosen.shape)}"
        )
    x = torch.tensor(pixels, dtype=torch.float32)[chosen.cpu()] / 16
    return Graph(x, neighbour_graph(x, neighbours), torch.tensor(classes)[chosen.cpu()])


def neighbour_graph(features: Float[Tensor, "nodes features"], neighbours: int) -> Edges:
    """Edges, in both directions, of every node to its nearest ``neighbours`` in Euclidean distance.

    Raises ``ValueError`` for features that are not floating-point rows or (on CPU) not finite, and a number of
    neighbours that is below 1 or not below the number of nodes.
    """
    floating("features", features, 2)
    finite_contents("features", features)
    whole_number("neighbours", neighbours, 1)
    if neighbours >= len(features):
        raise ValueError(f"neighbours must be below the number of nodes {len(features)}, got {neighbours}")
    nearest: Any = kneighbors_graph(features.detach().cpu().numpy(), neighbours)
    both = (nearest + nearest.T).tocoo()
    edges = torch.stack([torch.tensor(ends, dtype=torch.long) for ends in (both.row, both.col)])
    return edges.to(features.device)


def social_network(name: Network = "karate") -> Graph:
    """A real network that ships with networkx; its features are the rows of its adjacency with self-loops.

    ``karate`` has the two factions into which the club of Zachary (1977) split, ``davis_southern_women`` its women
    and events for classes; the others have one class. Raises ``ValueError`` for another name.

    >>> graph = social_network()
    >>> len(graph.labels), graph.edge_index.shape[1] // 2, int(graph.labels.sum())
    (34, 78, 17)
    """
    import networkx

    loaders: dict[str, Callable[[], Any]] = {
        "karate": networkx.karate_club_graph,
        "les_miserables": networkx.les_miserables_graph,
        "davis_southern_women": networkx.davis_southern_women_graph,
        "florentine_families": networkx.florentine_families_graph,
    }
    one_of("name", name, tuple(loaders))
    network = loaders[name]()
    adjacency = torch.tensor(networkx.to_numpy_array(network) > 0, dtype=torch.float32)
    classes = [str(data.get("club", data.get("bipartite", ""))) for _, data in network.nodes(data=True)]
    labels = torch.tensor([sorted(set(classes)).index(each) for each in classes])
    return Graph(adjacency + torch.eye(len(adjacency)), adjacency.nonzero().T, labels)


def stack_graphs(
    graphs: Sequence[Graph], order: int = 2, cumulative: bool = True
) -> tuple[Float[Tensor, "graphs nodes features"], Float[Tensor, "all_nodes all_nodes"]]:
    """Features of graphs of equal size as a stack, and the influence matrix of their union: block-diagonal, sparse.

    Raises ``ValueError`` for no graphs or graphs of different shapes, and as ``influence_matrix``.
    """
    if not graphs or len({graph.features.shape for graph in graphs}) > 1:
        raise ValueError(f"graphs must be at least one, with features of one shape, got {len(graphs)}")
    features = torch.stack([graph.features for graph in graphs])
    nodes = features.shape[1]
    edges = torch.cat([graph.edge_index + k * nodes for k, graph in enumerate(graphs)], dim=1)
    return features, influence_matrix(normalized_adjacency(edges, len(graphs) * nodes), order, cumulative)


def normalized_adjacency(edge_index: Edges, nodes: int) -> Float[Tensor, "nodes nodes"]:
    """``D^-1 (A + I)``, sparse: the adjacency with self-loops, rows summing to 1. Repeated edges count once.

    Raises ``ValueError`` for edges that are not (2, edges) whole numbers or (on CPU) not in 0 … nodes − 1.

    >>> normalized_adjacency(torch.tensor([[0, 1], [1, 0]]), 3).to_dense().tolist()
    [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    whole_number("nodes", nodes, 1)
    indices("edge_index", edge_index)
    if edge_index.ndim != 2 or len(edge_index) != 2:
        raise ValueError(f"edge_index must have shape (2, edges), got {tuple(edge_index.shape)}")
    if edge_index.device.type == "cpu" and edge_index.numel():
        low, high = (int(end) for end in torch.aminmax(edge_index))
        if low < 0 or high >= nodes:
            raise ValueError(f"edge_index must be in 0 … nodes − 1 = {nodes - 1}, got {low} … {high}")
    loops = torch.arange(nodes, device=edge_index.device).expand(2, nodes)
    # One number per edge: sorting numbers is far faster than sorting columns.
    numbers = (torch.cat([edge_index.long(), loops], dim=1) * loops.new_tensor([[nodes], [1]])).sum(0).unique()
    ends = torch.stack([numbers // nodes, numbers % nodes])
    degrees = torch.bincount(ends[0], minlength=nodes)
    return torch.sparse_coo_tensor(
        ends, 1 / degrees[ends[0]], (nodes, nodes), is_coalesced=True, check_invariants=False
    )


def influence_matrix(
    A: Float[Tensor, "nodes nodes"], order: int = 2, cumulative: bool = True
) -> Float[Tensor, "nodes nodes"]:
    """``A + A² + … + A^order``, or ``A^order`` alone, sparse; A is a normalised adjacency, dense or sparse.

    Rows sum to ``order`` (to 1 alone). Powers fill in: beyond order 2 most pairs of a small world reach each other.
    Raises ``ValueError`` for a matrix that is not square, floating-point and (on CPU) finite and at least 0, or an
    order below 1.

    >>> influence_matrix(torch.tensor([[0.5, 0.5], [0.0, 1.0]])).to_dense().tolist()
    [[0.75, 1.25], [0.0, 2.0]]
    """
    whole_number("order", order, 1)
    if not isinstance(A, Tensor) or not A.is_floating_point() or A.ndim != 2 or A.shape[0] != A.shape[1] or not len(A):
        got = f"{A.dtype} of shape {tuple(A.shape)}" if isinstance(A, Tensor) else type(A).__name__
        raise ValueError(f"A must be a non-empty square floating-point matrix, got {got}")
    step = A.to_sparse_coo().coalesce()
    finite_contents("A", step.values())
    if A.device.type == "cpu" and step.values().numel() and step.values().amin() < 0:
        raise ValueError(f"A must be at least 0, got {step.values().amin().item():g}")
    ends = step.indices().cpu().numpy()
    single: Any = scipy.sparse.csr_array((step.values().detach().cpu().numpy(), (ends[0], ends[1])), shape=A.shape)
    power: Any = single
    total: Any = single
    for _ in range(order - 1):
        power = power @ single
        total = total + power
    result = (total if cumulative else power).tocoo()
    ends = torch.from_numpy(np.stack([result.row, result.col]).astype(np.int64))
    values = torch.from_numpy(result.data)
    return torch.sparse_coo_tensor(ends, values, A.shape, check_invariants=False).to(A.device).coalesce()
