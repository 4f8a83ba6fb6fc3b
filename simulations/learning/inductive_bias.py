"""Inductive bias as the nats that training data leave to be supplied, with its exact value beside every estimate.

Six experiments. *tails* holds the saddlepoint approximation of quadratic forms in Gaussians against exact inversion,
counting and rigorous bounds; sums of a single term are the condition on which it must be seen to err. *sampling* draws
from a known scaled noncentral chi-square and measures how the error of each estimator falls with the number of
hypotheses, and how often its interval covers the truth. *dimension* takes the paper's kernel space: Gaussian processes
that interpolate sin(3 x_1) on spheres of growing dimension, where the exact value shows what the fitted family misses;
inputs padded with zeros and shuffled targets are the negative conditions. *networks* trains perceptrons on the same
tasks until they fit, in lockstep, each from weights of its own; with shuffled targets nothing is there to be known.
*classes* compares hypothesis spaces on real data (digits, breast cancer): linear, kernel with a length scale tuned on
held-out splits, perceptrons of three depths, convolution, attention and forests, all with random hidden layers and a
readout conditioned on interpolation, whose error law is exact; labels are shuffled, and pixels permuted, to take away
what an architecture knows. *speed* counts hypotheses per second, in batches and one by one.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from neural.learning.hypothesis_batches import Architecture, hypothesis_errors, readout_error_laws
from neural.learning.inductive_bias import sample_trained_mlps
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange
from simulations.costs import alternating_seconds
from theory.learning import inductive_bias as theory
from theory.learning import quadratic_form_tails as tails

PAPER = Paper(
    title="Towards Exact Computation of Inductive Bias",
    authors="Akhilan Boopathy, William Yue, Jaedong Hwang, Abhiram Iyer, Ila Fiete",
    venue="IJCAI 2024",
    arxiv="2406.15941",
)
DEVIATIONS = [
    "For kernels the tail is inverted exactly: fitted noncentral chi-squares miss a third of it deep down.",
    "Where a fitted tail underflows it is summed in logarithms; the authors' code takes Sankaran's z²/2 there, which "
    "drops log(|z| sqrt(2 pi)) and levels off.",
    "Three moments are the default fit, and maximum likelihood only for 1000 errors or more: its three parameters are "
    "unstable on the few dozen networks that one can train.",
    "Kernel systems are solved by Cholesky factors instead of gradient steps on small batches.",
    "Trained networks are draws from what Adam finds (rate 0.01, not 0.001, in the quick preset), not from the prior "
    "conditioned on fitting. Random networks with conditioned readouts keep the prior of their hidden layers.",
    "The bound on counting has exponent N P (1 − (1 + eta) e^{−eta}), valid for all eta > 0, instead of N P eta²/6.",
    "Digits and breast cancer stand in for MNIST, SVHN, CIFAR-10, Omniglot and the pendulum.",
]


# tails -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tails:
    """Random sums of squares: how many per number of terms, draws to count, and depths as shares of the mean."""

    instances: int = 4
    terms: tuple[int, ...] = (1, 5, 20)
    draws: int = 1_000_000
    counted: int = 1
    fractions: tuple[float, ...] = (0.01, 0.1, 0.3, 0.6, 0.95, 1.0, 1.3)


def simulate_tails(settings: Tails, seed: int, device: str) -> pd.DataFrame:
    """Per sum and depth: −log P by inversion, saddlepoint and tilted draws, its enclosure, and counts in the bulk."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for terms, number in product(settings.terms, range(settings.instances)):
        equal = number % 2 == 0
        w = np.ones(terms) if equal else np.exp(rng.standard_normal(terms))
        b = rng.standard_normal(terms) * rng.uniform(0, 2)
        mean, variance, third = tails.weighted_ncx2_cumulants(w, b)
        gap = max(abs(k / q - 1) for k, q in zip((mean, variance, third), _quadrature_cumulants(w, b), strict=True))
        eps = mean * np.asarray(settings.fractions)
        exact, saddle, tilted = (
            -np.asarray(tails.weighted_ncx2_logcdf(eps, w, b, method, draws=4000, seed=number))
            for method in ("imhof", "saddlepoint", "mc")
        )
        lower, upper = (np.asarray(f(eps, w, b)) for f in (tails.chernoff_lower_bound, tails.tilted_upper_bound))
        family = -np.asarray(tails.scaled_ncx2_logcdf(eps, float(terms), float(b @ b), 1.0)) if equal else eps * np.nan
        rows += [
            {"quantity": "tail", "terms": terms, "fraction": f, "exact": x, "saddlepoint": s, "tilted": t, "lower": lo,
             "upper": hi, "family": fa, "cumulant_gap": gap}
            for f, x, s, t, lo, hi, fa in zip(
                settings.fractions, exact, saddle, tilted, lower, upper, family, strict=True)
        ]  # fmt: skip
        if number < settings.counted and terms > 1:
            rows += _counted(w, b, mean, math.sqrt(variance), settings.draws, rng)
    return pd.DataFrame(rows)


def _counted(w: np.ndarray, b: np.ndarray, mean: float, sd: float, draws: int, rng: np.random.Generator) -> list[dict]:
    """Shares of draws at the quantiles that the exact law puts at P = 1/2 … 1/1000."""
    levels = np.array([0.5, 0.1, 0.01, 0.001])
    grid = np.geomspace(1e-4, 1.2, 60) * mean
    eps = np.exp(np.interp(np.log(levels), np.asarray(tails.weighted_ncx2_logcdf(grid, w, b)), np.log(grid)))
    counts = np.zeros(len(eps))
    for start in range(0, draws, 50_000):
        size = min(50_000, draws - start)
        e = ((rng.standard_normal((size, len(w))) + b) ** 2) @ w
        counts += (e[:, None] <= eps).sum(0)
    saddle = -np.asarray(tails.weighted_ncx2_logcdf(eps, w, b))
    return [
        {"quantity": "counted", "terms": len(w), "fraction": p, "saddlepoint": s, "exact": -np.log(max(c, 0.5) / draws)}
        for p, s, c in zip(levels, saddle, counts, strict=True)
    ]


def _quadrature_cumulants(w: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Cumulants from moments of single terms by Gauss-Hermite quadrature, exact for these polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    values = w[:, None] * (nodes + b[:, None]) ** 2
    share = weights / weights.sum()
    centred = values - (values @ share)[:, None]
    return float((values @ share).sum()), float((centred**2 @ share).sum()), float((centred**3 @ share).sum())


# sampling ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """Hypotheses whose errors are scale · chi2(df), or noncentral; how many, how often, and depths in nats."""

    sizes: tuple[int, ...] = (30, 100, 300, 1000, 3000)
    levels: tuple[float, ...] = (5.0, 10.0, 20.0, 40.0)
    df: float = 20.0
    nc: float = 20.0
    repeats: int = 200
    intervals: int = 40
    interval_size: int = 300
    tolerances: tuple[float, ...] = (0.1, 0.5, 1.0)


def simulate_sampling(settings: Sampling, seed: int, device: str) -> pd.DataFrame:
    """Spread of each estimator per size and depth, share of failed counts, coverage, and counting against its bound."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    eps = {level: {nc: _depth(level, settings.df, nc) for nc in (0.0, settings.nc)} for level in settings.levels}
    for size in settings.sizes:
        central = rng.chisquare(settings.df, (settings.repeats, size))
        noncentral = rng.noncentral_chisquare(settings.df, settings.nc, (settings.repeats, size))
        for level, at in eps.items():
            x, y = at[0.0], at[settings.nc]
            scale = central.mean(1) / settings.df
            estimates = {
                "scale only": -np.asarray(tails.scaled_ncx2_logcdf(x, settings.df, 0.0, scale)),
                "two parameters": -np.asarray(tails.scaled_ncx2_logcdf(x, *_gamma_moments(central))),
                "three moments": -np.asarray(tails.scaled_ncx2_logcdf(y, *_three_moments(noncentral))),
            }
            for name, values in estimates.items():
                rows.append({"quantity": "spread", "estimator": name, "size": size, "level": level,
                             "value": values.std(ddof=1), "bias": values.mean() - level,
                             "bound": math.sqrt(settings.df / (2 * size)),
                             "first_order": theory.scale_fit_sd(x, settings.df, 1.0, size)})  # fmt: skip
            failed = 1 - (central <= x).any(1).mean()
            rows.append({"quantity": "no hit", "estimator": "counting", "size": size, "level": level, "value": failed})
            rows += _counting_rows(size, level, settings.tolerances)
    rows += _coverage_rows(settings, rng)
    return pd.DataFrame(rows)


def _depth(level: float, df: float, nc: float) -> float:
    """Where −log P of ncx2(df, nc) is ``level``."""
    grid = np.geomspace(1e-6, 1.0, 4000) * (df + nc)
    return float(np.exp(np.interp(-level, np.asarray(tails.scaled_ncx2_logcdf(grid, df, nc, 1.0)), np.log(grid))))


def _gamma_moments(e: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    mean, variance = e.mean(1), e.var(1, ddof=1)
    return 2 * mean**2 / variance, 0.0, variance / (2 * mean)


def _three_moments(e: np.ndarray) -> tuple:
    return tails.ncx2_moment_fit(e.mean(1), e.var(1, ddof=1), stats.kstat(e, 3, axis=1))


def _counting_rows(size: int, level: float, tolerances: tuple[float, ...]) -> list[dict[str, Any]]:
    """Exact probability that a count is off by more than eta, over the bound on it."""
    p = math.exp(-level)
    rows = []
    for eta in tolerances:
        low, high = math.ceil(size * p * math.exp(-eta)), math.floor(size * p * math.exp(eta))
        inside = stats.binom.cdf(high, size, p) - stats.binom.cdf(low - 1, size, p) if high >= low else 0.0
        ratio = (1 - inside) / theory.counting_failure_bound(size, level, eta)
        rows.append({"quantity": "counting bound", "estimator": f"eta {eta:g}", "size": size, "level": level,
                     "value": ratio})  # fmt: skip
    return rows


def _coverage_rows(settings: Sampling, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    level = settings.levels[min(1, len(settings.levels) - 1)]
    pairs: tuple[tuple[theory.EstimateMethod, float], ...] = (("chi2", 0.0), ("moments", settings.nc))
    for method, nc in pairs:
        eps, hits = _depth(level, settings.df, nc), []
        for _ in range(settings.intervals):
            e = rng.noncentral_chisquare(settings.df, nc, settings.interval_size)
            low, high = theory.inductive_bias(e, eps, method).ci
            hits.append(low <= level <= high)
        rows.append({"quantity": "coverage", "estimator": method, "size": settings.interval_size, "level": level,
                     "value": float(np.mean(hits))})  # fmt: skip
    return rows


# dimension ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dimension:
    """Gaussian processes on spheres: dimensions, sizes of training sets at one of them, and drawn hypotheses."""

    dims: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 12)
    train: int = 60
    test: int = 100
    eps: tuple[float, ...] = (0.1, 0.05, 0.02)
    fractions: tuple[float, ...] = (0.1, 0.5, 1.0)
    train_sizes: tuple[int, ...] = (20, 40, 60, 90, 120)
    train_sizes_dim: int = 6
    padded_dim: int = 12
    draws: int = 2000
    drawn_dim: int = 8


def simulate_dimension(settings: Dimension, seed: int, device: str) -> Replicate:
    """Exact I, its enclosure and the fitted family's value per task and eps; estimates from draws at one dimension."""
    rows, arrays = [], {}
    for d in settings.dims:
        law = _gp_law(_sphere_task(d, settings.train, settings.test, seed))
        rows += _law_rows(law, settings, {"task": "sphere", "dim": d, "train": settings.train})
        if d == settings.drawn_dim:
            drawn, arrays = _drawn_rows(law, settings, seed)
            rows += [row | {"task": "sphere", "dim": d, "train": settings.train} for row in drawn]
    for n, shuffled in product(settings.train_sizes, (False, True)):
        d = settings.train_sizes_dim
        law = _gp_law(_sphere_task(d, n, settings.test, seed, shuffled=shuffled))
        task = "sizes, shuffled" if shuffled else "sizes"
        rows += _law_rows(law, settings, {"task": task, "dim": d, "train": n})
    x, y, x_test, y_test = _sphere_task(settings.train_sizes_dim, settings.train, settings.test, seed)
    padding = ((0, 0), (0, settings.padded_dim - settings.train_sizes_dim))
    law = _gp_law((np.pad(x, padding), y, np.pad(x_test, padding), y_test))
    rows += _law_rows(law, settings, {"task": "padded", "dim": settings.padded_dim, "train": settings.train})
    return Replicate(pd.DataFrame(rows), arrays)


Task = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sphere_task(d: int, train: int, test: int, seed: int, *, shuffled: bool = False) -> Task:
    """sin(3 x_1) at uniform points of the unit sphere in d dimensions; targets are shuffled on the training set."""
    rng = np.random.default_rng([seed, d])
    x_test, x = (rng.standard_normal((n, d)) for n in (test, train))
    x, x_test = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, x_test))
    y, y_test = np.sin(3 * x[:, 0]), np.sin(3 * x_test[:, 0])
    return x, rng.permutation(y) if shuffled else y, x_test, y_test


def _gp_law(task: Task) -> tuple[np.ndarray, np.ndarray]:
    x, y, x_test, y_test = task
    return theory.gp_error_law(*theory.gp_posterior(x, y, x_test), y_test)


def _law_rows(law: tuple[np.ndarray, np.ndarray], settings: Dimension, names: dict[str, Any]) -> list[dict[str, Any]]:
    w, b = law
    cumulants = tails.weighted_ncx2_cumulants(w, b)
    labels = [f"{e:g}" for e in settings.eps] + [f"{f:g} mean" for f in settings.fractions]
    eps = np.array([*settings.eps, *(f * cumulants[0] for f in settings.fractions)])
    exact, saddle = (-np.asarray(tails.weighted_ncx2_logcdf(eps, w, b, m)) for m in ("imhof", "saddlepoint"))
    family = -np.asarray(tails.scaled_ncx2_logcdf(eps, *tails.ncx2_moment_fit(*cumulants)))
    lower, upper = tails.chernoff_lower_bound(eps, w, b), tails.tilted_upper_bound(eps, w, b)
    return [
        names | {"eps": e, "method": "law", "exact": x, "saddlepoint": s, "family": f, "lower": lo, "upper": hi,
                 "mean_error": cumulants[0], "value": x}
        for e, x, s, f, lo, hi in zip(labels, exact, saddle, family, np.asarray(lower), np.asarray(upper), strict=True)
    ]  # fmt: skip


def _drawn_rows(law: tuple[np.ndarray, np.ndarray], settings: Dimension, seed: int) -> tuple[list[dict], dict]:
    """The estimators of the fitted family on drawn hypotheses, beside the exact value."""
    w, b = law
    e = ((np.random.default_rng(seed).standard_normal((settings.draws, len(w))) + b) ** 2) @ w
    mean = float(tails.weighted_ncx2_cumulants(w, b)[0])
    rows = []
    methods: tuple[theory.EstimateMethod, ...] = ("moments", "chi2", "mc", "ncx2_mle")
    # Maximum likelihood is slow, and tried deep in the tail only.
    pairs = [pair for pair in product(settings.fractions[:2], methods) if pair != (settings.fractions[1], methods[-1])]
    for fraction, method in pairs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tiny runs have fewer errors than maximum likelihood asks for
            found = theory.inductive_bias(e, fraction * mean, method)
        exact = -float(tails.weighted_ncx2_logcdf(fraction * mean, w, b, "imhof"))
        rows.append({"eps": f"{fraction:g} mean", "method": method, "exact": exact, "value": found.value,
                     "covered": float(found.ci[0] <= exact <= found.ci[1]), "ks": found.ks})  # fmt: skip
    grid = np.geomspace(0.02, 1.5, 60) * mean
    params = theory.inductive_bias(e, mean, "moments").params
    tail = -np.asarray(tails.weighted_ncx2_logcdf(grid, w, b))
    family = -np.asarray(tails.scaled_ncx2_logcdf(grid, *params))
    return rows, {"drawn_errors": e, "tail_eps": grid, "tail_exact": tail, "tail_family": family}


# networks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Networks:
    """Trained perceptrons (activation, width x hidden layers) on sphere tasks."""

    dims: tuple[int, ...] = (8, 12)
    shapes: tuple[str, ...] = ("relu 64x2", "relu 32x2", "tanh 32x2")
    networks: int = 24
    steps: int = 300
    learning_rate: float = 1e-2
    train: int = 60
    test: int = 100
    eps: tuple[float, ...] = (0.1, 0.05, 0.02)
    tolerance: float = 1e-3


def simulate_networks(settings: Networks, seed: int, device: str) -> Replicate:
    """I of the kernel (exact) and of each architecture (three moments of the networks that fit), per task and eps."""
    rows, arrays = [], {}
    for d, shuffled in product(settings.dims, (False, True)):
        task = _sphere_task(d, settings.train, settings.test, seed, shuffled=shuffled)
        names = {"dim": d, "targets": "shuffled" if shuffled else "true"}
        w, b = _gp_law(task)
        values = -np.asarray(tails.weighted_ncx2_logcdf(np.array(settings.eps), w, b, "imhof"))
        rows += [names | {"space": "kernel", "eps": e, "value": v, "low": v, "high": v, "fits": 1.0,
                          "error": float(tails.weighted_ncx2_cumulants(w, b, 1)[0])}
                 for e, v in zip(settings.eps, values, strict=True)]  # fmt: skip
        # Shuffled targets are the negative condition of the first architecture only.
        for space in settings.shapes[: 1 if shuffled else None]:
            errors, fits = _trained_errors(task, settings, space, seed, device)
            for e in settings.eps:
                found = theory.inductive_bias(errors, e)
                rows.append(names | {"space": space, "eps": e, "value": found.value, "low": found.ci[0],
                                     "high": found.ci[1], "fits": fits, "error": errors.mean()})  # fmt: skip
            if not shuffled:
                arrays[f"errors {d} {space}"] = errors
    return Replicate(pd.DataFrame(rows), arrays)


def _trained_errors(task: Task, settings: Networks, shape: str, seed: int, device: str) -> tuple[np.ndarray, float]:
    """Test errors of the networks that fit (of all if fewer than ten do), and the share that does."""
    x, y, x_test, y_test = (torch.tensor(a, dtype=torch.float32, device=device).reshape(len(a), -1) for a in task)
    activation, size = shape.split()
    width, depth = (int(number) for number in size.split("x"))
    found = sample_trained_mlps(
        x, y, x_test, y_test, generator=torch.Generator(device).manual_seed(seed), networks=settings.networks,
        width=width, depth=depth, activation="tanh" if activation == "tanh" else "relu",
        learning_rate=settings.learning_rate, steps=settings.steps, tolerance=settings.tolerance,
    )  # fmt: skip
    fits = found.fits if int(found.fits.sum()) >= min(10, settings.networks) else torch.ones_like(found.fits)
    return found.test[fits].double().cpu().numpy(), float(found.fits.double().mean())


# classes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """Hypothesis spaces on real data: sizes of training sets and spaces; eps as shares of the targets' variance."""

    digits: int = 60
    breast_cancer: int = 24
    test: int = 40
    networks: int = 16
    width: int = 256
    channels: int = 64
    heads: int = 32
    trees: int = 64
    shares: tuple[float, ...] = (0.5, 0.75)
    length_scales: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    tuning_splits: int = 3


def simulate_classes(settings: Classes, seed: int, device: str) -> pd.DataFrame:
    """I of every hypothesis space per data set, condition and eps.

    ``value`` is the mean over networks, each a space of its own once its hidden layers are drawn; ``pooled`` counts
    the hidden layers' luck in, and rests on ``effective`` networks.
    """
    rows = []
    for dataset, train in (("digits", settings.digits), ("breast cancer", settings.breast_cancer)):
        for condition in ("true", "shuffled labels", "permuted pixels")[: 3 if dataset == "digits" else 2]:
            x, y = _real_data(dataset, condition, seed)
            eps = np.array(settings.shares) * float(((y - y.mean(0)) ** 2).mean())
            order = np.random.default_rng([seed, 1]).permutation(len(x))
            parts = order[:train], order[train : train + settings.test]
            others = order[train + settings.test :]
            scale, kernel_law = _tuned_kernel(x, y, parts, others, eps, settings)
            log_p = np.asarray(tails.weighted_ncx2_logcdf(eps, *kernel_law))
            found = {"kernel": (np.tile(log_p, (2, 1)), 1.0, float(np.sum(kernel_law[0] * (1 + kernel_law[1] ** 2))))}
            for name, architecture in _architectures(settings, dataset).items():
                found[name] = _network_laws(x, y, parts, architecture, eps, settings, seed, device)
            for name, (log_p, fits, error) in found.items():
                for share, each in zip(settings.shares, log_p.T, strict=True):
                    pooled = theory.pooled_inductive_bias(each) if len(each) > 1 else None
                    rows.append(
                        {"dataset": dataset, "condition": condition, "space": name, "share": share,
                         "value": -each.mean() if pooled else np.nan, "spread": each.std() if pooled else np.nan,
                         "pooled": pooled.value if pooled else np.nan,
                         "effective": pooled.params[0] if pooled else np.nan,
                         "fits": fits, "error": error, "length_scale": scale if name == "kernel" else np.nan}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _real_data(name: str, condition: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with one overall scale (each feature's own for the table), centred targets: one-hot, or ±1."""
    rng = np.random.default_rng([seed, 2])
    data: Any = load_digits() if name == "digits" else load_breast_cancer()
    x = data.data - data.data.mean(0)
    x = x / x.std() if name == "digits" else x / x.std(0)
    y = np.eye(10)[data.target] - 0.1 if name == "digits" else 2.0 * data.target[:, None] - 1
    if condition == "shuffled labels":
        y = y[rng.permutation(len(y))]
    if condition == "permuted pixels":
        x = x[:, rng.permutation(x.shape[1])]
    return x, y


def _architectures(settings: Classes, dataset: str) -> dict[str, Architecture]:
    everywhere = {
        "linear": Architecture("linear"),
        **{f"perceptron, {d} hidden": Architecture("mlp", settings.width, d) for d in (1, 2, 3)},
        "forest": Architecture("forest", settings.trees, 4),
    }
    images = {
        "convolution": Architecture("conv", settings.channels),
        "attention": Architecture("attention", settings.heads),
    }
    return everywhere | images if dataset == "digits" else everywhere


def _tuned_kernel(
    x: np.ndarray, y: np.ndarray, parts: tuple[np.ndarray, np.ndarray], others: np.ndarray, eps: np.ndarray,
    settings: Classes,
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The length scale that needs the least inductive bias on held-out splits, and its error law on this one."""
    x = x / np.sqrt((x**2).sum(1).mean())

    def law(train: np.ndarray, test: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        kernel = partial(theory.rbf_kernel, length_scale=scale)
        return theory.gp_error_law(*theory.gp_posterior(x[train], y[train], x[test], kernel, jitter=1e-4), y[test])

    size = len(parts[0])
    splits = others[: settings.tuning_splits * (size + settings.test)].reshape(settings.tuning_splits, -1)
    needed = [
        np.mean([-np.asarray(tails.weighted_ncx2_logcdf(eps, *law(s[:size], s[size:], scale))) for s in splits])
        for scale in settings.length_scales
    ]
    best = settings.length_scales[int(np.argmin(needed))]
    return best, law(*parts, best)


def _network_laws(
    x: np.ndarray, y: np.ndarray, parts: tuple[np.ndarray, np.ndarray], architecture: Architecture, eps: np.ndarray,
    settings: Classes, seed: int, device: str,
) -> tuple[np.ndarray, float, float]:  # fmt: skip
    """log P(e ≤ eps) of the networks that can fit (networks × eps), their share, and their mean error."""
    arrays = (x[parts[0]], y[parts[0]], x[parts[1]], y[parts[1]])
    x_train, y_train, x_test, y_test = (torch.tensor(a, dtype=torch.float64, device=device) for a in arrays)
    count = 2 if architecture.kind == "linear" else settings.networks
    generator = torch.Generator(device).manual_seed(seed)
    # A network fits if it leaves a hundredth of the targets' variance.
    laws = readout_error_laws(
        x_train, y_train, x_test, y_test, architecture, count, generator=generator, tolerance=0.01 * float(y.var())
    )
    w, b, fits = (each.cpu().numpy() for each in laws)
    w, b = w[fits], b[fits]
    log_p = np.stack([np.asarray(tails.weighted_ncx2_logcdf(e, w, b)) for e in eps], 1) if fits.any() else np.empty(
        (0, len(eps)))  # fmt: skip
    return log_p, float(fits.mean()), float((w * (1 + b**2)).sum(1).mean()) if fits.any() else np.nan


# speed -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Small random networks on 4 × 4 images, evaluated in batches and one by one."""

    batched: int = 2048
    looped: int = 60
    rounds: int = 5
    train: int = 10
    test: int = 20
    inputs: int = 16


SPEED_CLASSES = {
    "linear": Architecture("linear"),
    "perceptron 16x1": Architecture("mlp", 16, 1),
    "perceptron 16x2": Architecture("mlp", 16, 2),
    "perceptron 16x3": Architecture("mlp", 16, 3),
    "perceptron 32x2": Architecture("mlp", 32, 2),
    "convolution, 4 channels": Architecture("conv", 4),
    "attention, dimension 4": Architecture("attention", 4),
    "forest, 4 trees of 3": Architecture("forest", 4, 3),
}


def simulate_speed(settings: Speed, seed: int, device: str) -> pd.DataFrame:
    """Seconds per hypothesis and round, in batches and in a loop, and of the closed forms against their peers."""
    rows = []
    for name, architecture in SPEED_CLASSES.items():
        for condition in ("prior", "interpolate"):
            sides = speed_sides(architecture, condition, settings, seed, device)
            table = alternating_seconds(sides, rounds=settings.rounds)
            table["seconds"] /= table["side"].map({"batched": settings.batched, "loop": settings.looped})
            rows += [{"space": name, "condition": condition, **row} for row in table.to_dict("records")]
    e = np.random.default_rng(seed).noncentral_chisquare(10, 5, 2000)
    fits = {"moments": lambda: theory.ncx2_moment_fit(e.mean(), e.var(ddof=1), stats.kstat(e, 3)),
            "likelihood": lambda: stats.ncx2.fit(e, floc=0)}  # fmt: skip
    w, b = np.full(100, 0.01), np.zeros(100)
    tail = {"saddlepoint": lambda: tails.weighted_ncx2_logcdf(np.linspace(0.1, 1, 100), w, b)}
    fits["moments"]()  # once, to warm up; maximum likelihood is too slow for that
    for name, sides, rounds in (("fit", fits, min(3, settings.rounds)), ("tail", tail, 11)):
        table = alternating_seconds(sides, rounds=rounds, warmup=0 if name == "fit" else 1)
        rows += [{"space": name, "condition": "2000 errors", **row} for row in table.to_dict("records")]
    return pd.DataFrame(rows)


def speed_sides(
    architecture: Architecture, condition: Any, settings: Speed, seed: int, device: str
) -> dict[str, Callable[[], object]]:
    """The same evaluations in batches and one by one."""
    generator = torch.Generator(device).manual_seed(seed)
    x, x_test = (
        torch.randn(n, settings.inputs, generator=generator, device=device) for n in (settings.train, settings.test)
    )
    y, y_test = x[:, :1].sin(), x_test[:, :1].sin()

    def batched() -> float:
        found = hypothesis_errors(
            x, y, x_test, y_test, architecture, settings.batched, generator=generator, condition=condition
        )
        return float(found.test.mean())  # waits for the device

    def loop() -> float:
        with torch.no_grad():
            found = [_one_by_one(x, y, x_test, y_test, architecture, condition) for _ in range(settings.looped)]
        return float(torch.stack(found).mean())

    return {"batched": batched, "loop": loop}


def _one_by_one(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, architecture: Architecture, condition: str):
    """Errors of one random network, as it is usually written: modules, then the readout."""
    n, both, targets = len(x), torch.cat([x, x_test]), torch.cat([y, y_test])
    h = _features(architecture, x.shape[1]).to(x.device)(both)
    scale = 1 / (h[:n].square().sum(1).mean() + 1)
    readout = torch.randn(h.shape[1] + 1, y.shape[1], device=x.device)
    outputs = scale.sqrt() * (h @ readout[:-1] + readout[-1])
    if condition == "interpolate":
        kernel = scale * (h @ h[:n].T + 1)
        factor = torch.linalg.cholesky(kernel[:n] + 1e-4 * torch.eye(n, device=x.device))
        gap = y - outputs[:n] - 1e-2 * torch.randn_like(y)
        outputs = outputs + kernel @ torch.cholesky_solve(gap, factor)
    squared = (outputs - targets).square()
    return torch.stack([squared[:n].mean(), squared[n:].mean()])


def _features(architecture: Architecture, inputs: int) -> nn.Module:
    width, side = architecture.width, math.isqrt(inputs)
    if architecture.kind == "mlp":
        sizes = [inputs, *[width] * architecture.depth]
        layers = [each for a, b in pairwise(sizes) for each in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers)
    if architecture.kind == "conv":
        image = nn.Unflatten(1, (1, side, side))
        return nn.Sequential(image, nn.Conv2d(1, width, 3), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True), nn.Flatten())
    if architecture.kind == "attention":
        return _Attention(side, width)
    return _Forest(inputs, width, architecture.depth) if architecture.kind == "forest" else nn.Identity()


class _Attention(nn.Module):
    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side, self.project = side, nn.Linear(side, 3 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x.reshape(-1, self.side, self.side)).chunk(3, -1)
        return F.scaled_dot_product_attention(query, key, value).relu().flatten(1)


class _Forest(nn.Module):
    def __init__(self, inputs: int, trees: int, depth: int) -> None:
        super().__init__()
        self.chosen, self.threshold = torch.randint(inputs, (trees, depth)), 2 * torch.rand(trees, depth) - 1
        self.powers = 2 ** torch.arange(depth)

    def forward(self, x: Tensor) -> Tensor:
        bits = x[:, self.chosen.to(x.device)] > self.threshold.to(x.device)
        leaf = (bits * self.powers.to(x.device)).sum(-1)
        return F.one_hot(leaf, 2 ** len(self.powers)).to(x.dtype).flatten(1)


# experiments and claims --------------------------------------------------------------------------

EXPERIMENTS = [
    Experiment(
        "tails", simulate_tails, quick=Tails(), full=Tails(instances=40, terms=(1, 5, 20, 40, 100), counted=4),
        tiny=Tails(instances=2, terms=(1, 5), draws=2000), replicates=5,
    ),
    Experiment(
        "sampling", simulate_sampling, quick=Sampling(),
        full=Sampling(sizes=(30, 100, 300, 1000, 3000, 10_000, 30_000), repeats=500, intervals=400),
        tiny=Sampling(sizes=(30, 100), repeats=10, intervals=3, interval_size=50), replicates=5,
    ),
    Experiment(
        "dimension", simulate_dimension, quick=Dimension(),
        full=Dimension(dims=(2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32), draws=10_000),
        tiny=Dimension(dims=(3, 8), train=20, test=15, train_sizes=(10, 20), draws=60), replicates=5,
    ),
    Experiment(
        "networks", simulate_networks, quick=Networks(),
        full=Networks(
            dims=(5, 8, 12, 16), shapes=("relu 64x2", "relu 32x2", "tanh 32x2", "relu 64x1", "relu 256x2"),
            networks=200, steps=6000, learning_rate=1e-3,
        ),
        tiny=Networks(dims=(8,), networks=6, steps=20, train=10, test=10),
        replicates=5,
    ),
    Experiment(
        "classes", simulate_classes, quick=Classes(),
        full=Classes(digits=200, test=100, networks=100, width=512, channels=128,
                     heads=64, trees=256, tuning_splits=5),
        tiny=Classes(digits=12, breast_cancer=8, test=8, networks=3, width=16, channels=4, heads=4, trees=8),
        replicates=5,
    ),
    Experiment(
        "speed", simulate_speed, quick=Speed(), full=Speed(batched=16_384, looped=500),
        tiny=Speed(batched=64, looped=2, rounds=1), replicates=1,
    ),
]  # fmt: skip
DEFAULT, TANH, RELU = "relu 64x2", "tanh 32x2", "relu 32x2"
_SMALLEST_FAMILY = 5


def _shift(column: str, by: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda t: t.assign(**{column: t[column] + by})


def _tail_rows(t: pd.DataFrame, *, single: bool = False) -> pd.DataFrame:
    rows = t[t["quantity"] == "tail"]
    return rows if single else rows[rows["terms"] >= _SMALLEST_FAMILY]


def _judge_cumulants(t: pd.DataFrame) -> Verdict:
    return statistics.identity(_tail_rows(t, single=True)["cumulant_gap"], "relative gap of cumulants", tolerance=1e-9)


def _judge_bulk(t: pd.DataFrame) -> Verdict:
    rows = _tail_rows(t)
    rows = rows[rows["exact"] <= -math.log(1e-3)]
    return statistics.identity(
        rows["saddlepoint"] - rows["exact"], "saddlepoint less inversion where P ≥ 1e-3, in nats", tolerance=0.05
    )


def _judge_counted(t: pd.DataFrame) -> Verdict:
    rows = t[t["quantity"] == "counted"]
    gaps = (
        (rows["saddlepoint"] - rows["exact"]).groupby([rows["replicate"], rows["fraction"]]).mean().unstack("fraction")
    )
    return statistics.all_of([
        statistics.within(gaps[p], f"saddlepoint less counting at P = {p:g}, in nats", low=-0.05, high=0.05)
        for p in gaps.columns
    ])  # fmt: skip


def _judge_family(t: pd.DataFrame) -> Verdict:
    rows = _tail_rows(t).dropna(subset="family")
    ratio = (rows["saddlepoint"] - rows["family"]).abs() / (0.03 + 0.01 * rows["family"])
    return statistics.at_most(
        float(ratio.max()), "|saddlepoint − noncentral chi-square| over 0.03 nats + 1 %", threshold=1.0,
        instances=len(rows),
    )  # fmt: skip


def _judge_inversion(t: pd.DataFrame) -> Verdict:
    rows = _tail_rows(t, single=True).dropna(subset="family")
    gap = (rows["exact"] - rows["family"]).abs() / rows["family"].clip(lower=1.0)
    return statistics.identity(gap, "inversion less noncentral chi-square, relative", tolerance=1e-9)


def _judge_enclosure(t: pd.DataFrame) -> Verdict:
    rows = _tail_rows(t, single=True)
    ratio = pd.concat([rows["lower"] / rows["exact"], rows["exact"] / rows["upper"]], ignore_index=True)
    where = rows.iloc[int(ratio.argmax()) % len(rows)]
    witness = f"{where['terms']} terms, eps = {where['fraction']:g} mean, I = {where['exact']:.4g}"
    return statistics.bound(
        float(ratio.max()), "Chernoff's bound over I, and I over the tilted bound", instances=len(ratio), required=200,
        witness=witness,
    )  # fmt: skip


def _judge_monotone(t: pd.DataFrame) -> Verdict:
    rows = _tail_rows(t, single=True)
    steps = rows["exact"].diff()[rows["fraction"].diff() > 0]
    return statistics.at_most(
        float(steps.max()), "largest rise of I as eps grows", threshold=1e-9, instances=len(steps)
    )


def _tails_example() -> pd.DataFrame:
    rows = [
        {"replicate": k, "quantity": "tail", "terms": n, "fraction": f, "exact": x, "saddlepoint": x + 0.003 * k,
         "tilted": x, "lower": 0.9 * x, "upper": x / 0.9, "family": x, "cumulant_gap": 1e-15}
        for k in range(5) for n in (1, 5, 9, 20, 40, 60) for f, x in zip((0.1, 0.2, 0.3, 0.6, 0.8, 1.0),
                                                                (5.0, 4.0, 3.0, 2.0, 1.0, 0.6), strict=True)
    ]  # fmt: skip
    counted = [
        {"replicate": k, "quantity": "counted", "terms": 5, "fraction": p, "exact": 5.0, "saddlepoint": 5 + 0.002 * k}
        for k in range(5) for p in (0.5, 0.01)
    ]  # fmt: skip
    return pd.DataFrame(rows + counted)


def _spread(t: pd.DataFrame, estimator: str) -> pd.DataFrame:
    return t[(t["quantity"] == "spread") & (t["estimator"] == estimator)]


def _rate_claim(id: str, estimator: str, statement: str) -> Claim:
    def judge(t: pd.DataFrame) -> Verdict:
        rows = _spread(t, estimator)
        slopes = statistics.log_log_slopes(rows[rows["level"] == 10.0], "size", "value")
        return statistics.within(slopes, f"slope of the spread of I against N, {estimator}", low=-0.6, high=-0.4)

    return Claim(id, "sampling", "rate", "error bounds in the number of sampled hypotheses, abstract", statement, judge,
                 _sampling_example, lambda t: t.assign(value=t["value"] * t["size"] ** 0.3))  # fmt: skip


def _judge_free_of_depth(t: pd.DataFrame) -> Verdict:
    by_level = _spread(t, "scale only").groupby(["replicate", "level"])["value"].mean().unstack("level")
    ratio = by_level.max(axis=1) / by_level.min(axis=1)
    return statistics.trend(ratio, "largest over smallest spread, I from 5 to 40 nats", below=2.0)


def _judge_scale_bound(t: pd.DataFrame) -> Verdict:
    rows = _spread(t, "scale only")
    ratio = (rows["value"] / rows["bound"]).groupby([rows["replicate"], rows["level"]]).mean().groupby("replicate")
    return statistics.trend(ratio.max(), "spread over sqrt(k/(2N)), at the worst depth", below=1.0)


def _judge_no_hit(t: pd.DataFrame) -> Verdict:
    rows = t[(t["quantity"] == "no hit") & (t["size"] < 0.1 * np.exp(t["level"]))]
    share = rows.groupby(["replicate", "size", "level"])["value"].mean().groupby("replicate").min()
    return statistics.trend(share, "smallest share of counts without a hit where N < 0.1 e^I", above=0.85)


def _judge_counting_bound(t: pd.DataFrame) -> Verdict:
    rows = t[t["quantity"] == "counting bound"]
    worst = rows.iloc[int(rows["value"].argmax())]
    witness = f"N = {worst['size']:g}, I = {worst['level']:g}, {worst['estimator']}"
    return statistics.bound(float(worst["value"]), "probability that counting fails, over its bound",
                            instances=len(rows),                            required=40, witness=witness)  # fmt: skip


def _judge_coverage(t: pd.DataFrame) -> Verdict:
    share = t[t["quantity"] == "coverage"].groupby("replicate")["value"].mean()
    return statistics.trend(share, "share of 95 % intervals that hold the truth, family right", above=0.88)


def _sampling_example() -> pd.DataFrame:
    rows = []
    for k, size, level in product(range(5), (30, 100, 300, 1000), (5.0, 10.0, 20.0)):
        noise = 1 + 0.01 * ((k + size) % 3)
        for estimator, factor in (("scale only", 1.0), ("two parameters", 5.0), ("three moments", 7.0)):
            rows.append({"replicate": k, "quantity": "spread", "estimator": estimator, "size": size, "level": level,
                         "value": factor * noise * (0.8 + 0.005 * level) * math.sqrt(10 / size), "bias": 0.0,
                         "bound": math.sqrt(10 / size), "first_order": 0.9 * math.sqrt(10 / size)})  # fmt: skip
        rows.append({"replicate": k, "quantity": "no hit", "estimator": "counting", "size": size, "level": level,
                     "value": 0.97 + 0.001 * k})  # fmt: skip
        rows.append({"replicate": k, "quantity": "counting bound", "estimator": "eta 0.5", "size": size, "level": level,
                     "value": 0.9})  # fmt: skip
    rows += [{"replicate": k, "quantity": "coverage", "estimator": "chi2", "size": 300, "level": 10.0,
              "value": 0.94 + 0.005 * k} for k in range(5)]  # fmt: skip
    return pd.DataFrame(rows)


def _law(t: pd.DataFrame, task: str, eps: str) -> pd.DataFrame:
    return t[(t["task"] == task) & (t["eps"] == eps) & (t["method"] == "law")]


def _judge_at_the_mean(t: pd.DataFrame) -> Verdict:
    values = _law(t, "sphere", "1 mean")["exact"]
    return statistics.all_of([
        statistics.at_least(values.min(), "smallest I at the mean error", threshold=0.35, instances=len(values)),
        statistics.at_most(values.max(), "largest I at the mean error", threshold=0.70, instances=len(values)),
    ])  # fmt: skip


def _judge_rank_of_dimension(t: pd.DataFrame) -> Verdict:
    rows = _law(t, "sphere", "0.05").assign(rounded=lambda r: r["exact"].round(3))
    rho = [r["dim"].corr(r["rounded"], method="spearman") for _, r in rows.groupby("replicate")]
    return statistics.trend(rho, "Spearman's correlation of I and dimension, eps = 0.05", above=0.9)


def _judge_padding(t: pd.DataFrame) -> Verdict:
    padded = _law(t, "padded", "0.05").set_index("replicate")["exact"]
    rows = _law(t, "sizes", "0.05")
    plain = rows[rows["train"] == _law(t, "padded", "0.05")["train"].iloc[0]].set_index("replicate")["exact"]
    return statistics.identity(padded - plain, "I with zeros appended to the inputs less I without", tolerance=1e-5)


def _family_bias(t: pd.DataFrame, eps: str) -> pd.Series:
    rows = _law(t, "sphere", eps)
    rows = rows[rows["dim"] >= 5]
    return (1 - rows["family"] / rows["exact"]).groupby(rows["replicate"]).mean()


def _judge_missed_truth(t: pd.DataFrame) -> Verdict:
    rows = t[t["method"].isin(["moments", "chi2", "ncx2_mle"]) & (t["eps"] == "0.1 mean")]
    share = rows.groupby("replicate")["covered"].mean()
    return statistics.trend(share, "share of 95 % intervals that hold the exact value, eps = 0.1 mean", below=0.5)


def _gain_of_data(t: pd.DataFrame, task: str) -> np.ndarray:
    rows = _law(t, task, "0.05")
    sizes = rows["train"]
    return statistics.paired(rows, "exact", "train", sizes.min(), sizes.max())


def _dimension_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for d, eps in product((2, 5, 8, 12), ("0.05", "0.1 mean", "0.5 mean", "1 mean")):
            x = 0.6 if eps == "1 mean" else 3.0 * d + 0.1 * k
            ratio = {"0.1 mean": 0.6 + 0.01 * k, "0.5 mean": 0.9 + 0.005 * k}.get(eps, 1.0)
            rows.append({"replicate": k, "task": "sphere", "dim": d, "train": 60, "eps": eps, "method": "law",
                         "exact": x, "family": ratio * x})  # fmt: skip
        for n, (task, sign) in product((20, 60, 120), (("sizes", -1), ("sizes, shuffled", 1))):
            rows.append({"replicate": k, "task": task, "dim": 6, "train": n, "eps": "0.05", "method": "law",
                         "exact": 100.0 + sign * n * (0.5 + 0.01 * k)})  # fmt: skip
        rows.append({"replicate": k, "task": "padded", "dim": 12, "train": 60, "eps": "0.05", "method": "law",
                     "exact": 100.0 - 60 * (0.5 + 0.01 * k)})  # fmt: skip
        rows += [{"replicate": k, "task": "sphere", "dim": 8, "train": 60, "eps": "0.1 mean", "method": m,
                  "covered": 0.0} for m in ("moments", "chi2", "ncx2_mle")]  # fmt: skip
    return pd.DataFrame(rows)


def _against_kernel(eps: float) -> Callable[[pd.DataFrame], Verdict]:
    def judge(t: pd.DataFrame) -> Verdict:
        rows = t[(t["eps"] == eps) & (t["targets"] == "true") & (t["dim"] >= 8)]
        return statistics.all_of([
            statistics.trend(statistics.paired(r, "value", "space", DEFAULT, "kernel"),
                             f"I of trained networks less I of the kernel, d = {d}, eps = {eps:g}", below=0.0)
            for d, r in rows.groupby("dim")
        ])  # fmt: skip

    return judge


def _judge_structure(t: pd.DataFrame) -> Verdict:
    rows = t[(t["eps"] == 0.05) & t["space"].isin([DEFAULT, "kernel"]) & (t["dim"] >= 8)]
    wide = rows.pivot_table(index=["replicate", "dim", "targets"], columns="space", values="value")
    share = (wide[DEFAULT] / wide["kernel"]).unstack("targets")
    gain = (share["shuffled"] - share["true"]).groupby("replicate").mean()
    return statistics.trend(gain, "networks' share of the kernel's nats, shuffled less true targets", above=0.0)


def _judge_activation(t: pd.DataFrame) -> Verdict:
    rows = t[(t["eps"] == 0.02) & (t["targets"] == "true") & (t["dim"] == t["dim"].max())]
    gap = statistics.paired(rows, "value", "space", RELU, TANH)
    return statistics.trend(gap, "I of relu less I of tanh networks, d = 12, eps = 0.02", above=0.0)


def _networks_example() -> pd.DataFrame:
    values = {("true", "kernel"): 30.0, ("true", DEFAULT): 4.0, ("true", RELU): 3.0, ("true", TANH): 0.5,
              ("shuffled", "kernel"): 200.0, ("shuffled", DEFAULT): 250.0}  # fmt: skip
    return pd.DataFrame([
        {"replicate": k, "dim": d, "targets": targets, "space": space, "eps": eps, "value": v * (1 + 0.02 * k)}
        for k in range(5) for d in (8, 12) for eps in (0.05, 0.02) for (targets, space), v in values.items()
    ])  # fmt: skip


def _digits(t: pd.DataFrame, condition: str = "true") -> pd.DataFrame:
    return t[(t["dataset"] == "digits") & (t["condition"] == condition) & (t["share"] == 0.5)]


def _less_than(first: str, second: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(t: pd.DataFrame) -> Verdict:
        gap = statistics.paired(_digits(t), "value", "space", first, second)
        return statistics.trend(gap, f"I of {first} less I of {second}, digits, half the variance", below=0.0)

    return judge


def _judge_permuted_convolution(t: pd.DataFrame) -> Verdict:
    rows = t[(t["dataset"] == "digits") & (t["space"] == "convolution") & (t["share"] == 0.5)]
    gap = statistics.paired(rows, "value", "condition", "permuted pixels", "true")
    return statistics.trend(gap, "I of convolution with permuted pixels less without", above=0.0)


def _judge_permuted_perceptron(t: pd.DataFrame) -> Verdict:
    rows = t[t["space"] == "perceptron, 2 hidden"]
    sides = [_digits(rows, c).groupby("replicate")["value"].mean() for c in ("permuted pixels", "true")]
    return statistics.within(sides[0] / sides[1] - 1, "relative change of I of perceptrons with permuted pixels",
                             low=-0.25, high=0.25)  # fmt: skip


def _judge_shuffled_labels(t: pd.DataFrame) -> Verdict:
    rows = t[(t["share"] == 0.5) & t["condition"].isin(["true", "shuffled labels"])]
    wide = rows.pivot_table(index=["replicate", "dataset", "space"], columns="condition", values="value").dropna()
    least = (wide["shuffled labels"] - wide["true"]).groupby("replicate").min()
    return statistics.trend(
        least, "I with shuffled labels less I with true ones, at the least of all spaces", above=0.0
    )


def _classes_example() -> pd.DataFrame:
    values = {"kernel": 20.0, "perceptron, 2 hidden": 15.0, "convolution": 7.0}
    extra = {"true": 0.0, "shuffled labels": 300.0, "permuted pixels": 0.0}
    return pd.DataFrame([
        {"replicate": k, "dataset": "digits", "condition": c, "space": s, "share": 0.5,
         "value": v + e + 0.1 * k + (12 + k) * (s == "convolution" and c == "permuted pixels")}
        for k in range(5) for s, v in values.items() for c, e in extra.items()
    ])  # fmt: skip


def _speed_ratio(t: pd.DataFrame, first: str, second: str) -> pd.Series:
    """Median over rounds of paired ratios, per space and condition."""
    rounds = t.pivot_table(index=["space", "condition", "round"], columns="side", values="seconds")
    return (rounds[first] / rounds[second]).dropna().groupby(["space", "condition"]).median()


def _judge_speed(spaces: Callable[[str], bool], name: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(t: pd.DataFrame) -> Verdict:
        ratio = _speed_ratio(t, "loop", "batched")
        ratio = ratio[[spaces(space) and condition == "prior" for space, condition in ratio.index]]
        return statistics.at_least(ratio.min(), f"hypotheses per second, batched over looped, least of {name}",
                                   threshold=50.0, instances=len(ratio))  # fmt: skip

    return judge


def _judge_fit_speed(t: pd.DataFrame) -> Verdict:
    ratio = _speed_ratio(t, "likelihood", "moments")
    return statistics.at_least(ratio.min(), "seconds of maximum likelihood over moments, 2000 errors", threshold=1000.0)


def _judge_tail_speed(t: pd.DataFrame) -> Verdict:
    seconds = t[t["side"] == "saddlepoint"]["seconds"].median() / 100
    return statistics.at_most(seconds, "seconds per saddlepoint value, 100 terms", threshold=1e-3)


def _speed_example() -> pd.DataFrame:
    sides = [(space, "prior", {"batched": 1e-5, "loop": 1e-3}) for space in SPEED_CLASSES]
    sides += [
        ("fit", "2000 errors", {"moments": 1e-4, "likelihood": 0.5}),
        ("tail", "2000 errors", {"saddlepoint": 0.02}),
    ]
    return pd.DataFrame([
        {"replicate": 0, "space": space, "condition": condition, "round": r, "side": side,
         "seconds": s * (1 + 0.01 * r)}
        for space, condition, by_side in sides for side, s in by_side.items() for r in range(3)
    ])  # fmt: skip


def _slower(t: pd.DataFrame) -> pd.DataFrame:
    factor = t["side"].map({"batched": 100.0, "moments": 1e4, "saddlepoint": 100.0}).fillna(1.0)
    return t.assign(seconds=t["seconds"] * factor)


_OURS = "derived here"
CLAIMS = [
    Claim("C1a", "tails", "identity", _OURS, "Cumulants are 2^{r−1} (r−1)! sum w^r (1 + r b²).",
          _judge_cumulants, _tails_example, _shift("cumulant_gap", 0.01)),
    Claim("C1b", "tails", "identity", _OURS,
          "The saddlepoint tail of five terms and more is within 0.05 nats of inversion where P ≥ 1e-3.",
          _judge_bulk, _tails_example, _shift("saddlepoint", 0.2)),
    Claim("C1c", "tails", "limit", _OURS, "The saddlepoint tail is within 0.05 nats of counting a million draws.",
          _judge_counted, _tails_example, _shift("saddlepoint", 0.2)),
    Claim("C1d", "tails", "identity", _OURS,
          "For five equal weights and more the saddlepoint is within 0.03 nats + 1 % of the noncentral chi-square.",
          _judge_family, _tails_example, _shift("saddlepoint", 0.5)),
    Claim("C1e", "tails", "identity", _OURS,
          "Inversion along a parabola through the saddlepoint is exact at any depth, for any number of terms.",
          _judge_inversion, _tails_example, _shift("exact", 0.01)),
    Claim("C2a", "tails", "bound", _OURS, "Chernoff's lower and the tilted upper bound enclose I.",
          _judge_enclosure, _tails_example, lambda t: t.assign(lower=1.5 * t["lower"])),
    Claim("C2b", "tails", "bound", "definition", "I does not rise with eps.",
          _judge_monotone, _tails_example, lambda t: t.assign(exact=-t["exact"])),
    Claim("C2c", "dimension", "limit", _OURS, "At the mean error I is about log 2: between 0.35 and 0.70 nats.",
          _judge_at_the_mean, _dimension_example, lambda t: t.assign(exact=2 * t["exact"])),
    _rate_claim("C3a", "scale only", "With only the scale unknown the spread of the estimate falls like N^{−1/2}."),
    _rate_claim("C3b", "two parameters", "With scale and degrees of freedom unknown it falls like N^{−1/2}."),
    _rate_claim("C3c", "three moments", "With three moments of a noncentral law it falls like N^{−1/2}."),
    Claim("C3d", "sampling", "bound", _OURS, "With the scale unknown the spread depends on I by less than a factor 2.",
          _judge_free_of_depth, _sampling_example, lambda t: t.assign(value=t["value"] * t["level"])),
    Claim("C3e", "sampling", "bound", _OURS, "That spread is below sqrt(k/(2N)), however large I is.",
          _judge_scale_bound, _sampling_example, lambda t: t.assign(value=2 * t["value"])),
    Claim("C3f", "sampling", "bound", _OURS, "Counting sees nothing in at least 85 % of cases if N < 0.1 e^I.",
          _judge_no_hit, _sampling_example, lambda t: t.assign(value=t["value"] / 2)),
    Claim("C3g", "sampling", "bound", _OURS,
          "Counting fails by more than eta nats with probability at most 2 exp(−N e^{−I} (1 − (1 + eta) e^{−eta})).",
          _judge_counting_bound, _sampling_example, lambda t: t.assign(value=2 * t["value"])),
    Claim("C3h", "sampling", "trend", _OURS, "Bootstrap intervals of level 95 % hold the truth in 88 % of cases.",
          _judge_coverage, _sampling_example, lambda t: t.assign(value=t["value"] / 2)),
    Claim("C4a", "dimension", "trend", "dimension of the task, abstract",
          "Tasks of higher dimension need more inductive bias.", _judge_rank_of_dimension, _dimension_example,
          lambda t: t.assign(exact=-t["exact"])),
    Claim("C4b", "dimension", "identity", "negative condition",
          "It is the task's own dimension that counts: appending zeros to the inputs changes nothing.",
          _judge_padding, _dimension_example,
          lambda t: t.assign(exact=t["exact"] + (t["task"] == "padded"))),
    Claim("C5a", "networks", "trend", "networks against kernels, abstract",
          "Trained networks leave less to supply than the kernel space, d ≥ 8, eps = 0.05.",
          _against_kernel(0.05), _networks_example, lambda t: exchange(t, "space", DEFAULT, "kernel")),
    Claim("C5b", "networks", "trend", "networks against kernels, abstract",
          "Trained networks leave less to supply than the kernel space, d ≥ 8, eps = 0.02.",
          _against_kernel(0.02), _networks_example, lambda t: exchange(t, "space", DEFAULT, "kernel")),
    Claim("C5c", "networks", "trend", "negative condition",
          "With shuffled targets networks lose that advantage: their share of the kernel's nats is larger.",
          _judge_structure, _networks_example, lambda t: exchange(t, "targets", "true", "shuffled")),
    Claim("C5d", "classes", "trend", "networks against kernels, abstract",
          "On digits random convolutions need less than a kernel with a tuned length scale.",
          _less_than("convolution", "kernel"), _classes_example,
          lambda t: exchange(t, "space", "convolution", "kernel")),
    Claim("C5e", "classes", "trend", "networks against kernels, abstract",
          "On digits random perceptrons need less than a kernel with a tuned length scale.",
          _less_than("perceptron, 2 hidden", "kernel"), _classes_example,
          lambda t: exchange(t, "space", "perceptron, 2 hidden", "kernel")),
    Claim("C6a", "networks", "trend", "architectures can be ranked, abstract",
          "On the smooth task networks with tanh need less than equal ones with relu.",
          _judge_activation, _networks_example, lambda t: exchange(t, "space", RELU, TANH)),
    Claim("C6b", "classes", "trend", "architectures can be ranked, abstract",
          "On digits convolutions need less than perceptrons.", _less_than("convolution", "perceptron, 2 hidden"),
          _classes_example, lambda t: exchange(t, "space", "convolution", "perceptron, 2 hidden")),
    Claim("C6c", "classes", "trend", "negative condition",
          "What convolutions know is where pixels are: with permuted pixels they need more.",
          _judge_permuted_convolution, _classes_example, lambda t: exchange(t, "condition", "permuted pixels", "true")),
    Claim("C6d", "classes", "trend", "negative condition",
          "Perceptrons know nothing of it: permuting pixels changes their I by less than a quarter.",
          _judge_permuted_perceptron, _classes_example,
          lambda t: t.assign(value=t["value"] * (1 + (t["condition"] == "permuted pixels")))),
    Claim("C6e", "classes", "trend", "negative condition",
          "Shuffled labels need more inductive bias in every space, on digits and breast cancer.",
          _judge_shuffled_labels, _classes_example, lambda t: exchange(t, "condition", "shuffled labels", "true")),
    Claim("C7a", "dimension", "trend", _OURS,
          "At a tenth of the mean error the fitted family misses more than 15 % of a kernel's I, moments exact.",
          lambda t: statistics.trend(_family_bias(t, "0.1 mean"), "share missed, d ≥ 5, eps = 0.1 mean", above=0.15),
          _dimension_example, lambda t: t.assign(family=t["exact"])),
    Claim("C7b", "dimension", "trend", _OURS, "At half the mean error it misses less than 20 %.",
          lambda t: statistics.trend(_family_bias(t, "0.5 mean"), "share missed, d ≥ 5, eps = 0.5 mean", below=0.2),
          _dimension_example, lambda t: t.assign(family=t["family"] / 2)),
    Claim("C7c", "dimension", "trend", _OURS,
          "More hypotheses do not mend it: intervals from 2000 draws do not hold the exact value.",
          _judge_missed_truth, _dimension_example, lambda t: t.assign(covered=1.0)),
    Claim("C8a", "dimension", "trend", "definition: a fixed training budget",
          "More training data leave less to supply.",
          lambda t: statistics.trend(_gain_of_data(t, "sizes"), "I with 20 less I with 120 training points", above=0.0),
          _dimension_example, lambda t: exchange(t, "task", "sizes", "sizes, shuffled")),
    Claim("C8b", "dimension", "trend", "negative condition", "More shuffled data leave more to supply.",
          lambda t: statistics.trend(
              _gain_of_data(t, "sizes, shuffled"), "I with 20 less I with 120 shuffled points", below=0.0),
          _dimension_example, lambda t: exchange(t, "task", "sizes", "sizes, shuffled")),
    Claim("C9a", "speed", "cost", _OURS, "Batches evaluate small perceptrons at least 50 times as fast as a loop.",
          _judge_speed(lambda s: s.startswith("perceptron"), "perceptrons"), _speed_example, _slower),
    Claim("C9b", "speed", "cost", _OURS, "And so they do hypotheses of every other class.",
          _judge_speed(lambda s: not s.startswith("perceptron"), "other classes"), _speed_example, _slower),
    Claim("C9c", "speed", "cost", _OURS, "Fitting moments is at least 1000 times as fast as maximum likelihood.",
          _judge_fit_speed, _speed_example, _slower),
    Claim("C9d", "speed", "cost", _OURS, "A saddlepoint tail of 100 terms takes less than a millisecond.",
          _judge_tail_speed, _speed_example, _slower),
]  # fmt: skip
