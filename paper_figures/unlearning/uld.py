"""Figures of unlearning from logit difference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.unlearning.subtracted_assistants import (
    EXCLUDED,
    NO_UNIFORM,
    NO_WRONG,
    ONE_STYLE,
    THRESHOLD,
    ULD,
    WHOLE,
    ZEROED,
    authors_rows,
    authors_tuned,
)

CAPTION = (
    "Tiny transformers forget fictional authors: utility on everything else against forget quality (p-value against a "
    "model never shown these authors, on a logarithmic scale), with settings chosen on other worlds; ULD over "
    "strengths of the subtraction; the loss on retained answers while training, gradient ascent (GA) off the scale; "
    "assistants that lack a part, or that the relative-top filter is put on. Time and floating-point operations of a "
    "training step for a deep target and a short assistant. Log-probabilities of the words of one answer to forget and "
    "one to retain. RT and KL are retain terms. Points and bars are means with 95 % intervals over replicates."
)
_COLOUR = {
    ULD: COLOURS[0], "GA": COLOURS[1], "GA+RT": COLOURS[4], "GA+KL": COLOURS[3], "NPO": COLOURS[5],
    "NPO+RT": COLOURS[2], "DPO+RT": COLOURS[6], "original": "#888888", "retrained": "#888888",
}  # fmt: skip
_MARKER = {ULD: "D", "original": "x", "retrained": "*"}
_PARTS = {
    ULD: ULD, ONE_STYLE: ONE_STYLE, NO_WRONG: NO_WRONG, WHOLE: "wrong answers\njudged whole",
    NO_UNIFORM: NO_UNIFORM, EXCLUDED: "filter, exclude", ZEROED: "filter, zero",
}  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """Utility against forgetting, strengths, training, parts, cost, and the words of two answers."""
    authors = results.tables["authors"]
    figures = {
        "forgetting": _forgetting(authors),
        "strength": _strength(authors),
        "training": _training(authors),
        "parts": _parts(authors),
        "cost": _cost(results.tables["cost"]),
        "words": _words(results.arrays["authors"][0]),
    }
    if authors["fraction"].nunique() > 1:
        figures["fractions"] = _fractions(authors)
    return figures


def _spread(values: pd.Series) -> tuple[float, list[list[float]]]:
    estimate = statistics.interval(values)
    low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
    return estimate.mean, [[max(estimate.mean - low, 0)], [max(high - estimate.mean, 0)]]


def _forgetting(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=4.9)
    rows = authors_rows(table)
    named = set(rows["method"])
    last = rows[(rows["part"] == "path") & (rows["step"] == rows["step"].where(rows["forget_quality"].notna()).max())]
    shown = last[last["method"].isin(named - {ULD}) & ~last["tuned"] & last["forget_quality"].notna()]
    references = rows[rows["method"].isin(["original", "retrained"])]
    for ax, criterion in ((left, "usable"), (right, "log_quality")):
        for method, own in pd.concat([references, shown, authors_tuned(table, criterion)]).groupby("method", sort=True):
            name = str(method)
            (x, x_error), (y, y_error) = (_spread(own[column]) for column in ("utility", "log_quality"))
            ax.errorbar(
                x, y, xerr=x_error, yerr=y_error, color=_COLOUR[name], marker=_MARKER.get(name, "o"), markersize=6,
                linestyle="none", elinewidth=0.8, label=name,
            )  # fmt: skip
        reference_line(ax, float(np.log10(THRESHOLD)), "")
        ax.annotate("0.05", (0.15, np.log10(THRESHOLD) - 0.15), va="top", fontsize=8, color="#666666")
        ax.set(xlabel="model utility", ylabel="log₁₀ forget quality", xlim=(-0.05, 1.02))
    left.set(title="Chosen for utility once forgotten")
    right.set(title="Chosen for forget quality")
    right.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _strength(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.7)
    rows = authors_rows(table)
    rows = rows[(rows["part"] == "end") & rows["method"].isin([ULD, "original"])]
    rates = sorted(rows.loc[rows["method"] == ULD, "learning_rate"].unique())
    names = (
        ("log_quality", "log₁₀ forget quality", "Forgetting grows with strength …"),
        ("utility", "model utility", "… and hardly costs utility"),
        ("well_formed", "share of sentences", "Answers fall apart"),
    )
    for ax, (column, label, title) in zip(axes, names, strict=True):
        for rate, colour in zip(rates, (COLOURS[5], COLOURS[0], COLOURS[6]), strict=False):
            own = rows[(rows["learning_rate"] == rate) | (rows["method"] == "original")]
            intervals(ax, own, "alpha", column, label=f"rate {rate:g}", colour=colour)
        ax.set(xlabel="strength α", ylabel=label, title=title)
    reference_line(axes[0], float(np.log10(THRESHOLD)), "0.05")
    for ax in axes[1:]:
        ax.set_ylim(-0.03, 1.03)
    axes[1].legend(fontsize=8, loc="lower left")
    return figure


def _training(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    rows = authors_rows(table)
    start = rows[rows["method"] == "original"].assign(step=0)
    path = rows[rows["part"] == "path"]
    for name in (ULD, "NPO+RT", "GA+RT", "GA+KL", "GA"):
        own = path[path["method"] == name]
        # Of a method with several rates the one that is used where only one is shown.
        rate = sorted(own["learning_rate"].unique())[own["learning_rate"].nunique() // 2] if len(own) else 0.0
        course = pd.concat([start, own[own["learning_rate"] == rate]])
        _band(left, course, name)
        means = course.groupby("step")["retain_loss"].mean()
        right.plot(means, color=_COLOUR[name], label=f"{name}, rate {rate:g}", linewidth=1.4,
                   marker=_MARKER.get(name, "o"), markersize=3)  # fmt: skip
    left.set(ylim=(0, 100), title="Ascent diverges, ULD stays flat")
    left.set_yscale("symlog", linthresh=0.1)
    left.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    right.set(ylim=(-0.02, 0.5), title="Means, enlarged")
    for ax in (left, right):
        ax.set(xlabel="step", ylabel="loss on retained answers (nats)")
    right.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _band(ax: Axes, rows: pd.DataFrame, method: str) -> None:
    means = rows.groupby(["step", "replicate"])["retain_loss"].mean()
    steps = sorted(rows["step"].unique())
    estimates = [statistics.interval(means.loc[step]) for step in steps]
    if all(np.isfinite(e.low) for e in estimates):
        low, high = np.array([[max(e.low, 0), e.high] for e in estimates]).T
        ax.fill_between(steps, low, high, color=_COLOUR[method], alpha=0.15, linewidth=0)
    ax.plot(steps, [e.mean for e in estimates], color=_COLOUR[method], linewidth=1.4,
            marker=_MARKER.get(method, "o"), markersize=3)  # fmt: skip


def _parts(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.7, height=3.0)
    rows = authors_rows(table)
    common = (rows["learning_rate"] == rows["common_rate"]) & (rows["alpha"] == rows["common_alpha"])
    rows = rows[common & (rows["part"] == "end")]
    alpha = rows["common_alpha"].iloc[0]
    names = (
        ("log_quality", "log₁₀ forget quality", f"Forgetting at strength {alpha:g}"),
        ("utility", "model utility", "What is kept"),
        ("well_formed", "share of sentences", "Answers about forgotten facts"),
    )
    for ax, (column, label, title) in zip(axes, names, strict=True):
        for place, method in enumerate(_PARTS):
            own = rows[rows["method"] == method]
            mean, error = _spread(own.groupby("replicate")[column].mean())
            colour = COLOURS[0] if method == ULD else COLOURS[4] if method in (EXCLUDED, ZEROED) else COLOURS[1]
            ax.errorbar(mean, place, xerr=error, color=colour, marker="o")
        ax.set(xlabel=label, title=title, yticks=range(len(_PARTS)))
        ax.set_yticklabels(_PARTS.values() if ax is axes[0] else [])
        ax.invert_yaxis()
    axes[0].axvline(float(np.log10(THRESHOLD)), color="#888888", linewidth=1, linestyle="--", zorder=0)
    for ax in axes[1:]:
        ax.set_xlim(-0.03, 1.05)
    return figure


def _cost(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.4, height=2.6)
    sides = list(dict.fromkeys(table["side"]))
    names = (
        ("seconds", 1e3, "median of a step (ms)", "Training time"),
        ("operations", 1e-9, "floating-point operations (10⁹)", "Counted operations"),
    )
    for ax, (column, unit, label, title) in zip(axes, names, strict=True):
        values = unit * table.groupby("side")[column].median()[sides]
        by_side = table.groupby("side")[column]
        ends = np.stack([unit * by_side.quantile(q)[sides].to_numpy() for q in (0.25, 0.75)])
        error = np.abs(ends - values.to_numpy())
        colours = [COLOURS[0] if side == "assistant" else COLOURS[3] for side in sides]
        ax.barh(sides, values, color=colours, xerr=error if column == "seconds" else None)
        for place, value in enumerate(values):
            text = f" {value / values['assistant']:.1f}×" if sides[place] != "assistant" else " 1×"
            ax.annotate(text, (value + error[1, place], place), va="center", fontsize=9)
        ax.set(xlabel=label, title=title, xlim=(0, 1.2 * (values + error[1]).max()))
        ax.invert_yaxis()
    axes[1].set_yticklabels([])
    return figure


def _words(arrays: Mapping[str, np.ndarray]) -> Figure:
    figure, axes = panels(2, width=5.2)
    styles = (("target", COLOURS[6], "o"), ("assistant", COLOURS[1], "s"), ("difference", COLOURS[0], "D"))
    least = min(float(arrays[f"{part}_logps"].min()) for part in ("forget", "retain"))
    titles = {"forget": "To forget: what both know is lost", "retain": "To retain: the target is left as it is"}
    for ax, (part, title) in zip(axes, titles.items(), strict=True):
        words = arrays[f"{part}_words"]
        for (name, colour, marker), logps in zip(styles, arrays[f"{part}_logps"], strict=True):
            wide = name == "target"
            ax.plot(
                range(len(words)), logps, color=colour, marker=marker, label=name, linewidth=4 if wide else 1.2,
                markersize=9 if wide else 5, alpha=0.35 if wide else 1,
            )  # fmt: skip
        ax.set(ylabel="log-probability (nats)", title=title, ylim=(1.08 * least, 0.4))
        ax.set_xticks(range(len(words)), words, rotation=30, ha="right")
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _fractions(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    tuned = pd.concat([authors_tuned(table, fraction=f).assign(fraction=f) for f in table["fraction"].unique()])
    for method in (ULD, "NPO+RT", "GA+RT"):
        own = tuned[tuned["method"] == method]
        style = {"label": method, "colour": _COLOUR[method], "marker": _MARKER.get(method, "o")}
        intervals(left, own, "fraction", "usable", **style)
        intervals(right, own, "fraction", "log_quality", **style)
    reference_line(right, float(np.log10(THRESHOLD)), "0.05")
    left.set(ylabel="utility if forgotten, else 0", title="Utility that is left once forgotten", ylim=(-0.03, 1.0))
    right.set(ylabel="log₁₀ forget quality", title="Forget quality")
    for ax in (left, right):
        ax.set(xlabel="fraction forgotten", xscale="log")
    right.legend(fontsize=8, loc="lower left")
    return figure
