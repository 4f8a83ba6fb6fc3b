"""One style for all figures: colours that colour-blind readers can tell apart, and intervals on what is random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes

from simulations import statistics

__all__ = ["COLOURS", "house_style", "intervals", "panels", "reference_line"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, in the order that figures use it."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw without a screen and in the house's style."""
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        with pyplot.style.context(Path(__file__).with_name("lemmata.mplstyle")):
            yield
    finally:
        matplotlib.use(backend)


def panels(count: int, *, width: float = 4.2, height: float = 3.2):
    """A figure with ``count`` axes side by side, as (figure, sequence of axes)."""
    figure, axes = pyplot.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def intervals(
    ax: Axes, table: pd.DataFrame, x: str, y: str, *, label: str = "", colour: str | None = None, marker: str = "o"
) -> None:
    """Means over replicates of ``y`` at every ``x``, with their 95 % intervals, joined by a line."""
    by_replicate = table.groupby([x, "replicate"])[y].mean()
    points: Sequence = sorted(by_replicate.index.unique(level=x))
    estimates = [statistics.interval(by_replicate.loc[point]) for point in points]
    means = np.array([e.mean for e in estimates])
    ends = np.array([[e.low, e.high] for e in estimates])
    ends = np.where(np.isfinite(ends), ends, means[:, None])
    ax.errorbar(
        points, means, yerr=[means - ends[:, 0], ends[:, 1] - means], label=label or None, color=colour, marker=marker
    )


def reference_line(ax: Axes, value: float, text: str) -> None:
    """A light horizontal line for a threshold, a chance level or the paper's own number."""
    ax.axhline(value, color="#888888", linewidth=1, linestyle="--", zorder=0)
    ax.annotate(
        text, (0, value), xycoords=("axes fraction", "data"), xytext=(4, 2), textcoords="offset points",
        ha="left", va="bottom", fontsize=8, color="#666666",
    )  # fmt: skip
