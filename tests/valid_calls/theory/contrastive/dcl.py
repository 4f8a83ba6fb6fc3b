"""Valid calls of theory.contrastive.dcl."""

import numpy as np

_VIEWS = {"z1": np.array([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), "z2": np.array([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8]])}

CALLS = {
    "dcl_grad": {**_VIEWS, "temperature": 0.1, "anchor_weights": np.full((2, 3), 1.0)},
    "dcl_loss": {**_VIEWS, "temperature": 0.1},
    "dcl_loss_range": {"samples": 4, "temperature": 0.1},
    "dclw_loss": {**_VIEWS, "temperature": 0.1, "sigma": 0.5},
    "info_nce_grad": {**_VIEWS, "temperature": 0.1, "anchor_weights": np.full((2, 3), 1.0)},
    "info_nce_loss": {**_VIEWS, "temperature": 0.1},
    "mvmf_weights": {**_VIEWS, "sigma": 0.5},
    "npc_multiplier": {**_VIEWS, "temperature": 0.1},
    "npc_multiplier_range": {"samples": 4, "temperature": 0.1},
    "similarity_gradients": {
        "positives": np.array([0.5, 0.2]),
        "negatives": np.array([[0.1, 0.0], [0.3, 0.2]]),
        "temperature": 0.1,
    },
}
