"""Energy networks trained in lockstep, the noise that they are tilts of, and the integral that normalises them.

A tilt writes an unnormalised density as ``p0 = q e^f`` with a law q that can be sampled and a network f: then
``log(p0/q) = f`` is all that any objective needs, and p0 has the tails of q. Networks have a leading axis:
``models`` of them share nothing but the calls.

    noise = GaussianNoise(torch.tensor([2.0, 3.0]), dim=2)                 # one scale per model
    network = EnergyEnsemble(2, inputs=2, width=64, generator=generator)
    log_z = log_partition_grid(lambda x: network(x) + noise.log_prob(x), [(-6, 6), (-6, 6)], 200)
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.validation import finite_contents, floating, positive, whole_number

__all__ = ["EnergyEnsemble", "EnsembleAdam", "GaussianNoise", "log_partition_grid"]

_CHUNK = 2**14


class EnergyEnsemble(nn.Module):
    """``models`` perceptrons with SiLU: from points (models, batch, inputs) to f (models, batch); all start equal.

    Args:
        models, inputs, width: how many networks, dimensions of a point, units per hidden layer.
        generator: draws the initial weights, and decides the device.
        hidden: hidden layers.
        frequencies: if above 0, the first layer sees ``cos(x Omega), sin(x Omega)`` instead of x, Omega fixed with that
            many columns: in few dimensions, fine structure is then learnt in hundreds of steps instead of tens of
            thousands (Rahimi and Recht 2007 on such features).
        bandwidth: standard deviation of Omega, in radians per unit of x.

    Raises ``ValueError`` for numbers out of their range and for points of another shape, or (on CPU) not finite.
    """

    def __init__(
        self,
        models: int,
        inputs: int,
        width: int,
        generator: torch.Generator,
        *,
        hidden: int = 2,
        frequencies: int = 0,
        bandwidth: float = 2.0,
    ) -> None:
        super().__init__()
        for name, number in (("models", models), ("inputs", inputs), ("width", width), ("hidden", hidden)):
            whole_number(name, number, 1)
        whole_number("frequencies", frequencies, 0)
        positive("bandwidth", bandwidth)
        if not isinstance(generator, torch.Generator):
            raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
        self.models, self.inputs = models, inputs
        omega = bandwidth * torch.randn(inputs, frequencies, generator=generator, device=generator.device)
        self.register_buffer("omega", omega)
        sizes = [2 * frequencies or inputs, *[width] * hidden]
        self.layers = nn.ModuleList(EnsembleLinear(models, i, o, generator) for i, o in pairwise(sizes))
        self.last = EnsembleLinear(models, width, 1, generator)

    omega: Tensor

    def forward(self, x: Float[Tensor, "... batch inputs"]) -> Float[Tensor, "models batch"]:
        """Points may lack the models' axis: then every model is given the same."""
        floating("x", x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.inputs or x.shape[:-2] not in ((), (1,), (self.models,)):
            raise ValueError(f"x must have shape ({self.models}, batch, {self.inputs}), got {tuple(x.shape)}")
        finite_contents("x", x)
        if self.omega.shape[1]:
            x = torch.cat([(x @ self.omega).cos(), (x @ self.omega).sin()], dim=-1)
        x = x.expand(self.models, *x.shape[-2:])
        for layer in self.layers:
            x = F.silu(layer(x))
        return self.last(x).squeeze(-1)


class GaussianNoise:
    """q = N(0, scale² I) in ``dim`` dimensions; a tensor of scales makes one law per model.

    Raises ``ValueError`` for a scale that is not above 0 or dim below 1.
    """

    def __init__(self, scale: float | Float[Tensor, " models"], dim: int) -> None:
        whole_number("dim", dim, 1)
        if isinstance(scale, Tensor):
            floating("scale", scale, 1)
            finite_contents("scale", scale)
            if scale.device.type == "cpu" and float(scale.min()) <= 0:
                raise ValueError(f"scale must be above 0, got {float(scale.min())}")
            self._scale = scale[:, None, None]
        else:
            positive("scale", scale)
            self._scale = torch.tensor(scale)
        self.scale, self.dim = scale, dim

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "*models count dim"]:
        """``count`` points; the laws of several models get the same draws, each times its scale."""
        whole_number("count", count, 1)
        if not isinstance(generator, torch.Generator):
            raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
        standard = torch.randn(count, self.dim, generator=generator, device=generator.device)
        return self._scale.to(standard.device) * standard

    def log_prob(self, x: Float[Tensor, "... batch dim"]) -> Float[Tensor, "... batch"]:
        """``−|x|²/(2 scale²) − dim log(scale √(2 pi))``; x without models' axis is given to every law."""
        floating("x", x)
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"x must have shape (..., batch, {self.dim}), got {tuple(x.shape)}")
        finite_contents("x", x)
        scale = self._scale.to(x.device, x.dtype)
        squares = (x / scale).square().sum(-1) / 2
        return -squares - self.dim * (scale.log().reshape(-1, 1) if scale.ndim else scale.log()) - self._level

    @property
    def _level(self) -> float:
        return self.dim * math.log(2 * math.pi) / 2


class EnsembleAdam:
    """Adam (Kingma and Ba 2015, in the form with one corrected step size) with a learning rate per model.

    ``clip_norm`` limits the Euclidean norm of each model's gradient. ``unit`` makes each model's gradient of norm 1
    first: normalised gradient descent, for losses whose gradients are of any size.
    Parameters have the models along their first axis. Raises ``ValueError`` for rates or norms that are not above 0, or
    no parameters.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Float[Tensor, " models"],
        clip_norm: float = 10.0,
        betas: tuple[float, float] = (0.9, 0.999),
        unit: Tensor | None = None,
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("parameters must hold at least one parameter, got none")
        if isinstance(learning_rate, Tensor):
            floating("learning_rate", learning_rate, 1)
            finite_contents("learning_rate", learning_rate)
            if learning_rate.device.type == "cpu" and float(learning_rate.min()) <= 0:
                raise ValueError(f"learning_rate must be above 0, got {float(learning_rate.min())}")
        else:
            positive("learning_rate", learning_rate)
        positive("clip_norm", clip_norm)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), got {betas!r}")
        self.learning_rate, self.clip_norm, self.betas, self.unit = learning_rate, clip_norm, betas, unit
        self.sizes = [p[0].numel() for p in self.parameters]
        like = self.parameters[0]
        self.mean = like.new_zeros(len(like), sum(self.sizes))
        self.square = torch.zeros_like(self.mean)
        self.steps = 0

    @torch.no_grad()
    def step(self, loss: Float[Tensor, ""], scale: float = 1.0) -> None:
        """One step along the gradient of ``loss``, the sum of the models' losses; ``scale`` multiplies the rates."""
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.parameters)
        # One row per model: a dozen calls in all, instead of a dozen per parameter.
        gradient = torch.cat([g.flatten(1) for g in gradients], dim=1)
        norms = gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
        shrink = (self.clip_norm / norms).clamp_max(1.0)
        gradient *= shrink if self.unit is None else torch.where(self.unit[:, None], 1 / norms, shrink)
        self.steps += 1
        first, second = self.betas
        corrected = scale * math.sqrt(1 - second**self.steps) / (1 - first**self.steps)
        rate = self.learning_rate[:, None] if isinstance(self.learning_rate, Tensor) else self.learning_rate
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        moves = self.mean / self.square.sqrt().add_(1e-8) * (rate * corrected)
        for parameter, move in zip(self.parameters, moves.split(self.sizes, dim=1), strict=True):
            parameter.sub_(move.reshape(parameter.shape))


def log_partition_grid(
    model: Callable[[Tensor], Tensor],
    box: Sequence[tuple[float, float]],
    n: int,
    *,
    device: str | torch.device = "cpu",
) -> Float[Tensor, "*models"]:
    """``log ∫ p0`` over a box, by the midpoint rule with n points per axis.

    Args:
        model: from points (points, dims) to log p0 of shape (points,), or (models, points).
        box: one interval (low, high) per dimension.
        n: points per axis; the sum has n^dims.

    Raises ``ValueError`` for a box that is empty or has an interval that does not rise, n below 1, or a model that
    returns another shape.

    >>> standard = lambda x: -x.square().sum(-1) / 2
    >>> round(log_partition_grid(standard, [(-8, 8), (-8, 8)], 64).exp().item(), 4)
    6.2832
    """
    if not callable(model):
        raise ValueError(f"model must be a function of points, got {model!r}")
    whole_number("n", n, 1)
    ends = [tuple(interval) for interval in box]
    if not ends or not all(len(e) == 2 and math.isfinite(e[0]) and math.isfinite(e[1]) and e[0] < e[1] for e in ends):
        raise ValueError(f"box must be a sequence of intervals (low, high) with low < high, got {box!r}")
    axes = [low + (torch.arange(n, device=device) + 0.5) * ((high - low) / n) for low, high in ends]
    points = torch.cartesian_prod(*axes).reshape(-1, len(ends))
    with torch.no_grad():
        parts = [model(chunk) for chunk in points.split(_CHUNK)]
    for part, chunk in zip(parts, points.split(_CHUNK), strict=True):
        if part.ndim not in (1, 2) or part.shape[-1] != len(chunk):
            raise ValueError(f"model must return (..., points) = (..., {len(chunk)}), got {tuple(part.shape)}")
    cell = math.fsum(math.log((high - low) / n) for low, high in ends)
    return torch.cat([p.double() for p in parts], dim=-1).logsumexp(-1) + cell
