"""Lower tails of weighted sums of noncentral chi-squares: how small a Gaussian's squared norm can be.

    e = sum_i w_i (N_i + b_i)²,     N_i independent standard normal,  w_i > 0

is the law of a mean squared error whose residuals are Gaussian. Its cumulant generating function

    K(t) = sum_i [ −½ log(1 − 2 w_i t) + w_i b_i² t / (1 − 2 w_i t) ],     t < 1/(2 max w),

gives cumulants ``kappa_r = 2^{r−1} (r−1)! sum_i w_i^r (1 + r b_i²)``, and with the saddlepoint ``K'(t) = eps``
four answers to log P(e ≤ eps), however small P is:

    Lugannani–Rice    log[ Phi(r) + phi(r) (1/r − 1/u) ],   r = ± sqrt(2 (t eps − K(t))),  u = t sqrt(K''(t))
    inversion         −(1/2 pi i) ∫ exp(K(z) − z eps) dz/z   on a parabola through the saddlepoint
    sampling          exponentially tilted draws: E_t[ exp(K(t) − t e) ; e ≤ eps ]
    enclosure         chernoff_lower_bound ≤ −log P ≤ tilted_upper_bound, both rigorous

    weighted_ncx2_logcdf(0.01, w, b)                       # microseconds, within some hundredths
    weighted_ncx2_logcdf(0.01, w, b, method="imhof")       # exact to about ten digits

Source: Lugannani and Rice (1980) for the approximation, Imhof (1961) for inversion along the imaginary axis, which
loses all digits where P is small; the parabola, the closed brackets of the saddlepoint and the upper bound are derived
here.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import erfcx, gamma, gammainc, gammaln, log_ndtr, logsumexp
from scipy.stats import ncx2

from theory.fuzz import Bound
from theory.validation import finite_array, one_of, whole_number

__all__ = [
    "BOUNDS",
    "TailMethod",
    "chernoff_lower_bound",
    "ncx2_moment_fit",
    "sankaran_logcdf",
    "scaled_ncx2_logcdf",
    "tilted_upper_bound",
    "weighted_ncx2_cumulants",
    "weighted_ncx2_logcdf",
]

TailMethod = Literal["saddlepoint", "imhof", "mc"]
Values = float | Float[np.ndarray, "..."]
Terms = Float[np.ndarray, "*batch terms"]
_NEAR_MEAN = 1e-4
_NODES = 400


def weighted_ncx2_logcdf(
    eps: Values, w: Terms, b: Terms, method: TailMethod = "saddlepoint", *, draws: int = 20_000, seed: int = 0
) -> Values:
    """log P(e ≤ eps), natural logarithm.

    ``w`` and ``b`` have shape (..., terms), ``eps`` broadcasts against their leading axes. ``"saddlepoint"`` is
    Lugannani and Rice's formula (for a dozen terms of like size off by a hundredth, for a single one by up to 0.15);
    ``"imhof"`` is exact up to about 1e-10; ``"mc"`` takes ``draws`` exponentially tilted samples, whose relative error
    is a few times ``draws^(−1/2)`` at any depth. Raises ``ValueError`` for weights or eps that are not positive, shapes
    that do not fit, an unknown method, or ``draws`` below 1.

    >>> w, b = np.full(5, 0.2), np.zeros(5)
    >>> [round(float(weighted_ncx2_logcdf(0.001, w, b, method)), 2) for method in ("saddlepoint", "imhof")]
    [-16.16, -16.18]
    """
    eps, w, b, batch = _checked(eps, w, b)
    one_of("method", method, ("saddlepoint", "imhof", "mc"))
    whole_number("draws", draws, 1)
    whole_number("seed", seed, 0)
    if method == "saddlepoint":
        return _lugannani_rice(eps, w, b).reshape(batch)[()]
    if method == "imhof":
        return _inverted(eps, w, b).reshape(batch)[()]
    return _tilted_sampling(eps, w, b, draws, np.random.default_rng(seed)).reshape(batch)[()]


def weighted_ncx2_cumulants(w: Terms, b: Terms, order: int = 3) -> Float[np.ndarray, "order *batch"]:
    """The first ``order`` cumulants ``2^{r−1} (r−1)! sum_i w_i^r (1 + r b_i²)``, along the first axis.

    Raises ``ValueError`` for weights that are not positive, shapes that differ, or an order below 1.

    >>> weighted_ncx2_cumulants(np.array([1.0, 1.0]), np.zeros(2)).tolist()
    [2.0, 4.0, 16.0]
    """
    w, b = _checked_terms(w, b)
    r = np.arange(1, whole_number("order", order, 1) + 1).reshape(-1, *(1,) * w.ndim)
    return (2.0 ** (r - 1) * gamma(r) * w**r * (1 + r * b**2)).sum(-1)


def ncx2_moment_fit(k1: Values, k2: Values, k3: Values) -> tuple[Values, Values, Values]:
    """Degrees of freedom, noncentrality and scale of the scaled noncentral chi-square with these three cumulants.

    From ``kappa1 s² − kappa2 s + kappa3/8 = 0``: only the smaller root has a noncentrality of at least 0, and it has
    positive degrees of freedom where ``1.5 kappa2² < kappa1 kappa3 ≤ 2 kappa2²``. Every weighted sum has
    ``kappa1 kappa3 ≥ 1.5 kappa2²``; unequal weights without offsets have more than 2, and then nothing in the family
    fits. Outside that range the answer is the central chi-square with the first two cumulants (Satterthwaite).
    Raises ``ValueError`` for k1 or k2 that are not positive, or k3 that is not finite.

    >>> [round(float(x), 6) for x in ncx2_moment_fit(0.1 * 8.0, 0.02 * 13.0, 0.008 * 18.0)]
    [3.0, 5.0, 0.1]
    """
    k1, k2, k3 = finite_array("k1", k1), finite_array("k2", k2), finite_array("k3", k3)
    for name, value in (("k1", k1), ("k2", k2)):
        if (value <= 0).any():
            raise ValueError(f"{name} must be above 0, got {value.min()}")
    k1, k2, k3 = np.broadcast_arrays(k1, k2, k3)
    inside = (k1 * k3 > 1.5 * k2**2) & (k1 * k3 <= 2 * k2**2 * (1 + 1e-12))
    # The root as a quotient: the difference of the textbook form cancels.
    spread = np.sqrt(np.maximum(k2**2 - k1 * k3 / 2, 0.0))
    s = np.where(inside, k3 / 4 / (k2 + spread), k2 / (2 * k1))
    nc = np.where(inside, np.maximum(k2 / (2 * s**2) - k1 / s, 0.0), 0.0)
    df = np.where(inside, 2 * k1 / s - k2 / (2 * s**2), 2 * k1**2 / k2)
    return df[()], nc[()], s[()]


def scaled_ncx2_logcdf(x: Values, df: Values, nc: Values, scale: Values) -> Values:
    """log P(scale · ncx2(df, nc) ≤ x), also where P underflows.

    Below the mean the Poisson mixture of central chi-squares is summed in logarithms, with the ascending series of the
    incomplete gamma function; above it scipy answers. All arguments broadcast. Raises ``ValueError`` unless x, df and
    scale are positive and nc is at least 0.

    >>> round(float(-scaled_ncx2_logcdf(1e-9, 80.0, 10.0, 0.003)), 1)
    739.6
    """
    x, df, nc, scale = _checked_ncx2(x, df, nc, scale)
    y = x / scale
    low = y < df + nc
    with np.errstate(divide="ignore"):
        answer = np.where(low, 0.0, ncx2.logcdf(y, df, np.maximum(nc, 1e-300)))
    if low.any():
        answer[low] = _log_poisson_mixture(y[low], df[low], nc[low])
    return answer[()]


def sankaran_logcdf(x: Values, df: Values, nc: Values, scale: Values) -> Values:
    """``−z²/2`` with Sankaran's normal approximation z of a scaled noncentral chi-square.

    What the authors' code falls back on where the probability underflows. It leaves out ``log(|z| sqrt(2 pi))``, and
    the approximation itself levels off deep in the tail. Raises ``ValueError`` as ``scaled_ncx2_logcdf``.

    >>> round(float(-sankaran_logcdf(1e-4, 50.0, 5.0, 0.003)), 1)
    92.1
    """
    x, df, nc, scale = _checked_ncx2(x, df, nc, scale)
    total = df + nc
    h = 1 - 2 / 3 * total * (df + 3 * nc) / (df + 2 * nc) ** 2
    p = (df + 2 * nc) / total**2
    m = (h - 1) * (1 - 3 * h)
    centre = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    z = ((x / scale / total) ** h - centre) / (h * np.sqrt(2 * p) * (1 + 0.5 * m * p))
    return (-(z**2) / 2)[()]


def chernoff_lower_bound(eps: Values, w: Terms, b: Terms) -> Values:
    """``sup_{t<0} (t eps − K(t))``: −log P(e ≤ eps) is never less, and 0 from the mean on.

    Any t < 0 gives a valid bound, so that the accuracy of the saddlepoint matters for tightness alone. Raises
    ``ValueError`` as ``weighted_ncx2_logcdf``.

    >>> round(float(chernoff_lower_bound(0.001, np.full(5, 0.2), np.zeros(5))), 2)
    14.77
    """
    eps, w, b, batch = _checked(eps, w, b)
    t = np.minimum(_saddlepoint(eps, w, b), 0.0)
    return np.maximum(t * eps - _cgf(t, w, b), 0.0).reshape(batch)[()]


def tilted_upper_bound(eps: Values, w: Terms, b: Terms) -> Values:
    """A number that −log P(e ≤ eps) never exceeds.

    Tilt by any t < 0 to mean m = K'(t) and variance v = K''(t). If ``d = eps − m > sqrt(v)``, by Chebyshev's
    inequality ``1 − v/d²`` of the tilted law is within d of m, where the likelihood ratio is at least
    ``exp(K(t) − t (m − d))``:

        −log P ≤ t (2 m − eps) − K(t) − log(1 − v/d²),

    minimised over a grid of t. Raises ``ValueError`` as ``weighted_ncx2_logcdf``.

    >>> round(float(tilted_upper_bound(0.001, np.full(5, 0.2), np.zeros(5))), 2)
    19.26
    """
    eps, w, b, batch = _checked(eps, w, b)
    variance = weighted_ncx2_cumulants(w, b, 2)[1]
    start = np.minimum(_saddlepoint(eps, w, b), -1e-3 / np.sqrt(variance))
    best = np.full(eps.shape, np.inf)
    for factor in np.geomspace(1.05, 1e4, 160):
        t = factor * start
        m, v = _cgf_slope(t, w, b), _cgf_curvature(t, w, b)
        d = eps - m
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = t * (m - d) - _cgf(t, w, b) - np.log1p(-v / d**2)
        best = np.where((d > 0) & (v < d**2), np.minimum(best, bound), best)
    return best.reshape(batch)[()]


# the cumulant generating function ----------------------------------------------------------------


def _cgf(t: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    tw = t[..., None] * w
    return (-0.5 * np.log1p(-2 * tw) + b**2 * tw / (1 - 2 * tw)).sum(-1)


def _cgf_slope(t: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    a = 1 - 2 * t[..., None] * w
    return (w / a * (1 + b**2 / a)).sum(-1)


def _cgf_curvature(t: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    a = 1 - 2 * t[..., None] * w
    return (2 * (w / a) ** 2 * (1 + 2 * b**2 / a)).sum(-1)


def _saddlepoint(eps: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The root of K'(t) = eps, by Newton's method in log |t| (left) or log of the distance to the pole (right).

    Brackets in closed form: K' is convex, so that −t ≥ (kappa1 − eps)/kappa2; and w/(1 + 2ws) ≤ 1/(2s),
    w/(1 + 2ws)² ≤ 1/(8s), so that s = −t ≤ (n/2 + |b|²/8)/eps. On the right K' ≥ max w / (1 − 2 max w t).
    """
    mean, variance = weighted_ncx2_cumulants(w, b, 2)
    pole = 1 / (2 * w.max(-1))
    left = eps < mean
    gap = np.maximum(np.abs(mean - eps), 1e-300)
    terms = 0.5 * w.shape[-1] + (b**2).sum(-1) / 8
    low = np.log(np.where(left, gap / variance, np.minimum(w.max(-1) / eps, 1.0)))
    high = np.log(np.where(left, np.maximum(terms / eps, gap / variance), 1.0))
    # t = −exp(v) on the left, pole (1 − exp(v)) on the right.
    sign = np.where(left, -1.0, -2 * pole)
    # At the mean itself logarithms of distances say nothing: one Newton step from 0 does.
    near = np.abs(eps - mean) <= 1e-9 * mean

    def at(v: np.ndarray) -> np.ndarray:
        return np.where(left, -np.exp(v), -pole * np.expm1(v))

    v = np.where(left, low, 0.5 * (low + high))
    for _ in range(100):
        t = at(v)
        excess = np.log(_cgf_slope(t, w, b) / eps)
        low, high = np.where(excess > 0, v, low), np.where(excess > 0, high, v)
        slope = -_cgf_curvature(t, w, b) / _cgf_slope(t, w, b) * np.exp(v) * np.where(left, 1.0, -sign / 2)
        newton = v - excess / np.where(slope == 0, -1.0, slope)
        inside = (newton > low) & (newton < high)
        # At the root Newton's step is nothing, and the middle of the bracket would be a step away from it.
        found = near | (np.abs(excess) <= 1e-14)
        moved = np.where(found, v, np.where(inside, newton, 0.5 * (low + high)))
        done = found | (np.abs(moved - v) <= 1e-13 * np.maximum(np.abs(v), 1.0))
        v = moved
        if done.all():
            break
    return np.where(near, (eps - mean) / variance, at(v))


def _lugannani_rice(eps: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    t = _saddlepoint(eps, w, b)
    r = np.sign(t) * np.sqrt(2 * np.maximum(t * eps - _cgf(t, w, b), 0.0))
    u = t * np.sqrt(_cgf_curvature(t, w, b))
    k = weighted_ncx2_cumulants(w, b, 4)
    skewness, kurtosis = k[2] / k[1] ** 1.5, k[3] / k[1] ** 2
    near = np.abs(r) < _NEAR_MEAN
    safe_r, safe_u = np.where(near, 1.0, r), np.where(near, 1.0, u)
    correction = np.where(near, skewness / 6 + u * (kurtosis / 8 - 5 * skewness**2 / 24), 1 / safe_r - 1 / safe_u)
    # With Mills' ratio both tails are phi(r) times a number of moderate size.
    log_density = -0.5 * r**2 - 0.5 * np.log(2 * np.pi)
    mills = np.sqrt(np.pi / 2) * erfcx(np.abs(r) / np.sqrt(2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lower = log_density + np.log(mills + correction)
        upper = np.log1p(-np.minimum(np.exp(log_density) * (mills - correction), 1.0))
    return np.where(r <= 0, np.minimum(lower, 0.0), np.where(mills - correction > 0, upper, log_ndtr(r)))


def _inverted(eps: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The inversion integral along z = t + iy + c y², by the trapezoidal rule.

    The branch points 1/(2w) lie right of 0 on the real axis. A parabola that opens to the right around them makes
    exp(−z eps) fall like a Gaussian; with 1/(4c) half the distance from t to the first, it keeps that distance to all.
    The factor exp(K(t) − t eps) comes out of the integral, so that no digits are lost deep in a tail. Below the mean t
    is left of the pole at 0, which gives P; above it t is right of it, which gives 1 − P; it keeps away from the pole.
    """
    mean, variance = weighted_ncx2_cumulants(w, b, 2)
    saddle, pole, sd = _saddlepoint(eps, w, b), 1 / (2 * w.max(-1)), np.sqrt(variance)
    left = eps < mean
    t = np.where(left, np.minimum(saddle, -1 / sd), np.maximum(saddle, np.minimum(1 / sd, pole / 2)))
    c = 1 / (2 * (pole - t))
    # Where there are many terms, exp(K) has fallen to nothing long before exp(−z eps) has.
    reach = np.minimum(np.sqrt(80 * (pole - t) / eps), 400 / np.sqrt(_cgf_curvature(t, w, b)))
    log_scale = _cgf(t, w, b) - t * eps
    y = (np.arange(_NODES) + 0.5) / _NODES
    log_area = np.empty(eps.shape)
    for index in range(len(eps)):
        s = reach[index] * y
        z = t[index] + 1j * s + c[index] * s**2
        wz = z[:, None] * w[index]
        exponent = (-0.5 * np.log(1 - 2 * wz) + b[index] ** 2 * wz / (1 - 2 * wz)).sum(-1) - z * eps[index]
        integrand = np.exp(exponent - log_scale[index]) * (1j + 2 * c[index] * s) / z
        area = abs(integrand.imag.sum()) * reach[index] / _NODES / np.pi
        log_area[index] = log_scale[index] + np.log(max(area, 1e-300))
    share = np.exp(np.minimum(log_area, 0.0))
    return np.asarray(np.where(left, np.minimum(log_area, 0.0), np.log1p(-np.minimum(share, 1 - 1e-16))))


def _tilted_sampling(eps: np.ndarray, w: np.ndarray, b: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    t = np.minimum(_saddlepoint(eps, w, b), 0.0)
    answers = np.empty(eps.shape)
    for index in range(len(eps)):
        a = 1 - 2 * w[index] * t[index]
        e = ((rng.standard_normal((draws, w.shape[-1])) / np.sqrt(a) + b[index] / a) ** 2) @ w[index]
        log_ratio = _cgf(t[index : index + 1], w[index : index + 1], b[index : index + 1])[0] - t[index] * e
        hits = log_ratio[e <= eps[index]]
        answers[index] = logsumexp(hits) - np.log(draws) if hits.size else -np.inf
    return answers


def _log_poisson_mixture(y: np.ndarray, df: np.ndarray, nc: np.ndarray) -> np.ndarray:
    """log sum_j Poisson(j; nc/2) P(chi2(df + 2j) ≤ y).

    The terms' ratio is below (nc/2)(y/2)/((j + 1)(df/2 + j + 1)), so that they peak before sqrt(nc y)/2 and die out.
    """
    peak = np.sqrt(nc * y).max() / 2
    j = np.arange(int(2 * peak + 12 * np.sqrt(peak + 1)) + 40)
    half = nc[..., None] / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        log_weight = np.where(j == 0, 0.0, j * np.log(half)) - half - gammaln(j + 1)
    return np.asarray(logsumexp(log_weight + _log_gammainc(df[..., None] / 2 + j, y[..., None] / 2), axis=-1))


def _log_gammainc(a: np.ndarray, z: np.ndarray) -> np.ndarray:
    """log of the regularised lower incomplete gamma function; its ascending series where it would underflow."""
    a, z = np.broadcast_arrays(a, z)
    with np.errstate(divide="ignore"):
        answer = np.log(gammainc(a, z))
    tiny = answer < -200
    if tiny.any():
        a, z = a[tiny], z[tiny]
        term, total = np.ones_like(z), np.ones_like(z)
        for k in range(1, 2000):
            term = term * z / (a + k)
            total = total + term
            if (term <= 1e-17 * total).all():
                break
        answer[tiny] = a * np.log(z) - z - gammaln(a + 1) + np.log(total)
    return answer


# bounds to fuzz ------------------------------------------------------------------------------------


def _sample_terms(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Six weights over four orders of magnitude with offsets of all sizes."""
    w = 10.0 ** rng.uniform(-4, 0, (count, 6))
    return {"w": w, "b": rng.standard_normal((count, 6)) * 10.0 ** rng.uniform(-2, 1, (count, 1))}


def _sample_equal_weights(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Five equal weights, where the exact law is a scaled noncentral chi-square, from the mean down to 1e-6 of it."""
    return {"b": 2 * rng.standard_normal((count, 5)), "fraction": 10.0 ** rng.uniform(-6, 0, count)}


def _equal(b: np.ndarray, fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return fraction * (1 + (b**2).mean(-1)), np.full(b.shape, 1 / b.shape[-1])


def _exact(b: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    eps, w = _equal(b, fraction)
    scale = np.full(eps.shape, w[0, 0])
    return -np.asarray(scaled_ncx2_logcdf(eps, np.full(eps.shape, 1.0 * b.shape[-1]), (b**2).sum(-1), scale))


BOUNDS = [
    Bound(
        "third cumulants are at least those of the family's edge",
        "derived here (Cauchy-Schwarz)",
        lhs=lambda w, b: 1.5 * weighted_ncx2_cumulants(w, b)[1] ** 2,
        rhs=lambda w, b: weighted_ncx2_cumulants(w, b)[0] * weighted_ncx2_cumulants(w, b)[2],
        sampler=_sample_terms,
    ),
    Bound(
        "Chernoff's bound is below -log P",
        "Chernoff (1952)",
        lhs=lambda b, fraction: chernoff_lower_bound(*_equal(b, fraction), b),
        rhs=_exact,
        sampler=_sample_equal_weights,
    ),
]


# checks -------------------------------------------------------------------------------------------


def _checked_terms(w: object, b: object) -> tuple[np.ndarray, np.ndarray]:
    w, b = finite_array("w", w), finite_array("b", b)
    if w.ndim == 0 or w.min() <= 0:
        raise ValueError(f"w must hold at least one term, all above 0, got {w!r:.60}")
    if w.shape != b.shape:
        raise ValueError(f"w and b must have one shape, got {w.shape} and {b.shape}")
    return w, b


def _checked(eps: object, w: object, b: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """eps (problems,), w and b (problems, terms), and the shape of the answer."""
    w, b = _checked_terms(w, b)
    eps = finite_array("eps", eps)
    if eps.min() <= 0:
        raise ValueError(f"eps must be above 0, got {eps.min()}")
    try:
        batch = np.broadcast_shapes(eps.shape, w.shape[:-1])
    except ValueError:
        raise ValueError(f"eps must broadcast against {w.shape[:-1]}, the batch of w, got {eps.shape}") from None
    w, b = (np.broadcast_to(each, (*batch, w.shape[-1])).reshape(-1, w.shape[-1]) for each in (w, b))
    return np.broadcast_to(eps, batch).reshape(-1), w, b, batch


def _checked_ncx2(x: object, df: object, nc: object, scale: object) -> list[np.ndarray]:
    arrays = {"x": x, "df": df, "nc": nc, "scale": scale}
    checked = {name: finite_array(name, value) for name, value in arrays.items()}
    for name, value in checked.items():
        if value.min() < 0 or (name != "nc" and value.min() == 0):
            raise ValueError(f"{name} must be {'at least' if name == 'nc' else 'above'} 0, got {value.min()}")
    try:
        return [np.array(a) for a in np.broadcast_arrays(*checked.values())]
    except ValueError:
        raise ValueError(f"x, df, nc and scale must broadcast, got {[a.shape for a in checked.values()]}") from None
