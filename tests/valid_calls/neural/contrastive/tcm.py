"""Valid calls of neural.contrastive.tcm."""

import torch

_BATCH = {"z": torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), "labels": torch.tensor([0, 0, 1])}
_REFERENCE = {
    "reference": torch.tensor([[0.9, 0.1], [0.2, 1.1], [1.0, 0.8], [0.3, 0.3]]),
    "reference_labels": torch.tensor([0, 1, 1, 0]),
}
_SETTINGS = {
    "margin_pos": 0.9, "margin_neg": 0.5, "weight_pos": 1.0, "weight_neg": 2.0, "chunk_size": 2, "reduction": "mean",
}  # fmt: skip
CALLS = {
    "threshold_consistent_margin_loss": {**_BATCH, **_REFERENCE, **_SETTINGS},
    "TCMLoss": _SETTINGS,
    "TCMLoss.forward": {**_BATCH, **_REFERENCE},
}
_LABELS = "labels are only compared"
ACCEPTED = {
    (name, argument, mutation): reason
    for name in ("threshold_consistent_margin_loss", "TCMLoss.forward")
    for argument, mutation, reason in (
        ("labels", "huge", _LABELS),
        ("reference_labels", "huge", _LABELS),
        ("labels", "one class", "negatives are missing, their term is 0"),
    )
} | {
    (name, "margin_neg", "negative"): "−1 is a cosine: every negative pair is hard"
    for name in ("threshold_consistent_margin_loss", "TCMLoss")
}
