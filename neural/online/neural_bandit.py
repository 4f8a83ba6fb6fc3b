"""Contextual bandits with online neural regression: NeuSquareCB, NeuFastCB and their rivals, many runs in lockstep.

A network predicts every arm's loss, inverse-gap weighting turns the predictions into probabilities, the loss of the
arm drawn is fed back. Predictions are perturbed, linearly in the distance to the initialisation, with S random signs
drawn once:

    f~_s(x) = f(theta; x) + c_p m^{−1/4} <theta − theta_1, e_s>,     prediction: mean over s (through sigma for KL),
    loss: mean over s of (y − f~_s)²/2   or   softplus(f~_s) − y f~_s;     theta <- Proj(theta − lr gradient).

On average over signs the square loss gains the ridge (c_p²/(2 sqrt m)) |theta − theta_1|²: strong growth, without which
the regression's regret is not known to be logarithmic. ``expected=True`` applies that ridge itself. The perturbation
of the prediction is the same for all arms, so the square weighting feels it only where predictions are clipped.

    net = BlockNetwork(models=1, dim=13, arms=3, generator=torch.Generator().manual_seed(0))
    trace = run_bandit(NeuFastCB(net, gamma=50.0, learning_rate=0.3), env, T=1000, seed=0)

``BanditEnsemble`` trains models of *different* methods and settings as one batched module; the named classes are
ensembles of one method. Rivals: NeuralUCB and NeuralTS with diagonal confidence (Zhou, Li and Gu 2020; Zhang, Zhou, Li
and Gu 2021), in terms of losses, and epsilon-greedy. All take the same single step per round.

Source: Deb, Ban, Zuo, He and Banerjee (2024), *Contextual Bandits with Online Neural Regression*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neural.online.bandit_data import Environment
from neural.online.bandit_networks import Chosen, Linearisation
from neural.online.perturbed_regression import Loss, Network, PerModel, PerturbedRegressor, per_model, unit_contents
from neural.validation import at_least, floating, in_range, one_of, positive, whole_number

__all__ = [
    "BanditAgent",
    "BanditEnsemble",
    "BanditMethod",
    "EpsGreedy",
    "NeuFastCB",
    "NeuSquareCB",
    "NeuralTS",
    "NeuralUCB",
    "PerturbedRegressor",
    "Trace",
    "inverse_gap_weighting",
    "run_bandit",
]

Exploration = Literal["square", "fast", "ucb", "thompson", "epsilon"]
Contexts = Float[Tensor, "..."]
Models = Float[Tensor, " models"]


@dataclass(frozen=True)
class BanditMethod:
    """How one model explores, and how it learns.

    ``amount`` is gamma of inverse-gap weighting ("square", "fast"), nu of the confidence width ("ucb", "thompson") or
    the probability of a random arm ("epsilon"; 0 is greedy, 1 uniform). ``ridge`` is where confidence starts (lambda).
    Raises ``ValueError`` for unknown words and numbers outside their range.
    """

    exploration: Exploration
    amount: float
    loss: Loss = "square"
    learning_rate: float = 0.1
    c_p: float = 0.0
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        one_of("exploration", self.exploration, get_args(Exploration))
        one_of("loss", self.loss, get_args(Loss))
        if self.exploration == "epsilon":
            in_range("amount", self.amount, 0, 1)
        else:
            positive("amount", self.amount)
        positive("learning_rate", self.learning_rate)
        at_least("c_p", self.c_p, 0)
        positive("ridge", self.ridge)


class Trace(NamedTuple):
    """A run: losses paid and regret (models, rounds), probabilities and predictions (models, rounds, arms)."""

    loss: Tensor
    regret: Tensor
    probs: Tensor
    predictions: Tensor


@runtime_checkable
class BanditAgent(Protocol):
    """What ``run_bandit`` needs of an agent; all of it has a leading axis of models."""

    generator: torch.Generator
    predictions: Tensor

    def act(self, contexts: Contexts) -> tuple[Tensor, Tensor]:
        """Arms (models,) and the probabilities (models, arms) they were drawn with."""
        ...

    def select(self, contexts: Contexts, arm: Int[Tensor, " models"]) -> Chosen:
        """What ``learn`` is told of the pulled arms."""
        ...

    def learn(self, x: Chosen, loss: Models) -> None:
        """Learn from the losses of the pulled arms."""
        ...


def inverse_gap_weighting(
    losses: Float[Tensor, "models arms"],
    gamma: PerModel,
    kind: Literal["square", "fast"] = "square",
    floor: float = 1e-6,
) -> Float[Tensor, "models arms"]:
    """Probabilities from predicted losses in [0, 1], with one gamma or one per model.

    square: 1/(K + gamma (y_a − y_b)); fast: y_b/(K y_b + gamma (y_a − y_b)), losses raised to ``floor``; the best arm b
    (the first of equals) gets what remains. Raises ``ValueError`` for a gamma or floor not above 0, a floor above 1,
    another kind, and on the CPU losses outside [0, 1].

    >>> inverse_gap_weighting(torch.tensor([[0.0, 0.5]]), 4.0).tolist()
    [[0.75, 0.25]]
    """
    floating("losses", losses, 2)
    one_of("kind", kind, ("square", "fast"))
    positive("floor", floor)
    in_range("floor", floor, 0, 1)
    unit_contents("losses", losses)
    return _weights(losses, per_model("gamma", gamma, len(losses), losses), kind, floor)


class BanditEnsemble:
    """Models of any methods and settings, one ``BanditMethod`` per model of ``net``, acting and learning in lockstep.

    Every round all models share one uniform number to draw their arms with and one normal number per arm for Thompson
    sampling, so that differences are paired. ``generator`` can be replaced; ``predictions`` are those of the last
    ``act``. Raises ``ValueError`` for another number of methods than models.

    >>> from neural.online.bandit_networks import BlockNetwork
    >>> net = BlockNetwork(2, dim=2, arms=3, width=4, generator=torch.Generator().manual_seed(0))
    >>> agent = BanditEnsemble(net, [BanditMethod("fast", 20.0, "kl"), BanditMethod("epsilon", 0.1)])
    >>> arm, probs = agent.act(torch.tensor([0.6, 0.8]))
    >>> probs.sum(1).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        net: Network,
        methods: Sequence[BanditMethod],
        *,
        n_perturb: int = 8,
        expected: bool = False,
        radius: float = 20.0,
        seed: int = 0,
    ) -> None:
        if not isinstance(net, Network):
            raise ValueError(f"net must be a BlockNetwork or a SharedNetwork, got {type(net).__name__}")
        if len(methods) != net.models or not all(isinstance(m, BanditMethod) for m in methods):
            raise ValueError(f"methods must be {net.models} BanditMethods, one per model, got {len(methods)}")
        self.net, self.methods = net, tuple(methods)
        weight = net.weight.detach()

        def each(field: str, chosen: Sequence[BanditMethod] = methods) -> Tensor:
            return torch.tensor([getattr(m, field) for m in chosen], dtype=weight.dtype, device=weight.device)

        self.regressor = PerturbedRegressor(
            net, each("c_p"), n_perturb, [m.loss for m in methods], expected,
            learning_rate=each("learning_rate"), radius=radius, seed=seed,
        )  # fmt: skip
        self.generator = torch.Generator(weight.device).manual_seed(seed)
        self._groups: list[tuple[Exploration, slice | Tensor, Tensor]] = []
        for exploration in get_args(Exploration):
            members = [k for k, m in enumerate(methods) if m.exploration == exploration]
            if members:
                amounts = each("amount", [methods[k] for k in members])
                self._groups.append((exploration, _place(members, weight.device), amounts))
        self._confidence = {
            exploration: _Confidence(net, members, each("ridge")[members])
            for exploration, members, _ in self._groups
            if exploration in ("ucb", "thompson")
        }
        self.predictions = weight.new_zeros(net.models, 0)

    @torch.no_grad()
    def act(self, contexts: Contexts) -> tuple[Int[Tensor, " models"], Float[Tensor, "models arms"]]:
        """Arms and the probabilities they were drawn with. Raises ``ValueError`` for contexts of another shape."""
        x = self.net.checked(contexts)
        hidden = self.net.project(x, self.net.weight)
        outputs = self.net.outputs(hidden) + self.regressor.offsets().mean(1, keepdim=True)
        self.predictions = self.regressor.losses(outputs)
        probs = torch.empty_like(outputs)
        arms = outputs.shape[1]
        # Drawn whether used or not, so that a model plays in an ensemble as it would alone.
        uniform = torch.rand((), generator=self.generator, device=probs.device, dtype=probs.dtype)
        noise = torch.randn(arms, generator=self.generator, device=probs.device, dtype=probs.dtype)
        for exploration, members, amounts in self._groups:
            if exploration in ("square", "fast"):
                probs[members] = _weights(self.predictions[members], amounts, exploration, 1e-6)
                continue
            if exploration == "epsilon":
                best = _one_hot(outputs[members].argmin(1), arms, outputs)
                probs[members] = best * (1 - amounts[:, None]) + amounts[:, None] / arms
                continue
            width = (amounts[:, None] * self._confidence[exploration].variance(x, hidden)).sqrt()
            if exploration == "thompson":
                width = width * noise
            probs[members] = _one_hot((outputs[members] - width).argmin(1), arms, outputs)
        # The comparison counts the arms that end before the draw; rounding must not lead beyond the last.
        arm = (probs.cumsum(1) <= uniform).sum(1).clamp_max(arms - 1)
        return arm, probs

    def select(self, contexts: Contexts, arm: Int[Tensor, " models"]) -> Chosen:
        """What ``learn`` is told of the pulled arms. Raises ``ValueError`` for arms that are not there."""
        return self.net.select(contexts, arm)

    @torch.no_grad()
    def learn(self, x: Chosen, loss: Models) -> None:
        """Learn from the losses in [0, 1] of the pulled arms, ``x`` from ``select``.

        Raises ``ValueError`` for another number of losses and, on the CPU, losses outside [0, 1].
        """
        floating("loss", loss, 1)
        if len(loss) != self.net.models:
            raise ValueError(f"loss must have {self.net.models} entries, one per model, got {len(loss)}")
        unit_contents("loss", loss)
        gradient = self.net.linearise(x)
        for confidence in self._confidence.values():
            confidence.gain(x, gradient)
        self.regressor.update(x, loss, gradient)


class NeuSquareCB(BanditEnsemble):
    """Square loss and square inverse-gap weighting; ``gamma``, ``c_p`` and ``learning_rate`` one or one per model.

    Regret of order sqrt(K T log T) under the paper's assumptions. Raises ``ValueError`` as ``BanditMethod``.
    """

    def __init__(
        self, net: Network, gamma: PerModel, c_p: PerModel = 0.01, learning_rate: PerModel = 0.1, *, seed: int = 0
    ) -> None:
        rest = {"c_p": c_p, "learning_rate": learning_rate}
        super().__init__(net, _methods(net, "square", "square", "gamma", gamma, rest), seed=seed)


class NeuFastCB(BanditEnsemble):
    """KL loss and fast inverse-gap weighting; ``gamma``, ``c_p`` and ``learning_rate`` one or one per model.

    Regret of order sqrt(K L* log T) + K log T under the paper's assumptions, L* the loss of the best policy. Raises
    ``ValueError`` as ``BanditMethod``.
    """

    def __init__(
        self, net: Network, gamma: PerModel, c_p: PerModel = 0.01, learning_rate: PerModel = 0.1, *, seed: int = 0
    ) -> None:
        rest = {"c_p": c_p, "learning_rate": learning_rate}
        super().__init__(net, _methods(net, "fast", "kl", "gamma", gamma, rest), seed=seed)


class NeuralUCB(BanditEnsemble):
    """The arm with the least f − sqrt(nu lambda sum_j g_j²/U_j), U_j = lambda + past g_j² of pulled arms; square loss.

    ``nu``, ``learning_rate`` and ``ridge`` (lambda): one or one per model. Raises ``ValueError`` as ``BanditMethod``.
    """

    def __init__(
        self, net: Network, nu: PerModel, learning_rate: PerModel = 0.1, ridge: PerModel = 1e-3, *, seed: int = 0
    ) -> None:
        rest = {"learning_rate": learning_rate, "ridge": ridge}
        super().__init__(net, _methods(net, "ucb", "square", "nu", nu, rest), seed=seed)


class NeuralTS(BanditEnsemble):
    """As ``NeuralUCB``, but the width is multiplied by a normal number per arm and round. Raises likewise."""

    def __init__(
        self, net: Network, nu: PerModel, learning_rate: PerModel = 0.1, ridge: PerModel = 1e-3, *, seed: int = 0
    ) -> None:
        rest = {"learning_rate": learning_rate, "ridge": ridge}
        super().__init__(net, _methods(net, "thompson", "square", "nu", nu, rest), seed=seed)


class EpsGreedy(BanditEnsemble):
    """The arm with the least predicted loss, or with probability ``epsilon`` any; square loss. Raises likewise."""

    def __init__(self, net: Network, epsilon: PerModel = 0.05, learning_rate: PerModel = 0.1, *, seed: int = 0) -> None:
        rest = {"learning_rate": learning_rate}
        super().__init__(net, _methods(net, "epsilon", "square", "epsilon", epsilon, rest), seed=seed)


@torch.no_grad()
def run_bandit(agent: BanditAgent, env: Environment, T: int, seed: int) -> Trace:
    """Play ``T`` rounds from a fresh generator of that seed.

    Raises ``ValueError`` for fewer than one round or a negative seed, and with the number of the round where, on the
    CPU, predictions are not finite.
    """
    whole_number("T", T, 1)
    whole_number("seed", seed, 0)
    agent.generator = torch.Generator(agent.generator.device).manual_seed(seed)
    loss, regret, probs, predictions = [], [], [], []
    for t in range(T):
        contexts, losses, expected = env.round(t)
        try:
            arm, chances = agent.act(contexts)
        except ValueError as error:
            raise ValueError(f"round {t}: {error}") from error
        paid = losses.gather(1, arm[:, None])[:, 0]
        agent.learn(agent.select(contexts, arm), paid)
        loss.append(paid)
        regret.append(expected.gather(1, arm[:, None])[:, 0] - expected.amin(1))
        probs.append(chances)
        predictions.append(agent.predictions)
    return Trace(*(torch.stack(each, 1) for each in (loss, regret, probs, predictions)))


class _Confidence:
    """Diagonal confidence of some models: U = ridge + sum of g² over pulled arms, g the gradient of the output."""

    def __init__(self, net: Network, members: slice | Tensor, ridge: Tensor) -> None:
        self.net, self.members, self.ridge = net, members, ridge
        self.rows = torch.arange(len(ridge), device=ridge.device)
        # 1/U, as reading it for all arms is more work than updating it for one.
        self.by_weight = (1 / ridge)[:, None, None, None].repeat(1, *net.weight.shape[1:])
        self.by_output = (1 / ridge)[:, None].repeat(1, net.width)

    def variance(self, x: Tensor, hidden: Tensor) -> Tensor:
        """``ridge sum_j g_j²/U_j`` for all arms."""
        own = hidden[self.members]
        active = (own > 0) * self.net.output.detach()[self.members, None].square()
        by_weight = (self.net.project(x[self.members].square(), self.by_weight) * active).sum(2)
        by_output = (own.relu().square() * self.by_output[:, None]).sum(2)
        return self.ridge[:, None] * (by_weight + by_output) / self.net.width

    def gain(self, x: Chosen, gradient: Linearisation) -> None:
        """``U += g²`` for the pulled arm, with the gradient before the step."""
        rows = self.rows, x.block[self.members]
        inverse = self.by_weight[rows]
        self.by_weight[rows] = inverse / (1 + inverse * gradient.by_weight[self.members].square())
        self.by_output /= 1 + self.by_output * gradient.by_output[self.members].square()


def _place(members: list[int], device: torch.device) -> slice | Tensor:
    """Neighbours as a slice, which reads and writes in place."""
    if members == list(range(members[0], members[-1] + 1)):
        return slice(members[0], members[-1] + 1)
    return torch.tensor(members, device=device)


def _weights(losses: Tensor, gamma: Tensor, kind: str, floor: float) -> Tensor:
    y = losses.clamp_min(floor) if kind == "fast" else losses
    least, best = y.min(1, keepdim=True)
    spread, arms = gamma[:, None] * (y - least), y.shape[1]
    p = 1 / (arms + spread) if kind == "square" else least / (arms * least + spread)
    p = p.scatter(1, best, 0.0)
    return p.scatter(1, best, 1 - p.sum(1, keepdim=True))


def _one_hot(arm: Tensor, arms: int, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(arm, arms).to(like.dtype)


def _methods(
    net: Network, exploration: Exploration, loss: Loss, name: str, amount: PerModel, rest: dict[str, PerModel]
) -> list[BanditMethod]:
    if not isinstance(net, Network):
        raise ValueError(f"net must be a BlockNetwork or a SharedNetwork, got {type(net).__name__}")
    least = {"epsilon": 0.0, "c_p": 0.0}
    like = net.weight.detach().double()
    columns = {
        key: per_model(key, value, net.models, like, least.get(key)).tolist()
        for key, value in {name: amount, **rest}.items()
    }
    amounts = columns.pop(name)
    if name == "epsilon" and max(amounts) > 1:
        raise ValueError(f"epsilon must be a probability, got {max(amounts)}")
    return [
        BanditMethod(exploration, amounts[k], loss, **{key: values[k] for key, values in columns.items()})
        for k in range(net.models)
    ]
