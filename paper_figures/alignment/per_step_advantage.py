"""Figures of per-step advantages."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics
from simulations.alignment.data_scaling import efficiency_factors
from simulations.alignment.sampled_preferences import TABLE_ARMS
from theory.alignment.chain_mdp import ChainMDP, exact_values, fit_sft, step_values

CAPTION = (
    "Means over replicates with 95 % intervals. Methods learn from N teacher problems and 4 N with answers only, by "
    "exact values; each has seven settings, chosen on other draws. Numbers behind the names say how many times more "
    "teacher problems SFT needs, with 95 % intervals. The wrong answer is the first sampled one, from a table fitted "
    "to 64 problems, for which both rules name different steps. In tables and in the transformer, all pairs are the "
    "same but for what of the wrong answer is blamed, and for the right answers of one arm."
)
_METHODS = {
    "sft": "SFT", "rft": "RFT", "awr": "AWR", "per-step dpo": "per-step DPO", "rft, repeated": "RFT, 5 rounds",
    "per-step rl, repeated": "per-step RL, 5 rounds",
}  # fmt: skip
_COLOUR = dict(zip(_METHODS, (COLOURS[6], COLOURS[0], COLOURS[4], COLOURS[1], COLOURS[5], COLOURS[2]), strict=True))


def draw(results: Results) -> dict[str, Figure]:
    """Scaling, own right answers, critical steps, sampled pairs in tables, and the transformer."""
    own, arrays = results.tables["own_answers"], results.arrays["own_answers"]
    return {
        "scaling": _scaling(results.tables["efficiency"]),
        "own_answers": _own_answers(own, arrays),
        "critical_steps": _critical_steps(own, results.tables["pits"]),
        "sampled_pairs": _sampled_pairs(results.tables["sampled"]),
        "transformer": _transformer(results.tables["language"]),
    }


def _scaling(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=5.6, height=4.8)
    titles = {
        "accuracy": ("accuracy of the likeliest answer", "Once, RFT and per-step DPO gain alike in accuracy"),
        "success": ("success of sampled answers", "Per-step credit gains more in success"),
    }
    rows = table[table["kind"] == "method"]
    for ax, (measure, (label, title)) in zip(axes, titles.items(), strict=True):
        curve = table[table["kind"] == "curve"]
        shown = curve[curve["size"] <= 16 * rows["size"].max()]
        intervals(ax, shown, "size", measure, colour="#AAAAAA", marker="", label="SFT on more problems")
        for method, name in _METHODS.items():
            worth = "" if method == "sft" else _worth(table, method, measure)
            chosen = rows[rows["method"] == method]
            intervals(ax, chosen, "size", measure, label=name + worth, colour=_COLOUR[method])
        ax.set(xscale="log", xlabel="teacher problems N", ylabel=label, title=title, ylim=(0, 1.05))
        ticks = [n for n in (16, 32, 64, 128, 256, 512, 1024) if n <= shown["size"].max()]
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.minorticks_off()
        ax.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    return figure


def _worth(table: pd.DataFrame, method: str, measure: str) -> str:
    doublings = statistics.interval(np.log2(efficiency_factors(table, method, measure)))
    return f", ×{2**doublings.mean:.1f} ({2**doublings.low:.1f} … {2**doublings.high:.1f})"


def _own_answers(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, (left, middle, right) = panels(3)
    intervals(left, table, "size", "spurious", label="right answers with a wrong step", colour=COLOURS[1])
    gains = table.assign(rft=table["rft_same_problems"] - table["sft"], twice=table["teacher_twice"] - table["sft"])
    intervals(left, gains, "size", "rft", label="accuracy, RFT less SFT", colour=COLOURS[0])
    intervals(left, gains, "size", "twice", label="teacher twice less SFT", colour="#888888", marker="")
    reference_line(left, 0.0, "")
    _sizes(left, table)
    left.set(ylabel="fraction", title="Own answers to the same problems")
    left.legend(fontsize=7.5)
    for method in ("rft", "awr", "per-step dpo"):
        column = f"change_{method}"
        intervals(middle, table, "size", column, label=_METHODS[method], colour=_COLOUR[method])
    reference_line(middle, 0.0, "")
    _sizes(middle, table)
    middle.set(ylabel="change of log-probability", title="Wrong steps of right answers without advantage")
    middle.title.set_fontsize(9)
    middle.legend(fontsize=8)
    size = int(np.sort(table["size"].unique())[table["size"].nunique() // 2])
    edges = np.linspace(-1, 1, 41)
    for name, label, colour in (("positives", "right answers", COLOURS[2]), ("negatives", "wrong answers", COLOURS[1])):
        counts = np.sum([each[f"{name}_{size}"] for each in arrays], axis=0)
        right.stairs(counts / counts.sum() / np.diff(edges), edges, label=label, color=colour, linewidth=1.6)
    right.set(xlabel="advantage of a step", ylabel="density", yscale="log", title=f"Steps of own answers, N = {size}")
    right.legend(fontsize=8)
    return figure


def _critical_steps(own: pd.DataFrame, pits: pd.DataFrame) -> Figure:
    figure, (left, middle, right) = panels(3)
    _one_wrong_answer(left)
    for column, label, colour in (
        ("largest_drop_is_first_wrong", "largest drop is first wrong step", COLOURS[0]),
        ("random_is_first_wrong", "random step is", "#888888"),
        ("lowest_is_last", "first lowest value is last step", COLOURS[1]),
    ):
        intervals(middle, own, "size", column, label=label, colour=colour)
    _sizes(middle, own)
    middle.set(ylabel="share of wrong answers", ylim=(0, 1.05), title="Better policies lose at the first error")
    middle.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0.0, 0.93))
    for column, label, colour in (
        ("agreement", "largest drop, by rollouts", COLOURS[0]), ("shuffled", "steps shuffled", "#888888"),
    ):  # fmt: skip
        intervals(right, pits, "rollouts", column, label=label, colour=colour)
    right.set(
        xscale="log", xlabel="rollouts per prefix", ylabel="agreement with the exact step", ylim=(0, 1.05),
        title="Rollouts find the exact critical step",
    )  # fmt: skip
    right.legend(fontsize=8, loc="lower right")
    return figure


def _one_wrong_answer(ax: Axes) -> None:
    """Exact values along the first sampled wrong answer whose largest drop is not its first lowest value."""
    world, rng = ChainMDP(7, 3), np.random.default_rng(0)
    teacher = world.problems(64, rng)
    policy = fit_sft(world.counts(teacher, world.results(teacher)))
    problems = world.problems(200, rng)
    written, right = policy.sample(problems, 1, rng)[:, 0], world.results(problems)
    values = exact_values(policy, problems)
    along = step_values(values, problems, written)
    largest, lowest = np.diff(along).argmin(axis=1), along[:, 1:].argmin(axis=1)
    shown = int(np.flatnonzero(~world.verify(problems, written) & (largest != lowest))[0])
    ax.plot(range(4), step_values(values, problems, right)[shown], "o-", color=COLOURS[2], label="right answer")
    ax.plot(range(4), along[shown], "o-", color=COLOURS[1], label="sampled wrong answer")
    for step, marker, colour, label in (
        (largest[shown] + 1, "X", COLOURS[0], "largest drop"),
        (lowest[shown] + 1, "s", "#888888", "first lowest value"),
    ):  # fmt: skip
        ax.plot(step, along[shown, step], marker, color=colour, markersize=10, label=label, linestyle="none")
    signs, digits = np.array(["+", "×"])[problems.operations[shown]], problems.digits[shown]
    steps = [
        f"{signs[i]} {digits[i + 1]}\n{right[shown, i]} right, {written[shown, i]} written" for i in range(world.n_ops)
    ]
    ax.set_xticks(range(4), [f"{digits[0]}", *steps], fontsize=7)
    ax.set(xlabel="step", ylabel="chance of a right answer", ylim=(-0.05, 1.05))
    ax.set_title("The step that loses most is not the last")
    ax.legend(fontsize=8, loc="upper left")


def _sampled_pairs(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2, width=4.8)
    titles = {
        "accuracy": "In tables, small beta costs accuracy",
        "success": "It gains success, most with the teacher's right answers",
    }
    arms = dict(zip(TABLE_ARMS, (COLOURS[0], COLOURS[1], COLOURS[4], "#888888", COLOURS[2]), strict=True))
    means = table.groupby(["replicate", "arm", "beta"], as_index=False)[list(titles)].mean()
    for ax, (measure, title) in zip(axes, titles.items(), strict=True):
        for arm, colour in arms.items():
            intervals(ax, means[means["arm"] == arm], "beta", measure, label=arm, colour=colour)
        reference_line(ax, float(means.loc[means["arm"] == "sft", measure].mean()), "SFT")
        ax.set(xscale="log", xlabel="beta", ylabel=f"{measure}, mean over N", title=title, ylim=(0, 1.05))
    axes[1].legend(fontsize=7.5, title="blamed in the wrong answer", title_fontsize=7.5, loc="upper right")
    return figure


def _transformer(table: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2, width=4.8)
    rows = table[table["kind"] == "accuracy"]
    tried = rows[rows["arm"] != "sft"]
    for arm, colour in (("standard", COLOURS[0]), ("per step", COLOURS[1]), ("random step", "#888888")):
        intervals(left, tried[tried["arm"] == arm], "beta", "accuracy", label=arm, colour=colour)
    reference_line(left, float(rows.loc[rows["arm"] == "sft", "accuracy"].mean()), "SFT")
    left.set(xscale="log", xlabel="beta", ylabel="accuracy", title="At small beta, pairs of whole answers do most harm")
    left.legend(fontsize=8, title="the wrong answer is cut", title_fontsize=8, loc="lower right")
    found = table[table["kind"] == "rollouts"]
    counts = sorted(found["rollouts"].unique())
    for place, (column, label, colour) in enumerate(
        (("agreement", "critical step agrees", COLOURS[0]), ("lost", "share of the drop found", COLOURS[2]))
    ):
        for number, count in enumerate(counts):
            estimate = statistics.interval(found.loc[found["rollouts"] == count, column])
            ends = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
            right.bar(
                number + 0.36 * (place - 0.5), estimate.mean, 0.34, color=colour, label=label if number == 0 else None,
                yerr=ends if np.isfinite(ends).all() else None, capsize=3,
            )  # fmt: skip
    reference_line(right, float(found["random_agreement"].mean()), "")
    right.set_xticks(range(len(counts)), [f"{int(count)} rollouts" for count in counts])
    right.set(ylabel="fraction", ylim=(0, 1.25), title="Rollouts against enumeration")
    right.legend(fontsize=8, loc="upper left", ncols=2)
    return figure


def _sizes(ax: Axes, table: pd.DataFrame) -> None:
    sizes = sorted(table["size"].unique())
    ax.set(xscale="log", xlabel="teacher problems N")
    ax.set_xticks(sizes, [str(int(n)) for n in sizes])
    ax.minorticks_off()
