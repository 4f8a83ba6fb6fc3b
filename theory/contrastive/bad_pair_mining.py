"""Noisy alignment: what a linear encoder learns from pairs whose views share noise, and which pairs can be flagged.

An instance is ``x = S c`` with c ~ N(0, I_k). A share ``eta`` of instances is noisy: ``x = rho S c + nu V xi`` with
xi ~ N(0, I_k), S and V orthonormal (d, k). Two views add independent noise, ``x_1 = x + e_1, x_2 = x + e_2``. The
encoder W W^T = I that maximises ``E <W x_1, W x_2> = tr(W C W^T)`` spans the top eigenvectors of

    C = E (x_1 x_2^T + x_2 x_1^T)/2 = a S S^T + b V V^T,     a = 1 − eta + eta rho²,   b = eta nu².

Noise of augmentation averages out of C, noise of the instance does not. For orthogonal S and V the encoder finds
the signal if a > b and the noise if a < b: a sharp transition at ``eta* = 1/(1 + nu² − rho²)``. Weights on pairs move
it: with mean weight s on noisy and t on clean pairs, ``eta* = t / (t + s (nu² − rho²))``, which is 1 for s = 0.

Pairs are flagged where their mean loss m is at most ``mu − beta_np sigma`` (noisy) or at least ``mu + beta_fp sigma``
(faulty), with mu and sigma the mean and deviation of all m. How many can be flagged is arithmetic: shares p and q
of flagged pairs satisfy

    p beta_np² + q beta_fp² + (p beta_np − q beta_fp)² / (1 − p − q) ≤ 1      (beta_np beta_fp ≥ 1),

whatever the losses are. On one side alone this is Cantelli's inequality, ``p ≤ 1/(1 + beta²)``.

Source: Lan, Yan, Hong and Feng (2024), *Towards Enhancing Time Series Contrastive Learning: A Dynamic Bad Pair Mining
Approach*, for noisy alignment and the thresholds. The linear model, its transition and the capacity are derived here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, in_range, positive, same_shape, whole_number

__all__ = [
    "LinearViews",
    "aligned_subspace",
    "cross_view_covariance",
    "flag_capacity",
    "flag_load",
    "linear_views",
    "noisy_alignment_threshold",
    "pdf_excess_radius",
    "ramp_scale",
    "signal_loss",
    "subspace_loss",
]


def noisy_alignment_threshold(
    rho: float, nu: float, *, recall: float = 0.0, weight: float = 0.0, false_alarms: float = 0.0
) -> float:
    """Share of noisy instances at which the best linear encoder turns from the signal to the noise.

    ``rho`` and ``nu`` are the deviations of signal and noise in a noisy instance, next to 1 for the signal of a clean
    one. With ``weight`` on flagged pairs, of which there are a share ``recall`` among the noisy and ``false_alarms``
    among the clean ones, mean weights are ``s = 1 − recall (1 − weight)`` and ``t = 1 − false_alarms (1 − weight)``,
    and the threshold ``t / (t + s (nu² − rho²))``. A value of 1 or more means that noise never wins.

    Raises ``ValueError`` for ``rho`` outside [0, 1], a negative ``nu``, or shares and weights outside [0, 1].

    >>> round(noisy_alignment_threshold(0.3, 2.0), 4), noisy_alignment_threshold(0.3, 2.0, recall=1.0)
    (0.2037, 1.0)
    """
    in_range("rho", rho, 0.0, 1.0)
    at_least("nu", nu, 0.0)
    noisy, clean = _mean_weights(recall, weight, false_alarms)
    denominator = clean + noisy * (nu**2 - rho**2)
    # Where it is not positive, noisy pairs carry at least as much signal as noise.
    return clean / denominator if denominator > 0 else math.inf


def signal_loss(
    eta: ArrayLike, rho: float, nu: float, *, angle: float = math.pi / 2, noisy_weight: float = 1.0
) -> Float[np.ndarray, "..."]:
    """Share of the signal's subspace that the best linear encoder misses, for exact moments.

    ``angle`` is the principal angle between signal and noise (all k of them equal). Orthogonal subspaces give the
    step 0, 1/2 (tie), 1; others the smooth ``sin²(theta)`` with ``tan 2 theta = b sin 2 angle / (a + b cos 2 angle)``.
    ``noisy_weight`` is the mean weight of noisy pairs.

    Raises ``ValueError`` for shares outside [0, 1] and for numbers outside the ranges of the model.

    >>> signal_loss(np.array([0.1, 0.3]), 0.3, 2.0).tolist()
    [0.0, 1.0]
    """
    share = finite_array("eta", eta)
    if np.any((share < 0) | (share > 1)):
        raise ValueError(f"eta must be in [0, 1], got values in [{share.min()}, {share.max()}]")
    in_range("rho", rho, 0.0, 1.0)
    at_least("nu", nu, 0.0)
    in_range("noisy_weight", noisy_weight, 0.0, 1.0)
    _check_angle(angle)
    a = 1 - share + noisy_weight * share * rho**2
    b = noisy_weight * share * nu**2
    # sin(pi) is rounding; for orthogonal subspaces it must not soften the step.
    sine, cosine = (0.0, -1.0) if angle == math.pi / 2 else (math.sin(2 * angle), math.cos(2 * angle))
    twice = np.arctan2(b * sine, a + b * cosine)
    return np.where((b * sine == 0) & (a + b * cosine == 0), 0.5, np.sin(twice / 2) ** 2)


@dataclass(frozen=True)
class LinearViews:
    """Two views of the instances of the linear model, which of them are noisy, and the two subspaces."""

    first: Float[np.ndarray, "samples dim"]
    second: Float[np.ndarray, "samples dim"]
    noisy: Bool[np.ndarray, " samples"]
    signal: Float[np.ndarray, "dim subspace"]
    noise: Float[np.ndarray, "dim subspace"]


def linear_views(
    samples: int,
    eta: float,
    rho: float,
    nu: float,
    *,
    dim: int = 20,
    subspace: int = 3,
    augmentation: float = 0.5,
    angle: float = math.pi / 2,
    rng: np.random.Generator,
) -> LinearViews:
    """Draw instances of the linear model and two views of each, whose own noise has deviation ``augmentation``.

    Signal and noise are random subspaces of ``subspace`` dimensions each, ``angle`` apart. Raises ``ValueError`` for
    numbers out of range, or a ``dim`` below twice the ``subspace``.

    >>> linear_views(100, 0.2, 0.3, 2.0, rng=np.random.default_rng(0)).first.shape
    (100, 20)
    """
    whole_number("samples", samples, 1)
    in_range("eta", eta, 0.0, 1.0)
    in_range("rho", rho, 0.0, 1.0)
    at_least("nu", nu, 0.0)
    at_least("augmentation", augmentation, 0.0)
    whole_number("subspace", subspace, 1)
    whole_number("dim", dim, 2 * subspace)
    _check_angle(angle)
    _check_rng(rng)
    basis = np.linalg.qr(rng.standard_normal((dim, 2 * subspace)))[0]
    signal, other = basis[:, :subspace], basis[:, subspace:]
    noise = math.cos(angle) * signal + math.sin(angle) * other if angle != math.pi / 2 else other
    noisy = rng.random(samples) < eta
    code = rng.standard_normal((samples, subspace)) * np.where(noisy, rho, 1.0)[:, None]
    shared = rng.standard_normal((samples, subspace)) * np.where(noisy, nu, 0.0)[:, None]
    x = code @ signal.T + shared @ noise.T
    first, second = (x + augmentation * rng.standard_normal(x.shape) for _ in range(2))
    return LinearViews(first, second, noisy, signal, noise)


def cross_view_covariance(
    first: Float[np.ndarray, "samples dim"],
    second: Float[np.ndarray, "samples dim"],
    weights: Float[np.ndarray, " samples"] | None = None,
) -> Float[np.ndarray, "dim dim"]:
    """``mean of w_i (x_1i x_2i^T + x_2i x_1i^T)/2``: what alignment sees of two views. Weights are 1 unless given.

    Raises ``ValueError`` for shapes that do not fit, elements that are not finite, or negative weights.
    """
    x1, x2 = finite_array("first", first, 2), finite_array("second", second, 2)
    same_shape(("first", "second"), (x1, x2))
    w = np.ones(len(x1)) if weights is None else finite_array("weights", weights, 1)
    if len(w) != len(x1) or w.min() < 0:
        raise ValueError(f"weights must be {len(x1)} numbers of at least 0, got {len(w)} from {w.min()}")
    moment = (x1 * w[:, None]).T @ x2 / len(x1)
    return (moment + moment.T) / 2


def aligned_subspace(covariance: Float[np.ndarray, "dim dim"], subspace: int) -> Float[np.ndarray, "dim subspace"]:
    """Orthonormal basis of the top eigenvectors: the rows of the encoder that aligns views best.

    Raises ``ValueError`` for something else than a finite symmetric matrix, or a ``subspace`` beyond its size.
    """
    matrix = finite_array("covariance", covariance, 2)
    whole_number("subspace", subspace, 1)
    if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-12):
        raise ValueError(f"covariance must be a symmetric matrix, got shape {matrix.shape}")
    if subspace > len(matrix):
        raise ValueError(f"subspace must be at most {len(matrix)}, got {subspace}")
    return np.linalg.eigh(matrix)[1][:, ::-1][:, :subspace]


def subspace_loss(basis: Float[np.ndarray, "dim found"], signal: Float[np.ndarray, "dim subspace"]) -> float:
    """``1 − |basis^T signal|_F² / k``: share of the signal's subspace that is missed, 0 to 1.

    Both have orthonormal columns. Raises ``ValueError`` for columns that are not, or other numbers of rows.
    """
    found, wanted = _orthonormal("basis", basis), _orthonormal("signal", signal)
    if len(found) != len(wanted):
        raise ValueError(f"basis and signal must have equally many rows, got {len(found)} and {len(wanted)}")
    return float(np.clip(1 - np.sum((found.T @ wanted) ** 2) / wanted.shape[1], 0.0, 1.0))


def flag_capacity(beta: float) -> float:
    """Largest share of pairs that can lie ``beta`` deviations or more on one side of the mean: ``1/(1 + beta²)``.

    Cantelli's inequality; two values attain it. Raises ``ValueError`` for ``beta <= 0``.

    >>> flag_capacity(3.0)
    0.1
    """
    return 1 / (1 + positive("beta", beta) ** 2)


def flag_load(
    noisy_share: ArrayLike, faulty_share: ArrayLike, beta_np: ArrayLike, beta_fp: ArrayLike
) -> Float[np.ndarray, "..."]:
    """Least variance, in units of that of all losses, that flags of these shares need; above 1 they are impossible.

    ``p beta_np² + q beta_fp² + (p beta_np − q beta_fp)²/(1 − p − q)``, elementwise. Proof: in units of sigma around mu,
    flagged losses are at most −beta_np and at least beta_fp, and all have mean 0. The second moment of each of the
    three groups is at least the square of its mean, and the rest's mean is fixed by the others. The sum is convex in
    the two flagged means and, for beta_np beta_fp ≥ 1 and shares within their capacities, falls towards the
    thresholds. Three values at −beta_np, beta_fp and the rest's mean attain it.

    Raises ``ValueError`` for negative shares, a sum of 1 or more, or ``beta_np beta_fp < 1``.

    >>> flag_load(0.15, 0.05, 2.0, 3.0).round(4).tolist()
    1.0781
    """
    p, q = finite_array("noisy_share", noisy_share), finite_array("faulty_share", faulty_share)
    low, high = finite_array("beta_np", beta_np), finite_array("beta_fp", beta_fp)
    try:
        p, q, low, high = np.broadcast_arrays(p, q, low, high)
    except ValueError:
        raise ValueError("noisy_share, faulty_share, beta_np and beta_fp must broadcast against each other") from None
    for name, values in (("noisy_share", p), ("faulty_share", q), ("beta_np", low), ("beta_fp", high)):
        if values.min() < 0:
            raise ValueError(f"{name} must be at least 0, got {values.min()}")
    if np.any(p + q >= 1):
        raise ValueError(f"noisy_share and faulty_share must sum to less than 1, got {np.max(p + q)}")
    if np.any(low * high < 1):
        raise ValueError(f"beta_np and beta_fp must have a product of at least 1, got {np.min(low * high)}")
    return _flag_load(p, q, low, high)


def pdf_excess_radius(sigma: float) -> float:
    """Distance from the mean within which the normal density exceeds 1, so that it weights a flagged pair *up*.

    ``sigma sqrt(−2 log(sigma sqrt(2 pi)))`` for sigma below 1/sqrt(2 pi) = 0.399, and 0 above.
    Raises ``ValueError`` for ``sigma <= 0``.

    >>> round(pdf_excess_radius(0.1), 4), pdf_excess_radius(0.5)
    (0.1664, 0.0)
    """
    peak = -math.log(positive("sigma", sigma) * math.sqrt(2 * math.pi))
    return sigma * math.sqrt(2 * peak) if peak > 0 else 0.0


def ramp_scale(visits: int, epochs: int) -> float:
    """``(visits + 1)/(2 epochs)``: what a linear ramp makes of a constant loss after that many visits.

    The ramp weights visit v = 1, 2, … by v/epochs and divides by the number of visits. Mean and deviation are then of
    losses scaled down, while the current loss is not: the density at it is nearly 0, and weighting is removal.
    Raises ``ValueError`` for fewer than one visit, or more visits than epochs.

    >>> ramp_scale(50, 80)
    0.31875
    """
    whole_number("visits", visits, 1)
    whole_number("epochs", epochs, 1)
    if visits > epochs:
        raise ValueError(f"visits must be at most epochs = {epochs}, got {visits}")
    return (visits + 1) / (2 * epochs)


def _mean_weights(recall: float, weight: float, false_alarms: float) -> tuple[float, float]:
    for name, value in (("recall", recall), ("weight", weight), ("false_alarms", false_alarms)):
        in_range(name, value, 0.0, 1.0)
    return 1 - recall * (1 - weight), 1 - false_alarms * (1 - weight)


def _check_angle(angle: float) -> None:
    if positive("angle", angle) > math.pi / 2:
        raise ValueError(f"angle must be in (0, pi/2], got {angle}")


def _check_rng(rng: object) -> None:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")


def _orthonormal(name: str, value: np.ndarray) -> np.ndarray:
    matrix = finite_array(name, value, 2)
    if not np.allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-8):
        raise ValueError(f"{name} must have orthonormal columns, got shape {matrix.shape}")
    return matrix


def _flag_load(p: np.ndarray, q: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.asarray(p * low**2 + q * high**2 + (p * low - q * high) ** 2 / (1 - p - q))


_PAIRS = 24


def _losses_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Losses in up to three groups, with spreads from none to large, and thresholds whose product is at least 1."""
    groups = rng.choice(3, size=(count, _PAIRS))
    crowding = rng.random((count, 1)) ** 2
    groups = np.where(rng.random((count, _PAIRS)) < crowding, 1, groups)
    places = np.array([-1.0, 0.0, 1.0]) * rng.exponential(1.0, (count, 3))
    spread = rng.choice([0.0, 0.01, 0.3], size=(count, 1))
    losses = np.take_along_axis(places, groups, 1) + spread * rng.standard_normal((count, _PAIRS))
    low = np.exp(rng.uniform(-1, 1.2, count))
    return {"losses": losses, "beta_np": low, "beta_fp": np.maximum(np.exp(rng.uniform(-1, 1.2, count)), 1 / low)}


def _observed_load(losses: np.ndarray, beta_np: np.ndarray, beta_fp: np.ndarray) -> np.ndarray:
    sigma = losses.std(1, keepdims=True)
    units = (losses - losses.mean(1, keepdims=True)) / np.where(sigma > 1e-9, sigma, np.inf)
    p, q = (units <= -beta_np[:, None]).mean(1), (units >= beta_fp[:, None]).mean(1)
    # Two groups and nothing between them are the tie beta_np beta_fp = 1 alone; their variance is p low² + q high².
    rest = p + q < 1
    return np.where(rest, _flag_load(p, np.where(rest, q, 0), beta_np, beta_fp), p * beta_np**2 + q * beta_fp**2)


def _matrix_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {
        "error": rng.standard_normal((count, 4, 4)) * 10.0 ** rng.uniform(-4, 0, (count, 1, 1)),
        "signal": rng.uniform(0.5, 1.0, count),
        "noise": rng.uniform(0.0, 0.49, count),
    }


def _perturbed_loss(error: np.ndarray, signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    exact = signal[:, None, None] * np.diag([1.0, 1.0, 0, 0]) + noise[:, None, None] * np.diag([0, 0, 1.0, 1.0])
    vectors = np.linalg.eigh(exact + (error + np.swapaxes(error, 1, 2)) / 2)[1][:, :, 2:]
    return 1 - (vectors[:, :2] ** 2).sum((1, 2)) / 2


def _perturbation_limit(error: np.ndarray, signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    size = np.abs(np.linalg.eigvalsh((error + np.swapaxes(error, 1, 2)) / 2)).max(1)
    return 4 * size**2 / (signal - noise) ** 2


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "flags on both sides never exceed what variance allows", "derived", _observed_load,
        lambda losses, beta_np, beta_fp: np.ones(len(losses)), _losses_sampler,
    )  # fmt: skip
    yield Bound(
        "an error E of the covariance costs at most 4 |E|²/(a − b)² of the signal",
        "derived from the sin-theta theorem of Davis and Kahan (1970)", _perturbed_loss, _perturbation_limit,
        _matrix_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
