"""Maximum likelihood for distributions without a density: why it fails, and why a little noise on the data mends it.

Data lie on a curve or surface, ``X = f*(Z)`` with Z uniform on a cube, so that their law Q* has no density. A generator
f with Gaussian noise s gives one,

    p_{f,s}(x) = ∫ φ_s(x − f(z)) dz,        φ_s the density of N(0, s² I_D),

and the sieve maximum likelihood estimate maximises ``Σ log p_{f,s}(X̃_i)`` over f and ``s ≥ s_min`` on perturbed data
``X̃ = X + N(0, s̃² I)``; Q̂ is the law of f̂(Z), without noise. If f passes through the data's support of dimension t,
the likelihood grows like ``(D − t) log 1/s`` for any distribution along it: without perturbation a curve with the
wrong distribution beats one with the right distribution that is off by a hair.

Source: Chae, Kim, Kim and Lin (2023), JMLR 24(77). The two-element sieve is derived here.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_ndtr, logsumexp

from theory.validation import at_least, finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "TWO_ELEMENT_DIVERGENCE",
    "TwoElementExample",
    "hellinger_exponent",
    "log_likelihood_quadrature",
    "optimal_perturbation_exponent",
    "two_element_example",
    "two_element_log_density",
    "two_element_log_likelihood",
    "two_element_threshold",
]

Element = Literal["wrong law", "wrong place"]

TWO_ELEMENT_DIVERGENCE = float(np.log(3) - 2 / 3)
"""KL divergence of the uniform law on [0, 1] from the law of z³ with uniform z: ``log 3 − 2/3``."""

_LOG_2PI = float(np.log(2 * np.pi))
_PAIRS_AT_ONCE = 2**22


def log_likelihood_quadrature(
    x: Float[np.ndarray, "samples dim"], generator_points: Float[np.ndarray, "points dim"], sigma: float
) -> Float[np.ndarray, " samples"]:
    """``log (1/M) Σ_j φ_σ(x_i − F_j)``: the log-density of a mixture with the generator's points as centres.

    With points at the nodes of a rule for the uniform law of Z it approximates ``log p_{f,σ}``; the spacing of the
    points must not exceed σ, else the mixture has holes. Memory stays bounded. Raises ``ValueError`` for arrays that
    are empty, not finite or of different dimensions, fewer than two points, or ``sigma <= 0``.

    >>> log_likelihood_quadrature(np.zeros((1, 2)), np.array([[1.0, 0.0], [-1.0, 0.0]]), 1.0).round(6).tolist()
    [-2.337877]
    """
    x, points = finite_array("x", x, 2), finite_array("generator_points", generator_points, 2)
    if x.shape[1] != points.shape[1]:
        raise ValueError(f"x and generator_points must have the same dim, got {x.shape[1]} and {points.shape[1]}")
    if len(points) < 2:
        raise ValueError(f"generator_points must have at least two points, got {len(points)}")
    sigma = positive("sigma", sigma)
    rows = max(1, _PAIRS_AT_ONCE // len(points))
    values = np.empty(len(x))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        squared = np.zeros((len(part), len(points)))
        for d in range(x.shape[1]):
            squared += np.subtract.outer(part[:, d], points[:, d]) ** 2
        values[start : start + rows] = logsumexp(squared / (-2 * sigma**2), axis=1)
    return values - np.log(len(points)) - x.shape[1] * (np.log(sigma) + 0.5 * _LOG_2PI)


def hellinger_exponent(beta: float, t: float, a: float) -> float:
    """``(β − t a)/(2β + t)``: the density estimate converges like ``n^−this`` in Hellinger distance, up to logarithms.

    The generator has smoothness β and dimension t, and the noise on the data is ``n^−a``: the less noise, the sharper
    the density and the slower the rate. Negative where nothing converges. Raises ``ValueError`` unless ``beta > 0``,
    ``t > 0`` and ``a >= 0``. Source: Chae et al. (2023), the convergence rate of the sieve estimate.

    >>> hellinger_exponent(2.0, 1.0, 0.0)
    0.4
    """
    beta, t, a = positive("beta", beta), positive("t", t), at_least("a", a, 0)
    return (beta - t * a) / (2 * beta + t)


def optimal_perturbation_exponent(beta: float, t: float) -> float:
    """``β/(2(β + t))``: noise ``n^−this`` balances the Hellinger rate with the noise's own error.

    The W₁ error is at most of the order ``n^−min(a, hellinger_exponent(β, t, a))``, and the first grows with a while
    the second falls. Does not depend on the dimension of the space. Raises ``ValueError`` unless both are positive.

    >>> round(optimal_perturbation_exponent(2.0, 1.0), 6), round(hellinger_exponent(2.0, 1.0, 1 / 3), 6)
    (0.333333, 0.333333)
    """
    beta, t = positive("beta", beta), positive("t", t)
    return beta / (2 * (beta + t))


def two_element_log_density(
    x: Float[np.ndarray, "samples 2"], sigma: float, delta: float, element: Element
) -> Float[np.ndarray, " samples"]:
    """``log p_{f,σ}`` of the two elements: ``f(z) = (z³, 0)`` ("wrong law") and ``f(z) = (z, δ)`` ("wrong place").

    The truth is uniform on the segment ``(z, 0)``. The second is exact, the first by Gauss–Legendre
    quadrature to 1e-12 within nine σ of the segment and a relative 1e-11 beyond. Raises ``ValueError`` for data that
    are not finite (samples, 2), ``sigma <= 0``, ``delta < 0`` or another ``element``.
    """
    x = finite_array("x", x, 2)
    if x.shape[1] != 2:
        raise ValueError(f"x must have 2 columns, got {x.shape[1]}")
    sigma, delta = positive("sigma", sigma), at_least("delta", delta, 0)
    one_of("element", element, get_args(Element))
    off = delta if element == "wrong place" else 0.0
    across = -0.5 * ((x[:, 1] - off) / sigma) ** 2 - np.log(sigma) - 0.5 * _LOG_2PI
    return across + _along(x[:, 0], sigma, element)


def two_element_log_likelihood(sigma: float, delta: float, noise: float, element: Element) -> float:
    """``E log p_{f,σ}(X̃)`` for ``X̃ = (U, 0) + N(0, noise² I)``: the mean log-likelihood with infinitely many samples.

    By quadrature over the coordinate along the segment, on panels that shrink towards its ends; across the segment in
    closed form. Raises ``ValueError`` for ``sigma <= 0``, negative ``delta`` or ``noise``, or another ``element``.

    >>> round(two_element_log_likelihood(1e-4, 0.05, 0.0, "wrong law"), 3)
    7.859
    """
    sigma, delta, noise = positive("sigma", sigma), at_least("delta", delta, 0), at_least("noise", noise, 0)
    one_of("element", element, get_args(Element))
    off = delta if element == "wrong place" else 0.0
    u, weights = _panels(noise)
    if noise:
        # Φ(a) − Φ(b) on the side where both are small.
        a, b = u / noise, (u - 1) / noise
        mirrored = np.where(a + b > 0, 1, 0)
        upper, lower = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
        weights = weights * (np.exp(log_ndtr(upper)) - np.exp(log_ndtr(lower)))
    along = float(weights @ _along(u, sigma, element))
    across = -0.5 * (off**2 + noise**2) / sigma**2 - np.log(sigma) - 0.5 * _LOG_2PI
    return float(along + across)


@dataclass(frozen=True)
class TwoElementExample:
    """Which element infinitely many samples choose: its W₁ error, and both elements' best noise and likelihood."""

    chosen: Element
    wasserstein: float
    sigma: dict[str, float]
    log_likelihood: dict[str, float]


def two_element_example(
    delta: float, noise: float, sigma_min: float = 1e-3, sigma_max: float = 0.5
) -> TwoElementExample:
    """The sieve of two elements with infinitely many samples, each at its best ``σ ≥ max(noise, sigma_min)``.

    The element with the wrong law has ``W₁ = 1/4``, the one in the wrong place ``W₁ = δ``. Raises ``ValueError`` for
    negative ``delta`` or ``noise`` and unless ``0 < max(noise, sigma_min) < sigma_max``.

    >>> two_element_example(0.05, 0.0).chosen, two_element_example(0.05, 0.1).chosen
    ('wrong law', 'wrong place')
    """
    delta, noise = at_least("delta", delta, 0), at_least("noise", noise, 0)
    low = max(positive("sigma_min", sigma_min), noise)
    if not low < positive("sigma_max", sigma_max):
        raise ValueError(f"sigma_max must exceed noise and sigma_min, got {sigma_max} against {low}")
    sigma, best = {}, {}
    for element in get_args(Element):
        found: Any = minimize_scalar(
            lambda log_sigma, e=element: -two_element_log_likelihood(float(np.exp(log_sigma)), delta, noise, e),
            bounds=(np.log(low), np.log(sigma_max)), method="bounded", options={"xatol": 1e-7},
        )  # fmt: skip
        at_floor = two_element_log_likelihood(low, delta, noise, element)
        floor_wins = at_floor >= -found.fun
        sigma[element] = low if floor_wins else float(np.exp(found.x))
        best[element] = at_floor if floor_wins else float(-found.fun)
    chosen: Element = "wrong law" if best["wrong law"] >= best["wrong place"] else "wrong place"
    return TwoElementExample(chosen, 0.25 if chosen == "wrong law" else delta, sigma, best)


def two_element_threshold(delta: float, *, exact: bool = False) -> float:
    """Noise on the data above which likelihood chooses the right law: ``δ/√(e^{2 KL} − 1)``, KL = log 3 − 2/3.

    The formula is the limit of small δ, where the best log-likelihoods per sample are

        wrong law: −log s̃ − KL − ½ log 2πe,        wrong place: −½ log(s̃² + δ²) − ½ log 2πe;

    ``exact`` finds the crossing of the exact ones (about a second). Raises ``ValueError`` unless
    ``0 < delta < 0.2``.

    >>> round(two_element_threshold(0.05), 4)
    0.0427
    """
    in_range("delta", positive("delta", delta), 0, 0.2)
    limit = delta / float(np.sqrt(np.expm1(2 * TWO_ELEMENT_DIVERGENCE)))
    if not exact:
        return limit

    def lead(log_noise: float) -> float:
        best = two_element_example(delta, float(np.exp(log_noise)), sigma_min=1e-5, sigma_max=2.0).log_likelihood
        return best["wrong place"] - best["wrong law"]

    crossing: Any = brentq(lead, np.log(limit / 4), np.log(limit * 4), xtol=1e-6)
    return float(np.exp(crossing))


def _along(x: np.ndarray, sigma: float, element: Element) -> np.ndarray:
    """``log ∫₀¹ φ_σ(x − g(z)) dz`` with g(z) = z³ or z."""
    if element == "wrong place":
        a, b = x / sigma, (x - 1) / sigma
        # Φ(a) − Φ(b) = Φ(−b) − Φ(−a): in the tail where both are small, so that nothing cancels.
        upper, lower = np.where(a + b > 0, -b, a), np.where(a + b > 0, -a, b)
        top = log_ndtr(upper)
        return top + np.log1p(-np.exp(log_ndtr(lower) - top))
    nodes, weights = _gauss_legendre(96)
    # Beyond the ends the integrand decays from the end like exp(−|x − end| u/σ²): a shorter reach resolves it.
    beyond = np.maximum(np.maximum(-x, x - 1), 0) / sigma
    reach = sigma * np.minimum(9, 40 / np.maximum(beyond, 1e-300))
    low = np.cbrt(np.clip(np.minimum(x, 1) - np.where(x > 1, reach, 9 * sigma), 0, 1))
    high = np.cbrt(np.clip(np.maximum(x, 0) + np.where(x < 0, reach, 9 * sigma), 0, 1))
    z = low[:, None] + (high - low)[:, None] * nodes
    exponents = -0.5 * ((x[:, None] - z**3) / sigma) ** 2
    return logsumexp(exponents, axis=1, b=weights) + np.log(high - low) - np.log(sigma) - 0.5 * _LOG_2PI


def _panels(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the segment, and nine standard deviations of noise beyond, finer towards its ends."""
    halves = 0.5 ** np.arange(1, 24)
    inner = np.concatenate([[0.0], halves[::-1], 1 - halves[1:], [1.0]])
    edges = inner
    if noise:
        outer = 9 * noise * np.concatenate([[0.0], 0.5 ** np.arange(12, -1, -1)])
        edges = np.concatenate([-outer[:0:-1], inner, 1 + outer[1:]])
    nodes, weights = _gauss_legendre(10)
    widths = np.diff(edges)[:, None]
    return (edges[:-1, None] + widths * nodes).ravel(), (widths * weights).ravel()


@cache
def _gauss_legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the unit interval."""
    nodes, weights = np.polynomial.legendre.leggauss(whole_number("order", order, 1))
    return 0.5 * (nodes + 1), 0.5 * weights
