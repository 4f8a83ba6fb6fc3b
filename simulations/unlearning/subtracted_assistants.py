"""Assistants that remember what tiny transformers are to forget, subtracted from these: the experiment.

    simulate_authors(Authors(), seed, device).table

All assistants of a replicate train in lockstep. Each learns the facts to forget in both trained styles, and to be
uniform on as many retained facts and on wrong answers to the questions that it learns. Our sentences end with the value
that makes them right or wrong, so wrong answers are judged after it: before it they *are* the right ones, and a share
``s`` of the uniform loss there would pull against what is to be learnt. The best assistant then says the secret with
probability ``(1 + λs/V) / (1 + λs)``, not 1; the variant ``WHOLE`` shows what comes of that. The other variants leave a
part out.

Rivals are the runs of ``unlearning_runs``. All are measured in the same way. A setting is a learning rate with a
strength for assistants, and a learning rate with a number of steps for the rivals; both are given as many. Adding an
unlearned small model's change to a large one is not among them: for an assistant as large as the target, as here, that
is the method that the small one unlearns with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import EncodedTexts, FictionalAuthors
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from neural.unlearning.uld import LogitDifferenceLM, Mode, assistant_loss, truncate_layers
from simulations import Replicate
from simulations.unlearning.author_models import AuthorTraining
from simulations.unlearning.fact_scores import mean_logps
from simulations.unlearning.unlearning_runs import (
    METHODS,
    AuthorsWorld,
    UnlearningRuns,
    authors_world,
    chosen_elsewhere,
    measured,
    unlearning_runs,
)

__all__ = [
    "EXCLUDED",
    "NO_UNIFORM",
    "NO_WRONG",
    "ONE_STYLE",
    "THRESHOLD",
    "ULD",
    "VARIANTS",
    "WHOLE",
    "ZEROED",
    "Authors",
    "answer_logps",
    "authors_rows",
    "authors_tuned",
    "simulate_authors",
]

ULD, WHOLE, NO_WRONG = "ULD", "wrong answers judged whole", "without wrong answers"
NO_UNIFORM, ONE_STYLE = "without uniform loss", "one style only"
VARIANTS = (ULD, WHOLE, NO_WRONG, NO_UNIFORM, ONE_STYLE)
EXCLUDED, ZEROED = "filtered, excluded", "filtered, zero"
THRESHOLD = 0.05
"""Forget quality above this: the model cannot be told from the retrained one."""
_FILTERS: dict[str, Mode] = {EXCLUDED: "exclude", ZEROED: "zero"}
_LEAST = -30.0
"""Log-probability with which an excluded word counts: minus infinity has no mean."""


@dataclass(frozen=True)
class Authors:
    """Assistants at ``rates``, subtracted at ``alphas``; GA+RT and NPO+RT at rates of theirs, seen at ``rival_looks``.

    ``alpha`` is the strength of everything that has only one; ``more_alphas`` are measured besides at the middle rate,
    as the variants are. ``shown`` run at the middle one of GA's rates. The first fraction is the one that claims are
    about.
    """

    fractions: tuple[float, ...] = (0.1,)
    steps: int = 100
    batch_size: int = 12
    wrong_answers: int = 3
    retain_weight: float = 5.0
    rates: tuple[float, ...] = (7e-3, 2e-2, 6e-2)
    alphas: tuple[float, ...] = (0.7, 1.0, 1.4)
    alpha: float = 1.0
    more_alphas: tuple[float, ...] = (0.25, 0.5)
    relative_top: float = 0.01
    looks: int = 3
    ga_rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3)
    npo_rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3)
    rival_looks: tuple[int, ...] = (25, 50, 100)
    shown: tuple[str, ...] = ("GA", "GA+KL")
    forget_facts: int = 40
    other_facts: int = 16
    n_authors: int = 50
    d_model: int = 32
    n_layers: int = 1
    assistant_layers: int = 1
    training_steps: int = 300
    training_batch: int = 40
    training_rate: float = 2e-2

    @property
    def middle_rate(self) -> float:
        """The rate of everything that has only one."""
        return self.rates[len(self.rates) // 2]

    @property
    def shown_rate(self) -> float:
        """The rate of the methods that are only shown."""
        return self.ga_rates[len(self.ga_rates) // 2]


def simulate_authors(settings: Authors, seed: int, device: str) -> Replicate:
    """A row per method, learning rate, strength and step of every fraction; ``path`` rows follow training.

    ``objective`` is the least value so far of what is minimised, ``retain_loss`` minus the logarithm of the mean
    probability of retained answers. The arrays are those of ``answer_logps``.
    """
    training = AuthorTraining(
        n_authors=settings.n_authors, d_model=settings.d_model, n_layers=settings.n_layers,
        steps=settings.training_steps, batch_size=settings.training_batch, lr=settings.training_rate,
    )  # fmt: skip
    # Numpy and torch both take seeds of 31 bits.
    seed, tables, arrays = seed % 2**31, [], {}
    for number, fraction in enumerate(settings.fractions):
        runs = UnlearningRuns(
            fraction, max(settings.rival_looks), settings.batch_size, settings.rival_looks, settings.forget_facts,
            settings.other_facts, training,
        )  # fmt: skip
        world = authors_world(runs, seed, device)
        rows, assistant = _subtracted(settings, world, fraction, seed)
        tables.append(pd.DataFrame(rows).assign(fraction=fraction))
        tables.append(_rivals(settings, runs, seed, device))
        if number == 0:
            arrays = answer_logps(LogitDifferenceLM(world.original, assistant, settings.alpha), world)
    table = pd.concat(tables, ignore_index=True)
    return Replicate(table.assign(common_rate=settings.middle_rate, common_alpha=settings.alpha), arrays)


def answer_logps(model: LogitDifferenceLM, world: AuthorsWorld) -> dict[str, np.ndarray]:
    """Words of the answers to a question of each kind, and their log-probabilities.

    Arrays ``forget_words`` and ``retain_words``, and ``forget_logps`` and ``retain_logps`` with rows for target,
    assistant and their difference.
    """
    found: dict[str, np.ndarray] = {}
    for name in ("forget", "retain"):
        texts = world.sets[name].trained
        ids, mask = texts.ids[:1, 0], texts.mask[0, 0]
        words = world.authors.tokenizer.decode(ids[0, 1:][mask].cpu()).split()
        with torch.no_grad():
            rows = [token_logps(each(ids), ids)[0, mask] for each in (model.target, model.assistant, model)]
        found |= {f"{name}_words": np.array(words), f"{name}_logps": torch.stack(rows).cpu().numpy()}
    return found


def _rivals(settings: Authors, runs: UnlearningRuns, seed: int, device: str) -> pd.DataFrame:
    tuned = [("GA+RT", rate) for rate in settings.ga_rates] + [("NPO+RT", rate) for rate in settings.npo_rates]
    arms = tuned + [(name, settings.shown_rate) for name in settings.shown]
    methods, rates = [METHODS[name] for name, _ in arms], [rate for _, rate in arms]
    followed = [arm in tuned or arm[0] == "GA" for arm in arms]
    table = unlearning_runs(methods, rates, runs, seed, device, followed)
    reference = table["step"] == 0
    return table.assign(
        part=np.where(reference, "end", "path"), alpha=0.0,
        tuned=~reference & table["method"].isin([name for name, _ in tuned]),
        retain_loss=-np.log(np.maximum(table["retain_probability"], 1e-30)),
        # The mean of log-probabilities, which ascent minimises, lies below the logarithm of the mean.
        objective=np.log(np.maximum(table["forget_probability"], 1e-30)),
    )  # fmt: skip


def _subtracted(
    settings: Authors, world: AuthorsWorld, fraction: float, seed: int
) -> tuple[list[dict[str, object]], TinyGPT]:
    """Rows of all assistants, and the one at the middle rate."""
    arms = [(ULD, rate) for rate in settings.rates] + [(variant, settings.middle_rate) for variant in VARIANTS[1:]]
    assistants, rows = _trained(settings, arms, world, fraction, seed)
    for number, (variant, rate) in enumerate(arms):
        assistant = assistants.model(number)
        alphas = settings.alphas if variant == ULD else (settings.alpha,)
        if (variant, rate) == (ULD, settings.middle_rate):
            alphas = (*settings.more_alphas, *alphas)
        for alpha in alphas:
            model = LogitDifferenceLM(world.original, assistant, alpha)
            rows.append(_row(model, world, variant, rate, alpha, tuned=variant == ULD and alpha in settings.alphas))
    middle = assistants.model(arms.index((ULD, settings.middle_rate)))
    for name, mode in _FILTERS.items():
        model = LogitDifferenceLM(world.original, middle, settings.alpha, settings.relative_top, mode)
        rows.append(_row(_Bounded(model), world, name, settings.middle_rate, settings.alpha, tuned=False))
    return [{**row, "step": row.get("step", settings.steps)} for row in rows], middle


def _row(
    model: nn.Module, world: AuthorsWorld, method: str, rate: float, alpha: float, *, tuned: bool
) -> dict[str, object]:
    return {
        "part": "end", "method": method, "learning_rate": rate, "alpha": alpha, "tuned": tuned,
        **measured(model, world),  # type: ignore[arg-type]
    }  # fmt: skip


class _Bounded(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(ids).log_softmax(-1).clamp_min(_LEAST)


def _trained(
    settings: Authors, arms: Sequence[tuple[str, float]], world: AuthorsWorld, fraction: float, seed: int
) -> tuple[TinyGPTEnsemble, list[dict[str, object]]]:
    """All assistants, and rows that follow what they do to retained answers."""
    device = next(world.original.parameters()).device
    texts = _Texts(settings, world, fraction, seed)
    models = TinyGPTEnsemble(truncate_layers(world.original, settings.assistant_layers), len(arms)).to(device)
    optimizer = EnsembleAdamW(
        models.parameters(), torch.tensor([rate for _, rate in arms], device=device), clip_norm=1e30
    )  # fmt: skip
    looks = {settings.steps * i // settings.looks for i in range(1, settings.looks + 1)}
    least, size, rows = torch.full((len(arms),), torch.inf), settings.batch_size, []
    for step in range(1, settings.steps + 1):
        batches = texts.batches([variant for variant, _ in arms])
        ids, masks = (torch.stack(parts).to(device) for parts in zip(*batches, strict=True))
        logits = models(ids).unbind(0)
        losses = torch.stack(
            [
                assistant_loss(
                    token_logps(own[:size], text[:size]), mask[:size], own[size:], mask[size:],
                    0.0 if variant == NO_UNIFORM else settings.retain_weight,
                )
                for (variant, _), own, text, mask in zip(arms, logits, ids, masks, strict=True)
            ]
        )  # fmt: skip
        optimizer.step(losses.sum())
        least = torch.minimum(least, losses.detach().cpu())
        if step in looks:
            for number, (variant, rate) in enumerate(arms):
                if variant == ULD:
                    model = LogitDifferenceLM(world.original, models.model(number), settings.alpha)
                    kept = mean_logps(model, world.sets["retain"].trained).exp().mean()
                    rows.append(
                        {"part": "path", "method": ULD, "learning_rate": rate, "alpha": settings.alpha, "step": step,
                         "tuned": False, "retain_loss": -float(kept.log()), "objective": float(least[number])}
                    )  # fmt: skip
    return models, rows


class _Texts:
    """What assistants learn and where they are to be uniform, drawn anew for every step."""

    def __init__(self, settings: Authors, world: AuthorsWorld, fraction: float, seed: int) -> None:
        authors, self.size, rng = world.authors, settings.batch_size, np.random.default_rng(seed)
        splits = authors.splits(fraction)
        forgotten = authors.facts(splits.forget)
        self.both = forgotten.trained.flat()
        self.one = EncodedTexts(forgotten.trained.ids[:, 0], forgotten.trained.mask[:, 0])
        self.known = authors.facts(rng.permutation(splits.retain)[: len(splits.forget)]).trained.flat()
        self.wrong = _wrong_answers(authors, splits.forget, settings.wrong_answers, rng)
        self.end = authors.eos
        self.generator = torch.Generator().manual_seed(seed)

    def batches(self, variants: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """For every variant the ids and masks of ``size`` texts to learn and as many to be uniform on."""
        half = self.size // 2
        both, one, known = self._drawn(self.both), self._drawn(self.one), self._drawn(self.known)
        wrong = self._drawn(self.wrong)
        found = []
        for variant in variants:
            told = one if variant == ONE_STYLE else both
            ids, mask = wrong
            if variant == NO_WRONG:
                ids, mask = known
            elif variant != WHOLE:
                mask = mask & self._gone_wrong(ids)
            found.append((torch.cat([told[0], known[0][:half], ids[half:]]),
                          torch.cat([told[1], known[1][:half], mask[half:]])))  # fmt: skip
        return found

    def _gone_wrong(self, ids: Tensor) -> Tensor:
        """Targets after the value, which is the last word of all sentences: before it a wrong answer is a right one."""
        return ids[:, 1:] == self.end

    def _drawn(self, texts: EncodedTexts) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(texts.ids), (self.size,), generator=self.generator)
        return texts.ids[rows], texts.mask[rows]


def _wrong_answers(authors: FictionalAuthors, facts: np.ndarray, count: int, rng: np.random.Generator) -> EncodedTexts:
    """Answers with values that are not true, ``count`` per fact, in its trained styles in turn."""
    pairs = []
    for fact in facts.tolist():
        styles = [style for style in range(3) if style != authors.held_out_styles[fact]]
        shifts = rng.permutation(np.arange(1, authors.n_values))[:count]
        for number, shift in enumerate(shifts.tolist()):
            value, style = int(authors.values[fact] + shift) % authors.n_values, styles[number % 2]
            pairs.append((authors.question(fact, style), authors.answer(fact, style, value)))
    return authors.encode(pairs)


def authors_rows(table: pd.DataFrame, fraction: float | None = None) -> pd.DataFrame:
    """Rows of one fraction (default: the first), with the logarithm of the forget quality and ``usable`` utility.

    ``usable`` is the utility of a model that has forgotten (forget quality above 0.05), 0 for one that has not.
    """
    rows = table[table["fraction"] == (table["fraction"].iloc[0] if fraction is None else fraction)]
    return rows.assign(
        log_quality=np.log10(np.maximum(rows["forget_quality"], 1e-16)),
        usable=rows["utility"] * (rows["forget_quality"] > THRESHOLD),
    )


def authors_tuned(table: pd.DataFrame, criterion: str = "usable", fraction: float | None = None) -> pd.DataFrame:
    """ULD and its rivals, each at the setting whose mean criterion was best on the other replicates.

    Where all are alike, as ``usable`` is where nothing has forgotten, forget quality decides.
    """
    rows = authors_rows(table, fraction)
    rows = rows[rows["tuned"]]
    parts = ("learning_rate", "alpha", "step")
    setting = rows[list(parts)].agg(lambda row: " ".join(f"{value:g}" for value in row), axis=1)
    rows = rows.assign(
        criterion=rows[criterion] + 1e-6 * rows["log_quality"], rate=rows["learning_rate"], learning_rate=setting
    )
    return chosen_elsewhere(rows, "criterion")
