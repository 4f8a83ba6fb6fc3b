"""Figures of robust matrix recovery by the sub-gradient method from a small start."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results, statistics
from simulations.optimization.robust_matrix_recovery import best_over_steps

CAPTION = (
    "Errors are |UU' − X*| in the Frobenius norm, with |X*| = √3 in the base problem; r is the true rank, r' the rank "
    "guessed. Paths show every replicate, thin, and their geometric mean; points are means over replicates, geometric "
    "for errors, with 95 % intervals. Least squares is shown at the step size with the least error at its best "
    "iterate. The searched deviation is a lower bound of the uniform Sign-RIP constant."
)


def draw(results: Results) -> dict[str, Figure]:
    """Speed, floors, outliers, dense noise, sample sizes, Sign-RIP, and what does not matter."""
    tables, arrays = results.tables, results.arrays
    return {
        "speed": _speed(arrays["speed"]),
        "outliers": _outliers(tables["outliers"], arrays["outliers"]),
        "initialization": _initialization(tables["initialization"]),
        "samples": _samples(tables["samples"]),
        "dense": _dense(tables["dense"], arrays["dense"]),
        "sign_rip": _sign_rip(tables["sign_rip"], tables["uniform"]),
        "robustness": _robustness(tables["magnitude"], tables["conditioning"]),
    }


def _paths(ax, paths: list[np.ndarray], colour: str, label: str, style: str = "-") -> None:
    """Each replicate, and the geometric mean over the steps that all of them took."""
    for path in paths:
        ax.plot(np.arange(1, len(path) + 1), path, style, color=colour, linewidth=0.6, alpha=0.35)
    length = min(map(len, paths))
    if length:
        mean = np.exp(np.mean([np.log(np.maximum(path[:length], 1e-20)) for path in paths], axis=0))
        ax.plot(np.arange(1, length + 1), mean, style, color=colour, label=label)


def _speed(arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, axes = panels(2)
    looks = {
        "small full": (COLOURS[0], "small start, r' = d", "-"),
        "small exact": (COLOURS[5], "small start, r' = r", "--"),
        "large full": (COLOURS[1], "large start, r' = d", "-"),
        "large exact": (COLOURS[4], "large start, r' = r", "--"),
    }
    for ax in axes:
        for name, (colour, label, style) in looks.items():
            _paths(ax, [each[name] for each in arrays], colour, label, style)
    steps = len(arrays[0]["large full"])
    axes[0].set(yscale="log", xlim=(0, min(300, steps)), ylim=(1e-11, 10), xlabel="step t", ylabel="error")
    axes[0].set_title("No noise: a small start is linear for any rank")
    axes[1].set(xscale="log", yscale="log", ylim=(1e-3, 10), xlabel="step t", ylabel="error")
    axes[1].set_title("A large start with r' = d falls like 1/t")
    t = np.array([steps / 12, steps])
    late = np.mean([each["large full"][-1] for each in arrays])
    axes[1].plot(t, 2.2 * late * steps / t, color="#888888", linestyle="--", linewidth=1, label="1/t")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def _outliers(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    fractions = sorted(table["p"].unique())
    figure, axes = panels(len(fractions))
    chosen = best_over_steps(table[(table["guess"] == "full") & (table["r"] == table["r"].iloc[0])])
    for ax, p in zip(axes, fractions, strict=True):
        for method, colour, name in (("l1", COLOURS[0], "l1 loss"), ("l2", COLOURS[1], "least squares")):
            eta = chosen.loc[(chosen["p"] == p) & (chosen["method"] == method), "eta"].iloc[0]
            label = name if method == "l1" else f"{name}, best step {eta:g}"
            _paths(ax, [each[f"{method} p={p:g} eta={eta:g}"] for each in arrays], colour, label)
        ax.set(yscale="log", xlabel="step t", ylabel="error", title=f"{p:.0%} outliers, r' = d: only l1 arrives")
        ax.legend(loc="lower left")
    return figure


def _initialization(table: pd.DataFrame) -> Figure:
    fractions = sorted(table["p"].unique())
    figure, axes = panels(len(fractions))
    for ax, p in zip(axes, fractions, strict=True):
        rows = table[table["p"] == p]
        for guess, colour, marker, label in (("full", COLOURS[0], "o", "r' = d"), ("exact", COLOURS[1], "s", "r' = r")):
            _log_intervals(ax, rows[rows["guess"] == guess], "alpha", "floor", label, colour, marker)
        alphas = np.array([rows["alpha"].min(), rows["alpha"].max()])
        ax.plot(alphas, alphas / 3, color="#888888", linestyle="--", linewidth=1, zorder=0, label="slope 1")
        ax.set(
            xscale="log", yscale="log", xlabel="size of the start α", ylabel="least error over all steps",
            title=f"{p:.0%} outliers: the start sets the error",
        )  # fmt: skip
        ax.legend(loc="upper left")
    return figure


def _samples(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.4, height=3.0)
    ranks, sizes = sorted(table["rank"].unique()), sorted(table["m"].unique())
    conditions = [("small", rank) for rank in ranks] + [("large", ranks[-1])]
    indexed = table.set_index(["start", "rank", "m"])["success"].sort_index()
    successes = [[indexed.loc[[(*condition, m)]].to_numpy(dtype=bool) for m in sizes] for condition in conditions]
    share = np.array([[each.mean() for each in row] for row in successes])
    ax.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(successes):
        for j, each in enumerate(row):
            colour = "black" if share[i, j] > 0.5 else "white"
            ax.text(j, i, f"{each.sum()}/{len(each)}", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(sizes)), [str(m) for m in sizes])
    ax.set_yticks(range(len(conditions)), [f"r' = {rank}, {start} start" for start, rank in conditions])
    ax.grid(visible=False)
    ax.set(xlabel="measurements m", title="The start matters, the rank guessed hardly does")
    return figure


def _dense(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    sizes = sorted(table["m"].unique())
    figure, (left, right) = panels(2)
    for m, colour in zip(sizes, COLOURS, strict=False):
        _paths(left, [each[f"loss {m}"] for each in arrays], colour, f"m = {m}")
        _paths(right, [each[f"error {m}"] for each in arrays], colour, f"m = {m}")
        truth = table.loc[table["m"] == m, "loss_of_truth"].mean()
        left.axhline(truth, color=colour, linestyle=":", linewidth=1.2, zorder=0)
    low = table["loss"].min()
    left.set(ylim=(low - 0.05, low + 0.4), xlabel="step t", ylabel="loss f(U)")
    left.set_title("Noise everywhere: below the truth's loss (dotted)")
    right.set(yscale="log", xlabel="step t", ylabel="error", title="… and yet near it, nearer with more data")
    for ax in (left, right):
        ax.legend(loc="upper right")
    return figure


def _sign_rip(random: pd.DataFrame, uniform: pd.DataFrame) -> Figure:
    fractions = sorted(random["p"].unique())
    figure, axes = panels(len(fractions))
    for ax, p in zip(axes, fractions, strict=True):
        rows = random[random["p"] == p]
        gaussian, entries = (rows[rows["ensemble"] == name] for name in ("Gaussian", "entries"))
        intervals(ax, gaussian, "m", "deviation", label="Gaussian, random X", colour=COLOURS[0])
        searched = uniform[uniform["p"] == p]
        intervals(ax, searched, "m", "searched", label="Gaussian, worst X found", colour=COLOURS[1], marker="s")
        intervals(ax, entries, "m", "deviation", label="sampled entries", colour=COLOURS[2], marker="^")
        m = np.array([gaussian["m"].min(), gaussian["m"].max()], dtype=float)
        middle = gaussian.loc[gaussian["m"] == m[0], "deviation"].mean()
        ax.plot(m, 0.6 * middle * (m / m[0]) ** -0.5, "--", color="#888888", linewidth=1, zorder=0, label="slope −1/2")
        title = f"{p:.0%} outliers: only a constant is lost" if p else "No noise: deviations fall like m^(−1/2)"
        ax.set(xscale="log", yscale="log", xlabel="measurements m", ylabel="deviation / φ", title=title)
        ax.set_ylim(0.025, 1.6)
        ax.legend(loc="lower left", fontsize=7)
    return figure


def _robustness(magnitude: pd.DataFrame, conditioning: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    left.plot(magnitude["factor"], magnitude["final"], "o", color=COLOURS[5], markersize=3, label="replicates")
    _log_intervals(left, magnitude, "factor", "final", "geometric mean", COLOURS[0], "_")
    left.set(xscale="log", yscale="log", ylim=(1e-8, 1e-3), xlabel="outliers multiplied by", ylabel="last error")
    left.set_title("The size of outliers does not matter")
    left.legend(loc="upper right")
    places = {"fixed": 0, "stretched": 1}
    for (kappa, rows), colour, marker in zip(conditioning.groupby("kappa"), COLOURS, "os^", strict=False):
        right.plot(rows["steps"].map(places), rows["final"], marker, color=colour, label=f"κ = {kappa:g}", alpha=0.7)
    right.set_xticks([0, 1], ["steps as for κ = 1", "κ times as many"])
    right.set(yscale="log", xlim=(-0.5, 1.5), ylabel="last error", title="κ asks for κ times as many steps")
    right.legend(loc="upper right")
    return figure


def _log_intervals(ax, table: pd.DataFrame, x: str, y: str, label: str, colour: str, marker: str) -> None:
    """Geometric means over replicates with the 95 % intervals of the logarithms."""
    by_x = table.assign(log=np.log(table[y])).groupby(x)["log"]
    points = sorted(table[x].unique())
    estimates = [statistics.interval(by_x.get_group(point)) for point in points]
    low, mean, high = (np.exp([getattr(each, name) for each in estimates]) for name in ("low", "mean", "high"))
    ends = [mean - low, high - mean] if np.isfinite(high).all() else None
    ax.errorbar(points, mean, yerr=ends, color=colour, marker=marker, label=label)
