"""Sieve maximum likelihood for singular distributions: a generator fitted to slightly perturbed data.

    model = GeneratorEnsemble(1, latent=1, outputs=2, generator=torch.Generator().manual_seed(0))
    estimate = SieveMLE(model, perturbation=0.15).fit(X, steps=500, rng=torch.Generator().manual_seed(1))
    samples = estimate.sample(600)                # on the fitted curve: the noise is thrown away

Up to two latent dimensions the likelihood is a quadrature over the generator's cube, with a gradient in closed form;
beyond, ``importance_weighted_bound`` takes its place. Every function takes several models at once along leading axes.

Source: Chae, Kim, Kim and Lin (2023), JMLR 24(77).
"""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.validation import at_least, finite_contents, floating, one_of, positive, whole_number

__all__ = [
    "GeneratorEnsemble",
    "SieveMLE",
    "importance_weighted_bound",
    "latent_grid",
    "log_likelihood_quadrature",
    "perturb",
]

_LOG_2PI = math.log(2 * math.pi)
_START, _FLOOR = 0.3, 1e-4
_FEW_DIMENSIONS = 4


def log_likelihood_quadrature(
    x: Float[Tensor, "*models samples dim"],
    generator_points: Float[Tensor, "*models points dim"],
    sigma: float | Float[Tensor, "*models"],
) -> Float[Tensor, "*models samples"]:
    """``log (1/M) Σ_j φ_σ(x_i − F_j)`` with φ_σ the density of N(0, σ² I_D), one σ for all or one per model.

    The spacing of the points must not exceed σ, else the mixture has holes. Differentiable in all arguments, once, in
    closed form: with ``r_ij`` the share of point j in the density at ``x_i``,

        ∂/∂F_j = r_ij (x_i − F_j)/σ²,    ∂/∂x_i = −Σ_j r_ij (x_i − F_j)/σ²,    ∂/∂σ = Σ_j r_ij |x_i − F_j|²/σ³ − D/σ.

    Memory is one (samples, points) matrix per model. Half precision is computed and given in float32. Raises
    ``ValueError`` for tensors that are empty, not floating-point, (on CPU) not finite or of shapes that do not match,
    fewer than two points, and a ``sigma`` that is not positive.

    >>> x, centres = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> log_likelihood_quadrature(x, centres, 1.0)
    tensor([-2.3379])
    """
    for name, value in (("x", x), ("generator_points", generator_points)):
        floating(name, value)
        finite_contents(name, value)
    if x.ndim < 2 or x.shape[:-2] != generator_points.shape[:-2] or x.shape[-1] != generator_points.shape[-1]:
        raise ValueError(
            "x and generator_points must be (…, samples, dim) and (…, points, dim) of the same models and dim, "
            f"got {tuple(x.shape)} and {tuple(generator_points.shape)}"
        )
    if generator_points.shape[-2] < 2:
        raise ValueError(f"generator_points must have at least two points, got {generator_points.shape[-2]}")
    dtype = torch.promote_types(torch.promote_types(x.dtype, generator_points.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        widths = _widths(sigma, x).to(dtype)
        return _MixtureLogLikelihood.apply(x.to(dtype), generator_points.to(dtype), widths)  # type: ignore[no-any-return]


def perturb(
    x: Float[Tensor, "*models samples dim"], std: float | Float[Tensor, "*models"], rng: torch.Generator
) -> Float[Tensor, "*models samples dim"]:
    """``x + std · N(0, I)``, one ``std`` for all or one per model; ``std = 0`` changes nothing.

    Raises ``ValueError`` for data that are empty, not floating-point or (on CPU) not finite, and a negative ``std``.
    """
    floating("x", x)
    finite_contents("x", x)
    if isinstance(std, Tensor):
        finite_contents("std", std)
        if std.shape != x.shape[:-2] or (std.device.type == "cpu" and bool((std < 0).any())):
            raise ValueError(f"std must be at least 0 and of shape {tuple(x.shape[:-2])}, got {std!r}")
        std = std[..., None, None]
    else:
        at_least("std", std, 0)
    return x + std * torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def latent_grid(
    points: int, latent: int, shift: Float[Tensor, " latent"] | None = None
) -> Float[Tensor, "nodes latent"]:
    """Nodes of a rule with equal weights for the uniform law of the cube: midpoints, moved by ``shift`` modulo 1.

    In one dimension ``points`` of them, in more the largest grid with at most so many. With a uniform random shift
    every mean over the nodes is unbiased. Raises ``ValueError`` unless ``points >= 2``, ``latent >= 1`` and ``shift``
    is a finite floating-point vector of that length.

    >>> latent_grid(4, 1).flatten().tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    whole_number("points", points, 2)
    whole_number("latent", latent, 1)
    if shift is not None:
        floating("shift", shift, 1)
        finite_contents("shift", shift)
        if len(shift) != latent:
            raise ValueError(f"shift must have {latent} elements, got {len(shift)}")
    side = round(points ** (1 / latent))
    side = max(1, side - (side**latent > points))
    device = None if shift is None else shift.device
    axis = (torch.arange(side, device=device) + 0.5) / side
    nodes = torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)
    return nodes if shift is None else (nodes + shift) % 1


class GeneratorEnsemble(nn.Module):
    """One network latent–width–width–outputs with tanh per model; all start equal.

    The first layer is ``spread`` times as large as usual, so that the unit cube does not start as a point. Raises
    ``ValueError`` for sizes below one and a ``spread`` that is not positive.
    """

    def __init__(
        self, models: int, latent: int, outputs: int, generator: torch.Generator, width: int = 32, spread: float = 6.0
    ) -> None:
        super().__init__()
        positive("spread", spread)
        for name, size in (("models", models), ("latent", latent), ("outputs", outputs), ("width", width)):
            whole_number(name, size, 1)
        self.models, self.latent = models, latent
        sizes = (latent, width, width, outputs)
        self.layers = nn.ModuleList(EnsembleLinear(models, a, b, generator) for a, b in pairwise(sizes))
        with torch.no_grad():
            for parameter in self.layers[0].parameters():
                parameter.mul_(spread)

    def forward(self, z: Float[Tensor, "models points latent"]) -> Float[Tensor, "models points outputs"]:
        """The generator at latent points. Raises ``ValueError`` for other shapes and (on CPU) what is not finite."""
        floating("z", z, 3)
        finite_contents("z", z)
        if z.shape[0] != self.models or z.shape[2] != self.latent:
            raise ValueError(f"z must be ({self.models}, points, {self.latent}), got {tuple(z.shape)}")
        h = z
        for layer in self.layers[:-1]:
            h = torch.tanh(layer(h))
        return self.layers[-1](h)


class SieveMLE:
    """Maximum likelihood over a generator's parameters on perturbed data, and samples without the noise.

    ``fit`` maximises ``Σ_i log (1/M) Σ_j φ_s(X̃_i − f(z_j))`` with ``X̃ = X + perturbation · N(0, I)``, drawn once, and
    M nodes that move together by a random shift in every step; full batches, Adam with a cosine schedule. ``sigma`` is

    - "fixed": s = √(data_noise² + perturbation²), what the data have if their own noise is known;
    - "learned": log s is a parameter that starts at 0.3 and stays above 1e-4;
    - a number, or a tensor with one per model.

    ``perturbation`` is a number or a tensor with one per model. Raises ``ValueError`` for a negative perturbation or
    noise, a fixed noise of 0, ``points < 2`` and numbers that are not positive.

    Source: Chae et al. (2023); quadrature instead of their importance sampling for one or two latent dimensions.
    """

    def __init__(
        self,
        generator: GeneratorEnsemble,
        perturbation: float | Float[Tensor, " models"],
        sigma: Literal["fixed", "learned"] | float | Float[Tensor, " models"] = "fixed",
        *,
        data_noise: float = 0.0,
        points: int = 200,
        learning_rate: float = 0.01,
    ) -> None:
        at_least("data_noise", data_noise, 0)
        whole_number("points", points, 2)
        positive("learning_rate", learning_rate)
        parameter = next(generator.parameters())
        models = (generator.models,)
        self.perturbation = _per_model("perturbation", perturbation, models, parameter)
        if (self.perturbation < 0).any():
            raise ValueError(f"perturbation must be at least 0, got {perturbation!r}")
        self.generator, self.points, self.learning_rate = generator, points, learning_rate
        self.learns_sigma = isinstance(sigma, str) and sigma == "learned"
        if isinstance(sigma, str):
            one_of("sigma", sigma, ("fixed", "learned"))
            width = (data_noise**2 + self.perturbation**2).sqrt()
            self.sigma = torch.full_like(width, _START) if self.learns_sigma else width
        else:
            self.sigma = _per_model("sigma", sigma, models, parameter)
        if not (self.sigma > 0).all():
            raise ValueError(f"sigma must be above 0 (perturb the data or give their noise), got {self.sigma.tolist()}")

    def fit(self, X: Float[Tensor, "*models samples dim"], steps: int, rng: torch.Generator) -> "SieveMLE":
        """Fits every model to its data, or all to the same; returns the estimate itself.

        Raises ``ValueError`` for data that are empty, not floating-point, (on CPU) not finite or of other shapes than
        the generator's, and ``steps < 1``.
        """
        whole_number("steps", steps, 1)
        floating("X", X)
        finite_contents("X", X)
        models, latent = self.generator.models, self.generator.latent
        if X.ndim not in (2, 3) or (X.ndim == 3 and len(X) != models):
            raise ValueError(f"X must be (samples, dim) or ({models}, samples, dim), got {tuple(X.shape)}")
        data = perturb(X.expand(models, *X.shape[-2:]), self.perturbation, rng)
        log_sigma = self.sigma.log().requires_grad_(self.learns_sigma)
        parameters = list(self.generator.parameters()) + [log_sigma] * self.learns_sigma
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            shift = torch.rand(latent, generator=rng, device=data.device)
            nodes = latent_grid(self.points, latent, shift).expand(models, -1, -1)
            sigma = log_sigma.exp().clamp(min=_FLOOR)
            loss = -log_likelihood_quadrature(data, self.generator(nodes), sigma).mean(-1).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        self.sigma = log_sigma.detach().exp().clamp(min=_FLOOR)
        return self

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator | None = None) -> Float[Tensor, "models n dim"]:
        """n points of each fitted law: at the midpoints of the latent interval, or at random if ``rng`` is given.

        Without ``rng`` more than one latent dimension gives the largest grid of at most n. Raises ``ValueError`` for
        ``n < 2``.
        """
        whole_number("n", n, 2)
        models, latent = self.generator.models, self.generator.latent
        device = next(self.generator.parameters()).device
        if rng is None:
            return self.generator(latent_grid(n, latent).to(device).expand(models, -1, -1))
        return self.generator(torch.rand(models, n, latent, generator=rng, device=device))


def importance_weighted_bound(
    x: Float[Tensor, "*models samples dim"],
    generator: nn.Module,
    mean: Float[Tensor, "*models samples latent"],
    log_std: Float[Tensor, "*models samples latent"],
    sigma: float | Float[Tensor, "*models"],
    rng: torch.Generator,
    draws: int = 20,
) -> Float[Tensor, "*models samples"]:
    """Lower bound of ``log p_{f,σ}(x)`` for a standard normal latent of any dimension, from K weighted draws:

        log (1/K) Σ_k φ_σ(x − f(z_k)) N(z_k; 0, I) / q(z_k | x),      z_k ~ q(· | x) = N(mean, diag e^{2 log_std}).

    In expectation it grows with K towards the log-density, and equals it for any K if q is the posterior.
    ``generator`` maps (…, points, latent) to (…, points, dim). Differentiable by reparametrisation. Raises
    ``ValueError`` for tensors that are empty, not floating-point, (on CPU) not finite or of shapes that do not match,
    ``sigma <= 0``, ``draws < 1``, and a generator whose output has another shape.

    Source: Burda, Grosse and Salakhutdinov (2016).
    """
    for name, value in (("x", x), ("mean", mean), ("log_std", log_std)):
        floating(name, value)
        finite_contents(name, value)
    if x.ndim < 2:
        raise ValueError(f"x must be (…, samples, dim), got {tuple(x.shape)}")
    for name, value in (("mean", mean), ("log_std", log_std)):
        if value.shape != (*x.shape[:-1], mean.shape[-1]):
            raise ValueError(f"{name} must be {(*x.shape[:-1], mean.shape[-1])}, got {tuple(value.shape)}")
    whole_number("draws", draws, 1)
    widths = _widths(sigma, x)
    samples = x.shape[-2]
    noise = torch.randn((*mean.shape[:-1], draws, mean.shape[-1]), generator=rng, device=mean.device, dtype=mean.dtype)
    z = mean[..., None, :] + log_std.exp()[..., None, :] * noise
    outputs = generator(z.flatten(-3, -2))
    expected = (*x.shape[:-2], samples * draws, x.shape[-1])
    if outputs.shape != expected:
        raise ValueError(f"generator must give {expected}, got {tuple(outputs.shape)}")
    squared = (x[..., None, :] - outputs.unflatten(-2, (samples, draws))).square().sum(-1)
    width = widths[..., None, None]
    likelihood = -0.5 * squared / width**2 - x.shape[-1] * (width.log() + 0.5 * _LOG_2PI)
    # The constants of the two normal densities of z cancel.
    ratio = 0.5 * (noise.square() - z.square()).sum(-1) + log_std.sum(-1)[..., None]
    return (likelihood + ratio).logsumexp(-1) - math.log(draws)


class _MixtureLogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, points: Tensor, sigma: Tensor) -> Tensor:
        exponents = _squared_distances(x, points).mul_(-0.5 / sigma[..., None, None] ** 2)
        shares = torch.softmax(exponents, -1)
        # The largest share is at least 1/M, so that its logarithm loses nothing.
        log_sum = exponents.amax(-1) - shares.amax(-1).log()
        distance = -2 * (shares * exponents).sum(-1) if ctx.needs_input_grad[2] else None
        ctx.save_for_backward(x, points, sigma, shares, distance)
        return log_sum - (math.log(points.shape[-2]) + x.shape[-1] * (sigma.log() + 0.5 * _LOG_2PI))[..., None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        x, points, sigma, shares, distance = ctx.saved_tensors
        precision = (sigma**-2)[..., None, None]
        to_x = to_points = to_sigma = None
        if ctx.needs_input_grad[0]:
            to_x = (shares @ points - x) * precision * grad[..., None]
        if ctx.needs_input_grad[1]:
            weighted = shares * grad[..., None]
            to_points = (weighted.mT @ x - weighted.sum(-2)[..., None] * points) * precision
        if ctx.needs_input_grad[2]:
            # distance is in units of σ².
            to_sigma = (grad * (distance - x.shape[-1])).sum(-1) / sigma
        return to_x, to_points, to_sigma


def _squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """Without matrix products: |x|² − 2 x·F + |F|² would cancel when σ is small."""
    if x.shape[-1] > _FEW_DIMENSIONS:
        return torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist").square_()
    # cdist vectorises over dimensions, which pays only when there are some.
    columns = zip(x.unbind(-1), points.unbind(-1), strict=True)
    first, *others = (a[..., :, None] - b[..., None, :] for a, b in columns)
    squared = first.square_()
    for difference in others:
        squared.addcmul_(difference, difference)
    return squared


def _widths(sigma: float | Tensor, x: Tensor) -> Tensor:
    widths = _per_model("sigma", sigma, x.shape[:-2], x)
    if widths.device.type == "cpu" and not bool((widths > 0).all()):
        raise ValueError(f"sigma must be above 0, got {sigma!r}")
    return widths


def _per_model(name: str, value: float | Tensor, models: tuple[int, ...], like: Tensor) -> Tensor:
    """A number, or one per model, as a tensor with one per model."""
    if isinstance(value, Tensor):
        floating(name, value)
        finite_contents(name, value)
        if value.shape != models:
            raise ValueError(f"{name} must be a number or of shape {tuple(models)}, got shape {tuple(value.shape)}")
        return value.to(like.device)
    at_least(name, value, 0)
    return torch.full(
        tuple(models), float(value), device=like.device, dtype=torch.promote_types(like.dtype, torch.float32)
    )
