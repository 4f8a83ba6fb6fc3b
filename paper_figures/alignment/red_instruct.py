"""Figures of SAFE-ALIGN: the objective itself, safety against utility, long training, and templates of attack."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from neural.alignment.red_instruct import safe_align_loss
from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Small transformers that answer everything in worlds of 72 tokens, 20 of them flagged, aligned by several "
    "objectives. Attacks are sampled answers to flagged prompts; utility is exact answers to benign ones. Means over "
    "replicates with 95 % intervals."
)
_COLOUR_OF = {
    "base": "#888888", "blue only": COLOURS[0], "partition": COLOURS[1], "clamp": COLOURS[2], "unbounded": COLOURS[3],
    "NPO": COLOURS[4], "unlikelihood": COLOURS[5], "red only": COLOURS[6],
}  # fmt: skip
_TEMPLATES = {"covered": "covered", "style": "unseen\nstyle", "context": "unseen\ncontext", "both": "both\nunseen"}


def draw(results: Results) -> dict[str, Figure]:
    """The objective over one text's NLL, success and utility, long training, and success by template."""
    return {
        "objective": _objective(),
        "safety_and_utility": _safety(results.tables["tuned"]),
        "long_training": _long(results.tables["long"]),
        "templates": _templates(results.tables["templates"]),
    }


def _objective() -> Figure:
    figure, axes = panels(2)
    nll = torch.linspace(0, 6, 601, dtype=torch.float64, requires_grad=True)
    blue, start = torch.zeros(1, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    # From the back to the front, thinner and thinner, since three of them coincide at first.
    bounds = {"unbounded": ("none", 5.0), "clamp": ("clamp", 3.2), "partition": ("partition", 1.5), "NPO": ("npo", 1.5)}
    for name, (bound, width) in bounds.items():
        losses = torch.stack([
            safe_align_loss(blue, value[None], bound=bound, ref_red_nll=start) for value in nll  # type: ignore[arg-type]
        ])  # fmt: skip
        (slopes,) = torch.autograd.grad(losses.sum(), nll)
        for ax, values in zip(axes, (losses.detach(), slopes), strict=True):
            drawn = values.numpy().copy()
            # A jump is not a line.
            drawn[np.flatnonzero(np.abs(np.diff(drawn)) > 0.5)] = np.nan
            ax.plot(nll.detach().numpy(), drawn, color=_COLOUR_OF[name], label=name, lw=width)
    for ax in axes:
        ax.axvline(1.0, color="#888888", lw=1, ls=":")
        ax.set(xlabel="mean NLL of the red text (nats per token)")
    axes[0].set(ylabel="loss", title="The partition jumps at its threshold")
    axes[1].set(ylabel="slope", title="… beyond which it pushes on, weakly")
    axes[0].legend(fontsize=8)
    return figure


def _safety(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=5.0, height=3.6)
    tested = table[table["part"] == "test"]
    for name, colour in _COLOUR_OF.items():
        rows = tested[tested["objective"] == name].groupby("replicate")[["asr", "utility"]].mean().dropna()
        if rows.empty:
            continue
        x, y = (statistics.interval(rows[column]) for column in ("asr", "utility"))
        ends = np.nan_to_num(np.array([[x.mean - x.low, x.high - x.mean], [y.mean - y.low, y.high - y.mean]]), posinf=0)
        axes[0].errorbar(
            x.mean, y.mean, xerr=ends[0][:, None], yerr=ends[1][:, None], fmt="o", color=colour, label=name, capsize=2
        )
    axes[0].set(
        xlabel="attack success rate", ylabel="utility (exact benign answers)", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05),
        title="Each objective at its own learning rate",
    )  # fmt: skip
    searched = table[table["part"] == "search"]
    for name, rows in searched.groupby("objective"):
        intervals(axes[1], rows, "rate", "score", colour=_COLOUR_OF[str(name)])
    axes[1].set(
        xscale="log",
        xlabel="learning rate",
        ylabel="utility − attack success rate",
        title="The search, in another world",
    )
    rates = sorted(searched["rate"].unique())
    axes[1].set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes[1].minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _long(table: pd.DataFrame) -> Figure:
    columns = {
        "red_nll": "NLL of red texts (nats)", "asr": "attack success rate", "utility": "utility",
        "over_refusal": "benign prompts refused",
    }  # fmt: skip
    figure, axes = panels(len(columns), width=3.2)
    for ax, (column, label) in zip(axes, columns.items(), strict=True):
        for name in [name for name in _COLOUR_OF if name in set(table["objective"])]:
            rows = table[table["objective"] == name].dropna(subset=[column])
            # A replicate without a judged answer has no rate.
            intervals(ax, rows, "step", column, label=name, colour=_COLOUR_OF[name])
        ax.set(xlabel="steps", ylabel=label)
        if column in ("asr", "utility"):
            ax.set_ylim(-0.05, 1.05)
    axes[0].set_yscale("log")
    reference_line(axes[3], 0.05, "5 %")
    figure.suptitle("The partition slows ascent down, a clamp ends it", fontsize=11)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _templates(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.6)
    middle = sorted(table.loc[table["step"] > 0, "step"].unique())
    step = middle[len(middle) // 2]
    rows = table[table["step"].isin([0, step])]
    for ax, world in zip(axes, ("shared", "separate"), strict=True):
        for name in ("base", "blue only", "partition"):
            part = rows[(rows["world"] == world) & (rows["objective"] == name)]
            by_template = pd.concat(
                [
                    pd.DataFrame({"replicate": part["replicate"], "place": k, "asr": part[f"asr_{template}"]})
                    for k, template in enumerate(_TEMPLATES)
                ]
            ).dropna()
            intervals(ax, by_template, "place", "asr", label=name, colour=_COLOUR_OF[name])
        told = "share their answers" if world == "shared" else "have answers of their own"
        ax.set_xticks(range(len(_TEMPLATES)), list(_TEMPLATES.values()))
        ax.set(ylabel="attack success rate", ylim=(-0.03, 1.08), title=f"Contexts {told}, {step} steps")
    axes[0].legend(fontsize=8, loc="lower left")
    return figure
