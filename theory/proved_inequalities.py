"""Inequalities of the house that are proved, refuted, or known to resist bisection.

Each `Statement` is a formula of one of the papers with the outcome that a certificate must have
and the way it is reached. Notation: b = p_best - p_predicted in [0, 1], T_tau the transform of
comp-sum losses, n the number of classes, a = 1/(2 - tau), M = ((1 + b)^a + (1 - b)^a) / 2.

    for statement in statements():
        certificate = statement.certify()
        print(statement.name, certificate.proved, certificate.boxes)

Contents: (a) T_tau lies above the inverse of its power-law majorant, tau by tau and for all tau
at once; (b) T_1(b) >= b^2/2; (c) the regret of comp-sum losses is at least T_tau(b), for two
classes and, with cross-entropy, for any number; (d) bounds of the label-distributionally-robust
loss; (e) a local constant that is no majorant; (f) Pinsker and Hoeffding, where bisection alone
fails and the sign of a factored derivative decides.

For every tau in [1, 2) and every n the majorant follows from (b) alone: log M is convex in a,
equals 0 at a = 1 and has slope T_1(b) >= b^2/2 there, so log M >= (a - 1) b^2 / 2, and
(1 + (tau - 1) b^2 / 2)^a <= exp((a - 1) b^2 / 2) because a (tau - 1) = a - 1.

Sources: A. Mao, M. Mohri, Y. Zhong (2023), "Cross-entropy loss functions", for (a)-(c) and (e);
D. Zhu, Y. Ying, T. Yang (2023), "Label distributionally robust losses", for (d).
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from theory.certificates import (
    Certificate,
    certify_convex,
    certify_nonnegative,
    certify_weighted_derivative,
    xlogx,
)

__all__ = ["Statement", "comp_sum_regret", "comp_sum_transform", "statements"]

_COMP_SUM = "comp_sum (Mao, Mohri, Zhong 2023)"
_LDR = "ldr (Zhu, Ying, Yang 2023)"
_NEAR_ONE = 1 - Fraction(1, 2**20)


@dataclass(frozen=True)
class Statement:
    """A formula, its source, the outcome expected of its certificate, and the route to it.

    ``expected`` is True (proved), False (refuted) or None (undecided within a small budget, a
    documented limit of bisection). ``certify()`` computes the certificate afresh.
    """

    name: str
    formula: str
    source: str
    expected: bool | None
    route: str
    certify: Callable[[], Certificate]


def statements() -> tuple[Statement, ...]:
    """All statements, in the order of the module's description.

    >>> [s.name for s in statements()][:2]
    ['majorant tau=0', 'convex tau=0']
    """
    return (
        *_majorants_tau_by_tau(),
        *_majorants_for_every_tau(),
        *_transform_of_cross_entropy(),
        *_regret_of_two_classes(),
        *_regret_of_any_number_of_classes(),
        *_robust_losses(),
        *_local_constants(),
        *_limits_of_bisection(),
    )


def comp_sum_transform(tau: Any, n: Any, b: Any) -> Any:
    """T_tau(b) of comp-sum losses for 0 <= tau < 2 as a sympy expression; tau = 1 gives
    ((1+b) log(1+b) + (1-b) log(1-b)) / 2. ``n`` matters only for tau > 1.
    """
    import sympy

    if tau == 1:
        return (xlogx(1 + b) + xlogx(1 - b)) / 2
    a = 1 / (2 - tau)
    mean = (((1 + b) ** a + (1 - b) ** a) / 2) ** (2 - tau)
    if tau < 1:
        return 2 ** (1 - tau) / (1 - tau) * (1 - mean)
    return (mean - 1) / ((tau - 1) * sympy.Integer(n) ** (tau - 1))


def comp_sum_regret(tau: Any, t: Any, x: Any) -> Any:
    """Two-class regret of a comp-sum loss: label 0 has probability (1 + t)/2 and softmax score
    (1 - x)/2, x = tanh(-z/2) >= 0 for a wrong or tied decision. A sympy expression, 0 <= tau < 2.
    """
    import sympy

    p_best, p_other, s_best, s_other = (1 + t) / 2, (1 - t) / 2, (1 - x) / 2, (1 + x) / 2
    if tau == 1:
        cross_entropy = -p_best * sympy.log(s_best) - p_other * sympy.log(s_other)
        return cross_entropy + xlogx(p_best) + xlogx(p_other)
    a = 1 / (2 - tau)
    smallest = ((p_best**a + p_other**a) ** (2 - tau) - 1) / (1 - tau)
    loss = p_best * (s_best ** (tau - 1) - 1) + p_other * (s_other ** (tau - 1) - 1)
    return loss / (1 - tau) - smallest


def _majorants_tau_by_tau() -> Iterator[Statement]:
    import sympy

    b = sympy.Symbol("b")
    half, third = sympy.Rational(1, 2), sympy.Rational(4, 3)
    poles: dict[Any, tuple[Any, Any]] = {
        sympy.Integer(0): ((1, 2), (1 - b) ** (3 * half)),
        half: ((1, 3), (1 - b) ** third),
        sympy.Integer(1): (None, 1 - b),
        3 * half: (None, None),
    }
    for tau, (substitution, weight) in poles.items():
        for n in (2, 3, 10) if tau > 1 else (2,):
            title = f"tau={tau} n={n}" if tau > 1 else f"tau={tau}"
            transform = comp_sum_transform(tau, n, b)
            inverse = b**2 / (2**tau * (2 - tau)) if tau < 1 else b**2 / (2 * sympy.Integer(n) ** (tau - 1))
            yield Statement(
                f"majorant {title}",
                f"T_tau(b) >= {inverse} on [0, 1]",
                _COMP_SUM,
                True,
                "bisection, zero face b = 0",
                partial(certify_nonnegative, transform - inverse, b, (0, 1)),
            )
            yield Statement(
                f"convex {title}",
                "T_tau is convex on [0, 1]",
                _COMP_SUM,
                True,
                "E2" if substitution else "sign of T''",
                partial(certify_convex, transform, b, (0, 1), substitution, weight),
            )


def _majorants_for_every_tau() -> Iterator[Statement]:
    import sympy

    a, b, tau, x, y = sympy.symbols("a b tau x y")
    log = sympy.log
    power = 1 / (2 - tau)
    mean = ((1 + b) ** power + (1 - b) ** power) / 2
    cut = 1 - Fraction(1, 2**10)
    # Beyond the cut 1 + b <= 2 and 1 - b <= 2^-10.
    largest_mean = (2**power + 2 ** (-10 * power)) / 2
    log_pole = log(sympy.Rational(1 - cut**2))
    small = -tau * log(mean) - (2 - power) * log(1 - b**2)
    small_tail = -tau * log(largest_mean) - (2 - power) * log_pole
    yield Statement(
        "T'' >= T''(0), tau in [0, 1]",
        "-tau log M - (2 - a) log(1 - b^2) >= 0 on [0, 1] x [0, 1 - 2^-10]",
        _COMP_SUM,
        True,
        "bisection, tau as a variable",
        partial(certify_nonnegative, small, (tau, b), ((0, 1), (0, cut))),
    )
    yield Statement(
        "T'' >= T''(0), tau in [0, 1], tail",
        "the same for b in [1 - 2^-10, 1), from a bound of M in tau alone",
        _COMP_SUM,
        True,
        "E4",
        partial(certify_nonnegative, small_tail, tau, (0, 1)),
    )
    for name, top, expected in (("5/4", Fraction(5, 4), True), ("3/2", Fraction(3, 2), False)):
        yield Statement(
            f"T'' >= n^(1-tau), tau in [1, {name}]",
            "-tau log M - (2 - a) log(1 - b^2) - log(2 - tau) >= 0 for b <= 1 - 2^-10",
            _COMP_SUM,
            expected,
            "bisection, tau as a variable",
            partial(certify_nonnegative, small - log(2 - tau), (tau, b), ((1, top), (0, cut))),
        )
    yield Statement(
        "T'' >= n^(1-tau), tau in [1, 5/4], tail",
        "the same for b in [1 - 2^-10, 1), from a bound of M in tau alone",
        _COMP_SUM,
        True,
        "E4",
        partial(certify_nonnegative, small_tail - log(2 - tau), tau, (1, Fraction(5, 4))),
    )
    # M = (1 - b^2)^(a/2) cosh(a artanh b), whose derivative in a has the tightest ball.
    log_mean = a * log(1 - b**2) / 2 + log(sympy.cosh(a * sympy.atanh(b)))
    stronger = log_mean - (a - 1) * b**2 / 2
    corner = Fraction(63, 64)
    yield Statement(
        "majorant, tau in [1, 19/10]",
        "log M >= (a - 1) b^2 / 2 for a in [1, 10], b <= 63/64",
        _COMP_SUM,
        True,
        "E1 in a",
        partial(certify_weighted_derivative, stronger, a, 1, 1, {a: (1, 10), b: (0, corner)}),
    )
    yield Statement(
        "majorant, tau in [1, 19/10], tail",
        "log M(63/64) >= (a - 1)/2 for a in [1, 10]; M increases in b",
        _COMP_SUM,
        True,
        "E4",
        partial(certify_nonnegative, log_mean.subs(b, sympy.Rational(corner)) - (a - 1) / 2, a, (1, 10)),
    )
    yield Statement(
        "log M is convex in a",
        "log(e^(a x) + e^(a y)) is convex in a; with (b) this gives the majorant for tau in [1, 2)",
        _COMP_SUM,
        True,
        "sign of the factored second derivative",
        partial(certify_convex, log(sympy.exp(a * x) + sympy.exp(a * y)), a, {a: (1, 1000), x: (0, 1), y: (-1000, 0)}),
    )


def _transform_of_cross_entropy() -> Iterator[Statement]:
    import sympy

    b = sympy.Symbol("b")
    for constant in ("1/2", "501/1000", "5000001/10000000"):
        yield Statement(
            f"T_1 >= {constant} b^2",
            f"((1+b) log(1+b) + (1-b) log(1-b)) / 2 >= {constant} b^2 on [0, 1]",
            _COMP_SUM,
            constant == "1/2",
            "bisection, zero of order 4 at b = 0",
            partial(certify_nonnegative, comp_sum_transform(1, 2, b) - sympy.Rational(constant) * b**2, b, (0, 1)),
        )


def _regret_of_two_classes() -> Iterator[Statement]:
    import sympy

    t, x = sympy.symbols("t x")
    half = sympy.Rational(1, 2)
    regret, transform = comp_sum_regret(1, t, x), comp_sum_transform(1, 2, t)
    for scale in ("1", "102/100", "100001/100000"):
        yield Statement(
            f"regret >= {scale} T_1, two classes",
            f"KL(p || S) >= {scale} T_1(t), t = 2p - 1 in [0, 1], x in [0, 1 - 2^-20]",
            _COMP_SUM,
            scale == "1",
            "bisection of the formula as it stands",
            partial(certify_nonnegative, regret - sympy.Rational(scale) * transform, (t, x), ((0, 1), (0, _NEAR_ONE))),
        )
    weights = {
        sympy.Integer(0): (1 - x) ** 2,
        half: (1 - x) ** (3 * half),
        sympy.Integer(1): 1 - x**2,
        3 * half: sympy.sqrt(1 - x),
    }
    for tau, weight in weights.items():
        yield Statement(
            f"regret >= T_tau, two classes, tau={tau}",
            "regret_tau(t, x) >= T_tau(t) on the whole square",
            _COMP_SUM,
            True,
            "E1 in x",
            partial(
                certify_weighted_derivative,
                comp_sum_regret(tau, t, x) - comp_sum_transform(tau, 2, t),
                x,
                0,
                weight,
                {t: (0, 1), x: (0, 1)},
            ),
        )


def _regret_of_any_number_of_classes() -> Iterator[Statement]:
    """Given p, labels 0 (best) and j (predicted), KL(p || S) over S_j >= S_0 is smallest where
    S_0 = S_j and S = p elsewhere; with m = p_0 + p_j it is m T_1(b/m). So T_1(b) is a lower bound
    for every n iff m T_1(r) >= T_1(m r) for m, r in [0, 1]."""
    import sympy

    m, r = sympy.symbols("m r")
    f = m * comp_sum_transform(1, 2, r) - comp_sum_transform(1, 2, m * r)
    yield Statement(
        "regret >= T_1, any number of classes, bisection",
        "m T_1(r) >= T_1(m r) for m in [0, 1], r in [0, 1 - 2^-20]",
        _COMP_SUM,
        True,
        "bisection, three zero faces",
        partial(certify_nonnegative, f, (m, r), ((0, 1), (0, _NEAR_ONE))),
    )
    weight = (1 - r**2) * (1 - m**2 * r**2)
    yield Statement(
        "regret >= T_1, any number of classes",
        "m T_1(r) >= T_1(m r) for m, r in [0, 1]",
        _COMP_SUM,
        True,
        "E1 of order 2 in r",
        partial(certify_weighted_derivative, f, r, 0, weight, {m: (0, 1), r: (0, 1)}, order=2),
    )


def _robust_losses() -> Iterator[Statement]:
    import sympy

    q, s, z, lam, y = sympy.symbols("q s z lambda y")
    log, unit = sympy.log, (0, 1)
    square = y**2 / 2 - log(sympy.cosh(y))
    plain: list[tuple[str, str, bool, Any, Any, Any]] = [
        ("psi <= max, K=2", "log 2 - log(1 + q) >= 0", True, log(2) - log(1 + q), q, unit),
        ("psi >= max - lambda log 2", "log(1 + q) >= 0", True, log(1 + q), q, unit),
        ("psi <= max, K=3", "log 3 - log(1 + q + s) >= 0", True, log(3) - log(1 + q + s), (q, s), (unit, unit)),
        (
            "psi <= max, K=2, unreduced",
            "lambda (log 2 - log(1 + e^(-z/lambda))) >= 0, z in [0, 8], lambda in [1/64, 4]",
            True,
            lam * (log(2) - log(1 + sympy.exp(-z / lam))),
            (z, lam),
            ((0, 8), (Fraction(1, 64), 4)),
        ),
        (
            "psi <= max, K=2, .69 for log 2",
            "lambda (69/100 - log(1 + e^(-z/lambda))) >= 0",
            False,
            lam * (sympy.Rational(69, 100) - log(1 + sympy.exp(-z / lam))),
            (z, lam),
            ((0, 8), (Fraction(1, 64), 4)),
        ),
        ("log cosh y <= y^2/2", "rate 1/lambda of the limit, y in [0, 4]", True, square, y, (0, 4)),
        (
            "log cosh y <= y^2/2, tail",
            "log cosh y <= y - log 2 + e^(-2y), here y^2/2 - y + log 2 - e^(-2y) >= 0 on [2, 1000]",
            True,
            y**2 / 2 - y + log(2) - sympy.exp(-2 * y),
            y,
            (2, 1000),
        ),
        (
            "log cosh y <= y^2/2.01",
            "1/2.01 for 1/2",
            False,
            y**2 / sympy.Rational("2.01") - log(sympy.cosh(y)),
            y,
            (0, 4),
        ),
    ]
    for name, formula, expected, f, variables, box in plain:
        yield Statement(
            name,
            formula,
            _LDR,
            expected,
            "bisection",
            partial(certify_nonnegative, f, variables, box),
        )


def _local_constants() -> Iterator[Statement]:
    """For tau > 1 the curvature of T at 0 gives the constant 2 (2 - tau) n^(tau - 1); as a global
    majorant it fails."""
    import sympy

    b = sympy.Symbol("b")
    for tau, n in (("3/2", 2), ("3/2", 3), ("3/2", 10), ("19/10", 3)):
        exact = sympy.Rational(tau)
        inverse = b**2 / (2 * (2 - exact) * sympy.Integer(n) ** (exact - 1))
        yield Statement(
            f"local constant, tau={tau} n={n}",
            f"T_tau(b) >= {inverse} on [0, 1]",
            _COMP_SUM,
            False,
            "bisection",
            partial(certify_nonnegative, comp_sum_transform(exact, n, b) - inverse, b, (0, 1)),
        )


def _limits_of_bisection() -> Iterator[Statement]:
    import sympy

    p, e, v = sympy.symbols("p e v")
    q = p + (1 - p) * e  # the equality set q = p is the face e = 0
    divergence = xlogx(p) - p * sympy.log(q) - (1 - p) * sympy.log(1 - e)
    pinsker = divergence - 2 * (p - q) ** 2
    hoeffding = v**2 / 8 - sympy.log(1 - p + p * sympy.exp(v)) + p * v
    square, strip = {p: (0, 1), e: (0, 1)}, {p: (0, 1), v: (0, 4)}
    yield Statement(
        "Pinsker, bisection",
        "KL(p || q) >= 2 (p - q)^2, a valley along p + q = 1",
        "Pinsker's inequality",
        None,
        "bisection, 100 boxes",
        partial(certify_nonnegative, pinsker, (p, e), ((0, 1), (0, 1 - Fraction(1, 2**10))), max_boxes=100),
    )
    yield Statement(
        "Pinsker",
        "KL(p || q) >= 2 (p - q)^2 for q >= p, hence by symmetry for all p, q",
        "Pinsker's inequality",
        True,
        "E1: the derivative has the factor (1 - 2q)^2",
        partial(certify_weighted_derivative, pinsker, e, 0, q * (1 - e), square),
    )
    yield Statement(
        "Hoeffding's lemma, bisection",
        "log(1 - p + p e^v) - p v <= v^2/8, an equality curve in the second derivative",
        "Hoeffding's lemma",
        None,
        "bisection, 100 boxes",
        partial(certify_nonnegative, hoeffding, (p, v), ((0, 1), (0, 4)), max_boxes=100),
    )
    yield Statement(
        "Hoeffding's lemma",
        "log(1 - p + p e^v) - p v <= v^2/8 for v in [0, 4]",
        "Hoeffding's lemma",
        True,
        "E1 of order 2: the second derivative is a square",
        partial(certify_weighted_derivative, hoeffding, v, 0, 1, strip, order=2),
    )


def _main() -> int:
    """Certify every statement and print a table; 1 if an outcome is not the expected one."""
    words = {True: "proved", False: "refuted", None: "undecided"}
    width = max(len(statement.name) for statement in statements())
    print(f"{'outcome':9}  {'statement':{width}}  {'boxes':>6}  {'depth':>5}  {'ms':>5}  route")
    surprises = 0
    for statement in statements():
        start = time.perf_counter()
        certificate = statement.certify()
        milliseconds = 1000 * (time.perf_counter() - start)
        surprises += certificate.proved is not statement.expected
        print(
            f"{words[certificate.proved]:9}  {statement.name:{width}}  {certificate.boxes:6}  {certificate.depth:5}  "
            f"{milliseconds:5.0f}  {statement.route}",
            flush=True,
        )
    return int(surprises > 0)


if __name__ == "__main__":
    sys.exit(_main())
