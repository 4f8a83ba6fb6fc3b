"""Valid calls of neural.contrastive.pamc."""

import torch

_Z = {"z": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]])}
_EDGES = {
    "edge_index": torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 2, 0]]), "edge_weight": torch.tensor([0.5, 0.5, 0.7, 0.3, 1.0])
}  # fmt: skip
_ASSIGNMENT = {"assignment": torch.tensor([0, 1, 1])}
_ABAR = {"Abar": torch.tensor([[0.5, 0.5, 0.0], [0.3, 0.4, 0.3], [0.0, 0.5, 0.5]])}
_PAMC = {"gamma": 1.0, "weighting": "size", "positives": "sparse", "exclude_self": True, "reduction": "mean"}
_FULL = {"gamma": 1.0, "chunk_size": 2, "exclude_self": True, "reduction": "mean"}
_SHARES = torch.tensor([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])

CALLS = {
    "pamc_loss": {**_Z, **_EDGES, **_ASSIGNMENT, **_PAMC},
    "block_repulsion": {**_Z, **_ASSIGNMENT, "gamma": 1.0, "weighting": "size", "exclude_self": True},
    "full_graph_contrastive_loss": {**_Z, **_ABAR, **_FULL},
    "meta_nodes": {**_Z, "assignment": _SHARES, "clusters": 2},
    "meta_node_repulsion": {"meta": torch.tensor([[1.0, 0.2], [0.1, 1.0]]), "gamma": 1.0},
    "student_t_assignment": {**_Z, "centres": torch.tensor([[1.0, 0.0], [0.0, 1.0]])},
    "target_distribution": {"q": _SHARES},
    "PamCLoss": _PAMC,
    "PamCLoss.forward": {**_Z, **_EDGES, **_ASSIGNMENT},
    "FullGraphContrastiveLoss": _FULL,
    "FullGraphContrastiveLoss.forward": {**_Z, **_ABAR},
}
