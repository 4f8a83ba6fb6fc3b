"""Many small networks of one architecture, trained in lockstep as one batched computation.

Activations have shape (models, batch, features). Small networks are bound by the number of calls,
not by arithmetic: eighteen of them cost little more than one. Models share nothing but the calls,
so that each is the network it would be alone.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural.validation import at_least, in_range, positive, whole_number

__all__ = ["EnsembleBatchNorm", "EnsembleLinear", "EnsembleSGD"]


class EnsembleLinear(nn.Module):
    """One affine map per model; all start equal, as ``nn.Linear`` starts (uniform in ±1/√inputs)."""

    def __init__(self, models: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, number in (("models", models), ("inputs", inputs), ("outputs", outputs)):
            whole_number(name, number, 1)
        limit = inputs**-0.5
        weight = torch.empty(inputs, outputs, device=generator.device).uniform_(-limit, limit, generator=generator)
        bias = torch.empty(1, outputs, device=generator.device).uniform_(-limit, limit, generator=generator)
        self.weight = nn.Parameter(weight.repeat(models, 1, 1))
        self.bias = nn.Parameter(bias.repeat(models, 1, 1))

    def forward(self, x: Float[Tensor, "models batch inputs"]) -> Float[Tensor, "models batch outputs"]:
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleBatchNorm(nn.Module):
    """Batch normalisation per model, with the running statistics of ``nn.BatchNorm1d``."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, models: int, features: int, device: torch.device, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        super().__init__()
        whole_number("models", models, 1)
        whole_number("features", features, 1)
        in_range("momentum", momentum, 0, 1)
        positive("eps", eps)
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(models, 1, features, device=device))
        self.bias = nn.Parameter(torch.zeros(models, 1, features, device=device))
        self.register_buffer("running_mean", torch.zeros(models, 1, features, device=device))
        self.register_buffer("running_var", torch.ones(models, 1, features, device=device))

    def forward(self, x: Float[Tensor, "models batch features"]) -> Float[Tensor, "models batch features"]:
        mean, variance = self.running_mean, self.running_var
        if self.training:
            variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
            unbiased = variance.detach() * (x.shape[1] / max(x.shape[1] - 1, 1))
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        return torch.addcmul(self.bias, (x - mean) * torch.rsqrt(variance + self.eps), self.weight)


class EnsembleSGD:
    """Stochastic gradient descent with momentum and weight decay, and a learning rate per model.

    buffer = momentum buffer + (gradient + weight_decay parameter),     parameter -= learning_rate buffer

    ``clip_norm`` limits the Euclidean norm of each model's gradient, as ``clip_grad_norm_`` does for one model.
    ``learning_rate`` may be changed between steps.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Float[Tensor, " models"],
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        if not isinstance(learning_rate, Tensor):
            positive("learning_rate", learning_rate)
        at_least("momentum", momentum, 0)
        at_least("weight_decay", weight_decay, 0)
        if clip_norm is not None:
            positive("clip_norm", clip_norm)
        self.parameters = list(parameters)
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.clip_norm = clip_norm
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, loss: Float[Tensor, ""]) -> None:
        """One step along the gradient of ``loss``, the sum of the models' losses."""
        gradients = self._clipped(_gradients(loss, self.parameters))
        rate = self.learning_rate
        for parameter, buffer, gradient in zip(self.parameters, self.buffers, gradients, strict=True):
            buffer.mul_(self.momentum).add_(gradient).add_(parameter, alpha=self.weight_decay)
            if isinstance(rate, Tensor):
                parameter.addcmul_(buffer, _per_model(rate, parameter), value=-1)
            else:
                parameter.add_(buffer, alpha=-rate)

    def _clipped(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.clip_norm is None:
            return gradients
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        scale = (self.clip_norm / norms.clamp_min(1e-30)).clamp_max(1.0)
        return tuple(g * _per_model(scale, g) for g in gradients)


def _per_model(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def _gradients(loss: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        return torch.autograd.grad(loss, parameters)
