"""Learning speakers without labels, in two stages: self-distillation of crops, then a classifier of pseudo labels.

Networks that differ in one thing only (whose crops are positives, what becomes of unreliable labels) train in lockstep:
they start equal and see the same batches, crops and noise. ``items`` says which utterances each of them learns from.
"""

import copy
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor, nn

from neural.contrastive.ca_dino import (
    ClusterAwareSampler,
    EnsembleDINO,
    dino_loss,
    ema_update,
    ensemble_encoder,
    updated_center,
)
from neural.contrastive.loss_gate import aam_softmax_loss, dlg_lc_loss, dynamic_loss_gate
from neural.contrastive.similarity import unit_rows
from neural.contrastive.verification import cosine_trials, equal_error_rate
from neural.ensemble import EnsembleLinear, EnsembleSGD

__all__ = [
    "Arm",
    "Classification",
    "Classified",
    "Distillation",
    "Distilled",
    "Utterances",
    "best_settings",
    "branched",
    "classify",
    "clustered",
    "distil",
    "error_rates",
    "fresh",
    "majority_speakers",
    "raw_features",
    "spoken",
]

_EVALUATION = 999


class Utterances(Protocol):
    """What is learnt from: see ``neural.contrastive.speakers``."""

    @property
    def speakers(self) -> Tensor: ...

    @property
    def features(self) -> int: ...

    def __len__(self) -> int: ...

    def crop(self, chosen: Tensor, kind: str, generator: torch.Generator) -> Tensor: ...


# stage 1: self-distillation ---------------------------------------------------------------------


@dataclass(frozen=True)
class Distillation:
    """Networks and optimisation of stage 1; ``short`` crops join two long ones."""

    batch_size: int = 60
    short: int = 2
    outputs: int = 64
    width: int = 64
    dim: int = 32
    learning_rate: float = 2e-3
    teacher_momentum: float = 0.99
    t_teacher: float = 0.04
    t_student: float = 0.1


@dataclass
class Distilled:
    """Students, teachers and centres of all models, and the entropy of the teachers' mean output per epoch."""

    student: EnsembleDINO
    teacher: EnsembleDINO
    center: Tensor
    optimiser: torch.optim.Adam
    entropies: list[Tensor] = field(default_factory=list)


def fresh(utterances: Utterances, s: Distillation, generator: torch.Generator, models: int) -> Distilled:
    """Untrained networks, all equal."""
    student = EnsembleDINO(models, utterances.features, s.outputs, generator=generator, width=s.width, dim=s.dim)
    center = torch.zeros(models, s.outputs, device=generator.device)
    return Distilled(student, copy.deepcopy(student), center, _adam(student, s))


@torch.no_grad()
def branched(state: Distilled, parents: Tensor, s: Distillation) -> Distilled:
    """Copies of models ``parents``, with an optimiser of their own."""
    made = []
    for network in (state.student, state.teacher):
        several = copy.deepcopy(network)
        several.models = len(parents)
        for module in several.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(parameter.detach()[parents].clone()))
            for name, buffer in list(module.named_buffers(recurse=False)):
                setattr(module, name, buffer[parents].clone())
        made.append(several)
    student, teacher = made
    return Distilled(student, teacher, state.center[parents].clone(), _adam(student, s))


def _adam(student: EnsembleDINO, s: Distillation) -> torch.optim.Adam:
    return torch.optim.Adam(student.parameters(), s.learning_rate, fused=True)


def distil(
    state: Distilled, utterances: Utterances, items: Tensor, clusters: Tensor, epochs: int, s: Distillation,
    generator: torch.Generator, centred: Tensor | None = None,
) -> None:  # fmt: skip
    """Train in place: crops of an anchor come from its cluster.

    ``items`` and ``clusters`` are (models, n): the n utterances of each model and their clusters. Models that are not
    ``centred`` keep a centre of 0.
    """
    sampler, device, count = ClusterAwareSampler(clusters), state.center.device, items.shape[1]
    state.student.train()
    state.teacher.train()
    for _ in range(epochs):
        said = torch.zeros_like(state.center)
        order = torch.randperm(count, generator=generator, device=device)
        batches = order[: count // s.batch_size * s.batch_size].split(s.batch_size)
        for anchors in batches:
            drawn = sampler.draw(anchors, 2 + s.short, generator).mT
            chosen = items.gather(1, drawn.flatten(1)).unflatten(1, drawn.shape[1:])
            long = utterances.crop(chosen[:, :2].flatten(1), "long", generator)
            crops = torch.cat([long, utterances.crop(chosen[:, 2:].flatten(1), "short", generator)], dim=1)
            with torch.no_grad():
                taught = state.teacher(long).unflatten(1, (2, -1)).transpose(0, 1)
            learnt = state.student(crops).unflatten(1, (2 + s.short, -1)).transpose(0, 1)
            losses = dino_loss(taught, learnt, state.center, s.t_teacher, s.t_student, reduction="none")
            state.optimiser.zero_grad()
            losses.mean(-1).sum().backward()
            state.optimiser.step()
            ema_update(state.teacher, state.student, s.teacher_momentum)
            said += torch.softmax((taught - state.center[:, None]) / s.t_teacher, -1).mean(dim=(0, 2))
            state.center = updated_center(state.center, taught)
            if centred is not None:
                state.center = state.center * centred[:, None]
        state.entropies.append(torch.special.entr(said / len(batches)).sum(-1))


# what comes out ---------------------------------------------------------------------------------


@torch.no_grad()
def spoken(encoder: nn.Module, utterances: Utterances, items: Tensor) -> Tensor:
    """Embeddings (models, n, dim) of one long crop of every utterance in ``items`` (models, n)."""
    encoder.eval()
    return encoder(_evaluated(utterances, items))


def raw_features(utterances: Utterances, items: Tensor) -> Tensor:
    """The crops that ``spoken`` embeds, themselves."""
    return _evaluated(utterances, items)


def _evaluated(utterances: Utterances, items: Tensor) -> Tensor:
    return utterances.crop(items, "long", torch.Generator(items.device).manual_seed(_EVALUATION))


def error_rates(embeddings: Tensor, speakers: Tensor) -> list[float]:
    """Equal error rate of all pairs of utterances, by cosine, for every model."""
    return equal_error_rate(*cosine_trials(embeddings, speakers)).tolist()


def clustered(embeddings: Tensor, clusters: int, seed: int, tries: int = 2) -> Tensor:
    """k-means on unit embeddings, for every model: (models, utterances)."""
    rows = unit_rows(embeddings).cpu().numpy()
    found = [KMeans(clusters, n_init=tries, random_state=seed % 2**31).fit_predict(each) for each in rows]  # type: ignore[arg-type]
    return torch.from_numpy(np.stack(found)).long().to(embeddings.device)


def majority_speakers(clusters: Tensor, speakers: Tensor) -> Tensor:
    """The most frequent speaker of every cluster 0 … K − 1, of a vector of clusters; −1 for an empty one."""
    counts = torch.zeros(int(clusters.max()) + 1, int(speakers.max()) + 1, device=clusters.device)
    counts.index_put_((clusters, speakers), torch.ones(len(clusters), device=clusters.device), accumulate=True)
    return torch.where(counts.sum(1) > 0, counts.argmax(1), -1)


def best_settings(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Of each group the rows of the setting whose ``eer_validation``, averaged over replicates, is smallest."""
    mean = table.groupby([*by, "setting"], sort=True)["eer_validation"].mean().reset_index()
    best = mean.loc[mean.groupby(by, sort=True)["eer_validation"].idxmin(), [*by, "setting"]]
    return table.merge(best, on=[*by, "setting"])


# stage 2: a classifier of pseudo labels ---------------------------------------------------------


@dataclass(frozen=True)
class Classification:
    """Networks and optimisation of stage 2; gates are open in the first ``warm_up`` epochs."""

    batch_size: int = 60
    epochs: int = 24
    warm_up: int = 8
    width: int = 64
    dim: int = 32
    margin: float = 0.2
    scale: float = 16.0
    sharpen: float = 0.1


@dataclass(frozen=True)
class Arm:
    """What is done with labels: ``threshold`` None is a dynamic gate, infinity none; ``confidence`` 1 corrects none."""

    method: str
    learning_rate: float
    threshold: float | None
    confidence: float = 1.0

    @property
    def setting(self) -> str:
        gate = "dynamic" if self.threshold is None else f"{self.threshold:g}"
        return f"rate {self.learning_rate:g}, gate {gate}, confidence {self.confidence:g}"


@dataclass(frozen=True)
class Classified:
    """Encoders of all arms; in every epoch the gates and, for every item, its loss; for the last epoch what was kept.

    ``kept`` and ``corrected`` (arms, n) say what the last epoch did with each item, ``predicted`` what a clean crop
    was taken for.
    """

    encoder: nn.Module
    gates: Tensor
    losses: Tensor
    kept: Tensor
    corrected: Tensor
    predicted: Tensor


def classify(
    utterances: Utterances, items: Tensor, labels: Tensor, classes: int, arms: list[Arm], s: Classification,
    generator: torch.Generator,
) -> Classified:  # fmt: skip
    """Train a classifier of ``labels`` (arms, n) of ``items`` (arms, n) for each arm, all from the same start.

    ``losses`` (epochs, arms, n) are those of the training passes and ``gates`` (epochs, arms) what they are compared
    with: the gate of an epoch is fitted to the losses of the epoch before.
    """
    device, (models, count) = labels.device, labels.shape
    encoder = ensemble_encoder(models, utterances.features, s.width, s.dim, generator=generator)
    directions = nn.Parameter(EnsembleLinear(models, s.dim, classes, generator).weight.detach())
    fixed = torch.tensor([arm.threshold or 0.0 for arm in arms], device=device)
    dynamic = torch.tensor([arm.threshold is None for arm in arms], device=device)
    confidence = torch.tensor([arm.confidence for arm in arms], device=device)[:, None]
    rates = torch.tensor([arm.learning_rate for arm in arms], device=device)
    optimiser = EnsembleSGD([*encoder.parameters(), directions], rates, 0.9, 1e-4)
    gate = torch.full((models,), torch.inf, device=device)
    losses = torch.ones(models, count, device=device)
    predicted, sure = torch.zeros_like(labels), torch.zeros(models, count, dtype=torch.bool, device=device)
    gates, course = [], []
    for epoch in range(s.epochs):
        correcting = (confidence[:, 0] < 1) & (epoch >= s.warm_up)
        order = torch.randperm(count, generator=generator, device=device)
        for chosen in order[: count // s.batch_size * s.batch_size].split(s.batch_size):
            of_batch, voices = labels[:, chosen], items[:, chosen]
            p_clean = torch.full((models, len(chosen), classes), 1 / classes, device=device)
            if bool(correcting.any()):
                clean = utterances.crop(voices[correcting], "clean", generator)
                p_clean[correcting] = _predictions(encoder, directions, correcting, clean, s.scale)
                predicted[:, chosen] = p_clean.argmax(-1)
                sure[:, chosen] = p_clean.amax(-1) > confidence
                # Each arm has its own confidence: where it is missed, a uniform prediction passes none.
                p_clean = torch.where(sure[:, chosen, None], p_clean, 1 / classes)
            crops = utterances.crop(voices, "long", generator)
            cos = torch.bmm(unit_rows(encoder.train()(crops)), F.normalize(directions, dim=1))
            losses[:, chosen] = aam_softmax_loss(cos.detach(), of_batch, s.margin, s.scale, reduction="none")
            loss = dlg_lc_loss(
                cos, of_batch, gate, p_clean, margin=s.margin, scale=s.scale, confidence=min(1.0, 1.01 / classes),
                sharpen=s.sharpen, reduction="none",
            )  # fmt: skip
            optimiser.step(loss.mean(-1).sum())
        gates.append(gate)
        course.append(losses.clone())
        if epoch + 1 >= s.warm_up and epoch + 1 < s.epochs:
            gate = fixed.clone()
            if bool(dynamic.any()):
                gate[dynamic] = dynamic_loss_gate(losses[dynamic]).float()
    kept = losses < gate[:, None]
    return Classified(encoder, torch.stack(gates), torch.stack(course), kept, sure & ~kept, predicted)


@torch.no_grad()
def _predictions(encoder: nn.Module, directions: Tensor, chosen: Tensor, x: Tensor, scale: float) -> Tensor:
    """What the chosen models take clean crops for; only these are computed."""
    state = {name: value[chosen] for name, value in encoder.state_dict().items()}
    embeddings = torch.func.functional_call(encoder.eval(), state, (x,))
    cosines = torch.bmm(unit_rows(embeddings), F.normalize(directions[chosen], dim=1))
    return torch.softmax(scale * cosines, dim=-1)
