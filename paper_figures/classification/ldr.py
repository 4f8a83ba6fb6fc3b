"""Figures of the label-distributionally robust losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.classification.ldr import average_ranks
from simulations.classification.noisy_digits import FIFTEEN, tuned
from theory.classification import ldr as theory
from theory.classification import top_k_consistency as top_k

CAPTION = (
    "LDR-KL between its limits; scores that minimise its risk, whose order never changes while the gaps vanish with "
    "the temperature; the distance from symmetry. Accuracies are on clean digits, means over replicates with 95 % "
    "intervals, every loss at the setting with the best mean accuracy on equally noisy held-out labels. Temperatures "
    "are those of all training examples at the end of training."
)
_HIGHLIGHT = {"LDR-KL": COLOURS[1], "ALDR-KL": COLOURS[3], "cross-entropy": COLOURS[0]}


def draw(results: Results) -> dict[str, Figure]:
    """The continuum, minimisers, symmetry, accuracy under noise, soft labels and adaptive temperatures."""
    digits = results.tables["digits"]
    return {
        "continuum": _continuum(),
        "minimizers": _minimizers(),
        "symmetry": _symmetry(results.tables["symmetry"]),
        "accuracy": _accuracy(digits),
        "soft_labels": _soft_labels(results.tables["soft_labels"]),
        "temperatures": _temperatures(digits, results.arrays["digits"]),
    }


def _continuum() -> Figure:
    figure, (left, right) = panels(2)
    ahead = np.linspace(-4, 4, 201)
    z = np.stack([np.zeros_like(ahead), -ahead, np.full_like(ahead, -1.0)], axis=1)
    for lam, colour in zip((0.05, 0.5, 1.0, 3.0, 100.0), COLOURS, strict=False):
        left.plot(ahead, theory.ldr_closed_form(z, lam), color=colour, label=f"lam = {lam:g}")
    left.plot(ahead, theory.ldr_limit(z, "svm"), ":", color="k", linewidth=1, label="hinge")
    left.plot(ahead, theory.ldr_limit(z, "linear"), "--", color="k", linewidth=1, label="linear")
    left.set(xlabel="own score less the rival's", ylabel="psi", title="Between the hinge and a linear loss")
    left.legend(fontsize=7)
    lam = np.geomspace(1e-3, 1e3, 200)
    for row, colour in zip(([0.0, 2.0, -1.0], [0.0, -2.0, -1.0], [0.0, 1.0, 1.0]), COLOURS, strict=False):
        values = [theory.ldr_closed_form(np.array(row), float(t)) for t in lam]
        right.semilogx(lam, values, color=colour, label=f"z = {tuple(row)}")
    right.set(xlabel="temperature lam", ylabel="psi", title="psi falls from max z to mean z")
    right.legend(fontsize=8)
    return figure


def _minimizers() -> Figure:
    figure, (left, right) = panels(2)
    q, lam = np.array([0.4, 0.35, 0.25]), np.geomspace(0.02, 10, 100)
    f = np.stack([top_k.ldr_kl_minimizer(q, float(t), 1.0) for t in lam])
    for label, colour in zip(range(3), COLOURS, strict=False):
        left.semilogx(lam, f[:, label] - f.mean(axis=1), color=colour, label=f"q = {q[label]:g}")
    left.set(xlabel="temperature lam", ylabel="score less mean score", title="The order stays, the gaps vanish")
    left.legend()
    for margin, colour in zip((0.0, 0.1, 0.5, 1.0), COLOURS, strict=False):
        gap = [np.subtract(*top_k.ldr_kl_minimizer(q, float(t), margin)[:2]) for t in lam]
        right.loglog(lam, gap, color=colour, label=f"margin {margin:g}")
    right.set(xlabel="temperature lam", ylabel="f₁ − f₂", title="Lead of the likeliest label, q as on the left")
    right.legend()
    return figure


def _symmetry(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.0)
    intervals(ax, table, "lam", "defect", label="LDR-KL, normalised scores", colour=COLOURS[1])
    bound = table.groupby("lam")["bound"].first()
    ax.plot(bound.index, bound.to_numpy(), "--", color="#888888", label="bound K (K + margin)²/(8 lam)")
    ax.set(xscale="log", yscale="log", xlabel="temperature lam", ylabel="range of Σ_y loss over scores")
    ax.set_title("A large temperature makes the loss symmetric, at rate 1/lam")
    ax.legend()
    return figure


def _accuracy(table: pd.DataFrame) -> Figure:
    rows = tuned(table)
    conditions = list(dict.fromkeys(table["noise"]))
    figure, axes = panels(len(conditions) + 1, width=3.4, height=4.6)
    ranks = average_ranks(table)
    order = list(ranks.groupby("loss")["rank"].mean().sort_values(ascending=False).index)
    titles = {"clean": "Clean labels", "uniform 0.6": "60 % drawn at random", "shifted 0.3": "30 % shifted by one"}
    for ax, condition in zip(axes, conditions, strict=False):
        _dots(ax, rows[rows["noise"] == condition].assign(top1=lambda t: 100 * t["top1"]), "top1", order)
        ax.set(xlabel="test accuracy, %", title=titles.get(condition, condition))
    _dots(axes[-1], ranks, "rank", order)
    axes[-1].set(xlabel="average rank, 1 is best", title=f"Rank among {len(FIFTEEN)} losses")
    for ax in axes[1:]:
        ax.set_yticklabels([])
    return figure


def _dots(ax, rows: pd.DataFrame, column: str, order: list[str]) -> None:
    for place, loss in enumerate(order):
        estimate = statistics.interval(rows.loc[rows["loss"] == loss, column])
        low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
        ax.errorbar(
            estimate.mean, place, xerr=[[estimate.mean - low], [high - estimate.mean]], marker="o",
            color=_HIGHLIGHT.get(loss, "#555555"),
        )  # fmt: skip
    ax.set_yticks(range(len(order)), order)
    ax.set_ylim(-0.6, len(order) - 0.4)


def _soft_labels(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=6.4)
    rows = tuned(table)
    losses = list(dict.fromkeys(table["loss"]))
    for k, colour, apart in ((2, COLOURS[0], -0.08), (3, COLOURS[1], 0.08)):
        for place, loss in enumerate(losses):
            mine = rows[rows["loss"] == loss].assign(place=place + apart)
            intervals(ax, mine, "place", f"top{k}", colour=colour, label=f"top-{k}" if place == 0 else "")
    names = {"LDR-KL": "LDR-KL,\nlam = 10", "LDR-KL, lam = 1": "LDR-KL,\nlam = 1", "linear limit": "linear\nlimit"}
    ax.set_xticks(range(len(losses)), [names.get(loss, loss) for loss in losses])
    reference_line(ax, 0.8, "best possible top-2")
    ax.set(ylabel="expected accuracy", title="Three plausible labels: symmetric losses lose the ranking below the top")
    ax.legend(loc="lower left")
    return figure


def _temperatures(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    """The runs are in the order of the table's rows of that loss, in every replicate."""
    name = "ALDR-KL, lam0 = 1"
    chosen = tuned(table)
    chosen = chosen[chosen["loss"] == name].drop_duplicates(["noise"])
    conditions = [c for c in dict.fromkeys(table["noise"]) if c != "clean"]
    figure, axes = panels(len(conditions))
    for ax, condition in zip(axes, conditions, strict=True):
        rate = chosen.loc[chosen["noise"] == condition, "learning_rate"].iloc[0]
        values: dict[bool, list[np.ndarray]] = {False: [], True: []}
        for replicate, each in enumerate(arrays):
            runs = table[(table["loss"] == name) & (table["replicate"] == replicate)]
            (run,) = np.flatnonzero((runs["noise"] == condition) & (runs["learning_rate"] == rate))
            for wrong in (False, True):
                values[wrong].append(each["temperatures"][run][each["corrupted"][run].astype(bool) == wrong])
        bins = np.linspace(min(v.min() for group in values.values() for v in group), 1.0, 40)
        for wrong, label, colour in ((False, "clean", COLOURS[0]), (True, "corrupted", COLOURS[1])):
            pooled = np.concatenate(values[wrong])
            ax.hist(pooled, bins, density=True, alpha=0.55, color=colour, label=f"{label}, mean {pooled.mean():.3f}")
        ax.set(xlabel="temperature (lam0 = 1)", ylabel="density", title=f"Corrupted labels end warmer: {condition}")
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
        ax.legend(fontsize=8, loc="upper left")
    return figure
