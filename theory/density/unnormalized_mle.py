"""Maximum likelihood of an unnormalised model by compositional optimisation: landscape and price, exactly.

An unnormalised model p0(x; theta) has ``Z(theta) = E_q w``, ``w = p0/q``, under any noise law q that covers it. Maximum
likelihood is then a composition, log of an expectation:

    F(theta) = −E_data log p0(x; theta) + log E_q w(z; theta),     gradient −E_data ∇log p0 + E_q[∇w] / E_q[w].

Noise-contrastive estimation (NCE) avoids Z by telling data from noise. For the mean of a Gaussian (model, data N(R, 1)
and noise N(0, s²) as in ``gaussian_objectives``) both can be computed exactly:

    landscape   F has curvature 1 everywhere, whatever q is. The Hessian of NCE at its optimum, s = 1, is
                exp(−R²/8)/2 · ∫ phi(y) sech(R y/2) T Tᵀ dy,  T = (y + R/2, −1):
                its smallest eigenvalue is about 2 pi² √(2 pi) exp(−R²/8) / R⁵, its condition number R⁶/(16 pi²)
    price       what is sampled has relative second moment  E_q[w²]/Z² = s²/√(2s² − 1) · exp(theta²/(2s² − 1)),
                infinite for s² <= 1/2, exp(theta²) at s = 1, and at best (``optimal_noise_scale``) about 1.17 |theta|

    nce_curvature(R=8.0).condition_number            # 2418
    gd_iterations("nce", R=4.0, eta=20.0)            # gradient steps until theta stays within 0.1 of R
    importance_second_moment(theta=4.0, s=4.0)       # 4.815

Of the condition number, a factor of order R⁴ comes from measuring x from the noise's mean: with x measured from the
middle (``centred_condition_number``) about R²/pi² is left. The factor exp(−R²/8) stays.

Source: Jiang, Qin, Wu, Chen, Yang and Zhang (2023), *Learning Unnormalized Statistical Models via Compositional
Optimization*; the Gaussian example follows Liu, Rosenfeld, Ravikumar and Risteski (2021). Formulas are derived here.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from theory.density.gaussian_objectives import Objective, log_partition, objective_gradient
from theory.fuzz import Bound
from theory.validation import finite_array, positive, whole_number

__all__ = [
    "Curvature",
    "gaussian_nce_hessian",
    "gd_iterations",
    "importance_second_moment",
    "nce_curvature",
    "nce_curvature_bound",
    "optimal_noise_scale",
]

_LARGEST_LEVEL = 1e6  # where a c that diverges is held


@dataclass(frozen=True)
class Curvature:
    """The Hessian of NCE at its optimum, in logarithms because exp(−R²/8) leaves the range of floats at R = 78.

    ``condition_number`` is the ratio of the eigenvalues, ``centred_condition_number`` the same when x is measured from
    the mean of the weights ``p q/(p + q)``, a change of coordinates that the optimiser does not know.
    """

    log_smallest: float
    log_largest: float
    condition_number: float
    centred_condition_number: float


def gaussian_nce_hessian(R: float, s: float = 1.0) -> Float[np.ndarray, "2 2"]:
    """``∫ p q/(p + q) T Tᵀ dx``, T = (x, −1): the Hessian of NCE by (theta, c) at its optimum.

    h is linear in the parameters, so that second derivatives of the loss are all there is. Raises ``ValueError`` for R
    not finite or s not above 0.

    >>> gaussian_nce_hessian(0.0).round(6).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    log_mass, mean, variance = _overlap(R, s)
    return math.exp(log_mass) * np.array([[variance + mean**2, -mean], [-mean, 1.0]])


def nce_curvature(R: float, s: float = 1.0) -> Curvature:
    """Eigenvalues of ``gaussian_nce_hessian``, to full relative precision however small they are.

    With mass m, mean mu and variance v of the weights, ``trace = m (1 + mu² + v)`` and ``det = m² v``. Errors as there.

    >>> round(nce_curvature(4.0).condition_number, 1)
    87.5
    """
    log_mass, mean, variance = _overlap(R, s)
    trace = 1 + mean**2 + variance
    largest = (trace + math.sqrt(_discriminant(mean, variance))) / 2
    smallest = variance / largest
    return Curvature(
        log_mass + math.log(smallest),
        log_mass + math.log(largest),
        largest / smallest,
        max(variance, 1 / variance),
    )


def nce_curvature_bound(R: float | Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """An upper bound of NCE's smallest curvature at the optimum, s = 1, attained at R = 0 and sharp as R grows:

        exp(−R²/8)/2 · min(1, √(2 pi) pi²/R³) / (1 + R²/4)

    Along (1, R/2) the quadratic form of T is y²/(1 + R²/4), and ``∫ phi y² sech(R y/2)`` is at most ``∫ phi y²`` and at
    most ``phi(0) ∫ y² sech(R y/2)``. Raises ``ValueError`` for an R that is empty or not finite.

    >>> float(nce_curvature_bound(0.0))
    0.5
    """
    R = np.asarray(np.abs(finite_array("R", R)))
    return np.asarray(np.exp(-(R**2) / 8) / 2 * _overlap_variance_bound(R) / (1 + R**2 / 4))


def importance_second_moment(
    theta: float | Float[np.ndarray, "..."], s: float | Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """``E_q[w²]/Z²`` for p0 of mean theta and q = N(0, s²): one plus the chi-square divergence of p from q.

        s²/√(2s² − 1) · exp(theta²/(2s² − 1)),     infinite for s² <= 1/2

    The relative variance of a mean of B weights is this less 1, over B. Raises ``ValueError`` for values that are
    empty or not finite, s not above 0, or shapes that do not broadcast.

    >>> float(importance_second_moment(4.0, 4.0).round(3))
    4.815
    """
    theta, s = finite_array("theta", theta), finite_array("s", s)
    if s.min() <= 0:
        raise ValueError(f"s must be above 0, got {s.min()}")
    try:
        theta, s = np.broadcast_arrays(theta, s)
    except ValueError:
        raise ValueError(f"theta and s must broadcast, got shapes {theta.shape} and {s.shape}") from None
    excess = 2 * s**2 - 1
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        moment = s**2 / np.sqrt(excess) * np.exp(theta**2 / excess)
    return np.where(excess > 0, moment, np.inf)


def optimal_noise_scale(theta: float | Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The s with the smallest ``importance_second_moment``: ``√((v + 1)/2)``, v the positive root of
    ``v² − (1 + 2 theta²) v − 2 theta² = 0``, which is where the derivative by v = 2s² − 1 vanishes.

    Grows like |theta|, with a second moment of about ``√(e/2) |theta|``. Raises ``ValueError`` for a theta that is
    empty or not finite.

    >>> float(optimal_noise_scale(0.0)), float(optimal_noise_scale(4.0).round(3))
    (1.0, 4.18)
    """
    squared = finite_array("theta", theta) ** 2
    v = (1 + 2 * squared + np.sqrt((1 + 2 * squared) ** 2 + 8 * squared)) / 2
    return np.asarray(np.sqrt((v + 1) / 2))


def gd_iterations(
    objective: Objective,
    R: float,
    eta: float | Float[np.ndarray, " steps"],
    tol: float = 0.1,
    *,
    s: float = 1.0,
    normalized: bool = False,
    max_steps: int = 1000,
    radius: float = 10.0,
) -> Float[np.ndarray, "..."]:
    """Gradient steps on the population objective until ``|theta − R| <= tol`` for good; inf if not by ``max_steps``.

    *For good* means up to ``max_steps``, and for the last tenth of them at least. A visit proves nothing: from this
    start one step of size 2 takes NCE to theta = R whatever R is, with a c so wrong that it leaves again. Starts at
    theta = 0 with the c that normalises there; every step size of ``eta`` makes a run of its own. ``normalized``
    divides gradients by their length; theta is projected on [−radius, radius]. Raises ``ValueError`` for an unknown
    objective, eta, tol, s or radius not above 0, R not finite, or ``max_steps`` below 1.

    >>> gd_iterations("mle", 4.0, np.array([0.5, 1.0])).tolist()
    [6.0, 1.0]
    """
    eta = finite_array("eta", eta)
    if eta.ndim > 1 or eta.min() <= 0:
        raise ValueError(f"eta must be a number or a vector of numbers above 0, got {eta!r:.60}")
    R, tol, radius = float(finite_array("R", R, 0)), positive("tol", tol), positive("radius", radius)
    whole_number("max_steps", max_steps, 1)
    rates = np.atleast_1d(eta)
    theta, c = np.zeros(len(rates)), np.full(len(rates), float(log_partition(0.0)))
    last_outside = np.where(np.abs(theta - R) > tol, 0, -1)
    for step in range(1, max_steps + 1):
        slope = objective_gradient(objective, theta, c, R, s, normalized=normalized)
        with np.errstate(over="ignore", invalid="ignore"):
            theta = np.clip(np.nan_to_num(theta - rates * slope[:, 0]), -radius, radius)
            c = np.clip(np.nan_to_num(c - rates * slope[:, 1]), -_LARGEST_LEVEL, _LARGEST_LEVEL)
        last_outside[np.abs(theta - R) > tol] = step
    return np.where(last_outside < 0.9 * max_steps, last_outside + 1.0, np.inf).reshape(eta.shape)


def _discriminant(mean: Any, variance: Any) -> Any:
    """``(1 + mean² + variance)² − 4 variance``, as a sum of terms that are not negative; numbers or arrays."""
    return (1 - variance) ** 2 + mean**2 * (mean**2 + 2 * (1 + variance))


def _overlap(R: float, s: float) -> tuple[float, float, float]:
    """Log of the mass, mean and variance of ``p q/(p + q)``, p = N(R, 1), q = N(0, s²)."""
    R, s = float(finite_array("R", R, 0)), positive("s", s)
    reach = 14 * max(1.0, s)
    low, high = min(0.0, R) - reach, max(0.0, R) + reach
    x = np.linspace(low, high, 20_001)
    for _ in range(2):
        weights = _log_overlap(x, R, s)
        inside = x[weights > weights.max() - 80]
        # The second grid has as many points on the part that counts.
        x = np.linspace(inside[0] - 1e-9, inside[-1] + 1e-9, 20_001)
    log_weights = _log_overlap(x, R, s)
    peak = log_weights.max()
    weights = np.exp(log_weights - peak)
    mass = weights.sum()
    mean = float(weights @ x / mass)
    variance = float(weights @ (x - mean) ** 2 / mass)
    return float(peak + math.log(mass * (x[1] - x[0]))), mean, variance


def _log_overlap(x: np.ndarray, R: float, s: float) -> np.ndarray:
    log_p = -((x - R) ** 2) / 2 - math.log(2 * math.pi) / 2
    log_q = -(x**2) / (2 * s**2) - math.log(s) - math.log(2 * math.pi) / 2
    return log_p + log_q - np.logaddexp(log_p, log_q)


def _overlap_variance_bound(R: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(1.0, math.sqrt(2 * math.pi) * math.pi**2 / R**3))


def _scaled_smallest_eigenvalue(R: np.ndarray) -> np.ndarray:
    """NCE's smallest curvature, s = 1, times ``2 exp(R²/8) (1 + R²/4)``, for many R at once.

    The integrals of ``phi(y) sech(R y/2) y^k`` as sums over grids that end where the integrand is below rounding and
    are fine enough for its singularity at ``i pi/R``.
    """
    R = np.abs(R)[:, None]
    half = np.arange(200) * (np.minimum(9.0, 80 / np.maximum(R, 1e-9)) / 199)
    weights = np.exp(-(half**2) / 2 - R * half / 2) / (1 + np.exp(-R * half)) * 2 / math.sqrt(2 * math.pi)
    weights[:, 1:] *= 2  # both sides of 0
    step = half[:, 1]
    mass, second = step * weights.sum(axis=1), step * (weights * half**2).sum(axis=1)
    mean, variance = R[:, 0] / 2, second / mass
    largest = (1 + mean**2 + variance + np.sqrt(_discriminant(mean, variance))) / 2
    return mass * variance / largest * (1 + mean**2)


def _uniform(**ends: tuple[float, float]) -> Callable[[np.random.Generator, int], dict[str, np.ndarray]]:
    return lambda rng, count: {name: rng.uniform(low, high, count) for name, (low, high) in ends.items()}


def _bounds() -> Iterator[Bound]:
    source = "Gaussian example, derived here"
    yield Bound(
        "NCE's smallest curvature, scaled, is at most its bound", source, lambda R: _scaled_smallest_eigenvalue(R),
        lambda R: _overlap_variance_bound(np.abs(R)), _uniform(R=(0.0, 60.0)),
    )  # fmt: skip
    yield Bound(
        "the second moment is at least that at the optimal scale", source,
        lambda theta, s: importance_second_moment(theta, optimal_noise_scale(theta)),
        lambda theta, s: importance_second_moment(theta, s), _uniform(theta=(-12.0, 12.0), s=(0.6, 30.0)),
    )  # fmt: skip
    yield Bound(
        "the second moment at the optimal scale is at most 1 + √(e/2) |theta|", source,
        lambda theta: importance_second_moment(theta, optimal_noise_scale(theta)),
        lambda theta: 1 + math.sqrt(math.e / 2) * np.abs(theta), _uniform(theta=(-100.0, 100.0)),
    )  # fmt: skip


BOUNDS: list[Bound] = list(_bounds())
