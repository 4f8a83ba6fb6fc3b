"""Both stages of learning speakers without labels, for every method: rows of errors, purity and what gates did.

Stage 1 distils encoders whose positives come from one utterance, from k-means clusters, or from true clusters that are
spoilt to a known purity; stage 2 trains classifiers on pseudo labels with no gate, a fixed one, a dynamic one, and
label correction, each with equally many settings.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural.contrastive.speakers import cluster_purity, synthetic_speakers
from simulations.contrastive.speaker_pipeline import (
    Arm,
    Classification,
    Distillation,
    Distilled,
    branched,
    classify,
    clustered,
    distil,
    error_rates,
    fresh,
    majority_speakers,
    raw_features,
    spoken,
)

__all__ = [
    "CLUSTERS",
    "CORRECTED",
    "DINO",
    "DYNAMIC",
    "FIXED",
    "METHODS",
    "NONE",
    "ORACLE",
    "RANDOM",
    "RAW",
    "SUPERVISED",
    "UNCENTRED",
    "Grid",
    "Heard",
    "Stages",
    "both_stages",
    "classified",
    "synthetic",
]

DINO, RAW, UNCENTRED = "DINO", "raw features", "no centring"
CLUSTERS, ORACLE, RANDOM = "k-means clusters", "true clusters", "random clusters"
NONE, FIXED, DYNAMIC, CORRECTED, SUPERVISED = "no gate", "fixed gate", "dynamic gate", "correction", "true labels"
METHODS = (NONE, FIXED, DYNAMIC, CORRECTED)


@dataclass(frozen=True)
class Grid:
    """Settings of the classifiers, equally many for each method, and the size of all networks."""

    learning_rates: tuple[float, ...] = (0.005, 0.01, 0.02)
    gates: tuple[float, ...] = (1.0, 4.0, 10.0)
    confidences: tuple[float, ...] = (0.5, 0.8, 0.95)
    gate_rate: float = 0.01
    classifier_epochs: int = 24
    open_epochs: int = 8
    width: int = 64
    dim: int = 32
    batch_size: int = 60

    def arms(self, methods: tuple[str, ...]) -> list[Arm]:
        """Every setting of these methods: learning rates, or for gates and correction what they add."""
        arms = []
        for method in methods:
            if method == FIXED:
                arms += [Arm(method, self.gate_rate, gate) for gate in self.gates]
            elif method == CORRECTED:
                arms += [Arm(method, self.gate_rate, None, confidence) for confidence in self.confidences]
            else:
                gate = None if method == DYNAMIC else float("inf")
                arms += [Arm(method, rate, gate) for rate in self.learning_rates]
        return arms

    def classification(self) -> Classification:
        return Classification(self.batch_size, self.classifier_epochs, self.open_epochs, self.width, self.dim)


@dataclass(frozen=True)
class Stages(Grid):
    """Both stages: ``warm_up`` epochs of DINO, then ``epochs`` with clusters that are found anew every ``refresh``."""

    warm_up: int = 32
    epochs: int = 12
    refresh: int = 6
    purities: tuple[float, ...] = (0.6,)


@dataclass(frozen=True)
class Heard:
    """A world with items (levels, n) to learn from, to choose settings by and to report."""

    world: Any
    train: Tensor
    validation: Tensor
    test: Tensor

    def speakers(self, items: Tensor) -> Tensor:
        """Speakers of the items, numbered from 0; levels have the same."""
        return self.world.speakers[items[0]].unique(return_inverse=True)[1]


def synthetic(speakers: int, utterances: int, sessions: tuple[float, ...], seed: int, device: str) -> Heard:
    """The same speakers at every strength of session noise; thirds of them to learn from, to choose by, to report."""
    worlds = [
        synthetic_speakers(
            3 * speakers, utterances, session, generator=torch.Generator(device).manual_seed(seed), channel=1.0
        )
        for session in sessions
    ]
    first = worlds[0]
    world = replace(
        first, factors=torch.cat([w.factors for w in worlds]), speakers=torch.cat([w.speakers for w in worlds])
    )
    items = torch.arange(len(world), device=device).reshape(len(worlds), 3, -1)
    return Heard(world, items[:, 0], items[:, 1], items[:, 2])


def both_stages(heard: Heard, settings: Stages, seed: int, device: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    generator = torch.Generator(device).manual_seed(seed + 1)
    truth = heard.speakers(heard.train)
    classes, (levels, count) = int(truth.max()) + 1, heard.train.shape
    own = torch.arange(count, device=device)
    s = Distillation(settings.batch_size, width=settings.width, dim=settings.dim)

    # One more model has no centre, at the mildest level, where collapse cannot be blamed on noise.
    started = torch.tensor([*range(levels), 0], device=device)
    state = fresh(heard.world, s, generator, levels + 1)
    centred = (torch.arange(levels + 1, device=device) < levels).float()
    everyone = own.expand(levels + 1, -1)
    distil(state, heard.world, heard.train[started], everyone, settings.warm_up, s, generator, centred)
    spoilt = {f"clusters of purity {p:g}": _spoilt(truth, p, generator) for p in settings.purities}
    shuffled = truth[torch.randperm(count, generator=generator, device=device)]
    chosen = {DINO: own, CLUSTERS: truth, ORACLE: truth, **spoilt, RANDOM: shuffled}
    methods = [*list(chosen) * levels, UNCENTRED]
    parents = torch.tensor([*(level for level in range(levels) for _ in chosen), levels], device=device)
    level_of = torch.where(parents < levels, parents, 0)
    clusters = torch.stack([*list(chosen.values()) * levels, own])
    by_clusters = [place for place, method in enumerate(methods) if method == CLUSTERS]
    arms = branched(state, parents, s)
    for start in range(0, settings.epochs, settings.refresh):
        known = spoken(arms.teacher.encoder, heard.world, heard.train[level_of])
        clusters[by_clusters] = clustered(known[by_clusters], classes, seed)
        epochs = min(settings.refresh, settings.epochs - start)
        distil(arms, heard.world, heard.train[level_of], clusters, epochs, s, generator, centred[parents])

    rows = _distilled_rows(heard, arms, methods, level_of, clusters, seed)
    learnt = spoken(arms.teacher.encoder, heard.world, heard.train[level_of])
    labels = clustered(learnt[by_clusters], classes, seed)
    table, _ = classified(heard, labels, settings, (*METHODS, SUPERVISED), generator)
    entropies = torch.stack([*(e[[0, levels]] for e in state.entropies), *(e[[0, -1]] for e in arms.entropies)])
    return pd.concat([pd.DataFrame(rows), table.assign(stage="classification")], ignore_index=True), {
        "entropies": entropies.cpu().numpy()
    }


def _distilled_rows(
    heard: Heard, arms: Distilled, methods: list[str], level_of: Tensor, clusters: Tensor, seed: int
) -> list[dict[str, Any]]:
    """Errors and purity of every arm of stage 1 and of raw features on held-out utterances."""
    levels, held_out = torch.arange(len(heard.test), device=clusters.device), heard.speakers(heard.test)
    rows = []
    for names, level, tested, validated in (
        (
            [RAW] * len(levels),
            levels,
            raw_features(heard.world, heard.test),
            raw_features(heard.world, heard.validation),
        ),
        (
            methods,
            level_of,
            spoken(arms.teacher.encoder, heard.world, heard.test[level_of]),
            spoken(arms.teacher.encoder, heard.world, heard.validation[level_of]),
        ),
    ):
        found = clustered(tested, int(held_out.max()) + 1, seed)
        columns = zip(
            names,
            level.tolist(),
            error_rates(validated, heard.speakers(heard.validation)),
            error_rates(tested, held_out),
            cluster_purity(found, held_out).tolist(),
            strict=True,
        )
        rows += [
            {
                "stage": "distillation",
                "level": at,
                "method": name,
                "setting": "the only one",
                "eer_validation": validation,
                "eer": test,
                "purity": purity,
            }
            for name, at, validation, test, purity in columns
        ]
    used = [*[np.nan] * len(levels), *cluster_purity(clusters, heard.speakers(heard.train)).tolist()]
    said = [*[np.nan] * len(levels), *arms.entropies[-1].tolist()]
    return [{**row, "label_purity": p, "entropy": h} for row, p, h in zip(rows, used, said, strict=True)]


def _spoilt(truth: Tensor, purity: float, generator: torch.Generator) -> Tensor:
    """True clusters with so many items moved to random ones that about this share remains."""
    moved = torch.rand(len(truth), generator=generator, device=truth.device) >= purity
    return torch.where(moved, truth[torch.randperm(len(truth), generator=generator, device=truth.device)], truth)


def classified(
    heard: Heard, labels: Tensor, settings: Grid, methods: tuple[str, ...], generator: torch.Generator
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Stage 2 with every setting of every method, on the pseudo labels (levels, n) of each level; losses of one arm."""
    truth = heard.speakers(heard.train)
    classes = int(truth.max()) + 1
    arms = [(level, arm) for level in range(len(labels)) for arm in settings.arms(methods)]
    level_of = torch.tensor([level for level, _ in arms], device=labels.device)
    supervised = torch.tensor([arm.method == SUPERVISED for _, arm in arms], device=labels.device)
    given = torch.where(supervised[:, None], truth, labels[level_of])
    found = classify(
        heard.world,
        heard.train[level_of],
        given,
        classes,
        [arm for _, arm in arms],
        settings.classification(),
        generator,
    )
    validated, tested = (
        spoken(found.encoder, heard.world, items[level_of % len(items)]) for items in (heard.validation, heard.test)
    )
    held_out = heard.speakers(heard.test)
    validation, test = error_rates(validated, heard.speakers(heard.validation)), error_rates(tested, held_out)
    purity = cluster_purity(clustered(tested, int(held_out.max()) + 1, 0, tries=1), held_out).tolist()
    rows = []
    for number, (level, arm) in enumerate(arms):
        # The speaker that a label stands for is the most frequent one that bears it.
        meaning = majority_speakers(given[number], truth)
        right, kept, corrected = meaning[given[number]] == truth, found.kept[number], found.corrected[number]
        drawn = torch.rand(len(kept), generator=generator, device=kept.device).argsort()[: int(kept.sum())]
        rows.append(
            {
                "level": level,
                "method": arm.method,
                "setting": arm.setting,
                "eer_validation": validation[number],
                "eer": test[number],
                "purity": purity[number],
                "label_purity": float(cluster_purity(given[number], truth)),
                "gate": float(found.gates[-1, number]),
                "kept": float(kept.float().mean()),
                "precision": _share(right, kept),
                "precision_random": _share(right, torch.zeros_like(kept).index_fill(0, drawn, True)),
                "recall": _share(kept, right),
                "corrected": float(corrected.float().mean()),
                "corrected_right": _share(
                    meaning[found.predicted[number].clamp_max(len(meaning) - 1)] == truth, corrected
                ),
            }
        )
    shown = next(
        n
        for n, (level, arm) in enumerate(arms)
        if level == 0 and arm.method == DYNAMIC and arm.learning_rate == settings.gate_rate
    )
    right = majority_speakers(given[shown], truth)[given[shown]] == truth
    arrays = {"losses": found.losses[:, shown], "gates": found.gates[:, shown], "right": right}
    return pd.DataFrame(rows), {name: values.cpu().numpy() for name, values in arrays.items()}


def _share(what: Tensor, of: Tensor) -> float:
    """Share of those marked in ``of`` that are marked in ``what``; 0 of none."""
    return float((what & of).sum() / of.sum().clamp_min(1))
