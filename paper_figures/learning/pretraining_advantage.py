"""Figures of unsupervised pretraining against supervised learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results
from simulations.learning.pretraining_advantage import chosen_penalties

CAPTION = (
    "Excess risks are exact for the factor model and contrastive pairs, and means of exact conditional excess errors "
    "for the mixture; points are means over replicates with 95 % intervals. m unlabelled and n labelled samples, d "
    "features; kappa is the distance of the laws of (x, z) over that of the laws of x. Baselines are tuned: ridge by "
    "cross-validation; in the mixture each takes the setting that is best on the test points; on digits every method "
    "takes the penalty with the least mean held-out error."
)


def draw(results: Results) -> dict[str, Figure]:
    """Labels that pretraining saves, where it loses, exponents, the informative condition, and the other models."""
    tables = results.tables
    return {
        "advantage": _advantage(tables["advantage"]),
        "rates": _rates(tables["rates"], tables["mixture_rates"], tables["contrastive"]),
        "condition": _condition(tables["condition"], results.arrays["condition"]),
        "failure": _failure(tables["failure"], tables["contrastive"]),
        "models": _models(tables["mixture"], tables["contrastive"], tables["digits"]),
    }


def _advantage(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=4.8, height=3.7)
    most = table[table["m"] == table["m"].max()]
    looks = {
        "supervised": ("least squares on x", COLOURS[1], "s"), "ridge": ("ridge, cross-validated", COLOURS[4], "^"),
        "pretrain": ("pretraining", COLOURS[0], "o"), "oracle": ("least squares on E[z|x]", COLOURS[2], "D"),
    }  # fmt: skip
    for column, (label, colour, marker) in looks.items():
        intervals(left, most[most[column].notna()], "n", column, label=label, colour=colour, marker=marker)
        left.containers[-1].lines[0].set_linestyle("none" if column != "ridge" else ":")
    for column, colour in (("supervised", COLOURS[1]), ("pretrain", COLOURS[0]), ("oracle", COLOURS[2])):
        theory = most.groupby("n")[f"{column}_theory"].mean()
        left.plot(theory.index, theory, color=colour, linewidth=1)
    left.plot([], [], color="#888888", linewidth=1, label="theory")
    left.set(
        xscale="log", yscale="log", xlabel="labelled samples n", ylabel="excess risk",
        title=f"A few labels do once m = {table['m'].max():,}",
    )  # fmt: skip
    left.legend(fontsize=7)
    ratio = table.assign(log_ratio=np.log10(table["supervised"] / table["pretrain"]))
    grid = ratio.pivot_table(index="m", columns="n", values="log_ratio", aggfunc="mean")
    reach = float(np.abs(grid.to_numpy()).max())
    image = right.imshow(grid.to_numpy(), origin="lower", cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        dark = abs(value) > 0.6 * reach
        right.text(column, row, f"{10**value:.2g}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
    right.contour(grid.to_numpy(), levels=[0.0], colors="k", linewidths=1.5)
    right.set_xticks(range(grid.shape[1]), [f"{n:,}" for n in grid.columns])
    right.set_yticks(range(grid.shape[0]), [f"{m:,}" for m in grid.index])
    right.grid(False)
    right.set(
        xlabel="labelled samples n", ylabel="unlabelled samples m", title="Red: supervised learning wins (line: a draw)"
    )
    bar = figure.colorbar(image, ax=right)
    bar.set_label("excess of least squares / pretraining")
    ticks = [v for v in (-2, -1, 0, 1, 2) if abs(v) <= reach]
    bar.set_ticks(ticks, labels=[f"{10.0**v:g}" for v in ticks])
    return figure


def _rates(factor: pd.DataFrame, mixture: pd.DataFrame, contrastive: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.9, height=3.4)
    sweep = {name: factor[factor["sweep"] == name] for name in ("m", "d", "n")}
    pairs = contrastive[contrastive["method"] == "pretrain"]
    in_m = pairs[pairs["n"] == pairs["n"].max()]
    in_n = pairs[pairs["m"] == pairs["m"].max()]
    in_n = in_n.assign(head=in_n["excess"] - in_n["population"])
    intervals(axes[0], sweep["m"], "value", "excess", label="factor model", colour=COLOURS[0])
    intervals(axes[0], in_m, "m", "population", label="contrastive pairs", colour=COLOURS[1], marker="s")
    intervals(axes[0], mixture, "m", "excess", label="two Gaussians (error)", colour=COLOURS[2], marker="^")
    _theory(axes[0], sweep["m"])
    _guide(axes[0], sweep["m"], "value", -0.5, "guaranteed slope −1/2")
    intervals(axes[1], sweep["n"], "value", "excess", label="factor model", colour=COLOURS[0])
    intervals(axes[1], in_n, "n", "head", label="contrastive pairs", colour=COLOURS[1], marker="s")
    _theory(axes[1], sweep["n"])
    _guide(axes[1], sweep["n"], "value", -0.5, "guaranteed slope −1/2")
    intervals(axes[2], sweep["d"], "value", "excess", label="factor model", colour=COLOURS[0])
    _theory(axes[2], sweep["d"])
    for ax, (label, title) in zip(
        axes,
        (("unlabelled samples or pairs m", "1/m, not 1/√m"), ("labelled samples n", "1/n, not 1/√n"),
         ("features d", "Linear in d")), strict=True,
    ):  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel=label, title=title)
        ax.legend(fontsize=7)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low * (low / high) ** 0.3, high)
    axes[1].set_ylim(top=3 * axes[1].get_ylim()[1])
    axes[0].set_ylabel("excess risk, n infinite")
    axes[1].set_ylabel("excess risk that the head adds")
    axes[2].set_ylabel("excess risk, n infinite, m fixed")
    _plain_ticks(axes[1], pd.Series([30, 50, 100, 200, 400, 800]))
    _plain_ticks(axes[2], sweep["d"]["value"])
    return figure


def _theory(ax: Axes, rows: pd.DataFrame) -> None:
    predicted = rows.groupby("value")["predicted"].mean()
    ax.plot(predicted.index, predicted, color=COLOURS[6], linewidth=1, zorder=1, label="derived, factor model")


def _guide(ax: Axes, rows: pd.DataFrame, x: str, slope: float, label: str) -> None:
    """A line of this slope through the first point."""
    ends = np.array([rows[x].min(), rows[x].max()], dtype=float)
    start = rows.loc[rows[x] == ends[0], "excess"].mean()
    ax.plot(ends, start * (ends / ends[0]) ** slope, "--", color="#888888", linewidth=1, zorder=0, label=label)


def _plain_ticks(ax: Axes, values: pd.Series) -> None:
    ticks = sorted(values.unique())
    ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())


def _condition(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, (left, right) = panels(2, height=3.4)
    parts = {
        "hellinger": "factor model, Hellinger", "total variation": "factor model, total variation",
        "contrastive": "contrastive pairs, Hellinger",
    }  # fmt: skip
    pooled = {part: np.concatenate([each[part] for each in arrays]) for part in parts}
    bins = np.linspace(0.9, max(ratio.max() for ratio in pooled.values()) + 0.05, 45)
    for (part, label), colour in zip(parts.items(), COLOURS, strict=False):
        ratio = pooled[part]
        text = f"{label}: max {ratio.max():.2f}"
        left.hist(ratio, bins, weights=np.full(len(ratio), 1 / len(ratio)), histtype="step", color=colour, label=text)
    proved = table.loc[table["part"] == "hellinger", "bound"].max()
    left.set(xlabel="kappa of a pair: distance of (x, z) / distance of x", ylabel="share of random pairs")
    left.set_title(f"Bounded loadings: kappa ≤ {proved:.2f} is proved")
    left.set_ylim(0, 1.35 * left.get_ylim()[1])
    left.legend(loc="upper left", fontsize=8)
    rows = table[table["part"] == "fading"]
    intervals(right, rows, "scale", "max_ratio", label="largest of the random pairs", colour=COLOURS[0])
    local = rows.groupby("scale")["local"].mean()
    right.plot(local.index, local, color=COLOURS[6], linewidth=1, label="limit of near pairs (derived)")
    scales = np.array([rows["scale"].min(), rows["scale"].max()])
    right.plot(scales, 1 / scales, "--", color="#888888", linewidth=1, zorder=0, label="1/scale")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="singular values of B (all equal)",
        ylabel="distance of (x, z) / distance of x",
    )
    right.set_title("Fading loadings: kappa grows without bound")
    _plain_ticks(right, rows["scale"])
    right.legend(fontsize=8)
    return figure


def _failure(table: pd.DataFrame, contrastive: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=4.0, height=3.4)
    rotation, faint = (table[table["case"] == case] for case in ("rotation", "faint"))
    looks = {
        "one coordinate": ("pretraining, y = b z₁", COLOURS[3], "^"),
        "all coordinates": ("pretraining, y = βᵀz", COLOURS[0], "o"),
        "supervised": ("least squares on x", COLOURS[1], "s"),
    }
    for ax, rows in ((axes[0], rotation), (axes[1], faint)):
        for method, (label, colour, marker) in looks.items():
            of_method = rows[rows["method"] == method]
            if len(of_method):
                intervals(ax, of_method, "value", "excess", label=label, colour=colour, marker=marker)
        ax.set(xscale="log", yscale="log", ylabel="excess risk")
        ax.legend(fontsize=7)
    axes[0].set(xlabel="unlabelled samples m", title="No rotation allowed: m is no help")
    kappa = faint.dropna(subset=["kappa"]).groupby("value")["kappa"].first()
    axes[1].set(xlabel="loading of the direction of y  (kappa)", title="A direction that x hardly shows")
    axes[1].set_xticks(kappa.index, [f"{v:g}\n({k:.1f})" for v, k in kappa.items()])
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    few = contrastive[contrastive["n"] == 60] if (contrastive["n"] == 60).any() else contrastive
    names = {
        "shuffled pairs": ("shuffled pairs", COLOURS[3], "^"), "pretrain": ("pretraining on pairs", COLOURS[0], "o"),
        "supervised": ("least squares on x", COLOURS[1], "s"),
    }  # fmt: skip
    for method, (label, colour, marker) in names.items():
        intervals(axes[2], few[few["method"] == method], "m", "excess", label=label, colour=colour, marker=marker)
    axes[2].set(
        xscale="log", yscale="log", xlabel="pairs m", ylabel=f"excess risk, n = {few['n'].iloc[0]}",
        title="Side information shuffled",
    )  # fmt: skip
    _plain_ticks(axes[2], few["m"])
    axes[2].legend(fontsize=7)
    return figure


def _models(mixture: pd.DataFrame, contrastive: pd.DataFrame, digits: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=4.0, height=3.4)
    means = mixture.groupby(["replicate", "n", "method", "setting"], as_index=False)["excess"].mean()
    best = means.groupby(["replicate", "n", "method"], as_index=False)["excess"].min()
    looks = {
        "logistic": ("s", "logistic regression"),
        "kNN": ("^", "nearest neighbours"),
        "pretrain": ("o", "pretraining"),
    }
    colours = {"logistic": COLOURS[1], "kNN": COLOURS[4], "pretrain": COLOURS[0]}
    for method, (marker, label) in looks.items():
        intervals(
            axes[0], best[best["method"] == method], "n", "excess", label=label, colour=colours[method], marker=marker
        )
    axes[0].set(xscale="log", xlabel="labels n", ylabel="excess error", title="Gaussian clusters, flipped labels")
    _plain_ticks(axes[0], best.loc[best["method"] == "pretrain", "n"])
    most = contrastive[contrastive["m"] == contrastive["m"].max()]
    for method, label, colour, marker in (
        ("supervised", "least squares on x", COLOURS[1], "s"), ("pretrain", "pretraining on pairs", COLOURS[0], "o"),
    ):  # fmt: skip
        intervals(axes[1], most[most["method"] == method], "n", "excess", label=label, colour=colour, marker=marker)
    axes[1].set(
        xscale="log", yscale="log", xlabel="labels n", ylabel="excess risk",
        title=f"Contrastive pairs, m = {most['m'].iloc[0]:,}",
    )  # fmt: skip
    _plain_ticks(axes[1], most["n"])
    chosen = chosen_penalties(digits)
    for method, label, colour, marker in (
        ("random features", "random features", COLOURS[3], "^"), ("supervised", "ridge on pixels", COLOURS[1], "s"),
        ("pretrain", "pretrained factor model", COLOURS[0], "o"),
    ):  # fmt: skip
        intervals(axes[2], chosen[chosen["method"] == method], "n", "error", label=label, colour=colour, marker=marker)
    axes[2].set(
        xscale="log",
        xlabel="labels n",
        ylabel="test error",
        ylim=(0, None),
        title="Digits: ridge on pixels does better",
    )
    _plain_ticks(axes[2], chosen["n"])
    for ax in axes:
        ax.legend(fontsize=8)
    return figure
