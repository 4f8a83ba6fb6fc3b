"""Valid calls of theory.classification.multiclass_analysis."""

import numpy as np

from theory.classification.multiclass_analysis import analyse_multiclass_loss
from theory.classification.multiclass_forms import sum_form


def hinge(z: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - z)


CALLS = {
    "analyse_multiclass_loss": {
        "loss": sum_form(hinge), "classes": 2, "betas": np.array([0.5, 1.0]), "symmetric": "check", "bound": 2.0,
    },
    "MulticlassAnalysis.inverse": {"t": 0.5},
    "MulticlassAnalysis.witness": {"beta": 0.5},
    "MulticlassAnalysis.regret": {"p": np.array([0.5, 0.5]), "scores": np.array([0.0, 1.0])},
    "MulticlassAnalysis.compare": {"closed_form": lambda beta: beta},
}  # fmt: skip
INSTANCES = {"MulticlassAnalysis": lambda: analyse_multiclass_loss(sum_form(hinge), 2, betas=(0.5, 1.0))}
ACCEPTED = {("analyse_multiclass_loss", "bound", "infinite"): "scores without a bound"}
