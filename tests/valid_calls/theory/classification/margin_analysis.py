"""Valid calls of theory.classification.margin_analysis."""

import numpy as np

from theory.classification.margin_analysis import analyse_margin_loss


def hinge(z: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - z)


CALLS = {
    "analyse_margin_loss": {"phi": hinge, "bound": 2.0, "thetas": 11},
    "margin_grid": {"bound": 2.0},
    "margin_values": {"phi": hinge, "z": np.array([-1.0, 2.0])},
    "MarginAnalysis.transform": {"theta": 0.5},
    "MarginAnalysis.inverse": {"t": 0.5},
    "MarginAnalysis.witness": {"theta": 0.5},
    "MarginAnalysis.regret": {"theta": 0.5, "margin": 1.0},
    "MarginAnalysis.minimal_risk": {"theta": 0.5},
    "MarginAnalysis.compare": {"closed_form": lambda theta: theta},
}
INSTANCES = {"MarginAnalysis": lambda: analyse_margin_loss(hinge, thetas=5)}
ACCEPTED = {
    ("analyse_margin_loss", "bound", "infinite"): "margins without a bound",
    ("margin_grid", "bound", "infinite"): "margins without a bound",
    ("MarginAnalysis.regret", "margin", "negative"): "a margin is any real number",
}
