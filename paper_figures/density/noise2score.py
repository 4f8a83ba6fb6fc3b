"""Figures of Noise2Score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.style import COLOURS, intervals, panels
from simulations import Results
from simulations.density.noise2score import SIGMA
from simulations.statistics import interval
from theory.density import noise2score as theory

CAPTION = (
    "PSNR in decibels on photographs that were not trained on, means over replicates with 95 % intervals; small "
    "networks, one hundred to some thousand steps. Noise2Score, Noise2Void and SURE train on one noisy image per "
    "scene, Noise2Noise on two, supervised training on clean ones; total variation and non-local means need no "
    "training and are given a strength tuned like the networks' learning rates. Images are those of the first "
    "replicate. Tweedie maps are exact."
)

_LABELS = {
    "noisy": "noisy", "sure": "SURE", "noise2void": "Noise2Void", "noise2score": "Noise2Score",
    "noise2noise": "Noise2Noise", "supervised": "supervised", "total variation": "total variation",
    "non-local means": "non-local means",
}  # fmt: skip


def draw(results: Results) -> dict[str, Figure]:
    """Images before and after, PSNR by method, the search for the level, levels, and the maps of the three noises."""
    tables, arrays = results.tables, results.arrays
    return {
        "images": _images(arrays["gaussian"][0], arrays["families"][0], tables),
        "methods": _methods(tables["gaussian"]),
        "level": _level(tables["levels"], arrays["levels"]),
        "maps": _maps(),
    }


def _images(
    gaussian: dict[str, np.ndarray], families: dict[str, np.ndarray], tables: dict[str, pd.DataFrame]
) -> Figure:
    rows = [("Gaussian, σ = 25/255", gaussian["noisy"], gaussian["noise2score"], gaussian["clean"])]
    first = tables["families"].drop_duplicates("noise").set_index("noise")["level"]
    rows += [
        (label, families[f"{noise}, noisy"], families[f"{noise}, denoised"], families["clean"])
        for noise, label in (
            ("poisson", f"Poisson, ζ = {first['poisson']:g}"),
            ("gamma", f"Gamma, α = {first['gamma']:g}"),
        )
    ]
    figure, axes = panels(9, width=2.1, height=2.2)
    figure.set_size_inches(6.9, 7.2)
    grid = figure.add_gridspec(3, 3)
    for k, ax in enumerate(axes):
        ax.set_subplotspec(grid[k // 3, k % 3])
        label, *images = rows[k // 3]
        ax.imshow(images[k % 3], cmap="gray", vmin=0, vmax=1)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(visible=False)
        if k % 3 == 0:
            ax.set_ylabel(label)
        if k < 3:
            ax.set_title(("noisy", "Noise2Score", "clean")[k])
        if k % 3 < 2:
            error = np.mean((np.clip(images[k % 3], 0, 1) - images[2]) ** 2)
            ax.set_xlabel(f"{-10 * np.log10(error):.1f} dB", labelpad=2)
    return figure


def _methods(table: pd.DataFrame) -> Figure:
    rows = table[(table["stage"] == "test") & ((table["sigma"] - SIGMA).abs() < 1e-9)]
    figure, (ax,) = panels(1, width=7.2, height=3.6)
    images = list(dict.fromkeys(rows["image"]))
    for k, name in enumerate(_LABELS):
        for i, image in enumerate(images):
            found = rows[(rows["method"] == name) & (rows["image"] == image)]
            mean = interval(found["psnr"])
            half = max(mean.mean - mean.low, 0) if np.isfinite(mean.low) else 0
            ax.bar(
                k + 0.27 * (i - (len(images) - 1) / 2), mean.mean, 0.25, yerr=half, color=COLOURS[i], capsize=2,
                label=image if k == 0 else None,
            )  # fmt: skip
    ax.set_xticks(range(len(_LABELS)), [label.replace(" ", "\n") for label in _LABELS.values()], fontsize=8)
    low = float(rows.loc[rows["method"] == "noisy", "psnr"].min())
    ax.set(
        ylabel="PSNR (dB)",
        ylim=(np.floor(low) - 1, None),
        title="Tuned classical denoisers and small networks, σ = 25/255",
    )
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _level(table: pd.DataFrame, arrays: list[dict[str, np.ndarray]]) -> Figure:
    figure, (left, right) = panels(2, width=4.8, height=3.6)
    grid = 255 * arrays[0]["grid"]
    for training, colour, label in (("single", COLOURS[0], "trained at 25"), ("mixed", COLOURS[1], "trained at many")):
        curves = np.stack([each[f"{training} curves"][0] for each in arrays])
        left.plot(grid, curves.mean(0), color=colour, label=label)
        left.fill_between(grid, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
        best = int(curves.mean(0).argmin())
        left.plot(grid[best], curves.mean(0)[best], "o", color=colour)
    left.axvline(255 * SIGMA, color="#444444", linewidth=1, linestyle="--", label="true level")
    left.set(xlabel="level σ assumed (1/255)", ylabel="total variation of the denoised image", yscale="log")
    left.set_title("Total variation is least near the true level")
    left.legend(fontsize=8)
    camera = table[table["image"] == "camera"].assign(sigma=lambda t: (255 * t["sigma"]).round(1))
    _lines(right, camera)
    return figure


def _lines(ax: Axes, camera: pd.DataFrame) -> None:
    once = camera[camera["training"] == "single"]
    intervals(ax, once, "sigma", "noisy", label="noisy", colour="#888888", marker="v")
    intervals(ax, once, "sigma", "matched", label="trained at that level", colour=COLOURS[2], marker="^")
    intervals(ax, once, "sigma", "known", label="trained at 25, level known", colour=COLOURS[0], marker="o")
    mixed = camera[camera["training"] == "mixed"]
    intervals(ax, mixed, "sigma", "known", label="trained at many, level known", colour=COLOURS[1], marker="s")
    intervals(ax, mixed, "sigma", "blind", label="trained at many, level sought", colour=COLOURS[3], marker="D")
    ax.set_xticks(sorted(camera["sigma"].unique()))
    ax.set(xlabel="level σ of the noise (1/255)", ylabel="PSNR (dB)")
    ax.set_title("Levels that were not trained on")
    ax.legend(fontsize=7)


def _maps() -> Figure:
    """Tweedie's formulas for mixtures of conjugate priors with two lumps."""
    figure, axes = panels(3, width=3.5, height=3.4)
    y = np.linspace(0.02, 1.4, 200)
    weights = np.array([0.5, 0.5])
    gaussian = theory.gaussian_gaussian(y, 0.15, np.array([0.3, 0.9]), np.array([0.06, 0.1]), weights)
    poisson = theory.poisson_gamma(y / 0.1, 0.1, np.array([4.0, 40.0]), np.array([20.0, 44.0]), weights)
    gamma = theory.gamma_inverse_gamma(y, 8.0, np.array([20.0, 40.0]), np.array([5.0, 35.0]), weights)
    named = (
        ("Gaussian noise, σ = 0.15", gaussian, theory.tweedie_gaussian(y, gaussian.score, 0.15)),
        ("Poisson noise, ζ = 0.1", poisson, theory.tweedie_poisson(y, poisson.score, 0.1)),
        ("Gamma noise, α = 8", gamma, theory.tweedie_gamma(y, gamma.score, 8.0)),
    )
    for ax, (title, posterior, found) in zip(axes, named, strict=True):
        ax.plot(y, posterior.arithmetic, color="#888888", linewidth=3, label="posterior mean")
        if posterior.geometric is not None and posterior.harmonic is not None:
            ax.plot(y, posterior.geometric, color=COLOURS[2], linewidth=1.5, linestyle="-.", label="geometric mean")
            ax.plot(y, posterior.harmonic, color=COLOURS[1], linewidth=1.5, linestyle=":", label="harmonic mean")
        ax.plot(y, found, color=COLOURS[0], linestyle="--", linewidth=1.5, label="Tweedie's formula")
        ax.set(xlabel="noisy value y", ylabel="denoised value", title=title)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure
