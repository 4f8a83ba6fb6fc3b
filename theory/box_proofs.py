"""Rules that prove f >= 0 on one box.

With F the ball extension of f (``theory.interval_expressions``), X a box inside the domain, m its
midpoint and F_i the ball extension of the partial derivative d_i f, each rule is a theorem:

    R1  range        F(X) >= 0.
    R2  mean value   F(m) + sum_i F_i(X) (X_i - m_i) >= 0; its error is O(width^2), that of R1
                     O(width).
    R3  monotone     F_i(X) has a sign: replace X_i by the end where f is smallest, prove there.
    R4  zero face    f, d_i f, .., d_i^(k-1) f vanish on the face x_i = a of the domain that X
                     touches: f(x) = (x_i - a)^k d_i^k f(xi) / k!, so prove d_i^k f >= 0 on X
                     (times (-1)^k if a is the upper end) by these same rules.
    R5  exact zero   X has shrunk to a corner of the domain, where f is exactly 0.
    R6  convex       f(c) = 0 at a corner c of the domain and of X, the gradient at c points into
                     the box, and the Hessian on X is copositive in the inward directions.

Without R4 and R6 bisection never ends at a zero of order >= 2: every box that touches it has a
ball that reaches slightly below 0.

    proof = prove_box(f, X)         # BoxProof or None; None means "don't know"

R2, R3, R4 and R6 use derivatives, so they ask that f itself (and in R4 the derivatives below the
k-th) has a finite ball on X: then f is continuous there and has no jump that its formal
derivative does not show.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from theory.ball_arithmetic import ball
from theory.interval_expressions import BallFunction, ZeroFace
from theory.symbolic_signs import Box

__all__ = ["BOX_RULES", "BoxProof", "bisect", "float_below", "prove_box"]

BOX_RULES = ("R1", "R2", "R3", "R4", "R5", "R6")

_FACE_DEPTH = 3  # R4 inside R4 inside R4; deeper nesting never helped and costs derivatives


@dataclass(frozen=True)
class BoxProof:
    """The rule that closed a box, a lower bound of f that it proves there, the zeros it used."""

    rule: str
    lower_bound: float
    zeros: tuple[ZeroFace, ...] = ()


def prove_box(
    f: BallFunction, box: Box, rules: tuple[str, ...] = BOX_RULES, face_depth: int = _FACE_DEPTH
) -> BoxProof | None:
    """Prove f >= 0 on ``box`` by one of the ``rules``, at the current ball precision."""
    balls = [ball(low, high) for low, high in box]
    value = f.value(balls)
    if "R1" in rules and value >= 0:
        return BoxProof("R1", float_below(value))
    if not value.is_finite():
        return None
    if "R5" in rules and _is_domain_corner(f, box) and value.contains(0):
        corner = tuple(low for low, _ in box)
        if f.vanishes_at(corner):
            return BoxProof("R5", 0.0, (f.zero_face(dict(enumerate(corner)), 1),))
    if "R4" in rules and face_depth > 0:
        zeros = _prove_at_zero_face(f, box, balls, rules, face_depth)
        if zeros is not None:
            return BoxProof("R4", 0.0, zeros)
    if "R6" in rules and len(box) > 1:
        zeros = _prove_at_convex_corner(f, box, balls)
        if zeros is not None:
            return BoxProof("R6", 0.0, zeros)
    slopes = {i: f.partial(i).value(balls) for i, (low, high) in enumerate(box) if low < high}
    if "R2" in rules:
        bound = _mean_value_bound(f, box, slopes)
        if bound >= 0:
            return BoxProof("R2", float_below(bound))
    if "R3" in rules:
        smaller = _lowest_ends(box, slopes)
        if smaller != box:
            proof = prove_box(f, smaller, rules, face_depth)
            if proof is not None:
                return BoxProof("R3", proof.lower_bound, proof.zeros)
    return None


def bisect(f: BallFunction, box: Box) -> tuple[Box, Box]:
    """Halve the side along which f may vary most: the largest |F_i(X)| x width, or the widest
    side (relative to the domain) where a slope is not finite."""
    axis = 0
    if len(box) > 1:
        balls = [ball(low, high) for low, high in box]
        slopes = [f.partial(i).value(balls) for i in range(len(box))]
        if all(slope.is_finite() for slope in slopes):
            weights = [float(s.abs_upper()) * float(b - a) for s, (a, b) in zip(slopes, box, strict=True)]
        else:
            sides = zip(box, f.domain, strict=True)
            weights = [float((b - a) / (end - start)) for (a, b), (start, end) in sides]
        axis = max(range(len(box)), key=weights.__getitem__)
    low, high = box[axis]
    middle = (low + high) / 2
    halves = ((low, middle), (middle, high))
    first, second = ((*box[:axis], half, *box[axis + 1 :]) for half in halves)
    return first, second


def float_below(value: Any) -> float:
    """A float64 that is certainly <= every number in the ball, -inf if the ball is not finite."""
    if not value.is_finite():
        return -math.inf
    low = value.lower()
    nearest = float(low)
    return nearest if nearest <= low else math.nextafter(nearest, -math.inf)


def _is_domain_corner(f: BallFunction, box: Box) -> bool:
    sides = zip(box, f.domain, strict=True)
    return all(low == high and low in ends for (low, high), ends in sides)


def _prove_at_zero_face(
    f: BallFunction, box: Box, balls: list[Any], rules: tuple[str, ...], face_depth: int
) -> tuple[ZeroFace, ...] | None:
    for axis, side in enumerate(box):
        for upper in (False, True):
            end = f.domain[axis][upper]
            order = f.vanishing_order(axis, end) if side[upper] == end else 0
            if order == 0:
                continue
            zero = f.zero_face({axis: end}, order)
            if side[0] == side[1]:
                return (zero,)
            derivative = f
            for _ in range(order - 1):
                derivative = derivative.partial(axis)
                if not derivative.value(balls).is_finite():
                    break
            else:
                derivative = derivative.partial(axis)
                signed = derivative.negated() if upper and order % 2 else derivative
                proof = prove_box(signed, box, rules, face_depth - 1)
                if proof is not None:
                    return (zero, *proof.zeros)
    return None


def _prove_at_convex_corner(f: BallFunction, box: Box, balls: list[Any]) -> tuple[ZeroFace, ...] | None:
    free = [axis for axis, (low, high) in enumerate(box) if low < high]
    ends = [[end for end in set(s) if end in d] for s, d in zip(box, f.domain, strict=True)]
    for corner in product(*ends):
        if not f.vanishes_at(corner):
            continue
        inward = [1 if c == low else -1 for c, (low, _) in zip(corner, f.domain, strict=True)]
        zeros = _inward_gradient(f, corner, inward, free)
        if zeros is None:
            continue
        hessian = [
            [inward[i] * inward[j] * f.partial(min(i, j)).partial(max(i, j)).value(balls) for j in free] for i in free
        ]
        if all(entry >= 0 for row in hessian for entry in row) or _is_positive_definite(hessian):
            return (f.zero_face(dict(enumerate(corner)), 1), *zeros)
    return None


def _inward_gradient(
    f: BallFunction, corner: tuple[Fraction, ...], inward: list[int], free: list[int]
) -> tuple[ZeroFace, ...] | None:
    """The zeros used to show that no slope at the corner points out of the box, or None."""
    point = [ball(c, c) for c in corner]
    zeros = []
    for axis in free:
        slope = f.partial(axis)
        if inward[axis] * slope.value(point) >= 0:
            continue
        if not slope.vanishes_at(corner):
            return None
        zeros.append(slope.zero_face(dict(enumerate(corner)), 1))
    return tuple(zeros)


def _is_positive_definite(matrix: list[list[Any]]) -> bool:
    """LDL^T in ball arithmetic: every symmetric matrix in the enclosure has positive pivots."""
    rows = [list(row) for row in matrix]
    for k, row in enumerate(rows):
        pivot = row[k]
        if not pivot > 0:
            return False
        for lower in rows[k + 1 :]:
            ratio = lower[k] / pivot
            for j in range(k, len(rows)):
                lower[j] = lower[j] - ratio * row[j]
    return True


def _mean_value_bound(f: BallFunction, box: Box, slopes: dict[int, Any]) -> Any:
    middles = [(low + high) / 2 for low, high in box]
    bound = f.value([ball(m, m) for m in middles])
    for axis, slope in slopes.items():
        half = box[axis][1] - middles[axis]
        bound = bound + slope * ball(-half, half)
    return bound


def _lowest_ends(box: Box, slopes: dict[int, Any]) -> Box:
    sides = list(box)
    for axis, slope in slopes.items():
        low, high = box[axis]
        if slope >= 0:
            sides[axis] = (low, low)
        elif slope <= 0:
            sides[axis] = (high, high)
    return tuple(sides)
