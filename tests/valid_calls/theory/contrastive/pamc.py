"""Valid calls of theory.contrastive.pamc."""

import numpy as np

_Z = {"z": np.array([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]])}
_LABELS = {"labels": np.array([0, 1, 1])}
_INFLUENCE = {"influence": np.array([[0.5, 0.5, 0.0], [0.3, 0.4, 0.3], [0.0, 0.5, 0.5]])}

CALLS = {
    "meta_nodes": {**_Z, **_LABELS, "clusters": 2},
    "full_graph_contrastive_loss": {**_Z, **_INFLUENCE, "gamma": 1.0, "exclude_self": True},
    "pamc_loss": {**_Z, **_INFLUENCE, **_LABELS, "gamma": 1.0, "weighting": "size", "exclude_self": True},
    "negative_proxy_gap": {**_Z, **_LABELS, "gamma": 1.0, "cosine": False},
    "proxy_bound": {**_Z, **_LABELS, "gamma": 1.0, "order": 2},
    "cluster_radius": {**_Z, **_LABELS},
    "within_block_variance": {**_Z, **_LABELS},
    "meta_node_gradient": {"meta": np.array([[1.0, 0.2], [0.1, 1.0]]), "gamma": 1.0},
}
