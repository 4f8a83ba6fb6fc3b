"""Figures of the tester-learner for halfspaces."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from theory.learning.localized_moments import StronglyLogConcave

CAPTION = (
    "A bound below eps is accepted. Left to right: certified bounds fall with N, those of kind marginals first; narrow "
    "strips bias less and are noisier; acceptance per marginal with exact binomial 95 % intervals. Every bound below 1 "
    "lies above the true excess error, also where the search, which may choose the law, tries to break it; what a "
    "Gaussian would allow, untested, does not. Error under adversarial labels is over the exact optimum in the plane."
)


def draw(results: Results) -> dict[str, Figure]:
    """Bounds over N and width, acceptance, truth against bound, search, adversaries and cost."""
    tables = results.tables
    return {
        "bounds": _bounds(tables["rate"]),
        "acceptance": _acceptance(tables["acceptance"]),
        "soundness": _soundness(tables["soundness"], tables["search"]),
        "adversarial": _adversarial(tables["adversarial"]),
        "cost": _cost(tables["cost"]),
    }


def _bounds(table: pd.DataFrame) -> Figure:
    figure, (left, middle, right) = panels(3, width=4.0)
    for marginal, colour in zip(table["marginal"].unique(), COLOURS, strict=False):
        rows = table[table["marginal"] == marginal]
        best = rows.groupby(["replicate", "samples"])[["bound", "angle"]].min().reset_index()
        intervals(left, best, "samples", "bound", label=marginal, colour=colour)
        largest = rows[rows["samples"] == rows["samples"].max()]
        widths = largest.assign(sigma=largest.groupby("width")["sigma"].transform("mean"))
        intervals(middle, widths, "sigma", "angle", label=marginal, colour=colour)
    intervals(middle, widths, "sigma", "true_angle", label="true angle", colour=COLOURS[6], marker="s")
    reference_line(left, 0.25, "accept below eps = 0.25")
    left.set(
        xscale="log", xlabel="samples N", ylabel="certified excess error", ylim=(0, None), title="Bounds fall with N"
    )
    left.legend()
    middle.set(
        xscale="log", yscale="log", xlabel="width sigma of the strip", ylabel="angle (radians)",
        title=f"Bias against noise, N = {table['samples'].max():,}",
    )  # fmt: skip
    middle.set_ylim(1e-5, 3)
    middle.legend(loc="lower right", fontsize=7)
    sigma = np.geomspace(1e-3, 0.3, 100)
    for (gamma, beta), colour in zip(((1.0, 1.0), (1.0, 1.25), (1.0, 2.0)), COLOURS, strict=False):
        promise = [StronglyLogConcave(gamma, beta).promised_excess(s, 0.02, 0.2) for s in sigma]
        right.plot(sigma, promise, color=colour, label=f"Hessian in [{gamma:g}, {beta:g}]")
    right.set(
        xscale="log", xlabel="width sigma of the strip", ylabel="promised excess error", ylim=(0, 1.03),
        title="Promises before any data, by target",
    )  # fmt: skip
    right.legend()
    return figure


def _acceptance(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=5.4, height=3.6)
    names = list(table["marginal"].unique())
    for column, apart, colour, label in (
        ("accepted", 0.14, COLOURS[0], "tester-learner"), ("match", -0.14, COLOURS[1], "all moments up to degree 4"),
    ):  # fmt: skip
        for place, name in enumerate(names):
            runs = table.loc[table["marginal"] == name, column]
            share = runs.mean()
            ends = stats.binomtest(int(runs.sum()), len(runs)).proportion_ci(0.95)
            left.errorbar(
                share, place + apart, xerr=[[max(share - ends.low, 0)], [max(ends.high - share, 0)]],
                color=colour, fmt="o", label=label if place == 0 else None,
            )  # fmt: skip
    left.set_yticks(range(len(names)), names)
    left.set(xlim=(-0.04, 1.04), xlabel="share of samples accepted", title="Kind marginals pass, with their labels")
    left.invert_yaxis()
    left.legend(loc="lower right", fontsize=7)
    for place, name in enumerate(names):
        rows = table[table["marginal"] == name]
        right.plot(
            rows["bound"],
            np.full(len(rows), place),
            "o",
            color=COLOURS[0],
            alpha=0.5,
            label="bound" if not place else "",
        )
        right.plot(
            np.maximum(rows["true_excess"], 1e-5), np.full(len(rows), place), "x", color=COLOURS[1], alpha=0.6,
            label="true excess (0 is drawn at 10⁻⁵)" if not place else "",
        )  # fmt: skip
    right.axvline(0.25, color="#888888", linewidth=1, linestyle="--", zorder=0)
    right.set_yticks(range(len(names)), [])
    right.set(xscale="log", xlabel="excess error (dashed: eps)", title="The truth is always below the bound")
    right.invert_yaxis()
    right.legend(loc="lower left", fontsize=7)
    right.set_xlim(5e-6, 2)
    return figure


def _soundness(table: pd.DataFrame, search: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=4.6, height=3.8)
    certified = table[table["certificates"] > 0]
    for name, colour, marker in zip(certified["marginal"].unique(), COLOURS, "osD^vP*", strict=False):
        rows = certified[certified["marginal"] == name]
        left.plot(
            rows["bound"],
            np.maximum(rows["true_excess"], 1e-5),
            marker,
            color=colour,
            alpha=0.6,
            markersize=4,
            label=name,
        )
    line = np.geomspace(1e-2, 1, 50)
    left.plot(line, line, color="#888888", linestyle="--")
    left.set(
        xscale="log", yscale="log", xlabel="certified bound", ylabel="true excess error",
        title=f"{len(certified)} runs with a bound: none fails",
    )  # fmt: skip
    if int((certified["failures"] > 0).sum()):
        left.set_title(f"{int((certified['failures'] > 0).sum())} of {len(certified)} runs have a failing bound")
    left.legend(fontsize=7, loc="lower right")
    plain = search[search["aim"] == "plain descent"]
    kinds = [
        ("certificate,\nbound below 1", search.loc[search["aim"] == "certificate"].assign(value=lambda t: t["ratio"])),
        ("bound where\ndescent is worst", plain.assign(value=plain["true_excess"] / plain["bound"])),
        ("Gaussian promise,\nuntested", plain.assign(value=plain["plain_excess"] / plain["promise"])),
    ]
    for place, (_, rows) in enumerate(kinds):
        for eta, colour, apart in ((0.1, COLOURS[0], -0.08), (0.45, COLOURS[1], 0.08)):
            chosen = rows[rows["eta"] == eta].assign(place=place + apart)
            if len(chosen):
                right.plot(chosen["place"], chosen["value"], ".", color=colour, alpha=0.5)
                intervals(
                    right, chosen, "place", "value", colour=colour, label=f"noise up to {eta:g}" if place == 1 else ""
                )
    reference_line(right, 1.0, "above: broken")
    right.set_xticks(range(len(kinds)), [name for name, _ in kinds], fontsize=8)
    right.set(
        xlim=(-0.5, 2.5), ylim=(0, None), ylabel="true excess over what was allowed",
        title="Searched laws break trust, not certificates",
    )  # fmt: skip
    right.legend(loc="upper left")
    return figure


def _adversarial(table: pd.DataFrame) -> Figure:
    patterns = list(table["pattern"].unique())
    figure, axes = panels(len(patterns), width=3.8)
    rows = table[table["part"] == "learners"].assign(ratio=lambda t: t["error"] / t["opt"])
    for ax, pattern in zip(axes, patterns, strict=True):
        for name, colour, marker in zip(rows["learner"].unique(), COLOURS, "osD^", strict=False):
            chosen = rows[(rows["pattern"] == pattern) & (rows["learner"] == name)]
            intervals(ax, chosen, "share", "ratio", label=name, colour=colour, marker=marker)
        reference_line(ax, 1.0, "optimum")
        ax.set(xlabel="share of labels flipped", ylabel="error / optimum", title=f"Adversary: {pattern}")
    axes[-1].legend(fontsize=7)
    return figure


def _cost(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    for ax, axis, column in ((left, "dim", "seconds_per_width"), (right, "samples", "seconds")):
        rows = table[table["axis"] == axis]
        intervals(ax, rows, axis, column, label="tester-learner", colour=COLOURS[0])
        intervals(ax, rows, axis, "seconds_matching", label="moments up to degree 4", colour=COLOURS[1], marker="s")
        ax.set(xscale="log", yscale="log", ylabel="CPU seconds")
    left.set(xlabel="dimension d", title="One width: polynomial in d")
    right.set(xlabel="samples N", title="All widths: about linear in N")
    left.legend()
    return figure
