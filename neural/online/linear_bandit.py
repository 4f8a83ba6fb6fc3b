"""Linear upper confidence bounds with weights per arm: the baseline that has no network, many settings in lockstep.

    A_a = ridge 1 + sum x x^T,   theta_a = A_a^{−1} sum loss x   over the rounds in which arm a was pulled;
    the arm with the least <theta_a, x> − alpha sqrt(x^T A_a^{−1} x) is pulled.

Source: Li, Chu, Langford and Schapire (2010), LinUCB with disjoint linear models, in terms of losses.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neural.online.bandit_networks import Chosen
from neural.online.perturbed_regression import per_model
from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["LinUCB"]

Models = Float[Tensor, " models"]


class LinUCB:
    """One linear bandit per model; ``alpha`` and ``ridge`` are one number or one per model.

    Raises ``ValueError`` for sizes below 1, an alpha below 0 or a ridge not above 0.

    >>> agent = LinUCB(1, dim=2, arms=3, alpha=0.5)
    >>> agent.learn(agent.select(torch.ones(1, 2), torch.tensor([0])), torch.tensor([1.0]))
    >>> agent.act(torch.ones(1, 2))[0].tolist()
    [1]
    """

    def __init__(
        self,
        models: int,
        dim: int,
        arms: int,
        alpha: float | Models = 0.5,
        ridge: float | Models = 1.0,
        *,
        device: str = "cpu",
    ) -> None:
        for name, number in (("models", models), ("dim", dim), ("arms", arms)):
            whole_number(name, number, 1)
        self.models, self.dim, self.arms = models, dim, arms
        like = torch.zeros((), device=device)
        self.alpha = per_model("alpha", alpha, models, like, least=0.0)
        inverse = 1 / per_model("ridge", ridge, models, like)
        eye = torch.eye(dim, device=device)
        self._inverse = (inverse[:, None, None, None] * eye).repeat(1, arms, 1, 1)
        self._moment = torch.zeros(models, arms, dim, device=device)
        self._theta = torch.zeros(models, arms, dim, device=device)
        self.generator = torch.Generator(device)
        self.predictions = torch.zeros(models, arms, device=device)

    def act(self, contexts: Float[Tensor, "models dim"]) -> tuple[Int[Tensor, " models"], Float[Tensor, "models arms"]]:
        """Arms and their probabilities, 0 or 1. Raises ``ValueError`` for contexts of another shape or not finite."""
        x = self._checked(contexts)
        directions = (self._inverse @ x[:, None, :, None])[..., 0]
        width = (directions * x[:, None]).sum(2).clamp_min(0).sqrt()
        self.predictions = (self._theta * x[:, None]).sum(2)
        arm = (self.predictions - self.alpha[:, None] * width).argmin(1)
        return arm, torch.nn.functional.one_hot(arm, self.arms).to(x.dtype)

    def select(self, contexts: Float[Tensor, "models dim"], arm: Int[Tensor, " models"]) -> Chosen:
        """What ``learn`` is told of the pulled arms. Raises ``ValueError`` for arms that are not there."""
        class_indices("arm", arm, self.models, self.arms)
        return Chosen(self._checked(contexts), arm)

    def learn(self, x: Chosen, loss: Models) -> None:
        """Ridge regression of the pulled arms with their losses, by a rank-one update of the inverse.

        Raises ``ValueError`` for another number of losses or, on the CPU, losses that are not finite.
        """
        floating("loss", loss, 1)
        if len(loss) != self.models:
            raise ValueError(f"loss must have {self.models} entries, one per model, got {len(loss)}")
        finite_contents("loss", loss)
        rows = torch.arange(self.models, device=loss.device), x.block
        inverse, features = self._inverse[rows], x.features
        direction = (inverse @ features[:, :, None])[:, :, 0]
        scale = 1 / (1 + (direction * features).sum(1))
        inverse = inverse - scale[:, None, None] * direction[:, :, None] * direction[:, None, :]
        self._inverse[rows] = inverse
        self._moment[rows] += features * loss[:, None]
        self._theta[rows] = (inverse @ self._moment[rows][:, :, None])[:, :, 0]

    def _checked(self, contexts: Tensor) -> Tensor:
        floating("contexts", contexts, 2)
        if contexts.shape != (self.models, self.dim):
            raise ValueError(f"contexts must have shape ({self.models}, {self.dim}), got {tuple(contexts.shape)}")
        finite_contents("contexts", contexts)
        return contexts
