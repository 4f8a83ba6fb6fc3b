"""Figures of the Z-loss: cost over the number of classes, top-k scores of words, shapes of the losses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results

CAPTION = (
    "Points are means over replicates with 95 % intervals. Cost: one training step (loss, gradient in the hidden "
    "units, new weights) of an output layer, with plain gradient descent. Words: n-gram networks on Python's language "
    "reference, each loss with the learning rate that is best on validation text for the score shown. Deviations are "
    "relative to the largest entry of the explicit layer, in float64 unless named otherwise."
)
_KS = (1, 5, 10, 20, 50, 100)


def draw(results: Results) -> dict[str, Figure]:
    """Cost, exactness, top-k scores, the (a, b) grid if there is one, and the losses themselves."""
    words = results.tables["words"]
    figures = {
        "cost": _cost(results.tables["costs"]),
        "words": _words(words),
        "exactness": _exactness(results.tables["exactness"]),
        "shapes": _shapes(results.tables["shapes"]),
    }
    if sum(str(name).startswith("Z-loss") for name in words["loss"].unique()) > 3:
        figures["grid"] = _grid(words)
    return figures


def _cost(table: pd.DataFrame) -> Figure:
    figure, (seconds, ratio) = panels(2, width=4.6)
    names = ["factored", *sorted(set(table["layer"]) - {"factored"}, reverse=True)]
    for name, colour in zip(names, COLOURS, strict=False):
        rows = table[table["layer"] == name].assign(milliseconds=lambda t: 1e3 * t["seconds"])
        intervals(seconds, rows, "classes", "milliseconds", label=_layer_name(name), colour=colour)
        if name != "factored":
            base = table[table["layer"] == "factored"].set_index(["replicate", "classes"])["seconds"]
            rows = rows.set_index(["replicate", "classes"])
            rows = rows.assign(ratio=rows["seconds"] / base).reset_index()
            intervals(ratio, rows, "classes", "ratio", label=_layer_name(name), colour=colour)
    for ax in (seconds, ratio):
        ax.set(xscale="log", yscale="log", xlabel="number of classes D")
    seconds.set(ylabel="milliseconds per training step", title="The factored step does not see D")
    ratio.set(ylabel="time over that of the factored step", title="What the other layers cost")
    reference_line(ratio, 1.0, "equal")
    seconds.legend(fontsize=8)
    return figure


def _layer_name(name: str) -> str:
    return "factored, Z-loss" if name == "factored" else name


def _words(table: pd.DataFrame) -> Figure:
    figure, (share, gain) = panels(2, width=5.0, height=3.8)
    chosen = pd.concat([_at_best_rate(table, k) for k in _KS])
    named = [n for n in chosen["loss"].unique() if not n.startswith("softmax,")]
    z_names = [n for n in named if n.startswith("Z-loss")]
    if len(z_names) > 3:
        named = [n for n in named if n not in z_names or n in (_LARGE_B, _ZERO_B)]
    softmax = chosen[chosen["loss"] == "softmax"].set_index(["replicate", "k"])["score"]
    for name, colour in zip(["softmax", *(n for n in named if n != "softmax")], COLOURS, strict=False):
        rows = chosen[chosen["loss"] == name]
        intervals(share, rows, "k", "score", label=name, colour=colour)
        if name != "softmax":
            difference = rows.set_index(["replicate", "k"])["score"] - softmax
            intervals(gain, difference.rename("gain").reset_index(), "k", "gain", label=name, colour=colour)
    frequent = table[table["loss"] == "most frequent words"]
    shares = [frequent[f"test_top{k}"].mean() for k in _KS]
    share.plot(_KS, shares, color="#888888", linewidth=1, linestyle="--", label="most frequent words")
    for ax in (share, gain):
        _k_axis(ax)
    share.set(
        ylabel="share of next words among the top k",
        title="The Z-loss in its family …",
        ylim=(0, 1.05),
    )
    share.legend(fontsize=8, loc="upper left", ncols=2)
    gain.set(ylabel="share less that of softmax", title="… and against softmax")
    reference_line(gain, 0.0, "softmax")
    return figure


_LARGE_B, _ZERO_B = "Z-loss, a = 0.1, b for k = 1", "Z-loss, a = 1, b = 0"


def _at_best_rate(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """Test scores at the learning rate with the best mean validation score for this k."""
    trained = table[table["rate"].notna()]
    means = trained.groupby(["loss", "rate"])[f"valid_top{k}"].mean()
    best = means.loc[means.groupby("loss").idxmax()].reset_index()[["loss", "rate"]]
    return trained.merge(best, on=["loss", "rate"]).assign(k=k, score=lambda t: t[f"test_top{k}"])


def _exactness(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=7.2, height=3.0)
    names = list(dict.fromkeys(table["condition"]))[::-1]
    rows = table.groupby("condition")[["weights", "hidden_gradient"]].max().clip(1e-17, 1e6)
    for column, marker, colour, apart, label in (
        ("weights", "o", COLOURS[0], 0.12, "weights"), ("hidden_gradient", "s", COLOURS[1], -0.12, "hidden gradient"),
    ):  # fmt: skip
        ax.plot(rows.loc[names, column], np.arange(len(names)) + apart, marker, color=colour, label=label)
    ax.axvline(1e-10, color="#888888", linewidth=1, linestyle="--", zorder=0)
    ax.annotate(
        "1e-10", (1e-10, len(names) - 0.6), fontsize=8, color="#666666", xytext=(3, 0), textcoords="offset points"
    )
    ax.set_yticks(range(len(names)), names)
    ax.set(
        xscale="log", xlim=(3e-18, 1e7), ylim=(-0.6, len(names) - 0.2),
        xlabel="largest relative deviation (drawn up to 1e6)",
        title="Factored steps are the explicit layer's steps",
    )  # fmt: skip
    ax.legend(loc="lower left", fontsize=8)
    return figure


def _shapes(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.4, height=3.6)
    for (name, rows), colour in zip(table.groupby("loss", sort=False), COLOURS, strict=False):
        ax.plot(rows["target_score"], rows["value"], color=colour, label=str(name))
    ax.set(
        xlabel="score of the target (others standard normal)", ylabel="loss",
        title="The two softmax alternatives reward very negative scores",
    )  # fmt: skip
    ax.legend(fontsize=8)
    return figure


def _grid(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, k in zip(axes, (1, 100), strict=True):
        scores = _at_best_rate(table, k)
        scores = scores[scores["loss"].str.startswith("Z-loss")]
        a, b = (scores["loss"].str.extract(pattern)[0] for pattern in (r"a = ([\d.]+)", r"(b .*)$"))
        wide = scores.assign(a=a.astype(float), b=b).groupby(["b", "a"])["score"].mean().unstack("a")
        image = ax.imshow(wide.to_numpy(), cmap="viridis", aspect="auto")
        for i, j in np.ndindex(*wide.shape):
            ax.text(j, i, f"{wide.iloc[i, j]:.3f}", ha="center", va="center", color="white", fontsize=9)
        ax.set_xticks(range(wide.shape[1]), [f"{value:g}" for value in wide.columns])
        ax.set_yticks(range(wide.shape[0]), list(wide.index))
        ax.set(xlabel="a", title=f"top-{k} accuracy")
        ax.grid(visible=False)
        figure.colorbar(image, ax=ax)
    return figure


def _k_axis(ax: Axes) -> None:
    ax.set(xscale="log", xlabel="k")
    ax.xaxis.set_major_locator(FixedLocator(list(_KS)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(ScalarFormatter())
