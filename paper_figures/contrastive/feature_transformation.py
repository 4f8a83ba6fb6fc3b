"""Figures of feature transformation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from theory.contrastive.feature_transformation import extrapolated_score, renormalised_score

CAPTION = (
    "Points are means over replicates with 95 % intervals, bands the same along training. Encoders of generated glyphs "
    "(100 classes) start equal and see the same views, weights and permutations; transformations begin at the dotted "
    "line. Hard positives: strong clutter and augmentation; easy: little of either. Gains: over MoCo in the same run."
)
_COLOUR_OF = dict(zip(("MoCo", "extrapolation", "interpolation", "both", "renormalised"), COLOURS, strict=False))
_COURSE = ("alignment", "positive", "negative_mean", "negative_variance", "queue_variance")


def draw(results: Results) -> dict[str, Figure]:
    """Scores under transformation, the course of scores in training, what features gain, and the dose."""
    return {
        "scores": _scores(results.tables["spread"]),
        "training": _training(results),
        "gains": _gains(results.tables["training"]),
        "dose": _dose(results),
    }


def _scores(spread: pd.DataFrame) -> Figure:
    figure, (positive, variance) = panels(2)
    s = np.linspace(-0.5, 1, 201)
    for lam, colour in zip((1.0, 1.25, 1.5, 2.0), COLOURS, strict=False):
        positive.plot(s, extrapolated_score(s, lam), color=colour, label=f"weight {lam:g}")
        positive.plot(s, renormalised_score(s, lam), color=colour, linestyle=":")
    positive.set(
        xlabel="cosine of the pair", ylabel="score after extrapolation", ylim=(-4, 1.2),
        title="Extrapolation widens the gap to 1",
    )  # fmt: skip
    positive.legend(fontsize=8, title="dotted: renormalised", title_fontsize=8)
    intervals(variance, spread, "alpha", "ratio", label="drawn", colour=COLOURS[1])
    alpha = np.geomspace(spread["alpha"].min() / 1.5, spread["alpha"].max() * 1.5, 101)
    variance.plot(alpha, 1 - alpha / (2 * alpha + 1), color=COLOURS[0], label="1 − alpha/(2 alpha + 1)")
    variance.set(
        xscale="log", xlabel="alpha of the weight's Beta(alpha, alpha)", ylabel="variance of mixed scores / of scores",
        title="Interpolation narrows the negatives",
    )  # fmt: skip
    variance.legend()
    return figure


def _training(results: Results) -> Figure:
    figure, axes = panels(3)
    methods = ("MoCo", "extrapolation", "interpolation", "both")
    start = results.tables["training"]["start"].iloc[0]
    courses = np.stack([arrays["hard"] for arrays in results.arrays["training"]])
    for ax, column, name, title in zip(
        axes,
        ("alignment", "positive", "negative_variance"),
        ("cosine of the two views", "score of the transformed pair", "variance of negatives' scores"),
        ("Extrapolation aligns views", "What the loss sees of positives", "… and of negatives"),
        strict=True,
    ):
        for number, method in enumerate(methods):
            values = courses[:, :, number, _COURSE.index(column)]
            mean, half = values.mean(0), _half_width(values)
            steps = np.arange(len(mean))
            ax.plot(steps, mean, color=_COLOUR_OF[method], label=method)
            ax.fill_between(steps, mean - half, mean + half, color=_COLOUR_OF[method], alpha=0.2, linewidth=0)
        ax.axvline(start, color="#888888", linestyle=":", linewidth=1)
        ax.set(xlabel="step", ylabel=name, title=title)
    axes[0].legend(fontsize=8)
    return figure


def _half_width(values: np.ndarray) -> np.ndarray:
    if len(values) < 2:
        return np.zeros(values.shape[1])
    estimates = [statistics.interval(column) for column in values.T]
    return np.array([(e.high - e.low) / 2 for e in estimates])


def _gains(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    methods = ("extrapolation", "interpolation", "both", "renormalised")
    for ax, column, name, title in zip(
        axes,
        ("knn", "alignment", "uniformity"),
        ("neighbours' accuracy, gain", "cosine of the two views, gain", "uniformity (lower: more even), gain"),
        ("No gain in accuracy here", "Views agree more", "… and features spread less"),
        strict=True,
    ):
        for regime, marker, shift in (("hard", "o", -0.12), ("easy", "s", 0.12)):
            rows = table[table["regime"] == regime]
            plain = rows[rows["method"] == "MoCo"].set_index("replicate")[column]
            gains = rows.assign(gain=rows[column] - rows["replicate"].map(plain))
            for place, method in enumerate(methods):
                values = gains.loc[gains["method"] == method, "gain"]
                if values.empty:
                    continue
                estimate = statistics.interval(values)
                ends = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
                ax.errorbar(
                    [place + shift], [estimate.mean], yerr=ends if np.isfinite(ends).all() else None,
                    color=_COLOUR_OF[method], marker=marker, label=f"{regime} positives" if place == 0 else None,
                )  # fmt: skip
        reference_line(ax, 0.0, "MoCo")
        ax.set_xticks(range(len(methods)), methods, fontsize=8)
        ax.margins(x=0.1)
        ax.set(ylabel=name, title=title)
    legend = axes[1].legend(fontsize=8, loc="center right")
    for handle in legend.legend_handles:
        handle.set_color("#444444")
    return figure


def _dose(results: Results) -> Figure:
    figure, (dose, tuned) = panels(2)
    hard = results.tables["training"].query("regime == 'hard'")
    name = hard["method"].str.extract(r"extrapolation × (.*)")[0].astype(float)
    fraction = name.where(name.notna(), hard["method"].map({"MoCo": 0.0, "extrapolation": 1.0}))
    intervals(dose, hard.assign(fraction=fraction).dropna(subset="fraction"), "fraction", "knn")
    dose.set(
        xlabel="fraction of the extrapolation's excess weight", ylabel="5-nearest-neighbour accuracy",
        title="No dose helps (hard positives)",
    )  # fmt: skip
    grid = results.tables["tuning"]
    grid = grid.assign(knn=(grid["knn_first"] + grid["knn_second"]) / 2)
    for number, method in enumerate(("MoCo", "extrapolation", "interpolation")):
        for other, rate in enumerate(sorted(grid["learning_rate"].unique())):
            rows = grid[(grid["method"] == method) & (grid["learning_rate"] == rate)]
            apart = 1 + 0.02 * (number - 1) + 0.008 * (other - 0.5)
            intervals(
                tuned, rows.assign(temperature=rows["temperature"] * apart), "temperature", "knn",
                label=f"{method}, {rate:g}", colour=_COLOUR_OF[method], marker="os^Dv"[other % 5],
            )  # fmt: skip
    temperatures = sorted(grid["temperature"].unique())
    tuned.set(
        xscale="log", xlabel="temperature", ylabel="5-nearest-neighbour accuracy", title="The same settings for all"
    )
    tuned.set_xticks(temperatures, [f"{t:g}" for t in temperatures])
    tuned.set_xticks([], minor=True)
    low, high = tuned.get_ylim()
    tuned.set_ylim(low - 0.5 * (high - low), high)
    tuned.legend(
        fontsize=7,
        loc="lower center",
        ncols=3,
        title="method, learning rate",
        title_fontsize=7,
        handlelength=1,
        columnspacing=0.8,
    )
    return figure
