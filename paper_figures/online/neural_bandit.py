"""Figures of contextual bandits with online neural regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.online.class_bandits import EPSILON, FAST, KL_GREEDY, LINEAR, ORDERED, SQUARE, TS, UCB, tuned
from theory.online.neural_bandit import inverse_gap_weighting, square_igw_supremum

CAPTION = (
    "Points are means over replicates with 95 % intervals, bands likewise. Real classes are turned into bandits: the "
    "label's arm has no loss, the others 1, only the pulled arm's is seen. Every method has nine settings; a replicate "
    "takes the one that is best on average over the other replicates. The sharp constant comes from the exact "
    "supremum over true losses."
)
_COLOUR_OF: dict[str, str] = dict(zip(ORDERED, COLOURS, strict=True))
_TITLES = {
    "wine": "wine", "breast_cancer": "breast cancer", "iris": "iris", "digits4": "digits, 4 x 4", "digits8": "digits",
    "quad5": "five squares",
}  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """The weightings and their sharp constant, rates of regression and bandit, curves on classes, what is gained."""
    table = results.tables["classes"]
    chosen = tuned(table)
    return {
        "curves": _curves(chosen, results.arrays["classes"]),
        "weightings": _weightings(),
        "rates": _rates(results.tables["regression"], results.tables["oracle"]),
        "gains": _gains(chosen),
        "ablation": _ablation(table),
    }


def _curves(chosen: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    sets = list(chosen["data"].unique())
    figure, axes = panels(len(sets), width=3.3, height=3.4)
    for ax, data in zip(axes, sets, strict=True):
        rows = chosen[chosen["data"] == data]
        for method in ORDERED:
            own = rows[rows["method"] == method]
            curves = np.array([arrays[k]["loss"][row] for k, row in zip(own["replicate"], own["row"], strict=True)])
            points = arrays[0]["points"][int(own["row"].iloc[0])]
            ends = [statistics.interval(each) for each in curves.T]
            ax.plot(points, [e.mean for e in ends], color=_COLOUR_OF[method], label=method, linewidth=1.4)
            if len(curves) > 1:
                low, high = [e.low for e in ends], [e.high for e in ends]
                ax.fill_between(points, low, high, color=_COLOUR_OF[method], alpha=0.12, linewidth=0)
        best = rows["constant"].mean() * rows["rounds"].iloc[0]
        ax.set(xlabel="round", title=f"{_TITLES.get(data, data)} (best single arm: {best:.0f})", ylim=(0, None))
    axes[0].set_ylabel("cumulative loss (wrong arms)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ORDERED), fontsize=8)
    return figure


def _weightings() -> Figure:
    figure, (kinds, sharp) = panels(2)
    gap = np.linspace(0, 1, 201)
    for arms, colour in ((2, COLOURS[0]), (5, COLOURS[1]), (20, COLOURS[2])):
        losses = np.full((len(gap), arms), 0.0)
        losses[:, 1:] = gap[:, None]
        for kind, style, base in (("square", "-", 0.0), ("fast", "--", 0.1)):
            shifted = np.clip(losses + base, 0, 1)
            best = inverse_gap_weighting(shifted, 50.0, kind)[:, 0]
            kinds.plot(gap, best, style, color=colour, label=f"K = {arms}, {kind}")
    kinds.set(
        xlabel="gap of the predicted losses", ylabel="probability of the best arm", ylim=(0, 1.02),
        title="At gamma = 50, fast explores less",
    )  # fmt: skip
    kinds.legend(fontsize=7.5, loc="lower right")
    gammas = np.geomspace(1, 1e4, 60)
    for arms, colour in ((2, COLOURS[0]), (3, COLOURS[3]), (5, COLOURS[1]), (20, COLOURS[2])):
        losses = np.full((len(gammas), arms), 0.9)
        losses[:, 0] = 0.1
        sharp.plot(gammas, square_igw_supremum(losses, gammas)[0] * gammas / arms, color=colour, label=f"K = {arms}")
    reference_line(sharp, 2.0, "customary constant 2")
    sharp.set(
        xscale="log", xlabel="gamma", ylabel="worst excess regret, in K/gamma", ylim=(0, 2.25),
        title="2(K − 1)/gamma is sharp",
    )  # fmt: skip
    sharp.legend(fontsize=8, loc="lower right")
    return figure


def _rates(regression: pd.DataFrame, oracle: pd.DataFrame) -> Figure:
    figure, (online, bandit) = panels(2)
    for (growth, mu), colour in zip(
        (("strong", 0.1), ("strong", 0.03), ("weak", 1e-4)), (COLOURS[0], COLOURS[2], COLOURS[1]), strict=True
    ):
        rows = regression[(regression["growth"] == growth) & (regression["strength"] == mu)]
        slope = statistics.log_log_slopes(rows, "rounds", "regret").mean()
        intervals(online, rows, "rounds", "regret", label=f"ridge mu = {mu:g}: slope {slope:.2f}", colour=colour)
    online.set(
        xscale="log", yscale="log", xlabel="rounds T", ylabel="regret of the regression (squares/2)",
        title="A ridge makes the regression's regret log T",
    )  # fmt: skip
    online.legend(fontsize=8, loc="upper left")
    labels = {"square": "square weighting", "fast": "fast weighting, L* = 0", "uniform, square": "uniform arms"}
    for (method, label), colour in zip(labels.items(), (COLOURS[0], COLOURS[1], "#888888"), strict=True):
        rows = oracle[oracle["method"] == method]
        slope = statistics.log_log_slopes(rows, "rounds", "regret").mean()
        intervals(bandit, rows, "rounds", "regret", label=f"{label}: slope {slope:.2f}", colour=colour)
    bandit.set(
        xscale="log", yscale="log", xlabel="rounds T", ylabel="regret of the bandit (loss)",
        title="Its oracle makes a bandit's near √T, or constant",
    )  # fmt: skip
    bandit.legend(fontsize=8, loc="upper left")
    bandit.set_ylim(top=bandit.get_ylim()[1] * 12)
    online.set_ylim(top=online.get_ylim()[1] * 4)
    for ax, rows in ((online, regression), (bandit, oracle)):
        _plain_ticks(ax, sorted(rows["rounds"].unique()))
    return figure


def _plain_ticks(ax: Axes, places: list[int]) -> None:
    ax.xaxis.set_major_locator(FixedLocator(places))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.tick_params(axis="x", labelsize=8)


def _gains(chosen: pd.DataFrame) -> Figure:
    """Tuned losses per round over NeuFastCB's, paired."""
    figure, (ax,) = panels(1, width=7.2)
    sets = list(chosen["data"].unique())
    others = (SQUARE, UCB, TS, EPSILON, KL_GREEDY, LINEAR)
    for k, method in enumerate(others):
        for place, data in enumerate(sets):
            gain = statistics.interval(
                statistics.paired(chosen[chosen["data"] == data], "rate", "method", method, FAST)
            )
            low, high = (end if np.isfinite(end) else gain.mean for end in (gain.low, gain.high))
            ax.errorbar(
                [place + (k - 2.5) * 0.12], [gain.mean], yerr=[[gain.mean - low], [high - gain.mean]], fmt="o",
                color=_COLOUR_OF[method], label=method if place == 0 else "",
            )  # fmt: skip
    reference_line(ax, 0.0, "")
    ax.set_xticks(range(len(sets)), [_TITLES.get(data, data) for data in sets])
    ax.set(
        ylabel=f"loss per round beyond {FAST}'s", title="Most of what NeuFastCB gains is the KL loss's doing"
    )  # fmt: skip
    ax.legend(fontsize=8, ncols=2, loc="upper left")
    return figure


def _ablation(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, method in zip(axes, (SQUARE, FAST), strict=True):
        rows = table[table["method"] == f"{method}, ablation"]
        base = rows[rows["c_p"] == 0].set_index(["replicate", "data"])["loss"]
        rows = rows.assign(
            ratio=rows["loss"].to_numpy() / base.loc[list(zip(rows["replicate"], rows["data"], strict=True))].to_numpy()
        )
        strengths = sorted(rows["c_p"].unique())
        rows = rows.assign(place=[float(strengths.index(c)) for c in rows["c_p"]])
        for data, colour in zip(rows["data"].unique(), COLOURS, strict=False):
            name = _TITLES.get(str(data), str(data))
            intervals(ax, rows[rows["data"] == data], "place", "ratio", label=name, colour=colour)
        ax.set_xticks(range(len(strengths)), [f"{c:g}" for c in strengths])
        ax.set(
            xlabel="strength of the perturbation, c_p",
            ylabel="loss over that without",
            title=f"{method}, learning rate 0.6",
        )
    axes[0].legend(fontsize=8)
    return figure
