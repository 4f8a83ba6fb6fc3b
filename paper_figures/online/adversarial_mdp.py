"""Figures of refined regret in adversarial MDPs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.online.adversarial_mdp import BOLD, OLD, UNIFORM, Identities, regrets_by_problem
from theory.online import follow_the_regularized_leader as ftrl
from theory.online.regret_growth import regret_slope

CAPTION = (
    "Regret of the log-barrier, of magnitude-reduced estimates, and of the earlier method, on random linear MDPs whose "
    "losses flip in every episode: means over problems with 95 % intervals (problems resampled), slopes in brackets. "
    "Estimates of one instance over all visits; regret of the log-barrier and of entropy over what their bounds "
    "allow, under losses without a lower bound, worst sequences of each replicate; errors of estimated inverse "
    "covariances, means over replicates with 95 % intervals."
)
_NAMES = {
    "logbarrier": "log-barrier",
    "magreduced": "magnitude-reduced",
    OLD: "earlier method",
    BOLD: "earlier method, larger steps",
}
_STYLES = {"logbarrier": (COLOURS[0], "o"), "magreduced": (COLOURS[2], "s"), OLD: (COLOURS[1], "^")}
_STYLES |= {BOLD: (COLOURS[3], "v"), UNIFORM: ("#888888", "x")}


def draw(results: Results) -> dict[str, Figure]:
    """Growth of regret, the cost of actions, what estimates look like, bounds, covariances, tuned methods."""
    return {
        "growth": _growth(results.tables["growth"]),
        "actions": _actions(results.tables["actions"]),
        "estimates": _estimates(results.arrays["identities"][0]),
        "lemma": _lemma(results.tables["lemma"]),
        "covariance": _covariance(results.tables["covariance"]),
        "tuned": _tuned(results.tables["tuned"]),
    }


def _growth(table: pd.DataFrame) -> Figure:
    families = list(table.groupby(["layers", "features", "covariance"]))
    figure, axes = panels(len(families), width=5.6, height=4.0)
    for ax, (family, rows) in zip(axes, families, strict=True):
        for method, (colour, marker) in _STYLES.items():
            _curve(ax, rows, method, colour, marker)
        episodes = np.array(sorted(rows["episodes"].unique()))
        anchor = rows.loc[(rows["method"] == "logbarrier") & (rows["episodes"] == episodes[0]), "regret"].mean()
        for power, text in ((0.5, "K^½"), (2 / 3, "K^⅔")):
            line = 0.8 * anchor * (episodes / episodes[0]) ** power
            ax.plot(episodes, line, color="#888888", linestyle=":", linewidth=1, zorder=0)
            ax.annotate(
                text, (episodes[-1], line[-1]), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#666666",
                va="center",
            )  # fmt: skip
        title = "{} layers, {} features, {} covariance".format(*family)
        ax.set(
            xscale="log", yscale="log", xlabel="episodes K", ylabel="regret",
            title="Regret grows more slowly than with the earlier steps" if len(families) == 1 else title,
        )  # fmt: skip
        _plain_ticks(ax, episodes)
        ax.legend(loc="upper left", fontsize=8)
        ax.set_ylim(None, 3.2 * rows["regret"].groupby([rows["method"], rows["episodes"]]).mean().max())
    return figure


def _curve(ax: Axes, table: pd.DataFrame, method: str, colour: str, marker: str) -> None:
    regrets = regrets_by_problem(table, method)
    episodes, values = regrets.columns.to_numpy(dtype=np.int64), regrets.to_numpy()
    draws = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975], axis=0)
    slope = regret_slope(episodes, values)
    label = f"{_NAMES.get(method, method)} ({slope.slope:.2f} [{slope.low:.2f}, {slope.high:.2f}])"
    ax.plot(episodes, values.mean(axis=0), color=colour, marker=marker, label=label)
    ax.fill_between(episodes, low, high, color=colour, alpha=0.2, linewidth=0)


def _actions(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.2)
    for ax, tuning, title in (
        (axes[0], "fixed", "Actions cost the log-barrier more"), (axes[1], "chosen", "also with tuned learning rates"),
    ):  # fmt: skip
        for method in ("logbarrier", "magreduced"):
            rows = table[(table["method"] == method) & (table["tuning"] == tuning)]
            colour, marker = _STYLES[method]
            intervals(ax, rows, "actions", "regret", label=_NAMES[method], colour=colour, marker=marker)
        ax.set(xscale="log", xlabel="actions A", ylabel="regret", title=title, ylim=(0, None))
        _plain_ticks(ax, sorted(table["actions"].unique()))
        ax.legend(loc="upper left")
    return figure


def _estimates(arrays: dict[str, np.ndarray]) -> Figure:
    """Histogram over all visited and all estimated pairs, weighted by the chance of the visit."""
    figure, (ax,) = panels(1, width=6.0)
    settings = Identities()
    weights = np.repeat(arrays["occupancy"][:, None], arrays["raw"].shape[1], axis=1).ravel() / arrays["raw"].shape[1]
    low, high = min(arrays["raw"].min(), arrays["reduced"].min()), max(arrays["raw"].max(), arrays["reduced"].max())
    bins = np.linspace(low, high, 80)
    for name, label, colour in (
        ("raw", "standard", COLOURS[1]), ("reduced", "magnitude-reduced", COLOURS[2]),
    ):  # fmt: skip
        ax.hist(
            arrays[name].ravel(), bins=list(bins), weights=weights, label=label, color=colour, alpha=0.5,
            histtype="stepfilled",
        )  # fmt: skip
    floor = -settings.horizon / np.sqrt(settings.gamma)
    ax.axvline(floor, color="k", linestyle="--", linewidth=1)
    ax.annotate(
        f"−H/√γ = −{-floor:g}", (floor, 0.9), xycoords=("data", "axes fraction"), xytext=(-4, 0),
        textcoords="offset points", ha="right", fontsize=8,
    )  # fmt: skip
    ax.set(
        yscale="log", xlabel="estimate of Q(s, a); H = 3, γ = 0.01, −H/γ = −300", ylabel="probability per bin",
        ylim=(1e-7, 3), title="The same mean, but no large negative values",
    )  # fmt: skip
    ax.legend(loc="upper right")
    return figure


def _lemma(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.6)
    fuzzed = table[~table["explicit"]]
    columns = (
        ("log_barrier", "log-barrier", COLOURS[0]), ("log_barrier_sharp", "same, sharp constants", COLOURS[5]),
        ("entropy", "entropy", COLOURS[1]), ("entropy_valid", "entropy, ηc ≥ −1", COLOURS[2]),
    )  # fmt: skip
    for k, (column, _, colour) in enumerate(columns):
        worst = fuzzed.groupby("replicate")[column].max()
        axes[0].plot(np.full(len(worst), k), worst, "o", color=colour, markersize=5)
    axes[0].set(
        yscale="log", ylabel="largest regret / bound", title="Entropy exceeds its bound", xlim=(-0.6, 3.6),
    )  # fmt: skip
    axes[0].set_xticks(range(4), ["log-\nbarrier", "sharp\nconstants", "entropy", "entropy,\nηc ≥ −1"])
    axes[0].yaxis.set_minor_locator(NullLocator())
    ticks = [0.1, 0.3, 1, 3, 10, 30]
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].set_ylim(0.1, None)
    reference_line(axes[0], 1.0, "bound")
    surprises = np.linspace(0, 40, 81)
    for name, play, limit, colour in (
        ("entropy", "entropy", ftrl.entropy_bound, COLOURS[1]),
        ("log-barrier", "log_barrier", ftrl.log_barrier_bound, COLOURS[0]),
    ):  # fmt: skip
        regret, bound = [], []
        for surprise in surprises[1:]:
            c = ftrl.entropy_counterexample(surprise=float(surprise))
            p = ftrl.ftrl_plays(c, 1.0, play)
            regret.append(float(ftrl.comparator_regret(p, c)))
            bound.append(float(limit(p, c, 1.0)))
        axes[1].plot(surprises[1:], regret, color=colour, label=f"{name}: regret")
        axes[1].plot(surprises[1:], bound, color=colour, linestyle=":", label=f"{name}: bound")
    axes[1].set(
        xlabel="size of the last, negative loss", ylabel="regret after 1381 rounds, η = 1", ylim=(-1, None),
        title="One surprise is enough",
    )  # fmt: skip
    axes[1].legend(loc="upper left", fontsize=8)
    return figure


def _covariance(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    logs = table.assign(log=np.log10(table["error"]), log_samples=np.log10(table["samples"]))
    for method, label, colour, marker in (
        ("MGR", "matrix geometric resampling", COLOURS[1], "^"),
        ("direct", "inverse, as many samples", COLOURS[0], "o"),
        ("direct, few samples", "inverse, 4 d/γ samples", COLOURS[5], "s"),
    ):  # fmt: skip
        rows = logs[logs["method"] == method]
        intervals(ax, rows, "log_samples", "log", label=label, colour=colour, marker=marker)
    for method, side in (("MGR", 1), ("direct, few samples", -1), ("direct", -1)):
        for gamma, each in logs[logs["method"] == method].groupby("gamma"):
            by_replicate = each.groupby("replicate")["log"].mean()
            estimate = statistics.interval(by_replicate)
            end = estimate.high if side > 0 else estimate.low
            ax.annotate(
                f"γ = {gamma:g}", (each["log_samples"].iloc[0], end), xytext=(-8 if "few" in method else 0, 4 * side),
                textcoords="offset points", fontsize=7, color="#666666", ha="right" if "few" in method else "center",
                va="bottom" if side > 0 else "top",
            )  # fmt: skip
    ax.margins(y=0.15)
    reference_line(ax, np.log10(0.12), "0.12")
    ax.set(
        xlabel="log₁₀ samples", ylabel="log₁₀ relative error of the inverse",
        title="Inverting the sample covariance beats MGR",
    )  # fmt: skip
    ax.legend(loc="lower left", fontsize=8)
    ax.set_xlim(1.8, None)
    return figure


def _tuned(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=6.2)
    methods = ["logbarrier", "magreduced", OLD, BOLD]
    positions = table.assign(position=table["method"].map(methods.index))
    for number, method in enumerate(methods):
        colour, marker = _STYLES[method]
        rows = positions[positions["method"] == method]
        intervals(ax, rows, "position", "regret", colour=colour, marker=marker)
        means = rows.groupby("replicate")["regret"].mean()
        ax.plot(np.full(len(means), number + 0.12), means, ".", color=colour, alpha=0.6)
    ax.set_xticks(
        range(4), ["log-barrier", "magnitude-\nreduced", "earlier method,\nsteps allowed", "earlier method,\nany steps"]
    )
    ax.set(
        ylabel="regret", xlim=(-0.5, 3.5), ylim=(0, None),
        title="What holds the earlier method back is its analysis",
    )  # fmt: skip
    return figure


def _plain_ticks(ax: Axes, values: np.ndarray | list[int]) -> None:
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(list(values), [f"{value:g}" for value in values])
