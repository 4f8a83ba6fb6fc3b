"""Minima of many functions of one variable at once, each bracketed by five nodes: smooth ones and kinks alike.

Per round six trial points in every bracket: the vertex of the parabola through the three inner nodes, with an estimate
of its error on both sides (the distance to the vertex from wider nodes); the intersection of the secants through the
two left and the two right nodes, exact for a kink between straight pieces; the middle of both inner cells. Smooth
minima need three to five rounds, kinks one or two, and no round less than halves one cell.

    values, places = refined_minima(evaluate, nodes, values_at_nodes, tolerance)

Source: safeguarded successive parabolic interpolation in the manner of Brent (1973), here for all rows together and
with a second model for kinks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from theory.validation import at_least, finite_array, whole_number

__all__ = ["refined_minima"]

Nodes = Float[np.ndarray, "rows 5"]

# Where a trial point coincides with the best node, it is moved by this share of the bracket instead.
_OFFSETS = np.array([-2.3e-2, 1.1e-3, 2.9e-2, -1.7e-3, -5.3e-2, 6.1e-2])


def refined_minima(
    evaluate: Callable[[Int[np.ndarray, " active"], Float[np.ndarray, "active 6"]], Float[np.ndarray, "active 6"]],
    x: Nodes,
    f: Nodes,
    tolerance: float,
    *,
    rounds: int = 40,
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """(minimum, place) of every row. ``f`` are the values at the nodes ``x``, which do not decrease along a row and
    whose middle is not above its neighbours; ``evaluate(rows, trial)`` gives the values of these rows at trial points.

    A row is done when the secants show that a convex function cannot fall by more than ``tolerance`` plus rounding,
    when its bracket is as narrow as rounding, or when its lowest node is at an end of the nodes (a repeated node).
    Raises ``ValueError`` for nodes of another shape, decreasing nodes, a middle above its neighbours, or a negative
    tolerance.

    >>> nodes = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    >>> value, place = refined_minima(lambda rows, t: abs(t - 2.3), nodes, abs(nodes - 2.3), 1e-15)
    >>> round(float(place[0]), 12)
    2.3
    """
    tolerance = at_least("tolerance", tolerance, 0.0)
    rounds = whole_number("rounds", rounds, 1)
    x, f = finite_array("x", x, 2), np.asarray(f)
    if x.shape[1] != 5 or (np.diff(x, axis=1) < 0).any():
        raise ValueError(f"x must hold rows of five nodes that do not decrease, got shape {x.shape}: {x!r:.60}")
    if f.shape != x.shape or f.dtype.kind not in "fiub" or np.isnan(f).any():
        raise ValueError(f"f must hold real numbers in the shape of x, got {f.dtype} of shape {f.shape}")
    # The middle was chosen by values that may differ in their last digits.
    if (f[:, 1:4].min(axis=1) < f[:, 2] - 1e-12 * (1 + abs(f[:, 2]))).any():
        raise ValueError(f"f must have a middle that is not above its neighbours, got {f!r:.60}")
    value, place = f[:, 2].copy(), x[:, 2].copy()
    active = np.arange(len(x))
    at_end = (x[:, 1] == x[:, 2]) | (x[:, 2] == x[:, 3])
    for _ in range(rounds):
        corner, floor = _secants(x, f)
        left, right = x[:, 2] - x[:, 1], x[:, 3] - x[:, 2]
        width = left + right
        with np.errstate(all="ignore"):
            gain_right = (f[:, 1] - f[:, 2]) * np.maximum(1, right / left)
            gain_left = (f[:, 3] - f[:, 2]) * np.maximum(1, left / right)
        enough = tolerance + 1e-15 * np.abs(f[:, 2])
        spread = np.maximum(f[:, 1], f[:, 3]) - f[:, 2]
        done = (np.minimum(np.maximum(gain_left, gain_right), f[:, 2] - floor) <= enough) | at_end
        done |= (spread <= enough) & (width <= 1e-6 * (1e-6 + np.abs(x[:, 2])))
        if done.any():
            value[active[done]], place[active[done]] = f[done, 2], x[done, 2]
            keep = np.flatnonzero(~done)
            active, x, f, corner = active[keep], x[keep], f[keep], corner[keep]
            width, at_end = width[keep], at_end[keep]
            if active.size == 0:
                return value, place
        trial = _trial_points(x, f, corner, width)
        x, f = window(np.concatenate([x, trial], axis=1), np.concatenate([f, evaluate(active, trial)], axis=1))
    value[active], place[active] = f[:, 2], x[:, 2]
    return value, place


def _secants(x: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the secant through the two leftmost nodes meets that through the two rightmost, and its height."""
    with np.errstate(all="ignore"):
        left = (f[:, 1] - f[:, 0]) / (x[:, 1] - x[:, 0])
        right = (f[:, 4] - f[:, 3]) / (x[:, 4] - x[:, 3])
        corner = (f[:, 3] - f[:, 1] + left * x[:, 1] - right * x[:, 3]) / (left - right)
        floor = f[:, 1] + left * (corner - x[:, 1])
        inside = (corner >= x[:, 1]) & (corner <= x[:, 3])
        return np.where(inside, corner, x[:, 2]), np.where(inside, floor, -np.inf)


def _trial_points(x: np.ndarray, f: np.ndarray, corner: np.ndarray, width: np.ndarray) -> np.ndarray:
    near, far = _vertex(x[:, 1:4], f[:, 1:4]), _vertex(x[:, [0, 2, 4]], f[:, [0, 2, 4]])
    margin = np.minimum(np.maximum(np.abs(near - far), 1e-7 * width), width / 4)
    trial = np.empty((len(x), 6))
    trial[:, 0], trial[:, 1], trial[:, 2], trial[:, 3] = near - margin, near, near + margin, corner
    trial[:, 4:] = (x[:, 1:3] + x[:, 2:4]) / 2
    # A point tried before would tell nothing.
    known = ~(trial != x[:, 2:3]) | ~np.isfinite(trial)
    trial = np.where(known, x[:, 2:3] + width[:, None] * _OFFSETS, trial)
    return np.minimum(np.maximum(trial, x[:, 1:2]), x[:, 3:4])


def _vertex(x: np.ndarray, f: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        left, right = x[:, 1] - x[:, 0], x[:, 2] - x[:, 1]
        fall, rise = (f[:, 0] - f[:, 1]) / left, (f[:, 2] - f[:, 1]) / right
        vertex = x[:, 1] + (left * -rise + right * fall) / (rise + fall) / 2
    return np.where(np.isfinite(vertex), vertex, x[:, 1])


def window(x: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The five nodes around the lowest, in order."""
    order = np.argsort(x, axis=1)
    x, f = _picked(x, order), _picked(f, order)
    last: Any = x.shape[1] - 1
    # A node that was tried twice would look like the end of the grid.
    again = x[:, 1:] == x[:, :-1]
    if again.any():
        again = np.concatenate([np.zeros((len(x), 1), dtype=bool), again], axis=1)
        order = np.argsort(again, axis=1, kind="stable")
        last = (x.shape[1] - 1 - again.sum(axis=1))[:, None]
        x, f = _picked(x, order), _picked(f, order)
        f[np.arange(x.shape[1]) > last] = np.inf
    around = np.minimum(np.maximum(f.argmin(axis=1)[:, None] + np.arange(-2, 3), 0), last)
    return _picked(x, around), _picked(f, around)


def _picked(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``take_along_axis`` along the rows."""
    return values.ravel()[columns + (np.arange(len(values)) * values.shape[1])[:, None]]
