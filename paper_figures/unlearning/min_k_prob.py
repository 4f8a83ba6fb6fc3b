"""Figures of Min-K%: scores and ROC curves, the sweep over k, what makes detection easy, and real prose."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results

CAPTION = (
    "Small transformers trained on generated documents or on passages of a manual; members and others are drawn from "
    "one law, with as many of each. Areas under the ROC curve are means over replicates with 95 % intervals, 0.5 is "
    "chance. Scores and ROC curves are of one replicate."
)
_NAMES = {
    "min 0.2": "Min-20%", "perplexity": "perplexity", "zlib": "zlib", "lowercase": "lower case", "min-k++": "Min-K%++",
    "reference": "reference model",
}  # fmt: skip
_COLOUR_OF = dict(zip(_NAMES, COLOURS, strict=False))
_SWEEPS = {
    "length": "tokens of the text", "width": "width of the model", "rate": "learning rate", "size": "training texts",
    "copies": "copies in the stream",
}  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """Scores with ROC curves, areas over k and over time, and along every sweep."""
    detection, english = results.tables["detection"], results.tables["english"]
    return {
        "scores_and_roc": _scores(results.arrays["detection"][0]),
        "shares": _shares(detection, english),
        "moments": _moments(detection, english),
        "sweeps": _sweeps(detection),
    }


def _scores(arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = panels(3)
    for ax, name in zip(axes, ("min 0.2", "perplexity"), strict=False):
        members, others = arrays[name]
        edges = np.linspace(min(members.min(), others.min()), max(members.max(), others.max()), 25).tolist()
        ax.hist(members, edges, alpha=0.6, color=COLOURS[0], label="members")
        ax.hist(others, edges, alpha=0.6, color=COLOURS[1], label="others")
        ax.set(
            xlabel=f"{_NAMES[name]} (mean log-probability, nats)", ylabel="documents", title=f"Scores: {_NAMES[name]}"
        )
        ax.legend(fontsize=8)
        levels = np.sort(np.r_[members, others])[::-1]
        alarms, found = ((side[:, None] >= levels).mean(0) for side in (others, members))
        axes[2].step(alarms, found, where="post", color=_COLOUR_OF[name], label=_NAMES[name])
    least = 1 / arrays["perplexity"].shape[1]
    axes[2].plot([least, 1], [least, 1], color="#888888", lw=1, ls="--", label="chance")
    axes[2].set(
        xscale="log", yscale="log", xlabel="share of others called members", ylabel="share of members found",
        title="ROC curves", xlim=(0.8 * least, 1.05),
    )  # fmt: skip
    axes[2].legend(fontsize=8)
    return figure


def _shares(detection: pd.DataFrame, english: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, table, title in zip(
        axes, (detection, english), ("Generated documents", "Real prose in characters"), strict=True
    ):
        rows = table[(table["sweep"] == "moment") & (table["level"] > 0) & table["score"].str.match(r"min \d")]
        rows = rows.assign(share=100 * rows["score"].str[4:].astype(float))
        for number, (level, part) in enumerate(rows.groupby("level")):
            intervals(ax, part, "share", "auc", label=f"{level:g} steps", colour=COLOURS[number])
        ax.set(xlabel="k (% of the tokens; 100 % is perplexity)", ylabel="AUC", title=title, ylim=(0.42, 1.02))
        ax.legend(fontsize=8, ncols=2, loc="lower right")
    return figure


def _moments(detection: pd.DataFrame, english: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, table, title in zip(
        axes, (detection, english), ("Generated documents", "Real prose in characters"), strict=True
    ):
        for name, label in _NAMES.items():
            rows = table[(table["sweep"] == "moment") & (table["level"] > 0) & (table["score"] == name)]
            intervals(ax, rows, "level", "auc", label=label, colour=_COLOUR_OF[name])
        reference_line(ax, 0.5, "chance")
        ax.set(xlabel="training steps", ylabel="AUC", title=title)
    axes[1].legend(fontsize=8)
    return figure


def _sweeps(table: pd.DataFrame) -> Figure:
    figure, axes = panels(len(_SWEEPS), width=3.0)
    for ax, (sweep, label) in zip(axes, _SWEEPS.items(), strict=True):
        for name in ("min 0.2", "perplexity"):
            rows = table[(table["sweep"] == sweep) & (table["score"] == name)]
            intervals(ax, rows, "level", "auc", label=_NAMES[name], colour=_COLOUR_OF[name])
        _levels(ax, sorted(table.loc[table["sweep"] == sweep, "level"].unique()))
        reference_line(ax, 0.5, "chance")
        ax.set(xlabel=label, ylim=(0.45, 1.02))
    axes[0].set(ylabel="AUC")
    axes[0].legend(fontsize=8)
    figure.suptitle("What makes detection easy", fontsize=11)
    return figure


def _levels(ax: Axes, levels: list[float]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(levels, [f"{level:g}" for level in levels])
    ax.minorticks_off()
