"""What holds exactly in every prefix: the preference minimiser, likelihood of own successes, and improvement.

*identities* compares closed forms with Newton's method, enumeration and sampling, each beside a form that must not
agree. *improvement* fuzzes random trees of three binary steps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations import Verdict, statistics
from theory.alignment import per_step_advantage as theory

__all__ = [
    "Identities",
    "Improvement",
    "identities_example",
    "improvement_example",
    "judge_best_of_k",
    "judge_equivalence",
    "judge_fall",
    "judge_improvement",
    "judge_rft",
    "judge_telescoping",
    "simulate_identities",
    "simulate_improvement",
]


@dataclass(frozen=True)
class Identities:
    """Prefixes with random policies and advantages for each beta, and trees to enumerate."""

    states: int = 100
    actions: int = 6
    betas: tuple[float, ...] = (0.2, 1.0, 3.0)
    trees: int = 50
    draws: int = 4000


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """A row per check: its largest deviation (of logarithms, probabilities, or in standard errors)."""
    rng = np.random.default_rng(seed)
    found: list[tuple[str, float]] = []
    for beta in settings.betas:
        pi, A = _random_prefixes(rng, settings.states, settings.actions)
        target = np.log(theory.awr_policy(pi, A, beta))
        uniform = np.full_like(pi, 1 / settings.actions)
        gaps = A[..., :, None] - A[..., None, :]
        half = 1 / (1 + np.exp(-gaps / 2))
        cases: dict[str, dict] = {
            "dpo": {}, "dpo, uniform pairs": {"pairs": uniform}, "dpo, uniform reference": {"reference": uniform},
            "dpo, labels of half the gap": {"labels": half},
        }  # fmt: skip
        for name, changes in cases.items():
            deviations = np.abs(np.log(theory.population_dpo(pi, A, beta, **changes)) - target).max(axis=1)
            negative = "reference" in changes or "labels" in changes
            found.append((name, float(deviations.min() if negative else deviations.max())))
        found.append(("dpo, hard labels have a minimiser", _has_minimiser(pi, A, beta, (gaps > 0) + 0.5 * (gaps == 0))))
    found += _enumerated(rng, settings)
    Q = rng.random(200)
    for k in (2, 5):
        shown = (rng.random((settings.draws, 200, k)) < Q[:, None]).any(axis=2).mean(axis=0)
        for name, formula in (("best of k", theory.best_of_k_values(Q, k)), ("best of k, Q itself", Q)):
            spread = np.sqrt(formula * (1 - formula) / settings.draws + 1 / settings.draws**2)
            found.append((name, float(np.sqrt((((shown - formula) / spread) ** 2).mean()))))
    return pd.DataFrame(found, columns=["check", "deviation"])


def _random_prefixes(rng: np.random.Generator, states: int, actions: int) -> tuple[np.ndarray, np.ndarray]:
    pi = 0.02 / actions + 0.98 * rng.dirichlet(np.ones(actions), states)
    Q = rng.random((states, actions))
    return pi, Q - (pi * Q).sum(axis=1, keepdims=True)


def _has_minimiser(pi: np.ndarray, A: np.ndarray, beta: float, labels: np.ndarray) -> float:
    try:
        theory.population_dpo(pi, A, beta, labels=labels)
    except ValueError:
        return 0.0
    return 1.0


def _enumerated(rng: np.random.Generator, settings: Identities) -> list[tuple[str, float]]:
    """Fine-tuning on all successful solutions of trees, by enumeration; and telescoping advantages."""
    width, depth = 3, 3
    worst = {"rft by enumeration": 0.0, "rft by enumeration, pi itself": np.inf, "telescoping": 0.0}
    for _ in range(settings.trees):
        policies = [rng.dirichlet(np.ones(width), width**i) for i in range(depth)]
        rewards = (rng.random(width**depth) < 0.4).astype(np.float64)
        if rewards.sum() == 0:
            continue
        values = theory.tree_values(policies, rewards)
        counts = [np.zeros((width**i, width)) for i in range(depth)]
        for leaf, path in enumerate(itertools.product(range(width), repeat=depth)):
            prefix, chance, telescope = 0, 1.0, 0.0
            steps = []
            for i, a in enumerate(path):
                steps.append((i, prefix, a))
                chance *= policies[i][prefix, a]
                telescope += values[i + 1][prefix * width + a] - values[i][prefix]
                prefix = prefix * width + a
            for i, s, a in steps:
                counts[i][s, a] += chance * rewards[leaf]
            worst["telescoping"] = max(worst["telescoping"], abs(telescope - (rewards[leaf] - values[0][0])))
        away = 0.0
        for i in range(depth):
            met = counts[i].sum(axis=1) > 0
            likeliest = counts[i][met] / counts[i][met].sum(axis=1, keepdims=True)
            closed = theory.rft_policy(policies[i], values[i + 1].reshape(-1, width))[met]
            error = float(np.abs(likeliest - closed).max())
            worst["rft by enumeration"] = max(worst["rft by enumeration"], error)
            away = max(away, float(np.abs(likeliest - policies[i][met]).max()))
        worst["rft by enumeration, pi itself"] = min(worst["rft by enumeration, pi itself"], away)
    return list(worst.items())


@dataclass(frozen=True)
class Improvement:
    """Random trees of three binary steps, beside which a search looks for worse ones; grid of 1/beta."""

    instances: int = 2000
    inverse_betas: tuple[float, ...] = tuple(np.linspace(0, 40, 41).tolist())


def simulate_improvement(settings: Improvement, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of the success before to that after, and the largest fall of success as 1/beta rises."""
    bound = theory.BOUNDS[0]
    report = bound.check(settings.instances, seed=seed % 2**31)
    witness = "; ".join(f"{k} = {np.round(v, 3).tolist()}" for k, v in report.witness.items())
    rows = [{"check": "improvement", "ratio": report.worst_ratio, "instances": report.instances, "witness": witness}]
    rng = np.random.default_rng(seed)
    trees = bound.sampler(rng, settings.instances)
    before = np.asarray(bound.lhs(**trees))
    # Advantages towards other rewards, but success by the tree's own.
    misled = _success_when_weighted(trees["logits"], np.roll(trees["rewards"], 1, axis=0), trees["rewards"], 5.0)
    rows.append({"check": "others' advantages", "ratio": float((before / np.maximum(misled, 1e-9)).max())})
    for name, rewards in (
        ("fall, rewards of 0 and 1", (trees["rewards"] > rng.random((len(before), 1))).astype(np.float64)),
        ("fall, graded rewards", rng.random(trees["rewards"].shape)),
    ):
        curve = np.array([_success_when_weighted(trees["logits"], rewards, rewards, x) for x in settings.inverse_betas])
        rows.append({"check": name, "fall": float((np.maximum.accumulate(curve, axis=0) - curve).max())})
    return pd.DataFrame(rows).fillna({"witness": ""})


def _success_when_weighted(logits: np.ndarray, guide: np.ndarray, rewards: np.ndarray, inverse: float) -> np.ndarray:
    scores = logits.reshape(-1, 7, 2)
    each = np.exp(scores - scores.max(axis=-1, keepdims=True))
    each /= each.sum(axis=-1, keepdims=True)
    policies = [each[:, :1], each[:, 1:3], each[:, 3:]]
    values = theory.tree_values(policies, guide)
    weighted = [
        theory.awr_policy(policy, inverse * (after.reshape(policy.shape) - before[..., None]), 1.0)
        for policy, before, after in zip(policies, values[:-1], values[1:], strict=True)
    ]
    return theory.tree_values(weighted, rewards)[0][:, 0]


# judges and examples -------------------------------------------------------------------------------


def _deviations(table: pd.DataFrame, *checks: str) -> pd.Series:
    return table.loc[table["check"].isin(checks), "deviation"]


def judge_equivalence(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(
                _deviations(table, "dpo", "dpo, uniform pairs"),
                "largest difference of log-probabilities, DPO's minimiser and advantage weighting", tolerance=1e-5,
            ),
            statistics.at_least(
                float(_deviations(table, "dpo, uniform reference", "dpo, labels of half the gap").min()),
                "smallest with a uniform reference or labels of half the gap", threshold=1e-3,
            ),
            statistics.at_most(
                float(_deviations(table, "dpo, hard labels have a minimiser").max()),
                "finite minimisers for hard labels", threshold=0.0,
            ),
        ]
    )  # fmt: skip


def judge_rft(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(
                _deviations(table, "rft by enumeration"), "error of pi Q/V against enumeration", tolerance=1e-12
            ),
            statistics.at_least(
                float(_deviations(table, "rft by enumeration, pi itself").min()), "error of pi", threshold=1e-3
            ),
        ]
    )


def judge_telescoping(table: pd.DataFrame) -> Verdict:
    return statistics.identity(_deviations(table, "telescoping"), "largest error of the sum", tolerance=1e-12)


def judge_best_of_k(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(_deviations(table, "best of k"), "root mean square standard errors", tolerance=1.3),
            statistics.at_least(
                float(_deviations(table, "best of k, Q itself").min()), "of Q in its place", threshold=3.0
            ),
        ]
    )


def judge_improvement(table: pd.DataFrame) -> Verdict:
    rows = table[table["check"] == "improvement"]
    worst = rows.sort_values("ratio").iloc[-1]
    return statistics.all_of(
        [
            statistics.bound(
                float(worst["ratio"]), "success before over success after advantage weighting",
                instances=int(rows["instances"].sum()), required=1000, witness=str(worst["witness"]),
            ),
            statistics.at_least(
                float(table.loc[table["check"] == "others' advantages", "ratio"].max()),
                "the same with advantages of other trees", threshold=1.1,
            ),
        ]
    )  # fmt: skip


def judge_fall(table: pd.DataFrame, graded: bool) -> Verdict:
    rewards = "graded rewards" if graded else "rewards of 0 and 1"
    fall = float(table.loc[table["check"] == f"fall, {rewards}", "fall"].max())
    compared = "largest fall of success as beta falls"
    if graded:
        return statistics.at_least(fall, f"{compared}, {rewards}", threshold=1e-3)
    return statistics.at_most(fall, f"{compared}, {rewards}", threshold=1e-12)


def identities_example() -> pd.DataFrame:
    deviations = {
        "dpo": 1e-14, "dpo, uniform pairs": 1e-14, "dpo, uniform reference": 0.5, "dpo, labels of half the gap": 0.1,
        "dpo, hard labels have a minimiser": 0.0, "rft by enumeration": 1e-16, "rft by enumeration, pi itself": 0.2,
        "best of k": 1.0, "best of k, Q itself": 30.0, "telescoping": 1e-16,
    }  # fmt: skip
    return pd.DataFrame([{"replicate": k, "check": c, "deviation": d} for k in range(5) for c, d in deviations.items()])


def improvement_example() -> pd.DataFrame:
    rows = [
        {"check": "improvement", "ratio": 1.0, "instances": 5000, "witness": "logits = [0]"},
        {"check": "others' advantages", "ratio": 3.0}, {"check": "fall, rewards of 0 and 1", "fall": 0.0},
        {"check": "fall, graded rewards", "fall": 0.02},
    ]  # fmt: skip
    return pd.DataFrame([{"replicate": k, **row} for k in range(5) for row in rows])
