"""Figures of D2O: where descent ends, what it keeps, the noise of self-samples, and language models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results, statistics

CAPTION = (
    "Tables: softmax policies over a few answers that descend from one reference, with a known set of bad answers. "
    "Language: small transformers, every method at every learning rate; flagged answers are sampled on prompts of an "
    "unseen style. Points are means over replicates with 95 % intervals; q is the probability of the bad answers."
)
_METHODS = {
    "ga": "GA", "npo": "NPO", "dpo": "DPO on pairs", "d2o": "D2O", "d2o K=11": "D2O, K = 11", "d2o K=1": "D2O, K = 1",
}  # fmt: skip
_COLOUR_OF = dict(zip(_METHODS, COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """What is left of a bad answer, what is kept of the others, noise by K, and harm against utility."""
    return {
        "threshold": _threshold(results.tables["threshold"]),
        "kept": _kept(results.tables["descent"]),
        "anchor": _anchor(results.tables["anchor"]),
        "language": _language(results.tables["language"]),
    }


def _threshold(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    ratio = np.geomspace(min(0.15, table["ratio"].min()), table["ratio"].max(), 200)
    for number, beta in enumerate(sorted(table["beta"].unique().tolist())):
        rows = table[table["beta"] == beta]
        ax.scatter(
            rows["ratio"], rows["q"] / rows["start"], color=COLOURS[number], s=26, label=f"beta = {beta:g}", zorder=3
        )
        alpha = float((rows["ratio"] * rows["beta"] * rows["p"]).iloc[0])
        p = alpha / (beta * ratio)
        inside = (ratio < 1) & (p < 1)
        ax.plot(ratio[inside], ((beta * p - alpha) / (beta - alpha) / p)[inside], color=COLOURS[number], lw=1)
    ax.axvline(1, color="#888888", lw=1, ls="--", zorder=0)
    ax.set(
        xscale="log", xlabel="alpha / (beta p)", ylabel="share of the bad answer that is left", ylim=(-0.03, 1),
        title="A weak push stops where the closed form says",
    )  # fmt: skip
    ticks = [tick for tick in (0.125, 0.25, 0.5, 1, 2, 4, 8) if ratio[0] / 1.5 < tick < 1.5 * ratio[-1]]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return figure


def _kept(table: pd.DataFrame) -> Figure:
    figure, (kept, speed) = panels(2)
    reached = table[table["reached"]]
    for name, label in _METHODS.items():
        rows = reached[reached["method"] == name]
        intervals(kept, rows, "level", "kl_good", label=label, colour=_COLOUR_OF[name])
        intervals(speed, rows, "level", "steps", label=label, colour=_COLOUR_OF[name])
    for ax, label, title in (
        (kept, "KL from the reference (nats)", "What happens to the other answers"),
        (speed, "steps", "How long it takes"),
    ):
        levels = sorted(table["level"].unique())
        ax.set_xscale("log")
        ax.set_xticks(levels, [f"{level:g}" for level in levels])
        ax.minorticks_off()
        ax.invert_xaxis()
        ax.set(xlabel="q, reached by every method", ylabel=label, title=title)
    kept.set_yscale("log")
    kept.legend(fontsize=8)
    return figure


def _anchor(table: pd.DataFrame) -> Figure:
    figure, (error, variance) = panels(2)
    for ax, column, power, label in (
        (error, "error", -0.5, "error of the mean log-ratio (nats)"),
        (variance, "variance", -1.0, "variance of the gradient"),
    ):
        intervals(ax, table, "K", column, colour=COLOURS[0], label="measured")
        counts = np.array(sorted(table["K"].unique()), dtype=float)
        first = table.loc[table["K"] == counts[0], column].mean()
        ax.plot(counts, first * (counts / counts[0]) ** power, color="#888888", ls="--", lw=1, label=f"K^({power:g})")
        ax.set(xscale="log", yscale="log", xlabel="self-samples K", ylabel=label)
        ax.legend(fontsize=8)
    error.set(title="Self-samples measure a divergence")
    variance.set(title="… and average out noise")
    return figure


def _language(table: pd.DataFrame) -> Figure:
    figure, (scatter, harm) = panels(2, width=5.4, height=4.0)
    test = table[table["part"] == "test"]
    methods = [name for name in test["method"].unique() if name != "base"]
    for name, colour, marker in zip(methods, (*COLOURS, "#999999"), "osD^vP*Xh", strict=False):
        means = test[test["method"] == name].groupby("rate")[["harm", "utility"]].mean()
        scatter.plot(means["harm"], means["utility"], color=colour, marker=marker, label=name)
    base = test[test["method"] == "base"][["harm", "utility"]].mean()
    scatter.plot(base["harm"], base["utility"], "k*", ms=12, label="before alignment")
    scatter.set(
        xlabel="flagged answers (share)", ylabel="right benign answers (share)",
        title="Every method pays for fewer flagged answers",
    )  # fmt: skip
    scatter.legend(fontsize=8)
    rate = sorted(test.loc[test["rate"] > 0, "rate"].unique())[0]
    names = ["base", *methods]
    for place, name in enumerate(names):
        rows = test[(test["method"] == name) & (test["rate"].isin([0.0, rate]))]
        found = statistics.interval(rows.groupby("replicate")["harm"].mean())
        harm.errorbar(
            found.mean, place, xerr=[[found.mean - found.low], [found.high - found.mean]], fmt="o", color=COLOURS[0]
        )
    harm.set_yticks(range(len(names)), ["before alignment", *methods])
    harm.invert_yaxis()
    harm.set(xlabel="flagged answers (share)", xlim=(0, None), title=f"Flagged answers at learning rate {rate:g}")
    return figure
