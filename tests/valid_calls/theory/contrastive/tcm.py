"""Valid calls of theory.contrastive.tcm."""

import numpy as np

_EMBEDDINGS = {
    "z": np.array(
        [[1.0, 0.1, 0.0], [1.0, 0.3, 0.1], [0.2, 1.0, 0.3], [0.1, 1.0, 0.5], [0.4, 0.5, 1.0], [0.9, 0.2, 0.8]]
    ),
    "labels": np.array([0, 0, 1, 1, 2, 2]),
}
_SCORE = {**_EMBEDDINGS, "far": (0.1, 0.5), "c": 1.0, "strict": True}
_MARGINS = {"margin_pos": 0.9, "margin_neg": 0.5, "weight_pos": 1.0, "weight_neg": 2.0}
CALLS = {
    "utility_curves": {**_EMBEDDINGS, "thresholds": np.array([0.3, 0.8]), "c": 1.0, "strict": True},
    "calibration_range": {**_EMBEDDINGS, "far": (0.1, 0.5)},
    "opis": {**_SCORE, "n_thresholds": 11, "eps": 0.5},
    "exact_opis": {**_SCORE, "eps": 0.5},
    "class_deviations": _SCORE,
    "epsilon_opis": {"deviations": np.array([0.1, 0.2, 0.05]), "eps": 0.5},
    "histogram_opis": {**_SCORE, "bins": 50, "eps": 0.5},
    "threshold_consistent_margin_loss": {**_EMBEDDINGS, **_MARGINS},
    "tcm_pair_gradient": {"sim_pos": np.array([0.95, 0.2]), "sim_neg": np.array([0.6, -0.3, 0.1]), **_MARGINS},
    "separated_opis_bound": {"far_high": 0.1},
}
ACCEPTED = {
    ("threshold_consistent_margin_loss", "labels", "huge"): "labels are only compared",
    ("threshold_consistent_margin_loss", "labels", "one class"): "negatives are missing, their term is 0",
    ("threshold_consistent_margin_loss", "margin_neg", "negative"): "−1 is a cosine: every negative pair is hard",
    ("tcm_pair_gradient", "margin_neg", "negative"): "−1 is a cosine: every negative pair is hard",
    ("calibration_range", "labels", "huge"): "labels are only compared",
}
