"""Figures of worst-case forget sets: retraining, methods, all sets of a small case, complements, classes, images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Forget sets of scikit-learn's digits: the hardest and the easiest to unlearn, found by the bi-level selection, "
    "random ones, and those that simple scores call easy to fit. Points are means over replicates with 95 % intervals. "
    "UA: error on the forgotten points; MIA-efficacy: share of them that an attacker takes for points never seen. The "
    "gap of a method is its mean distance from retraining over UA, MIA-efficacy and accuracies on retained and test "
    "points, at the learning rate that is best on random sets of another model and other held-out digits."
)
_COLOUR_OF = {"worst": COLOURS[1], "random": COLOURS[0], "easiest": COLOURS[2]}
_HEURISTICS = ("lowest loss", "lowest EL2N", "lowest gradient norm")
_SETS = ("worst", *_HEURISTICS, "random", "easiest")


def draw(results: Results) -> dict[str, Figure]:
    """Retraining, methods, exhaustive search, complements, classes, weights and images."""
    table, arrays = results.tables["unlearning"], results.arrays["unlearning"][0]
    return {
        "retrained": _retrained(table),
        "methods": _methods(table),
        "all_sets": _all_sets(results.tables["enumeration"], arrays["w"]),
        "complements": _complements(results.tables["coreset"]),
        "classes": _classes(results.tables["classwise"], results.tables["spurious"]),
        "images": _images(arrays),
    }


def _at(ax: Axes, values: pd.Series, place: float, colour: str, label: str = "", horizontal: bool = False) -> None:
    """One mean over replicates with its interval."""
    estimate = statistics.interval(values)
    low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
    error, style = [[estimate.mean - low], [high - estimate.mean]], {"color": colour, "marker": "o", "markersize": 5}
    if horizontal:
        ax.errorbar(estimate.mean, place, xerr=error, label=label or None, **style)
    else:
        ax.errorbar(place, estimate.mean, yerr=error, label=label or None, **style)


def _retrained(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.9, height=3.0)
    rows = table[(table["part"] == "test") & (table["method"] == "retrain")]
    titles = (
        "Retraining still fits the worst set",
        "… and an attacker calls it trained on",
        "… with the smallest loss",
    )
    names = (("UA", "UA (%)"), ("MIA", "MIA-efficacy (%)"), ("left", "loss on forgotten points (nats)"))
    for ax, (column, label), title in zip(axes, names, titles, strict=True):
        for place, kind in enumerate(_SETS):
            values = rows[rows["set"] == kind].groupby("replicate")[column].mean()
            ax.scatter(values, np.full(len(values), place), s=10, color="#999999", zorder=1)
            _at(ax, values, place, _COLOUR_OF.get(kind, COLOURS[3]), horizontal=True)
        ax.set(xlabel=label, title=title, yticks=range(len(_SETS)))
        ax.set_yticklabels(_SETS if ax is axes[0] else [])
        ax.invert_yaxis()
    axes[2].set_xscale("log")
    return figure


def _methods(table: pd.DataFrame) -> Figure:
    figure, (gaps, search) = panels(2, width=5.0, height=3.4)
    tried = table[table["method"] != "retrain"]
    methods = list(tried["method"].unique())
    for offset, kind in ((-0.13, "random"), (0.13, "worst")):
        for place, method in enumerate(methods):
            rows = tried[(tried["method"] == method) & (tried["set"] == kind)]
            tuning = tried[(tried["method"] == method) & (tried["part"] == "tuning") & (tried["set"] == "random")]
            best = tuning.groupby("learning_rate")["gap"].mean().idxmin()
            values = rows[(rows["part"] == "test") & (rows["learning_rate"] == best)].groupby("replicate")["gap"].mean()
            _at(gaps, values, place + offset, _COLOUR_OF[kind], f"{kind} sets" if place == 0 else "")
    gaps.axhline(0, color="#888888", lw=1, ls="--", zorder=0)
    gaps.set(
        ylabel="average gap to retraining (points)",
        title="Methods on random and on worst sets",
        xticks=range(len(methods)),
    )
    gaps.set_xticklabels(methods, rotation=30, ha="right")
    gaps.legend(fontsize=8)
    for colour, method in zip(COLOURS * 2, [m for m in methods if m != "original model"], strict=False):
        rows = tried[(tried["method"] == method) & (tried["part"] == "tuning") & (tried["set"] == "worst")]
        means = rows.groupby("learning_rate")["gap"].mean()
        search.plot(means.index, means.to_numpy(), marker="o", markersize=4, color=colour, label=method)
    search.set(
        xscale="log", yscale="log", xlabel="learning rate", ylabel="gap on the tuning part (points)",
        title="The search for learning rates, worst sets",
    )  # fmt: skip
    search.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _all_sets(table: pd.DataFrame, w: np.ndarray) -> Figure:
    figure, (excess, histogram) = panels(2, width=4.6)
    kinds = [kind for kind in _SETS if kind in set(table["set"])]
    for place, kind in enumerate(kinds):
        values = table[table["set"] == kind].groupby("replicate")["excess"].mean()
        _at(excess, values, place, _COLOUR_OF.get(kind, COLOURS[3]), horizontal=True)
    excess.axvline(0, color="#888888", lw=1, ls="--", zorder=0)
    excess.set(
        yticks=range(len(kinds)), xlabel="excess over the best of all sets (1: an average set)",
        title="The solver is close to the best of all sets",
    )  # fmt: skip
    excess.set_yticklabels(kinds)
    excess.invert_yaxis()
    histogram.hist(w, bins=30, color=COLOURS[1])
    histogram.set(
        yscale="log", xlabel="weight w", ylabel="training points", title="Weight leaves the points of high loss only"
    )
    return figure


def _complements(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2, height=3.6)
    whole = table[table["set"] == "none"]
    for kind, colour in _COLOUR_OF.items():
        rows = pd.concat([whole, table[table["set"] == kind]])
        intervals(ax, rows.assign(percent=100 * rows["share"]), "percent", "TA", label=f"{kind} set", colour=colour)
    ax.set(
        xlabel="training points left out (%)", ylabel="test accuracy (%)",
        title="The easiest points to forget are the ones worth keeping",
    )  # fmt: skip
    ax.legend(fontsize=8)
    return figure


def _classes(classes: pd.DataFrame, strips: pd.DataFrame) -> Figure:
    figure, (ranking, majority) = panels(2, width=4.6)
    for c in range(10):
        rows = classes[classes["class"] == c]
        ranking.scatter(rows["score"], rows["left"], s=10, color=COLOURS[0], alpha=0.5)
        ranking.annotate(str(c), (rows["score"].mean(), rows["left"].mean()), fontsize=11, ha="center", va="center")
    ranking.set(
        yscale="log", xlabel="weight tied within a class, small steps", ylabel="loss after its own removal (nats)",
        title="Tied weights rank the classes",
    )  # fmt: skip
    for place, condition in enumerate(strips["condition"].unique()):
        values = strips[strips["condition"] == condition].groupby("replicate")["majority"].mean()
        _at(majority, 100 * values, place, COLOURS[place])
    reference_line(majority, 100 * float(strips["expected"].mean()), "among all points")
    majority.set(
        xlim=(-0.5, 1.5), xticks=range(2), ylabel="majority in the worst set (%)",
        title="Points with a shortcut fill the worst set",
    )  # fmt: skip
    majority.set_xticklabels(list(strips["condition"].unique()))
    return figure


def _images(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = pyplot.subplots(2, 10, figsize=(8.4, 2.1), layout="constrained")
    for row, kind in zip(axes, ("worst", "easiest"), strict=True):
        for ax, image in zip(row, arrays[kind], strict=False):
            ax.imshow(image.reshape(8, 8), cmap="gray_r")
        for ax in row:
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(kind)
    figure.suptitle("Hardest to forget: the ordinary ones; easiest: the odd ones")
    return figure
