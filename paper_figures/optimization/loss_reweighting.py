"""Figures of loss-based sample reweighting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.optimization.loss_reweighting import REWEIGHTED, SHUFFLED, tuned
from theory.optimization import loss_reweighting as theory

CAPTION = (
    "M w against the normalised loss, and the largest weight that a batch can have: r = 1/log 2 is where 2/M becomes "
    "certain. The regression of the paper at one common step size, four fifths of its samples redundant; delta is what "
    "a step's weights take off the convergence bound. Tiny transformers on text whose redundancy is known: every "
    "strategy with as many settings, chosen by the mean over replicates on held-out text; shuffled weights are the "
    "control. Bands and bars are 95 % intervals over replicates."
)
_NAMES = {
    "linupper": "LinUpper", "quadratic": "Quadratic", "uniform": "equal weights", "extremes": "Extremes",
    "upper": "Upper (KL-DRO)", SHUFFLED: "LinUpper, shuffled",
}  # fmt: skip
_COLOUR = dict(zip(_NAMES, COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Shapes of the weights, the regression with its correction, and the language model."""
    return {
        "weights": _weights(),
        "regression": _regression(results.tables["regression"], results.arrays["regression"]),
        "noise": _noise(results.tables["regression"]),
        "language": _language(results.tables["language"], results.arrays["language"]),
    }


def _weights() -> Figure:
    figure, (left, right) = panels(2)
    h = np.linspace(-1, 1, 401)
    for strategy in ("uniform", *REWEIGHTED):
        w = np.exp(theory.strategy_score(h, strategy))
        left.plot(h, w / w.mean(), color=_COLOUR[strategy], label=_NAMES[strategy])
    left.set(
        xlabel="normalised loss h",
        ylabel="M w, evenly spread losses",
        title="What each strategy favours, r = 1",
        ylim=(0.4, 2.1),
    )
    left.legend(fontsize=7.5, ncols=2, loc="upper center")
    temperatures = np.geomspace(0.2, 10, 200)
    for size, colour in zip((4, 16, 256), COLOURS[:3], strict=True):
        largest = [size * theory.weight_bounds(size, float(r))[1] for r in temperatures]
        right.plot(temperatures, largest, color=colour, label=f"M = {size}")
    right.axvline(1 / np.log(2), color="#888888", linewidth=1, linestyle=":", zorder=0)
    right.annotate(
        "1/log 2", (1 / np.log(2), 30), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#666666"
    )
    reference_line(right, 2.0, "")
    right.annotate("2", (0.2, 2), xytext=(2, 3), textcoords="offset points", fontsize=8, color="#666666")
    right.set(
        xscale="log", yscale="log", xlabel="temperature r", ylabel="largest possible M w", ylim=(0.9, 100),
        title="No weight above 2/M from r = 1/log 2 on",
    )  # fmt: skip
    right.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
    right.set_yticks([1, 2, 5, 10, 50], ["1", "2", "5", "10", "50"])
    right.minorticks_off()
    right.legend()
    return figure


def _regression(table: pd.DataFrame, arrays: Sequence[dict[str, np.ndarray]]) -> Figure:
    figure, (left, right) = panels(2)
    # The order of the common setting's rows is that of the arrays.
    at_rate = table[(table["noise"] == 0) & (table["r"] == 1.0) & (table["learning_rate"] == 0.05)]
    names = list(at_rate["strategy"].unique())
    for row, name in enumerate(names):
        if name == "upper":
            continue
        courses = np.stack([each["test"][row] for each in arrays])
        shown = slice(0, min(200, courses.shape[1]))
        _band(left, np.arange(courses.shape[1])[shown], np.log10(np.maximum(courses[:, shown], 1e-12)), name)
        deltas = np.stack([each["delta"][row] for each in arrays])
        smooth = np.apply_along_axis(lambda d: np.convolve(d, np.ones(10) / 10, mode="valid"), 1, deltas[:, :209])
        _band(right, np.arange(smooth.shape[1]), smooth, name)
    first = float(np.log10(np.mean([0.05 * each["test"][0, 0] for each in arrays])))
    reference_line(left, first, "")
    left.annotate(
        "5 % of the first loss",
        (200, first),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
        color="#666666",
        ha="right",
    )
    left.set(xlabel="step", ylabel="log₁₀ test loss", title="LinUpper is first at a common step size", ylim=(-4, None))
    right.set(xlabel="step", ylabel="delta, mean of ten steps", title="What weights take off the bound")
    right.legend(fontsize=7.5)
    return figure


def _band(ax: Axes, x: np.ndarray, courses: np.ndarray, name: str) -> None:
    estimates = [statistics.interval(column) for column in courses.T]
    low, high = np.array([[max(e.low, -1e9), min(e.high, 1e9)] for e in estimates]).T
    if len(courses) > 1:
        ax.fill_between(x, low, high, color=_COLOUR[name], alpha=0.2, linewidth=0)
    ax.plot(x, [e.mean for e in estimates], color=_COLOUR[name], label=_NAMES[name], linewidth=1.4)


def _noise(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    rows = table[(table["noise"] == table["noise"].max()) & (table["learning_rate"] == 0.05)]
    for ax, column, label in (
        (left, "early", "test loss, an eighth of the steps"),
        (right, "final", "test loss at the end"),
    ):
        for name in ("linupper", "quadratic", "extremes"):
            intervals(ax, rows[rows["strategy"] == name], "r", column, label=_NAMES[name], colour=_COLOUR[name])
        uniform = rows.loc[rows["strategy"] == "uniform", column].mean()
        reference_line(ax, uniform, "equal weights")
        ax.set(xscale="log", yscale="log", xlabel="temperature r", ylabel=label)
        ax.set_xticks([0.1, 0.4, 1.0, 2.5], ["0.1", "0.4", "1", "2.5"])
        ax.minorticks_off()
    right.set_yticks([0.003, 0.005, 0.01, 0.02, 0.05], ["0.003", "0.005", "0.01", "0.02", "0.05"])
    left.set(title="Noisy labels: faster early …")
    right.set(title="… and a higher floor for small r")
    left.legend(fontsize=7.5)
    return figure


def _language(table: pd.DataFrame, arrays: Sequence[dict[str, np.ndarray]]) -> Figure:
    figure, (left, right) = panels(2, width=4.8)
    width = int(table["width"].max())
    rows = table[table["width"] == width]
    best = tuned(rows, "held_out", ("width",))
    names = [name for name in _NAMES if name in set(best["strategy"])]
    one = rows[rows["replicate"] == rows["replicate"].min()].reset_index(drop=True)
    for name in names:
        setting = best[best["strategy"] == name].iloc[0]
        same = (
            (one["strategy"] == name) & (one["r"] == setting["r"]) & (one["learning_rate"] == setting["learning_rate"])
        )
        place = int(one.index[same][0])
        courses = np.stack([each[f"test_{width}"][place] for each in arrays])
        _band(left, np.linspace(0, 1, courses.shape[1]), courses, name)
    left.set(
        xlabel="share of training",
        ylabel="test loss, varied text (nats)",
        title="On redundant text, LinUpper learns the rest sooner",
    )
    left.legend(fontsize=7.5)
    for place, name in enumerate(names):
        chosen = best[best["strategy"] == name].assign(place=place)
        setting = "" if name == "uniform" else f"\nr = {chosen['r'].iloc[0]:g}"
        intervals(right, chosen, "place", "varied_share", colour=_COLOUR[name])
        right.annotate(
            f"{_NAMES[name]}{setting}", (place, chosen["varied_share"].mean()), xytext=(0, 9), fontsize=7,
            textcoords="offset points", ha="center",
        )  # fmt: skip
    reference_line(right, 0.2, "share of samples")
    right.set_xticks([])
    right.set(
        xlim=(-0.6, len(names) - 0.4), ylim=(0, 1), ylabel="weight on varied samples",
        title="LinUpper moves weight to what is not yet known",
    )  # fmt: skip
    return figure
