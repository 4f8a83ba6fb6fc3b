"""Valid calls of theory.classification.known_calibration."""

import numpy as np

from theory.classification.known_calibration import margin_loss_table
from theory.classification.margin_analysis import analyse_margin_loss

HINGE = next(margin_loss_table())
CALLS = {
    "multiclass_loss_table": {"classes": 3},
    "compare_with_known": {"analysis": analyse_margin_loss(HINGE.loss, thetas=5)},
    "bounded_ce_ambiguity": {"n": 3, "B": 1.0},
    "bounded_ce_calibration": {"beta": np.array([0.1, 0.5]), "n": 3, "B": 1.0},
    "small_beta_constant": {"loss": "sum of squared hinges", "n": 3},
    "weston_watkins_dead_zone": {"n": 3},
    "linear_score_bound": {"W": 1.0, "B0": 0.3, "min_norm": 0.5},
    "one_hidden_layer_score_bound": {"Lam": 1.0, "W": 1.0, "B0": 0.3, "min_norm": 0.5},
    "KnownMarginLoss.transform": {"theta": np.array([0.1, 0.5]), "bound": 2.0},
}
INSTANCES = {"KnownMarginLoss": lambda: HINGE}
ACCEPTED = {
    ("KnownMarginLoss.transform", "bound", "infinite"): "margins without a bound",
    ("KnownMarginLoss.transform", "theta", "extra dimension"): "any shape",
}
