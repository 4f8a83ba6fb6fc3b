"""Figures of resampling with imperfect verifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results
from simulations.learning.imperfect_verifier import RATIOS, fit_over_models
from simulations.learning.resampling_checks import rate_arrays, two_type_example
from theory.learning import imperfect_verifier as theory

CAPTION = (
    "A point is a model: the accuracy of one sample, and of samples that the tests accept, means over replicates with "
    "95 % intervals; lines are least squares over all replicates. Rewards, beliefs and the map are closed forms with "
    "the rates of the first replicate. Programs are mutants of thirty small functions. Where the best number of "
    "attempts is infinite, the map says inf; where it is 0, nothing should be accepted at all."
)
_MANY = 10_000


def draw(results: Results) -> dict[str, Figure]:
    """Ceilings, rewards, best numbers of attempts, beliefs, difficulties, and the programs."""
    zoo, arrays = results.tables["zoo"], results.arrays["zoo"][0]
    return {
        "ceilings": _ceilings(zoo, results.tables["expressions"], results.tables["programs"]),
        "rewards": _rewards(arrays),
        "best_attempts": _best_attempts(zoo),
        "beliefs": _beliefs(),
        "difficulty": _difficulty(arrays),
        "programs": _programs(results.tables["programs"], results.arrays["programs"][0]),
    }


def _ceilings(zoo: pd.DataFrame, expressions: pd.DataFrame, programs: pd.DataFrame) -> Figure:
    figure, axes = panels(3)
    conditions = {"A": "weak tests", "C": "middling", "B": "good tests", "perfect": "perfect"}
    for colour, (name, label) in zip(COLOURS, conditions.items(), strict=False):
        _scatter(axes[0], zoo[zoo["verifier"] == name], colour, label)
    axes[0].set_title("Logistic tasks: weak models stay below")
    for ax, table, title in (
        (axes[1], expressions, "Mutants of boolean formulas"),
        (axes[2], programs, "Mutants of small functions"),
    ):
        labels = {"visible": "visible tests", "with edge cases": "with edge cases", "complete": "complete suite"}
        for colour, (suite, label) in zip((COLOURS[0], COLOURS[1], COLOURS[3]), labels.items(), strict=True):
            if (table["suite"] == suite).any():
                _scatter(ax, table[table["suite"] == suite], colour, label)
        ax.set_title(title)
    for ax, table in zip(axes, (zoo, expressions, programs), strict=True):
        strongest = table.loc[table["model"] == table["model"].max(), "accuracy"].mean()
        ax.axhline(strongest, color="#888888", linewidth=1, linestyle="--", zorder=0, label="strongest, one sample")
        ax.set(xlabel="accuracy of one sample", ylabel="accuracy of accepted samples", xlim=(0, 1), ylim=(0, 1.03))
        ax.legend(loc="lower right", fontsize=8)
    return figure


def _scatter(ax: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    fit = fit_over_models(rows)[["slope", "r_squared"]].mean()
    flat = np.ptp(rows["conditional"]) < 1e-9
    text = label if flat else f"{label}: slope {fit['slope']:.2f}, R² {fit['r_squared']:.2f}"
    placed = _at_mean_accuracy(rows)
    intervals(ax, placed, "place", "conditional", label=text, colour=colour)
    points: Any = ax.containers[-1]
    points.lines[0].set(linestyle="none", markersize=3)
    x = np.array([placed["place"].min(), placed["place"].max()])
    ax.plot(x, np.polyval(np.polyfit(rows["accuracy"], rows["conditional"], 1), x), color=colour, linewidth=1)


def _at_mean_accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Every model at one place, its accuracy averaged over replicates."""
    return rows.assign(place=rows.groupby("model")["accuracy"].transform("mean"))


def _rewards(arrays: dict[str, np.ndarray]) -> Figure:
    r = arrays["r"]
    figure, axes = panels(3)
    soundness = arrays["soundness_C"]
    order = np.argsort(r.mean(axis=1))
    chosen = [order[int(share * (len(order) - 1))] for share in (0.4, 0.75, 1.0)]
    for ax, model in zip(axes, chosen, strict=True):
        p, q, _ = rate_arrays(r[model], soundness)
        attempts = np.unique(np.geomspace(1, _MANY, 120).astype(int))
        for cost, colour in zip((0.0, 1.0, 2.0, 4.0, 8.0), COLOURS, strict=False):
            curve = theory.reward_curve(p, q, -cost, _MANY)
            ax.plot(attempts, curve[attempts], color=colour, label=f"{cost:g}")
            best = theory.optimal_attempts(p, q, -cost)
            if 0 < best <= _MANY:
                ax.plot(best, curve[int(best)], "X", color=colour, markersize=7)
        ax.axhline(0, color="#888888", linewidth=0.8)
        ax.set(xscale="log", xlabel="attempts K", ylabel="mean reward", ylim=(-1.5, 1.05))
        ax.set_title(f"Best K (crosses), accuracy {r[model].mean():.2f}")
    axes[2].legend(title="cost of a wrong answer", fontsize=8, loc="lower right", ncols=2)
    return figure


def _best_attempts(zoo: pd.DataFrame) -> Figure:
    figure, axes = panels(3, width=3.9, height=4.6)
    first = zoo[zoo["replicate"] == zoo["replicate"].min()]
    titles = {"A": "Weak tests", "C": "Middling tests", "B": "Good tests"}
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        rows = first[first["verifier"] == name].sort_values("model")
        best = rows[[f"best_{c:g}" for c in RATIOS]].to_numpy(dtype=np.float64)
        shade = np.log10(1 + np.minimum(best, 10_000))
        ax.imshow(shade, aspect="auto", origin="lower", cmap="viridis", vmin=0, vmax=4)
        for (i, j), value in np.ndenumerate(best):
            text = "inf" if np.isinf(value) else f"{value:.0f}"
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color="w" if shade[i, j] < 2.4 else "k")
        ax.set_xticks(range(len(RATIOS)), [f"{c:g}" for c in RATIOS])
        ax.set_yticks(range(len(rows)), [f"{a:.2f}" for a in rows["mean_accuracy"]], fontsize=7)
        ax.grid(visible=False)
        ax.set(xlabel="cost of a wrong answer", title=f"{title}: best K")
    axes[0].set_ylabel("accuracy of one sample")
    return figure


def _beliefs() -> Figure:
    figure, (left, right) = panels(2)
    p, q, w = two_type_example()
    k = np.arange(1, 16)
    belief = theory.posterior_after_rejections(p, q, k - 1, w)
    wrong = (belief * q[:, None]).sum(axis=0) / (belief * (p + q)[:, None]).sum(axis=0)
    left.plot(k, belief[1], "o-", color=COLOURS[1], label="the task is hard")
    left.plot(k, wrong, "s-", color=COLOURS[0], label="an accepted answer is wrong")
    left.set(xlabel="attempt k", ylabel="probability, k − 1 rejected", ylim=(0, 1.03))
    left.set_title("Survivors are hard, and verified wrongly")
    left.legend(loc="lower right")
    for V, colour in zip((-0.5, -0.7, -1.0, -2.0), COLOURS, strict=False):
        curve = theory.reward_curve(p, q, V, 15, w)
        right.plot(np.arange(16), curve, color=colour, label=f"V = {V:g}")
        best = theory.optimal_attempts(p, q, V, w)
        if best <= 15:
            right.plot(best, curve[int(best)], "X", color=colour, markersize=8)
    right.set_xticks(range(0, 16, 3))
    right.set(xlabel="attempts K", ylabel="mean reward", title="Easy .87, hard .13: best K is inf, 3, 2, 1")
    right.legend(loc="center right", bbox_to_anchor=(1.0, 0.46), ncols=2, fontsize=8)
    return figure


def _difficulty(arrays: dict[str, np.ndarray]) -> Figure:
    figure, (ax,) = panels(1, width=5.2)
    r = arrays["r"]
    for share, colour in zip((0.25, 0.6, 1.0), COLOURS, strict=False):
        rates = r[int(share * (len(r) - 1))]
        ax.hist(rates, np.linspace(0, 1, 21), histtype="step", color=colour, linewidth=1.6, label=f"{rates.mean():.2f}")
    ax.set(
        xlabel="chance that one sample is correct", ylabel="tasks", title="Tasks are mostly easy or hard for a model"
    )
    ax.legend(title="mean accuracy", loc="upper center")
    return figure


def _programs(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Figure:
    figure, (left, middle, right) = panels(3)
    for suite, colour, marker in (("visible", COLOURS[0], "o"), ("with edge cases", COLOURS[1], "s")):
        rows = _at_mean_accuracy(table[table["suite"] == suite])
        rows = rows.assign(passes=1 - rows["soundness"], wrong=1 - rows["conditional"])
        intervals(left, rows, "place", "passes", label=f"wrong passes, {suite}", colour=colour, marker=marker)
        intervals(left, rows, "place", "wrong", label=f"passed is wrong, {suite}", colour=colour, marker="x")
    left.set(xlabel="accuracy of one sample", ylabel="fraction", ylim=(0, None))
    left.set_title("Weak models are caught more often,\nyet what passes is more often wrong")
    left.legend(fontsize=7)
    _program_rewards(middle, arrays)
    rows = _at_mean_accuracy(table[table["suite"] == "visible"])
    for cost, colour in zip((1.0, 2.0, 4.0, 8.0), COLOURS[1:], strict=False):
        intervals(right, rows, "place", f"reward_{cost:g}", label=f"{cost:g}", colour=colour)
        right.plot(rows["place"].unique(), rows.groupby("model")[f"all_{cost:g}"].mean(), "x:", color=colour)
    right.axhline(0, color="#888888", linewidth=0.8)
    right.set(xlabel="accuracy of one sample", ylabel="reward on held-out samples", ylim=(-1.5, 1.05))
    right.set_title("Stopping at the chosen K (lines)\nor at the last sample (dots)")
    right.legend(title="cost of a wrong answer", fontsize=8, loc="lower right")
    return figure


def _program_rewards(ax: Axes, arrays: dict[str, np.ndarray]) -> None:
    """The rewards of a model of middling accuracy, with its observed rates."""
    correct, accepted = arrays["correct"], arrays["accepted"]
    model = int(np.argmin(np.abs(correct.mean(axis=1) - 0.4)))
    p, q = correct[model], accepted[model] - correct[model]
    attempts = np.unique(np.geomspace(1, 1000, 80).astype(int))
    for cost, colour in zip((0.0, 1.0, 2.0, 4.0, 8.0), COLOURS, strict=False):
        curve = theory.reward_curve(p, q, -cost, 1000)
        ax.plot(attempts, curve[attempts], color=colour)
        best = theory.optimal_attempts(p, q, -cost)
        if 0 < best <= 1000:
            ax.plot(best, curve[int(best)], "X", color=colour, markersize=7)
    ax.axhline(0, color="#888888", linewidth=0.8)
    ax.set(xscale="log", xlabel="attempts K", ylabel="mean reward", ylim=(-1.5, 1.05))
    ax.set_title(f"Visible tests, accuracy {p.mean():.2f}:\nbest K (crosses) by cost (colours as right)")
