"""Claims about encoders of series: levels, differences between measurements, between methods, and at best settings.

Tables have columns ``condition``, ``method``, ``learning_rate`` and ``shown``, true at the rate that is looked at.
"""

import pandas as pd

from simulations import Claim, Verdict, statistics
from simulations.contrastive.series_training import PLAIN
from simulations.controls import columns_exchanged, exchange

__all__ = ["best_rates", "columns_claim", "level_claim", "methods_claim", "tuned_claim"]


def _shown(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows of a condition at the learning rate that is looked at."""
    return table[(table["condition"] == condition) & table["shown"]].sort_values("replicate")


def _example_of(condition: str, values: dict[str, dict[str, float]]) -> pd.DataFrame:
    """A table with these columns for these methods."""
    return pd.DataFrame(
        [
            {"replicate": k, "condition": condition, "method": method, "shown": True,
             **{column: value + 1e-4 * ((3 * k) % 5) * (1 + n) for n, (column, value) in enumerate(columns.items())}}
            for k in range(5)
            for method, columns in values.items()
        ]
    )  # fmt: skip


def level_claim(
    id: str, condition: str, columns: tuple[str, ...], statement: str, compared: str, *, source: str,
    above: float | None = None, below: float | None = None, method: str = PLAIN, paper_value: str = "",
) -> Claim:  # fmt: skip
    """The claim that every one of these measurements of a method lies above (or below) a number."""
    threshold = above if above is not None else below
    assert threshold is not None

    def judge(table: pd.DataFrame) -> Verdict:
        rows = _shown(table, condition)
        rows = rows[rows["method"] == method]
        return statistics.all_of(
            [
                statistics.trend(rows[c], f"{compared} ({c.replace('_', ' ')}, {method})", above=above, below=below)
                for c in columns
            ]
        )

    side = 0.02 if above is not None else -0.02
    return Claim(
        id, "series", "trend", source, statement, judge,
        lambda: _example_of(condition, {method: dict.fromkeys(columns, threshold + side)}),
        lambda t: t.assign(**{c: 2 * threshold - t[c] for c in columns}), paper_value=paper_value,
    )  # fmt: skip


def columns_claim(
    id: str, condition: str, first: str, second: str, statement: str, compared: str, *, source: str, above: bool,
    method: str = PLAIN,
) -> Claim:  # fmt: skip
    """The claim that one measurement of a method lies above (or below) another."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = _shown(table, condition)
        rows = rows[rows["method"] == method]
        side = {"above": 0.0} if above else {"below": 0.0}
        return statistics.trend(rows[first] - rows[second], f"{compared}, {method}", **side)

    values = (0.6, 0.4) if above else (0.4, 0.6)
    return Claim(
        id, "series", "trend", source, statement, judge,
        lambda: _example_of(condition, {method: dict(zip((first, second), values, strict=True))}),
        columns_exchanged(first, second),
    )  # fmt: skip


def methods_claim(
    id: str, condition: str, column: str, first: str, second: str, statement: str, compared: str, *, source: str
) -> Claim:
    """The claim that a measurement is larger for the first method than for the second."""

    def judge(table: pd.DataFrame) -> Verdict:
        values = statistics.paired(_shown(table, condition), column, "method", first, second)
        return statistics.trend(values, f"{compared}, {first} less {second}", above=0.0)

    return Claim(
        id, "series", "trend", source, statement, judge,
        lambda: _example_of(condition, {first: {column: 0.6}, second: {column: 0.4}}),
        lambda t: exchange(t, "method", first, second),
    )  # fmt: skip


def best_rates(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Every method at the learning rate that is best on held-out series, by the mean over replicates."""
    rows = table[table["condition"] == condition]
    means = rows.groupby(["method", "learning_rate"])["accuracy_valid"].mean()
    chosen = {method: means.loc[method].idxmax() for method in rows["method"].unique()}
    return rows[rows["learning_rate"] == rows["method"].map(chosen)]


def tuned_claim(id: str, condition: str, first: str, statement: str, *, source: str, paper_value: str = "") -> Claim:
    def judge(table: pd.DataFrame) -> Verdict:
        values = statistics.paired(best_rates(table, condition), "accuracy", "method", first, PLAIN)
        return statistics.trend(values, f"test accuracy at the best learning rates, {first} less {PLAIN}", above=0.0)

    def example() -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"replicate": k, "condition": condition, "method": m, "learning_rate": rate,
                 "accuracy_valid": base - rate, "accuracy": base - rate + 0.002 * ((3 * k) % 5) * (m == first)}
                for k in range(5)
                for m, base in ((PLAIN, 0.8), (first, 0.85))
                for rate in (0.01, 0.03)
            ]
        )  # fmt: skip

    return Claim(
        id, "series", "trend", source, statement, judge, example, lambda t: exchange(t, "method", first, PLAIN),
        paper_value=paper_value,
    )  # fmt: skip
