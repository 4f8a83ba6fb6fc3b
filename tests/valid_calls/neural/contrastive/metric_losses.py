"""Valid calls of neural.contrastive.metric_losses."""

import torch

_BATCH = {"z": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0], [0.3, 0.1]]), "labels": torch.tensor([0, 0, 1, 1])}
_PROXIES = {"proxies": torch.tensor([[1.0, 0.1], [0.2, 1.1], [0.5, 0.5]])}
CALLS = {
    "cosine_softmax_loss": {**_BATCH, **_PROXIES, "temperature": 0.1, "reduction": "mean"},
    "arcface_loss": {**_BATCH, **_PROXIES, "margin": 0.5, "scale": 16.0, "reduction": "mean"},
    "proxy_anchor_loss": {**_BATCH, **_PROXIES, "margin": 0.1, "scale": 32.0},
    "supcon_loss": {**_BATCH, "temperature": 0.1, "reduction": "mean"},
    "smooth_ap_loss": {**_BATCH, "temperature": 0.1, "reduction": "mean"},
}
ACCEPTED = {
    **{(name, "labels", "one class"): "one class is a batch like any other" for name in CALLS},
    **{(name, "labels", "huge"): "labels are only compared" for name in ("supcon_loss", "smooth_ap_loss")},
}
