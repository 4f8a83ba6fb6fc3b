"""One's own answers to chains of arithmetic: right ones with wrong steps, and where wrong ones were lost.

*own_answers* counts wrong steps in right answers, fine-tunes on these, follows how each method changes the chance of
such steps, and compares the step that lost most with the first wrong one. *pits* estimates values by rollouts and asks
how often the critical step is the exact one, and what the estimate of its drop is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations import Replicate
from simulations.alignment.chain_learning import KAPPA, METHODS, scores, teacher_counts
from theory.alignment.chain_mdp import ChainMDP, exact_values, fit_sft, step_values

__all__ = ["OwnAnswers", "Pits", "simulate_own_answers", "simulate_pits"]


@dataclass(frozen=True)
class OwnAnswers:
    """Teacher problems; answers sampled to each of these, and of as many fresh problems times ``fresh``."""

    base: int = 7
    n_ops: int = 3
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    fresh: int = 4
    answers: int = 8
    test: int = 1500


_SETTING = {"rft": 64.0, "awr": 1.0, "per-step dpo": 10.0}
"""The middle of each method's grid in ``chain_learning``: nothing is chosen here."""


def simulate_own_answers(settings: OwnAnswers, seed: int, device: str) -> Replicate:
    """A row per size: shares of positives and pits, accuracies, mean changes of log-probability of wrong steps."""
    rng = np.random.default_rng(seed)
    world = ChainMDP(settings.base, settings.n_ops)
    test = world.problems(settings.test, rng)
    stream = world.problems(max(settings.sizes), rng)
    rows, arrays = [], {}
    for size in settings.sizes:
        teacher, fresh = stream[:size], world.problems(settings.fresh * size, rng)
        counts = teacher_counts(world, teacher)
        sft = fit_sft(counts, KAPPA)
        own, share = _unique_positives(world, sft, teacher, settings.answers, rng)
        row = {"size": size, "spurious": share, "sft": scores(world, sft, test)["accuracy"]}
        row["rft_same_problems"] = scores(world, fit_sft(counts + own, KAPPA), test)["accuracy"]
        # As many teacher's solutions again instead: the gain is due to what is added, not to counting twice.
        row["teacher_twice"] = scores(world, fit_sft(2 * counts, KAPPA), test)["accuracy"]
        answers = sft.sample(fresh, settings.answers, rng)
        values = exact_values(sft, fresh)
        along = step_values(values, fresh, answers)
        drops, ok, right = np.diff(along, axis=-1), world.step_ok(fresh, answers), world.verify(fresh, answers)
        row |= _changes(world, sft, counts, fresh, answers, drops, ok, right)
        row |= _critical(world, fresh, answers, along, ok, right)
        rows.append(row)
        edges = np.linspace(-1, 1, 41)
        arrays[f"positives_{size}"] = np.histogram(drops[right], edges)[0]
        arrays[f"negatives_{size}"] = np.histogram(drops[~right], edges)[0]
    return Replicate(pd.DataFrame(rows), arrays)


def _unique_positives(world: ChainMDP, policy, problems, answers: int, rng) -> tuple[np.ndarray, float]:
    """Counts of each problem's different right answers, and the share of these that has a wrong step."""
    sampled = policy.sample(problems, answers, rng)
    right = world.verify(problems, sampled)
    codes = (sampled * world.base ** np.arange(world.n_ops)).sum(axis=-1)
    earlier = (codes[:, :, None] == codes[:, None, :]) & np.tri(answers, k=-1, dtype=bool)
    kept = right & ~earlier.any(axis=2)
    weights = np.repeat(kept[..., None], world.n_ops, axis=-1).astype(np.float64)
    wrong = ~world.step_ok(problems, sampled).all(axis=-1)
    return world.counts(problems, sampled, weights), float((wrong & kept).sum() / max(1, kept.sum()))


def _changes(world, sft, counts, fresh, answers, drops, ok, right) -> dict[str, float]:
    """How each method changes the log-probability of wrong steps of right answers whose advantage is not above 0."""
    chosen = right[..., None] & ~ok & (drops <= 0)
    uses = world.counts(fresh, answers, chosen.astype(np.float64))
    result = {"low_advantage_steps": float(chosen.sum())}
    for name, setting in _SETTING.items():
        (policy,) = METHODS[name](sft, counts, fresh, (setting,), KAPPA)
        change = np.log(np.maximum(policy.table, 1e-12)) - np.log(sft.table)
        result[f"change_{name}"] = float((uses * change).sum() / max(1.0, uses.sum()))
    return result


def _critical(world, fresh, answers, along, ok, right) -> dict[str, float]:
    """Where wrong answers lost their value, and what right steps were worth."""
    drops = np.diff(along, axis=-1)
    wrong = ~right
    first_wrong = world.first_wrong_step(fresh, answers)[wrong]
    largest = drops[wrong].argmin(axis=-1)
    # The first step with the lowest value, as in the paper.
    lowest = along[wrong][:, 1:].argmin(axis=-1)
    random = (first_wrong[:, None] == np.arange(world.n_ops)).mean(axis=1)
    forgotten = np.zeros(fresh.operations.shape, dtype=bool)
    forgotten[:, :-1] = (fresh.operations[:, 1:] == 1) & (fresh.digits[:, 2:] == 0)
    idle = np.broadcast_to(forgotten[:, None], ok.shape)
    return {
        "largest_drop_is_first_wrong": float((largest == first_wrong).mean()),
        "random_is_first_wrong": float(random.mean()),
        "lowest_is_last": float((lowest == world.n_ops - 1).mean()),
        "largest_drop_is_last": float((largest == world.n_ops - 1).mean()),
        "idle_step": float(np.abs(drops[ok & idle]).mean()),
        "other_right_step": float(np.abs(drops[ok & ~idle]).mean()),
        "wrong_step": float(np.abs(drops[~ok]).mean()),
    }


@dataclass(frozen=True)
class Pits:
    """Teacher problems of the policy, wrong answers judged, rollouts per prefix."""

    base: int = 7
    n_ops: int = 3
    size: int = 64
    problems: int = 2000
    rollouts: tuple[int, ...] = (1, 4, 16, 64, 256)


def simulate_pits(settings: Pits, seed: int, device: str) -> pd.DataFrame:
    """A row per number of rollouts: agreement with the exact critical step, and drops as estimated and as they are."""
    rng = np.random.default_rng(seed)
    world = ChainMDP(settings.base, settings.n_ops)
    policy = fit_sft(teacher_counts(world, world.problems(settings.size, rng)), KAPPA)
    problems = world.problems(settings.problems, rng)
    answers = policy.sample(problems, 1, rng)
    wrong = ~world.verify(problems, answers)[:, 0]
    problems, answers = problems[wrong], answers[wrong]
    exact = step_values(exact_values(policy, problems), problems, answers)[:, 0]
    gaps = np.diff(exact, axis=1)
    pit = gaps.argmin(axis=1)
    clear = np.sort(gaps, axis=1)[:, 1] - gaps.min(axis=1) > 0.1
    rows = []
    for rollouts in settings.rollouts:
        # A rollout from a prefix succeeds with the prefix's exact chance, independently: a binomial count.
        first, second = (np.diff(rng.binomial(rollouts, exact) / rollouts, axis=1) for _ in range(2))
        found = first.argmin(axis=1)
        shuffled = rng.permuted(gaps, axis=1).argmin(axis=1)
        every = np.arange(len(found))
        rows.append(
            {"rollouts": rollouts, "agreement": float((found == pit).mean()),
             "clear_agreement": float((found == pit)[clear].mean()), "shuffled": float((shuffled == pit).mean()),
             "reused": float(first[every, found].mean()), "fresh": float(second[every, found].mean()),
             "exact": float(gaps[every, found].mean()), "best": float(gaps[every, pit].mean())}
        )  # fmt: skip
    return pd.DataFrame(rows)
