"""What a calibration function is made of: envelope, running minimum, inverse, counterexample.

A *raw transform* r(t), t in [0, 1], is the least surrogate regret that a 0-1 regret of exactly t
costs. Bounds on risks need two things made of it:

    psi   = lower convex envelope of r:      psi(R_01 − R*_01) <= R_phi − R*_phi        (Jensen)
    delta = inf over t' >= t of r(t'):       regret below delta(t) => 0-1 regret below t

    lower_convex_envelope(t, r), running_minimum(r), local_exponent(t, r), inverse_of_envelope(value, t, psi, r, exact)

Sources: Bartlett, Jordan and McAuliffe (2006) for psi; Steinwart (2007) for delta.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from theory.validation import finite_array

__all__ = [
    "Counterexample",
    "inverse_of_envelope",
    "local_exponent",
    "lower_convex_envelope",
    "running_minimum",
]

Curve = Float[np.ndarray, " points"]
_FLAT = 1e-12


@dataclass(frozen=True)
class Counterexample:
    """A label distribution ``p`` and ``scores`` whose argmax is wrong or tied, at a surrogate ``regret`` of about 0.

    With two labels the margin is ``scores[0] − scores[1]``. ``note`` says what to check.
    """

    p: tuple[float, ...]
    scores: tuple[float, ...]
    regret: float
    note: str = ""


def lower_convex_envelope(x: Curve, y: Curve) -> Curve:
    """The largest convex function below the points (x, y), evaluated at x.

    Monotone chain in O(points). ``x`` must increase; raises ``ValueError`` otherwise, or for lengths that differ.

    >>> lower_convex_envelope(np.array([0.0, 0.5, 1.0]), np.array([0.0, 2.0, 2.0])).tolist()
    [0.0, 1.0, 2.0]
    """
    x, y = finite_array("x", x, 1), finite_array("y", y, 1)
    if len(x) != len(y) or (np.diff(x) <= 0).any():
        raise ValueError(f"x must increase and have the length of y, got {len(x)} and {len(y)} points: {x!r:.60}")
    if len(x) < 3:
        return y.copy()
    slopes = np.diff(y) / np.diff(x)
    if (np.diff(slopes) >= 0).all():
        return y.copy()
    hull = lower_hull(x, y)
    return np.minimum(np.interp(x, x[hull], y[hull]), y)


def lower_hull(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the vertices of the lower convex hull of points with increasing x."""
    hull: list[tuple[int, float, float]] = []
    for index, (px, py) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        while len(hull) > 1:
            (_, ax, ay), (_, bx, by) = hull[-2:]
            if (bx - ax) * (py - ay) > (by - ay) * (px - ax):
                break
            hull.pop()
        hull.append((index, px, py))
    return [index for index, _, _ in hull]


def running_minimum(y: Curve) -> Curve:
    """``inf_{t' >= t} y(t')``: the minimum from the right.

    >>> running_minimum(np.array([0.0, 2.0, 1.0, 3.0])).tolist()
    [0.0, 1.0, 1.0, 3.0]
    """
    return np.minimum.accumulate(finite_array("y", y, 1)[::-1])[::-1]


def local_exponent(t: Curve, raw: Curve) -> float:
    """The slope of log raw against log t between the two smallest t > 0: 1 a linear rate, 2 a quadratic one.

    NaN where the transform is zero there.

    >>> local_exponent(np.array([0.0, 0.01, 0.02]), np.array([0.0, 1e-4, 4e-4]))
    2.0
    """
    t, raw = finite_array("t", t, 1), finite_array("raw", raw, 1)
    if len(t) != len(raw) or (np.diff(t) <= 0).any():
        raise ValueError(f"t must increase and have the length of raw, got {len(t)} and {len(raw)} points: {t!r:.60}")
    kept = np.flatnonzero(t > 0)[:2]
    if len(kept) < 2 or not (raw[kept] > 0).all():
        return float("nan")
    rise = np.diff(np.log(raw[kept])) / np.diff(np.log(t[kept]))
    return round(float(rise[0]), 12)


def inverse_of_envelope(
    value: Float[np.ndarray, "..."] | float,
    t: Curve,
    psi: Curve,
    raw: Curve,
    exact: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Any:
    """The largest t with psi(t) <= value, 1 above psi(1).

    ``psi`` is an envelope on the grid ``t``, ``raw`` the transform that it belongs to. Where psi = raw at both ends of
    a cell, ``exact`` (the raw transform anywhere) continues by false position inside it; elsewhere psi is a chord.
    Raises ``ValueError`` for a value that is negative beyond rounding, or not a number.

    >>> grid = np.array([0.0, 0.5, 1.0])
    >>> round(float(inverse_of_envelope(0.09, grid, grid**2, grid**2, lambda x: x**2)), 12)
    0.3
    """
    given = finite_array("value", value)
    if given.min() < -_FLAT:
        raise ValueError(f"value must not be negative, got {given.min()}")
    targets = np.maximum(given.ravel(), 0.0)
    t, psi, raw = finite_array("t", t, 1), finite_array("psi", psi, 1), finite_array("raw", raw, 1)
    cell = np.clip(np.searchsorted(psi, targets, side="right") - 1, 0, len(t) - 2)
    low, high = t[cell], t[cell + 1]
    f_low, f_high = psi[cell] - targets, psi[cell + 1] - targets
    with np.errstate(divide="ignore", invalid="ignore"):
        answer = np.where(f_high > f_low, low - f_low * (high - low) / (f_high - f_low), high)
    scale = _FLAT * max(float(psi[-1]), np.finfo(float).tiny)
    curved = (np.abs(raw[cell] - psi[cell]) <= scale) & (np.abs(raw[cell + 1] - psi[cell + 1]) <= scale)
    open_ = np.flatnonzero(curved & (f_low < 0) & (f_high > 0))
    if exact is not None:
        side = np.zeros(len(targets))
        for _ in range(60):
            if open_.size == 0:
                break
            f = exact(answer[open_]) - targets[open_]
            below, same = f < 0, np.sign(f) == side[open_]
            # Illinois: an end that stays a second time is given half its value, so that both ends move.
            f_high[open_] = np.where(below, f_high[open_] / np.where(same, 2, 1), f)
            f_low[open_] = np.where(below, f, f_low[open_] / np.where(same, 2, 1))
            side[open_] = np.sign(f)
            low[open_] = np.where(below, answer[open_], low[open_])
            high[open_] = np.where(below, high[open_], answer[open_])
            step = low[open_] - f_low[open_] * (high[open_] - low[open_]) / (f_high[open_] - f_low[open_])
            moved = np.abs(step - answer[open_]) > 1e-13
            answer[open_] = np.where(f == 0, answer[open_], step)
            open_ = open_[moved & (f != 0)]
    answer = np.where(targets >= psi[-1], t[-1], answer)
    return answer.reshape(given.shape)[()]


def rising_zeros(raw: np.ndarray, t: np.ndarray, scale: float) -> Bool[np.ndarray, " points"]:
    """Where a transform counts as zero: at t > 0, below 1e-9 and below 1e-6 t², relative to the loss's scale.

    The second condition keeps a quadratic transform from being taken for zero at small t.
    """
    return (t > 0) & (raw <= 1e-9 * scale) & (raw < 1e-6 * t**2 * scale)
