"""Label-agnostic forgetting in closed form: what bounds its losses, where they push, and where they cannot.

    phi(u) = exp(u/(1 + u)),   u = ||h(e) − e||² ≥ 0        L_UE = sum_remain phi − sum_forget phi
    c, k = 1 − cos(e, t) in [0, 2]                          L_RA = sum_i c_i − B_r log sum_j exp(k_j/tau)

With s = 1/(1 + u) in (0, 1], phi = e · exp(−s) is increasing, concave and in [1, e), so that

    B_r − e B_f < L_UE < e B_r − B_f                        |L_UE| < B (e − 1) for equal batches
    (e − 1) s ≤ e − phi(u) ≤ e s                            saturation; equality at u = 0 on the left, in the limit on
                                                            the right
    phi'(u) = phi(u) s² ≤ e s²                              and, as a function of the residual's norm r = √u,
    d phi/dr = 2 r phi'(r²) ≤ 0.8808                        with equality at u = 1/√3 only: a point that is
                                                            reconstructed much worse, or well already, is left alone

L_RA is a sum of log-ratios as in InfoNCE, sum_i log [exp(c_i) / sum_j exp(k_j/tau)]. It pulls remaining points with
weight 1 each and pushes forgotten ones with (B_r/tau) softmax(k/tau). Since k spans at most 2, Hoeffding's lemma gives

    0 ≤ log mean_j exp(k_j/tau) − mean(k)/tau ≤ 1/(2 tau²)

so that for the paper's tau = 5 or 20 the temperature is little more than the weight 1/tau of a mean. And d cos/de =
(t̂ − cos ê)/||e|| vanishes at e = t: at the original model the gradient of L_RA is exactly 0, whatever tau.

    low, high = unlearning_bounds(32, 32)

Source: Shen, Zhang, Zhao, Bialkowski, Chen and Xu (2024), *Label-Agnostic Forgetting: A Supervision-Free Unlearning in
Deep Models*, and its published code, for the losses (the temperature stands in the denominator only). Bounds and the
vanishing gradient are derived here; Hoeffding (1963) for the lemma.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, softmax

from theory.certificates import Certificate, certify_nonnegative
from theory.fuzz import Bound
from theory.validation import finite_array, positive, same_shape, whole_number

__all__ = [
    "LARGEST_PULL",
    "alignment_bounds",
    "alignment_loss",
    "alignment_weights",
    "certify_saturation",
    "cosine_distance",
    "gaussian_kl",
    "phi",
    "phi_derivative",
    "residual_pull",
    "saturation_bounds",
    "unlearning_bounds",
    "unlearning_loss",
]

Distances = Float[np.ndarray, " samples"]
Embeddings = Float[np.ndarray, "samples dim"]

_AT = 3**-0.5
LARGEST_PULL = float(2 * _AT**0.5 * np.exp(_AT / (1 + _AT)) / (1 + _AT) ** 2)
"""The largest derivative of phi along the norm of the residual, reached where u = ||h(e) − e||² = 1/√3."""


def phi(u: Distances) -> Distances:
    """``exp(u/(1 + u))`` of squared reconstruction errors: increasing and concave from 1 to (never quite) e.

    Raises ``ValueError`` for values that are empty, negative or not finite.

    >>> phi(np.array([0.0, 1.0, 1e9])).round(4).tolist()
    [1.0, 1.6487, 2.7183]
    """
    return np.exp(1 - _s(u))


def phi_derivative(u: Distances) -> Distances:
    """``phi'(u) = phi(u)/(1 + u)²``, at most 1 (at u = 0) and falling like e/u². Raises ``ValueError`` as ``phi``.

    >>> phi_derivative(np.array([0.0, 9.0])).round(4).tolist()
    [1.0, 0.0246]
    """
    s = _s(u)
    return np.exp(1 - s) * s**2


def residual_pull(u: Distances) -> Distances:
    """``d phi(r²)/dr = 2 √u phi'(u)``: how strongly phi pulls at a residual of norm r = √u.

    At most ``LARGEST_PULL``, at u = 1/√3, where its logarithmic derivative (1 − 3u²)/(2u(1 + u)²) changes sign. Raises
    ``ValueError`` as ``phi``.

    >>> residual_pull(np.array([3**-0.5, 0.0, 100.0])).round(4).tolist()
    [0.8808, 0.0, 0.0053]
    """
    u = _squares(u)
    return 2 * np.sqrt(u) * phi_derivative(u)


def saturation_bounds(u: Distances) -> tuple[Distances, Distances]:
    """``(e − 1)/(1 + u) ≤ e − phi(u) ≤ e/(1 + u)``, both sides. Raises ``ValueError`` as ``phi``.

    The left one is a chord of the concave 1 − exp(−s), the right one its tangent at 0 (``certify_saturation``).

    >>> [side.round(3).tolist() for side in saturation_bounds(np.array([0.0, 9.0]))]
    [[1.718, 0.172], [2.718, 0.272]]
    """
    s = _s(u)
    return (np.e - 1) * s, np.e * s


def unlearning_loss(u_r: Distances, u_f: Float[np.ndarray, " forgotten"]) -> float:
    """``L_UE = sum phi(u_r) − sum phi(u_f)`` from squared reconstruction errors. Raises ``ValueError`` as ``phi``.

    >>> unlearning_loss(np.zeros(3), np.zeros(2))
    1.0
    """
    return float(np.exp(1 - _s(u_r, "u_r")).sum() - np.exp(1 - _s(u_f, "u_f")).sum())


def unlearning_bounds(remaining: int, forgotten: int) -> tuple[float, float]:
    """``(B_r − e B_f, e B_r − B_f)``, between which L_UE lies strictly. Raises ``ValueError`` for sizes below 1.

    >>> low, high = unlearning_bounds(32, 32)
    >>> round(low, 3), round(high / 32, 3)
    (-54.985, 1.718)
    """
    r, f = whole_number("remaining", remaining, 1), whole_number("forgotten", forgotten, 1)
    return r - np.e * f, np.e * r - f


def cosine_distance(e: Embeddings, t: Embeddings) -> Distances:
    """``1 − cos(e, t)`` per row, in [0, 2]; norms count as at least 1e-8, so that a vector of norm 0 gives 1.

    Raises ``ValueError`` for matrices that are empty, not finite or differ in shape.

    >>> cosine_distance(np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([[-1.0, 0.0], [1.0, 1.0]])).tolist()
    [2.0, 1.0]
    """
    pair = finite_array("e", e, 2), finite_array("t", t, 2)
    same_shape(("e", "t"), pair)
    units = [_unit(each) for each in pair]
    return np.clip(1 - (units[0] * units[1]).sum(1), 0.0, 2.0)


def alignment_loss(c: Distances, k: Float[np.ndarray, " forgotten"], temperature: float) -> float:
    """``L_RA = sum_i log [exp(c_i) / sum_j exp(k_j/tau)]`` from cosine distances of remaining and forgotten points.

    Raises ``ValueError`` for vectors that are empty or not in [0, 2], and a temperature not above 0.

    >>> round(alignment_loss(np.array([0.0, 0.5]), np.array([2.0, 2.0]), temperature=2.0), 4)
    -2.8863
    """
    c, scaled = _distances("c", c), _distances("k", k) / positive("temperature", temperature)
    return float((c - logsumexp(scaled)).sum())


def alignment_weights(
    k: Float[np.ndarray, " forgotten"], temperature: float, remaining: int
) -> Float[np.ndarray, " forgotten"]:
    """``−dL_RA/dk = (B_r/tau) softmax(k/tau)``: how much each forgotten point is pushed; sums to B_r/tau.

    Those that are away already are pushed more. Raises ``ValueError`` as ``alignment_loss``, and for B_r below 1.

    >>> alignment_weights(np.array([0.0, 2.0]), temperature=2.0, remaining=4).round(4).tolist()
    [0.5379, 1.4621]
    """
    tau, count = positive("temperature", temperature), whole_number("remaining", remaining, 1)
    return count / tau * softmax(_distances("k", k) / tau)


def alignment_bounds(c: Distances, k: Float[np.ndarray, " forgotten"], temperature: float) -> tuple[float, float]:
    """Bounds of L_RA in which forgotten points appear by their mean alone, B_r/(2 tau²) apart.

    ``sum c − B_r (log B_f + mean(k)/tau)`` is above (Jensen), and less than it by B_r/(2 tau²) below (Hoeffding's lemma
    for a variable in [0, 2/tau]). Raises ``ValueError`` as ``alignment_loss``.

    >>> low, high = alignment_bounds(np.zeros(1), np.array([0.0, 2.0]), temperature=5.0)
    >>> low < alignment_loss(np.zeros(1), np.array([0.0, 2.0]), 5.0) < high, round(high - low, 3)
    (True, 0.02)
    """
    c, k, tau = _distances("c", c), _distances("k", k), positive("temperature", temperature)
    high = float(c.sum() - len(c) * (np.log(len(k)) + k.mean() / tau))
    return high - len(c) / (2 * tau**2), high


def gaussian_kl(
    mu: Float[np.ndarray, "samples latent"], sigma: Float[np.ndarray, "samples latent"]
) -> Float[np.ndarray, " samples"]:
    """``KL(N(mu, sigma²) || N(0, 1)) = ½ sum_latent (mu² + sigma² − 1 − log sigma²)`` per row, never negative.

    Raises ``ValueError`` for matrices that are empty, not finite or differ in shape, and sigma not above 0.

    >>> gaussian_kl(np.array([[0.0, 1.0]]), np.ones((1, 2))).tolist()
    [0.5]
    """
    mu, sigma = finite_array("mu", mu, 2), finite_array("sigma", sigma, 2)
    same_shape(("mu", "sigma"), (mu, sigma))
    if sigma.min() <= 0:
        raise ValueError(f"sigma must be above 0, got {sigma.min()}")
    # sigma² − 1 − log sigma² = x − log(1 + x) for x = sigma² − 1, which cancels nothing at sigma = 1.
    x = (sigma - 1) * (sigma + 1)
    return 0.5 * (mu**2 + np.where(np.abs(x) < 0.5, x - np.log1p(x), x - 2 * np.log(sigma))).sum(1)


def certify_saturation() -> tuple[Certificate, ...]:
    """Prove in ball arithmetic, for s = 1/(1 + u) in [0, 1], what ``phi`` and ``saturation_bounds`` promise.

    1. ``e − phi ≤ e s``, that is exp(−s) ≥ 1 − s; 2. ``e − phi ≥ (e − 1) s``; 3. ``phi ≥ 1``; 4. ``phi ≤ e``. The last
    is strict as s is above 0 for every finite u.

    >>> [certificate.proved for certificate in certify_saturation()]
    [True, True, True, True]
    """
    import sympy

    s = sympy.Symbol("s", nonnegative=True)
    rise = 1 - sympy.exp(-s)
    statements = (s - rise, rise - (1 - sympy.exp(-1)) * s, sympy.exp(1 - s) - 1, sympy.E - sympy.exp(1 - s))
    return tuple(certify_nonnegative(f, s, (0, 1)) for f in statements)


def _squares(u: np.ndarray, name: str = "u") -> np.ndarray:
    values = finite_array(name, u, 1)
    if values.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {values.min()}")
    return values


def _s(u: np.ndarray, name: str = "u") -> np.ndarray:
    return 1 / (1 + _squares(u, name))


def _distances(name: str, value: np.ndarray) -> np.ndarray:
    values = finite_array(name, value, 1)
    # Rounding may leave [0, 2] by a little.
    if values.min() < -1e-6 or values.max() > 2 + 1e-6:
        raise ValueError(f"{name} must be cosine distances in [0, 2], got {values.min()} … {values.max()}")
    return values


def _unit(vectors: np.ndarray) -> np.ndarray:
    # Rows are scaled by their largest element first: squares neither overflow nor vanish.
    largest = np.abs(vectors).max(1, keepdims=True)
    norms = largest * np.linalg.norm(vectors / np.where(largest > 0, largest, 1), axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-8)


def _errors(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Squared errors over twelve decades."""
    return {"u": 10.0 ** rng.uniform(-6, 6, count)}


def _pairs(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Batches of eight and eight squared errors, at times at the ends."""
    u_r, u_f = (10.0 ** rng.uniform(-4, 7, (count, 8)) for _ in range(2))
    swap = rng.random((count, 1)) < 0.3
    return {"u_r": np.where(swap, u_r * 1e3, u_r), "u_f": np.where(swap, 0.0, u_f)}


def _clouds(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Twelve cosine distances and a temperature; some are all at the ends, where the lemma is tightest."""
    k = rng.uniform(0, 2, (count, 12))
    return {"k": np.where(rng.random((count, 1)) < 0.5, 2.0 * (k > 1), k), "tau": 10.0 ** rng.uniform(-0.5, 2, count)}


def _excess(k: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """``log mean exp(k/tau) − mean(k)/tau``, from numbers around 0."""
    z = k / tau[:, None]
    z = z - z.mean(1, keepdims=True)
    return np.log1p(np.expm1(z).mean(1))


BOUNDS = [
    Bound(
        "phi is at most e, by no more than e/(1 + u)", "derived here", lambda u: -np.expm1(-1 / (1 + u)),
        lambda u: 1 / (1 + u), _errors, "label_agnostic_forgetting.certify_saturation",
    ),
    Bound(
        "phi stays below e by at least (e − 1)/(1 + u)", "derived here", lambda u: (1 - np.exp(-1)) / (1 + u),
        lambda u: -np.expm1(-1 / (1 + u)), _errors, "label_agnostic_forgetting.certify_saturation",
    ),
    Bound(
        "phi pulls at a residual by at most 0.8808", "derived here",
        lambda u: 2 * np.sqrt(u) * np.exp(u / (1 + u)) / (1 + u) ** 2, lambda u: np.full(len(u), LARGEST_PULL), _errors,
    ),
    Bound(
        "|L_UE| is at most B (e − 1) for equal batches", "bounded loss of the paper",
        lambda u_r, u_f: np.abs(np.exp(1 - 1 / (1 + u_r)).sum(1) - np.exp(1 - 1 / (1 + u_f)).sum(1)),
        lambda u_r, u_f: np.full(len(u_r), 8 * (np.e - 1)), _pairs,
    ),
    Bound(
        "L_RA sees forgotten points by their mean, up to 1/(2 tau²) each", "Hoeffding (1963), applied here", _excess,
        lambda k, tau: 1 / (2 * tau**2), _clouds,
    ),
]  # fmt: skip
