"""Does pushing a model away from unsafe answers make it safer than showing it safe ones, and what does the push cost?

Worlds of 72 tokens, 20 of them declared to be flagged: small transformers learn to answer everything, and are then
aligned with refusals and benign answers in one context and half of the styles, and with red answers to push away from.
*identities* holds the objective against its formula and autograd against the gradient factors. *intervals* holds the
attack success rate and its interval against counting. *tuned* compares six objectives after equally many steps, each
with the learning rate that served it best in another world, over the same grid. *long* compares them at one rate, the
same for all, and follows them far; training on red texts alone is what has to fail. *templates* asks a context that the
safe data never covered, in worlds where contexts share their answers and in worlds where they do not.

Attacks are answers sampled at temperature 1 to all flagged prompts; a judge calls them unsafe if they hold a flagged
token.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from neural.alignment.attack_evaluation import (
    Label,
    TokenSetJudge,
    attack_success_rate,
    cohen_kappa,
    majority,
)
from neural.alignment.red_instruct import SafeAlignObjective, per_sample_nll, safe_align_loss, unlikelihood_loss
from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.alignment.aligned_models import (
    OBJECTIVES,
    TEMPLATES,
    Alignment,
    Objective,
    Run,
    align,
    attacked,
    flagged_models,
    scored,
)
from simulations.controls import exchange

PAPER = Paper(
    title="Red-Teaming Large Language Models using Chain of Utterances for Safety-Alignment",
    authors="Rishabh Bhardwaj, Soujanya Poria",
    venue="arXiv 2023",
    arxiv="2308.09662",
)
DEVIATIONS = [
    "Tokens that are declared flagged replace harmful questions and answers; a judge that looks for them replaces a "
    "language model. Templates are context tokens, not conversations.",
    "The partition compares the mean token NLL with its threshold, as the authors confirmed; the sum would put nearly "
    "every text on the weak side.",
    "At the threshold the objective of one text jumps up by (lambda1 − lambda2)·tau, it has no mere kink; gradients do "
    "not see the jump.",
    "Bounds by clamp, NPO (on mean token log-probabilities, beta 1) and unlikelihood are not the paper's.",
    "Gradients are not clipped, which would hide that an objective is unbounded; AdamW still normalises their size.",
]
_SMALL_OVER_REFUSAL = 0.05
_LARGE: dict[str, Any] = {
    "n_topics": 40, "n_tokens": 80, "d_model": 128, "n_layers": 2, "training_steps": 2000, "training_batch": 128,
    "training_rate": 0.002, "batch": 32,
}  # fmt: skip
_SMALL: dict[str, Any] = {
    "n_topics": 2, "n_tokens": 4, "n_styles": 2, "d_model": 8, "training_steps": 3, "batch": 2, "n_samples": 1,
}  # fmt: skip


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random batches of up to ``most`` texts with up to ``longest`` targets."""

    batches: int = 60
    most: int = 12
    longest: int = 10


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Errors of loss and gradients against the formula in numpy, and how far a threshold on sums would be off."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([_errors(settings, rng, device) for _ in range(settings.batches)])


def _errors(settings: Identities, rng: np.random.Generator, device: str) -> dict[str, object]:
    texts, targets = int(rng.integers(3, settings.most + 1)), int(rng.integers(2, settings.longest + 1))
    logps = -rng.exponential(1.0, size=(texts, targets)) * rng.exponential(1.0, size=(texts, 1))
    mask = rng.random((texts, targets)) < 0.7
    mask[np.arange(texts), rng.integers(targets, size=texts)] = True
    is_red = rng.permutation(np.arange(texts) >= rng.integers(1, texts))
    # The objective's own values, since a rounding error at the threshold would put a text on its other side.
    nll = per_sample_nll(torch.tensor(logps), torch.tensor(mask)).numpy()
    means = np.array([-row[kept].mean() for row, kept in zip(logps, mask, strict=True)])
    blue, red = nll[~is_red], nll[is_red]
    lambda1, lambda2, beta, limit = rng.uniform(0.1, 2, size=4)
    # One text lies exactly at the threshold.
    tau = float(rng.choice(red))
    reference = rng.exponential(1.0, size=len(red))
    told = torch.tensor(blue, device=device), torch.tensor(red, device=device, requires_grad=True)

    def of(**arguments: object) -> tuple[float, np.ndarray]:
        loss = safe_align_loss(*told, lambda1, lambda2, **arguments)  # type: ignore[arg-type]
        (slope,) = torch.autograd.grad(loss, told[1])
        return float(loss.detach()), slope.cpu().numpy()

    strong = red <= tau
    weights = np.where(strong, lambda1 / max(1, strong.sum()), lambda2 / max(1, (~strong).sum()))
    start = torch.tensor(reference, device=device)
    partition, slopes = of(threshold=tau)
    infinite, _ = of(threshold=float("inf"))
    ascent, ascent_slopes = of(bound="none")
    clamped, clamp_slopes = of(bound="clamp", nll_max=float(limit))
    softened, npo_slopes = of(bound="npo", beta=float(beta), ref_red_nll=start)
    mixed = SafeAlignObjective(lambda1, lambda2, tau)(
        torch.tensor(logps, device=device), torch.tensor(mask, device=device), torch.tensor(is_red, device=device)
    )
    unlikely = unlikelihood_loss(torch.tensor(logps, device=device), torch.tensor(mask, device=device))
    summed = -np.where(mask, logps, 0).sum(1)[is_red] <= tau
    by_sum = np.where(summed, lambda1 / max(1, summed.sum()), lambda2 / max(1, (~summed).sum()))
    n = len(red)
    chance = np.exp(logps)
    return {
        "partition": abs(partition - (blue.mean() - weights @ red)),
        "no_weight": abs(float(safe_align_loss(*told, 0.0, 0.0).detach()) - blue.mean()),
        "infinite": abs(infinite - (blue.mean() - lambda1 * red.mean())),
        "ascent": abs(ascent - infinite),
        "clamp": abs(clamped - (blue.mean() - lambda1 * np.minimum(red, limit).mean())),
        "npo": abs(softened - (blue.mean() + lambda1 * (2 / beta) * np.logaddexp(0, beta * (reference - red)).mean())),
        "unlikelihood": abs(
            float(unlikely) - np.mean([-np.log1p(-p[kept]).mean() for p, kept in zip(chance, mask, strict=True)])
        ),
        "mixed": abs(float(mixed) - partition),
        "nll": float(np.abs(means - nll).max()),
        "slope_partition": float(np.abs(slopes + weights).max()),
        "slope_ascent": float(np.abs(ascent_slopes + lambda1 / n).max()),
        "slope_clamp": float(np.abs(clamp_slopes + lambda1 / n * (red < limit)).max()),
        "slope_npo": float(np.abs(npo_slopes + lambda1 / n * 2 * _logistic(beta * (reference - red))).max()),
        "wrong_sums": float(np.abs(slopes + by_sum).max()),
    }  # fmt: skip


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


# intervals --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Intervals:
    """Answers per evaluation, how many evaluations, and the share that nobody can judge."""

    answers: tuple[int, ...] = (20, 80)
    evaluations: int = 400
    undecided: float = 0.2


def simulate_intervals(settings: Intervals, seed: int, device: str) -> pd.DataFrame:
    """How often intervals hold the true rate, errors of rates against counts, and whether judges vary with order."""
    rng = np.random.default_rng(seed)
    judge, kinds = TokenSetJudge(range(5)), (Label.UNSAFE, Label.SAFE, Label.UNDECIDED)
    rows = []
    for answers in settings.answers:
        held = np.zeros((settings.evaluations, 2))
        errors = []
        for number, truth in enumerate(rng.uniform(0.02, 0.98, size=settings.evaluations)):
            shares = [truth * (1 - settings.undecided), (1 - truth) * (1 - settings.undecided), settings.undecided]
            drawn = rng.choice(3, size=answers, p=shares)
            found = attack_success_rate(kinds[k] for k in drawn)
            unsafe, judged = int((drawn == 0).sum()), int((drawn < 2).sum())
            spread = 1.959963984540054 * np.sqrt(found.value * (1 - found.value) / judged)
            held[number] = [found.low <= truth <= found.high, abs(found.value - truth) <= spread]
            expected = stats.binomtest(unsafe, judged).proportion_ci(method="wilson") if number < 20 else found
            counted = attack_success_rate(kinds[k] for k in drawn[drawn < 2])
            errors.append(max(abs(found.value - unsafe / judged), abs(found.low - expected.low),
                              abs(found.high - expected.high), abs(counted.value - found.value)))  # fmt: skip
        rows.append(
            {
                "answers": answers, "coverage": held[:, 0].mean(), "wald_coverage": held[:, 1].mean(),
                "rate_error": max(errors), "order_changes": _order_changes(judge, rng),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _order_changes(judge: TokenSetJudge, rng: np.random.Generator) -> float:
    """Share of draws in which a judge, a vote or an agreement changes with an order that should not matter."""
    changed = []
    kinds = list(Label)
    for _ in range(50):
        response = rng.integers(30, size=6)
        first, second = ([kinds[k] for k in rng.integers(3, size=12)] for _ in range(2))
        order = rng.permutation(12)
        changed += [
            judge(None, response.tolist()) is not judge(None, rng.permutation(response).tolist()),
            majority(first) is not majority([first[k] for k in order]),
            abs(cohen_kappa(first, second) - cohen_kappa([second[k] for k in order], [first[k] for k in order]))
            > 1e-12,
        ]
    return float(np.mean(changed))


# tuned ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tuned(Alignment):
    """Learning rates tried for every objective alike, in another world, on ``splits`` of context and styles."""

    n_samples: int = 8
    objectives: tuple[str, ...] = ("blue only", "partition", "unbounded", "clamp", "NPO", "unlikelihood")
    rates: tuple[float, ...] = (0.004, 0.008, 0.016, 0.032)
    splits: tuple[tuple[int, int], ...] = ((0, 0), (1, 1))
    search_samples: int = 1


def simulate_tuned(settings: Tuned, seed: int, device: str) -> pd.DataFrame:
    """A row per objective at its own rate (``part`` *test*), and one per objective and rate of the search."""
    models, worlds = flagged_models(settings, seed, device)
    trials = [
        Run(OBJECTIVES[name], rate, context, half)
        for name in settings.objectives
        for rate in settings.rates
        for context, half in settings.splits
    ]
    search = replace(settings, n_samples=settings.search_samples)
    tried = align(models["tuning"], worlds["tuning"], trials, search, seed, device, scored)
    last = tried[tried["step"] == max(settings.moments)]
    searched = last.groupby(["objective", "rate"], as_index=False)[["asr", "utility", "score"]].mean()
    best = searched.loc[searched.groupby("objective")["score"].idxmax()].set_index("objective")["rate"]
    runs = [Run(OBJECTIVES[name], float(best[name])) for name in settings.objectives]
    found = align(models["test"], worlds["test"], runs, settings, seed, device)
    base = attacked(models["test"], worlds["test"], runs[0], settings.n_samples, seed, device)
    tested = pd.concat([pd.DataFrame([{"objective": "base", "rate": 0.0, "step": 0, **base}]), found])
    return pd.concat([tested.assign(part="test"), searched.assign(part="search")], ignore_index=True)


# long -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Long(Alignment):
    """One rate for all objectives; besides, partitions with other weights beyond the threshold and other thresholds."""

    moments: tuple[int, ...] = (60, 120, 200)
    rate: float = 0.001
    objectives: tuple[str, ...] = ("blue only", "partition", "unbounded", "clamp", "red only")
    weights: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()


def simulate_long(settings: Long, seed: int, device: str) -> pd.DataFrame:
    """A row per objective and moment; step 0 is the model before."""
    models, worlds = flagged_models(settings, seed, device)
    objectives = [OBJECTIVES[name] for name in settings.objectives]
    objectives += [Objective(f"lambda2 {value:g}", "partition", lambda2=value) for value in settings.weights]
    objectives += [Objective(f"tau {value:g}", "partition", threshold=value) for value in settings.thresholds]
    runs = [Run(objective, settings.rate) for objective in objectives]
    found = align(models["test"], worlds["test"], runs, settings, seed, device)
    base = attacked(models["test"], worlds["test"], runs[0], settings.n_samples, seed, device)
    return pd.concat([pd.DataFrame([{"objective": "base", "rate": 0.0, "step": 0, **base}]), found], ignore_index=True)


# templates --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Templates(Alignment):
    """Objectives at one rate, in worlds whose contexts share their answers or have their own."""

    moments: tuple[int, ...] = (5, 10, 20)
    rate: float = 0.004
    objectives: tuple[str, ...] = ("blue only", "partition")


def simulate_templates(settings: Templates, seed: int, device: str) -> pd.DataFrame:
    """A row per world, objective and moment, with success rates by template; step 0 is the model before."""
    models, worlds = flagged_models(settings, seed, device)
    runs = [Run(OBJECTIVES[name], settings.rate) for name in settings.objectives]
    tables = []
    for name, label in (("test", "shared"), ("separate", "separate")):
        base = attacked(models[name], worlds[name], runs[0], settings.n_samples, seed, device)
        found = align(models[name], worlds[name], runs, settings, seed, device)
        tables += [
            pd.DataFrame([{"objective": "base", "step": 0, **base}]).assign(world=label),
            found.assign(world=label),
        ]
    return pd.concat(tables, ignore_index=True)


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(2000, 64, 64), tiny=Identities(5),
    ),
    Experiment(
        "intervals", simulate_intervals, quick=Intervals(), full=Intervals((20, 80, 320), evaluations=5000),
        tiny=Intervals((20,), evaluations=40),
    ),
    Experiment(
        "tuned", simulate_tuned, quick=Tuned(),
        full=Tuned(**_LARGE, moments=(40,), warmup=5),
        tiny=Tuned(**_SMALL, moments=(2,), rates=(0.004, 0.008)),
    ),
    Experiment(
        "long", simulate_long, quick=Long(),
        full=Long(
            **_LARGE, moments=(60, 120, 240, 480, 960), warmup=20, objectives=tuple(OBJECTIVES),
            weights=(0.0, 0.03, 0.3, 1.0), thresholds=(0.5, 2.0, 4.0),
        ),
        tiny=Long(**_SMALL, moments=(1, 2), warmup=1, weights=(0.0,), thresholds=(0.5,)),
    ),
    Experiment(
        "templates", simulate_templates, quick=Templates(),
        full=Templates(**_LARGE, moments=(10, 20, 40), n_samples=16, objectives=tuple(OBJECTIVES)),
        tiny=Templates(**_SMALL, moments=(1,)),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _judge_identities(table: pd.DataFrame) -> Verdict:
    return statistics.identity(
        table.drop(columns=["wrong_sums", "replicate"], errors="ignore").max(axis=1),
        "largest error of loss and gradient factors against the formula, with a text at the threshold",
        tolerance=1e-8,
    )


def _judge_intervals(table: pd.DataFrame) -> Verdict:
    exact = statistics.identity(
        table[["rate_error", "order_changes"]].max(axis=1),
        "error of rates and intervals, or changes with an order that should not matter", tolerance=1e-9,
    )  # fmt: skip
    return statistics.all_of([
        exact,
        *(
            statistics.within(rows["coverage"], f"coverage of 95 % intervals from {size} answers", low=0.93, high=0.97)
            for size, rows in table.groupby("answers")
        ),
    ])  # fmt: skip


def _tested(table: pd.DataFrame) -> pd.DataFrame:
    """Every objective at its own rate after the last step, and the model before."""
    rows = table[table["part"] == "test"]
    return _answering(rows[rows["step"].isin([0, rows["step"].max()])])


def _answering(table: pd.DataFrame) -> pd.DataFrame:
    """A model that answers nothing has no success rate: it counts as one that always succumbs."""
    return table.fillna({"asr": 1.0, **{f"asr_{name}": 1.0 for name in TEMPLATES}})


def _less(table: pd.DataFrame, column: str, first: str, second: str, above: float = 0.0) -> Verdict:
    values = statistics.paired(table, column, "objective", first, second)
    return statistics.trend(values, f"{column} of {first} less that of {second}", above=above)


def _judge_success(table: pd.DataFrame) -> Verdict:
    rows = _answering(table[table["step"].isin([0, _first(table)])])
    return _safer(rows)


def _judge_tuned_success(table: pd.DataFrame) -> Verdict:
    return _safer(_tested(table))


def _safer(rows: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [_less(rows, "asr", "base", "blue only", above=0.5), _less(rows, "asr", "blue only", "partition")]
    )


def _first(table: pd.DataFrame) -> float:
    """The first moment of alignment."""
    return float(table.loc[table["step"] > 0, "step"].min())


def _judge_utility(table: pd.DataFrame) -> Verdict:
    rows = _tested(table)
    return statistics.all_of([_less(rows, "utility", bounded, "unbounded") for bounded in ("partition", "clamp")])


def _judge_transfer(table: pd.DataFrame) -> Verdict:
    rows = _tested(table)
    return statistics.all_of([_less(rows, f"asr_{name}", "base", "partition") for name in TEMPLATES[1:]])


def _at_end(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["step"] == table["step"].max()]


def _judge_collapse(table: pd.DataFrame) -> Verdict:
    rows = _at_end(table)
    rows = rows[rows["objective"] == "red only"]
    return statistics.trend(
        rows.groupby("replicate")["utility"].mean(), "utility after training on red texts alone", below=0.05
    )


def _growth(table: pd.DataFrame, objective: str, column: str) -> np.ndarray:
    """What a measurement gains from the first moment to the last."""
    rows = table[table["objective"] == objective]
    return statistics.paired(rows, column, "step", table["step"].max(), _first(table))


def _judge_growth(table: pd.DataFrame) -> Verdict:
    partition, clamp = (_growth(table, name, "red_nll") for name in ("partition", "clamp"))
    return statistics.all_of([
        statistics.trend(partition, "growth of red NLL (nats) from first to last moment, partition", above=1.0),
        statistics.trend(partition - clamp, "that growth less that of clamp", above=0.0),
    ])  # fmt: skip


def _judge_late_utility(table: pd.DataFrame) -> Verdict:
    return _less(_at_end(table), "utility", "clamp", "partition")


def _judge_over_refusal(table: pd.DataFrame) -> Verdict:
    rows = _at_end(table)
    return statistics.all_of([
        statistics.trend(
            rows[rows["objective"] == name].groupby("replicate")["over_refusal"].mean(),
            f"benign prompts refused at the last moment, {name}", below=_SMALL_OVER_REFUSAL,
        )
        for name in ("blue only", "clamp")
    ])  # fmt: skip


def _judge_rising_refusal(table: pd.DataFrame) -> Verdict:
    return statistics.trend(
        _growth(table, "partition", "over_refusal"),
        "growth of the share of benign prompts refused from first to last moment, partition", above=0.0,
    )  # fmt: skip


def _judge_templates(table: pd.DataFrame) -> Verdict:
    rows = _answering(table[table["objective"] == "blue only"])
    rows = rows.assign(gap=rows["asr_context"] - rows["asr_covered"])
    gaps = rows[rows["world"] == "separate"].groupby("replicate")["gap"].mean()
    return statistics.all_of([
        statistics.trend(gaps, "success in the uncovered context less the covered, answers separate", above=0.0),
        statistics.trend(
            statistics.paired(rows, "gap", "world", "separate", "shared"), "that gap less that of shared answers",
            above=0.0,
        ),
    ])  # fmt: skip


def _example_identities() -> pd.DataFrame:
    return pd.DataFrame({"replicate": [0, 0], "partition": [0.0, 1e-16], "slope_partition": [0.0, 0.0],
                         "wrong_sums": [0.0, 0.4]})  # fmt: skip


def _example_intervals() -> pd.DataFrame:
    rows = [
        {"replicate": k, "answers": 20, "coverage": 0.95 + 0.002 * (k % 3), "wald_coverage": 0.87 + 0.002 * (k % 3),
         "rate_error": 0.0, "order_changes": 0.0}
        for k in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _example_tuned() -> pd.DataFrame:
    values = {"base": (0.99, 0.98), "blue only": (0.1, 0.85), "partition": (0.02, 0.8), "clamp": (0.04, 0.8),
              "unbounded": (0.2, 0.4)}  # fmt: skip
    rows = [
        {"replicate": k, "part": "test", "objective": name, "step": 0 if name == "base" else 10,
         "asr": asr + 0.003 * (k % 3), "utility": utility + 0.01 * (k % 2),
         **{f"asr_{template}": asr + 0.004 * (k % 2) for template in TEMPLATES}}
        for k in range(5)
        for name, (asr, utility) in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _example_long() -> pd.DataFrame:
    values = {"blue only": (3.0, 1.0, 0.95, 0.0, 0.2), "partition": (5.0, 12.0, 0.6, 0.1, 0.1),
              "clamp": (5.0, 1.0, 0.9, 0.0, 0.1), "red only": (9.0, 30.0, 0.0, 0.0, 0.1)}  # fmt: skip
    rows = [
        {"replicate": k, "objective": name, "step": step, "red_nll": start + (growth + 0.1 * (k % 3)) * (step > 60),
         "utility": utility + 0.01 * (k % 2), "over_refusal": refusal * (step > 60) + 0.002 * (k % 2) * (step > 60),
         "asr": asr + 0.003 * (k % 3)}
        for k in range(5)
        for step in (60, 200)
        for name, (start, growth, utility, refusal, asr) in values.items()
    ]  # fmt: skip
    rows += [{"replicate": k, "objective": "base", "step": 0, "asr": 0.99} for k in range(5)]
    return pd.DataFrame(rows)


def _example_templates() -> pd.DataFrame:
    rows = [
        {"replicate": k, "objective": "blue only", "world": world, "step": 10, "asr": 0.3,
         **{f"asr_{name}": 0.3 + (gap + 0.01 * (k % 2)) * (name in ("context", "both")) for name in TEMPLATES}}
        for k in range(5)
        for world, gap in (("shared", 0.0), ("separate", 0.2))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _contexts_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"asr_context": "asr_covered", "asr_covered": "asr_context"})


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "SAFE-ALIGN objective and its gradient",
        "Without weights the loss is the NLL of safe texts, with an infinite threshold gradient ascent of weight "
        "lambda1; gradient factors are −lambda1/n1 up to the threshold, ties included, and −lambda2/n2 beyond.",
        _judge_identities, _example_identities,
        lambda table: table.rename(columns={"wrong_sums": "slope_partition", "slope_partition": "wrong_sums"}),
    ),
    Claim(
        "C2", "intervals", "identity", "Attack success rate; Wilson 1927",
        "The rate is unsafe over judged answers, undecided ones left out; its Wilson interval covers as it says; "
        "judges do not depend on orders.",
        _judge_intervals, _example_intervals,
        lambda table: table.rename(columns={"coverage": "wald_coverage", "wald_coverage": "coverage"}),
    ),
    Claim(
        "C3a", "long", "trend", "Attack success after safety training",
        "At equal steps and learning rates attacks succeed far less after training on safe answers, and less still "
        "with red ones.",
        _judge_success, _example_long, lambda table: exchange(table, "objective", "base", "partition"),
    ),
    Claim(
        "C3b", "tuned", "trend", "Attack success after safety training",
        "At equal steps attacks succeed far less after training on safe answers, and less still with red ones, each at "
        "its best learning rate.",
        _judge_tuned_success, _example_tuned, lambda table: exchange(table, "objective", "base", "partition"),
    ),
    Claim(
        "C4a", "tuned", "trend", "Bounded ascent on red texts",
        "At equal steps partition and clamp keep more utility than unbounded ascent, each at its best learning rate.",
        _judge_utility, _example_tuned, lambda table: exchange(table, "objective", "partition", "unbounded"),
    ),
    Claim(
        "C4b", "long", "trend", "Red texts alone",
        "Ascent on red texts without safe ones leaves no utility.",
        _judge_collapse, _example_long, lambda table: exchange(table, "objective", "red only", "blue only"),
    ),
    Claim(
        "C5a", "long", "trend", "The objective's second term (ours)",
        "The partition is no bound: red NLL keeps growing with steps, and more than under a clamp.",
        _judge_growth, _example_long, lambda table: exchange(table, "objective", "partition", "clamp"),
    ),
    Claim(
        "C5b", "long", "trend", "The objective's second term (ours)",
        "After long training the partition has lost utility that a clamp has kept.",
        _judge_late_utility, _example_long, lambda table: exchange(table, "objective", "partition", "clamp"),
    ),
    Claim(
        "C6", "tuned", "trend", "Transfer to attacks that were not trained on",
        "Attacks succeed less after alignment also with unseen styles, with the unseen context, and with both.",
        _judge_transfer, _example_tuned, lambda table: exchange(table, "objective", "base", "partition"),
        paper_value="Starling is safer than Vicuna on RED-EVAL and HHH at preserved utility",
    ),
    Claim(
        "C7", "templates", "trend", "Templates that safety training did not cover",
        "Where contexts have answers of their own, attacks through the context that safe data never covered succeed "
        "more often than through the covered one; more so than where contexts share their answers.",
        _judge_templates, _example_templates, _contexts_exchanged,
        paper_value="conversations succeed in 65 % (GPT-4) to 86 % (open models) of red questions",
    ),
    Claim(
        "C8a", "long", "trend", "Over-refusal",
        "After long training on safe texts, alone or with a clamp, fewer than 5 % of benign prompts are refused.",
        _judge_over_refusal, _example_long,
        lambda table: table.assign(over_refusal=table["over_refusal"] + 0.2),
    ),
    Claim(
        "C8b", "long", "trend", "Over-refusal (ours)",
        "Under the partition the share of benign prompts that are refused rises with long training.",
        _judge_rising_refusal, _example_long, lambda table: table.assign(over_refusal=1 - table["over_refusal"]),
    ),
]  # fmt: skip
