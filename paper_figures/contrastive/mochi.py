"""Figures of hard negative mixing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from theory.contrastive.mochi import mixed_similarity, query_mixed_similarity

CAPTION = (
    "Points are means over replicates with 95 % intervals. Encoders of generated glyphs (100 classes) start equal and "
    "see the same views; MoCHi mixes pairs of the 64 hardest of 512 keys (64 mixtures) and the query with one of them "
    "(16). The class oracle removes negatives of the query's class. Proxy task: the positive beats all negatives."
)
_METHODS = ("MoCo", "MoCHi", "pairs only", "query only", "class oracle")
_COLOUR_OF: dict[str, str] = dict(zip(_METHODS, COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Geometry of mixtures, difficulty of the task, what features gain, and the effect of settings and memory."""
    return {
        "geometry": _geometry(),
        "task": _task(results.tables["training"]),
        "features": _features(results.tables["training"]),
        "settings": _settings(results),
    }


def _geometry() -> Figure:
    figure, (pairs, query) = panels(2)
    weight = np.linspace(0, 1, 201)
    for c, colour in zip((0.9, 0.5, 0.0, -0.5), COLOURS, strict=False):
        pairs.plot(weight, mixed_similarity(0.4, 0.4, c, weight), color=colour, label=f"parents' cosine {c:g}")
    pairs.axhline(0.4, color="#888888", linewidth=1, linestyle="--", zorder=0, label="either parent")
    pairs.set(
        xlabel="weight of the first parent", ylabel="cosine with the query", ylim=(0.35, 1.0),
        title="Two equally hard parents have a harder child",
    )  # fmt: skip
    pairs.legend(fontsize=8)
    theta = np.linspace(0.01, np.pi - 0.01, 201)
    for b, colour in zip((0.0, 0.15, 0.3, 0.5), COLOURS, strict=False):
        mixed = np.arccos(query_mixed_similarity(np.cos(theta), b))
        query.plot(np.degrees(theta), np.degrees(mixed), color=colour, label=f"query's weight {b:g}")
    query.set(
        xlabel="angle of the negative (degrees)", ylabel="angle of the mixture (degrees)",
        title="Half of the angle is the limit",
    )  # fmt: skip
    query.legend(fontsize=8)
    return figure


def _task(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    trained = _full_queue(table)
    for ax, column, name, title in zip(
        axes,
        ("proxy_all", "proxy_real", "top_share_last"),
        ("positive beats every negative", "positive beats every key", "mass of the hardest 1 % of keys"),
        ("Mixing with the query is what is hard", "The keys themselves", "How the negatives' mass is spread"),
        strict=True,
    ):
        _bars(ax, trained, column)
        ax.set(ylabel=f"{name} (share)", title=title)
    return figure


def _features(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    trained = _full_queue(table)
    for ax, column, name, title in zip(
        axes,
        ("knn", "few", "uniformity"),
        ("neighbours' accuracy", "accuracy with 3 labels", "uniformity (lower: more even)"),
        ("Nearest neighbours", "Three labels per class", "Pairs bunch, query mixtures spread"),
        strict=True,
    ):
        plain = trained[trained["method"] == "MoCo"].set_index("replicate")[column]
        gains = trained.assign(gain=trained[column] - trained["replicate"].map(plain))
        _bars(ax, gains, "gain", _METHODS[1:])
        reference_line(ax, 0.0, "MoCo")
        ax.set(ylabel=f"{name}, gain", title=title)
    return figure


def _settings(results: Results) -> Figure:
    figure, (tuned, memory) = panels(2)
    grid = results.tables["tuning"]
    grid = grid.assign(knn=(grid["knn_first"] + grid["knn_second"]) / 2)
    for method in ("MoCo", "MoCHi"):
        for number, rate in enumerate(sorted(grid["learning_rate"].unique())):
            rows = grid[(grid["method"] == method) & (grid["learning_rate"] == rate)]
            apart = 1 + 0.02 * (number - 0.5) + (0.01 if method == "MoCo" else -0.01)
            rows = rows.assign(temperature=rows["temperature"] * apart)
            label, marker = f"{method}, learning rate {rate:g}", "os^Dv"[number % 5]
            intervals(tuned, rows, "temperature", "knn", label=label, colour=_COLOUR_OF[method], marker=marker)
    tuned.set(xscale="log", xlabel="temperature", ylabel="5-nearest-neighbour accuracy", title="Settings matter more")
    tuned.legend(fontsize=8)
    _plain_ticks(tuned, grid["temperature"].unique())
    plain = results.tables["training"].query("method == 'MoCo'")
    intervals(memory, plain, "queue", "knn", colour=_COLOUR_OF["MoCo"])
    memory.set(
        xscale="log", xlabel="keys in the queue", ylabel="5-nearest-neighbour accuracy", title="MoCo over its memory"
    )
    _plain_ticks(memory, plain["queue"].unique())
    return figure


def _full_queue(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["queue"] == table["queue"].max()]


def _bars(ax: Axes, table: pd.DataFrame, column: str, methods: Sequence[str] = _METHODS) -> None:
    for place, method in enumerate(methods):
        values = table.loc[table["method"] == method, column]
        estimate = statistics.interval(values)
        ends = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
        known = ends if np.isfinite(ends).all() else None
        ax.errorbar([place], [estimate.mean], yerr=known, color=_COLOUR_OF[method], marker="o")
    ax.set_xticks(range(len(methods)), [m.replace(" ", "\n") for m in methods], fontsize=8)
    ax.margins(x=0.12)


def _plain_ticks(ax: Axes, places: np.ndarray) -> None:
    ax.xaxis.set_major_locator(FixedLocator(sorted(places)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter())
