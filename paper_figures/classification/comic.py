"""Figures of COMIC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results, statistics
from simulations.classification.comic import tuned
from theory.classification import comic as theory

CAPTION = (
    "Every method has the setting that is best on held-out data, averaged over replicates; points are means over "
    "replicates with 95 % intervals. Many, medium and few group classes by observed positives in training. A "
    "probability p of an asymmetric loss stands for the smaller posterior at which its expected gradient vanishes, so "
    "that a threshold of 0.7 recovers more than it seems to; in the place of observed labels, what it recovers makes "
    "the next probabilities larger still."
)
_METHODS = ("BCE", "focal", "DB", "SPLC", "ASL", "MFM", "MFM + correction")
_PARTS = {
    "COMIC": "all parts",
    "COMIC without correction": "no correction",
    "COMIC without modification": "no modification",
    "COMIC without balance": "no balance",
    "COMIC with balanced sampling alone": "balanced sampling,\nno guidance",
    "COMIC without causal norm": "no causal norm",
}
_TITLES = {"vectors": "class means with noise", "canvases": "canvases of digits"}


def draw(results: Results) -> dict[str, Figure]:
    """The loss, methods by rarity, the ablation, recovery over epochs, and precision over class counts."""
    return {
        "loss": _loss(),
        "methods": _methods(results),
        "ablation": _ablation(results.tables["canvases"]),
        "recovery": _recovery(results),
        "counts": _counts(results),
    }


def _loss() -> Figure:
    figure, (value, slope, meaning) = panels(3)
    p = np.linspace(0.01, 0.99, 197)
    logits = np.log(p / (1 - p))[:, None]
    omega = theory.class_modifier(np.array([1000, 1]))
    for label, style in ((1, "-"), (0, "--")):
        y = np.full((len(p), 2), label)
        both = np.repeat(logits, 2, axis=1)
        losses = theory.multi_focal(both, y, omega)
        slopes = theory.multi_focal_gradient(both, y, omega)
        for k, name in enumerate(("frequent class", "a thousandth of it")):
            text = f"{'positive' if label else 'negative'}, {name}"
            value.plot(p, losses[:, k], style, color=COLOURS[k], label=text)
            slope.plot(p, slopes[:, k], style, color=COLOURS[k])
    value.set(xlabel="predicted probability p", ylabel="loss", ylim=(0, 6), title="Positives outweigh negatives")
    value.legend(fontsize=8)
    slope.set(xlabel="predicted probability p", ylabel="gradient by the logit", title="Easy negatives are ignored")
    for (name, options), colour in zip(
        {
            "cross-entropy": {"gamma_neg": 0.0, "clip": 0.0},
            "asymmetric, exponent 4": {"gamma_neg": 4.0},
            "multi-focal, exponent 7 + 1": {"gamma_neg": 7.0, "omega": 1.0},
        }.items(),
        COLOURS,
        strict=False,
    ):
        meaning.plot(p, np.asarray(theory.posterior_at(p, **options)), color=colour, label=name)
        at_threshold = float(theory.posterior_at(0.7, **options))
        meaning.plot([0.7], [at_threshold], "o", color=colour)
        meaning.annotate(
            f"{at_threshold:.2f}", (0.7, at_threshold), xytext=(6, -10), textcoords="offset points", fontsize=8
        )
    meaning.set(
        xlabel="predicted probability p", ylabel="posterior of an observed positive",
        title="A threshold of 0.7 means little",
    )  # fmt: skip
    meaning.legend(fontsize=8)
    return figure


def _methods(results: Results) -> Figure:
    figure, axes = panels(2, width=6.2, height=3.6)
    for ax, (name, title) in zip(axes, _TITLES.items(), strict=True):
        _by_group(ax, tuned(results.tables[name]), {method: method for method in _METHODS})
        ax.set_title(f"Focusing on positives pays: {title}")
    axes[0].legend(loc="lower right", ncols=2)
    return figure


def _ablation(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=7.6, height=3.8)
    _by_group(ax, tuned(table), _PARTS)
    ax.set_title("Parts of COMIC on digits: balance helps, the causal norm does not")
    ax.legend(loc="upper left", ncols=4, fontsize=8)
    return figure


def _by_group(ax: Axes, rows: pd.DataFrame, names: dict[str, str]) -> None:
    """Total, many, medium and few side by side for every method."""
    for shift, column, colour, marker in (
        (-0.24, "total", COLOURS[6], "D"), (-0.08, "many", COLOURS[0], "o"),
        (0.08, "medium", COLOURS[2], "s"), (0.24, "few", COLOURS[1], "^"),
    ):  # fmt: skip
        for place, method in enumerate(names):
            scores = rows.loc[rows["method"] == method, column]
            estimate = statistics.interval(scores)
            spread = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
            spread = np.where(np.isfinite(spread), spread, 0.0)
            ax.errorbar(
                [place + shift], [estimate.mean], yerr=spread, color=colour, marker=marker, linestyle="none",
                label=column if place == 0 else None,
            )  # fmt: skip
    ax.set_xticks(range(len(names)), [text.replace(" + ", "\n+ ") for text in names.values()], fontsize=8)
    ax.set(ylabel="mean average precision", ylim=(None, 1.0))


def _recovery(results: Results) -> Figure:
    figure, axes = panels(2, width=5.0)
    table, replicates = results.tables["vectors"], results.arrays["vectors"]
    chosen = tuned(table)
    setting = chosen.loc[chosen["method"] == "MFM + correction", "setting"].iloc[0]
    replaced = table.loc[table["method"] == "MFM, labels replaced", "setting"].iloc[0]
    for name, text, colour, marker in (
        (f"MFM + correction: {setting}", "in an auxiliary loss", COLOURS[0], "o"),
        (f"MFM, labels replaced: {replaced}", "in the place of observed labels", COLOURS[1], "s"),
    ):
        courses = [arrays[name.replace(" ", "_")] for arrays in replicates]
        for ax, part in zip(axes, (0, 1), strict=True):
            rows = pd.DataFrame(
                [
                    {"replicate": k, "epoch": epoch + 1, "share": course[epoch, part]}
                    for k, course in enumerate(courses)
                    for epoch in range(len(course))
                    if np.isfinite(course[epoch, 0])
                ]
            )
            if len(rows):
                intervals(ax, rows, "epoch", "share", label=text, colour=colour, marker=marker)
    axes[0].set(
        xlabel="epoch", ylabel="precision of recovered labels", ylim=(0, 1.05), title="Feedback ruins precision"
    )
    axes[1].set(
        xlabel="epoch", ylabel="recall of hidden positives", ylim=(0, 1.05), title="… by calling everything positive"
    )
    axes[0].legend(loc="center right")
    return figure


def _counts(results: Results) -> Figure:
    figure, axes = panels(2, width=5.0)
    for ax, (name, title) in zip(axes, _TITLES.items(), strict=True):
        table, replicates = results.tables[name], results.arrays[name]
        chosen = tuned(table).drop_duplicates("method").set_index("method")["setting"]
        for method, colour, marker in (("BCE", COLOURS[0], "o"), ("SPLC", COLOURS[2], "s"), ("MFM", COLOURS[1], "^")):
            for number, (replicate, arrays) in enumerate(zip(table["replicate"].unique(), replicates, strict=True)):
                rows = table[table["replicate"] == replicate].reset_index(drop=True)
                row = rows.index[(rows["method"] == method) & (rows["setting"] == chosen[method])][0]
                ax.plot(
                    arrays["counts"], arrays["average_precision"][row], marker, color=colour, markersize=4, alpha=0.6,
                    linestyle="none", label=method if number == 0 else None,
                )  # fmt: skip
        ax.set(
            xscale="log", xlabel="observed positives of a class", ylabel="its average precision", ylim=(0, 1.03),
            title=f"Rare classes gain most: {title}",
        )  # fmt: skip
        ax.xaxis.set_major_locator(FixedLocator([10, 30, 100, 300]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(ScalarFormatter())
    axes[0].legend(loc="lower right")
    return figure
