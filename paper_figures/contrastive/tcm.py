"""Figures of threshold-consistent margins: utility curves by class, accuracy and consistency, every cell of a grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Retrieval among classes never seen in training. Curves: one line per class (one replicate, moderate spreads, the "
    "first base loss alone and with TCM of the largest weight); the band is the calibration range, where the pooled "
    "false accept rate goes from 1 to 10 %. Points are means over replicates with 95 % intervals; every cell of the "
    "grid of TCM's weights and margins is shown, and each change is against the same base loss without TCM."
)
_BASES = ("cosine softmax", "SupCon", "ProxyAnchor", "ArcFace", "Smooth-AP")
_COLOUR_OF = dict(zip(_BASES, COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Utility curves, the trade-off, the grid in all worlds, and the score on a grid of thresholds."""
    retrieval = pd.concat([results.tables["vectors"], results.tables["images"]], ignore_index=True)
    return {
        "utility_curves": _utility_curves(results.arrays["vectors"][0]),
        "trade_off": _trade_off(results.tables["vectors"]),
        "opis_of_all_cells": _cells(retrieval, "opis", 1e3, "change of OPIS (10⁻³)", "OPIS falls in some cells only"),
        "recall_of_all_cells": _cells(retrieval, "recall", 1.0, "change of R@1", "Large weights can cost recall at 1"),
        "score": _score(results.tables["score"]),
    }


def _utility_curves(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = panels(2)
    for ax, name in zip(axes, ("base", "TCM"), strict=True):
        curves, (low, high) = arrays[f"curves {name}"], arrays[f"range {name}"]
        thresholds = np.linspace(0, 2, curves.shape[1])
        ax.axvspan(low, high, color=COLOURS[4], alpha=0.25, lw=0)
        ax.plot(thresholds, curves.T, color=COLOURS[0], lw=0.6, alpha=0.6)
        ax.plot(thresholds, curves.mean(0), color=COLOURS[6], lw=2)
        ax.annotate(
            "calibration\nrange", ((low + high) / 2, 0.03), ha="center", va="bottom", fontsize=8, color="#444444"
        )  # fmt: skip
        ax.set(xlabel="distance threshold", ylim=(0, 1.02), xlim=(0, 1.6))
    axes[0].set(ylabel="utility of a class", title="Base loss: classes disagree on the threshold")
    axes[1].set(title="… with TCM")
    return figure


def _trade_off(table: pd.DataFrame) -> Figure:
    figure, (scatter, means) = panels(2)
    rows = table[(table["world"] == "moderate") & (table["part"] == "unseen")]
    for base in _BASES:
        plain = rows[(rows["base"] == base) & (rows["method"] == "base")]
        scatter.scatter(plain["recall"], 1e3 * plain["opis"], s=14, color=_COLOUR_OF[base], label=base, alpha=0.8)
    scatter.set(xlabel="R@1 on unseen classes", ylabel="OPIS (10⁻³)", title="Base losses: each setting and replicate")
    scatter.legend(fontsize=8)
    for base in rows.loc[rows["method"] == "TCM", "base"].unique():
        for method, marker, filled in (("base", "o", True), ("TCM", "s", False)):
            by_cell = rows[(rows["base"] == base) & (rows["method"] == method)].groupby(
                ["setting", "weight", "margin_pos", "margin_neg"]
            )[["recall", "opis"]].mean()  # fmt: skip
            means.scatter(
                by_cell["recall"], 1e3 * by_cell["opis"], marker=marker, s=30, edgecolor=_COLOUR_OF[base],
                facecolor=_COLOUR_OF[base] if filled else "none",
                label=f"{base}, {'its own settings' if filled else 'TCM cells'}",
            )  # fmt: skip
    means.set(xlabel="R@1 on unseen classes", title="Means: settings of the base loss, cells of TCM")
    means.legend(fontsize=8)
    return figure


def _cells(table: pd.DataFrame, column: str, scale: float, label: str, title: str) -> Figure:
    """The change that every TCM cell makes, world by world."""
    worlds = [w for w in ("moderate", "cluttered", "irreducible", "glyphs", "digits") if w in set(table["world"])]
    figure, axes = panels(len(worlds), width=2.9, height=3.9)
    rows = table[table["part"] == "unseen"]
    cells = rows.loc[rows["method"] == "TCM", ["weight", "margin_pos", "margin_neg"]].drop_duplicates()
    names = [f"{w:g}  ({p:g}, {n:g})" for w, p, n in cells.itertuples(index=False)]
    for ax, world in zip(axes, worlds, strict=True):
        for offset, base in zip(
            (-0.15, 0.15, -0.3, 0.3, 0.0), rows.loc[rows["method"] == "TCM", "base"].unique(), strict=False
        ):
            here = rows[(rows["world"] == world) & (rows["base"] == base)]
            before = here[(here["method"] == "base") & (here["setting"] == _plain(here))].set_index("replicate")[column]
            for place, cell in enumerate(cells.itertuples(index=False)):
                chosen = here[(here["method"] == "TCM") & (here[list(cells)] == list(cell)).all(axis=1)]
                change = chosen.set_index("replicate")[column] - before
                _interval(ax, scale * change, place + offset, _COLOUR_OF[base], base if place == 0 else "")
        ax.axvline(0, color="#888888", lw=1, ls="--", zorder=0)
        ax.set(title=world, xlabel=label, yticks=range(len(cells)))
        ax.set_yticklabels(names if world == worlds[0] else [])
        ax.invert_yaxis()
    axes[0].set_ylabel("weight  (margin_pos, margin_neg)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.suptitle(title)
    return figure


def _plain(rows: pd.DataFrame) -> float:
    """The base loss's setting that TCM is added to."""
    return float(rows.loc[rows["method"] == "TCM", "setting"].iloc[0])


def _interval(ax: Axes, values: pd.Series, place: float, colour: str, label: str) -> None:
    estimate = statistics.interval(values)
    low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
    ax.errorbar(
        estimate.mean, place, xerr=[[estimate.mean - low], [high - estimate.mean]], color=colour, marker="o",
        markersize=4, label=label or None,
    )  # fmt: skip


def _score(table: pd.DataFrame) -> Figure:
    figure, (grid, separated) = panels(2)
    rows = table[table["quantity"].str.startswith("grid of")]
    rows = rows.assign(thresholds=rows["quantity"].str.extract(r"(\d+)", expand=False).astype(int))
    intervals(grid, rows, "thresholds", "value")
    grid.set(
        xscale="log", yscale="log", xlabel="thresholds on the grid", ylabel="relative error of OPIS",
        title="101 thresholds are close to the integral",
    )  # fmt: skip
    reference_line(grid, 0.05, "5 %")
    scores = table[table["quantity"] == "OPIS of separated classes"]["value"]
    separated.hist(1e3 * scores, bins=list(np.geomspace(0.1, 100, 31)), color=COLOURS[0])
    separated.axvline(90, color="#888888", lw=1, ls="--")
    separated.annotate(
        "bound f(1 − f) at f = 10 %", (80, 0.5), xycoords=("data", "axes fraction"), rotation=90, ha="right",
        va="center", fontsize=8, color="#666666",
    )  # fmt: skip
    separated.set(
        xscale="log", xlabel="OPIS where TCM is zero (10⁻³)", ylabel="sets of embeddings",
        title="Zero TCM leaves some inconsistency",
    )  # fmt: skip
    return figure
