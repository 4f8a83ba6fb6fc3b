"""Curves and surfaces that data can live on, as images of the unit interval or square."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LATENT_DIMENSION", "SUPPORTS", "embedded"]

Support = Callable[[Float[Tensor, "points latent"]], Float[Tensor, "points dim"]]


def _circle(z: Tensor) -> Tensor:
    angle = 2 * torch.pi * z[:, 0]
    return torch.stack([angle.cos(), angle.sin()], -1)


def _figure_eight(z: Tensor) -> Tensor:
    angle = 2 * torch.pi * z[:, 0]
    return torch.stack([angle.sin(), (2 * angle).sin()], -1)


def _swiss_roll(z: Tensor) -> Tensor:
    angle = 1.5 * torch.pi * (1 + 2 * z[:, 0])
    return torch.stack([angle * angle.cos() / 10, 2 * z[:, 1] - 1, angle * angle.sin() / 10], -1)


def _torus(z: Tensor) -> Tensor:
    around, across = 2 * torch.pi * z[:, 0], 2 * torch.pi * z[:, 1]
    radius = 1 + 0.4 * across.cos()
    return torch.stack([radius * around.cos(), radius * around.sin(), 0.4 * across.sin()], -1)


SUPPORTS: dict[str, Support] = {
    "circle": _circle, "figure-eight": _figure_eight, "Swiss roll": _swiss_roll, "torus": _torus,
}  # fmt: skip
LATENT_DIMENSION = {"circle": 1, "figure-eight": 1, "Swiss roll": 2, "torus": 2}


def embedded(points: Float[Tensor, "points dim"], dim: int, seed: int) -> Float[Tensor, "points space"]:
    """The same points in ``dim`` dimensions, along random orthonormal directions: no distance changes."""
    frame = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, points.shape[1])))[0]
    return points @ torch.as_tensor(frame.T, dtype=points.dtype, device=points.device)
