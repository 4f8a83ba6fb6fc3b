"""Ball arithmetic: numbers with a rigorous error, and formulas compiled to run on them.

A *ball* is an interval [mid - rad, mid + rad]; every operation of Arb (through ``python-flint``)
returns a ball that contains all exact results. `StraightLineProgram` turns a sympy formula into
Python code that computes each distinct part once, on balls at the current precision or, with the
same code, on numpy arrays.

    with working_precision(64):
        ball(Fraction(1, 4), Fraction(1, 2)).log()

What may appear in a formula: rational constants, pi, e, sums, products, powers, and the smooth
functions of ``SMOOTH_FUNCTIONS``. Anything else is refused by `check_expression`.

Source: F. Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic"
(2017); the extensions to closed domains (`xlogx`, powers of a base that touches 0) are our own.
"""

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from scipy.special import erf, xlogy

from theory.symbolic_signs import Box, sign_inside

# Formulas and symbols of sympy, which is imported only inside the functions that use it.
Expression: TypeAlias = Any
Variable: TypeAlias = Any

__all__ = [
    "SMOOTH_FUNCTIONS",
    "StraightLineProgram",
    "arb_module",
    "ball",
    "ball_primitives",
    "check_expression",
    "exact_fraction",
    "float_primitives",
    "working_precision",
    "xlogx",
]

SMOOTH_FUNCTIONS = frozenset(
    {"exp", "log", "tanh", "sinh", "cosh", "atanh", "asinh", "atan", "sin", "cos", "erf", "xlogx"}
)

_FLOAT_NAMES = {"atanh": "arctanh", "asinh": "arcsinh", "atan": "arctan"}


def arb_module() -> Any:
    """The module ``flint``; ImportError naming python-flint where it is missing."""
    try:
        import flint
    except ImportError as error:
        raise ImportError("certificates need the package python-flint: pip install python-flint") from error
    return flint


def working_precision(bits: int) -> Any:
    """Context manager: ball arithmetic at ``bits`` bits, the earlier precision restored after.

    The precision is global to the process: do not prove in two threads at once.
    """
    return arb_module().ctx.workprec(bits)


def exact_fraction(number: Any, name: str) -> Fraction:
    """An int, Fraction, finite float (its exact binary value) or sympy Rational as a Fraction.

    Raises ValueError naming ``name`` for anything else, infinities and NaN included.

    >>> exact_fraction(0.5, "end")
    Fraction(1, 2)
    """
    if getattr(number, "is_Rational", False):
        return Fraction(int(number.p), int(number.q))
    if isinstance(number, int | Fraction | np.integer) and not isinstance(number, bool):
        return Fraction(number if isinstance(number, Fraction) else int(number))
    if isinstance(number, float | np.floating) and math.isfinite(number):
        return Fraction(float(number))
    raise ValueError(f"{name} must be a finite rational number, got {number!r}")


def ball(low: Fraction, high: Fraction) -> Any:
    """The smallest available ball around [low, high]; it never reaches below 0 if low >= 0."""
    flint = arb_module()
    lower = flint.arb(flint.fmpq(low.numerator, low.denominator))
    if low == high:
        return lower
    hull = lower.union(flint.arb(flint.fmpq(high.numerator, high.denominator)))
    # Radii are rounded up to 30 bits: the plain ball around [0, 1] contains -5e-10.
    return hull.nonnegative_part() if low >= 0 else hull


def xlogx(x: Any) -> Any:
    """The sympy function x log x on [0, inf), continuously extended by 0 at x = 0.

    In contrast to ``x*log(x)`` its ball extension is finite on boxes that touch x = 0.

    >>> xlogx(0), xlogx(1)
    (0, 0)
    """
    return _xlogx_class()(x)


def check_expression(expression: Expression, name: str = "f") -> None:
    """Raise unless every part of the formula has a ball extension.

    ValueError for a sympy Float (it is not exact: write Rational) or an infinite or undefined
    part; NotImplementedError naming a function or constant that is not supported.
    """
    import sympy

    for part in sympy.preorder_traversal(expression):
        if part.is_Float:
            raise ValueError(f"{name} must have exact constants: write Rational, got Float {part}")
        if part in (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
            raise ValueError(f"{name} must be finite, got an expression that contains {part}")
        if part.is_Symbol or part.is_Rational or part in (sympy.pi, sympy.E):
            continue
        if part.is_Add or part.is_Mul or part.is_Pow or part.func.__name__ in SMOOTH_FUNCTIONS:
            continue
        raise NotImplementedError(f"{name} contains {part.func.__name__}, which is not supported")


class StraightLineProgram:
    """Python code in which every distinct part of an expression is computed once.

    The ``domain`` matters where a fractional power (or `xlogx`) has a base that touches 0: the
    base is clamped at 0 only if algebra shows it to be >= 0 on the whole domain.
    """

    def __init__(self, expression: Expression, variables: tuple[Variable, ...], domain: Box):
        self.variables = variables
        self.domain = domain
        self.names = {v: f"x{i}" for i, v in enumerate(variables)}
        self.constants: list[str] = []
        self.steps: list[str] = []
        self.clamps: dict[str, Callable[[], bool]] = {}
        self.signs: dict[Any, bool] = {}
        result = self.emit(expression)
        arguments = ", ".join(f"x{i}" for i in range(len(variables)))
        body = "".join(f"    {step}\n" for step in self.steps)
        source = "\n".join(self.constants) + f"\ndef program({arguments}):\n{body}    return {result}\n"
        self.bytecode = compile(source, "<ball extension>", "exec")

    def function(self, primitives: dict[str, Any]) -> Callable[..., Any]:
        """The program over the given primitives; its constants get the current precision."""
        namespace: dict[str, Any] = {**primitives, **self.clamps}
        exec(self.bytecode, namespace)
        return namespace["program"]

    def emit(self, part: Any) -> str:
        """Name of the variable that holds ``part``; constants are computed outside the function."""
        if part not in self.names:
            code = self.code(part)
            target = self.constants if not part.free_symbols else self.steps
            name = f"{'c' if not part.free_symbols else 't'}{len(target)}"
            target.append(f"{name} = {code}")
            self.names[part] = name
        return self.names[part]

    def code(self, part: Any) -> str:
        import sympy

        if part.is_Rational:
            return f"rational({part.p}, {part.q})"
        if part is sympy.pi or part is sympy.E:
            return "pi()" if part is sympy.pi else "e()"
        if part.is_Add or part.is_Mul:
            sign = ""
            parts = part.args
            if part.is_Mul and parts[0] == -1:
                sign, parts = "-", parts[1:]
            joined = (" + " if part.is_Add else " * ").join(self.emit(p) for p in parts)
            # Rounding alone would let a sum or product of numbers >= 0 reach below 0.
            return f"clipped({joined})" if self.is_nonnegative(part) else f"{sign}({joined})"
        if part.is_Pow:
            return self.power(part.base, part.exp)
        name = part.func.__name__
        if name not in SMOOTH_FUNCTIONS:
            raise NotImplementedError(f"{name} is not supported, met in {part}")
        arguments = ", ".join(self.emit(argument) for argument in part.args)
        return f"{name}({arguments}{self.clamp(part.args[0]) if name == 'xlogx' else ''})"

    def is_nonnegative(self, part: Any) -> bool:
        """Whether the form of ``part`` shows that it is >= 0 wherever it is defined."""
        if part not in self.signs:
            if part.is_Rational:
                sign = part >= 0
            elif part.is_Symbol:
                sign = self.domain[self.variables.index(part)][0] >= 0
            elif part.is_Add or part.is_Mul:
                sign = all(self.is_nonnegative(p) for p in part.args)
            elif part.is_Pow:
                even = part.exp.is_Integer and part.exp % 2 == 0
                sign = bool(even) or not part.exp.is_Integer or self.is_nonnegative(part.base)
            else:
                sign = part.func.__name__ in {"exp", "cosh"}
            self.signs[part] = bool(sign)
        return self.signs[part]

    def power(self, base: Any, exponent: Any) -> str:
        if exponent.is_Integer:
            reciprocal = "1 / " if exponent < 0 else ""
            size = abs(int(exponent))
            base_name = self.emit(base)
            return reciprocal + (base_name if size == 1 else f"integer_power({base_name}, {size})")
        return f"power({self.emit(base)}, {self.emit(exponent)}{self.clamp(base)})"

    def clamp(self, base: Any) -> str:
        """Name of a test, made at most once, that ``base`` is >= 0 on the whole domain."""
        name = f"clamp{len(self.clamps)}"
        self.clamps[name] = functools.cache(
            lambda: self.is_nonnegative(base) or sign_inside(base, self.variables, self.domain) in (0, 1)
        )
        return f", {name}"


@functools.cache
def ball_primitives() -> dict[str, Any]:
    flint = arb_module()
    arb = flint.arb

    def integer_power(x: Any, n: int) -> Any:
        low, high = x.lower() ** n, x.upper() ** n
        if n % 2:
            return low.union(high)
        hull = arb(0).union(low.max(high)) if x.contains(0) else low.union(high)
        return hull.nonnegative_part()

    def power(x: Any, exponent: Any, clamp: Callable[[], bool]) -> Any:
        if x > 0:
            return x**exponent
        if exponent > 0 and clamp():
            top = x.nonnegative_part().upper()
            return arb(0).union(top**exponent).nonnegative_part() if top > 0 else arb(0)
        return arb.nan()

    def xlogx(x: Any, clamp: Callable[[], bool]) -> Any:
        if x > 0:
            low, high = x.lower(), x.upper()
            values = (low * low.log()).union(high * high.log())
            turn = (arb(-1)).exp()
            return values.union(-turn) if x.overlaps(turn) else values
        if not clamp():
            return arb.nan()
        top = x.nonnegative_part().upper()
        if not top > 0:
            return arb(0)
        values = arb(0).union(top * top.log())
        return values if top < arb(-1).exp() else values.union(-arb(-1).exp())

    methods = {name: getattr(arb, name) for name in SMOOTH_FUNCTIONS - {"xlogx"}}
    return methods | {
        "rational": lambda p, q: arb(flint.fmpq(p, q)),
        "pi": arb.pi,
        "e": arb.const_e,
        "clipped": lambda x: x.nonnegative_part() if x.is_finite() else x,
        "integer_power": integer_power,
        "power": power,
        "xlogx": xlogx,
    }


def float_primitives() -> dict[str, Any]:
    functions = {name: getattr(np, _FLOAT_NAMES.get(name, name)) for name in SMOOTH_FUNCTIONS - {"xlogx", "erf"}}
    return functions | {
        "erf": erf,
        "rational": lambda p, q: p / q,
        "pi": lambda: math.pi,
        "e": lambda: math.e,
        "clipped": lambda x: x,
        "integer_power": lambda x, n: x**n,
        "power": lambda x, exponent, clamp: np.power(x, exponent),
        "xlogx": lambda x, clamp: xlogy(x, x),
    }


@functools.cache
def _xlogx_class() -> Any:
    import sympy

    class XLogX(sympy.Function):
        nargs = 1

        @classmethod
        def eval(cls, x: Any) -> Any:
            return sympy.S.Zero if x in (0, 1) else None

        def fdiff(self, argindex: int = 1) -> Any:
            return 1 + sympy.log(self.args[0])

        def _eval_rewrite_as_log(self, x: Any, **_: Any) -> Any:
            return x * sympy.log(x)

        def _eval_evalf(self, prec: int) -> Any:
            return self.rewrite(sympy.log)._eval_evalf(prec)

    XLogX.__name__ = "xlogx"  # under this name sympy prints it
    return XLogX
