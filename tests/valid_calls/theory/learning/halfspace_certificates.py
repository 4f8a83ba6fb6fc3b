"""Valid calls of theory.learning.halfspace_certificates."""

import numpy as np

_X = np.random.default_rng(0).normal(size=(40, 3))
_Y = np.where(_X[:, 0] < 0, -1, 1)
_W, _WEIGHTS = np.array([1.0, 0.2, 0.0]), np.full(40, 0.025)

CALLS = {
    "agnostic_angle_certificate": {"w": _W, "X": _X, "y": _Y, "sigma": 0.5, "opt_guess": 0.01},
    "angle_certificate": {"w": _W, "X": _X, "y": _Y, "sigma": 0.5, "eta": 0.1, "delta": 0.05},
    "disagreement_certificate": {"w": _W, "X": _X, "theta": 0.2, "weights": _WEIGHTS},
    "fourth_moment_bound": {"Z": _X, "weights": _WEIGHTS},
    "stationary_angle_bound": {"w": _W, "X": _X, "means": 0.8 * _Y, "sigma": 0.5, "eta": 0.1, "weights": _WEIGHTS},
}
ACCEPTED = {(name, "y", "negative"): "−1 is a label" for name in ("angle_certificate", "agnostic_angle_certificate")}
