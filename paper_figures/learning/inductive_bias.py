"""Figures of inductive bias: by dimension, in the deep tail, by hypothesis space, and how well it is estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Inductive bias is −log of the share of hypotheses that fit the training set and have test error at most eps, in "
    "nats. Kernel values and those of random networks with conditioned readouts are exact; trained networks' are "
    "extrapolated from two dozen of them. Means over replicates (tasks, splits) with 95 % intervals."
)
_SPACES = (
    "convolution", "kernel", "attention", *(f"perceptron, {d} hidden" for d in (3, 2, 1)), "forest",
)  # fmt: skip
_CONDITIONS = ("true", "permuted pixels", "shuffled labels")


def draw(results: Results) -> dict[str, Figure]:
    """I by dimension and training size, the fitted family's deep tail, networks, spaces, rates and speed."""
    dimension = results.tables["dimension"]
    figures = {
        "dimension": _dimension(dimension),
        "networks": _networks(results.tables["networks"]),
        "classes": _classes(results.tables["classes"]),
        "sampling": _sampling(results.tables["sampling"]),
        "speed": _speed(results.tables["speed"]),
    }
    arrays = results.arrays.get("dimension", [])
    if arrays and "drawn_errors" in arrays[0]:
        figures["tail"] = _tail(arrays[0])
    return figures


def _dimension(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.8, height=3.6)
    law = table[(table["method"] == "law") & (table["eps"] == "0.05")]
    sphere = law[law["task"] == "sphere"]
    intervals(axes[0], sphere, "dim", "exact", label="exact", colour=COLOURS[0])
    intervals(axes[0], sphere, "dim", "family", label="fitted family, exact moments", colour=COLOURS[1], marker="s")
    padded = law[law["task"] == "padded"]
    if len(padded):
        intervals(axes[0], padded, "dim", "exact", label="6 dimensions and zeros", colour=COLOURS[2], marker="D")
    axes[0].set(xlabel="dimension of the inputs", ylabel="I(0.05), nats", title="Higher dimension needs more")
    axes[0].legend(loc="upper left")
    for task, label, colour in (("sizes", "true targets", COLOURS[0]), ("sizes, shuffled", "shuffled", COLOURS[1])):
        rows = law[law["task"] == task]
        intervals(
            axes[1], rows.assign(exact=rows["exact"].clip(lower=1e-3)), "train", "exact", label=label, colour=colour
        )
    axes[1].set_yscale("log")
    axes[1].set(
        xlabel="training points", ylabel="I(0.05), nats (at least 0.001)", title="Data pay for bias if they are true"
    )
    axes[1].legend(loc="lower left")
    return figure


def _tail(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = panels(2, width=4.8, height=3.6)
    errors, eps = arrays["drawn_errors"], arrays["tail_eps"]
    axes[0].hist(errors, bins=40, density=True, color="#BBBBBB", label=f"{len(errors)} hypotheses")
    for key, label, colour in (("tail_family", "fitted by moments", COLOURS[1]), ("tail_exact", "exact", COLOURS[0])):
        cumulative = np.exp(-arrays[key])
        axes[0].plot((eps[1:] + eps[:-1]) / 2, np.diff(cumulative) / np.diff(eps), color=colour, label=label)
        axes[1].plot(eps, arrays[key], color=colour, label=label)
    reference_line(axes[1], float(np.log(len(errors))), "one hit expected")
    axes[0].set(xlabel="test error e", ylabel="density", title="Where hypotheses are, the fit is good")
    axes[1].set(xlabel="eps", ylabel="I(eps), nats", title="Where it is asked, it is not")
    axes[1].set_xscale("log")
    for ax in axes:
        ax.legend(loc="upper right")
    return figure


def _networks(table: pd.DataFrame) -> Figure:
    dims = sorted(table["dim"].unique())
    figure, axes = panels(len(dims), width=4.8, height=3.6)
    for ax, d in zip(axes, dims, strict=True):
        rows = table[(table["dim"] == d) & (table["targets"] == "true")]
        for space, colour in zip(rows["space"].unique(), COLOURS, strict=False):
            each = rows[rows["space"] == space]
            label = space.replace("x", " × ") if space != "kernel" else "kernel, exact"
            intervals(ax, each, "eps", "value", label=label, colour=colour, marker="s" if space == "kernel" else "o")
        ax.set(xlabel="eps", ylabel="I(eps), nats", title=f"d = {d}: what training leaves to supply")
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(-0.5, None)
        ax.set_xscale("log")
        ax.set_xticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
        ax.minorticks_off()
    axes[-1].legend(loc="center right", bbox_to_anchor=(1.0, 0.6), fontsize=7)
    return figure


def _points(ax: Axes, rows: pd.DataFrame, names: list[str], colour: str, marker: str, label: str) -> None:
    for place, name in enumerate(reversed(names)):
        values = rows[rows["space"] == name].groupby("replicate")["value"].mean().dropna()
        if len(values):
            estimate = statistics.interval(np.log10(values.clip(lower=0.05)))
            low, mean, high = (10.0**v for v in (estimate.low, estimate.mean, estimate.high))
            half = [[mean - low], [high - mean]] if estimate.replicates > 1 else None
            ax.errorbar([mean], [place], xerr=half, fmt=marker, color=colour)
    ax.plot([], [], marker, color=colour, label=label)


def _classes(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=5.6, height=3.8)
    titles = {"digits": "Digits: convolutions know most", "breast cancer": "Breast cancer"}
    share = table["share"].min()
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        rows = table[(table["dataset"] == dataset) & (table["share"] == share)]
        names = [n for n in (*_SPACES, "linear") if rows.loc[rows["space"] == n, "value"].notna().any()]
        for condition, colour, marker in zip(_CONDITIONS, COLOURS, "oDs", strict=False):
            each = rows[rows["condition"] == condition]
            if len(each):
                _points(ax, each, names, colour, marker, condition)
        ax.set_yticks(range(len(names)), names[::-1])
        ax.set_xscale("log")
        ax.set(xlabel=f"I at {share:g} of the targets' variance, nats", title=title)
    axes[0].legend(loc="lower left", fontsize=8)
    return figure


def _sampling(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.8, height=3.6)
    rows = table[(table["quantity"] == "spread") & (table["level"] == 10.0)]
    for estimator, colour in zip(("scale only", "two parameters", "three moments"), COLOURS, strict=False):
        intervals(axes[0], rows[rows["estimator"] == estimator], "size", "value", label=estimator, colour=colour)
    bound = rows.groupby("size")["bound"].first()
    axes[0].plot(bound.index, bound.to_numpy(), "--", color="#888888", label="sqrt(k / 2N)")
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].set(xlabel="hypotheses N", ylabel="spread of I = 10, nats", title="Scales are learnt at rate N to the −1/2")
    axes[0].legend(loc="lower left", fontsize=7)
    missed = table[table["quantity"] == "no hit"]
    for level, colour in zip(sorted(missed["level"].unique()), COLOURS, strict=False):
        if level <= 20:
            each = missed[missed["level"] == level]
            intervals(axes[1], each, "size", "value", label=f"I = {level:g} nats", colour=colour)
    axes[1].set_xscale("log")
    axes[1].set(xlabel="hypotheses N", ylabel="share without a hit", title="Counting sees nothing below e to the I")
    axes[1].legend(loc="lower left")
    return figure


def _speed(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=7.0, height=3.8)
    rows = table[table["side"].isin(["batched", "loop"]) & (table["condition"] == "prior")]
    names = list(dict.fromkeys(rows["space"]))[::-1]
    for side, colour in (("batched", COLOURS[0]), ("loop", COLOURS[1])):
        rate = 1 / rows[rows["side"] == side].groupby("space")["seconds"].median().loc[names]
        ax.barh(
            [p + (0.2 if side == "batched" else -0.2) for p in range(len(names))], rate, 0.38, color=colour, label=side
        )
    ax.set_yticks(range(len(names)), names)
    ax.set_xscale("log")
    ax.set(xlabel="random networks per second, one thread", title="Batches evaluate hypotheses tens of times as fast")
    ax.legend(loc="lower right")
    return figure
