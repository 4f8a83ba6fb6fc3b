"""Figures of cDPO: answers without critical tokens, who finds these, one answer in full, and what training does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results, statistics
from simulations.alignment.critical_tokens import METHODS
from simulations.unlearning.unlearning_runs import chosen_elsewhere

CAPTION = (
    "Chains of arithmetic. Critical: the first token of a wrong answer's steps after which none of 64 rollouts is "
    "right and nothing recovers. Contrast: a model of right answers against one of wrong ones. Exact chances are "
    "enumerated. Means over replicates with 95 % intervals, of accuracies gained paired; learning rates chosen on "
    "held-out problems of the other replicates."
)
_SCORES = {
    "auc_contrast": "contrast", "auc_base": "own probability", "auc_equal": "two equal models",
    "auc_exchanged": "models exchanged", "auc_shuffled": "contrast, shuffled",
}  # fmt: skip
_TRAINED = {
    "dpo": "DPO", "tdpo": "TDPO", "rpo": "RPO", "sft on positives": "SFT on right answers",
    "cdpo": "cDPO", "cdpo per position": "cDPO, per position", "cdpo + nll": "cDPO + NLL",
    "cdpo both sides": "cDPO, both sides", "cdpo, shuffled scores": "cDPO, shuffled scores",
}  # fmt: skip
_FOLLOWED = ("dpo", "tdpo", "cdpo", "rpo")
_RATE = 3e-4


def draw(results: Results) -> dict[str, Figure]:
    """pass@k, separation and agreement, one answer's tokens, log-ratios during training, accuracies."""
    language = results.tables["language"]
    return {
        "replacement": _replacement(language),
        "identification": _identification(language, results.tables["tables"]),
        "tokens": _tokens(results.arrays["language"]),
        "dynamics": _dynamics(language, results.arrays["language"]),
        "accuracy": _accuracy(language),
    }


def _replacement(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.0)
    rows = table[table["kind"] == "passk"]
    for number, (column, label) in enumerate((("without", "token forbidden"), ("with", "token kept"))):
        intervals(ax, rows, "k", column, label=label, colour=COLOURS[number])
    exact = table[table["kind"] == "exact"].groupby("replicate")[["exact_without", "exact_with"]].mean()
    for number, column in enumerate(("exact_without", "exact_with")):
        label = "exact, at the exact critical token" if number == 0 else None
        ax.plot([1], [exact[column].mean()], "D", color=COLOURS[number], mfc="none", ms=9, label=label)
    ks = sorted(rows["k"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(ks, [f"{k:g}" for k in ks])
    ax.set(
        xlabel="attempts k", ylabel="pass@k", ylim=(-0.03, 1.03),
        title="Without its critical token a wrong answer can be saved",
    )  # fmt: skip
    ax.legend(fontsize=8)
    return figure


def _identification(language: pd.DataFrame, tables: pd.DataFrame) -> Figure:
    figure, (area, agreement) = panels(2, width=5.2)
    tokens = language[language["kind"] == "tokens"]
    for place, column in enumerate(_SCORES):
        found = statistics.interval(tokens.groupby("replicate")[column].mean())
        ends = np.array([[found.mean - found.low], [found.high - found.mean]])
        ends = np.where(np.isfinite(ends), ends, 0.0)
        area.barh([place], [found.mean], xerr=ends, color=COLOURS[0] if place == 0 else "#B8C4CC", height=0.65)
    area.axvline(0.5, color="#888888", lw=1, ls="--")
    area.set_yticks(range(len(_SCORES)), list(_SCORES.values()))
    area.invert_yaxis()
    area.set(xlim=(0.3, 1), xlabel="area under the curve", title="Small scores mark critical tokens")
    intervals(agreement, tables, "rollouts", "agreement", label="tables", colour=COLOURS[0])
    intervals(agreement, tables, "rollouts", "shuffled", label="tables, scores shuffled", colour="#999999")
    exact = language[language["kind"] == "exact"]
    for column, label, colour, offset in (
        ("agreement", "transformer", COLOURS[1], 1.0),
        ("shuffled_agreement", "transformer, scores shuffled", "#555555", 1.1),
    ):
        found = statistics.interval(exact.groupby("replicate")[column].mean())
        ends = np.array([[found.mean - found.low], [found.high - found.mean]])
        ends = np.where(np.isfinite(ends), ends, 0.0)
        agreement.errorbar([64 * offset], [found.mean], yerr=ends, fmt="s", color=colour, label=label)
    counts = sorted(tables["rollouts"].unique())
    agreement.set_xscale("log", base=2)
    agreement.set_xticks(counts, [f"{n:g}" for n in counts])
    agreement.set(
        xlabel="rollouts per token", ylabel="share of wrong answers", ylim=(-0.03, 1.3),
        title="Rollouts find the exact critical token",
    )  # fmt: skip
    agreement.legend(fontsize=7, ncols=2, loc="upper center")
    return figure


def _tokens(arrays: list[dict[str, np.ndarray]]) -> Figure:
    """The first answer with one critical token by rollouts and exactly, where that lost most of the chance."""
    found, row = _telling(arrays)
    ids = found["ids"][row]
    base = int(ids[0]) - 4  # the text starts with <bos>, which comes after the digits and + * = #
    words = [*map(str, range(base)), "+", "*", "=", "#", "<bos>", "<eos>"]
    scores = np.stack([np.exp(found["log_s"][row]), found["rollouts"][row], found["exact"][row, 1:]])
    start = len(ids) - scores.shape[1]
    figure, (ax,) = panels(1, width=0.55 * scores.shape[1] + 2.4, height=2.5)
    shown = ax.imshow(scores, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (line, place), value in np.ndenumerate(scores):
        ax.text(
            place, line, f"{value:.3f}" if value < 0.1 else f"{value:.2f}", ha="center", va="center", fontsize=7,
            color="black" if value > 0.5 else "white",
        )  # fmt: skip
    place = int(found["exact_critical"][row])
    if place >= 0:
        ax.add_patch(Rectangle((place - 0.5, -0.5), 1, 3, fill=False, edgecolor=COLOURS[1], lw=2.5, clip_on=False))
    ax.set_xticks(range(scores.shape[1]), [words[token] for token in ids[start:]])
    ax.set_yticks(range(3), ["s by contrast", "rollouts", "exact chance"])
    ax.tick_params(length=0)
    ax.grid(False)
    problem = " ".join(words[token] for token in ids[1 : start - 1])
    ax.set(
        xlabel="token written", title=f"A wrong answer to {problem} modulo {base}: the framed token leaves no way back"
    )
    figure.colorbar(shown, ax=ax, label="score after the token", pad=0.01)
    return figure


def _telling(arrays: list[dict[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], int]:
    for found in arrays:
        critical = found["exact_critical"]
        agreed = (critical == found["critical"]) & (critical >= 0)
        if agreed.any():
            rows = np.arange(len(critical))
            lost = found["exact"][rows, critical] - found["exact"][rows, critical + 1]
            return found, int(np.where(agreed, lost, -1.0).argmax())
    return arrays[0], 0


def _dynamics(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, axes = panels(2, width=4.6)
    rates = sorted(rate for rate in table.loc[table["kind"] == "arm", "learning_rate"].unique() if rate > 0)
    nearest = int(np.argmin([abs(np.log(rate / _RATE)) for rate in rates]))
    curves = np.stack([found["curves"] for found in arrays])  # replicates, windows, models, right and wrong
    share = 100 * (np.arange(curves.shape[1]) + 0.5) / curves.shape[1]
    for side, (ax, kind) in enumerate(zip(axes, ("Right", "Wrong"), strict=True)):
        for number, method in enumerate(_FOLLOWED):
            own = curves[:, :, METHODS.index(method) * len(rates) + nearest, side]
            found = [statistics.interval(values) for values in own.T]
            means = np.array([each.mean for each in found])
            ends = np.array([[each.low, each.high] for each in found])
            ends = np.where(np.isfinite(ends), ends, means[:, None])
            bars = [means - ends[:, 0], ends[:, 1] - means]
            ax.errorbar(
                share + 0.8 * number, means, yerr=bars, marker="o", color=COLOURS[number], label=_TRAINED[method]
            )
        ax.axhline(0, color="#888888", lw=1, ls="--", zorder=0)
        ax.set(
            xlabel="training steps (%)", ylabel="log-ratio to the reference (nats)",
            title=f"{kind} answers, learning rate {rates[nearest]:g}",
        )  # fmt: skip
    axes[1].legend(fontsize=8)
    return figure


def _accuracy(table: pd.DataFrame) -> Figure:
    figure, (tuned, hasty) = panels(2, width=4.8, height=3.6)
    arms = table[table["kind"] == "arm"]
    largest = arms[arms["learning_rate"].isin([0.0, arms["learning_rate"].max()])]
    rows = {0: chosen_elsewhere(arms, "validation"), 1: largest}
    for number, (ax, title) in enumerate(
        ((tuned, "Each at the learning rate chosen for it"), (hasty, f"All at rate {arms['learning_rate'].max():g}"))
    ):
        for place, method in enumerate(_TRAINED):
            found = statistics.interval(statistics.paired(rows[number], "accuracy", "method", method, "base"))
            ends = np.array([[found.mean - found.low], [found.high - found.mean]])
            ends = np.where(np.isfinite(ends), ends, 0.0)
            colour = COLOURS[1] if method.startswith("cdpo") else COLOURS[0]
            ax.errorbar([found.mean], [place], xerr=ends, fmt="o", color=colour)
        ax.axvline(0, color="#888888", lw=1, ls="--", zorder=0)
        ax.set_yticks(range(len(_TRAINED)), list(_TRAINED.values()) if number == 0 else [])
        ax.invert_yaxis()
        ax.set(xlabel="accuracy gained by training (share)", title=title)
    return figure
