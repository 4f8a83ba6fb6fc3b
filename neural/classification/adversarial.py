"""Adversarial training with the smooth comp-sum loss, beside PGD training and TRADES, and an attack to judge all three.

With ``D(x, y)`` the n − 1 differences ``h_y(x) − h_k(x)``, a ball of radius eps around x and ``nu >= sqrt(n − 1)/rho``

    smooth(x, y) = l_tau(h(x)/rho, y) + nu · max_x' ‖D(x', y) − D(x, y)‖_2

bounds a loss whose excess bounds the robust 0-1 excess. Like TRADES, ``CE(h(x), y) + beta · max_x' KL(S(x) ‖ S(x'))``,
it adds to the clean loss a term that asks scores to stay where they are; PGD training is ``max_x' CE(h(x'), y)``.

    objective = lambda model, x, y, strength, generator: smooth_adversarial_comp_sum(
        model, x, y, eps=0.1, tau=1.0, nu=strength, generator=generator)
    AdversarialTrainer(model, objective).fit(x, y)
    robust_accuracy(model, x, y, eps=0.1)

Source: Mao, Mohri and Zhong (2023), *Cross-Entropy Loss Functions: Theoretical Analysis and Applications*;
Madry et al. (2018) for PGD training; Zhang et al. (2019) for TRADES.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.classification.comp_sum import comp_sum
from neural.validation import (
    Reduction,
    at_least,
    class_indices,
    finite_contents,
    floating,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "AdversarialTrainer",
    "Norm",
    "Objective",
    "pgd_adversarial_loss",
    "projected_gradient_attack",
    "robust_accuracy",
    "smooth_adversarial_comp_sum",
    "trades_loss",
]

Norm = Literal["linf", "l2"]
Box = tuple[float, float]
Objective = Callable[[nn.Module, Tensor, Tensor, float, torch.Generator], Tensor]
Inputs = Float[Tensor, "batch *features"]
Labels = Int[Tensor, " batch"]


def smooth_adversarial_comp_sum(
    model: nn.Module,
    x: Inputs,
    y: Labels,
    eps: float,
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float | None = None,
    steps: int = 10,
    norm: Norm = "linf",
    *,
    step_size: float | None = None,
    box: Box | None = None,
    generator: torch.Generator | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """The smooth adversarial comp-sum loss, its maximum found by ``projected_gradient_attack``.

    Args:
        model: maps inputs ``(batch, ...)`` to logits ``(batch, classes)``.
        x, y: inputs and class indices.
        eps: radius of the ball; at 0 this is ``comp_sum(model(x) / rho, y, tau)``.
        tau, rho: index and scale of the clean loss.
        nu: weight of the displacement of score differences. ``sqrt(classes − 1)/rho``, the default, carries the
            guarantee; training does better with about 0.1 to 1, warmed up.
        steps, norm, step_size, box, generator: of the attack.
        reduction: as in ``comp_sum``.

    The gradient flows through both forward passes, not through the attack, which runs in evaluation mode and leaves
    batch statistics alone. A displacement of 0 has gradient 0. Raises ``ValueError`` as ``comp_sum`` and
    ``projected_gradient_attack``, and for ``rho <= 0`` or ``nu < 0``.
    """
    positive("rho", rho)
    if nu is not None:
        at_least("nu", nu, 0)
    _check_attack(x, eps, steps, norm, step_size, box)
    logits = model(x)
    class_indices("y", y, len(x), logits.shape[1])
    clean = comp_sum(logits / rho, y, tau, "none")
    if eps == 0:
        return reduce(clean, reduction)
    with _evaluating(model):
        with torch.no_grad():
            start = model(x)
        attacked = projected_gradient_attack(
            lambda z: _displacement(model(z) - start, y), x, eps,
            steps=steps, norm=norm, step_size=step_size, box=box, generator=generator,
        )  # fmt: skip
    weight = math.sqrt(logits.shape[1] - 1) / rho if nu is None else nu
    return reduce(clean + weight * _displacement(model(attacked) - logits, y), reduction)


def trades_loss(
    model: nn.Module,
    x: Inputs,
    y: Labels,
    eps: float,
    beta: float = 6.0,
    steps: int = 10,
    norm: Norm = "linf",
    *,
    step_size: float | None = None,
    box: Box | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """TRADES: ``CE(h(x), y) + beta · KL(S(x) ‖ S(x'))``, x' the attack on the divergence; mean over the batch.

    Starts uniformly in the ball, as every attack here (the authors' code starts from noise of size 1e-3). Arguments
    and errors as in ``smooth_adversarial_comp_sum``; also ``beta < 0``. Source: Zhang et al. (2019), Algorithm 1.
    """
    at_least("beta", beta, 0)
    _check_attack(x, eps, steps, norm, step_size, box)
    logits = model(x)
    class_indices("y", y, len(x), logits.shape[1])
    clean = comp_sum(logits, y)
    with _evaluating(model):
        with torch.no_grad():
            start = F.log_softmax(model(x), dim=1)
        attacked = projected_gradient_attack(
            lambda z: _divergence(start, F.log_softmax(model(z), dim=1)), x, eps,
            steps=steps, norm=norm, step_size=step_size, box=box, generator=generator,
        )  # fmt: skip
    divergence = _divergence(F.log_softmax(logits, dim=1), F.log_softmax(model(attacked), dim=1))
    return clean + beta * divergence.mean()


def pgd_adversarial_loss(
    model: nn.Module,
    x: Inputs,
    y: Labels,
    eps: float,
    steps: int = 10,
    norm: Norm = "linf",
    *,
    step_size: float | None = None,
    box: Box | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """PGD training: cross-entropy at the attack on cross-entropy; mean over the batch.

    Arguments and errors as in ``smooth_adversarial_comp_sum``. Source: Madry et al. (2018), Eq. 2.1.
    """
    _check_attack(x, eps, steps, norm, step_size, box)
    with _evaluating(model):
        with torch.no_grad():
            class_indices("y", y, len(x), model(x).shape[1])
        attacked = projected_gradient_attack(
            lambda z: comp_sum(model(z), y, reduction="none"), x, eps,
            steps=steps, norm=norm, step_size=step_size, box=box, generator=generator,
        )  # fmt: skip
    return comp_sum(model(attacked), y)


def robust_accuracy(
    model: nn.Module,
    x: Inputs,
    y: Labels,
    eps: float,
    *,
    steps: int = 40,
    norm: Norm = "linf",
    step_size: float | None = None,
    box: Box | None = None,
    generator: torch.Generator | None = None,
) -> float:
    """The share of inputs that stay correct under a PGD attack on the margin ``max_{k≠y} h_k − h_y``.

    An upper bound on robust accuracy, as every attack gives; at ``eps = 0`` the clean accuracy. Ties count as errors.
    Arguments and errors as in ``projected_gradient_attack``.
    """
    _check_attack(x, eps, steps, norm, step_size, box)
    with _evaluating(model):
        with torch.no_grad():
            class_indices("y", y, len(x), model(x).shape[1])

        def margin(z: Tensor) -> Tensor:
            logits = model(z)
            own = logits.gather(1, y[:, None])
            return (logits.scatter(1, y[:, None], -math.inf).amax(dim=1, keepdim=True) - own).squeeze(1)

        attacked = projected_gradient_attack(
            margin, x, eps, steps=steps, norm=norm, step_size=step_size, box=box, generator=generator
        )
        with torch.no_grad():
            return float((margin(attacked) < 0).double().mean())


def projected_gradient_attack(
    values: Callable[[Tensor], Tensor],
    x: Inputs,
    eps: float,
    *,
    steps: int = 10,
    norm: Norm = "linf",
    step_size: float | None = None,
    box: Box | None = None,
    generator: torch.Generator | None = None,
) -> Inputs:
    """Points of the eps-ball around ``x`` where ``values`` is large, by projected gradient ascent from a random start.

    Args:
        values: one number per row of its argument, to be maximised.
        x: inputs, detached.
        eps: radius; 0 gives x itself.
        steps: gradient steps; with ``steps = 0`` only the random start is tried.
        norm: ``"linf"`` steps along the gradient's sign, ``"l2"`` along the gradient.
        step_size: length of a step, by default ``2.5 eps / steps``.
        box: least and largest value that an input may have.
        generator: of the random start, on the device of x.

    Returns for every row the best of x and all iterates. Raises ``ValueError`` for ``eps`` negative or not finite,
    ``steps < 0``, a ``step_size <= 0``, an unknown norm, an empty x, or (on CPU) an x outside the box.

    >>> x = torch.zeros(1, 2)
    >>> projected_gradient_attack(lambda z: z.sum(1), x, 0.5)
    tensor([[0.5000, 0.5000]])
    """
    _check_attack(x, eps, steps, norm, step_size, box)
    x = x.detach()
    if eps == 0:
        return x.clone()
    step = 2.5 * eps / max(steps, 1) if step_size is None else step_size
    low, high = (-math.inf, math.inf) if box is None else box
    with torch.no_grad():
        best, highest = x.clone(), values(x)
    z = (x + _random_start(x, eps, norm, generator)).clamp(low, high)
    for _ in range(steps):
        z.requires_grad_(True)
        with torch.enable_grad():
            current = values(z)
            (gradient,) = torch.autograd.grad(current.sum(), z)
        best, highest = _better(best, highest, z.detach(), current.detach())
        # The box holds x, so clamping to it never leaves the ball.
        z = (x + _project(z.detach() - x + step * _direction(gradient, norm), eps, norm)).clamp(low, high)
    with torch.no_grad():
        return _better(best, highest, z, values(z))[0]


class AdversarialTrainer:
    """Stochastic gradient descent on an adversarial objective, for small models and data that fit in memory.

    ``objective(model, x, y, strength, generator)`` returns a scalar; strength grows linearly from 0 to 1 over the first
    ``warmup_epochs`` epochs, and multiplies the robust term: without a warm-up the smooth loss can push scores to a
    constant before the clean loss has separated them. Nesterov momentum, cosine schedule down to 0, gradients clipped
    to ``clip_norm``. Order, batches and attacks follow from ``seed``.

    Raises ``ValueError`` for sizes below 1, rates not above 0, or a negative ``warmup_epochs``.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        *,
        epochs: int = 20,
        batch_size: int = 64,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        clip_norm: float = 5.0,
        warmup_epochs: int = 5,
        seed: int = 0,
    ) -> None:
        for name, number, least in (
            ("epochs", epochs, 1), ("batch_size", batch_size, 1), ("warmup_epochs", warmup_epochs, 0),
        ):  # fmt: skip
            whole_number(name, number, least)
        positive("learning_rate", learning_rate)
        positive("momentum", momentum)
        positive("clip_norm", clip_norm)
        at_least("weight_decay", weight_decay, 0)
        self.model, self.objective = model, objective
        self.epochs, self.batch_size, self.warmup_epochs = epochs, batch_size, warmup_epochs
        self.clip_norm, self.seed = clip_norm, seed
        self.optimizer = torch.optim.SGD(
            model.parameters(), learning_rate, momentum, weight_decay=weight_decay, nesterov=True
        )

    def fit(self, x: Inputs, y: Labels) -> list[float]:
        """Train from the model's current state; returns the mean objective of every epoch.

        Raises ``ValueError`` for an empty x or labels of another number.
        """
        floating("x", x)
        finite_contents("x", x)
        class_indices("y", y, len(x))
        with _evaluating(self.model), torch.no_grad():
            class_indices("y", y, len(x), self.model(x[:1]).shape[1])
        generator = torch.Generator(x.device).manual_seed(self.seed)
        batches = math.ceil(len(x) / self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.epochs * batches)
        warmup = max(self.warmup_epochs * batches, 1)
        history = []
        self.model.train()
        for epoch in range(self.epochs):
            total = torch.zeros((), dtype=torch.float64, device=x.device)
            order = torch.randperm(len(x), generator=generator, device=x.device)
            for number, rows in enumerate(order.split(self.batch_size)):
                strength = min(1.0, (epoch * batches + number) / warmup) if self.warmup_epochs else 1.0
                loss = self.objective(self.model, x[rows], y[rows], strength, generator)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
                self.optimizer.step()
                schedule.step()
                total += loss.detach() * len(rows)
            history.append(float(total) / len(x))
        return history


def _displacement(moved: Tensor, y: Tensor) -> Tensor:
    """``‖D(x', y) − D(x, y)‖`` from ``moved = h(x') − h(x)``; the entry k = y adds 0, and the gradient at 0 is 0."""
    return torch.linalg.vector_norm(moved.gather(1, y[:, None]) - moved, dim=1)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p ‖ q)`` of every row."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def _better(best: Tensor, highest: Tensor, z: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    """Row by row, whichever has the larger value."""
    wins = current > highest
    return torch.where(wins.view(-1, *[1] * (z.ndim - 1)), z, best), torch.where(wins, current, highest)


def _random_start(x: Tensor, eps: float, norm: Norm, generator: torch.Generator | None) -> Tensor:
    """Uniform in the ball."""
    if norm == "linf":
        return torch.empty_like(x).uniform_(-eps, eps, generator=generator)
    direction = _direction(torch.empty_like(x).normal_(generator=generator), norm)
    radius = torch.empty_like(x[:, :1].flatten(1)[:, :1]).uniform_(0, 1, generator=generator)
    return direction * (eps * radius ** (1 / x[0].numel())).view(-1, *[1] * (x.ndim - 1))


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return F.normalize(gradient.flatten(1), dim=1).view_as(gradient)


def _project(offset: Tensor, eps: float, norm: Norm) -> Tensor:
    if norm == "linf":
        return offset.clamp(-eps, eps)
    length = torch.linalg.vector_norm(offset.flatten(1), dim=1).clamp(min=eps)
    return offset * (eps / length).view(-1, *[1] * (offset.ndim - 1))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every module's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_attack(x: Tensor, eps: float, steps: int, norm: str, step_size: float | None, box: Box | None) -> None:
    floating("x", x)
    finite_contents("x", x)
    at_least("eps", eps, 0)
    whole_number("steps", steps, 0)
    one_of("norm", norm, ("linf", "l2"))
    if step_size is not None:
        positive("step_size", step_size)
    if box is not None:
        if not box[0] < box[1]:
            raise ValueError(f"box must be (least, largest) with least < largest, got {box!r}")
        if x.device.type == "cpu":
            low, high = (float(end) for end in torch.aminmax(x.detach()))
            if low < box[0] or high > box[1]:
                raise ValueError(f"x must lie in box {box!r}, got values in [{low}, {high}]")
