"""The Wasserstein distance between point clouds and between distributions on a line, and what bounds it.

With ``W₁(P, Q) = min E|X − Y|`` over couplings of P and Q, ``TV = ½ ∫|p − q|`` and ``H² = 1 − ∫√(p q)``:

    W₁(Q, Q * N(0, s² I_D)) ≤ s E|N(0, I_D)| ≤ s √D          (the coupling that adds the noise; equality at a point),
    W₁(P, Q) ≤ R TV(P, Q) ≤ R H √(2 − H²) ≤ √2 R H            if both live in a set of diameter R.

Noise leaves every bounded set, yet no tail needs to be cut to use both at once: the projection onto a convex set of
diameter R that holds P and Q shortens distances, keeps P and Q where they are and cannot raise TV. So with noises s, t

    W₁(P, Q) ≤ R TV(P * N(0, s² I), Q * N(0, t² I)) + (s + t) E|N(0, I_D)|.

Source: Villani (2009), *Optimal Transport*, for W₁ ≤ R TV; the last inequality without truncation is derived here.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import gammaln, ndtr

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, in_range, probabilities, same_shape, whole_number

__all__ = [
    "hellinger_distance",
    "mean_gaussian_norm",
    "smoothed_wasserstein1_1d",
    "total_variation",
    "wasserstein1_1d",
    "wasserstein1_assignment",
    "wasserstein1_sieve_bound",
]

Points = Float[np.ndarray, "points dim"]
Atoms = Float[np.ndarray, "*batch atoms"]


def wasserstein1_assignment(a: Points, b: Points) -> float:
    """W₁ of two clouds of equally many points: the mean distance under the best one-to-one assignment.

    O(n³) time, O(n²) memory. Raises ``ValueError`` for clouds that are empty, not finite or of different shapes.

    >>> wasserstein1_assignment(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    2.0
    """
    a, b = finite_array("a", a, 2), finite_array("b", b, 2)
    same_shape(("a", "b"), (a, b))
    distances = cdist(a, b)
    return float(distances[linear_sum_assignment(distances)].mean())


def wasserstein1_1d(
    a: Atoms, b: Float[np.ndarray, "*batch others"],
    a_weights: Atoms | None = None, b_weights: Float[np.ndarray, "*batch others"] | None = None,
) -> Float[np.ndarray, "*batch"]:  # fmt: skip
    """W₁ of distributions with atoms on a line, ``∫ |F_a − F_b|`` along the last axis; equal weights if none given.

    Raises ``ValueError`` for atoms that are empty or not finite, weights that are not distributions or of another
    shape, and batches that differ.

    >>> wasserstein1_1d(np.array([0.0, 1.0]), np.array([0.0, 1.0, 5.0])).round(9).item()
    1.5
    """
    a, b = finite_array("a", a), finite_array("b", b)
    sides = []
    for name, atoms, weights in (("a_weights", a, a_weights), ("b_weights", b, b_weights)):
        if weights is None:
            sides.append(np.full(atoms.shape, 1 / atoms.shape[-1]))
        else:
            sides.append(probabilities(name, weights))
            same_shape((name[0], name), (atoms, sides[-1]))
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"a and b must have the same batch, got shapes {a.shape} and {b.shape}")
    places = np.concatenate([a, b], axis=-1)
    order = np.argsort(places, axis=-1)
    mass = np.take_along_axis(np.concatenate([sides[0], -sides[1]], axis=-1), order, -1).cumsum(-1)
    steps = np.diff(np.take_along_axis(places, order, -1), axis=-1)
    return np.asarray((np.abs(mass[..., :-1]) * steps).sum(-1))


def mean_gaussian_norm(dim: int) -> float:
    """``E|N(0, I_D)| = √2 Γ((D + 1)/2) / Γ(D/2)``, at most √D. Raises ``ValueError`` for ``dim < 1``.

    >>> round(mean_gaussian_norm(1), 6), round(mean_gaussian_norm(2), 6)
    (0.797885, 1.253314)
    """
    whole_number("dim", dim, 1)
    return float(np.sqrt(2) * np.exp(gammaln((dim + 1) / 2) - gammaln(dim / 2)))


def total_variation(p: Atoms, q: Atoms) -> Float[np.ndarray, "*batch"]:
    """``½ Σ |p − q|`` of distributions along the last axis. Raises ``ValueError`` unless both are distributions.

    >>> total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0])).item()
    0.5
    """
    p, q = probabilities("p", p), probabilities("q", q)
    same_shape(("p", "q"), (p, q))
    return np.asarray(0.5 * np.abs(p - q).sum(-1))


def hellinger_distance(p: Atoms, q: Atoms) -> Float[np.ndarray, "*batch"]:
    """``H = √(1 − Σ √(p q)) = √(½ Σ (√p − √q)²)``, in [0, 1], along the last axis.

    Raises ``ValueError`` unless both are distributions of one shape.

    >>> hellinger_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])).item()
    1.0
    """
    p, q = probabilities("p", p), probabilities("q", q)
    same_shape(("p", "q"), (p, q))
    return np.asarray(np.sqrt(0.5 * np.square(np.sqrt(p) - np.sqrt(q)).sum(-1)))


def wasserstein1_sieve_bound(
    hellinger: float, diameter: float, fitted_noise: float, added_noise: float, dim: int
) -> float:
    """``R H √(2 − H²) + (s + t) E|N(0, I_D)|``: how far apart two singular laws can be whose smoothed forms are close.

    ``hellinger`` is the distance of P * N(0, s² I) and Q * N(0, t² I), ``diameter`` that of a convex set with both P
    and Q. Raises ``ValueError`` for a distance outside [0, 1], negative diameter or noise, ``dim < 1``.

    >>> round(wasserstein1_sieve_bound(0.1, 2.0, 0.05, 0.05, 2), 4)
    0.4075
    """
    in_range("hellinger", hellinger, 0, 1)
    at_least("diameter", diameter, 0)
    noise = at_least("fitted_noise", fitted_noise, 0) + at_least("added_noise", added_noise, 0)
    return diameter * hellinger * float(np.sqrt(2 - hellinger**2)) + noise * mean_gaussian_norm(dim)


def smoothed_wasserstein1_1d(
    atoms: Atoms, weights: Atoms, std: Float[np.ndarray, "*batch"] | float
) -> Float[np.ndarray, "*batch"]:
    """W₁ between distributions with atoms on a line and their convolutions with N(0, std²), to machine precision.

    Between two atoms F is constant and the smoothed F increasing, so that ``|F − F * Φ|`` is integrated in closed form
    on both sides of the one place where it can vanish. Raises ``ValueError`` for atoms that are not finite, weights
    that are not distributions of the same shape, and a ``std`` that is not positive.

    >>> smoothed_wasserstein1_1d(np.array([2.0]), np.array([1.0]), 0.5).round(6).item()
    0.398942
    """
    atoms, weights = finite_array("atoms", atoms), probabilities("weights", weights)
    same_shape(("atoms", "weights"), (atoms, weights))
    width = np.broadcast_to(finite_array("std", std), atoms.shape[:-1])[..., None]
    if (width <= 0).any():
        raise ValueError(f"std must be above 0, got {std!r}")
    order = np.argsort(atoms, axis=-1)
    atoms, weights = np.take_along_axis(atoms, order, -1), np.take_along_axis(weights, order, -1)

    def smooth(x: np.ndarray) -> np.ndarray:
        return (weights[..., None, :] * ndtr((x[..., None] - atoms[..., None, :]) / width[..., None])).sum(-1)

    def integral(x: np.ndarray) -> np.ndarray:
        """Of the smoothed distribution function from −∞."""
        u = (x[..., None] - atoms[..., None, :]) / width[..., None]
        density = np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)
        return (weights[..., None, :] * width[..., None] * (u * ndtr(u) + density)).sum(-1)

    left, right = atoms[..., :-1], atoms[..., 1:]
    level = weights.cumsum(-1)[..., :-1]
    low, high = left.copy(), right.copy()
    # The integrand vanishes at the root, so that its error enters squared.
    for _ in range(30):
        middle = 0.5 * (low + high)
        below = smooth(middle) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    at_left, at_root, at_right = integral(left), integral(low), integral(right)
    inside = (level * (low - left) - (at_root - at_left)) + ((at_right - at_root) - level * (right - low))
    before = integral(atoms[..., :1])[..., 0]
    # ∫_b^∞ (1 − G) = ∫_−∞^b G − (b − mean).
    last = atoms[..., -1:]
    after = integral(last)[..., 0] - (last[..., 0] - (weights * atoms).sum(-1))
    return np.asarray(before + inside.sum(-1) + after)


def _line_instances(rng: np.random.Generator, instances: int) -> dict[str, np.ndarray]:
    return {
        "atoms": rng.random((instances, 4)),
        "first": rng.dirichlet(np.full(4, 0.5), instances),
        "second": rng.dirichlet(np.full(4, 0.5), instances),
        "fitted": np.exp(rng.uniform(np.log(0.05), 0, instances)),
        "added": np.exp(rng.uniform(np.log(0.05), 0, instances)),
    }


def _distributions(weights: np.ndarray) -> np.ndarray:
    """The search moves weights freely: what is evaluated are distributions."""
    mass = np.abs(weights) + 1e-12
    return mass / mass.sum(-1, keepdims=True)


def _smoothing(atoms, first, second, fitted, added):
    return smoothed_wasserstein1_1d(atoms, _distributions(first), np.maximum(np.abs(added), 1e-3))


def _smoothing_bound(atoms, first, second, fitted, added):
    return np.maximum(np.abs(added), 1e-3) * mean_gaussian_norm(1)


def _diameter_bound(atoms, first, second, fitted, added):
    return np.ptp(atoms, axis=-1) * total_variation(_distributions(first), _distributions(second))


def _transport(atoms, first, second, fitted, added):
    return wasserstein1_1d(atoms, atoms, _distributions(first), _distributions(second))


def _variation(atoms, first, second, fitted, added):
    return total_variation(_distributions(first), _distributions(second))


def _hellinger_bound(atoms, first, second, fitted, added):
    h = hellinger_distance(_distributions(first), _distributions(second))
    return h * np.sqrt(2 - h**2)


def _sieve_bound(atoms, first, second, fitted, added):
    s, t = np.clip(np.abs(fitted), 0.02, 3), np.clip(np.abs(added), 0.02, 3)
    reach = 8 * np.maximum(s, t)
    low, high = atoms.min(-1) - reach, atoms.max(-1) + reach
    x = np.linspace(low, high, 160, axis=-1)
    p, q = _mixture(x, atoms, _distributions(first), s), _mixture(x, atoms, _distributions(second), t)
    squared = np.clip(1 - np.sqrt(p * q).sum(-1) * (high - low) / 159, 0, 1)
    return np.ptp(atoms, axis=-1) * np.sqrt(squared * (2 - squared)) + (s + t) * mean_gaussian_norm(1)


def _mixture(x: np.ndarray, atoms: np.ndarray, weights: np.ndarray, std: np.ndarray) -> np.ndarray:
    density = np.zeros_like(x)
    for k in range(atoms.shape[-1]):
        density += weights[:, k, None] * np.exp(-0.5 * ((x - atoms[:, k, None]) / std[:, None]) ** 2)
    return density / (std * np.sqrt(2 * np.pi))[:, None]


_SOURCE = "Chae, Kim, Kim and Lin (2023); standard inequalities, the last without truncation"
BOUNDS = [
    Bound("W1(Q, Q * N(0, s^2)) <= s E|N|", _SOURCE, _smoothing, _smoothing_bound, _line_instances),
    Bound("W1 <= R TV", _SOURCE, _transport, _diameter_bound, _line_instances),
    Bound("TV <= H sqrt(2 - H^2)", _SOURCE, _variation, _hellinger_bound, _line_instances),
    Bound("W1 <= R H sqrt(2 - H^2) + (s + t) E|N|", _SOURCE, _transport, _sieve_bound, _line_instances),
]
