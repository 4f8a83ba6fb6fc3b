"""Figures of gradient descent with large steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from theory.optimization import large_step_gd as theory

CAPTION = (
    "LR+GD is gradient descent on the logistic loss, NLR+GD divides its gradient by the mean weight of the samples. "
    "Divided by the step size, LR+GD's path becomes the batch perceptron's. On digits 3 and 8 larger steps mean higher "
    "loss and fewer iterations. On n − 1 easy samples and a hard one LR+GD needs a number of iterations that grows "
    "like n, NLR+GD does not; step sizes on random problems are chosen on other problems. Means over replicates with "
    "95 % intervals; the dotted lines are the proven bounds."
)


def draw(results: Results) -> dict[str, Figure]:
    """The limit, the path in two dimensions, loss against speed, step sizes, the hard instance, random problems."""
    return {
        "limit": _limit(results.tables["limit"]),
        "paths": _paths(),
        "digits": _digits(results.tables["digits"]),
        "sweep": _sweep(results.tables["sweep"]),
        "hard": _hard(results.tables["hard"]),
        "imbalance": _imbalance(results.tables["imbalance"]),
    }


def _limit(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    logs = table.assign(log=np.log10(table["deviation"]), wrong=np.log10(table["wrong_deviation"].clip(1e-3)))
    intervals(ax, logs, "exponent", "log", colour=COLOURS[0], label="to the batch perceptron")
    intervals(ax, logs, "exponent", "wrong", colour=COLOURS[1], marker="s", label="to one with weight 1 at margin 0")
    exponents = np.array([4.0, 26.0])
    first = logs.loc[logs["exponent"] == 4.0, "log"].mean()
    ax.plot(
        exponents, first - (exponents - 4) / np.log(10), color="#888888", linestyle="--", label="slope −1", zorder=0
    )
    ax.set(
        xlabel="γ · least margin of the perceptron", ylabel="log₁₀ largest distance of the paths",
        title="θ/γ tends to the batch perceptron",
    )  # fmt: skip
    ax.legend(loc="lower left")
    return figure


def _paths() -> Figure:
    """Twenty random samples, and the two of the example with ties."""
    figure, axes = panels(2, width=4.4)
    rng = np.random.default_rng(3)
    cloud = np.concatenate([rng.normal((1.5, 0.4), 0.2, (18, 2)), rng.normal((-1.2, 0.5), 0.1, (2, 2))])
    for ax, Z, gammas, title in (
        (axes[0], cloud, (2.0, 20.0, 2000.0), "Paths of θ/γ: 20 samples"),
        (axes[1], np.array([[1.0, 0.0], [-1.0, 1.0]]), (2.0, 20.0, 1000.0), "Margins of 0: (1, 0), (−1, 1)"),
    ):
        for gamma, colour in zip(gammas, COLOURS, strict=False):
            path = theory.lr_gd(Z, gamma, 10_000, record="path").path
            assert path is not None
            ax.plot(
                *path.T / gamma, marker="o", markersize=4, color=colour, label=f"γ = {gamma:g}: T = {len(path) - 1}"
            )
        perceptron = theory.batch_perceptron(Z, record="path").path
        assert perceptron is not None
        ax.plot(
            *perceptron.T, color="k", linestyle=":", marker="x", label=f"batch perceptron: T = {len(perceptron) - 1}"
        )
        ax.set(xlabel="θ₁/γ", ylabel="θ₂/γ", title=title)
        ax.legend(fontsize=8)
    return figure


def _digits(table: pd.DataFrame) -> Figure:
    shown = [pair for pair in ("3 8", "1 7") if pair in set(table["pair"])]
    figure, axes = panels(2 * len(shown), width=3.6)
    for k, pair in enumerate(shown):
        rows = _with_logs(table[table["pair"] == pair], "gamma", "iterations", "max_loss", "mean_loss")
        lr = rows[rows["method"] == "LR+GD"]
        for method, colour, marker in (("LR+GD", COLOURS[0], "o"), ("NLR+GD", COLOURS[1], "s")):
            part = rows[rows["method"] == method]
            intervals(axes[2 * k], part, "log_gamma", "log_iterations", label=method, colour=colour, marker=marker)
        axes[2 * k].set(
            xlabel="log₁₀ γ", ylabel="log₁₀ iterations", title=f"Digits {pair[0]} and {pair[2]}: iterations"
        )
        axes[2 * k].legend()
        for column, label, colour in (("max_loss", "largest", COLOURS[2]), ("mean_loss", "mean", COLOURS[3])):
            intervals(axes[2 * k + 1], lr, "log_gamma", f"log_{column}", label=f"{label} along the way", colour=colour)
        axes[2 * k + 1].set(xlabel="log₁₀ γ", ylabel="log₁₀ logistic loss", title="and the loss of LR+GD")
        axes[2 * k + 1].legend(loc="upper left")
        axes[2 * k + 1].margins(y=0.3)
    return figure


def _with_logs(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The same with decimal logarithms of these columns: intervals of means of logs stay positive."""
    return table.assign(**{f"log_{each}": np.log10(table[each]) for each in columns})


def _sweep(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.4)
    clean = _with_logs(table[table["labels"] == "clean"], "gamma", "iterations", "sharper_ratio")
    for name, colour in zip(clean["data"].unique(), COLOURS, strict=False):
        rows = clean[clean["data"] == name]
        intervals(axes[0], rows, "log_gamma", "log_iterations", label=name, colour=colour)
        intervals(axes[1], rows, "log_gamma", "log_sharper_ratio", label=name, colour=colour)
    axes[0].set(xlabel="log₁₀ γ", ylabel="log₁₀ iterations of LR+GD", title="Every step size separates,")
    axes[1].set(xlabel="log₁₀ γ", ylabel="log₁₀ iterations / sharper bound", title="within the bound", ylim=(None, 0.6))
    reference_line(axes[1], 0.0, "bound")
    axes[0].legend()
    return figure


def _hard(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.4, height=3.8)
    table = _with_logs(table, "samples", "iterations")
    styles = (
        ("LR+GD", "LR+GD, γ = 10¹²", "o", COLOURS[0]), ("NLR+GD", "NLR+GD", "s", COLOURS[1]),
        ("LR+GD, gamma = 1", "LR+GD, γ = 1", "^", COLOURS[3]),
        ("batch perceptron", "batch perceptron (the same)", "x", "k"),
    )  # fmt: skip
    for method, label, marker, colour in styles:
        rows = table[table["method"] == method]
        intervals(ax, rows, "log_samples", "log_iterations", label=label, colour=colour, marker=marker)
    sizes = np.array(sorted(table["log_samples"].unique()))
    hardness = np.log10(table["hardness"].mean())
    for text, values in (
        ("2 n R²/μ²: LR+GD, γ → ∞", np.log10(2) + sizes + hardness),
        ("R²/μ²: NLR+GD, γ → ∞", np.full(len(sizes), hardness)),
    ):
        ax.plot(sizes, values, color="#888888", linestyle=":", zorder=0)
        ax.annotate(
            text, (sizes[-1], values[-1]), xytext=(0, 3), textcoords="offset points", fontsize=8, color="#666666",
            ha="right", va="bottom",
        )  # fmt: skip
    ax.set(
        xlabel="log₁₀ number of samples n", ylabel="log₁₀ iterations to separate", ylim=(None, 5.6),
        title="One hard sample among n: LR+GD needs Θ(n)",
    )  # fmt: skip
    ax.legend(loc="upper left")
    return figure


def _imbalance(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=4.8)
    rows = table[table["chosen"]]
    for method, colour, marker in (("LR+GD", COLOURS[0], "o"), ("NLR+GD", COLOURS[1], "s")):
        logs = rows[rows["method"] == method].assign(log=lambda t: np.log10(t["iterations"]))
        intervals(ax, logs, "samples", "log", label=method, colour=colour, marker=marker)
    ax.set_xscale("log")
    sizes = sorted(rows["samples"].unique())
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(sizes, [f"{n:g}" for n in sizes])
    ax.set(
        xlabel="number of samples n", ylabel="log₁₀ median iterations",
        title="Random problems with one hard sample, tuned γ",
    )  # fmt: skip
    ax.legend()
    return figure
