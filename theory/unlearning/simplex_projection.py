"""Projection onto the capped simplex: fractions between 0 and 1 with a given sum.

    S = {w : 0 ≤ w ≤ 1, sum w = m},        Proj_S(v) = argmin_{w in S} ||w − v||² = clip(v − mu, 0, 1)

mu solves ``h(mu) = sum clip(v − mu, 0, 1) = m``. h is continuous, falls from N at min(v) − 1 to 0 at max(v), and is
linear between its 2N breakpoints v_i and v_i − 1, so that S is non-empty and mu exists for every 0 ≤ m ≤ N:

* ``bisection`` halves the bracket [min(v) − 1, max(v)]; O(N) a halving;
* ``sort`` walks along the sorted breakpoints, finds the piece that holds m and solves it: O(N log N), no tolerance.

Where h is flat it equals a whole number, no weight is fractional, and every mu of that piece gives the same w.

    w = project_capped_simplex(np.array([0.9, 0.4, 0.1]), m=1.5)

Optimality (``kkt_violation``): w solves the problem if it is feasible and, for some mu, v_i − w_i ≤ mu where w_i = 0,
= mu in between, ≥ mu where w_i = 1.

Source: the constraint set of Fan, Liu, Hero and Liu (2024), *Challenging Forgets: Unveiling the Worst-Case Forget Sets
in Machine Unlearning*, whose projection is by bisection. The version by sorting is derived here.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.validation import finite_array, in_range, one_of, positive, same_shape

__all__ = ["kkt_violation", "project_capped_simplex"]

Vector = Float[np.ndarray, " items"]


def project_capped_simplex(
    v: Vector, m: float, method: Literal["bisection", "sort"] = "bisection", tol: float = 1e-9
) -> Vector:
    """The point of {0 ≤ w ≤ 1, sum w = m} nearest to v, in float64.

    ``tol`` is the width of the bracket of mu at which bisection stops, |sum w − m| ≤ N tol; ``sort`` needs none. Raises
    ``ValueError`` for v that is not a vector of finite numbers, m outside [0, N], an unknown method or tol not above 0.

    >>> project_capped_simplex(np.array([3.0, 0.5, 0.5, -2.0]), m=2.0).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    v, m = _problem(v, m)
    one_of("method", method, ("bisection", "sort"))
    mu = _bisect(v, m, positive("tol", tol)) if method == "bisection" else _walk(v, m)
    return np.clip(v - mu, 0.0, 1.0)


def kkt_violation(v: Vector, w: Vector, m: float) -> float:
    """By how much w misses the conditions that only the projection of v fulfils: 0 up to rounding if it is that.

    The largest of: distance from [0, 1], |sum w − m|, and how far the multipliers that the coordinates ask for are from
    having one in common. Raises ``ValueError`` as ``project_capped_simplex``, or for other lengths.

    >>> kkt_violation(np.array([1.0, 0.0]), np.array([0.5, 0.5]), m=1.0)
    0.5
    """
    v, m = _problem(v, m)
    w = finite_array("w", w, 1)
    same_shape(("v", "w"), (v, w))
    feasibility = max(0.0, float(-w.min()), float(w.max() - 1), abs(float(w.sum()) - m))
    # Every coordinate allows multipliers from its low to its high end; they must share one.
    low = np.where(w > 0, -np.inf, v - w)
    low[(w > 0) & (w < 1)] = (v - w)[(w > 0) & (w < 1)]
    high = np.where(w < 1, np.inf, v - w)
    high[(w > 0) & (w < 1)] = (v - w)[(w > 0) & (w < 1)]
    return max(feasibility, float((low.max() - high.min()) / 2), 0.0)


def _problem(v: Vector, m: float) -> tuple[np.ndarray, float]:
    checked = finite_array("v", v, 1)
    return checked, in_range("m", m, 0, len(checked))


def _bisect(v: np.ndarray, m: float, tol: float) -> float:
    low, high = float(v.min()) - 1, float(v.max())
    while high - low > tol:
        middle = low + (high - low) / 2
        if not low < middle < high:  # the numbers beside it are the bracket: large v
            break
        if np.clip(v - middle, 0.0, 1.0).sum() > m:
            low = middle
        else:
            high = middle
    above, below = (float(np.clip(v - end, 0.0, 1.0).sum()) for end in (low, high))
    # Without a breakpoint inside, h is linear between the ends and this is exact.
    return high if above == below else low + (high - low) * min(max((above - m) / (above - below), 0.0), 1.0)


def _walk(v: np.ndarray, m: float) -> float:
    ordered = np.sort(v)
    breaks = np.concatenate([ordered - 1, ordered])
    order = np.argsort(breaks, kind="stable")
    breaks = breaks[order]
    # Past v_i − 1 the weight of i starts to fall, past v_i it is 0.
    active = np.cumsum(np.where(order < len(v), 1, -1))
    h = len(v) - np.concatenate([[0.0], np.cumsum(active[:-1] * np.diff(breaks))])
    piece = min(max(int(np.searchsorted(-h, -m, side="right")) - 1, 0), len(breaks) - 2)
    left, right = breaks[piece], breaks[piece + 1]
    first, last = np.searchsorted(ordered, right, side="left"), np.searchsorted(ordered - 1, left, side="right")
    if last <= first:
        return float(left)
    # With the active weights known, sum (v_i − mu) + ones = m has no accumulated rounding.
    mu = (ordered[first:last].sum() + (len(v) - last) - m) / (last - first)
    return float(min(max(mu, left), right))


def _pairs(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Two points, a feasible point and a sum each; ties and points of S itself among them."""
    scale = 10.0 ** rng.uniform(-2, 1, (count, 1))
    u, v = (scale * rng.normal(size=(count, 5)) for _ in range(2))
    v = np.where(rng.random((count, 1)) < 0.3, np.round(v), v)
    return {"u": u, "v": v, "z": rng.normal(size=(count, 5)), "m": rng.uniform(0, 5, count)}


def _rows(v: np.ndarray, m: np.ndarray) -> np.ndarray:
    """``project_capped_simplex`` of every row, by 60 halvings at once."""
    low, high = v.min(1) - 1, v.max(1)
    for _ in range(60):
        middle = (low + high) / 2
        more = np.clip(v - middle[:, None], 0, 1).sum(1) > m
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.clip(v - ((low + high) / 2)[:, None], 0, 1)


BOUNDS = [
    Bound(
        "the projection moves no two points apart", "projections onto convex sets",
        lambda u, v, z, m: ((_rows(u, m) - _rows(v, m)) ** 2).sum(1),
        lambda u, v, z, m: ((_rows(u, m) - _rows(v, m)) * (u - v)).sum(1),
        _pairs,
    ),
    Bound(
        "no feasible point is nearer", "projections onto convex sets",
        lambda u, v, z, m: ((v - _rows(v, m)) ** 2).sum(1),
        lambda u, v, z, m: ((v - _rows(z, m)) ** 2).sum(1),
        _pairs,
    ),
]  # fmt: skip
