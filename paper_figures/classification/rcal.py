"""Figures of representation calibration on noisy, long-tailed labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results, statistics

CAPTION = (
    "Digits in a long tail, labels flipped in proportion to class frequency. Accuracies are on balanced, clean test "
    "digits, means over replicates with 95 % intervals, every method at its best of equally many penalties or learning "
    "rates. Ellipses hold two standard deviations of a class in the plane of two principal components."
)
_METHODS = (
    "CE",
    "GCE",
    "balanced resampling",
    "logit adjustment",
    "class weights",
    "RCAL",
    "RCAL, median",
    "clean labels",
)
_PARTS = ("RCAL", "without robust estimation", "without tail calibration", "without sampling")
_NETWORK_PARTS = (
    "RCAL", "without individual calibration", "without mixup", "without contrast", "without sampling",
    "class weights, contrastive start", "logit adjustment, contrastive start", "CE, contrastive start",
    "class weights", "logit adjustment", "GCE", "CE",
)  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """Accuracy by method and by class, ablations, errors of means, the recovered Gaussians, and the assumption."""
    table = results.tables["long_tail"]
    figures = {
        "accuracy": _accuracy(table),
        "by_class": _by_class(table),
        "ablation": _ablation(table, results.tables["networks"]),
        "means": _means(table),
        "assumption": _assumption(results.tables["assumption"]),
    }
    arrays = results.arrays.get("long_tail", [])
    if arrays and "plane_points" in arrays[0]:
        figures["plane"] = _plane(arrays[0])
    return figures


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    """The noisiest condition, and the most imbalanced of these."""
    rows = table[table["noise"] == table["noise"].max()]
    return rows[rows["ratio"] == rows["ratio"].max()]


def _bars(ax: Axes, rows: pd.DataFrame, names: list[str], column: str, colour: str, by: str = "method") -> None:
    """Means with intervals as points on a list of names, the first on top."""
    places = []
    for place, name in enumerate(reversed(names)):
        estimate = statistics.interval(rows[rows[by] == name].groupby("replicate")[column].mean())
        half = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]] if estimate.replicates > 1 else None
        ax.errorbar([estimate.mean], [place], xerr=half, fmt="o", color=colour)
        places.append(name)
    ax.set_yticks(range(len(places)), places)


def _accuracy(table: pd.DataFrame) -> Figure:
    noisy = table[table["noise"] > 0]
    conditions = sorted({(float(n), float(r)) for n, r in zip(noisy["noise"], noisy["ratio"], strict=True)})
    shown = [conditions[0], conditions[-1]] if len(conditions) > 1 else conditions
    figure, axes = panels(len(shown), width=5.0)
    for ax, (noise, ratio) in zip(axes, shown, strict=True):
        rows = noisy[(noisy["noise"] == noise) & (noisy["ratio"] == ratio)]
        names = [m for m in _METHODS if m in set(rows["method"])][::-1]
        _bars(ax, rows, names, "accuracy", COLOURS[0])
        _bars(ax, rows, names, "tail_accuracy", COLOURS[1])
        ax.set(xlabel="test accuracy", title=f"{noise:.0%} noise, imbalance {ratio:g}: weights rival RCAL")
    axes[0].plot([], [], "o", color=COLOURS[0], label="all classes")
    axes[0].plot([], [], "o", color=COLOURS[1], label="three rarest")
    axes[0].legend(loc="upper left")
    return figure


def _by_class(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=6.0)
    rows = _worst(table)
    ranks = [c for c in rows.columns if c.startswith("rank_")]
    for method, colour in zip(("CE", "class weights", "RCAL", "clean labels"), COLOURS, strict=False):
        chosen = rows[rows["method"] == method]
        if len(chosen):
            long = chosen.melt("replicate", ranks, "rank", "class_accuracy")
            long = long.assign(rank=long["rank"].str.removeprefix("rank_").astype(int) + 1)
            intervals(ax, long, "rank", "class_accuracy", label=method, colour=colour)
    ax.set(
        xlabel="rank of the class by frequency", ylabel="accuracy of the class", xticks=range(1, len(ranks) + 1),
        title=f"{rows['noise'].iloc[0]:.0%} noise: cross-entropy gives up rare classes",
    )  # fmt: skip
    ax.legend(loc="lower left")
    return figure


def _ablation(table: pd.DataFrame, networks: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=5.6)
    for ax, each, names, title in (
        (axes[0], _worst(table), _PARTS, "Linear classifiers: what each part is worth"),
        (axes[1], _worst(networks), _NETWORK_PARTS, "Networks: what each part and start is worth"),
    ):
        _bars(ax, each, [n for n in names if n in set(each["method"])], "accuracy", COLOURS[0])
        ax.set(xlabel="test accuracy", title=title)
    return figure


def _means(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.6)
    noisy = table[table["noise"] > 0]
    names = {
        "mean_error": {
            "without robust estimation": "plain", "RCAL": "local outliers dropped", "RCAL, median": "median-trimmed",
        },
        "tail_cov_error": {"without tail calibration": "own samples", "RCAL": "borrowing from frequent classes"},
    }  # fmt: skip
    titles = ("Dropping outliers mends means", "Borrowing mends covariances of rare classes")
    for ax, (column, methods), title in zip(axes, names.items(), titles, strict=True):
        for (method, label), colour in zip(methods.items(), COLOURS, strict=False):
            intervals(ax, noisy[noisy["method"] == method], "noise", column, label=label, colour=colour)
        ax.set(
            xlabel="noise rate",
            ylabel="distance to the clean value",
            title=title,
            ylim=(0, None),
            xticks=sorted(noisy["noise"].unique()),
        )
        ax.legend()
    return figure


def _assumption(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.4)
    kinds = ["Gaussian samples", "contrastive features", "principal components", "pixels"]
    _bars(ax, table, kinds, "log_skewness", COLOURS[0], by="features")
    ax.set(xlabel="log of Mardia's skewness, mean over classes", title="Classes are not Gaussian in any features")
    return figure


def _plane(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = panels(2, width=5.0, height=4.2)
    shown = [int(k) for k in arrays["plane_order"][[0, 1, -1]]]
    points = arrays["plane_points"]
    for ax, key, title in zip(
        axes, ("polluted", "recovered"), ("Estimated as labelled", "After LOF and borrowing"), strict=True
    ):
        for k, colour in zip(shown, COLOURS, strict=False):
            labelled = arrays["plane_observed"] == k
            wrong = labelled & (arrays["plane_clean"] != k)
            right = labelled & ~wrong
            ax.plot(
                *points[right].T, "o", color=colour, markersize=3, alpha=0.6, linestyle="none", label=f"labelled {k}"
            )
            ax.plot(*points[wrong].T, "x", color=colour, markersize=4, alpha=0.6, linestyle="none")
            _ellipse(ax, arrays["plane_mean_truth"][k], arrays["plane_cov_truth"][k], colour, ":")
            _ellipse(ax, arrays[f"plane_mean_{key}"][k], arrays[f"plane_cov_{key}"][k], colour, "-")
        ax.set(xlabel="first component", ylabel="second component", title=f"{title} (dotted: clean)")
    axes[0].legend(title="rarest last; × wrong", fontsize=7, title_fontsize=7)
    return figure


def _ellipse(ax: Axes, mean: np.ndarray, cov: np.ndarray, colour: str, style: str) -> None:
    variances, axes = np.linalg.eigh(cov)
    width, height = 4 * np.sqrt(np.maximum(variances, 0))
    angle = float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0])))
    ax.add_patch(
        Ellipse(
            (mean[0], mean[1]), width, height, angle=angle, fill=False, edgecolor=colour, linestyle=style, linewidth=1.5
        )
    )
