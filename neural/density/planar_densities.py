"""Laws in the plane to learn: samplers with their exact log-densities, so that the distance from the truth is known.

    x = planar_sample("rings", 1000, generator)
    planar_log_density("rings", x).mean()              # minus the entropy, up to the noise of the sample

All lie within |x| < 5. *pinwheel* and *spirals* are mixtures of Gaussians, twisted: a rotation by an angle that depends
on the radius alone keeps areas, so that the density is the mixture's at the untwisted point.
"""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from neural.validation import finite_contents, floating, one_of, whole_number

__all__ = ["PlanarDensity", "planar_log_density", "planar_sample"]

PlanarDensity = Literal["rings", "checkerboard", "eight Gaussians", "pinwheel", "spirals", "wave"]

_RADII, _RING_WIDTH = (1.0, 2.0, 3.0), 0.1
_HALF_SIDE = 4.0  # of the checkerboard's four by four fields
_WAVE_REACH, _WAVE_WIDTH = 3.5, 0.2
_NORMAL = math.log(2 * math.pi) / 2


def planar_sample(name: PlanarDensity, count: int, generator: torch.Generator) -> Float[Tensor, "count 2"]:
    """``count`` independent points. Raises ``ValueError`` for an unknown name, count below 1 or no generator.

    >>> planar_sample("rings", 3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """
    one_of("name", name, get_args(PlanarDensity))
    whole_number("count", count, 1)
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
    device = generator.device
    normal = torch.randn(count, 2, generator=generator, device=device)
    uniform = torch.rand(count, 2, generator=generator, device=device)
    pick = torch.rand(count, generator=generator, device=device)
    if name == "rings":
        radii = torch.tensor(_RADII, device=device)
        # As many points per length of every ring.
        chosen = torch.searchsorted(radii.cumsum(0) / radii.sum(), pick).clamp(max=len(radii) - 1)
        return _polar(radii[chosen] + _RING_WIDTH * normal[:, 0], 2 * math.pi * uniform[:, 0])
    if name == "checkerboard":
        column, row = torch.floor(pick * 4), torch.floor(uniform[:, 0] * 2)
        inside = torch.stack([uniform[:, 1], torch.rand(count, generator=generator, device=device)], dim=1)
        corner = torch.stack([column, 2 * row + column % 2], dim=1)
        return (corner + inside) * (_HALF_SIDE / 2) - _HALF_SIDE
    if name == "wave":
        first = (2 * uniform[:, 0] - 1) * _WAVE_REACH
        return torch.stack([first, 1.5 * torch.sin(2 * first) + _WAVE_WIDTH * normal[:, 0]], dim=1)
    arms, distance, along, across, twist = _ARMS[name]
    angle = torch.floor(pick * arms) * (2 * math.pi / arms)
    x = _rotated(torch.stack([distance + along * normal[:, 0], across * normal[:, 1]], dim=1), angle)
    return _rotated(x, twist * x.norm(dim=1))


def planar_log_density(name: PlanarDensity, x: Float[Tensor, "points 2"]) -> Float[Tensor, " points"]:
    """Exact log-density, ``−inf`` where there is none. Raises ``ValueError`` for an unknown name or x of another shape.

    >>> round(planar_log_density("checkerboard", torch.tensor([[-3.0, -3.0]])).item(), 4)
    -3.4657
    """
    one_of("name", name, get_args(PlanarDensity))
    floating("x", x, 2)
    if x.shape[1] != 2:
        raise ValueError(f"x must have shape (points, 2), got {tuple(x.shape)}")
    finite_contents("x", x)
    if name == "rings":
        radii, r = torch.tensor(_RADII, dtype=x.dtype, device=x.device), x.norm(dim=1).clamp_min(1e-30)
        # A radius drawn below 0 is a point on the other side.
        both = torch.stack([r, -r], dim=1)[:, :, None] - radii
        parts = -((both / _RING_WIDTH) ** 2) / 2 - math.log(_RING_WIDTH) - _NORMAL + (radii / radii.sum()).log()
        return parts.flatten(1).logsumexp(1) - math.log(2 * math.pi) - r.log()
    if name == "checkerboard":
        field = torch.floor((x + _HALF_SIDE) / (_HALF_SIDE / 2))
        dark = ((field >= 0) & (field < 4)).all(1) & (field.sum(1) % 2 == 0)
        return torch.where(dark, -math.log(2 * _HALF_SIDE**2), -math.inf)
    if name == "wave":
        off = (x[:, 1] - 1.5 * torch.sin(2 * x[:, 0])) / _WAVE_WIDTH
        level = -(off**2) / 2 - math.log(_WAVE_WIDTH) - _NORMAL - math.log(2 * _WAVE_REACH)
        return torch.where(x[:, 0].abs() <= _WAVE_REACH, level, -math.inf)
    arms, distance, along, across, twist = _ARMS[name]
    untwisted = _rotated(x, -twist * x.norm(dim=1))
    parts = []
    for arm in range(arms):
        local = _rotated(untwisted, torch.full_like(x[:, 0], -2 * math.pi * arm / arms))
        squares = ((local[:, 0] - distance) / along) ** 2 + (local[:, 1] / across) ** 2
        parts.append(-squares / 2 - math.log(along * across) - 2 * _NORMAL - math.log(arms))
    return torch.stack(parts).logsumexp(0)


_ARMS = {
    "eight Gaussians": (8, 2.8, 0.3, 0.3, 0.0),
    "pinwheel": (5, 2.0, 0.6, 0.15, 0.6),
    "spirals": (2, 2.0, 0.7, 0.15, 1.2),
}
"""Number of Gaussians, distance from the origin, standard deviations along and across the ray, twist per radius."""


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _rotated(x: Tensor, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], dim=1)
