"""Exact population objectives of maximum likelihood and of two noise-contrastive losses, for the mean of a Gaussian.

The model is ``p0(x; theta) = exp(theta x − x²/2)``, with ``log Z(theta) = theta²/2 + log(2 pi)/2``; data come from
N(R, 1), noise from q = N(0, s²). With ``h = log p0 − c − log q``, c a parameter in the place of log Z,

    mle    (theta − R)²/2 + log(2 pi e)/2                         the noise does not enter
    nce    E_data softplus(−h) + E_noise softplus(h)              one noise point per data point
    ence   (E_data exp(−h/2) + E_noise exp(h/2)) / 2

All are smallest at theta = R, and nce and ence there at c = log Z(R). The values of *mle* and *ence* are closed forms.
Those of *nce* are sums over uniform grids, which for integrands analytic in a strip of half-width d err by
exp(−2 pi d/step): the nearest singularity is where h = ±i pi, and the step is chosen so that only rounding is left.

    value = objective_value("nce", theta, c, R=4.0)
    gradient = objective_gradient("nce", theta, c, R=4.0)      # last axis: by theta, by c

Source: Gutmann and Hyvärinen (2010) for nce; Liu, Rosenfeld, Ravikumar and Risteski (2021) for ence and the Gaussian
example; the closed form of ence and the step of the grids are derived here.
"""

import math
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit

from theory.validation import finite_array, one_of, positive

__all__ = ["Objective", "log_partition", "objective_gradient", "objective_value"]

Objective = Literal["mle", "nce", "ence"]

_HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2
_REACH = 9.0  # standard deviations: the density beyond is 3e-18 of its peak
_STEP = 0.1
_BLOCK = 2**21


def log_partition(theta: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """``log Z(theta) = theta²/2 + log(2 pi)/2``.

    Raises ``ValueError`` for a theta that is empty or not finite.

    >>> float(log_partition(0.0).round(4))
    0.9189
    """
    return np.asarray(finite_array("theta", theta) ** 2 / 2 + _HALF_LOG_TWO_PI)


def objective_value(
    objective: Objective,
    theta: Float[np.ndarray, "..."] | float,
    c: Float[np.ndarray, "..."] | float,
    R: float,
    s: float = 1.0,
) -> Float[np.ndarray, "..."]:
    """The population objective at every (theta, c); *mle* has no c and takes no notice of it.

    ``theta`` and ``c`` broadcast. The smallest value of *nce* is ``2 log 2 − 2 JS(data, noise)``, of *ence* the
    Bhattacharyya coefficient of the two, of *mle* the entropy of the data. Raises ``ValueError`` for an unknown
    objective, values that are empty or not finite, shapes that do not broadcast, or s not above 0.

    >>> float(objective_value("mle", 1.0, 0.0, R=3.0).round(4))
    3.4189
    """
    theta, c, k, R, s = _checked(objective, theta, c, R, s)
    if objective == "mle":
        return np.asarray((theta - R) ** 2 / 2 + _HALF_LOG_TWO_PI + 0.5)
    if objective == "ence":
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(np.logaddexp(*_log_ence_parts(theta, k, R, s))))
    value = np.empty(theta.size)
    for block, data, noise in _grids(theta, k, R, s):
        value[block] = -log_expit(data.h) @ data.weights - log_expit(-noise.h) @ noise.weights
    return value.reshape(theta.shape)


def objective_gradient(
    objective: Objective,
    theta: Float[np.ndarray, "..."] | float,
    c: Float[np.ndarray, "..."] | float,
    R: float,
    s: float = 1.0,
    *,
    normalized: bool = False,
) -> Float[np.ndarray, "... 2"]:
    """Derivatives by theta and c along a last axis of length 2; *mle* has derivative 0 by c.

    ``normalized`` divides by the Euclidean length (0 stays 0), without overflow where *ence* itself is too large.
    Arguments and errors as in ``objective_value``.

    >>> objective_gradient("mle", 1.0, 0.0, R=3.0).tolist()
    [-2.0, 0.0]
    """
    theta, c, k, R, s = _checked(objective, theta, c, R, s)
    if objective == "mle":
        gradient = np.stack([theta - R, np.zeros_like(theta)], axis=-1)
    elif objective == "ence":
        log_data, log_noise = _log_ence_parts(theta, k, R, s)
        scale = np.maximum(log_data, log_noise) if normalized else np.zeros_like(theta)
        with np.errstate(over="ignore", invalid="ignore"):
            of_data, of_noise = np.exp(log_data - scale), np.exp(log_noise - scale)
            b = (1 + s**-2) / 2
            by_theta = of_noise * theta / (4 * b) - of_data * (R - theta / 2) / (2 * b)
            gradient = np.stack([by_theta, (of_data - of_noise) / 2], axis=-1)
    else:
        gradient = np.empty((theta.size, 2))
        for block, data, noise in _grids(theta, k, R, s):
            from_data, from_noise = -expit(-data.h) * data.weights, expit(noise.h) * noise.weights
            gradient[block, 0] = from_data @ data.x + from_noise @ noise.x
            gradient[block, 1] = -from_data.sum(axis=-1) - from_noise.sum(axis=-1)
        gradient = gradient.reshape(*theta.shape, 2)
    if normalized:
        length = np.hypot(gradient[..., :1], gradient[..., 1:])
        gradient = np.divide(gradient, length, out=np.zeros_like(gradient), where=length > 0)
    return gradient


class _Grid:
    """Points of a law N(mean, s²) with weights that sum to 1, and h there: one row per parameter."""

    def __init__(self, theta: np.ndarray, k: np.ndarray, mean: float, spread: float, s: float, step: float) -> None:
        t = np.arange(-math.ceil(_REACH / step), math.ceil(_REACH / step) + 1) * step
        self.x = mean + spread * t
        self.weights = step * np.exp(-(t**2) / 2 - _HALF_LOG_TWO_PI)
        self.h = theta[:, None] * self.x - _curvature(s) / 2 * self.x**2 - k[:, None]


def _grids(theta: np.ndarray, k: np.ndarray, R: float, s: float):
    """Blocks of parameters, with the grids of data and noise for each."""
    flat, levels = theta.ravel(), k.ravel()
    # |h'| where h = 0 (and near enough where h = i pi) decides how far the singularities are from the real line.
    bends = 2 * abs(_curvature(s))
    slopes = np.sqrt(np.maximum(flat**2 - 2 * _curvature(s) * levels, 0) + math.pi * bends)
    order = np.argsort(slopes, kind="stable")
    start = 0
    while start < len(order):
        # The steepest of a block of neighbours sets its step.
        size = max(1, int(_BLOCK * _STEP / (2 * _REACH * max(1.0, s) * (1 + slopes[order[start]]))))
        # … and a block ends where that has doubled.
        steepest = np.searchsorted(slopes[order], 1 + 2 * slopes[order[start]], side="right")
        block = order[start : min(start + size, steepest)]
        slope = slopes[block].max()
        data = _Grid(flat[block], levels[block], R, 1.0, s, min(_STEP, 0.5 / (1 + slope)))
        noise = _Grid(flat[block], levels[block], 0.0, s, s, min(_STEP, 0.5 / (s * (1 + slope))))
        yield block, data, noise
        start += len(block)


def _curvature(s: float) -> float:
    """h = theta x − curvature x²/2 − k."""
    return 1 - s**-2


def _log_ence_parts(theta: np.ndarray, k: np.ndarray, R: float, s: float) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of ``E_data exp(−h/2)/2`` and ``E_noise exp(h/2)/2``: both are integrals of Gaussians."""
    b = (1 + s**-2) / 2
    data = k / 2 - math.log(b) / 2 + (R - theta / 2) ** 2 / (2 * b) - R**2 / 2
    noise = -k / 2 - math.log(s**2 * b) / 2 + theta**2 / (8 * b)
    return np.asarray(data - math.log(2)), np.asarray(noise - math.log(2))


def _checked(
    objective: str, theta: ArrayLike, c: ArrayLike, R: float, s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    one_of("objective", objective, get_args(Objective))
    theta, c = finite_array("theta", theta), finite_array("c", c)
    R = float(finite_array("R", R, 0))
    s = positive("s", s)
    try:
        theta, c = np.broadcast_arrays(theta, c)
    except ValueError:
        raise ValueError(f"theta and c must broadcast, got shapes {theta.shape} and {c.shape}") from None
    return theta, c, np.asarray(c - math.log(s) - _HALF_LOG_TWO_PI), R, s
