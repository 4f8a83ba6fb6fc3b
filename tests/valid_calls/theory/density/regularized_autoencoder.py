"""Valid calls of theory.density.regularized_autoencoder."""

import numpy as np

from theory.density.isotropic_mixture import IsotropicMixture
from theory.density.regularized_autoencoder import AffineReconstruction

_GRID = np.linspace(-3, 3, 13)
_P = np.exp(-0.5 * _GRID**2)
_X = np.array([[0.1], [-0.4]])

CALLS = {
    "AffineReconstruction.__call__": {"x": np.eye(2)},
    "gaussian_reconstruction": {"mu": np.zeros(2), "Sigma": np.diag([1.0, 2.0]), "sigma": 0.5},
    "loss_gap_1d": {
        "grid": _GRID, "p": _P, "displacement": np.sin, "slope": np.cos, "curvature": np.sin, "sigma": 0.1,
    },
    "optimal_dae": {"p": (_GRID, _P), "x": _X, "sigma": 0.5},
    "optimal_rcae_1d": {"grid": _GRID, "p": _P, "sigma": 0.5},
    "reconstruction_expansion": {
        "density": IsotropicMixture(np.zeros((1, 1)), np.ones(1), np.ones(1)), "x": _X, "sigma": 0.1,
        "regularization": "denoising",
    },
}  # fmt: skip
INSTANCES = {"AffineReconstruction": lambda: AffineReconstruction(np.eye(2), np.zeros(2))}
TRUSTED = {
    "AffineReconstruction": "a result",
    "KnownScore": "a protocol",
    "LossGap": "a result",
}
