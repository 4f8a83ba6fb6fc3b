"""Ball extensions of formulas: evaluate a sympy expression on a whole box at once.

For a box X = X_1 x .. x X_d and a formula f, ball arithmetic (``theory.ball_arithmetic``) gives

    F(X), a ball with  {f(x) : x in X}  contained in F(X),

so F(X) >= 0 proves f >= 0 on all of X. This module makes F an object with derivatives, and finds
the faces of the domain on which f and some of its derivatives vanish. ``theory.certificates``
builds on it.

    f = ball_expression(expression, (x, y), domain)      # domain: a (low, high) pair per variable
    with working_precision(64):
        f.value([ball(low, high) for low, high in box])  # and f.partial(0).value(..)

Zeros are found, not declared: tested at 40 digits, shown symbolically, and recorded as `ZeroFace`.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from theory.ball_arithmetic import (
    StraightLineProgram,
    arb_module,
    ball,
    ball_primitives,
    float_primitives,
    working_precision,
)
from theory.symbolic_signs import Box, differentiate, is_identically_zero

# Formulas and symbols of sympy, which is imported only inside the functions that use it.
Expression: TypeAlias = Any
Variable: TypeAlias = Any

__all__ = [
    "HIGHEST_ORDER",
    "BallExpression",
    "BallFunction",
    "BallSeries",
    "ZeroFace",
    "ball_expression",
]

HIGHEST_ORDER = 5
"""A zero of higher order on a face is treated as one of this order, which is sound."""


@dataclass(frozen=True)
class ZeroFace:
    """The fact that ``expression`` and its first ``order - 1`` derivatives vanish on a face.

    ``fixed`` holds the coordinates that define the face: one pair (name, value) for a side of the
    box, all of them for a corner; derivatives are along the first fixed coordinate.
    ``expression`` is None for a zero of a callable, read off an exact power series.
    """

    expression: Any
    variables: tuple[str, ...]
    domain: Box
    fixed: tuple[tuple[str, Fraction], ...]
    order: int

    def residual(self, digits: int = 60) -> float:
        """Largest |derivative of order < ``order``| at three rational points of the face.

        Computed by mpmath through sympy, so independent of ball arithmetic: a true zero gives
        less than 10^-digits. Returns 0 for a callable.
        """
        import mpmath
        import sympy

        if self.expression is None:
            return 0.0
        symbols = {symbol.name: symbol for symbol in self.expression.free_symbols}
        arguments = [symbols.get(name, sympy.Symbol(name)) for name in self.variables]
        fixed = dict(self.fixed)
        extension = {"xlogx": lambda x: x * mpmath.log(x) if x else x}
        derivative, worst = self.expression, 0.0
        for order in range(self.order):
            if order:
                derivative = differentiate(derivative, arguments[self.variables.index(self.fixed[0][0])])
            function = sympy.lambdify(arguments, derivative, [extension, "mpmath"])
            for k in (2, 5, 9) if len(fixed) < len(arguments) else (2,):
                with mpmath.workdps(digits + 20):
                    point = []
                    for axis, (name, (low, high)) in enumerate(zip(self.variables, self.domain, strict=True)):
                        value = fixed.get(name, low + (high - low) * Fraction(k + axis, 13))
                        point.append(mpmath.mpf(value.numerator) / value.denominator)
                    value = function(*point)
                    worst = max(worst, math.inf if mpmath.isnan(value) else float(abs(value)))
        return worst

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value}" for name, value in self.fixed)
        return f"zero of order {self.order} at {where}: {self.expression}"


class BallFunction(ABC):
    """What a proof needs to know of a function on its ``domain``."""

    domain: Box

    @abstractmethod
    def value(self, balls: Sequence[Any]) -> Any:
        """The ball F(X), not finite where a pole or branch point cannot be excluded."""

    @abstractmethod
    def floats(self, points: Sequence[np.ndarray]) -> np.ndarray:
        """Plain float64 values, for hunting only: nothing is ever proved with them."""

    @abstractmethod
    def partial(self, axis: int) -> "BallFunction":
        """The partial derivative along ``axis``."""

    @abstractmethod
    def negated(self) -> "BallFunction":
        """The function -f."""

    @abstractmethod
    def vanishing_order(self, axis: int, end: Fraction) -> int:
        """How many of f, d_i f, d_i^2 f, .. vanish identically on the face x_i = end."""

    @abstractmethod
    def vanishes_at(self, corner: tuple[Fraction, ...]) -> bool:
        """Whether f is exactly 0 at a corner."""

    @abstractmethod
    def zero_face(self, fixed: dict[int, Fraction], order: int) -> ZeroFace:
        """The record of a zero, for the certificate."""


class BallExpression(BallFunction):
    """A sympy expression as a `BallFunction`.

    The domain matters in two ways: the base of a fractional power (or the argument of `xlogx`) is
    clamped at 0 only if algebra shows it to be >= 0 there, and zero faces are faces of the domain.
    """

    def __init__(self, expression: Expression, variables: tuple[Variable, ...], domain: Box):
        self.expression = expression
        self.variables = variables
        self.domain = domain
        self._program = functools.cache(self._compile)
        self._code: StraightLineProgram | None = None
        self._orders: dict[tuple[int, Fraction], int] = {}
        self._corners: dict[tuple[Fraction, ...], bool] = {}

    def value(self, balls: Sequence[Any]) -> Any:
        return self._program(arb_module().ctx.prec)(*balls)

    def floats(self, points: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = np.asarray(self._program(None)(*points), dtype=float)
        return np.broadcast_to(values, np.shape(points[0]))

    def partial(self, axis: int) -> "BallExpression":
        return _partial(self, axis)

    def negated(self) -> "BallExpression":
        return ball_expression(-self.expression, self.variables, self.domain)

    def vanishing_order(self, axis: int, end: Fraction) -> int:
        key = axis, end
        if key not in self._orders:
            order, derivative = 0, self
            while order < HIGHEST_ORDER and derivative._vanishes({axis: end}):
                order, derivative = order + 1, derivative.partial(axis)
            self._orders[key] = order
        return self._orders[key]

    def vanishes_at(self, corner: tuple[Fraction, ...]) -> bool:
        if corner not in self._corners:
            self._corners[corner] = self._vanishes(dict(enumerate(corner)))
        return self._corners[corner]

    def zero_face(self, fixed: dict[int, Fraction], order: int) -> ZeroFace:
        names = tuple(v.name for v in self.variables)
        ends = tuple((names[i], end) for i, end in fixed.items())
        return ZeroFace(self.expression, names, self.domain, ends, order)

    def _vanishes(self, fixed: dict[int, Fraction]) -> bool:
        import sympy

        # Two rational points to 40 digits first: the symbolic step may need minutes to find out
        # that a complicated expression is not zero.
        with working_precision(160):
            for k in (3, 7):
                point = [
                    fixed.get(axis, low + (high - low) * Fraction(k + axis, 13))
                    for axis, (low, high) in enumerate(self.domain)
                ]
                value = self.value([ball(x, x) for x in point])
                if not value.is_finite() or not value.contains(0):
                    return False
        ends = {self.variables[i]: sympy.Rational(end) for i, end in fixed.items()}
        return is_identically_zero(self.expression.subs(ends), self.variables, self.domain)

    def _compile(self, precision: int | None) -> Callable[..., Any]:
        """Straight-line code at the given precision, in float64 if None."""
        if self._code is None:
            self._code = StraightLineProgram(self.expression, self.variables, self.domain)
        return self._code.function(float_primitives() if precision is None else ball_primitives())


@functools.lru_cache(maxsize=1024)
def ball_expression(expression: Expression, variables: tuple[Variable, ...], domain: Box) -> BallExpression:
    """The `BallExpression` of a formula; the same object for the same arguments."""
    return BallExpression(expression, variables, domain)


@functools.lru_cache(maxsize=1024)
def _partial(f: BallExpression, axis: int) -> BallExpression:
    derivative = differentiate(f.expression, f.variables[axis])
    return ball_expression(derivative, f.variables, f.domain)


class BallSeries(BallFunction):
    """A callable on ``arb`` and ``arb_series`` in one variable as a `BallFunction`.

    Its k-th derivative on X is k! times the k-th coefficient of f(X + e); the products of series
    repeat the dependency on X, so these balls are wider than those of symbolic derivatives.
    """

    def __init__(self, function: Callable[[Any], Any], domain: Box, order: int = 0, sign: int = 1):
        self.function = function
        self.domain = domain
        self.order = order
        self.sign = sign

    def value(self, balls: Sequence[Any]) -> Any:
        if self.order == 0:
            return self.sign * self.function(balls[0])
        return self._coefficients(arb_module().arb_series, balls[0])[self.order]

    def floats(self, points: Sequence[np.ndarray]) -> np.ndarray:
        flint = arb_module()
        return np.array([float(self.value([flint.arb(x)]).mid()) for x in points[0].tolist()])

    def partial(self, axis: int) -> "BallSeries":
        return BallSeries(self.function, self.domain, self.order + 1, self.sign)

    def negated(self) -> "BallSeries":
        return BallSeries(self.function, self.domain, self.order, -self.sign)

    def vanishing_order(self, axis: int, end: Fraction) -> int:
        """Counted on the power series with exact rational coefficients, where there is one."""
        flint = arb_module()
        number = flint.fmpq(end.numerator, end.denominator)
        try:
            values = self._coefficients(flint.fmpq_series, number, HIGHEST_ORDER)
        except (TypeError, ValueError, AttributeError, NotImplementedError):
            values = self._coefficients(flint.arb_series, flint.arb(number), HIGHEST_ORDER)
        zeros = [bool(value == 0) for value in values[self.order : self.order + HIGHEST_ORDER]]
        return zeros.index(False) if False in zeros else len(zeros)

    def vanishes_at(self, corner: tuple[Fraction, ...]) -> bool:
        return self.vanishing_order(0, corner[0]) > 0

    def zero_face(self, fixed: dict[int, Fraction], order: int) -> ZeroFace:
        return ZeroFace(None, ("x",), self.domain, (("x", fixed[0]),), order)

    def _coefficients(self, series: Any, point: Any, extra: int = 0) -> list[Any]:
        """Derivatives of order 0, 1, .., order + extra at ``point``, times the sign."""
        flint = arb_module()
        length = self.order + extra + 1
        cap = flint.ctx.cap
        flint.ctx.cap = length
        try:
            result = self.function(series([point, 1]))
            values = [result[k] for k in range(length)] if isinstance(result, series) else [result]
        finally:
            flint.ctx.cap = cap
        values += [0 * point] * (length - len(values))
        return [self.sign * math.factorial(k) * value for k, value in enumerate(values)]
