"""Valid calls of theory.classification.calibrated_derivatives."""

import numpy as np

from theory.classification.calibrated_derivatives import MARGIN_LOSSES

_HINGE = MARGIN_LOSSES["hinge"]
CALLS = {
    "bounded_below": {"phi_prime": _HINGE.derivative},
    "conditional_minimizer": {"phi": _HINGE.value, "eta": np.array([0.3, 0.8])},
    "is_calibrated": {"phi_prime": _HINGE.derivative},
    "psi_closed_form": {"name": "hinge", "theta": np.array([0.3, 0.8])},
    "psi_transform": {"phi": _HINGE.value, "theta": np.array([0.3, 0.8])},
    "tail_integral": {"phi_prime": _HINGE.derivative, "upper": 10.0},
    "tail_loss": {"tail_power": 2.0},
}
