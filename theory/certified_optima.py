"""Rigorous bounds on the optimum of a linear, semidefinite or entropy programme.

A solver's optimal value is a float of unknown error, and can be -inf or far off. Its dual point is
worth more: weak duality turns *any* dual point into a bound, so the bound below holds whatever
the solver returned, and is nearly tight if the solver did well.

    linear          min c x,  G x <= h, E x = f, 0 <= x <= u, for any lam >= 0 and nu:
                    value >= f nu - h lam + sum_i min(0, c_i + (G'lam - E'nu)_i) u_i
    semidefinite    max <C, X>,  <A_i, X> = b_i, X psd, tr X <= R, for any y:
                    value <= b y + R d   if  sum_i y_i A_i - C + d I  is psd
    entropy         max_p z p - lam KL(p || 1/K) over the simplex, for any nu:
                    value <= nu + lam sum_k exp((z_k - nu)/lam - 1) - lam log K

Floats are exact rationals, and every number below is a Fraction computed from them without
rounding, or the end of a ball (``flint``). If the data stand for real numbers that are not
floats, enclose those first and subtract their radius.

Source: weak duality is classical; the repair of a dual follows C. Jansson, D. Chaykin, C. Keil
(2007), "Rigorous error bounds for the optimal value in semidefinite programming".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from theory.ball_arithmetic import arb_module, ball, exact_fraction, working_precision
from theory.validation import finite_array, positive

__all__ = [
    "Enclosure",
    "entropy_bounds",
    "entropy_sup",
    "lp_lower_bound",
    "lp_upper_bound",
    "sdp_upper_bound",
    "unit_diagonal_lower_bound",
]

Vector: TypeAlias = Float[np.ndarray, " _"]
Matrix: TypeAlias = Float[np.ndarray, "_ _"]
Row: TypeAlias = list[Fraction]

_ENTROPY_BITS = 128
_ACTIVE = 1e-7  # a constraint with less slack than this is taken to hold with equality
_SMALLEST_SHIFT = Fraction(1, 2**48)


@dataclass(frozen=True)
class Enclosure:
    """``lower <= optimum <= upper``, exactly, with the primal and dual points that prove it.

    ``p`` is the point on the simplex behind ``lower``, ``nu`` the dual number behind ``upper``.
    """

    lower: Fraction
    upper: Fraction
    p: tuple[Fraction, ...]
    nu: Fraction

    @property
    def gap(self) -> float:
        return float(self.upper - self.lower)


def lp_lower_bound(
    c: Vector,
    G: Matrix,
    h: Vector,
    E: Matrix,
    f: Vector,
    dual: tuple[Vector, Vector],
    upper: Vector,
) -> Fraction:
    """A lower bound of min c x over G x <= h, E x = f, 0 <= x <= upper, from any dual point.

    ``dual = (lam, nu)`` belongs to the rows of G and of E; negative entries of ``lam`` are set
    to 0. With L(x) = c x + lam (G x - h) - nu (E x - f) the bound is the minimum of L over the
    box. Sign conventions of solvers differ: try both signs and keep the larger bound. ``G`` or
    ``E`` may have no rows. Raises ValueError for shapes that do not match, entries that are not
    finite, or a negative ``upper``.

    >>> one, none = np.ones(1), np.zeros((0, 1))
    >>> lp_lower_bound(one, -np.ones((1, 1)), -one, none, np.zeros(0), (one, np.zeros(0)), 5 * one)
    Fraction(1, 1)
    """
    programme = _LinearProgramme(c, G, h, E, f, upper)
    lam = [max(x, Fraction(0)) for x in _exact_vector("lam (dual[0])", dual[0], len(programme.h))]
    nu = _exact_vector("nu (dual[1])", dual[1], len(programme.f))
    bound = _dot(programme.f, nu) - _dot(programme.h, lam)
    for i, (cost, top) in enumerate(zip(programme.c, programme.upper, strict=True)):
        slope = cost + sum(x * row[i] for x, row in zip(lam, programme.G, strict=True))
        slope -= sum(x * row[i] for x, row in zip(nu, programme.E, strict=True))
        bound += min(Fraction(0), slope) * top
    return bound


def lp_upper_bound(c: Vector, G: Matrix, h: Vector, E: Matrix, f: Vector, point: Vector, upper: Vector) -> Fraction:
    """The cost of an exactly feasible point near ``point``: an upper bound of the same minimum.

    A solver's point violates its constraints by rounding. All constraints that it meets up to
    1e-7 are solved as equations in rational arithmetic; the result is checked against every
    constraint exactly. Raises ValueError if it is not feasible, and as `lp_lower_bound`.

    >>> one, none = np.ones(1), np.zeros((0, 1))
    >>> nearly = np.array([1 - 1e-12])
    >>> lp_upper_bound(one, -np.ones((1, 1)), -one, none, np.zeros(0), nearly, 5 * one)
    Fraction(1, 1)
    """
    programme = _LinearProgramme(c, G, h, E, f, upper)
    start = _exact_vector("point", point, len(programme.c))
    x = programme.repaired(start)
    if not programme.is_feasible(x):
        raise ValueError(f"point must be close to a feasible point, got {np.asarray(point)!r}")
    return _dot(programme.c, x)


def sdp_upper_bound(
    C: Matrix, A: Float[np.ndarray, "_ _ _"], b: Vector, y: Vector, trace_bound: float | Fraction
) -> Fraction:
    """An upper bound of max <C, X> over <A_i, X> = b_i, X psd, tr X <= trace_bound, from any y.

    S = sum_i y_i A_i - C has an approximate smallest eigenvalue; d >= 0 makes S + d I positive
    semidefinite, which exact rational LDL^T verifies (d is doubled until it does). Then
    <C, X> = b y - <S, X> <= b y + d tr X. For unit diagonals take A_i = e_i e_i', b = 1,
    trace_bound = n. Raises ValueError for shapes that do not match, matrices that are not
    symmetric, entries that are not finite, or a negative trace bound.

    >>> sdp_upper_bound(np.eye(2), np.eye(2)[None], np.ones(1), np.ones(1), 1)
    Fraction(1, 1)
    """
    size = len(C)
    cost = _exact_symmetric("C", C, size)
    if np.ndim(A) != 3 or len(A) == 0:
        raise ValueError(f"A must have shape (constraints >= 1, {size}, {size}), got {np.shape(A)}")
    constraints = [_exact_symmetric(f"A[{i}]", matrix, size) for i, matrix in enumerate(A)]
    values, multipliers = _exact_vector("b", b, len(A)), _exact_vector("y", y, len(A))
    radius = exact_fraction(trace_bound, "trace_bound")
    if radius < 0:
        raise ValueError(f"trace_bound must not be negative, got {trace_bound}")
    slack = [[-entry for entry in row] for row in cost]
    for multiplier, matrix in zip(multipliers, constraints, strict=True):
        for row, added in zip(slack, matrix, strict=True):
            row[:] = [s + multiplier * a for s, a in zip(row, added, strict=True)]
    shift = Fraction(0)
    if not _is_positive_semidefinite(slack, shift):
        smallest = np.linalg.eigvalsh(np.array([[float(s) for s in row] for row in slack]))[0]
        shift = max(-2 * Fraction(float(smallest)), Fraction(0)) + _SMALLEST_SHIFT
        while not _is_positive_semidefinite(slack, shift):
            shift *= 2
    return _dot(values, multipliers) + radius * shift


def unit_diagonal_lower_bound(C: Matrix, factor: Matrix) -> Fraction:
    """A lower bound of max <C, X> over X_ii = 1, X psd: the value at X = V V', where V is
    ``factor`` with its rows normalised (in ball arithmetic, so that X is exactly feasible).

    ``factor`` has one row per row of C; take V = Q sqrt(max(w, 0)) from the eigenvectors of a
    solver's X. Raises ValueError for a zero row or shapes that do not match.

    >>> float(unit_diagonal_lower_bound(np.ones((2, 2)), np.ones((2, 1))))
    4.0
    """
    size = len(C)
    cost = _exact_symmetric("C", C, size)
    finite_array("factor", factor, 2)
    if len(factor) != size:
        raise ValueError(f"factor must have {size} rows, got shape {np.shape(factor)}")
    rows = [[Fraction(float(x)) for x in row] for row in factor]
    lengths = [_dot(row, row) for row in rows]
    if 0 in lengths:
        raise ValueError(f"factor must have no zero row, row {lengths.index(Fraction(0))} is zero")
    with working_precision(_ENTROPY_BITS):
        norms = [ball(length, length).sqrt() for length in lengths]
        total = arb_module().arb(0)
        for i, row in enumerate(rows):
            for j, other in enumerate(rows):
                product = cost[i][j] * _dot(row, other)
                total += ball(product, product) / (norms[i] * norms[j])
        return _fraction_of(total.lower())


def entropy_bounds(z: Vector, lam: float | Fraction, p: Vector, nu: float | Fraction) -> Enclosure:
    """Both bounds of max_p z p - lam KL(p || 1/K) from any ``p`` >= 0 and any ``nu``.

    Negative entries of ``p`` are set to 0 and the rest normalised exactly. Raises ValueError for
    lam <= 0, entries that are not finite, shapes that differ, or p without a positive entry.

    >>> entropy_bounds(np.zeros(2), 1.0, np.ones(2), -1.0).lower
    Fraction(0, 1)
    """
    scores = _exact_vector("z", finite_array("z", z, 1), len(z))
    positive("lam", lam)
    exact_lam, exact_nu = exact_fraction(lam, "lam"), exact_fraction(nu, "nu")
    weights = [max(x, Fraction(0)) for x in _exact_vector("p", p, len(scores))]
    total = sum(weights, Fraction(0))
    if total == 0:
        raise ValueError(f"p must have a positive entry, got {np.asarray(p)!r}")
    law = tuple(x / total for x in weights)
    classes = len(scores)
    with working_precision(_ENTROPY_BITS):
        arb = arb_module().arb
        temperature = ball(exact_lam, exact_lam)
        entropy = arb(0)
        for x in law:
            if x > 0:
                weight = ball(x, x)
                entropy += weight * (classes * weight).log()
        reward = _dot(scores, law)
        lower = ball(reward, reward) - temperature * entropy
        masses = arb(0)
        for score in scores:
            exponent = (score - exact_nu) / exact_lam - 1
            masses += ball(exponent, exponent).exp()
        upper = ball(exact_nu, exact_nu) + temperature * (masses - arb(classes).log())
        return Enclosure(_fraction_of(lower.lower()), _fraction_of(upper.upper()), law, exact_nu)


def entropy_sup(z: Vector, lam: float | Fraction) -> Enclosure:
    """Enclosure of psi = max_p z p - lam KL(p || 1/K) = lam log mean exp(z / lam).

    The points are the stationary ones, p = softmax(z / lam) and nu = lam (logsumexp(z / lam) - 1),
    computed in float64: both errors enter the gap squared, so it is far below 1e-16. Raises
    ValueError for lam <= 0 or z that is empty or not finite.

    >>> enclosure = entropy_sup(np.array([0.0, 1.0]), 1.0)
    >>> float(enclosure.lower), enclosure.gap < 1e-20
    (0.6201145069582775, True)
    """
    scores = finite_array("z", z, 1)
    temperature = positive("lam", lam)
    top = scores.max()
    masses = np.exp((scores - top) / temperature)
    nu = top + temperature * (np.log(masses.sum()) - 1)
    return entropy_bounds(scores, lam, masses / masses.sum(), float(nu))


class _LinearProgramme:
    """min c x over G x <= h, E x = f, 0 <= x <= upper, in Fractions."""

    def __init__(self, c: Vector, G: Matrix, h: Vector, E: Matrix, f: Vector, upper: Vector):
        size = len(finite_array("c", c, 1))
        self.c = _exact_vector("c", c, size)
        for names, rows, right in (("h", "G"), G, h), (("f", "E"), E, f):
            if len(rows) != len(right):
                raise ValueError(f"{names[0]} must have one entry per row of {names[1]}, got {len(right)}, {len(rows)}")
        self.h, self.f = _exact_vector("h", h, len(h)), _exact_vector("f", f, len(f))
        self.G, self.E = _exact_rows("G", G, len(h), size), _exact_rows("E", E, len(f), size)
        self.upper = _exact_vector("upper", upper, size)
        if min(self.upper) < 0:
            raise ValueError(f"upper must not be negative, got {float(min(self.upper))}")

    def is_feasible(self, x: Row) -> bool:
        return (
            all(0 <= value <= top for value, top in zip(x, self.upper, strict=True))
            and all(_dot(row, x) <= right for row, right in zip(self.G, self.h, strict=True))
            and all(_dot(row, x) == right for row, right in zip(self.E, self.f, strict=True))
        )

    def repaired(self, start: Row) -> Row:
        """The point at which the constraints that ``start`` nearly meets hold exactly."""
        x = [min(max(value, Fraction(0)), top) for value, top in zip(start, self.upper, strict=True)]
        free = []
        for i, (value, top) in enumerate(zip(x, self.upper, strict=True)):
            if value <= _ACTIVE:
                x[i] = Fraction(0)
            elif top - value <= _ACTIVE:
                x[i] = top
            else:
                free.append(i)
        active = [(right - _dot(row, x), row) for row, right in zip(self.G, self.h, strict=True)]
        equations = [(right - _dot(row, x), row) for row, right in zip(self.E, self.f, strict=True)]
        nearest = sorted((e for e in active if abs(e[0]) <= _ACTIVE), key=lambda e: abs(e[0]))
        equations += nearest
        for i, step in _solution([[row[i] for i in free] + [rest] for rest, row in equations]):
            x[free[i]] += step
        return x


def _solution(rows: list[Row]) -> list[tuple[int, Fraction]]:
    """Gauss-Jordan elimination of an augmented matrix: (variable, value) for every pivot, other
    variables 0. Earlier rows have precedence; rows that depend on them are dropped."""
    solved: list[tuple[int, Row]] = []
    for row in rows:
        for pivot, other in solved:
            row = [a - row[pivot] * b for a, b in zip(row, other, strict=True)]
        sizes = [abs(a) for a in row[:-1]]
        if not any(sizes):
            continue
        pivot = sizes.index(max(sizes))
        row = [a / row[pivot] for a in row]
        solved = [(k, [a - other[pivot] * b for a, b in zip(other, row, strict=True)]) for k, other in solved]
        solved.append((pivot, row))
    return [(pivot, row[-1]) for pivot, row in solved]


def _is_positive_semidefinite(matrix: list[Row], shift: Fraction) -> bool:
    """Exact LDL^T of ``matrix + shift I``: no negative pivot, and a zero pivot only in a zero row."""
    rows = [[a + shift * (i == j) for j, a in enumerate(row)] for i, row in enumerate(matrix)]
    for k, row in enumerate(rows):
        pivot = row[k]
        if pivot < 0 or (pivot == 0 and any(row[k:])):
            return False
        if pivot == 0:
            continue
        for lower in rows[k + 1 :]:
            ratio = lower[k] / pivot
            if ratio:
                lower[k:] = [a - ratio * b for a, b in zip(lower[k:], row[k:], strict=True)]
    return True


def _real(name: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}")
    return array.astype(float)


def _exact_vector(name: str, values: Vector, size: int) -> Row:
    array = _real(name, values)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return [Fraction(x) for x in array.tolist()]


def _exact_rows(name: str, values: Matrix, rows: int, columns: int) -> list[Row]:
    array = _real(name, values)
    if array.shape != (rows, columns):
        raise ValueError(f"{name} must have shape ({rows}, {columns}), got {array.shape}")
    return [_exact_vector(name, row, columns) for row in array]


def _exact_symmetric(name: str, values: Matrix, size: int) -> list[Row]:
    rows = _exact_rows(name, values, size, size)
    if size == 0 or not np.array_equal(values, np.transpose(values)):
        raise ValueError(f"{name} must be a symmetric matrix, got shape {np.shape(values)}")
    return rows


def _dot(first: Sequence[Fraction], second: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(first, second, strict=True)), Fraction(0))


def _fraction_of(exact_ball: Any) -> Fraction:
    """The value of a ball of radius 0, a dyadic rational."""
    number = exact_ball.fmpq()
    return Fraction(int(number.p), int(number.q))
