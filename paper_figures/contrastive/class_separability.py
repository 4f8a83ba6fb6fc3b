"""Figures of class separability in few-shot learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.contrastive.unseen_classes import (
    ALL,
    CE,
    CE_ICNN,
    CE_PT,
    ICNN,
    METHODS,
    PT,
    RAW,
    SHUFFLED,
    TRIPLET,
    best_settings,
)

CAPTION = (
    "Points are means over replicates with 95 % intervals; accuracies are those of episodes of classes that "
    "training never saw. Every method takes the best of as many settings, chosen on held-out classes. Glyphs are "
    "generated classes under clutter (five-way); digits are scikit-learn's, six to train on and four to tell apart. "
    "CE is cross-entropy over prototypes with a tuned temperature; the batch-hard triplet loss is plain, without "
    "prototypes."
)
_COLOUR_OF: dict[str, str] = dict(zip(METHODS, COLOURS, strict=True))
_SHORT = {
    CE: "CE", PT: "proto-\ntriplet", ICNN: "ICNN", CE_PT: "CE +\nproto-tr.", CE_ICNN: "CE +\nICNN", ALL: "all\nthree",
    TRIPLET: "batch-\nhard", SHUFFLED: "shuffled\nlabels", RAW: "raw\npixels",
}  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """Gains by method and shots, effect of settings, score against accuracy, other domains, digits, an episode."""
    glyphs, digits = results.tables["glyphs"], results.tables["digits"]
    return {
        "gains": _gains(glyphs),
        "settings": _settings(glyphs),
        "score": _score(glyphs),
        "domains": _domains(glyphs),
        "digits": _digits(digits),
        "episode": _episode(results.arrays["glyphs"][0]),
    }


def _gains(table: pd.DataFrame) -> Figure:
    shots = sorted(table["shot"].unique())
    figure, axes = panels(len(shots), width=5.2)
    for ax, shot in zip(axes, shots, strict=True):
        rows = table[table["shot"] == shot]
        chosen = best_settings(rows, ["shot"])
        base = chosen[chosen["method"] == CE].set_index("replicate")["accuracy same"]
        _bars(ax, chosen.assign(gain=chosen["accuracy same"] - chosen["replicate"].map(base)), "gain", METHODS[1:])
        reference_line(ax, 0.0, "")
        ax.set(
            ylabel=f"accuracy, gain over tuned CE ({base.mean():.3f})",
            title=f"Gains are small: {shot} labelled sample{'s' if shot > 1 else ''} per class",
        )
    return figure


def _settings(table: pd.DataFrame) -> Figure:
    figure, (temperatures, margins) = panels(2, width=4.6)
    rows = table[table["shot"] == table["shot"].max()]
    for ax, word, methods in (
        (temperatures, "temperature", (CE, CE_ICNN)),
        (margins, "margin", (PT, CE_PT, ALL, TRIPLET)),
    ):
        for number, method in enumerate(methods):
            of = rows[(rows["method"] == method) & rows["setting"].str.startswith(word)]
            values = of["setting"].str.removeprefix(word).astype(float)
            apart = 1.06 ** (number - (len(methods) - 1) / 2)
            intervals(
                ax, of.assign(value=values * apart), "value", "accuracy same", label=method, colour=_COLOUR_OF[method],
                marker="os^D"[number],
            )  # fmt: skip
            places = sorted(values.unique())
        ax.set(xscale="log", ylabel="accuracy, unseen classes")
        ax.xaxis.set_major_locator(FixedLocator(places))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    temperatures.set(xlabel="temperature of the squared distance", title="Cross-entropy needs its temperature")
    margins.set(xlabel="margin (distance of embeddings)", title="Losses with a margin")
    return figure


def _score(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.6, height=4.0)
    rows = table[table["shot"] == table["shot"].max()]
    for method in METHODS:
        of = rows[rows["method"] == method]
        ax.scatter(of["score"], of["accuracy same"], s=14, color=_COLOUR_OF[method], label=method, alpha=0.7)
    untaught = rows[rows["method"] == SHUFFLED]
    ax.scatter(untaught["score"], untaught["accuracy same"], s=22, color="#888888", marker="x", label=SHUFFLED)
    ax.set(
        xlabel="ICNN score of episodes of unseen classes", ylabel="accuracy on unseen classes",
        title="The score measures how well classes separate",
    )  # fmt: skip
    ax.legend(fontsize=8)
    return figure


def _domains(table: pd.DataFrame) -> Figure:
    names = [c.removeprefix("accuracy ") for c in table.columns if c.startswith("accuracy ")]
    figure, axes = panels(len(names), width=3.4)
    chosen = best_settings(table[table["shot"] == table["shot"].max()], ["shot"])
    shown = (CE, PT, CE_ICNN, ALL, TRIPLET)
    raw = table[(table["shot"] == table["shot"].max()) & (table["method"] == RAW)]
    for ax, name in zip(axes, names, strict=True):
        _bars(ax, chosen, f"accuracy {name}", shown)
        level = float(raw[f"accuracy {name}"].mean())
        reference_line(ax, level, f"raw pixels {level:.2f}")
        ax.set(title={"same": "As in training"}.get(name, name.capitalize()))
    axes[0].set_ylabel("accuracy, unseen classes")
    return figure


def _digits(table: pd.DataFrame) -> Figure:
    clutters = sorted(table["clutter"].unique())
    figure, axes = panels(len(clutters), width=5.2)
    for ax, clutter in zip(axes, clutters, strict=True):
        rows = table[table["clutter"] == clutter]
        everything = pd.concat([best_settings(rows, ["replicate"]), rows[rows["method"].isin((SHUFFLED, RAW))]])
        _bars(ax, everything, "accuracy", (*METHODS, SHUFFLED, RAW))
        ax.set(title="Raw pixels are best: digits as they are" if clutter == 0 else f"Digits under clutter {clutter:g}")
        ax.set(ylabel="accuracy, four unseen digits")
    return figure


def _episode(arrays: dict[str, np.ndarray]) -> Figure:
    methods = [name for name in arrays if name != "labels"]
    figure, axes = panels(len(methods), width=3.6, height=3.4)
    for ax, method in zip(axes, methods, strict=True):
        for label in np.unique(arrays["labels"]):
            points = arrays[method][arrays["labels"] == label]
            colour = COLOURS[int(label) % len(COLOURS)]
            ax.scatter(points[:, 0], points[:, 1], s=14, color=colour, label=f"class {label + 1}")
        ax.set(xlabel="first principal component", title=method)
    axes[0].set_ylabel("second principal component")
    axes[-1].legend(fontsize=7, loc="best")
    return figure


def _bars(ax: Axes, table: pd.DataFrame, column: str, methods: tuple[str, ...]) -> None:
    for place, method in enumerate(methods):
        estimate = statistics.interval(table.loc[table["method"] == method, column])
        ends = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
        known = ends if np.isfinite(ends).all() else None
        ax.errorbar([place], [estimate.mean], yerr=known, color=_COLOUR_OF.get(method, "#888888"), marker="o")
    ax.set_xticks(range(len(methods)), [_SHORT[m] for m in methods], fontsize=7.5)
    ax.margins(x=0.1)
