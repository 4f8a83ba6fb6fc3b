"""The localised ramp loss of a halfspace, and descent on it: nonconvex, but its stationary points are informative.

Points x in R^d with labels y in {−1, 1} (or their conditional means in [−1, 1]), a direction w, a width sigma:

    L_sigma(w) = mean ramp(−y <w, x> / |w|),     ramp' = k_sigma(t) = max(0, 1 − |t|/sigma) / sigma,
    grad L_sigma(w) = −mean k_sigma(<w, x>) y (x − <w, x> w)                            at unit w, on the sphere.

The kernel is even and integrates to 1, so that the loss tends to the share of errors as sigma tends to 0; only points
in the strip ``|<w, x>| < sigma`` are felt. Where the gradient is small, w is close to the best halfspace, if the
points in the strip spread as those of a Gaussian do (``halfspace_certificates``).

    path = localized_sgd(X, y, sigmas=(0.8, 0.4, 0.2, 0.1))     # one unit vector for each width

Source: Gollakota, Klivans, Stavropoulos and Vasilyan (2023), *An Efficient Tester-Learner for Halfspaces*, who descend
on such a loss, after Diakonikolas, Kontonis, Tzamos and Zarifis (2020). The triangular kernel and the schedule are
ours.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from theory.validation import finite_array, positive, whole_number

__all__ = ["localized_sgd", "ramp_grad", "ramp_loss", "triangle_kernel"]

Points = Float[np.ndarray, "samples dim"]
Labels = Float[np.ndarray, " samples"] | Int[np.ndarray, " samples"]
Vector = Float[np.ndarray, " dim"]
Weights = Float[np.ndarray, " samples"]

_STEP, _DECAY = 1.5, 20.0


def triangle_kernel(t: Float[np.ndarray, "..."], sigma: float) -> Float[np.ndarray, "..."]:
    """``max(0, 1 − |t|/sigma) / sigma``: even, integrates to 1, at most 1/sigma.

    Raises ``ValueError`` for values that are not finite or ``sigma <= 0``.

    >>> triangle_kernel(np.array([0.0, 0.25, -3.0]), sigma=0.5).tolist()
    [2.0, 1.0, 0.0]
    """
    return _kernel(finite_array("t", t), positive("sigma", sigma))


def ramp_loss(w: Vector, X: Points, y: Labels, sigma: float, *, weights: Weights | None = None) -> float:
    """``L_sigma(w)`` in [0, 1]; ``weights`` (at least 0, summing to 1) replace the mean.

    Only the direction of w matters. Labels may be conditional means ``E[y | x]``: the loss is linear in them. Raises
    ``ValueError`` for w = 0, labels outside [−1, 1], ``sigma <= 0``, values that are not finite or shapes that
    disagree.

    >>> ramp_loss(np.array([2.0, 0.0]), np.array([[1.0, 0.0], [0.1, 5.0]]), np.array([1, 1]), sigma=0.2)
    0.0625
    """
    w, X, y, weights = checked_problem(w, X, y, weights)
    u = np.clip(X @ w / positive("sigma", sigma), -1.0, 1.0)
    return float(0.5 - weights @ (y * u * (1 - np.abs(u) / 2)))


def ramp_grad(w: Vector, X: Points, y: Labels, sigma: float, *, weights: Weights | None = None) -> Vector:
    """The Riemannian gradient of ``L_sigma`` at ``w/|w|``: orthogonal to w, of length at most ``max |x| / sigma``.

    Arguments and errors as ``ramp_loss``.

    >>> ramp_grad(np.array([1.0, 0.0]), np.array([[0.0, 2.0]]), np.array([1]), sigma=0.5)[1].item()
    -4.0
    """
    w, X, y, weights = checked_problem(w, X, y, weights)
    return gradient(w, X, y * weights, positive("sigma", sigma))


def localized_sgd(
    X: Points,
    y: Labels,
    sigmas: Sequence[float],
    *,
    start: Vector | None = None,
    steps: int = 60,
    batch_size: int = 4096,
    seed: int = 0,
    weights: Weights | None = None,
) -> Float[np.ndarray, "widths dim"]:
    """Riemannian descent with the widths in turn, each from where the last ended; one unit vector per width.

    Step i is ``1.5 sigma / (s (1 + i/20))`` along the gradient, s the size of a coordinate (median ``|x| / sqrt d``),
    then w is put back on the sphere. Batches of at most ``batch_size`` points are slices of a seeded shuffle of those
    near the strip, so that wide strips are descended by SGD and narrow ones with all of their points. ``start``
    defaults to the mean of y x (the first axis if that is 0).

    Raises ``ValueError`` for no widths, widths, steps or a batch size below 1 or 0, a zero start, and as ``ramp_loss``.

    >>> X = np.random.default_rng(0).normal(size=(4000, 2))
    >>> path = localized_sgd(X, np.where(X[:, 0] < 0, -1, 1), (0.8, 0.4, 0.2))
    >>> bool(path[-1] @ [1, 0] > 0.999)
    True
    """
    initial = np.eye(1, np.shape(X)[-1] if np.ndim(X) else 1)[0] if start is None else start
    initial, X, y, weights = checked_problem(initial, X, y, weights, name="start")
    widths = [positive("sigmas", each) for each in np.asarray(finite_array("sigmas", list(sigmas), 1))]
    whole_number("steps", steps, 1)
    whole_number("batch_size", batch_size, 2)
    order = np.random.default_rng(whole_number("seed", seed, 0)).permutation(len(X))
    X, pull = X[order], (y * weights)[order]
    if start is None:
        mean = pull @ X
        length = np.linalg.norm(mean)
        initial = mean / length if length > 0 else initial
    norms = np.linalg.norm(X, axis=1)
    offsets = np.random.default_rng(seed).random((len(widths), steps))
    w, path = initial, []
    for sigma, offset in zip(widths, offsets, strict=True):
        w = _descend(w, X, pull, norms, sigma, batch_size, offset)
        path.append(w)
    return np.stack(path)


def gradient(w: np.ndarray, X: np.ndarray, pull: np.ndarray, sigma: float) -> np.ndarray:
    """``ramp_grad`` of checked arrays at unit w, ``pull`` the labels times the weights."""
    t = X @ w
    felt = (_kernel(t, sigma) * pull) @ X
    return (felt @ w) * w - felt


def checked_problem(
    w: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    *,
    name: str = "w",
    labels: str = "y",
    signs: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit direction, points, labels (in [−1, 1], or ±1 if ``signs``) and weights, all float64."""
    w, X, weights = checked_direction(w, X, weights, name=name)
    return w, X, checked_labels(y, len(X), name=labels, signs=signs), weights


def checked_direction(
    w: np.ndarray, X: np.ndarray, weights: np.ndarray | None = None, *, name: str = "w"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit direction, points of at least two coordinates, and weights that sum to 1 (equal ones by default)."""
    X = checked_points(X)
    w = finite_array(name, w, 1)
    if w.shape != X.shape[1:]:
        raise ValueError(f"{name} must have as many entries as X has columns, {X.shape[1]}, got shape {w.shape}")
    largest = np.abs(w).max()
    if largest == 0:
        raise ValueError(f"{name} must not be the zero vector, got {w!r:.60}")
    w = w / largest
    if weights is None:
        weights = np.full(len(X), 1 / len(X))
    else:
        weights = finite_array("weights", weights, 1)
        if weights.shape != X.shape[:1] or weights.min() < 0 or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"weights must be {len(X)} numbers of at least 0 that sum to 1, got {weights!r:.60}")
    return w / np.linalg.norm(w), X, weights


def checked_points(X: np.ndarray) -> np.ndarray:
    """``X`` as float64 with at least two columns."""
    X = finite_array("X", X, 2)
    if X.shape[1] < 2:
        raise ValueError(f"X must have at least 2 columns, got shape {X.shape}")
    return X


def checked_labels(y: np.ndarray, samples: int, *, name: str = "y", signs: bool = False) -> np.ndarray:
    """``y`` as float64: one number in [−1, 1] per sample, ±1 if ``signs``."""
    labels = finite_array(name, y, 1)
    if len(labels) != samples:
        raise ValueError(f"{name} must have one entry for each of {samples} samples, got {len(labels)}")
    wrong = labels[np.abs(labels) != 1] if signs else labels[np.abs(labels) > 1]
    if wrong.size:
        raise ValueError(f"{name} must hold labels {'-1 and 1' if signs else 'in [-1, 1]'}, got {wrong[0]}")
    return labels


def point_scale(X: np.ndarray) -> float:
    """The size of a coordinate of checked points, whatever their tails."""
    return _scale(np.linalg.norm(X, axis=1), X.shape[1])


def _kernel(t: np.ndarray, sigma: float) -> np.ndarray:
    return np.maximum(0.0, 1 - np.abs(t) / sigma) / sigma


def _descend(
    w: np.ndarray, X: np.ndarray, pull: np.ndarray, norms: np.ndarray, sigma: float, batch_size: int, offset: np.ndarray
) -> np.ndarray:
    """All steps of one width; ``offset`` says for every step where among the points near the strip its batch begins."""
    scale = _scale(norms, X.shape[1])
    reach, anchor, near_X, near_pull = 2 * sigma / scale, w, X, pull
    for i, share in enumerate(offset):
        # A point x can enter the strip only if w has moved by (|<w, x>| − sigma) / |x| since the last look.
        if i == 0 or np.linalg.norm(w - anchor) > reach:
            anchor = w
            near = np.abs(X @ w) <= sigma + reach * norms
            near_X, near_pull = X[near], pull[near]
        count = min(batch_size, len(near_X))
        if count == 0:
            break
        first = int(share * (len(near_X) - count + 1))
        slope = gradient(w, near_X[first : first + count], near_pull[first : first + count], sigma)
        w = w - _STEP * sigma / scale / (1 + i / _DECAY) * len(near_X) / count * slope
        # The gradient is orthogonal to w, so that a step never shortens it.
        w = w / np.linalg.norm(w)
    return w


def _scale(norms: np.ndarray, dim: int) -> float:
    """What a coordinate is typically worth: the median length over the root of d, 1 if half of the points are 0."""
    typical = float(np.median(norms)) / np.sqrt(dim)
    return typical if typical > 0 else 1.0
