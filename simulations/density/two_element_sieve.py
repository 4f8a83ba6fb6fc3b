"""The likelihood's choice between two curves, on samples and exactly, and the inequalities behind the rate."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from theory.density import wasserstein
from theory.density.singular_likelihood import (
    Element,
    hellinger_exponent,
    optimal_perturbation_exponent,
    two_element_example,
    two_element_log_density,
    two_element_log_likelihood,
    two_element_threshold,
)
from theory.density.wasserstein import mean_gaussian_norm, smoothed_wasserstein1_1d

__all__ = ["Exact", "TwoElements", "simulate_exact", "simulate_two_elements"]


@dataclass(frozen=True)
class TwoElements:
    """Offset of the second element, perturbations and sample sizes; model noise is sought in [1e-3, 0.5]."""

    delta: float = 0.05
    noises: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1)
    sizes: tuple[int, ...] = (200, 1000)
    threshold_size: int = 500


def simulate_two_elements(settings: TwoElements, seed: int, device: str) -> pd.DataFrame:
    """Mean log-likelihood of both elements at their best model noise, per perturbation and sample size; and the
    perturbation at which the preference of one sample changes."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in settings.sizes:
        clean = np.stack([rng.random(n), np.zeros(n)], axis=1)
        shocks = rng.standard_normal((n, 2))
        for noise in settings.noises:
            rows.append({"n": n, "noise": noise, **_best(clean + noise * shocks, noise, settings), "threshold": 0.0})
    clean = np.stack([rng.random(settings.threshold_size), np.zeros(settings.threshold_size)], axis=1)
    shocks = rng.standard_normal(clean.shape)
    low, high = settings.delta / 4, settings.delta * 4
    for _ in range(10):
        middle = float(np.sqrt(low * high))
        found = _best(clean + middle * shocks, middle, settings)
        right = found["wrong place"] > found["wrong law"]
        low, high = (low, middle) if right else (middle, high)
    return pd.DataFrame(rows).assign(
        threshold=float(np.sqrt(low * high)),
        predicted=two_element_threshold(settings.delta),
    )


def _best(x: np.ndarray, noise: float, settings: TwoElements) -> dict[str, float]:
    low, high = np.log(max(noise, 1e-3)), np.log(0.5)

    def best(element: Element) -> float:
        def loss(log_sigma: float) -> float:
            return -float(two_element_log_density(x, float(np.exp(log_sigma)), settings.delta, element).mean())

        inside: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3})
        return max(-inside.fun, -loss(low))

    return {"wrong law": best("wrong law"), "wrong place": best("wrong place")}


@dataclass(frozen=True)
class Exact:
    """Model noises of the growth, offsets, instances of the exponents and of the fuzzed inequalities."""

    sigmas: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    deltas: tuple[float, ...] = (0.1, 0.02, 0.005)
    exponents: int = 20
    instances: int = 20_000


def simulate_exact(settings: Exact, seed: int, device: str) -> pd.DataFrame:
    """One row per check: the number measured, and for bounds the instances and a witness."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for sigma in settings.sigmas:
        for element in ("wrong law", "wrong place"):
            value = two_element_log_likelihood(sigma, 0.05, 0.0, element)
            rows.append({"check": f"growth, {element}", "x": sigma, "value": value})
    for noise in (0.0, 0.003, 0.01, 0.03, 0.1):
        found = two_element_example(0.05, noise)
        rows.append({"check": "limit of samples", "x": noise, "value": found.wasserstein})
    for delta in settings.deltas:
        ratio = two_element_threshold(delta, exact=True) / two_element_threshold(delta)
        rows.append({"check": "threshold", "x": delta, "value": ratio})
    grid = np.arange(0, 1, 1e-4)
    for _ in range(settings.exponents):
        beta, t = rng.uniform(0.2, 5), rng.uniform(0.2, 5)
        rate = np.minimum(grid, [hellinger_exponent(beta, t, a) for a in grid])
        error = abs(grid[rate.argmax()] - optimal_perturbation_exponent(beta, t))
        rows.append({"check": "exponent", "x": beta / t, "value": error})
    for bound in wasserstein.BOUNDS:
        report = bound.check(settings.instances, seed=seed % 2**31)
        rows.append(
            {
                "check": bound.name, "x": np.nan, "value": report.worst_ratio,
                "instances": report.instances, "witness": str(report.witness)[:200],
            }
        )  # fmt: skip
    point = smoothed_wasserstein1_1d(np.array([0.3]), np.array([1.0]), 0.1) / (0.1 * mean_gaussian_norm(1))
    rows.append({"check": "point mass", "x": 0.1, "value": float(point)})
    return pd.DataFrame(rows).fillna({"instances": 0, "witness": ""})
