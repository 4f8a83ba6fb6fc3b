"""Densities whose score is known exactly, for whatever estimates one."""

import numpy as np

from theory.density.isotropic_mixture import IsotropicMixture

__all__ = ["BIMODAL", "KNOWN_SCORES", "TRIMODAL", "random_mixture"]

BIMODAL = IsotropicMixture(np.array([[-1.2], [1.0]]), np.array([0.5, 0.4]), np.array([0.4, 0.6]))
"""On a line, its two modes well apart."""

TRIMODAL = IsotropicMixture(
    np.array([[-1.2, -0.6], [1.2, -0.6], [0.0, 1.2]]), np.full(3, 0.3), np.array([0.5, 0.3, 0.2])
)
"""In the plane: three modes, three saddles and a minimum between them."""


def random_mixture(dim: int, rng: np.random.Generator) -> IsotropicMixture:
    """Two to four components within [-2, 2]^dim, with standard deviations 0.3 … 0.8."""
    components = int(rng.integers(2, 5))
    means, stds = rng.uniform(-2, 2, (components, dim)), rng.uniform(0.3, 0.8, components)
    return IsotropicMixture(means, stds, rng.dirichlet(np.full(components, 3.0)))


def _spiral(nodes: int = 600) -> IsotropicMixture:
    """Angle 3 pi sqrt(U), radius a sixth of the angle, noise 0.05: by a rule in U with nodes closer than the noise."""
    angle = 3 * np.pi * np.sqrt((np.arange(nodes) + 0.5) / nodes)
    points = (angle / 6)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return IsotropicMixture(points, np.full(nodes, 0.05), np.full(nodes, 1 / nodes))


KNOWN_SCORES = {"three modes": TRIMODAL, "spiral": _spiral()}
"""Densities in the plane that networks are trained on; all lie within [-2, 2]^2, but for tails."""
