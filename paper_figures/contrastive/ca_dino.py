"""Figures of cluster-aware DINO and the dynamic loss gate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, panels
from simulations import Results, statistics
from simulations.contrastive.speaker_pipeline import best_settings
from theory.contrastive.ca_dino import two_gaussian_em

CAPTION = (
    "Points are means over replicates with 95 % intervals. Synthetic speakers with mild and strong session noise, and "
    "held-out utterances of nine real speakers; error is the equal error rate of all pairs by cosine. Each classifier "
    "has the setting that is best on validation speakers (vowels: utterances). Histograms are of one replicate with "
    "30 % wrong labels, the dynamic gate at the learning rate that gated methods share, with the two Gaussians."
)
_STAGE_1 = ("raw features", "no centring", "random clusters", "DINO", "k-means clusters", "true clusters")
_STAGE_2 = ("no gate", "fixed gate", "dynamic gate", "correction", "true labels")


def draw(results: Results) -> dict[str, Figure]:
    """The gate among log losses, errors of both stages by purity and noise, the centre's work, and real vowels."""
    return {
        "gate": _gate(results),
        "stages": _stages(results),
        "vowels": _vowels(results),
    }


def _gate(results: Results) -> Figure:
    figure, axes = panels(3)
    arrays = results.arrays["noise"][0]
    losses, gates, right = arrays["losses"], arrays["gates"], arrays["right"].astype(bool)
    opened = int(np.argmax(np.isfinite(gates))) if np.isfinite(gates).any() else 0
    for ax, epoch, title in (
        (axes[0], opened, "The gate when it is first used …"),
        (axes[1], len(gates) - 1, "… and in the last epoch"),
    ):
        # The gate of an epoch is fitted to the losses of the epoch before.
        values = np.log(losses[max(epoch - 1, 0)])
        bins = np.linspace(values.min(), values.max(), 31)
        for mask, colour, label in ((right, COLOURS[0], "right labels"), (~right, COLOURS[1], "wrong labels")):
            ax.hist(values[mask], bins, color=colour, alpha=0.6, label=label)
        if np.ptp(values) > 0:
            fitted = two_gaussian_em(values.astype(np.float64), tolerance=1e-5, max_iterations=200)
            x = np.linspace(values.min(), values.max(), 201)
            for w, m, s, style in (
                (fitted.w1, fitted.m1, fitted.s1, "-"),
                (fitted.w2, fitted.m2, fitted.s2, "--"),
            ):
                density = w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
                ax.plot(x, density * len(values) * (bins[1] - bins[0]), color="black", linestyle=style)
        if np.isfinite(gates[epoch]) and gates[epoch] > 0:
            ax.axvline(np.log(gates[epoch]), color=COLOURS[2], label="gate")
        ax.set(xlabel="log loss of a training sample", ylabel="samples", title=title)
    axes[0].legend(fontsize=8)
    _centring(axes[2], results)
    return figure


def _centring(ax: Axes, results: Results) -> None:
    courses = np.stack([arrays["entropies"] for arrays in results.arrays["distillation"]])
    for number, (label, colour) in enumerate((("with the centre", COLOURS[0]), ("without it", COLOURS[1]))):
        estimates = [statistics.interval(column) for column in courses[:, :, number].T]
        epochs, mean = np.arange(1, len(estimates) + 1), np.array([e.mean for e in estimates])
        ends = np.array([[e.low, e.high] for e in estimates])
        ax.plot(epochs, mean, color=colour, label=label)
        if np.isfinite(ends).all():
            ax.fill_between(epochs, ends[:, 0], ends[:, 1], color=colour, alpha=0.2, linewidth=0)
    ax.set(xlabel="epoch", ylabel="entropy of the mean output (nats)", title="Without centring outputs collapse")
    ax.legend(fontsize=8)


def _stages(results: Results) -> Figure:
    figure, (by_purity, by_labels, by_noise) = panels(3)
    table = results.tables["distillation"]
    first = table[table["stage"] == "distillation"]
    sessions = sorted(first["session"].unique())
    for session, colour in zip(sessions, COLOURS, strict=False):
        rows = first[first["session"] == session]
        spoilt = rows[rows["method"].str.contains("true clusters|of purity|random")]
        _by_mean(by_purity, spoilt, "method", "label_purity", "eer", colour, "o", f"spoilt, session noise {session:g}")
        found = rows[rows["method"] == "k-means clusters"]
        _by_mean(by_purity, found, "method", "label_purity", "eer", colour, "*", "k-means", joined=False)
        alone = statistics.interval(rows.loc[rows["method"] == "DINO", "eer"])
        by_purity.axhline(alone.mean, color=colour, linestyle=":", linewidth=1)
    by_purity.set(
        xlabel="purity of the clusters that positives come from", ylabel="equal error rate",
        title="Purer clusters, lower error",
    )  # fmt: skip
    low, high = by_purity.get_ylim()
    by_purity.set_ylim(low, high + 0.45 * (high - low))
    by_purity.legend(fontsize=7, title="dotted: DINO alone", title_fontsize=7, ncols=2, loc="upper center")

    second = table[table["stage"] == "classification"]
    chosen = best_settings(second, ["session", "method"])
    for number, (method, colour) in enumerate(zip(_STAGE_2, COLOURS, strict=False)):
        rows = chosen[chosen["method"] == method]
        # Pseudo labels of a session are the same for all methods: they are told apart by a small shift.
        purity = rows["session"].map(second[second["method"] == "no gate"].groupby("session")["label_purity"].mean())
        rows = rows.assign(at=purity + 0.006 * (number - 2))
        _by_mean(by_labels, rows, "session", "at", "eer", colour, "o", method)
    by_labels.set(
        xlabel="purity of the pseudo labels", ylabel="equal error rate", title="On k-means labels gating gains little"
    )
    by_labels.legend(fontsize=7)

    noisy = best_settings(results.tables["noise"], ["noise", "method"])
    for number, (method, colour) in enumerate(zip(_STAGE_2, COLOURS, strict=False)):
        rows = noisy[noisy["method"] == method]
        if rows.empty:
            continue
        rows = rows.assign(at=rows["noise"] + 0.004 * (number - 1.5))
        _by_mean(by_noise, rows, "noise", "at", "eer", colour, "o", method)
    by_noise.set(xlabel="share of wrong labels, at random", ylabel="equal error rate", title="Wrong labels at random")
    by_noise.legend(fontsize=7)
    return figure


def _by_mean(
    ax: Axes, rows: pd.DataFrame, by: str, x: str, y: str, colour: str, marker: str, label: str, *, joined: bool = True
) -> None:
    """Means over replicates of ``y`` with intervals, at the mean of ``x``, for each condition."""
    points = []
    for _, each in rows.groupby(by):
        estimate = statistics.interval(each.groupby("replicate")[y].mean())
        low, high = (estimate.mean if not np.isfinite(end) else end for end in (estimate.low, estimate.high))
        points.append((each[x].mean(), estimate.mean, estimate.mean - low, high - estimate.mean))
    if points:
        at, mean, below, above = np.array(sorted(points)).T
        ax.errorbar(
            at, mean, yerr=[below, above], color=colour, marker=marker, linestyle="-" if joined else "none", label=label
        )


def _vowels(results: Results) -> Figure:
    figure, axes = panels(2, width=5.4)
    table = results.tables["vowels"]
    groups = (
        ("distillation", _STAGE_1, COLOURS[0], "stage 1"),
        ("classification", _STAGE_2, COLOURS[1], "stage 2: k-means labels"),
    )
    for ax, column, name, title in (
        (axes[0], "eer", "equal error rate, held-out utterances", "Real vowels, stage by stage"),
        (axes[1], "purity", "purity of k-means clusters, held-out", "… and what clusters are worth"),
    ):
        place, names = 0, []
        for stage, methods, colour, label in groups:
            rows = best_settings(table[table["stage"] == stage], ["method"])
            for number, method in enumerate(methods):
                values = rows.loc[rows["method"] == method].groupby("replicate")[column].mean()
                if len(values):
                    e = statistics.interval(values)
                    ends = np.nan_to_num([[e.mean - e.low], [e.high - e.mean]], posinf=0)
                    ax.errorbar([e.mean], [place], xerr=ends, color=colour, marker="o", label=None if number else label)
                names.append(method)
                place += 1
        ax.set_yticks(range(place), names, fontsize=8)
        ax.invert_yaxis()
        ax.set(xlabel=name, title=title)
    axes[0].legend(fontsize=8)
    return figure
