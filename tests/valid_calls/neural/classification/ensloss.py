"""Valid calls of neural.classification.ensloss."""

import torch

_LOGITS, _TARGET = torch.tensor([0.3, -1.0, 2.0, 0.1]), torch.tensor([0, 1, 1, 0])
_SAMPLING = {"lam": 0.5, "clip": 1.0, "tail_power": 1.0, "floor": 1e-6, "base": "normal"}
CALLS = {
    "EnsLoss": {**_SAMPLING, "resample_lam": 3},
    "EnsLoss.forward": {"logits": _LOGITS, "target": _TARGET},
    "derivative_loss": {
        "logits": _LOGITS, "target": _TARGET, "derivatives": torch.tensor([-1.0, -0.5, -0.1, -0.2]),
    },
    "inverse_box_cox": {"u": _LOGITS, "lam": 0.5},
    "margin_loss": {"name": "bce"},
    "sample_calibrated_derivatives": {"margins": _LOGITS, **_SAMPLING},
}  # fmt: skip
ACCEPTED = {
    ("EnsLoss", "lam", "negative"): "lam is any real number",
    ("inverse_box_cox", "lam", "negative"): "lam is any real number",
    ("sample_calibrated_derivatives", "lam", "negative"): "lam is any real number",
}
