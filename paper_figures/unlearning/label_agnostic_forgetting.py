"""Figures of label-agnostic forgetting: along the passes, ablations, distances to retraining, embeddings, losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.unlearning.forgetting_tasks import CLASS, NOISY, RANDOM
from simulations.unlearning.label_agnostic_forgetting import (
    LAF,
    NO_ALIGNMENT,
    NO_EXTRACTOR,
    ORIGINAL,
    REPAIRED,
    RETRAINED,
    SUPERVISED,
    TEACHER,
    chosen_setting,
    tuned,
)
from theory.unlearning.label_agnostic_forgetting import phi, residual_pull

CAPTION = (
    "Label-agnostic forgetting (LAF) on scikit-learn's digits: a class, random points and mislabelled points. Points "
    "are means over replicates with 95 % intervals, at the learning rate chosen on other models, other forget sets and "
    "other held-out digits. The distance to retraining is the mean over accuracies on remaining, forgotten and "
    "held-out points and the attacker's area under the curve."
)
_TASKS = (CLASS, RANDOM, NOISY)


def draw(results: Results) -> dict[str, Figure]:
    """Along the passes, ablations, distances to retraining, embeddings, losses and what bounds them."""
    table = results.tables["unlearning"]
    return {
        "passes": _passes(table),
        "ablations": _ablations(table),
        "distances": _distances(table),
        "embeddings": _embeddings(results.arrays["unlearning"][0]),
        "losses": _losses(table),
    }


def _along(table: pd.DataFrame, task: str, method: str, setting: float | None = None) -> pd.DataFrame:
    chosen = chosen_setting(table, task, method) if setting is None else setting
    rows = table[(table["task"] == task) & (table["method"] == method) & (table["part"] == "test")]
    return rows[rows["setting"] == chosen]


def _passes(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=4.0)
    titles = ("A class is forgotten abruptly", "Random points hardly", "Mislabelled points early")
    for ax, task, title in zip(axes, _TASKS, titles, strict=True):
        start = _along(table, task, ORIGINAL).assign(passes=0.0)
        rows = pd.concat([start, _along(table, task, LAF)])
        held_out = "held-out, other classes" if task == CLASS else "held-out"
        for column, label, colour in (
            ("train_f", "forgotten points", COLOURS[1]), ("train_r", "remaining points", COLOURS[2]),
            ("test", held_out, COLOURS[0]),
        ):  # fmt: skip
            intervals(ax, rows, "passes", column, label=label, colour=colour)
            ax.axhline(tuned(table, task, RETRAINED, column).mean(), color=colour, lw=1, ls=":")
        for _, one in rows.groupby("replicate"):
            ax.plot(one["passes"], one["train_f"], color=COLOURS[1], lw=0.6, alpha=0.5, marker="")
        low = 80 if task == RANDOM else -6
        ax.set(xlabel="passes over the forgotten points", ylabel="accuracy (%)", title=title, ylim=(low, 106))
        ax.legend(fontsize=8, loc="best", title="dotted: retrained", title_fontsize=8)
    return figure


def _ablations(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.6)
    setting = chosen_setting(table, CLASS, NO_EXTRACTOR)
    start = _along(table, CLASS, ORIGINAL).assign(passes=0.0)
    for ax, column, title in zip(
        axes, ("train_f", "test"), ("The forgotten class", "Held-out images of other classes"), strict=True
    ):
        for method, colour in ((LAF, COLOURS[0]), (NO_ALIGNMENT, COLOURS[1]), (NO_EXTRACTOR, COLOURS[2])):
            rows = pd.concat([start, _along(table, CLASS, method, setting)])
            intervals(ax, rows, "passes", column, label=method, colour=colour)
        reference_line(ax, float(tuned(table, CLASS, RETRAINED, column).mean()), "retrained")
        ax.set(xlabel="passes over the forgotten points", ylabel="accuracy (%)", title=title, ylim=(-6, 106))
        ax.legend(fontsize=8)
    figure.suptitle("L_RA is what keeps the other classes")
    return figure


def _distances(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=4.0, height=3.4)
    methods = [m for m in (ORIGINAL, LAF, REPAIRED, TEACHER, *SUPERVISED) if m in set(table["method"])]
    for ax, task in zip(axes, _TASKS, strict=True):
        for place, method in enumerate(methods):
            colour = (
                COLOURS[1] if method in (LAF, REPAIRED, TEACHER) else COLOURS[6] if method == ORIGINAL else COLOURS[0]
            )
            _bar(ax, place, tuned(table, task, method, "gap"), colour)
        ax.set(xlabel="distance to retraining (points)", title=task.capitalize(), yticks=range(len(methods)))
        ax.set_yticklabels(methods if ax is axes[0] else [])
        ax.set_xlim(left=0)
        ax.invert_yaxis()
    figure.suptitle("Distance to retraining: no or few labels (orange) beside methods that know all of them")
    return figure


def _bar(ax: Axes, place: int, values: pd.Series, colour: str) -> None:
    estimate = statistics.interval(values)
    low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
    ax.scatter(values, np.full(len(values), place), s=10, color="#999999", zorder=1)
    ax.errorbar(
        estimate.mean, place, xerr=[[estimate.mean - low], [high - estimate.mean]], color=colour, marker="o",
        markersize=5,
    )  # fmt: skip


def _embeddings(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    lost = arrays["labels"] == int(arrays["forgotten"])
    for ax, name, title in zip(
        axes, ("original", "LAF", "retrained"), ("Before", "After LAF", "Retrained without the class"), strict=True
    ):
        plane = arrays[f"plane_{name}"]
        for c in np.unique(arrays["labels"][~lost]):
            mine = arrays["labels"] == c
            ax.scatter(*plane[mine].T, s=9, alpha=0.6, color=pyplot.get_cmap("tab20c")(int(c) * 2 % 20))
        ax.scatter(*plane[lost].T, s=22, color="black", marker="x", label=f"digit {int(arrays['forgotten'])}")
        ax.set(title=title, xlabel="first principal axis", ylabel="second principal axis" if name == "original" else "")
    axes[0].legend(fontsize=8)
    figure.suptitle("Embeddings of held-out digits: the forgotten class (×) loses its place")
    return figure


def _losses(table: pd.DataFrame) -> Figure:
    figure, (away, near, shape) = panels(3, width=3.9)
    for task, colour in zip(_TASKS, COLOURS, strict=False):
        rows = _along(table, task, LAF)
        rows = rows[rows["L_UE"].notna()]
        share = rows.assign(share=100 * rows["passes"] / rows["passes"].max())
        intervals(away, share, "share", "L_UE", label=task, colour=colour)
        first = share.sort_values("share").groupby("replicate")["L_RA"].transform("first")
        intervals(near, share.assign(change=share["L_RA"] - first), "share", "change", label=task, colour=colour)
    away.set(xlabel="passes (% of all)", ylabel="L_UE per batch", title="The bounded extractor loss")
    near.set(xlabel="passes (% of all)", ylabel="L_RA per batch, less its start", title="The alignment loss falls")
    away.legend(fontsize=8)
    u = np.logspace(-3, 3, 200)
    shape.plot(u, phi(u), color=COLOURS[0], label="phi")
    shape.plot(u, residual_pull(u), color=COLOURS[1], label="its pull at the residual")
    shape.axvline(3**-0.5, color="#888888", lw=1, ls="--", zorder=0)
    shape.set(xscale="log", xlabel="squared reconstruction error u", title="phi saturates: the pull peaks at u = 1/√3")
    shape.legend(fontsize=8)
    return figure
