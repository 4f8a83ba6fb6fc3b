"""Figures of the comp-sum losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from theory.classification import comp_sum as theory

CAPTION = (
    "Γ turns surrogate excess into 0-1 excess. J is the exact least regret, T the paper's transform: where J/T is "
    "above 1 the bound is loose. Gaps are those of linear scores on six points. Accuracies are on held-out digits, "
    "means over replicates with 95 % intervals, the learning rate of every tau chosen on equally noisy held-out labels."
)


def draw(results: Results) -> dict[str, Figure]:
    """Gamma, tightness, gaps, accuracy over tau, and robust accuracy."""
    return {
        "gamma": _gamma(),
        "tightness": _tightness(results.tables["tightness"]),
        "gaps": _gaps(results.tables["finite_model"]),
        "digits": _digits(results.tables["digits"]),
        "adversarial": _adversarial(results.tables["adversarial_digits"]),
    }


def _gamma() -> Figure:
    figure, axes = panels(2)
    excess = np.linspace(0, 0.7, 200)
    for ax, n in zip(axes, (2, 10), strict=True):
        for tau, colour in zip((0.0, 0.5, 1.0, 1.5, 2.0), COLOURS, strict=False):
            ax.plot(excess, theory.gamma(excess, tau, n), color=colour, label=f"tau = {tau:g}")
        ax.set(xlabel="surrogate excess + gap", ylabel="bound on 0-1 excess", ylim=(0, 1.03), title=f"Γ for {n} labels")
    axes[0].legend(loc="lower right")
    return figure


def _tightness(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.8)
    image = None
    for ax, n in zip(axes, (2, 3, 10), strict=True):
        rows = table[table["classes"] == n]
        ratio = (rows["J"] / rows["T"]).to_numpy().reshape(rows["tau"].nunique(), -1)
        image = ax.imshow(np.log10(ratio), origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=2)
        for (i, j), value in np.ndenumerate(ratio):
            ax.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=6.5, color="w" if value < 20 else "k")
        ax.set_xticks(range(ratio.shape[1]), [f"{b:g}" for b in rows["beta"].unique()])
        ax.set_yticks(range(ratio.shape[0]), [f"{t:g}" for t in rows["tau"].unique()])
        ax.grid(visible=False)
        ax.set(xlabel="0-1 regret β", ylabel="tau", title=f"J/T, {n} labels: 1 is tight")
    assert image is not None
    figure.colorbar(image, ax=axes, label="log₁₀ J/T", shrink=0.85)
    return figure


def _gaps(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, labels in zip(axes, ("deterministic", "noisy"), strict=True):
        rows = table[table["labels"] == labels]
        intervals(ax, rows, "tau", "gap", label="minimizability gap M", colour=COLOURS[0])
        intervals(ax, rows, "tau", "gap_bound", label="its bound", colour=COLOURS[1], marker="s")
        ax.set(xlabel="tau", ylabel="risk", ylim=(0, None), title=f"Gaps shrink with tau: {labels} labels")
    axes[0].legend()
    return figure


def _digits(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    titles = {0.0: "Clean labels: only tau = 2 falls behind", 0.4: "40 % of labels replaced: small tau suffers"}
    for ax, noise in zip(axes, sorted(table["noise"].unique()), strict=True):
        rows = table[table["noise"] == noise]
        intervals(ax, rows, "tau", "accuracy", colour=COLOURS[0])
        cross_entropy = rows.loc[rows["tau"] == 1.0, "accuracy"].mean()
        reference_line(ax, cross_entropy, "cross-entropy")
        ax.set(xlabel="tau", ylabel="test accuracy", title=titles.get(noise, f"{noise:.0%} of labels replaced"))
    return figure


def _adversarial(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    methods = list(table["method"].unique())
    for column, colour, apart in (("clean", COLOURS[5], -0.08), ("robust", COLOURS[1], 0.08)):
        for place, method in enumerate(methods):
            rows = table[table["method"] == method].assign(place=place + apart)
            intervals(ax, rows, "place", column, colour=colour, label=column if place == 0 else "")
    ax.set_xticks(range(len(methods)), methods)
    ax.set(ylabel="test accuracy", title="Robust training, eps = 0.1, equal budget and tuning")
    ax.legend(loc="center right")
    return figure
