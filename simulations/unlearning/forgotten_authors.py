"""Tiny transformers that forget some of fifty fictional authors: the experiment, and what its paths say.

Rows are those of ``unlearning_runs``, with ``fraction``, ``common_rate``, the learning rate at which every method
runs, and ``chosen_rate``, that of its own for the sweep over fractions. A forget quality above 0.05 means: not to be
told from a model that was never shown these authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations.unlearning.author_models import AuthorTraining, author_models
from simulations.unlearning.unlearning_runs import (
    METHODS,
    Method,
    UnlearningRuns,
    at_all_rates,
    chosen_elsewhere,
    unlearning_runs,
)

__all__ = [
    "THRESHOLD",
    "WITHOUT_WEIGHT",
    "Authors",
    "authors_ends",
    "authors_paths",
    "authors_tuned",
    "late_exponents",
    "sentences_at_equal_forgetting",
    "simulate_authors",
    "strengths",
]

THRESHOLD = 0.05
"""Forget quality above this: the model cannot be told from the retrained one."""
WITHOUT_WEIGHT = "W=1+RT"


@dataclass(frozen=True)
class Authors:
    """``methods`` at the first fraction and ``swept`` at the others, with ``rate``, one of ``rates``.

    ``tuned`` run with all rates at the first fraction; there NPO+RT runs with ``betas`` and ``retain_weights``, too.
    ``swept`` and ``followed`` are evaluated before the last step. At every fraction each of ``swept`` also runs with
    its own of ``chosen_rates``, the best at the first fraction on other worlds than the replicates'.
    """

    fractions: tuple[float, ...] = (0.1, 0.5, 0.9)
    steps: int = 40
    batch_size: int = 16
    evaluate_at: tuple[int, ...] = (10, 20, 40)
    rate: float = 4e-3
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
    methods: tuple[str, ...] = ("GA", "GA+RT", "GA+KL", "NPO", "NPO+RT", WITHOUT_WEIGHT, "DPO+RT", "IDK+RT")
    swept: tuple[str, ...] = ("GA+RT", "NPO+RT")
    chosen_rates: tuple[float, ...] = (2e-3, 4e-3)
    followed: tuple[str, ...] = ("GA", "NPO")
    tuned: tuple[str, ...] = ("GA+RT", "NPO+RT", "DPO+RT")
    betas: tuple[float, ...] = (0.01, 1.0, 5.0)
    retain_weights: tuple[float, ...] = (2.0, 5.0)
    forget_facts: int = 40
    other_facts: int = 24
    d_model: int = 32
    n_layers: int = 1
    training_steps: int = 300
    training_batch: int = 40
    training_rate: float = 2e-2


def simulate_authors(settings: Authors, seed: int, device: str) -> pd.DataFrame:
    """Forget quality, utility and their parts at every evaluation, per fraction, method and learning rate."""
    training = AuthorTraining(
        d_model=settings.d_model, n_layers=settings.n_layers, steps=settings.training_steps,
        batch_size=settings.training_batch, lr=settings.training_rate,
    )  # fmt: skip
    # Numpy and torch both take seeds of 31 bits.
    seed %= 2**31
    models = author_models(training, settings.fractions, seed, device)
    chosen = dict(zip(settings.swept, settings.chosen_rates, strict=True))
    tables = []
    for number, fraction in enumerate(settings.fractions):
        arms = [(METHODS[name], settings.rate) for name in (settings.swept if number else settings.methods)]
        arms += [(METHODS[name], rate) for name, rate in chosen.items()]
        if number == 0:
            arms += [(each, settings.rate) for each in strengths(settings.betas, settings.retain_weights)]
            arms += [(METHODS[name], rate) for name in settings.tuned for rate in settings.rates]
        arms = list(dict.fromkeys(arms))
        runs = UnlearningRuns(
            fraction, settings.steps, settings.batch_size, settings.evaluate_at, settings.forget_facts,
            settings.other_facts, training,
        )  # fmt: skip
        on_the_way = (*settings.swept, *settings.followed)
        followed = [rate == settings.rate and method.name in on_the_way for method, rate in arms]
        methods, rates = [method for method, _ in arms], [rate for _, rate in arms]
        pair = models[None], models[fraction]
        tables.append(unlearning_runs(methods, rates, runs, seed, device, followed, pair))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(common_rate=settings.rate, chosen_rate=table["method"].map(chosen))


def strengths(betas: Sequence[float], retain_weights: Sequence[float]) -> list[Method]:
    """NPO+RT with each of these betas, and with each of these weights of its retain term."""
    return [Method(f"NPO+RT, beta {beta:g}", "npo", "nll", beta=beta) for beta in betas] + [
        Method(f"NPO+RT, weight {weight:g}", "npo", "nll", coef_r=weight) for weight in retain_weights
    ]


def authors_paths(table: pd.DataFrame, fraction: float | None = None) -> pd.DataFrame:
    """Rows at the common rate of one fraction (default: the first), with both reference models at step 0."""
    fraction = table["fraction"].iloc[0] if fraction is None else fraction
    common = (table["learning_rate"] == table["common_rate"]) | (table["step"] == 0)
    log_quality = np.log10(np.maximum(table["forget_quality"], 1e-16))
    return table[common & (table["fraction"] == fraction)].assign(
        log_quality=log_quality, usable=table["utility"] * (table["forget_quality"] > THRESHOLD)
    )


def authors_ends(table: pd.DataFrame, fraction: float | None = None) -> pd.DataFrame:
    """Of those, the last rows and those of the reference models."""
    rows = authors_paths(table, fraction)
    return rows[(rows["step"] == rows["step"].max()) | (rows["step"] == 0)]


def authors_tuned(table: pd.DataFrame) -> pd.DataFrame:
    """Last rows of the first fraction, rates chosen on other replicates by ``usable`` utility.

    ``usable`` is the utility of a model that has forgotten (forget quality above 0.05), 0 for one that has not; where
    all are 0 the forget quality decides.
    """
    last = table[(table["step"] == table["step"].max()) & (table["fraction"] == table["fraction"].iloc[0])]
    last = at_all_rates(last)
    usable = last["utility"] * (last["forget_quality"] > THRESHOLD)
    tie = 1e-6 * np.log10(np.maximum(last["forget_quality"], 1e-16))
    return chosen_elsewhere(last.assign(usable=usable, criterion=usable + tie), "criterion")


def sentences_at_equal_forgetting(table: pd.DataFrame) -> pd.DataFrame:
    """Share of well-formed answers where a path first comes down to the retrained model's forget probability.

    Between evaluations it is interpolated in the logarithm of the probability; a path that never gets there counts with
    its last share.
    """
    rows, paths = [], authors_paths(table)
    for replicate, own in paths.groupby("replicate", sort=True):
        target = float(np.log(own.loc[own["method"] == "retrained", "forget_probability"].iloc[0]))
        start = own[own["method"] == "original"]
        for method, path in own[~own["method"].isin(["original", "retrained"])].groupby("method", sort=True):
            if path["step"].nunique() < 2:
                continue
            course = pd.concat([start, path.sort_values("step")])
            p = np.log(np.maximum(course["forget_probability"].to_numpy(), 1e-30))
            share = course["well_formed"].to_numpy()
            below = np.flatnonzero(p <= target)
            if len(below) == 0 or below[0] == 0:
                value = share[-1] if len(below) == 0 else share[0]
            else:
                k = below[0]
                value = np.interp(target, [p[k], p[k - 1]], [share[k], share[k - 1]])
            rows.append({"replicate": replicate, "method": method, "well_formed": float(value)})
    return pd.DataFrame(rows)


def late_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Exponent of KL(original || model) in the number of steps, between the last two evaluations of each path."""
    paths = authors_paths(table)
    paths = paths[paths["step"] > 0]
    steps = np.sort(paths["step"].unique())[-2:]
    late = paths[paths["step"].isin(steps)].pivot_table(
        index=["replicate", "method"], columns="step", values="retain_kl"
    )
    late = late.dropna()
    exponents = np.log(late[steps[1]] / late[steps[0]]) / np.log(steps[1] / steps[0])
    return exponents.rename("exponent").reset_index()
