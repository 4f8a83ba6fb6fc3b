"""Signs, zeros and derivatives of formulas, by algebra alone, without evaluating anything.

Three questions are answered exactly or not at all (None, False, or the offending part):

* `sign_inside`: does a formula keep one strict sign in the open box? Products, powers, sums of
  terms of one sign; for a polynomial each irreducible factor is written in the Bernstein basis of
  the box, whose members are positive inside: coefficients of one sign give the factor that sign.
* `is_identically_zero`: is a formula the zero function on the box?
* `singular_part`: which part of a formula may fail to be analytic in the open box?

They guard the proofs of ``theory.certificates``: a weight must be positive inside, a fractional
power needs a base >= 0, a monotonicity argument needs a function without hidden jumps.

    sign_inside(1 - x**2, (x,), ((Fraction(0), Fraction(1)),))   ->   1

Source: Bernstein's range criterion (G. T. Cargo and O. Shisha, 1966); the rest is our own.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import comb
from typing import Any, TypeAlias

# Formulas and symbols of sympy, which is imported only inside the functions that use it.
Expression: TypeAlias = Any
Variable: TypeAlias = Any

__all__ = [
    "Box",
    "differentiate",
    "is_identically_zero",
    "positive_factors",
    "sign_inside",
    "singular_part",
    "split_arguments",
    "without_signed_factors",
]

Box: TypeAlias = tuple[tuple[Fraction, Fraction], ...]

_ODD_INCREASING = frozenset({"tanh", "sinh", "atanh", "asinh", "atan", "erf"})
_DEEPEST_PART = 6
_FACTOR_SIZE = 150  # operations; factoring larger expressions can take minutes


def sign_inside(expression: Expression, variables: tuple[Variable, ...], box: Box) -> int | None:
    """1 or -1 if the formula has that strict sign everywhere in the open box, 0 if it is the
    number 0, None if that cannot be told. By continuity the closed box then has the weak sign.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> sign_inside(1 - x**2, (x,), ((Fraction(0), Fraction(1)),))
    1
    """
    import sympy

    def sign(part: Any) -> int | None:
        if not part.free_symbols:
            return _sign_of_number(part)
        if part.is_Symbol:
            low, high = box[variables.index(part)]
            return 1 if low >= 0 else -1 if high <= 0 else None
        if part.is_Mul:
            return _product_sign(sign(factor) for factor in part.args)
        if part.is_Pow:
            base, exponent = sign(part.base), part.exp
            if exponent.is_Integer and base is not None:
                return base if exponent % 2 else base * base
            return 1 if base == 1 else None
        if part.is_Add:
            return _sign_of_sum(part)
        name = part.func.__name__
        if name in {"exp", "cosh"}:
            return 1
        if name in _ODD_INCREASING:
            return sign(part.args[0])
        return sign(part.args[0] - 1) if name == "log" else None

    def _sign_of_sum(part: Any) -> int | None:
        if part.is_polynomial(*variables):
            polynomial = sympy.Poly(part, *variables)
            if polynomial.domain.is_ZZ or polynomial.domain.is_QQ:
                constant, factors = polynomial.factor_list()
                return _product_sign(
                    [
                        _sign_of_number(constant),
                        *(None if (s := _bernstein_sign(f, box)) is None else s**k for f, k in factors),
                    ]
                )
        signs = {_product_sign([sign(g), sign(c)]) for g, c in _grouped(part).items()}
        if len(signs) == 1:
            return signs.pop()
        if part.is_rational_function(*variables):
            numerator, denominator = sympy.fraction(sympy.together(part))
            if denominator.free_symbols:
                return _product_sign([sign(numerator), sign(denominator)])
        return None

    def _grouped(part: Any) -> dict[Any, Any]:
        """The sum of c(x) g with polynomials c and factors g that are not: {g: c}."""
        groups: dict[Any, Any] = {}
        for term in part.args:
            polynomial, rest = sympy.S.One, sympy.S.One
            for factor in sympy.Mul.make_args(term):
                if factor.is_polynomial(*variables):
                    polynomial *= factor
                else:
                    rest *= factor
            groups[rest] = groups.get(rest, 0) + polynomial
        return groups if len(groups) > 1 else dict.fromkeys(part.args, 1)

    return sign(sympy.sympify(expression))


def singular_part(expression: Expression, variables: tuple[Variable, ...], box: Box) -> Any | None:
    """None if the formula is analytic in the open box, else a part that is not shown to be so."""
    import sympy

    parts: list[Any] = list(sympy.preorder_traversal(expression))
    for part in parts:
        name = part.func.__name__
        if part.is_Pow and not (part.exp.is_Integer and part.exp.is_nonnegative):
            allowed = {1, -1} if part.exp.is_Integer else {1}
            if sign_inside(part.base, variables, box) not in allowed:
                return part
        elif name in {"log", "xlogx"}:
            if sign_inside(part.args[0], variables, box) != 1:
                return part
        elif name == "atanh" and sign_inside(1 - part.args[0] ** 2, variables, box) != 1:
            return part
    return None


def is_identically_zero(expression: Expression, variables: tuple[Variable, ...], box: Box) -> bool:
    """Whether sympy can show that the formula is the zero function on the box.

    False means "not shown". Call it only after a numerical test: on a formula that is not zero
    sympy may search for minutes.
    """
    import sympy

    if expression == 0:
        return True
    if expression.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return False
    expanded = sympy.expand(split_arguments(expression, variables, box))
    return expanded == 0 or sympy.simplify(expanded) == 0


def split_arguments(expression: Expression, variables: tuple[Variable, ...], box: Box) -> Any:
    """Write log(c g h^2) as log c + log g + 2 log h and (c g)^q as c^q g^q wherever the factors
    g, h of a rational argument are positive inside the box; `xlogx` becomes x log x.
    """
    import sympy

    def split_log(argument: Any) -> Any:
        parts = _oriented_factors(argument, variables, box)
        return sympy.log(argument) if parts is None else sum(k * sympy.log(g) for g, k in parts)

    def split_power(base: Any, exponent: Any) -> Any:
        polynomial = exponent.is_Integer and exponent > 0
        parts = None if polynomial else _oriented_factors(base, variables, box)
        if parts is None:
            return base**exponent
        return sympy.Mul(*(g ** (k * exponent) for g, k in parts))

    rewritten = sympy.sympify(expression).replace(
        lambda part: part.func.__name__ == "xlogx", lambda part: part.rewrite(sympy.log)
    )
    return rewritten.replace(sympy.log, split_log).replace(sympy.Pow, split_power)


def positive_factors(expression: Expression, variables: tuple[Variable, ...], box: Box) -> Any:
    """A rational function as a product of powers of polynomials that are positive inside the box
    where that is possible; any other formula with its `split_arguments`."""
    import sympy

    parts = _oriented_factors(expression, variables, box)
    if parts is None:
        return split_arguments(expression, variables, box)
    return sympy.Mul(*(g**k for g, k in parts))


def differentiate(expression: Expression, variable: Variable) -> Expression:
    """The partial derivative, each distinct part differentiated once.

    ``sympy.diff`` gives an equal formula about nine times slower on the nested powers and
    logarithms met here; most of a certificate's time would go there.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> differentiate(x * sympy.exp(x), x)
    x*exp(x) + exp(x)
    """
    import sympy

    known: dict[Any, Any] = {}

    def derivative(part: Any) -> Any:
        if part not in known:
            known[part] = rule(part) if variable in part.free_symbols else sympy.S.Zero
        return known[part]

    def rule(part: Any) -> Any:
        if part == variable:
            return sympy.S.One
        if part.is_Add:
            return sympy.Add(*(derivative(term) for term in part.args))
        if part.is_Mul:
            factors = part.args
            slopes = [(i, derivative(factor)) for i, factor in enumerate(factors)]
            return sympy.Add(*(sympy.Mul(*factors[:i], s, *factors[i + 1 :]) for i, s in slopes if s != 0))
        if part.is_Pow:
            base, exponent = part.base, part.exp
            if variable not in exponent.free_symbols:
                return exponent * base ** (exponent - 1) * derivative(base)
            return part * (derivative(exponent) * sympy.log(base) + exponent * derivative(base) / base)
        return part.fdiff(1) * derivative(part.args[0])

    return derivative(sympy.sympify(expression))


def without_signed_factors(
    expression: Expression, variables: tuple[Variable, ...], box: Box
) -> tuple[Expression, Expression]:
    """(the formula in factors, what is left of it when the factors of known sign are dropped).

    The second is >= 0 in the open box if and only if the first is: a factor that is positive
    inside goes, a negative one leaves -1, an even power goes because it is >= 0 and vanishes on
    no open set. Only algebraic formulas (in the variables and exponentials) of moderate size are factored.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> without_signed_factors(x - x**2 + x**3 / 4, (x,), ((Fraction(0), Fraction(1)),))
    (x*(x - 2)**2/4, 1)
    """
    import sympy

    powers: Any = expression.atoms(sympy.Pow)
    functions = expression.atoms(sympy.Function) - expression.atoms(sympy.exp)
    algebraic = not functions and all(power.exp.is_Rational for power in powers)
    if not algebraic or sympy.count_ops(expression) > _FACTOR_SIZE:
        return expression, expression
    factored = sympy.factor(expression)
    rest = sympy.S.One
    for factor in sympy.Mul.make_args(factored):
        _, exponent = factor.as_base_exp()
        if exponent.is_Integer and exponent > 0 and exponent % 2 == 0:
            continue
        sign = sign_inside(factor, variables, box)
        rest *= factor if sign is None else sign
    return factored, rest


def _oriented_factors(expression: Any, variables: tuple[Variable, ...], box: Box) -> list[tuple[Any, int]] | None:
    """Pairs (g, k) with the product of all g^k equal to the expression and every g positive
    inside, or None."""
    import sympy

    if not expression.free_symbols or not expression.is_rational_function(*variables):
        return None
    numerator, denominator = sympy.fraction(sympy.together(expression))
    oriented, sign = [], 1
    for part, direction in ((numerator, 1), (denominator, -1)):
        constant, factors = sympy.factor_list(part, *variables)
        for factor, k in [(constant, 1), *factors]:
            factor_sign = sign_inside(factor, variables, box)
            if not factor_sign:
                return None
            sign *= factor_sign**k
            oriented.append((factor * factor_sign, direction * int(k)))
    return oriented if sign == 1 else None


def _product_sign(signs: "Iterator[int | None] | list[int | None]") -> int | None:
    result = 1
    for sign in signs:
        if sign is None:
            return None
        result *= sign
    return result


def _sign_of_number(number: Any) -> int | None:
    return 1 if number.is_positive else -1 if number.is_negative else 0 if number == 0 else None


def _bernstein_sign(polynomial: Any, box: Box, depth: int = 0) -> int | None:
    """The common sign of the Bernstein coefficients, on the whole box or on parts of it.

    On the whole box some may be 0; on a part all must have the strict sign, which then holds on
    the closed part and so across the cuts.
    """
    monomials = _on_unit_box(polynomial, box)
    sizes = [max(index[axis] for index in monomials) for axis in range(len(box))]
    coefficients = [
        _bernstein_coefficient(monomials, index, sizes) for index in product(*(range(n + 1) for n in sizes))
    ]
    low, high = min(coefficients), max(coefficients)
    if low > 0 or (low == 0 < high and depth == 0):
        return 1
    if high < 0 or (high == 0 > low and depth == 0):
        return -1
    if depth == _DEEPEST_PART or low * high >= 0:
        return None
    axis = depth % len(box)
    start, end = box[axis]
    halves = ((start, (start + end) / 2), ((start + end) / 2, end))
    signs = {_bernstein_sign(polynomial, (*box[:axis], half, *box[axis + 1 :]), depth + 1) for half in halves}
    return signs.pop() if len(signs) == 1 else None


def _bernstein_coefficient(
    monomials: dict[tuple[int, ...], Fraction], index: tuple[int, ...], sizes: list[int]
) -> Fraction:
    total = Fraction(0)
    for powers, coefficient in monomials.items():
        for i, power, size in zip(index, powers, sizes, strict=True):
            coefficient *= Fraction(comb(i, power), comb(size, power))
        total += coefficient
    return total


def _on_unit_box(polynomial: Any, box: Box) -> dict[tuple[int, ...], Fraction]:
    """Coefficients in u, where x_i = low_i + (high_i - low_i) u_i."""
    monomials: dict[tuple[int, ...], Fraction] = {}
    for powers, coefficient in polynomial.terms():
        start = Fraction(int(coefficient.p), int(coefficient.q))
        expansions = [
            [comb(n, k) * low ** (n - k) * (high - low) ** k for k in range(n + 1)]
            for n, (low, high) in zip(powers, box, strict=True)
        ]
        for index in product(*(range(len(e)) for e in expansions)):
            term = start
            for expansion, k in zip(expansions, index, strict=True):
                term *= expansion[k]
            monomials[index] = monomials.get(index, Fraction(0)) + term
    return monomials
