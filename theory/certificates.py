"""Proofs of inequalities f >= 0 over a whole box, by ball arithmetic and bisection.

Sampling can only fail to find a counter-example. For a formula in one to three real variables one
can do better: ball arithmetic encloses all values of f on a box, and where the ball is not yet
>= 0 the box is bisected. The answer has three values: *proved*, *refuted* (with a point at which
f < 0 is itself verified in ball arithmetic) or *undecided* (with the boxes that are left).
Floats only steer and hunt; no proof rests on a sample.

    b = sympy.Symbol("b")
    T = (xlogx(1 + b) + xlogx(1 - b)) / 2
    certify_nonnegative(T - b**2 / 2, b, (0, 1)).explain()

The rules R1-R6 that close a box are in ``theory.box_proofs``; R7 is refutation. Where bisection
cannot end (poles, infinite slopes, an equality curve) there are remedies:

    E1  `certify_weighted_derivative`: f = 0 on a face, w > 0 inside, w d_i f >= 0 on the box
    E2  `substitute_endpoint`: x = end - u^m turns fractional powers into polynomials
    E3  `xlogx` and fractional powers, which are continuous up to a zero base
    E4  cut the domain: prove the two parts separately, each with its own remedy

`certify_convex` and `certify_monotone` prove the sign of a derivative in the same way.

Source: branch and bound in interval arithmetic is classical (R. E. Moore, 1966); the rules for
zero faces and the remedies are our own, each with its proof where it is implemented.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from theory.ball_arithmetic import check_expression, exact_fraction, xlogx
from theory.branch_and_bound import (
    RULES,
    Certificate,
    Limits,
    ProvedBox,
    search,
    verified_violation,
)
from theory.interval_expressions import BallSeries, ZeroFace, ball_expression
from theory.symbolic_signs import (
    Box,
    differentiate,
    positive_factors,
    sign_inside,
    singular_part,
    split_arguments,
    without_signed_factors,
)
from theory.validation import whole_number

# Formulas and symbols of sympy, which is imported only inside the functions that use it.
Expression: TypeAlias = Any
Variable: TypeAlias = Any

__all__ = [
    "RULES",
    "Box",
    "Certificate",
    "Inequality",
    "ProvedBox",
    "ZeroFace",
    "certify_convex",
    "certify_monotone",
    "certify_nonnegative",
    "certify_weighted_derivative",
    "substitute_endpoint",
    "vanishing_order",
    "xlogx",
]

_LARGEST_ORDER = 20
_LONGEST_NOTE = 160


@dataclass(frozen=True)
class Inequality:
    """The statement ``expression >= 0`` for all ``variables`` in ``box``.

    ``variables`` and ``box`` as in `certify_nonnegative`; ``name`` and ``source`` say what it is
    and where it comes from.
    """

    expression: Any
    variables: Any
    box: Any
    name: str = ""
    source: str = ""


def certify_nonnegative(
    f: Any,
    variables: Any = None,
    box: Any = None,
    *,
    max_boxes: int = 20_000,
    max_depth: int = 60,
    precision: int = 64,
    seed: int = 0,
    rules: Sequence[str] = RULES,
) -> Certificate:
    """Prove or refute f >= 0 on a box.

    ``f`` is a sympy expression with exact constants, an `Inequality` (then ``variables`` and
    ``box`` are its own), or a callable of one variable that computes the same smooth function on
    ``flint.arb`` and ``flint.arb_series``. ``variables`` are one to three symbols, by default the keys of ``box``
    or the free symbols of ``f`` by name. ``box`` is a mapping from symbol to (low, high), a
    sequence of such pairs, or one pair for a single variable; ends are ints, Fractions, sympy
    Rationals or floats (taken as exact binary numbers).

    First 100,000 random points, log-spaced towards every face, are evaluated in float64 and the
    lowest ten verified in ball arithmetic (R7). Then boxes are examined breadth first at
    ``precision`` bits and bisected until each is closed by one of the ``rules``, ``max_boxes``
    have been examined or ``max_depth`` is reached; boxes that are left get a second look at twice
    the precision. ``seed`` only moves the hunting points: a proof does not depend on it.

    Raises ValueError for an empty, infinite or missing box, variables that do not cover f, more
    than three variables, inexact constants or limits out of range; NotImplementedError naming
    a function that has no ball extension; ImportError where python-flint is missing.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> certificate = certify_nonnegative(sympy.exp(x) - 1 - x, x, (0, 1))
    >>> certificate.proved, certificate.verify()
    (True, True)
    """
    limits = Limits(max_boxes, max_depth, precision, seed, tuple(rules))
    if isinstance(f, Inequality):
        if variables is not None or box is not None:
            raise ValueError("variables and box must be left out for an Inequality, which has its own")
        f, variables, box, name = f.expression, f.variables, f.box, f.name
    else:
        name = ""
    if callable(f) and not hasattr(f, "free_symbols"):
        side = _side(box[0] if _is_list_of_pairs(box) else box)
        title = name or getattr(f, "__name__", "f")
        return search(BallSeries(f, (side,)), limits, f"{title}(x) >= 0 for x in [{side[0]}, {side[1]}]")
    expression, symbols, domain = _exact_problem(f, variables, box)
    function = ball_expression(expression, symbols, domain)
    return search(function, limits, _statement(name or f"{f} >= 0", symbols, domain))


def certify_weighted_derivative(
    f: Expression,
    variable: Variable,
    at: Any,
    weight: Any,
    box: Any,
    *,
    order: int = 1,
    **limits: Any,
) -> Certificate:
    """Remedy E1: prove f >= 0 on the box from the sign of a weighted derivative.

    If f, .., d^(order-1) f vanish on the face ``variable = at`` (an end of the box), f is analytic
    inside the box and continuous up to that face, the ``weight`` is positive inside, and

        (+-1)^order weight d^order f / d variable^order >= 0   on the closed box

    (minus at an upper end), then f >= 0 inside, and by continuity wherever f extends to the
    boundary. The weight cancels poles of the derivative, also those at which f itself has an
    infinite slope. All premises are checked; ValueError names the one that cannot be shown.

    The certificate is that of the weighted derivative. If that is negative somewhere, this says
    nothing of f: the outcome is then refuted only if a negative value of f itself is found, else
    undecided (None). ``limits`` are those of `certify_nonnegative`.

    >>> import sympy
    >>> t, x = sympy.symbols("t x")
    >>> f = t * sympy.atanh(x) - t * x
    >>> bool(certify_weighted_derivative(f, x, 0, 1 - x**2, {t: (0, 1), x: (0, 1)}))
    True
    """
    problem = _DerivativeSign(f, variable, box, order, weight)
    end = exact_fraction(at, "at")
    low, high = problem.domain[problem.axis]
    if end not in (low, high):
        raise ValueError(f"at must be an end of [{low}, {high}], got {end}")
    zeros = problem.original.vanishing_order(problem.axis, end)
    if zeros < order:
        raise ValueError(f"f must vanish to order {order} at {variable} = {end}, it does to order {zeros}")
    sign = -1 if end == high and order % 2 else 1
    certificate = problem.certify(sign, f"{f} >= 0", Limits(**limits))
    face = problem.original.zero_face({problem.axis: end}, order)
    if certificate.proved is False:
        # A negative derivative does not refute f >= 0; only a negative value of f does.
        direct = search(problem.original, Limits(max_boxes=1), certificate.statement)
        if direct.proved is False:
            return direct
        note = f"the weighted derivative is negative at {certificate.counterexample}; f may not be"
        return dataclasses.replace(certificate, proved=None, counterexample=None, violation=None, note=note)
    return dataclasses.replace(certificate, zeros=(face, *certificate.zeros))


def certify_convex(
    f: Expression,
    variable: Variable,
    box: Any,
    substitution: tuple[Any, int] | None = None,
    weight: Any = None,
    **limits: Any,
) -> Certificate:
    """Prove or refute that f is convex in ``variable`` on the box.

    Certifies weight d^2 f / d variable^2 >= 0, with a ``weight`` (a formula in the variables of f)
    that is positive inside the box and cancels a pole of f''. ``substitution = (end, m)``
    rewrites the result in u, variable = end -+ width u^m with u in [0, 1], which makes fractional
    powers of the distance to that end smooth. A refutation carries a point, in the variables of
    f, at which f'' < 0 is verified. Raises as `certify_weighted_derivative`.

    >>> import sympy
    >>> b = sympy.Symbol("b")
    >>> T = 1 - sympy.sqrt(1 - b**2)
    >>> pole = (1 - b) ** sympy.Rational(3, 2)
    >>> bool(certify_convex(T, b, (0, 1), substitution=(1, 2), weight=pole))
    True
    """
    problem = _DerivativeSign(f, variable, box, 2, weight, substitution)
    return problem.certify(1, f"{f} is convex in {variable}", Limits(**limits))


def certify_monotone(
    f: Expression,
    variable: Variable,
    box: Any,
    substitution: tuple[Any, int] | None = None,
    weight: Any = None,
    *,
    increasing: bool = True,
    **limits: Any,
) -> Certificate:
    """Prove or refute that f is non-decreasing (non-increasing) in ``variable`` on the box.

    As `certify_convex`, with the first derivative.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> bool(certify_monotone(x - sympy.sin(x), x, (0, 6)))
    True
    """
    problem = _DerivativeSign(f, variable, box, 1, weight, substitution)
    direction = "non-decreasing" if increasing else "non-increasing"
    return problem.certify(1 if increasing else -1, f"{f} is {direction} in {variable}", Limits(**limits))


def substitute_endpoint(
    f: Expression, variable: Variable, end: Any, power: int, *, width: Any = 1
) -> tuple[Expression, Variable]:
    """Remedy E2: (f with variable = end - width u^power, the symbol u > 0).

    u in [0, 1] runs from ``end`` to ``end - width``; a lower end has a negative width. A power
    (end - variable)^(p/q) becomes smooth if ``power`` is a multiple of q.

    >>> import sympy
    >>> b = sympy.Symbol("b")
    >>> substitute_endpoint(sympy.sqrt(1 - b), b, 1, 2)
    (u, u)
    """
    import sympy

    whole_number("power", power, 1)
    end, width = exact_fraction(end, "end"), exact_fraction(width, "width")
    if width == 0:
        raise ValueError("width must not be zero")
    names = {symbol.name for symbol in f.free_symbols}
    u = sympy.Symbol("u" if "u" not in names else f"u_{variable.name}", positive=True)
    inside = sympy.Rational(end) - sympy.Rational(width) * u**power
    return f.subs(variable, inside), u


def vanishing_order(f: Expression, variable: Variable, at: Any) -> tuple[int, Expression]:
    """(k, d^k f at ``at``): the order of the zero of f at ``variable = at`` and the first
    derivative that is not identically zero there (k = 0 where f itself is not).

    Raises ValueError if the first 20 derivatives vanish or one of them is not finite.

    >>> import sympy
    >>> b = sympy.Symbol("b")
    >>> vanishing_order(sympy.cos(b) - 1 + b**2 / 2, b, 0)
    (4, 1)
    """
    import sympy

    check_expression(f)
    end = sympy.Rational(exact_fraction(at, "at"))
    derivative = f
    for order in range(_LARGEST_ORDER):
        coefficient = sympy.simplify(derivative.subs(variable, end))
        if coefficient.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
            raise ValueError(f"f must be smooth at {variable} = {end}; derivative {order} is not")
        if coefficient != 0:
            return order, coefficient
        derivative = sympy.diff(derivative, variable)
    raise ValueError(f"f vanishes to order {_LARGEST_ORDER} or more at {variable} = {end}")


class _DerivativeSign:
    """The statement sign x weight x d^order f / d variable^order >= 0, its premises checked."""

    def __init__(
        self,
        f: Expression,
        variable: Variable,
        box: Any,
        order: int,
        weight: Any,
        substitution: tuple[Any, int] | None = None,
    ):
        import sympy

        self.start = time.perf_counter()
        whole_number("order", order, 1)
        self.expression, self.symbols, self.domain = _exact_problem(f, None, box)
        names = [symbol.name for symbol in self.symbols]
        if getattr(variable, "name", None) not in names:
            raise ValueError(f"variable must be one of {', '.join(names)}, got {variable}")
        self.axis, self.order, self.substitution = names.index(variable.name), order, substitution
        singular = singular_part(self.expression, self.symbols, self.domain)
        if singular is not None:
            raise ValueError(f"f cannot be shown to be smooth inside the box: see {singular}")
        weight = sympy.sympify(1 if weight is None else weight)
        check_expression(weight, "weight")
        self.weight = weight.xreplace(_by_name(weight, self.symbols, "weight"))
        self._check_weight()
        self.original = ball_expression(self.expression, self.symbols, self.domain)

    def certify(self, sign: int, statement: str, limits: Limits) -> Certificate:
        import sympy

        symbols, domain = self.symbols, self.domain
        derivative = self._derivative(split_arguments(self.expression, symbols, domain))
        derivative = split_arguments(derivative, symbols, domain)
        # tanh has a tighter ball than sinh / cosh, which cancels to it where log cosh was derived.
        derivative = derivative.replace(sympy.sinh, lambda x: sympy.tanh(x) * sympy.cosh(x))
        # Multiplied term by term, so that the weight cancels the pole of each term.
        weight = positive_factors(self.weight, symbols, domain)
        weighted = sympy.Add(*(sign * weight * term for term in sympy.Add.make_args(derivative)))
        if self.substitution is not None:
            weighted, symbols, domain = self._substituted(weighted)
        weighted, target = without_signed_factors(weighted, symbols, domain)
        title = _statement(statement, self.symbols, self.domain)
        certificate = search(ball_expression(target, symbols, domain), limits, title)
        if certificate.proved is False:
            certificate = self._refuted(certificate, sign)
        shown = str(weighted)
        note = f"weight x derivative = {shown}" if len(shown) <= _LONGEST_NOTE else ""
        seconds = time.perf_counter() - self.start
        return dataclasses.replace(certificate, note=certificate.note or note, seconds=seconds)

    def _derivative(self, expression: Any) -> Any:
        for _ in range(self.order):
            expression = differentiate(expression, self.symbols[self.axis])
        return expression

    def _check_weight(self) -> None:
        smooth = singular_part(self.weight, self.symbols, self.domain) is None
        if smooth and sign_inside(self.weight, self.symbols, self.domain) == 1:
            return
        margin = self.weight - Fraction(1, 2**20)
        if not search(ball_expression(margin, self.symbols, self.domain), Limits(max_boxes=1000), "weight > 0"):
            raise ValueError(f"weight must be positive inside the box, got {self.weight}")

    def _end_and_width(self) -> tuple[Fraction, Fraction]:
        low, high = self.domain[self.axis]
        assert self.substitution is not None
        end = exact_fraction(self.substitution[0], "substitution")
        if end not in (low, high):
            raise ValueError(f"substitution must start at an end of [{low}, {high}], got {end}")
        return end, (high - low if end == high else low - high)

    def _substituted(self, weighted: Any) -> tuple[Any, tuple[Any, ...], Box]:
        assert self.substitution is not None
        end, width = self._end_and_width()
        variable = self.symbols[self.axis]
        weighted, u = substitute_endpoint(weighted, variable, end, self.substitution[1], width=width)
        kept = dict(zip(self.symbols, self.domain, strict=True))
        sides = {u if s == variable else s: (0, 1) if s == variable else kept[s] for s in kept}
        return _exact_problem(weighted, None, sides)

    def _refuted(self, certificate: Certificate, sign: int) -> Certificate:
        """The counter-example in the variables of f, where the derivative itself is evaluated."""
        assert certificate.counterexample is not None
        point = list(certificate.counterexample)
        if self.substitution is not None:
            end, width = self._end_and_width()
            inner = Fraction(point[self.axis]) ** self.substitution[1]
            point[self.axis] = float(end - width * inner)
        function = ball_expression(sign * self._derivative(self.expression), self.symbols, self.domain)
        bounds = verified_violation(function, tuple(point))
        if bounds is None:
            return dataclasses.replace(
                certificate,
                proved=None,
                counterexample=None,
                violation=None,
                note="the weighted derivative is negative, but no negative value was verified",
            )
        return dataclasses.replace(
            certificate,
            counterexample=tuple(point),
            worst_lower_bound=bounds[0],
            violation=bounds[1],
            function=function,
        )


def _exact_problem(f: Any, variables: Any, box: Any) -> tuple[Any, tuple[Any, ...], Box]:
    """The formula over fresh real (non-negative) symbols, these symbols, and the exact box."""
    import sympy

    if not isinstance(f, sympy.Expr):
        raise ValueError(f"f must be a sympy expression, an Inequality or a callable, got {f!r}")
    check_expression(f)
    if box is None:
        raise ValueError("box must be given: a (low, high) pair for every variable")
    if variables is None:
        free: Any = f.free_symbols
        by_name = sorted(free, key=lambda symbol: symbol.name)
        variables = list(box) if isinstance(box, Mapping) else by_name
    variables = [variables] if isinstance(variables, sympy.Symbol) else list(variables)
    if not all(isinstance(v, sympy.Symbol) for v in variables) or not 1 <= len(variables) <= 3:
        raise ValueError(f"variables must be one to three sympy symbols, got {variables}")
    if len({v.name for v in variables}) < len(variables):
        raise ValueError(f"variables must have different names, got {variables}")
    if isinstance(box, Mapping):
        missing = [v for v in variables if v not in box]
        if missing:
            raise ValueError(f"box must have a (low, high) pair for {missing[0]}")
        sides = [box[v] for v in variables]
    else:
        sides = list(box) if _is_list_of_pairs(box) else [box]
    if len(sides) != len(variables):
        raise ValueError(f"box must have {len(variables)} sides, one per variable, got {len(sides)}")
    domain = tuple(_side(side) for side in sides)
    symbols = tuple(
        sympy.Symbol(v.name, nonnegative=True) if low >= 0 else sympy.Symbol(v.name, real=True)
        for v, (low, _) in zip(variables, domain, strict=True)
    )
    return f.xreplace(_by_name(f, symbols, "f")), symbols, domain


def _by_name(f: Any, symbols: tuple[Any, ...], argument: str) -> dict[Any, Any]:
    known = {symbol.name: symbol for symbol in symbols}
    unknown = sorted(s.name for s in f.free_symbols if s.name not in known)
    if unknown:
        raise ValueError(
            f"variables must cover the symbols of {argument}: {unknown[0]} is not among {', '.join(known)}"
        )
    return {symbol: known[symbol.name] for symbol in f.free_symbols}


def _is_list_of_pairs(box: Any) -> bool:
    return isinstance(box, Sequence) and len(box) > 0 and isinstance(box[0], Sequence)


def _side(side: Any) -> tuple[Fraction, Fraction]:
    if not isinstance(side, Sequence) or len(side) != 2:
        raise ValueError(f"box must consist of (low, high) pairs, got {side!r}")
    low, high = exact_fraction(side[0], "box"), exact_fraction(side[1], "box")
    if low >= high:
        raise ValueError(f"box must have low < high on every side, got [{low}, {high}]")
    return low, high


def _statement(text: str, symbols: tuple[Any, ...], domain: Box) -> str:
    sides = (f"{s} in [{a}, {b}]" for s, (a, b) in zip(symbols, domain, strict=True))
    return f"{text} for {', '.join(sides)}"
