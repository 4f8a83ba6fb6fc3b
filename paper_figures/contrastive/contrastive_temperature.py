"""Figures of the contrastive temperature."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.contrastive.contrastive_temperature import ENTROPY_TEMPERATURES, HISTOGRAM_BINS
from theory.contrastive.contrastive_temperature import relative_penalties

CAPTION = (
    "Encoders of handwritten digits that start equal and see the same views; only the loss differs. Points are means "
    "over replicates with 95 % intervals. Plain losses push all negatives, hard ones an anchor's most similar half, "
    "the simple loss all alike (line and band: the learning rate that held-out data chose). Few-label accuracy: linear "
    "probe with three labels per class. Penalties are shares of an anchor's repulsion, on test images. Below a "
    "temperature of 0.2 encoders are under-trained, and left out of the third panel."
)
_PLAIN, _HARD, _SIMPLE, _SHUFFLED = COLOURS[:4]
_SHOWN_TEMPERATURES = (0.1, 0.2, 1.0)


def draw(results: Results) -> dict[str, Figure]:
    """Uniformity and tolerance, accuracies, penalties, similarities."""
    table = results.tables["representations"]
    digits = table[table["data"] == "digits"]
    return {
        "uniformity_tolerance": _uniformity_tolerance(digits),
        "accuracy": _accuracy(digits),
        "penalties": _penalties(results.arrays["representations"]),
        "similarities": _similarities(results.arrays["representations"]),
        "too_few": _too_few(digits),
    }


def _uniformity_tolerance(table: pd.DataFrame) -> Figure:
    figure, (even, near, both) = panels(3)
    plain, hard = table[table["loss"] == "contrastive"], _hard(table)
    for ax, column in ((even, "uniformity"), (near, "tolerance")):
        intervals(ax, plain, "temperature", column, label="all negatives", colour=_PLAIN)
        intervals(ax, hard, "temperature", column, label="hardest half", colour=_HARD, marker="s")
        _temperature_axis(ax, table)
    intervals(near, plain, "temperature", "tolerance_shuffled", label="shuffled labels", colour=_SHUFFLED, marker="^")
    even.set(ylabel="uniformity (lower spreads more)", title="Large temperatures spread less")
    near.set(ylabel="tolerance: cosine within classes", title="… and keep classes closer", ylim=(-0.05, 1.05))
    even.legend()
    near.legend(fontsize=8)
    for rows, colour, marker, name in ((plain, _PLAIN, "o", "all negatives"), (hard, _HARD, "s", "hardest half")):
        trained = rows[rows["temperature"] >= 0.2].groupby("temperature")
        even_at, near_at = (trained[column].apply(statistics.interval) for column in ("uniformity", "tolerance"))
        x, x_ends = _means_and_ends(even_at)
        y, y_ends = _means_and_ends(near_at)
        both.errorbar(x, y, xerr=x_ends, yerr=y_ends, color=colour, marker=marker, label=name)
        if name == "all negatives":
            for tau, across, up in zip(even_at.index, x, y, strict=True):
                both.annotate(f"{tau:g}", (across, up), xytext=(4, -11), textcoords="offset points", fontsize=8)
    both.set(xlabel="uniformity", ylabel="tolerance", title="Up to 1, one is paid for with the other")
    both.legend(fontsize=8, loc="lower right")
    return figure


def _accuracy(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    names = {"lin3": "few-label accuracy", "knn": "5-nearest-neighbour accuracy", "lin": "linear probe accuracy"}
    for ax, (probe, name) in zip(axes, names.items(), strict=True):
        intervals(ax, table[table["loss"] == "contrastive"], "temperature", probe, label="all negatives", colour=_PLAIN)
        intervals(ax, _hard(table), "temperature", probe, label="hardest half", colour=_HARD, marker="s")
        simple = table[(table["loss"] == "simple") & table[f"chosen_{probe}"].astype(bool)]
        _level(ax, simple[probe], _SIMPLE, "-.", "simple loss, best rate")
        hard_simple = table[(table["loss"] == "hard simple") & (table["hard_fraction"] == 0.5)]
        _level(ax, hard_simple[probe], COLOURS[4], ":", "simple loss, hardest half")
        _level(ax, table.loc[table["loss"] == "untrained", probe], "#888888", "--", "untrained encoder")
        _temperature_axis(ax, table)
        ax.set(ylabel=name)
    axes[0].set_title("Accuracy peaks at moderate temperatures")
    axes[1].set_title("Hard negatives undo what large ones cost")
    axes[0].legend(fontsize=7, loc=(0.5, 0.2))
    return figure


def _penalties(arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, (shares, entropy) = panels(2)
    similarities = arrays[0]["similarities"]
    for tau, colour in zip((0.07, 0.2, 0.5, 2.0), COLOURS, strict=False):
        penalties = relative_penalties(similarities[None], tau)[0] * len(similarities)
        shares.plot(similarities, penalties, color=colour, label=f"temperature {tau:g}")
    shares.set(
        yscale="log", ylim=(1e-3, 3e2), xlabel="similarity of the negative to the anchor",
        ylabel="penalty, relative to an equal share", title="Small temperatures push the nearest alone",
    )  # fmt: skip
    reference_line(shares, 1.0, "equal")
    shares.legend(fontsize=8, loc="upper left")
    for name, label, colour in (
        ("entropy", "all negatives", _PLAIN), ("entropy_hardest_half", "hardest half", _HARD),
    ):  # fmt: skip
        each = np.stack([replicate[name] for replicate in arrays])
        rows = pd.DataFrame(
            [
                {"replicate": k, "temperature": tau, "entropy": value}
                for k, values in enumerate(each)
                for tau, value in zip(ENTROPY_TEMPERATURES, values, strict=True)
            ]
        )
        intervals(entropy, rows, "temperature", "entropy", label=label, colour=colour, marker="")
    entropy.set(
        xscale="log", ylim=(0, 1.05), xlabel="temperature", ylabel="entropy of penalties / log N",
        title="Concentration falls with the temperature",
    )  # fmt: skip
    entropy.xaxis.set_major_formatter(ScalarFormatter())
    entropy.legend()
    return figure


def _similarities(arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, axes = panels(len(_SHOWN_TEMPERATURES))
    for ax, tau in zip(axes, _SHOWN_TEMPERATURES, strict=True):
        for name, label, colour in (
            ("positive", "positive pairs", _PLAIN), ("nearest", "ten nearest neighbours", _HARD),
        ):  # fmt: skip
            share = np.mean([replicate[f"{name}_{tau:g}"] for replicate in arrays], axis=0)
            ax.stairs(share, HISTOGRAM_BINS, fill=True, alpha=0.5, color=colour, label=label)
        ax.set(xlabel="cosine", ylabel="share of pairs", xlim=(0, 1), ylim=(0, 0.36), title=f"temperature {tau:g}")
    axes[0].legend(loc="upper left")
    figure.suptitle("At temperature 1 nearest neighbours are closer than at 0.2", x=0.01, ha="left")
    return figure


def _too_few(table: pd.DataFrame) -> Figure:
    """Accuracy and uniformity at temperature 1 over the share of negatives that is kept."""
    figure, (accuracy, even) = panels(2)
    rows = table[table["loss"].isin(["contrastive", "hard contrastive"]) & (table["temperature"] == 1.0)]
    for ax, column, name in (
        (accuracy, "lin3", "few-label accuracy"), (even, "uniformity", "uniformity (lower spreads more)"),
    ):  # fmt: skip
        intervals(ax, rows, "hard_fraction", column, colour=_HARD)
        ax.set(xlabel="share of negatives kept", ylabel=name, xlim=(0, 1.05))
        ax.axvline(0.1, color="#888888", linewidth=1, linestyle="--", zorder=0)
    even.annotate(
        "share of classmates", (0.1, 0.05), xycoords=("data", "axes fraction"), xytext=(4, 0),
        textcoords="offset points", fontsize=8, color="#666666",
    )  # fmt: skip
    accuracy.set_title("Too few negatives are all classmates")
    even.set_title("… and features collapse")
    return figure


def _means_and_ends(estimates: pd.Series) -> tuple[list[float], np.ndarray]:
    """Means, and how far their intervals reach below and above (nowhere for a single replicate)."""
    ends = np.array([[e.mean - e.low, e.high - e.mean] for e in estimates]).T
    return [e.mean for e in estimates], np.where(np.isfinite(ends), ends, 0.0)


def _level(ax: Axes, values: pd.Series, colour: str, style: str, label: str) -> None:
    """A mean that no temperature changes, with its interval as a band."""
    estimate = statistics.interval(values)
    ax.axhline(estimate.mean, color=colour, linestyle=style, label=label)
    if np.isfinite([estimate.low, estimate.high]).all():
        ax.axhspan(estimate.low, estimate.high, color=colour, alpha=0.12, linewidth=0)


def _hard(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["loss"] == "hard contrastive") & (table["hard_fraction"] == 0.5)]


def _temperature_axis(ax: Axes, table: pd.DataFrame) -> None:
    ax.set(xscale="log", xlabel="temperature")
    ax.xaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 2, 5]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set_xlim(0.9 * table.loc[np.isfinite(table["temperature"]), "temperature"].min(), 6)
