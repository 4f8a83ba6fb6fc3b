"""Sign-RIP: how close the sub-gradient of the l1 loss is to a multiple of the direction of the error.

At a symmetric X (an error ``U U' − X*``) let ``D(X) = (1/m) sum_i Sign(<A_i, X> − s_i) (A_i + A_i')/2``. For Gaussian
A_i and noise s that is independent of them,

    E D(X) = phi(X) X/|X|,     phi(X) = sqrt(2/pi) E exp(−s²/(2 |X|²)),     |X| the Frobenius norm:

with ``<A, X> = |X| g``, ``E Sign(|X| g − s) g = 2 density(s/|X|)``, and directions orthogonal to X average to 0. If a
fraction p is corrupted, phi is ``sqrt(2/pi) (1 − p + p E_P exp(−s²/(2|X|²)))``: never below ``sqrt(2/pi) (1 − p)``,
never above ``sqrt(2/pi)``, and not decreasing in |X|, whatever the noise. Sign-RIP(k, delta) on a set asks of every X
in it

    |D(X) − phi(X) X/|X||_{F,k} <= delta phi(X),      |M|_{F,k} = sqrt(sum of the k largest squared singular values)
                                                             = sup { <M, Y> : rank Y <= k, |Y| <= 1 }.

    sign_rip_scale(1.0, 0.3, "gaussian", 5.0)                 # phi
    sign_rip_deviation(A, s, X, 2, 0.3, "gaussian", 5.0)      # the least delta for one X
    sign_rip_search(A, s, 2, 0.3, "gaussian", 5.0)            # a lower bound of delta over all X of rank 2 and norm 1

For one fixed X the deviation is what random sampling of X sees; delta must hold for all X at once, and a search finds
matrices that are worse by a constant factor. Symmetrising A_i can only help: it shrinks ``|.|_{F,k}`` (``BOUNDS``).

Source: Ma and Fattahi (2022), *Global Convergence of Sub-gradient Method for Robust Matrix Recovery*; phi for any law
of the noise, its closed forms and its bounds are derived here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import erfcx

from theory.certificates import Certificate, certify_monotone, certify_nonnegative
from theory.fuzz import Bound
from theory.optimization.matrix_measurements import SymmetricMeasurements
from theory.validation import finite_array, in_range, one_of, positive, whole_number

__all__ = [
    "SignRIPSearch",
    "certify_sign_rip_scale",
    "frobenius_k_norm",
    "sign_rip_deviation",
    "sign_rip_scale",
    "sign_rip_search",
]

Law = Literal["none", "gaussian", "cauchy", "constant"]
Noise = Law | Callable[[float], float]

_NOISELESS = np.sqrt(2 / np.pi)


def sign_rip_scale(norm_X: float, p: float, noise: Noise = "none", scale: float = 1.0) -> float:
    """``phi = sqrt(2/pi) (1 − p + p E exp(−s²/(2 norm_X²)))``, for noise on a fraction ``p`` of the measurements.

    The noise is ``scale`` times a standard normal (``gaussian``) or Cauchy variable, the number 1 (``constant``), or a
    variable with the density that is given as a function; ``p = 1`` is noise everywhere. With ``c = scale/norm_X`` the
    expectation is ``1/sqrt(1 + c²)``, ``exp(c²/2) erfc(c/sqrt 2)``, ``exp(−c²/2)``, or a quadrature.

    Raises ``ValueError`` for a norm or scale not above 0, p outside [0, 1] (or above 0 without noise), an unknown
    noise, or a function that is no density.

    >>> round(sign_rip_scale(1.0, 0.0), 6), round(sign_rip_scale(1.0, 0.3, "gaussian", 5.0), 6)
    (0.797885, 0.605463)
    """
    norm_X, p, scale = positive("norm_X", norm_X), in_range("p", p, 0.0, 1.0), positive("scale", scale)
    if not callable(noise):
        one_of("noise", noise, get_args(Law))
    if noise == "none" and p > 0:
        raise ValueError(f"p must be 0 if noise is 'none', got {p}")
    return float(_NOISELESS * (1 - p + p * _attenuation(scale / norm_X, noise)))


def frobenius_k_norm(M: Float[np.ndarray, "*batch rows columns"], k: int) -> Float[np.ndarray, "*batch"] | float:
    """``|M|_{F,k}``, the root of the sum of the k largest squared singular values: spectral norm to Frobenius norm.

    Raises ``ValueError`` for fewer than two axes, entries that are not finite, or k < 1.

    >>> [round(float(frobenius_k_norm(np.diag([3.0, -4.0, 1.0]), k)), 6) for k in (1, 2, 3)]
    [4.0, 5.0, 5.09902]
    """
    M, k = finite_array("M", M), whole_number("k", k, 1)
    if M.ndim < 2:
        raise ValueError(f"M must have at least two axes, got shape {M.shape}")
    return np.sqrt((np.linalg.svd(M, compute_uv=False)[..., :k] ** 2).sum(-1))[()]


def sign_rip_deviation(
    A: Float[np.ndarray, "measurements entries"],
    s: Float[np.ndarray, " measurements"],
    X: Float[np.ndarray, "dim dim"],
    k: int,
    p: float,
    noise: Noise = "none",
    scale: float = 1.0,
) -> float:
    """``|D(X) − phi(X) X/|X||_{F,k} / phi(X)``: Sign-RIP holds at X with this delta and no smaller one.

    ``s`` is the noise of these measurements; ``p``, ``noise`` and ``scale`` are its law, as in ``sign_rip_scale``.
    Raises ``ValueError`` as that does, for an X that is zero, not symmetric or not finite, k < 1, or sizes that do not
    fit.

    >>> A = np.random.default_rng(0).standard_normal((4000, 16))
    >>> sign_rip_deviation(A, np.zeros(4000), np.diag([1.0, -1.0, 0.0, 0.0]), 2, 0.0) < 0.1
    True
    """
    operator, s, k = _checked(A, s, k)
    X = finite_array("X", X, 2)
    if X.shape != (operator.dim, operator.dim) or not np.allclose(X, X.T, rtol=0, atol=1e-6 * np.abs(X).max()):
        raise ValueError(f"X must be a symmetric {operator.dim} x {operator.dim} matrix, got shape {X.shape}")
    norm = float(np.linalg.norm(X))
    if norm == 0:
        raise ValueError("X must not be zero: the zero matrix has no direction")
    phi = sign_rip_scale(norm, p, noise, scale)
    return float(frobenius_k_norm(_excess(operator, s, X[None] / norm, norm, phi)[0], k) / phi)


@dataclass(frozen=True)
class SignRIPSearch:
    """The worst deviation found, the X that has it (norm as asked for), and the mean over the random starts."""

    deviation: float
    X: Float[np.ndarray, "dim dim"]
    random: float


def sign_rip_search(
    A: Float[np.ndarray, "measurements entries"],
    s: Float[np.ndarray, " measurements"],
    k: int,
    p: float,
    noise: Noise = "none",
    scale: float = 1.0,
    *,
    norm_X: float = 1.0,
    restarts: int = 8,
    steps: int = 25,
    seed: int = 0,
) -> SignRIPSearch:
    """A lower bound of the uniform constant: the largest deviation over symmetric X of rank k and norm ``norm_X``.

    Alternating ascent on ``<D(X) − phi X/|X|, Y>``: the best Y of rank k is a truncated singular value decomposition.
    For X, a sign changes where ``<A_i, X>`` is near ``s_i``, so it moves along ``sum_i w_i (A_i + A_i')/2`` with ``w_i
    = density((<A_i, X> − s_i)/h) <A_i, Y>``, with three widths h in turn, to rank k again; of several step lengths, the
    best one is taken, if it raises the deviation; after a failure the direction is perturbed. What comes back was
    evaluated exactly, so it is a bound whatever the search does.

    Raises ``ValueError`` as ``sign_rip_deviation``, for k above d, or numbers of restarts or steps below 1.

    >>> A = np.random.default_rng(0).standard_normal((300, 36))
    >>> found = sign_rip_search(A, np.zeros(300), 2, 0.0, restarts=2, steps=10)
    >>> found.deviation > 1.3 * found.random, round(float(np.linalg.norm(found.X)), 12)
    (True, 1.0)
    """
    operator, s, k = _checked(A, s, k)
    if k > operator.dim:
        raise ValueError(f"k must be at most d = {operator.dim}, got {k}")
    norm_X, phi = positive("norm_X", norm_X), sign_rip_scale(norm_X, p, noise, scale)
    restarts, steps = whole_number("restarts", restarts, 1), whole_number("steps", steps, 1)
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    V = np.linalg.qr(rng.standard_normal((restarts, operator.dim, k)))[0]
    # Errors U U' − X* have eigenvalues of both signs.
    eigenvalues = rng.standard_normal((restarts, 1, k))
    X = _unit((V * eigenvalues) @ V.swapaxes(-1, -2))
    excess = _excess(operator, s, X, norm_X, phi)
    value = np.asarray(frobenius_k_norm(excess, k))
    random = float(value.mean() / phi)
    lengths = np.array([1.0, 0.5, 0.25, 0.1, 0.03])[:, None, None, None]
    failures = np.zeros(restarts)
    for step in range(steps):
        Y = _unit(_truncated(excess, k))
        near = (norm_X * operator.rows_of(X) - s) / (_BANDWIDTHS[step % len(_BANDWIDTHS)] * norm_X)
        direction = operator.sum_of(np.exp(-(near**2) / 2) * operator.rows_of(Y))
        # Along X the direction only changes the norm.
        direction = _unit(direction - (direction * X).sum((-1, -2), keepdims=True) * X)
        shake = rng.standard_normal(X.shape)
        direction = direction + np.minimum(failures, 2)[:, None, None] * _unit(shake + shake.swapaxes(-1, -2)) / 2
        candidates = _unit(_truncated(X + lengths * direction, k))
        excesses = _excess(operator, s, candidates.reshape(-1, *X.shape[1:]), norm_X, phi).reshape(candidates.shape)
        values = np.asarray(frobenius_k_norm(excesses, k))
        best = values.argmax(axis=0)
        chosen = best, np.arange(restarts)
        better = values[chosen] > value
        failures = np.where(better, 0, failures + 1)
        value = np.where(better, values[chosen], value)
        X = np.where(better[:, None, None], candidates[chosen], X)
        excess = np.where(better[:, None, None], excesses[chosen], excess)
    winner = int(value.argmax())
    return SignRIPSearch(float(value[winner] / phi), norm_X * X[winner], random)


def certify_sign_rip_scale() -> tuple[Certificate, ...]:
    """Proofs in ball arithmetic of what phi's bounds rest on, for the law of any noise.

    With ``w = s²/(2|X|²)`` the factor ``exp(−w)`` is at most 1 and does not increase; so phi, its mean over s, is at
    most ``sqrt(2/pi)``, and not decreasing in |X|. For Gaussian noise ``c = scale/|X|``, ``1/sqrt(1 + c²)`` decreases,
    and is at least ``exp(−c²/2)``, the constant of the same second moment (Jensen). Boxes end at 20; with ``x = 1/c``
    the Gaussian factor is certified up to infinite c too.

    >>> all(certificate.proved for certificate in certify_sign_rip_scale())
    True
    """
    import sympy

    w, c, x = sympy.symbols("w c x")
    gaussian = 1 / sympy.sqrt(1 + c**2)
    return (
        certify_nonnegative(1 - sympy.exp(-w), w, (0, 20)),
        certify_monotone(sympy.exp(-w), w, (0, 20), increasing=False),
        certify_monotone(gaussian, c, (0, 20), increasing=False),
        certify_monotone(x / sympy.sqrt(1 + x**2), x, (0, 1)),
        certify_nonnegative(gaussian - sympy.exp(-(c**2) / 2), c, (0, 20)),
    )


_BANDWIDTHS = (0.3, 0.1, 0.03)
"""Signs within this part of the norm count as movable; taken in turn."""


def _attenuation(ratio: np.ndarray | float, noise: Noise) -> np.ndarray | float:
    """``E exp(−(ratio z)²/2)`` over the standard law of the noise."""
    if callable(noise):
        return _quadrature(noise, float(ratio))
    if noise == "gaussian":
        return 1 / np.hypot(1.0, ratio)
    if noise == "cauchy":
        return erfcx(ratio / np.sqrt(2))
    return np.exp(-(np.square(ratio)) / 2) if noise == "constant" else 1.0


def _quadrature(density: Callable[[float], float], ratio: float) -> float:
    # Cut where the kernel or the density may bend; the tails are integrated to infinity.
    ends = sorted({0.0, 1.0, 10.0, 1 / ratio, 10 / ratio})

    def integral(f: Callable[[float], float]) -> float:
        total = 0.0
        for low, high in zip(ends, [*ends[1:], np.inf], strict=True):
            for sign in (1.0, -1.0):
                total += quad(lambda z, sign=sign: f(sign * z), low, high, limit=200)[0]
        return total

    mass = integral(lambda z: float(density(z)))
    if not abs(mass - 1) < 1e-4 or min(float(density(z)) for z in np.linspace(-5, 5, 101)) < 0:
        raise ValueError(f"noise must be a density (not negative, integral 1), got integral {mass}")
    return integral(lambda z: float(density(z)) * np.exp(-((ratio * z) ** 2) / 2))


def _checked(A: np.ndarray, s: np.ndarray, k: int) -> tuple[SymmetricMeasurements, np.ndarray, int]:
    operator, s = SymmetricMeasurements(A), finite_array("s", s, 1)
    if len(s) != operator.count:
        raise ValueError(f"s must have one entry for each of {operator.count} matrices, got {len(s)}")
    return operator, s, whole_number("k", k, 1)


def _excess(operator: SymmetricMeasurements, s: np.ndarray, X: np.ndarray, norm: float, phi: float) -> np.ndarray:
    """``D(norm X) − phi X`` of a batch of matrices of norm 1."""
    return operator.sum_of(np.sign(norm * operator.rows_of(X) - s)) / operator.count - phi * X


def _unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=(-2, -1), keepdims=True)


def _truncated(X: np.ndarray, k: int) -> np.ndarray:
    """The best approximation of rank k of symmetric matrices."""
    values, vectors = np.linalg.eigh(X)
    order = np.argsort(-np.abs(values), axis=-1)
    values = np.where(np.argsort(order, axis=-1) < k, values, 0.0)
    return (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)


def _scale_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"p": rng.random(count), "ratio": 10.0 ** rng.uniform(-4, 4, count), "growth": rng.random(count)}


def _phi(p: np.ndarray, ratio: np.ndarray, law: Law) -> np.ndarray:
    return _NOISELESS * (1 - p + p * _attenuation(ratio, law))


def _matrix_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    spread = 10.0 ** rng.uniform(-3, 0, (count, 1, 1))
    low_rank = rng.standard_normal((count, 4, 1)) * rng.standard_normal((count, 1, 4))
    return {"M": low_rank + spread * rng.standard_normal((count, 4, 4))}


def _bounds() -> Iterator[Bound]:
    source, derived = "Ma and Fattahi (2022), scale function; derived here for any law", "derived here"
    proof = "sign_rip.certify_sign_rip_scale"
    for law in get_args(Law)[1:]:
        yield Bound(
            f"{law} noise on a fraction p leaves at least sqrt(2/pi) (1 − p)", source,
            lambda p, ratio, growth: _NOISELESS * (1 - p),
            lambda p, ratio, growth, law=law: _phi(p, ratio, law), _scale_sampler, proof,
        )  # fmt: skip
        yield Bound(
            f"phi does not decrease in |X|, {law} noise", source,
            lambda p, ratio, growth, law=law: _phi(p, ratio, law),
            lambda p, ratio, growth, law=law: _phi(p, ratio * growth, law), _scale_sampler, proof,
        )  # fmt: skip
    yield Bound(
        "the symmetric part has the smaller k-norm", derived,
        lambda M: np.asarray(frobenius_k_norm((M + M.swapaxes(1, 2)) / 2, 2)),
        lambda M: np.asarray(frobenius_k_norm(M, 2)), _matrix_sampler,
    )  # fmt: skip
    yield Bound(
        "k-norm at most sqrt(k) times the spectral norm", derived,
        lambda M: np.asarray(frobenius_k_norm(M, 2)),
        lambda M: np.sqrt(2) * np.asarray(frobenius_k_norm(M, 1)), _matrix_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
