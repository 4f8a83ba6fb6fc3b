"""What auto-encoders learn from small noise, or from a penalty on the Jacobian of the whole reconstruction.

For data with density p and score ``S = ∇ log p``, a reconstruction r that minimises one of

    denoising     L_D(r) = E |r(x + e) − x|²,  e ~ N(0, σ² I)
    contractive   L_C(r) = E |r(x) − x|² + σ² E |∂r(x)|²_F

is displaced along the score, whatever the architecture:

    r_D = x + σ² ∇ log p_σ = x + σ² S + σ⁴ (ΔS/2 + ∂S S) + O(σ⁶),      p_σ = p * N(0, σ² I)   (the first is exact)
    r_C = x + σ² (Δr_C + ∂r_C S)     = x + σ² S + σ⁴ (ΔS + ∂S S) + O(σ⁶).

For a fixed smooth r the two losses differ by ``σ² E (r(x) − x)·Δr(x) + O(σ⁴)``: by as much as the penalty itself. Only
where the displacement vanishes with σ, as it does at the optimum, is the difference of smaller order.

    r = optimal_dae(density, x, sigma)              # by quadrature, up to three dimensions
    r = optimal_rcae_1d(grid, density(grid), sigma)

Source: Alain and Bengio (2014), JMLR 15; both fourth-order terms and the difference of the losses are derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_banded
from scipy.special import logsumexp

from theory.validation import finite_array, one_of, positive

__all__ = [
    "AffineReconstruction",
    "KnownScore",
    "LossGap",
    "Regularization",
    "gaussian_reconstruction",
    "loss_gap_1d",
    "optimal_dae",
    "optimal_rcae_1d",
    "reconstruction_expansion",
]

Regularization = Literal["denoising", "contractive"]
Density = Callable[[Float[np.ndarray, "points dim"]], Float[np.ndarray, " points"]]
Function = Callable[[Float[np.ndarray, " points"]], Float[np.ndarray, " points"]]

_REACH, _NODES = 8.0, 97  # of the noise, in standard deviations; nodes per axis
_ROUNDS = 200
_PAIRS_AT_ONCE = 2**21


@runtime_checkable
class KnownScore(Protocol):
    """A density with the score and its derivatives, such as ``theory.density.isotropic_mixture.IsotropicMixture``."""

    def score(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim"]:
        """∇ log p."""
        ...

    def score_jacobian(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim dim"]:
        """Its Jacobian."""
        ...

    def score_laplacian(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim"]:
        """The Laplacian of each of its components."""
        ...


def optimal_dae(
    p: Density | tuple[np.ndarray, np.ndarray], x: Float[np.ndarray, "points dim"], sigma: float
) -> Float[np.ndarray, "points dim"]:
    """The best denoiser, ``E[X | X + e = x] = ∫ (x − e) p(x − e) φ_σ(e) de / ∫ p(x − e) φ_σ(e) de``.

    ``p`` is a density that takes (points, dim), up to a factor; the integral is a product rule that resolves
    structure as fine as 0.2 σ and follows the posterior where it lies far from x, in up to three dimensions. Or ``p``
    is a pair of nodes and the density there, nodes (nodes,) in increasing order, or (nodes, dim) of equal cells, as
    fine as σ/2 and as wide as the posterior. Raises ``ValueError`` for arrays that are empty, not finite
    or do not match, negative densities, densities that vanish around a point, and ``sigma <= 0``.

    >>> normal = lambda x: np.exp(-0.5 * np.square(x).sum(1))
    >>> optimal_dae(normal, np.array([[3.0]]), 1.0).round(12).tolist()
    [[1.5]]
    """
    x, sigma = finite_array("x", x, 2), positive("sigma", sigma)
    if callable(p):
        return _posterior_mean_of_density(p, x, sigma)
    if not isinstance(p, tuple) or len(p) != 2:
        raise ValueError(f"p must be a density or a pair of nodes and values, got {type(p).__name__}")
    nodes, log_masses = _tabulated(*p)
    if nodes.shape[1] != x.shape[1]:
        raise ValueError(f"x must have {nodes.shape[1]} columns, as the nodes of p, got {x.shape[1]}")
    means = np.empty_like(x)
    rows = max(1, _PAIRS_AT_ONCE // len(nodes))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        squared = np.square(part[:, None] - nodes).sum(2)
        means[start : start + rows] = _weighted_mean(log_masses - 0.5 * squared / sigma**2, nodes[None])
    return means


def optimal_rcae_1d(
    grid: Float[np.ndarray, " nodes"], p: Float[np.ndarray, " nodes"], sigma: float
) -> Float[np.ndarray, " nodes"]:
    """The minimiser of ``L_C`` on a line, at the nodes of a grid that covers the support.

    Solves ``p (r − x) = σ² (p r')'`` with the natural boundary ``p r' = 0`` by one tridiagonal system; the error is of
    the order of the squared spacing. ``p`` counts up to a factor and is taken as at least 1e-300 of its maximum.
    Raises ``ValueError`` unless the grid has at least three nodes in increasing order, ``p`` is as long, finite, at
    least 0 and not all 0, and ``sigma > 0``.

    >>> grid = np.linspace(-12, 12, 24_001)
    >>> r = optimal_rcae_1d(grid, np.exp(-0.5 * grid**2), 1.0)      # r(x) = x/(1 + σ²)
    >>> float(r[15_000].round(5)), float(grid[15_000])
    (1.5, 3.0)
    """
    grid, sigma = _increasing("grid", grid, 3), positive("sigma", sigma)
    p = _density_values("p", p, len(grid))
    log_p = np.log(np.maximum(p / p.max(), 1e-300))
    steps = np.diff(grid)
    # Minimises Σ m_i (r_i − x_i)² + σ² Σ p_{i+½} (r_{i+1} − r_i)²/h_i; rows are divided by p_i, so that nothing
    # underflows, and the density between two nodes is their geometric mean, which depends on ratios alone.
    half = 0.5 * np.diff(log_p)
    cells = 0.5 * (np.concatenate([[0.0], steps]) + np.concatenate([steps, [0.0]]))
    to_next = sigma**2 * np.exp(half) / (steps * cells[:-1])
    to_previous = sigma**2 * np.exp(-half) / (steps * cells[1:])
    bands = np.zeros((3, len(grid)))
    bands[1] = 1.0
    bands[1, :-1] += to_next
    bands[1, 1:] += to_previous
    bands[0, 1:], bands[2, :-1] = -to_next, -to_previous
    return solve_banded((1, 1), bands, grid)


@dataclass(frozen=True)
class AffineReconstruction:
    """``r(x) = matrix x + offset`` for points in rows."""

    matrix: Float[np.ndarray, "dim dim"]
    offset: Float[np.ndarray, " dim"]

    def __call__(self, x: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "points dim"]:
        """The reconstruction of points."""
        return finite_array("x", x, 2) @ self.matrix.T + self.offset


def gaussian_reconstruction(
    mu: Float[np.ndarray, " dim"], Sigma: Float[np.ndarray, "dim dim"], sigma: float
) -> AffineReconstruction:
    """The optimum of both losses for data ``N(mu, Sigma)``: ``mu + Sigma (Sigma + σ² I)⁻¹ (x − mu)``.

    Raises ``ValueError`` unless ``Sigma`` is symmetric, positive semi-definite and as large as ``mu``, and
    ``sigma > 0``.

    >>> gaussian_reconstruction(np.zeros(1), np.eye(1), 1.0)(np.array([[3.0]])).tolist()
    [[1.5]]
    """
    mu, Sigma = finite_array("mu", mu, 1), finite_array("Sigma", Sigma, 2)
    if Sigma.shape != (len(mu), len(mu)):
        raise ValueError(f"Sigma must be ({len(mu)}, {len(mu)}) for this mu, got {Sigma.shape}")
    scale = np.abs(Sigma).max()
    if np.abs(Sigma - Sigma.T).max() > 1e-10 * scale:
        raise ValueError("Sigma must be symmetric, got differences above rounding")
    values, vectors = np.linalg.eigh(0.5 * (Sigma + Sigma.T))
    if values.min() < -1e-10 * scale:
        raise ValueError(f"Sigma must be positive semi-definite, got the eigenvalue {values.min():g}")
    values = np.maximum(values, 0)
    matrix = (vectors * (values / (values + positive("sigma", sigma) ** 2))) @ vectors.T
    return AffineReconstruction(matrix, mu - matrix @ mu)


def reconstruction_expansion(
    density: KnownScore, x: Float[np.ndarray, "points dim"], sigma: float, regularization: Regularization
) -> Float[np.ndarray, "points dim"]:
    """Either optimum up to terms of order σ⁶: ``x + σ² S + σ⁴ (c ΔS + ∂S S)``, c = ½ (denoising) or 1 (contractive).

    The two agree to this order exactly where the Laplacian of the score vanishes, as it does for a Gaussian. Raises
    ``ValueError`` for points that are not finite (points, dim), ``sigma <= 0`` or another word.

    Source: derived here, from Tweedie's formula and from the Euler–Lagrange equation of ``L_C``.
    """
    x, sigma = finite_array("x", x, 2), positive("sigma", sigma)
    one_of("regularization", regularization, get_args(Regularization))
    share = 0.5 if regularization == "denoising" else 1.0
    score = density.score(x)
    fourth = share * density.score_laplacian(x) + np.einsum("nij,nj->ni", density.score_jacobian(x), score)
    return x + sigma**2 * score + sigma**4 * fourth


@dataclass(frozen=True)
class LossGap:
    """``gap = L_D − L_C`` and the term ``σ² E (r(x) − x) r''(x)`` that explains its first order."""

    denoising: float
    contractive: float
    gap: float
    laplacian_term: float


def loss_gap_1d(
    grid: Float[np.ndarray, " nodes"],
    p: Float[np.ndarray, " nodes"],
    displacement: Function,
    slope: Function,
    curvature: Function,
    sigma: float,
) -> LossGap:
    """Both losses of a reconstruction ``r = x + g(x)`` on a line, by quadrature, and their difference.

    ``displacement``, ``slope`` and ``curvature`` are g, g' and g''. The difference is integrated as
    ``2 (E_e e g(x + e) − σ² g') + E_e g(x + e)² − g² − σ² g'²``, from which the terms of order 1 are gone, so that it
    keeps its digits where it is as small as σ⁸. Raises ``ValueError`` for a grid with fewer than three nodes or not in
    increasing order, a density that does not match it, is negative or all 0, functions that return another shape or
    values that are not finite, and ``sigma <= 0``.

    >>> grid = np.linspace(-9, 9, 2001)
    >>> minus_one = lambda x: -np.ones_like(x)
    >>> found = loss_gap_1d(grid, np.exp(-0.5 * grid**2), lambda x: -x, minus_one, np.zeros_like, 0.1)
    >>> round(found.denoising, 6), abs(found.gap) < 1e-12      # r = 0: no slope, and noise does not matter
    (1.0, True)
    """
    grid, sigma = _increasing("grid", grid, 3), positive("sigma", sigma)
    p = _density_values("p", p, len(grid))
    weights = p * _trapezoid(grid)
    weights /= weights.sum()
    noise, shares = np.polynomial.hermite_e.hermegauss(48)
    noise, shares = sigma * noise, shares / shares.sum()
    g, first, second = (
        _evaluated(name, function, grid)
        for name, function in (("displacement", displacement), ("slope", slope), ("curvature", curvature))
    )
    moved = _evaluated("displacement", displacement, (grid + noise[:, None]).ravel()).reshape(len(noise), -1)
    # Differences from g(x) before the sum: neither mean loses digits to a displacement that is large.
    change = moved - g
    linear = shares @ (noise[:, None] * change) - sigma**2 * first
    square = shares @ (change * (2 * g + change)) - sigma**2 * first**2
    gap = float(weights @ (2 * linear + square))
    contractive = float(weights @ (g**2 + sigma**2 * (1 + first) ** 2))
    return LossGap(contractive + gap, contractive, gap, float(sigma**2 * (weights @ (g * second))))


def _posterior_mean_of_density(p: Density, x: np.ndarray, sigma: float) -> np.ndarray:
    dim = x.shape[1]
    if dim > 3:
        raise ValueError(f"x must have at most three columns for a density, got {dim}: give nodes and values")
    axis = np.linspace(-_REACH, _REACH, _NODES)
    offsets = sigma * np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    rim = np.abs(offsets).max(1) >= sigma * (_REACH - 0.5)
    centres, means = x.copy(), np.empty_like(x)
    pending = np.arange(len(x))
    rows = max(1, _PAIRS_AT_ONCE // len(offsets))
    for _ in range(_ROUNDS):
        unsettled = []
        for start in range(0, len(pending), rows):
            which = pending[start : start + rows]
            points = centres[which, None] + offsets
            values = np.asarray(p(points.reshape(-1, dim)), dtype=np.float64)
            if values.shape != (points.shape[0] * points.shape[1],):
                raise ValueError(f"p must return one value per point, got shape {values.shape}")
            if not np.isfinite(values).all() or values.min() < 0:
                raise ValueError("p must be finite and at least 0, got other values")
            with np.errstate(divide="ignore"):
                logs = np.log(values).reshape(points.shape[:2])
            logs -= 0.5 * np.square(points - x[which, None]).sum(2) / sigma**2
            means[which] = _weighted_mean(logs, points)
            on_rim, everywhere = (np.asarray(logsumexp(part, axis=1)) for part in (logs[:, rim], logs))
            outside = np.exp(on_rim - everywhere) > 1e-12
            unsettled.append(which[outside & (np.abs(means[which] - centres[which]).max(1) > 1e-9 * sigma)])
        pending = np.concatenate(unsettled)
        if not len(pending):
            break
        centres[pending] = means[pending]
    return means


def _weighted_mean(logs: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    largest = logs.max(1, keepdims=True)
    if not np.isfinite(largest).all():
        raise ValueError("p must be above 0 somewhere around every point, got 0 everywhere")
    weights = np.exp(logs - largest)
    return np.einsum("nm,nmd->nd", weights, np.broadcast_to(nodes, (*logs.shape, nodes.shape[-1]))) / weights.sum(
        1, keepdims=True
    )


def _tabulated(grid: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (nodes, dim) and the logarithms of their masses."""
    nodes = finite_array("p's nodes", grid)
    if nodes.ndim == 1:
        nodes = _increasing("p's nodes", nodes, 2)
        cells, nodes = _trapezoid(nodes), nodes[:, None]
    elif nodes.ndim == 2:
        cells = np.ones(len(nodes))
    else:
        raise ValueError(f"p's nodes must be (nodes,) or (nodes, dim), got shape {nodes.shape}")
    with np.errstate(divide="ignore"):
        return nodes, np.log(_density_values("p's values", values, len(nodes))) + np.log(cells)


def _trapezoid(grid: np.ndarray) -> np.ndarray:
    steps = np.diff(grid)
    return 0.5 * (np.concatenate([[0.0], steps]) + np.concatenate([steps, [0.0]]))


def _increasing(name: str, grid: Any, nodes: int) -> np.ndarray:
    grid = finite_array(name, grid, 1)
    if len(grid) < nodes or (np.diff(grid) <= 0).any():
        raise ValueError(f"{name} must have at least {nodes} nodes in increasing order, got {grid!r:.60}")
    return grid


def _density_values(name: str, values: Any, length: int) -> np.ndarray:
    values = finite_array(name, values, 1)
    if len(values) != length:
        raise ValueError(f"{name} must have one value per node ({length}), got {len(values)}")
    if values.min() < 0 or values.max() == 0:
        raise ValueError(f"{name} must be at least 0 and not all 0, got {values.min()} … {values.max()}")
    return values


def _evaluated(name: str, function: Function, x: np.ndarray) -> np.ndarray:
    if not callable(function):
        raise ValueError(f"{name} must be a function, got {function!r:.60}")
    values = np.asarray(function(x), dtype=np.float64)
    if values.shape != x.shape or not np.isfinite(values).all():
        raise ValueError(f"{name} must return a finite value per point, got shape {values.shape}")
    return values
