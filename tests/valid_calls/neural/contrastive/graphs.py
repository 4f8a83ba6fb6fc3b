"""Valid calls of neural.contrastive.graphs."""

import torch

from neural.contrastive.graphs import Graph
from tests.bad_inputs import Fresh

_EDGES = {"edge_index": torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])}


def _graph() -> Graph:
    return Graph(torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.tensor([0, 0, 1]))


CALLS = {
    "Graph.influence": {"order": 2, "cumulative": True},
    "Graph.with_shuffled_edges": {"generator": Fresh(lambda: torch.Generator().manual_seed(0))},
    "Graph.to": {"device": "cpu"},
    "stochastic_block_model": {
        "nodes": 20, "clusters": 3, "p_in": 0.3, "p_out": 0.1, "features": 4, "noise": 1.0,
        "generator": Fresh(lambda: torch.Generator().manual_seed(0)),
    },
    "digit_graph": {"neighbours": 2, "subset": torch.tensor([3, 5, 8, 13])},
    "neighbour_graph": {"features": torch.tensor([[0.0], [1.0], [3.0]]), "neighbours": 1},
    "social_network": {"name": "karate"},
    "stack_graphs": {"graphs": [_graph(), _graph()], "order": 1, "cumulative": True},
    "normalized_adjacency": {**_EDGES, "nodes": 3},
    "influence_matrix": {"A": torch.tensor([[0.5, 0.5], [0.2, 0.8]]), "order": 2, "cumulative": True},
}  # fmt: skip
INSTANCES = {"Graph": _graph}
