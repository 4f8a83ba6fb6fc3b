"""Figures of EnsLoss."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from theory.classification import calibrated_derivatives as calibration
from theory.classification import ensloss as theory

CAPTION = (
    "Random derivatives at the margins of a batch, and what a batch gets on average. psi turns excess 0-1 error into "
    "the least excess of the loss: 0 for the perceptron loss. A tail that falls like 1/z leaves a loss unbounded. "
    "Accuracies are means over replicates with 95 % intervals; every loss has its own learning rate, chosen on "
    "held-out data."
)
_NAMES = {"bce": "BCE", "hinge": "hinge", "exp": "exponential", "EnsLoss": "EnsLoss"}
_BESIDE = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
_COLOURS = dict(zip(_NAMES, (COLOURS[0], COLOURS[2], COLOURS[3], COLOURS[1]), strict=True))


def draw(results: Results) -> dict[str, Figure]:
    """Derivatives, psi and tails, scores of known cells, accuracy over epochs, gains, and gains per real table."""
    high, real = results.tables["high_dimensional"], results.tables["real_tables"]
    return {
        "derivatives": _derivatives(),
        "calibration": _calibration(results.tables["calibration"], results.tables["tails"]),
        "cells": _cells(results.tables["cells"]),
        "epochs": _epochs(high),
        "gains": _gains(high),
        "real_tables": _real(real),
    }


def _derivatives() -> Figure:
    figure, (left, right) = panels(2)
    rng = np.random.default_rng(0)
    margins = np.sort(rng.normal(0.5, 1.2, 40))
    for colour in COLOURS[:4]:
        g = theory.sample_calibrated_derivatives(margins, rng=rng)
        left.plot(margins, g, drawstyle="steps-mid", color=colour, marker=".", markersize=4, linewidth=1)
    grid = np.linspace(margins[0], margins[-1], 200)
    left.plot(grid, calibration.MARGIN_LOSSES["bce"].derivative(grid), color="k", linestyle="--", label="BCE")
    left.set(xlabel="margin y f(x)", ylabel="derivative g", title="Four draws for one batch of 40")
    left.legend(loc="upper left")
    ranks = np.linspace(0.001, 0.999, 400)
    for lam, colour in zip((-0.7, 0.0, 0.7), COLOURS, strict=False):
        right.plot(ranks, theory.limiting_derivative(ranks, lam), color=colour, label=f"λ = {lam:g}")
        average = theory.expected_derivatives(16, lam)
        right.plot((np.arange(16) + 0.5) / 16, average, "o", color=colour, markersize=3)
    right.plot([], [], "ko", markersize=3, label="mean for a batch of 16")
    right.set(
        xlabel="rank of the margin in the batch", ylabel="derivative g", title="Only ranks matter in large batches"
    )
    right.legend(loc="upper left")
    return figure


def _calibration(table: pd.DataFrame, tails: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    styles = {
        "hinge": COLOURS[2], "bce": COLOURS[0], "exp": COLOURS[3], "mixture": COLOURS[1], "perceptron": COLOURS[6],
    }  # fmt: skip
    for name, colour in styles.items():
        rows = table[table["loss"] == name]
        style = "--" if name == "perceptron" else "-"
        left.plot(rows["theta"], rows["psi"], style, color=colour, label=_NAMES.get(name, name))
    left.set(
        xlabel="0-1 excess θ",
        ylabel="least excess of the loss, ψ(θ)",
        title="Mixtures stay calibrated",
        ylim=(-0.02, 1.02),
    )
    left.legend(loc="upper left")
    for (p, rows), colour in zip(
        tails[tails["tail_power"].isin((0.9, 1.0, 1.1, 1.5, 2.0))].groupby("tail_power"), COLOURS, strict=False
    ):
        right.loglog(rows["upper"], rows["integral"], marker="o", color=colour, label=f"p = {p:g}")
    right.set(xlabel="margin z", ylabel="fall of the loss from 1 to z", title="Bounded only for tails z⁻ᵖ with p > 1")
    right.legend(**_BESIDE)
    return figure


def _cells(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    rules = list(table["rule"].unique())
    for k, (rule, colour) in enumerate(zip(rules, COLOURS, strict=False)):
        rows = table[table["rule"] == rule]
        intervals(ax, rows.assign(eta=rows["eta"] + 0.006 * (k - 1.5)), "eta", "score", colour=colour, label=rule)
    ax.set_yscale("symlog", linthresh=1)
    ax.axhline(0, color="#888888", linewidth=1)
    ax.axvline(0.5, color="#888888", linewidth=1)
    ax.set(xlabel="P(y = 1) of the cell", ylabel="score at the end", title="From all wrong signs to all right ones")
    ax.legend(**_BESIDE)
    return figure


def _epochs(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    rows = _smallest(table[table["regulariser"] == "none"])
    for ax, column, what in zip(axes, ("accuracy", "train_accuracy"), ("test", "training"), strict=True):
        for k, (loss, colour) in enumerate(_COLOURS.items()):
            apart = rows[rows["loss"] == loss].assign(epoch=lambda t, k=k: t["epoch"] * (1 + 0.02 * (k - 1.5)))
            intervals(ax, apart, "epoch", column, colour=colour, label=_NAMES[loss])
        ax.set(xlabel="epoch", ylabel=f"{what} accuracy", title=f"More features than samples: {what}")
    axes[1].set_ylim(max(0.5, rows["train_accuracy"].min() - 0.02), 1.01)
    axes[1].legend(loc="lower right")
    return figure


def _smallest(table: pd.DataFrame) -> pd.DataFrame:
    """One number of features and one depth: those that every preset has."""
    table = table[table["features"] == table["features"].min()]
    depths = sorted(table["depth"].unique())
    return table[table["depth"] == depths[len(depths) // 2]]


def _gains(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=7.2)
    ended = _smallest(table[table["epoch"] == table["epoch"].max()])
    comparisons = [
        *((f"less {_NAMES[over]}", "none", over) for over in ("bce", "hinge", "exp")),
        ("less BCE,\nweight decay", "weight decay", "bce"),
        ("less BCE,\ndropout", "dropout", "bce"),
    ]
    for place, (_, regulariser, over) in enumerate(comparisons):
        gains = statistics.paired(ended[ended["regulariser"] == regulariser], "accuracy", "loss", "EnsLoss", over)
        ax.plot(np.full(len(gains), place + 0.15), gains, ".", color="#888888", markersize=5)
        _interval(ax, place, gains, _COLOURS[over])
    ax.set_xticks(range(len(comparisons)), [name for name, *_ in comparisons])
    ax.set_xlim(-0.8, len(comparisons) - 0.5)
    reference_line(ax, 0.0, "equal")
    ax.set(ylabel="accuracy of EnsLoss …", title="More features than samples: EnsLoss against others")
    return figure


def _real(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=5.4, height=3.6)
    ended = table[(table["epoch"] == table["epoch"].max()) & (table["depth"] == table["depth"].min())]
    names = list(dict.fromkeys(ended["table"]))[:6]
    for place, name in enumerate(names):
        rows = ended[ended["table"] == name]
        for k, over in enumerate(("bce", "hinge", "exp")):
            gains = statistics.paired(rows, "accuracy", "loss", "EnsLoss", over)
            _interval(left, place + 0.2 * (k - 1), gains, _COLOURS[over], _NAMES[over] if place == 0 else "")
        _interval(right, place, statistics.paired(rows, "accuracy", "loss", "bce", "hinge"), _COLOURS["bce"])
    for ax in (left, right):
        ax.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], rotation=30, ha="right")
        ax.set_xlim(-0.9, len(names) - 0.5)
        reference_line(ax, 0.0, "equal")
    left.set(ylabel="accuracy of EnsLoss less …", title="Real tables, 30 % of the rows to train on")
    right.set(ylabel="accuracy of BCE less hinge", title="Two fixed losses against each other")
    left.legend(loc="best")
    return figure


def _interval(ax, place: float, values: np.ndarray, colour: str, label: str = "") -> None:
    estimate = statistics.interval(values)
    ends = np.nan_to_num([[estimate.mean - estimate.low], [estimate.high - estimate.mean]], posinf=0.0)
    ax.errorbar([place], [estimate.mean], yerr=ends, fmt="o", color=colour, label=label or None)
