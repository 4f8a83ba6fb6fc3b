"""Tweedie's formula for Gaussian, Poisson and Gamma noise: what the score of noisy data knows of the clean signal.

If noise is of an exponential family, ``p(y | η) = p₀(y) exp(ηᵀT(y) − φ(η))``, the score ``l'(y) = d/dy log p(y)`` of
the noisy data alone gives a posterior mean, whatever the prior of x:

    T'(y)ᵀ E[η | y] = l'(y) − l₀'(y),        l₀ = log p₀.

Solved for x, elementwise for independent noise,

    Gaussian  y = x + N(0, σ²)                   x̂ = y + σ² l'(y)                    = E[x | y]
    Poisson   y = ζ z, z ~ Poisson(x/ζ)          x̂ = ζ exp(ψ(z + 1) + l'(z))         = exp E[log x | y]
    Gamma     y = x n, n ~ Gamma(α, scale 1/α)   x̂ = α y / ((α − 1) − y l'(y))       = 1/E[1/x | y]

so that Gaussian noise gives the arithmetic posterior mean, Poisson noise the geometric, Gamma noise the harmonic one;
``harmonic ≤ geometric ≤ arithmetic`` (``BOUNDS``). With mixtures of conjugate priors all of them have closed forms.

Source: Kim and Ye (2021), Noise2Score; the means and bounds are derived here.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.special import digamma, gammaln, logsumexp

from theory.fuzz import Bound
from theory.validation import finite_array, one_of, positive, same_shape

__all__ = [
    "NoiseFamily",
    "NoisyPosterior",
    "ar_dae_minimum",
    "blind_criterion",
    "gamma_inverse_gamma",
    "gaussian_gaussian",
    "poisson_gamma",
    "robbins_poisson",
    "total_variation",
    "tweedie_gamma",
    "tweedie_gaussian",
    "tweedie_natural",
    "tweedie_poisson",
]

NoiseFamily = Literal["gaussian", "poisson", "gamma"]
"""Additive Gaussian noise, scaled Poisson counts, multiplicative Gamma noise of mean one."""

_EXPONENT_LIMIT = 20.0
_LEAST_DENOMINATOR = 1e-3


def tweedie_natural(
    score: Float[np.ndarray, "*shape"], base_score: Float[np.ndarray, "*shape"], dT: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """``E[η | y] = (l'(y) − l₀'(y)) / T'(y)`` elementwise: the natural parameter of any exponential family.

    ``score`` is l', ``base_score`` is l₀', ``dT`` is T', all at the same y. Raises ``ValueError`` for arrays that are
    empty, not finite or of different shapes, and where T' is 0. Source: Kim and Ye (2021), Tweedie's formula.

    >>> tweedie_natural(np.array([-1.0]), np.array([-3.0]), np.array([2.0])).tolist()
    [1.0]
    """
    score, base_score, dT = (finite_array(n, v) for n, v in (("score", score), ("base_score", base_score), ("dT", dT)))
    same_shape(("score", "base_score", "dT"), (score, base_score, dT))
    if (dT == 0).any():
        raise ValueError("dT must not be 0, got a zero")
    return (score - base_score) / dT


def tweedie_gaussian(
    y: Float[np.ndarray, "*shape"], score: Float[np.ndarray, "*shape"], sigma: float
) -> Float[np.ndarray, "*shape"]:
    """``E[x | y] = y + σ² l'(y)`` for ``y = x + N(0, σ²)``.

    Raises ``ValueError`` for arrays that are empty, not finite or of different shapes, and ``sigma <= 0``.

    >>> tweedie_gaussian(np.array([2.0]), np.array([-1.0]), 1.0).tolist()
    [1.0]
    """
    y, score = _noisy("y", y, score)
    return y + positive("sigma", sigma) ** 2 * score


def tweedie_poisson(
    y: Float[np.ndarray, "*shape"],
    score: Float[np.ndarray, "*shape"],
    scale: float,
    score_wrt: Literal["counts", "intensity"] = "counts",
    form: Literal["half", "digamma"] = "half",
) -> Float[np.ndarray, "*shape"]:
    """``exp E[log x | y]`` for ``y = scale · z`` with counts ``z ~ Poisson(x/scale)``.

    "digamma" is exact, ``scale · exp(ψ(z + 1) + s)`` with the score s of the density extended to real counts; "half"
    uses ``ψ(z + 1) ≈ log(z + 1/2)``, which is too low by 10.9 % at z = 0 and 1.7 % at z = 1. ``score_wrt="intensity"``
    takes the derivative in y = scale · z, which is 1/scale times that in z. Exponents are limited to ±20.

    Raises ``ValueError`` for arrays that are empty, not finite or of different shapes, negative ``y``, ``scale <= 0``
    and other words. Source: Kim and Ye (2021); it is not the posterior mean: for that see ``robbins_poisson``.

    >>> tweedie_poisson(np.array([0.5]), np.array([0.0]), 0.1).round(12).tolist()
    [0.55]
    """
    y, score = _noisy("y", y, score, negative=False)
    scale = positive("scale", scale)
    one_of("score_wrt", score_wrt, ("counts", "intensity"))
    one_of("form", form, ("half", "digamma"))
    exponent = np.clip(score * (scale if score_wrt == "intensity" else 1.0), -_EXPONENT_LIMIT, _EXPONENT_LIMIT)
    counts = y / scale
    return scale * (counts + 0.5 if form == "half" else np.exp(digamma(counts + 1))) * np.exp(exponent)


def tweedie_gamma(
    y: Float[np.ndarray, "*shape"], score: Float[np.ndarray, "*shape"], shape: float
) -> Float[np.ndarray, "*shape"]:
    """``1/E[1/x | y] = α y / ((α − 1) − y l'(y))`` for ``y = x n``, n ~ Gamma(shape α, scale 1/α).

    The exact score keeps the denominator positive; an estimated one may not: denominators below 1e-3 are set to 1e-3,
    with a ``RuntimeWarning`` that says how many. Raises ``ValueError`` for arrays that are empty, not finite or of
    different shapes, negative ``y`` and ``shape <= 1``. Source: Kim and Ye (2021).

    >>> tweedie_gamma(np.array([1.0]), np.array([-1.0]), 10.0).tolist()
    [1.0]
    """
    y, score = _noisy("y", y, score, negative=False)
    if positive("shape", shape) <= 1:
        raise ValueError(f"shape must be above 1, got {shape!r}")
    denominator = (shape - 1) - y * score
    limited = int((denominator < _LEAST_DENOMINATOR).sum())
    if limited:
        warnings.warn(f"{limited} of {y.size} denominators below {_LEAST_DENOMINATOR:g}", RuntimeWarning, stacklevel=2)
    return shape * y / np.maximum(denominator, _LEAST_DENOMINATOR)


def robbins_poisson(z: Int[np.ndarray, " samples"], pmf: Float[np.ndarray, " counts"]) -> Float[np.ndarray, " samples"]:
    """``E[x/scale | z] = (z + 1) p(z + 1)/p(z)``: the posterior mean of a Poisson intensity from the law of counts.

    ``pmf[k]`` is the probability of k counts, as far as it is needed. Exact, and needs no derivative. Raises
    ``ValueError`` unless z are whole numbers of at least 0, ``pmf`` reaches max(z) + 1, is at least 0, sums to at most
    1 and is positive at z. Source: Robbins (1956).

    >>> robbins_poisson(np.array([0, 1]), np.exp(-2.0) * np.array([1.0, 2.0, 2.0])).tolist()
    [2.0, 2.0]
    """
    raw = np.asarray(z)
    if raw.dtype.kind not in "iu" or raw.ndim != 1 or raw.size == 0 or raw.min() < 0:
        raise ValueError(f"z must be a non-empty vector of whole numbers of at least 0, got {z!r:.60}")
    pmf = finite_array("pmf", pmf, 1)
    if pmf.min() < 0 or pmf.sum() > 1 + 1e-9:
        raise ValueError(f"pmf must be at least 0 and sum to at most 1, got minimum {pmf.min()}, sum {pmf.sum()}")
    if raw.max() + 1 >= len(pmf):
        raise ValueError(f"z must be at most {len(pmf) - 2}, two below the length of pmf, got {raw.max()}")
    if (pmf[raw] == 0).any():
        raise ValueError("pmf must be positive at every z, got 0")
    return (raw + 1) * pmf[raw + 1] / pmf[raw]


@dataclass(frozen=True)
class NoisyPosterior:
    """The noisy data's log-density and score at y, and posterior means of x: Gaussian noise has only the arithmetic."""

    log_density: Float[np.ndarray, " samples"]
    score: Float[np.ndarray, " samples"]
    arithmetic: Float[np.ndarray, " samples"]
    geometric: Float[np.ndarray, " samples"] | None = None
    harmonic: Float[np.ndarray, " samples"] | None = None


def gaussian_gaussian(
    y: Float[np.ndarray, " samples"],
    sigma: float,
    means: Float[np.ndarray, " components"],
    stds: Float[np.ndarray, " components"],
    weights: Float[np.ndarray, " components"] | None = None,
) -> NoisyPosterior:
    """Gaussian noise on a mixture of Gaussians: y has components N(mean, std² + σ²).

    The score is also that of a density blurred by σ, the target of a denoising auto-encoder. Equal weights if none are
    given. Raises ``ValueError`` for arrays that are empty, not finite or of different lengths, a std or ``sigma``
    not above 0 and weights that are not positive with sum 1.

    >>> gaussian_gaussian(np.array([2.0]), 1.0, np.array([0.0]), np.array([1.0])).arithmetic.tolist()
    [1.0]
    """
    y, sigma = finite_array("y", y, 1), positive("sigma", sigma)
    means, stds, log_weights = _components(("means", means), ("stds", stds), weights, any_sign=True)
    variance = stds**2 + sigma**2
    off = y[:, None] - means
    log_joint = log_weights - 0.5 * (off**2 / variance + np.log(2 * np.pi * variance))
    log_density, shares = _shares(log_joint)
    score = -(shares * off / variance).sum(1)
    return NoisyPosterior(log_density, score, (shares * (means + stds**2 / variance * off)).sum(1))


def poisson_gamma(
    z: Float[np.ndarray, " samples"],
    scale: float,
    shapes: Float[np.ndarray, " components"],
    rates: Float[np.ndarray, " components"],
    weights: Float[np.ndarray, " components"] | None = None,
) -> NoisyPosterior:
    """Counts ``z ~ Poisson(x/scale)`` with a mixture of priors x ~ Gamma(shape a, rate b): a mixture of Gamma(a + z,
    rate b + 1/scale) after the counts.

    Density (negative binomials, ``Γ(z + 1)`` for z!) and score extend to real z ≥ 0 and are those in counts; means are
    those of x. The harmonic mean is 0 where E[1/x | z] diverges, at ``a + z ≤ 1``. Raises ``ValueError`` for arrays
    that are empty, not finite or of different lengths, negative z, parameters not above 0 and weights that are not
    positive with sum 1.

    >>> poisson_gamma(np.array([3.0]), 1.0, np.array([1.0]), np.array([1.0])).arithmetic.tolist()
    [2.0]
    """
    z, scale = finite_array("z", z, 1), positive("scale", scale)
    if z.min() < 0:
        raise ValueError(f"z must be at least 0, got {z.min()}")
    return _poisson_posterior(z, scale, *_components(("shapes", shapes), ("rates", rates), weights))


def gamma_inverse_gamma(
    y: Float[np.ndarray, " samples"],
    shape: float,
    shapes: Float[np.ndarray, " components"],
    scales: Float[np.ndarray, " components"],
    weights: Float[np.ndarray, " components"] | None = None,
) -> NoisyPosterior:
    """``y = x n``, n ~ Gamma(α, scale 1/α), with a mixture of priors x ~ InverseGamma(shape a, scale b): a mixture of
    InverseGamma(a + α, b + α y) after y.

    Raises ``ValueError`` for arrays that are empty, not finite or of different lengths, y or parameters not above 0,
    ``shape <= 1`` (the score is needed for Tweedie's formula) and weights that are not positive with sum 1.

    >>> gamma_inverse_gamma(np.array([1.0]), 2.0, np.array([2.0]), np.array([2.0])).harmonic.tolist()
    [1.0]
    """
    y, shape = finite_array("y", y, 1), positive("shape", shape)
    if y.min() <= 0:
        raise ValueError(f"y must be above 0, got {y.min()}")
    if shape <= 1:
        raise ValueError(f"shape must be above 1, got {shape!r}")
    return _gamma_posterior(y, shape, *_components(("shapes", shapes), ("scales", scales), weights))


def ar_dae_minimum(
    sa: float,
    means: Float[np.ndarray, " components"],
    stds: Float[np.ndarray, " components"],
    weights: Float[np.ndarray, " components"] | None = None,
) -> float:
    """Least value of ``E|sa R(y + sa u) + u|²`` over all functions R, for a mixture of Gaussians in one dimension:

        1 − sa² E|∇ log p_sa|²,        attained by R = ∇ log p_sa,  p_sa = p ∗ N(0, sa²),

    because ``E[u | v] = −sa ∇ log p_sa(v)`` by Tweedie's formula. By the trapezoidal rule, to 1e-10. Raises
    ``ValueError`` as ``gaussian_gaussian`` does. Source: derived here.

    >>> round(ar_dae_minimum(1.0, np.array([0.0]), np.array([1.0])), 12)
    0.5
    """
    sa = positive("sa", sa)
    centres, widths, _ = _components(("means", means), ("stds", stds), weights, any_sign=True)
    reach = 12 * float(np.hypot(widths.max(), sa))
    step = float(np.hypot(widths.min(), sa)) / 12
    nodes = np.linspace(
        centres.min() - reach, centres.max() + reach, int(np.ceil((np.ptp(centres) + 2 * reach) / step))
    )
    density = gaussian_gaussian(nodes, sa, means, stds, weights)
    fisher = np.sum(np.exp(density.log_density) * density.score**2) * (nodes[1] - nodes[0])
    return float(1 - sa**2 * fisher)


def total_variation(image: Float[np.ndarray, "height width"]) -> float:
    """Mean absolute difference of vertical neighbours plus that of horizontal neighbours.

    Raises ``ValueError`` unless the image is finite with at least two rows and columns.

    >>> total_variation(np.array([[0.0, 1.0], [0.0, 1.0]]))
    1.0
    """
    image = finite_array("image", image, 2)
    if min(image.shape) < 2:
        raise ValueError(f"image must have at least 2 rows and columns, got shape {image.shape}")
    return float(np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean())


def blind_criterion(
    denoised: Float[np.ndarray, "height width"], y: Float[np.ndarray, "height width"], noise: NoiseFamily
) -> float:
    """What is smallest at the right noise level, among images denoised with several:

        Gaussian  TV(x̂)
        Poisson   0.1 TV(max(x̂, 0)) + mean of x̂ − y log x̂ where x̂ > 0
        Gamma     TV(x̂) + mean log x̂ + mean y/x̂ + mean (y/x̂)²

    Raises ``ValueError`` for images that are not finite, smaller than 2 × 2 or of different shapes, another family,
    Poisson noise without a positive x̂ and Gamma noise with one that is not. Source: Kim and Ye (2021), their code.

    >>> blind_criterion(np.ones((2, 2)), np.ones((2, 2)), "gamma")
    2.0
    """
    denoised, y = finite_array("denoised", denoised, 2), finite_array("y", y, 2)
    same_shape(("denoised", "y"), (denoised, y))
    one_of("noise", noise, get_args(NoiseFamily))
    if min(y.shape) < 2:
        raise ValueError(f"denoised and y must have at least 2 rows and columns, got shape {y.shape}")
    if noise == "gaussian":
        return total_variation(denoised)
    above = denoised > 0
    if noise == "poisson":
        if not above.any():
            raise ValueError("denoised must be above 0 somewhere for Poisson noise")
        fit = denoised[above] - y[above] * np.log(denoised[above])
        return float(0.1 * total_variation(np.maximum(denoised, 0)) + fit.mean())
    if not above.all():
        raise ValueError(f"denoised must be above 0 for Gamma noise, got {denoised.min()}")
    ratio = y / denoised
    return float(total_variation(denoised) + (np.log(denoised) + ratio + ratio**2).mean())


def _noisy(name: str, y: np.ndarray, score: np.ndarray, negative: bool = True) -> tuple[np.ndarray, np.ndarray]:
    checked, score = finite_array(name, y), finite_array("score", score)
    same_shape((name, "score"), (checked, score))
    if not negative and checked.min() < 0:
        raise ValueError(f"{name} must be at least 0 for this noise, got {checked.min()}")
    return checked, score


def _components(
    first: tuple[str, np.ndarray],
    second: tuple[str, np.ndarray],
    weights: np.ndarray | None,
    any_sign: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both parameters of the prior's components, and the logarithms of their weights."""
    a, b = finite_array(first[0], first[1], 1), finite_array(second[0], second[1], 1)
    w = np.full(len(a), 1 / len(a)) if weights is None else finite_array("weights", weights, 1)
    same_shape((first[0], second[0], "weights"), (a, b, w))
    for name, values, free in ((first[0], a, any_sign), (second[0], b, False), ("weights", w, False)):
        if not free and values.min() <= 0:
            raise ValueError(f"{name} must be above 0, got {values.min()}")
    if abs(w.sum() - 1) > 1e-9:
        raise ValueError(f"weights must sum to 1, got {w.sum()}")
    return a, b, np.log(w)


def _shares(log_joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log Σ_k`` of the joint densities, and each component's posterior weight."""
    log_density = np.asarray(logsumexp(log_joint, axis=1))
    return log_density, np.exp(log_joint - log_density[:, None])


def _poisson_posterior(
    z: np.ndarray, scale: float | np.ndarray, shapes: np.ndarray, rates: np.ndarray, log_weights: np.ndarray
) -> NoisyPosterior:
    """Parameters are (components,), or (samples, components) where every sample has a prior of its own."""
    after, rate = z[:, None] + shapes, rates + 1 / np.reshape(scale, (-1, 1))
    log_joint = log_weights + gammaln(after) - gammaln(shapes) - gammaln(z + 1)[:, None] + shapes * np.log(rates / rate)
    log_density, shares = _shares(log_joint - z[:, None] * np.log(np.reshape(scale, (-1, 1)) * rate))
    expected_log = (shares * (digamma(after) - np.log(rate))).sum(1)
    inverse = np.divide(rate, after - 1, out=np.full_like(after, np.inf), where=after > 1)
    # A component that has no share of the posterior has none of its inverse either.
    inverse = np.multiply(shares, inverse, out=np.zeros_like(after), where=shares > 0).sum(1)
    return NoisyPosterior(
        log_density, expected_log - np.log(scale) - digamma(z + 1), (shares * after / rate).sum(1),
        np.exp(expected_log), 1 / inverse,
    )  # fmt: skip


def _gamma_posterior(
    y: np.ndarray, shape: float | np.ndarray, shapes: np.ndarray, scales: np.ndarray, log_weights: np.ndarray
) -> NoisyPosterior:
    """Parameters are (components,), or (samples, components) where every sample has a prior of its own."""
    alpha = np.reshape(shape, (-1, 1))
    after, scale = shapes + alpha, scales + alpha * y[:, None]
    log_joint = log_weights + shapes * np.log(scales) - gammaln(shapes) + gammaln(after) - after * np.log(scale)
    likelihood = alpha * np.log(alpha) - gammaln(alpha) + (alpha - 1) * np.log(y)[:, None]
    log_density, shares = _shares(log_joint + likelihood)
    inverse = (shares * after / scale).sum(1)
    return NoisyPosterior(
        log_density, (shape - 1) / y - shape * inverse, (shares * scale / (after - 1)).sum(1),
        np.exp((shares * (np.log(scale) - digamma(after))).sum(1)), 1 / inverse,
    )  # fmt: skip


# Bounds -----------------------------------------------------------------------------------------

_COMPONENTS = 3


def _instances(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """A datum, the noise's level and a mixture of three conjugate priors, all by their logarithms."""
    return {
        "y": rng.uniform(-3, 4, n),
        "level": rng.uniform(-4, 4, n),
        "first": rng.uniform(-1.5, 3, (n, _COMPONENTS)),
        "second": rng.uniform(-2, 3, (n, _COMPONENTS)),
        "weights": rng.uniform(-3, 3, (n, _COMPONENTS)),
    }


def _mean(noise: NoiseFamily, which: str) -> Callable[..., np.ndarray]:
    def mean(y, level, first, second, weights):
        prior = np.exp(first), np.exp(second), weights - logsumexp(weights, axis=1, keepdims=True)
        if noise == "poisson":
            return getattr(_poisson_posterior(np.exp(y), np.exp(level), *prior), which)
        return getattr(_gamma_posterior(np.exp(y), 1 + np.exp(level), *prior), which)

    return mean


def _counts(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"z": np.expm1(rng.uniform(0, 9, n))}


def _posterior_shape(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"k": np.exp(rng.uniform(-3, 8, n))}


_NOISES: tuple[NoiseFamily, ...] = ("poisson", "gamma")
BOUNDS = [
    *(
        Bound(f"{family}: {low} <= {high} mean", "Jensen", _mean(family, low), _mean(family, high), _instances)
        for family in _NOISES
        for low, high in (("harmonic", "geometric"), ("geometric", "arithmetic"))
    ),
    Bound(
        "z + 1/2 <= exp psi(z + 1)", "digamma function", lambda z: z + 0.5, lambda z: np.exp(digamma(z + 1)), _counts
    ),
    Bound(
        "exp psi(z + 1) <= z + 1/2 + 1/(24 (z + 1/2))", "digamma function",
        lambda z: np.exp(digamma(z + 1)), lambda z: z + 0.5 + 1 / (24 * (z + 0.5)), _counts,
    ),
    Bound(
        "Gamma prior: arithmetic mean <= geometric mean and half a count", "digamma function",
        lambda k: k - 0.5, lambda k: np.exp(digamma(k)), _posterior_shape,
    ),
]  # fmt: skip
