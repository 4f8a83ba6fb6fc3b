"""Valid calls of theory.classification.ensloss."""

import numpy as np

from theory.classification.calibrated_derivatives import MARGIN_LOSSES

_MARGINS = np.array([-1.0, 0.5, 2.0])
_HINGE = MARGIN_LOSSES["hinge"]
CALLS = {
    "bounded_below": {"phi_prime": _HINGE.derivative},
    "calibrated_derivatives": {
        "margins": _MARGINS, "magnitudes": np.array([0.3, 2.0, 0.7]), "clip": 1.0, "tail_power": 1.0, "floor": 1e-6,
    },
    "conditional_minimizer": {"phi": _HINGE.value, "eta": np.array([0.3, 0.8])},
    "expected_derivatives": {"batch_size": 4, "lam": 0.5, "clip": 1.0, "base": "normal"},
    "interpolating_loss": {"margins": _MARGINS, "derivatives": np.array([-1.0, -0.5, -0.5])},
    "inverse_box_cox": {"u": np.array([-1.0, 0.5]), "lam": 0.5},
    "is_calibrated": {"phi_prime": _HINGE.derivative},
    "limiting_derivative": {"rank": np.array([0.1, 0.9]), "lam": 0.5, "clip": 1.0, "base": "exponential"},
    "mixture": {"losses": [_HINGE, MARGIN_LOSSES["bce"]], "weights": np.array([0.5, 0.5])},
    "psi_transform": {"phi": _HINGE.value, "theta": np.array([0.3, 0.8])},
    "sample_calibrated_derivatives": {
        "margins": _MARGINS, "lam": 0.5, "clip": 1.0, "tail_power": 1.0, "floor": 1e-6, "base": "normal",
        "rng": np.random.default_rng(0),
    },
}  # fmt: skip
ACCEPTED = {
    ("calibrated_derivatives", "magnitudes", "infinite"): "a draw at lam < 0 may be infinite, and is cut at clip",
    ("expected_derivatives", "lam", "negative"): "lam is any real number",
    ("inverse_box_cox", "lam", "negative"): "lam is any real number",
    ("limiting_derivative", "lam", "negative"): "lam is any real number",
    ("sample_calibrated_derivatives", "lam", "negative"): "lam is any real number",
}
