"""Valid calls of theory.learning.halfspace_surrogate."""

import numpy as np

_X = np.random.default_rng(0).normal(size=(20, 3))
_Y = np.where(_X[:, 0] < 0, -1, 1)
_W, _WEIGHTS = np.array([1.0, 0.2, 0.0]), np.full(20, 0.05)

CALLS = {
    "localized_sgd": {
        "X": _X, "y": _Y, "sigmas": np.array([0.8, 0.4]), "start": _W, "steps": 5, "batch_size": 8, "seed": 1,
        "weights": _WEIGHTS,
    },
    "ramp_grad": {"w": _W, "X": _X, "y": _Y, "sigma": 0.5, "weights": _WEIGHTS},
    "ramp_loss": {"w": _W, "X": _X, "y": _Y, "sigma": 0.5, "weights": _WEIGHTS},
    "triangle_kernel": {"t": np.array([0.1, -0.2]), "sigma": 0.5},
}  # fmt: skip
ACCEPTED = {(name, "y", "negative"): "−1 is a label" for name in ("localized_sgd", "ramp_grad", "ramp_loss")} | {
    (name, "y", "one class"): "0 is a conditional mean" for name in ("localized_sgd", "ramp_grad", "ramp_loss")
}
ACCEPTED |= {("localized_sgd", "seed", "zero"): "a seed may be 0"}
