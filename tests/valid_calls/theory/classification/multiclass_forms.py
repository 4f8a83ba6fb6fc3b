"""Valid calls of theory.classification.multiclass_forms."""

import numpy as np


def hinge(z: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - z)


CALLS = {
    "comp_sum_form": {"Phi": np.log1p},
    "sum_form": {"phi": hinge},
    "max_form": {"phi": hinge},
    "constrained_form": {"phi": hinge},
    "one_vs_rest_form": {"phi": hinge},
}
