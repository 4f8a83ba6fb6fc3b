"""Figures of naive Bayes against logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results
from simulations.classification.discriminative_generative import chosen_settings
from theory.classification import discriminative_generative as theory

CAPTION = (
    "Psi is the logistic regret that a 0-1 regret costs at least. Samples are those to the Bayes error + 0.01 (+ 0.02 "
    "in the weak design), means over replicates with 95 % intervals. Real data: test errors over 20 training subsets. "
    "“Tuned” methods choose among equally many settings on held-out samples, five in the mixture and four on real data."
)


def draw(results: Results) -> dict[str, Figure]:
    """Transforms, sample sizes over n, real data, and the asymptotes under correlation."""
    return {
        "regimes": _regimes(results.tables["regimes"], results.tables["weak"]),
        "real": _real(results.tables["real"]),
        "transform": _transform(),
        "concentration": _concentration(results.tables["concentration"]),
        "correlated": _correlated(results.tables["correlated"]),
    }


def _transform() -> Figure:
    figure, axes = panels(2)
    beta = np.linspace(0, 1, 300)
    for ax, K in zip(axes, (2, 3), strict=True):
        for B, colour in zip((0.25, 1.0, 3.0, np.inf), COLOURS, strict=False):
            label = "no bound" if np.isinf(B) else f"|scores| ≤ {B:g}"
            ax.plot(beta, theory.logistic_transform(beta, K, B), color=colour, label=label)
        ax.set(xlabel="0-1 regret β", ylabel="least logistic regret Ψ(β) [nats]", ylim=(0, 0.72))
    axes[0].set_title("Two labels: every error costs something")
    free = theory.uncalibrated_regret(3, 0.25)
    axes[1].axvspan(0, free, color=COLOURS[0], alpha=0.12, linewidth=0)
    axes[1].plot(
        beta, theory.logistic_transform(beta, 2, 0.25), ":", color=COLOURS[0], label="two-label Ψ, 0.25: false"
    )
    axes[1].set_title(f"Three labels, B = 0.25: β ≤ {free:.2f} is free")
    axes[1].legend(loc="upper left")
    return figure


def _regimes(table: pd.DataFrame, weak: pd.DataFrame) -> Figure:
    classes = sorted(table["classes"].unique())
    figure, axes = panels(len(classes) + 1, width=4.0)
    looks = {
        "naive Bayes": (COLOURS[0], "o", "naive Bayes"),
        "logistic": (COLOURS[1], "s", "logistic, C = 1"),
        "logistic, tuned": (COLOURS[2], "^", "logistic, standardised, tuned"),
    }
    for ax, K in zip(axes, classes, strict=False):
        for method, (colour, marker, label) in looks.items():
            rows = table[(table["classes"] == K) & (table["method"] == method)]
            if len(rows):
                intervals(ax, rows, "n", "samples", label=label, colour=colour, marker=marker)
        _guide(ax, table.loc[(table["classes"] == K) & (table["method"] == "logistic")])
        ax.set_title({2: "K = 2: scales cost samples, not the method"}.get(K, f"K = {K}: naive Bayes needs ever fewer"))
    intervals(axes[-1], weak, "n", "samples", label="naive Bayes", colour=COLOURS[0])
    _guide(axes[-1], weak)
    axes[-1].set_title("Constant total information: O(n) too")
    top = max(table["samples"].max(), weak["samples"].max())
    for ax in axes:
        ticks = sorted({int(n) for line in ax.containers for n in line.lines[0].get_xdata()})
        ax.set(xscale="log", yscale="log", xlabel="features n", ylabel="samples to target", ylim=(3, 3 * top))
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.minorticks_off()
        ax.legend(loc="upper left", fontsize=7)
    return figure


def _guide(ax, rows: pd.DataFrame) -> None:
    """A line of slope 1 through the largest n."""
    n = np.array([rows["n"].min(), rows["n"].max()], dtype=float)
    end = rows.loc[rows["n"] == rows["n"].max(), "samples"].mean()
    ax.plot(n, end * n / n[1], "--", color="#888888", linewidth=1, zorder=0, label="slope 1")


def _real(table: pd.DataFrame) -> Figure:
    titles = {
        "digits": "digits: logistic regression wins later",
        "breast_cancer": "breast_cancer: tuning levels the start",
        "network": "digits 5–9, features learnt on 0–4",
    }
    figure, axes = panels(len(titles), width=4.0, height=3.6)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        for tuned in (False, True):
            rows = chosen_settings(table[table["data"] == name], tuned)
            for method, colour in zip(("naive Bayes", "logistic", "GaussianNB"), COLOURS, strict=False):
                of_method = rows[rows["method"] == method]
                intervals(
                    ax, of_method, "samples", "error", colour=colour, marker="s" if tuned else "o",
                    label=f"{method}{', tuned' if tuned else ''}",
                )  # fmt: skip
                if not tuned:
                    ax.containers[-1].lines[0].set_linestyle(":")
        sizes = sorted(table.loc[table["data"] == name, "samples"].unique())
        ax.set(xscale="log", yscale="log", xlabel="training samples m", ylabel="test error", title=title)
        ax.set_xticks(sizes, [str(m) for m in sizes])
        errors = [e for e in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8) if ax.get_ylim()[0] <= e <= ax.get_ylim()[1]]
        ax.set_yticks(errors, [f"{e:g}" for e in errors])
        ax.minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _concentration(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    for (law, rows), colour, marker in zip(table.groupby("law"), COLOURS, "os", strict=False):
        intervals(ax, rows, "n", "ratio", label=str(law), colour=colour, marker=marker)
    ax.axhline(1.0, color="#888888", linestyle="--", linewidth=1, zorder=0, label="√(2 log(nK) / (m/K))")
    ax.set(
        xscale="log", yscale="log", xlabel="features n", ylabel="largest error of a mean / prediction",
        title="log n is the price of many Gaussian features",
    )  # fmt: skip
    ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    ax.tick_params(axis="y", which="minor", left=False, labelleft=False)
    ax.legend(loc="upper left")
    return figure


def _correlated(table: pd.DataFrame) -> Figure:
    loadings = sorted(table["loading"].unique(), reverse=True)
    figure, axes = panels(len(loadings))
    for ax, loading in zip(axes, loadings, strict=True):
        rows = table[table["loading"] == loading]
        for method, colour, marker in (("naive Bayes", COLOURS[0], "o"), ("logistic", COLOURS[1], "s")):
            of_method = rows[rows["method"] == method]
            intervals(ax, of_method, "samples", "error", label=method, colour=colour, marker=marker)
            name = "limit of naive Bayes" if method == "naive Bayes" else "Bayes error"
            ax.axhline(of_method["limit"].iloc[0], color=colour, linestyle=":", linewidth=1.2, zorder=0, label=name)
        title = f"Loading {loading:g}: naive Bayes stays above" if loading else "Independent features: one limit"
        ax.set(xscale="log", xlabel="training samples m", ylabel="test error", ylim=(0, None), title=title)
    axes[1].legend(loc="upper right")
    return figure
