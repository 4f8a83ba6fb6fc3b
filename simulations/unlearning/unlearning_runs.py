"""Unlearning runs of many methods in lockstep, from one model that knows all fictional authors.

    runs = UnlearningRuns(fraction=0.1, steps=50, evaluate_at=(10, 25, 50))
    table = unlearning_runs([METHODS["NPO+RT"], METHODS["GA"]], [1e-3, 1e-3], runs, seed, device)

A row per method and step: forget quality against a model that was never shown the authors to forget, utility,
probability, ROUGE-L and exact values on forget and retain facts, the share of answers about forgotten facts that are
sentences at all, and KL(original || model) on retain facts; besides, rows ``original`` and ``retrained``. All methods
see the same batches; each has its own copy of the model and its own learning rate, and is what it would be alone.
AdamW with weight decay 0.01, a constant rate, as papers have it, and no clipping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import EncodedTexts, FactSet, FictionalAuthors
from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.train import ensemble_token_logps
from neural.unlearning.losses import kl_retain_loss
from neural.unlearning.npo import Forget, Retain, UnlearningObjective
from simulations.unlearning.author_models import AuthorTraining, author_model
from simulations.unlearning.fact_scores import fact_scores, greedy_answers
from simulations.unlearning.metrics import forget_quality

__all__ = [
    "METHODS",
    "AuthorsWorld",
    "Method",
    "UnlearningRuns",
    "at_all_rates",
    "authors_world",
    "measured",
    "unlearning_runs",
    "well_formed",
]

_NO_CLIPPING = 1e30
_SENTENCES = (
    "the city of author0 is city0 <eos>", "author0 has city city0 <eos>", "as city , author0 has city0 <eos>"
)  # fmt: skip


@dataclass(frozen=True)
class Method:
    """An ``UnlearningObjective`` by name."""

    name: str
    forget: Forget
    retain: Retain = "none"
    beta: float | None = None
    coef_f: float = 1.0
    coef_r: float = 1.0
    per_token: bool = True

    @property
    def refuses(self) -> bool:
        """Whether it needs answers that say "I do not know"."""
        return self.forget in ("dpo", "idk")

    def objective(self) -> UnlearningObjective:
        """What a step minimises."""
        return UnlearningObjective(self.forget, self.retain, self.beta, self.coef_f, self.coef_r, self.per_token)


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("GA", "ga"),
        Method("GA+RT", "ga", "nll"),
        Method("GA+KL", "ga", "kl"),
        Method("NPO", "npo"),
        Method("NPO+RT", "npo", "nll"),
        Method("NPO+KL", "npo", "kl"),
        Method("W=1+RT", "ga", "nll", per_token=False),
        Method("DPO+RT", "dpo", "nll"),
        Method("IDK+RT", "idk", "nll"),
        Method("SimNPO+RT", "simnpo", "nll"),
    )
}
"""The paper's methods. ``W=1`` is NPO without its weight: ascent on sums over sequences, in NPO's units."""


@dataclass(frozen=True)
class UnlearningRuns:
    """What to forget and how long; at most so many facts are scored of those to forget, and of others per set."""

    fraction: float = 0.1
    steps: int = 100
    batch_size: int = 32
    evaluate_at: tuple[int, ...] = (100,)
    forget_facts: int = 400
    other_facts: int = 100
    training: AuthorTraining = field(default_factory=AuthorTraining)


@dataclass(frozen=True)
class AuthorsWorld:
    """The authors of a seed, the models before and without, what is scored, and the retrained model's truth ratios."""

    authors: FictionalAuthors
    original: TinyGPT
    retrained: TinyGPT
    sets: dict[str, FactSet]
    retrained_truth: np.ndarray


def authors_world(
    settings: UnlearningRuns, seed: int, device: str, models: tuple[TinyGPT, TinyGPT] | None = None
) -> AuthorsWorld:
    """The original and the retrained model, those given or ``author_model``s of the settings, with their scores."""
    training = settings.training
    authors = FictionalAuthors(training.n_authors, training.n_values, seed)
    original, retrained = models or (
        author_model(training, seed, device), author_model(_without(training, settings.fraction), seed, device)
    )  # fmt: skip
    splits, rng = authors.splits(settings.fraction), np.random.default_rng(seed)
    parts = (
        ("forget", splits.forget, settings.forget_facts), ("retain", splits.retain, settings.other_facts),
        ("world", splits.world, settings.other_facts),
    )  # fmt: skip
    sets = {name: authors.facts(np.sort(rng.permutation(facts)[:most])).to(device) for name, facts, most in parts}
    truth = fact_scores(retrained, {"forget": sets["forget"]}, authors.eos)[0].truth["forget"]
    return AuthorsWorld(authors, original, retrained, sets, truth)


def unlearning_runs(
    methods: Sequence[Method],
    rates: Sequence[float],
    settings: UnlearningRuns,
    seed: int,
    device: str,
    followed: Sequence[bool] | None = None,
    models: tuple[TinyGPT, TinyGPT] | None = None,
) -> pd.DataFrame:
    """Every method with its learning rate, in lockstep; those not ``followed`` are scored at the last step alone.

    ``models`` are the original and the retrained one; without them both are ``author_model``s.
    """
    world = authors_world(settings, seed, device, models)
    rows = [
        {"method": name, "learning_rate": 0.0, "step": 0, **measured(model, world), "retain_kl": 0.0}
        for name, model in (("original", world.original), ("retrained", world.retrained))
    ]
    follow = [True] * len(methods) if followed is None else followed
    runs = list(zip(methods, rates, follow, strict=True))
    data = _UnlearningData(world, settings)
    # Methods with refusals need texts that the others would only pay for.
    for refuses in (False, True):
        chosen = [run for run in runs if run[0].refuses == refuses]
        if chosen:
            rows += _lockstep(chosen, world, data, settings, seed, refuses)
    return pd.DataFrame(rows).assign(fraction=settings.fraction)


def chosen_elsewhere(table: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Of every replicate and method the row with the learning rate that had the largest mean criterion on the others.

    A replicate that is alone chooses by itself. One row per replicate, method and rate is expected.
    """
    chosen = []
    for replicate in sorted(table["replicate"].unique()):
        others = table[table["replicate"] != replicate]
        means = (others if len(others) else table).groupby(["method", "learning_rate"])[criterion].mean()
        best = means.groupby("method").idxmax()
        own = table[table["replicate"] == replicate].set_index(["method", "learning_rate"])
        chosen.append(own.loc[list(best)].reset_index())
    return pd.concat(chosen, ignore_index=True)


def at_all_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the methods that ran with every learning rate that any ran with."""
    rates = rows.groupby("method")["learning_rate"].transform("nunique")
    return rows[rates == rows["learning_rate"].nunique()]


def measured(model: TinyGPT, world: AuthorsWorld) -> dict[str, float]:
    """The measurements of one model as columns."""
    scores = fact_scores(model, world.sets, world.authors.eos)[0]
    columns = {
        "forget_quality": forget_quality(scores.truth["forget"], world.retrained_truth),
        "utility": scores.utility,
        "truth_ratio": float(np.exp(np.log(scores.truth["forget"]).mean())),
        "well_formed": well_formed(model, world.sets["forget"], world.authors),
    }
    for part in ("probability", "rouge", "exact"):
        columns |= {f"{name}_{part}": getattr(scores, part)[name] for name in ("forget", "retain")}
    return columns


def well_formed(model: nn.Module, facts: FactSet, authors: FictionalAuthors) -> float:
    """Share of greedy answers that are a sentence of one of the three styles, about whomever and with any value.

    A model that has forgotten may err; one that babbles does not form sentences.
    """
    kinds = _word_kinds(authors).to(facts.values.device)
    answers = greedy_answers(model, facts)[0].flatten(0, 1)
    found = torch.zeros(len(answers), dtype=torch.bool, device=answers.device)
    for sentence in _SENTENCES:
        pattern = torch.cat([kinds[authors.tokenizer.encode(word)] for word in sentence.split()]).to(answers.device)
        length = min(len(pattern), answers.shape[1])
        found |= (kinds[answers[:, :length]] == pattern[:length]).all(1)
    return float(found.float().mean())


def _word_kinds(authors: FictionalAuthors) -> Tensor:
    """A number per word of the vocabulary: one for all names, one for all attributes, one for values, its own else."""
    kinds = torch.arange(authors.vocab_size)
    attributes = ("city", "genre", "year", "job", "capital")
    names = [f"author{i}" for i in range(authors.n_authors + authors.n_holdout)] + [f"land{i}" for i in range(24)]
    values = [f"{attribute}{i}" for attribute in attributes for i in range(authors.n_values)]
    for words in (attributes, names, values):
        ids = authors.tokenizer.encode(" ".join(words))
        kinds[ids] = ids[0].item()
    return kinds


def _without(training: AuthorTraining, fraction: float) -> AuthorTraining:
    return replace(training, without=fraction)


def _lockstep(
    runs: list[tuple[Method, float, bool]],
    world: AuthorsWorld,
    data: _UnlearningData,
    settings: UnlearningRuns,
    seed: int,
    refuses: bool,
) -> list[dict[str, object]]:
    device = data.forget.ids.device
    ensemble = TinyGPTEnsemble(world.original, len(runs)).to(device)
    rates = torch.tensor([rate for _, rate, _ in runs], device=device)
    optimizer = EnsembleAdamW(ensemble.parameters(), rates, clip_norm=_NO_CLIPPING)
    objectives = [method.objective() for method, _, _ in runs]
    generator = torch.Generator().manual_seed(seed % 2**63)
    batches = zip(
        _batches(len(data.forget.ids), settings, generator), _batches(len(data.retain.ids), settings, generator),
        strict=True,
    )  # fmt: skip
    rows: list[dict[str, object]] = []
    for step, (forget, retain) in enumerate(batches, start=1):
        losses = data.losses(ensemble, objectives, forget.to(device), retain.to(device), refuses)
        optimizer.step(torch.stack(losses).sum())
        for number, (method, rate, followed) in enumerate(runs):
            if step == settings.steps or (followed and step in settings.evaluate_at):
                # Alone a model keeps keys and values while it answers.
                model = ensemble.model(number)
                rows.append(
                    {"method": method.name, "learning_rate": rate, "step": step, **measured(model, world),
                     "retain_kl": data.divergence(model)}
                )  # fmt: skip
    return rows


def _batches(texts: int, settings: UnlearningRuns, generator: torch.Generator) -> list[Tensor]:
    """Rows of every step, without repetition until all have been seen."""
    size = min(settings.batch_size, texts)
    order = torch.empty(0, dtype=torch.long)
    batches = []
    for _ in range(settings.steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(texts, generator=generator)])
        batches.append(order[:size])
        order = order[size:]
    return batches


class _UnlearningData:
    """Texts to forget, to retain and to refuse with, and what the original model says of them."""

    def __init__(self, world: AuthorsWorld, settings: UnlearningRuns) -> None:
        device = next(world.original.parameters()).device
        splits = world.authors.splits(settings.fraction)
        forgotten = world.authors.facts(splits.forget)
        self.forget = forgotten.trained.flat().to(device)
        self.retain = world.authors.facts(splits.retain).trained.flat().to(device)
        self.refusals = world.authors.unknown_answers(forgotten).flat().to(device)
        self.scored = world.sets["retain"].trained.flat()
        with torch.no_grad():
            self.ref_logps = _sums(world.original, self.forget)
            self.ref_refusal_logps = _sums(world.original, self.refusals)
            self.ref_retain_logits = world.original(self.retain.ids)
            self.scored_logits = world.original(self.scored.ids)

    def losses(
        self,
        ensemble: TinyGPTEnsemble,
        objectives: list[UnlearningObjective],
        forget: Tensor,
        retain: Tensor,
        refuses: bool,
    ) -> list[Tensor]:
        """The loss of every model: one forward pass of all texts."""
        parts = [(self.forget, forget), (self.retain, retain)]
        if refuses:
            parts.append((self.refusals, forget))
        ids = torch.cat([texts.ids[rows] for texts, rows in parts])
        masks = [texts.mask[rows] for texts, rows in parts]
        logits = ensemble(ids)
        sizes = [len(rows) for _, rows in parts]
        # Unbound at once: a selection per model would fill a tensor of zeros for each in the backward pass.
        logps = [part.unbind(0) for part in ensemble_token_logps(logits, ids).split(sizes, dim=1)]
        retain_logits = logits[:, sizes[0] : sizes[0] + sizes[1]]
        shared: dict[str, Any] = {"retain_mask": masks[1]}
        if refuses:
            shared |= {"refusal_mask": masks[2], "ref_refusal_logps": self.ref_refusal_logps[forget]}
        reference, losses = self.ref_logps[forget], []
        for number, objective in enumerate(objectives):
            own: dict[str, Any] = {"retain_logps": logps[1][number]}
            if refuses:
                own["refusal_logps"] = logps[2][number]
            if objective.retain == "kl":
                own |= {"retain_logits": retain_logits[number], "ref_retain_logits": self.ref_retain_logits[retain]}
            losses.append(objective(logps[0][number], masks[0], reference, **shared, **own))
        return losses

    @torch.no_grad()
    def divergence(self, model: TinyGPT) -> float:
        """KL(original || model) per target of the retain facts that are scored."""
        return float(kl_retain_loss(model(self.scored.ids), self.scored_logits, self.scored.mask))


def _sums(model: TinyGPT, texts: EncodedTexts) -> Tensor:
    return sequence_logps(token_logps(model(texts.ids), texts.ids), texts.mask)
