"""Valid calls of theory.density.isotropic_mixture."""

import numpy as np

from tests.bad_inputs import Fresh

_X = {"x": np.array([[0.1, 0.2], [-0.4, 0.3]])}

CALLS = {
    "IsotropicMixture": {
        "means": np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), "stds": np.array([0.5, 0.4, 0.3]),
        "weights": np.array([0.3, 0.3, 0.4]),
    },
    "IsotropicMixture.log_density": _X,
    "IsotropicMixture.sample": {"count": 3, "rng": Fresh(lambda: np.random.default_rng(0))},
    "IsotropicMixture.score": _X,
    "IsotropicMixture.score_jacobian": _X,
    "IsotropicMixture.score_laplacian": _X,
    "IsotropicMixture.smoothed": {"sigma": 0.1},
}  # fmt: skip
