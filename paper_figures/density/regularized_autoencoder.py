"""Figures of what regularized auto-encoders learn from the density of their data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results, statistics

CAPTION = (
    "Errors are relative L2 errors under the density. The bimodal density is on a line, the other has three modes in "
    "the plane; both have known scores. Arrows are (r − x)/sigma² of the first replicate's denoising network, their "
    "length growing with the root of it; bars are means over replicates with 95 % intervals. Chains without rejection "
    "stop where they are nearest to held-out data. Digits have no known score; the images are one replicate's."
)
_LOSSES = (("denoising", COLOURS[0], "o"), ("contractive", COLOURS[1], "s"))


def draw(results: Results) -> dict[str, Figure]:
    """Orders of error, the gap of the losses, the reconstruction error as an energy, the learned field, samples."""
    tables, arrays = results.tables, results.arrays
    return {
        "orders": _orders(tables["exact"]),
        "energy": _energy(tables["exact"], arrays["exact"][0]),
        "field": _field(tables["learned"], arrays["learned"][0]),
        "samples": _samples(tables["learned"]),
        "digits": _digits(tables["digits"], arrays["digits"][0]),
    }


def _orders(table: pd.DataFrame) -> Figure:
    figure, (score, coefficient, gap) = panels(3, width=4.3, height=3.6)
    for ax, check, title in (
        (score, "score", "The displacement is the score, to order σ²"),
        (coefficient, "coefficient", "Each optimum has its own σ⁴ term"),
    ):
        for form, colour, marker in _LOSSES:
            _line(ax, table, check, form, form, colour, marker)
        ax.set(xlabel="σ", ylabel=f"relative error of the {check}", title=title)
    coefficient.set_ylim(3e-4, 2)
    for form, colour, marker in _LOSSES:
        _line(coefficient, table, "coefficient, exchanged", form, f"{form}, the other's formula", colour, marker, ":")
    sigma = np.array(sorted(table.loc[table["check"] == "score", "sigma"].unique()))
    anchor = float(table[(table["check"] == "score") & (table["case"] == "contractive")]["value"].max())
    score.plot(sigma, 1.6 * anchor * (sigma / sigma[-1]) ** 2, "--", color="#888888", linewidth=1, label="slope 2")
    for case, label, colour, marker in (
        ("fixed", "r = tanh(1.3 x)", COLOURS[0], "o"),
        ("fixed, less the Laplacian term", "the same, less σ² E (r − x) r″", COLOURS[1], "s"),
        ("x + sigma^2 S", "r = x + σ² S", COLOURS[2], "^"),
    ):
        rows = _line(gap, table, "gap", case, "", colour, marker)
        slope = statistics.log_log_slopes(rows, "sigma", "value")[0]
        gap.lines[-1].set_label(f"{label}: order {slope:.1f}")
    gap.set(xlabel="σ", ylabel="|L_D − L_C|", title="Losses agree only near the optimum", ylim=(1e-18, 1e-2))
    for ax in (score, coefficient, gap):
        ax.set(xscale="log", yscale="log")
        ticks = sorted({float(x) for line in ax.lines for x in np.asarray(line.get_xdata())})
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
        ax.legend(fontsize=7, loc="best")
    return figure


def _line(ax, table: pd.DataFrame, check: str, case: str, label: str, colour: str, marker: str, style: str = "-"):
    rows = table[(table["check"] == check) & (table["case"] == case)].sort_values("sigma")
    ax.plot(rows["sigma"], rows["value"], style, marker=marker, color=colour, label=label or None)
    return rows


def _energy(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Figure:
    figure, axes = panels(2, width=4.6, height=3.9)
    rows = table[table["check"] == "stationary"]
    rows = rows[rows["sigma"] == rows["sigma"].max()]
    shown = (
        ("log density", "log p", arrays["log density"], (-15, 0)),
        ("error", "log10 |r − x|²", np.log10(arrays["error"] + 1e-12), (-7, -1)),
    )
    for ax, (_, label, values, (low, high)) in zip(axes, shown, strict=True):
        image = ax.imshow(
            values, origin="lower", extent=(-2, 2, -2, 2), vmin=low, vmax=high, cmap="viridis", aspect="equal"
        )
        figure.colorbar(image, ax=ax, label=label, shrink=0.85)
        for kind, marker in (("mode", "o"), ("saddle", "X"), ("minimum", "s")):
            part = rows[rows["case"] == kind]
            ax.scatter(
                part["x"], part["y"], marker=marker, s=45, facecolor="white", edgecolor="black", linewidth=1, label=kind
            )
        ax.grid(visible=False)
        ax.set(xlabel="x₁", ylabel="x₂")
    axes[0].set_title("Log-density")
    axes[1].set_title(f"Error vanishes at saddles too, σ = {rows['sigma'].max():g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _field(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Figure:
    densities = list(dict.fromkeys(table["density"]))
    figure, axes = panels(3 * len(densities), width=4.0, height=4.0)
    axis = np.linspace(-2, 2, 21)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for k, density in enumerate(densities):
        field, chains, data = (arrays[f"{density}, {name}"] for name in ("field", "MH, denoising", "data"))
        rows = table[(table["density"] == density) & (table["arm"] == "denoising")]
        sigma = rows["sigma"].min()
        cosine = rows[(rows["sigma"] == sigma) & (rows["quantity"] == "cosine")]["value"].mean()
        arrows, found, iterated = axes[3 * k : 3 * k + 3]
        arrows.plot(data[:, 0], data[:, 1], ".", color="#bbbbbb", markersize=2, zorder=0)
        # Arrows grow with the root of the score, so that those near the modes can be seen.
        length = np.sqrt(np.linalg.norm(field, axis=1, keepdims=True) + 1e-12)
        arrows.quiver(grid[:, 0], grid[:, 1], *(field / length).T, color=COLOURS[0], width=0.004)
        arrows.set_title(f"Displacement: cosine {cosine:.3f} to the score")
        for ax, name, points in (
            (found, "Metropolis–Hastings from it", chains),
            (iterated, "Iterated reconstruction", arrays[f"{density}, iterated"]),
        ):
            ax.plot(data[:, 0], data[:, 1], ".", color="#bbbbbb", markersize=4, label="data")
            ax.plot(points[:, 0], points[:, 1], ".", color=COLOURS[1], markersize=4, label="chains")
            ax.set_title(name)
            ax.legend(loc="upper right", fontsize=8)
        for ax in (arrows, found, iterated):
            ax.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xlabel="x₁", ylabel="x₂")
    return figure


_ARMS = (
    ("uniform", "uniform start"),
    ("iterated", "x ← r(x)"),
    ("corrupted by sigma", "x ← r(x + σ e)"),
    ("corrupted by sqrt(2) sigma", "x ← r(x + √2 σ e)"),
    ("MH, contractive", "MH, contractive"),
    ("MH, denoising", "MH, denoising"),
    ("MH, true score", "MH, true score"),
    ("data", "other data"),
)


def _samples(table: pd.DataFrame) -> Figure:
    figure, (accuracy, samples) = panels(2, width=5.0, height=3.8)
    first = table[table["density"] == table["density"].iloc[0]]
    for arm, colour, marker in _LOSSES:
        rows = first[(first["arm"] == arm) & (first["quantity"] == "relative error")]
        intervals(accuracy, rows, "sigma", "value", label=f"{arm} network", colour=colour, marker=marker)
    kernel = first[(first["arm"] == "kernel density") & (first["quantity"] == "relative error")]["value"].mean()
    reference_line(accuracy, float(kernel), "kernel density estimate, bandwidth tuned")
    sigmas = sorted(first.loc[first["arm"] == "denoising", "sigma"].unique())
    accuracy.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
    accuracy.set(xlabel="σ", ylabel="relative error of the score", ylim=(0, 1.15 * kernel))
    accuracy.set_title("Smaller σ, smaller error")
    accuracy.legend(loc="lower right", fontsize=8)
    for k, (arm, _) in enumerate(reversed(_ARMS)):
        values = first[(first["arm"] == arm) & (first["quantity"] == "energy distance")]["value"]
        estimate = statistics.interval(values)
        low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
        samples.errorbar(
            estimate.mean, k, xerr=[[estimate.mean - max(low, 0)], [high - estimate.mean]], fmt="o",
            color=COLOURS[0] if arm.startswith("MH") else COLOURS[6],
        )  # fmt: skip
    samples.axvline(0.03, color="#888888", linestyle="--", linewidth=1)
    samples.annotate("0.03", (0.03, 1), xycoords=("data", "axes fraction"), xytext=(3, -10), fontsize=8,
                     textcoords="offset points", color="#666666")  # fmt: skip
    samples.set_yticks(range(len(_ARMS)), [label for _, label in reversed(_ARMS)], fontsize=8)
    samples.set(xlabel="energy distance to fresh data", xlim=(0, None))
    samples.set_title("Chains from uniform starts, 400 steps at most")
    return figure


def _digits(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Figure:
    figure, (images, errors) = panels(2, width=5.4, height=2.9)
    names = (("noisy", "noisy start"), ("reconstructed", "reconstructed"), ("chains", "MH from the start"))
    # White between digits.
    tiles = np.block(
        [
            [np.pad(each.reshape(8, 8), ((0, 2), (0, 2))) for each in np.clip(arrays[name], 0, 1)[:12]]
            for name, _ in names
        ]
    )
    images.imshow(tiles, cmap="gray_r", vmin=0, vmax=1)
    images.set_yticks(10 * np.arange(len(names)) + 3.5, [label for _, label in names], fontsize=8)
    images.set_xticks([])
    images.grid(visible=False)
    images.set_title("Digits in 64 dimensions, noise 0.2")
    arms = ("kernel density", "network")
    none = float(table.loc[table["arm"] == "none", "error"].mean())
    for k, arm in enumerate(arms):
        estimate = statistics.interval(table.loc[table["arm"] == arm, "error"])
        low, high = (end if np.isfinite(end) else estimate.mean for end in (estimate.low, estimate.high))
        errors.errorbar(
            k, estimate.mean, yerr=[[estimate.mean - low], [high - estimate.mean]], fmt="o", color=COLOURS[k]
        )
    errors.set_xticks(range(len(arms)), ["best for a kernel density", "network"])
    errors.set(ylabel="squared error per digit", xlim=(-0.5, 1.5))
    errors.set_title(f"Unseen digits, noise of {none:.2f} taken off")
    return figure
