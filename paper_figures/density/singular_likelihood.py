"""Figures of likelihood for singular distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from simulations.density.singular_likelihood import tuned

CAPTION = (
    "W1 is the Wasserstein distance between points of the fitted and of the true curve, with means over replicates and "
    "95 % intervals; each arm at the learning rate with the least distance to held-out data. The two elements are the "
    "segment with the wrong law (W1 = 1/4) and the segment with the right law, 0.05 off (W1 = 0.05); log-likelihoods "
    "are per sample, at the best model noise. Curves are those of the first replicate."
)


def draw(results: Results) -> dict[str, Figure]:
    """What likelihood prefers, fitted curves, the error against the perturbation, sizes, dimensions and digits."""
    tables, arrays = results.tables, results.arrays
    return {
        "two_elements": _two_elements(tables["two_elements"]),
        "fits": _fits(tables["curves"], arrays["curves"][0]),
        "perturbation": _perturbation(tables["curves"]),
        "sizes": _sizes(tables["sizes"], tables["dimensions"]),
        "images": _images(tables["images"], arrays["images"][0]["images"]),
    }


def _two_elements(table: pd.DataFrame) -> Figure:
    figure, (ax,) = panels(1, width=5.6)
    most = table[table["n"] == table["n"].max()]
    # Noise 0 has no place on a logarithmic axis: it is drawn a step left of the smallest.
    positive = sorted(set(most["noise"]) - {0.0})
    zero = positive[0] / 3
    shown = most.assign(noise=most["noise"].replace({0.0: zero}))
    for element, colour, marker in (("wrong law", COLOURS[1], "s"), ("wrong place", COLOURS[0], "o")):
        intervals(ax, shown, "noise", element, label=f"{element}, W1 = {_w1(element)}", colour=colour, marker=marker)
    threshold, formula = float(most["threshold"].mean()), float(most["predicted"].mean())
    ax.axvline(threshold, color="#444444", linewidth=1, label=f"choice changes at {threshold:.3f}")
    ax.axvline(formula, color="#888888", linewidth=1, linestyle="--", label=f"formula for small offsets, {formula:.3f}")
    ax.set_xscale("log")
    ax.set_xticks([zero, *positive], ["0", *(f"{each:g}" for each in positive)])
    ax.minorticks_off()
    ax.set(
        xlabel="perturbation of the data s̃", ylabel="log-likelihood per sample (nats)",
        title="Without noise, likelihood prefers the wrong law",
    )  # fmt: skip
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _w1(element: str) -> str:
    return "0.25" if element == "wrong law" else "0.05"


def _fits(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Figure:
    first = tuned(table[table["replicate"] == 0])
    supports = list(dict.fromkeys(first["support"]))
    levels = sorted(first.loc[first["arm"] == "perturbed", "level"].unique())
    figure, rows = _grid(len(supports), len(levels))
    for axes, support in zip(rows, supports, strict=True):
        data = arrays[f"{support}, data"]
        for ax, level in zip(axes, levels, strict=True):
            chosen = first[
                (first["support"] == support) & (first["arm"] == "perturbed") & (first["level"] == level)
            ].iloc[0]
            curve = arrays[f"{support}, perturbed, {level:g}, {chosen['rate']:g}"]
            ax.plot(data[:, 0], data[:, 1], ".", color="#999999", markersize=2, zorder=0)
            ax.plot(curve[:, 0], curve[:, 1], ".", color=COLOURS[0], markersize=3)
            ax.set(title=f"s̃ = {level:g}, W1 = {chosen['w1']:.2f}", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
            ax.set_xticks([-1, 0, 1])
            ax.set_yticks([-1, 0, 1])
    return figure


def _grid(rows: int, columns: int):
    figure, flat = panels(rows * columns, width=2.1, height=2.2)
    figure.set_size_inches(2.3 * columns, 2.4 * rows)
    grid = figure.add_gridspec(rows, columns)
    for k, ax in enumerate(flat):
        ax.set_subplotspec(grid[k // columns, k % columns])
    return figure, [flat[k * columns : (k + 1) * columns] for k in range(rows)]


def _perturbation(table: pd.DataFrame) -> Figure:
    chosen = tuned(table)
    supports = list(dict.fromkeys(chosen["support"]))
    figure, axes = panels(len(supports), width=4.6)
    for ax, support in zip(axes, supports, strict=True):
        rows = chosen[chosen["support"] == support]
        for arm, colour, marker, label in (
            ("perturbed", COLOURS[0], "o", "data perturbed, model noise the same"),
            ("noise in the model alone", COLOURS[1], "s", "the same noise in the model alone"),
            ("learned noise", COLOURS[2], "^", "model noise learned"),
        ):
            part = rows[rows["arm"] == arm]
            if len(part):
                line = part.assign(level=part["level"].replace({0.0: 0.005}))
                intervals(ax, line, "level", "w1", label=label, colour=colour, marker=marker)
        ax.set(xscale="log", yscale="log", xlabel="noise s̃ (0 drawn at 0.005)", ylabel="W1 to the true curve")
        ax.set_title(f"{support}: error against the noise")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _sizes(sizes: pd.DataFrame, dimensions: pd.DataFrame) -> Figure:
    figure, (left, right) = panels(2)
    intervals(left, sizes, "n", "w1", label="estimate, s̃ = n^(−1/3)", colour=COLOURS[0])
    intervals(left, sizes, "n", "data", label="the samples themselves", colour=COLOURS[1], marker="s")
    n = np.array(sorted(sizes["n"].unique()), dtype=float)
    first = float(sizes.loc[sizes["n"] == n[0], "w1"].mean())
    left.plot(n, first * (n / n[0]) ** (-1 / 3), color="#888888", linestyle="--", linewidth=1, label="slope −1/3")
    left.set(xscale="log", yscale="log", xlabel="samples n on the circle", ylabel="W1 to the circle")
    left.set_xticks(n, [f"{each:g}" for each in n])
    left.minorticks_off()
    left.set_title("Without noise: estimate and samples")
    left.legend(loc="upper right", fontsize=8)
    for method, colour, marker, label in (
        ("sieve", COLOURS[0], "o", "sieve estimate"),
        ("kernel", COLOURS[1], "s", "kernel density, tuned"),
        ("data", COLOURS[2], "^", "the samples themselves"),
    ):
        rows = dimensions[dimensions["method"] == method]
        intervals(right, rows, "dim", "w1", label=label, colour=colour, marker=marker)
    right.set(xscale="log", xlabel="dimensions of the space D", ylabel="W1 to the circle", ylim=(0, None))
    right.set_xticks(sorted(dimensions["dim"].unique()), [str(d) for d in sorted(dimensions["dim"].unique())])
    right.minorticks_off()
    right.set_title("A circle with noise 0.05 in D dimensions")
    right.legend(loc="upper left", fontsize=8)
    return figure


def _images(table: pd.DataFrame, images: np.ndarray) -> Figure:
    levels = sorted(table.loc[table["noise"] == "learned", "level"].unique())
    shown = [f"{noise}, s̃ = {level:g}" for noise in ("learned", "fixed") for level in levels]
    figure, (left, right) = panels(2, width=4.8)
    tiles = np.block([[each.reshape(8, 8) for each in row] for row in np.clip(images, 0, 1)])
    left.imshow(tiles, cmap="gray_r", vmin=0, vmax=1)
    left.set_yticks(8 * np.arange(len(shown)) + 3.5, shown, fontsize=8)
    left.set_xticks([])
    left.grid(visible=False)
    left.set_title("Generated digits, without noise")
    for noise, colour, marker, label in (
        ("learned", COLOURS[0], "o", "model noise learned"),
        ("fixed", COLOURS[1], "s", "model noise fixed"),
    ):
        intervals(right, table[table["noise"] == noise], "level", "w1", label=label, colour=colour, marker=marker)
    reference_line(
        right, float(table.loc[table["noise"] == "data", "w1"].mean()), "unseen digits against training digits"
    )
    right.set(xlabel="perturbation of the data s̃", ylabel="W1 in 10 principal components")
    right.set_title("Noise helps where the model's is too small")
    right.legend(loc="best", fontsize=8)
    return figure
