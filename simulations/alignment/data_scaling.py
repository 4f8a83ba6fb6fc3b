"""What own answers are worth in teacher problems: curves over the number of problems, and one factor for each method.

One replicate: tables learn from N teacher problems and ``fresh`` N with answers only by every method, at population
level with exact values, each with seven settings that are chosen on other draws of all problems, for accuracy of the
likeliest solution and for success of sampled ones separately. A long curve of SFT alone, on the same stream of teacher
problems, tells how many of these would have done as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations.alignment.chain_learning import GRIDS, KAPPA, METHODS, scores, teacher_counts
from theory.alignment import per_step_advantage as theory
from theory.alignment.chain_mdp import ChainMDP, ChainProblems, TabularChainPolicy, fit_sft

__all__ = ["Efficiency", "efficiency_factors", "simulate_efficiency"]


@dataclass(frozen=True)
class Efficiency:
    """Teacher problems, fresh ones for each, splits that choose settings; sizes of the curve of SFT."""

    base: int = 7
    n_ops: int = 3
    sizes: tuple[int, ...] = (24, 36, 54)
    fresh: int = 4
    splits: int = 3
    validation: int = 400
    test: int = 1500
    curve: tuple[int, ...] = tuple(round(16 * 2 ** (j / 2)) for j in range(21))


def simulate_efficiency(settings: Efficiency, seed: int, device: str) -> pd.DataFrame:
    """A row per size and method, and per size of the curve of SFT; settings chosen by each of both measures."""
    rng = np.random.default_rng(seed)
    world = ChainMDP(settings.base, settings.n_ops)
    test = world.problems(settings.test, rng)
    stream = world.problems(max(settings.curve), rng)
    rows = [
        {"kind": "curve", "size": n, "method": "sft", **scores(world, fit_sft(teacher_counts(world, stream[:n])), test)}
        for n in settings.curve
    ]
    for size in settings.sizes:
        found = {name: np.zeros((len(grid), 2)) for name, grid in GRIDS.items()}
        for _ in range(settings.splits):
            teacher, fresh = world.problems(size, rng), world.problems(settings.fresh * size, rng)
            validation = world.problems(settings.validation, rng)
            for name, policies in _learned(world, teacher, fresh).items():
                found[name] += np.array([list(scores(world, p, validation).values()) for p in policies])
        teacher, fresh = stream[:size], world.problems(settings.fresh * size, rng)
        rows.append(
            {"kind": "method", "size": size, "method": "sft",
             **scores(world, fit_sft(teacher_counts(world, teacher)), test)}
        )  # fmt: skip
        for name, policies in _learned(world, teacher, fresh).items():
            row = {"kind": "method", "size": size, "method": name}
            for column, measure in enumerate(("accuracy", "success")):
                best = _middle_of_the_best(found[name][:, column])
                row |= {
                    measure: scores(world, policies[best], test)[measure], f"chosen_for_{measure}": GRIDS[name][best]
                }  # fmt: skip
            rows.append(row)
    return pd.DataFrame(rows)


def efficiency_factors(table: pd.DataFrame, method: str, measure: str) -> np.ndarray:
    """For each replicate, how many times more teacher problems SFT needs for the same: one factor for all sizes."""
    factors = []
    for _, rows in table.groupby("replicate", sort=True):
        curve = rows.loc[rows["kind"] == "curve", ["size", measure]].sort_values("size").to_numpy(dtype=np.float64)
        chosen = rows[(rows["kind"] == "method") & (rows["method"] == method)]
        own = chosen[["size", measure]].sort_values("size").to_numpy(dtype=np.float64)
        factors.append(theory.fitted_efficiency(curve, own))
    return np.array(factors)


def _learned(world: ChainMDP, teacher: ChainProblems, fresh: ChainProblems) -> dict[str, list[TabularChainPolicy]]:
    counts = teacher_counts(world, teacher)
    start = fit_sft(counts, KAPPA)
    return {name: METHODS[name](start, counts, fresh, grid, KAPPA) for name, grid in GRIDS.items()}


def _middle_of_the_best(found: np.ndarray) -> int:
    """Where several settings are equally good, as accuracies of small moves are, the one in their middle."""
    best = np.flatnonzero(found >= found.max() - 1e-12)
    return int(best[len(best) // 2])
