"""Energies, samples and stationary points from a reconstruction alone: nothing else need be known of the density.

A regularized auto-encoder's displacement estimates the score, ``(r(x) − x)/σ² ≈ ∇ log p``. Along a path it integrates
to differences of log-density,

    log p(x') − log p(x) ≈ (1/(n σ²)) Σ_i (r(x_i) − x_i)·(x' − x),      x_i = x + (i − ½)/n (x' − x),

which is all that a Metropolis–Hastings chain needs. A reconstruction need not be a gradient field: around a closed loop
the sum measures what depends on the path.

    estimated = log_density_difference(r, x0, x1, sigma)
    samples, acceptance = approximate_mh(r, starts, sigma, 0.3, 400, np.random.default_rng(0))

Source: Alain and Bengio (2014), JMLR 15, sampling by Metropolis–Hastings from a reconstruction.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.optimize import root

from theory.validation import at_least, finite_array, positive, same_shape, whole_number

__all__ = ["approximate_mh", "log_density_difference", "loop_integral", "stationary_points"]

Field = Callable[[Float[np.ndarray, "points dim"]], Float[np.ndarray, "points dim"]]


def log_density_difference(
    reconstruct: Field,
    x0: Float[np.ndarray, "points dim"],
    x1: Float[np.ndarray, "points dim"],
    sigma: float,
    n_points: int = 6,
) -> Float[np.ndarray, " points"]:
    """Estimated ``log p(x1) − log p(x0)`` from the midpoints of ``n_points`` pieces of the segment between them.

    ``sigma`` must be that of training. Raises ``ValueError`` for points that are empty, not finite or of shapes that
    differ, ``sigma <= 0``, ``n_points < 1``, and a reconstruction that returns another shape or is not finite.

    >>> shrink = lambda x: x / (1 + 0.1**2)            # the optimum for a standard normal law
    >>> estimate = log_density_difference(shrink, np.zeros((1, 1)), np.ones((1, 1)), 0.1)
    >>> estimate.round(3).tolist()                     # −½, but for the blur
    [-0.495]
    """
    x0, x1 = finite_array("x0", x0, 2), finite_array("x1", x1, 2)
    same_shape(("x0", "x1"), (x0, x1))
    sigma, n_points = positive("sigma", sigma), whole_number("n_points", n_points, 1)
    return _difference(reconstruct, x0, x1, sigma, n_points)


def approximate_mh(
    reconstruct: Field,
    x0: Float[np.ndarray, "chains dim"],
    sigma: float,
    step: float,
    steps: int,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "chains dim"], float]:
    """Metropolis–Hastings chains whose target is what the reconstruction was trained on: (last states, acceptance).

    Proposals ``x + step · N(0, I)`` are accepted with probability ``min(1, exp(log_density_difference))`` on six
    points; the proposal is symmetric, so that no factor corrects it. ``acceptance`` is the share accepted in all
    steps. Raises ``ValueError`` for starts that are empty or not finite, ``sigma`` or ``step`` not above 0,
    ``steps < 1``, no generator, and a reconstruction that returns another shape or is not finite.

    >>> samples, acceptance = approximate_mh(
    ...     lambda x: x / 1.01, np.zeros((500, 1)), 0.1, 1.0, 60, np.random.default_rng(0))
    >>> bool(abs(samples.std() - 1) < 0.1), 0.6 < acceptance < 0.8
    (True, True)
    """
    state, sigma, step = finite_array("x0", x0, 2), positive("sigma", sigma), positive("step", step)
    steps = whole_number("steps", steps, 1)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy Generator, got {rng!r:.60}")
    accepted = 0
    for _ in range(steps):
        proposal = state + step * rng.standard_normal(state.shape)
        gain = _difference(reconstruct, state, proposal, sigma, 6)
        taken = np.log1p(-rng.random(len(state))) < gain
        state = np.where(taken[:, None], proposal, state)
        accepted += int(taken.sum())
    return state, accepted / (steps * len(state))


def loop_integral(
    reconstruct: Field, corners: Float[np.ndarray, "loops corners dim"], sigma: float, n_points: int = 6
) -> tuple[Float[np.ndarray, " loops"], Float[np.ndarray, "loops corners"]]:
    """The estimated log-density differences along the sides of closed polygons: (their sums, each of them).

    The sums are zero for a gradient field with enough points. Raises ``ValueError`` for fewer than three corners, and
    as ``log_density_difference`` does.
    """
    corners = finite_array("corners", corners, 3)
    if corners.shape[1] < 3:
        raise ValueError(f"corners must have at least three corners per loop, got {corners.shape[1]}")
    sigma, n_points = positive("sigma", sigma), whole_number("n_points", n_points, 1)
    ends = np.roll(corners, -1, axis=1)
    dim = corners.shape[2]
    sides = _difference(reconstruct, corners.reshape(-1, dim), ends.reshape(-1, dim), sigma, n_points)
    sides = sides.reshape(corners.shape[:2])
    return sides.sum(1), sides


def stationary_points(
    score: Field,
    starts: Float[np.ndarray, "starts dim"],
    jacobian: Callable[[Float[np.ndarray, "points dim"]], Float[np.ndarray, "points dim dim"]] | None = None,
    tolerance: float = 1e-6,
    merge: float = 1e-3,
) -> Float[np.ndarray, "found dim"]:
    """Zeros of a score that Powell's hybrid method reaches from ``starts``: modes, saddles and minima of the density.

    Kept where ``|score| < tolerance``, within the box of the starts (far from all data the score of a heavy-tailed law
    is small as well), and once if nearer than ``merge``; in the order in which they are found. Raises ``ValueError``
    for starts that are empty or not finite, negative tolerances, and a score that returns another shape or is not
    finite.

    >>> stationary_points(lambda x: x - x**3, np.array([[-2.0], [0.1], [2.0]])).round(6).tolist()
    [[-1.0], [0.0], [1.0]]
    """
    starts = finite_array("starts", starts, 2)
    tolerance, merge = at_least("tolerance", tolerance, 0), at_least("merge", merge, 0)
    low, high = starts.min(0), starts.max(0)
    found: list[np.ndarray] = []
    for start in starts:
        solution = root(
            lambda z: _checked(score, "score", z[None])[0], start, method="hybr",
            jac=None if jacobian is None else lambda z: jacobian(z[None])[0],
        )  # fmt: skip
        point = solution.x
        inside = (point >= low).all() and (point <= high).all()
        if not inside or np.linalg.norm(_checked(score, "score", point[None])) >= tolerance:
            continue
        if all(np.linalg.norm(point - other) >= merge for other in found):
            found.append(point)
    return np.array(found).reshape(-1, starts.shape[1])


def _difference(reconstruct: Field, x0: np.ndarray, x1: np.ndarray, sigma: float, n_points: int) -> np.ndarray:
    shares = (np.arange(n_points) + 0.5) / n_points
    span = x1 - x0
    points = x0[:, None] + shares[:, None] * span[:, None]
    flat = points.reshape(-1, x0.shape[1])
    displacement = (_checked(reconstruct, "reconstruct", flat) - flat).reshape(points.shape)
    return np.einsum("nmd,nd->n", displacement, span) / (n_points * sigma**2)


def _checked(field: Field, name: str, x: np.ndarray) -> np.ndarray:
    values = np.asarray(field(x), dtype=np.float64)
    if values.shape != x.shape:
        raise ValueError(f"{name} must return the shape of its points {x.shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must return finite values, got others")
    return values
