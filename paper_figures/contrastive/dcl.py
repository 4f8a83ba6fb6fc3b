"""Figures of decoupled contrastive learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results

CAPTION = (
    "Points are means over replicates with 95 % intervals. Samples to target: 256 free points on a sphere, moved by "
    "the loss alone until their uniformity is below −2.5. Digits: encoders that start equal and see the same views. "
    "q is the coupling by which InfoNCE multiplies every anchor's DCL gradient."
)
_COLOUR_OF = dict(zip(("InfoNCE", "DCL", "DCLW"), COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Efficiency over batch sizes, digits, the coupling, and robustness over a grid."""
    return {
        "samples_to_target": _samples_to_target(results.tables["free_embeddings"]),
        "digits": _digits(results.tables["digits"]),
        "coupling": _coupling(results),
        "coupling_over_batches": _coupling_over_batches(results),
        "grid": _grid(results.tables["grid"]),
    }


def _samples_to_target(table: pd.DataFrame) -> Figure:
    figure, (needed, ratio) = panels(2)
    for method in ("InfoNCE", "DCL"):
        intervals(
            needed, table[table["method"] == method], "batch_size", "samples_to_target",
            label=method, colour=_COLOUR_OF[method],
        )  # fmt: skip
    _batch_axis(needed, table["batch_size"].unique())
    needed.set(yscale="log", ylabel="samples until uniformity < −2.5", title="DCL hardly needs a large batch")
    needed.legend()
    wide = table.pivot(index=["replicate", "batch_size"], columns="method", values="samples_to_target").reset_index()
    intervals(ratio, wide.assign(ratio=wide["InfoNCE"] / wide["DCL"]), "batch_size", "ratio", colour=COLOURS[2])
    _batch_axis(ratio, table["batch_size"].unique())
    reference_line(ratio, 1.0, "equal")
    ratio.set(ylabel="samples of InfoNCE / samples of DCL", title="The gain is in small batches", ylim=(0, None))
    return figure


def _digits(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    for ax, column, name in zip(
        axes,
        ("uniformity", "knn", "linear"),
        ("uniformity (lower spreads more)", "5-nearest-neighbour accuracy", "linear probe accuracy"),
        strict=True,
    ):
        for (method, colour), apart in zip(_COLOUR_OF.items(), (0.95, 1.0, 1.05), strict=True):
            rows = table[table["method"] == method]
            rows = rows.assign(batch_size=rows["batch_size"] * apart)
            intervals(ax, rows, "batch_size", column, label=method, colour=colour)
        if column != "uniformity":
            untrained = table.loc[table["method"] == "untrained", column].mean()
            reference_line(ax, untrained, "untrained encoder")
        _batch_axis(ax, table["batch_size"].unique())
        ax.set(ylabel=name)
    axes[0].set_title("DCL spreads digits more at any batch size")
    axes[1].set_title("… but does not classify them better")
    axes[0].legend()
    return figure


def _coupling(results: Results) -> Figure:
    growth = results.tables["batch_growth"]
    figure, (histogram, spread) = panels(2)
    for samples, colour in zip(sorted(growth["samples"].unique())[:6:2], COLOURS, strict=False):
        q = np.concatenate([arrays[f"coupling_{samples}"] for arrays in results.arrays["batch_growth"]])
        bins, shares = np.geomspace(1e-3, 0.3, 60), np.full(len(q), 1 / len(q))
        histogram.hist(1 - q, bins, weights=shares, color=colour, alpha=0.6, label=f"N = {samples}")
    histogram.set(xscale="log", xlabel="1 − q of an anchor", ylabel="share of anchors", title="Small batches: small q")
    histogram.set_ylim(0, 1.35 * histogram.get_ylim()[1])
    histogram.legend(ncols=3, loc="upper center", columnspacing=1, handlelength=1.2)
    intervals(spread, growth[growth["quantity"] == "coefficient of variation of q"], "samples", "value")
    spread.set(
        xscale="log", yscale="log", xlabel="batch size N", ylabel="coefficient of variation of q",
        title="The spread vanishes as N grows",
    )  # fmt: skip
    spread.xaxis.set_major_formatter(ScalarFormatter())
    return figure


def _coupling_over_batches(results: Results) -> Figure:
    growth, digits, free = (results.tables[name] for name in ("batch_growth", "digits", "free_embeddings"))
    figure, (rate, reached) = panels(2)
    intervals(rate, growth[growth["quantity"] == "(1 - q)(2N - 2)"], "samples", "value")
    rate.set(
        xscale="log", xlabel="batch size N", ylabel="(1 − q)(2N − 2)", ylim=(0, 1.3), title="1 − q shrinks like 1/N"
    )
    rate.xaxis.set_major_formatter(ScalarFormatter())
    reference_line(rate, 1.0, "limit for independent views")
    for table, name, colour in (
        (free, "free embeddings, InfoNCE", COLOURS[1]), (digits, "digits, InfoNCE", COLOURS[3]),
    ):  # fmt: skip
        intervals(
            reached, table[table["method"] == "InfoNCE"], "batch_size", "mean_coupling", label=name, colour=colour
        )
    _batch_axis(reached, np.union1d(free["batch_size"], digits["batch_size"]))
    reached.set(ylabel="mean coupling q in training", ylim=(0, 1.15), title="The fraction q that InfoNCE keeps")
    reached.legend(loc="upper left")
    return figure


def _grid(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, column, name in zip(
        axes, ("uniformity", "knn"), ("uniformity (lower spreads more)", "5-nearest-neighbour accuracy"), strict=True
    ):
        for method in ("InfoNCE", "DCL"):
            for temperature, marker in zip(sorted(table["temperature"].unique()), "os^Dv", strict=False):
                rows = table[(table["method"] == method) & (table["temperature"] == temperature)]
                intervals(
                    ax, rows, "learning_rate", column, label=f"{method}, temperature {temperature:g}",
                    colour=_COLOUR_OF[method], marker=marker,
                )  # fmt: skip
        ax.set(xscale="log", xlabel="learning rate", ylabel=name)
    axes[0].set_title("DCL's uniformity depends less on the settings (batch 8)")
    axes[0].legend(fontsize=8)
    return figure


def _batch_axis(ax: Axes, sizes: np.ndarray) -> None:
    ax.set(xscale="log", xlabel="batch size")
    ax.xaxis.set_major_locator(FixedLocator(sorted(sizes)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter())
