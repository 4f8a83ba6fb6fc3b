"""Proofs for losses given as formulas: calibrated over the whole domain, or an exact counterexample.

**Margin losses** (`prove_margin_loss`), phi a sympy expression, possibly with Max, Min, Abs and Piecewise, on
|z| <= B <= inf. Every statement below is certified piece by piece, between the points where the formula changes.

    P1  phi convex. Calibrated iff phi is differentiable at 0 with phi'(0) < 0. Otherwise eta > 1/2 exists with
        C'(eta, 0+) >= 0: then a convex C(eta, .) has its infimum over z <= 0, which is the counterexample.
    P2  phi continuous, phi'(0+) < 0, phi'(0+) <= phi'(0−), and D(a) = phi(−a) − phi(a) > 0 for 0 < a <= B, not tending
        to 0: calibrated. For C(eta, −a) − C(eta, a) = theta D(a), so wrong scores away from 0 lose against their mirror
        images; and C'(eta, 0+) = eta phi'(0+) − (1 − eta) phi'(0−) < 0, so scores near 0 lose against small positive
        ones.
    P3  B = inf and phi >= L with phi -> L at both infinities: not calibrated; C >= L is approached on both sides.

Bartlett, Jordan and McAuliffe (2006) have P1; P2 and P3 are derived here. Half-lines are compactified by
w = e^{−distance}; where that fails, sympy's sign of the shifted formula decides. A proof lists what it rests on.

**Counterexamples of convex piecewise linear score losses** (`prove_counterexample`): rational p and s, and for every
term of the loss weights on its active pieces such that the subgradients add up to 0. Then s minimises C(p, .), and its
argmax is wrong or tied. `certify_bounded_ce_tie` does it for cross-entropy with bounded scores, in ball arithmetic.

    analyse_margin_loss(sympy.log(1 + sympy.exp(-z))).prove().proof.explain()
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.optimize import linprog

from theory.ball_arithmetic import ball, exact_fraction, working_precision
from theory.certificates import Certificate, certify_nonnegative
from theory.classification.calibration_curve import Counterexample

__all__ = [
    "CalibrationProof",
    "SubgradientProof",
    "TieProof",
    "affine_pieces",
    "certify_bounded_ce_tie",
    "certify_transform",
    "prove_counterexample",
    "prove_margin_loss",
]

_MAX_BOXES = 2_000
_SHARE = Fraction(9, 10)  # of the least D/modulus on a sample: the constant that P2 tries to certify


@dataclass(frozen=True)
class CalibrationProof:
    """``calibrated`` is True or False if proved, else None with a ``reason``; ``steps`` say how, in words."""

    calibrated: bool | None
    route: str
    steps: tuple[str, ...]
    certificates: tuple[Certificate, ...] = ()
    counterexample: Counterexample | None = None
    reason: str = ""

    def explain(self) -> None:
        """Print the steps and the certificates."""
        outcome = {True: "calibrated", False: "not calibrated", None: "undecided"}[self.calibrated]
        print(f"{outcome} ({self.route or self.reason})")
        for step in self.steps:
            print(f"  {step}")
        for certificate in self.certificates:
            print(f"  certificate, {certificate.boxes} boxes: {certificate.statement}")

    def verify(self) -> bool:
        """Check all certificates again at 200 bits; False if nothing was proved."""
        return self.calibrated is not None and all(c.verify() for c in self.certificates)


@dataclass(frozen=True)
class SubgradientProof:
    """``scores`` minimise C(p, .), though label ``predicted`` attains their maximum and is not the most probable.

    ``weights[y][t]`` are the weights of the active pieces of term t of the loss of label y: at least 0, with sum 1, and
    the sum over y of p_y times the weighted slopes is 0.
    """

    p: tuple[Fraction, ...]
    scores: tuple[Fraction, ...]
    predicted: int
    weights: tuple[tuple[dict[int, Fraction], ...], ...]
    terms: Any

    def verify(self) -> bool:
        """Check every condition again, in Fractions."""
        total = [Fraction(0)] * len(self.p)
        for chance, label, chosen in zip(self.p, self.terms, self.weights, strict=True):
            for pieces, weights in zip(label, chosen, strict=True):
                values = [_height(piece, self.scores) for piece in pieces]
                if sum(weights.values()) != 1 or any(w < 0 or values[i] != max(values) for i, w in weights.items()):
                    return False
                for i, weight in weights.items():
                    total = [t + chance * weight * a for t, a in zip(total, pieces[i][0], strict=True)]
        wrong = self.p[self.predicted] < max(self.p) and self.scores[self.predicted] == max(self.scores)
        return sum(self.p) == 1 and min(self.p) >= 0 and not any(total) and wrong

    def explain(self) -> None:
        """Print what a reader checks by hand."""
        print(f"p = ({', '.join(map(str, self.p))}), scores = ({', '.join(map(str, self.scores))})")
        for y, (label, chosen) in enumerate(zip(self.terms, self.weights, strict=True)):
            for pieces, weights in zip(label, chosen, strict=True):
                for i, weight in weights.items():
                    slope = ", ".join(map(str, pieces[i][0]))
                    print(f"  label {y}: {self.p[y]} x {weight} x ({slope})")
        print(f"  sum 0: the scores are a minimiser; label {self.predicted} is at the top and not the most probable")


@dataclass(frozen=True)
class TieProof:
    """Cross-entropy with scores in [−B, B]: (B, B, −B, …, −B) minimises C(p, .). ``slacks`` are lower bounds of the
    gradient's components in the directions that the bound forbids, all of them at least 0 if ``proved``."""

    p: tuple[Fraction, ...]
    bound: Fraction
    slacks: tuple[float, ...]
    proved: bool


def prove_margin_loss(
    phi: Any, variable: Any = None, *, bound: float = float("inf"), hint: Counterexample | None = None
) -> CalibrationProof:
    """Prove that a margin loss is, or is not, calibrated, by P1, P2 or P3.

    ``phi`` is a sympy expression with exact constants; ``bound`` an exact number above 0. ``hint`` is a numerical
    counterexample, used where the proof shows that one exists without computing it. Undecided outcomes say why.
    Raises ``ValueError`` for something that is no expression in one variable, or a bound not above 0.

    >>> import sympy
    >>> z = sympy.Symbol("z")
    >>> prove_margin_loss(sympy.exp(-z)).calibrated, prove_margin_loss(sympy.Max(0, -z)).calibrated
    (True, False)
    """
    import sympy

    formula = _Formula(phi, variable, bound)
    if formula.reason:
        return CalibrationProof(None, "", (), reason=formula.reason)
    if formula.is_unbounded():
        return CalibrationProof(None, "", (), reason="phi is unbounded below, so that it has no transform")
    slopes = formula.slopes_at_zero()
    if slopes is None:
        return CalibrationProof(None, "", (), reason="the one-sided derivatives at 0 are not finite numbers")
    convexity = formula.convexity()
    if convexity is not None:
        return _by_convexity(formula, slopes, convexity, hint)
    left, right = slopes
    if not (right < 0 and sympy.simplify(left - right) >= 0):
        return CalibrationProof(
            None, "", (), reason=f"phi is not convex, and its slopes at 0 are {left} and {right}: no rule applies"
        )
    vanishing = formula.vanishing_at_both_ends()
    if vanishing is not None:
        steps, certificates = vanishing
        return CalibrationProof(False, "P3, both infinities", steps, certificates, hint)
    mirrored = formula.mirror_gap()
    if mirrored is not None:
        steps, certificates = mirrored
        first = f"P2: phi is continuous, with slopes phi'(0-) = {left} >= phi'(0+) = {right} < 0 at 0"
        return CalibrationProof(True, "P2, mirror images", (first, *steps), certificates)
    return CalibrationProof(None, "", (), reason="phi is not convex, and phi(−a) − phi(a) > 0 could not be certified")


def certify_transform(
    phi: Any, transform: Any, candidate: Any, *, variable: Any = None, theta: Any = None, max_boxes: int = 20_000
) -> Certificate:
    """Certify ``psi~(theta) >= transform(theta)`` for all theta in [0, 1] at once, every wrong score included.

    With x = tanh(|z|/2) in [0, 1], on the square of (theta, x):  C(eta, −z) − C(eta, z*) − transform >= 0, where
    ``candidate`` is tanh(z*(theta)/2) of some good score, as a formula in ``theta`` (any candidate is sound, a bad one
    fails). Raises ``ValueError`` for expressions in other symbols.

    >>> import sympy
    >>> z, t = sympy.symbols("z theta")
    >>> savage = 1 / (1 + sympy.exp(z)) ** 2
    >>> bool(certify_transform(savage, t**2 / 4, t)), bool(certify_transform(savage, t**2 / 3, t))
    (True, False)
    """
    import sympy

    t = sympy.Symbol("theta") if theta is None else theta
    for name, expression in (("transform", transform), ("candidate", candidate)):
        unknown = sympy.sympify(expression).free_symbols - {t}
        if unknown:
            raise ValueError(f"{name} must be a formula in {t}, got the symbols {sorted(map(str, unknown))}")
    z = _only_symbol(phi, variable)
    x = sympy.Symbol("x", nonnegative=True)

    def loss(at: Any) -> Any:
        return sympy.simplify(phi.subs(z, sympy.log((1 + x) / (1 - x)))).subs(x, at)

    eta = (1 + t) / 2
    worse = eta * loss(-x) + (1 - eta) * loss(x)
    better = eta * loss(candidate) + (1 - eta) * loss(-candidate)
    numerator, denominator = sympy.fraction(sympy.together(sympy.simplify(worse - better - transform)))
    # The sign of a quotient is that of the product.
    statement = sympy.factor(sympy.expand(numerator * denominator))
    free = statement.free_symbols
    if not free:
        statement = statement + 0 * t
        return certify_nonnegative(sympy.Add(statement, x, evaluate=False), x, (0, 1), max_boxes=max_boxes)
    box = {symbol: (0, 1) for symbol in (t, x) if symbol in free}
    return certify_nonnegative(statement, box=box, max_boxes=max_boxes)


def affine_pieces(phi: Any) -> list[tuple[Fraction, Fraction]] | None:
    """The pieces ``(slope, intercept)`` of a convex piecewise linear expression in one symbol: phi is their maximum.

    None if it is not convex, not piecewise linear, or has constants that are not rational.

    >>> import sympy
    >>> affine_pieces(sympy.Max(0, 1 - sympy.Symbol("z")))
    [(Fraction(-1, 1), Fraction(1, 1)), (Fraction(0, 1), Fraction(0, 1))]
    """
    import sympy

    formula = _Formula(phi, None, float("inf"))
    if formula.reason:
        return None
    found: list[tuple[Fraction, Fraction]] = []
    for _, _, piece in formula.pieces:
        slope: Any = sympy.diff(piece, formula.z)
        intercept = sympy.expand(piece).subs(formula.z, 0)
        if not (slope.is_Rational and intercept.is_Rational):
            return None
        if found and Fraction(int(slope.p), int(slope.q)) < found[-1][0]:
            return None
        found.append((Fraction(int(slope.p), int(slope.q)), Fraction(int(intercept.p), int(intercept.q))))
    return found


def prove_counterexample(
    terms: Any, p: Sequence[float | Fraction], scores: Sequence[float | Fraction]
) -> SubgradientProof | None:
    """Round p and scores to rationals and prove that the scores minimise C(p, .) with a wrong or tied argmax.

    ``terms[y]`` lists the terms of the loss of label y, each a list of affine pieces (slopes, intercept) whose maximum
    it is. A linear programme finds the weights, which are then solved for exactly. None if no rounding works.
    Raises ``ValueError`` for lengths that differ.

    >>> from theory.classification.multiclass_forms import max_form
    >>> import sympy
    >>> terms = max_form(sympy.Max(0, 1 - sympy.Symbol("z"))).exact_terms(3)
    >>> proof = prove_counterexample(terms, (0.4, 0.35, 0.25), (0, 0, 0))
    >>> proof.verify()
    True
    """
    if not len(terms) == len(p) == len(scores):
        raise ValueError(f"terms, p and scores must agree in length, got {len(terms)}, {len(p)} and {len(scores)}")
    shift_free = all(sum(slope) == 0 for label in terms for term in label for slope, _ in term)
    start = [score - max(scores) for score in scores] if shift_free else list(scores)
    for denominator in (None, 12, 60, 420, 10**4):
        law, s = ([_rounded(x, denominator) for x in values] for values in (p, start))
        # The rounding goes to the most probable label, where it is the smallest part.
        top = max(range(len(law)), key=law.__getitem__)
        law[top] += 1 - sum(law)
        predicted = [k for k in range(len(s)) if s[k] == max(s) and law[k] < max(law)]
        if not predicted or min(law) < 0:
            continue
        weights = _zero_subgradient(terms, law, s)
        if weights is None:
            continue
        proof = SubgradientProof(tuple(law), tuple(s), predicted[0], weights, terms)
        if proof.verify():
            return proof
    return None


def certify_bounded_ce_tie(p: Sequence[Fraction | float], bound: Fraction | float) -> TieProof:
    """Certify that cross-entropy with scores in [−B, B] ties the labels 0 and 1 at p, though they differ in p.

    At s = (B, B, −B, …) the softmax is u e^{2B} on the two and u elsewhere, u = 1/(2 e^{2B} + n − 2). C(p, .) is convex
    with gradient S − p, so s is a minimiser over the box if p_0, p_1 >= u e^{2B} and every other p_k <= u; both are
    verified in ball arithmetic. Raises ``ValueError`` for fewer than three labels, p that does not sum to 1 up to
    1e-12, p_0 = p_1, or a bound not above 0.

    >>> certify_bounded_ce_tie((0.41, 0.39, 0.2), 0.25).proved
    True
    """
    law = [exact_fraction(x, "p") for x in p]
    limit = exact_fraction(bound, "bound")
    if limit <= 0:
        raise ValueError(f"bound must be above 0, got {bound!r}")
    if len(law) < 3 or min(law) < 0 or abs(sum(law) - 1) > Fraction(1, 10**12) or law[0] == law[1]:
        raise ValueError(f"p must be a distribution over three labels or more with p[0] != p[1], got {list(p)!r:.60}")
    with working_precision(128):
        growth = ball(2 * limit, 2 * limit).exp()
        share = 1 / (2 * growth + (len(law) - 2))
        gaps = [ball(x, x) - share * growth for x in law[:2]] + [share - ball(x, x) for x in law[2:]]
        proved = all(bool(gap >= 0) for gap in gaps)
        return TieProof(tuple(law), limit, tuple(float(gap.lower()) for gap in gaps), proved)


class _Formula:
    """phi over a real symbol, cut where Max, Min, Abs or Piecewise change."""

    def __init__(self, phi: Any, variable: Any, bound: float):
        import sympy

        if isinstance(bound, bool) or not isinstance(bound, int | float | Fraction | np.number) or not bound > 0:
            raise ValueError(f"bound must be a number above 0 (infinity allowed), got {bound!r:.60}")
        symbol = _only_symbol(phi, variable)
        self.z = sympy.Symbol("z", real=True)
        self.phi = phi.xreplace({symbol: self.z})
        self.end = sympy.oo if bound == float("inf") else sympy.Rational(exact_fraction(bound, "bound"))
        self.reason = ""
        points = _switching_points(self.phi, self.z)
        if points is None:
            self.reason = "the points where phi changes its formula are not rational numbers"
            return
        inner = [q for q in points if -self.end < q < self.end]
        ends = [-self.end, *inner, self.end]
        self.pieces = [
            (low, high, _resolved(self.phi, self.z, _between(low, high))) for low, high in itertools.pairwise(ends)
        ]
        for (_, point, before), (_, _, after) in zip(self.pieces[:-1], self.pieces[1:], strict=True):
            if sympy.simplify(before.subs(self.z, point) - after.subs(self.z, point)) != 0:
                self.reason = f"phi is not continuous at {point}"

    def slopes_at_zero(self) -> tuple[Any, Any] | None:
        import sympy

        slopes = []
        for side in (-1, 1):
            piece = next(e for low, high, e in self.pieces if (low < 0 <= high if side < 0 else low <= 0 < high))
            slopes.append(sympy.simplify(sympy.diff(piece, self.z).subs(self.z, 0)))
        return None if any(not s.is_finite or s.is_extended_real is False for s in slopes) else (slopes[0], slopes[1])

    def convexity(self) -> tuple[tuple[str, ...], tuple[Certificate, ...]] | None:
        import sympy

        steps, certificates = [], []
        for low, high, piece in self.pieces:
            proof = _nonnegative(sympy.diff(piece, self.z, 2), self.z, low, high)
            if proof is None:
                return None
            steps += [f"phi'' >= 0 on ({low}, {high}): {how}" for how, _ in proof]
            certificates += [certificate for _, certificate in proof if certificate is not None]
        for (_, point, before), (_, _, after) in zip(self.pieces[:-1], self.pieces[1:], strict=True):
            jump = sympy.simplify((sympy.diff(after, self.z) - sympy.diff(before, self.z)).subs(self.z, point))
            if not jump.is_nonnegative:
                return None
            steps.append(f"the slope rises by {jump} at {point}")
        return tuple(steps), tuple(certificates)

    def mirror_gap(self) -> tuple[tuple[str, ...], tuple[Certificate, ...]] | None:
        """D(a) = phi(−a) − phi(a) >= c a near 0, >= c further out."""
        import sympy

        a = self.z
        points = sorted(
            {abs(q) for low, high, _ in self.pieces for q in (low, high) if q not in (0, self.end, -self.end)}
        )
        ends = [sympy.Integer(0), *points, self.end]
        steps, certificates = [], []
        for low, high in itertools.pairwise(ends):
            middle = _between(low, high)
            mirrored = _resolved(self.phi.subs(a, -a), a, middle)
            gap = sympy.simplify(mirrored - _resolved(self.phi, a, middle))
            modulus = sympy.Integer(1) if low != 0 else a if high != sympy.oo else 1 - sympy.exp(-a)
            constant = _least_ratio(gap, modulus, a, low, high)
            if constant is None:
                return None
            proof = _nonnegative(gap - constant * modulus, a, low, high)
            if proof is None:
                increasing = _nonnegative(sympy.diff(gap, a), a, low, high) if low == 0 else None
                # The slopes at 0 make D'(0) > 0, so an increasing D is positive inside.
                if increasing is None:
                    return None
                proof = [(f"D' >= 0 and D'(0) > 0, {how}", certificate) for how, certificate in increasing]
            else:
                proof = [(f"D >= {constant} ({modulus}), {how}", certificate) for how, certificate in proof]
            steps += [f"D(a) = phi(-a) - phi(a) > 0 on ({low}, {high}): {how}" for how, _ in proof]
            certificates += [certificate for _, certificate in proof if certificate is not None]
        return tuple(steps), tuple(certificates)

    def is_unbounded(self) -> bool:
        import sympy

        return any(limit == -sympy.oo for limit in self._limits)

    @functools.cached_property
    def _limits(self) -> list[Any]:
        import sympy

        if self.end != sympy.oo:
            return []
        return [sympy.limit(self.pieces[k][2], self.z, end) for k, end in ((0, -sympy.oo), (-1, sympy.oo))]

    def vanishing_at_both_ends(self) -> tuple[tuple[str, ...], tuple[Certificate, ...]] | None:
        limits = self._limits
        # A loss that oscillates has an interval for a limit, which cannot be compared.
        if not limits or limits[0] != limits[1] or not (limits[0].is_comparable and limits[0].is_finite):
            return None
        steps, certificates = [f"P3: phi tends to {limits[0]} at both infinities"], []
        for low, high, piece in self.pieces:
            proof = _nonnegative(piece - limits[0], self.z, low, high)
            if proof is None:
                return None
            steps += [f"phi >= {limits[0]} on ({low}, {high}): {how}" for how, _ in proof]
            certificates += [certificate for _, certificate in proof if certificate is not None]
        return tuple(steps), tuple(certificates)


def _by_convexity(
    formula: _Formula, slopes: tuple[Any, Any], convexity: tuple[Any, Any], hint: Counterexample | None
) -> CalibrationProof:
    import sympy

    left, right = slopes
    steps, certificates = convexity
    if left == right and right < 0:
        first = f"P1: phi is convex and phi'(0) = {right} < 0"
        return CalibrationProof(True, "P1, convex", (first, *steps), certificates)
    # C'(eta, 0+) = eta right − (1 − eta) left >= 0 for eta up to left/(left + right), for all eta if that sum is >= 0.
    largest = left / (left + right) if left + right < 0 else sympy.Integer(1)
    eta = (sympy.Rational(1, 2) + sympy.Min(1, largest)) / 2
    below, above = sympy.simplify(eta * left - (1 - eta) * right), sympy.simplify(eta * right - (1 - eta) * left)
    first = (
        f"P1: phi is convex with slopes {left} and {right} at 0; at eta = {eta} the conditional risk has slopes "
        f"{below} and {above} there, so its infimum is over z <= 0"
    )
    law = (float(eta), float(1 - eta))
    if below <= 0:
        example = Counterexample(law, (0.0, 0.0), 0.0, f"z = 0 minimises C({eta}, z): its slopes there enclose 0")
    else:
        example = hint
    return CalibrationProof(False, "P1, convex", (first, *steps), certificates, example)


def _nonnegative(g: Any, z: Any, low: Any, high: Any) -> list[tuple[str, Certificate | None]] | None:
    """How g >= 0 on the interval is shown, with certificates; None if it is not."""
    import sympy

    if g.has(z) and _is_negative_somewhere(g, z, low, high):
        return None
    g = sympy.simplify(g)
    if not g.free_symbols:
        return [(f"{g} is a constant", None)] if g.is_nonnegative else None
    if low == -sympy.oo and high == sympy.oo:
        halves = [_nonnegative(g, z, low, sympy.Integer(0)), _nonnegative(g, z, sympy.Integer(0), high)]
        return None if halves[0] is None or halves[1] is None else halves[0] + halves[1]
    if low.is_finite and high.is_finite:
        certificate = _certified(g, z, (low, high))
        return None if certificate is None else [(f"{certificate.boxes} boxes", certificate)]
    t, w = sympy.Symbol("t", positive=True), sympy.Symbol("w", positive=True)
    shifted = sympy.simplify(g.subs(z, low + t if low.is_finite else high - t))
    # Factors whose sign sympy knows, like 1 + t^2, would not survive the substitution.
    unclear = sympy.Mul(*(f for f in sympy.Mul.make_args(sympy.factor(shifted)) if not f.is_positive))
    if unclear.is_nonnegative:
        return [(f"sign of {shifted}, t > 0", None)]
    for form in dict.fromkeys((unclear, shifted)):
        compact = sympy.simplify(form.rewrite(sympy.exp).subs(t, -sympy.log(w)))
        if compact.is_rational_function(w):
            # g is continuous, so that the sign of the product is that of the quotient also where both vanish.
            numerator, denominator = sympy.fraction(sympy.together(compact))
            compact = sympy.factor(sympy.expand(numerator * denominator))
        certificate = _certified(compact, w, (0, 1))
        if certificate is not None:
            return [(f"{certificate.boxes} boxes in w = exp(-t)", certificate)]
    return None


def _is_negative_somewhere(g: Any, z: Any, low: Any, high: Any) -> bool:
    """A cheap look before an expensive attempt: a proof cannot exist where floats are clearly negative."""
    import sympy

    reach = np.sinh(np.linspace(-4, 4, 401))
    first, last = (float(end) if end.is_finite else np.sign(float(end)) * 27.0 for end in (low, high))
    points = reach[(reach > first) & (reach < last)]
    points = np.append(points, first + (last - first) * np.linspace(0.01, 0.99, 50))
    with np.errstate(all="ignore"):
        values = np.broadcast_to(np.asarray(sympy.lambdify(z, g, "numpy")(points), dtype=float), points.shape)
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() < -1e-9 * max(1.0, np.abs(values).max()))


def _certified(g: Any, variable: Any, box: tuple[Any, Any]) -> Certificate | None:
    if not g.free_symbols:
        return None
    try:
        certificate = certify_nonnegative(g, variable, box, max_boxes=_MAX_BOXES)
    except (ValueError, NotImplementedError):
        return None
    return certificate if certificate.proved else None


def _least_ratio(gap: Any, modulus: Any, a: Any, low: Any, high: Any) -> Any:
    import sympy

    stop = 40.0 if high == sympy.oo else float(high)
    points = float(low) + (stop - float(low)) * np.linspace(0.001, 1.0, 400) ** 2
    function = sympy.lambdify(a, gap / modulus, "numpy")
    with np.errstate(all="ignore"):
        values = np.broadcast_to(np.asarray(function(points), dtype=float), points.shape)
    least = values[np.isfinite(values)].min(initial=np.inf)
    if not (np.isfinite(least) and least > 1e-9):
        return None
    # A modest denominator keeps the formula short; it only has to be smaller.
    return sympy.Rational(Fraction(float(least) * float(_SHARE)).limit_denominator(64) or Fraction(float(least) / 2))


def _switching_points(phi: Any, z: Any) -> list[Any] | None:
    import sympy

    differences: list[Any] = []
    atoms: Any = phi.atoms(sympy.Max, sympy.Min, sympy.Abs, sympy.Piecewise)
    for atom in atoms:
        if isinstance(atom, sympy.Piecewise):
            relations: Any = atom.atoms(sympy.core.relational.Relational)
            differences += [relation.lhs - relation.rhs for relation in relations]
        elif isinstance(atom, sympy.Abs):
            differences.append(atom.args[0])
        else:
            differences += [p - q for i, p in enumerate(atom.args) for q in atom.args[:i]]
    points = set()
    # A switch inside a switch: either branch may hold where the outer one turns.
    for difference in [branch for d in differences for branch in _branches(d)]:
        if not difference.is_polynomial(z):
            return None
        if not difference.has(z):
            continue
        roots: Any = sympy.Poly(difference, z).real_roots()
        if not all(root.is_Rational for root in roots):
            return None
        points.update(roots)
    return sorted(points)


def _branches(formula: Any) -> list[Any]:
    import sympy

    kinds = (sympy.Max, sympy.Min, sympy.Abs, sympy.Piecewise)
    inner = [e for e in formula.atoms(*kinds) if not any(arg.has(*kinds) for arg in e.args)]
    if not inner:
        return [formula]
    first = inner[0]
    if isinstance(first, sympy.Piecewise):
        options: Any = first.args
        choices = [value for value, _ in options]
    else:
        choices = [first.args[0], -first.args[0]] if isinstance(first, sympy.Abs) else list(first.args)
    return [branch for choice in choices for branch in _branches(formula.xreplace({first: choice}))]


def _resolved(phi: Any, z: Any, at: Any) -> Any:
    """phi with every Max, Min, Abs and Piecewise replaced by the branch that holds at a point."""
    import sympy

    def branch(e: Any) -> Any:
        arguments: Any = e.args
        if isinstance(e, sympy.Abs):
            return arguments[0] if arguments[0].subs(z, at) >= 0 else -arguments[0]
        if isinstance(e, sympy.Piecewise):
            return next(value for value, condition in arguments if bool(condition.subs(z, at)))
        ranked = sorted(arguments, key=lambda argument: argument.subs(z, at))
        return ranked[-1] if isinstance(e, sympy.Max) else ranked[0]

    kinds = (sympy.Max, sympy.Min, sympy.Abs, sympy.Piecewise)
    while phi.atoms(*kinds):
        innermost = next(e for e in phi.atoms(*kinds) if not any(arg.has(*kinds) for arg in e.args))
        phi = phi.xreplace({innermost: branch(innermost)})
    return sympy.expand(phi) if phi.is_polynomial(z) else phi


def _between(low: Any, high: Any) -> Any:
    import sympy

    if low.is_finite and high.is_finite:
        return (low + high) / 2
    if low.is_finite:
        return low + 1
    return high - 1 if high.is_finite else sympy.Integer(1)


def _only_symbol(phi: Any, variable: Any) -> Any:
    import sympy

    if not isinstance(phi, sympy.Expr):
        raise ValueError(f"phi must be a sympy expression, got {phi!r:.60}")
    symbols = sorted(phi.free_symbols, key=str)
    if len(symbols) != 1 or variable not in (None, symbols[0]):
        raise ValueError(f"variable must be the only symbol of phi, got {variable} and phi has {symbols}")
    return symbols[0]


def _height(piece: Any, scores: Sequence[Fraction]) -> Fraction:
    return sum((a * s for a, s in zip(piece[0], scores, strict=True)), Fraction(0)) + piece[1]


def _rounded(x: Any, denominator: int | None) -> Fraction:
    exact = Fraction(x) if isinstance(x, Fraction | int) else Fraction(float(x))
    return exact if denominator is None else exact.limit_denominator(denominator)


def _zero_subgradient(
    terms: Any, law: list[Fraction], scores: list[Fraction]
) -> tuple[tuple[dict[int, Fraction], ...], ...] | None:
    """Weights of active pieces whose slopes add up to 0: a vertex of a linear programme, then solved for exactly."""
    import sympy

    columns: list[tuple[int, int, int]] = []
    for y, label in enumerate(terms):
        for t, pieces in enumerate(label):
            values = [_height(piece, scores) for piece in pieces]
            columns += [(y, t, i) for i, value in enumerate(values) if value == max(values)]
    groups = sorted({(y, t) for y, t, _ in columns})
    rows = [[law[y] * terms[y][t][i][0][k] for y, t, i in columns] for k in range(len(law))]
    rows += [[Fraction(int((y, t) == group)) for y, t, _ in columns] for group in groups]
    right = [Fraction(0)] * len(law) + [Fraction(1)] * len(groups)
    found = linprog(
        np.zeros(len(columns)), A_eq=np.array(rows, dtype=float), b_eq=np.array(right, dtype=float), method="highs-ds"
    )
    if found.status != 0:
        return None
    support = np.flatnonzero(found.x > 1e-9)
    matrix = sympy.Matrix([[sympy.Rational(row[j]) for j in support] for row in rows])
    try:
        solution: Any = matrix.gauss_jordan_solve(sympy.Matrix([sympy.Rational(r) for r in right]))
    except ValueError:
        return None
    exact = list(solution[0].subs(dict.fromkeys(solution[1], 0)))
    weights: list[list[dict[int, Fraction]]] = [[{} for _ in label] for label in terms]
    for j, value in zip(support, exact, strict=True):
        y, t, i = columns[j]
        weights[y][t][i] = Fraction(int(value.p), int(value.q))
    return tuple(tuple(label) for label in weights)
