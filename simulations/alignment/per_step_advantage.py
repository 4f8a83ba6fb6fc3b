"""Wrong answers, used step by step, are worth more data: tables with exact values, and a tiny language model.

*identities* minimises the per-step preference loss by Newton's method and compares with the advantage-weighted policy,
with a wrong reference or wrong labels as negative conditions; enumerates all solutions of random trees for what
fine-tuning on one's own successes gives; draws best-of-k completions. *improvement* searches trees for one where
advantage weighting lowers the success, and for one where less regularisation does. *efficiency* learns chains of
arithmetic modulo 7 from N teacher problems and four times as many with answers only, by every method at population
level with exact values: accuracy of the likeliest solution and success of sampled ones, each method with seven settings
chosen on three other draws of all problems; a curve of SFT alone, to 16,384 problems, tells what each is worth.
*own_answers* looks at one's own right answers: how many have wrong steps, what finite RFT on them does, what each
method does to their wrong steps, and where wrong answers were lost. *pits* asks how many rollouts find the exact
critical step. *sampled* trains tables on pairs of sampled answers, whole or cut at the critical step, with one's own
right answers or the teacher's. *language* does the same with a transformer, whose rollouts are checked by enumeration.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.alignment.arithmetic_preferences import Language, simulate_language
from simulations.alignment.data_scaling import Efficiency, efficiency_factors, simulate_efficiency
from simulations.alignment.own_answers import OwnAnswers, Pits, simulate_own_answers, simulate_pits
from simulations.alignment.sampled_preferences import TEACHERS, SampledPreferences, simulate_sampled_preferences
from simulations.alignment.step_identities import (
    Identities,
    Improvement,
    identities_example,
    improvement_example,
    judge_best_of_k,
    judge_equivalence,
    judge_fall,
    judge_improvement,
    judge_rft,
    judge_telescoping,
    simulate_identities,
    simulate_improvement,
)
from simulations.controls import columns_exchanged, exchange

PAPER = Paper(
    title="RL on Incorrect Synthetic Data Scales the Efficiency of LLM Math Reasoning by Eight-Fold",
    authors="Amrith Setlur, Saurabh Garg, Xinyang Geng, Naman Garg, Virginia Smith, Aviral Kumar",
    venue="NeurIPS 2024",
    arxiv="2406.14532",
)
DEVIATIONS = [
    "The equivalence of preferences and advantage weighting holds prefix by prefix. Where one table entry serves many "
    "problems, the likelihood weighted by exp(A/beta) follows its largest advantages, lucky ones included, and falls "
    "behind the preference loss, whose labels are bounded.",
    "The pit is the step with the largest drop of value. The paper's first step with the lowest value is the last step "
    "of every wrong answer of a policy that may recover, and per-step pairs become whole ones.",
    "Own answers are to fresh problems whose answers are known, four for each teacher problem; in *own_answers* also "
    "to the teacher's problems themselves, as in the paper, where finite RFT loses.",
    "RFT on a population of own answers has most success with infinite weight, that is without the teacher's solutions "
    "and without smoothing: the end of its family is one of its settings.",
    "Pairs of sampled answers are compared at each arm's best beta, beside the mean over beta of at most 1; accuracy "
    "wants beta above 1, success a small one.",
    "Success rises as beta falls only for rewards of 0 and 1, as far as we can find; with graded rewards it need not.",
    "Arithmetic modulo 5 or 7 in tables and in a transformer of 15,000 parameters stands for language models of 7 "
    "billion on GSM8K and MATH.",
]


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(states=1000, trees=500, draws=40_000),
        tiny=Identities(states=5, actions=3, trees=3, draws=300), replicates=5,
    ),
    Experiment(
        "improvement", simulate_improvement, quick=Improvement(), full=Improvement(instances=500_000),
        tiny=Improvement(instances=100, inverse_betas=(0.0, 5.0, 20.0, 40.0)), replicates=2,
    ),
    Experiment(
        "efficiency", simulate_efficiency, quick=Efficiency(),
        full=Efficiency(base=10, n_ops=5, sizes=(48, 68, 96, 136), test=3000),
        tiny=Efficiency(base=3, n_ops=2, sizes=(6, 8), splits=1, validation=20, test=40, curve=(8, 32, 128)),
        replicates=5,
    ),
    Experiment(
        "own_answers", simulate_own_answers, quick=OwnAnswers(), full=OwnAnswers(base=10, n_ops=5, test=3000),
        tiny=OwnAnswers(base=4, n_ops=3, sizes=(8, 32), test=50), replicates=5,
    ),
    Experiment(
        "pits", simulate_pits, quick=Pits(), full=Pits(base=10, n_ops=5, size=256, problems=5000),
        tiny=Pits(base=4, size=16, problems=60, rollouts=(1, 8)), replicates=5,
    ),
    Experiment(
        "language", simulate_language, quick=Language(),
        full=Language(
            d_model=96, n_layers=2, teacher=512, sft_steps=600, batch_size=64, sft_lr=3e-3, fresh=2000, pairs=4000,
            rollouts=16, steps=400, pair_batch=32, lr=3e-4, test=5000, validation=1000, exact=200, exact_rollouts=256,
        ),
        tiny=Language(
            base=3, n_ops=2, d_model=8, teacher=32, sft_steps=60, fresh=40, answers=6, pairs=24, rollouts=2,
            betas=(0.1, 10.0), steps=2, splits=2, validation=10, test=20, exact=5, exact_rollouts=8,
        ),
        replicates=5,
    ),
    Experiment(
        "sampled", simulate_sampled_preferences, quick=SampledPreferences(),
        full=SampledPreferences(base=10, n_ops=5, sizes=(96, 136, 192, 272), steps=100, validation=1000, test=5000),
        tiny=SampledPreferences(base=4, sizes=(12,), betas=(0.1, 10.0), steps=3, splits=2, validation=20, test=40),
        replicates=5,
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _methods_compared(table: pd.DataFrame, measure: str, better: str, worse: str) -> Verdict:
    rows = table[table["kind"] == "method"]
    gained = statistics.paired(rows, measure, "method", better, worse)
    return statistics.trend(gained, f"{measure}, {better} less {worse}, mean over sizes", above=0.0)


def _factor_above(table: pd.DataFrame, measure: str, method: str, above: float) -> Verdict:
    factors = np.log2(efficiency_factors(table, method, measure))
    return statistics.trend(
        factors, f"doublings of teacher problems that {method} is worth in {measure}", above=float(np.log2(above))
    )


def _factor_within(table: pd.DataFrame, measure: str, method: str, low: float, high: float) -> Verdict:
    factors = np.log2(efficiency_factors(table, method, measure))
    return statistics.within(
        factors, f"doublings that {method} is worth in {measure}", low=float(np.log2(low)), high=float(np.log2(high))
    )


def _ordered(table: pd.DataFrame, measure: str, methods: tuple[str, ...]) -> Verdict:
    return statistics.all_of([_methods_compared(table, measure, *pair) for pair in itertools.pairwise(methods)])


def _slopes(table: pd.DataFrame, column: str) -> list[float]:
    """Change per doubling of teacher problems, in each replicate."""
    return [
        float(np.polyfit(np.log2(rows["size"].to_numpy(dtype=np.float64)), rows[column], 1)[0])
        for _, rows in table.groupby("replicate", sort=True)
    ]


def _means(table: pd.DataFrame, column: str) -> np.ndarray:
    return table.groupby("replicate", sort=True)[column].mean().to_numpy(dtype=np.float64)


def _largest(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["size"] == table["size"].max()]


def _judge_spurious(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(_means(table, "spurious"), "share of own right answers with a wrong step", above=0.0),
            statistics.trend(_slopes(table, "spurious"), "its change per doubling of problems", below=0.0),
        ]
    )


def _judge_inverse(table: pd.DataFrame) -> Verdict:
    small = table[table["size"] < 100]
    return statistics.trend(
        _means(small, "rft_same_problems") - _means(small, "sft"),
        "accuracy, RFT on the same problems less SFT",
        below=0.0,
    )


def _judge_unlearning(table: pd.DataFrame, method: str) -> Verdict:
    changes = {name: _means(table, f"change_{name}") for name in (method, "rft")}
    return statistics.all_of(
        [
            statistics.trend(changes[method], f"change of log-probability by {method}", below=0.0),
            statistics.trend(changes["rft"] - changes[method], f"change by RFT less that by {method}", above=0.0),
        ]
    )


def _judge_pit(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _slopes(table, "largest_drop_is_first_wrong"), "agreement with the first wrong step, per doubling",
                above=0.0,
            ),
            statistics.trend(
                _means(table, "largest_drop_is_first_wrong") - _means(table, "random_is_first_wrong"),
                "agreement less that of a random step", above=0.0,
            ),
        ]
    )  # fmt: skip


def _judge_clear(table: pd.DataFrame) -> Verdict:
    most = table[table["rollouts"] == table["rollouts"].max()]
    return statistics.trend(_means(most, "clear_agreement"), "exact critical step found by the most", above=0.9)


def _judge_last(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(_means(table, "lowest_is_last"), "first lowest value at the last step", above=0.99),
            statistics.trend(_means(table, "largest_drop_is_last"), "largest drop at the last step", below=0.6),
        ]
    )


def _judge_idle(table: pd.DataFrame) -> Verdict:
    rows = _largest(table)
    return statistics.all_of(
        [
            statistics.trend(_means(rows, "idle_step"), "|A| of right steps that do not matter", below=0.05),
            statistics.trend(_means(rows, "wrong_step"), "|A| of wrong steps", above=0.05),
        ]
    )


def _judge_rollouts(table: pd.DataFrame) -> Verdict:
    most = table[table["rollouts"] == table["rollouts"].max()]
    least = table[table["rollouts"] == table["rollouts"].min()]
    return statistics.all_of(
        [
            statistics.trend(_means(most, "agreement"), "exact critical step found by the most", above=0.9),
            statistics.trend(
                _means(most, "agreement") - _means(least, "agreement"), "more than by the fewest", above=0.0
            ),
            statistics.trend(_means(most, "agreement") - _means(most, "shuffled"), "more than shuffled", above=0.0),
        ]
    )


def _judge_reuse(table: pd.DataFrame) -> Verdict:
    few = table[table["rollouts"].between(2, 20)]
    return statistics.all_of(
        [
            statistics.trend(
                _means(few, "reused") - _means(few, "exact"),
                "drop by the rollouts that chose it, less exact",
                below=0.0,
            ),
            statistics.within(
                _means(few, "fresh") - _means(few, "exact"), "drop by other rollouts, less exact", low=-0.03, high=0.03
            ),
        ]
    )


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["kind"] == "accuracy"]
    return rows[rows["chosen"].astype(bool)]


def _judge_standard(table: pd.DataFrame) -> Verdict:
    """Standard pairs do not improve whatever beta is: the best beta's mean gain, which may not be above 0."""
    rows = table[table["kind"] == "accuracy"]
    base = rows[rows["arm"] == "sft"].set_index("replicate")["accuracy"]
    tried = rows[rows["arm"] == "standard"].pivot_table(index="replicate", columns="beta", values="accuracy")
    gains = tried.sub(base, axis=0)
    best: Any = gains.mean().idxmax()
    return statistics.trend(gains[best], f"accuracy, standard pairs at the best beta, {best:g}, less SFT", below=0.0)


def _arms_compared(table: pd.DataFrame, better: str, worse: str) -> Verdict:
    gained = statistics.paired(_chosen(table), "accuracy", "arm", better, worse)
    return statistics.trend(gained, f"accuracy, {better} less {worse}", above=0.0)


def _small_beta_compared(table: pd.DataFrame, better: str, worse: str) -> Verdict:
    rows = table[(table["kind"] == "accuracy") & (table["beta"].between(0.01, 1.0))]
    gained = statistics.paired(rows, "accuracy", "arm", better, worse)
    return statistics.trend(gained, f"accuracy at beta of at most 1, {better} less {worse}", above=0.0)


def _tables_compared(table: pd.DataFrame, measure: str, better: str, worse: str) -> Verdict:
    rows = table[table[f"chosen_for_{measure}"].astype(bool)]
    gained = statistics.paired(rows, measure, "arm", better, worse)
    return statistics.trend(gained, f"{measure}, {better} less {worse}, each at its best beta", above=0.0)


def _judge_every_size(table: pd.DataFrame) -> Verdict:
    """Mean over small beta, one part for each size."""
    small = table[table["beta"].between(0.01, 1.0)]
    return statistics.all_of(
        [
            statistics.trend(
                statistics.paired(rows, "accuracy", "arm", "per step", "standard"),
                f"accuracy at beta of at most 1, per step less standard, {size:g} problems",
                above=0.0,
            )
            for size, rows in small.groupby("size")
        ]
    )


def _judge_no_gain(table: pd.DataFrame, arm: str) -> Verdict:
    rows = table[table["chosen_for_accuracy"].astype(bool)]
    gained = statistics.paired(rows, "accuracy", "arm", arm, "sft")
    return statistics.trend(gained, f"accuracy, {arm} at its best beta less SFT", below=0.0)


def _judge_exact(table: pd.DataFrame) -> Verdict:
    rows = table[table["kind"] == "rollouts"]
    most = rows[rows["rollouts"] == rows["rollouts"].max()]
    return statistics.all_of(
        [
            statistics.identity(
                most["deviation"],
                "standard errors of rollouts outside the exact range, root mean square",
                tolerance=1.5,
            ),
            statistics.trend(_means(most, "wrong_by"), "the same against the steps in reverse order", above=1.5),
            statistics.trend(_means(most, "agreement"), "exact critical step found", above=0.7),
        ]
    )


# examples and controls ---------------------------------------------------------------------------


def _checks_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: exchange(table, "check", first, second)


_EXAMPLE_FACTORS = {
    "sft": 1.0, "rft": 2.0, "awr": 4.0, "per-step dpo": 6.0, "rft, repeated": 7.0, "per-step rl, repeated": 16.0
}  # fmt: skip


def _efficiency_example() -> pd.DataFrame:
    """Accuracy grows with the logarithm of size, and methods are worth fixed factors."""

    def reached(size: float) -> float:
        return float(np.clip(0.1 * np.log2(size / 8), 0, 1))

    rows = []
    for k in range(5):
        values = [("curve", n, "sft", reached(n)) for n in (8, 64, 512, 4096, 8192)]
        values += [
            ("method", n, m, reached(n * f * 1.02 ** (k - 2))) for n in (16, 32) for m, f in _EXAMPLE_FACTORS.items()
        ]
        rows += [
            {"replicate": k, "kind": kind, "size": n, "method": m, "accuracy": v, "success": v}
            for kind, n, m, v in values
        ]
    return pd.DataFrame(rows)


def _methods_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(
        method=table["method"].where(table["kind"] == "curve", table["method"].replace({first: second, second: first}))
    )


def _offline_example() -> pd.DataFrame:
    return _methods_exchanged("per-step dpo", "per-step rl, repeated")(_efficiency_example())


def _own_answers_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for j, size in enumerate((16, 32, 64, 128)):
            noise = 0.002 * (k - 2)
            rows.append(
                {"replicate": k, "size": size, "spurious": 0.5 - 0.1 * j + noise, "sft": 0.3 + 0.1 * j,
                 "rft_same_problems": 0.25 + 0.1 * j + noise, "teacher_twice": 0.3 + 0.1 * j, "change_rft": 0.1 + noise,
                 "change_awr": -0.5 + noise, "change_per-step dpo": -1.0 + noise,
                 "largest_drop_is_first_wrong": 0.4 + 0.1 * j + noise, "random_is_first_wrong": 0.3,
                 "lowest_is_last": 1.0, "largest_drop_is_last": 0.4 + noise, "idle_step": 0.02 + noise,
                 "other_right_step": 0.3, "wrong_step": 0.3 + noise}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _pits_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "rollouts": r, "agreement": a + 0.002 * k, "clear_agreement": a + 0.002 * k,
             "shuffled": 0.35, "exact": -0.4,
             "reused": -0.5 + 0.001 * k, "fresh": -0.4 + 0.001 * k}
            for k in range(5) for r, a in ((1, 0.5), (16, 0.85), (256, 0.97))
        ]
    )  # fmt: skip


def _language_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for arm, values in {"standard": (0.3, 0.46), "per step": (0.4, 0.53), "random step": (0.35, 0.49)}.items():
            rows += [
                {"replicate": k, "kind": "accuracy", "arm": arm, "beta": beta, "accuracy": v + 0.003 * k,
                 "chosen": beta == 10.0}
                for beta, v in zip((0.1, 10.0), values, strict=True)
            ]  # fmt: skip
        rows.append({"replicate": k, "kind": "accuracy", "arm": "sft", "beta": 0.0, "accuracy": 0.5, "chosen": True})
        rows.append(
            {"replicate": k, "kind": "rollouts", "rollouts": 64, "deviation": 0.8, "wrong_by": 5.0 + 0.1 * k,
             "agreement": 0.9 + 0.01 * k}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _sampled_example() -> pd.DataFrame:
    """Accuracies below SFT's but with the teacher's right answers; success above, in the order of blame's precision."""
    levels = {
        "standard": (0.30, 0.20), "random step": (0.32, 0.22), "per step": (0.36, 0.26), "pit only": (0.38, 0.28),
        TEACHERS: (0.8, 0.7),
    }  # fmt: skip
    rows = []
    for k, size in itertools.product(range(5), (36, 54)):
        noise = 0.002 * (k - 2)
        rows.append(
            {"arm": "sft", "beta": 0.0, "accuracy": 0.5, "success": 0.1, "chosen_for_accuracy": True,
             "chosen_for_success": True, "replicate": k, "size": size}
        )  # fmt: skip
        rows += [
            {"arm": arm, "beta": beta, "accuracy": accuracy + 0.05 * (beta > 1) + noise * (arm != "standard"),
             "success": success - 0.05 * (beta > 1) + noise * (arm != "standard"), "chosen_for_accuracy": beta > 1,
             "chosen_for_success": beta < 1, "replicate": k, "size": size}
            for arm, (accuracy, success) in levels.items() for beta in (0.1, 10.0)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _arms_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: exchange(table, "arm", first, second)


_RANDOM_TREES = "policy improvement; derived"
_SCALING = "data scaling of RFT and per-step RL"
_OFFLINE = "8x of per-step DPO against 2x of RFT, GSM8K and MATH"

CLAIMS = [
    Claim(
        "C1", "identities", "identity", "equivalence of per-step preferences and advantage-weighted RL",
        "The per-step preference loss is minimised by pi exp(A/beta)/Z, however pairs are drawn; not with another "
        "reference or labels, and with hard labels by nothing finite.",
        judge_equivalence, identities_example, _checks_exchanged("dpo", "dpo, uniform reference"),
    ),
    Claim(
        "C2a", "identities", "identity", "RFT; derived",
        "Likelihood of one's own successful solutions gives pi Q/V in every prefix.",
        judge_rft, identities_example, _checks_exchanged("rft by enumeration", "rft by enumeration, pi itself"),
    ),
    Claim(
        "C2b", "identities", "identity", "best-of-K rollout policy; derived",
        "The best of k completions succeeds with chance 1 − (1 − Q)^k.",
        judge_best_of_k, identities_example, _checks_exchanged("best of k", "best of k, Q itself"),
    ),
    Claim(
        "C3a", "improvement", "bound", _RANDOM_TREES,
        "Advantage weighting never lowers the success, on any tree and for any beta.",
        judge_improvement, improvement_example, lambda t: t.assign(ratio=1.5 * t["ratio"]),
    ),
    Claim(
        "C3b", "identities", "identity", "advantages of steps; derived",
        "The advantages of the steps of a solution add up to its reward less the value of the problem.",
        judge_telescoping, identities_example, _checks_exchanged("telescoping", "best of k"),
    ),
    Claim(
        "C3c", "improvement", "bound", "monotone in beta; ours",
        "With rewards of 0 and 1 the success rises all the way as beta falls.",
        lambda t: judge_fall(t, graded=False), improvement_example,
        _checks_exchanged("fall, rewards of 0 and 1", "fall, graded rewards"),
    ),
    Claim(
        "C3d", "improvement", "bound", "monotone in beta; ours",
        "With graded rewards it does not: there are trees where less regularisation means less success.",
        lambda t: judge_fall(t, graded=True), improvement_example,
        _checks_exchanged("fall, rewards of 0 and 1", "fall, graded rewards"),
    ),
    Claim(
        "C4a", "efficiency", "trend", _SCALING,
        "RFT on own right answers to fresh problems is more accurate than SFT on the same teacher problems.",
        lambda t: _methods_compared(t, "accuracy", "rft", "sft"), _efficiency_example, _methods_exchanged("rft", "sft"),
    ),
    Claim(
        "C4b", "efficiency", "trend", _SCALING,
        "It is worth about twice as many teacher problems: between 1.5 and 3 times.",
        lambda t: _factor_within(t, "accuracy", "rft", 1.5, 3.0), _efficiency_example, _methods_exchanged("rft", "sft"),
        paper_value="2x",
    ),
    Claim(
        "C5a", "efficiency", "trend", _SCALING,
        "By accuracy, per-step DPO once is better than RFT, and RFT than SFT.",
        lambda t: _ordered(t, "accuracy", ("per-step dpo", "rft", "sft")), _efficiency_example,
        _methods_exchanged("per-step dpo", "sft"), paper_value=_OFFLINE,
    ),
    Claim(
        "C5b", "efficiency", "trend", _SCALING,
        "By success of sampled answers, it is.",
        lambda t: _ordered(t, "success", ("per-step dpo", "rft", "sft")), _efficiency_example,
        _methods_exchanged("per-step dpo", "sft"),
    ),
    Claim(
        "C5c", "efficiency", "trend", "equivalence, where prefixes share parameters; ours",
        "Where many prefixes share parameters, per-step DPO has more success than likelihood weighted by exp(A/beta).",
        lambda t: _methods_compared(t, "success", "per-step dpo", "awr"), _efficiency_example,
        _methods_exchanged("per-step dpo", "awr"),
    ),
    Claim(
        "C5d", "efficiency", "trend", _SCALING,
        "Repeated for five rounds, per-step RL is more accurate than RFT repeated as often.",
        lambda t: _methods_compared(t, "accuracy", "per-step rl, repeated", "rft, repeated"), _efficiency_example,
        _methods_exchanged("per-step rl, repeated", "rft, repeated"),
    ),
    Claim(
        "C5e", "efficiency", "trend", _SCALING,
        "Repeated, it also has more success.",
        lambda t: _methods_compared(t, "success", "per-step rl, repeated", "rft, repeated"), _efficiency_example,
        _methods_exchanged("per-step rl, repeated", "rft, repeated"),
    ),
    Claim(
        "C5f", "efficiency", "trend", _SCALING,
        "By success, per-step DPO once is worth at least eight times as many teacher problems.",
        lambda t: _factor_above(t, "success", "per-step dpo", 8.0), _offline_example,
        _methods_exchanged("per-step dpo", "sft"), paper_value="8x",
    ),
    Claim(
        "C5g", "efficiency", "trend", _SCALING,
        "By accuracy, per-step RL repeated is worth at least eight times as many teacher problems.",
        lambda t: _factor_above(t, "accuracy", "per-step rl, repeated", 8.0), _efficiency_example,
        _methods_exchanged("per-step rl, repeated", "sft"), paper_value="8x",
    ),
    Claim(
        "C6a", "own_answers", "trend", "spurious steps",
        "Own right answers contain wrong steps, fewer the more teacher problems.",
        _judge_spurious, _own_answers_example, lambda t: t.assign(spurious=1 - t["spurious"]),
    ),
    Claim(
        "C6b", "own_answers", "trend", "inverse scaling of RFT",
        "With fewer than 100 teacher problems, RFT on own right answers to the same problems is below SFT.",
        _judge_inverse, _own_answers_example, columns_exchanged("rft_same_problems", "sft"),
    ),
    Claim(
        "C7a", "own_answers", "trend", "unlearning spurious steps",
        "Per-step DPO lowers the chance of wrong steps of right answers that have no advantage, and more than RFT.",
        lambda t: _judge_unlearning(t, "per-step dpo"), _own_answers_example,
        columns_exchanged("change_per-step dpo", "change_rft"),
    ),
    Claim(
        "C7b", "own_answers", "trend", "unlearning spurious steps",
        "RFT does not lower it.",
        lambda t: statistics.trend(_means(t, "change_rft"), "change of log-probability by RFT", above=0.0),
        _own_answers_example, columns_exchanged("change_per-step dpo", "change_rft"),
    ),
    Claim(
        "C8a", "language", "trend", "DPO on random pairs",
        "In a transformer, DPO on whole answers does not improve on SFT, whatever beta: it is below.",
        _judge_standard, _language_example, _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8b", "language", "trend", "DPO on random pairs against per-step pairs",
        "Per-step pairs are better than whole ones, each at its best beta.",
        lambda t: _arms_compared(t, "per step", "standard"), _language_example, _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8c", "language", "trend", "DPO on random pairs against per-step pairs",
        "So they are at small beta, where training moves the model most.",
        lambda t: _small_beta_compared(t, "per step", "standard"), _language_example,
        _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8d", "language", "trend", "critical steps; ours",
        "There, cutting at the critical step is better than at a random one.",
        lambda t: _small_beta_compared(t, "per step", "random step"), _language_example,
        _arms_exchanged("random step", "per step"),
    ),
    Claim(
        "C8e", "sampled", "trend", "DPO on random pairs",
        "In a table, too, DPO on whole answers does not improve on the accuracy of SFT at its best beta: it is below.",
        lambda t: _judge_no_gain(t, "standard"), _sampled_example, _arms_exchanged("standard", TEACHERS),
    ),
    Claim(
        "C8f", "sampled", "trend", "DPO on random pairs against per-step pairs",
        "In a table, with beta of at most 1, per-step pairs are more accurate than whole ones at every number of "
        "problems.",
        _judge_every_size, _sampled_example, _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8g", "sampled", "trend", "DPO on random pairs against per-step pairs",
        "So they are on average with each at its best beta.",
        lambda t: _tables_compared(t, "accuracy", "per step", "standard"), _sampled_example,
        _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8h", "sampled", "trend", "DPO on random pairs against per-step pairs",
        "Sampled answers of per-step DPO succeed more often than those of DPO on whole answers, and these than SFT's.",
        lambda t: statistics.all_of(
            [_tables_compared(t, "success", *pair) for pair in (("per step", "standard"), ("standard", "sft"))]
        ),
        _sampled_example, _arms_exchanged("standard", "per step"),
    ),
    Claim(
        "C8i", "sampled", "trend", "per-step pairs with self-generated right answers; ours",
        "With one's own right answers alone, per-step DPO at its best beta does not improve on the accuracy of SFT.",
        lambda t: _judge_no_gain(t, "per step"), _sampled_example, _arms_exchanged("per step", TEACHERS),
    ),
    Claim(
        "C8j", "sampled", "trend", "per-step pairs with self-generated right answers; ours",
        "With the teacher's right answers in their place, the same pairs improve on SFT, and more than with one's own.",
        lambda t: statistics.all_of(
            [_tables_compared(t, "accuracy", TEACHERS, other) for other in ("sft", "per step")]
        ),
        _sampled_example, _arms_exchanged("per step", TEACHERS),
    ),
    Claim(
        "C8k", "sampled", "trend", "critical steps; ours",
        "Cut at the critical step, pairs give more success than cut at a random one, each at its best beta.",
        lambda t: _tables_compared(t, "success", "per step", "random step"), _sampled_example,
        _arms_exchanged("random step", "per step"),
    ),
    Claim(
        "C8l", "sampled", "trend", "critical steps; ours",
        "Blaming the critical step alone gives more success still than blaming all steps up to it.",
        lambda t: _tables_compared(t, "success", "pit only", "per step"), _sampled_example,
        _arms_exchanged("pit only", "per step"),
    ),
    Claim(
        "C9a", "own_answers", "trend", "first pit",
        "The step that loses most is the first wrong one more often than a random step, and the more teacher problems "
        "the more often.",
        _judge_pit, _own_answers_example, columns_exchanged("largest_drop_is_first_wrong", "random_is_first_wrong"),
    ),
    Claim(
        "C9b", "own_answers", "trend", "first pit; ours",
        "With exact values the first step with the lowest value is the last one, which is no information; the largest "
        "drop often comes before.",
        _judge_last, _own_answers_example, columns_exchanged("lowest_is_last", "largest_drop_is_last"),
    ),
    Claim(
        "C9c", "own_answers", "trend", "steps without progress",
        "Right steps whose result is then multiplied by 0 have advantages near 0, unlike wrong steps.",
        _judge_idle, _own_answers_example, columns_exchanged("idle_step", "wrong_step"),
    ),
    Claim(
        "C9d", "pits", "trend", "critical steps by rollouts, against exact values",
        "Rollouts find the exact critical step, the more of them the more often: 256 in over 90 % of wrong answers.",
        _judge_rollouts, _pits_example, columns_exchanged("agreement", "shuffled"),
    ),
    Claim(
        "C9g", "pits", "trend", "critical steps by rollouts, against exact values; ours",
        "256 rollouts find it in more than 90 % of those wrong answers where no other step lost nearly as much.",
        _judge_clear, _pits_example, columns_exchanged("clear_agreement", "shuffled"),
    ),
    Claim(
        "C9e", "pits", "trend", "critical steps by rollouts; ours",
        "The rollouts that chose the step overstate its drop; other rollouts do not.",
        _judge_reuse, _pits_example, columns_exchanged("reused", "exact"),
    ),
    Claim(
        "C9f", "language", "trend", "critical steps by rollouts, against enumeration",
        "A transformer's values by rollouts are those of enumeration, and with 64 find the exact critical step.",
        _judge_exact, _language_example, columns_exchanged("deviation", "wrong_by"),
    ),
]  # fmt: skip
