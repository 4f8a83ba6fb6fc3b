"""Gradient ascent runs away linearly, negative preference optimisation logarithmically: with constants.

Forget labels y_i of x_i (i = 1 … n) under p(y|x) = sigma(m), m = (2y − 1)⟨x, theta⟩, by descent with step eta on

    GA     L = mean_i log p_i                                                  gradient weight 1
    NPO    L = (2/beta) mean_i log(1 + (p_i / ref_i)^beta)                     W_i = 2 sigma(beta log(p_i / ref_i))

with ref the model at the start. For orthogonal rows of norm r_i margins move alone, with c = eta r²/n and fall
u_t = m_0 − m_t,

    u_{t+1} = u_t + c sigma(−m_t) W_t,    W_t = 2/(1 + G_t),    G = (ref/p)^beta = ((1 + e^{u−m_0})/(1 + e^{−m_0}))^beta

GA (W = 1):  c sigma(−m_0) t ≤ u_t ≤ c t. For NPO, G rises by a bounded amount in every step,

    beta c sigma(−m_0)² ≤ G_{t+1} − G_t ≤ 2 beta c            (the right one for beta c ≤ 1)

The left one: G is convex in u with G' = beta sigma(u − m_0) G, and 2G/(1 + G) ≥ 1. The right one: log G rises by at
most 2 beta c/(1 + G), and (1 − w)(e^{2bw} − 1) ≤ 2bw for w ≤ 1/2, b ≤ 1 (``certify_steps``). Hence, with the inverse
U(G) = m_0 + log(G^{1/beta} (1 + e^{−m_0}) − 1),

    U(1 + beta c sigma(−m_0)² t) ≤ u_t ≤ U(1 + 2 beta c t)

and ||X(theta_t − theta_0)|| grows like eta r² t/√n under GA, like (√n/beta) log t under NPO; both upper bounds are
attained in the limit. For beta → 0 NPO is GA: with R = log(p/ref),

    −(beta³/96) mean R⁴ ≤ L_NPO − (2/beta) log 2 − mean R − (beta/4) mean R² ≤ 0

    path = ga_npo_trajectory(X, y, theta0, eta=1.0, steps=1000, beta=0.5)
    low, high = npo_bounds(path["margin"][0], norms, 1.0, 0.5, np.arange(1001))        # around path["dist"]

Source: Zhang, Lin, Bai and Mei (2024), *Negative Preference Optimization: From Catastrophic Collapse to Effective
Unlearning*, for the losses and the theorem on divergence in logistic regression (with unspecified constants and nearly
orthogonal rows). The two-sided bounds with constants, and the expansion in beta, are derived here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, log_expit

from theory.certificates import Certificate, certify_nonnegative, certify_weighted_derivative
from theory.fuzz import Bound
from theory.validation import class_labels, finite_array, in_range, positive, same_shape, whole_number

__all__ = [
    "certify_steps",
    "ga_bounds",
    "ga_npo_trajectory",
    "ga_rate",
    "lockstep_trajectories",
    "npo_bounds",
    "npo_log_slope",
    "npo_loss",
    "npo_weight",
    "small_beta_remainder",
]

LogProbs = Float[np.ndarray, " samples"]
Distances = Float[np.ndarray, " times"]


def npo_loss(logps: LogProbs, ref_logps: LogProbs, beta: float = 0.1) -> float:
    """``(2/beta) mean log(1 + exp(beta (logps − ref_logps)))``: never negative, (2/beta) log 2 at the reference.

    Raises ``ValueError`` for vectors that differ in length, are not finite or above 0, and for beta not above 0.

    >>> round(npo_loss(np.array([-1.0]), np.array([-1.0]), beta=2.0), 6)
    0.693147
    """
    R, beta = _log_ratio(logps, ref_logps), _beta(beta)
    return float(2 / beta * np.logaddexp(0.0, beta * R).mean())


def npo_weight(logps: LogProbs, ref_logps: LogProbs, beta: float = 0.1) -> LogProbs:
    """``W = 2 p^beta / (p^beta + ref^beta)``, in (0, 2): what NPO multiplies each gradient of gradient ascent with.

    Raises ``ValueError`` as ``npo_loss``.

    >>> npo_weight(np.array([-1.0, -9.0]), np.array([-1.0, -1.0]), beta=0.5).round(4).tolist()
    [1.0, 0.036]
    """
    return 2 * expit(_beta(beta) * _log_ratio(logps, ref_logps))


def small_beta_remainder(logps: LogProbs, ref_logps: LogProbs, beta: float) -> tuple[float, float]:
    """``L_NPO − (2/beta) log 2 − mean R − (beta/4) mean R²`` and its lower bound ``−(beta³/96) mean R⁴``.

    It is (2/beta) mean (log cosh h − h²/2) with h = beta R/2, and never positive. The first three terms are GA's loss
    less a constant, so that this says how far NPO is from GA. Raises ``ValueError`` as ``npo_loss``.

    >>> remainder, bound = small_beta_remainder(np.array([-3.0]), np.array([-1.0]), beta=0.1)
    >>> bound < remainder < 0
    True
    """
    R, beta = _log_ratio(logps, ref_logps), _beta(beta)
    return float(2 / beta * _log_cosh_remainder(beta * R / 2).mean()), float(-(beta**3) / 96 * (R**4).mean())


def ga_npo_trajectory(
    X: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    theta0: Float[np.ndarray, " dim"],
    eta: float,
    steps: int,
    beta: float | None = None,
) -> dict[str, Float[np.ndarray, "..."]]:
    """Full-batch descent on the forget loss from ``theta0``: NPO, or gradient ascent where ``beta`` is None.

    Returns ``dist`` (steps + 1,), the distances ||X(theta_t − theta_0)||, and ``margin`` (steps + 1, samples). Labels
    are 0 or 1. A step costs O(samples²), whatever the dimension. Raises ``ValueError`` for arrays that do not fit or
    are not finite, other labels, eta or beta not above 0, or fewer than one step.

    >>> X, y = 2 * np.eye(2), np.array([1, 0])
    >>> ga_npo_trajectory(X, y, np.zeros(2), eta=1.0, steps=2)["margin"].round(4).tolist()
    [[0.0, 0.0], [-1.0, -1.0], [-2.4621, -2.4621]]
    """
    arm = 0.0 if beta is None else _beta(beta)
    path = lockstep_trajectories(X, y, theta0, eta, steps, [arm])
    return {name: values[0] for name, values in path.items()}


def lockstep_trajectories(
    X: Float[np.ndarray, "samples dim"],
    y: Int[np.ndarray, " samples"],
    theta0: Float[np.ndarray, " dim"],
    eta: float,
    steps: int,
    betas: Sequence[float],
) -> dict[str, Float[np.ndarray, "..."]]:
    """``ga_npo_trajectory`` for many values of beta at once, 0 for gradient ascent (whose weight is W at beta = 0).

    Arrays have a leading axis of betas. Raises ``ValueError`` as ``ga_npo_trajectory``, and for no or negative betas.
    """
    X = finite_array("X", X, 2)
    y = class_labels("y", y, 2, len(X))
    theta0 = finite_array("theta0", theta0, 1)
    if len(theta0) != X.shape[1]:
        raise ValueError(f"theta0 must have {X.shape[1]} entries, as X has columns, got {len(theta0)}")
    beta = finite_array("betas", betas, 1)[:, None]
    if beta.min() < 0:
        raise ValueError(f"betas must be at least 0, got {beta.min()}")
    step, steps = positive("eta", eta) / len(X), whole_number("steps", steps, 1)
    signed = (2 * y - 1)[:, None] * X
    gram = step * (signed @ signed.T)
    margin = np.empty((len(beta), steps + 1, len(X)))
    margin[:, 0] = m = np.tile(signed @ theta0, (len(beta), 1))
    reference = log_expit(m)
    for t in range(1, steps + 1):
        m = m - (2 * expit(-m) * expit(beta * (log_expit(m) - reference))) @ gram
        margin[:, t] = m
    return {"dist": np.linalg.norm(margin - margin[:, :1], axis=2), "margin": margin}


def ga_rate(n: int, eta: float, r: float = 1.0) -> float:
    """``eta r²/√n``: distance that gradient ascent adds in a step in the end, for n orthogonal rows of norm r.

    Raises ``ValueError`` for n below 1, eta or r not above 0.

    >>> ga_rate(4, 1.0, 2.0)
    2.0
    """
    return positive("eta", eta) * positive("r", r) ** 2 / whole_number("n", n, 1) ** 0.5


def npo_log_slope(n: int, beta: float) -> float:
    """``√n/beta``: what NPO's distance gains in the end when log t grows by 1, for n orthogonal rows of any norms.

    Raises ``ValueError`` for n below 1 or beta not above 0.

    >>> npo_log_slope(4, 0.5)
    4.0
    """
    return whole_number("n", n, 1) ** 0.5 / _beta(beta)


def ga_bounds(
    margins: LogProbs, norms: LogProbs, eta: float, times: Float[np.ndarray, " times"] | Int[np.ndarray, " times"]
) -> tuple[Distances, Distances]:
    """Below and above gradient ascent's distance after each number of steps, for orthogonal rows.

    ``margins``: those at the start, ``norms``: of the rows. Raises ``ValueError`` for vectors that do not fit or are
    not finite, norms or eta not above 0, or negative times.

    >>> low, high = ga_bounds(np.zeros(4), np.full(4, 2.0), 1.0, np.array([10.0]))
    >>> low.tolist(), high.tolist()
    ([10.0], [20.0])
    """
    m0, c, t = _orthogonal(margins, norms, eta, times)
    return _euclidean(c * expit(-m0) * t), _euclidean(c * t)


def npo_bounds(
    margins: LogProbs,
    norms: LogProbs,
    eta: float,
    beta: float,
    times: Float[np.ndarray, " times"] | Int[np.ndarray, " times"],
) -> tuple[Distances, Distances]:
    """Below and above NPO's distance after each number of steps, for orthogonal rows; times up to any size.

    Arguments and errors as ``ga_bounds``, and ``ValueError`` for beta not above 0, or where ``beta eta r²/n`` exceeds 1
    for a row: a step would be larger than the upper bound allows for.

    >>> low, high = npo_bounds(np.zeros(4), np.full(4, 2.0), 1.0, 0.5, np.array([0.0, 1e3, 1e6]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.0, 20.73, 48.33], [0.0, 29.02, 56.65])
    """
    m0, c, t = _orthogonal(margins, norms, eta, times)
    beta = _beta(beta)
    # A product that should be 1 may be more by rounding.
    if (largest := float((beta * c).max())) > 1 + 1e-9:
        raise ValueError(f"beta must be at most {beta / largest:g} for steps that the bound covers, got {beta}")
    low, high = 1 + beta * c * expit(-m0) ** 2 * t, 1 + 2 * beta * c * t
    return _euclidean(_fall(np.log(low), m0, beta)), _euclidean(_fall(np.log(high), m0, beta))


def certify_steps(b: float = 1.0) -> tuple[Certificate, ...]:
    """Prove in ball arithmetic what the upper bound and the expansion in beta rest on; refute the first for large b.

    1. ``2bw − (1 − w)(e^{2bw} − 1) ≥ 0`` for w in [0, 1/2]: G rises by at most 2 beta c a step if beta c = b. A smaller
       beta c follows, as (e^z − 1)/z increases. It is true for b = 1 and false for b = 1.1.
    2. ``log cosh h ≤ h²/2`` and 3. ``log cosh h ≥ h²/2 − h⁴/12`` for h in [0, 20], by the sign of derivatives: both
       sides and their slopes vanish at 0. The lower bound is negative from h = √6 on, the upper one obvious.

    Raises ``ValueError`` for b outside 0.1 … 10.

    >>> [certificate.proved for certificate in certify_steps()]
    [True, True, True]
    """
    import sympy

    in_range("b", positive("b", b), 0.1, 10)
    w, h = sympy.symbols("w h", nonnegative=True)
    top = sympy.Rational(*float(b).as_integer_ratio())
    cosh = sympy.log((sympy.exp(h) + sympy.exp(-h)) / 2)
    rise = 2 * top * w - (1 - w) * (sympy.exp(2 * top * w) - 1)
    return (
        certify_nonnegative(rise, w, ((0, sympy.Rational(1, 2)),)),
        certify_weighted_derivative(h**2 / 2 - cosh, h, 0, 1, {h: (0, 20)}),
        certify_weighted_derivative(cosh - h**2 / 2 + h**4 / 12, h, 0, 1, {h: (0, 20)}),
    )


def _log_ratio(logps: np.ndarray, ref_logps: np.ndarray) -> np.ndarray:
    pair = [finite_array("logps", logps, 1), finite_array("ref_logps", ref_logps, 1)]
    same_shape(("logps", "ref_logps"), pair)
    for name, values in zip(("logps", "ref_logps"), pair, strict=True):
        if values.max() > 0:
            raise ValueError(f"{name} must be log-probabilities, at most 0, got {values.max()}")
    return pair[0] - pair[1]


def _beta(beta: float) -> float:
    try:
        return positive("beta", beta)
    except ValueError as error:
        raise ValueError(f"{error}; its limit 0 is gradient ascent") from None


def _orthogonal(margins: np.ndarray, norms: np.ndarray, eta: float, times: np.ndarray) -> tuple[np.ndarray, ...]:
    """Margins and steps c = eta r²/n as rows, times as a column."""
    m0, r, t = finite_array("margins", margins, 1), finite_array("norms", norms, 1), finite_array("times", times, 1)
    same_shape(("margins", "norms"), (m0, r))
    if r.min() <= 0:
        raise ValueError(f"norms must be above 0, got {r.min()}")
    if t.min() < 0:
        raise ValueError(f"times must be at least 0, got {t.min()}")
    return m0, positive("eta", eta) * r**2 / len(m0), t[:, None]


def _euclidean(falls: np.ndarray) -> np.ndarray:
    return np.linalg.norm(falls, axis=1)


def _fall(log_growth: np.ndarray, m0: np.ndarray, beta: float) -> np.ndarray:
    """U(G) from log G: ``m_0 + log(e^v − 1)`` with v = log(1 + e^{−m_0}) + log(G)/beta, which is m_0 − m."""
    v = np.logaddexp(0.0, -m0) + log_growth / beta
    # log(e^v − 1) = v + log(1 − e^{−v}), in which nothing overflows.
    return np.maximum(m0 + v + np.log(-np.expm1(-v)), 0.0)


def _log_cosh_remainder(h: np.ndarray) -> np.ndarray:
    """``log cosh h − h²/2`` without cancellation near 0."""
    a = np.abs(h)
    series = a**4 * (-1 / 12 + a**2 * (1 / 45 + a**2 * (-17 / 2520 + a**2 * 31 / 14175)))
    return np.where(a < 0.03, series, a + np.log1p(np.exp(-2 * a)) - np.log(2) - a**2 / 2)


def _one_step(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Margin at the start, log G now, beta, and b = beta c in (0, 1]."""
    return {
        "m0": rng.normal(size=count) * 4,
        "log_growth": rng.uniform(0, 10, count) * (rng.random(count) < 0.9),
        "beta": 10.0 ** rng.uniform(-1.5, 1.5, count),
        "b": np.where(rng.random(count) < 0.3, 1.0, 10.0 ** rng.uniform(-3, 0, count)),
    }


def _growth(m0: np.ndarray, log_growth: np.ndarray, beta: np.ndarray, b: np.ndarray) -> np.ndarray:
    """By how much G rises in one step of descent."""
    before = log_growth / beta + np.logaddexp(0.0, -m0)  # −log p
    margin = -(before + np.log(-np.expm1(-before)))
    falls = b / beta * expit(-margin) * 2 / (1 + np.exp(log_growth))
    # log p changes by log((1 + e^{−m} e^{fall}) / (1 + e^{−m})) = log(1 + sigma(−m)(e^{fall} − 1)).
    rise = beta * np.log1p(expit(-margin) * np.expm1(falls))
    return np.exp(log_growth) * np.expm1(rise)


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "a step of NPO raises (ref/p)^beta by at most 2 beta c", "derived here",
        _growth, lambda m0, log_growth, beta, b: 2 * b, _one_step, "npo.certify_steps",
    )  # fmt: skip
    yield Bound(
        "a step of NPO raises (ref/p)^beta by at least beta c sigma(−m0)²", "derived here",
        lambda m0, log_growth, beta, b: b * expit(-m0) ** 2, _growth, _one_step, "convexity of G in u",
    )  # fmt: skip
    yield Bound(
        "NPO is at least gradient ascent and the quadratic term, less beta³R⁴/96", "derived here",
        lambda h: -_log_cosh_remainder(h), lambda h: h**4 / 12,
        lambda rng, n: {"h": 10.0 ** rng.uniform(-4, 2, n)}, "npo.certify_steps",
    )  # fmt: skip


BOUNDS = list(_bounds())
