"""Online regression with perturbed predictions, for many networks in lockstep.

    f~_s(x) = f(theta; x) + c_p m^{−1/4} <theta − theta_1, e_s>,     e_1, …, e_S in {−1, 1}^p drawn once,
    theta <- Proj( theta − lr gradient of (1/S) sum_s l(y, f~_s) ),
    l = (y − f~)²/2   or   softplus(f~) − y f~  (KL of the logistic function of f~, up to a constant).

On average over signs the square loss gains the ridge (c_p²/(2 sqrt m)) |theta − theta_1|², the KL loss sigma'(f) times
that to second order: a wide network's loss, which has no unique minimiser, becomes strongly convex in its
linearisation. The projection keeps hidden and output weights in balls around their start.

Source: Deb, Ban, Zuo, He and Banerjee (2024), *Contextual Bandits with Online Neural Regression*.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from neural.online.bandit_networks import BlockNetwork, Chosen, Linearisation, SharedNetwork
from neural.validation import at_least, finite_contents, floating, one_of, positive, whole_number

__all__ = ["PerturbedRegressor"]

Loss = Literal["square", "kl"]
Network = BlockNetwork | SharedNetwork
PerModel = float | Float[Tensor, " models"]


class PerturbedRegressor:
    """Online regression with perturbed predictions; one step of projected gradient descent per observation.

    ``net`` holds the models; ``loss`` is one word or one per model; ``c_p`` and ``learning_rate`` are one number or one
    per model. ``n_perturb`` sign vectors are drawn once from ``seed`` and shared by all models; ``expected`` replaces
    them by their mean effect (exact for the square loss, to second order for KL). Hidden and output weights each stay
    within ``radius`` of their start. Raises ``ValueError`` for numbers outside their range and unknown losses.

    >>> net = BlockNetwork(1, dim=2, arms=3, width=4, generator=torch.Generator().manual_seed(0))
    >>> regressor = PerturbedRegressor(net, c_p=0.1, n_perturb=8, loss="kl")
    >>> regressor.predict(torch.tensor([0.6, 0.8])).tolist()
    [[0.5, 0.5, 0.5]]
    """

    def __init__(
        self,
        net: Network,
        c_p: PerModel = 0.01,
        n_perturb: int = 8,
        loss: Loss | Sequence[Loss] = "square",
        expected: bool = False,
        *,
        learning_rate: PerModel = 0.1,
        radius: float = 20.0,
        seed: int = 0,
    ) -> None:
        if not isinstance(net, Network):
            raise ValueError(f"net must be a BlockNetwork or a SharedNetwork, got {type(net).__name__}")
        whole_number("n_perturb", n_perturb, 1)
        whole_number("seed", seed, 0)
        positive("radius", radius)
        if not isinstance(expected, bool):
            raise ValueError(f"expected must be True or False, got {expected!r}")
        losses = [loss] * net.models if isinstance(loss, str) else list(loss)
        if len(losses) != net.models:
            raise ValueError(f"loss must be one word or {net.models}, one per model, got {len(losses)}")
        for each in losses:
            one_of("loss", each, get_args(Loss))
        self.net, self.radius = net, radius
        weight = net.weight.detach()
        self.learning_rate = per_model("learning_rate", learning_rate, net.models, weight)
        self.scale = per_model("c_p", c_p, net.models, weight, least=0.0) * net.width**-0.25
        self.is_kl = torch.tensor([each == "kl" for each in losses], device=weight.device)
        self._travel = torch.zeros(net.models, 2, dtype=weight.dtype, device=weight.device)
        perturbed = self.scale.nonzero()[:, 0].tolist()
        # Models from the first to the last perturbed one: a slice, which dense updates can write to in place.
        self._hull = slice(perturbed[0], perturbed[-1] + 1) if perturbed else slice(0, 0)
        self._ridge = expected and bool(perturbed)
        self._signs: tuple[Tensor, Tensor] | None = None
        self._inner: Tensor | None = None
        if perturbed and not expected:
            generator = torch.Generator(weight.device).manual_seed(seed)
            on_weight, on_output = (_signs(n_perturb, s, generator) for s in (net.initial_weight, net.initial_output))
            self._signs = on_weight, on_output
            self._at_start = net.initial_weight.flatten() @ on_weight + net.initial_output @ on_output

    def outputs(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models arms"]:
        """Outputs of all arms, averaged over the perturbations: logits of models with the KL loss."""
        with torch.no_grad():
            return self.net(contexts) + self.offsets().mean(1, keepdim=True)

    def predict(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models arms"]:
        """Predicted losses in [0, 1]: clipped (square) or through the logistic function (KL).

        Raises ``ValueError`` for contexts of another shape or, on the CPU, outputs that are not finite.
        """
        return self.losses(self.outputs(contexts))

    def losses(self, outputs: Float[Tensor, "models arms"]) -> Float[Tensor, "models arms"]:
        """Outputs as losses in [0, 1]. Raises ``ValueError`` if, on the CPU, they are not finite."""
        floating("outputs", outputs, 2)
        if len(outputs) != self.net.models:
            raise ValueError(f"outputs must have {self.net.models} rows, one per model, got {len(outputs)}")
        finite_contents("outputs", outputs)
        return torch.where(self.is_kl[:, None], outputs.sigmoid(), outputs.clamp(0, 1))

    @torch.no_grad()
    def update(self, x: Chosen, y: Float[Tensor, " models"], gradient: Linearisation | None = None) -> None:
        """One step on the losses ``y`` of the arms that ``net.select`` names in ``x``.

        ``gradient`` is ``net.linearise(x)``, if it is known already.

        Raises ``ValueError`` for another number of losses and, on the CPU, losses outside [0, 1].
        """
        floating("y", y, 1)
        if len(y) != self.net.models:
            raise ValueError(f"y must have {self.net.models} losses, one per model, got {len(y)}")
        unit_contents("y", y)
        gradient = self.net.linearise(x) if gradient is None else gradient
        shifted = gradient.value[:, None] + self.offsets()
        residual = torch.where(self.is_kl[:, None], shifted.sigmoid(), shifted) - y[:, None]
        slope = residual.mean(1)
        if self._ridge:
            slope = slope + self._shrink(gradient.value)
        if self._signs is not None:
            self._follow_signs(residual)
        step = -self.learning_rate * slope
        self.net.move(x, gradient, step)
        self._inner = None
        lengths = torch.stack([gradient.by_weight.flatten(1).norm(dim=1), gradient.by_output.norm(dim=1)], 1)
        self._travel += step.abs()[:, None] * lengths
        self._project()

    def offsets(self) -> Float[Tensor, "models copies"]:
        """``c_p m^{−1/4} <theta − theta_1, e_s>`` for every copy; one copy of 0 without signs."""
        if self._signs is None:
            return self.scale.new_zeros(self.net.models, 1)
        if self._inner is not None:
            return self._inner
        on_weight, on_output = self._signs
        hull = self._hull
        inner = self.net.weight.detach()[hull].flatten(1) @ on_weight + self.net.output.detach()[hull] @ on_output
        offsets = self.scale.new_zeros(self.net.models, on_weight.shape[1])
        offsets[hull] = (inner - self._at_start) * self.scale[hull, None]
        self._inner = offsets
        return offsets

    def _follow_signs(self, residual: Tensor) -> None:
        assert self._signs is not None
        hull = self._hull
        amounts = residual[hull] * (-self.learning_rate[hull] * self.scale[hull] / residual.shape[1])[:, None]
        for column, (parameter, signs) in enumerate(zip((self.net.weight, self.net.output), self._signs, strict=True)):
            parameter[hull].view(len(amounts), -1).addmm_(amounts, signs.T)
            self._travel[hull, column] += amounts.abs().sum(1) * signs.shape[0] ** 0.5

    def _shrink(self, value: Tensor) -> Tensor:
        """The ridge's part of the step; returns what it adds to the slope of the output.

        The expected KL loss is l(f) + sigma'(f) r/2 to second order, r = scale² |theta − theta_1|², so its gradient is
        (sigma(f) − y + sigma''(f) r/2) grad f + sigma'(f) scale² (theta − theta_1).
        """
        hull = self._hull
        pairs = ((self.net.weight, self.net.initial_weight), (self.net.output, self.net.initial_output))
        displaced = [parameter.detach()[hull] - start for parameter, start in pairs]
        squares = sum(d.flatten(1).square().sum(1) for d in displaced)
        sigma = value[hull].sigmoid()
        curvature = torch.where(self.is_kl[hull], sigma * (1 - sigma), torch.ones_like(sigma))
        factor = self.learning_rate[hull] * curvature * self.scale[hull] ** 2
        for column, ((parameter, _), d) in enumerate(zip(pairs, displaced, strict=True)):
            parameter[hull].sub_(d * factor.view(-1, *(1,) * (d.ndim - 1)))
            self._travel[hull, column] += factor * d.flatten(1).norm(dim=1)
        added = torch.zeros_like(value)
        bend = torch.where(self.is_kl[hull], sigma * (1 - sigma) * (1 - 2 * sigma), torch.zeros_like(sigma))
        added[hull] = bend * self.scale[hull] ** 2 * squares / 2
        return added

    def _project(self) -> None:
        # The length of the path bounds the distance: it is measured only when the path has become long.
        if float(self._travel.max()) <= self.radius:
            return
        pairs = ((self.net.weight, self.net.initial_weight), (self.net.output, self.net.initial_output))
        for column, (parameter, start) in enumerate(pairs):
            displaced = parameter.detach() - start
            distance = displaced.flatten(1).norm(dim=1)
            if float(distance.max()) > self.radius:
                factor = (self.radius / distance.clamp_min(self.radius)).view(-1, *(1,) * start.ndim)
                parameter.copy_(start + displaced * factor)
            self._travel[:, column] = distance.clamp_max(self.radius)


def per_model(name: str, value: PerModel, models: int, like: Tensor, least: float | None = None) -> Tensor:
    """One number or one per model as a tensor (models,) like another; above 0, or at least ``least`` if that is given.

    Raises ``ValueError``, with ``name``, for other numbers or another length.

    >>> per_model("gamma", 2.0, 3, torch.zeros(1)).tolist()
    [2.0, 2.0, 2.0]
    """
    if not isinstance(value, Tensor):
        positive(name, value) if least is None else at_least(name, value, least)
        return like.new_full((models,), value)
    floating(name, value, 1)
    finite_contents(name, value)
    if len(value) != models:
        raise ValueError(f"{name} must be one number or {models}, one per model, got {len(value)}")
    if value.device.type == "cpu" and (float(value.min()) <= 0 if least is None else float(value.min()) < least):
        raise ValueError(f"{name} must be {'above 0' if least is None else f'at least {least:g}'}, got {value.min()}")
    return value.to(like)


def unit_contents(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` if a CPU tensor has elements outside [0, 1] or NaN; says nothing of others.

    >>> unit_contents("losses", torch.tensor([0.0, 1.0]))
    """
    if value.device.type == "cpu":
        low, high = (float(end) for end in torch.aminmax(value))
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {low} … {high}")


def _signs(copies: int, start: Tensor, generator: torch.Generator) -> Tensor:
    """Random signs (parameters, copies), for one model's parameters."""
    bits = torch.randint(2, (start.numel(), copies), generator=generator, device=start.device)
    return (2 * bits - 1).to(start.dtype)
