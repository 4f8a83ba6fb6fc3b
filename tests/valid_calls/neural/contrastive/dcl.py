"""Valid calls of neural.contrastive.dcl."""

import torch

_VIEWS = {
    "z1": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), "z2": torch.tensor([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8]]),
}  # fmt: skip
_LOSS = {"temperature": 0.1, "chunk_size": 2, "reduction": "mean"}

CALLS = {
    "info_nce_loss": {**_VIEWS, **_LOSS, "sigma": 0.5},
    "dcl_loss": {**_VIEWS, **_LOSS},
    "dclw_loss": {**_VIEWS, **_LOSS, "sigma": 0.5},
    "npc_multiplier": {**_VIEWS, "temperature": 0.1},
    "mvmf_weights": {**_VIEWS, "sigma": 0.5},
    "InfoNCELoss": _LOSS,
    "InfoNCELoss.forward": _VIEWS,
    "DCLLoss": _LOSS,
    "DCLLoss.forward": _VIEWS,
    "DCLWLoss": {**_LOSS, "sigma": 0.5},
    "DCLWLoss.forward": _VIEWS,
}
