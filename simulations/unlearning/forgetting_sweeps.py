"""What happens to NPO as more is forgotten, as its beta falls, and as its retain term gains weight.

Judges and claims over rows of ``forgotten_authors``. Over the fraction that is forgotten, NPO+RT and GA+RT each run
with a learning rate of their own, chosen at the first fraction on worlds that are not among the replicates. Beta and
weight vary at the first fraction, at the common learning rate; beta 0 is ascent on sums with the same retain term
(``W=1+RT``), weight 0 is NPO alone.

    fraction_sweep(table), beta_sweep(table), weight_sweep(table)      # last rows; beta and weight as ``level``
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from simulations.contract import Claim, Verdict
from simulations.controls import exchange
from simulations.statistics import all_of, paired, trend
from simulations.unlearning.forgotten_authors import THRESHOLD, WITHOUT_WEIGHT, authors_ends

__all__ = ["SWEEP_CLAIMS", "beta_sweep", "fraction_sweep", "weight_sweep"]

_DEFAULT_BETA, _DEFAULT_WEIGHT = 0.1, 1.0


def fraction_sweep(table: pd.DataFrame) -> pd.DataFrame:
    """Last rows of every fraction, of the methods with a rate of their own, at that."""
    last = table[(table["step"] == table["step"].max()) & (table["learning_rate"] == table["chosen_rate"])]
    return last.assign(log_quality=np.log10(np.maximum(last["forget_quality"], 1e-16)))


def beta_sweep(table: pd.DataFrame) -> pd.DataFrame:
    """Last rows of NPO+RT by beta (``level``), and of ascent without a weight as beta 0."""
    return _levels(table, "beta", {WITHOUT_WEIGHT: 0.0, "NPO+RT": _DEFAULT_BETA})


def weight_sweep(table: pd.DataFrame) -> pd.DataFrame:
    """Last rows of NPO by the weight of its retain term (``level``)."""
    return _levels(table, "weight", {"NPO": 0.0, "NPO+RT": _DEFAULT_WEIGHT})


def _levels(table: pd.DataFrame, kind: str, known: dict[str, float]) -> pd.DataFrame:
    rows = authors_ends(table)
    found = {name: float(name.rsplit(" ", 1)[1]) for name in rows["method"].unique() if f", {kind} " in name}
    return rows.assign(level=rows["method"].map(known | found)).dropna(subset="level")


def _judge_fractions(large: bool) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        rows, verdicts = fraction_sweep(table), []
        for fraction, own in rows[(rows["fraction"] > 0.5) == large].groupby("fraction", sort=True):
            quality = own[own["method"] == "NPO+RT"].groupby("replicate")["log_quality"].mean()
            gap = paired(own, "utility", "method", "NPO+RT", "GA+RT")
            forgotten = f"fraction {fraction:g} forgotten"
            verdicts += [
                trend(quality, f"log10 forget quality of NPO+RT, {forgotten}", above=float(np.log10(THRESHOLD))),
                trend(gap, f"utility of NPO+RT less GA+RT, {forgotten}", above=0.0),
            ]
        return all_of(verdicts)

    return judge


def _judge_small_beta(table: pd.DataFrame) -> Verdict:
    rows = beta_sweep(table)
    rows = rows.assign(log_kl=np.log10(rows["retain_kl"]))
    logs = rows.groupby(["replicate", "level"])["log_kl"].mean().unstack("level")
    gaps = logs.drop(columns=0.0).sub(logs[0.0], axis=0).abs()
    least = min(gaps.columns)
    apart = "log10 KL from the original, NPO+RT against W = 1"
    return all_of(
        [
            trend(_spearman(gaps), f"Spearman's rho of beta and the gap in {apart}", above=0.8),
            trend(gaps[least], f"gap in {apart}, beta = {least:g}", below=float(np.log10(2))),
        ]
    )


def _judge_weight_quality(table: pd.DataFrame) -> Verdict:
    rows, compared = weight_sweep(table), "log10 forget quality, retain weight {} less {}"
    return all_of(
        [
            trend(paired(rows, "log_quality", "level", 2.0, 0.0), compared.format(2, 0), above=0.0),
            trend(paired(rows, "log_quality", "level", 5.0, 2.0), compared.format(5, 2), below=0.0),
        ]
    )


def _judge_weight_utility(table: pd.DataFrame) -> Verdict:
    rows = weight_sweep(table)
    utility = rows.groupby(["replicate", "level"])["utility"].mean().unstack("level")
    return trend(_spearman(utility), "Spearman's rho of the retain weight and utility", above=0.8)


def _spearman(values: pd.DataFrame) -> pd.Series:
    """Of every row, Spearman's rho with the columns' own order."""
    return values.T.reset_index().corr("spearman")["level"].drop("level")


def _example() -> pd.DataFrame:
    #           forget quality, utility, KL at the end
    strengths = {
        WITHOUT_WEIGHT: (1e-3, 0.01, 20.0), "NPO": (0.05, 0.01, 12.0), "NPO+RT, beta 0.01": (1e-3, 0.02, 17.0),
        "NPO+RT, beta 1": (1e-2, 0.8, 0.05), "NPO+RT, beta 5": (1e-3, 0.8, 0.02),
        "NPO+RT, weight 2": (0.6, 0.7, 0.2), "NPO+RT, weight 5": (0.1, 0.8, 0.1),
    }  # fmt: skip
    swept = {"NPO+RT": (0.4, 0.6, 0.4, 4e-3), "GA+RT": (0.3, 0.4, 2.0, 2e-3)}
    rows = []
    for k in range(5):
        noise, shared = 1 + 0.02 * (k % 3), {"replicate": k, "step": 40, "common_rate": 4e-3}
        for fraction in (0.1, 0.5, 0.9):
            arms = {name: (*values, np.nan) for name, values in strengths.items()} if fraction == 0.1 else {}
            for name, (quality, utility, kl, chosen) in (arms | swept).items():
                rows.append(
                    {
                        **shared, "fraction": fraction, "method": name, "chosen_rate": chosen,
                        "learning_rate": 4e-3 if np.isnan(chosen) else chosen, "forget_quality": quality / noise,
                        "utility": utility * noise, "retain_kl": kl * noise,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _methods_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    """What NPO+RT and GA+RT come to, exchanged at the rates of each."""
    rows = fraction_sweep(table).drop(columns="log_quality")
    rate = rows.groupby("method")["chosen_rate"].first()
    renamed = exchange(rows, "method", "NPO+RT", "GA+RT")
    rates = renamed["method"].map(rate)
    return renamed.assign(learning_rate=rates, chosen_rate=rates)


def _reversed(sweep: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The outcome of the least level under the name of the largest, and so on; ascent without a weight stays."""

    def control(table: pd.DataFrame) -> pd.DataFrame:
        rows = sweep(table)
        levels = rows[rows["method"] != WITHOUT_WEIGHT].groupby("method")["level"].first()
        order = list(levels.sort_values().index)
        return table.assign(method=table["method"].replace(dict(zip(order, reversed(order), strict=True))))

    return control


def _two_is_none(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(table, "method", "NPO", "NPO+RT, weight 2")


SWEEP_CLAIMS = [
    Claim(
        "C11", "authors", "trend", "sweep over the fraction to forget",
        "Forgetting up to half, NPO+RT ends above a forget quality of 0.05, with more utility than GA+RT.",
        _judge_fractions(large=False), _example, _methods_exchanged,
        paper_value="above 0.05 at a utility above 0.55 on Forget50 and Forget90",
    ),
    Claim(
        "C11b", "authors", "trend", "sweep over the fraction to forget",
        "The same beyond half.",
        _judge_fractions(large=True), _example, _methods_exchanged,
        paper_value="above 0.05 at a utility above 0.55 on Forget50 and Forget90",
    ),
    Claim(
        "C12", "authors", "trend", "relation of NPO to gradient ascent, seen in training",
        "As beta falls, NPO+RT comes to what ascent on sums (W = 1) comes to.",
        _judge_small_beta, _example, _reversed(beta_sweep),
    ),
    Claim(
        "C13", "authors", "trend", "sweep over the weight of the retain term",
        "Forget quality rises as the retain term's weight goes from 0 to 2, and drops at 5.",
        _judge_weight_quality, _example, _two_is_none, paper_value="rises from 0 to 2, drops at 5",
    ),
    Claim(
        "C13b", "authors", "trend", "sweep over the weight of the retain term",
        "The larger the retain term's weight, the more utility is left.",
        _judge_weight_utility, _example, _reversed(weight_sweep),
    ),
]  # fmt: skip
"""Claims over the experiment ``authors``."""
