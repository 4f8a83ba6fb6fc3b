"""Fuzzing of bounds: a million random instances, then a search from the worst of them.

A bound ``lhs <= rhs`` is given as two vectorised functions of a sample and a sampler of instances.
The report names the worst ratio met and the instance that attains it. No violation found is
evidence, not proof; for proofs see ``theory.certificates``.

    report = check_bound(lhs, rhs, sampler)
    python -m theory.fuzz          # every bound of the package, or those of the addresses named
"""

import ast
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from theory.validation import at_least, positive, same_shape, whole_number

__all__ = ["Bound", "BoundReport", "bound_ratio", "check_bound"]

Sample = Mapping[str, np.ndarray]
Values = Float[np.ndarray, " instances"]
Side = Callable[..., ArrayLike]

_BATCH = 50_000
_ELITE = 32
_CHILDREN = 64


@dataclass(frozen=True)
class BoundReport:
    """The worst ratio lhs/rhs met, the instance that attains it, and how many were evaluated.

    ``searched`` of the instances come from the search that starts at the worst random ones.
    """

    worst_ratio: float
    witness: dict[str, np.ndarray]
    instances: int
    searched: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """No instance violates the bound by more than the tolerance."""
        return self.worst_ratio <= 1 + self.tolerance


@dataclass(frozen=True)
class Bound:
    """A bound of the package: ``make bounds`` fuzzes every one that a module lists in ``BOUNDS``.

    ``certificate`` says which rigorous proof stands beside the fuzzing, if there is one.
    """

    name: str
    source: str
    lhs: Side
    rhs: Side
    sampler: Callable[[np.random.Generator, int], Sample]
    certificate: str = ""

    def check(self, instances: int = 10**6, *, seed: int = 0) -> BoundReport:
        """Fuzz this bound."""
        return check_bound(self.lhs, self.rhs, self.sampler, instances, seed=seed)


def check_bound(
    lhs: Side,
    rhs: Side,
    sampler: Callable[[np.random.Generator, int], Sample],
    instances: int = 10**6,
    *,
    tolerance: float = 1e-9,
    rounding: float = 1e-12,
    rounds: int = 40,
    seed: int = 0,
) -> BoundReport:
    """Look for the largest ratio of ``lhs`` to ``rhs``.

    ``sampler(rng, n)`` returns named arrays with n instances along the first axis; ``lhs`` and
    ``rhs`` take them by name and return n values. After ``instances`` random ones, ``rounds`` of a
    search start from the worst: an instance moves part of the way towards another, in one of its
    arrays or in all, which stays inside the domain as long as that is convex (whole-number arrays
    are kept). A difference within ``rounding`` counts as equality.

    Raises ``ValueError`` if the two sides are not one finite-or-infinite value per instance (NaN is
    named with its instance), or for a number of instances below 1.

    >>> report = check_bound(
    ...     lambda x: np.sin(x), lambda x: x, lambda rng, n: {"x": rng.uniform(0, 3, n)}, instances=10_000)
    >>> report.holds, report.worst_ratio > 0.9999
    (True, True)
    """
    whole_number("instances", instances, 1)
    positive("tolerance", tolerance)
    whole_number("seed", seed, 0)
    whole_number("rounds", rounds, 0)
    at_least("rounding", rounding, 0.0)
    rng = np.random.default_rng(seed)
    elite: dict[str, np.ndarray] = {}
    ratios = np.empty(0)
    for start in range(0, instances, _BATCH):
        sample = {k: np.asarray(v) for k, v in sampler(rng, min(_BATCH, instances - start)).items()}
        elite, ratios = _worst(elite, ratios, sample, _evaluate(lhs, rhs, sample, rounding))
    searched = 0
    for _ in range(rounds):
        children = _moved(rng, elite, {k: np.asarray(v) for k, v in sampler(rng, len(ratios) * _CHILDREN).items()})
        searched += len(ratios) * _CHILDREN
        elite, ratios = _worst(elite, ratios, children, _evaluate(lhs, rhs, children, rounding))
    witness = {name: np.asarray(values[0]) for name, values in elite.items()}
    return BoundReport(float(ratios[0]), witness, instances + searched, searched, tolerance)


def bound_ratio(lhs: Values, rhs: Values, rounding: float = 1e-12) -> Values:
    """A ratio that is at most 1 exactly where ``lhs <= rhs``, whatever the signs.

    ``lhs/rhs`` for positive ``rhs``; for negative ``rhs`` the inverse; 0 or infinity where one side
    cannot be divided. Differences within ``rounding`` give at most 1. Raises ``ValueError`` for sides that are not
    real, have NaN or other shapes, and for a negative ``rounding``.
    """
    lhs, rhs = _side("lhs", lhs), _side("rhs", rhs)
    same_shape(("lhs", "rhs"), (lhs, rhs))
    at_least("rounding", rounding, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(rhs > 0, lhs / rhs, np.where(lhs < 0, rhs / lhs, np.inf))
    ratio = np.where((rhs >= 0) & (lhs <= 0), 0.0, ratio)
    ratio = np.where(np.isposinf(rhs), 0.0, ratio)
    return np.where(lhs - rhs <= rounding, np.minimum(ratio, 1.0), ratio)


def _side(name: str, values: Values) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or np.isnan(array).any():
        raise ValueError(f"{name} must hold real numbers and no NaN, got {array.dtype} with {values!r:.60}")
    return array.astype(np.float64)


def _evaluate(lhs: Side, rhs: Side, sample: Sample, rounding: float) -> np.ndarray:
    count = len(next(iter(sample.values())))
    left, right = np.asarray(lhs(**sample), np.float64), np.asarray(rhs(**sample), np.float64)
    for name, values in (("lhs", left), ("rhs", right)):
        if values.shape != (count,):
            raise ValueError(f"{name} must return one value per instance, shape ({count},), got {values.shape}")
        if np.isnan(values).any():
            instance = {k: v[np.isnan(values)][0].tolist() for k, v in sample.items()}
            raise ValueError(f"{name} must not be NaN, but is at {instance}")
    return bound_ratio(left, right, rounding)


def _worst(
    elite: dict[str, np.ndarray], ratios: np.ndarray, sample: Sample, sampled: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The instances with the largest ratios of both groups, in falling order."""
    everything = np.concatenate([ratios, sampled])
    kept = np.argsort(-everything, kind="stable")[:_ELITE]
    merged = {k: (np.concatenate([elite[k], v]) if elite else v)[kept] for k, v in sample.items()}
    return merged, everything[kept]


def _moved(rng: np.random.Generator, elite: Sample, towards: Sample) -> dict[str, np.ndarray]:
    """Every elite instance, moved towards fresh or elite ones by steps from 10⁻⁶ to the whole way."""
    count = len(next(iter(towards.values())))
    parents = np.arange(count) % len(next(iter(elite.values())))
    mates = rng.integers(0, len(next(iter(elite.values()))), count)
    use_mate = rng.random(count) < 0.3
    step = 10.0 ** rng.uniform(-6, 0, count)
    arrays = list(elite)
    # An entry of its own for "all arrays at once".
    chosen = rng.integers(0, len(arrays) + 1, count)
    children = {}
    for number, name in enumerate(arrays):
        parent = elite[name][parents]
        if not np.issubdtype(parent.dtype, np.floating):
            children[name] = parent
            continue
        extra = (1,) * (parent.ndim - 1)
        target = np.where(use_mate.reshape(-1, *extra), elite[name][mates], towards[name])
        moves = ((chosen == number) | (chosen == len(arrays))).reshape(-1, *extra)
        children[name] = np.where(moves, parent + step.reshape(-1, *extra) * (target - parent), parent)
    return children


def _bounds(addresses: Sequence[str]) -> Iterator[tuple[str, Bound]]:
    """Every bound of modules below ``theory`` that assign ``BOUNDS``, as (address, bound)."""
    root = Path(__file__).resolve().parent
    for path in sorted(root.rglob("*.py")):
        address = path.relative_to(root).with_suffix("").as_posix()
        assigned = any(
            isinstance(target, ast.Name) and target.id == "BOUNDS"
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        )
        if assigned and (not addresses or address in addresses):
            for bound in importlib.import_module("theory." + address.replace("/", ".")).BOUNDS:
                yield address, bound


def _main(arguments: Sequence[str]) -> int:
    found = list(_bounds(arguments))
    if not found:
        print(f"no module of these addresses lists bounds: {' '.join(arguments)}", file=sys.stderr)
        return 2
    width = max(len(f"{address}: {bound.name}") for address, bound in found)
    print(f"{'outcome':8}  {'bound':{width}}  {'instances':>10}  {'worst ratio':>12}  {'s':>5}  source; certificate")
    violated = False
    for address, bound in found:
        start = time.perf_counter()
        report = bound.check()
        violated |= not report.holds
        witness = "  ".join(f"{k}={np.array2string(v, precision=4, threshold=6)}" for k, v in report.witness.items())
        outcome, name = "holds" if report.holds else "VIOLATED", f"{address}: {bound.name}"
        numbers = f"{report.instances:10,}  {report.worst_ratio:12.9f}  {time.perf_counter() - start:5.1f}"
        print(f"{outcome:8}  {name:{width}}  {numbers}  {bound.source}; {bound.certificate or 'none'}")
        print(f"{'':8}  at {' '.join(witness.split())}", flush=True)
    return int(violated)


if __name__ == "__main__":
    # The module's classes must be those that the bounds were made of, not __main__'s copies.
    sys.exit(importlib.import_module("theory.fuzz")._main(sys.argv[1:]))
