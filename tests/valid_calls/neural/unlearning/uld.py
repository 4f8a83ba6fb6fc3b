"""Valid calls of neural.unlearning.uld."""

import torch

from neural.tiny_lm.model import TinyGPT
from neural.unlearning.uld import LogitDifferenceLM

LOGITS = torch.linspace(-1, 1, 24).reshape(2, 3, 4)
MASK = torch.tensor([[True, False], [True, True]])
MODEL = TinyGPT(5, 8, 2, 2, 6)
CALLS = {
    "logit_difference": {
        "target_logits": LOGITS, "assistant_logits": -LOGITS, "alpha": 0.5, "relative_top": 0.3, "mode": "zero",
    },
    "relative_top_mask": {"logits": LOGITS, "relative_top": 0.3},
    "uniform_loss": {"logits": LOGITS, "mask": MASK},
    "assistant_loss": {
        "forget_logps_tok": torch.tensor([[-1.0, -2.0], [-0.5, -3.0]]), "forget_mask": MASK, "retain_logits": LOGITS,
        "retain_mask": MASK, "retain_weight": 2.0,
    },
    "LogitDifferenceLM": {"target": MODEL, "assistant": MODEL, "alpha": 0.5, "relative_top": 0.3, "mode": "zero"},
    "LogitDifferenceLM.forward": {"ids": torch.tensor([[0, 1, 4], [2, 3, 3]])},
    "truncate_layers": {"model": MODEL, "n": 1},
}  # fmt: skip
TRUSTED = {"LogitDifferenceLM.generate": "sample and the models check, who call the ids by their names"}
INSTANCES = {"LogitDifferenceLM": lambda: LogitDifferenceLM(MODEL, MODEL)}
ACCEPTED = {
    ("logit_difference", "target_logits", "nan"): "NaN stays NaN, so that a loop sees it",
    ("logit_difference", "assistant_logits", "nan"): "NaN stays NaN, so that a loop sees it",
    ("logit_difference", "target_logits", "infinite"): "an excluded word has a logit of −inf",
    ("logit_difference", "assistant_logits", "infinite"): "an excluded word has a logit of −inf",
    ("relative_top_mask", "logits", "nan"): "NaN is not kept",
    ("relative_top_mask", "logits", "infinite"): "an excluded word has a logit of −inf",
}
