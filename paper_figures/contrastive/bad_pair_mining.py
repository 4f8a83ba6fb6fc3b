"""Figures of bad pair mining."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from simulations.contrastive.series_claims import best_rates
from theory.contrastive.bad_pair_mining import flag_capacity, flag_load

CAPTION = (
    "Points are means over replicates with 95 % intervals; histograms pool replicates, trajectories average them. "
    "Encoders of generated waves and of nine real speakers; 30 % of the pairs are noisy (the instance is mostly noise) "
    "and, where it says both, 10 % faulty (the second view shows something else). The oracle leaves bad pairs out. "
    "Mean losses run over all epochs. Linear model: share of the signal's subspace that the best encoder misses."
)
_KINDS = ("clean", "noisy", "faulty")
_COLOUR_OF = dict(zip(_KINDS, COLOURS, strict=False))
_METHODS = ("plain", "mining", "oracle")


def draw(results: Results) -> dict[str, Figure]:
    """Mean losses with thresholds, trajectories per kind, the linear model, what can be flagged, and probes."""
    conditions = list(dict.fromkeys(results.tables["series"]["condition"]))[:4]
    return {
        "mean_losses": _mean_losses(results.arrays["series"], conditions),
        "trajectories": _trajectories(results.arrays["series"], conditions),
        "linear_model": _linear_model(results.tables["linear_model"]),
        "detection": _detection(results.tables["series"], conditions),
        "capacity": _capacity(),
        "probes": _probes(results.tables["series"]),
    }


def _mean_losses(arrays: list[dict[str, np.ndarray]], conditions: list[str]) -> Figure:
    """Histograms at the end for all conditions, with thresholds at 1.5 deviations."""
    figure, axes = panels(len(conditions), width=3.6)
    for number, (ax, name) in enumerate(zip(axes, conditions, strict=True)):
        means = np.concatenate([np.nanmean(each[f"history_{number}"], axis=0) for each in arrays])
        kinds = np.concatenate([each[f"kind_{number}"] for each in arrays])
        bins = np.linspace(np.nanmin(means), np.nanmax(means), 45).tolist()
        for kind, label in enumerate(_KINDS):
            if (kinds == kind).any():
                ax.hist(means[kinds == kind], bins, color=_COLOUR_OF[label], alpha=0.6, label=label)
        mu, sigma = np.nanmean(means), np.nanstd(means)
        for place in (mu - 1.5 * sigma, mu + 1.5 * sigma):
            ax.axvline(place, color="#444444", linewidth=1, linestyle="--")
        ax.set(xlabel="mean loss of a pair (nats)", ylabel="pairs", title=f"{_title(name)}")
    axes[min(1, len(axes) - 1)].legend(title="dashed: mean ± 1.5 deviations", fontsize=8, title_fontsize=8)
    return figure


def _title(condition: str) -> str:
    return {
        "waves, noisy": "Noisy waves have low losses",
        "waves, both": "Faulty pairs hide noisy ones",
        "speakers, noisy": "Permuted views: noisy are high",
        "speakers, both": "Speakers: noisy pairs overlap",
    }.get(condition, condition)


def _label(condition: str) -> str:
    return "speakers,\npermuted views" if condition == "speakers, noisy" else condition.replace(", ", ",\n")


def _trajectories(arrays: list[dict[str, np.ndarray]], conditions: list[str]) -> Figure:
    figure, axes = panels(len(conditions), width=3.6)
    for number, (ax, name) in enumerate(zip(axes, conditions, strict=True)):
        levels = np.mean([each[f"levels_{number}"] for each in arrays], axis=0)
        epochs = np.arange(1, len(levels) + 1)
        for kind, label in enumerate(_KINDS):
            for method, style in ((0, "-"), (2, ":")):
                if np.isfinite(levels[:, method, kind]).any():
                    ax.plot(
                        epochs, levels[:, method, kind], style, color=_COLOUR_OF[label],
                        label=f"{label}, {_METHODS[method]}",
                    )  # fmt: skip
        ax.set(xlabel="epoch", ylabel="mean loss (nats)", title=_label(name).replace("\n", " "), ylim=(0, None))
    axes[min(1, len(axes) - 1)].legend(fontsize=7, ncols=2)
    return figure


def _linear_model(table: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.8)
    few = table["samples"].min()
    for ax, weights, title in zip(
        axes[:2], ("none", "half removed"),
        ("Noise wins above eta* = 1/(1 + nu² − rho²)", "Half removed: eta* = 1/(1 + (nu² − rho²)/2)"), strict=True,
    ):  # fmt: skip
        rows = table[(table["weights"] == weights) & (table["samples"] == few)]
        for nu, colour in zip(sorted(rows["nu"].unique()), COLOURS, strict=False):
            intervals(ax, rows[rows["nu"] == nu], "multiple", "missed", label=f"nu = {nu:g}", colour=colour)
        _step(ax)
        ax.set_title(title, fontsize=9)
    axes[0].legend(fontsize=8)
    scarce = table[(table["nu"] == table["nu"].max()) & (table["weights"] == "none")]
    for samples, colour in zip(sorted(scarce["samples"].unique()), COLOURS, strict=False):
        rows = scarce[scarce["samples"] == samples]
        intervals(axes[2], rows, "multiple", "missed", label=f"{samples:,} instances", colour=colour)
    _step(axes[2])
    axes[2].set_title(f"Few noisy instances blur the step (nu = {scarce['nu'].max():g})", fontsize=9)
    axes[2].legend(fontsize=8)
    return figure


def _step(ax: Axes) -> None:
    ax.axvline(1.0, color="#888888", linewidth=1, linestyle="--", zorder=0)
    ax.set(xlabel="share of noisy instances / eta*", ylabel="share of the signal missed", ylim=(-0.05, 1.1))


def _detection(table: pd.DataFrame, conditions: list[str]) -> Figure:
    figure, (auroc, recall) = panels(2, width=5.2)
    shown = table[table["shown"] & (table["method"] == "plain")]
    places = np.arange(len(conditions))
    for offset, (column, label) in zip(
        (-0.24, -0.08, 0.08, 0.24),
        (("auroc_noisy", "noisy"), ("auroc_faulty", "faulty"), ("auroc_noisy_untrained", "noisy, untrained"),
         ("auroc_noisy_shuffled", "noisy, shuffled truth")), strict=True,
    ):  # fmt: skip
        _points(auroc, shown, conditions, places + offset, column, label)
    reference_line(auroc, 0.95, "")
    reference_line(auroc, 0.5, "chance")
    auroc.set(
        ylabel="area under the ROC curve",
        title="Losses find faulty pairs; noisy ones if views keep noise",
        ylim=(-0.05, 1.18),
    )
    auroc.legend(fontsize=7, ncols=4, loc="upper center")
    for offset, (column, label) in zip(
        (-0.24, -0.08, 0.08, 0.24),
        (("recall_noisy_mean", "noisy, mean"), ("recall_noisy_robust", "noisy, median"),
         ("recall_faulty_mean", "faulty, mean"), ("recall_faulty_mean_wide", "faulty, mean, beta 3")), strict=True,
    ):  # fmt: skip
        rows = shown[shown["faulty"] > 0] if "faulty" in column else shown
        _points(recall, rows, conditions, places + offset, column, label)
    recall.set(
        ylabel="recall of flags", title="Beside faulty pairs, mean and deviation flag no noisy ones", ylim=(-0.05, 1.18)
    )
    recall.legend(fontsize=7, ncols=4, loc="upper center")
    for ax in (auroc, recall):
        ax.set_xticks(places, [_label(name) for name in conditions])
        ax.title.set_fontsize(10)
        ax.set_xlim(-0.7, len(conditions) - 0.5)
    return figure


def _points(ax: Axes, table: pd.DataFrame, conditions: list[str], places: np.ndarray, column: str, label: str) -> None:
    colour = COLOURS[len(ax.containers) % len(COLOURS)]
    at = dict(zip(conditions, places, strict=True))
    rows = table[table["condition"].isin(conditions) & table[column].notna()]
    intervals(ax, rows.assign(place=rows["condition"].map(at)), "place", column, label=label, colour=colour)
    ax.lines[-1].set_linestyle("none")
    for container in ax.containers:
        container[0].set_linestyle("none")


def _capacity() -> Figure:
    figure, (one, both) = panels(2)
    beta = np.linspace(0.5, 4, 200)
    one.plot(beta, [flag_capacity(b) for b in beta], color=COLOURS[0])
    for b in (1.5, 2.0, 3.0):
        one.plot(b, flag_capacity(b), "o", color=COLOURS[1])
        one.annotate(
            f"{flag_capacity(b):.2f}", (b, flag_capacity(b)), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
    one.set(
        xlabel="threshold beta (deviations)", ylabel="largest share flagged on one side", ylim=(0, 1),
        title="At most 1/(1 + beta²) can be flagged",
    )  # fmt: skip
    p, q = np.meshgrid(np.linspace(0, 0.45, 200), np.linspace(0, 0.45, 200))
    for (low, high), colour in zip(((1.5, 1.5), (2.0, 3.0)), COLOURS, strict=False):
        both.contour(p, q, flag_load(p, q, low, high), levels=[1.0], colors=[colour])
        both.plot([], [], color=colour, label=f"beta = {low:g} below, {high:g} above")
    both.plot(0.3, 0.1, "s", color=COLOURS[2], label="injected here")
    both.set(
        xlabel="share of noisy pairs", ylabel="share of faulty pairs", title="Beyond the line not all can be flagged"
    )
    both.legend(fontsize=8)
    return figure


def _probes(table: pd.DataFrame) -> Figure:
    tuned = [
        name for name in dict.fromkeys(table["condition"]) if table.loc[table["condition"] == name, "faulty"].max() > 0
    ]
    figure, (accuracy, gain) = panels(2, width=max(4.2, 1.1 * len(tuned)))
    best = pd.concat([best_rates(table, name) for name in tuned])
    places = np.arange(len(tuned))
    for offset, method, colour in zip((-0.15, 0.0, 0.15), _METHODS, COLOURS, strict=False):
        at = dict(zip(tuned, places + offset, strict=True))
        rows = best[best["method"] == method]
        intervals(
            accuracy, rows.assign(place=rows["condition"].map(at)), "place", "accuracy", label=method, colour=colour
        )
        if method != "plain":
            plain = best[best["method"] == "plain"].set_index(["condition", "replicate"])["accuracy"]
            keyed = rows.set_index(["condition", "replicate"])["accuracy"] - plain
            frame = keyed.rename("gain").reset_index()
            frame = frame.assign(place=frame["condition"].map(at))
            intervals(gain, frame, "place", "gain", label=method, colour=colour)
    for ax in (accuracy, gain):
        for container in ax.containers:
            container[0].set_linestyle("none")
        ax.set_xticks(places, [_label(name) for name in tuned])
        ax.set_xlim(-0.7, len(tuned) - 0.5)
        ax.legend(fontsize=8)
    reference_line(gain, 0.0, "plain")
    accuracy.set(ylabel="linear probe accuracy (test)", title="Each method at its best learning rate")
    gain.set(ylabel="accuracy gained over plain", title="What leaving bad pairs out gains")
    return figure
