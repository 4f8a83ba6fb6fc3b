"""Energy networks as tilts of Gaussian noise: densities in the plane, and images that are not like those of training.

All networks of a replicate start equal, see the same batches and differ in the objective, the learning rate, for MECO
the tracker's gamma and, for images, the scale of the noise: every objective gets as many settings. Each network's
normaliser is computed afterwards in the same way for all (on a grid in the plane, from many noise points for images),
so that held-out log-likelihood can choose among settings and objectives alike. ``chosen`` picks by its mean over
replicates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split
from torch import Tensor

from neural.density.energy_networks import EnergyEnsemble, GaussianNoise, log_partition_grid
from neural.density.planar_densities import PlanarDensity, planar_log_density, planar_sample
from neural.density.unnormalized_mle import Method, fit_unnormalized, ood_auroc
from simulations import Replicate

__all__ = ["METHODS", "OUTSIDE", "TUNED", "Outliers", "Planar", "chosen", "simulate_outliers", "simulate_planar"]

METHODS: tuple[Method, ...] = ("meco", "plug-in", "nce", "ence")
OUTSIDE = ("other digits", "shuffled pixels", "textures", "uniform", "same digits")
"""Sets scored beside test images; the last is more of the same distribution, where no score can tell."""


TUNED = ("rate", "gamma", "scale")
"""Columns of what is chosen on held-out data."""


class _Setting(NamedTuple):
    method: Method
    rate: float
    gamma: float
    scale: float


@dataclass(frozen=True)
class Planar:
    """Densities in the plane, learnt as tilts of a Gaussian ``spread`` times as wide as the data.

    MECO takes every pair of ``tracked_rates`` and ``gammas``; the others, without a gamma, as many ``rates``.
    """

    densities: tuple[PlanarDensity, ...] = ("rings", "checkerboard", "eight Gaussians")
    tracked_rates: tuple[float, ...] = (0.03, 0.06, 0.15)
    gammas: tuple[float, ...] = (0.1, 0.3)
    rates: tuple[float, ...] = (0.01, 0.02, 0.03, 0.05, 0.1, 0.25)
    spread: float = 1.5
    samples: int = 3000
    batch_size: int = 64
    steps: int = 200
    width: int = 24
    frequencies: int = 24
    grid: int = 100


def simulate_planar(settings: Planar, seed: int, device: str) -> Replicate:
    """Test and held-out negative log-likelihood of every density, method and setting, and the error of its own log Z.

    ``entropy`` is the test sample's mean under the true density: no model can be better but by chance. Arrays: the
    learnt densities of the best setting on held-out data, on a grid, and the truth.
    """
    generator = torch.Generator(device).manual_seed(seed)
    points = _points(METHODS, (settings.tracked_rates, settings.gammas, [settings.spread]),
                     (settings.rates, [settings.spread]))  # fmt: skip
    rates, gammas = (torch.tensor([getattr(p, name) for p in points], device=device) for name in ("rate", "gamma"))
    rows, arrays = [], {}
    for name in settings.densities:
        train, held, test = (planar_sample(name, settings.samples, generator) for _ in range(3))
        noise = GaussianNoise(settings.spread * float(train.std()), 2)
        network = EnergyEnsemble(len(points), 2, settings.width, generator, hidden=1, frequencies=settings.frequencies)
        fit = fit_unnormalized(
            network, train, noise, [p.method for p in points], steps=settings.steps,
            batch_size=settings.batch_size, learning_rate=rates, gamma=gammas, generator=generator,
        )  # fmt: skip
        reach = 4.5 * float(noise.scale)

        def log_p0(x: Tensor, network: EnergyEnsemble = network, noise: GaussianNoise = noise) -> Tensor:
            return network(x) + noise.log_prob(x)

        log_z = log_partition_grid(log_p0, [(-reach, reach)] * 2, settings.grid, device=device)
        with torch.no_grad():
            nll, held_out = (log_z - log_p0(x).double().mean(1) for x in (test, held))
        entropy = -float(planar_log_density(name, test).double().mean())
        rows += [
            {
                "density": name, **point._asdict(), "nll": float(nll[i]), "held_out": float(held_out[i]),
                "entropy": entropy, "log_z_error": float((fit.log_partition[i] - log_z[i]).abs()),
            }
            for i, point in enumerate(points)
        ]  # fmt: skip
        arrays |= _pictures(name, log_p0, log_z, held_out, points, device)
    return Replicate(pd.DataFrame(rows), arrays)


def _pictures(
    name: PlanarDensity, log_p0: Callable[[Tensor], Tensor], log_z: Tensor, held_out: Tensor,
    points: Sequence[_Setting], device: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Densities on a grid of [−5, 5]²: the truth, and every method's best by held-out likelihood."""
    axis = torch.linspace(-5, 5, 60, device=device)
    places = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        learnt = (log_p0(places) - log_z[:, None]).exp().float().cpu().numpy()
    found = {f"{name}, truth": planar_log_density(name, places).exp().cpu().numpy()}
    for method in METHODS:
        own = [i for i, point in enumerate(points) if point.method == method]
        found[f"{name}, {method}"] = learnt[min(own, key=lambda i: float(held_out[i].nan_to_num(math.inf)))]
    return {key: value.reshape(60, 60).T.astype(np.float16) for key, value in found.items()}


@dataclass(frozen=True)
class Outliers:
    """Digits 0–4 as the distribution; everything else is from outside.

    The product of rates, gammas and scales for MECO, and of rates and scales for the others, has as many settings.
    """

    methods: tuple[Method, ...] = ("meco", "nce")
    tracked_rates: tuple[float, ...] = (0.015, 0.025)
    gammas: tuple[float, ...] = (0.003, 0.03)
    tracked_scales: tuple[float, ...] = (1.0, 1.1, 1.2)
    rates: tuple[float, ...] = (0.015, 0.03, 0.06)
    scales: tuple[float, ...] = (1.0, 1.2, 1.5, 1.8)
    bandwidths: tuple[float, ...] = tuple(float(h) for h in np.geomspace(0.1, 2, 12).round(4))
    components: int = 10
    batch_size: int = 64
    steps: int = 300
    width: int = 32
    noise_points: int = 25_000


def simulate_outliers(settings: Outliers, seed: int, device: str) -> Replicate:
    """AUROC of the learnt log-density for every set from outside, and held-out likelihood, per method and setting.

    Images become ``components`` whitened principal components of the training images. Beside the networks: a kernel
    density with as many bandwidths as a network has settings, and the Gaussian that whitening supposes.
    """
    generator = torch.Generator(device).manual_seed(seed)
    train, held, test, outside, pixels = _digit_sets(settings.components, seed)
    tracked = (settings.tracked_rates, settings.gammas, settings.tracked_scales)
    points = _points(settings.methods, tracked, (settings.rates, settings.scales))
    tensors = {name: torch.tensor(x, dtype=torch.float32, device=device) for name, x in outside.items()}
    data, held_t, test_t = (torch.tensor(x, dtype=torch.float32, device=device) for x in (train, held, test))
    rates, gammas, scales = (torch.tensor([getattr(p, name) for p in points], device=device) for name in TUNED)
    noise = GaussianNoise(scales, settings.components)
    network = EnergyEnsemble(len(points), settings.components, settings.width, generator)
    fit_unnormalized(
        network, data, noise, [p.method for p in points], steps=settings.steps,
        batch_size=settings.batch_size, learning_rate=rates, gamma=gammas, generator=generator,
    )  # fmt: skip

    def log_p0(x: Tensor) -> Tensor:
        return network(x) + noise.log_prob(x)

    with torch.no_grad():
        parts = [network(noise.sample(5000, generator)) for _ in range(max(1, settings.noise_points // 5000))]
        log_z = torch.cat(parts, dim=1).double().logsumexp(1) - math.log(5000 * len(parts))
        held_out = (log_z - log_p0(held_t).double().mean(1)).cpu().numpy()
        inside = log_p0(test_t)
        scores = {name: log_p0(x) for name, x in tensors.items()}
    rows = [
        {
            **point._asdict(), "held_out": float(held_out[i]), "outside": name,
            "auroc": ood_auroc(inside[i], scores[name][i]),
        }
        for i, point in enumerate(points) for name in OUTSIDE
    ]  # fmt: skip
    rows += _classical_rows(settings, train, held, test, outside)
    best = min(
        (i for i, p in enumerate(points) if p.method == "meco"),
        key=lambda i: float(np.nan_to_num(held_out[i], nan=np.inf)),
    )
    arrays = {f"score, {name}": scores[name][best].cpu().numpy() for name in OUTSIDE}
    arrays |= {"score, test": inside[best].cpu().numpy(), **{f"image, {k}": v for k, v in pixels.items()}}
    return Replicate(pd.DataFrame(rows), arrays)


def chosen(table: pd.DataFrame, by: Sequence[str], settings: Sequence[str] = TUNED) -> pd.DataFrame:
    """Rows of the setting with the least mean held-out negative log-likelihood over replicates, per group of ``by``."""
    keys = [*by, *settings]
    finite = table.assign(held_out=table["held_out"].replace([np.inf, -np.inf], np.nan).fillna(1e9))
    means = finite.groupby(keys, sort=False, as_index=False)["held_out"].mean()
    best = means.loc[means.groupby(list(by), sort=False)["held_out"].idxmin(), keys]
    return table.merge(best, on=keys, how="inner")


def _points(
    methods: Sequence[Method], tracked: Sequence[Sequence[float]], others: Sequence[Sequence[float]]
) -> list[_Setting]:
    """MECO's product of rates, gammas and scales, and the others' of rates and scales, which must be as many."""
    points = []
    for method in methods:
        grid = product(*tracked) if method == "meco" else product(others[0], [1.0], others[1])
        points += [_Setting(method, *values) for values in grid]
    counts = {method: sum(p.method == method for p in points) for method in methods}
    if len(set(counts.values())) > 1:
        raise ValueError(f"rates, gammas and scales must give every method as many settings, got {counts}")
    return points


def _classical_rows(
    settings: Outliers, train: np.ndarray, held: np.ndarray, test: np.ndarray, outside: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    sets = {"": test, "held": held, **outside}
    squares = {name: torch.from_numpy(cdist(x, train, "sqeuclidean") / 2) for name, x in sets.items()}
    rows = []
    for bandwidth in settings.bandwidths:
        level = math.log(len(train)) + train.shape[1] * (math.log(bandwidth) + math.log(2 * math.pi) / 2)
        scores = {name: (-half / bandwidth**2).logsumexp(1) - level for name, half in squares.items()}
        rows += [
            {"method": "kernel density", "rate": bandwidth, "gamma": 1.0, "scale": 0.0,
             "held_out": -float(scores["held"].mean()), "outside": name, "auroc": ood_auroc(scores[""], scores[name])}
            for name in OUTSIDE
        ]  # fmt: skip
    level = train.shape[1] * math.log(2 * math.pi) / 2
    gaussian = {name: torch.tensor(-(x**2).sum(1) / 2) for name, x in {"": test, **outside}.items()}
    held_out = float((held**2).sum(1).mean() / 2 + level)
    return rows + [
        {"method": "Gaussian", "rate": 0.0, "gamma": 1.0, "scale": 0.0, "held_out": held_out, "outside": name,
         "auroc": ood_auroc(gaussian[""], gaussian[name])}
        for name in OUTSIDE
    ]  # fmt: skip


def _digit_sets(
    components: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Whitened training, held-out and test images of digits 0–4, the sets from outside, and an image of each."""
    rng = np.random.default_rng(seed)
    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    known = np.flatnonzero(labels < 5)
    rest, tested = train_test_split(known, test_size=0.4, stratify=labels[known], random_state=seed % 2**31)
    train, held = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=seed % 2**31)
    test, same = train_test_split(tested, test_size=0.5, stratify=labels[tested], random_state=seed % 2**31)
    pixels = {
        "test": images[test],
        "other digits": images[labels >= 5],
        "shuffled pixels": rng.permuted(images[test], axis=1),
        "textures": _texture_patches(len(test), rng),
        "uniform": rng.uniform(0, 16, (len(test), 64)),
        "same digits": images[same],
    }
    mean = images[train].mean(0)
    _, singular, axes = np.linalg.svd(images[train] - mean, full_matrices=False)
    whiten = axes[:components].T * (math.sqrt(len(train)) / singular[:components])
    sets = {name: (x - mean) @ whiten for name, x in pixels.items()}
    inside = sets.pop("test")
    pictures = {name: x[0].reshape(8, 8).astype(np.float32) for name, x in pixels.items()}
    return (images[train] - mean) @ whiten, (images[held] - mean) @ whiten, inside, sets, pictures


def _texture_patches(count: int, rng: np.random.Generator) -> np.ndarray:
    """Grey patches of 8 by 8 from two photographs, every second pixel, stretched to the digits' range 0 … 16."""
    photographs = [np.asarray(image, dtype=np.float64).mean(-1)[::2, ::2] for image in load_sample_images().images]
    patches = []
    for _ in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        row, column = (rng.integers(side - 8) for side in photograph.shape)
        patch = photograph[row : row + 8, column : column + 8]
        patches.append(16 * (patch - patch.min()) / max(float(np.ptp(patch)), 1.0))
    return np.stack(patches).reshape(count, 64)
