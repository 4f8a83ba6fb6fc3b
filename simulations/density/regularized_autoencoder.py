"""A regularized auto-encoder's displacement is the score of its data: exactly, and as far as networks learn it.

*exact* computes the best reconstructions of densities with known scores, by quadrature, a tridiagonal system and least
squares: the identity r − x = sigma² grad log p_sigma, the order in sigma at which either optimum approaches the score,
the coefficients of the next order (and the other optimum's, which must not fit), how far the two losses are apart for a
reconstruction that is not optimal, and how small the reconstruction error is at minima and saddles of the density.
*learned* trains networks with both losses on a mixture in the plane, in lockstep, and holds them against the true
score, a kernel density estimate with its bandwidth tuned, plain auto-encoders contracted in the encoder alone, and
against fresh data after sampling by Metropolis–Hastings from uniform starts. *digits* has no known score: there the
error of denoising unseen digits measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.controls import exchange
from simulations.density.autoencoder_scores import Digits, Learned, simulate_digits, simulate_learned
from simulations.density.exact_reconstructions import Exact, simulate_exact

PAPER = Paper(
    title="What Regularized Auto-Encoders Learn from the Data Generating Distribution",
    authors="Guillaume Alain, Yoshua Bengio",
    venue="ICLR 2013; JMLR 2014",
    arxiv="1211.4246",
)
DEVIATIONS = [
    "The two losses are said to agree up to o(sigma²). For a fixed reconstruction they differ by sigma² E (r − x)·Δr, "
    "of the order of the penalty itself; at the optimum the difference is of order sigma⁸.",
    "At stationary points of the density the exact denoiser's reconstruction error vanishes with sigma, but is not "
    "zero: the denoiser's own fixed points are the stationary points of the blurred density.",
    "Networks are written as r = x + sigma² g(x), with SiLU instead of tanh, so that small sigma stays well "
    "conditioned; the plain auto-encoders are not. Noise comes in pairs e and −e.",
    "A chain that corrupts by sigma and reconstructs settles near the law proportional to p²: its drift is that of "
    "Langevin dynamics at sqrt(2) sigma. Both are run.",
]

Judge = Callable[[pd.DataFrame], Verdict]
Table = pd.DataFrame

_LOSSES = ("denoising", "contractive")


# exact ------------------------------------------------------------------------------------------


def _check(table: Table, check: str, case: str | None = None) -> Table:
    rows = table[table["check"] == check]
    return rows if case is None else rows[rows["case"] == case]


def _slope(rows: Table) -> float:
    return float(statistics.log_log_slopes(rows, "sigma", "value")[0])


def _order(check: str, case: str, low: float, high: float = np.inf) -> Judge:
    def judge(table: Table) -> Verdict:
        slope, name = _slope(_check(table, check, case)), f"order in sigma, {check}, {case}"
        parts = [statistics.at_least(slope, name, threshold=low)]
        if np.isfinite(high):
            parts.append(statistics.at_most(slope, name, threshold=high))
        return statistics.all_of(parts)

    return judge


def _both(*judges: Judge) -> Judge:
    return lambda table: statistics.all_of([judge(table) for judge in judges])


def _judge_tweedie(table: Table) -> Verdict:
    worst = _check(table, "Tweedie").sort_values("value").iloc[-1]
    witness = f"{worst['case']}, sigma {worst['sigma']:g}"
    return statistics.identity(
        _check(table, "Tweedie")["value"], "quadrature against the blurred score", tolerance=1e-6, witness=witness
    )


def _judge_gaussian(table: Table) -> Verdict:
    return statistics.identity(
        _check(table, "Gaussian")["value"], "least squares against linear shrinkage", tolerance=1e-10
    )


def _judge_coefficient(case: str) -> Judge:
    def judge(table: Table) -> Verdict:
        rows = _check(table, "coefficient", case).sort_values("sigma")
        errors, sigma = rows["value"].to_numpy(), rows["sigma"].iloc[rows["sigma"].searchsorted(0.03)]
        return statistics.all_of(
            [
                statistics.at_most(
                    float(rows.loc[rows["sigma"] == sigma, "value"].iloc[0]),
                    f"relative error of the {case} sigma⁴ term at sigma {sigma:g}", threshold=0.1,
                ),
                statistics.at_least(
                    float(np.diff(errors).min()), "least rise of that error with sigma", threshold=1e-12
                ),
            ]
        )  # fmt: skip

    return judge


def _judge_exchanged(table: Table) -> Verdict:
    rows = _check(table, "coefficient, exchanged")
    worst = rows[rows["sigma"] == rows["sigma"].min()]["value"].min()
    return statistics.at_least(
        float(worst), "relative error with the other optimum's formula (the smaller one)", threshold=0.25
    )


def _judge_errors_vanish(table: Table) -> Verdict:
    rows = _check(table, "stationary")
    largest = rows[rows["sigma"] == rows["sigma"].max()]
    return statistics.at_most(
        float(largest["value"].max()), "largest |r − x|² at a stationary point over its mean on data", threshold=1e-3,
        instances=len(largest),
    )  # fmt: skip


def _judge_errors_vanish_in_the_limit(table: Table) -> Verdict:
    worst = _check(table, "stationary").groupby("sigma", as_index=False)["value"].max().assign(replicate=0)
    return statistics.at_least(_slope(worst), "order in sigma of the largest such ratio", threshold=3.5)


def _judge_not_an_energy(table: Table) -> Verdict:
    rows = _check(table, "stationary")
    rows = rows[rows["sigma"] == rows["sigma"].max()]
    kinds = [int((rows["case"] == kind).sum()) for kind in ("mode", "saddle", "minimum")]
    lowest = rows.loc[rows["case"] == "mode", "log_density"].min()
    highest = rows.loc[rows["case"] != "mode", "log_density"].max()
    similar = float(rows.loc[rows["case"] != "mode", "value"].max())
    return statistics.all_of(
        [
            statistics.at_least(
                float(np.exp(lowest - rows["log_density"].min())),
                "density at the lowest mode over that at the minimum",
                threshold=1000,
            ),
            statistics.at_most(
                float(np.exp(highest - lowest)), "density at the highest saddle over that at the lowest mode",
                threshold=0.01,
            ),
            statistics.at_most(similar, "|r − x|² at saddles and minimum over its mean on data", threshold=0.01),
            statistics.identity(np.subtract(kinds, (3, 3, 1)), "modes, saddles, minima beyond 3, 3, 1", tolerance=0),
        ]
    )  # fmt: skip


def _judge_loop(table: Table) -> Verdict:
    return statistics.identity(
        _check(table, "loop", "exact")["value"], "sum around a triangle over a side, exact denoiser", tolerance=1e-6
    )


def _example_exact() -> Table:
    def rows(check: str, case: str, sigmas: tuple[float, ...], value: Callable[[float], float], **more: float) -> Any:
        return [{"check": check, "case": case, "sigma": s, "value": value(s), **more} for s in sigmas]

    sigmas, table = (0.1, 0.05, 0.03), []
    for case in _LOSSES:
        table += rows("score", case, sigmas, lambda s: 6 * s**2) + rows("Hessian", case, sigmas, lambda s: 9 * s**2)
        table += rows("coefficient", case, sigmas, lambda s: 6 * s**2)
        table += rows("coefficient, exchanged", case, sigmas, lambda s: 0.5)
        table += rows("Gaussian", case, (1.0,), lambda s: 1e-14)
    table += rows("Tweedie", "bimodal", sigmas, lambda s: 1e-14)
    table += rows("Tweedie, unblurred", "bimodal", sigmas, lambda s: s**4)
    table += rows("gap", "fixed", sigmas, lambda s: 0.07 * s**2)
    table += rows("gap", "fixed, less the Laplacian term", sigmas, lambda s: 0.6 * s**4)
    table += rows("gap", "x + sigma^2 S", sigmas, lambda s: 20 * s**8)
    for kind, log_density in (("mode", -0.1), ("saddle", -7.0), ("minimum", -9.0)):
        for _ in range(1 if kind == "minimum" else 3):
            table += rows("stationary", kind, (0.05, 0.025), lambda s: 100 * s**4, log_density=log_density)
    table += rows("loop", "exact", (0.1,), lambda s: 1e-9) + rows("loop", "rotated", (0.1,), lambda s: 0.3)
    return pd.DataFrame(table).assign(replicate=0)


def _tilted(check: str, case: str, power: float) -> Callable[[Table], Table]:
    """A control in which a quantity has another order in sigma."""

    def control(table: Table) -> Table:
        hit = (table["check"] == check) & (table["case"] == case)
        return table.assign(value=table["value"] * np.where(hit, table["sigma"] ** power, 1.0))

    return control


def _in_place_of(check: str, other: str) -> Callable[[Table], Table]:
    """A control that puts the measurements of one check under the name of another."""

    def control(table: Table) -> Table:
        kept = table[table["check"] != check]
        return kept.assign(check=kept["check"].replace({other: check}))

    return control


def _scaled_errors(factor: float) -> Callable[[Table], Table]:
    """The same with other errors at stationary points."""
    return lambda table: table.assign(value=table["value"] * np.where(table["check"] == "stationary", factor, 1.0))


def _error_at_saddles(table: Table) -> Table:
    """A control in which the reconstruction error tells saddles from modes."""
    hit = (table["check"] == "stationary") & (table["case"] != "mode")
    return table.assign(value=table["value"].where(~hit, 1.0))


# learned ----------------------------------------------------------------------------------------


def _values(table: Table, quantity: str, arm: str, sigma: float | None = None) -> np.ndarray:
    rows = table[
        (table["quantity"] == quantity) & (table["arm"] == arm) & (table["density"] == table["density"].iloc[0])
    ]
    if sigma is not None:
        rows = rows[rows["sigma"] == sigma]
    return rows.sort_values("replicate")["value"].to_numpy()


def _sigmas(table: Table) -> tuple[float, float]:
    sigmas = table.loc[table["arm"] == "denoising", "sigma"]
    return float(sigmas.min()), float(sigmas.max())


def _judge_cosine(arm: str) -> Judge:
    def judge(table: Table) -> Verdict:
        parts = []
        for sigma in _sigmas(table):
            compared = f"mean cosine to the true score, {arm}, sigma {sigma:g}"
            parts.append(statistics.trend(_values(table, "cosine", arm, sigma), compared, above=0.95))
        return statistics.all_of(parts)

    return judge


def _judge_smaller_sigma(arm: str) -> Judge:
    def judge(table: Table) -> Verdict:
        small, large = (_values(table, "relative error", arm, sigma) for sigma in _sigmas(table))
        return statistics.trend(small - large, f"relative error, {arm}, smaller minus larger sigma", below=0)

    return judge


def _judge_kernel(table: Table) -> Verdict:
    kernel = _values(table, "relative error", "kernel density")
    ours = _values(table, "relative error", "denoising", _sigmas(table)[0])
    return statistics.trend(
        ours - kernel, "relative error of the score, denoising network minus kernel density", below=0
    )


def _judge_encoder(table: Table) -> Verdict:
    gain = _values(table, "cosine", "plain, whole") - _values(table, "cosine", "plain, encoder alone")
    return statistics.trend(gain, "cosine to the true score, whole Jacobian minus the encoder's alone", above=0)


def _judge_path(table: Table) -> Verdict:
    parts = []
    for arm in _LOSSES:
        for sigma in _sigmas(table):
            values = _values(table, "path dependence", arm, sigma)
            compared = f"sum around a triangle over a side, {arm}, sigma {sigma:g}"
            parts.append(statistics.trend(values, compared, below=0.2))
    return statistics.all_of(parts)


def _energy(table: Table, arm: str) -> np.ndarray:
    return _values(table, "energy distance", arm)


def _judge_samples(arm: str) -> Judge:
    def judge(table: Table) -> Verdict:
        found = _energy(table, f"MH, {arm}")
        return statistics.all_of(
            [
                statistics.trend(found, f"energy distance of MH samples to data, {arm}", below=0.03),
                statistics.trend(
                    found - 0.25 * _energy(table, "uniform"), "the same minus a quarter of the uniform start's", below=0
                ),
            ]
        )

    return judge


def _judge_nearer(first: str, second: str) -> Judge:
    def judge(table: Table) -> Verdict:
        difference = _energy(table, first) - _energy(table, second)
        return statistics.trend(difference, f"energy distance to data, {first} minus {second}", below=0)

    return judge


def _example_learned() -> Table:
    values: dict[tuple[str, str, float], float] = {
        ("plain, whole", "cosine", 0.2): 0.95, ("plain, encoder alone", "cosine", 0.2): 0.1,
        ("kernel density", "relative error", 0.08): 0.6, ("kernel density", "cosine", 0.08): 0.8,
    }  # fmt: skip
    for arm in _LOSSES:
        for sigma in (0.1, 0.2):
            values |= {
                (arm, "cosine", sigma): 0.99, (arm, "relative error", sigma): 1.6 * sigma,
                (arm, "path dependence", sigma): 0.05,
            }  # fmt: skip
        values[f"MH, {arm}", "energy distance", 0.1] = 0.008
    for arm, distance in (
        ("MH, true score", 0.01), ("uniform", 0.14), ("iterated", 0.05), ("corrupted by sigma", 0.04),
        ("corrupted by sqrt(2) sigma", 0.03),
    ):  # fmt: skip
        values[arm, "energy distance", 0.1] = distance
    return pd.DataFrame(
        [
            {
                "replicate": k, "density": "three modes", "arm": arm, "sigma": sigma, "quantity": quantity,
                "value": value * (1 + 0.001 * k),
            }
            for k in range(5)
            for (arm, quantity, sigma), value in values.items()
        ]
    )  # fmt: skip


def _spoiled(quantity: str, arms: tuple[str, ...], factor: float) -> Callable[[Table], Table]:
    """A control that multiplies what was measured of some arms."""

    def control(table: Table) -> Table:
        hit = (table["quantity"] == quantity) & table["arm"].isin(arms)
        return table.assign(value=table["value"] * np.where(hit, factor, 1.0))

    return control


def _sigmas_exchanged(table: Table) -> Table:
    """A control in which the networks of the smaller sigma were those of the larger."""
    small, large = _sigmas(table)
    hit = table["arm"].isin(_LOSSES) & (table["quantity"] == "relative error")
    return table.assign(sigma=table["sigma"].where(~hit, table["sigma"].replace({small: large, large: small})))


def _worse_at_the_start(arm: str) -> Callable[[Table], Table]:
    """A control in which the chains have not moved."""
    return lambda table: exchange(table, "arm", f"MH, {arm}", "uniform")


# digits -----------------------------------------------------------------------------------------


def _judge_digits(table: Table) -> Verdict:
    error = table.pivot(index="replicate", columns="arm", values="error")
    return statistics.trend(
        (error["network"] - error["kernel density"]) / error["none"],
        "squared error of denoised digits over the noise's, network minus kernel density", below=0,
    )  # fmt: skip


def _example_digits() -> Table:
    return pd.DataFrame(
        [
            {"replicate": k, "arm": arm, "error": error + 0.01 * k * (arm == "network")}
            for k in range(5)
            for arm, error in (("network", 0.7), ("kernel density", 1.0), ("none", 2.56))
        ]
    )


EXPERIMENTS = [
    Experiment(
        "exact", simulate_exact, quick=Exact(), full=Exact(spacing=0.001, mixtures=20, gaussians=500),
        tiny=Exact(
            score_sigmas=(0.1, 0.05), coefficient_sigmas=(0.1, 0.03), tweedie_sigmas=(0.2,), gap_sigmas=(0.1, 0.05),
            spacing=0.01, mixtures=1, gaussians=2, starts=40, samples=50, triangles=2,
        ),
        replicates=1,
    ),
    Experiment(
        "learned", simulate_learned, quick=Learned(),
        full=Learned(
            densities=("three modes", "spiral"), samples=20_000, evaluation=5000, width=128, steps=5000, rate=3e-3,
            plain_steps=5000, chains=1500,
        ),
        tiny=Learned(
            samples=50, evaluation=30, width=8, batch=10, steps=2, plain_steps=2, triangles=2, chains=10,
            checkpoints=(1, 3),
        ),
    ),
    Experiment(
        "digits", simulate_digits, quick=Digits(),
        full=Digits(width=512, steps=10_000, rates=(3e-4, 1e-3, 3e-3), chains=40, mh_steps=2000),
        tiny=Digits(width=8, steps=2, rates=(3e-3,), bandwidths=(0.1,), held_out=20, chains=2, mh_steps=2),
    ),
]  # fmt: skip

_IDENTITY = "displacement of the optimal reconstruction as an estimate of the score"
_SAMPLING = "sampling by Metropolis–Hastings with energy differences from the reconstruction"

CLAIMS = [
    *(
        Claim(
            f"C1{letter}", "exact", "rate", _IDENTITY,
            f"The {form} optimum's displacement over sigma² approaches the score with the order sigma².",
            _order("score", form, 1.7, 2.2), _example_exact, _tilted("score", form, -1.0),
        )
        for letter, form in zip("ab", _LOSSES, strict=True)
    ),
    Claim(
        "C1c", "exact", "rate", "the Jacobian of the optimal reconstruction as an estimate of the Hessian of log p",
        "Both Jacobians, less the identity and over sigma², approach the Hessian of log p with the order sigma².",
        _both(*(_order("Hessian", form, 1.7, 2.2) for form in _LOSSES)), _example_exact,
        _tilted("Hessian", "denoising", -1.0),
    ),
    Claim(
        "C2", "exact", "identity", "derived here (Tweedie's formula)",
        "At every sigma the best denoiser is x + sigma² times the score of the blurred density.",
        _judge_tweedie, _example_exact, _in_place_of("Tweedie", "Tweedie, unblurred"),
    ),
    *(
        Claim(
            f"C3{letter}", "exact", "limit", "derived here",
            f"The {form} optimum's term of order sigma⁴ is {term}.",
            _judge_coefficient(form), _example_exact, _in_place_of("coefficient", "coefficient, exchanged"),
        )
        for letter, form, term in (
            ("a", "denoising", "ΔS/2 + ∂S S"), ("b", "contractive", "ΔS + ∂S S")
        )
    ),
    Claim(
        "C3c", "exact", "limit", "derived here", "The two optima differ at that order: neither has the other's term.",
        _judge_exchanged, _example_exact, _in_place_of("coefficient, exchanged", "coefficient"),
    ),
    Claim(
        "C4", "exact", "identity", _IDENTITY,
        "For Gaussian data both optima are the linear shrinkage mu + Sigma (Sigma + sigma² I)⁻¹ (x − mu).",
        _judge_gaussian, _example_exact,
        lambda t: t.assign(value=t["value"].where(t["check"] != "Gaussian", t["sigma"] ** 2)),
    ),
    Claim(
        "C5a", "exact", "rate", "equivalence of denoising and contraction for small noise, read for any reconstruction",
        "The two losses of a fixed smooth reconstruction differ by o(sigma²).",
        _order("gap", "fixed", 2.25), lambda: _tilted("gap", "fixed", 2.0)(_example_exact()),
        _tilted("gap", "fixed", -2.0),
    ),
    Claim(
        "C5b", "exact", "rate", "derived here",
        "They differ by the order sigma², and by sigma⁴ when sigma² E (r − x)·Δr is taken off.",
        _both(_order("gap", "fixed", 1.75, 2.25), _order("gap", "fixed, less the Laplacian term", 3.6, 4.4)),
        _example_exact, _tilted("gap", "fixed, less the Laplacian term", -2.0),
    ),
    Claim(
        "C5c", "exact", "rate", "equivalence of denoising and contraction for small noise, at the optimum",
        "At x + sigma² S they differ by at most the order sigma⁵.",
        _order("gap", "x + sigma^2 S", 5.0), _example_exact, _tilted("gap", "x + sigma^2 S", -4.0),
    ),
    Claim(
        "C6a", "exact", "limit", "the reconstruction error is not an energy",
        "At every stationary point of the density (sigma 0.05) it is below a thousandth of its mean on data.",
        _judge_errors_vanish, lambda: _scaled_errors(0.1)(_example_exact()), _error_at_saddles,
    ),
    Claim(
        "C6b", "exact", "rate", "derived here",
        "There its ratio to that mean vanishes like sigma⁴ (order at least 3.5).",
        _judge_errors_vanish_in_the_limit, _example_exact, _error_at_saddles,
    ),
    Claim(
        "C6c", "exact", "bound", "the reconstruction error is not an energy",
        "Three modes, three saddles and a minimum have hardly any of it, though the density differs a thousandfold.",
        _judge_not_an_energy, _example_exact, _error_at_saddles,
    ),
    *(
        Claim(
            f"C7{letters[0]}", "learned", "trend", _IDENTITY,
            f"{arm.capitalize()} networks: mean cosine to the true score above 0.95 at both sigmas.",
            _judge_cosine(arm), _example_learned, _spoiled("cosine", (arm,), -1.0),
        )
        for arm, letters in zip(_LOSSES, ("ab", "cd"), strict=True)
    ),
    *(
        Claim(
            f"C7{letters[1]}", "learned", "trend", _IDENTITY,
            f"{arm.capitalize()} networks: less error of the score at sigma 0.1 than at 0.2.",
            _judge_smaller_sigma(arm), _example_learned, _sigmas_exchanged,
        )
        for arm, letters in zip(_LOSSES, ("ab", "cd"), strict=True)
    ),
    Claim(
        "C7e", "learned", "trend", "derived here",
        "The denoising network at sigma 0.1 has less error than the gradient of a kernel density estimate, tuned.",
        _judge_kernel, _example_learned, _spoiled("relative error", ("denoising",), 100.0),
    ),
    Claim(
        "C7f", "learned", "trend", "penalty on the whole reconstruction, not on the encoder alone",
        "Contraction of the encoder alone, at its best strength, does not give the score that the whole one gives.",
        _judge_encoder, _example_learned, lambda t: exchange(t, "arm", "plain, whole", "plain, encoder alone"),
    ),
    *(
        Claim(
            f"C8{letter}", "learned", "trend", _SAMPLING,
            f"Chains driven by the {arm} network come within an energy distance of 0.03 of data, and of a quarter of "
            "the start's.",
            _judge_samples(arm), _example_learned, _worse_at_the_start(arm),
        )
        for letter, arm in zip("ab", _LOSSES, strict=True)
    ),
    Claim(
        "C8c", "learned", "trend", _SAMPLING,
        "They come nearer than iterating the reconstruction, stopped at its best.",
        _judge_nearer("MH, denoising", "iterated"), _example_learned,
        lambda t: exchange(t, "arm", "MH, denoising", "iterated"),
    ),
    Claim(
        "C8d", "learned", "trend", "sampling by corruption and reconstruction without rejection",
        "They come nearer than corrupting by sigma and reconstructing, stopped at its best.",
        _judge_nearer("MH, denoising", "corrupted by sigma"), _example_learned,
        lambda t: exchange(t, "arm", "MH, denoising", "corrupted by sigma"),
    ),
    Claim(
        "C8e", "learned", "trend", "derived here",
        "Corruption by sqrt(2) sigma, which makes it Langevin dynamics, comes nearer than corruption by sigma.",
        _judge_nearer("corrupted by sqrt(2) sigma", "corrupted by sigma"), _example_learned,
        lambda t: exchange(t, "arm", "corrupted by sqrt(2) sigma", "corrupted by sigma"),
    ),
    Claim(
        "C9a", "exact", "identity", "energy differences by integrating the displacement along a path",
        "Around a triangle the exact denoiser's displacements sum to zero.",
        _judge_loop, _example_exact,
        lambda t: exchange(t, "case", "exact", "rotated"),
    ),
    Claim(
        "C9b", "learned", "trend", "energy differences by integrating the displacement along a path",
        "Networks' sums around triangles are below a fifth of the mean difference along a side.",
        _judge_path, _example_learned, _spoiled("path dependence", _LOSSES, 100.0),
    ),
    Claim(
        "C10", "digits", "trend", "derived here (the same on 64 pixels, where no score is known)",
        "A denoising network removes more noise from unseen digits than a kernel density estimate's best denoiser.",
        _judge_digits, _example_digits, lambda t: exchange(t, "arm", "network", "kernel density"),
    ),
]  # fmt: skip
