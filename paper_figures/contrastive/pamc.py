"""Figures of block contrast by meta-nodes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Points and bars are means over replicates with 95 % intervals. Costs are those of one loss with its gradient, on "
    "a random graph of degree 8; memory is what its tensors take at once. The gap is that between all pairs "
    "and blocks, for clusters around random directions. Every contrast is tuned on graphs of its own; 'divergence "
    "only' has no contrast, 'sizes' counts the pairs of blocks, 'sampled pairs' draws K nodes per node and epoch."
)
_NAMES = {
    "none": "divergence only", "pamc": "blocks (PamC)", "pamc_soft": "soft blocks", "pamc_size": "blocks, sizes",
    "full": "all pairs", "sampled": "sampled pairs", "pamc, shuffled edges": "blocks, shuffled edges",
    "k-means of features": "k-means", "spectral clustering": "spectral",
}  # fmt: skip
_COLOUR_OF = dict(zip(_NAMES, (*COLOURS, "#999999", "#666666"), strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Cost, gap, accuracy on block models, accuracy by start, and real graphs."""
    return {
        "cost": _cost(results.tables["cost"]),
        "gap": _gap(results.tables["gap"]),
        "clustering": _clustering(results.tables["clustering"]),
        "starts": _starts(results.tables["starts"]),
        "real": _real(results.tables["real"]),
    }


def _cost(table: pd.DataFrame) -> Figure:
    figure, (time, memory) = panels(2)
    loss = table[table["what"] == "loss"]
    for name, colour, label in (
        ("pairs", COLOURS[1], "all pairs"), ("pairs in chunks", COLOURS[3], "all pairs, in chunks"),
        ("block", COLOURS[0], "blocks (PamC)"),
    ):  # fmt: skip
        rows = loss[loss["loss"] == name]
        timed = rows[rows["seconds"].notna()].groupby("nodes")["seconds"].median()
        time.plot(timed.index, timed.to_numpy(), color=colour, marker="o", label=label)
        peaks = rows[rows["bytes"].notna()].groupby("nodes")["bytes"].max() / 2**20
        memory.plot(peaks.index, peaks.to_numpy(), color=colour, marker="o", label=label)
    time.set(xscale="log", yscale="log", xlabel="nodes", ylabel="seconds (median)", title="Blocks cost time like N, …")
    memory.set(
        xscale="log", yscale="log", xlabel="nodes", ylabel="peak memory of tensors / MiB", title="… and memory too"
    )
    for ax in (time, memory):
        ax.set_xlim(0.8 * loss["nodes"].min(), 1.25 * loss["nodes"].max())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
    time.legend(fontsize=8, loc="upper right")
    return figure


def _gap(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    large = sorted(g for g in table["gamma"].unique() if g >= 1)
    for ax, gamma in zip(axes, large, strict=False):
        rows = table[table["gamma"] == gamma]
        rows = rows.assign(bias=rows["sampled_bias"].abs(), least=rows[["bound", "square_bound"]].min(axis=1))
        for column, colour, label in (
            ("least", COLOURS[6], "bound"), ("sampled_rmse", COLOURS[1], "K² sampled pairs, RMS error"),
            ("gap", COLOURS[0], "blocks, gap"),
        ):  # fmt: skip
            intervals(ax, rows, "width", column, label=label, colour=colour)
        bias = rows.groupby("width")["sampled_bias"].mean().abs()
        ax.plot(bias.index, bias.to_numpy(), color=COLOURS[4], marker="s", label="K² sampled pairs, bias of the mean")
        ax.set(xscale="log", yscale="log", xlabel="width of clusters", ylabel="error of the log-mass")
    axes[0].set_title(f"Blocks err less than samples: gamma = {large[0]:g}")
    axes[1].set_title(f"gamma = {large[1]:g}")
    axes[1].legend(fontsize=7, loc="lower right")
    for gamma, colour in zip(large, COLOURS, strict=False):
        rows = table[table["gamma"] == gamma]
        intervals(axes[2], rows, "width", "gap", label=f"means, gamma = {gamma:g}", colour=colour)
        intervals(axes[2], rows, "width", "cosine_gap", label=f"cosines, gamma = {gamma:g}", colour=colour, marker="^")
    reference_line(axes[2], 0.0, "exact")
    axes[2].set(xlabel="width of clusters", ylabel="all pairs − blocks", title="Cosines of meta-nodes over-estimate")
    axes[2].legend(fontsize=7)
    return figure


def _clustering(table: pd.DataFrame) -> Figure:
    noises = sorted(table["noise"].unique())
    figure, axes = panels(len(noises), width=4.6, height=3.6)
    for ax, noise in zip(axes, noises, strict=True):
        rows = table[table["noise"] == noise]
        _bars(ax, rows, [name for name in _NAMES if name in set(rows["contrast"])])
        reference_line(ax, rows["start"].mean(), "start")
        ax.set_title(f"features' noise {noise:g}")
    axes[0].set_title(f"What a contrast gains, tuned (noise {noises[0]:g})")
    return figure


def _bars(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    for place, name in enumerate(names):
        estimate = statistics.interval(rows.loc[rows["contrast"] == name].groupby("replicate")["accuracy"].mean())
        ends = [estimate.low, estimate.high] if np.isfinite(estimate.low) else [estimate.mean] * 2
        ax.bar(place, estimate.mean, color=_COLOUR_OF[name], alpha=0.75)
        ax.errorbar(place, estimate.mean, [[estimate.mean - ends[0]], [ends[1] - estimate.mean]], color="black")
    ax.set_xticks(range(len(names)), [_NAMES[name] for name in names], rotation=35, ha="right", fontsize=8)
    ax.set(ylabel="clustering accuracy", ylim=(0, 1.05))


def _starts(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2, height=3.6)
    for name in [n for n in _NAMES if n in set(table["contrast"])]:
        rows = table[table["contrast"] == name]
        rows = rows.assign(start=rows.groupby("noise")["start"].transform("mean"))
        intervals(ax, rows, "start", "accuracy", label=_NAMES[name], colour=_COLOUR_OF[name])
    ax.axline((0.5, 0.5), slope=1, color="#888888", linewidth=1, linestyle="--", zorder=0)
    ax.axvline(0.55, color="#888888", linewidth=1, linestyle=":", zorder=0)
    ax.set(
        xlabel="accuracy of the start (k-means)", ylabel="accuracy at the end", ylim=(0, 1.05),
        title="Contrast of hard blocks, nearly alone, needs a good start",
    )  # fmt: skip
    ax.legend(fontsize=8)
    return figure


def _real(table: pd.DataFrame) -> Figure:
    titles = {
        "digits": "On digits blocks do as well as all pairs", "karate": "Zachary's karate club",
        "davis_southern_women": "Davis' women and events",
    }  # fmt: skip
    graphs = list(table["graph"].unique())
    figure, axes = panels(len(graphs), width=4.6, height=3.6)
    for ax, graph in zip(axes, graphs, strict=True):
        rows = table[table["graph"] == graph]
        _bars(ax, rows, [name for name in _NAMES if name in set(rows["contrast"])])
        ax.set_title(titles.get(graph, graph))
    return figure
