"""Resampling until an imperfect verifier accepts: ceilings, best numbers of attempts, and three zoos of models.

*outcomes* holds the closed forms against enumeration of all courses of up to six attempts, against simulation attempt
by attempt and against shuffled samples, and the formula of the authors' notebook against the same simulation;
*bounds* fuzzes ceilings. *two_types* compares formula, search, signs, simulation and exact rational arithmetic for the
best number of attempts; *instances* tests how it depends on the cost of a wrong answer. Then the paper's empirical
finding, that weaker models have lower accuracy among what is accepted, is looked for in three generative models of
tasks. *zoo*: logistic abilities and difficulties; a wrong answer disagrees on a random part of 256 inputs, some of
which are tests, with weak (A), good (B) and middling (C) tests, a perfect verifier as negative condition, and equal
tasks. *expressions*: mutants of random formulas, run on all 256 inputs. *programs*: mutants of thirty small functions,
run on the examples that their authors would show, on these with edge cases, and on the complete suite (which defines
what is correct, hence the negative condition); there the number of attempts is chosen on one half of the samples and
rewarded on the other. *cost* times the closed form against shuffling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, gammaln

from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.learning.expression_mutants import draw_task, judged_mutants
from simulations.learning.program_mutants import MutableProgram
from simulations.learning.resampling_checks import (
    CeilingBounds,
    Cost,
    Instances,
    Outcomes,
    TwoTypes,
    rate_arrays,
    shuffling_deviations,
    simulate_bounds,
    simulate_cost,
    simulate_instances,
    simulate_outcomes,
    simulate_two_types,
)
from simulations.learning.small_programs import SMALL_PROGRAMS
from theory.learning import imperfect_verifier as theory

PAPER = Paper(
    title="Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect Verifiers",
    authors="Benedikt Stroebl, Sayash Kapoor, Arvind Narayanan",
    venue="2024; ICLR 2026 as “The Limits of Inference Scaling Through Resampling”",
    arxiv="2411.17501",
)
DEVIATIONS = [
    "The authors' notebook weights an attempt's value, already a posterior mean, by the posterior mean of beta^(k − 1) "
    "where the prior mean belongs: its rewards are too low (C1c).",
    "Its best numbers of attempts for cheap wrong answers are where a rising curve saturates in floating point; the "
    "optimum there is infinite. Ours come from the signs of increments.",
    "That weaker models have lower ceilings needs no empirical correlation: with one soundness it follows, because "
    "precision rises with accuracy. In our zoo of programs the soundness is even higher for weaker models, whose "
    "mutants are spoilt in more places, and the ceiling is still lower.",
    "Where a quotient of logarithms is whole, the two-type optimum is one less than the formula with the floor: the "
    "last attempt adds nothing. And a single type that is accepted at once needs one attempt, not infinitely many.",
    "Samples of language models are not part of this: what a false positive's code looks like is not tested.",
]
RATIOS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Costs of a wrong answer in units of the worth of a right one."""
_PRICED = (1.0, 2.0, 4.0)


# zoo --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Zoo:
    """Tasks, models between two abilities, samples per model and task, the spread of difficulties."""

    tasks: int = 150
    models: int = 17
    samples: int = 200
    abilities: tuple[float, float] = (-3.2, 2.6)
    spread: float = 1.8


_VERIFIERS = {"A": (1, 8, 8), "B": (24, 4, 39), "C": (8, 3, 23)}
"""Fewest of 256 inputs on which a wrong answer is wrong, fewest and most visible tests of a task."""


def simulate_zoo(settings: Zoo, seed: int, device: str) -> Replicate:
    """A row per verifier and model: what its samples show, and what the rates behind them imply."""
    rng = np.random.default_rng(seed)
    difficulty = settings.spread * rng.standard_normal(settings.tasks)
    abilities = np.linspace(*settings.abilities, settings.models)
    r = expit(abilities[:, None] - difficulty)
    correct = rng.random((*r.shape, settings.samples)) < r[..., None]
    equal = expit(abilities[:, None] + np.zeros(settings.tasks))
    rows, arrays = [], {"r": r}
    for name, (fewest, low, high) in _VERIFIERS.items():
        tests = rng.integers(low, high + 1, settings.tasks)
        passing = _passing(fewest, tests)
        errors = rng.integers(0, len(passing), correct.shape)
        accept = correct | (rng.random(correct.shape) < passing[errors, np.arange(settings.tasks)[:, None]])
        soundness = 1 - passing.mean(axis=0)
        arrays[f"soundness_{name}"] = soundness
        rows += [
            {"verifier": name, "model": m, **_sampled(correct[m], accept[m]), **_expected(r[m], soundness)}
            for m in range(settings.models)
        ]
    perfect = np.ones(settings.tasks)
    weak = 1 - _passing(*_VERIFIERS["A"][:2]).mean(axis=0)
    for m in range(settings.models):
        sampled = _sampled(correct[m], correct[m])
        rows.append({"verifier": "perfect", "model": m, **sampled, **_expected(r[m], perfect)})
        rows.append(
            {"verifier": "A, equal tasks", "model": m, **_expected(equal[m], np.broadcast_to(weak, perfect.shape))}
        )
    return Replicate(pd.DataFrame(rows), arrays)


def _passing(fewest: int, tests: np.ndarray | int) -> np.ndarray:
    """``(sizes, tasks)``: the chance that the tests miss an error of each size, sizes being uniform in logarithm."""
    share = (np.arange(512) + 0.5) / 512
    size = np.rint(fewest * (128 / fewest) ** share)[:, None]
    n = np.atleast_1d(tests)
    missed = 256 - size - n
    log_chance = gammaln(257 - size) + gammaln(257 - n) - gammaln(np.maximum(missed, 0) + 1) - gammaln(257)
    return np.where(missed < 0, 0.0, np.exp(log_chance))


def _sampled(correct: np.ndarray, accept: np.ndarray) -> dict[str, float]:
    """What is seen in the samples of one model, tasks × samples."""
    rates = theory.estimate_rates(correct, accept)
    return {
        "accuracy": float(correct.mean()), "soundness": rates.soundness,
        "conditional": theory.conditional_accuracy(correct, accept),
        "worst": theory.conditional_accuracy(correct, accept, "worst"),
        **{f"k_{c:g}": float(theory.optimal_attempts(rates.p, rates.q, -c)) for c in RATIOS},
    }  # fmt: skip


def _expected(r: np.ndarray, soundness: np.ndarray) -> dict[str, float]:
    """What the rates of one model imply: its mean accuracy, the exact ceiling, the best numbers of attempts."""
    p, q, _ = rate_arrays(r, soundness)
    return {
        "mean_accuracy": float(r.mean()), "ceiling": theory.accuracy_ceiling(p, q),
        **{f"best_{c:g}": float(theory.optimal_attempts(p, q, -c)) for c in RATIOS},
    }  # fmt: skip


# expressions ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expressions:
    """Formulas, their depths and numbers of visible tests; models by their error rate per gate and leaf."""

    tasks: int = 60
    samples: int = 100
    models: int = 17
    error_rates: tuple[float, float] = (0.3, 0.005)
    depths: tuple[int, ...] = (1, 2, 3, 4)
    tests: tuple[int, int] = (4, 24)


def simulate_expressions(settings: Expressions, seed: int, device: str) -> pd.DataFrame:
    """A row per suite (visible tests; all 256 inputs) and model."""
    rng = np.random.default_rng(seed)
    rates = np.geomspace(*settings.error_rates, settings.models)
    judged = [
        judged_mutants(draw_task(rng, settings.depths, settings.tests), rng, rates, settings.samples)
        for _ in range(settings.tasks)
    ]
    correct, accept = (np.stack(each, axis=1) for each in zip(*judged, strict=True))
    return pd.DataFrame(
        [
            {"suite": suite, "model": m, "error_rate": rates[m], **_sampled(correct[m], accepted[m])}
            for suite, accepted in (("visible", accept), ("complete", correct)) for m in range(settings.models)
        ]
    )  # fmt: skip


# programs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Programs:
    """Candidates per model and program; models by their error rate per place; shuffles of the check."""

    samples: int = 100
    models: int = 11
    error_rates: tuple[float, float] = (0.15, 0.005)
    shuffles: int = 100
    programs: int = len(SMALL_PROGRAMS)


def simulate_programs(settings: Programs, seed: int, device: str) -> Replicate:
    """A row per suite and model; rewards are those of the second half of the samples."""
    rng = np.random.default_rng(seed)
    programs = [MutableProgram(program) for program in SMALL_PROGRAMS[: settings.programs]]
    rates = np.geomspace(*settings.error_rates, settings.models)
    passed = np.array(
        [
            [[program.passed(program.draw(rng, rate)) for _ in range(settings.samples)] for program in programs]
            for rate in rates
        ]
    )
    visible, edges, tests = (
        np.array([getattr(p, n) for p in programs])[:, None] for n in ("visible", "edges", "tests")
    )
    correct = passed == tests
    suites = {"visible": passed >= visible, "with edge cases": passed >= visible + edges, "complete": correct}
    rows = []
    for suite, accept in suites.items():
        for m in range(settings.models):
            deviation = shuffling_deviations(correct[m], accept[m], np.array([5]), settings.shuffles, rng)[0]
            rows.append(
                {"suite": suite, "model": m, "error_rate": rates[m], "deviation": float(deviation),
                 **_sampled(correct[m], accept[m]), **_held_out(correct[m], accept[m])}
            )  # fmt: skip
    return Replicate(pd.DataFrame(rows), {"correct": correct.mean(axis=2), "accepted": suites["visible"].mean(axis=2)})


def _held_out(correct: np.ndarray, accept: np.ndarray) -> dict[str, float]:
    """Attempts chosen on the first half of the samples; rewards, on the second, of that number and of all there are."""
    half = correct.shape[1] // 2
    rates = theory.estimate_rates(correct[:, :half], accept[:, :half])
    result = {}
    for cost in RATIOS:
        chosen = int(theory.optimal_attempts(rates.p, rates.q, -cost, K_max=half))
        right, wrong, _ = theory.permutation_outcomes(correct[:, half:], accept[:, half:], np.array([chosen, half]))
        reward = (right - cost * wrong).mean(axis=0)
        result |= {f"chosen_{cost:g}": chosen, f"reward_{cost:g}": reward[0], f"all_{cost:g}": reward[1]}
    return result


EXPERIMENTS = [
    Experiment(
        "outcomes", simulate_outcomes, quick=Outcomes(), full=Outcomes(cases=500, shuffles=50_000),
        tiny=Outcomes(cases=5, longest=3, tasks=4, samples=12, shuffles=50), replicates=5,
    ),
    Experiment(
        "bounds", simulate_bounds, quick=CeilingBounds(), full=CeilingBounds(instances=1_000_000),
        tiny=CeilingBounds(instances=200), replicates=5,
    ),
    Experiment(
        "two_types", simulate_two_types, quick=TwoTypes(), full=TwoTypes(instances=4000, rational=1000),
        tiny=TwoTypes(instances=20, rational=5), replicates=5,
    ),
    Experiment(
        "instances", simulate_instances, quick=Instances(), full=Instances(instances=2000, largest=200, costs=20),
        tiny=Instances(instances=5, costs=4), replicates=5,
    ),
    Experiment(
        "zoo", simulate_zoo, quick=Zoo(), full=Zoo(tasks=500, samples=1000), tiny=Zoo(tasks=12, models=4, samples=20),
        replicates=10,
    ),
    Experiment(
        "expressions", simulate_expressions, quick=Expressions(),
        full=Expressions(tasks=500, samples=1000, depths=(1, 2, 3, 4, 5)),
        tiny=Expressions(tasks=8, samples=20, models=3, error_rates=(0.1, 0.01)), replicates=10,
    ),
    Experiment(
        "programs", simulate_programs, quick=Programs(), full=Programs(samples=1000, models=17, shuffles=1000),
        tiny=Programs(samples=12, models=2, error_rates=(0.05, 0.02), shuffles=20, programs=4), replicates=5,
    ),
    Experiment(
        "cost", simulate_cost, quick=Cost(), tiny=Cost(tasks=5, samples=30, shuffles=20, rounds=1), replicates=1,
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _deviations(table: pd.DataFrame, *checks: str) -> pd.Series:
    return table.loc[table["check"].isin(checks), "deviation"]


def _judge_enumeration(table: pd.DataFrame) -> Verdict:
    exact = _deviations(table, "enumeration", "sum of outcomes", "expected attempts")
    return statistics.all_of(
        [
            statistics.identity(exact, "largest error against enumerated courses", tolerance=1e-12),
            statistics.at_least(
                float(_deviations(table, "enumeration, K − 1").min()), "error with one attempt fewer", threshold=1e-3
            ),
        ]
    )


def _judge_simulation(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(_deviations(table, "simulation"), "standard errors from simulated runs", tolerance=4.0),
            statistics.identity(
                _deviations(table, "shuffling"), "standard errors from shuffled samples", tolerance=4.0
            ),
            statistics.identity(_deviations(table, "pass@k"), "error against pass@k", tolerance=1e-11),
        ]
    )


def _judge_notebook(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.at_least(
                float(_deviations(table, "reward, notebook's formula").min()),
                "standard errors of the notebook's reward from simulation", threshold=10.0,
            ),
            statistics.identity(_deviations(table, "reward"), "standard errors of ours", tolerance=4.0),
        ]
    )  # fmt: skip


def _outcomes_example() -> pd.DataFrame:
    deviations = {
        "enumeration": 1e-15, "sum of outcomes": 0.0, "expected attempts": 1e-15, "enumeration, K − 1": 0.05,
        "simulation": 2.0, "shuffling": 1.0, "pass@k": 1e-14, "reward": 1.0, "reward, notebook's formula": 400.0,
    }  # fmt: skip
    return pd.DataFrame([{"replicate": k, "check": c, "deviation": d} for k in range(5) for c, d in deviations.items()])


def _checks_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(check=table["check"].replace({first: second, second: first}))


def _judge_bounds(table: pd.DataFrame) -> Verdict:
    true = table[~table["bound"].str.startswith("false")]
    worst = true.iloc[int(true["ratio"].to_numpy().argmax())]
    return statistics.all_of(
        [
            statistics.bound(
                worst["ratio"], "largest ratio of lower to upper side", required=200_000,
                instances=int(true["instances"].sum()), witness=f"{worst['bound']}: {worst['witness']}",
            ),
            statistics.at_most(
                float(table.loc[table["bound"] == "ceiling below 1", "ratio"].max()),
                "largest ceiling of an imperfect verifier", threshold=float(np.nextafter(1, 0)),
            ),
            statistics.at_least(
                float(table.loc[table["bound"].str.startswith("false"), "ratio"].min()),
                "ratio found for a bound that is false", threshold=1.5,
            ),
        ]
    )  # fmt: skip


def _bounds_example() -> pd.DataFrame:
    bounds = {"a bound": 0.9999999, "ceiling below 1": 0.999, "false: ceiling at most accuracy": 7.0}
    return pd.DataFrame(
        [
            {"replicate": k, "bound": b, "ratio": x, "instances": 100_000, "witness": "r=[0.5]"}
            for k in range(5) for b, x in bounds.items()
        ]
    )  # fmt: skip


def _disagreements(table: pd.DataFrame, kinds: tuple[str, ...], column: str) -> np.ndarray:
    rows = table[table["instances"].isin(kinds)]
    return (rows[column] != rows["best"]).to_numpy(dtype=float)


def _judge_two_types(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(
                _disagreements(table, ("two types",), "formula"), "wrong optima by formula", tolerance=0
            ),
            statistics.identity(
                _disagreements(table, ("two types", "rational"), "search"), "wrong optima by search", tolerance=0
            ),
        ]
    )


def _judge_reference(table: pd.DataFrame) -> Verdict:
    rows = table[table["instances"] == "simulated"]
    return statistics.all_of(
        [
            statistics.identity(
                _disagreements(table, ("simulated",), "formula"), "optima unlike simulated", tolerance=0
            ),
            statistics.identity(rows["reward_error"], "best reward less .5246, .4724, .3388", tolerance=5e-5),
        ]
    )


def _two_types_example() -> pd.DataFrame:
    kinds = [("two types", math.inf), ("two types", 3.0), ("rational", 2.0), ("simulated", 1.0)]
    return pd.DataFrame(
        [
            {"replicate": k, "instances": kind, "V": -1.0, "formula": best, "search": best, "best": best,
             "reward_error": 1e-5 if kind == "simulated" else np.nan}
            for k in range(5) for kind, best in kinds
        ]
    )  # fmt: skip


def _one_attempt_more(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(formula=table["formula"] + 1, search=table["search"] + 1)


def _judge_monotone(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.at_most(table["rise"].max(), "largest rise of K_opt as |V| grows", threshold=0.0,
                               instances=len(table)),
            statistics.at_least(table["least_step"].min(), "least step of the reward at V = 0", threshold=-1e-14),
        ]
    )  # fmt: skip


def _judge_hypothesis(table: pd.DataFrame) -> Verdict:
    interior = table.groupby("tasks")["interior"].agg(["mean", "max"])
    return statistics.all_of(
        [
            statistics.at_most(
                float(interior["max"]["equal"]), "share of finite K_opt > 0 with equal tasks", threshold=0.0
            ),
            statistics.at_least(
                float(interior["mean"]["one soundness"]), "that share with unequal tasks", threshold=0.05
            ),
        ]
    )


def _instances_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "tasks": tasks, "rise": 0.0, "least_step": 0.0, "interior": interior}
            for k in range(5) for tasks, interior in (("equal", 0.0), ("one soundness", 0.4), ("any soundness", 0.2))
        ]
    )  # fmt: skip


def fit_over_models(rows: pd.DataFrame) -> pd.DataFrame:
    """Per replicate: slope, intercept and R² of the line of conditional on single-sample accuracy."""
    fits = []
    for replicate, models in rows.groupby("replicate"):
        x, y = (models[name].to_numpy(dtype=np.float64) for name in ("accuracy", "conditional"))
        slope, intercept = np.polyfit(x, y, 1)
        residual = float(((y - intercept - slope * x) ** 2).sum())
        total = float(((y - y.mean()) ** 2).sum())
        fits.append({"replicate": replicate, "slope": slope, "intercept": intercept,
                     "r_squared": 1 - residual / total if total > 0 else 0.0})  # fmt: skip
    return pd.DataFrame(fits)


def _judge_fit(table: pd.DataFrame, column: str, conditions: tuple[str, ...]) -> Verdict:
    verdicts = []
    for name in conditions:
        fits = fit_over_models(table[table[column] == name])
        verdicts += [
            statistics.trend(fits["r_squared"], f"R² over models, {column} {name}", above=0.8),
            statistics.trend(fits["slope"], f"slope, {column} {name}", above=0.0),
        ]
    return statistics.all_of(verdicts)


def models_below(rows: pd.DataFrame, ceiling: str, accuracy: str) -> pd.DataFrame:
    """Per replicate: how many ceilings lie below the strongest model's accuracy, and how many of them out of order."""
    counts = []
    for replicate, models in rows.groupby("replicate"):
        ordered = models.sort_values("model")
        below = (ordered[ceiling] < ordered[accuracy].iloc[-1]).to_numpy()
        # Out of order: below, though some weaker model is not.
        weaker_is_not = np.concatenate([[False], np.maximum.accumulate(~below)[:-1]])
        counts.append({"replicate": replicate, "below": below.sum(), "inversions": (below & weaker_is_not).sum()})
    return pd.DataFrame(counts)


def _judge_ceilings(
    table: pd.DataFrame, column: str, conditions: tuple[str, ...], negative: str, ceiling: str, accuracy: str
) -> Verdict:
    verdicts = []
    for name in conditions:
        counts = models_below(table[table[column] == name], ceiling, accuracy)
        verdicts += [
            statistics.at_least(float(counts["below"].min()), f"fewest models below, {column} {name}", threshold=1.0),
            statistics.at_most(float(counts["inversions"].max()), f"most out of order, {column} {name}", threshold=1.0),
        ]
    perfect = models_below(table[table[column] == negative], ceiling, accuracy)
    verdicts.append(statistics.at_most(float(perfect["below"].max()), f"models below, {negative}", threshold=0.0))
    return statistics.all_of(verdicts)


def interior_optima(rows: pd.DataFrame, prefix: str, largest: float = math.inf) -> pd.Series:
    """Per replicate: for how many models and costs 1, 2, 4 the best number of attempts is in (0, largest)."""
    best = rows[[f"{prefix}_{c:g}" for c in _PRICED]]
    return ((best > 0) & (best < largest)).sum(axis=1).groupby(rows["replicate"]).sum()


def _judge_interior(
    table: pd.DataFrame, column: str, condition: str, negatives: tuple[str, ...], prefix: str
) -> Verdict:
    rows = table[table[column] == condition]
    middle = rows[rows["accuracy"].between(0.4, 0.8)]
    few = interior_optima(middle, prefix, 10.0).reindex(rows["replicate"].unique(), fill_value=0)
    verdicts = [
        statistics.at_least(float(few.min()), f"fewest cases of 0 < K_opt < 10, {column} {condition}", threshold=1.0)
    ]
    for name in negatives:
        never = interior_optima(table[table[column] == name], prefix)
        verdicts.append(statistics.at_most(float(never.max()), f"cases of finite K_opt > 0, {name}", threshold=0.0))
    return statistics.all_of(verdicts)


def _models_example(column: str, conditions: tuple[str, ...], negative: str) -> pd.DataFrame:
    rows = []
    for k in range(5):
        for name in (*conditions, negative):
            for m, accuracy in enumerate(np.linspace(0.1, 0.9, 9)):
                share = 1.0 if name == negative else 0.5 + 0.48 * accuracy + 0.002 * ((m + 2 * k) % 3)
                best = math.inf if name == negative else float(m // 2)
                rows.append(
                    {"replicate": k, column: name, "model": m, "accuracy": accuracy, "mean_accuracy": accuracy,
                     "conditional": share, "ceiling": share, "soundness": 0.95 - 0.02 * m + 0.001 * (k % 3),
                     "deviation": 0.3 * (m % 3 - 1),
                     **{f"{prefix}_{c:g}": best for prefix in ("k", "best") for c in RATIOS},
                     **{f"reward_{c:g}": 0.5 + 0.01 * (k % 3) for c in RATIOS}, **{f"all_{c:g}": 0.4 for c in RATIOS}}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _zoo_example() -> pd.DataFrame:
    table = _models_example("verifier", tuple(_VERIFIERS), "perfect")
    equal = table[table["verifier"] == "perfect"].assign(verifier="A, equal tasks")
    return pd.concat([table, equal], ignore_index=True)


def _expressions_example() -> pd.DataFrame:
    return _models_example("suite", ("visible",), "complete")


def _programs_example() -> pd.DataFrame:
    return _models_example("suite", ("visible", "with edge cases"), "complete")


def _falling(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(conditional=1 - table["conditional"])


def _no_ceiling(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(conditional=1.0, ceiling=1.0)


def _never_stopping(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        **{f"{prefix}_{c:g}": math.inf for prefix in ("k", "best") for c in RATIOS if f"{prefix}_{c:g}" in table}
    )


def _judge_stopping(table: pd.DataFrame, low: float, high: float) -> Verdict:
    rows = table[(table["suite"] == "visible") & table["accuracy"].between(low, high)]
    gain = pd.concat([rows[f"reward_{c:g}"] - rows[f"all_{c:g}"] for c in _PRICED], axis=1).mean(axis=1)
    compared = f"reward gained by stopping, costs 1, 2, 4, accuracies {low:g} to {high:g}"
    return statistics.trend(gain.groupby(rows["replicate"]).mean(), compared, above=0.0)


def _rewards_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    names = {f"{a}_{c:g}": f"{b}_{c:g}" for a, b in (("reward", "all"), ("all", "reward")) for c in RATIOS}
    return table.rename(columns=names)


def _judge_shuffled_programs(table: pd.DataFrame) -> Verdict:
    combined = table.groupby("replicate")["deviation"].agg(lambda z: z.sum() / math.sqrt(len(z)))
    return statistics.identity(combined, "standard errors, all models of a replicate combined", tolerance=4.0)


def _soundness_of_weakest(table: pd.DataFrame, suite: str = "visible") -> np.ndarray:
    rows = table[table["suite"] == suite]
    return statistics.paired(rows, "soundness", "model", rows["model"].min(), rows["model"].max())


def _judge_cost(table: pd.DataFrame) -> Verdict:
    seconds = table.pivot_table(index=["replicate", "round"], columns="side", values="seconds")
    ratio = float((seconds["shuffling"] / seconds["closed form"]).median())
    return statistics.all_of(
        [
            statistics.at_least(ratio, "seconds of shuffling over those of the closed form", threshold=100.0),
            statistics.at_most(float(table["deviation"].max()), "standard errors between the two", threshold=4.0),
        ]
    )


def _cost_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": 0, "round": k, "side": side, "seconds": s, "deviation": 1.0}
            for k in range(3) for side, s in (("closed form", 0.001), ("shuffling", 0.5))
        ]
    )  # fmt: skip


_HUMAN_EVAL = "HumanEval+: slope 0.22, intercept 0.72, R² 0.892 over 17 models; MBPP+: 0.23, 0.67, 0.892 over 10"

CLAIMS = [
    Claim(
        "C1a", "outcomes", "identity", "first accepted of K attempts",
        "The chances of a correct, a wrong and no answer, and the mean number of attempts, have closed forms.",
        _judge_enumeration, _outcomes_example, _checks_exchanged("enumeration", "enumeration, K − 1"),
    ),
    Claim(
        "C1b", "outcomes", "identity", "estimation by shuffling samples",
        "They are what simulation shows, with replacement and without; without, a perfect verifier gives pass@k.",
        _judge_simulation, _outcomes_example, _checks_exchanged("shuffling", "reward, notebook's formula"),
    ),
    Claim(
        "C1c", "outcomes", "identity", "the authors' notebook against its own model",
        "The notebook's rewards are not those of the model: the posterior stands where the prior belongs.",
        _judge_notebook, _outcomes_example, _checks_exchanged("reward", "reward, notebook's formula"),
    ),
    Claim(
        "C2", "bounds", "bound", "ceiling of resampling",
        "Accuracy rises with attempts to the mean precision of the verifier, which is below 1 unless it is perfect.",
        _judge_bounds, _bounds_example, lambda t: t.assign(ratio=1.01 * t["ratio"]),
    ),
    Claim(
        "C3a", "two_types", "identity", "optimal number of attempts; derived",
        "With an easy and a hard type the best number of attempts has a closed form; a search by signs is exact for "
        "any number of types.",
        _judge_two_types, _two_types_example, _one_attempt_more,
    ),
    Claim(
        "C3b", "two_types", "identity", "figure of the two-type model",
        "In the authors' example, wrong answers at −0.7, −1, −2 allow 3, 2, 1 attempts; simulation agrees.",
        _judge_reference, _two_types_example, _one_attempt_more, paper_value="3, 2, 1",
    ),
    Claim(
        "C4", "zoo", "trend", "conditional against single-sample accuracy",
        "Weaker models have lower accuracy among accepted answers, nearly on a line (R² > 0.8), whatever the tests.",
        lambda t: _judge_fit(t, "verifier", tuple(_VERIFIERS)), _zoo_example, _falling, paper_value=_HUMAN_EVAL,
    ),
    Claim(
        "C5a", "zoo", "identity", "no free lunch",
        "Some models cannot reach the strongest one's single-sample accuracy by any number of samples: the weakest "
        "ones. With a perfect verifier all can.",
        lambda t: _judge_ceilings(t, "verifier", tuple(_VERIFIERS), "perfect", "ceiling", "mean_accuracy"),
        _zoo_example, _no_ceiling,
    ),
    Claim(
        "C5b", "zoo", "identity", "no free lunch, as estimated from samples",
        "The same, by conditional accuracy over the tasks that have an accepted sample.",
        lambda t: _judge_ceilings(t, "verifier", tuple(_VERIFIERS), "perfect", "conditional", "accuracy"),
        _zoo_example, _no_ceiling,
    ),
    Claim(
        "C6a", "instances", "bound", "cost of wrong answers; derived",
        "The dearer a wrong answer, the fewer attempts are best; when it costs nothing, more are never worse.",
        _judge_monotone, _instances_example, lambda t: t.assign(rise=t["rise"] + 1.0),
    ),
    Claim(
        "C6b", "zoo", "identity", "reward against attempts",
        "With weak tests, models of middling accuracy should stop after fewer than ten attempts if a wrong answer "
        "costs 1, 2 or 4; with a perfect verifier never, and never if all tasks are equal.",
        lambda t: _judge_interior(t, "verifier", "A", ("perfect", "A, equal tasks"), "best"),
        _zoo_example, _never_stopping,
        paper_value="Llama 3.1 70B on HumanEval: K = 25, 9, 2 at costs 1, 2, 4; 8B: 200, 22, 4",
    ),
    Claim(
        "C7", "instances", "bound", "hypothesis of the optimum; derived",
        "Stopping after some attempts needs tasks that differ: with equal ones the best number is 0 or infinite.",
        _judge_hypothesis, _instances_example,
        lambda t: t.assign(tasks=t["tasks"].replace({"equal": "one soundness", "one soundness": "equal"})),
    ),
    Claim(
        "C8", "cost", "cost", "ours",
        "The closed form takes less than a hundredth of the time of shuffling, for the same curve.",
        _judge_cost, _cost_example,
        lambda t: t.assign(side=t["side"].replace({"shuffling": "closed form", "closed form": "shuffling"})),
    ),
    Claim(
        "C9a", "expressions", "trend", "conditional against single-sample accuracy",
        "Mutants of boolean formulas, run on real tests, show the same line.",
        lambda t: _judge_fit(t, "suite", ("visible",)), _expressions_example, _falling, paper_value=_HUMAN_EVAL,
    ),
    Claim(
        "C9b", "expressions", "identity", "no free lunch, as estimated from samples",
        "Among them the weakest models cannot reach the strongest; judged on all inputs, all can.",
        lambda t: _judge_ceilings(t, "suite", ("visible",), "complete", "conditional", "accuracy"),
        _expressions_example, _no_ceiling,
    ),
    Claim(
        "C10a", "programs", "trend", "conditional against single-sample accuracy",
        "Mutants of small real functions under their visible tests show the same line.",
        lambda t: _judge_fit(t, "suite", ("visible",)), _programs_example, _falling, paper_value=_HUMAN_EVAL,
    ),
    Claim(
        "C10b", "programs", "identity", "no free lunch, as estimated from samples",
        "Among them the weakest models cannot reach the strongest; under the complete suite all can.",
        lambda t: _judge_ceilings(t, "suite", ("visible",), "complete", "conditional", "accuracy"),
        _programs_example, _no_ceiling,
    ),
    Claim(
        "C10c", "programs", "identity", "reward against attempts",
        "Some model of middling accuracy should stop after fewer than ten attempts, at a cost of 1, 2 or 4; under the "
        "complete suite none.",
        lambda t: _judge_interior(t, "suite", "visible", ("complete",), "k"), _programs_example, _never_stopping,
    ),
    Claim(
        "C10d", "programs", "trend", "reward against attempts; ours",
        "For them, stopping at the number chosen on half of the samples earns more on the other half than trying all "
        "samples of it.",
        lambda t: _judge_stopping(t, 0.4, 0.8),
        _programs_example, _rewards_exchanged,
    ),
    Claim(
        "C10g", "programs", "trend", "weaker form of C10d, ours",
        "Over all models, most of the gain being that weak ones should not answer at all, it does.",
        lambda t: _judge_stopping(t, 0.0, 1.0),
        _programs_example, _rewards_exchanged,
    ),
    Claim(
        "C10e", "programs", "identity", "estimation by shuffling samples",
        "Shuffling the actual candidates gives the accuracy that the exact form says.",
        _judge_shuffled_programs, _programs_example, lambda t: t.assign(deviation=t["deviation"] + 3.0),
    ),
    Claim(
        "C10f", "programs", "trend", "ours",
        "The weakest model's wrong programs are caught more often than the strongest one's: the ceiling is lower "
        "because right ones are rarer, not because the tests are fooled more.",
        lambda t: statistics.trend(_soundness_of_weakest(t), "soundness, weakest less strongest model", above=0.0),
        _programs_example, lambda t: t.assign(soundness=1 - t["soundness"]),
    ),
]  # fmt: skip
