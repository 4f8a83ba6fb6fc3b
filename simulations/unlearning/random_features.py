"""Forgetting one of two populations with a linear model on random features: the synthetic experiment of NPO's paper.

Labels of the population to forget follow ``P(y = 1 | x) = sigma((x − mu)·theta + 1)``, those to retain the same with
−mu, −theta and −1; x ~ N(±mu, I), mu = alpha 1, theta = 1/√d. Of ``sigma(w·relu(W x))`` only w is trained: on both,
which gives the original model, and on the retained alone, which gives what forgetting should come to. Distances of a
model are mean KL(retrained || model) over fresh points of each population.

    trajectory(problem, methods, rates, steps, evaluate_at)      # all methods in lockstep, full-batch descent

A refusal is a fair coin here: ``IDK`` learns it, ``DPO`` prefers it to the label. Slopes of the losses in the logit are
written out, s = 2y − 1 and m = s z; tests hold them against ``neural.unlearning``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

__all__ = ["FEATURE_METHODS", "FeatureProblem", "distance", "feature_problem", "forget_slope", "trajectory"]

FEATURE_METHODS = ("GA", "GA+RT", "GA+KL", "NPO", "NPO+RT", "DPO+RT", "IDK+RT")
_BETAS = {"NPO": 1.0, "DPO": 0.1}
_RIDGE = 1e-3


@dataclass(frozen=True)
class FeatureProblem:
    """Features and labels of both populations, of fresh points of each (two lots), and both models."""

    forget: tuple[np.ndarray, np.ndarray]
    retain: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    original: np.ndarray
    retrained: np.ndarray


def feature_problem(
    seed: int, alpha: float = 1.0, dim: int = 16, features: int = 128, forget: int = 200, retain: int = 1000,
    fresh: int = 1000,
) -> FeatureProblem:  # fmt: skip
    """A problem of that seed."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(features, dim)) / np.sqrt(dim)
    theta = np.ones(dim) / np.sqrt(dim)

    def population(side: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        centred = rng.normal(size=(count, dim))
        y = rng.random(count) < expit(side * (centred @ theta) + side)
        return np.maximum((centred + side * alpha) @ W.T, 0).astype(np.float32), y.astype(np.float32)

    first, second = population(1, forget), population(-1, retain)
    held_out, test = ((population(1, fresh)[0], population(-1, fresh)[0]) for _ in range(2))
    both = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    return FeatureProblem(first, second, held_out, test, _fitted(*both), _fitted(*second))


def forget_slope(method: str, z: np.ndarray, z_ref: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Derivative in the logit of a sample's forget loss (not yet divided by their number)."""
    name, s = method.removesuffix("+RT").removesuffix("+KL"), 2 * y - 1
    if name == "IDK":
        return expit(z) - 0.5
    m = s * z
    if name == "DPO":
        # Half of the coins agree with the label: they say nothing.
        return s * expit(_BETAS["DPO"] * (m - s * z_ref))
    ascent = s * expit(-m)
    if name == "GA":
        return ascent
    return ascent * 2 * expit(_BETAS["NPO"] * (log_expit(m) - log_expit(s * z_ref)))


def trajectory(
    problem: FeatureProblem, methods: Sequence[str], rates: Sequence[float], steps: int, evaluate_at: Sequence[int]
) -> list[dict[str, float | str | int]]:
    """Distances on fresh points, and on the other lot of them, of every method at these steps."""
    (forget, y_f), (retain, y_r) = problem.forget, problem.retain
    ref_f, ref_r = forget @ problem.original, retain @ problem.original
    w = np.tile(problem.original, (len(methods), 1))
    arms = {method: np.flatnonzero(np.array(methods) == method) for method in dict.fromkeys(methods)}
    keeping = [k for k, method in enumerate(methods) if "+" in method]
    targets = np.stack([expit(ref_r) if methods[k].endswith("+KL") else y_r for k in keeping]) if keeping else None
    step_size = np.asarray(rates, dtype=np.float32)[:, None]
    rows: list[dict[str, float | str | int]] = []
    for step in range(steps + 1):
        if step in evaluate_at:
            columns = {
                f"{lot}{name}_distance": distance(problem.retrained, w, each)
                for lot, points in (("", problem.test), ("held_out_", problem.held_out))
                for name, each in zip(("forget", "retain"), points, strict=True)
            }
            rows += [
                {
                    "method": method,
                    "learning_rate": float(rates[k]),
                    "step": step,
                    **{c: v[k] for c, v in columns.items()},
                }
                for k, method in enumerate(methods)
            ]
        z_f = w @ forget.T
        slopes = np.empty_like(z_f)
        for method, own in arms.items():
            slopes[own] = forget_slope(method, z_f[own], ref_f, y_f)
        gradient = slopes @ forget / np.float32(len(forget))
        if targets is not None:
            gradient[keeping] += (expit(w[keeping] @ retain.T) - targets) @ retain / np.float32(len(retain))
        w = w - step_size * gradient
    return rows


def distance(retrained: np.ndarray, models: np.ndarray, points: np.ndarray) -> list[float]:
    """Mean KL(retrained || model) over points, per model."""
    truth, z = points @ retrained, models @ points.T
    p = expit(truth)
    divergence = p * (log_expit(truth) - log_expit(z)) + (1 - p) * (log_expit(-truth) - log_expit(-z))
    return [float(value) for value in divergence.astype(np.float64).mean(axis=1)]


def _fitted(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logistic regression with a small ridge, which keeps separable samples finite."""
    X, s = features.astype(np.float64), 2 * y.astype(np.float64) - 1

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        m = s * (X @ w)
        return -float(log_expit(m).mean()) + _RIDGE / 2 * float(w @ w), -(s * expit(-m)) @ X / len(X) + _RIDGE * w

    return minimize(loss, np.zeros(X.shape[1]), jac=True, method="L-BFGS-B").x.astype(np.float32)
