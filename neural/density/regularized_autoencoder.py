"""Auto-encoders that learn the score of their data, and samplers that need nothing but their reconstruction.

    model = DisplacementEnsemble(1, 2, 0.1, torch.Generator().manual_seed(0))             # r = x + σ² g(x)
    fit_reconstruction(model, x, lambda b, rng: dae_loss(model, b, 0.1, generator=rng), 2000, torch.Generator())
    score = ScoreFromAutoencoder(model, 0.1)
    samples, acceptance = approximate_mh(model, starts, 0.1, 0.3, 400, torch.Generator().manual_seed(1))

Trained with small noise, ``E |r(x + e) − x|²``, or with a penalty on the Jacobian of the whole reconstruction,
``E |r(x) − x|² + σ² E |∂r|²_F``, the displacement is the score: ``(r(x) − x)/σ² → ∇ log p(x)``. A penalty on the
encoder alone does not have that optimum.

Every function takes points (…, batch, dim) and any model that maps them, point by point, to points; leading axes hold
models that are trained in lockstep, and losses come back with one value for each of them.

Source: Alain and Bengio (2014), JMLR 15.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from neural.ensemble import EnsembleLinear
from neural.validation import at_least, finite_contents, floating, one_of, positive, whole_number

__all__ = [
    "AutoencoderEnsemble",
    "DisplacementEnsemble",
    "JacobianEstimator",
    "ScoreFromAutoencoder",
    "approximate_mh",
    "contractive_reconstruction_loss",
    "dae_loss",
    "fit_reconstruction",
    "hessian_from_autoencoder",
    "jacobian_penalty",
    "log_density_difference",
    "reconstruction_chain",
]

JacobianEstimator = Literal["exact", "hutchinson"]
Reconstruction = Callable[[Tensor], Tensor]

_PATH_POINTS = 6


def dae_loss(
    model: Reconstruction,
    x: Float[Tensor, "*models batch dim"],
    sigma: float | Float[Tensor, "*models"],
    noise: Float[Tensor, "*models batch dim"] | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*models"]:
    """``mean |r(x + σ e) − x|²`` with standard normal e: ``noise`` if given, else drawn from ``generator``.

    The optimum is ``x + σ² ∇ log (p * N(0, σ² I))`` exactly. Squares are summed over dimensions and averaged over the
    batch. Raises ``ValueError`` for tensors that are empty, not floating-point, (on CPU) not finite or of shapes that
    differ, ``sigma <= 0``, and a model that returns another shape.

    >>> dae_loss(lambda x: 0 * x, torch.ones(5, 2), 0.1).item()
    2.0
    """
    width = _width(sigma, _points("x", x))
    if noise is None:
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    elif _points("noise", noise).shape != x.shape:
        raise ValueError(f"noise must have the shape of x {tuple(x.shape)}, got {tuple(noise.shape)}")
    return (_reconstructed(model, x + width * noise) - x).square().sum(-1).mean(-1)


def contractive_reconstruction_loss(
    model: Reconstruction,
    x: Float[Tensor, "*models batch dim"],
    sigma: float | Float[Tensor, "*models"],
    estimator: JacobianEstimator = "exact",
    *,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*models"]:
    """``mean |r(x) − x|² + σ² mean |∂r(x)|²_F``: the penalty is on the whole reconstruction, not on the encoder.

    ``estimator``, ``probes`` and ``generator`` are those of ``jacobian_penalty``. Raises ``ValueError`` as that does,
    and for ``sigma <= 0`` or a model that returns another shape.

    >>> contractive_reconstruction_loss(lambda x: 2 * x, torch.ones(5, 2), 0.5).item()       # 2 + 0.25 · 8
    4.0
    """
    width = _width(sigma, _points("x", x))
    one_of("estimator", estimator, get_args(JacobianEstimator))
    whole_number("probes", probes, 1)
    outputs, penalty = _outputs_and_penalty(model, x, estimator, probes, generator)
    if outputs.shape != x.shape:
        raise ValueError(f"model must return the shape of its points {tuple(x.shape)}, got {tuple(outputs.shape)}")
    return (outputs - x).square().sum(-1).mean(-1) + width[..., 0, 0].square() * penalty


def jacobian_penalty(
    function: Reconstruction,
    x: Float[Tensor, "*models batch dim"],
    estimator: JacobianEstimator = "exact",
    *,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*models"]:
    """``mean |∂f(x)|²_F`` over the batch, differentiable.

    "exact" takes one reverse pass per output; "hutchinson" takes ``probes`` of them, with random signs v: the mean of
    ``|∂fᵀ v|²`` is unbiased. ``function`` maps every point on its own. Raises ``ValueError`` for points that are empty,
    not floating-point or (on CPU) not finite, another estimator, and ``probes < 1``.

    >>> jacobian_penalty(lambda x: 3 * x, torch.ones(4, 2)).item()
    18.0
    """
    _points("x", x)
    one_of("estimator", estimator, get_args(JacobianEstimator))
    whole_number("probes", probes, 1)
    return _outputs_and_penalty(function, x, estimator, probes, generator)[1]


class ScoreFromAutoencoder(nn.Module):
    """``(r(x) − x)/σ²``, the estimate of ``∇ log p``. ``sigma`` must be that of training.

    Raises ``ValueError`` unless ``sigma > 0``, one number or one per model.
    """

    sigma: Tensor

    def __init__(self, model: nn.Module, sigma: float | Float[Tensor, "*models"]) -> None:
        super().__init__()
        if isinstance(sigma, Tensor):
            floating("sigma", sigma)
            finite_contents("sigma", sigma)
        else:
            positive("sigma", sigma)
        if isinstance(sigma, Tensor) and sigma.device.type == "cpu" and not bool((sigma > 0).all()):
            raise ValueError(f"sigma must be above 0, got {sigma!r}")
        self.model = model
        self.register_buffer("sigma", torch.as_tensor(sigma, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*models batch dim"]) -> Float[Tensor, "*models batch dim"]:
        """The score at points. Raises ``ValueError`` for points that are empty, not floating-point or not finite."""
        _points("x", x)
        width = self.sigma.to(x)
        if width.ndim and width.shape != x.shape[:-2]:
            raise ValueError(f"x must have leading axes {tuple(width.shape)}, as sigma, got {tuple(x.shape)}")
        return (_reconstructed(self.model, x) - x) / width[..., None, None].square()


def hessian_from_autoencoder(
    model: Reconstruction, x: Float[Tensor, "*models batch dim"], sigma: float | Float[Tensor, "*models"]
) -> Float[Tensor, "*models batch dim dim"]:
    """``(∂r(x) − I)/σ²``, the estimate of the Hessian of ``log p``, by one reverse pass per dimension.

    Its antisymmetric part is zero for a gradient field: it measures by how much r fails to be one. Raises
    ``ValueError`` for points that are empty, not floating-point or (on CPU) not finite, ``sigma <= 0``, and a model
    that returns another shape.
    """
    width = _width(sigma, _points("x", x))
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        outputs = _reconstructed(model, inputs)
        rows = [
            torch.autograd.grad(outputs[..., j].sum(), inputs, retain_graph=True, materialize_grads=True)[0]
            for j in range(x.shape[-1])
        ]
    jacobian = torch.stack(rows, -2)
    return (jacobian - torch.eye(x.shape[-1], device=x.device, dtype=x.dtype)) / width[..., None].square()


@torch.no_grad()
def log_density_difference(
    reconstruct: Reconstruction,
    x0: Float[Tensor, "*models batch dim"],
    x1: Float[Tensor, "*models batch dim"],
    sigma: float | Float[Tensor, "*models"],
    n_points: int = _PATH_POINTS,
) -> Float[Tensor, "*models batch"]:
    """Estimated ``log p(x1) − log p(x0)``: the score along the segment between them, at the midpoints of n pieces.

    Raises ``ValueError`` for points that are empty, not floating-point, (on CPU) not finite or of shapes that differ,
    ``sigma <= 0``, ``n_points < 1``, and a reconstruction that returns another shape.

    >>> log_density_difference(lambda x: x / 1.01, torch.zeros(1, 1), torch.ones(1, 1), 0.1).round(decimals=3).tolist()
    [-0.4950000047683716]
    """
    width = _width(sigma, _points("x0", x0))
    if _points("x1", x1).shape != x0.shape:
        raise ValueError(f"x1 must have the shape of x0 {tuple(x0.shape)}, got {tuple(x1.shape)}")
    whole_number("n_points", n_points, 1)
    return _difference(reconstruct, x0, x1, width, n_points)


@torch.no_grad()
def approximate_mh(
    reconstruct: Reconstruction,
    x0: Float[Tensor, "*models chains dim"],
    sigma: float | Float[Tensor, "*models"],
    step: float,
    steps: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "*models chains dim"], Float[Tensor, "*models"]]:
    """Metropolis–Hastings chains driven by ``log_density_difference``: (last states, share of proposals accepted).

    Proposals are ``x + step · N(0, I)``. Raises ``ValueError`` for starts that are empty, not floating-point or (on
    CPU) not finite, ``sigma`` or ``step`` not above 0, ``steps < 1``, and a reconstruction that returns another shape.
    """
    width = _width(sigma, _points("x0", x0))
    positive("step", step)
    whole_number("steps", steps, 1)
    options: dict[str, Any] = {"generator": generator, "device": x0.device, "dtype": x0.dtype}
    state, accepted = x0, torch.zeros(x0.shape[:-2], device=x0.device)
    for _ in range(steps):
        proposal = state + step * torch.randn(x0.shape, **options)
        gain = _difference(reconstruct, state, proposal, width, _PATH_POINTS)
        taken = torch.rand(x0.shape[:-1], **options).log() < gain
        state = torch.where(taken[..., None], proposal, state)
        accepted += taken.float().mean(-1)
    return state, accepted / steps


@torch.no_grad()
def reconstruction_chain(
    reconstruct: Reconstruction,
    x0: Float[Tensor, "*models chains dim"],
    corruption: float,
    steps: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*models chains dim"]:
    """Last states of ``x ← r(x + corruption · N(0, I))``: nothing is accepted or rejected.

    Without corruption the chain climbs to a mode. With corruption σ it drifts twice as fast as it diffuses, and settles
    near the law ∝ p²; with √2 σ it is Langevin dynamics for p in the limit of small σ. Raises ``ValueError`` for starts
    that are empty, not floating-point or (on CPU) not finite, a negative ``corruption``, ``steps < 1``, and a
    reconstruction that returns another shape.
    """
    state = _points("x0", x0)
    at_least("corruption", corruption, 0)
    whole_number("steps", steps, 1)
    for _ in range(steps):
        moved = state
        if corruption:
            moved = state + corruption * torch.randn(
                state.shape, generator=generator, device=state.device, dtype=state.dtype
            )
        state = _reconstructed(reconstruct, moved)
    return state


class DisplacementEnsemble(nn.Module):
    """``r(x) = x + σ² g(x)`` with one network g per model, dim–width–width–dim with SiLU; all start equal.

    Any auto-encoder can be written so; written so it is well conditioned however small σ is. ``sigma`` is one number
    or one per model. Raises ``ValueError`` for sizes below one and ``sigma <= 0``.
    """

    scale: Tensor

    def __init__(
        self,
        models: int,
        dim: int,
        sigma: float | Float[Tensor, " models"],
        generator: torch.Generator,
        width: int = 96,
    ) -> None:
        super().__init__()
        _sizes(models=models, dim=dim, width=width)
        self.layers = _layers(models, (dim, width, width, dim), generator)
        like = torch.zeros(models, 1, dim, device=generator.device)
        self.register_buffer("scale", _width(sigma, like).square())

    def forward(self, x: Float[Tensor, "models batch dim"]) -> Float[Tensor, "models batch dim"]:
        """Reconstructions. Raises ``ValueError`` for another number of models or dimensions."""
        _matches(x, self.layers)
        return x + self.scale * _through(self.layers, x)


class AutoencoderEnsemble(nn.Module):
    """A plain auto-encoder per model: an encoder dim–width–width with SiLU and a tanh code, and a linear decoder.

    Raises ``ValueError`` for sizes below one.
    """

    def __init__(self, models: int, dim: int, generator: torch.Generator, width: int = 96) -> None:
        super().__init__()
        _sizes(models=models, dim=dim, width=width)
        self.layers = _layers(models, (dim, width, width, dim), generator)

    def encode(self, x: Float[Tensor, "models batch dim"]) -> Float[Tensor, "models batch width"]:
        """The code, each element within (−1, 1). Raises ``ValueError`` as ``forward`` does."""
        _matches(x, self.layers)
        return torch.tanh(_through(self.layers[:-1], x))

    def forward(self, x: Float[Tensor, "models batch dim"]) -> Float[Tensor, "models batch dim"]:
        """Reconstructions. Raises ``ValueError`` for another number of models or dimensions."""
        return self.layers[-1](self.encode(x))


def fit_reconstruction(
    model: nn.Module,
    x: Float[Tensor, "samples dim"],
    loss: Callable[[Tensor, torch.Generator], Tensor],
    steps: int,
    generator: torch.Generator,
    *,
    models: int = 1,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
) -> None:
    """Minimises ``loss(batch, generator)``, one value per model, by Adam with a cosine schedule.

    All models see the same batches (models, batch, dim), drawn with replacement. Raises ``ValueError`` for data that
    are empty, not floating-point (samples, dim) or (on CPU) not finite, whole numbers below one and
    ``learning_rate <= 0``.
    """
    floating("x", x, 2)
    finite_contents("x", x)
    _sizes(steps=steps, models=models, batch_size=batch_size)
    positive("learning_rate", learning_rate)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = torch.randint(len(x), (batch_size,), generator=generator, device=x.device)
        optimiser.zero_grad(set_to_none=True)
        loss(x[chosen].expand(models, -1, -1), generator).sum().backward()
        optimiser.step()
        schedule.step()


def _outputs_and_penalty(
    function: Reconstruction, x: Tensor, estimator: JacobianEstimator, probes: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = x if x.requires_grad else x.detach().requires_grad_()
        outputs = function(inputs)
        if not isinstance(outputs, Tensor) or outputs.shape[:-1] != x.shape[:-1]:
            raise ValueError(f"function must map every point of {tuple(x.shape)} to one, got {_shape(outputs)}")
        if not outputs.requires_grad:
            return outputs, torch.zeros(x.shape[:-2], device=x.device, dtype=x.dtype)
        if estimator == "exact":
            directions = [outputs[..., j] for j in range(outputs.shape[-1])]
        else:
            signs = torch.randint(0, 2, (probes, *outputs.shape), generator=generator, device=x.device)
            directions = [((2 * v - 1) * outputs).sum(-1) for v in signs]
        total = torch.zeros(x.shape[:-2], device=x.device, dtype=x.dtype)
        for each in directions:
            (slope,) = torch.autograd.grad(
                each.sum(), inputs, create_graph=differentiable, retain_graph=True, materialize_grads=True
            )
            total = total + slope.square().sum(-1).mean(-1)
        penalty = total if estimator == "exact" else total / probes
    return (outputs, penalty) if differentiable else (outputs.detach(), penalty.detach())


def _difference(reconstruct: Reconstruction, x0: Tensor, x1: Tensor, width: Tensor, n_points: int) -> Tensor:
    span = x1 - x0
    shares = (torch.arange(n_points, device=x0.device, dtype=x0.dtype) + 0.5) / n_points
    # Points of all paths as one batch: (…, n · batch, dim).
    path = (x0[..., None, :, :] + shares[:, None, None] * span[..., None, :, :]).flatten(-3, -2)
    displacement = (_reconstructed(reconstruct, path) - path).unflatten(-2, (n_points, -1))
    return (displacement.mean(-3) * span).sum(-1) / width[..., 0].square()


def _reconstructed(model: Reconstruction, x: Tensor) -> Tensor:
    outputs = model(x)
    if not isinstance(outputs, Tensor) or outputs.shape != x.shape:
        raise ValueError(f"model must return the shape of its points {tuple(x.shape)}, got {_shape(outputs)}")
    return outputs


def _shape(outputs: object) -> object:
    return tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__


def _points(name: str, x: Tensor) -> Tensor:
    floating(name, x)
    if x.ndim < 2:
        raise ValueError(f"{name} must be (…, batch, dim), got {tuple(x.shape)}")
    finite_contents(name, x)
    return x


def _width(sigma: float | Tensor, x: Tensor) -> Tensor:
    """One number, or one per model, as (…, 1, 1)."""
    if not isinstance(sigma, Tensor):
        positive("sigma", sigma)
        return torch.full((*x.shape[:-2], 1, 1), float(sigma), device=x.device, dtype=x.dtype)
    floating("sigma", sigma)
    finite_contents("sigma", sigma)
    if sigma.shape != x.shape[:-2]:
        raise ValueError(f"sigma must be a number or of shape {tuple(x.shape[:-2])}, got {tuple(sigma.shape)}")
    if sigma.device.type == "cpu" and not bool((sigma > 0).all()):
        raise ValueError(f"sigma must be above 0, got {sigma!r}")
    return sigma.to(x)[..., None, None]


def _sizes(**numbers: int) -> None:
    for name, number in numbers.items():
        whole_number(name, number, 1)


def _layers(models: int, sizes: tuple[int, ...], generator: torch.Generator) -> nn.ModuleList:
    return nn.ModuleList(EnsembleLinear(models, a, b, generator) for a, b in pairwise(sizes))


def _matches(x: Tensor, layers: nn.ModuleList) -> None:
    floating("x", x, 3)
    finite_contents("x", x)
    models, dim = layers[0].weight.shape[:2]  # type: ignore[union-attr]
    if x.shape[0] != models or x.shape[2] != dim:
        raise ValueError(f"x must be ({models}, batch, {dim}), got {tuple(x.shape)}")


def _through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers[:-1]:
        x = F.silu(layer(x))
    return layers[-1](x)
