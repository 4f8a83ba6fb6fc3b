"""Deep clustering of a graph without graph convolutions, by block contrast or by any of its rivals.

An autoencoder of the features gives embeddings z, k-means on them K centres mu. Then, all nodes at once,

    beta KL(P ‖ Q) + alpha · contrast(z, influence)

is minimised by encoder and centres: Q are the Student-t shares of the centres, P their sharpened version, the contrast
that of ``pamc`` with its blocks taken from Q, or the all-pairs loss. Labels are argmax q.

    model = PamCClustering(features=64, clusters=10, seed=0).fit(graph.features, graph.influence(order=2))
    labels = model.predict(graph.features)

Several models of one shape are trained in lockstep: give ``models`` and a stack of as many graphs of equal size.

Source: Kulatilleke, Portmann and Chandra (2022), *Efficient block contrastive learning via parameter-free meta-node
approximation*.
"""

import copy
import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from torch import Tensor, nn

from neural.contrastive.graph_similarity import log_pair_mass, log_positive_mass
from neural.contrastive.pamc import block_repulsion, meta_node_repulsion, student_t_assignment, target_distribution
from neural.contrastive.similarity import unit_rows
from neural.ensemble import EnsembleLinear
from neural.validation import at_least, finite_contents, floating, one_of, positive, whole_number

__all__ = ["Contrast", "PamCClustering"]

Contrast = Literal["pamc", "pamc_soft", "pamc_size", "full", "sampled", "none"]
"""Negatives: hard, soft or counted meta-nodes, all pairs, K random nodes per node and epoch, or no contrast at all."""

PerModel = float | Float[Tensor, " models"]


class PamCClustering(nn.Module):
    """Encoder and cluster centres, trained by ``fit``.

    Args:
        features, clusters: columns of the features and number of clusters.
        hidden, dim: widths of the encoder's ReLU layers and of its embedding (those of the paper).
        contrast: what the contrast's second term is made of.
        alpha, beta: weights of contrast and divergence (``alpha`` may be one per model).
        gamma: inverse temperature of the contrast.
        seed: of the initial weights, k-means and drawn pairs.
        models: how many are trained in lockstep, each on its own graph of the stack.

    Raises ``ValueError`` for numbers out of range or an unknown contrast.
    """

    def __init__(
        self,
        features: int,
        clusters: int,
        *,
        hidden: Sequence[int] = (500, 500, 2000),
        dim: int = 10,
        contrast: Contrast = "pamc",
        alpha: PerModel = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        seed: int = 0,
        models: int = 1,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        for name, number, least in (
            ("features", features, 1), ("clusters", clusters, 2), ("dim", dim, 1), ("seed", seed, 0),
            ("models", models, 1), *(("hidden", width, 1) for width in hidden),
        ):  # fmt: skip
            whole_number(name, number, least)
        one_of("contrast", contrast, Contrast.__args__)
        _at_least_zero("alpha", alpha, models)
        at_least("beta", beta, 0)
        positive("gamma", gamma)
        self.clusters, self.alpha, self.beta, self.gamma = clusters, alpha, beta, gamma
        self.contrast: Contrast = contrast
        self.seed, self.models = seed, models
        self.generator = torch.Generator(device).manual_seed(seed)
        widths = [features, *hidden, dim]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [EnsembleLinear(models, inputs, outputs, self.generator), nn.ReLU()]
        self.encoder = nn.Sequential(*layers[:-1])
        self.decoder = EnsembleLinear(models, dim, features, self.generator)
        self.centres = nn.Parameter(torch.zeros(models, clusters, dim, device=device))

    def forward(
        self, x: Float[Tensor, "*stack nodes features"]
    ) -> tuple[Float[Tensor, "*stack nodes dim"], Float[Tensor, "*stack nodes clusters"]]:
        """Embeddings and soft assignments. Raises ``ValueError`` for features of another shape, or (CPU) not finite."""
        z = self.encoder(self._stacked(x))
        q = student_t_assignment(z, self.centres)
        return (z, q) if x.ndim == 3 else (z[0], q[0])

    def fit(
        self,
        x: Float[Tensor, "*stack nodes features"],
        influence: Float[Tensor, "all_nodes all_nodes"],
        *,
        pretrain_steps: int = 100,
        epochs: int = 200,
        learning_rate: PerModel = 1e-3,
    ) -> "PamCClustering":
        """``pretrain``, ``initialise``, ``refine``. Raises ``ValueError`` as they do."""
        self._checked_influence(influence, self._stacked(x))
        whole_number("pretrain_steps", pretrain_steps, 0)
        return self.pretrain(x, steps=pretrain_steps).initialise(x).refine(
            x, influence, epochs=epochs, learning_rate=learning_rate
        )  # fmt: skip

    def pretrain(
        self, x: Float[Tensor, "*stack nodes features"], *, steps: int = 100, learning_rate: PerModel = 1e-3
    ) -> "PamCClustering":
        """Train the encoder, with a linear decoder, to reconstruct the features; all nodes at once, Adam.

        Raises ``ValueError`` for features of another shape, or (on CPU) not finite, and numbers out of range.
        """
        nodes = self._stacked(x)
        whole_number("steps", steps, 0)
        optimiser = _StackedAdam([*self.encoder.parameters(), *self.decoder.parameters()], learning_rate, self.models)
        for _ in range(steps):
            optimiser.step((self.decoder(self.encoder(nodes)) - nodes).square().mean((1, 2)).sum())
        return self

    @torch.no_grad()
    def initialise(self, x: Float[Tensor, "*stack nodes features"], *, restarts: int = 20) -> "PamCClustering":
        """Put the centres where k-means on the embeddings finds them.

        Raises ``ValueError`` for features of another shape, or (on CPU) not finite, fewer nodes than clusters, and
        ``restarts`` below 1.
        """
        nodes = self._stacked(x)
        whole_number("restarts", restarts, 1)
        if nodes.shape[1] < self.clusters:
            raise ValueError(f"x must have at least as many nodes as clusters {self.clusters}, got {nodes.shape[1]}")
        for model, z in enumerate(self.encoder(nodes)):
            restarted: Any = KMeans(self.clusters, n_init=restarts, random_state=self.seed % 2**32)  # type: ignore[arg-type]
            found = restarted.fit(z.double().cpu().numpy())
            self.centres[model] = torch.as_tensor(found.cluster_centers_).to(self.centres)
        return self

    def refine(
        self,
        x: Float[Tensor, "*stack nodes features"],
        influence: Float[Tensor, "all_nodes all_nodes"],
        *,
        epochs: int = 200,
        learning_rate: PerModel = 1e-3,
    ) -> "PamCClustering":
        """Minimise divergence and contrast for ``epochs`` steps of Adam on all nodes.

        ``influence`` is that of ``influence_matrix``, dense or sparse; of several graphs that of their union, as
        ``stack_graphs`` makes it. Raises ``ValueError`` for shapes that do not fit, (on CPU) elements that are not
        finite or below 0 and nodes without influence, and numbers out of range.
        """
        nodes = self._stacked(x)
        influence = self._checked_influence(influence, nodes)
        whole_number("epochs", epochs, 0)
        optimiser = _StackedAdam([*self.encoder.parameters(), self.centres], learning_rate, self.models)
        for _ in range(epochs):
            optimiser.step(self._losses(nodes, influence).sum())
        return self

    def losses(
        self, x: Float[Tensor, "*stack nodes features"], influence: Float[Tensor, "all_nodes all_nodes"]
    ) -> Float[Tensor, " models"]:
        """The loss of every model as it stands. Raises ``ValueError`` as ``refine``."""
        nodes = self._stacked(x)
        return self._losses(nodes, self._checked_influence(influence, nodes))

    @torch.no_grad()
    def predict(self, x: Float[Tensor, "*stack nodes features"]) -> Int[Tensor, "*stack nodes"]:
        """The cluster of every node. Raises ``ValueError`` as ``forward``."""
        return self(x)[1].argmax(-1)

    def select(self, chosen: Sequence[int]) -> "PamCClustering":
        """A copy that holds these of the models, in this order; one may be taken several times.

        Raises ``ValueError`` for numbers of models out of range.
        """
        if not len(chosen) or min(chosen) < 0 or max(chosen) >= self.models:
            raise ValueError(f"chosen must hold models in 0 … {self.models - 1}, got {chosen!r}")
        selected = copy.copy(self)
        selected._modules = copy.deepcopy(self._modules)
        selected._parameters = dict(self._parameters)
        order = torch.tensor(chosen, device=self.centres.device)
        for module in (selected, *selected.encoder, selected.decoder):
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(parameter.detach()[order])
        selected.models = len(chosen)
        selected.generator = torch.Generator(self.centres.device).manual_seed(self.seed)
        return selected

    def _stacked(self, x: Tensor) -> Tensor:
        floating("x", x)
        stacked = x[None] if x.ndim == 2 else x
        width = self.decoder.weight.shape[2]
        if stacked.ndim != 3 or len(stacked) != self.models or stacked.shape[2] != width:
            expected = f"(nodes, {width})" if self.models == 1 else f"({self.models}, nodes, {width})"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        finite_contents("x", x)
        return stacked

    def _checked_influence(self, influence: Tensor, nodes: Tensor) -> Tensor:
        count = self.models * nodes.shape[1]
        if not isinstance(influence, Tensor) or not influence.is_floating_point() or influence.shape != (count, count):
            got = tuple(influence.shape) if isinstance(influence, Tensor) else type(influence).__name__
            raise ValueError(f"influence must be floating-point of shape ({count}, {count}), got {got}")
        entries = influence.detach().to_sparse_coo().coalesce()
        if entries.device.type == "cpu":
            finite_contents("influence", entries.values())
            if entries.values().numel() and entries.values().amin() < 0:
                raise ValueError(f"influence must be at least 0, got {entries.values().amin().item():g}")
            if len(entries.indices()[0, entries.values() > 0].unique()) < count:
                raise ValueError("influence must have a positive element in every row")
        return entries

    def _losses(self, nodes: Tensor, influence: Tensor) -> Tensor:
        z = self.encoder(nodes)
        q = student_t_assignment(z, self.centres)
        p = target_distribution(q)
        divergence = (torch.special.entr(p) + p * q.log()).sum(-1).mean(-1).neg()
        if self.contrast == "none":
            return self.beta * divergence
        return self.beta * divergence + self.alpha * self._contrast(z, q.detach(), influence)

    def _contrast(self, z: Tensor, q: Tensor, influence: Tensor) -> Tensor:
        positives = log_positive_mass(z.flatten(0, 1), influence.indices(), influence.values(), self.gamma)
        return self._negatives(z, q) - positives.unflatten(0, (self.models, -1)).mean(-1)

    def _negatives(self, z: Tensor, q: Tensor) -> Tensor:
        if self.contrast == "full":
            return log_pair_mass(z, self.gamma).mean(-1)
        if self.contrast == "pamc_soft":
            return meta_node_repulsion(q.mT @ z, self.gamma)
        labels = q.argmax(-1)
        if self.contrast == "pamc":
            flat = (labels + self.clusters * torch.arange(self.models, device=z.device)[:, None]).flatten()
            sums = z.new_zeros(self.models * self.clusters, z.shape[2]).index_add(0, flat, z.flatten(0, 1))
            return meta_node_repulsion(sums.unflatten(0, (self.models, -1)), self.gamma)
        if self.contrast == "pamc_size":
            return torch.stack([block_repulsion(*each, self.gamma, "size") for each in zip(z, labels, strict=True)])
        return self._sampled_pairs(z)

    def _sampled_pairs(self, z: Tensor) -> Tensor:
        """Log-mass of all pairs, estimated from as many random nodes per node as there are clusters."""
        u = unit_rows(z)
        drawn = torch.randint(u.shape[1], (u.shape[1], self.clusters), generator=self.generator, device=z.device)
        cosines = (u[:, :, None] * u[:, drawn]).sum(-1)
        return torch.logsumexp(self.gamma * cosines, dim=-1).mean(-1) + float(np.log(u.shape[1] / self.clusters))


class _StackedAdam:
    """Adam with a learning rate per model of a stack; models share no numbers."""

    def __init__(self, parameters: list[nn.Parameter], learning_rate: PerModel, models: int) -> None:
        if isinstance(learning_rate, Tensor):
            _at_least_zero("learning_rate", learning_rate, models)
        else:
            positive("learning_rate", learning_rate)
        self.parameters, self.count = parameters, 0
        device = parameters[0].device
        self.rates = torch.as_tensor(learning_rate, dtype=torch.float32, device=device).expand(models)[:, None]
        # Moments of all parameters side by side: small networks are bound by the number of calls.
        self.sizes = [p[0].numel() for p in parameters]
        self.first = parameters[0].new_zeros(models, sum(self.sizes))
        self.second = torch.zeros_like(self.first)

    @torch.no_grad()
    def step(self, loss: Float[Tensor, ""]) -> None:
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.parameters)
        self.count += 1
        correction = (1 - 0.999**self.count) ** 0.5 / (1 - 0.9**self.count)
        gradient = torch.cat([each.flatten(1) for each in gradients], dim=1)
        self.first.lerp_(gradient, 0.1)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        change = self.first / (self.second.sqrt() + 1e-8) * (self.rates * correction)
        for parameter, part in zip(self.parameters, change.split(self.sizes, dim=1), strict=True):
            parameter.sub_(part.view_as(parameter))


def _at_least_zero(name: str, value: PerModel, models: int) -> None:
    if not isinstance(value, Tensor):
        at_least(name, value, 0)
        return
    floating(name, value, 1)
    finite_contents(name, value)
    if len(value) != models or (value.device.type == "cpu" and value.amin() < 0):
        raise ValueError(f"{name} must be at least 0 and one per model, {models}, got {value!r:.60}")
