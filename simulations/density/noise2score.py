"""Denoising from the score of noisy images: exactly, and with networks on photographs that ship with two libraries.

*identities* holds Tweedie's three formulas against posterior means by summation, *score_fit* the AR-DAE loss against
the blurred score it must learn, *stein* Stein's estimate against the error it estimates. *gaussian* compares networks
of one size and number of steps, trained on two noisy photographs by Noise2Score, Noise2Void, SURE, Noise2Noise and with
clean targets, and total variation and non-local means that know the level; every method has four settings, and the one
that is best on held-out parts of the training photographs is used on others. *families* trains on Poisson and on Gamma
noise, *levels* on one level and on many, and both find the level when it is unknown.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neural.density.image_noise import NoiseFamily, add_noise, psnr
from neural.density.noise2score import Noise2Score, estimate_noise_parameter
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange
from simulations.density.image_denoising import (
    CLASSICAL,
    LEARNED,
    classical_denoiser,
    denoised_by,
    fit_network,
    mean_psnr,
    training_strips,
    unseen_photographs,
)
from simulations.density.tweedie_identities import (
    Identities,
    ScoreFit,
    Stein,
    simulate_identities,
    simulate_score_fit,
    simulate_stein,
)
from theory.density import noise2score as theory

PAPER = Paper(
    title="Noise2Score: Tweedie's Approach to Self-Supervised Image Denoising without Clean Images",
    authors="Kwanyoung Kim, Jong Chul Ye",
    venue="NeurIPS 2021",
    arxiv="2106.07009",
)
DEVIATIONS = [
    "For Poisson and Gamma noise the formulas give the geometric and the harmonic posterior mean, not the posterior "
    "mean: both are lower, most of all where images are dark.",
    "Small convolutional networks and a few hundred steps instead of a U-Net and 100 epochs; photographs that "
    "ship with scikit-image and scikit-learn instead of BSD68, Set12 and Kodak.",
    "After so few steps networks that denoise directly are far from what they can reach; that Noise2Score is level "
    "with training on clean images says that it learns as fast at this cost, not that it ends as well.",
    "sa falls once over the whole training; the authors' code starts its schedule anew in every epoch.",
    "The search for an unknown level of Gaussian or Gamma noise calls the network once; the authors' code calls it for "
    "every level of the grid.",
    "Total variation is summed without the authors' 1e-12 under the root, which only a gradient would need.",
    "SURE training was not one of the paper's experiments; it is here because the paper derives it as a special case.",
]

SIGMA = 25 / 255
_CAMERA = "camera"


@dataclass(frozen=True)
class Network:
    """Photographs, network and steps of every method."""

    photographs: tuple[str, ...] = ("china", "flower")
    unseen: tuple[str, ...] = (_CAMERA, "astronaut", "coins")
    side: int = 128
    width: int = 16
    depth: int = 4
    size: int = 24
    batch: int = 4
    steps: int = 100
    rate: float = 0.01


# gaussian ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussian(Network):
    """Levels of Gaussian noise, and the four settings of every method: learning rates, weights and strengths."""

    sigmas: tuple[float, ...] = (SIGMA,)
    rates: tuple[float, ...] = (0.001, 0.004, 0.016, 0.064)
    tuning_steps: int = 25
    weights: tuple[float, ...] = (0.03, 0.06, 0.12, 0.24)
    strengths: tuple[float, ...] = (0.3, 0.55, 1.0, 1.8)


def simulate_gaussian(settings: Gaussian, seed: int, device: str) -> Replicate:
    """PSNR on held-out pieces for every setting, and on unseen photographs for the best one, per level and method."""
    strips, held_out = training_strips(settings.photographs, settings.size)
    unseen = unseen_photographs(settings.unseen, settings.side).to(device)
    held_out = held_out.to(device)
    rows: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for sigma in settings.sigmas:
        rng = torch.Generator(device).manual_seed(seed + 3)
        noisy, pieces = (add_noise(x, "gaussian", sigma, rng) for x in (unseen, held_out))

        def report(method: str, setting: float, found: Tensor, sigma=sigma) -> None:
            for name, value in zip(settings.unseen, psnr(found, unseen).tolist(), strict=True):
                row = {"stage": "test", "sigma": sigma, "method": method, "setting": setting}
                rows.append({**row, "image": name, "psnr": value})

        for method in LEARNED + CLASSICAL:

            def fit(rate: float, steps: int, method=method, sigma=sigma) -> nn.Module:
                return fit_network(
                    method, strips, "gaussian", [sigma], settings, rate=rate, steps=steps, seed=seed, device=device
                )

            choices = settings.rates
            if method in CLASSICAL:
                choices = settings.weights if method == CLASSICAL[0] else settings.strengths
            validation = []
            for setting in choices:
                if method in CLASSICAL:
                    found = classical_denoiser(method, pieces, sigma, setting)
                else:
                    found = denoised_by(method, fit(setting, settings.tuning_steps), pieces, "gaussian", sigma)
                validation.append(mean_psnr(found, held_out))
                row = {"stage": "search", "sigma": sigma, "method": method, "setting": setting}
                rows.append({**row, "image": "held out", "psnr": validation[-1]})
            best = choices[int(np.argmax(validation))]
            if method in CLASSICAL:
                found = classical_denoiser(method, noisy, sigma, best)
            else:
                model = fit(best, settings.steps)
                found = denoised_by(method, model, noisy, "gaussian", sigma)
                if method == "noise2score":
                    with torch.no_grad():
                        report("sign reversed", best, noisy - sigma**2 * model(noisy))
            report(method, best, found)
            if sigma == settings.sigmas[0]:
                arrays[method] = _first(found)
        report("noisy", 0.0, noisy)
        if sigma == settings.sigmas[0]:
            arrays |= {"noisy": _first(noisy), "clean": _first(unseen)}
    return Replicate(pd.DataFrame(rows), arrays)


# families ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Families(Network):
    """Levels of Poisson and Gamma noise, and the grids on which an unknown level is sought."""

    poisson: tuple[float, ...] = (0.05,)
    gamma: tuple[float, ...] = (20.0,)
    levels: int = 24
    factor: float = 3.0
    weights: tuple[float, ...] = (0.05, 0.1, 0.2)


def simulate_families(settings: Families, seed: int, device: str) -> Replicate:
    """PSNR of Noise2Score with the level known, estimated and misread, and of total variation, per family and photo."""
    strips, held_out = training_strips(settings.photographs, settings.size)
    unseen = unseen_photographs(settings.unseen, settings.side).to(device)
    held_out = held_out.to(device)
    rows: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {"clean": _first(unseen)}
    cases: list[tuple[NoiseFamily, float]] = []
    for level in settings.poisson:
        cases.append(("poisson", level))
    for level in settings.gamma:
        cases.append(("gamma", level))
    for noise, level in cases:
        rng = torch.Generator(device).manual_seed(seed + 3)
        noisy, pieces = (add_noise(x, noise, level, rng) for x in (unseen, held_out))
        model = fit_network(
            "noise2score", strips, noise, [level], settings, rate=settings.rate, steps=settings.steps, seed=seed,
            device=device,
        )  # fmt: skip
        denoiser = Noise2Score(model)
        grid = np.geomspace(level / settings.factor, level * settings.factor, settings.levels)
        grid = [float(each) for each in grid if each > 1 or noise == "poisson"]
        known = _without_warning(denoiser, noisy, noise, level)
        # Poisson: the score of counts read as that of intensities; Gamma: a level four times too high.
        wrong = (
            (noisy + level / 2) * torch.exp((level * _counts_score(model, noisy / level)).clamp(-20, 20))
            if noise == "poisson"
            else _without_warning(denoiser, noisy, noise, 4 * level)
        )
        weight = max(
            settings.weights,
            key=lambda w: mean_psnr(classical_denoiser(CLASSICAL[0], pieces, level, w), held_out),
        )
        variation = classical_denoiser(CLASSICAL[0], noisy, level, weight)
        for k, name in enumerate(settings.unseen):
            one, clean = noisy[k : k + 1], unseen[k : k + 1]
            for criterion in ("tv", "tv alone") if k == 0 else ("tv",):
                estimate, _ = estimate_noise_parameter(one, model, noise, grid, criterion)
                blind = _without_warning(denoiser, one, noise, estimate)
                rows.append(
                    {
                        "noise": noise, "level": level, "image": name, "criterion": criterion, "estimate": estimate,
                        "noisy": mean_psnr(one, clean), "known": mean_psnr(known[k : k + 1], clean),
                        "misread": mean_psnr(wrong[k : k + 1], clean), "blind": mean_psnr(blind, clean),
                        "variation": mean_psnr(variation[k : k + 1], clean), "weight": weight,
                    }
                )  # fmt: skip
        if f"{noise}, noisy" not in arrays:
            arrays |= {f"{noise}, noisy": _first(noisy), f"{noise}, denoised": _first(known)}
    return Replicate(pd.DataFrame(rows), arrays)


# levels -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Levels(Network):
    """The level of training, those of use, the range of levels of blind training, and the grid of the search."""

    sigma: float = SIGMA
    others: tuple[float, ...] = (15 / 255, 35 / 255)
    lowest: float = 10 / 255
    highest: float = 50 / 255
    grid: int = 50


def simulate_levels(settings: Levels, seed: int, device: str) -> Replicate:
    """PSNR at every level of networks trained at that level, at one level and at many; and levels found by a search."""
    strips, _ = training_strips(settings.photographs, settings.size)
    unseen = unseen_photographs(settings.unseen, settings.side).to(device)
    mixed = np.geomspace(settings.lowest, settings.highest, len(strips))
    mixed = [float(each) for each in np.random.default_rng(seed).permutation(mixed)]
    trained = {"single": [settings.sigma], "mixed": mixed}
    trained |= {f"matched {k}": [level] for k, level in enumerate(settings.others)}
    models = {
        name: fit_network(
            "noise2score", strips, "gaussian", levels, settings, rate=settings.rate, steps=settings.steps, seed=seed,
            device=device,
        )
        for name, levels in trained.items()
    }  # fmt: skip
    grid = [(5 + 50 * (k + 1) / settings.grid) / 255 for k in range(settings.grid)]
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[np.ndarray]] = {"single": [], "mixed": []}
    for k, sigma in enumerate((settings.sigma, *settings.others)):
        rng = torch.Generator(device).manual_seed(seed + 3)
        noisy = add_noise(unseen, "gaussian", sigma, rng)
        for training in ("single", "mixed"):
            matched = models["single" if k == 0 else f"matched {k - 1}"]
            denoiser = Noise2Score(models[training])
            for i, name in enumerate(settings.unseen):
                one, clean = noisy[i : i + 1], unseen[i : i + 1]
                estimate, curve = estimate_noise_parameter(one, models[training], "gaussian", grid)
                if i == 0:
                    curves[training].append(curve.cpu().numpy())
                rows.append(
                    {
                        "sigma": sigma, "training": training, "image": name, "noisy": mean_psnr(one, clean),
                        "matched": mean_psnr(Noise2Score(matched).denoise(one, "gaussian", sigma), clean),
                        "known": mean_psnr(denoiser.denoise(one, "gaussian", sigma), clean),
                        "blind": mean_psnr(denoiser.denoise(one, "gaussian", estimate), clean),
                        "estimate": estimate,
                    }
                )  # fmt: skip
    arrays = {f"{training} curves": np.stack(values) for training, values in curves.items()}
    return Replicate(pd.DataFrame(rows), {**arrays, "grid": np.array(grid)})


def _first(images: Tensor) -> np.ndarray:
    return images[0, 0].float().cpu().numpy()


def _counts_score(model: nn.Module, counts: Tensor) -> Tensor:
    with torch.no_grad():
        return model(counts)


def _without_warning(denoiser: Noise2Score, y: Tensor, noise: NoiseFamily, level: float) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return denoiser.denoise(y, noise, level)


# verdicts ---------------------------------------------------------------------------------------


def _check(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["check"] == name]


def _judge_formula(noise: NoiseFamily, tolerance: float):
    def judge(table: pd.DataFrame) -> Verdict:
        errors = _check(table, noise)["error"]
        return statistics.identity(errors, f"{noise}: formula against posterior mean, relative", tolerance=tolerance)

    return judge


def _judge_half(table: pd.DataFrame) -> Verdict:
    rows = _check(table, "half")
    worst = float(rows.loc[rows["level"] >= 1, "error"].abs().max())
    return statistics.at_most(worst, "relative error of z + 1/2 for exp psi(z + 1), one count or more", threshold=0.02)


def _judge_ordering(table: pd.DataFrame) -> Verdict:
    gaps = table[table["check"].isin(["poisson", "gamma"])][["gap_low", "gap_high"]].to_numpy(dtype=float)
    least = float(gaps.min())
    compared = "least relative gap between harmonic, geometric and arithmetic mean"
    strict = statistics.at_least(least, compared, threshold=np.finfo(float).tiny)
    return statistics.all_of([strict, *(_worst_ratio(table, bound.name) for bound in theory.BOUNDS)])


def _worst_ratio(table: pd.DataFrame, name: str) -> Verdict:
    row = _check(table, name).iloc[0]
    return statistics.bound(
        float(row["error"]), name, instances=int(row["instances"]), required=20_000, witness=str(row["witness"])
    )


def _judge_not_the_mean(table: pd.DataFrame) -> Verdict:
    off = table[table["check"].isin(["poisson", "gamma"])].groupby("check")["wrong"].max()
    return statistics.at_least(
        float(off.min()), "largest relative distance of the formula from E[x | y], Poisson and Gamma", threshold=0.05
    )


def _example_identities() -> pd.DataFrame:
    row = {"replicate": 0, "level": 1.0, "error": 1e-16, "gap_low": 0.1, "gap_high": 0.1, "wrong": 0.2}
    rows: list[dict[str, Any]] = [{**row, "check": noise} for noise in ("gaussian", "poisson", "gamma")]
    rows += [{"replicate": 0, "check": "half", "level": z, "error": 0.02 / (z + 0.5)} for z in (0.0, 1.0, 2.0)]
    rows += [
        {"replicate": 0, "check": bound.name, "error": 0.99, "instances": 30_000, "witness": "one"}
        for bound in theory.BOUNDS
    ]
    return pd.DataFrame(rows)


def _judge_score(table: pd.DataFrame) -> Verdict:
    errors = table.groupby("score")["error"].max()
    return statistics.all_of(
        [
            statistics.at_most(errors["blurred"], "relative L2 error to the blurred score", threshold=0.02),
            statistics.at_least(errors["plain"], "relative L2 error to the score without blur", threshold=0.02),
        ]
    )


def _judge_minimum(table: pd.DataFrame) -> Verdict:
    z = table.loc[table["score"] == "blurred", "z"]
    return statistics.identity(z, "standard errors between loss and 1 - sa² E|score|²", tolerance=3.0)


def _judge_stein(table: pd.DataFrame) -> Verdict:
    z = table.groupby("kind")["z"]
    return statistics.all_of(
        [
            statistics.identity([z.max()["with divergence"]], "standard errors, estimate and error", tolerance=3.0),
            statistics.at_least(z.min()["without"], "standard errors without the divergence", threshold=3.0),
        ]
    )


def _psnr(table: pd.DataFrame, method: str, images: str = _CAMERA) -> np.ndarray:
    """PSNR per replicate at the first level, on the camera's photograph or the mean over the others."""
    rows = table[(table["stage"] == "test") & (table["method"] == method)]
    rows = rows[(rows["sigma"] - SIGMA).abs() < 1e-9]
    rows = rows[(rows["image"] == _CAMERA) == (images == _CAMERA)]
    return rows.groupby("replicate", sort=True)["psnr"].mean().to_numpy(dtype=float)


def _judge_gain(images: str):
    def judge(table: pd.DataFrame) -> Verdict:
        noisy = _psnr(table, "noisy", images)
        gain, reversed_gain = (_psnr(table, m, images) - noisy for m in ("noise2score", "sign reversed"))
        return statistics.all_of(
            [
                statistics.trend(gain, f"dB gained on the noisy photograph ({images})", above=4),
                statistics.trend(reversed_gain, "dB gained with the score's sign reversed", below=0),
            ]
        )

    return judge


def _judge_lead(other: str, above: float = 0.0):
    def judge(table: pd.DataFrame) -> Verdict:
        lead = _psnr(table, "noise2score") - _psnr(table, other)
        return statistics.trend(lead, f"dB of Noise2Score minus {other}", above=above)

    return judge


_EXAMPLE_PSNR = {
    "noise2score": 27.0, "noise2void": 25.0, "sure": 25.5, "noise2noise": 27.2, "supervised": 27.3, "noisy": 20.6,
    "sign reversed": 16.0, "total variation": 26.0, "non-local means": 26.5,
}  # fmt: skip


def _example_gaussian() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "replicate": k, "stage": "test", "sigma": SIGMA, "method": method, "image": image, "setting": 0.1,
                "psnr": value + 0.01 * k * (method == "noise2score"),
            }
            for k in range(5)
            for method, value in _EXAMPLE_PSNR.items()
            for image in (_CAMERA, "coins")
        ]
    )  # fmt: skip


def _worse_score(table: pd.DataFrame) -> pd.DataFrame:
    """A control in which Noise2Score loses 12 dB."""
    return table.assign(psnr=table["psnr"] - 12.0 * (table["method"] == "noise2score"))


def _family(table: pd.DataFrame, noise: str, image: str | None = _CAMERA) -> pd.DataFrame:
    """Rows of the first level of a family, with the paper's criterion."""
    rows = table[(table["noise"] == noise) & (table["criterion"] == "tv")]
    rows = rows[rows["level"] == rows["level"].iloc[0]]
    rows = rows if image is None else rows[rows["image"] == image]
    return rows.groupby("replicate", sort=True).mean(numeric_only=True)


def _judge_family(noise: str):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = _family(table, noise)
        return statistics.trend(rows["known"] - rows["noisy"], f"{noise}: dB gained on the noisy photograph", above=3)

    return judge


def _judge_misread(table: pd.DataFrame) -> Verdict:
    lost = [(rows["known"] - rows["misread"]) for rows in (_family(table, noise) for noise in ("poisson", "gamma"))]
    names = ("Poisson: dB lost by the score of intensities for that of counts", "Gamma: dB lost by a shape 4 times off")
    return statistics.all_of([statistics.trend(v, name, above=0.5) for v, name in zip(lost, names, strict=True)])


def _judge_family_search(noise: str):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = _family(table, noise, None)
        return statistics.trend(rows["known"] - rows["blind"], f"{noise}: dB lost by not knowing the level", below=0.5)

    return judge


def _judge_family_variation(table: pd.DataFrame) -> Verdict:
    leads = [(rows["known"] - rows["variation"]) for rows in (_family(table, noise) for noise in ("poisson", "gamma"))]
    names = ("Poisson: dB of Noise2Score minus total variation", "Gamma: the same")
    return statistics.all_of([statistics.trend(v, name, above=0) for v, name in zip(leads, names, strict=True)])


def _example_families() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "replicate": k, "noise": noise, "level": 1.0, "image": image, "criterion": criterion, "estimate": 1.1,
                "noisy": 17.0, "known": 23.0 + 0.01 * k, "blind": 22.9, "misread": 20.0, "variation": 22.0,
            }
            for k in range(5)
            for noise in ("poisson", "gamma")
            for image in (_CAMERA, "coins")
            for criterion in ("tv", "tv alone")
        ]
    )  # fmt: skip


def _moved(column: str, by: float):
    """A control that moves one column by a constant."""
    return lambda table: table.assign(**{column: table[column] + by})


def _drop(table: pd.DataFrame, training: str) -> np.ndarray:
    """Largest loss against matched training over the levels that were not trained on, camera, per replicate."""
    rows = table[(table["training"] == training) & (table["image"] == _CAMERA)]
    rows = rows[(rows["sigma"] - SIGMA).abs() > 1e-9]
    lost = (rows["matched"] - rows["known"]).groupby(rows["replicate"]).max()
    return lost.to_numpy(dtype=float)


def _judge_single(table: pd.DataFrame) -> Verdict:
    return statistics.trend(_drop(table, "single"), "dB lost at another level after training at one level", above=1.5)


def _judge_mixed(table: pd.DataFrame) -> Verdict:
    return statistics.trend(_drop(table, "mixed"), "dB lost at any level after training at many", below=1.5)


def _judge_mixed_helps(table: pd.DataFrame) -> Verdict:
    difference = _drop(table, "single") - _drop(table, "mixed")
    return statistics.trend(difference, "dB lost after training at one level minus at many", above=0)


def _judge_search(training: str):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[(table["training"] == training) & (table["image"] == _CAMERA)]
        rows = rows[(rows["sigma"] - SIGMA).abs() < 1e-9].sort_values("replicate")
        return statistics.all_of(
            [
                statistics.trend(
                    255 * (rows["estimate"] - SIGMA).abs(), "distance of the level found from 25, in 255ths", below=5
                ),
                statistics.trend(rows["known"] - rows["blind"], "dB lost by not knowing the level", below=0.5),
            ]
        )

    return judge


def _example_levels() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "replicate": k, "sigma": sigma, "training": training, "image": _CAMERA, "noisy": 20.0, "matched": 26.0,
                "known": (25.5 if training == "mixed" or sigma == SIGMA else 23.0) + 0.01 * k, "blind": 25.4,
                "estimate": sigma + 2 / 255,
            }
            for k in range(5)
            for sigma in (15 / 255, SIGMA, 35 / 255)
            for training in ("single", "mixed")
        ]
    )  # fmt: skip


def _spoiled(check: str, column: str, value: float):
    """A control that sets the numbers of one check."""
    return lambda table: table.assign(**{column: table[column].where(table["check"] != check, value)})


_BIG = {
    "photographs": ("china", "flower", "coffee", "chelsea", "rocket", "brick", "grass", "gravel", "moon"),
    "width": 64, "depth": 10, "size": 48, "batch": 16,
}  # fmt: skip
_TINY = {"unseen": (_CAMERA, "coins"), "side": 32, "width": 4, "depth": 3, "size": 16, "batch": 2, "steps": 3}

EXPERIMENTS = [
    Experiment("identities", simulate_identities, Identities(), tiny=Identities(priors=5, instances=500), replicates=1),
    Experiment("score_fit", simulate_score_fit, ScoreFit(), tiny=ScoreFit(samples=100_000), replicates=1),
    Experiment("stein", simulate_stein, Stein(), full=Stein(draws=2000), tiny=Stein(draws=20, side=32), replicates=1),
    Experiment(
        "gaussian",
        simulate_gaussian,
        Gaussian(),
        full=Gaussian(
            **_BIG, steps=1500, tuning_steps=250, sigmas=(SIGMA, 2 * SIGMA), rates=(0.0002, 0.0006, 0.002, 0.006)
        ),
        tiny=Gaussian(**_TINY, tuning_steps=2),
    ),
    Experiment(
        "families",
        simulate_families,
        Families(steps=160),
        full=Families(**_BIG, steps=4000, rate=0.001, levels=50, poisson=(0.05, 0.01), gamma=(20.0, 100.0)),
        tiny=Families(**_TINY, levels=4),
    ),
    Experiment(
        "levels",
        simulate_levels,
        Levels(steps=160),
        full=Levels(**_BIG, steps=6000, rate=0.001),
        tiny=Levels(**_TINY, grid=5),
    ),
]

_TWEEDIE = "Kim and Ye (2021), Tweedie's formula"
_OURS = "a question of ours"
CLAIMS = [
    Claim(
        "C1", "identities", "identity", _TWEEDIE,
        "Gaussian noise: y + sigma² l'(y) is the posterior mean, for any prior.",
        _judge_formula("gaussian", 1e-12), _example_identities, _spoiled("gaussian", "error", 0.1),
    ),
    Claim(
        "C1 Poisson", "identities", "identity", _TWEEDIE + "; which mean it is, is derived here",
        "Poisson noise: exp(psi(z + 1) + l'(z)) is the geometric posterior mean, for any prior.",
        _judge_formula("poisson", 1e-8), _example_identities, _spoiled("poisson", "error", 0.1),
    ),
    Claim(
        "C1 Gamma", "identities", "identity", _TWEEDIE + "; which mean it is, is derived here",
        "Gamma noise: alpha y/((alpha - 1) - y l'(y)) is the harmonic posterior mean, for any prior.",
        _judge_formula("gamma", 1e-8), _example_identities, _spoiled("gamma", "error", 0.1),
    ),
    Claim(
        "C1 half", "identities", "bound", "derived here",
        "z + 1/2 for exp psi(z + 1) costs less than 2 % from one count on.",
        _judge_half, _example_identities, _spoiled("half", "error", 0.1),
    ),
    Claim(
        "C1 means", "identities", "bound", "Jensen's inequality; digamma function",
        "Harmonic < geometric < arithmetic posterior mean for priors that are not a point.",
        _judge_ordering, _example_identities, _spoiled("gamma", "gap_low", -0.1),
    ),
    Claim(
        "C1 not the mean", "identities", "bound", "derived here",
        "The Poisson and Gamma formulas are not the posterior mean: they differ from it by more than 5 %.",
        _judge_not_the_mean, _example_identities, _spoiled("gamma", "wrong", 1e-9),
    ),
    Claim(
        "C2", "score_fit", "limit", "Lim et al. (2020), as used by Kim and Ye (2021)",
        "The AR-DAE loss is minimised by the score of the blurred density, not of the plain one.",
        _judge_score, lambda: pd.DataFrame({"score": ["blurred", "plain"], "error": [0.01, 0.3], "replicate": 0}),
        lambda t: exchange(t, "score", "blurred", "plain"),
    ),
    Claim(
        "C2 minimum", "score_fit", "identity", "derived here",
        "The least AR-DAE loss is 1 - sa² E|score|² per dimension.",
        _judge_minimum, lambda: pd.DataFrame({"score": ["blurred", "plain"], "z": [1.0, 200.0], "replicate": 0}),
        lambda t: exchange(t, "score", "blurred", "plain"),
    ),
    Claim(
        "C3", "stein", "identity", "Stein (1981), as discussed by Kim and Ye (2021)",
        "Stein's estimate with random probes is the mean squared error in expectation; without divergence it is not.",
        _judge_stein,
        lambda: pd.DataFrame({"kind": ["with divergence", "without"], "z": [1.0, 100.0], "replicate": 0}),
        lambda t: exchange(t, "kind", "with divergence", "without"),
    ),
    Claim(
        "C4", "gaussian", "trend", "Kim and Ye (2021), experiments with Gaussian noise",
        "Trained on noisy photographs alone, Noise2Score gains more than 4 dB on another photograph; with the sign of "
        "the score reversed it loses.",
        _judge_gain(_CAMERA), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 others", "gaussian", "trend", "Kim and Ye (2021), experiments with Gaussian noise",
        "The same on two more photographs.", _judge_gain("others"), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 Noise2Void", "gaussian", "trend", "Kim and Ye (2021), comparison of methods",
        "Noise2Score denoises better than Noise2Void after as many steps.",
        _judge_lead("noise2void"), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 supervised", "gaussian", "trend", "Kim and Ye (2021), comparison of methods",
        "Noise2Score is within 1.5 dB of supervised training.",
        _judge_lead("supervised", -1.5), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 Noise2Noise", "gaussian", "trend", "Kim and Ye (2021), comparison of methods",
        "Noise2Score is within 1.5 dB of Noise2Noise, which sees two noisy images of every scene.",
        _judge_lead("noise2noise", -1.5), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 SURE", "gaussian", "trend", "Kim and Ye (2021), which derive it as a special case",
        "Noise2Score denoises better than training on Stein's estimate with as many steps.",
        _judge_lead("sure"), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 total variation", "gaussian", "trend", _OURS,
        "Noise2Score denoises better than total variation with a tuned weight.",
        _judge_lead("total variation"), _example_gaussian, _worse_score,
    ),
    Claim(
        "C4 non-local means", "gaussian", "trend", _OURS,
        "Noise2Score denoises better than non-local means that know the level, with a tuned strength.",
        _judge_lead("non-local means"), _example_gaussian, _worse_score,
    ),
    Claim(
        "C5 Poisson", "families", "trend", "Kim and Ye (2021), experiments with Poisson noise",
        "The same network and loss gain at least 3 dB on Poisson noise of scale 0.05.",
        _judge_family("poisson"), _example_families, _moved("known", -12.0),
    ),
    Claim(
        "C5 Gamma", "families", "trend", "Kim and Ye (2021), experiments with Gamma noise",
        "The same network and loss gain at least 3 dB on Gamma noise of shape 20.",
        _judge_family("gamma"), _example_families, _moved("known", -12.0),
    ),
    Claim(
        "C5 misread", "families", "trend", _OURS,
        "The formula must fit the noise: the wrong units of the score, or a shape four times off, lose half a dB.",
        _judge_misread, _example_families, _moved("known", -12.0),
    ),
    Claim(
        "C5 total variation", "families", "trend", _OURS,
        "Noise2Score denoises Poisson and Gamma noise better than total variation with a tuned weight.",
        _judge_family_variation, _example_families, _moved("known", -12.0),
    ),
    Claim(
        "C6 one level", "levels", "trend", "derived here",
        "Trained at one level and used at another, Noise2Score loses more than 1.5 dB against training there.",
        _judge_single, _example_levels, _moved("matched", -12.0),
    ),
    Claim(
        "C6 many levels", "levels", "trend", "Kim and Ye (2021), blind training",
        "Trained at many levels, it loses less than 1.5 dB at each.",
        _judge_mixed, _example_levels, lambda t: exchange(t, "training", "single", "mixed"),
    ),
    Claim(
        "C6 difference", "levels", "trend", "Kim and Ye (2021), blind training",
        "Training at many levels loses less than training at one, where it counts most.",
        _judge_mixed_helps, _example_levels, lambda t: exchange(t, "training", "single", "mixed"),
    ),
    Claim(
        "C7", "levels", "trend", "Kim and Ye (2021), search for the noise level",
        "Total variation finds the level of Gaussian noise within 5/255, at a cost of at most 0.5 dB.",
        _judge_search("single"), _example_levels, _moved("estimate", 0.1),
    ),
    Claim(
        "C7 many levels", "levels", "trend", "Kim and Ye (2021), search for the noise level",
        "The same with a network that was trained at many levels.",
        _judge_search("mixed"), _example_levels, _moved("estimate", 0.1),
    ),
    Claim(
        "C7 Poisson", "families", "trend", "Kim and Ye (2021), search for the noise level",
        "A search for the level of Poisson noise costs at most 0.5 dB.",
        _judge_family_search("poisson"), _example_families, _moved("blind", -12.0),
    ),
    Claim(
        "C7 Gamma", "families", "trend", "Kim and Ye (2021), search for the noise level",
        "A search for the level of Gamma noise costs at most 0.5 dB.",
        _judge_family_search("gamma"), _example_families, _moved("blind", -12.0),
    ),
]  # fmt: skip
