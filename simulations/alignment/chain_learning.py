"""Learning chains of arithmetic in tables, as populations: what each method makes of infinitely many own answers.

A policy is fine-tuned on N teacher problems (SFT). To ``fresh`` N further problems with answers only, it then learns
from its own solutions, whose expected counts are exact:

    rft            successful solutions, beside the teacher's; setting: their weight
    awr            all solutions, steps weighted by exp(A/beta), beside the teacher's; setting: 1/beta
    per-step dpo   the minimiser of the per-step preference loss over all pairs of steps; setting: 1/beta
    rft, repeated; per-step rl, repeated
                   five rounds: RFT of the latest policy, and pi exp(mean A/beta) of the latest policy and advantages

A table entry is used in many problems, so that what is exact in a single prefix is a compromise here: of weights
exp(A/beta) (AWR), of preferences sigma(A − A') (DPO), of advantages (per-step RL). The three agree in a single prefix.

    policies = METHODS["per-step dpo"](policy, teacher_counts(world, problems), fresh, GRIDS["per-step dpo"], KAPPA)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from theory.alignment.chain_mdp import (
    ChainMDP,
    ChainProblems,
    TabularChainPolicy,
    exact_advantages,
    exact_values,
    expected_counts,
    fit_sft,
)
from theory.alignment.per_step_advantage import awr_policy, population_dpo

__all__ = ["GRIDS", "KAPPA", "METHODS", "scores", "successful_counts", "teacher_counts"]

KAPPA = 3.0
"""Smoothing of every fit."""
ROUNDS = 5
_WEIGHTS = (1.0, 4.0, 16.0, 64.0, 256.0, 4096.0, np.inf)
_SHARPNESS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
GRIDS: dict[str, tuple[float, ...]] = {
    "rft": _WEIGHTS, "awr": (0.01, 0.03, 0.1, 1.0, 3.0, 5.0, 10.0), "per-step dpo": _SHARPNESS,
    "rft, repeated": _WEIGHTS, "per-step rl, repeated": _SHARPNESS,
}  # fmt: skip
"""Settings of each method: weights of own solutions for RFT, 1/beta for the others; seven each.

An infinite weight leaves own solutions alone, without smoothing. It is the end of the family: success rises up to it.
Accuracy does not change any more as 1/beta approaches 0, where the smallest move already decides between equals.
"""
_LEAST = 1e-12


def teacher_counts(world: ChainMDP, problems: ChainProblems) -> np.ndarray:
    """Counts of the teacher's steps."""
    return world.counts(problems, world.results(problems))


def scores(world: ChainMDP, policy: TabularChainPolicy, problems: ChainProblems) -> dict[str, float]:
    """Accuracy of the likeliest solution, and the chance of success of a sampled one."""
    return {
        "accuracy": float(world.verify(problems, policy.greedy(problems)).mean()),
        "success": float(policy.success(problems).mean()),
    }


def successful_counts(policy: TabularChainPolicy, problems: ChainProblems) -> np.ndarray:
    """Expected counts of steps in successful solutions, one sample of each problem."""
    values = exact_values(policy, problems)
    q = np.stack([np.broadcast_to(v[:, None, :], (*v.shape, v.shape[1])) for v in values[1:]], axis=1)
    return expected_counts(policy, problems, q)


def rft(
    policy: TabularChainPolicy, teacher: np.ndarray, problems: ChainProblems, weights: Sequence[float], kappa: float
) -> list[TabularChainPolicy]:
    """Teacher's and own successful solutions, fitted together, for each weight of the latter."""
    own = successful_counts(policy, problems)
    return [fit_sft(own + teacher / weight, max(kappa / weight, _LEAST)) for weight in weights]


def awr(
    policy: TabularChainPolicy, teacher: np.ndarray, problems: ChainProblems, inverses: Sequence[float], kappa: float
) -> list[TabularChainPolicy]:
    """Teacher's solutions, and all own ones with advantage weights whose mean is 1, for each 1/beta."""
    A = exact_advantages(policy, problems)
    found = []
    for inverse in inverses:
        counts = expected_counts(policy, problems, np.exp(inverse * (A - A.max())))
        found.append(fit_sft(teacher + counts * (problems.operations.size / counts.sum()), kappa))
    return found


def per_step_dpo(
    policy: TabularChainPolicy, teacher: np.ndarray, problems: ChainProblems, inverses: Sequence[float], kappa: float
) -> list[TabularChainPolicy]:
    """The minimiser over tables of the preference loss over all pairs of next steps of all prefixes that are met.

    What the loss determines is h = beta log(pi/pi_ref), so that one minimisation serves every beta.
    """
    A = exact_advantages(policy, problems)
    gaps = expit(A[..., :, None] - A[..., None, :])
    visits = expected_counts(policy, problems)
    base = policy.base
    labels = np.full((2, base, base, base, base), 0.5)
    for other in range(base):
        labels[..., other] = expected_counts(policy, problems, gaps[..., other]) / np.maximum(visits, _LEAST)
    # Rounding apart, both orders of a pair were averaged over the same visits.
    labels = np.clip((labels + 1 - np.swapaxes(labels, -1, -2)) / 2, _LEAST, 1 - _LEAST)
    labels = np.where(visits.sum(axis=-1)[..., None, None] > _LEAST, labels, 0.5)
    table = np.maximum(policy.table, _LEAST)
    table /= table.sum(axis=-1, keepdims=True)
    h = np.log(population_dpo(table, np.zeros_like(table), 1.0, labels=labels)) - np.log(table)
    return [_as_policy(awr_policy(table, h, 1 / inverse)) for inverse in inverses]


def per_step_rl(
    policy: TabularChainPolicy, teacher: np.ndarray, problems: ChainProblems, inverses: Sequence[float], kappa: float
) -> list[TabularChainPolicy]:
    """``pi exp(mean A/beta)``, the mean over all prefixes in which the table entry is met."""
    visits = expected_counts(policy, problems)
    above = expected_counts(policy, problems, 1 + exact_advantages(policy, problems))
    mean = np.where(visits > _LEAST, above / np.maximum(visits, _LEAST) - 1, 0.0)
    return [_as_policy(awr_policy(policy.table, mean, 1 / inverse)) for inverse in inverses]


def _as_policy(table: np.ndarray) -> TabularChainPolicy:
    return TabularChainPolicy(np.log(np.maximum(table, _LEAST)))


Update = Callable[[TabularChainPolicy, np.ndarray, ChainProblems, Sequence[float], float], list[TabularChainPolicy]]


def _repeated(update: Update) -> Update:
    def many(policy, teacher, problems, settings, kappa):
        found = []
        for setting in settings:
            latest = policy
            for _ in range(ROUNDS):
                (latest,) = update(latest, teacher, problems, (setting,), kappa)
            found.append(latest)
        return found

    return many


METHODS: dict[str, Update] = {
    "rft": rft, "awr": awr, "per-step dpo": per_step_dpo, "rft, repeated": _repeated(rft),
    "per-step rl, repeated": _repeated(per_step_rl),
}  # fmt: skip
"""Each takes (policy, teacher's counts, fresh problems, settings, kappa) and gives a new policy for each setting."""
