"""Optimal reconstructions computed without a network: orders of error, coefficients, gaps and stationary points.

One tidy table, a row per check, case and sigma. Checks whose name ends in *exchanged* hold an optimum against the other
one's formula: a condition in which agreement must fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from simulations import Replicate
from simulations.density.known_scores import BIMODAL, TRIMODAL, random_mixture
from theory.density.isotropic_mixture import IsotropicMixture
from theory.density.regularized_autoencoder import (
    Regularization,
    gaussian_reconstruction,
    loss_gap_1d,
    optimal_dae,
    optimal_rcae_1d,
    reconstruction_expansion,
)
from theory.density.score_sampling import loop_integral, stationary_points

__all__ = ["Exact", "simulate_exact"]

Row = dict[str, Any]
FORMS: tuple[Regularization, Regularization] = ("denoising", "contractive")


@dataclass(frozen=True)
class Exact:
    """Grids of sigma, the spacing on the line, and how many random cases each identity gets."""

    score_sigmas: tuple[float, ...] = (0.1, 0.05, 0.03, 0.02)
    coefficient_sigmas: tuple[float, ...] = (0.1, 0.05, 0.03)
    tweedie_sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    gap_sigmas: tuple[float, ...] = (0.1, 0.05, 0.025, 0.0125)
    spacing: float = 0.002
    mixtures: int = 5
    gaussians: int = 50
    energy_sigma: float = 0.05
    starts: int = 400
    samples: int = 5000
    triangles: int = 50


def simulate_exact(settings: Exact, seed: int, device: str) -> Replicate:
    """Every check, and maps of the log-density and of the reconstruction error."""
    rng = np.random.default_rng(seed)
    rows = [
        *_orders(settings), *_tweedie(settings, rng), *_gaussian(settings, rng), *_gaps(settings),
        *_stationary(settings, rng), *_loops(settings, rng),
    ]  # fmt: skip
    axis = np.linspace(-2, 2, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    moved = settings.energy_sigma**2 * TRIMODAL.smoothed(settings.energy_sigma).score(grid)
    maps = {"log density": TRIMODAL.log_density(grid), "error": np.square(moved).sum(1)}
    arrays = {name: values.reshape(101, 101).astype(np.float32) for name, values in maps.items()}
    return Replicate(pd.DataFrame(rows), arrays)


def _orders(settings: Exact) -> Iterator[Row]:
    """Relative L2(p) errors of score, Hessian and fourth-order coefficient on the core of the bimodal density."""
    grid = np.arange(-6, 6 + settings.spacing / 2, settings.spacing)
    density = np.exp(BIMODAL.log_density(grid[:, None]))
    for sigma in sorted({*settings.score_sigmas, *settings.coefficient_sigmas}, reverse=True):
        for form, reconstruction in zip(FORMS, _optima(grid, density, sigma), strict=True):
            if sigma in settings.score_sigmas:
                core = (grid >= -2.4) & (grid <= 2)
                points, weights = grid[core][:, None], density[core]
                estimate = (reconstruction - grid) / sigma**2
                error = _relative(weights, estimate[core], BIMODAL.score(points)[:, 0])
                yield {"check": "score", "case": form, "sigma": sigma, "value": error}
                hessian = np.gradient(estimate, settings.spacing)[core]
                error = _relative(weights, hessian, BIMODAL.score_jacobian(points)[:, 0, 0])
                yield {"check": "Hessian", "case": form, "sigma": sigma, "value": error}
            if sigma in settings.coefficient_sigmas:
                core = (grid >= -2.2) & (grid <= 1.8)
                points, weights = grid[core][:, None], density[core]
                second = points[:, 0] + sigma**2 * BIMODAL.score(points)[:, 0]
                for formula in FORMS:
                    exact = reconstruction_expansion(BIMODAL, points, sigma, formula)[:, 0] - second
                    error = _relative(weights, reconstruction[core] - second, exact)
                    check = "coefficient" if formula == form else "coefficient, exchanged"
                    yield {"check": check, "case": form, "sigma": sigma, "value": error}


def _optima(grid: np.ndarray, density: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    # The density's own quadrature gives the same to 1e-14 (checked below), at a thousand times the cost on this grid.
    denoising = grid + sigma**2 * BIMODAL.smoothed(sigma).score(grid[:, None])[:, 0]
    return denoising, optimal_rcae_1d(grid, density, sigma)


def _relative(weights: np.ndarray, found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(weights @ np.square(found - exact) / (weights @ np.square(exact))))


def _tweedie(settings: Exact, rng: np.random.Generator) -> Iterator[Row]:
    """Largest difference of the posterior mean by quadrature from x + sigma^2 grad log p_sigma in closed form."""
    cases: list[tuple[str, IsotropicMixture]] = [("bimodal", BIMODAL), ("three modes", TRIMODAL)]
    for dim, _ in product((1, 2), range(settings.mixtures)):
        cases.append((f"random, {dim}-D", random_mixture(dim, rng)))
    for (name, mixture), sigma in product(cases, settings.tweedie_sigmas):
        x = rng.uniform(-3, 3, (40 if mixture.dim == 1 else 8, mixture.dim))
        found = optimal_dae(lambda z, m=mixture: np.exp(m.log_density(z)), x, sigma)
        exact = x + sigma**2 * mixture.smoothed(sigma).score(x)
        yield {"check": "Tweedie", "case": name, "sigma": sigma, "value": float(np.abs(found - exact).max())}
        # With the density itself in place of its blurred version the identity must fail.
        literal = x + sigma**2 * mixture.score(x)
        yield {
            "check": "Tweedie, unblurred",
            "case": name,
            "sigma": sigma,
            "value": float(np.abs(found - literal).max()),
        }


def _gaussian(settings: Exact, rng: np.random.Generator) -> Iterator[Row]:
    """Largest difference of the least-squares solutions of both losses over linear maps from the shrinkage formula."""
    for _ in range(settings.gaussians):
        dim, sigma = int(rng.integers(1, 7)), float(rng.uniform(0.1, 2))
        factor = rng.standard_normal((dim, dim + 2))
        mean, covariance = rng.standard_normal(dim), factor @ factor.T / dim
        exact = gaussian_reconstruction(mean, covariance, sigma)
        target = np.concatenate([exact.matrix, exact.offset[:, None]], axis=1)
        # Points with this mean and covariance: both losses are quadratic and see nothing else of a law.
        spread = np.sqrt(dim) * np.concatenate([np.eye(dim), -np.eye(dim)])
        clean = mean + spread @ np.linalg.cholesky(covariance).T
        pairs = [(x + sigma * e, x) for x, e in product(clean, spread)]
        noisy, targets = (np.array(each) for each in zip(*pairs, strict=True))
        penalty = np.sqrt(len(clean)) * sigma * np.eye(dim, dim + 1)
        problems = {
            "denoising": (np.column_stack([noisy, np.ones(len(noisy))]), targets),
            "contractive": (
                np.concatenate([np.column_stack([clean, np.ones(len(clean))]), penalty]),
                np.concatenate([clean, np.zeros((dim, dim))]),
            ),
        }
        for form, (design, values) in problems.items():
            found = np.linalg.lstsq(design, values)[0].T
            yield {"check": "Gaussian", "case": form, "sigma": sigma, "value": float(np.abs(found - target).max())}


def _gaps(settings: Exact) -> Iterator[Row]:
    """|L_D − L_C| of a fixed reconstruction, what the Laplacian term leaves of it, and the same at x + sigma^2 S."""
    grid = np.linspace(-5, 5, 2001)
    density = np.exp(BIMODAL.log_density(grid[:, None]))

    def squashed(x: np.ndarray) -> np.ndarray:
        return 1 / np.cosh(1.3 * x) ** 2

    for sigma in settings.gap_sigmas:
        fixed = loss_gap_1d(
            grid, density, lambda x: np.tanh(1.3 * x) - x, lambda x: 1.3 * squashed(x) - 1,
            lambda x: -2 * 1.3**2 * np.tanh(1.3 * x) * squashed(x), sigma,
        )  # fmt: skip
        optimal = loss_gap_1d(
            grid, density, lambda x, s=sigma: s**2 * BIMODAL.score(x[:, None])[:, 0],
            lambda x, s=sigma: s**2 * BIMODAL.score_jacobian(x[:, None])[:, 0, 0],
            lambda x, s=sigma: s**2 * BIMODAL.score_laplacian(x[:, None])[:, 0], sigma,
        )  # fmt: skip
        values = {
            "fixed": fixed.gap, "fixed, less the Laplacian term": fixed.gap - fixed.laplacian_term,
            "x + sigma^2 S": optimal.gap,
        }  # fmt: skip
        for case, value in values.items():
            yield {"check": "gap", "case": case, "sigma": sigma, "value": abs(value)}


def _stationary(settings: Exact, rng: np.random.Generator) -> Iterator[Row]:
    """|r − x|^2 at the stationary points of the density over its mean on data, for several sigma; log-densities."""
    starts = rng.uniform(-2, 2, (settings.starts, 2))
    points = stationary_points(TRIMODAL.score, starts, TRIMODAL.score_jacobian)
    rising = (np.linalg.eigvalsh(TRIMODAL.score_jacobian(points)) > 0).sum(1)
    logs = TRIMODAL.log_density(points)
    data = TRIMODAL.sample(settings.samples, rng)
    for sigma in sorted({settings.energy_sigma, *(settings.energy_sigma * f for f in (0.25, 0.5))}):
        blurred = TRIMODAL.smoothed(sigma)
        energy = np.square(sigma**2 * blurred.score(data)).sum(1)
        ratios = np.square(sigma**2 * blurred.score(points)).sum(1) / energy.mean()
        for k, ratio in enumerate(ratios):
            yield {
                "check": "stationary", "case": ("mode", "saddle", "minimum")[rising[k]], "sigma": sigma, "value": ratio,
                "log_density": logs[k], "x": points[k, 0], "y": points[k, 1],
            }  # fmt: skip
        correlation = float(np.corrcoef(-energy, TRIMODAL.log_density(data))[0, 1])
        yield {"check": "correlation", "case": "data", "sigma": sigma, "value": correlation}


def _loops(settings: Exact, rng: np.random.Generator) -> Iterator[Row]:
    """Mean |sum around a triangle| over the mean |side|, for the exact denoiser and with a rotation added to it."""
    corners = TRIMODAL.sample(3 * settings.triangles, rng).reshape(-1, 3, 2)
    sigma = 0.1
    blurred, turned = TRIMODAL.smoothed(sigma), np.array([[0.0, 1.0], [-1.0, 0.0]])
    for case, share in (("exact", 0.0), ("rotated", 1.0)):
        total, sides = loop_integral(
            lambda x, c=share: x + sigma**2 * (blurred.score(x) + c * x @ turned), corners, sigma, n_points=500
        )
        yield {
            "check": "loop",
            "case": case,
            "sigma": sigma,
            "value": float(np.abs(total).mean() / np.abs(sides).mean()),
        }
