"""Many one-hidden-layer networks in lockstep that predict the losses of a bandit's arms.

    f(theta; x) = m^{−1/2} sum_i v_i relu(<w_i, x>)

A model has its own weights; the leading axis of everything counts models, as in ``neural.ensemble``: replicates,
algorithms and settings can all stand along it. All models start equal. Half of the hidden units is drawn normally
and repeated with opposite output signs, so that f = 0 at the start and the gradient has a norm of about |x|.

``SharedNetwork`` takes one context per arm, (models, arms, dim). ``BlockNetwork`` takes one vector of features,
(models, dim), and is the same network on the contexts that hold the features in block a and 0 elsewhere
(``one_hot_contexts``): arm a has its own hidden weights, so that reading is K times and an update K times cheaper.
Gradients are written out, as an update touches one arm's weights only.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["BlockNetwork", "Chosen", "Linearisation", "SharedNetwork", "one_hot_contexts"]


class Chosen(NamedTuple):
    """What a network needs to know of the arm that was pulled: its features, and the block of weights they meet."""

    features: Tensor
    block: Tensor


class Linearisation(NamedTuple):
    """Output at one context per model and its gradient: by the weights of the block, and by the output weights."""

    value: Tensor
    by_weight: Tensor
    by_output: Tensor


class _OneHiddenLayer(nn.Module):
    initial_weight: Tensor
    initial_output: Tensor
    first_rows: Tensor

    def __init__(self, models: int, blocks: int, dim: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, number in (("models", models), ("arms", blocks), ("dim", dim), ("width", width)):
            whole_number(name, number, 1)
        if width % 2:
            raise ValueError(f"width must be even, as units come in pairs, got {width}")
        self.models, self.blocks, self.dim, self.width = models, blocks, dim, width
        device = generator.device
        half = torch.randn(blocks, dim, width // 2, generator=generator, device=device)
        signs = torch.randn(width // 2, generator=generator, device=device)
        self.register_buffer("initial_weight", torch.cat([half, half], -1))
        self.register_buffer("initial_output", torch.cat([signs, -signs]))
        self.weight = nn.Parameter(self.initial_weight.repeat(models, 1, 1, 1))
        self.output = nn.Parameter(self.initial_output.repeat(models, 1))
        self.register_buffer("first_rows", torch.arange(models, device=device) * blocks, persistent=False)

    def forward(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models arms"]:
        """Outputs of all arms. Raises ``ValueError`` for contexts of another shape or, on the CPU, not finite."""
        return self.outputs(self.preactivations(contexts))

    def outputs(self, preactivations: Float[Tensor, "models arms width"]) -> Float[Tensor, "models arms"]:
        """``m^{−1/2} <v, relu(preactivations)>``."""
        floating("preactivations", preactivations, 3)
        if preactivations.shape[0] != self.models or preactivations.shape[2] != self.width:
            raise ValueError(
                f"preactivations must have shape ({self.models}, arms, {self.width}), got {tuple(preactivations.shape)}"
            )
        finite_contents("preactivations", preactivations)
        return torch.bmm(preactivations.relu(), self.output[:, :, None])[:, :, 0] * self.width**-0.5

    def preactivations(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models arms width"]:
        """``<w_i, x_a>`` for all arms and units."""
        return self.project(self.checked(contexts), self.weight)

    def checked(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The contexts with an axis of models: without one, all models meet the same."""
        raise NotImplementedError

    @staticmethod
    def project(contexts: Float[Tensor, "..."], weight: Float[Tensor, "models blocks dim units"]) -> Tensor:
        """``sum_d x_d weight_d`` for all arms and units: what reading the hidden layer does with its weights."""
        raise NotImplementedError

    def linearise(self, x: Chosen) -> Linearisation:
        """Output at the chosen arm and its gradient."""
        rows = self._rows(x)
        block = self.weight.detach().view(-1, self.dim, self.width)[rows]
        pre = torch.bmm(x.features[:, None], block)[:, 0]
        output, scale = self.output.detach(), self.width**-0.5
        by_output = pre.relu() * scale
        active = output * (pre > 0) * scale
        return Linearisation((by_output * output).sum(1), x.features[:, :, None] * active[:, None, :], by_output)

    @torch.no_grad()
    def move(self, x: Chosen, gradient: Linearisation, step: Float[Tensor, " models"]) -> None:
        """Add ``step`` times the gradient to the parameters, model by model."""
        moved = gradient.by_weight * step[:, None, None]
        self.weight.view(-1, self.dim, self.width).index_add_(0, self._rows(x), moved)
        self.output.add_(gradient.by_output * step[:, None])

    def _rows(self, x: Chosen) -> Tensor:
        if not isinstance(x, Chosen) or x.features.shape != (self.models, self.dim):
            raise ValueError(f"x must be a Chosen with features of shape ({self.models}, {self.dim}), got {x!r:.60}")
        return self.first_rows + x.block

    def _checked_arm(self, arm: Tensor, arms: int) -> Tensor:
        class_indices("arm", arm, self.models, arms)
        return arm


class SharedNetwork(_OneHiddenLayer):
    """Networks that read one context per arm, (models, arms, dim) or (arms, dim) for all models.

    Raises ``ValueError`` for sizes below 1 or an odd width.

    >>> net = SharedNetwork(2, dim=3, width=4, generator=torch.Generator().manual_seed(0))
    >>> net(torch.eye(3)).shape
    torch.Size([2, 3])
    """

    def __init__(self, models: int, dim: int, width: int = 32, *, generator: torch.Generator) -> None:
        super().__init__(models, 1, dim, width, generator)

    def checked(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models arms dim"]:
        floating("contexts", contexts)
        stacked = contexts.ndim in (2, 3) and contexts.shape[:-2] in ((), (self.models,))
        if not stacked or contexts.shape[-1] != self.dim:
            raise ValueError(
                f"contexts must have shape ({self.models}, arms, {self.dim}) or (arms, {self.dim}), "
                f"got {tuple(contexts.shape)}"
            )
        finite_contents("contexts", contexts)
        return contexts.expand(self.models, -1, -1)

    @staticmethod
    def project(contexts: Float[Tensor, "..."], weight: Float[Tensor, "models blocks dim units"]) -> Tensor:
        return torch.bmm(contexts, weight[:, 0])

    def select(self, contexts: Float[Tensor, "..."], arm: Int[Tensor, " models"]) -> Chosen:
        """The context of each model's arm. Raises ``ValueError`` for other contexts or arms that are not there."""
        x = self.checked(contexts)
        arm = self._checked_arm(arm, x.shape[1])
        return Chosen(x[torch.arange(self.models, device=arm.device), arm], torch.zeros_like(arm))


class BlockNetwork(_OneHiddenLayer):
    """Networks that read one vector of features, (models, dim) or (dim,) for all models, with weights per arm.

    Raises ``ValueError`` for sizes below 1 or an odd width.

    >>> net = BlockNetwork(2, dim=3, arms=5, width=4, generator=torch.Generator().manual_seed(0))
    >>> net(torch.ones(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(self, models: int, dim: int, arms: int, width: int = 32, *, generator: torch.Generator) -> None:
        super().__init__(models, arms, dim, width, generator)

    def checked(self, contexts: Float[Tensor, "..."]) -> Float[Tensor, "models dim"]:
        floating("contexts", contexts)
        stacked = contexts.ndim in (1, 2) and contexts.shape[:-1] in ((), (self.models,))
        if not stacked or contexts.shape[-1] != self.dim:
            raise ValueError(
                f"contexts must have shape ({self.models}, {self.dim}) or ({self.dim},), got {tuple(contexts.shape)}"
            )
        finite_contents("contexts", contexts)
        return contexts.expand(self.models, -1)

    @staticmethod
    def project(contexts: Float[Tensor, "..."], weight: Float[Tensor, "models blocks dim units"]) -> Tensor:
        return torch.matmul(contexts[:, None, None], weight)[:, :, 0]

    def select(self, contexts: Float[Tensor, "..."], arm: Int[Tensor, " models"]) -> Chosen:
        """The features and each model's arm. Raises ``ValueError`` for other contexts or arms that are not there."""
        return Chosen(self.checked(contexts), self._checked_arm(arm, self.blocks))


def one_hot_contexts(features: Float[Tensor, "*models dim"], arms: int) -> Float[Tensor, "*models arms blocks"]:
    """Contexts x_a = (0, …, features, …, 0), the features in block a: the usual way from classes to arms.

    Raises ``ValueError`` for features that are not floating-point and finite or fewer than one arm.

    >>> one_hot_contexts(torch.tensor([1.0, 2.0]), 2).tolist()
    [[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]]
    """
    floating("features", features)
    finite_contents("features", features)
    whole_number("arms", arms, 1)
    eye = torch.eye(arms, dtype=features.dtype, device=features.device)
    return (eye[:, :, None] * features[..., None, None, :]).flatten(-2)
