"""Figures of negative preference optimisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.unlearning.forgetting_sweeps import beta_sweep, fraction_sweep, weight_sweep
from simulations.unlearning.forgotten_authors import (
    THRESHOLD,
    WITHOUT_WEIGHT,
    authors_ends,
    authors_paths,
    authors_tuned,
)
from simulations.unlearning.npo import features_at_paper_rates
from theory.unlearning import npo as theory

CAPTION = (
    "Loss and weight of NPO against the log-ratio to the reference; their small-beta limit is gradient ascent (GA). "
    "Divergence in logistic regression for orthogonal rows with the certified bounds: a line for GA, a logarithm for "
    "NPO. Random features: distances to the retrained model along the way, at the paper's learning rates. Tiny "
    "transformers forgetting fictional authors: forget quality (p-value against the retrained model, on a logarithmic "
    "scale), utility and divergence over steps at one learning rate for all; both at the end, at that rate and with "
    "rates chosen on other worlds; over the fraction forgotten, over beta and over the weight of the retain term. "
    "RT and KL are retain terms, W = 1 is NPO without its weight. Bands and bars are 95 % intervals over replicates."
)
_COLOUR = {
    "GA": COLOURS[1], "GA+RT": COLOURS[4], "GA+KL": COLOURS[3], "NPO": COLOURS[5], "NPO+RT": COLOURS[0],
    "NPO+KL": COLOURS[0], WITHOUT_WEIGHT: COLOURS[6], "DPO+RT": COLOURS[2], "IDK+RT": COLOURS[3],
    "SimNPO+RT": COLOURS[2], "original": "#888888", "retrained": "#888888",
}  # fmt: skip
_MARKER = {"NPO+KL": "s", "SimNPO+RT": "s", "GA+KL": "s", "IDK+RT": "^", "original": "x", "retrained": "*"}
_LABEL = {WITHOUT_WEIGHT: "W = 1, RT"}


def draw(results: Results) -> dict[str, Figure]:
    """The loss, its divergence, random features, and language models along the way and at the end."""
    authors = results.tables["authors"]
    figures = {
        "loss": _loss(),
        "divergence": _divergence(results.tables["divergence"], results.arrays["divergence"]),
        "features": _features(results.tables["features"]),
        "paths": _paths(authors),
        "ends": _ends(authors),
    }
    if authors["fraction"].nunique() > 1:
        figures["fractions"] = _fractions(authors)
        figures["sweep"] = _sweep(authors)
    figures["strengths"] = _strengths(authors)
    return figures


def _loss() -> Figure:
    figure, (left, right) = panels(2)
    ratio = np.linspace(-10, 5, 301)
    reference = np.full(1, -20.0)
    for beta, colour in zip((0.1, 0.5, 2.0), (COLOURS[0], COLOURS[2], COLOURS[3]), strict=True):
        values = [theory.npo_loss(reference + r, reference, beta) for r in ratio]
        left.plot(ratio, np.array(values) - 2 / beta * np.log(2), color=colour, label=f"NPO, β = {beta:g}")
        weights = [float(theory.npo_weight(reference + r, reference, beta)[0]) for r in ratio]
        right.plot(ratio, weights, color=colour, label=f"β = {beta:g}")
    left.plot(ratio, ratio, color=COLOURS[1], linestyle="--", label="GA (β → 0)")
    right.axhline(1, color=COLOURS[1], linestyle="--")
    left.set(xlabel="log p − log ref", ylabel="loss less that at the reference", title="NPO is bounded, GA is not")
    right.set(xlabel="log p − log ref", ylabel="weight W", title="What is forgotten no longer pulls", ylim=(0, 2.05))
    left.legend()
    return figure


def _divergence(table: pd.DataFrame, arrays: Sequence[dict[str, np.ndarray]]) -> Figure:
    figure, (left, right) = panels(2)
    rows = table[(table["design"] == "orthogonal") & (table["replicate"] == table["replicate"].min())]
    betas = list(rows["beta"])
    colours = (COLOURS[1], COLOURS[4], COLOURS[0], COLOURS[2], COLOURS[3])
    t, courses = arrays[0]["t"], np.stack([each["orthogonal"] for each in arrays])
    n, eta, r = 20, 1.0, 2.0
    for k, beta in enumerate(betas):
        colour, label = colours[k % len(colours)], f"NPO, β = {beta:g}" if beta else "GA"
        mean = courses[:, k].mean(0)
        left.plot(t, mean, color=colour, label=label)
        if beta:
            scale = theory.npo_log_slope(n, beta)
            right.plot(t, mean / scale, color=colour, label=label)
            bounds = theory.npo_bounds(np.zeros(n), np.full(n, r), eta, beta, t)
            right.fill_between(t, bounds[0] / scale, bounds[1] / scale, color=colour, alpha=0.12, linewidth=0)
    left.set(
        xscale="log", yscale="log", xlabel="step t", ylabel="distance ‖X(θ$_t$ − θ$_0$)‖",
        title="GA runs away, NPO hardly moves",
    )  # fmt: skip
    right.set(
        xscale="log", xlabel="step t", ylabel="distance · β / √n", title="All slopes are 1 per unit of log t",
    )  # fmt: skip
    left.legend(fontsize=7.5)
    right.annotate(
        "shaded: between the bounds\nfor a start at margin 0", (0.03, 0.97), xycoords="axes fraction", va="top",
        fontsize=8, color="#666666",
    )  # fmt: skip
    return figure


def _features(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    rows = features_at_paper_rates(table)
    for method in ("GA", "GA+RT", "NPO", "NPO+RT", "DPO+RT", "IDK+RT"):
        own = rows[rows["method"] == method]
        course = own.groupby("step")[["forget_distance", "retain_distance"]].mean()
        left.plot(
            course["retain_distance"], course["forget_distance"], color=_COLOUR[method],
            marker=_MARKER.get(method, "o"), markersize=3, label=method,
        )  # fmt: skip
        intervals(
            right, own[own["step"] > 0], "step", "retain_distance", label=method, colour=_COLOUR[method],
            marker=_MARKER.get(method, "o"),
        )  # fmt: skip
    left.set(
        xscale="log", yscale="log", xlabel="retain distance (nats)", ylabel="forget distance (nats)",
        title="Paths, at the paper's learning rates",
    )  # fmt: skip
    right.set(yscale="log", xlabel="step", ylabel="retain distance (nats)", title="NPO+RT keeps what is to be kept")
    right.set_ylim(bottom=5e-3)
    left.set_xticks([0.01, 0.03, 0.1, 0.3, 1.0, 3.0], ["0.01", "0.03", "0.1", "0.3", "1", "3"])
    left.set_yticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
    shown = rows.groupby(["method", "step"])[["retain_distance", "forget_distance"]].mean()
    left.set_xlim(shown["retain_distance"].min() / 1.3, shown["retain_distance"].max() * 1.3)
    left.set_ylim(shown["forget_distance"].min() / 1.3, shown["forget_distance"].max() * 1.3)
    left.minorticks_off()
    right.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _paths(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.8)
    paths = authors_paths(table)
    start = paths[paths["method"] == "original"]
    moments = paths.groupby("method")["step"].nunique()
    names = [m for m in ("GA", "GA+RT", "NPO", "NPO+RT", "IDK+RT") if moments.get(m, 0) > 1]
    for method in names:
        own = paths[paths["method"] == method]
        for ax, column in zip(axes, ("log_quality", "utility", "retain_kl"), strict=True):
            course = own if column == "retain_kl" else pd.concat([start, own])
            _band(ax, course, column, method)
    reference_line(axes[0], float(np.log10(THRESHOLD)), "0.05")
    axes[0].set(xlabel="step", ylabel="log₁₀ forget quality", title="Forgotten: above the line")
    axes[1].set(xlabel="step", ylabel="model utility", title="Kept", ylim=(-0.02, 1.0))
    axes[2].set(xlabel="step", ylabel="KL(original ‖ model) per token", title="Divergence", xscale="log", yscale="log")
    steps = sorted(set(paths["step"]) - {0})
    axes[2].set_xticks(steps, [str(step) for step in steps])
    axes[2].minorticks_off()
    axes[2].legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _band(ax: Axes, rows: pd.DataFrame, column: str, method: str) -> None:
    means = rows.groupby(["step", "replicate"])[column].mean()
    steps = sorted(rows["step"].unique())
    estimates = [statistics.interval(means.loc[step]) for step in steps]
    if all(np.isfinite(e.low) for e in estimates):
        low, high = np.array([[e.low, e.high] for e in estimates]).T
        floor = 0.3 * min(e.mean for e in estimates) if column == "retain_kl" else -np.inf
        ax.fill_between(steps, np.maximum(low, floor), high, color=_COLOUR[method], alpha=0.15, linewidth=0)
    ax.plot(
        steps, [e.mean for e in estimates], color=_COLOUR[method], label=_LABEL.get(method, method), linewidth=1.4,
        marker=_MARKER.get(method, "o"), markersize=3,
    )  # fmt: skip


def _ends(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=4.8)
    tuned = authors_tuned(table)
    tuned = tuned.assign(log_quality=np.log10(np.maximum(tuned["forget_quality"], 1e-16)))
    ends = authors_ends(table)
    for ax, rows in ((left, ends[ends["method"].isin(_COLOUR)]), (right, tuned)):
        for method, own in rows.groupby("method", sort=True):
            name = str(method)
            _cross(ax, own, _COLOUR[name], _MARKER.get(name, "o"), _LABEL.get(name, name))
        reference_line(ax, float(np.log10(THRESHOLD)), "")
        ax.set(xlabel="model utility", ylabel="log₁₀ forget quality", xlim=(-0.05, 1.02))
        ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    left.set(title="At the end, one learning rate for all")
    right.set(title="At the end, rates chosen on other worlds")
    return figure


def _cross(ax: Axes, rows: pd.DataFrame, colour: str, marker: str, label: str | None) -> tuple[float, float]:
    """Mean utility and log forget quality with the intervals of both."""
    x, y = (statistics.interval(rows[column]) for column in ("utility", "log_quality"))
    spread = [[[max(e.mean - e.low, 0)], [max(e.high - e.mean, 0)]] for e in (x, y)]
    finite = np.isfinite(spread).all()
    ax.errorbar(
        x.mean, y.mean, xerr=spread[0] if finite else None, yerr=spread[1] if finite else None, color=colour,
        marker=marker, markersize=6, linestyle="none", elinewidth=0.8, label=label,
    )  # fmt: skip
    return x.mean, y.mean


def _sweep(table: pd.DataFrame) -> Figure:
    rows = fraction_sweep(table)
    fractions = sorted(rows["fraction"].unique())
    figure, axes = panels(len(fractions), width=3.4)
    for ax, fraction in zip(axes, fractions, strict=True):
        own = rows[rows["fraction"] == fraction]
        paths = authors_paths(table, fraction)
        for name in ("original", "retrained"):
            _cross(ax, paths[paths["method"] == name], _COLOUR[name], _MARKER[name], name)
        for method, each in own.groupby("method", sort=True):
            rate = each["chosen_rate"].iloc[0]
            _cross(ax, each, _COLOUR[str(method)], _MARKER.get(str(method), "o"), f"{method}, rate {rate:g}")
        reference_line(ax, float(np.log10(THRESHOLD)), "")
        ax.set(xlabel="model utility", title=f"{fraction:.0%} forgotten", xlim=(-0.05, 1.02), ylim=(-18, 1))
    axes[0].set(ylabel="log₁₀ forget quality")
    axes[-1].legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _strengths(table: pd.DataFrame) -> Figure:
    figure, axes = panels(4, width=3.2)
    beta, weight = beta_sweep(table), weight_sweep(table)
    limit = beta[beta["level"] == 0]
    beta = beta[beta["level"] > 0]
    for ax, rows, column in (
        (axes[0], beta, "log_quality"), (axes[1], beta, "log_kl"), (axes[2], weight, "log_quality"),
        (axes[3], weight, "utility"),
    ):  # fmt: skip
        rows = rows.assign(log_kl=np.log10(np.maximum(rows["retain_kl"], 1e-16)))
        intervals(ax, rows, "level", column, label="NPO+RT", colour=_COLOUR["NPO+RT"], marker="o")
    for ax, value in ((axes[0], limit["log_quality"]), (axes[1], np.log10(limit["retain_kl"]))):
        end = statistics.interval(value)
        ax.axhline(end.mean, color=_COLOUR[WITHOUT_WEIGHT], linestyle="--", label="W = 1, RT (β → 0)")
        if np.isfinite(end.low):
            ax.axhspan(end.low, end.high, color=_COLOUR[WITHOUT_WEIGHT], alpha=0.12, linewidth=0)
    for ax in (axes[0], axes[2]):
        ax.axhline(float(np.log10(THRESHOLD)), color="#888888", linestyle=":", linewidth=1)
        ax.set(ylabel="log₁₀ forget quality")
    for ax in axes[:2]:
        levels = sorted(beta["level"].unique())
        ax.set(xscale="log", xlabel="β")
        ax.set_xticks(levels, [f"{level:g}" for level in levels])
        ax.minorticks_off()
    for ax in axes[2:]:
        ax.set(xlabel="weight of the retain term (0: NPO alone)", xticks=sorted(weight["level"].unique()))
    axes[0].set(title="A large β hardly forgets")
    axes[1].set(ylabel="log₁₀ KL(original ‖ model)", title="As β falls: ascent without weight")
    axes[1].legend(fontsize=7.5)
    axes[2].set(title="Forgetting against the retain term")
    axes[3].set(ylabel="model utility", title="Its weight keeps utility", ylim=(-0.03, 1.0))
    return figure


def _fractions(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    fractions = sorted(table["fraction"].unique())
    rows = pd.concat([authors_paths(table, fraction) for fraction in fractions])
    rows = rows[rows["step"] > 0]
    swept = set.intersection(*(set(own["method"]) for _, own in rows.groupby("fraction")))
    best = rows.groupby(["replicate", "fraction", "method"])[["usable"]].max().reset_index()
    last = rows[rows["step"] == rows["step"].max()]
    for method in [m for m in _COLOUR if m in swept]:
        style = {"label": _LABEL.get(method, method), "colour": _COLOUR[method], "marker": _MARKER.get(method, "o")}
        intervals(left, best[best["method"] == method], "fraction", "usable", **style)
        intervals(right, last[last["method"] == method], "fraction", "log_quality", **style)
    reference_line(right, float(np.log10(THRESHOLD)), "")
    left.set(
        xlabel="fraction forgotten", ylabel="best utility of a step that has forgotten",
        title="Utility that is left once forgotten", ylim=(-0.03, 1.0),
    )  # fmt: skip
    right.set(xlabel="fraction forgotten", ylabel="log₁₀ forget quality", title="Forget quality at the last step")
    right.legend(fontsize=7.5, loc="lower left")
    for ax in (left, right):
        ax.set_xticks(fractions)
    return figure
