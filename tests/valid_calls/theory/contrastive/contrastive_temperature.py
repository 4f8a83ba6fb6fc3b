"""Valid calls of theory.contrastive.contrastive_temperature."""

import numpy as np

_NEGATIVES = {"sim_neg": np.array([[0.1, 0.4, -0.2], [0.6, 0.0, 0.3]])}
_SIMILARITIES = {"sim_pos": np.array([0.9, 0.5]), **_NEGATIVES}
_EMBEDDINGS = np.array([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]])

CALLS = {
    "contrastive_loss": {**_SIMILARITIES, "temperature": 0.1, "hard_fraction": 0.5},
    "simple_contrastive_loss": {**_SIMILARITIES, "weight": 1.0, "top_k": 2},
    "contrastive_loss_grad": {**_SIMILARITIES, "temperature": 0.1, "hard_fraction": 0.5},
    "relative_penalties": {**_NEGATIVES, "temperature": 0.1, "top_k": 2},
    "penalty_entropy": {**_NEGATIVES, "temperature": 0.1, "hard_fraction": 0.5},
    "penalty_entropy_slope": {**_NEGATIVES, "temperature": 0.1, "top_k": 2},
    "small_temperature_limit": _SIMILARITIES,
    "small_temperature_error_bound": {"negatives": 9, "temperature": 0.1},
    "large_temperature_expansion": {**_SIMILARITIES, "temperature": 10.0, "order": 2},
    "large_temperature_error_bound": {**_SIMILARITIES, "temperature": 10.0, "order": 2},
    "uniformity": {"z": _EMBEDDINGS, "t": 2.0},
    "tolerance": {"z": _EMBEDDINGS, "labels": np.array([0, 1, 1])},
}
ACCEPTED = {("tolerance", "labels", "huge"): "a class may have any number"}
