"""Figures of maximum likelihood for unnormalised models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from paper_figures.style import COLOURS, intervals, panels, reference_line
from simulations import Results
from simulations.density.tilted_energies import METHODS, OUTSIDE, chosen
from theory.density.gaussian_objectives import Objective, log_partition, objective_value

CAPTION = (
    "Landscapes and gradient steps are exact: data N(R, 1), noise N(0, 1). Points with intervals are means over "
    "replicates with 95 % intervals; every method has the setting with the best held-out likelihood of its grid. "
    "Importance weights have relative second moment E w². Energy networks are tilts of Gaussian noise."
)
_NAMES = {"meco": "MECO", "plug-in": "plug-in", "nce": "NCE", "ence": "eNCE"}
_COLOUR_OF = dict(zip(_NAMES, COLOURS, strict=False))


def draw(results: Results) -> dict[str, Figure]:
    """Landscapes, steps, errors from batches, rates, densities, outliers."""
    return {
        "landscape": _landscape(),
        "steps": _steps(results.tables["landscape"]),
        "batches": _batches(results.tables["stochastic"], results.tables["rates"]),
        "densities": _densities(results),
        "likelihood": _likelihood(results.tables["planar"]),
        "outliers": _outliers(results),
    }


def _landscape(R: float = 4.0) -> Figure:
    figure, (line, nce, ence) = panels(3)
    theta = np.linspace(-2, 8, 81)
    line.plot(theta, objective_value("mle", theta, 0.0, R), color=COLOURS[0])
    line.set(xlabel="θ", ylabel="population objective", title="MLE: a parabola, whatever the noise")
    c = np.linspace(-2, 16, 73)
    contrasts: list[tuple[Axes, Objective, str]] = [(nce, "nce", "NCE: a flat valley"), (ence, "ence", "eNCE")]
    for ax, objective, title in contrasts:
        values = objective_value(objective, *np.meshgrid(theta, c), R)
        excess = np.log10(np.maximum(values - values.min(), 1e-6)) if objective == "nce" else np.log10(values)
        mesh = ax.contourf(theta, c, excess, levels=20, cmap="viridis")
        ax.plot(R, log_partition(R), marker="*", color="white", markeredgecolor="black", markersize=12)
        ax.set(xlabel="θ", ylabel="c, in the place of log Z", title=title)
        label = "log₁₀ of objective − least" if objective == "nce" else "log₁₀ of objective"
        figure.colorbar(mesh, ax=ax, label=label)
    return figure


def _steps(table: pd.DataFrame) -> Figure:
    figure, (curvature, condition, steps) = panels(3)
    rows = table[(table["quantity"] == "curvature") & (table["objective"] == "NCE")]
    for (noise, own), colour in zip(rows.groupby("noise"), COLOURS[1:], strict=False):
        own = own[own["R"] <= 16]
        curvature.plot(own["R"], np.exp(-own["value"]), "o-", color=colour, label=f"NCE, noise {noise}")
    bound = rows[(rows["noise"] == "N(0, 1)") & (rows["R"] <= 16)]
    curvature.plot(bound["R"], np.exp(-bound["bound"]), ":", color="black", label="upper bound, N(0, 1)")
    reference_line(curvature, 1.0, "MLE")
    curvature.set(yscale="log", xlabel="distance R", ylabel="smallest curvature", title="NCE is flat with far noise")
    curvature.legend(fontsize=8)
    far = rows[rows["noise"] == "N(0, 1)"]
    condition.plot(far["R"], far["condition"], "o-", color=COLOURS[1], label="as parametrised")
    condition.plot(far["R"], far["centred_condition"], "s-", color=COLOURS[2], label="x measured from the middle")
    condition.plot(far["R"], far["R"] ** 6 / (16 * np.pi**2), ":", color="black", label="R⁶/(16π²)")
    condition.set(
        xscale="log", yscale="log", xlabel="distance R", ylabel="condition number", title="… and ill-conditioned"
    )
    condition.set_xticks([2, 4, 8, 16, 40], ["2", "4", "8", "16", "40"])
    condition.minorticks_off()
    condition.legend(fontsize=8)
    descent = table[table["quantity"] == "descent"]
    for (name, own), colour in zip(
        descent.groupby("objective"), (COLOURS[3], COLOURS[4], COLOURS[1], COLOURS[2]), strict=False
    ):
        own = own[np.isfinite(own["iterations"])]
        steps.plot(own["R"], own["iterations"], "o-", color=colour, label=name)
    steps.set(
        yscale="log", xlabel="distance R", ylabel="gradient steps to |θ − R| ≤ 0.1", title="Steps, best of a grid"
    )
    steps.legend(fontsize=8)
    return figure


def _batches(stochastic: pd.DataFrame, rates: pd.DataFrame) -> Figure:
    figure, (price, tracking, slopes) = panels(3)
    far = stochastic[(stochastic["R"] == 4) & (stochastic["s"] > 1) & (stochastic["batch_size"] == 32)]
    best = chosen(far, ("method", "s"), ("rate", "gamma"))
    for method in ("meco", "nce"):
        intervals(price, best[best["method"] == method], "s", "rmse", label=_NAMES[method], colour=_COLOUR_OF[method])
    price.set(
        xscale="log", yscale="log", xlabel="scale s of the noise", ylabel="RMSE of θ", title="R = 4, batches of 32"
    )
    for s in sorted(best["s"].unique()):
        moment = best.loc[best["s"] == s, "second_moment"].iloc[0]
        price.annotate(f"E w² = {moment:.1f}", (s, 0.02), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
    price.set_xticks(sorted(best["s"].unique()), [f"{s:g}" for s in sorted(best["s"].unique())])
    price.minorticks_off()
    _few_decades(price)
    price.margins(x=0.2, y=0.25)
    price.legend()
    near = chosen(stochastic[stochastic["R"] == 2], ("method", "batch_size"), ("rate", "gamma"))
    for method in ("meco", "plug-in"):
        intervals(
            tracking, near[near["method"] == method], "batch_size", "rmse", label=_NAMES[method],
            colour=_COLOUR_OF[method],
        )  # fmt: skip
    sizes = sorted(near["batch_size"].unique())
    tracking.set(
        xscale="log", yscale="log", xlabel="batch size", ylabel="RMSE of θ", title="Tracking removes bias, R = 2"
    )
    tracking.set_xticks(sizes, [str(size) for size in sizes])
    tracking.minorticks_off()
    _few_decades(tracking)
    tracking.legend()
    for name, colour in zip(sorted(rates["schedule"].unique()), COLOURS, strict=False):
        intervals(slopes, rates[rates["schedule"] == name], "steps", "remains", label=name, colour=colour)
    slopes.set(
        xscale="log", yscale="log", xlabel="steps T", ylabel="(θ − R)², or mean squared gradient",
        title="Rates: 1/T and 1/√T",
    )  # fmt: skip
    horizons = sorted(rates["steps"].unique())
    slopes.set_xticks(horizons, [str(T) for T in horizons])
    slopes.minorticks_off()
    slopes.legend(fontsize=8)
    return figure


def _few_decades(ax: Axes) -> None:
    """Labels at 1, 2 and 5 times powers of ten, where an axis has too few powers to be read."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _densities(results: Results) -> Figure:
    names = list(results.tables["planar"]["density"].unique())
    arrays = results.arrays["planar"][0]
    columns = ("truth", *METHODS)
    figure = Figure(figsize=(2.1 * len(columns), 2.2 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(columns), squeeze=False)
    for number, (row, name) in enumerate(zip(axes, names, strict=True)):
        top = float(arrays[f"{name}, truth"].max())
        for place, (ax, column) in enumerate(zip(row, columns, strict=True)):
            picture = arrays[f"{name}, {column}"].astype(np.float32)
            ax.imshow(picture, origin="lower", extent=(-5, 5, -5, 5), vmin=0, vmax=top, cmap="viridis")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(visible=False)
            if place == 0:
                ax.set_ylabel(name)
            if number == 0:
                ax.set_title(_NAMES.get(column, column))
    return figure


def _likelihood(table: pd.DataFrame) -> Figure:
    figure, (likelihood, normaliser) = panels(2, width=5)
    best = chosen(table, ("density", "method"))
    best = best.assign(excess=best["nll"] - best["entropy"])
    names = list(best["density"].unique())
    for number, method in enumerate(METHODS):
        rows = best[best["method"] == method]
        rows = rows.assign(place=rows["density"].map(names.index) + 0.12 * (number - 1.5))
        for ax, column in ((likelihood, "excess"), (normaliser, "log_z_error")):
            intervals(ax, rows, "place", column, label=_NAMES[method], colour=_COLOUR_OF[method])
            ax.lines[-1].set_linestyle("none")
    for ax in (likelihood, normaliser):
        for container in ax.containers:
            container.lines[0].set_linestyle("none")
        ax.set_xticks(range(len(names)), names)
        ax.set_ylim(0, None)
    likelihood.set(ylabel="test NLL − entropy (nats)", title="Nearer to the truth is lower")
    normaliser.set(ylabel="|own estimate − log Z|", title="The method's own normaliser")
    likelihood.legend(fontsize=8)
    return figure


def _outliers(results: Results) -> Figure:
    table = results.tables["outliers"]
    figure, (auroc, histogram) = panels(2, width=5.4)
    rows = chosen(table, ("method", "outside"))
    methods = [m for m in (*METHODS, "kernel density", "Gaussian") if m in set(rows["method"])]
    for number, method in enumerate(methods):
        own = rows[rows["method"] == method]
        own = own.assign(place=own["outside"].map(OUTSIDE.index) + 0.13 * (number - (len(methods) - 1) / 2))
        intervals(auroc, own, "place", "auroc", label=_NAMES.get(method, method), colour=COLOURS[number])
    for container in auroc.containers:
        container.lines[0].set_linestyle("none")
    reference_line(auroc, 0.5, "chance")
    auroc.set_xticks(range(len(OUTSIDE)), [name.replace(" ", "\n") for name in OUTSIDE])
    auroc.set(ylabel="AUROC against test images", title="Images from outside digits 0–4", ylim=(0.25, 1.02))
    auroc.legend(fontsize=8, loc="lower center", ncols=len(methods))
    arrays = results.arrays["outliers"][0]
    low = np.percentile(np.concatenate([arrays[f"score, {name}"] for name in OUTSIDE]), 5)
    bins = np.linspace(low, max(float(arrays["score, test"].max()), low + 1), 40)
    for name, colour in zip(("test", *OUTSIDE[:3]), COLOURS, strict=False):
        scores = np.clip(arrays[f"score, {name}"], bins[0], bins[-1])
        label = "test images" if name == "test" else name
        histogram.hist(
            scores, bins, weights=np.full(len(scores), 1 / len(scores)), histtype="step", color=colour, label=label
        )
    histogram.set(
        xlabel="log p₀ of MECO (first replicate; left end collects the rest)", ylabel="share of images",
        title="Scores",
    )  # fmt: skip
    histogram.legend(fontsize=8, loc="upper right")
    return figure
