"""Online gradient descent on regularised squares: why strong growth makes the regret of a regression logarithmic.

Round t brings features phi_t and a target y_t; the learner's theta_t pays

    l_t(theta) = (<phi_t, theta> − y_t)²/2 + (mu/2) |theta|²,    theta_{t+1} = Proj(theta_t − eta_t grad l_t(theta_t)),

Proj onto the ball of some radius, theta_1 = 0. This is the perturbed square loss of a network that is linear in its
parameters (mu = c_p²/sqrt(m), theta the distance to the initialisation). For every theta in the ball

    sum_t l_t(theta_t) − l_t(theta)  <=  sum_t ( (1/eta_t − 1/eta_{t−1} − mu)_+ D_t² + eta_t |g_t|² )/2,

with 1/eta_0 = 0, D_1 the radius and D_t twice the radius later. Steps min(1, 1/(mu t)) remove the first part but for
t = 1, and what is left grows with log T; steps 1/sqrt(t) leave sqrt(T).

    run = online_gradient_descent(features, targets, strength=0.1, radius=4.0, step_sizes=steps)
    run.losses.sum() - best_in_ball(features, targets, 0.1, 4.0).loss

Source: the analysis is that of strongly convex online gradient descent (Hazan, Agarwal and Kale 2007); Deb, Ban, Zuo,
He and Banerjee (2024) extend it to losses with quadratic growth and almost convexity.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from theory.validation import at_least, finite_array, positive

__all__ = ["BallMinimum", "OnlineRun", "best_in_ball", "online_gradient_descent"]

Features = Float[np.ndarray, "rounds parameters"]
Rounds = Float[np.ndarray, " rounds"]


@dataclass(frozen=True)
class OnlineRun:
    """Losses as they were paid, norms of their gradients, and the regret that is guaranteed after each round."""

    losses: np.ndarray
    gradient_norms: np.ndarray
    regret_bound: np.ndarray


@dataclass(frozen=True)
class BallMinimum:
    """The best fixed parameters in hindsight and their total loss."""

    parameters: np.ndarray
    loss: float


def online_gradient_descent(
    features: Features, targets: Rounds, strength: float, radius: float, step_sizes: Rounds
) -> OnlineRun:
    """Projected online gradient descent from 0, one pass over the rounds.

    ``strength`` is mu (0 allowed). Raises ``ValueError`` for lengths that differ, numbers that are not finite, steps or
    a radius not above 0, or a negative strength.

    >>> run = online_gradient_descent(np.ones((3, 1)), np.ones(3), 0.0, 2.0, np.full(3, 0.5))
    >>> run.losses.tolist()
    [0.5, 0.125, 0.03125]
    """
    phi, y = _problem(features, targets)
    mu, radius = at_least("strength", strength, 0.0), positive("radius", radius)
    eta = finite_array("step_sizes", step_sizes, 1)
    if len(eta) != len(y) or eta.min() <= 0:
        raise ValueError(f"step_sizes must be {len(y)} numbers above 0, got {len(eta)} from {eta.min()}")
    theta, losses, norms = np.zeros(phi.shape[1]), np.empty(len(y)), np.empty(len(y))
    for t, (row, target, step) in enumerate(zip(phi, y, eta, strict=True)):
        error = row @ theta - target
        losses[t] = (error * error + mu * (theta @ theta)) / 2
        gradient = error * row + mu * theta
        norms[t] = np.sqrt(gradient @ gradient)
        theta = theta - step * gradient
        length = np.sqrt(theta @ theta)
        if length > radius:
            theta *= radius / length
    inverse = np.concatenate([[0.0], 1 / eta])
    # What rounding leaves where the difference is exactly mu would add up.
    excess = np.diff(inverse) - mu
    excess = np.where(excess > 1e-12 * inverse[1:], excess, 0.0)
    distance = np.where(np.arange(len(y)) == 0, radius, 2 * radius)
    return OnlineRun(losses, norms, np.cumsum(excess * distance**2 + eta * norms**2) / 2)


def best_in_ball(features: Features, targets: Rounds, strength: float, radius: float) -> BallMinimum:
    """The minimum of ``sum_t l_t`` over the ball: ridge regression, with the multiplier that the ball needs.

    Raises ``ValueError`` as ``online_gradient_descent``.

    >>> round(float(best_in_ball(np.ones((4, 1)), np.ones(4), 0.0, 0.5).parameters[0]), 9)
    0.5
    """
    phi, y = _problem(features, targets)
    mu, radius = at_least("strength", strength, 0.0), positive("radius", radius)
    values, vectors = np.linalg.eigh(phi.T @ phi)
    values = np.maximum(values, 0.0) + len(y) * mu
    moment = vectors.T @ (phi.T @ y)
    # Directions without data or regularisation stay at 0: least norm.
    open_ = values > 1e-12 * values.max() if values.max() > 0 else np.zeros(len(values), bool)

    def solution(multiplier: float) -> np.ndarray:
        return np.where(open_, moment / np.where(open_, values + multiplier, 1.0), 0.0)

    multiplier = 0.0
    if np.linalg.norm(solution(0.0)) > radius:
        highest = np.linalg.norm(moment) / radius
        root = brentq(lambda m: np.linalg.norm(solution(m)) - radius, 0.0, highest, xtol=1e-12)
        multiplier = float(np.asarray(root))
    theta = vectors @ solution(multiplier)
    error = phi @ theta - y
    return BallMinimum(theta, float(error @ error + len(y) * mu * (theta @ theta)) / 2)


def _problem(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    phi, y = finite_array("features", features, 2), finite_array("targets", targets, 1)
    if len(phi) != len(y):
        raise ValueError(f"features and targets must have one row per round, got {len(phi)} and {len(y)}")
    return phi, y
