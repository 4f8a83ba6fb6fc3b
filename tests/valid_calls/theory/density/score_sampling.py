"""Valid calls of theory.density.score_sampling."""

import numpy as np

from tests.bad_inputs import Fresh


def _shrink(x):
    return 0.99 * x


_X = np.array([[0.1, 0.2], [-0.4, 0.3]])

CALLS = {
    "approximate_mh": {
        "reconstruct": _shrink, "x0": _X, "sigma": 0.1, "step": 0.3, "steps": 2,
        "rng": Fresh(lambda: np.random.default_rng(0)),
    },
    "log_density_difference": {"reconstruct": _shrink, "x0": _X, "x1": _X + 0.1, "sigma": 0.1, "n_points": 6},
    "loop_integral": {"reconstruct": _shrink, "corners": np.stack([_X, _X, _X], axis=1), "sigma": 0.1, "n_points": 6},
    "stationary_points": {
        "score": np.sin, "starts": _X, "jacobian": lambda x: np.cos(x)[:, :, None] * np.eye(2), "tolerance": 1e-6,
        "merge": 1e-3,
    },
}  # fmt: skip
