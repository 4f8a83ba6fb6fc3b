"""Gradient descent with weights from the losses: how a reweighting moves the convergence bound.

f_1 … f_M are convex and L-smooth and share a minimiser theta* (interpolation). Steps go along the weighted gradient,

    theta_{t+1} = theta_t − eta sum_i w_i^t grad f_i(theta_t),        w^t in the simplex, computed from the losses

With gaps g_i = f_i(theta_t) − f_i(theta*), D_t = ||theta_t − theta*|| and F the plain mean,

    D_{t+1}² ≤ D_t² − 2 eta (1 − eta L) sum_i w_i g_i                                     for 0 < eta < 1/L
    mean_t F(theta_t) − F* ≤ D_0² / (2 eta (1 − eta L) T) − mean_t delta_t,     delta_t = sum_i (w_i − 1/M) g_i

delta_t, M times the covariance of weights and gaps, is what a reweighting gains. By Chebyshev's sum inequality it is
never negative where weights grow with the loss (``linupper``, ``upper``; equal minima f_i(theta*)), never positive
where they fall, and of either sign for ``quadratic`` and ``extremes``.

Co-coercivity, ``grad f·(theta − theta*) ≥ g + ||grad f||²/(2L)``, gives more for the same premises: the factor
1 − eta L is not needed, so that at eta = 1/(2L) the first term halves, and steps up to 2/L are covered,

    D_{t+1}² ≤ D_t² − 2 eta min(1, 2 − eta L) sum_i w_i g_i                                for 0 < eta < 2/L

which Huber's function attains at eta = 1/L with equality in every step (``tight_instance``).

    path = reweighted_gd(X, y, "linupper", r=1.0, eta=0.5, T=300)
    path["loss"].mean() <= bound(path["dist"][0] ** 2, 0.5, 1.0, path["delta"])

Source: Sow, Woisetschläger, Bulusu, Wang, Jacobsen and Liang (2025), *Dynamic Loss-Based Sample Reweighting for
Improved Large Language Model Pretraining*: convergence of loss-based reweighting in the convex interpolation setting.
Both inequalities are derived here in this form; the second is ours. Weights: ``theory.optimization.loss_weights``.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.optimization.loss_weights import (
    STRATEGIES,
    Losses,
    Strategy,
    cap_temperature,
    certify_cap,
    kl_dro_solution,
    kl_dro_value,
    lockstep_weights,
    normalize_losses,
    sample_weights,
    strategy_score,
    weight_bounds,
    weights_of_rows,
)
from theory.validation import finite_array, one_of, positive, probabilities, same_shape, whole_number

__all__ = [
    "STRATEGIES",
    "bound",
    "cap_temperature",
    "certify_cap",
    "correlation_gain",
    "kl_dro_solution",
    "kl_dro_value",
    "lockstep_sgd",
    "lockstep_weights",
    "normalize_losses",
    "reweighted_gd",
    "sample_weights",
    "sharp_bound",
    "strategy_score",
    "tight_instance",
    "weight_bounds",
]

Path = dict[str, Float[np.ndarray, "..."]]


def correlation_gain(weights: Losses, gaps: Losses) -> float:
    """``delta = sum_i (w_i − 1/M) g_i``, M times the covariance of weights and gaps: by how much the bound tightens.

    Raises ``ValueError`` for weights that are not a distribution, gaps that are not finite, or lengths that differ.

    >>> correlation_gain(np.array([0.25, 0.75]), np.array([0.0, 2.0]))
    0.5
    """
    w, g = probabilities("weights", weights, 1), finite_array("gaps", gaps, 1)
    same_shape(("weights", "gaps"), (w, g))
    return float((w - 1 / len(w)) @ g)


def bound(D0_sq: float, eta: float, L: float, deltas: Float[np.ndarray, " steps"]) -> float:
    """``D_0² / (2 eta (1 − eta L) T) − mean_t delta_t``: bounds the mean over steps of F(theta_t) − F*.

    Raises ``ValueError`` for ``D0_sq`` negative, eta or L not above 0, ``eta L ≥ 1``, or deltas that are not a vector
    of finite numbers.

    >>> bound(2.0, eta=0.5, L=1.0, deltas=np.array([0.0, 0.1, 0.1, 0.2]))
    0.9
    """
    D0_sq, eta, L, deltas = _bound_arguments(D0_sq, eta, L, deltas)
    if eta * L >= 1:
        raise ValueError(f"eta must be below 1/L = {1 / L:g}, got {eta}")
    return float(D0_sq / (2 * eta * (1 - eta * L) * len(deltas)) - deltas.mean())


def sharp_bound(D0_sq: float, eta: float, L: float, deltas: Float[np.ndarray, " steps"]) -> float:
    """``D_0² / (2 eta min(1, 2 − eta L) T) − mean_t delta_t``: the same by co-coercivity, for steps up to 2/L.

    Attained by ``tight_instance``. Raises ``ValueError`` as ``bound``, but for ``eta L ≥ 2``.

    >>> sharp_bound(2.0, eta=0.5, L=1.0, deltas=np.array([0.0, 0.1, 0.1, 0.2]))
    0.4
    """
    D0_sq, eta, L, deltas = _bound_arguments(D0_sq, eta, L, deltas)
    if eta * L >= 2:
        raise ValueError(f"eta must be below 2/L = {2 / L:g}, got {eta}")
    return float(D0_sq / (2 * eta * min(1.0, 2 - eta * L) * len(deltas)) - deltas.mean())


def tight_instance(T: int, L: float = 1.0) -> tuple[float, float, Float[np.ndarray, " steps"]]:
    """Squared start distance, step size and gaps of descent on Huber's function, for which ``sharp_bound`` is equality.

    f(x) = L x²/2 within 1 of its minimum and L (|x| − 1/2) beyond. From x = T, steps of size 1/L go down by 1 each and
    end at the minimum after T of them. Raises ``ValueError`` for T below 1 or L not above 0.

    >>> D0_sq, eta, gaps = tight_instance(5)
    >>> float(gaps.mean()), sharp_bound(D0_sq, eta, 1.0, np.zeros(5))
    (2.5, 2.5)
    """
    T, L = whole_number("T", T, 1), positive("L", L)
    x = np.empty(T)
    position = float(T)
    for t in range(T):
        x[t] = position
        position -= (1 / L) * L * float(np.clip(position, -1.0, 1.0))
    gaps = L * np.where(np.abs(x) <= 1, x**2 / 2, np.abs(x) - 0.5)
    return float(T) ** 2, 1 / L, gaps


def reweighted_gd(
    X: Float[np.ndarray, "samples dim"],
    y: Losses,
    strategy: Strategy,
    r: float,
    eta: float,
    T: int,
    batch: int | None = None,
    rng: np.random.Generator | None = None,
) -> Path:
    """Least squares, ``f_i = (x_i·theta − y_i)²/2``, from theta = 0 with weights from the losses of every step.

    Each step uses all samples, or ``batch`` drawn without replacement by ``rng`` (default: seed 0). Returns arrays with
    one entry per step: ``loss`` (plain mean of the batch's losses before the step), ``weighted`` (their weighted mean),
    ``delta`` (weighted less plain) and ``dist`` (||theta_t − theta*||, T + 1 of them, to the least-squares solution of
    least norm); and ``theta`` (T + 1, dim). Raises ``ValueError`` for arrays that do not fit or are not finite, an
    unknown strategy, r or eta not above 0, T or batch below 1, or a batch beyond the samples.

    >>> path = reweighted_gd(np.eye(2), np.array([1.0, 2.0]), "linupper", r=1.0, eta=0.5, T=3)
    >>> path["loss"].round(4).tolist()
    [1.25, 0.5898, 0.3024]
    """
    one_of("strategy", strategy, STRATEGIES)
    names, rs = np.asarray([strategy]), np.asarray([positive("r", r)])
    X, y = _regression(X, y, 1)
    path = _descend(
        X, y[None], lambda losses, _: weights_of_rows(losses, names, rs), np.asarray([positive("eta", eta)]),
        whole_number("T", T, 1), _batch_size(batch, len(X)), np.random.default_rng(0) if rng is None else rng,
    )  # fmt: skip
    return {name: values[:, 0] for name, values in path.items()}


def lockstep_sgd(
    X: Float[np.ndarray, "samples dim"],
    y: Float[np.ndarray, "models samples"],
    weighting: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    eta: Float[np.ndarray, " models"],
    T: int,
    batch: int | None = None,
    rng: np.random.Generator | None = None,
) -> Path:
    """``reweighted_gd`` of many models at once, which see the same batches: arrays are (steps, models …).

    ``weighting(losses, rng)`` turns the (models, batch) losses into weights, for example by ``lockstep_weights``; its
    rng is not the one that draws batches. Raises ``ValueError`` as ``reweighted_gd``, and for weights of another shape.
    """
    X, y = _regression(X, y, 2)
    etas = finite_array("eta", eta, 1)
    if len(etas) != len(y) or etas.min() <= 0:
        raise ValueError(f"eta must hold a step above 0 for each of the {len(y)} models, got {eta!r:.60}")
    T, size = whole_number("T", T, 1), _batch_size(batch, len(X))
    return _descend(X, y, weighting, etas, T, size, np.random.default_rng(0) if rng is None else rng)


def _descend(
    X: np.ndarray,
    y: np.ndarray,
    weighting: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    eta: np.ndarray,
    T: int,
    batch: int | None,
    rng: np.random.Generator,
) -> Path:
    models, dim = len(y), X.shape[1]
    optimum = (np.linalg.pinv(X) @ y.T).T
    own = np.random.default_rng(rng.integers(2**63))
    theta = np.zeros((T + 1, models, dim))
    loss, weighted = np.empty((T, models)), np.empty((T, models))
    rows, targets = X, y
    for t in range(T):
        if batch is not None:
            chosen = rng.choice(len(X), batch, replace=False)
            rows, targets = X[chosen], y[:, chosen]
        residuals = theta[t] @ rows.T - targets
        losses = residuals**2 / 2
        w = weighting(losses, own)
        if w.shape != losses.shape:
            raise ValueError(f"weighting must return weights of shape {losses.shape}, got {w.shape}")
        loss[t], weighted[t] = losses.mean(axis=1), (w * losses).sum(axis=1)
        theta[t + 1] = theta[t] - eta[:, None] * ((w * residuals) @ rows)
    distance = np.linalg.norm(theta - optimum, axis=2)
    return {"loss": loss, "weighted": weighted, "delta": weighted - loss, "dist": distance, "theta": theta}


def _regression(X: np.ndarray, y: np.ndarray, axes: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = finite_array("X", X, 2), finite_array("y", y, axes)
    if y.shape[-1] != len(X):
        raise ValueError(f"X and y must have as many samples, got shapes {X.shape} and {y.shape}")
    return X, y


def _batch_size(batch: int | None, samples: int) -> int | None:
    if batch is not None and whole_number("batch", batch, 1) > samples:
        raise ValueError(f"batch must be at most the {samples} samples, got {batch}")
    return batch


def _bound_arguments(D0_sq: float, eta: float, L: float, deltas: np.ndarray) -> tuple[float, float, float, np.ndarray]:
    start = float(finite_array("D0_sq", D0_sq, 0))
    if start < 0:
        raise ValueError(f"D0_sq must not be negative, got {D0_sq!r}")
    return start, positive("eta", eta), positive("L", L), finite_array("deltas", deltas, 1)


def _steps(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """One step on four Huber functions of random directions: position, directions, widths, weights and step size."""
    return {
        "theta": rng.normal(size=(count, 3)) * 10.0 ** rng.uniform(-1, 1, (count, 1)),
        "directions": rng.normal(size=(count, 4, 3)),
        "widths": 10.0 ** rng.uniform(-2, 1, (count, 4)),
        "weights": rng.dirichlet(np.full(4, 0.3), count),
        "step": rng.uniform(0.01, 1.9, count),
    }


def _after_step(theta, directions, widths, weights, step) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance after the step and the weighted gap before it; L = 1 and theta* = 0."""
    units = directions / np.linalg.norm(directions, axis=2, keepdims=True)
    along = np.einsum("nid,nd->ni", units, theta)
    slopes = np.clip(along, -widths, widths)
    gaps = np.where(np.abs(along) <= widths, along**2 / 2, widths * (np.abs(along) - widths / 2))
    moved = theta - step[:, None] * np.einsum("ni,nid->nd", weights * slopes, units)
    return (moved**2).sum(axis=1), (weights * gaps).sum(axis=1)


def _decrease(**step: np.ndarray) -> np.ndarray:
    """By how much the squared distance falls."""
    return (step["theta"] ** 2).sum(axis=1) - _after_step(**step)[0]


BOUNDS = [
    Bound(
        "a weighted step contracts as the convergence bound needs", "convergence of loss-based reweighting",
        lambda **step: step["step"] * (1 - step["step"] / 2) * _after_step(**step)[1],
        lambda **step: _decrease(**{**step, "step": step["step"] / 2}),
        _steps,
    ),
    Bound(
        "a weighted step contracts as the sharper bound needs", "co-coercivity, derived here",
        lambda **step: 2 * step["step"] * np.minimum(1.0, 2 - step["step"]) * _after_step(**step)[1],
        _decrease,
        _steps,
    ),
]  # fmt: skip
