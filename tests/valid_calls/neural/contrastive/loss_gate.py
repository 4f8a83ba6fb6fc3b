"""Valid calls of neural.contrastive.loss_gate."""

import torch

_COS = {"cos": torch.tensor([[0.9, -0.2, 0.1], [0.3, 0.5, -0.7]]), "y": torch.tensor([0, 2])}
_MARGIN = {"margin": 0.2, "scale": 16.0}
_LOSSES = torch.tensor([0.1, 0.2, 0.15, 0.12, 0.3, 0.25, 5.0, 6.0, 7.0, 4.0, 5.5])
_P = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
_CORRECTION = {"confidence": 0.5, "sharpen": 0.1}

CALLS = {
    "aam_softmax_logits": {**_COS, **_MARGIN},
    "aam_softmax_loss": {**_COS, **_MARGIN, "reduction": "mean"},
    "fit_gaussian_pair": {"values": _LOSSES, "tolerance": 1e-6, "max_iterations": 100},
    "gaussian_crossing": {"w1": 0.6, "m1": 0.0, "s1": 1.0, "w2": 0.4, "m2": 2.0, "s2": 0.5},
    "dynamic_loss_gate": {"losses": _LOSSES},
    "loss_gate_threshold": {"losses": _LOSSES, "method": "gmm", "threshold": 2.0},
    "label_correction_targets": {"p_clean": _P, **_CORRECTION},
    "dlg_lc_loss": {**_COS, "threshold": 2.0, "p_clean": _P, **_MARGIN, **_CORRECTION, "reduction": "mean"},
    "DLGLCLoss": {
        "samples": 4, **_MARGIN, **_CORRECTION, "method": "gmm", "fixed_threshold": 2.0, "reduction": "mean",
    },
    "DLGLCLoss.forward": {**_COS, "index": torch.tensor([3, 1]), "clean_cos": _COS["cos"]},
}  # fmt: skip
ACCEPTED = {
    **{("gaussian_crossing", mean, "negative"): "means have any sign" for mean in ("m1", "m2")},
    ("dlg_lc_loss", "threshold", "infinite"): "no gate",
}
