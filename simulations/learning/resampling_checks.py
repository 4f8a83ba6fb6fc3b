"""Closed forms of resampling held against whatever else can compute them.

*Outcomes* against enumeration of all courses, against simulation attempt by attempt and against shuffled samples, and
the authors' formula against the same simulation; *bounds* on ceilings, fuzzed; the best number of attempts for *two
types* against signs of increments, simulation and rational arithmetic; *instances* at random, for how it depends on the
cost of a wrong answer; the *cost* of the closed form and of shuffling.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from simulations.costs import alternating_seconds
from theory.learning import imperfect_verifier as theory
from theory.learning import verified_sampling

__all__ = [
    "CeilingBounds",
    "Cost",
    "Instances",
    "Outcomes",
    "TwoTypes",
    "notebook_reward",
    "rate_arrays",
    "shuffled_accuracy",
    "shuffling_deviations",
    "simulate_bounds",
    "simulate_cost",
    "simulate_instances",
    "simulate_outcomes",
    "simulate_two_types",
    "two_type_example",
]


def rate_arrays(
    r: np.ndarray, soundness: np.ndarray | float, completeness: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``accept_rates`` of tasks with accuracies r, as three arrays."""
    p, q, beta = theory.accept_rates(r, soundness, completeness)
    return np.asarray(p), np.asarray(q), np.asarray(beta)


# outcomes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """Rates enumerated, runs simulated per task, and the samples and shuffles of the permutation form."""

    cases: int = 60
    longest: int = 6
    draws: int = 10**8
    tasks: int = 20
    samples: int = 40
    shuffles: int = 4000


def simulate_outcomes(settings: Outcomes, seed: int, device: str) -> pd.DataFrame:
    """Errors against enumeration, deviations from simulation in standard errors, of closed forms and the notebook."""
    rng = np.random.default_rng(seed)
    rows = [*_enumerated(settings, rng), *_simulated(settings, rng), *_shuffled(settings, rng)]
    return pd.DataFrame(rows)


def _enumerated(settings: Outcomes, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    r, s, c = (np.concatenate([[0.0, 1.0], rng.random(settings.cases)]) for _ in range(3))
    p, q, beta = rate_arrays(r, s, c)
    for K in range(settings.longest + 1):
        by_courses = _by_courses(p, q, beta, K)
        closed = np.stack(theory.resampling_outcomes(p, q, K))
        yield _row("enumeration", np.abs(closed - by_courses).max())
        yield _row("sum of outcomes", np.abs(closed.sum(axis=0) - 1).max())
        attempts = sum(beta**k for k in range(K)) if K else 0.0
        yield _row("expected attempts", np.abs(theory.expected_attempts(p, q, K) - attempts).max())
    # A reading that counts one attempt too many must not pass for the closed form.
    early = np.stack(theory.resampling_outcomes(p, q, settings.longest - 1))
    yield _row("enumeration, K − 1", np.abs(early - _by_courses(p, q, beta, settings.longest)).max())


def _by_courses(p: np.ndarray, q: np.ndarray, beta: np.ndarray, K: int) -> np.ndarray:
    """The probability of every course of K attempts, added up by what its first acceptance is."""
    total = np.zeros((3, len(p)))
    for course in itertools.product(range(3), repeat=K):
        chance = np.prod([(p, q, beta)[outcome] for outcome in course], axis=0) if K else np.ones(len(p))
        total[next((outcome for outcome in course if outcome < 2), 2)] += chance
    return total


def two_type_example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The example of the authors' notebook: accuracies .87 and .13, soundness .75, weights .58 and .42."""
    p, q, _ = rate_arrays(np.array([0.87, 0.13]), 0.75)
    return p, q, np.array([0.58, 0.42])


def _simulated(settings: Outcomes, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    p, q, w = two_type_example()
    for K in (1, 5, 20):
        found = np.stack(theory.simulate_resampling(p, q, K, settings.draws, rng))
        expected = np.stack(theory.resampling_outcomes(p, q, K))
        error = np.sqrt(np.maximum(expected * (1 - expected), 1 / settings.draws) / settings.draws)
        yield _row("simulation", float(np.abs((found - expected) / error).max()))
        if K == 5:
            value = w @ (found[0] - found[1])
            squares = found[0] + found[1] - (found[0] - found[1]) ** 2
            error = math.sqrt(float(w**2 @ squares) / settings.draws)
            yield _row("reward", abs(value - theory.reward_curve(p, q, -1.0, K, w)[-1]) / error)
            yield _row("reward, notebook's formula", abs(value - notebook_reward(p, q, -1.0, K, w)) / error)


def notebook_reward(p: np.ndarray, q: np.ndarray, V: float, K: int, w: np.ndarray) -> float:
    """The reward as the authors' notebook computes it: the posterior where the prior belongs."""
    total = 0.0
    for k in range(1, K + 1):
        belief = theory.posterior_after_rejections(p, q, k - 1, w)
        total += float(belief @ (p + V * q)) * float(belief @ (1 - p - q) ** (k - 1))
    return total


def _shuffled(settings: Outcomes, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    r = rng.random((settings.tasks, 1))
    correct = rng.random((settings.tasks, settings.samples)) < r
    accept = correct | (rng.random(correct.shape) < 0.2)
    attempts = np.array([1, 3, 10, settings.samples])
    yield _row("shuffling", np.abs(shuffling_deviations(correct, accept, attempts, settings.shuffles, rng)).max())
    # Passing tests that accept just what is correct is pass@k: 1 − prod (N − c − i)/(N − i).
    exact = np.asarray(theory.permutation_outcomes(correct, correct, attempts)[0])
    wrong = settings.samples - correct.sum(axis=1)
    pass_at_k = [
        1 - np.prod([np.maximum(wrong - i, 0) / (settings.samples - i) for i in range(K)], axis=0) for K in attempts
    ]
    yield _row("pass@k", np.abs(exact - np.stack(pass_at_k, axis=1)).max())


def shuffling_deviations(
    correct: np.ndarray, accept: np.ndarray, attempts: np.ndarray, shuffles: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean accuracy under shuffling less the exact form, in standard errors, for each number of attempts."""
    exact = np.asarray(theory.permutation_outcomes(correct, accept, attempts)[0])
    found = shuffled_accuracy(correct, accept, attempts, shuffles, rng)
    variance = (exact * (1 - exact)).sum(axis=0) / shuffles / len(correct) ** 2
    return (found - exact.mean(axis=0)) / np.sqrt(np.maximum(variance, 1e-12))


def shuffled_accuracy(
    correct: np.ndarray, accept: np.ndarray, attempts: np.ndarray, shuffles: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean over tasks of how often the first accepted of K shuffled samples is correct, for every K of ``attempts``."""
    total = np.zeros(len(attempts))
    samples = correct.shape[1]
    for right, passed in zip(correct, accept, strict=True):
        order = rng.permuted(np.tile(np.arange(samples), (shuffles, 1)), axis=1)
        first = passed[order].argmax(axis=1)
        rank = np.where(passed.any(), first + 1, samples + 1)
        good = right[order[np.arange(shuffles), first]]
        total += [(good & (rank <= K)).mean() for K in attempts]
    return total / len(correct)


def _row(check: str, deviation: float) -> dict[str, object]:
    return {"check": check, "deviation": float(deviation)}


# bounds -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CeilingBounds:
    """Random instances per bound."""

    instances: int = 10_000


def simulate_bounds(settings: CeilingBounds, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of every bound on accuracies and ceilings, the largest ceiling, the ratio of a false bound."""
    rows = []
    for bound in [*verified_sampling.BOUNDS, *theory.BOUNDS]:
        report = bound.check(settings.instances, seed=seed % 2**32)
        witness = " ".join(f"{k}={np.array2string(v, precision=3)}" for k, v in report.witness.items())
        rows.append({"bound": bound.name, "ratio": report.worst_ratio, "instances": report.instances,
                     "witness": " ".join(witness.split())})  # fmt: skip
    rng = np.random.default_rng(seed)
    r, s = rng.random((settings.instances, 4)), rng.random((settings.instances, 1))
    p, q, _ = rate_arrays(r, s)
    ceiling = np.asarray(theory.precision(p, q)).mean(axis=1)
    # That an imperfect verifier might reach 1, and that accuracy might be a ceiling on the ceiling.
    ratios = {"ceiling below 1": ceiling, "false: ceiling at most accuracy": ceiling / r.mean(axis=1)}
    rows += [
        {"bound": name, "ratio": float(ratio.max()), "instances": len(r),
         "witness": f"r={np.round(r[ratio.argmax()], 3)}"}
        for name, ratio in ratios.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


# two types --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TwoTypes:
    """Random two-type instances, rational instances with more types, and the horizon of brute force."""

    instances: int = 1000
    rational: int = 60
    horizon: int = 2000
    rational_horizon: int = 80
    draws: int = 10**8


def simulate_two_types(settings: TwoTypes, seed: int, device: str) -> pd.DataFrame:
    """Best numbers of attempts by formula and by search, and by the method that a row is about."""
    rng = np.random.default_rng(seed)
    rows = [row for _ in range(settings.instances) if (row := _two_type_row(settings, rng)) is not None]
    rows += [_rational_row(settings, rng) for _ in range(settings.rational)]
    return pd.DataFrame(rows + _reference_rows(settings, rng))


def _two_type_row(settings: TwoTypes, rng: np.random.Generator) -> dict[str, object] | None:
    """Brute force by the sign of each increment, in logarithms: a sum would saturate. None at a tie or beyond."""
    p, q, beta = rate_arrays(rng.random(2), rng.random())
    V = -(10.0 ** rng.uniform(-1, 1))
    w = rng.dirichlet([1.0, 1.0])
    formula, search = (f(p, q, V, w) for f in (theory.two_type_optimum, theory.optimal_attempts))
    gains = p + V * q
    easy, hard = np.argsort(beta)
    if not gains[easy] > 0 > gains[hard]:
        # v falls as beta rises, so that both have one sign.
        best = math.inf if gains[hard] > 0 else 0
    else:
        attempts = np.arange(1, settings.horizon + 1)
        lead = math.log(w[easy] * gains[easy]) - math.log(-w[hard] * gains[hard])
        lead = lead + (attempts - 1) * (math.log(beta[easy]) - math.log(beta[hard]))
        if np.abs(lead).min() < 1e-9 or lead[-1] > 0:
            return None
        best = int((lead > 0).sum())
    return _optimum_row("two types", V, formula, search, best)


def _rational_row(settings: TwoTypes, rng: np.random.Generator) -> dict[str, object]:
    """Up to five types with soundness of their own, argmax of the exact reward, ties included."""
    types, scale = int(rng.integers(2, 6)), int(rng.choice([4, 10, 20]))
    cuts = np.sort(rng.integers(0, scale + 1, (types, 2)), axis=1)
    cuts[:, 0] = np.maximum(cuts[:, 0], 1)
    cuts = np.sort(cuts, axis=1)
    p, q = [Fraction(int(a), scale) for a, _ in cuts], [Fraction(int(b - a), scale) for a, b in cuts]
    V = -Fraction(int(rng.integers(1, 25)), 4)
    values, accepted = [a + V * b for a, b in zip(p, q, strict=True)], [a + b for a, b in zip(p, q, strict=True)]
    powers, rewards = [Fraction(1)] * types, [Fraction(0)]
    for _ in range(settings.rational_horizon):
        rewards.append(rewards[-1] + sum(b * v for b, v in zip(powers, values, strict=True)))
        powers = [b * (1 - a) for b, a in zip(powers, accepted, strict=True)]
    limit = sum(v / a for v, a in zip(values, accepted, strict=True))
    best = max(range(len(rewards)), key=lambda K: (rewards[K], -K))
    exact = math.inf if limit > rewards[best] else best
    search = theory.optimal_attempts(np.array(p, dtype=float), np.array(q, dtype=float), float(V))
    return _optimum_row("rational", float(V), np.nan, search, exact)


def _reference_rows(settings: TwoTypes, rng: np.random.Generator) -> list[dict[str, object]]:
    """The notebook's example: the best of up to eight simulated attempts, and the reward to four digits."""
    p, q, w = two_type_example()
    found = [theory.simulate_resampling(p, q, K, settings.draws, rng) for K in range(9)]
    rows = []
    for V, reward in ((-0.7, 0.5246), (-1.0, 0.4724), (-2.0, 0.3388)):
        simulated = int(np.argmax([w @ (right + V * wrong) for right, wrong, _ in found]))
        formula, search = (f(p, q, V, w) for f in (theory.two_type_optimum, theory.optimal_attempts))
        row = _optimum_row("simulated", V, formula, search, simulated)
        rows.append({**row, "reward_error": float(theory.reward_curve(p, q, V, 15, w).max() - reward)})
    return rows


def _optimum_row(kind: str, V: float, formula: float, search: float, best: float) -> dict[str, object]:
    return {"instances": kind, "V": V, "formula": float(formula), "search": float(search), "best": float(best),
            "reward_error": np.nan}  # fmt: skip


# instances --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instances:
    """Random sets of tasks per kind, and the costs of a wrong answer that are tried on each."""

    instances: int = 60
    largest: int = 30
    costs: int = 12


def simulate_instances(settings: Instances, seed: int, device: str) -> pd.DataFrame:
    """Per set of tasks: the largest rise of K_opt with |V|, how often it is interior, the least step at V = 0."""
    rng = np.random.default_rng(seed)
    rows = []
    penalties = -np.geomspace(0.05, 20, settings.costs)
    for kind in ("equal", "one soundness", "any soundness"):
        for _ in range(settings.instances):
            tasks = int(rng.integers(2, settings.largest + 1))
            r = np.full(tasks, rng.random()) if kind == "equal" else rng.random(tasks)
            s = rng.random(tasks) if kind == "any soundness" else np.full(tasks, rng.random())
            p, q, _ = rate_arrays(r, s)
            w = rng.dirichlet(np.ones(tasks))
            best = np.array([theory.optimal_attempts(p, q, V, w) for V in penalties], dtype=float)
            free = theory.reward_curve(p, q, 0.0, 50, w)
            with np.errstate(invalid="ignore"):
                steps = np.where(best[1:] == best[:-1], 0.0, best[1:] - best[:-1])
            rows.append({"tasks": kind, "rise": float(steps.max()), "least_step": float(np.diff(free).min()),
                         "interior": float((np.isfinite(best) & (best > 0)).mean())})  # fmt: skip
    return pd.DataFrame(rows)


# cost -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """The size of the authors' evaluation: tasks, samples, shuffles, attempts up to K_max."""

    tasks: int = 150
    samples: int = 200
    shuffles: int = 1000
    rounds: int = 3


def simulate_cost(settings: Cost, seed: int, device: str) -> pd.DataFrame:
    """Seconds of one accuracy curve by either way, in turn, and how far apart the curves are in standard errors."""
    rng = np.random.default_rng(seed)
    correct = rng.random((settings.tasks, settings.samples)) < rng.random((settings.tasks, 1))
    accept = correct | (rng.random(correct.shape) < 0.15)
    attempts = np.arange(1, settings.samples + 1)
    sides = {
        "closed form": lambda: theory.permutation_outcomes(correct, accept, attempts)[0].mean(axis=0),
        "shuffling": lambda: shuffled_accuracy(correct, accept, attempts, settings.shuffles, rng),
    }
    table = alternating_seconds(sides, rounds=settings.rounds)
    few = np.array([1, 10, settings.samples])
    return table.assign(deviation=np.abs(shuffling_deviations(correct, accept, few, settings.shuffles, rng)).max())
