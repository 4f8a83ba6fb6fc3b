"""The search for a proof of f >= 0 on a domain, and the certificate it leaves behind.

Boxes are examined in generations. A box that one of the rules of ``theory.box_proofs`` closes
joins the partition; any other is bisected. Meanwhile a counter-example is hunted with float64
values, and believed only after ball arithmetic has confirmed its sign (rule R7):

    certificate = search(f, Limits(), "f >= 0")
    certificate.proved          # True, False or None

Source: branch and bound with interval bounds, R. E. Moore (1966).
"""

import dataclasses
import functools
import math
import time
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from theory.ball_arithmetic import ball, working_precision
from theory.box_proofs import BOX_RULES, bisect, float_below, prove_box
from theory.interval_expressions import BallFunction, BallSeries, ZeroFace
from theory.symbolic_signs import Box
from theory.validation import whole_number

__all__ = [
    "RULES",
    "Certificate",
    "Limits",
    "ProvedBox",
    "search",
    "verified_violation",
]

RULES = (*BOX_RULES, "R7")

_RULE_NAMES = {
    "R1": "range",
    "R2": "mean value",
    "R3": "monotone",
    "R4": "zero face factored out",
    "R5": "exact zero at a corner",
    "R6": "convex corner",
    "R7": "refuted at a point",
}
_VERIFICATION_BITS = 200
_ZERO_DIGITS = 60
_SUSPICIOUS = 1e-12  # midpoints with a float64 value below this are looked at in ball arithmetic


@dataclass(frozen=True)
class Limits:
    """How far to search: see `theory.certificates.certify_nonnegative`."""

    max_boxes: int = 20_000
    max_depth: int = 60
    precision: int = 64
    seed: int = 0
    rules: tuple[str, ...] = RULES

    def __post_init__(self) -> None:
        for name, least in (("max_boxes", 1), ("max_depth", 0), ("precision", 30), ("seed", 0)):
            whole_number(name, getattr(self, name), least)
        unknown = [rule for rule in self.rules if rule not in RULES]
        if unknown:
            raise ValueError(f"rules must be among {RULES}, got {unknown}")


@dataclass(frozen=True)
class ProvedBox:
    """A box of the final partition and the rule that closed it."""

    box: Box
    rule: str


@dataclass(frozen=True)
class Certificate:
    """What was found out about an inequality f >= 0.

    ``proved`` is True, False (refuted) or None (undecided); ``bool(certificate)`` is True only
    for a proof. ``boxes`` counts the boxes examined, ``rules`` the boxes closed by each rule.
    ``counterexample`` is a point with exact float coordinates at which f is verified to be at
    most ``violation``. ``worst_lower_bound`` is a lower bound of f: on the whole box if
    proved, at the counter-example if refuted, on the boxes in ``remaining`` if undecided (-inf
    where there is none). ``zeros`` are the zeros of f and of its derivatives that the proof uses,
    each shown symbolically; ``partition`` the boxes of the proof.
    """

    proved: bool | None
    statement: str
    boxes: int
    depth: int
    worst_lower_bound: float
    counterexample: tuple[float, ...] | None
    violation: float | None
    remaining: tuple[Box, ...]
    zeros: tuple[ZeroFace, ...]
    rules: dict[str, int]
    partition: tuple[ProvedBox, ...]
    seconds: float
    function: BallFunction = dataclasses.field(repr=False, compare=False)
    note: str = ""

    def __bool__(self) -> bool:
        return self.proved is True

    def explain(self) -> None:
        """Print the outcome, one line per rule, and the zeros the proof rests on."""
        outcome = {True: "proved", False: "refuted", None: "undecided"}[self.proved]
        print(f"{outcome}: {self.statement}")
        print(f"  {self.boxes} boxes, depth {self.depth}, {self.seconds * 1e3:.0f} ms")
        for rule, count in sorted(self.rules.items()):
            print(f"  {rule} {_RULE_NAMES[rule]}: {count}")
        for zero in self.zeros:
            print(f"  uses a {zero}")
        if self.counterexample is not None:
            print(f"  value <= {self.violation:.6g} at {self.counterexample}, verified")
        if self.remaining:
            print(f"  {len(self.remaining)} boxes left, lowest ball {self.worst_lower_bound:.3g}")
        if self.note:
            print(f"  {self.note}")

    def verify(self) -> bool:
        """Check the certificate again at 200 bits, without any search.

        A proof: the boxes of the partition fill the domain, each is closed by a rule again, and
        every zero used is zero to 60 digits. A refutation: the value at the counter-example is
        negative. An undecided certificate has nothing to verify: False.
        """
        if self.proved is None:
            return False
        if self.counterexample is not None:
            return verified_violation(self.function, self.counterexample) is not None
        if not _fill([proved.box for proved in self.partition], self.function.domain):
            return False
        with working_precision(_VERIFICATION_BITS):
            closed = all(prove_box(self.function, proved.box) for proved in self.partition)
        return closed and all(zero.residual(_ZERO_DIGITS) < 1e-60 for zero in self.zeros)


def search(f: BallFunction, limits: Limits, statement: str) -> Certificate:
    """Decide f >= 0 on its domain within the limits."""
    start = time.perf_counter()
    found = _hunt(f, limits.seed) if "R7" in limits.rules else None
    generation = [f.domain]
    unproved: list[Box] = []
    partition: list[ProvedBox] = []
    zeros: dict[ZeroFace, None] = {}
    bounds = [math.inf]
    boxes = depth = 0

    def is_closed(box: Box) -> bool:
        proof = prove_box(f, box, limits.rules)
        if proof is None:
            return False
        partition.append(ProvedBox(box, proof.rule))
        zeros.update(dict.fromkeys(proof.zeros))
        bounds.append(proof.lower_bound)
        return True

    with working_precision(limits.precision):
        while generation and found is None:
            if "R7" in limits.rules:
                found = _lowest_midpoints(f, generation)
            affordable = 0 if found else max(0, limits.max_boxes - boxes)
            unproved = [box for box in generation[:affordable] if not is_closed(box)]
            boxes += min(affordable, len(generation))
            unproved += generation[affordable:]
            if depth == limits.max_depth or boxes >= limits.max_boxes or found or not unproved:
                break
            generation = [half for box in unproved for half in bisect(f, box)]
            depth += 1
    if found is None and unproved:
        with working_precision(2 * limits.precision):
            unproved = [box for box in unproved if not is_closed(box)]

    rules = dict(sorted(Counter(proved.rule for proved in partition).items()))
    point, violation, worst = None, None, min(bounds)
    if found is not None:
        point, (worst, violation) = found
        rules["R7"] = 1
        unproved = []
    elif unproved:
        worst = min(_lower_bound(f, box, limits.precision) for box in unproved)
    return Certificate(
        proved=None if unproved else point is None,
        statement=statement,
        boxes=boxes,
        depth=depth,
        worst_lower_bound=worst,
        counterexample=point,
        violation=violation,
        remaining=tuple(unproved),
        zeros=tuple(zeros),
        rules=rules,
        partition=tuple(partition),
        seconds=time.perf_counter() - start,
        function=f,
    )


def verified_violation(f: BallFunction, point: tuple[float, ...]) -> tuple[float, float] | None:
    """(lower, upper) bounds of f at a point with exact float coordinates if it lies in the domain
    and f < 0 there, else None."""
    exact = [Fraction(x) for x in point]
    if not all(low <= x <= high for x, (low, high) in zip(exact, f.domain, strict=True)):
        return None
    with working_precision(_VERIFICATION_BITS):
        value = f.value([ball(x, x) for x in exact])
        if not value < 0:
            return None
        return float_below(value), -float_below(-value)


def _hunt(f: BallFunction, seed: int) -> tuple[tuple[float, ...], tuple[float, float]] | None:
    count = 2_000 if isinstance(f, BallSeries) else 100_000
    sides = [(float(low), float(high)) for low, high in f.domain]
    points = [
        np.clip(low + (high - low) * unit, low, high)
        for (low, high), unit in zip(sides, _hunting_ground(seed, count, len(sides)), strict=True)
    ]
    return _lowest(f, points, 10, math.inf)


@functools.lru_cache(maxsize=4)
def _hunting_ground(seed: int, count: int, axes: int) -> list[Float[np.ndarray, " points"]]:
    """Random points of the unit box, in each coordinate uniform or log-spaced towards either end."""
    random = np.random.default_rng(seed)
    ground = []
    for _ in range(axes):
        uniform = random.random(count)
        near = 2.0 ** (-48 * uniform)
        ground.append(np.choose(random.integers(3, size=count), [uniform, near, 1 - near]))
    return ground


def _lowest_midpoints(f: BallFunction, boxes: list[Box]) -> tuple[tuple[float, ...], tuple[float, float]] | None:
    middles = np.array([[float((low + high) / 2) for low, high in box] for box in boxes])
    return _lowest(f, list(middles.T), 3, _SUSPICIOUS)


def _lowest(
    f: BallFunction, points: list[Float[np.ndarray, " points"]], count: int, below: float
) -> tuple[tuple[float, ...], tuple[float, float]] | None:
    """The first of the ``count`` lowest points whose negative sign is verified."""
    values = f.floats(points)
    values = np.where(np.isnan(values), np.inf, values)
    for k in _smallest(values, count):
        if values[k] < below:
            point = tuple(float(axis[k]) for axis in points)
            bounds = verified_violation(f, point)
            if bounds is not None:
                return point, bounds
    return None


def _smallest(values: Float[np.ndarray, " points"], count: int) -> np.ndarray:
    """Indices of the smallest values, in increasing order."""
    if len(values) > count:
        chosen = np.argpartition(values, count)[:count]
        return chosen[np.argsort(values[chosen])]
    return np.argsort(values)


def _lower_bound(f: BallFunction, box: Box, precision: int) -> float:
    with working_precision(precision):
        return float_below(f.value([ball(low, high) for low, high in box]))


def _fill(boxes: list[Box], domain: Box) -> bool:
    """Whether boxes obtained by repeated bisection fill the domain without overlap."""
    if domain in boxes:
        return len(boxes) == 1
    for axis, (low, high) in enumerate(domain):
        middle = (low + high) / 2
        lower = [box for box in boxes if box[axis][1] <= middle]
        upper = [box for box in boxes if box[axis][0] >= middle]
        if lower and upper and len(lower) + len(upper) == len(boxes):
            halves = ((low, middle), (middle, high))
            return all(
                _fill(part, (*domain[:axis], half, *domain[axis + 1 :]))
                for part, half in zip((lower, upper), halves, strict=True)
            )
    return False
